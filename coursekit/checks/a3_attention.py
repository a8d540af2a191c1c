"""The checks of assignment a3 about attention: the causal mask, and several heads under a mask."""

import numpy as np
import torch

from coursekit.checks.a1_training import numbers
from coursekit.checks.core import Wrong, as_array, exercise, expect_close, expect_shape

# --- 2 the causal mask --------------------------------------------------------------------------
MASKS = [
    (4, 0, [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]),
    (2, 3, [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]),
    (4, 2, [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]]),
    (1, 5, [[1, 1, 1, 1, 1, 1]]),
    (1, 0, [[1]]),
]


@exercise("causal_mask")
def mask(answer, masks=MASKS):
    """answer(T, S) -> bool (T, S + T), True where a new place may look."""
    for T, S, rows in masks:
        expected, name = np.array(rows, dtype=bool), f"the mask of T = {T} new places, S = {S} past"
        got = as_array(answer(T, S), name)
        if got.shape != expected.shape:
            raise Wrong(
                f"{name} of shape {expected.shape}", f"shape {got.shape}", _why_shape(got, T, S)
            )
        if got.dtype != bool:
            why = "a table of yes and no, dtype=torch.bool; attention would add numbers to its energies"
            raise Wrong(f"{name} of True and False", f"{got.ravel()[0]}, {got.dtype}", why)
        if (got != expected).any():
            t, c = (int(i) for i in np.argwhere(got != expected)[0])
            told = f"{bool(expected[t, c])} in row {t}, column {c}, of {name}"
            raise Wrong(told, f"{bool(got[t, c])}", _why_mask(got, expected, T, S))


def _why_shape(got, T, S):
    if got.shape == (T, T):
        return "the S columns of the past are missing"
    if got.shape == (S + T, S + T):
        return "one row for each new place: what is past asks nothing any more"
    if got.shape == (S + T, T):
        return "rows are the new places, columns all that they may look at"
    if got.ndim > 2:
        return "two axes: one table for all pictures and heads"
    return None


def _why_mask(got, expected, T, S):
    new = got[:, S:]
    alike = {
        "nothing is masked: no place may look at later ones": np.ones((T, S + T)),
        "it is turned round: True where a place may look": ~expected,
        "each new place may look at itself, too": np.tril(np.ones((T, S + T)), S - 1),
        "the diagonal begins S columns further right: all of the past is seen": np.tril(
            np.ones((T, S + T))
        ),
        "one place too many: t may not look at t + 1": np.tril(np.ones((T, S + T)), S + 1),
    }
    for why, wrong in alike.items():
        if (got == wrong.astype(bool)).all() and (S or "further right" not in why):
            return why
    if S and not got[:, :S].all():
        return "all of the past is seen by every new place"
    if T > 1 and (new == expected[:, S:].T).all():
        return "rows and columns are exchanged: row t looks, at columns up to t"
    return None


