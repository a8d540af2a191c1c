"""Whatever a student does to a notebook, it comes back into the assignment's form."""

import copy
import json
import random

import pytest
from small_course import make_released, released, source

from coursekit import notebooks
from coursekit.errors import CourseError
from coursekit.grading.intake import form as forms
from coursekit.grading.intake import reading
from coursekit.grading.intake.reading import NotANotebook, TooLarge, read_notebook
from coursekit.grading.intake.repair import PLACEHOLDER, repair
from coursekit.notebooks import grade_id

DOUBLE = "def double(x):\n    return 2 * x"
LARGEST = "largest_of_all = max(numbers)"
WRITTEN = "Doubling keeps the order, since it is monotone."
ANSWERS = {"double": DOUBLE, "largest": LARGEST, "explain": WRITTEN}
IDS = ["double", "test_double", "largest", "test_largest", "test_share", "explain"]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return make_released(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def form(course):
    return forms.form("small", course)


@pytest.fixture
def work(course):
    """A good hand-in, to be damaged."""
    notebook = notebooks.load(released(course))
    for cell in notebook["cells"]:
        cell["source"] = ANSWERS.get(grade_id(cell), cell["source"])
    return notebook


@pytest.fixture(scope="module")
def whole(form):
    """What every repaired copy of the good hand-in must be."""
    notebook = copy.deepcopy(form)
    for cell in notebook["cells"]:
        cell["source"] = ANSWERS.get(grade_id(cell), cell["source"])
    return notebook["cells"]


def cell_of(notebook, name):
    return next(cell for cell in notebook["cells"] if grade_id(cell) == name)


def place_of(notebook, name):
    return next(i for i, cell in enumerate(notebook["cells"]) if grade_id(cell) == name)


def code(text, **more):
    return dict(cell_type="code", metadata={}, source=text, outputs=[], execution_count=3) | more


def markdown(text, **more):
    return dict(cell_type="markdown", metadata={}, source=text) | more


def again(notebook, form):
    """The repaired notebook and its notes; repairing it once more must change nothing."""
    before = copy.deepcopy(notebook)
    made = repair(notebook, form)
    assert notebook == before
    second = repair(json.dumps(made.notebook).encode(), form)
    assert second.notebook == made.notebook and second.notes == []
    return made.notebook, made.notes


def strip(notebook, ids=True):
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        if ids:
            cell.pop("id", None)


# --- the form -----------------------------------------------------------------------------------


def test_the_form_is_what_students_get_with_the_hidden_tests(course, form):
    given = notebooks.load(released(course))
    assert [grade_id(cell) for cell in form["cells"]] == [grade_id(c) for c in given["cells"]]
    for made, told in zip(form["cells"], given["cells"], strict=True):
        if grade_id(made) == "test_double":
            assert "must keep fractions" in made["source"] and "HIDDEN" in made["source"]
        else:
            assert made == told  # checksums, points, locks and all
    assert "twice_of_it" not in json.dumps(form)


def test_checksums_are_those_of_the_forms_own_cells(form):
    from nbformat.notebooknode import from_dict
    from nbgrader.utils import compute_checksum, determine_grade

    marked = [cell for cell in form["cells"] if "nbgrader" in cell["metadata"]]
    assert len(marked) == len(IDS)
    for cell in map(from_dict, marked):
        assert cell.metadata.nbgrader.checksum == compute_checksum(cell)
    assert determine_grade(from_dict(cell_of(form, "explain"))) == (0, 5)


def test_mark_schemes_are_not_in_the_form(course, tmp_path):
    text = (course / "solutions" / "small.py").read_text()
    task = '"grade": false, "locked": true, "solution": false, "schema_version": 3, "task": true'
    text += (
        f'\n# %% [markdown] nbgrader={{"grade_id": "draw", "points": 2, {task}}}\n# Draw it.\n'
        "# ### BEGIN MARK SCHEME\n# Two points for a line.\n# ### END MARK SCHEME\n"
    )
    made = forms.form("small", other_course(course, tmp_path, text))
    assert cell_of(made, "draw")["source"].strip() == "Draw it."
    assert forms.kind(cell_of(made, "draw")) == "text"


def other_course(course, folder, text):
    """A course with another text of the assignment."""
    (folder / "solutions").mkdir()
    (folder / "solutions" / "small.py").write_text(text)
    (folder / notebooks.ROOT_MARK).write_bytes((course / notebooks.ROOT_MARK).read_bytes())
    return folder


def test_a_form_follows_the_text_of_its_assignment(course, tmp_path):
    text = (course / "solutions" / "small.py").read_text()
    root = other_course(course, tmp_path, text)
    first = forms.form("small", root)
    first["cells"].clear()
    assert len(forms.form("small", root)["cells"]) == 8
    (root / "solutions" / "small.py").write_text(text.replace('"points": 3', '"points": 7'))
    told = cell_of(forms.form("small", root), "test_double")["metadata"]["nbgrader"]
    assert told["points"] == 7


def test_an_unknown_or_broken_assignment_is_told_in_a_sentence(course, tmp_path):
    with pytest.raises(CourseError, match="no assignment 'nothing'"):
        forms.form("nothing", course)
    text = (course / "solutions" / "small.py").read_text()
    root = other_course(course, tmp_path, text.replace("largest_of_all = max", "largest of all ="))
    with pytest.raises(CourseError, match="'largest' of 'small' is not Python"):
        forms.form("small", root)
    (root / "solutions" / "small.py").write_text(text.replace("    ### END SOLUTION", "", 1))
    with pytest.raises(CourseError, match="cannot release 'small'"):
        forms.form("small", root)


def test_student_names_are_those_that_the_solution_assigns(course, tmp_path):
    assert forms.student_names("small", course) == {"double", "largest_of_all"}
    text = (course / "solutions" / "small.py").read_text()
    own = '"grade": false, "locked": true, "solution": false, "schema_version": 3, "task": false'
    text += f'\n# %% tags=["student"] nbgrader={{"grade_id": "run", {own}}}\ntrained = double(2)\n'
    text += f'\n# %% nbgrader={{"grade_id": "given", {own}}}\nconstant = 3\n'
    root = other_course(course, tmp_path, text)
    assert forms.student_names("small", root) == {"double", "largest_of_all", "trained"}


def test_every_way_to_assign_a_name_is_seen():
    source = """\
%matplotlib inline
!ls
[seen := one for one in range(3)]
def function(local):
    global from_inside
    from_inside = local
a, *b = c = 1, 2
for turn in b: pass
with open("x") as file: pass
import os.path as path, sys
class Model:
    inside = 1
if (asked := 1): d: int = 3
try: pass
except ValueError as error: pass
a.attribute = b[0] = used
async def later(): pass
lambda: (hidden := 1)
match c:
    case [first, *rest]: pass
    case {"k": value, **others}: pass
    case Model() as whole: pass
c += 1
del used
"""
    told = "seen function from_inside a b c turn file path sys Model asked d error later"
    told += " first rest value others whole"
    assert forms.assigned(source) == set(told.split())
    assert forms.assigned("%%bash\nx = 1") == set()


def test_the_files_of_an_assignment_come_without_texts_and_notebooks(course):
    folder = source(course).parent
    (folder / "data.txt").write_text("1 2")
    (folder / "secret.py").write_text("answer = 1")
    try:
        assert forms.files("small", course) == {"data.txt": "MSAy"}
    finally:
        (folder / "data.txt").unlink()
        (folder / "secret.py").unlink()


# --- what is in order stays as it is --------------------------------------------------------------


def test_good_work_comes_back_as_it_was_without_a_note(work, form, whole):
    notebook, notes = again(work, form)
    assert (notebook["cells"], notes) == (whole, [])
    assert notebook["metadata"] == notebooks.KERNEL
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)


