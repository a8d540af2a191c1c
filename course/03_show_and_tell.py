# %% [markdown]
# # 03 · How do you hand a picture to a language model?
#
# Lesson 01 left you with a model that finishes sentences and has never seen anything.
# Lesson 02 left you with a few hundred numbers: all that remains of a picture.
# Today the two meet, and the meeting is shorter than you may think: **one extra step, before the
# first word, in a loop you already know**. Vinyals and colleagues published it in 2015 as
# *Show and Tell*; much of what came after is an answer to what it gets wrong.
#
# After this lesson you can
#
# - make a language model depend on a picture, by two doors, and measure which one is better;
# - prove in seconds that a captioner can learn, before you spend minutes on training it;
# - train one, score it, and say **which kind of mistake** it makes and why.
#
# Two hours with the exercises.

# %%
from coursekit import sizes

here = sizes.setup()
print(here)

# %%
settings = here.pick(
    smoke=dict(pictures=150, exam=40, hidden=48, epochs=2, rate=5e-3, trial=(100, 1), bugs=10),
    cpu=dict(pictures=6000, exam=500, hidden=256, epochs=16, rate=4e-3, trial=(2500, 8), bugs=150),
    gpu=dict(pictures=6000, exam=500, hidden=512, epochs=40, rate=2e-3, trial=(6000, 8), bugs=300),
)

# %% [markdown]
# The text below describes sizes `cpu` and `gpu`; size `smoke` only proves that every cell runs.
#
# ## 1. The eye is ready
#
# The pictures are the *scenes* of lesson 00. The eye is `scene_encoder`, a small CNN trained to name
# things, colours, counts and places, and **frozen**. A frozen encoder says the same of a picture
# every time, so we ask once and keep the answer: training then costs only words.
#
# Its answer is 16 vectors, one for each place of a 4 × 4 grid. Of each feature we keep the largest
# value over the places: *if there is a boat anywhere, the boat feature is high*. One vector is
# left. Remember this step: it is convenient, and the best failure of this lesson hides in it.

# %%
import math
import random

import torch
from torch.nn import functional as F

from coursekit import decoding, plots
from coursekit.datasets.scenes import UNSEEN_PAIRS, Scenes, claims
from coursekit.models.encoders import cached_features, scene_encoder
from coursekit.models.lstm import ShowAndTell, caption_loss
from coursekit.text import WordTokenizer, pad
from coursekit.training import TrainSettings, bucketed_batches, train

train_set, dev_set = Scenes("train", settings["pictures"]), Scenes("dev", settings["exam"])
test_set, encoder = Scenes("test", settings["exam"]), scene_encoder().to(here.device)


# %%
def look(dataset):
    """One vector a picture: the largest value over its 16 places, (len, 1, D)."""
    file = sizes.build_folder("features", f"lesson-03-{dataset.split}-{len(dataset)}.pt")
    return cached_features(encoder, dataset, file).amax(1, keepdim=True).to(here.device)


memory, dev_memory, test_memory = look(train_set), look(dev_set), look(test_set)
tokenizer = WordTokenizer.train(c for cs in train_set.captions for c in cs)
tokens_of = [[tokenizer.with_ends(c) for c in cs] for cs in train_set.captions]
print(train_set, "→ memory", tuple(memory.shape), "and a vocabulary of", len(tokenizer), "words")
print(train_set.captions[0][0], "→", tokens_of[0][0])

# %% [markdown]
# Both sides are numbers now: a vector of features, and tokens between `<bos>` (1) and `<eos>` (2).
#
# ## 2. Two doors
#
# A language model guesses each word from the words before. We want the same guesses, but about
# *this* picture. An LSTM takes words in and carries a state along; nobody built it a window.
# **Where would you put the picture in?** Find two places before you scroll.

# %%
example = train_set.captions[0][0].split()
plots.show(
    plots.unrolled(train_set.image(0), example, "An LSTM has two doors for a picture"),
    alt="The LSTM drawn step by step over a caption. Above, the picture is the first input, a step "
    "before bos. Below, it becomes the state before bos. The target of each step is the next word.",
)

# %% [markdown]
# **As the first input**: the vector is mapped to the size of a word and read before `<bos>`, like a
# word number zero. Whatever the LSTM would say at that step is ignored.
# **As the first state**: the vector is mapped to $h_0$ and $c_0$, the memory the LSTM starts with.
# (Before either map a LayerNorm brings the features to one scale; large ones would saturate the gates.)
#
# By either door the picture enters **once** and must survive in the state until it is needed.
# As a formula, only the $I$ is new; the rest is what lesson 01's loss takes the logarithm of, the chain
# rule of *probability*:
#
# $$p(w_1, \dots, w_T \mid I) = \prod_{t=1}^{T} p(w_t \mid I, w_1, \dots, w_{t-1})$$
#
# Here are the pieces of the first door in order. Watch the second dimension: it counts the steps.

