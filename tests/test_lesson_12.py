"""Lesson 12's checks: they accept its solutions and others, and name the mistakes students make."""

import numpy as np
import pytest
import torch
from lesson_solutions import assert_named, verdict
from torch.nn import functional as F

from coursekit.checks import lesson_12 as check

# --- other right answers


def standardise_by_numpy(train, test):
    train, test = train.numpy(), test.numpy()
    mean, spread = train.mean(0), train.std(0)  # n below the line
    spread[spread == 0] = 1
    return (train - mean) / spread, (test - mean) / spread


def standardise_with_a_little_added(train, test):
    """A small number in place of 1: the constant feature of test becomes large, but not absurd."""
    mean, spread = train.mean(0), train.std(0)
    return (train - mean) / (spread + 1e-4), (test - mean) / (spread + 1e-4)


def standardise_by_scikit_learn(train, test):
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train.numpy())
    return [scaler.transform(each.numpy()) for each in (train, test)]


def joint_by_transposing(pixel_logits, tokens, class_logits, labels, weight):
    pixels = F.cross_entropy(pixel_logits.transpose(1, 2), tokens)
    return F.cross_entropy(class_logits, labels) + weight * pixels


def joint_by_gathering(pixel_logits, tokens, class_logits, labels, weight):
    of_pixels = pixel_logits.log_softmax(2).gather(2, tokens[:, :, None]).mean()
    of_labels = class_logits.log_softmax(1)[torch.arange(len(labels)), labels].mean()
    return -(weight * of_pixels + of_labels)


def by_class_in_a_loop(counts):
    rows = []
    for c in range(len(counts)):
        hit, called, is_one = counts[c, c], counts[:, c].sum(), counts[c].sum()
        p, r = hit / called if called else 0.0, hit / is_one if is_one else 0.0
        rows.append((p, r, 2 * p * r / (p + r) if p + r else 0.0))
    return tuple(zip(*rows, strict=True))


def by_class_from_counts_alone(counts):
    counts = torch.tensor(counts).float()
    hit, called, true = counts.diagonal(), counts.sum(0), counts.sum(1)
    return hit / called.clamp(min=1), hit / true.clamp(min=1), 2 * hit / (called + true).clamp(min=1)  # fmt: skip


def by_class_cleaned(counts):
    p, r = np.diag(counts) / counts.sum(0), np.diag(counts) / counts.sum(1)
    return np.nan_to_num(np.stack([p, r, 2 / (1 / p + 1 / r)]))


def score_by_entropies(told):
    entropy = torch.special.entr
    return (entropy(told.mean(0)).sum() - entropy(told).sum(1).mean()).exp()


def score_with_a_little_added(told):
    told = told + 1e-9
    return float((told * (told / told.mean(0)).log()).sum(1).mean().exp())


RIGHT = {
    "standardise": [standardise_by_numpy, standardise_with_a_little_added, standardise_by_scikit_learn],
    "joint_loss": [joint_by_transposing, joint_by_gathering],
    "by_class": [by_class_in_a_loop, by_class_from_counts_alone, by_class_cleaned],
    "classifier_score": [score_by_entropies, score_with_a_little_added],
}  # fmt: skip


@pytest.mark.parametrize("name, answer", [(n, a) for n, each in RIGHT.items() for a in each])
def test_other_right_answers_pass(name, answer, capsys):
    passed, said = verdict(capsys, getattr(check, name), answer)
    assert passed, said


# --- mistakes, each with the words by which the student must recognise it


def scale(of=lambda train, test: (train, train), dim=0, level=1.0, spread="std", back=None):
    """Standardising with one thing wrong."""

    def answer(train, test):
        found = []
        for each, source in zip((train, test), of(train, test), strict=True):
            width = getattr(source, spread)(dim, keepdim=True)
            width = torch.where(width > 0, width, 1.0)
            found.append((each - level * source.mean(dim, keepdim=True)) / width)
        return tuple(found) if back is None else back(*found)

    return answer


def scale_in_place(train, test):
    mean, spread = train.mean(0), train.std(0)
    spread[spread == 0] = 1
    train -= mean
    test -= mean
    return train / spread, test / spread


def bare(train, test):
    return (train - train.mean(0)) / train.std(0), (test - train.mean(0)) / train.std(0)


def barely(train, test):
    spread = train.std(0) + 1e-8
    return (train - train.mean(0)) / spread, (test - train.mean(0)) / spread


def everywhere_the_same(train, test):
    return (train - train.mean()) / train.std(), (test - train.mean()) / train.std()


def between_least_and_most(train, test):
    low, width = train.amin(0), train.amax(0) - train.amin(0)
    width[width == 0] = 1
    return (train - low) / width, (test - low) / width


