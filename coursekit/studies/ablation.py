"""Ablations: what each part of a captioner is worth, by taking others in its place."""

import time
from pathlib import Path

from coursekit import datasets, recipes, sizes
from coursekit.errors import CourseError
from coursekit.models.detector import DETECTOR
from coursekit.models.language import parameters_that_learn
from coursekit.models.prefix import MAPPERS, TUNINGS
from coursekit.models.sources import EMBEDDINGS
from coursekit.studies.factorial import Score, Study

# The levels that there are; the first of those taken is what the others are compared with
LEVELS = {"source": EMBEDDINGS, "mapper": MAPPERS, "tuning": TUNINGS}
USUAL = {
    "source": ("pooled", "grid", "layers", "parts"),
    "mapper": ("linear", "mlp", "transformer"),
    "tuning": ("frozen", "tuned"),
}
# Embeddings of a picture by source, at least
PLACES = {"pooled": 1, "grid": 16, "layers": 3, "parts": 5, "objects": 10}
LENGTH = 8
SETTINGS = {
    "smoke": dict(pictures=24, eval_pictures=8, encoder_pictures=32, epochs=1),
    # 72 cells have to be short: less to learn from, a smaller language model, and the eye that comes with the course
    # in place of one a seed, which would take as long as seven cells
    "cpu": dict(
        pictures=1500,
        eval_pictures=200,
        epochs=3,
        encoder_train=None,
        language_dim=64,
        language_layers=3,
    ),
    "gpu": dict(epochs=3),
}
SMOKE = {"source": ("pooled", "grid"), "mapper": ("linear", "transformer")}
NAMES = {
    "Bleu_4": Score("BLEU-4", "0 to 1"),
    "CIDEr": Score("CIDEr", "0 to 10"),
    "fact_precision": Score("fact precision", "0 to 1"),
    "fact_recall": Score("fact recall", "0 to 1"),
}
# Embeddings of the prefix, parameters that learn, and seconds of the call that finished a cell
COSTS = {"places": "P", "parameters": "learn", "seconds": "s"}


def prefix_study(data="scenes", size=None, root=None, out=None, levels=None, seeds=None, **changes):
    """The Study of prefix captioners: sources of the prefix × mappers × what of the language model learns.

    data: a name of datasets.NAMES, from `root` as in datasets.load. levels: {"source" | "mapper" | "tuning": levels} in
    place of the usual ones of the size. `changes` replace fields of the recipe, as in recipes.train_captioner; `length`
    is how many embeddings a transformer makes, and how many the other mappers make at least: so no source is starved
    for want of places. A language model of the hub gets a learning rate by its tuning. With a folder `out`, eye and language model, trained once a seed, are kept there.
    Raises CourseError for a level that there is not, if the parts of a cell do not fit, or if `out` holds another study.
    """
    here = sizes.setup(size)
    factors = _chosen(levels or {}, changes, here.size)
    usual = here.pick(smoke=(0, 1), cpu=(0, 1, 2), gpu=(0, 1, 2))
    cells = _PrefixCells(data, here, root, out, SETTINGS[here.size] | changes)
    seeds = usual if seeds is None else tuple(seeds)
    study = Study("prefix", factors, seeds, cells, cells.scores(), COSTS, cells.about())
    cells.claim(study.combinations())
    return study


def _chosen(levels, changes, size):
    for name in {"embeddings", "mapper", "tuning"} & changes.keys():
        raise CourseError(f"'{name}' differs from cell to cell: give it as a level.")
    factors = USUAL | (SMOKE if size == "smoke" else {})
    for factor, own in levels.items():
        if factor not in LEVELS:
            raise CourseError(f"There is no factor '{factor}': choose {', '.join(LEVELS)}.")
        for level in own:
            if level not in LEVELS[factor]:
                raise CourseError(
                    f"There is no {factor} '{level}': choose of {', '.join(LEVELS[factor])}."
                )
    return factors | {factor: tuple(own) for factor, own in levels.items()}


