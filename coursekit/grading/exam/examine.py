"""The examiner: runs one repaired notebook, the student's cells in a walled kernel, the tests here.

Tests and what they expect never leave this process. They reach the student's functions by calls
through a channel, and compare here.
"""

import asyncio
import os
import re
import tempfile
import time

from coursekit.grading.engine import HIDDEN, QUIET
from coursekit.grading.exam.exec_cells import outputs_of
from coursekit.grading.exam.jobs import LIMITS, here_too
from coursekit.grading.exam.kernel import LATE, Kernel, Stopped
from coursekit.grading.intake.form import kind, told
from coursekit.grading.results.clean import clean
from coursekit.notebooks import grade_id, quick_import

with quick_import():
    from nbformat.notebooknode import from_dict

GRADED = "graded"
# A kernel that dies this often takes the rest of the notebook with it
RESTARTS = 12


def run(job, provisioner="coursekit-walled"):
    """Examines one submission.

    job: {"notebook": repaired notebook, "student_names": names that tests may ask of the student,
    "files": {path: base64} beside the notebook, "size": smoke | cpu | gpu, "limits": changes of
    LIMITS, "kept": {grade_id of a test: outputs that stay as they were}}.
    Returns {"notebook": with outputs, "verdict": "graded", "notes": sentences, "seconds", "peak_mb"}.
    """
    os.environ.update(QUIET, COURSEKIT_SIZE=job.get("size", "cpu"), MPLBACKEND="Agg")
    started, here = time.perf_counter(), os.getcwd()
    with tempfile.TemporaryDirectory(prefix="coursekit-examiner-") as folder:
        os.environ["COURSEKIT_HOME"] = folder
        os.chdir(folder)
        try:
            sitting = Sitting(job, provisioner)
            asyncio.run(sitting.all_cells())
        finally:
            os.chdir(here)
    return {
        "notebook": presentable(sitting.notebook),
        "verdict": GRADED,
        "notes": sitting.notes,
        "seconds": round(time.perf_counter() - started, 2),
        "peak_mb": sitting.kernel.peak_mb,
    }


def presentable(notebook):
    """A notebook that is valid, bounded and safe to show, whatever the kernel sent as outputs."""
    try:
        return clean(notebook)
    except Exception:  # an output of no known form: what the student's cells showed is lost
        for cell in notebook.cells:
            if cell.cell_type == "code" and kind(cell) != "test":
                cell.outputs, cell.execution_count = [], None
        return clean(notebook)


class Names(dict):
    """The examiner's own names; those of the student's are asked of the student at every use."""

    def __init__(self, student_names):
        super().__init__(__name__="__main__", __builtins__=__builtins__, display=print)
        self.student_names = set(student_names)
        self.meet(None)

    def meet(self, near):
        """Asks at this end of the channel from now on; None ends it."""
        self.near, self.seen = near, {}

    def __missing__(self, name):
        if name in self.seen:
            return self.seen[name]  # or it could be something else at every look of one test
        if name in self.student_names and self.near is not None and self.near.has(name):
            self.seen[name] = self.near.get(name)
            return self.seen[name]
        raise KeyError(name)


