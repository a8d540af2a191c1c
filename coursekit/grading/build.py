"""The solution notebook of an assignment, which all of grading begins with."""

from pathlib import Path

from coursekit import notebooks
from coursekit.errors import CourseError


def built_solution(name, root):
    """The path of the solution notebook, freshly built from its text master.

    Raises CourseError if there is no such assignment.
    """
    text = Path(root) / "solutions" / f"{name}.py"
    if not text.is_file():
        known = ", ".join(path.stem for path in notebooks.assignment_texts(root)) or "none yet"
        raise CourseError(f"There is no assignment '{name}': choose one of these: {known}.")
    notebooks.build([text])
    return notebooks.notebook_path(text)
