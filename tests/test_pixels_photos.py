"""Picture files as people have them: every kind becomes a digit, every step is told, and a broken one is one sentence."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from coursekit import pixels
from coursekit.datasets.digits import load_digits
from coursekit.errors import CourseError


def seven(paper=(210, 200, 190), ink=(20, 30, 120), size=(900, 600), mode="RGB"):
    """A seven in the middle third of a picture, as a camera would see it."""
    picture = Image.new(mode, size, paper)
    width, height = size
    corners = [(0.42, 0.25), (0.58, 0.25), (0.48, 0.75)]
    line = [(x * width, y * height) for x, y in corners]
    ImageDraw.Draw(picture).line(line, fill=ink, width=max(1, height // 17))
    return picture


def read(picture, tmp_path, name="a.png", save=None, **options):
    picture.save(tmp_path / name, **save or {})
    return pixels.read_photo(tmp_path / name, **options)


def told(photo):
    return " ".join(photo.said)


def test_a_digit_of_mnist_stays_as_it_is(tmp_path):
    for digit in load_digits("test", count=5).images:
        photo = read(Image.fromarray(digit.numpy()), tmp_path)
        assert torch.equal(photo.image, digit)
        assert photo.said == ["It is light on dark, and MNIST light on dark: it was not inverted."]


def test_a_photo_becomes_a_digit(tmp_path):
    photo = read(seven(), tmp_path, "a.jpg")
    assert photo.image.shape == (28, 28) and photo.image.dtype == torch.uint8
    assert photo.image[0].max() <= 8 and photo.image.max() == 255  # paper, and ink
    for words in ("900 × 600", "colours became greys", "was inverted", "stretched", "centring"):
        assert words in told(photo)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.jpeg", "a.JPG"])
def test_the_ending_of_the_name_does_not_matter(name, tmp_path):
    kind = dict(format="PNG" if name.endswith("png") else "JPEG")
    assert read(seven(), tmp_path, name, kind).image.max() == 255
    assert read(seven(), tmp_path, "a.jpg", dict(format="PNG")).image.max() == 255


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_every_mode_shows_the_same(mode, tmp_path):
    name = "a.jpg" if mode == "CMYK" else "a.png"
    plain = read(seven((255,) * 3, (0,) * 3), tmp_path)
    found = read(seven((255,) * 3, (0,) * 3).convert(mode), tmp_path, name)
    assert (found.image.int() - plain.image.int()).abs().float().mean() < 3
    assert "colours" not in told(found)


def test_sixteen_bits(tmp_path):
    grey = np.asarray(seven().convert("L")).astype(np.uint16) * 257
    found = read(Image.fromarray(grey), tmp_path)
    plain = read(seven().convert("L"), tmp_path)
    assert "16-bit" in told(found)
    assert (found.image.int() - plain.image.int()).abs().max() <= 1
    digit = load_digits("test", count=1).images[0]
    deep = Image.fromarray(digit.numpy().astype(np.uint16) * 257)
    assert torch.equal(read(deep, tmp_path).image, digit)


@pytest.mark.parametrize("ink, paper", [((255, 255, 255), "black"), ((0, 0, 0), "white")])
def test_transparent_paper(ink, paper, tmp_path):
    """White ink on nothing, and black ink on nothing, are the same digit."""
    photo = read(seven((0, 0, 0, 0), (*ink, 255), mode="RGBA"), tmp_path)
    assert f"laid on {paper}" in told(photo)
    assert photo.image[0].max() == 0 and photo.image.max() > 200


def test_all_transparent(tmp_path):
    photo = read(Image.new("RGBA", (40, 40), (255, 0, 0, 0)), tmp_path)
    assert photo.image.max() == 0 and "one grey all over" in told(photo)


@pytest.mark.parametrize("tag, turn", [(3, 180), (6, 90), (8, 270)])
def test_turned_as_the_camera_says(tag, turn, tmp_path):
    upright = read(seven().convert("L"), tmp_path, "a.png")
    exif = Image.Exif()
    exif[0x0112] = tag
    found = read(seven().convert("L").rotate(turn, expand=True), tmp_path, "b.png", dict(exif=exif))
    assert "turned as its camera says" in told(found)
    assert torch.equal(found.image, upright.image)
    exif[0x0112] = 1
    assert "turned" not in told(read(seven(), tmp_path, "c.jpg", dict(exif=exif)))


def test_inverted_or_not_and_said_so(tmp_path):
    light, dark = seven((0,) * 3, (255,) * 3), seven((255,) * 3, (0,) * 3)
    one, other = read(light, tmp_path), read(dark, tmp_path)
    assert torch.equal(one.image, other.image)
    assert "light on dark, and MNIST light on dark: it was not inverted" in told(one)
    assert "dark on light, and MNIST light on dark: it was inverted" in told(other)
    forced = read(dark, tmp_path, invert="no")
    assert forced.image[0].min() == 255 and "not inverted" in told(forced)
    assert read(light, tmp_path, invert="yes").image[0].min() == 255
    with pytest.raises(CourseError, match="invert is auto, yes or no, not 'maybe'"):
        read(light, tmp_path, invert="maybe")


def test_centred_as_mnist(tmp_path):
    photo = read(seven(), tmp_path, centre=True)
    rows, columns = np.nonzero(photo.image.numpy() > 76)
    assert 19 <= rows.max() - rows.min() + 1 <= 21
    mass = photo.image.double()
    middle = [(mass.sum(1 - axis) * torch.arange(28)).sum() / mass.sum() for axis in (0, 1)]
    assert all(abs(each - 13.5) <= 0.6 for each in middle)
    assert "20 × 20" in told(photo) and "centring" not in told(photo)


def test_centring_what_has_no_ink(tmp_path):
    assert read(Image.new("L", (60, 60), 255), tmp_path, centre=True).image.max() == 0


@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000), (2, 3), (14, 14), (28, 28), (5000, 40)])  # fmt: skip
@pytest.mark.parametrize("centre", [False, True])
def test_any_size(size, centre, tmp_path):
    picture = Image.new("L", size, 255)
    ImageDraw.Draw(picture).rectangle((0, 0, size[0] // 3, size[1] // 2), fill=0)
    photo = read(picture, tmp_path, centre=centre)
    assert photo.image.shape == (28, 28)
    assert size == (28, 28) or f"{size[0]} × {size[1]}" in told(photo)


def test_a_picture_that_moves(tmp_path):
    first, then = seven().convert("L"), Image.new("L", (900, 600))
    found = read(first, tmp_path, "a.png", dict(save_all=True, append_images=[then]))
    assert "first of its 2 pictures" in told(found) and found.image.max() > 200


def broken(tmp_path):
    """Files that hold no picture, by name."""
    seven().save(tmp_path / "whole.png")
    seven().save(tmp_path / "other.gif")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("I am a picture.\n" * 50)
    (tmp_path / "empty.png").write_bytes(b"")
    # The head of a picture of 100,000 x 100,000 pixels
    head = bytearray(whole[:33])
    head[16:24] = (100_000).to_bytes(4, "big") * 2
    (tmp_path / "bomb.png").write_bytes(bytes(head) + whole[33:])
    (tmp_path / "folder.png").mkdir()
    return ("cut.png", "text.png", "empty.png", "bomb.png", "folder.png", "other.gif")


def test_what_is_no_picture_is_one_sentence(tmp_path):
    for name in broken(tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # or it would stand on stderr
            with pytest.raises(CourseError, match="not a png or jpg that can be read") as error:
                pixels.read_photo(tmp_path / name)
        assert name in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(CourseError, match="no image .*none.png"):
        pixels.read_photo(tmp_path / "none.png")


def test_masks(tmp_path):
    picture = Image.new("L", (100, 100))
    ImageDraw.Draw(picture).rectangle((0, 0, 49, 99), fill=255)
    picture.save(tmp_path / "mask.png")
    found = pixels.read_mask(tmp_path / "mask.png", 14)
    assert torch.equal(found, pixels.known_pixels("left", 14))
    picture.crop((0, 0, 100, 60)).save(tmp_path / "wide.png")
    with pytest.raises(CourseError, match="100 × 60 pixels: make it square"):
        pixels.read_mask(tmp_path / "wide.png", 14)
