"""Networks by torchvision, with their weights, cut where they stop seeing and start to classify."""

import pickle
import urllib.error
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from coursekit.errors import CourseError
from coursekit.models.base import last_at_each_size

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Where torchvision's models stop seeing places and start to classify
HEADS = {"avgpool", "classifier", "fc", "head", "heads", "flatten"}
BRANCHING = {"googlenet", "inception_v3", "maxvit_t"}  # more than one layer after another


class Places(nn.Module):
    """The layers of a convolutional model (or Swin) up to its head."""

    def __init__(self, model):
        super().__init__()
        layers = {}
        for name, layer in model.named_children():
            if name in HEADS:
                break
            layers[name] = layer
        if type(model).__name__ == "DenseNet":
            layers["relu"] = nn.ReLU()  # torchvision has this one in forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, pixels):
        """pixels (B, 3, h, w) → places (B, N, D) row by row, and their mean (B, 1, D)."""
        grid = pixels
        for layer in self.children():
            grid = layer(grid)  # (B, D, h, w)
        places = grid.flatten(2).transpose(1, 2)  # (B, h*w, D)
        return places, places.mean(1, keepdim=True)

    def maps(self, pixels, count=None):
        """The last layer at each of the `count` coarsest sizes, finest first: list of (B, C, h, w)."""
        if hasattr(self, "permute"):
            raise CourseError("Swin keeps no maps of its layers; choose a network of another kind.")
        layers = []
        for layer in self.children():
            layers += layer if isinstance(layer, nn.Sequential) else [layer]
        return last_at_each_size(layers, pixels, count)


class Transformer(nn.Module):
    """A vision transformer without its head: patches are places, the class token the whole."""

    def __init__(self, model):
        super().__init__()
        self.conv_proj, self.encoder = model.conv_proj, model.encoder
        self.class_token = model.class_token
        self.image_size = model.image_size

    def _tokens(self, pixels):
        patches = self.conv_proj(pixels).flatten(2).transpose(1, 2)  # (B, h*w, D)
        token = self.class_token.expand(len(pixels), -1, -1)  # (B, 1, D)
        return torch.cat([token, patches], 1)  # (B, 1 + h*w, D)

    def forward(self, pixels):
        """pixels (B, 3, h, w) → patches (B, N, D) row by row, and the class token (B, 1, D)."""
        memory = self.encoder(self._tokens(pixels))  # (B, 1 + h*w, D)
        return memory[:, 1:], memory[:, :1]

    def maps(self, pixels, count=None):
        """The patches after each of `count` blocks, evenly spaced, the last of all among them."""
        blocks, kept = self.encoder.layers, []
        count = min(count or len(blocks), len(blocks))
        wanted = [len(blocks) * (i + 1) // count - 1 for i in range(count)]
        tokens = self.encoder.dropout(self._tokens(pixels) + self.encoder.pos_embedding)
        for i, block in enumerate(blocks):
            tokens = block(tokens)  # (B, 1 + h*w, D)
            kept += [tokens] if i in wanted else []
        kept[-1] = self.encoder.ln(kept[-1])
        side = pixels.shape[-1] // self.conv_proj.kernel_size[0]
        return [each[:, 1:].transpose(1, 2).unflatten(2, (side, side)) for each in kept]


def normalised(images, size, mean, std):
    """uint8 images (B, 3, H, W) → float (B, 3, *size), as the network saw pictures in its training."""
    pixels = F.interpolate(images.to(mean.dtype) / 255, size, mode="bilinear", antialias=True)
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def classifier(name, weights):
    """A torchvision classifier with its weights, and the mean and std (3,) that its pictures want.

    Raises CourseError for an unknown name, or weights that cannot be had.
    """
    from torchvision import models

    known = set(models.list_models(module=models)) - BRANCHING
    if name not in known:
        raise CourseError(
            f"There is no torchvision encoder {name!r}; choose one of {', '.join(sorted(known))}."
        )
    if weights is None:
        return models.get_model(name), IMAGENET_MEAN, IMAGENET_STD
    entry = weights_of(name, weights)
    wanted = entry.transforms()
    return with_weights(name, entry), wanted.mean, wanted.std


def weights_of(name, weights="DEFAULT"):
    """What torchvision knows of the weights of a model: address, file size, accuracy."""
    from torchvision import models

    entries = models.get_model_weights(name)
    if weights != "DEFAULT" and weights not in entries.__members__:
        choice = ", ".join(entries.__members__)
        raise CourseError(f"{name} has no weights {weights!r}; choose DEFAULT, {choice} or None.")
    return entries[weights]


def with_weights(name, weights, **settings):
    """The model `name` with weights that `weights_of` gave, fetched where they are not yet here.

    Raises CourseError if they cannot be fetched, or their file is damaged.
    """
    from torchvision import models

    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        return models.get_model(name, weights=weights, **settings)
    except urllib.error.URLError as error:
        raise CourseError(
            f"The weights of {name} could not be fetched ({error.reason}); put {weights.url} at "
            f"{file}, or choose weights=None for random ones."
        ) from error
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise CourseError(
            f"{file} does not hold the weights of {name}, or is cut off; "
            "delete it and run this again to fetch it anew."
        ) from error
