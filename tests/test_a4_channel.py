"""Assignment a4 behind the channel: an answer in another process is told the same as one in this process."""

import pytest
import torch
from bank_tests import Assignment, label

A4 = Assignment("a4_image_gpt")
# Cells that both sides run, and those of the student's side: of the imports only what answers use, for they take seconds
GIVEN = ["setup", "settings", "imports", "digits", "pixel_layers"]
SLOW = ("from coursekit", "from sklearn")
IMPORTS = [one for one in A4.cells["imports"].splitlines() if not one.startswith(SLOW)]
A4.cells["light"] = "\n".join(IMPORTS)
LENT = ["light", "pixel_layers", "small_model"]
OTHERS = [one for one in A4.wrong if one.question not in ("train", "probe")]
OTHERS_RIGHT = [one for one in A4.right if one.question not in ("train", "probe")]
# Those that the channel could see otherwise: arguments that change, what is lent, gradients, errors
TOLD = {
    "palette-images-in-place", "palette-numpy-bytes-wrap", "palette-greys-as-tokens", "model-shifted-in-place",
    "model-masked-in-place", "model-no-gradient", "model-all-positions", "model-forward-not-shifted", "bits-a-number",
    "bits-through-numpy", "bits-smoothed", "bits-axes-as-they-are", "bert-tokens-in-place", "bert-nothing-is-nan",
    "sampling-logits-in-place", "complete-in-place", "complete-start-in-front", "complete-all-places-to-choose",
    "complete-last-place", "complete-shares-to-choose", "features-the-model-itself", "features-gradients-kept", "features-dropout", "scores-labels-in-place", "scores-repeats-count-once",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def threads():
    """One thread on this side too, and as many as before for the tests after these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def own(threads):
    """The examiner's own names: the cells that it runs too, once."""
    return A4.space(GIVEN)


def test_the_names_are_those_of_answers():
    assert TOLD <= {label(one) for one in OTHERS}


@pytest.mark.parametrize("entry", [one for one in OTHERS if label(one) in TOLD], ids=label)
def test_a_wrong_answer_is_told_the_same_behind_the_channel(entry, own):
    test = f"{entry.question}_open"
    (far,) = A4.there(entry.source, [test], own, LENT)
    near = A4.here(A4.cells["small_model"] + "\n\n" + entry.source, test, own)
    assert not far[0] and without_place(near) == without_place(far)


@pytest.mark.parametrize("entry", OTHERS_RIGHT, ids=label)
def test_a_right_answer_passes_behind_the_channel(entry, own):
    tests = A4.tests_of(entry.question)
    for passed, said in A4.there(entry.source, tests, own, LENT):
        assert passed, said


def without_place(verdict):
    """A verdict without the line of the student's code, which here stands behind another cell."""
    return verdict[0], verdict[1].split(" in line ")[0]
