"""What comes back from a class: folders, downloads of learning platforms, damaged and hostile zips."""

import csv
import io
import json
import os
import re
import shutil
import stat
import struct
import zipfile
from contextlib import ExitStack

import pytest
from small_course import answered, make_released, released

from coursekit.errors import CourseError
from coursekit.grading.intake import bundles, selection
from coursekit.grading.intake.bundles import MB
from coursekit.grading.intake.collect import collect
from coursekit.grading.intake.handed_in import copy_number
from coursekit.grading.intake.register import Register, safe

STUDENT = re.compile(r"[\w@][\w.@ -]*")
GOOD = "# good\ndef double(x):\n    return 2 * x"
LINK, PIPE = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644
NOTHING, NO_NOTEBOOK, NOT_A_NOTEBOOK, TOO_MUCH = (
    "nothing handed in",
    "no notebook",
    "not a notebook",
    "too much output",
)


def collected(tmp_path):
    """All rows of the class's table."""
    return list(Register(tmp_path / "class/small/collected.csv").rows.values())


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return make_released(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def good(course):
    """The bytes of a hand-in that says so."""
    return answered(released(course), {"double": GOOD}).encode()


@pytest.fixture(scope="module")
def old(course):
    return answered(released(course), {"double": "# old"}).encode()


@pytest.fixture
def gather(course, tmp_path):
    """function(sources) → {student: Collected} in one class."""

    def run(*sources, name="small"):
        rows = collect(name, sources, tmp_path / "class", course)
        assert [row.student for row in rows] == sorted({row.student for row in rows})
        for row in rows:
            assert STUDENT.fullmatch(row.student) and "\n" not in "".join(row.notes)
            assert (row.path is None) == (row.status != "collected")
            if row.path:
                folder = tmp_path / "class" / "submitted" / row.student / name
                assert row.path == folder / f"{name}.ipynb"
                json.loads(row.path.read_text(encoding="utf-8"))
        hidden = [one for one in os.listdir(tmp_path / "class/submitted") if one[0] == "."]
        assert hidden == []
        return {row.student: row for row in rows}

    return run


def write(folder, files):
    """Writes {path: bytes or text} below a folder, and returns it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def pack(files, path=None, day=1):
    """A zip of {name or ZipInfo: content}: its bytes, or written to `path`, which is returned."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            info = name
            if isinstance(name, str):
                info = zipfile.ZipInfo(name, (2026, 3, day, 12, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
            bundle.writestr(info, content)
    if path is None:
        return made.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(made.getvalue())
    return path


def special(name, mode):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def files_of(row):
    folder = row.path.parent
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def says(row, text):
    return any(text in note for note in row.notes)


# --- the layouts ------------------------------------------------------------------------------------


def test_the_courses_own_layout(gather, tmp_path, good):
    work = write(
        tmp_path / "work",
        {
            "Kim/small/small.ipynb": good,
            "Kim/small/helpers.py": "x = 1",
            "Kim/small/img/a.png": b"png",
            "Kim/other/other.ipynb": "not for this",
            "Lee/small.ipynb": good,
            "Pat/small/report.pdf": b"%PDF",
            "Sam/other/other.ipynb": good,
        },
    )
    (work / "Ada" / "small").mkdir(parents=True)
    (work / "Bob").mkdir()
    rows = gather(work)
    assert {student: row.status for student, row in rows.items()} == {
        "Ada": NOTHING, "Bob": NOTHING, "Kim": "collected", "Lee": "collected",
        "Pat": NO_NOTEBOOK, "Sam": NOTHING,
    }  # fmt: skip
    assert files_of(rows["Kim"]) == {"small.ipynb", "helpers.py", "img/a.png"}
    assert rows["Kim"].path.read_bytes() == good and rows["Kim"].notes == []
    assert rows["Pat"].notes == ["found only report.pdf"]


def test_a_zip_of_the_own_layout_and_a_class_folder(gather, tmp_path, good, old):
    files = {"class/submitted/Kim/small/small.ipynb": good}
    files["class/autograded/Kim/small/small.ipynb"] = old
    rows = gather(pack(files, tmp_path / "all.zip"))
    assert rows["Kim"].path.read_bytes() == good and list(rows) == ["Kim"]


def test_canvas(gather, tmp_path, good, old):
    rows = gather(
        pack(
            {
                "leeann_LATE_12345_67890_small-2.ipynb": good,
                "leeann_LATE_12345_67891_helpers-1.py": "x = 1",
                "leeann_LATE_12345_67892_scene-1.png": b"png",
                "kimsoo_777_67000_Copy of small.ipynb": good,
                "müllerjürgen_778_67001_small.ipynb": good,
                "anon_x1Y2z_67002_small.ipynb": good,
                "LATE_anon_q9Q9q_67003_small.ipynb": good,
                "o_brien2_779_67004_my_1_2_work.ipynb": good,
                "text_780_text.html": "<p>I did it</p>",
            },
            tmp_path / "submissions.zip",
        )
    )
    assert sorted(rows) == [
        "anon_q9Q9q", "anon_x1Y2z", "kimsoo_777", "leeann_12345", "müllerjürgen_778",
        "o_brien2_779", "text_780",
    ]  # fmt: skip
    lee = rows["leeann_12345"]
    assert (lee.lms, lee.lms_id, lee.name, lee.late) == ("canvas", "12345", "leeann", True)
    assert files_of(lee) == {"small.ipynb", "helpers.py", "scene-1.png"} and lee.notes == []
    assert rows["kimsoo_777"].late is False
    assert rows["anon_q9Q9q"].late is True and rows["anon_q9Q9q"].lms_id == "anon_q9Q9q"
    assert says(rows["o_brien2_779"], "wrong name, repaired: it came as my_1_2_work.ipynb")
    assert rows["text_780"].status == NO_NOTEBOOK and says(rows["text_780"], "text.html")


def test_canvas_unpacked_into_a_folder_and_a_hand_in_that_is_a_zip(gather, tmp_path, good):
    inner = pack({"homework/small.ipynb": good, "homework/lib/a.py": "", "read.me": "hi"})
    files = {"in/kim_1_2_my work.zip": inner, "in/lee_3_4_small.ipynb": good}
    rows = gather(write(tmp_path / "downloads", files))
    assert list(rows) == ["kim_1", "lee_3"]
    assert files_of(rows["kim_1"]) == {"small.ipynb", "lib/a.py", "read.me"}


def test_a_students_data_are_not_taken_for_canvas(gather, tmp_path, good):
    files = {"small.ipynb": good, "data_12_34_a.csv": "1", "data_12_35_b.csv": "2"}
    work = write(tmp_path / "work", {f"Kim/{name}": text for name, text in files.items()})
    write(work, {"Lee/small.ipynb": good})
    write(work, {"Pat/final.ipynb": good, "Pat/data_12_34_a.csv": "1", "Pat/data_12_35_b.csv": "2"})
    rows = gather(work)
    assert list(rows) == ["Kim", "Lee", "Pat"] and files_of(rows["Kim"]) == set(files)
    assert len(files_of(rows["Pat"])) == 3


@pytest.mark.parametrize("line", ["_", ""])
def test_moodle_in_folders(gather, tmp_path, good, line):
    rows = gather(
        pack(
            {
                f"Ann Lee_901_assignsubmission_file{line}/small.ipynb": good,
                f"Ann Lee_901_assignsubmission_file{line}/sub/data.csv": "1",
                f"Ann Lee_907_assignsubmission_file{line}/small (1).ipynb": good,
                f"Jürgen O'Neil_902_assignsubmission_file{line}/x/small.ipynb": good,
                "Bo_903_assignsubmission_onlinetext/onlinetext.html": "<p>text",
                f"Default group_assignsubmission_file{line}/small.ipynb": good,
                f"Participant_33_assignsubmission_file{line}/small.ipynb": good,
            },
            tmp_path / "moodle.zip",
        )
    )
    assert sorted(rows) == [
        "Ann Lee", "Ann Lee-907", "Bo", "Default group", "Jürgen O_Neil", "Participant",
    ]  # fmt: skip
    ann = rows["Ann Lee"]
    assert (ann.lms, ann.lms_id, ann.name, ann.late) == ("moodle", "901", "Ann Lee", None)
    assert files_of(ann) == {"small.ipynb", "sub/data.csv"}
    assert says(rows["Ann Lee-907"], "wrong name, repaired: it came as small (1).ipynb")
    assert rows["Jürgen O_Neil"].name == "Jürgen O'Neil"
    assert rows["Bo"].status == NO_NOTEBOOK and rows["Participant"].lms_id == "33"


def test_moodle_without_folders(gather, tmp_path, good):
    files = {"Ann Lee_901_assignsubmission_file_small.ipynb": good}
    files["Ann Lee_901_assignsubmission_file_helpers.py"] = "x = 1"
    files["Bo Li_902_assignsubmission_file_my_work.zip"] = pack({"small.ipynb": good})
    rows = gather(pack(files, tmp_path / "moodle.zip"))
    assert files_of(rows["Ann Lee"]) == {"small.ipynb", "helpers.py"}
    assert files_of(rows["Bo Li"]) == {"small.ipynb"}


def test_folders_of_students_in_a_zip(gather, tmp_path, good):
    files = {"all/Kim/small.ipynb": good, "all/Lee/deep/small.ipynb": good, "all/Pat/a.pdf": b""}
    files |= {"all/Kim/util.py": "", "all/": ""}
    rows = gather(pack(files, tmp_path / "folders.zip"))
    assert [rows[one].status for one in ("Kim", "Lee", "Pat")] == ["collected"] * 2 + [NO_NOTEBOOK]
    assert files_of(rows["Kim"]) == {"small.ipynb", "util.py"}


def test_loose_notebooks_and_zips_bear_the_name_of_their_owner(gather, tmp_path, good):
    files = {"kim.ipynb": good, "small_lee.ipynb": good, "pat_small (2).ipynb": good}
    files |= {"team-7.ipynb": good, "team-8.ipynb": good, "notes.txt": "mine"}
    files |= {"bo.zip": pack({"work/small.ipynb": good, "work/a.py": ""}), "img/logo.png": b""}
    files |= {"small.ipynb": good, "Copy of small.ipynb": good}
    rows = gather(write(tmp_path / "work", files))
    people = ["Copy of small", "bo", "kim", "lee", "pat", "small", "team-7", "team-8"]
    assert sorted(rows) == people
    assert files_of(rows["bo"]) == {"small.ipynb", "a.py"}
    assert says(rows["small"], "does not tell whose it is")


def test_one_persons_work_as_zip_folder_or_notebook(gather, tmp_path, good):
    files = {"small.ipynb": good, "helpers.py": "", "data/a.csv": ""}
    rows = gather(
        pack(files, tmp_path / "Kim.zip"),
        write(tmp_path / "Lee", files),
        write(tmp_path / "x", {"Pat.ipynb": good}) / "Pat.ipynb",
        pack({f"small/{name}": text for name, text in files.items()}, tmp_path / "Sam.zip"),
    )
    assert list(rows) == ["Kim", "Lee", "Pat", "Sam"]
    for student in ("Kim", "Lee", "Sam"):
        assert files_of(rows[student]) == set(files)


def test_a_platforms_zip_in_a_folder_of_downloads(gather, tmp_path, good):
    canvas = {"kim_1_2_small.ipynb": good, "lee_3_4_small.ipynb": good}
    moodle = {f"{one}_5_assignsubmission_file/small.ipynb": good for one in "AB"}
    rows = gather(write(tmp_path / "in", {"c.zip": pack(canvas), "m.zip": pack(moodle)}))
    assert list(rows) == ["A", "B", "kim_1", "lee_3"]


@pytest.mark.parametrize(
    "name, copy",
    [
        ("small.ipynb", 0), ("SMALL.ipynb", 0), ("small (3).ipynb", 3), ("Copy of small.ipynb", 0),
        ("Kopie von small.ipynb", 0), ("Copy of Copy of small (1).ipynb", 1), ("small-2.ipynb", 2),
        ("small - Copy.ipynb", 0), ("small-Copy1.ipynb", 1), ("small copy 2.ipynb", 2),
        ("small.ipynb.txt", 0), ("small.ipynb.json", 0), ("small.ipynb.ipynb", 0),
        ("Cópia de small.ipynb", 0), ("smaller.ipynb", None), ("small_kim.ipynb", None),
        ("small.py", None), ("small", None), ("Copy of.ipynb", None),
    ],
)  # fmt: skip
def test_copies_are_known_by_their_names(name, copy):
    assert copy_number(name, "small") == copy


def test_copies_of_a_longer_name():
    assert copy_number("a1 show and tell (12).ipynb", "a1_show_and_tell") == 12
    assert copy_number("a1_show_and_tell.ipynb", "a1_show_and_tell") == 0
    assert copy_number("a2_show_and_tell.ipynb", "a1_show_and_tell") is None


def test_names_made_to_be_slow_are_no_trap():
    for slow in ("copy" + "_copy" * 30 + "!", "small" + " -_" * 60 + "!", "copy of " * 25 + "x"):
        assert copy_number(slow + ".ipynb", "small") is None


# --- which notebook counts ----------------------------------------------------------------------------


def test_the_newest_file_of_a_platform_counts(gather, tmp_path, good, old):
    first = pack({"kim_1_500_small.ipynb": old}, tmp_path / "first.zip", day=9)
    second = {"kim_LATE_1_1600_small-1.ipynb": good, "kim_LATE_1_900_small.ipynb": old}
    sources = [first, pack(second, tmp_path / "second.zip")]
    for order in (sources, sources[::-1]):
        row = gather(*order)["kim_1"]
        assert row.path.read_bytes() == good and row.late is True
        assert says(row, "of 3 notebooks small-1.ipynb was used, the newest that fits")


def test_else_the_latest_change_counts(gather, tmp_path, good, old):
    work = write(tmp_path / "work", {"Kim/small/small.ipynb": old, "Kim/small/final.ipynb": good})
    os.utime(work / "Kim/small/small.ipynb", (1, 1))
    row = gather(work)["Kim"]
    assert row.path.read_bytes() == good
    assert says(row, "wrong name, repaired: it came as final.ipynb")
    assert files_of(row) == {"small.ipynb"}


def test_of_copies_of_the_same_time_the_last_counts(gather, tmp_path, good, old):
    files = {"Kim/small.ipynb": old, "Kim/small (2).ipynb": good, "Kim/small (1).ipynb": old}
    rows = gather(pack(files | {"Lee/small.ipynb": old}, tmp_path / "a.zip"))
    assert rows["Kim"].path.read_bytes() == good


def test_a_notebook_of_another_assignment_does_not_count(gather, tmp_path, good):
    other = good.replace(b"double", b"triple").replace(b"largest", b"lowest")
    other = re.sub(rb'"grade_id": "(\w+)"', rb'"grade_id": "x_\1"', other)
    files = {"Kim/lesson.ipynb": other, "Kim/work.ipynb": good, "Lee/lesson.ipynb": other}
    work = write(tmp_path / "work", files)
    os.utime(work / "Kim/work.ipynb", (1, 1))
    rows = gather(work)
    assert rows["Kim"].path.read_bytes() == good
    assert rows["Lee"].status == NO_NOTEBOOK
    assert rows["Lee"].notes == ["lesson.ipynb belongs to another assignment"]


def test_the_newest_that_can_be_read_counts(gather, tmp_path, good):
    files = {"kim_1_5_small.ipynb": good, "kim_1_9_small-1.ipynb": b'{"cells": ['}
    row = gather(pack(files, tmp_path / "a.zip"))["kim_1"]
    assert row.path.read_bytes() == good
    assert says(row, "small-1.ipynb: The file is no notebook")


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "empty"),
        (b'{"cells": [', "not whole JSON"),
        (b"[]", "JSON but no notebook"),
        (b"%PDF-1.7", "a PDF"),
        (b"<html>", "a web page"),
    ],
)
def test_what_is_no_notebook_gets_its_reason(gather, tmp_path, good, content, told):
    files = {"k_1_2_small.ipynb": content, "l_3_4_small.ipynb": good}
    rows = gather(pack(files, tmp_path / "a.zip"))
    assert rows["k_1"].status == NOT_A_NOTEBOOK and says(rows["k_1"], told)
    assert rows["l_3"].status == "collected"


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda raw: raw.decode().encode("utf-16"), "UTF-16"),
        (lambda raw: b"\xef\xbb\xbf" + raw, "byte order mark"),
        (lambda raw: raw.replace(b"# good", b"# g\xf6\xf6d"), "Windows-1252"),
        (lambda raw: raw.replace(b'"outputs": []', b'"outputs": 7'), ""),
        (lambda raw: raw.replace(b'"cell_type": "code"', b'"cell_type": "odd"', 1), ""),
        (lambda raw: raw.replace(b'"metadata": {}', b'"metadata": {"a": NaN}', 1), ""),
        (lambda raw: raw.replace(b'"nbformat_minor": 5', b'"nbformat_minor": []'), ""),
    ],
)
def test_what_nbgrader_could_not_read_is_written_anew(gather, tmp_path, good, change, told):
    import nbformat

    raw = change(good)
    assert raw != good
    row = gather(pack({"k_1_2_small.ipynb": raw}, tmp_path / "a.zip"))["k_1"]
    made = nbformat.read(row.path, as_version=4)
    marks = [cell.metadata.nbgrader.grade_id for cell in made.cells if "nbgrader" in cell.metadata]
    assert marks[0] == "double" and len(marks) == 6
    assert says(row, told) if told else row.notes == []


