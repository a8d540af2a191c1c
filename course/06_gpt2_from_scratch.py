# %% [markdown]
# # 06 · What is inside GPT-2?
#
# Lesson 05 ended with a thought. Queries, keys and values know nothing of pictures: the values could
# be **the words said so far**. Then a sentence need not be squeezed into one state. Each word looks
# back at whatever it needs, and the LSTM can go.
#
# Vaswani and colleagues did this in 2017 for translation. A stack of twelve such layers, trained in
# 2019 to guess how forty gigabytes of web text go on, is the smallest **GPT-2**. Today you write it,
# load its weights, and make it fast. In lesson 07 it gets eyes.
#
# After this lesson you can
#
# - cut any text into pieces so that no word is unknown;
# - write causal attention, the block and the whole of GPT-2, and load its weights into your own code;
# - **prove with one picture that a model cannot see the future**, and catch one that can;
# - give it a cache, and say what that saves and what it costs.
#
# Two hours and a half with the exercises.

# %%
from coursekit import sizes

here = sizes.setup()
print(here)

# %%
settings = here.pick(
    smoke=dict(scenes=150, exam=40, merges=60, width=32, layers=2, epochs=1, lstm=(32, 1),
               drawn=(1, 60),
               trial=(3, 6), speed=(32, 2, 64), hub=None),
    cpu=dict(scenes=2000, exam=400, merges=140, width=128, layers=3, epochs=4, lstm=(192, 14),
             drawn=(10, 500),
             trial=(12, 100), speed=(256, 6, 512), hub=None),
    gpu=dict(scenes=6000, exam=500, merges=140, width=256, layers=6, epochs=10, lstm=(384, 30),
             drawn=(10, 500),
             trial=(12, 300), speed=(768, 12, 1024), hub="gpt2"),
)  # fmt: skip

# %% [markdown]
# The text below describes size `cpu`. At `gpu` the models are larger, and in section 11 the real GPT-2
# is loaded; size `smoke` only proves that every cell runs.
#
# ## 1. No word is unknown

# %%
import math
import time
from collections import Counter
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from coursekit import decoding, plots
from coursekit.datasets.scene_words import SKY_PHRASES
from coursekit.datasets.scenes import Scenes
from coursekit.models.lstm import LSTMLanguageModel, caption_loss
from coursekit.plots.transformers import future_share, word_maps
from coursekit.text import BPETokenizer, WordTokenizer, pad, words
from coursekit.training import TrainSettings, bucketed_batches, train

train_set, dev_set = Scenes("train", settings["scenes"]), Scenes("dev", settings["exam"])
captions = [c for each in train_set.captions for c in each]
held_out = [c for each in dev_set.captions for c in each]
by_word = WordTokenizer.train(captions)
new = "a turquoise hedgehog on the beach"
print(f"{len(by_word)} words:", [by_word.words[token] for token in by_word.encode(new)])
print(f"{len(new.encode())} bytes: {list(new.encode()[:11])} …")

# %% [markdown]
# Our captions need a hundred words, and whatever else comes is `<unk>`. The web needs millions. But a
# computer stores every text, in whatever language, as **bytes**, and there are only 256 of them. With
# bytes as tokens nothing is ever unknown. The price: this caption becomes 33 tokens instead of 6, and
# the model would have to learn spelling before it can learn anything else.
#
# *Byte-pair encoding* (Sennrich et al. 2016) goes the middle way. Begin with bytes. Find the two
# neighbours that stand side by side most often, and make **one new token** of them. Do it again, and
# again. What is common becomes short, what is rare stays spelled.
#
# **Predict** the first merge. And how many tokens has a caption of 15 words after 140 of them?
#
# In the code a token is written as one character, so that Python's own `replace` does the merging.


# %%
def spelled(word):
    """A word, and the space before it, as bytes: one character each."""
    return (" " + word).encode().decode("latin-1")


corpus = Counter(spelled(word) for caption in captions for word in words(caption))
spelling = {chr(byte): chr(byte) for byte in range(256)}
merges, lengths = [], []  # pairs in the order in which they were merged; pieces of a caption
for new_token in range(256, 256 + settings["merges"]):
    pairs = Counter()
    for word, times in corpus.items():
        for a, b in pairwise(word):
            pairs[a + b] += times
    pair = max(sorted(pairs), key=pairs.get)  # of equal ones the first by alphabet
    merges.append(pair)
    spelling[chr(new_token)] = spelling[pair[0]] + spelling[pair[1]]
    corpus = {word.replace(pair, chr(new_token)): times for word, times in corpus.items()}
    lengths.append(sum(len(word) * times for word, times in corpus.items()) / len(captions))
print("first merges:", [spelling[chr(256 + i)] for i in range(12)])
print("last merges: ", [spelling[chr(256 + i)] for i in range(len(merges) - 8, len(merges))])


# %%
def cut(caption, count):
    """The pieces of a caption after the first `count` merges, made one after the other."""
    pieces = []
    for word in map(spelled, words(caption)):
        for i, pair in enumerate(merges[:count]):
            word = word.replace(pair, chr(256 + i))
        pieces += [spelling[token] for token in word]
    return pieces


example = held_out[0]
for count in (0, 10, 40, len(merges)):
    print(f"{count:4} merges, {len(cut(example, count)):3} pieces:", "·".join(cut(example, count)))
in_words = sum(len(words(c)) for c in captions) / len(captions)
plots.show(
    plots.lines({"bytes and pieces": lengths}, "The first merges save most", "merges",
                "tokens of a caption", baselines={"words": in_words}),
    alt=f"Tokens of a caption by number of merges: from {lengths[0]:.0f} down to "
        f"{lengths[-1]:.1f}; as words it has {in_words:.1f}. The curve falls steeply at first.",
)  # fmt: skip

# %% [markdown]
# The first merge is a space and an *a*: pieces begin with the space before a word, so that a text can
# be put together again without guessing. Soon come *th* and *the*, and in the end whole words, after
# 140 merges fewer than 20 tokens a caption. It was told where words end; that *th* belongs together it
# has counted.
#
# ### Exercise 1 · One merge
# *difficulty 2/5 · importance 3/5 · 10 minutes*
#
# With lists of numbers there is no `replace`. Write it: wherever the two tokens of `pair` stand side
# by side, put `new` in their place.
#
# 1. Go from left to right. A token takes part in one merge at most: 4 4 4 becomes 8 4.
# 2. Everything else stays as it is, also in a list that is empty or has a single token.
# 3. Return a new list; leave the given one alone.


# %%
def merge(tokens, pair, new):
    """tokens: list of ints, pair: tuple of two ints, new: int -> list of ints"""
    raise NotImplementedError("write me")


from coursekit.checks import lesson_06 as check

check.merge(merge)