# %%
torch.manual_seed(0)
model = ShowAndTell(len(tokenizer), memory.shape[-1], embed_dim=128, hidden_dim=64).eval()
tokens, lengths = pad([tokens_of[i][0] for i in range(3)], tokenizer.pad_id)
picture = model.from_image(memory[:3].cpu())  # (B, 1, E): a picture the size of a word
words = model.embedding(tokens)  # (B, T, E)
outputs, _ = model.recurrent(torch.cat([picture, words], 1))  # (B, 1 + T, H)
logits = model.head(outputs[:, 1:])  # (B, T, V): the picture's own output is dropped
shapes = {"picture": picture, "words": words, "outputs": outputs, "logits": logits}
print("\n".join(f"{name:8} {tuple(tensor.shape)}" for name, tensor in shapes.items()))
print("as ShowAndTell does it:", torch.allclose(logits, model(memory[:3].cpu(), tokens), atol=1e-5))

# %% [markdown]
# One step more goes in than words, and its output is dropped, so that logits and words line up again:
# the logits at step $t$ have seen the picture and the words up to $t$, and guess word $t + 1$.
#
# ### Exercise 1 · The picture goes first
# *difficulty 2/5 · importance 4/5 · 10 minutes*
#
# Build the LSTM's inputs yourself, starting from all 16 places.
#
# 1. Keep the largest value of each feature over the places: (B, N, D) → (B, D).
# 2. Map it to the size of a word: multiply by `weight` (E, D), add `bias` (E,) → (B, E).
# 3. Give it a time axis and put it before the words → (B, 1 + T, E).
#
# No loop is needed.


# %%
def picture_first(memory, words, weight, bias):
    """memory (B, N, D), words (B, T, E), weight (E, D), bias (E,) -> inputs (B, 1 + T, E)"""
    raise NotImplementedError("write me")


from coursekit.checks import lesson_03 as check

check.picture_first(picture_first)

# %% [markdown]
# <details><summary>Hint 1: which function pools?</summary>
#
# `memory.max(1)` returns two things, values and positions. `memory.amax(1)` returns the values.
# </details>
# <details><summary>Hint 2: which way round is the weight?</summary>
#
# `weight` is (E, D), as in `nn.Linear`: multiply by its transpose, or call `F.linear`.
# </details>
# <details><summary>Hint 3: how does it become a step?</summary>
#
# `picture[:, None]` is (B, 1, E), a sequence of one step; `torch.cat([...], 1)` joins along time.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def picture_first(memory, words, weight, bias):
#     picture = memory.amax(1) @ weight.T + bias
#     return torch.cat([picture[:, None], words], 1)
# ```
# </details>

# %% [markdown]
# ## 3. Teaching with the answers on the table
#
# While it learns, should the model read *its own* words or the *true* ones? Its own are rubbish at
# first, and every later guess would be made from rubbish. So we give it the true words and ask at
# every step for the next one. This is **teacher forcing**. It also makes training fast: all steps
# are known in advance, and the library runs them in one call.
#
# It takes two small operations that hide most captioning bugs: **moving** the targets one step
# ahead, and **masking** the padding.
#
# ### Exercise 2 · Move the targets
# *difficulty 2/5 · importance 5/5 · 10 minutes*
#
# From padded captions (B, T), `<bos>` first, make three tensors (B, T - 1):
#
# 1. `inputs`: what the model reads, all but the last token;
# 2. `targets`: what it must say, the same moved one step ahead;
# 3. `real`: True where the **target** is a token, `<eos>` included, False where it is padding.


# %%
def shift(tokens, pad_id):
    """tokens (B, T) -> inputs, targets, real, each (B, T - 1)"""
    raise NotImplementedError("write me")


check.shift(shift)

# %% [markdown]
# <details><summary>Hint 1: draw it</summary>
#
# For `<bos> a cat <eos>` there are three questions: `<bos>` → a, a → cat, cat → `<eos>`.
# Write the left sides in one row and the right sides in another.
# </details>
# <details><summary>Hint 2: which dimension?</summary>
#
# Rows are captions, columns are time: `tokens[:, :-1]` cuts the last column.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def shift(tokens, pad_id):
#     inputs, targets = tokens[:, :-1], tokens[:, 1:]
#     return inputs, targets, targets != pad_id
# ```
# </details>
#
# From here on the package's `caption_loss` does this: mean cross-entropy over the real targets,
# in nats a token.
#
# **Predict:** the model above is untrained. What is its loss? You can say it to one decimal.

# %%
with torch.no_grad():
    start = caption_loss(model, memory[:3].cpu(), tokens, tokenizer.pad_id)
print(
    f"untrained: {start:.2f} nats a token; the logarithm of {len(tokenizer)} is "
    f"{math.log(len(tokenizer)):.2f}"
)

# %% [markdown]
# Whoever knows nothing spreads the probability evenly over all words and pays $\ln V$. A first loss
# far from $\ln V$ means a bug before training has even begun.
#
# ## 4. The gate: can it learn fifty captions by heart?
#
# Training takes minutes, a bug takes the same minutes, and its loss curve often looks healthy.
# So first a test that costs seconds and has a sure answer: **fifty captions, no dropout, nothing to
# generalise**. A correct captioner learns them by heart. Here is the whole loop, undressed.


