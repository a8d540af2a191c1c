"""Cross-validation: a model trained once for each fold of a data set, and scored on it."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

from coursekit import datasets, recipes, sizes
from coursekit.errors import CourseError, writing
from coursekit.studies.spread import summary


@dataclass(frozen=True)
class Folds:
    """Scores of every fold, by name."""

    scores: dict[str, list[float]]

    def as_dict(self):
        """name → mean, standard deviation over the folds, half-width of the mean's 95 % interval, and all values."""
        return {name: summary(values) | {"folds": values} for name, values in self.scores.items()}

    def __str__(self):
        lines = [f"{'':15}{'mean':>8}{'sd':>8}   95 % of the mean"]
        for name, told in self.as_dict().items():
            low, high = (told["mean"] + sign * told["half_width"] for sign in (-1, 1))
            lines.append(f"{name:15}{told['mean']:8.3f}{told['sd']:8.3f}   {low:.3f} to {high:.3f}")
        return "\n".join(lines)


def folds_of(count, folds, seed=0):
    """The numbers 0 to count - 1, shuffled and dealt into `folds` lists whose lengths differ by one at most."""
    if not 2 <= folds <= count:
        raise CourseError(f"{count} pictures make 2 to {count} folds, not {folds}.")
    order = random.Random(seed).sample(range(count), count)
    return [sorted(order[k::folds]) for k in range(folds)]


def crossvalidate(
    model, data="scenes", folds=10, size=None, seed=0, root=None, out=None, count=None, **changes
):
    """Trains a model once for each fold of all pictures of a data set and scores it on that fold: Folds.

    Each fold is the exam once, the next one decides which epoch is kept, and the model learns from all others; a
    picture and all its captions lie in one fold. The first `count` pictures take part; without it the recipe's number,
    or all. With a folder
    `out` every finished fold is kept there, and a broken-off study goes on. `changes` as in recipes.train_captioner.
    """
    if folds < 3:
        raise CourseError(
            f"Cross-validation takes 3 folds or more, not {folds}: to learn, to choose the epoch, to score."
        )
    here = sizes.setup(size)
    recipe = recipes.recipe_for(data, here.size, seed, model, **changes)
    splits = [datasets.load(data, split, root) for split in ("train", "dev", "test")]
    whole = datasets.join(splits).subset(count or recipe.pictures)
    parts = folds_of(len(whole), folds, seed)
    out = Path(out) if out else None
    recipes.must_fit(recipe, here, whole)
    recipes.claim(out, recipe, whole)
    eye = None
    if recipes.needs_eye(recipe):  # its pictures are in no fold, so one eye serves all
        eye = recipes.trained_eye(recipe, here.device, out)
    found = [
        _fold(k, recipe, whole, parts, here, out / f"fold_{k + 1}" if out else None, eye)
        for k in range(folds)
    ]
    # METEOR may be missing where a study went on without Java
    names = [name for name in found[0] if all(name in scores for scores in found)]
    return Folds({name: [scores[name] for scores in found] for name in names})


def _fold(k, recipe, whole, parts, here, out, eye):
    """The scores of one fold: read where they are kept already, else trained for."""
    kept = out / "scores.json" if out else None
    # What the scores stand for: another study in the same folder must not take them for its own
    about = {"recipe": repr(recipe), "pictures": len(whole), "fold": parts[k]}
    if kept and kept.is_file():
        return _kept_scores(kept, about)
    exam, dev = parts[k], parts[(k + 1) % len(parts)]
    lesson = sorted(set(range(len(whole))) - {*exam, *dev})
    print(f"fold {k + 1} of {len(parts)}: {len(lesson)} pictures to learn from", flush=True)
    lesson, dev, exam = (_part(whole, indices) for indices in (lesson, dev, exam))
    captioner, _ = recipes.train_on(recipe, lesson, dev, here, out, eye=eye)
    scores = dict(recipes.evaluate(captioner, exam)[1])
    if kept:
        with writing(kept) as path:
            path.write_text(json.dumps({"about": about, "scores": scores}), encoding="utf-8")
    return scores


def _part(whole, indices):
    """Some pictures of a set, which share the kept features of the whole."""
    part = whole.pick(indices)
    part.whole, part.indices = whole, indices
    return part


def _kept_scores(path, about):
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["about"] == about:
            return kept["scores"]
    except (ValueError, KeyError, TypeError):
        pass
    raise CourseError(
        f"{path.parent.parent} holds another study; choose another folder, or delete that one."
    )
