"""Configurations: those of the course load, and whatever is wrong with one is one sentence."""

import pytest
import torch
import yaml

from coursekit import pixels
from coursekit.datasets.augment import Augmentation
from coursekit.errors import CourseError
from coursekit.models.image_gpt import ImageGPT
from coursekit.pixels.config import FOLDER, NAMES, USUAL, Config, FineTuning
from coursekit.sizes import SIZES
from coursekit.training import TrainSettings


def test_every_file_is_a_configuration():
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(NAMES)
    assert set(USUAL) == set(SIZES) and set(USUAL.values()) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_configurations_of_the_course(name):
    config = Config.load(name)
    assert config.name == name and isinstance(config.train, TrainSettings)
    assert config.train.epochs * config.save_every == config.steps
    ImageGPT(config.colours, config.side, config.dim, config.layers, config.heads)


def test_the_laptop_sizes_of_the_plan():
    config = Config.load("laptop")
    assert (config.side, config.colours, config.dim, config.layers) == (14, 8, 96, 4)
    assert Config.load("laptop-28").side == 28
    assert all(Config.load(name).colours == 16 for name in ("small", "medium", "large"))


@pytest.mark.parametrize("kind", [Config, FineTuning])
def test_written_and_read_again(kind, tmp_path):
    config = kind(steps=20, save_every=10, augmentation=Augmentation(crop=1, rotate=5.0))
    config.save(tmp_path / "mine.yaml")
    found = kind.load(tmp_path / "mine.yaml")
    assert found == (config.changed(name="mine") if kind is Config else config)
    assert found.augmentation == Augmentation(crop=1, rotate=5.0)
    assert kind.of(config.as_dict()) == config


def test_the_name_is_the_file_s_unless_it_says_another(tmp_path):
    (tmp_path / "mine.yaml").write_text("steps: 100\n")
    assert Config.load(tmp_path / "mine.yaml").name == "mine"
    (tmp_path / "mine.yaml").write_text("name: laptop\n")
    assert Config.load(tmp_path / "mine.yaml").name == "laptop"


def test_a_number_without_a_point_is_a_number(tmp_path):
    (tmp_path / "a.yaml").write_text("learning_rate: 1e-3\nweight_decay: 0\n")
    config = Config.load(tmp_path / "a.yaml")
    assert config.learning_rate == 1e-3 and isinstance(config.weight_decay, float)


def test_what_is_not_said_of_an_augmentation_does_not_happen(tmp_path):
    (tmp_path / "a.yaml").write_text("augmentation: {rotate: 10}\n")
    assert Config.load(tmp_path / "a.yaml").augmentation == Augmentation(crop=0, rotate=10.0)


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)  # fmt: skip
WRONG = {
    "side: 29": "side is a whole number from 1 to 28, not 29",
    "side: 14.5": "side is a whole number",
    "side: fourteen": "side is a whole number",
    "side: true": "side is a whole number",
    "side:": "side is a whole number",
    "colours: 1": "colours is a whole number from 2 to 256",
    "dim: 1000000000": "dim",
    "heads: 5": "heads 5 do not share dim 96 evenly",
    "steps: 150": "steps 150 is no multiple of save_every 100",
    "learning_rate: fast": "learning_rate is a number",
    "learning_rate: .nan": "learning_rate is a number",
    "learning_rate: .inf": "learning_rate is a number",
    "learning_rate: 0": "learning_rate",
    "objective: gan": "objective is ar or bert, not 'gan'",
    "objective: [ar]": "objective is ar or bert",
    "decay: stairs": "decay is cosine or linear",
    "palette: {}": "palette is exact or kmeans",
    "digits: 0": "digits is a whole number",
    "digits: -5": "digits is a whole number",
    "augmentation: crop": "augmentation has the fields crop, flip",
    "augmentation: {zoom: 2}": "augmentation has the fields crop, flip",
    "augmentation: {flip: 2}": "augmentation's flip is true or false",
    "augmentation: {flip: 0}": "augmentation's flip is true or false",
    "augmentation: {crop: 1.5}": "augmentation's crop is a number",
    "augmentation: {crop: -1}": "crop",
    "learning_rat: 1": "there is no field 'learning_rat'",
    "1: 2": "there is no field 1",
    "train: 2": "there is no field 'train'",
    "- side": "no list of fields",
    "side": "no list of fields",
    "": "no list of fields",
    "side: [": "no YAML",
    "side: !!python/object/apply:os.system [ls]": "no YAML",
    "\x00": "no YAML",
    "a: 2020-13-45": "no YAML",
    "x" * 200_000: "no list of fields",
    LAUGHS + "side: *j": "no field 'a'",
    "seed: " + "9" * 5000: "no YAML",
}


@pytest.mark.parametrize("text, words", WRONG.items(), ids=lambda text: text[:30] or "empty")
def test_a_wrong_configuration_is_one_sentence(text, words, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(CourseError, match=words) as told:
        Config.load(path)
    assert "wrong.yaml" in str(told.value) and len(str(told.value)) < 400 + len(str(path))
    assert "\n" not in str(told.value)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00side")
    with pytest.raises(CourseError, match="no YAML"):
        Config.load(tmp_path / "a.yaml")
    with pytest.raises(CourseError, match="no YAML"):
        Config.load(tmp_path)
    with pytest.raises(CourseError, match="no configuration 'huge': choose smoke, laptop"):
        Config.load("huge")


def test_changes_are_checked_too():
    config = Config.load("smoke")
    assert config.changed(seed=3, steps=None).seed == 3
    with pytest.raises(CourseError, match="side"):
        config.changed(side=0)


def test_batches_are_one_stream_of_passes():
    """Every pass shows each digit once, but for what does not fill a batch; stretches do not matter."""
    config = Config(steps=12, save_every=4, batch_size=3)
    found = [each for stretch in range(3) for each in config.batches(stretch, n=10)]
    assert [number for number, _ in found] == list(range(12))
    for turn in range(4):
        shown = torch.cat([which for _, which in found[3 * turn : 3 * turn + 3]])
        assert len(shown.unique()) == 9
    whole = Config(steps=12, save_every=12, batch_size=3).batches(0, n=10)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(found, whole, strict=True))
    other = Config(steps=12, save_every=12, batch_size=3, seed=1).batches(0, n=10)
    assert not all(torch.equal(a[1], b[1]) for a, b in zip(found, other, strict=True))


def test_fewer_digits_than_a_batch():
    found = Config(steps=4, save_every=4, batch_size=64).batches(0, n=5)
    assert all(sorted(which.tolist()) == list(range(5)) for _, which in found)


def test_the_yaml_holds_plain_values_only(tmp_path):
    pixels.Config.load("large").save(tmp_path / "a.yaml")
    assert "!!" not in (tmp_path / "a.yaml").read_text()
    assert yaml.safe_load((tmp_path / "a.yaml").read_text())["augmentation"]["crop"] == 2
