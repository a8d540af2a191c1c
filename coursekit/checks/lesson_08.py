"""The checks of lesson 08: cross-attention, the rate of a step, a true mirror, a part of a loss."""

import math

import numpy as np
import torch

from coursekit.checks.core import Wrong, exercise, expect_close, expect_equal, expect_shape

# B = 2 pictures, T = 3 words of E = 5 numbers, N = 4 patches of D = 6; one head of d = 2.
WORDS = [
    [[1.5, -1.5, -1.5, 1.5, 0], [1, 1, -1.5, 1.5, 1], [0.5, 0, -1.5, 0.5, 0]],
    [[-0.5, 1.5, -1, 0.5, -1], [0, 0.5, 1, -0.5, -0.5], [1.5, -1, 1.5, 1, -1]],
]
MEMORY = [
    [[0, -1.5, -1, 0.5, 0.5, 1.5], [0, -1, -1, 0.5, 1, -1], [0.5, 0.5, 1, 0, 1, -1], [-0.5, -1, -1.5, 1.5, 0.5, 0.5]],
    [[-0.5, 0, -1, -0.5, 0, 0], [1.5, 0.5, -0.5, 0, -0.5, 1.5], [-0.5, 1, 0, 0, -0.5, 1.5], [1, 0, 0.5, -1.5, -1, -0.5]],
]  # fmt: skip
QUERY = [[0, 1.5], [-1, 1.5], [-0.5, 0], [-1, -1.5], [-0.5, -1]]
KEY = [[-1.5, -0.5], [0, 0.5], [1.5, 1.5], [1.5, 0], [0.5, 1.5], [-0.5, 0]]
VALUE = [[0.5, 0.5], [-1, 0.5], [1.5, -1.5], [-1, 0.5], [0.5, -0.5], [1.5, 1]]
MIXED = [
    [[-1.303373, 2.237532], [1.565572, 2.072179], [-0.558414, 0.227675]],
    [[1.016787, 1.096063], [0.674435, 1.436702], [0.759275, 1.355818]],
]
# The same with the mistake that the name tells
NOT_SCALED = [
    [[-1.564682, 2.37545], [1.851217, 2.186977], [-0.591279, 0.115028]],
    [[1.129366, 0.939745], [0.705741, 1.57729], [0.813411, 1.348084]],
]
NO_ROOT = [
    [[-1.079652, 2.064303], [1.131171, 1.883339], [-0.529147, 0.307574]],
    [[0.91999, 1.194952], [0.650883, 1.359201], [0.720323, 1.361382]],
]
ROOT_OF_MEMORY = [
    [[-0.975601, 1.952014], [0.857969, 1.747593], [-0.514557, 0.342977]],
    [[0.872311, 1.234761], [0.641598, 1.337315], [0.702934, 1.363867]],
]
ROOT_OF_WORDS = [
    [[-1.019997, 2.003428], [0.979836, 1.810215], [-0.520876, 0.327943]],
    [[0.892923, 1.218184], [0.645393, 1.345466], [0.710328, 1.36281]],
]
MULTIPLIED = [
    [[-1.796809, 2.458838], [1.968942, 2.235671], [-0.621484, -0.042711]],
    [[1.246727, 0.70058], [0.734526, 1.756597], [0.887372, 1.337518]],
]
OVER_WORDS = [
    [[-2.345584, 2.955564], [0.829272, 1.278929], [-0.233688, -2.234493]],
    [[1.410457, 2.181808], [0.269775, 0.817322], [0.819769, 2.500869]],
]
OVER_BATCH = [
    [[-1.311249, 4.121388], [-0.909916, 3.341527], [-0.726839, 0.568583]],
    [[1.274777, 3.243482], [1.541762, 2.023746], [1.315811, 2.897626]],
]
NO_SOFTMAX = [
    [[-5.734194, 21.213203], [6.06565, 11.225319], [-0.718155, -0.950175]],
    [[2.397534, 0.353553], [-3.060447, -7.645592], [1.038563, 1.016466]],
]
KEYS_AS_VALUES = [
    [[0.363877, -1.605356], [-1.059841, -1.425833], [0.574528, 0.083734]],
    [[-2.579579, -1.170852], [-1.218404, -0.530492], [-2.461004, -1.201729]],
]
EXCHANGED = [
    [[1.733411, 2.964308], [0.472063, -0.876804], [0.193902, -0.14987]],
    [[-2.870892, -1.513513], [-3.46625, -1.738133], [-2.150903, -1.147761]],
]
CAUSAL = [
    [[2, 2.25], [1.713838, 2.071149], [-0.045569, -0.580705]],
    [[-1.25, 1], [-0.287299, 1.875182], [0.459124, 2.310427]],
]


