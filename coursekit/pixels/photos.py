"""A picture file of any size and colour as a digit: grey, 28 × 28, light on dark; and words for all that was done to it."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps

from coursekit.datasets.captions import BROKEN_IMAGE
from coursekit.errors import CourseError

SIDE = 28
FORMATS = ("PNG", "JPEG")
INVERT = ("auto", "yes", "no")
WORKING = 560  # pixels along the longer side of what is worked on
BOX = 20  # MNIST's makers scaled each digit into so many pixels, and put its centre of mass into the middle
FLAT = 12  # of 255: with less between the darkest and the lightest there is nothing on a picture
INK = 0.3  # of the range: what is lighter belongs to the digit


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture as the drawer is given it, uint8 (28, 28), and what was done to it, a sentence each."""

    image: torch.Tensor
    said: list[str]


def read_photo(path, invert="auto", centre=False):
    """Reads a png or jpg, of any size and colour, as a digit: a Photo.

    It is turned as its camera says, transparent parts are laid on paper, colours become grey; the whole is fitted into a
    square and reduced by means of areas. MNIST is light on dark: what is dark on light is inverted (`invert` auto), or
    always (yes) or never (no). Greys are stretched until paper is 0 and ink 255. With `centre` the ink is cut out, scaled
    into 20 × 20 pixels and put where its centre of mass is the middle, as MNIST's makers did.
    Raises CourseError if the file is missing, broken or no png or jpg.
    """
    if invert not in INVERT:
        raise CourseError(f"invert is {', '.join(INVERT[:-1])} or {INVERT[-1]}, not '{invert}'.")
    said = []
    picture = _opened(path, said)
    if picture.size != (SIDE, SIDE):
        said.append(f"Its {picture.width} × {picture.height} pixels became {SIDE} × {SIDE}.")
    grey = _greys(picture, said)  # (H, W), 0 to 255
    if grey.max() - grey.min() < FLAT:
        said.append("It is of one grey all over, so it was taken for empty paper.")
        return Photo(torch.zeros(SIDE, SIDE, dtype=torch.uint8), said)
    grey, paper = _turned(grey, _paper(grey), invert, said)
    box = _ink(grey, paper)
    if centre and box is not None:
        digit = _centred(grey[box] - paper, said) + paper
    else:
        digit = _fitted(grey, paper)
        _hint(grey, box, said)
    return Photo(torch.from_numpy(_stretched(digit, paper, said)), said)


def read_mask(path, side):
    """Reads a square black and white picture as bool (side, side): True where it is light, the pixels that are given.

    Raises CourseError as `read_photo`, and for one that is not square.
    """
    grey = _greys(_opened(path, []), [])
    if grey.shape[0] != grey.shape[1]:
        raise CourseError(
            f"The mask {path} has {grey.shape[1]} × {grey.shape[0]} pixels: make it square, as the digits are."
        )
    return torch.from_numpy(_resized(grey, side, side) > 127)


