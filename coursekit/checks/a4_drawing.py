"""The checks of assignment a4 about drawing: one of the likely colours, and the missing pixels of a picture."""

import math

import numpy as np
import torch

from coursekit.checks.core import Wrong, as_array, exercise, expect_close, expect_shape

# --- 5 one of the likely colours ----------------------------------------------------------------
LOGITS = [[0.5, 2.0, -1.0, 1.2, 0.1], [-3.0, -2.5, -4.0, -2.2, -6.0], [4.0, 1.0, 3.0, 2.5, 3.6]]
K, TEMPERATURE = 3, 0.8
SHARES = [[0.1008, 0.6574, 0.0000, 0.2418, 0.0000], [0.1790, 0.3344, 0.0000, 0.4866, 0.0000], [0.5283, 0.0000, 0.1513, 0.0000, 0.3204]]  # fmt: skip
# The shares of the first row, as they come out with a mistake
FIRST = [
    ([0.1647, 0.5469, 0.0000, 0.2884, 0.0000],
     "the temperature multiplies; it divides"),
    ([0.1334, 0.5979, 0.0000, 0.2687, 0.0000],
     "the temperature is not used, or divides the shares; it divides the logits"),
    ([0.1171, 0.6267, 0.0000, 0.2562, 0.0000],
     "the root of the temperature; the temperature itself divides"),
    ([0.0694, 0.7233, 0.0000, 0.2072, 0.0000],
     "the temperature is used twice"),
    ([0.2567, 0.4478, 0.0000, 0.2955, 0.0000],
     "the softmax is taken twice"),
    ([0.1351, 0.5405, 0.0000, 0.3243, 0.0000],
     "the shares are not those of a softmax: the logits over their sum"),
    ([0.3333, 0.3333, 0.0000, 0.3333, 0.0000],
     "the k likeliest have equal shares; the softmax of their logits is wanted"),
]  # fmt: skip
# Rows of which each colour's share is measured: so many that a temperature left out shows in every draw
DRAWN = 8000


@exercise("sampling")
def sampling(top_k_shares, draw, logits=LOGITS, k=K, temperature=TEMPERATURE, shares=SHARES):
    """top_k_shares(logits (B, V), k, temperature) -> (B, V); draw(logits, k, temperature) -> colours (B,)."""
    given = torch.tensor(logits, dtype=torch.float32)
    known, shape = logits is LOGITS, given.shape
    array = _row(top_k_shares, given, k, temperature, shape)
    _sums(array, temperature)
    near = [why for row, why in FIRST if known and np.allclose(array[0], row, atol=2e-4)]
    expect_close(array, shares, "the shares", 1e-4, near[0] if near else _why(array, shares))
    whole = _row(top_k_shares, given, 3 * shape[1], 1.0, shape)
    expect_close(whole, given.double().softmax(-1), "the shares where k is larger than V", 1e-4)
    best = _row(top_k_shares, given, 1, temperature, shape)
    expect_close(best, np.eye(shape[1])[given.argmax(-1)], "the shares where k is 1", 1e-4)
    _draws(draw, given, k, temperature, np.array(shares))


def _row(top_k_shares, given, k, temperature, shape):
    own = given.clone()
    got = top_k_shares(own, k, temperature)
    if not torch.equal(own, given):
        why = "masked_fill makes a new tensor; logits[…] = … and /= write into the caller's"
        raise Wrong("the given logits are left as they were", "they were changed", why)
    why = None
    if got is not None and np.shape(got) == (shape[0], min(k, shape[1])) != tuple(shape):
        why = "a share for every colour, in the order of the colours; it is 0 for those left out"
    return expect_shape(got, tuple(shape), "the shares", why)


