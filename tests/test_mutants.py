"""The measure of the tests' strength: what is drawn, what is run, how it is summed up. No tool and no network."""

import ast
import json
import sys

import mutants
import pytest
from drift import Refused, Unreachable

from coursekit.imports import reached

FOUND = {"decoding.py": {"a": 1, "b": 0, "c": None}, "lstm.py": {"d": 36, "e": 33, "f": 1}}


def names(**counts):
    return {file: [f"{file}.{number}" for number in range(count)] for file, count in counts.items()}


def test_files_are_drawn_in_proportion_and_the_same_again():
    made = names(large=6000, empty=0, middle=1000, small=300)
    drawn = mutants.sample(made, 365, seed=0)
    counts = [sum(one.startswith(file) for one in drawn) for file in made]
    assert len(set(drawn)) == 365 and counts == [300, 0, 50, 15]
    assert drawn == mutants.sample(made, 365, seed=0) != mutants.sample(made, 365, seed=1)


def test_every_mutant_may_be_drawn_and_all_are_where_they_are_few():
    made = names(a=9, b=4)
    drawn = {one for seed in range(200) for one in mutants.sample(made, 3, seed)}
    assert drawn == set(mutants.sample(made, 99, seed=0)) == {*made["a"], *made["b"]}


@pytest.mark.parametrize(
    "caught, tried, low, high",
    # With all caught the lower end is n / (n + z²); 80 of 100 is the common example
    [(10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (80, 100, 0.7112, 0.8666)],
)
def test_the_interval_is_wilsons(caught, tried, low, high):
    assert mutants.interval(caught, tried) == pytest.approx((low, high), abs=1e-4)


def test_the_summary_counts_what_was_tried():
    lines, share = mutants.summary(FOUND)
    assert [line.split() for line in lines[1:4]] == [
        ["decoding.py", "2", "1", "0", "1"],
        ["lstm.py", "3", "2", "1", "1"],
        ["all", "5", "3", "1", "2"],
    ]
    assert share == pytest.approx(0.6) and "60.0% caught (95 % interval 23.1% to 88.2%)" in lines[4]
    assert mutants.summary({"a.py": {"x": None}}) == (["No mutant was tried."], 0.0)


def test_decorators_move_below_their_functions():
    source = """\
@first(1)
@second
def f(x):
    return x


class C:
    @property
    def p(self):
        return 1

    @classmethod
    def make(cls):
        @kept
        def inner(): ...
"""
    moved = mutants.bare(source)
    assert ast.unparse(ast.parse(moved)) == ast.unparse(
        ast.parse("""\
def f(x):
    return x
f = second(f)
f = first(1)(f)
class C:
    def p(self):
        return 1
    p = property(p)
    @classmethod
    def make(cls):
        @kept
        def inner(): ...
""")
    )
    assert mutants.bare(moved) == moved


def test_every_mutated_module_is_met_by_the_tests():
    met = reached(*(mutants.ROOT / name for name in mutants.TESTS))
    own = {path for pattern in mutants.MUTATED for path in mutants.ROOT.glob(pattern)}
    assert len(own) > 30 and {path for path in own if path.name != "__init__.py"} <= met


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A root with one module of each kind, and the tree that is made of it."""
    for name, text in [
        ("coursekit/models/a.py", "@d\ndef f(): ...\n"),
        ("coursekit/text.py", "@d\ndef f(): ...\n"),
        ("tests/test_a.py", ""),
    ]:
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    monkeypatch.setattr(mutants, "ROOT", tmp_path / "root")
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


def test_the_copy_keeps_the_time_of_what_has_not_changed(tree):
    mutants.copy(tree)
    assert (tree / "coursekit/models/a.py").read_text() == "def f(): ...\nf = d(f)\n"
    assert (tree / "coursekit/text.py").read_text() == "@d\ndef f(): ...\n"
    kept = {path: path.stat().st_mtime_ns for path in tree.rglob("*.py")}
    (mutants.ROOT / "coursekit" / "text.py").write_text("x = 1\n")
    mutants.copy(tree)
    changed = {path.name for path in kept if path.stat().st_mtime_ns != kept[path]}
    assert len(kept) == 3 and changed == {"text.py"}
    assert "    coursekit/decoding.py\n" in (tree / "setup.cfg").read_text()


STANDIN = """#!{python}
import json, sys
from pathlib import Path
kept = Path("mutants/coursekit/decoding.py.meta")
codes = json.loads(kept.read_text())["exit_code_by_key"]
with open("calls.txt", "a") as calls:
    print(*sys.argv[1:], file=calls)
if sys.argv[1] == "run":
    codes |= {{name: int(name == "x1") for name in sys.argv[4:]}}
    kept.write_text(json.dumps({{"exit_code_by_key": codes}}))
"""


def test_only_what_is_left_is_tried(tree, monkeypatch, capfd):
    program = tree / "bin"
    kept = tree / "tree" / "mutants" / "coursekit" / "decoding.py.meta"
    for folder in (program, kept.parent):
        folder.mkdir(parents=True)
    kept.write_text(json.dumps({"exit_code_by_key": {"x1": None, "x2": None, "x3": 1, "x4": 0}}))
    for name in ("python", "mutmut"):
        (program / name).write_text(STANDIN.format(python=sys.executable))
        (program / name).chmod(0o755)
    monkeypatch.setattr(mutants, "PLACE", tree)
    monkeypatch.setattr(mutants, "install", lambda: program)
    assert mutants.main([]) == 1
    assert "50.0% caught" in capfd.readouterr().out
    assert mutants.main(["--again"]) == 1
    calls = (tree / "tree" / "calls.txt").read_text().splitlines()
    assert [one for one in calls if not one.startswith("-c ")] == [
        "run --max-children 1 x1 x2", "show x2", "show x4", "run --max-children 1 x2 x4", "show x2", "show x4",
    ]  # fmt: skip


@pytest.mark.parametrize("error, code", [(Unreachable("no index"), 3), (Refused("no set"), 1)])
def test_without_the_tool_nothing_is_said(monkeypatch, capsys, error, code):
    def install():
        raise error

    monkeypatch.setattr(mutants, "install", install)
    assert mutants.main([]) == code
    assert "NOT MEASURED" in capsys.readouterr().err
