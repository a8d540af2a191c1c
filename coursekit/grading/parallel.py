"""Many submissions side by side: threads that wait for examiners here, or a Dask cluster."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from coursekit.errors import CourseError, writing
from coursekit.grading.exam import zygote
from coursekit.grading.exam.jobs import answered, make_job
from coursekit.grading.exam.records import Records
from coursekit.grading.intake import form, repair
from coursekit.grading.intake.form import packed
from coursekit.notebooks import dump


@dataclass
class Plan:
    """Where and how a class is graded."""

    name: str
    root: Path
    class_folder: Path
    jobs: int = 1
    dask: str | None = None
    trust: bool = False
    progress: bool = True
    limits: dict = field(default_factory=dict)
    feedback: bool = True


def examined(plan, work, rows):
    """Yields (student, result) as examinations end; results of an earlier run come first.

    work: list of Collected with a path.  rows: {student: Row}, for notes and
    reasons.  A result that could not be had is {"error": sentence}.
    """
    records, made = Records(plan.class_folder, plan.name), form.form(plan.name, plan.root)
    waiting = []
    for one in work:
        try:
            repaired, job = _job(plan, one, made)
        except CourseError as error:
            yield one.student, {"error": str(error)}
            continue
        rows[one.student].notes += repaired.notes
        stage(plan, one.student, repaired.notebook, Path(one.path).parent)
        found = records.find(one.student, job)
        if found:
            yield one.student, found
        else:
            waiting.append(one)
    # Made when its turn comes: all together would fill the memory
    jobs = ((one.student, _job(plan, one, made)[1]) for one in waiting)
    asked = ((who, job | {"kept": records.kept(who, job)}) for who, job in jobs)
    for student, job, result in _side_by_side(plan, asked) if waiting else ():
        if "error" not in result:
            records.save(student, job, result)
        yield student, result


def _job(plan, one, made):
    """The repaired notebook of one submission, and the job to examine it."""
    path = Path(one.path)
    repaired = repair.repair(path.read_bytes(), made)
    files = packed(path.parent)
    return repaired, make_job(repaired.notebook, files, plan.name, plan.root, plan.limits)


def _side_by_side(plan, asked):
    """Yields (student, job, result), first come first; asked: an iterator of (student, job)."""
    from joblib import Parallel, delayed, parallel_config

    threads = max(1, (os.cpu_count() or 1) // plan.jobs) if plan.dask is None else 1
    calls = (delayed(one)(student, job, plan.trust, threads) for student, job in asked)
    how = dict(n_jobs=plan.jobs, batch_size=1, pre_dispatch="2*n_jobs")
    how["return_as"] = "generator_unordered"
    try:
        with parallel_config(**_backend(plan)):
            yield from Parallel(**how)(calls)
    except KeyboardInterrupt:
        zygote.end_shared()  # or the threads would wait for examinations that nobody wants
        raise


def _backend(plan):
    if plan.dask is None:
        return dict(backend="threading")
    try:
        from distributed import Client
    except ImportError as error:
        raise CourseError("--dask needs Dask: install it with pip install distributed.") from error
    try:
        client = Client(plan.dask, timeout=10)
    except (OSError, TimeoutError, ValueError) as error:
        raise CourseError(f"No Dask cluster answers at {plan.dask}: check the address.") from error
    return dict(backend="dask", client=client)


def one(student, job, trust, threads):
    """Examines one submission on this machine: (student, job, result)."""
    try:
        result = answered(job, trust, threads)
    except CourseError as error:
        result = {"error": str(error)}
    return student, job, result


def staging(plan):
    """Where repaired work lies for nbgrader; what students handed in stays as it was."""
    return plan.class_folder / plan.name / "staged"


def stage(plan, student, notebook, folder):
    """Lays out a repaired notebook and the plain files beside it, as nbgrader wants them."""
    target = staging(plan) / student / plan.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix != ".ipynb":
            copy = target / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    with writing(target / f"{plan.name}.ipynb") as part:
        part.write_text(dump(notebook), encoding="utf-8", newline="\n")
