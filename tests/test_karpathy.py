"""Flickr30k and COCO 2014: fetched from a hostile server, unpacked, split, and damaged in every way."""

import json
import signal
import subprocess
import sys
import time

import pytest
import small_photos as small
from conftest import REPOSITORY
from hostile_server import serving
from small_photos import COCO, F30K, GREYS, HALVES, run_script

from coursekit import datasets
from coursekit.datasets.karpathy import Karpathy
from coursekit.errors import CourseError


@pytest.fixture
def server():
    with serving() as server:
        server.files = small.archives()
        yield server


@pytest.fixture
def folders(tmp_path):
    """Both sets unpacked: {name: folder}."""
    from coursekit.datasets.archives import unpack

    for name, content in small.archives().items():
        (tmp_path / name).write_bytes(content)
        for data in ("flickr30k", "coco"):
            unpack(tmp_path / name, tmp_path / data, progress=False)
    return {name: tmp_path / name for name in ("flickr30k", "coco")}


@pytest.mark.parametrize("name", ["flickr30k", "coco"])
def test_splits_of_karpathy(folders, name):
    places = {"train": range(8), "dev": (8, 9), "test": (10, 11)}
    files = F30K if name == "flickr30k" else [f"{h}/{c}" for h, c in zip(HALVES, COCO, strict=True)]
    for split, expected in places.items():
        dataset = datasets.load(name, split, folders[name])
        assert dataset.names == [files[place] for place in expected]
        assert (dataset.name, dataset.split) == (name, split)
        assert dataset.captions[1][4] == f"A grey photo , {expected[1]} , again 4 ."
        for index, place in enumerate(expected):
            assert (dataset.image(index).int() - GREYS[place]).abs().max() <= 2
    assert datasets.load(name, "train", folders[name], count=3).names == files[:3]


def test_halves_of_coco(folders):
    for half in ("train2014", "val2014"):
        dataset = datasets.load("coco", half, folders["coco"])
        places = [place for place in range(12) if HALVES[place] == half]
        assert dataset.names == [f"{half}/{COCO[place]}" for place in places]
        assert sorted(dataset.captions[2]) == [
            f"A grey photo , {places[2]} , again {k} ." for k in range(5)
        ]
        assert dataset.images([0]).shape == (1, 3, 128, 128)


def test_flickr8k_in_karpathys_splits(folders):
    root = folders["flickr30k"]
    (root / "dataset_flickr30k.json").rename(root / "dataset_flickr8k.json")
    (root / "flickr30k-images").rename(root / "Flicker8k_Dataset")
    assert len(Karpathy("flickr8k", "dev", root)) == 2


def test_unknown_splits():
    with pytest.raises(CourseError, match="coco has no split 'val'; choose train .* or val2014"):
        datasets.load("coco", "val", "nowhere")
    with pytest.raises(CourseError, match="flickr30k has no split 'train2014'; .* dev or test"):
        datasets.load("flickr30k", "train2014", "nowhere")


def damaged(change):
    """A damage of dataset_coco.json: `change` gets its first image, and all of it."""

    def damage(root):
        path = root / "dataset_coco.json"
        content = json.loads(path.read_text())
        content = change(content["images"][0], content) or content
        path.write_text(json.dumps(content))

    return damage


def set_first(**fields):
    return damaged(lambda image, _: image.update(fields))


