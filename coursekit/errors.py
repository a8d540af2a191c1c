"""What every floor of the course shares: one kind of error for bad input, and safe writing."""

import errno
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

LEAST_FREE = 1 << 20  # bytes: with less, a failure without a reason is that of a full disk


class CourseError(Exception):
    """Bad input: its text is one plain sentence that says what to do next."""


def check_place(path, *suffixes):
    """Told before anything is computed: raises CourseError if no file can be written at `path`.

    suffixes: what the name may end in, such as ".png"; none allows all.
    """
    path = Path(path)
    if suffixes and path.suffix not in suffixes:
        raise CourseError(
            f"Nothing can be written to {path}: choose a name that ends in {suffixes[0]}."
        )
    folder = next(one for one in (path.parent, *path.resolve().parents) if one.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        why = "it is a folder" if path.is_dir() else f"{folder} is no folder that may be written to"
        raise CourseError(f"Nothing can be written to {path}: {why}; choose another name.")


@contextmanager
def writing(path):
    """Yields a temporary path beside `path`, renamed onto `path` only if the block succeeds.

    Whatever goes wrong inside the block, `path` keeps its earlier content (or stays absent) and the
    temporary file is removed.  The temporary name ends in the same suffixes, for writers that
    choose a format by it.  Raises CourseError if the folder cannot be made, and OSError if the disk is full, of torch's writer too.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.part.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(
            f"The folder {path.parent} cannot be made ({error.strerror}); choose another folder."
        ) from error
    try:
        yield temporary
        os.replace(temporary, path)
    except RuntimeError as error:  # torch's writer hides the reason
        if shutil.disk_usage(path.parent).free >= LEAST_FREE:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def full_disk_told():
    """What a full disk raises, in the block of a whole command, becomes a CourseError."""
    try:
        yield
    except OSError as error:
        full = os.strerror(errno.ENOSPC)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) and full not in str(error):
            raise
        where = f" for {error.filename}" if error.filename else ""
        raise CourseError(
            f"No space is left{where}: make room on that disk, then give the same command again."
        ) from error
