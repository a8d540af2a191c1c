"""What every set of captioned pictures can do: give a part of itself, and be joined with others."""

import pytest
import torch
from PIL import Image

from coursekit.datasets import CaptionSet, join
from coursekit.datasets.captions import Photos
from coursekit.datasets.scenes import Scenes
from coursekit.errors import CourseError


@pytest.fixture(scope="module")
def scenes():
    return {split: Scenes(split, count=4) for split in ("train", "dev")}


def test_pick_cuts_every_list(scenes):
    train = scenes["train"]
    part = train.pick(torch.tensor([3, 0, 3]))
    assert type(part) is Scenes and part.names == [train.names[i] for i in (3, 0, 3)]
    for index, origin in enumerate((3, 0, 3)):
        assert torch.equal(part.image(index), train.image(origin))
        assert part.facts()[index] == train.facts()[origin]
        assert part.captions[index] == train.captions[origin]
    assert len(train) == 4


@pytest.mark.parametrize(
    "indices, words", [([], "no picture"), ([4], "picture 4"), ([-1], "picture -1")]
)
def test_pick_wants_indices_that_are_there(scenes, indices, words):
    with pytest.raises(CourseError, match=f"{words} of scenes/train was asked .*from 0 to 3"):
        scenes["train"].pick(indices)


def test_join(scenes):
    whole = join(scenes.values())
    assert (whole.name, whole.split, len(whole)) == ("scenes", "train+dev", 8)
    assert torch.equal(whole.image(5), scenes["dev"].image(1))
    assert whole.facts()[5] == scenes["dev"].facts()[1]
    # Folds of the joined set, and the parts put together again
    folds = [whole.pick(range(start, 8, 2)) for start in range(2)]
    assert sorted(join(folds).names) == sorted(whole.names)
    assert len(scenes["train"]) == 4


def test_join_wants_sets_of_one_kind(scenes, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    photos = [
        Photos(name, "train", folder, ["a.png"], [["a"]], size)
        for name, folder, size in (
            ("a", tmp_path, 8),
            ("b", tmp_path, 8),
            ("a", "x", 8),
            ("a", tmp_path, 9),
        )
    ]
    assert join(photos[:1] * 2).images([0, 1]).shape == (2, 3, 8, 8)
    for other, words in zip(photos[1:], ("name", "folder", "image_size"), strict=True):
        with pytest.raises(CourseError, match=f"differ in {words} .*load both with the same"):
            join([photos[0], other])
    with pytest.raises(CourseError, match="sets of different kinds"):
        join([photos[0], scenes["train"]])
    with pytest.raises(CourseError, match="no set to join"):
        join([])


def test_only_lists_that_are_named_run_along():
    class Mine(CaptionSet):
        ALONG = (*CaptionSet.ALONG, "years")

        def __init__(self):
            super().__init__("mine", "train", ["a", "b"], [["one"], ["two"]])
            self.years, self.makers = [1999, 2014], ["both"]

    assert vars(Mine().pick([1]))["years"] == [2014]
    assert join([Mine(), Mine()]).years == [1999, 2014] * 2
    assert join([Mine(), Mine()]).makers == ["both"]
