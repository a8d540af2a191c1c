"""How far a reader is: every exercise of the course, and the next step."""

from coursekit import colab
from coursekit.verdicts import COURSE, OPEN, RIGHT, WRONG, kept


def marks():
    """{notebook: {exercise: "✓", "✗" or "○"}} of the whole course, in order; "○" where nothing was right or wrong yet."""
    found = kept()
    return {
        name: {each: found.get(f"{name.partition('_')[0]}/{each}", OPEN) for each in exercises}
        for name, exercises in COURSE.items()
    }


def told():
    """The progress as text: a row for each notebook, and the next step."""
    table = marks()
    width, most = max(map(len, table)), max(map(len, table.values()))
    rows = [
        f"{name:{width}}  {''.join(own.values()):{most}}  {sum(_right(own))} of {len(own)}"
        for name, own in table.items()
    ]
    done = sum(sum(_right(own)) for own in table.values())
    count = sum(map(len, table.values()))
    return "\n".join([*rows, f"{done} of {count} exercises pass. {next_step(table)}"])


def next_step(table):
    """One sentence: the first exercise that was tried and is wrong, else the first that is not right, else the end."""
    left = [(name, each, mark) for name, own in table.items() for each, mark in own.items() if mark != RIGHT]  # fmt: skip
    if not left:
        return "That is all of them: look at the end of a lesson for ways to go further."
    name, each, mark = next((one for one in left if one[2] == WRONG), left[0])
    how = "was tried and is not right yet" if mark == WRONG else "comes next"
    return f"{each} in {name} {how}."


def show():
    """Prints the progress; on Colab also how to save what a disconnect would lose."""
    print(told())
    if colab.on_colab():
        colab.offer()


def _right(own):
    return [mark == RIGHT for mark in own.values()]
