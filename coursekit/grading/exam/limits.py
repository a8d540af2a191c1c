"""What one kernel may use, and the system's limits (setrlimit) that hold it."""

import os
import re
import resource
import sys
from dataclasses import dataclass, fields
from pathlib import Path

# Bytes of addresses that torch and its threads reserve; page tables for more would be hidden memory
ADDRESSES = 8 * 2**30


@dataclass(frozen=True)
class Limits:
    """What one kernel may use, with all the processes that it starts.

    memory: bytes beyond what a warm kernel starts with; for one process a bound that the system
    holds, for all together one that is looked at ten times a second.  disk: bytes of its files,
    which lie in memory.  file: bytes of one file.  processes: threads count too.  cpu_seconds: of
    one process.  threads: of torch, and cores that the kernel stays on.
    """

    memory: int = 2 * 2**30
    disk: int = 512 * 2**20
    file: int = 256 * 2**20
    processes: int = 256
    open_files: int = 192  # each may hold a buffer that no limit of memory counts
    cpu_seconds: int = 3600
    threads: int = 1

    @classmethod
    def of(cls, told):
        """Limits from a dict; names that are no limit of a kernel are left out."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: int(value) for name, value in told.items() if name in names})


def hold(limits, used, walled):
    """Sets this process's limits, for good.

    used: `data_size()` before walls hid it.  walled: in a user namespace of its own, where its
    processes are counted apart from the caller's.
    """
    bounds = {"DATA": used + limits.memory, "FSIZE": limits.file, "CORE": 0}
    bounds |= {"CPU": limits.cpu_seconds, "NOFILE": limits.open_files}
    bounds["AS"] = ADDRESSES + 2 * limits.memory
    if walled:
        bounds |= {"MSGQUEUE": 0, "SIGPENDING": 1024}
        if _counted_apart():
            bounds["NPROC"] = limits.processes
    for name, value in bounds.items():
        _hold(getattr(resource, f"RLIMIT_{name}", None), value)


def _hold(which, value):
    """Sets one limit, lower than it is or not at all, and so that nobody can raise it again."""
    if which is None:
        return
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(which, (value, value))
    except (OSError, ValueError):
        if sys.platform == "linux":
            raise


def _counted_apart():
    """Whether processes are counted for each namespace, and not for each user (Linux 5.14)."""
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return bool(found) and tuple(map(int, found.groups())) >= (5, 14)


def data_size():
    """Bytes of memory that the limit DATA counts for this process; 0 where that is not told."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmData:\s+(\d+) kB", status, re.M)
    return int(found[1]) * 1024 if found else 0
