"""Fetches MNIST (12 MB): 70,000 handwritten digits, laid out as torchvision reads them, and checks them.

    python data_scripts/mnist.py --to data/mnist               fetch from torchvision's sources
    python data_scripts/mnist.py --to data/mnist --from DIR    take the four .gz files from DIR

The lessons need it at size gpu only: 5,000 of these digits come with the course.
"""

import gzip
import shutil
import sys
import zlib

from torchvision.datasets import MNIST

from coursekit.datasets.digits import SPLITS, load_digits
from coursekit.datasets.fetching import Archive, bring, options, run
from coursekit.errors import CourseError, writing


def unpacked(archive, folder):
    """Unpacks one .gz file into `folder`, without its last suffix, whole or not at all."""
    with writing(folder / archive.stem) as part:
        try:
            with gzip.open(archive) as packed, open(part, "wb") as plain:
                shutil.copyfileobj(packed, plain)
        except (OSError, EOFError, zlib.error) as error:
            raise CourseError(f"{archive} is damaged ({error}); fetch it again.") from error


def fetch(chosen):
    """The four files with torchvision's checksums, then a look at the three splits."""
    for name, md5 in MNIST.resources:
        urls = tuple(mirror + name for mirror in MNIST.mirrors)
        archive = Archive(name, urls, f"md5:{md5}")
        unpacked(bring(archive, chosen), chosen.to / "MNIST" / "raw")
    for split in SPLITS:
        print(load_digits(split, chosen.to))


if __name__ == "__main__":
    sys.exit(run(fetch, options(__doc__, "mnist")))
