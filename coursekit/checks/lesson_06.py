"""The checks of lesson 06: one merge, the causal mask, one head of attention, a step with a cache."""

import numpy as np
import torch

from coursekit.checks.core import Wrong, as_array, exercise, expect_close, expect_equal

# 5, 6 becomes 9: side by side, parted, the other way round, and at the end
TOKENS, PAIR, NEW = [5, 6, 5, 6, 6, 5, 7, 5, 5, 6], (5, 6), 9
MERGED = [9, 9, 6, 5, 7, 5, 9]
# 4, 4 becomes 8: three, two and five in a row
ROWS, TWINS = [4, 4, 4, 1, 4, 4, 2, 4, 4, 4, 4, 4], (4, 4)
ROWS_MERGED = [8, 4, 1, 8, 2, 8, 8, 4]


@exercise("merge")
def merge(answer):
    """answer(tokens: list of ints, pair of ints, new int) -> list of ints."""
    given = list(TOKENS)
    got = answer(given, PAIR, NEW)
    mistakes = [
        ([9, 5, 6, 6, 5, 7, 5, 5, 6], "only the first one is merged: go on to the end"),
        ([9, 9, 9, 7, 5, 9], "the pair is merged the other way round as well: 6, 5 is another pair"),
        ([9, 6, 9, 6, 6, 5, 7, 5, 9, 6], "the second half is still there: skip two tokens after a merge"),
        ([9, 9, 6, 5, 7, 5], "the end is lost: what follows the last pair, or the last pair itself"),
        ([9, 9, 6, 5, 7, 5, 5, 6], "a pair at the very end is missed: look up to the last two"),
        ([9, 9, 7], "tokens that are not part of the pair must stay"),
        ([9, 9, 9], "tokens that are not part of the pair must stay"),
        ([9, 9, 6, 9, 9, 6], "pair[0] alone is merged, whatever follows: look at the next token, too"),
        ([9, 6, 9, 6, 6, 5, 7, 5, 9], "the second half is still there, and the last token may be lost: skip two after a merge"),
        ([9, 9, 9, 9, 9, 9, 7, 9, 9, 9], "each half is replaced, wherever it stands: only both together, side by side"),
        (TOKENS, "nothing is merged: are tokens[i], tokens[i + 1] compared with pair[0], pair[1]? A list never equals a tuple"),
    ]  # fmt: skip
    expect_equal(got, MERGED, f"merge({TOKENS}, {PAIR}, {NEW})", mistakes=mistakes)
    if given != TOKENS:
        why = "the list that was given is changed: fill a new list and return that"
        raise Wrong(f"tokens left as they were, {TOKENS}", given, why)
    mistakes = [
        ([8, 8, 1, 8, 2, 8, 8, 8, 8], "a token serves in two pairs: after a merge, skip both"),
        ([8, 4, 1, 8, 2, 8, 8], "the end is lost: a last token without a partner stays"),
        ([4, 8, 1, 8, 2, 4, 8, 8], "merged from the right: go from left to right"),
        ([8, 1, 8, 2, 8, 8], "the odd one of three is lost: a token without a partner stays"),
    ]
    expect_equal(answer(list(ROWS), TWINS, 8), ROWS_MERGED, f"merge({ROWS}, {TWINS}, 8)", mistakes=mistakes)  # fmt: skip
    for short in ([], [5], [6, 5]):
        why = "a list without the pair comes back as it is, also an empty one"
        expect_equal(answer(list(short), PAIR, NEW), short, f"merge({short}, …)", why)


# What each of the T queries may see of S places: 1 yes, 0 no
SEEN = {(3, 3): ["100", "110", "111"], (3, 5): ["11100", "11110", "11111"], (1, 4): ["1111"]}
NO_OFFSET = {(3, 5): ["10000", "11000", "11100"], (1, 4): ["1000"]}
STRICT = {(3, 3): ["000", "100", "110"], (3, 5): ["11000", "11100", "11110"], (1, 4): ["1110"]}
ONE_AHEAD = {(3, 3): ["110", "111", "111"], (3, 5): ["11110", "11111", "11111"]}
FUTURE = {(3, 3): ["111", "011", "001"], (3, 5): ["00111", "00011", "00001"]}
INVERSE = {(3, 3): ["011", "001", "000"], (3, 5): ["00011", "00001", "00000"]}
MASKS = [
    (NO_OFFSET, "right for S = T; else the first query is number S - T of the S places, and sees those before, too"),
    (STRICT, "a word may see itself, too: what it must not see begins after it"),
    (ONE_AHEAD, "one too many: place t + 1 holds the word that query t must guess"),
    (FUTURE, "the wrong half: this hides the past and shows the future"),
    (INVERSE, "what is to be hidden is shown, and the other way round: invert the mask"),
]  # fmt: skip


