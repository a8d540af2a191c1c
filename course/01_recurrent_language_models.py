# %% [markdown]
# # 01 · How does a machine finish my sentence?
#
# *At night a small cat …* You have already finished it. Perhaps the cat *sits on the sand*; it does
# not *fly*, and nothing will be said *on a sunny day*. You know this without a picture, from
# sentences alone. A machine that guesses the next word is half of an image captioner: in lesson 03
# we will hand it a picture, and not much else will change.
#
# After this lesson you can
#
# - score a language model in nats a token, after counting has set the mark to beat;
# - batch sentences of different lengths, mask the padding, and prove that the mask matters;
# - train an RNN and an LSTM with a loop you have written, and draw sentences from them;
# - measure **how far back a gradient reaches**, and what a short reach does to a sentence;
# - keep the loss affordable when the vocabulary is huge.
#
# Two hours with the exercises.

# %%
from coursekit import sizes

here = sizes.setup()
print(here)

# %%
settings = here.pick(
    smoke=dict(scenes=300, exam=100, hidden=32, epochs=1, drawn=400, vocabulary=5_000),
    cpu=dict(scenes=3000, exam=500, hidden=160, epochs=6, drawn=3000, vocabulary=50_000),
    gpu=dict(scenes=6000, exam=500, hidden=384, epochs=10, drawn=5000, vocabulary=200_000),
)

# %% [markdown]
# The text below describes sizes `cpu` and `gpu`. Size `smoke` only proves that every cell runs.
#
# ## 1. Sentences with the end torn off

# %%
import math
import random
import time

import torch
from torch import nn
from torch.nn import functional as F

from coursekit import decoding, plots
from coursekit.datasets.scene_words import SKY_PHRASES
from coursekit.datasets.scenes import Scenes
from coursekit.models.lstm import LSTMLanguageModel, caption_loss
from coursekit.text import WordTokenizer, pad, words

train_set, dev_set = Scenes("train", settings["scenes"]), Scenes("dev", settings["exam"])
captions = [c for each in train_set.captions for c in each]
held_out = [c for each in dev_set.captions for c in each]
torn = [" ".join(each[0].split()[:-2]) + "\u00a0…" for each in dev_set.captions[:4]]
plots.show(
    plots.show_pictures(dev_set.images(range(4)), torn, title="How does each caption end?"),
    alt="Four drawn scenes. Under each stands a caption whose last two words are missing.",
)

# %% [markdown]
# Cover the pictures with your hand and finish the four captions. Often you can: the words before
# decide a good part of the words after. That is all a language model has.
#
# The captions come from a grammar with a rule that we will use as a test. A caption may name the sky
# at its beginning (*at night a cat …*) or at its end (*… on the sand at night*), never twice.

# %%
SKIES = tuple(sorted({phrase for phrases in SKY_PHRASES.values() for phrase in phrases}))
opened = [c for c in captions if c.startswith(SKIES)]
closed = [c for c in captions if c.endswith(SKIES)]
twice = [c for c in captions if sum(c.count(sky) for sky in SKIES) > 1]
print(f"{len(captions):,} captions, {len(set(captions)):,} of them different; for example")
print(" ", random.Random(0).choice(opened), "\n ", random.Random(0).choice(closed))
print(f"sky at the beginning {len(opened):,}, at the end {len(closed):,}, named twice {len(twice)}")

# %% [markdown]
# To obey, a machine must remember the first words until the last. Often ten others stand between.
#
# ## 2. Counting
#
# The oldest idea is still the one to beat: **look up what followed these words in the past**. An
# *n-gram* model counts runs of $n$ words, and guesses a word from the $n-1$ before it.

# %%
from nltk.lm import MLE, Laplace, WittenBellInterpolated
from nltk.util import everygrams

sentences = [["<s>", *words(c), "</s>"] for c in captions]
smooth = WittenBellInterpolated(5)
smooth.fit([everygrams(s, max_len=5) for s in sentences], [w for s in sentences for w in s])
counts = smooth.counts
for before in (["two"], ["a", "kite"], ["at", "night", "a"]):
    guesses = "  ".join(f"{word} {n}" for word, n in counts[before].most_common(5))
    print(f"{' '.join(before):10} → {guesses}")


# %% [markdown]
# Divide each count by the sum of its row and you have probabilities. How good are they? Ask the
# model to predict a held-out caption, and note at each word **how surprised** it is: 0 if it was
# certain, more the less it expected the word.
#
# **Predict before you run:** where in a sentence will a model that sees three words back (a 4-gram)
# be surprised more than you would be?


# %%
def surprise(model, order, caption):
    """Nats that an n-gram model of nltk pays for each word of a caption and for its end."""
    said = ["<s>", *words(caption), "</s>"]
    bits = [-model.logscore(said[i], said[max(0, i - order + 1) : i]) for i in range(1, len(said))]
    return [b * math.log(2) for b in bits]  # nltk counts in bits


# %%
example = next(c for c in held_out if c.startswith(SKIES) and len(words(c)) in range(11, 15))


def show_surprise(rows, title, alt):
    """One row a model, one column a word of the example; the number is the surprise in nats."""
    numbers = [[float(nats) for nats in row] for row in rows.values()]
    columns, label = [*words(example), "(end)"], "surprise (nats)"
    plots.show(
        plots.heat(numbers, title, list(rows), columns, label=label, low=0, high=6, digits=1), alt
    )


