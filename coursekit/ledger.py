"""Runs the course, and keeps each notebook's time, peak memory and main scores.

Each notebook starts with an empty COURSEKIT_HOME (unless that variable is set), so that the time
in the ledger is the time of training, not of finding what an earlier run had trained.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from importlib.metadata import requires
from pathlib import Path

from coursekit import notebooks
from coursekit.errors import CourseError, writing
from coursekit.imports import reached
from coursekit.running import Run, run_notebook

SCORE_WIDTH = 44
WRONG = 1  # students of the sample class with a wrong answer: every answer of the bank is tried by the tests


def run_course(size, lessons=None, *, root=None):
    """Runs lessons and assignments at `size`, prints one table, and returns the exit code.

    lessons: a string ("00 03") or a list of beginnings of names; default all, assignments too.
    A row appears as its notebook finishes; one that is ok and unchanged since is not run again.
    Executed notebooks and the record `ledger.json` lie in `.build/course`.  Returns 1 if anything
    failed, 130 if stopped by Ctrl-C (what had finished is kept).
    Raises CourseError if `lessons` names nothing.
    """
    root = Path(root) if root else notebooks.course_root()
    notebooks.build(root=root)
    texts = chosen(root, lessons)
    table = Table([text.stem for text in texts])
    ledger = Ledger(root / ".build" / "course" / "ledger.json")
    try:
        rows = [_one(text, size, root, ledger, table) for text in texts]
    except KeyboardInterrupt:
        print("\nStopped. What had finished is kept; the same command goes on from here.")
        return 130
    table.end(rows, size)
    return 0 if all(row.ok for row in rows) else 1


def chosen(root, lessons):
    """The text masters of lessons and assignments whose names begin as `lessons` says; all for None."""
    texts = notebooks.lesson_texts(root) + notebooks.assignment_texts(root)
    wanted = lessons.split() if isinstance(lessons, str) else list(lessons or [])
    for name in wanted:
        if not any(text.stem.startswith(name) for text in texts):
            raise CourseError(f"No lesson or assignment begins with '{name}': see course/.")
    return [t for t in texts if not wanted or any(t.stem.startswith(name) for name in wanted)]


def _one(text, size, root, ledger, table):
    """The Run of one lesson or assignment: from the ledger if nothing changed, else run now."""
    key, state = f"{size}/{text.stem}", fingerprint(text, size, root)
    run = ledger.unchanged(key, state)
    if run:
        table.row(text.stem, run, "ok, unchanged")
        return run
    table.begin(text.stem)
    run = (_assignment if text.parent.name == "solutions" else _lesson)(text, size, root)
    ledger.keep(key, state, run)
    table.row(text.stem, run, "ok" if run.ok else "FAILED")
    return run


def fingerprint(text, size, root):
    """A hash of what a notebook's result depends on: text, what it can import, locked versions, size."""
    root, digest = Path(root), hashlib.sha256(f"{size} {sys.version}".encode())
    own = [text]
    if text.parent.name == "solutions":
        grading = sorted(Path(__file__).with_name("grading").glob("*.py"))
        own += [text.with_name(f"{text.stem}_bank.py"), root / "nbgrader_config.py", *grading]
    sources = reached(*(path for path in own if path.is_file()))
    for path in [*own, *sorted(sources)]:
        digest.update(path.name.encode() + (path.read_bytes() if path.is_file() else b"-"))
    digest.update("\n".join(_locked(root / "requirements.txt")).encode())
    return digest.hexdigest()


def _locked(lock):
    """The lines of the lock that name what coursekit itself needs: a tool of the builders changes no result."""
    needed = {_package(each) for each in requires("coursekit") or [] if "extra ==" not in each}
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.is_file() else []
    return [line for line in lines if _package(line) in needed]


def _package(requirement):
    return re.match(r"[\w.-]*", requirement).group().lower()


def _lesson(text, size, root):
    target = root / ".build" / "course" / size / f"{text.stem}.ipynb"
    with tempfile.TemporaryDirectory(prefix="coursekit-home-") as empty:
        home = os.environ.get("COURSEKIT_HOME") or empty
        return run_notebook(notebooks.notebook_path(text), target, size, COURSEKIT_HOME=home)


