"""The students' edition holds no answer and no hidden test, and says so only after a search that can fail."""

import subprocess

import pytest
from small_course import ROOT, make_released

from coursekit import notebooks
from coursekit.cli import main
from coursekit.errors import CourseError
from coursekit.grading import students

ANSWER = "def double(x):\n    twice_of_it = x + x\n    return twice_of_it\n"


@pytest.fixture
def course(tmp_path):
    course = make_released(tmp_path / "course")
    (course / "data_scripts").mkdir()
    (course / "data_scripts" / "small_threshold.py").write_text("runs the answers\n")
    (course / "tests").mkdir()
    (course / "tests" / "test_small.py").write_text(ANSWER)
    (course / "notes.md").write_text("of my own\n")
    track(course)
    (course / "untracked.txt").write_text("of nobody else\n")
    return course


def track(course):
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", "-C", str(course), *command], check=True)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_students_get(course, tmp_path):
    target = tmp_path / "new" / "edition"
    assert students.export_students(target, root=course) >= 4
    found = files(target)
    assert {"course/00_lesson.py", "assignments/small/small.ipynb", "notes.md"} <= found
    assert not [name for name in found if name.startswith(("solutions", "tests", "data_scripts"))]
    assert "untracked.txt" not in found and ".git" not in {path.name for path in target.iterdir()}
    assert [path.name for path in target.parent.iterdir()] == ["edition"]


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("course/notes.md", ANSWER, "an answer in double"),
        ("coursekit/twice.py", "twice_of_it   =  x + x\nreturn twice_of_it", "an answer in double"),
        (
            "README.md",
            "Say largest_of_all = max(numbers)\nlargest_of_all = max(numbers)",
            "largest",
        ),
        ("docs/a.txt", 'assert double(1.5) == 3.0, "double must keep fractions"', "a hidden test"),
        ("docs/b.md", "Doubling keeps the order of numbers, being monotone.", "explain"),
    ],
)
def test_whatever_would_show_a_secret_is_refused(course, tmp_path, name, text, what):
    (course / name).parent.mkdir(exist_ok=True)
    (course / name).write_text(text)
    track(course)
    with pytest.raises(CourseError, match=f"it would show .*{what}.* in {name}"):
        students.export_students(tmp_path / "edition", root=course)
    assert [path.name for path in tmp_path.iterdir()] == ["course"]


def test_a_secret_in_a_notebook_is_found(course, tmp_path):
    cell = dict(cell_type="code", metadata={}, source=ANSWER, outputs=[], execution_count=None)
    whole = dict(cells=[cell], metadata={}, nbformat=4, nbformat_minor=5)
    (course / "course" / "more.ipynb").write_text(notebooks.dump(whole))
    track(course)
    with pytest.raises(CourseError, match="more.ipynb"):
        students.export_students(tmp_path / "edition", root=course)


def test_lines_that_all_code_has_are_no_secret(course, tmp_path):
    (course / "coursekit").mkdir(exist_ok=True)
    (course / "coursekit" / "half.py").write_text("    return twice_of_it\n")
    (course / "coursekit" / "apart.py").write_text("twice_of_it = x + x\nx = 1\nreturn twice_of_it")
    track(course)
    students.export_students(tmp_path / "edition", root=course)


def test_a_folder_that_holds_something_is_left_alone(course, tmp_path, monkeypatch, capsys):
    target = tmp_path / "edition"
    target.mkdir()
    monkeypatch.chdir(course)
    assert (
        main(["export-students", str(target)]) == 0 and "none is in it" in capsys.readouterr().out
    )
    before = files(target)
    assert main(["export-students", str(target)]) == 2
    assert "choose a folder" in capsys.readouterr().err and files(target) == before


def test_without_git_nothing_is_written(tmp_path):
    course = make_released(tmp_path / "course")
    with pytest.raises(CourseError, match="no checkout of git"):
        students.export_students(tmp_path / "edition", root=course)
    assert not (tmp_path / "edition").exists()


def test_this_course_has_an_edition_and_every_secret_of_it_would_be_found(tmp_path):
    target = tmp_path / "edition"
    assert students.export_students(target, root=ROOT) > 150
    for text in notebooks.assignment_texts(ROOT):
        secrets = students.secrets_of(text.stem, ROOT)
        for number, (_, lines) in enumerate(secrets):
            (target / f"{text.stem}_{number}.txt").write_text("\n".join(lines))
        found = students.shown(secrets, text.stem, target)
        assert all(any(each.startswith(what) for each in found) for what, _ in secrets)
