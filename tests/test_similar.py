"""Who wrote whose code: copies are found whatever was changed, and the same right idea is none."""

import io
import keyword
import random
import re
import sys
import tokenize
from pathlib import Path

import pytest

from coursekit.errors import CourseError
from coursekit.grading.bank import load_bank
from coursekit.grading.results.similar import OWN_CELLS, own_cells, similar
from coursekit.notebooks import grade_id, load

ROOT = Path(__file__).resolve().parents[1]
NAME = "a1_show_and_tell"
GIVEN = load(ROOT / "assignments" / NAME / f"{NAME}.ipynb")
SOLUTION = load(ROOT / "solutions" / NAME / f"{NAME}.ipynb")
WRONG, RIGHT = load_bank(NAME, ROOT)
# Names that belong to the task or to libraries: a copy keeps them
KEPT = {*keyword.kwlist, *keyword.softkwlist, *dir(__builtins__), *__builtins__, "self", "__init__"}
KEPT |= set("torch nn F np re optim random text functional Counter SPECIAL CaptionerLayers".split())


def rights(question):
    return [entry.source for entry in RIGHT if entry.question == question]


QUESTIONS = list(dict.fromkeys(entry.question for entry in RIGHT))
TWICE = [question for question in QUESTIONS if len(rights(question)) > 1]
MODEL = {
    grade_id(c): c["source"].replace("### BEGIN SOLUTION", "")
    for c in SOLUTION["cells"]
    if c["cell_type"] == "code"
}
FIRST = {question: rights(question)[0] for question in QUESTIONS}
SECOND = {question: rights(question)[1] for question in TWICE}


def handed_in(answers, extra=(), extra_kind="code"):
    """The released notebook with answers, and cells of the student's own."""
    cells = [dict(c, source=answers.get(grade_id(c), c["source"])) for c in GIVEN["cells"]]
    own = [dict(cell_type=extra_kind, metadata={}, source=source) for source in extra]
    return dict(GIVEN, cells=cells[:5] + own + cells[5:])


def disguised(source, seed=0):
    """A copy with other names, comments, blanks and line breaks."""
    rng, names, made, last = random.Random(seed), {}, [], ""
    public = set(re.findall(r"(?:def|class) (\w+)", source))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        text = token.string
        if token.type == tokenize.NAME and text not in KEPT | public and last != ".":
            text = names.setdefault(
                text, "".join(rng.choices("abcdefghij", k=rng.randint(1, 9))) + str(len(names))
            )
        if token.type == tokenize.COMMENT:
            text = "# " + "".join(rng.choices("xyz ", k=12))
        made.append((token.type, text))
        last = token.string
    return tokenize.untokenize(made).replace("\n\n", "\n\n# changed\n")


def copied(answers, seed=0):
    return {question: disguised(source, seed) for question, source in answers.items()}


def found(notebooks, **more):
    return {(p.first, p.second) for p in similar(notebooks, GIVEN, [SOLUTION], **more)}


def test_independent_right_answers_are_not_suspicious():
    class_ = {"model": handed_in(MODEL), "one": handed_in(FIRST), "two": handed_in(SECOND)}
    assert found(class_) == set()


def test_a_copy_is_found_with_other_names_comments_and_blanks():
    class_ = {"ada": handed_in(FIRST), "bob": handed_in(copied(FIRST)), "cai": handed_in(SECOND)}
    (pair,) = similar(class_, GIVEN, [SOLUTION])
    assert (pair.first, pair.second, pair.kind) == ("ada", "bob", "code")
    assert pair.share > 0.9 and pair.letters > 800
    assert [question for question, _, _ in pair.parts] == QUESTIONS


def test_a_copy_is_found_in_cells_in_another_order():
    """All answers in one cell of one's own, backwards."""
    one = "\n\n".join(reversed(copied(FIRST, 1).values()))
    class_ = {"ada": handed_in(FIRST), "bob": handed_in({}, [one])}
    (pair,) = similar(class_, GIVEN, [SOLUTION])
    assert pair.share > 0.9 and pair.parts[-1][0] == OWN_CELLS


def test_half_a_copy_is_found_and_one_answer_alike_is_not():
    half = dict(list(copied(FIRST).items())[::2])
    one = {"padding": disguised(FIRST["padding"])}
    assert found({"a": handed_in(FIRST), "b": handed_in(SECOND | half)}) == {("a", "b")}
    assert found({"a": handed_in(FIRST), "b": handed_in(SECOND | one)}) == set()


