"""Figures in the house style: colours for colour-blind readers, a text for those who cannot see.

Every function returns a `matplotlib.figure.Figure`; `show(figure, alt="…")` puts it into the
notebook.  A title states what the figure shows ("The LSTM forgets later"), axes carry units, and
lines are named where they end.  Importing this module sets the style for all figures, also for
those made by `matplotlib.pyplot`.
"""

import base64
import html
import io
import sys
import textwrap

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from coursekit.errors import CourseError

# Okabe and Ito 2008, darkest first; yellow is left out: it fades on white
PALETTE = tuple("#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9 #000000".split())
BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK = PALETTE
GREY = "#6B6B6B"  # baselines and notes: 5.3 : 1 against white
PIXELS_PER_INCH = 96

matplotlib.rcParams.update(
    {
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.labelcolor": "#333333",
        "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlepad": 10,
        "axes.titlesize": 12,
        "axes.titleweight": "bold",
        "figure.figsize": (7.2, 3.8),
        "font.size": 10,
        "grid.color": "#E3E3E3",
        "grid.linewidth": 0.8,
        "image.cmap": "viridis",
        "legend.frameon": False,
        "lines.linewidth": 2,
        "xtick.color": "#333333",
        "ytick.color": "#333333",
    }
)


def show(figure, alt):
    """Displays a figure in a notebook; `alt` tells those who hear it what it shows.

    The text travels with the picture wherever the notebook goes: Jupyter, Colab, a site.
    Raises CourseError if `alt` is empty.
    """
    if not alt or not alt.strip():
        raise CourseError('A figure needs a text for those who hear it: show(figure, alt="…").')
    from IPython.display import display

    alt = " ".join(alt.split())
    display({"text/html": _as_html(figure, alt), "text/plain": alt}, raw=True)
    if "matplotlib.pyplot" in sys.modules:  # or Jupyter shows a pyplot figure a second time
        sys.modules["matplotlib.pyplot"].close(figure)


def _as_html(figure, alt):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=2 * PIXELS_PER_INCH, facecolor="white")
    data = base64.b64encode(buffer.getvalue()).decode()
    width = round(figure.get_size_inches()[0] * PIXELS_PER_INCH)
    style = f"width:{width}px;max-width:100%;height:auto"
    return f'<img alt="{html.escape(alt)}" style="{style}" src="data:image/png;base64,{data}">'


