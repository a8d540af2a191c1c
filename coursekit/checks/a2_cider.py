"""The checks of assignment a2 about CIDEr: how rare n-grams are, what they weigh, how alike captions are."""

import math

import numpy as np

from coursekit.checks.a2_common import expect_all, expect_number, grams, place_of
from coursekit.checks.core import Wrong, as_array, exercise

# --- 7 tf-idf -----------------------------------------------------------------------------------
TALES = [
    ["a red boat on a lake", "a boat on the water"],
    ["a red cat on the grass", "a cat near a red house"],
    ["a house near the lake"],
    ["a small house on a hill", "the house on the hill", "a house"],
    ["a boat and a boat"],
]
# For n = 1 and 2 the frequencies of all n-grams of the tales, in the order in which they first stand there
FREQUENCY = {
    1: {
        "a": 5, "red": 2, "boat": 2, "on": 3, "lake": 2, "the": 4, "water": 1, "cat": 1, "grass": 1, "near": 2,
        "house": 3, "small": 1, "hill": 1, "and": 1,
    },
    2: {
        "a red": 2, "red boat": 1, "boat on": 1, "on a": 2, "a lake": 1, "a boat": 2, "on the": 3, "the water": 1,
        "red cat": 1, "cat on": 1, "the grass": 1, "a cat": 1, "cat near": 1, "near a": 1, "red house": 1,
        "a house": 2, "house near": 1, "near the": 1, "the lake": 1, "a small": 1, "small house": 1, "house on": 1,
        "a hill": 1, "the house": 1, "the hill": 1, "boat and": 1, "and a": 1,
    },
}  # fmt: skip
# Each: a caption, in how many of how many pictures n-grams stand, n, and what its own weigh
WEIGHED = [
    (
        "a red boat and a red kite on the lake", {"a": 8, "red": 4, "boat": 2, "on": 5, "house": 3, "the": 6}, 8, 1,
        {
            "a": 0.0, "red": 1.386294, "boat": 1.386294, "and": 2.079442, "kite": 2.079442, "on": 0.470004,
            "the": 0.287682, "lake": 2.079442,
        },
    ),
    ("a boat and a boat", {"a boat": 2, "on the": 3}, 8, 2, {"a boat": 2.772589, "boat and": 2.079442, "and a": 2.079442}),
]  # fmt: skip
PAIRS = [
    ({("a",): 1.5, ("b",): 2.0, ("c",): 0.5}, {("b",): 1.0, ("d",): 3.0, ("a",): 0.25}, 0.293666)
]


def _tuples(table):
    """The same table, its keys tuples of words."""
    return {tuple(key.split()) if isinstance(key, str) else key: v for key, v in table.items()}


@exercise("cider")
def cider(
    document_frequency,
    tf_idf,
    cosine,
    tales=TALES,
    frequency=FREQUENCY,
    weighed=WEIGHED,
    pairs=PAIRS,
):
    """The three parts of CIDEr: in how many pictures an n-gram stands, its weight, and how alike two captions are."""
    for n, expected in frequency.items():
        given = [list(each) for each in tales]
        table = _table(document_frequency(given, n), n)
        if given != [list(each) for each in tales]:
            raise Wrong(
                "the given captions are left as they were", "they change", "collect in a set"
            )
        expected = _tuples(expected)
        _same_keys(table, expected, n, _why_keys(table, expected, tales, n))
        _same_values(table, expected, "in how many pictures", _wrong_frequency(tales, n))
    for told, often, pictures, n, expected in weighed:
        _one_caption(tf_idf, told, _tuples(often), pictures, n, _tuples(expected))
    for first, second, expected in pairs:
        _one_cosine(cosine, first, second, expected)


def _table(got, n):
    """The student's table. Raises Wrong unless it is a dictionary whose keys are tuples of n words."""
    if not isinstance(got, dict):
        told = "None" if got is None else f"a {type(got).__name__}"
        raise Wrong("a dictionary with n-grams as keys", told, "n-grams are tuples of words")
    odd = sorted(repr(key) for key in got if not isinstance(key, tuple) or len(key) != n)
    if odd:
        why = "('red',) is a tuple of one word, ('red') is a string"
        if all(isinstance(key, tuple) for key in got):
            why = "n-grams of n words alone, none shorter: the last one begins at place L - n"
        raise Wrong(f"keys that are tuples of n = {n} words", odd[0], why)
    return got


def _same_keys(table, expected, n, likely):
    missing = sorted(set(expected) - set(table), key=repr)
    more = sorted(set(table) - set(expected), key=repr)
    if missing or more:
        got = f"{missing[0]} is missing" if missing else f"{more[0]} is there too"
        raise Wrong(f"the {len(expected)} n-grams with n = {n}", got, likely)


def _why_keys(table, expected, tales, n):
    """Why n-grams of the tales may be missing or too many."""
    captions = [one.split() for each in tales for one in each]
    if table and set(table) <= _letters(tales, n):
        return "these are n-grams of letters: split the caption into words"
    if set(table) == {g for each in tales for g in grams(each[0].split(), n)}:
        return "only the first caption of each picture is read"
    if set(table) == {g for words in captions for g in grams(words[:-1], n)}:
        return "the last n-gram begins at place L - n"
    if set(table) - set(expected):
        return "an n-gram lies within one caption, none goes across two captions"
    return None


