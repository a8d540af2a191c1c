"""The ledger that everybody reads: written by a command, kept to the bounds of the sizes."""

import json

import pytest
from small_course import ROOT, make_course

from coursekit import doors, notebooks, results
from coursekit.cli import main
from coursekit.running import Run


@pytest.fixture
def course(tmp_path, monkeypatch):
    course = make_course(tmp_path)
    (course / "pyproject.toml").write_text('[tool.coursekit]\nrepository = "ada/captions"\n')
    monkeypatch.chdir(course)
    monkeypatch.setattr("coursekit.ledger._lesson", lambda *_: Run(True, 90.0, 700.5, {"Bleu_4": "0.5"}))  # fmt: skip
    monkeypatch.setattr("coursekit.ledger._assignment", lambda *_: Run(True, 30.0, 800.0, {"perfect": "9/9"}))  # fmt: skip
    monkeypatch.setattr(results, "machine", lambda: "2 cores (X)")
    return course


def known(course):
    return json.loads((course / doors.LEDGER).read_text())["2 cores (X)"]


def title(course):
    return notebooks.load(course / "course" / "00_lesson.ipynb")["cells"][0]["source"]


def test_the_command_writes_ledger_page_and_titles(course, capsys):
    assert main(["ledger", "--size", "cpu"]) == 0
    rows = known(course)["cpu"]
    assert rows["00_lesson"] == {"seconds": 90.0, "peak_mb": 700.5, "scores": {"Bleu_4": "0.5"}}
    page = (course / results.PAGE).read_text()
    assert "| 00_lesson | 1.5 | 700 | Bleu 4 0.5 |" in page and "| **all 2** | **2.0** | **800** at most | |" in page  # fmt: skip
    assert "Size `cpu` took 1.5 minutes and 0.7 GB" in title(course)
    assert "took 30 seconds" in notebooks.load(course / "assignments/small/small.ipynb")["cells"][0]["source"]  # fmt: skip
    assert notebooks.stale(course) == []


def test_what_changed_since_keeps_no_row(course, capsys):
    main(["ledger"])
    text = course / "course" / "00_lesson.py"
    text.write_text(text.read_text() + "\n# %%\nmore = 1\n")
    main(["ledger", "--lessons", "small"])
    assert list(known(course)["cpu"]) == ["small"] and "took" not in title(course)


def test_other_machines_and_sizes_stay(course, monkeypatch, capsys):
    main(["ledger"])
    main(["ledger", "--size", "smoke"])
    monkeypatch.setattr(results, "machine", lambda: "a GPU")
    main(["ledger"])
    whole = json.loads((course / doors.LEDGER).read_text())
    assert {name: list(sizes) for name, sizes in whole.items()} == {"2 cores (X)": ["cpu", "smoke"], "a GPU": ["cpu"]}  # fmt: skip
    assert title(course).count("Size `cpu`") == 2 and "smoke" not in title(course)


def test_a_failure_is_the_exit_code_and_keeps_no_row(course, monkeypatch, capsys):
    monkeypatch.setattr("coursekit.ledger._lesson", lambda *_: Run(False, 1.0, 1.0, error="no"))
    assert main(["ledger"]) == 1 and list(known(course)["cpu"]) == ["small"]


def test_a_machine_in_a_few_words():
    told = results.machine()
    assert told[0].isdigit() and "core" in told and "\n" not in told and len(told) < 120


def test_the_course_s_own_ledger_has_every_lesson_within_its_bounds():
    """Binder gives 2 GB: 1.5 GB is the bound of a notebook at size cpu, and five minutes on two cores that of a lesson."""
    lessons = {text.stem for text in notebooks.lesson_texts(ROOT)}
    ledger = doors.ledger(ROOT)
    assert any(lessons <= set(sizes.get("cpu", {})) for sizes in ledger.values())
    for sizes in ledger.values():
        for name, row in sizes.get("cpu", {}).items():
            assert row["peak_mb"] < 1500, name
            assert name[0] == "a" or row["seconds"] < 300, name
    assert results.page(ledger) == (ROOT / results.PAGE).read_text()
