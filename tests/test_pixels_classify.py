"""Probes and fine-tuning: what a model knows of digits, and a classifier made of it."""

import random
from dataclasses import replace

import pytest
import torch
from small_drawers import HERE, TINY, digits, trained

from coursekit import pixels
from coursekit.datasets.augment import Augmentation
from coursekit.errors import CourseError
from coursekit.models.image_gpt import ar_loss
from coursekit.pixels import classify
from coursekit.pixels.config import FineTuning

TUNING = FineTuning(steps=6, save_every=2, batch_size=8, learning_rate=0.01)


@pytest.fixture(scope="module")
def drawers():
    return {kind: trained(replace(TINY, objective=kind)) for kind in ("ar", "bert")}


@pytest.fixture(scope="module")
def tuned(drawers, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned")
    return out, finetuned(drawers["ar"], out=out)


def finetuned(drawer, out=None, tuning=TUNING, count=40):
    return pixels.finetune(drawer, digits(count=count), digits("dev", 20), HERE, out, tuning, quiet=True)  # fmt: skip


@pytest.mark.parametrize("kind", ["ar", "bert"])
def test_features_of_a_layer_are_those_of_all(drawers, kind):
    images = digits(count=12).images
    every = pixels.features_of(drawers[kind], images, batch=5)
    assert [each.shape for each in every] == [(12, 8)] * 3
    one = pixels.features_of(drawers[kind], images, layer=1)
    torch.testing.assert_close(one, every[1])
    with pytest.raises(CourseError, match="layer"):
        pixels.features_of(drawers[kind], images, layer=3)


def test_a_bert_model_looks_at_the_last_pixel_too(drawers):
    images = digits(count=1).images.repeat(2, 1, 1)
    images[1, -4:, -4:] = 255
    for kind, alike in (("ar", True), ("bert", False)):
        one, other = pixels.features_of(drawers[kind], images, layer=2)
        assert torch.allclose(one, other, atol=1e-6) == alike


def test_a_probe(drawers):
    found = pixels.probe(drawers["ar"], digits(count=200), digits("test", 100))
    assert found.layers == [0, 1, 2] and found.guessed.shape == (3, 100)
    assert found.learned_from == 200 and found.raw > 0.5
    assert all(found.accuracy[found.best] >= share for share in found.accuracy.values())
    assert "raw pixels" in str(found) and "layer 2" in str(found)
    alone = pixels.probe(drawers["ar"], digits(count=200), digits("test", 100), layer=1)
    assert torch.equal(alone.guessed[0], found.guessed[1]) and alone.layers == [1]


def test_a_probe_does_not_look_at_the_names_of_the_test(drawers):
    exam = digits("test", 50)
    mixed = type(exam)(exam.images, exam.labels.flip(0), exam.name)
    one, other = (pixels.probe(drawers["ar"], digits(), each) for each in (exam, mixed))
    assert torch.equal(one.guessed, other.guessed) and one.accuracy != other.accuracy


def test_a_probe_of_one_class_is_refused(drawers):
    same = digits(count=40)
    with pytest.raises(CourseError, match="two classes"):
        pixels.probe(drawers["ar"], same[same.labels == 3], digits("test", 20))


def test_the_joint_loss_is_the_sum_of_both(drawers):
    torch.manual_seed(0)
    found = classify.Classifier(drawers["ar"].copy())
    batch = digits(count=6)
    tokens = found.drawer.tokens(batch.images)
    names = torch.nn.functional.cross_entropy(found(tokens), batch.labels)
    torch.testing.assert_close(found.loss(tokens, batch.labels, 0), names)
    both = 0.5 * ar_loss(found.model, tokens) + names
    torch.testing.assert_close(found.loss(tokens, batch.labels, 0.5), both)


@pytest.mark.parametrize("kind", ["ar", "bert"])
def test_a_classifier_reads_the_features_of_the_probe(drawers, kind):
    found = classify.Classifier(drawers[kind].copy()).eval()
    tokens = found.drawer.tokens(digits(count=4).images)
    features = pixels.features_of(drawers[kind], digits(count=4).images, layer=2)
    torch.testing.assert_close(found(tokens), found.head(features), atol=1e-5, rtol=1e-4)
    found.begin(digits(count=40))
    torch.testing.assert_close(
        found(tokens), found.head((features - found.mean) / found.deviation), atol=1e-3, rtol=1e-3
    )


def test_the_first_head_is_the_probe(drawers):
    known, exam = digits(count=200), digits("test", 100)
    found = classify.Classifier(drawers["ar"].copy())
    found.begin(known)
    wanted = pixels.probe(drawers["ar"], known, exam, layer=2).guessed[0]
    assert torch.equal(found.guess(exam.images), wanted)


@pytest.mark.parametrize("kept", [(3, 5), (0, 2, 4, 6, 8), (7,)], ids=str)
def test_a_head_begun_with_few_classes_keeps_to_them(drawers, kept):
    known = digits(count=200)
    few = known[torch.isin(known.labels, torch.tensor(kept))]
    found = classify.Classifier(drawers["ar"].copy())
    found.begin(few)
    assert torch.isfinite(found.probabilities(few.images)).all()
    if len(kept) > 1:
        wanted = pixels.probe(drawers["ar"], few, few, layer=2).guessed[0]
        assert set(wanted.tolist()) == set(kept) and torch.equal(found.guess(few.images), wanted)


def test_a_random_head_is_the_same_for_the_same_seed(drawers):
    fresh = drawers["ar"].untrained(0)
    tuning = replace(TUNING, begin="random")
    one, other = (finetuned(fresh, tuning=each) for each in (tuning, tuning))
    images = digits("test", 20).images
    assert torch.equal(one.guess(images), other.guess(images))
    assert not torch.equal(one.probabilities(images), finetuned(fresh).probabilities(images))


def test_fine_tuning_leaves_the_drawer_alone(drawers, tuned):
    before = drawers["ar"].fingerprint()
    finetuned(drawers["ar"])
    assert drawers["ar"].fingerprint() == before != tuned[1].drawer.fingerprint()


def test_a_classifier_loads_as_it_was(tuned):
    out, found = tuned
    images = digits("test", 30).images
    for again in (pixels.load(out), pixels.load_classifier(out / "classifier.pt")):
        assert torch.equal(again.probabilities(images), found.probabilities(images))
        assert again.tuning == TUNING and again.curves == found.curves
    assert found.curves["step"] == [2, 4, 6]
    assert torch.allclose(found.probabilities(images).sum(1), torch.ones(30))


@pytest.mark.parametrize("tuning", [TUNING, replace(TUNING, augmentation=Augmentation(crop=1)), replace(TUNING, generative=0.0)], ids=str)  # fmt: skip
def test_an_interrupted_tuning_ends_as_if_it_had_not_been(drawers, tuning, tmp_path, monkeypatch):
    straight, wrong = finetuned(drawers["ar"], tuning=tuning), classify._Lesson.wrong

    def pull(lesson, classifier):
        if lesson.stretch == 1:
            raise KeyboardInterrupt
        return wrong(lesson, classifier)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(classify._Lesson, "wrong", pull)
        finetuned(drawers["ar"], tmp_path, tuning)
    resumed = finetuned(drawers["ar"], tmp_path, tuning)
    images = digits("test", 30).images
    assert torch.equal(resumed.probabilities(images), straight.probabilities(images))


def test_another_tuning_in_the_folder_is_refused(drawers, tuned):
    for other in (
        dict(tuning=replace(TUNING, generative=0.5)),
        dict(count=30),
        dict(drawer=drawers["ar"].untrained(3)),
    ):
        with pytest.raises(CourseError, match="other settings"):
            finetuned(**{"drawer": drawers["ar"], "out": tuned[0]} | other)


def test_names_can_be_learned():
    """Two kinds of pictures that differ in most pixels are told apart after a few steps, bert or ar."""
    data = digits(count=60)
    images = torch.where(data.labels[:, None, None] % 2 == 0, data.images, 255 - data.images)
    data = type(data)(images, data.labels % 2, "two kinds")
    for kind in ("ar", "bert"):
        drawer = pixels.train_image_gpt(replace(TINY, objective=kind), data, data, HERE, quiet=True)
        tuning = replace(TUNING, steps=60, save_every=20, learning_rate=0.02)
        found = pixels.finetune(drawer, data, data, HERE, tuning=tuning, quiet=True)
        assert pixels.agreement(data.labels, found.guess(data.images))["accuracy"] > 0.95


def test_agreement():
    labels = torch.tensor([0, 1, 2, 2])
    assert pixels.agreement(labels, labels) == {"accuracy": 1.0, "kappa": 1.0}
    assert pixels.agreement(labels[2:], labels[2:]) == {"accuracy": 1.0}
    random.seed(0)
    chance = torch.tensor([random.randrange(3) for _ in range(3000)])
    assert abs(pixels.agreement(torch.arange(3000) % 3, chance)["kappa"]) < 0.05


def test_what_holds_no_classifier_is_one_sentence(tuned, tmp_path):
    saved = torch.load(tuned[0] / "classifier.pt", weights_only=True)
    other = {
        "drawer.pt": saved["drawer"],
        "bare.pt": {"model": classify.KIND},
        "wide.pt": saved | {"head": {"weight": torch.zeros(10, 99), "bias": torch.zeros(10)}},
        "fast.pt": saved | {"tuning": {"steps": "many"}},
        "moon.pt": saved | {"tuning": {"moon": 1}},
        "empty.pt": saved | {"drawer": {}},
    }
    for name, content in other.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(CourseError, match=name.replace(".", r"\.")):
            pixels.load_classifier(tmp_path / name)
    assert pixels.is_checkpoint(tuned[0]) and pixels.is_checkpoint("some.pt")
    assert not pixels.is_checkpoint(tmp_path) and not pixels.is_checkpoint("a1_show_and_tell")
    with pytest.raises(CourseError, match="no checkpoint"):
        pixels.load(tmp_path)
