"""Dots with intervals: the cells of a study, or what its choices change."""

from coursekit.plots.charts import GREY, PALETTE, panels

MARKERS = "osD^vP*"  # colour is never the only difference


def dots(told, title, x, note, zero=False):
    """Panels of rows of dots, each with its interval; first row on top.

    told: {panel: {row: {name: (mean, half-width or None)}}}, a colour and a marker for each name.  x: what the axes
    show, with units.  note: what dots and intervals are.  zero: a line at 0, where nothing changes, and a scale for
    each panel.
    """
    rows, names = _named(told)
    columns = min(2, len(told))
    lines = -(-len(told) // columns)
    height = 1.5 + lines * (0.5 + len(rows) * (0.16 + 0.14 * len(names)))
    figure, grid = panels(
        lines, columns, height=height, title=title, squeeze=False, sharey=True, sharex=not zero
    )
    for axes, (panel, each) in zip(grid.flat, told.items(), strict=False):
        _panel(axes, panel, each, rows, names, zero)
    for axes in grid.flat[len(told) :]:
        axes.set_visible(False)
    for axes in grid.flat[-columns:] if len(told) == grid.size else grid.flat[: len(told)]:
        axes.set_xlabel(x)
    _explain(figure, grid.flat[0], names, note)
    return figure


def _named(told):
    """All rows and all names, each once, as they come."""
    rows = dict.fromkeys(row for panel in told.values() for row in panel)
    names = [name for panel in told.values() for row in panel.values() for name in row]
    return list(rows), list(dict.fromkeys(names))


def _panel(axes, title, told, rows, names, zero):
    for k, name in enumerate(names):
        shift = (k - (len(names) - 1) / 2) * 0.7 / len(names)
        drawn = [
            (rows.index(row) + shift, *each[name]) for row, each in told.items() if name in each
        ]
        heights, means, halves = zip(*drawn, strict=True)
        axes.errorbar(
            means, heights, xerr=[half or 0 for half in halves], label=name, linestyle="",
            marker=MARKERS[k % len(MARKERS)], color=PALETTE[k % len(PALETTE)],
            markersize=5, elinewidth=1.3, capsize=2,
        )  # fmt: skip
    if zero:
        axes.axvline(0, color=GREY, linestyle="--", linewidth=1.3)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_title(title, fontsize=10)


def _explain(figure, axes, names, note):
    if len(names) == 1:
        figure.supxlabel(note, fontsize=9, color=GREY)
        return
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, title=note, loc="outside lower center", ncols=len(names))
