"""From all that one student handed in: the notebook that counts, and what is kept beside it."""

import errno
import re
import warnings
from dataclasses import dataclass

from coursekit.errors import writing
from coursekit.grading.intake.bundles import Unreadable, is_zip, too_large
from coursekit.grading.intake.handed_in import Item, copy_number, is_notebook, names_assignment
from coursekit.grading.intake.reading import LARGEST, MB, NotANotebook, TooLarge, read_notebook
from coursekit.notebooks import dump, quick_import

FILES, BYTES = 200, 100 * MB  # kept beside a notebook
ZIPS, LOOKED_AT = 12, 4000  # zips opened and files seen in one hand-in
TRIED = 20  # notebooks looked into
AS_IT_CAME = 5 * MB  # a notebook up to this size is kept byte by byte
NO_NOTEBOOK, NOT_A_NOTEBOOK, TOO_MUCH = "no notebook", "not a notebook", "too much output"
FULL = {
    errno.ENOSPC,
    errno.EROFS,
    errno.EIO,
    getattr(errno, "EDQUOT", errno.EIO),
}  # no fault of one file
PACKED = re.compile(r"\.(rar|7z|tar|t?gz|tgz|bz2|xz)$", re.I)
# What nbgrader understands in timestamp.txt; anything else there ends its autograding
TIMESTAMP = re.compile(rb"\s*\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(UTC|[+-]\d{4}))?\s*")


class Refused(Exception):
    """A hand-in without a notebook that can be graded: status, and notes that say why."""

    def __init__(self, status, notes=()):
        super().__init__(status)
        self.status, self.notes = status, list(notes)


@dataclass
class Chosen:
    """The notebook that counts: as it came, and as it was read with what had to be mended."""

    item: Item
    raw: bytes
    notebook: dict
    mended: list


def unpacked(items, sorter, stack, notes):
    """A hand-in's Items with the contents of its zips in their place, zips in zips too."""
    found, opened, waiting = [], 0, list(items)
    while waiting:
        item = waiting.pop(0)
        notes += [item.note] if item.note else []
        if is_zip(item.entry) and not item.entry.fault:
            opened += 1
            if opened > ZIPS or len(found) + len(waiting) > LOOKED_AT:
                item.entry.fault = "was not opened: there is too much in this hand-in"
            else:
                waiting += _inside(item, sorter, stack, notes)
                continue
        found.append(item)
    return found


def _inside(item, sorter, stack, notes):
    """What a zip holds; the zip itself, with its fault, if it cannot be read."""
    try:
        found = sorter.inside(item, stack)
    except Unreadable as reason:
        item.entry.fault = str(reason)
        return [item]
    if len(found) > LOOKED_AT:
        notes.append(f"{item.entry.name} holds {len(found):,} files; not all were looked at")
    return sorted(found, key=lambda one: len(one.inner))[:LOOKED_AT]


# --- which notebook counts ------------------------------------------------------------------------


def choose(items, name, ids, notes):
    """The newest notebook that can be read and is the assignment's by its name or its cells.

    ids: the assignment's grade_ids.  Notes say what else there was.  Raises Refused.
    """
    notebooks = sorted((i for i in items if is_notebook(i.entry)), key=_newness, reverse=True)
    best, other, faults = None, None, []
    for item in notebooks[:TRIED]:
        try:
            found = _read(item)
            fit = _fits(found, name, ids)
        except Refused as refusal:
            faults.append(refusal)
            continue
        best = found if fit else None
        other = other or found
        if best:
            break
    best = best or other
    told = [note for fault in faults for note in fault.notes]
    if best is None:
        raise Refused(faults[0].status if faults else NO_NOTEBOOK, told or _what_came(items))
    notes += told
    _say_which(best, notebooks, name, notes)
    return best


def _newness(item):
    """Later files of a platform have larger numbers; else the time counts, then the copy's number."""
    copy = re.search(r"(\d+)\)?$", item.entry.name.partition(".ipynb")[0])
    return item.number, item.entry.when, int(copy[1][:9]) if copy else 0, item.inner


def _read(item):
    entry, called = item.entry, item.called
    try:
        if entry.size > LARGEST and not entry.fault:
            raise Refused(TOO_MUCH, [f"{called} {too_large(entry.size, LARGEST)}"])
        raw = entry.read(LARGEST)
        return Chosen(item, raw, *read_notebook(raw))
    except Unreadable as reason:
        raise Refused(NO_NOTEBOOK, [f"{called} {reason}"]) from reason
    except TooLarge as reason:
        raise Refused(TOO_MUCH, [f"{called}: {reason}"]) from reason
    except NotANotebook as reason:
        raise Refused(NOT_A_NOTEBOOK, [f"{called}: {reason}"]) from reason


