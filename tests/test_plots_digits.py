"""Figures of digits: what is framed, what is blank, which scale is shared, and bad input refused."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from coursekit.errors import CourseError
from coursekit.plots import digits
from coursekit.plots.charts import BLACK, RED

IMAGES = torch.arange(5 * 16, dtype=torch.uint8).view(5, 4, 4) * 3
UPPER = torch.zeros(4, 4, dtype=torch.bool)
UPPER[:2] = True


def drawn(figure):
    return [axes for axes in figure.axes if axes.images]


def test_a_sheet_marks_what_is_wrong_by_colour_weight_and_frame():
    figure = digits.sheet(IMAGES, "Five", [7, 1, 9, 4, 0], [False, True, False, False, False], 3)
    figure.draw_without_rendering()
    names = [axes.title for axes in drawn(figure)]
    assert [name.get_text() for name in names] == list("71940")
    assert [to_hex(name.get_color()) for name in names[:2]] == [BLACK.lower(), RED.lower()]
    assert [name.get_fontweight() for name in names[:2]] == ["normal", "bold"]
    assert [len(axes.patches) for axes in drawn(figure)] == [0, 1, 0, 0, 0]


def test_all_digits_are_drawn_on_the_scale_from_0_to_255():
    dim = torch.full((2, 4, 4), 9, dtype=torch.uint8)  # must not be stretched to black and white
    for axes in drawn(digits.sheet(dim, "Dim")):
        assert axes.images[0].get_clim() == (0, 255)


def test_completions_hide_what_was_not_given_and_keep_the_rest():
    endings = IMAGES[1:].view(2, 2, 4, 4)
    figure = digits.completions(IMAGES[:2], UPPER, endings, "Two halves")
    axes = drawn(figure)
    assert [each.title.get_text() for each in axes[:4]] == ["given", "1", "2", "real"]
    given = np.asarray(axes[0].images[0].get_array())
    assert (given[:2] == IMAGES[0, :2, :, None].numpy()).all()
    assert (given[2:] == digits.MISSING).all()
    shown = [np.asarray(each.images[0].get_array()) for each in axes[5:8]]
    assert all((a == b.numpy()).all() for a, b in zip(shown, [*endings[1], IMAGES[1]], strict=True))


def edges(axes):
    """The drawn line as pieces between corners of pixels: {((x, y), (x, y))}."""
    pairs = (line.get_xydata() for line in axes.lines)
    return {tuple(sorted(map(tuple, pair.tolist()))) for pair in pairs}


def test_a_line_runs_around_the_given_pixels():
    known = torch.zeros(4, 4, dtype=torch.bool)
    known[1, 2] = True
    figure = digits.completions(IMAGES[:1], known, IMAGES[None, 1:2], "One pixel")
    first, ending, real = drawn(figure)
    corners = [(1.5, 0.5), (2.5, 0.5), (1.5, 1.5), (2.5, 1.5)]
    a, b, c, d = corners
    assert edges(ending) == {(a, b), (c, d), (a, c), (b, d)}
    assert not first.lines and not real.lines


def test_each_picture_may_have_its_own_mask():
    known = torch.stack([UPPER, ~UPPER])
    figure = digits.completions(IMAGES[:2], known, IMAGES[None, 2:4].transpose(0, 1), "Two masks")
    upper, lower = (np.asarray(drawn(figure)[i].images[0].get_array()) for i in (0, 3))
    assert (upper[2:] == digits.MISSING).all() and (lower[:2] == digits.MISSING).all()


COUNTS = np.array([[98, 2, 0], [0, 50, 0], [7, 0, 0]])


def test_a_confusion_matrix_shows_counts_and_leaves_nothing_blank_that_is_something():
    figure = digits.confusion_matrix(COUNTS, "Some are wrong", ["a", "b", "c"])
    figure.draw_without_rendering()
    axes = figure.axes[0]
    texts = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "98", (1, 0): "2", (1, 1): "50", (0, 2): "7"}, "(column, row)"
    shares = axes.images[0].get_array()
    assert np.ma.getmaskarray(shares).tolist() == (COUNTS == 0).tolist()
    assert shares[0, 1] == pytest.approx(0.02) and shares[2, 0] == 1
    assert [axes.get_ylabel(), axes.get_xlabel()] == ["true", "guessed"]
    assert [each.get_text() for each in axes.get_yticklabels()] == ["a", "b", "c"]


def test_numbers_can_be_read_on_their_colour():
    """Luminance of text and of its square differ by 4.5 : 1 or more."""
    counts = np.array([[100 - i, i] for i in range(0, 101, 4)])
    square = np.zeros((len(counts), len(counts)), int)
    square[:, :2] = counts
    axes = digits.confusion_matrix(square, "All shares").axes[0]

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    image = axes.images[0]
    for text in axes.texts:
        column, row = map(int, text.get_position())
        back = luminance(image.cmap(image.norm(square[row, column] / 100)))
        front = 1.0 if text.get_color() == "white" else 0.0
        ratio = (max(back, front) + 0.05) / (min(back, front) + 0.05)
        assert ratio >= 4.4, (square[row, column], ratio)


def test_a_confusion_matrix_read_aloud():
    told = digits.read_aloud(COUNTS, ["a", "b", "c"])
    assert told == (
        "148 of 157 are on the diagonal, called what they are. Of 7 true c, 7 were called a. "
        "Of 100 true a, 2 were called b."
    )
    assert digits.read_aloud(np.diag([3, 4])) == "7 of 7 are on the diagonal, called what they are."
    assert digits.read_aloud(COUNTS, most=1).count("were called") == 1


def test_maps_of_bits_share_one_scale_from_0():
    figure = digits.bits_maps({"one": torch.ones(9), "two": torch.full((9,), 2.0)}, "Two maps")
    figure.draw_without_rendering()
    images = [axes.images[0] for axes in figure.axes[:2]]
    assert [image.get_clim() for image in images] == [(0, 2), (0, 2)]
    assert images[0].get_array().shape == (3, 3)
    assert figure.axes[1].get_title("left") == "two\nmean 2.000"


def test_accuracies_stand_at_their_layers_with_baselines_and_intervals():
    told = {"probe": [(0.5, 0.1), (0.8, 0.05), (0.7, 0.02)], "other": [0.1, 0.2, 0.3]}
    figure = digits.accuracy_by_layer(told, "Middle", {"pixels": 0.6})
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert [each.get_text() for each in axes.get_xticklabels()] == ["embeddings", "1", "2"]
    assert axes.lines[0].get_xydata().tolist() == [[0, 0.5], [1, 0.8], [2, 0.7]]
    assert {text.get_text() for text in axes.texts} == {"probe", "other", "pixels"}
    markers = {each.get_children()[0].get_marker() for each in axes.containers}
    assert len(markers) == 2, "colour is not the only difference"


@pytest.mark.parametrize(
    "job, told",
    [
        (lambda: digits.sheet(IMAGES, "t", ["a"]), "5 digits and 1 names"),
        (lambda: digits.sheet(IMAGES[:0], "t"), "0 digits"),
        (lambda: digits.sheet(IMAGES, "t", wrong=[True]), "give one each"),
        (lambda: digits.completions(IMAGES, UPPER, IMAGES, "t"), "do not fit"),
        (lambda: digits.completions(IMAGES[:2], UPPER[:3], IMAGES[None, :2], "t"), "do not fit"),
        (lambda: digits.confusion_matrix(COUNTS[:2], "t"), r"square of counts, not int64 \(2, 3\)"),
        (lambda: digits.confusion_matrix(COUNTS / 2, "t"), "metrics.images.confusion"),
        (lambda: digits.read_aloud(-COUNTS), "0 or more"),
        (lambda: digits.bits_maps({"one": torch.ones(8)}, "t"), "side²"),
        (lambda: digits.bits_maps({"one": torch.ones(9) / 0}, "t"), "finite"),
        (lambda: digits.accuracy_by_layer({}, "t"), "no accuracies"),
        (lambda: digits.accuracy_by_layer({"a": []}, "t"), "no accuracies"),
    ],
)
def test_figures_that_fit_nothing_are_refused(job, told):
    with pytest.raises(CourseError, match=told):
        job()
