# %% [markdown]
# # 09 · How few colours make a digit?
#
# In eight lessons pictures went in and words came out. Lesson 08 ended with a thought: to a language
# model a word is a row of a table, one of $V$. **Nothing says that it must be a word.** Cut a picture
# into tokens, and the GPT of lesson 06 can say pictures.
#
# A picture on a screen is cut already: into pixels. So let each pixel be a word, and read the picture
# like a page. Two numbers then decide what it costs: how many different words there are, and how long
# the text is. Today we make both small, and keep account of everything that is lost.
#
# After this lesson you can
#
# - turn pictures into tokens and back, with a palette that is *provably* the best;
# - say in bits what a palette hides, so that models with different palettes can be compared;
# - read a picture in an order, and show how far back a model must look in it;
# - tell an augmentation that helps from one that lies, and name the witness.
#
# Two hours with the exercises.

# %%
from coursekit import sizes

here = sizes.setup()
print(here)

# %%
settings = here.pick(
    smoke=dict(whole=False, digits=300, exam=100, tried=200, starts=20, batches=(30, 300), step=2),
    cpu=dict(whole=False, digits=3500, exam=1000, tried=1000, starts=200, batches=(35, 350, 3500),
             step=8),
    gpu=dict(whole=True, digits=55_000, exam=2000, tried=2500, starts=200,
             batches=(55, 550, 5500, 55_000), step=32),
)  # fmt: skip

# %% [markdown]
# The text below describes size `cpu`. At `gpu` all of MNIST is fetched; size `smoke` only proves that
# every cell runs.
#
# ## 1. A page of 784 words
#
# MNIST: 70,000 digits, written by clerks and pupils, 28 × 28 pixels of 256 greys (LeCun et al. 1998).
# Five thousand of them come with the course, and no network is needed.

# %%
import time
from collections import Counter

import numpy as np
import torch
from torch.nn import functional as F

from coursekit import plots
from coursekit.datasets import data_folder
from coursekit.datasets.augment import Augmentation, augmented, load_saved, save_digits
from coursekit.datasets.digits import fetch_mnist, load_digits
from coursekit.metrics.images import neighbours as bits_by_neighbours
from coursekit.models.gpt import GPT
from coursekit.palette import Palette, histogram, reduced
from coursekit.plots.digits import sheet

root = fetch_mnist(data_folder("mnist")) if settings["whole"] else None
train_set = load_digits("train", root, settings["digits"])
exam = load_digits("test", root, settings["exam"])
print(train_set, exam, sep="\n")
plots.show(
    sheet(train_set.images[:20], "Twenty digits, and what their writers meant",
          train_set.labels[:20].tolist()),
    alt=f"Twenty handwritten digits, white on black: {train_set.labels[:20].tolist()}.",
)  # fmt: skip
one = train_set.images[2]
print("from the middle of the third digit:", *one[10:16, 6:22].tolist(), sep="\n")

# %% [markdown]
# Read row by row, that is a text of 784 words from a vocabulary of 256. **Predict:** which word is the
# most common, and how much of the text is it? And: if all that is known is how common each word is, how
# many *bits* does a pixel cost? A word of probability $p$ costs $-\log_2 p$; 256 that are equally common
# cost 8.

# %%
counts = histogram(train_set.images)  # (256,): how often each grey occurs
share = counts / counts.sum()
used = share[share > 0]
entropy = -(used * np.log2(used)).sum()
figure, axes = plots.panels(title="Digits are paper and ink; greys are their edges")
axes.bar(range(256), 100 * share, width=1.0, color=plots.BLUE)
axes.set(yscale="log", xlabel="grey: 0 is paper, 255 is ink", ylabel="share of pixels (%, log)")
plots.show(figure, alt=f"Share of pixels by grey, logarithmic: {share[0]:.0%} are 0, "
                       f"{share[253:].sum():.0%} are 253 or more, and most greys between have less "
                       "than a tenth of a per cent.")  # fmt: skip
print(f"paper {share[0]:.1%}, full ink (253 and more) {share[253:].sum():.1%}; "
      f"{len(used)} greys occur; {entropy:.2f} bits a pixel")  # fmt: skip

# %% [markdown]
# Four words of five are *paper*. What is neither paper nor full ink, one pixel in seven, is spread over
# 250 greys, and no reader of digits would care which of two neighbouring greys it is. A pixel costs 2
# bits, not 8, before anything has been learned but how common each grey is.
#
# A GPT with 256 words must learn for each grey anew what it is like: as in lesson 01, to a table of
# tokens 200 and 201 are strangers. Fewer words would be easier to learn. **How few are enough?**
#
# ## 2. A few greys
#
# A **palette** is a short list of greys. Each pixel becomes the number of the nearest; to get the
# picture back, look the numbers up. The first idea for a palette: equal steps from 0 to 255.
# **Predict** what two, and what four, make of a handwritten 3.

# %%
kept = (2, 4, 8, 16)


def equal_steps(V):
    """V greys from paper to ink, equally far apart."""
    return Palette(torch.linspace(0, 255, V).round().to(torch.uint8))


three = exam[exam.labels == 3].images[:1]
restored = [equal_steps(V).decode(equal_steps(V).encode(three))[0] for V in kept]
names = [f"{V} greys" for V in kept]
plots.show(
    sheet([*restored, three[0]], "Four greys look nearly like 256", [*names, "all 256"], columns=5,
          size=1.4),
    alt="A handwritten 3 with 2, 4, 8, 16 and 256 greys. With 2 its edge is a staircase; with 4 "
        "it is soft; from 8 on it can hardly be told from the original.",
)  # fmt: skip
tokens = equal_steps(4).encode(three)
print("tokens", tuple(tokens.shape), "- rows 8 to 11, columns 8 to 20:")
for row in tokens.view(28, 28)[8:12, 8:21].tolist():
    print(" ", *row)

# %% [markdown]
# ### Exercise 1 · Pixels to tokens
# *difficulty 2/5 · importance 5/5 · 10 minutes*
#
# Write `encode`: for each pixel the number of the nearest colour.
#
# 1. The distance of every pixel to every colour: (B, H, W, V). Mind that pixels are `uint8`, which has
#    no number below 0.
# 2. The number of the nearest colour: (B, H, W).
# 3. Row by row: (B, H · W). This is the **raster order**.


