"""The check of assignment a4 about scores of a classifier: the confusion matrix, and Cohen's kappa."""

import numpy as np
import torch

from coursekit.checks.core import Wrong, as_array, exercise, expect_equal, expect_shape

# Class 3 is never right, nothing is called 2, and class 4 does not occur
ACTUAL = [0, 0, 1, 1, 1, 2, 0, 3, 1, 2, 0, 3, 1, 0]
GUESSED = [0, 1, 1, 1, 0, 0, 0, 1, 1, 3, 3, 0, 1, 0]
COUNTS = [
    [3, 1, 0, 1, 0],
    [1, 4, 0, 0, 0],
    [1, 0, 0, 1, 0],
    [1, 1, 0, 0, 0],
    [0, 0, 0, 0, 0],
]
# (matrix, kappa), as scikit-learn has it
KAPPAS = [
    (
        [[3, 1, 0, 1, 0], [1, 4, 0, 0, 0], [1, 0, 0, 1, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]],
        0.257576,
    ),
    ([[20, 5], [10, 15]], 0.4),
    ([[4, 0, 0], [0, 7, 0], [0, 0, 2]], 1.0),
    ([[6, 0, 0], [9, 0, 0], [2, 0, 0]], 0.0),
    ([[1, 8], [7, 2]], -0.666667),
    ([[40000, 9000], [3000, 48000]], 0.759326),
]


@exercise("scores")
def scores(confusion, kappa, labels=ACTUAL, guessed=GUESSED, counts=COUNTS, kappas=KAPPAS):
    """confusion(labels (n,), guessed (n,), classes) -> counts (classes, classes); kappa(counts) -> a number."""
    _counts(confusion, labels, guessed, counts)
    for table, agreed in kappas:
        _agreement(kappa, table, agreed)


def _counts(confusion, labels, guessed, counts):
    given, classes = [torch.tensor(labels), torch.tensor(guessed)], len(counts)
    got = confusion(*given, classes)
    if given[0].tolist() != labels or given[1].tolist() != guessed:
        raise Wrong(
            "labels and guesses are left as they were", "they were changed", "make new ones"
        )
    array, wanted = as_array(got, "the matrix"), np.array(counts)
    if array.shape != wanted.shape:
        why = "all classes have a row and a column, those too that do not occur, in labels or in guesses"
        raise Wrong(
            f"a matrix of shape {wanted.shape}",
            f"shape {array.shape}",
            why if array.ndim == 2 else None,
        )
    if not (array == wanted).all():
        at = next(zip(*np.nonzero(array != wanted), strict=True))
        told = f"{wanted[at]} that are a {at[0]} called {at[1]} (row {at[0]}, column {at[1]})"
        raise Wrong(told, f"{array[at]:g}", _why_counts(array, wanted))
    if array.dtype.kind not in "iu" and not (array == np.round(array)).all():
        expect_equal(array, counts, "the matrix")


def _why_counts(got, wanted):
    rows, columns = wanted.sum(1, keepdims=True), wanted.sum(0, keepdims=True)
    alike = {
        "rows and columns are exchanged: a row is what a digit is, a column what it is called": wanted.T,
        "a pair that occurs often counts once: table[labels, guessed] += 1 does that; bincount, a loop, or index_put_ with accumulate": wanted
        > 0,
        "these are shares of a row; counts are wanted": wanted / np.maximum(rows, 1),
        "these are shares of a column; counts are wanted": wanted / np.maximum(columns, 1),
        "these are shares of all; counts are wanted": wanted / wanted.sum(),
        "only those that are right are counted": np.diag(np.diag(wanted)),
        "only those that are wrong are counted": wanted - np.diag(np.diag(wanted)),
    }
    for why, wrong in alike.items():
        if np.allclose(np.nan_to_num(got.astype(float)), wrong, atol=1e-6):
            return why
    if got.sum() == wanted.sum() - 1:
        return "one pair is lost: the first or the last"
    return None


def _agreement(kappa, table, agreed):
    given = torch.tensor(table)
    got = kappa(given)
    if given.tolist() != [list(row) for row in table]:
        raise Wrong(
            "the given counts are left as they were", "they were changed", "make a new matrix"
        )
    number = float(expect_shape(got, (), "kappa", "one number for the whole matrix"))
    if not abs(number - agreed) <= 1e-5:  # so that nan fails
        raise Wrong(
            f"kappa = {agreed:.5f} for the counts {table}"[:150],
            f"{number:.5f}",
            _why_kappa(number, table),
        )


def _why_kappa(number, table):
    """Kappa with a mistake, computed for this table."""
    counts = np.array(table, dtype=float)
    n, C = counts.sum(), len(counts)
    right, rows, columns = np.trace(counts) / n, counts.sum(1) / n, counts.sum(0) / n
    chance = float(rows @ columns)
    alike = {
        "this is the share that is right: chance is not taken off": right,
        "chance is not 1 / C: rows and columns tell how often each class occurs": (right - 1 / C)
        / (1 - 1 / C),
        "the share of the labels squared: one factor is that of the guesses, the columns": (
            right - rows @ rows
        )
        / (1 - rows @ rows),
        "the share of the guesses squared: one factor is that of the labels, the rows": (
            right - columns @ columns
        )
        / (1 - columns @ columns),
        "not divided by 1 - e, which is all that could be gained": right - chance,
        "this is e, what chance alone would reach": chance,
        "divided by 1 - p; by 1 - e is asked for": (right - chance) / (1 - right)
        if right < 1
        else np.inf,
        "divided by 1 + e; by 1 - e is asked for": (right - chance) / (1 + chance),
        "divided by p, where 1 - e belongs": (right - chance) / right if right else np.inf,
        "this is e - p over 1 - e: the sign": (chance - right) / (1 - chance),
        "chance has the largest class alone: the sum over all classes": (
            right - (rows * columns).max()
        )
        / (1 - (rows * columns).max()),
    }
    near = [why for why, wrong in alike.items() if abs(wrong - number) < 1e-5]
    if near:
        return near[0]
    agreed = (right - chance) / (1 - chance)
    if number == 0 > agreed:
        return "worse than chance is below 0"
    if abs(number - agreed) < 6e-3:
        return "it is rounded, or computed with too few digits"
    if not np.isfinite(number):
        return "p and e are shares: divide the counts by the number of all digits first"
    return "p: the share on the diagonal; e: the sum over classes of share of row times share of column"
