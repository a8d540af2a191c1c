"""The students' edition: the course without answers and hidden tests, proven by a search for every one of them."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from coursekit import notebooks
from coursekit.errors import CourseError
from coursekit.grading.bank import load_bank
from coursekit.grading.engine import HIDDEN, SCHEME, SOLUTION
from coursekit.grading.release import SHORTEST_SECRET, released_files

# Answers, what proves them, and what runs them
LEFT_OUT = ("solutions/", "tests/", ".ci/", ".github/", "data_scripts/thresholds.py")
THRESHOLD = "_threshold.py"


def export_students(target, *, root=None):
    """Writes the students' edition into the folder `target`, and returns how many secrets were searched for.

    What git tracks is copied as it stands now, without LEFT_OUT; assignments are released anew. Then every answer,
    hidden test and mark scheme of `solutions/`, and every right answer of the banks, is searched for in every file.
    Raises CourseError, with nothing left at `target`, if one is found, or if `target` holds something.
    """
    root = Path(root) if root else notebooks.course_root()
    target = Path(target).resolve()
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise CourseError(f"{target} is there already and not empty: choose a folder that is not.")
    target.parent.mkdir(parents=True, exist_ok=True)
    names = [text.stem for text in notebooks.assignment_texts(root)]
    with tempfile.TemporaryDirectory(prefix=".coursekit-", dir=target.parent) as folder:
        made = Path(folder) / "edition"
        _copy(root, made)
        for name in names:
            _put(released_files(name, root=root), made / "assignments" / name)
        secrets = {name: secrets_of(name, root) for name in names}
        found = [one for name, each in secrets.items() for one in shown(each, name, made)]
        if found:
            raise CourseError(f"Nothing was exported, it would show {'; '.join(found[:3])}.")
        if target.is_dir():
            target.rmdir()
        made.rename(target)
    return sum(map(len, secrets.values()))


def _copy(root, made):
    """Copies what git tracks and students may see."""
    command = ["git", "-C", str(root), "ls-files", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError) as error:
        raise CourseError(
            f"{root} is no checkout of git, so what belongs to the course is not known: clone it."
        ) from error
    for name in filter(None, listed.split("\0")):
        if name.startswith((*LEFT_OUT, "assignments/")) or name.endswith(THRESHOLD):
            continue
        if (root / name).exists():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, made / name, follow_symlinks=False)


def _put(files, folder):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def secrets_of(name, root):
    """All that students must not see of an assignment: pairs (what it is, its lines), of some length."""
    notebook = notebooks.load(notebooks.notebook_path(root / "solutions" / f"{name}.py"))
    found = [pair for cell in notebook["cells"] for pair in _regions(cell)]
    found += [(f"the right answer '{one.name}' to {one.question}", one.source.split("\n"))
              for one in load_bank(name, root)[1]]  # fmt: skip
    return [
        (f"{what} of {name}", lines)
        for what, lines in found
        if len("".join(lines)) >= SHORTEST_SECRET
    ]


def _regions(cell):
    """Pairs (what it is, lines) of a solution notebook's cell."""
    where, source = notebooks.grade_id(cell), cell["source"]
    if cell["metadata"].get("nbgrader", {}).get("solution") and SOLUTION[0] not in source:
        return [(f"the answer to {where}", source.split("\n"))]
    found, kinds = [], {"an answer": SOLUTION, "a hidden test": HIDDEN, "a mark scheme": SCHEME}
    for what, (begin, end) in kinds.items():
        parts = source.split(begin)[1:]
        found += [(f"{what} in {where}", part.split(end)[0].split("\n")[1:]) for part in parts]
    return found


def shown(secrets, name, folder):
    """Which secrets of assignment `name` a file of the edition in `folder` shows, one phrase each.

    That is more than half of a secret's lines, one after another; lines that the released notebook shows itself count
    on neither side. Half is not enough: a training's `loss.backward()` and `optimizer.step()` stand in lessons too.
    """
    public = set(_plain(_lines(folder / "assignments" / name / f"{name}.ipynb")))
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {path: _without(public, _lines(path)) for path in paths}
    places = {}
    for path, lines in files.items():
        for i, line in enumerate(lines):
            places.setdefault(line, []).append((path, i))
    return [
        f"{what} in {path.relative_to(folder)}"
        for what, lines in secrets
        for path in _holders(_without(public, lines), places, files)
    ]


def _without(public, lines):
    return [line for line in _plain(lines) if line not in public]


def _holders(lines, places, files):
    """The files in which more than half of some lines stand one after another."""
    wanted, found = len(lines) // 2 + 1, set()
    for first in range(len(lines) - wanted + 1):
        part = lines[first : first + wanted]
        found |= {
            path for path, i in places.get(part[0], ()) if files[path][i : i + wanted] == part
        }
    return sorted(found)


def _lines(path):
    if path.suffix == ".ipynb":
        cells = notebooks.load(path)["cells"]
        return "\n".join(cell["source"] for cell in cells).split("\n")
    return path.read_text(encoding="utf-8", errors="replace").split("\n")


def _plain(lines):
    """Lines without blanks at their ends, empty ones and comments: what a copy cannot do without."""
    told = (" ".join(line.split()) for line in lines)
    return [line for line in told if line and not line.startswith("#")]
