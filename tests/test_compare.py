"""The data sets side by side: measured where they are, as published where they are not."""

import json
from collections import Counter

import pytest
import small_photos as small

from coursekit import datasets
from coursekit.datasets import compare
from coursekit.datasets.archives import unpack
from coursekit.errors import CourseError
from coursekit.text import words


@pytest.fixture
def coco(tmp_path, monkeypatch):
    """COCO in small, and no other set on this machine."""
    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path / "nothing"))
    for name, content in small.archives().items():
        (tmp_path / name).write_bytes(content)
        unpack(tmp_path / name, tmp_path / "coco", progress=False)
    return tmp_path / "coco"


def rows(*arguments):
    return {row.name: row for row in compare.table(*arguments)}


def test_every_set_has_a_row_with_licence_and_source(coco):
    found = rows({"coco": coco}, words)
    assert tuple(found) == datasets.NAMES == tuple(compare.PUBLISHED)
    for row in found.values():
        assert row.licence and row.good_for and row.source
        assert row.images and row.captions and row.bytes is not None


def test_what_is_here_is_measured(coco):
    row = compare.measured("coco", coco, words)
    # "A grey photo , PLACE , again K .": 12 places, and 5 numbers that are places as well
    assert (row.images, row.captions, row.captions_an_image) == (12, 60, 5)
    assert (row.length, row.longest, row.words) == (6, 6, 4 + 12)
    assert row.source == f"measured in {coco}"
    assert rows()["coco"] == compare.PUBLISHED["coco"] and rows()["scenes"].images is None


def test_common_words_occur_five_times(coco):
    path = coco / "dataset_coco.json"
    content = json.loads(path.read_text())
    for image in content["images"]:
        image["sentences"] = [{"raw": "dogs"}]
    content["images"][0]["sentences"] = [
        {"raw": "cats " * 4},
        {"raw": "birds birds birds birds birds"},
    ]
    path.write_text(json.dumps(content))
    row = compare.measured("coco", coco, words)
    assert (row.words, row.common, row.longest) == (3, 2, 5)
    assert row.length == pytest.approx((11 + 4 + 5) / 13)


def test_scenes_are_measured_over_all_their_splits(coco):
    row = rows({}, words)["scenes"]
    texts = [
        c
        for s in ("train", "dev", "test", "unseen")
        for e in datasets.load("scenes", s).captions
        for c in e
    ]
    counts = Counter(word for text in texts for word in words(text))
    assert (row.images, row.captions, row.words) == (7500, len(texts), len(counts))


def test_roots_that_are_wrong(coco):
    with pytest.raises(CourseError, match="no data set 'cocoa'; choose one of scenes, "):
        compare.table({"cocoa": coco}, words)
    with pytest.raises(CourseError, match="lacks dataset_flickr30k.json"):
        compare.table({"flickr30k": coco / "train2014"}, words)


def test_roots_of_the_command_line():
    assert compare.roots_of(["coco=a=b", "flickr8k=c"]) == {"coco": "a=b", "flickr8k": "c"}
    assert compare.roots_of(None) == {}
    with pytest.raises(CourseError, match="--root coco is not NAME=DIR"):
        compare.roots_of(["coco"])


def test_the_table_as_it_is_printed(coco, capsys):
    compare.print_comparison({"coco": coco}, words)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["images", "captions"]
    assert lines[4].split() == "coco 12 60 5.0 16 16 6.0 6 20.4 GB".split()
    assert lines[5].split()[:4] == ["conceptual", "3,334,173", "3,334,173", "1.0"]
    assert max(map(len, lines[:6])) <= 100
    assert any("CC BY 4.0" in line for line in lines)
    compare.print_comparison({"coco": coco}, words, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["coco"]["images"] == 12 and tuple(told) == datasets.NAMES
