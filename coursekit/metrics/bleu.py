"""BLEU (Papineni et al., 2002), with pycocoevalcap's values."""

import numpy as np

from coursekit.metrics.sums import Sums
from coursekit.metrics.words import ORDERS

TINY, SMALL = 1e-15, 1e-9  # keep logarithms and divisions defined, as pycocoevalcap does


def bleu_sums(candidates, references):
    """Sums of Bleu_1 to Bleu_4 over Captions: matches and n-grams by order, and both lengths."""
    rows = [_counts(*pair) for pair in zip(candidates, references, strict=True)]
    names = tuple(f"Bleu_{n}" for n in range(1, ORDERS + 1))
    return Sums(names, np.array(rows, float), _bleu)


def _counts(candidate, references):
    """[matches of each order, n-grams of each order, length, closest reference's length]."""
    matches = [0] * ORDERS
    for ngram, count in candidate.ngrams.items():
        most = max(one.ngrams.get(ngram, 0) for one in references)
        matches[len(ngram) - 1] += min(count, most)  # clipped: a word counts as often as there
    length = len(candidate.words)
    ngrams = [max(0, length - n) for n in range(ORDERS)]
    closest = min((abs(len(one.words) - length), len(one.words)) for one in references)[1]
    return [*matches, *ngrams, length, closest]


def _bleu(sums):
    """sums (..., 10) → BLEU-1 to 4 (..., 4).

    BLEU_N = min(1, exp(1 - r / c)) · (p_1 … p_N)^(1/N), with precisions p_n = matches / n-grams,
    c the length of the captions and r of the references that come closest to them.
    """
    matches, ngrams = sums[..., :ORDERS], sums[..., ORDERS : 2 * ORDERS]
    precisions = (matches + TINY) / (ngrams + SMALL)
    means = np.cumprod(precisions, -1) ** (1 / np.arange(1, ORDERS + 1))
    ratio = (sums[..., -2:-1] + TINY) / (sums[..., -1:] + SMALL)
    return means * np.exp(np.minimum(0, 1 - 1 / ratio))
