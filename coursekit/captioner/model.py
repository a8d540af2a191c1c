"""The captioner itself: an eye that leaves memory, a step model that tells of it, and the words."""

from dataclasses import asdict, dataclass, field, replace
from functools import partial

import torch
from torch import nn

from coursekit import decoding
from coursekit.checkpoints import load_kind
from coursekit.errors import CourseError, writing
from coursekit.models.attention import ShowAttendAndTell, attention_loss
from coursekit.models.encoders import SHIPPED
from coursekit.models.gpt import GPT
from coursekit.models.language import HuggingFaceLM
from coursekit.models.lstm import ShowAndTell, caption_loss
from coursekit.models.prefix import PrefixCaptioner, prefix_loss
from coursekit.models.sources import make_encoder
from coursekit.text import pad, tokenizer_from_dict
from coursekit.training import TrainSettings

MODELS = ("show-and-tell", "show-attend-and-tell", "prefix")
# Tokens that a small language model reads: five captions one after another, or a picture and a caption
CONTEXT = 128
SAID = 30  # tokens after which every search ends (decoding's max_len)
FILE = "captioner.pt"
# Ways to choose the words, all of one shape: (model, memory, bos_id, eos_id) → token lists, scores
WAYS = {
    "greedy": decoding.greedy,
    "beam 3": partial(decoding.beam_search, beam=3),
    "beam 10": partial(decoding.beam_search, beam=10),
    "beam 5, length penalty 1": partial(decoding.beam_search, beam=5, length_penalty=1.0),
    "temperature 0.7": partial(decoding.sample, temperature=0.7),
    "top-k 10": partial(decoding.sample, top_k=10),
    "nucleus 0.9": partial(decoding.sample, top_p=0.9),
}


@dataclass(frozen=True)
class Recipe:
    """All that a captioner is made of.

    `encoder` is "small_cnn", first trained as `encoder_train` says to name the facts of `encoder_pictures` other
    scenes, or a torchvision name with its `weights`. `embeddings` says what it leaves of a picture, and `project` puts
    a linear layer behind it (see models.sources.make_encoder). A frozen encoder sees each picture once and batches are made of captions of like length; with
    `fine_tune` it learns on, and `captions_per_picture` captions of a picture share one pass of it.
    `unfreeze` epochs at the end train a frozen encoder too, at a tenth of the rate.
    `image_as` belongs to show-and-tell; `attention`, `attention_dim` and `balance` to show-attend-and-tell;
    `mapper`, `length`, `tuning` and `types` to prefix (see models.prefix.PrefixCaptioner), whose `language` is "small",
    a GPT of the `language_…` numbers, or a language model of Hugging Face by its name or folder. The small one is first
    trained, as `language_train` says, on captions alone: those of `language_pictures` other scenes, else of the
    training set.
    `pictures` and `eval_pictures` limit the training and the other sets; `picture_size` is the side in pixels of what
    it learned from, which training fills in.
    """

    model: str = "show-and-tell"
    encoder: str = "small_cnn"
    weights: str | None = "DEFAULT"
    image_size: int = 224
    embeddings: str = "grid"
    project: int | None = None
    fine_tune: bool = False
    unfreeze: int = 0
    encoder_pictures: int = 0
    encoder_train: TrainSettings | None = None
    pictures: int | None = None
    eval_pictures: int | None = None
    picture_size: int | None = None
    captions_per_picture: int = 2
    min_count: int = 1
    embed_dim: int = 128
    hidden_dim: int = 256
    image_as: str = "input"
    attention: str = "soft"
    attention_dim: int = 256
    balance: float = 0.1
    mapper: str = "mlp"
    length: int = 1
    tuning: str = "tuned"
    types: bool = True
    language: str = "small"
    language_dim: int = 128
    language_layers: int = 4
    language_heads: int = 4
    language_pictures: int = 0
    language_train: TrainSettings | None = None
    dropout: float = 0.2
    beam: int = 3
    train: TrainSettings = field(default_factory=TrainSettings)


