"""Lesson 11's checks accept other right answers and name the mistakes students make."""

import math

import numpy as np
import pytest
import torch
from lesson_solutions import assert_named, verdict

from coursekit.checks import lesson_11 as check

# --- other right answers


def go_on_in_place(model, given, choose):
    whole = torch.zeros(len(given), model.pixels, dtype=torch.long)
    whole[:, : given.shape[1]] = given
    token, state = torch.full((len(given),), model.start_id), model.start(given)
    for place in range(given.shape[1], model.pixels):
        logits, state = model.step(token, state)
        whole[:, place] = token = choose(logits)
    return whole


def go_on_by_lists(model, given, choose):
    rows = given.tolist()
    state, token = model.start(given), torch.tensor([model.start_id] * len(rows))
    while len(rows[0]) < model.pixels:
        logits, state = model.step(token, state)
        token = choose(logits)
        rows = [row + [colour] for row, colour in zip(rows, token.tolist(), strict=True)]
    return rows


def go_on_one_by_one(model, given, choose):
    return torch.cat([go_on_in_place(model, row[None], choose) for row in given])


def steer_by_sorting(logits, temperature=1.0, top_k=None):
    order = logits.argsort(-1, descending=True)
    ordered = (logits.gather(1, order) / temperature).exp()
    ordered[:, top_k:] = 0 if top_k is not None else ordered[:, top_k:]
    shares = ordered / ordered.sum(1, keepdim=True)
    return torch.zeros_like(shares).scatter(1, order, shares)


def steer_in_double(logits, temperature=1.0, top_k=None):
    found = []
    for row in logits.double().tolist():
        kept = sorted(row)[-(top_k or len(row)) :]
        chances = [math.exp(each / temperature) if each >= kept[0] else 0.0 for each in row]
        found.append([each / sum(chances) for each in chances])
    return torch.tensor(found, dtype=torch.float64)


def ways_by_special(counts):
    return torch.special.entr(counts / counts.sum()).sum().exp()


def ways_by_base_two(counts):
    shares = counts.numpy() / counts.sum().item()
    return 2 ** -sum(p * np.log2(p) for p in shares if p > 0)


def weigh_by_loop(logits, given):
    sums = []
    for guesses in logits:
        sums.append(sum(row.log_softmax(0)[colour] for row, colour in zip(guesses, given, strict=True)))  # fmt: skip
    sums = torch.stack(sums)
    weights = (sums - sums.max()).exp()
    return weights / weights.sum()


def weigh_by_gather(logits, given):
    index = given.expand(len(logits), -1)[..., None]
    return logits.double().log_softmax(2).gather(2, index).sum((1, 2)).softmax(0)


RIGHT = {
    "go_on": [go_on_in_place, go_on_by_lists, go_on_one_by_one],
    "steer": [steer_by_sorting, steer_in_double],
    "ways": [ways_by_special, ways_by_base_two],
    "weigh": [weigh_by_loop, weigh_by_gather],
}


@pytest.mark.parametrize("answer", sum(RIGHT.values(), []), ids=lambda each: each.__name__)
def test_other_right_answers_pass(capsys, answer):
    name = next(name for name, answers in RIGHT.items() if answer in answers)
    passed, text = verdict(capsys, getattr(check, name), answer)
    assert passed, text


# --- mistakes


def going(
    first=None,
    steps=0,
    choose_own=None,
    returned=lambda given, found: [given, *found],
    keep=True,
    choose_by=lambda logits: logits,
):
    """An answer to go_on with one thing done otherwise."""

    def answer(model, given, choose):
        state = model.start(given)
        token = torch.full((len(given),), model.start_id) if first is None else first(given)
        found = []
        for _ in range(model.pixels - given.shape[1] + steps):
            logits, after = model.step(token, state)
            state = after if keep else state
            token = (choose_own or choose)(choose_by(logits))
            found.append(token[:, None])
        return torch.cat(returned(given, found), 1)

    return answer


def begun_anew(model, given, choose):
    state, found = model.start(given), [given]
    for _ in range(model.pixels - given.shape[1]):
        logits, state = model.step(torch.full((len(given),), model.start_id), state)
        found.append(choose(logits)[:, None])
    return torch.cat(found, 1)


def read_but_the_last(model, given, choose):
    """Right, as long as there is a last one."""
    state, token, found = model.start(given[:, :-1]), given[:, -1], [given]
    for _ in range(model.pixels - given.shape[1]):
        logits, state = model.step(token, state)
        token = choose(logits)
        found.append(token[:, None])
    return torch.cat(found, 1)


def written_over(model, given, choose):
    whole = go_on_in_place(model, given, choose)
    given.zero_()
    return whole


GOING = {
    "the last given pixel, which the model has read": going(lambda given: given[:, -1]),
    "other tokens than start_id": going(lambda given: torch.zeros(len(given), dtype=torch.long)),
    "too many steps": going(steps=1),
    "too few steps": going(steps=-1),
    "only the first step is made with start_id": begun_anew,
    "choose gets the logits of the last step": going(choose_by=lambda logits: logits.softmax(0)),
    "S may be 0": read_but_the_last,
    "only the chosen pixels are returned": going(returned=lambda given, found: found),
    "the likeliest colour is taken": going(choose_own=lambda logits: logits.argmax(-1)),
    "with the state of the step before": going(keep=False),
    "were written over": written_over,
    "one token for each picture": going(lambda given: torch.full((1,), 5)),
}


@pytest.mark.parametrize("words", GOING)
def test_go_on_names_the_mistake(capsys, words):
    assert_named(capsys, check.go_on, GOING[words], words)