def test_a_notebook_of_50_mb_is_taken_without_its_outputs(gather, tmp_path, good):
    made = json.loads(good)
    stream = dict(output_type="stream", name="stdout", text="x" * 5_000_000)
    made["cells"][1]["outputs"] = [stream] * 10
    row = gather(pack({"small.ipynb": json.dumps(made)}, tmp_path / "Kim.zip"))["Kim"]
    assert row.path.stat().st_size < 20_000
    assert row.notes == ["outputs were left out of 48 MB"]


# --- what is kept beside it ---------------------------------------------------------------------------


def test_files_beside_have_a_bound(gather, tmp_path, good, monkeypatch):
    monkeypatch.setattr(selection, "FILES", 5)
    monkeypatch.setattr(selection, "BYTES", MB)
    files = {f"Kim/f{number}.txt": "x" for number in range(9)} | {"Kim/small.ipynb": good}
    files |= {"Lee/large.bin": bytes(2 * MB), "Lee/a.txt": "x", "Lee/small.ipynb": good}
    rows = gather(pack(files, tmp_path / "a.zip"))
    assert len(files_of(rows["Kim"])) == 6
    assert says(rows["Kim"], "4 files were left out: 5 files of 1 MB together are kept")
    assert files_of(rows["Lee"]) == {"small.ipynb", "a.txt"}


