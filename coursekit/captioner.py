"""A captioner: encoder, decoder and words in one piece; saved, loaded, asked and scored."""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from coursekit import decoding, sizes
from coursekit.datasets.captions import read_image
from coursekit.datasets.scenes import claims
from coursekit.errors import CourseError, writing
from coursekit.metrics.captions import caption_scores, start_meteor
from coursekit.metrics.scenes import fact_scores
from coursekit.models.encoders import SHIPPED, SmallCNN, TorchvisionEncoder, cached_features
from coursekit.models.lstm import ShowAndTell
from coursekit.text import tokenizer_from_dict
from coursekit.training import TrainSettings, load_checkpoint

MODEL = "show-and-tell"
FILE = "captioner.pt"


@dataclass(frozen=True)
class Recipe:
    """All that a captioner is made of.

    `encoder` is "small_cnn", first trained as `encoder_train` says to name the facts of `encoder_pictures` other
    scenes, or a torchvision name with its `weights`. A frozen encoder sees each picture once and batches are made of captions of like length; with
    `fine_tune` it learns on, and `captions_per_picture` captions of a picture share one pass of it.
    `pictures` and `eval_pictures` limit the training and the other sets.
    """

    encoder: str = "small_cnn"
    weights: str | None = "DEFAULT"
    image_size: int = 224
    fine_tune: bool = False
    encoder_pictures: int = 0
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
                self.decoder,
                part,
                tok.bos_id,
                tok.eos_id,
                self.recipe.beam if beam is None else beam,
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
        raise CourseError(
            f"{path} holds no {MODEL} captioner: give a {FILE} that `coursekit train` wrote."
        )
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


def features_of(captioner, dataset):
    """The memory of every picture of a data set (len, N, D); a torchvision encoder's is kept in the build folder."""
    if not captioner.named_encoder:
        starts = tqdm(
            range(0, len(dataset), 100), "pictures", file=sys.stdout, leave=False, mininterval=2
        )
        parts = (range(start, min(start + 100, len(dataset))) for start in starts)
        return torch.cat([captioner.memory(dataset.images(part)).cpu() for part in parts])
    encoder = captioner.encoder
    name = f"{dataset.name}-{dataset.split}-{len(dataset)}-{encoder.name}-{encoder.image_size}.pt"
    return cached_features(encoder, dataset, sizes.build_folder("features", name))


def evaluate(captioner, dataset, beam=None, meteor=None):
    """Captions of a data set and their scores: (captions, Scores); for scenes with fact_precision, fact_recall."""
    if meteor is not False:
        start_meteor()  # Java loads while the captions are searched
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
