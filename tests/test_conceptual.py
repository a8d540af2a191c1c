"""Conceptual Captions: shards in img2dataset's layout read, and img2dataset itself against a hostile server."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from conftest import REPOSITORY
from hostile_server import serving
from small_photos import jpeg, run_script

from coursekit import datasets, sizes
from coursekit.datasets import conceptual, join, shards
from coursekit.errors import CourseError

PER_SHARD = 110  # more than a hundred, so that two pictures of a shard belong to dev


def write_shard(folder, number, alive, tried=PER_SHARD, stats=True):
    """A shard as img2dataset leaves it: pictures in the order they came, three files each."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:05}.tar"
    with tarfile.open(path, "w") as tar:
        for place in alive:
            key = f"{number:05}{place:04}"
            meta = {"caption": f"thing {key}", "url": f"http://x/{place}", "status": "success"}
            for kind, content in (
                ("jpg", jpeg(place % 250)),
                ("json", json.dumps(meta, indent=4).encode()),
                ("txt", f" thing  {key}\n".encode()),
            ):
                info = tarfile.TarInfo(f"{key}.{kind}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    if stats:
        write_stats(folder, number, len(alive), tried)
    return path


def write_stats(folder, number, came, tried, why=None):
    why = why or {"HTTP Error 404: Not Found": tried - came}
    stats = {"count": tried, "successes": came, "failed_to_download": tried - came}
    stats |= {"failed_to_resize": 0, "status_dict": {"success": came, **why}}
    (folder / f"{number:05}_stats.json").write_text(json.dumps(stats, indent=4))


@pytest.fixture
def root(tmp_path):
    """Two shards of training pictures, out of order and with gaps, and one of the validation table."""
    write_shard(tmp_path / "train", 0, [100, 3, 0, 7])
    write_shard(tmp_path / "train", 1, [2, 1, 0])
    write_shard(tmp_path / "test", 0, [5, 0])
    return tmp_path


def test_splits(root):
    names = {
        "train": ["00000/000000003", "00000/000000007", "00001/000010001", "00001/000010002"],
        "dev": ["00000/000000000", "00000/000000100", "00001/000010000"],
        "test": ["00000/000000000", "00000/000000005"],
    }
    for split, expected in names.items():
        dataset = datasets.load("conceptual", split, root)
        assert dataset.names == expected and dataset.split == split
        assert dataset.captions == [[f"thing {name[6:]}"] for name in expected]
        for index, name in enumerate(expected):
            assert (dataset.image(index).int() - int(name[-4:]) % 250).abs().max() <= 2
    assert dataset.images([1, 0]).shape == (2, 3, 128, 128)
    assert dataset.pick([1]).image(0).equal(dataset.image(1))
    whole = join(datasets.load("conceptual", split, root) for split in names)
    assert len(whole) == 9 and whole.image(8).equal(dataset.image(1))


def test_the_index_is_made_once_and_again_when_a_shard_changes(root, monkeypatch):
    scanned, scan = [], shards.scan
    monkeypatch.setattr(shards, "scan", lambda path: scanned.append(path.name) or scan(path))
    for _ in range(2):
        datasets.load("conceptual", "train", root)
    assert scanned == ["00000.tar", "00001.tar"]
    write_shard(root / "train", 1, [4])
    assert datasets.load("conceptual", "train", root).names[-1] == "00001/000010004"
    assert scanned[2:] == ["00001.tar"]
    for index in (root / "index/train").iterdir():
        index.write_text('{"mark": []}')
    assert len(datasets.load("conceptual", "train", root)) == 3


def test_a_folder_that_cannot_be_written_is_read_all_the_same(root):
    (root / "index").write_text("a file where the folder should be")
    assert len(datasets.load("conceptual", "train", root)) == 4


def test_unfinished_shards_are_left_out_and_counted(root):
    path = write_shard(root / "train", 2, range(10), stats=False)
    path.write_bytes(path.read_bytes()[:9000])
    train = datasets.load("conceptual", "train", root)
    assert len(train) == 4 and train.unfinished == 1


def test_shards_of_others_need_no_stats(root):
    for path in (root / "train").glob("*.json"):
        path.unlink()
    (root / "train/00000.tar").rename(root / "train/cc3m-train-0000.tar")
    train = datasets.load("conceptual", "train", root)
    assert train.names[-1] == "cc3m-train-0000/000000007" and len(train) == 4


@pytest.mark.parametrize("end", [-20_000, 4000, 0])
def test_a_finished_shard_that_was_cut_off(root, end):
    path = root / "train/00000.tar"
    path.write_bytes(path.read_bytes()[:end])
    words = r"00000.tar is cut off: it holds \d of 4 .* delete it and 00000_stats.json and run"
    with pytest.raises(CourseError, match=words):
        datasets.load("conceptual", "train", root)


def test_a_shard_that_is_cut_off_while_it_is_read(root):
    train = datasets.load("conceptual", "train", root)
    path = root / "train/00000.tar"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CourseError, match="00000/000000007 in .*00000.tar is not an image"):
        train.image(1)
    path.unlink()
    with pytest.raises(CourseError, match="00000.tar cannot be read .*fetch the shard again"):
        train.image(1)


