"""What goes with what: settings by model, data set and size, and the training that joins them."""

import hashlib
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F

from coursekit import datasets, sizes
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
from coursekit.datasets.scenes import ALL_FACTS, Scenes, fact_table
from coursekit.errors import CourseError, writing
from coursekit.models.encoders import SceneClassifier, SmallCNN
from coursekit.text import WordTokenizer
from coursekit.training import TrainSettings, train

__all__ = [
    "FILE",
    "MODELS",
    "PHOTOS",
    "RECIPES",
    "Captioner",
    "Pictures",
    "Recipe",
    "caption_files",
    "evaluate",
    "features_of",
    "load_captioner",
    "needs_eye",
    "recipe_for",
    "shipped_captioner",
    "show_and_tell",
    "train_captioner",
    "train_on",
    "train_scene_encoder",
    "trained_eye",
]

RECIPES = {
    ("scenes", "smoke"): Recipe(
        pictures=96,
        eval_pictures=16,
        embed_dim=32,
        hidden_dim=48,
        encoder_pictures=96,
        encoder_train=TrainSettings(epochs=1, batch_size=16, learning_rate=2e-3),
        train=TrainSettings(epochs=2, batch_size=16, learning_rate=3e-3),
    ),
    ("scenes", "cpu"): Recipe(
        # Five times through 16,000 pictures: as long as 13 times through 6,000, with half the loss on new ones.
        encoder_pictures=16000,
        # Batches of 16 teach the encoder more a second than larger ones: it needs many steps, not exact ones.
        encoder_train=TrainSettings(epochs=5, batch_size=16, learning_rate=2e-3),
        # A state of 768 numbers holds more of a picture than one input of 128.
        image_as="state",
        hidden_dim=384,
        dropout=0.1,
        train=TrainSettings(epochs=4, batch_size=64, learning_rate=4e-3),
    ),
    ("scenes", "gpu"): Recipe(
        image_as="state",
        hidden_dim=512,
        embed_dim=256,
        encoder_pictures=60000,
        encoder_train=TrainSettings(epochs=10, batch_size=16, learning_rate=2e-3),
        train=TrainSettings(epochs=20, batch_size=64, learning_rate=2e-3),
    ),
    ("flickr8k", "smoke"): Recipe(
        encoder="mobilenet_v2",
        embeddings="pooled",
        weights=None,
        image_size=64,
        pictures=32,
        eval_pictures=8,
        embed_dim=32,
        hidden_dim=48,
        train=TrainSettings(epochs=1, batch_size=32),
    ),
    ("flickr8k", "cpu"): Recipe(
        encoder="mobilenet_v2",
        embeddings="pooled",
        weights="IMAGENET1K_V1",
        min_count=5,
        embed_dim=256,
        hidden_dim=384,
        # As for scenes; chosen on the dev set, where it reached BLEU-4 0.168
        image_as="state",
        dropout=0.5,
        train=TrainSettings(epochs=10, batch_size=64, learning_rate=2e-3, patience=2),
    ),
    ("flickr8k", "gpu"): Recipe(
        encoder="resnet50",
        embeddings="pooled",
        min_count=5,
        embed_dim=512,
        hidden_dim=512,
        dropout=0.5,
        train=TrainSettings(epochs=20, batch_size=128, learning_rate=1e-3, patience=3),
    ),
}


# What other sets of photos change in Flickr8k's recipes: the more pictures, the fewer times through them.
# Nothing here has been trained yet. The limits at size cpu keep pooled features below a gigabyte.
PHOTOS = {
    ("flickr30k", "smoke"): {},
    ("flickr30k", "cpu"): dict(epochs=5),
    ("flickr30k", "gpu"): dict(epochs=15),
    ("coco", "smoke"): {},
    ("coco", "cpu"): dict(pictures=30000, eval_pictures=1000, epochs=4),
    ("coco", "gpu"): dict(epochs=10),
    ("conceptual", "smoke"): {},
    ("conceptual", "cpu"): dict(pictures=100000, eval_pictures=2000, epochs=5),
    ("conceptual", "gpu"): dict(epochs=5),
}
# And what a model changes: attention wants all places, and chooses among them word by word.
MODELS = {
    "show-and-tell": {},
    "show-attend-and-tell": dict(embeddings="grid"),
}
# It learns a small set by heart sooner: after six epochs the loss on dev no longer fell.
# And the features of all its places are 49 times as large: 7,000 pictures fill two gigabytes.
ATTENTION = {
    ("flickr8k", "cpu"): dict(epochs=6),
    ("flickr30k", "cpu"): dict(pictures=7000),
    ("coco", "cpu"): dict(pictures=7000),
    ("conceptual", "cpu"): dict(pictures=7000),
}