def _sums(array, temperature):
    """Shares are numbers from 0 to 1 that sum to 1 in each row."""
    if not np.isfinite(array).all():
        why = "-inf belongs in the logits before the softmax, and not in all of a row"
        if not np.isnan(array).any() and array.max() <= 1e-6:
            why = "these are logarithms: softmax makes shares of them"
        raise Wrong("shares without nan or inf", "nan or inf", why)
    sums = array.sum(-1)
    if np.abs(sums - 1).max() > 1e-3 or array.min() < 0:
        why = None
        if array.min() < -1e-6:
            why = "these are logits, or logarithms: softmax makes shares of them"
        elif np.allclose(array.sum(0), 1, atol=1e-3):
            why = "softmax over the colours, the last axis"
        elif np.allclose(sums * temperature, 1, atol=1e-3):
            why = "the temperature divides the logits, before the softmax, and not the shares"
        elif (sums < 1 + 1e-6).all():
            why = "what is left must sum to 1 again: -inf before the softmax, or divide by the sum"
        raise Wrong(
            "shares that sum to 1 in each row",
            f"a row that sums to {sums[np.abs(sums - 1).argmax()]:.4f}",
            why,
        )


def _why(array, shares):
    """What the places of the shares tell, where they are not equal."""
    got, wanted = array > 1e-7, np.array(shares) > 1e-7
    if got.all() and not wanted.all():
        return "a share of 0 for all but the k likeliest: -inf in the logits, for 0 is a logit like any other"
    if (got.sum(1) == wanted.sum(1) + 1).all():
        return "one colour too many: the k-th largest is the last that stays"
    if (got.sum(1) == wanted.sum(1) - 1).all():
        return "one colour too few: the k-th largest stays, too"
    if (got.sum(1) == wanted.sum(1)).all() and (got != wanted).any():
        return "the k likeliest of each row, not those of another row, and not the least likely"
    if (got != wanted).any():
        return "the k likeliest of each row"
    if all(
        np.array_equal(a.argsort(), b.argsort())
        for a, b in zip(array, np.array(shares), strict=True)
    ):
        return "the right colours; the temperature divides the logits, before the softmax"
    return None