show_surprise(
    {f"{n}-gram": surprise(smooth, n, example) for n in (1, 2, 4)},
    "The more words it sees, the less surprises it",
    alt=f"Surprise of a 1-gram, 2-gram and 4-gram at each word of '{example}'. The 1-gram is "
    "surprised everywhere; the 4-gram knows the inside of phrases, but not the first words "
    "and not the end.",
)

# %% [markdown]
# The 1-gram knows only which words are common. The 4-gram is sure of the insides of phrases. It is
# surprised where something new begins, and so would you be. But look at **(end)**: the sky stands at
# the beginning, so nothing needs to follow, and still the 4-gram hesitates. It no longer sees the
# beginning. Keep this square in mind.
#
# The surprise at a word of probability $p$ is $-\ln p$, in **nats**. Its mean over all tokens is the
# loss of this whole course, the *cross-entropy*; the *perplexity* says it as a number of words:
#
# $$L = -\frac{1}{T}\sum_{t=1}^{T} \ln p(w_t \mid w_1, \dots, w_{t-1}), \qquad \text{perplexity} = e^{L}$$
#
# A model that has no idea of the next of $V$ words pays $\ln V$ for it; its perplexity is $V$, as if it
# threw a die with $V$ sides. (With a logarithm to base 2 the unit is the bit. One nat is 1.44 bits.)
#
# **Predict:** 1-gram, 2-gram … 5-gram: is a longer memory always better on held-out captions?

# %%
seen_only, add_one = (kind(5, vocabulary=smooth.vocab, counter=counts) for kind in (MLE, Laplace))


def n_gram_loss(model, order, texts):
    """Mean nats a token."""
    paid = [nats for caption in texts for nats in surprise(model, order, caption)]
    return sum(paid) / len(paid)


orders, some = range(1, 6), held_out[:500]
curves = {
    "add one, held-out": [n_gram_loss(add_one, n, some) for n in orders],
    "Witten-Bell, held-out": [n_gram_loss(smooth, n, some) for n in orders],
    "Witten-Bell, training": [n_gram_loss(smooth, n, captions[:500]) for n in orders],
}
for n in orders:
    never = sum(math.inf in surprise(seen_only, n, c) for c in some) / len(some)
    print(
        f"{n}-gram: {never:4.0%} of the held-out captions hold a run of {n} words never seen before"
    )

# %%
plots.show(
    plots.loss_curves(curves, "A longer memory helps, then hurts", x="n (words in a run)"),
    alt="Loss by order n. With add-one smoothing the held-out loss is lowest near n = 3 and rises "
    "steeply after it; with Witten-Bell it is lowest near 4. The training loss falls all the way.",
)
best = min(orders, key=lambda n: curves["Witten-Bell, held-out"][n - 1])
ngram_nats = curves["Witten-Bell, held-out"][best - 1]
print(f"best: {best}-gram, {ngram_nats:.3f} nats a token, perplexity {math.exp(ngram_nats):.1f}")

# %% [markdown]
# The printed lines tell why. About half of the new sentences, or more, hold a run of five words
# that has **never occurred**, and pure counting gives it probability 0: an infinite loss.
# *Smoothing* keeps something for them. **Add-one** pretends that every word has followed once more;
# with long runs the pretended counts drown the real ones. **Witten-Bell** asks the shorter run when
# the longer one knows little. It is much better, and it too turns upwards in the end, while the
# training loss goes on falling: you have just seen overfitting in a model without a single
# gradient.
#
# The deeper trouble: to a table, *two red boats* and *two blue boats* are strangers. What it learns
# of one says nothing about the other. And each further word of memory multiplies the table by $V$.
#
# ### Exercise 1 · Bigram probabilities
# *difficulty 2/5 · importance 3/5 · 10 minutes*
#
# Build the table of a 2-gram with add-$k$ smoothing. `captions` are lists of tokens with their ends.
#
# 1. `counts[a, b]`: how often token b follows token a, shape (V, V).
# 2. Add `k` to every entry, then divide each row by its sum.
#
# Do not join captions: the end of one is not followed by the beginning of the next.


# %%
def bigram_probabilities(captions, vocab_size, k):
    """captions: list of token lists -> (V, V) tensor; row: the token before; each row sums to 1"""
    raise NotImplementedError("write me")


from coursekit.checks import lesson_01 as check

check.bigram_probabilities(bigram_probabilities)

# %% [markdown]
# <details><summary>Hint 1: which pairs?</summary>
#
# `zip(caption, caption[1:])` gives a caption's neighbours. A plain double loop is fine here.
# </details>
# <details><summary>Hint 2: rows that sum to 1</summary>
#
# `table.sum(1, keepdim=True)` has shape (V, 1) and divides row by row. Add `k` before you sum.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def bigram_probabilities(captions, vocab_size, k):
#     counts = torch.zeros(vocab_size, vocab_size)
#     for caption in captions:
#         for before, after in zip(caption, caption[1:]):
#             counts[before, after] += 1
#     table = counts + k
#     return table / table.sum(1, keepdim=True)
# ```
# </details>

# %% [markdown]
# ## 3. From sentences to batches
#
# A network wants rectangles of numbers. Captions differ in length, so short ones are filled up with
# a token that means nothing, `<pad>`. Two more mark the ends: `<bos>` and `<eos>`.

