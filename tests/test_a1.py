"""Assignment a1: every answer of its bank gets the marks and the words that it should.

To stay quick, an answer is run with those cells alone that its tests depend on. Here and behind the channel it is
compared in test_channel_checks.py.
"""

import pytest
from bank_tests import Assignment, label

from coursekit.grading import bank

bank.PRELOAD.append("torch._dynamo")  # the first optimizer of a process imports it, 1.6 s each time
A1 = Assignment("a1_show_and_tell")
# Where one of these is wrong, the course's own stand in for it: what follows need not be trained to see that
PARTS = {"captioner", "masked_loss"}
STANDS_IN = dict(
    cell_type="code",
    metadata={"nbgrader": dict(grade=True, solution=False, grade_id="stands_in", points=1)},
    source="assert Model is not Captioner and loss_fn is caption_loss",
)


def touched_by(question):
    """The graded cells that an answer to a question can touch, and that need be run to see it."""
    touched = {key for key in A1.points if question in A1.needed(key)}
    own = {key for key in touched if key.startswith(question)}
    return own if question in PARTS else touched


def notebook_for(question):
    """The cells that an answer can touch; where the course's parts may stand in for it, with a test of that."""
    kept = A1.needed(*touched_by(question))
    if question not in PARTS:
        return A1.only(kept)
    return A1.only(kept | PARTS | {"captioner_layers", "parts"}, STANDS_IN)


def drags(entry):
    """Whether an answer costs points in other questions too."""
    return any(key.rpartition("_")[0] != entry.question for key in entry.loses)


@pytest.mark.parametrize("entry", A1.wrong, ids=label)
def test_a_wrong_answer_loses_its_points_and_no_others(entry):
    A1.wrong_answer_loses(entry, A1.notebook if drags(entry) else notebook_for(entry.question))


@pytest.mark.parametrize("entry", A1.right, ids=label)
def test_a_right_answer_written_otherwise_gets_full_marks(entry):
    _, messages = A1.marks({entry.question: entry.source}, notebook_for(entry.question))
    messages.pop("stands_in", None)  # it is used itself, as it should
    assert not messages


def test_the_bank_is_large_enough():
    A1.bank_is_large(100, 16)


def test_the_model_answer_gets_full_marks():
    A1.model_answer_is_full()


def test_a_wrong_captioner_does_not_cost_the_training():
    wrong = next(entry for entry in A1.wrong if entry.question == "captioner")
    _, messages = A1.marks({wrong.question: wrong.source})
    assert set(messages) == set(wrong.loses)


def test_a_blank_notebook_gets_nothing_and_says_so(tmp_path):
    A1.blank_gets_nothing(tmp_path)


def test_points_are_those_of_the_table():
    A1.points_are_told({9: 4.0})