def test_names_that_collide_on_some_systems_are_kept_once(gather, tmp_path, good):
    files = {"a.py": "1", "A.py": "2", "d/x": "1", "D": "2", "small.ipynb/x.txt": "3"}
    files |= {"SMALL.IPYNB.d/": "", "q?.txt": "", "q_.txt": "", "e\u0301.txt": "1", "\xe9.txt": "2"}
    row = gather(pack(files | {"small.ipynb": good}, tmp_path / "Kim.zip"))["Kim"]
    assert len({name.casefold() for name in files_of(row)}) == len(files_of(row)) == 5
    assert sum("another file has this name" in note for note in row.notes) == 5


def test_what_systems_and_editors_leave_behind_is_not_kept(gather, tmp_path, good):
    junk = ["__MACOSX/._small.ipynb", ".ipynb_checkpoints/small-checkpoint.ipynb", ".DS_Store"]
    junk += ["__pycache__/a.pyc", "venv/lib/b.py", ".git/config", "Thumbs.db"]
    files = dict.fromkeys(junk, "junk") | {"small.ipynb": good}
    row = gather(pack(files, tmp_path / "Kim.zip"))["Kim"]
    assert files_of(row) == {"small.ipynb"} and row.notes == []


def test_a_timestamp_is_nbgraders_or_it_goes(gather, tmp_path, good):
    """nbgrader takes lateness from this file, and stops at one that it cannot read."""
    stamps = {"Kim": "2026-03-01 10:11:12.5 UTC\n", "Lee": "yesterday", "Pat": "x" * 1000}
    files = {f"{one}/small/timestamp.txt": text for one, text in stamps.items()}
    files |= {f"{one}/small/small.ipynb": good for one in stamps}
    rows = gather(write(tmp_path / "work", files))
    assert [len(files_of(rows[one])) for one in stamps] == [2, 1, 1]
    canvas = {"kim_1_2_small.ipynb": good, "kim_1_3_timestamp.txt": stamps["Kim"]}
    assert files_of(gather(pack(canvas, tmp_path / "c.zip"))["kim_1"]) == {"small.ipynb"}


