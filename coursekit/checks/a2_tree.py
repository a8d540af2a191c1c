"""The tree that the checks of assignment a2 let a beam search climb."""

import numpy as np
import torch

from coursekit.checks.core import Wrong, as_array


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
        parts = [as_array(part, "the state") for part in state] if is_pair(state) else []
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


def is_pair(state):
    """Whether a state, or what a search returns, is a tuple or list at all."""
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
