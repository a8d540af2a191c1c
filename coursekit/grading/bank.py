"""A quick proof of an assignment's tests: the marks that an answer gets, without a kernel.

A notebook's code cells run in order in one process forked from a server that has the slow imports
done, and nbgrader's own rule turns each test cell's outputs into points.
"""

import importlib.util
import itertools
import json
import multiprocessing
import os
import sys
import tempfile
import types
from collections import namedtuple
from contextlib import contextmanager
from pathlib import Path

from coursekit.errors import CourseError
from coursekit.grading.engine import SOLUTION, surroundings, variables
from coursekit.notebooks import course_root, grade_id, load, notebook_json, quick_import

# What notebooks import first, and what takes seconds: the server holds it, each run gets it free.
PRELOAD = ["torch", "torchvision", "matplotlib.pyplot", "coursekit.grading.exam.exec_cells"]
Wrong = namedtuple("Wrong", "name question source loses message")
Right = namedtuple("Right", "name question source")


def marks(solution_notebook, replacements, *, seconds=900):
    """The marks of a solution notebook in which some answers are replaced.

    solution_notebook: a path, or a notebook as a dict.
    replacements: {grade_id of a solution cell: source to put in its place}.
    Returns (points, messages), both by grade_id of the autograded test cells.  A test cell that
    raises gets 0 and has a message: what it printed and its error.  Written questions are left out.
    Raises CourseError for a question that does not exist, or a run that ends early or takes longer
    than `seconds`.
    """
    notebook, folder = _read(solution_notebook)
    cells = _replaced(notebook, replacements)
    outputs = _run([cell["source"] for cell in cells], folder, seconds)
    for shown in filter(lambda shown: shown.get("name") == "stderr", itertools.chain(*outputs)):
        shown["name"] = "stdout"  # as the examiner does: a warning is no fault
    pairs = zip(cells, outputs, strict=True)
    return marks_of({"cells": [dict(cell, outputs=shown) for cell, shown in pairs]})


def marks_of(executed):
    """The marks of a notebook that has been run, a dict: (points, messages) as `marks` gives them."""
    points, messages = {}, {}
    for cell in filter(_is_test, executed["cells"]):
        key = grade_id(cell)
        points[key], full = _graded(cell, cell["outputs"])
        if points[key] < full:
            messages[key] = _message(cell["outputs"])
    return points, messages


def points(notebook):
    """{grade_id: full points} of the test cells that are marked by running them."""
    notebook, _ = _read(notebook)
    cells = [cell for cell in notebook["cells"] if _is_test(cell)]
    return {grade_id(cell): float(cell["metadata"]["nbgrader"]["points"]) for cell in cells}


def stubs(released_notebook):
    """Replacements that undo every answer: {grade_id: its stub} of a released notebook."""
    notebook, _ = _read(released_notebook)
    return {grade_id(cell): cell["source"] for cell in notebook["cells"] if _is_answer(cell)}


def without_marks(source):
    """A cell's source without nbgrader's lines that delimit an answer."""
    return "\n".join(line for line in source.split("\n") if not any(m in line for m in SOLUTION))


class Answers:
    """The answers of one bank as they are written down, most of them the model answer with one thing changed.

    bank: the path of `NAME_bank.py`; the text `NAME.py` beside it has the model answers and the points.
    """

    def __init__(self, bank):
        text = Path(bank).with_name(Path(bank).name.removesuffix("_bank.py") + ".py")
        notebook = json.loads(notebook_json(text))
        self.points, self.WRONG, self.RIGHT = points(notebook), [], []
        self._sources = {grade_id(cell): "".join(cell["source"]) for cell in notebook["cells"]}

    def wrong(
        self, question, name, *changes, message, source=None, loses=("open", "hidden"), drags=()
    ):
        """Adds a wrong answer: the model answer with `changes`, pairs (old, new), or another source.

        loses: which tests of the question it fails.  drags: tests of other questions that it fails too.
        """
        tests = [*(f"{question}_{part}" for part in loses), *drags]
        source = source or self.changed(question, *changes)
        lost = {key: self.points[key] for key in tests}
        self.WRONG.append(Wrong(name, question, source, lost, message))

    def right(self, question, name, *changes, source=None):
        """Adds a right answer."""
        self.RIGHT.append(Right(name, question, source or self.changed(question, *changes)))

    def model(self, question):
        """The source of a question's model answer, without nbgrader's delimiting lines."""
        return without_marks(self._sources[question]).strip()

    def changed(self, question, *changes):
        """The model answer with each old text, which stands there once, replaced by the new one."""
        source = self.model(question)
        for old, new in changes:
            if source.count(old) != 1:
                found = source.count(old)
                raise CourseError(
                    f"'{old}' stands {found} times in the answer to {question}, not once."
                )
            source = source.replace(old, new)
        return source


def load_bank(name, root=None):
    """The answers that prove an assignment's tests: WRONG and RIGHT of `solutions/NAME_bank.py`.

    A wrong answer has `.name .question .source .loses .message`, a right one the first three.
    """
    path = Path(root or course_root()) / "solutions" / f"{name}_bank.py"
    if not path.is_file():
        raise CourseError(f"'{name}' has no bank of answers: write {path.name} beside its text.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.WRONG), list(module.RIGHT)


def _read(notebook):
    if isinstance(notebook, dict):
        return notebook, None
    return load(notebook), Path(notebook).resolve().parent


def _replaced(notebook, replacements):
    """The notebook's code cells, with the replacements in place."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    unknown = set(replacements) - {grade_id(cell) for cell in cells if _is_answer(cell)}
    if unknown:
        raise CourseError(f"The notebook has no solution cell '{min(unknown)}': check the name.")
    return [dict(cell, source=replacements.get(grade_id(cell), cell["source"])) for cell in cells]


def _is_answer(cell):
    told = cell["metadata"].get("nbgrader", {})
    return bool(cell["cell_type"] == "code" and told.get("solution"))


def _is_test(cell):
    told = cell["metadata"].get("nbgrader", {})
    return bool(cell["cell_type"] == "code" and told.get("grade") and not told.get("solution"))


def _graded(cell, outputs):
    with quick_import():
        from nbformat.notebooknode import from_dict
        from nbgrader.utils import determine_grade
    return determine_grade(from_dict(dict(cell, outputs=outputs)))


def _message(outputs):
    parts = [output.get("text") or output.get("evalue", "") for output in outputs]
    return "\n".join(part.strip("\n") for part in parts).strip()


def _server():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def _run(sources, folder, seconds):
    """Outputs of every cell, from one forked process in an empty folder of its own."""
    from coursekit.grading.exam import exec_cells

    with tempfile.TemporaryDirectory(prefix="coursekit-marks-") as scratch, surroundings():
        result = Path(scratch) / "outputs.json"
        with variables(MPLBACKEND="Agg"), _no_main():
            job = (sources, str(folder or ""), str(result), dict(os.environ))
            process = _server().Process(target=exec_cells.main, args=job)
            process.start()
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()
            raise CourseError(f"The notebook ran longer than {seconds} s: find its endless loop.")
        if not result.is_file():
            code = process.exitcode
            raise CourseError(f"A cell ended the notebook's process (exit code {code}): mend it.")
        return json.loads(result.read_text(encoding="utf-8"))


@contextmanager
def _no_main():
    """Keeps the forked process from importing the program that asks for it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