def recipe_for(data, size, seed=0, model="show-and-tell", **changes):
    """The recipe of a data set, size and model, with fields changed; names of TrainSettings may be given too.

    Raises CourseError for a combination without recipe or a name that no field has.
    """
    if (data, size) not in RECIPES and (data, size) not in PHOTOS:
        raise CourseError(f"There is no recipe for '{data}' at size '{size}'.")
    if model not in MODELS:
        raise CourseError(f"There is no model '{model}': choose one of {', '.join(MODELS)}.")
    recipe = RECIPES.get((data, size)) or RECIPES["flickr8k", size]
    own = ATTENTION.get((data, size), {}) if model == "show-attend-and-tell" else {}
    changes = PHOTOS.get((data, size), {}) | MODELS[model] | own | changes
    loop = {k: changes.pop(k) for k in list(changes) if hasattr(recipe.train, k)}
    unknown = [name for name in changes if not hasattr(recipe, name)]
    if unknown:
        raise CourseError(f"A recipe has no setting '{unknown[0]}'.")
    loop = replace(recipe.train, seed=seed, **loop)
    recipe = replace(recipe, model=model, **changes, train=loop)
    if seed < 0 or recipe.unfreeze < 0:
        raise CourseError("A seed and a number of epochs to unfreeze are 0 or more.")
    return recipe


def train_scene_encoder(settings, dataset, device="cpu", out=None, quiet=False):
    """A SmallCNN trained to name the facts of scenes, as (SceneClassifier, History).

    dataset: Scenes; one yes-or-no question for each of ALL_FACTS; the loss is the sum of their cross-entropies in
    nats a picture. `out` and `quiet` as in `training.train`.
    """
    torch.manual_seed(settings.seed)
    classifier = SceneClassifier(SmallCNN(), len(ALL_FACTS)).to(device)
    images, answers = dataset.images(range(len(dataset))), fact_table(dataset)  # (len, F)

    def batches(epoch):
        generator = torch.Generator().manual_seed(1000 * settings.seed + epoch)
        return torch.randperm(len(images), generator=generator).split(settings.batch_size)

    def loss(model, batch):
        logits = model(images[batch].to(device))  # (B, F)
        wanted = answers[batch].to(device)
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(batch)

    return classifier, train(classifier, loss, batches, settings, out=out, quiet=quiet)


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


def train_on(recipe, train_set, dev_set, here, out=None, quiet=False, eye=None):
    """As `train_captioner`, on data sets that are there already.

    here: what `sizes.setup` gave. eye: a trained small CNN's state, where there is one.
    Raises CourseError if `out` holds a run of another recipe or of other pictures.
    """
    recipe = replace(recipe, picture_size=train_set.image(0).shape[-1])
    claim(out, recipe, train_set, dev_set)
    torch.manual_seed(recipe.train.seed)
    tokenizer = WordTokenizer.train((c for cs in train_set.captions for c in cs), recipe.min_count)
    captioner = Captioner(recipe, tokenizer).to(here.device)
    if needs_eye(recipe):
        eye = eye or trained_eye(recipe, here.device, out, quiet)
        # Parts and layers hold the small CNN inside; a linear layer behind it starts at random
        inner = getattr(captioner.encoder, "encoder", captioner.encoder)
        inner.load_state_dict(eye, strict=recipe.project is None)
    history = _train(captioner, recipe.train, train_set, dev_set, here, out, quiet)
    if recipe.unfreeze:
        captioner.unfreeze()
        # A tenth of the rate: large steps would undo what the encoder knows
        last = replace(
            recipe.train, epochs=recipe.unfreeze, learning_rate=recipe.train.learning_rate / 10
        )
        folder = Path(out) / "unfrozen" if out else None
        history = _train(captioner, last, train_set, dev_set, here, folder, quiet)
    if out:
        captioner.save(Path(out) / FILE)
    return captioner, history


def claim(out, recipe, *sets):
    """Keeps in the folder `out` whose run it is; raises CourseError if it is another recipe's, or of other pictures.

    training.train compares settings and shapes, and these can be equal where encoder or pictures are not.
    """
    if not out:
        return
    # What may change later: how words are searched, and epochs that follow the frozen ones
    same = replace(recipe, unfreeze=0, beam=3)
    told = repr((same, [(each.name, each.split, each.names) for each in sets]))
    told, path = hashlib.sha256(told.encode()).hexdigest(), Path(out) / "run.sha256"
    if path.is_file() and path.read_text() != told:
        raise CourseError(
            f"{out} holds a run with other settings or pictures: delete it or choose another folder."
        )
    with writing(path) as temporary:
        temporary.write_text(told)


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


def needs_eye(recipe):
    """Whether the recipe's encoder is trained here, before the captioner."""
    return bool(recipe.encoder_train) and recipe.encoder == "small_cnn"


def trained_eye(recipe, device="cpu", out=None, quiet=False):
    """The state of a small CNN that learned to name facts, on other scenes than the captions are about."""
    settings = replace(recipe.encoder_train, seed=recipe.train.seed)
    # Another seed, so other pictures: as encoders of photos come from another set than the captions
    others = Scenes("train", recipe.encoder_pictures, seed=1 + recipe.train.seed)
    folder = Path(out) / "encoder" if out else None
    classifier, _ = train_scene_encoder(settings, others, device, folder, quiet)
    return classifier.encoder.state_dict()
