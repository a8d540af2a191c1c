"""Unpacking zip and tar archives of strangers so that nothing escapes, and nothing fills the disk."""

import gzip
import shutil
import sys
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from tqdm import tqdm

from coursekit.errors import CourseError, writing

CHUNK = 1 << 18  # bytes read at once
MOST_FILES = 1_000_000  # COCO has 123,287
# Photos hardly shrink when packed and texts by a factor of ten; small archives may do as they like
MOST_GROWTH, FREE_GROWTH = 100, 1 << 26
# tarfile reads long names whole into memory; nothing honest in a header is longer than this
MOST_HEADER = 1 << 20
MOST_PADDING = 1 << 24  # tar fills up to 10 KB
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    EOFError,
    zlib.error,
    RuntimeError,
)


@dataclass(frozen=True)
class _Member:
    """A file of an archive; `handle` is what its archive knows it by."""

    name: str
    size: int
    plain: bool
    handle: object


def unpack(archive, folder, progress=True):
    """Unpacks a zip, tar or tar.gz into `folder`, file by file; returns how many files it holds.

    A file that is there with the right size is kept, so that a killed run goes on.  Raises
    CourseError, before anything is written, for an archive that is cut off or neither zip nor tar,
    that holds a link, a device or a member that would land outside `folder`, or that would grow
    beyond reason or the free disk; and when a member is damaged.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with _opened(archive) as (members, read):
            _check(members, archive, folder)
            bar = tqdm(
                members, desc=archive.name, unit="file", leave=False, file=sys.stdout,
                disable=not progress, mininterval=0.5,
            )  # fmt: skip
            for member in bar:
                _unpack_one(member, read, folder)
    except FileNotFoundError as error:
        raise CourseError(f"There is no archive {archive}; check the name.") from error
    except DAMAGE as error:
        raise CourseError(
            f"{archive} is not a whole {_kind(archive)} archive ({error}); "
            "delete it and fetch it again."
        ) from error
    except OSError as error:
        raise CourseError(
            f"{archive} cannot be unpacked ({error}); make room or choose another folder."
        ) from error
    return len(members)


def _kind(archive):
    return "tar" if ".tar" in archive.name else "zip"


@contextmanager
def _opened(archive):
    """Yields the files of an archive, all of it looked at once, and how to open one of them."""
    size = archive.stat().st_size
    if _kind(archive) == "zip":
        with zipfile.ZipFile(archive) as bundle:
            yield _limited(map(_of_zip, bundle.infolist()), size, archive), bundle.open
        return
    with _tar(archive) as (tar, stream):
        members = _limited(map(_of_tar, tar), size, archive)
        # Where a header is damaged, tarfile stops as if the archive ended there
        if stream.last != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it has no end")
        stream.to_the_end()
        stream.most = None
        yield members, tar.extractfile


@contextmanager
def _tar(archive):
    with open(archive, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with (gzip.open if packed else open)(archive, "rb") as file:
        stream = _Stream(file)
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            yield tar, stream


class _Stream:
    """A file that remembers what was read last, and refuses to read more than `most` bytes at once."""

    def __init__(self, file):
        self.file, self.last, self.most = file, b"", MOST_HEADER
        self.seek, self.tell = file.seek, file.tell

    def read(self, size=-1):
        if self.most is not None and not 0 <= size <= self.most:
            raise tarfile.ReadError("a header is larger than any honest one")
        self.last = self.file.read(size)
        return self.last

    def to_the_end(self):
        """Reads the padding after the last member, so that gzip compares its checksum."""
        for _ in range(MOST_PADDING // CHUNK):
            if not self.file.read(CHUNK):
                return
        raise tarfile.ReadError("it goes on after its end")


def _of_zip(info):
    link = (info.external_attr >> 16) & 0o170000 == 0o120000
    # What is no file to be written has no handle
    kept = not info.is_dir() and not info.filename.startswith("__MACOSX/")
    return _Member(info.filename, info.file_size, not link, info if kept else None)


def _of_tar(info):
    plain = (info.isreg() and not info.issparse()) or info.isdir()
    hidden = PurePosixPath(info.name).name.startswith("._")  # macOS's own notes about a file
    kept = not info.isdir() and not hidden
    return _Member(info.name, info.size, plain, info if kept else None)


def _limited(members, size, archive):
    """The files among `members`, counted while they are listed: a bomb is not read to its end."""
    kept, total, most = [], 0, max(MOST_GROWTH * size, FREE_GROWTH)
    for count, member in enumerate(members, start=1):
        total += member.size
        if total > most or count > MOST_FILES:
            raise CourseError(
                f"{archive} would grow from {size} to more than {total} bytes in {count} files; "
                "do not use this archive."
            )
        if member.handle is not None or not member.plain:
            kept.append(member)
    return kept


def _check(members, archive, folder):
    for member in members:
        _check_inside(member, archive)
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    needed, free = sum(member.size for member in members), shutil.disk_usage(there).free
    needed -= sum(_there(folder / member.name, member.size) for member in members)
    if needed > free:
        raise CourseError(
            f"{archive} needs {needed / 1e9:.1f} GB unpacked and {folder} has {free / 1e9:.1f}; "
            "make room or choose another folder."
        )


def _check_inside(member, archive):
    name = member.name.replace("\\", "/")
    if not member.plain:
        raise CourseError(
            f"{archive} holds {member.name!r}, a link or device that could lead outside the folder; "
            "do not use this archive."
        )
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or ".." in name.split("/"):
        raise CourseError(
            f"{archive} holds {member.name!r}, which would be written outside the folder; "
            "do not use this archive."
        )


def _there(path, size):
    return size if path.is_file() and path.stat().st_size == size else 0


def _unpack_one(member, read, folder):
    path = folder / member.name
    if path.is_file() and path.stat().st_size == member.size:
        return
    with writing(path) as temporary, read(member.handle) as source:
        with open(temporary, "wb") as target:
            shutil.copyfileobj(source, target, CHUNK)
        if temporary.stat().st_size != member.size:
            raise EOFError(f"{member.name} is cut off")
