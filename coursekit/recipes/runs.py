"""The training that joins data, encoder, language model and loop."""

import copy
from dataclasses import replace
from pathlib import Path

import torch

from coursekit import checkpoints, datasets, sizes
from coursekit.captioner import FILE, Captioner, Pictures
from coursekit.recipes.parts import (
    announce,
    needs_eye,
    needs_language,
    texts_for,
    trained_eye,
    trained_language,
)
from coursekit.recipes.settings import recipe_for
from coursekit.text import BPETokenizer, WordTokenizer
from coursekit.training import train


def show_and_tell(data="scenes", size=None, seed=0, root=None, out=None, quiet=False, **changes):
    """`train_captioner` for Show and Tell."""
    return train_captioner("show-and-tell", data, size, seed, root, out, quiet, **changes)


def train_captioner(
    model, data="scenes", size=None, seed=0, root=None, out=None, quiet=False, **changes
):
    """Trains a model of captioner.MODELS and returns the captioner and its History.

    data: a name of datasets.NAMES; photos come from `root`, a folder in the official layout. With a folder `out` the
    run is saved there epoch by epoch, continues where it was interrupted, and leaves captioner.pt. `changes` replace
    fields of the recipe or of its TrainSettings.
    """
    here = sizes.setup(size)
    recipe = recipe_for(data, here.size, seed, model, **changes)
    sets = [
        datasets.load(data, split, root, count)
        for split, count in (("train", recipe.pictures), ("dev", recipe.eval_pictures))
    ]
    return train_on(recipe, *sets, here, out, quiet)


def train_on(recipe, train_set, dev_set, here, out=None, quiet=False, eye=None, language=None):
    """As `train_captioner`, on data sets that are there already.

    here: what `sizes.setup` gave. eye: a trained small CNN's state, and language: a trained GPT, where there is one.
    Raises CourseError if `out` holds a run of another recipe or of other pictures, or, before anything is trained or
    written, if the parts do not fit.
    """
    recipe = replace(recipe, picture_size=train_set.image(0).shape[-1])
    captioner = _untrained(recipe, tokenizer_for(recipe, train_set), language, here)
    captioner.must_fit(train_set, dev_set)
    claim(out, recipe, train_set, dev_set)
    if needs_language(recipe) and language is None:
        texts = texts_for(recipe, train_set), dev_set.captions
        own = (recipe, captioner.tokenizer, *texts, here.device, out, quiet)
        captioner = _untrained(recipe, captioner.tokenizer, trained_language(*own)[0], here)
    if needs_eye(recipe):
        eye = eye or trained_eye(recipe, here.device, out, quiet)
        # Parts and layers hold the small CNN inside; a linear layer behind it starts at random
        inner = getattr(captioner.encoder, "encoder", captioner.encoder)
        inner.load_state_dict(eye, strict=recipe.project is None)
    announce("the captioner learns to describe", quiet)
    history = _train(captioner, recipe.train, train_set, dev_set, here, out, quiet)
    if recipe.unfreeze:
        history = _train_on_unfrozen(captioner, train_set, dev_set, here, out, quiet)
    if out:
        captioner.save(Path(out) / FILE)
    return captioner, history


def must_fit(recipe, here, *sets):
    """Raises CourseError, before anything is trained, for a recipe that `train_on` would refuse with these sets."""
    _untrained(recipe, tokenizer_for(recipe, sets[0]), None, here).must_fit(*sets)


def _untrained(recipe, tokenizer, language, here):
    torch.manual_seed(recipe.train.seed)
    # Trained on and perhaps given small matrices: the caller's stays as it is
    return Captioner(recipe, tokenizer, copy.deepcopy(language)).to(here.device)


def tokenizer_for(recipe, train_set):
    """Words of the training captions; for a language model of Hugging Face its own tokens."""
    if recipe.model == "prefix" and recipe.language != "small":
        return BPETokenizer.from_pretrained(recipe.language)
    return WordTokenizer.train((c for cs in train_set.captions for c in cs), recipe.min_count)


def claim(out, recipe, *sets):
    """Keeps in the folder `out` whose run it is; raises CourseError if it is another recipe's, or of other pictures."""
    # What may change later: how words are searched, and epochs that follow the frozen ones
    same = replace(recipe, unfreeze=0, beam=3)
    checkpoints.claim(out, repr((same, [(each.name, each.split, each.names) for each in sets])))


def _train_on_unfrozen(captioner, train_set, dev_set, here, out, quiet):
    announce("and now the encoder learns, too", quiet)
    captioner.unfreeze()
    first, epochs = captioner.recipe.train, captioner.recipe.unfreeze
    # A tenth of the rate: large steps would undo what the encoder knows
    last = replace(first, epochs=epochs, learning_rate=first.learning_rate / 10)
    folder = Path(out) / "unfrozen" if out else None
    return _train(captioner, last, train_set, dev_set, here, folder, quiet)


def _train(captioner, settings, train_set, dev_set, here, out, quiet):
    lesson, exam = Pictures(captioner, train_set), Pictures(captioner, dev_set)
    return train(
        captioner,
        lesson.loss,
        lambda epoch: lesson.batches(settings.seed * 1000 + epoch),
        settings,
        validate=lambda _: exam.mean_loss(),
        sample=lambda _: exam.one_caption(),
        out=out,
        dtype=here.dtype,
        quiet=quiet,
    )
