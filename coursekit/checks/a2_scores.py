"""The checks of assignment a2 about BLEU: clipped counts, the brevity penalty, the score of a corpus.

All compare with `program`, pycocoevalcap's module bleu.bleu_scorer, which the assignment hands over.
"""

import math
import re

import numpy as np

from coursekit.checks.a2_common import expect_all, expect_number, grams, place_of
from coursekit.checks.core import Wrong, exercise, expect_shape

# --- 4 clipped counts ---------------------------------------------------------------------------
CANDIDATES = [
    "the the the the the the the the the cat cat on",
    "a red boat on the lake and a red boat on the lake",
    "a boat",
]
REFERENCES = [
    # Of the first caption 7 words are matched; every mistake below finds another number
    ["the cat is on the mat by the door", "the cat on the mat by the door of the house", "a cat and a cat under the mat"],
    ["a red boat on the lake", "on the lake is a red boat on the water", "a boat and a lake"],
    ["a red boat sails", "one small boat is out there"],
]  # fmt: skip
ONE_LENGTH = "n-grams of n words alone, not of every length up to n"


@exercise("clipped_counts")
def clipped_counts(answer, program, candidates=CANDIDATES, references=REFERENCES):
    """answer(candidate, references, n), lists of words -> n-grams that are matched, n-grams in all."""
    names, found, truth, totals, matches = [], [], [], [], []
    for told, each in zip(candidates, references, strict=True):
        cooked = program.cook_test(told, program.cook_refs(each))
        for n in (1, 2, 3, 4):
            given = told.split(), [one.split() for one in each]
            names.append(f"of the {n}-grams of '{told}'")
            found.append(_two_counts(answer(*given, n), n))
            if given != (told.split(), [one.split() for one in each]):
                why = "remove and pop change the caller's lists: count in a dictionary of your own"
                raise Wrong("the given lists are left as they were", "they change", why)
            truth.append([cooked["correct"][n - 1], cooked["guess"][n - 1]])
            totals.append(_wrong_totals(told.split(), n))
            matches.append(_wrong_matches(*given, n))
    _expect_counts(names, np.array(found), np.array(truth), _joined(totals), _joined(matches))


def _expect_counts(names, found, truth, totals, matches):
    if (found == truth[:, ::-1]).all() and (found != truth).any():
        place = (found != truth).any(1).argmax()
        want, got = (f"{pair[0]:g}, then {pair[1]:g}" for pair in (truth[place], found[place]))
        raise Wrong(
            f"matched, then total, {names[place]}: {want}", got, "the two results are exchanged"
        )
    expect_all(found[:, 1], truth[:, 1], [f"the total {name}" for name in names], 0, totals)
    expect_all(found[:, 0], truth[:, 0], [f"the matched ones {name}" for name in names], 0, matches)


def _joined(mistakes):
    """Lists of pairs (number, why), one list a case -> pairs (numbers of all cases, why)."""
    return [([number for number, _ in each], each[0][1]) for each in zip(*mistakes, strict=True)]


def _two_counts(got, n):
    got = got.tolist() if hasattr(got, "tolist") else got
    listed = isinstance(got, (tuple, list))
    nested = listed and any(isinstance(one, (tuple, list)) for one in got)
    if listed and len(got) == 2 and not nested:
        return [float(expect_shape(one, (), "a count", "one number")) for one in got]
    why = ONE_LENGTH if nested else "return matched, total"
    told = "None" if got is None else f"{got}" if listed else f"a {type(got).__name__}"
    raise Wrong(f"two numbers for n = {n}, matched and total", told, why)


def _wrong_totals(words, n):
    """Pairs (wrong number, why), of counting with one mistake."""
    L = len(words)
    return [
        (L - n + 1, "a caption shorter than n has no n-grams: not less than 0"),
        (L, "these are the words; a caption of L words has L - n + 1 n-grams"),
        (max(0, L - n), "one too few: a caption of L words has L - n + 1 n-grams"),
        (len(set(grams(words, n))), "each n-gram of the caption counts as often as it stands there"),
        (sum(max(0, L - k + 1) for k in range(1, n + 1)), ONE_LENGTH),
    ]  # fmt: skip


