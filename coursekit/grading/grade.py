"""Grading a class with nbgrader: one row for every student, whatever was handed in."""

import csv
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from coursekit.errors import CourseError, writing
from coursekit.grading.bank import points as autograded_points
from coursekit.grading.engine import connect, failure, settings, surroundings
from coursekit.grading.release import built_solution, register
from coursekit.notebooks import course_root, load, quick_import

GRADED = "graded"
# What nbgrader can take as a folder name of a student: no glob or path characters.
STUDENT = re.compile(r"[\w@][\w.@ -]*")


@dataclass
class Row:
    """One student's result.

    status: "graded", or why there is no mark.  score: points so far, None without a mark, so that
    missing work is told apart from a true zero.  questions: {grade_id: points}, None where a person
    has still to mark.  auto_score, auto_max: the part that the tests decide.
    """

    student: str
    status: str
    score: float | None = None
    max_score: float = 0.0
    needs_manual_grade: bool = False
    auto_score: float | None = None
    auto_max: float = 0.0
    questions: dict = field(default_factory=dict)

    @property
    def graded(self):
        """Whether there is a mark."""
        return self.score is not None

    def __str__(self):
        if not self.graded:
            return self.status
        waits = ", written answers wait for a person" if self.needs_manual_grade else ""
        return f"{self.status} {self.score:g}/{self.max_score:g}{waits}"


def grade(name, submitted=None, students=None, *, root=None, class_folder=None, progress=True):
    """Grades assignment `name` for every student, and writes `CLASS/NAME/grades.csv`.

    submitted: the folder with `STUDENT/NAME/NAME.ipynb` (default: `submitted` of the class).
    students: ids to grade (default: every folder there).  class_folder: where copies, graded
    notebooks, feedback and the gradebook go (default .build/class).
    Returns a list of Row, sorted by student.
    A student who handed in nothing, or whose notebook breaks, gets a row that says so.
    Raises CourseError if there is no such assignment, folder or student at all.
    """
    root = Path(root) if root else course_root()
    full = autograded_points(built_solution(name, root))
    class_folder = _class_folder(root, class_folder)
    handed_in = _collect(name, submitted, students, class_folder)
    with surroundings():
        register(name, root=root, class_folder=class_folder)
    api = connect(settings(root, class_folder))
    bar = tqdm(sorted(handed_in.items()), desc=name, unit="student", disable=not progress or None)
    rows = [_grade_one(api, name, student, fault, full) for student, fault in bar]
    write_grades(rows, class_folder / name / "grades.csv", name)
    return rows


def write_grades(rows, path, name):
    """Writes rows as CSV, one column a question; a cell without a mark stays empty."""
    questions = list(dict.fromkeys(key for row in rows for key in row.questions))
    head = ["assignment", "student", "status", "score", "max_score", "needs_manual_grade"]
    with writing(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(head + questions)
        for row in rows:
            told = [name, row.student, row.status, row.score, row.max_score]
            marks = [row.questions.get(key) for key in questions]
            table.writerow(told + ["yes" if row.needs_manual_grade else "no"] + marks)


def _class_folder(root, class_folder):
    if class_folder:
        return Path(class_folder).resolve()
    url = settings(root).CourseDirectory.db_url
    return Path(url.removeprefix("sqlite:///")).parent


def _collect(name, submitted, students, class_folder):
    """{student: why there can be no mark, or ""}; copies work from elsewhere into the class."""
    layout = f"STUDENT/{name}/{name}.ipynb"
    here = class_folder / "submitted"
    source = Path(submitted).resolve() if submitted else here
    if not source.is_dir():
        raise CourseError(f"There is no folder {source}: put work there as {layout}.")
    found = [path.name for path in source.iterdir() if path.is_dir() and path.name[0] != "."]
    chosen = list(students) if students is not None else found
    if not chosen:
        raise CourseError(f"No student's folder lies in {source}: expected {layout}.")
    faults = {student: _fault(name, student, source) for student in chosen}
    for student, fault in faults.items():
        if not fault and source != here:
            _copy(source / student / name, here / student / name)
    return faults


def _copy(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)


def _fault(name, student, source):
    """Why a student's work cannot be given to nbgrader at all; "" if it can."""
    if not STUDENT.fullmatch(student):
        return "the folder's name must be letters, digits, spaces and . _ - @"
    folder = source / student / name
    if not folder.is_dir():
        return "nothing handed in"
    if not (folder / f"{name}.ipynb").is_file():
        others = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        return f"no notebook named {name}.ipynb (found: {others})"
    try:
        load(folder / f"{name}.ipynb")
    except (CourseError, OSError):
        return "not a notebook: the file is not what Jupyter saves"
    return ""


def _grade_one(api, name, student, fault, full):
    row = Row(student, fault or GRADED, auto_max=sum(full.values()))
    with surroundings():
        if not fault:
            result = api.autograde(name, student)
            row.status = GRADED if result["success"] else f"not graded: {failure(result)}"
        _read_marks(api, name, row, full)
        if row.graded:
            result = api.generate_feedback(name, student)
            row.status = GRADED if result["success"] else f"graded, no feedback: {failure(result)}"
    return row


def _read_marks(api, name, row, full):
    """Fills in a row from the gradebook; without a mark only the question names and full points."""
    with quick_import():
        from nbgrader.api import Gradebook
    with Gradebook(api.coursedir.db_url) as book:
        row.max_score = float(book.find_assignment(name).max_score)
        if row.status != GRADED:
            row.questions = {cell.name: None for cell in _graded_cells(book, name)}
            return
        work = book.find_submission(name, row.student)
        grades = [one for notebook in work.notebooks for one in notebook.grades]
        row.questions = {one.name: _points(one) for one in grades}
        row.score = float(work.score)
        # nbgrader asks again after every autograde, also for what a person has marked already
        row.needs_manual_grade = any(
            one.needs_manual_grade and one.manual_score is None for one in grades
        )
        row.auto_score = sum(row.questions.get(key) or 0.0 for key in full)


def _graded_cells(book, name):
    """The assignment's questions with points, in the gradebook's order."""
    notebooks = book.find_assignment(name).notebooks
    return [cell for one in notebooks for cell in [*one.grade_cells, *one.task_cells]]


def _points(one):
    """Points of a question, or None while it waits for a person."""
    waits = one.needs_manual_grade and one.manual_score is None and one.auto_score is None
    return None if waits else float(one.score)
