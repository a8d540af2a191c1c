"""Fetches COCO 2014 (20 GB) with its own captions and Karpathy's splits, and checks every photo.

    python data_scripts/coco.py --to data/coco                      fetch from the network
    python data_scripts/coco.py --to data/coco --photos val2014     6.9 GB: Karpathy's dev and test
    python data_scripts/coco.py --to data/coco --from DIR           take the archives from DIR

The captions are under CC BY 4.0. The photos come from Flickr and keep the terms of their authors.
"""

import sys

from coursekit.datasets.fetching import KARPATHY, Archive, bring_and_unpack, check, options, run
from coursekit.datasets.karpathy import load

PLACES = ("http://images.cocodataset.org/", "https://s3.amazonaws.com/images.cocodataset.org/")
FILES = {  # checksums as two other projects state them
    "annotations": ("annotations/annotations_trainval2014.zip", "0a379cfc70b0e71301e0f377548639bd"),
    "val2014": ("zips/val2014.zip", "a3d79f5ed8d289b7a7554ce06a5782b3"),
    "train2014": ("zips/train2014.zip", "0da8c0bd3d6becc4dcb32757491aca88"),
}
# The splits that the photos of each half are enough for
ENOUGH_FOR = {"val2014": ("val2014", "dev", "test"), "train2014": ("train2014",)}
PUBLISHED = {
    "train2014": 82_783,
    "val2014": 40_504,
    "train": 113_287,
    "dev": 5_000,
    "test": 5_000,
}


def archive(key):
    """One of the archives that COCO's makers give out."""
    path, md5 = FILES[key]
    urls = tuple(place + path for place in PLACES)
    return Archive(path.rpartition("/")[2], urls, f"md5:{md5}")


def fetch(chosen):
    """Captions, the halves that were asked for, then a look at every photo of them."""
    for each in (KARPATHY, *map(archive, ("annotations", *chosen.photos))):
        bring_and_unpack(each, chosen)
    splits = [split for half in chosen.photos for split in ENOUGH_FOR[half]]
    if len(set(chosen.photos)) == 2:
        splits.append("train")
    check((load("coco", split, chosen.to) for split in splits), PUBLISHED)


if __name__ == "__main__":
    parser = options(__doc__, "coco")
    halves = ["val2014", "train2014"]
    parser.add_argument("--photos", nargs="+", choices=halves, default=halves, metavar="HALF")
    sys.exit(run(fetch, parser))
