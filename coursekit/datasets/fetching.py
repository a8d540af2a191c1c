"""What the scripts that fetch data sets share: archives, where they come from, and one command line."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from coursekit.datasets.archives import unpack
from coursekit.datasets.download import download
from coursekit.errors import CourseError


@dataclass(frozen=True)
class Archive:
    """A file to fetch: its name, its sources in the order to try them, and its checksum if known.

    `also` are other names under which people get the same content by hand.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str | None = None
    also: tuple[str, ...] = ()


# The captions of three data sets. No checksum is published: this one is stated by a project that
# measured it, and the length it states, 36,745,453 bytes, by two others
KARPATHY = Archive(
    "caption_datasets.zip",
    ("https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip",),
    "sha256:4cfd70132527b80933105e5829dc9034eaab9573482e2e680abbab6130244817",
)


def options(about, name):
    """The command line of a script: --to, --from, --base-url and --unchecked."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--to", type=Path, default=Path("data") / name, metavar="DIR")
    parser.add_argument(
        "--from", type=Path, dest="given", metavar="DIR", help="take what is to be fetched from DIR"
    )
    parser.add_argument(
        "--base-url",
        metavar="URL",
        help="fetch from a mirror instead, a folder with the same names",
    )
    parser.add_argument(
        "--unchecked", action="store_true", help="without checksums, for archives packed anew"
    )
    return parser


def bring(archive, chosen):
    """The path of an archive: in the folder given with --from, or fetched into the data's folder."""
    if chosen.given:
        return _given(archive, chosen.given)
    urls = archive.urls
    if chosen.base_url:
        urls = (f"{chosen.base_url.rstrip('/')}/{archive.name}",)
    checksum = None if chosen.unchecked else archive.checksum
    return download(urls, chosen.to / archive.name, checksum)


def _given(archive, folder):
    for name in (archive.name, *archive.also):
        if (folder / name).is_file():
            return folder / name
    names = " or ".join((archive.name, *archive.also))
    raise CourseError(f"There is no {names} in {folder}; put it there or leave --from out.")


def bring_and_unpack(archive, chosen):
    """Fetches an archive, unless it is there, and unpacks what is not unpacked yet."""
    unpack(bring(archive, chosen), chosen.to)


def check(sets, published):
    """Reads every picture of `sets` once; prints each set, and what is published of its split."""
    seen = set()
    for dataset in sets:
        new = [index for index, name in enumerate(dataset.names) if name not in seen]
        for index in tqdm(new, desc=repr(dataset), unit="picture", leave=False, file=sys.stdout):
            dataset.image(index)
        seen.update(dataset.names)
        expected = published.get(dataset.split)
        note = "" if expected in (None, len(dataset)) else f" (published: {expected:,} pictures)"
        print(f"{dataset}{note}", flush=True)


def run(fetch, parser):
    """Runs a script's work with its options; bad news ends in one sentence on stderr and exit code 2."""
    chosen = parser.parse_args()
    try:
        fetch(chosen)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return 130
    print(f"It is in {chosen.to}")
    return 0
