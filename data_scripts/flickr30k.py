"""Fetches Flickr30k (4.4 GB) with Karpathy's captions and splits, and checks every photo.

    python data_scripts/flickr30k.py --to data/flickr30k --from DIR    take both archives from DIR
    python data_scripts/flickr30k.py --to data/flickr30k               photos from a mirror

The photos are given to researchers and teachers who fill in a form at
https://shannon.cs.illinois.edu/DenotationGraph/, which sends the address of flickr30k-images.tar.gz by
mail: put it into DIR beside https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip.
The mirror is a copy that others made; the same terms hold for it.
"""

import sys

from coursekit.datasets.fetching import KARPATHY, Archive, bring_and_unpack, check, options, run
from coursekit.datasets.karpathy import SPLITS, load

PHOTOS = Archive(
    "flickr30k-images.zip",
    ("https://huggingface.co/datasets/nlphuji/flickr30k/resolve/main/flickr30k-images.zip",),
    also=("flickr30k-images.tar.gz", "flickr30k-images.tar"),
)
PUBLISHED = {"train": 29_000, "dev": 1_014, "test": 1_000}


def fetch(chosen):
    """Captions, photos, then a look at every photo of the three splits."""
    for archive in (KARPATHY, PHOTOS):
        bring_and_unpack(archive, chosen)
    check((load("flickr30k", split, chosen.to) for split in SPLITS), PUBLISHED)


if __name__ == "__main__":
    sys.exit(run(fetch, options(__doc__, "flickr30k")))
