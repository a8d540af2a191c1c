"""The checks of assignment a1 say the same of an answer here and of one in another process.

Every answer of the bank is run twice: in this process, and in one of its own behind the channel,
with the tests here. What is passed, and every word of the verdicts, must be the same.
"""

import contextlib
import io
import json
import linecache
import random
import symtable
from pathlib import Path

import pytest
import torch
from test_channel import NOTEBOOK, Child

from coursekit import notebooks
from coursekit.checks import CheckFailed
from coursekit.grading import bank
from coursekit.grading.engine import variables

ROOT = Path(__file__).resolve().parents[1]
NAME = "a1_show_and_tell"
QUESTIONS = ["vocabulary", "padding", "lstm_step", "masked_loss", "captioner", "overfit", "greedy"]
WRONG, RIGHT = bank.load_bank(NAME, ROOT)
ANSWERS = [entry for entry in WRONG + RIGHT if entry.question in QUESTIONS]
BUILT = json.loads(notebooks.notebook_json(ROOT / "solutions" / f"{NAME}.py"))
FORM = [cell for cell in BUILT["cells"] if cell["cell_type"] == "code"]
CELLS = {notebooks.grade_id(cell): "".join(cell["source"]) for cell in FORM}
# What the student's kernel runs before an answer, and what the examiner runs himself
GIVEN = ["setup", "settings", "imports", "captioner_layers"]
bank.PRELOAD.append("torch._dynamo")  # the first optimizer of a process imports it, 1.6 s each time


class Names(dict):
    """The names of the examiner's own cells, then those of the student's answer."""

    def __init__(self, own, theirs):
        super().__init__(own)
        self.theirs = theirs

    def __missing__(self, name):
        if not self.theirs.has(name):
            raise KeyError(name)
        return self.theirs.get(name)


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


def parts(entry):
    """The tests to run: training is slow, so of its wrong answers only the hidden one, a smaller."""
    return ["hidden"] if entry.question == "overfit" and entry in WRONG else ["open", "hidden"]


def verdicts(entry, space):
    """What the open and the hidden test of a question say: (passed, text) of each."""
    found = []
    for part in parts(entry):
        said, passed = io.StringIO(), True
        with contextlib.redirect_stdout(said):
            try:
                exec(compile(CELLS[f"{entry.question}_{part}"], "<test>", "exec"), space)
            except Exception as error:  # CheckFailed, or the kernel's end while a name is fetched
                print(error)
                passed = False
        found.append((passed, said.getvalue()))
    return found


def here(entry, own):
    """The verdicts of an answer in this process."""
    lines = entry.source.splitlines(keepends=True)
    linecache.cache["<cell>"] = (len(entry.source), None, lines, "<cell>")
    space = dict(own)
    _seed()
    exec(compile(entry.source, "<cell>", "exec"), space)
    return verdicts(entry, space)


def there(entry, own, seconds=120.0):
    """The verdicts of an answer behind the channel."""
    given = "\n".join(CELLS[key] for key in GIVEN)
    before = f"import random\nspace = {{}}\nexec({given!r}, space)\nrandom.seed(0)\ntorch.manual_seed(0)\n"
    script = before + NOTEBOOK.replace("space = dict(torch=torch, nn=torch.nn)\n", "")
    with variables(COURSEKIT_SIZE="smoke", OMP_NUM_THREADS="1"):
        child = Child("import torch\n" + script, entry.source, seconds=seconds)
    try:
        _seed()
        return verdicts(entry, Names(own, child.near))
    finally:
        child.end()


def _seed():
    random.seed(0)
    torch.manual_seed(0)


@pytest.mark.parametrize("entry", ANSWERS, ids=lambda entry: f"{entry.question}-{entry.name}")
def test_a_verdict_is_the_same_behind_the_channel(entry, own):
    local, far = here(entry, own), there(entry, own)
    assert local == far
    failed = {part for part, (passed, _) in zip(parts(entry), far, strict=True) if not passed}
    lost = {key.rpartition("_")[2] for key in getattr(entry, "loses", ()) if entry.question in key}
    assert failed == lost & set(parts(entry))


TOLD = """
from coursekit.checks import a1
def nothing(): pass
def stub(): raise NotImplementedError("write me")
trained = [a1.attempt(one, returns=torch.nn.Module) for one in (nothing, stub)]
def tell_0(memory): return trained[0](memory)
def tell_1(memory): return trained[1](memory)
def tell_2(memory): return (one for one in "ab")
"""


@pytest.mark.parametrize("name", ["tell_0", "tell_1", "tell_2"])
def test_what_stands_for_a_model_that_was_not_trained_says_the_same(name, own, capsys):
    space, said = dict(torch=torch), []
    exec(TOLD, space)
    child = Child(NOTEBOOK, TOLD)
    for tell in (space[name], child.near.get(name)):
        with pytest.raises(CheckFailed) as caught:
            own["check"].captions.require(tell, torch.zeros(2, 1, 3), [["a"]] * 2, None, 0.5)
        said.append(str(caught.value))
    child.end()
    assert said[0] == said[1]


