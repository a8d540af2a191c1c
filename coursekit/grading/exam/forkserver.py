"""The warm process: imports what submissions import, then forks one keeper for each connection.

It never reads what a connection brings, so that no fork finds another submission's work in its
memory.  The keeper reads it, forks the examiner or the kernel, and ends it when its time has come.
"""

import contextlib
import fcntl
import gc
import importlib
import io
import os
import random
import secrets
import select
import shutil
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

from coursekit.errors import CourseError
from coursekit.grading.exam import inside, walls
from coursekit.grading.exam.keeper import Keeper
from coursekit.grading.exam.limits import Limits
from coursekit.grading.exam.zygote import ADDRESS, receive, send
from coursekit.notebooks import quick_import

CHECKS = sorted(f"checks.{path.stem}" for path in (walls.PACKAGE / "checks").glob("[!_]*.py"))
COURSE = [*CHECKS, *"models datasets decoding metrics plots sizes text".split()]
# What assignments, kernels and examiners import, so that no fork has to.
LIBRARIES = """
numpy torch torch._dynamo torchvision matplotlib.pyplot matplotlib_inline.backend_inline psutil
tqdm.auto zmq.eventloop.zmqstream tornado.platform.asyncio ipykernel.kernelapp ipykernel.ipkernel
ipykernel.zmqshell ipykernel.displayhook ipykernel.debugger IPython.core.pylabtools
IPython.core.debugger IPython.core.magics.pylab jupyter_client.manager nbformat.v4 nbclient
""".split()
GRADING = ("examine", "channel", "far", "provisioner")  # examine brings what cleans outputs too
PRELOAD = [
    *LIBRARIES,
    *(f"coursekit.{name}" for name in COURSE),
    *(f"coursekit.grading.exam.{name}" for name in GRADING),
]
# Seconds that keepers have to tidy up, and bytes that an examiner may use beyond the warm process.
TIDY, EXAMINER_MEMORY = 3, 4 * 2**30
LIFELINE = 0


def main(folder, door, mode, *cold):
    """Serves connections until the process that started this one closes its end of stdin."""
    walled = mode == "walls"
    if walled:
        walls.settle()
    missing = {} if cold else warm_up()
    serve(socket.socket(fileno=int(door)), Path(folder), walled, missing)


def warm_up():
    """Imports PRELOAD, starting no thread; returns {module: why it could not be imported}."""
    missing = {}
    sys.modules["debugpy"] = None  # a debugger takes time to start, and nobody would use it
    with quick_import():
        for name in PRELOAD:
            try:
                importlib.import_module(name)
            except Exception as error:
                missing[name] = f"{type(error).__name__}: {error}"
        _rehearse()
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all of these objects
    return missing


def _rehearse():
    """Does once what takes long the first time: a figure, a choice of backend, a failing cell."""
    with contextlib.suppress(ImportError, AttributeError):
        from matplotlib import pyplot
        from matplotlib.backends.registry import backend_registry

        backend_registry.list_all()
        figure = pyplot.figure()
        figure.add_subplot().plot([1, 2])
        figure.savefig(io.BytesIO(), format="png", bbox_inches="tight")
        pyplot.close("all")
    with contextlib.suppress(ImportError, AttributeError, TypeError):
        from IPython.core.ultratb import AutoFormattedTB

        try:
            raise CourseError
        except CourseError:
            AutoFormattedTB(mode="Context").structured_traceback(*sys.exc_info())


def serve(door, folder, walled, missing):
    """Forks a keeper for each connection. Returns when the lifeline closes and all keepers ended."""
    keepers = set()
    while True:
        ready = select.select([door, LIFELINE], [], [], 0.2 if keepers else None)[0]
        _reap(keepers)
        if LIFELINE in ready:
            return _see_off(keepers)
        if door in ready:
            with contextlib.suppress(OSError), door.accept()[0] as link:
                keeper = os.fork()
                if keeper == 0:
                    door.close()
                    _keep(link, folder, walled, missing)
                keepers.add(keeper)


def _reap(keepers):
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            keepers.discard(ended)


def _see_off(keepers):
    """Waits for keepers, which see the lifeline close too."""
    last = time.monotonic() + TIDY
    while keepers and time.monotonic() < last:
        _reap(keepers)
        time.sleep(0.01)
    for keeper in keepers:
        os.kill(keeper, signal.SIGKILL)


# --- in a keeper ----------------------------------------------------------------------------------
def _keep(link, folder, walled, missing):
    """Does what one connection asks for. Never returns."""
    try:
        walls.control(walls.PR_SET_PDEATHSIG, signal.SIGKILL)
        walls.control(walls.PR_SET_CHILD_SUBREAPER, 1)
        request = receive(link)
        if request:
            send(link, {"taken": True})
            if request["do"] == "kernel":
                kernel(link, request, folder, walled)
            elif request["do"] == "examine":
                examine(link, request, folder)
            else:
                send(link, {"threads": _threads(os.getppid()), "missing": missing})
    except OSError as error:
        with contextlib.suppress(OSError):  # unless it was the other end that has gone
            send(link, {"error": f"The system refuses what grading needs: {error}"})
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _threads(process):
    """How many threads a process has; 1 where that is not told."""
    tasks = f"/proc/{process}/task"
    return len(os.listdir(tasks)) if os.path.isdir(tasks) else 1