def _wrong_matches(words, references, n):
    own, theirs = grams(words, n), [grams(one, n) for one in references]
    pool = [gram for each in theirs for gram in each]
    clipped = [{g: min(own.count(g), each.count(g)) for g in set(own)} for each in theirs]
    summed = sum(min(own.count(g), pool.count(g)) for g in set(own))
    each_alone = [sum(counts.values()) for counts in clipped]
    return [
        (max(each_alone), "the best single reference: clip every n-gram by its own largest count"),
        (each_alone[0], "only the first reference is used"),
        (each_alone[-1], "only the last reference is used"),
        (sum(each_alone), "the references are added up: for each n-gram take the largest count"),
        (summed, "clipped by the sum over references: take the largest count of any one of them"),
        (sum(min(counts[g] for counts in clipped) for g in set(own)), "the smallest count of a reference; ask for the largest"),
        (len(set(own) & set(pool)), "each n-gram counts once; it counts up to the clip"),
        (sum(g in pool for g in own), "nothing is clipped: min(its count, the largest count of a reference)"),
    ]  # fmt: skip


# --- 5 brevity penalty --------------------------------------------------------------------------
LENGTHS = [
    ([7, 4, 9], [[9, 8, 2], [5, 3, 8], [12, 16]]),
    ([6, 7], [[4, 5], [6, 9]]),
    ([3], [[3, 5]]),
    ([3, 2], [[8, 7], [6, 9]]),  # r is more than twice c
]
NOTHING = [0, 0], [[4], [6, 2]]
EMPTY = "an empty corpus has the penalty 0: where c is 0, do not divide by it"


@exercise("brevity_penalty")
def brevity_penalty(answer, program, lengths=LENGTHS):
    """answer(candidate_lengths, reference_lengths) -> the corpus's penalty, 0 to 1."""
    names = [f"the penalty of lengths {own} with references {theirs}" for own, theirs in lengths]
    found = [_one_penalty(answer, *case, name) for case, name in zip(lengths, names, strict=True)]
    wrong = _joined([_wrong_penalties(program, *case) for case in lengths])
    truth = [_penalty(sum(own), _closest(program, own, theirs)) for own, theirs in lengths]
    expect_all(found, truth, names, 1e-6, wrong)
    name = f"the penalty of lengths {NOTHING[0]}"
    try:
        expect_number(_one_penalty(answer, *NOTHING, name), 0.0, name, 1e-6, EMPTY)
    except ZeroDivisionError as error:
        raise Wrong(f"{name} = 0", f"ZeroDivisionError{place_of(error)}", EMPTY) from None


def _one_penalty(answer, own, theirs, name):
    given = list(own), [list(each) for each in theirs]
    got = answer(*given)
    if given != (list(own), [list(each) for each in theirs]):
        why = "sorted() makes a new list, sort() does not"
        raise Wrong("the given lists are left as they were", "they change", why)
    return float(expect_shape(got, (), name, "one number for the whole corpus"))


def _closest(program, own, theirs):
    """pycocoevalcap's effective length of the references."""
    pick = program.BleuScorer()._single_reflen
    return sum(pick(each, "closest", c) for c, each in zip(own, theirs, strict=True))


def _penalty(c, r):
    return 1.0 if c >= r else math.exp(1 - r / c) if c else 0.0