@exercise("hide_future")
def hide_future(answer):
    """answer(scores (B, heads, T, S)) -> scores with minus infinity where a query must not look."""
    for (T, S), rows in SEEN.items():
        scores = torch.randn(2, 4, T, S, generator=torch.Generator().manual_seed(T * S))
        got = as_array(answer(scores.clone()), "the scores")
        if got.shape != (2, 4, T, S):
            why = "every score stays in its place; a mask (T, S) fits all sentences and heads"
            raise Wrong(f"scores of shape {(2, 4, T, S)}", f"shape {got.shape}", why)
        if np.isnan(got).any():
            why = "infinity times 0 is nan: use masked_fill, or torch.where"
            raise Wrong("scores without nan", "nan", why)
        if (got >= 0).all() and np.abs(got.sum(-1) - 1).max() < 1e-4:
            why = "these are shares: return the scores themselves; the softmax comes after"
            raise Wrong("scores", "rows that sum to 1", why)
        _judge_mask(got, scores.numpy(), rows, (T, S))


def _judge_mask(got, scores, rows, shape):
    shown, wanted = got > -1e4, _mask(rows)
    for mask, why in MASKS:
        if shape in mask and (shown == _mask(mask[shape])).all():
            _refuse_mask(rows, shown, why)
    if (shown != wanted).any():
        _refuse_mask(rows, shown, _instead_of_infinity(got[..., ~wanted]))
    why = "scores that are not hidden stay as they are"
    expect_close(got[..., wanted], scores[..., wanted], "the scores that are shown", likely=why)


def _instead_of_infinity(hidden):
    """What is wrong with the one number that stands in all hidden places, or None."""
    if (np.abs(hidden) < 1e-6).all():
        return "0 is a score like any other, and softmax gives it a share: minus infinity"
    if hidden.size and (hidden == hidden.flat[0]).all():
        return f"what is hidden holds {hidden.flat[0]:g}: it must be minus infinity"
    return None


def _mask(rows):
    return np.array([[letter == "1" for letter in row] for row in rows])


def _refuse_mask(rows, shown, why):
    got = ["".join("01"[int(one)] for one in row) for row in shown[0, 0]]
    raise Wrong(f"of S = {len(rows[0])} places the queries see {rows}", got, why)


# B = 2, T = 3, d = 4 for queries and keys, e = 2 for values
QUERY = [[[1, -2, 0, 1], [0, 1, 2, -1], [2, 0, -1, 1]], [[-1, 1, 1, 0], [1, 1, 0, 2], [0, -2, 1, 1]]]  # fmt: skip
KEY = [[[0, 1, -1, 2], [1, 0, 1, 1], [-1, 2, 0, 1]], [[2, 0, 1, -1], [1, -1, 0, 1], [0, 1, 2, 1]]]
VALUE = [[[4, -1], [0, 3], [-2, 5]], [[1, 0], [-3, 2], [6, -4]]]
ATTENDED = [[[4, -1], [0.476812, 2.523188], [2.140997, 0.859003]], [[1, 0], [-1.924234, 1.462117], [-0.358007, 0.332168]]]  # fmt: skip
# The same with the mistake that the sentence tells
ATTENDING = [
    ([4, -1, 0.071945, 2.928055, 2.859171, 0.140829, 1, 0, -2.523188, 1.761594, -1.804203, 1.230809], "the scores are not divided by the root of d"),
    ([4, -1, 1.075766, 1.924234, 1.5206, 1.479401, 1, 0, -1.489837, 1.244919, 0.534683, -0.204975], "divided by d; divide by its square root"),
    ([4, -1, 0.001341, 2.998658, 3.521557, -0.521557, 1, 0, -2.928055, 1.964028, -2.828804, 1.887488], "multiplied by the root of d: divide by it"),
    ([4, -1, 0.361389, 2.63861, 2.289003, 0.710997, 1, 0, -2.041474, 1.520737, -0.624747, 0.495547], "divided by the root of T, the number of words; d is the size of a query"),
    ([4, -1, 0.223229, 2.776771, 2.500872, 0.499129, 1, 0, -2.217719, 1.608859, -1.042874, 0.753882], "divided by the root of e, the size of a value; d is the size of a query"),
    ([0.967748, 2.032252, -0.683105, 3.683105, 2.140997, 0.859003, 4.837344, -3.150785, 2.406751, -1.5232, -0.358007, 0.332168], "no mask: the first word looks at the last"),
    ([0.701162, -0.17529, 0.15645, 1.093509, 1.142388, 6.081781, 0.232697, 0, -0.74897, 0.755081, 4.516273, -2.755081], "the softmax goes over the queries: each query shares 1 among the keys, the last dimension"),
    ([1.037986, -0.259496, 0.253516, 1.341553, 2.140997, 0.859003, 0.111166, 0, -0.872545, 0.662998, -0.358007, 0.332168], "masked after the softmax: the shares no longer sum to 1; mask the scores"),
    ([0.967748, 2.032252, -1, 4, -2, 5, 4.837344, -3.150785, 2.602134, -1.734756, 6, -4], "the mask hides the past and shows the future"),
    ([4, -1, 2.489837, 0.510163, -0.280985, 3.280985, 1, 0, -2.523188, 1.761594, 0.087537, 0.223188], "queries and keys are exchanged: row t belongs to query t"),
    ([0, 0, -6, 3, 7, -1, -0.5, 0, -3, 2, -1.5, 1], "the scores themselves as weights; softmax makes shares of 1 of them"),
    ([0.666667, 2.333333, -0.385633, 3.385633, 2.140997, 0.859003, 1.383652, -0.767303, -0.24476, 0.304468, -0.358007, 0.332168], "hidden scores are set to 0, which is a score like any other: minus infinity"),
    ([1.075766, 1.924234, -0.683105, 3.683105, 2.140997, 0.859003, -0.510163, 0.755081, 2.406751, -1.5232, -0.358007, 0.332168], "the mask lets the next word through: triu(1), not triu(2)"),
]  # fmt: skip


