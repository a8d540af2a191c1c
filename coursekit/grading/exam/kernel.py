"""The student's kernel as the examiner sees it: cell by cell, bounded, restarted when it dies."""

import asyncio
import contextlib
import json
import signal
import socket
from pathlib import Path
from queue import Empty

from coursekit.notebooks import quick_import

with quick_import():
    import nbformat
    import zmq
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

# What a kernel is told to run while a test asks for the student's functions
SERVE = "from coursekit.grading.exam import far as _far; _far.serve({path!r}, globals())"
DIED, LATE, FLOOD, MEMORY = (
    "kernel died",
    "out of time",
    "too much output",
    "out of memory",
)
# A notebook may show as much as this many full cells; a message costs at least so many letters
CELLS, MESSAGE = 20, 100
# Bytes of one frame from a kernel: beyond it the connection is closed unread
FRAME = 32 * 2**20
# pip would try for a minute to reach a network that is not there
ENVIRONMENT = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
# Seconds that a kernel may take to answer when nothing is asked of it
ANSWER = 10
# How often a new kernel is asked whether it is there, a second at a time
START = 60
# Seconds between two looks at whether the kernel lives
LOOK = 0.1


class Stopped(Exception):
    """A cell that did not come to its end; the text is one of DIED, LATE, FLOOD and MEMORY."""


class _Client(NotebookClient):
    """nbclient with a bound on what one cell may print, and a quicker eye for dead kernels."""

    bound, printed, total, flooded = 1_000_000, 0, 0, False

    def process_message(self, msg, cell, cell_index):
        if not self.flooded:
            size = _size(msg)
            self.printed, self.total = self.printed + size, self.total + size
            if self.printed > self.bound or self.total > CELLS * self.bound:
                self.flooded = True
                self.end = asyncio.ensure_future(self.km.signal_kernel(signal.SIGKILL))
        if self.flooded and msg["msg_type"] != "status":
            return None  # what is over the bound is not kept
        return super().process_message(msg, cell, cell_index)

    async def _async_poll_kernel_alive(self):
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self._async_check_alive()
            except DeadKernelError:
                self.task_poll_for_reply.cancel()
                return


def _size(msg):
    """Letters of a message, whatever it holds, and what handling one costs."""
    buffers = sum(len(one) for one in msg.get("buffers") or [])
    return len(json.dumps(msg["content"], default=str)) + buffers + MESSAGE


async def _introduced(manager):
    """A client that has heard its kernel on both channels; jupyter_client waits 0.2 s longer.

    Raises RuntimeError if the kernel does not answer.
    """
    client = manager.client()
    client.start_channels()
    for _ in range(START):
        client.kernel_info()
        with contextlib.suppress(Empty):
            await client.shell_channel.get_msg(timeout=1)
            await client.iopub_channel.get_msg(timeout=0.2)
            client.allow_stdin = False
            return client
        if not await manager.is_alive():
            break
    client.stop_channels()
    raise RuntimeError("the kernel does not answer")


class Kernel:
    """A walled kernel that runs the student's cells.

    limits: `cell_seconds`, `output` (letters a cell), and what the walls know.  files: {path: base64}
    of its work folder.  provisioner: the Jupyter kernel provisioner to start it with.
    """

    def __init__(self, limits, files, provisioner):
        self.limits, self.files, self.provisioner = limits, files, provisioner
        self.client, self.peak_mb, self.reason = None, 0.0, ""

    async def start(self):
        """Starts a kernel; one that is there already is ended first."""
        await self.stop()
        manager = AsyncKernelManager(kernel_name="python3", transport="ipc")
        manager.context.setsockopt(zmq.MAXMSGSIZE, FRAME)
        manager.kernel_spec.metadata["kernel_provisioner"] = {
            "provisioner_name": self.provisioner,
            "config": {},
        }
        manager.kernel_spec.interrupt_mode = "message"
        notebook = nbformat.v4.new_notebook()
        self.client = _Client(notebook, km=manager, allow_errors=True, record_timing=False)
        self.client.bound = self.limits["output"]
        self.client.interrupt_on_timeout = False
        await manager.start_kernel(
            walled={"files": self.files, "limits": self.limits, "environment": ENVIRONMENT}
        )
        self.client.kc = await _introduced(manager)

    async def run(self, cell, seconds):
        """Runs one code cell, puts its outputs into it, and looks whether the kernel still answers.

        Raises Stopped, whether the cell ended the kernel or left it deaf.
        """
        await self._run(cell, seconds, keep=True)
        await self._run(nbformat.v4.new_code_cell("pass"), ANSWER, keep=False)

    async def _run(self, cell, seconds, keep):
        client, self.reason = self.client, ""
        client.printed = 0
        client._display_id_map = {}  # what an earlier cell displayed is not updated
        client.nb.cells = [cell]
        client.timeout = max(1, round(seconds))
        try:
            await client.async_execute_cell(cell, 0, store_history=keep)
        except CellTimeoutError:
            self.reason = LATE
        except asyncio.CancelledError:
            self.reason = DIED
        except Exception:  # a kernel that sends what no kernel sends ends here too
            self.reason = DIED
        if client.flooded:
            self.reason = FLOOD
        if self.reason:
            await self.stop()
            raise Stopped(self.reason)

    async def serve(self, work, seconds):
        """Runs work(channel) in a thread while the kernel answers on that socket.

        Returns what `work` returns, and the text that the student's code printed meanwhile.
        Raises Stopped after `work` has ended, if the kernel did not outlive it.
        """
        path = self._channel()
        cell = nbformat.v4.new_code_cell(SERVE.format(path=str(path)))
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(path))
            door.listen(1)
            answering = asyncio.ensure_future(self._run(cell, seconds, keep=False))
            try:
                done = await asyncio.to_thread(self._meet, door, work, answering)
            finally:
                path.unlink(missing_ok=True)
                stopped = await _outcome(answering)
        printed = "".join(out["text"] for out in cell.outputs if out.get("name") == "stdout")
        return done, printed, stopped

    def _channel(self):
        return Path(f"{self.client.km.ip}-channel")

    def _meet(self, door, work, answering):
        """Waits until the kernel has come to the door, then works with it."""
        door.settimeout(LOOK)
        while not answering.done():
            with contextlib.suppress(TimeoutError):
                meeting, _ = door.accept()
                with meeting:
                    return work(meeting)
        return work(None)

    async def stop(self):
        """Ends the kernel and all that it started."""
        client, self.client = self.client, None
        if client is None:
            return
        with contextlib.suppress(Exception):  # its end must not be the examiner's
            if client.km.has_kernel:
                await client.km.shutdown_kernel(now=True)
            self._report(client.km.provisioner)
            await client.km.cleanup_resources()
        if client.kc:
            client.kc.stop_channels()

    def _report(self, provisioner):
        """What the walls tell of a kernel that has ended."""
        told = getattr(provisioner, "report", None) or {}
        self.peak_mb = max(self.peak_mb, told.get("peak_mb", 0.0))
        if told.get("reason") == MEMORY:
            self.reason = MEMORY


async def _outcome(task):
    try:
        await task
    except Stopped as stopped:
        return str(stopped)
    return ""
