"""What a reader's machine has: packages, device, data, Java."""

import platform
from importlib import metadata

from coursekit import datasets, sizes
from coursekit.datasets.digits import SPLITS, load_digits
from coursekit.errors import CourseError
from coursekit.grading.exam import walls
from coursekit.metrics import java

PACKAGES = (
    "torch",
    "torchvision",
    "transformers",
    "accelerate",
    "numpy",
    "nltk",
    "pycocoevalcap",
    "matplotlib",
    "tqdm",
    "jupyterlab",
    "nbgrader",
)
NEEDED = PACKAGES[:9]


def examine():
    """Prints the findings; 0 if all that the lessons need is here, else 1."""
    print(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    versions = {name: _version(name) for name in PACKAGES}
    for name, version in versions.items():
        print(f"  {name:15} {version or _missing(name)}")
    print(sizes.setup())
    print("data    scenes: drawn by code, always here", _digits(), *_photos(), sep="\n        ")
    print(f"java    {java.find_java() or 'none: METEOR is left out of scores; all else works'}")
    print(f"walls   {walls.missing() or 'submissions can be walled in for grading'}")
    print(f"build   {sizes.build_folder()}")
    return int(any(versions[name] is None for name in NEEDED))


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _missing(name):
    if name in NEEDED:
        return "missing: run `make env`, or `pip install -e .`"
    return "not installed; only needed to open or grade notebooks here"


def _digits():
    """Which of MNIST's digits are here."""
    root = datasets.data_folder("mnist")
    if (root / "MNIST").is_dir():
        try:
            return f"mnist: {sum(len(load_digits(split, root)) for split in SPLITS):,} digits in {root}"
        except CourseError as error:
            return f"mnist: {error}"
    return "mnist: 5,000 digits, always here; docs/data.md tells how to fetch all 70,000"


def _photos():
    """A line for each set of photos: where it is, or how to get it."""
    for name in datasets.NAMES[1:]:
        folder = datasets.data_folder(name)
        if not folder.is_dir():
            yield f"{name}: not here; docs/data.md tells how to fetch it"
            continue
        try:
            yield f"{datasets.load(name, 'test', folder)} in {folder}"
        except CourseError as error:
            yield f"{name}: {error}"
