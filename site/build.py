"""Builds the book: the lessons with their outputs and the guides, as pages that need no network.

`make site` takes what `make course` left in .build/course/SIZE. Everything that Sphinx reads is laid out
in .build/site/source first, a file being written only where it changed; so a second build reads only what
changed. The pages are in .build/site/html.
"""

import argparse
import importlib.util
import shutil
import sys
from pathlib import Path

import lessons
import pages

from coursekit import doors, notebooks
from coursekit.errors import CourseError, full_disk_told, writing

HERE = Path(__file__).resolve().parent
SIZES = ("smoke", "cpu", "gpu")
# Of MathJax's 24 MB: what a page with formulas loads, TeX in and HTML out
MATHJAX = "sphinx-mathjax-offline"
MATHJAX_FILES = (
    "startup.js",
    "core.js",
    "input/tex-base.js",
    "input/tex/extensions/ams.js",
    "output/chtml.js",
    "output/chtml/fonts/tex.js",
    "output/chtml/fonts/woff-v2/*.woff",
    "a11y/assistive-mml.js",
)
UNREAD = ("_static/**/*.map", "_static/**/*macros.html", "_static/scripts/fontawesome.js")


def build(root, size="cpu", executed=None, out=None):
    """Builds the site of the course in `root`; returns (folder of the pages, sentences on what is not in it).

    executed: the folder of executed notebooks, default .build/course/SIZE.  out: default .build/site.
    Raises CourseError if no lesson was executed, a package is missing, or Sphinx warns of anything.
    """
    root = Path(root).resolve()
    out = Path(out or root / ".build" / "site").resolve()
    book = lessons.Book(root, Path(executed or root / ".build" / "course" / size), size)
    files = pages.laid_out(book) | {f"static/mathjax/{name}": data for name, data in _mathjax()}
    before = _names(out / "source")
    changed = _lay(files, out)
    if before != _names(out / "source"):  # or pages that are gone would stay
        for made in ("html", "doctrees"):
            shutil.rmtree(out / made, ignore_errors=True)
    _sphinx(out, changed)
    _tidy(out)
    return out / "html", [*book.missing(), *_address(root)]


def _mathjax():
    found = importlib.util.find_spec(MATHJAX)
    if not found:
        raise CourseError(f"There is no {MATHJAX} here: install the extra `site` (make env does).")
    folder = Path(found.origin).parent / "static" / "mathjax"
    for pattern in MATHJAX_FILES:
        for path in sorted(folder.glob(pattern)):
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _names(folder):
    return {path.relative_to(folder) for path in folder.rglob("*.*") if path.is_file()}


def _lay(files, out):
    """Makes out/source and out/static hold exactly `files` ({path: bytes}); whether anything had to be written.

    What is equal stays untouched.
    """
    changed = False
    for folder in (out / "source", out / "static"):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.relative_to(out).as_posix() not in files:
                path.unlink()
    for name, data in files.items():
        target = out / name
        if not (target.is_file() and target.read_bytes() == data):
            changed = True
            with writing(target) as part:
                part.write_bytes(data)
    return changed


def _sphinx(out, changed):
    """Runs Sphinx over out/source into out/html; where something changed, every page is written: all show its title."""
    try:
        from sphinx.cmd.build import build_main
    except ImportError as error:
        raise CourseError(
            "There is no Sphinx here: install the extra `site` (make env does)."
        ) from error
    # Made anew each time: slimmed sheets are refused as a place to copy to, and old pictures would stay
    shutil.rmtree(out / "html" / "_static", ignore_errors=True)
    sides = ["-c", HERE, "-d", out / "doctrees", out / "source", out / "html"]
    how = ["-q", "-W", *(["-a"] if changed else []), "-b", "html"]
    if build_main([*how, *map(str, sides)]):
        shutil.rmtree(out / "doctrees", ignore_errors=True)  # or the next run would not warn again
        raise CourseError("The site is not finished: mend what Sphinx names above, then repeat.")


def _tidy(out):
    """Takes out of out/html what no reader's browser asks for."""
    import slim

    for pattern in UNREAD:
        for path in (out / "html").glob(pattern):
            path.unlink()
    slim.slim(out / "html")


def _address(root):
    if "_" not in (doors.repository(root) or "").partition("/")[0]:
        return []
    return [
        "Links to Colab, Binder and the repository lead nowhere yet: put your address into pyproject.toml, [tool.coursekit]."
    ]


def main(arguments=None):
    """Builds the book in .build/site/html from executed lessons. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python site/build.py", description=main.__doc__)
    parser.add_argument("--size", choices=SIZES, default="cpu", help="whose outputs to show")
    parser.add_argument("--executed", type=Path, help="folder of executed notebooks")
    parser.add_argument("--out", type=Path, help="folder to build in; default .build/site")
    options = parser.parse_args(arguments)
    try:
        with full_disk_told():
            html, told = build(notebooks.course_root(), options.size, options.executed, options.out)
    except CourseError as error:
        print(f"site: {error}", file=sys.stderr)
        return 2
    print("\n".join([*told, f"The book is in {html}: open index.html."]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
