"""Figures: the alternative text, the labels that must not overlap, and bad input."""

import builtins
import itertools
import re

import numpy as np
import pytest
import torch

from coursekit import plots
from coursekit.errors import CourseError
from coursekit.plots import attention, charts


@pytest.fixture
def shown(monkeypatch):
    """What `plots.show` hands to Jupyter."""
    import IPython.display

    kept = []
    monkeypatch.setattr(IPython.display, "display", lambda data, raw: kept.append(data))
    return kept


def test_show_puts_the_alternative_text_beside_the_picture(shown):
    figure = plots.lines({"a": [3, 2, 1]}, "Falls", "epoch", "loss (nats)")
    plots.show(figure, alt='Loss falls\n  from 3 to "1"')
    assert shown[0]["text/plain"] == 'Loss falls from 3 to "1"'
    assert 'alt="Loss falls from 3 to &quot;1&quot;"' in shown[0]["text/html"]
    assert re.search(r'src="data:image/png;base64,iVBOR', shown[0]["text/html"])


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_show_refuses_a_figure_without_text(alt):
    with pytest.raises(CourseError, match="needs a text"):
        plots.show(plots.bars({"a": 1.0}, "t", "x"), alt=alt)


def test_show_closes_a_pyplot_figure_so_that_it_is_not_shown_twice(shown):
    from matplotlib import pyplot

    figure, _ = pyplot.subplots()
    plots.show(figure, alt="empty")
    assert figure.number not in pyplot.get_fignums()


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(3, 3, 8, 10, dtype=torch.uint8),
        np.zeros((3, 8, 10, 3), np.uint8),
        [np.zeros((8, 10), np.uint8)] * 3,
        [torch.zeros(1, 8, 10)] * 3,
    ],
)
def test_pictures_of_every_layout(images):
    figure = plots.show_pictures(images, ["one", ["two", "words"], ""], columns=2, title="Three")
    drawn = [axes.images[0].get_array().shape[:2] for axes in figure.axes if axes.images]
    assert drawn == [(8, 10)] * 3


def test_pictures_need_as_many_captions():
    with pytest.raises(CourseError, match="2 pictures and 1 captions"):
        plots.show_pictures(torch.zeros(2, 3, 8, 8), ["one"])


def test_names_of_lines_do_not_overlap():
    curves = {"a": [2, 1.0], "b": [2, 1.001], "c": [2, 0.999], "d": [2, 1.5]}
    figure = plots.loss_curves(curves, "Close", baselines={"e": 1.0, "f": 1.8})
    heights = sorted(text.get_position()[1] for text in figure.axes[0].texts)
    assert len(heights) == 6
    assert all(b - a > 0.06 for a, b in itertools.pairwise(heights))


def test_labels_that_do_not_touch_stay_where_they_are():
    assert charts._apart([0.1, 0.5, 0.9], 0.06) == [0.1, 0.5, 0.9]
    assert charts._apart([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.4, 0.5, 0.6])
    assert charts._apart([], 0.1) == []


def test_only_names_that_need_it_are_slanted():
    for columns, turned in (((0, 10), 0), (("on", "at its colour"), 40)):
        figure = plots.heat(np.eye(2), "Same", columns=columns)
        assert [t.get_rotation() for t in figure.axes[0].get_xticklabels()] == [turned] * 2


def test_heat_and_panels_return_figures():
    figure = plots.heat(np.eye(2), "Same", rows="ab", columns="cd", label="p")
    assert figure.get_suptitle() == "Same"
    figure, axes = plots.panels(1, 2, sharey=True)
    assert axes.shape == (2,)


def test_numbers_in_squares_are_light_on_dark_and_dark_on_light():
    figure = plots.heat([[0.0, 1.0]], "t", digits=2)
    found = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert found == {"0.00": "white", "1.00": "black"}


