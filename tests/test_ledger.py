"""The ledger, on notebooks of a second or two."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from small_course import make_course

from coursekit import ledger, notebooks
from coursekit.errors import CourseError
from coursekit.grading.grade import Row
from coursekit.ledger import run_course
from coursekit.running import Run, run_notebook

ROOM = """\
# %%
block = bytearray(400_000_000)
for place in range(0, len(block), 4096):
    block[place] = 1
del block

# %%
import time

time.sleep(1.2)
"""
FAILS = """\
# %%
print("score: before = 1")


# %%
def deep():
    raise ValueError("no such thing")


deep()

# %%
print("score: after = 2")
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    monkeypatch.delenv("COURSEKIT_HOME", raising=False)
    return make_course(tmp_path)


def lesson(course, name, text):
    (course / "course" / f"{name}.py").write_text(text)


def table(capsys):
    """The rows printed since the last look: {name: line}."""
    lines = capsys.readouterr().out.replace("\r", "").splitlines()
    return {line.split()[0]: line for line in lines if line and line[0] != " "}


def kept(course):
    return json.loads((course / ".build/course/ledger.json").read_text())


def test_a_row_has_minutes_memory_score_and_result(course, capsys):
    assert run_course("smoke", "00", root=course) == 0
    shown = capsys.readouterr().out.splitlines()
    head, row, end = shown[0], shown[1], shown[-1]
    assert "minutes" in head and "peak MB" in head and "main score" in head
    assert row.startswith("00_lesson") and "Bleu_4 0.512" in row and row.endswith("ok")
    assert head.index("result") == row.rindex("ok") and head.index("main") == row.index("size")
    assert end.startswith("1 of 1 ok at size smoke")
    run = kept(course)["smoke/00_lesson"]["run"]
    assert run["scores"] == {"size": "smoke", "Bleu_4": "0.512"}
    assert 0.5 < run["seconds"] < 60 and run["peak_mb"] > 20


def test_the_executed_notebook_is_kept_and_the_built_one_stays_bare(course):
    run_course("smoke", "00", root=course)
    outputs = (course / ".build/course/smoke/00_lesson.ipynb").read_text()
    assert "score: Bleu_4 = 0.512" in outputs
    assert "score: Bleu_4 = 0.512\\n" not in (course / "course/00_lesson.ipynb").read_text()


def test_peak_memory_and_time_are_measured(course):
    lesson(course, "01_room", ROOM)
    run_course("smoke", ["00", "01"], root=course)
    small, large = (kept(course)[f"smoke/{name}"]["run"] for name in ("00_lesson", "01_room"))
    assert 300 < large["peak_mb"] - small["peak_mb"] < 450
    assert large["seconds"] > small["seconds"] + 1


def test_a_failing_cell_is_shown_briefly_and_the_others_still_run(course, capsys):
    lesson(course, "01_fails", FAILS)
    lesson(course, "02_after", "# %%\nprint('score: fine = 1')\n")
    assert run_course("smoke", ["00", "01", "02"], root=course) == 1
    text = capsys.readouterr().out
    assert "FAILED" in text and "ValueError: no such thing" in text and "2 of 3 ok" in text
    assert len([line for line in text.splitlines() if line.startswith("    ")]) <= 8
    run = kept(course)["smoke/01_fails"]["run"]
    assert run["scores"] == {"before": "1"} and not run["ok"]
    executed = (course / ".build/course/smoke/01_fails.ipynb").read_text()
    assert "no such thing" in executed


def test_a_dead_kernel_is_a_failed_row(course, capsys):
    lesson(course, "01_dead", "# %%\n1\n# %%\nimport os\nos._exit(1)\n")
    assert run_course("smoke", "01", root=course) == 1
    assert "cell 1: Kernel died" in capsys.readouterr().out


