"""Which of coursekit's own files a piece of code can import, found by reading, not by running."""

import ast
from pathlib import Path

from coursekit.errors import CourseError

PACKAGE = Path(__file__).resolve().parent


def imported(path):
    """Full names of all that a Python file imports; `from a import b` gives a and a.b."""
    names = set()
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, Path(path))
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


def _parsed(path):
    try:
        return ast.parse(Path(path).read_text(encoding="utf-8"), str(path))
    except SyntaxError as error:
        raise CourseError(f"{path} is not Python (line {error.lineno}): mend it.") from error


def _absolute(node, path):
    """The module that a `from … import` names, with leading dots resolved inside the package."""
    if not node.level:
        return node.module or ""
    parts = path.resolve().relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join([*parts[: len(parts) - node.level], *([node.module] if node.module else [])])


def file_of(name):
    """The file of a module of coursekit, or None for any other name."""
    parts = name.split(".")
    if parts[0] != PACKAGE.name:
        return None
    place = PACKAGE.joinpath(*parts[1:])
    for path in (place / "__init__.py", place.with_suffix(".py") if parts[1:] else None):
        if path and path.is_file():
            return path
    return None


def reached(*paths):
    """All files of coursekit that these files can import, directly or through others."""
    found, waiting = set(), [Path(path) for path in paths]
    while waiting:
        for name in imported(waiting.pop()):
            for one in _with_parents(name):
                if one not in found:
                    found.add(one)
                    waiting.append(one)
    return found


def _with_parents(name):
    """Files that importing a module runs: its own and its packages'."""
    parts = name.split(".")
    files = [file_of(".".join(parts[: count + 1])) for count in range(len(parts))]
    return [path for path in files if path]
