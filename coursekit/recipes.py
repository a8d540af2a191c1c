"""What goes with what: settings by model, data set and size, and the training that joins them."""

import random
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F

from coursekit import datasets, sizes
from coursekit.captioner import (
    FILE,
    Captioner,
    Recipe,
    caption_files,
    evaluate,
    features_of,
    load_captioner,
    shipped_captioner,
)
from coursekit.datasets.scenes import ALL_FACTS, Scenes, fact_table
from coursekit.errors import CourseError
from coursekit.models.encoders import SceneClassifier, SmallCNN
from coursekit.models.lstm import caption_loss
from coursekit.text import WordTokenizer, pad
from coursekit.training import TrainSettings, bucketed_batches, train

__all__ = [
    "FILE",
    "RECIPES",
    "Captioner",
    "Recipe",
    "caption_files",
    "evaluate",
    "load_captioner",
    "recipe_for",
    "shipped_captioner",
    "show_and_tell",
    "train_scene_encoder",
]

RECIPES = {
    ("scenes", "smoke"): Recipe(
        pictures=96,
        eval_pictures=16,
        embed_dim=32,
        hidden_dim=48,
        encoder_pictures=96,
        encoder_train=TrainSettings(epochs=1, batch_size=16, learning_rate=2e-3),
        train=TrainSettings(epochs=2, batch_size=16, learning_rate=3e-3),
    ),
    ("scenes", "cpu"): Recipe(
        # Five times through 16,000 pictures: as long as 13 times through 6,000, with half the loss on new ones.
        encoder_pictures=16000,
        # Batches of 16 teach the encoder more a second than larger ones: it needs many steps, not exact ones.
        encoder_train=TrainSettings(epochs=5, batch_size=16, learning_rate=2e-3),
        # A state of 768 numbers holds more of a picture than one input of 128.
        image_as="state",
        hidden_dim=384,
        dropout=0.1,
        train=TrainSettings(epochs=4, batch_size=64, learning_rate=4e-3),
    ),
    ("scenes", "gpu"): Recipe(
        image_as="state",
        hidden_dim=512,
        embed_dim=256,
        encoder_pictures=60000,
        encoder_train=TrainSettings(epochs=10, batch_size=16, learning_rate=2e-3),
        train=TrainSettings(epochs=20, batch_size=64, learning_rate=2e-3),
    ),
    ("flickr8k", "smoke"): Recipe(
        encoder="mobilenet_v2",
        weights=None,
        image_size=64,
        pictures=32,
        eval_pictures=8,
        embed_dim=32,
        hidden_dim=48,
        train=TrainSettings(epochs=1, batch_size=32),
    ),
    ("flickr8k", "cpu"): Recipe(
        encoder="mobilenet_v2",
        weights="IMAGENET1K_V1",
        min_count=5,
        embed_dim=256,
        hidden_dim=384,
        # As for scenes; chosen on the dev set, where it reached BLEU-4 0.168
        image_as="state",
        dropout=0.5,
        train=TrainSettings(epochs=10, batch_size=64, learning_rate=2e-3, patience=2),
    ),
    ("flickr8k", "gpu"): Recipe(
        encoder="resnet50",
        min_count=5,
        embed_dim=512,
        hidden_dim=512,
        dropout=0.5,
        train=TrainSettings(epochs=20, batch_size=128, learning_rate=1e-3, patience=3),
    ),
}


def recipe_for(data, size, seed=0, **changes):
    """The recipe of a data set and size, with fields changed; names of TrainSettings may be given too.

    Raises CourseError for a pair without recipe or a name that no field has.
    """
    if (data, size) not in RECIPES:
        raise CourseError(f"There is no recipe for '{data}' at size '{size}'.")
    recipe = RECIPES[data, size]
    loop = {k: changes.pop(k) for k in list(changes) if hasattr(recipe.train, k)}
    unknown = [name for name in changes if not hasattr(recipe, name)]
    if unknown:
        raise CourseError(f"A recipe has no setting '{unknown[0]}'.")
    return replace(recipe, **changes, train=replace(recipe.train, seed=seed, **loop))


