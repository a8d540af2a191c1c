"""Grading at length: killed and resumed, tests changed, a cluster, another database, no walls."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import faults
import psutil
import pytest
from small_course import make_released, released

from coursekit.errors import CourseError
from coursekit.grading.engine import connect, settings, surroundings
from coursekit.grading.grade import grade
from coursekit.grading.results.graded import GradedClass

pytestmark = pytest.mark.walls
LIMITS = dict(cell_seconds=20, test_seconds=20)
NEW_TEST = "assert double(100) == 200, 'large numbers too'\n### END HIDDEN TESTS"


@pytest.fixture
def course(tmp_path):
    return make_released(tmp_path / "course")


def hand_in(course, *names):
    """Hands in some of the faults; the folder."""
    folder = course / "work"
    faults.write_all(folder, released(course), names)
    return folder


def run(course, folder, **how):
    found = grade("small", folder, root=course, progress=False, limits=LIMITS, **how)
    return {row.student: row for row in found}


def record(course, student):
    return course / ".build/class/small/records" / f"{student}.json"


# --- killed ----------------------------------------------------------------------------------
SLOW = "import time\ntime.sleep(1.5)\n" + faults.RIGHT


def command(course, folder):
    line = [sys.executable, "-m", "coursekit.cli", "grade", "small", "--submitted", str(folder)]
    # A shell's background jobs ignore Ctrl-C; this one must not
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(line, cwd=course, stdout=subprocess.PIPE, text=True, preexec_fn=heed)


def family(process):
    return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]


def until(condition, seconds=120):
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last, "it never came to this"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_grader_leaves_nothing_running_and_goes_on_where_it_was(course, number):
    folder = course / "work"
    for student in "abcdef":
        faults.code("slow", SLOW, faults.FULL)
        faults.FAULTS.pop("slow").write(folder / student / "small", released(course))
    first = command(course, folder)
    until(lambda: len(list(record(course, "a").parent.glob("[a-z].json"))) >= 2)
    everything = family(first)
    first.send_signal(number)
    first.wait(30)
    _, alive = psutil.wait_procs(everything, timeout=20)
    assert alive == []
    kept = {path: path.stat().st_mtime_ns for path in record(course, "a").parent.glob("*.json")}
    assert 2 <= len(kept) < 6
    second = command(course, folder)
    told = second.communicate(timeout=240)[0]
    assert second.returncode == 0
    assert told.count("graded 9/14") == 6, told
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


# --- changed tests -----------------------------------------------------------------------------
def give_by_hand(course, student, points):
    """What Formgrader does when a person marks the written answer."""
    from nbgrader.api import Gradebook

    with Gradebook(settings(course).CourseDirectory.db_url) as book:
        mark = book.find_grade("explain", "small", "small", student)
        mark.manual_score, mark.needs_manual_grade = points, False
        book.db.commit()


def test_a_changed_test_touches_only_what_changed(course):
    folder = hand_in(course, "right", "half")
    before = run(course, folder)
    give_by_hand(course, "right", 4.0)
    # What a test that did not change had said is marked, to see that it is not run again
    path = record(course, "right")
    path.write_text(
        path.read_text().replace("right\\\\n", "kept\\\\n").replace("right\\n", "kept\\n")
    )
    text = course / "solutions" / "small.py"
    text.write_text(text.read_text().replace("### END HIDDEN TESTS", NEW_TEST))
    after = run(course, folder)
    assert after["right"].questions == before["right"].questions | {"explain": 4.0}
    assert not after["right"].needs_manual_grade and after["right"].score == 13
    assert after["half"].questions == before["half"].questions
    cells = json.loads(path.read_text())["notebook"]["cells"]
    outputs = {
        cell["metadata"].get("nbgrader", {}).get("grade_id"): cell.get("outputs") for cell in cells
    }
    assert outputs["test_largest"][0]["text"] == "kept\n"
    assert "large numbers too" in json.dumps(cells)


def test_a_new_hand_in_is_examined_again_and_an_old_one_is_not(course):
    folder = hand_in(course, "right", "half")
    run(course, folder)
    times = {s: record(course, s).stat().st_mtime_ns for s in ("right", "half")}
    faults.FAULTS["right"].write(folder / "half" / "small", released(course))
    after = run(course, folder)
    assert after["half"].auto_score == 9
    assert record(course, "right").stat().st_mtime_ns == times["right"]
    assert record(course, "half").stat().st_mtime_ns > times["half"]


def test_grading_some_keeps_the_rows_of_the_others(course):
    folder = hand_in(course, "right", "wrong", "nothing")
    run(course, folder)
    run(course, folder, students=["right"])
    assert [row.student for row in GradedClass("small", course).rows] == [
        "nothing",
        "right",
        "wrong",
    ]


# --- nbgrader's own commands -------------------------------------------------------------------
def test_nbgrader_itself_repairs_and_examines(course):
    """What Formgrader's button and `nbgrader autograde` do, without `coursekit grade`."""
    folder = hand_in(course, "wrong", "test edited", "_exit when asked", "right")
    run(course, folder, students=["right"])
    shutil.copytree(folder, course / ".build/class/submitted", dirs_exist_ok=True)
    with surroundings():
        api = connect(settings(course))
        for student, points in {"wrong": 5, "test-edited": 9, "_exit-when-asked": 2}.items():
            told = api.autograde("small", student)
            assert told["success"], told
            found = next(one for one in api.get_submissions("small") if one["student"] == student)
            assert found["score"] == points


