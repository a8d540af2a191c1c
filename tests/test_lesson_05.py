"""Lesson 05's checks: they accept its solutions and others, and name the mistakes students make."""

import numpy as np
import pytest
import torch
from lesson_solutions import assert_named, verdict
from torch.nn import functional as F

from coursekit.checks import lesson_05 as check

# --- other right answers


def weigh_by_bmm(scores, values, temperature):
    return torch.bmm(F.softmax(scores / temperature, dim=-1)[:, None], values).squeeze(1)


def weigh_by_loop(scores, values, temperature):
    grown = np.exp((scores - scores.max(1, keepdim=True).values).double().numpy() / temperature)
    out = np.zeros((values.shape[0], values.shape[2]))
    for b, n in np.ndindex(*grown.shape):
        out[b] += grown[b, n] / grown[b].sum() * values[b, n].numpy()
    return out


def pointing_by_loop(weights, boxes):
    side, hits = int(weights.shape[1] ** 0.5 + 0.5), 0
    for own, (x0, y0, x1, y1) in zip(weights.tolist(), boxes.tolist(), strict=True):
        row, column = divmod(own.index(max(own)), side)
        width = min(x1, (column + 1) / side) - max(x0, column / side)
        height = min(y1, (row + 1) / side) - max(y0, row / side)
        hits += width > 0 and height > 0
    return hits / len(boxes)


def pointing_as_tensor(weights, boxes):
    side = round(weights.shape[1] ** 0.5)
    edges = torch.arange(side + 1) / side
    rows, columns = weights.argmax(1) // side, weights.argmax(1) % side
    low = torch.stack([edges[columns], edges[rows]], 1)
    high = torch.stack([edges[columns + 1], edges[rows + 1]], 1)
    return ((low < boxes[:, 2:]) & (boxes[:, :2] < high)).all(1).double().mean()


def split_by_unfold(images, side):
    high, wide = images.shape[2] // side, images.shape[3] // side
    parts = images.unfold(2, high, high).unfold(3, wide, wide)
    return parts.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, high, wide)


def split_by_chunks(images, side):
    return torch.stack(
        [part for one in images for row in one.chunk(side, 1) for part in row.chunk(side, 2)]
    )


def credit_by_masking(drawn, rewards, baseline, real):
    with torch.no_grad():
        surprise = (baseline - rewards)[:, None].expand_as(drawn)
    return (surprise[real] * drawn[real]).mean()


RIGHT = {
    "weigh": [weigh_by_bmm, weigh_by_loop],
    "pointing": [pointing_by_loop, pointing_as_tensor],
    "split": [split_by_unfold, split_by_chunks],
    "credit": [credit_by_masking],
}


@pytest.mark.parametrize("name, answer", [(n, a) for n, each in RIGHT.items() for a in each])
def test_other_right_answers_pass(name, answer, capsys):
    passed, said = verdict(capsys, getattr(check, name), answer)
    assert passed, said


# --- mistakes, each with the words by which the student must recognise it


def weighed(shares):
    """The mean of values by `shares(scores, temperature)`."""
    return lambda scores, values, t: torch.einsum("bn,bnd->bd", shares(scores, t), values)


def by_naive_exp(scores, t):
    grown = (scores / t).exp()
    return grown / grown.sum(1, keepdim=True)


def best_place(scores, values, t):
    return values[torch.arange(len(values)), scores.argmax(1)]


def pointed(hit=None, exchange=False, side=None, close=False, both=True):
    """The pointing game with one thing wrong."""

    def answer(weights, boxes):
        edge = side or round(weights.shape[1] ** 0.5)
        best = weights.argmax(1)
        row, column = best // edge, best % edge
        if exchange:
            row, column = column, row
        left, top, cell = column / edge, row / edge, 1 / edge
        x0, y0, x1, y1 = boxes.unbind(1)
        if hit:
            return hit(left, top, cell, x0, y0, x1, y1).float().mean()
        less = torch.le if close else torch.lt
        across = less(left, x1) & less(x0, left + cell)
        down = less(top, y1) & less(y0, top + cell)
        return (across & down if both else across).float().mean()

    return answer


def cell_middle(left, top, cell, x0, y0, x1, y1):
    x, y = left + cell / 2, top + cell / 2
    return (x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1)


def box_middle(left, top, cell, x0, y0, x1, y1):
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return (left <= x) & (x < left + cell) & (top <= y) & (y < top + cell)


def weight_inside(weights, boxes):
    side, total = round(weights.shape[1] ** 0.5), 0.0
    for own, (x0, y0, x1, y1) in zip(weights.tolist(), boxes.tolist(), strict=True):
        for n, weight in enumerate(own):
            row, column = divmod(n, side)
            across = column / side < x1 and x0 < (column + 1) / side
            total += weight * (across and row / side < y1 and y0 < (row + 1) / side)
    return total / len(boxes)


