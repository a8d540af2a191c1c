"""One page about a graded class: its points, its questions, and what a teacher should look at.

The page needs no network and no script.  All that students wrote is escaped by Jinja.
"""

import io
from datetime import date
from pathlib import Path

import matplotlib
import numpy as np
from markupsafe import Markup, escape

from coursekit import plots
from coursekit.errors import CourseError, writing
from coursekit.grading.results.analysis import OUTLYING, full_points, outliers, questions
from coursekit.grading.results.similar import similar
from coursekit.notebooks import course_root, load
from coursekit.templates import render

TEMPLATE = Path(__file__).with_suffix(".html")
MOST_MESSAGES = 5  # of a question
MOST_NAMES = 6  # in a row
# Lines of an excerpt, and how many stay around those that are the same
LONGEST_EXCERPT, AROUND = 40, 2
LEFT_OUT = ("…", False)


def report(name, rows, records, path, *, root=None, released=None, solution=None):
    """Writes the report of a graded class as one HTML file; returns its path.

    rows: of coursekit.grading.grade.  records: {student: {"notebook": executed notebook, "seconds",
    "peak_mb", "verdict", "notes"}}; a student or an entry may be missing.  released, solution: the
    notebooks that students got and that holds the answers (default: those of the course at `root`).
    Raises CourseError if nobody is in `rows`, or the released notebook is not there.
    """
    if not rows:
        raise CourseError(f"There is nobody in '{name}': grade it first.")
    root = Path(root) if root else course_root()
    released = released or load(root / "assignments" / name / f"{name}.ipynb")
    solution = solution or _solution(name, root)
    records = {row.student: records.get(row.student) or {} for row in rows}
    notebooks = {s: record["notebook"] for s, record in records.items() if record.get("notebook")}
    graded = [row for row in rows if row.score is not None]
    told = dict(
        name=name,
        when=f"{date.today():%d %B %Y}",
        numbers=_numbers(rows, graded),
        histogram=_histogram(graded),
        spread=_spread(graded),
        questions=questions(rows, full_points(released), records),
        missing=[row for row in rows if row.score is None],
        noted=[row for row in graded if getattr(row, "notes", None)],
        runs=_runs(records),
        outliers=outliers(records),
        pairs=similar(notebooks, released, [solution] if solution else []),
    )
    with writing(path) as part:
        part.write_text(_page(told), encoding="utf-8", newline="\n")
    return Path(path)


def _solution(name, root):
    path = root / "solutions" / name / f"{name}.ipynb"
    return load(path) if path.is_file() else None


def _page(told):
    filters = dict(points=_points, two=_two, percent=_percent, clipped=_clipped)
    colours = dict(blue=plots.BLUE, red=plots.RED, grey=plots.GREY)
    bounds = dict(most_messages=MOST_MESSAGES, outlying=OUTLYING)
    return render(TEMPLATE, told | colours | bounds, names=_names, excerpt=excerpt, **filters)


def _numbers(rows, graded):
    """Pairs (number, what it counts) for the head of the page."""
    full = max(row.max_score for row in rows)
    found = [(len(rows), "students"), (len(graded), "with a mark")]
    found += [(len(rows) - len(graded), "without a mark")]
    found += [(sum(row.needs_manual_grade for row in graded), "wait for a person")]
    if graded:
        scores = [row.score for row in graded]
        found += [(_points(np.median(scores)), f"median of {_points(full)}")]
        found += [(_points(np.mean(scores)), "mean")]
    return found


def _spread(graded):
    if not graded:
        return "Nobody has a mark yet."
    low, middle, high = np.percentile([row.score for row in graded], [25, 50, 75])
    waits = sum(row.needs_manual_grade for row in graded)
    told = f"Half of the class lies between {_points(low)} and {_points(high)} points"
    more = (
        f"; {waits} of these marks may still rise, written answers wait for a person"
        if waits
        else ""
    )
    return f"{told}, around a median of {_points(middle)}{more}."


