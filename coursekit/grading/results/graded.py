"""A class that has been graded: its rows as they stand now, for exports and the report."""

import json
from dataclasses import asdict
from pathlib import Path

from coursekit.errors import CourseError, writing
from coursekit.grading.bank import points as autograded_points
from coursekit.grading.build import built_solution
from coursekit.grading.engine import class_folder_of, settings
from coursekit.grading.exam.records import Records
from coursekit.grading.parallel import Plan
from coursekit.grading.results import exports
from coursekit.grading.results.gradebook import Book, Row
from coursekit.grading.results.tables import read_people
from coursekit.notebooks import course_root


def keep_rows(plan, rows):
    """Adds rows to those of earlier gradings, in `CLASS/NAME/rows.json`; returns all, sorted."""
    kept = {row.student: row for row in _stored(plan)} | {row.student: row for row in rows}
    found = [kept[student] for student in sorted(kept)]
    with writing(_path(plan)) as part:
        part.write_text(json.dumps([asdict(row) for row in found], indent=1), encoding="utf-8")
    return found


def _path(plan):
    return plan.class_folder / plan.name / "rows.json"


def _stored(plan):
    try:
        return [Row(**row) for row in json.loads(_path(plan).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


class GradedClass:
    """What `grade` left of a class, with the points that a person has given since.

    Raises CourseError if nothing of the assignment has been graded yet.
    """

    def __init__(self, name, root=None, class_folder=None):
        root = Path(root) if root else course_root()
        folder = class_folder_of(settings(root, class_folder)).resolve()
        self.plan, self.name = Plan(name, root, folder), name
        full = autograded_points(built_solution(name, root))
        rows, book = _stored(self.plan), None
        if (folder / "gradebook.db").exists() or rows:
            book = Book(self.plan, full)
            book.refresh(rows)
            rows += book.others({row.student for row in rows})
        if not rows:
            raise CourseError(f"Nothing of '{name}' is graded yet: call `coursekit grade {name}`.")
        self.rows = sorted(rows, key=lambda row: row.student)
        self.people = read_people(folder / name / "collected.csv")

    def export(self, to, out, into=None, unfinished=False):
        """Writes marks for `to`: csv, canvas, moodle or moodle-gradebook. Returns exports.Exported.

        into: a gradebook exported from Canvas, or a worksheet from Moodle, to be filled in.
        """
        options = dict(people=self.people, unfinished=unfinished)
        if to == "canvas":
            return exports.canvas(self.rows, out, self.name, gradebook=into, **options)
        if to == "moodle":
            return exports.moodle(self.rows, out, self.name, worksheet=into, **options)
        if into is not None:
            raise CourseError(f"--into is for canvas and moodle, not for {to}: leave it out.")
        if to == "moodle-gradebook":
            return exports.moodle_gradebook(self.rows, out, self.name, **options)
        exports.write_grades(self.rows, out, self.name)
        marks = sum(row.graded for row in self.rows)
        return exports.Exported(Path(out), marks)

    def report(self, out):
        """Writes the report of the class, one HTML file."""
        from coursekit.grading.results.report import report

        records = Records(self.plan.class_folder, self.name)
        found = {row.student: records.load(row.student) for row in self.rows if row.graded}
        records = {student: record for student, record in found.items() if record}
        report(self.name, self.rows, records, Path(out), root=self.plan.root)
