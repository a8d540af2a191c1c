"""The checks of lesson 01: bigram probabilities, the masked loss, an RNN over a padded batch."""

import re

import numpy as np
import torch

from coursekit.checks.core import Wrong, as_array, exercise, expect_close, expect_shape

# Three captions over six tokens. The pair 4, 5 occurs twice in one caption, 5, 5 begins and ends
# with the same token, and token 3 is followed by nothing.
CAPTIONS = [[1, 4, 5, 4, 5, 2], [1, 5, 5, 2], [1, 4, 2]]
COUNTS = np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 2, 1],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 2],
        [0, 0, 2, 0, 1, 1],
    ]
)
ONE_EACH = COUNTS.clip(max=1)  # each pair counted once, however often it occurs
END_TO_BEGIN = np.array([[0] * 6, [0] * 6, [0, 1, 0, 0, 0, 0], [0] * 6, [0] * 6, [0] * 6])
JOINED = COUNTS + 2 * END_TO_BEGIN
WRAPPED = COUNTS + 3 * END_TO_BEGIN
NO_ENDS = COUNTS * np.array([1, 1, 0, 1, 1, 1])  # without the pairs that end in <eos>, 2
# With k = 0.5, over 12
PROBABILITIES = [
    [1 / 6] * 6,
    [1 / 12, 1 / 12, 1 / 12, 1 / 12, 5 / 12, 3 / 12],
    [1 / 6] * 6,
    [1 / 6] * 6,
    [1 / 12, 1 / 12, 3 / 12, 1 / 12, 1 / 12, 5 / 12],
    [1 / 14, 1 / 14, 5 / 14, 1 / 14, 3 / 14, 3 / 14],
]


@exercise("bigram_probabilities")
def bigram_probabilities(answer):
    """answer(captions: list of token lists, vocab_size V, k) -> (V, V): row the word before."""
    got = expect_shape(answer([list(c) for c in CAPTIONS], 6, 0.5), (6, 6), "the probabilities")
    got = got.astype(float)
    sums = COUNTS.sum(1, keepdims=True)
    with np.errstate(all="ignore"):
        mistakes = [
            (np.transpose(PROBABILITIES), "rows and columns are exchanged: [before, next]"),
            (COUNTS, "these are counts: add k, then divide each row by its sum"),
            (COUNTS + 0.5, "not divided yet: each row must sum to 1"),
            (_rows(COUNTS + 0.5, COUNTS.sum() + 18), "divided by the sum of the table, not row's"),
            (_rows(COUNTS + 0.5, sums), "k is added above, not below: divide by the sum after k"),
            (_rows(COUNTS + 0.5, sums + 0.5), "k is added V times to a row: divide by sum + k * V"),
            (np.nan_to_num(COUNTS / sums), "k is not added: what was never seen has probability 0"),
            (_rows(COUNTS + 1.0), "1 is added instead of k"),
            (_rows(ONE_EACH + 0.5), "a pair that comes twice counts once: table[a, b] += 1 on lists "
             "of indices forgets repeats; loop, or use bincount"),
            (_rows(WRAPPED + 0.5), "caption[i - 1] at i = 0 is the last token: begin at i = 1"),
            (_rows(NO_ENDS + 0.5), "the last pair is missing: n tokens have n - 1 pairs"),
            (_rows(COUNTS + 0.5 * (COUNTS == 0)), "k is added to the zeros only: add it everywhere"),
            (_rows(COUNTS / sums + 0.5), "k is added to probabilities: add it to counts"),
            (_rows(np.exp(COUNTS + 0.5)), "this is softmax: divide each row by its sum"),
            (_rows(JOINED + 0.5), "captions are joined: the end of one is no word before the next"),
            ((COUNTS + 0.5) / (COUNTS + 0.5).sum(0), "each column sums to 1; each row should"),
            (_rows(COUNTS + 0.5, (COUNTS + 0.5).sum(1)), "row sums meet the columns: sum(1, keepdim=True)"),
        ]  # fmt: skip
    expect_close(np.nan_to_num(got), PROBABILITIES, "probabilities", 1e-5, mistakes=mistakes)


def _rows(table, below=None):
    below = table.sum(1, keepdims=True) if below is None else below
    return np.nan_to_num(table / below)


