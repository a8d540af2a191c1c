"""What the course took and reached, for everybody to read: `course/ledger.json`, and the page made from it."""

import json
import os
import platform
from pathlib import Path

import torch

from coursekit import doors, notebooks
from coursekit.errors import writing
from coursekit.grading.release import release
from coursekit.ledger import Ledger, chosen, fingerprint, run_course

PAGE = "docs/results.md"
HEAD = """\
# What the course takes and reaches

Made by `coursekit ledger`, which runs the notebooks and writes down what it finds; no figure here is typed
by hand. Time and the largest memory are those of the whole notebook, from an empty start, solutions
filled in for assignments and a sample class graded. Scores are those that the notebook itself names
as its main ones.
"""


def publish(size="cpu", lessons=None, *, root=None):
    """Runs what changed (see `run_course`), and writes what is known of this machine to `course/ledger.json`.

    From it the page of results, the notebooks' titles and the assignments' releases are made anew. Returns the exit code
    of the run: notebooks that failed, or have changed since they ran, keep no row. Raises CourseError as `run_course` does.
    """
    root = Path(root) if root else notebooks.course_root()
    code = run_course(size, lessons, root=root)
    found = Ledger(root / ".build" / "course" / "ledger.json")
    rows = {}
    for text in chosen(root, None):
        if run := found.unchanged(f"{size}/{text.stem}", fingerprint(text, size, root)):
            rows[text.stem] = dict(seconds=run.seconds, peak_mb=run.peak_mb, scores=run.scores)
    known = doors.ledger(root)
    known.setdefault(machine(), {})[size] = rows
    _write(root / doors.LEDGER, json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    _write(root / PAGE, page(known))
    for text in notebooks.assignment_texts(root):
        release(text.stem, root=root)
    notebooks.build(root=root)
    return code


def machine():
    """This machine in a few words: "2 cores (AMD EPYC, 24 GB)", with the GPU's name where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    about = [_processor()]
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        about.append(f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB")
    if torch.cuda.is_available():
        about.append(torch.cuda.get_device_name(0))
    return f"{cores} cores ({', '.join(about)})"


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(
            line.partition(":")[2].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def page(known):
    """The page of results, Markdown, of what `doors.ledger` reads."""
    tables = [_table(*each) for machine, sizes in known.items() for each in _sizes(machine, sizes)]
    return "\n".join([HEAD, *(tables or ["Nothing has been run yet.\n"])])


def _sizes(machine, sizes):
    return [(f"Size `{size}` on {machine}", rows) for size, rows in sizes.items() if rows]


def _table(title, rows):
    lines = [f"## {title}", "", "| notebook | minutes | memory, MB | main scores |", "|---|---|---|---|"]  # fmt: skip
    for name, row in rows.items():
        scores = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in row["scores"].items())  # fmt: skip
        lines.append(f"| {name} | {row['seconds'] / 60:.1f} | {row['peak_mb']:,.0f} | {scores} |")
    seconds = sum(row["seconds"] for row in rows.values())
    most = max(row["peak_mb"] for row in rows.values())
    lines.append(f"| **all {len(rows)}** | **{seconds / 60:.1f}** | **{most:,.0f}** at most | |")
    return "\n".join([*lines, ""])


def _write(path, text):
    with writing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
