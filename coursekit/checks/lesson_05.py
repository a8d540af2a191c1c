"""The checks of lesson 05: a weighted mean, pointing, the parts of a picture, the credit of a draw."""

import numpy as np
import torch

from coursekit.checks.core import Wrong, as_array, exercise, expect_close, expect_shape

# Scores of N = 3 places for B = 2 pictures, at a temperature of 2; places of D = 4 numbers.
SCORES = [[2, 0, -1], [-3, 1, 3]]
VALUES = [
    [[1, -3, 0, 2], [4, -1, 0, -2], [2, -2, 3, 0]],
    [[0, 5, -4, 1], [0, 1, -2, 1], [-1, 0, -3, 7]],
]
TEMPERATURE = 2.0
CONTEXT = [[1.833916, -2.397308, 0.420733, 0.794616], [-0.705385, 0.435092, -2.775623, 5.232307]]
# The same with the mistake that the name tells
NO_TEMPERATURE = [
    [1.384596, -2.7296, 0.12603, 1.459199],
    [-0.878878, 0.129836, -2.883235, 6.273269],
]
MULTIPLIED = [[1.056256, -2.961687, 0.007285, 1.923373], [-0.982008, 0.018016, -2.98202, 6.892047]]
OVER_BATCH = [[2.67271, -3.388372, 0.357609, 1.093202], [-0.880797, 1.00175, -4.190743, 6.863897]]
NO_SOFTMAX = [[0.0, -2.0, -1.5, 2.0], [-1.5, -7.0, 0.5, 9.5]]
NOT_DIVIDED = [
    [7.931343, -10.367907, 1.819592, 3.436564],
    [-4.481689, 2.764372, -17.63503, 33.243675],
]
DIVIDED_TWICE = [
    [0.916958, -1.198654, 0.210367, 0.397308],
    [-0.352692, 0.217546, -1.387811, 2.616154],
]
MEAN_OF_PRODUCTS = [
    [0.611305, -0.799103, 0.140244, 0.264872],
    [-0.235128, 0.145031, -0.925208, 1.744102],
]
BEST_PLACE = [[1, -3, 0, 2], [-1, 0, -3, 7]]
PLAIN_MEAN = [[2.333333, -2.0, 1.0, 0.0], [-0.333333, 2.0, -3.0, 3.0]]


@exercise("weigh")
def weigh(answer):
    """answer(scores (B, N), values (B, N, D), temperature) -> (B, D)."""
    scores, values = (torch.tensor(part, dtype=torch.float32) for part in (SCORES, VALUES))
    got = answer(scores.clone(), values.clone(), TEMPERATURE)
    if np.shape(got) == (2, 3):
        why = "these are the weights; multiply the values by them, and add up over the places"
        raise Wrong("a mean of shape (2, 4)", "shape (2, 3)", why)
    if np.shape(got) == (2, 3, 4):
        why = "each place is weighted, but they are not added up: sum over dimension 1"
        raise Wrong("a mean of shape (2, 4)", "shape (2, 3, 4)", why)
    mistakes = [
        (NO_TEMPERATURE, "the temperature is not used: divide the scores by it before the softmax"),
        (MULTIPLIED, "multiplied by the temperature; a high temperature must flatten: divide"),
        (OVER_BATCH, "the softmax goes over the pictures of the batch; the places are dimension 1"),
        (NO_SOFTMAX, "the scores themselves as weights; softmax makes shares of 1 of them"),
        (NOT_DIVIDED, "the exponentials are not divided by their sum: the shares must sum to 1"),
        (DIVIDED_TWICE, "divided by the temperature after the softmax; it belongs before"),
        (MEAN_OF_PRODUCTS, "the weights sum to 1 already: add up, and do not divide by N again"),
        (BEST_PLACE, "the place with the best score alone; every place has its share"),
        (PLAIN_MEAN, "the plain mean: all places alike, whatever their scores"),
    ]
    expect_close(got, CONTEXT, "the mean", 1e-4, mistakes=mistakes)
    large = answer(1000 * scores, values.clone(), 1.0)
    why = "exp(2000) is infinite; torch.softmax subtracts the largest score first"
    expect_close(large, BEST_PLACE, "the mean, with scores a thousand times as large", 1e-4, why)


