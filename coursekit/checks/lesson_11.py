"""The checks of lesson 11: go on from given pixels, steer a draw, count ways, weigh candidates."""

import math

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

# Logits of the fake model below, a row for each rest of its sum
TABLE = [
    [0.2, 1.4, -0.6, 0.9, 0.1],
    [1.1, -0.3, 0.8, 0.4, 1.9],
    [-0.7, 0.6, 1.2, 1.8, 0.3],
    [1.6, 0.5, -1.1, 0.7, 1.0],
    [0.0, 1.3, 1.7, -0.4, 0.6],
    [0.9, 0.2, 0.5, 1.5, -0.8],
    [1.2, 1.0, 0.1, -0.2, 1.8],
]
GIVEN = [[3, 1], [0, 4], [2, 2]]
# What it says where the second likeliest colour is chosen at every place
WHOLE = [[3, 1, 3, 4, 0, 3], [0, 4, 4, 2, 1, 4], [2, 2, 0, 2, 1, 4]]
FROM_NOTHING = [[3, 1, 3, 4, 0, 3]] * 2
LIKELIEST = [[3, 1, 1, 2, 4, 4], [0, 4, 0, 2, 4, 4], [2, 2, 4, 1, 3, 1]]
ALWAYS_BEGUN = [[3, 1, 3, 3, 3, 3], [0, 4, 4, 4, 4, 4], [2, 2, 0, 0, 0, 0]]
READ_TWICE = [[3, 1, 1, 2, 0, 3], [0, 4, 2, 1, 4, 3], [2, 2, 0, 2, 0, 3]]


class FakeModel:
    """A step model of pictures of 6 pixels whose logits depend on every pixel before and on its place."""

    pixels, start_id, colours = 6, 5, 5

    def __init__(self):
        self.first, self.steps, self.logits = None, 0, None

    def start(self, memory):
        if not isinstance(memory, torch.Tensor) or memory.ndim != 2:
            why = "start reads the given pixels themselves, not their number"
            raise Wrong("model.start(given), tokens (B, S)", f"model.start({memory!r:.60})", why)
        return memory.clone()

    def step(self, tokens, state):
        if not isinstance(state, torch.Tensor) or state.is_floating_point():
            why = "the second argument is the state that start, or the step before, gave: logits, state = model.step(…)"
            raise Wrong("step(tokens, state)", "another thing than a state", why)
        if not isinstance(tokens, torch.Tensor) or tokens.shape != state.shape[:1]:
            shape = tuple(tokens.shape) if hasattr(tokens, "shape") else type(tokens).__name__
            why = "a step takes one token for each picture: (B,)"
            raise Wrong(f"step with tokens ({len(state)},)", f"tokens {shape}", why)
        self.first = tokens.tolist() if self.first is None else self.first
        self.steps += 1
        begins = tokens == self.start_id
        if not begins.all():
            state = torch.cat([state, tokens[:, None]], 1)
        places = torch.arange(1, state.shape[1] + 1)
        row = ((state * places).sum(1) + state.shape[1]) % len(TABLE)
        self.logits = torch.tensor(TABLE)[row]  # (B, 5)
        return self.logits.clone(), state

    def second(self, logits):
        """The second likeliest colour of its last logits: neither argmax nor chance gives it."""
        if not isinstance(logits, torch.Tensor) or not torch.equal(logits, self.logits):
            shape = tuple(logits.shape) if hasattr(logits, "shape") else type(logits).__name__
            why = "choose gets the logits of the last step, (B, V), which come first: logits, state = model.step(…)"
            raise Wrong("choose(logits)", f"choose of other values, {shape}", why)
        return logits.argsort(-1, descending=True)[:, 1]


