"""CIDEr and CIDEr-D: by hand, by a second way of computing, and with idf from elsewhere."""

import math

import pytest

from coursekit.errors import CourseError
from coursekit.metrics.captions import caption_scores, cider, document_frequency

REFERENCES = [["a dog runs", "the dog runs"], ["a cat sits"], ["a bird flies away"]]
CANDIDATES = ["a dog runs", "a dog sits", "a bird"]


def by_definition(candidate, references, everything, clip):
    """Eq. 1 to 4 as dense vectors over all n-grams, each word a letter of its own."""

    def grams(text, n):
        words = text.split()
        return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]

    def vector(text, n, names):
        idf = [
            math.log(
                len(everything) / max(1, sum(any(g in grams(r, n) for r in e) for e in everything))
            )
            for g in names
        ]
        return [grams(text, n).count(g) * weight for g, weight in zip(names, idf, strict=True)]

    total = 0.0
    for n in range(1, 5):
        names = sorted({g for text in [candidate, *references] for g in grams(text, n)})
        c = vector(candidate, n, names)
        for reference in references:
            s = vector(reference, n, names)
            norms = math.hypot(*c) * math.hypot(*s)
            product = sum((min(x, y) if clip else x) * y for x, y in zip(c, s, strict=True))
            gap = len(candidate.split()) - len(reference.split())
            total += (product / norms if norms else 0) * (math.exp(-gap * gap / 72) if clip else 1)
    return 10 * total / 4 / len(references)


@pytest.mark.parametrize("variant", ["D", "plain"])
def test_equals_the_definition(variant):
    mean, each = cider(CANDIDATES, REFERENCES, variant)
    for i, candidate in enumerate(CANDIDATES):
        expected = by_definition(candidate, REFERENCES[i], REFERENCES, variant == "D")
        assert each[i] == pytest.approx(expected, abs=1e-12)
    assert mean == pytest.approx(sum(each) / 3) and each[0] > 5 > each[1]


def test_by_hand():
    """Two pictures, one word each: idf log 2, cosine 1, orders 2 to 4 empty: 10 / 4."""
    mean, each = cider(["dog", "cat"], [["dog"], ["cow"]], "plain")
    assert each == pytest.approx([2.5, 0]) and mean == pytest.approx(1.25)


def test_the_scores_are_cider_d():
    mean, each = cider(CANDIDATES, REFERENCES)
    assert caption_scores(CANDIDATES, REFERENCES, meteor=False)["CIDEr"] == pytest.approx(mean)
    scores = caption_scores(CANDIDATES, REFERENCES, meteor=False, per_caption=True)
    assert scores["CIDEr"] == pytest.approx(each)


def test_only_d_sees_repeated_words_and_length():
    """The games that CIDEr-D was made against: saying the rare word again and again."""
    references = [["a dog runs fast today"], ["a cat sits"], ["a cow eats"]]
    honest, stuffed = "a dog runs", "dog dog dog dog dog dog"
    plain, defended = (
        [cider([text, "x", "y"], references, variant)[1][0] for text in (honest, stuffed)]
        for variant in ("plain", "D")
    )
    assert defended[1] / defended[0] < plain[1] / plain[0] / 2


def test_one_picture_is_worth_nothing_alone_but_something_with_idf_from_elsewhere():
    alone = cider(["a dog runs"], [["a dog runs"]])
    assert alone == (0, [0])
    frequency = document_frequency(REFERENCES)
    assert frequency.pictures == 3 and frequency.counts["dog",] == 1 and frequency.counts["a",] == 3
    borrowed = cider(["a dog runs"], [REFERENCES[0]], document_frequency=frequency)
    assert borrowed[0] == pytest.approx(cider(CANDIDATES, REFERENCES)[1][0])


def test_words_are_split_unless_tokenized():
    frequency = document_frequency(REFERENCES)
    loud = ["A dog, runs!"], [["a dog runs"]]
    assert cider(*loud, document_frequency=frequency)[0] == pytest.approx(7.5)
    assert cider(*loud, document_frequency=frequency, tokenized=True)[0] == 0


def test_wrong_input():
    with pytest.raises(CourseError, match="no CIDEr 'R'; choose 'D' or 'plain'"):
        cider(CANDIDATES, REFERENCES, "R")
    with pytest.raises(CourseError, match="3 captions for 2 lists"):
        cider(CANDIDATES, REFERENCES[:2])
    with pytest.raises(CourseError, match="wrap a single reference"):
        document_frequency(["a dog"])
