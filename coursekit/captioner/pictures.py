"""A data set as a captioner trains on it: features where the eye is frozen, batches of like captions."""

import random
import sys

import torch
from tqdm import tqdm

from coursekit import sizes
from coursekit.models.features import cached_features
from coursekit.text import pad
from coursekit.training import bucketed_batches


@torch.no_grad()
def features_of(captioner, dataset):
    """The memory of every picture of a data set (len, N, D), on the CPU."""
    captioner.eval()
    device = next(captioner.parameters()).device
    parts = seen_by(captioner, dataset).split(1000)
    return torch.cat([captioner.encoder.projection(part.to(device)).cpu() for part in parts])


def seen_by(captioner, dataset):
    """What the encoder sees in every picture (len, N, features), before its linear layer if it has one.

    A frozen torchvision encoder's is kept in the build folder. For a set with a `whole` (studies make them) that of
    the whole is kept, and serves all its parts.
    """
    recipe, encoder = captioner.recipe, captioner.encoder.unprojected()
    if recipe.encoder == "small_cnn" or recipe.fine_tune:
        return _seen(encoder.eval(), dataset)
    if getattr(dataset, "whole", None):
        return seen_by(captioner, dataset.whole)[dataset.indices]
    name = f"{dataset.name}-{dataset.split}-{len(dataset)}-{encoder.name}-{recipe.embeddings}-{encoder.image_size}.pt"
    return cached_features(encoder, dataset, sizes.build_folder("features", name))


@torch.no_grad()
def _seen(encoder, dataset, size=100):
    device = next(encoder.parameters()).device
    starts = tqdm(
        range(0, len(dataset), size), "pictures", file=sys.stdout, leave=False, mininterval=2
    )
    parts = (range(start, min(start + size, len(dataset))) for start in starts)
    return torch.cat([encoder(dataset.images(part).to(device)).cpu() for part in parts])


KEPT = 20_000  # pictures that fit into memory; more are read anew at every use


class Pictures:
    """A data set as a captioner trains on it: pictures, or a frozen encoder's features of them; tokens by picture."""

    def __init__(self, captioner, dataset):
        self.captioner, self.dataset = captioner, dataset
        self.tokens = [[captioner.tokenizer.with_ends(c) for c in cs] for cs in dataset.captions]
        self.pairs = [(i, k) for i, cs in enumerate(self.tokens) for k in range(len(cs))]
        self.images = self.features = None
        if not captioner.recipe.fine_tune:
            self.features = seen_by(captioner, dataset)  # (len, N, features)
        elif len(dataset) <= KEPT:
            self.images = dataset.images(range(len(dataset)))  # (len, 3, H, W)

    def batches(self, seed):
        """Lists of (picture, caption) pairs."""
        recipe = self.captioner.recipe
        if not recipe.fine_tune:
            lengths = [len(self.tokens[i][k]) for i, k in self.pairs]
            found = bucketed_batches(lengths, recipe.train.batch_size, seed)
            return [[self.pairs[j] for j in batch] for batch in found]
        rng, size = random.Random(seed), recipe.train.batch_size
        order = rng.sample(range(len(self.tokens)), len(self.tokens))
        drawn = [
            [(i, k) for k in rng.sample(range(n), min(n, recipe.captions_per_picture))]
            for i, n in ((i, len(self.tokens[i])) for i in order)
        ]
        return [sum(drawn[i : i + size], []) for i in range(0, len(drawn), size)]

    def memory(self, pairs):
        """The memory of each pair (B, N, D); a picture that occurs several times is encoded once."""
        device = next(self.captioner.parameters()).device
        pictures, where = torch.tensor([i for i, _ in pairs]).unique(return_inverse=True)
        if self.features is not None:
            seen = self.features.index_select(0, pictures).to(device)
            return self.captioner.encoder.projection(seen)[where.to(device)]
        kept = self.images is not None
        # Copies whole pictures, where images[pictures] goes number by number
        images = self.images.index_select(0, pictures) if kept else self.dataset.images(pictures)
        return self.captioner.encoder(images.to(device))[where.to(device)]

    def loss(self, captioner, pairs):
        """Nats a token of a batch of pairs."""
        tokens, _ = pad([self.tokens[i][k] for i, k in pairs], captioner.tokenizer.pad_id)
        memory = self.memory(pairs)
        return captioner.loss(memory, tokens.to(memory.device))

    @torch.no_grad()
    def mean_loss(self, size=200):
        """Nats a token over all captions."""
        total = count = 0
        for start in range(0, len(self.pairs), size):
            pairs = self.pairs[start : start + size]
            n = sum(len(self.tokens[i][k]) - 1 for i, k in pairs)
            total, count = total + n * self.loss(self.captioner, pairs).item(), count + n
        return total / count

    def one_caption(self):
        return repr(self.captioner.caption_memory(self.memory([(0, 0)]), beam=1)[0])