def _opened(path, said):
    """The picture, upright and loaded. Raises CourseError if it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd about a file that can be read
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                if getattr(picture, "n_frames", 1) > 1 and picture.format == "PNG":
                    said.append(f"It moves: the first of its {picture.n_frames} pictures is taken.")
                size = picture.size
                upright = ImageOps.exif_transpose(picture)
                if upright.size != size or picture.getexif().get(0x0112, 1) != 1:
                    said.append("It was turned as its camera says.")
                upright.load()
                return upright
    except FileNotFoundError as error:
        raise CourseError(f"There is no image {path}; check the name.") from error
    except (*BROKEN_IMAGE, Image.DecompressionBombWarning) as error:
        raise CourseError(
            f"{path} is not a png or jpg that can be read, is cut off, or is too large; save it anew as one of these."
        ) from error


def _greys(picture, said):
    """float (H, W) from 0 to 255, of at most twice WORKING pixels along a side."""
    if picture.mode.startswith("I"):
        said.append("Its 16-bit greys became 8-bit ones.")
        small = _smaller(picture.convert("I").convert("F"))
        return np.clip(np.asarray(small, dtype=np.float64) / 257, 0, 255)
    if picture.has_transparency_data:
        picture = _laid_on_paper(_smaller(picture.convert("RGBA")), said)
    elif picture.mode not in ("L", "RGB", "CMYK"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    picture = _smaller(picture)
    if picture.mode != "L":
        colours = np.asarray(picture.convert("RGB"))
        if (colours != colours[..., :1]).any():
            said.append("Its colours became greys.")
    return np.asarray(picture.convert("L"), dtype=np.float64)


def _smaller(picture):
    """A large picture by means of whole blocks of pixels, so that memory stays small."""
    factor = max(picture.size) // WORKING
    return picture.reduce(factor) if factor > 1 else picture


def _laid_on_paper(picture, said):
    """An RGBA picture without its transparency: dark ink lies on white, light ink on black."""
    opaque = np.asarray(picture.getchannel("A"), dtype=np.float64)
    if opaque.min() == 255:
        return picture.convert("RGB")
    grey = np.asarray(picture.convert("L"), dtype=np.float64)
    light = (grey * opaque).sum() / max(opaque.sum(), 1) > 127
    name = "black" if light else "white"
    said.append(f"Its transparent parts were laid on {name}.")
    return Image.alpha_composite(Image.new("RGBA", picture.size, name), picture).convert("RGB")


def _paper(grey):
    """The grey of what lies along the edges: their median."""
    return float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))


def _turned(grey, paper, invert, said):
    """The greys light on dark, and their paper."""
    low, high = np.percentile(grey, [0.5, 99.5])
    if high - low < FLAT:  # so little ink
        low, high = grey.min(), grey.max()
    dark_on_light = paper - low > high - paper
    told = "dark on light" if dark_on_light else "light on dark"
    if invert == "yes" or invert == "auto" and dark_on_light:
        said.append(f"It is {told}, and MNIST light on dark: it was inverted.")
        return 255 - grey, 255 - paper
    said.append(f"It is {told}, and MNIST light on dark: it was not inverted.")
    return grey, paper


def _ink(grey, paper):
    """Slices (rows, columns) of the smallest box that holds all ink, None where there is none."""
    high = grey.max()
    if high - paper < FLAT:
        return None
    rows, columns = np.nonzero(grey > paper + INK * (high - paper))
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def _resized(grey, height, width):
    """Means of areas where it becomes smaller; (height, width)."""
    picture = Image.fromarray(grey.astype(np.float32))
    picture = picture.resize((width, height), Image.Resampling.BOX)
    return np.asarray(picture, dtype=np.float64)


def _scaled(grey, side):
    """The longer side made `side`, the other as it goes with it."""
    longest = max(grey.shape)
    return _resized(grey, *(max(1, round(each * side / longest)) for each in grey.shape))


def _fitted(grey, paper):
    """(28, 28): the whole picture in the middle of its paper."""
    if grey.shape == (SIDE, SIDE):
        return grey
    small, found = _scaled(grey, SIDE), np.full((SIDE, SIDE), paper)
    top, left = ((SIDE - each) // 2 for each in small.shape)
    found[top : top + small.shape[0], left : left + small.shape[1]] = small
    return found


def _centred(ink, said):
    """(28, 28), paper 0: the ink in 20 × 20 pixels, its centre of mass in the middle."""
    said.append(f"Its ink was scaled into {BOX} × {BOX} pixels and centred, as MNIST's makers did.")
    small = _scaled(np.maximum(ink, 0), BOX)
    places = [
        round((SIDE - 1) / 2 - float((small.sum(1 - axis) * np.arange(n)).sum() / small.sum()))
        for axis, n in enumerate(small.shape)
    ]
    top, left = (min(max(p, 0), SIDE - n) for p, n in zip(places, small.shape, strict=True))
    found = np.zeros((SIDE, SIDE))
    found[top : top + small.shape[0], left : left + small.shape[1]] = small
    return found


def _hint(grey, box, said):
    """Says where a digit is much smaller or larger than MNIST's."""
    if box is None:
        return
    part = max(each.stop - each.start for each in box) / max(grey.shape)
    if not 0.5 <= part <= 0.9:
        said.append(
            f"Its ink fills {100 * part:.0f} % of the picture and MNIST's digits 71 %: centring may help."
        )


def _stretched(digit, paper, said):
    """uint8 (28, 28): paper 0 and the lightest ink 255."""
    high = digit.max()
    if high - paper < FLAT or (paper <= FLAT and high >= 255 - FLAT):
        return np.clip(digit, 0, 255).round().astype(np.uint8)
    said.append(f"Its greys from {paper:.0f} to {high:.0f} were stretched to 0 to 255.")
    return np.clip((digit - paper) * 255 / (high - paper), 0, 255).round().astype(np.uint8)
