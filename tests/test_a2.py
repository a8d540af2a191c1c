"""Assignment a2: every answer of its bank gets the marks and the words that it should, here and behind the channel.

To stay quick, an answer is run with those cells alone that the tests of its question depend on.
"""

import numpy as np
import pytest
import torch
from bank_tests import ROOT, Assignment, label

from coursekit.checks import CheckFailed, Wrong, a2, a2_causal, a2_common, a2_drawing, a2_search
from coursekit.errors import CourseError
from coursekit.grading import bank

A2 = Assignment("a2_decoding_and_scoring")
GIVEN = ["setup", "settings", "imports"]
# Their verdicts tell numbers that are drawn anew each time
DRAWN = {"nucleus", "describe"}


def sliced(question):
    """The notebook with only the cells that a question's tests need."""
    return A2.sliced(A2.tests_of(question))


@pytest.mark.parametrize("entry", A2.wrong, ids=label)
def test_a_wrong_answer_loses_its_points_and_says_why(entry):
    A2.wrong_answer_loses(entry, sliced(entry.question))


@pytest.mark.parametrize("entry", A2.right, ids=label)
def test_a_right_answer_written_otherwise_gets_full_marks(entry):
    assert not A2.marks({entry.question: entry.source}, sliced(entry.question))[1]


def test_the_bank_is_large_enough():
    A2.bank_is_large(230, 24)


def test_a_change_that_does_not_fit_the_model_answer_is_refused():
    answers = bank.Answers(ROOT / "solutions" / f"{A2.name}_bank.py")
    assert "SOLUTION" not in answers.model("rank")
    with pytest.raises(CourseError, match="stands 0 times in the answer to rank"):
        answers.wrong("rank", "none", ("no such text", ""), message="")
    assert not answers.WRONG


def test_the_model_answer_gets_full_marks():
    A2.model_answer_is_full()


def test_the_courses_search_stands_in_for_a_wrong_one():
    wrong = next(entry for entry in A2.wrong if entry.name == "stops-at-the-first-end")
    stands_in = dict(
        cell_type="code",
        metadata={"nbgrader": dict(grade=True, solution=False, grade_id="stands_in", points=1)},
        source="assert search is course_search",
    )
    notebook = A2.sliced(["describe_open"], stands_in)
    assert not A2.marks({wrong.question: wrong.source}, notebook)[1]
    assert set(A2.marks({}, notebook)[1]) == {"stands_in"}


def test_a_blank_notebook_gets_nothing_and_says_so(tmp_path):
    A2.blank_gets_nothing(tmp_path)


def test_points_are_those_of_the_table():
    A2.points_are_told({11: 4.0})


# --- behind the channel -------------------------------------------------------------------------
@pytest.fixture(scope="module")
def own():
    """The examiner's own names: given cells and the pictures, run once."""
    threads = torch.get_num_threads()
    yield A2.space([*GIVEN, "pictures"])
    torch.set_num_threads(threads)


def prepared(entry):
    """The source of the student's kernel: the answer, with what the question needs beside it."""
    search = [A2.cells["beam_search"], "search = beam_search"]
    return "\n".join([entry.source, *(search if entry.question == "describe" else [])])


# Those that the channel could see otherwise: arguments that change, lent things misused, errors
TOLD = {
    "half-of-the-state-reordered", "state-not-kept", "never-stops", "each-row-alone", "only-tokens", "token-is-the-place",
    "in-place", "changes-the-logits", "words-removed", "sorts-the-lists", "adds-into-the-first-row", "adds-keys",
    "strings-as-keys", "unknown-crashes", "gradient-cut", "h-detached", "tokens-in-place", "beyond-the-vocabulary",
    "always-true", "logits-as-they-are", "dropout-on", "all-pictures-at-once", "backwards", "calls-an-unwritten-question-5",
    "empty-crashes", "adds-keys-to-the-frequency", "zero-by-zero", "no-batch-axis", "old-state", "pairs-of-tokens-and-score",
    "energies-returned", "an-axis-of-one-is-left", "largest-rise-alone",
}  # fmt: skip


@pytest.mark.parametrize("entry", [one for one in A2.wrong if one.name in TOLD], ids=label)
def test_a_wrong_answer_is_told_the_same_behind_the_channel(entry, own):
    source, test = prepared(entry), f"{entry.question}_open"
    local, (far,) = A2.here(source, test, own), A2.there(source, [test], own, GIVEN)
    assert not local[0] and not far[0]
    if entry.question not in DRAWN:
        assert local == far


@pytest.mark.parametrize("entry", A2.right, ids=label)
def test_a_right_answer_passes_behind_the_channel(entry, own):
    tests = A2.tests_of(entry.question)
    for passed, said in A2.there(prepared(entry), tests, own, GIVEN):
        assert passed, said


# --- the things that are lent -------------------------------------------------------------------
def test_a_tree_says_the_same_of_the_same_words():
    tree = a2.Tree(5, V=7)
    says, state = tree(torch.tensor([1]), tree.state)
    again, _ = tree(torch.tensor([1]), tree.state)
    assert torch.equal(says, again) and says.exp().sum() == pytest.approx(1, abs=1e-5)
    longer, _ = tree(torch.tensor([4, 3]), tuple(part[[0, 0]] for part in state))
    assert torch.allclose(longer[1], torch.tensor(tree.says((1, 3))).float())
    assert tree.score([3, 2]) == pytest.approx(tree.says((1,))[3] + tree.says((1, 3))[2])


