import errno
import os
import shutil
from types import SimpleNamespace

import pytest

from coursekit.cli import main
from coursekit.errors import CourseError, full_disk_told, writing


def test_writing_puts_the_whole_file_in_place(tmp_path):
    path = tmp_path / "new folder" / "scores.json"
    with writing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent and temporary.suffix == ".json"
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_writing_replaces_at_once(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("old")
    with open(path) as reader:
        with writing(path) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old", "a reader saw the file change under its eyes"
    assert path.read_text() == "new"


def test_writing_keeps_the_old_file_when_the_block_fails(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), writing(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_names_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="file.*choose another folder"):
        with writing(tmp_path / "file" / "scores.json"):
            pytest.fail("the block must not start")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/x"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]),
    ],
)
def test_a_full_disk_is_one_sentence(error):
    with pytest.raises(CourseError, match="^No space is left.*make room"), full_disk_told():
        raise error


def test_other_errors_of_files_pass():
    with pytest.raises(FileNotFoundError), full_disk_told():
        open("/no/such/file")


@pytest.mark.parametrize("free, raised", [(0, OSError), (1 << 30, RuntimeError)])
def test_a_writer_that_hides_the_reason(tmp_path, monkeypatch, free, raised):
    """torch's raises RuntimeError, whatever happened; on a full disk that is the reason."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(raised), writing(tmp_path / "model.pt"):
        raise RuntimeError("[enforce fail at inline_container.cc:664] unexpected pos 64 vs 0")
    assert not list(tmp_path.iterdir())


def test_the_command_says_it_plainly(monkeypatch, capsys):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("coursekit.progress.told", full, raising=False)
    monkeypatch.setattr("coursekit.progress.show", lambda: full(None))
    assert main(["progress"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("coursekit: No space is left") and "Traceback" not in told