# %%
def encode(images, colours):
    """images uint8 (B, H, W), colours uint8 (V,) -> tokens int64 (B, H * W)"""
    raise NotImplementedError("write me")


from coursekit.checks import lesson_09 as check

check.encode(encode)

# %% [markdown]
# <details><summary>Hint 1: all distances at once</summary>
#
# `images[..., None]` is (B, H, W, 1); minus `colours`, (V,), it is (B, H, W, V). Which type should both
# have before?
# </details>
# <details><summary>Hint 2: the nearest, in a row</summary>
#
# `argmin(-1)` takes the last dimension away; `flatten(1)` joins all but the first.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def encode(images, colours):
#     distance = (images[..., None].int() - colours.int()).abs()
#     return distance.argmin(-1).flatten(1)
# ```
# </details>
#
# The package's `Palette.encode` needs no distances at all for greys: there are only 256, so it looks
# each one up.
#
# ## 3. The best few greys
#
# Why equal steps? Most pixels lie near 0 and near 255, and a palette should have its greys where the
# pixels are. Let it have the least **mean squared error**. That is *k-means*, and the usual way is
# Lloyd's (1957): give each pixel to the nearest centre, move each centre to the mean of what it got,
# and again, until nothing moves.
#
# Pixels of one grey always go together, so the histogram is enough: 256 values and their counts stand
# for millions of pixels. **Predict:** from 200 random beginnings, at how many different palettes does
# Lloyd's way end? And how often at the best?

# %%
values = torch.arange(256.0, dtype=torch.float64)
weights = torch.from_numpy(counts)


def nearest(centres):
    """For each of the 256 greys the number of its centre."""
    return (values[:, None] - centres).abs().argmin(1)


def mean_error(centres):
    """Mean squared error of a pixel."""
    return float((weights * (values - centres[nearest(centres)]) ** 2).sum() / weights.sum())


def lloyd(centres, most=200):
    """k-means over the histogram: centres (V,) -> centres that no longer move."""
    for _ in range(most):
        code, V = nearest(centres), len(centres)
        mass = code.bincount(weights, V)
        moved = torch.where(
            mass > 0, code.bincount(weights * values, V) / mass.clamp_min(1), centres
        )
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


torch.manual_seed(0)
V = 8
ends = [lloyd(values[torch.randperm(256)[:V]].sort().values) for _ in range(settings["starts"])]
ended = sorted(mean_error(centres) for centres in ends)
best = Palette.exact(train_set.images, V)
least = lloyd(best.colours.double())  # a palette's greys are whole numbers, Lloyd's are not
exact = mean_error(least)
plots.show(
    plots.lines({"Lloyd": ended}, "Where k-means ends depends on where it begins",
                "random beginnings, the luckiest first",
                "mean squared error of a pixel",
                baselines={"the best there is": exact,
                           "equal steps": equal_steps(V).error(train_set.images)}),
    alt=f"Errors of {len(ended)} runs of k-means with {V} greys, sorted: from {ended[0]:.2f} to "
        f"{ended[-1]:.2f}. Dashed: the best palette there is, {exact:.2f}, and equal steps.",
)  # fmt: skip
found = Counter(tuple(centres.round().int().tolist()) for centres in ends)
print(f"{len(ends)} runs, {len(found)} palettes; the most common one {found.most_common(1)[0][1]} "
      f"times, the best {found[tuple(least.round().int().tolist())]} times")  # fmt: skip
print(
    f"the worst is {ended[-1] / exact - 1:.1%} above the best, equal steps "
    f"{equal_steps(V).error(train_set.images) / exact - 1:.1%}"
)
print("the best:", best)

# %% [markdown]
# Lloyd's way never makes a palette worse, and stops where no single step helps. That need not be the
# best palette: the curve has terraces, and **not one of 200 beginnings leads to the best**. Here the harm
# is small, two per cent at worst, where equal steps lose more than eight. But two people get two palettes,
# and with them two texts of the same picture.
#
# There is a better way, since greys lie **on a line**. Each pixel goes to the nearest colour, and on a line
# all that is nearest to one colour lies side by side: it is a *run* of neighbouring greys. So the
# question is only where to cut 256 greys into $V$ runs, and cuts can be found one after the other:
#
# $$\text{least}_k(j) = \min_{i < j}\; \text{least}_{k-1}(i) + \text{error}(i, j)$$
#
# The best way to cut the first $j$ greys into $k$ runs ends with *some* last run, from $i$ to $j-1$;
# whatever comes before it must be the best way for the first $i$ greys, which is known already. This is
# **dynamic programming**, and it tries every cut without trying every combination.
#
# ### Exercise 2 · The best runs
# *difficulty 4/5 · importance 3/5 · 25 minutes*
#
# `errors[i, j]` is the squared error of the run i, i + 1, …, j - 1 around its mean, (n + 1, n + 1), and
# infinite where that run is empty. Cut n values into `count` runs.
#
# 1. One run: `least = errors[0]`, where `least[j]` is the error of the first j values.
# 2. `count - 1` times: for every j the smallest `least[i] + errors[i, j]`. Keep its i: there the last
#    run begins.
# 3. Walk back: the last run ends at n. Where does it begin? There the run before it ends …
# 4. Return where the runs begin, as a list of `count` numbers from 0 upwards.


# %%
def best_runs(errors, count):
    """errors (n + 1, n + 1), count runs -> list of the places where they begin, 0 first"""
    raise NotImplementedError("write me")


check.best_runs(best_runs)

# %% [markdown]
# <details><summary>Hint 1: all i and all j at once</summary>
#
# `least[:, None] + errors` is (n + 1, n + 1): row i, column j. `.min(0)` gives the smallest of each
# column and its row.
# </details>
# <details><summary>Hint 2: what to keep</summary>
#
# A list of the rows, one tensor (n + 1,) for each round: `begins[r][j]` is where the last of r + 2 runs
# begins if the values end at j.
# </details>
# <details><summary>Hint 3: walking back</summary>
#
# Begin with `j = n`. For the rounds from the last to the first: `j = begins[r][j]`, and note j. What is
# left is the first run, which begins at 0. Then turn the list around.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def best_runs(errors, count):
#     least, begins = errors[0], []
#     for _ in range(count - 1):
#         least, begin = (least[:, None] + errors).min(0)
#         begins.append(begin)
#     starts, j = [], len(errors) - 1
#     for begin in reversed(begins):
#         j = int(begin[j])
#         starts.append(j)
#     return [0, *reversed(starts)]
# ```
# </details>
#
# `Palette.exact` does this on the histogram. The usual tool for large data is scikit-learn's
# `MiniBatchKMeans`, which looks at handfuls of pixels. **Predict:** which is the quicker, and by what
# factor? Which palette is better?

