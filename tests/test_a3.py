"""Assignment a3: every answer of its bank gets the marks and the words that it should, here and behind the channel.

To stay quick, an answer is run with those cells alone that the tests of its question depend on, and a language model
reads its captions once for all answers about training.
"""

import contextlib
import io

import numpy as np
import pytest
import torch
from bank_tests import Assignment, label

from coursekit.checks import CheckFailed, a3, a3_attention, a3_merge, a3_prefix

A3 = Assignment("a3_prefix_captioner")
GIVEN = ["setup", "settings", "imports"]
LAYERS = ["language_layers", "mapper_layers", "captioner_layers"]
PARTS = ["language", "mapper", "join", "labels", "frozen"]
OTHERS = [entry for entry in A3.wrong if entry.question != "train"]
OTHERS_RIGHT = [entry for entry in A3.right if entry.question != "train"]


@pytest.mark.parametrize("entry", OTHERS, ids=label)
def test_a_wrong_answer_loses_its_points_and_says_why(entry):
    A3.wrong_answer_loses(entry, A3.sliced(A3.tests_of(entry.question)))


@pytest.mark.parametrize("entry", OTHERS_RIGHT, ids=label)
def test_a_right_answer_written_otherwise_gets_full_marks(entry):
    notebook = A3.sliced(A3.tests_of(entry.question))
    assert not A3.marks({entry.question: entry.source}, notebook)[1]


def test_the_bank_is_large_enough():
    A3.bank_is_large(180, 22)


def test_points_are_those_of_the_table():
    A3.points_are_told({10: 4.0})


def test_the_model_answer_gets_full_marks():
    A3.model_answer_is_full()


def test_a_blank_notebook_gets_nothing_and_says_so(tmp_path):
    A3.blank_gets_nothing(tmp_path)


# --- training -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def threads():
    """The imports of the notebook keep to one thread; the tests after these need not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def ready(threads):
    """The notebook as far as question 9, with model answers: the language model has read its documents."""
    before = {*GIVEN, *LAYERS, *PARTS, "pictures", "text_training", "parts"}
    return A3.space([key for key in A3.cells if key in before])


def quietly(source, space):
    with contextlib.redirect_stdout(io.StringIO()):
        exec(source, space)


def after_training(source, ready):
    """The verdicts of question 9 on an answer: {test: (passed, what it says)}."""
    space = dict(ready)
    exec(source, space)
    quietly(A3.cells["training_run"], space)
    return {test: A3.verdict(test, space) for test in A3.tests_of("train")}


@pytest.mark.parametrize("entry", [one for one in A3.wrong if one.question == "train"], ids=label)
def test_a_wrong_training_loses_its_points_and_says_why(entry, ready):
    found = after_training(entry.source, ready)
    lost = {test: A3.points[test] for test, (passed, _) in found.items() if not passed}
    said = "\n".join(text for passed, text in found.values() if not passed)
    assert lost == entry.loses and entry.message in said, said
    assert all("expected" in text and "got" in text for _, text in found.values()), said


@pytest.mark.parametrize("entry", [one for one in A3.right if one.question == "train"], ids=label)
def test_a_right_training_written_otherwise_gets_full_marks(entry, ready):
    for passed, said in after_training(entry.source, ready).values():
        assert passed, said


def test_training_leaves_the_language_model_as_it_was(ready):
    space, language = dict(ready, training=ready["training"] | dict(epochs=1)), ready["language"]
    before = {name: part.clone() for name, part in language.state_dict().items()}
    for key in ("train", "training_run"):
        quietly(A3.cells[key], space)
    assert space["trained"].language is language
    assert all(torch.equal(part, before[name]) for name, part in language.state_dict().items())


def test_the_courses_parts_stand_in_for_wrong_ones():
    """Wrong parts cost their own points, and the training none."""
    names = {"positions-from-0", "relu", "no-types", "every-eos-skipped", "only-once"}
    wrong = [entry for entry in A3.wrong if entry.name in names]
    assert len(wrong) == len(names)
    stands_in = dict(
        cell_type="code",
        metadata={"nbgrader": dict(grade=True, solution=False, grade_id="stands_in", points=1)},
        source="assert not own_language and new_captioner is CourseCaptioner and labels_of is course_labels",
    )
    notebook = A3.only(A3.needed("train_open") | {"training_run"}, stands_in)
    assert not A3.marks({entry.question: entry.source for entry in wrong}, notebook)[1]


# --- behind the channel -------------------------------------------------------------------------
@pytest.fixture(scope="module")
def own(threads):
    """The examiner's own names: the cells that it runs too, once."""
    return A3.space([*GIVEN, *LAYERS])


