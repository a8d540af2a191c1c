"""Assignment a2: every answer of its bank gets the marks and the words that it should, here and behind the channel.

To stay quick, an answer is run with those cells alone that the tests of its question depend on.
"""

import contextlib
import io
import json
import linecache
from pathlib import Path

import numpy as np
import pytest
import torch
from test_channel import NOTEBOOK as SERVED
from test_channel import Child

from coursekit import notebooks
from coursekit.checks import CheckFailed, Wrong, a2, a2_attention, a2_drawing, a2_search
from coursekit.grading import bank, release
from coursekit.grading.engine import variables

ROOT = Path(__file__).resolve().parents[1]
NAME = "a2_decoding_and_scoring"
WRONG, RIGHT = bank.load_bank(NAME, ROOT)
NOTEBOOK = json.loads(notebooks.notebook_json(ROOT / "solutions" / f"{NAME}.py"))
for _cell in NOTEBOOK["cells"]:
    _cell["source"] = "".join(_cell["source"])
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
CELLS = {notebooks.grade_id(cell): cell["source"] for cell in CODE}
GIVEN = ["setup", "settings", "imports"]
# A wrong search need not describe pictures: that the course's stands in for it has a test of its own
MORE = {"describe": ["beam_search", "pictures", "parts"]}
QUESTIONS = list(dict.fromkeys(key.rpartition("_")[0] for key in bank.points(NOTEBOOK)))
# Their verdicts tell numbers that are drawn anew each time
DRAWN = {"nucleus", "describe"}


def sliced(question):
    """The notebook with only the cells that a question's tests need."""
    kept = {*GIVEN, *MORE.get(question, ()), question, f"{question}_open", f"{question}_hidden"}
    return dict(NOTEBOOK, cells=[cell for cell in CODE if notebooks.grade_id(cell) in kept])


def marks(question, source):
    """Points and messages of an answer."""
    with variables(COURSEKIT_SIZE="smoke", OMP_NUM_THREADS="1"):
        return bank.marks(sliced(question), {question: source})


def label(entry):
    return f"{entry.question}-{entry.name}"


@pytest.mark.parametrize("entry", WRONG, ids=label)
def test_a_wrong_answer_loses_its_points_and_says_why(entry):
    got, messages = marks(entry.question, entry.source)
    full = bank.points(NOTEBOOK)
    assert {key: full[key] - got[key] for key in got if got[key] < full[key]} == entry.loses, (
        messages
    )
    verdict = "\n".join(messages.values())
    assert entry.message in verdict
    assert all("expected" in text and "got" in text for text in messages.values()), verdict


@pytest.mark.parametrize("entry", RIGHT, ids=label)
def test_a_right_answer_written_otherwise_gets_full_marks(entry):
    assert not marks(entry.question, entry.source)[1]


def test_the_bank_is_large_enough():
    assert len(WRONG) >= 150 and len(RIGHT) >= 18
    assert len({label(entry) for entry in WRONG + RIGHT}) == len(WRONG + RIGHT)
    asked = {entry.question for entry in WRONG}
    assert asked == {entry.question for entry in RIGHT} == set(QUESTIONS)


def test_the_model_answer_gets_full_marks():
    with variables(COURSEKIT_SIZE="smoke", OMP_NUM_THREADS="1"):
        assert bank.marks(NOTEBOOK, {}) == (bank.points(NOTEBOOK), {})


def test_the_courses_search_stands_in_for_a_wrong_one():
    wrong = next(entry for entry in WRONG if entry.name == "stops-at-the-first-end")
    cells = [
        cell for cell in sliced("describe")["cells"] if "hidden" not in notebooks.grade_id(cell)
    ]
    shown = dict(
        cell_type="code",
        metadata={"nbgrader": dict(grade=True, solution=False, grade_id="stands_in", points=1)},
        source="assert search is course_search",
    )
    with variables(COURSEKIT_SIZE="smoke", OMP_NUM_THREADS="1"):
        notebook = dict(NOTEBOOK, cells=[*cells, shown])
        assert not bank.marks(notebook, {wrong.question: wrong.source})[1]
        assert set(bank.marks(notebook, {})[1]) == {"stands_in"}


def test_a_blank_notebook_gets_nothing_and_says_so(tmp_path):
    released = release.released_files(NAME, root=ROOT)[f"{NAME}.ipynb"]
    path = tmp_path / f"{NAME}.ipynb"
    path.write_bytes(released)
    with variables(COURSEKIT_SIZE="smoke", OMP_NUM_THREADS="1"):
        got, messages = bank.marks(NOTEBOOK, bank.stubs(path))
    assert set(got.values()) == {0}
    for key, text in messages.items():
        assert text.startswith("○") and text.endswith("not written yet"), (key, text)


