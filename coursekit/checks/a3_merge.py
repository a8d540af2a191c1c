"""The check of assignment a3 about byte pair encoding: counting pairs, choosing one, merging it."""

from coursekit.checks.core import Wrong, exercise

WORDS = {
    ("a", "a", "a"): 3, ("b", "a", "n", "a", "n", "a"): 5, ("n", "a"): 2, ("xa", "n", "t"): 4,
    ("c", "a", "n", "."): 1, ("h", "a", "nd"): 6, ("z",): 7, ("a", "a", "a", "a", "h"): 2,
}  # fmt: skip
COUNTS = {
    ("a", "a"): 12, ("b", "a"): 5, ("a", "n"): 11, ("n", "a"): 12, ("xa", "n"): 4, ("n", "t"): 4,
    ("c", "a"): 1, ("n", "."): 1, ("h", "a"): 6, ("a", "nd"): 6, ("a", "h"): 2,
}  # fmt: skip
PLACES = "at every place, as often as the word occurs"
# What a mistake makes of four of these counts: a a, a n, n a, b a
TELLING = [("a", "a"), ("a", "n"), ("n", "a"), ("b", "a")]
COUNTED = [
    ([5, 3, 3, 1], "each word counts once here; add how often it occurs"),
    ([5, 6, 7, 5], "a pair counts once in each word here; count every place where it stands"),
    ([7, 11, 12, 5], "a a stands twice in a a a: places may overlap when you count"),
    ([12, 23, 23, 5], "a n and n a are two pairs: the order counts"),
    ([9, 11, 5, 5], "the last pair of each word is left out"),
    ([1, 1, 1, 1], "a count is set where it should grow: add to what is there already"),
    ([2, 1, 2, 5], "a count is set where it should grow: add to what is there already"),
]
BEST = [
    ({("o", "w"): 7, ("e", "r"): 9, ("an", "d"): 9, ("a", "t"): 9, ("s", "t"): 9, ("o", "n"): 9, ("z", "z"): 2},
     ("a", "t")),
    # Alike on the left; and a shorter pair, which is larger
    ({("b", "d"): 4, ("an", "y"): 4, ("an", "d"): 4, ("an", "t"): 4, ("c", "k"): 4}, ("an", "d")),
    ({("a", "b"): 1, ("q", "u"): 3, ("c", "d"): 2}, ("q", "u")),
]  # fmt: skip
CHOSEN = {
    ("e", "r"): "of several, this is the first in the dictionary; the smallest is wanted",
    ("o", "n"): "of several, this is the last in the dictionary; the smallest is wanted",
    ("s", "t"): "of several, this is the largest; the smallest is wanted",
    ("an", "d"): "compare the tuples, not the joined texts: 'a' comes before 'an'",
    ("an", "y"): "these begin alike: then the second symbol decides",
    ("b", "d"): "the smallest as Python compares tuples: how long they are does not matter",
    ("z", "z"): "this pair has the smallest count, or is the largest pair of all",
    ("a", "b"): "this pair has the smallest count, or is the smallest pair of all",
}
MERGED = [
    (("a", "n"), {
        ("a", "a", "a"): 3, ("b", "an", "an", "a"): 5, ("n", "a"): 2, ("xa", "n", "t"): 4, ("c", "an", "."): 1,
        ("h", "a", "nd"): 6, ("z",): 7, ("a", "a", "a", "a", "h"): 2}),
    (("a", "a"), {
        ("aa", "a"): 3, ("b", "a", "n", "a", "n", "a"): 5, ("n", "a"): 2, ("xa", "n", "t"): 4,
        ("c", "a", "n", "."): 1, ("h", "a", "nd"): 6, ("z",): 7, ("aa", "aa", "h"): 2}),
    (("n", "."), {
        ("a", "a", "a"): 3, ("b", "a", "n", "a", "n", "a"): 5, ("n", "a"): 2, ("xa", "n", "t"): 4,
        ("c", "a", "n."): 1, ("h", "a", "nd"): 6, ("z",): 7, ("a", "a", "a", "a", "h"): 2}),
]  # fmt: skip
# What a mistake makes of a word
AS_TEXT = "symbols are whole: compare symbols, not the letters of the text"
BECAME = {
    ("b", "an", "a", "n", "a"): "only the first place is merged; go on to the end of the word",
    ("b", "a", "n", "an", "a"): "only the last place is merged; go on to the end of the word",
    ("b", "an", "n", "an", "n", "a"): "both symbols are used up by a merge: go on behind the second",
    ("b", "an", "n", "a", "n", "a"): "both symbols are used up by a merge: go on behind the second",
    ("b", "an", "an", "n", "a"): "both symbols are used up by a merge: go on behind the second",
    ("ba", "na", "na"): "only where the two stand in this order",
    ("b", "a", "na", "na"): "only where the two stand in this order",
    ("b", "na", "na", "a"): "left + right, in this order",
    ("b", "an", "an"): "the last symbol of a word is lost",
    ("aa",): "the last symbol of a word is lost",
    ("x", "an", "t"): AS_TEXT,
    ("b", "a", "n.", "n."): "in a search pattern . is any letter; compare symbols",
    ("b", "a n", "a n", "a"): "left + right, without anything between them",
    ("aa", "aa"): "both symbols are used up by a merge: go on behind the second",
    ("aa", "aa", "a"): "both symbols are used up by a merge: go on behind the second",
    ("a", "aa"): "from the left: a a a becomes aa a",
    ("aaa",): "what was just merged is no part of this pair: go on behind it",
    ("aaaa", "h"): "merge once: what was just merged is another symbol",
    ("xan", "t"): AS_TEXT,
    ("h", "and"): AS_TEXT,
    ("xa", "n."): AS_TEXT,
}  # fmt: skip


