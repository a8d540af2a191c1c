"""Scores of pixel models: by hand on small pictures, equal to their definitions, and bad input refused."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from coursekit.errors import CourseError
from coursekit.metrics.images import (
    bits,
    bits_per_pixel,
    classifier_score,
    confusion,
    frechet_distance,
    kappa,
    neighbours,
    per_position,
    report_by_class,
    unigram,
)


class Fixed(nn.Module):
    """Says the same of every picture: place t gets the probabilities of row t."""

    def __init__(self, probabilities):
        super().__init__()
        self.told = nn.Parameter(torch.tensor(probabilities).log())
        self.modes = []

    def forward(self, tokens):
        self.modes.append(self.training)
        return self.told[: tokens.shape[1]].expand(len(tokens), -1, -1)


def test_a_bit_is_ln_2_nats():
    assert bits(math.log(2)) == pytest.approx(1)
    assert bits(torch.tensor([0.0, math.log(8)])).tolist() == pytest.approx([0, 3])


def test_bits_a_pixel_by_hand_whatever_the_batch():
    # Place 0 is a fair coin; at place 1 colour 1 has 3 of 4
    model = Fixed([[0.5, 0.5], [0.25, 0.75]])
    tokens = torch.tensor([[0, 1], [1, 1], [1, 0]])
    at_1 = (2 * math.log2(4 / 3) + 2) / 3
    for batch in (1, 2, 100):
        mean, each = bits_per_pixel(model, tokens, batch)
        assert each.tolist() == pytest.approx([1, at_1])
        assert mean == pytest.approx((1 + at_1) / 2)
    assert model.training and not any(model.modes), "in eval mode, and back"


def test_the_first_pixel_counts():
    mean, each = bits_per_pixel(Fixed([[1 / 16] + [15 / 16 / 7] * 7, [1 / 8] * 8]), [[0, 0]])
    assert each.tolist() == pytest.approx([4, 3]) and mean == pytest.approx(3.5)


def test_a_plain_function_is_a_model_too():
    def model(tokens):
        return torch.zeros(*tokens.shape, 4)

    assert bits_per_pixel(model, torch.tensor([[3, 0, 1]]))[0] == pytest.approx(2)


def test_unigram_and_positions_by_hand():
    train, test = torch.tensor([[0, 1], [0, 1], [0, 0]]), torch.tensor([[0, 1]])
    # colours: 4 and 2 of 6, plus one each: 5/8 and 3/8
    assert unigram(train, test, 2) == pytest.approx(-(math.log2(5 / 8) + math.log2(3 / 8)) / 2)
    # place 0: 3 and 0, plus one each: 4/5; place 1: 1 and 2: 3/5
    assert per_position(train, test, 2) == pytest.approx(-(math.log2(4 / 5) + math.log2(3 / 5)) / 2)


def test_neighbours_by_hand():
    """One picture of 2 x 2 with distinct surroundings at each place: every pixel has its own counts."""
    train = torch.tensor([[0, 1, 1, 0]])
    alone = torch.tensor([3 / 6, 3 / 6])  # two of each, plus one each
    seen = -math.log2((1 + alone[0].item()) / 2)  # n(c, x) = n(c) = 1
    assert neighbours(train, train, 2) == pytest.approx(seen)
    # Another picture: only the surroundings of the first pixel (all outside) have been seen, without this colour
    other = torch.tensor([[1, 1, 1, 1]])
    first, rest = -math.log2((0 + 0.5) / 2), -math.log2(0.5)
    assert neighbours(train, other, 2) == pytest.approx((first + 3 * rest) / 4)


@pytest.mark.parametrize(
    "up, left, told",
    [(0, 1, 1), (1, 1, 1), (1, 0, 1), (1, -1, 1), (2, 0, 0), (0, 2, 0), (2, 1, 0)],
)
def test_neighbours_see_the_four_places_and_no_others(up, left, told):
    """Pictures in which each pixel repeats the one so far up and left, where there is one, and is else a coin."""
    torch.manual_seed(0)
    side, pictures = 9, torch.randint(2, (400, 9, 9))
    coins = 0
    for row in range(side):
        for column in range(side):
            other = row - up, column - left
            if min(other) >= 0 and max(other) < side:
                pictures[:, row, column] = pictures[:, *other]
            else:
                coins += 1
    expected = coins / side**2 if told else 1
    tokens = pictures.flatten(1)
    assert neighbours(tokens, tokens, 2) == pytest.approx(expected, abs=0.03)


def test_counts_are_those_of_pieces_together(monkeypatch):
    torch.manual_seed(1)
    train, test = torch.randint(3, (7, 16)), torch.randint(3, (5, 16))
    whole = neighbours(train, test, 3)
    monkeypatch.setattr("coursekit.metrics.images.BLOCK", 2)
    assert neighbours(train, test, 3) == pytest.approx(whole)


LABELS = [0, 0, 0, 1, 1, 2]
GUESSED = [0, 0, 1, 1, 2, 0]


def test_confusion_by_hand():
    assert confusion(LABELS, GUESSED, 3).tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert confusion(LABELS, GUESSED).shape == (10, 10), "classes that do not occur have their rows"


def test_scores_of_classes_by_hand():
    zero, one, two = report_by_class(torch.tensor(LABELS), torch.tensor(GUESSED), 3)
    assert zero == pytest.approx((2 / 3, 2 / 3, 2 / 3, 3))
    assert one == pytest.approx((1 / 2, 1 / 2, 1 / 2, 2))
    assert two == (0, 0, 0, 1)
    assert report_by_class([0, 1], [0, 0], 3)[2] == (0, 0, 0, 0), "a class that never occurs"


def test_kappa_by_hand():
    # 3 of 6 agree; by chance 3/6 · 3/6 + 2/6 · 2/6 + 1/6 · 1/6 = 14/36
    assert kappa(LABELS, GUESSED, 3) == pytest.approx((18 / 36 - 14 / 36) / (22 / 36))
    assert kappa([0, 1], [0, 1]) == 1 and kappa([0, 1], [1, 0]) == -1
    assert kappa([0, 0, 0, 1], [0, 0, 0, 0]) == 0, "three of four right, and none by knowing"


def test_the_frechet_distance_by_hand():
    one = torch.tensor([[0.0], [2.0]])  # mean 1, variance 2
    other = torch.tensor([[3.0], [11.0]])  # mean 7, variance 32
    assert frechet_distance(one, other) == pytest.approx(36 + 2 + 32 - 2 * 8)
    assert frechet_distance(one, one) == pytest.approx(0)


def test_the_frechet_distance_equals_scipys_root_of_a_matrix():
    from scipy.linalg import sqrtm

    torch.manual_seed(0)
    a, b = torch.randn(50, 6) @ torch.randn(6, 6), torch.randn(40, 6) + 1
    means = (a.mean(0) - b.mean(0)).square().sum().item()
    spread_a, spread_b = np.cov(a.numpy().T), np.cov(b.numpy().T)
    expected = means + np.trace(spread_a + spread_b - 2 * sqrtm(spread_a @ spread_b).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-5)


def test_the_frechet_distance_of_fewer_rows_than_features_is_no_nan():
    torch.manual_seed(0)
    assert frechet_distance(torch.randn(3, 8), torch.zeros(5, 8)) > 0


def test_the_classifier_score_by_hand():
    assert classifier_score(torch.eye(10)) == pytest.approx(10)
    assert classifier_score(torch.full((5, 10), 0.1)) == pytest.approx(1), "never sure"
    assert classifier_score(torch.eye(10)[[3, 3, 3]]) == pytest.approx(1), "always the same"
    half = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    marginal = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert classifier_score(half) == pytest.approx(math.exp(marginal - math.log(2) / 2))


TOKENS = torch.zeros(2, 4, dtype=torch.int64)


@pytest.mark.parametrize(
    "job, told",
    [
        (lambda: unigram(TOKENS + 2, TOKENS, 2), "from 2 to 2 do not fit 2 colours"),
        (lambda: unigram(TOKENS, TOKENS - 1, 2), "from -1 to -1"),
        (lambda: unigram(TOKENS[0], TOKENS, 2), r"\(4,\) of torch.int64"),
        (lambda: unigram(TOKENS.float(), TOKENS, 2), "whole numbers"),
        (lambda: unigram(TOKENS[:0], TOKENS, 2), "at least one"),
        (lambda: per_position(TOKENS + 2, TOKENS, 2), "from 2 to 2 do not fit 2 colours"),
        (lambda: per_position(TOKENS, TOKENS[:, :3], 2), "4 and of 3 pixels"),
        (lambda: neighbours(TOKENS[:, :3], TOKENS[:, :3], 2), "no square of side 1"),
        (lambda: neighbours(TOKENS, TOKENS, 2, side=4), "no square of side 4"),
        (lambda: neighbours(TOKENS, TOKENS, 256), "take fewer colours"),
        (lambda: bits_per_pixel(Fixed([[0.5, 0.5]] * 4), TOKENS + 2), "do not fit 2 colours"),
        (lambda: confusion([0, 1], [0]), r"\(2,\) and guesses \(1,\)"),
        (lambda: confusion([], []), "at least one"),
        (lambda: confusion([0, 10], [0, 1]), "from 0 to 9"),
        (lambda: report_by_class([0, -1], [0, 1]), "from 0 to 9"),
        (lambda: kappa([0.0, 1.5], [0.0, 1.0]), "whole numbers"),
        (lambda: kappa([3, 3], [3, 3]), "not defined"),
        (lambda: frechet_distance(torch.ones(2, 3), torch.ones(2, 4)), "with one D"),
        (lambda: frechet_distance(torch.ones(1, 3), torch.ones(5, 3)), "2 or more rows"),
        (lambda: frechet_distance(torch.ones(2, 3) / 0, torch.ones(2, 3)), "not finite"),
        (lambda: classifier_score(torch.ones(2, 10)), "softmax first"),
        (lambda: classifier_score(torch.ones(0, 10)), "probabilities"),
    ],
)
def test_bad_input_is_told_in_one_sentence(job, told):
    with pytest.raises(CourseError, match=told) as error:
        job()
    assert "\n" not in str(error.value)
