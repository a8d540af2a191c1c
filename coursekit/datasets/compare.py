"""The data sets side by side, so that one can be chosen: measured where they are here, else as published."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace

from coursekit import datasets
from coursekit.errors import CourseError

# Each picture counts once: COCO's own halves hold the same pictures as Karpathy's splits
COUNTED = ("train", "dev", "test")


@dataclass(frozen=True)
class Row:
    """What is known of one data set; None is not known.

    `words` counts different words, `common` those that occur at least five times; `length` is the mean
    and `longest` the greatest number of words of a caption; `bytes` is what is to be fetched.
    `source` says where the figures come from.
    """

    name: str
    images: int | None
    captions: int | None
    words: int | None
    common: int | None
    length: float | None
    longest: int | None
    bytes: int
    licence: str
    good_for: str
    source: str

    @property
    def captions_an_image(self):
        return self.captions / self.images if self.images and self.captions else None


PUBLISHED = {
    "scenes": Row(
        "scenes", None, None, None, None, None, None, 0,
        "the course's own (BSD 3-Clause)",
        "first steps without a download: every claim of a caption can be proved",
        "",
    ),
    "flickr8k": Row(
        "flickr8k", 8_000, 40_000, None, 2_538, None, None, 1_100_000_000,
        "research and teaching only; authors keep their rights",
        "an afternoon on one GPU, or a laptop with a frozen encoder",
        "Hodosh et al. 2013; words: train split, Karpathy and Fei-Fei 2015",
    ),
    "flickr30k": Row(
        "flickr30k", 31_014, 155_070, None, 7_414, None, None, 4_430_000_000,
        "research and teaching only, on request; authors keep their rights",
        "comparing with papers, at a quarter of COCO's cost",
        "Karpathy's splits of Young et al. 2014; words: train split, Karpathy and Fei-Fei 2015",
    ),
    "coco": Row(
        "coco", 123_287, 616_767, None, 8_791, None, None, 20_445_205_257,
        "captions CC BY 4.0; photos under Flickr's terms, authors keep their rights",
        "the figures that most papers report",
        "Karpathy's splits of Chen et al. 2015; words: train split, Karpathy and Fei-Fei 2015",
    ),
    "conceptual": Row(
        "conceptual", 3_334_173, 3_334_173, 51_201, None, 10.3, None, 500_000_000,
        'captions and addresses "may be freely used for any purpose"; pictures belong to their sites',
        "pretraining on noisy captions at scale; to fetch is the table, then each picture from its own site",
        "Sharma et al. 2018: training and validation table; words and length: training table",
    ),
}  # fmt: skip


def table(roots=None, words=None):
    """A Row for each data set: measured if it is here, else as published.

    roots: {name: folder} of sets that lie elsewhere than in `data_folder(name)`.  words: a function
    from a caption to its list of words (coursekit.text.words); without it nothing is measured.
    Raises CourseError for a root of an unknown name, or one that was named and cannot be read.
    """
    roots = dict(roots or {})
    unknown = roots.keys() - set(datasets.NAMES)
    if unknown:
        raise CourseError(
            f"There is no data set {sorted(unknown)[0]!r}; choose one of {', '.join(datasets.NAMES)}."
        )
    return [_row(name, roots.get(name), words) for name in datasets.NAMES]


def roots_of(pairs):
    """{name: folder} of texts such as "coco=DIR"; CourseError for one without "="."""
    wrong = [pair for pair in pairs or () if "=" not in pair]
    if wrong:
        raise CourseError(f"--root {wrong[0]} is not NAME=DIR, such as coco=data/coco.")
    return dict(pair.split("=", 1) for pair in pairs or ())


def _row(name, root, words):
    published = PUBLISHED[name]
    if words is None:
        return published
    try:
        return measured(name, root, words)
    except CourseError:
        if root is not None:
            raise
        return published


def measured(name, root, words):
    """The Row of a set that is here, over all its pictures; CourseError if it cannot be read."""
    sets = [
        datasets.load(name, split, root) for split in datasets.SPLITS[name] if _own(name, split)
    ]
    lists = [words(c) for dataset in sets for each in dataset.captions for c in each]
    counts, lengths = (
        Counter(word for each in lists for word in each),
        [len(each) for each in lists],
    )
    folder = root or datasets.data_folder(name)
    return replace(
        PUBLISHED[name],
        images=sum(map(len, sets)),
        captions=len(lists),
        words=len(counts),
        common=sum(count >= 5 for count in counts.values()),
        length=sum(lengths) / len(lengths),
        longest=max(lengths),
        source="measured here" if name == "scenes" else f"measured in {folder}",
    )


def _own(name, split):
    return split in COUNTED or name == "scenes"


HEADINGS = (
    "", "images", "captions", "an image", "words", "5 times", "mean", "longest", "to fetch",
)  # fmt: skip


def print_comparison(roots=None, words=None, as_json=False):
    """Prints the sets side by side, then what each is good for; with `as_json` one JSON object instead."""
    rows = table(roots, words)
    if as_json:
        print(json.dumps({row.name: asdict(row) for row in rows}))
        return
    lines = [HEADINGS, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    for name, *rest in lines:
        cells = [
            name.ljust(widths[0]),
            *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True)),
        ]
        print("  ".join(cells).rstrip())
    for row in rows:
        print(f"\n{row.name}: {row.good_for}")
        print(f"  licence: {row.licence}\n  figures: {row.source}")


def _cells(row):
    return (
        row.name,
        _number(row.images),
        _number(row.captions),
        _number(row.captions_an_image, ".1f"),
        _number(row.words),
        _number(row.common),
        _number(row.length, ".1f"),
        _number(row.longest),
        _size(row.bytes),
    )


def _number(value, form=","):
    return "–" if value is None else format(value, form)


def _size(count):
    return "nothing" if not count else f"{count / 1e9:.1f} GB"