# %%
tokenizer = WordTokenizer.train(captions)
PAD, BOS, EOS = tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id
token_lists = [tokenizer.with_ends(c) for c in captions]
dev_lists = [tokenizer.with_ends(c) for c in held_out]
three = sorted(token_lists[:5], key=len)[::2]
tokens, lengths = pad(three, PAD)  # (B, T), (B,)
print(tokens, lengths, f"a vocabulary of {len(tokenizer)} tokens", sep="\n")
print("\nthe first row, step by step")
for name, row in (("input", tokens[0, :-1]), ("target", tokens[0, 1:])):
    print(f"{name:7}", *(f"{tokenizer.words[token]:6}" for token in row[:8]))

# %% [markdown]
# The second half is the trick of the trade: **the target of each step is the input of the next**. One
# caption of $T$ tokens gives $T-1$ questions, and all of them are answered in one pass.
#
# **Predict:** draw 48 captions at random and pad them to the longest. Which part of the rectangle is
# padding: a tenth, a fifth, or two fifths?


# %%
def batches(lists, size, sort=True):
    """Padded batches (B, T) in random order; with `sort`, each holds captions of like length."""
    order = torch.randperm(len(lists)).tolist()
    if sort:
        order.sort(key=lambda i: len(lists[i]))  # equal lengths stay shuffled
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    random.shuffle(groups)
    for group in groups:
        yield pad([lists[i] for i in group], PAD)[0].to(here.device)


# %%
torch.manual_seed(0)
random.seed(0)
kinds = {"drawn at random": False, "of like length": True}
drawn = {name: list(batches(token_lists, 48, sort)) for name, sort in kinds.items()}
title = "Batches of like length waste next to nothing"
figure, axes = plots.panels(1, 2, height=3.4, title=title, sharey=True)
for ax, (name, each) in zip(axes, drawn.items(), strict=True):
    waste = sum(int((b == PAD).sum()) for b in each) / sum(b.numel() for b in each)
    worst = max(each, key=lambda b: int((b == PAD).sum()))
    ax.imshow((worst == PAD).cpu(), cmap="Blues", aspect="auto", interpolation="nearest")
    ax.grid(visible=False)
    ax.set_title(f"{name}: {waste:.1%} of all is padding", fontsize=10)
    ax.set(xlabel="token", xticks=range(0, worst.shape[1], 5))
axes[0].set_ylabel("caption (the worst batch)")
plots.show(
    figure,
    alt="The batch of 48 captions with most padding, in dark, of either kind. Drawn at "
    "random, most of it is padding; with captions of like length, far less.",
)

# %% [markdown]
# The titles give the share over all batches; the pictures show the worst one. A long caption makes
# 47 others long, and the network computes every dark square for nothing. **Length buckets** cure
# it: sort, cut into batches, then shuffle the batches. (Forget the last shuffle, and the model
# reads only short captions for a while, then only long ones.)
#
# What is left of the padding must not count. The targets that are `<pad>` are easy to guess and teach
# nothing; worse, they make the loss look good.
#
# ### Exercise 2 · The masked loss
# *difficulty 2/5 · importance 5/5 · 15 minutes*
#
# A network gives each of the V words a score, its *logit*; softmax turns the logits into
# probabilities. From logits (B, T, V) and targets (B, T), already moved one step ahead, compute the mean
# cross-entropy in nats **over the real targets**: those that are not `pad_id`. `<eos>` is real; who is
# not taught to stop will not stop. Average once over all real tokens of the batch, not caption by
# caption. Return a tensor of shape () through which a gradient can flow.


# %%
def masked_loss(logits, targets, pad_id):
    """logits (B, T, V), targets (B, T) -> mean nats a real token, shape ()"""
    raise NotImplementedError("write me")


check.masked_loss(masked_loss)

# %% [markdown]
# <details><summary>Hint 1: the mask</summary>
#
# `real = targets != pad_id` is (B, T) and boolean. What are the shapes of `logits[real]` and
# `targets[real]`?
# </details>
# <details><summary>Hint 2: the library's way</summary>
#
# `F.cross_entropy` takes logits (n, V) and targets (n,), and averages over n.
# </details>
# <details><summary>Hint 3: by hand</summary>
#
# `logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]` is each target's log-probability,
# (B, T). Multiply by the mask, add up, divide by the number of real tokens, change the sign.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def masked_loss(logits, targets, pad_id):
#     real = targets != pad_id
#     return F.cross_entropy(logits[real], targets[real])
# ```
# </details>

# %% [markdown]
# ## 4. A memory made of numbers: the RNN
#
# A table cannot look far back. What if the machine kept **notes**: one vector $h$, rewritten at every
# word, from which it guesses the next?

# %%
plots.show(
    plots.recurrent(words("two red boats float"), "One cell, used again at every word"),
    alt="The same RNN cell drawn at five steps. Each takes a word and the state of the step "
    "before; each guesses the next word: bos gives two, two gives red, and so on until the "
    "end.",
)

