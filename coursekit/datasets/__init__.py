"""Pictures with captions: drawn here (scenes) or photographed (flickr8k)."""

import os
from pathlib import Path

from coursekit.datasets.base import CaptionSet
from coursekit.errors import CourseError

__all__ = ["CaptionSet", "data_folder", "load"]

NAMES = ("scenes", "flickr8k")


def load(name, split, root=None, count=None):
    """One split of a data set by name, as a CaptionSet.

    `name` is scenes (drawn, nothing to fetch) or flickr8k (`root` is a folder in the official
    layout; by default `data_folder("flickr8k")`).  `count` keeps the first pictures only.
    Raises CourseError for an unknown name or split, or data that is missing or damaged.
    """
    if name == "scenes":
        from coursekit.datasets.scenes import Scenes

        return Scenes(split, count=count)
    if name == "flickr8k":
        from coursekit.datasets.captions import Flickr8k

        return Flickr8k(split, root or data_folder("flickr8k")).subset(count)
    raise CourseError(f"There is no data set {name!r}; choose one of {', '.join(NAMES)}.")


def data_folder(name):
    """Where the fetched data set `name` lies: under $COURSEKIT_DATA, else `data` here or above."""
    if os.environ.get("COURSEKIT_DATA"):
        return Path(os.environ["COURSEKIT_DATA"]) / name
    here = Path.cwd()
    places = [folder / "data" / name for folder in (here, *here.parents)]
    return next((place for place in places if place.is_dir()), places[0])
