"""Fetches Flickr8k (1.1 GB), unpacks it into its official layout and checks every photo.

    python data_scripts/flickr8k.py --to data/flickr8k               fetch from the network
    python data_scripts/flickr8k.py --to data/flickr8k --from DIR    take both zips from DIR

The photos are for research and teaching only; their authors keep their rights.
"""

import sys

from coursekit.datasets.captions import ARCHIVES, SPLITS, Flickr8k
from coursekit.datasets.fetching import Archive, bring_and_unpack, check, options, run

OFFICIAL = "http://nlp.cs.illinois.edu/HockenmaierGroup/Framing_Image_Description/"
SECOND = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/"
CHECKSUMS = {  # as two other projects state them for the second source
    "Flickr8k_Dataset.zip": "md5:f18a1e2920de5bd84dae7cf08ec78978",
    "Flickr8k_text.zip": "md5:bf6c1abcb8e4a833b7f922104de18627",
}
PUBLISHED = {"train": 6000, "dev": 1000, "test": 1000}


def fetch(chosen):
    """Both archives, then every photo of the three splits."""
    for name in ARCHIVES.values():
        bring_and_unpack(Archive(name, (OFFICIAL + name, SECOND + name), CHECKSUMS[name]), chosen)
    check((Flickr8k(split, chosen.to) for split in SPLITS), PUBLISHED)


if __name__ == "__main__":
    sys.exit(run(fetch, options(__doc__, "flickr8k")))