def test_points_are_those_of_the_table():
    told = {
        int(row.split("|")[1]): float(row.split("|")[3])
        for cell in NOTEBOOK["cells"]
        for row in cell["source"].splitlines()
        if row.count("|") == 4 and row.split("|")[1].strip().isdigit()
    }
    full = bank.points(NOTEBOOK)
    for number, question in enumerate(QUESTIONS, 1):
        assert told.pop(number) == sum(p for key, p in full.items() if key.startswith(question))
    assert told == {11: 4.0}


# --- behind the channel -------------------------------------------------------------------------
@pytest.fixture(scope="module")
def own():
    """The examiner's own names: given cells and the pictures, run once."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    space = {"__name__": "__main__"}
    with variables(COURSEKIT_SIZE="smoke"), contextlib.redirect_stdout(io.StringIO()):
        for key in [*GIVEN, "pictures"]:
            exec(CELLS[key], space)
    yield space
    torch.set_num_threads(threads)


class Names(dict):
    """The names of the examiner's own cells, then those of the student's answer."""

    def __init__(self, own, near):
        super().__init__(own)
        self.near = near

    def __missing__(self, name):
        if not self.near.has(name):
            raise KeyError(name)
        return self.near.get(name)


def verdict(entry, part, space):
    """Whether a test passes, and what it says."""
    said, passed = io.StringIO(), True
    with contextlib.redirect_stdout(said):
        try:
            exec(compile(CELLS[f"{entry.question}_{part}"], "<test>", "exec"), space)
        except Exception as error:  # CheckFailed, or the kernel's end while a name is fetched
            print(error)
            passed = False
    return passed, said.getvalue()


def prepared(entry):
    """The source of the student's kernel: the answer, with what the question needs beside it."""
    search = [CELLS["beam_search"], "search = beam_search"]
    return "\n".join([entry.source, *(search if entry.question == "describe" else [])])


def here(entry, own):
    source = prepared(entry)
    linecache.cache["<cell>"] = (len(source), None, source.splitlines(keepends=True), "<cell>")
    space = dict(own)
    exec(compile(source, "<cell>", "exec"), space)
    return verdict(entry, "open", space)


def there(entry, own, parts, seconds=60.0):
    given = "\n".join(CELLS[key] for key in GIVEN)
    before = f"import torch\nspace = {{}}\nexec({given!r}, space)\n"
    script = before + SERVED.replace("space = dict(torch=torch, nn=torch.nn)\n", "")
    with variables(COURSEKIT_SIZE="smoke", OMP_NUM_THREADS="1"):
        child = Child(script, prepared(entry), seconds=seconds)
    try:
        return [verdict(entry, part, Names(own, child.near)) for part in parts]
    finally:
        child.end()


# Those that the channel could see otherwise: arguments that change, lent things misused, errors
TOLD = {
    "half-of-the-state-reordered", "state-not-kept", "never-stops", "each-row-alone", "only-tokens", "token-is-the-place",
    "in-place", "changes-the-logits", "words-removed", "sorts-the-lists", "adds-into-the-first-row", "adds-keys",
    "strings-as-keys", "unknown-crashes", "gradient-cut", "h-detached", "tokens-in-place", "beyond-the-vocabulary",
    "always-true", "logits-as-they-are", "dropout-on", "all-pictures-at-once", "backwards",
}  # fmt: skip


@pytest.mark.parametrize("entry", [one for one in WRONG if one.name in TOLD], ids=label)
def test_a_wrong_answer_is_told_the_same_behind_the_channel(entry, own):
    local, (far,) = here(entry, own), there(entry, own, ["open"])
    assert not local[0] and not far[0]
    if entry.question not in DRAWN:
        assert local == far


@pytest.mark.parametrize("entry", RIGHT, ids=label)
def test_a_right_answer_passes_behind_the_channel(entry, own):
    for passed, said in there(entry, own, ["open", "hidden"]):
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
        (a2_attention.past, 0, []),
        (lambda t, T: range(T), 0, [0, 1, 2]),
        (a2_attention._leak(1, 3), 0, [1]),
    ],
)
def test_a_decoder_leaks_where_it_is_told_to(looks, first, moved):
    model = a2_attention.Decoder(looks)
    tokens = torch.tensor([[1, 2, 3, 4]])
    other = tokens.clone()
    other[0, 3] = 5
    change = (
        (model(torch.zeros(1, 2, 2), tokens) - model(torch.zeros(1, 2, 2), other)).abs().amax(-1)
    )
    assert [t for t in range(3) if change[0, t] > 1e-4] == moved
    prefix = model(torch.zeros(1, 2, 2), tokens[:, :3])
    assert prefix.shape == (1, 3, model.V)


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
