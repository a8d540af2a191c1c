"""The check of assignment a2 about one step of additive attention."""

import numpy as np
import torch

from coursekit.checks.a1_training import numbers
from coursekit.checks.core import Wrong, exercise, expect_close, expect_shape

# --- 8 one step of additive attention -----------------------------------------------------------
SIZES = dict(B=3, N=5, D=4, H=6, A=7)
REAL = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 1, 1, 0]]
WEIGHTS = [
    [0.624530, 0.006533, 0.318001, 0.029506, 0.021431],
    [0.307205, 0.241425, 0.451369, 0.0, 0.0],
    [0.279429, 0.0, 0.332844, 0.387726, 0.0],
]
CONTEXT = [
    [0.037917, 1.308112, -0.249238, 0.581044],
    [-1.169053, 0.709277, 1.114602, -0.787605],
    [1.239052, -1.244198, 1.131422, -0.898507],
]
# The weights of the first picture, as they come out with a mistake
FIRST_LIKELY = [
    ([0.7688, 0.0000, 0.1872, 0.0439, 0.0001], "the tanh is missing"),
    ([0.4027, 0.0704, 0.2801, 0.1473, 0.0994], "a sigmoid stands where the tanh belongs"),
    ([0.3319, 0.0136, 0.3402, 0.2903, 0.0240], "a ReLU stands where the tanh belongs"),
    ([0.7508, 0.0082, 0.1916, 0.0152, 0.0342], "the bias is not added"),
    ([0.4348, 0.0021, 0.4693, 0.0885, 0.0053], "W_h h is not added"),
    ([0.2758, 0.0024, 0.6568, 0.0547, 0.0104], "it is the tanh of the sum, not a sum of two"),
    ([0.3010, 0.0414, 0.3010, 0.3010, 0.0556], "v comes after the tanh"),
    ([0.1693, 0.1420, 0.0005, 0.0027, 0.6855], "v is not used"),
    ([0.3924, 0.0700, 0.3041, 0.1238, 0.1097], "divided by the root of A, as dot products are; additive attention is not"),
    ([0.0067, 0.6422, 0.0132, 0.1422, 0.1958], "the sign of the energies is turned round"),
    ([0.0015, 0.2247, 0.0000, 0.0000, 0.7737], "multiplied; the energy adds W_m a and W_h h"),
]  # fmt: skip
NAMES = ["memory", "h", "weight_memory", "weight_hidden", "bias", "v"]


def parts(B, N, D, H, A, key):
    """memory (B, N, D), h (B, H), weight_memory (A, D), weight_hidden (A, H), bias (A,), v (A,)."""
    shapes = [(B, N, D), (B, H), (A, D), (A, H), (A,), (A,)]
    scales = [1.5, 1.5, 1.0, 1.0, 1.0, 2.0]
    return [
        numbers(*s, key=key + i, scale=c)
        for i, (s, c) in enumerate(zip(shapes, scales, strict=True))
    ]


@exercise("attend")
def attend(answer, sizes=SIZES, key=6.0, real=REAL, weights=WEIGHTS, context=CONTEXT):
    """answer(memory, h, weight_memory, weight_hidden, bias, v, real) -> context (B, D), weights (B, N)."""
    given, real = parts(**sizes, key=key), torch.tensor(real, dtype=torch.bool)
    B, N, D = given[0].shape
    before = [part.clone() for part in given]
    got = answer(*given, real.clone())
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        told = "None" if got is None else f"a {type(got).__name__}"
        raise Wrong("two results, context and weights", told, "return context, weights")
    for name, now, then in zip(NAMES, given, before, strict=True):
        if not torch.equal(now, then):
            raise Wrong(
                f"the given {name} is left as it was",
                f"{name} was changed",
                "no operation in place",
            )
    if np.shape(got[0]) == (B, N) and np.shape(got[1]) == (B, D):
        raise Wrong(
            "the context first, then the weights",
            "the weights first",
            "the two results are exchanged",
        )
    why = _axis_left(got[1], (B, N)) or "one weight for each of the N places"
    looked = expect_shape(got[1], (B, N), "the weights", why)
    _is_a_share(looked, real, weights)
    near = [why for first, why in FIRST_LIKELY if _near(looked[0], first)]
    expect_close(looked, weights, "the weights", 1e-4, near[0] if near else None)
    _right_context(got[0], context, looked, before[0])
    _gradients(answer, before, real)


def _near(got, expected):
    return np.shape(got) == np.shape(expected) and bool(np.allclose(got, expected, atol=2e-4))


def _axis_left(got, shape):
    """Why the shape may be wrong, if it is right but for axes of one."""
    sizes = [size for size in np.shape(got) if size != 1]
    if sizes == [size for size in shape if size != 1]:
        return "an axis of 1 is left, as bmm leaves it: take it away with squeeze"
    return None


