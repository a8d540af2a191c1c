"""The checks of lesson 03: the shift, the picture as a word, one caption by greedy, precision by kind."""

import numpy as np
import torch

from coursekit.checks.core import Wrong, as_array, exercise, expect_close, expect_equal

# Three captions of different lengths, and the same with another padding token, where 0 is a word.
CAPTIONS = [[1, 7, 4, 9, 6, 2], [1, 5, 2, 0, 0, 0], [1, 6, 8, 4, 2, 0]]
INPUTS = [[1, 7, 4, 9, 6], [1, 5, 2, 0, 0], [1, 6, 8, 4, 2]]
TARGETS = [[7, 4, 9, 6, 2], [5, 2, 0, 0, 0], [6, 8, 4, 2, 0]]
REAL = [[True] * 5, [True, True, False, False, False], [True, True, True, True, False]]
REAL_INPUTS = [[True] * 5, [True, True, True, False, False], [True] * 5]
EVERYWHERE = [[True] * 6, [True] * 3 + [False] * 3, [True] * 5 + [False]]
NO_END = [[True] * 4 + [False], [True] + [False] * 4, [True, True, True, False, False]]
OTHER_PAD = [[1, 0, 7, 2, 11], [1, 0, 2, 11, 11]]
OTHER_REAL = [[True, True, True, False], [True, True, False, False]]


@exercise("shift")
def shift(answer):
    """answer(tokens (B, T), pad_id) -> inputs, targets, real, all (B, T - 1)."""
    inputs, targets, real = _three(answer(torch.tensor(CAPTIONS), 0))
    if inputs.shape == (2, 6) or targets.shape == (2, 6):
        raise Wrong(
            "tensors of shape (3, 5)",
            "one caption fewer",
            "tokens[:-1] leaves out the last caption; tokens[:, :-1] the last token of each",
        )
    _inputs_and_targets(inputs.tolist(), targets.tolist())
    expect_equal(
        real.tolist(),
        REAL,
        "real",
        mistakes=[
            (REAL_INPUTS, "you look for padding in the inputs; it is the target that must be real"),
            (np.logical_not(REAL).tolist(), "True marks the padding here; turn it round (!=)"),
            (EVERYWHERE, "one column too many: real belongs to the targets, not to all tokens"),
            (NO_END, "<eos> is left out: the model must be taught to stop, so it is a real target"),
        ],
    )
    real = _three(answer(torch.tensor(OTHER_PAD), 11))[2].tolist()
    expect_equal(real, OTHER_REAL, "real, with pad_id = 11", "compare with pad_id, not with 0")


def _three(result):
    if not isinstance(result, (tuple, list)) or len(result) != 3:
        got = "None" if result is None else f"a {type(result).__name__}"
        raise Wrong("three tensors: inputs, targets, real", got, "return inputs, targets, real")
    return [as_array(part, name) for part, name in zip(result, ("inputs", "targets", "real"))]  # noqa: B905


def _inputs_and_targets(inputs, targets):
    if inputs == TARGETS and targets == INPUTS:
        raise Wrong(
            f"inputs[0] = {INPUTS[0]}", inputs[0], "the two are exchanged: this predicts the past"
        )
    rolled = [row[1:] + row[:1] for row in CAPTIONS]
    expect_equal(
        inputs,
        INPUTS,
        "inputs",
        "begin with <bos>, and end one before the last token",
        mistakes=[(CAPTIONS, "the last token stays in the inputs, though nothing follows it")],
    )
    expect_equal(
        targets,
        TARGETS,
        "targets",
        mistakes=[
            (
                INPUTS,
                "the targets are the inputs: the model would only learn to copy the word it is given",
            ),
            (
                [row[1:-1] for row in CAPTIONS],
                "the last token is cut here too; the targets need it: [:, 1:]",
            ),
            (CAPTIONS, "the targets are not moved: position t must hold token t + 1"),
            (rolled, "roll brings <bos> round to the end: cut instead"),
            ([row[:-1] for row in rolled], "roll brings <bos> round to the end: cut instead"),
            ([row[2:] + [0] for row in CAPTIONS], "the targets are moved by two tokens"),
        ],
    )