# --- again, and again -----------------------------------------------------------------------------------


def snapshot(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        told = path.stat()
        found[str(path.relative_to(folder))] = (told.st_ino, path.is_file() and path.read_bytes())
    return found


def test_collecting_again_changes_nothing(gather, tmp_path, good):
    files = {f"{n} Lee_{n}_assignsubmission_file_/small (1).ipynb": good for n in "123"}
    files |= {"Bo_9_assignsubmission_file_/x.pdf": b"", "1 Lee_4_assignsubmission_file_/a.zip": ""}
    source = pack(files, tmp_path / "moodle.zip")
    first, before = gather(source), snapshot(tmp_path / "class/submitted")
    table = (tmp_path / "class/small/collected.csv").read_bytes()
    assert gather(source) == first
    assert snapshot(tmp_path / "class/submitted") == before
    assert (tmp_path / "class/small/collected.csv").read_bytes() == table


def test_who_is_not_in_the_new_sources_stays_and_ids_stay(gather, tmp_path, good, old):
    gather(pack({"Ann_1_assignsubmission_file_/small.ipynb": old}, tmp_path / "a.zip"))
    files = {"Ann_0_assignsubmission_file_/small.ipynb": good}
    rows = gather(pack(files, tmp_path / "b.zip"))
    assert list(rows) == ["Ann-0"]
    submitted = tmp_path / "class" / "submitted"
    assert (submitted / "Ann/small/small.ipynb").read_bytes() == old
    files["Ann_1_assignsubmission_file_/small.ipynb"] = good
    rows = gather(pack(files, tmp_path / "c.zip"))
    assert {rows[one].lms_id: one for one in rows} == {"0": "Ann-0", "1": "Ann"}
    told = collected(tmp_path)
    assert [row["student"] for row in told] == ["Ann", "Ann-0"]


def test_a_folder_is_replaced_as_a_whole(gather, tmp_path, good):
    gather(pack({"small.ipynb": good, "old.py": ""}, tmp_path / "Kim.zip"))
    row = gather(pack({"small.ipynb": good, "new.py": ""}, tmp_path / "Kim.zip"))["Kim"]
    assert files_of(row) == {"small.ipynb", "new.py"}


def test_work_that_cannot_be_graded_replaces_none_that_can(gather, tmp_path, good):
    gather(pack({"small.ipynb": good}, tmp_path / "Kim.zip"))
    for content in ({"small.ipynb": "{"}, {"report.pdf": "%PDF"}):
        row = gather(pack(content, tmp_path / "Kim.zip"))["Kim"]
        assert row.status == "collected" and row.path.read_bytes() == good
        assert says(row, "the new hand-in was not used (no")


def test_nothing_is_half_written_when_the_disk_is_full(gather, tmp_path, good, old, monkeypatch):
    gather(pack({"small.ipynb": old, "a.py": ""}, tmp_path / "Kim.zip"))
    source = pack({"small.ipynb": good, "a.py": "", "b.py": ""}, tmp_path / "Kim.zip")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(selection._Beside, "put", full)
    with pytest.raises(CourseError, match="No space left on device"):
        gather(source)
    kim = tmp_path / "class/submitted/Kim/small"
    assert (kim / "small.ipynb").read_bytes() == old and (kim / "a.py").exists()
    assert os.listdir(tmp_path / "class/submitted") == ["Kim"]


def test_the_classs_own_folder_is_put_in_order(gather, tmp_path, good):
    submitted = tmp_path / "class" / "submitted"
    write(
        submitted,
        {
            "Kim/small/small.ipynb": good,
            "Kim/small/.ipynb_checkpoints/small.ipynb": "x",
            "Lee/small/small (1).ipynb": good,
            "Lee/small/notes.txt": "mine",
            "a[b]/small/small.ipynb": good,
            "Pat/small/small.ipynb": "{",
            "Sam/other/other.ipynb": good,
            "data_1_2_x/small/small.ipynb": good,
        },
    )
    before = (submitted / "Kim/small/small.ipynb").stat().st_ino
    rows = gather(submitted)
    told = {student: row.status for student, row in rows.items()}
    assert told == {
        "Kim": "collected", "Lee": "collected", "a_b_": "collected", "Pat": NOT_A_NOTEBOOK,
        "Sam": NOTHING, "data_1_2_x": "collected",
    }  # fmt: skip
    assert (submitted / "Kim/small/small.ipynb").stat().st_ino == before
    assert (submitted / "Pat/small/small.ipynb").read_text() == "{"
    kept = tmp_path / "class/small/as_handed_in"
    assert (kept / "Lee/small (1).ipynb").read_bytes() == good
    assert (kept / "a_b_/small.ipynb").read_bytes() == good
    first = snapshot(submitted)
    again = gather(submitted)
    assert {one: again[one].status for one in again} == told and snapshot(submitted) == first
    assert rows["Lee"].notes == ["wrong name, repaired: it came as small (1).ipynb"]
    assert again["Lee"].notes == rows["Lee"].notes
    assert not (kept / "Lee-2").exists()


def test_the_classs_folder_after_a_platforms_zip_keeps_who_is_who(gather, tmp_path, good):
    files = {"kim_LATE_1_2_small.ipynb": good, "lee_3_4_small.ipynb": "{", "pat_5_6_x.pdf": ""}
    first = gather(pack(files, tmp_path / "canvas.zip"))
    again = gather(tmp_path / "class" / "submitted")
    assert list(again) == ["kim_1", "lee_3", "pat_5"]
    for student, row in again.items():
        other = first[student]
        assert (row.status, row.notes, row.path) == (other.status, other.notes, other.path)
        assert (row.lms, row.lms_id, row.name) == (other.lms, other.lms_id, other.name)
    with open(tmp_path / "class/small/collected.csv", newline="", encoding="utf-8") as file:
        table = {line["student"]: line for line in csv.DictReader(file)}
    assert table["kim_1"]["late"] == "yes" and table["lee_3"]["status"] == NOT_A_NOTEBOOK


# --- ids --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, student",
    [
        ("Kim", "Kim"), ("Ann Lee", "Ann Lee"), ("a.b@c.de", "a.b@c.de"), ("a[b]", "a_b_"),
        ("-x", "x"), (" .x. ", "x"), ("José", "José"), ("李小龙", "李小龙"), ("..", None), ("***", None),
        ("", None), ("a/b\\c:d", "a_b_c_d"), ("x" * 500, "x" * 100), ("=cmd()", "_cmd__"),
        ("李" * 500, "李" * 33), ("\U00020000" * 99, "\U00020000" * 25),
    ],
)  # fmt: skip
def test_ids_are_what_nbgrader_takes(name, student):
    made = safe(name)
    assert STUDENT.fullmatch(made) and len(made.encode()) <= 100
    assert made == student if student else made.startswith("student-")


