"""Lesson 09's checks: they accept its solutions and others, and name the mistakes students make."""

import numpy as np
import pytest
import torch
from lesson_solutions import assert_named, verdict
from torch.nn import functional as F

from coursekit.checks import lesson_09 as check

# --- other right answers


def encode_by_table(images, colours):
    table = (torch.arange(256)[:, None] - colours.long()).square().argmin(1)
    return table[images.long()].reshape(len(images), -1)


def encode_by_midpoints(images, colours):
    middles = (colours[1:].float() + colours[:-1].float()) / 2
    return torch.searchsorted(middles, images.float().flatten(1).contiguous())


def encode_in_numpy(images, colours):
    distance = images.numpy()[..., None].astype(float) - colours.numpy()
    return np.abs(distance).argmin(-1).reshape(len(images), -1)


def runs_by_loops(errors, count):
    n = len(errors) - 1
    best = {(1, j): (float(errors[0, j]), [0]) for j in range(1, n + 1)}
    for k in range(2, count + 1):
        for j in range(k, n + 1):
            best[k, j] = min(
                (best[k - 1, i][0] + float(errors[i, j]), [*best[k - 1, i][1], i]) for i in range(k - 1, j)
            )  # fmt: skip
    return best[count, n][1]


def runs_as_a_tensor(errors, count):
    return torch.tensor(runs_by_loops(errors, count))


def bits_by_entropies(counts, code):
    def entropy(table):
        p = table[table > 0] / table.sum()
        return -(p * p.log2()).sum()

    return entropy(counts) - entropy(code.bincount(counts))


def bits_by_loop(counts, code):
    total, seen = 0.0, counts.tolist()
    for grey, count in enumerate(seen):
        if count:
            whole = sum(c for c, v in zip(seen, code.tolist(), strict=True) if v == code[grey])
            total -= count * np.log2(count / whole)
    return total / sum(seen)


def neighbours_by_padding(tokens, side, outside):
    grid = tokens.view(-1, side, side)
    left = F.pad(grid, (1, 0), value=outside)[:, :, :-1]
    return left.flatten(1), F.pad(tokens, (side, 0), value=outside)[:, :-side]


def neighbours_by_roll(tokens, side, outside):
    left, up = tokens.roll(1, 1), tokens.roll(side, 1)
    left[:, ::side], up[:, :side] = outside, outside
    return [left, up]


RIGHT = {
    "encode": [encode_by_table, encode_by_midpoints, encode_in_numpy],
    "best_runs": [runs_by_loops, runs_as_a_tensor],
    "palette_bits": [bits_by_entropies, bits_by_loop],
    "neighbours": [neighbours_by_padding, neighbours_by_roll],
}


@pytest.mark.parametrize("name, answer", [(n, a) for n, each in RIGHT.items() for a in each])
def test_other_right_answers_pass(name, answer, capsys):
    passed, said = verdict(capsys, getattr(check, name), answer)
    assert passed, said


# --- mistakes, each with the words by which the student must recognise it


def far(images, colours):
    return (images[..., None].int() - colours.int()).abs()