def test_untouched_work_is_the_form_itself(course, form):
    made = repair(released(course).read_bytes(), form)
    assert made.notes == [] and made.notebook["cells"] == form["cells"]


def test_a_repaired_notebook_is_one_for_nbgrader_too(work, form):
    import nbformat
    from nbgrader.nbgraderformat import MetadataValidator

    work["cells"] += [code("own = 1", id="double"), markdown("mine", id="x" * 99), code("own = 2")]
    node = nbformat.from_dict(again(work, form)[0])
    nbformat.validate(node)
    MetadataValidator().validate_nb(node)


def test_outputs_counts_and_widgets_are_dropped(work, form, whole):
    stream = dict(output_type="stream", name="stdout", text="much")
    cell_of(work, "double").update(outputs=[stream] * 9, execution_count=12)
    work["metadata"]["widgets"] = {"state": "x" * 1000}
    notebook, notes = again(work, form)
    assert notebook["cells"] == whole and notes == []
    assert "widgets" not in notebook["metadata"]


# --- tests and given cells --------------------------------------------------------------------------


def test_an_edited_test_is_the_original_again(work, form, whole):
    cell_of(work, "test_double")["source"] = "pass"
    notebook, notes = again(work, form)
    assert notebook["cells"] == whole
    assert notes == ["test cell test_double was changed; the original was used"]


