"""The C library's heap."""

import ctypes
from contextlib import suppress


def give_back():
    """Hands free memory back to the system, which glibc may keep: batches of many lengths leave gaps behind.

    Does nothing where the C library has no such call (macOS, musl).
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
