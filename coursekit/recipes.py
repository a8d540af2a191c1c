"""What goes with what: settings by model, data set and size, and the captioner that they make."""

import random
import resource
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from coursekit import datasets, decoding, sizes
from coursekit.datasets.captions import read_image
from coursekit.datasets.scenes import ALL_FACTS, claims, fact_table
from coursekit.errors import CourseError, writing
from coursekit.metrics.captions import caption_scores
from coursekit.metrics.scenes import fact_scores
from coursekit.models.encoders import (
    SHIPPED,
    SceneClassifier,
    SmallCNN,
    TorchvisionEncoder,
    cached_features,
)
from coursekit.models.lstm import ShowAndTell, caption_loss
from coursekit.text import WordTokenizer, pad, tokenizer_from_dict
from coursekit.training import TrainSettings, bucketed_batches, load_checkpoint, train

MODEL = "show-and-tell"
FILE = "captioner.pt"


@dataclass(frozen=True)
class Recipe:
    """All that a captioner is made of.

    `encoder` is "small_cnn", first trained to name the facts of scenes as `encoder_train` says, or a torchvision name
    with its `weights`. A frozen encoder sees each picture once and batches are made of captions of like length; with
    `fine_tune` it learns on, and `captions_per_picture` captions of a picture share one pass of it.
    `pictures` and `eval_pictures` limit the training and the other sets.
    """

    encoder: str = "small_cnn"
    weights: str | None = "DEFAULT"
    image_size: int = 224
    fine_tune: bool = False
    encoder_train: TrainSettings | None = None
    pictures: int | None = None
    eval_pictures: int | None = None
    captions_per_picture: int = 2
    min_count: int = 1
    embed_dim: int = 128
    hidden_dim: int = 256
    image_as: str = "input"
    dropout: float = 0.2
    beam: int = 3
    train: TrainSettings = field(default_factory=TrainSettings)


