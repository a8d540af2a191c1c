"""Scores as functions of sums: what a caption adds, and what follows from the sum over captions."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Sums(NamedTuple):
    """The sufficient statistics of scores that are made together.

    `rows` (captions, K) is what each caption adds; `finish` turns sums (..., K) into the scores
    (..., len(names)).  So `finish(rows.sum(0))` scores the whole, `finish(rows)` each caption, and
    the sum over any sample of captions scores that sample.
    """

    names: tuple
    rows: np.ndarray
    finish: Callable


def mean_sums(name, scores):
    """Sums of a score whose whole is the mean over captions."""
    rows = np.stack([np.asarray(scores, float), np.ones(len(scores))], axis=1)
    return Sums((name,), rows, lambda sums: sums[..., :1] / sums[..., 1:])