# %% [markdown]
# Words enter as vectors $x_t$, rows of a learned table, the *embedding*. The state is
#
# $$h_t = \tanh(W_{ih}\,x_t + W_{hh}\,h_{t-1} + b)$$
#
# and $\mathrm{softmax}(W h_t)$ are the probabilities of the next word (Elman 1990; as a language model
# Mikolov et al. 2010). The same weights serve every step, so *two red boats* and *two blue boats*
# share all they teach, and the memory is as long as the sentence. At least in principle.
#
# ### Exercise 3 · An RNN over a padded batch
# *difficulty 3/5 · importance 4/5 · 20 minutes*
#
# Run the formula over a padded batch, and return each caption's state **after its last real input**.
#
# 1. Begin with $h = 0$, (B, H).
# 2. At each of the T steps compute the next state from `inputs[:, t]` (B, E) and $h$.
# 3. A caption of length $n$ has its last real input at step $n-1$. What comes after must not matter.
#
# A loop over time is right here; a loop over captions is not needed.


# %%
def last_states(inputs, lengths, weight_ih, weight_hh, bias):
    """inputs (B, T, E), lengths (B,), weight_ih (H, E), weight_hh (H, H), bias (H,) -> (B, H)"""
    raise NotImplementedError("write me")


check.last_states(last_states)

# %% [markdown]
# <details><summary>Hint 1: one step for the whole batch</summary>
#
# `inputs[:, t] @ weight_ih.T` is (B, H). `h @ weight_hh.T` needs its transpose just as much.
# </details>
# <details><summary>Hint 2: stopping each caption in time</summary>
#
# Collect all states and stack them to (B, T, H); then pick row b, step `lengths[b] - 1`. Or keep the
# old state where a caption has ended: `torch.where((t < lengths)[:, None], new, h)`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def last_states(inputs, lengths, weight_ih, weight_hh, bias):
#     h = inputs.new_zeros(len(inputs), len(bias))
#     for t in range(inputs.shape[1]):
#         new = torch.tanh(inputs[:, t] @ weight_ih.T + h @ weight_hh.T + bias)
#         h = torch.where((t < lengths)[:, None], new, h)
#     return h
# ```
# </details>

# %% [markdown]
# Now the loop that trains it. Read it once slowly; every model of this course is trained by these
# lines or by `coursekit.training`, which adds only comfort. `caption_loss` is your exercise 2, with
# one economy: it applies the last layer at real tokens only.


# %%
@torch.no_grad()
def nats_a_token(model, lists):
    """Mean loss over all real tokens; batches count by their tokens."""
    model.eval()
    total = count = 0
    for tokens in batches(lists, 200):
        real = int((tokens[:, 1:] != PAD).sum())
        total += real * caption_loss(model, None, tokens, PAD).item()
        count += real
    model.train()
    return total / count


# %%
def train(model, epochs, loss_of=caption_loss, sort=True, rate=3e-3):
    """Trains in place; prints and returns the held-out loss after each epoch."""
    steps = epochs * math.ceil(len(token_lists) / 48)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    full_then_down = [min(1.0, 2.5 * (1 - step / steps)) for step in range(steps + 1)]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, full_then_down.__getitem__)
    curve = []
    for epoch in range(epochs):
        for tokens in batches(token_lists, 48, sort):
            loss = loss_of(model, None, tokens, PAD)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # one wild batch cannot ruin all
            optimizer.step()
            schedule.step()
        curve.append(nats_a_token(model, dev_lists))
        print(f"epoch {epoch + 1}  {curve[-1]:.3f} nats a token")
    return curve


def fresh(cell, hidden=settings["hidden"]):
    """An untrained model, the same at every call."""
    torch.manual_seed(0)
    random.seed(0)
    return LSTMLanguageModel(len(tokenizer), 64, hidden, cell, dropout=0.1).to(here.device)


# %% [markdown]
# ### What if you forget the mask?
#
# Two equal networks, one epoch each, batches drawn at random. One loss leaves the padding out, the
# other counts it. **Predict:** which network reports the lower loss? Which one is better?


# %%
def loss_with_padding(model, memory, tokens, pad_id):
    logits = model(memory, tokens[:, :-1])  # (B, T-1, V)
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


for name, loss_of in (("without padding", caption_loss), ("with padding", loss_with_padding)):
    print(f"trained {name}")
    model = fresh("rnn", hidden=64)
    train(model, 1, loss_of, sort=False)
    model.eval()
    with torch.no_grad():
        each = [loss_of(model, None, b, PAD).item() for b in batches(dev_lists, 48, sort=False)]
    print(f"its own  {sum(each) / len(each):.3f} nats by the loss it was trained with\n")

# %% [markdown]
# The second network reports a triumph, and on real tokens it is no better than the first.
# Nothing crashed, no curve looked odd: **a wrong mask is a bug that shows as good news**. Whenever a
# loss seems too good, count which tokens it is the mean of.
#
# ## 5. Notes that last: the LSTM
#
# An RNN rewrites all its notes at every word. To keep one of them for ten words, it must copy it
# through a matrix and a tanh ten times without spoiling it. The *long short-term memory*
# (Hochreiter and Schmidhuber 1997) has a second state $c$ that is **not rewritten unless a gate
# opens**. Each gate is a number between 0 and 1 for each note, computed from $x_t$ and $h_{t-1}$:
#
# | gate | question | if it is 0 |
# |---|---|---|
# | $f$, forget | keep the old note? | the note is erased |
# | $i$, input | write a new one? | the word leaves no trace |
# | $o$, output | show it now? | kept, but unseen by the guess |
#
# $$c_t = f \odot c_{t-1} + i \odot g, \qquad h_t = o \odot \tanh(c_t)$$
#
# with $f, i, o = \sigma(\dots)$ and $g = \tanh(\dots)$, four linear maps of $x_t$ and $h_{t-1}$ with
# weights of their own. Look at the first formula: old notes come through an **addition** and a
# product by $f$. Where $f \approx 1$ they pass untouched, and so does a gradient on its way back.
#
# Is the gate open in a new LSTM? PyTorch starts it near $\sigma(0) = 0.5$, half open. The function
# below adds 2 to its bias, and it starts at $\sigma(2) \approx 0.88$. Section 7 will tell if this matters.


