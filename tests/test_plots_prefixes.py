"""A prefix drawn place by place, and words in the cells of a picture."""

import pytest
import torch

from coursekit.errors import CourseError
from coursekit.plots.charts import GREY, RED
from coursekit.plots.prefixes import prefixed, words_in_cells

IMAGE = torch.zeros(3, 8, 8, dtype=torch.uint8)


def texts(axes):
    return {text.get_text(): text for text in axes.texts if text.get_text()}


def test_only_words_and_the_end_are_guessed():
    (axes,) = prefixed(IMAGE, ["a", "boat"], "Read first", embeddings=4).axes
    above = sorted((t.get_position()[0], t) for t in axes.texts if t.get_position()[1] == 1.35)
    above = [text for place, text in above if place >= 0]
    assert [text.get_text() for text in above] == ["–"] * 6 + ["a", "boat", "<eos>"]
    assert [text.get_color() for text in above] == [GREY] * 6 + [RED] * 3
    assert len(axes.images) == 4


def test_every_word_stands_under_the_one_that_follows_it():
    (axes,) = prefixed(IMAGE, ["a", "boat"], "Read first", embeddings=1).axes
    read = {t.get_text(): t.get_position()[0] for t in axes.texts if t.get_position()[1] == 0}
    assert (read["<picture>"], read["</picture>"], read["<bos>"], read["a"]) == (0, 2, 3, 4)


def test_a_word_lies_in_its_cell_row_by_row():
    figure = words_in_cells([IMAGE, IMAGE], [list("abcd"), list("efgh")], "Nearest")
    first, second = figure.axes
    x, y = texts(first)["b"].get_position()
    assert (int(x), int(y)) == (1, 0)
    x, y = texts(second)["g"].get_position()
    assert (int(x), int(y)) == (0, 1)
    figure.draw_without_rendering()


@pytest.mark.parametrize("words", [[["a"] * 3], [[]], [["a"] * 4, ["b"] * 4]])
def test_words_that_fit_no_grid_are_refused(words):
    with pytest.raises(CourseError, match="no square grid|one each"):
        words_in_cells([IMAGE], words, "Nearest")


def test_odd_words_are_drawn():
    prefixed(IMAGE, ["$x$", "<eos>"], "t").draw_without_rendering()
    words_in_cells([IMAGE.permute(1, 2, 0)], [["$", "<eos>", "", "x_y"]], "t").draw_without_rendering()  # fmt: skip
