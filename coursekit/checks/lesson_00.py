"""The check of lesson 00: one small exercise, to try how exercises work."""

from coursekit.checks.core import Wrong, exercise, expect_equal

CAPTIONS = ["A cat sits on the sand", "a cat and a red cat at night"]
COUNTS = {"a": 3, "cat": 3, "sits": 1, "on": 1, "the": 1, "sand": 1}
COUNTS |= {"and": 1, "red": 1, "at": 1, "night": 1}
CASES_APART = COUNTS | {"A": 1, "a": 2}
ONCE_A_CAPTION = COUNTS | {"a": 2, "cat": 2}
FIRST_CAPTION = {"a": 1, "cat": 1, "sits": 1, "on": 1, "the": 1, "sand": 1}
LAST_CAPTION = {"a": 2, "cat": 2, "and": 1, "red": 1, "at": 1, "night": 1}
FROM_ONE = {word: count + 1 for word, count in COUNTS.items()}
PARTS_OF_WORDS = COUNTS | {"a": 9, "at": 4, "and": 2}


@exercise("count_words")
def count_words(answer):
    """answer(captions: list[str]) -> dict: how often each word occurs, in lower case."""
    given = list(CAPTIONS)
    counts = _run(answer, given)
    if given != CAPTIONS:
        raise Wrong("the captions left as they were", "a changed list", "work on a copy")
    if isinstance(counts, (int, set, list)):
        why = "give the count of each word in a dict: counts[word]"
        raise Wrong("a dict: word → how often", repr(counts)[:100], why)
    counts = dict(counts) if counts is not None else None
    if counts and all(len(word) == 1 for word in counts):
        raise Wrong(
            "whole words",
            f"letters: {list(counts)[:6]}",
            "looping over a string gives its letters; caption.split() gives its words",
        )
    if counts and any(" " in word for word in counts):
        why = "looping over a list of captions gives captions; caption.split() gives its words"
        raise Wrong("words", f"whole captions: {list(counts)[:1]}", why)
    expect_equal(
        counts,
        COUNTS,
        "the counts",
        mistakes=[
            (CASES_APART, "'A' and 'a' are one word: make the captions lower case first"),
            (ONCE_A_CAPTION, "a word that stands twice in one caption counts twice"),
            (FIRST_CAPTION, "only the first caption is counted: return after the loop, not inside"),
            (FROM_ONE, "each word is counted once too often: what is not in the dict yet has 0"),
            (PARTS_OF_WORDS, "str.count finds 'a' within 'sand' too: count in caption.split()"),
            (LAST_CAPTION, "only the last caption is counted: do not begin anew at each caption"),
            (dict.fromkeys(COUNTS, 1), "each word is set to 1: add 1 to what it had"),
        ],
    )


def _run(answer, given):
    try:
        return answer(given)
    except KeyError as error:
        why = "a word that comes for the first time is not in the dict: counts.get(word, 0) + 1"
        raise Wrong("a count for every word", f"KeyError: {error}", why) from error
