"""One warm process for all of grading: it has torch imported, and forks examiners and kernels.

`start` returns at once; the process warms up for some seconds, and whoever asks first waits for it.
What it forks ends with the connection over which it was asked for.
"""

import atexit
import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from coursekit.errors import CourseError
from coursekit.grading.exam import walls

# The environment variable that names the socket of the zygote above this process
ADDRESS = "COURSEKIT_ZYGOTE"
EXAMINER = "coursekit.grading.exam.examine:run"
# Seconds: until a zygote is warm, for an answer that takes no time, and until it is gone.
WARM, PROMPT, END = 300, 20, 10
# Bytes of one message; a submission's files and outputs are far below.
LARGEST = 2**30
OUT_OF_TIME, OUT_OF_MEMORY, LOST = "out of time", "out of memory", "examiner ended"


class Unfinished(CourseError):
    """An examination without a result; `.verdict` is OUT_OF_TIME, OUT_OF_MEMORY or LOST."""

    def __init__(self, verdict, text):
        super().__init__(text)
        self.verdict = verdict


# --- the protocol: a length of four bytes, then JSON ----------------------------------------------
def send(connection, message):
    """Sends one dict. Raises OSError when the other end has gone."""
    body = json.dumps(message).encode()
    connection.sendall(struct.pack("!I", len(body)) + body)


def receive(connection):
    """The next dict, or None when the other end has gone. Raises TimeoutError."""
    head = _exactly(connection, 4)
    size = struct.unpack("!I", head)[0] if head else 0
    body = _exactly(connection, size) if 0 < size <= LARGEST else None
    return json.loads(body) if body else None


def _exactly(connection, size):
    data = bytearray()
    while len(data) < size:
        try:
            part = connection.recv(min(size - len(data), 2**20))
        except ConnectionError:
            return None
        if not part:
            return None
        data += part
    return bytes(data)


# --- a kernel -------------------------------------------------------------------------------------
class Kernel:
    """A kernel that a zygote forked; it lives as long as this connection.

    `.connection`: what jupyter_client takes to connect, all over sockets of files that begin with
    `connection["ip"]`.  `.report`: None while it runs, then {"code": exit code or None, "signal":
    number or None, "peak_mb", "reason": "" or why it was ended, such as "out of memory"}.
    """

    def __init__(self, connection, told):
        self.link, self.connection, self.report = connection, told, None

    def wait(self, seconds=None):
        """The report once the kernel has ended, None if it has not within `seconds`."""
        if self.report is None:
            self.link.settimeout(seconds)
            try:
                told = receive(self.link)
            except (TimeoutError, BlockingIOError):
                return None
            lost = {"code": None, "signal": None, "peak_mb": 0.0, "reason": "the zygote has ended"}
            self.report = (told or {}).get("report", lost)
        return self.report

    def poll(self):
        """The report, or None while the kernel runs. Does not wait."""
        return self.wait(0)

    def signal(self, number):
        """Sends the kernel a signal."""
        with contextlib.suppress(OSError):
            self.link.settimeout(PROMPT)
            send(self.link, {"signal": int(number)})

    def kill(self):
        """Ends the kernel with all that it started; returns the report."""
        self.signal(signal.SIGKILL)
        return self.wait(PROMPT)

    def close(self):
        """Ends the kernel, without waiting."""
        self.link.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.close()


def fork_kernel(address, files=None, limits=None, environment=None):
    """Has the zygote at `address` (the path of its socket) start a kernel; returns a Kernel.

    files: {relative path: bytes, or their base64 as str} of its work folder.  limits: dict, see
    limits.Limits.  environment: variables beyond the few that every kernel has.
    Returns once the walls stand and the files lie there; the kernel answers soon after.
    Raises CourseError when the zygote is gone, or the files do not fit.
    """
    request = {
        "do": "kernel",
        "files": {str(path): _text(content) for path, content in (files or {}).items()},
        "limits": limits or {},
        "environment": environment or {},
    }
    link = _ask(address, request)
    told = _answer(link, PROMPT)
    if "connection" not in told:
        link.close()
        raise CourseError(told.get("error", "No kernel could be started: try again."))
    return Kernel(link, told["connection"])


def _text(content):
    return content if isinstance(content, str) else base64.b64encode(content).decode("ascii")


def _ask(address, request):
    """A connection over which the zygote has taken a request; waits until it is warm."""
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(WARM)
    try:
        link.connect(str(address))
        send(link, request)
        if (receive(link) or {}).get("taken"):
            return link
    except OSError:
        pass
    link.close()
    raise CourseError("The process that runs submissions has ended: start the grading again.")


def _answer(link, seconds):
    link.settimeout(seconds)
    try:
        return receive(link) or {}
    except TimeoutError:
        return {}


