"""Squares of words by words: blank where exactly nothing is, on one scale, and bad input refused."""

import numpy as np
import pytest
import torch

from coursekit.errors import CourseError
from coursekit.plots.transformers import future_share, word_maps

WORDS = ["a", "red", "boat"]
CAUSAL = torch.tensor([[1.0, 0.0, 0.0], [0.2, 0.8, 0.0], [1e-9, 0.5, 0.5]])


def drawn(figure):
    """The images of the squares, without the scale."""
    return [axes.images[0] for axes in figure.axes if axes.images and axes.get_title("left")]


def test_what_is_exactly_zero_is_blank_and_what_is_small_is_not():
    (image,) = drawn(word_maps({"one": CAUSAL}, WORDS, "t", "gradient", log=True))
    blank = np.ma.getmaskarray(image.get_array())
    assert blank.tolist() == (CAUSAL == 0).tolist()


@pytest.mark.parametrize("log", [False, True])
def test_maps_share_their_words_and_their_scale(log):
    figure = word_maps({"one": CAUSAL, "two": 5 * CAUSAL}, WORDS, "Two", "weight", log=log)
    figure.draw_without_rendering()
    one, two = drawn(figure)
    assert one.norm is two.norm and one.norm.vmax == pytest.approx(5)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == WORDS
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == WORDS
    assert figure.get_suptitle() == "Two"


def test_the_future_lies_above_the_line():
    figure = word_maps({"one": CAUSAL}, WORDS, "t", "weight")
    (line,) = figure.axes[0].lines
    xs, ys = line.get_data()
    # From one corner to the next it runs to the right first, above the square of the diagonal
    assert xs.tolist() == ys.tolist() == [-0.5, 0.5, 1.5, 2.5]
    assert line.get_drawstyle() == "steps-post" and figure.axes[0].yaxis_inverted()


def test_the_share_of_the_future():
    assert future_share(CAUSAL) == 0
    assert future_share(CAUSAL.T) == pytest.approx(0.5)
    assert future_share(np.zeros((2, 2))) == 0


def test_odd_words_and_a_map_of_zeros_are_drawn():
    figure = word_maps({"one": np.zeros((2, 2))}, ["$x$", "<eos>"], "t", "weight", log=True)
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    "values, words, told",
    [
        (np.ones((3, 2)), WORDS, r"shape \(3, 2\): 3 words need a square of 3"),
        (np.ones((0, 0)), [], "0 words"),
        (-CAUSAL, WORDS, "below 0 or not finite"),
        (CAUSAL / 0, WORDS, "below 0 or not finite"),
    ],
)
def test_maps_that_fit_nothing_are_refused(values, words, told):
    with pytest.raises(CourseError, match=told):
        word_maps({"one": values}, words, "t", "weight")