class Captioner(nn.Module):
    """An encoder, a decoder that is a step model, and the words they speak.

    language: a trained language model for a prefix captioner; without it one is made as the recipe says.
    """

    def __init__(self, recipe, tokenizer, language=None):
        super().__init__()
        self.recipe, self.tokenizer = recipe, tokenizer
        self.encoder = _encoder(recipe)
        self.decoder = _decoder(recipe, len(tokenizer), self.encoder.dim, language)

    def unfreeze(self):
        """From now on the encoder learns too."""
        self.recipe = replace(self.recipe, fine_tune=True)
        self.encoder.unfreeze()

    def must_fit(self, *sets):
        """Raises CourseError unless the language model of prefix reads a picture and any caption: of data sets, or found."""
        context = getattr(getattr(self.decoder, "language", None), "context", None)
        if not context:
            return
        prefix = self.decoder.prefix(self.memory(sets[0].images([0]))).shape[1]
        told = (self.tokenizer.encode(c) for each in sets for cs in each.captions for c in cs)
        needed = prefix + max(SAID, max(map(len, told)) + 1)
        if needed > context:
            raise CourseError(
                f"A prefix of {prefix} and a caption are up to {needed} tokens, and the language model reads {context}: "
                "give a smaller length, or fewer embeddings of a picture."
            )

    @torch.no_grad()
    def memory(self, images, batch_size=64):
        """uint8 images (B, 3, H, W) → memory (B, N, D), in evaluation mode."""
        self.eval()
        device = next(self.parameters()).device
        return torch.cat([self.encoder(part.to(device)) for part in images.split(batch_size)])

    def loss(self, memory, tokens):
        """What training lowers: nats a token, and what the decoder's attention adds. tokens (B, T), bos first."""
        if self.recipe.model == "show-and-tell":
            return caption_loss(self.decoder, memory, tokens, self.tokenizer.pad_id)
        if self.recipe.model == "prefix":
            return prefix_loss(self.decoder, memory, tokens, self.tokenizer.eos_id)
        recipe = self.recipe
        return attention_loss(self.decoder, memory, tokens, self.tokenizer.pad_id, recipe.balance)

    def caption(self, images, beam=None):
        """Captions of uint8 images (B, 3, H, W), by beam search (1: greedy)."""
        return self.caption_memory(self.memory(images), beam)

    def caption_memory(self, memory, beam=None, batch_size=100):
        """Captions of memory (B, N, D), by beam search."""
        beam = self.recipe.beam if beam is None else beam
        return self._search(memory, partial(decoding.beam_search, beam=beam), batch_size)[0]

    def decode(self, memory, way, seed=0):
        """Captions of memory (B, N, D) in one of WAYS, and their log-probabilities. `seed` is for those that draw."""
        if way not in WAYS:
            raise CourseError(f"There is no way '{way}' to decode: choose {', '.join(WAYS)}.")
        search = WAYS[way]
        if getattr(search, "func", None) is decoding.sample:
            device = next(self.parameters()).device
            search = partial(search, generator=torch.Generator(device).manual_seed(seed))
        return self._search(memory, search)

    def _search(self, memory, search, batch_size=100):
        self.eval()
        tok, device = self.tokenizer, next(self.parameters()).device
        captions, scores = [], []
        for part in memory.split(batch_size):
            tokens, own = search(self.decoder, part.to(device), tok.bos_id, tok.eos_id)
            captions += map(tok.decode, tokens)
            scores += own
        return captions, scores

    def look(self, memory, captions):
        """Where it looked for each word of captions and for their end: weights (B, T, N), T words of the longest and 1.

        None for a model without attention.
        """
        if not hasattr(self.decoder, "look"):
            return None
        self.eval()
        tokens, _ = pad([self.tokenizer.with_ends(c)[:-1] for c in captions], self.tokenizer.pad_id)
        device = next(self.parameters()).device
        return self.decoder.look(memory.to(device), tokens.to(device)).cpu()

    def own_state(self):
        """The weights that a file must hold: all but those of an encoder that its name gives again."""
        weights = {f"encoder.{name}": each for name, each in self.encoder.own_state().items()}
        decoder = getattr(self.decoder, "own_state", self.decoder.state_dict)()
        return weights | {f"decoder.{name}": each for name, each in decoder.items()}

    def save(self, path):
        """Writes recipe, words and trained weights; an encoder that its name gives again is not stored."""
        saved = {
            "model": self.recipe.model,
            "recipe": asdict(self.recipe),
            "tokenizer": self.tokenizer.to_dict(),
            "weights": self.own_state(),
        }
        with writing(path) as temporary:
            torch.save(saved, temporary)


