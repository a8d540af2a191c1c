"""What a lesson's text holds of its exercises: cells with stub and check, hints, solutions."""

import re
from importlib import import_module
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

COURSE = Path(__file__).resolve().parents[1] / "course"
NUMBERS = sorted(path.name[:2] for path in COURSE.glob("[0-9][0-9]_*.py"))


def text_of(number):
    """The source of a lesson; number: its two digits."""
    (path,) = COURSE.glob(f"{number}_*.py")
    return path.read_text(encoding="utf-8")


def checks_of(number):
    """The checks of a lesson's file of checks: {name: check}."""
    module = vars(import_module(f"coursekit.checks.lesson_{number}"))
    return {name: each for name, each in module.items() if hasattr(each, "exercise")}


def exercises():
    """Every exercise of every lesson: (number, name)."""
    return [(number, name) for number in NUMBERS for name in checks_of(number)]


def cell_of(number, name):
    """The cell that holds the stub `name` and its check."""
    cells = re.split(r"^# %%", text_of(number), flags=re.M)
    (cell,) = (
        each for each in cells if f"\ndef {name}(" in each and f"check.{name}({name})" in each
    )
    return cell


def solutions(number):
    """The functions of a lesson's solution blocks, by name, among what they may use."""
    text = re.sub(r"^# ?", "", text_of(number), flags=re.M)
    found = {"torch": torch, "nn": nn, "F": F}
    for block in re.findall(r"<summary>Solution</summary>\n\n```python\n(.*?)```", text, re.S):
        exec(block, found)
    return found


def verdict(capsys, check, answer):
    """Whether a check accepts an answer, and what it says."""
    passed = check(answer)
    return bool(passed), capsys.readouterr().out


def assert_named(capsys, check, answer, words):
    """The check refuses the answer in the course's one form, with `words` in the likely cause."""
    passed, said = verdict(capsys, check, answer)
    assert not passed and said.startswith(f"✗ {check.exercise}\n"), said
    assert words in said.partition("\n  likely    ")[2], said
    assert len(said.splitlines()) <= 5
