"""The Markdown pages of the book: those of this folder, filled in, and the guides of the repository.

Every page lies in .build/site/source where its file lies in the repository, so that relative links keep
their meaning; a link to what is no page of the book leads to the repository on GitHub.
"""

import importlib
import json
import posixpath
import re
from pathlib import Path

import curves
import jinja2
import lessons

from coursekit import doors, notebooks
from coursekit.errors import CourseError

HERE = Path(__file__).resolve().parent
# Where the sections of README.md are shown
SECTIONS = {
    "Student": "student.md",
    "Instructor": "instructor.md",
    "Self-study reader": "reader.md",
    "What it needs": "student.md",
    "How well it does": "results.md",
    "Licences": "index.md",
}
# Files that are shown by a page of another name
SHOWN = {"docs/results.md": "results.md"}
CODE = re.compile(r"^ *(```|~~~).*?^ *\1|`[^`\n]+`", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PICTURE = re.compile(r"<!-- picture:.*?-->\s*(!\[[^\]]*\]\([^)]+\))", re.S)


def laid_out(book):
    """{path below .build/site: bytes} of everything that Sphinx reads, and of the pictures beside it."""
    files = {}
    for lesson in book.built:
        files |= lessons.page(book, lesson)
    for name in guides(book.root):
        text = (book.root / name).read_text(encoding="utf-8")
        text = curves.with_plots(linked(book, text, name, files), name, book.root, files)
        files |= _page(name, text)
    strict = dict(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    fill = jinja2.Environment(**strict)
    known = dict(book=book, guides=guides(book.root), assignments=assignments(book))
    known |= dict(results=results(book), picture=_picture(book, files))
    known |= dict(readme=lambda title: section(book, title, files))
    for path in sorted(HERE.glob("*.md")):
        text = fill.from_string(path.read_text(encoding="utf-8")).render(known)
        files |= _page(path.name, text)
    return files


def guides(root):
    """The Markdown files of the repository that are pages as they are."""
    found = sorted(path.relative_to(root).as_posix() for path in (root / "docs").glob("*.md"))
    return [name for name in found if name not in SHOWN] + ["CONTRIBUTING.md"]


def _page(name, text):
    return {f"source/{name}": text.rstrip("\n").encode() + b"\n"}


def section(book, title, files):
    """What README.md says below `## title`, its headings one level up, its links leading on from a page."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", book.readme, re.M | re.S)
    if not found or title not in SECTIONS:
        raise CourseError(f"README.md has no section '{title}': name it in site/pages.py anew.")
    text = _outside_code(found[1], lambda part: re.sub(r"^#(#+ )", r"\1", part, flags=re.M))
    return linked(book, text, "README.md", files, SECTIONS[title])


def _picture(book, files):
    """README's picture of what the model says; "" without one."""
    found = PICTURE.search(book.readme)
    return linked(book, found[1], "README.md", files, "index.md") if found else ""


def linked(book, text, source, files, shown=None):
    """Markdown with its relative links made for the book; pictures that it shows are added to `files`.

    source: the file that the text comes from.  shown: the page that shows it, default the same.
    """

    def leads(match):
        return f"]({_target(book, match[1], source, files, shown or source)})"

    return _outside_code(text, lambda part: LINK.sub(leads, lessons.BADGE.sub("", part)))


def _outside_code(text, change):
    """Text with `change` made to all that lies outside code."""
    done, start = [], 0
    for code in CODE.finditer(text):
        done += [change(text[start : code.start()]), code[0]]
        start = code.end()
    return "".join([*done, change(text[start:])])


def _target(book, target, source, files, shown):
    """Where a link of `source` leads in the book."""
    if re.match(r"[a-z]+:", target):
        return target
    path, _, anchor = target.partition("#")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path)) if path else source
    if path == "README.md":
        return _in_readme(book, anchor, shown)
    path = SHOWN.get(path, path)
    if path not in SHOWN.values() and not (book.root / path).exists():
        raise CourseError(f"{source} links to {target}, which is not there: mend the link.")
    if Path(path).suffix == ".png":
        files[f"source/{path}"] = (book.root / path).read_bytes()
    elif path not in _sources(book):
        return lessons.address(book, path)
    return _from(shown, path) + (f"#{anchor}" if anchor else "")


def _sources(book):
    """Files of the repository that are pages of the book, or are shown by one."""
    executed = (f"{lesson.page}.ipynb" for lesson in book.built)
    return {*guides(book.root), *SHOWN.values(), *executed}


def _in_readme(book, anchor, shown):
    """Where a section of README.md is in the book."""
    title, page = None, "index.md"
    for level, heading in re.findall(r"^(##+) (.+)$", book.readme, re.M):
        title = heading if level == "##" else title
        if _slug(heading) == anchor:
            page = SECTIONS.get(title, "index.md")
            return f"{_from(shown, page)}#{anchor}"
    return _from(shown, page)


def _slug(heading):
    """A heading's anchor, as GitHub and MyST make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _from(page, path):
    return posixpath.relpath(path, posixpath.dirname(page) or ".")


def assignments(book):
    """(name, title, links as HTML) of every assignment that students get."""
    found = []
    for path in sorted((book.root / "assignments").glob("*/*.ipynb")):
        if path.stem == path.parent.name:
            title = notebooks.load(path)["cells"][0]["source"].partition("\n")[0]
            links = lessons.launch(book, f"assignments/{path.stem}/{path.name}")
            found.append((path.stem, title.lstrip("# "), links))
    return found


def results(book):
    """The page of results without its title; lessons that are in the book are links.

    From course/ledger.json; where there is none, from what `make course` has found on this machine.
    """
    known = doors.ledger(book.root) or _own(book)
    text = importlib.import_module("coursekit.results").page(known).partition("\n")[2]
    for lesson in book.built:
        text = text.replace(f"| {lesson.name} |", f"| [{lesson.name}]({lesson.page}.ipynb) |")
    return re.sub(r"^## ", "### ", text, flags=re.M).strip("\n")


def _own(book):
    """The record of `make course` in the form of the ledger."""
    try:
        rows = json.loads((book.root / ".build/course/ledger.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    found = {}
    for key, row in sorted(rows.items()):
        size, _, name = key.partition("/")
        if row["run"]["ok"]:
            found.setdefault(size, {})[name] = row["run"]
    return {"this machine": found} if found else {}
