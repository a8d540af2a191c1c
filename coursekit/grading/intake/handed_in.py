"""Who handed in what: the names that learning platforms, browsers and people give to files."""

import re
from collections import Counter
from dataclasses import dataclass

# Canvas, lib/content_zipper.rb: names in lower case without blanks, LATE, the user's and the file's
# number; with anonymous grading no name and anon_ with letters
CANVAS = re.compile(
    r"(?:(?P<name>(?!LATE_).+?)_)?(?P<late>LATE_)?(?P<number>\d+|anon_[A-Za-z0-9]+)"
    r"_(?:(?P<file>\d+)_(?P<rest>.+)|(?P<typed>(?:text|link)\.html))"
)
# Moodle, mod/assign/classes/downloader.php: a full name (with its own _ as blanks), the participant's
# number, the plug-in; the rest is a file's name when submissions were not downloaded in folders
MOODLE = re.compile(
    r"(?P<name>.+?)(?:_(?P<number>\d+))?_assignsubmission_(?P<kind>[a-z]+)(?:_(?P<rest>.*))?"
)
# Browsers and systems add the last endings
NOTEBOOK = re.compile(r"(?:\.ipynb)+(?:\.(?:txt|json|html?))?$", re.I)
BEFORE = r"(?:(?:copy of|kopie von|copie de|c[oó]pia de|copia di|kopie van|kopia)[ _]++)*+"
AGAIN = r"[ _]*+\(\d++\)|[ _-]*+(?:copy|kopie|copie|c[oó]pia|kopia)[ _]*+\d*+"
AFTER = rf"(?:{AGAIN}|[ _]*+-[ _]*+\d++)*+"  # Canvas puts -2 where a name is there already


@dataclass(frozen=True)
class Who:
    """One who handed in, as the source tells it.

    name: as it came.  lms: "canvas", "moodle" or "".  number: the platform's number of the person,
    in Moodle of the participant in this assignment.
    """

    name: str
    lms: str = ""
    number: str = ""


@dataclass
class Item:
    """One thing that somebody handed in.

    inner: its path within the hand-in.  entry: where it lies.  late: whether the platform says so.
    number: of the file on the platform, larger for what came later.  note: for the teacher.
    """

    who: Who
    inner: tuple
    entry: object
    late: bool | None = None
    number: int = 0
    note: str = ""

    @property
    def called(self):
        """What its file is called, without what a platform put in front."""
        return self.inner[-1] if self.inner else self.entry.name


def is_notebook(entry):
    """Whether an entry calls itself a notebook."""
    return not entry.is_folder and bool(NOTEBOOK.search(entry.name))


def copy_number(called, name):
    """Which copy of the assignment's notebook a file is by its name: 0, 1, …; None if it is not."""
    bare, base = NOTEBOOK.sub("", called), _pattern(name)
    if bare == called or not re.fullmatch(BEFORE + base + AFTER, bare, re.I):
        return None
    numbers = re.findall(r"\d+", re.sub(base, "", bare, count=1, flags=re.I))
    return int(numbers[-1][:9]) if numbers else 0


def names_assignment(called, name):
    """Whether the assignment's name stands somewhere in a file's name."""
    return bool(re.search(_pattern(name), called, re.I))


def owner(entry, name):
    """What a file's name says beyond the assignment's name and marks of copies, "" for nothing."""
    left = re.sub(_pattern(name), " ", stem(entry), count=1, flags=re.I)
    left = re.sub(rf"^ *{BEFORE}|(?:{AGAIN})++ *$", "", left, flags=re.I)
    return left.strip(" _-.()")


def _pattern(name):
    return re.escape(name).replace("_", "[ _-]")


def stem(entry):
    """A file's name without the endings of notebooks and zips."""
    return re.sub(r"\.zip$", "", NOTEBOOK.sub("", entry.name), flags=re.I)


def canvas_folders(found, name):
    """The folders in which most files have Canvas' names and none the assignment's own."""
    count = Counter()
    for entry in found:
        if not entry.is_folder:
            bare = copy_number(entry.name, name) is not None
            fits = not bare and CANVAS.fullmatch(entry.name)
            count[entry.parts[:-1]] += 1 if fits else -len(found) if bare else -1
    most = {folder for folder, more in count.items() if more > 0}
    return {one for one in most if all(folder[: len(one)] == one for folder in count)}


def wrapper(found):
    """The folders around all entries: () or one; deeper down, names are a student's own to choose."""
    tops = {entry.parts[:1] for entry in found if len(entry.parts) > 1 or not entry.is_folder}
    shared = len(tops) == 1 and all(len(one.parts) > 1 or one.is_folder for one in found)
    return next(iter(tops)) if shared else ()


def by_platform(entry, canvas, deepest=0):
    """The Item of an entry that Canvas or Moodle named, or None.

    deepest: how many folders may lie above the platform's name.
    """
    for place, part in enumerate(entry.parts[: deepest + 1]):
        if found := MOODLE.fullmatch(part):
            return _of_moodle(entry, found, entry.parts[place + 1 :])
    found = CANVAS.fullmatch(entry.name) if entry.parts[:-1] in canvas else None
    return _of_canvas(entry, found) if found and not entry.is_folder else None


def _of_moodle(entry, found, below):
    rest = (found["rest"],) if found["rest"] else ()
    return Item(Who(found["name"], "moodle", found["number"] or ""), rest + below, entry)


def _of_canvas(entry, found):
    who = Who(found["name"] or found["number"], "canvas", found["number"])
    inner = (found["rest"] or found["typed"],)
    return Item(who, inner, entry, bool(found["late"]), int((found["file"] or "0")[:18]))


def student_folders(found, name):
    """The paths of the folders STUDENT in which NAME/ lies; of a whole class what was submitted."""
    around, students = wrapper(found), set()
    for entry in found:
        folders = entry.parts if entry.is_folder else entry.parts[:-1]
        if name in folders[1:]:
            students.add(entry.parts[: folders.index(name, 1)])
    for above in (("submitted",), (*around, "submitted"), (), around):
        if here := {one for one in students if one[:-1] == above}:
            return here
    return set()
