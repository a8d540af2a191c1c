"""A gallery: some pictures of a data set, and all that people and captioners say of them."""

from dataclasses import dataclass
from pathlib import Path

from coursekit import datasets
from coursekit.captioner import load_captioner
from coursekit.datasets.scene_words import false_words
from coursekit.datasets.scenes import claims
from coursekit.errors import CourseError, check_place, writing
from coursekit.gallery import page
from coursekit.gallery.pictures import SMALL, data_address, is_drawn, looks, shown_image
from coursekit.gallery.telling import (
    Told,
    check_ways,
    dispute,
    known_words,
    mean_cider,
    order_of,
    tell,
)

USUAL_WAYS = ("greedy", "beam 3", "nucleus 0.9")


@dataclass(frozen=True)
class Saying:
    """One caption of a picture as it is shown.

    false: whether each word is a false claim, or None where nobody knows.  true, claimed: how many of its claims.
    numbers: its scores by name.  looks: one a word, or None.
    """

    captioner: str
    way: str
    caption: str
    certainty: float
    numbers: dict
    false: list | None
    true: int
    claimed: int
    looks: list | None


@dataclass(frozen=True)
class Exhibit:
    """One picture, its references and all sayings; `behind` is the small picture behind attention maps, `shape` their "width / height"."""

    number: int
    name: str
    picture: str
    behind: str
    drawn: bool
    shape: str
    references: list[str]
    sayings: list[Saying]
    cider: float
    dispute: float

    @property
    def false(self):
        """How many words of all sayings are false claims."""
        return sum(sum(saying.false or []) for saying in self.sayings)


@dataclass(frozen=True)
class Gallery:
    """Exhibits, and the scores of every captioner and way over the whole set of `total` pictures.

    known: for each captioner the part of the references' words that its vocabulary holds.
    A notebook shows a short form of it; `html()` is the page, `save(path)` writes it.
    """

    name: str
    split: str
    total: int
    order: str
    told: list[Told]
    known: dict
    exhibits: list[Exhibit]

    def __repr__(self):
        return f"Gallery: {len(self.exhibits)} of {self.total} pictures of {self.name}/{self.split}"

    def _repr_html_(self):
        return page.render("short.html", self)

    def html(self):
        """The page as one text that needs nothing else: no other file, no network, and no script to be read."""
        return page.render("page.html", self)

    def save(self, path):
        """Writes the page and returns its path. Raises CourseError if it cannot be written there."""
        check_place(path)
        with writing(path) as part:
            part.write_text(self.html(), encoding="utf-8", errors="replace", newline="\n")
        return Path(path)


def build(
    captioners,
    dataset,
    count=24,
    ways=USUAL_WAYS,
    seed=0,
    order="as they come",
    meteor=False,
):
    """A Gallery of `count` pictures of a data set.

    captioners: one, a list, or {label: captioner}; they may have been trained on other pictures.  ways: of
    captioner.WAYS; `seed` is for those that draw.  order: of ORDERS, which says what the `count` pictures are.
    The whole set is told and scored, since CIDEr weighs words by all its references: give a `subset` of a large one.
    meteor: as in `caption_scores`.  Raises CourseError for bad input.
    """
    captioners = _labelled(captioners)
    check_ways(ways)
    if count < 1:
        raise CourseError(f"A gallery shows 1 picture or more, not {count}.")
    told = tell(captioners, dataset, ways, seed, meteor)
    shown = order_of(told, order)[:count]
    maps = [_maps(captioners[one.captioner], dataset, shown, one) for one in told]
    exhibits = [
        _exhibit(dataset, index, told, [each and each[at] for each in maps])
        for at, index in enumerate(shown)
    ]
    known = {label: known_words(captioner, dataset) for label, captioner in captioners.items()}
    return Gallery(dataset.name, dataset.split, len(dataset), order, told, known, exhibits)


def _labelled(captioners):
    """{label: captioner}; without labels each is called by its model, numbered where two have the same."""
    if isinstance(captioners, dict):
        found = captioners
    else:
        each = captioners if isinstance(captioners, list | tuple) else [captioners]
        models = [captioner.recipe.model for captioner in each]
        labels = [
            model if models.count(model) == 1 else f"{model} {models[:i].count(model) + 1}"
            for i, model in enumerate(models)
        ]
        found = dict(zip(labels, each, strict=True))
    if not found:
        raise CourseError("There is no captioner to listen to: give one or more.")
    return found


def _maps(captioner, dataset, shown, one):
    return looks(captioner, dataset, shown, [one.captions[i] for i in shown])


def _exhibit(dataset, index, told, maps):
    image = shown_image(dataset, index)
    facts = dataset.facts()[index] if hasattr(dataset, "facts") else None
    return Exhibit(
        index + 1,
        dataset.names[index],
        data_address(image),
        data_address(image, SMALL) if any(maps) else "",
        is_drawn(image),
        "{1} / {0}".format(*image.shape[-2:]),
        dataset.captions[index],
        [_saying(one, index, facts, own) for one, own in zip(told, maps, strict=True)],
        mean_cider(told, index),
        dispute([one.captions[index] for one in told]),
    )


def _saying(one, index, facts, own):
    caption = one.captions[index]
    numbers = {name: values[index] for name, values in one.each.items()}
    false = None if facts is None else false_words(caption, facts)
    said = set() if facts is None else claims(caption)
    true = len(said & facts) if facts else 0
    certainty = one.certainty[index]
    return Saying(one.captioner, one.way, caption, certainty, numbers, false, true, len(said), own)


def run(
    checkpoints,
    data="scenes",
    root=None,
    split="test",
    count=24,
    ways=USUAL_WAYS,
    seed=0,
    order="as they come",
    out="gallery.html",
    pictures=None,
    meteor=False,
):
    """`coursekit gallery`: captioners that lie at `checkpoints`, a data set by name, a page at `out`; the Gallery.

    pictures: evaluate the first ones of the split only.  The rest as in `build`.  What cannot work is told before
    anything is computed.
    """
    check_ways(ways)
    check_place(out)
    captioners = _loaded(checkpoints)
    dataset = datasets.load(data, split, root, pictures)
    found = build(captioners, dataset, count, ways, seed, order, meteor)
    found.save(out)
    return found


def _loaded(checkpoints):
    """{label: captioner}: called by its model, and by its folder where two have the same."""
    loaded = [load_captioner(path) for path in checkpoints]
    models = [captioner.recipe.model for captioner in loaded]
    labels = [
        model if models.count(model) == 1 else f"{model} ({_folder(path)})"
        for model, path in zip(models, checkpoints, strict=True)
    ]
    return dict(zip(labels, loaded, strict=True)) if len(set(labels)) == len(labels) else loaded


def _folder(path):
    path = Path(path)
    return path.name if path.is_dir() else path.resolve().parent.name
