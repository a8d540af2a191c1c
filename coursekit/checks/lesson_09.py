"""The checks of lesson 09: pixels to tokens, the best cut into runs, a palette's own bits, left and upper neighbours."""

import numpy as np
import torch

from coursekit.checks.core import (
    Wrong,
    as_array,
    exercise,
    expect_close,
    expect_equal,
    expect_shape,
)

# B = 2, H = 2, W = 3; the greys tell the nearest colour from the next lower and the next higher one
IMAGES = [[[0, 60, 110], [190, 255, 130]], [[70, 200, 30], [99, 101, 180]]]
COLOURS = [10, 100, 140, 230]
TOKENS = [[0, 1, 1, 3, 3, 2], [1, 3, 0, 1, 1, 2]]
OVERFLOW = "uint8 ends at 0 and at 255: 60 - 100 is 216 there, and squares are cut off. Make it int or float before you subtract"
ENCODED = [
    ([[0, 3, 1, 3, 1, 2], [1, 1, 3, 1, 0, 2]], "column by column: go along a row first, then to the next"),
    ([[3, 0, 1, 2, 3, 1], [0, 2, 0, 0, 1, 2]], OVERFLOW),
    ([[1, 2, 0, 3, 3, 3], [3, 0, 1, 1, 1, 1]], OVERFLOW),
    ([[0, 0, 1, 2, 3, 1], [0, 2, 0, 0, 1, 2]], "the next lower colour: take the nearest, on either side"),
    ([[-1, 0, 1, 2, 3, 1], [0, 2, 0, 0, 1, 2]], "the next lower colour: take the nearest, on either side"),
    ([[0, 1, 2, 3, 4, 2], [1, 3, 1, 1, 2, 3]], "the next higher colour (searchsorted gives that one): take the nearest, on either side"),
    ([[0, 1, 2, 3, 3, 2], [1, 3, 1, 1, 2, 3]], "the next higher colour: take the nearest, on either side"),
    ([[0, 1, 1, 3, 0, 2], [1, 3, 0, 1, 1, 2]], "int8 ends at 127: take int or float"),
    ([[3, 3, 3, 0, 0, 0], [3, 0, 3, 3, 3, 0]], "the farthest colour: argmin, not argmax"),
    ([[3] * 6] * 2, "without abs the smallest difference is the one furthest below 0"),
    ([[10, 40, 10, 40, 25, 10], [30, 30, 20, 1, 1, 40]], "these are the distances: argmin gives the number of the smallest"),
    ([[0, 0, 1, 2, 3, 2], [1, 3, 0, 1, 1, 2]], "equal steps from 0 to 255: the colours are those that are given"),
    ([[10, 100, 100, 230, 230, 140], [100, 230, 10, 100, 100, 140]], "these are the colours; return their numbers"),
]  # fmt: skip


@exercise("encode")
def encode(answer):
    """answer(images uint8 (B, H, W), colours uint8 (V,)) -> tokens int64 (B, H * W)."""
    images, colours = (torch.tensor(each, dtype=torch.uint8) for each in (IMAGES, COLOURS))
    got = as_array(answer(images.clone(), colours.clone()), "the tokens")
    if got.shape == (2, 2, 3):
        raise Wrong(
            "tokens of shape (2, 6)", "shape (2, 2, 3)", "one row of tokens a picture: flatten(1)"
        )
    if got.shape == (12,):
        raise Wrong(
            "tokens of shape (2, 6)",
            "shape (12,)",
            "the pictures stay apart: flatten(1), not flatten()",
        )
    expect_shape(got, (2, 6), "the tokens", "(B, H * W): argmin over the colours, the last dimension, then flatten(1)")  # fmt: skip
    if got.dtype.kind not in "iu":
        raise Wrong(
            "tokens as whole numbers", f"{got.dtype}", "argmin gives int64: nothing to convert"
        )
    expect_equal(got, TOKENS, "the tokens", mistakes=ENCODED)
    wide = torch.arange(256).to(torch.uint8).view(1, 8, 32)
    colours = torch.tensor([0, 128, 255], dtype=torch.uint8)
    got = as_array(answer(wide, colours), "the tokens")
    wanted = [0] * 64 + [1] * 128 + [2] * 64
    ties = [64]  # as near to 0 as to 128: either will do
    keep = [i for i in range(256) if i not in ties]
    expect_equal(got[0, keep], [wanted[i] for i in keep], "the tokens of the greys 0 to 255 without 64, colours 0, 128, 255",
                 "the colours and the size of the pictures are those that are given")  # fmt: skip


