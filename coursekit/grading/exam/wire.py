"""Frames between the examiner and a student's kernel: a length, a JSON header, then raw buffers.

Neither unpickles nor evaluates what arrives.  A frame is read with bounds on its size, on the number
and the depth of its parts, and on time, because the other side may be anything.
"""

import json
import re
import socket
import struct
import time
from dataclasses import dataclass

LENGTH = struct.Struct(">I")


class KernelDied(Exception):
    """The student's kernel is gone, or what it sends is no answer; nothing more can be asked."""


class OutOfTime(Exception):
    """The student's code did not answer in time; nothing more can be asked."""


class TooMuch(Exception):
    """A value is too large, too deep or without an end."""


class FarError(Exception):
    """An error of the student's code that is no built-in exception.

    It comes as a subclass with the name that the error had there.  `.where`, here and on built-in
    exceptions that come through the channel, is the student's line: " in line 3 of shift: …", or "".
    """

    where = ""


class Broken(Exception):
    """What arrived is no frame, or no value."""


class Closed(Exception):
    """The other side has closed the connection."""


@dataclass(frozen=True)
class Limits:
    """What a frame may hold. Bytes: header, data. Numbers of things: buffers, parts, odd_keys."""

    header: int = 8 << 20
    data: int = 256 << 20  # all buffers of a frame together
    buffers: int = 20_000
    parts: int = 500_000  # values, each item of a list counted
    depth: int = 50  # lists in lists
    odd_keys: int = 10_000  # keys that are no strings: numbers can be chosen to collide
    items: int = 100_000  # of a student's iterator, and objects that one side holds of the other
    calls: int = 100_000  # that student's code makes back to the test while one call runs
    nested: int = 20  # calls that wait for one another


class Wire:
    """One end of a connection. `deadline`, in time.monotonic() seconds or None, bounds every wait."""

    def __init__(self, connection, limits):
        self._socket, self.limits = connection, limits
        self.deadline, self.received = None, 0

    def send(self, header, buffers=()):
        """Sends a frame. Raises TooMuch before anything is sent; else OutOfTime, or Closed."""
        sizes = [memoryview(part).nbytes for part in buffers]
        text = json.dumps(dict(header, sizes=sizes)).encode()
        if len(text) > self.limits.header or sum(sizes) > self.limits.data:
            raise TooMuch(f"a value is larger than {self.limits.data >> 20} MiB, or its text is")
        if len(sizes) > self.limits.buffers:
            raise TooMuch(f"a value holds more than {self.limits.buffers} arrays")
        for part in (LENGTH.pack(len(text)) + text, *buffers):
            self._wait(self._socket.sendall, part)

    def receive(self):
        """The next frame: its header, a dict, and its buffers, bytearrays.

        Raises Closed at the end of the connection, OutOfTime, TooMuch, or Broken.
        """
        (length,) = LENGTH.unpack(self._read(LENGTH.size))
        if length > self.limits.header:
            raise TooMuch(f"a frame's header is larger than {self.limits.header >> 20} MiB")
        header = self._parsed(self._read(length))
        sizes = header.get("sizes")
        if type(sizes) is not list or any(type(n) is not int or n < 0 for n in sizes):
            raise Broken("a frame does not say the sizes of its buffers")
        if len(sizes) > self.limits.buffers or sum(sizes) > self.limits.data:
            raise TooMuch(f"a frame holds more than {self.limits.data >> 20} MiB")
        return header, [self._read(size) for size in sizes]

    def close(self):
        """Ends the connection, also for whatever else holds its socket."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def _parsed(self, text):
        # A part takes a bracket or a comma, and up to 70 bytes of memory: so count before parsing
        if text.count(b",") + text.count(b"[") + text.count(b"{") > 8 * self.limits.parts:
            raise TooMuch(f"a value holds more than {self.limits.parts} parts")
        try:
            header = json.loads(bytes(text))
        except (ValueError, RecursionError) as error:
            raise Broken("a frame's header is not JSON") from error
        if type(header) is not dict:
            raise Broken("a frame's header is not a table")
        return header

    def _read(self, size):
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            count = self._wait(self._socket.recv_into, view[at:])
            if not count:
                raise Closed("the connection ended")
            at += count
        self.received += size
        return data

    def _wait(self, operation, part):
        """A send or a receive within the time that is left."""
        left = None if self.deadline is None else self.deadline - time.monotonic()
        if left is not None and left <= 0:
            raise OutOfTime("no time is left")
        try:
            self._socket.settimeout(left)
            return operation(part)
        except TimeoutError as error:
            raise OutOfTime("no answer in time") from error
        except OSError as error:
            raise Closed(str(error)) from error


def plain_name(name, default="object"):
    """A name from the other side as a short identifier, or `default`."""
    return name if type(name) is str and re.fullmatch(r"[A-Za-z_]\w{0,59}", name, re.A) else default


def plain_text(text):
    """A string from the other side without lone surrogates, which no file and no screen takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
