# %% [markdown]
# # 11 · How many ways can this half go on?
#
# Lesson 10's model drew digits out of nothing, pixel by pixel. Now it gets a beginning: the upper half
# of a digit that it has never seen. It need not learn anything new for that. A model that guesses the
# next pixel from those before it can go on from *any* pixels; that some were drawn by a person and
# some by itself is nothing it would notice.
#
# But what is a right ending? A 3 and an 8 can have the same head. So we shall not ask whether an ending
# is *the* one, but how many there are, how good they look, and what becomes of a model that is given
# what it does not expect.
#
# After this lesson you can
#
# - complete a picture without touching what was given;
# - steer by temperature and top-k, and say what it costs;
# - count in how many ways a half can go on;
# - complete above or to the right of what is given, though the model only reads forwards;
# - tell what a model makes of odd input: rotated, inverted, shifted, empty, and your own.
#
# Two hours with the exercises.

# %%
from coursekit import sizes

here = sizes.setup()
print(here)

# %%
settings = here.pick(
    smoke=dict(halves=3, endings=3, exam=10, many=10, tall=4, times=3, candidates=4, weighed=2,
               odd=20),
    cpu=dict(halves=6, endings=6, exam=100, many=200, tall=40, times=15, candidates=32, weighed=40,
             odd=500),
    gpu=dict(halves=8, endings=8, exam=1000, many=1000, tall=300, times=50, candidates=256,
             weighed=100, odd=1000),
)  # fmt: skip

# %% [markdown]
# The text below describes size `cpu`; size `smoke` only proves that every cell runs.
#
# ## 1. The half that is given
#
# The model ships with the course: like lesson 10's, but larger, and trained for longer, on 55,000 digits of MNIST. The 5,000
# digits that you have are not among them. A **drawer** is such a model with its palette: `tokens` makes
# colours' numbers of pictures, `images` makes pictures of numbers.

# %%
import tempfile
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from coursekit import plots
from coursekit.datasets.digits import load_digits
from coursekit.metrics.images import bits
from coursekit.models.digit_judge import digit_judge
from coursekit.pixels import shipped_drawer
from coursekit.pixels.complete import complete, fill, known_pixels
from coursekit.pixels.photos import read_photo
from coursekit.plots.digits import bits_maps, completions, sheet

drawer = shipped_drawer().to(here.device)
model, side = drawer.model, drawer.model.side
digits = load_digits("test")
tokens = drawer.tokens(digits.images).to(here.device)  # (n, T)
half = model.pixels // 2
print(drawer)
print(digits, "→ tokens", tuple(tokens.shape), "of which the first", half, "are the upper half")

# %% [markdown]
# ### Exercise 1 · Go on
# *difficulty 2/5 · importance 5/5 · 15 minutes*
#
# The model is a step model, as all of this course: `start` and `step`. Complete pictures whose first S
# pixels are given.
#
# 1. `state = model.start(given)` reads all given pixels at once. The first token to step with is
#    `model.start_id`; it means *go on from what you were given*.
# 2. As often as pixels are missing: a step gives logits (B, V); `choose(logits)` gives colours (B,);
#    the next step is made with them.
# 3. Return all pixels, (B, `model.pixels`): the given ones as they were, then the chosen ones. S may be 0,
#    and it may be all of them.


# %%
def go_on(model, given, choose):
    """model a step model, given (B, S), choose (B, V) -> (B,); -> tokens (B, model.pixels)"""
    raise NotImplementedError("write me")


from coursekit.checks import lesson_11 as check

check.go_on(go_on)

# %% [markdown]
# <details><summary>Hint 1: how many steps?</summary>
#
# `model.pixels - given.shape[1]`: as many as pixels are missing, and one colour comes of each.
# </details>
# <details><summary>Hint 2: the token of the first step</summary>
#
# `torch.full((len(given),), model.start_id)`, one for each picture. After that, what was chosen last.
# </details>
# <details><summary>Hint 3: putting it together</summary>
#
# Collect the chosen colours in a list that begins with `given`; each new column is `colours[:, None]`,
# and `torch.cat(list, 1)` joins them.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def go_on(model, given, choose):
#     state = model.start(given)
#     token = torch.full((len(given),), model.start_id, device=given.device)
#     found = [given]
#     for _ in range(model.pixels - given.shape[1]):
#         logits, state = model.step(token, state)
#         token = choose(logits)
#         found.append(token[:, None])
#     return torch.cat(found, 1)
# ```
# </details>
#
# `coursekit.pixels.complete` does the same, with a mask of what is given. Here are upper halves of test
# digits, one of each kind that we chose beforehand, and what the model adds. **Predict:** will the
# endings of one half be alike? Which half has the most different ones?

