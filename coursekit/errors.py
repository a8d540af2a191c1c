"""What every floor of the course shares: one kind of error for bad input, and safe writing."""

import os
from contextlib import contextmanager
from pathlib import Path


class CourseError(Exception):
    """Bad input: its text is one plain sentence that says what to do next."""


@contextmanager
def writing(path):
    """Yields a temporary path beside `path`, renamed onto `path` only if the block succeeds.

    Whatever goes wrong inside the block, `path` keeps its earlier content (or stays absent) and the
    temporary file is removed.  The temporary name ends in the same suffixes, for writers that
    choose a format by it.  Raises CourseError if the folder cannot be made.
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
    finally:
        temporary.unlink(missing_ok=True)
