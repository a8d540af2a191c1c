"""The plots of docs/growth.md, drawn from benchmarks/growth.json when the book is built: no picture is kept."""

import io
import json
import re
import textwrap

from matplotlib.ticker import LogLocator

from coursekit import plots

KNOWN = "benchmarks/growth.json"
PLACE = re.compile(r"^<!-- plot: (\w+) -->$", re.M)
DOTS = 2 * 96  # an inch, as the lessons' figures
MARKERS = "osD^"  # colour is never the only difference
PIXELS, PICTURES, STUDENTS, SCENES = "pixels of a picture", "pictures of a batch", "students of a class", "scenes"  # fmt: skip
MEMORY = "largest memory (MB)"
# Of each curve: the axis below, what is drawn of a point, the axis at the side, and what its series are called
TIMES = {
    "sequence": (PIXELS, "seconds", "CPU seconds", {}),
    "batch": (PICTURES, "pictures_a_second", "pictures a CPU second", {}),
    "students": (STUDENTS, "seconds", "CPU seconds beside examinations", {"real": "real", "simulated": "simulated\nexaminations"}),
    "scenes": (SCENES, "seconds", "CPU seconds", {"at once": "described\nat once"}),
}  # fmt: skip


def with_plots(text, name, root, files):
    """Markdown with a figure in place of each comment `<!-- plot: CURVE -->`; the pictures are added to `files`.

    name: the page, in the repository. Without the file of points the text stays as it is.
    """
    if not (PLACE.search(text) and (root / KNOWN).is_file()):
        return text
    known = json.loads((root / KNOWN).read_text(encoding="utf-8"))
    folder = name.rpartition("/")[0]

    def shown(match):
        told = []
        for kind, figure, alt in figures(match[1], known):
            picture = f"growth_{match[1]}_{kind}.png"
            files[f"source/{folder}/{picture}"] = _png(figure)
            width = round(figure.get_figwidth() * 96)
            told.append(
                f"```{{image}} {picture}\n:alt: {json.dumps(alt, ensure_ascii=False)}\n:width: {width}px\n```"
            )
        return "\n\n".join(told)

    return PLACE.sub(shown, text)


def figures(curve, known):
    """(kind, figure, text for those who cannot see it) of a curve: its time, and its memory."""
    below, value, side, names = TIMES[curve]
    points = [p for p in known["points"] if p["curve"] == curve]
    said = known["told"].get(curve)
    if said:
        own = _series(points, value, names)
        yield "time", _drawn(own, said["title"], below, side, log_y=True), _alt(said["title"], own, below, side)  # fmt: skip
        own = _series(points, "memory", names)
        floor = max(p["floor"] for p in points)
        figure = _drawn(own, said["memory"], below, MEMORY, baselines={"imports alone": floor})
        alt = f"{_alt(said['memory'], own, below, MEMORY)} Imports alone take {floor:,.0f} MB."
        yield "memory", figure, alt


def _series(points, value, names):
    """{series: (xs, ys)}"""
    found = {}
    for p in points:
        xs, ys = found.setdefault(names.get(p["series"], p["series"]), ([], []))
        xs.append(p["x"])
        ys.append(p[value])
    return found


def _drawn(series, title, below, side, **how):
    title = textwrap.fill(title, 60)  # or its end would be cut off
    figure = plots.lines(series, title, below, side, log_x=True, points=True, **how)
    for line, marker in zip(figure.axes[0].lines, MARKERS, strict=False):
        if line.get_marker() == "o":
            line.set_marker(marker)
    xs = sorted({x for xs, _ in series.values() for x in xs})
    figure.axes[0].set_xticks(xs, [_short(x) for x in xs])
    figure.axes[0].minorticks_off()
    if how.get("log_y"):
        figure.axes[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    figure.axes[0].yaxis.set_major_formatter("{x:,g}")
    return figure


def _short(number):
    """10,000 as 10 k and so on, where nothing is lost."""
    for letter, size in (("M", 10**6), ("k", 10**3)):
        if number >= size and number % size == 0:
            return f"{number // size} {letter}"
    return f"{number:,}"


def _alt(title, series, below, side):
    told = [
        f"{' '.join(name.split())} from {_number(ys[0])} at {xs[0]:,} to {_number(ys[-1])} at {xs[-1]:,}"
        for name, (xs, ys) in series.items()
    ]
    return f"{title}. Drawn: {side} against {below}; {'; '.join(told)}."


def _number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _png(figure):
    """A figure as the bytes of a PNG file, the same every time."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS, facecolor="white", metadata={"Software": None})
    return file.getvalue()
