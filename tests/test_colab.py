"""Colab: what is trained survives a disconnect, on Drive or as a zip. google.colab is a stand-in that fails as its own does.

Its ways: googlecolab/colabtools, google/colab/drive.py, files.py and _message.py.
"""

import io
import os
import stat
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest
from IPython.core.error import StdinNotImplementedError

from coursekit import colab
from coursekit.errors import CourseError
from coursekit.places import build_folder

ROOT = Path(__file__).resolve().parents[1]


class MessageError(Exception):
    """What google.colab raises when the reader closes the window that asks for leave."""


class Platform:
    """Colab in a folder: its disk, its Drive, and what it was asked for."""

    def __init__(self, folder):
        self.drive, self.disk = folder / "content" / "drive", folder / "content" / ".build"
        self.answer, self.fails, self.asked, self.mounts = "y", None, 0, 0
        self.given, self.uploaded = [], {}
        self.drive.parent.mkdir()

    def input(self, question):
        self.asked += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def mount(self, mountpoint, force_remount=False, timeout_ms=120_000, readonly=False):
        assert mountpoint == str(self.drive)
        self.mounts += 1
        if self.fails:
            raise self.fails
        (self.drive / "MyDrive").mkdir(parents=True)
        print(f"Mounted at {mountpoint}")

    def download(self, filename):
        if self.fails:
            raise self.fails
        self.given.append(Path(filename).name)

    def upload(self):
        if self.fails:
            raise self.fails
        return self.uploaded

    def trained(self, name="lesson-03/first-run/model.pt", data=b"weights"):
        path = build_folder(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


@pytest.fixture
def away(tmp_path, monkeypatch):
    """Not Colab, and a folder of its own to be trained in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A notebook on Colab, with nothing mounted and nothing asked so far."""
    platform = Platform(tmp_path)
    monkeypatch.chdir(platform.drive.parent)
    parts = {"drive": ["mount"], "files": ["download", "upload"]}
    package = types.ModuleType("google.colab")
    for name, functions in parts.items():
        part = types.ModuleType(f"google.colab.{name}")
        for function in functions:
            setattr(part, function, getattr(platform, function))
        setattr(package, name, part)
        monkeypatch.setitem(sys.modules, f"google.colab.{name}", part)
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setattr("builtins.input", platform.input)
    monkeypatch.setattr(colab, "DRIVE", platform.drive)
    # As installed on Colab: not beside a course
    monkeypatch.setattr("coursekit.places.__file__", str(tmp_path / "site" / "coursekit" / "p.py"))
    monkeypatch.setenv("COURSEKIT_HOME", "")
    colab._asked.cache_clear()
    yield platform
    colab._asked.cache_clear()


# --- where things are kept


def test_elsewhere_nothing_happens_and_a_sentence_says_so(away, capsys, monkeypatch):
    monkeypatch.setattr("builtins.input", None)
    assert colab.keep() == f"This is not Colab: what is trained stays in {away / 'home'}."
    colab.download()
    colab.restore()
    colab.offer()
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 3 and all(line.startswith("This is not Colab: ") for line in told)
    assert list(away.iterdir()) == []


def test_drive_is_used_where_the_reader_agrees(here):
    told = colab.keep()
    assert told == f"Kept in {build_folder()}, where a disconnect does not lose it."
    assert build_folder() == here.drive / "MyDrive" / "coursekit" and build_folder().is_dir()
    assert os.environ["COURSEKIT_HOME"] == str(build_folder())
    assert colab.keep() == told and (here.asked, here.mounts) == (1, 1)


def test_a_drive_that_is_mounted_is_used_without_a_question(here):
    (here.drive / "MyDrive").mkdir(parents=True)
    assert "disconnect does not lose it" in colab.keep()
    assert build_folder().is_relative_to(here.drive) and (here.asked, here.mounts) == (0, 0)


def test_another_home_stays_and_nothing_is_asked(here, monkeypatch):
    monkeypatch.setenv("COURSEKIT_HOME", "/elsewhere")
    assert colab.keep() == "Kept in /elsewhere, as the variable COURSEKIT_HOME asks."
    assert os.environ["COURSEKIT_HOME"] == "/elsewhere" and here.asked == 0


def test_what_was_made_before_is_not_forgotten(here):
    here.trained()
    assert f"what was made before stays in {here.disk}" in colab.keep()


@pytest.mark.parametrize("answer", ["", " ", "n", "no", "N", "yesterday"])
def test_a_refusal_keeps_all_local(here, answer):
    here.answer = answer
    told = colab.keep()
    assert "Drive was not wanted" in told and "colab.download()` saves it" in told
    assert build_folder() == here.disk and here.mounts == 0


@pytest.mark.parametrize("answer", ["y", "Y", " yes "])
def test_agreeing(here, answer):
    here.answer = answer
    assert colab.keep().startswith(f"Kept in {here.drive}")


@pytest.mark.parametrize(
    "nothing",
    [EOFError(), StdinNotImplementedError("no stdin"), OSError("captured"), RuntimeError("lost")],
)
def test_no_answer_keeps_all_local(here, nothing):
    here.answer = nothing
    assert "(nobody answered), which a disconnect loses" in colab.keep()
    assert build_folder() == here.disk and here.mounts == 0


@pytest.mark.parametrize(
    "error, words",
    [
        (MessageError("Error: credential propagation was unsuccessful"), "credential propagation"),
        (ValueError("mount failed: timeout\nof the root folder"), "mount failed: timeout)"),
        (ValueError("Mountpoint must not already contain files"), "already contain files"),
        (NotImplementedError("google.colab.drive is unsupported"), "unsupported"),
        (KeyError("TBE_CREDS_ADDR"), "TBE_CREDS_ADDR"),
        (AssertionError(), "AssertionError"),
        (ValueError("x" * 5000), "xxx"),
    ],
)
def test_a_mount_that_fails_keeps_all_local_and_says_why_in_one_sentence(here, error, words):
    here.fails = error
    told = colab.keep()
    assert "Drive was not mounted" in told and words in told and "\n" not in told
    assert len(told) < 400 and build_folder() == here.disk
    assert colab.keep() == told and (here.asked, here.mounts) == (1, 1), "asked once a kernel"


def test_a_mount_without_my_drive(here, monkeypatch):
    monkeypatch.setattr(sys.modules["google.colab.drive"], "mount", lambda place: None)
    assert "mounted without a MyDrive" in colab.keep() and build_folder() == here.disk
    assert not here.drive.exists(), "a folder there would be in the way of a later mount"


def test_the_button_of_colab_is_seen_after_a_refusal(here):
    here.answer = ""
    colab.keep()
    (here.drive / "MyDrive").mkdir(parents=True)
    assert colab.keep().startswith(f"Kept in {here.drive}") and here.asked == 1


def test_a_stopped_question_stops_the_cell(here):
    here.answer = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        colab.keep()


def test_a_drive_that_cannot_be_written_to(here):
    (here.drive / "MyDrive").mkdir(parents=True)
    (here.drive / "MyDrive" / "coursekit").write_text("a file of the reader's")
    assert "cannot be written to" in colab.keep() and build_folder() == here.disk


def test_a_drive_that_is_read_only(here, monkeypatch):
    def refuses(dir):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(colab.tempfile, "TemporaryFile", refuses)
    assert "cannot be written to: Read-only file system" in colab.keep()
    assert build_folder() == here.disk


def test_a_drive_that_hangs_is_none(here, monkeypatch):
    real = os.stat

    def hangs(path, *args, **kwargs):
        if str(path).startswith(str(here.drive)):
            raise OSError(107, "Transport endpoint is not connected")
        return real(path, *args, **kwargs)

    (here.drive / "MyDrive").mkdir(parents=True)
    here.fails = ValueError("mount failed")
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", hangs)
        told = colab.keep()
    assert "Drive was not mounted: mount failed" in told and build_folder() == here.disk


def test_a_drive_that_was_taken_away_is_asked_for_again(here):
    colab.keep()
    (here.drive / "MyDrive" / "coursekit").rmdir()
    (here.drive / "MyDrive").rmdir()
    assert "no longer mounted" in colab.keep() and build_folder() == here.disk


# --- the zip


def test_there_and_back(here, capsys):
    here.answer = ""
    colab.keep()
    here.trained()
    here.trained("progress.json", b"{}")
    here.trained("lesson-05/soft, two layers/model.pt", os.urandom(70_000))
    before = {path.relative_to(here.disk): path.read_bytes() for path in files(here.disk)}
    here.trained("features/large.pt", b"computed again")
    colab.download()
    assert here.given == ["coursekit.zip"]
    told = capsys.readouterr().out
    assert "coursekit.zip: 3 files, 0.1 MB, without features and downloads" in told
    here.uploaded = {"coursekit.zip": Path("coursekit.zip").read_bytes()}
    for path in files(here.disk):
        path.unlink()
    colab.restore()
    assert {path.relative_to(here.disk): path.read_bytes() for path in files(here.disk)} == before


def files(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_half_written_files_links_and_the_zip_itself_stay_behind(here):
    here.trained()
    here.trained("lesson-03/.77.part.model.pt")
    build_folder("link").symlink_to("/etc")
    build_folder("one.pt").symlink_to("/etc/hostname")
    own = build_folder("mine.zip")
    for _ in range(2):
        colab.download(own)
    assert zipfile.ZipFile(own).namelist() == ["coursekit/lesson-03/first-run/model.pt"]


def test_a_file_older_than_zips_can_be_packed(here):
    os.utime(here.trained(), (0, 0))
    colab.download()
    assert here.given


def test_nothing_to_save(here, capsys):
    build_folder("features").mkdir(parents=True)
    colab.download()
    assert "nothing to save" in capsys.readouterr().out and here.given == []


def test_a_browser_that_refuses(here, capsys):
    here.trained()
    here.fails = AttributeError("'NoneType' object has no attribute 'kernel'")
    colab.download()
    assert "coursekit.zip in Colab's list of files" in capsys.readouterr().out
    assert zipfile.is_zipfile("coursekit.zip")


def test_a_place_where_no_zip_can_be(here, monkeypatch):
    here.trained()
    with pytest.raises(CourseError, match="ends in .zip"):
        colab.download("run.tar")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "write", full)
    with pytest.raises(CourseError, match="No space left on device.*make room"):
        colab.download("run.zip")
    assert not Path("run.zip").exists()


def test_a_zip_is_packed_and_unpacked_elsewhere_where_one_is_named(away, capsys):
    model = away / "home" / "lesson-03" / "model.pt"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"first")
    colab.download("mine.zip")
    model.write_bytes(b"second")
    colab.restore("mine.zip")
    assert model.read_bytes() == b"first"
    assert "1 files are back" in capsys.readouterr().out


