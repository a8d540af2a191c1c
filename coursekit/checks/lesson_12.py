"""The checks of lesson 12: standardised features, the joint loss, precision and recall, the classifier score."""

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

# Five pictures of four features to learn from, three to be examined. The first feature's spread is below 1, and the third
# never changes in training.
TRAIN = [[0.5, 10, 5, -3], [1, 14, 5, 0], [2, 12, 5, 3], [2.5, 20, 5, 8], [1.5, 15, 5, -2]]
TEST = [[1.5, 30, 5, 1], [3.5, 10, 6, -5], [0.5, 16, 5, 2]]
# Spreads with n - 1 and with n below the line: both are right. Of test without the third feature, of which only finite
# numbers are asked
TRAIN_RIGHT = (
    [[-1.26491, -1.11456, 0.0, -0.94627], [-0.63246, -0.05307, 0.0, -0.27036], [0.63246, -0.58382, 0.0, 0.40555], [1.26491, 1.53916, 0.0, 1.53206], [0.0, 0.2123, 0.0, -0.72097]],
    [[-1.41421, -1.24612, 0.0, -1.05796], [-0.70711, -0.05934, 0.0, -0.30228], [0.70711, -0.65273, 0.0, 0.45341], [1.41421, 1.72083, 0.0, 1.7129], [0.0, 0.23736, 0.0, -0.80607]],
)  # fmt: skip
TEST_RIGHT = (
    [[0.0, 4.19288, -0.04506], [2.52982, -1.11456, -1.39688], [-1.26491, 0.47767, 0.18024]],
    [[0.0, 4.68779, -0.05038], [2.82843, -1.24612, -1.56176], [-1.41421, 0.53405, 0.20152]],
)  # fmt: skip
LEAK = "the exam has a say in its own scale: use the mean and spread of the training pictures"
OWN = "each feature has its own mean and spread, over the pictures: dim 0"
LIVELY = [0, 1, 3]  # the features that change


@exercise("standardise")
def standardise(answer):
    """answer(train (n, D), test (m, D)) → both with the mean 0 and the spread 1 that train had."""
    train, test = (torch.tensor(each, dtype=torch.float32) for each in (TRAIN, TEST))
    found = answer(train, test)
    for given, kept, name in ((train, TRAIN, "train"), (test, TEST, "test")):
        likely = "work on copies: x - mean makes a new tensor, x -= mean changes the given one"
        expect_equal(given, [[float(v) for v in row] for row in kept], f"{name} afterwards", likely)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise Wrong("train and test, a pair", f"a {type(found).__name__}", "return both")
    own, other = (as_array(each, name) for each, name in zip(found, ("train", "test"), strict=True))
    if own.shape == (3, 4) and other.shape == (5, 4):
        raise Wrong("train (5, 4), then test (3, 4)", "the other way round", "return train first")
    whole = "all four features stay, the one that never changes too"
    own, other = expect_shape(own, (5, 4), "train", whole), expect_shape(other, (3, 4), "test", whole)  # fmt: skip
    if not (np.isfinite(own).all() and np.isfinite(other).all()):
        likely = "the third feature never changes, so its spread is 0: divide it by something else"
        raise Wrong("finite numbers", "nan or inf", likely)
    mistakes = _mistaken(TRAIN, slice(None))
    expect_close(own, _nearest(own, TRAIN_RIGHT), "train", 1e-3, None, mistakes)
    if np.abs(other).max() > 1e5:
        likely = "the third feature is 5 in train and 6 once in test: a spread of almost 0 blows it up; divide by 1"
        raise Wrong("test of moderate size", f"{np.abs(other).max():.3g}", likely)
    other, mistakes = other[:, LIVELY], _mistaken(TEST, LIVELY)
    right = _nearest(other, TEST_RIGHT)
    expect_close(other, right, "test, features 0, 1 and 3", 1e-3, None, mistakes)


def _nearest(got, rights):
    """That of several right answers which lies nearest: the message then tells of the mistake, not of n - 1."""
    return min((np.array(each) for each in rights), key=lambda each: np.abs(got - each).max())


