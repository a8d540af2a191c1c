"""The checks of assignment a4 about two objectives: bits a pixel, and those of masked pixels."""

import math

import numpy as np
import torch

from coursekit.checks.a1_training import numbers
from coursekit.checks.core import Wrong, as_array, exercise, expect_shape

# --- 3 bits a pixel -----------------------------------------------------------------------------
LOGITS = numbers(3, 4, 5, key=11.0, scale=3.0)
TOKENS = torch.tensor([[3, 0, 4, 1], [1, 1, 2, 0], [4, 2, 0, 3]])
BITS = 4.6154
# What comes out with a mistake
BITS_FOR = {
    4.6372: "the first pixel is left out: it counts, too",
    3.9139: "shifted once more: the logits at place t are about token t already",
    4.801: "shifted the wrong way round: the logits at place t are about token t",
    4.8031: "the last pixel is left out: it counts, too",
    4.0522: "only the last pixel counts here",
    55.3848: "the sum over all pixels; the mean is wanted",
    18.4616: "the sum over the pixels of a picture; the mean over all is wanted",
    13.8462: "the sum over pictures; the mean over all is wanted",
    2.4111: "softmax twice: cross_entropy takes the logits as they are",
    0.8722: "this is the largest share, not that of the token that came",
    0.0645: "the logits themselves, without softmax: -log2 p is wanted",
    0.0931: "the logits themselves, without softmax: -log2 p is wanted",
    0.167: "this is 1 - p, or p; the logarithm is missing",
    2.5818: "the logarithm of the mean of p; the mean of the logarithms is wanted",
    4.108: "softmax over the places; over the V colours is wanted",
    3.5775: "softmax over the pictures; over the V colours is wanted",
    1.3578: "this is the entropy of the guesses; what really came counts",
    24.5117: "2 to the power of the bits, which is the perplexity; the bits are wanted",
    4.2338: "the logits are divided by ln 2 before the softmax, which changes the shares; divide the result",
    2.8428: "pixels and pictures are exchanged: reshape the tokens as the logits",
    3.33: "the reshape mixes places and colours: flatten(0, 1) keeps each pixel together",
}


@exercise("bits_per_pixel")
def bits(answer, logits=LOGITS, tokens=TOKENS, expected=BITS):
    """answer(logits (B, T, V), tokens (B, T)) -> the mean of -log2 p(token)."""
    given = [logits.clone().requires_grad_(), tokens.clone()]
    got = answer(*given)
    _unchanged(given, [logits, tokens])
    _value(got, expected, BITS_FOR if logits is LOGITS else {}, "bits a pixel")
    (B, T), V = tokens.shape, logits.shape[2]
    even = answer(torch.zeros(B, T, V), tokens.clone())
    _value(even, math.log2(V), {}, f"bits a pixel of {V} colours that are equally likely")
    sure = answer(1e4 * torch.eye(V)[tokens], tokens.clone())
    _value(sure, 0.0, {}, "bits a pixel of a model that is sure, and right")
    _value(answer(1e4 * torch.eye(V)[(tokens + 1) % V], tokens.clone()), 1e4 / math.log(2), {},
           "bits a pixel of a model that is sure, and wrong (logits of 10,000)", 1e-3)  # fmt: skip
    alone = answer(logits[:1, :1].clone(), tokens[:1, :1].clone())
    shares = logits[0, 0].double().softmax(-1)
    _value(alone, -math.log2(shares[tokens[0, 0]]), {}, "bits a pixel of a single pixel")
    _slopes(got, given[0], tokens, torch.ones_like(tokens, dtype=torch.bool), "every pixel counts")


def _unchanged(now, before):
    for one, other in zip(now, before, strict=True):
        if not torch.equal(one, other):
            raise Wrong(
                "what is given is left as it was", "it was changed", "no operation in place"
            )


