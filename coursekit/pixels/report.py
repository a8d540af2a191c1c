"""One page about an Image GPT or a classifier made of one: what it confuses, what its pixels cost, what it draws.

The page needs no network and no script, and everything on it is escaped by Jinja. Its figures lie beside it as PNG.
"""

import base64
import io
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch

from coursekit import plots
from coursekit.errors import check_place, writing
from coursekit.metrics import images as metrics
from coursekit.palette import reduced
from coursekit.pixels.classify import Classifier, agreement, probe
from coursekit.pixels.complete import fill, known_pixels
from coursekit.plots import digits as drawn
from coursekit.plots.charts import PIXELS_PER_INCH
from coursekit.templates import render

TEMPLATE = Path(__file__).with_suffix(".html")
SHOWN = 8  # digits that are completed
ENDINGS = 6  # of each
MOST = 40  # digits that were named wrongly
MOST_COLOURS = 16  # for which four neighbours can be counted


@dataclass(frozen=True)
class Figure:
    """A figure of the page: a name for its file, the picture as PNG, and a text for those who cannot see it."""

    name: str
    png: bytes
    alt: str

    @property
    def address(self):
        """The picture as a data address."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def report(subject, train_digits, test_digits, path, seed=0):
    """Writes the page about a Drawer or a Classifier as one HTML file, and its figures as PNG beside it.

    train_digits: what a Drawer's linear probe and the counting baselines learn from; test_digits: what all is measured on.
    Returns the figures of the page as {name: number}. Raises CourseError if the page cannot be written there.
    """
    path = Path(path)
    check_place(path, ".html")
    whole = isinstance(subject, Classifier)
    drawer = subject.drawer if whole else subject
    guessed, how, layers = _named(subject, train_digits, test_digits)
    scores = agreement(test_digits.labels, guessed)
    costs = _costs(drawer, train_digits, test_digits)
    figures = {
        "confusion": _confusion(test_digits.labels, guessed),
        "layers": layers,
        "curves": _curves(drawer.curves, costs, drawer.config.objective),
        "finetuning": _finetuning(subject.curves) if whole else None,
        "completions": _completions(drawer, test_digits, seed),
        "wrong": _wrong(test_digits, guessed),
    }
    figures = {name: Figure(name, *each) for name, each in figures.items() if each}
    for figure in figures.values():
        with writing(path.with_name(f"{path.stem}-{figure.name}.png")) as part:
            part.write_bytes(figure.png)
    classes = metrics.report_by_class(test_digits.labels, guessed)
    told = dict(drawer=drawer, test=test_digits, train=train_digits, how=how, classes=classes)
    told |= dict(scores=scores, costs=costs, figures=figures, when=f"{date.today():%d %B %Y}")
    with writing(path) as part:
        part.write_text(_page(told), encoding="utf-8", newline="\n")
    return scores | costs


def _page(told):
    return render(TEMPLATE, told | {"grey": plots.GREY}, three=lambda number: f"{number:.3f}")


def _named(subject, train_digits, test_digits):
    """Labels (n,) for the test digits, in words who guessed them, and the figure of all layers where a probe did.

    A Drawer's probe is of the layer that is best on the last fifth of what it learns from: the test set has no say in it.
    """
    if isinstance(subject, Classifier):
        return subject.guess(test_digits.images), "a fine-tuned Image GPT", None
    cut = max(2, len(train_digits) * 4 // 5)
    layer = probe(subject, train_digits[:cut], train_digits[cut:]).best
    found = probe(subject, train_digits, test_digits)
    how = f"a linear probe of layer {layer}, learned from {found.learned_from:,} labels"
    return found.guessed[found.layers.index(layer)], how, _layers(found)


def _costs(drawer, train_digits, test_digits):
    """Bits a pixel of the test digits, beside counting; empty for the BERT objective, which gives pictures no probability."""
    if drawer.config.objective != "ar":
        return {}
    lesson, exam = (drawer.tokens(each.images) for each in (train_digits, test_digits))
    V, side = len(drawer.palette), drawer.model.side
    small = [reduced(each.images, side) for each in (test_digits, train_digits)]
    costs = {
        "bits a pixel": metrics.bits_per_pixel(drawer.model, exam)[0],
        "each colour's share": metrics.unigram(lesson, exam, V),
        "each colour's share at each place": metrics.per_position(lesson, exam, V),
    }
    if V <= MOST_COLOURS:
        costs["four neighbours"] = metrics.neighbours(lesson, exam, V, side)
    return costs | {"the palette's own cost": drawer.palette.cost(*small)}


# --- figures: (PNG, a text for those who cannot see it), None where there is nothing to show


def _confusion(labels, guessed):
    counts = metrics.confusion(labels, guessed)
    figure = drawn.confusion_matrix(counts, "What was called what")
    return _png(figure), drawn.read_aloud(counts)


def _layers(probed):
    shares = list(probed.accuracy.values())
    figure = drawn.accuracy_by_layer(
        {"probe": shares}, "What a linear probe reads off each layer", {"raw pixels": probed.raw}
    )
    told = ", ".join(f"{layer}: {share:.3f}" for layer, share in probed.accuracy.items())
    return _png(figure), f"Accuracy by layer: {told}; raw pixels {probed.raw:.3f}."


def _curves(curves, costs, objective):
    if not curves:
        return None
    lines = {name: (curves["step"], curves[name]) for name in ("train", "dev")}
    counted = {name: costs[name] for name in ("four neighbours",) if name in costs}
    unit = "bits a pixel" if objective == "ar" else "bits a masked pixel"
    figure = plots.lines(lines, "What a pixel costs, as it learns", "step", unit, counted)
    first, last, step = curves["dev"][0], curves["dev"][-1], curves["step"][-1]
    return _png(figure), f"{unit} of dev, from {first:.3f} to {last:.3f} after {step} steps."


def _finetuning(curves):
    if not curves:
        return None
    shares = [1 - share for share in curves["dev"]]
    figure = plots.lines(
        {"dev": (curves["step"], shares)}, "Fine-tuning", "step", "share of digits named rightly"
    )
    return _png(figure), f"Accuracy on dev while fine-tuned, from {shares[0]:.3f} to {shares[-1]:.3f}."  # fmt: skip


def _completions(drawer, digits, seed):
    if drawer.config.objective != "ar":
        return None
    shown = digits[:SHOWN]
    known, tokens = known_pixels("upper", drawer.model.side), drawer.tokens(shown.images)
    generator = torch.Generator(drawer.device).manual_seed(seed)
    found = fill(drawer, tokens.repeat_interleave(ENDINGS, 0), known, generator=generator)
    endings = drawer.images(found).unflatten(0, (len(shown), ENDINGS))  # (n, K, side, side)
    figure = drawn.completions(drawer.images(tokens), known, endings, "One half, many endings")
    names = ", ".join(map(str, shown.labels.tolist()))
    return _png(figure), f"Upper halves of the digits {names}, each completed {ENDINGS} times."


def _wrong(digits, guessed):
    wrong = (guessed != digits.labels).nonzero()[:MOST, 0]
    if not len(wrong):
        return None
    names = [f"{digits.labels[i]} → {guessed[i]}" for i in wrong]
    figure = drawn.sheet(digits.images[wrong], "Named wrongly: what it is → what it was called", names)  # fmt: skip
    return _png(figure), f"{len(wrong)} digits that were named wrongly: {', '.join(names)}."


def _png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=1.5 * PIXELS_PER_INCH, facecolor="white")
    return buffer.getvalue()