def test_a_deleted_test_comes_back(work, form, whole):
    work["cells"].remove(cell_of(work, "test_double"))
    notebook, notes = again(work, form)
    assert notebook["cells"] == whole
    assert notes == ["test cell test_double was deleted; the original was put back"]


def test_a_duplicated_test_counts_once(work, form, whole):
    work["cells"].append(dict(cell_of(work, "test_double"), id="other"))
    notebook, notes = again(work, form)
    assert notebook["cells"] == whole
    assert notes == ["test cell test_double stood there 2 times; it was used once"]


@pytest.mark.parametrize("kind", ["markdown", "raw", "heading", None, 7])
def test_a_test_of_another_type_is_code_again(work, form, whole, kind):
    cell = cell_of(work, "test_double")
    cell["cell_type"] = kind
    del cell["outputs"], cell["execution_count"]
    notebook, notes = again(work, form)
    assert notebook["cells"] == whole
    assert notes == ["test cell test_double had another type of cell; the original was used"]


def test_points_and_marks_that_were_edited_are_the_forms(work, form, whole):
    for cell in work["cells"]:
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"] |= dict(
                points=1000, grade=False, solution=True, locked=False, task=True, checksum="0"
            )
    assert again(work, form) == (dict(work | repair(work, form).notebook, cells=whole), [])


def test_ids_exchanged_between_answer_and_test_do_not_matter(work, form):
    one, other = cell_of(work, "double"), cell_of(work, "test_double")
    one["metadata"], other["metadata"] = other["metadata"], one["metadata"]
    notebook, notes = again(work, form)
    sources = [cell["source"] for cell in notebook["cells"]]
    at = place_of(notebook, "test_double")
    assert sources[at] == cell_of(form, "test_double")["source"]
    assert DOUBLE in sources[:at], "the answer must run before its test"
    assert "test cell test_double was changed" in "; ".join(notes)


def test_an_answer_written_into_a_test_cell_still_runs(work, form):
    cell_of(work, "double")["source"] = cell_of(form, "double")["source"]
    cell_of(work, "test_double")["source"] = DOUBLE + "\nassert double(2) == 4"
    notebook, notes = again(work, form)
    at = place_of(notebook, "test_double")
    assert notebook["cells"][at]["source"] == cell_of(form, "test_double")["source"]
    assert notebook["cells"][at - 1]["source"].startswith(DOUBLE)
    assert notebook["cells"][at - 1]["metadata"] == {}
    assert notes[-1].endswith("the original was used and the changed one stays above it")


def test_a_plain_cell_of_the_assignment_may_be_edited_but_not_lost(work, form):
    cells = work["cells"]
    cells[1]["source"] = "numbers = [9, 9]"
    cells[0]["source"] += "\nMy name is Kim."
    notebook, notes = again(work, form)
    assert [cell["source"] for cell in notebook["cells"][:2]] == [c["source"] for c in cells[:2]]
    assert notes == []
    del cells[:2]
    notebook, notes = again(work, form)
    assert notebook["cells"][:2] == form["cells"][:2]
    assert notes == ["cell 'numbers = [3, 1, 2]' was deleted; the original was put back"]


