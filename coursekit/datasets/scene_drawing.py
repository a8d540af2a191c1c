"""Draws a scene: flat shapes in integer arithmetic, so that the same scene gives the same bytes everywhere."""

import functools

import numpy as np

SIDE = 64  # pixels
HORIZON = 28  # first row of the ground
BIG, SMALL = (
    21,
    14,
)  # height of a thing in pixels; much smaller ones a small CNN does not learn to see

COLOURS = {
    "red": (214, 40, 40),
    "orange": (247, 127, 0),
    "yellow": (252, 211, 43),
    "green": (46, 139, 62),
    "blue": (38, 84, 214),
    "purple": (130, 50, 168),
    "white": (250, 250, 250),
    "black": (24, 24, 28),
}
SKIES = {
    "day": ((142, 202, 240), (196, 228, 250)),
    "night": ((16, 20, 58), (38, 44, 96)),
    "sunset": ((238, 108, 84), (252, 190, 120)),
    "rain": ((112, 120, 132), (158, 164, 174)),
}
GROUNDS = {
    "grass": ((104, 178, 88), (84, 156, 72)),
    "sand": ((236, 210, 150), (220, 190, 126)),
    "water": ((64, 150, 204), (44, 120, 180)),
    "snow": ((240, 246, 250), (220, 230, 240)),
}
TRUNK, GLASS, PALE = (110, 72, 40), (190, 226, 240), (244, 240, 226)
FIXED = {"trunk": TRUNK, "glass": GLASS, "pale": PALE, "ink": (30, 30, 34)}

# A thing is a list of shapes on a 16 x 16 grid, painted in order.
# ("disc", paint, x, y, r) · ("box", paint, x0, y0, x1, y1) · ("poly", paint, x0, y0, x1, y1, ...) convex, clockwise
# paint: "own" colour of the thing, "dark" its shade, or a name in FIXED
SHAPES = {
    "house": [
        ("box", "own", 2, 7, 14, 16),
        ("poly", "dark", 8, 0, 16, 7, 0, 7),
        ("box", "pale", 7, 11, 10, 16),
        ("box", "glass", 3, 9, 6, 12),
    ],
    "tree": [
        ("box", "trunk", 7, 10, 10, 16),
        ("disc", "own", 8, 5, 5),
        ("disc", "own", 4, 8, 3),
        ("disc", "own", 12, 8, 3),
    ],
    "boat": [
        ("poly", "own", 0, 11, 16, 11, 13, 16, 3, 16),
        ("box", "trunk", 7, 1, 8, 11),
        ("poly", "own", 9, 1, 15, 9, 9, 9),
        ("poly", "dark", 6, 3, 6, 9, 1, 9),
    ],
    "car": [
        ("poly", "own", 4, 4, 11, 4, 14, 9, 2, 9),
        ("box", "own", 0, 8, 16, 13),
        ("box", "glass", 5, 6, 8, 8),
        ("box", "glass", 9, 6, 11, 8),
        ("disc", "ink", 4, 13, 2),
        ("disc", "ink", 12, 13, 2),
    ],
    "cat": [
        ("disc", "own", 8, 12, 4),
        ("disc", "own", 8, 5, 4),
        ("poly", "own", 4, 0, 7, 3, 4, 6),
        ("poly", "own", 12, 0, 12, 6, 9, 3),
        ("box", "own", 12, 13, 16, 15),
        ("box", "pale", 6, 4, 7, 6),
        ("box", "pale", 9, 4, 10, 6),
    ],
    "flower": [
        ("box", "green", 7, 8, 9, 16),
        ("disc", "own", 8, 3, 3),
        ("disc", "own", 4, 6, 3),
        ("disc", "own", 12, 6, 3),
        ("disc", "own", 8, 9, 3),
        ("disc", "pale", 8, 6, 2),
    ],
    "mushroom": [
        ("box", "pale", 6, 8, 11, 16),
        ("poly", "own", 4, 2, 12, 2, 16, 8, 0, 8),
        ("disc", "pale", 5, 5, 1),
        ("disc", "pale", 10, 4, 1),
    ],
    "tent": [
        ("poly", "own", 8, 2, 16, 16, 0, 16),
        ("poly", "ink", 8, 8, 11, 16, 5, 16),
    ],
    "ball": [
        ("disc", "own", 8, 9, 7),
        ("box", "pale", 2, 8, 15, 10),
        ("box", "pale", 7, 3, 9, 16),
    ],
    "bird": [
        ("disc", "own", 8, 9, 4),
        ("disc", "own", 12, 6, 3),
        ("poly", "dark", 2, 1, 9, 7, 5, 10),
        ("poly", "ink", 14, 5, 16, 7, 14, 8),
        ("poly", "own", 0, 9, 6, 8, 5, 12),
    ],
    "balloon": [
        ("disc", "own", 8, 5, 5),
        ("poly", "own", 8, 9, 10, 11, 6, 11),
        ("box", "ink", 8, 11, 9, 16),
        ("box", "pale", 5, 3, 7, 5),
    ],
    "kite": [
        ("poly", "own", 8, 0, 13, 5, 8, 11, 3, 5),
        ("box", "dark", 3, 5, 13, 6),
        ("box", "ink", 8, 10, 9, 13),
        ("box", "ink", 9, 13, 12, 14),
        ("box", "ink", 12, 14, 13, 16),
    ],
}

