"""Lesson 00's check: it accepts the solution and others, and names the mistakes students make."""

import re
from collections import Counter
from pathlib import Path

import pytest

from coursekit.checks import lesson_00 as check

LESSON = Path(__file__).resolve().parents[1] / "course" / "00_start_here.py"
SOLUTION = re.compile(r"<summary>Solution</summary>.*?```python\n(.*?)```", re.S)


def solution():
    text = re.sub(r"^# ?", "", LESSON.read_text(encoding="utf-8"), flags=re.M)
    found = {}
    exec(SOLUTION.search(text)[1], found)
    return found["count_words"]


def by_counter(captions):
    return Counter(" ".join(captions).lower().split())


def by_count(captions):
    words = [word for caption in captions for word in caption.casefold().split()]
    return {word: words.count(word) for word in set(words)}


@pytest.mark.parametrize("answer", [solution(), by_counter, by_count])
def test_right_answers_pass(answer, capsys):
    assert check.count_words(answer)
    assert capsys.readouterr().out == "✓ count_words\n"


def test_a_stub_is_not_written_yet(capsys):
    def stub(captions):
        raise NotImplementedError("write me")

    assert not check.count_words(stub)
    assert capsys.readouterr().out == "○ count_words: not written yet\n"


def one_by_one(start, add):
    def answer(captions):
        counts = {}
        for caption in captions:
            counts = start(counts)
            for word in caption.lower().split():
                counts[word] = add(counts, word)
        return counts

    return answer


def lowered_in_place(captions):
    captions[:] = [caption.lower() for caption in captions]
    return by_counter(captions)


@pytest.mark.parametrize(
    "answer, likely",
    [
        (lambda captions: Counter("".join(captions)), "caption.split() gives its words"),
        (lambda captions: Counter(" ".join(captions).split()), "lower case first"),
        (
            lambda captions: Counter(w for c in captions for w in set(c.lower().split())),
            "twice in one caption counts twice",
        ),
        (one_by_one(lambda counts: {}, lambda c, w: c.get(w, 0) + 1), "only the last caption"),
        (one_by_one(lambda counts: counts, lambda c, w: 1), "each word is set to 1"),
        (lambda captions: set(" ".join(captions).lower().split()), "the count of each word"),
        (lambda captions: len(by_counter(captions)), "the count of each word"),
        (lambda captions: None, "does not return its result"),
        (lowered_in_place, "work on a copy"),
    ],
)
def test_mistakes_are_named(answer, likely, capsys):
    assert not check.count_words(answer)
    said = capsys.readouterr().out
    assert likely in said and len(said.splitlines()) <= 5, said
