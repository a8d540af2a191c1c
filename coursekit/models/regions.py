"""Boxes in pictures: x0, y0, x1, y1 as shares of width and height, 0 to 1."""

import torch

from coursekit.errors import CourseError
from coursekit.models.base import WHOLE, whole_number


def cut(maps, boxes, size):
    """Cuts boxes (B, N, 4) out of maps (B, C, h, w): (B * N, C, size, size), each the mean of its part.

    RoIAlign (He et al. 2017): corners are not rounded to whole places.
    """
    from torchvision.ops import roi_align

    height, width = maps.shape[-2:]
    corners = boxes.to(maps.dtype) * maps.new_tensor([width, height, width, height])
    return roi_align(maps, list(corners.unbind(0)), size, aligned=True)


def pad_boxes(found, count, fill=WHOLE):
    """Lists of boxes, a tensor (n, 4) a picture with any n → (B, count, 4).

    The first `count` boxes of each are kept; missing ones are `fill`, by default the whole picture.
    `fill=(0, 0, 0, 0)` has no area, which `Crops` embed as zeros.
    """
    padded = torch.tensor(fill, dtype=torch.float32)
    padded = padded.repeat(len(found), whole_number("count", count), 1)  # (B, count, 4)
    for row, boxes in zip(padded, found, strict=True):
        boxes = torch.as_tensor(boxes, dtype=torch.float32, device="cpu")
        boxes = boxes.view(-1, 4)[:count]
        row[: len(boxes)] = boxes
    return padded


def check_boxes(boxes, images):
    """The boxes, if they are (B, N, 4) and inside their pictures; else CourseError."""
    if boxes.dim() != 3 or len(boxes) != len(images) or boxes.shape[-1] != 4:
        raise CourseError(
            f"Boxes of {len(images)} pictures have the shape ({len(images)}, N, 4), "
            f"not {tuple(boxes.shape)}."
        )
    inside = (boxes >= 0) & (boxes <= 1)  # false for nan, too
    if not inside.all():
        raise CourseError(
            "A box lies outside its picture; give x0, y0, x1, y1 as shares from 0 to 1, which are "
            "pixels divided by the picture's width and height."
        )
    if (boxes[..., 2:] < boxes[..., :2]).any():
        raise CourseError("A box ends before it begins; give its corners as x0, y0, x1, y1.")
    return boxes