def test_the_examiners_own_cells_stand_without_the_student():
    """A name that they need and the student's cells alone make would be a hole."""
    made_by_student, made, needed = set(), set(), set()
    for cell in FORM:
        told, tags = cell["metadata"].get("nbgrader", {}), cell["metadata"].get("tags", [])
        names = symtable.symtable("".join(cell["source"]), "cell", "exec")
        if told["solution"] or "student" in tags:
            made_by_student |= {one.get_name() for one in names.get_symbols() if one.is_assigned()}
        elif not told["grade"]:
            made |= {one.get_name() for one in names.get_symbols()}
            needed |= _used(names)
    assert {"own", "Model", "loss_fn", "trained", "overfit"} <= made_by_student
    assert {"bleu_4", "BLEU_4", "gather", "remember", "new_model", "ShowAndTell"} <= made
    assert not needed & made_by_student - made


def _used(names):
    """Global names that a cell reads, in its functions too."""
    outermost = names.get_type() == "module"
    symbols = [one for one in names.get_symbols() if one.is_referenced()]
    found = {one.get_name() for one in symbols if outermost or one.is_global()}
    return found.union(*map(_used, names.get_children()))


# --- answers that would rather not be tested ----------------------------------------------------
CHEATS = {
    "a list that is equal to everything": (
        "vocabulary",
        """
class Everything(list):
    def __eq__(self, other):
        return True
    def __getitem__(self, place):
        return Everything()
def build_vocabulary(captions, min_count=1):
    return Everything()
def encode(caption, vocabulary):
    return Everything()
""",
    ),
    "a table that sorts itself": (
        "vocabulary",
        """
class Any(str):
    __hash__ = str.__hash__
    def __eq__(self, other):
        return True
    def __lt__(self, other):
        return True
def build_vocabulary(captions, min_count=1):
    return [Any("a")] * (13 if min_count == 1 else 10)
def encode(caption, vocabulary):
    return [Any("a")] * 9
""",
    ),
    "an object that says it is a tensor": (
        "padding",
        """
class Tensor:
    shape, dtype = (3, 7), torch.int64
    __class__ = torch.Tensor
    def detach(self): return self
    def cpu(self): return self
    def numpy(self): return self
    def tolist(self): return self
    def __eq__(self, other): return True
    def __iter__(self): return iter([self, self])
    def __len__(self): return 2
def pad(sequences, pad_id):
    return Tensor(), Tensor()
""",
    ),
    "the package made friendly": (
        "lstm_step",
        """
import numpy
from coursekit import checks
from coursekit.checks import a1, core
for module in (checks, a1, core):
    for name in ("expect_close", "expect_equal", "expect_shape", "_judge"):
        setattr(module, name, lambda *_, **__: (True, "✓ lstm_step"))
numpy.abs = numpy.allclose = lambda *_, **__: numpy.zeros(1)
def lstm_step(x, h, c, *weights):
    return h, c
""",
    ),
    "a loss that is overruled": (
        "overfit",
        """
from coursekit.models import lstm
lstm.caption_loss = lambda *_: torch.zeros((), requires_grad=True)
lstm.ShowAndTell.forward = lambda *_: None
def overfit(model, loss_fn, memory, tokens, pad_id, steps, learning_rate):
    tokens[:] = pad_id
    tokens[:, :2] = 1
    memory.zero_()
    for parameter in model.parameters():
        parameter.data += 1e-3
    return [4.0 * 0.97**step for step in range(steps)]
""",
    ),
    "weights that are no numbers": (
        "overfit",
        """
def overfit(model, loss_fn, memory, tokens, pad_id, steps, learning_rate):
    for parameter in model.parameters():
        parameter.data.fill_(float("nan"))
    return [float("nan")] * steps
""",
    ),
    "a look behind the model": (
        "greedy",
        """
import gc, inspect
def greedy(model, memory, bos_id, eos_id, max_len=30):
    found = [one for one in gc.get_objects() if type(one).__name__ == "ScriptedModel"]
    for one in [*found, model, *inspect.stack()]:
        for place in ("scripts", "_scripts", "__dict__"):
            scripts = getattr(one, place, None)
            if isinstance(scripts, list):
                return [row[: row.index(eos_id)] if eos_id in row else row[:max_len] for row in scripts]
    return model.scripts
""",
    ),
    "the kernel's end": (
        "greedy",
        "import os\ndef greedy(*_, **__):\n    os._exit(0)\n",
    ),
    "a check of their own": (
        "padding",
        """
class CheckFailed(AssertionError):
    pass
def pad(sequences, pad_id):
    raise CheckFailed("✓ padding")
""",
    ),
    "an exit": ("padding", "def pad(*_):\n    raise SystemExit(0)\n"),
    "a StopIteration": ("padding", "def pad(*_):\n    raise StopIteration\n"),
    "a captioner without weights": (
        "captioner",
        """
class Captioner:
    def __init__(self, **sizes): pass
    def eval(self): return self
    def named_parameters(self): return iter([])
    def load_state_dict(self, *_, **__): pass
    def __call__(self, memory, tokens):
        return self
    def __getattr__(self, name):
        return self
    def __eq__(self, other):
        return True
    def __len__(self): return 2
    def __getitem__(self, place): return self
""",
    ),
}


@pytest.mark.parametrize("name", CHEATS)
def test_what_cannot_be_solved_cannot_be_talked_away(name, own):
    question, source = CHEATS[name]
    for passed, said in there(bank_entry(question, source), own, seconds=3.0):
        assert not passed and "✓" not in said.splitlines()[0], said


def bank_entry(question, source):
    return type(RIGHT[0])("cheat", question, source)
