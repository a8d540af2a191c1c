"""Files of weights: read with suspicion, and folders that hold one run and no other."""

import hashlib
from pathlib import Path

import torch

from coursekit.errors import CourseError, writing


def load_checkpoint(path):
    """What `torch.save` wrote to `path`: plain values and tensors only, on the CPU.

    Raises CourseError if the file is missing, cut short, or not a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise CourseError(
            f"There is no checkpoint at {path}: train a model first, or check the path."
        )
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CourseError(
            f"{path} is not a checkpoint of this course, or it is cut short: train again or copy it anew."
        ) from error
    if not isinstance(saved, dict):
        raise CourseError(
            f"{path} is not a checkpoint of this course: give one that `coursekit train` wrote."
        )
    return saved


def load_kind(path, file, kinds, wanted):
    """(path of the file, what is saved in it) of the run or file at `path`: one whose "model" is among `kinds`.

    file: its name where `path` is a folder. wanted: what it is and which command writes it, for the CourseError that
    another file raises, as those do that `load_checkpoint` refuses.
    """
    path = Path(path)
    path = path / file if path.is_dir() else path
    saved = load_checkpoint(path)
    if saved.get("model") not in kinds:
        what, command = wanted
        raise CourseError(f"{path} holds no {what}: give a {file} that `{command}` wrote.")
    return path, saved


def claim(out, told):
    """Keeps in the folder `out` whose run it is, `told` in words; raises CourseError if it is another's.

    training.train compares settings and shapes, and these can be equal where data or parts are not.
    """
    if not out:
        return
    told, path = hashlib.sha256(told.encode()).hexdigest(), Path(out) / "run.sha256"
    if path.is_file() and path.read_text() != told:
        raise CourseError(
            f"{out} holds a run with other settings or pictures: delete it or choose another folder."
        )
    with writing(path) as temporary:
        temporary.write_text(told)
