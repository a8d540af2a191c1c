"""Full factorial studies: every combination of some factors' levels, trained with several seeds each."""

import itertools
import json
import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from coursekit.errors import CourseError, writing
from coursekit.studies.spread import effect, summary


class Row(NamedTuple):
    """One cell with one seed: {factor: level}, the seed, and {key: number} of what was measured."""

    levels: dict[str, str]
    seed: int
    values: dict[str, float]


class Score(NamedTuple):
    """How a score is called in tables, and the unit or range that its axis tells."""

    name: str
    unit: str


@dataclass(frozen=True)
class Study:
    """What is tried, and how one cell of it is done.

    `factors` is {name: levels}; all levels of a factor are compared with its first. Every combination is trained with
    each of `seeds`. `cell(levels, seed, folder)` trains and scores one, {factor: level}, and returns {key: number}; it
    keeps its run in the folder, or nowhere where that is None, and goes on with what lies there. One of the keys is
    "seconds". `scores` is {group: {key: Score}} of the scores to tell of, each group a table, its first score drawn cell
    by cell; `costs` is {key: name} of what a cell takes. `about` is what else the numbers depend on, as JSON can hold
    it: a folder of other cells is refused.
    Raises CourseError for levels or seeds that are missing, or given twice.
    """

    name: str
    factors: dict[str, tuple[str, ...]]
    seeds: tuple[int, ...]
    cell: Callable[[dict, int, Path | None], dict]
    scores: dict[str, dict[str, Score]]
    costs: dict[str, str] = field(default_factory=dict)
    about: dict = field(default_factory=dict)

    def __post_init__(self):
        for name, levels in (self.factors | {"seed": self.seeds}).items():
            if not levels or len(set(levels)) < len(levels):
                raise CourseError(f"Give one {name} or more, and none twice.")
        if min(self.seeds) < 0:
            raise CourseError("A seed is a whole number of 0 or more.")

    def keys(self):
        """Keys of all scores, group by group."""
        return [key for group in self.scores.values() for key in group]

    def combinations(self):
        """Every {factor: level}, the last factor changing fastest."""
        whole = itertools.product(*self.factors.values())
        return [dict(zip(self.factors, levels, strict=True)) for levels in whole]

    def cells(self):
        """Every (levels, seed) in the order of training: all of one seed first, so that a part is a study, too."""
        return [(levels, seed) for seed in self.seeds for levels in self.combinations()]


@dataclass(frozen=True)
class Found:
    """A study and all its rows."""

    study: Study
    rows: list[Row]

    def cell(self, levels, key):
        """`spread.summary` of one number of a cell over the seeds."""
        return summary([row.values[key] for row in self.rows if row.levels == levels])

    def effects(self, key):
        """Of every factor with a choice, what each further level changes: `spread.effect` and what is compared."""
        return [
            {"factor": factor, "level": level, "against": levels[0]}
            | effect(self.rows, factor, level, levels[0], key)
            for factor, levels in self.study.factors.items()
            for level in levels[1:]
        ]

    def as_dict(self):
        """Plain values of all cells, effects and rows, for JSON."""
        measured = [*self.study.keys(), *self.study.costs]
        told = {
            "cells": [
                {"levels": levels} | {key: self.cell(levels, key) for key in measured}
                for levels in self.study.combinations()
            ],
            "effects": {key: self.effects(key) for key in self.study.keys()},
            "rows": [row._asdict() for row in self.rows],
        }
        return {"about": _about(self.study)} | told


def run(study, out=None, keep=False):
    """Trains and scores every cell that is not kept yet, and returns Found.

    With a folder `out` every finished cell is kept there, a broken-off study goes on, and further levels or seeds join
    what is there. Processes may share it, each with seeds of its own. A cell's run is deleted once its scores are
    kept; `keep` leaves it in `out/runs`.
    Raises CourseError if `out` holds another study, or, with the cell's name before it, what a cell raises.
    """
    out = Path(out) if out else None
    kept = _kept(out, study)
    cells, rows = study.cells(), []
    for k, (levels, seed) in enumerate(cells):
        name = _name(levels, seed)
        if name not in kept:
            left = _left(kept, cells)
            title = f"{', '.join(levels.values())}, seed {seed}"
            print(f"cell {k + 1} of {len(cells)}: {title}{left}", flush=True)
            kept[name] = _train(study, levels, seed, title, out, keep)
        rows.append(Row(levels, seed, kept[name]))
    return Found(study, rows)


def _train(study, levels, seed, title, out, keep):
    folder = out / "runs" / _name(levels, seed) if out else None
    try:
        values = study.cell(levels, seed, folder)
    except CourseError as error:
        raise CourseError(f"{title}: {error}") from error
    if out:
        told = {"about": _about(study), "levels": levels, "seed": seed, "values": values}
        with writing(_file(out, levels, seed)) as path:
            path.write_text(json.dumps(told, indent=1), encoding="utf-8")
        if not keep:  # optimizer states of all cells would fill a disk
            shutil.rmtree(folder, ignore_errors=True)
    return values


def _name(levels, seed):
    """A file name, other levels another one: a level may be a path, or a name with a slash."""
    parts = (quote(level, safe="").replace("-", "%2D") for level in levels.values())
    return "-".join([*parts, f"seed{seed}"])


def _file(out, levels, seed):
    return out / "cells" / f"{_name(levels, seed)}.json"


def _kept(out, study):
    """name → values of all cells that the folder holds, which must be of this study."""
    paths = sorted((out / "cells").glob("[!.]*.json")) if out else []  # a dot: half written
    return {path.stem: _values(path, study) for path in paths}


def _values(path, study):
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        whole = {*study.keys(), "seconds"} <= kept["values"].keys()
        same = kept["about"] == _about(study) and _name(kept["levels"], kept["seed"]) == path.stem
        if whole and same:
            return kept["values"]
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise CourseError(
        f"{path.parent.parent} holds another study; choose another folder, or delete that one."
    )


def _about(study):
    """What a kept cell stands for, as JSON gives it back."""
    return json.loads(json.dumps({"study": study.name} | study.about))


def _left(kept, cells):
    """How long the rest takes if its cells take as long as those that are done: ", about 12 min left"."""
    names = [_name(levels, seed) for levels, seed in cells]
    taken = [kept[name]["seconds"] for name in names if name in kept]
    if not taken:
        return ""
    seconds = statistics.fmean(taken) * (len(names) - len(taken))
    if seconds < 90:
        return f", about {seconds:.0f} s left"
    return f", about {seconds / 60:.0f} min left"
