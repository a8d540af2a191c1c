"""Scenes: storybook pictures drawn from a seed, each with five captions that can be proved right or wrong."""

import functools
import random
from dataclasses import dataclass

import torch

from coursekit.datasets import scene_drawing as drawing
from coursekit.datasets.base import CaptionSet
from coursekit.datasets.scene_words import COLOUR_NAMES, FLYING, NAMES, Dice, claims, describe
from coursekit.errors import CourseError

__all__ = [
    "ALL_FACTS",
    "Scene",
    "Scenes",
    "Thing",
    "claims",
    "draw",
    "fact_table",
    "make_scene",
    "scene_captions",
    "stream",
]

THINGS = tuple(NAMES)
SPLITS = {"train": 6000, "dev": 500, "test": 500, "unseen": 500}
# One colour of each thing is kept out of training: can a model compose what it has never seen together?
UNSEEN_PAIRS = frozenset(zip(COLOUR_NAMES + COLOUR_NAMES[:4], THINGS, strict=True))
# Colours too close to what lies behind them
HIDDEN_ON = {
    "grass": {"green"},
    "sand": {"yellow"},
    "water": {"blue"},
    "snow": {"white"},
    "day": set(),
    "night": {"black", "blue"},
    "sunset": {"orange", "red"},
    "rain": set(),
}
AFLOAT = {"boat", "ball"}
# The things that each ground can have
HOME = {
    ground: [
        n for n in THINGS if n in FLYING or (n in AFLOAT if ground == "water" else n != "boat")
    ]
    for ground in drawing.GROUNDS
}
COLUMNS = ("left", "middle", "right")
CAPTIONS_PER_SCENE = 5
# Every fact that a scene can have, in one fixed order
ALL_FACTS = (
    *(("sky", sky) for sky in drawing.SKIES),
    *(("ground", ground) for ground in drawing.GROUNDS),
    *(("thing", thing) for thing in THINGS),
    *(("colour", thing, colour) for thing in THINGS for colour in COLOUR_NAMES),
    *(("count", thing, count) for thing in THINGS for count in (1, 2, 3)),
    *(("size", thing, size) for thing in THINGS for size in ("big", "small")),
    *(("place", thing, place) for thing in THINGS for place in COLUMNS),
)


@dataclass(frozen=True)
class Thing:
    """One to three equal things of a scene; `columns` are the places they stand in, 0 left to 2 right."""

    name: str
    colour: str
    size: str
    columns: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]

    @property
    def count(self):
        return len(self.columns)

    @property
    def place(self):
        return COLUMNS[self.columns[0]]

    @property
    def flies(self):
        return self.name in FLYING


@dataclass(frozen=True)
class Scene:
    """A sky, a ground and one to three kinds of things, sorted left to right."""

    sky: str
    ground: str
    things: tuple[Thing, ...]
    shade: int
    rolls: tuple[int, ...]

    def on_ground(self):
        return [t for t in self.things if not t.flies]

    def in_sky(self):
        return [t for t in self.things if t.flies]

    def facts(self):
        """All that a caption may claim: a set of tuples such as ("sky", "night"), ("colour", "boat", "red")."""
        found = {("sky", self.sky), ("ground", self.ground)}
        for t in self.things:
            found |= {("thing", t.name), ("colour", t.name, t.colour)}
            found |= {("count", t.name, t.count), ("size", t.name, t.size)}
            if t.count == 1:
                found.add(("place", t.name, t.place))
        return found


def make_scene(key, unseen=False):
    """The scene of a key (any string). With `unseen`, it holds a colour-thing pair that never occurs in training."""
    dice = Dice(random.Random(key))
    while True:
        scene = _roll(dice, unseen)
        pairs = {(t.colour, t.name) for t in scene.things}
        if bool(pairs & UNSEEN_PAIRS) == unseen:
            return scene


def _roll(dice, unseen):
    sky, ground = dice.pick(tuple(drawing.SKIES)), dice.pick(tuple(drawing.GROUNDS))
    things = _place(dice.pick_several(HOME[ground], 1 + dice.below(3)), sky, ground, unseen, dice)
    rolls = tuple(dice.below(64) for _ in range(16))
    return Scene(sky, ground, things, dice.below(17) - 8, rolls)


