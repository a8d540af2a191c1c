"""What a graded class tells about its questions, and whose runs stand out."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

# Fewer marks than this carry no correlation
FEWEST = 10
# Iglewicz and Hoaglin (1993): a modified z-score beyond 3.5 is an outlier
OUTLYING = 3.5
VERDICT = re.compile(r"^(?P<mark>[✗○]) (?P<what>[^\n]*)", re.M)
LINE = r"^ +{} +(.*)$"
LONGEST = 300  # letters of a message that are shown


@dataclass
class Message:
    """Why answers lost points: one verdict of a check, and who got it.

    expected, likely: as the check says, "" where it does not.  got: what was got most often.
    """

    what: str
    expected: str
    likely: str
    got: str = ""
    students: list = field(default_factory=list)


@dataclass
class Question:
    """One question of a graded class.

    points: full points.  marks: how many students have a mark.  waiting: how many wait for a person.
    mean: of the marks.  share: mean as a part of the points, the difficulty of test theory: a high
    share is an easy question.  discrimination: correlation of the mark with the rest of the points
    (item-rest, point-biserial where a mark is all or nothing); None where there is none.
    """

    key: str
    points: float
    marks: int = 0
    waiting: int = 0
    mean: float | None = None
    share: float | None = None
    discrimination: float | None = None
    messages: list = field(default_factory=list)

    @property
    def reading(self):
        """What the figures say, in a sentence."""
        if self.marks == 0:
            return "Nobody has a mark yet."
        if self.discrimination is None:
            if self.marks < FEWEST:
                return f"Too few marks ({self.marks}) to say how well it tells students apart."
            return "All have the same mark: it tells nobody apart."
        return f"{_easiness(self.share)}, and {_sharpness(self.discrimination, self.marks)}."

    @property
    def reversed(self):
        """Whether those who do well elsewhere lose points here, more than by chance."""
        return self.discrimination is not None and self.discrimination < -_noise(self.marks)


@dataclass
class Outlier:
    """A run that took far more, or far less, than the class's: seconds, or MB at the peak."""

    student: str
    what: str
    value: float
    median: float
    z: float


def full_points(*notebooks):
    """{grade_id: full points} of all questions, in their order."""
    found = {}
    for notebook in notebooks:
        for cell in notebook["cells"]:
            told = cell["metadata"].get("nbgrader", {})
            if told.get("grade") or told.get("task"):
                found.setdefault(told.get("grade_id"), float(told.get("points") or 0.0))
    return found


def questions(rows, full, records):
    """A Question for each key of `full`, from rows of grade.py and records {student: record}."""
    graded = [row for row in rows if row.score is not None]
    found = [_question(key, points, graded) for key, points in full.items()]
    said = _messages([row.student for row in graded], records)
    for question in found:
        question.messages = said.get(question.key, [])
    return found


def _question(key, points, graded):
    with_mark = [row for row in graded if row.questions.get(key) is not None]
    question = Question(key, points, len(with_mark))
    question.waiting = sum(key in row.questions for row in graded) - len(with_mark)
    if with_mark:
        marks = np.array([row.questions[key] for row in with_mark], float)
        rest = np.array([_rest(row, key) for row in with_mark], float)
        question.mean = float(marks.mean())
        question.share = question.mean / points if points else None
        if len(marks) >= FEWEST and marks.std() > 1e-9 and rest.std() > 1e-9:
            question.discrimination = float(np.corrcoef(marks, rest)[0, 1])
    return question


def _rest(row, key):
    return sum(mark for other, mark in row.questions.items() if other != key and mark is not None)


def _easiness(share):
    if share is None:
        return "It carries no points"
    if share >= 0.9:
        return "Easy: nearly all have it"
    words = ["Very hard", "Hard", "Of middling difficulty", "Rather easy"]
    return words[sum(share >= limit for limit in (0.2, 0.5, 0.75))]


def _noise(marks):
    """The correlation that chance alone exceeds once in twenty times."""
    return 1.96 / marks**0.5


def _sharpness(r, marks):
    if r < -_noise(marks):
        return "who does well elsewhere loses points here: look whether the test asks what the text does"
    if r < 0.2:
        return "it hardly tells strong from weak"
    if r < _noise(marks):
        return f"it seems to tell strong from weak; {marks} marks are few to be sure"
    return f"it tells strong from weak {'well' if r >= 0.4 else 'fairly well'}"


def _messages(students, records):
    """{grade_id: [Message, the commonest first]} from the errors of test cells."""
    found = defaultdict(dict)
    got = defaultdict(Counter)
    for student in students:
        for key, what, expected, likely, answer in _losses(records.get(student) or {}):
            name = (what, expected, likely)
            message = found[key].setdefault(name, Message(*name))
            message.students.append(student)
            got[key, name][answer] += 1
    for (key, name), answers in got.items():
        found[key][name].got = answers.most_common(1)[0][0]
    return {key: sorted(messages.values(), key=_rarity) for key, messages in found.items()}


def _rarity(message):
    return -len(message.students), message.what, message.expected


def _losses(record):
    """(grade_id, what, expected, likely, got) of every test that raised."""
    for cell in (record.get("notebook") or {}).get("cells", ()):
        told = cell["metadata"].get("nbgrader", {})
        if told.get("grade") and not told.get("solution"):
            errors = [o for o in cell.get("outputs", ()) if o.get("output_type") == "error"]
            for error in errors[:1]:
                said = str(error.get("ename", "")), str(error.get("evalue", ""))
                yield told.get("grade_id"), *verdict(*said)


def verdict(name, text):
    """(what, expected, likely, got) of an error: of a check's verdict, or of any other error."""
    found = VERDICT.search(text)
    if not found:
        line = next((line.strip() for line in text.split("\n") if line.strip()), "")
        told = line if line.startswith(name) else f"{name}: {line}"
        return told[:LONGEST], "", "", ""
    rest = text[found.end() :]
    parts = [re.search(LINE.format(word), rest, re.M) for word in ("expected", "likely", "got")]
    return found["what"][:LONGEST], *(part[1][:LONGEST] if part else "" for part in parts)


def outliers(records):
    """Runs whose time or memory is an outlier: farther from the median than 3.5 robust deviations.

    A deviation is 1.4826 times the median distance from the median, and at least a twentieth of the
    median, so that a class of equal runs has none.
    """
    found = []
    for key, what in (("seconds", "seconds"), ("peak_mb", "MB at the peak")):
        values = {s: float(record[key]) for s, record in records.items() if record.get(key)}
        if len(values) < 3:
            continue
        numbers = np.array(list(values.values()))
        median = float(np.median(numbers))
        deviation = max(1.4826 * float(np.median(abs(numbers - median))), median / 20)
        for student, value in values.items():
            z = (value - median) / deviation
            found += [Outlier(student, what, value, median, z)] if abs(z) > OUTLYING else []
    return sorted(found, key=lambda one: (one.what, -abs(one.z), one.student))