# --- answers ----------------------------------------------------------------------------------------


def test_a_deleted_answer_is_its_stub_again(work, form):
    work["cells"].remove(cell_of(work, "double"))
    notebook, notes = again(work, form)
    assert cell_of(notebook, "double") == cell_of(form, "double")
    assert notes == ["answer double was deleted; it counts as not written"]


def test_a_stub_does_not_undo_what_merged_cells_define(work, form):
    """Merging two cells in Jupyter leaves one with both sources and the first one's id."""
    work["cells"].remove(cell_of(work, "largest"))
    cell_of(work, "double")["source"] = DOUBLE + "\n\n" + LARGEST
    notebook, notes = again(work, form)
    assert cell_of(notebook, "largest")["source"] == PLACEHOLDER
    assert notes == ["answer largest was deleted; another cell defines largest_of_all"]


def test_both_halves_of_a_split_answer_run_in_order(work, form):
    at = place_of(work, "double")
    half = copy.deepcopy(work["cells"][at]) | dict(id="split", source="factor = 2")
    work["cells"][at]["source"] = "def double(x):\n    return factor * x"
    work["cells"].insert(at, half)
    notebook, notes = again(work, form)
    at = place_of(notebook, "double")
    sources = [cell["source"] for cell in notebook["cells"][at - 1 : at + 1]]
    assert sources == ["factor = 2", "def double(x):\n    return factor * x"]
    assert len(notebook["cells"]) == len(form["cells"]) + 1
    assert notes == [
        "answer double stood there 2 times; the last one counts, the others stay above it"
    ]


def test_of_copies_the_last_that_is_written_counts(work, form):
    stub = cell_of(form, "double")["source"]
    first = cell_of(work, "double")
    later = copy.deepcopy(first) | dict(id="later", source="def double(x):\n    return x + x")
    empty = copy.deepcopy(first) | dict(id="empty", source=stub)
    work["cells"] += [later, empty]
    notebook, notes = again(work, form)
    assert cell_of(notebook, "double")["source"] == later["source"]
    assert [cell["source"] for cell in notebook["cells"]].count(stub) == 0
    assert DOUBLE in [cell["source"] for cell in notebook["cells"]]


def test_copies_that_say_the_same_are_dropped(work, form, whole):
    work["cells"].append(copy.deepcopy(cell_of(work, "double")) | dict(id="later"))
    assert again(work, form)[0]["cells"] == whole


@pytest.mark.parametrize("kind", ["markdown", "raw"])
def test_an_answer_turned_to_text_is_code_again(work, form, whole, kind):
    cell = cell_of(work, "double")
    cell["cell_type"] = kind
    del cell["outputs"], cell["execution_count"]
    notebook, notes = again(work, form)
    assert notebook["cells"] == whole
    assert notes == ["answer double had another type of cell; it was put back"]


def test_a_written_answer_turned_to_code_is_text_again(work, form, whole):
    cell_of(work, "explain").update(cell_type="code", outputs=[], execution_count=1)
    notebook, notes = again(work, form)
    assert notebook["cells"] == whole
    assert notes == ["answer explain had another type of cell; it was put back"]


def test_pictures_in_a_written_answer_stay_up_to_a_size(work, form):
    small, large = {"image/png": "aGk="}, {"image/png": "A" * (reading.PICTURE + 1)}
    attached = {"a.png": small, "b.png": large, "c.html": {"text/html": "<script>"}, "d": 3}
    cell_of(work, "explain")["attachments"] = attached
    notebook, notes = again(work, form)
    assert cell_of(notebook, "explain")["attachments"] == {"a.png": small}
    assert notes == ["3 attachments were too large or no pictures"]


