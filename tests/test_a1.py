"""Assignment a1: every answer of its bank gets the marks and the words that it should.

To stay quick, an answer is run with those cells alone that its tests depend on, found by the names they use.
"""

import json
import symtable
from pathlib import Path

import pytest

from coursekit import notebooks
from coursekit.grading import bank, release
from coursekit.grading.engine import variables

ROOT = Path(__file__).resolve().parents[1]
NAME = "a1_show_and_tell"
bank.PRELOAD.append("torch._dynamo")  # the first optimizer of a process imports it, 1.6 s each time
WRONG, RIGHT = bank.load_bank(NAME, ROOT)
NOTEBOOK = json.loads(notebooks.notebook_json(ROOT / "solutions" / f"{NAME}.py"))
for _cell in NOTEBOOK["cells"]:
    _cell["source"] = "".join(_cell["source"])
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
ALWAYS = {"setup", "settings", "imports"}
# Where one of these is wrong, the course's own stand in for it: what follows need not be trained to see that
PARTS = {"captioner", "masked_loss"}
STANDS_IN = dict(
    cell_type="code",
    metadata={"nbgrader": dict(grade=True, solution=False, grade_id="stands_in", points=1)},
    source="assert Model is not Captioner and loss_fn is caption_loss",
)


def names(source):
    """The global names that a cell defines, and those that it uses."""
    made, used, tables = set(), set(), [symtable.symtable(source, "cell", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            outermost = table.get_type() == "module"
            if outermost and (symbol.is_assigned() or symbol.is_imported()):
                made.add(symbol.get_name())
            if symbol.is_referenced() and (outermost or symbol.is_global()):
                used.add(symbol.get_name())
    return made, used


MADE, USED = zip(*(names(cell["source"]) for cell in CODE), strict=True)


def needed(key):
    """The grade_ids of the cells that a cell depends on, itself included."""
    ids = [notebooks.grade_id(cell) for cell in CODE]
    todo, found = [ids.index(key)], set()
    while todo:
        at = todo.pop()
        found.add(at)
        todo += [i for i in range(at) if MADE[i] & USED[at] and i not in found]
    return {ids[i] for i in found}


def touched_by(question):
    """The graded cells that an answer to a question can touch, and those that need not be run to see it."""
    touched = {key for key in bank.points(NOTEBOOK) if question in needed(key)}
    own = {key for key in touched if key.startswith(question)}
    return own if question in PARTS else touched


def sliced(keys, *more):
    """The notebook with only the cells that some tests need."""
    kept = ALWAYS.union(*map(needed, keys))
    return dict(NOTEBOOK, cells=[c for c in CODE if notebooks.grade_id(c) in kept] + list(more))


def marks(entry, everywhere=False):
    """Points and messages of a bank's answer, where it can touch them."""
    notebook = NOTEBOOK if everywhere else sliced(touched_by(entry.question))
    if entry.question in PARTS and not everywhere:
        parts = next(cell for cell in CODE if notebooks.grade_id(cell) == "parts")
        others = [c for c in CODE if notebooks.grade_id(c) in PARTS | {"captioner_layers"}]
        cells = [*notebook["cells"], *(c for c in others if c not in notebook["cells"]), parts]
        order = {id(cell): place for place, cell in enumerate(CODE)}
        notebook["cells"] = [*sorted(cells, key=lambda cell: order[id(cell)]), STANDS_IN]
    with variables(COURSEKIT_SIZE="smoke", OMP_NUM_THREADS="1"):
        return bank.marks(notebook, {entry.question: entry.source})


def label(entry):
    return f"{entry.question}-{entry.name}"


def drags(entry):
    """Whether an answer costs points in other questions too."""
    return any(key.rpartition("_")[0] != entry.question for key in entry.loses)


@pytest.mark.parametrize("entry", WRONG, ids=label)
def test_a_wrong_answer_loses_its_points_and_no_others(entry):
    got, messages = marks(entry, everywhere=drags(entry))
    full = bank.points(NOTEBOOK) | {"stands_in": 1.0}
    assert {key: full[key] - got[key] for key in got if got[key] < full[key]} == entry.loses, (
        messages
    )
    verdict = "\n".join(messages.values())
    assert entry.message in verdict
    assert all("expected" in text and "got" in text for text in messages.values()), verdict


@pytest.mark.parametrize("entry", RIGHT, ids=label)
def test_a_right_answer_written_otherwise_gets_full_marks(entry):
    got, messages = marks(entry)
    messages.pop("stands_in", None)  # it is used itself, as it should
    assert not messages


def test_the_bank_is_large_enough():
    assert len(WRONG) >= 28 and len(RIGHT) >= 6
    assert len({label(entry) for entry in WRONG + RIGHT}) == len(WRONG + RIGHT)
    questions = {key.rpartition("_")[0] for key in bank.points(NOTEBOOK)}
    assert {entry.question for entry in WRONG} == {entry.question for entry in RIGHT} == questions


def test_the_model_answer_gets_full_marks():
    with variables(COURSEKIT_SIZE="smoke", OMP_NUM_THREADS="1"):
        assert bank.marks(NOTEBOOK, {}) == (bank.points(NOTEBOOK), {})


def test_a_wrong_captioner_does_not_cost_the_training():
    wrong = next(entry for entry in WRONG if entry.question == "captioner")
    with variables(COURSEKIT_SIZE="smoke", OMP_NUM_THREADS="1"):
        _, messages = bank.marks(NOTEBOOK, {wrong.question: wrong.source})
    assert set(messages) == set(wrong.loses)


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
    questions = list(dict.fromkeys(key.rpartition("_")[0] for key in full))
    for number, question in enumerate(questions, 1):
        assert told.pop(number) == sum(p for key, p in full.items() if key.startswith(question))
    assert told == {9: 4.0}