# %%
timed = {"MiniBatchKMeans": Palette.kmeans, "exact": Palette.exact}
seconds, errors = {name: [] for name in timed}, {name: [] for name in timed}
for make in timed.values():
    make(train_set.images[:2], 2)  # the first call loads libraries: not what is to be timed
for number in settings["batches"]:
    some = train_set.images[:number]
    for name, make in timed.items():
        started = time.perf_counter()
        palette = make(some, V)
        seconds[name].append(time.perf_counter() - started)
        errors[name].append(palette.error(some))
pixels = [784 * number for number in settings["batches"]]
plots.show(
    plots.lines({name: (pixels, each) for name, each in seconds.items()},
                "The exact palette is the quick one, too",
                "pixels", "seconds", log_x=True, log_y=True, points=True),
    alt=f"Seconds by number of pixels, both logarithmic. At {pixels[-1]:,} pixels: "
        f"MiniBatchKMeans {seconds['MiniBatchKMeans'][-1]:.2g}, exact {seconds['exact'][-1]:.2g}.",
)  # fmt: skip
for number, drawn, exact in zip(pixels, *errors.values(), strict=True):
    print(
        f"{number:10,} pixels: error {drawn:.2f} by mini-batches, {exact:.2f} exact, "
        f"{drawn / exact - 1:+.1%}"
    )

# %% [markdown]
# With all pixels the exact palette is a hundred times quicker or more, and its error is lower by two per
# cent. It only has to count the pixels once; the cuts themselves take milliseconds, however many pixels
# there are. **A smaller problem, solved exactly, beats a large one, solved by trying**: look for the histogram
# first.
#
# It works on a line only. Colours have three numbers and no order, so a run means nothing, and for
# coloured pictures we take k-means as well: Image GPT's own palette of 512 colours was made so (Chen
# et al. 2020). `Palette.kmeans` does it for both.
#
# ## 4. What a palette hides
#
# Now a trap. With 2 greys a pixel is easy to guess, with 16 it is hard: **the fewer colours, the better
# every model looks**. A model with one single colour is perfect, and has learned nothing. Which of two
# models is better, if their palettes differ?
#
# So ask both for the same thing: the picture with all its 256 greys. First say the token, then *which*
# of the token's greys it is. For that we need no model; counting will do:
#
# $$\underbrace{-\log_2 p(x)}_{\text{the grey}} = \underbrace{-\log_2 p(\text{token})}_{\text{the model's part}}
# \;+\; \underbrace{-\log_2 p(x \mid \text{token})}_{\text{the palette's part}}$$
#
# ### Exercise 3 · The palette's part
# *difficulty 3/5 · importance 4/5 · 15 minutes*
#
# From `counts`, how often each grey occurs, and `code`, the token of each grey, compute the mean of the
# second part over all pixels, in bits.
#
# 1. How often does each token occur? And so, for each grey, its own token?
# 2. $p(x \mid \text{token})$ is the first number divided by the second.
# 3. The mean over **pixels**: a grey that occurs often weighs much, and one that never occurs nothing.


# %%
def palette_bits(counts, code):
    """counts float (G,), code int64 (G,) -> mean bits a pixel, a number"""
    raise NotImplementedError("write me")


check.palette_bits(palette_bits)

# %% [markdown]
# <details><summary>Hint 1: counting by token</summary>
#
# `code.bincount(counts)` adds up the counts of each token's greys; indexed with `code` it is one number
# for each grey again.
# </details>
# <details><summary>Hint 2: greys that never occur</summary>
#
# $0 \cdot \log 0$ is nan for the computer. Take the greys with `counts > 0` only.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def palette_bits(counts, code):
#     whole = code.bincount(counts)[code]
#     seen = counts > 0
#     bits = (whole[seen] / counts[seen]).log2()
#     return float((counts[seen] * bits).sum() / counts.sum())
# ```
# </details>
#
# **Predict:** if the model's part is that of the simplest model of all, which knows how common each
# token is and nothing else, which palette has the smallest sum?


# %%
def stacked(title, parts, names, y="bits a pixel"):
    """Bars with parts on top of each other; parts: {name: one number a bar}."""
    figure, axes = plots.panels(title=title)
    height = np.zeros(len(names))
    for (name, each), colour in zip(parts.items(), (plots.BLUE, plots.ORANGE), strict=False):
        axes.bar(names, each, bottom=height, color=colour, label=name, width=0.6)
        height = height + np.array(each)
    for place, total in enumerate(height):
        axes.text(place, total, f"{total:.2f}", ha="center", va="bottom")
    axes.set(xlabel="colours of the palette", ylabel=y, ylim=(0, 1.3 * height.max()))
    axes.legend(ncols=2, loc="upper left")
    axes.grid(axis="x", visible=False)
    return figure


def unigram_bits(tokens, V):
    """Entropy of the tokens: what they cost if only their frequencies are known."""
    share = tokens.flatten().bincount(minlength=V).double() / tokens.numel()
    return float(-(share[share > 0] * share[share > 0].log2()).sum())


# %%
palettes = {V: Palette.exact(train_set.images, V) for V in (1, 2, 4, 8, 16, 64)}
parts = {
    "which token, by frequency": [unigram_bits(p.encode(train_set.images), V)
                                  for V, p in palettes.items()],
    "which of its greys": [p.cost(train_set.images) for p in palettes.values()],
}  # fmt: skip
plots.show(
    stacked("However it is cut, the sum is the same", parts, [str(V) for V in palettes]),
    alt="Bits a pixel by size of the palette, in two parts. The tokens' part grows with the "
        f"number of colours, the palette's falls, and their sum is {entropy:.2f} everywhere.",
)  # fmt: skip