# --- 3 attention --------------------------------------------------------------------------------
SIZES = dict(B=2, T=4, S=5, heads=3, d=2)
# Causal after a past of one place, and query 2 may not look at place 1 either
MASK = [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [1, 1, 1, 1, 1]]
OUT = [
    [[-0.4136, 0.5415, 0.1113, 0.8234, -1.1094, -0.8978],
     [-0.4603, 0.2832, -0.0990, 0.0969, -0.5055, -0.5708],
     [-0.9036, -0.5486, -0.5775, -0.1484, -0.3441, 0.4743],
     [0.9042, 0.3579, -0.4155, 0.4536, -0.4476, -0.3964]],
    [[1.1595, -0.1634, -1.0346, 0.8341, 0.0416, -0.8877],
     [-0.4232, 1.0679, -1.2362, 1.0215, -0.0016, -0.8904],
     [-0.5774, 1.1662, -1.3994, 1.2077, -0.9516, 0.5647],
     [0.0712, 0.1303, 0.2419, -0.2426, 0.2466, -0.2753]],
]  # fmt: skip
# Query 3 of the first picture, which sees all places, as it comes out with a mistake
AT_3 = [
    ([1.0668, 0.4439, -0.4325, 0.6196, -0.5038, -0.5674],
     "the division by the root of d is missing"),
    ([0.6486, 0.2121, -0.3776, 0.3205, -0.3510, -0.2081],
     "divided by the root of E; each head has d = E / heads numbers"),
    ([0.7375, 0.2630, -0.3910, 0.3540, -0.3849, -0.2631],
     "divided by d; by its root is asked for"),
    ([1.1952, 0.4909, -0.4287, 0.8353, -0.5374, -0.7246],
     "multiplied by the root of d; divide"),
    ([0.8633, 0.7924, -0.1262, -0.4568, -0.3996, 0.1674],
     "one head alone: cut E into heads, each has shares of its own"),
    ([0.6662, 0.6487, -0.1577, -0.2575, -0.4223, 0.0602],
     "one head alone: cut E into heads, each has shares of its own"),
    ([0.8053, 0.3018, -0.4012, 0.3879, -0.4106, -0.3123],
     "divided by the root of heads; each head has d = E / heads numbers"),
    ([0.1488, 0.6764, -0.1320, 0.3667, -0.2825, -0.3908],
     "a head takes every heads-th number here; head 0 has the first d, head 1 the next"),
    ([-0.5055, -0.5708, -0.3441, 0.4743, -0.4476, -0.3964],
     "the heads are mixed up at the end: transpose back before they are joined"),
    ([-0.1175, 0.5663, -0.6217, -0.5229, -0.4357, 0.5589],
     "(B, T, E) is reshaped to heads in one go: (B, T, heads, d) first, then transpose"),
    ([1.1759, 0.7284, 0.4954, -0.4109, -1.2827, -0.7987],
     "the keys are summed; sum the values"),
]  # fmt: skip


def parts(B, T, S, heads, d, key):
    """q (B, T, E), k (B, S, E), v (B, S, E)."""
    return [numbers(B, n, heads * d, key=key + i, scale=1.5) for i, n in enumerate((T, S, S))]


@exercise("attention")
def attention(answer, sizes=SIZES, key=2.0, mask=MASK, expected=OUT):
    """answer(q (B, T, E), k (B, S, E), v (B, S, E), mask (T, S), heads) -> (B, T, E)."""
    given, seen = parts(**sizes, key=key), torch.tensor(mask, dtype=torch.bool)
    before, heads = [part.clone() for part in given], sizes["heads"]
    lent = seen.clone()
    got = answer(*given, lent, heads)
    for name, now, then in zip(
        ("q", "k", "v", "mask"), [*given, lent], [*before, seen], strict=True
    ):
        if not torch.equal(now, then):
            raise Wrong(
                f"the given {name} is left as it was", "it was changed", "no operation in place"
            )
    shape = tuple(given[0].shape)
    why = "the heads side by side again: (B, heads, T, d) → (B, T, heads, d) → (B, T, E)"
    got = expect_shape(got, shape, "the result", why)
    if not np.isfinite(got).all():
        raise Wrong(
            "a result without nan or inf", "nan or inf", _why_nan(answer, before, seen, heads)
        )
    near = [
        w
        for row, w in AT_3
        if np.shape(row) == got[0, -1].shape and np.allclose(got[0, -1], row, atol=2e-4)
    ]
    if not near:
        _shares(answer, before, seen, heads)
        _looks(answer, before, seen, heads)
    expect_close(got, expected, "the result", 1e-4, near[0] if near else None)
    _slopes(answer, before, seen, heads)
    _hides(answer, before, seen, heads)


def _why_nan(answer, given, mask, heads):
    """Where nothing is forbidden, only a mask that is turned round still leaves a row without any place."""
    q, k, v = (part.clone() for part in given)
    allowed = answer(q, k, v, torch.ones_like(mask), heads)
    if np.isfinite(as_array(allowed, "the result")).all():
        return "-inf everywhere along the axis of the softmax: is it the last one, that of the S places?"
    return "a row without any place gives 0 / 0: is the mask turned round, or another than the one given?"


