"""Kendall's tau against known values, and scores against the ratings of a made-up archive."""

import random

import pytest

from coursekit.errors import CourseError
from coursekit.metrics.judgement import (
    Judgement,
    judged_pairs,
    kendall,
    read_captions_by_id,
    read_judgements,
    tau_table,
)  # fmt: skip


@pytest.mark.parametrize(
    "scores, ratings, b, c",  # as scipy.stats.kendalltau 1.17 computes them
    [
        ([12, 2, 1, 12, 2], [1, 4, 7, 1, 0], -0.4714045207910316, -0.48),
        (
            [1, 2, 3, 4, 5, 6, 7, 8],
            [1, 1, 2, 2, 1, 3, 4, 4],
            0.7487048859271456,
            0.7916666666666666,
        ),
        (
            [0.3, 0.1, 0.3, 0.9, 0.5, 0.5],
            [4, 1, 2, 4, 3, 1],
            0.3846153846153847,
            0.37037037037037035,
        ),
        ([1, 2, 3], [1, 2, 3], 1, 1),
        ([1, 2, 3], [3, 2, 1], -1, -1),
        ([1, 2, 3], [1, 1, 2], 0.816496580927726, 0.8888888888888888),
    ],
)
def test_known_values(scores, ratings, b, c):
    assert kendall(scores, ratings) == pytest.approx((b, c), abs=1e-12)


def test_equals_counting_all_pairs():
    rng = random.Random(0)
    scores = [rng.randrange(30) / 7 for _ in range(200)]
    ratings = [rng.randint(1, 4) for _ in range(200)]
    signs = [
        ((scores[i] > scores[j]) - (scores[i] < scores[j]))
        * ((ratings[i] > ratings[j]) - (ratings[i] < ratings[j]))
        for i in range(200)
        for j in range(i)
    ]
    assert kendall(scores, ratings).c == pytest.approx(sum(signs) * 2 * 4 / (200**2 * 3))


@pytest.mark.parametrize("scores, ratings", [([1, 2], [1]), ([1, 1], [1, 2]), ([], [])])
def test_no_tau(scores, ratings):
    with pytest.raises(CourseError, match="two lists of the same length"):
        kendall(scores, ratings)


CAPTIONS = {
    "1.jpg#0": "A red boat on the sea .",
    "1.jpg#1": "There is a boat on the water .",
    "2.jpg#0": "Two dogs run in the snow .",
    "2.jpg#1": "The dogs are running .",
    "3.jpg#0": "A man rides a horse .",
    "3.jpg#1": "A man on a horse .",
}
LINES = [
    "1.jpg\t1.jpg#1\t4\t4\t4",  # the photo's own: left out
    "1.jpg\t3.jpg#1\t1\t1\t2",
    "2.jpg\t1.jpg#0\t1\t1\t1",
    "3.jpg\t2.jpg#1\t1\t2\t1",
    "3.jpg\t4.jpg#0\t4\t3\t4",
]


@pytest.fixture
def archive(tmp_path):
    """Files laid out as those of Flickr8k's texts."""
    captions = CAPTIONS | {"4.jpg#0": "A man rides a brown horse .", "4.jpg#1": "A horse ."}
    (tmp_path / "ExpertAnnotations.txt").write_text("\n".join(LINES) + "\n")
    (tmp_path / "Flickr8k.token.txt").write_text(
        "".join(f"{k}\t{v}\n" for k, v in captions.items())
    )
    return tmp_path


def test_reading(archive):
    found = read_judgements(archive / "ExpertAnnotations.txt")
    assert len(found) == 5 and found[1] == Judgement("1.jpg", "3.jpg#1", (1, 1, 2))
    assert read_captions_by_id(archive / "Flickr8k.token.txt").items() >= CAPTIONS.items()


def test_pairs_leave_out_the_photos_own(archive):
    captions = read_captions_by_id(archive / "Flickr8k.token.txt")
    candidates, references, ratings = judged_pairs(
        read_judgements(archive / "ExpertAnnotations.txt"), captions
    )
    assert candidates == [captions[i] for i in ("3.jpg#1", "1.jpg#0", "2.jpg#1", "4.jpg#0")]
    assert references[0] == [captions["1.jpg#0"], captions["1.jpg#1"]]
    assert ratings[-1] == (4, 3, 4)
    # The same words under another photo's id are the photo's own, too
    twin = captions | {"5.jpg#0": captions["1.jpg#0"]}
    assert judged_pairs([Judgement("1.jpg", "5.jpg#0", (4, 4, 4))], twin) == ([], [], [])


def test_table(archive):
    table = tau_table(
        read_judgements(archive / "ExpertAnnotations.txt"),
        read_captions_by_id(archive / "Flickr8k.token.txt"),
        meteor=False,
    )
    assert list(table) == ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"]
    assert 0.3 < table["CIDEr"].c <= 1 and set(table.missing) == {"METEOR", "SPICE"}


@pytest.mark.parametrize(
    "line", ["1.jpg\t1.jpg#1\t4\t4", "1.jpg\t1.jpg#1\t4\t4\t5", "1.jpg\t1.jpg\t1\t1\t1"]
)
def test_other_files_are_refused(tmp_path, line):
    (tmp_path / "x.txt").write_text(f"{LINES[0]}\n{line}\n")
    with pytest.raises(CourseError, match="Line 2 of .* give the ExpertAnnotations.txt"):
        read_judgements(tmp_path / "x.txt")
    (tmp_path / "y.txt").write_text("nothing")
    with pytest.raises(CourseError, match="no captions by id; give the Flickr8k.token.txt"):
        read_captions_by_id(tmp_path / "y.txt")
    for reader in (read_judgements, read_captions_by_id):
        with pytest.raises(CourseError, match="cannot be read as text"):
            reader(tmp_path)


def test_an_unknown_caption():
    with pytest.raises(CourseError, match="no caption 9.jpg#0 or no photo 1.jpg"):
        judged_pairs([Judgement("1.jpg", "9.jpg#0", (1, 1, 1))], CAPTIONS)
