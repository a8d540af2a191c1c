"""The check of assignment a4 about a linear probe: made-up features that tell probes apart, then those of digits."""

import numpy as np
import torch

from coursekit.checks.a1_training import numbers
from coursekit.checks.core import Wrong, exercise, expect_shape

LABELS = [7, 2, 5]  # of the made-up features: some labels may not occur


def made_up(count, key, small=1e-3, large=1e3):
    """Features (count, 6) of three classes, and their labels; what tells the classes apart is small, or large.

    Numbers 0 and 1 differ by class and reach to `small`, number 2 is noise that reaches to `large`, number 3 never
    changes, 4 and 5 lie far from 0.
    """
    labels = torch.tensor(LABELS).repeat(count)[:count]
    noise = numbers(count, 6, key=key)
    angle = 2.1 * (torch.arange(count) % len(LABELS))  # a third of a turn apart
    found = torch.stack(
        [
            small * (angle.cos() + 0.3 * noise[:, 0]),
            small * (angle.sin() + 0.3 * noise[:, 1]),
            large * noise[:, 2],
            torch.full((count,), 4.0),
            500 + noise[:, 4],
            -80 + 20 * noise[:, 5],
        ],
        1,
    )
    return found, labels


@exercise("probe")
def probe(answer, known, labels, new, truth, at_least, key=5.0):
    """answer(known (M, E), labels (M,), new (n, E)) -> the label of each new one (n,)."""
    _made_up(answer, key)
    given = [torch.as_tensor(part).clone() for part in (known, labels, new)]
    got = _guesses(answer, given, "the digits")
    share = float((got == torch.as_tensor(truth).numpy()).mean())
    if share > 0.99:
        why = "no linear probe does that: does it know the labels of the test?"
        raise Wrong(f"fewer than 99% of {len(got)} digits named rightly", f"{share:.1%}", why)
    if share < at_least:
        likely = (
            "better than chance, and not as good as a linear probe can be: let it settle, with all pictures, "
            "known ones and new ones brought to the same scale by the same numbers"
        )
        if share < 0.2:
            likely = (
                "few are right: are features and labels of the same pictures, in the same order?"
            )
        raise Wrong(
            f"at least {at_least:.0%} of {len(got)} digits named rightly", f"{share:.1%}", likely
        )
    print(f"  {share:.1%} of {len(got)} digits named rightly, at least {at_least:.0%} is asked for")


def _guesses(answer, given, what):
    own = [part.clone() for part in given]
    got = answer(*own)
    for now, then in zip(own, given, strict=True):
        if not torch.equal(now, then):
            why = "known -= … writes into the caller's; known - … makes a new one"
            raise Wrong("what the probe is given is left as it was", "it was changed", why)
    name, n = f"the labels of {what}", len(given[2])
    why = None
    if got is not None and len(np.shape(got)) == 2 and np.shape(got)[0] == n:
        why = "one label for each, not a number for each class: the class with the largest"
    elif np.shape(got) == (len(given[0]),):
        why = "the labels of the new ones, not of the known ones"
    elif np.shape(got) == ():
        why = "the labels themselves, not how many are right"
    return expect_shape(got, (n,), name, why)


def _made_up(answer, key):
    """Made-up features that any linear probe tells apart, if it brings them to one scale."""
    known, labels = made_up(150, key)
    new, truth = made_up(60, key + 50)
    got = _guesses(answer, [known, labels, new], "made-up features")
    others = sorted(set(got.tolist()) - set(LABELS))
    if others:
        told = f"labels that occur among the known ones, {sorted(LABELS)}"
        why = "the label, not its place in a list of the classes"
        if set(got[:-1].tolist()) <= set(LABELS):
            why = "the last one is not guessed"
        raise Wrong(told, f"{others[0]:g} among them", why)
    share = float((got == truth.numpy()).mean())
    if share < 0.9:
        why = "bring each feature to mean 0 and spread 1: what tells these apart reaches to 0.001, the noise to 1000"
        if len(set(got.tolist())) == 1:
            why += "; and a spread of 0 makes nan where it divides"
        raise Wrong("made-up features of three classes told apart", f"{share:.0%} right", why)
    _each_by_itself(answer, known, labels, new, got)
    _other_scale(answer, key)
    _flat_borders(answer, key)


def _each_by_itself(answer, known, labels, new, got):
    """New ones are guessed alike whatever stands beside them."""
    for rows in ([0], [3, 4, 5], [0, 3, 6, 9, 12]):
        few = _guesses(answer, [known, labels, new[rows]], "made-up features")
        _same_labels(few, got[rows])
    beside_others = _guesses(
        answer, [known, labels, torch.cat([new, 1e9 * new])], "made-up features"
    )
    _same_labels(beside_others[: len(new)], got)


def _same_labels(now, before):
    if (now != before).any():
        why = "mean and spread are those of the known features: the new ones are brought to the same scale"
        raise Wrong("a label that does not depend on what else is in `new`", "it does", why)


def _other_scale(answer, key):
    """Here what tells the classes apart is large, and the noise small: only a spread of 1 does for both."""
    known, labels = made_up(150, key, small=1e3, large=1e-3)
    new, truth = made_up(60, key + 50, small=1e3, large=1e-3)
    share = float(
        (_guesses(answer, [known, labels, new], "made-up features") == truth.numpy()).mean()
    )
    if share < 0.9:
        why = "spread 1 in all features: divide by the standard deviation, which is the root of the variance"
        raise Wrong("made-up features of three classes told apart", f"{share:.0%} right", why)


def _flat_borders(answer, key):
    """Four heaps of which two that lie across belong together: no flat border has more than three on its right side."""
    known, new = (
        torch.tensor([[1, 1], [-1, -1], [1, -1], [-1, 1.0]]).repeat(n, 1) for n in (40, 15)
    )
    known += 0.15 * numbers(len(known), 2, key=key)
    new += 0.15 * numbers(len(new), 2, key=key + 50)
    labels, truth = (torch.tensor([7, 7, 2, 2]).repeat(n) for n in (40, 15))
    share = float((_guesses(answer, [known, labels, new], "made-up heaps") == truth.numpy()).mean())
    if share > 0.9:
        why = "a logistic regression: neighbours, trees and networks find what the features do not show by themselves"
        raise Wrong("heaps mixed up that no flat border parts", f"{share:.0%} right", why)
