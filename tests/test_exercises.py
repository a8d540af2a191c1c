"""Every exercise of every lesson: its solution passes, its stub is not written yet, it has hints."""

import re
from types import SimpleNamespace

import pytest
import torch
from lesson_solutions import cell_of, checks_of, exercises, solutions, text_of, verdict

EVERY = pytest.mark.parametrize("number, name", exercises())


@EVERY
def test_the_lessons_own_solution_passes(number, name, capsys):
    check = checks_of(number)[name]
    assert verdict(capsys, check, solutions(number)[name]) == (True, f"✓ {name}\n")


@EVERY
def test_the_cell_as_it_is_given_out_says_not_written_yet(number, name, capsys):
    # The import of the checks stands in the cell of a lesson's first exercise only
    known = {"torch": torch, "check": SimpleNamespace(**checks_of(number))}
    exec(cell_of(number, name).partition("\n")[2], known)
    assert capsys.readouterr().out == f"○ {name}: not written yet\n"


@EVERY
def test_an_exercise_has_a_head_line_and_hints_before_its_solution(number, name):
    text, cell = text_of(number), cell_of(number, name)
    before, _, after = text.partition(cell)
    assert re.search(
        r"\*difficulty \d/5 · importance \d/5 · \d+ minutes\*",
        before[before.rindex("### Exercise") :],
    )
    assert after[: after.index("<summary>Solution")].count("<summary>Hint") >= 2
