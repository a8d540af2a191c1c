"""Image GPT on digits: configured, trained, asked to complete and to classify, and reported on."""

from coursekit.datasets.digits import load_digits
from coursekit.pixels.classify import (
    Classifier,
    Probed,
    agreement,
    features_of,
    finetune,
    is_checkpoint,
    load,
    load_classifier,
    probe,
)
from coursekit.pixels.complete import (
    HALVES,
    Completion,
    complete,
    fill,
    known_pixels,
    progress,
    save_sheet,
)
from coursekit.pixels.config import NAMES, Config, FineTuning
from coursekit.pixels.photos import Photo, read_mask, read_photo
from coursekit.pixels.report import report
from coursekit.pixels.runs import (
    FILE,
    SHIPPED,
    Drawer,
    load_drawer,
    palette_for,
    run,
    score,
    shipped_drawer,
    train_image_gpt,
    usual,
)

__all__ = [
    "Classifier",
    "Completion",
    "Config",
    "Drawer",
    "FILE",
    "FineTuning",
    "HALVES",
    "NAMES",
    "Photo",
    "Probed",
    "SHIPPED",
    "agreement",
    "complete",
    "features_of",
    "fill",
    "finetune",
    "is_checkpoint",
    "known_pixels",
    "load",
    "load_classifier",
    "load_digits",
    "load_drawer",
    "palette_for",
    "probe",
    "progress",
    "read_mask",
    "read_photo",
    "report",
    "run",
    "save_sheet",
    "score",
    "shipped_drawer",
    "train_image_gpt",
    "usual",
]
