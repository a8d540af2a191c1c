"""Releasing a small assignment: students get no answer, no hidden test, no output."""

import shutil

import pytest
from small_course import make_released, released, source

from coursekit import notebooks
from coursekit.errors import CourseError
from coursekit.grading.release import leaks, release, released_files


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return make_released(tmp_path_factory.mktemp("course"))


@pytest.fixture
def own_course(course, tmp_path):
    """A copy that a test may break."""
    shutil.copytree(course, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".build"))
    return tmp_path


def test_release_holds_no_answer_hidden_test_mark_or_output(course):
    text = released(course).read_text()
    for secret in ("twice_of_it", "largest_of_all = max", "keep fractions", "BEGIN", "monotone"):
        assert secret in source(course).read_text()
        assert secret not in text
    assert not notebooks.holds_outputs(released(course))
    assert 'raise NotImplementedError(\\"write me\\")' in text
    assert "double(2) must be 4" in text


def test_release_is_the_same_bytes_every_time(course):
    made = released_files("small", root=course)
    assert made == released_files("small", root=course)
    assert made == {"small.ipynb": released(course).read_bytes()}


def test_release_twice_touches_nothing(own_course):
    before = released(own_course).stat().st_mtime_ns
    release("small", root=own_course)
    assert released(own_course).stat().st_mtime_ns == before


def test_release_undoes_edits_and_leftovers(own_course):
    path = released(own_course)
    good = path.read_bytes()
    path.write_text("edited")
    path.with_name("left.txt").write_text("from an earlier version")
    release("small", root=own_course)
    assert [one.name for one in path.parent.iterdir()] == ["small.ipynb"]
    assert path.read_bytes() == good


def test_release_refuses_an_answer_outside_its_region_and_keeps_the_old_one(own_course):
    path = own_course / "solutions" / "small" / "answers.txt"
    path.write_text("twice_of_it = x + x")
    before = released(own_course).read_bytes()
    with pytest.raises(CourseError, match="secret line 'twice_of_it = x"):
        release("small", root=own_course)
    assert released(own_course).read_bytes() == before
    assert not (released(own_course).parent / "answers.txt").exists()


def test_data_beside_the_notebook_is_released_and_texts_with_answers_are_not(own_course):
    folder = own_course / "solutions" / "small"
    (folder / "data.txt").write_text("1 2 3")
    shutil.copy(own_course / "solutions" / "small.py", folder)
    release("small", root=own_course)
    assert {one.name for one in released(own_course).parent.iterdir()} == {
        "small.ipynb",
        "data.txt",
    }


@pytest.mark.parametrize(
    "cell, told",
    [
        (dict(source="### END HIDDEN TESTS"), "END HIDDEN TESTS"),
        (dict(source="x = 1\ntwice_of_it = x + x"), "twice_of_it"),
        (dict(source='assert double(1.5) == 3.0, "double must keep fractions"'), "fractions"),
        (dict(source="1", outputs=[dict(output_type="stream")]), "outputs"),
    ],
)
def test_every_kind_of_leak_is_found(course, tmp_path, cell, told):
    notebook = notebooks.load(released(course))
    assert leaks(source(course), released(course).parent) == []
    notebook["cells"].append(dict(cell_type="code", metadata={}, outputs=[]) | cell)
    (tmp_path / "small.ipynb").write_text(notebooks.dump(notebook))
    assert told in "; ".join(leaks(source(course), tmp_path))


def test_a_solution_that_fails_its_own_tests_is_not_released(own_course):
    text = own_course / "solutions" / "small.py"
    text.write_text(text.read_text().replace("x + x", "x + x + 1"))
    before = released(own_course).read_bytes()
    with pytest.raises(CourseError, match="test_double.*must be 4"):
        release("small", root=own_course, check_solution=True)
    assert released(own_course).read_bytes() == before


def test_a_good_solution_is_checked_and_released(course):
    assert release("small", root=course, check_solution=True) == released(course)


def test_unknown_assignment_is_told(course):
    with pytest.raises(CourseError, match="no assignment 'nothing'.*small"):
        release("nothing", root=course)
