"""Lesson 03's checks: they accept its solutions and others, and name the mistakes students make."""

from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from lesson_solutions import assert_named, verdict
from torch.nn import functional as F

from coursekit import plots
from coursekit.checks import lesson_03 as check

# --- other right answers


def first_by_linear(memory, words, weight, bias):
    pooled = memory.max(dim=1, keepdim=True).values
    return torch.hstack([F.linear(pooled, weight, bias), words])


def first_by_loop(memory, words, weight, bias):
    out = torch.empty(words.shape[0], words.shape[1] + 1, words.shape[2], dtype=torch.float64)
    for b in range(len(memory)):
        out[b, 0] = weight @ memory[b].max(0)[0] + bias
        out[b, 1:] = words[b]
    return out


def shift_by_narrow(tokens, pad_id):
    length = tokens.shape[1] - 1
    targets = tokens.narrow(1, 1, length)
    return [tokens.narrow(1, 0, length), targets, ~targets.eq(pad_id)]


def shift_in_numpy(tokens, pad_id):
    tokens = tokens.numpy()
    return tokens[:, :-1], tokens[:, 1:], tokens[:, 1:] != pad_id


def say_by_recursion(model, memory, bos_id, eos_id, max_len):
    def rest(token, state, left):
        if left == 0:
            return []
        logits, state = model.step(torch.tensor([token]), state)
        best = logits[0].softmax(0).argmax().item()
        return [] if best == eos_id else [best, *rest(best, state, left - 1)]

    return rest(bos_id, model.start(memory), max_len)


def say_as_tensors(model, memory, bos_id, eos_id, max_len):
    token, state, found = torch.tensor([bos_id]), model.start(memory), []
    for _ in range(max_len):
        logits, state = model.step(token, state)
        token = logits.max(-1).indices
        if token == eos_id:
            return torch.cat(found)
        found.append(token)
    return torch.cat(found)


def by_kind_in_lists(claimed, facts):
    found = defaultdict(list)
    for own, known in zip(claimed, facts, strict=True):
        for claim in own:
            found[claim[0]].append(claim in known)
    return {kind: np.mean(each) for kind, each in found.items()}


RIGHT = {
    "picture_first": [first_by_linear, first_by_loop],
    "shift": [shift_by_narrow, shift_in_numpy],
    "say": [say_by_recursion, say_as_tensors],
    "precision_by_kind": [by_kind_in_lists],
}


@pytest.mark.parametrize("name, answer", [(n, a) for n, each in RIGHT.items() for a in each])
def test_other_right_answers_pass(name, answer, capsys):
    passed, said = verdict(capsys, getattr(check, name), answer)
    assert passed, said


# --- mistakes, each with the words by which the student must recognise it


def joined(pool=lambda m: m.amax(1), use=None):
    def answer(memory, words, weight, bias):
        picture = F.linear(pool(memory), weight, bias if use is None else use(bias))
        return torch.cat([picture[:, None], words], 1)

    return answer


def first_mapped(memory, words, weight, bias):
    return torch.cat([F.linear(memory, weight, bias).amax(1, keepdim=True), words], 1)


def first_beside(memory, words, weight, bias):
    picture = F.linear(memory.amax(1, keepdim=True), weight, bias)
    return torch.cat([picture.expand_as(words), words], 2)


def first_at_the_end(memory, words, weight, bias):
    return torch.cat([words, F.linear(memory.amax(1), weight, bias)[:, None]], 1)


def first_added(memory, words, weight, bias):
    return words + F.linear(memory.amax(1), weight, bias)[:, None]


def first_all_places(memory, words, weight, bias):
    return torch.cat([F.linear(memory, weight, bias), words], 1)


def first_not_transposed(memory, words, weight, bias):
    return torch.cat([(memory.amax(1) @ weight + bias)[:, None], words], 1)


def first_without_time(memory, words, weight, bias):
    return torch.cat([F.linear(memory.amax(1), weight, bias), words], 1)


def shifted(
    inputs=lambda t: t[:, :-1], targets=lambda t: t[:, 1:], real=lambda t, p: t[:, 1:] != p
):
    return lambda tokens, pad_id: (inputs(tokens), targets(tokens), real(tokens, pad_id))


