"""The examiner's side of the channel: a student's functions, called as if they were here.

`Near(connection)` gives the names of the student's notebook.  Plain values come by value; any other
object stays with the student and is called through a `Far`.  The student's process is not trusted:
nothing that it sends is unpickled, evaluated or imported, and it reaches no more of this process
than the public methods of objects that were handed to it as arguments.
"""

import itertools
import os
import socket
import time
from collections import deque
from contextlib import contextmanager

import torch

from coursekit.checks.core import Wrong
from coursekit.errors import CourseError
from coursekit.grading.exam import lend
from coursekit.grading.exam.changed import wanting
from coursekit.grading.exam.proxies import END, Far, far, linked, student_error
from coursekit.grading.exam.values import Reader, Writer
from coursekit.grading.exam.wire import (
    Broken,
    Closed,
    FarError,
    KernelDied,
    Limits,
    OutOfTime,
    TooMuch,
    Wire,
    plain_text,
)

__all__ = [
    "Far", "FarError", "KernelDied", "Limits", "Near", "OutOfTime", "TooMuch", "accept", "listen",
]  # fmt: skip

LONGEST_PLACE = 300  # letters of a student's line
KEPT_ERRORS = 100


def listen(path):
    """A unix socket that waits at `path`, for this user only. Raises CourseError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
    except OSError as error:
        listener.close()
        why = error.strerror or error
        raise CourseError(
            f"No socket can be made at {path} ({why}): choose another folder."
        ) from error
    os.chmod(path, 0o600)
    listener.listen(1)
    return listener


def accept(listener, seconds=60.0):
    """The connection of the student's kernel that calls first. Raises OutOfTime."""
    listener.settimeout(seconds)
    try:
        return listener.accept()[0]
    except TimeoutError as error:
        raise OutOfTime(f"the student's kernel did not come within {seconds:g} s") from error