def _draws(draw, given, k, temperature, shares):
    """Colours by their frequency: a right answer is off by 5.5 standard deviations less than once in 100,000 tests."""
    B, many = len(given), given.repeat_interleave(DRAWN, 0)
    got = as_array(draw(many.clone(), k, temperature), "the colours")
    if got.shape != (len(many),):
        why = (
            "multinomial gives (B, 1): take its column"
            if got.shape == (len(many), 1)
            else "one colour for each row"
        )
        raise Wrong(f"colours of shape {(len(many),)}", f"shape {got.shape}", why)
    if got.dtype.kind not in "iu":
        raise Wrong("colours of an integer type", f"{got.dtype}", "the number of the colour, int64")
    if got.min() < 0 or got.max() >= given.shape[1]:
        raise Wrong(
            f"colours from 0 to {given.shape[1] - 1}", f"{int(got.min())} to {int(got.max())}", None
        )
    found = (
        np.stack([np.bincount(row, minlength=given.shape[1]) for row in got.reshape(B, DRAWN)])
        / DRAWN
    )
    why = _why_drawn(found, given, shares)
    if (found[shares == 0] > 0).any():
        b, v = (int(i) for i in np.argwhere((shares == 0) & (found > 0))[0])
        told = f"colour {v} never drawn for the logits {given[b].tolist()}, k = {k}"
        raise Wrong(told, f"{found[b, v] * DRAWN:.0f} times in {DRAWN} draws", why)
    # The last term is for rare colours, whose counts are skewed
    off = np.abs(found - shares) - 5.5 * np.sqrt(shares * (1 - shares) / DRAWN) - 10 / DRAWN
    if off.max() > 1e-9:
        b, v = (int(i) for i in np.unravel_index(off.argmax(), off.shape))
        told = f"colour {v} in about {shares[b, v]:.1%} of the draws for the logits of row {b}"
        raise Wrong(told, f"in {found[b, v]:.1%}", why)
    _anew(draw, many[:: DRAWN // 200], k, temperature, shares)


def _anew(draw, few, k, temperature, shares):
    """Other colours at another call, unless the shares leave no choice."""
    first, second = (as_array(draw(few.clone(), k, temperature), "the colours") for _ in range(2))
    if shares.max(1).min() < 0.99 and np.array_equal(first, second):
        raise Wrong("other colours at another call", "the same again", "no seed in here")


def _why_drawn(found, given, shares):
    """What the frequencies tell; each row was asked many times."""
    if (found.max(1) == 1).all() and (shares.max(1) < 0.99).any():
        if (found.argmax(1) == given.argmax(1).numpy()).all():
            return "this is the likeliest colour each time; draw by the shares"
        return "all rows get the same colour: each is drawn for itself"
    off = 5.5 / math.sqrt(4 * DRAWN)
    if np.abs(found - given.double().softmax(-1).numpy()).max() < off:
        return "drawn by the softmax of the logits: k and temperature are forgotten"
    even = (shares > 0) / (shares > 0).sum(1, keepdims=True)
    if np.abs(found - even).max() < off:
        return "the k colours are drawn alike; draw them by their shares"
    return "drawn by the shares of top_k_shares, each row for itself"


# --- 6 the missing pixels -----------------------------------------------------------------------
V, STEP = 7, 3
PIXELS = [[2, 5, 1, 0, 6, 3, 4, 1], [0, 0, 3, 6, 2, 5, 1, 4], [6, 1, 4, 2, 0, 0, 3, 5]]
# The given places, and what comes out
HALVES = [
    ([1, 1, 1, 1, 0, 0, 0, 0], [[2, 5, 1, 0, 6, 3, 1, 0], [0, 0, 3, 6, 5, 6, 2, 6], [6, 1, 4, 2, 1, 4, 6, 2]]),
    ([0, 0, 0, 0, 1, 1, 1, 1], [[1, 5, 5, 3, 6, 3, 4, 1], [1, 5, 5, 3, 2, 5, 1, 4], [1, 5, 5, 3, 0, 0, 3, 5]]),
    ([1, 0, 1, 1, 0, 0, 1, 0], [[2, 1, 1, 0, 6, 3, 4, 2], [0, 2, 3, 6, 5, 6, 1, 3], [6, 6, 4, 2, 1, 4, 3, 0]]),
    ([0, 0, 0, 0, 0, 0, 0, 0], [[1, 5, 5, 3, 5, 3, 0, 4], [1, 5, 5, 3, 5, 3, 0, 4], [1, 5, 5, 3, 5, 3, 0, 4]]),
]  # fmt: skip


def next_pixel(before, V, step):
    """The colour that `choose` takes after the pixels `before`, a list: depends on the last two and on the place."""
    last, first = (before[-1] if before else V), (before[-2] if len(before) > 1 else V)
    return (step * last + first + len(before) + 1) % V


class _Model:
    """Logits (B, T', V) as a model of question 2 gives them, by a rule, and a choice among them."""

    def __init__(self, V, step, T):
        self.V, self.step, self.T = V, step, T

    def look(self, tokens):
        """tokens (B, T') → logits (B, T', V); the colour that is to be chosen has the smallest."""
        tokens = self._checked(tokens)
        logits = np.zeros((*tokens.shape, self.V), dtype=np.float32)
        for b, row in enumerate(tokens.tolist()):
            for t in range(len(row)):
                v = next_pixel(row[:t], self.V, self.step)
                logits[b, t] = (np.arange(self.V) - v - 1) % self.V  # v has the largest
                logits[b, t, v] = -1.0  # and now the smallest, so that an argmax finds another
        return torch.from_numpy(logits)

    def _checked(self, tokens):
        if not hasattr(tokens, "shape") or len(tokens.shape) != 2:
            raise Wrong("the model gets tokens (B, T')", f"{type(tokens).__name__}", None)
        if tokens.shape[1] > self.T:
            why = "the model puts the start token in front by itself"
            raise Wrong(f"the model gets at most {self.T} tokens", f"{tokens.shape[1]}", why)
        if tokens.dtype.is_floating_point or (tokens < 0).any() or (tokens >= self.V).any():
            why = "colours only: the model puts the start token in front by itself"
            raise Wrong(f"the model gets tokens from 0 to {self.V - 1}", "others", why)
        return tokens

    def choose(self, logits):
        """logits (B, V) → colours (B,): the smallest, which no argmax would take."""
        if not hasattr(logits, "shape") or len(logits.shape) != 2 or logits.shape[1] != self.V:
            got = tuple(logits.shape) if hasattr(logits, "shape") else type(logits).__name__
            raise Wrong(
                "choose gets logits (B, V), those of one place", f"{got}", "[:, t] takes the place"
            )
        steps = logits - logits.amin(-1, keepdim=True)
        if (steps - steps.round()).abs().max() > 1e-3:  # those of `look` are whole numbers
            why = "no softmax and no temperature: `choose` sees to that"
            raise Wrong("choose gets the model's logits as they are", "other numbers", why)
        return logits.argmin(-1)


@exercise("complete")
def complete(answer, tokens=PIXELS, known=None, V=V, step=STEP, expected=None):
    """answer(model, tokens (B, T), known (T,), choose) -> tokens (B, T)."""
    if known is None:
        for places, rows in HALVES:
            _complete(answer, tokens, places, V, step, rows)
        places, rows = HALVES[0]
        return _complete(answer, tokens[1:2], places, V, step, rows[1:2])
    return _complete(answer, tokens, known, V, step, expected)


def _complete(answer, tokens, known, V, step, expected):
    given, places = torch.tensor(tokens), torch.tensor(known, dtype=torch.bool)
    model = _Model(V, step, given.shape[1])

    def look(tokens):
        return model.look(tokens)

    def choose(logits):
        return model.choose(logits)

    got = answer(look, given, places, choose)
    if given.tolist() != tokens or places.tolist() != [bool(one) for one in known]:
        why = "fill a copy: tokens.clone()"
        raise Wrong("the given tokens are left as they were", "they were changed", why)
    drawn = places.logical_not().sum().item()
    why = (
        "the given pixels belong to the result, each in its place"
        if np.shape(got)[-1:] == (drawn,)
        else None
    )
    array = expect_shape(got, tuple(given.shape), "the pictures", why)
    if array.dtype.kind not in "iu":
        raise Wrong(
            "pictures of an integer type", f"{array.dtype}", "colours are int64 (torch.long)"
        )
    array = array.astype(int)
    for b, row in enumerate(array.tolist()):
        for t in range(len(row)):
            if known[t] and row[t] != tokens[b][t]:
                why = "given pixels stay: only places that are not known are drawn" + _turned(
                    array, tokens, known
                )
                raise Wrong(
                    f"{tokens[b][t]} at place {t} of picture {b}, which is given", f"{row[t]}", why
                )
    if array.tolist() != expected:
        b, t = (int(i) for i in np.argwhere(array != np.array(expected))[0])
        told = f"{expected[b][t]} drawn at place {t} of picture {b} after {expected[b][:t]}"
        why = _why_last(array, tokens, known, expected)
        raise Wrong(told, f"{array[b, t]}", why or _why_drawing(array, tokens, known, V, step))


def _turned(array, tokens, known):
    free = ~np.array(known, dtype=bool)
    same = free.any() and (array[:, free] == np.array(tokens)[:, free]).all()
    return "; is `known` turned round?" if same else ""


def _why_last(array, tokens, known, expected):
    """Whether all is right but the last place, where the given token still stands."""
    last = max(t for t in range(len(known)) if not known[t])
    left = array[:, last].tolist() == [row[last] for row in tokens]
    array = array.copy()
    array[:, last] = [row[last] for row in expected]
    return "the last place is not drawn" if left and array.tolist() == expected else None


def _why_drawing(array, tokens, known, V, step):
    """The rule of the test's model gives away what was looked at, pixel by pixel."""
    T, free = len(known), [t for t in range(len(known)) if not known[t]]
    pairs = [
        (row, first, t) for row, first in zip(array.tolist(), tokens, strict=True) for t in free
    ]
    if all(row[t] == first[t] for row, first, t in pairs):
        return "nothing is drawn: what stands at places that are not given is of no account"
    looked = {
        "the logits are taken one place too early: those at place t are about token t": lambda row, _, t: (
            row[: t - 1] if t else []
        ),
        "every place is guessed from what stood there at first: a later pixel depends on those drawn before it": (
            lambda _, first, t: first[:t]
        ),
        "the logits are those of place 0: take those of place t": lambda *_: [],
        "the logits of the last place are taken: take those of place t": lambda row, first, t: [
            *row[:t],
            *first[t:],
        ][: T - 1],
    }
    for why, seen in looked.items():
        if all(row[t] == next_pixel(seen(row, first, t), V, step) for row, first, t in pairs):
            return why
    if all(row[t] == (next_pixel(row[:t], V, step) - 1) % V for row, _, t in pairs):
        return "this is the largest logit; what `choose` makes of the logits is wanted"
    return (
        "in raster order, each from all before it, given or drawn, by the logits at its own place"
    )
