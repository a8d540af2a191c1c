"""The check of lesson 00: one small exercise, to try how exercises work."""

from coursekit.checks.core import Wrong, exercise, expect_equal

CAPTIONS = ["A cat sits on the sand", "a cat and a red cat at night"]
COUNTS = {"a": 3, "cat": 3, "sits": 1, "on": 1, "the": 1, "sand": 1}
COUNTS |= {"and": 1, "red": 1, "at": 1, "night": 1}
CASES_APART = COUNTS | {"A": 1, "a": 2}
ONCE_A_CAPTION = COUNTS | {"a": 2, "cat": 2}
LAST_CAPTION = {"a": 2, "cat": 2, "and": 1, "red": 1, "at": 1, "night": 1}


@exercise("count_words")
def count_words(answer):
    """answer(captions: list[str]) -> dict: how often each word occurs, in lower case."""
    given = list(CAPTIONS)
    counts = answer(given)
    if given != CAPTIONS:
        raise Wrong("the captions left as they were", "a changed list", "work on a copy")
    if isinstance(counts, (int, set, list)):
        raise Wrong("a dict: word → how often", repr(counts)[:100], "give the count of each word")
    counts = dict(counts) if counts is not None else None
    if counts and all(len(word) == 1 for word in counts):
        raise Wrong(
            "whole words",
            f"letters: {list(counts)[:6]}",
            "looping over a string gives its letters; caption.split() gives its words",
        )
    expect_equal(
        counts,
        COUNTS,
        "the counts",
        mistakes=[
            (CASES_APART, "'A' and 'a' are one word: make the captions lower case first"),
            (ONCE_A_CAPTION, "a word that stands twice in one caption counts twice"),
            (LAST_CAPTION, "only the last caption is counted: do not begin anew at each caption"),
            (dict.fromkeys(COUNTS, 1), "each word is set to 1: add 1 to what it had"),
        ],
    )
