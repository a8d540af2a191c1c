"""Lesson 00's check: it accepts the solution and others, and names the mistakes students make."""

from collections import Counter

import pytest
from lesson_solutions import assert_named

from coursekit.checks import lesson_00 as check


def by_counter(captions):
    return Counter(" ".join(captions).lower().split())


def by_count(captions):
    words = [word for caption in captions for word in caption.casefold().split()]
    return {word: words.count(word) for word in set(words)}


@pytest.mark.parametrize("answer", [by_counter, by_count])
def test_other_right_answers_pass(answer):
    assert check.count_words(answer)


def one_by_one(start, add):
    def answer(captions):
        counts = {}
        for caption in captions:
            counts = start(counts)
            for word in caption.lower().split():
                counts[word] = add(counts, word)
        return counts

    return answer


def parts_of_words(captions):
    text = " ".join(captions).lower()
    return {word: text.count(word) for word in text.split()}


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
        (one_by_one(lambda counts: counts, lambda c, w: c.get(w, 1) + 1), "once too often"),
        (one_by_one(lambda counts: counts, lambda c, w: c[w] + 1), "for the first time"),
        (lambda captions: by_counter(captions[:1]), "only the first caption"),
        (lambda captions: Counter(c.lower() for c in captions), "list of captions gives captions"),
        (parts_of_words, "'a' within 'sand' too"),
        (lambda captions: set(" ".join(captions).lower().split()), "the count of each word"),
        (lambda captions: len(by_counter(captions)), "the count of each word"),
        (lambda captions: None, "does not return its result"),
        (lowered_in_place, "work on a copy"),
    ],
)
def test_mistakes_are_named(answer, likely, capsys):
    assert_named(capsys, check.count_words, answer, likely)
