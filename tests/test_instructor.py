"""docs/instructor.md tells the truth: its commands lead from an empty term to exported marks."""

import csv
import json
import re
import zipfile

import pytest
from bs4 import BeautifulSoup
from guides import A1, DRY, FORM, ROOT, RUN, Guide, How, commit, copy_course, lines

from coursekit import cli
from coursekit.grading.exam.jobs import LIMITS

GUIDE = ROOT / "docs" / "instructor.md"
WRITTEN, COMMENT = "reading_failures", "Read the *long* captions too."
ADA, GRACE = "lovelaceada_123", "hoppergrace_124"
CLASS = f".build/class/{A1}"
FEEDBACK = f".build/class/feedback/{ADA}/{A1}/{A1}.html"
# As Canvas exports a gradebook: how columns are posted, their points, totals, the test student
GRADEBOOK = """\
Student,ID,SIS User ID,SIS Login ID,Section,Quiz 1 (76),A1: Show and Tell (77),Final Score
,,,,,,Manual Posting,
    Points Possible,,,,,10.00,{points:.2f},(read only)
"Hopper, Grace",124,u124,grace@uni.example,Section 1,8.00,7.00,40
"Lovelace, Ada",123,u123,ada@uni.example,Section 1,9.00,,45
"Student, Test",99,,6f1ed002ab5595859014ebf0951522d9,Section 1,,,
"""
# As Moodle's grading worksheet is downloaded, with ID numbers among the identity fields
WORKSHEET = """\
Identifier,"Full name","ID number","Email address",Status,Grade,"Maximum Grade","Grade can be changed","Last modified (submission)","Last modified (grade)","Feedback comments"
"Participant 11","Grace Hopper",{grace},grace@uni.example,"No submission",,{points:.2f},Yes,-,-,
"Participant 12","Ada Lovelace",{ada},ada@uni.example,"Submitted for grading",,{points:.2f},Yes,"Friday, 3 May 2024, 10:00 AM",-,
"""


# --- what comes from outside -------------------------------------------------------------------
def points(course):
    """All points of the assignment."""
    made = json.loads((course / "assignments" / A1 / f"{A1}.ipynb").read_text())
    told = [cell["metadata"].get("nbgrader", {}) for cell in made["cells"]]
    return sum(one.get("points", 0) for one in told if one.get("grade"))


def download(course):
    """What Canvas gives: one notebook as it was given out, and one empty file."""
    with zipfile.ZipFile(course / "submissions.zip", "w") as bundle:
        given = course / "assignments" / A1 / f"{A1}.ipynb"
        bundle.write(given, f"lovelaceada_LATE_123_456_{A1}-2.ipynb")
        bundle.writestr(f"hoppergrace_124_457_{A1}.ipynb", "")
    told = dict(points=points(course), ada=ADA, grace=GRACE)
    (course / "canvas_gradebook.csv").write_text(GRADEBOOK.format(**told), encoding="utf-8-sig")
    (course / "moodle_worksheet.csv").write_text(WORKSHEET.format(**told), encoding="utf-8-sig")


def mark(course):
    """What Formgrader saves when a person gives points and a comment."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / '.build/class/gradebook.db'}") as book:
        grade = book.find_grade(WRITTEN, A1, A1, ADA)
        grade.manual_score, grade.needs_manual_grade = 3.0, False
        book.find_comment(WRITTEN, A1, A1, ADA).manual_comment = COMMENT
        book.db.commit()


def change_a_test(course):
    """Changes one hidden test, and marks in the record what the tests have said before."""
    text = course / "solutions" / f"{A1}.py"
    old, new = '"two two one"]', '"two two one", "seven"]'
    assert text.read_text(encoding="utf-8").count(old) == 1
    text.write_text(text.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    path = course / CLASS / "records" / f"{ADA}.json"
    record = json.loads(path.read_text())
    for cell in graded_cells(record["notebook"]).values():
        cell["outputs"][0]["evalue"] = "said before"
    path.write_text(json.dumps(record))


def graded_cells(notebook):
    """The cells of a graded notebook's tests: {grade_id: cell}."""
    told = [(cell["metadata"].get("nbgrader", {}), cell) for cell in notebook["cells"]]
    return {o["grade_id"]: cell for o, cell in told if o.get("grade") and not o.get("solution")}


