"""Runs one notebook in a process of its own; tells how long it took and how much memory."""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from coursekit.errors import CourseError, writing
from coursekit.notebooks import load, quick_import

SCORE = re.compile(r"^score: (\S+) = (.+)$", re.M)
ANSI = re.compile(r"\x1b\[[0-9;]*m")
# Seconds between two looks at the kernel's memory.
LOOK = 0.1


@dataclass
class Run:
    """What came of a notebook: seconds, peak memory in MB, {score: value}, error if it failed."""

    ok: bool
    seconds: float
    peak_mb: float
    scores: dict = field(default_factory=dict)
    error: str = ""


def run_notebook(source, target, size, *, seconds=3600, **variables):
    """Executes the notebook `source` at `size`, and keeps it with its outputs as `target`.

    seconds: the most it may take.  variables: further environment variables of the kernel.
    The kernel runs in the notebook's own folder.  Returns a Run; a cell that raises ends the run,
    and the notebook is kept up to there.  Raises CourseError if `source` is no notebook.
    Peak memory is that of the kernel and all processes it starts, sampled ten times a second.
    """
    load(source)
    environment = dict(os.environ, COURSEKIT_SIZE=size, **variables)
    with tempfile.TemporaryDirectory(prefix="coursekit-run-") as folder:
        report = Path(folder) / "run.json"
        command = [sys.executable, "-m", "coursekit.running", source, target, report]
        worker = subprocess.Popen(list(map(str, command)), env=environment)
        started = time.perf_counter()
        late = not _wait(worker, seconds)
        if report.is_file() and not late:
            return Run(**json.loads(report.read_text(encoding="utf-8")))
        spent = time.perf_counter() - started
        code = worker.returncode
        why = f"took longer than {seconds} s" if late else f"ended with exit code {code}"
        return Run(False, round(spent, 2), 0.0, error=f"the run {why}")


def _wait(worker, seconds):
    """Whether the worker ended in time; it never outlives this call, nor does its kernel."""
    try:
        worker.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        _stop(worker)


def _stop(worker):
    """Ends a worker that still runs: politely, so that it takes its kernel along, then by force."""
    for end in (worker.terminate, worker.kill):
        if worker.poll() is not None:
            return
        end()
        try:
            worker.wait(10)
        except subprocess.TimeoutExpired:
            continue


def end_with_parent():
    """Ends this process within a second or two once the one that started it is gone: nobody waits for its result."""
    parent = os.getppid()

    def wait():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(source, target, report):
    """The worker: executes, watches, and writes the executed notebook and the report."""
    end_with_parent()
    with quick_import():
        import nbformat
        from nbclient import NotebookClient

    notebook = nbformat.read(source, as_version=4)
    place, cells = {"metadata": {"path": str(Path(source).resolve().parent)}}, []
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,
        resources=place,
        config=_encrypted(),
        on_cell_execute=lambda cell, cell_index: cells.append(cell_index),
    )
    started, error = time.perf_counter(), ""
    with Watch() as watch:
        try:
            client.execute(stderr=subprocess.DEVNULL)
        except Exception as problem:  # a dead kernel and a failing cell alike become a row
            error = brief(notebook) or f"cell {cells[-1] if cells else 0}: {problem}"
    seconds = time.perf_counter() - started
    with writing(target) as part:
        nbformat.write(notebook, str(part))
    run = Run(not error, round(seconds, 2), round(watch.peak / 1e6, 1), scores(notebook), error)
    Path(report).write_text(json.dumps(vars(run)), encoding="utf-8")


def _encrypted():
    """Settings of a kernel whose traffic other users of the machine cannot read."""
    from traitlets.config import Config

    return Config({"KernelManager": {"transport_encryption": "auto"}})


class Watch(threading.Thread):
    """Follows the memory of all processes below this one; `.peak` in bytes."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.over = 0, threading.Event()

    def run(self):
        import psutil

        myself = psutil.Process()
        while not self.over.wait(LOOK):
            family = myself.children(recursive=True)
            together = sum(_memory(one, shared=len(family) > 1) for one in family)
            self.peak = max(self.peak, together, *map(_highest, family), 0)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def _memory(process, shared):
    """Bytes held by a process; of pages shared with others only its part, where that is told."""
    import psutil

    try:
        # What is shared takes long to tell: it is asked for only where something can be shared
        told = process.memory_full_info() if shared else process.memory_info()
        return getattr(told, "pss", told.rss)
    except psutil.Error:
        return 0


def _highest(process):
    """The most memory a process ever held, which a look in between may miss; 0 where unknown."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)
    return int(found[1]) * 1024 if found else 0


def scores(notebook):
    """{name: value as printed} of the lines `score: NAME = VALUE` in a notebook's outputs."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    printed = [output["text"] for output in outputs if output.get("name") == "stdout"]
    return dict(SCORE.findall("\n".join(printed)))


def brief(notebook, lines=6):
    """The last lines of a failing cell's error, with the cell's number; "" if none failed."""
    for number, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", []):
            if output["output_type"] == "error" and "raises-exception" not in _tags(cell):
                text = ANSI.sub("", "\n".join(output["traceback"])).splitlines()
                told = [line for line in text if line.strip()][-lines:]
                return "\n".join([f"cell {number}: {output['ename']}", *told])
    return ""


def _tags(cell):
    return cell["metadata"].get("tags", [])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (CourseError, KeyboardInterrupt) as error:
        sys.exit(f"{error}")
