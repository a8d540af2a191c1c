"""The one form of every check: expected, got, likely cause. Holds no answers and imports light."""

import functools
import traceback

import numpy as np

from coursekit import verdicts


class Wrong(Exception):
    """A wrong answer. `likely` names the mistake that most often looks like this, or is None."""

    def __init__(self, expected, got, likely=None):
        super().__init__(f"expected {expected}, got {got}")
        self.expected, self.got, self.likely = expected, got, likely


class Verdict(int):
    """1 or 0 for right or wrong; a notebook whose cell ends with it shows nothing more than was printed."""

    def _ipython_display_(self):
        pass


class CheckFailed(AssertionError):
    """A failed check as an assignment raises it: in a notebook, its traceback is the verdict alone."""

    def _render_traceback_(self):
        return str(self).splitlines()


def exercise(name):
    """Makes a check of a function that takes the student's callable and raises `Wrong`.

    The check prints its verdict and returns True or False; its `.require` raises CheckFailed instead.
    """

    def wrap(check):
        @functools.wraps(check)
        def show(*answer, **options):
            passed, verdict = _judge(name, check, answer, options)
            print(verdict)
            return Verdict(passed)

        @functools.wraps(check)
        def require(*answer, **options):
            passed, verdict = _judge(name, check, answer, options)
            if not passed:
                raise CheckFailed(verdict) from None
            print(verdict)

        show.require, show.exercise = require, name
        return show

    return wrap


def on_other_data(check, *draws):
    """The same check, asked once for each set of options in `draws`, with one verdict."""

    @exercise(f"{check.exercise}, on other data")
    def ask(*answer):
        for options in draws:
            check.__wrapped__(*answer, **options)

    return ask


def _judge(name, check, answer, options):
    verdict = _said(name, check, answer, options)
    verdicts.keep(check, name, verdict[0])
    return verdict[0] == verdicts.RIGHT, verdict


def _said(name, check, answer, options):
    try:
        check(*answer, **options)
    except NotImplementedError:
        return f"○ {name}: not written yet"
    except Wrong as wrong:
        return _verdict(name, wrong)
    except Exception as error:
        return _verdict(name, Wrong("a value", *_crash(error)))
    return f"✓ {name}"


def _verdict(name, wrong):
    lines = [f"✗ {name}", f"  expected  {wrong.expected}", f"  got       {wrong.got}"]
    if wrong.likely:
        lines.append(f"  likely    {wrong.likely}")
    return "\n".join(lines)


def _crash(error):
    """What to say of an exception in the student's code: the error, and the student's line that caused it."""
    where = getattr(error, "where", None)  # an error from another process brings the line along
    where = where if isinstance(where, str) else students_line(error)
    message = (str(error).splitlines() or [""])[0]
    return (
        f"{type(error).__name__}: {message}{where}",
        "the code stopped with an error before it returned",
    )


def students_line(error):
    """The last line of an exception's traceback that is not coursekit's, as " in line 3 of f: …", or ""."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "coursekit" not in f.filename and "site-packages" not in f.filename]
    return f" in line {own[-1].lineno} of {own[-1].name}: {own[-1].line}" if own else ""


def as_array(value, name):
    """A student's tensor, array, list or number as a numpy array. Raises Wrong if it is none of these."""
    if value is None:
        raise Wrong(f"{name} as a tensor", "None", "the function does not return its result")
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except Exception:
        array = None
    if array is None or array.dtype.kind not in "biuf":
        raise Wrong(f"{name} as a tensor of numbers", f"a {type(value).__name__}", None)
    return array


def expect_shape(got, shape, name, likely=None):
    """Raises Wrong unless `got` has the shape."""
    array = as_array(got, name)
    if array.shape != tuple(shape):
        raise Wrong(f"{name} of shape {tuple(shape)}", f"shape {array.shape}", likely)
    return array


def expect_close(got, expected, name, tolerance=1e-5, likely=None, mistakes=()):
    """Raises Wrong unless `got` equals `expected` within tolerance; any float type, tensor or array will do.

    `mistakes` are pairs (value, sentence): where `got` equals that value, the sentence is the likely cause.
    """
    expected = as_array(expected, name)
    array = expect_shape(got, expected.shape, name, likely)
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise Wrong(f"{name} without nan or inf", "nan or inf", likely)
    difference = np.abs(array.astype(np.float64) - expected)
    if difference.size == 0 or difference.max() <= tolerance:
        return
    for value, sentence in mistakes:
        if (
            np.shape(value) == array.shape
            and np.abs(array - as_array(value, name)).max() <= tolerance
        ):
            likely = sentence
    place = tuple(int(i) for i in np.unravel_index(difference.argmax(), difference.shape))
    at = f" at {list(place)}" if place else ""
    wanted = f"{expected[place]:.6g}" if place else f"{expected:.6g}"
    worst = f", the largest difference is {difference.max():.3g}" if difference.size > 1 else ""
    raise Wrong(
        f"{name}{at} = {wanted} (to {tolerance:g})",
        f"{array[place]:.6g}{worst}",
        likely,
    )


def expect_equal(got, expected, name, likely=None, mistakes=()):
    """Raises Wrong unless two plain values (numbers, strings, lists) are equal; arrays and tuples count as lists."""
    got = _plain(got)
    if got is None and expected is not None:
        raise Wrong(f"{name} = {expected!r}", "None", "the function does not return its result")
    if got == _plain(expected):
        return
    for value, sentence in mistakes:
        likely = sentence if got == _plain(value) else likely
    raise Wrong(f"{name} = {_short(expected)}", _short(got), likely)


def _plain(value):
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _short(value, width=160):
    text = repr(_plain(value))
    return text if len(text) <= width else text[: width - 1] + "…"
