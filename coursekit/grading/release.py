"""From an assignment's text to what students get: built by nbgrader, checked, published."""

import shutil
import tempfile
from pathlib import Path

from coursekit import notebooks
from coursekit.errors import CourseError, writing
from coursekit.grading.build import built_solution
from coursekit.grading.engine import HIDDEN, SCHEME, SOLUTION, connect, failure, regions, settings

# A secret shorter than this (`return h`) says nothing, and stands in half of all cells.
SHORTEST_SECRET = 12


def release(name, *, root=None, check_solution=False):
    """Publishes assignment `name` as `assignments/NAME/`, and returns the path of its notebook.

    Builds `solutions/NAME/NAME.ipynb` from its text, lets nbgrader make the students' version, and
    refuses (CourseError, nothing written) if that holds an answer, a hidden test or an output.
    check_solution: also run the solution against its own tests, as long as a submission takes.
    """
    root = Path(root) if root else notebooks.course_root()
    source = built_solution(name, root)
    if check_solution:
        _check_marks(name, root, source)
    target = root / "assignments" / name
    with tempfile.TemporaryDirectory(prefix="coursekit-release-") as folder:
        made = _convert(name, root, Path(folder))
        _publish(made, target)
    return target / f"{name}.ipynb"


def released_files(name, *, root=None):
    """What `release` would publish: {path inside the assignment's folder: bytes}."""
    root = Path(root) if root else notebooks.course_root()
    with tempfile.TemporaryDirectory(prefix="coursekit-release-") as folder:
        made = _convert(name, root, Path(folder))
        return {str(path.relative_to(made)): path.read_bytes() for path in _files(made)}


def register(name, *, root, class_folder):
    """Makes `name` known to a class's gradebook: its cells, points and hidden tests.

    Raises CourseError if nbgrader refuses, as when questions changed after work was graded.
    """
    config = settings(root, class_folder)
    Path(class_folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="coursekit-release-") as folder:
        config.CourseDirectory.release_directory = folder
        result = connect(config).generate_assignment(name, force=True)
    if not result["success"]:
        why = failure(result)
        raise CourseError(f"'{name}' cannot enter the gradebook ({why}): mend its text.")


def _convert(name, root, folder):
    """nbgrader's students' version in `folder`, proven free of secrets; returns its own folder."""
    config = settings(root)
    config.CourseDirectory.release_directory = str(folder)
    config.SaveCells.enabled = False
    config.GenerateAssignment.no_database = True
    result = connect(config).generate_assignment(name, force=True)
    if not result["success"]:
        raise CourseError(f"nbgrader cannot release '{name}' ({failure(result)}): mend its text.")
    made = folder / name
    notebook = made / f"{name}.ipynb"
    notebook.write_text(notebooks.dump(notebooks.load(notebook)), encoding="utf-8", newline="\n")
    found = leaks(root / "solutions" / name / f"{name}.ipynb", made)
    if found:
        raise CourseError(f"'{name}' was not released, it would show: {'; '.join(found[:3])}.")
    return made


def leaks(solution, folder):
    """What a released folder shows that it must not, one phrase each; empty when it is clean."""
    secrets = _secrets(notebooks.load(solution))
    found = []
    for path in _files(Path(folder)):
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".ipynb":
            text = "\n".join(cell["source"] for cell in notebooks.load(path)["cells"])
            if notebooks.holds_outputs(path):
                found.append(f"{path.name} holds outputs")
        marks = [mark for pair in (SOLUTION, HIDDEN, SCHEME) for mark in pair]
        found += [f"{path.name} holds '{mark}'" for mark in marks if mark in text]
        found += [f"{path.name} holds the secret line '{line}'" for line in secrets if line in text]
    return found


def _secrets(notebook):
    """Lines of answers, hidden tests and mark schemes that stand nowhere in the open part."""
    hidden, shown = [], []
    for cell in notebook["cells"]:
        source = cell["source"]
        whole = cell["metadata"].get("nbgrader", {}).get("solution") and SOLUTION[0] not in source
        outside = [] if whole else source.split("\n")
        hidden += source.split("\n") if whole else []
        for marks in (SOLUTION, HIDDEN, SCHEME):
            inside, outside = regions("\n".join(outside), marks)
            hidden += inside
        shown += outside
    public = "\n".join(shown)
    lines = {line.strip() for line in hidden}
    return sorted(line for line in lines if len(line) >= SHORTEST_SECRET and line not in public)


def _check_marks(name, root, source):
    """Examines the solution as a submission would be, behind walls where there are some."""
    from coursekit.grading.bank import marks_of, points
    from coursekit.grading.exam import jobs, walls, zygote
    from coursekit.grading.intake import form, repair

    notebook = repair.repair(source.read_bytes(), form.form(name, root)).notebook
    job = jobs.make_job(notebook, {}, name, root)
    seconds = jobs.LIMITS["total_seconds"]
    result = zygote.shared(trust=bool(walls.missing())).examine(job, seconds)
    full, (got, messages) = points(source), marks_of(result["notebook"])
    lost = [f"{key} ({messages.get(key, '')[-120:]})" for key in full if got[key] < full[key]]
    if lost:
        raise CourseError(f"The solution fails its own tests, so nothing is released: {lost[0]}.")


def _files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _publish(made, target):
    """Makes `target` hold the files of `made` and no other; what is the same is not touched."""
    wanted = {path.relative_to(made) for path in _files(made)}
    for path in _files(target) if target.is_dir() else []:
        if path.relative_to(target) not in wanted:
            path.unlink()
    for name in sorted(wanted):
        if (target / name).is_file() and (target / name).read_bytes() == (made / name).read_bytes():
            continue
        with writing(target / name) as part:
            shutil.copy(made / name, part)
