"""The checks of assignment a2 that draw and describe: the nucleus, draws from it, a captioner's captions."""

import math

import numpy as np
import torch

from coursekit.checks.a1_training import numbers
from coursekit.checks.a2_common import place_of
from coursekit.checks.a2_search import words_of
from coursekit.checks.core import Wrong, as_array, exercise, expect_close, expect_shape

# --- 3 the nucleus ------------------------------------------------------------------------------
ALONE = "each row is drawn alone, by its own probabilities, anew at every call"
LOGITS = numbers(3, 7, key=4.0, scale=2.5)


@exercise("nucleus")
def nucleus(answer, draw, logits=LOGITS, masses=(0.3, 0.62, 0.9, 0.05), count=2000):
    """answer(logits (B, V), p) -> probabilities (B, V) of the nucleus; draw(probabilities) -> tokens (B,)."""
    for p in masses:
        given = logits.clone()
        got = answer(given, p)
        if not torch.equal(given, logits):
            raise Wrong(
                "the given logits are left as they were", "they change", "write into a copy"
            )
        _one_nucleus(got, logits, p)
    _drawn(draw, logits, count)


def _one_nucleus(got, logits, p):
    """Is it the smallest set of likeliest words whose mass reaches p, rescaled to 1?"""
    name = f"the nucleus of p = {p}"
    q = logits.double().softmax(-1).numpy()  # (B, V)
    array = expect_shape(
        got, q.shape, name, "one probability for each word of the vocabulary, 0 outside"
    )
    if np.isnan(array.astype(float)).any():
        why = "0 / 0: the word that crosses p belongs to the nucleus, so it is never empty"
        raise Wrong(f"{name} without nan", "nan", why)
    if array.dtype.kind != "f" or not np.isfinite(array).all() or (array < 0).any():
        raise Wrong(
            f"{name} as probabilities",
            "numbers that are none",
            "these look like logits; 0 outside, softmax inside",
        )
    for b, kept in enumerate(array > 0):
        _smallest_set(kept, q[b], p, f"{name} in row {b}", _turned(array, q) or _alike(array, q, p))
    rows = array.sum(-1)
    if np.abs(rows - 1).max() > 1e-4:
        why = "not renormalised: divide what is kept in a row by its sum"
        if np.abs(array.sum(0) - 1).max() < 1e-4:
            why = "each column sums to 1: the softmax goes over the vocabulary, the last axis"
        elif abs(array.sum() - 1) < 1e-4:
            why = (
                "divided by the sum of the whole table: each row has a sum of its own, keepdim=True"
            )
        raise Wrong(f"{name}: every row sums to 1", f"{rows[np.abs(rows - 1).argmax()]:.4f}", why)
    kept = array > 0
    inside = np.where(kept, q, 0) / np.where(kept, q, 0).sum(-1, keepdims=True)
    expect_close(array, inside, name, 1e-4, "inside, probabilities keep their proportions")


def _turned(array, q):
    """Why the wrong words may be kept, when sizes are right and places are not."""
    ordered = -np.sort(-q, -1)
    sizes = (array > 0).sum(-1)
    first = all((array[b, :n] > 0).all() for b, n in enumerate(sizes))
    falling = all((np.diff(array[b, :n]) <= 0).all() for b, n in enumerate(sizes))
    if first and falling and not np.allclose(ordered, q):
        return "the result is still sorted: bring each probability back to the place of its word"
    return None


def _alike(array, q, p):
    """Why the wrong number of words may be kept, when it is the same in every row and should not be."""
    sizes = set((array > 0).sum(-1).tolist())
    ordered = -np.sort(-q, -1)
    right = set((ordered.cumsum(-1) - ordered < p).sum(-1).tolist())
    if len(sizes) == 1 < len(right) and sizes & set(range(min(right), max(right) + 1)):
        return "the same number of words in all rows: every row has a number of its own"
    return None


def _smallest_set(kept, q, p, name, likely):
    if not kept.any():
        why = "the word that crosses p belongs to the nucleus, so it is never empty"
        raise Wrong(f"{name} holds at least one word", "none", why)
    least, other = q[kept].min(), q[~kept].max(initial=0)
    rising = q.argsort()
    ascending = (kept[rising] == (q[rising].cumsum() - q[rising] < p)).all()
    if other > least + 1e-6:
        why = "the likeliest words of each row, at their own places"
        why = likely or ("sorted ascending: begin with the likeliest" if ascending else why)
        raise Wrong(
            f"{name} holds the likeliest words",
            f"{other:.3f} is left out and {least:.3f} kept",
            why,
        )
    mass = q[kept].sum()
    if mass < p - 1e-4:
        why = (
            "the word that crosses p belongs to the nucleus: compare the mass before a word with p"
        )
        raise Wrong(f"{name}: a mass of at least {p}", f"{mass:.3f}", likely or why)
    if mass - least > p + 1e-4:
        why = likely or (
            "stop as soon as the mass reaches p; compare with the mass of the likelier words alone"
        )
        if kept.all():
            why = "nothing is cut off: what lies outside the nucleus gets probability 0"
        raise Wrong(
            f"{name} is the smallest that reaches {p}",
            f"{mass - least:.3f} without its last word",
            why,
        )


