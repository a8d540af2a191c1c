"""What an Image GPT has learned, asked for digits' names: linear probes, and fine-tuning of the whole model."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from coursekit.checkpoints import claim, load_checkpoint, load_kind
from coursekit.errors import CourseError, writing
from coursekit.metrics.images import kappa
from coursekit.models.image_gpt import bert_loss
from coursekit.palette import reduced
from coursekit.pixels.config import FineTuning
from coursekit.pixels.runs import FILE as DRAWER
from coursekit.pixels.runs import LOOKED_AT, drawer_of, load_drawer, told_of
from coursekit.training import train

CLASSES = 10
KIND, FILE = "image-gpt-classifier", "classifier.pt"
PENALTY = 1.0  # scikit-learn's C: the larger, the more freely a probe fits
BEGUN_WITH = 5000  # digits that the first head of a classifier is fitted to, at most
UNHEARD_OF = -5.0  # that head's bias for a class without a label: unlikely, not impossible


@torch.no_grad()
def features_of(drawer, images, layer=None, batch=LOOKED_AT):
    """What the model knows of pictures, uint8 (n, H, W): (n, E), the mean over places after `layer` blocks, on the CPU.

    layer: 0 are the embeddings, L what comes after the last norm, None a list of all L + 1. A model of the BERT objective
    looks in both directions, as it has learned to. Raises CourseError for another layer.
    """
    model, both = drawer.model.eval(), drawer.config.objective == "bert"
    # One table for all: small results kept between large ones that are freed would tear the memory to pieces
    found = torch.empty(model.layers + 1 if layer is None else 1, len(images), model.dim)
    for start in range(0, len(images), batch):
        tokens = drawer.tokens(images[start : start + batch]).to(drawer.device)
        each = model.features(tokens, layer, both=both)
        for place, part in zip(found, each if layer is None else [each], strict=True):
            place[start : start + batch] = part
    return list(found) if layer is None else found[0]


@dataclass(frozen=True, eq=False)
class Probed:
    """Linear probes of some layers on one test set, and of the raw pixels beside them.

    layers: their numbers; guessed: int64 (layers, n), and pixels int64 (n,) from raw pixels; labels int64 (n,);
    learned_from: how many labels the probes saw.
    """

    layers: list[int]
    guessed: torch.Tensor
    pixels: torch.Tensor
    labels: torch.Tensor
    learned_from: int

    @property
    def accuracy(self):
        """The share of digits named rightly from each layer, {layer: share}."""
        right = (self.guessed == self.labels).double().mean(1)
        return dict(zip(self.layers, right.tolist(), strict=True))

    @property
    def raw(self):
        """The share named rightly from raw pixels."""
        return (self.pixels == self.labels).double().mean().item()

    @property
    def best(self):
        """The layer with the highest accuracy."""
        return max(self.accuracy, key=self.accuracy.get)

    def __str__(self):
        rows = [f"layer {layer:<9} {share:.3f}" for layer, share in self.accuracy.items()]
        return "\n".join([*rows, f"{'raw pixels':15} {self.raw:.3f}"])


def probe(drawer, train_digits, test_digits, layer=None, penalty=PENALTY):
    """Logistic regression (scikit-learn's) on the features of a layer, None for each of all layers: a Probed.

    Raw pixels are those of the reduced pictures, before the palette. All are standardised by what the probe learns from.
    Raises CourseError for another layer, or labels of one class only.
    """
    if len(train_digits.labels.unique()) < 2:
        raise CourseError("A probe needs digits of two classes or more to learn from: give others.")
    known, exam = (features_of(drawer, each.images, layer) for each in (train_digits, test_digits))
    pairs = list(zip(known, exam, strict=True)) if layer is None else [(known, exam)]
    layers = list(range(len(pairs))) if layer is None else [layer]
    side = drawer.model.side
    raw = [reduced(each.images, side).flatten(1).float() for each in (train_digits, test_digits)]
    *guessed, pixels = (_guessed(*pair, train_digits.labels, penalty) for pair in [*pairs, raw])
    return Probed(layers, torch.stack(guessed), pixels, test_digits.labels, len(train_digits))


def _guessed(known, exam, labels, penalty):
    """Labels (n,) for `exam` (n, E) by logistic regression on `known`."""
    mean, spread = _scale(known)
    regression = _fitted((known - mean) / spread, labels, penalty)
    return torch.from_numpy(regression.predict(((exam - mean) / spread).numpy()))


def _scale(known):
    """Mean and standard deviation (E,) of features (n, E); 1 for a feature that never changes."""
    spread = known.std(0, correction=0)
    return known.mean(0), torch.where(spread > 1e-6, spread, 1.0)


def _rows(regression):
    """Weights (classes, E) and biases (classes,) of a fitted regression, one row for each of its classes."""
    rows = torch.from_numpy(regression.coef_), torch.from_numpy(regression.intercept_)
    if len(rows[1]) > 1:
        return rows
    # Of two classes scikit-learn keeps the difference alone
    return [torch.cat([-each, each]) / 2 for each in rows]


def _fitted(known, labels, penalty=PENALTY):
    """scikit-learn's logistic regression of labels (n,) on standardised features (n, E)."""
    regression = LogisticRegression(C=penalty, max_iter=1000)
    with warnings.catch_warnings():
        # After so many steps the last ones change no guess
        warnings.simplefilter("ignore", ConvergenceWarning)
        return regression.fit(known.numpy(), labels.numpy())


class Classifier(nn.Module):
    """An Image GPT with a linear layer over its features after the last norm, their mean over places (Chen et al. 2020).

    As in a probe, features are standardised first: by `mean` and `deviation`, (E,), which `begin` measures once.
    drawer: the Drawer whose model it is, which learns on; tuning: the FineTuning it was trained with; curves: {"step",
    "train", "dev", "seconds"}, the joint loss in nats and the share of dev that is named wrongly.
    """

    def __init__(self, drawer, tuning=None, classes=CLASSES):
        super().__init__()
        self.model, self.head = drawer.model, nn.Linear(drawer.model.dim, classes)
        self.register_buffer("mean", torch.zeros(drawer.model.dim))
        self.register_buffer("deviation", torch.ones(drawer.model.dim))
        self.drawer, self.tuning, self.curves = drawer, tuning, {}
        self.to(drawer.device)

    @torch.no_grad()
    def begin(self, digits, probe=True):
        """Measures the scale of the features on some Digits, and makes the linear probe of them the head.

        Without `probe`, or where the labels are of one class, the head stays random.
        """
        digits = digits[:BEGUN_WITH]
        known = features_of(self.drawer, digits.images, self.model.layers)  # (n, E)
        mean, deviation = _scale(known)
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)
        if probe and len(digits.labels.unique()) > 1:
            found = _fitted((known - mean) / deviation, digits.labels)
            self.head.weight.zero_()
            self.head.bias.fill_(UNHEARD_OF)
            for place, rows in zip((self.head.weight, self.head.bias), _rows(found), strict=True):
                place[found.classes_] = rows.to(place)

    def hidden(self, tokens):
        """tokens (B, T) → (B, T, E) after the last norm, reading as the model has learned to."""
        if self.drawer.config.objective == "bert":
            return self.model.run(self.model.tokens(tokens), causal=False)[0]
        begun = F.pad(tokens, (1, 0), value=self.model.start_id)[:, :-1]
        return self.model.run(self.model.tokens(begun))[0]

    def forward(self, tokens):
        """tokens (B, T) → logits (B, classes)."""
        return self._named(self.hidden(tokens))

    def _named(self, hidden):
        """hidden (B, T, E) → logits (B, classes)."""
        return self.head((hidden.mean(1) - self.mean) / self.deviation)

    def loss(self, tokens, labels, generative=1.0):
        """`generative` · L_gen + L_clf, in nats a pixel and nats a picture (Chen et al. 2020, section 2.3)."""
        hidden = self.hidden(tokens)
        names = F.cross_entropy(self._named(hidden), labels)
        if not generative:
            return names
        if self.drawer.config.objective == "bert":
            return generative * bert_loss(self.model, tokens, self.drawer.config.masked) + names
        # As ar_loss, without a second pass
        logits = self.model.head(hidden)  # (B, T, V)
        return generative * F.cross_entropy(logits.flatten(0, 1), tokens.flatten()) + names

    @torch.no_grad()
    def probabilities(self, images, batch=LOOKED_AT):
        """What it says of pictures, uint8 (n, H, W): (n, classes), on the CPU. Works in eval mode."""
        self.eval()
        parts = self.drawer.tokens(images).split(batch)
        return torch.cat([self(part.to(self.drawer.device)).softmax(1).cpu() for part in parts])

    def guess(self, images):
        """The likeliest class of pictures, uint8 (n, H, W): int64 (n,)."""
        return self.probabilities(images).argmax(1)

    def save(self, path):
        """Writes all of it as one file."""
        saved = {
            "model": KIND,
            "drawer": self.drawer.to_dict(),
            "head": self.head.state_dict(),
            "scale": [self.mean, self.deviation],
            "tuning": self.tuning and self.tuning.as_dict(),
            "curves": self.curves,
        }
        with writing(path) as temporary:
            torch.save(saved, temporary)