@exercise("go_on")
def go_on(answer):
    """answer(model, given (B, S), choose (B, V) -> (B,)) -> tokens (B, model.pixels)."""
    model, given = FakeModel(), torch.tensor(GIVEN)
    got = answer(model, given, model.second)
    expect_equal(given, GIVEN, "given, afterwards", "the given pixels were written over")
    if got is not None and np.ndim(got) == 2:
        _expect_columns(np.shape(got)[1])
    _expect_whole(got, model)
    why = "S may be 0: the model then begins with start_id alone"
    _expect_other(
        answer,
        torch.zeros(2, 0, dtype=torch.long),
        FROM_NOTHING,
        "pictures from nothing, S = 0",
        why,
    )
    why = "where all pixels are given none is chosen"
    _expect_other(answer, torch.tensor(WHOLE), WHOLE, "a picture that is given whole", why)
    _expect_other(answer, torch.tensor(GIVEN[:1]), WHOLE[:1], "a batch of one picture")


def _expect_other(answer, given, expected, name, why=None):
    model = FakeModel()
    try:
        got = answer(model, given, model.second)
    except IndexError as error:
        raise Wrong(f"tokens ({len(given)}, 6), {name}", f"IndexError: {error}", why) from error
    expect_equal(got, expected, name, why)


def _expect_columns(found):
    """Raises Wrong for another number of columns than pixels."""
    if found == 4:
        why = "only the chosen pixels are returned; the given ones stand before them"
        raise Wrong("all pixels (3, 6)", "shape (3, 4)", why)
    if found != 6:
        many = "too many steps" if found > 6 else "too few steps"
        why = f"{many}: model.pixels - S pixels are missing, and each takes one"
        raise Wrong("6 pixels of each picture", f"{found}", why)


def _expect_whole(got, model):
    likely = "each step is made with what was chosen last, and with the state of the step before"
    if model.steps and model.first != [model.start_id] * 3:
        likely = (
            "the first step is made with the last given pixel, which the model has read already: begin with start_id"
            if model.first == [row[-1] for row in GIVEN]
            else "the first step is made with other tokens than start_id"
        )
    mistakes = [
        (LIKELIEST, "the likeliest colour is taken; choose(logits) says which one to take"),
        (READ_TWICE, likely),
        (
            ALWAYS_BEGUN,
            "only the first step is made with start_id; the next ones with what was chosen last",
        ),
    ]
    expect_equal(got, WHOLE, "all pixels", likely, mistakes)