# --- the zygote -----------------------------------------------------------------------------------
class Zygote:
    """A warm process, seen from the one that started it. Use as a context manager, or `stop` it.

    `.folder` holds its sockets; `.address` is the one it listens on; `.process` runs it.
    It ends with the process that started it, and leaves no files.
    """

    def __init__(self, trust=False, warm=True):
        self.trust, self.warm, self.owner = trust, warm, os.getpid()
        self.top = tempfile.mkdtemp(prefix="coursekit-z-", dir="/tmp")
        self.folder = os.path.join(self.top, "z")
        self.address = os.path.join(self.folder, "socket")
        self.told = tempfile.TemporaryFile()
        try:
            os.mkdir(self.folder, 0o700)
            self.process = self._start()
        except BaseException:
            shutil.rmtree(self.top, ignore_errors=True)
            raise

    def _start(self):
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(self.address)
            os.chmod(self.address, 0o666)  # the folder above is closed to others
            door.listen(64)
            walled = [] if self.trust else walls.outer(self.folder)
            if walled:
                walls.prepare(self.folder)
            run = [sys.executable, "-P", "-m", "coursekit.grading.exam.forkserver"]
            told = [self.folder, str(door.fileno()), "trust" if self.trust else "walls"]
            told += [] if self.warm else ["cold"]
            # The shell outlives a killed parent and takes the folder away.
            clean = ["sh", "-c", '"$@"; rm -rf "$0"', self.top]
            return subprocess.Popen(
                [*clean, *walled, *run, *told],
                stdin=subprocess.PIPE,  # when this end closes, the zygote ends
                stdout=subprocess.DEVNULL,
                stderr=self.told,
                pass_fds=[door.fileno()],
                env=walls.environment(*([self.folder] if self.trust else [])),
                start_new_session=True,
            )

    @property
    def alive(self):
        """Whether it still runs."""
        return self.process.poll() is None

    def kernel(self, files=None, limits=None, environment=None):
        """A kernel forked by this zygote; see `fork_kernel`."""
        with self._explained():
            return fork_kernel(self.address, files, limits, environment)

    def examine(self, job, seconds, *, function=EXAMINER, limits=None):
        """Runs `function(job)` in an examiner of its own, and gives its result.

        job and result: dicts that JSON can hold.  seconds: the most it may take, from the fork.
        function: `module:name`, imported there.  limits: `memory` of the examiner, in bytes.
        The examiner finds this zygote's address in $COURSEKIT_ZYGOTE.  It and its kernels end with
        this call, whatever happens.  Any number of threads may call.
        Raises Unfinished if there is no result, CourseError when the zygote is gone, and what the
        examiner itself raised as CourseError (with its traceback in the text, if it was another).
        """
        request = {"do": "examine", "job": job, "seconds": seconds, "function": function}
        with self._explained(), _ask(self.address, request | {"limits": limits or {}}) as link:
            told = _answer(link, seconds + PROMPT)
        if "result" in told:
            return told["result"]
        if "error" in told:
            raise CourseError(told["error"])
        verdict = told.get("verdict") or LOST
        raise Unfinished(verdict, told.get("detail") or f"The examination ended: {verdict}.")

    def state(self):
        """What the warm process tells of itself: {"threads", "missing": imports that failed}."""
        with self._explained(), _ask(self.address, {"do": "state"}) as link:
            return _answer(link, PROMPT)

    @contextlib.contextmanager
    def _explained(self):
        """Adds to the error about a zygote that has ended what it said last."""
        try:
            yield
        except Unfinished:
            raise
        except CourseError as error:
            if self.alive:
                raise
            raise CourseError(f"{error}{self._last_words()}") from error

    def _last_words(self):
        if self.told.closed:
            return ""
        self.told.seek(max(0, self.told.seek(0, os.SEEK_END) - 2000))
        lines = self.told.read().decode("utf-8", "replace").strip().splitlines()
        return f" (It said: {lines[-1]})" if lines else ""

    def stop(self):
        """Ends it with all that it started. Does nothing in a forked copy of its starter."""
        if self.owner != os.getpid():
            return
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(END)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.top, ignore_errors=True)
        self.told.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def start(trust=False, *, warm=True):
    """Starts a zygote, and does not wait until it is warm.

    trust: no walls, only limits.  warm: False imports nothing beforehand, for a few forks only.
    Raises CourseError where it cannot run: without walls it takes
    Linux or macOS, with walls Linux, bubblewrap and user namespaces.
    """
    if not hasattr(os, "fork"):
        raise CourseError("Grading needs Linux or macOS: run it there, on Windows inside WSL.")
    if not trust:
        walls.need()
    return Zygote(trust, warm)


_shared, _lock = {}, threading.Lock()


def shared(trust=False):
    """This process's own zygote, started at the first call, ended with the process."""
    with _lock:
        found = _shared.get(trust)
        if found is None or found.owner != os.getpid() or not found.alive:
            if found is not None:
                found.stop()
            _shared[trust] = found = start(trust)
        return found


@atexit.register
def end_shared():
    """Ends this process's own zygotes; whoever waits for an answer from them gets a CourseError."""
    while _shared:
        _shared.popitem()[1].stop()


def running():
    """The address of the zygote above this process, from the environment; "" if there is none."""
    address = os.environ.get(ADDRESS, "")
    return address if address and Path(address).exists() else ""
