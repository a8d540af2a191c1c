"""The gradebook of a class, written by nbgrader, and what it says of each student."""

import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from coursekit.errors import CourseError
from coursekit.grading.engine import connect, failure, feedback_pages, settings
from coursekit.grading.parallel import staging
from coursekit.notebooks import grade_id, load, quick_import

GRADED = "graded"
_interrupted = threading.Event()


@dataclass
class Row:
    """One student's result.

    status: "graded", or why there is no mark.  score: points so far, None without a mark, so that
    missing work is told apart from a true zero.  questions: {grade_id: points}, None where a person
    has still to mark.  auto_score, auto_max: the part that the tests decide.  notes: what was
    repaired, and which cells ended the kernel.
    """

    student: str
    status: str
    score: float | None = None
    max_score: float = 0.0
    needs_manual_grade: bool = False
    auto_score: float | None = None
    auto_max: float = 0.0
    questions: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    seconds: float = 0.0
    peak_mb: float = 0.0

    @property
    def graded(self):
        """Whether there is a mark."""
        return self.score is not None

    def __str__(self):
        notes = "".join(f"; {note}" for note in self.notes)
        if not self.graded:
            return self.status + notes
        waits = ", written answers wait for a person" if self.needs_manual_grade else ""
        return f"{self.status} {self.score:g}/{self.max_score:g}{waits}{notes}"


class Book:
    """The gradebook, written by nbgrader, in this process alone."""

    def __init__(self, plan, full):
        config = settings(plan.root, plan.class_folder)
        config.CourseDirectory.submitted_directory = str(staging(plan))
        config.Examine.limits, config.Examine.trust_submissions = plan.limits, plan.trust
        config.Autograde.pop("pre_convert_hook", None)  # `grade` has made the assignment known
        self.api, self.plan, self.full = connect(config), plan, full
        self.feedback = feedback_pages(self.api)

    def name_students(self, handed_in):
        """Gives nbgrader the names of a list of Collected, for Formgrader to show."""
        with self.open() as book:
            for one in handed_in:
                first, _, last = (one.name or one.student).rpartition(" ")
                book.update_or_create_student(one.student, first_name=first, last_name=last)

    def others(self, known):
        """Rows of students whom nbgrader has graded without `coursekit grade`."""
        with self.open() as book:
            graded = {one.student.id for one in book.assignment_submissions(self.plan.name)}
            rows = [Row(student, GRADED) for student in sorted(graded - known)]
            for row in rows:
                row.auto_max = sum(self.full.values())
                self._marks(book, row)
        return rows

    def missing(self, row):
        """A student without work that can be graded: the questions, and no marks."""
        with self.open() as book:
            self._head(book, row)

    def enter(self, row, result):
        """Marks and feedback of an examined submission."""
        name = self.plan.name
        if "error" in result:
            row.status = f"not graded: {result['error']}"
            return self.missing(row)
        row.notes += result["notes"]
        row.seconds, row.peak_mb = result["seconds"], result["peak_mb"]
        written = self._written(row.student)
        told = _done(self.api.autograde(name, row.student))
        if not told["success"]:
            row.status = f"not graded: {failure(told)}"
            return self.missing(row)
        row.status = GRADED
        with self.open() as book:
            self._still_marked(book, row.student, written)
            self._marks(book, row)
        told = _done(self.feedback(name, row.student)) if self.plan.feedback else {"success": True}
        if not told["success"]:
            row.status = f"graded, no feedback: {failure(told)}"

    def _written(self, student):
        """{grade_id: source} of the cells of a student's graded notebook, {} before the first time."""
        name, course = self.plan.name, self.api.coursedir
        path = Path(course.format_path(course.autograded_directory, student, name), f"{name}.ipynb")
        try:
            return {grade_id(cell): cell["source"] for cell in load(path)["cells"]}
        except (CourseError, OSError):
            return {}

    def _still_marked(self, book, student, before):
        """nbgrader asks for every mark given by hand again; where the answer is the same, it stands."""
        now = self._written(student)
        work = book.find_submission(self.plan.name, student)
        for one in (one for notebook in work.notebooks for one in notebook.grades):
            same = now.get(one.name) == before.get(one.name, now.get(one.name))
            if one.manual_score is not None and one.needs_manual_grade and same:
                one.needs_manual_grade = False
        book.db.commit()

    def refresh(self, rows):
        """Reads the marks of graded rows again: a person may have given some since."""
        with self.open() as book:
            for row in rows:
                if row.graded:
                    self._marks(book, row)

    def open(self):
        """nbgrader's Gradebook."""
        with quick_import():
            from nbgrader.api import Gradebook
        return Gradebook(self.api.coursedir.db_url)

    def _head(self, book, row):
        assignment = book.find_assignment(self.plan.name)
        row.max_score = float(assignment.max_score)
        cells = [c for one in assignment.notebooks for c in [*one.grade_cells, *one.task_cells]]
        row.questions = {cell.name: None for cell in cells}

    def _marks(self, book, row):
        """Fills in a row from the gradebook."""
        row.max_score = float(book.find_assignment(self.plan.name).max_score)
        work = book.find_submission(self.plan.name, row.student)
        grades = [one for notebook in work.notebooks for one in notebook.grades]
        row.questions = {one.name: _points(one) for one in grades}
        row.score = float(work.score)
        row.needs_manual_grade = any(one.needs_manual_grade for one in grades)
        row.auto_score = sum(row.questions.get(key) or 0.0 for key in self.full)


@contextmanager
def interruptible():
    """Remembers Ctrl-C in the block: nbgrader takes it for a failure of the student it was busy with.

    What a failure says cannot tell, because students' words may be in it.
    """
    _interrupted.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def remember(*_):
        _interrupted.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _done(told):
    """What a call of nbgrader told, if it was not Ctrl-C that ended it."""
    if _interrupted.is_set():
        raise KeyboardInterrupt
    return told


def _points(one):
    """Points of a question, or None while it waits for a person."""
    waits = one.needs_manual_grade and one.manual_score is None and one.auto_score is None
    return None if waits else float(one.score)