ENCODE = [
    (lambda i, c: (i[..., None] - c).argmin(-1).flatten(1), "uint8 ends at 0"),
    (lambda i, c: (i[..., None] - c).abs().argmin(-1).flatten(1), "uint8 ends at 0"),
    (lambda i, c: ((i[..., None] - c) ** 2).argmin(-1).flatten(1), "uint8 ends at 0"),
    (lambda i, c: far(i, c).argmin(-1).transpose(1, 2).flatten(1), "column by column"),
    (lambda i, c: far(i, c).argmin(-1), "flatten(1)"),
    (lambda i, c: far(i, c).argmin(-1).flatten(), "the pictures stay apart"),
    (lambda i, c: far(i, c).argmax(-1).flatten(1), "argmin, not argmax"),
    (lambda i, c: torch.searchsorted(c, i).flatten(1), "the next higher colour"),
    (lambda i, c: torch.searchsorted(c, i).clamp_max(len(c) - 1).flatten(1), "the next higher colour"),
    (lambda i, c: (torch.searchsorted(c, i, right=True) - 1).flatten(1), "the next lower colour"),
    (lambda i, c: (torch.searchsorted(c, i, right=True) - 1).clamp_min(0).flatten(1), "the next lower colour"),
    (lambda i, c: c[far(i, c).argmin(-1)].flatten(1), "these are the colours"),
    (lambda i, c: far(i, c).argmin(-1).flatten(1).float(), "argmin gives int64"),
    (lambda i, c: encode_by_table(i, torch.tensor(check.COLOURS)), "those that are given"),
    (lambda i, c: None, "does not return"),
    (lambda i, c: (i[..., None].int() - c.int()).argmin(-1).flatten(1), "without abs"),
    (lambda i, c: far(i, c).min(-1).values.flatten(1), "these are the distances"),
    (lambda i, c: (i.int() * len(c) // 256).flatten(1), "equal steps"),
    (lambda i, c: far(i.to(torch.int8), c.to(torch.int8)).argmin(-1).flatten(1), "int8 ends at 127"),
    (lambda i, c: far(i, c).argmin(0).flatten(1), "argmin over the colours"),
]  # fmt: skip


def runs(extra=0, first=True, end=False, turn=True, off=0):
    """The solution with one thing wrong."""

    def answer(errors, count):
        least, begins = errors[0], []
        for _ in range(count - 1 + extra):
            least, begin = (least[:, None] + errors).min(0)
            begins.append(begin)
        starts, j = [], len(errors) - 1
        for begin in reversed(begins):
            j = int(begin[j])
            starts.append(j - off)
        starts = starts[::-1] if turn else starts
        found = [0, *starts] if turn else [*starts, 0]
        return found[not first :] + [len(errors) - 1] * end

    return answer


def runs_greedily(errors, count):
    """Cuts the run whose cut helps most, and keeps the cuts it has."""
    n, starts = len(errors) - 1, [0]
    while len(starts) < count:
        tries = [sorted([*starts, new]) for new in range(1, n) if new not in starts]
        starts = min(tries, key=lambda s: sum(errors[i, j] for i, j in zip(s, [*s[1:], n], strict=True)))  # fmt: skip
    return starts


def the_error(errors, count):
    least = errors[0]
    for _ in range(count - 1):
        least = (least[:, None] + errors).min(0).values
    return float(least[-1])


def runs_by(red=0, back=True, on=True, ends=False):
    """The solution that minimises over j, walks the wrong way, forgets the round before, or returns ends."""

    def answer(errors, count):
        least, begins = errors[0], []
        for _ in range(count - 1):
            found, begin = ((least if on else errors[0])[:, None] + errors).min(red)
            least = found
            begins.append(begin)
        starts, j = [], len(errors) - 1
        for begin in begins[::-1] if back else begins:
            j = int(begin[j])
            starts.append(j)
        starts = [0, *reversed(starts)]
        return [*starts[1:], len(errors) - 1] if ends else starts

    return answer


RUNS = [
    (runs_by(red=1), "the same place"),
    (runs_by(back=False), "walk back"),
    (runs_by(on=False), "the round before"),
    (runs_by(ends=True), "these are the ends"),
    (runs(extra=1), "one round less"),
    (lambda e, k: runs(extra=-1)(e, k) if k > 1 else [0], "one round more"),
    (runs(first=False), "the first run begins at 0"),
    (runs(end=True), "where no run begins"),
    (runs(turn=False), "turn the list around"),
    (runs(off=1), "one too early"),
    (runs_greedily, "the first cut is kept"),
    (the_error, "not the error"),
    (lambda e, k: (0.0, runs_by_loops(e, k)), "return the starts alone"),
    (lambda e, k: list(range(k)), "the minimum over i"),
    (lambda e, k: None, "does not return"),
]


def shares(counts, code):
    """Bits of each grey that occurs, and how often it does."""
    seen = counts > 0
    return (code.bincount(counts)[code][seen] / counts[seen]).log2(), counts[seen]


def weighed(bits, counts):
    return (bits * counts).sum() / counts.sum()


def by_colour(counts, code):
    bits, seen = shares(counts, code)
    of = code[counts > 0]
    return torch.stack([weighed(bits[of == v], seen[of == v]) for v in of.unique()]).mean()


BITS = [
    (lambda n, c: weighed(*shares(n, c)) * np.log(2), "in nats"),
    (lambda n, c: -weighed(*shares(n, c)), "the sign"),
    (lambda n, c: weighed((n.sum() / c.bincount(n)[c][n > 0]).log2(), n[n > 0]), "the tokens' own bits"),
    (lambda n, c: weighed((n.sum() / n[n > 0]).log2(), n[n > 0]), "the greys' whole entropy"),
    (lambda n, c: shares(n, c)[0].sum(), "each once"),
    (lambda n, c: shares(n, c)[0].mean(), "all greys weigh alike"),
    (lambda n, c: (shares(n, c)[0] * n[n > 0]).sum(), "divide by their number"),
    (by_colour, "all colours weigh alike"),
    (lambda n, c: weighed((c.bincount(n)[c] / n).log2(), n), "0 · log 0"),
    (lambda n, c: shares(n, c)[0], "the mean over all pixels"),
    (lambda n, c: (n / c.bincount(n)[c] * (c.bincount(n)[c] / n).log2()).nansum(), "the colours' parts are added up"),
    (lambda n, c: weighed((c.bincount()[c] / n).log2()[n > 0], n[n > 0]), "counts greys"),
    (lambda n, c: weighed(c.bincount()[c].double().log2(), n), "not equally common"),
    (lambda n, c: (shares(n, c)[0] * n[n > 0]).sum() / len(n), "the number of greys"),
    (lambda n, c: weighed(n / c.bincount(n)[c], n), "the mean of the probabilities"),
]  # fmt: skip


def moved(tokens, side, outside, left, up):
    """Neighbours from the grids that `left` and `up` make of the picture."""
    grid = tokens.view(-1, side, side)
    return left(grid, outside).flatten(1), up(grid, outside).flatten(1)


def left_of(grid, outside):
    return F.pad(grid, (1, 0), value=outside)[:, :, :-1]


def up_of(grid, outside):
    return F.pad(grid, (0, 0, 1, 0), value=outside)[:, :-1]


def right_of(grid, outside):
    return F.pad(grid, (0, 1), value=outside)[:, :, 1:]


def down_of(grid, outside):
    return F.pad(grid, (0, 0, 0, 1), value=outside)[:, 1:]


def with_(left=left_of, up=up_of):
    return lambda tokens, side, outside: moved(tokens, side, outside, left, up)


def written_into(tokens, side, outside):
    left, up = neighbours_by_padding(tokens, side, outside)
    tokens[:, 0] = outside
    return left, up


def one_tensor(tokens, side, outside):
    grid = tokens.view(-1, side, side)
    left = up = torch.full_like(grid, outside)
    left[:, :, 1:] = grid[:, :, :-1]
    up[:, 1:] = grid[:, :-1]
    return left.flatten(1), up.flatten(1)


def itself(grid, left):
    found = grid.clone()
    if left:
        found[:, :, 1:] = grid[:, :, :-1]
    else:
        found[:, 1:] = grid[:, :-1]
    return found


def of_another(grid, outside):
    return torch.cat([torch.full_like(grid[:1], outside), grid[:-1]])


NEIGHBOURS = [
    (one_tensor, "one tensor with two names"),
    (with_(left=lambda g, o: itself(g, True)), "the token itself"),
    (with_(up=lambda g, o: itself(g, False)), "the token itself"),
    (with_(left=of_another), "along the batch"),
    (lambda t, s, o: torch.stack(neighbours_by_padding(t, s, o), -1), "return left, up"),
    (lambda t, s, o: (F.pad(t, (1, 0), value=o)[:, :-1], neighbours_by_padding(t, s, o)[1]), "has no left neighbour"),
    (lambda t, s, o: (t.roll(1, 1), t.roll(s, 1)), "roll brings the end"),
    (with_(left=lambda g, o: g.roll(1, 2)), "roll turns the row"),
    (with_(up=lambda g, o: g.roll(1, 1)), "roll turns the picture"),
    (with_(left=right_of), "right neighbours"),
    (with_(up=down_of), "lower neighbours"),
    (lambda t, s, o: neighbours_by_padding(t, s, o)[::-1], "return left first"),
    (lambda t, s, o: neighbours_by_padding(t, s, 0), "0 is the paper"),
    (lambda t, s, o: neighbours_by_padding(t, s, 7), "that are given"),
    (lambda t, s, o: (neighbours_by_padding(t, s, o)[0], F.pad(t, (1, 0), value=o)[:, :-1]), "one place back"),
    (lambda t, s, o: [each.view(-1, s, s) for each in neighbours_by_padding(t, s, o)], "flatten(1)"),
    (lambda t, s, o: neighbours_by_padding(t, s, o)[0], "return left, up"),
    (written_into, "a new tensor, or a clone"),
]  # fmt: skip

MISTAKES = {"encode": ENCODE, "best_runs": RUNS, "palette_bits": BITS, "neighbours": NEIGHBOURS}


@pytest.mark.parametrize(
    "name, place", [(name, i) for name, each in MISTAKES.items() for i in range(len(each))]
)
def test_a_mistake_is_named(name, place, capsys):
    answer, words = MISTAKES[name][place]
    assert_named(capsys, getattr(check, name), answer, words)
