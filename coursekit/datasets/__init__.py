"""Pictures with captions: drawn (scenes), photographed (flickr8k, flickr30k, coco), of the web (conceptual)."""

import os
from pathlib import Path

from coursekit.datasets.base import CaptionSet, join
from coursekit.errors import CourseError

__all__ = ["NAMES", "SPLITS", "CaptionSet", "data_folder", "join", "load"]

NAMES = ("scenes", "flickr8k", "flickr30k", "coco", "conceptual")
# Every set has train, dev and test; some have more
SPLITS = {name: ("train", "dev", "test") for name in NAMES}
SPLITS["scenes"] += ("unseen",)
SPLITS["coco"] += ("train2014", "val2014")


def load(name, split, root=None, count=None):
    """One split of a data set by name, as a CaptionSet.

    `name` is one of NAMES: scenes are drawn, with nothing to fetch; the others lie in `root`, as their
    script in data_scripts/ leaves them, by default in `data_folder(name)`.  `split` is train, dev or
    test; scenes have unseen as well, coco its makers' halves train2014 and val2014.  `count` keeps
    the first pictures only.
    Raises CourseError for an unknown name or split, or data that is missing or damaged.
    """
    if name == "scenes":
        from coursekit.datasets.scenes import Scenes

        return Scenes(split, count=count)
    if name not in NAMES:
        raise CourseError(f"There is no data set {name!r}; choose one of {', '.join(NAMES)}.")
    return _photographed(name, split, root or data_folder(name)).subset(count)


def _photographed(name, split, root):
    if name == "flickr8k":
        from coursekit.datasets.captions import Flickr8k

        return Flickr8k(split, root)
    if name == "conceptual":
        from coursekit.datasets.conceptual import ConceptualCaptions

        return ConceptualCaptions(split, root)
    from coursekit.datasets import karpathy

    return karpathy.load(name, split, root)


def data_folder(name):
    """Where the fetched data set `name` lies: under $COURSEKIT_DATA, else `data` here or above."""
    if os.environ.get("COURSEKIT_DATA"):
        return Path(os.environ["COURSEKIT_DATA"]) / name
    here = Path.cwd()
    places = [folder / "data" / name for folder in (here, *here.parents)]
    return next((place for place in places if place.is_dir()), places[0])