def test_two_who_would_collide_stay_apart(gather, tmp_path, good, old):
    names = ["a[b]", "a(b)", "A_B_", "a_b_", "Kim", "kim", "KIM"]
    files = {f"{one}/small.ipynb": good if one != "kim" else old for one in names}
    rows = gather(pack(files, tmp_path / "all.zip"))
    assert len({row.student.casefold() for row in rows.values()}) == len(names)
    assert sorted(row.name for row in rows.values()) == sorted(names)
    kim = next(row for row in rows.values() if row.name == "kim")
    assert kim.path.read_bytes() == old
    assert gather(tmp_path / "all.zip") == rows
    again = gather(tmp_path / "class" / "submitted")
    assert {one: row.path for one, row in again.items()} == {one: rows[one].path for one in rows}
    assert gather(tmp_path / "all.zip") == rows
    assert list(gather(pack({"kim_7_8_small.ipynb": good}, tmp_path / "c.zip"))) == ["kim_7"]
    assert list(gather(write(tmp_path / "moved", {"kim_7/small/small.ipynb": good}))) == ["kim_7"]


def test_the_register_is_safe_to_open_in_a_spreadsheet(gather, tmp_path, good):
    files = {'=HYPERLINK("x")/small.ipynb': good, "Kim/small.ipynb": good, "Lee/=1+1.ipynb": good}
    gather(pack(files, tmp_path / "all.zip"))
    with open(tmp_path / "class/small/collected.csv", newline="", encoding="utf-8") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert any(cell.startswith("'=HYPERLINK") for cell in cells)


@pytest.mark.parametrize("separator, mark", [(",", ""), (";", "\ufeff")])
def test_what_a_teacher_writes_into_the_register_stays(gather, tmp_path, good, separator, mark):
    """A column for exports, saved by a spreadsheet that has its own idea of a CSV file."""
    source = pack({"Ann_7_assignsubmission_file_/small.ipynb": good}, tmp_path / "m.zip")
    gather(source)
    path = tmp_path / "class/small/collected.csv"
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    with open(path, "w", newline="", encoding="utf-8") as file:
        file.write(mark)
        table = csv.writer(file, delimiter=separator)
        table.writerows([rows[0] + ["login"], rows[1] + ["ann77"]])
    files = {"Ann_7_assignsubmission_file_/small.ipynb": good}
    files["Bo_8_assignsubmission_file_/small.ipynb"] = good
    assert list(gather(pack(files, tmp_path / "m.zip"))) == ["Ann", "Bo"]
    told = collected(tmp_path)
    assert [(row["student"], row["lms_id"], row["login"]) for row in told] == [
        ("Ann", "7", "ann77"),
        ("Bo", "8", ""),
    ]


