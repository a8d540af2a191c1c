"""Encoders that look at the whole picture once: a small CNN, and any torchvision network."""

from pathlib import Path

import torch
from torch import nn

from coursekit.errors import CourseError
from coursekit.models.base import WHOLE, Encoder, grid_boxes, last_at_each_size, pool, same_boxes
from coursekit.models.features import cached_features
from coursekit.models.networks import Places, Transformer, classifier, normalised

__all__ = [
    "SHIPPED",
    "SceneClassifier",
    "SmallCNN",
    "TorchvisionEncoder",
    "cached_features",
    "scene_encoder",
]

SHIPPED = Path(__file__).resolve().parents[1] / "weights" / "scene_captioner.pt"


def _block(inputs, outputs, stride=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class SmallCNN(Encoder):
    """A small convolutional network for 64 x 64 pictures, trained here from nothing.

    uint8 images (B, 3, 64, 64) → memory (B, N=16, D=dim), the places of a 4 x 4 grid row by row, or
    without `grid` (B, N=1, D), the largest value over all places.
    The stem strides by 4, so that the costly layers see 16 x 16 places: on two cores this is what
    makes it fast enough to train in minutes.
    """

    pooling = "max"  # as SceneClassifier trained it

    def __init__(self, dim=256, grid=True, project=None):
        super().__init__("small_cnn", 64, project=project)
        self.grid = grid
        self.layers = nn.Sequential(
            nn.Conv2d(3, 48, 4, stride=4, bias=False),  # (B, 48, 16, 16)
            nn.BatchNorm2d(48),
            nn.ReLU(inplace=True),
            _block(48, 64),
            _block(64, 96, stride=2),  # (B, 96, 8, 8)
            _block(96, 128),
            _block(128, dim, stride=2),  # (B, D, 4, 4)
        ).to(memory_format=torch.channels_last)  # faster on CPU
        self._finish(dim)

    def extra_repr(self):
        return f"grid={self.grid}, project={self.project}"

    def see(self, images):
        if not self.grid:
            return self.whole(images)[:, None]  # (B, 1, D)
        return self.maps(images, 1)[0].flatten(2).transpose(1, 2)  # (B, N, D)

    def whole(self, images):
        """One embedding of each picture: (B, D)."""
        return pool(self.maps(images, 1)[0], self.pooling)[:, 0]

    def maps(self, images, count=None):
        """The last layer at each size, finest first: list of (B, C, h, w)."""
        pixels = images.float().contiguous(memory_format=torch.channels_last) / 127.5 - 1
        return last_at_each_size(self.layers, pixels, count)

    def boxes(self, images):
        """As in Encoder: the cells of the grid, or the whole picture."""
        if not self.grid:
            return same_boxes(torch.tensor([WHOLE]), images)
        rows, columns = (-(side // 4 // -4) for side in images.shape[-2:])
        return same_boxes(grid_boxes(rows, columns), images)


def scene_encoder(grid=True):
    """The SmallCNN that comes with the course, frozen: trained on scenes to name their facts.

    `python data_scripts/ship_weights.py` made it; its captioner's scores stand beside the weights.
    """
    weights = torch.load(SHIPPED, map_location="cpu", weights_only=True)["weights"]
    encoder = SmallCNN(grid=grid)
    own = {k.removeprefix("encoder."): v for k, v in weights.items() if k.startswith("encoder.")}
    encoder.load_state_dict(own)
    return encoder.requires_grad_(False).eval()


class SceneClassifier(nn.Module):
    """Says which of `n_labels` facts hold in a picture; trained to give an encoder its start.

    uint8 images (B, 3, H, W) → logits (B, n_labels), one yes-or-no question each.
    """

    def __init__(self, encoder, n_labels):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.dim, n_labels)

    def forward(self, images):
        memory = self.encoder(images)  # (B, N, D)
        return self.head(memory.amax(1))  # (B, n_labels)


class TorchvisionEncoder(Encoder):
    """What a torchvision classifier knows of a picture, taken just before it classifies.

    uint8 images (B, 3, H, W) of any size → memory (B, N, D); pictures are squeezed to
    `image_size` pixels square and normalised as the weights want them.  N is 1 (the mean over all
    places, or a vision transformer's class token), or with `grid` the places row by row.

    `name` is any of torchvision's classification models, `weights` "DEFAULT" or a name that the
    model knows, or None for random ones.  Unless `trainable`, the weights stay as they are and
    BatchNorm and dropout stay in evaluation mode whatever `train()` says; `unfreeze()` changes that.
    With `project` a linear layer replaces the classifier and gives D = project; it always learns.
    Raises CourseError for an unknown name or size, or weights that cannot be had.
    """

    def __init__(
        self,
        name="mobilenet_v2",
        weights="DEFAULT",
        trainable=False,
        image_size=224,
        grid=False,
        project=None,
    ):
        super().__init__(name, image_size, trainable, project, named=weights is not None)
        self.weights, self.grid = weights, grid
        model, mean, std = classifier(name, weights)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.backbone = Transformer(model) if hasattr(model, "class_token") else Places(model)
        self.backbone.to(memory_format=torch.channels_last)
        places, features = self._measure()
        self.side = round(places**0.5)
        self._finish(features)

    def extra_repr(self):
        return (
            f"{self.name}, weights={self.weights}, trainable={self.trainable}, "
            f"image_size={self.image_size}, grid={self.grid}, project={self.project}"
        )

    def _pixels(self, images):
        return normalised(images, (self.image_size, self.image_size), self.mean, self.std)

    def see(self, images):
        places, pooled = self.backbone(self._pixels(images))
        return places if self.grid else pooled  # (B, N, D)

    def whole(self, images):
        """One embedding of each picture, before the linear layer: (B, features)."""
        return self.backbone(self._pixels(images))[1][:, 0]

    def maps(self, images, count=None):
        """What `count` depths of the network give, finest first: list of (B, C, h, w)."""
        return self.backbone.maps(self._pixels(images), count)

    def boxes(self, images):
        """As in Encoder: the cells of the grid, or the whole picture."""
        cells = grid_boxes(self.side, self.side) if self.grid else torch.tensor([WHOLE])
        return same_boxes(cells, images)

    @torch.no_grad()
    def _measure(self):
        """How many places and how many features, by looking at one empty picture."""
        self.backbone.eval()
        try:
            empty = torch.zeros(1, 3, self.image_size, self.image_size, dtype=torch.uint8)
            return self.backbone(self._pixels(empty))[0].shape[1:]
        except (RuntimeError, AssertionError) as error:
            raise CourseError(
                f"{self.name} cannot look at pictures of {self.image_size} pixels; "
                f"choose image_size={getattr(self.backbone, 'image_size', 224)}."
            ) from error
