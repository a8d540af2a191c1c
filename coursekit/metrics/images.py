"""Scores of pixel models: bits a pixel beside counting, what a classifier confuses, and how real drawn digits look.

`tokens` are int64 (n, T) in raster order, `colours` is V; all bits are means over every pixel, the first included.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import cohen_kappa_score, confusion_matrix, precision_recall_fscore_support
from torch.nn import functional as F

from coursekit.errors import CourseError

CELLS = 1 << 24  # numbers of the largest table of counts: 128 MB
BLOCK = 2000  # pictures counted at once


def bits(nats):
    """Nats as bits: one bit is ln 2 nats."""
    return nats / math.log(2)


# --- likelihood


@torch.no_grad()
def bits_per_pixel(model, tokens, batch=25):
    """What the pixels of pictures cost under a model: the mean in bits a pixel, and the mean at each place (T,).

    model(tokens (B, T)) → logits (B, T, V), where logits t guess token t from those before it, so the first pixel counts
    too.  Works in eval mode.  batch: so many pictures at once, few of them so that memory stays small.
    Raises CourseError for tokens that are not (n, T) or are colours the model does not have.
    """
    tokens, places = _tokens(tokens), 0.0
    where = next((each.device for each in getattr(model, "parameters", list)()), tokens.device)
    training = getattr(model, "training", False)
    if training:
        model.eval()
    for part in tokens.split(batch):
        logits = model(part.to(where)).float()  # (B, T, V)
        _tokens(part, logits.shape[-1])
        nats = F.cross_entropy(logits.transpose(1, 2), part.to(where), reduction="none")  # (B, T)
        places = places + nats.double().sum(0).cpu()
    if training:
        model.train()
    each = bits(places / len(tokens))  # (T,)
    return each.mean().item(), each.float()


def unigram(train, test, colours):
    """Bits a pixel of `test` by how often each colour occurs in `train`, every count raised by 1 (Laplace)."""
    counts = _tokens(train, colours).flatten().bincount(minlength=colours) + 1.0  # (V,)
    return _cost(counts / counts.sum(), _tokens(test, colours))


def per_position(train, test, colours):
    """Bits a pixel by how often each colour occurs at this place, every count raised by 1.

    Raises CourseError if the pictures of `test` have another number of pixels.
    """
    train, test = _alike(train, test, colours)
    T = train.shape[1]
    counts = (train + colours * torch.arange(T)).flatten().bincount(minlength=T * colours)
    shares = _shares(counts.view(T, colours), 1 / colours, colours)  # (T, V)
    return _cost(shares.flatten(), test + colours * torch.arange(T))


def neighbours(train, test, colours, side=None, strength=1.0):
    """Bits a pixel by how often each colour follows the four neighbours read before: left, upper left, up, upper right.

    What lies outside the picture is a colour of its own.  n(c, x) counts how often colour x followed the neighbours c:
    p(x | c) = (n(c, x) + strength · p(x)) / (n(c) + strength), with the unigram's p(x), so that neighbours that were
    never seen fall back to it.
    Raises CourseError if T is not side², or for more than 26 colours, whose table would be too large.
    """
    train, test = _alike(train, test, colours)
    side = side or math.isqrt(train.shape[1])
    cells = (colours + 1) ** 4 * colours
    if side**2 != train.shape[1]:
        raise CourseError(
            f"{train.shape[1]} pixels are no square of side {side}: give square pictures."
        )
    if cells > CELLS:
        raise CourseError(
            f"Counts of four neighbours of {colours} colours need {cells:,} numbers: take fewer colours."
        )
    counts = torch.zeros(cells, dtype=torch.int64)
    for part in train.split(BLOCK):
        counts += _pairs(part, colours, side).bincount(minlength=cells)
    counts = counts.view(-1, colours)  # (contexts, V)
    alone = counts.sum(0) + 1.0
    shares = _shares(counts, alone / alone.sum(), strength).flatten()
    costs = [
        _cost(shares, _pairs(part, colours, side)) * part.numel() for part in test.split(BLOCK)
    ]
    return sum(costs) / test.numel()


def _pairs(tokens, colours, side):
    """tokens (n, T) → (n · T,): each pixel's four neighbours and its own colour as one number."""
    grid = tokens.view(-1, side, side)
    around = F.pad(grid, (1, 1, 1, 0), value=colours)  # (n, side + 1, side + 2)
    left, corner = around[:, 1:, :-2], around[:, :-1, :-2]
    up, right = around[:, :-1, 1:-1], around[:, :-1, 2:]
    number = 0
    for each in (left, corner, up, right):
        number = number * (colours + 1) + each
    return (number * colours + grid).flatten()


def _shares(counts, prior, strength):
    """Counts (…, V) as shares, mixed with `strength` pixels of a prior."""
    counts = counts.float()
    return (counts + strength * prior) / (counts.sum(-1, keepdim=True) + strength)


def _cost(shares, indices):
    return -shares[indices].double().log2().mean().item()


def _alike(train, test, colours):
    train, test = _tokens(train, colours), _tokens(test, colours)
    if train.shape[1] != test.shape[1]:
        raise CourseError(
            f"Pictures of {train.shape[1]} and of {test.shape[1]} pixels: reduce both to one size."
        )
    return train, test