class Sitting:
    """One submission's way through the examination."""

    def __init__(self, job, provisioner):
        self.notebook = from_dict(job["notebook"])
        self.limits = LIMITS | job.get("limits", {})
        self.kept = job.get("kept", {})
        self.kernel = Kernel(self.limits, job.get("files", {}), provisioner)
        self.names, self.notes = Names(job.get("student_names", ())), []
        self.deadline = time.monotonic() + self.limits["total_seconds"]
        self.done, self.restarts = [], 0

    async def all_cells(self):
        """Runs every cell of the notebook where it belongs."""
        try:
            for number, cell in enumerate(self.notebook.cells):
                if cell.cell_type == "code":
                    cell.outputs, cell.execution_count = [], None
                    await self.one_cell(number, cell)
        finally:
            await self.kernel.stop()

    async def one_cell(self, number, cell):
        if kind(cell) == "test":
            return await self.test(number, cell)
        if here_too(cell):
            self.given(number, cell)
        if self.left() > 0:
            await self.student(cell)

    def left(self):
        """Seconds until the submission's time is over, and none once its kernel died too often."""
        return self.deadline - time.monotonic() if self.restarts <= RESTARTS else 0

    # --- the student's side ---------------------------------------------------------------------
    async def student(self, cell):
        """Runs a cell in the student's kernel; one that ends the kernel is noted and left out."""
        await self.ready()
        if self.kernel.client is None:
            return
        try:
            await self.kernel.run(cell, min(self.limits["cell_seconds"], self.left()))
            self.done.append(cell)
        except Stopped:
            self.note(cell)

    def note(self, cell):
        """Writes down that a cell ended the kernel, also where the student will see it."""
        reason = self.kernel.reason
        name = grade_id(cell) or "of your own"
        self.notes.append(f"{reason} in cell {name}")
        cell.outputs = [out for out in cell.outputs if out.output_type != "error"]
        cell.outputs.append(_failure("Stopped", f"{reason}: this cell ended the kernel"))

    async def ready(self):
        """A kernel in which all cells so far have run, but those that ended one."""
        while self.kernel.client is None and self.left() > 0:
            again, self.done = self.done, []
            self.restarts += bool(again)
            await self.kernel.start()
            for place, cell in enumerate(again):
                if not await self.lives_through(cell):
                    self.done += again[place + 1 :]
                    break

    async def lives_through(self, cell):
        """Whether the kernel outlives a cell that it outlived before; its outputs stay as they were."""
        try:
            seconds = min(self.limits["cell_seconds"], self.left())
            await self.kernel.run(from_dict(dict(cell, outputs=[])), seconds)
        except Stopped:
            return False
        self.done.append(cell)
        return True

    # --- the examiner's side --------------------------------------------------------------------
    def given(self, number, cell):
        """Runs a cell of the assignment here too, for its definitions."""
        for output in outputs_of(cell.source, number, self.names):
            if output["output_type"] == "error":
                self.notes.append(
                    f"the assignment's own cell {grade_id(cell)} failed: {output['evalue'][:200]}"
                )

    async def test(self, number, cell):
        """Runs a test here, with the student's kernel at the other end of the channel."""
        key = grade_id(cell)
        if key in self.kept:
            cell.outputs = from_dict(self.kept[key])
            return
        await self.ready()
        if self.left() <= 0 or self.kernel.client is None:
            cell.outputs = [_failure("OutOfTime", f"{LATE}: the test {key} could not be run")]
            self.notes.append(f"{LATE} before test {key}")
            return
        seconds = min(self.limits["test_seconds"], self.left())
        outputs, printed, stopped = await self.kernel.serve(
            lambda channel: self.ask(number, cell, channel, seconds), seconds
        )
        if HIDDEN[0] in cell.source:
            printed = ""  # it could tell what the hidden tests ask
        cell.outputs = from_dict(_shown(printed, outputs, float(told(cell)["points"])))
        if stopped:
            reason = self.kernel.reason or stopped
            self.notes.append(f"{reason} in test {key}")
            if any(output["output_type"] == "error" for output in outputs):
                text = f"{reason}: what this test called ended the kernel"
                cell.outputs = [_failure("Stopped", text)]

    def ask(self, number, cell, channel, seconds):
        """The test's outputs. Runs in a thread while the kernel answers."""
        from coursekit.grading.exam.channel import Near

        near = Near(channel, seconds=seconds) if channel else None
        self.names.meet(near)
        try:
            return outputs_of(cell.source, number, self.names)
        finally:
            self.names.meet(None)
            if near is not None:
                near.close()


def _shown(printed, outputs, points):
    """A test's outputs: stderr is no fault, and what the student's code printed comes first."""
    shown = [dict(output_type="stream", name="stdout", text=printed)] if printed else []
    for output in outputs:
        if output["output_type"] == "stream":
            output["name"] = "stdout"
        result = output["output_type"] == "execute_result"
        shown.append(_share(output, points) if result else output)
    return shown


def _share(output, points):
    """The value of a test, a part of its points, as nbgrader reads it: a number from 0 to them.

    nbgrader gives all points for a value that is no number; here it is an error.
    """
    text = output["data"]["text/plain"]
    number = re.fullmatch(r"(?:[\w.]+\()?(-?[\d.]+(?:e[+-]?\d+)?|nan|-?inf)(?:\)|, .*\))?", text)
    if not number:
        return _failure(
            "ValueError", f"the test ends with {text[:80]}, which is no number of points"
        )
    value = float(number[1])
    part = min(max(value, 0.0), points) if value == value else 0.0
    return output | {"data": {"text/plain": repr(part)}}


def _failure(name, text):
    return from_dict(dict(output_type="error", ename=name, evalue=text, traceback=[text]))
