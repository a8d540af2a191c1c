"""The checks of lesson 04: one step of a beam, the nucleus of a row, clipped words, the paired bootstrap."""

import numpy as np
import torch

from coursekit.checks.core import Wrong, as_array, exercise, expect_close, expect_equal

# Three beginnings, five words, and four that may go on. The best beginning holds two of the four,
# the last none; the best words of the rows alone are not the four best.
SCORES = [-1.0, -1.5, -4.0]
LOG_PROBS = [
    [-3.0, -0.7, -1.9, -4.0, -2.4],
    [-0.95, -3.5, -2.6, -0.6, -5.2],
    [-2.0, -3.0, -1.0, -0.9, -2.5],
]
WORDS, ROWS, SUMS = [1, 3, 0, 2], [0, 1, 1, 0], [-1.7, -2.1, -2.45, -2.9]
# What the mistakes that the sentences name choose: (words, rows)
NO_SCORES = ([3, 1, 3, 0], [1, 0, 2, 1])
ONE_A_ROW = ([1, 3, 3], [0, 1, 2])
WORST = ([1, 4, 4, 0], [2, 1, 2, 2])
BEST_ROW_ONLY = ([1, 2, 4, 0], [0, 0, 0, 0])
MULTIPLIED = ([1, 4, 0, 4], [2, 2, 2, 1])
PLACES = [1, 8, 5, 2]


@exercise("expand")
def expand(answer):
    """answer(scores (K,), log_probs (K, V), beam) -> words, rows, sums, each (beam,), best first."""
    got = _run_expand(answer, torch.tensor(SCORES), torch.tensor(LOG_PROBS), 4)
    words, rows, sums = _three(got)
    _chosen(words.tolist(), rows.tolist())
    expect_close(
        sums,
        SUMS,
        "sums",
        1e-5,
        mistakes=[
            (
                [-0.7, -0.6, -0.95, -1.9],
                "these are the words' own log-probabilities: add the scores",
            ),
            (np.exp(SUMS).tolist(), "these are probabilities: sums of logarithms stay logarithms"),
        ],
    )
    narrow = _three(_run_expand(answer, torch.tensor(SCORES[:1]), torch.tensor(LOG_PROBS[:1]), 2))
    expect_equal(narrow[0].tolist(), [1, 2], "words, from one beginning, beam = 2")


def _run_expand(answer, scores, log_probs, beam):
    try:
        return answer(scores, log_probs, beam)
    except NotImplementedError:
        raise
    except (RuntimeError, IndexError, ValueError) as error:
        raise Wrong(
            "three tensors of beam numbers",
            str(error).splitlines()[0],
            "shapes that do not fit: scores[:, None] is (K, 1) and adds to each row of (K, V); "
            "flatten() before topk",
        ) from error


def _three(result):
    if not isinstance(result, (tuple, list)) or len(result) != 3:
        got = "None" if result is None else f"a {type(result).__name__}"
        raise Wrong("three tensors: words, rows, sums", got, "return words, rows, sums")
    return [as_array(part, name) for part, name in zip(result, ("words", "rows", "sums"))]  # noqa: B905