@exercise("attend")
def attend(answer):
    """answer(query (B, T, d), key (B, T, d), value (B, T, e)) -> (B, T, e)."""
    query, key, value = (torch.tensor(part, dtype=torch.float32) for part in (QUERY, KEY, VALUE))
    got = as_array(answer(query.clone(), key.clone(), value.clone()), "what is gathered")
    if got.shape == (2, 3, 3):
        why = "these are the weights; multiply them with the values, weights @ value"
        raise Wrong("a mean of values of shape (2, 3, 2)", "shape (2, 3, 3)", why)
    if got.shape == (2, 3, 2) and not np.isfinite(got).all():
        raise Wrong("numbers for every word", "nan or inf", _nan_because(got))
    mistakes = [(np.reshape(flat, (2, 3, 2)), why) for flat, why in ATTENDING]
    expect_close(got, ATTENDED, "what is gathered", 1e-4, mistakes=mistakes)
    large = answer(1000 * query, key.clone(), value.clone())
    why = "exp of a large score is infinite; torch.softmax subtracts the largest first"
    steep = [[[4, -1], [0, 3], [4, -1]], [[1, 0], [-3, 2], [-3, 2]]]
    expect_close(large, steep, "with queries a thousand times as large", 1e-4, why)
    (first,) = answer(query[:1, :1], key[:1, :1], value[:1, :1])
    expect_close(first, [[4, -1]], "the first word alone, T = 1", 1e-4)


def _nan_because(got):
    """The likely cause by the words that are nan; got (B, T, e)."""
    rows = np.isnan(got).all((0, 2)).tolist()  # T
    causes = {
        (True, False, False): "the first word sees nothing, and a softmax over nothing is nan: it sees itself",
        (True, True, False): "the softmax goes over the batch; each query shares 1 among the keys, the last dimension",
        (True, True, True): "infinity times 0 is nan: use masked_fill, or torch.where",
    }  # fmt: skip
    if np.isinf(got).any():
        return (
            "minus infinity is multiplied with the values: softmax makes shares of the scores first"
        )
    return causes.get(tuple(rows))


# B = 2, E = 3, d = 2; one more word at each of the four steps
WORDS = [[[1, 0, -1], [2, 1, 0]], [[0, 2, 1], [-1, 1, 1]], [[1, -1, 2], [0, 1, -2]], [[2, 0, 1], [1, 1, 1]]]  # fmt: skip
WEIGHTS = [[1, 0], [-1, 2], [0, 1]], [[0, 1], [1, 1], [-2, 1]], [[2, 0], [0, 1], [1, -1]]
KEYS = [[[2, 0], [0, 3], [-5, 2], [-2, 3]], [[1, 3], [-1, 1], [5, -1], [-1, 3]]]
VALUES = [[[1, 1], [1, 1], [4, -3], [5, -1]], [[4, 1], [-1, 0], [-2, 3], [3, 0]]]
STEPS = [[[1, 1], [4, 1]], [[1, 1], [3.022148, 0.80443]], [[1.000142, 0.99981], [-0.04475, 0.227617]],
         [[1.076978, 0.961172], [3.467339, 0.49669]]]  # fmt: skip