DAMAGES = {
    "no folder": (lambda root: root.rename(root / "../x"), "no folder .*coco.py --to"),
    "no json": (
        lambda root: (root / "dataset_coco.json").unlink(),
        "lacks dataset_coco.json; fetch",
    ),
    "cut json": (lambda r: (r / "dataset_coco.json").write_text('{"im'), "not a whole JSON file"),
    "no text": (lambda r: (r / "dataset_coco.json").write_bytes(b"PK\xff"), "not a whole JSON"),
    "a list": (damaged(lambda *_: [1]), "not of the form"),
    "a number": (damaged(lambda *_: {"images": 3}), "not of the form"),
    "no sentences": (set_first(sentences=None), "not of the form"),
    "no raw": (set_first(sentences=[{}]), "not of the form"),
    "odd raw": (set_first(sentences=[{"raw": 3}]), "not of the form"),
    "odd name": (set_first(filename=7), "not of the form"),
    "empty": (damaged(lambda *_: {"images": []}), "has no picture of this split"),
    "no caption": (set_first(sentences=[{"raw": " \n"}]), "no caption for the photo"),
    "escape": (set_first(filename="../../etc/passwd"), "outside its folder; do not use it"),
    "beside": (set_first(filepath="..", filename="x.jpg"), "outside its folder; do not use it"),
    "absolute": (set_first(filename="/etc/passwd"), "outside its folder; do not use it"),
    "no photo": (lambda root: (root / "train2014" / COCO[0]).unlink(), "lacks the photo"),
    "no photos": (lambda root: (root / "train2014").rename(root / "x"), "There is no folder"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_told_in_a_sentence(folders, kind):
    damage, sentence = DAMAGES[kind]
    damage(folders["coco"])
    with pytest.raises(CourseError, match=sentence) as told:
        datasets.load("coco", "train", folders["coco"])
    assert "\n" not in str(told.value) and str(told.value).endswith(".")


def test_damaged_annotations_of_coco(folders):
    path = folders["coco"] / "annotations/captions_val2014.json"
    for content in ("{", "[]", '{"annotations": [{}], "images": []}', '{"annotations": 1}'):
        path.write_text(content)
        with pytest.raises(CourseError, match="fetch it again"):
            datasets.load("coco", "val2014", folders["coco"])


def test_an_empty_caption_is_left_out(folders):
    set_first(sentences=[{"raw": "  "}, {"raw": "one"}])(folders["coco"])
    assert datasets.load("coco", "train", folders["coco"]).captions[0] == ["one"]


def mirror(server):
    return "--base-url", server.url(""), "--unchecked"


def test_flickr30k_from_a_server_that_cuts_and_fails(server, tmp_path, monkeypatch, capsys):
    server.moods = ["cut", "well", "cut", "no ranges"]
    assert run_script(monkeypatch, "flickr30k", "--to", tmp_path / "f", *mirror(server)) == 0
    out = capsys.readouterr().out
    assert "flickr30k/train: 8 pictures, 40 captions (published: 29,000 pictures)" in out
    assert len(datasets.load("flickr30k", "test", tmp_path / "f")) == 2
    # Everything is there: the second run asks for nothing
    asked = len(server.seen)
    assert run_script(monkeypatch, "flickr30k", "--to", tmp_path / "f", *mirror(server)) == 0
    assert len(server.seen) == asked


@pytest.mark.parametrize("name", ["flickr30k-images.tar.gz", "flickr30k-images.zip"])
def test_flickr30k_from_archives_got_by_hand(tmp_path, monkeypatch, capsys, name):
    given, packed = tmp_path / "given", small.archives()
    photos = {f"flickr30k-images/{n}": small.jpeg(g) for n, g in zip(F30K, GREYS, strict=True)}
    given.mkdir()
    (given / "caption_datasets.zip").write_bytes(packed["caption_datasets.zip"])
    arguments = "--from", given, "--to", tmp_path / "f"
    assert run_script(monkeypatch, "flickr30k", *arguments) == 2
    told = capsys.readouterr().err
    assert "There is no flickr30k-images.zip or flickr30k-images.tar.gz or" in told
    (given / name).write_bytes((small.tarred if "tar" in name else small.zipped)(photos))
    assert run_script(monkeypatch, "flickr30k", *arguments) == 0


def test_coco_from_a_server_that_lies(server, tmp_path, monkeypatch, capsys):
    arguments = "--to", tmp_path / "c", *mirror(server)
    server.always = {"val2014.zip": "too short"}
    assert run_script(monkeypatch, "coco", *arguments) == 2
    assert "val2014.zip is not a whole zip archive" in capsys.readouterr().err
    (tmp_path / "c" / "val2014.zip").unlink()
    server.always = {"val2014.zip": "redirect", "train2014.zip": "odd length"}
    assert run_script(monkeypatch, "coco", *arguments) == 0
    out = capsys.readouterr().out
    for line in ("coco/train: 8 pictures", "coco/dev: 2 pictures", "coco/train2014: 6 pictures"):
        assert line in out


def test_half_of_coco(server, tmp_path, monkeypatch, capsys):
    arguments = "--to", tmp_path / "c", *mirror(server), "--photos", "val2014"
    assert run_script(monkeypatch, "coco", *arguments) == 0
    assert not (tmp_path / "c/train2014").exists()
    assert "coco/test: 2 pictures" in capsys.readouterr().out


def test_archives_packed_anew_are_refused_without_unchecked(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    arguments = "--to", tmp_path / "c", "--base-url", server.url("")
    assert run_script(monkeypatch, "coco", *arguments) == 2
    told = capsys.readouterr().err
    assert "its checksum is wrong" in told and told.count("\n") == 1


def test_coco_goes_on_after_a_kill(server, tmp_path, monkeypatch):
    server.always = {"val2014.zip": "stall"}
    script, arguments = (
        REPOSITORY / "data_scripts/coco.py",
        ("--to", tmp_path / "c", *mirror(server)),
    )
    process = subprocess.Popen([sys.executable, script, *arguments], stdout=subprocess.DEVNULL)
    part, patience = tmp_path / "c/val2014.zip.part", time.monotonic() + 120
    while not (part.exists() and part.stat().st_size) and time.monotonic() < patience:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    arrived = part.stat().st_size
    assert 0 < arrived < len(server.files["val2014.zip"])
    server.always = {}
    assert run_script(monkeypatch, "coco", *arguments) == 0
    assert ("/val2014.zip", f"bytes={arrived}-") in server.seen
    assert sum(path == "/caption_datasets.zip" for path, _ in server.seen) == 1
