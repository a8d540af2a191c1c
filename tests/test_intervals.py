"""Bootstrap intervals: by hand, exact for what is counted as a whole, and true to their level."""

import numpy as np
import pytest

from coursekit.errors import CourseError
from coursekit.metrics import intervals
from coursekit.metrics.captions import caption_scores
from coursekit.metrics.intervals import Difference, Interval, bootstrap, paired

WORDS = "red boat sea dog snow man horse tree house bird".split()
RANDOM = np.random.default_rng(1)


def made_up(pictures, right, rng=RANDOM):
    """Captions of six words, each the reference's with probability `right`, and the references."""
    references = [[" ".join(rng.choice(WORDS, 6))] for _ in range(pictures)]
    return [
        " ".join(word if rng.random() < right else "nothing" for word in each[0].split())
        for each in references
    ], references


CANDIDATES, REFERENCES = made_up(60, 0.7)


def test_values_are_the_scores_and_lie_within():
    scores = caption_scores(CANDIDATES, REFERENCES, meteor=False)
    found = bootstrap(CANDIDATES, REFERENCES, meteor=False, resamples=300)
    assert list(found) == list(scores) and found.missing == scores.missing
    for name, (value, low, high) in found.items():
        assert value == pytest.approx(scores[name]) and low < value < high


def test_one_resample_is_enough_to_ask_for():
    found = bootstrap(CANDIDATES, REFERENCES, resamples=1, meteor=False)
    assert all(low == high for _, low, high in found.values())


@pytest.mark.parametrize("name", ["Bleu_1", "Bleu_4", "ROUGE_L"])
def test_a_resample_scores_as_its_captions_would(name, monkeypatch):
    """BLEU is no mean of captions: the drawn pictures are scored together, as one list."""
    times = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), 5)
    found = bootstrap(CANDIDATES, REFERENCES, resamples=5, level=1 - 1e-9, meteor=False)
    each = []
    for row in times:
        drawn = np.repeat(np.arange(60), row)
        captions, references = [CANDIDATES[i] for i in drawn], [REFERENCES[i] for i in drawn]
        each.append(caption_scores(captions, references, meteor=False)[name])
    assert found[name][1:] == pytest.approx((min(each), max(each)), abs=1e-7)


def test_by_hand():
    """Two pictures, scores 1 and 0: a resample has 0, 1 or 2 of the first, a quarter, half, quarter."""
    found = bootstrap(["a", "b"], [["a"], ["c"]], level=0.4, resamples=4000, meteor=False)
    assert found["ROUGE_L"] == Interval(0.5, 0.5, 0.5)
    assert bootstrap(["a", "b"], [["a"], ["c"]], level=0.6, meteor=False)["ROUGE_L"] == (0.5, 0, 1)


def test_equal_captions_have_no_width():
    captions = ["a red boat on the sea"] * 20
    found = bootstrap(captions, [[one] for one in captions], resamples=50, meteor=False)
    for name in ("Bleu_1", "Bleu_4", "ROUGE_L"):
        assert found[name] == pytest.approx((1, 1, 1))
        assert found[name].low == found[name].high


def test_intervals_hold_the_truth_as_often_as_they_say():
    """ROUGE-L is here the share of right words, 0.6; nine in ten of the 90 % intervals hold it."""
    rng, held = np.random.default_rng(3), 0
    for seed in range(100):
        found = bootstrap(*made_up(50, 0.6, rng), resamples=200, level=0.9, seed=seed, meteor=False)
        held += found["ROUGE_L"].low <= 0.6 <= found["ROUGE_L"].high
    assert 80 <= held <= 97  # outside of these by chance once in a hundred seeds


def test_seeds_and_blocks(monkeypatch):
    def one(seed=0):
        return bootstrap(CANDIDATES, REFERENCES, resamples=50, seed=seed, meteor=False)

    assert one() == one() != one(1)
    wide = one()
    monkeypatch.setattr(intervals, "CELLS", 60 * 7)
    for name, interval in one().items():
        assert interval == pytest.approx(wide[name])


def test_scene_facts():
    claims = [{"sky"}, {"sky", "dog"}] * 10
    facts = [{"sky", "boat"}, {"sky", "dog"}] * 10
    captions = ["a"] * 20
    found = bootstrap(captions, [[c] for c in captions], meteor=False, claims=claims, facts=facts)
    assert found["fact_precision"] == (1, 1, 1)
    assert found["fact_recall"].value == pytest.approx(0.75)
    assert 0.5 < found["fact_recall"].low < 0.75 < found["fact_recall"].high < 1
    for wrong in ((claims, None), (None, facts), (claims[:3], facts[:3])):
        with pytest.raises(CourseError, match="claims and facts together"):
            bootstrap(captions, [[c] for c in captions], claims=wrong[0], facts=wrong[1])


def test_paired_finds_what_two_intervals_do_not():
    rng = np.random.default_rng(5)
    worse, references = made_up(300, 0.5, rng)
    # B has one word more right in every sixth caption: less than the width of either interval
    better = [
        caption.replace("nothing", references[i][0].split()[caption.split().index("nothing")], 1)
        if i % 6 == 0 and "nothing" in caption
        else caption
        for i, caption in enumerate(worse)
    ]
    a, b = (bootstrap(c, references, meteor=False)["ROUGE_L"] for c in (better, worse))
    assert a.low < b.high
    difference = paired(better, worse, references, meteor=False)["ROUGE_L"]
    assert difference.low > 0 and difference.share == 1
    assert difference.value == pytest.approx(a.value - b.value)
    other = paired(worse, better, references, meteor=False)["ROUGE_L"]
    assert other[:3] == pytest.approx((-difference.value, -difference.high, -difference.low))
    assert other.share == 0


def test_paired_with_itself():
    found = paired(CANDIDATES, CANDIDATES, REFERENCES, resamples=30, meteor=False)
    assert set(found.values()) == {Difference(0, 0, 0, 0.5)}


def test_paired_facts():
    facts = [{"sky"}, {"sea"}] * 8
    claims = facts, [{"sky"}] * 16
    found = paired(["a"] * 16, ["b"] * 16, [["a"]] * 16, meteor=False, claims=claims, facts=facts)
    assert found["fact_precision"].value == 0.5 and found["fact_precision"].share == 1


def test_as_text():
    assert str(Interval(0.4123, 0.398, 0.4251)) == "0.412 [0.398, 0.425]"
    assert (
        str(Difference(0.0123, -0.001, 0.02, 0.964)) == "+0.012 [-0.001, +0.020], higher in 96.4%"
    )


@pytest.mark.java
def test_meteor_has_an_interval():
    candidates, references = CANDIDATES[:12], REFERENCES[:12]
    found = bootstrap(candidates, references, resamples=100)["METEOR"]
    assert found.value == pytest.approx(caption_scores(candidates, references)["METEOR"])
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    "options, sentence",
    [({"level": 1}, "between 0 and 1, such as 0.95"), ({"resamples": 0}, "at least 1 resample")],
)
def test_wrong_input(options, sentence):
    with pytest.raises(CourseError, match=sentence):
        bootstrap(CANDIDATES, REFERENCES, **options)
    with pytest.raises(CourseError, match="60 captions for 59 lists"):
        paired(CANDIDATES, CANDIDATES, REFERENCES[1:])
