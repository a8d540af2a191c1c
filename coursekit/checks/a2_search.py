"""The checks of assignment a2 about searching: beam search, and ranking by length."""

import itertools
import math

import numpy as np

from coursekit.checks.a2_common import expect_number
from coursekit.checks.a2_tree import Tree, is_pair
from coursekit.checks.core import Wrong, as_array, exercise, expect_equal

# --- 1 beam search ------------------------------------------------------------------------------
EARLY = "the search stops as soon as something has finished; a live hypothesis can still win"
BY_LENGTH = (
    "the score is divided by the length: here captions are compared by their log-probability"
)
UNFINISHED = (
    "a live hypothesis is returned only if nothing has finished: "
    "keep what ends among the `beam` best beside the beam"
)
TOO_FEW = "the search ends too early: max_len steps, that of <eos> included, unless no live one can win any more"
ONLY_THE_LAST = "of all that ever finished the best is remembered, not the last"
SUM = "the sum of the log-probabilities of all its tokens; scores follow their hypothesis to its new row"
NO_END = "the log-probability of <eos> belongs to the score"
TOGETHER = (
    "all candidates are ranked together: those with <eos> among the `beam` best have finished, "
    "and the `beam` best without <eos> live on"
)
# Each: a tree, a search in it, and what that finds after how many steps. In the third a live hypothesis is ahead of
# the finished one when max_len is reached, the last finishes nothing
SEARCHES = [
    dict(tree=dict(key=779, V=9), beam=3, max_len=8, tokens=[0, 4, 7, 0, 3], score=-5.806756, steps=6),
    dict(tree=dict(key=779, V=9), beam=1, max_len=8, tokens=[5, 8, 0, 6, 3], score=-6.380377, steps=6),
    dict(tree=dict(key=536), beam=4, max_len=6, tokens=[5, 0, 5, 5, 3], score=-5.041808, steps=6),
    dict(tree=dict(key=96, V=9, bos_id=0, eos_id=5), beam=3, max_len=6, tokens=[4, 2, 3, 6, 6, 2], score=-6.120299, steps=6),
]  # fmt: skip


@exercise("beam_search")
def beam_search(answer, searches=None):
    """answer(step, state, bos_id, eos_id, beam, max_len) -> the best caption's tokens, and its log-probability."""
    for search in SEARCHES if searches is None else searches:
        _one_search(answer, **search)


def _one_search(answer, tree, beam, max_len, tokens, score, steps):
    step = Tree(**tree)
    step.beam, step.max_len = beam, max_len
    got = answer(
        step, tuple(part.clone() for part in step.state), step.bos_id, step.eos_id, beam, max_len
    )
    if not is_pair(got) or len(got) != 2:
        got = "None" if got is None else f"a {type(got).__name__}"
        raise Wrong("two results, tokens and score", got, "return tokens, score")
    told = f"the caption found with beam {beam} and max_len {max_len}"
    words, number = words_of(got[0], told), as_array(got[1], "the score")
    mistakes = [
        ([step.bos_id, *tokens], "<bos> is where the search begins, no word of the caption"),
        ([*tokens, step.eos_id], "<eos> is a signal, no word of the caption"),
        ([step.bos_id, *tokens, step.eos_id], "<bos> and <eos> are no words of the caption"),
    ]
    ends = len(tokens) < max_len
    if not ends:
        why = "if nothing has finished after max_len steps, the best live hypothesis"
        mistakes.append(([], why))
    why = _why_search(step, beam, max_len, steps, ends, words, number)
    expect_equal(words, tokens, told, why, mistakes)
    _no_longer(step, steps, beam, max_len)
    _right_score(step, steps, tokens, score, number)


def words_of(tokens, name, likely="return tokens, score"):
    """A student's tokens as a list of plain numbers. Raises Wrong if they are no list."""
    if hasattr(tokens, "tolist"):
        tokens = tokens.tolist()
    if not isinstance(tokens, (list, tuple)):
        raise Wrong(f"{name} as a list of tokens", f"a {type(tokens).__name__}", likely)
    return [int(t) if isinstance(t, (int, float)) or hasattr(t, "item") else t for t in tokens]


def _why_search(step, beam, max_len, steps, ends, words, number):
    """The likeliest reason of a wrong caption, from how the tree was asked and what it was given for.

    steps: of a right search; ends: whether the caption that it finds has finished.
    """
    fed = _fed(step)
    deepest = max(fed, default=0)
    if deepest > max_len:
        return _too_many(deepest, max_len)
    if any(step.bos_id in words[1:] for level in fed.values() for words in level):
        return "hand the tokens just chosen to the next step, not <bos> again"
    if deepest <= 2 < steps and step.rows > 3 * beam:
        return "step returns the next state: keep it, and take its rows"
    if _smallest_first(step, beam, steps, fed):
        return "the best candidates have the largest scores: sort the largest first"
    if any(len(set(level)) < len(level) for depth, level in fed.items() if depth > 1):
        return "the same hypothesis lives twice: at the first step there is only one, <bos>"
    if _lives(step, words, number, deepest):
        if deepest < steps:
            return TOO_FEW
        if ends:
            return UNFINISHED
    why = _why_score(step, max_len, words, number)
    if why:
        return why
    if words == step.greedy(max_len) and beam > 1:
        return "this is what greedy search finds: each of the beam's hypotheses has V ways to go on"
    if deepest != steps:
        return EARLY if deepest < steps else ONLY_THE_LAST
    return TOGETHER


def _too_many(took, max_len):
    many = "one step" if took == max_len + 1 else f"{took - max_len} steps"
    return f"{many} too many: max_len is the most, and the step that chooses <eos> counts too"