def test_a_damaged_register_is_told(gather, tmp_path, good):
    write(tmp_path / "class/small", {"collected.csv": "a,b\n1,2\n"})
    with pytest.raises(CourseError, match="collected.csv cannot be read .*mend or delete it"):
        gather(pack({"small.ipynb": good}, tmp_path / "Kim.zip"))


# --- hostile ------------------------------------------------------------------------------------------------


def test_nothing_climbs_out_of_a_zip(gather, tmp_path, good):
    names = ["../../../escaped.txt", "/tmp/escaped.txt", "C:\\escaped.txt", "..\\..\\escaped.txt"]
    names += ["a/../../../escaped.txt", "D:escaped.txt", "\\\\host\\share\\escaped.txt"]
    files = dict.fromkeys(names, "out") | {"small.ipynb": good, "fine.txt": "in"}
    row = gather(pack(files, tmp_path / "deep/er/Kim.zip"))["Kim"]
    assert files_of(row) == {"small.ipynb", "fine.txt"}
    assert says(row, "escaped.txt would be written outside the folder")
    assert not list(tmp_path.rglob("*escaped*")) and not os.path.exists("/tmp/escaped.txt")


def test_a_notebook_whose_entry_climbs_out_is_not_read(gather, tmp_path, good):
    files = {"../../kim_1_2_small.ipynb": good, "lee_3_4_small.ipynb": good}
    rows = gather(pack(files, tmp_path / "a.zip"))
    assert rows["kim_1"].status == NO_NOTEBOOK and says(rows["kim_1"], "outside the folder")
    assert rows["lee_3"].status == "collected"


def test_links_and_pipes_in_zips_are_never_made(gather, tmp_path, good):
    files = {special("link.txt", LINK): "/etc/passwd", special("pipe", PIPE): ""}
    files |= {special("folder", LINK): "/etc", "small.ipynb": good}
    row = gather(pack(files, tmp_path / "Kim.zip"))["Kim"]
    assert files_of(row) == {"small.ipynb"}
    assert says(row, "link.txt is a link") and says(row, "pipe is neither a file nor a folder")
    files = {special("small.ipynb", LINK): "/etc/passwd"}
    row = gather(pack(files, tmp_path / "Lee.zip"))["Lee"]
    assert row.status == NO_NOTEBOOK and says(row, "small.ipynb is a link and was not followed")


def test_links_pipes_and_folders_on_disk_are_never_followed(gather, tmp_path, good):
    secret = write(tmp_path / "secret", {"small.ipynb": good, "small/small.ipynb": good})
    work = write(tmp_path / "work", {"Kim/small/small.ipynb": good, "Pat/small/x.txt": ""})
    (work / "Kim/small/passwd").symlink_to("/etc/passwd")
    (work / "Kim/small/data").symlink_to(secret)
    os.mkfifo(work / "Kim/small/pipe")
    (work / "Lee").symlink_to(secret)
    (work / "Pat/small/small.ipynb").symlink_to(secret / "small.ipynb")
    (work / "Sam/small/small.ipynb").mkdir(parents=True)
    os.mkfifo(work / "Sam/small/other.ipynb")
    rows = gather(work)
    assert files_of(rows["Kim"]) == {"small.ipynb"}
    assert {note.split()[0] for note in rows["Kim"].notes} == {"passwd", "data", "pipe"}
    assert rows["Lee"].status == NO_NOTEBOOK and says(rows["Lee"], "is a link")
    assert rows["Pat"].status == NO_NOTEBOOK and says(rows["Pat"], "is a link")
    assert rows["Sam"].status == NO_NOTEBOOK
    assert says(rows["Sam"], "other.ipynb is neither a file nor a folder")


def test_a_file_that_is_exchanged_after_it_was_seen(tmp_path):
    """Between looking and reading it may become a link, or grow."""
    write(tmp_path, {"a.txt": "a", "b.txt": "b", "c/secret.txt": "secret"})
    with ExitStack() as stack:
        seen = {one.name: one for one in bundles.entries(tmp_path, stack, tmp_path)}
        (tmp_path / "a.txt").unlink()
        (tmp_path / "a.txt").symlink_to(tmp_path / "c" / "secret.txt")
        (tmp_path / "b.txt").write_bytes(bytes(3 * MB))
        for name, why in (("a.txt", "cannot be read"), ("b.txt", "1 MB are allowed")):
            with pytest.raises(bundles.Unreadable, match=why):
                seen[name].read(MB)


def test_a_folder_named_like_a_notebook(gather, tmp_path, good):
    files = {"Kim/small/small.ipynb/x.txt": "", "Lee/small/small.ipynb": good}
    rows = gather(write(tmp_path / "work", files))
    assert rows["Kim"].status == NO_NOTEBOOK and rows["Kim"].notes == ["small.ipynb is a folder"]


def test_a_zip_bomb_costs_neither_disk_nor_time(gather, tmp_path, good, monkeypatch):
    monkeypatch.setattr(selection, "LARGEST", 4 * MB)
    monkeypatch.setattr(selection, "BYTES", 4 * MB)
    monkeypatch.setattr(bundles, "INNER", 4 * MB)
    bomb = bytes(64 * MB)
    files = {"k_1_2_small.ipynb": bomb, "l_3_4_small.ipynb": good, "l_3_5_data.bin": bomb}
    files |= {"p_6_7_work.zip": bomb, "p_6_8_small.ipynb": good}
    source = pack(files, tmp_path / "a.zip")
    assert source.stat().st_size < MB
    rows = gather(source)
    assert rows["k_1"].status == TOO_MUCH
    assert says(rows["k_1"], "small.ipynb has 64 MB, and 4 MB are allowed")
    assert files_of(rows["l_3"]) == {"small.ipynb"} and says(rows["l_3"], "1 files were left out")
    assert rows["p_6"].status == "collected" and says(rows["p_6"], "work.zip has 64 MB")
    assert sum(path.stat().st_size for path in (tmp_path / "class").rglob("*")) < MB


def test_zips_in_zips_in_zips_come_to_an_end(gather, tmp_path, good, monkeypatch):
    monkeypatch.setattr(selection, "ZIPS", 6)
    bomb = pack({"x.bin": bytes(MB)})
    for _ in range(4):
        bomb = pack({f"{number}.zip": bomb for number in range(10)})
    row = gather(pack({"bomb.zip": bomb, "small.ipynb": good}, tmp_path / "Kim.zip"))["Kim"]
    assert row.status == "collected" and says(row, "there is too much in this hand-in")


