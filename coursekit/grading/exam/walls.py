"""The walls around student code: bubblewrap around all of grading, namespaces around each kernel.

Outer walls: the process that runs examiners and kernels sees the system's programs, Python and this
package, all read-only, one private folder, and no network.  Inner walls: a kernel sees less still,
has a small disk of its own in memory, and can reach no process but those it starts.
"""

import ctypes
import functools
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from coursekit.errors import CourseError
from coursekit.grading.exam import seccomp
from coursekit.grading.exam.limits import Limits, data_size, hold

PACKAGE = Path(__file__).resolve().parents[2]
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store")
# What programs look up in /etc; the rest of it stays outside.
ETC = ("ld.so.cache", "alternatives", "fonts", "localtime", "java-*", "nsswitch.conf")
# What a Python installation consists of; other folders below a prefix stay outside, because an
# environment may have been made in the very folder that holds a course.
PREFIX = ("bin", "lib", "lib64", "include", "share", "etc", "pyvenv.cfg")
PACKAGES = ("site-packages", "dist-packages")
PROCESSORS = "/sys/devices/system/cpu"
# A kernel's /proc: what tells of the machine and of no process.
PROC = ("cpuinfo", "meminfo", "loadavg", "stat", "uptime", "version", "filesystems")
# Who the system's administrator becomes inside: the limit of processes does not hold for root.
NOBODY = 65534
HOME, WORK = "/tmp/home", "/tmp/work"

NEW_MOUNTS, NEW_USERS = 0x00020000, 0x10000000
# Users, processes, IPC, network, host name, control groups.
NEW_SPACES = NEW_USERS | 0x20000000 | 0x08000000 | 0x40000000 | 0x04000000 | 0x02000000
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, MOVE = 1, 2, 4, 8, 32, 4096, 8192
REC, PRIVATE = 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 1, 4, 24, 36
PR_CAP_AMBIENT, CLEAR_ALL, CAPABILITIES_V3 = 47, 4, 0x20080522


# --- what the system has --------------------------------------------------------------------------
@functools.cache
def missing():
    """Why no walls can be built on this machine, in words; "" where they can.  Takes 0.2 s once."""
    if sys.platform != "linux":
        return "only Linux has the means"
    if platform.machine() not in seccomp.PROCESSORS:
        return f"they know no system calls of a processor {platform.machine()}"
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed (on Debian and Ubuntu: apt install bubblewrap)"
    with tempfile.TemporaryDirectory(prefix="coursekit-try-", dir="/tmp") as folder:
        prepare(folder)
        trial = f"from coursekit.grading.exam import walls; walls.trial({folder!r})"
        command = [*outer(folder), sys.executable, "-P", "-c", trial]
        tried = subprocess.run(command, capture_output=True, text=True, env=environment())
    if tried.returncode == 0:
        return ""
    said = tried.stderr.strip().splitlines() or [f"exit code {tried.returncode}"]
    return f"this system does not let bubblewrap do its work ({said[-1].strip()})"


def need():
    """Raises CourseError where no walls can be built."""
    if why := missing():
        raise CourseError(
            f"Submissions cannot be walled in here: {why}. Put that right, or grade with "
            "--trust-submissions if you would run every student's code as your own."
        )


def trial(folder):
    """Builds the inner walls once, inside the outer ones. Raises OSError where that fails."""
    shown = [path for path in (*_python(), *sys.path) if os.path.exists(path)]
    settle()
    for path in shown:
        if not os.access(path, os.R_OK):
            sys.exit(f"for root, all users must be able to read {path}")
    separate()
    child = os.fork()
    if child == 0:
        used = data_size()
        enclose(folder, Limits())
        restrict(Limits(), used)
        os._exit(0)
    if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(code)


# --- the outer walls ------------------------------------------------------------------------------
def prepare(folder):
    """Makes a private folder ready to be the one that both sides see."""
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    for name, line in (
        ("passwd", "student:x:{0}:{0}::{1}:/bin/sh\n"),
        ("group", "student:x:{0}:\n"),
    ):
        path = Path(folder, name)
        path.write_text(line.format(NOBODY if os.geteuid() == 0 else os.getuid(), HOME))
        path.chmod(0o444)


def outer(folder):
    """The command line of bubblewrap, to be followed by a command; `folder` is seen and writable."""
    spaces = ["ipc", "pid", "net", "uts"] + ([] if os.geteuid() == 0 else ["user"])
    command = [
        shutil.which("bwrap") or "bwrap",
        *(f"--unshare-{one}" for one in spaces),
        "--unshare-cgroup-try",
    ]
    if os.geteuid() == 0:
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    command += ["--die-with-parent", "--new-session", "--proc", "/proc", "--dev", "/dev"]
    command += ["--dir", "/etc", "--tmpfs", "/tmp", *_system(), *_shown(_python())]
    for name in ("passwd", "group"):
        command += ["--ro-bind", f"{folder}/{name}", f"/etc/{name}"]
    command += [
        *_above(folder),
        "--bind",
        folder,
        folder,
        "--remount-ro",
        "/",
        "--chdir",
        "/tmp",
        "--",
    ]
    return command


def environment(home="/tmp"):
    """The variables of the process inside the outer walls: nothing of the caller's."""
    single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    return single | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
        "PYTHONPATH": str(PACKAGE.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "MPLBACKEND": "agg",
    }


