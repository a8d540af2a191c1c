"""How a reader gets in: the address of the published course, and the cells that the builder adds to every notebook.

A title gets badges and what the notebook took by the ledger; after it comes a cell that installs the course where it is
missing, and at the end one that tells how far the reader is. Texts hold none of these, so an address or a figure is
changed in one place.
"""

import json
import tomllib
from pathlib import Path

LEDGER = "course/ledger.json"
COLAB = "https://colab.research.google.com/github/{repository}/blob/HEAD/{path}"
BINDER = "https://mybinder.org/v2/gh/{repository}/HEAD?urlpath=lab/tree/{path}"
BADGES = (
    ("Open in Colab", "https://colab.research.google.com/assets/colab-badge.svg", COLAB),
    ("Launch Binder", "https://mybinder.org/badge_logo.svg", BINDER),
)
# The package's own extras are left out: on Colab they would replace the ipython that runs
INSTALL = """\
from importlib.util import find_spec
if not find_spec("coursekit"):  # as on Colab
    get_ipython().run_line_magic("pip", "install -q git+https://github.com/{repository}")"""
END = """\
from coursekit import progress

progress.show()  # which exercises pass, over the whole course, and the next step"""
GRADED = ", with a sample class of three graded,"
LOCKED = dict(grade=False, locked=True, schema_version=3, solution=False, task=False)


def repository(root):
    """The course's place on GitHub, "ACCOUNT/NAME", from `[tool.coursekit]` of pyproject.toml; None where there is none."""
    try:
        told = tomllib.loads((Path(root) / "pyproject.toml").read_text(encoding="utf-8"))
        return told["tool"]["coursekit"]["repository"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return None


def links(root, path):
    """Where a notebook opens, {"Open in Colab": address, …}; path: from the course's folder, of what readers get."""
    where = dict(repository=repository(root), path=path)
    return {name: address.format(**where) for name, _, address in BADGES}


def with_doors(cells, root, name, assignment):
    """A notebook's cells (dicts without ids), and those for coming in and going out; the same where no address is known.

    name: "01_recurrent…" or "a1_…", whose figures stand in the ledger; assignment: whether nbgrader reads it.
    """
    if not (address := repository(root)):
        return cells
    path = f"assignments/{name}/{name}.ipynb" if assignment else f"course/{name}.ipynb"
    title, *rest = cells
    ways = [_way(*each, plain=assignment) for each in links(root, path).items()]
    ways = (" · " if assignment else " ").join(ways)
    figures = measured(root, name, GRADED if assignment else "")
    title = dict(title, source=_titled(title["source"], ways, figures))
    doors = [_code(INSTALL.format(repository=address), "door", assignment), _code(END, "end", assignment)]  # fmt: skip
    return [title, doors[0], *rest, doors[1]]


def _way(name, address, plain):
    """A badge that leads to an address; as words where `plain`: feedback shows no picture that a network has to bring."""
    image = next(image for each, image, _ in BADGES if each == name)
    return f"[{name}]({address})" if plain else f"[![{name}]({image})]({address})"


def _titled(source, ways, figures):
    """A title cell with the ways in below its heading and the figures at its end."""
    heading, _, text = source.partition("\n")
    return "\n\n".join(part for part in (heading, ways, text.strip("\n"), figures) if part)


def measured(root, name, work=""):
    """What the ledger knows of a notebook, as a sentence for each size; "" for nothing. `work`: what else was done."""
    rows = ledger(root)
    told = [
        f"Size `{size}`{work} took {_minutes(row['seconds'])} and {row['peak_mb'] / 1000:.1f} GB of memory on {machine}."
        for machine, sizes in rows.items()
        for size, notebooks in sizes.items()
        if size != "smoke" and (row := notebooks.get(name))
    ]
    return f"*{' '.join(told)}*" if told else ""


def ledger(root):
    """The ledger that comes with the course: {machine: {size: {notebook: {"seconds", "peak_mb", "scores"}}}}."""
    try:
        return json.loads((Path(root) / LEDGER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _minutes(seconds):
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds"


def _code(source, key, assignment):
    about = {"nbgrader": LOCKED | {"grade_id": key}} if assignment else {"tags": [key]}
    return dict(cell_type="code", metadata=about, source=source, execution_count=None, outputs=[])
