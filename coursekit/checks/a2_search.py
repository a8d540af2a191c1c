"""The checks of assignment a2 about searching: beam search, and ranking by length."""

import itertools
import math

import numpy as np
import torch

from coursekit.checks.core import (
    Wrong,
    as_array,
    exercise,
    expect_close,
    expect_equal,
    expect_shape,
)

# --- 1 beam search ------------------------------------------------------------------------------


class Tree:
    """A step function for one picture: what it says next depends on every word read so far.

    tree(tokens (K,), state) -> log_probs (K, V) and the next state.  A state is a pair of tensors,
    (K, 1) and (K, 2), which hold the number of the words read so far; `.state` is the first one.
    `ending` is how much likelier the end becomes with each word, in nats before the softmax.
    """

    def __init__(self, key, V=8, bos_id=1, eos_id=2, spread=4.0, ending=1.5):
        self.key, self.V, self.bos_id, self.eos_id = key, V, bos_id, eos_id
        self.spread, self.ending = spread, ending
        self.beam, self.max_len = V, 100  # what a search may ask for
        self.state = torch.zeros(1, 1), torch.zeros(1, 2)
        self.read, self.rows = [()], 0  # what each number stands for; how many rows were asked

    def says(self, words):
        """log_probs (V,), float64, after some words; <bos> is the first of them."""
        code = self.key
        for word in words:
            code = (code * 1009 + word * 97 + 31) % 999_983
        mixed = [
            (code * (i + 3) * 2_654_435_761 + 97 * i * i) % 2**32 / 2**32 for i in range(self.V)
        ]
        logits = self.spread * np.array(mixed)
        logits[self.bos_id] = -20.0
        logits[self.eos_id] += self.ending * (len(words) - 5)
        return logits - np.log(np.exp(logits).sum())

    def score(self, words):
        """Log-probability of a caption, a list of words without <bos>, as far as it is given."""
        so_far = (self.bos_id, *words)
        return sum(self.says(so_far[:i])[so_far[i]] for i in range(1, len(so_far)))

    def greedy(self, max_len):
        """The words that greedy search finds, without <bos> and <eos>."""
        words = [self.bos_id]
        while len(words) <= max_len and words[-1] != self.eos_id:
            words.append(int(self.says(tuple(words)).argmax()))
        return [word for word in words[1:] if word != self.eos_id]

    def __call__(self, tokens, state):
        tokens, numbers = _row_of_ids(tokens, self.V), self._numbers(state)
        if len(tokens) != len(numbers):
            why = "each hypothesis has one row in both: state and tokens go together"
            raise Wrong(
                f"{len(numbers)} tokens for the {len(numbers)} rows of the state", len(tokens), why
            )
        if len(tokens) > self.beam:
            why = "keep the `beam` best of all candidates together, not of each hypothesis"
            raise Wrong(f"at most beam = {self.beam} hypotheses in a step", len(tokens), why)
        self.rows += len(tokens)
        if self.rows > 3 * self.beam * (self.max_len + 2):
            why = "the loop never ends"
            raise Wrong("an end after max_len steps", f"{self.rows} hypotheses asked", why)
        now = [(*self.read[n], token) for n, token in zip(numbers, tokens, strict=True)]
        says = np.stack([self.says(words) for words in now])
        first = float(len(self.read))
        self.read += now
        places = torch.arange(first, first + len(now))
        state = places[:, None], places[:, None].repeat(1, 2)
        return torch.tensor(says, dtype=torch.float32), state

    def _numbers(self, state):
        """The number of the words read, for each row of a state."""
        parts = [as_array(part, "the state") for part in state] if _is_pair(state) else []
        shapes = [part.shape for part in parts]
        if len(parts) != 2 or shapes != [(len(parts[0]), 1), (len(parts[0]), 2)]:
            got = f"shapes {shapes}" if parts else f"a {type(state).__name__}"
            why = "reorder every part alone: tuple(part[rows] for part in state)"
            raise Wrong("a state of two tensors, (K, 1) and (K, 2)", got, why)
        if not (parts[0] == parts[1]).all():
            why = "all parts of a state are reordered with the same rows"
            raise Wrong("a state whose parts belong together", "rows of different hypotheses", why)
        numbers = [int(n) for n in parts[0][:, 0]]
        if not all(0 <= n < len(self.read) for n in numbers):
            raise Wrong(
                "a state that step has returned",
                "other numbers",
                "reorder its rows, change nothing else",
            )
        return numbers


def _is_pair(state):
    return isinstance(state, (tuple, list))