def test_all_pictures_together_have_a_bound(monkeypatch, work, form):
    monkeypatch.setattr(reading, "PICTURES", 10)
    one = {"image/png": "aGkh"}
    cell_of(work, "explain")["attachments"] = dict.fromkeys("abcd", one)
    assert len(cell_of(repair(work, form).notebook, "explain")["attachments"]) == 2


# --- without marks, in another order ----------------------------------------------------------------


@pytest.mark.parametrize("ids", [False, True])
def test_all_is_found_without_marks(work, form, whole, ids):
    """Colab and other editors drop what they do not know."""
    strip(work, ids)
    work["nbformat_minor"] = 0
    notebook, notes = again(work, form)
    assert notebook["cells"] == whole
    assert notes[-1] == "nbgrader's marks were missing; cells were found by their content"
    found = [note for note in notes if "found again" in note]
    assert found == (
        [
            "answer double was found again by what it defines",
            "answer largest was found again by what it defines",
            "answer explain was found again by its place",
        ]
        if ids
        else []
    )


def test_answers_without_marks_are_found_even_with_a_syntax_error(work, form):
    strip(work)
    work["cells"][2]["source"] = "def double(x:\n    return"
    notebook, _ = again(work, form)
    assert cell_of(notebook, "double")["source"] == "def double(x:\n    return"


def test_a_code_answer_without_marks_turned_to_text_is_found(work, form, whole):
    strip(work)
    work["cells"][2] = markdown(DOUBLE)
    assert again(work, form)[0]["cells"] == whole


def test_of_unmarked_answers_that_define_the_same_the_last_counts(work, form):
    strip(work)
    work["cells"].insert(2, code("def double(x):\n    return 0"))
    notebook, _ = again(work, form)
    assert cell_of(notebook, "double")["source"] == DOUBLE
    at = place_of(notebook, "double")
    assert notebook["cells"][at - 1]["source"] == "def double(x):\n    return 0"


def test_tests_that_look_alike_are_told_apart_by_their_neighbours(course, tmp_path):
    text = (course / "solutions" / "small.py").read_text()
    alike = '"grade": true, "locked": true, "points": 1, "solution": false, "schema_version": 3'
    for number, answer in enumerate(["double", "largest_of_all"]):
        text += f"\n# %% [markdown]\n# Part {number}\n"
        text += f'\n# %% nbgrader={{"grade_id": "hidden_{number}", {alike}, "task": false}}\n'
        text += f"# Later more\n### BEGIN HIDDEN TESTS\n{answer}\n### END HIDDEN TESTS\n"
    made = forms.form("small", other_course(course, tmp_path, text))
    work = copy.deepcopy(made)
    for cell in work["cells"]:
        if (grade_id(cell) or "").startswith("hidden"):
            cell["source"] = "# Later more"
    strip(work)
    del work["cells"][place_of(made, "hidden_0")]
    work["cells"].append(code("mine = 1"))
    notebook, notes = again(work, made)
    assert "test cell hidden_0 was deleted; the original was put back" in notes
    assert not any("hidden_1" in note for note in notes)
    assert notebook["cells"][-1]["source"] == "mine = 1"


def test_an_own_cell_between_is_no_answer_when_marks_are_there(work, form):
    at = place_of(work, "double")
    work["cells"][at] = code("helper = 3")
    notebook, notes = again(work, form)
    assert cell_of(notebook, "double") == cell_of(form, "double")
    assert notes == ["answer double was deleted; it counts as not written"]


def test_a_written_answer_in_a_new_cell_is_found_by_its_place(work, form):
    work["cells"][place_of(work, "explain")] = markdown("Because it is monotone.")
    notebook, notes = again(work, form)
    assert cell_of(notebook, "explain")["source"] == "Because it is monotone."
    assert notes == ["answer explain was found again by its place"]


def test_cells_in_another_order_stand_in_the_forms(work, form, whole):
    work["cells"].reverse()
    notebook, notes = again(work, form)
    assert notebook["cells"] == whole
    assert notes == ["the cells stood in another order; the assignment's order was used"]