# %% [markdown]
# None has: the sum is the 1.98 bits of section 1, to the last digit. A palette creates no
# knowledge and destroys none. **It only decides which part of the picture the model gets to guess, and
# which is left to counting.** With few colours the model's part is small; so is what it can ever
# improve.
#
# It follows that bits a pixel without the palette's part mean nothing across palettes. In lesson 10 both
# will stand side by side.
#
# ## 5. In which order?
#
# A model of text guesses the next word from those before. For pictures, any order will do: the *chain
# rule* holds for each of them,
#
# $$p(x_1, \dots, x_T) = \prod_{t=1}^{T} p(x_t \mid x_1, \dots, x_{t-1}).$$
#
# But some are easier to guess in. From here on digits are 14 × 14, each pixel the mean of four, so
# that a text has 196 words (section 7 tells what that costs), with 8 colours.
#
# How much does the token $d$ places back tell about a pixel? That is their **mutual information**: by
# how many bits the pixel becomes cheaper if one knows that token. **Predict** the curve: falling, as in
# a text? And if not, where does it rise?

# %%
side, V = 14, 8
small_train, small_exam = reduced(train_set.images, side), reduced(exam.images, side)
palette = Palette.exact(small_train, V)
train_tokens, exam_tokens = palette.encode(small_train), palette.encode(small_exam)  # (n, 196)


def entropy_of(table):
    """Bits of a table of counts."""
    p = table[table > 0].double() / table.sum()
    return float(-(p * p.log2()).sum())


def told_by(tokens, d):
    """Mutual information in bits of tokens d places apart."""
    both = (tokens[:, :-d] * V + tokens[:, d:]).flatten().bincount(minlength=V * V).view(V, V)
    return entropy_of(both.sum(0)) + entropy_of(both.sum(1)) - entropy_of(both)


random_order = torch.randperm(side**2, generator=torch.Generator().manual_seed(0))
curves = {
    "row by row": [told_by(train_tokens, d) for d in range(1, 61)],
    "random order": [told_by(train_tokens[:, random_order], d) for d in range(1, 61)],
}
figure = plots.lines(curves, "A pixel's best witnesses stand one place back, and one row back",
                     "places back", "bits that the token there tells")  # fmt: skip
figure.axes[0].set_xticks(range(0, 61, side))
told = curves["row by row"]
plots.show(figure, alt=f"Bits told by the token d places back, read row by row: {told[0]:.2f} at "
                       f"1, nearly 0 from 3 to 10, {told[13]:.2f} at 14, {told[27]:.2f} at 28, "
                       "smaller at 42 and 56. In a random order: nearly 0 everywhere.")  # fmt: skip

# %% [markdown]
# In a text the last words tell most, and the further back, the less. A picture read row by row is another
# kind of text. What stands **one row back**, 14 places, tells as much as the last token; two rows back is
# the next peak, while 4 to 10 places back, much nearer, there is next to nothing. (The low hills between
# the peaks are news of another kind: where ink stands half a row away, this pixel is far from the middle,
# and so most likely paper.) The random order has lost all of it: the same pixels, and no token within 60
# places tells anything.
#
# So a model of pixels must look far back, at a few places exactly. An n-gram cannot, an LSTM would have
# to carry 14 tokens along, and for attention it is one look.
#
# ### Exercise 4 · Left and up
# *difficulty 2/5 · importance 4/5 · 15 minutes*
#
# Give for each token its left and its upper neighbour. At the edge there is none; there write
# `outside`, a token of its own.
#
# 1. The tokens as a picture: (B, side, side).
# 2. The left neighbour: everything moves one column to the right, and the first column is `outside`.
# 3. The upper one: everything moves one row down.
# 4. Both row by row again: (B, T).


# %%
def neighbours(tokens, side, outside):
    """tokens (B, side * side) -> left (B, T), up (B, T)"""
    raise NotImplementedError("write me")


check.neighbours(neighbours)

# %% [markdown]
# <details><summary>Hint 1: why not simply the token before?</summary>
#
# The token before a row's first one is the last of the row above: the other edge of the picture.
# </details>
# <details><summary>Hint 2: moving</summary>
#
# `torch.full_like(grid, outside)` is a picture with nothing but outside; copy into it: `left[:, :, 1:] =
# grid[:, :, :-1]`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def neighbours(tokens, side, outside):
#     grid = tokens.view(-1, side, side)
#     left, up = torch.full_like(grid, outside), torch.full_like(grid, outside)
#     left[:, :, 1:] = grid[:, :, :-1]
#     up[:, 1:] = grid[:, :-1]
#     return left.flatten(1), up.flatten(1)
# ```
# </details>
#
# Now count, as in lesson 01: how often did each colour follow these neighbours? **Predict** the order
# of the bars: three tokens before (a 4-gram), or one to the left and one above?


# %%
def place(down, right):
    """Gives for each token the one so many rows above and columns to the left, or V outside."""

    def look(tokens):
        grid = tokens.view(-1, side, side)
        around = F.pad(grid, (2, 2, 2, 0), value=V)  # (B, side + 2, side + 4)
        return around[:, 2 - down : 2 - down + side, 2 - right : 2 - right + side].flatten(1)

    return look


def back(d):
    """Gives for each token the one d places before in reading order, or V."""
    return lambda tokens: F.pad(tokens, (d, 0), value=V)[:, :-d]


def counted_bits(looks, train_tokens, exam_tokens):
    """Bits a pixel if p(token | what the looks see) is counted; a thin unigram is mixed in."""

    def numbers(tokens):
        seen = torch.zeros_like(tokens)
        for look in looks:
            seen = seen * (V + 1) + look(tokens)
        return (seen * V + tokens).flatten()

    table = numbers(train_tokens).bincount(minlength=(V + 1) ** len(looks) * V).view(-1, V)
    alone = table.sum(0) + 1.0
    share = (table + alone / alone.sum()) / (table.sum(1, keepdim=True) + 1)
    return -share.flatten()[numbers(exam_tokens)].double().log2().mean().item()  # fmt: skip