RECIPES = {
    ("scenes", "smoke"): Recipe(
        pictures=96,
        eval_pictures=16,
        embed_dim=32,
        hidden_dim=48,
        encoder_train=TrainSettings(epochs=1, batch_size=16, learning_rate=2e-3),
        train=TrainSettings(epochs=2, batch_size=16, learning_rate=3e-3),
    ),
    # Batches of 16 teach the encoder more a second than larger ones: it needs many steps, not exact ones.
    ("scenes", "cpu"): Recipe(
        encoder_train=TrainSettings(epochs=13, batch_size=16, learning_rate=2e-3),
        train=TrainSettings(epochs=6, batch_size=64, learning_rate=2e-3),
    ),
    ("scenes", "gpu"): Recipe(
        hidden_dim=512,
        embed_dim=256,
        encoder_train=TrainSettings(epochs=40, batch_size=16, learning_rate=2e-3),
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
        min_count=5,
        embed_dim=256,
        hidden_dim=384,
        dropout=0.5,
        train=TrainSettings(epochs=8, batch_size=64, learning_rate=1e-3, patience=2),
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


class Captioner(nn.Module):
    """An encoder, a Show-and-Tell decoder and the words they speak."""

    def __init__(self, recipe, tokenizer):
        super().__init__()
        self.recipe, self.tokenizer = recipe, tokenizer
        # An encoder that others trained and nobody changes needs no copy of its weights.
        self.named_encoder = recipe.encoder != "small_cnn" and not recipe.fine_tune
        self.encoder = _encoder(recipe)
        self.decoder = ShowAndTell(
            len(tokenizer),
            self.encoder.dim,
            recipe.embed_dim,
            recipe.hidden_dim,
            recipe.image_as,
            recipe.dropout,
        )

    @torch.no_grad()
    def memory(self, images, batch_size=64):
        """uint8 images (B, 3, H, W) → memory (B, N, D), in evaluation mode."""
        self.eval()
        device = next(self.parameters()).device
        return torch.cat([self.encoder(part.to(device)) for part in images.split(batch_size)])

    def caption(self, images, beam=None):
        """Captions of uint8 images (B, 3, H, W), by beam search (1: greedy)."""
        return self.caption_memory(self.memory(images), beam)

    def caption_memory(self, memory, beam=None, batch_size=100):
        """Captions of memory (B, N, D)."""
        self.eval()
        tok, found = self.tokenizer, []
        for part in memory.to(next(self.parameters()).device).split(batch_size):
            tokens, _ = decoding.beam_search(
                self.decoder, part, tok.bos_id, tok.eos_id, beam or self.recipe.beam
            )
            found += map(tok.decode, tokens)
        return found

    def save(self, path):
        """Writes recipe, words and trained weights; a frozen encoder is named, not stored."""
        weights = self.state_dict()
        if self.named_encoder:
            weights = {k: v for k, v in weights.items() if not k.startswith("encoder.")}
        saved = {
            "model": MODEL,
            "recipe": asdict(self.recipe),
            "tokenizer": self.tokenizer.to_dict(),
            "weights": weights,
        }
        with writing(path) as temporary:
            torch.save(saved, temporary)


def load_captioner(path):
    """The captioner saved at `path` (or in the folder `path`), on the CPU, ready to caption.

    Raises CourseError if there is none, or if the file holds something else.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    saved = load_checkpoint(path)
    if saved.get("model") != MODEL:
        raise CourseError(f"{path} holds no {MODEL} captioner: give a {FILE} that `coursekit train` wrote.")
    captioner = Captioner(_recipe(saved["recipe"]), tokenizer_from_dict(saved["tokenizer"]))
    captioner.load_state_dict(saved["weights"], strict=not captioner.named_encoder)
    return captioner.eval()


def shipped_captioner():
    """The captioner of scenes that comes with the course: recipe scenes at size cpu, seed 0."""
    return load_captioner(SHIPPED)


def _recipe(saved):
    loops = {k: TrainSettings(**saved[k]) for k in ("train", "encoder_train") if saved[k]}
    return Recipe(**saved | loops)


def _encoder(recipe):
    if recipe.encoder == "small_cnn":
        return SmallCNN().requires_grad_(recipe.fine_tune)
    return TorchvisionEncoder(recipe.encoder, recipe.weights, recipe.fine_tune, recipe.image_size)


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
        classifier, _ = train_scene_encoder(settings, train_set, here.device, first, quiet)
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


def features_of(captioner, dataset):
    """The memory of every picture of a data set (len, N, D); a torchvision encoder's is kept in the build folder."""
    if not captioner.named_encoder:
        starts = tqdm(range(0, len(dataset), 100), "pictures", file=sys.stdout, leave=False, mininterval=2)
        parts = (range(start, min(start + 100, len(dataset))) for start in starts)
        return torch.cat([captioner.memory(dataset.images(part)).cpu() for part in parts])
    encoder = captioner.encoder
    name = f"{dataset.name}-{dataset.split}-{len(dataset)}-{encoder.name}-{encoder.image_size}.pt"
    return cached_features(encoder, dataset, sizes.build_folder("features", name))


def evaluate(captioner, dataset, beam=None, meteor=None):
    """Captions of a data set and their scores: (captions, Scores); for scenes with fact_precision, fact_recall."""
    captions = captioner.caption_memory(features_of(captioner, dataset), beam)
    scores = caption_scores(captions, dataset.captions, meteor=meteor)
    if hasattr(dataset, "facts"):
        scores.update(fact_scores([claims(c) for c in captions], dataset.facts()))
    return captions, scores


def caption_files(captioner, paths, beam=None):
    """A caption for each picture file. Raises CourseError for a file that is missing or no picture."""
    side = 64 if captioner.recipe.encoder == "small_cnn" else captioner.recipe.image_size
    images = [read_image(path, side) for path in paths]
    return captioner.caption(torch.stack(images), beam)


def peak_memory():
    """The largest memory this process has held, in MB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def timed(work):
    """The result of `work()` and its seconds."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start
