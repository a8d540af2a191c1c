"""Marks as tables: the course's own, and those that Canvas and Moodle import.

A mark goes out once it is final.  Missing work is an empty cell, never a zero, and what a platform
holds where there is no mark here stays as it is.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from coursekit.errors import CourseError
from coursekit.grading.results.tables import Table, number, plain, shown

CANVAS = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
CANVAS_PEOPLE = {*CANVAS, "LastName", "FirstName", "Integration ID", "Root Account"}
POINTS = "    Points Possible"  # with these blanks, as Canvas writes it
MOODLE = [
    "Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade",
    "Grade can be changed", "Last modified (submission)", "Last modified (grade)",
]  # fmt: skip
FEEDBACK = "Feedback comments"
# Columns of a worksheet that a teacher wrote, and that Moodle reads again letter by letter
MOODLE_KEEPS = {"identifier", "grade", FEEDBACK.lower(), "last modified (grade)"}


@dataclass
class Exported:
    """What came of an export; as text, one line for the teacher.

    marks: how many students have a mark in the file.  missing: {student: why there is none}.
    unfinished: students of whose work a person has still to mark a part; left out unless `so_far`.
    unknown: students with a mark whom the platform's file does not hold.  others: people of that
    file of whom nothing is known here.
    """

    path: Path
    marks: int = 0
    missing: dict = field(default_factory=dict)
    unfinished: list = field(default_factory=list)
    unknown: list = field(default_factory=list)
    others: list = field(default_factory=list)
    so_far: bool = False

    def __str__(self):
        without = [f"{student} ({why})" for student, why in self.missing.items()]
        part = "with their points so far" if self.so_far else "left out"
        told = [f"{self.path}: {self.marks} mark{'' if self.marks == 1 else 's'}"]
        told += _named("without a mark", without)
        told += _named(f"waiting for a person, {part}", self.unfinished)
        told += _named("with a mark, but not in the file given", self.unknown)
        told += _named("in the file given, but not here", self.others)
        return "; ".join(told)


def write_grades(rows, path, name):
    """Writes rows as CSV, one column a question; a cell without a mark stays empty."""
    questions = list(dict.fromkeys(key for row in rows for key in row.questions))
    table = [["assignment", "student", "status", "score", "max_score", "needs_manual_grade"]]
    table[0] += questions
    for row in rows:
        told = [name, plain(row.student), plain(row.status), row.score, row.max_score]
        marks = [row.questions.get(key) for key in questions]
        table.append(told + ["yes" if row.needs_manual_grade else "no"] + marks)
    Table(table).write(path)


def canvas(rows, path, name, *, gradebook=None, people=None, assignment_id=None, unfinished=False):
    """Writes the file that Canvas imports into its gradebook.

    rows: of coursekit.grading.grade.  gradebook: a file exported from Canvas; what is written then
    holds its people and this assignment's column alone, so that no other mark can change.
    people: {student: {"name", "lms_id", "login", …}}, as `read_people` gives it.
    assignment_id: the number of the assignment in Canvas, where its title is another.
    unfinished: also export points of work that a person has still to mark.  Returns Exported.
    Raises CourseError if the gradebook cannot be read or does not fit.
    """
    people = people or {}
    marks = _Marks(rows, path, unfinished)
    if gradebook is None:
        table = _new_canvas(marks, name, people, assignment_id)
    else:
        table = _merged_canvas(marks, Table.read(gradebook), name, people, assignment_id)
    table.write(path)
    return marks.told


def moodle(rows, path, name, *, worksheet=None, people=None, feedback=None, unfinished=False):
    """Writes the offline grading worksheet that Moodle's assignment takes back.

    worksheet: the one downloaded there (in English); without it one is made from the participants'
    numbers of `people`.  feedback: {student: text} for Moodle's feedback comments; comments of
    other students stay.  Otherwise as `canvas`.
    """
    people = people or {}
    marks = _Marks(rows, path, unfinished)
    table = Table.read(worksheet) if worksheet else _new_moodle(marks, people, bool(feedback))
    _merge_moodle(marks, table, people, feedback or {})
    table.write(path)
    return marks.told


def moodle_gradebook(rows, path, name, *, people=None, unfinished=False):
    """Writes a table for Moodle's "Import CSV file" of the gradebook.

    Its user is told by "Username", the student's id here, or by "Email address" where `people` has
    it: choose that in Moodle's preview.  Moodle deletes a grade where a cell is empty, so only
    import into an item that holds no grade from elsewhere.
    """
    marks = _Marks(rows, path, unfinished)
    told = [_person(people or {}, row) for row in rows]
    table = [["Username", "Full name", "Email address", plain(name)]]
    for row, who in zip(rows, told, strict=True):
        login = who.get("login") or row.student
        table.append([*map(plain, (login, who["name"], who.get("email", ""))), marks.of(row)])
    Table(table).write(path)
    return marks.told


class _Marks:
    """The marks of a class as texts for an export, which is told along the way."""

    def __init__(self, rows, path, unfinished):
        self.rows, self.told = rows, Exported(Path(path), so_far=unfinished)
        self.told.missing = {row.student: row.status for row in rows if row.score is None}
        graded = [row for row in rows if row.score is not None]
        self.told.unfinished = [row.student for row in graded if row.needs_manual_grade]
        self.final = {r.student: r for r in graded if unfinished or not r.needs_manual_grade}

    @property
    def points(self):
        """The assignment's points, as text."""
        return shown(max((row.max_score for row in self.rows), default=0.0))

    def of(self, row):
        """A student's mark, "" where there is none."""
        if row.student not in self.final:
            return ""
        self.told.marks += 1
        return shown(row.score)

    def fill(self, lines, column, keys, people, ids):
        """Writes marks into the lines of a platform's table.

        keys: for each line a dict of what tells its person.  ids: function(row, person) → dict of
        the same kind, the surest first.  Returns {student: line}.
        """
        index, found = _index(keys), {}
        for row in self.rows:
            wanted = [_key(*one) for one in ids(row, _person(people, row)).items()]
            place = next((index[one] for one in wanted if index.get(one) is not None), None)
            if place is None:
                self.told.unknown += [row.student] if row.student in self.final else []
            elif place in found.values():
                other = next(student for student, line in found.items() if line == place)
                raise CourseError(
                    f"'{other}' and '{row.student}' are the same person there: keep one of them."
                )
            else:
                found[row.student] = place
                lines[place][column] = self.of(row) or lines[place][column]
        seen = set(found.values())
        self.told.others = [key["name"] for i, key in enumerate(keys) if i not in seen]
        return {student: lines[place] for student, place in found.items()}