def bounded(train, test):
    """Right where every spread is 1 or more; features of the lesson have smaller ones."""
    mean, spread = train.mean(0), train.std(0).clamp(min=1)
    return (train - mean) / spread, (test - mean) / spread


def one_more(train, test):
    mean, spread = train.mean(0), train.std(0) + 1
    return (train - mean) / spread, (test - mean) / spread


def without_bracket(train, test):
    level = train.mean(0) / torch.where(train.std(0) > 0, train.std(0), 1.0)
    return train - level, test - level


def own_spread(train, test):
    spread = torch.where(test.std(0) > 0, test.std(0), 1.0)
    return scale()(train, test)[0], (test - train.mean(0)) / spread


def test_mistakes_in_standardising_are_named(capsys):
    both = lambda train, test: (torch.cat([train, test]),) * 2  # noqa: E731
    told = [
        (scale(of=lambda train, test: (train, test)), "the exam has a say"),
        (scale(of=both), "the exam has a say"),
        (scale(of=lambda train, test: (train, test), dim=1), "each feature has its own"),
        (everywhere_the_same, "each feature has its own"),
        (between_least_and_most, "least and most"),
        (bounded, "below 1 is divided by 1"),
        (one_more, "nothing is added"),
        (without_bracket, "a bracket is missing"),
        (lambda train, test: (scale()(train, test)[0], test), "neither mean nor spread"),
        (own_spread, "the exam has a say"),
        (
            lambda train, test: [each[:, [0, 1, 3]] for each in (train, test)],
            "all four features stay",
        ),
        (scale(level=0.0), "take the mean of train off"),
        (scale(spread="var"), "divided by the variance"),
        (scale(back=lambda train, test: (test, train)), "return train first"),
        (scale(back=lambda train, test: test), "return both"),
        (scale_in_place, "x -= mean changes the given one"),
        (bare, "its spread is 0"),
        (barely, "blows it up"),
    ]
    for answer, words in told:
        assert_named(capsys, check.standardise, answer, words)


def test_centring_alone_is_named(capsys):
    def answer(train, test):
        whole = scale()(train, test)
        return whole[0], test - train.mean(0)

    assert_named(capsys, check.standardise, answer, "the spread is still there")


def joint(pixels=None, labels=None, join=lambda p, c, w: w * p + c):
    """The joint loss with one thing wrong."""
    mean = lambda logits, tokens: F.cross_entropy(logits.flatten(0, 1), tokens.flatten())  # noqa: E731

    def answer(pixel_logits, tokens, class_logits, true, weight):
        of_pixels = (pixels or mean)(pixel_logits, tokens)
        return join(of_pixels, (labels or F.cross_entropy)(class_logits, true), weight)

    return answer


def total(logits, tokens):
    return F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="sum")


def moved(logits, tokens):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def viewed(logits, tokens):
    B, T, V = logits.shape
    return F.cross_entropy(logits.reshape(B, V, T), tokens)


def crossed(logits, tokens):
    return F.cross_entropy(logits.transpose(0, 1).flatten(0, 1), tokens.flatten())


def twice(logits, tokens):
    return F.cross_entropy(logits.softmax(2).flatten(0, 1), tokens.flatten())


JOINT = [
    (joint(join=lambda p, c, w: p + c), "the weight is missing"),
    (joint(join=lambda p, c, w: p + w * c), "on the label's loss"),
    (joint(join=lambda p, c, w: c), "the pixels' loss is missing"),
    (joint(join=lambda p, c, w: w * p), "the label's loss is missing"),
    (joint(join=lambda p, c, w: w * p + (1 - w) * c), "keeps its full weight"),
    (joint(total), "not their sum"),
    (joint(lambda logits, tokens: total(logits, tokens) / len(tokens)), "not their sum"),
    (joint(moved), "do not move the targets"),
    (joint(viewed), "colours in dimension 1"),
    (joint(crossed), "different orders"),
    (joint(twice, lambda logits, true: F.cross_entropy(logits.softmax(1), true)), "softmax twice"),
    (joint(join=lambda p, c, w: (w * p + c) / np.log(2)), "nats are asked"),
    (joint(F.cross_entropy), "colours in dimension 1"),
    (joint(join=lambda p, c, w: (w * p + c).item()), "no item()"),
    (joint(join=lambda p, c, w: w * p.detach() + c), "no item()"),
    (joint(join=lambda p, c, w: 0.3 * p + c), "use the weight"),
    (joint(join=lambda p, c, w: w * (p + c)), "on both losses"),
    (joint(join=lambda p, c, w: (w * p + c) / 2), "no mean of them"),
    (joint(join=lambda p, c, w: (w * p + c) / (w + 1)), "no mean of them"),
    (joint(join=lambda p, c, w: (w * p, c)), "add the two"),
    (joint(labels=lambda logits, true: F.cross_entropy(logits, true, reduction="sum")), "over the pictures is asked"),
    (joint(lambda logits, tokens: moved(logits.flip(1), tokens.flip(1))), "do not move the targets"),
    (joint(twice), "softmax twice"),
    (joint(labels=lambda logits, true: F.cross_entropy(logits.softmax(1), true)), "softmax twice"),
]  # fmt: skip


