"""How an Image GPT is made and trained: one YAML file a configuration, every field of it checked."""

import math
import reprlib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
import yaml

from coursekit.datasets.augment import Augmentation
from coursekit.errors import CourseError, writing
from coursekit.training import DECAYS, TrainSettings

FOLDER = Path(__file__).resolve().parents[1] / "configs"
NAMES = ("smoke", "laptop", "laptop-28", "small", "medium", "large")
# By what `sizes` finds
USUAL = {"smoke": "smoke", "cpu": "laptop", "gpu": "medium"}
CHOICES = {
    "objective": ("ar", "bert"),
    "decay": DECAYS,
    "palette": ("exact", "kmeans"),
    "begin": ("probe", "random"),
}
# Least and most of each number
LIMITS = {
    "side": (1, 28),
    "colours": (2, 256),
    "dim": (1, 4096),
    "layers": (1, 96),
    "heads": (1, 64),
    "dropout": (0, 0.9),
    "spread": (1e-4, 1),
    "masked": (0.01, 1),
    "steps": (1, 10**7),
    "save_every": (1, 10**7),
    "batch_size": (1, 10**5),
    "accumulate": (1, 10**4),
    "learning_rate": (1e-8, 1),
    "warmup": (0, 1),
    "beta_1": (0, 0.9999),
    "beta_2": (0, 0.99999),
    "weight_decay": (0, 10),
    "clip": (1e-6, 1e6),
    "average": (0, 1),
    "generative": (0, 1000),
    "digits": (1, 10**6),
    "dev_digits": (1, 10**6),
    "seed": (0, 2**31),
}
LARGEST = 100_000  # bytes of a configuration
SPREAD = 1_000_003  # between seeds, so that no two share the order of a pass


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a training goes, by its number of batches: what Config and FineTuning share.

    `steps` batches are trained on, and after every `save_every` of them there is a checkpoint and a look at dev.
    `accumulate` batches move the weights once. Adam's `beta_1` and `beta_2`, `warmup` (a share of all steps), `decay`
    and `average` as in training.TrainSettings. `augmentation` changes every digit anew each time it is seen.
    Raises CourseError, in one sentence with the field's name, for whatever does not fit.
    """

    steps: int = 1000
    save_every: int = 100
    batch_size: int = 64
    accumulate: int = 1
    learning_rate: float = 3e-3
    warmup: float = 0.1
    decay: str = "linear"
    beta_1: float = 0.9
    beta_2: float = 0.95
    weight_decay: float = 0.01
    clip: float = 1.0
    average: float = 0.0
    augmentation: Augmentation | None = None
    seed: int = 0

    def __post_init__(self):
        for field in fields(self):
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name)))
        if self.steps % self.save_every:
            raise CourseError(
                f"steps {self.steps} is no multiple of save_every {self.save_every}: choose one, since a run is made of "
                "such stretches."
            )

    @classmethod
    def load(cls, path):
        """What the YAML file `path` says. Raises CourseError, in one sentence, if there is none or a field is wrong."""
        try:
            return cls.of(_read(path))
        except CourseError as error:
            raise CourseError(f"{path}: {error}") from error

    @classmethod
    def of(cls, saved):
        """The one with fields by name, such as `as_dict` gave. Raises CourseError for an unknown field."""
        unknown = [key for key in saved if key not in cls.__dataclass_fields__]
        if unknown:
            raise CourseError(f"there is no field {_short(unknown[0])}: leave it out.")
        return cls(**saved)

    def changed(self, **changes):
        """The same with some fields changed; what is None stays as it is."""
        return replace(self, **{name: each for name, each in changes.items() if each is not None})

    def as_dict(self):
        """Plain values only, as YAML, JSON and checkpoints hold them."""
        return asdict(self)

    def save(self, path):
        """Writes it as YAML, which `load` reads."""
        with writing(path) as part:
            part.write_text(yaml.safe_dump(self.as_dict(), sort_keys=False), encoding="utf-8")

    @property
    def train(self):
        """How training.train shall train: an epoch is a stretch of `save_every` batches."""
        return TrainSettings(
            epochs=self.steps // self.save_every,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup=self.warmup,
            clip=self.clip,
            accumulate=self.accumulate,
            seed=self.seed,
            decay=self.decay,
            betas=(self.beta_1, self.beta_2),
            average=self.average,
        )

    def batches(self, stretch, n):
        """(number, which of n digits) of each batch of a stretch: one stream of passes, each in an order of its own."""
        size, orders, found = min(self.batch_size, n), {}, []
        first = stretch * self.save_every
        for number in range(first, first + self.save_every):
            # What is left of a pass is left out: in the next one other digits are
            turn, place = divmod(number, n // size)
            if turn not in orders:
                generator = torch.Generator().manual_seed(SPREAD * self.seed + turn)
                orders[turn] = torch.randperm(n, generator=generator)
            found.append((number, orders[turn][place * size :][:size]))
        return found

    def augment(self, images, number):
        """Pictures uint8 (B, H, W) of batch `number` as they are seen: changed, if there is an augmentation."""
        if not self.augmentation:
            return images
        generator = torch.Generator().manual_seed(SPREAD * self.seed + number)
        return self.augmentation.apply(images, generator)


@dataclass(frozen=True, kw_only=True)
class Config(Training):
    """All that an Image GPT is made of, and how it is trained.

    Pictures of `side` × `side` pixels in `colours` colours, whose `palette` is "exact" (the best for grey pictures) or
    "kmeans" (scikit-learn's). `objective` "ar" guesses each pixel from those before it; "bert" guesses `masked`, a share
    of all, from those around them. `spread` is the standard deviation of the first weights: GPT-2's 0.02 suits a width
    of thousands, 1 / √dim a small model. `digits` and `dev_digits` limit what is learned from and looked at.
    """

    name: str = "unnamed"
    side: int = 14
    colours: int = 8
    palette: str = "exact"
    dim: int = 96
    layers: int = 4
    heads: int = 4
    dropout: float = 0.0
    spread: float = 0.02
    objective: str = "ar"
    masked: float = 0.15
    digits: int | None = None
    dev_digits: int | None = 500

    def __post_init__(self):
        super().__post_init__()
        if self.dim % self.heads:
            raise CourseError(
                f"heads {self.heads} do not share dim {self.dim} evenly: choose a divisor of it."
            )

    @classmethod
    def load(cls, name):
        """The configuration `name`, one of NAMES or the path of a YAML file.

        Raises CourseError, in one sentence, if there is none or a field of it is wrong.
        """
        path = FOLDER / f"{name}.yaml" if str(name) in NAMES else Path(name)
        if not path.exists():
            raise CourseError(
                f"There is no configuration '{name}': choose {', '.join(NAMES)}, or give the path of a .yaml file."
            )
        found = super().load(path)
        return found if found.name != cls.name else found.changed(name=path.stem)


@dataclass(frozen=True, kw_only=True)
class FineTuning(Training):
    """How a trained Image GPT learns to name digits: the loss is `generative` times its own plus that of the names.

    Its new head begins as the linear "probe" of the features: a "random" one, which training from scratch begins with,
    first sends random gradients through a model that knows something (Kumar et al. 2022).
    """

    begin: str = "probe"
    generative: float = 1.0
    steps: int = 500
    save_every: int = 100
    batch_size: int = 32
    learning_rate: float = 3e-4


def _read(path):
    """The fields of a YAML file."""
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST + 1)
        found = yaml.safe_load(text.decode("utf-8-sig")) if len(text) <= LARGEST else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise CourseError("it is no YAML file that can be read: write it as those in coursekit/configs.") from error  # fmt: skip
    if not isinstance(found, dict):
        raise CourseError("it is no list of fields: write it as those in coursekit/configs.")
    return found


def _checked(field, value):
    """A field's value as it should be. Raises CourseError for another."""
    name = field.name
    if value is None and name in ("digits", "dev_digits", "augmentation"):
        return None
    if name == "name":
        return str(value)[:100]
    if name == "augmentation":
        return _augmentation(value)
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise CourseError(f"{name} is {' or '.join(CHOICES[name])}, not {_short(value)}.")
        return value
    low, high = LIMITS[name]
    whole = field.type is not float
    number = _number(value, whole)
    if number is None or not low <= number <= high:
        kind = "a whole number" if whole else "a number"
        raise CourseError(f"{name} is {kind} from {low:g} to {high:g}, not {_short(value)}.")
    return number


def _number(value, whole):
    """value as an int or float, None where it is neither."""
    if isinstance(value, str) and not whole:  # YAML takes 1e-3, without a point, for a word
        try:
            value = float(value)
        except ValueError:
            return None
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        return None
    return value if whole else float(value)


def _augmentation(value):
    if isinstance(value, Augmentation):
        return value
    kinds = {field.name: field.type for field in fields(Augmentation)}
    if not isinstance(value, dict) or not value.keys() <= kinds.keys():
        raise CourseError(f"augmentation has the fields {', '.join(kinds)}, not {_short(value)}.")
    found = {"crop": 0}
    for name, each in value.items():
        switch = isinstance(each, bool) if kinds[name] is bool else None
        found[name] = each if switch else _number(each, kinds[name] is int)
        if switch is False or found[name] is None:
            kind = "true or false" if kinds[name] is bool else "a number"
            raise CourseError(f"augmentation's {name} is {kind}, not {_short(each)}.")
    return Augmentation(**found)


def _short(value):
    """A value in few letters, whatever was written."""
    return reprlib.repr(value)