def test_own_cells_stay_after_the_cell_that_they_followed(work, form):
    at = place_of(work, "largest")
    work["cells"].insert(at, markdown("A thought"))
    work["cells"].insert(at, code("tried = double(3)", metadata={"nbgrader": {"grade_id": "a9"}}))
    work["cells"].insert(0, code("import math"))
    work["cells"].append(code("the_end = 1"))
    work["cells"].insert(3, code("   \n"))
    notebook, notes = again(work, form)
    sources = [cell["source"] for cell in notebook["cells"]]
    at = place_of(notebook, "test_double")
    assert sources[at + 1 : at + 3] == ["tried = double(3)", "A thought"]
    assert (sources[0], sources[-1], len(sources)) == ("import math", "the_end = 1", 12)
    assert notes == ["1 cells had ids of another assignment"]
    assert all(not cell["metadata"] for cell in notebook["cells"][at + 1 : at + 3])


def test_another_kernel_is_python_again(work, form):
    work["metadata"] = dict(kernelspec=dict(name="ir", language="R", display_name="R"))
    notebook, notes = again(work, form)
    assert notebook["metadata"] == notebooks.KERNEL
    assert notes == ["the notebook asked for another language; Python was used"]


def test_there_are_not_more_notes_than_a_teacher_reads(course, tmp_path):
    text = "".join(
        f'# %% nbgrader={{"grade_id": "given_{n}", "grade": false, "locked": true, "solution": '
        f'false, "schema_version": 3, "task": false}}\nx{n} = 1\n\n'
        for n in range(90)
    )
    made = forms.form("small", other_course(course, tmp_path, text))
    notes = repair(dict(made, cells=[]), made).notes
    assert len(notes) == 41 and notes[-1] == "50 more repairs"


# --- files --------------------------------------------------------------------------------------------


def as_bytes(notebook):
    return json.dumps(notebook, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "encode, note",
    [
        (lambda text: b"\xef\xbb\xbf" + text.encode(), "byte order mark"),
        (lambda text: text.encode("utf-16"), "UTF-16"),
        (lambda text: text.encode("utf-16-be"), "UTF-16"),
        (lambda text: text.encode("utf-32"), "UTF-32"),
        (lambda text: text.encode("cp1252"), "Windows-1252"),
    ],
)
def test_other_encodings_are_read_with_a_note(work, form, encode, note):
    cell_of(work, "explain")["source"] = "Größer bleibt größer."
    made = repair(encode(json.dumps(work, ensure_ascii=False)), form)
    assert cell_of(made.notebook, "explain")["source"] == "Größer bleibt größer."
    assert len(made.notes) == 1 and note in made.notes[0]