def test_pictures_without_caption_are_left_out_and_counted(root):
    with tarfile.open(root / "train/00001.tar", "a") as tar:
        for name, content in (("5.jpg", jpeg(9)), ("6.jpg", jpeg(9)), ("6.txt", b" \n")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    write_stats(root / "train", 1, 5, PER_SHARD)
    train = datasets.load("conceptual", "train", root)
    assert len(train) == 4 and train.bare == 2


def test_nothing_there(root):
    write_shard(root / "empty" / "train", 0, [])
    for folder in (root / "empty", root / "nowhere"):
        with pytest.raises(CourseError, match="no finished shard .*conceptual_captions.py --to"):
            datasets.load("conceptual", "train", folder)
    with pytest.raises(CourseError, match="no split 'val'; choose train or dev or test"):
        datasets.load("conceptual", "val", root)


LINES = [
    "a dog\thttp://a.b/1.jpg",
    'a "big" cat , it\'s\thttps://a.b/2.jpg\r',
    "your files\tfile:///etc/passwd",
    "no address",
    "\thttp://a.b/3.jpg",
    "\u2028 strange\thttp://a.b/4.jpg",
]


def test_the_table_for_img2dataset(tmp_path):
    source, target = tmp_path / "in.tsv", tmp_path / "out.tsv"
    source.write_bytes("\n".join(LINES).encode() + b"\n\xff broken\thttp://a.b/5.jpg")
    assert conceptual.write_table(source, target) == (4, 3)
    lines = target.read_text().split("\n")
    assert lines[0] == "caption\turl" and lines[2] == '"a ""big"" cat , it\'s"\thttps://a.b/2.jpg'
    assert lines[3] == "strange\thttp://a.b/4.jpg"
    assert conceptual.write_table(source, target, count=1) == (1, 0)
    source.write_text("<html>sign in</html>")
    with pytest.raises(CourseError, match="has no line 'caption<TAB>address'; fetch it again"):
        conceptual.write_table(source, target)


def test_report(root):
    folder = root / "train"
    why = {"HTTP Error 410: Gone": 2, "<urlopen error timed out>": 90, "?": 1}
    write_stats(folder, 1, 3, 100, why | {"The read operation timed out": 3})
    assert conceptual.report(folder) == {
        "tried": 210,
        "came": 7,
        "dead": 203,
        # One failed while it was written, and is in no list
        "why": {"gone (404 or 410)": 108, "too slow": 93, "other": 2},
    }
    assert conceptual.report(root / "nowhere")["tried"] == 0


def test_kinds_of_failure():
    kinds = {
        "HTTP Error 403: Forbidden": "refused by the server (4xx)",
        "HTTP Error 503: busy": "failure of the server (5xx)",
        "<urlopen error [Errno -2] Name or service not known>": "no such server",
        "<urlopen error [Errno 111] Connection refused>": "no answer",
        "Remote end closed connection without response": "no answer",
        "<urlopen error [SSL: CERTIFICATE_VERIFY_FAILED] …>": "bad certificate",
        "IncompleteRead(3 bytes read, 4 more expected)": "broke off",
        "Use of image disallowed by X-Robots-Tag directive": "forbidden by its owner",
        "Image decoding error": "not an image",
        "HTTP Error 302: … would lead to an infinite loop.": "redirects that never end",
        "": "other",
    }
    assert {message: conceptual.kind_of(message) for message in kinds} == kinds


def test_a_run_goes_on_with_its_own_settings_only(tmp_path):
    path = tmp_path / "train.json"
    for _ in range(2):
        conceptual.settings_agree(path, {"addresses a shard": 10})
    with pytest.raises(
        CourseError, match="fetched with addresses a shard 10, not 20; use the same"
    ):
        conceptual.settings_agree(path, {"addresses a shard": 20})


@pytest.fixture
def server():
    with serving() as server:
        yield server


def test_script_without_img2dataset(server, tmp_path, monkeypatch, capsys):
    server.files = {"GCC-1.1.0-Validation.tsv": LINES[0].encode()}
    arguments = "--to", tmp_path, "--base-url", server.url(""), "--splits", "test"
    for python in ("/nowhere/python", "/bin/false"):
        assert run_script(monkeypatch, "conceptual_captions", *arguments, "--python", python) == 2
        told = capsys.readouterr().err
        assert "cannot import img2dataset; install" in told and told.count("\n") == 1


def test_script_tells_of_a_run_that_left_shards_out(server, tmp_path, monkeypatch, capsys):
    """As Ray's distributor does without ray: it does nothing, and says that all is well."""
    idle = tmp_path / "python"
    idle.write_text("#!/bin/sh\nexit 0\n")
    idle.chmod(0o755)
    server.files = {"GCC-training.tsv": "\n".join(LINES).encode()}
    arguments = "--to", tmp_path / "c", "--base-url", server.url(""), "--splits", "train"
    assert run_script(monkeypatch, "conceptual_captions", *arguments, "--python", idle) == 2
    assert "1 of 1 shards are not finished; " in capsys.readouterr().err


# What the server does with every twelfth picture, and what is told of it; None is a picture that comes
TREATMENTS = [
    ("well", None),
    ("redirect", None),
    (404, "gone (404 or 410)"),
    ("stall", "too slow"),
    ("html", "not an image"),
    ("cut", "broke off"),
    ("circle", "redirects that never end"),
    ("too short", "not an image"),
    ("too long", "broke off"),
    (500, "failure of the server (5xx)"),
    ("well", None),
    ("no length", "not an image"),
]


@pytest.fixture
def web(server):
    """A table of 60 addresses of a server where most links are dead, and three elsewhere."""
    lines = []
    for place in range(60):
        name, mood = f"p{place}.jpg", TREATMENTS[place % 12][0]
        server.files[name] = b"<html>" if mood == "html" else jpeg(4 * place, 300, 200 + place)
        if mood not in ("well", "html"):
            server.always[name] = mood
        lines.append(f'a "grey" thing , {place}\t{server.url(name)}')
    lines += ["none\thttp://nowhere.invalid/", "none\thttp://127.0.0.1:9/", LINES[2]]
    server.files["GCC-training.tsv"] = "\n".join(lines).encode()
    return server


@pytest.fixture
def img2dataset():
    """A Python with img2dataset: $COURSEKIT_IMG2DATASET, else the environment that the script makes."""
    made = sizes.build_folder("img2dataset", "bin", "python")
    python = Path(os.environ.get("COURSEKIT_IMG2DATASET", made))
    code = "import importlib.util as u; raise SystemExit(u.find_spec('img2dataset') is None)"
    if not python.exists() or subprocess.run([python, "-c", code]).returncode:
        pytest.skip(
            f"NOT TESTED: fetching pictures of the web: no img2dataset in {python}; "
            "`python data_scripts/conceptual_captions.py --prepare` makes it"
        )
    return python


def processes(folder):
    """The processes whose command names `folder`."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (place / "cmdline").read_bytes():
                found.append(int(place.name))
        except OSError:
            pass
    return found


@pytest.mark.slow
def test_img2dataset_against_a_hostile_server(web, tmp_path, monkeypatch, capsys, img2dataset):
    out = tmp_path / "conceptual"
    arguments = ["--to", out, "--base-url", web.url(""), "--splits", "train", "--shard", "20"]
    arguments += ["--processes", "1", "--threads", "16", "--timeout", "2", "--python", img2dataset]
    script = REPOSITORY / "data_scripts" / "conceptual_captions.py"
    killed = subprocess.Popen([sys.executable, script, *arguments], stdout=subprocess.DEVNULL)
    first, patience = out / "train/00000_stats.json", time.monotonic() + 300
    while not first.exists() and killed.poll() is None and time.monotonic() < patience:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = first.stat().st_mtime_ns
    while processes(out) and time.monotonic() < patience:
        time.sleep(0.1)
    assert processes(out) == []

    assert run_script(monkeypatch, "conceptual_captions", *arguments) == 0
    assert first.stat().st_mtime_ns == done
    alive = [place for place in range(60) if TREATMENTS[place % 12][1] is None]
    found = conceptual.report(out / "train")
    expected = {kind: 0 for _, kind in TREATMENTS if kind}
    for _, kind in TREATMENTS:
        if kind:
            expected[kind] += 5
    assert found["why"] == expected | {"no such server": 1, "no answer": 1}
    assert (found["tried"], found["came"], found["dead"]) == (62, len(alive), 62 - len(alive))
    told = capsys.readouterr().out
    assert "train: 62 addresses (1 lines of the table are none)" in told
    assert f"{len(alive)} pictures came, {62 - len(alive)} of 62 are dead" in told

    whole = join(datasets.load("conceptual", split, out) for split in ("dev", "train"))
    captions = {f'a "grey" thing , {place}': place for place in alive}
    assert sorted(c for each in whole.captions for c in each) == sorted(captions)
    for index, (caption,) in enumerate(whole.captions):
        assert (whole.image(index).int() - 4 * captions[caption]).abs().max() <= 3
