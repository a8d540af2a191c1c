"""What the tests of every assignment ask: its bank, its points, and its tests here and behind the channel."""

import contextlib
import io
import json
import linecache
import symtable
from pathlib import Path

from test_channel import NOTEBOOK as SERVED
from test_channel import Child

from coursekit import notebooks
from coursekit.grading import bank, release
from coursekit.grading.engine import variables

ROOT = Path(__file__).resolve().parents[1]
ALWAYS = {"setup", "settings", "imports"}


def label(entry):
    return f"{entry.question}-{entry.name}"


class Assignment:
    """An assignment's notebook at size smoke, `cells` {grade_id: source} of its code, and its bank `wrong` and `right`."""

    def __init__(self, name):
        self.name = name
        self.wrong, self.right = bank.load_bank(name, ROOT)
        self.notebook = json.loads(notebooks.notebook_json(ROOT / "solutions" / f"{name}.py"))
        for cell in self.notebook["cells"]:
            cell["source"] = "".join(cell["source"])
        self.code = [cell for cell in self.notebook["cells"] if cell["cell_type"] == "code"]
        self.cells = {notebooks.grade_id(cell): cell["source"] for cell in self.code}
        self.points = bank.points(self.notebook)
        self.questions = list(dict.fromkeys(key.rpartition("_")[0] for key in self.points))
        self._made, self._used = zip(*map(_names, self.cells.values()), strict=True)

    def needed(self, *keys):
        """The grade_ids of the cells that some cells depend on, themselves included, by the names they use."""
        ids = list(self.cells)
        todo, found = [ids.index(key) for key in keys], set()
        while todo:
            at = todo.pop()
            found.add(at)
            todo += [i for i in range(at) if self._made[i] & self._used[at] and i not in found]
        return {ids[i] for i in found} | ALWAYS

    def sliced(self, keys, *more):
        """The notebook with only the cells that some tests need, and more cells after them."""
        return self.only(self.needed(*keys), *more)

    def only(self, kept, *more):
        """The notebook with only the cells of some grade_ids, and more cells after them."""
        cells = [cell for cell in self.code if notebooks.grade_id(cell) in kept]
        return dict(self.notebook, cells=[*cells, *more])

    def tests_of(self, question):
        return [f"{question}_open", f"{question}_hidden"]

    def marks(self, answers, notebook=None):
        """Points and messages where answers, {question: source}, stand in a notebook; default the whole one."""
        with variables(COURSEKIT_SIZE="smoke", OMP_NUM_THREADS="1"):
            return bank.marks(notebook or self.notebook, answers)

    def wrong_answer_loses(self, entry, notebook):
        """It loses exactly its points in the notebook, and its verdict has its message and the form of all."""
        got, messages = self.marks({entry.question: entry.source}, notebook)
        full = bank.points(notebook)
        lost = {key: full[key] - got[key] for key in got if got[key] < full[key]}
        assert lost == entry.loses, (lost, messages)
        verdict = "\n".join(messages.values())
        assert entry.message in verdict, verdict
        assert all("expected" in text and "got" in text for text in messages.values()), verdict

    def bank_is_large(self, wrong, right):
        """At least so many answers, no name twice, and some of either kind for every question."""
        both = self.wrong + self.right
        assert len(self.wrong) >= wrong and len(self.right) >= right, (
            len(self.wrong),
            len(self.right),
        )
        assert len(set(map(label, both))) == len(both)
        for entries in (self.wrong, self.right):
            assert {entry.question for entry in entries} == set(self.questions)

    def model_answer_is_full(self):
        got, messages = self.marks({})
        assert (got, messages) == (self.points, {}), messages

    def blank_gets_nothing(self, folder):
        """The notebook as students get it has no points, and each of its tests says that nothing is written."""
        path = folder / f"{self.name}.ipynb"
        path.write_bytes(release.released_files(self.name, root=ROOT)[path.name])
        got, messages = self.marks(bank.stubs(path))
        assert set(got.values()) == {0}, got
        for key, text in messages.items():
            assert text.startswith("○") and text.endswith("not written yet"), (key, text)

    def points_are_told(self, written):
        """The table at the head has the points of every question; written: {number: points} of written ones."""
        told = {}
        for row in "\n".join(cell["source"] for cell in self.notebook["cells"]).splitlines():
            columns = [column.strip() for column in row.split("|")]
            if len(columns) == 5 and columns[1].isdigit():
                told[int(columns[1])] = float(columns[3])
        for number, question in enumerate(self.questions, 1):
            full = sum(self.points[key] for key in self.tests_of(question))
            assert told.pop(number) == full, f"question {number} has {full:g} points"
        assert told == written, told

    def space(self, keys):
        """The names of some cells, run here once; they print nothing."""
        space = {"__name__": "__main__"}
        with variables(COURSEKIT_SIZE="smoke"), contextlib.redirect_stdout(io.StringIO()):
            for key in keys:
                exec(self.cells[key], space)
        return space

    def verdict(self, test, space):
        """Whether a test passes, and what it says."""
        said, passed = io.StringIO(), True
        with contextlib.redirect_stdout(said):
            try:
                exec(compile(self.cells[test], "<test>", "exec"), space)
            except Exception as error:  # CheckFailed, or the kernel's end while a name is fetched
                print(error)
                passed = False
        return passed, said.getvalue()

    def here(self, source, test, own):
        """The verdict of a test on an answer that runs in this process; own: the examiner's names."""
        linecache.cache["<cell>"] = (len(source), None, source.splitlines(keepends=True), "<cell>")
        space = dict(own)
        exec(compile(source, "<cell>", "exec"), space)
        return self.verdict(test, space)

    def there(self, source, tests, own, given, seconds=60.0):
        """The verdicts of tests on an answer in another process, which runs the cells `given` before it."""
        before = "\n".join(self.cells[key] for key in given)
        script = f"import torch\nspace = {{'__name__': '__main__'}}\nexec({before!r}, space)\n"
        script += SERVED.replace("space = dict(torch=torch, nn=torch.nn)\n", "")
        with variables(COURSEKIT_SIZE="smoke", OMP_NUM_THREADS="1"):
            child = Child(script, source, seconds=seconds)
        try:
            return [self.verdict(test, Names(own, child.near)) for test in tests]
        finally:
            child.end()


class Names(dict):
    """The names of the examiner's own cells, then those of the student's answer."""

    def __init__(self, own, near):
        super().__init__(own)
        self.near = near

    def __missing__(self, name):
        if not self.near.has(name):
            raise KeyError(name)
        return self.near.get(name)


def _names(source):
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
