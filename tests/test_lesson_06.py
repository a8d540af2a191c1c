"""Lesson 06's checks: they accept its solutions and others, and name the mistakes students make."""

import math

import numpy as np
import pytest
import torch
from lesson_solutions import assert_named, verdict
from torch.nn import functional as F

from coursekit.checks import lesson_06 as check

# --- other right answers


def merge_by_stack(tokens, pair, new):
    out = []
    for token in tokens:
        out.append(token)
        if tuple(out[-2:]) == pair:
            out[-2:] = [new]
    return out


def merge_by_replace(tokens, pair, new):
    text = "".join(map(chr, tokens))
    return list(map(ord, text.replace(chr(pair[0]) + chr(pair[1]), chr(new))))


def hide_by_where(scores):
    T, S = scores.shape[-2:]
    rows, columns = torch.arange(T)[:, None] + S - T, torch.arange(S)
    return torch.where(columns <= rows, scores, -torch.inf)


def hide_by_large_numbers(scores):
    T, S = scores.shape[-2:]
    return scores - 1e9 * torch.ones(S, S).triu(1)[S - T :]


def attend_by_library(query, key, value):
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def attend_by_loop(query, key, value):
    out = np.zeros(value.shape)
    for b, t in np.ndindex(query.shape[:2]):
        scores = key[b, : t + 1] @ query[b, t] / query.shape[-1] ** 0.5
        out[b, t] = scores.softmax(0) @ value[b, : t + 1]
    return out


def step_by_library(x, past, weight_q, weight_k, weight_v):
    keys = torch.cat([past[0], (x @ weight_k)[:, None]], 1)
    values = torch.cat([past[1], (x @ weight_v)[:, None]], 1)
    y = F.scaled_dot_product_attention((x @ weight_q)[:, None], keys, values)
    return y.squeeze(1), [keys, values]


RIGHT = {
    "merge": [merge_by_stack, merge_by_replace],
    "hide_future": [hide_by_where, hide_by_large_numbers],
    "attend": [attend_by_library, attend_by_loop],
    "step": [step_by_library],
}


@pytest.mark.parametrize("name, answer", [(n, a) for n, each in RIGHT.items() for a in each])
def test_other_right_answers_pass(name, answer, capsys):
    passed, said = verdict(capsys, getattr(check, name), answer)
    assert passed, said


# --- mistakes, each with the words by which the student must recognise it


def merged(step=2, both=False, stop=0, once=False, keep=True):
    """A merge with one thing wrong."""

    def answer(tokens, pair, new):
        pairs, out, i, done = {pair, pair[::-1]} if both else {pair}, [], 0, False
        while i < len(tokens) - stop:
            if tuple(tokens[i : i + 2]) in pairs and not (once and done):
                out.append(new)
                i, done = i + step, True
            else:
                out += [tokens[i]] if keep else []
                i += 1
        return out

    return answer


def merge_in_place(tokens, pair, new):
    i = 0
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) == pair:
            tokens[i : i + 2] = [new]
        i += 1
    return tokens


def merge_by_the_first(tokens, pair, new):
    out, i = [], 0
    while i < len(tokens):
        found = tokens[i] == pair[0]
        out.append(new if found else tokens[i])
        i += 2 if found else 1
    return out


def merge_by_zip(tokens, pair, new):
    return [new if (a, b) == pair else a for a, b in zip(tokens, tokens[1:], strict=False)]


def merge_from_the_right(tokens, pair, new):
    return merged()(tokens[::-1], pair[::-1], new)[::-1]


def hidden(shape=lambda T, S: torch.ones(T, S).triu(S - T + 1) > 0, value=-torch.inf):
    return lambda scores: scores.masked_fill(shape(*scores.shape[-2:]), value)


def hide_and_softmax(scores):
    return hidden()(scores).softmax(-1)


