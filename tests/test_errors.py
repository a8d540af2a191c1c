import pytest

from coursekit.errors import CourseError, writing


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
