"""Where an attention model looked, word by word: cells or boxes over the picture, never smoothed."""

import math
import textwrap

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from coursekit.errors import CourseError
from coursekit.plots.charts import GREY, ORANGE, _channels_last, _headline

VEIL = (16, 20, 33)  # what lies over places that a word did not look at; RGB
DARKEST = 0.86  # of the veil: the picture behind it can still be made out
OUTLINED = 0.15  # a cell or box with this part of the weight has its edge drawn
RASTER = 48  # cells a side for boxes that form no grid


def attention_maps(image, words, weights, boxes=None, title="Where it looked", columns=6, size=1.2):
    """A picture, and for each word the same picture, dark where the model did not look.

    image: uint8 (3, H, W) or (H, W, 3).  words: T strings; "<eos>" last shows the end, too.  weights: (T, N) or with
    more rows, which are left out; row t is where the model looked before it said word t.  boxes: (N, 4), x0 y0 x1 y1
    of what each embedding saw, as fractions of the picture; by default the cells of a square grid, row by row.
    A place is as light as the sum of the weights of all boxes that hold it, on one scale for all words, from 0 to the
    largest, and one that holds 15 % or more has its edge drawn, for pictures that are dark themselves.  Below stands
    the largest share.  Nothing is smoothed: a cell of 4 x 4 is a quarter of a side, and the model knows no more.
    size: inches a picture.
    Raises CourseError if the weights do not fit the words or the boxes.
    """
    weights, boxes = fitting(words, weights, boxes)
    maps = [attention_map(each, boxes) for each in weights]
    top = max(float(each.max()) for each in maps)
    columns = max(2, min(columns, len(words) + 1))
    rows = -(-(len(words) + 1) // columns)
    whole = (size * columns, (size + 0.4) * rows + 0.75)
    figure = Figure(figsize=whole, layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False)
    picture = _channels_last(image)
    for axes in all_axes.flat:
        axes.axis("off")
    all_axes.flat[0].imshow(picture, interpolation="nearest")
    for axes, word, own, each in zip(all_axes.flat[1:], words, weights, maps, strict=False):
        _draw(axes, picture, each / top, own, boxes)
        _name_look(axes, str(word), share_seen(own, boxes), size)
    _scale(figure, all_axes, top)
    _headline(figure, title)
    return figure


def _draw(axes, picture, shares, weights, boxes):
    """The picture behind its veil, and the edges of boxes that hold much."""
    height, width = picture.shape[:2]
    place = dict(extent=(0, width, height, 0), interpolation="nearest")
    axes.imshow(picture, cmap="gray" if picture.ndim == 2 else None, **place)
    axes.imshow(veil(shares), **place)
    for x0, y0, x1, y1 in outlined(weights, boxes):
        xs, ys = np.array([x0, x1, x1, x0, x0]), np.array([y0, y0, y1, y1, y0])
        axes.plot(xs * width, ys * height, color=ORANGE, linewidth=1.3, clip_on=False)


def _name_look(axes, word, share, size):
    """The word above a picture of `size` inches, and below it the largest share."""
    shown = textwrap.shorten(word, round(13 * size), placeholder="…").replace("$", r"\$")
    axes.set_title(shown, fontsize=9.5, fontweight="normal", loc="center", pad=3)
    below = dict(ha="center", va="top", fontsize=8, color=GREY)
    axes.text(0.5, -0.03, share, transform=axes.transAxes, **below)


def outlined(weights, boxes):
    """The cells or boxes that hold 15 % or more of the weights (N,): a list of x0, y0, x1, y1."""
    return [box for box, weight in zip(boxes, weights, strict=True) if weight >= OUTLINED]


def _scale(figure, all_axes, top):
    """A bar that says what dark and light mean, in per cent of a word's weight."""
    dark = np.array(VEIL) / 255 * DARKEST + (1 - DARKEST)
    colours = LinearSegmentedColormap.from_list("veil", [dark, (1, 1, 1)])
    shown = ScalarMappable(Normalize(0, 100 * top), colours)
    bar = figure.colorbar(shown, ax=all_axes, location="bottom", shrink=0.5, aspect=40, pad=0.02)
    bar.set_label("weight of a place (% of a word's look)", fontsize=8.5, color=GREY)
    bar.ax.tick_params(labelsize=8)


def attention_alt(words, weights, boxes=None):
    """The maps for those who cannot see them: for each word the place with most weight, and how much.

    Arguments as of `attention_maps`.  "boat: 71 % bottom left; …"
    """
    weights, boxes = fitting(words, weights, boxes)
    told = [f"{word}: {most_seen(own, boxes)}" for word, own in zip(words, weights, strict=True)]
    return f"Where it looked for each word, as a part of the word's weight. {'; '.join(told)}."


def most_seen(weights, boxes):
    """The place that has most of the weights (N,) and its share, as "71 % bottom left".

    Cells of a fine grid that bear the same name count together; a box of no grid is told by its number, too.
    """
    share, name, box = _most(weights, boxes)
    return f"{share} {name}{f', in box {box} of {len(boxes)}' if box else ''}"


def share_seen(weights, boxes):
    """`most_seen` without the place's name: "71 %", and "71 % box 2" for boxes of no grid."""
    share, _, box = _most(weights, boxes)
    return f"{share} box {box}" if box else share


def _most(weights, boxes):
    """Share, name and number (from 1; None in a grid) of the place with most weight."""
    if not grid_shape(boxes):
        box = int(np.argmax(weights))
        return f"{100 * float(weights[box]):.0f} %", _name(boxes[box]), box + 1
    shares = {}
    for box, weight in zip(boxes, weights, strict=True):
        shares[_name(box)] = shares.get(_name(box), 0.0) + float(weight)
    name = max(shares, key=shares.get)
    return f"{100 * shares[name]:.0f} %", name, None


def _name(box):
    """Where a box lies: "top left", "lower middle, right", "in the middle"."""
    x0, y0, x1, y1 = (float(one) for one in box)
    if (x1 - x0) * (y1 - y0) > 0.98:
        return "over the whole picture"
    row = _fifth((y0 + y1) / 2, "top", "upper middle", "middle", "lower middle", "bottom")
    column = _fifth((x0 + x1) / 2, "left", "centre left", "centre", "centre right", "right")
    if " " in row or " " in column:
        return f"{row}, {column}"
    return "in the middle" if (row, column) == ("middle", "centre") else f"{row} {column}"


def _fifth(at, *names):
    """A name for a number from 0 to 1: quarters, and the exact middle between them."""
    if abs(at - 0.5) < 0.02:
        return names[2]
    return names[0] if at <= 0.25 else names[1] if at < 0.5 else names[3] if at < 0.75 else names[4]


def attention_map(weights, boxes):
    """The sum at each place of the weights (N,) of all boxes (N, 4) that hold it: float (h, w).

    h x w is the grid itself where the boxes are one, row by row; else 48 x 48.
    """
    shape = grid_shape(boxes)
    if shape:
        return np.asarray(weights, float).reshape(shape)
    middles = (np.arange(RASTER) + 0.5) / RASTER
    within = (boxes[:, None, [0, 1]] <= middles[:, None]) & (middles[:, None] <= boxes[:, None, [2, 3]])  # fmt: skip
    across, down = within[..., 0].astype(float), within[..., 1].astype(float)  # (N, RASTER)
    return np.einsum("n,ny,nx->yx", weights, down, across)


def veil(shares):
    """The veil over a picture: uint8 (h, w, 4), RGB and opacity, clear where a share (h, w) is 1."""
    shares = np.asarray(shares, float).clip(0, 1)
    colour = np.broadcast_to(np.uint8(VEIL), (*shares.shape, 3))
    opacity = np.round(255 * DARKEST * (1 - shares)).astype(np.uint8)
    return np.concatenate([colour, opacity[..., None]], -1)


def grid_shape(boxes):
    """(rows, columns) if the boxes are the cells of a grid, row by row; else None."""
    columns = int(np.isclose(boxes[:, 1], boxes[0, 1]).sum())
    rows = len(boxes) // columns
    same = rows * columns == len(boxes) and np.allclose(boxes, grid(rows, columns), atol=1e-3)
    return (rows, columns) if same else None


def grid(rows, columns):
    """The cells of a grid, row by row: float (rows * columns, 4), x0 y0 x1 y1 from 0 to 1."""
    y, x = np.divmod(np.arange(rows * columns), columns)
    corners = np.stack([x, y, x + 1, y + 1], 1)
    return corners / [columns, rows, columns, rows]


def fitting(words, weights, boxes=None):
    """Weights (T, N) of T words and boxes (N, 4) as arrays; raises CourseError if they do not fit together."""
    weights = np.asarray(weights, float)
    if weights.ndim != 2 or not words or len(weights) < len(words):
        raise CourseError(
            f"{len(words)} words and weights of shape {weights.shape}: give a row of weights for each word."
        )
    places = weights.shape[1]
    if boxes is None:
        side = math.isqrt(places)
        if side * side != places:
            raise CourseError(
                f"{places} places are no square grid: give boxes ({places}, 4), as encoder.boxes does."
            )
        boxes = grid(side, side)
    boxes = np.asarray(boxes, float)
    if boxes.shape != (places, 4):
        raise CourseError(
            f"Boxes have the shape {boxes.shape}; {places} places need ({places}, 4)."
        )
    return weights[: len(words)], boxes
