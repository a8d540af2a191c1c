"""The checks of lesson 10: what the model reads, a picture's bits, a colour drawn by chance, the loss of covered pixels."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from coursekit.checks.core import (
    Wrong,
    as_array,
    exercise,
    expect_close,
    expect_equal,
    expect_shape,
)

# B = 2, T = 4; no pixel of a row comes twice, and neither row begins with what it ends with
PIXELS, START = [[3, 1, 4, 0], [2, 5, 0, 1]], 7
READ = [[7, 3, 1, 4], [7, 2, 5, 0]]
READING = [
    (PIXELS, "nothing is moved: the model would see the pixel that it must guess"),
    ([[7, 1, 4, 0], [7, 5, 0, 1]], "start is written over the first pixel; the pixels must move one place to the right"),
    ([[1, 4, 0, 7], [5, 0, 1, 7]], "moved to the left: place t would hold the pixel after it, and start comes first"),
    ([[3, 1, 4, 7], [2, 5, 0, 7]], "start stands at the end; it comes first"),
    ([[0, 3, 1, 4], [1, 2, 5, 0]], "roll brings the last pixel to the front: start belongs there"),
    ([[7, 7, 7, 7], [3, 1, 4, 0]], "moved along the batch; the places are the second dimension"),
    ([[0, 3, 1, 4], [0, 2, 5, 0]], "the first place holds 0, a colour like any other: start, the number that is given"),
    ([[7, 0, 4, 1], [7, 1, 0, 5]], "the pixels are turned around"),
]  # fmt: skip


@exercise("shift")
def shift(answer):
    """answer(tokens (B, T), start) -> (B, T)."""
    tokens = torch.tensor(PIXELS)
    got = as_array(answer(tokens, START), "what is read")
    why = "the tokens that were given are changed: they are the targets, so make new ones"
    expect_equal(tokens, PIXELS, "the tokens, afterwards", why)
    lengths = {
        (2, 5): "the last pixel is read as well; nobody guesses anything from it: leave it out",
        (2, 3): "the start token is missing, so nothing guesses the first pixel",
    }
    expect_shape(got, (2, 4), "what is read", lengths.get(got.shape, "(B, T), as the tokens are"))
    why = "first start, then all pixels but the last"
    expect_equal(got, READ, "what is read", why, READING)
    if got.dtype.kind not in "iu":
        raise Wrong("whole numbers", f"{got.dtype}", "they are rows of a table: keep the tokens' type, as full_like does")  # fmt: skip
    why = "start is the number that is given, and B and T are those of the tokens"
    expect_equal(answer(torch.tensor([[6], [0], [2]]), 9), [[9], [9], [9]], "pictures of one pixel", why)  # fmt: skip


# nats a pixel, pixels, the palette's bits a pixel, and the bill
BILLS = [(0.5, 196, 1.25, 386.384), (0.75, 784, 0.375, 1142.305), (0.0, 9, 0.5, 4.5)]


@exercise("picture_bits")
def picture_bits(answer):
    """answer(nats a pixel, pixels, palette's bits a pixel) -> bits a picture."""
    for nats, pixels, left, expected in BILLS:
        got = as_array(answer(nats, pixels, left), "the bits")
        mistakes = [(np.float64(value), why) for value, why in _misreckoned(nats, pixels, left)]
        name = f"the bits of a picture at {nats} nats, {pixels} pixels, {left} of the palette"
        expect_close(got, expected, name, 2e-3, "pixels times (bits of the token + bits of the palette)", mistakes)  # fmt: skip


def _misreckoned(nats, pixels, left):
    """What usual mistakes give, with what to say of them."""
    bits = nats / math.log(2)
    return [
        (pixels * (nats + left), "nats and bits are added: divide the nats by ln 2 first"),
        (pixels * (nats * math.log(2) + left), "multiplied by ln 2: there are more bits than nats, so divide"),
        (pixels * (nats / math.log10(2) + left), "log10: nats are natural logarithms, math.log"),
        (pixels * (nats + left) / math.log(2), "the palette's part is in bits already: do not divide it"),
        (pixels * bits + left, "the palette's part is paid at every pixel, too"),
        (bits + pixels * left, "the token's part is paid at every pixel, too"),
        (pixels * bits, "the palette's part is missing"),
        (bits + left, "this is the bill of one pixel; a picture has more"),
        (pixels * (bits - left), "the palette's part is paid on top, not given back"),
        (pixels * bits * left, "the parts add up: probabilities multiply, their logarithms do not"),
        (pixels * left, "the token's part is missing"),
        (pixels * (math.log2(nats or 1) + left), "nats are logarithms already: divide by ln 2, take no logarithm of them"),
        (round(pixels * (bits + left)), "rounded: bits need not be whole"),
    ]  # fmt: skip


# Probabilities whose pieces end at 0.1, 0.5, 0.7, 1 and at 0.6, 0.65, 0.9, 1
SHARES = [[0.1, 0.4, 0.2, 0.3], [0.6, 0.05, 0.25, 0.1]]
# Two u at once, and what they fall on
DRAWS = [
    ((0.05, 0.3), [0, 0]),
    ((0.3, 0.62), [1, 1]),
    ((0.55, 0.8), [2, 2]),
    ((0.72, 0.97), [3, 3]),
    ((0.0, 0.0), [0, 0]),
]
ALONE = 40_000  # draws of one row, spread evenly
BELOW_ONE = 1 - 2**-24  # the largest float32 below 1


@exercise("pick")
def pick(answer):
    """answer(logits (B, V), u (B,)) -> colours (B,)."""
    logits = torch.tensor(SHARES).log() + torch.tensor([[2.0], [-1.0]])  # no log-probabilities
    told = [as_array(answer(logits.clone(), torch.tensor(u)), "the colours") for u, _ in DRAWS]
    for got, (u, wanted) in zip(told, DRAWS, strict=True):
        if got.shape == (2, 1):
            raise Wrong("colours of shape (2,)", "shape (2, 1)", "one number for each row: squeeze the last dimension away")  # fmt: skip
        if got.shape == (2, 4):
            raise Wrong("colours of shape (2,)", "shape (2, 4)", "these are pieces; which one does u fall on?")  # fmt: skip
        expect_shape(got, (2,), "the colours", "one colour for each row")
        expect_equal(got, wanted, f"the colours for u = {list(u)}", _likely(told))
    wide = torch.randn(200, 300, generator=torch.Generator().manual_seed(0))
    got = as_array(answer(wide, torch.full((200,), BELOW_ONE)), "the colours")
    if got.max() > 299:
        why = "the pieces may add up to a little less than 1, and u lie beyond: clamp to the last colour"
        raise Wrong("colours up to 299", f"{got.max()}", why)
    impossible = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0]])
    why = "a piece without length holds no u, not even 0: <= and not <"
    expect_equal(answer(impossible, torch.zeros(1)), [1], "the colour for u = 0 where colour 0 has probability 0", why)  # fmt: skip
    evenly = (torch.arange(ALONE) + 0.5) / ALONE
    got = as_array(answer(logits[:1].expand(ALONE, -1), evenly), "the colours")
    often = np.bincount(got.astype(int), minlength=4) / ALONE
    why = "each colour is as long a piece of the line as its probability"
    expect_close(often, SHARES[0], "how often each colour is drawn", 1e-3, why)