@pytest.fixture
def runs(monkeypatch):
    """Stands in for running notebooks: the list of what was run; `.ok` decides the outcome."""

    class Runs(list):
        ok = True

        def __call__(self, source, target, size, **variables):
            self.append((source.stem, size))
            return Run(self.ok, 1.0, 2.0, {"count": str(len(self))}, "" if self.ok else "oh")

    stand_in = Runs()
    monkeypatch.setattr(ledger, "run_notebook", stand_in)
    return stand_in


def test_unchanged_is_not_run_again_and_changed_is(course, capsys, runs):
    assert run_course("smoke", "00", root=course) == 0
    first = kept(course)
    assert run_course("smoke", "00", root=course) == 0
    assert table(capsys)["00_lesson"].endswith("ok, unchanged")
    assert kept(course) == first and len(runs) == 1
    lesson(course, "00_lesson", "# %%\nprint('new')\n")
    assert run_course("smoke", "00", root=course) == 0
    assert table(capsys)["00_lesson"].endswith("  ok")
    assert kept(course)["smoke/00_lesson"]["run"]["scores"] == {"count": "2"}


def test_failed_is_run_again(course, capsys, runs):
    runs.ok = False
    for _ in range(2):
        assert run_course("smoke", "00", root=course) == 1
        assert "unchanged" not in table(capsys)["00_lesson"]
    assert len(runs) == 2


def test_each_size_has_its_own_row(course, runs):
    run_course("smoke", "00", root=course)
    run_course("cpu", "00", root=course)
    assert runs == [("00_lesson", "smoke"), ("00_lesson", "cpu")]
    assert sorted(kept(course)) == ["cpu/00_lesson", "smoke/00_lesson"]


def test_a_broken_record_is_begun_anew(course, runs):
    path = course / ".build/course/ledger.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"smoke/00_les')
    assert run_course("smoke", "00", root=course) == 0
    assert list(kept(course)) == ["smoke/00_lesson"]


def test_lessons_come_first_and_parts_may_be_chosen(course, runs, capsys):
    lesson(course, "01_next", "# %%\n1\n")
    run_course("smoke", ["01"], root=course)
    run_course("smoke", "0", root=course)
    assert [name for name, _ in runs] == ["01_next", "00_lesson"]


def test_what_a_lesson_can_import_counts_as_its_state(course, monkeypatch, tmp_path):
    text = course / "course/00_lesson.py"
    before = ledger.fingerprint(text, "smoke", course)
    assert before == ledger.fingerprint(text, "smoke", course)
    assert before != ledger.fingerprint(text, "cpu", course)
    (course / "requirements.txt").write_text("torch==9\n")
    locked = ledger.fingerprint(text, "smoke", course)
    assert locked != before
    (course / "requirements.txt").write_text("torch==9\nsphinx==9\n")  # what no lesson needs
    assert locked == ledger.fingerprint(text, "smoke", course)
    module = tmp_path / "module.py"
    module.write_text("a = 1")
    monkeypatch.setattr(ledger, "reached", lambda *paths: {module})
    imported = ledger.fingerprint(text, "smoke", course)
    module.write_text("a = 2")
    assert len({locked, imported, ledger.fingerprint(text, "smoke", course)}) == 3


def test_nothing_trained_earlier_is_found(course, monkeypatch):
    text = """\
# %%
import os
from pathlib import Path

home = Path(os.environ["COURSEKIT_HOME"])
print("score: found =", len(list(home.glob("*"))))
home.mkdir(exist_ok=True)
(home / "trained").touch()
"""
    for name in ("01_a", "02_b"):
        lesson(course, name, text)
    run_course("smoke", ["01", "02"], root=course)
    assert {row["run"]["scores"]["found"] for row in kept(course).values()} == {"0"}
    monkeypatch.setenv("COURSEKIT_HOME", str(course / "home"))
    run_course("cpu", ["01", "02"], root=course)
    assert kept(course)["cpu/02_b"]["run"]["scores"]["found"] == "1"


