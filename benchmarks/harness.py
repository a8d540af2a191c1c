"""What every benchmark shares: both sides by turns in one run, medians, the machine's own rate, one form of result.

A benchmark is a file that yields *rows* and hands them to `report`. A row says what was done, how often a second each
side does it, how many times the others' seconds are ours (with the range over the repeats), whether their results
agree, and where operations can be counted which share they are of what a large matrix product reaches here.
A script imports this module first: it sets the threads of what comes after.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

# One core for numpy's and scikit-learn's threads, which read this when they are imported; torch's are set by `begin`
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # noqa: E402

from coursekit.errors import writing  # noqa: E402
from coursekit.results import machine  # noqa: E402
from coursekit.running import end_with_parent  # noqa: E402

OURS = "ours"
SQUARE = 1024  # side of the matrices multiplied: large enough that the processor is the bound
PACKAGES = ("torch", "transformers", "numpy")


def parser(doc, repeats=5, threads=1):
    """The options that every benchmark takes; `doc` is its docstring: help shows its first line, the result keeps all."""
    made = argparse.ArgumentParser(description=doc.split("\n")[0])
    made.set_defaults(about=doc.strip())
    made.add_argument("--repeats", type=int, default=repeats, help="turns that count, after one that warms up")  # fmt: skip
    made.add_argument("--threads", type=int, default=threads, help="1: CPU time; more: wall time")
    made.add_argument("--json", help="where the result is kept as well")
    made.add_argument("--with-parent", action="store_true", help="end when the program that started this does")  # fmt: skip
    return made


def begin(options):
    """Sets the threads, and the clock that suits them: CPU time, which other programs disturb less, needs one thread."""
    if options.with_parent:
        end_with_parent()
    torch.set_num_threads(options.threads)
    options.clock = cpu_time if options.threads == 1 else time.perf_counter
    return options


def cpu_time():
    """CPU seconds of this process and of the programs that it started and that have ended."""
    return time.process_time() + sum(os.times()[2:4])


def measure(tasks, repeats, clock=cpu_time, warm=True):
    """{name: task} → {name: (seconds, results)}, lists of `repeats`, by turns so that a busy moment hits all.

    A turn before them warms up, unless `warm` is false; of it only the results are kept, in front of the others. A task
    is a function, or a pair of them: the first prepares and is not clocked, the second is given what it made.
    """
    found = {name: ([], []) for name in tasks}
    for turn in range(0 if warm else 1, repeats + 1):
        for name, task in tasks.items():
            seconds, result = _clocked(task, clock)
            if turn:
                found[name][0].append(seconds)
            found[name][1].append(result)
    return found


def _clocked(task, clock):
    prepare, run = task if isinstance(task, tuple) else (None, task)
    given = [prepare()] if prepare else []
    start = clock()
    result = run(*given)
    return clock() - start, result


def compare(task, tasks, options, amount=1, unit="times", *, operations=None, parts=None, **more):
    """The `row` of these tasks, measured; with `operations`, the machine's matrix rate is measured in the same turns.

    parts: {name: share of the work that this side did}, by which its seconds are divided. more: of `row`.
    """
    tasks = tasks | ({"square": square()} if operations else {})
    found = measure(tasks, options.repeats, options.clock)
    for name, share in (parts or {}).items():
        found[name][0][:] = [each / share for each in found[name][0]]
    rate = matrix_rate(found.pop("square")[0]) if operations else None
    return row(task, found, amount, unit, operations=operations, rate=rate, **more)


def square():
    """A task for `measure`: the product whose rate is this machine's bound. `matrix_rate` makes a rate of its seconds."""
    made = torch.randn(SQUARE, SQUARE)
    return lambda: made.mm(made)[0, 0].item()


def matrix_rate(seconds):
    """Operations a second of `square`, by the median of its seconds."""
    return 2 * SQUARE**3 / statistics.median(seconds)


