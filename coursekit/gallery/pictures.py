"""Pictures and attention maps as a page holds them: data addresses, so that it needs no other file."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from coursekit.datasets.captions import read_image
from coursekit.plots import attention

LARGEST = 480  # pixels a side of a shown photo
SMALL = 160  # and of those behind attention maps
DRAWN = 96  # up to this side a picture is drawn pixel by pixel, and kept without loss


@dataclass(frozen=True)
class Look:
    """Where a captioner looked for one word: most of all, in words, and how much there; `edges` are left, top, width, height in per cent."""

    word: str
    most: str
    share: str
    veil: str
    edges: list


def shown_image(dataset, index):
    """Picture `index` as a page shows it: a photo as it was taken, where its file is known."""
    folder = getattr(dataset, "folder", None)
    return read_image(Path(folder) / dataset.names[index]) if folder else dataset.image(index)


def data_address(image, largest=LARGEST):
    """uint8 (3 or 1, H, W) as a data address: PNG where it is drawn, else JPEG of at most `largest` pixels a side."""
    pixels = np.ascontiguousarray(np.asarray(image).transpose(1, 2, 0))
    picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    if is_drawn(image):
        return _address(picture, "png", optimize=True)
    picture.thumbnail((largest, largest))
    return _address(picture, "jpeg", quality=80, optimize=True, progressive=True)


def is_drawn(image):
    """Whether every pixel of a picture counts."""
    return max(image.shape[-2:]) <= DRAWN


def _address(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def looks(captioner, dataset, indices, captions):
    """For each caption a list of Looks, one a word and one for the end; None for a captioner without attention.

    indices: of the pictures; captions: one for each of them.  Also None where nobody knows what the places are.
    """
    images = dataset.images(indices)
    weights = captioner.look(captioner.memory(images), captions)  # (B, T, N)
    boxes = None if weights is None else _boxes(captioner, images, weights.shape[-1])
    if boxes is None:
        return None
    tok = captioner.tokenizer
    words = [[*(tok.decode([t]) for t in tok.encode(c)), "(end)"] for c in captions]
    return [_looks(*each) for each in zip(words, weights.numpy(), boxes, strict=True)]


def _boxes(captioner, images, places):
    """What each place saw, (B, N, 4); a square grid where the encoder does not say."""
    if hasattr(captioner.encoder, "boxes"):
        device = next(captioner.parameters()).device
        with torch.no_grad():
            return captioner.encoder.boxes(images.to(device)).cpu().numpy()
    side = round(places**0.5)
    return [attention.grid(side, side)] * len(images) if side * side == places else None


def _looks(words, weights, boxes):
    weights, boxes = attention.fitting(words, weights, boxes)
    maps = [attention.attention_map(each, boxes) for each in weights]
    top = max(float(each.max()) for each in maps)
    found = []
    for word, own, each in zip(words, weights, maps, strict=True):
        veil = _address(Image.fromarray(attention.veil(each / top)), "png", optimize=True)
        edges = [
            [round(100 * float(one), 1) for one in (x0, y0, x1 - x0, y1 - y0)]
            for x0, y0, x1, y1 in attention.outlined(own, boxes)
        ]
        most, share = attention.most_seen(own, boxes), attention.share_seen(own, boxes)
        found.append(Look(word, most, share, veil, edges))
    return found
