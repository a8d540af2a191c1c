"""Keeps one forked process: its time, its memory, its processes, and the end of all of them."""

import contextlib
import json
import os
import select
import signal
import struct
import time

from coursekit.grading.exam.zygote import LARGEST, OUT_OF_MEMORY, OUT_OF_TIME, receive

TOO_MANY = "too many processes"
# Seconds between two looks at memory, and how much longer than a look took it pauses at least.
LOOK, PAUSE = 0.1, 5
LIFELINE = 0
# How the system ends a process whose processor time is over
ENDS_CPU = (signal.SIGKILL, signal.SIGXCPU)


class Keeper:
    """Follows a child of this process until it ends, and makes an end of it when that is due.

    link: the connection of whoever asked for the child: when it closes, the child ends; a message
    {"signal": number} is passed on.  limits: limits.Limits, of which memory and processes are held
    here, for the child and all processes below it.  seconds: the most it may take.  inbox: a socket
    from which the child's result is read.
    """

    def __init__(self, child, link, limits, seconds=None, inbox=None):
        self.child, self.link, self.limits, self.inbox = child, link, limits, inbox
        self.deadline = time.monotonic() + seconds if seconds else None
        self.reason, self.peak, self.data, self.status = "", 0, bytearray(), None
        self.first, self.next = None, time.monotonic()
        if inbox is not None:
            inbox.setblocking(False)

    def keep(self):
        """The child's report once it has ended: {"code", "signal", "peak_mb", "reason"}."""
        with _exit_seen(self.child) as ending:
            while self.status is None:
                self._events(ending)
                self._look()
                self._late()
                self._ended()
        self._sweep()
        code = os.waitstatus_to_exitcode(self.status)
        return {
            "code": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "peak_mb": round(self.peak / 1e6, 1),
            "reason": self.reason,
        }

    def result(self):
        """What the child sent into the inbox, or None if it did not come to that."""
        head = struct.calcsize("!I")
        whole = len(self.data) >= head and struct.unpack_from("!I", self.data)[0] + head
        return json.loads(self.data[head:]) if whole and len(self.data) == whole else None

    def _events(self, ending):
        """Waits for the next look, or until something happens."""
        watched = [one for one in (self.link, LIFELINE, self.inbox, ending) if one is not None]
        ready = select.select(watched, [], [], max(0, self.next - time.monotonic()))[0]
        if self.inbox in ready and self.inbox is not None:
            self._read()
        if LIFELINE in ready:
            self._end("the zygote has ended")
        if self.link in ready:
            self._obey()

    def _obey(self):
        self.link.settimeout(1)
        with contextlib.suppress(TimeoutError):
            told = receive(self.link)
            if told is None:
                self._end("nobody waits for it")
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.child, told["signal"])
        self.link.settimeout(None)

    def _read(self):
        """Takes what lies in the inbox; whether there was anything."""
        try:
            part = self.inbox.recv(2**20)
        except BlockingIOError:
            return False
        self.data += part
        if not part or len(self.data) > LARGEST:
            self.inbox = None
        return bool(part)

    def _late(self):
        if self.deadline and time.monotonic() > self.deadline:
            self._end(OUT_OF_TIME)

    def _ended(self):
        """Notes the child's end, with the most memory that it ever held."""
        pid, status, used = os.wait4(self.child, os.WNOHANG)
        if pid == 0:
            return
        while self.inbox is not None and self._read():
            pass
        self.status, self.peak = status, max(self.peak, used.ru_maxrss * 1024)
        spent = used.ru_utime + used.ru_stime
        signalled = os.WIFSIGNALED(status) and os.WTERMSIG(status) in ENDS_CPU
        if signalled and not self.reason and spent > self.limits.cpu_seconds - 1:
            self.reason = OUT_OF_TIME

    def _end(self, reason):
        self.reason = self.reason or reason
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child, signal.SIGKILL)

    def _sweep(self):
        """Ends what a child without a process namespace of its own leaves behind."""
        import psutil

        while left := psutil.Process().children(recursive=True):
            for one in left:
                with contextlib.suppress(psutil.Error):
                    one.kill()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.005)

    def _look(self):
        """Ends the child if it and its processes hold too much, or are too many."""
        started = time.monotonic()
        if started < self.next:
            return
        family = _family()
        if len(family) > self.limits.processes:
            return self._end(TOO_MANY)
        held = sum(memory(one, shared=len(family) > 1) for one in family)
        self.first = self.first if self.first is not None else held
        self.peak = max(self.peak, held)
        if held - self.first > self.limits.memory:
            self._end(OUT_OF_MEMORY)
        ended = time.monotonic()
        self.next = ended + max(LOOK, PAUSE * (ended - started))


def _family():
    import psutil

    return psutil.Process().children(recursive=True)


def memory(process, shared):
    """Bytes held by a process; of pages that it shares only its part, where that is told."""
    import psutil

    try:
        if shared:
            with contextlib.suppress(psutil.AccessDenied, AttributeError):
                return process.memory_full_info().pss
        return process.memory_info().rss
    except psutil.Error:
        return 0


@contextlib.contextmanager
def _exit_seen(child):
    """A file descriptor that becomes readable when a child ends; None where there is no such."""
    try:
        descriptor = os.pidfd_open(child)
    except (OSError, AttributeError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