# --- Canvas -------------------------------------------------------------------------------------
def _new_canvas(marks, name, people, assignment_id):
    title = f"{name} ({assignment_id})" if assignment_id else name
    table = [[*CANVAS, plain(title)], [POINTS, *[""] * 4, marks.points]]
    for row in marks.rows:
        who = _person(people, row)
        known = _number_in("canvas", who)
        login = who.get("login") or ("" if known else row.student)
        table.append([*map(plain, (who["name"], known, "", login, "")), marks.of(row)])
    return Table(table)


def _merged_canvas(marks, table, name, people, assignment_id):
    head = [title.strip() for title in table.rows[0]]
    if "ID" not in head or not {"Student", "LastName"} & set(head):
        raise CourseError("The gradebook has no columns Student and ID: export it from Canvas.")
    column = _canvas_column(head, name, assignment_id)
    is_person = [not _is_head(line) for line in table.rows[1:]]
    above = [line for line, person in zip(table.rows[1:], is_person, strict=True) if not person]
    lines = [line for line, person in zip(table.rows[1:], is_person, strict=True) if person]
    for line in above:
        _check_points(line[column], marks.points, "Canvas")
    keys = [_canvas_keys(dict(zip(head, line, strict=True))) for line in lines]
    marks.fill(lines, column, keys, people, _canvas_ids)
    wanted = [i for i, title in enumerate(head) if title in CANVAS_PEOPLE]
    kept = [[*(plain(line[i]) for i in wanted), line[column]] for line in lines]
    told = [[*(line[i] for i in wanted), line[column]] for line in [table.rows[0], *above]]
    return Table(told + kept, table.separator, table.mark)


def _is_head(line):
    """Whether a line of a gradebook is about assignments: their points, or how they are posted."""
    words = {cell.strip() for cell in line}
    return "Points Possible" in line[0] or all(
        re.fullmatch("(Muted|Manual Posting.*)?", w) for w in words
    )


def _canvas_column(head, name, assignment_id):
    """Where this assignment stands: by its number, else by its title."""
    found = []
    for i, title in enumerate(head):
        told = re.fullmatch(r"(.*?)\s*(?:\((\d+)\))?", title, re.DOTALL)
        by_number = assignment_id and told[2] == str(assignment_id)
        found += (
            [i] if by_number or (not assignment_id and _letters(told[1]) == _letters(name)) else []
        )
    if len(found) != 1:
        wanted = f"the number {assignment_id}" if assignment_id else f"the title '{name}'"
        raise CourseError(
            f"The gradebook has {len(found)} columns with {wanted}: create the assignment in Canvas "
            "and export again, or give its number, which stands in its address."
        )
    return found[0]