# A picture of N = 3 places and D = 4 features, B = 2; words of E = 5 numbers, T = 6.
MEMORY = [
    [[1, -3, 0, 2], [4, -1, 0, -2], [2, -2, 3, 0]],
    [[0, 5, -4, 1], [0, 1, -2, 1], [-1, 0, -3, 7]],
]
WEIGHT = [[1, 0, 2, 0], [0, 1, 0, -1], [3, 0, 0, 1], [0, -2, 1, 0], [1, 1, 1, 1]]
BIAS = [10, 20, 30, 40, 50]
WORDS = [[[100 * b + 10 * t + e for e in range(5)] for t in range(6)] for b in range(2)]
PICTURE = [[20, 17, 44, 45, 58], [6, 18, 37, 28, 60]]
# The same with the mistake that the name tells
BY_MEAN = [[14.3333333, 18, 37, 45, 51.3333333], [3.6666667, 19, 32, 33, 51.6666667]]
BY_SUM = [[23, 14, 51, 55, 54], [-9, 17, 36, 19, 55]]
NO_BIAS = [[10, -3, 14, 5, 8], [-4, -2, 7, -12, 10]]
MAPPED_FIRST = [[18, 21, 40, 47, 53], [6, 24, 34, 37, 53]]
FIRST_PLACE = [[11, 15, 35, 46, 50], [2, 24, 31, 26, 52]]


@exercise("picture_first")
def picture_first(answer):
    """answer(memory (B, N, D), words (B, T, E), weight (E, D), bias (E,)) -> inputs (B, 1 + T, E)."""
    given = [torch.tensor(part, dtype=torch.float32) for part in (MEMORY, WORDS, WEIGHT, BIAS)]
    words = np.asarray(WORDS, float)
    got = as_array(_run_picture_first(answer, given), "inputs")
    if got.shape == (2, 6, 5):
        raise Wrong(
            "inputs of shape (2, 7, 5)",
            "shape (2, 6, 5)",
            "the picture is mixed into the words; it takes a step of its own, before them",
        )
    if got.shape == (2, 9, 5):
        raise Wrong(
            "inputs of shape (2, 7, 5)",
            "shape (2, 9, 5)",
            "each of the three places became a step: pool over the places first",
        )
    if got.shape == (2, 6, 10):
        raise Wrong(
            "inputs of shape (2, 7, 5)",
            "shape (2, 6, 10)",
            "joined along the features: time is dimension 1",
        )
    if got.shape == (2, 7, 5) and np.allclose(got[:, :-1], words):
        raise Wrong(
            "the picture at position 0",
            "the picture at the last position",
            "the picture comes after the words: by then all of them have been guessed blindly",
        )
    expected = np.concatenate([np.asarray(PICTURE, float)[:, None], words], 1)
    mistakes = [
        (BY_MEAN, "the mean over the places; ask for the largest, amax(1)"),
        (BY_SUM, "the sum over the places; ask for the largest, amax(1)"),
        (NO_BIAS, "the bias is not added"),
        (MAPPED_FIRST, "each place is mapped before the maximum: first the maximum, then the map"),
        (FIRST_PLACE, "only the first place is used; ask for the largest over all places, amax(1)"),
    ]
    pairs = [(np.concatenate([np.asarray(m)[:, None], words], 1), why) for m, why in mistakes]
    expect_close(got, expected, "inputs", 1e-4, mistakes=pairs)


def _run_picture_first(answer, given):
    try:
        return answer(*given)
    except NotImplementedError:
        raise
    except (TypeError, AttributeError) as error:
        if "max" not in str(error) and "tuple" not in str(error):
            raise
        raise Wrong(
            "inputs of shape (2, 7, 5)",
            str(error).splitlines()[0],
            "memory.max(1) returns the values and where they are; amax(1) returns the values alone",
        ) from error
    except (RuntimeError, IndexError) as error:
        raise Wrong(
            "inputs of shape (2, 7, 5)",
            str(error).splitlines()[0],
            "shapes that do not fit: pool over dimension 1 to (B, D), multiply by weight.T to (B, E), "
            "give it a time axis with [:, None], join along dimension 1",
        ) from error