def _is_a_share(weights, real, truth):
    """Weights are shares of 1 among the real places of each picture."""
    sums, real = weights.sum(-1), real.numpy()
    if not np.isfinite(weights).all() or np.abs(sums - 1).max() > 1e-4:
        why = _why_no_share(weights, real, truth)
        if not np.isfinite(weights).all():
            raise Wrong("weights without nan or inf", "nan or inf", why)
        got = f"{sums[np.abs(sums - 1).argmax()]:.4f}"
        raise Wrong("weights of each picture that sum to 1", got, why)
    outside = np.where(real, 0, weights)
    if np.abs(outside).max() > 1e-6:
        why = (
            "real is True where a place exists: give the others the energy -inf before the softmax"
        )
        if np.abs(np.where(real, weights, 0)[~real.all(1)]).max() < 1e-6:
            why = "the mask is turned round: real is True where a place exists"
        raise Wrong("weight 0 where real is False", f"{np.abs(outside).max():.4f}", why)


def _why_no_share(weights, real, truth):
    """Why the weights of a picture are no shares of 1."""
    energies = np.where(real, weights, -np.inf)
    if np.isfinite(weights[real]).all() and _near(_softmax(energies), truth):
        return "these are the energies: the softmax over the N places is missing"
    broken = np.isnan(weights).any(1)
    if broken.any() and (broken == real.all(1)).all():
        return "the mask is turned round: real is True where a place exists, and -inf belongs to the others"
    if broken.any():
        return "0 / 0, or a softmax over places that are all -inf"
    if len(weights) > 1 and np.abs(weights.sum(0) - 1).max() < 1e-4:
        return (
            "the weights of each place sum to 1 over the batch: the softmax goes over the N places"
        )
    return "softmax over the N places, after the places that are not real got -inf"


def _softmax(energies):
    shares = np.exp(energies - energies.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def _right_context(got, context, weights, memory):
    B, N, D = memory.shape
    why = "a sum over the N places leaves one vector (D,) for each picture"
    if np.ndim(got) == 2 and np.shape(got)[0] == B and np.shape(got)[1] not in (N, D):
        why = "the sum is one of the places a_i themselves, not of W_m a_i"
    array = expect_shape(got, (B, D), "the context", _axis_left(got, (B, D)) or why)
    memory = memory.numpy()
    mistakes = [
        (memory.mean(1), "the mean of the memory: weigh every place"),
        (
            (weights[..., None] * memory).mean(1),
            "the mean over the places; the weights sum to 1 already, so take the sum",
        ),
        (
            memory[np.arange(B), weights.argmax(1)],
            "the place of the largest weight alone; ask for the weighted sum",
        ),
        (weights.mean(0) @ memory, "one set of weights for the whole batch"),
    ]
    expect_close(
        array,
        context,
        "the context",
        1e-4,
        "each place of the memory times its weight, added up",
        mistakes,
    )


def _gradients(answer, given, real):
    wanting = [part.clone().requires_grad_() for part in given]
    context, weights = answer(*wanting, real.clone())
    for name, result in (("context", context), ("weights", weights)):
        if not getattr(result, "requires_grad", False):
            why = "item(), detach(), numpy() and new tensors made of numbers cut the gradient off"
            raise Wrong(f"{name} with a gradient", f"a {type(result).__name__} without one", why)
    B, D = context.shape
    (
        (context * numbers(B, D, key=1.0)).sum()
        + (weights * numbers(*weights.shape, key=2.0)).sum()
    ).backward()
    for name, part in zip(NAMES, wanting, strict=True):
        if part.grad is None or not part.grad.abs().max() > 0:
            why = "something cuts it off: detach(), numpy(), torch.tensor(…), or an argument that is not used"
            raise Wrong(f"a gradient at {name}", "none", why)
        if not part.grad.isfinite().all():
            raise Wrong(
                f"a gradient without nan at {name}",
                "nan or inf",
                "-inf before the softmax, not 0 * inf after it",
            )
    _slopes(answer, given, real)
    if _leaks(wanting[0].grad, real):
        raise Wrong(
            "no gradient at places that are not real",
            "a gradient there",
            "their energy is -inf before the softmax",
        )


def _slopes(answer, given, real, step=1e-2):
    """The gradient of the context alone is its slope, measured by small steps of one argument after the other."""
    for k, name in enumerate(NAMES):
        along = numbers(*given[k].shape, key=3.0 + k)

        def total(part, k=k):
            context, _ = answer(*given[:k], part, *given[k + 1 :], real.clone())
            return (context * numbers(*context.shape, key=1.0)).sum()

        part = given[k].clone().requires_grad_()
        total(part).backward()
        found = 0.0 if part.grad is None else float((part.grad * along).sum())
        slope = float(total(given[k] + step * along) - total(given[k] - step * along)) / (2 * step)
        if abs(found - slope) > 0.02 + 0.05 * abs(slope):
            why = "the context is made with numbers: item(), detach() or torch.tensor(…) cut off what the weights would tell"
            raise Wrong(f"a gradient from the context to {name} of {slope:.3f} along a step", f"{found:.3f}", why)  # fmt: skip


def _leaks(grad, real):
    outside = grad[~real]
    return bool(outside.numel() and outside.abs().max() > 1e-6)
