"""Pictures and captions in tar shards, as img2dataset leaves them and webdataset reads them.

    FOLDER/00000.tar            000000000.jpg, .txt (the caption), .json (where it came from), and so on
    FOLDER/00000_stats.json     how many addresses were tried, and what became of them

An index beside the folder says where each picture lies, so that any one can be read at once.
"""

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

from coursekit.errors import CourseError, writing

PICTURES = {"jpg", "jpeg", "png", "webp"}
LONGEST = 10_000  # letters of a caption; alternative texts of the web are shorter
VERSION = 1


@dataclass(frozen=True)
class Shard:
    """What one tar holds: parallel lists, sorted by key; `offset` and `size` in bytes find a picture.

    `whole` is False for a tar that is cut off; `bare` counts pictures without a caption, left out.
    """

    keys: list
    captions: list
    offsets: list
    sizes: list
    whole: bool
    bare: int


def indexed(path, index):
    """The Shard of a tar, from the JSON file `index` if it is of this tar, else read and kept there."""
    found = path.stat()
    mark = [VERSION, found.st_size, found.st_mtime_ns]
    try:
        kept = json.loads(index.read_text(encoding="utf-8"))
        if kept.pop("mark") == mark:
            return Shard(**kept)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # no index, or none that can be read: it is made anew
    shard = scan(path)
    try:
        with writing(index) as part:
            part.write_text(json.dumps({"mark": mark, **vars(shard)}), encoding="utf-8")
    except (CourseError, OSError):
        pass  # a folder that cannot be written: it is read again next time
    return shard


def scan(path):
    """Reads a tar from end to end; what lies before the place where it is cut off is kept."""
    pictures, captions, whole = {}, {}, False
    with open(path, "rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    _note(tar, member, pictures, captions)
            file.seek(tar.offset)
            whole = file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
        except (tarfile.TarError, EOFError):
            pass  # whole stays False
    keys = sorted(key for key in pictures if captions.get(key))
    places = [pictures[key] for key in keys]
    return Shard(
        keys,
        [captions[key] for key in keys],
        [place[0] for place in places],
        [place[1] for place in places],
        whole,
        len(pictures) - len(keys),
    )


def _note(tar, member, pictures, captions):
    key, dot, kind = member.name.rpartition(".")
    if not (member.isreg() and dot):
        return
    if kind.lower() in PICTURES:
        pictures[key] = (member.offset_data, member.size)
    elif kind == "txt" and member.size <= 4 * LONGEST:
        text = tar.extractfile(member).read().decode("utf-8", errors="replace")
        captions[key] = " ".join(text.split())[:LONGEST]


def finished(folder, indexes):
    """(tar path, Shard) of every finished shard of a folder, and how many are still unfinished.

    A tar without its _stats.json that has no end is still being written, or its run was killed: it is
    counted and left out.  Raises CourseError for a finished shard that was cut off afterwards.
    """
    shards, unfinished = [], 0
    for path in sorted(folder.glob("*.tar")):
        shard, stats = indexed(path, indexes / f"{path.stem}.json"), stats_of(path)
        if shard.whole and (stats is None or stats["successes"] == len(shard.keys) + shard.bare):
            shards.append((path, shard))
        elif stats is None:
            unfinished += 1
        else:
            raise CourseError(
                f"{path} is cut off: it holds {len(shard.keys)} of {stats['successes']} pictures; "
                f"delete it and {path.stem}_stats.json and run the fetching script again."
            )
    return shards, unfinished


def stats_of(path):
    """What img2dataset noted of the shard at `path` when it was done, or None."""
    try:
        stats = json.loads(path.with_name(f"{path.stem}_stats.json").read_text(encoding="utf-8"))
        return stats if isinstance(stats["successes"], int) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read(path, offset, size):
    """The bytes of one picture; fewer than `size` if the shard is cut off."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise CourseError(
            f"{Path(path)} cannot be read ({error.strerror}); fetch the shard again."
        ) from error
