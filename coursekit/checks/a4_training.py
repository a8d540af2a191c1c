"""The check of assignment a4 about a trained model: what real pixels cost it, and that it does not look ahead."""

import numpy as np

from coursekit.checks.core import Wrong, as_array, exercise


@exercise("train_model")
def pixels(logits_of, tokens, colours, at_most):
    """logits_of(tokens (n, T)) -> logits (n, T, V); their mean bits a pixel must be `at_most` or fewer."""
    logits = _logits(logits_of, tokens, colours)
    costs = _costs(logits, tokens.numpy())
    found = float(costs.mean())
    if not np.isfinite(found):
        why = "a learning rate that is too high, or no clipping?"
        raise Wrong(f"at most {at_most:.2f} bits a pixel", f"{found}", why)
    _looks_ahead(logits_of, tokens, colours, logits)
    if found > at_most:
        got = f"{found:.3f}"
        raise Wrong(
            f"at most {at_most:.2f} bits a pixel",
            got,
            _why(found, tokens.numpy(), colours, at_most),
        )
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


def _looks_ahead(logits_of, tokens, colours, logits):
    """Logits at a place do not change with its token, nor with a later one."""
    few, T = tokens[:4], tokens.shape[1]
    for place in (0, T // 2, T - 1):
        other = few.clone()
        other[:, place:] = (other[:, place:] + 1) % colours
        moved = np.abs(_logits(logits_of, other, colours) - logits[:4])[:, : place + 1].max()
        if moved > 1e-3:
            told = f"logits up to place {place} that do not depend on the tokens from there on"
            raise Wrong(told, "they do", "the model sees what it is to guess")


def _why(found, tokens, colours, at_most):
    """What a number of bits tells, beside those of counting."""
    shares = np.bincount(tokens.ravel(), minlength=colours) / tokens.size
    alone = float(-(shares * np.log2(np.maximum(shares, 1e-12))).sum())
    if found > np.log2(colours) + 0.05:
        return f"worse than equal shares, {np.log2(colours):.2f} bits: does the loss fall at all, or does it rise?"
    if found > np.log2(colours) - 0.05:
        return f"equal shares cost {np.log2(colours):.2f} bits: nothing is learned; backward(), then a step, at every batch?"
    if found > 0.9 * alone:
        return (
            f"counting colours costs {alone:.2f} bits: hardly more is learned. Few steps, or a rate that stays near 0, "
            "or one that is too high for all steps?"
        )
    return "it learns, and not enough: all batches of every epoch, the given rate at its height, down to 0 at the end?"
