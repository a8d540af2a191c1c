"""Imports go down only: each file of coursekit may import what lies on lower floors."""

import ast
import sys
from pathlib import Path

import pytest

from coursekit import imports

PACKAGE = Path(imports.__file__).parent
# From the top: rooms of one floor do not know each other, and import only from the floors below.
FLOORS = [
    {"cli"},
    {"studies"},
    {"recipes", "doctor", "gallery", "pixels", "results"},
    {"ledger", "captioner"},
    {"grading", "training", "running", "progress"},
    {"datasets", "text", "palette", "models", "decoding", "metrics", "plots", "checks", "sizes"}
    | {"averages", "checkpoints", "templates"},
    {"notebooks", "imports"},
    {"verdicts", "doors", "colab"},
    {"places"},
    {"errors"},
]
GROUND = FLOORS.index(next(rooms for rooms in FLOORS if "models" in rooms))
BASE = {"", "verdicts", "colab", "places"}  # what the ground floor may import too
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path):
    """The room a file of the package belongs to; "" for the package's own __init__."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def floor(name):
    return next((level for level, rooms in enumerate(FLOORS) if name in rooms), len(FLOORS))


def faults(path, own=None):
    """Imports of a file that break the rule, as `room -> room`."""
    own = own or room(path)
    used = {room(one) for name in imports.imported(path) if (one := imports.file_of(name))}
    used -= {"", own, "errors"}
    if floor(own) == GROUND:
        return sorted(f"{own} -> {other}" for other in used - BASE)
    return sorted(f"{own} -> {other}" for other in used if floor(other) <= floor(own))


def test_every_room_has_a_floor():
    homeless = {room(path) for path in FILES} - {""} - set().union(*FLOORS)
    assert not homeless, "give these a floor in this test"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    if not room(path):
        assert not any(imports.file_of(name) for name in imports.imported(path))
        return
    assert faults(path) == []


@pytest.mark.parametrize(
    "own, line, fault",
    [
        ("models", "from coursekit import training", "models -> training"),
        ("models", "from coursekit.text import words", "models -> text"),
        ("grading", "import coursekit.training", "grading -> training"),
        ("training", "def f():\n    from coursekit.recipes import train", "training -> recipes"),
        ("recipes", "import coursekit.cli", "recipes -> cli"),
        ("errors", "from coursekit import notebooks", "errors -> notebooks"),
    ],
)
def test_an_import_upwards_or_sideways_is_found(tmp_path, monkeypatch, own, line, fault):
    """The rule above can fail: each of these lines breaks it."""
    rooms = {f"coursekit.{name}": PACKAGE / f"{name}.py" for level in FLOORS for name in level}
    monkeypatch.setattr(imports, "file_of", lambda name: rooms.get(".".join(name.split(".")[:2])))
    path = tmp_path / "written.py"
    path.write_text(line)
    assert faults(path, own) == [fault]


@pytest.mark.parametrize("path", sorted((PACKAGE / "checks").rglob("*.py")), ids=lambda p: p.name)
def test_checks_import_light(path):
    """Students' checks load with numpy and torch only."""
    allowed = {"coursekit", "torch", "numpy"}
    outside = {name.split(".")[0] for name in imports.imported(path)} - allowed
    assert outside - sys.stdlib_module_names == set()


def test_no_file_is_longer_than_350_lines():
    lengths = {path.name: len(path.read_text().splitlines()) for path in FILES}
    assert {name: count for name, count in lengths.items() if count > 350} == {}


def test_every_public_function_says_what_it_does():
    bare = []
    for path in (path for path in FILES if room(path) != "cli"):
        for node in ast.parse(path.read_text()).body:
            named = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"
            if named and not ast.get_docstring(node):
                bare.append(f"{path.relative_to(PACKAGE)}: {node.name}")
    assert bare == []
