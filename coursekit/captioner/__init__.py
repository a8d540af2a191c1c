"""A captioner: encoder, decoder and words in one piece; saved, loaded, asked, trained on and scored."""

from coursekit.captioner.model import (
    FILE,
    MODELS,
    WAYS,
    Captioner,
    Recipe,
    load_captioner,
    make_language,
    shipped_captioner,
)
from coursekit.captioner.pictures import Pictures, features_of
from coursekit.captioner.scoring import caption_files, evaluate

__all__ = [
    "FILE",
    "MODELS",
    "WAYS",
    "Captioner",
    "Pictures",
    "Recipe",
    "caption_files",
    "evaluate",
    "features_of",
    "load_captioner",
    "make_language",
    "shipped_captioner",
]
