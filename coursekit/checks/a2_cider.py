"""The checks of assignment a2 about CIDEr: how rare n-grams are, what they weigh, how alike captions are."""

import math

import numpy as np

from coursekit.checks.a2_scores import grams
from coursekit.checks.core import Wrong, as_array, exercise, expect_close

# --- 7 tf-idf -----------------------------------------------------------------------------------
TALES = [
    ["a red boat on a lake", "a boat on the water"],
    ["a red cat on the grass", "a cat near a red house"],
    ["a house near the lake"],
    ["a small house on a hill", "the house on the hill", "a house"],
    ["a boat and a boat"],
]
FREQUENCY_1 = {
    "a": 5, "red": 2, "boat": 2, "on": 3, "lake": 2, "the": 4, "water": 1, "cat": 1, "grass": 1, "near": 2, "house": 3,
    "small": 1, "hill": 1, "and": 1,
}  # fmt: skip
OFTEN = {"a": 8, "red": 4, "boat": 2, "on": 5, "the": 6}
LISTENED, PICTURES = "a red boat and a red kite on the lake", 8
WEIGHTS = {
    "a": 0.0, "red": 1.386294, "boat": 1.386294, "and": 2.079442, "kite": 2.079442, "on": 0.470004, "the": 0.287682,
    "lake": 2.079442,
}  # fmt: skip
PAIRS = [
    ({("a",): 1.5, ("b",): 2.0, ("c",): 0.5}, {("b",): 1.0, ("d",): 3.0, ("a",): 0.25}, 0.293666)
]


@exercise("cider")
def cider(
    document_frequency, tf_idf, cosine, tales=TALES, frequency=None, weighed=None, pairs=PAIRS
):
    """The three parts of CIDEr: in how many pictures an n-gram stands, its weight, and how alike two captions are."""
    frequency = frequency or {1: {(w,): count for w, count in FREQUENCY_1.items()}}
    for n, expected in frequency.items():
        given = [list(each) for each in tales]
        _same_table(
            document_frequency(given, n),
            expected,
            "in how many pictures",
            n,
            _wrong_frequency(tales, n),
        )
    likely = _wrong_weights({(w,): weight for w, weight in WEIGHTS.items()})
    if weighed is None:
        often = {(w,): count for w, count in OFTEN.items()}
        weighed = [
            (LISTENED, often, PICTURES, 1, {(w,): weight for w, weight in WEIGHTS.items()}, likely)
        ]
    for told, often, pictures, n, expected, *likely in weighed:
        _same_table(tf_idf(told, dict(often), pictures, n), expected, "the weight", n, *likely)
    for first, second, expected in pairs:
        _one_cosine(cosine, first, second, expected)


def _same_table(got, expected, what, n, likely=()):
    if not isinstance(got, dict):
        told = "None" if got is None else f"a {type(got).__name__}"
        raise Wrong("a dictionary with n-grams as keys", told, "n-grams are tuples of words")
    odd = sorted(repr(key) for key in got if not isinstance(key, tuple) or len(key) != n)
    if odd:
        why = "('red',) is a tuple of one word, ('red') is a string"
        raise Wrong(f"keys that are tuples of {n} words", odd[0], why)
    missing, more = sorted(set(expected) - set(got)), sorted(set(got) - set(expected))
    if missing or more:
        got = f"{missing[0]} is missing" if missing else f"{more[0]} is there too"
        why = (
            "the last n-gram begins at place L - n"
            if missing
            else "the n-grams of this caption alone"
        )
        if missing and all(abs(expected[key]) < 1e-9 for key in missing):
            why = "n-grams of weight 0 stay in the table"
        raise Wrong(f"{what}, for {len(expected)} n-grams with n = {n}", got, why)
    values = np.array([float(as_array(got[key], what)) for key in expected])
    truth = np.array(list(expected.values()), float)
    if np.abs(values - truth).max() <= 1e-5:
        return
    why = [why for wrong, why in likely if np.abs(values - wrong).max() <= 1e-4]
    place = int(np.abs(values - truth).argmax())
    key = list(expected)[place]
    raise Wrong(
        f"{what} {key} = {truth[place]:.6g}", f"{values[place]:.6g}", why[0] if why else None
    )


def _wrong_frequency(tales, n):
    """Pairs (frequencies in the order of first appearance, why)."""
    each = [[grams(one.split(), n) for one in captions] for captions in tales]
    order = list(dict.fromkeys(gram for captions in each for one in captions for gram in one))
    allgrams = [gram for captions in each for one in captions for gram in one]
    per_caption = [gram for captions in each for one in captions for gram in set(one)]
    first = [gram for captions in each for gram in set(captions[0])]
    return [
        ([allgrams.count(g) for g in order], "every occurrence is counted; count a picture once"),
        ([per_caption.count(g) for g in order], "every caption is counted; count a picture once, whichever of its captions holds it"),
        ([first.count(g) for g in order], "only the first caption of each picture is read"),
    ]  # fmt: skip


def _wrong_weights(expected):
    """Pairs (weights of the open caption, why), from the right ones."""
    truth = np.array(list(expected.values()))
    words = LISTENED.split()
    counts = np.array([words.count(key[0]) for key in expected])
    often = np.array([max(1, OFTEN.get(key[0], 1)) for key in expected])
    unknown = np.array([key[0] not in OFTEN for key in expected])
    return [
        (-truth, "the sign: rare n-grams weigh most, ln(pictures / frequency)"),
        (truth / math.log(2), "the base of the logarithm is 2; ask for the natural one"),
        (truth / math.log(10), "the base of the logarithm is 10; ask for the natural one"),
        (truth / counts, "each n-gram counts once; the weight grows with its count"),
        (truth / len(words), "divided by the length: here the count itself is used"),
        (counts * np.log(PICTURES / (often + ~unknown)), "the frequency plus 1: use max(1, frequency)"),
        (counts * (np.log(PICTURES / often) + 1), "1 is added to the logarithm; an n-gram of every picture weighs 0"),
        (counts * often, "multiplied by the frequency itself; the weight is count * ln(pictures / frequency)"),
        (counts * PICTURES / often, "the logarithm is missing"),
        (np.where(unknown, 0, truth), "an n-gram that no reference holds weighs most, not 0: frequency 1"),
        (counts.astype(float), "these are the counts; multiply by ln(pictures / frequency)"),
    ]  # fmt: skip


def _one_cosine(cosine, first, second, expected):
    given = dict(first), dict(second)
    got = cosine(*given)
    if given != (first, second):
        why = "a defaultdict or pop changes the caller's table: use .get(key, 0)"
        raise Wrong("the given tables are left as they were", "they change", why)
    product = sum(weight * second.get(key, 0) for key, weight in first.items())
    ours, theirs = (math.sqrt(sum(w * w for w in one.values())) for one in (first, second))
    mistakes = [
        (product, "not divided by the lengths of both"),
        (product / (ours or 1), "divided by one length; divide by both"),
        (product / (theirs or 1), "divided by one length; divide by both"),
        (
            product / ((ours * theirs) ** 2 or 1),
            "the square root of the sums of squares is missing",
        ),
    ]
    likely = (
        "the product over n-grams that both hold, over the lengths of both; 0 if one has length 0"
    )
    expect_close(got, expected, "the cosine", 1e-5, likely, mistakes)
    expect_close(
        cosine({("a",): 0.0}, dict(second)),
        0.0,
        "the cosine with a table of zeros",
        1e-9,
        "0 / 0: give 0",
    )