def _assignment(text, size, root):
    """Releases an assignment, runs its solution, grades a sample class; one Run for all of it."""
    from coursekit.grading import release

    started = time.perf_counter()
    try:
        release.release(text.stem, root=root)
        run = _lesson(text, size, root)
        if run.ok:
            run.scores, run.error = _sample_class(text.stem, size, root)
            run.ok = not run.error
    except CourseError as error:
        run = Run(False, 0.0, 0.0, error=str(error))
    run.seconds = round(time.perf_counter() - started, 2)
    return run


def _sample_class(name, size, root):
    """A sample class's scores, `{"perfect": "40/40", "blank": "0/40"}`, and what is wrong or ""."""
    from coursekit.grading import engine, grade, sample_class
    from coursekit.grading.exam import walls

    folder = root / ".build" / "course" / size / f"{name}.class"
    shutil.rmtree(folder, ignore_errors=True)
    with engine.variables(COURSEKIT_SIZE=size):
        expected = sample_class.make_class(name, folder, wrong=WRONG, root=root)
        how = dict(trust=bool(walls.missing()), progress=False)  # the sample class is our own
        rows = grade.grade(name, students=list(expected), root=root, class_folder=folder, **how)
    wrong = [_difference(row, expected[row.student]) for row in rows]
    scores = {row.student: f"{row.auto_score or 0:g}/{row.auto_max:g}" for row in rows}
    shown = {student: scores[student] for student in ("perfect", "blank")}
    return shown, "\n".join(line for line in wrong if line)


def _difference(row, expected):
    """How a student's marks differ from what they must be, in one line; "" if they do not."""
    if not row.graded:
        return f"{row.student}: {row.status}"
    got = row.questions
    odd = [
        f"{got.get(key)} for {key} ({due:g})"
        for key, due in expected.items()
        if got.get(key) != due
    ]
    return f"{row.student} got {', '.join(odd)}" if odd else ""


class Ledger:
    """The record on disk: {size/name: its fingerprint and its Run}, saved after every notebook."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            self.rows = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.rows = {}

    def unchanged(self, key, state):
        """The Run of `key` if it was ok in this very state, else None."""
        row = self.rows.get(key, {})
        return Run(**row["run"]) if row.get("state") == state and row["run"]["ok"] else None

    def keep(self, key, state, run):
        """Writes down one Run."""
        when = time.strftime("%Y-%m-%d %H:%M:%S")
        self.rows[key] = dict(state=state, when=when, run=vars(run))
        text = json.dumps(self.rows, indent=1) + "\n"
        with writing(self.path) as part:
            part.write_text(text, encoding="utf-8")


class Table:
    """The table on the screen: aligned columns, a row at a time."""

    def __init__(self, names):
        self.width = max([len(name) for name in names] + [len("lesson or assignment")])
        self.started = time.perf_counter()
        self._print("lesson or assignment", "minutes", "peak MB", "main score", "result")

    def _print(self, name, minutes, memory, score, result):
        cells = f"{name:{self.width}}  {minutes:>7}  {memory:>7}  {score:{SCORE_WIDTH}}  {result}"
        print(f"\r{cells}" if sys.stdout.isatty() else cells, flush=True)

    def begin(self, name):
        """On a terminal, tells what is running until its row replaces the line."""
        if sys.stdout.isatty():
            print(f"{name:{self.width}}  running …", end="", flush=True)

    def row(self, name, run, result):
        """One finished notebook, and below it the end of its error if it failed."""
        told = ", ".join(f"{key} {value}" for key, value in run.scores.items())
        told = told if len(told) <= SCORE_WIDTH else told[: SCORE_WIDTH - 1] + "…"
        self._print(name, f"{run.seconds / 60:.2f}", f"{run.peak_mb:.0f}", told or "-", result)
        for line in run.error.splitlines():
            print(f"    {line}", flush=True)

    def end(self, rows, size):
        """The closing line."""
        good = f"{sum(row.ok for row in rows)} of {len(rows)} ok at size {size}"
        minutes = (time.perf_counter() - self.started) / 60
        print(f"{good} in {minutes:.1f} min; with outputs in .build/course/{size}")