def test_a_zip_that_lies_about_its_size_is_damaged(gather, tmp_path, good):
    raw = bytearray(pack({"k_1_2_small.ipynb": bytes(8 * MB), "l_3_4_small.ipynb": good}))
    for mark, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = raw.index(mark)
        raw[at + place : at + place + 4] = struct.pack("<I", 1000)
    rows = gather(write(tmp_path, {"a.zip": bytes(raw)}) / "a.zip")
    assert rows["k_1"].status == NO_NOTEBOOK and says(rows["k_1"], "is damaged")
    assert rows["l_3"].status == "collected"


def test_too_many_entries_are_not_looked_at(gather, tmp_path, good, monkeypatch):
    monkeypatch.setattr(bundles, "ENTRIES", 300)
    many = pack({f"f{number}": "" for number in range(400)})
    rows = gather(pack({"k_1_2_a.zip": many, "l_3_4_small.ipynb": good}, tmp_path / "a.zip"))
    assert rows["k_1"].status == NO_NOTEBOOK and says(rows["k_1"], "a.zip has too many entries")
    assert rows["l_3"].status == "collected"
    work = write(tmp_path / "work", {f"Kim/small/deep/f{number}": "" for number in range(400)})
    rows = gather(write(work, {"Kim/small/small.ipynb": good, "Lee/small/small.ipynb": good}))
    assert [row.status for row in rows.values()] == ["collected", "collected"]
    assert says(rows["Kim"], "deep holds more files than are looked at")


def test_a_table_of_contents_beyond_all_measure_is_not_read(gather, tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "DIRECTORY", 10_000)
    raw = pack({"x" * 2000 + str(number): "" for number in range(40)})
    row = gather(write(tmp_path, {"Kim.zip": raw}) / "Kim.zip")["Kim"]
    assert says(row, "Kim.zip has too many entries")


def test_names_cannot_deceive_or_overflow(gather, tmp_path, good):
    files = {"a\x07\x1b[31m.txt": "", "b\u202egnp.exe": "", "c\nd.txt": "", "n" * 3000 + ".txt": ""}
    files |= {"ö" * 3000 + ".txt": "", "\U00020000" * 200: "", "李" * 100 + "/" + "小" * 99: ""}
    files |= {"/".join("deep" for _ in range(40)) + "/x.txt": "", "con.txt:stream": "", "dot. ": ""}
    row = gather(pack(files | {"small.ipynb": good}, tmp_path / "Kim.zip"))["Kim"]
    names = files_of(row)
    assert not [name for name in names if re.search("[\x00-\x1f\u202e:]|[. ]$", name)]
    assert max(len(part.encode()) for name in names for part in name.split("/")) <= 150
    assert len(names) == 10 and "n" * 146 + ".txt" in names
    assert says(row, "x.txt lies too deep")


def test_long_names_of_people_are_no_trouble(gather, tmp_path, good):
    long = ["李" * 200, "李" * 201, "x" * 5000, "y" * 5000 + "z"]
    files = {f"{one}_5_assignsubmission_file_/small.ipynb": good for one in long}
    files |= {f"{'q' * 100}_{'9' * 60}_8_small.ipynb": good, "k_7_8_small.ipynb": good}
    assert len(gather(pack(files, tmp_path / "a.zip"))) >= 2


def test_a_file_that_the_system_refuses_is_told(gather, tmp_path, good, monkeypatch):
    def refusing(path, *more, **named):
        if str(path).endswith("odd.txt"):
            raise OSError(22, "Invalid argument")
        return open(path, *more, **named)

    monkeypatch.setattr(selection, "open", refusing, raising=False)
    row = gather(pack({"small.ipynb": good, "odd.txt": "", "a.txt": ""}, tmp_path / "Kim.zip"))[
        "Kim"
    ]
    assert files_of(row) == {"small.ipynb", "a.txt"}
    assert row.notes == ["odd.txt was left out (Invalid argument)"]


def test_the_whole_class_folder_is_the_same_as_its_submitted(gather, tmp_path, good):
    write(tmp_path / "class/submitted", {"Kim/small/small (1).ipynb": good, "Kim/small/b.pdf": ""})
    write(tmp_path / "class/autograded", {"Kim/small/small.ipynb": "{"})
    row = gather(tmp_path / "class")["Kim"]
    assert row.path.read_bytes() == good and files_of(row) == {"small.ipynb", "b.pdf"}
    assert (tmp_path / "class/small/as_handed_in/Kim/small (1).ipynb").exists()


def test_an_encrypted_zip_is_told(gather, tmp_path, good):
    raw = bytearray(pack({"small.ipynb": good}))
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    files = {"k_1_2_a.zip": bytes(raw), "l_3_4_small.ipynb": good}
    rows = gather(pack(files, tmp_path / "a.zip"))
    assert rows["k_1"].status == NO_NOTEBOOK
    assert rows["k_1"].notes == ["small.ipynb is encrypted"]
    assert rows["l_3"].status == "collected"


