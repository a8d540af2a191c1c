"""The check of assignment a4 about a trained model: what real pixels cost it, and that it does not look ahead."""

import numpy as np
import torch

from coursekit.checks.core import Wrong, as_array, exercise

# Single pixels differ by about 1.3 bits: the mean of 500 of them is off by 0.06
SLACK = 0.25


@exercise("train_model")
def pixels(logits_of, tokens, colours, at_most):
    """logits_of(tokens (n, T)) -> logits (n, T, V); their mean bits a pixel must be `at_most` or fewer."""
    places, guessed = _unseen(logits_of, tokens, colours)
    logits = _logits(logits_of, tokens, colours)
    found = float(_costs(logits, tokens.numpy()).mean())
    if not np.isfinite(found):
        why = "a learning rate that is too high, or no clipping?"
        raise Wrong(f"at most {at_most:.2f} bits a pixel", f"{found}", why)
    _looks_ahead(logits, tokens.numpy(), places, guessed, at_most)
    if found > at_most:
        got = f"{found:.3f}"
        raise Wrong(
            f"at most {at_most:.2f} bits a pixel",
            got,
            _why(found, tokens.numpy(), colours, at_most),
        )
    if found < at_most / 2:
        why = "no model learns so much from these pictures: does it know those of the test?"
        raise Wrong(f"at least {at_most / 2:.2f} bits a pixel", f"{found:.3f}", why)
    print(f"  {found:.3f} bits a pixel on {len(tokens)} digits, at most {at_most:.2f} is asked for")


def _logits(logits_of, tokens, colours):
    logits = as_array(logits_of(tokens.clone()), "the logits")
    shape = (*tokens.shape, colours)
    if logits.shape != shape:
        raise Wrong(f"logits of shape {shape}", f"shape {logits.shape}", None)
    return logits.astype(np.float64)


def _costs(logits, tokens):
    """-log2 p of each pixel (n, T)."""
    top = logits.max(-1, keepdims=True)
    sums = np.log(np.exp(logits - top).sum(-1)) + top[..., 0]
    own = np.take_along_axis(logits, tokens[..., None], -1)[..., 0]
    return (sums - own) / np.log(2)


def _unseen(logits_of, tokens, colours):
    """A place of each picture (n,), and the logits (n, T, V) where pixels from there on are drawn by lot.

    It is asked before the model sees the pictures whole, so that it cannot know what belongs there.
    """
    drawn, (n, T) = np.random.default_rng(), tokens.shape
    places = drawn.permutation(np.arange(n) % T)
    hidden = torch.from_numpy(np.arange(T) >= places[:, None])
    noise = torch.from_numpy(drawn.integers(0, colours, (n, T)))
    return places, _logits(logits_of, torch.where(hidden, noise, tokens), colours)


def _looks_ahead(logits, tokens, places, guessed, at_most):
    """Logits up to a place are the same whatever stands there and behind it, and guess what is there."""
    behind = np.arange(tokens.shape[1]) > places[:, None]
    moved = np.where(behind, 0, np.abs(guessed - logits).max(-1))  # (n, T)
    why = "the model sees what it is to guess"
    if not moved.max() <= 1e-3:  # so that nan fails
        place = int(places[moved.max(1).argmax()])
        told = f"logits up to place {place} that do not depend on the tokens from there on"
        raise Wrong(told, "they do", why)
    cost = float(_costs(guessed, tokens)[np.arange(len(tokens)), places].mean())
    if _costs(logits, tokens).mean() <= at_most < cost - SLACK:
        told = f"at most {at_most:.2f} bits for a pixel that the model has not seen"
        raise Wrong(told, f"{cost:.3f}", why)


def _why(found, tokens, colours, at_most):
    """What a number of bits tells, beside those of counting."""
    shares = np.bincount(tokens.ravel(), minlength=colours) / tokens.size
    alone = float(-(shares * np.log2(np.maximum(shares, 1e-12))).sum())
    if found > np.log2(colours) + 0.05:
        return f"worse than equal shares, {np.log2(colours):.2f} bits: does the loss fall at all, and for other pictures than one batch? Is the rate ever below 0?"
    if found > np.log2(colours) - 0.05:
        return f"equal shares cost {np.log2(colours):.2f} bits: nothing is learned; backward(), then a step, at every batch?"
    if found > 0.9 * alone:
        return (
            f"counting colours costs {alone:.2f} bits: hardly more is learned. Few steps, or a rate that stays near 0, "
            "or one that is too high for all steps?"
        )
    return (
        "it learns, and not enough: all batches of every epoch, gradients cleared at each, the given rate at its "
        "height, down to 0 at the end?"
    )
