"""Averaged weights: between the last steps of a training lies a better model than any one of them."""

from contextlib import contextmanager

import torch


class RunningAverage:
    """The average of weights, {name: tensor}, over about the last `share` of all steps so far.

    Each step moves it by 1 / (share · step) towards the weights, so that it forgets its beginning at any length of
    training (polynomial-decay averaging: Shamir and Zhang, "Stochastic Gradient Descent for Non-smooth Optimization",
    2013).
    """

    def __init__(self, share):
        self.share, self.weights = share, None

    @torch.no_grad()
    def move(self, now, step):
        """Moves towards the weights `now`, those after `step` steps. What is counted, such as batches, is copied."""
        if self.weights is None:
            self.weights = {name: each.detach().clone() for name, each in now.items()}
        weight = min(1.0, 1 / (self.share * step))
        for name, each in self.weights.items():
            each.lerp_(now[name], weight) if each.is_floating_point() else each.copy_(now[name])

    @contextmanager
    def lent(self, model, now):
        """Lends the average, if there is one, to a model whose weights are `now`."""
        if self.weights is None:
            yield
            return
        own = {name: each.detach().clone() for name, each in now.items()}
        model.load_state_dict(self.weights, strict=False)
        try:
            yield
        finally:
            model.load_state_dict(own, strict=False)
