# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Assignment 4 · The same model, over pixels
#
# A transformer that guesses the next word can guess the next pixel. Nothing else has to change: the
# colours are its vocabulary, and a picture is a sentence of them, row by row. Here you write what lies
# between pictures and such a model, train one on handwritten digits, let it draw the missing half of a
# picture, and find out whether it has learned what a digit is, though nobody told it.
#
# | question | what you write | points |
# |---|---|---|
# | 1 | `quantise`, `restore`: pictures to tokens and back | 4 |
# | 2 | `shift` and `PixelModel`: a start token, and two ways to read | 8 |
# | 3 | `bits_per_pixel` | 4 |
# | 4 | `draw_mask`, `bert_bits`: the other objective | 6 |
# | 5 | `top_k_shares`, `draw` | 6 |
# | 6 | `complete`: given pixels stay | 6 |
# | 7 | `features`: what the model knows of a picture | 4 |
# | 8 | `confusion`, `kappa` | 6 |
# | 9 | `train_model`: reach a number of bits a pixel | 8 |
# | 10 | `probe`: reach an accuracy | 6 |
# | 11 | a question answered in words | 4 |
#
# **How it works.** Write your code where `raise NotImplementedError("write me")` stands, run the
# cell, then run the test below it. A test answers ✓, or ✗ with what it expected, what it got and
# the likeliest cause, or ○ when nothing is written yet. Half of the points of a question are for
# this test; the other half are given later for the same on other data, drawn when your work is
# graded. Pictures, tokens, masks and logits come as tensors. No function may change what it is given,
# except the model that it trains.
#
# **Questions do not drag each other down.** Each is tested alone; in questions 9 and 10 the course's parts
# stand in where yours are not right yet. Write the parts yourself: coursekit and other packages hold
# finished ones, and copying them teaches nothing. Letters: B pictures, T pixels of a picture, V colours,
# E numbers that the model keeps at each pixel.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
from coursekit import sizes

here = sizes.setup()
print(here)

# %% nbgrader={"grade": false, "grade_id": "settings", "locked": true, "schema_version": 3, "solution": false, "task": false}
settings = here.pick(
    smoke=dict(digits=1000, side=7, colours=4, judged=500, probed=2),
    cpu=dict(digits=3500, side=14, colours=8, judged=500, probed=3),
    gpu=dict(digits=3500, side=14, colours=8, judged=500, probed=3),
)
# The models are so small that a processor trains them: nothing here moves to a GPU
sizes_of_model = here.pick(
    smoke=dict(dim=32, heads=4, layers=2),
    cpu=dict(dim=64, heads=4, layers=3),
    gpu=dict(dim=64, heads=4, layers=3),
)
training = here.pick(
    smoke=dict(epochs=8, batch_size=16, learning_rate=5e-3),
    cpu=dict(epochs=4, batch_size=16, learning_rate=4e-3),
    gpu=dict(epochs=12, batch_size=16, learning_rate=4e-3),
)
# Thresholds are mean ± 5 sd over seeds of data_scripts/a4_threshold.py, and none of the seeds is beyond them.
# smoke, 20 seeds: 0.774 bits (sd 0.011, the highest 0.794) here, 0.798 (0.012, 0.828) on other digits; accuracies 0.541
# (0.035, the lowest 0.474) and 0.520 (0.039, 0.420). cpu, 10 seeds: 0.730 bits (0.007, 0.741) and 0.740 (0.006, 0.750);
# accuracies 0.821 (0.021, 0.774) and 0.814 (0.020, 0.782). By a normal model a right answer fails less than once in
# five million times. At gpu there are more epochs, and nothing was measured.
BITS = here.pick(smoke=0.87, cpu=0.78, gpu=0.78)
ACCURACY = here.pick(smoke=0.32, cpu=0.71, gpu=0.71)
seed = 0

# %% nbgrader={"grade": false, "grade_id": "imports", "locked": true, "schema_version": 3, "solution": false, "task": false}
import functools
import math
import random
import secrets

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from coursekit import plots
from coursekit.checks import a4 as check
from coursekit.datasets.digits import load_digits
from coursekit.metrics import images as scores
from coursekit.models.image_gpt import ImageGPT, ar_loss
from coursekit.palette import Palette, reduced
from coursekit.plots import digits as pictures
from coursekit.training import TrainSettings, train

# %% nbgrader={"grade": false, "grade_id": "digits", "locked": true, "schema_version": 3, "solution": false, "task": false}
learned, dev, test = (load_digits(split) for split in ("train", "dev", "test"))
learned = learned[: settings["digits"]]
side, colours = settings["side"], settings["colours"]
palette = Palette.exact(reduced(learned.images, side), colours)
print(f"{learned}\n{len(dev)} more for the tests, reduced to {side} × {side}; {palette}")

# %% [markdown]
# ## 1 · Pictures to tokens, and back
# *difficulty 2/5 · importance 4/5 · 25 minutes · 4 points*
#
# A pixel has 256 greys, and a model that guesses among 256 needs long to learn that 200 and 201 are nearly
# the same. Chen et al. (2020) give it few colours, a *palette*, and each pixel the nearest of them. Its
# number is the token. The tokens stand in *raster order*: the top row from left to right, then the next.
#
# ```
# 12  71        palette 10 70 150 255        0  1
# 160 250       ───────────────────▶         2  3      ───▶  tokens 0 1 2 3  ───▶  10 70 150 255
# ```
#
# Greys come as `uint8`, and these have a habit. How much is `12 - 71` in them? Try it first.


# %% nbgrader={"grade": false, "grade_id": "palette", "locked": false, "schema_version": 3, "solution": true, "task": false}
def quantise(images, colours):
    """The number of the nearest colour for each pixel, row by row: int64 (B, H * W).

    images: uint8 (B, H, W).  colours: uint8 (V,), from dark to bright.  Of two that are equally near, the
    darker one.
    """
    # 1. Numbers that can be negative.
    # 2. The distance of each pixel to each colour (B, H, W, V), and where it is smallest (B, H, W).
    # 3. One row of tokens for each picture, in raster order.
    # Do not round, and do not count on colours that stand evenly.
    ### BEGIN SOLUTION
    far = (images[..., None].int() - colours.int()).abs()  # (B, H, W, V)
    return far.argmin(-1).flatten(1)
    ### END SOLUTION