def test_bars_keep_their_digits():
    figure = plots.bars({"a": 139.4, "b": 0.7, "c": 1.0, "d": 0.0}, "t", "x", digits=2)
    assert [text.get_text() for text in figure.axes[0].texts] == ["1.4e+02", "0.70", "1.0", "0.0"]
    figure = plots.bars({"a": 139.4, "b": 11.94}, "t", "x")
    assert [text.get_text() for text in figure.axes[0].texts] == ["139", "11.9"]


def test_a_recurrent_net_takes_a_word_and_guesses_the_next():
    words = [text.get_text() for text in plots.recurrent(["two", "cats"], "t").axes[0].texts]
    assert words.count("RNN") == 3 and words.count("two") == 2 and "<eos>" in words


def test_every_colour_is_readable_or_marked_light():
    """Text in a line's colour must reach 3 : 1 on white for the first three colours and for grey."""
    for colour in (*plots.PALETTE[:3], plots.GREY):
        assert contrast(colour, "#FFFFFF") >= 3


def contrast(one, other):
    """How well two colours #rrggbb can be told apart, 1 to 21 (WCAG 2.2)."""
    low, high = sorted(luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


def test_plots_work_where_ipython_is_absent_until_show(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("IPython"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    plots.lines({"a": ([1, 10, 100], [1, 2, 3])}, "t", "x", "y", log_x=True, log_y=True)


def drawn_pictures(captions):
    figure = plots.show_pictures(torch.zeros(8, 3, 8, 8), captions, title="Eight")
    figure.draw_without_rendering()
    return figure, [axes for axes in figure.axes if axes.images]


def test_a_long_caption_moves_no_picture_and_stays_inside_the_figure():
    long = "two big purple mushrooms and a wooden windmill " * 4
    figure, even = drawn_pictures([long] * 8)
    _, uneven = drawn_pictures(["short", long, *["short"] * 5, long])
    lefts = [[axes.get_position().x0 for axes in each] for each in (even, uneven)]
    assert lefts[0] == pytest.approx(lefts[1], abs=0.01)
    assert np.diff(lefts[0][:4]) == pytest.approx([lefts[0][1] - lefts[0][0]] * 3)
    for text in (text for axes in even for text in axes.texts):
        box = text.get_window_extent()
        assert box.y0 >= 0 and box.x1 <= figure.bbox.x1


def test_a_long_title_is_not_cut_off():
    for make in (
        lambda title: plots.panels(1, 2, title=title)[0],
        lambda title: plots.bars({"a name": 1.0}, title, "x"),
        lambda title: plots.heat(np.eye(2), title, ["a long name of a row", "b"]),
    ):
        figure = make("What must be said of this figure takes more than one of its lines" * 2)
        figure.draw_without_rendering()
        assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1


def test_panels_share_a_title():
    figure, _ = plots.panels(1, 2, title="Both fall")
    assert figure.get_suptitle() == "Both fall"
    assert plots.panels()[0].get_suptitle() == ""


# --- attention ----------------------------------------------------------------------------------
WEIGHTS = np.array([[0.1, 0.2, 0.3, 0.4], [0.0, 0.9, 0.1, 0.0]])


def test_attention_maps_hold_each_weight_in_its_cell_unsmoothed():
    picture = torch.full((3, 8, 8), 255, dtype=torch.uint8)
    figure = plots.attention_maps(picture, ["a", "boat"], WEIGHTS, title="Two looks")
    plain, *looks = [axes for axes in figure.axes if axes.images]
    assert len(plain.images) == 1 and [len(axes.images) for axes in looks] == [2, 2]
    assert [axes.get_title("center") for axes in looks] == ["a", "boat"]
    veil = np.asarray(looks[0].images[1].get_array())[..., 3]  # opacity, one number a cell
    wanted = 255 * attention.DARKEST * (1 - WEIGHTS[0].reshape(2, 2) / 0.9)
    assert veil.shape == (2, 2) and np.abs(veil - wanted).max() <= 0.5
    assert np.asarray(looks[1].images[1].get_array())[0, 1, 3] == 0  # the largest of all is clear
    assert figure.axes[-1].get_xlim() == pytest.approx((0, 90))  # the bar's one scale
    assert [len(axes.lines) for axes in looks] == [3, 1]  # edges from 15 % on
    assert [axes.texts[0].get_text() for axes in looks] == ["40 %", "90 %"]


def test_attention_in_words():
    told = plots.attention_alt(["a", "boat"], WEIGHTS)
    assert told.endswith("a: 40 % bottom right; boat: 90 % top right.")
    even = np.full((1, 16), 1 / 16)
    even[0, 6] += 0.1
    assert "the: 16 % upper middle, centre right" in plots.attention_alt(["the"], even)
    fine = np.zeros((1, 49))
    fine[0, [0, 1, 7, 8]] = 0.2  # four cells of one name
    assert "cat: 80 % top left" in plots.attention_alt(["cat"], fine)
    assert "sky: 100 % over the whole picture" in plots.attention_alt(["sky"], [[1.0]])


def test_boxes_that_overlap_add_up_and_are_told_by_number():
    boxes = [[0, 0, 1, 1], [0, 0, 0.5, 0.5], [0.25, 0, 0.75, 0.5]]
    found = attention.attention_map(np.array([0.2, 0.5, 0.3]), np.array(boxes))
    assert found.shape == (attention.RASTER, attention.RASTER)
    assert found[-1, -1] == pytest.approx(0.2) and found[0, 0] == pytest.approx(0.7)
    assert found.max() == pytest.approx(1.0)
    assert "cat: 50 % top left, in box 2 of 3" in plots.attention_alt(
        ["cat"], [[0.2, 0.5, 0.3]], boxes
    )
    figure = plots.attention_maps(np.zeros((8, 8, 3), np.uint8), ["cat"], [[0.1, 0.6, 0.3]], boxes)
    assert len(figure.axes[1].lines) == 2  # the boxes with 15 % or more
    assert figure.axes[1].texts[0].get_text() == "60 % box 2"


def test_a_grid_that_is_no_square_is_one():
    cells = attention.grid(2, 3)
    assert cells[4].tolist() == pytest.approx([1 / 3, 0.5, 2 / 3, 1])
    assert attention.grid_shape(cells) == (2, 3) and attention.grid_shape(cells[:5]) is None
    assert attention.attention_map(np.arange(6), cells).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert attention.grid_shape(cells[[0, 0]]) is None


def test_rows_after_the_last_word_are_left_out_and_odd_words_fit():
    words = ["$x$", "w" * 300, "<eos>"]
    weights = torch.full((9, 4), 0.25)
    figure = plots.attention_maps(
        torch.zeros(3, 8, 10, dtype=torch.uint8), words, weights, columns=3
    )
    figure.draw_without_rendering()
    titles = [axes.title for axes in figure.axes if axes.get_title("center")]
    assert len(titles) == 3 and all(len(one.get_text()) < 20 for one in titles)


@pytest.mark.parametrize(
    "words, weights, boxes, told",
    [
        (["a", "b"], [[1.0]], None, "2 words and weights of shape"),
        ([], [[1.0]], None, "0 words"),
        (["a"], [0.5, 0.5], None, "give a row of weights for each word"),
        (["a"], [[0.5, 0.5]], None, "2 places are no square grid: give boxes"),
        (["a"], [[0.5, 0.5]], [[0, 0, 1, 1]], r"2 places need \(2, 4\)"),
    ],
)
def test_weights_that_fit_nothing_are_refused(words, weights, boxes, told):
    for show in (plots.attention_alt, lambda *a: plots.attention_maps(np.zeros((4, 4, 3)), *a)):
        with pytest.raises(CourseError, match=told):
            show(words, weights, boxes)
