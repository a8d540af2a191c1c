"""System calls that a walled process is refused, by Linux's seccomp filter."""

import ctypes
import os
import struct
from errno import EAFNOSUPPORT, ENOMEM, ENOSYS, EPERM

# AUDIT_ARCH_… of linux/audit.h, and which column of CALLS holds this processor's numbers.
PROCESSORS = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
# Name: its number on x86_64 and on aarch64 (asm/unistd_64.h, asm-generic/unistd.h).
NAMESPACES = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
}
OTHER_PROCESSES = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "sched_setaffinity": (203, 122),  # a kernel stays on its own cores
}
# Memory that belongs to no process, so that no limit and no look at processes finds it.
HIDDEN_MEMORY = {
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "vmsplice": (278, 75),  # pins whole pages in pipes
}
# Parts of the kernel that no notebook needs, and where most of its holes were found.
DEEP = {
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
}
REFUSED = NAMESPACES | OTHER_PROCESSES | HIDDEN_MEMORY | DEEP
CLONE, CLONE3, SOCKET, MMAP = (56, 220), (435, 435), (41, 198), (9, 222)
SETSOCKOPT = (54, 208)
# SO_SNDBUF, SO_RCVBUF and their FORCE: what sockets hold is nobody's memory
BUFFERS = (7, 8, 32, 33)
# CLONE_NEWNS, …CGROUP, …UTS, …IPC, …USER, …PID, …NET
NEW_NAMESPACES = 0x7E020000
# AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: all that a network namespace shuts in. Not AF_VSOCK.
FAMILIES = (1, 2, 10, 16)
# MAP_SHARED or MAP_SHARED_VALIDATE, with MAP_ANONYMOUS; and the bits that tell.
SHARED_ANONYMOUS, MAP_BITS = (0x21, 0x23), 0x2F
X32 = 0x40000000

# Instructions of classic BPF, and where struct seccomp_data holds what they load.
LOAD, AND, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
NUMBER, PROCESSOR = 0, 4
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2


def refuse():
    """Refuses these calls to this process and all that it starts, for good.

    A refused call fails with EPERM; a new kind of socket with EAFNOSUPPORT; memory shared without
    a file with ENOMEM.  Raises OSError where the system has no seccomp, KeyError on a processor
    that is not in PROCESSORS.
    """
    program = _program(*PROCESSORS[os.uname().machine])
    code = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    whole = Program(len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, MODE_FILTER, whole, 0, 0)):
        told = [ctypes.byref(one) if isinstance(one, Program) else _long(one) for one in call]
        if libc.prctl(*told):
            raise OSError(ctypes.get_errno(), "the filter of system calls is refused")


def _long(number):
    return ctypes.c_ulong(number)


def _program(processor, column):
    """The filter as bytes: 8 an instruction."""
    steps = [(LOAD, 0, 0, PROCESSOR), (EQUAL, 1, 0, processor), (RETURN, 0, 0, KILL)]
    steps += [(LOAD, 0, 0, NUMBER), *_answer(AT_LEAST, X32, ENOSYS)]
    for numbers in REFUSED.values():
        steps += _answer(EQUAL, numbers[column], EPERM)
    steps += _answer(EQUAL, CLONE3[column], ENOSYS)  # its flags lie in memory; clone is tried next
    steps += _call(CLONE[column], _argument(0), _answer(ANY_BIT, NEW_NAMESPACES, EPERM))
    known = [step for one in FAMILIES for step in ((EQUAL, 0, 1, one), (RETURN, 0, 0, ALLOW))]
    steps += _call(SOCKET[column], _argument(0), known + [(RETURN, 0, 0, ERROR | EAFNOSUPPORT)])
    shared = [step for bits in SHARED_ANONYMOUS for step in _answer(EQUAL, bits, ENOMEM)]
    steps += _call(MMAP[column], _argument(3), [(AND, 0, 0, MAP_BITS), *shared])
    larger = [step for option in BUFFERS for step in _answer(EQUAL, option, EPERM)]
    steps += _call(SETSOCKOPT[column], _argument(2), larger)
    steps.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _argument(number):
    """Where the low half of a call's argument lies (both processors are little-endian)."""
    return 16 + 8 * number


def _answer(test, value, error):
    """Two instructions: `error` for a call that the test fits."""
    return [(test, 0, 1, value), (RETURN, 0, 0, ERROR | error)]


def _call(number, argument, steps):
    """The steps on an argument of one call; the call is allowed where none of them answers."""
    inside = [(LOAD, 0, 0, argument), *steps, (RETURN, 0, 0, ALLOW)]
    return [(EQUAL, 0, len(inside), number), *inside]