# %%
def by_heart(pairs, steps=120):
    """Losses of a fresh model that sees the same (picture, caption) pairs at every step."""
    torch.manual_seed(0)
    model = ShowAndTell(len(tokenizer), memory.shape[-1], 128, 128, dropout=0.0).to(here.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    tokens = pad([tokens_of[i][k] for i, k in pairs], tokenizer.pad_id)[0].to(here.device)
    losses = []
    for _ in range(steps):
        loss = caption_loss(model, memory[[i for i, _ in pairs]], tokens, tokenizer.pad_id)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


fifty_pictures = by_heart([(i, 0) for i in range(50)])
print(
    f"50 captions of 50 pictures: {fifty_pictures[0]:.2f} → {fifty_pictures[-1]:.4f} nats a token"
)
assert fifty_pictures[-1] < 0.05, "a captioner that cannot learn 50 captions has a bug: stop here"

# %% [markdown]
# The gate is open. **Now predict:** again fifty captions, but *ten* pictures with *five* captions
# each. Same model, same steps. Will the loss again go to zero? If not, can you compute where it
# stops, before you run it?
#
# <details><summary>A thought</summary>
#
# For one picture there are now five right answers, and nothing in the picture says which one we
# want this time. The best model gives each of the five 1/5. How many nats does that cost a caption?
# And a token?
# </details>

# %%
ten_pictures = [(i, k) for i in range(10) for k in range(5)]
five_each = by_heart(ten_pictures)
answers = [[tokens_of[i][k] for k in range(5)] for i in range(10)]
# -log of each caption's share among its picture's five (two may be the same), spread over its tokens
nats = sum(-math.log(own.count(c) / 5) for own in answers for c in own)
floor = nats / sum(len(c) - 1 for own in answers for c in own)
print(
    f"50 captions of 10 pictures: {five_each[-1]:.4f}, the floor computed beforehand: {floor:.4f}"
)
plots.show(
    plots.lines(
        {"50 pictures": fifty_pictures, "10 pictures": five_each},
        "Five right answers put a floor under the loss",
        "step",
        "loss (nats a token)",
        baselines={"floor": floor},
        log_y=True,
    ),
    alt="Two losses fall over the steps on a log scale. With one caption a picture the loss goes "
    "on towards zero; with five it flattens on the dashed line that was computed beforehand.",
)

# %% [markdown]
# Read the two curves against the dashed line. The first goes on towards zero; the second leans on
# the floor and stays, though both learned by heart all they could. **A loss above zero is not an
# error**: a picture can be told in many ways, and the loss pays for the choice. This is why no
# captioner ever reaches zero, and why a real one that does is cheating (section 11).
#
# ## 5. A race: two doors, and a blind one
#
# Which door is better? Theory is silent; we measure, small before large. A third model takes part
# that is shown zeros: **blind**, and otherwise the same. It answers a question that a loss alone cannot:
# *how much of this is looking, and how much is just knowing how people talk?*
#
# **Predict** the order at the finish. And the start: how long until the seeing models leave the blind one?


# %%
def batches(epoch, pictures=len(train_set), size=64):
    """Batches of (picture, caption) pairs: one caption of each picture, like lengths together."""
    rng = random.Random(epoch)
    pairs = [(i, rng.randrange(5)) for i in range(pictures)]
    lengths = [len(tokens_of[i][k]) for i, k in pairs]
    return [[pairs[j] for j in batch] for batch in bucketed_batches(lengths, size, epoch)]


def loss_on(model, pairs, memory=memory):
    tokens = pad([tokens_of[i][k] for i, k in pairs], tokenizer.pad_id)[0].to(here.device)
    return caption_loss(model, memory[[i for i, _ in pairs]], tokens, tokenizer.pad_id)


def loss_on_dev(model, memory=dev_memory):
    tokens = pad([tokenizer.with_ends(cs[0]) for cs in dev_set.captions], tokenizer.pad_id)[0]
    return caption_loss(model, memory, tokens.to(here.device), tokenizer.pad_id)


def tell(model, memory, beam=1):
    """Captions of memory (B, 1, D), and their log-probabilities; beam 1 is greedy."""
    found, scores = decoding.beam_search(model, memory, tokenizer.bos_id, tokenizer.eos_id, beam)
    return [tokenizer.decode(tokens) for tokens in found], scores


# %%
def trial(door, blind=False):
    """Losses on dev, epoch by epoch, of a small model in a short training."""
    torch.manual_seed(1)
    pictures, epochs = settings["trial"]
    model = ShowAndTell(len(tokenizer), memory.shape[-1], 96, 96, door, dropout=0.0).to(here.device)
    seen, seen_dev = (m * (not blind) for m in (memory, dev_memory))
    return train(
        model, lambda m, pairs: loss_on(m, pairs, seen), lambda epoch: batches(epoch, pictures),
        TrainSettings(epochs=epochs, learning_rate=5e-3),
        validate=lambda m: loss_on_dev(m, seen_dev), quiet=True,
    ).valid_loss  # fmt: skip


doors = {
    "first input": trial("input"),
    "first state": trial("state"),
    "blind": trial("input", True),
}
gain = doors["blind"][-1] - min(doors["first input"][-1], doors["first state"][-1])
plots.show(
    plots.loss_curves(doors, f"Looking saves {gain:.1f} nats a token"),
    alt="Losses on dev by epoch: the model that is shown zeros stays highest; both doors fall "
    "below it.",
)
length = sum(len(c.split()) + 1 for cs in dev_set.captions for c in cs[:1]) / len(dev_set)
print(
    f"looking saves {gain:.2f} nats a token, times {length:.1f} tokens: {gain * length:.1f} nats a "
    "caption"
)

# %% [markdown]
# At first the three run together: they learn how people talk, and for that nobody needs a picture.
# Then the seeing ones leave. The blind model goes on a little and stops: **its level is the price of
# not looking**, and the last line says what looking saved up to here.
#
# Between the doors the difference is clear as well, and there is a likely reason. By the state the picture
# arrives in $2H$ numbers, just where the LSTM keeps its memory; as an input it must squeeze through
# one embedding and the gates of one step. The paper took the input; on scenes we take the state.
# *On scenes*: a race settles what it has measured, no more.
#
# Keep the blind one's level in mind. **If ever your captioner's loss settles at the level of a blind one, the
# picture does not reach it**, however fluent it sounds.
#
# ## 6. A minute of training
#
# Now in earnest, with all pictures. `train` is the loop of section 4 with a warm-up, a falling learning
# rate, and a checkpoint after each epoch. An *epoch* here shows each picture once, with one of its
# five captions.
#
# And we keep a diary: after every epoch the model describes **the same three pictures**, which it
# never trains on. **Predict** the order in which it learns: grammar, things, colours, counts, ground
# and sky. What comes first, and what last?


# %%
torch.manual_seed(0)
model = ShowAndTell(len(tokenizer), memory.shape[-1], 128, settings["hidden"], "state", dropout=0.1)
history = train(
    model.to(here.device), loss_on, batches,
    TrainSettings(epochs=settings["epochs"], learning_rate=settings["rate"]),
    validate=loss_on_dev,
    sample=lambda model: " | ".join(tell(model, dev_memory[:3])[0]),
    out=sizes.build_folder("lesson-03", "first-run"),  # name another folder to begin anew
    dtype=here.dtype,
)  # fmt: skip

# %% [markdown]
# ### The picture that stays
#
# The diary, with every false word marked. Scenes are drawn by code, so falsehood can be *computed*:
# a word is false if without it the caption would say less that is false, and nothing less that is true.


# %%
from coursekit.datasets.scene_words import Dice, describe, false_words

diary = [line.split(" | ") for line in history.samples]
shown = sorted({0, 1, 2, 4, 7, 11, len(diary) - 1} & set(range(len(diary))))
told = [
    [(f"epoch {e + 1:2}", diary[e][i].split(), false_words(diary[e][i], dev_set.scenes[i].facts()))
     for e in shown]
    for i in range(3)
]  # fmt: skip
plots.show(
    plots.stories(
        [dev_set.image(i) for i in range(3)],
        told,
        "Fluent from the first page of the diary, true much later or never",
    ),
    alt="Three pictures, and beside each the model's captions as training goes, false words "
    "marked. All are English from the start; false words become fewer, those for colours last.",
)

# %% [markdown]
# Compare with your prediction. Already the first captions are *English*: there is nothing wrong with
# them but that they are not true. The kinds of things come right early, ground and sky after
# them, **colours last**, and where several things share a picture some colours and counts flip to
# and fro until the end. (Look where the flipping word comes *from*. Section 8 follows the trace.)
#
# The order is no accident. Grammar is in every caption, so every batch teaches it; a purple kite is in
# few. **Fluency is cheap, truth is expensive**, and that is worth remembering whenever a fluent machine
# tempts you to believe it.
#
# ## 7. Let it speak
#
# In training the model read the true words. Now there are none: it must read **its own**.
#
# ### Exercise 3 · Say it
# *difficulty 3/5 · importance 5/5 · 15 minutes*
#
# Describe one picture by always taking the likeliest next word. The model has two methods:
# `model.start(memory)` returns a state, and `model.step(tokens, state)` takes the last token, shape
# (1,), and returns logits (1, V) and the next state.
#
# Start with `bos_id`; stop at `eos_id` or after `max_len` words; return the words as a list of
# ints, without `bos_id` and `eos_id`.


# %%
@torch.no_grad()
def say(model, memory, bos_id, eos_id, max_len):
    """memory (1, N, D) -> list of at most max_len ints"""
    raise NotImplementedError("write me")


if check.say(say):
    print("yours:", tokenizer.decode(say(model, test_memory[:1], 1, 2, 30)))

# %% [markdown]
# <details><summary>Hint 1: what goes round the loop?</summary>
#
# Two things: the state, and the word just chosen. Without the state the model forgets all but the last
# word; without the word it never learns which one was chosen; without both it says the same for ever.
# </details>
# <details><summary>Hint 2: shapes</summary>
#
# `logits.argmax(-1)` is already of shape (1,): hand it back as it is, and keep `int(...)` of it.
# </details>
# <details><summary>Hint 3: order within the loop</summary>
#
# Step, choose, *then* look whether it is `<eos>`, and only then keep it.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def say(model, memory, bos_id, eos_id, max_len):
#     state, found = model.start(memory), []
#     token = torch.tensor([bos_id], device=memory.device)
#     while len(found) < max_len:
#         logits, state = model.step(token, state)
#         token = logits.argmax(-1)
#         if int(token) == eos_id:
#             break
#         found.append(int(token))
#     return found
# ```
# </details>

# %% [markdown]
# What you have written is called **greedy**. **Beam search** keeps the best three beginnings at every
# step instead of one, and in the end the likeliest of its sentences; lesson 04 opens it up. Here are
# both on five pictures. **Predict:** in how many of the five will greedy name a wrong thing, in how many a
# wrong colour? And how many will beam search mend?

# %%
greedy, _ = tell(model, test_memory)
beam, _ = tell(model, test_memory, beam=3)
five = [{"greedy": greedy[i], "beam 3": beam[i], "true": test_set.captions[i][0]} for i in range(5)]
told = [
    [(f"{name:6}", c.split(), false_words(c, scene.facts())) for name, c in said.items()]
    for said, scene in zip(five, test_set.scenes, strict=False)
]
plots.show(
    plots.stories([test_set.image(i) for i in range(5)], told,
                  "On new pictures the things are right, not all colours", 1.2),
    alt="Five test pictures, each with a greedy caption, one by beam search and a true one; false "
    "words are marked. Greedy: " + "; ".join(greedy[:5]),
)  # fmt: skip

# %% [markdown]
# How good is that? We need numbers, and something to hold them against. Below, two yardsticks frame
# the model: the **grammar itself**, which describes each picture anew and is right by construction,
# and the **wrong picture**, which gets true captions of some other scene.
#
# BLEU you know from lesson 00. **CIDEr** counts shared phrases too, and the rarer a phrase, the more it
# counts; its largest value is 10.
#
# **Predict:** beam search finds captions that are *likelier* than the greedy ones. Are they also
# *better*? And will the grammar, which makes no mistakes, reach a BLEU of 1?

# %%
from coursekit.metrics.captions import caption_scores
from coursekit.metrics.scenes import fact_scores


def grade(captions):
    scores = caption_scores(captions, test_set.captions, meteor=False)
    return scores | fact_scores([claims(c) for c in captions], test_set.facts())


anew = [describe(s, Dice(random.Random(f"anew/{i}"))) for i, s in enumerate(test_set.scenes)]
rows = {"greedy": greedy, "beam 3": beam, "grammar": anew, "wrong picture": anew[1:] + anew[:1]}
graded = {name: grade(captions) for name, captions in rows.items()}
columns = ("Bleu_1", "Bleu_4", "CIDEr", "fact_precision", "fact_recall")
print(" " * 14, *(f"{c:>14}" for c in columns), f"{'words':>7}")
for name, captions in rows.items():
    length = sum(len(c.split()) for c in captions) / len(captions)
    print(f"{name:14}", *(f"{graded[name][c]:14.3f}" for c in columns), f"{length:7.1f}")

# %% [markdown]
# Four things to see.
#
# - **The grammar's BLEU-4 is far below 1**, though its every word is true: it often uses other words
#   than the five references. Nor does it tell everything: its `fact_recall` is not 1 either.
# - **Captions of the wrong picture earn points too**: "in the sky", "on the grass" fit somewhere. Judge a
#   score between these two rows.
# - **The model comes near the grammar in BLEU-1, BLEU-4 and CIDEr, and may pass it, while some of its
#   claims are false.** How can that be? It always takes the *commonest* wording, and that is what five
#   references share; the grammar varies, as people do. (Lesson 00's *typical* grammar showed how high
#   truth in common words can score.)
# - **Beam search** finds likelier captions; whether they are better depends on the column. Lesson 04
#   is about that.
#
# ## 8. Read the failures
#
# One number hides what went wrong. A caption's claims come in kinds: the thing, its colour, its
# count, size and place, the ground and the sky. **Which kind does your model get wrong?**
#
# ### Exercise 4 · Precision by kind
# *difficulty 2/5 · importance 3/5 · 10 minutes*
#
# `claimed[i]` and `facts[i]` are sets of tuples; the first entry of a tuple is its kind. Return, for
# each kind that is claimed at all, the share of its claims that are true *of their own picture*.
# Count over all pictures together and divide once.


# %%
def precision_by_kind(claimed, facts):
    """two lists of sets of tuples -> dict: kind -> share of true claims"""
    raise NotImplementedError("write me")


if check.precision_by_kind(precision_by_kind):
    print(precision_by_kind([claims(c) for c in greedy], test_set.facts()))

# %% [markdown]
# <details><summary>Hint 1: two counters</summary>
#
# `said[kind]` and `true[kind]`, both `collections.Counter()`. Go through pictures and facts
# together with `zip`.
# </details>
# <details><summary>Hint 2: a kind that is always wrong</summary>
#
# A `Counter` gives 0 for what it has not seen. Loop over the kinds of `said`, not of `true`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def precision_by_kind(claimed, facts):
#     from collections import Counter
#     said = Counter(c[0] for own in claimed for c in own)
#     true = Counter(c[0] for own, known in zip(claimed, facts) for c in own & known)
#     return {kind: true[kind] / said[kind] for kind in said}
# ```
# </details>


# %%
from collections import Counter


def precision(captions, scenes, kind):
    """The share of the claims of one kind that are true; None if there are none."""
    said = [{claim for claim in claims(c) if claim[0] == kind} for c in captions]
    return fact_scores(said, [s.facts() for s in scenes])["fact_precision"] if any(said) else None


often = Counter(claim[0] for c in greedy for claim in claims(c))
shares = {f"{kind}, {n} claims": precision(greedy, test_set.scenes, kind)
          for kind, n in often.most_common()}  # fmt: skip
plots.show(
    plots.bars(shares, "The things are right, their colours often not",
               "share of true claims, greedy", digits=2),
    alt="The share of true claims: " + "; ".join(f"{kind}: {v:.2f}" for kind, v in shares.items()),
)  # fmt: skip
print("colour, by how many kinds of thing share the picture:")
for n in (1, 2, 3):
    some = [i for i, s in enumerate(test_set.scenes) if len(s.things) == n]
    share = precision([greedy[i] for i in some], [test_set.scenes[i] for i in some], "colour")
    print(f"  {n} of them, {len(some):3} pictures: {share or 0:.2f}")

# %% [markdown]
# Colour is the weak spot, among the kinds that are claimed often (places seldom are). Now look at
# the three lines below the bars. **One thing in the picture: its colour is nearly always right.
# More things: wrong more and more often**, though the *things* are right. So the eye does see
# colours. What gets lost?
#
# **A suspicion to test:** the model knows which colours there are, and not *whose* they are. Then a
# wrong colour would not be just any colour: it would belong to **another thing of the same picture**,
# more often than chance allows.

# %%
wrong, stolen, chance = 0, 0, 0.0
for caption, scene in zip(greedy, test_set.scenes, strict=True):
    colour_of = {thing.name: thing.colour for thing in scene.things}
    for kind, name, said in (claim for claim in claims(caption) if len(claim) == 3):
        if kind == "colour" and name in colour_of and said != colour_of[name]:
            others = set(colour_of.values()) - {colour_of[name]}
            wrong += 1
            stolen += said in others
            chance += len(others) / 7  # 7 colours would have been wrong
print(
    f"{wrong} things got a wrong colour; for {stolen} it is the colour of another thing in the "
    "picture"
)
print(f"a wrong colour drawn at random would hit another thing's {chance:.0f} times")

# %% [markdown]
# Hardly a colour is invented; they are **stolen from the neighbour**. This is the *binding problem*. Our
# suspect is section 1: the largest value over 16 places says "something red, something blue, a car, a
# house", and no longer which place said what. Is the answer lost there, or only hard to find? We cannot
# tell yet. Lesson 05 tests it, and gives the model all 16 places and a way to choose among them.
#
# **Predict:** twelve pairs of colour and thing, a red house among them, never occur in training. In the
# split `unseen` every picture has at least one. The model knows *red*, and it knows *house*. Will
# it say "a red house"?

# %%
unseen_set = Scenes("unseen", settings["exam"])
composed, _ = tell(model, look(unseen_set))


def colours_said(captions, scenes, wanted):
    """Of the `wanted` (colour, name) things: named, told with the right and a wrong colour."""
    named = right = other = total = 0
    for caption, scene in zip(captions, scenes, strict=True):
        said = claims(caption)
        for thing in (t for t in scene.things if wanted((t.colour, t.name))):
            total, named = total + 1, named + (("thing", thing.name) in said)
            colours = {claim[2] for claim in said if claim[:2] == ("colour", thing.name)}
            right, other = right + (thing.colour in colours), other + bool(colours - {thing.colour})
    named, right, other = named / total, right / total, other / total
    return f"{total:4} things: named {named:.2f}, colour right {right:.2f}, wrong {other:.2f}"


print("pairs seen in training ", colours_said(greedy, test_set.scenes, lambda pair: True))
print(
    "pairs never seen       ", colours_said(composed, unseen_set.scenes, UNSEEN_PAIRS.__contains__)
)

# %% [markdown]
# The thing is nearly always named; its colour is wrong far more often than for pairs it knows. Eye and
# language have both learned that this pair does not exist, and between sight and habit, habit wins.
# The ordinary test split would never have told us.
#
# ## 9. Does it look at all?
#
# A fluent model could fake a good deal of this. Two ways to find out: **take the picture away**, or
# **swap it for another**.
#
# **Predict** what the model says of a black picture; of noise; of a meadow with nothing on it; of a
# scene upside down. And will it be less sure of itself?

# %%
from coursekit.datasets import scene_drawing

black = torch.zeros(3, 64, 64, dtype=torch.uint8)
noise = torch.randint(
    0, 256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
meadow = torch.from_numpy(scene_drawing.blank("day", "grass")).permute(2, 0, 1)
odd = torch.stack([black, noise, meadow, test_set.image(0).flip(1), test_set.image(0)])
with torch.no_grad():
    captions, scores = tell(model, encoder(odd.to(here.device)).amax(1, keepdim=True))
# The likelihood of a caption, per word: its geometric mean
sure = [math.exp(s / (len(c.split()) + 1)) for c, s in zip(captions, scores, strict=True)]
plots.show(
    plots.show_pictures(odd, [f"{c} ({p:.2f} a word)" for c, p in zip(captions, sure, strict=True)],
                        columns=5, title="It always sees something"),
    alt="A black picture, noise, an empty meadow, a scene upside down and the scene itself, each "
        "with the model's caption and its mean probability a word. " + "; ".join(captions),
)  # fmt: skip

# %% [markdown]
# It never says "nothing there": no caption in its life said so. It fills the silence with phrases
# it knows, some in company it never met (no bird was ever black at night), and the number in
# brackets, how likely it finds its own words, hardly warns you: compare the nonsense with the last
# picture. **A captioner cannot decline.** With photographs the same habit is called
# *hallucination*.
#
# Next, the swap, word by word: the probability of each true word given its own picture, another
# picture, and no picture at all (zeros). **Predict** which columns will be equal in all three rows.

# %%
things = [{thing.name for thing in scene.things} for scene in test_set.scenes]
another = next(i for i, others in enumerate(things) if not others & things[0])
rows = torch.stack([test_memory[0], test_memory[another], torch.zeros_like(test_memory[0])])
with torch.no_grad():
    own = {
        c: torch.tensor([tokenizer.with_ends(c)], device=here.device) for c in test_set.captions[0]
    }
    caption = min(own, key=lambda c: caption_loss(model, rows[:1], own[c], tokenizer.pad_id))
    tokens = own[caption].expand(3, -1)  # the likeliest of its five true captions, three times
    chances = model(rows, tokens[:, :-1]).softmax(-1)  # (3, T - 1, V)
true = chances.gather(2, tokens[:, 1:, None])[..., 0].cpu()  # (3, T - 1)
plots.show(
    plots.heat(true, "Things, colours and grounds need the picture", ["its own", "another", "none"],
               [*caption.split(), "<eos>"], "true next word", "picture", "probability", 0, 1,
               digits=1),
    alt="Rows: its own picture, another, none. Columns: the words of a caption. Words of grammar "
        "are likely in all rows; things, colours and grounds are likeliest in the first.",
)  # fmt: skip

# %% [markdown]
# Compare the rows. Little words such as "a" and "the" are often likely in all three: they follow from the
# words before. Things, colours, grounds and skies are brightest in the first row and mostly dark in the
# others (a bright cell down there is a lucky guess): *there* the picture is read. It does look. Where
# even the first row is dark, it would have said something else: compare with its own caption, above.
# But much of a caption is not about its picture, so a good loss, averaged over words, proves little.
#
# ## 10. Its own words
#
# In training every word before was true. When it speaks, the words before are its own, and some are
# false. It has never practised going on from a mistake. This is **exposure bias**, and you can see
# it: put a false beginning into its mouth and let it go on.


# %%
@torch.no_grad()
def go_on(picture, beginning, max_len=30):
    """The caption of one picture (1, 1, D) that starts with the words of `beginning`."""
    said = [tokenizer.bos_id, *tokenizer.encode(beginning)]
    state = model.start(picture)
    for token in said:
        logits, state = model.step(torch.tensor([token], device=here.device), state)
    while (token := logits.argmax(-1)).item() != tokenizer.eos_id and len(said) < max_len:
        said.append(token.item())
        logits, state = model.step(token, state)
    return tokenizer.decode(said)


first = [" ".join(cs[0].split()[:4]) for cs in test_set.captions]
for name, starts in {"a true beginning": first, "a false one": first[1:] + first[:1]}.items():
    whole = [go_on(test_memory[i : i + 1], start) for i, start in enumerate(starts[:150])]
    rest = [claims(c) - claims(start) for c, start in zip(whole, starts, strict=False)]
    print(f"{name:17} true claims in the rest: "
          f"{fact_scores(rest, test_set.facts()[:150])['fact_precision']:.2f}",
          f"   e.g. [{starts[0]}] {whole[0].removeprefix(starts[0])}")  # fmt: skip

# %% [markdown]
# After a false beginning the *rest* is less true as well, though the picture is the same and still in
# the state. The model takes nothing back: it goes on as if it had been right, for in its training the
# words before always were. So an early slip spoils what follows. Beam search helps a little, since it
# can drop a beginning that leads nowhere.
#
# ## 11. Break it on purpose
#
# Five short trainings, one healthy, four with a bug that real captioners have had.
# **Predict: which one will have the lowest loss?**


# %%
def loss_with(bug, model, memory, tokens):
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    if bug == "targets not moved":
        targets = inputs
    if bug == "pictures out of order":
        memory = memory.roll(1, 0)
    if bug == "no <eos> in the targets":
        targets = targets.where(targets != tokenizer.eos_id, tokenizer.pad_id)
    real = targets != tokenizer.pad_id
    if bug == "padding counted":
        real = torch.ones_like(real)
    return F.cross_entropy(model(memory, inputs)[real], targets[real])


# %%
def short_training(bug):
    torch.manual_seed(2)
    model = ShowAndTell(len(tokenizer), memory.shape[-1], 96, 96, dropout=0.0).to(here.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(settings["bugs"]):
        some = torch.randint(len(train_set), (32,))
        tokens = pad([tokens_of[i][0] for i in some], tokenizer.pad_id)[0].to(here.device)
        loss = loss_with(bug, model, memory[some], tokens)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item(), tell(model.eval(), test_memory[:1])[0][0]


names = (
    "none",
    "targets not moved",
    "padding counted",
    "no <eos> in the targets",
    "pictures out of order",
)
for bug in names:
    loss, said = short_training(bug)
    print(f"{bug:24} loss {loss:.3f}   {said[:90]!r}")

# %% [markdown]
# **The two lowest losses belong to broken models.** One has learned to copy the word it is given, so it
# copies `<bos>` for ever, which is no word: hence the empty caption. The other is proud of guessing
# padding. Without `<eos>` a model cannot stop. And *pictures out of order* sounds perfect: a loss
# only a little behind, fluent captions, about some other picture. Would the gate of section 4 have
# caught it?
#
# A loss must be read together with what it measures, and with a caption beside it. Hence the rule of
# this course: **every epoch prints a sample.**
#
# | what you see | the likely cause |
# |---|---|
# | first loss far from $\ln V$ | logits scaled or masked wrongly; token ids beyond the vocabulary; softmax applied twice |
# | loss close to 0 within the first epoch | you are not predicting the *next* word: the targets are not moved; or the answers leak |
# | loss below that of a good run, captions poor | padding is counted: it is easy, and it dilutes the mean |
# | loss stops at the blind model's level, captions fluent and all alike | the picture does not arrive: zeros, no gradient through the map, pictures out of order, features constant |
# | training loss falls, loss on dev rises | learning by heart: more dropout, fewer epochs, more pictures |
# | captions never end | no `<eos>` in the targets, or the mask hides it |
# | captions end at once, or repeat one word | the state or the last word is not handed on (exercise 3) |
# | good loss, poor captions | a bug in decoding: still in training mode (dropout), another vocabulary, images prepared in another way |
# | captions fine in training, wrong after loading | tokenizer not saved with the weights; encoder back in training mode (batch statistics) |
# | loss is nan | learning rate too high or no clipping; a mean over zero real tokens |
# | things right, colours exchanged | not a bug: binding, the price of one vector. Lesson 05 |
#
# ## 12. Real photographs
#
# Nothing above depends on drawings. With photographs the encoder is a network trained on ImageNet,
# and the words come from people. Flickr8k has 8,000 photographs with five captions each:
#
# ```
# coursekit train show-and-tell --data flickr8k --root DIR --out runs/flickr8k
# coursekit evaluate runs/flickr8k --data flickr8k --root DIR --beam 3
# ```
#
# `DIR` is the folder that `python data_scripts/flickr8k.py --to DIR` fills. What was reached, here and
# elsewhere (scores × 100):
#
# | system | data | BLEU-1 | 2 | 3 | 4 | source |
# |---|---|---|---|---|---|---|
# | Show and Tell | Flickr8k | 63 | 41 | 27 | | as quoted by Xu et al. 2015 |
# | Show and Tell | COCO | | | | 27.7 | Vinyals et al. 2015 |
# | Show, Attend and Tell, soft | Flickr8k | 67 | 44.8 | 29.9 | 19.5 | Xu et al. 2015 |
# | Show and Tell, this course | Flickr8k | 59.0 | 39.5 | 26.2 | 17.2 | these models at 128 pixels, mean of seeds 0 to 2 |
# | a person | Flickr8k | 62.6 | 43.9 | 30.4 | 21.0 | the first caption of each test photo against the other four |
#
# Our row is not quite like the others: its photos were squeezed to 128 pixels, and it was scored on
# 500 of the official dev photos, the other 500 being its dev set. A network of 2018 reads the photos,
# which those of 2015 could not have.
#
# **Look twice at the last row.** By BLEU-1 a model of 2015 describes photographs about as well as a
# person who has one reference less to agree with (Vinyals and colleagues put people at 70; on COCO, by
# BLEU-4, they put their model six points *above* people). You have just seen what such a model says of a
# black picture. Either captioning was solved in 2015, or something is wrong with the ruler. Which,
# is the question of lesson 04.
#
# ## Questions
#
# 1. Teacher forcing computes all steps at once. Why can decoding not do that?
# 2. The gate does not catch "pictures out of order": fifty wrong pairs are learned by heart as easily as
#    fifty right ones. Invent a gate that does.
# 3. Why must `<eos>` be a real target while padding must not?
# 4. The model is given the picture once. What would change if it were added to *every* word? What
#    could the LSTM then afford to forget, and what could go wrong?
# 5. You double the hidden size, and colours are still exchanged. Explain to a colleague why.
#
# <details><summary>Short answers</summary>
#
# 1. In training every word before is given. When it speaks, a word must be chosen before it can be read.
# 2. Score captions it has *not* learned, with their own pictures and with swapped ones: if the pictures
#    arrive where they belong, their own cost clearly less.
# 3. Who is not taught to stop will not stop. Padding is nothing to say, and easy to guess.
# 4. It could leave the picture out of its notes and keep them for the sentence. But whoever sees the
#    picture anew at every word may forget what has been said of it, and fits its noise sooner.
# 5. A larger memory gets the same one vector, in which 16 places speak at once, and must sort out all
#    colours before the first word. What is missing is a way to ask one place at a time.
# </details>
#
# ## Go further
#
# - Train with `"input"` in place of `"state"` (and another folder): which kind of fact pays most?
# - Replace `amax` by `mean` in `look`: what changes for counts, what for colours?
# - *Scheduled sampling* (Bengio et al. 2015): in training, replace some input words by the model's
#   own. Does the second line of section 10 improve?
# - Put ten pictures of each unseen pair into the training set. Are ten enough for the captioner? For the
#   frozen eye?
#
# ## What you have, and what is missing
#
# A picture enters a language model as one more word, or as its first memory. The model learns
# grammar first and truth later; its errors have kinds, and the kinds have causes: one vector binds
# badly, habit beats sight, and it cannot decline. What you do *not* have is a reason to trust the
# scores, or any other way to choose a caption than the likeliest. **Which caption is best, and who
# says so?** That is lesson 04.

# %%
best = graded["beam 3"]
sizes.report(
    Bleu_4=best["Bleu_4"],
    CIDEr=best["CIDEr"],
    fact_precision=best["fact_precision"],
    fact_recall=best["fact_recall"],
)