def test_a_copy_that_is_padded_with_ones_own_is_found():
    class_ = {"a": handed_in(FIRST), "b": handed_in(copied(FIRST), SECOND.values())}
    assert found(class_) == {("a", "b")}


def test_the_same_wrong_answers_are_found():
    wrong = {}
    for entry in WRONG:
        if entry.name in ("callers-lists-change", "loops", "hard-coded"):
            wrong[entry.question] = entry.source
    assert len(wrong) > 4
    assert found({"a": handed_in(wrong), "b": handed_in(copied(wrong))}) == {("a", "b")}


def test_the_marks_show_which_lines_are_the_same():
    theirs = "def mine(x):\n    return x  # nothing alike here at all\n\n\n" + disguised(
        FIRST["vocabulary"]
    )
    class_ = {"a": handed_in(FIRST), "b": handed_in({"vocabulary": theirs})}
    (pair,) = similar(class_, GIVEN, [SOLUTION])
    (question, first, second) = pair.parts[0]
    assert question == "vocabulary" and "\n".join(text for text, _ in second) == theirs
    same = [text.strip() for text, same in first if same]
    assert "for caption in captions:" in same and "found = Counter()" in same
    assert not any(same for text, same in second if "nothing alike" in text)


# --- false alarms -------------------------------------------------------------------------------
def test_what_students_were_given_is_nobodys_own():
    assert own_cells(GIVEN, {c["source"].strip() for c in GIVEN["cells"]}) == []
    assert found({"a": GIVEN, "b": GIVEN, "c": GIVEN}) == set()
    code = [cell["source"] for cell in GIVEN["cells"] if cell["cell_type"] == "code"]
    a, b = (
        handed_in({}, [f"{source}\nprint({what})" for source in code[:9]]) for what in ("1", "x")
    )
    assert found({"a": a, "b": b}) == set()


def test_the_same_short_answers_are_not_suspicious():
    short = {question: "largest_of_all = max(numbers)" for question in QUESTIONS[:3]}
    class_ = {student: handed_in(short, ["print(largest_of_all)"]) for student in "abc"}
    assert found(class_) == set()


def test_code_as_the_model_answer_has_it_is_not_suspicious():
    class_ = {"a": handed_in(copied(MODEL, 1)), "b": handed_in(copied(MODEL, 2))}
    assert found(class_) == set()
    pairs = similar(class_, GIVEN)
    assert [pair.share > 0.9 for pair in pairs] == [True]  # without it, they would be


def test_what_many_wrote_alike_is_not_suspicious_but_a_copy_among_them_is():
    class_ = {f"s{i}": handed_in(copied(FIRST, i)) for i in range(14)}
    class_ |= {"x": handed_in(copied(SECOND, 50)), "y": handed_in(copied(SECOND, 51))}
    assert found(class_) == {("x", "y")}
    class_["s14"] = class_["s3"]  # word for word
    assert found(class_) == {("s14", "s3"), ("x", "y")}


def test_written_answers_are_compared_word_for_word():
    essay = (
        "Colour and size are wrong most often, 0.31 and 0.44, since pooling keeps one number. " * 4
    )
    other = (
        "Counting fails, I think; of every feature only its largest value is left to the LSTM. " * 4
    )
    class_ = {
        s: handed_in({"reading_failures": t})
        for s, t in zip("abc", [essay, other, essay], strict=True)
    }
    (pair,) = similar(class_, GIVEN, [SOLUTION])
    assert (pair.first, pair.second, pair.kind) == ("a", "c", "words")
    assert pair.parts[0][0] == "reading_failures"


def test_a_group_that_copies_gives_all_its_pairs_and_no_more_than_asked_for():
    class_ = {s: handed_in(copied(SECOND, i)) for i, s in enumerate("abc")}
    assert found(class_) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert len(similar(class_, GIVEN, most=2)) == 2


@pytest.mark.parametrize(
    "source",
    [
        "",
        "\x00",
        "def (:\n",
        "'''",
        "\\",
        "\t\t",
        "é" * 500,
        "(" * 3000,
        "x = 1\n" * 20_000,
        "<script>" * 50,
    ],
)
def test_any_source_can_be_compared(source):
    class_ = {"a": handed_in({"padding": source}), "b": handed_in({}, [source, source])}
    similar(class_, GIVEN, [SOLUTION])


def test_without_the_library_one_sentence_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "copydetect", None)
    with pytest.raises(CourseError, match=r"copydetect .*pip install 'coursekit\[grading\]'"):
        similar({"a": handed_in(FIRST), "b": handed_in(FIRST)}, GIVEN)
