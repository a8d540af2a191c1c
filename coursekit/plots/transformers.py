"""Which word looks at which, and which word hangs on which: squares of words by words."""

import numpy as np
from matplotlib.colors import LogNorm, Normalize

from coursekit.errors import CourseError
from coursekit.plots.charts import BLACK, GREY, panels

NOTHING = "#F1EFEA"  # what a square shows that is exactly 0: no colour of the scale
DECADES = 6  # of a logarithmic scale; what is smaller than that is drawn as its darkest colour


def word_maps(maps, words, title, label, log=False, x="word that is asked", y="word that asks"):
    """Squares of words by words side by side, on one scale: attention weights, or sizes of gradients.

    maps: {name: (T, T)}, row t and column s tell of word t and word s.  words: T strings.  label: what the colours
    show, with its unit.  log: a logarithmic scale of six decades below the largest value, else from 0 to the largest.
    What is exactly 0 is left blank, so that it cannot be taken for something small.
    Raises CourseError if a map does not fit the words, or holds a number that is negative or not finite.
    """
    arrays = {name: _square(each, words, name) for name, each in maps.items()}
    top = max(float(each.max()) for each in arrays.values()) or 1.0
    norm = LogNorm(top / 10**DECADES, top, clip=True) if log else Normalize(0, top)
    side = 0.85 + 0.2 * len(words)
    whole = dict(width=side * len(maps) + 1.6, height=side + 1.5)
    figure, all_axes = panels(1, len(maps), **whole, title=title, squeeze=False, sharey=True)
    for axes, (name, each) in zip(all_axes[0], arrays.items(), strict=True):
        image = axes.imshow(np.ma.masked_equal(each, 0), norm=norm, interpolation="nearest")
        _name_words(axes, words)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel(x)
    all_axes[0, 0].set_ylabel(y)
    bar = figure.colorbar(image, ax=all_axes, pad=0.02, shrink=0.85)
    bar.set_label(f"{label}; blank: exactly 0")
    return figure


def _square(values, words, name):
    """A map as an array (T, T)."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    found = np.asarray(values, float)
    if found.shape != (len(words), len(words)) or not len(words):
        raise CourseError(
            f"The map '{name}' has the shape {found.shape}: {len(words)} words need a square of {len(words)}."
        )
    if not np.isfinite(found).all() or (found < 0).any():
        raise CourseError(
            f"The map '{name}' holds numbers below 0 or not finite: give weights, or sizes of gradients."
        )
    return found


def _name_words(axes, words):
    """The words along both sides, and a line along the diagonal's upper edge: above it lies the future."""
    shown = [str(word).replace("$", r"\$") for word in words]
    slanted = dict(rotation=60, ha="right", rotation_mode="anchor", fontsize=8.5)
    axes.set_xticks(range(len(words)), shown, **slanted)
    axes.set_yticks(range(len(words)), shown, fontsize=8.5)
    axes.set_facecolor(NOTHING)
    axes.grid(visible=False)
    corners = np.arange(len(words) + 1) - 0.5
    axes.step(corners, corners, where="post", color=BLACK, linewidth=1)
    axes.spines[["left", "bottom"]].set_color(GREY)


def future_share(values):
    """The largest value above the diagonal of a map (T, T), as a part of the largest of all: 0 for a causal model."""
    values = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, float)
    top = values.max()
    return float(np.triu(values, 1).max() / top) if top else 0.0