# %% [markdown]
# <details><summary>Hint 1: which loop?</summary>
#
# Sometimes you move on by one token, sometimes by two: a `while` loop with an index of its own.
# </details>
# <details><summary>Hint 2: the last token</summary>
#
# At the end there is no next one. `tuple(tokens[i : i + 2])` has then length 1 and equals no pair.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def merge(tokens, pair, new):
#     found, i = [], 0
#     while i < len(tokens):
#         if tuple(tokens[i : i + 2]) == tuple(pair):
#             found.append(new)
#             i += 2
#         else:
#             found.append(tokens[i])
#             i += 1
#     return found
# ```
# </details>
#
# The library `tokenizers` does the same in Rust. `BPETokenizer` is the course's cover over it. **Do
# the pieces agree?** And what becomes of the hedgehog, and of other alphabets?

# %%
by_piece = BPETokenizer.train(captions, 4 + 256 + settings["merges"])  # four are <pad>, <bos> …
theirs = set(by_piece.model.get_vocab())
same = sum(spelling[chr(256 + i)].replace(" ", "Ġ") in theirs for i in range(len(merges)))
print(f"{same} of our {len(merges)} merged pieces are the library's, too")
print(by_piece.model.encode(new).tokens)
for text in (new, "naïve", "Ёжик 🐢"):
    found = by_piece.model.encode(text)
    print(f"{text}: {len(found.ids)} tokens, and back:{by_piece.model.decode(found.ids)}")

# %% [markdown]
# (`Ġ` is how the library prints the space; where two pairs are equally common, the two programs may
# choose otherwise.) The hedgehog comes apart into many small pieces; of the Russian one and its turtle
# every byte is a token. All come back whole. **No text can be unknown.**
#
# GPT-2 has made 50,000 such merges on its web text: with 256 bytes and one token that ends a text, a
# vocabulary of **50,257**. For our captions, are pieces better than words? Both will be trained, in
# section 7.
#
# ## 2. Every word asks
#
# In lesson 05 the decoder's state asked sixteen places of a picture. Now *every word* asks, and the
# words are what is asked:
#
# | | lesson 05 | here |
# |---|---|---|
# | who asks (*query*) | the state of the LSTM | every word |
# | who is asked (*key*, *value*) | 16 places | the words up to this one |
# | score | $v \cdot \tanh(W_a a_i + W_h h)$ | $q_t \cdot k_s$ |
#
# The score has become plainer: a dot product, large where query and key point the same way. So all
# scores of all words are **one product of matrices**, and none waits for the word before, as in an
# LSTM. Watch the shapes.

# %%
torch.manual_seed(0)
said = "at night a small red boat floats".split()
T, E = len(said), 16
x = torch.randn(T, E)  # what the words are so far; here random
to_query, to_key, to_value = torch.randn(3, E, E) / E**0.5  # three maps; a model learns them
query, key, value = x @ to_query, x @ to_key, x @ to_value  # (T, E) each
scores = query @ key.T / E**0.5  # (T, T): row t asks, column s is asked; the root: section 3
future = torch.ones(T, T, dtype=torch.bool).triu(1)  # True above the diagonal
free = scores.softmax(1)
causal = scores.masked_fill(future, -torch.inf).softmax(1)  # (T, T), each row sums to 1
gathered = causal @ value  # (T, E): for each word a weighted mean of the values
plots.show(
    word_maps({"every word sees all": free, "no word sees the future": causal}, said,
              "The mask closes the upper half; each row still sums to 1", "weight"),
    alt="Two squares of seven by seven words. Left every word has some weight on every other. "
        "Right all squares above the diagonal are empty: the first word looks only at itself, the "
        "last at all seven.",
)  # fmt: skip

# %% [markdown]
# Why may *small* not look at *red*? Because **red is what it must guess**. In training all words lie
# before the model at once, and it answers all $T$ questions in one pass. An LSTM could not peep, since
# it reads in order. Attention must be forbidden to. A score of $-\infty$ becomes a share of exactly 0,
# and softmax divides the 1 among the rest. (E is the size of a word's vector, as in lesson 01.)
#
# ### Exercise 2 · The causal mask
# *difficulty 2/5 · importance 5/5 · 10 minutes*
#
# Hide the future, for a whole batch and several attentions (*heads*, section 4) at once. There may be
# more keys than queries: then the T queries are **the last T** of the S places, and each sees all
# places up to its own. (You will meet this in section 10.)
#
# 1. Query t (from 0) is place S - T + t. Which places come after it? Make a boolean mask (T, S).
# 2. Put minus infinity there, and leave all other scores as they are. No softmax yet.


# %%
def hide_future(scores):
    """scores (B, heads, T, S), S >= T -> the same with -inf where a query must not look"""
    raise NotImplementedError("write me")


check.hide_future(hide_future)

# %% [markdown]
# <details><summary>Hint 1: the mask for S = T</summary>
#
# `torch.ones(T, T, dtype=torch.bool).triu(1)` is True above the diagonal. `triu(k)` begins k columns
# further to the right.
# </details>
# <details><summary>Hint 2: the mask for S > T</summary>
#
# The first query is place S - T, so it sees S - T + 1 places: everything moves S - T columns to the
# right.
# </details>
# <details><summary>Hint 3: batch and heads</summary>
#
# A mask (T, S) fits the last two dimensions of (B, heads, T, S) by itself.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def hide_future(scores):
#     T, S = scores.shape[-2:]
#     future = torch.ones(T, S, dtype=torch.bool, device=scores.device).triu(S - T + 1)
#     return scores.masked_fill(future, -torch.inf)
# ```
# </details>

# %% [markdown]
# ## 3. Why divide by a root?
#
# One thing in that cell was not explained: `/ E**0.5`. Let query and key have $d$ numbers (so far $d$
# was E). Their product is a sum of $d$ terms. If each has a size of about 1, and either sign by chance,
# the sum has a size of about $\sqrt d$: with more numbers the scores grow. **Predict** what large scores
# do to a softmax, and to its gradient.


# %%
def looks(d, scale, places=16, queries=400):
    """Random queries and keys of d numbers: as if how many places were looked at, and how far
    weights move."""
    query, key = torch.randn(queries, 1, d), torch.randn(queries, places, d)
    weights = ((query * key).sum(2) * scale).softmax(1)  # (queries, places)
    used = (-(weights * weights.clamp_min(1e-12).log()).sum(1)).exp().mean()
    slope = (weights * (1 - weights)).sum(1).mean()  # of each weight by its own score, added up
    return used.item(), slope.item()


widths = [4, 16, 64, 256, 1024]
ways = {"q · k": lambda d: 1.0, "q · k / √d": lambda d: d**-0.5}
torch.manual_seed(0)
found = {name: [looks(d, scale(d)) for d in widths] for name, scale in ways.items()}
title = "Undivided, wide attention looks at one place and hardly learns another"
figure, axes = plots.panels(1, 2, height=3.4, title=title)
labels = ("places looked at, of 16", "gradient of the weights")
for part, (ax, what) in enumerate(zip(axes, labels, strict=True)):
    for name, each in found.items():
        ax.plot(widths, [pair[part] for pair in each], marker="o", label=name)
    ax.set(xlabel="d, numbers of a query", ylabel=what, xscale="log", ylim=0)
axes[0].legend()
plots.show(figure, alt="Left: places looked at by d. Divided by the root they stay near eleven; "
                       "undivided they fall to little more than one. Right: the gradient of the "
                       "weights stays near 0.9, and falls towards 0.")  # fmt: skip