def test_formgrader_may_be_the_first_to_grade(course):
    """Nothing has been graded here; the button makes the assignment known, and exports have the mark."""
    with pytest.raises(CourseError, match="Nothing of 'small' is graded yet"):
        GradedClass("small", course)
    shutil.copytree(hand_in(course, "half"), course / ".build/class/submitted")
    with surroundings():
        told = connect(settings(course)).autograde("small", "half")
    assert told["success"], told
    assert [(row.student, row.score) for row in GradedClass("small", course).rows] == [("half", 6)]


def test_an_answer_that_changed_waits_for_a_person_again(course):
    folder = hand_in(course, "right")
    run(course, folder)
    give_by_hand(course, "right", 4.0)
    assert not run(course, folder)["right"].needs_manual_grade
    path = folder / "right/small/small.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][-1]["source"] = "Another answer."
    path.write_text(json.dumps(notebook))
    assert run(course, folder)["right"].needs_manual_grade


def test_marks_equal_plain_nbgraders(course):
    """The same work through nbgrader alone, with its own kernel and its own Execute."""
    names = ("right", "wrong", "half", "syntax error", "numpy")
    ours = run(course, hand_in(course, *names))
    plain = settings(course, course / "plain")
    del plain["Autograde"]
    shutil.copytree(course / "work", course / "plain" / "submitted")
    with surroundings():
        from coursekit.grading.release import register

        register("small", root=course, class_folder=course / "plain")
        api = connect(plain)
        for name in names:
            student = faults.student(name)
            assert api.autograde("small", student)["success"]
            marks = api.get_student_notebook_submissions(student, "small")
            assert marks[0]["code_score"] == ours[student].auto_score, name


# --- elsewhere ---------------------------------------------------------------------------------
def test_a_dask_cluster_examines_and_this_process_writes(course):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        rows = run(
            course,
            hand_in(course, "right", "wrong", "_exit"),
            jobs=2,
            dask=cluster.scheduler_address,
        )
    assert [rows[s].auto_score for s in ("right", "wrong", "_exit")] == [9, 5, 2]


def test_no_cluster_is_told(course):
    with pytest.raises(CourseError, match="No Dask cluster answers at tcp://127.0.0.1:9"):
        run(course, hand_in(course, "right"), dask="tcp://127.0.0.1:9")


def postgres_programs():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


@pytest.fixture
def postgres(tmp_path_factory):
    """The address of an empty PostgreSQL database on a socket of its own."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("NOT TESTED: there is no PostgreSQL server here")
    folder = Path(f"/tmp/coursekit-pg-{os.getpid()}")
    folder.mkdir()
    shutil.chown(folder, "postgres") if os.getuid() == 0 else None
    user = ["setpriv", "--reuid", "postgres", "--clear-groups"] if os.getuid() == 0 else []
    data = str(folder / "data")
    quiet = dict(check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run(
        [*user, str(programs / "initdb"), "-D", data, "-A", "trust", "-U", "course"], **quiet
    )
    options = f"-k {folder} -c listen_addresses='' -F"
    control = [*user, str(programs / "pg_ctl"), "-D", data, "-w"]
    subprocess.run([*control, "-o", options, "start"], **quiet)
    try:
        yield f"postgresql+psycopg://course@/postgres?host={folder}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder)


def test_the_gradebook_may_lie_in_postgresql(course, postgres, monkeypatch):
    monkeypatch.setenv("COURSEKIT_GRADEBOOK", postgres)
    folder = hand_in(course, "right", "wrong", "not JSON")
    rows = run(course, folder)
    assert [rows[s].auto_score for s in ("right", "wrong", "not-JSON")] == [9, 5, None]
    give_by_hand(course, "wrong", 2.5)
    assert {row.student: row.score for row in GradedClass("small", course).rows} == {
        "right": 9.0,
        "wrong": 7.5,
        "not-JSON": None,
    }
    assert not (course / ".build/class/gradebook.db").exists()


def test_without_walls_nothing_is_graded_unless_trusted(course, monkeypatch):
    from coursekit.grading.exam import walls

    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    walls.missing.cache_clear()
    folder = hand_in(course, "right")
    try:
        # A process of its own: this one has a zygote already
        done = subprocess.run(
            [sys.executable, "-m", "coursekit.cli", "grade", "small", "--submitted", str(folder)],
            cwd=course, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 2
        assert "--trust-submissions" in done.stderr and "bubblewrap" in done.stderr
        assert not record(course, "right").exists()
    finally:
        monkeypatch.undo()
        walls.missing.cache_clear()
    assert run(course, folder, trust=True)["right"].auto_score == 9
