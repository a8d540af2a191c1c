"""Recipes: what goes with what, and the training that joins them."""

from coursekit.captioner import (
    FILE,
    Captioner,
    Pictures,
    Recipe,
    caption_files,
    evaluate,
    features_of,
    load_captioner,
    shipped_captioner,
)
from coursekit.recipes.parts import (
    needs_eye,
    needs_language,
    texts_for,
    train_scene_encoder,
    trained_eye,
    trained_language,
)
from coursekit.recipes.runs import (
    claim,
    must_fit,
    show_and_tell,
    tokenizer_for,
    train_captioner,
    train_on,
)
from coursekit.recipes.settings import (
    MODELS,
    PHOTOS,
    RECIPES,
    recipe_for,
)

__all__ = [
    "Captioner",
    "FILE",
    "MODELS",
    "PHOTOS",
    "Pictures",
    "RECIPES",
    "Recipe",
    "caption_files",
    "claim",
    "evaluate",
    "features_of",
    "load_captioner",
    "must_fit",
    "needs_eye",
    "needs_language",
    "recipe_for",
    "shipped_captioner",
    "show_and_tell",
    "texts_for",
    "tokenizer_for",
    "train_captioner",
    "train_on",
    "train_scene_encoder",
    "trained_eye",
    "trained_language",
]
