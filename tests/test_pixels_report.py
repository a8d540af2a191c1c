"""The page about an Image GPT: its numbers are true, nothing on it acts, and it is told early what cannot be written."""

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image
from small_drawers import HERE, TINY, digits, trained

from coursekit import pixels
from coursekit.errors import CourseError
from coursekit.metrics import images as metrics
from coursekit.pixels.config import FineTuning

HACK = "<script>window.hacked=1</script>\"'> {{ 7 * 7 }} $\\frac$ ‮🐕"
COLUMNS = ("precision", "recall", "f1")
MODULE = sys.modules["coursekit.pixels.report"]  # its function has the same name


@pytest.fixture(scope="module", autouse=True)
def few():
    """Smaller sheets, which matplotlib draws sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODULE, "SHOWN", 2)
        patch.setattr(MODULE, "ENDINGS", 2)
        patch.setattr(MODULE, "MOST", 5)
        yield


@pytest.fixture(scope="module")
def drawer():
    return trained(replace(TINY, name=HACK))


@pytest.fixture(scope="module")
def pages(drawer, tmp_path_factory):
    """{what: (folder, its numbers)}"""
    tuning = FineTuning(steps=4, save_every=2, batch_size=8)
    classifier = pixels.finetune(drawer, digits(), digits("dev", 20), HERE, None, tuning, quiet=True)  # fmt: skip
    bert = trained(replace(TINY, objective="bert"))
    found = {}
    for name, subject in {"drawer": drawer, "classifier": classifier, "bert": bert}.items():
        folder = tmp_path_factory.mktemp(name)
        told = pixels.report(subject, digits(count=100), digits("test", 50), folder / "r.html")
        found[name] = folder, told, subject
    return found


class Seen(HTMLParser):
    """Every tag of a page with its attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def page(folder):
    return Seen((folder / "r.html").read_text(encoding="utf-8"))


FIGURES = {
    "drawer": {"confusion", "layers", "curves", "completions", "wrong"},
    "classifier": {"confusion", "curves", "finetuning", "completions", "wrong"},
    "bert": {"confusion", "layers", "curves", "wrong"},
}


@pytest.mark.parametrize("what", FIGURES)
def test_the_figures_lie_beside_the_page_and_on_it(pages, what):
    folder, _, _ = pages[what]
    assert {path.name for path in folder.glob("*.png")} == {f"r-{name}.png" for name in FIGURES[what]}  # fmt: skip
    for path in folder.glob("*.png"):
        Image.open(path).verify()
    shown = [own for tag, own in page(folder).tags if tag == "img"]
    assert len(shown) == len(FIGURES[what])
    assert all(own["alt"].strip() and own["src"].startswith("data:image/png") for own in shown)


@pytest.mark.parametrize("what", FIGURES)
def test_nothing_on_the_page_acts_or_asks_for_anything(pages, what):
    seen = page(pages[what][0])
    assert not {tag for tag, _ in seen.tags} & {"script", "link", "iframe", "object", "form"}
    assert not [own for _, own in seen.tags if any(name.startswith("on") for name in own)]
    policy = next(own["content"] for tag, own in seen.tags if own.get("http-equiv"))
    assert "default-src 'none'" in policy
    if what != "bert":
        assert f"Image GPT: {HACK}" in seen.text


def test_the_numbers_of_a_classifier_are_true(pages):
    folder, told, classifier = pages["classifier"]
    exam, text = digits("test", 50), page(folder).text
    guessed = classifier.guess(exam.images)
    assert told["accuracy"] == pytest.approx((guessed == exam.labels).float().mean().item())
    assert told["kappa"] == pytest.approx(metrics.kappa(exam.labels, guessed))
    for digit, row in enumerate(metrics.report_by_class(exam.labels, guessed)):
        cells = "".join(f"{getattr(row, name):.3f}" for name in COLUMNS)
        assert f"{digit}{cells}{row.count}" in text
    assert f"{told['kappa']:.3f}Cohen's kappa" in re.sub(r"\s*\n\s*", "", text)
    assert "fine-tuned Image GPT" in text


def test_the_numbers_of_a_drawer_are_true(pages, drawer):
    folder, told, _ = pages["drawer"]
    exam, lesson = digits("test", 50), digits(count=100)
    tokens, known = drawer.tokens(exam.images), drawer.tokens(lesson.images)
    assert told["bits a pixel"] == pytest.approx(metrics.bits_per_pixel(drawer.model, tokens)[0])
    assert told["four neighbours"] == pytest.approx(metrics.neighbours(known, tokens, 3, 7))
    assert 0 < told["the palette's own cost"] < 8
    probed = pixels.probe(drawer, lesson, exam)
    layer = int(re.search(r"linear probe of layer (\d)", page(folder).text)[1])
    assert told["accuracy"] == pytest.approx(probed.accuracy[layer])


def test_a_bert_model_has_no_bits_and_draws_nothing(pages):
    folder, told, _ = pages["bert"]
    assert set(told) == {"accuracy", "kappa"}
    assert "What does a pixel cost" not in page(folder).text


def test_without_curves_and_with_digits_of_one_class(drawer, tmp_path):
    bare = pixels.Drawer(drawer.model, drawer.palette, drawer.config)
    exam = digits("test", 100)
    told = pixels.report(bare, digits(), exam[exam.labels == 4], tmp_path / "r.html")
    assert not (tmp_path / "r-curves.png").exists() and "accuracy" in told


def test_where_nothing_can_be_written(drawer, tmp_path, monkeypatch):
    monkeypatch.setattr(MODULE, "_named", None)  # nothing is computed before
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").touch()
    for place in ("r.txt", "folder.html", "file/r.html"):
        with pytest.raises(CourseError, match="Nothing can be written to"):
            pixels.report(drawer, digits(), digits("test", 10), tmp_path / place)
