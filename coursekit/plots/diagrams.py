"""Diagrams of a recurrent model unrolled over time."""

from coursekit.plots.charts import BLUE, GREY, RED, _channels_last, panels


def unrolled(image, words, title):
    """A captioner over time, the picture handed in as the first input (above) or as the first state (below).

    image: uint8 (3, H, W) or (H, W, 3).  words: of a caption, without ends.
    """
    width = 1.1 + 0.92 * (len(words) + 2)
    figure, (above, below) = panels(2, 1, width=width, height=4.4, title=title)
    _steps(above, image, words, first=0, name="as the first input")
    _steps(below, image, words, first=1, name="as the first state")
    return figure


def recurrent(words, title, cell="RNN"):
    """A language model over time: a word enters each step, a guess at the next leaves it.

    words: of a sentence, without ends.  cell: the name written into the boxes.
    """
    figure, axes = panels(width=1.1 + 0.92 * (len(words) + 2), height=2.5)
    _steps(axes, None, words, first=1, name="", cell=cell)
    axes.set_title(title)
    return figure


def _steps(axes, image, words, first, name, cell="LSTM"):
    """Steps from `first` on; step 0 is the picture's, each later one takes a word and guesses the next."""
    steps = len(words) + 2
    axes.set(xlim=(-0.6, steps - 0.4), ylim=(-0.75, 2.75))
    axes.axis("off")
    axes.set_title(name, fontsize=10.5, pad=2)
    arrow = dict(arrowstyle="->", color=GREY, linewidth=1.2)
    box = dict(boxstyle="round,pad=0.35", facecolor="#DCEBF5", edgecolor=BLUE)
    for t in range(first, steps):
        axes.text(t, 1, cell, ha="center", va="center", bbox=box, fontsize=9)
        if t:
            axes.annotate(
                "", (t - 0.33, 1), (t - 0.67 if t > first else t - 0.55, 1), arrowprops=arrow
            )
            axes.annotate("", (t, 0.66), (t, 0.16), arrowprops=arrow)
            axes.annotate("", (t, 1.95), (t, 1.36), arrowprops=arrow)
            axes.text(t, -0.1, ["<bos>", *words][t - 1], ha="center", va="center")
            axes.text(t, 2.2, [*words, "<eos>"][t - 1], ha="center", va="center", color=RED)
    axes.text(steps - 0.45, 2.62, "targets", ha="right", color=RED, fontsize=9)
    axes.text(steps - 0.45, -0.68, "inputs", ha="right", fontsize=9)
    if image is None:
        axes.text(0.42, 1, "$h_0$ = 0", ha="right", va="center", fontsize=9, color=GREY)
        return
    middle = 1 if first else -0.2
    axes.imshow(
        _channels_last(image), extent=(-0.36, 0.36, middle - 0.55, middle + 0.55), aspect="auto"
    )
    if not first:
        axes.annotate("", (0, 0.72), (0, 0.33), arrowprops=arrow)
    else:
        axes.text(0, 0.28, "→ h, c", ha="center", va="center", fontsize=9, color=GREY)
