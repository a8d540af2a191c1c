"""Which cell of an assignment's form each cell of a student's notebook is."""

import re
from collections import defaultdict

from coursekit.grading.engine import HIDDEN, regions
from coursekit.grading.intake.form import NAMES, kind, told

# What a line of code at the top level defines.  Patterns, because a student's code may not parse.
TARGETS = r"((?:\w++[ \t]*+,[ \t]*+)*+\w++)[ \t]*+(?::[^=\n]*+)?=(?!=)"
DEFINES = re.compile(rf"^(?:async[ \t]++)?def[ \t]++(\w++)|^class[ \t]++(\w++)|^{TARGETS}", re.M)
SPOKEN = {"test": "test cell", "given": "given cell", "text": "text cell"}


def defined(source):
    """The names that a cell seems to define at the top level, whether it is valid code or not."""
    found = (name for match in DEFINES.findall(source) for name in match if name)
    return {name.strip() for names in found for name in names.split(",")}


def bare(source):
    """A source as it is compared: without blanks at the ends of lines and of the cell."""
    return "\n".join(line.rstrip() for line in source.split("\n")).strip("\n")


class Places:
    """Which cell of the form each cell of the student's notebook is.

    at: {index in the student's notebook: index in the form}; what is missing is the student's own.
    """

    def __init__(self, cells, form, notes):
        self.cells, self.form, self.notes = cells, form["cells"], notes
        self.kinds = [kind(cell) for cell in self.form]
        names = form["metadata"].get(NAMES, {})
        self.names = [set(names.get(told(c).get("grade_id"), ())) for c in self.form]
        # What students were given: the same without hidden tests
        self.open = [bare("\n".join(regions(c["source"], HIDDEN)[1])) for c in self.form]
        self.full = [bare(cell["source"]) for cell in self.form]
        self.bare = [bare(cell["source"]) for cell in cells]
        self.at = {}

    def find(self):
        """Fills `at`: by nbgrader's id, by the cell's id, by content, by names, by place."""
        self._by_mark(lambda cell: told(cell).get("grade_id"))
        stripped = not self.at
        self._by_mark(lambda cell: cell.get("id"))
        self._by_content(ambiguous=False)
        self._by_content(ambiguous=True)
        self._by_names()
        self._by_place(stripped)
        self._say(stripped)

    def name(self, j):
        """How a cell of the form is called in a note."""
        if self.kinds[j] == "plain":
            return f"cell '{self.full[j].split(chr(10))[0][:40]}'"
        return f"{SPOKEN.get(self.kinds[j], 'answer')} {told(self.form[j]).get('grade_id')}"

    def is_stub(self, i, j):
        """Whether cell i says no more than the form's answer j does."""
        return self.bare[i] in ("", self.full[j])

    def missing(self):
        """Indices of answers that no cell is yet, in order."""
        there = set(self.at.values())
        answers = (j for j, what in enumerate(self.kinds) if what in ("answer", "written"))
        return [j for j in answers if j not in there]

    def _by_mark(self, mark):
        """Several cells may be one cell of the form: copies, or the halves of a split one."""
        index = {mark(cell): j for j, cell in enumerate(self.form) if mark(cell)}
        taken = set(self.at.values())
        for i, cell in enumerate(self.cells):
            j = index.get(mark(cell))
            if j is not None and i not in self.at and j not in taken:
                self.at[i] = j

    def _by_content(self, ambiguous):
        """Untouched cells; what stands in the form several times only between known neighbours."""
        index, taken = defaultdict(list), set(self.at.values())
        for j, source in enumerate(self.open):
            for text in {source, self.full[j]} - {""}:
                index[text].append(j)
        low, bounds = -1, self._bounds()
        for i in range(len(self.cells)):
            low = max(low, self.at.get(i, -1))
            wanted = index.get(self.bare[i], [])
            if i in self.at or not wanted or (len(wanted) > 1) != ambiguous:
                continue
            free = [j for j in wanted if j not in taken]
            free = [j for j in free if low < j < bounds[i]] if ambiguous else free
            if free:
                self.at[i] = low = free[0]
                taken.add(free[0])

    def _bounds(self):
        """For each cell of the student, the form's index of the next known cell."""
        bounds, nearest = [], len(self.form)
        for i in reversed(range(len(self.cells))):
            nearest = self.at.get(i, nearest)
            bounds.append(nearest)
        return bounds[::-1]

    def _by_names(self):
        """An answer that lost its mark is the cell that defines most of what it should define."""
        wanted = {j: self.names[j] for j in self.missing() if self.names[j]}
        if not wanted:
            return
        own = {i: defined(self.cells[i]["source"]) for i in self._own()}
        for j, names in wanted.items():
            fit = [(len(names & has), self.is_code(i), i) for i, has in own.items() if names & has]
            if fit:
                best = max(fit)[2]  # of equals the last, as with copies
                self.at[best] = j
                del own[best]
                self.notes.append(f"{self.name(j)} was found again by what it defines")

    def _by_place(self, stripped):
        """Answers that are still missing, between the known cells around them.

        Code only where marks were lost or the answer defines nothing: else it was deleted.
        """
        for j in self.missing() if self.at else []:
            code = self.kinds[j] == "answer"
            if code and self.names[j] and not stripped:
                continue
            fit = [i for i in self._between(j) if self.is_code(i) == code and self.bare[i]]
            if fit:
                best = max(fit, key=lambda i: len(self.bare[i]))
                self.at[best] = j
                self.notes.append(f"{self.name(j)} was found again by its place")

    def _between(self, j):
        """The student's own cells between the known neighbours of the form's cell j."""
        before = [i for i, other in self.at.items() if other < j]
        after = [i for i, other in self.at.items() if other > j]
        low = max(before, key=lambda i: (self.at[i], i), default=-1)
        high = min(after, key=lambda i: (self.at[i], i), default=len(self.cells))
        return [i for i in range(low + 1, high) if i not in self.at]

    def _own(self):
        return [i for i in range(len(self.cells)) if i not in self.at]

    def is_code(self, i):
        return self.cells[i]["cell_type"] == "code"

    def _say(self, stripped):
        if stripped and self.at:
            self.notes.append("nbgrader's marks were missing; cells were found by their content")
        known = {told(cell).get("grade_id") for cell in self.form}
        foreign = {told(cell).get("grade_id") for cell in self.cells} - known - {None}
        if foreign:
            self.notes.append(f"{len(foreign)} cells had ids of another assignment")
        order = [self.at[i] for i in sorted(self.at)]
        first = list(dict.fromkeys(order))
        if first != sorted(first):
            self.notes.append("the cells stood in another order; the assignment's order was used")
