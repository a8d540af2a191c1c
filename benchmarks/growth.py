"""How cost grows: with the length of a sequence, a batch, a class, a data set.

    python benchmarks/growth.py [--curves [sequence batch students scenes]] [--again]

Each point is measured in a process of its own (`growth_points.py`), one thread, CPU time. What is known is kept in
benchmarks/growth.json, and docs/growth.md is made from it; the book draws its plots. A point that was measured on this
machine in this state of its files is not measured again, unless with `--again`; after Ctrl-C what was done is kept. A
point that fails is told, and ends the run with exit code 1. All of it takes about a quarter of an hour.
"""

import argparse
import hashlib
import inspect
import json
import math
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import growth_points
import harness

from coursekit.errors import CourseError, full_disk_told, writing
from coursekit.imports import PACKAGE, reached
from coursekit.results import machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = "benchmarks/growth.json", "docs/growth.md"
STOPPED = 130
LENGTHS = [196, 400, 784, 1600, 3136]
BATCHES = [1, 4, 16, 64, 256]
CURVES = {
    "sequence": {"training": LENGTHS, "completion": LENGTHS},
    "batch": {"LSTM captioner": BATCHES, "Image GPT": BATCHES},
    "students": {"real": [10, 20], "simulated": [50, 100, 200, 500]},
    "scenes": {"streamed": [10**3, 10**4, 10**5, 10**6], "at once": [10**3, 10**4, 10**5]},
}
# The files of the package whose code a curve measures
CODE = {
    "sequence": ["models/image_gpt.py"],
    "batch": ["models/image_gpt.py", "models/lstm.py"],
    "students": ["grading/grade.py", "grading/results/graded.py"],
    "scenes": ["datasets/scenes.py"],
}
HEAD = """\
# How cost grows

Made by `python benchmarks/growth.py`, which measures each point in a process of its own; no figure here is typed by
hand. One thread. Seconds are CPU time, which a busy machine hardly changes. Memory is the largest of the whole process
in MB, and *imports* the part that had been taken before the work began: no point can lie below it. A *power* p says
that cost grows as size to the p: 1 doubles it where the size doubles, 2 makes it four times as large. The book shows
the same numbers as plots.
"""


# --- measuring ------------------------------------------------------------------------------------
def points(curve, known, again=False):
    """Yields the points of a curve: those of `known` that are still good, the others measured.

    A point is {"curve", "series", "x", "of", "seconds", "memory", "floor", …}, or {…, "error"} if it failed.
    """
    state = state_of(curve)
    kept = {(p["series"], p["x"]): p for p in known if p["curve"] == curve and p["of"] == state}
    for series, xs in CURVES[curve].items():
        for x in xs:
            if again or (series, x) not in kept:
                yield dict(curve=curve, series=series, x=x, of=state) | measured(curve, series, x)
            else:
                yield kept[series, x]


def state_of(curve):
    """A hash of all that a curve depends on: code, settings, versions and machine."""
    files = [PACKAGE / name for name in CODE[curve]]
    digest = hashlib.sha256(repr([growth_points.SETTINGS[curve], versions(), machine()]).encode())
    digest.update(inspect.getsource(growth_points.FUNCTIONS[curve]).encode())
    for path in sorted({*files, *reached(*files)}):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def versions():
    """The versions of what decides the figures."""
    return {name: version(name) for name in harness.PACKAGES}