# %%
contexts = {
    "nothing": [],
    "1 before": [back(1)],
    "2 before": [back(1), back(2)],
    "3 before": [back(1), back(2), back(3)],
    "left, up": [place(0, 1), place(1, 0)],
    "left, up, up right": [place(0, 1), place(1, 0), place(1, -1)],
    "left, up, both corners": [place(0, 1), place(1, 1), place(1, 0), place(1, -1)],
}
contexts["these, two left"] = [*contexts["left, up, both corners"], place(0, 2)]
bits = {name: counted_bits(looks, train_tokens, exam_tokens) for name, looks in contexts.items()}
colours = [plots.GREY, *[plots.BLUE] * 3, *[plots.ORANGE] * 4]
plots.show(
    plots.bars(bits, "One pixel above is worth more than two further to the left",
               "bits a pixel of new digits", colours),
    alt="Bits a pixel by what is counted: "
    + ", ".join(f"{name} {value:.2f}" for name, value in bits.items()) + ".",
)  # fmt: skip
print("three tokens before, in other orders:")
rows = torch.arange(side**2).view(side, side)
orders = {"row by row": rows, "column by column": rows.T, "random": random_order,
          "rows, every second one backwards": torch.stack([r.flip(0) if i % 2 else r
              for i, r in enumerate(rows)])}  # fmt: skip
for name, order in orders.items():
    changed = [tokens[:, order.flatten()] for tokens in (train_tokens, exam_tokens)]
    print(f"  {name:34}{counted_bits(contexts['3 before'], *changed):.3f}")

# %% [markdown]
# Three tokens before save 0.39 bits of the 1.42 that a pixel costs by itself; one to the left and one above
# save 0.46, and with the two upper corners it is 0.57. A fifth neighbour makes it *worse*: the rows of the
# table become too rare, as those of lesson 01's n-grams did. So 0.85 is what lesson 10's model has to beat,
# the best of these tables.
#
# And the order? Rows, columns, rows to and fro: within 0.02 bits of each other. The random one pays all
# that a pixel costs without any context. **Which order is chosen matters little, as long as neighbours
# stay near.** A transformer that sees all places could learn even the random one; it would have to learn
# first which places are neighbours. Everybody takes raster order, and so do we.
#
# ## 6. One digit, and what it costs
#
# Everything is there for the picture of this lesson: a digit in full size, in more and more colours;
# below each, what its tokens cost by counting four neighbours, and what the palette leaves open.

# %%
chosen = exam[exam.labels == 2][5:6]
best = {V: Palette.exact(train_set.images, V) for V in kept}
bill = {"tokens": [], "palette": []}
for many, each in best.items():
    learned, said = each.encode(train_set.images), each.encode(chosen.images)
    bill["tokens"].append(round(784 * bits_by_neighbours(learned, said, many)))
    bill["palette"].append(round(784 * each.cost(chosen.images, fit=train_set.images)))
figure, axes = plots.panels(2, len(kept), width=8.2, height=4.9, height_ratios=(3, 2), sharey="row",
                            title="Two colours make a digit; what more of them buy is the edge")  # fmt: skip
for i, many in enumerate(kept):
    upper, lower = axes[:, i]
    upper.imshow(
        best[many].decode(best[many].encode(chosen.images))[0], cmap="gray", interpolation="nearest"
    )
    upper.set_title(f"{many} colours", fontsize=10)
    upper.axis("off")
    tokens_cost, palette_cost = bill["tokens"][i], bill["palette"][i]
    lower.barh([0], [tokens_cost], color=plots.BLUE)
    lower.barh([0], [palette_cost], left=[tokens_cost], color=plots.ORANGE)
    lower.text(
        20,
        0.75,
        f"{tokens_cost} + {palette_cost} = {tokens_cost + palette_cost}",
        va="center",
    )
    lower.set(
        xlim=(0, 1.05 * max(map(sum, zip(*bill.values(), strict=True)))),
        ylim=(-0.6, 1.1),
        yticks=[],
        xlabel="bits",
    )
axes[1, 0].set_ylabel("blue: tokens\norange: palette", fontsize=9)
plots.show(figure, alt="One handwritten 2 in 2, 4, 8 and 16 colours. Bits of its tokens and of "
                       "its palette: " + ", ".join(
    f"{V} colours {a} and {b}" for V, a, b in zip(kept, *bill.values(), strict=True))
    + ".")  # fmt: skip

# %% [markdown]
# **How few colours make a digit?** For the eye, two: nobody takes this one for anything but a 2. Its tokens
# are cheap, fewer than 200 bits, since a pixel is nearly always what its neighbours are. With each
# doubling the edge becomes softer, and the orange part, which nobody can guess, shrinks.
#
# The sum shrinks, too, up to 8 colours, and in section 4 it did not. There the model knew frequencies only.
# This one sees neighbours, and what it sees helps with *its* part alone; whatever is left to the palette is
# paid in full. (With 16 colours the table of four neighbours has $17^4$ rows, and most are empty: what the
# palette gives, the table loses.) The more the model knows, the more it gains from a fine palette, and the
# more it must learn to get there: Image GPT took 512 colours for photographs, and we take 8 for digits.
#
# ## 7. Fewer words a page
#
# In a transformer every token looks at all before it: twice as many tokens, four times as many looks.
# At 28 × 28 a text has 784 words. Image GPT had the same trouble with photographs, and solved it the
# same way: **make the picture smaller first**, to 32, 48 or 64 pixels a side (Chen et al. 2020).
#
# What is lost? Ask a reader who has not seen the original: a *support vector machine* of scikit-learn,
# a classifier from before deep learning that needs a second to train. **Predict** its accuracy with 28
# × 28 and 256 greys, and with 14 × 14 and 2.

# %%
from sklearn.svm import SVC


def reader(images, labels, side=14):
    """A classifier of digits, trained on uint8 (n, 28, 28)."""
    return SVC(C=10).fit(seen_by(images, side), labels.numpy())


def seen_by(images, side=14):
    """Pictures as rows of numbers from 0 to 1, reduced if they are larger."""
    return reduced(images, side).flatten(1).numpy() / 255


def in_colours(images, palette):
    """Pictures as their tokens restore them."""
    return palette.decode(palette.encode(images))


