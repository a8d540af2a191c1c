"""Training an Image GPT: it learns, leaves checkpoints, goes on where it stopped, and is loaded with suspicion."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_drawers import HERE, SHIFTED, TINY, digits, trained

from coursekit import pixels
from coursekit.errors import CourseError
from coursekit.metrics.images import bits_per_pixel
from coursekit.palette import Palette
from coursekit.pixels import runs
from coursekit.training import CHECKPOINT

SCRIPT = Path(__file__).resolve().parents[1] / "data_scripts" / "ship_image_gpt.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return out, trained(out=out)


def same(one, other):
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_it_learns(run):
    curves = run[1].curves
    assert curves["step"] == [2, 4, 6] and curves["dev"][-1] < curves["dev"][0] < 1.6
    assert not run[1].model.training


def test_it_leaves_what_one_may_want_later(run):
    out, drawer = run
    assert {"image_gpt.pt", "config.yaml", "palette.npy", "step-000002.pt", "step-000006.pt"} <= {
        path.name for path in out.iterdir()
    }
    assert pixels.Config.load(out / "config.yaml") == drawer.config
    assert torch.equal(Palette.load(out / "palette.npy").colours, drawer.palette.colours)
    assert np.all(np.diff(np.load(out / "palette.npy").astype(int)) > 0)
    assert list((out / "tensorboard").glob("events*"))


def test_a_drawer_loads_as_it_was(run):
    out, drawer = run
    for path in (out, out / "image_gpt.pt"):
        again = pixels.load_drawer(path)
        assert same(drawer, again) and again.config == drawer.config
        assert again.curves == drawer.curves
    first, last = (pixels.load_drawer(out / f"step-00000{n}.pt") for n in (2, 6))
    assert not same(first, last) and first.curves == {}


def test_bits_of_dev_are_those_of_the_metric(run):
    drawer = run[1]
    tokens = drawer.tokens(digits("dev", 20).images)
    best = min(drawer.curves["dev"])
    assert bits_per_pixel(drawer.model, tokens)[0] == pytest.approx(best, abs=1e-4)
    assert pixels.score(drawer, digits("dev", 20))["bits_per_pixel"] == pytest.approx(best, abs=1e-4)  # fmt: skip


def test_tokens_and_back(run):
    drawer = run[1]
    tokens = drawer.tokens(digits().images)
    assert tokens.shape == (40, 49) and tokens.max() < 3
    assert torch.equal(drawer.palette.encode(drawer.images(tokens)), tokens)


@pytest.mark.parametrize("config", [TINY, SHIFTED, replace(TINY, objective="bert")], ids=str)
def test_an_interrupted_run_ends_as_if_it_had_not_been(config, tmp_path, monkeypatch):
    straight, tell = trained(config), runs._Lesson.tell
    stopped = []

    def pull(lesson, model):
        if lesson.stretch == 1 and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        return tell(lesson, model)

    monkeypatch.setattr(runs._Lesson, "tell", pull)
    with pytest.raises(KeyboardInterrupt):
        trained(config, tmp_path)
    assert not (tmp_path / "image_gpt.pt").exists() and (tmp_path / CHECKPOINT).exists()
    assert same(straight, trained(config, tmp_path))
    assert pixels.load_drawer(tmp_path).curves["train"] == straight.curves["train"]


def test_a_complete_run_is_not_trained_again(run, monkeypatch):
    out, drawer = run
    monkeypatch.setattr(runs._Lesson, "loss", None)
    assert same(drawer, trained(out=out))


@pytest.mark.parametrize(
    "config, count",
    [(replace(TINY, steps=8), 40), (replace(TINY, side=14), 40), (TINY, 30), (replace(TINY, seed=1), 40)],
)  # fmt: skip
def test_another_run_in_the_folder_is_refused(run, config, count):
    out, _ = run
    before = (out / "image_gpt.pt").read_bytes()
    with pytest.raises(CourseError, match="other settings"):
        pixels.train_image_gpt(config, digits(count=count), digits("dev", 20), HERE, out, quiet=True)  # fmt: skip
    assert (out / "image_gpt.pt").read_bytes() == before


def test_the_seed_decides():
    assert same(trained(), trained())
    assert not same(trained(), trained(replace(TINY, seed=1)))


def test_bert_learns_and_is_scored():
    drawer = trained(replace(TINY, objective="bert", steps=60, save_every=20))
    assert drawer.curves["dev"][-1] < drawer.curves["dev"][0]
    one, again = (pixels.score(drawer, digits("test", 30)) for _ in range(2))
    assert one == again and list(one) == ["bits_per_masked_pixel"]


def test_augmented_digits_are_others_each_time():
    lesson = runs._Lesson(SHIFTED, digits(), digits("dev", 20), HERE, None)
    seen = []
    lesson._seen = lambda images: seen.append(images) or lesson.drawer.tokens(images)
    for number in (0, 1, 0):
        lesson.loss(lesson.drawer.model, (number, torch.arange(8)))
    assert torch.equal(seen[0], seen[2]) and not torch.equal(seen[0], seen[1])


def test_palettes():
    inverted = replace(SHIFTED, colours=2).changed(augmentation=dict(invert=True))
    images = digits().images
    assert len(pixels.palette_for(TINY, images)) == 3
    assert len(pixels.palette_for(replace(TINY, palette="kmeans"), images)) == 3
    plain, both = (pixels.palette_for(replace(c, colours=2), images) for c in (TINY, inverted))
    assert both.colours[1] > plain.colours[1]  # it has seen pictures that are all but white


def test_digits_of_one_colour():
    """There are fewer colours than asked for, and the model has as many as there are."""
    flat = digits(count=20)
    flat = type(flat)(torch.zeros_like(flat.images), flat.labels, "nothing")
    drawer = pixels.train_image_gpt(TINY, flat, flat, HERE, quiet=True)
    assert len(drawer.palette) == drawer.model.colours == 1


def test_untrained_and_copied(run):
    drawer = run[1]
    fresh = drawer.untrained(1)
    assert not same(fresh, drawer) and fresh.palette is drawer.palette
    assert same(drawer.untrained(1), fresh) and not same(drawer.untrained(2), fresh)
    wide = pixels.Drawer(drawer.model, drawer.palette, drawer.config.changed(spread=0.5))
    assert 0.4 < wide.untrained(1).model.tokens.weight.std() < 0.6
    copied = drawer.copy()
    assert same(copied, drawer) and copied.fingerprint() == drawer.fingerprint()
    with torch.no_grad():
        copied.model.head.weight.add_(1)
    assert copied.fingerprint() != drawer.fingerprint()
    assert "7 × 7 pixels in 3 colours" in str(drawer)


def test_what_holds_no_drawer_is_one_sentence(run, tmp_path):
    out, _ = run
    saved = torch.load(out / "image_gpt.pt", weights_only=True)
    other = {
        "none.pt": None,
        "cut.pt": (out / "image_gpt.pt").read_bytes()[:700],
        "text.pt": b"hello",
        "other.pt": {"model": "show-and-tell"},
        "bare.pt": {"model": "image-gpt"},
        "wide.pt": saved | {"settings": saved["settings"] | {"dim": 16}},
        "grown.pt": saved | {"config": saved["config"] | {"moon": 1}},
        "odd.pt": saved | {"config": saved["config"] | {"side": "wide"}},
        "pale.pt": saved | {"palette": torch.zeros(3)},
        "lists.pt": saved | {"weights": [1, 2]},
        "words.pt": saved | {"settings": "none"},
    }
    for name, content in other.items():
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content:
            torch.save(content, path)
        with pytest.raises(CourseError, match=name.replace(".", r"\.")) as told:
            pixels.load_drawer(path)
        assert "\n" not in str(told.value)
    with pytest.raises(CourseError, match="holds no Image GPT"):
        pixels.load_drawer(out / CHECKPOINT)


def test_the_usual_run(tmp_path):
    drawer = pixels.run(TINY, size="smoke", out=tmp_path, quiet=True, digits=20, dev_digits=10)
    assert drawer.config.digits == 20
    assert pixels.usual(None, "cpu").name == "laptop"
    with pytest.raises(CourseError, match="MNIST"):
        pixels.run(TINY, root=tmp_path / "nowhere", size="smoke")


@pytest.fixture
def maker():
    """data_scripts/ship_image_gpt.py as a module."""
    spec = importlib.util.spec_from_file_location("ship_image_gpt", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_of_the_shipped_weights(maker, tmp_path, monkeypatch):
    """From training to scores, with few digits in the place of MNIST and a folder in the place of the package's."""
    for module in (pixels, runs):
        monkeypatch.setattr(module, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(maker, "official_without_offline", lambda root: digits(count=60))
    monkeypatch.setattr(maker, "load_digits", lambda split, root=None: digits(split, 30))
    TINY.save(tmp_path / "tiny.yaml")
    arguments = ["--root", "none", "--config", str(tmp_path / "tiny.yaml")]
    monkeypatch.setattr(sys, "argv", ["ship", *arguments, "--run", str(tmp_path / "run")])
    maker.main()
    trained_one, shipped = pixels.load_drawer(tmp_path / "run"), pixels.shipped_drawer()
    for one, half in zip(trained_one.model.parameters(), shipped.model.parameters(), strict=True):
        assert torch.equal(one.half().float(), half)
    told = json.loads((tmp_path / "shipped" / "scores.json").read_text())
    assert set(told["offline test"]) == {"digits", "bits a pixel", "unigram", "four neighbours"}
    found = pixels.score(shipped, digits("test", 30))["bits_per_pixel"]
    assert told["offline test"]["bits a pixel"] == pytest.approx(found, abs=1e-4)
    assert Palette.load(tmp_path / "shipped" / "palette.npy").colours.tolist() == shipped.palette.colours.tolist()  # fmt: skip


def test_the_shipped_drawer_is_what_its_scores_say():
    """On the offline test digits, which it has never seen."""
    drawer = pixels.shipped_drawer()
    told = json.loads((pixels.SHIPPED / "scores.json").read_text())["offline test"]
    exam = digits("test", None)
    assert len(exam) == told["digits"]
    found = pixels.score(drawer, exam)["bits_per_pixel"]
    assert found == pytest.approx(told["bits a pixel"], abs=2e-3) and found < told["four neighbours"]  # fmt: skip
    assert Palette.load(pixels.SHIPPED / "palette.npy").colours.tolist() == drawer.palette.colours.tolist()  # fmt: skip
    assert pixels.Config.load(pixels.SHIPPED / "config.yaml") == drawer.config
    assert sum(path.stat().st_size for path in pixels.SHIPPED.iterdir()) < 2_000_000