def _value(got, expected, mistakes, name, tolerance=1e-4):
    """One number; mistakes: {number: why}."""
    shape = np.shape(got) if got is not None else ()
    why = "the mean over all pixels of all pictures: one number" if shape else None
    if shape and shape == np.shape(as_array(got, name)) and len(shape) == 1 and shape[0] > 1:
        why = "one number: the mean over all pictures, too"
    number = float(expect_shape(got, (), name, why))
    if not math.isfinite(number):
        why = "exp of a large logit is inf, and log(softmax) is -inf where a share is rounded to 0: log_softmax or "
        why += "cross_entropy"
        raise Wrong(f"{name} = {expected:.4f}", f"{number}", why)
    if abs(number - expected) > tolerance * max(1.0, abs(expected)):
        near = [why for wrong, why in mistakes.items() if abs(wrong - number) < 2e-4]
        general = _scaled(number, expected)
        raise Wrong(f"{name} = {expected:.4f}", f"{number:.4f}", near[0] if near else general)


def _scaled(number, expected):
    """Whether a number is the expected one in another unit."""
    if expected and abs(number / expected - math.log(2)) < 1e-3:
        return "these are nats: a bit is ln 2 nats, so divide by ln 2"
    if expected and abs(number / expected - math.log(2) ** 2) < 1e-3:
        return "multiplied by ln 2: from nats to bits, divide"
    if expected and abs(number / expected - math.log10(2)) < 1e-3:
        return "this is the logarithm of base 10; bits are of base 2"
    if expected and abs(number / expected + 1) < 1e-3:
        return "the sign: what is likely costs few bits, and none costs less than 0"
    return None


def _slopes(got, logits, tokens, counted, why):
    """The gradient of the result comes back to the logits of exactly the pixels that count."""
    if not getattr(got, "requires_grad", False):
        cut = "item(), float(), detach() and numpy() cut it off: the model could not learn"
        raise Wrong("a result with a gradient", "none", cut)
    (slope,) = torch.autograd.grad(got, [logits], allow_unused=True)
    moved = torch.zeros_like(tokens, dtype=torch.bool)
    if slope is not None:
        moved = slope.abs().amax(-1) > 1e-9
    some = logits.detach().softmax(-1).amax(-1) < 1 - 1e-6  # else the slope itself is 0
    if not torch.equal(moved[some], counted[some]):
        b, t = (int(i) for i in ((moved != counted) & some).nonzero()[0])
        told = f"{'a' if counted[b, t] else 'no'} gradient at pixel {t} of picture {b}"
        raise Wrong(told, "one" if moved[b, t] else "none", why)


# --- 4 masked pixels ----------------------------------------------------------------------------
MASKED = [[1, 0, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1]]
MASKED_BITS = 4.5027
BERT_FOR = {
    4.6959: "these are the pixels that are not masked",
    4.6154: "all pixels count here; the masked ones alone should",
    1.8761: "divided by the number of all pixels; by that of the masked ones is asked for",
    22.5136: "the sum; the mean over the masked pixels is wanted",
    7.5045: "divided by the number of pictures; by that of masked pixels is asked for",
    3.8362: "each picture is averaged first: one with few masked pixels weighs too much",
    3.2306: "pixels that are not masked count as guesses at logits of 0: leave them out",
    3.6259: "shifted: the guess at place t is about token t",
    2.4118: "softmax twice: cross_entropy takes the logits as they are",
}
DRAWS = dict(B=60, T=400)
FEW = dict(B=4000, T=4)  # so few pixels that many pictures have none masked