def _row_of_ids(tokens, V):
    array = as_array(tokens, "the tokens given to step")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        got = f"{array.dtype} of shape {array.shape}"
        raise Wrong(
            "tokens (K,) of an integer type given to step",
            got,
            "one token for each live hypothesis",
        )
    if array.size and not 0 <= array.min() <= array.max() < V:
        why = "an index into all beam * V candidates: the token is the rest of a division by V"
        raise Wrong(f"tokens below V = {V} given to step", int(array.max()), why)
    return [int(token) for token in array]


EARLY = "the search stops as soon as something has finished; a live hypothesis can still win"
BY_LENGTH = (
    "the score is divided by the length: here captions are compared by their log-probability"
)
UNFINISHED = "hypotheses that have finished are forgotten: keep them beside the beam"
ONLY_THE_LAST = "of all that ever finished the best is remembered, not the last"
SUM = "the sum of the log-probabilities of all its tokens; scores follow their hypothesis to its new row"
NO_END = "the log-probability of <eos> belongs to the score"
# Each: a tree, a search in it, and what that finds after how many steps; the last finishes nothing
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
    if not _is_pair(got) or len(got) != 2:
        got = "None" if got is None else f"a {type(got).__name__}"
        raise Wrong("two results, tokens and score", got, "return tokens, score")
    told = f"the caption found with beam {beam} and max_len {max_len}"
    words, number = words_of(got[0], told), as_array(got[1], "the score")
    mistakes = [
        ([step.bos_id, *tokens], "<bos> is where the search begins, no word of the caption"),
        ([*tokens, step.eos_id], "<eos> is a signal, no word of the caption"),
        ([step.bos_id, *tokens, step.eos_id], "<bos> and <eos> are no words of the caption"),
    ]
    if len(tokens) == max_len:
        mistakes.append(
            ([], "if nothing has finished after max_len steps, the best live hypothesis")
        )
    expect_equal(
        words, tokens, told, _why_search(step, beam, max_len, steps, words, number), mistakes
    )
    _right_score(step, tokens, score, number)
    _no_longer(step, steps, beam, max_len)


def words_of(tokens, name):
    """A student's tokens as a list of plain numbers. Raises Wrong if they are no list."""
    if hasattr(tokens, "tolist"):
        tokens = tokens.tolist()
    if not isinstance(tokens, (list, tuple)):
        raise Wrong(
            f"{name} as a list of tokens", f"a {type(tokens).__name__}", "return tokens, score"
        )
    return [int(t) if isinstance(t, (int, float)) or hasattr(t, "item") else t for t in tokens]


def _why_search(step, beam, max_len, steps, words, number):
    """The likeliest reason of a wrong caption, from how the tree was asked and what it was given for."""
    fed = _fed(step)
    deepest = max(fed, default=0)
    if any(step.bos_id in words[1:] for level in fed.values() for words in level):
        return "hand the tokens just chosen to the next step, not <bos> again"
    if deepest <= 2 < steps and step.rows > 3 * beam:
        return "step returns the next state: keep it, and take its rows"
    if _smallest_first(step, beam, steps, fed):
        return "the best candidates have the largest scores: sort the largest first"
    if any(len(set(level)) < len(level) for depth, level in fed.items() if depth > 1):
        return "the same hypothesis lives twice: at the first step there is only one, <bos>"
    if deepest == max_len and steps <= deepest and len(words) == max_len > steps:
        return UNFINISHED
    why = _why_score(step, max_len, words, number)
    if why:
        return why
    if words == step.greedy(max_len) and beam > 1:
        return "this is what greedy search finds: each of the beam's hypotheses has V ways to go on"
    if deepest != steps:
        return EARLY if deepest < steps else ONLY_THE_LAST
    return "of all candidates together: the best that end are finished, the best that do not go on"


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


def _right_score(step, tokens, score, number):
    number = expect_shape(number, (), "the score", "one number, the log-probability of the caption")
    mistakes = [
        (step.score(tokens), NO_END),
        (score / (len(tokens) + 1), BY_LENGTH),
        (score / max(1, len(tokens)), BY_LENGTH),
        (math.exp(score), "this is the probability; return its logarithm"),
        (-score, "the sign: a log-probability is below 0"),
    ]
    expect_close(
        number,
        score,
        "the score",
        1e-3,
        SUM,
        mistakes,
    )


def _no_longer(step, steps, beam, max_len):
    took = max(_fed(step), default=0)
    if took > max_len:
        raise Wrong(f"at most max_len = {max_len} steps", f"{took}", "one step too many")
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
    whole = isinstance(got, list) and all(_is_pair(one) and len(one) == 2 for one in got)
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