# %%
def opened_gate(model):
    """Opens the forget gate: in PyTorch the rows of the four gates are stacked as i, f, g, o."""
    with torch.no_grad():
        model.recurrent.bias_ih_l0[model.hidden_dim : 2 * model.hidden_dim] += 2
    return model


# %% [markdown]
# **Predict:** both networks train on the same captions. Which ends lower, by how much, and do they
# beat the best n-gram? Mind that it had the same data and needed no training at all.

# %%
models, curves = {"rnn": fresh("rnn"), "lstm": opened_gate(fresh("lstm"))}, {}
for cell in models:
    size, started = sum(p.numel() for p in models[cell].parameters()), time.perf_counter()
    print(f"{cell.upper()}: {size:,} weights")
    curves[cell.upper()] = train(models[cell], settings["epochs"])
    print(f"took {time.perf_counter() - started:.0f} s\n")
lstm_nats, rnn_nats = curves["LSTM"][-1], curves["RNN"][-1]
below = ngram_nats - lstm_nats
plots.show(
    plots.loss_curves(
        curves,
        f"The LSTM ends {abs(below):.2f} nats {'below' if below > 0 else 'above'} the best n-gram",
        baselines={f"best n-gram ({best})": ngram_nats},
    ),
    alt=f"Held-out loss by epoch. The RNN ends at {rnn_nats:.2f}, the LSTM at {lstm_nats:.2f} nats "
    f"a token; the best n-gram stays at {ngram_nats:.2f}.",
)

# %% [markdown]
# This is the picture to keep. After a reading or two of the captions, both networks are past the best
# table. (A curve that jumps settles as the learning rate falls, in the last epochs.) But between the
# two lies almost nothing: the curve says that a second memory is hardly worth its four-fold recurrent
# weights. **Do you believe it?**
#
# ## 6. Let them speak
#
# To finish a sentence, feed the words so far, one by one, draw the next word from the probabilities,
# and feed it in again. The models of this course offer two methods for this: `start` makes a
# state, `step` takes a word and returns logits and the next state. That is all a decoder needs.


# %%
@torch.no_grad()
def read(model, beginning):
    """Logits (1, V) of the word after `beginning`, and the state there."""
    state = model.eval().start(1)
    for token in [BOS, *tokenizer.encode(beginning)]:
        logits, state = model.step(torch.tensor([token], device=here.device), state)
    return logits, state


# %%
@torch.no_grad()
def finish(model, beginning, temperature=1.0, most=30):
    """A sentence that begins so, drawn word by word."""
    said, (logits, state) = tokenizer.encode(beginning), read(model, beginning)
    while len(said) < most:
        token = (logits / temperature).softmax(-1).multinomial(1)[0]  # (1,)
        if token == EOS:
            break
        said.append(token.item())
        logits, state = model.step(token, state)
    return tokenizer.decode(said)


torch.manual_seed(1)
for beginning in ("two red", "at night a small cat", "a red boat"):
    print(f"{beginning} → {finish(models['lstm'], beginning)}")

# %% [markdown]
# Put your own beginnings in. Then look at the `temperature`: logits are divided by it before the
# softmax. **Predict** what 0.3 does to the sentences, and what 3 does.

# %%
logits, _ = read(models["lstm"], "a red boat")
order = logits[0].topk(8).indices
names = [tokenizer.words[i] for i in order]
title = "A low temperature favours the likely words, a high one none"
figure, axes = plots.panels(1, 3, height=3.1, title=title, sharey=True, sharex=True)
for ax, temperature in zip(axes, (0.3, 1.0, 3.0), strict=True):
    ax.barh(names, (logits[0] / temperature).softmax(-1)[order].cpu())
    ax.set_title(f"temperature {temperature:g}", fontsize=10)
    ax.set_xlabel("probability")
axes[0].invert_yaxis()
plots.show(
    figure,
    alt="Probabilities of the eight likeliest words after 'a red boat'. At temperature "
    "0.3 one or two words take nearly all; at 3 the eight come close together, and all other words "
    "take most of the probability.",
)
for temperature in (0.3, 1.0, 3.0):
    print(f"{temperature:3.1f}  {finish(models['lstm'], 'a red boat', temperature, most=16)}")

# %% [markdown]
# $$p_i \propto e^{\,\text{logit}_i / \tau}$$
#
# Below 1 the likely gets likelier: safe, and soon always the same. Above 1 all words come closer
# together, and the grammar falls apart. At 1 the model speaks as it believes. So at 1 we can ask what
# it **believes about the sky**: let each model draw many sentences, take those that begin with a sky,
# and count how many name it once more. The grammar never does.
#
# **Predict:** the n-gram, which cannot see that far, sets the mark. The RNN's loss was far below it
# and close to the LSTM's. Where will the RNN come out?