@exercise("bert")
def bert(
    draw_mask, answer, logits=LOGITS, tokens=TOKENS, masked=MASKED, expected=MASKED_BITS, share=0.15
):
    """draw_mask(B, T, share) -> bool (B, T); answer(logits, tokens, masked) -> bits a masked pixel."""
    _mask(draw_mask, share)
    hidden = torch.tensor(masked, dtype=torch.bool)
    given = [logits.clone().requires_grad_(), tokens.clone(), hidden.clone()]
    got = answer(*given)
    _unchanged(given, [logits, tokens, hidden])
    _value(got, expected, BERT_FOR if logits is LOGITS else {}, "bits a masked pixel")
    _slopes(got, given[0], tokens, hidden, "the masked pixels count, and no others")
    V = logits.shape[2]
    sure = 1e4 * torch.eye(V)[torch.where(hidden, tokens, (tokens + 1) % V)]
    _value(
        answer(sure, tokens.clone(), hidden.clone()),
        0.0,
        {},
        "bits where all masked pixels are guessed",
    )
    nothing = answer(logits.clone(), tokens.clone(), torch.zeros_like(hidden))
    number = float(expect_shape(nothing, (), "bits where nothing is masked"))
    if number != 0:
        why = "a mean over nothing is 0 / 0: divide the sum by at least 1"
        raise Wrong("0 where nothing is masked", f"{number}", why)


def _mask(draw_mask, share):
    """Masks by their numbers: a right one is off by 5 standard deviations less than once in 100,000 times."""
    B, T = DRAWS["B"], DRAWS["T"]
    got = draw_mask(B, T, share)
    array = expect_shape(got, (B, T), "the mask", "rows are pictures, columns pixels")
    if array.dtype != bool:
        raise Wrong("a mask of bool", f"{array.dtype}", "True and False: torch.rand(…) < …")
    mixed, why = array.any() and not array.all(), "one number for each pixel of each picture"
    if mixed and (array == array[0]).all():
        raise Wrong("another mask for each picture", "the same", why)
    if mixed and (array == array[:, :1]).all():
        raise Wrong("a mask of single pixels", "all pixels of a picture, or none", why)
    _enough(array, share)
    if (array == as_array(draw_mask(B, T, share), "the mask")).all():
        raise Wrong("a new mask at each call", "the same again", "no seed in here")
    _spread(array.sum(1), T * share * (1 - share), "picture")
    _spread(array.sum(0), B * share * (1 - share), "place")
    _each_place(draw_mask, share)


def _each_place(draw_mask, share):
    """Every place is masked as often as the others, and how many of a picture are is left to chance."""
    B, T = FEW["B"], FEW["T"]
    array = expect_shape(draw_mask(B, T, share), (B, T), "the mask")
    off = 5 * math.sqrt(share * (1 - share) / B)
    for place, found in enumerate(array.mean(0)):
        if abs(found - share) > off:
            told = f"about {share:.0%} of the pixels at place {place} of {T} masked"
            why = "none is left out, the first neither, and none is masked for certain: a picture may have no masked one"
            raise Wrong(told, f"{found:.1%}", why)
    if len({int(as_array(draw_mask(1, 100, share), "the mask").sum()) for _ in range(12)}) == 1:
        why = "each pixel for itself, with probability `share`: no fixed number of them"
        raise Wrong("numbers of masked pixels that differ from call to call", "the same", why)


def _enough(array, share):
    found, off = array.mean(), 5 * math.sqrt(share * (1 - share) / array.size)
    if abs(found - share) > off:
        why = None
        if abs(found - (1 - share)) < off:
            why = "turned round: True is masked, with probability `share`"
        elif array.all() or not array.any():
            why = "a number between 0 and 1 for each pixel, and where it is below the share"
        raise Wrong(f"about {share:.0%} of all pixels masked", f"{found:.1%}", why)


def _spread(counts, wanted, what):
    """How much the counts of masked pixels differ, beside what chance would give."""
    ratio = float(np.var(counts, ddof=1)) / wanted
    if ratio < 0.25:
        told = f"as good as the same number in every {what}"
        why = "each pixel for itself, with probability `share`: no fixed number of them"
        raise Wrong(f"numbers of masked pixels that differ from {what} to {what}", told, why)
    if ratio > 3:
        why = "each pixel for itself: neither whole pictures nor the same places in all of them"
        told = f"counts whose spread is {math.sqrt(ratio):.1f} times that"
        raise Wrong(f"numbers of masked pixels in a {what} as chance gives them", told, why)
