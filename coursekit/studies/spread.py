"""How far repeated trainings lie apart, and what one choice changes when all else is equal."""

import math
import statistics

# Student's t for 95 % of k - 1 degrees of freedom; beyond these it hardly moves
T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14)


def summary(values):
    """Mean, standard deviation and the half-width of the mean's 95 % interval, by Student's t.

    One value has a mean and neither of the others: they are None.
    """
    mean = statistics.fmean(values)
    if len(values) == 1:
        return {"mean": mean, "sd": None, "half_width": None}
    sd = statistics.stdev(values)
    t = T_95[len(values) - 2] if len(values) - 2 < len(T_95) else 2.1
    return {"mean": mean, "sd": sd, "half_width": t * sd / math.sqrt(len(values))}


def effect(rows, factor, level, against, key):
    """What `level` of a factor changes in a score when it stands in place of the level `against`.

    rows: of a study, each with `levels`, `seed` and `values`. Cells that differ in nothing but this factor are paired,
    seed by seed; the differences of a seed are averaged, and `summary` is that of these means. Cells of one seed share
    an eye and a language model, so the seeds are the sample, not the cells. `cells` counts the pairs of a seed, `above`
    those whose difference, averaged over the seeds, is above 0.
    """
    ours, theirs = (_others(rows, factor, one, key) for one in (level, against))
    pairs = ours.keys() & theirs.keys()
    seeds, cells = sorted({seed for _, seed in pairs}), sorted({cell for cell, _ in pairs})
    gaps = {pair: ours[pair] - theirs[pair] for pair in pairs}
    means = [_mean(gaps, 1, seed) for seed in seeds]
    above = sum(_mean(gaps, 0, cell) > 0 for cell in cells)
    return summary(means) | {"seeds": means, "cells": len(cells), "above": above}


def _others(rows, factor, level, key):
    """(all other levels, seed) → the score, of the rows with one level of a factor."""
    return {
        (tuple(v for k, v in row.levels.items() if k != factor), row.seed): row.values[key]
        for row in rows
        if row.levels[factor] == level
    }


def _mean(gaps, part, wanted):
    return statistics.fmean(gap for pair, gap in gaps.items() if pair[part] == wanted)