# %%
def speak_n_gram(order, rng):
    """A sentence drawn from the counts alone."""
    said = ["<s>"]
    while said[-1] != "</s>" and len(said) < 40:
        after = counts[said[1 - order :]]
        said.append(rng.choices(list(after), list(after.values()))[0])
    return " ".join(said[1:-1])


def sky_again(texts):
    """Of the texts that begin with a sky, the share in which another is named."""
    begun = [c for c in texts if c.startswith(SKIES)]
    return sum(sum(c.count(sky) for sky in SKIES) > 1 for c in begun) / max(1, len(begun))


# %%
rng, many = random.Random(0), torch.zeros(settings["drawn"], 1, device=here.device)
shares = {"the captions": sky_again(captions)}
shares["4-gram"] = sky_again([speak_n_gram(4, rng) for _ in range(settings["drawn"])])
for cell, model in models.items():
    torch.manual_seed(0)
    said, _ = decoding.sample(model.eval(), many, BOS, EOS, max_len=40)
    shares[cell.upper()] = sky_again([tokenizer.decode(tokens) for tokens in said])
plots.show(
    plots.bars(
        {k: 100 * v for k, v in shares.items()},
        "Hidden by the loss: the RNN forgets the sky, the LSTM rarely",
        digits=2,
        x="sentences that begin with a sky and name another (%)",
        colours=[plots.GREY, plots.GREY, plots.BLUE, plots.RED],
    ),
    alt="Share of sentences that name the sky a second time: "
    + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()),
)

# %% [markdown]
# There is the difference that the loss did not show. The RNN, far below the n-gram in nats, forgets
# the sky about as often as the n-gram; the LSTM, a hair below the RNN in nats, forgets it several
# times less. A mean over all words hides this: it matters in few captions, and there at one
# word in fifteen. **When a number says that nothing has changed, look at the sentences.**
#
# And here is the square from section 2 once more, the surprise at the end of the caption:

# %%
said = torch.tensor([tokenizer.with_ends(example)], device=here.device)  # (1, T)
rows = {"4-gram": surprise(smooth, 4, example)}
for cell, model in models.items():
    with torch.no_grad():
        log_p = model(None, said[:, :-1]).log_softmax(-1)  # (1, T-1, V)
    rows[cell.upper()] = (-log_p.gather(-1, said[:, 1:, None]))[0, :, 0]  # (T-1,)
show_surprise(
    rows,
    "The LSTM expects the end",
    alt="Surprise of 4-gram, RNN and LSTM at each word of the same caption. At the end: "
    + ", ".join(f"{name} {float(row[-1]):.2f} nats" for name, row in rows.items()),
)

# %% [markdown]
# ## 7. How far does a gradient reach?
#
# At **(end)** the RNN is nearly as surprised as the 4-gram. The LSTM is much less so: it still knows how
# the sentence began.
#
# Why did the RNN not learn the rule? Every caption that begins with a sky shows it. But training
# can only strengthen what a gradient reports. So take captions that begin with a sky, stand at their
# end, where the model must say `<eos>`, and ask: **by how much would its confidence change if the word
# $d$ steps back changed a little?** That is the length of the gradient with respect to that word's
# vector, and PyTorch gives it in one backward pass.
#
# **Predict:** before training, which reaches further, the RNN or the LSTM?


# %%
def reach(model, lists, far=14):
    """Gradient of the loss at <eos> with respect to the word d steps back, d = 0 as 1."""
    model.train()  # on a GPU the backward pass asks for it
    lists = [each for each in lists if len(each) > far + 1]
    tokens, lengths = (part.to(here.device) for part in pad(lists, PAD))
    inputs = model.embedding(tokens).detach().requires_grad_()  # (B, T, E)
    outputs, _ = model.recurrent(inputs)  # (B, T, H)
    rows, last = torch.arange(len(lists), device=here.device), lengths - 2  # where <eos> is next
    model.head(outputs[rows, last]).log_softmax(-1)[:, EOS].sum().backward()
    norms = inputs.grad.norm(dim=-1)  # (B, T)
    by_distance = torch.stack([norms[rows, last - d].mean() for d in range(far + 1)])
    return (by_distance / by_distance[0]).tolist()


begun = [tokenizer.with_ends(c) for c in held_out if c.startswith(SKIES)]
before = {"RNN": fresh("rnn"), "LSTM, gate half open": fresh("lstm")}
before["LSTM"] = opened_gate(fresh("lstm"))
after = {cell.upper(): model for cell, model in models.items()}

# %%
colours = {"RNN": plots.BLUE, "LSTM": plots.RED, "LSTM, gate half open": plots.GREEN}
headline = "Through an open gate a gradient reaches far"
figure, axes = plots.panels(1, 2, height=3.9, title=headline, sharey=True)
groups = {"before training": before, "after training": after}
for ax, (title, group) in zip(axes, groups.items(), strict=True):
    for name, model in group.items():
        norms = reach(model, begun)
        ax.plot(norms, color=colours[name], label=name, marker="o", markersize=4)
        print(f"{title:15}  {name:20}  14 words back: {norms[14]:.0e} of the nearest word's")
    ax.set_title(title, fontsize=10)
    ax.set(xlabel="words back", yscale="log", xticks=range(0, 15, 2))
