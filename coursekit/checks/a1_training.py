"""The checks of assignment a1 that need a model at work: overfitting, training, greedy decoding."""

import contextlib
import io

import numpy as np
import torch

from coursekit.checks.captions import expect_bleu
from coursekit.checks.core import Wrong, exercise, expect_equal


def numbers(*shape, key=1.0, scale=1.0):
    """float32 tensor of a shape, its values between -scale and scale; the same on every machine."""
    waves = scale * np.sin(key + 2.3 * np.arange(np.prod(shape)) ** 1.3)
    return torch.tensor(waves.reshape(shape), dtype=torch.float32)


def other_data(check):
    """The same check under another name, for data that the student has not seen."""
    return exercise(f"{check.exercise}, on other data")(check.__wrapped__)


def passes(check, *answer):
    """Whether an answer passes a check; prints nothing."""
    with contextlib.redirect_stdout(io.StringIO()):
        return check(*answer)


class _Missing:
    """Stands where a result should be, and raises what kept it from coming when it is used."""

    def __init__(self, error):
        self.__dict__["error"] = error

    def __getattr__(self, name):
        raise self.error

    def __call__(self, *_, **__):
        raise self.error


def attempt(function, *given, returns, **options):
    """What function(…) returns, an object of class `returns`.

    Where it raises, says so and returns a stand-in, so that the notebook goes on; a check that
    uses the stand-in tells the error.
    """
    name = getattr(function, "__name__", "the function")
    try:
        result = function(*given, **options)
        if not isinstance(result, returns):
            got = "None" if result is None else f"a {type(result).__name__}"
            why = "the last line must return the model, also where it was changed in place"
            raise Wrong(f"{name} returns a {returns.__name__}", got, why)
        return result
    except Exception as error:
        done = "is not written yet" if isinstance(error, NotImplementedError) else "stopped early"
        print(f"○ {name} {done}; the test below says more")
        return _Missing(error)