def _mistaken(rows, features):
    """What usual mistakes make of TRAIN or TEST, in some of its features, with what to say of them."""
    rows = np.array(rows, float)
    tried = [
        (0, 1, "neither mean nor spread is taken off; or those of a train that was scaled before")
    ]
    for n in (0, 1):  # n and n - 1 below the line
        alone = rows.mean(1, keepdims=True), rows.std(1, ddof=n, keepdims=True)
        tried += [(*alone, OWN), *_scales(np.array(TRAIN, float), n), *_leaks(n)]
    return [(((rows - mean) / width)[:, features], sentence) for mean, width, sentence in tried]


def _scales(train, n):
    """Wrong (mean, width) of what usual mistakes divide by, and their sentences."""
    mean, spread = train.mean(0), train.std(0, ddof=n)
    still = spread == 0
    width = spread + still
    return [
        (mean, np.maximum(width, 1), "a spread below 1 is divided by 1; only one of 0 is"),
        (mean, spread + 1, "nothing is added to the spread; only where it is 0, divide by 1"),
        (mean, width**2, "divided by the variance: the spread is its root, std"),
        (0, width, "take the mean of train off first"),
        (mean, 1, "the mean is gone, the spread is still there: divide by it"),
        (mean / width, 1, "a bracket is missing: (x - mean) / spread"),
        (train.min(0), np.ptp(train, 0) + still, "scaled by least and most; mean and spread are asked"),
        (train.mean(), train.std(ddof=n), OWN),
    ]  # fmt: skip


def _leaks(n):
    """As `_scales`, where the exam has a say in the mean, in the spread, or in both."""
    train, test = np.array(TRAIN, float), np.array(TEST, float)
    sets = train, test, np.concatenate([train, test])
    means = [each.mean(0) for each in sets]
    widths = [each.std(0, ddof=n) for each in sets]
    widths = [each + (each == 0) for each in widths]
    pairs = ((1, 1), (0, 1), (1, 0), (2, 2), (0, 2), (2, 0))
    return [(means[i], widths[j], LEAK) for i, j in pairs]


# B = 2 pictures of T = 3 pixels in V = 4 colours, and C = 5 classes
PIXEL_LOGITS = [
    [[-0.1, 0.5, -1.2, 0.1], [1, -0.4, 2.4, -2.4], [0.6, 0.9, 1.1, -0.1]],
    [[-0.5, 0.7, -0.1, -2.7], [0.7, 0.3, 0.5, 2], [0.6, 0, 1.2, -0.2]],
]
TOKENS = [[3, 1, 0], [2, 2, 1]]
CLASS_LOGITS = [[-1, -1.6, 1.1, 0.4, -0.6], [0.2, -1.8, 0.8, -2.2, -0.9]]
LABELS = [4, 1]
WEIGHT = 0.3
JOINT = 3.331299
PER_PIXEL = "a picture has T pixels and one label: take the mean over the pixels, not their sum"
JOINT_MISTAKES = [
    (4.636855, "the weight is missing: it multiplies the pixels' loss"),
    (2.696612, "the weight is on the label's loss: it belongs to the pixels' one"),
    (2.771775, "the pixels' loss is missing"),
    (0.559524, "the label's loss is missing"),
    (2.499766, "the label's loss keeps its full weight: weight · pixels + label"),
    (4.450346, PER_PIXEL),
    (8.900693, PER_PIXEL),
    (6.128918, PER_PIXEL),
    (3.232812, "do not move the targets: this model's logits t already guess token t"),
    (3.173649, "cross_entropy wants the colours in dimension 1: transpose(1, 2), or flatten(0, 1)"),
    (
        3.196299,
        "logits and tokens are flattened in different orders: both go picture by picture",
    ),
    (4.806048, "nats are asked, not bits"),
    (3.578998, "nats are asked, not bits"),
    (1.391064, "the weight is on both losses: it belongs to the pixels' one"),
    (1.665650, "the two losses add up; no mean of them is asked"),
    (2.562538, "the two losses add up; no mean of them is asked"),
    (6.103074, "the mean over the pictures is asked, not their sum"),
    (3.449427, "do not move the targets: this model's logits t already guess token t"),
    (2.319108, "softmax twice: F.cross_entropy takes the logits themselves"),
    (3.214540, "softmax twice: F.cross_entropy takes the logits themselves"),
    (2.202348, "softmax twice: F.cross_entropy takes the logits themselves"),
]


