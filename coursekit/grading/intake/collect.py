"""Whatever comes back from a class, laid out as nbgrader wants it: submitted/STUDENT/NAME/."""

import filecmp
import os
import re
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from coursekit.errors import CourseError
from coursekit.grading.build import built_solution
from coursekit.grading.intake.bundles import Entry, Unreadable
from coursekit.grading.intake.handed_in import Item, Who
from coursekit.grading.intake.layouts import Sorter
from coursekit.grading.intake.register import Register
from coursekit.grading.intake.selection import Refused, choose, put_beside, put_notebook, unpacked
from coursekit.notebooks import course_root, grade_id, load

COLLECTED = "collected"
NOTES = 20  # sentences about one hand-in
NOTHING, UNUSABLE = "nothing handed in", "folder's name unusable"


@dataclass
class Collected:
    """What came of one student.

    status: "collected", or why there is no work: "nothing handed in", "no notebook", "not a
    notebook", "too much output", "folder's name unusable".  notes: sentences for the teacher.
    path: the notebook, None where there is none.  name, lms, lms_id: as they came, for exports;
    late: whether the platform said so, None where it does not say.
    """

    student: str
    status: str
    notes: list
    path: Path | None
    name: str = ""
    lms: str = ""
    lms_id: str = ""
    late: bool | None = None
    file: str = ""


def collect(name, sources, class_folder, root=None):
    """Lays out what a class handed in for assignment `name`, as CLASS/submitted/STUDENT/NAME/.

    sources: paths, each one of

    - a folder STUDENT/NAME/…, the course's own layout; CLASS/submitted itself is put in order
    - a folder with a folder of each student, or with loose notebooks or zips named after them
    - Canvas: `lastfirst_12345_67890_NAME-2.ipynb`, `lastfirst_LATE_12345_67890_NAME.ipynb` and
      `anon_x1y2z_67890_NAME.ipynb`; the numbers are the user's and the file's
    - Moodle: `First Last_12345_assignsubmission_file_/NAME.ipynb`, with or without the last _, and
      `First Last_12345_assignsubmission_file_NAME.ipynb`; the number is the participant's
    - a zip of any of these, or one notebook

    Zips within a hand-in are opened; NAME is found in `NAME (1).ipynb`, `Copy of NAME.ipynb` and
    the like.  Of several notebooks the newest that can be read counts.  Files beside it are kept
    within bounds.  A student's folder is replaced as a whole, and only by work that can be graded;
    students who are not in the sources stay as they are.  `CLASS/NAME/collected.csv` keeps who is
    who, so that ids stay the same and grades find their way back.

    Returns a list of Collected, one for each student in the sources, sorted.
    Raises CourseError for an unknown assignment, a source that is not there, or a full disk.
    """
    root = Path(root) if root else course_root()
    ids = {grade_id(cell) for cell in load(built_solution(name, root))["cells"]} - {None}
    sources = [Path(source) for source in sources]
    for source in sources:
        if not source.exists():
            raise CourseError(f"There is no {source}: name a folder, a zip or a notebook.")
    class_folder = Path(class_folder).resolve()
    submitted = class_folder / "submitted"
    try:
        submitted.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            aside = tempfile.TemporaryDirectory(
                prefix=".collecting-", dir=submitted, ignore_cleanup_errors=True
            )
            job = _Job(name, ids, class_folder, Path(stack.enter_context(aside)), stack)
            return job.run(sources)
    except OSError as error:
        raise CourseError(
            f"{submitted} cannot be written ({error.strerror}): make room or choose another folder."
        ) from error


