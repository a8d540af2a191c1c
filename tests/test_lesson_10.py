"""Lesson 10's checks accept other right answers and name the mistakes students make."""

import math

import numpy as np
import pytest
import torch
from lesson_solutions import assert_named, verdict
from torch.nn import functional as F

from coursekit.checks import lesson_10 as check

# --- other right answers


def shift_by_padding(tokens, start):
    return F.pad(tokens, (1, 0), value=start)[:, :-1]


def shift_by_roll(tokens, start):
    found = tokens.roll(1, 1)
    found[:, 0] = start
    return found


def shift_by_lists(tokens, start):
    return [[start, *row[:-1]] for row in tokens.tolist()]


def bill_in_numpy(nats, pixels, palette_bits):
    return np.float64(pixels) * (nats * math.log2(math.e) + palette_bits)


def bill_as_tensor(nats, pixels, palette_bits):
    return torch.tensor(nats / math.log(2)) * pixels + palette_bits * pixels


def pick_the_first(logits, u):
    ends = logits.softmax(1).cumsum(1)
    ends[:, -1] = 1
    return (u[:, None] < ends).int().argmax(1)


def pick_by_searching(logits, u):
    ends = logits.double().softmax(-1).cumsum(-1)
    found = torch.searchsorted(ends, u[:, None].double(), right=True)[:, 0]
    return found.clamp(max=logits.shape[-1] - 1)


def pick_by_loop(logits, u):
    found = []
    for row, point in zip(logits.softmax(-1).tolist(), u.tolist(), strict=True):
        ends = np.cumsum(row)
        found.append(min(int((ends <= point).sum()), len(row) - 1))
    return found


def masked_by_where(guess, tokens, masked, cover):
    logits = guess(torch.where(masked, cover, tokens))
    paid = F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")
    return (paid * masked).sum() / masked.sum()


def masked_by_ignoring(guess, tokens, masked, cover):
    logits = guess(tokens.masked_fill(masked, cover))
    return F.cross_entropy(logits.flatten(0, 1), tokens.masked_fill(~masked, -100).flatten())


RIGHT = {
    "shift": [shift_by_padding, shift_by_roll, shift_by_lists],
    "picture_bits": [bill_in_numpy, bill_as_tensor],
    "pick": [pick_the_first, pick_by_searching, pick_by_loop],
    "masked_loss": [masked_by_where, masked_by_ignoring],
}


@pytest.mark.parametrize("answer", sum(RIGHT.values(), []), ids=lambda each: each.__name__)
def test_other_right_answers_pass(capsys, answer):
    name = next(name for name, answers in RIGHT.items() if answer in answers)
    passed, text = verdict(capsys, getattr(check, name), answer)
    assert passed, text


# --- mistakes, by the words that name them


def shift_in_place(tokens, start):
    tokens[:, 1:] = tokens[:, :-1].clone()
    tokens[:, 0] = start
    return tokens


def shift_over(tokens, start):
    tokens = tokens.clone()
    tokens[:, 0] = start
    return tokens


def begun(tokens, start=7):
    return torch.full_like(tokens[:, :1], start)


SHIFTING = {
    "nothing is moved": lambda tokens, start: tokens,
    "written over the first pixel": shift_over,
    "moved to the left": lambda tokens, start: torch.cat([tokens[:, 1:], begun(tokens)], 1),
    "start stands at the end": lambda tokens, start: torch.cat([tokens[:, :-1], begun(tokens)], 1),
    "roll brings the last pixel": lambda tokens, start: tokens.roll(1, 1),
    "along the batch": lambda tokens, start: torch.cat([torch.full_like(tokens[:1], start), tokens[:-1]]),
    "holds 0": lambda tokens, start: F.pad(tokens, (1, 0))[:, :-1],
    "turned around": lambda tokens, start: torch.cat([begun(tokens), tokens.flip(1)[:, :-1]], 1),
    "the last pixel is read": lambda tokens, start: F.pad(tokens, (1, 0), value=start),
    "the start token is missing": lambda tokens, start: tokens[:, :-1],
    "are changed": shift_in_place,
    "rows of a table": lambda tokens, start: F.pad(tokens.float(), (1, 0), value=start)[:, :-1],
    "start is the number that is given": lambda tokens, start: F.pad(tokens, (1, 0), value=7)[:, :-1],
    "does not return": lambda tokens, start: None,
}  # fmt: skip


@pytest.mark.parametrize("words", SHIFTING)
def test_shift_names_the_mistake(capsys, words):
    assert_named(capsys, check.shift, SHIFTING[words], words)


LN2 = math.log(2)
BILLS = {
    "nats and bits are added": lambda nats, pixels, left: pixels * (nats + left),
    "multiplied by ln 2": lambda nats, pixels, left: pixels * (nats * LN2 + left),
    "log10": lambda nats, pixels, left: pixels * (nats / math.log10(2) + left),
    "in bits already": lambda nats, pixels, left: pixels * (nats + left) / LN2,
    "the palette's part is paid at every pixel": lambda nats, pixels, left: pixels * nats / LN2 + left,
    "the token's part is paid at every pixel": lambda nats, pixels, left: nats / LN2 + pixels * left,
    "the palette's part is missing": lambda nats, pixels, left: pixels * nats / LN2,
    "the bill of one pixel": lambda nats, pixels, left: nats / LN2 + left,
    "not given back": lambda nats, pixels, left: pixels * (nats / LN2 - left),
    "the parts add up": lambda nats, pixels, left: pixels * nats / LN2 * left,
    "the token's part is missing": lambda nats, pixels, left: pixels * left,
    "take no logarithm": lambda nats, pixels, left: pixels * (math.log2(nats or 1) + left),
    "rounded": lambda nats, pixels, left: round(pixels * (nats / LN2 + left)),
    "pixels times": lambda nats, pixels, left: 7.0,
}  # fmt: skip