axes[0].set_ylabel("gradient (nearest word = 1)")
axes[0].legend(loc="lower left")
plots.show(
    figure,
    alt="Gradient at the end of a sentence by distance, logarithmic. Before training it "
    "falls by a constant factor a word for the RNN and for an LSTM with its gate half open; "
    "with the gate open it falls slowly. After training the LSTM reaches further than the RNN.",
)

# %% [markdown]
# On a logarithmic axis a straight line down is a constant factor a word. **With its gate half open the
# LSTM fares like the RNN**, ten times next to nothing: half of a half of a half is soon gone. What an LSTM has is
# not a long memory but a *gate that can be open*. With 2 added to the gate's bias, a good part of the
# gradient arrives from fourteen words back. After training the gate is open where it pays, and the
# first words of the sentence still have a say. In the RNN they have next to none: what no gradient
# reports is not learned, however often it is shown.
#
# The formula is the chain rule. From step $T$ back to step $t$ the gradient is multiplied $T-t$ times:
#
# $$\frac{\partial h_T}{\partial h_t} = \prod_{k=t+1}^{T} \mathrm{diag}(1-h_k^2)\, W_{hh}
# \qquad\text{but}\qquad \frac{\partial c_T}{\partial c_t} \approx \prod_{k=t+1}^{T} \mathrm{diag}(f_k)$$
#
# Factors below 1 make it **vanish** (Bengio et al. 1994), factors above 1 make it **explode**;
# `clip_grad_norm_` tames the second (Pascanu et al. 2013), and the gate cures the first.
#
# ## 8. When the vocabulary is huge
#
# Our captions need a hundred words; web text needs hundreds of thousands. The last layer
# then computes a logit for **every** word at **every** step, to find the sum in the softmax:
#
# $$-\ln p(w) = -\,\text{logit}_w + \ln \sum_{j=1}^{V} e^{\,\text{logit}_j}$$
#
# Two ways around the sum. **Sampled softmax** estimates it in training from a few hundred words drawn
# by frequency $q$, each weighted by $1/q$ (Jean et al. 2015). **Adaptive softmax** stays exact: rare
# words live in clusters with smaller vectors, and a cluster is opened only if the target is in it
# (Grave et al. 2017). Both live on Zipf's law: a few words make up most of a text.

# %%
V, H, N, K = settings["vocabulary"], 128, 256, settings["vocabulary"] // 50
torch.manual_seed(0)
zipf = 1 / torch.arange(1.0, V + 1, device=here.device)
zipf = zipf / zipf.sum()  # the word of rank r has probability proportional to 1 / r
head = nn.Linear(H, V).to(here.device)
with torch.no_grad():
    head.bias.copy_(zipf.log())  # as after a little training
hidden = torch.randn(N, H, device=here.device, requires_grad=True)
targets = zipf.multinomial(N, replacement=True)  # (N,)


def sampled_loss(hidden, targets, count=K, weighted=True):
    """Cross-entropy with the sum over V words estimated from `count` of them, drawn from zipf."""
    others = zipf.multinomial(count, replacement=True)  # (K,)
    own = (hidden * head.weight[targets]).sum(1) + head.bias[targets]  # (N,)
    rest = hidden @ head.weight[others].T + head.bias[others]  # (N, K)
    if weighted:
        rest = rest - (count * zipf[others]).log()
    rest = rest.masked_fill(others == targets[:, None], -torch.inf)  # the target counts once
    return (torch.cat([own[:, None], rest], 1).logsumexp(1) - own).mean()


# %% [markdown]
# **Predict:** how much time does each save, of a step forward and back? And what happens to adaptive
# softmax if all words are equally common?


# %%
def milliseconds(loss_of, repeats=4):
    """Mean time of a forward and a backward pass, after one to warm up."""
    for i in range(repeats + 1):
        if i == 1:
            started = time.perf_counter()
        loss_of().backward()
        _ = hidden.grad.sum().item()  # waits until a GPU is done
    return 1000 * (time.perf_counter() - started) / repeats