# %% [markdown]
# Undivided, one score towers over the others: the weight is all on one place, chosen before anything
# was learned. And there a small change of the scores changes next to nothing, so **hardly any gradient
# tells it to look elsewhere**. The root keeps scores of size 1, whatever $d$ is (Vaswani et al. 2017,
# eq. 1; here with the mask $M$):
#
# $$\mathrm{attention}(Q, K, V) = \mathrm{softmax}\!\Big(\frac{Q K^\top}{\sqrt d} + M\Big)\, V, \qquad
# M_{ts} = 0 \text{ for } s \le t, \text{ else } -\infty$$
#
# ### Exercise 3 · Attention
# *difficulty 3/5 · importance 5/5 · 15 minutes*
#
# Put it together, for a batch. Queries and keys have d numbers, values have e.
#
# 1. Scores (B, T, T): each query with each key, divided by $\sqrt d$.
# 2. Hide the future: T keys, T queries.
# 3. Softmax over the keys, then the weighted means of the values → (B, T, e).


# %%
def attend(query, key, value):
    """query (B, T, d), key (B, T, d), value (B, T, e) -> (B, T, e)"""
    raise NotImplementedError("write me")


check.attend(attend)

# %% [markdown]
# <details><summary>Hint 1: a product for each sentence</summary>
#
# `query @ key.transpose(1, 2)` is (B, T, T); `key.T` would turn the batch as well.
# </details>
# <details><summary>Hint 2: which size?</summary>
#
# `query.shape[-1]` is d. Neither T nor e belongs under the root.
# </details>
# <details><summary>Hint 3: which dimension?</summary>
#
# Row t holds the scores of query t, and its shares must sum to 1: softmax over the last dimension.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def attend(query, key, value):
#     T, d = query.shape[1:]
#     scores = query @ key.transpose(1, 2) / d**0.5
#     future = torch.ones(T, T, dtype=torch.bool, device=query.device).triu(1)
#     return scores.masked_fill(future, -torch.inf).softmax(-1) @ value
# ```
# </details>

# %% [markdown]
# ## 4. Several heads
#
# A softmax wants to choose. A word such as *floats* may need two things, *what* floats and *where* we
# began, and one set of weights cannot be sharp at both. So the $E$ numbers are shared among several
# **heads**, each with queries, keys and values of its own, $E$ / heads numbers wide. They cost no
# more than one wide head. A last linear layer mixes what they bring.
#
# From here on PyTorch's `scaled_dot_product_attention` does exercise 3. It computes the same and
# need not keep the T × T weights, which makes long texts affordable.


# %%
class Attention(nn.Module):
    """Every word asks all words up to itself, through several heads."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)  # three maps in one
        self.out = nn.Linear(dim, dim)

    def look(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def forward(self, x):
        B, T, E = x.shape
        parts = self.qkv(x).view(B, T, 3, self.heads, E // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # (B, heads, T, d) each
        y = self.look(q, k, v)  # (B, heads, T, d)
        return self.out(y.transpose(1, 2).reshape(B, T, E))  # (B, T, E)


# %%
q, k, v = torch.randn(3, 2, 4, 7, 8)  # (B, heads, T, d) each
mask = torch.ones(7, 7, dtype=torch.bool).triu(1)
by_hand = (q @ k.transpose(-1, -2) / 8**0.5).masked_fill(mask, -torch.inf).softmax(-1) @ v
print("as by hand:", torch.allclose(by_hand, Attention(32, 4).look(q, k, v), atol=1e-6))

# %% [markdown]
# ## 5. The block
#
# Attention only *moves* things: what comes out are means of what was there. Something must also
# *work* on what has come together. That is a small network of two layers, the same for every word and
# four times as wide inside, the **MLP** (*multi-layer perceptron*; GELU is a ReLU with a soft knee,
# and GPT-2 uses its approximation by a tanh). The two together are a block:


# %%
class Block(nn.Module):
    """Attention gathers, the MLP digests; both add to what flows by."""

    def __init__(self, dim, heads, attention=Attention):
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = attention(dim, heads)
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(approximate="tanh"), nn.Linear(4 * dim, dim)
        )

    def forward(self, x):
        x = x + self.attention(self.norm_1(x))
        return x + self.mlp(self.norm_2(x))


# %% [markdown]
# In the last two lines `x + …` is the *skip*: what flows by is never replaced, only **added to**, as an
# LSTM's notes were through an open gate. The gradient comes back the same way, past any number of
# blocks. Each part reads a *normed* copy: `LayerNorm` gives the numbers of each word mean 0 and size 1,
# then a learned scale and shift, so that no part need care how much has been added before. The stream
# itself is not normed.
#
# The following line is easily written, and it looks harmless:
#
# ```python
# x = self.norm_1(x); x = x + self.attention(x)
# ```
#
# **What is different? Predict** whether such a model can be trained. Section 8 tries it.
#
# ## 6. The whole model
#
# One thing is still missing. Attention takes a weighted mean of a *set*: shuffle the words before, and
# the mean is the same. So GPT-2 adds to every word a learned vector that says **where it stands**.
# There is such a vector for each of 1,024 places, and therefore it cannot read on after the 1,024th.
#
# At the end come a last norm and a score for each word of the vocabulary. The matrix that turns a word
# into $E$ numbers and the one that scores words from $E$ numbers have the same shape and nearly the
# same task, so they are **one and the same** (*weight tying*, Press and Wolf 2017).
#
# As all models of this course, it takes a `memory` of what it was shown. So far that is nothing.


# %%
class GPT2(nn.Module):
    """GPT-2 (Radford et al. 2019)."""

    def __init__(self, vocab_size, context, dim, layers, heads, block=Block):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, dim)
        self.positions = nn.Embedding(context, dim)
        self.blocks = nn.ModuleList(block(dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocab_size, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:  # what each of 2 L additions brings is smaller, the more there are
                last = name.endswith(("out.weight", "mlp.2.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * layers) if last else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)
        self.head.weight = self.tokens.weight  # one matrix reads and writes words

    def run(self, x):
        """Embeddings (B, T, E) without positions → (B, T, E)."""
        x = x + self.positions.weight[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def hidden(self, memory, tokens):
        return self.run(self.tokens(tokens))

    def forward(self, memory, tokens):
        """tokens (B, T) → logits (B, T, V); logits t are a guess at token t + 1."""
        return self.head(self.hidden(memory, tokens))

    def start(self, memory):
        """The state before any word: nothing has been said."""
        return self.tokens.weight.new_zeros(len(memory), 0, dtype=torch.long)

    def step(self, tokens, state):
        """One word more. The state is simply the text so far, read anew each time."""
        state = torch.cat([state, tokens[:, None]], 1)  # (B, T + 1)
        return self(None, state)[:, -1], state


# %% [markdown]
# This is GPT-2, whole. `start` and `step` do what they did in lesson 03, but clumsily: the state is the
# text, and every step reads all of it again. Section 10 will repair that.
#
# Its four sizes differ in three numbers only. On the device `meta` a model has shapes and no memory,
# so we can build them all and count. **Predict:** how large a part of the smallest is the table of
# words?

# %%
print(f"{'':12}{'layers':>7}{'E':>6}{'heads':>6}{'weights':>15}{'of words':>10}{'untied':>15}")
for name, (layers, dim, heads) in {
    "gpt2": (12, 768, 12), "gpt2-medium": (24, 1024, 16),
    "gpt2-large": (36, 1280, 20), "gpt2-xl": (48, 1600, 25),
}.items():  # fmt: skip
    with torch.device("meta"):
        model = GPT2(50257, 1024, dim, layers, heads)
    total, table = sum(p.numel() for p in model.parameters()), model.tokens.weight.numel()
    print(f"{name:12}{layers:7}{dim:6}{heads:6}{total:15,}{table / total:10.0%}{total + table:15,}")

# %% [markdown]
# In the smallest nearly a third is the table of words: tying it saves 39 million weights.
#
# ### What positions are for
# *A red house and a blue boat*, *a blue house and a red boat*: the same words,
# the same last word, another picture. **Can the model tell them apart if it has no positions?**
# Predict for one block, and then for two.


# %%
@torch.no_grad()
def difference(layers, positions):
    """How far the guesses after two sentences are apart, as a part of their size."""
    torch.manual_seed(0)
    model = GPT2(len(by_word), 32, 64, layers, 4)
    for weight in model.parameters():
        weight += 0.1 * torch.randn_like(weight)  # as if it had learned something
    if not positions:
        model.positions.weight.zero_()
    both = ["a red house and a blue boat", "a blue house and a red boat"]
    one, other = model(None, torch.tensor([by_word.encode(c) for c in both]))[:, -1]
    return ((one - other).norm() / one.norm()).item()


for layers in (1, 2):
    print(f"{layers} block{'s' * (layers > 1)}: without positions {difference(layers, False):.0e}, "
          f"with them {difference(layers, True):.0e}")  # fmt: skip

# %% [markdown]
# With one block and no positions the two sentences are **the same**, up to the last digits of float32.
# With two blocks they are not. Why? The mask itself tells a little about order: the first
# *red* has seen *a*, the other one has seen more, so after one block they differ, and the next block
# can use it. It is a poor clock, but it is one.
#
# ### Is it really GPT-2?
#
# Hugging Face's `transformers` has the GPT-2 that everybody uses. Give both the **same random
# weights**: then every logit must agree. The names differ, and its layers keep their matrices the
# other way round (its `Conv1D` computes $xW$, `nn.Linear` $xW^\top$).

# %%
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()


def pairs_of(theirs, ours):
    """Each weight of transformers' GPT-2, turned where need be, and the one of ours that it must
    equal."""
    body = theirs.transformer
    yield body.wte.weight, ours.tokens.weight
    yield body.wpe.weight, ours.positions.weight
    layers = [(body.ln_f, ours.norm)]
    for other, own in zip(body.h, ours.blocks, strict=True):
        layers += [(other.ln_1, own.norm_1), (other.attn.c_attn, own.attention.qkv)]
        layers += [(other.attn.c_proj, own.attention.out), (other.ln_2, own.norm_2)]
        layers += [(other.mlp.c_fc, own.mlp[0]), (other.mlp.c_proj, own.mlp[2])]
    for other, own in layers:
        yield other.weight.T if other.weight.ndim == 2 else other.weight, own.weight
        yield other.bias, own.bias


# %%
@torch.no_grad()
def load(theirs, block=Block):
    """Our GPT2 with the weights of transformers'."""
    c = theirs.config
    ours = GPT2(c.vocab_size, c.n_positions, c.n_embd, c.n_layer, c.n_head, block)
    for other, own in pairs_of(theirs, ours):
        own.copy_(other)
    return ours.eval()


