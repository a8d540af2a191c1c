"""A small class to try the grading on: a perfect student, an idle one, some in between."""

import shutil
from pathlib import Path

from coursekit.errors import writing
from coursekit.grading.bank import load_bank, points, stubs, without_marks
from coursekit.grading.build import built_solution
from coursekit.grading.release import release
from coursekit.notebooks import course_root, dump, grade_id, load


def make_class(name, class_folder=None, wrong=3, *, root=None):
    """Hands in work for assignment `name` as a sample class would, and tells what each should get.

    class_folder: where `submitted/STUDENT/NAME/NAME.ipynb` is written (default .build/class).
    wrong: how many answers of the bank become students `wrong-NAME`, each from another question.
    Returns {student: {grade_id: points}}.  Raises CourseError if the assignment is unknown.
    """
    root = Path(root) if root else course_root()
    folder = Path(class_folder or root / ".build" / "class") / "submitted"
    released, solution = release(name, root=root), built_solution(name, root)
    answers, full = _answers(load(solution)), points(solution)
    expected = {"perfect": full, "blank": dict.fromkeys(full, 0.0)}
    _hand_in(folder, "perfect", name, released, answers)
    _hand_in(folder, "blank", name, released, stubs(released))
    for entry in _one_a_question(name, root)[:wrong]:
        student = f"wrong-{entry.name}"
        _hand_in(folder, student, name, released, answers | {entry.question: entry.source})
        expected[student] = {key: full[key] - entry.loses.get(key, 0.0) for key in full}
    return expected


def _one_a_question(name, root):
    """The bank's first wrong answer of every question."""
    first = {}
    for entry in load_bank(name, root)[0] if _has_bank(name, root) else []:
        first.setdefault(entry.question, entry)
    return list(first.values())


def _has_bank(name, root):
    return (root / "solutions" / f"{name}_bank.py").is_file()


def _answers(solution):
    """{grade_id: source} of every answer, written ones too, without nbgrader's delimiting lines."""
    cells = [cell for cell in solution["cells"] if _told(cell).get("solution")]
    return {grade_id(cell): without_marks(cell["source"]) for cell in cells}


def _told(cell):
    return cell["metadata"].get("nbgrader", {})


def _hand_in(folder, student, name, released, answers):
    """Writes one student's notebook: the released one with the answers filled in."""
    notebook = load(released)
    for cell in notebook["cells"]:
        cell["source"] = answers.get(grade_id(cell), cell["source"])
    target = folder / student / name
    shutil.rmtree(target, ignore_errors=True)
    with writing(target / f"{name}.ipynb") as part:
        part.write_text(dump(notebook), encoding="utf-8", newline="\n")
    for path in released.parent.iterdir():
        if path.suffix != ".ipynb" and path.name[0] != ".":
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, target / path.name)