def _likely(told):
    """The likely mistake by all that was drawn: (draw, row) numbers."""
    rows = [each.tolist() for each in told]
    known = {
        "the likeliest colour is taken, whatever u is: then every picture is the same": [[1, 0]] * 5,
        "one too far: count the pieces that end at u or before it, and begin at 0": [[1, 1], [2, 2], [3, 3], [4, 4], [1, 1]],
        "one too few: the first piece that ends BEYOND u, so colour 0 where none has ended": [[-1, -1], [0, 0], [1, 1], [2, 2], [-1, -1]],
        "the pieces that end beyond u are counted; those that end before it tell the number": [[4, 4], [3, 3], [2, 2], [1, 1], [4, 4]],
        "all pieces are equally long: each is as long as its colour is probable": [[0, 1], [1, 2], [2, 3], [2, 3], [0, 0]],
        "u is compared with the probabilities: compare it with where the pieces end, their cumsum": [[0, 0], [1, 0], [0, 0], [0, 0], [0, 0]],
        "the pieces are sorted, and so the colours' numbers are lost: leave them in order": [[0, 0], [0, 1], [1, 1], [2, 3], [0, 0]],
        "all pieces end before u, whatever it is: softmax, not its logarithm": [[4, 4]] * 5,
    }  # fmt: skip
    for why, each in known.items():
        if rows in (each, [[min(3, max(0, n)) for n in pair] for pair in each]):
            return why
    first = [pair[0] for pair in rows]
    if first == [0, 1, 2, 3, 0]:
        return (
            "right for the first row: the softmax goes over the colours, and each row has its own u"
        )
    return "softmax over the colours, cumsum, and the first end beyond u"