@pytest.mark.parametrize(
    "raw, told",
    [
        (b"", "empty"),
        (b" \n\t\0", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b'{"cells": [', "not whole JSON"),
        (b"print('hello')", "not whole JSON"),
        (b'{"cells": [\xff\xfe]}', "not whole JSON"),
        (b"\xff\xfe\x00", "not whole JSON"),
        (b"%PDF-1.7 ...", "a PDF"),
        (b"PK\x03\x04...", "a zip archive"),
        (b"\n<!doctype html><html>", "a web page"),
        (b"<<<<<<< HEAD\n{}", "a merge conflict"),
        (b"[1, 2]", "JSON but no notebook"),
        (b"null", "JSON but no notebook"),
        (b"NaN", "JSON but no notebook"),
        (b'"text"', "JSON but no notebook"),
        (b"{}", "JSON but no notebook"),
        (b'{"cells": 5}', "JSON but no notebook"),
        (b'{"cells": [1, {}]}', "JSON but no notebook"),
        (b'{"cells": {"cell_type": "code"}, "nbformat": 4}', "JSON but no notebook"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        (b'{"cells": ' + b'{"a":' * 90_000 + b"1" + b"}" * 90_000 + b"}", "nested too deep"),
    ],
)
def test_what_is_no_notebook_is_named_in_a_sentence(raw, told, form):
    with pytest.raises(NotANotebook, match=told) as refusal:
        repair(raw, form)
    assert str(refusal.value).endswith(".") and isinstance(refusal.value, CourseError)


def test_a_notebook_beyond_all_bounds_is_refused(monkeypatch, work, form):
    raw = as_bytes(work)
    monkeypatch.setattr(reading, "PIECES", 50)
    with pytest.raises(TooLarge, match="too many pieces"):
        repair(raw, form)
    monkeypatch.setattr(reading, "LARGEST", reading.MB)
    with pytest.raises(TooLarge, match="more than 1 MB: clear its outputs"):
        repair(raw + b" " * reading.MB, form)


def test_oddities_of_json_are_no_reason_to_refuse(work, form, whole):
    work["metadata"]["odd"] = [float("nan"), float("-inf")]
    cell_of(work, "double")["metadata"]["odd"] = float("nan")
    raw = as_bytes(work).replace(b'"nbformat": 4', b'"nbformat": 3, "nbformat": 4')
    raw = raw.replace(b'"nbformat_minor": 5', b'"nbformat_minor": ' + b"9" * 9000)
    made = repair(raw, form)
    assert made.notebook["cells"] == whole and made.notes == []
    json.dumps(made.notebook, allow_nan=False)


def test_cells_that_are_none_are_left_out(work, form, whole):
    work["cells"] += [None, 3, "text", [], {}, dict(cell_type="code")]
    made = repair(work, form)
    assert made.notebook["cells"] == whole
    assert made.notes == ["4 cells were no cells and were left out"]


def test_sources_as_lines_or_missing_are_read(work, form, whole):
    for cell in work["cells"]:
        cell["source"] = cell["source"].replace("\n", "\r\n").splitlines(keepends=True)
    assert again(work, form)[0]["cells"] == whole
    del cell_of(work, "double")["source"]
    cell_of(work, "largest")["source"] = [LARGEST, 5, None]
    cell_of(work, "explain")["source"] = {"a": 1}
    notebook, notes = again(work, form)
    told = [cell_of(notebook, name)["source"] for name in ANSWERS]
    assert told == ["", LARGEST, ""]
    assert notes == ["2 cells held what is no text; it was left out"]


def test_halves_of_letters_cannot_break_saving(work, form):
    cell_of(work, "double")["source"] = "# \ud83d\n" + DOUBLE
    made = repair(json.dumps(work).encode(), form)
    notebooks.dump(made.notebook).encode("utf-8")
    assert made.notes == ["1 cells held what is no text; it was left out"]


@pytest.mark.parametrize("version", [1, 5, "4", None, [], 4.5])
def test_other_versions_are_read_as_format_4(work, form, whole, version):
    work["nbformat"] = version
    notebook, notes = again(work, form)
    assert notebook["cells"] == whole
    assert notes == ["the notebook named another format; it was read as format 4"]
    del work["nbformat"]
    assert repair(work, form).notebook["cells"] == whole


def test_format_3_is_brought_to_format_4(work, form, whole):
    cells = []
    for cell in work["cells"]:
        name = "input" if cell["cell_type"] == "code" else "source"
        old = dict(cell, **{name: cell["source"]}, prompt_number=1, language="python")
        old["outputs"] = [dict(output_type="pyout", prompt_number=1, text="4", metadata={})]
        cells.append({key: old[key] for key in old if name == "source" or key != "source"})
    cells += [5, dict(cell_type="heading", level=[2], source="Mine"), {}]
    old = dict(nbformat=3, nbformat_minor=0, metadata=dict(name=""), worksheets=[{}, 7])
    old["worksheets"].append(dict(cells=cells, metadata={}))
    made = repair(json.dumps(old).encode(), form)
    assert made.notebook["cells"][:-1] == whole
    assert made.notebook["cells"][-1]["source"] == "# Mine"
    assert made.notes == ["the notebook was in an old format; it was brought to format 4"]


def test_marks_that_are_none_do_no_harm(work, form, whole):
    odd = [None, [], "text", {"grade_id": 5}, {"grade_id": None}, {"grade_id": ["double"]}]
    odd += [{"grade_id": "x", "points": float("nan")}, {"grade_id": {}, "points": []}]
    work["cells"] += [code("", metadata={"nbgrader": one}) for one in odd]
    work["cells"] += [code("", metadata=one) for one in (None, [], "x", 7)]
    assert again(work, form)[0]["cells"] == whole


def test_ids_that_are_none_or_twice_are_made_anew(work, form):
    odd = [None, 5, "", "a b", "x" * 65, "double", "double", {"a": 1}, "mine", "mine"]
    work["cells"] += [code(f"own_{n} = 1", id=one) for n, one in enumerate(odd)]
    notebook, _ = again(work, form)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids)) == 8 + len(odd)
    assert [cell["id"] for cell in notebook["cells"][:8]] == [c["id"] for c in form["cells"]]