def loop(feed_bos=False, keep_state=True, keep_end=False, keep_bos=False, stop=True, more=0,
         choose=lambda logits: logits.argmax(-1), restart=False, end=None, keep=int):  # fmt: skip
    """A greedy loop with one thing wrong."""

    def answer(model, memory, bos_id, eos_id, max_len):
        token, state = torch.tensor([bos_id]), model.start(memory)
        found = [bos_id] if keep_bos else []
        for _ in range(max_len + more):
            logits, after = model.step(torch.tensor([bos_id]) if feed_bos else token, state)
            state = model.start(memory) if restart else after if keep_state else state
            token = choose(logits)
            if stop and token == (end or eos_id):
                return found + [eos_id] * keep_end
            found.append(keep(token))
        return found

    return answer


def say_counting_bos(model, memory, bos_id, eos_id, max_len):
    found, state = [bos_id], model.start(memory)
    while found[-1] != eos_id and len(found) < max_len:
        logits, state = model.step(torch.tensor(found[-1:]), state)
        found.append(logits.argmax().item())
    return found[1:-1]


def say_forever(model, memory, bos_id, eos_id, max_len):
    token, state = torch.tensor([bos_id]), model.start(memory)
    while True:
        logits, state = model.step(token, state)
        token = torch.zeros(1, dtype=torch.int64)


def say_a_number(model, memory, bos_id, eos_id, max_len):
    return model.step(bos_id, model.start(memory))


def counted(ratio):
    def answer(claimed, facts):
        said = Counter(c[0] for own in claimed for c in own)
        known = Counter(c[0] for own in facts for c in own)
        true = Counter(c[0] for own, f in zip(claimed, facts, strict=True) for c in own & f)
        return ratio(true, said, known)

    return answer


def each_once(claimed, facts):
    said = set().union(*claimed)
    true = set().union(*(own & known for own, known in zip(claimed, facts, strict=True)))
    return by_kind_in_lists([said], [true])


def one_pot(claimed, facts):
    pot = set().union(*claimed)
    return by_kind_in_lists([pot], [set().union(*facts)])


def facts_in_one_pot(claimed, facts):
    return by_kind_in_lists(claimed, [set().union(*facts)] * len(claimed))


def of_pictures(claimed, facts):
    each = [by_kind_in_lists([c], [f]) for c, f in zip(claimed, facts, strict=True)]
    kinds = {k for shares in each for k in shares}
    return {k: np.mean([shares[k] for shares in each if k in shares]) for k in kinds}