@pytest.mark.parametrize("answer, words", JOINT)
def test_mistakes_in_the_joint_loss_are_named(answer, words, capsys):
    assert_named(capsys, check.joint_loss, answer, words)


def classes(precision=0, recall=1, f1=lambda p, r: 2 * p * r / np.where(p + r > 0, p + r, 1)):
    """Precision, recall and F1 with one thing wrong."""

    def answer(counts):
        sums = [counts.sum(axis).clip(1) for axis in (precision, recall)]
        p, r = (counts.diagonal() / each for each in sums)
        return p, r, f1(p, r)

    return answer


def bare_classes(counts):
    p, r = counts.diagonal() / counts.sum(0), counts.diagonal() / counts.sum(1)
    return p, r, 2 * p * r / (p + r)


CLASSES = [
    (classes(1, 0), "exchanged"),
    (classes(0, 0), "exchanged"),
    (classes(None, None), "divided by all pictures"),
    (bare_classes, "let the score be 0"),
    (classes(f1=lambda p, r: (p + r) / 2), "ordinary mean"),
    (classes(f1=lambda p, r: (p * r) ** 0.5), "root of their product"),
    (classes(f1=lambda p, r: p * r / np.where(p + r > 0, p + r, 1)), "the 2 is missing"),
    (classes(f1=lambda p, r: 2 * p * r / np.maximum(p + r, 1)), "may be a fraction"),
    (
        lambda counts: np.where(np.isnan(bare_classes(counts)), 1, bare_classes(counts)),
        "is 0, not 1",
    ),
    (lambda counts: 100 * np.stack(classes()(counts)), "not per cent"),
    (lambda counts: [counts.diagonal() // counts.sum(0).clip(1)] * 3, "cuts the fraction off"),
    (lambda counts: classes()(counts)[:2], "return three"),
    (lambda counts: np.stack(classes()(counts), 1), "return three"),
    (lambda counts: [each.mean() for each in classes()(counts)], "each of the 4 classes"),
]


@pytest.mark.parametrize("answer, words", CLASSES)
def test_mistakes_by_class_are_named(answer, words, capsys):
    assert_named(capsys, check.by_class, answer, words)


def score(start=lambda told: told, every=lambda told: told.mean(0), term=None, end=None):
    """The classifier score with one thing wrong."""
    kl = lambda p, q: torch.special.xlogy(p, p) - torch.special.xlogy(p, q)  # noqa: E731

    def answer(told):
        told = start(told)
        found = (term or kl)(told, every(told))
        return (end or (lambda each: each.sum(1).mean().exp()))(found)

    return answer


def entropy(told):
    return torch.special.entr(told)


SCORES = [
    (score(end=lambda each: each.sum(1).mean()), "take exp of it"),
    (score(end=lambda each: each.sum().exp()), "not their sum"),
    (score(end=lambda each: each.sum(1).exp().mean()), "exp comes last"),
    (score(end=lambda each: each.mean().exp()), "only over pictures"),
    (score(end=lambda each: (each / np.log(2)).sum(1).mean().exp()), "natural log"),
    (score(end=lambda each: (-each).sum(1).mean().exp()), "the sign"),
    (score(term=lambda p, q: entropy(p)), "p(y), the mean of all rows, is missing"),
    (score(term=lambda p, q: entropy(q).expand_as(p)), "the rows themselves are missing"),
    (score(every=lambda told: torch.full((told.shape[1],), 1 / told.shape[1])), "even share"),
    (score(start=lambda told: told.softmax(1)), "softmax twice"),
    (score(term=lambda p, q: p * (p / q).log()), "0 · log 0"),
    (score(end=lambda each: 2 ** each.sum(1).mean()), "a power of 2"),
    (score(every=lambda told: told.sum(0)), "not their sum"),
    (score(end=lambda each: each.sum(1).exp()), "one number for all pictures"),
]


@pytest.mark.parametrize("answer, words", SCORES)
def test_mistakes_in_the_classifier_score_are_named(answer, words, capsys):
    shown = check.classifier_score
    passed, said = verdict(capsys, shown, answer)
    assert not passed and words in said, said
    assert len(said.splitlines()) <= 5
