"""Executed lessons as pages of the book: launch links in place of doors, pictures as files of their own."""

import base64
import functools
import hashlib
import html
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from coursekit import doors, notebooks
from coursekit.errors import CourseError

ROW = re.compile(r"^\| \[(\d\d) \w+\]\(course/(\w+)\.ipynb\) \| (.+?) \| (.+?) \|$", re.M)
PICTURE = re.compile(r'<img alt="([^"]*)" style="([^"]*)" src="data:image/png;base64,([^"]+)">')
BADGE = re.compile(r"^\[!\[.*\n?", re.M)
MEASURED = re.compile(r"^\*Size `.*\*$", re.M)
DOORS = {"door", "end"}


@dataclass
class Lesson:
    """A row of README's table of lessons, and the path of its executed notebook, None where there is none."""

    number: str
    name: str
    question: str
    time: str
    path: Path | None = None

    @property
    def page(self):
        return f"course/{self.name}"


class Book:
    """What the pages are made of: the course's folder, its lessons, and which of them were executed."""

    def __init__(self, root, executed, size):
        self.root, self.size, self.broken = root, size, []
        self.repository = doors.repository(root) or "YOUR_ACCOUNT/coursekit"
        self.readme = (root / "README.md").read_text(encoding="utf-8")
        self.lessons = [Lesson(*row) for row in ROW.findall(self.readme)]
        if not self.lessons:
            raise CourseError(
                "README.md has no table of lessons: the book takes their order from it."
            )
        for lesson in self.lessons:
            lesson.path = self._executed(executed / f"{lesson.name}.ipynb")
        self.built = [lesson for lesson in self.lessons if lesson.path]
        if not self.built:
            raise CourseError(
                f"There is no executed lesson in {executed}: run `make course SIZE={size}` first."
            )

    def _executed(self, path):
        """The path of a notebook that was executed to its end, None for one that is missing or broke off."""
        if not path.is_file():
            return None
        code = [cell for cell in notebooks.load(path)["cells"] if cell["cell_type"] == "code"]
        faults = [o for cell in code for o in cell["outputs"] if o["output_type"] == "error"]
        if not faults and all(cell["execution_count"] for cell in code if cell["source"]):
            return path
        self.broken.append(path.stem)
        return None

    @functools.cached_property
    def changed(self):
        """Names of lessons whose text has changed since they were executed."""
        return [each.name for each in self.built if self._sources(each.path) != self._text(each)]

    def _text(self, lesson):
        return self._sources(self.root / "course" / f"{lesson.name}.ipynb")

    @staticmethod
    def _sources(path):
        return [cell["source"] for cell in cells(path)] if path.is_file() else None

    def missing(self):
        """What the book lacks, a sentence each."""
        absent = [each.number for each in self.lessons if not each.path]
        make = f"make course SIZE={self.size} LESSONS="
        told = []
        if self.broken:
            told.append(
                f"Left out, because they did not run to their end: {', '.join(self.broken)}."
            )
        if absent:
            told.append(f'Not in this book, because not executed: lessons {", ".join(absent)}; `{make}"{" ".join(absent)}"` makes them.')  # fmt: skip
        if self.changed:
            numbers = [name[:2] for name in self.changed]
            told.append(f'Shown as they were before their text changed: lessons {", ".join(numbers)}; `{make}"{" ".join(numbers)}"` brings them up to date.')  # fmt: skip
        return told


def cells(path):
    """A notebook's cells without doors, and its title without badges and figures."""
    kept = [cell for cell in notebooks.load(path)["cells"] if not _is_door(cell)]
    if kept and kept[0]["cell_type"] == "markdown":
        bare = MEASURED.sub("", BADGE.sub("", kept[0]["source"]))
        kept[0]["source"] = re.sub(r"\n{3,}", "\n\n", bare).strip()
    return kept


def _is_door(cell):
    return bool(DOORS & set(cell["metadata"].get("tags", [])))


def page(book, lesson):
    """{path: bytes} of a lesson: its notebook for Sphinx, and its pictures."""
    kept, pictures = cells(lesson.path), {}
    kept[0]["source"] = _headed(book, lesson, kept[0]["source"])
    for cell in kept:
        for output in cell.get("outputs", []):
            if shown := output.get("data", {}).get("text/html"):
                output["data"] = {"text/html": _outside("".join(shown), pictures)}
    whole = dict(cells=kept, metadata=notebooks.KERNEL, nbformat=4, nbformat_minor=5)
    return {f"source/{lesson.page}.ipynb": notebooks.dump(whole).encode()} | pictures


def _headed(book, lesson, source):
    """A title cell with the ways to run the lesson below its heading, and its figures at its end."""
    heading, _, text = source.partition("\n")
    figures = doors.measured(book.root, lesson.name)
    return "\n\n".join(
        part for part in (heading, launch(book, f"{lesson.page}.ipynb", lesson.time), text.strip("\n"), figures) if part
    )  # fmt: skip


def launch(book, path, time=""):
    """HTML: how long a notebook takes, and links that open it elsewhere; path: in the repository."""
    links = doors.links(book.root, path) | {"Source": address(book, path)}
    anchors = [f'<a href="{html.escape(to)}">{html.escape(name)}</a>' for name, to in links.items()]
    clock = [f"<span>{html.escape(time)}</span>"] if time else []
    return f'<p class="launch">{" ".join([*clock, *anchors])}</p>'


def address(book, path):
    """Where a file or folder of the repository is on GitHub."""
    kind = "tree" if (book.root / path).is_dir() else "blob"
    return f"https://github.com/{book.repository}/{kind}/HEAD/{path}"


def _outside(shown, pictures):
    """An output's HTML with each picture as a file, which is added to `pictures`."""

    def moved(match):
        alt, style, data = match.groups()
        png = base64.b64decode(data)
        name = f"{hashlib.sha256(png).hexdigest()[:16]}.png"
        pictures[f"static/figures/{name}"] = png
        wide, high = struct.unpack(">II", png[16:24])
        size = f'width="{wide}" height="{high}" loading="lazy"'
        place = f"../_static/figures/{name}"  # a link as well: on a phone one wants to look closer
        return f'<a href="{place}"><img alt="{alt}" style="{style}" {size} src="{place}"></a>'

    return PICTURE.sub(moved, shown)
