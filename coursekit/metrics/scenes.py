"""Scores for pictures whose whole truth is known: which claims of a caption are facts."""

import numpy as np

from coursekit.errors import CourseError
from coursekit.metrics.sums import Sums


def fact_scores(claims, facts):
    """Precision and recall of claimed facts, counted over all pictures together.

    `claims[i]` is the set of facts that caption i claims and `facts[i]` what is true of picture i.
    Returns {"fact_precision", "fact_recall"} from 0 to 1: the part of all claims that is true, and
    the part of all facts that is claimed.  Captions that claim nothing at all have precision 0.
    Raises CourseError if the two lists differ in length or are empty.
    """
    names, rows, finish = fact_sums(claims, facts)
    return dict(zip(names, finish(rows.sum(0)).tolist(), strict=True))


def fact_sums(claims, facts):
    """The Sums behind `fact_scores`, whose arguments these are: true claims, claims and facts."""
    if len(claims) != len(facts) or not facts:
        raise CourseError(
            f"There are {len(claims)} sets of claims for {len(facts)} sets of facts; "
            "give one of each for every picture."
        )
    pairs = zip(claims, facts, strict=True)
    rows = [(len(claimed & known), len(claimed), len(known)) for claimed, known in pairs]
    return Sums(("fact_precision", "fact_recall"), np.array(rows, float), _facts)


def _facts(sums):
    return sums[..., :1] / np.maximum(sums[..., 1:], 1)  # none of none is 0