def _lives(step, words, number, deepest):
    """Whether the words are a hypothesis that was still alive after the last step, by its length and score."""
    plain = number.shape == () and all(isinstance(w, int) and 0 <= w < step.V for w in words)
    return plain and len(words) == deepest > 0 and abs(number - step.score(words)) < 1e-3


def _smallest_first(step, beam, steps, fed):
    """Whether the first words that live on, or an end at once, are not among the best."""
    says = step.says((step.bos_id,))
    if 2 not in fed:
        return len(fed) < steps and (says > says[step.eos_id]).sum() >= beam
    return max(says[words[1]] for words in fed[2]) < np.delete(says, step.eos_id).max()


def _why_score(step, max_len, words, number):
    """What is wrong where the score is not the log-probability of the words beside it."""
    if (
        not words
        or number.shape != ()
        or not all(isinstance(w, int) and 0 <= w < step.V for w in words)
    ):
        return None
    bare, whole = step.score(words), step.score([*words, step.eos_id])
    if abs(number - whole) < 1e-3 or (abs(number - bare) < 1e-3 and len(words) == max_len):
        return None
    if abs(number - bare) < 1e-3:
        return NO_END
    if abs(number * (len(words) + 1) - whole) < 1e-2:
        return BY_LENGTH
    return (
        "the score is not that of these tokens: "
        "state, words and scores follow their hypothesis to its new row"
    )


def _fed(step):
    """What was handed to step: {number of words: the words of each row}."""
    order = sorted(step.read[1:], key=len)
    return {n: list(level) for n, level in itertools.groupby(order, len)}


def _right_score(step, steps, tokens, score, number):
    if max(_fed(step), default=0) < steps and _lives(step, tokens, number, len(tokens)):
        raise Wrong(f"{steps} steps until <eos> is chosen", f"{len(tokens)} steps", TOO_FEW)
    mistakes = [
        (step.score(tokens), NO_END),
        (score / (len(tokens) + 1), BY_LENGTH),
        (score / max(1, len(tokens)), BY_LENGTH),
        (math.exp(score), "this is the probability; return its logarithm"),
        (-score, "the sign: a log-probability is below 0"),
    ]
    expect_number(number, score, "the score", 1e-3, SUM, mistakes)


def _no_longer(step, steps, beam, max_len):
    took = max(_fed(step), default=0)
    if took > max_len:
        raise Wrong(f"at most max_len = {max_len} steps", took, _too_many(took, max_len))
    if took > steps:
        why = (
            "log-probabilities only fall: stop when no live one is above the best that has finished"
        )
        raise Wrong(f"an end after {steps} steps with beam {beam}", f"{took} steps", why)


# --- 2 ranking by length ------------------------------------------------------------------------
FINISHED = [
    ([4, 9, 7, 5, 8, 4], -2.6), ([], -1.2), ([6, 9, 7, 5, 5, 3, 8], -3.6), ([4, 3, 9], -3.4), ([7], -1.6),
]  # fmt: skip
# For each alpha the places of the hypotheses, best first; then the orders of typical mistakes
ORDERS = {
    0.0: ([1, 4, 0, 3, 2], [([0, 2, 4, 3, 1], "alpha is an exponent: with 0 the score alone counts")]),
    0.5: (
        [0, 4, 1, 2, 3],
        [
            ([0, 1, 2, 4, 3], "<eos> belongs to the length"),
            ([1, 4, 3, 0, 2], "multiplied; divide by length ** alpha"),
            ([0, 2, 4, 3, 1], "alpha is an exponent of the length"),
            ([1, 4, 0, 3, 2], "alpha is not used: divide by length ** alpha"),
            ([1, 4, 0, 2, 3], "the length is changed before the power is taken; here it is the number of tokens and 1 for <eos>"),
        ],
    ),
    1.0: ([0, 2, 4, 3, 1], []),
}  # fmt: skip


@exercise("rank")
def rank(answer, finished=FINISHED, orders=ORDERS):
    """answer(finished, alpha) -> the hypotheses (tokens, score), best first, by score / length ** alpha."""
    for alpha, (order, likely) in orders.items():
        given = [(list(tokens), score) for tokens, score in finished]
        got = answer(given, alpha)
        if given != [(list(tokens), score) for tokens, score in finished]:
            why = "sort() works in place and changes the caller's list; sorted() makes a new one"
            raise Wrong("the given list is left as it was", "another order", why)
        places = _places(got, finished)
        worst_first = "the worst comes first: scores are below 0, the largest is the best"
        told = f"the order at alpha = {alpha}, as places in the given list"
        expect_equal(places, order, told, None, [(order[::-1], worst_first), *likely])


def _places(got, finished):
    """Where each of the returned hypotheses stood in the given list."""
    got = list(got) if isinstance(got, (list, tuple)) else got
    whole = isinstance(got, list) and all(is_pair(one) and len(one) == 2 for one in got)
    if not whole or len(got) != len(finished):
        told = (
            "None"
            if got is None
            else f"a {type(got).__name__} of {len(got)}"
            if isinstance(got, list)
            else f"a {type(got).__name__}"
        )
        why = "return all hypotheses as they came, pairs (tokens, score)"
        raise Wrong(f"a list of {len(finished)} pairs (tokens, score)", told, why)
    places = []
    for tokens, score in got:
        found = [
            i
            for i, (words, was) in enumerate(finished)
            if words == words_of(tokens, "a caption") and score == was
        ]
        if not found:
            why = "only the order depends on the length: hand the scores back as they came"
            raise Wrong("the hypotheses as they came", f"({tokens}, {score})", why)
        places.append(found[0])
    return places
