"""A picture as a prefix: what a language model reads and guesses, and the words its embeddings are nearest to."""

import math

from matplotlib.figure import Figure

from coursekit.errors import CourseError
from coursekit.plots.charts import BLUE, GREY, ORANGE, RED, _channels_last, _headline, panels

FILLS = {"picture": "#DCEBF5", "words": "#FBEBCF"}
EDGES = {"picture": BLUE, "words": ORANGE}


def prefixed(image, words, title, embeddings=3):
    """What a prefix captioner reads, place by place, and what it must guess there.

    image: uint8 (3, H, W) or (H, W, 3).  words: of a caption, without ends.  embeddings: how many are made of the
    picture.  The row of boxes is what is read, coloured by token type; above each stands the label of its place, a
    dash where nothing is guessed.
    """
    read = ["<picture>", *[""] * embeddings, "</picture>", "<bos>", *words]
    labels = [*["–"] * (embeddings + 2), *words, "<eos>"]
    figure, axes = panels(width=1.3 + 0.78 * len(read), height=2.5)
    axes.set(xlim=(-1.5, len(read) - 0.4), ylim=(-1.25, 1.75), title=title)
    axes.axis("off")
    for place, (word, label) in enumerate(zip(read, labels, strict=True)):
        kind = "picture" if place < embeddings + 2 else "words"
        colour = GREY if label == "–" else RED
        axes.text(place, 1.35, label, ha="center", color=colour, fontsize=9)
        axes.annotate("", (place, 1.25), (place, 0.52), arrowprops=dict(arrowstyle="->", color=colour))  # fmt: skip
        box = dict(boxstyle="round,pad=0.4", facecolor=FILLS[kind], edgecolor=EDGES[kind])
        if word:
            axes.text(place, 0, word, ha="center", va="center", fontsize=8, bbox=box)
        else:
            _embedding(axes, image, place)
    _bracket(axes, -0.45, embeddings + 1.45, "type: picture", EDGES["picture"])
    _bracket(axes, embeddings + 1.55, len(read) - 0.55, "type: words", EDGES["words"])
    for height, name in ((1.35, "guessed"), (0, "read")):
        axes.text(-0.75, height, name, ha="right", va="center", fontsize=9, color=GREY)
    return figure


def _embedding(axes, image, place):
    axes.imshow(
        _channels_last(image), extent=(place - 0.3, place + 0.3, -0.42, 0.42), aspect="auto"
    )


def _bracket(axes, left, right, name, colour):
    axes.plot([left, right], [-0.72, -0.72], color=colour, linewidth=2.5)
    axes.text((left + right) / 2, -0.85, name, ha="center", va="top", fontsize=9, color=colour)


def words_in_cells(images, words, title, columns=3, size=2.6):
    """Pictures under a grid of cells, row by row, with a word written into each cell.

    images: B pictures, uint8 (3, H, W) or (H, W, 3).  words: B lists of as many strings as the grid has cells.  size:
    inches a picture.  Raises CourseError if the cells form no square grid, or a picture lacks its words.
    """
    if len(images) != len(words):
        raise CourseError(f"{len(images)} pictures and {len(words)} lists of words: give one each.")
    columns = max(1, min(columns, len(images)))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(size * columns, size * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, own in zip(grid.flat, images, words, strict=False):
        _worded(axes, image, own)
    _headline(figure, title)
    return figure


def _worded(axes, image, words):
    side = math.isqrt(len(words))
    if side * side != len(words) or not words:
        raise CourseError(f"{len(words)} words fill no square grid: give one for each cell.")
    axes.imshow(_channels_last(image), extent=(0, side, side, 0), interpolation="nearest")
    around = dict(boxstyle="round,pad=0.15", facecolor="white", edgecolor="none", alpha=0.8)
    for edge in range(side + 1):
        axes.plot([0, side], [edge, edge], color="white", linewidth=0.8)
        axes.plot([edge, edge], [0, side], color="white", linewidth=0.8)
    for n, word in enumerate(words):
        place = dict(ha="center", va="center", fontsize=7.5, bbox=around)
        axes.text(n % side + 0.5, n // side + 0.16, word, **place)
