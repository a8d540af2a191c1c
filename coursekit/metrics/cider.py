"""CIDEr and CIDEr-D (Vedantam et al., 2015): captions as vectors of tf-idf weighted n-grams.

The "CIDEr" of pycocoevalcap and of the COCO server is CIDEr-D, and `Scores["CIDEr"]` is that value.
It differs from eq. 4 of the paper in three small things: words are counted as they stand, where the
paper divides by the caption's length before it clips; a length is the number of bigrams, so a
caption of one word is as long as an empty one; and an n-gram that no reference has counts as
if one picture had it, where the paper would divide by zero.
"""

import math
from collections import Counter
from itertools import chain
from typing import NamedTuple

from coursekit.errors import CourseError
from coursekit.metrics.sums import mean_sums
from coursekit.metrics.words import ORDERS, check_references, read_caption, read_captions

SIGMA = 6.0  # words of difference in length that cost a factor exp(-1/2)
SCALE = 10.0
VARIANTS = ("D", "plain")


class DocumentFrequency(NamedTuple):
    """In the references of how many pictures each n-gram stands, and how many pictures there are."""

    counts: Counter
    pictures: int


def document_frequency(references, tokenized=False):
    """The DocumentFrequency of a corpus: `references[i]` are the captions of picture i."""
    check_references(references)
    return _frequency([[read_caption(one, tokenized) for one in each] for each in references])


def cider(candidates, references, variant="D", document_frequency=None, tokenized=False):
    """CIDEr of captions against lists of references: (mean, list of each), 0 to 10.

    `variant` "D" is CIDEr-D as pycocoevalcap computes it: no stemming, weights clipped at the
    reference's, a Gaussian penalty on the difference in length.  "plain" is eq. 1 to 3 of the
    paper, without clipping and penalty, times 10 as in its authors' code; no words are stemmed.
    The weights come from `references`, or from another corpus by `document_frequency`.
    Raises CourseError for another variant, and for captions as `caption_scores` does.
    """
    if variant not in VARIANTS:
        raise CourseError(f"There is no CIDEr '{variant}'; choose 'D' or 'plain'.")
    each = _each(*read_captions(candidates, references, tokenized), variant, document_frequency)
    return sum(each) / len(each), each


def cider_sums(candidates, references):
    """Sums of CIDEr, that is CIDEr-D, over Captions; idf from all of `references`."""
    return mean_sums("CIDEr", _each(candidates, references))


def _each(candidates, references, variant="D", frequency=None):
    idf = _Idf(frequency or _frequency(references))
    clip = variant == "D"
    pairs = zip(candidates, references, strict=True)
    return [_cider(candidate, each, idf, clip) for candidate, each in pairs]


def _frequency(references):
    counts = Counter()
    for each in references:
        counts.update(set(chain.from_iterable(one.ngrams for one in each)))
    return DocumentFrequency(counts, len(references))


class _Idf(dict):
    """n-gram → log(pictures / pictures that have it), worked out when first asked for."""

    def __init__(self, frequency):
        self.counts, self.pictures = frequency

    def __missing__(self, ngram):
        self[ngram] = value = math.log(self.pictures / max(1, self.counts.get(ngram, 0)))
        return value


def _cider(candidate, references, idf, clip):
    """Eq. 2 and 3: the mean over references and orders of the cosine between tf-idf vectors."""
    vector, norms = _vector(candidate, idf)
    total = 0.0
    for reference in references:
        other, other_norms = _vector(reference, idf)
        products = _products(vector, other, clip)
        cosines = [p / (a * b) for p, a, b in zip(products, norms, other_norms, strict=True) if p]
        total += sum(cosines) * (_penalty(candidate, reference) if clip else 1.0)
    return SCALE * total / ORDERS / len(references)


def _vector(caption, idf):
    """Eq. 1: weights g = count · idf by n-gram, and the norm of each order."""
    vector, squares = {}, [0.0] * ORDERS
    for ngram, count in caption.ngrams.items():
        vector[ngram] = weight = count * idf[ngram]
        squares[len(ngram) - 1] += weight * weight
    return vector, [math.sqrt(square) for square in squares]


def _products(vector, other, clip):
    """The inner product of each order; eq. 4 clips the candidate's weights at the reference's."""
    products = [0.0] * ORDERS
    for ngram, weight in vector.items():
        if theirs := other.get(ngram):
            products[len(ngram) - 1] += (min(weight, theirs) if clip else weight) * theirs
    return products


def _penalty(candidate, reference):
    """Eq. 4: exp(-(l(c) - l(s))² / 2σ²), lengths in bigrams."""
    difference = max(1, len(candidate.words)) - max(1, len(reference.words))
    return math.exp(-(difference**2) / (2 * SIGMA**2))
