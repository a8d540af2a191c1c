"""What the builder adds to every notebook: badges, the install cell, measured figures, progress."""

import builtins
import importlib.util
import json
import re

import pytest
from small_course import ROOT, make_course, make_released

from coursekit import doors, notebooks

ADDRESS = "ada/captions"


def published(course, address=ADDRESS):
    (course / "pyproject.toml").write_text(f'[tool.coursekit]\nrepository = "{address}"\n')
    return course


def cells(text):
    return json.loads(notebooks.notebook_json(text))["cells"]


def source(cell):
    return "".join(cell["source"])


@pytest.fixture
def course(tmp_path):
    return published(make_course(tmp_path))


def test_a_lesson_has_its_doors(course):
    title, door, *rest, end = cells(course / "course" / "00_lesson.py")
    heading, badges = source(title).split("\n\n")[:2]
    assert heading == "# A lesson" and badges.count("](https://") == 4
    assert f"github/{ADDRESS}/blob/HEAD/course/00_lesson.ipynb" in badges
    assert f"gh/{ADDRESS}/HEAD?urlpath=lab/tree/course/00_lesson.ipynb" in badges
    assert f"git+https://github.com/{ADDRESS}" in source(door) and "progress.show()" in source(end)
    assert len(source(door).splitlines()) <= 3 and len(rest) == 1


def test_a_student_s_assignment_has_them_too_and_they_are_locked(tmp_path):
    course = make_released(published(make_course(tmp_path)))
    notebook = notebooks.load(course / "assignments" / "small" / "small.ipynb")
    _, door, *_, end = notebook["cells"]
    assert [notebooks.grade_id(each) for each in (door, end)] == ["door", "end"]
    assert all(each["metadata"]["nbgrader"]["locked"] for each in (door, end))
    title = notebook["cells"][0]["source"]
    assert "blob/HEAD/assignments/small/small.ipynb" in title and "![" not in title


def test_without_an_address_nothing_is_added(tmp_path):
    course = make_course(tmp_path)
    for text in ("", "[tool.coursekit]\n", "not = [toml"):
        (course / "pyproject.toml").write_text(text)
        assert len(cells(course / "course" / "00_lesson.py")) == 2


def test_a_title_tells_what_the_ledger_knows(course):
    row = dict(seconds=95.0, peak_mb=1240.0, scores={})
    known = {"2 cores (X)": {"cpu": {"00_lesson": row}, "smoke": {"00_lesson": row}}}
    (course / doors.LEDGER).write_text(json.dumps(known))
    title = source(cells(course / "course" / "00_lesson.py")[0])
    assert title.endswith("*Size `cpu` took 1.6 minutes and 1.2 GB of memory on 2 cores (X).*")
    (course / doors.LEDGER).write_text("broken")
    assert "took" not in source(cells(course / "course" / "00_lesson.py")[0])


class Shell:
    """A notebook's shell that keeps the magics it is asked for."""

    def __init__(self):
        self.asked = []

    def run_line_magic(self, name, line):
        self.asked.append((name, line))


@pytest.mark.parametrize("here", [True, False])
def test_the_door_installs_the_course_where_it_is_missing_only(course, monkeypatch, here):
    shell = Shell()
    found = importlib.util.find_spec
    monkeypatch.setattr(builtins, "get_ipython", lambda: shell, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found(name) if here else None)
    exec(source(cells(course / "course" / "00_lesson.py")[1]), {})
    install = [("pip", f"install -q git+https://github.com/{ADDRESS}")]
    assert shell.asked == ([] if here else install)


def test_the_published_address_is_one_place_and_cannot_be_a_stranger_s():
    address = doors.repository(ROOT)
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", address)
    for text in notebooks.lesson_texts(ROOT) + notebooks.assignment_texts(ROOT):
        assert "colab.research" not in text.read_text() and "mybinder" not in text.read_text()
        assert address in source(cells(text)[0]) and address in source(cells(text)[1])
    if address.startswith("YOUR_ACCOUNT"):
        assert "_" in address.partition("/")[0]  # GitHub refuses such a name


def test_no_text_tells_by_hand_how_long_its_code_takes():
    for text in notebooks.lesson_texts(ROOT):
        assert not re.search(r"the code alone takes", text.read_text()), text.name
