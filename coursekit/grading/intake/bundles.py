"""What lies in a folder or a zip, seen without following, running or trusting any of it."""

import contextlib
import io
import itertools
import lzma
import os
import re
import stat
import struct
import tempfile
import time
import unicodedata
import zipfile
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import PureWindowsPath

MB = 1 << 20
CHUNK = 1 << 18  # bytes read at once
ENTRIES = 100_000  # files and folders looked at in one source
DEPTH = 12  # folders within folders
DIRECTORY = 16 * MB  # bytes of a zip's table of contents, about 150,000 entries
INNER = 400 * MB  # bytes of a zip within a zip
NAME = 150  # bytes of one name; systems take 255, and a temporary one is longer
# What an operating system, an editor or Python leaves behind
JUNK = {"__MACOSX", "__pycache__", "Thumbs.db", "desktop.ini", "node_modules"}
JUNK |= {"venv", "site-packages"}
# Control characters, and those that turn the direction of writing around
DECEIVING = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
LINK, ODD = "is a link and was not followed", "is neither a file nor a folder"
# All that a damaged or hostile zip, or a failing disk, makes Python raise
TROUBLE = (
    OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError,
    struct.error, OverflowError, MemoryError, KeyError, IndexError,
)  # fmt: skip


class Unreadable(Exception):
    """Why something cannot be read, to stand after its name: "is damaged"."""


@dataclass
class Entry:
    """A file or folder that lies somewhere in a source.

    parts: its names from the source's top, free of `..`, control characters and great length.
    size: bytes, as the source says.  when: (year, …, second) of its last change.  fault: why it is
    left alone, "" if it can be read.  opener: function() → a file.
    """

    parts: tuple
    size: int = 0
    when: tuple = ()
    fault: str = ""
    is_folder: bool = False
    opener: object = None

    @property
    def name(self):
        """Its last name."""
        return self.parts[-1]

    def chunks(self, most):
        """Yields its bytes, at most `most` of them; raises Unreadable."""
        if self.fault or self.is_folder:
            raise Unreadable(self.fault or "is a folder")
        if self.size > most:
            raise Unreadable(too_large(self.size, most))
        try:
            with self.opener() as file:
                yield from _at_most(file, most)
        except TROUBLE as error:
            raise Unreadable(_why(error)) from error

    def read(self, most):
        """Its bytes, all of them; raises Unreadable if there are more than `most`."""
        return b"".join(self.chunks(most))


def too_large(size, most):
    """How a file of `size` bytes is refused where `most` are allowed."""
    return f"has {-(-size // MB):,} MB, and {most // MB} MB are allowed"


def entries(source, stack, scratch):
    """All entries of a folder, a zip or a single notebook.

    source: a path, or an Entry that is a zip.  stack: an ExitStack that keeps zips open.  scratch:
    a folder for zips within zips.  Raises Unreadable if it is neither, or is damaged.
    """
    if isinstance(source, Entry):
        return _in_zip(_spooled(source, stack, scratch), stack)
    try:
        if source.is_dir():
            return list(_in_folder(source))
        if source.name.lower().endswith((".ipynb", ".ipynb.txt", ".ipynb.json")):
            told = source.stat()
            when, parts = time.localtime(told.st_mtime)[:6], (_clean(source.name),)
            return [Entry(parts, told.st_size, when, opener=lambda: _opened(source, follow=True))]
        return _in_zip(stack.enter_context(_opened(source, follow=True)), stack)
    except OSError as error:
        raise Unreadable(_why(error)) from error


def is_zip(entry):
    """Whether an entry calls itself a zip."""
    return not entry.is_folder and entry.name.lower().endswith(".zip")


def _at_most(file, most):
    total = 0
    while chunk := file.read(CHUNK):
        total += len(chunk)
        if total > most:
            raise Unreadable(too_large(total, most))
        yield chunk


def _why(error):
    """What went wrong, to stand after a file's name."""
    if isinstance(error, Unreadable):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    if isinstance(error, NotImplementedError):
        return "is packed in a way that cannot be read here"
    return "is damaged"


def _clean(name):
    """A name without what could deceive a reader or a file system; its ending stays."""
    name = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    name = DECEIVING.sub("_", name)
    stem, ending = os.path.splitext(name)
    ending = ending if len(ending) < 20 else ""
    long = len(name.encode()) > NAME
    return shortened(stem, NAME - len(ending.encode())) + ending if long else name


def shortened(text, most):
    """A text cut to so many bytes of UTF-8."""
    return text.encode()[:most].decode("utf-8", "ignore")


def _is_junk(name):
    return name in JUNK or name.startswith(".")


# --- folders ------------------------------------------------------------------------------------