def _tokens(tokens, colours=None):
    """Tokens as int64 (n, T), all below `colours`."""
    tokens = torch.as_tensor(tokens)
    if tokens.ndim != 2 or not tokens.numel() or tokens.is_floating_point():
        raise CourseError(
            f"Tokens are whole numbers (n, T), at least one, not {tuple(tokens.shape)} of {tokens.dtype}: "
            "use Palette.encode."
        )
    if colours and not 0 <= tokens.min() <= tokens.max() < colours:
        raise CourseError(
            f"Tokens from {tokens.min()} to {tokens.max()} do not fit {colours} colours: use the palette that goes with them."
        )
    return tokens.long()


# --- classification


class OfClass(NamedTuple):
    """Of one class: right among what was called it, found among what is it, their harmonic mean, how many there are."""

    precision: float
    recall: float
    f1: float
    count: int


def confusion(labels, guessed, classes=10):
    """How often each class (row) was called each class (column): an array of counts (classes, classes).

    Raises CourseError if there are not as many guesses as labels, none, or one that is no class.
    """
    return confusion_matrix(*_classes(labels, guessed, classes), labels=range(classes))


def report_by_class(labels, guessed, classes=10):
    """Precision, recall, F1 and number of each class: a list of OfClass.  A score that would be 0 / 0 is 0.

    Raises CourseError as `confusion`.
    """
    labels, guessed = _classes(labels, guessed, classes)
    scores = precision_recall_fscore_support(
        labels, guessed, labels=range(classes), zero_division=0
    )
    return [OfClass(*map(float, each), int(n)) for *each, n in zip(*scores, strict=True)]


def kappa(labels, guessed, classes=10):
    """Cohen's kappa (1960): the share of agreement beyond chance, (p - e) / (1 - e), from -1 to 1.

    e is how often two would agree by chance who give out the classes as often as these do.
    Raises CourseError as `confusion`, and where all is of one class, since kappa is then 0 / 0.
    """
    labels, guessed = _classes(labels, guessed, classes)
    if (labels == labels[0]).all() and (guessed == labels[0]).all():
        raise CourseError(
            "Kappa is not defined where everything is of one class: give pictures of two or more."
        )
    return float(cohen_kappa_score(labels, guessed))


def _classes(labels, guessed, classes):
    """Both as arrays (n,)."""
    labels, guessed = (np.asarray(torch.as_tensor(each).cpu()) for each in (labels, guessed))
    if labels.ndim != 1 or labels.shape != guessed.shape or not len(labels):
        raise CourseError(
            f"Labels {labels.shape} and guesses {guessed.shape}: give one guess for each label, and at least one."
        )
    for each in (labels, guessed):
        if each.dtype.kind not in "iu" or each.min() < 0 or each.max() >= classes:
            raise CourseError(f"Labels and guesses are whole numbers from 0 to {classes - 1}.")
    return labels, guessed


# --- how real drawn digits look


def frechet_distance(a, b):
    """The Fréchet distance of two sets of features (n, D) and (m, D), each taken for a normal distribution; 0 is equal.

    |μa - μb|² + tr(Ca + Cb - 2 (Ca Cb)^½), Heusel et al. 2017.  It is in the squared units of the features, so it can be
    compared only where these are of one network, and it is too large for few pictures: compare sets of equal number.
    Raises CourseError if D differs, a set has fewer than 2 rows, or a number is not finite.
    """
    a, b = (torch.as_tensor(each).double() for each in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise CourseError(
            f"Features {tuple(a.shape)} and {tuple(b.shape)}: give two sets of 2 or more rows (n, D) with one D."
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise CourseError("Some features are not finite numbers: look at what was drawn.")
    spread_a, spread_b = a.T.cov().view(a.shape[1], -1), b.T.cov().view(a.shape[1], -1)  # (D, D)
    values, vectors = torch.linalg.eigh(spread_a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    both = torch.linalg.eigvalsh(root @ spread_b @ root).clamp_min(0).sqrt().sum()
    apart = (a.mean(0) - b.mean(0)).square().sum()
    return max(0.0, (apart + spread_a.trace() + spread_b.trace() - 2 * both).item())


def classifier_score(probabilities):
    """exp of the mean KL(p(y | x) ‖ p(y)): the Inception score's formula (Salimans et al. 2016, eq. in section 4).

    probabilities: (n, C), what a classifier says of n pictures.  1 where it says the same of all, C where it is sure of
    each and all classes are equally many.  Over all pictures at once, not a mean over ten parts as in the paper.
    Raises CourseError for rows that are no distributions.
    """
    told = torch.as_tensor(probabilities).double()
    if told.ndim != 2 or not len(told) or (told < 0).any() or (told.sum(1) - 1).abs().max() > 1e-3:
        raise CourseError(
            "Give probabilities (n, C), each row 0 or more and with the sum 1: softmax first."
        )
    entropy = torch.special.entr(told)
    return (torch.special.entr(told.mean(0)).sum() - entropy.sum(1).mean()).exp().item()