def restore(tokens, colours, width):
    """Pictures of tokens: uint8 (B, T / width, width).

    tokens: int64 (B, T).  colours: uint8 (V,).  width: pixels of a row; T is a multiple of it.
    """
    ### BEGIN SOLUTION
    return colours[tokens].unflatten(1, (-1, width))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "palette_open", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check.palette.require(quantise, restore)


# %% nbgrader={"grade": true, "grade_id": "palette_hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def drawn_pictures():
    """Pictures and a palette that nobody knows, with tokens found pixel by pixel."""
    drawn = random.SystemRandom()
    V, B, H, W = drawn.randint(3, 9), *drawn.sample([1, 2, 3, 4, 5, 6], 3)
    # All odd or all even, so that the middle between two is a grey: half the pixels are such, or an end
    greys = sorted(drawn.sample(range(drawn.randint(0, 1), 256, 2), V))
    ties = [0, 255, *((a + b) // 2 for a, b in zip(greys, greys[1:], strict=False))]
    pixels = [ties, range(256)]
    image = [
        [[drawn.choice(drawn.choice(pixels)) for _ in range(W)] for _ in range(H)] for _ in range(B)
    ]
    tokens = [
        [min(range(V), key=lambda v: (abs(x - greys[v]), v)) for row in one for x in row]
        for one in image
    ]
    restored = [[[greys[one[r * W + c]] for c in range(W)] for r in range(H)] for one in tokens]
    return dict(images=image, colours=greys, tokens=tokens, restored=restored)


check.on_other_data(check.palette, *(drawn_pictures() for _ in range(6))).require(quantise, restore)
### END HIDDEN TESTS

# %% [markdown]
# The next cell shows by your functions what a few colours leave of a digit. How many would you need to read
# it? And how many to tell whose hand it was?


# %% tags=["student"] nbgrader={"grade": false, "grade_id": "few_colours", "locked": true, "schema_version": 3, "solution": false, "task": false}
def in_colours(images, count):
    """Pictures with so many colours, through tokens and back, by your functions."""
    colours = Palette.exact(images, count).colours
    return torch.as_tensor(restore(quantise(images, colours), colours, images.shape[2]))


try:
    digit = dev[[3, 8]].images
    shown = [one for count in (2, 4, 8, 16) for one in in_colours(digit, count)]
    names = [f"{count} colours" for count in (2, 4, 8, 16) for _ in digit]
    plots.show(
        pictures.sheet([*digit, *shown], "What a palette leaves", ["256 greys"] * 2 + names),
        alt="Two digits with 256 greys, then with 2, 4, 8 and 16 colours.",
    )
except Exception as error:
    print(f"Write question 1, then run this cell again ({type(error).__name__}).")

# %% [markdown]
# ## 2 · A model that begins at nothing
# *difficulty 4/5 · importance 5/5 · 45 minutes · 8 points*
#
# A sentence begins with `<bos>`. A picture needs such a token too: else the first pixel would never be
# guessed, and no picture could be drawn from nothing. It is one more row of the embedding, number V. So
# the model reads the start and all pixels but the last, and at each place it guesses the pixel that comes
# *there*:
#
# ```
# reads      start   pixel 0   pixel 1   …   pixel T-2            each sees itself and what is left of it
#              │        │         │              │
# guesses   pixel 0  pixel 1   pixel 2   …   pixel T-1            logits (B, T, V)
# ```
#
# The same layers can read in another way, as BERT does: some pixels are covered by a *mask*, every place
# sees every other, on both sides, and the guesses at the covered ones count. Nothing is shifted then: the
# guess at place t is about pixel t, and the mask hides it. Ours spends one embedding on both, start and mask.
#
# What would the loss of a model look like that forgets to shift?
#
# The layers are given; a block is that of assignment 3, with attention over all places or, if `causal`, over
# those up to its own.


# %% nbgrader={"grade": false, "grade_id": "pixel_layers", "locked": true, "schema_version": 3, "solution": false, "task": false}
class Block(nn.Module):
    """Attention gathers, the network digests; both add to what flows by."""

    def __init__(self, dim, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.norm_1, self.norm_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x, causal):
        """x (B, T, E) → (B, T, E). causal: place t sees places 0 to t; else each sees all."""
        B, T, E = x.shape
        q, k, v = self.qkv(self.norm_1(x)).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(
            q, k, v, is_causal=causal
        )  # (B, heads, T, E / heads)
        x = x + self.dropout(self.out(found.transpose(1, 2).reshape(B, T, E)))
        return x + self.dropout(self.mlp(self.norm_2(x)))


class PixelLayers(nn.Module):
    """The layers of a small Image GPT for pictures of side × side pixels."""

    def __init__(self, colours, side, dim, heads, layers, dropout=0.0):
        super().__init__()
        self.start_id = colours  # the number of the start token, and of the mask
        self.tokens = nn.Embedding(colours + 1, dim)  # (B, T) → (B, T, E)
        self.positions = nn.Embedding(side * side, dim)  # (T,) → (T, E)
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, colours, bias=False)  # (B, T, E) → (B, T, V)
        for name, part in self.named_parameters():  # small numbers, as GPT-2 begins
            if part.dim() == 2:
                added = name.endswith(("out.weight", "mlp.2.weight"))  # twice in each block
                nn.init.normal_(part, std=0.02 / math.sqrt(2 * layers) if added else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(part)


# %% nbgrader={"grade": false, "grade_id": "model", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shift(tokens, start_id):
    """What the model reads so that it can guess tokens (B, T): the start, then all of them but the last.

    Returns int64 (B, T).
    """
    ### BEGIN SOLUTION
    return F.pad(tokens[:, :-1], (1, 0), value=start_id)
    ### END SOLUTION


class PixelModel(PixelLayers):
    """A small Image GPT."""

    def read(self, ids, causal):
        """ids int64 (B, T), T up to side², start and mask among them → logits float32 (B, T, V)."""
        # 1. The embeddings of ids plus those of the positions 0 to T - 1: (B, T, E).
        # 2. Each block, one after the other; then the norm, then the head.
        # Do not shift here.
        ### BEGIN SOLUTION
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, causal=causal)
        return self.head(self.norm(x))
        ### END SOLUTION

    def forward(self, tokens):
        """tokens int64 (B, T) → logits (B, T, V): those at place t are a guess at token t.

        They depend on the tokens before t and on nothing else.
        """
        # 3. Shift, then read with causal=True.
        ### BEGIN SOLUTION
        return self.read(shift(tokens, self.start_id), causal=True)
        ### END SOLUTION

    def both(self, tokens, masked):
        """tokens int64 (B, T), masked bool (B, T) → logits (B, T, V): those at place t are a guess at token t.

        They depend on all tokens that are not masked, before and after, and on no token that is.
        """
        # 4. The mask, number start_id, in place of each masked token, in a new tensor; then read
        #    with causal=False.
        # Do not shift: here the mask hides what is to be guessed.
        ### BEGIN SOLUTION
        return self.read(tokens.masked_fill(masked, self.start_id), causal=False)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "model_open", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check.model.require(shift, PixelModel)


# %% nbgrader={"grade": true, "grade_id": "model_hidden", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def drawn_model(layers):
    """Sizes, tokens and a mask, with logits computed here place by place."""
    generator = np.random.default_rng()
    heads, d = (int(n) for n in generator.choice([2, 3, 4], 2, replace=False))
    given = dict(colours=int(generator.integers(3, 8)), side=3, dim=heads * d, heads=heads)
    given["layers"] = layers
    B, T = int(generator.integers(2, 4)), int(generator.integers(6, 9))
    tokens = torch.from_numpy(generator.integers(0, given["colours"], (B, T)))
    tokens[1, :3] = torch.from_numpy(generator.integers(0, given["colours"] - 1, 3))
    masked = torch.from_numpy(generator.random((B, T)) < 0.4)
    masked[:, 1], masked[:, 2] = True, False
    key = float(generator.uniform(20, 900))
    start = torch.full((B, 1), given["colours"])
    read = torch.cat([start, tokens[:, :-1]], 1)
    covered = torch.where(masked, given["colours"], tokens)
    return dict(
        sizes=given,
        tokens=tokens,
        masked=masked,
        key=key,
        logits=one_by_one(given, read, key, causal=True),
        guesses=one_by_one(given, covered, key, causal=False),
        read=[([[3, 1, 0, 2]], 4, [[4, 3, 1, 0]]), (tokens.tolist(), 9, _shifted(tokens, 9))],
    )


def _shifted(tokens, start):
    return [[start, *row[:-1]] for row in tokens.tolist()]


@torch.no_grad()
def one_by_one(given, ids, key, causal):
    """Each place by itself, with all that it sees, in float64."""
    model = PixelLayers(**given).double()
    for name, part in model.named_parameters():
        part.data = check.weight(name, part.shape, key).double()
    rows, d = model.tokens(ids), given["dim"] // given["heads"]
    rows = torch.stack([rows[:, t] + model.positions.weight[t] for t in range(ids.shape[1])], 1)
    for block in model.blocks:
        q, k, v = block.qkv(block.norm_1(rows)).chunk(3, -1)
        found = torch.zeros_like(rows)
        for t in range(rows.shape[1]):
            seen = t + 1 if causal else rows.shape[1]
            for own in torch.arange(given["dim"]).split(d):
                energy = (q[:, t, own][:, None] * k[:, :seen, own]).sum(-1) / d**0.5  # (B, seen)
                share = energy.exp() / energy.exp().sum(-1, keepdim=True)
                found[:, t, own] = (share[..., None] * v[:, :seen, own]).sum(1)
        rows = rows + block.out(found)
        rows = rows + block.mlp(block.norm_2(rows))
    return model.head(model.norm(rows)).float()


check.on_other_data(check.model, *map(drawn_model, (2, 1, 3))).require(shift, PixelModel)
### END HIDDEN TESTS

# %% [markdown]
# ## 3 · What a pixel costs
# *difficulty 2/5 · importance 5/5 · 20 minutes · 4 points*
#
# The loss of a language model, the mean of $-\ln p$ of what really came, is in nats. In *bits* it means
# more: with the logarithm of base 2 it is the size of the file that this model could pack a picture into.
# V colours that are all equally likely cost $\log_2 V$ bits a pixel, so 3 bits at 8 colours. All pixels count,
# the first one too; else nobody could compare two models. The model of question 2 has shifted already:
# its logits at place t are about token t.


# %% nbgrader={"grade": false, "grade_id": "bits", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bits_per_pixel(logits, tokens):
    """The mean of -log2 p(token) over all pixels of all pictures: a tensor of one number, with a gradient.

    logits (B, T, V): those at place t are a guess at token t.  tokens int64 (B, T).
    """
    # 1. F.cross_entropy wants (N, V) and (N,), and gives nats.
    # 2. A bit is ln 2 nats.
    # Do not shift once more, and do not take the logarithm of a softmax: far off, it is -inf.
    ### BEGIN SOLUTION
    return F.cross_entropy(logits.flatten(0, 1), tokens.flatten()) / math.log(2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "bits_open", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check.bits.require(bits_per_pixel)


# %% nbgrader={"grade": true, "grade_id": "bits_hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def pixel_costs(logits, tokens):
    """-log2 p of each pixel as a list for each picture, computed here number by number."""
    found = []
    for rows, own in zip(logits.double().tolist(), tokens.tolist(), strict=True):
        top = [max(row) for row in rows]
        sums = [sum(math.exp(x - m) for x in row) for row, m in zip(rows, top, strict=True)]
        costs = zip(rows, own, top, sums, strict=True)
        found.append([(m - row[token] + math.log(s)) / math.log(2) for row, token, m, s in costs])
    return found


def drawn_logits(B=None, scale=3.0):
    """Logits and tokens of drawn sizes."""
    generator = np.random.default_rng()
    drawn, T, V = (int(n) for n in generator.choice([2, 3, 4, 5, 6, 7], 3, replace=False))
    logits = check.numbers(B or drawn, T, V, key=float(generator.uniform(20, 900)), scale=scale)
    return logits, torch.from_numpy(generator.integers(0, V, (B or drawn, T)))


def drawn_bits(**given):
    logits, tokens = drawn_logits(**given)
    return dict(logits=logits, tokens=tokens, expected=float(np.mean(pixel_costs(logits, tokens))))


check.on_other_data(
    check.bits, drawn_bits(), drawn_bits(), drawn_bits(B=1), drawn_bits(scale=200.0)
).require(bits_per_pixel)
### END HIDDEN TESTS

# %% [markdown]
# ## 4 · The other objective
# *difficulty 3/5 · importance 4/5 · 30 minutes · 6 points*
#
# The BERT objective of Image GPT: each pixel is masked with a probability of 0.15, each for itself, so that
# one picture may lose 20 pixels and the next one 35. The model guesses at all places, but only
# the masked ones count: the others it can read off. Here all masked pixels of a batch weigh alike,
# whichever picture they are from.
#
# Are these bits comparable with those of question 3? What does the model see here that it did not see there?


# %% nbgrader={"grade": false, "grade_id": "bert", "locked": false, "schema_version": 3, "solution": true, "task": false}
def draw_mask(B, T, share):
    """Which pixels are masked: bool (B, T), each True with probability `share`, each for itself, anew at each call."""
    ### BEGIN SOLUTION
    return torch.rand(B, T) < share
    ### END SOLUTION


def bert_bits(logits, tokens, masked):
    """The mean of -log2 p(token) over the masked pixels of all pictures: a tensor of one number, with a gradient.

    logits (B, T, V): those at place t are a guess at token t.  tokens int64 (B, T).  masked bool (B, T).
    If nothing at all is masked, the result is 0, and no nan.
    """
    # Do not average over each picture first: one with few masked pixels would weigh more than it should.
    ### BEGIN SOLUTION
    nats = F.cross_entropy(logits[masked], tokens[masked], reduction="sum")
    return nats / math.log(2) / masked.sum().clamp(min=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "bert_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.bert.require(draw_mask, bert_bits)


# %% nbgrader={"grade": true, "grade_id": "bert_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def drawn_bert(B=None):
    """Logits, tokens and a mask with other numbers of pixels in each picture, and what the masked ones cost."""
    drawn, generator = random.SystemRandom(), np.random.default_rng()
    T, V, pictures = (int(n) for n in generator.choice([3, 4, 5, 6, 7], 3, replace=False))
    B = B or pictures
    logits = check.numbers(B, T, V, key=drawn.uniform(20, 900), scale=3.0)
    tokens = [[drawn.randrange(V) for _ in range(T)] for _ in range(B)]
    masked = [[drawn.random() < 0.5 for _ in range(T)] for _ in range(B)]
    # Not as many masked pixels in all pictures, and one of either kind in the first and the last
    masked[0] = [False] + [True] * (T - 1)
    masked[-1] = [True] + [False] * (T - 1) if B > 1 else masked[0]
    kept = []
    for b in range(B):
        for t in range(T):
            row = logits[b, t].tolist()
            whole = sum(math.exp(x) for x in row)
            kept += [-math.log2(math.exp(row[tokens[b][t]]) / whole)] * masked[b][t]
    given = dict(logits=logits, tokens=torch.tensor(tokens), masked=masked)
    return dict(given, expected=sum(kept) / len(kept), share=drawn.uniform(0.25, 0.45))


check.on_other_data(check.bert, drawn_bert(), drawn_bert(), drawn_bert(B=1)).require(
    draw_mask, bert_bits
)
### END HIDDEN TESTS

# %% [markdown]
# ## 5 · One of the likely colours
# *difficulty 3/5 · importance 4/5 · 30 minutes · 6 points*
#
# A model that always takes the likeliest colour draws an empty picture: black is the best guess nearly
# everywhere. So the colour is drawn by its probability. But a hundred times something unlikely happens at
# least once, and one white dot leads to more. Two brakes: a *temperature* divides all logits, below 1 what is
# likely becomes likelier; and *top-k* leaves only the k likeliest colours, whose shares then sum to 1 again.


# %% nbgrader={"grade": false, "grade_id": "sampling", "locked": false, "schema_version": 3, "solution": true, "task": false}
def top_k_shares(logits, k, temperature):
    """The probabilities with which a colour is drawn: (B, V), each row sums to 1.

    logits (B, V), no two of a row alike.  k: 1 or more; in each row only the k likeliest colours have a share
    above 0, and where k is larger than V, all.  temperature: above 0.
    """
    # 1. The logits over the temperature.
    # 2. -inf where a logit is none of the k largest of its row.
    # 3. Softmax over the colours.
    ### BEGIN SOLUTION
    least = logits.topk(min(k, logits.shape[-1])).values[:, -1:]  # (B, 1)
    return (logits / temperature).masked_fill(logits < least, -math.inf).softmax(-1)
    ### END SOLUTION


def draw(logits, k, temperature):
    """A colour for each row, drawn by these probabilities, anew at each call: int64 (B,)."""
    # torch.multinomial draws by probabilities, each row for itself.
    ### BEGIN SOLUTION
    return torch.multinomial(top_k_shares(logits, k, temperature), 1)[:, 0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "sampling_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.sampling.require(top_k_shares, draw)


# %% nbgrader={"grade": true, "grade_id": "sampling_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def drawn_shares(k, temperature):
    """Logits of drawn sizes, no two of a row alike, and the shares of each row by hand."""
    generator = np.random.default_rng()
    B, V = (int(n) for n in generator.choice([4, 5, 6, 7], 2, replace=False))
    steps = generator.permuted(np.tile(np.arange(V), (B, 1)), axis=1)
    logits = 0.7 * steps + generator.uniform(-0.2, 0.2, (B, V)) - 3.0
    shares = np.zeros((B, V))
    for b, row in enumerate(logits):
        best = sorted(range(V), key=lambda v: -row[v])[:k]
        for v in best:
            shares[b, v] = math.exp(row[v] / temperature)
        shares[b] /= shares[b].sum()
    return dict(logits=logits.tolist(), k=k, temperature=temperature, shares=shares)


asked = [(3, 1.0), (2, 0.6), (1, 1.3), (4, 1.7), (30, 0.8)]
check.on_other_data(check.sampling, *(drawn_shares(*each) for each in asked)).require(
    top_k_shares, draw
)
### END HIDDEN TESTS

# %% [markdown]
# ## 6 · The other half
# *difficulty 4/5 · importance 5/5 · 40 minutes · 6 points*
#
# Some pixels of a picture are given: the upper half, the left one, any set of places. The others are drawn,
# in raster order, each after all before it, given or drawn. Pixels that are given stay as they
# are, to the last one: a completion that repaints the given half is no completion. What stands at the other
# places in the beginning is of no account, even if it is the real picture.
#
# ```
# known       1  1  0  1  0          pixel 0 and 1 stay, 2 is drawn after them, 3 stays, 4 is drawn after 0 to 3
# ```
#
# The model is one as in question 2: `model(tokens)` gives logits (B, T', V) for tokens (B, T') of any length up to T,
# those at place t a guess at token t, from the ones before it alone. So what do you give it to get a guess at
# place t, if token t does not exist yet?


# %% nbgrader={"grade": false, "grade_id": "complete", "locked": false, "schema_version": 3, "solution": true, "task": false}
def complete(model, tokens, known, choose):
    """Pictures whose given pixels stay and whose others are drawn: int64 (B, T).

    model: tokens (B, T') → logits (B, T', V), as in question 2.  tokens int64 (B, T): where a place is not given,
    they hold any colour.  known bool (T,): the places that are given, the same in all pictures.
    choose: logits (B, V) → colours int64 (B,), such as your draw.
    """
    # 1. A copy, which will be filled from left to right.
    # 2. At each place t that is not given: the model's logits for the pictures so far, those at
    #    place t (B, V); what `choose` makes of them goes to place t.
    # Do not take all logits at once: a later pixel depends on those drawn before it.
    ### BEGIN SOLUTION
    drawn = tokens.clone()
    for t in range(tokens.shape[1]):
        if not known[t]:
            logits = model(drawn[:, : t + 1])[:, t]  # (B, V); whatever stands at t is not seen
            drawn[:, t] = choose(logits)
    return drawn
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "complete_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.complete.require(complete)


# %% nbgrader={"grade": true, "grade_id": "complete_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def drawn_halves(kind):
    """Pictures and given places of one kind, with what the test's model makes of them, pixel by pixel."""
    drawn = random.SystemRandom()
    # One picture at times, but several where some are given
    B, T, V = drawn.randint(2 - (kind == "none"), 4), drawn.randint(6, 9), drawn.randint(5, 9)
    known = {
        "upper": [t < T // 2 for t in range(T)],
        "lower": [t >= T // 2 for t in range(T)],
        "left": [t % 3 < 2 for t in range(T)],
        "none": [False] * T,
        "all": [True] * T,
    }[kind]
    tokens = [[drawn.randrange(V) for _ in range(T)] for _ in range(B)]
    step = drawn.randint(2, 4)
    expected = []
    for row in tokens:
        row = list(row)
        for t in range(T):
            row[t] = row[t] if known[t] else check.next_pixel(row[:t], V, step)
        expected.append(row)
    # What stands at other places is never the colour that is drawn there
    tokens = [
        [v if known[t] else (v + drawn.randrange(1, V)) % V for t, v in enumerate(row)]
        for row in expected
    ]
    return dict(tokens=tokens, known=known, V=V, step=step, expected=expected)


check.on_other_data(
    check.complete, *map(drawn_halves, ("upper", "lower", "left", "left", "none", "all"))
).require(complete)
### END HIDDEN TESTS

# %% [markdown]
# ## 7 · What it knows of a picture
# *difficulty 3/5 · importance 5/5 · 30 minutes · 4 points*
#
# To guess the next pixel of a 4, it helps to know that this is a 4. Does the model know? What flows
# through it at a place is E numbers behind each block; their mean over all places is the picture's *feature*
# of that layer. Layer 0 is what goes into the first block, layer 1 what comes out of it, and so on; behind the last
# one the norm belongs to it, too. The model reads as it does when it draws: the start first, the last pixel
# never, and every place sees only what is before it.


# %% nbgrader={"grade": false, "grade_id": "features", "locked": false, "schema_version": 3, "solution": true, "task": false}
def features(model, tokens, layer, batch=25):
    """The mean over all places of what flows behind `layer` blocks: float (M, E), without a gradient.

    model: of the given layers, with tokens, positions, blocks, norm, start_id.  tokens int64 (M, T).
    layer: 0 to the number of blocks.  batch: at most so many pictures go through the model at once.
    """
    # 1. Evaluation mode and no gradients: nobody learns here, and memory would run out.
    # 2. For each part of at most `batch` pictures: shift (by your own function, if it has passed),
    #    embeddings and positions, the first `layer` blocks with causal=True, the norm if these are all.
    # 3. The mean over the places (batch, E); at the end all parts one below the other (M, E).
    ### BEGIN SOLUTION
    model.eval()
    found = []
    with torch.no_grad():
        for part in tokens.split(batch):
            ids = F.pad(part[:, :-1], (1, 0), value=model.start_id)
            x = model.tokens(ids) + model.positions.weight[: ids.shape[1]]  # (batch, T, E)
            for block in model.blocks[:layer]:
                x = block(x, causal=True)
            if layer == len(model.blocks):
                x = model.norm(x)
            found.append(x.mean(1))
    return torch.cat(found)
    ### END SOLUTION


# %% tags=["student"] nbgrader={"grade": false, "grade_id": "small_model", "locked": true, "schema_version": 3, "solution": false, "task": false}
def small_model(**given):
    """A model of the given layers, for the test; it notes how many pictures went through it at once."""
    model = PixelLayers(**given)
    model.register_buffer("most", torch.tensor(0))

    def note(block, given, named):
        pictures = given[0] if given else named["x"]
        model.most.fill_(max(int(model.most), len(pictures)))

    model.blocks[0].register_forward_pre_hook(note, with_kwargs=True)
    return model


# %% nbgrader={"grade": true, "grade_id": "features_open", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check.features.require(features, small_model)


# %% nbgrader={"grade": true, "grade_id": "features_hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
@torch.no_grad()
def drawn_features(layers, T):
    """Sizes and pictures; each picture alone, each place with all that it sees."""
    generator = np.random.default_rng()
    heads, d = (int(n) for n in generator.choice([2, 3, 4], 2, replace=False))
    given = dict(colours=int(generator.integers(3, 8)), side=3, dim=heads * d, heads=heads)
    given |= dict(layers=layers, dropout=0.4)
    M = int(generator.choice([5, 7]))  # odd: two at a time leave one
    key = float(generator.uniform(20, 900))
    tokens = torch.from_numpy(generator.integers(0, given["colours"], (M, T)))
    model = PixelLayers(**given).eval()
    for name, part in model.named_parameters():
        part.data = check.weight(name, part.shape, key)
    found = [[] for _ in range(layers + 1)]
    for row in tokens.tolist():
        ids = torch.tensor([given["colours"], *row[:-1]])
        x = (model.tokens(ids) + model.positions.weight[:T])[None]  # (1, T, E)
        for depth in range(layers + 1):
            x = model.blocks[depth - 1](x, True) if depth else x
            shown = model.norm(x) if depth == layers else x
            found[depth].append((sum(shown[0]) / T).tolist())
    return dict(sizes=given, tokens=tokens, key=key, expected=found)


check.on_other_data(
    check.features, drawn_features(2, 8), drawn_features(1, 9), drawn_features(3, 5)
).require(features, small_model)
### END HIDDEN TESTS

# %% [markdown]
# ## 8 · Which digit was taken for which
# *difficulty 2/5 · importance 4/5 · 30 minutes · 6 points*
#
# An accuracy hides where the errors are. The *confusion matrix* counts them: row i, column j holds how many
# digits that are an i were called a j. *Kappa* (Cohen 1960) then asks how much of the agreement is more than
# luck. With $p$ the share that is right, and $e$ the share that would be right by chance if labels and guesses kept
# their frequencies but had nothing to do with each other,
#
# $$\kappa = \frac{p - e}{1 - e}$$
#
# Of class i, the labels have a share (row i) and the guesses have one (column i): both meet by chance as
# often as the product of the two says, and $e$ is the sum of these products. What is kappa of a classifier that says
# "7" to everything?


# %% nbgrader={"grade": false, "grade_id": "scores", "locked": false, "schema_version": 3, "solution": true, "task": false}
def confusion(labels, guessed, classes):
    """How many of each class (row) were called each class (column): whole numbers (classes, classes).

    labels, guessed: int64 (n,), from 0 to classes - 1; some classes may not occur.
    """
    # Mind that table[labels, guessed] += 1 counts a pair once, however often it occurs.
    ### BEGIN SOLUTION
    counts = torch.bincount(labels * classes + guessed, minlength=classes**2)
    return counts.view(classes, classes)
    ### END SOLUTION


def kappa(counts):
    """Cohen's kappa of a confusion matrix, a number: 1 where all is right, 0 where it is as good as chance.

    counts: int64 (C, C), rows the labels, columns the guesses; not all of them at one place of the diagonal.
    """
    ### BEGIN SOLUTION
    shares = counts.double() / counts.sum()
    chance = (shares.sum(0) * shares.sum(1)).sum()
    return ((shares.trace() - chance) / (1 - chance)).item()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "scores_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.scores.require(confusion, kappa)


# %% nbgrader={"grade": true, "grade_id": "scores_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
from sklearn import metrics


def drawn_guesses(classes, n, never, agree=0.6):
    """Labels and guesses that often agree, or never, with scikit-learn's matrix and kappa; one class never occurs."""
    drawn = random.SystemRandom()
    used = [each for each in range(classes) if each != never]
    weights = [drawn.choice([1, 2, 5]) for _ in used]
    labels = [*used, *drawn.choices(used, weights, k=n)]
    others = {label: [each for each in used if agree or each != label] for label in used}
    guessed = [label if drawn.random() < agree else drawn.choice(others[label]) for label in labels]
    counts = metrics.confusion_matrix(labels, guessed, labels=range(classes))
    agreed = float(metrics.cohen_kappa_score(labels, guessed))
    return dict(
        labels=labels, guessed=guessed, counts=counts.tolist(), kappas=[(counts.tolist(), agreed)]
    )


check.on_other_data(
    check.scores,
    *(
        drawn_guesses(*each)
        for each in [(4, 30, 3), (7, 200, 0), (3, 9, 2), (10, 80_000, 5), (4, 40, 1, 0)]
    ),
).require(confusion, kappa)
### END HIDDEN TESTS

# %% [markdown]
# ## Your parts go to work
#
# The cell after the next takes your `PixelModel` for training if it has passed, together with your `features`; else the
# course's Image GPT, of the same size. Your `bits_per_pixel` is the loss if it is right, and your `complete` and
# `draw` will draw.


# %% nbgrader={"grade": false, "grade_id": "tokens", "locked": true, "schema_version": 3, "solution": false, "task": false}
def as_tokens(digits):
    """Digits as tokens (n, side²), by the course's palette."""
    return palette.encode(reduced(digits.images, side))


tokens, dev_tokens = as_tokens(learned), as_tokens(dev[: settings["judged"]])
print(f"{len(tokens)} pictures of {tokens.shape[1]} pixels in {colours} colours")

# %% tags=["student"] nbgrader={"grade": false, "grade_id": "parts", "locked": true, "schema_version": 3, "solution": false, "task": false}
own = check.passes(check.model, lambda *given: shift(*given), lambda **given: PixelModel(**given))
own = own and check.passes(check.features, lambda *given: features(*given), small_model)
new_model = functools.partial(PixelModel if own else ImageGPT, colours, side, **sizes_of_model)
print("Your own" if own else "The course's", "model goes to work,")
right_bits = check.passes(check.bits, lambda *given: bits_per_pixel(*given))
print("with", "your own" if right_bits else "the course's", "loss")


def loss_of(model, tokens):
    """Bits a pixel of a batch, tokens (B, T), with a gradient."""
    if right_bits:
        return bits_per_pixel(model(tokens), tokens)
    return scores.bits(ar_loss(model, tokens))


def features_at(model, tokens, layer):
    """Features of a layer, by your function, or by the course's model itself."""
    if isinstance(model, ImageGPT):
        with torch.no_grad():
            parts = [model.eval().features(part, layer) for part in tokens.split(25)]
        return torch.cat(parts)
    return torch.as_tensor(features(model, tokens, layer)).float()


# %% [markdown]
# ## 9 · It learns to draw
# *difficulty 3/5 · importance 5/5 · 30 minutes, 2 of them computing · 8 points*
#
# All parts meet. Transformers want a gentle beginning: with the full learning rate at once, the first steps go
# anywhere. So the rate grows in a straight line from near 0 over the first tenth of the steps (*warm-up*), and then falls in a
# straight line to 0. Beside your model stand those that only count:
#
# | at size cpu, bits a pixel | |
# |---|---|
# | all colours equally likely | 3 |
# | how often each colour occurs | 1.41 |
# | and where | 1.09 |
# | what follows on the four neighbours left and above | 0.85 |
#
# To beat the last row clearly, the model must look further than one pixel.


# %% nbgrader={"grade": false, "grade_id": "train", "locked": false, "schema_version": 3, "solution": true, "task": false}
def train_model(model, loss_of, tokens, epochs, batch_size, learning_rate):
    """Trains a model, in place, and returns it.

    loss_of(model, tokens (B, T)) → the loss of a batch, a tensor of one number.  tokens int64 (M, T): all pictures.
    """
    # 1. How many steps there will be: the batches of an epoch times the epochs, the last short batch counted.
    # 2. Make torch.optim.AdamW once. Put the model in training mode.
    # 3. In each epoch draw a new order of the M pictures (torch.randperm) and cut it into batches.
    # 4. At each step set the learning rate: up over the first tenth of all steps, then down to 0.
    # 5. The loss of the batch; clear the gradients and compute new ones, clip their norm to 1
    #    (nn.utils.clip_grad_norm_), move the weights.
    # 6. Print the mean loss of each epoch, and return the model at the end.
    ### BEGIN SOLUTION
    steps = epochs * math.ceil(len(tokens) / batch_size)
    warm = max(1, steps // 10)
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate)
    model.train()
    step = 0
    for epoch in range(epochs):
        losses = []
        for batch in torch.randperm(len(tokens)).split(batch_size):
            rate = learning_rate * min((step + 1) / warm, (steps - step) / max(1, steps - warm))
            optimizer.param_groups[0]["lr"] = rate
            loss = loss_of(model, tokens[batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            step += 1
        print(f"epoch {epoch + 1:2}  loss {sum(losses) / len(losses):.3f}")
    return model
    ### END SOLUTION


# %% tags=["student"] nbgrader={"grade": false, "grade_id": "training_run", "locked": true, "schema_version": 3, "solution": false, "task": false}
@torch.no_grad()
def logits_of(model, tokens):
    """tokens (B, T) → the model's logits (B, T, V)."""
    return torch.cat([model.eval()(part) for part in tokens.split(25)])


torch.manual_seed(seed)
trained = check.attempt(
    train_model, new_model(), loss_of, tokens.clone(), **training, returns=nn.Module
)

# %% nbgrader={"grade": true, "grade_id": "train_open", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check.pixels.require(functools.partial(logits_of, trained), dev_tokens, colours, at_most=BITS)


# %% nbgrader={"grade": true, "grade_id": "train_hidden", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other digits
### BEGIN HIDDEN TESTS
def hidden_digits():
    """Digits of the test set that nobody chose, and their tokens."""
    places = sorted(secrets.SystemRandom().sample(range(len(test)), settings["judged"]))
    return test[places], as_tokens(test[places])


def hidden_train(logits_of):
    given = dict(tokens=hidden_digits()[1], colours=colours, at_most=BITS)
    check.on_other_data(check.pixels, given).require(logits_of)


hidden_train(functools.partial(logits_of, trained))
### END HIDDEN TESTS

# %% [markdown]
# ## 10 · Does it know digits?
# *difficulty 3/5 · importance 5/5 · 25 minutes · 6 points*
#
# Nobody told the model which picture is which digit. If its features tell digits apart all the same, then a simple
# classifier can read them off: a *linear probe*, which draws flat borders only, so that what it finds must have been there
# already. Features have no common scale: one may reach from -0.01 to 0.01 and the next one to 50. So each is brought to
# mean 0 and spread 1, and since nothing of the new pictures may be known, mean and spread are those of the known ones.
# One that never changes has the spread 0; see that it does no harm.
#
# Here scikit-learn is allowed: `StandardScaler` and `LogisticRegression` are imported. If your model of question 9 has
# not reached its bits yet, the next cell trains the course's in its place.


# %% tags=["student"] nbgrader={"grade": false, "grade_id": "seer", "locked": true, "schema_version": 3, "solution": false, "task": false}
def has_learned(model):
    """Whether a model needs no more bits than question 9 asks for."""
    try:
        return scores.bits_per_pixel(model, dev_tokens)[0] <= BITS
    except Exception:
        return False


def course_model():
    """The course's model, trained by the course's loop."""
    torch.manual_seed(seed)
    model = ImageGPT(colours, side, **sizes_of_model)

    def batches(epoch):
        order = torch.Generator().manual_seed(1000 * seed + epoch)
        order = torch.randperm(len(tokens), generator=order)
        return tokens[order].split(training["batch_size"])

    train(model, ar_loss, batches, TrainSettings(seed=seed, **training), quiet=True)
    return model.eval()


own_seer = has_learned(trained)
seer = trained if own_seer else course_model()
print("Your own" if own_seer else "The course's", "trained model is probed")
seen = features_at(seer, tokens, settings["probed"])
dev_seen = features_at(seer, dev_tokens, settings["probed"])


# %% nbgrader={"grade": false, "grade_id": "probe", "locked": false, "schema_version": 3, "solution": true, "task": false}
def probe(known, labels, new):
    """The label of each new picture, by a linear classifier of features: whole numbers (n,).

    known float (M, E): features of pictures whose labels int64 (M,) are known.  new float (n, E).  Only labels that
    occur among the known ones are guessed.
    """
    # 1. Mean and spread of each of the E features over the known pictures; bring both to mean 0, spread 1.
    # 2. A logistic regression of the labels, with enough iterations to settle.
    # 3. Its guesses for the new ones.  Each is by itself: what else is in `new` changes nothing.
    ### BEGIN SOLUTION
    scaler = StandardScaler().fit(known)
    classifier = LogisticRegression(max_iter=500).fit(scaler.transform(known), labels)
    return classifier.predict(scaler.transform(new))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "probe_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.probe.require(
    probe, seen, learned.labels, dev_seen, dev.labels[: len(dev_tokens)], at_least=ACCURACY
)


# %% nbgrader={"grade": true, "grade_id": "probe_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other digits
### BEGIN HIDDEN TESTS
def unknown_digits():
    """Digits of the test set that nobody chose."""
    return test[sorted(secrets.SystemRandom().sample(range(len(test)), settings["judged"]))]


def hidden_probe(probe, features_at, seer, seen):
    chosen = unknown_digits()
    new = features_at(seer, as_tokens(chosen), settings["probed"])
    given = dict(
        known=seen,
        labels=learned.labels,
        new=new,
        truth=chosen.labels,
        at_least=ACCURACY,
        key=random.SystemRandom().uniform(20, 900),
    )
    check.on_other_data(check.probe, given).require(probe)


hidden_probe(probe, features_at, seer, seen)
### END HIDDEN TESTS

# %% [markdown]
# ## 11 · Drawing and knowing
#
# The next cell lays side by side what the model can draw and what it knows: bits a pixel beside those of counting, the
# accuracy of your probe layer by layer beside a probe of the raw pixels, and endings of four digits, once with the upper half given
# and once with the lower.


# %% tags=["student"] nbgrader={"grade": false, "grade_id": "report", "locked": true, "schema_version": 3, "solution": false, "task": false}
def endings(model, tokens, known, count=4):
    """Each picture of tokens (B, T) completed `count` times: images (B, count, side, side)."""
    many = tokens.repeat_interleave(count, 0)
    with torch.no_grad():
        found = complete(
            model.eval(), many, known, lambda logits: torch.as_tensor(draw(logits, 5, 0.9))
        )
    return palette.decode(torch.as_tensor(found)).unflatten(0, (-1, count))


def accuracy(known, new):
    """The share of the digits for tests that your probe names rightly."""
    guessed = torch.as_tensor(probe(known, learned.labels, new))
    return (guessed == dev.labels[: len(new)]).float().mean().item()


def report(model):
    """Bits, accuracies and endings."""
    own_bits = scores.bits_per_pixel(model, dev_tokens)[0]
    counted = [tokens, dev_tokens, colours]
    print(f"bits a pixel       the model {own_bits:.3f}")
    print(f"                   colours counted {scores.unigram(*counted):.3f}")
    print(f"                   at each place {scores.per_position(*counted):.3f}")
    print(f"                   after four neighbours {scores.neighbours(*counted):.3f}")
    layers = range(sizes_of_model["layers"] + 1)
    found = [[features_at(model, each, n) for each in (tokens, dev_tokens)] for n in layers]
    found = [accuracy(*each) for each in found]
    raw = accuracy(tokens.float(), dev_tokens.float())
    told = "  ".join(f"layer {n} {share:.3f}" for n, share in enumerate(found))
    print(f"share of digits    {told}  raw pixels {raw:.3f}")
    sizes.report(bits=own_bits, accuracy=max(found), raw_pixels=raw)


def show_endings(model):
    """Four digits, each with four endings of its upper half, and of its lower."""
    upper = torch.arange(side * side) < side * (side // 2)
    few = dev_tokens[[4, 7, 8, 13]]
    for name, known in (("upper", upper), ("lower", ~upper)):
        drawn = endings(model, few, known)
        shown = (palette.decode(few), known.view(side, side), drawn)
        figure = pictures.completions(*shown, f"The {name} half is given")
        plots.show(figure, alt=f"Four digits, the {name} half given, each with four endings.")


for part in (report, show_endings):
    try:
        part(seer)
    except Exception as error:
        needed = "10" if part is report else "5 and 6"
        print(f"Write question {needed}, then run this cell again ({type(error).__name__}).")

# %% [markdown]
# *difficulty 3/5 · importance 4/5 · 20 minutes · 4 points, marked by a person*
#
# Answer in the cell below, in about 180 words:
#
# 1. Layer 0 is only the mean of what is read, and tells digits apart better than one in ten. What can it know? And
#    what do the layers behind it add, up to the raw pixels or beyond? Give the numbers. *(1 point)*
# 2. The endings of an upper half differ. Describe two of one digit, and say why that is no fault, and which number
#    would show if it were one. *(1 point)*
# 3. With the lower half given, the drawn upper half fits worse. Explain by the order in which the model reads.
#    *(1 point)*
# 4. Somebody says: "A model with fewer bits a pixel knows more about digits." Describe an experiment: what
#    you change and keep equal, what you measure, and which result would speak against it. *(1 point)*

# %% [markdown] nbgrader={"grade": true, "grade_id": "drawing_and_knowing", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# 1. The mean of embeddings tells how often each colour occurs, so how much ink there is, and nothing of where: the
#    positions add the same to every picture. That is enough to tell a 1 from an 8 (at size cpu 0.34 instead of 0.10).
#    What blocks add is which pixels stand beside which: 0.80, 0.80, 0.82 there. The raw pixels, 0.88, are still better: a probe
#    of them knows every place, and the mean has lost them; who says so plainly is right. Half a point for numbers
#    without a reason.
# 2. Two endings of one digit with what differs, such as a 4 and a 9 on the same upper half. What is given
#    does not decide how it goes on, and the model draws by probabilities. That they are possible at all shows in the
#    bits of the real lower halves: a model to which these are a surprise needs many. "The loss" counts; "accuracy" does not.
# 3. The model reads from the top: when it draws a pixel of the upper half, it has seen none of the given ones below, for
#    they come later. So the upper half is drawn as if nothing were given, and only the forced pixels fit. A point needs
#    that the guess depends on earlier pixels alone. A good addition: BERT's way of reading would see both sides, or one
#    may draw many upper halves and keep those after which the given half is likely.
# 4. For instance: the same model after 1, 2 and 4 epochs, or of several widths, on the same digits, several
#    seeds each; bits a pixel and the accuracy of the same probe at the best layer, on digits held out from both. If
#    accuracy stays the same or falls while the bits fall, it speaks against it. Another: the BERT objective beside this one,
#    whose bits are not comparable. A point needs what is kept equal, both measures, and a result that refutes.
# ### END SOLUTION
