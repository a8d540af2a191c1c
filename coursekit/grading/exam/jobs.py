"""What there is to examine of one submission, as plain values, and the hashes that tell it apart."""

import hashlib
import json
import os
from pathlib import Path

from coursekit.grading.intake import form
from coursekit.imports import reached
from coursekit.notebooks import grade_id

LIMITS = dict(
    cell_seconds=900,  # training is a cell
    test_seconds=300,
    total_seconds=3600,
    output=1_000_000,  # letters of one cell
    memory=2 * 2**30,
    disk=512 * 2**20,
    processes=128,
)
# Seconds that an examination may take beyond the submission's own time
GRACE = 120
# Limits that change how fast an examination is, not what comes of it
SPEED = {"threads"}


def make_job(notebook, files, name, root, limits=None):
    """What `examine.run` needs to know of one submission, a dict that JSON can hold.

    notebook: repaired.  files: {path: base64} beside it; the assignment's own win.  limits: changes
    of LIMITS.  The size is COURSEKIT_SIZE, or cpu.
    """
    return {
        "notebook": json.loads(json.dumps(notebook)),
        "files": files | form.files(name, root),
        "student_names": sorted(form.student_names(name, root)),
        "size": os.environ.get("COURSEKIT_SIZE") or "cpu",
        "limits": dict(limits or {}),
        "course": course_state(name, root),
    }


def answered(job, trust, threads):
    """What examining a job on this machine gives, with `threads` for torch. Raises CourseError."""
    from coursekit.grading.exam import zygote

    asked = job | {"limits": {"threads": threads} | job["limits"]}
    seconds = (LIMITS | job["limits"])["total_seconds"] + GRACE
    return zygote.shared(trust).examine(asked, seconds)


def course_state(name, root):
    """A hash of the package's files that an assignment can reach: they decide marks too."""
    files = sorted(reached(Path(root) / "solutions" / f"{name}.py"))
    return _hash([[path.name, path.read_text(encoding="utf-8")] for path in files])


def keys(job):
    """Hashes of a job: of the student's work with all that it runs on, and of each test."""
    cells = job["notebook"]["cells"]
    shared = [cell["source"] for cell in cells if here_too(cell)]
    work = [[grade_id(c), c["cell_type"], c["source"]] for c in cells if form.kind(c) != "test"]
    limits = LIMITS | {k: v for k, v in job["limits"].items() if k not in SPEED}
    rest = [job[key] for key in ("student_names", "files", "size", "course")]
    tests = [cell for cell in cells if form.kind(cell) == "test"]
    return {
        "work": _hash([work, rest, limits]),
        "tests": {grade_id(cell): _hash([cell["source"], shared]) for cell in tests},
    }


def here_too(cell):
    """Whether the examiner runs a cell for its own definitions: a given one without the tag."""
    return form.kind(cell) == "given" and form.STUDENT not in cell["metadata"].get("tags", [])


def _hash(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