tried = train_set[: settings["tried"]]
sides, colours = (28, 14, 7, 4), (2, 4, 8, 16, 256)
accuracy = np.zeros((len(sides), len(colours)))
for i, across in enumerate(sides):
    learned, asked = reduced(tried.images, across), reduced(exam.images, across)
    for j, many in enumerate(colours):
        few = Palette.exact(learned, many)
        classifier = reader(in_colours(learned, few), tried.labels, across)
        guessed = classifier.predict(seen_by(in_colours(asked, few), across))
        accuracy[i, j] = (guessed == exam.labels.numpy()).mean()

# %%
shown = [best[2].decode(best[2].encode(three))[0]]
for across in sides[1:]:
    small = reduced(three, across)
    shown += list(in_colours(small, Palette.exact(reduced(train_set.images, across), 8)))
plots.show(sheet(shown, "A digit can lose pixels for as long as its strokes stay apart",
                 ["28 × 28, 2 colours", "14 × 14, 8 colours", "7 × 7, 8 colours",
                  "4 × 4, 8 colours"], columns=4, size=1.7),
           alt="A handwritten 3 at four sizes. At 14 × 14 it is coarse and clear, at 7 × 7 a "
               "smear, at 4 × 4 no digit.")  # fmt: skip
figure = plots.heat(100 * accuracy, "The fewer the pixels, the more the greys tell",
                    [f"{across} × {across}" for across in sides],
                    x="greys of the palette", y="pixels", label="digits named rightly (%)",
                    digits=1)  # fmt: skip
figure.axes[0].set_xticks(range(len(colours)), colours)
plots.show(
    figure,
    alt="Accuracy in per cent by side and greys: " + "; ".join(
        f"{across} × {across}: " + ", ".join(f"{100 * a:.1f}" for a in row)
        for across, row in zip(sides, accuracy, strict=True)) + ".",
)  # fmt: skip

# %% [markdown]
# And what is gained? One step of training of a small GPT, by number of tokens.

# %%
steps, rng = {}, torch.Generator().manual_seed(0)
for each in sides:
    T = each**2
    model = GPT(V + 1, T, 96, 4, 4, dropout=0.0).to(here.device)
    text = torch.randint(V, (settings["step"], T), generator=rng).to(here.device)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        logits = model(None, text[:, :-1])  # (B, T - 1, V + 1)
        F.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten()).backward()
        _ = model.head.weight.grad.sum().item()  # waits until a GPU is done
        times.append(time.perf_counter() - started)
    steps[f"{each} × {each}: {T} tokens"] = 1000 * min(times) / settings["step"]
plots.show(
    plots.bars(steps, "From 28 to 14: a quarter of the tokens, less than a quarter of the time",
               "milliseconds a digit, one step of training"),
    alt="Milliseconds a digit: " + ", ".join(f"{name} {value:.3g}"
                                             for name, value in steps.items()) + ".",
)  # fmt: skip

# %% [markdown]
# At 28 × 28 the number of greys makes next to no difference to this reader. (1,000 digits are read, so one
# or two per cent more or less are chance.) At 14 × 14, 8 greys are as good as 256. At 7 × 7, two greys lose
# nine per cent and 16 lose nothing: **greys tell where in a large pixel the stroke runs**. The machine can
# still use that; the eye sees a smear.
#
# And the price: a quarter of the pixels, less than a quarter of the time. The course therefore draws with
# **14 × 14 pixels and 8 colours** on a laptop: 196 words from a vocabulary of 8, and a digit that eye and
# machine can read.
#
# ## 8. Which changes lie?
#
# Five thousand digits are few. An **augmentation** makes more of them: move each a little, turn it,
# mirror it, exchange ink and paper. Each one is a claim: *this, too, could have been written*. Some claims
# are false. Lesson 08's mirror lied about left and right, and captions could be mended. A digit has no
# caption.
#
# Call the first witness, a classifier that has learned from digits as they are. **Predict** what it says
# of a 6 upside down, a mirrored 2, and a 7 moved by up to four pixels.


# %%
def seed():
    """The same draws each time."""
    return torch.Generator().manual_seed(0)


changes = {
    "moved by 1 at most": lambda images: Augmentation(crop=1).apply(images, seed()),
    "moved by 4 at most": lambda images: Augmentation(crop=4).apply(images, seed()),
    "turned by 10° at most": lambda images: Augmentation(crop=0, rotate=10).apply(images, seed()),
    "mirrored": lambda images: images.flip(2),
    "upside down": lambda images: images.flip(1, 2),  # turned by 180°
    "inverted": lambda images: 255 - images,
}
witness = reader(
    train_set.images[: 4 * settings["tried"]], train_set.labels[: 4 * settings["tried"]]
)
truth = exam.labels.numpy()
sayings = {name: witness.predict(seen_by(change(exam.images))) for name, change in changes.items()}
plain = (witness.predict(seen_by(exam.images)) == truth).mean()
picked, said, wrong, marks = [], [], [], []
for name in ("mirrored", "upside down", "inverted", "moved by 4 at most"):
    where = [int((exam.labels == digit).nonzero()[1]) for digit in (2, 3, 5, 6, 7, 9)]
    picked += list(changes[name](exam.images)[where])
    said += [f"{name.removesuffix(' by 4 at most')}: {sayings[name][place]}" for place in where]
    wrong += [sayings[name][place] != truth[place] for place in where]
plots.show(
    sheet(picked, "Changed digits, and what the witness calls them", said, wrong, columns=6,
          size=1.2),
    alt="Four rows of the digits 2, 3, 5, 6, 7, 9: mirrored, upside down, inverted, moved by up "
        "to four pixels, and what a classifier calls each: " + ", ".join(said) + ".",
)  # fmt: skip
for digit, name in (
    (6, "upside down"),
    (9, "upside down"),
    (2, "mirrored"),
    (5, "mirrored"),
    (7, "moved by 4 at most"),
):
    called = np.bincount(sayings[name][truth == digit], minlength=10)
    first, second = called.argsort()[::-1][:2]
    print(
        f"{digit} {name:18} of {called.sum()}: {called[first]} called {first}, {called[second]} "
        f"called {second}"
    )


# %%
def of_each_digit(right):
    """The share of True among the digits of each class, in per cent."""
    return [100 * right[truth == digit].mean() for digit in range(10)]


