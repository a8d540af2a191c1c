"""Sorts what lies in a folder or a zip by who handed it in, whatever its layout."""

from contextlib import ExitStack

from coursekit.grading.intake.bundles import Unreadable, entries, is_zip
from coursekit.grading.intake.handed_in import (
    Item,
    Who,
    by_platform,
    canvas_folders,
    copy_number,
    is_notebook,
    owner,
    stem,
    student_folders,
    wrapper,
)


class Sorter:
    """Sorts the entries of sources by who handed them in.

    name: of the assignment.  stack, scratch: as `bundles.entries` wants them.
    """

    def __init__(self, name, stack, scratch):
        self.name, self.stack, self.scratch = name, stack, scratch

    def items(self, source, alone, own=False):
        """The Items of a source.

        alone: whose it is if nothing tells.  own: it is the course's layout in any case.
        Raises Unreadable if the source cannot be read at all.
        """
        found = entries(source, self.stack, self.scratch)
        return self._course(found, {()}, alone) if own else self._sorted(found, alone)

    def inside(self, item, stack):
        """The Items in a zip that somebody handed in, all theirs.  stack: closes it again."""
        found, above = entries(item.entry, stack, self.scratch), item.inner[:-1]
        return [Item(item.who, above + one.parts, one, item.late, item.number) for one in found]

    def _sorted(self, found, alone):
        """What a platform named goes by its name, the rest by the folders that it lies in."""
        deepest = len(wrapper(found))
        told, rest, canvas = [], [], canvas_folders(found, self.name)
        canvas = {folder for folder in canvas if len(folder) <= deepest}
        for entry in found:
            item = by_platform(entry, canvas, deepest)
            told.append(item) if item else rest.append(entry)
        above = {one.entry.parts[:i] for one in told for i in range(len(one.entry.parts))}
        rest = [entry for entry in rest if entry.parts not in above]
        parents = {student[:-1] for student in student_folders(rest, self.name)}
        return told + (self._course(rest, parents, alone) if parents else self._top(rest, alone))

    # --- the course's own layout ------------------------------------------------------------------

    def _course(self, rest, parents, alone):
        """STUDENT/NAME/… below each of `parents`; other assignments of a student do not count."""
        made, misplaced, loose = [], [], []
        for entry in rest:
            parent = next((one for one in parents if entry.parts[: len(one)] == one), None)
            if parent is None or entry.parts == parent:
                continue
            student, *inner = entry.parts[len(parent) :]
            if inner[:1] == [self.name]:
                made.append(Item(Who(student), tuple(inner[1:]), entry))
            elif not inner:
                kind = made if entry.is_folder or entry.fault else loose
                kind.append(Item(Who(student), (), entry))
            elif self._is_misplaced(inner, entry):
                misplaced.append(Item(Who(student), tuple(inner), entry))
        there = {item.who for item in made if item.inner}
        made += [item for item in misplaced if item.who not in there]
        return made + [one for item in loose for one in self._loose(item.entry, alone)]

    def _is_misplaced(self, inner, entry):
        """Whether this may be the notebook, lying in the student's folder instead of one below."""
        named = copy_number(entry.name, self.name) is not None or is_notebook(entry)
        return len(inner) == 1 and named and not entry.is_folder

    # --- any other layout -------------------------------------------------------------------------

    def _top(self, rest, alone):
        """Folders of students, loose notebooks and zips; all of one where nothing tells whose."""
        if rest and all(len(one.parts) > 1 or one.is_folder for one in rest):
            tops = {entry.parts[0] for entry in rest}
            if len(tops) == 1:
                return self._only_folder(*tops, rest, alone)
        files = [one for one in rest if len(one.parts) == 1 and not one.is_folder]
        notebooks, zips = [one for one in files if is_notebook(one)], list(filter(is_zip, files))
        folders = _with_work(rest) if notebooks else _folders(rest)
        nobody = [one for one in notebooks if not owner(one, self.name)]
        if len(zips) <= len(notebooks) <= 1 and notebooks == nobody and not folders:
            return [Item(Who(alone), entry.parts, entry) for entry in rest]
        # One person's zip could pretend to hold a whole class; where all do, it is so.
        single = bool(notebooks or folders) or not all(map(self._is_class, zips))
        made = [one for entry in notebooks + zips for one in self._loose(entry, alone, single)]
        return made + [_of_top(entry) for entry in rest if entry.parts[0] in folders]

    def _only_folder(self, top, rest, alone):
        """A source in which everything lies in one folder: a student's, or just a wrapper."""
        direct = [entry for entry in rest if len(entry.parts) == 2 and not entry.is_folder]
        count = sum(map(is_notebook, direct))
        deeper = any(len(entry.parts) > 2 for entry in rest) or any(map(is_zip, direct))
        if top.casefold() == self.name.casefold():
            return [Item(Who(alone), entry.parts[1:], entry) for entry in rest]
        if count == 1 or (count == 0 and not deeper):
            return list(map(_of_top, rest))
        inner = [entry for entry in rest if len(entry.parts) > 1]
        for entry in inner:
            entry.parts = entry.parts[1:]
        return self._sorted(inner, top)

    def _loose(self, entry, alone, single=True):
        """A notebook or a zip that lies by itself: its name tells whose it is.

        single: a zip is one person's in any case, because it lies beside the work of others.
        """
        whose = owner(entry, self.name)
        if is_zip(entry) and single:
            return [Item(Who(whose or stem(entry)), entry.parts[-1:], entry)]
        if is_zip(entry):
            return self._loose_zip(entry, whose or alone)
        note = "" if whose else "the file's name does not tell whose it is"
        made = Item(Who(whose or stem(entry)), entry.parts[-1:], entry, note=note)
        return [made] if is_notebook(entry) else []

    def _is_class(self, entry):
        """Whether a zip holds the work of several people, or cannot be read."""
        try:
            return self._people(entry) > 1
        except Unreadable:
            return True

    def _people(self, entry):
        """How many people's work a zip holds. Raises Unreadable."""
        with ExitStack() as look:
            found = entries(entry, look, self.scratch)
            canvas, deepest = canvas_folders(found, self.name), len(wrapper(found))
            named = (by_platform(one, canvas, deepest) for one in found)
            people = {one.who for one in named if one}
            return max(len(people), len(student_folders(found, self.name)))

    def _loose_zip(self, entry, whose):
        """A zip that lies by itself: of a whole class, or else all of it is one person's."""
        try:
            if self._people(entry) > 1:
                return self._sorted(entries(entry, self.stack, self.scratch), whose)
        except Unreadable as reason:
            entry.fault = str(reason)
        return [Item(Who(whose), entry.parts[-1:], entry)]


def _of_top(entry):
    """An Item that belongs to the one whose name the top folder bears."""
    return Item(Who(entry.parts[0]), entry.parts[1:], entry)


def _with_work(rest):
    """The top folders in which a notebook or a zip lies."""
    deep = [one for one in rest if len(one.parts) > 1]
    return {one.parts[0] for one in deep if is_notebook(one) or is_zip(one)}


def _folders(rest):
    """The top folders, and what looks like one but must not be entered."""
    return {one.parts[0] for one in rest if len(one.parts) > 1 or one.is_folder or one.fault}
