"""A course of two notebooks for tests: a lesson, and an assignment with its bank of answers."""

import json
import shutil
from pathlib import Path

from coursekit import notebooks
from coursekit.grading.release import release

ROOT = Path(__file__).resolve().parents[1]

LESSON = """\
# %% [markdown]
# # A lesson

# %%
import os

print("score: size =", os.environ["COURSEKIT_SIZE"])
print("score: Bleu_4 = 0.512")
"""

OWN = '"schema_version": 3, "task": false'
ANSWER = '"grade": false, "locked": false, "solution": true, ' + OWN
TEST = '"grade": true, "locked": true, "solution": false, ' + OWN
WRITTEN = '"grade": true, "locked": false, "solution": true, ' + OWN

ASSIGNMENT = f"""\
# %% [markdown]
# # A small assignment

# %%
numbers = [3, 1, 2]

# %% nbgrader={{"grade_id": "double", {ANSWER}}}
def double(x):
    ### BEGIN SOLUTION
    twice_of_it = x + x
    return twice_of_it
    ### END SOLUTION


# %% nbgrader={{"grade_id": "test_double", "points": 3, {TEST}}}
assert double(2) == 4, "double(2) must be 4"
### BEGIN HIDDEN TESTS
assert double(1.5) == 3.0, "double must keep fractions"
### END HIDDEN TESTS

# %% nbgrader={{"grade_id": "largest", {ANSWER}}}
### BEGIN SOLUTION
largest_of_all = max(numbers)
### END SOLUTION

# %% nbgrader={{"grade_id": "test_largest", "points": 2, {TEST}}}
assert largest_of_all == 3, f"largest is {{largest_of_all}}, not 3"
print("right")

# %% nbgrader={{"grade_id": "test_share", "points": 4, {TEST}}}
share = (double(1) == 2) * 1.0 + (largest_of_all == 3) * 3.0
share

# %% [markdown] nbgrader={{"grade_id": "explain", "points": 5, {WRITTEN}}}
# Doubling keeps the order of numbers, being monotone.
"""

BANK = """\
from dataclasses import dataclass, field


@dataclass
class Answer:
    name: str
    question: str
    source: str
    loses: dict = field(default_factory=dict)
    message: str = ""


INT = "def double(x):\\n    return 2 * int(x)"
WRONG = [
    Answer("int", "double", INT, {"test_double": 3}, "must keep fractions"),
    Answer("two", "largest", "largest_of_all = 2", {"test_largest": 2, "test_share": 3}, "is 2"),
]
RIGHT = [Answer("times", "double", "def double(x):\\n    return 2 * x")]
"""

FULL = {"test_double": 3.0, "test_largest": 2.0, "test_share": 4.0}


def make_course(folder):
    """Writes the course's texts and settings below `folder`, and returns it."""
    texts = {
        "course/00_lesson.py": LESSON,
        "solutions/small.py": ASSIGNMENT,
        "solutions/small_bank.py": BANK,
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copy(ROOT / notebooks.ROOT_MARK, folder)
    return folder


def answered(released, answers):
    """A released notebook's JSON with some cells' sources replaced: {grade_id: source}."""
    notebook = notebooks.load(released)
    for cell in notebook["cells"]:
        cell["source"] = answers.get(notebooks.grade_id(cell), cell["source"])
    return json.dumps(notebook)


def make_released(folder):
    """A course whose assignment is released."""
    release("small", root=make_course(folder))
    return folder


def source(course):
    """The assignment's solution notebook."""
    return course / "solutions" / "small" / "small.ipynb"


def released(course):
    """The assignment's notebook for students."""
    return course / "assignments" / "small" / "small.ipynb"