@exercise("cross_attend")
def cross_attend(answer):
    """answer(words (B, T, E), memory (B, N, D), query (E, d), key, value (D, d)) -> (B, T, d)."""
    given = [torch.tensor(each, dtype=torch.float32) for each in (WORDS, MEMORY, QUERY, KEY, VALUE)]
    fit = "shapes that do not fit: words @ query is (B, T, d), memory @ key and memory @ value (B, N, d); "
    got = _run(answer, given, "a tensor (2, 3, 2)", fit + "keys are turned by transpose(1, 2)")
    if np.shape(got) == (2, 3, 4):
        why = "these are the weights of the patches; take the mean of the values by them"
        raise Wrong("a tensor of shape (2, 3, 2)", "shape (2, 3, 4)", why)
    mistakes = [
        (NOT_SCALED, "the scores are not divided by the root of d, the size of a query"),
        (NO_ROOT, "divided by d; divide by its root"),
        (ROOT_OF_MEMORY, "divided by the root of D, the memory's size; d is that of a query"),
        (ROOT_OF_WORDS, "divided by the root of E, the words' size; d is that of a query"),
        (MULTIPLIED, "multiplied by the root of d; divide"),
        (OVER_WORDS, "the softmax goes over the words; a word shares out its look among patches"),
        (OVER_BATCH, "the softmax goes over the pictures of the batch; patches are the last"),
        (NO_SOFTMAX, "the scores themselves as weights; softmax makes shares of 1 of them"),
        (KEYS_AS_VALUES, "the mean is one of the keys; it should be one of the values"),
        (EXCHANGED, "keys and values are exchanged: queries are compared with keys"),
        (CAUSAL, "a causal mask; the whole picture is there before the first word"),
    ]
    why = "queries come from the words; keys and values from the memory"
    expect_close(got, MIXED, "the mean of the values", 1e-4, why, mistakes)


def _run(answer, given, expected, why):
    try:
        return answer(*given)
    except NotImplementedError:
        raise
    except (RuntimeError, ValueError) as error:
        raise Wrong(expected, str(error).splitlines()[0], why) from error


STEPS, WARMUP, PEAK = 10, 4, 0.8
RATES = [0.2, 0.4, 0.6, 0.8, 0.8, 0.746410, 0.6, 0.4, 0.2, 0.053590]
FROM_ZERO = [0.0, 0.2, 0.4, 0.6]  # warm-up without + 1
NOT_HALVED = [1.6, 1.492820, 1.2, 0.8, 0.4, 0.107180]
ALL_STEPS = [
    0.523607,
    0.4,
    0.276393,
    0.164886,
    0.076393,
    0.019577,
]  # cosine as if there were no warm-up
STRAIGHT = [0.8, 0.666667, 0.533333, 0.4, 0.266667, 0.133333]
RISING = [0.0, 0.053590, 0.2, 0.4, 0.6, 0.746410]
WHOLE_TURN = [0.8, 0.6, 0.2, 0.0, 0.2, 0.6]
ONE_LATE = [1.0, 0.746410, 0.6, 0.4, 0.2, 0.053590]
QUARTER = [0.8, 0.772741, 0.692820, 0.565685, 0.4, 0.207055]
NO_PI = [0.8, 0.794457, 0.777983, 0.751033, 0.714355, 0.668965]
ZERO_TOO_EARLY = [0.8, 0.723607, 0.523607, 0.276393, 0.076393, 0.0]


@exercise("rate")
def rate(answer):
    """answer(step, steps, warmup, peak) -> the rate of this step."""
    got = [
        float(expect_shape(answer(step, STEPS, WARMUP, PEAK), (), "the rate", "return one number"))
        for step in range(STEPS)
    ]
    mistakes = [(FROM_ZERO, "the first step would not move: (step + 1) / warmup, not step / warmup")]  # fmt: skip
    mistakes.append(([PEAK] * WARMUP, "no warm-up: below `warmup` the rate climbs"))
    mistakes.append(([r / PEAK for r in RATES[:WARMUP]], "the peak is missing: multiply by it"))
    expect_close(got[:WARMUP], RATES[:WARMUP], "the rates of the warm-up", 1e-5, mistakes=mistakes)
    mistakes = [
        (NOT_HALVED, "one plus a cosine goes from 2 to 0: halve it"),
        (ALL_STEPS, "the cosine must begin where the warm-up ends: (step - warmup) / (steps - warmup)"),
        (STRAIGHT, "a straight line; a cosine falls slowly at first and at last"),
        (RISING, "this rises: one plus the cosine, not minus"),
        (WHOLE_TURN, "a whole turn: from 0 to pi, not to 2 pi"),
        (ONE_LATE, "the warm-up is a step too long: while step < warmup, not <="),
        (QUARTER, "a quarter of a turn; take half a turn, one plus its cosine, halved"),
        (NO_PI, "the cosine takes radians: half a turn is math.pi times how far it is"),
        (ZERO_TOO_EARLY, "zero comes at `steps`, after the last step: divide by steps - warmup"),
        ([PEAK] * (STEPS - WARMUP), "the rate does not fall after the warm-up"),
        ([r / PEAK for r in RATES[WARMUP:]], "the peak is missing: multiply by it"),
    ]  # fmt: skip
    expect_close(got[WARMUP:], RATES[WARMUP:], "the rates after it", 1e-5, mistakes=mistakes)
    none = float(answer(0, 6, 0, 3.0))
    expect_close(none, 3.0, "the first rate without a warm-up", 1e-5, "with warmup 0 begin at peak")