def _in_folder(top):
    """Entries below a folder, the shallow ones first; links are named and not followed."""
    waiting, count = deque([(str(top), ())]), 0
    while waiting:
        folder, parts = waiting.popleft()
        here, fault = _listed(folder, ENTRIES - count)
        if fault:
            yield Entry(parts or (_clean(top.name),), fault=fault, is_folder=True)
        count += len(here)
        for one in here:
            if _is_junk(one.name):
                continue
            entry = _on_disk(one, (*parts, _clean(one.name)))
            yield entry
            if entry.is_folder and len(entry.parts) < DEPTH:
                waiting.append((one.path, entry.parts))


def _listed(folder, most):
    """(what lies in a folder, sorted; why that is not all of it)."""
    try:
        with os.scandir(folder) as found:
            here = list(itertools.islice(found, most + 1))
    except OSError as error:
        return [], _why(error)
    fault = "holds more files than are looked at" if len(here) > most else ""
    return sorted(here[:most], key=lambda one: one.name), fault


def _on_disk(one, parts):
    """The Entry of a DirEntry."""
    try:
        told = one.stat(follow_symlinks=False)
    except OSError as error:
        return Entry(parts, fault=_why(error))
    when = time.localtime(told.st_mtime)[:6]
    if stat.S_ISLNK(told.st_mode):
        return Entry(parts, when=when, fault=LINK)
    if stat.S_ISDIR(told.st_mode):
        return Entry(parts, when=when, is_folder=True)
    fault = "" if stat.S_ISREG(told.st_mode) else ODD
    return Entry(parts, told.st_size, when, fault, opener=lambda: _opened(one.path))


def _opened(path, follow=False):
    """A plain file, open; never waits for a pipe, and follows a link only if told to."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    flags |= 0 if follow else getattr(os, "O_NOFOLLOW", 0)
    file = _Careful(io.FileIO(os.open(path, flags), "rb"))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Unreadable(ODD)
    return file


# --- zips ---------------------------------------------------------------------------------------


class _Careful(io.BufferedReader):
    """A file that gives no more at once than a decent zip's table of contents takes."""

    def read(self, size=-1):
        if size is not None and size > DIRECTORY:
            raise Unreadable("has too many entries")
        return super().read(size)


def _spooled(entry, stack, scratch):
    """A zip within a zip as a file on disk, which is gone when the stack is closed."""
    file = stack.enter_context(tempfile.TemporaryFile(dir=scratch))
    for chunk in entry.chunks(INNER):
        file.write(chunk)
    file.flush()
    return stack.enter_context(_Careful(io.FileIO(os.dup(file.fileno()), "rb")))


def _in_zip(file, stack):
    try:
        file.seek(0)
        bundle = stack.enter_context(zipfile.ZipFile(file))
        if len(bundle.infolist()) > ENTRIES:
            raise Unreadable("has too many entries")
        found = [_member(bundle, one) for one in bundle.infolist()]
    except Unreadable:
        raise
    except TROUBLE as error:
        told = "is no zip archive, or a damaged one"
        raise Unreadable(_why(error) if isinstance(error, OSError) else told) from error
    kept = [entry for entry in found if entry.parts and not any(map(_is_junk, entry.parts))]
    return sorted(kept, key=lambda entry: entry.parts)


def _member(bundle, member):
    """The Entry of a zip's member; of a name that climbs out only the harmless part is kept."""
    names = _real_name(member).replace("\\", "/").split("/")
    parts = tuple(_clean(one) for one in names if one not in ("", ".", "..") and one[1:] != ":")
    fault = _fault(member)
    if len(parts) > DEPTH:
        parts, fault = parts[: DEPTH - 1] + parts[-1:], fault or "lies too deep"
    when, folder = tuple(member.date_time), member.is_dir()
    return Entry(parts, member.file_size, when, fault, folder, lambda: bundle.open(member))


def _fault(member):
    kind, name = stat.S_IFMT(member.external_attr >> 16), member.filename.replace("\\", "/")
    if kind == stat.S_IFLNK:
        return LINK
    # As in datasets.download, which one bad member makes refuse all, and which imports torch
    if ".." in name.split("/") or name[:1] == "/" or PureWindowsPath(name).drive:
        return "would be written outside the folder"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return ODD
    return "is encrypted" if member.flag_bits & 1 else ""


def _real_name(member):
    """A member's name; old programs on macOS write UTF-8 without saying so."""
    with contextlib.suppress(UnicodeError):
        if not member.flag_bits & 0x800 and re.search(r"[^\x00-\x7f]", member.filename):
            return member.filename.encode("cp437").decode("utf-8")
    return member.filename
