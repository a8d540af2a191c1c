"""Flickr8k in its official layout, in whole and with everything that can be wrong about it."""

import subprocess
import sys
import zipfile

import pytest
import torch
from conftest import REPOSITORY
from PIL import Image

from coursekit import datasets
from coursekit.datasets.base import CaptionSet
from coursekit.datasets.captions import PHOTOS, TOKENS, Flickr8k, read_image
from coursekit.errors import CourseError

NAMES = [f"{number}_ab.jpg" for number in (7, 42, 23, 8)]
LISTS = {"train": NAMES[:2], "dev": NAMES[2:3], "test": NAMES[3:]}
GREYS = {name: 40 * (place + 1) for place, name in enumerate(NAMES)}


@pytest.fixture
def root(tmp_path):
    """Four grey photos of 40 x 30, two captions each, in the official layout."""
    folder = tmp_path / "flickr8k"
    (folder / PHOTOS).mkdir(parents=True)
    lines = []
    for name, grey in GREYS.items():
        Image.new("RGB", (40, 30), (grey, grey, grey)).save(folder / PHOTOS / name)
        lines += [f"{name}#{k}\tA grey photo , {name} , again {k} ." for k in range(2)]
    (folder / TOKENS).write_text("\n".join(lines) + "\n")
    for split, names in LISTS.items():
        (folder / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names) + "\n")
    return folder


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_split_is_read_in_its_order(root):
    train = Flickr8k("train", root, image_size=16)
    assert (train.name, train.split, len(train), train.names) == ("flickr8k", "train", 2, NAMES[:2])
    assert train.captions[1] == [f"A grey photo , {NAMES[1]} , again {k} ." for k in range(2)]
    images = train.images([1, 0, 1])
    assert images.shape == (3, 3, 16, 16) and images.dtype == torch.uint8
    for image, grey in zip(images, (80, 40, 80), strict=True):
        assert (image.int() - grey).abs().max() <= 2
    assert "2 pictures, 4 captions" in repr(train)


def test_squeezed_photo_keeps_its_sides(root):
    picture = Image.new("RGB", (200, 100), "black")
    picture.paste("red", (0, 0, 100, 50))
    picture.save(root / PHOTOS / NAMES[0], quality=95)
    red, green, _ = Flickr8k("train", root, image_size=32).image(0).int()
    assert red[2:14, 2:14].min() > 200 and green.max() < 60
    assert red[18:].max() < 60 and red[:, 18:].max() < 60


def test_grey_and_palette_files_become_three_channels(tmp_path):
    for mode in ("L", "P", "RGBA", "CMYK"):
        path = tmp_path / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}"
        Image.new(mode, (6, 4)).save(path)
        assert read_image(path).shape == (3, 4, 6)


def test_captions_of_unpublished_photos_are_ignored(root):
    with open(root / TOKENS, "a") as file:
        file.write("2258277193_586949ec62.jpg.1#0\tPeople waiting .\n")
    assert len(Flickr8k("train", root)) == 2


@pytest.mark.parametrize("ending", ["\r\n", "\n\n"])
def test_other_line_ends_and_a_byte_order_mark(root, ending):
    path = root / TOKENS
    path.write_bytes(b"\xef\xbb\xbf" + path.read_text().replace("\n", ending).encode())
    captions = Flickr8k("train", root).captions
    assert [len(each) for each in captions] == [2, 2] and captions[0][0].startswith("A grey photo")


def test_subset_and_load(root):
    assert datasets.load("flickr8k", "train", root, count=1).names == NAMES[:1]
    assert datasets.load("flickr8k", "train", root).names == NAMES[:2]
    for count in (0, 3):
        with pytest.raises(CourseError, match=f"{count} pictures .*from 1 to 2"):
            datasets.load("flickr8k", "train", root, count=count)


def test_load_looks_in_the_data_folder(root, monkeypatch):
    monkeypatch.setenv("COURSEKIT_DATA", str(root.parent))
    assert datasets.load("flickr8k", "dev").names == NAMES[2:3]
    monkeypatch.delenv("COURSEKIT_DATA")
    lesson = root.parent / "repo" / "course"
    lesson.mkdir(parents=True)
    (root.parent / "repo" / "data").mkdir()
    root.rename(root.parent / "repo" / "data" / "flickr8k")
    monkeypatch.chdir(lesson)
    assert datasets.load("flickr8k", "dev").names == NAMES[2:3]


def test_load_draws_scenes():
    scenes = datasets.load("scenes", "dev", count=3)
    assert len(scenes) == 3 and scenes.image(0).shape == (3, 64, 64)


def test_load_of_an_unknown_name():
    with pytest.raises(CourseError, match="no data set 'flicker8k'; choose one of scenes"):
        datasets.load("flicker8k", "train")


def test_caption_set_wants_captions_for_each_picture():
    with pytest.raises(CourseError, match="2 pictures and 1 lists"):
        CaptionSet("mine", "train", ["a", "b"], [["one"]])


def breaks(sentence):
    """Marks a function that damages the official layout; Flickr8k must say `sentence`."""
    return lambda damage: pytest.param(damage, sentence, id=damage.__name__)


@breaks(r"lacks Flickr8k.token.txt; fetch it with python data_scripts/flickr8k.py")
def no_token_file(root):
    (root / TOKENS).unlink()


@breaks(r"lacks Flickr_8k.trainImages.txt; fetch it")
def no_split_file(root):
    (root / "Flickr_8k.trainImages.txt").unlink()


@breaks(r"lacks Flicker8k_Dataset; fetch it")
def no_photos(root):
    (root / PHOTOS).rename(root / "images")


@breaks(r"Flickr8k_Dataset.zip is not unpacked; run python data_scripts/flickr8k.py --from .* --to")
def photos_not_unpacked(root):
    (root / PHOTOS).rename(root / "images")
    (root / "Flickr8k_Dataset.zip").write_text("")