def _shares(answer, given, mask, heads):
    """Where all values are 1, so is every result: shares sum to 1."""
    q, k, v = (part.clone() for part in given)
    ones = as_array(answer(q, k, torch.ones_like(v), mask.clone(), heads), "the result")
    if np.abs(ones - 1).max() > 1e-4:
        why = "softmax over the S places, the last axis, after -inf where the mask is False"
        twice = as_array(answer(q, k, torch.full_like(v, 2.0), mask.clone(), heads), "the result")
        if np.allclose(ones, heads):
            why = "the heads are added up; put them side by side"
        elif np.allclose(ones, twice):
            why = "the result does not depend on v: what is summed are the values"
        raise Wrong("a result of 1 where all values are 1, for shares sum to 1",
                    f"{ones.ravel()[np.abs(ones - 1).argmax()]:.4f}", why)  # fmt: skip


def _looks(answer, given, mask, heads):
    """Which places a query depends on, by the gradient; sizes of numbers do not matter."""
    T, S = mask.shape
    q, k, v = (part.clone().requires_grad_() for part in given)
    result = answer(q, k, v, mask.clone(), heads)
    if not getattr(result, "requires_grad", False):
        why = "detach(), numpy(), item() and new tensors made of numbers cut the gradient off"
        raise Wrong("a result with a gradient", f"a {type(result).__name__} without one", why)
    seen = np.zeros((T, S), dtype=bool)
    for t in range(T):
        (slope,) = torch.autograd.grad(
            result[:, t].sum(), [v], retain_graph=True, allow_unused=True
        )
        seen[t] = False if slope is None else (slope.abs().amax((0, 2)) > 1e-7).numpy()
    wanted = mask.numpy()
    if (seen == wanted).all():
        return
    t, s = (int(i) for i in np.argwhere(seen != wanted)[0])
    why = None
    some = ~wanted.all(1)  # where all is forbidden, what comes out is any mean
    if some.any() and (seen[some] == ~wanted[some]).all():
        why = "the mask is turned round: it is True where a query may look"
    elif seen.all():
        why = "no mask, or one that lets something through (-inf before the softmax); or heads and places are mixed"
    elif (seen == np.tril(np.ones((T, S)))).all():
        why = "a causal mask of your own, or is_causal=True; use the mask that is given"
    elif T > 1 and (seen == seen[0]).all():
        why = "one row of the mask for all queries; row t belongs to query t"
    told = "looks at" if wanted[t, s] else "does not look at"
    raise Wrong(f"query {t} {told} place {s}", "it does" if seen[t, s] else "it does not", why)


def _slopes(answer, given, mask, heads, step=1e-2):
    """The gradient is the slope, measured by small steps of one argument after the other."""
    for i, name in enumerate("qkv"):
        along = numbers(*given[i].shape, key=3.0 + i)

        def total(part, i=i):
            result = answer(*given[:i], part, *given[i + 1 :], mask.clone(), heads)
            return (result * numbers(*result.shape, key=1.0)).sum()

        part, found = given[i].clone().requires_grad_(), 0.0
        if total(part).requires_grad:
            total(part).backward()
            found = 0.0 if part.grad is None else float((part.grad * along).sum())
        slope = float(total(given[i] + step * along) - total(given[i] - step * along)) / (2 * step)
        if abs(found - slope) > 0.02 + 0.05 * abs(slope):
            why = "detach(), numpy() or torch.tensor(…) cut a part of the gradient off"
            raise Wrong(f"a gradient to {name} of {slope:.3f} along a step", f"{found:.3f}", why)


def _hides(answer, given, mask, heads):
    """A forbidden place has no share at all, also where the energies of all others are about -60."""
    d = given[0].shape[-1] // heads
    q, k = -torch.ones_like(given[0]), given[1] + 60 / d**0.5
    v = given[2].clone().requires_grad_()
    result = answer(q, k, v, mask.clone(), heads)
    for t, seen in enumerate(mask):
        (slope,) = torch.autograd.grad(result[:, t].sum(), [v], retain_graph=True)
        share = float(slope[:, ~seen].abs().max()) if not seen.all() else 0.0
        if share > 0:
            why = "no such number is low enough for all energies; fill in -inf"
            told = f"query {t} does not look at all where it may not"
            raise Wrong(told, f"a share of {share:.1g} there, where energies are near -60", why)
