"""Photos with captions written by people: Flickr8k in its official layout.

    ROOT/Flicker8k_Dataset/*.jpg            the photos (the folder is spelt so)
    ROOT/Flickr8k.token.txt                 name#k<TAB>caption, five captions a photo
    ROOT/Flickr_8k.trainImages.txt, .devImages.txt, .testImages.txt

Source: Hodosh, Young and Hockenmaier, "Framing Image Description as a Ranking Task", 2013.
"""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from coursekit.datasets.base import CaptionSet
from coursekit.errors import CourseError

PHOTOS = "Flicker8k_Dataset"
TOKENS = "Flickr8k.token.txt"
SPLITS = {split: f"Flickr_8k.{split}Images.txt" for split in ("train", "dev", "test")}
ARCHIVES = {PHOTOS: "Flickr8k_Dataset.zip", TOKENS: "Flickr8k_text.zip"}
FETCH = "python data_scripts/flickr8k.py"
# What Pillow raises for a file that is no image, is cut off, or claims more pixels than it may
BROKEN_IMAGE = (
    UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError,
)  # fmt: skip


class Photos(CaptionSet):
    """Photos that lie as files in `folder` under their names, with captions by people.

    Photos are read when asked for and squeezed to a square: `image(i)` is uint8
    (3, image_size, image_size).
    """

    SAME = (*CaptionSet.SAME, "folder", "image_size")

    def __init__(self, name, split, folder, names, captions, image_size=128):
        super().__init__(name, split, names, captions)
        self.folder = Path(folder)
        self.image_size = image_size

    def image(self, index):
        """Photo `index` as uint8 (3, image_size, image_size)."""
        return read_image(self.folder / self.names[index], self.image_size)


class Flickr8k(Photos):
    """One split of Flickr8k.

    Captions of photos outside the split are ignored, as the official list names some that were never
    published.  Raises CourseError for a folder that is not in the official layout, a photo or caption
    that is missing, an empty caption, or a file that is not what its name says.
    """

    def __init__(self, split, root, image_size=128):
        if split not in SPLITS:
            raise CourseError(f"Flickr8k has no split {split!r}; choose train, dev or test.")
        self.root = Path(root)
        names = read_split(_find(self.root, SPLITS[split]))
        captions = read_captions(_find(self.root, TOKENS), names)
        photos = _find(self.root, PHOTOS)
        check_photos(photos, names, FETCH)
        super().__init__("flickr8k", split, photos, names, captions, image_size)


def read_image(file, image_size=None, name=None):
    """Reads an image as uint8 (3, H, W), squeezed to a square of `image_size` if given.

    `file` is a path or an open file, which is then called `name` in errors.  Raises CourseError if
    the file is missing, cut off, or not an image.
    """
    try:
        with Image.open(file) as picture:
            if image_size:
                # A JPEG decodes at half, quarter or eighth size in a fraction of the time
                picture.draft("RGB", (image_size, image_size))
            picture = picture.convert("RGB")
    except FileNotFoundError as error:
        raise CourseError(f"There is no image {name or file}; check the name.") from error
    except BROKEN_IMAGE as error:
        raise CourseError(
            f"{name or file} is not an image that can be read, or is cut off; replace or remove it."
        ) from error
    if image_size and picture.size != (image_size, image_size):
        picture = picture.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()  # (3, H, W)


def read_split(path):
    """The photo names of one split file, in its order."""
    names = [line.strip() for line in _read_lines(path) if line.strip()]
    wrong = [name for name in names if not name.endswith(".jpg") or len(name.split()) > 1]
    if not names or wrong:
        found = f"line {wrong[0][:60]!r}" if wrong else "nothing in it"
        raise CourseError(
            f"{path} should hold one photo name (….jpg) a line but has {found}; "
            f"put the official file there ({FETCH} fetches it)."
        )
    if len(set(names)) < len(names):
        raise CourseError(f"{path} names a photo twice; put the official file there.")
    return names


def read_captions(path, names):
    """The captions of each of `names` from a token file, in its order."""
    captions = {name: [] for name in names}
    for number, line in enumerate(_read_lines(path), start=1):
        if not line.strip():
            continue
        label, tab, caption = line.partition("\t")
        name, mark, _ = label.rpartition("#")
        if not (tab and mark):
            raise CourseError(
                f"{path}, line {number} is not 'name.jpg#0<TAB>caption'; "
                f"put the official file there ({FETCH} fetches it)."
            )
        if name in captions:
            captions[name].append(_not_empty(caption.strip(), path, number))
    missing = [name for name, found in captions.items() if not found]
    if missing:
        raise CourseError(
            f"{path} has no caption for {_several(missing)}; the file may be cut off or of another "
            f"data set: put the official file there ({FETCH} fetches it)."
        )
    return list(captions.values())


def _not_empty(caption, path, number):
    if not caption:
        raise CourseError(
            f"{path}, line {number} has an empty caption; write one or remove the line."
        )
    return caption


def check_photos(folder, names, fetch):
    """Raises CourseError if `folder` lacks one of the photos `names`; `fetch` is what brings them."""
    present = set(os.listdir(folder))
    missing = [name for name in names if name not in present]
    if missing:
        raise CourseError(
            f"{folder} lacks {_several(missing)}; unpack the photos again with {fetch}."
        )


def _several(names):
    rest = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"the photo {names[0]}{rest}"


def _find(root, name):
    path = root / name
    if path.is_dir() if name == PHOTOS else path.is_file():
        return path
    if not root.is_dir():
        raise CourseError(f"There is no folder {root}; fetch Flickr8k with {FETCH} --to {root}.")
    archive = root / ARCHIVES.get(name, ARCHIVES[TOKENS])
    if archive.is_file():
        raise CourseError(
            f"{archive} is not unpacked; run {FETCH} --from {root} --to FOLDER "
            "and use that FOLDER as the root."
        )
    raise CourseError(
        f"{root} is not Flickr8k in its official layout, as it lacks {name}; "
        f"fetch it with {FETCH} --to {root}."
    )


def _read_lines(path):
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise CourseError(
            f"{path} is not a text file; put the official file there ({FETCH} fetches it)."
        ) from error
