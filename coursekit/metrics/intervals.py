"""How sure a score is: bootstrap intervals, and two captioners compared on the same pictures.

Each resample draws as many pictures as there are, with replacement (Efron, 1979; for BLEU, Koehn,
2004).  It adds up what the drawn captions add to each score, so BLEU, METEOR and the scene facts of
a resample are those of its pictures as a whole, and ROUGE-L, CIDEr and SPICE their means.  CIDEr
keeps the weights of the whole set.  The intervals tell of other pictures of the same kind, not of
the same model trained with another seed.
"""

from typing import NamedTuple

import numpy as np

from coursekit.errors import CourseError
from coursekit.metrics.captions import ORDER, Scores, caption_sums
from coursekit.metrics.scenes import fact_sums

CELLS = 1 << 22  # numbers of a block of resamples: 32 MB


class Interval(NamedTuple):
    """A score, and the ends of its interval."""

    value: float
    low: float
    high: float

    def __str__(self):
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Difference(NamedTuple):
    """A's score less B's, the ends of its interval, and the share of resamples where A is higher."""

    value: float
    low: float
    high: float
    share: float

    def __str__(self):
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}], higher in {self.share:.1%}"


def bootstrap(
    candidates, references, resamples=1000, level=0.95, seed=0, meteor=None, spice=False,
    tokenized=False, claims=None, facts=None,
):  # fmt: skip
    """Scores with an Interval each: the value of `caption_scores`, and percentiles of resamples.

    `level` is the part of resamples between low and high.  The other arguments are those of
    `caption_scores`; with `claims` and `facts` come the scores of `fact_scores`.  The same seed
    gives the same intervals.  Raises CourseError as these two do, and for a level outside (0, 1) or
    fewer than 1 resample.
    """
    _check(resamples, level)
    told = _fact_sums(claims, facts, len(candidates))
    sums, missing = caption_sums(candidates, references, meteor, tokenized, spice)
    sums += told
    drawn = _resampled(sums, resamples, seed)  # name → (resamples,)
    ends = {name: np.quantile(drawn[name], _tails(level)).tolist() for name in drawn}
    values = _values(sums)
    return Scores({name: Interval(values[name], *ends[name]) for name in _order(values)}, missing)


def paired(
    candidates_a, candidates_b, references, resamples=1000, level=0.95, seed=0, meteor=None,
    spice=False, tokenized=False, claims=None, facts=None,
):  # fmt: skip
    """Two lists of captions of the same pictures: scores with a Difference each, A less B.

    Both are scored on the same resamples, so what is hard or easy for both cancels (Koehn, 2004).
    `share` counts ties half: 0.5 says nothing, above 0.95 is what is called significant at 5 %
    when one asks whether A is better.  `claims` is a pair, of A's and B's.  Arguments and errors
    are else those of `bootstrap`.
    """
    _check(resamples, level)
    sides = []
    for captions, claimed in zip((candidates_a, candidates_b), claims or (None, None), strict=True):
        told = _fact_sums(claimed, facts, len(captions))
        sums, missing = caption_sums(captions, references, meteor, tokenized, spice)
        sums += told
        sides.append((_values(sums), _resampled(sums, resamples, seed)))
    (value_a, drawn_a), (value_b, drawn_b) = sides
    found = {}
    for name in _order(value_a):
        differences = drawn_a[name] - drawn_b[name]
        share = float(np.mean(differences > 0) + np.mean(differences == 0) / 2)
        ends = np.quantile(differences, _tails(level)).tolist()
        found[name] = Difference(value_a[name] - value_b[name], *ends, share)
    return Scores(found, missing)


def _fact_sums(claims, facts, pictures):
    if claims is None and facts is None:
        return []
    if claims is None or facts is None or len(facts) != pictures:
        raise CourseError("Give claims and facts together, one set of each for every picture.")
    return [fact_sums(claims, facts)]


def _values(sums):
    """name → score of the whole."""
    found = {}
    for names, rows, finish in sums:
        found |= zip(names, finish(rows.sum(0)).tolist(), strict=True)
    return found


def _resampled(sums, resamples, seed):
    """name → scores of the resamples (resamples,)."""
    random = np.random.default_rng(seed)
    rows = np.concatenate([each.rows for each in sums], axis=1)  # (pictures, K of all)
    pictures = len(rows)
    drawn, block = [], max(1, CELLS // pictures)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        times = random.multinomial(pictures, np.full(pictures, 1 / pictures), size)
        drawn.append(times.astype(float) @ rows)  # (block, K of all)
    ends = np.cumsum([each.rows.shape[1] for each in sums])[:-1]
    found = {}
    for each, part in zip(sums, np.split(np.concatenate(drawn), ends, axis=1), strict=True):
        found |= zip(each.names, each.finish(part).T, strict=True)
    return found


def _order(names):
    return [name for name in ORDER if name in names] + [n for n in names if n not in ORDER]


def _tails(level):
    return [(1 - level) / 2, (1 + level) / 2]


def _check(resamples, level):
    if not 0 < level < 1:
        raise CourseError(f"A level lies between 0 and 1, such as 0.95, not {level}.")
    if resamples < 1:
        raise CourseError(f"There must be at least 1 resample, not {resamples}; 1000 are usual.")
