"""Scores against human judgement: do captions that people rate higher score higher?

Hodosh et al. (2013) had three experts rate captions of Flickr8k photos from 1 to 4; their file,
ExpertAnnotations.txt, comes with the archive of the texts.  Kendall's tau between scores and ratings
is how metrics are compared there (Anderson et al., 2016; Hessel et al., 2021, appendix A).
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from itertools import groupby
from math import sqrt
from pathlib import Path
from typing import NamedTuple

from coursekit.errors import CourseError
from coursekit.metrics.captions import Scores, caption_scores


class Judgement(NamedTuple):
    """What three experts said of a caption put to a photo, each from 1 (wrong) to 4 (right)."""

    image: str
    caption_id: str
    ratings: tuple


class Tau(NamedTuple):
    """Kendall's tau-b and tau-c."""

    b: float
    c: float


def kendall(scores, ratings):
    """Tau between two lists of numbers: 1 for the same order, -1 for the opposite, 0 for none.

    Of all pairs of items, C are in the same order in both lists, D in the opposite, and n₁ and n₂
    tied in the one and the other.  tau-b = (C - D) / √((n₀ - n₁)(n₀ - n₂)) with n₀ = n (n - 1) / 2
    pairs; tau-c = 2 m (C - D) / (n² (m - 1)), m the smaller number of different values: it suits
    lists of very different numbers of values, such as scores and ratings from 1 to 4.
    Raises CourseError for lists of different or no length, or if one is all the same value.
    """
    n, values = len(scores), min(len(set(scores)), len(set(ratings)))
    if n != len(ratings) or values < 2:
        raise CourseError(
            "Give two lists of the same length, each with at least two different values; these "
            f"have {n} and {len(ratings)} numbers, {len(set(scores))} and {len(set(ratings))} different."
        )
    difference = _concordance(scores, ratings)
    pairs = n * (n - 1) / 2
    b = difference / sqrt((pairs - _ties(scores)) * (pairs - _ties(ratings)))
    return Tau(b, 2 * values * difference / (n**2 * (values - 1)))


def _concordance(scores, ratings):
    """Pairs in the same order less pairs in the opposite, in O(n log n) comparisons."""
    difference, below = 0, []  # ratings of all lower scores, sorted
    items = sorted(zip(scores, ratings, strict=True))
    for _, group in groupby(items, key=lambda item: item[0]):
        group = [rating for _, rating in group]
        for rating in group:
            difference += bisect_left(below, rating) - (len(below) - bisect_right(below, rating))
        for rating in group:
            insort(below, rating)
    return difference


def _ties(values):
    return sum(count * (count - 1) / 2 for count in Counter(values).values())


def read_judgements(path):
    """The Judgements of a file laid out as Flickr8k's ExpertAnnotations.txt.

    A line is photo, caption ("name.jpg#2") and three ratings, with tabs between.
    Raises CourseError if there is no such file, or a line reads differently.
    """
    found = []
    for number, line in enumerate(_lines(path), 1):
        parts = line.split("\t")
        if len(parts) != 5 or "#" not in parts[1] or not set(parts[2:]) <= set("1234"):
            raise CourseError(
                f"Line {number} of {path} is not photo, caption and three ratings from 1 to 4; "
                "give the ExpertAnnotations.txt of Flickr8k's texts."
            )
        found.append(Judgement(parts[0], parts[1], tuple(map(int, parts[2:]))))
    return found


def read_captions_by_id(path):
    """caption id → caption, of a file laid out as Flickr8k.token.txt ("name.jpg#2", tab, caption)."""
    found = dict(line.split("\t", 1) for line in _lines(path) if "\t" in line)
    if not found or any("#" not in name for name in found):
        raise CourseError(f"{path} holds no captions by id; give the Flickr8k.token.txt.")
    return found


def _lines(path):
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(
            f"{path} cannot be read as text; give the file of Flickr8k's text archive."
        ) from error
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def judged_pairs(judgements, captions):
    """What there is to score: (candidates, references, ratings), one of each a judged caption.

    `captions` is caption id → caption.  References are the photo's own captions.  A caption that
    is one of them, word for word, is left out: it would score full marks for being itself.
    Raises CourseError if a judged photo or caption is not among `captions`.
    """
    own = {}
    for name, caption in captions.items():
        own.setdefault(name.partition("#")[0], []).append(caption)
    candidates, references, ratings = [], [], []
    for image, caption_id, rated in judgements:
        if caption_id not in captions or image not in own:
            raise CourseError(
                f"There is no caption {caption_id} or no photo {image} among the captions; "
                "give the Flickr8k.token.txt that belongs to the judgements."
            )
        if captions[caption_id] not in own[image]:
            candidates.append(captions[caption_id])
            references.append(own[image])
            ratings.append(rated)
    return candidates, references, ratings


def tau_table(judgements, captions, meteor=None, spice=False):
    """Kendall's Tau between each score of single captions and the experts' ratings.

    Every rating counts as an item of its own, three to a caption, as in the CLIPScore paper.
    Returns Scores of name → Tau; arguments as `judged_pairs` and `caption_scores` take them.
    """
    candidates, references, ratings = judged_pairs(judgements, captions)
    scores = caption_scores(candidates, references, meteor, per_caption=True, spice=spice)
    flat = [rating for rated in ratings for rating in rated]
    found = {}
    for name, each in scores.items():
        found[name] = kendall([score for score in each for _ in range(3)], flat)
    return Scores(found, scores.missing)
