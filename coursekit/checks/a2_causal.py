"""The check of assignment a2 about causality: whether a decoder peeps at the words it should guess."""

import numpy as np
import torch

from coursekit.checks.a1_training import numbers
from coursekit.checks.core import Wrong, as_array, exercise


# --- 9 causality --------------------------------------------------------------------------------
class Decoder:
    """model(memory (B, N, D), tokens (B, T)) -> logits (B, T, V), of a known kind.

    `looks(t, T)` gives the places whose tokens the logits at t depend on.  `rounding` is how far
    all tokens of the batch move all logits, as the order of sums does on a real machine.  `row`: the
    only caption that leaks.  A later token adds `strength` times what an earlier one would; of mean 0
    over the vocabulary if `centred`.  Where `quiet` is a token, it adds `strength`, each other one twice that.
    """

    def __init__(
        self, looks, V=9, key=1.0, strength=1.0, rounding=0.0, row=None, centred=False, quiet=None
    ):
        self.looks, self.V, self.key, self.strength = looks, V, key, strength
        self.rounding, self.row, self.centred, self.quiet = rounding, row, centred, quiet
        self.calls = 0

    def __call__(self, memory, tokens):
        self.calls += 1
        if self.calls > 5000:
            raise Wrong("at most 5000 calls of the model", "more", "the loop never ends")
        tokens = torch.as_tensor(tokens)
        if (
            tokens.dim() != 2
            or tokens.is_floating_point()
            or not 0 <= int(tokens.min()) <= int(tokens.max()) < self.V
        ):
            got = f"{tokens.dtype} of shape {tuple(tokens.shape)}, from {tokens.min()} to {tokens.max()}"
            raise Wrong(
                f"tokens (B, T), whole numbers from 0 to {self.V - 1}",
                got,
                "the next token modulo vocab_size",
            )
        B, T = tokens.shape
        table = numbers(self.V, self.V, key=self.key)  # what a token adds to the logits
        seen = table[tokens]  # (B, T, V)
        later = self._later(tokens, table)  # (B, T, V)
        logits = torch.as_tensor(memory).float().mean((1, 2))[:, None, None] + numbers(
            T, self.V, key=self.key + 1
        )
        logits = logits.expand(B, T, self.V).clone()
        for t in range(T):
            for place in filter(range(T).__contains__, self.looks(t, T)):
                rows = slice(None) if self.row is None or place <= t else self.row
                added = later if place > t else seen
                logits[rows, t] += added[rows, place] / (1 + abs(t - place))
        return logits + self.rounding * seen.mean()

    def _later(self, tokens, table):
        """What tokens add to logits that should not see them (B, T, V)."""
        if self.quiet is not None:
            other = 1.0 + (tokens != self.quiet)[..., None]  # (B, T, 1)
            return self.strength * other.expand(*tokens.shape, self.V)
        return self.strength * (table - table.mean(-1, keepdim=True) * self.centred)[tokens]


def past(t, T):
    """The places that a causal decoder looks at from place t of T."""
    return range(t + 1)


def _leak(place, later):
    """The past, and at one place a later one too."""
    return lambda t, T: [*past(t, T), *([later] if t == place else [])]


