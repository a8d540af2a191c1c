"""Runs every benchmark in a process of its own, and keeps all in benchmarks/results.json and docs/benchmarks.md.

    python benchmarks/run.py [NAME ...] [--again]          or: make bench

A benchmark that has been run on this machine in this state of its files is not run again, unless with `--again`. Goes on
after a failure, whose row is then missing from the page, and ends with exit code 1; after Ctrl-C what was done is kept.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness

from coursekit.errors import CourseError, full_disk_told, writing
from coursekit.ledger import fingerprint
from coursekit.results import machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = "benchmarks/results.json", "docs/benchmarks.md"
# In the order of the page, with what `make bench` asks of each
BENCHMARKS = {
    "lstm": [],
    "decoding": [],
    "gpt": [],
    "image_gpt": ["--repeats", "3"],
    "scoring": [],
    "palette": [],
    "grading": ["--students", "10"],
    "loading": [],
}
# What a benchmark runs without importing it
ALSO = {"grading": ("nbgrader_config.py", "coursekit/grading/**/*.py")}
FAILED, STOPPED = 1, 130
HEAD = f"""\
# How fast the course's code is

Made by `make bench`, which runs the scripts of `benchmarks/` and writes down what they find; no figure here is
typed by hand. Each compares the course's code with what a reader would otherwise take or write. Both sides do the same
work by turns in one run and give the same results, or there is no figure; where "the same" needs a word, the
script's own text below says what it means.

- **ours**, **other**: how much each side does in a second, from the median of its repeats. One thread, and CPU time,
  which other programs disturb less, unless the line below a table says otherwise.
- **ratio**: how many times the other's seconds are ours, with the range over the repeats in brackets. Below 1 ours is the slower.
- **matrix rate**: the operations that the task needs, counted from the model's sizes, as a share of what a product of
  two {harness.SQUARE:,} × {harness.SQUARE:,} matrices reaches on the same cores in the same run; of our side. A dash stands where other things than
  matrix products bound the task; the notes below a table give what was measured of them.
"""
COLUMNS = ("task", "ours", "other", "ratio", "matrix rate")


def state_of(name, root=ROOT):
    """A hash of what a benchmark's result depends on: its files, what it can import, what is asked of it."""
    folder = root / "benchmarks"
    own = fingerprint(folder / f"{name}.py", " ".join(BENCHMARKS[name]), root)
    digest = hashlib.sha256(own.encode() + (folder / "harness.py").read_bytes())
    for pattern in ALSO.get(name, ()):
        for path in sorted(root.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def run(names, again=False, root=ROOT):
    """Runs these benchmarks, prints one table, keeps what they find; returns the exit code."""
    known, code = read(root), 0
    print(_line(dict(zip(COLUMNS, COLUMNS, strict=True))), flush=True)
    states = {name: state_of(name, root) for name in BENCHMARKS}
    kept = known.setdefault(machine(), {})
    for name in [name for name in kept if kept[name]["state"] != states.get(name)]:
        del kept[name]
    try:
        for name in names:
            if again or name not in kept:
                kept.pop(name, None)
                code |= _one(name, states[name], kept, root)
                write(known, root)
            for cells in _rows(kept.get(name, {"rows": []})):
                print(_line(cells), flush=True)
    except KeyboardInterrupt:
        print("Stopped. What had finished is kept; the same command goes on from here.")
        code = STOPPED
    write(known, root)
    return code


def _one(name, state, kept, root):
    """Runs one benchmark and keeps its result; returns 0, or 1 if it failed, and then says why."""
    print(f"{name} …", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "result.json"
        script = root / "benchmarks" / f"{name}.py"
        # One that went on beside the next run, after this program was killed, would spoil its figures
        command = [sys.executable, script, *BENCHMARKS[name], "--with-parent", "--json", told]
        started = time.perf_counter()
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
        if not ended.returncode and told.is_file():
            minutes = (time.perf_counter() - started) / 60
            result = json.loads(told.read_text(encoding="utf-8"))
            kept[name] = result | {"state": state, "minutes": minutes}
            return 0
    said = (ended.stdout + ended.stderr).strip().splitlines()
    print("\n".join([f"{name} FAILED:", *said[-12:]]), flush=True)
    return FAILED


def _rows(result):
    """The rows of a result as texts, {column: text}, one for each other side."""
    rows = []
    for each in result["rows"]:
        rate = {name: harness.short(each["amount"] / s) for name, s in each["seconds"].items()}
        for other, ratio in each["ratio"].items():
            low, high = each["range"][other]
            share = f"{each['share']:.0%}" if "share" in each else "–"
            texts = (each["task"], f"{rate[harness.OURS]} {each['unit']}/s")
            texts += (f"{other}: {rate[other]}", f"{ratio:.2f} ({low:.2f} to {high:.2f})", share)
            rows.append(dict(zip(COLUMNS, texts, strict=True)))
    return rows


def _line(cells):
    widths = (32, 22, 26, 24, 0)
    return "  ".join(f"{cells[name]:{n}}" for name, n in zip(COLUMNS, widths, strict=True)).rstrip()


def page(known):
    """The page of benchmarks, Markdown, of what `read` reads."""
    parts = [HEAD]
    for machine_, results in known.items():
        total = sum(result["minutes"] for result in results.values())
        if results:
            parts.append(f"Measured on {machine_}, in {total:.0f} minutes.\n")
        parts += [_section(name, results[name]) for name in BENCHMARKS if name in results]
    return "\n".join(parts if len(parts) > 1 else [HEAD, "Nothing has been run yet.\n"])


def _section(name, result):
    title, _, about = result["about"].partition("\n")
    clock = "CPU time" if result["clock"] == "CPU" else "wall time"
    threads = f"{result['threads']} thread{'s' if result['threads'] > 1 else ''}"
    versions = ", ".join(f"{each} {number}" for each, number in result["versions"].items())
    table = [COLUMNS, ("---",) * len(COLUMNS), *(tuple(row.values()) for row in _rows(result))]
    notes = [f"- {each['task']}: {each['note']}" for each in result["rows"] if "note" in each]
    return "\n".join(
        [
            f"## {name}", "", title, about.rstrip(), "",
            *("| " + " | ".join(cells) + " |" for cells in table), "",
            *([*notes, ""] if notes else []),
            f"{threads}, {clock}, {result['repeats']} repeats; {versions}; {result['memory']:.1f} GB.", "",
        ]
    )  # fmt: skip


def read(root=ROOT):
    """benchmarks/results.json: {machine: {benchmark: result}}; {} where there is none."""
    path = root / RESULTS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write(known, root=ROOT):
    """Writes benchmarks/results.json, and the page made from it."""
    for name, text in ((RESULTS, json.dumps(known, indent=1, ensure_ascii=False) + "\n"), (PAGE, page(known))):  # fmt: skip
        with writing(root / name) as path:
            path.write_text(text, encoding="utf-8", newline="\n")


def main():
    """Runs the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--again", action="store_true", help="run what has not changed, too")
    options = parser.parse_args()
    if wrong := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {wrong[0]}: choose of {', '.join(BENCHMARKS)}")
    try:
        with full_disk_told():
            sys.exit(run(options.names or list(BENCHMARKS), options.again))
    except CourseError as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