def _system():
    paths = [path for path in SYSTEM if os.path.isdir(path)]
    links = {path: os.readlink(path) for path in paths if os.path.islink(path)}
    command = [word for path, to in links.items() for word in ("--symlink", to, path)]
    shown = [path for path in paths if path not in links]
    shown += [str(path) for name in ETC for path in Path("/etc").glob(name)]
    return command + _shown([*shown, PROCESSORS])


def _python():
    """The paths that this interpreter needs beyond the system's."""
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    paths = [os.path.join(prefix, part) for prefix in prefixes for part in PREFIX]
    paths += [path for path in sys.path if os.path.basename(path) in PACKAGES]
    paths += [str(PACKAGE), *_links(sys.executable)]
    return _highest(path for path in paths if not path.startswith("/usr/") and os.path.exists(path))


def _links(path):
    """Every file that a chain of links passes through."""
    while os.path.islink(path):
        path = os.path.join(os.path.dirname(path), os.readlink(path))
        yield os.path.normpath(path)


def _highest(paths):
    """Paths in order, without those that lie below another."""
    kept = []
    for path in sorted({os.path.abspath(path) for path in paths}):
        if not any(Path(path).is_relative_to(one) for one in kept):
            kept.append(path)
    return kept


def _shown(paths):
    """Arguments that bind paths read-only."""
    binds = [word for path in paths for word in ("--ro-bind-try", path, path)]
    return [*_above(*paths), *binds]


def _above(*paths):
    """Makes the folders above paths, which else only root may enter."""
    above = sorted({str(folder) for path in paths for folder in Path(path).parents} - {"/"})
    return [word for folder in above for word in ("--dir", folder)]


# --- the inner walls ------------------------------------------------------------------------------
def settle():
    """Makes root an ordinary user, for good; anyone else stays who they are."""
    if os.getuid() == 0:
        os.chmod("/tmp", 0o1777)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        control(PR_SET_DUMPABLE, 1)  # else this process cannot write its own maps of users


def separate():
    """Gives this process a user namespace, and its next child namespaces of its own.

    The child is the first process of its process namespace: when it ends, so do all that it started.
    """
    user, group = os.getuid(), os.getgid()
    _must(_libc().unshare(NEW_SPACES), "namespaces are refused")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def enclose(meeting, limits):
    """Covers the file system: all is read-only but a disk of `limits.disk` bytes on /tmp.

    meeting: the one folder of the caller that stays visible, read-only, for its sockets.
    """
    _must(_libc().unshare(NEW_MOUNTS), "mounts are refused")
    mount(None, "/", None, REC | PRIVATE)
    below = [path for path in _python() if path.startswith("/tmp/")]
    seen = {path: os.open(path, os.O_PATH) for path in (meeting, *below)}
    size = f"size={limits.disk},nr_inodes=100000,mode=755"
    mount("tmpfs", "/tmp", "tmpfs", NOSUID | NODEV, size)
    for path in (HOME, WORK, "/tmp/shm", "/tmp/proc"):
        os.mkdir(path)
    for path, descriptor in seen.items():
        _seen_again(path, descriptor)
    _devices()
    _covered_proc()


def _seen_again(path, descriptor):
    """Shows, read-only, what the disk on /tmp has covered and was opened before."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.mkdir(path)
    else:
        Path(path).touch()
    mount(f"/proc/self/fd/{descriptor}", path, None, BIND)
    _read_only(path)
    os.close(descriptor)


def _devices():
    mount("/tmp/shm", "/dev/shm", None, BIND)
    mount("/dev/null", "/dev/zero", None, BIND)  # mapped, it would be memory that no limit counts
    mount("devpts", "/dev/pts", "devpts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    _read_only("/dev")


def _covered_proc():
    """Hides all processes: a fresh proc would be better, but root may not mount one here."""
    mount("tmpfs", "/tmp/proc", "tmpfs", NOSUID | NODEV | NOEXEC, "size=64k,mode=555")
    for name in PROC:
        Path("/tmp/proc", name).touch()
        mount(f"/proc/{name}", f"/tmp/proc/{name}", None, BIND)
    _read_only("/tmp/proc")
    mount("/tmp/proc", "/proc", None, MOVE)
    os.rmdir("/tmp/proc")


def _read_only(path):
    """Makes a mount read-only; flags that it came with must be named again."""
    kept = os.statvfs(path).f_flag & (NOSUID | NODEV | NOEXEC)
    mount(None, path, None, REMOUNT | BIND | RDONLY | kept)


def restrict(limits, used):
    """Takes from this process, for good, all rights that a kernel does not need.

    used: limits.data_size() before the walls stood.
    """
    hold(limits, used, walled=True)
    _drop_rights()
    seccomp.refuse()


def _drop_rights():
    for number in range(64):
        _libc().prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    _libc().prctl(PR_CAP_AMBIENT, CLEAR_ALL, 0, 0, 0)
    head, none = (ctypes.c_uint32 * 2)(CAPABILITIES_V3, 0), (ctypes.c_uint32 * 6)()
    _must(_libc().capset(head, none), "capabilities cannot be dropped")


# --- calls of the system --------------------------------------------------------------------------
def mount(source, target, kind, flags, options=None):
    """mount(2). Raises OSError."""
    words = [os.fsencode(word) if word is not None else None for word in (source, target, kind)]
    told = options.encode() if options else None
    _must(_libc().mount(*words, ctypes.c_ulong(flags), told), f"mounting {target} is refused")


def control(option, value):
    """prctl(2) with one number. Does nothing where the system has no such call."""
    if sys.platform == "linux":
        _libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def _must(result, what):
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


@functools.cache
def _libc():
    return ctypes.CDLL(None, use_errno=True)