def test_the_wrong_ends_of_go_on(capsys):
    assert_named(capsys, check.go_on, lambda model, given, choose: None, "does not return")
    reading = lambda model, given, choose: model.start(len(given))  # noqa: E731
    assert_named(capsys, check.go_on, reading, "the given pixels themselves")


def steering(logits=lambda x, t: x / t, cut=None, after=lambda p: p):
    def answer(x, temperature=1.0, top_k=None):
        x = logits(x, temperature)
        if top_k is not None and cut:
            x = cut(x, top_k)
        return after(x.softmax(-1))

    return answer


def cut(x, k):
    return x.masked_fill(x < x.topk(k).values[:, -1:], -torch.inf)


def in_place(x, temperature=1.0, top_k=None):
    x /= temperature
    found = cut(x, top_k) if top_k else x
    return found.softmax(-1)


def cut_late(x, temperature=1.0, top_k=None):
    shares = (x / temperature).softmax(-1)
    return shares if top_k is None else shares * (shares >= shares.topk(top_k).values[:, -1:])


STEERING = {
    "multiplied by the temperature": steering(lambda x, t: x * t, cut),
    "temperature is not used": steering(lambda x, t: x, cut),
    "divided after the softmax": lambda x, temperature=1.0, top_k=None: x.softmax(-1) / temperature,
    "top_k is not used": steering(),
    "no longer sums to 1": cut_late,
    "of each row": steering(cut=lambda x, k: x.masked_fill(x < x.topk(k, 0).values[-1:], -torch.inf) if len(x) > 1 else cut(x, k)),
    "exp(0) is 1": steering(cut=lambda x, k: x.masked_fill(x < x.topk(k).values[:, -1:], 0.0)),
    "the smallest are kept": steering(cut=lambda x, k: -cut(-x, k)),
    "one too many": steering(cut=lambda x, k: cut(x, k + 1)),
    "one too few": steering(cut=lambda x, k: cut(x, max(1, k - 1))),
    "changed in place": in_place,
    "over the rows of the batch": lambda x, temperature=1.0, top_k=None: (x / temperature).softmax(0),
    "still logits": lambda x, temperature=1.0, top_k=None: x / temperature,
    "log_softmax": lambda x, temperature=1.0, top_k=None: (x / temperature).log_softmax(-1),
    "nothing is kept": steering(cut=lambda x, k: x.masked_fill(x < 2 * x.topk(k).values[:, -1:], -torch.inf)),
}  # fmt: skip


@pytest.mark.parametrize("words", STEERING)
def test_steer_names_the_mistake(capsys, words):
    if words == "the smallest are kept":
        keep = lambda x, k: x.masked_fill(x > x.topk(k, largest=False).values[:, -1:], -torch.inf)  # noqa: E731
        return assert_named(capsys, check.steer, steering(cut=keep), words)
    assert_named(capsys, check.steer, STEERING[words], words)


def shares_of(counts):
    return counts.float() / counts.sum()


def entropy(counts):
    shares = shares_of(counts)
    return -(shares[shares > 0] * shares[shares > 0].log()).sum()


WAYS = {
    "this is the entropy": entropy,
    "the sign": lambda counts: (-entropy(counts)).exp(),
    "a power of 2": lambda counts: 2 ** entropy(counts),
    "log2 and exp": lambda counts: (entropy(counts) / math.log(2)).exp(),
    "leave classes out": lambda counts: torch.exp(-(shares_of(counts) * shares_of(counts).log()).sum()),
    "sum of squares": lambda counts: 1 / shares_of(counts).square().sum(),
    "by their sum first": lambda counts: (-(counts[counts > 0] * counts[counts > 0].log()).sum()).exp(),
    "not the mean": lambda counts: torch.special.entr(shares_of(counts)).mean().exp(),
    "however seldom": lambda counts: (counts > 0).sum(),
}  # fmt: skip


@pytest.mark.parametrize("words", WAYS)
def test_ways_names_the_mistake(capsys, words):
    assert_named(capsys, check.ways, WAYS[words], words)


def of(logits, given):
    return logits.log_softmax(-1)[:, torch.arange(len(given)), given]


def naive(logits, given):
    weights = of(logits, given).sum(1).exp()
    return weights / weights.sum()


WEIGHING = {
    "the mean over the pixels": lambda logits, given: of(logits, given).mean(1).softmax(0),
    "logits are summed": lambda logits, given: logits[:, torch.arange(len(given)), given].sum(1).softmax(0),
    "are added; their logarithms": lambda logits, given: of(logits, given).exp().sum(1).softmax(0),
    "are added; they multiply": lambda logits, given: of(logits, given).exp().sum(1) / of(logits, given).exp().sum(),
    "the sign": lambda logits, given: (-of(logits, given).sum(1)).softmax(0),
    "only the last pixel": lambda logits, given: of(logits, given)[:, -1].softmax(0),
    "softmax of probabilities": lambda logits, given: of(logits, given).sum(1).exp().softmax(0),
    "softmax over the candidates is left": lambda logits, given: of(logits, given).sum(1),
    "they should sum to 1": lambda logits, given: of(logits, given).sum(1).exp(),
    "exp of a large negative sum": naive,
    "over the pixels; over the colours": lambda logits, given: logits.log_softmax(1)[:, torch.arange(len(given)), given].sum(1).softmax(0),
    "every given colour": lambda logits, given: logits.log_softmax(-1)[:, :, given].sum((1, 2)).softmax(0),
    "not log_softmax": lambda logits, given: of(logits, given).sum(1).log_softmax(0),
    "one weight for each": lambda logits, given: of(logits, given).softmax(0),
}  # fmt: skip


@pytest.mark.parametrize("words", WEIGHING)
def test_weigh_names_the_mistake(capsys, words):
    assert_named(capsys, check.weigh, WEIGHING[words], words)
