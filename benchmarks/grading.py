"""Grading against plain nbgrader: the same submissions, in one run.

    python benchmarks/grading.py [--students 20] [--jobs 2] [--repeats 1]

Each submission imports torch and answers two questions. Plain nbgrader is `nbgrader autograde` with
its own kernel and preprocessors; ours is `coursekit grade --no-feedback`, for nbgrader's makes none.
Both start from nothing. Prints seconds, the ratio of the medians, and the seconds to our first line.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    import sqlite3

    with sqlite3.connect(course / ".build/class/gradebook.db") as book:
        return book.execute("select sum(auto_score) from grade").fetchone()[0]


def once(students, jobs):
    """Both sides on fresh courses: (plain seconds, our seconds, our seconds to the first line)."""
    with tempfile.TemporaryDirectory() as folder:
        plain, ours = (make_course(Path(folder) / side) for side in ("plain", "ours"))
        hand_in(plain, students)
        hand_in(ours, students)
        config = plain / "nbgrader_config.py"
        config.write_text(config.read_text() + PLAIN)
        run(plain, "nbgrader", "generate_assignment", "bench", "--force")
        slow, _ = run(plain, "nbgrader", "autograde", "bench")
        quick, first = run(
            ours, "coursekit", "grade", "bench", "--no-feedback", "--jobs", str(jobs)
        )
        assert total(plain) == total(ours) == 5 * students, (total(plain), total(ours))
    return slow, quick, first


def main():
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--students", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    slow, quick, first = zip(
        *(once(options.students, options.jobs) for _ in range(options.repeats)), strict=True
    )
    middle = statistics.median
    print(f"plain nbgrader    {middle(slow):6.1f} s for {options.students} submissions")
    print(f"coursekit grade   {middle(quick):6.1f} s with {options.jobs} jobs")
    print(f"                  {middle(slow) / middle(quick):6.1f} times as fast")
    print(f"to the first line {middle(first):6.2f} s")


if __name__ == "__main__":
    main()