def attended(scale=lambda d, e, T: math.sqrt(d), mask=lambda s: s.masked_fill(ahead(s), -torch.inf),
             share=lambda s: s.softmax(-1), exchange=False):  # fmt: skip
    def answer(query, key, value):
        if exchange:
            query, key = key, query
        d, e, T = query.shape[-1], value.shape[-1], query.shape[-2]
        return share(mask(query @ key.mT / scale(d, e, T))) @ value

    return answer


def ahead(scores, by=1):
    return torch.ones(scores.shape[-2:]).triu(by) > 0


def after(scores):
    return scores.softmax(-1) * ~ahead(scores)


def naive(scores):
    return scores.exp() / scores.exp().sum(-1, keepdim=True)


def same(x):
    return x


def stepped(
    join=lambda old, new: torch.cat([old, new[:, None]], 1), look=None, give=same, late=False
):
    """A step with one thing wrong. look: scores (B, S + 1), keys and values → the mean (B, d)."""

    def answer(x, past, weight_q, weight_k, weight_v):
        query = x @ weight_q
        keys, values = join(past[0], x @ weight_k), join(past[1], x @ weight_v)
        asked = past if late else (keys, values)
        scores = torch.einsum("bd,bsd->bs", query, asked[0])
        y = (look or looked())(scores, asked[1])
        return give((y, (keys, values)))

    return answer


def looked(scale=2**0.5, dim=1, mask=same, share=None):
    def look(scores, values):
        shares = share(scores / scale) if share else mask(scores / scale).softmax(dim)
        return torch.einsum("bs,bsd->bd", shares, values)

    return look


def first_only(scores):
    return scores.masked_fill(torch.arange(scores.shape[1]) > 0, -torch.inf)


def new_only(x, past, weight_q, weight_k, weight_v):
    past = stepped()(x, past, weight_q, weight_k, weight_v)[1]
    return x @ weight_v, past


def step_in_place(x, past, weight_q, weight_k, weight_v):
    found = stepped()(x, past, weight_q, weight_k, weight_v)
    for old in past:
        old *= 0.5
    return found