# --- the commands ------------------------------------------------------------------------------
GRADE = f"coursekit grade {A1} --submitted submissions.zip --jobs 2"
AGAIN = f"coursekit grade {A1} --jobs 2"
EXPORT = f"coursekit export {A1} --to"
WITHOUT = rf"1 mark; 1 without a mark: {GRACE} \(not a notebook\)"
HOW = {
    "sudo apt-get install bubblewrap": How(FORM, r"^sudo apt-get install bubblewrap$"),
    "make env": How(DRY, "requirements.txt -e ."),
    ". .venv/bin/activate": How(RUN),
    "coursekit doctor": How(RUN, r"\nwalls +\w"),
    f"coursekit release {A1} --check": How(RUN, "released: ", f"assignments/{A1}/{A1}.ipynb"),
    "coursekit export-students students": How(
        RUN, "none is in it", "students/README.md", before=commit
    ),
    GRADE: How(
        RUN, rf"{GRACE} +not a notebook; (.*\n)+{ADA} +graded 0/", before=download, walls=True
    ),
    "make lab": How(DRY, "-m jupyterlab", before=mark, walls=True),
    f"nbgrader generate_feedback {A1} --force": How(RUN, "", FEEDBACK, walls=True),
    f"coursekit report {A1} --out report.html": How(RUN, "", "report.html", walls=True),
    f"{EXPORT} csv --out marks.csv": How(RUN, "marks.csv: 1 mark", "marks.csv", walls=True),
    f"{EXPORT} canvas --into canvas_gradebook.csv --out to_canvas.csv": How(
        RUN, WITHOUT, "to_canvas.csv", walls=True
    ),
    f"{EXPORT} moodle --into moodle_worksheet.csv --out to_moodle.csv": How(
        RUN, WITHOUT, "to_moodle.csv", walls=True
    ),
    AGAIN: How(RUN, rf"{ADA} +graded 3/", before=change_a_test, walls=True),
}


@pytest.fixture(scope="module")
def guide(tmp_path_factory):
    """The guide, ready to run in a copy of the course."""
    return Guide(GUIDE, HOW, copy_course(tmp_path_factory.mktemp("course")))


@pytest.mark.parametrize("line", lines(GUIDE))
def test_command_of_the_guide_works(guide, line):
    guide.works(line)


def test_every_way_of_testing_is_still_used():
    assert set(HOW) - set(lines(GUIDE)) == set()


# --- what they write ---------------------------------------------------------------------------
def after(guide, start):
    """The course once the line that begins so has been tested."""
    guide.works(next(line for line in HOW if line.startswith(start)))
    return guide.course