# Three captions of four, two and two real targets; <eos> is 2. All sizes differ: B 3, T 4, V 5.
LOGITS = [
    [[0, 0, 2, 3, -3], [-2, 2, 3, -2, -1], [3, -1, -2, 2, -2], [-1, 1, 0, -3, -3]],
    [[3, 2, 2, 0, 2], [-1, 0, 2, -3, -1], [-3, 0, 3, -3, -1], [-1, 3, -2, 0, -2]],
    [[-3, 2, -3, -2, 0], [0, -3, 3, 2, 3], [-3, 2, -1, 0, 3], [-2, 2, -2, -1, 3]],
]
TARGETS = [[3, 1, 4, 2], [1, 2, 0, 0], [4, 2, 0, 0]]
LOSS = 1.688906
LOSS_MISTAKES = [
    (2.946666, "padding is counted: leave out the targets that are pad_id"),
    (3.995856, "the targets are moved once more: they already are one step ahead"),
    (5.462193, "only padding is counted: the mask must be True where the target is real"),
    (
        -0.336528,
        "softmax without a logarithm: nll_loss wants log_softmax, cross_entropy wants logits",
    ),
    (
        1.125937,
        "padding costs nothing but is still divided by: divide by the number of real tokens",
    ),
    (1.662416, "logits set to 0 at padding still cost ln V: leave these places out"),
    (
        1.544426,
        "a mean of means: short captions weigh too much; average over all real tokens at once",
    ),
    (13.511245, "this is the sum: divide by the number of real tokens"),
    (4.503748, "divided by the number of captions: divide by the number of real tokens"),
    (2.436576, "this is in bits; nats use the natural logarithm"),
    (2.195859, "<eos> is left out: the model must learn to stop, so it is a real target"),
    (1.509646, "softmax is taken twice: cross_entropy wants logits"),
    (5.413553, "this is the perplexity; its logarithm is the loss"),
    (1.089073, "the logarithm of a mean: take the logarithm of each word first, then the mean"),
    (-1.688906, "the sign: a loss is minus the log-probability"),
]
OTHER_PAD = 3
OTHER_LOGITS = [
    [[-1, 0, -1, -3, -1], [1, 0, 2, -1, 1], [2, 3, -1, -3, 2]],
    [[0, 3, 0, -1, -3], [0, 1, 2, 2, -2], [1, 2, -2, -1, 2]],
]
OTHER_TARGETS = [[0, 2, 3], [4, 0, 2]]
OTHER_LOSS = 3.269744


LOSS_SHAPES = "cross_entropy wants logits (n, V) and targets (n,): pick the real ones of both first"


def _run(answer, given, expected, likely):
    """The student's result; an error in a tensor's shape is a wrong answer with a likely cause."""
    try:
        return answer(*given)
    except NotImplementedError:  # a RuntimeError too
        raise
    except (RuntimeError, IndexError) as error:
        if not re.search(r"size|shape|dimension|bounds", str(error)):
            raise
        raise Wrong(expected, str(error).splitlines()[0], likely) from error


@exercise("masked_loss")
def masked_loss(answer):
    """answer(logits (B, T, V), targets (B, T), pad_id) -> mean nats a real token, a scalar."""
    logits = torch.tensor(LOGITS, dtype=torch.float32, requires_grad=True)
    loss = _run(answer, (logits, torch.tensor(TARGETS), 0), "the loss, a number", LOSS_SHAPES)
    got = expect_shape(loss, (), "the loss", "one number: the mean over all real tokens")
    expect_close(got, LOSS, "the loss", 1e-4, mistakes=LOSS_MISTAKES)
    logits_2 = torch.tensor(OTHER_LOGITS, dtype=torch.float32)
    got = answer(logits_2, torch.tensor(OTHER_TARGETS), OTHER_PAD)
    why = "compare with pad_id, not with 0"
    expect_close(got, OTHER_LOSS, f"the loss where pad_id = {OTHER_PAD}", 1e-4, why)
    _survives_large_logits(answer)
    _can_be_trained(loss, logits)