def load_classifier(path):
    """The classifier saved at `path` (or in the folder `path`), on the CPU.

    Raises CourseError if there is none, or if the file holds something else.
    """
    path, saved = load_kind(path, FILE, (KIND,), ("classifier", "coursekit finetune"))
    try:
        tuning = saved["tuning"] and FineTuning.of(saved["tuning"])
        drawer, head = drawer_of(saved["drawer"], path), saved["head"]
        found = Classifier(drawer, tuning, len(head["bias"]))
        found.head.load_state_dict(head)
        for place, kept in zip((found.mean, found.deviation), saved["scale"], strict=True):
            place.copy_(kept)
    except (RuntimeError, TypeError, ValueError, KeyError, AttributeError, CourseError) as error:
        raise CourseError(
            f"{path} does not fit this version of the course: train again."
        ) from error
    found.curves = saved.get("curves", {})
    return found.eval()


def is_checkpoint(path):
    """Whether a drawer or a classifier may lie at `path`: a file of weights, or the folder of a run."""
    path = Path(path)
    return path.suffix == ".pt" or any((path / name).is_file() for name in (FILE, DRAWER))


def load(path):
    """The Classifier or Drawer at `path`, a file or a run's folder. Raises CourseError if there is none."""
    path = Path(path)
    if path.is_dir():
        path = path / (FILE if (path / FILE).is_file() else DRAWER)
    kind = load_checkpoint(path).get("model")
    return load_classifier(path) if kind == KIND else load_drawer(path)


