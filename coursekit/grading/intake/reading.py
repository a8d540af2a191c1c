"""Reads a notebook file, whatever is in it: a clean notebook with notes, or one plain sentence."""

import copy
import json
import math
import re

from coursekit.errors import CourseError
from coursekit.notebooks import KERNEL, quick_import

MB = 1 << 20
LARGEST = 200 * MB  # bytes of a notebook, outputs included
# JSON's pieces, numbers and brackets: each takes up to 200 bytes of memory once it is read
PIECES = 10_000_000
CELLS = 20_000
PICTURE, PICTURES = 5 * MB, 20 * MB  # of one pasted picture, and of all, in base64
# What nbgrader says of a cell, so that its own reader finds nothing that it does not know
MARKS = {"grade_id", "grade", "locked", "solution", "task", "points", "checksum", "cell_type"}
MARKS |= {"schema_version"}
OTHER_FILES = {b"%PDF": "a PDF", b"PK\x03\x04": "a zip archive or an office document"}
CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class NotANotebook(CourseError):
    """A file in which no notebook can be found; the text says what it is instead."""


class TooLarge(NotANotebook):
    """A notebook beyond what is read at all, in nearly every case because of its outputs."""


def read_notebook(raw):
    """(notebook, notes) of a file's bytes, or of a notebook as a dict.

    The notebook is plain dicts in nbformat 4.5: every source one string, no outputs, of metadata
    only nbgrader's, and pasted pictures of bounded size.  notes: what had to be mended, in short
    sentences.  Raises NotANotebook; nothing else, whatever `raw` holds.
    """
    notes = []
    data = raw if isinstance(raw, dict) else _parsed(raw, notes)
    cells = _cells(data, notes)
    if len(cells) > CELLS:
        notes.append(f"of {len(cells):,} cells only the first {CELLS:,} were read")
        cells = cells[:CELLS]
    _say_kernel(data, notes)
    reader = _Cells(notes)
    made = [reader.clean(cell) for cell in cells if isinstance(cell, dict)]
    reader.say(len(cells) - len(made))
    return dict(cells=made, metadata=copy.deepcopy(KERNEL), nbformat=4, nbformat_minor=5), notes


# --- from bytes to JSON -------------------------------------------------------------------------


def _parsed(raw, notes):
    """The JSON in `raw`, a dict."""
    if len(raw) > LARGEST:
        size = f"{math.ceil(len(raw) / MB)} MB, more than {LARGEST // MB} MB"
        raise TooLarge(f"The notebook has {size}: clear its outputs and save it again.")
    text = _decoded(raw, notes)
    if not text.strip("\0 \n\r\t"):
        raise NotANotebook("The file is empty: hand in the notebook again.")
    if sum(text.count(mark) for mark in "[{,") > PIECES:
        raise TooLarge("The notebook holds too many pieces: clear its outputs and save it again.")
    try:
        data = json.loads(text, parse_int=_whole)
    except RecursionError as error:
        raise NotANotebook("The file is nested too deep: save it from Jupyter again.") from error
    except ValueError as error:
        raise NotANotebook(f"The file is {_instead(raw)}: save it from Jupyter again.") from error
    if not isinstance(data, dict):
        raise NotANotebook("The file is JSON but no notebook: save it from Jupyter again.")
    return data


def _decoded(raw, notes):
    encoding = json.detect_encoding(raw)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        notes.append("the file was not UTF-8; it was read as Windows-1252, letters may be wrong")
        return raw.decode("cp1252", "replace")
    if encoding == "utf-8-sig":
        notes.append("the file began with a byte order mark, which was left out")
    elif encoding != "utf-8":
        notes.append(f"the file was saved as {encoding.upper()[:6]}; it was read all the same")
    return text


def _whole(digits):
    return int(digits) if len(digits) < 20 else float(digits)  # int refuses thousands of digits


def _instead(raw):
    """What a file is that is not JSON."""
    start = raw.lstrip(b"\xef\xbb\xbf \r\n\t")[:4]
    if start in OTHER_FILES:
        return f"{OTHER_FILES[start]} and no notebook"
    if start[:1] == b"<":
        return "a merge conflict" if start == b"<<<<" else "a web page and no notebook"
    return "no notebook, because it is not whole JSON"


# --- from JSON to cells -------------------------------------------------------------------------


def _cells(data, notes):
    """The cells of a notebook of any version, still as they came."""
    if "cells" not in data and isinstance(data.get("worksheets"), list):
        notes.append("the notebook was in an old format; it was brought to format 4")
        return _upgraded(data["worksheets"])
    cells = data.get("cells")
    if not isinstance(cells, list):
        raise NotANotebook("The file is JSON but no notebook: save it from Jupyter again.")
    if "nbformat" not in data:
        if not any(isinstance(cell, dict) and "cell_type" in cell for cell in cells):
            raise NotANotebook("The file is JSON but no notebook: save it from Jupyter again.")
        notes.append("the notebook did not say its format; it was read as format 4")
    elif data["nbformat"] != 4:
        notes.append("the notebook named another format; it was read as format 4")
    return cells


