"""Work that two students share: the same code but for names, comments and order, or the same words.

Fingerprints as of Schleimer, Wilkerson and Aiken (2003), made by copydetect.  What students were
given counts for nothing, nor does what many of a class wrote alike, nor code as the model answer has
it: only what two share and few others have.
"""

import io
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from coursekit.errors import CourseError
from coursekit.notebooks import grade_id

OWN_CELLS = "cells of their own"
# Letters of a fingerprint, and the fewest that two must share: in code without names and blanks, and
# in words as they stand
CODE, WORDS = dict(k=25, fewest=200), dict(k=40, fewest=200)
PRIVATE = 0xF0000  # the first of 65,534 letters that nobody writes
LONGEST = 40_000  # letters of one student's work that are looked at
# Of the shorter of two works
LEAST_SHARE = 0.4
# What more than so many of a class share says nothing of any two
COMMON_SHARE, COMMON_LEAST = 0.03, 4


@dataclass
class Pair:
    """Two students' work that is alike.

    kind: "code" or "words".  share: the same part of the shorter work, 0 to 1.  letters: how many.
    parts: [(question, lines of the first, lines of the second)], a line being (text, is the same).
    """

    first: str
    second: str
    kind: str
    share: float
    letters: int
    parts: list = field(default_factory=list)


def similar(notebooks, given, usual=(), most=30):
    """The pairs of students whose work is suspiciously alike, the most alike first.

    notebooks: {student: notebook}.  given: the notebook that students got.  usual: notebooks whose
    code anyone may write, such as the solution.  Only answers and cells of students' own count.
    Raises CourseError without copydetect.
    """
    stubs = {cell["source"].strip() for cell in given["cells"]}
    works = {student: own_cells(one, stubs) for student, one in sorted(notebooks.items())}
    code = {s: [one for one in cells if one[2] == "code"] for s, cells in works.items()}
    known = [_cells(given, ["code"]), *(_cells(one, ["code"]) for one in usual)]
    found = _alike("code", code, known, CODE)
    found |= _alike("words", works, [_cells(given, ["code", "markdown"])], WORDS)
    return sorted(found.values(), key=lambda pair: (-pair.share, pair.first, pair.second))[:most]


def own_cells(notebook, stubs=frozenset()):
    """[(question, source, cell type)] of what a student wrote: answers and cells of their own.

    stubs: sources, without blanks around them, that are nobody's own.
    """
    found = []
    for cell in notebook["cells"]:
        told = cell["metadata"].get("nbgrader", {})
        own = told.get("solution") or (not told and cell["cell_type"] == "code")
        if own and cell["source"].strip() not in {*stubs, ""}:
            found.append((grade_id(cell) or OWN_CELLS, cell["source"], cell["cell_type"]))
    return found


class _Work:
    """Cells as one text, and where they lie in it.

    number: of the work; a letter of its own stands between its cells, so that no two works are
    alike where one cell ends and another begins.
    """

    def __init__(self, cells, number):
        self.text, self.cells = "", []
        for question, source, _ in cells:
            self.cells.append((question, len(self.text), source))
            self.text += f"{source}\n{chr(PRIVATE + number)}\n"

    def lines(self, slices, given):
        """{question: [(line, whether most of it lies within the slices and is not given)]}."""
        same = np.zeros(len(self.text), bool)
        for start, end in slices.T.astype(int):
            same[start:end] = True
        told = defaultdict(list)
        for question, place, source in self.cells:
            for line in source.split("\n"):
                letters = [same[place + i] for i, letter in enumerate(line) if not letter.isspace()]
                marked = 2 * sum(letters) > len(letters) and line.strip() not in given
                told[question].append((line, marked))
                place += len(line) + 1
        return told


def _alike(kind, works, known, how):
    """{(student, student): Pair} of the works that share enough."""
    works = {student: _Work(cells, i) for i, (student, cells) in enumerate(works.items())}
    prints = {student: _print(work.text, kind, how) for student, work in works.items()}
    prints = {student: made for student, made in prints.items() if made}
    texts = [_Work(cells, len(works)).text for cells in known]
    given = [_print(text, kind, how) for text in texts]
    _forget({h for made in given if made for h in made.hashes}, prints)
    for made in prints.values():
        made.rest = made.own.copy()
    owners = Counter(h for made in prints.values() for h in made.hashes)
    limit = max(COMMON_LEAST, COMMON_SHARE * len(works))
    _forget({h for h, count in owners.items() if count > limit}, prints)
    lines = {line.strip() for text in texts[:1] for line in text.split("\n")}
    found = {}
    for pair in _candidates(prints, how):
        share, letters = _shared(*(prints[student] for student in pair))
        if letters >= how["fewest"] and share >= LEAST_SHARE:
            parts = _parts([(works[s], prints[s]) for s in pair], lines)
            found[pair] = Pair(*pair, kind, share, letters, parts)
    return found


def _candidates(prints, how):
    """Pairs that share at least as many fingerprints as the fewest letters must have."""
    owners = defaultdict(list)
    for student, made in prints.items():
        for h in made.hashes:
            owners[h].append(student)
    shared = Counter(pair for students in owners.values() for pair in combinations(students, 2))
    return sorted(pair for pair, count in shared.items() if count >= how["fewest"] // how["k"])


def _shared(first, second):
    """(share of the shorter work that both have, its letters)."""
    common = first.hashes & second.hashes
    letters = [int((made.own & _covered(made, common)).sum()) for made in (first, second)]
    whole = [int(made.rest.sum()) for made in (first, second)]
    return max(part / max(1, all_) for part, all_ in zip(letters, whole, strict=True)), min(letters)


def _parts(pair, given):
    """The questions that two works share, with the lines of both."""
    _, _, slices = _copydetect().compare_files(*(made for _, made in pair))
    told = [work.lines(part, given) for (work, _), part in zip(pair, slices, strict=True)]
    marked = [q for q in {**told[0], **told[1]} if any(s for one in told for _, s in one[q])]
    return [(question, told[0][question], told[1][question]) for question in marked]


def _print(text, kind, how):
    """A text's fingerprint, None where it is too short for one."""
    file, names = io.StringIO(text[:LONGEST]), dict(language="python", filter=kind == "code")
    if len(text) <= how["k"]:
        return None
    made = _copydetect().CodeFingerprint("", how["k"], 1, fp=file, **names)
    made.own = np.ones(len(made.filtered_code), bool)
    return made if made.hashes else None


def _covered(made, hashes):
    """Which letters of a fingerprinted text lie within some of its fingerprints."""
    places = [place for h in hashes for place in made.hash_idx.get(h, ())]
    mask = np.zeros(len(made.own), bool)
    for offset in range(made.k if places else 0):
        mask[np.array(places) + offset] = True
    return mask


def _forget(hashes, prints):
    """Takes fingerprints that say nothing out of all prints, and their letters out of `own`."""
    for made in prints.values():
        made.own &= ~_covered(made, made.hashes & hashes)
        made.hash_idx = {h: places for h, places in made.hash_idx.items() if h not in hashes}
        made.hashes = set(made.hash_idx)


def _cells(notebook, kinds):
    """All cells of these types, in the form of `own_cells`."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] in kinds]
    return [("", cell["source"], cell["cell_type"]) for cell in cells]


def _copydetect():
    try:
        import copydetect
    except ImportError as error:
        raise CourseError(
            f"Comparing work needs copydetect ({error}): pip install 'coursekit[grading]'."
        ) from error
    return copydetect
