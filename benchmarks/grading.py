"""Grading against plain nbgrader: the same submissions, in one run.

    python benchmarks/grading.py [--students 20] [--threads 2] [--repeats 1]

Each submission imports torch and answers two questions. Plain nbgrader is `nbgrader autograde` with its own kernel and
preprocessors; ours is `coursekit grade --no-feedback`, for nbgrader's makes none, with as many jobs as threads. Both
start from nothing, in a course of their own that is made before the clock starts; a class of one warms both up. Seconds
are wall time. What bounds both is one core's Python: the note tells how many seconds a plain `import torch` takes
here, which each submission would pay in a process of its own. Ends with exit code 1 if the points differ.
"""

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness

ROOT = Path(__file__).resolve().parents[1]
OWN = '"schema_version": 3, "task": false'
ASSIGNMENT = f"""\
# %% nbgrader={{"grade_id": "imports", "grade": false, "locked": true, "solution": false, {OWN}}}
import torch

# %% nbgrader={{"grade_id": "softmax", "grade": false, "locked": false, "solution": true, {OWN}}}
def softmax(x):
    ### BEGIN SOLUTION
    e = (x - x.max()).exp()
    return e / e.sum()
    ### END SOLUTION

# %% nbgrader={{"grade_id": "test_softmax", "grade": true, "points": 3, "locked": true, "solution": false, {OWN}}}
x = torch.tensor([1.0, 2.0, 3.0])
assert torch.allclose(softmax(x), torch.softmax(x, 0))
### BEGIN HIDDEN TESTS
assert torch.allclose(softmax(1000 * x), torch.softmax(1000 * x, 0))
### END HIDDEN TESTS

# %% nbgrader={{"grade_id": "mean", "grade": false, "locked": false, "solution": true, {OWN}}}
def mean(x):
    ### BEGIN SOLUTION
    return x.sum() / x.numel()
    ### END SOLUTION

# %% nbgrader={{"grade_id": "test_mean", "grade": true, "points": 2, "locked": true, "solution": false, {OWN}}}
assert float(mean(torch.arange(4.0))) == 1.5
"""
PLAIN = "\nfor name in ('Autograde', 'GenerateFeedback'):\n    c.pop(name, None)\nc.Execute.timeout = 900\n"


def make_course(folder):
    """A course with one assignment, released; its folder."""
    from coursekit.grading.release import release

    (folder / "course").mkdir(parents=True)
    (folder / "solutions").mkdir()
    (folder / "solutions" / "bench.py").write_text(ASSIGNMENT)
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    release("bench", root=folder)
    return folder


def hand_in(course, students):
    """Every student hands in the solution."""
    source = course / "solutions" / "bench" / "bench.ipynb"
    for number in range(students):
        target = course / ".build/class/submitted" / f"s{number:03}" / "bench"
        target.mkdir(parents=True)
        shutil.copy(source, target)


def run(course, *command):
    """Seconds of a command, and seconds to its first line."""
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    started, first = time.perf_counter(), None
    with subprocess.Popen(
        command, cwd=course, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for _ in process.stdout:
            first = first or time.perf_counter() - started
    assert process.returncode == 0, f"{command} failed"
    return time.perf_counter() - started, first


def total(course):
    """The points of all students together, from the gradebook."""
    with sqlite3.connect(course / ".build/class/gradebook.db") as book:
        return book.execute("select sum(auto_score) from grade").fetchone()[0]


def ways(folder, students, jobs):
    """name → (what makes a course, what grades it and returns all points and the seconds to the first line)."""

    def course(plain):
        made = make_course(Path(tempfile.mkdtemp(dir=folder)))
        hand_in(made, students)
        if plain:
            config = made / "nbgrader_config.py"
            config.write_text(config.read_text() + PLAIN)
            run(made, "nbgrader", "generate_assignment", "bench", "--force")
        return made

    def graded(made, *command):
        _, first = run(made, *command)
        return total(made), first

    grade = ("coursekit", "grade", "bench", "--no-feedback", "--jobs", str(jobs))
    return {
        harness.OURS: (lambda: course(False), lambda made: graded(made, *grade)),
        "nbgrader": (
            lambda: course(True),
            lambda made: graded(made, "nbgrader", "autograde", "bench"),
        ),
    }


def rows(options):
    """One row: a class graded by both."""
    right = 5 * options.students

    def agree(mine, other):
        return all(points == right for points, _ in [*mine, *other])

    with tempfile.TemporaryDirectory() as folder:
        warm, tasks = (ways(folder, count, options.threads) for count in (1, options.students))
        harness.measure(warm, 0)
        # A turn of warming up with the whole class would take as long as one that counts
        found = harness.measure(tasks, options.repeats, options.clock, warm=False)
    first = statistics.median(seconds for _, seconds in found[harness.OURS][1])
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    note = f"to our first line {first:.1f} s; one import of torch {time.perf_counter() - started:.1f} s"
    name = f"{options.students} submissions, {options.threads} jobs"
    yield harness.row(name, found, options.students, "submissions", agree=agree, note=note)


def main():
    """Prints the comparison."""
    parser = harness.parser(__doc__, repeats=1, threads=2)
    parser.add_argument("--students", type=int, default=20)
    options = harness.begin(parser.parse_args())
    options.clock = (
        time.perf_counter
    )  # programs that others start and wait for have no CPU time here
    harness.report("grading", rows(options), options)


if __name__ == "__main__":
    main()
