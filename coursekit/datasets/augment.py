"""More digits out of few: shifted, turned, mirrored, inverted; the same for the same seed."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from coursekit.datasets.digits import Digits
from coursekit.errors import CourseError, writing

# What numpy raises for a file that is cut off or of another kind
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    AttributeError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a picture, each time by chance.

    crop: pixels of paper put around it before a piece of the old size is cut out anywhere (0: none), so it moves by up
    to so many.  rotate: degrees it is turned by at most, to either side.  flip: mirrors half of the pictures left to
    right.  invert: exchanges ink and paper in half of them.
    """

    crop: int = 4
    flip: bool = False
    rotate: float = 0.0
    invert: bool = False

    def __post_init__(self):
        if self.crop < 0 or not 0 <= self.rotate <= 180:
            raise CourseError(
                f"An augmentation of crop {self.crop} and rotate {self.rotate} is none; "
                "choose crop from 0 and rotate from 0 to 180."
            )

    @property
    def name(self):
        """What it does, for titles and file names: "crop4 rotate10 flip", or "none"."""
        said = [f"crop{self.crop}"] * bool(self.crop) + [f"rotate{self.rotate:g}"] * bool(
            self.rotate
        )
        return " ".join(said + ["flip"] * self.flip + ["invert"] * self.invert) or "none"

    def apply(self, images, generator=None):
        """Each picture of uint8 (B, H, W) changed by draws of its own → uint8 (B, H, W).

        generator: a torch.Generator, which is moved on by one draw; None takes torch's own.  The pictures given stay
        as they are.
        """
        change = self._transforms(images.shape[1:])
        seed = int(torch.randint(2**62, (1,), generator=generator))
        # torchvision's transforms draw from torch's own generator and know no other
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            changed = [change(image[None])[0] for image in images]  # each (H, W)
        return torch.stack(changed) if changed else images.clone()

    def _transforms(self, size):
        from torchvision.transforms import InterpolationMode, v2

        steps = []
        if self.rotate:
            steps.append(v2.RandomRotation(self.rotate, InterpolationMode.BILINEAR))
        if self.flip:
            steps.append(v2.RandomHorizontalFlip())
        if self.crop:
            steps.append(v2.RandomCrop(tuple(size), padding=self.crop))
        if self.invert:
            steps.append(v2.RandomInvert())
        return v2.Compose(steps) if steps else v2.Identity()


def augmented(digits, augmentation, times=1, seed=0):
    """`times` changed copies of every digit, as Digits: all of them once, then all once more, labels with them.

    The same seed gives the same bytes.  Raises CourseError for times below 1.
    """
    if times < 1:
        raise CourseError(f"{times} copies of each digit were asked for; choose 1 or more.")
    generator = torch.Generator().manual_seed(seed)
    copies = [augmentation.apply(digits.images, generator) for _ in range(times)]
    name = f"{digits.name} × {times}, {augmentation.name}"
    return Digits(torch.cat(copies), digits.labels.repeat(times), name)


def save_digits(digits, path):
    """Writes digits as a .npz file: images, labels and name."""
    path = Path(path)
    if path.suffix != ".npz":
        raise CourseError(f"Digits are saved as .npz, and {path.name} ends otherwise; name it so.")
    parts = {"images": digits.images.numpy(), "labels": digits.labels.numpy()}
    with writing(path) as part:
        np.savez_compressed(part, **parts, name=np.array(digits.name))


def load_saved(path):
    """The digits that `save_digits` wrote. Raises CourseError for a file that is missing or holds none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            images, labels = torch.from_numpy(file["images"]), torch.from_numpy(file["labels"])
            return Digits(images, labels.long(), str(file["name"]))
    except FileNotFoundError as error:
        raise CourseError(f"There are no digits in {path}; check the name.") from error
    except UNREADABLE as error:
        raise CourseError(
            f"{path} does not hold digits as save_digits writes them; make it anew."
        ) from error