BOS, EOS = 5, 6  # unlike the course's own, so that ids written into the code show
# What the toy model says at each step; word 3 occurs twice and is followed by different words.
SCRIPT = [3, 0, 3, 2, 4, EOS]


class _Toy:
    """A step model with a script: it knows its place by the state, and that each word was handed back."""

    def __init__(self, script):
        self.script, self.fed, self.places, self.starts = script, [], [], 0
        self.memory = torch.full((1, 2, 3), 0.5)

    def start(self, memory):
        if memory is not self.memory:
            raise Wrong("start(memory)", "start of something else", "hand the memory on as it is")
        self.starts += 1
        return torch.zeros(1, 1)

    def step(self, tokens, state):
        if not isinstance(tokens, torch.Tensor) or tuple(tokens.shape) != (1,):
            shape = tuple(tokens.shape) if hasattr(tokens, "shape") else type(tokens).__name__
            raise Wrong(
                "step gets tokens of shape (1,)",
                shape,
                "logits.argmax(-1) has that shape; wrap a plain number: torch.tensor([word])",
            )
        place = int(state[0, 0])
        self.fed.append(int(tokens[0]))
        self.places.append(place)
        if len(self.fed) > 50:
            raise Wrong(
                "an end after <eos> or max_len words", "more than 50 steps", "the loop never ends"
            )
        logits = torch.linspace(-0.4, 0.2, 7)[None]  # all near each other: a draw would stray
        # Negative throughout, and the chosen one largest but not so in absolute value
        logits = logits - 3
        logits[0, self.script[min(place, len(self.script) - 1)]] = -1.5
        return logits, state + 1


@exercise("say")
def say(answer):
    """answer(model, memory, bos_id, eos_id, max_len) -> list of int: the words of one picture."""
    toy = _Toy(SCRIPT)
    got = answer(toy, toy.memory, BOS, EOS, 9)
    _looped(toy)
    expect_equal(
        got,
        SCRIPT[:-1],
        "the words",
        "take the word with the largest logit at every step",
        mistakes=[
            (SCRIPT, "<eos> is a signal, not a word: stop before you keep it"),
            ([BOS, *SCRIPT[:-1]], "<bos> is where you begin, not a word of the caption"),
            ([BOS, *SCRIPT], "<bos> and <eos> are no words of the caption"),
            (SCRIPT[:-2], "the word before <eos> is lost: keep each word before you go on"),
            (SCRIPT[1:-1], "the first word is lost: keep what the first step says"),
            (SCRIPT[:3], "stop at eos_id, the number that is handed over, not at 2"),
            ([[word] for word in SCRIPT[:-1]], "keep int(token), not the tensor"),
            (SCRIPT[:-1] + [EOS] * 4, "the loop goes on after <eos>: stop there"),
        ],
    )
    endless = _Toy([4, 2, 4, 0])
    got = answer(endless, endless.memory, BOS, EOS, 4)
    near = [
        ([4, 2, 4], "one word too few: max_len words may be said"),
        ([4, 2, 4, 0, 0], "one word too many"),
        ([4, 2], "<bos> is counted, or the last word is cut although it is not <eos>"),
    ]
    expect_equal(
        got, [4, 2, 4, 0], "the words of a model that never ends, max_len = 4", mistakes=near
    )


def _looped(toy):
    """What was handed to the model, before what came of it: it tells more."""
    if toy.starts != 1:
        raise Wrong(
            "one call of start",
            f"{toy.starts} calls",
            "the picture is handed over once, before the loop",
        )
    if toy.fed and toy.fed[0] != BOS:
        raise Wrong(f"the first step gets bos_id = {BOS}", toy.fed[0], "begin with bos_id")
    if len(toy.fed) > 1 and set(toy.fed) == {BOS}:
        raise Wrong(
            "each step gets the word just chosen",
            "<bos> at every step",
            "hand the chosen word back in",
        )
    if len(toy.places) > 1 and set(toy.places) == {0}:
        raise Wrong(
            "each step gets the state of the step before",
            "the first state at every step",
            "step returns a new state: keep it, `logits, state = model.step(...)`",
        )