def load_captioner(path):
    """The captioner saved at `path` (or in the folder `path`), on the CPU, ready to caption.

    Raises CourseError if there is none, or if the file holds something else.
    """
    path, saved = load_kind(path, FILE, MODELS, ("captioner", "coursekit train"))
    try:
        captioner = Captioner(_recipe(saved["recipe"]), tokenizer_from_dict(saved["tokenizer"]))
        found = captioner.load_state_dict(saved["weights"], strict=False)
    except (RuntimeError, TypeError, KeyError) as error:
        raise CourseError(
            f"{path} does not fit this version of the course: train again."
        ) from error
    if found.unexpected_keys or captioner.own_state().keys() & set(found.missing_keys):
        raise CourseError(f"{path} lacks weights, or holds others: train again, or copy it anew.")
    return captioner.eval()


def shipped_captioner():
    """The captioner of scenes that comes with the course: recipe scenes at size cpu, seed 0."""
    return load_captioner(SHIPPED)


def _recipe(saved):
    # Before there was a choice, networks of torchvision were pooled
    old = {} if saved["encoder"] == "small_cnn" else {"embeddings": "pooled"}
    names = ("train", "encoder_train", "language_train")
    loops = {k: TrainSettings(**saved[k]) for k in names if saved.get(k)}
    return Recipe(**old | saved | loops)


def _encoder(recipe):
    # What is trained here begins at random
    weights = None if recipe.encoder_train and recipe.encoder == "small_cnn" else recipe.weights
    shape = (recipe.image_size, recipe.embeddings, recipe.project)
    return make_encoder(recipe.encoder, weights, recipe.fine_tune, *shape)


def _decoder(recipe, vocab_size, memory_dim, language):
    sizes = (vocab_size, memory_dim, recipe.embed_dim, recipe.hidden_dim)
    if recipe.model == "show-and-tell":
        return ShowAndTell(*sizes, recipe.image_as, recipe.dropout)
    if recipe.model == "show-attend-and-tell":
        return ShowAttendAndTell(*sizes, recipe.attention_dim, recipe.attention, recipe.dropout)
    if recipe.model == "prefix":
        language = language or make_language(recipe, vocab_size)
        if vocab_size > language.vocab_size:
            raise CourseError(
                f"The tokenizer has {vocab_size} tokens and the language model knows {language.vocab_size}: give those "
                "that belong together."
            )
        own = (recipe.mapper, recipe.length, recipe.tuning, recipe.dropout, recipe.types)
        return PrefixCaptioner(language, memory_dim, *own)
    raise CourseError(f"There is no model '{recipe.model}': choose one of {', '.join(MODELS)}.")


def make_language(recipe, vocab_size):
    """The language model of a prefix captioner: the small one untrained, Hugging Face's with its weights."""
    if recipe.language != "small":
        return HuggingFaceLM.load(recipe.language)
    sizes = (recipe.language_dim, recipe.language_layers, recipe.language_heads)
    return GPT(vocab_size, CONTEXT, *sizes, recipe.dropout)