# %%
KINDS = (3, 4, 7, 8, 9, 5, 2, 0)[: settings["halves"]]
chosen = [(digits.labels == kind).nonzero()[1].item() for kind in KINDS]  # the second of each kind
upper = known_pixels("upper", side)
found = [complete(drawer, digits.images[i], "upper", settings["endings"]) for i in chosen]
plots.show(
    completions(
        [each.whole for each in found], upper, torch.stack([each.images for each in found]),
        "One upper half, many endings",
        ["given", *map(str, range(1, settings["endings"] + 1)), "real"],
    ),
    alt=f"Upper halves of the digits {', '.join(map(str, KINDS))}, beside each "
        f"{settings['endings']} endings drawn by the model, no two alike, and last the real digit. "
        "Most halves go on as the digit they came from.",
)  # fmt: skip

# %% [markdown]
# What is framed was given, and none of it has changed. No ending is like another, and most halves go
# on as the digit that they came from: the same digit, in another hand. Look for the row that has not
# made up its mind. The half of the 5 becomes a 6 as often as a 5, and one cannot say that the model
# is wrong.
#
# ## 2. How bold may a pixel be?
#
# Each pixel is drawn from a distribution over colours. Lesson 04 had two handles on such a draw: a
# **temperature** τ that divides the logits before the softmax, and **top-k**, which keeps only the k
# likeliest. For words they were a matter of taste. A half picture has 98 draws in a row, and one odd
# pixel is seen by all that follow.
#
# ### Exercise 2 · Steer
# *difficulty 2/5 · importance 4/5 · 10 minutes*
#
# From logits to the distribution that is drawn from. The given logits stay as they are.
#
# 1. Divide the logits by `temperature`.
# 2. Where `top_k` is a number: all but the `top_k` largest of each row become minus infinity. Where
#    it is None, all stay.
# 3. Softmax over the colours.


# %%
def steer(logits, temperature=1.0, top_k=None):
    """logits (B, V), temperature above 0, top_k a number or None -> probabilities (B, V)"""
    raise NotImplementedError("write me")


check.steer(steer)

# %% [markdown]
# <details><summary>Hint 1: the smallest that stays</summary>
#
# `logits.topk(top_k).values[:, -1:]` is the top_k-th largest of each row, (B, 1).
# </details>
# <details><summary>Hint 2: minus infinity</summary>
#
# `logits.masked_fill(logits < least, -torch.inf)` gives a new tensor; softmax makes zeros of them.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def steer(logits, temperature=1.0, top_k=None):
#     logits = logits / temperature
#     if top_k is not None:
#         least = logits.topk(top_k).values[:, -1:]
#         logits = logits.masked_fill(logits < least, -torch.inf)
#     return logits.softmax(-1)
# ```
# </details>

# %%
BOLD = {
    "τ = 0.3": dict(temperature=0.3),
    "τ = 0.7": dict(temperature=0.7),
    "τ = 1": dict(),
    "τ = 1.3": dict(temperature=1.3),
    "top 2": dict(top_k=2),
}
rows = [complete(drawer, digits.images[chosen[0]], "upper", 8, **how) for how in BOLD.values()]
shown = [picture for each in rows for picture in each.images]
names = [name if i == 0 else "" for name in BOLD for i in range(8)]
plots.show(
    sheet(shown, "The bolder, the more different the endings", names, columns=8),
    alt=f"Eight endings of the half of a 3 in each row: {', '.join(BOLD)}. In the first and the "
        "last row all are threes and much alike; from the second to the fourth they differ more "
        "and more, and some close the loop below.",
)  # fmt: skip