CLAIMED = [
    {("thing", "car"), ("colour", "car", "red"), ("sky", "night"), ("count", "car", 1)},
    {("thing", "cat"), ("thing", "kite"), ("colour", "cat", "red"), ("colour", "kite", "blue")},
    {("thing", "car"), ("colour", "car", "blue"), ("count", "car", 1)},
    set(),
]
FACTS = [
    {("thing", "car"), ("colour", "car", "blue"), ("sky", "day"), ("count", "car", 1)},
    {("thing", "cat"), ("colour", "cat", "red"), ("sky", "night"), ("count", "cat", 2)},
    {("thing", "car"), ("colour", "car", "blue"), ("sky", "rain"), ("count", "car", 2)},
    {("thing", "tent"), ("ground", "snow")},
]
PRECISION = {"thing": 3 / 4, "colour": 2 / 4, "sky": 0.0, "count": 1 / 2}
RECALL = {"thing": 3 / 4, "colour": 2 / 3, "sky": 0.0, "count": 1 / 3, "ground": 0.0}
OF_PICTURES = {"thing": (1 + 0.5 + 1) / 3, "colour": (0 + 0.5 + 1) / 3, "sky": 0.0, "count": 1 / 2}
# The facts of all pictures in one set; the claims in one as well, or each on its own
ONE_POT = {"thing": 2 / 3, "colour": 2 / 4, "sky": 1.0, "count": 1.0}
FACTS_IN_ONE_POT = {"thing": 3 / 4, "colour": 2 / 4, "sky": 1.0, "count": 1.0}
EACH_ONCE = {"thing": 2 / 3, "colour": 2 / 4, "sky": 0.0, "count": 1.0}
TRUE_COUNTS = {"thing": 3, "colour": 2, "count": 1}


@exercise("precision_by_kind")
def precision_by_kind(answer):
    """answer(claimed: list of sets, facts: list of sets) -> dict: kind -> share of its claims that are true."""
    got = answer([set(c) for c in CLAIMED], [set(f) for f in FACTS])
    if not isinstance(got, dict):
        raise Wrong(
            "a dict: kind → share", f"a {type(got).__name__}", "collect by claim[0], the kind"
        )
    if any(isinstance(kind, tuple) for kind in got):
        why = "each claim has a share of its own: collect by claim[0], the kind"
        raise Wrong("a dict: kind → share", f"the key {next(iter(got))}", why)
    got = {kind: float(share) for kind, share in got.items()}
    for wrong, why in (
        (RECALL, "this is recall, what part of the facts is told; divide by the number of claims"),
        (OF_PICTURES, "the mean over pictures; count over all pictures, and divide once"),
        (ONE_POT, "all pictures in one pot: a claim must be true of its own picture"),
        (FACTS_IN_ONE_POT, "all facts in one pot: a claim must be true of its own picture"),
        (
            EACH_ONCE,
            "the same claim of two pictures is two claims: one set over all pictures keeps one",
        ),
        (TRUE_COUNTS, "these are counts of true claims: divide by the number of claims"),
        ({k: 100 * v for k, v in PRECISION.items()}, "per cent; give shares from 0 to 1"),
        (
            {k: 1 - v for k, v in PRECISION.items()},
            "the share that is false; give the share that is true",
        ),
    ):
        if got.keys() == wrong.keys() and all(abs(got[k] - wrong[k]) < 1e-6 for k in got):
            raise Wrong(_shares(PRECISION), _shares(got), why)
    if missing := PRECISION.keys() - got.keys():
        why = "a kind whose claims are all false has the share 0, and belongs in the result"
        raise Wrong(f"the kinds {sorted(PRECISION)}", f"without {sorted(missing)}", why)
    if more := got.keys() - PRECISION.keys():
        raise Wrong(
            f"the kinds {sorted(PRECISION)}", f"also {sorted(more)}", "only kinds that are claimed"
        )
    for kind, share in PRECISION.items():
        expect_close(got[kind], share, f"the share of {kind}", 1e-6)


def _shares(shares):
    return ", ".join(f"{kind} {share:.3g}" for kind, share in sorted(shares.items()))