@exercise("joint_loss")
def joint_loss(answer):
    """answer(pixel_logits (B, T, V), tokens (B, T), class_logits (B, C), labels (B,), weight) → scalar, in nats."""
    pixels, classes = (
        torch.tensor(each, requires_grad=True) for each in (PIXEL_LOGITS, CLASS_LOGITS)
    )
    tokens, labels = torch.tensor(TOKENS), torch.tensor(LABELS)
    try:
        got = answer(pixels, tokens, classes, labels, WEIGHT)
    except NotImplementedError:  # a RuntimeError too
        raise
    except (RuntimeError, ValueError) as error:
        likely = "cross_entropy wants the colours in dimension 1: transpose(1, 2), or flatten(0, 1) on both"
        raise Wrong("one number", str(error).splitlines()[0], likely) from error
    if isinstance(got, (tuple, list)):
        raise Wrong("one number", f"{len(got)} of them", "add the two losses up")
    expect_shape(got, (), "the loss", "one number for the whole batch: take means")
    expect_close(got, JOINT, "the loss", 1e-4, mistakes=JOINT_MISTAKES)
    _expect_gradients(got, pixels, classes)
    alone = answer(pixels, tokens, classes, labels, 0.0)
    expect_close(alone, 2.771775, "the loss with weight 0", 1e-4, "use the weight that is given")


def _expect_gradients(loss, pixels, classes):
    likely = (
        "the loss must stay a tensor that knows where it came from: no item(), detach() or numpy()"
    )
    if not getattr(loss, "requires_grad", False):
        raise Wrong("a loss with a gradient", f"a {type(loss).__name__} without", likely)
    loss.backward()
    for given, name in ((pixels, "pixel_logits"), (classes, "class_logits")):
        if given.grad is None or not given.grad.any():
            raise Wrong(f"a gradient at {name}", "none", likely)


# Rows are true classes. Nothing was called 2, and nothing is a 3: two scores are 0 / 0. Of class 1 precision and recall
# are small, so that their sum is below 1
COUNTS = [[5, 1, 0, 2], [4, 2, 0, 1], [0, 3, 0, 1], [0, 0, 0, 0]]
PRECISION, RECALL, F1 = [5 / 9, 1 / 3, 0, 0], [5 / 8, 2 / 7, 0, 0], [10 / 17, 4 / 13, 0, 0]
SWAPPED = "rows and columns are exchanged: precision looks along the column of what was *called* c, recall along the row"
OF_ALL = "divided by all pictures: precision divides by the column's sum, recall by the row's"