def row(task, found, amount=1, unit="times", *, operations=None, rate=None, agree=None, note=None):
    """One row of `found` (see `measure`), in which `OURS` is the side that the others are compared with.

    amount, unit: how many of what one call does ("pixels"). operations: those of one call of ours; rate: see
    `matrix_rate`. agree: whether all results are the same, or a function that says so of ours and others' lists of
    results; by default `same`. note: a sentence that goes with the row, such as another bound.
    """
    mine = found[OURS]
    medians = {name: statistics.median(seconds) for name, (seconds, _) in found.items()}
    others = [name for name in found if name != OURS]
    if not isinstance(agree, bool):
        alike = agree or same
        agree = all(alike(mine[1], found[name][1]) for name in others)
    made = {
        "task": task, "unit": unit, "amount": amount, "seconds": medians,
        "ratio": {name: medians[name] / medians[OURS] for name in others},
        "range": {name: _range(mine[0], found[name][0]) for name in others}, "agree": agree,
    }  # fmt: skip
    if operations:
        made |= {"rate": rate, "share": operations / medians[OURS] / rate}
    return made | ({"note": note} if note else {})


def _range(mine, other):
    ratios = [b / a for a, b in zip(mine, other, strict=True)]
    return [min(ratios), max(ratios)]


def same(mine, other, apart=1e-3):
    """Whether results are equal: numbers within `apart`, tensors of floats within 1e-5 of their largest, all else exactly."""
    if isinstance(mine, float):
        return abs(mine - other) < apart
    if torch.is_tensor(mine):
        if not mine.is_floating_point():
            return torch.equal(mine, other)
        return mine.shape == other.shape and bool((mine - other).abs().max() < 1e-5 * mine.abs().max())  # fmt: skip
    if isinstance(mine, list) and mine and isinstance(mine[0], float | torch.Tensor):
        return len(mine) == len(other) and all(map(same, mine, other, [apart] * len(mine)))
    return mine == other


def told(made):
    """The lines that a row is on the screen."""
    lines = []
    for name, seconds in made["seconds"].items():
        line = (
            f"  {made['task']:32} {name:16} {short(made['amount'] / seconds):>10} {made['unit']}/s"
        )
        if name in made["ratio"]:
            low, high = made["range"][name]
            line += f"  {made['ratio'][name]:6.2f} times our seconds ({low:.2f} to {high:.2f})"
        elif "share" in made:
            line += f"  {made['share']:.0%} of the matrix rate"
        lines.append(line)
    lines += [f"    {made['note']}"] if "note" in made else []
    return lines + ([] if made["agree"] else ["  THEY DIFFER"])


def short(number):
    """A number as tables show it: three digits, or thousands with commas."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def report(name, rows, options):
    """Prints rows as they come and keeps the result; ends with exit code 1 if one of them does not agree.

    options: of `begin`. The result is {"benchmark", "about", "machine", "threads", "clock", "repeats", "versions", "memory"
    in GB, "minutes", "rows"}.
    """
    started, kept = time.perf_counter(), []
    print(f"{name}: {machine()}, threads: {options.threads}, repeats: {options.repeats}")
    for each in rows:
        kept.append(each)
        print("\n".join(told(each)), flush=True)
    result = dict(
        benchmark=name, about=options.about, machine=machine(), threads=options.threads,
        clock="CPU" if options.clock is cpu_time else "wall", repeats=options.repeats,
        versions={each: version(each) for each in PACKAGES}, memory=peak_memory(),
        minutes=(time.perf_counter() - started) / 60, rows=kept,
    )  # fmt: skip
    if options.json:
        with writing(Path(options.json)) as path:
            path.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if wrong := sum(not each["agree"] for each in kept):
        sys.exit(f"{wrong} results differ: what is compared is not the same, so its times say nothing.")  # fmt: skip
    return result


def peak_memory():
    """The largest memory of this process so far, in GB."""
    unit = 1e9 if sys.platform == "darwin" else 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
