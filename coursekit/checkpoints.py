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
