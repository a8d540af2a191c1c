"""Scenes: the same bytes from the same seed, true captions, pairs kept out of training."""

import hashlib
import random

import pytest
import torch

from coursekit.datasets import scene_words, scenes
from coursekit.datasets.scene_drawing import SHAPES, SIDE, SKIES, blank, thing
from coursekit.datasets.scene_words import NAMES, Dice, describe
from coursekit.errors import CourseError


@pytest.fixture(scope="module")
def train():
    return scenes.Scenes("train", 300)


def test_pictures_are_the_recorded_bytes():
    pictures = scenes.Scenes("test", 20).images(range(20))
    captions = "\n".join(c for cs in scenes.Scenes("test", 20).captions for c in cs)
    assert hashlib.sha256(pictures.numpy().tobytes()).hexdigest()[:16] == "20c649503d3427ce"
    assert hashlib.sha256(captions.encode()).hexdigest()[:16] == "c123767410d8f8fc"


def test_shapes_and_types(train):
    assert train.images([3, 5]).shape == (2, 3, SIDE, SIDE)
    assert train.image(0).dtype == torch.uint8
    assert all(len(five) == 5 for five in train.captions)


def test_every_caption_is_true(train):
    for scene, captions in zip(train.scenes, train.captions, strict=True):
        for caption in captions:
            assert scenes.claims(caption) <= scene.facts(), caption


def test_captions_name_every_thing(train):
    for scene, captions in zip(train.scenes, train.captions, strict=True):
        for caption in captions:
            assert {f for f in scene.facts() if f[0] == "thing"} <= scenes.claims(caption), caption


def test_wording_varies_but_agrees(train):
    assert sum(len(set(five)) for five in train.captions) > 4 * len(train)
    used = {word for five in train.captions for c in five for word in c.split()}
    assert 60 <= len(used) <= 120


@pytest.mark.parametrize(
    ("caption", "claimed"),
    [
        (
            "two red boats at night",
            {("thing", "boat"), ("count", "boat", 2), ("colour", "boat", "red"), ("sky", "night")},
        ),
        (
            "a tiny kitten on the left",
            {
                ("thing", "cat"),
                ("count", "cat", 1),
                ("size", "cat", "small"),
                ("place", "cat", "left"),
            },
        ),
        ("under a blue sky", {("sky", "day")}),
        ("a a a red red", set()),
        ("", set()),
        ("zebra <unk> on snowy ground", {("ground", "snow")}),
        ("an orange sky over houses", {("sky", "sunset"), ("thing", "house")}),
    ],
)
def test_claims(caption, claimed):
    assert scenes.claims(caption) == claimed


def test_unseen_pairs_never_occur_elsewhere(train):
    def pairs(dataset):
        return [{(t.colour, t.name) for t in s.things} for s in dataset.scenes]

    for split in ("train", "dev", "test"):
        assert not any(p & scenes.UNSEEN_PAIRS for p in pairs(scenes.Scenes(split, 200)))
    assert all(p & scenes.UNSEEN_PAIRS for p in pairs(scenes.Scenes("unseen", 200)))


def test_splits_and_seeds_differ():
    first = [scenes.Scenes(split, 5).scenes for split in scenes.SPLITS]
    assert len({tuple(s) for s in first}) == len(scenes.SPLITS)
    assert scenes.Scenes("train", 5, seed=1).scenes != first[0]


def test_count_takes_the_first(train):
    assert scenes.Scenes("train", 3).captions == train.captions[:3]
    part = train.subset(4)
    assert len(part) == len(part.scenes) == len(part.facts()) == 4 and len(train.scenes) == 300


def test_no_thing_hides_in_its_background(train):
    for scene in train.scenes:
        for t in scene.things:
            behind = scene.sky if t.flies else scene.ground
            assert t.colour not in scenes.HIDDEN_ON[behind]


@pytest.mark.parametrize("name", list(NAMES))
def test_each_thing_is_drawn_inside_its_square(name):
    empty = blank("rain", "sand")
    picture = empty.copy()
    thing(picture, name, "red", 20, 20, 21)
    rows, columns = (picture != empty).any(2).nonzero()
    assert len(rows) > 60
    assert rows.min() >= 18 and rows.max() <= 43 and columns.min() >= 18 and columns.max() <= 43


def test_things_look_different():
    empty = blank("rain", "sand")
    seen = set()
    for name in SHAPES:
        picture = empty.copy()
        thing(picture, name, "red", 20, 20, 21)
        seen.add(picture.tobytes())
    assert len(seen) == len(SHAPES) == len(NAMES) and len(SKIES) == 4


def test_grammar_is_reproducible():
    scene = scenes.make_scene("any key")
    assert describe(scene, Dice(random.Random("a"))) == describe(scene, Dice(random.Random("a")))


def test_unknown_split():
    with pytest.raises(CourseError, match="no split 'val'"):
        scenes.Scenes("val")


def test_false_words_are_the_smallest_cause():
    facts = {("thing", "boat"), ("colour", "boat", "red"), ("count", "boat", 1), ("sky", "night")}
    marked = scene_words.false_words("two blue boats and a cat at night", facts)
    assert marked == [True, True, False, False, True, True, False, False]
    assert not any(scene_words.false_words("a red boat at night", facts))
