"""The trusted side of an assignment: the form that work is put back into, and what students name."""

import ast
import base64
import copy
import functools
import re
from pathlib import Path

from coursekit.errors import CourseError
from coursekit.grading.build import built_solution
from coursekit.grading.engine import settings
from coursekit.notebooks import ROOT_MARK, grade_id, load, quick_import

# The tag of locked cells that only the student's kernel runs
STUDENT = "student"
# Where a form keeps what its answers define, in the notebook's own metadata
NAMES = "coursekit"
# Scopes without a name; what `:=` assigns in a comprehension belongs to the scope around it
COMPREHENSION = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
INNER = (ast.Lambda, *COMPREHENSION)
# Lines that IPython alone understands
MAGIC = re.compile(r"^(\s*)[%!].*", re.M)


def form(name, root):
    """The skeleton of assignment `name`, a notebook as plain dicts, made from its solution.

    As nbgrader releases it (stubs for answers, points, ids, checksums, no mark schemes), but with
    the hidden tests.  Its metadata `coursekit` holds {grade_id: names that this answer defines}.
    Raises CourseError for an unknown assignment, or one that nbgrader cannot release.
    """
    return copy.deepcopy(_made(name, *_state(name, root))[0])


def student_names(name, root):
    """The names that a student's kernel owns: what the solution's answers and the locked cells with
    the tag "student" assign at the top level.  Returns a set of strings."""
    return set(_made(name, *_state(name, root))[1])


def files(name, root):
    """{path: base64} of the files that the assignment brings along, without notebooks and texts."""
    return packed(Path(built_solution(name, root)).parent, skip=(".ipynb", ".py"))


def packed(folder, skip=(".ipynb",)):
    """{path: base64} of the plain files below a folder, without notebooks, links, hidden files."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = path.relative_to(folder)
        plain = path.is_file() and not path.is_symlink() and path.suffix not in skip
        if plain and all(part[0] != "." for part in name.parts):
            found[str(name)] = base64.b64encode(path.read_bytes()).decode("ascii")
    return found


def told(cell):
    """nbgrader's metadata of a cell, {} where it has none."""
    return cell["metadata"].get("nbgrader", {})


def kind(cell):
    """What a cell of a form is: "answer", "written", "test", "given", "text" or "plain".

    Answers are code, written answers text.  "text" is locked Markdown, also a task; "plain" has no
    mark of nbgrader at all.
    """
    marks, code = told(cell), cell["cell_type"] == "code"
    if marks.get("solution"):
        return "answer" if code else "written"
    if marks.get("grade"):
        return "test" if code else "text"
    if marks.get("locked") or marks.get("task"):
        return "given" if code else "text"
    return "plain"


def assigned(source):
    """The names that trusted code assigns at the top level, also by `global` in its functions.

    Raises SyntaxError if it is not Python.
    """
    if source.startswith("%%"):
        return set()
    return set(_names(ast.parse(MAGIC.sub(r"\1pass", source))))


def _names(node):
    """Not from symtable: since Python 3.12 it counts what only a comprehension names."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    if isinstance(node, (*INNER, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        for below in ast.walk(node):
            yield from below.names if isinstance(below, ast.Global) else ()
            if isinstance(below, ast.NamedExpr) and isinstance(node, COMPREHENSION):
                yield below.target.id
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest
    for child in ast.iter_child_nodes(node):
        yield from _names(child)


def _state(name, root):
    """What a form depends on: it is made again only when one of these has changed."""
    text, config = Path(root) / "solutions" / f"{name}.py", Path(root) / ROOT_MARK
    if not text.is_file():
        built_solution(name, root)  # says what there is instead
    return str(root), text.read_bytes(), config.read_bytes()


@functools.lru_cache(maxsize=8)
def _made(name, root, text, config):
    """(form, student names) of an assignment."""
    solution = load(built_solution(name, root))
    names = {}
    for cell in solution["cells"]:
        tagged = kind(cell) == "given" and STUDENT in cell["metadata"].get("tags", [])
        if kind(cell) == "answer" or tagged:
            names[grade_id(cell)] = _assigned(name, cell)
    made = _released(name, solution, settings(root))
    answers = {grade_id(cell) for cell in made["cells"] if kind(cell) == "answer"}
    made["metadata"][NAMES] = {key: sorted(names[key]) for key in sorted(answers)}
    return made, set().union(*names.values())


def _assigned(name, cell):
    try:
        return assigned(cell["source"])
    except SyntaxError as error:
        raise CourseError(
            f"Cell '{grade_id(cell)}' of '{name}' is not Python ({error}): mend its text."
        ) from error


def _released(name, solution, config):
    """The solution through nbgrader's own steps, without the one that takes hidden tests away."""
    with quick_import():
        from nbformat.notebooknode import from_dict
        from nbgrader import preprocessors as steps
    chosen = [steps.LockCells, steps.ClearSolutions, steps.ClearOutput, steps.CheckCellMetadata]
    notebook, resources = from_dict(solution), {}
    try:
        for step in [*chosen, steps.ClearMarkScheme, steps.ComputeChecksums]:
            notebook, resources = step(config=config).preprocess(notebook, resources)
    except Exception as error:  # each step has errors of its own
        raise CourseError(f"nbgrader cannot release '{name}' ({error}): mend its text.") from error
    return _plain(notebook)


def _plain(node):
    """A NotebookNode as plain dicts and lists."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(one) for one in node] if isinstance(node, list) else node
