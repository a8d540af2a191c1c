"""Encoders: uint8 pictures (B, 3, H, W) in, memory (B, N, D) out, whatever is inside."""

import hashlib
import pickle
import sys
import urllib.error
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from coursekit.errors import CourseError, writing

SHIPPED = Path(__file__).resolve().parents[1] / "weights" / "scene_captioner.pt"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Where torchvision's models stop seeing places and start to classify
HEADS = {"avgpool", "classifier", "fc", "head", "heads", "flatten"}
BRANCHING = {"googlenet", "inception_v3", "maxvit_t"}  # more than one layer after another


def _block(inputs, outputs, stride=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class SmallCNN(nn.Module):
    """A small convolutional network for 64 x 64 pictures, trained here from nothing.

    uint8 images (B, 3, 64, 64) → memory (B, N=16, D=dim), the places of a 4 x 4 grid row by row.
    The stem strides by 4, so that the costly layers see 16 x 16 places: on two cores this is what
    makes it fast enough to train in minutes.
    """

    def __init__(self, dim=256):
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(
            nn.Conv2d(3, 48, 4, stride=4, bias=False),  # (B, 48, 16, 16)
            nn.BatchNorm2d(48),
            nn.ReLU(inplace=True),
            _block(48, 64),
            _block(64, 96, stride=2),  # (B, 96, 8, 8)
            _block(96, 128),
            _block(128, dim, stride=2),  # (B, D, 4, 4)
        ).to(memory_format=torch.channels_last)  # faster on CPU

    def forward(self, images):
        pixels = images.float().contiguous(memory_format=torch.channels_last) / 127.5 - 1
        grid = self.layers(pixels)  # (B, D, 4, 4)
        return grid.flatten(2).transpose(1, 2)  # (B, N, D)


def scene_encoder():
    """The SmallCNN that comes with the course, frozen: trained on scenes to name their facts.

    `python data_scripts/ship_weights.py` made it; its captioner's scores stand beside the weights.
    """
    weights = torch.load(SHIPPED, map_location="cpu", weights_only=True)["weights"]
    encoder = SmallCNN()
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


class TorchvisionEncoder(nn.Module):
    """What a torchvision classifier knows of a picture, taken just before it classifies.

    uint8 images (B, 3, H, W) of any size → memory (B, N, D); pictures are squeezed to
    `image_size` pixels square and normalised as the weights want them.  N is 1 (the mean over all
    places, or a vision transformer's class token), or with `grid` the places row by row.

    `name` is any of torchvision's classification models, `weights` "DEFAULT" or a name that the
    model knows, or None for random ones.  Unless `trainable`, the weights stay as they are and
    BatchNorm and dropout stay in evaluation mode whatever `train()` says.
    Raises CourseError for an unknown name or size, or weights that cannot be had.
    """

    def __init__(
        self, name="mobilenet_v2", weights="DEFAULT", trainable=False, image_size=224, grid=False
    ):
        super().__init__()
        self.name, self.weights, self.trainable = name, weights, trainable
        self.image_size, self.grid = image_size, grid
        model, mean, std = _torchvision_model(name, weights)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.backbone = _Transformer(model) if hasattr(model, "class_token") else _Places(model)
        self.backbone.requires_grad_(trainable).to(memory_format=torch.channels_last)
        self.train()
        self.dim = self._measure()

    def extra_repr(self):
        return (
            f"{self.name}, weights={self.weights}, trainable={self.trainable}, "
            f"image_size={self.image_size}, grid={self.grid}"
        )

    def train(self, mode=True):
        """As in nn.Module, but a frozen backbone never leaves evaluation mode."""
        super().train(mode)
        if not self.trainable:
            self.backbone.eval()
        return self

    def forward(self, images):
        size = (self.image_size, self.image_size)
        pixels = images.to(self.mean.dtype) / 255
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        pixels = ((pixels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        places, pooled = self.backbone(pixels)
        return places if self.grid else pooled  # (B, N, D)

    @torch.no_grad()
    def _measure(self):
        """D, by looking at one empty picture."""
        self.backbone.eval()
        try:
            empty = torch.zeros(1, 3, self.image_size, self.image_size, dtype=torch.uint8)
            return self(empty).shape[-1]
        except (RuntimeError, AssertionError) as error:
            raise CourseError(
                f"{self.name} cannot look at pictures of {self.image_size} pixels; "
                f"choose image_size={getattr(self.backbone, 'image_size', 224)}."
            ) from error
        finally:
            self.train()


class _Places(nn.Module):
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
        grid = pixels
        for layer in self.children():
            grid = layer(grid)  # (B, D, h, w)
        places = grid.flatten(2).transpose(1, 2)  # (B, h*w, D)
        return places, places.mean(1, keepdim=True)


class _Transformer(nn.Module):
    """A vision transformer without its head: patches are places, the class token the whole."""

    def __init__(self, model):
        super().__init__()
        self.conv_proj, self.encoder = model.conv_proj, model.encoder
        self.class_token = model.class_token
        self.image_size = model.image_size

    def forward(self, pixels):
        patches = self.conv_proj(pixels).flatten(2).transpose(1, 2)  # (B, h*w, D)
        token = self.class_token.expand(len(pixels), -1, -1)  # (B, 1, D)
        memory = self.encoder(torch.cat([token, patches], 1))  # (B, 1 + h*w, D)
        return memory[:, 1:], memory[:, :1]


def _torchvision_model(name, weights):
    """The model with its weights, and the mean and std (3,) that its pictures want."""
    from torchvision import models

    known = set(models.list_models(module=models)) - BRANCHING
    if name not in known:
        raise CourseError(
            f"There is no torchvision encoder {name!r}; choose one of {', '.join(sorted(known))}."
        )
    if weights is None:
        return models.get_model(name), IMAGENET_MEAN, IMAGENET_STD
    entries = models.get_model_weights(name)
    if weights != "DEFAULT" and weights not in entries.__members__:
        choice = ", ".join(entries.__members__)
        raise CourseError(f"{name} has no weights {weights!r}; choose DEFAULT, {choice} or None.")
    wanted = entries[weights].transforms()
    return _with_weights(name, entries[weights]), wanted.mean, wanted.std


def _with_weights(name, weights):
    from torchvision import models

    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        return models.get_model(name, weights=weights)
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


def cached_features(encoder, dataset, path, batch_size=32):
    """The memory of every picture of a data set, computed once: float32 (len(dataset), N, D).

    The file at `path` holds them as float16, with a key made of the encoder's settings and weights
    and of the data set's names and some of its pictures.  Features of another key, or a file that
    is damaged, are computed anew and replaced.  The encoder works in evaluation mode on the device
    where it is and is left in the mode it was in; the features are on the CPU.
    """
    key = _features_key(encoder, dataset)
    features = _stored_features(path, key)
    if features is None:
        features = _compute_features(encoder, dataset, batch_size)
        with writing(path) as temporary:
            torch.save({"key": key, "features": features}, temporary)
    return features.float()


def _features_key(encoder, dataset):
    """One text for both: what would change the features changes it."""
    digest = hashlib.sha256(f"{type(encoder).__name__} {encoder}".encode())
    for name, tensor in encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    digest.update("\n".join([str(dataset.name), dataset.split, *dataset.names]).encode())
    for index in sorted({0, len(dataset) // 2, len(dataset) - 1}):
        picture = dataset.image(index)
        digest.update(str(tuple(picture.shape)).encode())
        digest.update(picture.contiguous().numpy())
    return digest.hexdigest()


def _stored_features(path, key):
    """The features at `path` if they are whole and of this key, else None."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        return stored["features"] if stored["key"] == key else None
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError):
        return None


@torch.no_grad()
def _compute_features(encoder, dataset, batch_size):
    """float16 (len(dataset), N, D), with the encoder in evaluation mode meanwhile."""
    device = next(encoder.parameters()).device
    was_training = encoder.training
    encoder.eval()
    starts = range(0, len(dataset), batch_size)
    parts = []
    try:
        for start in tqdm(starts, desc="features", leave=False, file=sys.stdout, mininterval=0.5):
            images = dataset.images(range(start, min(start + batch_size, len(dataset))))
            parts.append(encoder(images.to(device)).half().cpu())  # (B, N, D)
    finally:
        encoder.train(was_training)
    return torch.cat(parts)