YS, XS = np.mgrid[0:SIDE, 0:SIDE].astype(np.int64)
SLANTED = XS + YS // 2  # equal along a streak of rain
MARGIN = 3  # pixels that the discs of a thing may reach beyond its square


def blank(sky, ground, shade=0):
    """The empty stage: sky above the horizon, ground below, uint8 (64, 64, 3); `shade` is added to all of it."""
    return (_stage(sky, ground) + shade).clip(0, 255).astype(np.uint8)


@functools.cache
def _stage(sky, ground):
    above, below = _gradient(*SKIES[sky], HORIZON), _gradient(*GROUNDS[ground], SIDE - HORIZON)
    return np.concatenate([above, below]).repeat(SIDE, 1)


def _gradient(top, bottom, rows):
    steps = np.arange(rows)[:, None, None]
    return (np.array(top) * (rows - 1 - steps) + np.array(bottom) * steps) // (rows - 1)


def weather(picture, sky, rolls):
    """Paints what belongs to a sky, in place; `rolls` are integers 0-63 that place it."""
    if sky == "day":
        _paint(picture, _disc(rolls[0] % 52 + 6, 4, 5), COLOURS["yellow"])
    elif sky == "night":
        _paint(picture, _disc(rolls[0] % 52 + 6, 5, 4), PALE)
        for x, y in zip(rolls[0::2], rolls[1::2], strict=False):
            picture[y % (HORIZON - 2), x] = PALE
    elif sky == "sunset":
        sun = _disc(rolls[0] % 40 + 12, HORIZON, 8) & (YS < HORIZON)
        _paint(picture, sun, (255, 226, 122))
    else:
        for x, y in zip(rolls[0::2], rolls[1::2], strict=False):
            rows = slice(y // 5 * 5, y // 5 * 5 + 5)
            _paint(picture[rows], SLANTED[rows] == x, (206, 216, 232))


def thing(picture, name, colour, x, y, height):
    """Paints one thing in place; (x, y) is its upper left corner in pixels, `height` its side."""
    own = COLOURS[colour]
    # A black thing gets a lighter shade, or its parts could not be told apart.
    dark = tuple(c + 60 for c in own) if colour == "black" else tuple(c * 2 // 3 for c in own)
    paints = FIXED | {"own": own, "dark": dark, "green": COLOURS["green"]}
    (rows, above), (columns, left) = _inside(y - MARGIN), _inside(x - MARGIN)
    view = picture[rows, columns]
    for paint, mask in _masks(name, height):
        part = mask[above:, left:][: view.shape[0], : view.shape[1]]
        _paint(view[: part.shape[0], : part.shape[1]], part, paints[paint])


def _inside(start):
    """What lies in the picture of a line that begins at `start`: its slice, and how much of it is cut off before."""
    return slice(max(start, 0), None), max(-start, 0)


@functools.cache
def _masks(name, height):
    """(paint, bool mask) of each shape of a thing whose square begins at MARGIN: the same wherever it stands."""
    masks, side = [], height + 2 * MARGIN
    for kind, paint, *numbers in SHAPES[name]:
        scaled = [n * height // 16 for n in numbers]
        masks.append((paint, _mask(kind, MARGIN, MARGIN, scaled)[:side, :side]))
    return masks


def _mask(kind, x, y, numbers):
    if kind == "disc":
        return _disc(x + numbers[0], y + numbers[1], numbers[2])
    if kind == "box":
        x0, y0, x1, y1 = numbers
        x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
        return (XS >= x + x0) & (XS < x + x1) & (YS >= y + y0) & (YS < y + y1)
    corners = [(x + a, y + b) for a, b in zip(numbers[0::2], numbers[1::2], strict=True)]
    return _polygon(corners)


@functools.cache  # the sun and the moon have few places
def _disc(x, y, radius):
    return (XS - x) ** 2 + (YS - y) ** 2 <= radius**2


def _polygon(corners):
    inside = np.ones((SIDE, SIDE), bool)
    for (xa, ya), (xb, yb) in zip(corners, corners[1:] + corners[:1], strict=True):
        inside &= (xb - xa) * (YS - ya) - (yb - ya) * (XS - xa) >= 0
    return inside


def _paint(picture, mask, colour):
    picture[mask] = colour