adaptive = nn.AdaptiveLogSoftmaxWithLoss(H, V, cutoffs=[V // 50, V // 5]).to(here.device)
equal = torch.randint(V, (N,), device=here.device)
times = {
    "full": milliseconds(lambda: F.cross_entropy(head(hidden), targets)),
    f"sampled, {K:,} words": milliseconds(lambda: sampled_loss(hidden, targets)),
    "adaptive": milliseconds(lambda: adaptive(hidden, targets).loss),
    "adaptive, words equally common": milliseconds(lambda: adaptive(hidden, equal).loss),
}
plots.show(
    plots.bars(
        times, f"Of {V:,} words, most can be left out", f"milliseconds a step of {N} tokens"
    ),
    alt="Milliseconds a step: " + ", ".join(f"{k} {v:.0f}" for k, v in times.items()),
)

# %% [markdown]
# Both save a large factor, and the last bar shows what adaptive softmax lives on: if no word is
# rare, its clusters are opened all the time, and it is several times slower. One difference matters
# later. Adaptive softmax gives true probabilities at any time; sampled softmax is for training
# only, and scoring needs the full sum.
#
# But is a loss from a fiftieth of the words not simply wrong? Training needs its **gradient**. Compare
# the direction of the sampled gradient with that of the full one, with the weights $1/q$ and without.

# %%
full = torch.autograd.grad(F.cross_entropy(head(hidden), targets), hidden)[0]  # (N, H)


def agreement(count, weighted):
    """Mean cosine between the sampled gradient and the full one, 1 = same direction."""
    loss = sampled_loss(hidden, targets, count, weighted)
    grad = torch.autograd.grad(loss, hidden)[0]
    return F.cosine_similarity(grad, full, dim=1).mean().item()


# %%
sampled = [10, 30, 100, 300, 1000]
agree = {
    name: (sampled, [sum(agreement(n, weighted) for _ in range(3)) / 3 for n in sampled])
    for name, weighted in (("weighted by 1/q", True), ("not weighted", False))
}
plots.show(
    plots.lines(
        agree,
        f"A few hundred of {V:,} words are enough, if weighted",
        "words sampled",
        "cosine to the full gradient",
        log_x=True,
        points=True,
    ),
    alt="Cosine between sampled and full gradient by number of sampled words. Weighted, it comes "
    "close to 1; unweighted, it stays clearly below however many words are sampled.",
)

# %% [markdown]
# With the weights, a few hundred words point almost exactly the right way. Without them, from a
# hundred words on more do not help: the error is not noise that averages out but a **bias**. Common
# words are drawn too often, so they are pushed down too much. If you remember one line of this
# section, let it be `rest - (count * zipf[others]).log()`. (Today's other answer is to shrink the
# vocabulary itself, with pieces of words; lesson 06 does that.)

# %%
sizes.report(
    lstm_nats=lstm_nats,
    rnn_nats=rnn_nats,
    ngram_nats=ngram_nats,
    lstm_sky_again=shares["LSTM"],
    rnn_sky_again=shares["RNN"],
)

# %% [markdown]
# ## When it does not work
#
# | symptom | likely cause |
# |---|---|
# | first loss far above $\ln V$ | wrong tokens, or targets that are no word's index |
# | loss close to 0 at once | targets are not moved: the model copies its input |
# | loss too good, sentences poor | padding is counted |
# | sentences never end | `<eos>` is missing from the targets, or masked as if it were padding |
# | loss jumps, or turns to nan | learning rate too high, no clipping |
# | training loss falls, held-out loss rises | overfitting: fewer epochs, more dropout, more data |
# | fine in training, word salad when drawn | the state is not handed on from `step` to `step` |
# | all sentences alike | temperature too low |
# | forgets how the sentence began | an RNN; or an LSTM whose forget gate began half open |
# | memory full at the last layer | (B, T, V) logits: take real tokens only, or section 8 |
# | bigger batches, slower epochs | padding: batch by length |
#
# ## Questions
#
# 1. Your loss is 2.0 nats a token, a colleague's is 2.5 bits. Whose model is better?
# 2. Why may one not compare the perplexities of two models with different vocabularies?
# 3. An RNN with $W_{hh} = 0$: which n-gram is it, and what could it do that the table cannot?
# 4. Length buckets make batches less random. When could this hurt, and how would you soften it?
# 5. The LSTM has four times the recurrent weights. How would you show that it is not *that*?
#
# <details><summary>Short answers</summary>
#
# 1. The colleague's: 2.5 bits are $2.5 \ln 2 \approx 1.73$ nats.
# 2. A smaller vocabulary makes the question easier: each `<unk>` is a cheap guess. Pieces of words
#    change even the number of tokens that the loss is a mean of.
# 3. A 2-gram: it sees the last word only. It shares what it learns between words with like embeddings,
#    and cannot give a pair it has never seen the probability 0.
# 4. A batch of short captions alone pulls the weights towards short captions. Sort within pools of a
#    few hundred captions, or add a little noise to the lengths before sorting.
# 5. Give an RNN as many weights by widening it, train it equally long, and look at the sky again.
# </details>
#
# ## Go further
#
# - Train an RNN with twice the hidden size. Does it forget the sky less?
# - Train the LSTM without `opened_gate`, with three seeds. What changes, the loss or the sky?
# - Add `cell="gru"`: two gates instead of three. Where does it come out?
# - The papers: Mikolov et al. 2010, [Recurrent neural network based language
#   model](https://doi.org/10.21437/Interspeech.2010-343); Bengio et al. 1994, [Learning long-term
#   dependencies is difficult](https://doi.org/10.1109/72.279181); Hochreiter and Schmidhuber 1997,
#   [Long short-term memory](https://doi.org/10.1162/neco.1997.9.8.1735), without a forget gate, which
#   [Gers et al. 2000](https://doi.org/10.1162/089976600300015015) added; [Pascanu et al.
#   2013](https://arxiv.org/abs/1211.5063); [Jean et al. 2015](https://arxiv.org/abs/1412.2007);
#   [Grave et al. 2017](https://arxiv.org/abs/1609.04309).
#
# ## What you have now
#
# A model that finishes sentences, an honest number for how well it does, and a test that
# shows what the number hides. It speaks of boats it has never seen and cats that are not there.
# To speak of *this* picture it needs something to speak from, and pictures are large: thousands of
# numbers, nearly all of them irrelevant. So first a question for the other half of the captioner:
# **what is left of a picture in 256 numbers?** That is lesson 02.