def _histogram(graded):
    """The spread of points as a picture, "" where nobody has a mark."""
    if not graded:
        return ""
    scores, full = [row.score for row in graded], max(row.max_score for row in graded)
    step = next((one for one in (0.5, 1, 2, 5, 10) if full / one <= 25), full / 20)
    edges = np.arange(0, full + step, step) - step / 2
    edges = np.append(edges, edges[-1] + step)
    counts, _ = np.histogram(np.clip(scores, 0, full), edges)
    figure, axes = plots.panels(height=2.9, width=9)
    axes.bar(edges[:-1] + step / 2, counts, width=0.86 * step, color=plots.BLUE)
    median = float(np.median(scores))
    axes.axvline(min(median, full), color=plots.RED, linewidth=1.5)
    place = dict(xycoords=("data", "axes fraction"), textcoords="offset points", ha="center")
    told = f"median {_points(median)}"
    axes.annotate(told, (min(median, full), 1), xytext=(0, 5), color=plots.RED, **place)
    axes.set(xlabel=f"points of {_points(full)}", ylabel="students", xlim=(-step, full + step))
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="x", visible=False)
    alt = f"Points of {len(scores)} students, from {_points(min(scores))} to {_points(max(scores))}"
    return _svg(figure, f"{alt}, median {_points(median)} of {_points(full)}.")


def _runs(records):
    """Time and memory of all runs as a picture, the outliers named; "" where nothing was measured."""
    found = {
        s: (r["seconds"], r["peak_mb"])
        for s, r in records.items()
        if r.get("seconds") and r.get("peak_mb")
    }
    if len(found) < 3:
        return ""
    far = {one.student for one in outliers(records)} & found.keys()
    figure, axes = plots.panels(height=3.2, width=9)
    for students, colour in ((found.keys() - far, plots.BLUE), (far, plots.RED)):
        places = [found[student] for student in students]
        axes.scatter(*zip(*places, strict=True), s=26, color=colour, alpha=0.75) if places else None
    for student in sorted(far)[:12]:
        near = dict(xytext=(6, 3), textcoords="offset points", fontsize=8.5, color=plots.RED)
        axes.annotate(student[:24], found[student], parse_math=False, **near)
    axes.set(xlabel="time to run (s)", ylabel="memory at the peak (MB)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.12, y=0.12)
    seconds, memory = (np.median([one[i] for one in found.values()]) for i in (0, 1))
    alt = f"Time and memory of {len(found)} runs; medians {seconds:.3g} s and {memory:.4g} MB; "
    return _svg(figure, alt + f"{len(far)} stand out.")


def _svg(figure, alt):
    """A figure as inline SVG, told to those who hear it by `alt`."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": alt}):  # the same ids every time
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(
        "<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1
    )
    return Markup(svg)


def excerpt(lines):
    """Lines (text, is the same) around those that are the same; "…" where others are left out."""
    around = range(-AROUND, AROUND + 1)
    near = {i + step for i, (_, same) in enumerate(lines) if same for step in around}
    found = []
    for i, line in enumerate(lines):
        if i in near:
            found += [line] if found or line[0].strip() else []
        elif found and found[-1] != LEFT_OUT:
            found.append(LEFT_OUT)
    while found and (found[-1] == LEFT_OUT or not found[-1][0].strip()):
        found.pop()
    return found[:LONGEST_EXCERPT] + [LEFT_OUT] * (len(found) > LONGEST_EXCERPT)


# --- words and numbers of the page --------------------------------------------------------------
def _points(value):
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _two(value):
    return "–" if value is None else f"{value:.2f}"


def _percent(value):
    return "–" if value is None else f"{100 * value:.0f} %"


def _clipped(value):
    return round(min(100.0, max(0.0, value)), 1)


def _names(students):
    more = f" and {len(students) - MOST_NAMES} more" if len(students) > MOST_NAMES else ""
    return ", ".join(students[:MOST_NAMES]) + more
