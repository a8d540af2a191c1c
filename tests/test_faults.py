"""A class of broken, hostile and good submissions mixed: every row gets the verdict it must get."""

import csv
import os
import re
import socket
import sqlite3

import faults
import psutil
import pytest
from small_course import make_released, released

from coursekit.grading.grade import grade

pytestmark = pytest.mark.walls
# One cell reads every notebook and database that the walls show: on a cluttered disk that takes seconds
LIMITS = dict(cell_seconds=10, test_seconds=6, memory=2**30, total_seconds=120, processes=64)
GOOD = 12


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return make_released(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def listener():
    """A server on this machine that no submission must reach: {"reached": bool}."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture(scope="module")
def rows(course, listener):
    """The graded class: {student: (Row, Fault)}."""
    folder = course / "work"
    port = listener.getsockname()[1]
    expected = faults.write_all(folder, released(course), port=port)
    for number in range(GOOD):
        student = f"good-{number}"
        faults.FAULTS["right"].write(folder / student / "small", released(course))
        expected[student] = faults.FAULTS["right"]
    found = grade("small", folder, root=course, jobs=2, limits=LIMITS, progress=False)
    return {row.student: (row, expected[row.student]) for row in found}


@pytest.mark.parametrize("name", faults.FAULTS)
def test_verdict(rows, name):
    row, fault = rows[faults.student(name)]
    if fault.points is faults.ANY:
        assert row.graded, str(row)
    elif fault.points is None:
        assert row.score is None and not row.graded
    else:
        keys = ("test_double", "test_largest", "test_share")
        assert tuple(row.questions[key] for key in keys) == fault.points, str(row)
    assert fault.says in str(row)


def test_every_student_has_one_row(rows, course):
    assert len(rows) == len(faults.FAULTS) + GOOD >= 60
    with open(course / ".build/class/small/grades.csv", newline="") as file:
        table = {line["student"]: line for line in csv.DictReader(file)}
    assert set(table) == set(rows)
    for student, (row, _) in rows.items():
        assert table[student]["score"] == ("" if row.score is None else str(row.score))


def test_good_students_get_full_marks_whoever_is_beside_them(rows):
    assert {rows[f"good-{number}"][0].auto_score for number in range(GOOD)} == {9.0}


def test_the_gradebook_holds_what_the_rows_say(rows, course):
    with sqlite3.connect(course / ".build/class/gradebook.db") as book:
        students = {name for (name,) in book.execute("select id from student")}
    assert {student for student, (row, _) in rows.items() if row.graded} <= students


def test_no_secret_was_found(rows, course):
    folder = course / ".build/class/autograded" / faults.student("seeks the tests")
    assert "nothing found" in (folder / "small/small.ipynb").read_text()


def test_nobody_came_over_the_network(rows, listener):
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_nothing_is_left_running(rows):
    names = {process.info["name"] for process in psutil.process_iter(["name"])}
    assert faults.MARK[:15] not in names


def test_nothing_was_written_to_another(rows, course):
    found = [path for path in course.rglob("*") if path.is_file() and path.stat().st_size == 4]
    assert [path for path in found if path.read_bytes() == b"mine"] == []
    assert not os.path.exists("/gradebook.db") and not os.path.exists("/submitted")


def test_a_script_does_not_reach_feedback(rows, course):
    folder = course / ".build/class/feedback" / faults.student("script in HTML")
    page = (folder / "small/small.html").read_text()
    outputs = re.sub(r"<div class=\"[^\"]*highlight.*?</div>", "", page, flags=re.S)
    assert "window.hacked" not in outputs


def test_what_hidden_tests_ask_is_not_told(rows, course):
    folder = course / ".build/class/autograded" / faults.student("tells what it is asked")
    assert "ASKED 1.5" not in (folder / "small/small.ipynb").read_text()


def test_feedback_shows_no_hidden_test(rows, course):
    pages = list((course / ".build/class/feedback").rglob("*.html"))
    assert len(pages) > 40
    for path in pages:
        assert "assert double(1.5)" not in path.read_text(), path
