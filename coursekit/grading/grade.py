"""Grading a class: one row for every student, whatever was handed in.

All submissions are examined side by side; this process alone writes the gradebook, by nbgrader.
"""

import time
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from coursekit.errors import CourseError
from coursekit.grading.bank import points as autograded_points
from coursekit.grading.build import built_solution
from coursekit.grading.engine import class_folder_of, settings, surroundings
from coursekit.grading.exam import zygote
from coursekit.grading.intake.collect import NOTHING, Collected, collect
from coursekit.grading.parallel import Plan, examined
from coursekit.grading.release import register
from coursekit.grading.results.exports import write_grades
from coursekit.grading.results.gradebook import Book, Row, interruptible
from coursekit.grading.results.graded import keep_rows
from coursekit.notebooks import course_root


def grade(name, submitted=None, students=None, *, root=None, class_folder=None, **how):
    """Grades assignment `name` for every student, and writes `CLASS/NAME/grades.csv`.

    submitted: a folder or zip, or a list of them (default: `submitted` of the class).
    students: ids to grade (default: all found).  class_folder: where copies, graded notebooks,
    feedback and the gradebook go (default .build/class).  how: `jobs` submissions side by side, on
    the Dask cluster at `dask`, without walls if `trust`, with `progress` and `feedback` pages.
    Returns a list of Row, sorted by student.  What an earlier, broken-off run has examined is not
    examined again.
    Raises CourseError if there is no such assignment, folder or student at all, or no walls.
    """
    plan = plan_for(name, root, class_folder, **how)
    root = plan.root
    full = autograded_points(built_solution(name, root))
    handed_in = _handed_in(plan, submitted, students)
    _say(plan, f"{name}: {len(handed_in)} students")
    rows = {one.student: _row(one, full) for one in handed_in}
    with surroundings():
        register(name, root=root, class_folder=plan.class_folder)
        book = Book(plan, full)
        book.name_students(handed_in)
        with interruptible():
            _all(plan, handed_in, rows, book)
    found = sorted(rows.values(), key=lambda row: row.student)
    write_grades(keep_rows(plan, found), plan.class_folder / name / "grades.csv", name)
    return found


def _row(one, full):
    return Row(one.student, one.status, notes=list(one.notes), auto_max=sum(full.values()))


def plan_for(name, root=None, class_folder=None, **how):
    """The Plan of an assignment's grading; what examines submissions begins to warm up."""
    root = Path(root) if root else course_root()
    config = settings(root, class_folder)
    how.setdefault("limits", dict(config.Examine.get("limits", {})))
    how["trust"] = bool(how.get("trust") or config.Examine.get("trust_submissions", False))
    if how.get("dask") is None:
        zygote.shared(how["trust"])
    return Plan(name, root, class_folder_of(config).resolve(), **how)


def _say(plan, text):
    """One line of progress, at once."""
    if plan.progress:
        print(text, flush=True)


def _handed_in(plan, submitted, students):
    """What came, as a list of Collected, one a student."""
    here = plan.class_folder / "submitted"
    layout = f"STUDENT/{plan.name}/{plan.name}.ipynb"
    sources = [submitted] if isinstance(submitted, (str, Path)) else list(submitted or [here])
    for source in map(Path, sources):
        if not source.exists():
            raise CourseError(f"There is no folder {source}: put work there as {layout}.")
    found = {one.student: one for one in collect(plan.name, sources, plan.class_folder, plan.root)}
    chosen = found if students is None else dict.fromkeys(students)
    if not chosen:
        raise CourseError(f"No student's folder lies in {sources[0]}: expected {layout}.")
    return [found.get(one) or Collected(one, NOTHING, [], None) for one in chosen]


def _all(plan, handed_in, rows, book):
    """Examines all work, and puts each student's marks into the gradebook as they come."""
    started, width = time.perf_counter(), max(map(len, rows))
    off = not plan.progress or None  # None: a bar on a terminal alone
    with tqdm(total=len(rows), desc=plan.name, unit="student", disable=off) as bar:

        def done(row):
            if plan.progress:
                bar.write(f"{row.student:{width}}  {row}")
            bar.update()

        for one in handed_in:
            if one.path is None:
                book.missing(rows[one.student])
                done(rows[one.student])
        for student, result in examined(plan, [one for one in handed_in if one.path], rows):
            book.enter(rows[student], result)
            done(rows[student])
    counts = Counter("graded" if row.graded else row.status for row in rows.values())
    told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    _say(plan, f"{told}; {time.perf_counter() - started:.0f} s")
