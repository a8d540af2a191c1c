"""Puts what a student handed in back into the assignment's form.

Tests and given cells always come from the form, answers from the student, in the form's order; the
student's own cells stay after the known cell that they followed.
"""

import copy
import functools
from collections import defaultdict
from dataclasses import dataclass

from coursekit.grading.intake.form import NAMES
from coursekit.grading.intake.places import Places, defined
from coursekit.grading.intake.reading import read_notebook

OWN_CELLS = 5000  # cells of a student's own that are kept
NOTES = 40  # sentences about one notebook
STAYS = " and the changed one stays above it"
PLACEHOLDER = "# This answer stands in another cell."


@dataclass
class Repaired:
    """A notebook in the assignment's form, and what was done to it, in sentences for the teacher."""

    notebook: dict
    notes: list


def repair(raw, form):
    """Rebuilds a student's notebook in the form's order.

    raw: the file's bytes, or a notebook as a dict.  form: as `form.form` makes it.
    Returns Repaired; its notebook is plain dicts in nbformat 4.5 without outputs, and repairing it
    once more changes nothing.  Raises NotANotebook, and nothing else, if `raw` holds none.
    """
    notebook, notes = read_notebook(raw)
    places = Places(notebook["cells"], form, notes)
    places.find()
    cells = _Rebuilt(places).cells()
    metadata = copy.deepcopy(
        {key: form["metadata"][key] for key in form["metadata"] if key != NAMES}
    )
    if len(notes) > NOTES:
        notes[NOTES:] = [f"{len(notes) - NOTES} more repairs"]
    return Repaired(dict(notebook, cells=cells, metadata=metadata), notes)


class _Rebuilt:
    """The cells in the form's order, from what `Places` found."""

    def __init__(self, places):
        self.p, self.notes = places, places.notes
        self.of = defaultdict(list)
        for i in sorted(places.at):
            self.of[places.at[i]].append(i)
        self.chosen = {j: self._choose(j) for j in self.of}
        self.above, self.below = defaultdict(list), defaultdict(list)
        self._own_cells()

    def cells(self):
        """All cells, each with an id of its own."""
        made, p = list(self.below[-1]), self.p
        for j in range(len(p.form)):
            made += [*self.above[j], self._known(j), *self.below[j]]
        fixed = {cell["id"] for cell in p.form}
        used = set(fixed)
        for number, cell in enumerate(made):
            if cell.get("own"):
                del cell["own"]
                cell["id"] = _unused(cell["id"], used, number)
                used.add(cell["id"])
        return made

    # --- which of the student's cells stay, and where ---------------------------------------------

    def _choose(self, j):
        """Of several copies of an answer the last one that was written in counts."""
        copies = self.of[j]
        written = [i for i in copies if not self.p.is_stub(i, j)]
        if self.p.kinds[j] in ("answer", "written"):
            return written[-1] if written else copies[-1]
        return copies[0]

    def _own_cells(self):
        """Sorts what does not come from the form above and below the form's cells."""
        last, count = self.below[-1], 0
        for i in range(len(self.p.cells)):
            j = self.p.at.get(i)
            if i == self.chosen.get(j):
                if self._is_kept(i, j):
                    self.above[j].append(self._own(i))
                last = self.below[j]
            elif j is not None and self._is_kept(i, j):
                self.above[j].append(self._own(i))
                last = self.above[j]
            elif j is None and self.p.bare[i]:
                count += 1
                last.append(self._own(i)) if count <= OWN_CELLS else None
        if count > OWN_CELLS:
            self.notes.append(f"{count - OWN_CELLS} cells of the student's own were left out")

    def _is_kept(self, i, j):
        """Whether a cell that the form replaces stays as a cell of the student's own.

        Other copies of an answer run above the one that counts: a cell that was split in two leaves
        two with one id, and both halves are needed; a copy without effect does no harm.  A test or
        given cell stays only where an answer was written into it.
        """
        p = self.p
        if p.kinds[j] in ("answer", "written"):
            counts = self.chosen[j]
            return i != counts and not p.is_stub(i, j) and p.bare[i] != p.bare[counts]
        if not self._is_changed(i, j) or not p.bare[i]:
            return False
        if p.kinds[j] in ("text", "plain"):
            return p.kinds[j] == "text" or i != self.chosen[j]
        new = defined(p.cells[i]["source"]) - defined(p.form[j]["source"])
        return bool(new & set().union(*p.names))

    def _is_changed(self, i, j):
        return self.p.bare[i] not in (self.p.open[j], self.p.full[j])

    def _own(self, i):
        """A cell of the student's own: nbgrader must not take it for one of the form."""
        return dict(self.p.cells[i], metadata={}, own=True)

    # --- the form's cells ---------------------------------------------------------------------------

    def _known(self, j):
        """The form's cell j as it is graded."""
        what = self.p.kinds[j]
        if what in ("answer", "written"):
            return self._answer(j) if j in self.of else self._no_answer(j)
        self._say_locked(j)
        made = copy.deepcopy(self.p.form[j])
        if what == "plain" and j in self.of and not self.p.is_stub(self.chosen[j], j):
            made["source"] = self.p.cells[self.chosen[j]]["source"]  # nothing forbids to edit it
        return made

    def _answer(self, j):
        p, i = self.p, self.chosen[j]
        made, cell = copy.deepcopy(p.form[j]), p.cells[i]
        if p.bare[i] != p.full[j]:
            made["source"] = cell["source"]
        if p.kinds[j] == "written" and "attachments" in cell:
            made["attachments"] = cell["attachments"]
        if p.is_code(i) != (p.kinds[j] == "answer"):
            self.notes.append(f"{p.name(j)} had another type of cell; it was put back")
        others = sum(self._is_kept(other, j) for other in self.of[j])
        if others:
            self.notes.append(
                f"{p.name(j)} stood there {others + 1} times; the last one counts, the others stay above it"
            )
        return made

    def _no_answer(self, j):
        """A deleted answer: its stub, which must not undo what another cell defines by now."""
        made, name = copy.deepcopy(self.p.form[j]), self.p.name(j)
        elsewhere = self._defined_by_student & self.p.names[j]
        if elsewhere:
            made["source"] = PLACEHOLDER
            self.notes.append(f"{name} was deleted; another cell defines {min(elsewhere)}")
        else:
            self.notes.append(f"{name} was deleted; it counts as not written")
        return made

    @functools.cached_property
    def _defined_by_student(self):
        kept = [cell for cells in (*self.above.values(), *self.below.values()) for cell in cells]
        kept += [self.p.cells[i] for j, i in self.chosen.items() if self.p.names[j]]
        return set().union(*(defined(c["source"]) for c in kept if c["cell_type"] == "code"))

    def _say_locked(self, j):
        p, copies, code = self.p, self.of.get(j, []), self.p.form[j]["cell_type"] == "code"
        what = ""
        if not copies:
            what = "was deleted; the original was put back" if code else ""
        elif p.kinds[j] == "plain":
            pass
        elif any(self._is_changed(i, j) for i in copies):
            stays = any(self._is_kept(i, j) for i in copies)
            what = "was changed; the original was used" + STAYS * stays
        elif any(p.is_code(i) != code for i in copies):
            what = "had another type of cell; the original was used"
        elif len(copies) > 1:
            what = f"stood there {len(copies)} times; it was used once"
        self.notes += [f"{p.name(j)} {what}"] if what else []


def _unused(wish, used, number):
    """An id that no other cell has."""
    while wish in used:
        wish, number = f"own-{number}", number + 1
    return wish