LOGITS = [[2.0, -1.0, 0.5, 1.5], [0.0, 3.0, 2.0, -2.0], [1.0, 0.25, -0.5, 0.75]]
# The distributions by temperature and top_k
PLAIN = [
    [0.532071, 0.02649, 0.118721, 0.322717],
    [0.034953, 0.702048, 0.258269, 0.00473],
    [0.404155, 0.190909, 0.090179, 0.314756],
]
COOL = [
    [0.704153, 0.001745, 0.035058, 0.259044],
    [0.002178, 0.878843, 0.118938, 0.00004],
    [0.532071, 0.118721, 0.02649, 0.322717],
]  # temperature 0.5
HOT = [
    [0.404155, 0.090179, 0.190909, 0.314756],
    [0.116715, 0.523082, 0.317265, 0.042937],
    [0.328715, 0.225922, 0.155274, 0.29009],
]  # temperature 2
HOT_TWO = [
    [0.562177, 0, 0, 0.437823],
    [0, 0.622459, 0.377541, 0],
    [0.531209, 0, 0, 0.468791],
]  # and top 2
ONE = [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
OVER_ROWS = [
    [0.665241, 0.016924, 0.170953, 0.665529],
    [0.090031, 0.924006, 0.766157, 0.020097],
    [0.244728, 0.05907, 0.06289, 0.314374],
]  # PLAIN, softmax over the batch
# HOT_TWO with the mistake that the name tells
NOT_SHARED = [
    [0.404155, 0, 0, 0.314756],
    [0, 0.523082, 0.317265, 0],
    [0.328715, 0, 0, 0.29009],
]
OVER_BATCH = [
    [0.444214, 0, 0.209832, 0.345954],
    [0, 0.622459, 0.377541, 0],
    [0.389137, 0.26745, 0, 0.343413],
]
ZEROED = [
    [0.397684, 0.1463, 0.1463, 0.309717],
    [0.108696, 0.487142, 0.295466, 0.108696],
    [0.323044, 0.195936, 0.195936, 0.285085],
]
SMALLEST = [
    [0, 0.320821, 0.679179, 0],
    [0.731059, 0, 0, 0.268941],
    [0, 0.592667, 0.407333, 0],
]
THREE = [
    [0.444214, 0, 0.209832, 0.345954],
    [0.121952, 0.546549, 0.331499, 0],
    [0.389137, 0.26745, 0, 0.343413],
]


@exercise("steer")
def steer(answer):
    """answer(logits (B, V), temperature, top_k) -> probabilities (B, V)."""
    mistakes = [
        (OVER_ROWS, "softmax over the rows of the batch; over the colours, the last dimension"),
        (LOGITS, "these are still logits: softmax makes probabilities of them"),
        (
            [[math.log(p) for p in row] for row in PLAIN],
            "log_softmax; probabilities are asked: softmax",
        ),
    ]
    expect_close(
        _asked(answer, 1.0, None), PLAIN, "at temperature 1, all kept", 1e-3, None, mistakes
    )
    mistakes = [
        (HOT, "multiplied by the temperature; divide: below 1 the likely becomes likelier"),
        (PLAIN, "the temperature is not used"),
        ([[2 * p for p in row] for row in PLAIN], "divided after the softmax; divide the logits"),
    ]
    got = _asked(answer, 0.5, None)
    expect_close(got, COOL, "at temperature 0.5", 1e-4, None, mistakes)
    mistakes = [
        (HOT, "top_k is not used"),
        (NOT_SHARED, "cut after the softmax: the rest no longer sums to 1"),
        (OVER_BATCH, "the largest of each column; of each row, the last dimension, are wanted"),
        (ZEROED, "the others become logits of 0, not minus infinity: exp(0) is 1"),
        (SMALLEST, "the smallest are kept"),
        (THREE, "one too many is kept"),
        (ONE, "one too few is kept"),
    ]
    got = _asked(answer, 2.0, 2)
    if np.isnan(as_array(got, "the probabilities").astype(float)).any():
        why = "a row of which nothing is kept: take the top_k-th largest of the same row, and of the same logits, divided or not"
        raise Wrong("at temperature 2, top 2: two colours kept in each row", "nan", why)
    expect_close(got, HOT_TWO, "at temperature 2, top 2", 1e-4, None, mistakes)
    expect_close(_asked(answer, 2.0, 1), ONE, "at top 1", 1e-4)
    expect_close(_asked(answer, 2.0, 2, 1), HOT_TWO[:1], "of a single row, top 2", 1e-4)


def _asked(answer, temperature, top_k, rows=3):
    """What the answer makes of the first rows of LOGITS, which stay as they are."""
    logits = torch.tensor(LOGITS[:rows])
    got = answer(logits, temperature, top_k)
    why = "the logits that were given are changed in place; masked_fill and / make new ones"
    expect_close(logits, LOGITS[:rows], "the given logits, afterwards", 1e-6, why)
    return got


@exercise("ways")
def ways(answer):
    """answer(counts (C,)) -> the effective number of classes."""
    for counts, expected, name in (
        ([5, 5, 5, 5], 4.0, "four classes alike"),
        ([90, 10], 1.384145, "counts [90, 10]"),
        ([6, 0, 3, 0, 1], 2.454668, "counts [6, 0, 3, 0, 1]"),
        ([0, 7, 0], 1.0, "all of one class"),
    ):
        got = answer(torch.tensor(counts))
        if _number(got) is not None and math.isnan(_number(got)):
            why = "0 times ln 0 is nan: leave classes out that never occur"
            raise Wrong(f"{name}: {expected:.4g} ways", "nan", why)
        expect_close(got, expected, f"{name}: ways", 1e-3, None, _mistaken(counts))


def _number(value):
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _mistaken(counts):
    """What usual mistakes give for counts, with what to say of them."""
    shares = [n / sum(counts) for n in counts if n]
    nats = -sum(p * math.log(p) for p in shares)
    return [
        (math.exp(-sum(n * math.log(n) for n in counts if n)), "divide the counts by their sum first"),
        (math.exp(nats / len(counts)), "the sum over the classes is asked, not the mean"),
        (math.exp(nats / len(shares)), "the sum over the classes is asked, not the mean"),
        (nats, "this is the entropy; its exponential is the number of ways"),
        (math.exp(-nats), "the sign: the entropy is minus the sum of p ln p"),
        (2**nats, "natural logarithm and a power of 2 do not belong together"),
        (math.exp(nats / math.log(2)), "log2 and exp do not belong together"),
        (1 / sum(p * p for p in shares), "one over the sum of squares is another such number; take exp of the entropy"),
        (float(len(shares)), "this counts classes that occur at all, however seldom"),
    ]  # fmt: skip


GUESSES = [
    [[1.0, -0.5, 0.2], [0.3, 0.9, -1.2], [0.0, 1.1, 0.4], [0.7, -0.3, 0.6]],
    [[-0.2, 0.8, 0.5], [1.0, 0.1, 0.3], [0.6, -0.4, 1.3], [0.2, 0.9, -0.7]],
    [[0.29, 0.09, 0.45], [0.3, 0.58, 0.29], [0.33, 0.33, -0.21], [0.56, 0.02, -0.11]],
]
PIXELS = [0, 2, 1, 0]
WEIGHTS = [0.346084, 0.047555, 0.606361]
LOG_PROBS = [-4.552873, -6.537676, -3.992079]
# With the mistake that the name tells
OF_MEANS = [0.362405, 0.220647, 0.416948]
OF_LOGITS = [0.485253, 0.088648, 0.426099]
OF_SUMS = [0.436321, 0.191927, 0.371752]
SUMS_SHARED = [0.415282, 0.209555, 0.375164]
TURNED = [0.113015, 0.822481, 0.064504]
OF_LAST = [0.363691, 0.241664, 0.394645]
TWICE = [0.333455, 0.330438, 0.336108]
OVER_PIXELS = [0.344688, 0.051903, 0.603409]
EVERY_COLOUR = [0.113196, 0.080633, 0.806171]


@exercise("weigh")
def weigh(answer):
    """answer(logits (K, S, V), given (S,)) -> weights (K,)."""
    got = answer(torch.tensor(GUESSES), torch.tensor(PIXELS))
    own = "[:, :, given] takes every given colour at every pixel; of each pixel its own is wanted"
    shape = (
        "one weight for each of the K candidates: sum over the pixels, of each its own colour only"
    )
    expect_shape(got, (3,), "the weights", shape)
    mistakes = [
        (OVER_PIXELS, "log-softmax over the pixels; over the colours, the last dimension"),
        (EVERY_COLOUR, own),
        (
            [math.log(each) for each in WEIGHTS],
            "these are logarithms of the weights: softmax, not log_softmax, at the end",
        ),
        (OF_MEANS, "the mean over the pixels; probabilities multiply, so logarithms add up"),
        (OF_LOGITS, "logits are summed, not log-probabilities: log_softmax over the colours first"),
        (OF_SUMS, "probabilities of pixels are added; their logarithms must be"),
        (SUMS_SHARED, "probabilities of pixels are added; they multiply"),
        (TURNED, "the sign: the likelier the given pixels, the larger the weight"),
        (OF_LAST, "only the last pixel counts; sum over all"),
        (TWICE, "softmax of probabilities; softmax takes their logarithms"),
        (LOG_PROBS, "these are the log-probabilities; softmax over the candidates is left"),
        ([math.exp(each) for each in LOG_PROBS], "these are probabilities; they should sum to 1"),
    ]
    expect_close(got, WEIGHTS, "the weights", 1e-4, None, mistakes)
    alone = answer(torch.tensor(GUESSES[:1]), torch.tensor(PIXELS))
    expect_close(alone, [1.0], "the weight of a single candidate", 1e-6)
    far = torch.tensor(GUESSES).repeat(1, 100, 1)  # 400 pixels, of which each costs a nat and more
    got = answer(far, torch.tensor(PIXELS * 100))
    why = "exp of a large negative sum is 0: softmax of the sums, or take the largest sum off first"
    expect_close(got, [0.0, 0.0, 1.0], "the weights after 400 pixels", 1e-4, why)
