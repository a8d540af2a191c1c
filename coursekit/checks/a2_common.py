"""What several checks of assignment a2 need: captions drawn at random, n-grams, and numbers that are compared."""

import numpy as np

from coursekit.checks.core import Wrong, expect_shape, students_line


def drawn_captions(generator, pictures=4, words=9):
    """Captions and three references of each picture, strings of drawn words, alike but not equal.

    generator: numpy's.  Every reference has 4 to 12 words; a caption has 5 to 13, of which the last stands twice.
    """
    names = [f"{first}{second}" for first in "bdfgk" for second in ("a", "o", "u")][:words]
    found = []
    for _ in range(pictures):
        told = list(generator.choice(names, generator.integers(5, 11)))
        each = [_altered(told, names, generator) for _ in range(4)]
        found.append((" ".join([*each[0], each[0][-1]]), [" ".join(one) for one in each[1:]]))
    return [one for one, _ in found], [each for _, each in found]


def _altered(told, names, generator):
    """Some words exchanged, then perhaps one left out or two added."""
    words = [str(generator.choice(names)) if generator.random() < 0.25 else str(w) for w in told]
    more = [str(w) for w in generator.choice(names, 2)]
    return [words[1:], words, [*words, *more]][generator.integers(3)]


def grams(words, n):
    """The n-grams of a list of words, in order, as tuples."""
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def expect_number(got, expected, name, tolerance, likely=None, mistakes=()):
    """Raises Wrong unless `got` is one number, within tolerance; the first of `mistakes` that fits is likely.

    likely: why, where none fits.
    """
    number = float(expect_shape(got, (), name, "one number"))
    mistakes = [([value], why) for value, why in mistakes]
    expect_all([number], [expected], [name], tolerance, mistakes, likely)


def expect_all(found, expected, names, tolerance, mistakes=(), likely=None):
    """Raises Wrong at the first number that is off by more than the tolerance.

    mistakes: pairs (numbers, why); the first whose numbers are those found, every one of them, is likely.
    """
    found, expected = np.array(found, float), np.array(expected, float)
    wrong = ~(np.abs(found - expected) <= tolerance)  # nan is wrong too
    if wrong.any():
        fits = [why for numbers, why in mistakes if np.allclose(found, numbers, 1e-9, tolerance)]
        place = int(wrong.argmax())
        told = f"{names[place]} = {expected[place]:.6g}" + (
            f" (to {tolerance:g})" * (tolerance > 0)
        )
        raise Wrong(told, f"{found[place]:.6g}", fits[0] if fits else likely)


def place_of(error):
    """The student's line that caused an error, here or in another process, as " in line 3 of f: …", or ""."""
    where = getattr(error, "where", None)
    return where if isinstance(where, str) else students_line(error)