# Ten words over a 4 x 4 grid: the cell with most weight, and the box of the thing that was meant.
HEAVIEST = [6, 4, 13, 0, 15, 9, 3, 12, 2, 10]
BOXES = [
    [0.55, 0.3, 0.7, 0.45],
    [0.25, 0.5, 0.5, 0.75],  # touches the cell's corner, no more
    [0.4, 0.6, 0.6, 0.8],  # overlaps, though neither's middle lies in the other
    [0.3, 0.3, 0.7, 0.7],  # holds most of the weight, not the heaviest cell
    [0.8, 0.8, 1, 1],
    [0.1, 0.1, 0.95, 0.9],
    [0, 0, 0.3, 0.3],
    [0.05, 0.8, 0.2, 0.95],
    [0.75, 0.25, 0.9, 0.4],  # touches as well
    [0.55, 0.8, 0.7, 0.95],
]
POINTED, EXCHANGED, TOUCHING, MIDDLE_OF_CELL, MIDDLE_OF_BOX = 0.5, 0.2, 0.7, 0.4, 0.3
ONE_WAY_ONLY, WEIGHT_INSIDE = 0.6, 0.37
# Three words over a 3 x 3 grid
SMALL_HEAVIEST = [5, 7, 1]
SMALL_BOXES = [[0.7, 0.4, 0.9, 0.6], [0.4, 0.7, 0.6, 0.9], [0.7, 0.7, 0.9, 0.9]]


def looks():
    """The weights (10, 16) of HEAVIEST and (3, 9) of SMALL_HEAVIEST."""
    wide, small = torch.full((10, 16), 0.04), torch.full((3, 9), 0.05)
    wide[range(10), HEAVIEST], small[range(3), SMALL_HEAVIEST] = 0.4, 0.6
    wide[3] = 0.0
    wide[3, 0], wide[3, [5, 6, 9, 10]] = 0.3, 0.175
    return wide, small


@exercise("pointing")
def pointing(answer):
    """answer(weights (M, N), boxes (M, 4)) -> the share of words whose heaviest cell overlaps the box."""
    wide, small = looks()
    got = float(
        expect_shape(answer(wide, torch.tensor(BOXES)), (), "the share", "return one number")
    )
    both = "they must overlap both across and down: x0 < right and left < x1, and the same for y"
    mistakes = [
        (
            EXCHANGED,
            "rows and columns are exchanged: cell n lies in row n // side, column n % side",
        ),
        (TOUCHING, "a box that only touches the cell does not overlap it: < in place of <="),
        (MIDDLE_OF_CELL, "the middle of the cell need not lie in the box: any overlap will do"),
        (MIDDLE_OF_BOX, "the middle of the box need not lie in the cell, any overlap will do"),
        (ONE_WAY_ONLY, both),
        (WEIGHT_INSIDE, "the weight on all cells of the box; ask for the heaviest cell alone"),
        (10 * POINTED, "this is a count: divide by the number of words"),
        (100 * POINTED, "per cent; give a share from 0 to 1"),
    ]
    expect_close(got, POINTED, "the share", 1e-4, mistakes=mistakes)
    got = answer(small, torch.tensor(SMALL_BOXES))
    why = "the side of the grid is the root of N, not always 4"
    expect_close(got, 2 / 3, "the share on a 3 x 3 grid", 1e-4, why)


# Where the parts of two 4 x 6 pictures begin: picture, row, column
CORNERS = [(b, y, x) for b in (0, 1) for y, x in ((0, 0), (0, 3), (2, 0), (2, 3))]
PIXEL = (100, 30, 6, 1)  # what one step along B, 3, H and W adds to a pixel


def coded(*shape):
    """A picture (B, 3, H, W) whose every pixel tells where it lies."""
    places = np.indices(shape)
    return sum(step * place for step, place in zip(PIXEL, places, strict=True))