def _wrong_penalties(program, own, theirs):
    """Pairs (wrong penalty, why), of computing with one mistake."""
    c, pairs = sum(own), list(zip(own, theirs, strict=True))
    longer = sum(min(each, key=lambda r, c=c: (abs(r - c), -r)) for c, each in pairs)
    r = _closest(program, own, theirs)
    alone = [_penalty(one, _closest(program, [one], [each])) for one, each in pairs]
    return [
        (max(1, math.exp(1 - r / c)), "the two cases are exchanged: 1 where c is at least r, exp(1 - r / c) where it is less"),
        (_penalty(r, c), "r and c are exchanged: long captions would be punished"),
        (1 if c >= r else math.exp(1 - c / r), "the ratio is turned round: exp(1 - r / c)"),
        (1 if c >= r else math.exp(r / c - 1), "the sign of the exponent is turned round: exp(1 - r / c)"),
        (min(1, math.exp(r / c - 1)), "the sign of the exponent is turned round: exp(1 - r / c)"),
        (1 if c >= r else math.exp(1 - r // c), "// drops the fraction of r / c: divide with /"),
        (min(1, 1 - r / c), "the exponential is missing: exp(1 - r / c)"),
        (1, "always 1: where c is less than r, the penalty is exp(1 - r / c)"),
        (_penalty(c, longer), "of two references equally close the shorter one counts"),
        (_penalty(c, sum(np.mean(each) for each in theirs)), "the mean length of the references; ask for the closest"),
        (_penalty(c, sum(map(min, theirs))), "the shortest reference; ask for the closest"),
        (_penalty(c, sum(map(max, theirs))), "the longest reference; ask for the closest"),
        (_penalty(c, sum(each[0] for each in theirs)), "the first reference; ask for the closest"),
        (_penalty(c, sum(map(sum, theirs))), "the lengths of all references are added up; ask for the closest one of each picture"),
        (np.mean(alone), "a mean of each caption's penalty; add the lengths over all captions first"),
        (math.prod(alone), "a product of each caption's penalty; add the lengths over all captions first"),
        (math.exp(1 - r / c), "long captions gain by it: the penalty is at most 1"),
        (min(1, c / r), "the ratio c / r itself; the penalty is exp(1 - r / c)"),
        (1 - _penalty(c, r), "this is 1 minus the penalty: 1 means that nothing is taken away"),
    ]  # fmt: skip


# --- 6 corpus BLEU ------------------------------------------------------------------------------
# The second corpus has no 4-gram in common, the third no caption of four words
CORPORA = [
    (
        [*CANDIDATES[:2], "a cat on the mat"],
        [*REFERENCES[:2], ["a cat is on the mat", "one cat on a mat"]],
    ),
    (
        ["a red boat near a lake", "two cats"],
        [["a red boat on the lake"], ["two cats and a dog", "cats"]],
    ),
    (["a boat", "red cats"], [["a boat on a lake"], ["two red cats", "some cats"]]),
]


@exercise("corpus_bleu")
def bleu(answer, program, corpora=CORPORA):
    """answer(matched, total, c, r) -> BLEU-1 to BLEU-4; matched and total (M, 4), c and r whole numbers."""
    names, found, truth, wrong = [], [], [], []
    for told, each in corpora:
        matched, total, c, r = counted(program, told, each)
        found += _four_scores(answer, matched, total, c, r)
        truth += _by_program(program, told, each)
        names += [f"BLEU-{n} of {len(told)} captions (c {c}, r {r})" for n in (1, 2, 3, 4)]
        wrong.append(_wrong_bleus(np.array(matched, float), np.array(total, float), c, r))
    mistakes = [(np.concatenate(numbers), why) for numbers, why in _joined(wrong)]
    mistakes.append((np.multiply(truth, 100), "scores go from 0 to 1, not to 100"))
    expect_all(found, truth, names, 1e-6, mistakes)
    matched, total, c, r = counted(program, ["", ""], [["a boat"], ["two cats", "cats"]])
    try:
        found = _four_scores(answer, matched, total, c, r)
    except ZeroDivisionError as error:
        got = f"ZeroDivisionError{place_of(error)}"
        raise Wrong("0 for two empty captions, c = 0", got, EMPTY) from None
    names = [f"BLEU-{n} of two empty captions (c 0, r {r})" for n in (1, 2, 3, 4)]
    expect_all(found, [0] * 4, names, 1e-9, likely=EMPTY)


def _four_scores(answer, matched, total, c, r):
    given = [list(row) for row in matched], [list(row) for row in total]
    try:
        got = answer(*given, c, r)
    except NotImplementedError as error:
        where = place_of(error)
        stub = re.search(r" of (\w+):", where)
        if not stub or stub[1] == "corpus_bleu":
            raise
        why = f"corpus_bleu calls your {stub[1]}, and {stub[1]} is not written yet: write out here what you need"
        raise Wrong("BLEU-1 to BLEU-4", f"NotImplementedError{where}", why) from None
    if given != (matched, total):
        why = "add up in a list of your own"
        raise Wrong("the given counts are left as they were", "they change", why)
    return expect_shape(
        got, (4,), "BLEU-1 to BLEU-4", "a list of four numbers, one for each n"
    ).tolist()


def _by_program(program, told, each):
    scorer = program.BleuScorer(n=4)
    for pair in zip(told, each, strict=True):
        scorer += pair
    return scorer.compute_score(option="closest")[0]


def counted(program, told, each):
    """What BLEU is made of, by pycocoevalcap: matched and total (M, 4) of captions, their length, the references'."""
    found = [
        program.cook_test(one, program.cook_refs(references))
        for one, references in zip(told, each, strict=True)
    ]
    lengths = [[len(one.split()) for one in references] for references in each]
    own = [one["testlen"] for one in found]
    return (
        [one["correct"] for one in found],
        [one["guess"] for one in found],
        sum(own),
        _closest(program, own, lengths),
    )


def _wrong_bleus(matched, total, c, r):
    """Pairs (BLEU-1 to BLEU-4, why), of computing with one mistake."""
    tiny, small = 1e-15, 1e-9
    hits, of = matched.sum(0), total.sum(0)
    whole = (hits + tiny) / (of + small)
    alone = ((matched + tiny) / (total + small)).mean(0)
    plain, some = hits / np.maximum(of, 1), hits > 0
    penalty, n = _penalty(c, r), np.arange(1, 5)

    def roots(p):
        return np.cumprod(p) ** (1 / n)

    left = np.cumprod(np.where(some, plain, 1))
    sentences = np.cumprod((matched + tiny) / (total + small), 1) ** (1 / n)
    return [
        (penalty * roots(alone), "precisions are averaged over captions: add up the counts first, then divide once"),
        (penalty * sentences.mean(0), "a mean of each caption's BLEU: add up the counts of all captions first"),
        (roots(whole) * _penalty(r, c), "the brevity penalty is turned round: c < r is punished"),
        (penalty * whole, "BLEU-n is the geometric mean of the precisions 1 to n, not precision n alone"),
        (penalty * np.cumsum(whole) / n, "the arithmetic mean of the precisions; ask for the geometric one"),
        (penalty * np.cumprod(whole), "the product of the precisions without the n-th root"),
        (penalty * np.cumprod(whole) ** 0.25, "the 4th root for every n; BLEU-n needs the n-th"),
        ((penalty * np.cumprod(whole)) ** (1 / n), "the penalty stands under the root; it multiplies the mean"),
        (penalty * roots((hits + small) / (of + tiny)), "the two tiny numbers are exchanged: 1e-15 above and 1e-9 below"),
        (penalty * roots((hits + small) / (of + small)), "the tiny numbers are 1e-15 above and 1e-9 below"),
        (penalty * roots((hits + tiny) / (of + tiny)), "the tiny numbers are 1e-15 above and 1e-9 below"),
        (penalty * roots((hits + 1) / (of + 1)), "1 is added above and below; the tiny numbers are 1e-15 and 1e-9"),
        (penalty * roots((matched[0] + tiny) / (total[0] + small)), "only the first caption is counted"),
        (penalty * left ** (1 / n), "an n for which nothing matches is left out: it belongs to the product"),
        (penalty * left ** (1 / np.maximum(1, np.cumsum(some))) * np.maximum.accumulate(some),
         "an n for which nothing matches is left out: it belongs to the product"),
        (penalty * roots(plain), "where nothing matches, add 1e-15 above and 1e-9 below, as pycocoevalcap does"),
        (penalty * np.cumsum(np.log(whole)) / n, "this is the logarithm: take exp at the end"),
        (roots(whole), "the brevity penalty is missing"),
        (np.full(4, (penalty * roots(whole))[-1]), "BLEU-4 four times; BLEU-n uses n-grams up to n"),
    ]  # fmt: skip