# Six greys and how often each occurs, and the starts of their best runs
VALUES, TIMES = [0.0, 1.0, 10.0, 11.0, 30.0, 34.0], [4.0, 1.0, 2.0, 2.0, 1.0, 1.0]
CUTS = {2: [0, 4], 3: [0, 2, 4], 4: [0, 2, 4, 5], 6: [0, 1, 2, 3, 4, 5], 1: [0]}
# Here the best three runs do not contain the best two: who keeps the first cut gets them wrong
TRAP_VALUES, TRAP_TIMES = [0.0, 4.0, 6.0, 10.0], [1.0, 3.0, 3.0, 1.0]
TRAP = {2: [0, 2], 3: [0, 1, 3]}
GREEDY = [([0, 1, 2], "the first cut is kept when the next is made: the best 3 runs need not contain the best 2"),
          ([0, 2, 3], "the first cut is kept when the next is made: the best 3 runs need not contain the best 2")]  # fmt: skip
WHY_RUNS = "least error of the first j values in one run more: the minimum over i of least[i] + errors[i, j]"


def _errors(values, times):
    """(n + 1, n + 1): the squared error of the run i … j - 1 around its mean; infinite where it is empty."""
    n = len(values)
    table = np.full((n + 1, n + 1), np.inf)
    for i in range(n):
        for j in range(i + 1, n + 1):
            part, weights = np.array(values[i:j]), np.array(times[i:j])
            table[i, j] = (weights * (part - (part * weights).sum() / weights.sum()) ** 2).sum()
    return torch.from_numpy(table)


@exercise("best_runs")
def best_runs(answer):
    """answer(errors (n + 1, n + 1), count) -> list of the places where the runs begin, 0 first."""
    errors = _errors(VALUES, TIMES)
    for count, starts in CUTS.items():
        got = _starts(answer(errors.clone(), count))
        mistakes = [
            (starts[1:], "the first run begins at 0: it belongs to the list"),
            ([*starts, 6], "6 is the end, where no run begins"),
            (starts[::-1], "from the last to the first: turn the list around"),
            ([start - 1 for start in starts[1:]], "one too early: a run i … j - 1 ends before j, so the next begins at j"),
            ([0, *[start - 1 for start in starts[1:]]], "one too early: a run i … j - 1 ends before j, so the next begins at j"),
            ([*starts[1:], 6], "these are the ends of the runs: return where they begin"),
            ([0, 3, 4], "walk back: begin with the last round, whose runs end at n"),
            ([0, 1, 2, 4], "each round goes on from the least of the round before, not from errors[0]"),
        ]  # fmt: skip
        if len(set(got)) < len(got) == count:
            why = "two runs begin at the same place: take the minimum over i, the rows, and walk back by j = begins[r][j]"
            mistakes.append((got, why))
        if count > 1 and len(got) == count + 1 and got != [*starts, 6]:
            mistakes.append((got, f"{count} runs have {count - 1} cuts: one round less"))
        if len(got) == count - 1 and got != starts[1:]:
            mistakes.append((got, f"only {count - 1} runs: one round more"))
        expect_equal(got, starts, f"the starts of {count} runs", WHY_RUNS, mistakes)
    trap = _errors(TRAP_VALUES, TRAP_TIMES)
    for count, starts in TRAP.items():
        got = _starts(answer(trap.clone(), count))
        expect_equal(got, starts, f"the starts of {count} runs of 0, 4, 6, 10", WHY_RUNS, GREEDY)