@exercise("split")
def split(answer):
    """answer(images (B, 3, H, W), side) -> (B * side * side, 3, H / side, W / side)."""
    images = torch.tensor(coded(2, 3, 4, 6), dtype=torch.uint8)
    got = as_array(answer(images.clone(), 2), "the parts")
    if got.shape == (2, 4, 3, 2, 3):
        why = "pictures and parts are dimensions of their own: join them, flatten(0, 1)"
        raise Wrong("parts of shape (8, 3, 2, 3)", "shape (2, 4, 3, 2, 3)", why)
    why = "each part is H / side rows high and W / side columns wide"
    got = expect_shape(got, (8, 3, 2, 3), "the parts", why).astype(np.int64)
    inside = coded(1, 3, 2, 3)[0]
    begins = got[:, 0, 0, 0]
    if (got - begins[:, None, None, None] != inside).any():
        why = (
            "pixels of different parts are mixed: a reshape alone goes row by row through the "
            "whole picture; cut H into (side, H / side), W likewise, and permute before you join"
        )
        raise Wrong("parts whose pixels lie together as in the picture", "others", why)
    found = [(int(v) // 100, int(v) % 100 // 6, int(v) % 100 % 6) for v in begins]
    orders = [
        (sorted(CORNERS, key=lambda c: c[1:]), "all first parts, then all second ones: keep the parts of a picture together"),
        (sorted(CORNERS, key=lambda c: (c[0], c[2], c[1])), "the parts go column by column: go row by row"),
        (sorted(CORNERS, key=lambda c: (c[2], c[1], c[0])), "column by column, and pictures last: b, then row, then column"),
    ]  # fmt: skip
    if found != CORNERS:
        why = next((why for order, why in orders if order == found), None)
        raise Wrong(f"parts that begin at (picture, row, column) {CORNERS[:4]} …", found[:4], why)
    got = as_array(answer(torch.tensor(coded(1, 3, 6, 6)), 3), "the parts")
    why = "the picture is cut into side x side parts, not always 2 x 2"
    got = expect_shape(got, (9, 3, 2, 2), "the parts of a 6 x 6 picture with side 3", why)
    expect_close(got[5, 0, 0, 0], 2 * 6 + 4, "the first pixel of part 5 of 9", likely=why)


# Log-probabilities of the places drawn for T = 3 words of B = 2 captions; the last is padding.
DRAWN = [[-0.5, -1.2, -2.0], [-0.3, -0.7, -9.0]]
REAL = [[True, True, True], [True, True, False]]
REWARDS, BASELINE = [-1.0, -3.0], -1.5
LOSS = 0.07
SLOPE = [[-0.1, -0.1, -0.1], [0.3, 0.3, 0.0]]


@exercise("credit")
def credit(answer):
    """answer(drawn (B, T), rewards (B,), baseline, real (B, T)) -> the loss of REINFORCE, shape ()."""
    drawn = torch.tensor(DRAWN, requires_grad=True)
    rewards = torch.tensor(REWARDS, requires_grad=True)
    loss = answer(drawn, rewards, BASELINE, torch.tensor(REAL))
    mistakes = [
        (-LOSS, "the sign: a loss goes down where the reward goes up"),
        (-1.34, "the baseline is missing: subtract it from each reward"),
        (-2.75, "the baseline is added; the surprise is reward minus baseline"),
        (-2.63, "padding earns credit: multiply by real"),
        (-2.191667, "padding earns credit: multiply by real, and divide by the number of real words"),
        (0.058333, "divided by all words; divide by the number of real ones"),
        (0.175, "divided by the number of captions; divide by the number of real words"),
        (0.35, "the sum; divide it by the number of real words"),
        (0.26693, "probabilities in place of their logarithms: drawn holds log-probabilities already"),
        (-0.066667, "the mean of each caption first; add up over all words, and divide once"),
    ]  # fmt: skip
    expect_close(loss, LOSS, "the loss", 1e-4, mistakes=mistakes)
    if not getattr(loss, "requires_grad", False):
        why = "a number without a gradient teaches nothing: no item(), no detach() of drawn"
        raise Wrong("a loss with a gradient", "none", why)
    loss.backward()
    if drawn.grad is None:
        raise Wrong(
            "a gradient at drawn", "none", "drawn is the part that learns: do not detach it"
        )
    expect_close(drawn.grad, SLOPE, "the gradient at drawn", 1e-5)
    if rewards.grad is not None and rewards.grad.abs().max() > 0:
        why = "the reward only scales; detach it, or the model will also learn to change its scale"
        raise Wrong("no gradient at rewards", "a gradient there", why)
