"""What runs inside the walls: a kernel, in a process forked from the warm one."""

import base64
import os
import resource
import signal
import sys
from pathlib import Path, PurePosixPath

from coursekit.grading.exam import walls
from coursekit.grading.exam.limits import Limits, data_size, hold

# The kernel's five sockets, in the order of their numbers
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
# What a kernel says once its walls stand and its files lie there
STANDS = b"+"
# How far kernels stand back behind examiners, which must answer while a kernel is busy
NICE = 5
INLINE = "module://matplotlib_inline.backend_inline"
# Variables beyond the warm process's own; a submission's request may change them.
VARIABLES = {
    "USER": "student",
    "COURSEKIT_SIZE": "cpu",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MPLBACKEND": INLINE,
}


class Place:
    """Where a kernel lives: `.meeting` is the folder of its sockets, `.home` and `.work` its own.

    cores: numbers of the processor's cores to stay on, or None.
    """

    def __init__(self, meeting, walled, cores=None):
        self.meeting, self.walled, self.cores = str(meeting), walled, cores
        self.home = walls.HOME if walled else f"{meeting}/home"
        self.work = walls.WORK if walled else f"{meeting}/work"


def main(place, doors, connection, request, tell):
    """Walls this process in, then is a kernel until it ends. Never returns.

    doors: {address: file descriptor} of listening sockets.  connection: what clients connect with.
    request: files, limits, environment.  tell: a file descriptor for STANDS, or for the reason why
    the kernel cannot start.
    """
    limits, used = Limits.of(request["limits"]), data_size()
    try:
        _alone({*doors.values(), tell}, place.cores)
        if place.walled:
            walls.enclose(place.meeting, limits)
        _settle_in(place, request)
        walls.restrict(limits, used) if place.walled else hold(limits, used, walled=False)
        walls.control(walls.PR_SET_DUMPABLE, 1)  # its keeper looks at its memory
    except BaseException as error:
        os.write(tell, str(error).encode()[:2000])
        os._exit(1)
    os.write(tell, STANDS)
    os.close(tell)
    try:
        _kernel(place, doors, connection, limits)
        os._exit(0)
    finally:
        os._exit(1)


def _alone(kept, cores):
    """Leaves the family: own session, ends with its parent, no files open but `kept`."""
    os.setsid()
    os.nice(NICE)
    if cores:
        os.sched_setaffinity(0, cores)
    walls.control(walls.PR_SET_PDEATHSIG, signal.SIGKILL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 2**20)
    borders = sorted({2, *kept, max(most, *kept)})
    for low, high in zip(borders, borders[1:], strict=False):
        os.closerange(low + 1, high)
    if sys.platform == "linux":  # the first to go when the machine's memory is short
        Path("/proc/self/oom_score_adj").write_text("1000")


def _settle_in(place, request):
    for folder in (place.home, place.work):
        os.makedirs(folder, exist_ok=True)
    _unpack(request["files"], place.work)
    kept = {name: os.environ[name] for name in walls.environment() if name in os.environ}
    own = {"HOME": place.home, "COURSEKIT_HOME": place.home}
    own |= {"TMPDIR": "/tmp" if place.walled else place.home}
    asked = {str(name): str(value) for name, value in request["environment"].items()}
    os.environ.clear()
    os.environ.update(kept | VARIABLES | own | asked)
    os.chdir(place.work)


def _unpack(files, folder):
    """Writes {relative path: base64} below a folder. Raises OSError, ValueError."""
    for name, content in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(f"The file name {name!r} is unusable: give a path below the notebook.")
        target = Path(folder, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(content))


def fresh(threads):
    """Makes random numbers and threads those of a new process, not the warm one's."""
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # else a student's kernel could foretell the examiner's
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
        torch.seed()


def _kernel(place, doors, connection, limits):
    from ipykernel.kernelapp import IPKernelApp

    sys.path.insert(0, "")  # modules that were handed in beside the notebook
    _hand_over(doors)
    fresh(limits.threads)
    app = IPKernelApp.instance(config=_settings(place, connection))
    app.initialize([])
    # As in any kernel; what is done when pyplot is imported was done before there was a kernel.
    app.shell.keepkernel_on_exit = True  # exit() in a cell ends nothing
    app.shell.run_line_magic("matplotlib", "inline")
    app.start()


def _hand_over(doors):
    """Has ZeroMQ take the sockets that are open already, where it would bind new ones."""
    import zmq

    plain = zmq.Socket.bind

    def bind(self, address):
        if address in doors:
            self.setsockopt(zmq.USE_FD, doors.pop(address))
        return plain(self, address)

    zmq.Socket.bind = bind


def _settings(place, connection):
    from traitlets.config import Config

    app = {f"{name}_port": connection[f"{name}_port"] for name in CHANNELS}
    app |= {"transport": "ipc", "ip": connection["ip"]}
    app |= {"connection_file": f"{place.home}/kernel.json"}
    key = {"key": connection["key"].encode()}
    return Config(IPKernelApp=app, Session=key, HistoryManager={"enabled": False})
