"""Progress: what checks write down, and what is told of it."""

import importlib
import json
import re
import sys
import types

import pytest
from small_course import ROOT

from coursekit import notebooks, progress, verdicts
from coursekit.checks import lesson_00
from coursekit.cli import main

CHECKS = "coursekit.checks."


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home of the course, as a notebook sees it."""
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    return tmp_path


def right(texts):
    counts = {}
    for text in texts:
        for word in text.split():
            counts[word] = counts.get(word, 0) + 1
    return counts


def check_of(module):
    return types.SimpleNamespace(__module__=CHECKS + module)


def used(path):
    """The exercises whose checks a notebook's text calls, in order."""
    number = path.stem.partition("_")[0]
    module = importlib.import_module(CHECKS + (number if number[0] == "a" else f"lesson_{number}"))
    found = re.findall(r"\bcheck\.(\w+)", path.read_text())
    names = [getattr(getattr(module, name, None), "exercise", None) for name in found]
    return list(dict.fromkeys(filter(None, names)))


def test_the_list_of_exercises_is_that_of_the_notebooks():
    texts = notebooks.lesson_texts(ROOT)
    texts += [ROOT / "assignments" / text.stem / f"{text.stem}.ipynb" for text in notebooks.assignment_texts(ROOT)]  # fmt: skip
    assert sorted(text.stem for text in texts) == sorted(verdicts.COURSE)
    for text in texts:
        assert used(text) == verdicts.COURSE[text.stem], text.stem


def test_assignments_follow_the_lesson_that_readme_names():
    order = list(verdicts.COURSE)
    told = re.findall(r"lesson\s+(\d\d)\s+(?:do the\s+assignment\s+)?`assignments/(\w+)`", (ROOT / "README.md").read_text())  # fmt: skip
    assert len(told) == 4
    for lesson, name in told:
        assert order[order.index(name) - 1].startswith(lesson)


def test_checks_write_down_what_they_find(home, capsys):
    def unwritten(texts):
        raise NotImplementedError

    assert not lesson_00.count_words(unwritten) and verdicts.kept() == {}
    assert not lesson_00.count_words(lambda texts: {}) and verdicts.kept() == {
        "00/count_words": "✗"
    }
    verdicts.keep(check_of("lesson_00"), "count_words", "✓")
    assert verdicts.kept() == {"00/count_words": "✓"}
    assert not lesson_00.count_words(lambda texts: {})  # was right once, and stays so
    assert verdicts.kept() == {"00/count_words": "✓"}


def test_outside_a_notebook_nothing_is_written(home, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel")
    verdicts.keep(check_of("lesson_00"), "count_words", "✓")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "exercise", "key"),
    [
        ("lesson_09", "encode", "09/encode"),
        ("a3_merge", "merge", "a3/merge"),
        ("a1", "padding", "a1/padding"),
        ("lesson_09", "of nobody", None),
        ("core", "merge, on other data", None),
        ("lesson_99", "encode", None),
    ],
)
def test_whose_exercise_it_is(module, exercise, key):
    assert verdicts.key_of(CHECKS + module, exercise) == key


@pytest.mark.parametrize("text", ["", "broken", "[1]", '{"00/count_words": "?"}', '{"00/count_words": ["✓"]}'])  # fmt: skip
def test_a_record_that_cannot_be_read_is_none(home, text):
    (home / verdicts.FILE).write_text(text)
    assert verdicts.kept() == {}
    verdicts.keep(check_of("lesson_00"), "count_words", "✗")
    assert json.loads((home / verdicts.FILE).read_text()) == {"00/count_words": "✗"}


def test_a_check_does_not_fail_where_nothing_can_be_written(home, monkeypatch):
    (home / "file").write_text("")
    monkeypatch.setenv("COURSEKIT_HOME", str(home / "file" / "below"))
    verdicts.keep(check_of("lesson_00"), "count_words", "✗")
    assert not lesson_00.count_words(lambda texts: {})


def test_what_is_told(home, capsys):
    assert main(["progress"]) == 0
    said = capsys.readouterr().out
    assert "0 of 85 exercises pass. count_words in 00_start_here comes next." in said
    verdicts.keep(check_of("lesson_00"), "count_words", "✓")
    verdicts.keep(check_of("lesson_01"), "last_states", "✗")
    progress.show()
    said = capsys.readouterr().out
    assert re.search(r"^00_start_here +✓ +1 of 1$", said, re.M)
    assert re.search(r"^01_recurrent_language_models +○○✗ +0 of 3$", said, re.M)
    assert "1 of 85 exercises pass. last_states in 01_recurrent" in said and "not right yet" in said


def test_the_end(home):
    every = {f"{name.partition('_')[0]}/{each}": "✓" for name, own in verdicts.COURSE.items() for each in own}  # fmt: skip
    (home / verdicts.FILE).write_text(json.dumps(every))
    assert "85 of 85 exercises pass. That is all of them" in progress.told()
