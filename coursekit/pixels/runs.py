"""The training that joins digits, palette, Image GPT and loop, and the drawer that comes of it."""

import copy
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import torch

from coursekit import sizes
from coursekit.checkpoints import claim, load_kind
from coursekit.datasets.augment import load_saved
from coursekit.datasets.digits import load_digits
from coursekit.errors import CourseError, writing
from coursekit.metrics.images import bits, bits_per_pixel
from coursekit.models.image_gpt import ImageGPT, ar_loss, bert_loss
from coursekit.palette import Palette, reduced
from coursekit.pixels.config import USUAL, Config
from coursekit.training import train

KIND, FILE, PALETTE, CONFIG = "image-gpt", "image_gpt.pt", "palette.npy", "config.yaml"
SHIPPED = Path(__file__).resolve().parents[1] / "weights" / "image_gpt"
LOOKED_AT = 100  # pictures at once where nothing is learned


@dataclass(eq=False)
class Drawer:
    """An Image GPT, its palette and the configuration it was trained with: all that drawing needs.

    curves: {"step", "train", "dev", "seconds"}, a list each with one entry a stretch; train and dev in bits a pixel (with
    the BERT objective: a masked pixel). Empty where the training has not come to its end.
    """

    model: ImageGPT
    palette: Palette
    config: Config
    curves: dict = field(default_factory=dict)

    def __str__(self):
        numbers = sum(each.numel() for each in self.model.parameters())
        side, colours = self.model.side, len(self.palette)
        return f"{self.config.name}: {numbers:,} parameters, {side} × {side} pixels in {colours} colours"

    @property
    def device(self):
        return self.model.tokens.weight.device

    def to(self, device):
        """The drawer itself, its model now on `device`."""
        self.model.to(device)
        return self

    def tokens(self, images):
        """Grey pictures, uint8 (B, H, W) of at least `side` pixels → tokens (B, side²), on the CPU."""
        return self.palette.encode(reduced(images, self.model.side))

    def images(self, tokens):
        """tokens (B, side²) → pictures as the drawer knows them, uint8 (B, side, side)."""
        return self.palette.decode(tokens.cpu(), self.model.side)

    def copy(self):
        """Another drawer of the same weights, to train on."""
        return Drawer(copy.deepcopy(self.model), self.palette, self.config, self.curves)

    def fingerprint(self):
        """What tells its weights from others."""
        weights = [
            each.detach().cpu().numpy().tobytes() for each in self.model.state_dict().values()
        ]
        return hashlib.sha256(b"".join(weights)).hexdigest()

    def untrained(self, seed=0):
        """A drawer of the same build and palette whose weights are random: what training from scratch begins with."""
        torch.manual_seed(seed)
        model = ImageGPT(**self.model.settings).to(self.device)
        spread(model, self.config.spread)
        return Drawer(model, self.palette, self.config)

    def to_dict(self):
        """All of it as plain values and tensors."""
        return {
            "model": KIND,
            "config": self.config.as_dict(),
            "settings": self.model.settings,
            "palette": self.palette.colours,
            "weights": self.model.state_dict(),
            "curves": self.curves,
        }

    def save(self, path):
        """Writes all of it as one file."""
        with writing(path) as temporary:
            torch.save(self.to_dict(), temporary)


def load_drawer(path):
    """The drawer saved at `path` (or in the folder `path`), on the CPU.

    Raises CourseError if there is none, or if the file holds something else.
    """
    wanted = "Image GPT", "coursekit train image-gpt"
    path, saved = load_kind(path, FILE, (KIND,), wanted)
    return drawer_of(saved, path)


def drawer_of(saved, path):
    """The drawer of what `Drawer.to_dict` gave. Raises CourseError, which names `path`, where it does not fit."""
    try:
        model = ImageGPT(**saved["settings"])
        model.load_state_dict(saved["weights"])
        palette, config = Palette(saved["palette"]), Config.of(saved["config"])
    except (RuntimeError, TypeError, KeyError, AttributeError, CourseError) as error:
        raise CourseError(
            f"{path} does not fit this version of the course: train again."
        ) from error
    return Drawer(model.eval(), palette, config, saved.get("curves", {}))


def shipped_drawer():
    """The drawer that comes with the course: configuration laptop, trained by `python data_scripts/ship_image_gpt.py` on
    MNIST's training digits less the 5,000 that come with the course."""
    return load_drawer(SHIPPED)


def train_image_gpt(config, train_digits, dev_digits, here, out=None, quiet=False):
    """Trains an Image GPT as a Config says, and returns the Drawer.

    train_digits, dev_digits: Digits of 28 × 28; here: what `sizes.setup` gave. The weights with the lowest loss on dev
    are kept. With a folder `out` the run continues where it was interrupted, and leaves there config.yaml, palette.npy,
    a checkpoint of each stretch, such as step-000500.pt, that `load_drawer` reads, and image_gpt.pt.
    Raises CourseError if `out` holds a run of another configuration or of other digits.
    """
    claim(out, repr((config, told_of(train_digits), told_of(dev_digits))))
    lesson = _Lesson(config, train_digits, dev_digits, here, out)
    drawer = lesson.drawer
    if out:
        config.save(Path(out) / CONFIG)
        drawer.palette.save(Path(out) / PALETTE)
    history = train(
        drawer.model, lesson.loss, lesson.batches, config.train, lesson.dev_loss, lesson.tell, out,
        here.dtype, quiet,
    )  # fmt: skip
    drawer.curves = {
        "step": [config.save_every * (i + 1) for i in range(len(history.train_loss))],
        "train": [bits(each) for each in history.train_loss],
        "dev": [bits(each) for each in history.valid_loss],
        "seconds": history.seconds,
    }
    if out:
        drawer.save(Path(out) / FILE)
    return drawer