class WrongBlock(Block):
    """The line of section 5: the norm is on the way of what flows by."""

    def forward(self, x):
        x = self.norm_1(x)
        x = x + self.attention(x)
        x = self.norm_2(x)
        return x + self.mlp(x)


# %%
torch.manual_seed(0)
config = GPT2Config(vocab_size=211, n_positions=32, n_embd=48, n_layer=3, n_head=4)
theirs = GPT2LMHeadModel(config).eval()
with torch.no_grad():
    for weight in theirs.parameters():
        weight += 0.1 * torch.randn_like(weight)  # biases are 0 at first, and would hide a mistake
    tokens = torch.randint(211, (2, 20))
    wanted = theirs(tokens).logits
    apart = {name: (load(theirs, block)(None, tokens) - wanted).abs().max().item()
             for name, block in (("as built", Block),
                                 ("norm in the wrong place", WrongBlock))}  # fmt: skip
for name, largest in apart.items():
    print(f"{name:24} largest difference of {wanted.numel():,} logits: {largest:.1e}")
assert apart["as built"] < 1e-5, "this is not GPT-2: stop here, and find out why"

# %% [markdown]
# Ours agrees to some millionths, the last digits of float32. It **is** GPT-2. And the harmless line of
# section 5 is another model, with the very same weights: it loads and it runs, and nothing warns.
# **If there is a reference, compare numbers with it.**
#
# ## 7. A minute of training
#
# No picture yet: the model learns how captions go, from their text alone. Beside it runs lesson 01's
# LSTM, with the open gate, and with more epochs, so that both take about **the same time** on a
# laptop. A third one is the same GPT on pieces instead of words.
#
# Losses a token cannot be compared between words and pieces (lesson 01, question 2): there are more
# pieces, and each is easier. So we compare nats **a caption**, the price of the whole sentence.
# **Predict** the order.


