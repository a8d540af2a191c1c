"""Augmented digits: what each change does, that labels go along, and that a seed decides everything."""

import numpy as np
import pytest
import torch

from coursekit.datasets.augment import Augmentation, augmented, load_saved, save_digits
from coursekit.datasets.digits import Digits
from coursekit.errors import CourseError


@pytest.fixture
def digits():
    """Twelve pictures of 9 × 9 with one bright pixel off the middle, each of its own grey."""
    images = torch.zeros(12, 9, 9, dtype=torch.uint8)
    images[torch.arange(12), 3, 2] = torch.arange(100, 220, 10).to(torch.uint8)
    return Digits(images, torch.arange(12) % 10, "dots")


def places(images):
    return [tuple(image.nonzero()[0].tolist()) for image in images]


def test_nothing_at_all(digits):
    nothing = Augmentation(crop=0)
    assert nothing.name == "none" and torch.equal(nothing.apply(digits.images), digits.images)


def test_cropping_moves_by_so_many_pixels_at_most(digits):
    many = digits.images[:1].expand(300, 9, 9)
    found = places(Augmentation(crop=2).apply(many, torch.Generator().manual_seed(0)))
    assert {row for row, _ in found} == {1, 2, 3, 4, 5}
    assert {column for _, column in found} == {0, 1, 2, 3, 4}


def test_flipping_mirrors_left_to_right_and_half_of_them(digits):
    many = digits.images[:1].expand(200, 9, 9)
    found = places(Augmentation(crop=0, flip=True).apply(many, torch.Generator().manual_seed(0)))
    assert set(found) == {(3, 2), (3, 6)} and 70 < found.count((3, 6)) < 130


def test_inverting_exchanges_ink_and_paper(digits):
    changed = Augmentation(crop=0, invert=True).apply(digits.images, torch.Generator().manual_seed(1))  # fmt: skip
    inverted = [torch.equal(c, 255 - i) for c, i in zip(changed, digits.images, strict=True)]
    kept = [torch.equal(c, i) for c, i in zip(changed, digits.images, strict=True)]
    assert any(inverted) and any(kept) and all(a != b for a, b in zip(inverted, kept, strict=True))


def test_paper_stays_paper_where_both_move_and_invert(digits):
    changed = Augmentation(crop=4, invert=True).apply(digits.images, torch.Generator().manual_seed(0))  # fmt: skip
    assert {int(image.flatten().mode().values) for image in changed} == {0, 255}
    assert all(len(image.unique()) <= 2 for image in changed)


def test_rotation_stays_within_its_bound():
    bar = torch.zeros(40, 29, 29, dtype=torch.uint8)
    bar[:, 4:25, 14] = 255
    changed = Augmentation(crop=0, rotate=30).apply(bar, torch.Generator().manual_seed(0)).double()
    rows, columns = torch.meshgrid(torch.arange(29.0), torch.arange(29.0), indexing="ij")
    y, x = (rows - 14).double(), (columns - 14).double()
    along = [(changed * each).sum((1, 2)) for each in (y * y - x * x, 2 * x * y)]
    degrees = torch.rad2deg(torch.atan2(along[1], along[0])) / 2
    assert 20 < degrees.abs().max() < 31 and degrees.min() < -5 and degrees.max() > 5


def test_a_seed_decides_and_torchs_own_draws_go_on_undisturbed(digits):
    kind = Augmentation(crop=3, flip=True, rotate=20, invert=True)
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    first = augmented(digits, kind, times=3, seed=5)
    assert torch.equal(torch.rand(3), wanted)
    again, other = augmented(digits, kind, 3, seed=5), augmented(digits, kind, 3, seed=6)
    assert torch.equal(first.images, again.images) and not torch.equal(first.images, other.images)
    copies = first.images.split(12)
    assert not torch.equal(copies[0], copies[1])


def test_labels_go_along(digits):
    found = augmented(digits, Augmentation(crop=1), times=2)
    assert len(found) == 24 and found.labels.tolist() == digits.labels.tolist() * 2
    assert found.images.amax((1, 2)).tolist() == list(range(100, 220, 10)) * 2
    assert found.name == "dots × 2, crop1"
    assert Augmentation(2, True, 7.5, True).name == "crop2 rotate7.5 flip invert"


def test_saved_and_loaded(digits, tmp_path):
    save_digits(digits, tmp_path / "new" / "dots.npz")
    found = load_saved(tmp_path / "new" / "dots.npz")
    assert torch.equal(found.images, digits.images) and torch.equal(found.labels, digits.labels)
    assert found.name == "dots" and found.labels.dtype == torch.int64


def test_saving_wants_npz(digits, tmp_path):
    with pytest.raises(CourseError, match="dots.png ends otherwise; name it so"):
        save_digits(digits, tmp_path / "dots.png")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"<html>", "other names", "half"])
def test_a_file_that_holds_no_digits(digits, tmp_path, content):
    path = tmp_path / "dots.npz"
    if content == "other names":
        np.savez(path, pictures=np.zeros(3))
    elif content == "half":
        save_digits(digits, path)
        path.write_bytes(path.read_bytes()[:200])
    else:
        path.write_bytes(content)
    with pytest.raises(CourseError, match="does not hold digits as save_digits writes"):
        load_saved(path)
    with pytest.raises(CourseError, match="There are no digits in"):
        load_saved(tmp_path / "none.npz")


@pytest.mark.parametrize("wrong", [dict(crop=-1), dict(rotate=-5), dict(rotate=181)])
def test_what_is_no_augmentation(wrong):
    with pytest.raises(CourseError, match="is none; choose"):
        Augmentation(**wrong)


def test_no_copies(digits):
    with pytest.raises(CourseError, match="0 copies of each digit"):
        augmented(digits, Augmentation(), times=0)