def panels(rows=1, columns=1, width=7.2, height=3.8, title=None, **options):
    """A figure of `width` x `height` inches and its empty axes: one, or an array of them.

    title: what all panels show together.  options: of matplotlib's `subplots`.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        _headline(figure, title)
    return figure, figure.subplots(rows, columns, **options)


def _headline(figure, title):
    """Writes the title of a whole figure, from its left edge: names along an axis may be long."""
    title = textwrap.fill(title, round(10 * figure.get_figwidth()))  # or its end would be cut off
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")


def show_pictures(images, captions=None, columns=4, title=None, size=1.9):
    """Pictures in rows of `columns`, a caption under each, wrapped to its width.

    images: uint8 (B, 3, H, W) or (B, H, W, 3), tensor or array, or a list of such pictures.
    captions: B strings, or B lists of strings (a list under each picture).  size: inches a picture.
    Raises CourseError if there are not as many captions as pictures.
    """
    pictures = [_channels_last(image) for image in images]
    captions = [""] * len(pictures) if captions is None else list(captions)
    if len(captions) != len(pictures):
        raise CourseError(f"{len(pictures)} pictures and {len(captions)} captions: give one each.")
    texts = [_wrapped(caption, width=round(13.4 * size)) for caption in captions]
    columns = max(1, min(columns, len(pictures)))
    rows = -(-len(pictures) // columns)
    heights = [size + 0.15 + _text_height(texts[r * columns :][:columns]) for r in range(rows)]
    whole = (size * columns, sum(heights) + 0.4 * bool(title))
    figure = Figure(figsize=whole, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, height_ratios=heights)
    for axes in grid.flat:
        axes.axis("off")
    for axes, picture, text in zip(grid.flat, pictures, texts, strict=False):
        axes.imshow(picture, cmap="gray" if picture.ndim == 2 else None, interpolation="nearest")
        axes.set_anchor("N")
        # A text that took part in the layout would push its column away from the others
        below = axes.text(0, -0.04, text, va="top", fontsize=8.5, transform=axes.transAxes)
        below.set_in_layout(False)
    if title:
        _headline(figure, title)
    return figure


def _text_height(texts):
    """Inches that the longest of some texts takes, at 8.5 points a line."""
    return 0.145 * max(text.count("\n") + bool(text) for text in texts)


def _channels_last(image):
    picture = np.asarray(image)
    if picture.ndim == 3 and picture.shape[0] in (1, 3) and picture.shape[-1] not in (1, 3):
        picture = picture.transpose(1, 2, 0)
    return picture.squeeze(-1) if picture.ndim == 3 and picture.shape[-1] == 1 else picture


def _wrapped(caption, width):
    if isinstance(caption, str):
        return textwrap.fill(caption, width)
    return "\n".join(textwrap.fill(f"- {each}", width, subsequent_indent="  ") for each in caption)


def lines(curves, title, x, y, baselines=None, log_x=False, log_y=False, points=False):
    """Lines named where they end.

    curves: {name: values}, counted from 1, or {name: (xs, ys)}.  baselines: {name: value}, drawn as
    dashed grey levels.  x and y: what the axes show, with units.  points: mark every value.
    """
    figure, axes = panels()
    ends = []
    for i, (name, curve) in enumerate(curves.items()):
        xs, ys = curve if _is_pair(curve) else (range(1, len(curve) + 1), curve)
        colour = PALETTE[i % len(PALETTE)]
        axes.plot(xs, ys, color=colour, marker="o" if points else None, markersize=4)
        ends.append((float(ys[-1]), name, colour))
    for name, value in (baselines or {}).items():
        axes.axhline(value, color=GREY, linestyle="--", linewidth=1.3)
        ends.append((float(value), name, GREY))
    _scale(axes, log_x, log_y)
    axes.set(title=title, xlabel=x, ylabel=y)
    _name_ends(axes, ends)
    return figure


def _scale(axes, log_x, log_y):
    if log_x:
        axes.set_xscale("log")
    elif all(float(value).is_integer() for line in axes.lines for value in line.get_xdata()):
        axes.xaxis.get_major_locator().set_params(integer=True)
    if log_y:
        axes.set_yscale("log")


def loss_curves(curves, title, x="epoch", y="loss (nats a token)", baselines=None):
    """Losses through training: curves and baselines as for `lines`, one value an epoch."""
    return lines(curves, title, x, y, baselines, points=True)


def _is_pair(curve):
    return isinstance(curve, tuple) and len(curve) == 2 and np.ndim(curve[0]) == 1


def _name_ends(axes, ends, gap=0.062):
    """Writes names right of the axes where the lines end, pushed apart where they would overlap."""
    axes.figure.draw_without_rendering()
    place = (axes.transData + axes.transAxes.inverted()).transform
    start = axes.get_xlim()[0]
    wanted = sorted((float(place((start, value))[1]), name, colour) for value, name, colour in ends)
    heights = _apart([height for height, _, _ in wanted], gap)
    for height, (_, name, colour) in zip(heights, wanted, strict=True):
        axes.text(1.015, height, name, color=colour, va="center", transform=axes.transAxes)


def _apart(heights, gap):
    """Sorted heights moved as little as needed to lie at least `gap` apart."""
    runs = []  # labels that touch: (where the run starts, how many)
    for height in heights:
        start, count = height, 1
        while runs and start < runs[-1][0] + runs[-1][1] * gap:
            below, many = runs.pop()
            # Joined, the upper labels would have the run start `many` gaps lower; the mean is fair
            start = (below * many + (start - many * gap) * count) / (many + count)
            count += many
        runs.append((start, count))
    return [start + i * gap for start, count in runs for i in range(count)]


def bars(values, title, x, colours=None, digits=3):
    """Horizontal bars {name: value}, first on top.  x: what the bars show, with its unit."""
    figure, axes = panels(height=1.0 + 0.36 * len(values), title=title)
    names, numbers = list(values), list(values.values())
    drawn = axes.barh(names, numbers, color=colours or BLUE, height=0.65)
    labels = [f"{n:#.{digits}g}".rstrip(".") for n in numbers]  # 0.70, but 139
    axes.bar_label(drawn, labels=labels, padding=4)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set(xlabel=x)
    axes.margins(x=0.12)
    return figure


def heat(
    matrix, title, rows=None, columns=None, x="", y="", label="", low=None, high=None, digits=None
):
    """A matrix as colours.  rows, columns: names along its sides.  label: what the colours show.

    digits: decimals of the numbers written into the squares; None writes none.
    """
    matrix = np.asarray(matrix)
    figure, axes = panels(height=1.4 + 0.26 * len(matrix), title=title)
    image = axes.imshow(matrix, aspect="auto", vmin=low, vmax=high)
    axes.grid(visible=False)
    if rows is not None:
        axes.set_yticks(range(len(rows)), rows)
    if columns is not None:
        slanted = dict(rotation=40, ha="right", rotation_mode="anchor")
        short = all(len(str(name)) <= 3 for name in columns)
        axes.set_xticks(range(len(columns)), columns, **({} if short else slanted))
    if digits is not None:
        _numbers(axes, image, matrix, digits)
    axes.set(xlabel=x, ylabel=y)
    figure.colorbar(image, ax=axes, label=label, pad=0.02)
    return figure


def _numbers(axes, image, matrix, digits):
    """Writes each value into its square, white on dark colours."""
    for (i, j), value in np.ndenumerate(matrix):
        colour = "black" if image.norm(value) > 0.6 else "white"
        axes.text(j, i, f"{value:.{digits}f}", ha="center", va="center", fontsize=8.5, color=colour)


def stories(images, told, title, size=1.5):
    """Pictures, and beside each one what was said of it: lines of words, the wrong ones marked.

    told: for each picture a list of (label, words, wrong), where wrong holds a bool for each word.
    A wrong word is red and underlined.  size: inches a picture.
    """
    rows = [_told_lines(each) for each in told]
    heights = [max(0.88 * size, 0.175 * len(lines)) + 0.12 for lines in rows]
    figure = Figure(figsize=(size + 6.4, sum(heights) + 0.4), layout="constrained")
    grid = figure.subplots(
        len(images), 2, squeeze=False, width_ratios=[size, 6.4], height_ratios=heights
    )
    for axes, image in zip(grid[:, 0], images, strict=True):
        axes.imshow(_channels_last(image), interpolation="nearest")
        axes.set_anchor("NW")
    for axes, lines in zip(grid[:, 1], rows, strict=True):
        for y, line in enumerate(lines):
            for start, text, colour in line:
                place = (5.1 * start, -12.6 * (y + 0.8))  # points: 8.5-point mono is 5.1 wide
                mono = dict(family="monospace", fontsize=8.5, color=colour)
                if colour == RED:
                    mono |= dict(fontweight="bold")
                    axes.annotate("‾" * len(text), (0, 1), (place[0], place[1] - 9.5),
                                  textcoords="offset points", xycoords="axes fraction", **mono)  # fmt: skip
                axes.annotate(
                    text,
                    (0, 1),
                    place,
                    textcoords="offset points",
                    xycoords="axes fraction",
                    **mono,
                )
    for axes in grid.flat:
        axes.axis("off")
    _headline(figure, title)
    return figure


def _told_lines(each, width=84):
    """Lines of (column, text, colour), wrapped to `width` letters under the first word of their label."""
    found = []
    for label, words, wrong in each:
        margin = len(label) + 2
        line, column = [(0, label, GREY)], margin
        for word, bad in zip(words, wrong, strict=True):
            if column + len(word) > width:
                found.append(line)
                line, column = [], margin
            line.append((column, word, RED if bad else BLACK))
            column += len(word) + 1
        found.append(line)
    return found