def cut(order=(0, 2, 4, 1, 3, 5), join=(0, 2), side=None):
    def answer(images, given):
        b, _, height, width = images.shape
        n = side or given
        six = images.reshape(b, 3, n, height // n, n, width // n).permute(*order)
        return six.flatten(*join) if join else six

    return answer


def credited(surprise=lambda r, b: r.detach() - b, sign=-1, mask=True, count=lambda real: real.sum(),
             drawn_as=lambda d: d):  # fmt: skip
    def answer(drawn, rewards, baseline, real):
        gained = surprise(rewards, baseline)[:, None] * drawn_as(drawn)
        return sign * (gained * real if mask else gained).sum() / count(real)

    return answer


def caption_by_caption(drawn, rewards, baseline, real):
    each = (drawn * real).sum(1) / real.sum(1)
    return -((rewards.detach() - baseline) * each).mean()


def usual(rewards, baseline):
    return rewards.detach() - baseline


MISTAKES = {
    "weigh": [
        (weighed(lambda s, t: s.softmax(1)), "the temperature is not used"),
        (weighed(lambda s, t: (s * t).softmax(1)), "must flatten: divide"),
        (weighed(lambda s, t: (s / t).softmax(0)), "over the pictures of the batch"),
        (weighed(lambda s, t: s / t), "the scores themselves"),
        (weighed(lambda s, t: (s / t).exp()), "not divided by their sum"),
        (weighed(lambda s, t: (s / t).softmax(1) / t), "it belongs before"),
        (weighed(lambda s, t: (s / t).softmax(1) / s.shape[1]), "do not divide by N"),
        (weighed(lambda s, t: torch.full_like(s, 1 / s.shape[1])), "the plain mean"),
        (weighed(by_naive_exp), "subtracts the largest score first"),
        (best_place, "every place has its share"),
        (lambda s, v, t: (s / t).softmax(1), "these are the weights"),
        (lambda s, v, t: (s / t).softmax(1)[..., None] * v, "sum over dimension 1"),
        (lambda s, v, t: None, "does not return its result"),
    ],
    "pointing": [
        (pointed(exchange=True), "rows and columns are exchanged"),
        (pointed(close=True), "only touches"),
        (pointed(cell_middle), "middle of the cell"),
        (pointed(box_middle), "middle of the box"),
        (pointed(both=False), "both across and down"),
        (pointed(side=4), "not always 4"),
        (weight_inside, "the heaviest cell alone"),
        (lambda w, b: len(b) * pointing_by_loop(w, b), "this is a count"),
        (lambda w, b: 100 * pointing_by_loop(w, b), "per cent"),
        (lambda w, b: w.argmax(1) > 3, "return one number"),
        (lambda w, b: None, "does not return its result"),
    ],
    "split": [
        (cut(order=(2, 4, 0, 1, 3, 5)), "keep the parts of a picture together"),
        (cut(order=(0, 4, 2, 1, 3, 5)), "go row by row"),
        (cut(order=(4, 2, 0, 1, 3, 5)), "pictures last"),
        (lambda i, n: i.reshape(-1, 3, i.shape[2] // n, i.shape[3] // n), "a reshape alone"),
        (lambda i, n: split_by_chunks(i, n).view(len(i), n * n, 3, i.shape[2] // n, -1), "flatten(0, 1)"),
        (cut(side=2), "not always 2 x 2"),
        (cut(order=(0, 2, 4, 1, 5, 3)), "rows high"),
        (lambda i, n: None, "does not return its result"),
    ],
    "credit": [
        (credited(sign=1), "the sign"),
        (credited(lambda r, b: r.detach()), "the baseline is missing"),
        (credited(lambda r, b: r.detach() + b), "the baseline is added"),
        (credited(mask=False), "padding earns credit"),
        (credited(mask=False, count=lambda real: real.numel()), "padding earns credit"),
        (credited(count=lambda real: real.numel()), "divided by all words"),
        (credited(count=len), "the number of captions"),
        (credited(count=lambda real: 1), "divide it by the number of real words"),
        (credited(drawn_as=torch.exp), "log-probabilities already"),
        (credited(lambda r, b: r - b), "detach it"),
        (credited(drawn_as=torch.detach), "no detach() of drawn"),
        (lambda *given: credited()(*given).item(), "teaches nothing"),
        (caption_by_caption, "divide once"),
        (lambda *given: None, "does not return its result"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "name, answer, likely", [(n, a, words) for n, each in MISTAKES.items() for a, words in each]
)
def test_mistakes_are_named(name, answer, likely, capsys):
    assert_named(capsys, getattr(check, name), answer, likely)


def test_recorded_means_are_what_their_names_say():
    scores, values = torch.tensor(check.SCORES), torch.tensor(check.VALUES).float()
    t = check.TEMPERATURE
    for recorded, shares in (
        (check.CONTEXT, (scores / t).softmax(1)),
        (check.NO_TEMPERATURE, scores.float().softmax(1)),
        (check.MULTIPLIED, (scores * t).softmax(1)),
        (check.OVER_BATCH, (scores / t).softmax(0)),
        (check.NOT_DIVIDED, (scores / t).exp()),
    ):
        found = torch.einsum("bn,bnd->bd", shares, values)
        torch.testing.assert_close(found, torch.tensor(recorded), atol=1e-4, rtol=0)


def test_recorded_hits_tell_mistakes_apart():
    values = [check.EXCHANGED, check.TOUCHING, check.MIDDLE_OF_CELL, check.MIDDLE_OF_BOX,
              check.ONE_WAY_ONLY, check.WEIGHT_INSIDE]  # fmt: skip
    assert check.POINTED not in values
    wide, _ = check.looks()
    assert wide.argmax(1).tolist() == check.HEAVIEST
    assert torch.allclose(wide[3:4].sum(), torch.tensor(1.0))


def test_the_gradient_of_the_credit_is_that_of_reinforce():
    surprise = np.array(check.REWARDS)[:, None] - check.BASELINE
    assert np.allclose(-surprise * np.array(check.REAL) / np.sum(check.REAL), check.SLOPE)