# %%
class Text:
    """Captions as tokens of one tokenizer, in batches."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.train = [tokenizer.with_ends(c) for c in captions]
        self.dev = [tokenizer.with_ends(c) for c in held_out]

    def batches(self, epoch):
        return bucketed_batches([len(tokens) for tokens in self.train], 64, epoch)

    def loss(self, model, batch):
        tokens, _ = pad([self.train[i] for i in batch], self.tokenizer.pad_id)
        return caption_loss(model, None, tokens.to(here.device), self.tokenizer.pad_id)

    @torch.no_grad()
    def nats(self, model):
        """Nats of a held-out caption, its end included."""
        paid = 0.0
        for start in range(0, len(self.dev), 250):
            tokens, _ = pad(self.dev[start : start + 250], self.tokenizer.pad_id)
            asked = int((tokens[:, 1:] != self.tokenizer.pad_id).sum())
            loss = caption_loss(model, None, tokens.to(here.device), self.tokenizer.pad_id)
            paid += asked * loss.item()
        return paid / len(self.dev)


word_text, piece_text = Text(by_word), Text(by_piece)
models, histories = {}, {}


# %%
def compete(name, model, text, epochs, rate):
    """Trains and keeps the run in the build folder."""
    histories[name] = train(
        model.to(here.device), text.loss, text.batches,
        TrainSettings(epochs=epochs, learning_rate=rate), validate=text.nats,
        out=sizes.build_folder("lesson-06", name.replace(", ", "-")), dtype=here.dtype, quiet=True,
    )  # fmt: skip
    models[name], curve = model, histories[name]
    print(f"{name:12} {sum(p.numel() for p in model.parameters()):9,} weights, {epochs:2} epochs, "
          f"{curve.seconds[-1]:4.0f} s: {min(curve.valid_loss):.2f} nats a caption")  # fmt: skip


def fresh(text, **options):
    """An untrained GPT for captions, the same at every call."""
    torch.manual_seed(0)
    return GPT2(len(text.tokenizer), 96, settings["width"], settings["layers"], 4, **options)


# %%
torch.manual_seed(0)
hidden, lstm_epochs = settings["lstm"]
lstm = LSTMLanguageModel(len(by_word), 64, hidden, "lstm", dropout=0.1)
with torch.no_grad():
    lstm.recurrent.bias_ih_l0[hidden : 2 * hidden] += 2  # lesson 01: the forget gate begins open
compete("LSTM", lstm, word_text, lstm_epochs, 3e-3)
compete("GPT", fresh(word_text), word_text, settings["epochs"], 3e-3)
compete("GPT, pieces", fresh(piece_text), piece_text, settings["epochs"], 3e-3)
curves = {name: (each.seconds, each.valid_loss) for name, each in histories.items()}
ends = {name: min(each.valid_loss) for name, each in histories.items()}
title = f"After about as much time: LSTM {ends['LSTM']:.1f}, GPT {ends['GPT']:.1f} nats a caption"
plots.show(
    plots.lines(curves, title, "seconds", "nats a caption (held out)", points=True),
    alt="Held-out nats a caption by seconds of training. "
        + "; ".join(f"{name}: {value:.2f} after {histories[name].seconds[-1]:.0f} s"
                    for name, value in ends.items()),
)  # fmt: skip

# %% [markdown]
# Compare with your prediction. No triumph of the transformer is to be seen: on sentences of 15 words
# from a small grammar an LSTM is as good in about as much time, or a little better, with a third of the
# weights. What GPT has is that nothing in it waits for the word before, so that a large machine can
# work on all words at once; and that far words are no harder to reach than near ones. On web text,
# LSTMs stop gaining within a hundred tokens of context while transformers go on (Kaplan et al.
# 2020, figure 7). A laptop and a toy grammar do not show that.
#
# The pieces cost about the same a caption: once the first piece of a word is said, the rest is nearly
# free. But there are more of them, so each epoch takes longer. What they buy is that one can go on
# from words that are in no caption. **Let them speak.** Predict what each makes of a hedgehog.


# %%
@torch.no_grad()
def go_on(model, tokens, most=30, temperature=0.7, end=2):
    """The tokens, and those that the model draws after them until the end token."""
    said, state = list(tokens), model.eval().start(torch.zeros(1, 0, 1, device=here.device))
    for token in said:
        logits, state = model.step(torch.tensor([token], device=here.device), state)
    while len(said) < len(tokens) + most:
        likely = decoding.filter_logits(logits.float() / temperature, top_p=0.9)
        token = likely.softmax(-1).multinomial(1)[0]  # (1,)
        if token == end:
            break
        said.append(token.item())
        logits, state = model.step(token, state)
    return said


texts = {"LSTM": word_text, "GPT": word_text, "GPT, pieces": piece_text}
torch.manual_seed(0)
for beginning in ("at night a", "a turquoise hedgehog"):
    for name in ("GPT", "GPT, pieces"):
        tokenizer = texts[name].tokenizer
        said = go_on(models[name], [tokenizer.bos_id, *tokenizer.encode(beginning)])
        print(f"{name:12} {beginning} → {tokenizer.decode(said)}")

# %% [markdown]
# For the GPT on words a hedgehog is `<unk>`, a token that it has never seen. The one on pieces has read
# the letters, and goes on.
#
# Like lesson 05's, this model can be watched. You remember the rule of lesson 01: a caption names the
# sky at its beginning or at its end, never twice. Here is where every head looks from the **last
# word** of a caption that began with a sky, when the model must decide whether to end. If it has
# learned the rule, some head should look back. **Does one?**


# %%
@torch.no_grad()
def last_looks(model, tokens):
    """The weights of the last word on all words, of every head: (layers * heads, T)."""
    x, rows = model.tokens(tokens) + model.positions.weight[: tokens.shape[1]], []
    for block in model.blocks:
        own = block.attention
        parts = own.qkv(block.norm_1(x)).unflatten(2, (3, own.heads, -1))  # (1, T, 3, heads, d)
        q, k, _ = parts.permute(2, 0, 3, 1, 4)  # (1, heads, T, d) each
        scores = q[0, :, -1:] @ k[0].transpose(1, 2) / q.shape[-1] ** 0.5  # (heads, 1, T)
        rows.append(scores.softmax(-1)[:, 0])
        x = block(x)
    return torch.cat(rows).cpu()


# %%
SKIES = tuple(sorted({phrase for phrases in SKY_PHRASES.values() for phrase in phrases}))
sky_first = next(c for c in held_out if c.startswith(SKIES) and len(words(c)) in range(9, 13))
sentence = torch.tensor([by_word.with_ends(sky_first)[:-1]], device=here.device)  # (1, T)
weights = last_looks(models["GPT"].eval(), sentence)
names = [f"block {i // 4 + 1}, head {i % 4 + 1}" for i in range(len(weights))]
sky_words = 1 + next(len(words(sky)) for sky in SKIES if sky_first.startswith(sky))
on_sky = weights[:, 1:sky_words].sum(1)
best = int(on_sky.argmax())
title = f"From the last word, {names[best]} has {on_sky[best]:.0%} of its weight on the sky"
plots.show(
    plots.heat(weights, title, names, ["<bos>", *words(sky_first)], label="weight", low=0,
               digits=1),
    alt=f"Weights of {len(weights)} heads on the words of '{sky_first}', from its last word. Most "
        f"on the sky has {names[best]}: {on_sky[best]:.2f}.",
)  # fmt: skip

# %% [markdown]
# In our run two heads do, past all the words between, with nine tenths of their weight. An LSTM must
# carry *at night* through every step; here it is one look away. Other heads have other trades: one
# looks at the word itself, one at *on* and *in*. Nobody gave them out; another seed deals them out
# otherwise. (And remember lesson 05: a map shows what was fetched, not what was made of it.) Whether
# the rule is kept will be counted in section 10.
#
# ## 8. Break it on purpose
#
# What is each part there for? Take it away, and see. The model is thin, but **twelve blocks deep** as
# GPT-2 is, so that a broken stream shows. The training is short: what you see is how well it *begins*.
# **Predict the order. And which one will have the lowest loss of all?**


# %%
class NoSkip(Block):
    def forward(self, x):
        return self.mlp(self.norm_2(self.attention(self.norm_1(x))))


class NoNorm(Block):
    def forward(self, x):
        x = x + self.attention(x)
        return x + self.mlp(x)


class Undivided(Attention):
    def look(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)


class OneAhead(Attention):
    def look(self, q, k, v):
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril(1)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def with_attention(kind):
    return lambda dim, heads: Block(dim, heads, kind)


# %%
def short_training(block, positions=True):
    """The model after a short training, and the mean losses of each ten steps, in nats a token."""
    torch.manual_seed(0)
    layers, steps = settings["trial"]
    model = GPT2(len(by_word), 96, 48, layers, 4, block).to(here.device)
    if not positions:
        model.positions.weight.requires_grad_(False).zero_()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    losses, batches = [], [batch[:32] for epoch in range(9) for batch in word_text.batches(epoch)]
    for batch in batches[:steps]:
        loss = word_text.loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    tens = [losses[i : i + 10] for i in range(0, steps, 10)]
    return model, [sum(ten) / len(ten) for ten in tens]


# %%
kinds = {"as built": Block, "norm in the wrong place": WrongBlock, "no norm": NoNorm,
         "no skip": NoSkip,
         "not divided by the root": with_attention(Undivided),
         "sees one word ahead": with_attention(OneAhead)}  # fmt: skip
trials = {name: short_training(block) for name, block in kinds.items()}
trials["no positions"] = short_training(Block, positions=False)
curves = {
    name: (range(10, 10 * len(losses) + 1, 10), losses) for name, (_, losses) in trials.items()
}
often = Counter(token for tokens in word_text.train for token in tokens[1:])
counted = -sum(n / often.total() * math.log(n / often.total()) for n in often.values())
lowest = min(trials, key=lambda name: trials[name][1][-1])
plots.show(
    plots.lines(curves, f"The best loss of all: {lowest}", "step", "loss (nats a token)",
                baselines={"counts of words": counted}),
    alt="Training losses of seven models. At the end: "
        + "; ".join(f"{name} {losses[-1]:.2f}" for name, (_, losses) in trials.items()),
)  # fmt: skip
for name in ("as built", "sees one word ahead"):
    said, _ = decoding.greedy(trials[name][0].eval(), torch.zeros(1, 1, device=here.device), 1, 2)
    print(f"{name:20} says {by_word.decode(said[0])!r}")

# %% [markdown]
# **The lowest loss belongs to the broken one.** It reads its answer one place further on, and learns
# hardly anything else; when it speaks, there is nothing there to read. Remember it from lesson 03: a
# loss that is too good is a bug report.
#
# *No skip* stays at the dashed line, where a model stays that knows only how common each word is (a
# 1-gram). What goes in at the bottom of twelve blocks does not arrive at the top, and no gradient
# comes down. *No norm* begins worse. And the other three do **no harm that you can see**:
#
# - *Not divided*: these heads have 12 numbers each. Section 3 told that the harm comes with many;
#   GPT-2's have 64.
# - *No positions*: a hundred steps teach which words are common and which follow each other. For
#   that the poor clock of section 6 will do.
# - *The norm in the wrong place* learns as well. It is no nonsense either, but nearly the transformer
#   of 2017. That one is known to want a slow start of the learning rate, a *warm-up* (Xiong et al. 2020
#   tell why); GPT-2 moved the norm to where it is now. This curve would not keep you from loading
#   GPT-2's weights into the wrong model.
#
# Half of the errors do not show in the loss at this size. **What can be tested exactly should be tested
# exactly**: equality in section 6, causality now.
#
# ## 9. The picture that stays
#
# "It cannot see the future" is a claim about a program, and it breaks easily: a mask off by one, a norm
# over the wrong dimension, a batch turned round. The loss tells late, or not at all. **A gradient
# tells.** If the guess after word $t$ does not depend on word $s$, the gradient of the one with
# respect to the other is 0: not small, but 0. One backward pass for each word, and the whole model
# lies before you, whatever is inside.
#
# Three programs, **all with the same trained weights**: ours; one whose mask is off by one; and one
# whose first norm takes mean and size over the whole sentence, where it should take each word alone.
# **Predict** the three squares. How far ahead does the second see, through all its blocks?


# %%
class SentenceNorm(nn.LayerNorm):
    def forward(self, x):
        x = (x - x.mean((1, 2), keepdim=True)) / x.std((1, 2), keepdim=True)
        return x * self.weight + self.bias


class SentenceNormed(Block):
    def __init__(self, dim, heads):
        super().__init__(dim, heads)
        self.norm_1 = SentenceNorm(dim)


def hangs_on(model, tokens):
    """How strongly the guess after word t hangs on word s: (T, T), row t. tokens (1, T)."""
    x = model.tokens(tokens).detach().requires_grad_()  # (1, T, E)
    logits = model.head(model.run(x))[0]  # (T, V)
    torch.manual_seed(0)
    mixture = torch.randn(logits.shape[1], device=x.device)  # of all logits: in it nothing can hide
    rows = [torch.autograd.grad(line @ mixture, x, retain_graph=True)[0] for line in logits]
    return torch.cat(rows).norm(dim=2)


# %%
maps, trained = {}, models["GPT"].state_dict()
for name, block in {"as built": Block, "mask off by one": with_attention(OneAhead),
                    "a norm over the sentence": SentenceNormed}.items():  # fmt: skip
    model = fresh(word_text, block=block).to(here.device).eval()
    model.load_state_dict(trained)
    maps[name] = hangs_on(model, sentence)
    print(
        f"{name:26} the future's largest gradient, as a part of the largest: "
        f"{future_share(maps[name]):.1e}"
    )
assert future_share(maps["as built"]) == 0, "the model sees the future: nothing it says counts"
plots.show(
    word_maps(maps, ["<bos>", *words(sky_first)],
              "As built, the upper half is exactly zero: the model is causal",
              "gradient", log=True, x="word that is changed", y="guess after this word"),
    alt="Three squares of words by words. Left only the lower half has colour. In the middle a "
        "few diagonals above the middle one have colour, too. Right the whole square has, the "
        "upper half darker.",
)  # fmt: skip

# %% [markdown]
# Left, the upper half is **blank**: no guess depends on a word that comes later. (One gradient could be
# 0 by chance; not all of them, exactly. The proof holds for these weights and this sentence, and takes
# a second.) In the middle each block sees one word ahead, so three blocks see three. On the right the
# leak is faint and everywhere: easily missed in a loss, not in the picture. **Make it of every model
# that you build.**
#
# ## 10. The cache
#
# Now use what you have proved. To say one word, our `step` reads the whole text anew. When a word is
# added at the end, what changes in all that it computes? The old words cannot see the new one. So
# **nothing about them changes**, in any block: not their keys, not their values. It is enough to keep
# those. The new word alone goes through the model; it asks all keys, old and own, and is done. That is
# the *KV cache*.
#
# ### Exercise 4 · A step with a cache
# *difficulty 3/5 · importance 4/5 · 15 minutes*
#
# One head, one new word. `past` holds keys and values of the S words before, (B, S, d) each; at the
# first word S is 0.
#
# 1. Query, key and value of the new word: `x @ weight_q` and so on, (B, d) each.
# 2. Join its key and value to the past, at the end → (B, S + 1, d). Do not change the old ones.
# 3. Let the query ask all S + 1 places: scores divided by $\sqrt d$, softmax, mean → y (B, d).
# 4. Return y and the new past, a pair.


# %%
def step(x, past, weight_q, weight_k, weight_v):
    """x (B, E), past: keys and values (B, S, d), weights (E, d) -> y (B, d), (keys, values) (B,
    S + 1, d)"""
    raise NotImplementedError("write me")


check.step(step)

# %% [markdown]
# <details><summary>Hint 1: joining</summary>
#
# `(x @ weight_k)[:, None]` is (B, 1, d), a sequence of one; `torch.cat([…, …], 1)` joins along the
# places, and makes a new tensor.
# </details>
# <details><summary>Hint 2: the mask</summary>
#
# Everything it finds is past, or itself. What would a mask hide?
# </details>
# <details><summary>Hint 3: shapes</summary>
#
# `torch.einsum("bd,bsd->bs", query, keys)` are the scores, (B, S + 1); `"bs,bsd->bd"` gives the mean.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def step(x, past, weight_q, weight_k, weight_v):
#     keys = torch.cat([past[0], (x @ weight_k)[:, None]], 1)
#     values = torch.cat([past[1], (x @ weight_v)[:, None]], 1)
#     query = x @ weight_q
#     scores = torch.einsum("bd,bsd->bs", query, keys) / query.shape[1] ** 0.5
#     return torch.einsum("bs,bsd->bd", scores.softmax(1), values), (keys, values)
# ```
# </details>
#
# The course's own model, `coursekit.models.gpt.GPT`, is what you have written, and a cache. Its layers
# bear the same names, so your trained weights fit. Read how it attends, and find your four steps.

# %%
import inspect

from coursekit.models.gpt import GPT, CausalSelfAttention, from_hugging_face

print(inspect.getsource(CausalSelfAttention.forward))
print(inspect.getsource(CausalSelfAttention._ask))


def packaged(ours):
    """The package's GPT with the weights of our GPT2."""
    V, E = ours.tokens.weight.shape
    model = GPT(V, 96, E, len(ours.blocks), 4, dropout=0.0).to(here.device).eval()
    model.load_state_dict(ours.state_dict())
    return model