MISTAKES = {
    "picture_first": [
        (joined(lambda m: m.mean(1)), "the mean over the places"),
        (joined(lambda m: m.sum(1)), "the sum over the places"),
        (joined(lambda m: m[:, 0]), "only the first place"),
        (joined(use=lambda bias: 0 * bias), "the bias is not added"),
        (joined(lambda m: m.max(1)), "amax(1) returns the values alone"),
        (joined(lambda m: m.amax(2)), "pool over dimension 1"),
        (first_mapped, "first the maximum, then the map"),
        (first_beside, "time is dimension 1"),
        (first_at_the_end, "after the words"),
        (first_added, "a step of its own"),
        (first_all_places, "pool over the places first"),
        (first_not_transposed, "multiply by weight.T"),
        (first_without_time, "a time axis"),
        (lambda *_: None, "does not return its result"),
    ],
    "shift": [
        (shifted(targets=lambda t: t[:, :-1]), "copy the word it is given"),
        (shifted(lambda t: t[:, 1:], lambda t: t[:, :-1]), "exchanged"),
        (shifted(inputs=lambda t: t), "stays in the inputs"),
        (shifted(targets=lambda t: t), "are not moved"),
        (shifted(targets=lambda t: t.roll(-1, 1)), "brings <bos> round"),
        (shifted(lambda t: t[:-1], lambda t: t[1:], lambda t, p: t[1:] != p), "the last caption"),
        (shifted(real=lambda t, p: t[:, :-1] != p), "the target that must be real"),
        (shifted(real=lambda t, p: t[:, 1:] == p), "turn it round"),
        (shifted(real=lambda t, p: (t[:, 1:] != p) & (t[:, 1:] != 2)), "taught to stop"),
        (shifted(real=lambda t, p: t[:, 1:] != 0), "compare with pad_id"),
        (shifted(real=lambda t, p: t != p), "one column too many"),
        (shifted(targets=lambda t: t[:, 1:-1]), "is cut here too"),
        (lambda t, p: (t[:, :-1], t[:, 1:]), "return inputs, targets, real"),
        (lambda t, p: None, "return inputs, targets, real"),
    ],
    "say": [
        (loop(feed_bos=True), "hand the chosen word back in"),
        (loop(keep_state=False), "a new state: keep it"),
        (loop(restart=True), "handed over once"),
        (loop(keep_end=True), "a signal, not a word"),
        (loop(keep_bos=True), "where you begin"),
        (loop(stop=False), "goes on after <eos>"),
        (loop(more=1), "one word too many"),
        (loop(more=-1), "one word too few"),
        (loop(choose=lambda logits: logits.abs().argmax(-1)), "the largest logit"),
        (loop(choose=lambda logits: logits.argmin(-1)), "the largest logit"),
        (loop(end=2), "not at 2"),
        (loop(keep=lambda token: token), "keep int(token)"),
        (say_counting_bos, "<bos> is counted"),
        (loop(choose=lambda logits: logits.argmax()), "logits.argmax(-1) has that shape"),
        (say_forever, "never ends"),
        (say_a_number, "torch.tensor([word])"),
    ],
    "precision_by_kind": [
        (counted(lambda true, said, known: {k: true[k] / known[k] for k in known}), "this is recall"),
        (counted(lambda true, said, known: {k: true[k] / said[k] for k in true}), "the share 0"),
        (counted(lambda true, said, known: dict(true)), "divide by the number of claims"),
        (counted(lambda true, said, known: {k: 100 * true[k] / said[k] for k in said}), "per cent"),
        (counted(lambda true, said, known: {k: 1 - true[k] / said[k] for k in said}), "is true"),
        (counted(lambda true, said, known: {k: said[k] and true[k] / said[k] for k in known}), "only kinds"),
        (counted(lambda true, said, known: sum(true.values()) / sum(said.values())), "collect by claim[0]"),
        (each_once, "two claims"),
        (lambda claimed, facts: {c: 1.0 for own in claimed for c in own}, "collect by claim[0]"),
        (one_pot, "its own picture"),
        (facts_in_one_pot, "its own picture"),
        (of_pictures, "count over all pictures"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "name, answer, likely", [(n, a, words) for n, each in MISTAKES.items() for a, words in each]
)
def test_mistakes_are_named(name, answer, likely, capsys):
    assert_named(capsys, getattr(check, name), answer, likely)


def test_recorded_values_are_what_their_names_say():
    memory, weight, bias = (np.asarray(x, float) for x in (check.MEMORY, check.WEIGHT, check.BIAS))
    for recorded, pooled in (
        (check.PICTURE, memory.max(1)),
        (check.BY_MEAN, memory.mean(1)),
        (check.BY_SUM, memory.sum(1)),
        (check.FIRST_PLACE, memory[:, 0]),
        (np.asarray(check.NO_BIAS) + bias, memory.max(1)),
    ):
        assert np.allclose(pooled @ weight.T + bias, recorded)
    assert np.allclose((memory @ weight.T + bias).max(1), check.MAPPED_FIRST)


# --- the lesson's own figures


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_stories_mark_the_wrong_words_and_wrap_long_lines():
    long = ["word"] * 40
    told = [
        [("epoch 1", ["a", "red", "cat"], [False, True, False]), ("epoch 2", long, [False] * 40)]
    ]
    figure = plots.stories([np.zeros((3, 8, 8), np.uint8)], told, "t")
    picture, lines = figure.axes
    marked = [t.get_text() for t in lines.texts if t.get_color() == plots.RED]
    assert marked == ["‾‾‾", "red"]
    assert texts(lines).count("word") == 40
    assert len({t.xyann[1] for t in lines.texts if t.get_text() == "word"}) == 3
    figure.draw_without_rendering()


def test_unrolled_moves_the_targets_by_one():
    figure = plots.unrolled(np.zeros((3, 8, 8), np.uint8), ["a", "cat"], "t")
    for axes, steps in zip(figure.axes, (4, 3), strict=True):
        found = texts(axes)
        assert found.count("LSTM") == steps
        targets = [t.get_text() for t in axes.texts if t.get_color() == plots.RED]
        assert targets == ["a", "cat", "<eos>", "targets"]
        assert [t for t in found if t in ("<bos>", "a", "cat")].count("a") == 2
    figure.draw_without_rendering()