def _survives_large_logits(answer):
    large = torch.tensor([[[300.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    why = "softmax rounds to 0 and its logarithm is infinite: use log_softmax or cross_entropy"
    expect_close(answer(large, torch.tensor([[1, 0]]), 0), 300.0, "a loss of 300", 1e-2, why)


def _can_be_trained(loss, logits):
    if not getattr(loss, "requires_grad", False):
        raise Wrong(
            "a tensor with a gradient",
            f"a {type(loss).__name__} without one",
            "item(), numpy(), detach() or no_grad() cut the loss off from the model",
        )
    loss.backward()
    if logits.grad[torch.tensor(TARGETS) == 0].abs().max() > 0:
        raise Wrong("no gradient at padding", "a gradient there", "padding must not teach anything")


# B 3, T 5, E 2, H 4; lengths below. Values are multiples of a quarter.
INPUTS = [
    [[0.0, 0.0], [0.5, 0.0], [1.0, 0.5], [-1.0, -1.0], [0.0, 1.0]],
    [[-1.0, 0.5], [0.5, 0.5], [1.0, -1.0], [0.0, 1.0], [-0.5, -1.0]],
    [[0.0, -1.0], [-0.5, 1.0], [0.5, 1.0], [1.0, 1.0], [-0.5, 0.0]],
]
LENGTHS = [5, 2, 3]
WEIGHT_IH = [[0.25, -0.5], [0.75, -0.75], [0.5, 0.25], [-0.5, 0.5]]
WEIGHT_HH = [
    [-0.25, 0.5, 0.75, -0.5],
    [0.0, -0.5, 0.25, 0.25],
    [0.5, 0.5, 0.75, 0.75],
    [0.75, -0.5, -0.75, 0.0],
]
BIAS = [-0.25, 0.5, 0.25, 0.0]
STATES = [
    [-0.406715, -0.40522, 0.730986, 0.645851],
    [-0.71841, 0.718723, 0.391206, -0.105404],
    [-0.709501, 0.640578, 0.701587, 0.138556],
]
AT_THE_END = [
    [-0.406715, -0.40522, 0.730986, 0.645851],
    [0.179836, 0.899607, 0.385643, -0.208934],
    [0.683277, -0.050435, 0.404215, -0.297786],
]
ONE_BEFORE = [
    [0.789355, 0.287899, 0.239891, -0.383606],
    [-0.635149, -0.5546, -0.124353, 0.635149],
    [-0.273857, -0.822556, 0.42191, 0.469592],
]
ONE_AFTER = [
    [-0.406715, -0.40522, 0.730986, 0.645851],
    [0.882082, 0.936903, 0.613496, -0.975336],
    [0.425654, 0.371142, 0.921011, -0.880639],
]
NO_TANH = [
    [-0.240234, -0.396484, 1.501953, 0.974609],
    [-0.96875, 0.96875, 0.40625, -0.15625],
    [-0.984375, 1.046875, 0.734375, 0.421875],
]
SIGMOID = [
    [0.44183, 0.430331, 0.87772, 0.535436],
    [0.433182, 0.64855, 0.860651, 0.429155],
    [0.438835, 0.580969, 0.897849, 0.441859],
]
NOT_TRANSPOSED = [
    [-0.288231, -0.408946, 0.61293, 0.476223],
    [0.195426, 0.079804, -0.507709, 0.085451],
    [0.448397, 0.033541, 0.011247, 0.799416],
]
NO_BIAS = [
    [-0.644118, -0.701188, 0.188149, 0.860026],
    [-0.761789, 0.441304, -0.053066, 0.31567],
    [-0.802829, 0.271259, 0.406305, 0.404776],
]
NOT_CARRIED = [
    [-0.635149, -0.244919, 0.462117, 0.462117],
    [-0.358357, 0.462117, 0.5546, 0.0],
    [-0.5546, 0.124353, 0.635149, 0.244919],
]
ZEROED = [STATES[0], [0.0] * 4, [0.0] * 4]
ALL_STEPS = "these are the states of all steps: pick the last real one of each caption"
STATE_SHAPES = {
    (3, 5, 4): ALL_STEPS,
    (5, 3, 4): ALL_STEPS,
    (
        3,
        3,
        4,
    ): "each caption's state at every length: states[torch.arange(B), lengths - 1] pairs them",
}
STATE_MISTAKES = [
    (ZEROED, "the state becomes 0 after a caption's end: keep the old one, with torch.where"),
    (
        AT_THE_END,
        "the state goes on through padding: keep the one of each caption's last real step",
    ),
    (ONE_BEFORE, "one step too early: the last real step of a caption is number length - 1"),
    (ONE_AFTER, "one step too late: steps count from 0, so the last real one is length - 1"),
    (NO_TANH, "tanh is missing"),
    (SIGMOID, "sigmoid instead of tanh"),
    (NOT_TRANSPOSED, "weight_hh is not transposed: as it is square, nothing complains"),
    (NO_BIAS, "the bias is missing"),
    (NOT_CARRIED, "the state is not carried on: each step must start from the step before"),
]


@exercise("last_states")
def last_states(answer):
    """answer(inputs (B, T, E), lengths (B,), weight_ih (H, E), weight_hh (H, H), bias (H,))
    -> (B, H): the state after the last real input of each caption."""
    values = (INPUTS, LENGTHS, WEIGHT_IH, WEIGHT_HH, BIAS)
    given = [torch.tensor(value) for value in values]
    got = as_array(_run_last_states(answer, given), "the states")
    if got.shape in STATE_SHAPES:
        raise Wrong("the states, (3, 4)", f"shape {got.shape}", STATE_SHAPES[got.shape])
    expect_close(got, STATES, "the states", 1e-4, mistakes=STATE_MISTAKES)
    # Padding may hold anything: other numbers there must not matter.
    given = [torch.tensor(value) for value in values]
    given[0][1, 2:], given[0][2, 3:] = 9.0, -9.0
    why = "what stands in the padding changes the result"
    expect_close(answer(*given), STATES, "the states with other padding", 1e-4, why)


def _run_last_states(answer, given):
    likely = "weights are (out, in): multiply by weight.T; beside (B, H) a mask needs [:, None]"
    try:
        return _run(answer, given, "the states, (3, 4)", likely)
    except Wrong as wrong:
        if "out of bounds" in wrong.got:
            wrong.likely = "steps count from 0: the last real step is number length - 1"
        if "out of bounds for dimension 1 with size 3" in wrong.got:
            wrong.likely = "dimension 1 holds captions here: stack the states along 1, to (B, T, H)"
        raise
