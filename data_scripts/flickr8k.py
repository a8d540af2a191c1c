"""Fetches Flickr8k (1.1 GB), unpacks it into its official layout and checks every photo.

    python data_scripts/flickr8k.py --to data/flickr8k               fetch from the network
    python data_scripts/flickr8k.py --to data/flickr8k --from DIR    take both zips from DIR

The photos are for research and teaching only; their authors keep their rights.
"""

import argparse
import sys
from pathlib import Path

from coursekit.datasets.captions import ARCHIVES, SPLITS, Flickr8k
from coursekit.datasets.download import download, unpack
from coursekit.errors import CourseError

OFFICIAL = "http://nlp.cs.illinois.edu/HockenmaierGroup/Framing_Image_Description/"
SECOND = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/"
CHECKSUMS = {  # as two other projects state them for the second source
    "Flickr8k_Dataset.zip": "md5:f18a1e2920de5bd84dae7cf08ec78978",
    "Flickr8k_text.zip": "md5:bf6c1abcb8e4a833b7f922104de18627",
}


def archive(name, given, folder):
    """The path of one archive: in the given folder, or fetched into `folder`."""
    if given is None:
        return download([OFFICIAL + name, SECOND + name], folder / name, CHECKSUMS[name])
    if not (given / name).is_file():
        raise CourseError(f"There is no {name} in {given}; put it there or leave --from out.")
    return given / name


def check(root):
    """Reads all three splits and every photo of them."""
    for split in SPLITS:
        dataset = Flickr8k(split, root)
        for index in range(len(dataset)):
            dataset.image(index)
        print(dataset)


def main():
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=Path("data/flickr8k"), metavar="DIR")
    parser.add_argument("--from", type=Path, default=None, metavar="DIR", dest="given")
    options = parser.parse_args()
    try:
        for name in ARCHIVES.values():
            unpack(archive(name, options.given, options.to), options.to)
        check(options.to)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Flickr8k is in {options.to}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