def _upgraded(worksheets):
    """Cells of format 2 or 3 in format 4."""
    with quick_import():
        from nbformat.notebooknode import from_dict
        from nbformat.v4 import upgrade
    old = []
    for sheet in worksheets:
        cells = sheet.get("cells") if isinstance(sheet, dict) else None
        old += [_old(cell) for cell in cells or [] if isinstance(cell, dict)]
    notebook = dict(metadata={}, nbformat=3, nbformat_minor=0, worksheets=[dict(cells=old)])
    return upgrade(from_dict(notebook), 3, 0)["cells"]


def _old(cell):
    """A cell of format 3 with nothing in it that `upgrade` trips over."""
    kind = cell.get("cell_type")
    kept = dict(cell_type=kind if kind in ("code", "heading", "raw") else "markdown")
    marks = cell.get("metadata")
    kept["metadata"] = {"nbgrader": _marks(marks)} if isinstance(marks, dict) else {}
    text, _ = _source(cell.get("input" if kind == "code" else "source", ""))
    if kind == "code":
        return kept | dict(input=text, language="python", outputs=[], collapsed=False)
    level = cell.get("level")
    return kept | dict(source=text, level=level if level in range(1, 7) else 1)


def _say_kernel(data, notes):
    told = data.get("metadata")
    told = told.get("kernelspec") if isinstance(told, dict) else None
    language = told.get("language") if isinstance(told, dict) else None
    if isinstance(language, str) and not language.lower().startswith(("python", "ipython")):
        notes.append("the notebook asked for another language; Python was used")


# --- one cell -----------------------------------------------------------------------------------


def _marks(metadata):
    """nbgrader's marks in a cell's metadata that can be marks, or {}."""
    told = metadata.get("nbgrader")
    told = told if isinstance(told, dict) else {}
    kept = {key: told[key] for key in MARKS & told.keys()}
    plain = {key: value for key, value in kept.items() if type(value) in (str, bool, int, float)}
    whole = isinstance(plain.get("grade_id"), str) and math.isfinite(_number(plain.get("points")))
    return plain if whole else {}


def _number(value):
    return value if type(value) in (int, float) else 0


def _source(value):
    """(a cell's source as one string that can be saved, whether it had to be mended)."""
    if isinstance(value, list):
        text = "".join(one for one in value if isinstance(one, str))
        odd = not all(isinstance(one, str) for one in value)
    else:
        text, odd = (value, False) if isinstance(value, str) else ("", value is not None)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    saved = text.encode("utf-8", "replace").decode()  # a lone half of a pair cannot be saved
    return saved, odd or saved != text


class _Cells:
    """Cleans cells, and counts what had to be left out."""

    def __init__(self, notes):
        self.notes, self.odd, self.pictures, self.room = notes, 0, 0, PICTURES
        self.used, self.number = set(), 0

    def clean(self, cell):
        """A cell with its type, id, source, nbgrader's marks and pictures; nothing else."""
        metadata = cell.get("metadata")
        marks = _marks(metadata) if isinstance(metadata, dict) else {}
        source, odd = _source(cell.get("source"))
        self.odd += odd
        made = dict(cell_type=_kind(cell), id=self._id(cell.get("id")), source=source)
        made["metadata"] = {"nbgrader": marks} if marks else {}
        if made["cell_type"] == "code":
            return made | dict(execution_count=None, outputs=[])
        pictures = self._attachments(cell.get("attachments"))
        return made | (dict(attachments=pictures) if pictures else {})

    def say(self, lost):
        """Adds to the notes what was left out; lost: how many cells were none."""
        if lost:
            self.notes.append(f"{lost} cells were no cells and were left out")
        if self.odd:
            self.notes.append(f"{self.odd} cells held what is no text; it was left out")
        if self.pictures:
            self.notes.append(f"{self.pictures} attachments were too large or no pictures")

    def _id(self, wish):
        """The cell's own id if it is one and new, else a new one."""
        good = isinstance(wish, str) and CELL_ID.fullmatch(wish) and wish not in self.used
        while not good and (wish := f"unnamed-{self.number}") in self.used:
            self.number += 1
        self.used.add(wish)
        return wish

    def _attachments(self, told):
        kept = {}
        for name, data in told.items() if isinstance(told, dict) else []:
            size = sum(map(len, data.values())) if _is_picture(data) else self.room + 1
            if size > min(PICTURE, self.room) or not isinstance(name, str):
                self.pictures += 1
                continue
            self.room -= size
            kept[name.encode("utf-8", "replace").decode()[:200]] = dict(data)
        return kept


def _is_picture(data):
    pairs = data.items() if isinstance(data, dict) else [("", "")]
    return all(
        isinstance(text, str) and text.isascii() and re.fullmatch(r"image/[\w.+-]+", str(kind))
        for kind, text in pairs
    )


def _kind(cell):
    """A cell's type; one that is none of the three is guessed."""
    kind = cell.get("cell_type")
    if kind in ("code", "markdown", "raw"):
        return kind
    if kind in ("heading", "html"):
        return "markdown"
    return "code" if "outputs" in cell or "execution_count" in cell else "raw"