def _letters(tales, n):
    return {g for each in tales for one in each for g in grams(one, n)}


def _same_values(table, expected, what, mistakes):
    values = np.array([float(as_array(table[key], what)) for key in expected])
    names = [f"{what} {key}" for key in expected]
    expect_all(values, list(expected.values()), names, 1e-5, mistakes)


def _wrong_frequency(tales, n):
    """Pairs (frequencies in the order of first appearance, why)."""
    each = [[grams(one.split(), n) for one in captions] for captions in tales]
    allgrams = [gram for captions in each for one in captions for gram in one]
    order = list(dict.fromkeys(allgrams))
    per_caption = [gram for captions in each for one in captions for gram in set(one)]
    first = [gram for captions in each for gram in set(captions[0])]
    short = [gram for captions in each for gram in {g for one in captions for g in one[:-1]}]
    return [
        ([allgrams.count(g) for g in order], "every occurrence is counted; count a picture once"),
        ([per_caption.count(g) for g in order], "every caption is counted; count a picture once, whichever of its captions holds it"),
        ([first.count(g) for g in order], "only the first caption of each picture is read"),
        ([short.count(g) for g in order], "the last n-gram begins at place L - n"),
        ([len(tales)] * len(order), "n-grams of other pictures are counted too: begin anew at each picture"),
    ]  # fmt: skip


def _one_caption(tf_idf, told, often, pictures, n, expected):
    given = dict(often)
    try:
        table = _table(tf_idf(told, given, pictures, n), n)
    except KeyError as error:
        if not any(repr(gram) in str(error) for gram in set(expected) - set(often)):
            raise
        why = "what is not in frequency stands in none: use .get(key, 0)"
        raise Wrong(f"a weight for all n-grams of '{told}'", f"KeyError: {error}{place_of(error)}", why) from None  # fmt: skip
    if given != often:
        why = "setdefault and assigning add keys to the caller's table: use .get(key, 0)"
        raise Wrong("the given frequency is left as it was", "it changes", why)
    _same_keys(table, expected, n, _why_unweighed(table, expected, told, often, n))
    mistakes = _wrong_weights(told, often, pictures, n, expected)
    _same_values(table, expected, f"in '{told}' the weight of", mistakes)


def _why_unweighed(table, expected, told, often, n):
    """Why n-grams of one caption may be missing or too many."""
    missing = set(expected) - set(table)
    if table and set(table) <= _letters([[told]], n):
        return "these are n-grams of letters: split the caption into words"
    if not missing:
        return "the n-grams of this caption alone"
    if missing == set(expected) - set(often):
        return "an n-gram that no reference holds weighs most: its frequency counts as 1"
    if all(abs(expected[key]) < 1e-9 for key in missing):
        return "n-grams of weight 0 stay in the table"
    return "the last n-gram begins at place L - n" if len(missing) == 1 else None


def _wrong_weights(told, frequency, pictures, n, expected):
    """Pairs (weights, why), from the right ones."""
    truth = np.array(list(expected.values()))
    all_of_them = grams(told.split(), n)
    counts = np.array([all_of_them.count(key) for key in expected])
    often = np.array([max(1, frequency.get(key, 1)) for key in expected])
    unknown = np.array([key not in frequency for key in expected])
    return [
        (-truth, "the sign: rare n-grams weigh most, ln(pictures / frequency)"),
        (truth / math.log(2), "the base of the logarithm is 2; ask for the natural one"),
        (truth / math.log(10), "the base of the logarithm is 10; ask for the natural one"),
        (truth / counts, "each n-gram counts once; the weight grows with its count"),
        (truth / len(told.split()), "divided by the length: here the count itself is used"),
        (truth / len(all_of_them), "divided by the length: here the count itself is used"),
        (counts * np.log(pictures / (often + ~unknown)), "the frequency plus 1: use max(1, frequency)"),
        (counts * (np.log(pictures / often) + 1), "1 is added to the logarithm; an n-gram of every picture weighs 0"),
        (counts * often, "multiplied by the frequency itself; the weight is count * ln(pictures / frequency)"),
        (counts * pictures / often, "the logarithm is missing"),
        (np.where(unknown, 0, truth), "an n-gram that no reference holds weighs most, not 0: frequency 1"),
        (counts, "these are the counts; multiply by ln(pictures / frequency)"),
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
    expect_number(got, expected, "the cosine", 1e-5, likely, mistakes)
    for tables in (({("a",): 0.0}, dict(second)), (dict(second), {("a",): 0.0})):
        _nothing_alike(cosine, *tables)


def _nothing_alike(cosine, first, second):
    name, why = "the cosine with a table of zeros", "0 / 0: the cosine with a table of zeros is 0"
    try:
        expect_number(cosine(first, second), 0.0, name, 1e-9, why)
    except ZeroDivisionError as error:
        raise Wrong(f"{name} = 0", f"ZeroDivisionError{place_of(error)}", why) from None
