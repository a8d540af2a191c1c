"""The one shape that all captioned pictures have here."""

import copy

import torch

from coursekit.errors import CourseError


class CaptionSet:
    """Pictures with several captions each.

    `name` and `split` say what it is, `names[i]` identifies picture i, and `captions[i]` is the
    list of its captions.  A subclass fills these and gives `image(i)`.
    """

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
        part = copy.copy(self)
        part._keep(count)
        return part

    def _keep(self, count):
        """Cuts every list that runs along the pictures; a subclass with more lists adds them."""
        self.names = self.names[:count]
        self.captions = self.captions[:count]
