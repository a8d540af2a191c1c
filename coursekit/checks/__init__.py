"""What a student sees when an answer is wrong. Lessons print the verdict; assignments raise it."""

from coursekit.checks.core import (
    CheckFailed,
    Wrong,
    exercise,
    expect_close,
    expect_equal,
    expect_shape,
)

__all__ = ["CheckFailed", "Wrong", "exercise", "expect_close", "expect_equal", "expect_shape"]