MISTAKES = {
    "merge": [
        (merged(once=True), "only the first one"),
        (merged(both=True), "the other way round"),
        (merged(step=1), "skip two tokens"),
        (merged(stop=1), "the end is lost"),
        (merged(keep=False), "must stay"),
        (lambda tokens, pair, new: tokens, "nothing is merged"),
        (merge_by_the_first, "whatever follows"),
        (merge_by_zip, "may be lost"),
        (lambda t, pair, new: [new if one in pair else one for one in t], "each half is replaced"),
        (merge_in_place, "the list that was given is changed"),
        (merge_from_the_right, "from left to right"),
        (lambda t, p, n: None, "does not return its result"),
    ],
    "hide_future": [
        (hidden(lambda T, S: torch.ones(T, S).triu(1) > 0), "right for S = T"),
        (hidden(lambda T, S: torch.ones(T, S).triu(S - T) > 0), "may see itself"),
        (hidden(lambda T, S: torch.ones(T, S).triu(S - T + 2) > 0), "one too many"),
        (hidden(lambda T, S: torch.ones(T, S).tril(S - T - 1) > 0), "the wrong half"),
        (hidden(lambda T, S: torch.ones(T, S).tril(S - T) > 0), "invert the mask"),
        (hidden(value=0.0), "0 is a score like any other"),
        (hidden(value=torch.inf), "holds inf"),
        (hidden(value=-100.0), "holds -100"),
        (hide_and_softmax, "the softmax comes after"),
        (lambda s: hidden()(s)[..., 0], "every score stays in its place"),
        (lambda s: (s * 0).masked_fill(s > 9, 1) * -torch.inf, "infinity times 0"),
        (lambda s: 2 * hidden()(s), "stay as they are"),
        (lambda s: None, "does not return its result"),
    ],
    "attend": [
        (attended(lambda d, e, T: 1), "not divided by the root"),
        (attended(lambda d, e, T: d), "divided by d"),
        (attended(lambda d, e, T: 1 / math.sqrt(d)), "multiplied by the root"),
        (attended(lambda d, e, T: math.sqrt(T)), "the number of words"),
        (attended(lambda d, e, T: math.sqrt(e)), "the size of a value"),
        (attended(mask=same), "no mask"),
        (attended(mask=lambda s: s.masked_fill(ahead(s, 2), -torch.inf)), "the next word through"),
        (attended(mask=lambda s: s.masked_fill(ahead(s).mT, -torch.inf)), "shows the future"),
        (attended(mask=lambda s: s.masked_fill(ahead(s, 0), -torch.inf)), "sees nothing"),
        (attended(mask=lambda s: s * ~ahead(s)), "set to 0"),
        (attended(share=lambda s: s.softmax(1)), "over the queries"),
        (attended(share=lambda s: s.softmax(0)), "over the batch"),
        (attended(share=same), "is multiplied with the values"),
        (attended(mask=lambda s: s + ahead(s) * -torch.inf), "infinity times 0"),
        (attended(share=lambda s: s.nan_to_num(neginf=0.0)), "the scores themselves"),
        (attended(mask=same, share=after), "masked after the softmax"),
        (attended(share=naive), "subtracts the largest"),
        (attended(exchange=True), "exchanged"),
        (lambda q, k, v: attended()(q, k, torch.eye(3).expand(2, 3, 3)), "these are the weights"),
        (lambda q, k, v: None, "does not return its result"),
    ],
    "step": [
        (stepped(look=looked(1.0)), "not divided by the root"),
        (stepped(look=looked(2.0)), "divided by d"),
        (stepped(look=looked(3**0.5)), "which is E"),
        (stepped(look=looked(dim=0)), "goes over the batch"),
        (stepped(look=looked(share=torch.ones_like)), "every share is 1"),
        (stepped(look=looked(share=same)), "the scores themselves"),
        (stepped(look=looked(share=lambda s: s.softmax(1) / s.shape[1])), "add up"),
        (stepped(look=looked(mask=first_only)), "needs no mask"),
        (stepped(look=lambda s, v: v.mean(1)), "all places alike"),
        (new_only, "only the new word"),
        (stepped(late=True), "the new word is not asked"),
        (stepped(join=lambda old, new: torch.cat([new[:, None], old], 1)), "it comes last"),
        (stepped(join=lambda old, new: old, look=lambda s, v: torch.zeros(2, 2)), "the new word's is missing"),
        (stepped(give=lambda found: (found[0], found[1][::-1])), "keys and values are exchanged"),
        (stepped(give=lambda found: (found[0][:, None], found[1])), "take the one query out"),
        (stepped(give=lambda found: found[0]), "return y, (keys, values)"),
        (step_in_place, "the past that was given is changed"),
        (lambda *given: None, "does not return its result"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "name, answer, likely", [(n, a, words) for n, each in MISTAKES.items() for a, words in each]
)
def test_mistakes_are_named(name, answer, likely, capsys):
    assert_named(capsys, getattr(check, name), answer, likely)


@pytest.mark.parametrize("empty", [[], [5], [6, 5]])
def test_short_lists_are_asked_for(empty, capsys):
    def answer(tokens, pair, new):
        return [new] if tokens == empty else merge_by_stack(tokens, pair, new)

    assert_named(capsys, check.merge, answer, "comes back as it is")


def test_recorded_values_tell_mistakes_apart():
    attended_ = [check.ATTENDED, *(np.reshape(flat, (2, 3, 2)) for flat, _ in check.ATTENDING)]
    stepped_ = [check.STEPS[2], *(value for value, _ in check.STEPPING)]
    for values in (attended_, stepped_):
        for i, one in enumerate(values):
            for other in values[:i]:
                assert np.abs(np.asarray(one) - np.asarray(other)).max() > 1e-3


def test_recorded_keys_and_values_are_those_of_the_words():
    words, (_, weight_k, weight_v) = np.array(check.WORDS), map(np.array, check.WEIGHTS)
    assert np.einsum("sbi,id->bsd", words, weight_k).tolist() == check.KEYS
    assert np.einsum("sbi,id->bsd", words, weight_v).tolist() == check.VALUES