# Those that the channel could see otherwise: arguments that change, what the student keeps, gradients, errors
TOLD = {
    "in-place", "pairs-as-text", "pattern-without-escape", "minus-infinity", "shares-detached", "through-numpy",
    "scales-q-in-place", "past-changed", "remembered-in-the-model", "past-not-used", "no-gradient", "no-mask-with-a-past",
    "types-in-place", "ends-detached", "ends-for-one-picture", "floats", "head-learns", "encoder-in-training-mode",
    "mask-in-place", "minus-a-hundred", "integers", "x-in-place", "keys-and-values-stacked", "inner-detached", "int32",
    "train-returns-nothing", "copies-to-the-optimizer", "no-grad", "mapper-detached", "own-learning-rate",
}  # fmt: skip


@pytest.mark.parametrize("entry", [one for one in OTHERS if one.name in TOLD], ids=label)
def test_a_wrong_answer_is_told_the_same_behind_the_channel(entry, own):
    test = f"{entry.question}_open"
    (far,) = A3.there(entry.source, [test], own, [*GIVEN, *LAYERS])
    assert not far[0] and A3.here(entry.source, test, own) == far


@pytest.mark.parametrize("entry", OTHERS_RIGHT, ids=label)
def test_a_right_answer_passes_behind_the_channel(entry, own):
    tests = A3.tests_of(entry.question)
    for passed, said in A3.there(entry.source, tests, own, [*GIVEN, *LAYERS]):
        assert passed, said


# --- the checks themselves ----------------------------------------------------------------------
def test_the_row_of_join_can_be_read():
    """Each sum of a place's parts has a name of its own."""
    prefix, words, ends, types = (part.numpy() for part in a3_prefix.GIVEN)
    name = a3_prefix._name
    assert name(prefix[0, 1] + types[0], 0) == "prefix 1 + type 0"
    assert name(prefix[2, 1] + types[0], 0) == "prefix 1 of picture 2 + type 0"
    assert name(words[1, 3] + types[0] + types[1], 1) == "word 3 + both types"
    assert name(ends[0], 2) == "<picture>" and name(ends[0] + ends[1], 2) == "both ends"
    assert name(np.zeros(3), 0) == "nothing" and name(types[1], 0) == "type 1"
    assert name(words[0, 0][::-1], 0) == "a mixture"


def test_the_words_of_merge_tell_mistakes_apart():
    told = [tuple(each) for each, _ in a3_merge.COUNTED]
    right = tuple(a3_merge.COUNTS[pair] for pair in a3_merge.TELLING)
    assert len({right, *told}) == len(told) + 1
    became = {word for _, after in a3_merge.MERGED for word in after}
    assert not became & set(a3_merge.BECAME)


@pytest.mark.parametrize(("T", "S"), [(3, 0), (1, 4), (5, 2)])
def test_a_mask_of_lists_arrays_or_tensors_is_looked_at_alike(T, S, capsys):
    rows = [[column <= S + row for column in range(S + T)] for row in range(T)]
    check = a3.on_other_data(a3.mask, dict(masks=[(T, S, rows)]))
    for form in (list, np.array, torch.tensor):
        assert check(lambda T, S, form=form: form(rows))
    with pytest.raises(CheckFailed, match="float32"):
        check.require(lambda T, S: torch.tensor(rows).float())
    with pytest.raises(CheckFailed, match="expected"):
        check.require(lambda T, S: [[not one for one in row] for row in rows])
    capsys.readouterr()


def test_attention_of_the_open_test_is_that_of_torch():
    q, k, v = a3_attention.parts(**a3_attention.SIZES, key=2.0)
    parts = [one.unflatten(-1, (3, 2)).transpose(1, 2) for one in (q, k, v)]
    mask = torch.tensor(a3_attention.MASK, dtype=torch.bool)
    found = torch.nn.functional.scaled_dot_product_attention(*parts, mask)
    expected = torch.tensor(a3_attention.OUT)
    assert torch.allclose(found.transpose(1, 2).flatten(2), expected, atol=1e-4)