def test_a_name_that_is_nothing_is_told(course):
    with pytest.raises(CourseError, match="begins with '07'"):
        run_course("smoke", "00 07", root=course)


def test_an_assignment_is_released_solved_and_graded(course, capsys):
    bank = course / "solutions/small_bank.py"
    bank.write_text(bank.read_text() + "del WRONG[1:]\n")
    assert run_course("smoke", "small", root=course) == 0
    row = table(capsys)["small"]
    assert "perfect 9/9, blank 0/9" in row and row.endswith("ok")
    assert (course / "assignments/small/small.ipynb").is_file()
    assert (course / ".build/course/smoke/small.class/small/grades.csv").is_file()
    assert not (course / ".build/class").exists()
    assert run_course("smoke", "small", root=course) == 0
    assert table(capsys)["small"].endswith("ok, unchanged")


def test_marks_that_a_sample_student_should_not_get_are_told():
    row = Row("wrong-two", "graded", 3.0, questions={"test_a": 3.0, "test_b": 0.0})
    assert ledger._difference(row, {"test_a": 3.0, "test_b": 0.0}) == ""
    told = ledger._difference(row, {"test_a": 3.0, "test_b": 1.0})
    assert told == "wrong-two got 0.0 for test_b (1)"
    row = Row("blank", "not graded: the kernel died")
    assert ledger._difference(row, {}) == "blank: not graded: the kernel died"


def test_an_assignment_whose_marks_are_wrong_fails(course, runs, capsys, monkeypatch):
    monkeypatch.setattr(ledger, "_sample_class", lambda *_: ({"perfect": "4/5"}, "perfect got 1"))
    assert run_course("smoke", "small", root=course) == 1
    told = capsys.readouterr().out
    assert "perfect 4/5" in told and "FAILED" in told and "    perfect got 1" in told


def test_a_run_over_its_time_is_stopped(course):
    lesson(course, "01_long", "# %%\nimport time\ntime.sleep(60)\n")
    notebooks.build(root=course)
    started = time.perf_counter()
    run = run_notebook(course / "course/01_long.ipynb", course / "out.ipynb", "smoke", seconds=4)
    assert not run.ok and run.error == "the run took longer than 4 s"
    assert time.perf_counter() - started < 20
    assert kernels(course) == []


def kernels(course):
    """Processes that still work in the course's folder."""
    found = []
    for process in psutil.process_iter(["cwd", "cmdline"]):
        if (process.info["cwd"] or "").startswith(str(course / "course")):
            found.append(process.info["cmdline"])
    return found


def test_ctrl_c_keeps_what_was_done_and_leaves_no_process(course):
    lesson(course, "01_long", "# %%\nimport time\ntime.sleep(60)\n")
    code = "import sys; from coursekit.ledger import run_course; sys.exit(run_course('smoke', '0'))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=course, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
        # A job in the background of a shell ignores SIGINT, and hands that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("00_lesson"):
            break
    for _ in range(200):
        if kernels(course):
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(30) == 130
    assert "Stopped. What had finished is kept" in rest
    assert list(kept(course)) == ["smoke/00_lesson"]
    time.sleep(2)
    assert kernels(course) == []


def test_a_worker_does_not_outlive_the_program_that_started_it_and_was_killed():
    """It would go on beside the next run of the same command, and write the same files."""
    child = (
        "import time; from coursekit.running import end_with_parent; end_with_parent();"
        "print('ready', flush=True); time.sleep(90)"
    )
    parent = (
        "import subprocess, sys, time\n"
        f"print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid, flush=True)\n"
        "time.sleep(90)"
    )
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        worker = psutil.Process(int(killed.stdout.readline()))
        assert killed.stdout.readline() == "ready\n"
        time.sleep(2.5)  # it looks each second, and must not end while somebody waits for it
        assert worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE
        killed.kill()
    _, alive = psutil.wait_procs([worker], timeout=30)
    assert not alive or alive[0].status() == psutil.STATUS_ZOMBIE
