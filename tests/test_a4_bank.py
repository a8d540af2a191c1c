"""Assignment a4: every answer of its bank gets the marks and the words that it should.

To stay quick, an answer runs in this process, with the cells that the tests of its question depend on. The trained model
of questions 9 and 10 is one for all answers.
"""

import contextlib
import io

import pytest
import torch
from bank_tests import Assignment, label
from torch import nn

A4 = Assignment("a4_image_gpt")
LAST = ["train", "probe"]
OTHERS = [entry for entry in A4.wrong if entry.question not in LAST]
OTHERS_RIGHT = [entry for entry in A4.right if entry.question not in LAST]
# The locked cells that tests use
GIVEN = ["setup", "settings", "imports", "digits", "pixel_layers", "small_model", "tokens"]


@pytest.fixture(scope="module")
def threads():
    """The models are small: one thread for them, and as many as before for the tests after these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def given(threads):
    return A4.space(GIVEN)


def judged(entry, space):
    """The verdicts of an answer's question: {test: (passed, what it says)}."""
    own = dict(space)
    exec(compile(entry.source, "<cell>", "exec"), own)
    return {test: A4.verdict(test, own) for test in A4.tests_of(entry.question)}


def loses_and_says_why(entry, found):
    """It loses exactly its points, and its verdict has its message and the form of all."""
    lost = {test: A4.points[test] for test, (passed, _) in found.items() if not passed}
    said = "\n".join(text for passed, text in found.values() if not passed)
    assert lost == entry.loses, (lost, said)
    assert entry.message in said, said
    failed = [text for passed, text in found.values() if not passed]
    assert all("expected" in text and "got" in text for text in failed), said


@pytest.mark.parametrize("entry", OTHERS, ids=label)
def test_a_wrong_answer_loses_its_points_and_says_why(entry, given):
    loses_and_says_why(entry, judged(entry, given))


@pytest.mark.parametrize("entry", OTHERS_RIGHT, ids=label)
def test_a_right_answer_written_otherwise_gets_full_marks(entry, given):
    for passed, said in judged(entry, given).values():
        assert passed, said


# --- training and probe -------------------------------------------------------------------------
@pytest.fixture(scope="module")
def ready(threads):
    """The notebook as far as question 9, with model answers."""
    before = {*GIVEN, "model", "bits", "features", "parts"}
    return A4.space([key for key in A4.cells if key in before])


@pytest.fixture(scope="module")
def learned(ready):
    """The notebook as far as question 10: the model has learned."""
    space = dict(ready)
    for key in ("train", "training_run", "seer"):
        quietly(A4.cells[key], space)
    assert space["own_seer"]
    return space


def quietly(source, space):
    with contextlib.redirect_stdout(io.StringIO()):
        exec(source, space)


def after_training(source, ready):
    """The verdicts of question 9 on an answer: {test: (passed, what it says)}."""
    space = dict(ready)
    exec(source, space)
    quietly(A4.cells["training_run"], space)
    return {test: A4.verdict(test, space) for test in A4.tests_of("train")}


@pytest.mark.parametrize("entry", [one for one in A4.wrong if one.question == "train"], ids=label)
def test_a_wrong_training_loses_its_points_and_says_why(entry, ready):
    loses_and_says_why(entry, after_training(entry.source, ready))


@pytest.mark.parametrize("entry", [one for one in A4.right if one.question == "train"], ids=label)
def test_a_right_training_written_otherwise_gets_full_marks(entry, ready):
    for passed, said in after_training(entry.source, ready).values():
        assert passed, said


@pytest.mark.parametrize("entry", [one for one in A4.wrong if one.question == "probe"], ids=label)
def test_a_wrong_probe_loses_its_points_and_says_why(entry, learned):
    loses_and_says_why(entry, judged(entry, learned))


@pytest.mark.parametrize("entry", [one for one in A4.right if one.question == "probe"], ids=label)
def test_a_right_probe_written_otherwise_gets_full_marks(entry, learned):
    for passed, said in judged(entry, learned).values():
        assert passed, said


def test_a_model_that_looks_ahead_gets_no_points_for_its_bits(learned):
    """The check of question 9 does not take bits from a model that reads what it is to guess."""

    class Seer(nn.Module):
        def forward(self, tokens):
            return 20.0 * nn.functional.one_hot(tokens, learned["colours"])

    space = dict(learned, trained=Seer())
    passed, said = A4.verdict("train_open", space)
    assert not passed and "the model sees what it is to guess" in said
