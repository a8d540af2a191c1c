"""Features: the memory of every picture of a data set, computed once and kept in a file."""

import hashlib
import pickle
import sys

import torch
from tqdm import tqdm

from coursekit.errors import CourseError, writing


def cached_features(encoder, dataset, path, batch_size=32):
    """The memory of every picture of a data set, computed once: float32 (len(dataset), N, D).

    The file at `path` holds them as float16, with a key made of the encoder's settings and weights
    and of the data set's names and some of its pictures.  Features of another key, or a file that
    is damaged, are computed anew and replaced.  The encoder works in evaluation mode on the device
    where it is and is left in the mode it was in; the features are on the CPU.
    Raises CourseError if the encoder's linear layer learns: kept features would stay behind it.
    """
    if any(p.requires_grad for name, p in encoder.named_parameters() if "projection." in name):
        raise CourseError(
            "The encoder's linear layer learns, so its memory cannot be kept; give cached_features "
            "encoder.unprojected(), and pass what it returns through encoder.projection."
        )
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