@pytest.mark.parametrize("kind", ["cut", "text", "empty", "flipped", "odd method"])
def test_a_damaged_hand_in_harms_nobody_else(gather, tmp_path, good, kind):
    raw = bytearray(pack({"small.ipynb": good}))
    broken = {
        "cut": raw[: len(raw) // 2], "text": b"I am no zip", "empty": b"",
        "flipped": raw[:60] + bytes(20) + raw[80:], "odd method": raw.replace(b"\x08\0", b"\x63\0"),
    }[kind]  # fmt: skip
    files = {"k_1_2_work.zip": bytes(broken), "l_3_4_small.ipynb": good}
    rows = gather(pack(files, tmp_path / "a.zip"))
    assert rows["k_1"].status == NO_NOTEBOOK and len(rows["k_1"].notes) == 1
    assert re.search("damaged|cannot be read", rows["k_1"].notes[0])
    assert rows["l_3"].status == "collected"


def test_a_damaged_source_gets_a_sentence_and_the_rest_goes_on(gather, tmp_path, good):
    write(tmp_path, {"submissions.zip": b"PK\x03\x04 cut off"})
    kim = pack({"small.ipynb": good}, tmp_path / "Kim.zip")
    rows = gather(tmp_path / "submissions.zip", kim)
    assert rows["submissions"].status == NO_NOTEBOOK and rows["Kim"].status == "collected"
    assert rows["submissions"].notes == ["submissions.zip is no zip archive, or a damaged one"]
    assert [row["student"] for row in collected(tmp_path)] == ["Kim"]


def test_other_archives_are_named(gather, tmp_path, good):
    files = {"Kim/small/work.rar": "Rar!", "Lee/small/small.ipynb": good}
    rows = gather(write(tmp_path / "work", files))
    assert rows["Kim"].notes == ["work.rar is no zip: unpack it and collect again"]


def test_what_the_disk_will_not_give_is_told(gather, tmp_path, good, monkeypatch):
    files = {f"{one}/small/small.ipynb": good for one in ("Kim", "Lee", "Pat")}
    work, refused = write(tmp_path / "work", files), PermissionError(13, "Permission denied")

    def refusing(real, what):
        def call(path, *more, **named):
            if str(path).startswith(str(work / what)):
                raise refused
            return real(path, *more, **named)

        return call

    monkeypatch.setattr(os, "open", refusing(os.open, "Kim"))
    monkeypatch.setattr(os, "scandir", refusing(os.scandir, "Lee/small"))
    rows = gather(work)
    assert rows["Kim"].notes == ["small.ipynb cannot be read (Permission denied)"]
    assert rows["Lee"].notes == ["small cannot be read (Permission denied)"]
    assert [row.status for row in rows.values()] == [NO_NOTEBOOK, NO_NOTEBOOK, "collected"]


def test_a_large_class_needs_few_open_files(gather, tmp_path, good):
    resource = pytest.importorskip(
        "resource", reason="NOT TESTED: this system has no limits on open files"
    )
    files = {f"student{number}.zip": pack({"small.ipynb": good}) for number in range(40)}
    work = write(tmp_path / "work", files)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = max(int(name) for name in os.listdir("/dev/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 16, before[1]))
    try:
        rows = gather(work)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert [row.status for row in rows.values()] == ["collected"] * 40


def test_names_that_are_no_text_are_read(gather, tmp_path, good):
    work = tmp_path / "work"
    folder = os.fsencode(work) + b"/K\xfcm/small"
    try:
        os.makedirs(folder)
    except OSError:
        pytest.skip("NOT TESTED: this file system takes text names only")
    with open(folder + b"/small.ipynb", "wb") as file:
        file.write(good)
    write(work, {"Lee/small/small.ipynb": good})
    rows = gather(work)
    assert [row.status for row in rows.values()] == ["collected"] * 2 and "Lee" in rows


def test_umlauts_of_old_zip_programs_are_right(gather, tmp_path, good):
    raw = pack({"Zoe_1_assignsubmission_file_/small.ipynb": good})
    raw = raw.replace(b"Zoe_", "Zö_".encode())  # UTF-8 in the bytes, and no flag that says so
    assert list(gather(write(tmp_path, {"m.zip": raw}) / "m.zip")) == ["Zö"]


def test_a_place_that_cannot_be_written_is_told(gather, tmp_path, good):
    write(tmp_path / "class/submitted", {"Kim": "a file where a folder belongs"})
    row = gather(pack({"small.ipynb": good}, tmp_path / "Kim.zip"))["Kim"]
    assert row.status == "folder's name unusable" and says(row, "cannot be written")
    shutil.rmtree(tmp_path / "class")
    write(tmp_path, {"class": "also a file"})
    with pytest.raises(CourseError, match="cannot be written"):
        gather(tmp_path / "Kim.zip")


def test_unknown_assignments_and_sources_are_told(gather, tmp_path):
    with pytest.raises(CourseError, match="There is no .*nowhere: name a folder, a zip"):
        gather(tmp_path / "nowhere")
    with pytest.raises(CourseError, match="no assignment 'nothing'"):
        gather(tmp_path, name="nothing")
    (tmp_path / "empty").mkdir()
    assert gather(tmp_path / "empty") == {}


# --- one student's folder must not touch another's ---------------------------------------------
REACHES = {
    "a class inside a folder": "eve/submitted/bob/small/small.ipynb",
    "a student inside a folder": "eve/bob/small/small.ipynb",
    "a Moodle folder inside": "eve/small/bob_12_assignsubmission_file_/small.ipynb",
    "a Moodle file inside": "eve/small/bob_assignsubmission_file_small.ipynb",
    "a Canvas file inside": "eve/small/bob_1_2_small.ipynb",
}


@pytest.mark.parametrize("below", ["", "/small"])
@pytest.mark.parametrize("path", REACHES.values(), ids=REACHES)
def test_nobody_hands_in_for_another(gather, tmp_path, good, path, below):
    mine = json.dumps(json.loads(good) | {"metadata": {"whose": "eve"}})
    work = {f"{student}{below}/small.ipynb": good for student in ("ann", "bob", "eve")}
    rows = gather(write(tmp_path / "in", work | {path: mine}))
    assert sorted(rows) == ["ann", "bob", "eve"]
    assert "whose" not in rows["bob"].path.read_text()
    assert rows["ann"].status == rows["bob"].status == "collected"


def test_a_folder_of_the_assignments_name_does_not_hide_the_others(gather, tmp_path, good):
    work = {f"{student}/homework.ipynb": good for student in ("ann", "bob")}
    rows = gather(write(tmp_path / "in", work | {"eve/small/small.ipynb": good}))
    assert {row.status for row in rows.values()} == {"collected"} and len(rows) == 3


def test_a_zip_beside_the_zips_of_others_is_one_persons(gather, tmp_path, good):
    mine = pack({"bob/small/small.ipynb": good, "eve/small/small.ipynb": good})
    others = {f"{student}.zip": pack({"small.ipynb": good}) for student in ("ann", "bob")}
    rows = gather(write(tmp_path / "in", others | {"eve.zip": mine}))
    assert sorted(rows) == ["ann", "bob", "eve"]