cached = packaged(models["GPT"])
with torch.no_grad():
    whole, state, steps = models["GPT"].eval()(None, sentence), cached.start(1), []
    for token in sentence.unbind(1):
        logits, state = cached.step(token, state)
        steps.append(logits)
    package, steps = cached(None, sentence), torch.stack(steps, 1)
print(f"yours, and the package's: {(package - whole).abs().max():.0e} apart")
print(f"at once, and word by word with a cache: {(steps - whole).abs().max():.0e} apart")

# %% [markdown]
# The same model, and the same numbers up to the last digits of float32. **Predict** two curves, by
# number of the token: the time of *one* more token with a cache and without. Then, by the same
# number, the memory that the cache takes.


# %%
@torch.no_grad()
def milliseconds(job, repeats=5):
    """The shortest of several runs: the others were disturbed."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        _ = job().sum().item()  # waits until a GPU is done
        times.append(1000 * (time.perf_counter() - started))
    return min(times)


width, layers, most = settings["speed"]
torch.manual_seed(0)
large = GPT(5000, most, width, layers, width // 32, dropout=0.0).to(here.device).eval()
text = torch.randint(5000, (1, most), device=here.device)
counts = [t for t in (1, 8, 16, 32, 64, 128, 256, 512, 1024) if t <= most]
without, with_cache, megabytes = [], [], []
for t in counts:
    before = text[:, : t - 1]
    with torch.no_grad():
        state = large.run(large.tokens(before))[1] if t > 1 else large.start(1)
    without.append(milliseconds(lambda t=t: large.head(large.hidden(None, text[:, :t])[:, -1])))
    with_cache.append(milliseconds(lambda t=t, state=state: large.step(text[:, t - 1], state)[0]))
    megabytes.append(
        sum(part.numel() * part.element_size() for pair in state for part in pair) / 1e6
    )

# %%
title = f"Token {counts[-1]} takes {without[-1] / with_cache[-1]:.3g} times as long without a cache"
figure, (left, right) = plots.panels(1, 2, width=8.2, height=3.5, title=title)
left.plot(counts, without, marker="o", label="without a cache")
left.plot(counts, with_cache, marker="o", label="with a cache")
left.set(xlabel="number of the token", ylabel="milliseconds for this token", ylim=0)
left.legend()
right.plot(counts, megabytes, marker="o", color=plots.GREEN)
right.set(xlabel="number of the token", ylabel="memory of the cache (MB a text)", ylim=0)
plots.show(figure, alt="Left: time of one token by its number. Without a cache it grows to "
                       f"{without[-1]:.0f} ms, with one it stays near {with_cache[-1]:.1f} ms. "
                       f"Right: the cache grows in a straight line to {megabytes[-1]:.1f} MB.")  # fmt: skip
a_token = 2 * 12 * 768 * 4  # keys and values, layers, E, bytes of a float32
print(f"the smallest GPT-2: {a_token:,} bytes a token, {1024 * a_token / 1e6:.0f} MB for a full "
      f"text, {32 * 1024 * a_token / 1e9:.1f} GB for 32 of them; its weights: "
      f"{4 * 124_439_808 / 1e9:.1f} GB")  # fmt: skip

# %% [markdown]
# Without a cache token $t$ costs what $t$ tokens cost; with one it costs about what one token costs,
# and only the looking back grows, slowly. For a text of $T$ tokens the model reads $T$ of them instead
# of $T^2 / 2$. **The price is memory**: two vectors for each token, block and text. For a single text it
# is little; for many at once the cache outgrows the model.
#
# Now that words are cheap, let us draw thousands of sentences of each model, and put lesson 01's
# question: of those that begin with a sky, how many name it once more? The grammar never does. The
# losses were alike. **Predict:** are the shares?


# %%
def sky_again(sentences):
    """Of the sentences that begin with a sky: the share in which another is named, and their
    number."""
    begun = [c for c in sentences if c.startswith(SKIES)]
    again = sum(sum(c.count(sky) for sky in SKIES) > 1 for c in begun)
    return again / max(1, len(begun)), len(begun)


shares, (rounds, many) = {}, settings["drawn"]
nothing = torch.zeros(many, 0, 1, device=here.device)  # no memory, for so many sentences at once
for name, model in models.items():
    torch.manual_seed(0)
    tokenizer, drawn = texts[name].tokenizer, []
    fast = model.eval() if name == "LSTM" else packaged(model)
    for _ in range(rounds):  # in rounds: the cache of all at once would be large
        said, _ = decoding.sample(fast, nothing, tokenizer.bos_id, tokenizer.eos_id, max_len=60)
        drawn += [tokenizer.decode(tokens) for tokens in said]
    shares[name], count = sky_again(drawn)
    print(
        f"{name:12} {count:4} sentences begin with a sky, {shares[name]:.1%} of them name it again"
    )

# %% [markdown]
# In our run both GPTs forget the sky **about half as often as the LSTM**, although its loss is the
# lowest of the three: as in lesson 01, a mean over all words hides what matters in a few of them. What
# is one look away is lost less often than what must be carried. (Five hundred sentences each, and one
# training: a per cent or two is chance.)
#
# ## 11. The real one
#
# At size `gpu` the cell after the next loads the `gpt2` of the hub: `from_pretrained` fetches half a gigabyte at
# its first call. At the other sizes a **stand-in** plays its part: our GPT on pieces and its
# tokenizer, written into a folder in the hub's own layout, as `save_pretrained` leaves it. All code
# after that is the same for both.


# %%
@torch.no_grad()
def stand_in(ours, tokenizer):
    """A folder like one of the hub, with our weights and our pieces; its path."""
    folder = sizes.build_folder("lesson-06", "hub")
    shape = dict(n_positions=96, n_embd=settings["width"], n_layer=settings["layers"], n_head=4)
    ends = dict(bos_token_id=tokenizer.bos_id, eos_token_id=tokenizer.eos_id)
    theirs = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **shape, **ends))
    for other, own in pairs_of(theirs, ours):
        other.copy_(own)
    theirs.save_pretrained(folder)
    names = dict(bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.model, **names).save_pretrained(folder)
    return str(folder)


# %%
from transformers import AutoTokenizer

name = settings["hub"] or stand_in(models["GPT, pieces"], by_piece)
theirs, pieces = GPT2LMHeadModel.from_pretrained(name).eval(), AutoTokenizer.from_pretrained(name)
real = load(theirs).to(here.device)  # your own class
fast = from_hugging_face(theirs, dropout=0.0).to(here.device).eval()  # the package's, with a cache
beginning = "a small red boat floats"
start = [pieces.bos_token_id, *pieces.encode(beginning, add_special_tokens=False)]
print(f"{sum(p.numel() for p in real.parameters()):,} weights, {len(pieces):,} pieces")
with torch.no_grad():
    ids = torch.tensor([start])
    apart = (real(None, ids.to(here.device)).cpu() - theirs(ids).logits).abs().max()
print(f"yours and transformers': {apart:.0e} apart")
for model in (real, fast):
    torch.manual_seed(1)
    started = time.perf_counter()
    said = go_on(model, start, most=40, end=pieces.eos_token_id)
    spent = time.perf_counter() - started
    print(f"{len(said) - len(start):3} tokens in {spent:5.2f} s: {pieces.decode(said[1:])}")

# %% [markdown]
# The same sentence from the class that you wrote and from the package's, one without a cache, one
# with (the longer the text, the more it shows). At size `gpu` it is the GPT-2 of 2019 that speaks
# through your own hundred lines. (`<|endoftext|>` is both its beginning and its end.)
#
# ## When something looks wrong
#
# | what you see | the likely cause |
# |---|---|
# | loss close to 0 soon, sentences are rubbish | the mask is missing or off by one; or the targets are not moved (then it copies) |
# | good loss, fluent in training, worse word by word | a faint leak: a norm, a mean, a softmax over time. Make the picture of section 9 |
# | nan in the first row | a word that may not see itself either: a softmax over nothing |
# | loaded weights, wrong logits, no error | a matrix not turned (square ones fit both ways), a norm elsewhere, another GELU, another epsilon |
# | all right on token 1, wrong from token 2 on | heads and places exchanged: `view` before `transpose` |
# | the first loss is far above $\ln V$ | weights begin too large, most often the tied table: 0.02 |
# | deep model does not start to learn | no skip, no norm, or a rate too high without a warm-up |
# | weights sit on one place from the first step | not divided by $\sqrt d$ |
# | with a cache other words than without | positions start at 0 in every step; the new key joined after the look |
# | with a cache a mask hides all but one place | a causal mask (1, S) begun at the first place: exercise 2 |
# | nats a token better, text no better | other pieces: compare nats a text |
#
# ## Questions
#
# 1. Without a mask, what is the least loss that a model of two blocks can reach? And the model that
#    sees one word ahead, through one block?
# 2. Why must the mask come before the softmax? What is wrong with setting the *shares* to 0?
# 3. Twelve heads of 64 numbers or one of 768: the same number of weights. What is the difference?
# 4. If words could see the future, as in a model that fills gaps: could there be a KV cache?
# 5. A colleague has trained with the norm in the wrong place, and the loss is fine. What do you say?
# 6. GPT-2 writes "kitten" as one piece or as two, depending on what stands before. Give a reason, and
#    name a task that suffers from it.
#
# <details><summary>Short answers</summary>
#
# 1. Nearly 0 for both: the answer lies before them, one place further on. Only the `<eos>` of a batch's
#    longest captions, which is not among the inputs, may cost something.
# 2. The shares of the future are then lost, and the rest no longer sums to 1: the earlier the word,
#    the weaker its mean. And the future has had a say in it, through the sum below the line.
# 3. Twelve softmaxes against one: twelve different places at once, each from 64 numbers. A single
#    head can look at twelve places too, but must give to all of them by one set of shares.
# 4. No. A new word would change what all the others are, in every block: all is to be computed anew.
# 5. That it is another model and may be a good one. But it is not GPT-2 and cannot use its weights, and
#    its kind is known to need a warm-up (Xiong et al. 2020).
# 6. The space belongs to the piece: at the beginning of a text there is none before the word. Whatever
#    asks for letters suffers: spelling, rhyme, counting letters.
# </details>
#
# ## Go further
#
# - Train the GPT of section 7 with a single block. Can it still keep the rule of the sky? And without
#   positions?
# - Replace the learned positions by *rotary* ones (Su et al. 2021): turn pairs of numbers of query
#   and key by an angle that grows with the place. What happens beyond the longest caption?
# - Keep the cache in `bfloat16`. How far do the logits move?
# - The papers: Vaswani et al. 2017, [Attention is all you need](https://arxiv.org/abs/1706.03762);
#   Radford et al. 2019, *Language models are unsupervised multitask learners*; [Sennrich et al.
#   2016](https://arxiv.org/abs/1508.07909) on pieces; [Press and Wolf
#   2017](https://arxiv.org/abs/1608.05859) on one matrix for both; [Xiong et al.
#   2020](https://arxiv.org/abs/2002.04745) on the place of the norm; [Kaplan et al.
#   2020](https://arxiv.org/abs/2001.08361) on size. And Andrej Karpathy's *nanoGPT*, the same model in
#   one file, for large machines.
#
# ## What you have, and what is missing
#
# A language model of the kind that most large ones are: pieces of bytes, words that look back, blocks
# that only add, and a cache.
#
# But it has never seen anything. It speaks of red boats because captions do. Now look at `run` once
# more. It takes **embeddings**, (B, T, E), and does not ask where they come from. What if the first few
# were made of a picture? **Can a model that never saw describe one?** That is lesson 07.

# %%
sizes.report(
    gpt_nats_a_caption=ends["GPT"],
    lstm_nats_a_caption=ends["LSTM"],
    pieces_nats_a_caption=ends["GPT, pieces"],
    sky_again=shares["GPT"],
    cache_gain=without[-1] / with_cache[-1],
)