@exercise("by_class")
def by_class(answer):
    """answer(counts (C, C), rows true, columns guessed) → precision, recall, F1, each (C,)."""
    counts = np.array(COUNTS)
    with np.errstate(all="ignore"):
        found = answer(counts)
    if counts.tolist() != COUNTS:
        raise Wrong("counts left as they were", "changed counts", "work on a copy")
    shape = np.shape(found) if hasattr(found, "shape") else None
    if shape == (4, 3) or not (isinstance(found, (tuple, list)) or shape == (3, 4)):
        raise Wrong("precision, recall and F1, three in a row", f"{_told(found)}", "return three")
    if len(found) != 3:
        raise Wrong("precision, recall and F1", f"{len(found)} things", "return three")
    names = ("precision", "recall", "F1")
    arrays = [
        expect_shape(each, (4,), name, f"{name} is one number for each of the 4 classes")
        for each, name in zip(found, names, strict=True)
    ]
    if any(np.isnan(each.astype(float)).any() for each in arrays):
        likely = "nothing was called 2 and nothing is a 3: where the sum is 0, let the score be 0"
        raise Wrong("numbers", "nan", likely)
    for got, right, other, name in (
        (arrays[0], PRECISION, RECALL, "precision"),
        (arrays[1], RECALL, PRECISION, "recall"),
    ):
        lies = [
            (other, SWAPPED),
            ([v / 19 for v in (5, 2, 0, 0)], OF_ALL),
            ([100 * v for v in right], "shares are asked, from 0 to 1, not per cent"),
            ([0, 0, 0, 0], "// cuts the fraction off: divide by /"),
        ]
        lies += [
            (each, "where the sum is 0 the score is 0, not 1")
            for each in ([*right[:3], 1], [*right[:2], 1, 0], [*right[:2], 1, 1])
        ]
        expect_close(got, right, name, 1e-4, mistakes=lies)
    halves = [(p + r) / 2 for p, r in zip(PRECISION, RECALL, strict=True)]
    bounded = [2 * p * r / max(p + r, 1) for p, r in zip(PRECISION, RECALL, strict=True)]
    roots = [(p * r) ** 0.5 for p, r in zip(PRECISION, RECALL, strict=True)]
    lies = [
        (halves, "this is their ordinary mean; the harmonic one is 2 p r / (p + r)"),
        (roots, "this is the root of their product; the harmonic mean is 2 p r / (p + r)"),
        ([each / 2 for each in F1], "the 2 is missing: 2 p r / (p + r)"),
        (
            bounded,
            "p + r may be a fraction, which a bound of 1 changes: only where it is 0, divide by 1",
        ),
    ]
    expect_close(arrays[2], F1, "F1", 1e-4, mistakes=lies)


def _told(found):
    return f"shape {found.shape}" if hasattr(found, "shape") else f"a {type(found).__name__}"


# What a classifier says of five pictures; twice it is sure, and the shares then hold zeros
TOLD = [[0.7, 0.2, 0.1], [0, 1, 0], [0.25, 0.25, 0.5], [0.1, 0.8, 0.1], [0, 0, 1]]
SCORE = 1.746730
SCORE_MISTAKES = [
    (0.557745, "this is the mean KL itself: take exp of it"),
    (16.260319, "the mean over the pictures is asked, not their sum"),
    (1.861263, "exp comes last: the mean of the KLs first"),
    (2.235929, "log2 inside and exp outside do not fit: take the natural log"),
    (1.642327, "only how unsure it is of each picture: p(y), the mean of all rows, is missing"),
    (2.868702, "only how varied the pictures are: the rows themselves are missing"),
    (1.826676, "compared with an even share for each class: p(y) is the mean of the rows"),
    (1.204320, "the classes of a picture are added up; only over pictures comes a mean"),
    (1.471969, "a power of 2 and the natural log do not fit: take exp"),
    (0.349346, "p(y) is the mean of the rows, not their sum"),
    (1.066628, "softmax twice: these are probabilities already"),
    (0.572498, "the sign: KL is the sum of p(y | x) · log(p(y | x) / p(y))"),
]


@exercise("classifier_score")
def classifier_score(answer):
    """answer(told (n, C), what a classifier says of n pictures) → exp of the mean KL(p(y | x) ‖ p(y))."""
    got = answer(torch.tensor(TOLD))
    array = expect_shape(got, (), "the score", "one number for all pictures")
    if not np.isfinite(float(array)):
        likely = "0 · log 0 counts as 0: torch.special.xlogy, or a tiny number inside the log"
        raise Wrong("a number", f"{float(array)}", likely)
    expect_close(array, SCORE, "the score", 1e-3, mistakes=SCORE_MISTAKES)
    same = answer(torch.tensor(TOLD[:1] * 4))
    expect_close(same, 1.0, "the score of one picture four times", 1e-3)
    sure = answer(torch.eye(6))
    expect_close(
        sure, 6.0, "the score of six sure ones, each of its own class", 1e-2, "use the sizes given"
    )
