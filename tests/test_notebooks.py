"""Notebooks equal their text, hold no outputs, and assignments are what nbgrader builds."""

import json
import sys
from pathlib import Path

import pytest
from small_course import make_course

from coursekit import notebooks
from coursekit.errors import CourseError
from coursekit.grading.release import released_files

ROOT = Path(__file__).resolve().parents[1]
ASSIGNMENTS = [text.stem for text in notebooks.assignment_texts(ROOT)]


def test_the_course_has_lessons_and_an_assignment():
    assert notebooks.lesson_texts(ROOT) and ASSIGNMENTS


def test_no_notebook_is_stale():
    assert notebooks.stale(ROOT) == []


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_assignment_is_what_nbgrader_builds(name):
    folder = ROOT / "assignments" / name
    here = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".ipynb_checkpoints" not in path.parts
    }
    made = released_files(name, root=ROOT)
    assert sorted(here) == sorted(made), f"run coursekit release {name}"
    differing = [path for path in made if made[path] != here[path]]
    assert not differing, f"edit solutions/{name}.py, then run coursekit release {name}"


@pytest.mark.parametrize("text", notebooks.lesson_texts(ROOT), ids=lambda text: text.stem)
def test_code_of_a_lesson_fits_a_page(text):
    """100 columns: what a page of the book, or a cell on a laptop, shows without being pushed."""
    lines = [
        line.removesuffix("  # fmt: skip")
        for line in text.read_text().splitlines()
        if not line.startswith("#")  # prose, which a page wraps
    ]
    assert [line for line in lines if len(line) > 100] == []


@pytest.fixture
def course(tmp_path):
    make_course(tmp_path)
    notebooks.build(root=tmp_path)
    return tmp_path


def edit(path, change):
    notebook = json.loads(path.read_text())
    change(notebook)
    path.write_text(notebooks.dump(notebook))


def test_a_fresh_build_is_not_stale_and_not_written_again(course):
    assert notebooks.stale(course) == []
    assert notebooks.build(root=course) == []


def test_changed_text_is_named_and_rebuilt(course):
    text = course / "course/00_lesson.py"
    text.write_text(text.read_text() + "\n# %%\n1 + 1\n")
    assert len(notebooks.stale(course)) == 1
    assert "00_lesson.ipynb: differs" in notebooks.stale(course)[0]
    target = course / "course/00_lesson.ipynb"
    assert notebooks.build(root=course, check=True) == [target]
    assert "differs" in notebooks.stale(course)[0]
    assert notebooks.build(root=course) == [target]
    assert notebooks.stale(course) == []


def test_edited_notebook_is_named(course):
    edit(course / "course/00_lesson.ipynb", lambda nb: nb["cells"].pop())
    assert "00_lesson.ipynb: differs" in notebooks.stale(course)[0]


@pytest.mark.parametrize("field", [{"outputs": [{"text": "x"}]}, {"execution_count": 3}])
@pytest.mark.parametrize("place", ["course/00_lesson", "solutions/small/small", "assignments/a/a"])
def test_outputs_are_named(course, field, place):
    path = course / f"{place}.ipynb"
    if not path.exists():
        path.parent.mkdir(parents=True)
        path.write_bytes((course / "solutions/small/small.ipynb").read_bytes())
        assert notebooks.stale(course) == []
    edit(path, lambda nb: nb["cells"][1].update(field))
    assert any(f"{place}.ipynb: holds outputs" in line for line in notebooks.stale(course))


def test_notebook_without_text_and_text_without_notebook_are_named(course):
    (course / "course/00_lesson.ipynb").rename(course / "course/01_other.ipynb")
    told = "\n".join(notebooks.stale(course))
    assert "00_lesson.ipynb: not built" in told
    assert "01_other.ipynb: no text master" in told


def test_cell_names_are_the_same_every_time_and_unique(tmp_path):
    text = tmp_path / "a.py"
    text.write_text("# %%\nx = 1\n\n# %%\nx = 1\n\n# %% [markdown]\n# # Title\n")
    first = notebooks.notebook_json(text)
    assert notebooks.notebook_json(text) == first
    names = [cell["id"] for cell in json.loads(first)["cells"]]
    assert len(set(names)) == 3


def test_an_edit_renames_only_the_cell_it_touches(tmp_path):
    text = tmp_path / "a.py"
    text.write_text("# %%\nx = 1\n\n# %%\ny = 2\n")
    before = [cell["id"] for cell in json.loads(notebooks.notebook_json(text))["cells"]]
    text.write_text("# %%\nnew = 0\n\n# %%\nx = 1\n\n# %%\ny = 2\n")
    after = [cell["id"] for cell in json.loads(notebooks.notebook_json(text))["cells"]]
    assert after[1:] == before


def test_graded_cells_keep_nbgrader_metadata_and_are_named_by_it(course):
    cells = notebooks.load(course / "solutions/small/small.ipynb")["cells"]
    graded = {notebooks.grade_id(cell): cell for cell in cells if notebooks.grade_id(cell)}
    assert graded["test_double"]["metadata"]["nbgrader"]["points"] == 3
    assert all(cell["id"] == name for name, cell in graded.items())


def test_two_cells_with_one_grade_id_are_refused(course):
    text = course / "solutions/small.py"
    text.write_text(text.read_text().replace('"grade_id": "largest"', '"grade_id": "double"'))
    with pytest.raises(CourseError, match="two cells with grade_id 'double'"):
        notebooks.build([text])


def test_a_bank_of_answers_is_no_notebook(course):
    assert [text.name for text in notebooks.assignment_texts(course)] == ["small.py"]


def test_nothing_but_the_notebook_lies_where_nbgrader_copies_from(course):
    assert [path.name for path in (course / "solutions/small").iterdir()] == ["small.ipynb"]


def test_missing_jupytext_is_told(course, monkeypatch):
    monkeypatch.setitem(sys.modules, "jupytext", None)
    with pytest.raises(CourseError, match="needs jupytext: install"):
        notebooks.build(root=course)


def test_missing_text_is_told(tmp_path):
    with pytest.raises(CourseError, match="no .*nothing.py"):
        notebooks.build([tmp_path / "nothing.py"])


@pytest.mark.parametrize("content", ["", "{", "{}", '{"cells": [1]}', '{"cells": 3}'])
def test_what_is_no_notebook_is_told(tmp_path, content):
    path = tmp_path / "a.ipynb"
    path.write_text(content)
    with pytest.raises(CourseError, match="not a notebook"):
        notebooks.load(path)


def test_command_line_checks_and_builds(course, monkeypatch, capsys):
    monkeypatch.chdir(course)
    assert notebooks.main(["--check"]) == 0
    (course / "course/00_lesson.ipynb").unlink()
    assert notebooks.main(["--check"]) == 1
    assert not (course / "course/00_lesson.ipynb").exists()
    assert notebooks.main([]) == 0
    assert "built: " in capsys.readouterr().out
    assert notebooks.main(["nowhere.py"]) == 2


def test_the_course_is_found_from_below(course, monkeypatch):
    monkeypatch.chdir(course / "course")
    assert notebooks.course_root() == course