def _starts(got):
    if got is None:
        raise Wrong("a list of starts", "None", "the function does not return its result")
    if isinstance(got, (int, float)) or getattr(got, "ndim", 1) == 0:
        raise Wrong("a list of starts", f"{got!r}", "return where the runs begin, not the error")
    if any(np.ndim(each) for each in got):
        raise Wrong("a list of starts", "something else beside it", "return the starts alone")
    return [int(each) for each in got]


# Eight greys, three colours; the greys 2 and 5 never occur
COUNTS, CODE = [6, 2, 0, 4, 4, 0, 3, 1], [0, 0, 0, 1, 1, 1, 2, 2]
BITS = 0.886767
PAID = [
    (0.614660, "in nats: use log2"),
    (-BITS, "the sign: a probability's logarithm is below 0"),
    (1.521928, "these are the tokens' own bits, -log2 p(token): wanted is what is left open once the token is known"),
    (2.408695, "the greys' whole entropy, tokens included: divide by how often the grey's own colour occurs, not by all pixels"),
    (6.830075, "a sum over the greys, each once: weigh each by how often it occurs"),
    (1.138346, "all greys weigh alike: weigh each by how often it occurs"),
    (17.735337, "the sum over all pixels: divide by their number"),
    (0.874185, "all colours weigh alike: weigh each by how many pixels it has"),
    (2.622556, "the colours' parts are added up: weigh each by its share of the pixels"),
    (-0.445263, "code.bincount() counts greys; add up their pixels, code.bincount(counts)"),
    (1.467970, "the greys of a colour are not equally common: each costs -log2 of its share"),
    (2.216918, "divided by the number of greys: divide by the number of pixels"),
    (0.575000, "the mean of the probabilities: -log2 of each first"),
]  # fmt: skip


