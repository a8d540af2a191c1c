"""The checks of assignment a3 about a whole captioner: what of it learns, and what it says of pictures."""

import numpy as np
import torch

from coursekit.checks.a1_training import numbers
from coursekit.checks.captions import expect_bleu
from coursekit.checks.core import Wrong, exercise

# --- 8 what learns, and what stays --------------------------------------------------------------
FROZEN, LEARNS = ("encoder", "language"), ("mapper", "ends", "types")


@exercise("frozen_captioner")
def frozen(build, key=3.0, learning_rate=1e-2, steps=3):
    """build() -> a captioner with encoder, language, mapper, ends, types, and optimizer(learning_rate)."""
    model = build()
    _wants(model)
    _modes(model, "after it was made", training=True)
    images = (numbers(4, 3, 16, 16, key=key, scale=120.0) + 128).abs()
    tokens = (numbers(4, 6, key=key, scale=5.4) + 5.5).long()
    optimizer = model.optimizer(learning_rate)
    if optimizer is None:
        raise Wrong("an optimizer", "None", "the method does not return its result")
    before = _state(model)
    for step in range(steps):
        if model.train() is None:
            raise Wrong(
                "train() returns the captioner", "None", "end with return self, as nn.Module does"
            )
        memory = model.encoder(images).detach()
        loss = (model(memory, tokens) * numbers(4, 1, 11, key=key + step)).sum()
        if not loss.requires_grad:
            why = "under no_grad() the mapper cannot learn: freezing is not forbidding gradients"
            raise Wrong("logits with a gradient", "none", why)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after = _state(model)
        _stays(before, after)
        if step == 0:
            _moves(before, after, learning_rate)
    _modes(model, "after train()", training=True)
    model.eval()
    _modes(model, "after eval()", training=False)
    model.train()
    _modes(model, "after eval() and train()", training=True)


def _state(model):
    """{name: a copy of the numbers} of all weights and buffers."""
    return {
        name: torch.as_tensor(part).detach().clone() for name, part in model.state_dict().items()
    }


def _wants(model):
    """Which parameters want a gradient."""
    for name, part in model.named_parameters():
        if name.startswith(FROZEN) and part.requires_grad:
            why = "requires_grad_(False) sets all parameters of a module; eval() does not, nor does requires_grad = False on it"
            raise Wrong(f"{name} wants no gradient", "it does", why)
        if name.startswith(LEARNS) and not part.requires_grad:
            raise Wrong(f"{name} wants a gradient", "it does not", "mapper, ends and types learn")


def _modes(model, when, training):
    for name in FROZEN:
        if any(part.training for part in getattr(model, name).modules()):
            why = "train() sets all modules to training mode: set this one back in your own, and call it in __init__"
            raise Wrong(
                f"{name} in evaluation mode {when}",
                "training mode: dropout and BatchNorm at work",
                why,
            )
    for name, part in (("mapper", model.mapper), ("the captioner", model)):
        if bool(part.training) != training:
            told = ["evaluation mode", "training mode"]
            why = "your own train begins with super().train(mode), and __init__ ends with self.train()"
            raise Wrong(f"{name} in {told[training]} {when}", told[not training], why)


def _stays(before, after):
    """Encoder and language model are equal to the last bit, buffers too."""
    for name, part in before.items():
        if name.startswith(FROZEN) and not torch.equal(part, after[name]):
            why = "the optimizer moved it"
            if "running" in name or "num_batches" in name:
                why = "BatchNorm counts what it sees in training mode: evaluation mode keeps it"
            raise Wrong(f"{name} as it was, to the last bit", "it changed", why)


def _moves(before, after, learning_rate):
    """All that should learn did, by the step that Adam takes first: the learning rate."""
    for name in filter(lambda name: name.startswith(LEARNS), before):
        moved = float((after[name] - before[name]).abs().max())
        if moved == 0:
            why = "the optimizer does not have it, or its gradient is cut off on the way"
            raise Wrong(f"{name} learns", "it stays as it was", why)
        if not 0.8 < moved / learning_rate < 1.2:
            why = "torch.optim.AdamW with the learning rate that is given"
            raise Wrong(f"a first step of {learning_rate:.3g} at {name}", f"{moved:.3g}", why)


# --- 9 what a captioner says --------------------------------------------------------------------
@exercise("train_captioner")
def captions(describe, memory, references, score, at_least):
    """describe(memory (B, N, D)) -> B captions; score(captions, references) -> BLEU-4, 0 to 1."""
    expect_bleu(describe, memory, references, score, at_least, _why_poor)


def _why_poor(told, references, score, bleu):
    """What the captions themselves tell; several causes may look alike, and then all are named."""
    lengths = [len(one.split()) for one in told]
    usual = np.mean([len(one.split()) for each in references for one in each])
    if np.mean(lengths) > 1.5 * usual:
        return (
            "the captions do not end. Either <eos> is not among the tokens, or not among the labels, "
            "or there were few steps"
        )
    if np.mean(lengths) < 0.5 * usual:
        return "the captions break off, or hold <unk>, <pad>: is a label the token that comes next?"
    if bleu < 0.02:
        return (
            "hardly any four words in a row are right. Either logits and labels are of different "
            "places, or there were few steps"
        )
    turned = [*references[1:], references[0]]
    if score(told, turned) > 0.7 * bleu:
        return (
            "they fit another picture as well as their own. Either memory and captions of a batch stand in "
            "different orders, or there were few steps, or none: no step(), gradients cleared before it"
        )
    return "they fit their pictures, but not well: all batches of every epoch, the given learning rate?"