def _chosen(words, rows):
    """What was chosen, words and rows together: a mistake shows in both."""
    likely = None
    if (words, rows) == (ROWS, WORDS):
        likely = "words and rows are exchanged: the remainder is the word, the quotient the row"
    elif words == PLACES:
        likely = "these are places in the flattened table: divide by V, the number of words"
    elif np.shape(words) == (3, 4) or np.shape(words) == (12,):
        likely = "the best of each row: all K × V compete together, flatten before topk"
    elif sorted(zip(words, rows, strict=False)) == sorted(zip(WORDS, ROWS, strict=True)):
        likely = "the right four, but not the best first"
    for (wrong_words, wrong_rows), sentence in (
        (NO_SCORES, "the sums so far are left out: add scores[:, None]"),
        (ONE_A_ROW, "one of each row: a row may have several of the best, or none"),
        (WORST, "the four worst; take the largest sums"),
        (BEST_ROW_ONLY, "only the best beginning goes on: all K × V compete"),
        (MULTIPLIED, "logarithms are added: their product means nothing"),
    ):
        if words == wrong_words and rows == wrong_rows:
            likely = sentence
    by_count = [p // 3 for p in PLACES], [p % 3 for p in PLACES]
    if (rows, words) == by_count or (words, rows) == by_count:
        likely = "divide by V = 5, the length of a row, not by the number of rows"
    if words != WORDS:
        raise Wrong(f"words = {WORDS}", words, likely)
    if rows != ROWS:
        raise Wrong(f"rows = {ROWS}", rows, likely)


# Not sorted, and no two alike; the third likeliest word is the one that reaches 0.65.
ROW = [0.07, 0.31, 0.04, 0.2, 0.26, 0.12]
NUCLEUS = [0, 0.31 / 0.77, 0, 0.2 / 0.77, 0.26 / 0.77, 0]
# The same with the mistake that the name tells
ONE_SHORT = [0, 0.31 / 0.57, 0, 0, 0.26 / 0.57, 0]
ONE_MORE = [0, 0.31 / 0.89, 0, 0.2 / 0.89, 0.26 / 0.89, 0.12 / 0.89]
NOT_SCALED = [0, 0.31, 0, 0.2, 0.26, 0]
SORTED = [0.31 / 0.77, 0.26 / 0.77, 0.2 / 0.77, 0, 0, 0]
IN_ORDER = [0.07 / 0.88, 0.31 / 0.88, 0.04 / 0.88, 0.2 / 0.88, 0.26 / 0.88, 0]
UNLIKELIEST = [0.07 / 0.69, 0, 0.04 / 0.69, 0.2 / 0.69, 0.26 / 0.69, 0.12 / 0.69]
SOFTMAX = [0.0, 0.3512391, 0.0, 0.314652, 0.334109, 0.0]
SURE = [0.1, 0.85, 0.05]


@exercise("nucleus")
def nucleus(answer):
    """answer(probabilities (V,), p) -> (V,), zero outside the nucleus, summing to 1."""
    given = torch.tensor(ROW)
    got = answer(given, 0.65)
    if not torch.equal(given, torch.tensor(ROW)):
        raise Wrong("probabilities left as they were", "changed", "work on a copy: clone()")
    expect_close(
        got,
        NUCLEUS,
        "the nucleus of 0.65",
        1e-5,
        mistakes=[
            (ONE_SHORT, "the word that reaches p is cut; the nucleus must hold at least p"),
            (ONE_MORE, "one word too many: stop at the word that reaches p"),
            (NOT_SCALED, "what is kept must sum to 1 again: divide by its sum"),
            (SORTED, "each probability must stay at its own word: undo the sorting"),
            (IN_ORDER, "add up from the likeliest down, not in the order of the vocabulary"),
            (UNLIKELIEST, "you keep the unlikeliest words: sort descending"),
            (SOFTMAX, "these are probabilities already: divide by the sum, no softmax"),
            (ROW, "nothing is cut"),
        ],
    )
    why = "the likeliest word alone reaches p here: the nucleus is never empty"
    expect_close(answer(torch.tensor(SURE), 0.6), [0, 1, 0], "the nucleus of 0.6", likely=why)
    expect_close(
        answer(torch.tensor(ROW), 1.0),
        ROW,
        "the nucleus of 1",
        1e-5,
        likely="with p = 1 every word stays",
    )


CANDIDATE = "a red cat and a cat and a red cat by a bus".split()
REFERENCES = ["a cat and a dog on a bus".split(), "two cats and a red cat and a cat".split()]
MATCHED, TOTAL = 9, 13


@exercise("clipped")
def clipped(answer):
    """answer(candidate: words, references: lists of words) -> (matched, total)."""
    got = answer(list(CANDIDATE), [list(each) for each in REFERENCES])
    if isinstance(got, (int, float)):
        why = "a ratio can not be added up over captions: return both numbers"
        why = why if 0 < got < 1 else "return matched and total"
        raise Wrong(f"({MATCHED}, {TOTAL})", got, why)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        got = "None" if got is None else f"a {type(got).__name__}"
        raise Wrong(f"({MATCHED}, {TOTAL})", got, "return matched, total")
    expect_equal(
        got,
        [MATCHED, TOTAL],
        "(matched, total)",
        mistakes=[
            ([12, 13], "not clipped: each word counts at most as often as in one reference"),
            ([11, 13], "clipped by all references together; take the one that holds it most often"),
            ([6, 13], "only the first reference is used"),
            (
                [7, 13],
                "one reference alone, the last or the closest; each word may use its best one",
            ),
            ([4, 13], "the reference that holds it least often; take the largest count"),
            ([5, 6], "each word once: count how often it occurs"),
            ([5, 13], "each word once: count how often it occurs"),
            ([9, 6], "total counts every word, also when it comes again"),
            ([9, 8], "total is the number of the caption's words, not of a reference's"),
            ([9, 9], "total is the number of the caption's words, not of a reference's"),
            ([13, 9], "the other way round: matched, then total"),
        ],
    )
    expect_equal(answer([], [["a"]]), [0, 0], "(matched, total) of an empty caption")


FIRST, SECOND = [0.9, 0.2, 0.6, 0.1], [0.5, 0.3, 0.4, 0.2]
DRAWS = [[0, 1, 2, 3], [0, 0, 2, 2], [3, 1, 1, 3], [2, 0, 0, 1], [1, 2, 3, 3]]
DIFFERENCES = [0.1, 0.3, -0.1, 0.225, -0.025]
SUM_OF = [0.4, 1.2, -0.4, 0.9, -0.1]
BELOW = 3 / 5


@exercise("paired_bootstrap")
def paired_bootstrap(answer):
    """answer(first (n,), second (n,), draws (R, n)) -> (R,): the difference of the means in each resample."""
    got = answer(torch.tensor(FIRST), torch.tensor(SECOND), torch.tensor(DRAWS))
    shape = tuple(as_array(got, "differences").shape)
    wanted = "differences of shape (5,)"
    if shape == ():
        share = abs(float(got) - BELOW) < 1e-6
        why = "the differences themselves are wanted, not how many are above 0"
        raise Wrong(wanted, "one number", why if share else "one difference for each resample")
    if shape == (5, 4):
        raise Wrong(wanted, "shape (5, 4)", "take the mean over the captions of each resample")
    if shape == (4,):
        raise Wrong(wanted, "shape (4,)", "the mean runs over the captions, dimension 1")
    expect_close(
        got,
        DIFFERENCES,
        "differences",
        1e-6,
        mistakes=[
            ([-d for d in DIFFERENCES], "second minus first: turn it round"),
            (SUM_OF, "these are sums: take means"),
            ([abs(d) for d in DIFFERENCES], "keep the sign: who is ahead is the question"),
            ([0.1, 0.4, -0.2, 0.3, -0.1], "only the first is resampled: both take the same draws"),
            (
                [0.1, 0.0, 0.2, 0.025, 0.175],
                "only the second is resampled: both take the same draws",
            ),
            ([0.1] * 5, "nothing is resampled: use the draws, first[draws]"),
            (sorted(DIFFERENCES), "keep the order of the resamples"),
        ],
    )