def test_a_large_notebook_is_read_at_once(work, form):
    """2,000 cells and 50 MB of outputs; too many own cells have a bound."""
    stream = dict(output_type="stream", name="stdout", text="x" * 25_000)
    work["cells"] += [code(f"own_{n} = 1", outputs=[stream], id=f"n{n}") for n in range(2000)]
    made = repair(as_bytes(work), form)
    assert len(made.notebook["cells"]) == 2008
    work["cells"] += [code(f"more_{n} = 1") for n in range(4000)]
    made = repair(work, form)
    assert len(made.notebook["cells"]) == 5008
    assert made.notes == ["1000 cells of the student's own were left out"]


@pytest.mark.parametrize("seed", range(40))
def test_any_json_is_a_notebook_or_a_sentence(work, form, seed):
    """Random damage to a good notebook never raises anything else, and keeps all tests."""
    chance = random.Random(seed)
    for _ in range(chance.randrange(1, 30)):
        _damage(work, chance)
    try:
        made = repair(json.dumps(work).encode(), form)
    except NotANotebook:
        return
    json.dumps(made.notebook, allow_nan=False).encode()
    for name in ("test_double", "test_largest", "test_share"):
        assert cell_of(made.notebook, name) == cell_of(form, name)
    second = repair(made.notebook, form)
    assert second.notebook == made.notebook and second.notes == []


ODD = [None, 0, -1, 1.5, "", "double", [], {}, [[]], {"nbgrader": 1}, True, float("nan"), "\ud800"]


def _damage(notebook, chance):
    """Replaces, removes, copies or moves something somewhere."""
    cells = notebook.get("cells")
    place = notebook if chance.random() < 0.02 or not isinstance(cells, list) else cells
    for _ in range(chance.randrange(5)):
        inner = [one for one in _values(place) if isinstance(one, dict | list) and one]
        if not inner:
            break
        place = chance.choice(inner)
    if isinstance(place, dict) and place:
        key = chance.choice(sorted(place))
        place.pop(key) if chance.random() < 0.3 else place.update({key: chance.choice(ODD)})
    elif isinstance(place, list) and place:
        chance.choice([place.pop, lambda: chance.shuffle(place), lambda: place.append(place[0])])()


def _values(place):
    return list(place.values()) if isinstance(place, dict) else place


def test_reading_alone_gives_clean_cells_with_marks(work):
    notebook, notes = read_notebook(as_bytes(work))
    assert notes == [] and [grade_id(cell) for cell in notebook["cells"]][2:] == IDS
    assert read_notebook(as_bytes(notebook))[0] == notebook
    work["cells"] += [dict(cell_of(work, "double")), code(""), code("")]
    ids = [cell["id"] for cell in read_notebook(work)[0]["cells"]]
    assert len(ids) == len(set(ids)) == 11


def test_a_students_regular_expressions_are_no_trap(form):
    """Sources made to be slow for the patterns that look for definitions."""
    slow = ["a" * 10**6, "a," * 10**5, "a, " * 10**5 + "!"]
    slow += ["def " + " " * 10**6, "x:" + "y" * 10**6]
    notebook = dict(nbformat=4, cells=[code(text) for text in slow])
    assert len(repair(notebook, form).notebook["cells"]) == 13
