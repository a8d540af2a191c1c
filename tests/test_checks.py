"""The one form of every check."""

import numpy as np
import pytest
import torch

from coursekit.checks import CheckFailed, Wrong, exercise, expect_close, expect_equal, expect_shape


@exercise("double")
def double(answer):
    expect_close(
        answer(torch.tensor([1.0, 2.0])), [2.0, 4.0], "twice x", mistakes=[([1.0, 4.0], "squared")]
    )


def right(x):
    return 2 * x


def test_a_right_answer(capsys):
    assert double(right)
    double.require(right)
    assert capsys.readouterr().out == "✓ double\n✓ double\n"


@pytest.mark.parametrize(
    "form", [np.array, list, tuple, torch.tensor, lambda v: torch.tensor(v).double()]
)
def test_any_form_of_numbers_will_do(form):
    assert double(lambda x: form([2.0, 4.0]))


def test_a_wrong_answer_has_three_lines_and_the_likely_cause(capsys):
    assert not double(lambda x: x**2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "✗ double" and lines[3] == "  likely    squared"
    assert lines[1] == "  expected  twice x at [0] = 2 (to 1e-05)"
    assert lines[2] == "  got       1, the largest difference is 1"


def test_not_written_is_a_verdict_of_its_own(capsys):
    def stub(x):
        raise NotImplementedError("write me")

    assert not double(stub)
    assert capsys.readouterr().out == "○ double: not written yet\n"
    with pytest.raises(CheckFailed, match="not written yet"):
        double.require(stub)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: None, "does not return its result"),
        (lambda x: "two", "tensor of numbers|str"),
        (lambda x: x[:1] * 2, r"shape \(1,\)"),
        (lambda x: x / 0, "nan or inf"),
        (lambda x: x.undefined, "AttributeError.*undefined"),
        (lambda: 1, "TypeError"),
    ],
)
def test_what_students_return(answer, words):
    with pytest.raises(CheckFailed, match=words):
        double.require(answer)


def test_a_failed_check_shows_the_verdict_and_no_traceback():
    with pytest.raises(CheckFailed) as caught:
        double.require(lambda x: x)
    assert caught.value._render_traceback_()[0] == "✗ double"
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_cell_that_ends_with_a_check_shows_nothing_more(capsys):
    verdict = double(right)
    verdict._ipython_display_()
    assert capsys.readouterr().out == "✓ double\n"


def test_expect_equal():
    expect_equal(torch.tensor([1, 2]), [1, 2], "ids")
    expect_equal(([1], (2, 3)), [[1], [2, 3]], "ids")
    with pytest.raises(Wrong) as caught:
        expect_equal([2, 1], [1, 2], "ids", mistakes=[([2, 1], "reversed")])
    assert (caught.value.got, caught.value.likely) == ("[2, 1]", "reversed")
    with pytest.raises(Wrong, match="None"):
        expect_equal(None, [1], "ids")


def test_expect_shape():
    assert expect_shape(torch.zeros(2, 3), (2, 3), "x").shape == (2, 3)
    with pytest.raises(Wrong, match=r"shape \(3, 2\)"):
        expect_shape(torch.zeros(3, 2), (2, 3), "x")
