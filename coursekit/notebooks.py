"""Notebooks are written as text (py:percent) and built; a build is the same bytes every time.

`course/NN_name.py` becomes `course/NN_name.ipynb`; `solutions/NAME.py` becomes
`solutions/NAME/NAME.ipynb`, a folder of its own because nbgrader hands students whatever lies
beside a notebook.  Run `python -m coursekit.notebooks` to build, with `--check` to look only.
"""

import argparse
import hashlib
import json
import re
import sys
from contextlib import contextmanager
from pathlib import Path

from coursekit import doors
from coursekit.errors import CourseError, full_disk_told, writing

KERNEL = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
ROOT_MARK = "nbgrader_config.py"


def course_root(start=None):
    """The course's folder: the nearest one above `start` (default: here) with nbgrader_config.py.

    Falls back to the checkout this package is installed from.  Raises CourseError if there is none.
    """
    start = Path(start or Path.cwd()).resolve()
    for folder in [start, *start.parents, Path(__file__).resolve().parents[1]]:
        if (folder / ROOT_MARK).is_file():
            return folder
    raise CourseError(f"No course was found here: run this in the folder that holds {ROOT_MARK}.")


def lesson_texts(root):
    """The lessons' text masters, in order: `course/*.py`."""
    return sorted((Path(root) / "course").glob("[!_]*.py"))


def assignment_texts(root):
    """The assignments' text masters: `solutions/*.py` without the banks of answers beside them."""
    found = sorted((Path(root) / "solutions").glob("[!_]*.py"))
    return [path for path in found if not path.stem.endswith("_bank")]


def notebook_path(text):
    """Where the notebook of a text master is built."""
    text = Path(text)
    inside = text.parent.name == "solutions"
    return (text.parent / text.stem if inside else text.parent) / f"{text.stem}.ipynb"


def build(paths=None, check=False, root=None):
    """Builds notebooks from their text masters, and writes those that changed.

    paths: text masters; default all of the course.  check: write nothing.
    Returns the paths of the notebooks that were written (with check: that would be).
    Raises CourseError for a text that is missing or cannot become a notebook.
    """
    if paths is None:
        root = Path(root) if root else course_root()
        paths = lesson_texts(root) + assignment_texts(root)
    changed = []
    for text in map(Path, paths):
        target, content = notebook_path(text), notebook_json(text)
        if target.is_file() and target.read_text(encoding="utf-8") == content:
            continue
        changed.append(target)
        if not check:
            with writing(target) as part:
                part.write_text(content, encoding="utf-8", newline="\n")
    return changed


def stale(root=None):
    """What is wrong with the built notebooks, one line each; an empty list when all is well.

    Names notebooks that are missing, differ from their text, have no text, or hold outputs.
    """
    root = Path(root) if root else course_root()
    texts = lesson_texts(root) + assignment_texts(root)
    lines = [_fault(root, text) for text in texts]
    expected = {notebook_path(text) for text in texts}
    for path in _built(root):
        if path not in expected and path.parent.parent.name != "assignments":
            lines.append(f"{path.relative_to(root)}: no text master builds it")
        if holds_outputs(path):
            lines.append(f"{path.relative_to(root)}: holds outputs; run make notebooks")
    return [line for line in lines if line]


def _built(root):
    patterns = ("course/*.ipynb", "solutions/*/*.ipynb", "assignments/*/*.ipynb")
    return sorted(path for pattern in patterns for path in root.glob(pattern))


def _fault(root, text):
    target = notebook_path(text)
    name = target.relative_to(root)
    if not target.is_file():
        return f"{name}: not built; run make notebooks"
    if target.read_text(encoding="utf-8") != notebook_json(text):
        return f"{name}: differs from {text.relative_to(root)}; run make notebooks"
    return ""


def holds_outputs(path):
    """Whether a notebook on disk holds outputs or execution counts."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    return any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def notebook_json(text):
    """The notebook of a text master, as the JSON that belongs on disk."""
    text = Path(text)
    if not text.is_file():
        raise CourseError(f"There is no {text}: name a text master (.py) that exists.")
    jupytext = _jupytext()
    try:
        read = jupytext.reads(text.read_text(encoding="utf-8"), fmt="py:percent")
    except (ValueError, SyntaxError) as error:
        raise CourseError(f"{text} is not py:percent ({error}): mend the text.") from error
    inside = text.parent.name == "solutions"
    cells = [_plain(cell) for cell in read.cells]
    cells = doors.with_doors(cells, text.parents[1], text.stem, inside) if cells else cells
    _identify(cells, text)
    return dump(dict(cells=cells, metadata=KERNEL, nbformat=4, nbformat_minor=5))


def _jupytext():
    try:
        with quick_import():
            import jupytext
    except ImportError as error:
        raise CourseError(
            "Building notebooks needs jupytext: install it with pip install 'coursekit[grading]'."
        ) from error
    return jupytext


def dump(notebook):
    """A notebook as text, in the layout Jupyter itself writes: sorted keys, source in lines."""
    cells = [dict(cell, source=_lines(cell["source"])) for cell in notebook["cells"]]
    whole = dict(notebook, cells=cells)
    return json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def load(path):
    """A notebook on disk as plain dicts, each source one string.

    Raises CourseError if it is missing, or is no notebook.
    """
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"There is no notebook {path}: check the name.")
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            cell["source"] = "".join(cell["source"])
    except (ValueError, KeyError, TypeError) as error:
        raise CourseError(f"{path} is not a notebook: save it from Jupyter again.") from error
    return notebook


def grade_id(cell):
    """nbgrader's id of a cell, or None."""
    return cell["metadata"].get("nbgrader", {}).get("grade_id")


def _lines(source):
    return source.splitlines(keepends=True) if isinstance(source, str) else source


def _plain(cell):
    told = {key: value for key, value in cell.metadata.items() if not key.startswith("lines_to")}
    kept = dict(cell_type=cell.cell_type, metadata=told, source=cell.source)
    if cell.cell_type == "code":
        kept |= dict(execution_count=None, outputs=[])
    return kept


def _identify(cells, text):
    """Names every cell: by nbgrader's id where it has one, else by its content."""
    used, graded = set(), set()
    for cell in cells:
        name = grade_id(cell)
        if name in graded:
            raise CourseError(f"{text} has two cells with grade_id '{name}': give one another id.")
        graded.add(name) if name else None
        digest = hashlib.sha256(f"{cell['cell_type']}\n{cell['source']}".encode()).hexdigest()[:8]
        cell["id"] = _unused(re.sub(r"[^\w-]", "-", name)[:56] if name else digest, used)


def _unused(wish, used):
    count, name = 1, wish
    while name in used:
        count += 1
        name = f"{wish}-{count}"
    used.add(name)
    return name


@contextmanager
def quick_import():
    """Importing nbformat takes 2.6 s, nearly all in a grammar notebooks never use; skips that."""
    grammar = "rfc3987_syntax"
    blocked = grammar not in sys.modules
    if blocked:
        sys.modules[grammar] = None
    try:
        yield
    finally:
        if blocked:
            sys.modules.pop(grammar, None)


def main(arguments=None):
    """Builds (or with --check: only names) what is out of date. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m coursekit.notebooks", description=main.__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="text masters; default: all of them")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    options = parser.parse_args(arguments)
    try:
        with full_disk_told():
            changed = build(options.paths or None, check=options.check)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    for path in changed:
        print(f"{'out of date' if options.check else 'built'}: {path}")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