def _fits(found, name, ids):
    """Whether a notebook is this assignment's; Refused if it is clearly another's."""
    cells = found.notebook["cells"]
    marks = {cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in cells} - {None}
    if marks & ids or names_assignment(found.item.called, name):
        return True
    if marks:
        raise Refused(NO_NOTEBOOK, [f"{found.item.called} belongs to another assignment"])
    return False


def _say_which(best, notebooks, name, notes):
    called = best.item.called
    by_platform = best.item.who.lms == "canvas" and copy_number(called, name) is not None
    if called != f"{name}.ipynb" and not by_platform:
        notes.append(f"wrong name, repaired: it came as {called}")
    if len(notebooks) > 1:
        notes.append(f"of {len(notebooks)} notebooks {called} was used, the newest that fits")


def _what_came(items):
    """Notes for a hand-in in which no notebook is."""
    notes = [f"{item.called} {item.entry.fault}" for item in items if item.entry.fault]
    for item in items:
        if item.entry.is_folder and item.called.lower().endswith(".ipynb"):
            notes.append(f"{item.called} is a folder")
        elif PACKED.search(item.called):
            notes.append(f"{item.called} is no zip: unpack it and collect again")
    came = sorted({item.called for item in items if not item.entry.is_folder})
    return notes or [f"found only {', '.join(came[:5])}"] if came or notes else []


# --- what is written --------------------------------------------------------------------------------


def put_notebook(chosen, path, notes):
    """Writes the notebook byte by byte, or in a clean form where nbgrader could not read it."""
    notes += chosen.mended
    large = len(chosen.raw) > AS_IT_CAME
    if large:
        notes.append(f"outputs were left out of {-(-len(chosen.raw) // MB)} MB")
    with writing(path) as part:
        if large or chosen.mended or not _nbgrader_reads(chosen.raw):
            part.write_text(dump(chosen.notebook), encoding="utf-8", newline="\n")
        else:
            part.write_bytes(chosen.raw)


def _nbgrader_reads(raw):
    """Whether nbformat opens it without a fault."""
    with quick_import():
        import nbformat
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            nbformat.validate(nbformat.reader.reads(raw.decode("utf-8")), version=4)
        except Exception:  # whatever it trips over: the clean form is there
            return False
    return True


def put_beside(items, chosen, folder, notes):
    """Writes the other files of a hand-in beside its notebook, as far as they are decent."""
    home, beside = chosen.item.inner[:-1], _Beside(folder, notes)
    for item in sorted(items, key=_newness, reverse=True):
        if item.entry.fault and item is not chosen.item:
            notes.append(f"{item.called} {item.entry.fault}")
        elif item.inner and not item.entry.is_folder and not is_notebook(item.entry):
            below = item.inner[len(home) :] if item.inner[: len(home)] == home else item.inner
            beside.put(item, _plain_path(below, item.who.lms))
    beside.say()


def _plain_path(parts, lms):
    """A path that every system can write; Canvas' -2 would keep a module from being imported."""
    parts = [re.sub(r'[<>:"|?*\\/]', "_", part).rstrip(" .") or "_" for part in parts]
    if lms == "canvas":
        parts[-1] = re.sub(r"-\d+(?=\.py$)", "", parts[-1])
    return tuple(parts)


class _Beside:
    """Writes files into a folder, up to a bound, none over another."""

    def __init__(self, folder, notes):
        self.folder, self.notes, self.room = folder, notes, BYTES
        self.files, self.folders, self.left_out = {(f"{folder.name}.ipynb".casefold(),)}, set(), 0

    def put(self, item, parts):
        """Writes one file, or notes why not."""
        key = tuple(part.casefold() for part in parts)
        above = {key[:i] for i in range(1, len(key))}
        if key in self.files | self.folders or above & self.files:
            self.notes.append(f"{'/'.join(parts)} was left out: another file has this name")
        elif len(self.files) > FILES or item.entry.size > self.room:
            self.left_out += 1
        elif key == ("timestamp.txt",) and not _is_timestamp(item):
            self.notes.append("timestamp.txt was left out: nbgrader writes this file itself")
        elif self._written(item, parts):
            self.files.add(key)
            self.folders |= above

    def say(self):
        """Notes how much was too much."""
        if self.left_out:
            most = f"{FILES} files of {BYTES // MB} MB together"
            self.notes.append(f"{self.left_out} files were left out: {most} are kept")

    def _written(self, item, parts):
        path = self.folder.joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with writing(path) as part, open(part, "wb") as file:
                for chunk in item.entry.chunks(self.room):
                    self.room -= file.write(chunk)
        except Unreadable as reason:
            self.notes.append(f"{parts[-1]} {reason}")
            return False
        except OSError as error:
            if error.errno in FULL:
                raise
            self.notes.append(f"{parts[-1]} was left out ({error.strerror})")
            return False
        return True


def _is_timestamp(item):
    """Whether a student's timestamp.txt is nbgrader's: a date, in the course's own layout."""
    try:
        return not item.who.lms and bool(TIMESTAMP.fullmatch(item.entry.read(100)))
    except Unreadable:
        return False