def agreement(labels, guessed):
    """{"accuracy", "kappa"}: the share named rightly, and Cohen's kappa where there are two classes or more."""
    found = {"accuracy": (guessed == labels).double().mean().item()}
    several = len(torch.cat([labels, guessed]).unique()) > 1
    return found | ({"kappa": kappa(labels, guessed)} if several else {})


def finetune(drawer, train_digits, dev_digits, here, out=None, tuning=None, quiet=False):
    """Trains a drawer's model to name digits, with loss = generative + classification, and returns the Classifier.

    train_digits: as many as have labels; dev_digits: by which the best weights are chosen, with the fewest wrong names.
    The drawer given stays as it is. `drawer.untrained()` in its place, with `begin` "random", is training from scratch.
    With a folder `out` the run continues where it was interrupted, and leaves classifier.pt.
    Raises CourseError if `out` holds a run of another model, of other digits or with other settings.
    """
    tuning = tuning or FineTuning()
    claim(out, repr((drawer.config, tuning, drawer.fingerprint(), told_of(train_digits), told_of(dev_digits))))  # fmt: skip
    torch.manual_seed(tuning.seed)
    classifier = Classifier(drawer.copy().to(here.device), tuning)
    classifier.begin(train_digits, tuning.begin == "probe")
    lesson = _Lesson(classifier, train_digits, dev_digits, here.device)
    history = train(
        classifier, lesson.loss, lesson.batches, tuning.train, lesson.wrong, lesson.tell, out,
        here.dtype, quiet,
    )  # fmt: skip
    classifier.curves = {
        "step": [tuning.save_every * (i + 1) for i in range(len(history.train_loss))],
        "train": history.train_loss,
        "dev": history.valid_loss,
        "seconds": history.seconds,
    }
    if out:
        classifier.save(Path(out) / FILE)
    return classifier


class _Lesson:
    """Digits and their names as a classifier learns from them."""

    def __init__(self, classifier, train_digits, dev_digits, device):
        self.drawer, self.tuning, self.device = classifier.drawer, classifier.tuning, device
        self.digits, self.exam, self.stretch = train_digits, dev_digits, 0
        still = not self.tuning.augmentation
        self.tokens = self.drawer.tokens(train_digits.images) if still else None  # (n, T)

    def batches(self, stretch):
        self.stretch = stretch
        return self.tuning.batches(stretch, len(self.digits))

    def loss(self, classifier, batch):
        number, which = batch
        if self.tokens is not None:
            tokens = self.tokens[which]
        else:
            tokens = self.drawer.tokens(self.tuning.augment(self.digits.images[which], number))
        labels = self.digits.labels[which].to(self.device)
        return classifier.loss(tokens.to(self.device), labels, self.tuning.generative)

    def wrong(self, classifier):
        """The share of dev that is named wrongly."""
        guessed = classifier.guess(self.exam.images)
        self.share = (guessed != self.exam.labels).double().mean().item()
        return self.share

    def tell(self, _):
        step = (self.stretch + 1) * self.tuning.save_every
        return f"step {step}: {100 * (1 - self.share):.1f} % of dev named rightly"