@pytest.mark.parametrize(
    ("tokens", "state", "words"),
    [
        ([1, 1], lambda s: s, "tokens for the 1 rows"),
        ([1.0], lambda s: s, "integer type"),
        ([9], lambda s: s, "below V = 8"),
        ([1], lambda s: s[0], "two tensors"),
        ([1], lambda s: (s[0] + 50, s[1] + 50), "that step has returned"),
        ([1], lambda s: (s[0], s[1] + 1), "belong together"),
        ([1], lambda s: None, "two tensors"),
    ],
)
def test_a_tree_says_what_is_wrong_with_its_input(tokens, state, words):
    tree = a2.Tree(5)
    with pytest.raises(Wrong, match=words):
        tree(torch.tensor(tokens), state(tree.state))


def test_the_open_test_expects_scores_that_its_trees_give():
    for search in a2_search.SEARCHES:
        tree = a2.Tree(**search["tree"])
        whole = len(search["tokens"]) < search["max_len"]
        ended = [*search["tokens"], *([tree.eos_id] if whole else [])]
        assert tree.score(ended) == pytest.approx(search["score"], abs=1e-5)


@pytest.mark.parametrize(
    ("looks", "first", "moved"),
    [
        (a2_causal.past, 0, []),
        (lambda t, T: range(T), 0, [0, 1, 2]),
        (a2_causal._leak(1, 3), 0, [1]),
    ],
)
def test_a_decoder_leaks_where_it_is_told_to(looks, first, moved):
    model = a2_causal.Decoder(looks)
    tokens = torch.tensor([[1, 2, 3, 4]])
    other = tokens.clone()
    other[0, 3] = 5
    change = (
        (model(torch.zeros(1, 2, 2), tokens) - model(torch.zeros(1, 2, 2), other)).abs().amax(-1)
    )
    assert [t for t in range(3) if change[0, t] > 1e-4] == moved
    prefix = model(torch.zeros(1, 2, 2), tokens[:, :3])
    assert prefix.shape == (1, 3, model.V)


@pytest.mark.parametrize(("strength", "way"), [(1.0, 1), (-1.0, -1)])
def test_a_decoder_with_a_quiet_token_moves_its_logits_one_way(strength, way):
    model = a2_causal.Decoder(a2_causal._leak(0, 2), row=1, quiet=5, strength=strength)
    before = model(torch.zeros(2, 1, 1), torch.tensor([[1, 2, 5], [1, 2, 5]]))
    for other in {*range(model.V)} - {5}:
        after = model(torch.zeros(2, 1, 1), torch.tensor([[1, 2, other], [1, 2, other]]))
        moved = way * (after - before)[:, :2]
        assert (moved[1, 0] > 0.1).all() and not moved[0].any() and not moved[1, 1].any()


def test_a_centred_decoder_leaves_the_mean_of_its_logits():
    model = a2_causal.Decoder(lambda t, T: range(T), centred=True)
    before, after = (model(torch.zeros(1, 1, 1), torch.tensor([[1, 2, n]]))[0, :2] for n in (3, 7))
    assert (after - before).abs().max() > 0.1
    assert torch.allclose(after.mean(-1), before.mean(-1), atol=1e-6)


def test_a_mistake_is_likely_only_if_it_explains_all_numbers():
    mistakes = [([1, 3], "one"), ([2, 3], "two")]
    with pytest.raises(Wrong, match="b = 4, got 3") as caught:
        a2_common.expect_all([1, 3], [1, 4], ["a", "b"], 0, mistakes, "else")
    assert caught.value.likely == "one"
    with pytest.raises(Wrong, match=r"a = 1 \(to 0.1\), got nan") as caught:
        a2_common.expect_all([float("nan"), 3], [1, 4], ["a", "b"], 0.1, mistakes, "else")
    assert caught.value.likely == "else"
    a2_common.expect_all([1.05, 3.95], [1, 4], ["a", "b"], 0.1, mistakes)


@pytest.mark.parametrize("form", [float, np.float64, torch.tensor, np.array])
def test_one_number_is_taken_in_any_form(form):
    a2_common.expect_number(form(0.5), 0.5, "it", 1e-6)
    with pytest.raises(Wrong) as caught:
        a2_common.expect_number(form(0.25), 0.5, "it", 1e-6, mistakes=[(0.25, "half of it")])
    assert (caught.value.got, caught.value.likely) == ("0.25", "half of it")
    with pytest.raises(Wrong, match="shape"):
        a2_common.expect_number([0.5], 0.5, "it", 1e-6)


def test_drawn_captions_are_strings_with_something_in_common():
    told, each = a2.drawn_captions(np.random.default_rng(3), 30)
    assert all(4 <= len(one.split()) <= 13 for one in told) and all(len(one) == 3 for one in each)
    shared = [
        len(set(one.split()) & set(" ".join(refs).split()))
        for one, refs in zip(told, each, strict=True)
    ]
    assert sum(shared) / 30 > 3


def test_one_verdict_for_several_sets_of_data(capsys):
    def rank(finished, alpha):
        return sorted(finished, key=lambda one: one[1] / (len(one[0]) + 1) ** alpha, reverse=True)

    options = dict(finished=[([3], -1.0), ([], -2.0)], orders={0.0: ([0, 1], [])})
    assert a2.on_other_data(a2.rank, options, options)(rank)
    assert capsys.readouterr().out == "✓ rank, on other data\n"
    options["orders"] = {0.0: ([1, 0], [])}
    with pytest.raises(CheckFailed, match="rank, on other data"):
        a2.on_other_data(a2.rank, {}, options).require(rank)


def test_right_draws_pass_a_bound_that_is_far_from_them():
    """Once in ten million is allowed to fail: two hundred that pass show that it is not once in a hundred."""
    for _ in range(200):
        a2_drawing._drawn(lambda q: torch.multinomial(q, 1)[:, 0], a2_drawing.LOGITS, 300)