def _drawn(draw, logits, count):
    """Do the frequencies of many draws agree with the probabilities?

    By Hoeffding's inequality a frequency of n draws is off by more than e with probability below
    2 exp(-2 n e²).  e is such that all V frequencies of all rows together miss it less than once in
    ten million right answers.
    """
    V = logits.shape[1]
    q = logits.double().softmax(-1)
    q = (q * (q >= q.sort(-1, descending=True).values[:, 3:4])).numpy()  # four words a row
    q = q / q.sum(-1, keepdims=True)  # float64, so that numpy's choice finds that rows sum to 1
    given = torch.tensor(q).repeat(count, 1)  # (count * B, V)
    off = math.sqrt(math.log(2 * q.size / 1e-7) / (2 * count))
    before, runs = given.clone(), []
    for _ in range(2):
        runs.append(_tokens(draw(given), len(given), V))
        if not torch.equal(given, before):
            raise Wrong(
                "the given probabilities are left as they were", "they change", "write into a copy"
            )
    if (runs[0] == runs[1]).all():
        why = f"argmax always takes the likeliest, a seed set inside always draws the same: {ALONE}"
        raise Wrong("other draws at the second call", "the same draws", why)
    rows = runs[0].reshape(count, len(q))
    found = np.stack([np.bincount(column, minlength=V) for column in rows.T]) / count  # (B, V)
    if (found[q == 0] > 0).any():
        why = "draw is given probabilities already: no softmax here, and to each row its own"
        why = ALONE if (rows == rows[0]).all() else why
        raise Wrong("no word of probability 0", "such a word was drawn", why)
    worst = np.unravel_index(np.abs(found - q).argmax(), q.shape)
    if np.abs(found - q).max() > off:
        why = ALONE
        raise Wrong(
            f"word {worst[1]} drawn with frequency {q[worst]:.3f} (to {off:.3f})",
            f"{found[worst]:.3f}",
            why,
        )


def _tokens(tokens, rows, V):
    array = as_array(tokens, "the tokens drawn")
    if array.shape != (rows,):
        why = (
            "multinomial gives (B, 1): take its only column"
            if array.shape == (rows, 1)
            else "one token for each row"
        )
        raise Wrong(f"tokens of shape ({rows},)", f"shape {array.shape}", why)
    if not (array == array.astype(int)).all() or array.min() < 0 or array.max() >= V:
        raise Wrong(
            f"tokens from 0 to {V - 1}", "other numbers", "a token is a place in the vocabulary"
        )
    return array.astype(int)


# --- 10 a captioner's captions ------------------------------------------------------------------
class Probe:
    """A search that finds nothing, but looks at the step function and the state that it is given."""

    def __init__(self, beam, max_len):
        self.given, self.states = [beam, max_len], []

    def __call__(self, step, state, bos_id, eos_id, beam, max_len):
        if [beam, max_len] != self.given:
            told = f"beam and max_len {self.given}"
            raise Wrong(f"{told} given to the search", [beam, max_len], "hand both on as they are")
        if any(len(part) != 1 for part in state):
            why = "the search is for one picture: model.start of memory[i : i + 1]"
            raise Wrong("a state with 1 row given to the search", f"{len(state[0])} rows", why)
        self.states.append(as_array(state[0], "the state"))
        self._look(step, torch.tensor([bos_id]), tuple(state))
        return [], 0.0

    def _look(self, step, tokens, state):
        two = tokens.repeat(2), tuple(part[[0, 0]] for part in state)
        says = [as_array(_two_results(step(*two))[0], "log_probs") for _ in range(2)]  # (2, V)
        if says[0].shape != says[1].shape or says[0].ndim != 2 or len(says[0]) != 2:
            raise Wrong("log_probs (2, V) for 2 hypotheses", f"shape {says[0].shape}", None)
        if np.abs(says[0] - says[1]).max() > 1e-4:
            why = "dropout is on: model.eval() before the first step"
            raise Wrong("the same log-probabilities for the same input", "others", why)
        mass = np.exp(says[0]).sum(-1)
        if np.abs(mass - 1).max() > 1e-3:
            why = "step returns logits.log_softmax(-1): over the words, and a logarithm"
            raise Wrong("log-probabilities: their exponentials sum to 1", f"{mass[0]:.3g}", why)
        _goes_on(two[1], _two_results(step(*two))[1])


def _two_results(got):
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        told = "None" if got is None else f"a {type(got).__name__}"
        raise Wrong("two results of step", told, "step returns both: log_probs, state")
    return got