def _canvas_keys(line):
    names = f"{line.get('FirstName', '')} {line.get('LastName', '')}".strip()
    keys = dict(id=line["ID"], login=line.get("SIS Login ID"), sis=line.get("SIS User ID"))
    return keys | dict(name=line.get("Student") or names)


def _canvas_ids(row, who):
    number = who["lms_id"] if who.get("lms") in ("canvas", "", None) else ""
    login = who.get("login") or row.student
    return dict(id=number, login=login, sis=login) | (
        {} if number else dict(email=who.get("email"))
    )


# --- Moodle -------------------------------------------------------------------------------------
def _new_moodle(marks, people, feedback):
    head = MOODLE + [FEEDBACK] * feedback
    table = [head]
    for row in marks.rows:
        who = _person(people, row)
        if known := _number_in("moodle", who):
            status = "No submission" if row.score is None else "Submitted for grading"
            told = [f"Participant {known}", plain(who["name"]), plain(who.get("email", ""))]
            told += [plain(status), "", marks.points, "Yes", "-", "-"]
            table.append(told + [""] * feedback)
    if len(table) == 1:
        raise CourseError(
            "Nobody's number in Moodle is known: download the grading worksheet there and give it."
        )
    return Table(table)


def _merge_moodle(marks, table, people, feedback):
    head = [title.strip().lower() for title in table.rows[0]]
    missing = {"identifier", "grade", "last modified (grade)"} - set(head)
    if missing or (feedback and FEEDBACK.lower() not in head):
        wanted = min(missing, default=FEEDBACK.lower())
        raise CourseError(
            f"The worksheet has no column '{wanted}': set Moodle to English, switch on offline "
            "worksheet and feedback comments in the assignment, and download it again."
        )
    lines = table.rows[1:]
    for line in lines if "maximum grade" in head else ():
        _check_points(line[head.index("maximum grade")], marks.points, "Moodle")
    keys = [_moodle_keys(dict(zip(head, line, strict=True))) for line in lines]
    found = marks.fill(lines, head.index("grade"), keys, people, _moodle_ids)
    for student in feedback.keys() & found.keys():
        found[student][head.index(FEEDBACK.lower())] = plain(feedback[student])
    for line in lines:
        line[:] = [
            cell if title in MOODLE_KEEPS else plain(cell)
            for title, cell in zip(head, line, strict=True)
        ]


def _moodle_keys(line):
    found = re.search(r"(\d+)\s*$", line["identifier"])
    keys = dict(id=found[1] if found else "", email=line.get("email address"))
    keys |= dict(login=line.get("username"), sis=line.get("id number"))
    return keys | dict(name=line.get("full name") or line["identifier"])


def _moodle_ids(row, who):
    login = who.get("login") or row.student
    return dict(
        id=_number_in("moodle", who), login=login, email=who.get("email") or row.student, sis=login
    )


# --- cells and keys -----------------------------------------------------------------------------
def _person(people, row):
    """What is known of a student; the name is the id where there is no other."""
    who = people.get(row.student, {})
    return {**who, "name": who.get("name") or row.student, "lms_id": who.get("lms_id") or ""}


def _number_in(platform, who):
    """A person's number on a platform, "" where it is not known."""
    return who["lms_id"] if who.get("lms") in (platform, "", None) else ""


def _key(kind, value):
    return kind, (value or "").strip().casefold()


def _index(keys):
    """{(kind, value): line}; None for what two lines share."""
    index = {}
    for i, line in enumerate(keys):
        for kind, value in line.items():
            if kind != "name" and (key := _key(kind, value))[1]:
                index[key] = None if key in index else i
    return index


def _check_points(theirs, ours, platform):
    points = number(theirs)
    if "read only" in theirs:
        raise CourseError(f"{platform} does not take marks for this assignment: it is read only.")
    if points is not None and points != float(ours):
        raise CourseError(
            f"{platform} gives {shown(points)} points for the assignment, which has {ours}: set {ours} "
            "there, and export again."
        )


def _letters(text):
    return re.sub(r"[\W_]+", "", text).casefold()


def _named(what, students, most=8):
    """["3 without a mark: a, b, c"], or [] where there is none."""
    more = f" and {len(students) - most} more" if len(students) > most else ""
    return [f"{len(students)} {what}: {', '.join(students[:most])}{more}"] if students else []