def usual(config, size):
    """A configuration by name or path; the one that goes with the size where it is None."""
    return Config.load(config or USUAL[size])


def run(config=None, root=None, size=None, out=None, quiet=False, saved=None, **changes):
    """`train_image_gpt` on the digits at `root`, or on those that come with the course; returns the Drawer.

    config: a Config, or what `usual` takes. `changes` replace fields of it. saved: the path of digits to learn from
    that `save_digits` wrote; dev stays that of `root`.
    """
    here = sizes.setup(size)
    config = config if isinstance(config, Config) else usual(config, here.size)
    config = config.changed(**changes)
    learned = load_saved(saved)[: config.digits] if saved else load_digits("train", root, config.digits)  # fmt: skip
    dev = load_digits("dev", root, config.dev_digits)
    return train_image_gpt(config, learned, dev, here, out, quiet)


@torch.no_grad()
def score(drawer, digits):
    """What digits cost, {"bits_per_pixel": …}; with the BERT objective {"bits_per_masked_pixel": …}, always the same masked."""
    tokens = drawer.tokens(digits.images)
    if drawer.config.objective == "ar":
        return {"bits_per_pixel": bits_per_pixel(drawer.model, tokens)[0]}
    return {"bits_per_masked_pixel": bits(_nats_of(drawer, tokens.to(drawer.device)))}


def _nats(config, model, tokens, generator=None):
    if config.objective == "ar":
        return ar_loss(model, tokens)
    return bert_loss(model, tokens, config.masked, generator)


def _nats_of(drawer, tokens):
    """Nats a pixel of many pictures; the same pixels masked each time."""
    generator = torch.Generator().manual_seed(drawer.config.seed)
    drawer.model.eval()
    parts = tokens.split(LOOKED_AT)
    each = [_nats(drawer.config, drawer.model, part, generator).item() for part in parts]
    return sum(len(part) * nats for part, nats in zip(parts, each, strict=True)) / len(tokens)


@torch.no_grad()
def spread(model, deviation):
    """Gives a new model's embeddings and blocks weights of this standard deviation in place of GPT-2's 0.02."""
    for part in (model.tokens, model.positions, model.blocks):
        for weights in part.parameters():
            if weights.ndim == 2:
                weights.mul_(deviation / 0.02)


def palette_for(config, images):
    """The palette that a configuration asks for, of pictures uint8 (B, H, W); also of their negatives, if it inverts."""
    if config.augmentation and config.augmentation.invert:
        images = torch.cat([images, 255 - images])
    small = reduced(images, config.side)
    if config.palette == "kmeans":
        return Palette.kmeans(small, config.colours, config.seed)
    return Palette.exact(small, config.colours)


def told_of(digits):
    """What tells one set of digits from another."""
    content = digits.images.numpy().tobytes() + digits.labels.numpy().tobytes()
    return digits.name, hashlib.sha256(content).hexdigest()


class _Lesson:
    """Digits as an Image GPT learns from them, in stretches of `save_every` batches."""

    def __init__(self, config, train_digits, dev_digits, here, out):
        self.config, self.out, self.device = config, out, here.device
        palette = palette_for(config, train_digits.images)
        torch.manual_seed(config.seed)
        build = (config.dim, config.layers, config.heads, config.dropout)
        model = ImageGPT(len(palette), config.side, *build).to(self.device)
        spread(model, config.spread)
        self.drawer = Drawer(model, palette, config)
        self.images = train_digits.images  # (n, 28, 28)
        self.tokens = None if config.augmentation else self._seen(self.images)  # (n, T)
        self.exam = self._seen(dev_digits.images)
        self.stretch = 0

    def _seen(self, images):
        return self.drawer.tokens(images).to(self.device)

    def batches(self, stretch):
        """The batches of a stretch, as Training.batches has them."""
        self.stretch = stretch
        return self.config.batches(stretch, len(self.images))

    def loss(self, model, batch):
        """Nats a pixel of one batch."""
        number, which = batch
        if self.tokens is not None:
            return _nats(self.config, model, self.tokens[which.to(self.device)])
        return _nats(
            self.config, model, self._seen(self.config.augment(self.images[which], number))
        )

    def dev_loss(self, model):
        """Nats a pixel of dev."""
        self.nats = _nats_of(self.drawer, self.exam)
        return self.nats

    def tell(self, model):
        """Keeps a checkpoint of the stretch, and says how it goes."""
        step = (self.stretch + 1) * self.config.save_every
        if self.out:
            self.drawer.save(Path(self.out) / f"step-{step:06}.pt")
        of = "pixel" if self.config.objective == "ar" else "masked pixel"
        return f"step {step}: {bits(self.nats):.3f} bits a {of}"