NO_FALSE_ALARM = (
    "compare the logits before the changed token alone; at it and after it they may move"
)
EVERY_PLACE = "a leak at one place: change each place in turn, and compare all places before it"
BOTH_WAYS = "logits may rise or fall: take abs() of the difference"
# (what it does, whether it is causal, how it is made, why a test may be wrong about it)
DECODERS = [
    ("reads all tokens so far", True, dict(looks=past), NO_FALSE_ALARM),
    ("reads only the last token", True, dict(looks=lambda t, T: [t]), NO_FALSE_ALARM),
    ("reads no token, only the picture", True, dict(looks=lambda t, T: []), None),
    ("moves all logits, but not their mean", False, dict(looks=lambda t, T: range(T), centred=True),
     "rises and falls cancel in a sum or a mean: look for the largest absolute difference"),
    ("looks one word ahead, by a mask off by one", False, dict(looks=lambda t, T: range(t + 2)), None),
    ("reads the caption backwards", False, dict(looks=lambda t, T: range(t, T)), None),
    ("normalises over time, so that all tokens move all logits a little", False,
     dict(looks=lambda t, T: range(T), strength=0.05), "a small leak is one: anything above 1e-4"),
    ("looks from place 2 at token 3 and leaks nowhere else", False, dict(looks=_leak(2, 3)), EVERY_PLACE),
    ("looks from place 0 at token 1 and leaks nowhere else", False, dict(looks=_leak(0, 1)), EVERY_PLACE),
    ("leaks everywhere, by a few thousandths", False, dict(looks=lambda t, T: range(T), strength=0.004),
     "anything above 1e-4 is a leak: the tolerance is too wide"),
    ("looks from place 0 at the last token alone", False, dict(looks=_leak(0, 6)), EVERY_PLACE),
    ("looks from place 5 at the last token alone", False, dict(looks=_leak(5, 6)), EVERY_PLACE),
    ("looks ahead in the second caption alone", False, dict(looks=_leak(1, 4), row=1), "compare all captions of the batch"),
    ("looks ahead in the first caption alone, where <pad> stands", False, dict(looks=_leak(3, 5), row=0),
     "the changed token must be another in every caption: 0 may stand there already"),
    ("looks ahead in the second caption alone, where the last word of the vocabulary stands", False,
     dict(looks=_leak(2, 3), row=1),
     "the changed token must be another in every caption: vocab_size - 1 may stand there already"),
    ("lets later tokens raise logits, but never lower them", False, dict(looks=_leak(1, 4), row=0, quiet=2), BOTH_WAYS),
    ("lets later tokens lower logits, but never raise them", False,
     dict(looks=_leak(1, 4), row=0, quiet=2, strength=-1.0), BOTH_WAYS),
    ("moves the logits of one place by less than a thousandth", False,
     dict(looks=_leak(0, 6), row=0, quiet=0, strength=0.004),
     "a mean hides a leak: any single logit that moves by more than 1e-4 is one"),
    ("reads all tokens so far, with rounding", True, dict(looks=past, rounding=1e-5),
     "differences up to 1e-4 are rounding: compare with a tolerance, not with =="),
]  # fmt: skip


@exercise("is_causal")
def is_causal(answer, decoders=None, tokens=None, key=1.0):
    """answer(model, memory (B, N, D), tokens (B, T), vocab_size) -> whether no logits depend on a later token."""
    tokens = torch.tensor(TOKENS if tokens is None else tokens)
    for name, causal, options, likely in decoders or DECODERS:
        model = Decoder(**options, key=key)
        given = [numbers(len(tokens), 3, 2, key=key), tokens.clone()]
        got = _yes_or_no(answer(model, *given, model.V))
        if not torch.equal(given[1], tokens):
            raise Wrong("the given tokens are left as they were", "they change", "change a clone")
        if model.calls < 2:
            why = "ask the model again after changing later tokens, and compare what it said before"
            raise Wrong("a model that is asked at least twice", f"{model.calls} calls", why)
        if got != causal:
            raise Wrong(f"{causal} for a decoder that {name}", f"{got}", likely)


TOKENS = [[1, 5, 3, 3, 2, 0, 0], [1, 7, 0, 8, 4, 4, 2]]


def _yes_or_no(got):
    if got is None:
        raise Wrong("True or False", "None", "the function does not return its result")
    array = as_array(got, "the result") if not isinstance(got, bool) else np.asarray(got)
    if array.shape != () or array.dtype.kind not in "bi":
        raise Wrong("True or False", f"a {type(got).__name__}", "one answer for the whole model")
    return bool(array)
