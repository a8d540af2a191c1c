"""Flickr8k, Flickr30k and COCO 2014 as Karpathy split them, and COCO as its makers did.

    flickr30k/flickr30k-images/*.jpg                flickr30k/dataset_flickr30k.json
    coco/train2014/*.jpg, coco/val2014/*.jpg        coco/dataset_coco.json
                                                    coco/annotations/captions_train2014.json, …val2014.json
    flickr8k/Flicker8k_Dataset/*.jpg                flickr8k/dataset_flickr8k.json

Sources: Karpathy and Fei-Fei, "Deep Visual-Semantic Alignments for Generating Image Descriptions",
CVPR 2015 (the splits); Young et al., "From image descriptions to visual denotations", TACL 2014
(Flickr30k); Chen et al., "Microsoft COCO Captions", 2015.
"""

import json
from collections import defaultdict
from pathlib import Path, PurePosixPath

from coursekit.datasets.captions import PHOTOS, Photos, check_photos
from coursekit.errors import CourseError

# Where the photos lie; COCO's entries say it themselves, in `filepath`
FOLDERS = {"flickr8k": PHOTOS, "flickr30k": "flickr30k-images", "coco": ""}
# COCO's "restval" is what is left of val2014 after dev and test; papers train on it too
SPLITS = {"train": ("train", "restval"), "dev": ("val",), "test": ("test",)}
OFFICIAL = {"train2014": "captions_train2014.json", "val2014": "captions_val2014.json"}


class Karpathy(Photos):
    """One of Karpathy's splits (train, dev, test) of flickr8k, flickr30k or coco.

    An empty caption is left out.  Raises CourseError for a split that is not there, a JSON file that
    is missing, damaged or of another form, or a photo that is missing or has no caption.
    """

    def __init__(self, name, split, root, image_size=128):
        if split not in SPLITS:
            raise CourseError(f"{name} has no split {split!r}; choose {' or '.join(splits(name))}.")
        path = find(root, f"dataset_{name}.json", name)
        photos = read_karpathy(path, SPLITS[split], _fetch(name))
        folder = Path(root) / FOLDERS[name]
        _check(folder, photos, name)
        super().__init__(name, split, folder, list(photos), photos.values(), image_size)


class Coco(Photos):
    """COCO 2014 in its makers' halves, train2014 and val2014, from their own annotation files."""

    def __init__(self, split, root, image_size=128):
        path = find(root, f"annotations/{OFFICIAL[split]}", "coco")
        photos = read_coco(path, split)
        _check(Path(root), photos, "coco")
        super().__init__("coco", split, root, list(photos), photos.values(), image_size)


def splits(name):
    """The names of the splits of flickr8k, flickr30k or coco."""
    return (*SPLITS, *(OFFICIAL if name == "coco" else ()))


def load(name, split, root):
    """One split of flickr30k or coco; for coco also train2014 and val2014."""
    if name == "coco" and split in OFFICIAL:
        return Coco(split, root)
    return Karpathy(name, split, root)


def read_karpathy(path, marks, fetch):
    """{photo: captions} of the entries of Karpathy's JSON whose split is one of `marks`."""
    photos = {}
    try:
        for entry in _read(path, fetch)["images"]:
            if entry["split"] in marks:
                name = str(PurePosixPath(entry.get("filepath", ""), entry["filename"]))
                photos[name] = [_line(sentence["raw"]) for sentence in entry["sentences"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise _other_form(path, fetch) from error
    return _cleaned(photos, path, fetch)


def read_coco(path, split):
    """{photo: captions} of COCO's own annotations, in the order of their images."""
    fetch, captions = _fetch("coco"), defaultdict(list)
    try:
        content = _read(path, fetch)
        for note in content["annotations"]:
            captions[note["image_id"]].append(_line(note["caption"]))
        photos = {f"{split}/{one['file_name']}": captions[one["id"]] for one in content["images"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise _other_form(path, fetch) from error
    return _cleaned(photos, path, fetch)


def find(root, name, data):
    """The path of a text file of a data set; CourseError says how to fetch what is missing."""
    root, fetch = Path(root), _fetch(data)
    if not root.is_dir():
        raise CourseError(f"There is no folder {root}; fetch {data} with {fetch} --to {root}.")
    if not (root / name).is_file():
        raise CourseError(f"{root} lacks {name}; fetch it with {fetch} --to {root}.")
    return root / name


def _fetch(name):
    return f"python data_scripts/{name}.py"


def _read(path, fetch):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CourseError(
            f"{path} is not a whole JSON file; delete it and fetch it again with {fetch}."
        ) from error


def _line(caption):
    return " ".join(caption.split())


def _other_form(path, fetch):
    return CourseError(f"{path} is not of the form it should have; fetch it again with {fetch}.")


def _cleaned(photos, path, fetch):
    """The photos without empty captions; refuses names that leave the folder of the photos."""
    if not photos:
        raise CourseError(f"{path} has no picture of this split; fetch it again with {fetch}.")
    kept = {}
    for name, captions in photos.items():
        parts = PurePosixPath(name).parts
        if ".." in parts or name.startswith("/") or "\\" in name or len(parts) > 2:
            raise CourseError(f"{path} names the photo {name!r} outside its folder; do not use it.")
        kept[name] = [caption for caption in captions if caption]
        if not kept[name]:
            raise CourseError(f"{path} has no caption for the photo {name}; fetch it again.")
    return kept


def _check(folder, photos, name):
    """Every photo is there: in `folder`, or in the folder of it that its name begins with."""
    by_folder = defaultdict(list)
    for photo in map(PurePosixPath, photos):
        by_folder[folder / photo.parent].append(photo.name)
    for place, names in by_folder.items():
        if not place.is_dir():
            raise CourseError(f"There is no folder {place}; fetch it with {_fetch(name)}.")
        check_photos(place, names, _fetch(name))