def _goes_on(before, after):
    """A word changes the state; some of its parts may stay."""
    parts = [[as_array(part, "the state") for part in state] for state in (before, after)]
    if all(np.array_equal(*pair) for pair in zip(*parts, strict=False)):
        why = "step hands on the state that model.step returned, not the one that it was given"
        raise Wrong("another state after a step", "the same state", why)


@exercise("describe")
def captions(answer, model, memory, search, ids, beam, references, score, greedy, gain, at_least):
    """answer(model, memory (M, N, D), search, bos_id, eos_id, beam, max_len) -> M lists of tokens.

    ids: bos_id, eos_id, max_len.  score(tokens, references) -> BLEU-4, 0 to 1.  greedy: the mean
    log-probability of greedy's captions, which these must pass by `gain`.
    """
    M = len(memory)
    _probed(answer, model, memory[:3], *ids[:2], beam, ids[2])
    model.train()  # as training leaves it
    try:
        got = answer(model, memory.clone(), search, *ids[:2], beam, ids[2])
    finally:
        model.eval()
    if not isinstance(got, (list, tuple)) or len(got) != M:
        told = f"{len(got)}" if isinstance(got, (list, tuple)) else f"a {type(got).__name__}"
        raise Wrong(f"a list of {M} captions", told, "one list of tokens for each picture")
    tokens = [_one_caption(one) for one in got]
    if any(end in one for one in tokens for end in ids[:2]):
        raise Wrong(
            "captions without <bos> and <eos>", "they hold some", "hand on what the search returns"
        )
    bleu = score(tokens, references)
    if bleu < at_least:
        raise Wrong(
            f"BLEU-4 of at least {at_least:.2f}",
            f"{bleu:.3f}",
            _why_low(tokens, references, bleu, score),
        )
    reached = _mean_log_probability(model, memory, tokens, *ids)
    if reached < greedy + gain:
        why = "these are not the captions that the search returned: hand on all their tokens"
        told = f"captions {gain} nats likelier than greedy's ({greedy:.2f}), on average"
        raise Wrong(told, f"{reached:.2f}", why)
    print(
        f"  BLEU-4 {bleu:.3f} on {M} pictures; {reached - greedy:.2f} nats likelier than greedy's"
    )


def _one_caption(got):
    """The tokens of a caption. Raises Wrong for a score, a pair, a sentence or its words."""
    why = "the search returns tokens and score: take the tokens alone"
    if isinstance(got, str) or (isinstance(got, list) and any(isinstance(one, str) for one in got)):
        raise Wrong("each caption as a list of tokens", f"{got!r}", "tokens are numbers: do not decode them")  # fmt: skip
    if isinstance(got, (tuple, list)) and any(isinstance(one, (tuple, list)) for one in got):
        raise Wrong("each caption as a list of tokens", "tokens beside a score", why)
    return words_of(got, "each caption", why)


def _probed(answer, model, memory, bos_id, eos_id, beam, max_len):
    """Lets the answer describe a few pictures with a search that looks at what it is given."""
    probe = Probe(beam, max_len)
    model.train()
    try:
        answer(model, memory.clone(), probe, bos_id, eos_id, beam, max_len)
    except RuntimeError as error:
        if probe.states or str(error) != _of_one_place(model, memory[0]):
            raise
        why = "picture i is memory[i : i + 1]: the axis of pictures stays, with size 1"
        got = f"RuntimeError: {error}{place_of(error)}"
        raise Wrong("a memory (1, N, D) given to model.start", got, why) from None
    finally:
        model.eval()
    if len(probe.states) != len(memory):
        raise Wrong(f"{len(memory)} searches, one for each picture", f"{len(probe.states)}", None)
    if all(np.allclose(probe.states[0], one) for one in probe.states[1:]):
        why = "picture i is memory[i : i + 1]"
        raise Wrong("another state for each picture", "the same for all", why)


def _of_one_place(model, memory):
    """What the model's error says if it is given a memory (N, D)."""
    try:
        model.start(memory)
    except RuntimeError as error:
        return str(error)
    return None


def _mean_log_probability(model, memory, tokens, bos_id, eos_id, max_len):
    """By the model itself, <eos> included unless max_len was reached."""
    total = 0.0
    for picture, words in zip(memory.split(1), tokens, strict=True):
        row = torch.tensor([[bos_id, *words, eos_id][: max_len + 1]])  # (1, T)
        with torch.no_grad():
            said = model(picture, row[:, :-1]).log_softmax(-1)  # (1, T - 1, V)
        total += said.gather(-1, row[:, 1:, None]).sum().item()
    return total / len(tokens)


def _why_low(tokens, references, bleu, score):
    others = [
        references[::-1],
        [*references[1:], references[0]],
        [references[-1], *references[:-1]],
    ]
    if max(score(tokens, other) for other in others) > bleu:
        return "the captions stand in another order than the pictures"
    return None