def by_digit(rows, title, label, low):
    """Per cent by change, from top to bottom, and by digit; rows: {change: ten numbers}."""
    look = dict(x="digit", label=label, low=low, high=100, digits=0)
    figure = plots.heat(list(rows.values()), title, list(rows), **look)
    figure.axes[0].set_xticks(range(10))
    return figure


rows = {"as they are": of_each_digit(witness.predict(seen_by(exam.images)) == truth)}
rows |= {name: of_each_digit(said == truth) for name, said in sayings.items()}
plots.show(
    by_digit(rows, "The first witness: what is still called by its name",
             "called what they were (%)", low=0),
    alt="Per cent of each digit that a classifier still calls what it was: " + "; ".join(
        f"{name} {np.mean(row):.0f} on average" for name, row in rows.items()) + ".",
)  # fmt: skip

# %% [markdown]
# (A frame: the name is lost.) Some of this is real evidence. A 6 upside down *is* a 9 to you, and most often to this witness; of the
# mirrored 5s hardly one keeps its name, and what it gets is often 2 or 3. The names are wrong now, and
# nobody told the model.
#
# But look at the other rows. Digits moved by up to four pixels are misread more often than not, and **you
# read them all**. Inverted ones are all called 2, as anything would be that has so much white. This
# witness has never seen such pictures, and what it says of them proves nothing. *To be misread is not
# to be false.*
#
# So ask a fairer question, of a second witness: **let it learn from changed digits**, with the names they
# had, beside the same digits unchanged, and then read real ones. What is true helps; what is false
# harms. One training may be luck, so it learns three times, from three groups of digits. And ask a third,
# the counts of four neighbours from section 5: **do real digits cost fewer bits if changed ones are
# counted as well?** **Predict** for each change.