# B = 2, T = 3, V = 4, the cover is 4; how many are covered differs from row to row
TRUE = [[1, 3, 0], [2, 0, 3]]
COVERED = [[True, False, True], [False, True, False]]
COVER = 4
HIDDEN = [[4, 3, 4], [2, 4, 3]]
GUESSES = [
    [[0.3, 1.2, -0.4, 0.6], [0.9, -0.2, 0.5, 1.7], [-0.6, 0.8, 1.1, 0.2]],
    [[0.1, 0.7, 1.5, -0.9], [1.3, 0.4, -0.3, 0.6], [-0.5, 0.2, 0.9, 2.1]],
]


@exercise("masked_loss")
def masked_loss(answer):
    """answer(guess, tokens (B, T), masked (B, T), cover) -> nats a covered pixel."""
    asked = []

    def guess(tokens):
        asked.append(as_array(tokens, "what the model is asked"))
        return torch.tensor(GUESSES)

    tokens, masked = torch.tensor(TRUE), torch.tensor(COVERED)
    got = as_array(answer(guess, tokens, masked, COVER), "the loss")
    why = "the given tokens are written over: then the loss asks for the cover itself"
    expect_equal(tokens, TRUE, "the tokens, afterwards", why)
    if not asked:
        raise Wrong("one question to the model", "none", "logits = guess(…)")
    shown = [
        (TRUE, "nothing is covered: the model sees what it must guess"),
        ([[1, 4, 0], [4, 0, 4]], "the others are covered: masked is True where the cover goes"),
        ([[0, 3, 0], [2, 0, 3]], "covered by 0, which is a colour: use cover"),
        ([[4, 4, 4], [4, 4, 4]], "everything is covered"),
    ]
    expect_equal(asked[0], HIDDEN, "what the model is asked", "cover where masked is True, the token elsewhere", shown)  # fmt: skip
    if got.shape != ():
        raise Wrong(
            "one number", f"shape {got.shape}", "the mean over all covered pixels of the batch"
        )
    logs = F.log_softmax(torch.tensor(GUESSES), -1)
    paid = -logs.gather(2, tokens[..., None])[..., 0]  # (B, T)
    expect_close(got, LOSS, "the loss", 1e-4, "the mean of -ln p over covered pixels", _charged(paid, masked, logs))  # fmt: skip


LOSS = 1.353029


def _charged(paid, masked, logs):
    """What usual mistakes give; paid (B, T) is -ln p of each true token."""
    covered = paid * masked
    values = [
        (paid.mean(), "all pixels are in the mean; only the covered count"),
        (paid[~masked].mean(), "the mean over what was not covered: that the model has seen"),
        (covered.sum() / masked.numel(), "divided by all pixels: divide by the number of covered ones"),
        (covered.sum(), "the sum; the mean over the covered pixels is wanted"),
        ((covered.sum(1) / masked.sum(1)).mean(), "first a mean for each picture: every covered pixel weighs alike, however many a picture has"),
        (-covered.sum() / masked.sum(), "the sign: ln p is below 0, and a loss above"),
        (covered.sum() / masked.sum() / math.log(2), "in bits: nats are wanted, the natural logarithm"),
        (covered.sum() / len(masked), "divided by the number of pictures: divide by the number of covered pixels"),
        (F.nll_loss(torch.tensor(GUESSES)[masked], torch.tensor(TRUE)[masked]), "the logits themselves: log-softmax over the colours first"),
        (F.cross_entropy(logs[masked].exp(), torch.tensor(TRUE)[masked]), "softmax twice: cross_entropy takes logits"),
        (-(-paid[masked]).exp().mean(), "the probabilities themselves: -ln of them first"),
    ]  # fmt: skip
    return [(np.float64(float(value)), why) for value, why in values]