def _place(names, sky, ground, unseen, dice):
    """Gives each kind its columns: three on the ground, three in the air."""
    free = {False: [0, 1, 2], True: [0, 1, 2]}
    things = []
    for i, name in enumerate(names):
        row = free[name in FLYING]
        waiting = sum((later in FLYING) == (name in FLYING) for later in names[i + 1 :])
        count = min(1 + dice.pick((0, 0, 0, 1, 1, 2)), len(row) - waiting)
        columns = tuple(sorted(dice.pick_several(row, count)))
        row[:] = [c for c in row if c not in columns]
        colour = dice.pick(_colours(name, sky if name in FLYING else ground, unseen))
        offsets = tuple((dice.below(5) - 2, dice.below(7) - 3) for _ in columns)
        things.append(Thing(name, colour, dice.pick(("big", "small")), columns, offsets))
    return tuple(sorted(things, key=lambda t: (t.flies, t.columns)))


@functools.cache
def _colours(name, behind, unseen):
    visible = [c for c in COLOUR_NAMES if c not in HIDDEN_ON[behind]]
    rare = [c for c in visible if (c, name) in UNSEEN_PAIRS]
    return (rare or visible) if unseen else [c for c in visible if c not in rare]


def draw(scene):
    """The picture of a scene: uint8 (64, 64, 3), RGB, the same bytes on every platform."""
    picture = drawing.blank(scene.sky, scene.ground, scene.shade)
    drawing.weather(picture, scene.sky, scene.rolls)
    for t in scene.things:
        height = drawing.BIG if t.size == "big" else drawing.SMALL
        for column, (dx, dy) in zip(t.columns, t.offsets, strict=True):
            x = 21 * column + (21 - height) // 2 + dx
            bottom = 27 if t.flies else 59
            drawing.thing(picture, t.name, t.colour, x, bottom - height + dy, height)
    return picture


def scene_captions(scene, key):
    """Five captions of a scene, each true, drawn from the grammar with the key."""
    dice = Dice(random.Random(f"{key}/captions"))
    return [describe(scene, dice) for _ in range(CAPTIONS_PER_SCENE)]


def fact_table(dataset):
    """Which of ALL_FACTS hold in each picture of Scenes: float (len, F) of zeros and ones."""
    column = {fact: i for i, fact in enumerate(ALL_FACTS)}
    table = torch.zeros(len(dataset), len(ALL_FACTS))
    for row, facts in zip(table, dataset.facts(), strict=True):
        row[[column[fact] for fact in facts]] = 1.0
    return table


class Scenes(CaptionSet):
    """The drawn data set. Splits: train 6,000, dev 500, test 500 and unseen 500 pictures of 64 x 64 pixels.

    `count` takes the first pictures of a split, or more than the split's usual number; `seed` draws another set, and
    `first` begins at a later picture: `stream` goes through a set so, part by part. The pictures of `unseen` hold
    colour-thing pairs that no other split has. Raises CourseError for another split, or a count or first below 1 or 0.
    """

    ALONG = (*CaptionSet.ALONG, "scenes")

    def __init__(self, split="train", count=None, seed=0, first=0):
        if split not in SPLITS:
            raise CourseError(f"Scenes have no split '{split}': choose one of {', '.join(SPLITS)}.")
        if count is not None and count < 1:
            raise CourseError(f"The count of pictures is 1 or more, not {count}.")
        if first < 0:
            raise CourseError(f"The first picture is number 0 or a later one, not {first}.")
        self.seed = seed
        count = SPLITS[split] if count is None else count
        keys = [f"{seed}/{split}/{i}" for i in range(first, first + count)]
        self.scenes = [make_scene(key, unseen=split == "unseen") for key in keys]
        captions = [scene_captions(s, key) for s, key in zip(self.scenes, keys, strict=True)]
        super().__init__("scenes", split, keys, captions)

    def image(self, i):
        """Picture i: uint8 (3, 64, 64)."""
        return torch.from_numpy(draw(self.scenes[i]).transpose(2, 0, 1).copy())

    def facts(self):
        """What a caption of each picture may claim: a list of sets, in the order of the pictures."""
        return [scene.facts() for scene in self.scenes]


def stream(split="train", count=None, seed=0, part=1000):
    """The pictures of `Scenes(split, count, seed)` as Scenes of up to `part` pictures, one after another.

    Only one part is in memory at a time, so a million pictures take as much as a thousand. Raises CourseError as Scenes
    does, when the first part is asked for, and for a part below 1.
    """
    if part < 1:
        raise CourseError(f"A part of a stream is 1 picture or more, not {part}.")
    count = SPLITS.get(split, 1) if count is None else count
    for first in range(0, max(count, 1), part):  # a count below 1 is for Scenes to refuse
        yield Scenes(split, min(part, count - first), seed, first)