# %%
few = settings["tried"]  # so few that more would help
groups = [train_set[i * few : (i + 1) * few] for i in range(min(3, len(train_set) // few))]
real = palette.encode(small_exam)
errors_of, costs_of = {}, {}  # {change: one number a group}
for name, change in {"no change": None, **changes}.items():
    errors_of[name], costs_of[name] = [], []
    for digits in groups:
        images, labels = digits.images, digits.labels
        if change:
            images, labels = torch.cat([images, change(images)]), labels.repeat(2)
        rightly = reader(images, labels).predict(seen_by(exam.images)) == truth
        errors_of[name].append(100 - 100 * rightly.mean())
        tokens = palette.encode(reduced(images, side))
        costs_of[name].append(bits_by_neighbours(tokens, real, V))
    print(f"{name:22} errors (%), group by group:", *(f"{each:6.1f}" for each in errors_of[name]))

# %%
errors_mean, bits_mean = (
    {name: float(np.mean(each)) for name, each in found.items()} for found in (errors_of, costs_of)
)
title = "A classifier is harmed by lies; one that sees four pixels cannot tell"
figure, axes = plots.panels(1, 2, width=9.0, height=3.3, sharey=True, title=title)
for ax, (found, what, form) in zip(
    axes, ((errors_mean, "errors (percentage points)", "{:+.1f}"),
           (bits_mean, "bits a pixel", "{:+.3f}")), strict=True
):  # fmt: skip
    more = {name: found[name] - found["no change"] for name in changes}
    helped = [plots.BLUE if each < 0 else plots.RED for each in more.values()]
    bars = ax.barh(list(more), list(more.values()), color=helped, height=0.65)
    ax.bar_label(bars, [form.format(each) for each in more.values()], padding=4)
    ax.axvline(0, color=plots.GREY, linewidth=1.3)
    ax.set(xlabel=f"change of {what}")
    ax.margins(x=0.3)
    ax.grid(axis="y", visible=False)
axes[0].invert_yaxis()
plots.show(figure, alt="Left, a classifier's errors after changed digits, too, less those "
                       "without; right, the same for the bits a pixel of four-neighbour counts. "
                       "In all: "
           + "; ".join(f"{name} {errors_mean[name]:.1f} %, {bits_mean[name]:.3f} bits"
                       for name in bits_mean) + ".")  # fmt: skip

# %% [markdown]
# Mirrors and upside down cost about three points, and in no group less than one: here names were taught
# that are wrong. Inverting changes no name and harms all the same: it makes the classifier learn a second
# kind of picture that it is never asked about. Moving and turning help in all groups but one, by half a
# point on average. That is little; but **four pixels do no harm**, and the first witness misread three in five
# of such digits.
#
# The counts say the opposite. **They gain from every change but one, and most from upside down.** A stroke
# upside down is a stroke. Whoever sees four pixels sees no digit, cannot be lied to about digits, and
# takes what it gets for more data. So the bits of a near-sighted model are no evidence, either; a lie
# harms those who see enough to believe it.
#
# Names are one thing that an augmentation can lie about. A model that draws is given no names. It is told
# *this is what digits look like*, and will draw what it was told. So the last witness: **can changed
# digits be told from real ones?** For each digit one more classifier: half of its pictures unchanged, half
# changed, which is which? Who guesses is right half of the time; that is the mark of a true
# augmentation.


# %%
def told_apart(change, digit):
    """Per cent of new pictures of a digit that are rightly called changed or unchanged."""

    def halves(digits):
        images = digits[digits.labels == digit].images
        half = len(images) // 2
        return torch.cat([images[:half], change(images[half:])]), torch.arange(len(images)) >= half

    classifier = reader(*halves(train_set[: 4 * settings["tried"]]))
    images, changed = halves(exam)
    return 100 * (classifier.predict(seen_by(images)) == changed.numpy()).mean()  # fmt: skip


rows = {"not at all": lambda images: images} | changes
table = {name: [told_apart(change, digit) for digit in range(10)] for name, change in rows.items()}
plots.show(
    by_digit(table, "The last witness: what no pen has written can be told",
             "told from real ones (%); 50 is chance", low=50),
    alt="Per cent of digits rightly called changed or unchanged: " + "; ".join(
        f"{name} {np.mean(row):.0f} on average" for name, row in table.items()) + ".",
)  # fmt: skip

# %% [markdown]
# The first row is chance, and shows how far from 50 chance goes with a hundred digits. Mirrored ones are
# told nearly always: **even zeros and ones**, which look symmetric. Hands slant to the right. A model that
# learns from mirrored digits will write with both hands.
#
# And here the third row has another face. Digits moved by up to four pixels, which helped the classifier
# if anything, are told in nine of ten cases: MNIST's digits were all put in the middle. *What they are
# called* stays true, *where they stand* does not. Who names digits may move them; who draws them should
# not, or by one pixel. So:
#
# | change | about names | about looks |
# |---|---|---|
# | moved by 1, turned by 10° | true | nearly true |
# | moved by 4 | true | false: digits stand in the middle |
# | mirrored | false for most | false: hands slant |
# | upside down | false: 6 and 9 | false |
# | inverted | true | false |
#
# Augmented digits can be made once and kept. The same seed gives the same bytes.

# %%
more = augmented(train_set, Augmentation(crop=1), times=2, seed=0)
path = sizes.build_folder("lesson-09", "moved.npz")
save_digits(more, path)
print(load_saved(path), f"; {path.stat().st_size / 1e6:.1f} MB")

# %% [markdown]
# ## 9. Ready to be read
#
# What lesson 10 needs: digits, reduced, as tokens; and the palette that made them, kept beside the
# model. **A model without its palette is worthless**, as GPT-2 is without its tokenizer: the numbers
# say nothing.

# %%
path = sizes.build_folder("lesson-09", "palette.npy")
palette.save(path)
again = Palette.load(path)
back_again = again.decode(again.encode(small_exam))
print(
    again,
    "\nthe pictures of tokens have the same tokens:",
    torch.equal(again.encode(back_again), exam_tokens),
)
print(f"mean squared error {again.error(small_exam):.1f} of {small_exam.double().var():.0f}; the "
      f"palette leaves {again.cost(small_exam, fit=small_train):.3f} bits a pixel open")  # fmt: skip
print("a text of", exam_tokens.shape[1], "words, as a model will read it:")
for row in exam_tokens[2].view(side, side).tolist():
    print("  ", *("·" if token == 0 else token for token in row))

# %% [markdown]
# ## When something looks wrong
#
# | what you see | the likely cause |
# |---|---|
# | restored pictures look like negatives, or speckled | `uint8` subtracted from `uint8`; or the palette is not sorted and its order was lost |
# | a restored digit lies on its side | columns read first, or height and width exchanged in `decode` |
# | digits slanted, each row a step further | the wrong `side` in `decode` |
# | a model's bits a pixel are wonderful | few colours: add the palette's part; or the first pixels of each row were left out |
# | the palette's part is infinite or nan | a grey that training never showed: give it a share |
# | two runs, two palettes | k-means from other beginnings: fix the seed, keep the file, or take the exact one |
# | a good model draws nonsense | another palette, or another side, than the one it learned with |
# | accuracy falls with augmentation | it lies about names; look at which classes lose |
# | accuracy rises, and drawn digits are off the middle | it tells the truth about names and lies about places |
#
# ## Questions
#
# 1. A colleague reports 0.33 bits a pixel on MNIST with 2 colours, you 0.85 with 8. Who is ahead?
# 2. Why does each colour of the best palette own a *run* of greys? Where in exercise 2 is it used?
# 3. The rows of the picture are read from left to right. Why is the *upper right* neighbour a good
#    witness, and the right one not allowed?
# 4. Every second row backwards: neighbours in the text are then always neighbours in the picture. Why
#    does a counting model gain next to nothing?
# 5. For which digits might a mirror be allowed? What does the last table say of your answer?
# 6. `Palette.exact` was fitted on training digits only. Does it matter?
#
# <details><summary>Short answers</summary>
#
# 1. Nobody can say before the palettes' parts are added: see section 4 for how much they differ.
# 2. A pixel goes to the nearest centre, and on a line the places nearest to one centre are an interval.
#    It is used where a candidate is a pair (i, j) at all: without runs there would be $2^n$ candidates.
# 3. It is read before, one row earlier, and strokes go on slantwise. The right one comes later: it would
#    be the future of lesson 06.
# 4. In the rows that turn, the neighbour before is the right one in place of the left one, which tells as
#    much. New are only the 13 ends of rows, and there is mostly paper.
# 5. 0, 1 and 8 look symmetric. Their writers are not: hands slant, and the table tells them apart.
# 6. The palette is part of the model. Fitted on test digits it would know something of them; little, with
#    8 numbers, but a figure that is reported should owe them nothing.
# </details>
#
# ## Go further
#
# - Let a grey cost not its squared error but the palette's bits: which cut into runs leaves the least
#   open? Dynamic programming does not care what an error is.
# - A palette whose tokens are small *patches* of 2 × 2 pixels, by `MiniBatchKMeans`: 49 words a page, and
#   how many colours?
# - Read along a spiral from the edge to the middle, or along Hilbert's curve. What do three tokens before
#   say there?
# - Augment with `v2.ElasticTransform` of torchvision. Can the last witness tell?
# - The papers: LeCun et al. 1998, [Gradient-based learning applied to document
#   recognition](https://doi.org/10.1109/5.726791); Lloyd 1982, [Least squares quantization in
#   PCM](https://doi.org/10.1109/TIT.1982.1056489), written in 1957; Wang and Song 2011,
#   [Ckmeans.1d.dp](https://doi.org/10.32614/RJ-2011-015); van den Oord et al. 2016, [Pixel recurrent
#   neural networks](https://arxiv.org/abs/1601.06759); Chen et al. 2020, [Generative pretraining from
#   pixels](https://cdn.openai.com/papers/Generative_Pretraining_from_Pixels_V2.pdf).
#
# ## What you have, and what is missing
#
# A digit is now a text of 196 words from a vocabulary of 8, and you know to the bit what was given up
# for it. Counting four neighbours, the best of our tables, pays 0.85 bits a pixel.
#
# A table sees four pixels. It cannot know that it is drawing a 7. The GPT of lesson 06 sees all that
# came before. **Can the same model draw?** That is lesson 10.

# %%
sizes.report(
    counted_bits=bits["left, up, both corners"],
    palette_bits=palette.cost(small_exam, fit=small_train),
    kmeans_above_exact=errors["MiniBatchKMeans"][-1] / errors["exact"][-1] - 1,
    accuracy_14_by_8=float(accuracy[1, 2]),
    accuracy_28_by_2=float(accuracy[0, 0]),
)