CAPTION = "two red cats on the left and a kite on the right on the leftmost grass"
MIRRORED = "two red cats on the right and a kite on the left on the leftmost grass"


@exercise("mirror")
def mirror(answer):
    """answer(image (3, H, W), caption) -> the mirrored image, its caption."""
    image = torch.arange(3 * 4 * 5).view(3, 4, 5).to(torch.uint8)
    given = image.clone()
    got = answer(given, CAPTION)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Wrong("two things, image and caption", f"a {type(got).__name__}", "return both")
    turned, caption = got
    array = image.numpy()
    mistakes = [
        (array, "the picture is as it was: flip returns a new one"),
        (array[:, ::-1], "upside down: rows are dimension 1, columns the last"),
        (array[:, ::-1, ::-1], "turned by half a circle: mirror the columns only"),
        (array[::-1], "the colours are reversed; columns are the last dimension"),
    ]
    expect_close(turned, array[:, :, ::-1], "the picture", 0, mistakes=mistakes)
    expect_close(given, array, "the picture that was given", 0, "you changed it: make a new one")
    both = CAPTION.replace("left", "right").replace("right", "left")
    mistakes = [
        (CAPTION, "no word was changed: what was left is right now"),
        (CAPTION.replace("on the left ", "on the right "), "right should become left, too"),
        (both, "left should become right, too; two replaces in a row change it there and back"),
        (MIRRORED.replace("leftmost", "right"), "only the whole words left and right change"),
        (MIRRORED.replace("leftmost", "rightmost"), "only the whole words left and right change"),
    ]
    expect_equal(caption, MIRRORED, "the caption", mistakes=mistakes)
    plain = "a cat in the middle"
    expect_equal(answer(image.clone(), plain)[1], plain, "a caption without a side")


# B = 2 captions, T = 3 places, V = 4 words; 3 labels here, 7 in all parts together. Label 0 is a word.
LOGITS = [
    [[3, 1, -2.5, -2.5], [3, -0.5, 0, -2], [4, -0.5, 0.5, 0]],
    [[1, 1.5, -1, 1], [1, 0, -2, -2.5], [0, 0.5, 0.5, 0]],
]
LABELS, TOTAL = [[2, 0, -100], [3, -100, -100]], 7
PART, SUM = 1.006866, 7.048064
GRADIENT_AT_FIRST = [0.124929, 0.016907, -0.142347, 0.000511]


@exercise("part_loss")
def part_loss(answer):
    """answer(logits (B, T, V), labels (B, T), total) -> the part's share of the mean, shape ()."""
    logits = torch.tensor(LOGITS, dtype=torch.float32, requires_grad=True)
    labels = torch.tensor(LABELS)
    flat = "cross-entropy wants (n, V) and (n,): logits.flatten(0, 1) and labels.flatten()"
    loss = _run(answer, (logits, labels, TOTAL), "a loss of shape ()", flat)
    mistakes = [
        (SUM, "the sum; divide it by total"),
        (SUM / 3, "the mean of this part: parts with few tokens would count too much"),
        (SUM / 3 / TOTAL, "a mean, and then divided by total: take the sum"),
        (SUM / 6, "divided by all places of this part; divide by total"),
        (SUM / 6 / TOTAL, "a mean over all places, and then divided by total: take the sum"),
        (SUM / 2, "divided by the number of captions; divide by total"),
        (SUM / 2 / TOTAL, "the sum is divided by the number of captions as well"),
        (SUM * TOTAL, "multiplied by total; divide"),
        (1.306184, "padding is asked for: labels of -100 are not to be guessed"),
        (0.555663, "softmax twice: cross-entropy takes the logits themselves"),
        (-PART, "the sign: cross-entropy is minus the log-probability"),
    ]
    expect_close(loss, PART, "the loss", 1e-4, mistakes=mistakes)
    if not getattr(loss, "requires_grad", False):
        why = "a number without a gradient teaches nothing: no item(), no detach()"
        raise Wrong("a loss with a gradient", "none", why)
    loss.backward()
    expect_close(logits.grad[0, 0], GRADIENT_AT_FIRST, "the gradient at the first logits", 1e-5)
    if not math.isclose(float(answer(logits.detach(), labels, 2 * TOTAL)), PART / 2, abs_tol=1e-4):
        raise Wrong("half the loss for twice the total", "another", "divide by total as it is given")  # fmt: skip
    empty = answer(logits.detach(), torch.full((2, 3), -100), TOTAL)
    why = "a part of padding alone adds nothing: a sum of nothing is 0, a mean of nothing is nan"
    expect_close(empty, 0.0, "the loss of a part without labels", 1e-6, why)