class _Job:
    """One call of `collect`."""

    def __init__(self, name, ids, class_folder, aside, stack):
        self.name, self.ids, self.aside = name, ids, aside
        self.class_folder, self.folder = class_folder, class_folder / name
        self.submitted = class_folder / "submitted"
        self.register = Register(self.folder / "collected.csv")
        self.sorter = Sorter(name, stack, aside)

    def run(self, sources):
        """Collects everything, and writes down who is who."""
        places = [source.resolve() for source in sources]
        places = [self.submitted if one == self.class_folder else one for one in places]
        self.in_place = any(self._overlaps(place) for place in places)
        found = {}
        for place in places:
            own = place == self.submitted
            for item in self._items(place, own):
                found.setdefault(self.register.student(item.who, own), []).append(item)
        rows = [self._one(student, items) for student, items in sorted(found.items())]
        rows += self._known_faults({row.student for row in rows}) if self.in_place else []
        self.register.write()
        return sorted(rows, key=lambda row: row.student)

    def _overlaps(self, place):
        return place.is_relative_to(self.submitted) or self.submitted.is_relative_to(place)

    def _items(self, source, own):
        alone = re.sub(r"\.(zip|ipynb)$", "", source.name, flags=re.I)
        try:
            return self.sorter.items(source, alone, own)
        except Unreadable as reason:
            entry = Entry((source.name,), fault=str(reason))
            return [Item(Who(alone, "source"), entry.parts, entry)]

    def _known_faults(self, there):
        """Those of whom only a fault is known: they have no folder, and must not be forgotten."""
        rows = [row for key, row in self.register.rows.items() if key not in there]
        faults = [row for row in rows if row["status"] != COLLECTED]
        return [_row(row, self.register.notes(row["student"]), None) for row in faults]

    # --- one student --------------------------------------------------------------------------------

    def _one(self, student, items):
        """Puts one student's work in place, or says why not."""
        target = self.submitted / student / self.name
        with ExitStack() as stack:
            notes, chosen = [], None
            try:
                found = unpacked(items, self.sorter, stack, notes)
                chosen = choose(found, self.name, self.ids, notes)
                status = self._place(student, found, chosen, target, notes)
            except Refused as refusal:
                status = refusal.status if _anything(items) else NOTHING
                notes += refusal.notes
        path = target / f"{self.name}.ipynb" if status == COLLECTED else None
        earlier = target / f"{self.name}.ipynb"
        if path is None and _is_file(earlier) and not self.in_place:
            notes = [f"the new hand-in was not used ({status})", *notes]
            status, path = COLLECTED, earlier
        return self._written_down(student, items, chosen, Collected(student, status, notes, path))

    def _place(self, student, items, chosen, target, notes):
        """Makes the student's folder aside, and exchanges it for the one that is there."""
        made = self.aside / "new" / student / self.name
        made.mkdir(parents=True)
        put_notebook(chosen, made / f"{self.name}.ipynb", notes)
        put_beside(items, chosen, made, notes)
        try:
            if not _same(made, target):
                self._exchange(made, target, items[0].who.name)
            elif self.in_place and student in self.register.rows:
                notes[:] = self.register.notes(student)  # nothing new: what was repaired then
        except OSError as error:
            raise Refused(UNUSABLE, [f"{target} cannot be written ({error.strerror})"]) from error
        return COLLECTED

    def _exchange(self, made, target, name):
        """What is replaced in place is the only copy there is, so it is kept."""
        target.parent.mkdir(parents=True, exist_ok=True)
        kept = _new_path(self.folder / "as_handed_in" / target.parent.name)
        before = self.submitted / name / self.name
        if self.in_place and os.path.lexists(before):
            kept.parent.mkdir(parents=True, exist_ok=True)
            os.rename(before, kept)
        old = _new_path(self.aside / "old")
        if os.path.lexists(target):
            os.rename(target, old)
        try:
            os.rename(made, target)
        except OSError:
            if os.path.lexists(old):
                os.rename(old, target)
            raise

    def _written_down(self, student, items, chosen, row):
        """Completes a row by who it was, and enters it into the register."""
        who, item = items[0].who, chosen.item if chosen else items[0]
        row.late, row.file = item.late, "/".join(item.entry.parts)
        row.notes = list(dict.fromkeys(row.notes))
        if len(row.notes) > NOTES:
            row.notes[NOTES:] = [f"{len(row.notes) - NOTES} more like these"]
        if who.lms == "source":
            return row
        entered = self.register.enter(student, who, row)
        return _row(entered, row.notes, row.path)


def _row(told, notes, path):
    """The Collected of a row of the register."""
    who = {key: told[key] for key in ("name", "lms", "lms_id", "file")}
    late = {"yes": True, "no": False}.get(told["late"])
    return Collected(told["student"], told["status"], notes, path, late=late, **who)


def _is_file(path):
    return path.is_file() and not path.is_symlink()


def _anything(items):
    """Whether anything but empty folders was handed in."""
    return any(not item.entry.is_folder or item.entry.fault for item in items)


def _new_path(wish):
    """A path that is not there yet."""
    count, path = 1, wish
    while os.path.lexists(path):
        count += 1
        path = wish.with_name(f"{wish.name}-{count}")
    return path


def _same(one, other):
    """Whether two folders hold the same files with the same bytes, and nothing but files."""
    here, there = _listing(one), _listing(other)
    if here is None or here != there:
        return False
    return all(filecmp.cmp(one / path, other / path, shallow=False) for path in here)


def _listing(folder):
    """The paths of a folder's files, without hidden ones; None if it holds a link or the like."""
    if folder.is_symlink() or not folder.is_dir():
        return None
    paths = set()
    for place, folders, names in os.walk(folder):
        for name in folders + names:
            path = Path(place, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                return None
        folders[:] = [name for name in folders if name[0] != "." and name != "__pycache__"]
        paths |= {Path(place, name).relative_to(folder) for name in names if name[0] != "."}
    return paths
