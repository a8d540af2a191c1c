"""Conceptual Captions: 3.3 million pictures of the web with the alternative text of their pages.

    ROOT/train/00000.tar …    shards of the training table, as data_scripts/conceptual_captions.py fetches them
    ROOT/test/00000.tar …     shards of the validation table

The makers' own test pictures were never published, and papers score on the validation table: it is
the test split here.  The dev split is one picture in a hundred of the training table.

Source: Sharma, Ding, Goodman and Soricut, "Conceptual Captions: A Cleaned, Hypernymed, Image Alt-text
Dataset For Automatic Image Captioning", ACL 2018.
"""

import csv
import io
import json
from collections import Counter
from pathlib import Path

from coursekit.datasets import shards
from coursekit.datasets.base import CaptionSet
from coursekit.datasets.captions import read_image
from coursekit.errors import CourseError, writing

FOLDERS = {"train": "train", "dev": "train", "test": "test"}
DEV = 100  # every 100th picture of the training table, by its key: the same whatever links are dead
FETCH = "python data_scripts/conceptual_captions.py"
# Words of img2dataset's error messages, and what they mean; the first that fits is taken
FAILURES = {
    "HTTP Error 404": "gone (404 or 410)",
    "HTTP Error 410": "gone (404 or 410)",
    "infinite loop": "redirects that never end",
    "HTTP Error 30": "redirects that lead nowhere",
    "HTTP Error 4": "refused by the server (4xx)",
    "HTTP Error 5": "failure of the server (5xx)",
    "timed out": "too slow",
    "Name or service not known": "no such server",
    "No address": "no such server",
    "name resolution": "no such server",
    "nodename nor servname": "no such server",
    "Connection": "no answer",
    "connection": "no answer",
    "unreachable": "no answer",
    "CERTIFICATE": "bad certificate",
    "SSL": "bad certificate",
    "IncompleteRead": "broke off",
    "X-Robots-Tag": "forbidden by its owner",
    "decoding": "not an image",
}


class ConceptualCaptions(CaptionSet):
    """One split of Conceptual Captions, one caption a picture, read from tar shards.

    `image(i)` is uint8 (3, image_size, image_size).  `unfinished` counts shards that were left out
    as they are still being fetched, `bare` pictures that were left out for want of a caption.  The
    first time, every shard is read once to make an index.  Raises CourseError if there is no shard
    or one was cut off.
    """

    ALONG = (*CaptionSet.ALONG, "places")
    SAME = (*CaptionSet.SAME, "image_size")

    def __init__(self, split, root, image_size=128):
        if split not in FOLDERS:
            raise CourseError(f"conceptual has no split {split!r}; choose {' or '.join(FOLDERS)}.")
        self.root, self.image_size = Path(root), image_size
        folder = self.root / FOLDERS[split]
        found, self.unfinished = shards.finished(folder, self.root / "index" / folder.name)
        self.bare = sum(shard.bare for _, shard in found)
        rows = [
            row for path, shard in found for row in _rows(path, shard) if _belongs(row[0], split)
        ]
        if not rows:
            raise CourseError(
                f"{folder} has no finished shard with pictures of this split; "
                f"fetch some with {FETCH} --to {self.root}."
            )
        names, captions, places = zip(*rows, strict=True)
        self.places = list(places)
        super().__init__("conceptual", split, names, [[caption] for caption in captions])

    def image(self, index):
        """Picture `index` as uint8 (3, image_size, image_size)."""
        path, offset, size = self.places[index]
        content = shards.read(path, offset, size)
        return read_image(io.BytesIO(content), self.image_size, f"{self.names[index]} in {path}")


def _rows(path, shard):
    tar = str(path)  # one text for all its pictures
    for key, caption, *place in zip(
        shard.keys, shard.captions, shard.offsets, shard.sizes, strict=True
    ):
        yield f"{path.stem}/{key}", caption, (tar, *place)


def _belongs(name, split):
    digits = "".join(letter for letter in name.rpartition("/")[2] if letter.isdigit())
    dev = int(digits or 1) % DEV == 0
    return split == "test" or dev == (split == "dev")


def write_table(source, target, count=None):
    """Turns the makers' table (caption<TAB>address, no header) into one that img2dataset reads.

    Keeps the first `count` rows, all with None.  Lines that are not a caption and a web address are
    left out, so no table can ask for a file of this machine.  Returns (rows kept, lines left out).
    """
    kept = wrong = 0
    with (
        open(source, encoding="utf-8", errors="replace", newline="\n") as lines,
        writing(target) as part,
        open(part, "w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["caption", "url"])
        for line in lines:
            caption, _, url = line.rstrip("\r\n").partition("\t")
            if not caption.strip() or not url.startswith(("http://", "https://")):
                wrong += 1
                continue
            table.writerow([caption.strip(), url.strip()])
            kept += 1
            if kept == count:
                break
    if not kept:
        raise CourseError(f"{source} has no line 'caption<TAB>address'; fetch it again.")
    return kept, wrong


def report(folder):
    """What became of the addresses of a folder of shards: a dict of counts.

    `tried`, `came`, `dead`, and `why`, which counts the dead by kind, most frequent first.  Only
    finished shards count.
    """
    totals, why = Counter(), Counter()
    for path in sorted(Path(folder).glob("*.tar")):
        stats = shards.stats_of(path)
        if stats is None:
            continue
        totals["tried"] += stats.get("count", 0)
        totals["came"] += stats["successes"]
        for message, times in stats.get("status_dict", {}).items():
            if message != "success":
                why[kind_of(message)] += times
    dead = totals["tried"] - totals["came"]
    # A picture that came but could not be written is in no list of failures
    why["other"] += dead - sum(why.values())
    return {
        "tried": totals["tried"],
        "came": totals["came"],
        "dead": dead,
        "why": {kind: times for kind, times in why.most_common() if times},
    }


def kind_of(message):
    """The kind of failure that one of img2dataset's error messages tells of."""
    return next((kind for words, kind in FAILURES.items() if words in message), "other")


def settings_agree(path, settings):
    """Keeps the settings of a run at `path`; CourseError if an earlier run had others.

    Shards are known by their numbers alone, so a run that goes on must cut the table as before.
    """
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = settings
    for name in settings:
        if before.get(name) != settings[name]:
            raise CourseError(
                f"The shards beside {path} were fetched with {name} {before.get(name)}, not "
                f"{settings[name]}; use the same, or another folder."
            )
    with writing(path) as part:
        part.write_text(json.dumps(settings), encoding="utf-8")
