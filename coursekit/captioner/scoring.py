"""Captions of whole data sets and of files, and their scores."""

import torch

from coursekit.captioner.pictures import features_of
from coursekit.datasets.captions import read_image
from coursekit.datasets.scenes import claims
from coursekit.metrics.captions import Scores, start_meteor
from coursekit.metrics.intervals import bootstrap


def evaluate(captioner, dataset, beam=None, meteor=None, spice=False):
    """Captions of a data set and their scores: (captions, Scores); for scenes with fact_precision, fact_recall.

    `scores.intervals` has an Interval of each: 95 % of 1,000 resamples of the pictures.
    """
    if meteor is not False:
        start_meteor()  # Java loads while the captions are searched
    captions = captioner.caption_memory(features_of(captioner, dataset), beam)
    known = {}
    if hasattr(dataset, "facts"):
        known = dict(claims=[claims(c) for c in captions], facts=dataset.facts())
    found = bootstrap(captions, dataset.captions, meteor=meteor, spice=spice, **known)
    scores = Scores({name: each.value for name, each in found.items()}, found.missing)
    scores.intervals = dict(found)
    return captions, scores


def caption_files(captioner, paths, beam=None):
    """A caption for each picture file. Raises CourseError for a file that is missing or no picture."""
    recipe = captioner.recipe
    usual = 64 if recipe.encoder == "small_cnn" else recipe.image_size
    # As large as those it learned from: sharper ones would be other pictures to it
    side = recipe.picture_size or usual
    images = [read_image(path, side) for path in paths]
    return captioner.caption(torch.stack(images), beam)