# --- 6 overfitting ------------------------------------------------------------------------------
@exercise("overfit")
def overfit(answer, model, loss_fn, memory, tokens, pad_id, steps, learning_rate, at_most):
    """answer(model, loss_fn, memory, tokens, pad_id, steps, learning_rate) -> the loss at each step."""
    before = [p.detach().clone() for p in model.parameters()]
    first = _measured(model, loss_fn, memory, tokens, pad_id)
    given = memory.clone(), tokens.clone()  # what decides stays out of the answer's reach
    told = answer(model, loss_fn, *given, pad_id, steps, learning_rate)
    moved = [not torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True)]
    if not any(moved):
        why = "a step is loss.backward(), then optimizer.step()"
        raise Wrong("weights that change", "the weights are as they were", why)
    _whole_list(told, steps)
    last = _measured(model, loss_fn, memory, tokens, pad_id)
    if not last <= at_most:
        likely = _why_not_learned(model, loss_fn, memory, tokens, pad_id, moved)
        got = f"{last:.3g} nats, {first:.3g} before training"
        raise Wrong(f"a loss of at most {at_most} nats a token after {steps} steps", got, likely)
    begin, end = float(told[0]), float(told[-1])
    if not (abs(begin - first) <= 0.2 * first and end <= 2 * at_most):  # so that nan fails
        got = f"from {begin:.3g} to {end:.3g}"
        why = "append loss.item() of every step, as loss_fn gives it"
        raise Wrong(f"losses that fall from {first:.3g} to {last:.3g}", got, why)
    shown = ", ".join(f"{float(told[i]):.2f}" for i in range(0, steps, max(1, steps // 5)))
    print(f"  the loss on its way down: {shown}, {last:.3f}")


def _measured(model, loss_fn, memory, tokens, pad_id):
    model.eval()
    with torch.no_grad():
        loss = float(loss_fn(model, memory, tokens, pad_id))
    model.train()
    return loss


def _whole_list(told, steps):
    if told is None or not hasattr(told, "__len__"):
        got = "None" if told is None else f"a {type(told).__name__}"
        raise Wrong(f"a list of {steps} losses", got, "return the loss of every step")
    if len(told) != steps:
        raise Wrong(
            f"{steps} losses, one a step",
            f"{len(told)}",
            "append at every step; return after the loop, not in it",
        )


def _why_not_learned(model, loss_fn, memory, tokens, pad_id, moved):
    """The likeliest reason, from what training left in the gradients and in the weights."""
    if not all(moved):
        names = [
            name for (name, _), m in zip(model.named_parameters(), moved, strict=True) if not m
        ]
        return f"some weights never move, such as {names[0]}: give the optimizer model.parameters()"
    left = _gradient_size(model)
    model.zero_grad()
    loss_fn(model, memory, tokens, pad_id).backward()
    if left > 3 * max(_gradient_size(model), 0.3):
        return "gradients add up from step to step: call optimizer.zero_grad() before backward()"
    return "make the optimizer once, before the loop, with the learning rate that was given; Adam does well"


def _gradient_size(model):
    squares = [p.grad.square().sum() for p in model.parameters() if p.grad is not None]
    return float(sum(squares)) ** 0.5


# --- 7 training ---------------------------------------------------------------------------------
@exercise("train_captioner")
def captions(describe, memory, references, score, at_least):
    """describe(memory (B, N, D)) -> B captions; score(captions, references) -> BLEU-4, 0 to 1."""
    expect_bleu(describe, memory, references, score, at_least, _why_poor)


def _why_poor(told, references, score, bleu):
    if bleu < 0.05:
        return "next to nothing is learned: backward() and a step for every batch of every epoch?"
    lengths = [len(one.split()) for one in told]
    usual = np.mean([len(one.split()) for each in references for one in each])
    if np.mean(lengths) > 1.5 * usual:
        return "the captions do not end: train on tokenizer.with_ends(caption), which holds <eos>"
    if np.mean(lengths) < 0.5 * usual:
        return "the captions break off: what are the targets, and is <bos> the first token?"
    if len(set(told)) <= max(1, len(told) // 20):
        return (
            "nearly all pictures get the same caption: are memory and captions in the same order?"
        )
    turned = [*references[1:], references[0]]
    if score(told, turned) > 0.7 * bleu:
        return "the captions do not fit their pictures: shuffle memory and captions with the same order"
    return "too little training: all batches of every epoch, a step after each, the given learning rate"


# --- 8 greedy decoding --------------------------------------------------------------------------
class ScriptedModel:
    """A step model that says what its scripts tell it to: one list of tokens for each picture.

    `memory` (B, 1, 1) holds the number of each picture. A row that is fed another token than it has
    just said loses its thread and says `lost` from then on; after its script it says `after`.
    """

    def __init__(self, scripts, vocab_size, bos_id, lost, after, limit):
        self.scripts, self.V, self.bos_id = scripts, vocab_size, bos_id
        self.lost, self.after, self.limit = lost, after, limit
        self.memory = torch.arange(float(len(scripts)))[:, None, None]  # (B, 1, 1)
        self.fed, self.places = [], []

    def start(self, memory):
        """The state (B, 2): which picture, and how many tokens it has said; -1 when it is lost."""
        if len(memory) > len(self.scripts):
            raise Wrong(f"start gets at most {len(self.scripts)} pictures", f"{len(memory)}", None)
        pictures = torch.as_tensor(memory).reshape(len(memory), -1)[:, 0].long()
        return torch.stack([pictures, torch.zeros_like(pictures)], 1)

    def step(self, tokens, state):
        """tokens (B,) -> logits (B, V) and the next state."""
        self._look(tokens, state)
        logits = numbers(len(state), self.V, key=len(self.fed), scale=0.3) - 3.0
        says, places = zip(*map(self._one, tokens.tolist(), *state.T.tolist()), strict=True)
        logits[torch.arange(len(state)), list(says)] = -2.0
        return logits, torch.stack([state[:, 0], torch.tensor(places)], 1)

    def _one(self, token, picture, place):
        """What one row says, and how many tokens it has said then."""
        script = self.scripts[picture]
        if place < 0 or token != (self._said(script, place - 1) if place else self.bos_id):
            return self.lost, -1
        return self._said(script, place), place + 1

    def _said(self, script, place):
        return script[place] if place < len(script) else self.after

    def _look(self, tokens, state):
        rows, *rest = getattr(state, "shape", None) or [0]
        if rows > len(self.scripts) or rest != [2]:
            raise Wrong("step gets a state that start or step has returned", "another", None)
        shape = tuple(tokens.shape) if hasattr(tokens, "shape") else f"a {type(tokens).__name__}"
        if shape != (len(state),):
            why = "argmax over the wrong axis? The vocabulary is the last one"
            raise Wrong(f"step gets tokens of shape ({len(state)},)", shape, why)
        self.fed.append(tokens.tolist())
        self.places.append(state[:, 1].tolist())
        if len(self.fed) > self.limit * len(self.scripts) + 2:
            raise Wrong(
                "an end after max_len steps", f"{len(self.fed)} steps", "the loop never ends"
            )


ENDLESS = [8, 4, 8, 4, 8, 4, 8, 4, 8, 4, 8, 4]
SCRIPTS = [[5, 3, 3, 7, 2], [4, 2], [2], ENDLESS]


@exercise("greedy")
def greedy(answer, scripts=SCRIPTS, V=10, bos_id=1, eos_id=2, lost=9, after=6, max_len=6):
    """answer(model, memory, bos_id, eos_id, max_len) -> B lists of tokens, without bos and eos."""
    model = ScriptedModel(scripts, V, bos_id, lost, after, max_len)
    got = answer(model, model.memory.clone(), bos_id, eos_id, max_len)
    _looped(model, bos_id)
    right = [_cut(script[:max_len], eos_id) for script in scripts]
    ended = [r + [eos_id] * (eos_id in s[:max_len]) for r, s in zip(right, scripts, strict=True)]
    mistakes = [
        (ended, "<eos> is a signal, not a word: leave it out"),
        ([[bos_id, *r] for r in right], "<bos> is where you begin, not a word of the caption"),
        ([[bos_id, *r] for r in ended], "<bos> and <eos> are no words of the caption"),
        ([(s + [after] * max_len)[:max_len] for s in scripts], "a caption stops at <eos>"),
        ([[t for t in (s + [after] * max_len)[:max_len] if t != eos_id] for s in scripts],
         "<eos> is removed, but the words after it stay: a caption stops at <eos>"),
        ([(e + [eos_id] * max_len)[:max_len] for e in ended], "a caption stops at <eos>; it is not filled up"),
        ([r[: max_len - 1] for r in right], "one word too few: max_len words may be said"),
        ([_cut(s[: max_len + 1], eos_id) for s in scripts], "one word too many: max_len words may be said"),
        ([r[:-1] if e != r else r for r, e in zip(right, ended, strict=True)], "the word before <eos> is lost"),
        ([r[1:] for r in right], "the first word is lost: keep what the first step says"),
    ]  # fmt: skip
    got = got.tolist() if hasattr(got, "tolist") else got
    if _all_stopped(got, right):
        mistakes.append((got, "all captions stop with the first that ends; the others go on"))
    likely = "at every step, for every picture, the token with the largest logit"
    if isinstance(got, list) and len(got) != len(right):
        likely = "one list of tokens for each picture"
    expect_equal(got, right, "the captions", likely, mistakes)


def _all_stopped(got, right):
    if not isinstance(got, list) or len(got) != len(right) or got == right:
        return False
    begun = all(list(map(int, g)) == r[: len(g)] for g, r in zip(got, right, strict=True))
    return begun and max(map(len, got)) <= min(map(len, right)) + 1


def _looped(model, bos_id):
    """How the model was used tells more than what came of it."""
    if model.fed and set(model.fed[0]) != {bos_id}:
        raise Wrong(f"the first step gets bos_id = {bos_id}", model.fed[0], "begin with bos_id")
    if len(model.fed) > len(model.scripts) and {t for row in model.fed for t in row} == {bos_id}:
        why = "hand the chosen tokens back in at the next step"
        raise Wrong("each step gets the tokens just chosen", "<bos> at every step", why)
    if len(model.places) > len(model.scripts) and {p for row in model.places for p in row} == {0}:
        why = "step returns the next state: keep it, `logits, state = model.step(tokens, state)`"
        raise Wrong(
            "each step gets the state of the step before", "the first state at every step", why
        )


def _cut(tokens, eos_id):
    return tokens[: tokens.index(eos_id)] if eos_id in tokens else tokens