def kernel(link, request, folder, walled):
    """Forks a kernel, tells how to connect to it, and keeps it until it ends."""
    meeting = folder / "kernels" / secrets.token_hex(6)
    meeting.mkdir(parents=True)
    limits = Limits.of(request["limits"])
    try:
        connection, doors = _doors(meeting)
        cores = _cores(folder, limits.threads)
        told, tell = os.pipe()
        if walled:
            walls.separate()
        child = os.fork()
        if child == 0:
            numbers = {address: door.fileno() for address, door in doors.items()}
            inside.main(inside.Place(meeting, walled, cores), numbers, connection, request, tell)
        os.close(tell)
        for door in doors.values():
            door.close()
        keeper = Keeper(child, link, limits)
        _introduce(link, told, connection)
        send(link, {"report": keeper.keep()})
    finally:
        shutil.rmtree(meeting, ignore_errors=True)


def _cores(folder, count):
    """Cores for one kernel, so that one with many busy processes takes no time from the others.

    Each is held by a lock that ends with this process; where none is free, any will do.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    known, held = sorted(os.sched_getaffinity(0)), []
    for core in known:
        lock = os.open(folder / f"core-{core}", os.O_CREAT | os.O_RDWR, 0o600)
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held.append(core)
        if len(held) >= count:
            break
    return held or random.sample(known, min(count, len(known)))


def _introduce(link, told, connection):
    """Waits until the walls stand, then tells the other end how to connect, or what is wrong."""
    with open(told, "rb") as pipe:
        word = pipe.read()
    if word == inside.STANDS:
        return send(link, {"connection": connection})
    why = word.decode("utf-8", "replace") or "it ended at once"
    send(link, {"error": f"The kernel cannot start: {why}"})


def _doors(meeting):
    """A kernel's listening sockets, made here so that it need not write where others read."""
    connection = {"transport": "ipc", "ip": str(meeting / "k"), "key": secrets.token_hex(16)}
    connection |= {"signature_scheme": "hmac-sha256", "kernel_name": "python3"}
    doors = {}
    for number, channel in enumerate(inside.CHANNELS, 1):
        door = socket.socket(socket.AF_UNIX)
        door.bind(f"{meeting}/k-{number}")
        door.listen(16)
        doors[f"ipc://{meeting}/k-{number}"] = door
        connection[f"{channel}_port"] = number
    return connection, doors


def examine(link, request, folder):
    """Forks an examiner, keeps it until it ends, and passes its result on."""
    desk = folder / "examiners" / secrets.token_hex(6)
    desk.mkdir(parents=True)
    walls.control(walls.PR_SET_DUMPABLE, 0)  # this process holds hidden tests
    limits = Limits.of({"memory": EXAMINER_MEMORY} | request["limits"])
    inbox, outbox = socket.socketpair()
    try:
        child = os.fork()
        if child == 0:
            inbox.close()
            link.close()
            _examiner(outbox, request, folder, desk)
        outbox.close()
        keeper = Keeper(child, link, limits, request["seconds"], inbox)
        report = keeper.keep()
        send(link, keeper.result() or {"verdict": report["reason"], "detail": _ending(report)})
    finally:
        shutil.rmtree(desk, ignore_errors=True)


def _ending(report):
    """What became of an examiner without a result, in a sentence; "" if its keeper ended it."""
    if report["reason"]:
        return ""
    how = f"signal {report['signal']}" if report["signal"] else f"exit code {report['code']}"
    return f"The examiner ended without a result ({how})."


def _examiner(outbox, request, folder, desk):
    """Runs the request's function, and sends what it returns or raises. Never returns."""
    try:
        os.setsid()
        walls.control(walls.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), LIFELINE)
        os.environ.update({ADDRESS: str(folder / "socket"), "HOME": str(desk), "TMPDIR": str(desk)})
        os.chdir(desk)
        inside.fresh(1)
        module, name = request["function"].split(":")
        result = getattr(importlib.import_module(module), name)(request["job"])
        send(outbox, {"result": result})
    except CourseError as error:
        send(outbox, {"error": str(error)})
    except BaseException as error:
        traceback.print_exc()
        words = "".join(filter(str.isprintable, str(error)[:200]))  # perhaps a student's
        told = f"the examiner failed ({type(error).__name__}: {words}); report it"
        send(outbox, {"error": told})
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # what torch does at an exit takes time, and is of no use here
