"""Figures of pixel models: sheets of digits, half pictures and their endings, what is confused, and accuracy by layer."""

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from coursekit.errors import CourseError
from coursekit.plots.charts import (
    BLACK,
    GREY,
    ORANGE,
    PALETTE,
    RED,
    _channels_last,
    _headline,
    _name_ends,
    panels,
)

MISSING = (0x56, 0xB4, 0xE9)  # what nobody has given: a colour that no grey digit has
LINE = dict(color=ORANGE, linewidth=1.5, solid_capstyle="projecting", clip_on=False)
MARKERS = "os^Dv"  # colour is never the only difference


def sheet(images, title, names=None, wrong=None, columns=10, size=0.75):
    """Digits in rows of `columns`, a name under each; those that are `wrong` have a red name and a frame.

    images: uint8 (n, side, side), or (n, side, side, 3).  names: n strings.  wrong: n bools.  size: inches a digit.
    Raises CourseError if there are no digits, or not as many names or bools.
    """
    pictures = [_channels_last(each) for each in images]
    names = [""] * len(pictures) if names is None else [str(each) for each in names]
    wrong = [False] * len(pictures) if wrong is None else list(map(bool, wrong))
    if not pictures or not len(pictures) == len(names) == len(wrong):
        raise CourseError(f"{len(pictures)} digits and {len(names)} names: give one each.")
    columns = min(columns, len(pictures))
    figure, grid = _grid(-(-len(pictures) // columns), columns, size, 0.14 * any(names), title)
    for axes, picture, name, bad in zip(grid.flat, pictures, names, wrong, strict=False):
        _draw(axes, picture)
        colour = RED if bad else BLACK
        look = dict(fontsize=9, color=colour, fontweight="bold" if bad else "normal")
        axes.set_title(name, loc="center", y=-0.02, va="top", pad=0, **look)
        if bad:
            axes.add_patch(_frame(axes, RED))
    return figure


def completions(images, known, drawn, title, heads=None, size=0.75):
    """Half pictures and their endings: a row for each, its given pixels first, then K pictures drawn to go with them.

    images: uint8 (n, side, side), the whole pictures, which come last.  known: bool (side, side), or (n, side, side): the
    pixels that were given; the others are blue in the first column, and a line runs around the given ones in the rest.
    drawn: uint8 (n, K, side, side).  heads: names of the K + 2 columns.
    Raises CourseError if the shapes do not fit.
    """
    images, drawn = (np.asarray(each) for each in (images, drawn))
    known = np.asarray(known, bool)
    if drawn.ndim != 4 or images.shape != drawn[:, 0].shape or known.shape[-2:] != images.shape[1:]:
        raise CourseError(
            f"Digits {images.shape}, given pixels {known.shape} and endings {drawn.shape} do not fit: "
            "give (n, side, side), (side, side) and (n, K, side, side)."
        )
    known = np.broadcast_to(known, images.shape)
    heads = heads or ["given", *range(1, drawn.shape[1] + 1), "real"]
    figure, grid = _grid(len(images), len(heads), size, 0.0, title, 0.25)
    for row, image, own, endings in zip(grid, images, known, drawn, strict=True):
        coloured = np.repeat(image[..., None], 3, -1)
        coloured[~own] = MISSING
        for axes, picture in zip(row, [coloured, *endings, image], strict=True):
            _draw(axes, picture)
        for axes in row[1:-1]:
            _outline(axes, own)
    for axes, head in zip(grid[0], heads, strict=True):
        axes.set_title(str(head), fontsize=9, loc="center", fontweight="normal")
    return figure


def _grid(rows, columns, size, below, title, above=0.0):
    """A figure of rows x columns axes without ticks; below, above: inches for names under each row, over the first."""
    whole = (max(size * columns, 4.2), (size + below) * rows + above + 0.45)
    figure = Figure(figsize=whole, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    _headline(figure, title)
    return figure, grid


def _draw(axes, picture):
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def _frame(axes, colour):
    look = dict(fill=False, edgecolor=colour, linewidth=2.5)
    return Rectangle((0, 0), 1, 1, transform=axes.transAxes, **look)


def _outline(axes, known):
    """A line along the edges between given pixels and others, and around the given ones."""
    edges = np.pad(known, 1).astype(int)
    for row, column in np.argwhere(np.diff(edges, axis=0)[:, 1:-1]):
        axes.plot([column - 0.5, column + 0.5], [row - 0.5] * 2, **LINE)
    for row, column in np.argwhere(np.diff(edges, axis=1)[1:-1]):
        axes.plot([column - 0.5] * 2, [row - 0.5, row + 0.5], **LINE)


def confusion_matrix(counts, title, names=None):
    """What was called what: rows are true classes, columns guesses, with the counts; what is 0 stays blank.

    counts: (C, C) whole numbers.  The colour is the share of the row, on a scale that shows few errors, too.
    Raises CourseError for counts that are no square of numbers from 0 up.
    """
    side = 1.5 + 0.42 * len(_counts(counts))
    figure, axes = panels(width=side + 1.1, height=side, title=title)
    draw_confusion(axes, counts, names)
    return figure


def draw_confusion(axes, counts, names=None):
    """A confusion matrix, as `confusion_matrix` describes it, on axes of a larger figure."""
    counts = _counts(counts)
    names = list(range(len(counts))) if names is None else list(names)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    norm = PowerNorm(0.4, 0, 1)
    image = axes.imshow(np.ma.masked_equal(shares, 0), norm=norm, cmap="viridis_r")
    for (i, j), count in np.ndenumerate(counts):
        colour = "white" if norm(shares[i, j]) > 0.56 else "black"
        if count:
            axes.text(j, i, f"{count}", ha="center", va="center", fontsize=9, color=colour)
    axes.set_xticks(range(len(counts)), names)
    axes.set_yticks(range(len(counts)), names)
    axes.grid(visible=False)
    axes.set(xlabel="guessed", ylabel="true")
    percent = PercentFormatter(1, 0)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, shrink=0.8, format=percent)
    bar.set_ticks([0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.set_label("share of the row; blank: none")


def read_aloud(counts, names=None, most=3):
    """A confusion matrix in words, as an alternative text: how many are right, and the `most` frequent errors.

    Raises CourseError as `confusion_matrix`.
    """
    counts = _counts(counts)
    names = [str(each) for each in (range(len(counts)) if names is None else names)]
    total, right = counts.sum(), np.trace(counts)
    wrong = counts * (1 - np.eye(len(counts), dtype=int))
    told = f"{right} of {total} are on the diagonal, called what they are."
    order = wrong.ravel().argsort(kind="stable")[::-1][:most]
    for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if wrong[i, j]:
            told += f" Of {counts[i].sum()} true {names[i]}, {wrong[i, j]} were called {names[j]}."
    return told


def _counts(counts):
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.dtype.kind not in "iu":
        raise CourseError(
            f"A confusion matrix is a square of counts, not {counts.dtype} {counts.shape}: use metrics.images.confusion."
        )
    if not counts.size or counts.min() < 0:
        raise CourseError("A confusion matrix holds counts, 0 or more, of one class at least.")
    return counts


def bits_maps(maps, title, label="bits a pixel"):
    """What each place of the picture costs, as pictures side by side on one scale from 0.

    maps: {name: (T,)}, T = side², row by row.  The mean over the places stands under each name.
    Raises CourseError if a map is not square or holds a number that is not finite.
    """
    squares = {name: _square(each, name) for name, each in maps.items()}
    top = max(float(each.max()) for each in squares.values())
    figure, grid = panels(
        1, len(maps), width=2.6 * len(maps) + 1.0, height=3.8, title=title, squeeze=False
    )
    for axes, (name, each) in zip(grid[0], squares.items(), strict=True):
        image = axes.imshow(each, vmin=0, vmax=top, interpolation="nearest")
        axes.grid(visible=False)
        axes.set_title(f"{name}\nmean {each.mean():.3f}", fontsize=10)
        axes.set_xlabel("column")
    grid[0, 0].set_ylabel("row")
    figure.colorbar(image, ax=grid, label=label, pad=0.02, shrink=0.85)
    return figure


def _square(values, name):
    found = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, float)
    side = round(found.size**0.5)
    if side**2 != found.size or not found.size or not np.isfinite(found).all():
        raise CourseError(f"The map '{name}' needs side² finite numbers, not {found.shape}.")
    return found.reshape(side, side)


def accuracy_by_layer(accuracies, title, baselines=None, y="share of digits named rightly"):
    """Accuracy of a probe after each block of a model, a line for each name; 0 is before the first block.

    accuracies: {name: L + 1 numbers, or pairs (number, half-width of its interval)}.  baselines: {name: value}, dashed.
    Raises CourseError if there are no accuracies.
    """
    if not accuracies or not all(len(each) for each in accuracies.values()):
        raise CourseError("There are no accuracies to draw: give one for each layer.")
    figure, axes = panels(title=title)
    ends = []
    for i, (name, each) in enumerate(accuracies.items()):
        ys, halves = zip(*(np.atleast_1d(v) if np.ndim(v) else (v, 0) for v in each), strict=True)
        look = dict(color=PALETTE[i % len(PALETTE)], marker=MARKERS[i % len(MARKERS)])
        axes.errorbar(range(len(ys)), ys, yerr=halves, elinewidth=1.3, capsize=3, **look)
        ends.append((float(ys[-1]), name, look["color"]))
    for name, value in (baselines or {}).items():
        axes.axhline(value, color=GREY, linestyle="--", linewidth=1.3)
        ends.append((float(value), name, GREY))
    depth = max(map(len, accuracies.values()))
    axes.set_xticks(range(depth), ["embeddings", *range(1, depth)])
    axes.set(xlabel="after block", ylabel=y)
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
    _name_ends(axes, ends)
    return figure