# The third of them, with the mistake that the sentence tells
STEPPING = [
    ([[1.000002, 0.999997], [-0.407462, 0.125479]], "the scores are not divided by the root of d"),
    ([[1.002408, 0.99679], [0.262363, 0.364854]], "divided by d; divide by its square root"),
    ([[1.000842, 0.998877], [0.147057, 0.303802]], "divided by the root of 3, which is E and the number of places; d is the size of a query, here 2"),
    ([[1, 1], [4, 1]], "this is the first place alone: a single query needs no mask, all it finds is past"),
    ([[2, -0.333333], [0.333333, 1.333333]], "all places alike: the softmax goes over the places, dimension 1 of the scores (B, S + 1)"),
    ([[4, -3], [-2, 3]], "only the new word is asked: join its key and value to the past first"),
    ([[1, 1], [-0.022148, 0.19557]], "the new word is not asked: join its key and value first, then look"),
    ([[1.415192, 1.216967], [-2.499854, 2.943364]], "the softmax goes over the batch; the places are the last dimension of the scores"),
    ([[6, -1], [1, 4]], "every share is 1: the softmax goes over a dimension of size 1; take the places"),
    ([[-25.455845, 24.04163], [3.535534, -11.313708]], "the scores themselves as weights; softmax makes shares of 1 of them"),
    ([[0.333381, 0.33327], [-0.014917, 0.075872]], "divided by the number of places: the shares sum to 1 already, so add up"),
    ([[-4.832382, 1.986032], [2.999327, -0.307689]], "keys and values are exchanged: ask the keys, take the values"),
]  # fmt: skip


@exercise("step")
def step(answer):
    """answer(x (B, E), past, weight_q, weight_k, weight_v (E, d)) -> (B, d), and the past with one place more."""
    weights = [torch.tensor(weight, dtype=torch.float32) for weight in WEIGHTS]
    past, means = (torch.zeros(2, 0, 2), torch.zeros(2, 0, 2)), []
    for t, x in enumerate(torch.tensor(WORDS, dtype=torch.float32)):
        before = [part.clone() for part in past]
        mean, found = _two_parts(answer(x.clone(), past, *weights))
        if any(one.shape != kept.shape or not torch.equal(one, kept) for one, kept in zip(past, before, strict=True)):  # fmt: skip
            why = "the past that was given is changed, and a beam search needs it again: torch.cat makes a new one"
            raise Wrong("the old past left as it was", "another one", why)
        _judge_past(found, t)
        means.append(mean)
        past = tuple(torch.as_tensor(part).detach() for part in found)
    for t in (2, 0, 1, 3):  # the third tells mistakes apart
        if np.shape(means[t]) == (2, 1, 2):
            why = "take the one query out again: y[:, 0]"
            raise Wrong("a mean of shape (2, 2)", "shape (2, 1, 2)", why)
        mistakes = STEPPING if t == 2 else ()
        expect_close(means[t], STEPS[t], f"the mean at step {t}", 1e-4, mistakes=mistakes)


def _two_parts(found):
    """The mean and the past of a student's step."""
    if found is None:
        raise Wrong("a mean and a past", "None", "the function does not return its result")
    pair = isinstance(found, (tuple, list)) and len(found) == 2
    if not (pair and isinstance(found[1], (tuple, list)) and len(found[1]) == 2):
        why = "return y, (keys, values): the mean, and the past for the next step"
        raise Wrong("two things, the second of them a pair", f"a {type(found).__name__}", why)
    return found


def _judge_past(past, t):
    """Keys and values after step t: those of t + 1 words."""
    known = [np.array(part)[:, : t + 1] for part in (KEYS, VALUES)]
    for name, got, wanted, other in zip(("keys", "values"), past, known, known[::-1], strict=True):
        got = as_array(got, f"the {name} of the past")
        if got.shape == (2, t, 2):
            why = "the new word's is missing: join it to the past along dimension 1, the places"
            raise Wrong(f"{name} of {t + 1} places", f"{t}", why)
        mistakes = [
            (np.concatenate([wanted[:, -1:], wanted[:, :-1]], 1), "the new place stands in front: it comes last"),
            (wanted[:, ::-1], "the new place stands in front: it comes last"),
            (other, "keys and values are exchanged"),
        ]  # fmt: skip
        why = (
            "keys are x @ weight_k, values x @ weight_v; join them along dimension 1, (B, S + 1, d)"
        )
        name = f"the {name} after step {t}"
        expect_close(got, wanted, name, 1e-4, likely=why, mistakes=mistakes)