@exercise("palette_bits")
def palette_bits(answer):
    """answer(counts (G,), code (G,) int64) -> bits a pixel that the palette leaves open."""
    counts, code = torch.tensor(COUNTS, dtype=torch.float64), torch.tensor(CODE)
    got = as_array(answer(counts.clone(), code.clone()), "the bits")
    if got.shape != ():
        raise Wrong("one number", f"shape {got.shape}", "the mean over all pixels")
    if np.isnan(got):
        raise Wrong(
            "a number", "nan", "0 · log 0: a grey that never occurs costs nothing; leave it out"
        )
    why = "of each grey -log2(its count / the count of its colour), weighed by how often it occurs"
    expect_close(got, BITS, "the bits", 1e-4, why, [(np.float64(v), said) for v, said in PAID])
    every = answer(torch.ones(16, dtype=torch.float64), torch.arange(16) // 4)
    why = "four greys to tell apart: 2 bits"
    expect_close(every, 2.0, "the bits of 16 equally common greys in 4 colours", 1e-5, why)
    alone = answer(torch.tensor([5.0, 1.0, 2.0], dtype=torch.float64), torch.arange(3))
    why = "nothing is left open"
    expect_close(alone, 0.0, "the bits where each grey has its own colour", 1e-6, why)


# B = 2, side 3, V = 5; what lies outside is 7
PICTURES = [[1, 2, 3, 4, 0, 2, 3, 1, 4], [0, 4, 1, 2, 2, 3, 4, 0, 1]]
LEFT = [[7, 1, 2, 7, 4, 0, 7, 3, 1], [7, 0, 4, 7, 2, 2, 7, 4, 0]]
UP = [[7, 7, 7, 1, 2, 3, 4, 0, 2], [7, 7, 7, 0, 4, 1, 2, 2, 3]]
RIGHT = [[2, 3, 7, 0, 2, 7, 1, 4, 7], [4, 1, 7, 2, 3, 7, 0, 1, 7]]
DOWN = [[4, 0, 2, 3, 1, 4, 7, 7, 7], [2, 2, 3, 4, 0, 1, 7, 7, 7]]
BEFORE = [[7, 1, 2, 3, 4, 0, 2, 3, 1], [7, 0, 4, 1, 2, 2, 3, 4, 0]]
TURNED = [[4, 1, 2, 3, 4, 0, 2, 3, 1], [1, 0, 4, 1, 2, 2, 3, 4, 0]]
LEFT_ITSELF = [[1, 1, 2, 4, 4, 0, 3, 3, 1], [0, 0, 4, 2, 2, 2, 4, 4, 0]]
UP_ITSELF = [[1, 2, 3, 1, 2, 3, 4, 0, 2], [0, 4, 1, 0, 4, 1, 2, 2, 3]]
ROW_TURNED = [[3, 1, 2, 2, 4, 0, 4, 3, 1], [1, 0, 4, 3, 2, 2, 1, 4, 0]]
UP_TURNED = [[3, 1, 4, 1, 2, 3, 4, 0, 2], [4, 0, 1, 0, 4, 1, 2, 2, 3]]
EDGE = "a row's first pixel has no left neighbour: the pixel before it is the last of the row above"
ITSELF = "at the edge stands the token itself: begin with a picture of `outside`, not with a copy"
BATCH = "moved along the batch: the neighbour is taken from another picture"
LEFTS = [
    (BEFORE, EDGE), (TURNED, EDGE + ", and roll brings the end to the beginning"),
    (ROW_TURNED, "roll turns the row: its first pixel gets the last as its left neighbour, and must get `outside`"),
    (LEFT_ITSELF, ITSELF), ([[7] * 9, PICTURES[0]], BATCH),
    (RIGHT, "these are the right neighbours: they come later and must be guessed"), (UP, "left and upper are exchanged: return left first"),
]  # fmt: skip
UPS = [
    (UP_TURNED, "roll turns the picture: the first row gets the last one above it, and must get `outside`"),
    (UP_ITSELF, ITSELF), ([[7] * 9, PICTURES[0]], BATCH),
    (DOWN, "these are the lower neighbours: they come later and must be guessed"), (LEFT, "left and upper are exchanged: return left first"),
    (BEFORE, "one place back in the row: the upper neighbour stands `side` places back"),
]  # fmt: skip


@exercise("neighbours")
def neighbours(answer):
    """answer(tokens (B, side * side), side, outside) -> left (B, T), up (B, T)."""
    given = torch.tensor(PICTURES)
    got = answer(given, 3, 7)
    if torch.is_tensor(got) and got.shape == (2, 2, 9):
        got = tuple(got)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        kind = f"one of shape {tuple(got.shape)}" if torch.is_tensor(got) else type(got).__name__
        raise Wrong("two tensors, left and up", kind, "return left, up")
    if given.tolist() != PICTURES:
        raise Wrong(
            "tokens left as they were", "changed tokens", "write into a new tensor, or a clone"
        )
    left, up = (as_array(each, name) for each, name in zip(got, ("left", "up"), strict=True))
    for each, name in ((left, "left"), (up, "up")):
        expect_shape(each, (2, 9), name, "one neighbour for each pixel, row by row: flatten(1)")
    if (left == up).all():
        raise Wrong("two tensors, left and up", "the same twice", "`up = left` is one tensor with two names: make one for each")  # fmt: skip
    zero = [[0 if token == 7 else token for token in row] for row in LEFT]
    zeros = [(zero, "outside is a colour of its own, `outside`: 0 is the paper")]
    expect_equal(left, LEFT, "left", mistakes=LEFTS + zeros)
    expect_equal(up, UP, "up", mistakes=UPS)
    why = "use the side and the outside that are given"
    left, up = answer(torch.tensor([[1, 0, 2, 1]]), 2, 3)
    expect_equal([left, up], [[[3, 1, 3, 2]], [[3, 3, 1, 0]]], "left and up of 1 0 / 2 1", why)
