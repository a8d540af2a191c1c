"""Small real-shaped copies of the data sets: a dozen photos, packed as their makers pack them."""

import io
import json
import runpy
import sys
import tarfile
import zipfile

from conftest import REPOSITORY
from PIL import Image

# Grey value of every photo, so that a test knows which one it got
GREYS = [20 * (place + 1) for place in range(12)]
MARKS = ["train"] * 6 + ["restval"] * 2 + ["val"] * 2 + ["test"] * 2
F30K = [f"{1000 + place}.jpg" for place in range(12)]
HALVES = ["train2014"] * 6 + ["val2014"] * 6
COCO = [f"COCO_{half}_{place:012}.jpg" for place, half in enumerate(HALVES)]


def jpeg(grey, width=40, height=30):
    """The bytes of a grey photo."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (grey, grey, grey)).save(file, "JPEG")
    return file.getvalue()


def captions(name):
    return [f"A grey photo , {name} ,\n again {k} .  " for k in range(5)]


def karpathy_json(name):
    """What Karpathy's JSON of flickr30k or coco holds; Flickr30k has no restval."""
    images = []
    for place, mark in enumerate(MARKS):
        entry = {"filename": F30K[place], "split": mark, "imgid": place}
        if name == "coco":
            entry |= {"filename": COCO[place], "filepath": HALVES[place], "cocoid": place}
        elif mark == "restval":
            entry["split"] = "train"
        entry["sentences"] = [
            {"raw": raw, "tokens": raw.split(), "imgid": place} for raw in captions(place)
        ]
        images.append(entry)
    return {"images": images, "dataset": name}


def coco_json(half):
    """What COCO's own captions_….json of a half holds; its notes are in no order."""
    places = [place for place, each in enumerate(HALVES) if each == half]
    notes = [
        {"image_id": p, "id": 9 * p + k, "caption": captions(p)[k]}
        for k in range(5)
        for p in places
    ]
    images = [{"id": place, "file_name": COCO[place]} for place in places]
    return {"images": images, "annotations": notes[::-1], "licenses": []}


def zipped(files):
    """A zip of {name: content} as bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return file.getvalue()


def tarred(files):
    """A tar.gz of {name: content} as bytes."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as bundle:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            bundle.addfile(info, io.BytesIO(content))
    return file.getvalue()


def archives():
    """{archive: bytes} of all that the scripts of flickr30k and coco fetch."""
    texts = {
        f"dataset_{name}.json": json.dumps(karpathy_json(name)) for name in ("flickr30k", "coco")
    }
    photos = {
        f"flickr30k-images/{name}": jpeg(grey) for name, grey in zip(F30K, GREYS, strict=True)
    }
    packed = {"caption_datasets.zip": zipped(texts), "flickr30k-images.zip": zipped(photos)}
    for half in ("train2014", "val2014"):
        inside = {f"{half}/{COCO[p]}": jpeg(GREYS[p]) for p in range(12) if HALVES[p] == half}
        packed[f"{half}.zip"] = zipped(inside)
    notes = {f"annotations/captions_{h}.json": json.dumps(coco_json(h)) for h in set(HALVES)}
    return packed | {"annotations_trainval2014.zip": zipped(notes)}


def run_script(monkeypatch, name, *arguments):
    """Runs a script of data_scripts/ in this process; its exit code."""
    script = str(REPOSITORY / "data_scripts" / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        return ended.code