@exercise("merge")
def merge(count_pairs, best_pair, merge_pair, words=WORDS, counts=COUNTS, best=BEST, merged=MERGED):
    """count_pairs(words) -> {pair: count}; best_pair(counts) -> pair; merge_pair(words, pair) -> words."""
    given = dict(words)
    _counts(count_pairs(given), counts, words is WORDS)
    _unchanged(given, words, "count_pairs")
    for table, pair in best:
        given = dict(table)
        _pair(best_pair(given), pair, CHOSEN if best is BEST else {})
        _unchanged(given, table, "best_pair")
    for pair, after in merged:
        given = dict(words)
        got = merge_pair(given, pair)
        _unchanged(given, words, "merge_pair")
        _words(got, pair, words, after)


def _unchanged(now, before, name):
    if now != before:
        why = "make a new dictionary for the result"
        raise Wrong(f"the dictionary given to {name} is left as it was", "it was changed", why)


def _table(got, name, what):
    """A student's dictionary whose keys are tuples of strings and whose values are whole numbers."""
    if got is None:
        raise Wrong(f"a dictionary from {name}", "None", "the function does not return its result")
    if not isinstance(got, dict):
        raise Wrong(f"a dictionary from {name}", f"a {type(got).__name__}", None)
    for key, value in got.items():
        if not isinstance(key, tuple) or not all(isinstance(one, str) for one in key):
            raise Wrong(f"{what} as keys", repr(key)[:80], "keep symbols apart, in a tuple")
        if not (hasattr(value, "__int__") and int(value) == value):
            raise Wrong("whole numbers as counts", repr(value)[:80], None)
    return {key: int(value) for key, value in got.items()}


def _counts(got, counts, known):
    got = _table(got, "count_pairs", "pairs of symbols, tuples,")
    told = [got.get(pair) for pair in TELLING]
    likely = next((why for each, why in COUNTED if known and each == told), None)
    for pair, count in counts.items():
        name = f"{' '.join(pair)}: {count} times"
        if pair not in got:
            raise Wrong(name, "this pair is not counted", likely)
        if got[pair] != count:
            raise Wrong(name, f"{got[pair]}", likely or PLACES)
    more = [pair for pair in got if pair not in counts and got[pair]]
    if more:
        why = "two symbols of one word, the second right after the first"
        raise Wrong("no pairs but those that stand side by side", " ".join(more[0]), why)


def _pair(got, pair, chosen):
    strings = isinstance(got, (tuple, list)) and all(isinstance(one, str) for one in got)
    if not strings or len(got) != 2:
        told = "None" if got is None else repr(got)[:80]
        raise Wrong("a pair of symbols from best_pair", told, "return the pair, without its count")
    if tuple(got) != pair:
        why = chosen.get(tuple(got), "the largest count; of several pairs the smallest")
        raise Wrong(f"best_pair = {pair}", f"{tuple(got)}", why)


def _words(got, pair, words, after):
    """Whether each word became what it should; words are told apart by their letters."""
    got = _table(got, "merge_pair", "words, tuples of symbols,")
    became = {"".join(word).replace(" ", ""): word for word in got}
    before = {"".join(word): word for word in words}
    for word, often in after.items():
        was = before["".join(word)]
        name = f"after merging {' '.join(pair)}: {' '.join(was)} becomes {' '.join(word)}"
        if word not in got:
            now = became.get("".join(word)) or _rest(got, after)
            told = " ".join(now) if now else "the word is missing"
            why = BECAME.get(now) if now else "words without the pair stay as they are"
            raise Wrong(name, told, why)
        if got[word] != often:
            raise Wrong(f"{' '.join(word)}: still {often} times", f"{got[word]}", None)
    if len(got) > len(after):
        raise Wrong(f"{len(after)} words after the merge", f"{len(got)}", "old forms go")


def _rest(got, after):
    """A word whose letters no word has, where there is one: what became of the one that is missing."""
    letters = {"".join(word) for word in after}
    return next((word for word in got if "".join(word).replace(" ", "") not in letters), None)