def train_scene_encoder(settings, dataset, device="cpu", out=None, quiet=False):
    """A SmallCNN trained to name the facts of scenes, as (SceneClassifier, History).

    dataset: Scenes; one yes-or-no question for each of ALL_FACTS; the loss is the sum of their cross-entropies in
    nats a picture. `out` and `quiet` as in `training.train`.
    """
    torch.manual_seed(settings.seed)
    classifier = SceneClassifier(SmallCNN(), len(ALL_FACTS)).to(device)
    images, answers = dataset.images(range(len(dataset))), fact_table(dataset)  # (len, F)

    def batches(epoch):
        generator = torch.Generator().manual_seed(1000 * settings.seed + epoch)
        return torch.randperm(len(images), generator=generator).split(settings.batch_size)

    def loss(model, batch):
        logits = model(images[batch].to(device))  # (B, F)
        wanted = answers[batch].to(device)
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(batch)

    return classifier, train(classifier, loss, batches, settings, out=out, quiet=quiet)


def show_and_tell(data="scenes", size=None, seed=0, root=None, out=None, quiet=False, **changes):
    """Trains Show and Tell and returns the captioner and its History.

    data: scenes | flickr8k, the latter from `root`, a folder in the official layout. With a folder `out` the run is
    saved there epoch by epoch, continues where it was interrupted, and leaves captioner.pt. `changes` replace fields
    of the recipe or of its TrainSettings.
    """
    here = sizes.setup(size)
    recipe = recipe_for(data, here.size, seed, **changes)
    torch.manual_seed(seed)
    train_set = datasets.load(data, "train", root, recipe.pictures)
    dev_set = datasets.load(data, "dev", root, recipe.eval_pictures)
    tokenizer = WordTokenizer.train((c for cs in train_set.captions for c in cs), recipe.min_count)
    captioner = Captioner(recipe, tokenizer).to(here.device)
    if recipe.encoder_train:
        first = Path(out) / "encoder" if out else None
        settings = replace(recipe.encoder_train, seed=seed)
        # Another seed, so other pictures: as encoders of photos come from another set than the captions
        others = Scenes("train", recipe.encoder_pictures, seed=1 + seed)
        classifier, _ = train_scene_encoder(settings, others, here.device, first, quiet)
        captioner.encoder.load_state_dict(classifier.encoder.state_dict())
    lesson, exam = Pictures(captioner, train_set), Pictures(captioner, dev_set)
    history = train(
        captioner,
        lesson.loss,
        lambda epoch: lesson.batches(seed * 1000 + epoch),
        recipe.train,
        validate=lambda _: exam.mean_loss(),
        sample=lambda _: exam.one_caption(),
        out=out,
        dtype=here.dtype,
        quiet=quiet,
    )
    if out:
        captioner.save(Path(out) / FILE)
    return captioner, history


class Pictures:
    """A data set as a captioner trains on it: pictures, or a frozen encoder's features of them; tokens by picture."""

    def __init__(self, captioner, dataset):
        self.captioner, self.dataset = captioner, dataset
        self.tokens = [[captioner.tokenizer.with_ends(c) for c in cs] for cs in dataset.captions]
        self.pairs = [(i, k) for i, cs in enumerate(self.tokens) for k in range(len(cs))]
        self.images = self.features = None
        if captioner.recipe.fine_tune:
            self.images = dataset.images(range(len(dataset)))  # (len, 3, H, W)
        else:
            self.features = features_of(captioner, dataset)  # (len, N, D)

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
            [(i, k) for k in rng.sample(range(len(self.tokens[i])), recipe.captions_per_picture)]
            for i in order
        ]
        return [sum(drawn[i : i + size], []) for i in range(0, len(drawn), size)]

    def memory(self, pairs):
        """The memory of each pair (B, N, D); a picture that occurs several times is encoded once."""
        device = next(self.captioner.parameters()).device
        pictures, where = torch.tensor([i for i, _ in pairs]).unique(return_inverse=True)
        if self.features is not None:
            return self.features[pictures].to(device)[where.to(device)]
        return self.captioner.encoder(self.images[pictures].to(device))[where.to(device)]

    def loss(self, captioner, pairs):
        """Nats a token of a batch of pairs."""
        tokens, _ = pad([self.tokens[i][k] for i, k in pairs], captioner.tokenizer.pad_id)
        memory = self.memory(pairs)
        return caption_loss(captioner.decoder, memory, tokens.to(memory.device), 0)

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