# %% [markdown]
# Row by row: at 0.3 the same 3, eight times. The bolder rows show more hands; some close the loop below,
# so that an 8 comes near, and at 1.3 strokes come apart. Top 2 looks as cautious as 0.3.
#
# Looks are a matter of taste; let us count. A **judge** ships with the course, a small convolutional
# network that names the digit in a picture. It has seen no drawn one. Of many test digits we complete
# the upper half, twice, and ask three things: is the picture *clearly some digit* (the judge gives it
# more than nine chances in ten)? Is it called *what the half came from*? And how *different* are two
# endings of the same half, as the mean difference of their pixels in per cent of the range from black
# to white? **Predict** which of the three has its best value between the two ends.

# %%
judge = digit_judge().to(here.device)
exam = tokens[: settings["exam"]]
labels = digits.labels[: len(exam)]


def named(tokens):
    """The judge's probabilities (n, 10) of pictures as tokens."""
    return judge.judge(drawer.images(tokens))[1]


def ending(seed, known=upper, given=exam, candidates=1, **how):
    """Completions of some pictures, tokens (n, T): a hundred rows at once, so the caches fit."""
    generator = torch.Generator(here.device).manual_seed(seed)
    parts = given.split(max(1, 100 // candidates))
    return torch.cat(
        [
            fill(drawer, part, known, generator=generator, candidates=candidates, **how)
            for part in parts
        ]
    )


def counted(**how):
    first, second = (ending(seed, **how) for seed in (0, 1))
    told = named(first)  # (n, 10)
    apart = (drawer.images(first).float() - drawer.images(second).float()).abs().mean() / 255
    return [
        (told.max(1).values > 0.9).float().mean().item(),
        (told.argmax(1) == labels).float().mean().item(),
        apart.item(),
    ]


real = named(tokens[: len(exam)].cpu())
print(f"{'':18}{'clearly a digit':>17}{'the same digit':>17}{'two endings differ by':>24}")
print(
    f"{'real digits':18}{(real.max(1).values > 0.9).float().mean():17.2f}"
    f"{(real.argmax(1) == labels).float().mean():17.2f}"
)
boldness = {t: counted(temperature=t) for t in (0.1, 0.4, 0.7, 1.0, 1.3, 1.6, 2.0)}
for name, (clear, same, apart) in (
    *((f"temperature {t}", each) for t, each in boldness.items()),
    ("top 2", counted(top_k=2)),
):
    print(f"{name:18}{clear:17.2f}{same:17.2f}{apart:24.1%}")

# %%
apart = [100 * each[2] for each in boldness.values()]
shares = {
    name: [each[i] for each in boldness.values()]
    for i, name in enumerate(("clearly a digit", "the same digit"))
}
figure, axes = plots.panels(title="Variety is free at first, then it costs digits")
for i, (name, each) in enumerate(shares.items()):
    chance = [1.96 * (share * (1 - share) / len(exam)) ** 0.5 for share in each]
    beside = [x + 0.08 * i for x in apart]
    axes.errorbar(beside, each, chance, marker="os"[i], elinewidth=1, capsize=3, label=name)
axes.set(
    xlabel="two endings differ by (% of black to white)",
    ylabel="share of endings",
    ylim=(0.62, 1.02),
)
axes.legend(loc="lower left", bbox_to_anchor=(0, 0.08))
for t, x in zip(boldness, apart, strict=True):
    axes.annotate(
        f"τ {t:g}", (x, 0.01), xycoords=("data", "axes fraction"), ha="center", fontsize=9
    )
plots.show(figure, alt="; ".join(f"temperature {t}, endings differ by {c:.1%}: {a:.2f} clearly "
                                 f"digits, {b:.2f} the same digit"
                                 for t, (a, b, c) in boldness.items()))  # fmt: skip

# %% [markdown]
# Each share is one of 100 halves, so 0.06 more or less is chance (the bars). **From 0.4 to 1 both shares
# stay where they are**, and variety grows by two thirds. At 1.3 the judge may begin to hesitate, and
# beyond that both shares fall. Caution is no virtue either: at 0.1 it takes nearly always the likeliest
# pixel, has a third of the variety that it has at 1, and no more digits to show for it.
#
# Lesson 04's captions got better with care. Why not these endings? Temperature 1 is the
# distribution that the model has *learned*, and a model trained by likelihood has no reason to be too
# bold. Lower temperatures help where it has learned badly, since its errors sit among the unlikely
# pixels. So the answer to the question above is: as far as 100 halves can tell, none of the three.
#
# ## 3. How many ways?
#
# Take one half and let it end two hundred times. The judge names each. The names are a histogram, and
# a histogram has a number of ways in it: if all names are the same, one; if two are equally often,
# two. What if one has nine tenths and another one tenth? More than one, less than two. The
# **effective number** is the exponential of the entropy, the same step that leads from a loss to a
# perplexity:
#
# $$\text{ways} = \exp\Big(-\sum_c p_c \ln p_c\Big)$$
#
# ### Exercise 3 · Count the ways
# *difficulty 2/5 · importance 4/5 · 10 minutes*
#
# 1. Divide the counts by their sum.
# 2. Minus the sum of p ln p, where $0 \ln 0$ is 0.
# 3. The exponential of that.


# %%
def ways(counts):
    """counts (C,), whole numbers, not all 0 -> the effective number of classes, from 1 to C"""
    raise NotImplementedError("write me")


check.ways(ways)

# %% [markdown]
# <details><summary>Hint 1: nothing times minus infinity</summary>
#
# `0 * log(0)` is `nan`. Leave the zeros out: `shares[shares > 0]`.
# </details>
# <details><summary>Hint 2: which logarithm?</summary>
#
# Any, if the power at the end has the same base: `exp` belongs to `log`, `2 **` to `log2`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def ways(counts):
#     shares = torch.as_tensor(counts).float() / torch.as_tensor(counts).sum()
#     shares = shares[shares > 0]
#     return torch.exp(-(shares * shares.log()).sum()).item()
# ```
# </details>


# %%
def effective(counts):
    """Exercise 3, for counts (n, C): (n,)."""
    shares = counts / counts.sum(1, keepdim=True)
    return torch.special.entr(shares).sum(1).exp()


def names_of(endings, times):
    """How often each digit was named: endings (n * times, T) → (n, 10)."""
    told = named(endings).argmax(1).view(-1, times)
    return torch.nn.functional.one_hot(told, 10).sum(1).float()


TIMES = settings["times"]
endings = ending(3, given=exam[: settings["tall"]].repeat_interleave(TIMES, 0))
branching = effective(names_of(endings, TIMES))
most = branching.argmax().item()
many = ending(4, given=tokens[most : most + 1].expand(settings["many"], -1))
told = named(many)
groups = {}
for kind in range(10):  # the eight surest of each
    surest = told[:, kind].argsort(descending=True).tolist()
    groups[kind] = [i for i in surest if told[i].argmax() == kind][:8]
counts = torch.bincount(told.argmax(1), minlength=10)
order = [kind for kind in counts.argsort(descending=True).tolist() if counts[kind]]
pictures, names, blank = [], [], torch.full((side, side, 3), 255)
for kind in order:
    row = [drawer.images(many[i : i + 1])[0] for i in groups[kind]]
    pictures += row + [blank] * (8 - len(row))
    names += [f"{kind}: {counts[kind]}"] + [""] * 7
title = f"One half of a {labels[most]}, {len(many)} endings, {len(order)} different digits"
plots.show(
    sheet(pictures, title, names, columns=8),
    alt=f"Endings of one upper half, of a {labels[most]}, a row for each digit the judge names: "
    + ", ".join(f"{kind} {counts[kind]} times" for kind in order) + ".",
)  # fmt: skip
print(
    f"its half can go on in {effective(counts[None].float()).item():.1f} ways; the mean of "
    f"{len(branching)} halves is {branching.mean():.2f}"
)

# %% [markdown]
# Somebody has written a 5, and the model finds a 6 as good: 105 sixes, 87 fives, and 8 that the judge calls
# 0, which makes 2.3 ways. Now look at the last row. To our eyes these are sixes with a wide loop. The judge
# must name every drawing, and **whoever counts names counts the judge's errors, too**. Without that row
# there are 2.0 ways.
#
# This was the half with the most ways among 40. Their mean is 1.3: **most halves are all but decided**.
#
# That was one half. When is a digit *decided*? We give 0, 2, 4, … rows, and count the ways again.
# **Predict** where the curve begins, and after how many rows it has come down to two.

# %%
exam_tall = tokens[: settings["tall"]]
rows_given = list(range(0, side, 2))
by_rows = []
for rows in rows_given:
    known = torch.zeros(side, side, dtype=torch.bool)
    known[:rows] = True
    endings = ending(5, known, exam_tall.repeat_interleave(TIMES, 0))
    by_rows.append(names_of(endings, TIMES))
kinds = digits.labels[: len(exam_tall)]
table = torch.stack([effective(each) for each in by_rows], 1)  # (n, rows)
by_kind = torch.stack([table[kinds == kind].mean(0) for kind in range(10)])
plots.show(
    plots.heat(
        by_kind.tolist(), "After half the rows a digit is all but decided", list(range(10)),
        rows_given,
        "rows given", "the digit it came from", "ways to go on", low=1, high=10, digits=1,
    ),
    alt="Ways to go on after so many rows: "
    + "; ".join(f"{rows} rows: {each:.1f}"
                for rows, each in zip(rows_given, table.mean(0).tolist(), strict=True)),
)  # fmt: skip
right = [(each.argmax(1) == kinds).float().mean().item() for each in by_rows]
print(f"{'rows given':32}" + "".join(f"{rows:6}" for rows in rows_given))
print(f"{'ways to go on':32}" + "".join(f"{each:6.1f}" for each in table.mean(0).tolist()))
print(f"{'most frequent name: the true one':32}" + "".join(f"{each:6.2f}" for each in right))

# %% [markdown]
# Without a row it begins at 7.3. Why not at 10? Fifteen draws from ten equally likely digits do not
# meet all ten: they show 7.1 ways in the mean. A count of ways from few draws is always too low, and
# here no ways are left to find: the model draws all ten digits about equally often.
#
# Two rows of the fourteen tell little (5.7 ways), four tell much (2.6), and between six and eight (1.6, 1.2)
# the name given most often is the true one nine times in ten. Each row of the figure is the mean of four
# digits. Look at that of the **6**: it has come down to two after two rows. Its stem begins high up, where
# most others have not begun. The 3 and the 8 take longest, as they share a head.
#
# ## 4. What was given comes later
#
# Now give the *lower* half. **Predict:** what will the model draw above it?
#
# It reads row by row from the top. When it draws the first pixel, it has seen nothing; the lower half
# stands where it has not been yet. So it draws the top of *some* digit, and then it is told, pixel by
# pixel, what follows. It cannot take anything back.
#
# But it can be *asked* how surprised it is. Draw K tops instead of one. Then read the given half
# after each of them, and add up the log-probabilities of its pixels. A top that fits makes the half
# likely. These sums, through a softmax, are **importance weights**, and a top drawn by them is drawn,
# for many K, from the right distribution:
#
# $$p(\text{top} \mid \text{half}) \;\propto\; p(\text{top})\; p(\text{half} \mid \text{top})$$
#
# ### Exercise 4 · Weigh
# *difficulty 3/5 · importance 4/5 · 15 minutes*
#
# 1. `logits` (K, S, V) are the guesses at the S given pixels after each of K tops, `given` (S,) the
#    pixels.
# 2. The log-probability of each given pixel: log-softmax over the colours, then the number that
#    belongs to its colour, (K, S).
# 3. Sum over the pixels, (K,): probabilities multiply.
# 4. Softmax over the K tops.


# %%
def weigh(logits, given):
    """logits (K, S, V), given (S,) -> weights (K,), with sum 1"""
    raise NotImplementedError("write me")


check.weigh(weigh)

# %% [markdown]
# <details><summary>Hint 1: the number that belongs to a colour</summary>
#
# `log_probs.gather(2, index)` wants an index (K, S, 1): `given.expand(K, -1)[..., None]`. Or, shorter,
# `log_probs[:, torch.arange(S), given]`.
# </details>
# <details><summary>Hint 2: why not exp of the sum, divided by the sum?</summary>
#
# The sum of a hundred log-probabilities may be −60 or, of a larger picture, −400. exp(−400) is 0 in
# float32, and 0 divided by 0 is nan. Softmax takes the largest sum off first, which changes no share.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def weigh(logits, given):
#     log_probs = logits.log_softmax(-1)[:, torch.arange(len(given)), given]  # (K, S)
#     return log_probs.sum(1).softmax(0)
# ```
# </details>
#
# In practice one weighs as one goes, at each given pixel; when few candidates weigh much, the others are
# dropped and the good ones doubled (a *particle filter*). `candidates` does that.

# %%
K = settings["candidates"]
tries = [
    complete(drawer, digits.images[chosen[0]], keep, settings["endings"], candidates=k)
    for keep in ("left", "lower") for k in (1, K)
]  # fmt: skip
whole, known, images = (
    torch.stack([getattr(each, part) for each in tries]) for part in ("whole", "known", "images")
)
plots.show(
    completions(whole, known, images, f"Left, then lower half: drawn blindly, then among {K}"),
    alt=f"A {digits.labels[chosen[0]]} of which the left half was given, then the lower one; of "
        f"each a row of endings drawn blindly, and a row of endings chosen among {K}. Chosen right "
        "halves all make threes; chosen tops fit hardly better than blind ones.",
)  # fmt: skip
few = exam[: settings["weighed"]]


@torch.no_grad()
def cost(tokens):
    """Bits of each pixel of pictures as tokens (n, T): (n, T)."""
    found = []
    for part in tokens.to(here.device).split(100):
        log_probs = model(part).log_softmax(-1).gather(2, part[..., None])[..., 0]
        found.append(bits(-log_probs.cpu()))
    return torch.cat(found)


def told_of(tokens, known):
    """Bits of the given pixels, and the judge's two shares."""
    told, given = named(tokens), cost(tokens)[:, known.flatten()].sum(1).mean()
    clear = (told.max(1).values > 0.9).float().mean()
    same = (told.argmax(1) == labels[: len(few)]).float().mean()
    return f"{given:18.0f}{clear:18.2f}{same:17.2f}"


print(
    f"{'given':8}{'candidates':>12}{'bits of given':>18}{'clearly a digit':>18}"
    f"{'the same digit':>17}"
)
for keep in ("left", "lower"):
    known = known_pixels(keep, side)
    for k in (1, K):
        print(f"{keep:8}{k:12}{told_of(ending(6, known, few, candidates=k), known)}")
    print(f"{keep:8}{'real':>12}{told_of(few.cpu(), known)}")

# %% [markdown]
# *Bits of given* is how surprised the model is by the given pixels after what it drew: the seam, in
# numbers. After the real pixels the given half costs 52 or 53 bits.
#
# - **Left.** In the first row of the figure strokes miss each other at the seam; in the second all are
#   threes. Drawn blindly, the seam costs 23 bits more. With 32 candidates it costs hardly more than it
#   does after the real ones, and nearly nine in ten become clear digits. A bad beginning is found out at
#   the end of its *row*, and dropped.
# - **Lower.** The third and the fourth row look much alike. Blindly, the seam costs 54 bits more, and half
#   of the pictures are called what they came from. With 32 candidates about half of that price is gone.
#   The two shares do not move: of 40 pictures, 0.15 more or less is chance.
#
# Why is it so much harder? All tops are *finished* before the first given pixel weighs them, and none was
# drawn with it in mind: one can only take the best of what is there. To come upon a top that fits as well
# as the real one, one would have to draw very many more, or ask a model that has learned to read upwards.
# What stands below is no problem for a model; what stands *later* is.
#
# ## 5. What it does not expect
#
# The model has an opinion on every picture: its bits. **Predict** the order of these, cheapest first:
# test digits as they are; moved down by three pixels; turned by 90 degrees; inverted, black on white;
# with their pixels shuffled, all in the same way; and an *empty* picture.


# %%
plain = digits.images[: settings["odd"]]
scrambled = torch.randperm(784, generator=torch.Generator().manual_seed(0))
shuffled = plain.flatten(1)[:, scrambled].view_as(plain)
odd = {
    "as they are": plain,
    "moved down by 3": torch.cat([plain[:, -3:], plain[:, :-3]], 1),
    "mirrored": plain.flip(2),
    "turned by 90°": plain.rot90(1, (1, 2)),
    "upside down": plain.rot90(2, (1, 2)),
    "inverted": 255 - plain,
    "pixels shuffled": shuffled,
    "empty": torch.zeros_like(plain[:1]),
}
costs = {name: cost(drawer.tokens(images)) for name, images in odd.items()}
means = {name: each.mean().item() for name, each in costs.items()}
plots.show(
    plots.bars(dict(sorted(means.items(), key=lambda each: each[1])),
               "An empty picture costs less than a digit", "bits a pixel"),
    alt="Bits a pixel: " + "; ".join(f"{name} {each:.2f}" for name, each in means.items()),
)  # fmt: skip
cheap = costs["as they are"].mean(1) < means["empty"]
print(f"{cheap.float().mean():.1%} of the digits cost less than the empty picture; they are called",
      *digits.labels[: len(plain)][cheap].unique().tolist())  # fmt: skip

# %% [markdown]
# **The empty picture costs half as much as a digit**, and was none of the training digits. Only one
# digit in twenty is cheaper still, and each of these is a 1: much paper, and a stroke that the model
# can guess. Bits measure what is *expected*, pixel by pixel, and paper is expected everywhere. So a
# likelihood is no test of being a digit, and this is so for other models and data as well (Nalisnick et al. 2019).
# Whoever lets a model judge what is strange by its bits alone will find the simplest things the most
# familiar.
#
# And did you have *moved* behind *turned*? The digit is as good as before. But MNIST's makers put
# each digit's centre of mass into the middle, and the model has learned that as well as it has
# learned the digits.

# %%
three = ("moved down by 3", "turned by 90°", "inverted")
shown = torch.stack(
    [odd[name][chosen[0]] if chosen[0] < len(plain) else odd[name][0] for name in three]
)
again = [complete(drawer, image, "upper", settings["endings"]) for image in shown]
plots.show(
    completions([each.whole for each in again], upper, torch.stack([each.images for each in again]),
                "Moved down, turned, inverted: it goes on with what it knows"),
    alt=f"Upper halves of one digit, {', '.join(three)}, each with endings by the model.",
)  # fmt: skip
maps = ("as they are", "moved down by 3", "turned by 90°", "mirrored")
plots.show(
    bits_maps({name: costs[name].mean(0) for name in maps},
              "A digit moved down surprises where paper should be"),
    alt="Mean bits of each pixel as pictures: "
    + "; ".join(f"{name}, {means[name]:.2f} in the mean" for name in maps) + ".",
)  # fmt: skip
first = costs["inverted"][:, 0].mean().item()
print(
    f"the first pixel of an inverted digit costs {first:.1f} bits, all 196 together "
    f"{means['inverted'] * model.pixels:.0f}"
)

# %% [markdown]
# - **Moved down**: it takes what it sees for a head at its usual place. The endings are sevens, mostly, and
#   hardly a three. Over all digits its surprise sits at the bottom, where paper should be.
# - **Turned**: this half of a 3 is like nothing it has read. It closes the curves below, as those of a 0 or
#   an 8 are closed.
# - **Inverted**: the first pixel alone costs 17.9 bits, a chance of one in 250,000: the corner had
#   never been white. What follows is drawn in white and black, but it is no digit. The model knows
#   digits *as light on dark*; that a 3 is a 3 in any colours has been shown to nobody who saw only
#   one.
#
# A person would complete all three. The cure is known from lesson 09: show it such pictures in
# training, if they are to be expected.
#
# ## 6. Your own
#
# Write a digit on paper, take a photo, and let the model go on. Or draw one here, as this cell does:
# dark ink on white paper, oblong, in colour, too large. `read_photo` brings it into the form of
# MNIST, and **says what it did**.

# %%
folder = Path(tempfile.mkdtemp())
paper = Image.new("RGB", (220, 300), (250, 246, 235))
ImageDraw.Draw(paper).line([(60, 60), (160, 55), (150, 120), (95, 250)], (20, 30, 120), 26, "curve")
paper.save(folder / "mine.png")
photo = read_photo(folder / "mine.png", centre=True)
print("\n".join(photo.said))
mine = complete(drawer, photo.image, "upper", 8)
plots.show(
    completions(
        mine.whole[None],
        upper,
        mine.images[None],
        "A seven by hand, and its endings",
        ["given", *range(1, 9), "yours"],
    ),
    alt="The upper half of a seven that was drawn by hand and eight endings by the model. Most "
    "are sevens, some no digit.",
)
told = named(mine.tokens)
print("the judge says:", *told.argmax(1).tolist())

# %% [markdown]
# Six of the eight are called a 7, but the last of them would not pass for one: the judge has no name for
# *no digit*. From a terminal the same is one line, with a page of completions as its result:
#
# ```sh
# coursekit complete mine.png --centre --samples 8 --out grid.png
# ```
#
# ## When something looks wrong
#
# | what you see | the likely cause |
# |---|---|
# | the given half has changed | drawn pixels were written over it, or the picture was encoded with another palette |
# | every ending is the same | temperature 0 or top 1; or one seed for all, and one picture at a time |
# | endings are noise from the first pixel | given pixels in another order: columns for rows, or not flattened row by row |
# | endings are good, but do not join | off by one: the first step made with the last given pixel *and* the model had read it already |
# | digits fall apart after a few rows | temperature too high, or the model saw other pixels before: 28 × 28 for 14 × 14, other grey levels |
# | lower halves get unfitting tops | the model reads forwards only: more `candidates` |
# | all candidates are the same | one of them outweighs all others: more of them, weighed row by row |
# | black on white gives blots | MNIST is white on black: invert |
# | your own digit is not understood | too thin, too small, in a corner: `centre=True`, a thicker pen |
# | it takes minutes | no cache: the model reads the whole picture again for each pixel (lesson 06) |
#
# ## Questions
#
# 1. Two endings of the same half differ at the very first drawn pixel. Do they from then on have
#    anything to do with each other?
# 2. At temperature 0 each half has one ending. Why is it not the likeliest of all endings?
# 3. An empty picture is likelier than nearly every digit. Why does the model, asked to draw, all but
#    never draw one?
# 4. For the right half given, where are the pixels that the model sees too late? Is that better or
#    worse than the lower half?
# 5. A model with the BERT objective sees both sides. Could it complete a lower half? What would it
#    draw if all missing pixels were drawn at once?
#
# <details><summary>Short answers</summary>
#
# 1. Only through what was given. Every later pixel reads the drawn ones, too, so they part more and
#    more.
# 2. It takes the likeliest pixel at each place. A less likely pixel may lead to a much likelier rest:
#    this is what beam search looks for in lesson 04, and greedy cannot.
# 3. There is one empty picture and there are very many digits. Nearly each of them is less likely than
#    the empty picture, all of them together are nearly certain. A typical draw is not the likeliest one.
# 4. In each row the missing pixels come first, and the given ones of the *same row* right after. The
#    rows above are known in full, so it is far better: the model has seen half of every earlier row.
# 5. It can guess each missing pixel from both sides. Drawn at once, each pixel would be drawn without
#    knowing what the others became: likely one by one, and together no digit. One would draw a few,
#    and look again.
# </details>
#
# ## Go further
#
# - Complete from a *middle* band (rows 5 to 9) by a mask of your own. How many candidates does it want?
# - `coursekit complete` takes `--mask mask.png`. Cut a hole into an 8, and let it be mended.
# - Give the model the upper half of a letter, or of a smiling face.
# - Copy `coursekit/configs/laptop.yaml`, add the line `augmentation: {rotate: 90}`, and train with
#   `coursekit train image-gpt --config mine.yaml`. What does *turned by 90°* cost then?
#
# ## What you have, and what is missing
#
# You can let a model go on from any pixels, steer it, count its ways, and see what it does not know.
# In section 3 something odd happened: nobody ever told the model what a 3 is, and yet its endings
# *are* threes, or eights, and seldom anything between. Does it know what it draws? **Did it
# understand?** That is lesson 12.

# %%
sizes.report(
    same_digit=boldness[1.0][1],
    ways_after_half=table[:, rows_given.index(side // 2 - side // 2 % 2)].mean().item(),
    bits_a_pixel=means["as they are"],
    bits_inverted=means["inverted"],
)