@breaks(r"Flickr8k_text.zip is not unpacked; run")
def texts_not_unpacked(root):
    (root / TOKENS).unlink()
    (root / "Flickr8k_text.zip").write_text("")


@breaks(rf"Flicker8k_Dataset lacks the photo {NAMES[0]}; unpack the photos again")
def one_photo_missing(root):
    (root / PHOTOS / NAMES[0]).unlink()


@breaks(rf"has no caption for the photo {NAMES[0]} and 1 more; the file may be cut off")
def tokens_cut_off(root):
    path = root / TOKENS
    path.write_text("".join(path.read_text().splitlines(keepends=True)[4:]))


@breaks(r"token.txt, line 1 has an empty caption; write one or remove the line")
def empty_caption(root):
    change(root / TOKENS, f"A grey photo , {NAMES[0]} , again 0 .", " ")


@breaks(r"token.txt, line 1 is not 'name.jpg#0<TAB>caption'; put the official file there")
def tokens_with_commas(root):
    change(root / TOKENS, "\t", ",")


@breaks(r"token.txt, line 1 is not 'name")
def split_file_named_as_tokens(root):
    (root / TOKENS).write_text("\n".join(NAMES))


@breaks(r"trainImages.txt should hold one photo name .*has line '7_ab.jpg#0")
def tokens_named_as_split_file(root):
    (root / "Flickr_8k.trainImages.txt").write_text((root / TOKENS).read_text())


@breaks(r"trainImages.txt should hold .*nothing in it")
def empty_split_file(root):
    (root / "Flickr_8k.trainImages.txt").write_text("\n")


@breaks(r"trainImages.txt names a photo twice")
def photo_twice(root):
    (root / "Flickr_8k.trainImages.txt").write_text(f"{NAMES[0]}\n{NAMES[0]}\n")


@breaks(r"token.txt is not a text file; put the official file there")
def archive_named_as_tokens(root):
    (root / TOKENS).write_bytes(b"PK\x03\x04\xff\xfe\x80")


@breaks(r"There is no folder .*; fetch Flickr8k with python data_scripts/flickr8k.py --to")
def no_folder(root):
    root.rename(root.parent / "elsewhere")


DAMAGES = [value for value in list(globals().values()) if hasattr(value, "marks")]
DAMAGES = [value for value in DAMAGES if value.id]


@pytest.mark.parametrize("damage, sentence", DAMAGES)
def test_damage_is_told_in_a_sentence(root, damage, sentence):
    assert len(Flickr8k("train", root)) == 2
    damage(root)
    with pytest.raises(CourseError, match=sentence) as told:
        Flickr8k("train", root)
    assert "\n" not in str(told.value) and str(told.value).endswith(".")


def test_every_damage_is_tried():
    assert len(DAMAGES) == 15


def test_unknown_split(root):
    with pytest.raises(CourseError, match="no split 'valid'; choose train, dev or test"):
        Flickr8k("valid", root)


def test_a_photo_that_is_none(root):
    train = Flickr8k("train", root)
    photo = root / PHOTOS / NAMES[0]
    for content in (b"", b"<html>not found</html>", photo.read_bytes()[:200]):
        photo.write_bytes(content)
        with pytest.raises(CourseError, match=f"{NAMES[0]} is not an image .*replace or remove it"):
            train.images([1, 0])
    photo.unlink()
    with pytest.raises(CourseError, match="There is no image"):
        train.image(0)


def run_script(*arguments):
    script = REPOSITORY / "data_scripts" / "flickr8k.py"
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True)


def zipped(root, folder):
    folder.mkdir()
    with zipfile.ZipFile(folder / "Flickr8k_Dataset.zip", "w") as bundle:
        for name in NAMES:
            bundle.write(root / PHOTOS / name, f"{PHOTOS}/{name}")
    with zipfile.ZipFile(folder / "Flickr8k_text.zip", "w") as bundle:
        for path in root.glob("*.txt"):
            bundle.write(path, path.name)


def test_script_unpacks_archives_at_hand(root, tmp_path):
    zipped(root, tmp_path / "zips")
    done = run_script("--from", tmp_path / "zips", "--to", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert "flickr8k/train: 2 pictures, 4 captions" in done.stdout
    assert Flickr8k("test", tmp_path / "new").names == NAMES[3:]


def test_script_tells_of_a_cut_archive(root, tmp_path):
    zipped(root, tmp_path / "zips")
    archive = tmp_path / "zips" / "Flickr8k_Dataset.zip"
    archive.write_bytes(archive.read_bytes()[:-300])
    done = run_script("--from", tmp_path / "zips", "--to", tmp_path / "new")
    assert done.returncode == 2
    assert "Flickr8k_Dataset.zip is not a whole zip archive" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "new").exists()


@pytest.mark.shared
def test_official_text_and_photos(shared_data, tmp_path):
    from coursekit.datasets.archives import unpack

    unpack(shared_data / "flickr8k" / "Flickr8k_text.zip", tmp_path, progress=False)
    sizes = {"train": 6000, "dev": 500, "test": 500}
    with zipfile.ZipFile(shared_data / "flickr8k" / "Flickr8k_Dataset.zip") as bundle:
        (tmp_path / PHOTOS).mkdir()
        for name in bundle.namelist():
            (tmp_path / name).touch()
        for split, size in sizes.items():
            dataset = Flickr8k(split, tmp_path)
            assert len(dataset) == size and {len(each) for each in dataset.captions} == {5}
            bundle.extract(f"{PHOTOS}/{dataset.names[-1]}", tmp_path)
            assert dataset.images([size - 1]).shape == (1, 3, 128, 128)