class _PrefixCells:
    """Trains and scores cells of one data set; what cells of a seed share is made once."""

    def __init__(self, data, here, root, out, changes):
        self.data, self.here, self.out = data, here, Path(out) if out else None
        self.changes = {"length": LENGTH} | changes
        recipe = self.recipe = recipes.recipe_for(data, here.size, 0, "prefix", **self.changes)
        counts = dict(train=recipe.pictures, dev=recipe.eval_pictures, test=recipe.eval_pictures)
        if data == "scenes":
            counts["unseen"] = recipe.eval_pictures
        self.sets = {
            split: datasets.load(data, split, root, count) for split, count in counts.items()
        }
        self.seed = self.shared = None

    def claim(self, combinations):
        """The folder is this study's, if every cell can be: one that fails after hours would end all."""
        for levels in combinations:
            if levels["tuning"] == combinations[0]["tuning"]:  # which changes no size
                own = (self._recipe(levels, 0), self.here, self.sets["train"], self.sets["dev"])
                recipes.must_fit(*own)
        recipes.claim(self.out, self.recipe, *self.sets.values())

    def scores(self):
        """{split: {key: Score}} of the splits that are examined."""
        names = NAMES if self.data == "scenes" else {k: NAMES[k] for k in ("Bleu_4", "CIDEr")}
        exams = [split for split in self.sets if split not in ("train", "dev")]
        return {split: {f"{split}_{k}": each for k, each in names.items()} for split in exams}

    def about(self):
        pictures = {split: len(each) for split, each in self.sets.items()}
        return {"recipe": repr(self.recipe), "pictures": pictures}

    def __call__(self, levels, seed, folder):
        recipe = self._recipe(levels, seed)
        eye, language = self._shared(recipe, seed)
        start = time.perf_counter()
        captioner, _ = recipes.train_on(
            recipe, self.sets["train"], self.sets["dev"], self.here, folder, True, eye, language
        )
        found = {}
        for split in self.scores():
            scores = recipes.evaluate(captioner, self.sets[split], meteor=False)[1]
            found |= {f"{split}_{name}": value for name, value in scores.items()}
        memory = captioner.memory(self.sets["dev"].images([0]))
        return found | {
            "places": captioner.decoder.mapper(memory).shape[1],
            "parameters": parameters_that_learn(captioner),
            "seconds": time.perf_counter() - start,
        }

    def _recipe(self, levels, seed):
        source, mapper = levels["source"], levels["mapper"]
        own = dict(embeddings=source, mapper=mapper, tuning=levels["tuning"])
        if source == "objects":
            own |= dict(encoder=DETECTOR, weights=self.recipe.weights and "DEFAULT")
        if mapper != "transformer":  # which makes as many as it is told, of any number
            own["length"] = -(-self.recipe.length // PLACES[source])
        return recipes.recipe_for(self.data, self.here.size, seed, "prefix", **self.changes | own)

    def _shared(self, recipe, seed):
        """A seed's eye and language model, which no choice of a cell changes."""
        if self.seed != seed:
            self.seed, self.shared = seed, [None, None]
        folder = self.out / f"seed_{seed}" if self.out else None
        if recipes.needs_eye(recipe) and self.shared[0] is None:
            self.shared[0] = recipes.trained_eye(recipe, self.here.device, folder)
        if recipes.needs_language(recipe) and self.shared[1] is None:
            self.shared[1] = self._language(recipe, folder)
        return self.shared

    def _language(self, recipe, folder):
        lesson, captions = self.sets["train"], self.sets["dev"].captions
        tokenizer, texts = recipes.tokenizer_for(recipe, lesson), recipes.texts_for(recipe, lesson)
        own = (recipe, tokenizer, texts, captions, self.here.device, folder)
        return recipes.trained_language(*own)[0]
