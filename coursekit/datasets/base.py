"""The one shape that all captioned pictures have here."""

import copy

import torch

from coursekit.errors import CourseError


class CaptionSet:
    """Pictures with several captions each.

    `name` and `split` say what it is, `names[i]` identifies picture i, and `captions[i]` is the
    list of its captions.  A subclass fills these and gives `image(i)`; if it has more lists that run
    along the pictures, it adds their names to `ALONG`, so that they are cut and joined with the rest,
    and to `SAME` what must be equal for two sets to be joined.
    """

    ALONG = ("names", "captions")
    SAME = ("name",)

    def __init__(self, name, split, names, captions):
        if len(names) != len(captions):
            raise CourseError(
                f"{name} has {len(names)} pictures and {len(captions)} lists of captions; "
                "give one list of captions for each picture."
            )
        self.name = name
        self.split = split
        self.names = list(names)
        self.captions = [list(each) for each in captions]

    def __len__(self):
        return len(self.names)

    def __repr__(self):
        captions = sum(map(len, self.captions))
        return f"{self.name}/{self.split}: {len(self)} pictures, {captions} captions"

    def image(self, index):
        """Picture `index` as uint8 (3, H, W)."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to get a picture")

    def images(self, indices):
        """The pictures at `indices` (any iterable of ints) as uint8 (B, 3, H, W)."""
        return torch.stack([self.image(int(index)) for index in indices])

    def subset(self, count):
        """The first `count` pictures as a set of the same kind; None keeps all.

        Raises CourseError if `count` is not a positive number or there are fewer pictures.
        """
        if count is None:
            return self
        if not 0 < count <= len(self):
            raise CourseError(
                f"{count} pictures of {self.name}/{self.split} were asked for; "
                f"choose a count from 1 to {len(self)}."
            )
        return self.pick(range(count))

    def pick(self, indices):
        """The pictures at `indices` (any iterable of ints), in that order, as a set of the same kind.

        An index may come twice.  Raises CourseError if there is none, or one outside 0..len - 1.
        """
        indices = [int(index) for index in indices]
        wrong = [index for index in indices if not 0 <= index < len(self)]
        if wrong or not indices:
            asked = f"picture {wrong[0]}" if wrong else "no picture"
            raise CourseError(
                f"{asked} of {self.name}/{self.split} was asked for; "
                f"choose indices from 0 to {len(self) - 1}."
            )
        part = copy.copy(self)
        for name in self.ALONG:
            whole = getattr(self, name)
            setattr(part, name, [whole[index] for index in indices])
        return part


def join(sets):
    """Several sets of one kind, such as train and dev, as one; its split is "train+dev".

    Raises CourseError if they are of different kinds or read from different places, or none is given.
    """
    sets = list(sets)
    if not sets:
        raise CourseError("There is no set to join; give at least one.")
    first = sets[0]
    for other in sets[1:]:
        _check_alike(first, other)
    whole = copy.copy(first)
    whole.split = "+".join(each.split for each in sets)
    for name in first.ALONG:
        setattr(whole, name, [item for each in sets for item in getattr(each, name)])
    return whole


def _check_alike(first, other):
    if type(first) is not type(other):
        raise CourseError(
            f"{first.name} and {other.name} are sets of different kinds; join sets of one kind."
        )
    for name in first.SAME:
        ours, theirs = getattr(first, name), getattr(other, name)
        if ours != theirs:
            raise CourseError(
                f"{first.name}/{first.split} and {other.name}/{other.split} differ in {name} "
                f"({ours} and {theirs}); load both with the same."
            )