@pytest.mark.parametrize("words", BILLS)
def test_picture_bits_names_the_mistake(capsys, words):
    assert_named(capsys, check.picture_bits, BILLS[words], words)


def picked(more=0, reached=lambda ends, u: ends <= u[:, None], clamp=True, dim=-1):
    """A pick with one thing wrong."""

    def answer(logits, u):
        found = reached(logits.softmax(dim).cumsum(-1), u).sum(1) + more
        return found.clamp(0, logits.shape[1] - 1) if clamp else found

    return answer


PICKING = {
    "the likeliest colour": lambda logits, u: logits.argmax(-1),
    "one too far": picked(1),
    "one too few": picked(-1),
    "are counted": picked(reached=lambda ends, u: ends > u[:, None], clamp=False),
    "each row has its own u": picked(reached=lambda ends, u: ends <= u[0]),
    "clamp": picked(clamp=False),
    "<= and not <": picked(reached=lambda ends, u: ends < u[:, None]),
    "squeeze": lambda logits, u: picked()(logits, u)[:, None],
    "these are pieces": lambda logits, u: logits.softmax(-1).cumsum(-1),
    "softmax over the colours": lambda logits, u: (logits.cumsum(-1) <= u[:, None]).sum(1),
    "all pieces are equally long": lambda logits, u: (u * logits.shape[1]).long(),
    "with where the pieces end": lambda logits, u: (
        (logits.softmax(-1) > u[:, None]).int().argmax(1)
    ),
    "the pieces are sorted": lambda logits, u: picked()(logits.sort(descending=True).values, u),
    "not its logarithm": lambda logits, u: (logits.log_softmax(-1).cumsum(-1) <= u[:, None]).sum(1),
    "one colour for each row": lambda logits, u: picked()(logits, u)[0],
}


@pytest.mark.parametrize("words", PICKING)
def test_pick_names_the_mistake(capsys, words):
    assert_named(capsys, check.pick, PICKING[words], words)


def test_pick_by_chance_of_its_own_is_refused(capsys):
    def answer(logits, u):
        return torch.multinomial(logits.softmax(-1), 1)[:, 0]

    torch.manual_seed(0)
    passed, _ = verdict(capsys, check.pick, answer)
    assert not passed


def loss_of(paid, hide=lambda tokens, masked, cover: tokens.masked_fill(masked, cover)):
    """A masked loss whose mean, or whose cover, is wrong; paid(-ln p (B, T), masked) -> loss."""

    def answer(guess, tokens, masked, cover):
        logits = guess(hide(tokens, masked, cover))
        return paid(F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none"), masked)

    return answer


def right(paid, masked):
    return paid[masked].mean()


def masked_in_place(guess, tokens, masked, cover):
    tokens[masked] = cover
    logits = guess(tokens)
    return logits[masked].logsumexp(1).mean()


def without_softmax(guess, tokens, masked, cover):
    return F.nll_loss(guess(tokens.masked_fill(masked, cover))[masked], tokens[masked])


def probabilities(guess, tokens, masked, cover):
    shares = guess(tokens.masked_fill(masked, cover))[masked].softmax(-1)
    return -shares.gather(1, tokens[masked][:, None]).mean()


def softmax_twice(guess, tokens, masked, cover):
    logits = guess(tokens.masked_fill(masked, cover))
    return F.cross_entropy(logits[masked].softmax(-1), tokens[masked])


def never_asked(guess, tokens, masked, cover):
    return torch.tensor(1.0)


COVERING = {
    "nothing is covered": loss_of(right, lambda tokens, masked, cover: tokens),
    "the others are covered": loss_of(right, lambda tokens, masked, cover: tokens.masked_fill(~masked, cover)),
    "covered by 0": loss_of(right, lambda tokens, masked, cover: tokens * ~masked),
    "everything is covered": loss_of(right, lambda tokens, masked, cover: torch.full_like(tokens, cover)),
    "all pixels are in the mean": loss_of(lambda paid, masked: paid.mean()),
    "what was not covered": loss_of(lambda paid, masked: paid[~masked].mean()),
    "divided by all pixels": loss_of(lambda paid, masked: (paid * masked).mean()),
    "the sum": loss_of(lambda paid, masked: paid[masked].sum()),
    "a mean for each picture": loss_of(lambda paid, masked: ((paid * masked).sum(1) / masked.sum(1)).mean()),
    "the sign": loss_of(lambda paid, masked: -right(paid, masked)),
    "in bits": loss_of(lambda paid, masked: right(paid, masked) / LN2),
    "the number of pictures": loss_of(lambda paid, masked: (paid * masked).sum() / len(paid)),
    "the mean over all covered": loss_of(lambda paid, masked: paid[masked]),
    "the logits themselves": without_softmax,
    "softmax twice": softmax_twice,
    "the probabilities themselves": probabilities,
    "are written over": masked_in_place,
    "logits = guess": never_asked,
    "does not return": lambda *given: None,
}  # fmt: skip


@pytest.mark.parametrize("words", COVERING)
def test_masked_loss_names_the_mistake(capsys, words):
    assert_named(capsys, check.masked_loss, COVERING[words], words)


def test_recorded_values_tell_mistakes_apart():
    for values in ([check.READ, *(value for value, _ in check.READING)],):
        for i, one in enumerate(values):
            assert all(one != other for other in values[:i])