class Near:
    """A student's kernel at the other end of a connected unix socket.

    seconds: what all calls together may take, all that they call back included; `.left` of them
    are left.  Calls raise the student's own error, or KernelDied, OutOfTime, TooMuch.
    """

    def __init__(self, connection, seconds=60.0, limits=None):
        self.seconds, self.left, self.limits = seconds, seconds, limits or Limits()
        self._wire = Wire(connection, self.limits)
        self._lent = lend.Lent(self.limits.items)
        self._serials, self._waiting = itertools.count(1), []
        self._dropped, self._forget = deque(), []
        self._raised, self._calls = {}, 0
        self._ended, self._fault = "", None

    @property
    def names(self):
        """The names that the student's notebook defines, a list of strings."""
        names = self.ask("names")
        return [name for name in names if type(name) is str] if type(names) is list else []

    def has(self, name):
        """Whether the student's notebook defines a name."""
        return self.ask("has", name=name) is True

    def get(self, name):
        """What the student's notebook calls `name`: a value, or a Far. Raises NameError."""
        return self.ask("get", name=name)

    def close(self):
        """Ends the connection; the student's side goes on with its notebook."""
        self._end("the connection is closed")

    @property
    def received(self):
        """Bytes that have come so far."""
        return self._wire.received

    def ask(self, do, on=0, name=None, args=(), kwargs=()):
        """Asks the student's side to do something with its object number `on`; for Far and Near."""
        with self._turn() as serial:
            writer = Writer(self.limits, self._lend, share=True)
            told = dict(do=do, on=on, name=name, serial=serial, grad=torch.is_grad_enabled())
            told["args"] = [writer.value(one) for one in args]
            told["kwargs"] = [[key, writer.value(one)] for key, one in dict(kwargs).items()]
            with self._guarded():
                self._send(told, writer.buffers)
                reply, buffers = self._reply(serial)
                writes, error, result = self._read(reply, buffers, writer.objects)
            for write in writes:
                write()
            if error:
                raise error
            return result

    @contextmanager
    def _turn(self):
        """A call's time and place among the calls that wait; gives its serial number."""
        if self._ended:
            raise KernelDied(self._ended)
        if len(self._waiting) >= self.limits.nested:
            raise RecursionError("the test and the student's code call each other without an end")
        if not self._waiting:
            self._wire.deadline = time.monotonic() + self.left
            self._raised, self._calls = {}, 0
        self._waiting.append(next(self._serials))
        try:
            yield self._waiting[-1]
        finally:
            self._waiting.pop()
            self.left = self._wire.deadline - time.monotonic()

    @contextmanager
    def _guarded(self):
        """Ends the connection when the other side breaks its rules, and says how."""
        try:
            yield
        except _Unsent as error:
            raise TooMuch(str(error)) from None
        except BaseException as error:
            if self._ended:
                raise
            self._fault = _fault(error, self.seconds)
            self._end(f"the student's kernel is gone: {self._fault}")
            raise self._fault from (None if self._fault is error else error)

    def _end(self, why):
        self._ended = self._ended or why
        self._wire.close()

    def _send(self, told, buffers):
        self._lent.drop(self._forget)
        self._forget = []
        dropped = [self._dropped.popleft() for _ in range(len(self._dropped))]
        try:
            self._wire.send(dict(told, drop=dropped), buffers)
        except TooMuch as error:
            self._dropped.extend(dropped)
            raise _Unsent(str(error)) from error

    def _reply(self, serial):
        """The answer to a call, after all that it calls back."""
        while True:
            frame, buffers = self._wire.receive()
            self._forget += frame["drop"] if type(frame.get("drop")) is list else []
            if frame.get("reply") == serial:
                return frame, buffers
            if frame.get("in") != serial:
                raise Broken("an answer to nothing")
            self._called(frame, buffers)

    def _called(self, frame, buffers):
        """Does what the student's code asks of an object that was lent to it."""
        self._calls += 1
        if self._calls > self.limits.calls:
            raise TooMuch(f"more than {self.limits.calls} calls of what the test handed over")
        function = self._lent.function(frame["call"], frame.get("name"))
        reader = self._reader(buffers, {})
        args = [reader.value(one) for one in frame["args"]]
        kwargs = {str(key): reader.value(one) for key, one in frame["kwargs"]}
        told, sent = self._outcome(function, args, kwargs, frame.get("grad") is True)
        if self._ended:
            raise self._fault or KernelDied(self._ended)
        try:
            self._send(told, sent)
        except _Unsent as error:
            self._send(self._kept(TooMuch(str(error))), ())

    def _outcome(self, function, args, kwargs, grad):
        """What a call of the test's own function gives, as a frame and its buffers."""
        writer = Writer(self.limits, self._lend, outs=[])
        try:
            with torch.set_grad_enabled(grad):
                result = writer.value(function(*args, **kwargs))
            if writer.outs:
                raise CourseError(
                    "Student's code cannot take a gradient through a test's own function: "
                    "hand over one of coursekit."
                )
            return dict(result=result), writer.buffers
        except Exception as error:
            return self._kept(error), ()

    def _kept(self, error):
        """Keeps an error of the test; the student's side learns its kind only."""
        key = next(self._serials)
        self._raised[key] = error
        if len(self._raised) > KEPT_ERRORS:
            del self._raised[min(self._raised)]
        return dict(error=[key, type(error).__name__])

    def _read(self, reply, buffers, objects):
        """Of a reply: functions that restore arguments, the error or None, and the value."""
        special = {"arg": lambda body, *_: _changeable(objects[body])}
        reader = self._reader(buffers, special)
        outs = linked(self, reply, reader, wanting(objects))
        special["out"] = lambda body, *_: outs[body]
        writes = []
        for place, told in reply.get("changes", [])[: len(objects)]:
            writes.append(lend.restored(objects[place], told, reader))
        if reply.get("error") is not None:
            return writes, self._error(reply["error"]), None
        return writes, None, END if reply.get("end") is True else reader.value(reply.get("value"))

    def _reader(self, buffers, special):
        special["far"] = lambda body, *_: far(self, *body)
        special["near"] = lambda body, *_: self._lent.thing(body)
        return Reader(buffers, self.limits, special, self._wire.deadline)

    def _lend(self, thing, writer):
        if isinstance(thing, Far):
            if thing._near is not self:
                raise CourseError("An object of another kernel was handed over: fetch it again.")
            return {"far": thing._key}
        return lend.lend(thing, writer, self._lent)

    def _error(self, told):
        """The student's error, or the test's own that came out of the student's code again."""
        place = plain_text(str(told.get("where") or ""))[:LONGEST_PLACE]
        error = self._raised.get(told.get("id")) if type(told.get("id")) is int else None
        if error is None:
            error = student_error(told)
        if not isinstance(error, Wrong):
            error.where = place
        return error


class _Unsent(Exception):
    """A frame was too large, and nothing of it was sent."""


def _fault(error, seconds):
    """The exception that tells of a fault at the other end."""
    if isinstance(error, OutOfTime):
        return OutOfTime(f"the student's code took more than {seconds:g} s")
    if isinstance(error, Closed):
        return KernelDied("the student's kernel ended while the test waited for it")
    if isinstance(error, (TooMuch, KernelDied)) or not isinstance(error, Exception):
        return error
    return KernelDied("what the student's kernel sent is no answer")


def _changeable(thing):
    """An argument that a reply may name. Lists are told in full: one in itself has no end."""
    if isinstance(thing, (list, dict, set)):
        raise Broken("a list cannot be named")
    return thing
