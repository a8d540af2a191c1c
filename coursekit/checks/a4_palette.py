"""The check of assignment a4 about a palette: pictures to tokens, and back."""

import numpy as np
import torch

from coursekit.checks.core import Wrong, as_array, exercise, expect_equal

COLOURS = [10, 70, 150, 255]
# 40 and 110 lie in the middle of two colours; 68, 145 and 249 are a little darker than theirs; 0 and 255 are the ends
IMAGES = [
    [[0, 255, 40, 68], [110, 145, 12, 249], [71, 30, 200, 203]],
    [[90, 255, 3, 120], [149, 41, 39, 180], [5, 230, 160, 66]],
]
TOKENS = [
    [0, 3, 0, 1, 1, 2, 0, 3, 1, 0, 2, 3],
    [1, 3, 0, 2, 2, 1, 0, 2, 0, 3, 2, 1],
]
RESTORED = [
    [[10, 255, 10, 70], [70, 150, 10, 255], [70, 10, 150, 255]],
    [[70, 255, 10, 150], [150, 70, 10, 150], [10, 255, 150, 70]],
]
# The tokens of the first picture as they come out with a mistake
FIRST = [
    ([3, 3, 0, 0, 1, 1, 0, 2, 1, 0, 2, 2],
     "uint8 wraps: 12 - 71 is 197 there; convert to int or float before you subtract"),
    ([3, 3, 2, 1, 0, 2, 0, 0, 1, 1, 0, 1],
     "uint8 wraps: 12 - 71 is 197 there; convert to int or float before you subtract"),
    ([0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0],
     "int8 does not hold 0 to 255; int or float does"),
    ([3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3],
     "the distance may be negative: take abs, or the square"),
    ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
     "the distance may be negative: take abs, or the square"),
    ([0, 3, 1, 1, 2, 2, 1, 3, 2, 1, 3, 3],
     "this is the colour at or above the pixel, not the nearest"),
    ([0, 3, 0, 1, 1, 2, 0, 3, 1, 0, 3, 3],
     "this counts on colours that stand evenly; take the distance to each"),
    ([0, 3, 0, 1, 1, 2, 0, 3, 1, 0, 2, 2],
     "this counts on colours that stand evenly; take the distance to each"),
    ([3, 0, 3, 3, 3, 0, 3, 0, 3, 3, 0, 0],
     "the largest distance is taken; the smallest is wanted"),
]  # fmt: skip


@exercise("palette")
def palette(quantise, restore, images=IMAGES, colours=COLOURS, tokens=TOKENS, restored=RESTORED):
    """quantise(images, colours) -> tokens (B, H * W); restore(tokens, colours, width) -> images (B, T / width, width)."""
    _tokens(quantise, images, colours, tokens, known=images is IMAGES)
    _pictures(restore, tokens, colours, restored)


def _given(values, kind):
    return torch.tensor(values, dtype=kind)


def _unchanged(name, now, before):
    if now.tolist() != before:
        raise Wrong(f"the given {name} are left as they were", "they were changed", "a new tensor")


def _tokens(quantise, images, colours, tokens, known):
    given, greys = _given(images, torch.uint8), _given(colours, torch.uint8)
    (B, H, W), got = given.shape, quantise(given, greys)
    _unchanged("images", given, images)
    _unchanged("colours", greys, colours)
    array = as_array(got, "the tokens")
    if array.shape != (B, H * W):
        told = {(B, H, W): "one row of tokens for each picture: the rows of pixels behind each other",
                (B * H * W,): "the pictures stay apart: (B, H * W)",
                (B, H * W, len(colours)): "these are distances to all colours; where is it smallest?",
                (B, H, W, len(colours)): "these are distances to all colours; where is it smallest?"}  # fmt: skip
        why = told.get(array.shape)
        raise Wrong(f"tokens of shape {(B, H * W)}", f"shape {array.shape}", why)
    if array.dtype.kind not in "iu":
        raise Wrong("tokens of an integer type", f"{array.dtype}", "int64 (torch.long)")
    if array.tolist() != tokens:
        b, t = (int(i) for i in np.argwhere(array != np.array(tokens))[0])
        row, place, wanted, told = b, t, tokens[b][t], array[b, t]
        grey = images[b][t // W][t % W]
        raise Wrong(
            f"token {wanted} (colour {colours[wanted]}) at pixel {place} of picture {row}, whose grey is {grey}",
            f"{told}" + (f" (colour {colours[told]})" if 0 <= told < len(colours) else ""),
            _why(array, images, colours, tokens, known),
        )


def _why(got, images, colours, tokens, known):
    """What all tokens together tell of the mistake."""
    if known:
        near = [why for row, why in FIRST if got[0].tolist() == row]
        if near:
            return near[0]
    pixels = np.array(images)
    turned = np.array(tokens).reshape(pixels.shape).transpose(0, 2, 1).reshape(got.shape)
    if (got == turned).all():
        return (
            "raster order: the top row from left to right, then the next; this is column by column"
        )
    if got.min() < 0 or got.max() >= len(colours):
        return "a token is the number of a colour, 0 to V - 1, not its grey"
    far = np.abs(pixels.reshape(got.shape) - np.array(colours)[got])
    least = np.abs(pixels.reshape(got.shape) - np.array(colours)[np.array(tokens)])
    if (far == least).all():
        return "of two colours that are equally near, the darker one"
    return None


def _pictures(restore, tokens, colours, restored):
    given, greys = _given(tokens, torch.long), _given(colours, torch.uint8)
    shape = np.shape(restored)
    got = restore(given, greys, shape[2])
    _unchanged("tokens", given, tokens)
    array = as_array(got, "the pictures")
    if array.shape != shape:
        why = "rows of `width` pixels"
        if array.shape == (shape[0], shape[2], shape[1]):
            why = "width is the last axis: (B, T / width, width)"
        raise Wrong(f"pictures of shape {shape}", f"shape {array.shape}", why)
    why = None
    if (array.reshape(len(array), -1) == np.array(tokens)).all():
        why = "these are the tokens; the colour with that number is wanted"
    elif (array == _columns(restored)).all():
        why = "raster order: the first `width` tokens are the top row"
    expect_equal(array, restored, "the restored pictures", why)
    if str(getattr(got, "dtype", "")).rpartition(".")[2] != "uint8":
        told = getattr(got, "dtype", type(got).__name__)
        raise Wrong("pictures of uint8", f"{told}", "colours[…] keeps the type of colours")


def _columns(restored):
    """What comes out where the tokens are read column by column."""
    pixels = np.array(restored)
    B, H, W = pixels.shape
    return pixels.reshape(B, W, H).transpose(0, 2, 1)