def measured(curve, series, x):
    """What a process of its own finds of one point, or {"error": its last words}."""
    command = [sys.executable, growth_points.__file__, curve, series, str(x)]
    # A session of its own: Ctrl-C ends this process, which ends that one
    told = subprocess.run(command, capture_output=True, text=True, start_new_session=True, cwd=ROOT)
    try:
        return json.loads(told.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": (told.stderr.strip() or "it said nothing").splitlines()[-1]}


def measure_all(curves, again, results):
    """Measures the points of some curves, and keeps each as it comes; returns how many failed."""
    known = read(results)
    found = {(p["curve"], p["series"], p["x"]): p for p in known}
    failed = 0
    for curve in curves:
        for point in points(curve, known, again):
            print(line(point), flush=True)
            failed += "error" in point
            if "error" not in point and found.get(key := _key(point)) != point:
                found[key] = point
                write(results, found)
    write(results, found)
    return failed


def _key(point):
    return point["curve"], point["series"], point["x"]


def read(results):
    """The points of a file of results, [] where there is none."""
    try:
        return json.loads(Path(results).read_text(encoding="utf-8"))["points"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(f"{results} cannot be read ({error}): delete it, and measure anew.") from error  # fmt: skip


def write(results, found):
    """Keeps the points that CURVES still has, in its order, and what they say."""
    order = [(c, s, x) for c, each in CURVES.items() for s, xs in each.items() for x in xs]
    kept = [found[key] for key in order if key in found]
    whole = dict(machine=machine(), versions=versions(), points=kept, told=told(kept))
    with writing(Path(results)) as path:
        path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def line(point):
    """A point as the screen shows it."""
    start = f"{point['curve']:9} {point['series']:14} {point['x']:>9,}"
    if "error" in point:
        return f"{start}  failed: {point['error']}"
    return f"{start} {point['seconds']:10.3f} s {point['memory']:8,.0f} MB, imports {point['floor']:,.0f}"


# --- what the points say --------------------------------------------------------------------------
def law(points, of=lambda point: point["seconds"]):
    """The power p of the law `cost = a · x^p` that fits points best: the slope of a line through their logarithms.

    None for fewer than two points, or a cost that is not above 0.
    """
    if len(points) < 2 or min(map(of, points)) <= 0:
        return None
    xs, ys = [math.log(p["x"]) for p in points], [math.log(of(p)) for p in points]
    return statistics.linear_regression(xs, ys).slope


def line_through(points, of):
    """(slope, start) of the straight line that fits best."""
    return statistics.linear_regression([p["x"] for p in points], list(map(of, points)))


def own_memory(point):
    """MB beyond what imports take."""
    return point["memory"] - point["floor"]


def told(points):
    """{curve: {"title", "memory", "sentence"}} of the curves that have all their points; the first two are titles of plots."""
    found = {}
    for curve, series in CURVES.items():
        mine = {s: [p for p in points if p["curve"] == curve and p["series"] == s] for s in series}
        if all(len(mine[name]) == len(xs) for name, xs in series.items()):
            found[curve] = dict(
                zip(("title", "memory", "sentence"), SAYS[curve](mine), strict=True)
            )
    return found


def _says_sequence(mine):
    steps, ends = mine["training"], mine["completion"]
    first, last = steps[0], steps[-1]
    times = f"{last['x'] / first['x']:.0f} times the pixels"
    return (
        f"{times} cost a training step {last['seconds'] / first['seconds']:.0f} times the seconds",
        f"{times} cost a step {own_memory(last) / own_memory(first):.0f} times the memory beyond imports",
        f"From {first['x']:,} to {last['x']:,} pixels attention's share of a step's operations goes from "
        f"{first['attention']:.0%} to {last['attention']:.0%}, and a step's seconds grow with power {law(steps):.2f} "
        f"({law(steps[:2]):.2f} between the two shortest, {law(steps[-2:]):.2f} between the two longest). Completing the "
        f"lower half grows with power {law(ends):.2f} ({law(ends[-2:]):.2f} between the two longest). A step's memory "
        f"beyond imports goes from {own_memory(first):,.0f} to {own_memory(last):,.0f} MB, with power "
        f"{law(steps, own_memory):.2f}; where every pixel's weight on every other was kept, it would be 2.",
    )


def _says_batch(mine):
    parts, gains = [], []
    for name, each in mine.items():
        one, best, last = each[0], max(each, key=lambda p: p["pictures_a_second"]), each[-1]
        gains.append(best["pictures_a_second"] / one["pictures_a_second"])
        parts.append(
            f"The {name} trains on {one['pictures_a_second']:,.0f} pictures a second one at a time, and on "
            f"{best['pictures_a_second']:,.0f} at its best, with {best['x']}; each picture more in a batch takes "
            f"{_a_picture(each):.2g} MB, and {last['x']} take {own_memory(last):,.0f} MB beyond imports."
        )
    names, each = list(mine), list(mine.values())
    return (
        f"Batches make the {names[0]} {gains[0]:.1f} times as fast, the {names[1]} {gains[1]:.1f} times",
        f"A picture more takes the {names[0]} {_a_picture(each[0]):.2g} MB, the {names[1]} {_a_picture(each[1]):.2g} MB",
        " ".join(parts),
    )


def _a_picture(points):
    return line_through(points, lambda p: p["memory"])[0]


def _says_students(mine):
    every = [p for each in mine.values() for p in each]
    slope, start = line_through(every, lambda p: p["seconds"])
    last, real, power = every[-1], mine["real"][-1], law(every)
    title = f"Beside its examination, a submission costs {slope:.2f} seconds"
    if power > 1.15:
        title = f"Beside examinations, a class costs its size to the power {power:.2f}"
    return (
        title,
        f"{last['x']} students take {last['memory'] - every[0]['memory']:,.0f} MB more than {every[0]['x']}",
        f"A student more costs {slope:.2f} seconds of the grading process, for copy, gradebook rows, feedback page and "
        f"line of the report, beside {start:.1f} seconds for a class of any size; all grows with power {power:.2f}. At {last['x']} students that is "
        f"{last['seconds']:.0f} seconds, of which grading takes {last['parts']['grade']:.0f} and the report "
        f"{last['parts']['report']:.1f}, and {last['memory']:,.0f} MB in all. Examinations come on top, side by side: a real "
        f"one of this small assignment took {real['examination']:.1f} seconds on the clock. Classes of {mine['simulated'][0]['x']} and "
        f"more are simulated: of each, one examination was real, and each other took "
        f"{growth_points.CLASS['examination']} seconds in which nothing was computed, and had the same result.",
    )


def _says_scenes(mine):
    stream, whole = mine["streamed"], mine["at once"]
    last, most = stream[-1], max(map(own_memory, stream))
    each, power = 1e3 * line_through(whole, lambda p: p["memory"])[0], law(stream)
    title = f"A scene costs {1e6 * last['seconds'] / last['x']:.0f} microseconds, however many there are"
    if abs(power - 1) > 0.1:
        title = f"A stream's seconds grow with its length to the power {power:.2f}"
    return (
        title,
        f"No stream of up to {last['x']:,} scenes takes more than {most:,.0f} MB beyond imports",
        f"A scene with its five captions takes {1e6 * last['seconds'] / last['x']:.0f} microseconds in a stream of "
        f"{last['x']:,} (power {power:.2f}), and no stream took more than {most:,.0f} MB beyond imports. "
        f"All described at once they take {each:.1f} kB a scene, for what is in them and their captions; pictures are "
        "drawn when they are asked for, and not kept.",
    )


SAYS = dict(
    sequence=_says_sequence, batch=_says_batch, students=_says_students, scenes=_says_scenes
)  # fmt: skip


# --- the page -------------------------------------------------------------------------------------
def page(known):
    """The page, Markdown, of what growth.json holds. Where the book draws a plot, a comment stands."""
    if not known.get("points"):
        return HEAD + "\nNothing has been measured yet.\n"
    names = ", ".join(f"{name} {number}" for name, number in known["versions"].items())
    parts = [HEAD, f"Measured on {known['machine']} with {names}.\n"]
    for curve in CURVES:
        mine = [p for p in known["points"] if p["curve"] == curve]
        said = known["told"].get(curve)
        parts += [f"## {TITLES[curve]}\n", f"{ABOUT[curve]}\n"]
        parts += [f"**{said['title']}. {said['memory']}.** {said['sentence']}\n"] if said else ["Not all points are measured yet.\n"]  # fmt: skip
        parts += [f"<!-- plot: {curve} -->\n"] if said else []
        parts += ["\n".join(_table(curve, mine)) + "\n"] if mine else []
    return "\n".join(parts)


TITLES = dict(
    sequence="Pixels of a picture", batch="Pictures of a batch",
    students="Students of a class", scenes="Scenes of a data set",
)  # fmt: skip
_SIZE = "{layers} layers of {dim} numbers in {heads} heads, {colours} colours"
ABOUT = dict(
    sequence=f"An Image GPT of {_SIZE.format(**growth_points.SEQUENCE)}, {growth_points.SEQUENCE['pictures']} pictures at "
    "once: a training step (forward, backward, clipping, AdamW), and the completion of the lower half, pixel by pixel with "
    "a cache. Operations are counted as the causal mask needs them: a pixel sees half of all in the mean. The *matrix rate* "
    "is the share that a step reaches of a large matrix product's operations a second.",
    batch=f"A training step on random data: the captioner of scenes at size `cpu` (an LSTM of {growth_points.BATCH_LSTM['hidden_dim']} "
    f"numbers on a frozen eye's features, captions of {growth_points.BATCH_LSTM['words']} tokens), and an Image GPT of "
    f"{_SIZE.format(**growth_points.BATCH_GPT)} on {growth_points.BATCH_GPT['pixels']} pixels.",
    students="`coursekit grade` of a small assignment with two questions, from folders to feedback pages, "
    f"{growth_points.CLASS['jobs']} jobs side by side; then marks for Canvas and the report of the class. *Seconds* are those of "
    "the grading process alone; examinations run in other processes. *On the clock* is how long grading took on the "
    "machine as it was.",
    scenes=f"Scenes drawn once each, with their captions: streamed in parts of {growth_points.STREAM['part']:,} "
    "(`datasets.scenes.stream`), or all described at once (`Scenes`).",
)
COLUMNS = {
    "sequence": {
        "attention": lambda p: f"{p['attention']:.0%}" if "attention" in p else "",
        "matrix rate": lambda p: f"{p['share']:.0%}" if "share" in p else "",
    },
    "batch": {"pictures a second": lambda p: f"{p['pictures_a_second']:,.0f}"},
    "students": {"on the clock": lambda p: f"{p['wall']:,.0f}"},
    "scenes": {"microseconds a scene": lambda p: f"{1e6 * p['seconds'] / p['x']:.0f}"},
}
FIRST = dict(sequence="pixels", batch="pictures", students="students", scenes="scenes")


def _table(curve, points):
    more = COLUMNS[curve]
    heads = [FIRST[curve], "of", "seconds", *more, "memory, MB", "imports, MB"]
    rows = [heads, ["---:", "---", *["---:"] * (len(heads) - 2)]]
    for p in points:
        own = [each(p) for each in more.values()]
        ends = [f"{p['memory']:,.0f}", f"{p['floor']:,.0f}"]
        rows.append([f"{p['x']:,}", p["series"], _short(p["seconds"]), *own, *ends])
    return [f"| {' | '.join(row)} |" for row in rows]


def _short(seconds):
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}"


def write_page(results, place):
    """Makes the page anew from a file of results."""
    known = json.loads(Path(results).read_text(encoding="utf-8"))
    with writing(Path(place)) as path:
        path.write_text(page(known), encoding="utf-8", newline="\n")


def main(arguments=None):
    """Measures, keeps, and makes the page; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--curves", nargs="*", default=list(CURVES), help="these; none: the page only"
    )
    parser.add_argument("--again", action="store_true", help="measure what is known as well")
    parser.add_argument("--json", default=ROOT / RESULTS, help="where the points are kept")
    parser.add_argument("--page", default=ROOT / PAGE)
    options = parser.parse_args(arguments)
    if unknown := set(options.curves) - set(CURVES):
        parser.error(f"there is no curve {min(unknown)}: choose of {', '.join(CURVES)}")
    try:
        with full_disk_told():
            failed = measure_all(options.curves, options.again, options.json)
    except CourseError as error:
        print(f"growth: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. What was measured is kept; the same command goes on from here.")
        failed = None
    if Path(options.json).exists():
        write_page(options.json, options.page)
    return STOPPED if failed is None else min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
