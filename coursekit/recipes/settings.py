"""What goes with what: settings by model, data set and size."""

from dataclasses import replace

from coursekit.captioner import Recipe
from coursekit.errors import CourseError
from coursekit.training import TrainSettings

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
    "prefix": {},
}
# Settings that one model alone reads
ONLY = dict(image_as="show-and-tell", attention="show-attend-and-tell")
ONLY |= dict.fromkeys(["language", "mapper", "length", "tuning"], "prefix")
# The language model of prefix by size: a small one reads captions first
LANGUAGES = {"smoke": "small", "cpu": "small", "gpu": "gpt2"}
SMALL = {
    "smoke": dict(
        language_dim=32,
        language_layers=2,
        language_heads=2,
        language_train=TrainSettings(epochs=1, batch_size=16, learning_rate=3e-3),
    ),
    "cpu": dict(
        language_train=TrainSettings(epochs=2, batch_size=32, learning_rate=2e-3),
    ),
    # Not trained yet: as Flickr8k's at size cpu
    "gpu": dict(
        language_train=TrainSettings(epochs=4, batch_size=32, learning_rate=2e-3),
    ),
}
# Rates with a language model of the hub, by tuning, at any size. Its weights move little: the first is Mokady et al.'s,
# times batches larger than theirs. What begins at random takes larger steps. Not trained yet.
RATES = {"tuned": 5e-5, "lora": 5e-4, "frozen": 1e-3}
LENGTH = 10  # theirs, where all of a prefix comes from one embedding or one transformer
# It learns a small set by heart sooner: after six epochs the loss on dev no longer fell.
# And the features of all its places are 49 times as large: 7,000 pictures fill two gigabytes.
OWN = {
    ("show-attend-and-tell", "flickr8k", "cpu"): dict(epochs=6),
    ("show-attend-and-tell", "flickr30k", "cpu"): dict(pictures=7000),
    ("show-attend-and-tell", "coco", "cpu"): dict(pictures=7000),
    ("show-attend-and-tell", "conceptual", "cpu"): dict(pictures=7000),
    # All 16 places, so that a colour can stay with its thing
    ("prefix", "scenes", "cpu"): dict(embeddings="grid", language_pictures=6000),
    # The pooled features that show-and-tell reads, as eight embeddings; and more words than scenes have
    ("prefix", "flickr8k", "cpu"): dict(
        length=8,
        language_dim=192,
        language_layers=3,
        language_train=TrainSettings(epochs=4, batch_size=32, learning_rate=2e-3),
        dropout=0.3,
        epochs=6,
        learning_rate=1e-3,
    ),
}


def recipe_for(data, size, seed=0, model="show-and-tell", **changes):
    """The recipe of a data set, size and model, with fields changed; names of TrainSettings may be given too.

    Raises CourseError for a combination without recipe or a name that no field has.
    """
    if (data, size) not in RECIPES and (data, size) not in PHOTOS:
        raise CourseError(f"There is no recipe for '{data}' at size '{size}'.")
    if model not in MODELS:
        raise CourseError(f"There is no model '{model}': choose one of {', '.join(MODELS)}.")
    others = [name for name in changes if ONLY.get(name, model) != model]
    if others:
        name = others[0]
        raise CourseError(f"'{name}' is a setting of {ONLY[name]}: {model} does not read it.")
    recipe = RECIPES.get((data, size)) or RECIPES["flickr8k", size]
    own = OWN.get((model, data, size), {})
    if model == "prefix":
        own = _prefix(size, {"embeddings": recipe.embeddings} | own, changes)
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


def _prefix(size, own, changes):
    """What goes with a prefix captioner's language model and mapper, where `changes` do not say otherwise."""
    language = changes.get("language", LANGUAGES[size])
    own = {"language": language} | SMALL[size] | own
    if language != "small":
        rate = RATES.get(changes.get("tuning"), RATES["tuned"])
        own |= dict(mapper="transformer", learning_rate=rate)
    told = own | changes
    pooled = language != "small" and told["embeddings"] == "pooled"
    if told.get("mapper") == "transformer" or pooled:
        own.setdefault("length", LENGTH)
    return own
