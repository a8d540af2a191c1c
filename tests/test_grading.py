"""Grading a small class with nbgrader: good, wrong, missing and broken work."""

import csv
import json
import re
import shutil

import pytest
from small_course import FULL, answered, make_released, released, source

from coursekit.errors import CourseError
from coursekit.grading import bank
from coursekit.grading.grade import grade
from coursekit.grading.sample_class import make_class

GRADED = {"perfect": 9, "blank": 0, "wrong-int": 6, "wrong-two": 4, "noisy": 9, "exit": 2}
# Broken work that is graded all the same
MENDED = {"dead": 0, "doubled": 0, "misnamed": 0}
pytestmark = pytest.mark.walls
NOISY = """\
import sys, warnings
from tqdm import tqdm

def double(x):
    warnings.warn("careful")
    return sum(x for _ in tqdm(range(2)))
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return make_released(tmp_path_factory.mktemp("course"))


@pytest.fixture
def own_course(course, tmp_path):
    """A copy that a test may break."""
    shutil.copytree(course, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".build"))
    return tmp_path


@pytest.fixture(scope="module")
def hand_in(course):
    """A class's good, wrong and broken work, outside the course's own class folder."""
    folder = course / "work"
    make_class("small", folder, root=course)

    def write(student, content, name="small.ipynb"):
        path = folder / "submitted" / student / "small" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_text(content)

    solved = {"double": NOISY, "largest": "largest_of_all = 3"}
    write("noisy", answered(released(course), solved))
    write("exit", answered(released(course), solved | {"double": "raise SystemExit"}))
    write("dead", answered(released(course), {"double": "import os\nos._exit(1)"}))
    write("broken", '{"cells": [')
    write("empty", "")
    write("misnamed", released(course).read_text(), name="small (1).ipynb")
    (folder / "submitted" / "absent").mkdir()
    (folder / "submitted" / "a[b]").mkdir()
    doubled = json.loads(released(course).read_text())
    doubled["cells"].append(doubled["cells"][3])
    write("doubled", json.dumps(doubled))
    return folder / "submitted"


@pytest.fixture(scope="module")
def rows(course, hand_in):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/usr/bin:/bin")  # nbgrader must find alembic all the same
        found = grade("small", hand_in, root=course, progress=False)
    return {row.student: row for row in found}


def test_every_student_has_a_row(rows, hand_in):
    names = {path.name for path in hand_in.iterdir()} - {"a[b]"} | {"a_b_"}
    assert set(rows) == names


@pytest.mark.parametrize("student, points", (GRADED | MENDED).items())
def test_marks(rows, student, points):
    row = rows[student]
    assert (row.status, row.score, row.auto_score) == ("graded", points, points)
    assert (row.max_score, row.auto_max) == (14, 9)


def test_a_row_reads_as_one_line(rows):
    assert str(rows["perfect"]) == "graded 9/14, written answers wait for a person"
    assert str(rows["blank"]) == "graded 0/14"
    assert str(rows["absent"]) == "nothing handed in"


def test_points_by_question(rows):
    assert rows["wrong-two"].questions == {
        "test_double": 3.0,
        "test_largest": 0.0,
        "test_share": 1.0,
        "explain": None,
    }


def test_written_work_waits_for_a_person_and_none_does_not(rows):
    assert rows["perfect"].needs_manual_grade
    assert rows["perfect"].questions["explain"] is None
    assert not rows["blank"].needs_manual_grade
    assert rows["blank"].questions["explain"] == 0


@pytest.mark.parametrize(
    "student, why",
    [
        ("broken", "not a notebook"),
        ("empty", "not a notebook"),
        ("absent", "nothing handed in"),
    ],
)
def test_work_without_a_mark_says_why_and_is_no_zero(rows, student, why):
    row = rows[student]
    assert re.match(f".*{why}", row.status)
    assert row.score is None and not row.graded
    assert row.max_score == 14
    assert set(row.questions.values()) == {None} and len(row.questions) == 4


def test_grades_csv_has_every_row_and_tells_missing_from_zero(rows, course):
    with open(course / ".build/class/small/grades.csv", newline="") as file:
        table = {line["student"]: line for line in csv.DictReader(file)}
    assert sorted(table) == sorted(rows)
    assert table["blank"]["score"] == "0.0" and table["absent"]["score"] == ""
    assert table["wrong-int"]["test_double"] == "0.0"
    assert table["perfect"]["needs_manual_grade"] == "yes"


def test_feedback_is_written_for_the_graded(rows, course):
    folder = course / ".build/class/feedback"
    assert sorted(path.name for path in folder.iterdir()) == sorted(GRADED | MENDED)
    assert "double must keep fractions" in (folder / "wrong-int/small/small.html").read_text()


def test_work_handed_in_elsewhere_stays_as_it_was(rows, hand_in, course):
    assert (hand_in / "broken/small/small.ipynb").read_text() == '{"cells": ['
    assert (course / ".build/class/submitted/perfect/small/small.ipynb").is_file()


def test_quick_marks_equal_nbgraders(rows, course):
    """The bank's runner and nbgrader give the same points, question by question."""
    wrong, _ = bank.load_bank("small", course)
    answers = {f"wrong-{entry.name}": {entry.question: entry.source} for entry in wrong}
    answers |= {"perfect": {}, "blank": bank.stubs(released(course)), "noisy": {"double": NOISY}}
    answers |= {"exit": {"double": "raise SystemExit"}}
    for student, replacements in answers.items():
        quick, _ = bank.marks(source(course), replacements)
        graded = rows[student].questions
        assert quick == {key: graded[key] for key in FULL}, student


def test_grading_again_gives_the_same_and_may_name_students(rows, course):
    again = grade("small", students=["nobody", "blank"], root=course, progress=False)
    assert [(row.student, row.status, row.score) for row in again] == [
        ("blank", "graded", 0.0),
        ("nobody", "nothing handed in", None),
    ]


def test_a_class_without_assignment_folder_or_students_is_told(course, tmp_path):
    with pytest.raises(CourseError, match="no assignment 'nothing'"):
        grade("nothing", tmp_path / "nowhere", root=course)
    with pytest.raises(CourseError, match="no folder .*STUDENT/small/small.ipynb"):
        grade("small", tmp_path / "nowhere", root=course)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CourseError, match="No student's folder"):
        grade("small", tmp_path / "empty", root=course)


def test_changed_questions_after_grading_are_told(rows, own_course, course):
    """nbgrader cannot add a question where there are marks: one sentence, no traceback."""
    text = own_course / "solutions" / "small.py"
    text.write_text(text.read_text().replace('"grade_id": "test_share"', '"grade_id": "test_new"'))
    folder = own_course / "class"
    shutil.copytree(course / ".build" / "class", folder)
    with pytest.raises(CourseError, match="cannot enter the gradebook .*submissions"):
        grade("small", students=["blank"], root=own_course, class_folder=folder)


def test_sample_class_hands_in_what_a_student_could(course, tmp_path):
    expected = make_class("small", tmp_path, wrong=1, root=course)
    assert expected == {
        "perfect": FULL,
        "blank": dict.fromkeys(FULL, 0.0),
        "wrong-int": FULL | {"test_double": 0.0},
    }
    work = tmp_path / "submitted" / "perfect" / "small" / "small.ipynb"
    assert "keep fractions" not in work.read_text() and "BEGIN" not in work.read_text()
    assert "twice_of_it" in work.read_text()