def packed(*members, **more):
    """A zip's bytes; members: names, or (ZipInfo, data)."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", **more) as bundle:
        for member in members:
            info, content = (member, b"x") if isinstance(member, str) else member
            bundle.writestr(info, content)
    return data.getvalue()


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, "/etc"


OUTSIDE = [
    "coursekit/../../evil",
    "coursekit/a/../b",
    "coursekit/a/../../evil",
    "../evil",
    "/evil",
    "/coursekit/evil",
    "evil",
    "coursekit",
    "coursekit//etc/evil",
    "coursekit/./evil",
    "coursekit/..\\evil",
    "coursekit/C:evil",
    "coursekit\\..\\evil",
    "coursekitten/evil",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_member_that_leads_outside_is_refused_and_nothing_is_unpacked(here, name):
    here.uploaded = {"a.zip": packed("coursekit/good", name)}
    with pytest.raises(CourseError, match="nothing was unpacked"):
        colab.restore()
    assert files(here.drive.parent) == []


def test_links_are_refused_and_links_on_disk_are_not_followed(here, tmp_path):
    here.uploaded = {"a.zip": packed("coursekit/good", link("coursekit/link"))}
    with pytest.raises(CourseError, match="nothing was unpacked"):
        colab.restore()
    here.disk.mkdir(exist_ok=True)
    (here.disk / "out").symlink_to(tmp_path)
    here.uploaded = {"a.zip": packed("coursekit/out/evil")}
    with pytest.raises(CourseError, match="nothing was unpacked"):
        colab.restore()
    assert not (tmp_path / "evil").exists() and files(here.disk) == []


def spoiled(data):
    where = data.index(b"weights")
    return data[:where] + b"WEIGHTS" + data[where + 7 :]


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "not a whole zip"),
        (b"PK\x03\x04 and no more", "not a whole zip"),
        (packed("coursekit/a", ("coursekit/b", b"weights"))[:-30], "not a whole zip"),
        (spoiled(packed("coursekit/a", ("coursekit/b", b"weights"))), "not a whole zip"),
        (packed(), "does not fit"),
        (packed("coursekit/a", "coursekit/a/b"), "does not fit"),
        (packed("coursekit/taken"), "does not fit"),
        (packed("coursekit/file/a"), "does not fit"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_whole_or_not_at_all(here, data, words):
    (here.disk / "taken").mkdir(parents=True)
    here.trained("file", b"mine")
    here.uploaded = {"a.zip": data}
    with pytest.raises(CourseError, match=words):
        colab.restore()
    assert [path.name for path in files(here.disk)] == ["file"]
    assert sorted(os.listdir(here.disk)) == ["file", "taken"], "nothing half unpacked is left"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice(here):
    here.uploaded = {"a.zip": packed("coursekit/a", "coursekit/a")}
    with pytest.raises(CourseError, match="does not fit"):
        colab.restore()


def test_a_zip_larger_than_the_disk(here, monkeypatch):
    here.uploaded = {"a.zip": packed(("coursekit/a", b"0" * 5_000_000))}
    monkeypatch.setattr(colab.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=10**6))
    with pytest.raises(CourseError, match="needs 5.0 MB and .* has 1.0 MB: make room"):
        colab.restore()
    assert files(here.disk) == []


def test_a_zip_packed_again_by_a_mac(here, capsys):
    """Safari unpacks what it saves, and the reader packs it again by hand."""
    here.uploaded = {"a.zip": packed("coursekit/", "coursekit/a/b", "__MACOSX/coursekit/._a")}
    colab.restore()
    assert "1 files are back" in capsys.readouterr().out
    assert [path.relative_to(here.disk) for path in files(here.disk)] == [Path("a/b")]


def test_uploads_that_fail(here, capsys):
    colab.restore()
    assert "nothing has changed" in capsys.readouterr().out
    here.uploaded = {"a.zip": b"", "b.zip": b""}
    with pytest.raises(CourseError, match="2 files were chosen"):
        colab.restore()
    here.fails = TypeError("'NoneType' object is not subscriptable")
    with pytest.raises(CourseError, match="upload failed .*not subscriptable.*list of files"):
        colab.restore()
    with pytest.raises(CourseError, match="check its name"):
        colab.restore("no such.zip")


# --- the end of a notebook


def test_the_end_says_what_was_trained_and_how_to_save_it(here, capsys):
    colab.offer()
    assert capsys.readouterr().out == ""
    here.trained(data=b"0" * 2_000_000)
    here.trained("features/large.pt")
    colab.offer()
    told = capsys.readouterr().out
    assert told.startswith("Trained here: lesson-03 (2.0 MB). A disconnect loses it; `from")
    assert "colab.download()` saves it" in told and here.asked == 0
    colab.keep()
    here.trained()
    colab.offer()
    assert "a disconnect does not lose it" in capsys.readouterr().out


def test_it_is_light_and_sees_no_colab_where_there_is_none():
    code = "import sys; from coursekit import colab; assert not colab.on_colab(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