def table(path):
    """A file's lines as lists of texts."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


def test_students_get_no_answers_and_all_else(guide):
    students = after(guide, "coursekit export-students students") / "students"
    assert (students / f"assignments/{A1}/{A1}.ipynb").is_file()
    assert (students / "Makefile").is_file()
    assert not (students / "solutions").exists() and not (students / "tests").exists()


def test_who_is_who_is_kept(guide):
    course = after(guide, GRADE)
    head, *rows = table(course / CLASS / "collected.csv")
    who = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert {key: (one["lms"], one["lms_id"], one["late"]) for key, one in who.items()} == {
        ADA: ("canvas", "123", "yes"),
        GRACE: ("canvas", "124", "no"),
    }
    copies = course / ".build/class/submitted"
    assert [path.parts[-3] for path in copies.glob("*/*/*.ipynb")] == [ADA]


def test_feedback_has_the_marks_and_the_comment_but_no_hidden_test(guide):
    page = (after(guide, "nbgrader generate_feedback") / FEEDBACK).read_text(encoding="utf-8")
    told = " ".join(BeautifulSoup(page, "html.parser").get_text().split())
    assert "(Score: 3.0 / 50.0)" in told and "Read the long captions too." in told
    assert "○ lstm_step: not written yet" in told
    assert "Snow, snow and SNOW!" not in page and "BEGIN HIDDEN" not in page


def test_the_report_names_who_has_no_mark_and_why(guide):
    page = (after(guide, "coursekit report") / "report.html").read_text(encoding="utf-8")
    told = " ".join(BeautifulSoup(page, "html.parser").get_text(" ").split())
    assert GRACE in told and "not a notebook" in told and WRITTEN in told


def test_missing_work_is_an_empty_cell_in_the_course_s_own_table(guide):
    head, *rows = table(after(guide, f"{EXPORT} csv") / "marks.csv")
    marks = {row[1]: dict(zip(head, row, strict=True)) for row in rows}
    assert [marks[one]["score"] for one in (ADA, GRACE)] == ["3.0", ""]
    assert (marks[ADA][WRITTEN], marks[ADA]["lstm_step_open"]) == ("3.0", "0.0")
    assert set(marks[GRACE].values()) == {A1, GRACE, "not a notebook", "", "50.0", "no"}


def test_canvas_gets_this_column_alone_and_keeps_what_it_has(guide):
    course = after(guide, f"{EXPORT} canvas")
    head, *rows = table(course / "to_canvas.csv")
    assert head[:2] == ["Student", "ID"] and head[5:] == ["A1: Show and Tell (77)"]
    assert {row[0]: row[5] for row in rows} == {
        "": "Manual Posting",
        "    Points Possible": "50.00",
        "Hopper, Grace": "7.00",
        "Lovelace, Ada": "3",
        "Student, Test": "",
    }
    told = GRADEBOOK.format(points=points(course))
    assert (course / "canvas_gradebook.csv").read_text(encoding="utf-8-sig") == told


def test_moodle_gets_its_worksheet_with_the_grades(guide):
    course = after(guide, f"{EXPORT} moodle")
    before, now = (table(course / name) for name in ("moodle_worksheet.csv", "to_moodle.csv"))
    assert now[2][5] == "3" and before[2][5] == ""
    now[2][5] = ""
    assert now == before


def test_only_the_changed_test_was_run_again(guide):
    path = after(guide, AGAIN) / CLASS / "records" / f"{ADA}.json"
    tests = graded_cells(json.loads(path.read_text())["notebook"])
    told = {key: cell["outputs"][0]["evalue"] for key, cell in tests.items()}
    assert told.pop("vocabulary_hidden") == "○ vocabulary, on other data: not written yet"
    assert len(told) == 15 and set(told.values()) == {"said before"}


# --- what it says ------------------------------------------------------------------------------
def text():
    """The guide in one line."""
    return " ".join(GUIDE.read_text(encoding="utf-8").split())


def test_limits_are_those_of_the_code():
    minutes = [LIMITS[key] / 60 for key in ("cell_seconds", "test_seconds", "total_seconds")]
    sizes = LIMITS["memory"] / 2**30, LIMITS["disk"] / 2**20
    told = (
        "An examination gives a cell {:g} minutes, a test {:g}, a submission {}, {:g} GiB of memory"
    )
    hour = {60: "an hour"}[minutes[2]]
    assert (told + " and {:g} MiB of disk").format(*minutes[:2], hour, *sizes) in text()


def test_options_that_it_names_are_there(capsys):
    known = ""
    for command in ("release", "grade", "export", "report"):
        with pytest.raises(SystemExit):
            cli._parser().parse_args([command, "--help"])
        known += capsys.readouterr().out
    named = set(re.findall(r"`(--[\w-]+)", text()))
    assert len(named) >= 8 and {one for one in named if one not in known} == set()


def test_verdicts_that_it_explains_are_those_of_the_code():
    rows = GUIDE.read_text(encoding="utf-8").partition("## What a row says")[2]
    cells = re.findall(r"^\| (.*?) \|", rows.partition("\n## ")[0], re.M)[2:]
    told = re.findall(r"`([^`]+)`", " ".join(cells))
    parts = {part.strip() for one in told for part in one.split("…")} - {"", "graded 30/50"}
    parts = {re.sub(r" in( cell)?$", "", part) for part in parts}  # what follows names the cell
    code = "\n".join(p.read_text() for p in (ROOT / "coursekit" / "grading").rglob("*.py"))
    assert len(parts) >= 9 and {part for part in parts if part not in code} == set()
