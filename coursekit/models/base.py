"""The one shape of all encoders: uint8 pictures (B, 3, H, W) in, memory (B, N, D) out."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from coursekit.errors import CourseError

WHOLE = (0.0, 0.0, 1.0, 1.0)


class Encoder(nn.Module):
    """uint8 images (B, 3, H, W) → memory (B, N, D): N embeddings of a picture, D numbers each.

    `name`, `image_size` (pixels) and `dim` (D) say what it is.  A subclass gives `see(images)`, which
    is (B, N, features), and `boxes(images)`.  `pooling` says how its network was trained to sum up
    places, "mean" or "max"; `named`, whether name and weights' name suffice to get its weights again.

    With `project` a linear layer comes last, in the place of a classifier, and D = project.  It learns
    even where all the rest is frozen.  What is frozen has no gradients and stays in evaluation mode,
    whatever `train()` says.
    Raises CourseError for a size or a project that is no whole number above 0.
    """

    pooling = "mean"

    def __init__(self, name, image_size, trainable=True, project=None, named=False):
        super().__init__()
        self.name, self.image_size = name, whole_number("image_size", image_size)
        self.project = None if project is None else whole_number("project", project)
        self.trainable, self.named = trainable, named and not trainable
        self.projection = nn.Identity()

    def _finish(self, features):
        """What a subclass calls last: freezes, and builds the linear layer behind `features` numbers."""
        for child in self._network():
            if not isinstance(child, Encoder):
                child.requires_grad_(self.trainable)
        if self.project is not None:
            self.projection = nn.Linear(features, self.project)
        self.dim = self.project or features
        self.train()

    def forward(self, images):
        return self.projection(self.see(images))  # (B, N, D)

    def see(self, images):
        """uint8 images (B, 3, H, W) → what comes before the linear layer (B, N, features)."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it sees")

    def boxes(self, images):
        """What each embedding saw: float (B, N, 4), x0, y0, x1, y1 as shares of the picture, 0 to 1.

        A place of a grid is the cell that it stands for; its numbers know of what lies around it, too.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it saw")

    def freeze(self):
        """From now on nothing but the linear layer learns. Returns the encoder."""
        return self._learn(False)

    def unfreeze(self):
        """From now on all of it learns; an optimizer made earlier does not know that. Returns the encoder."""
        return self._learn(True)

    def _learn(self, trainable):
        self.trainable, self.named = trainable, self.named and not trainable
        for child in self._network():
            if isinstance(child, Encoder):
                child._learn(trainable)
            else:
                child.requires_grad_(trainable)
        return self.train(self.training)

    def train(self, mode=True):
        """As in nn.Module, but what is frozen never leaves evaluation mode."""
        super().train(mode)
        if not self.trainable:
            for child in self._network():
                child.eval()
        return self

    def _network(self):
        """All modules but the linear layer."""
        return [child for name, child in self.named_children() if name != "projection"]

    def own_state(self):
        """The part of `state_dict()` that a file must hold, since the encoder's name does not give it.

        That is the linear layer; and everything, once it has been free to learn or began at random.
        """
        state = self.state_dict()
        if all(each.named for each in self.modules() if isinstance(each, Encoder)):
            return {name: each for name, each in state.items() if name.startswith("projection.")}
        return state

    def unprojected(self):
        """The same encoder on the same weights, without its linear layer.

        While the linear layer learns, `cached_features` may keep what this one gives, and
        `encoder.projection(features)` is the memory.
        """
        twin = copy.copy(self)
        twin._modules = self._modules | {"projection": nn.Identity()}
        twin.project, twin.dim = None, getattr(self.projection, "in_features", self.dim)
        return twin


def whole_number(name, value):
    """The value, if it is a whole number above 0; else CourseError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CourseError(f"{name} is a whole number of 1 or more, not {value!r}.")
    return value


def pool(maps, pooling, side=1):
    """(B, C, h, w) → (B, side * side, C), row by row: the mean or the largest value in each part."""
    pooled = F.adaptive_max_pool2d if pooling == "max" else F.adaptive_avg_pool2d
    return pooled(maps, side).flatten(2).transpose(1, 2)


def grid_boxes(rows, columns):
    """The cells of a grid, row by row: (rows * columns, 4)."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    corners = torch.stack([x, y, x + 1, y + 1], dim=-1).view(-1, 4)
    return corners / torch.tensor([columns, rows, columns, rows])


def same_boxes(boxes, images):
    """Boxes (N, 4) for every one of images: (B, N, 4), where the images are."""
    return boxes.to(images.device).expand(len(images), -1, -1)


def last_at_each_size(layers, maps, count=None):
    """Runs layers one after another: the last output at each size, finest first, as (B, C, h, w).

    With `count` only the last ones are kept, and the memory of the others is free again.
    """
    kept = []
    for layer in layers:
        maps = layer(maps)
        if kept and kept[-1].shape[-2:] == maps.shape[-2:]:
            kept.pop()
        kept.append(maps)
        del kept[: -count if count else 0]
    return kept
