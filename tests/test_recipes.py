"""Captioners from end to end, at a size that takes seconds."""

import json
from dataclasses import asdict
from itertools import product

import pytest
import torch

from coursekit import captioner, datasets, recipes
from coursekit.cli import main
from coursekit.cli import models as cli_models
from coursekit.errors import CourseError
from coursekit.recipes import FILE, MODELS, PHOTOS, RECIPES, Captioner, load_captioner, recipe_for
from coursekit.sizes import SIZES
from coursekit.text import WordTokenizer


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    captioner, history = recipes.show_and_tell("scenes", "smoke", out=out, quiet=True)
    return out, captioner, history


def test_a_run_learns_and_leaves_a_captioner(trained):
    out, captioner, history = trained
    assert history.train_loss[-1] < history.train_loss[0]
    images = datasets.load("scenes", "test", count=3).images(range(3))
    assert load_captioner(out).caption(images) == captioner.caption(images)
    assert load_captioner(out / FILE).recipe == captioner.recipe


def test_scores_have_the_published_names(trained):
    _, captioner, _ = trained
    captions, scores = recipes.evaluate(
        captioner, datasets.load("scenes", "dev", count=8), meteor=False
    )
    assert len(captions) == 8
    assert set(scores) == {
        "Bleu_1",
        "Bleu_2",
        "Bleu_3",
        "Bleu_4",
        "ROUGE_L",
        "CIDEr",
        "fact_precision",
        "fact_recall",
    }


@pytest.mark.parametrize("fine_tune", [False, True])
@pytest.mark.parametrize("image_as", ["input", "state"])
def test_every_way_trains(fine_tune, image_as):
    captioner, history = recipes.show_and_tell(
        "scenes", "smoke", quiet=True, fine_tune=fine_tune, image_as=image_as, pictures=32, epochs=1
    )
    assert len(history.valid_loss) == 1
    moved = [p.requires_grad for p in captioner.encoder.parameters()]
    assert all(moved) if fine_tune else not any(moved)


def test_a_captioner_that_attends(tmp_path):
    found, _ = recipes.train_captioner(
        "show-attend-and-tell", "scenes", "smoke", out=tmp_path, quiet=True, pictures=32, epochs=1
    )
    data = datasets.load("scenes", "dev", count=3)
    memory = found.memory(data.images(range(3)))
    again = load_captioner(tmp_path)
    captions, scores = again.decode(memory, "greedy")
    assert captions == found.caption_memory(memory, beam=1) and len(scores) == 3
    weights = again.look(memory, captions)
    assert weights.shape == (3, max(len(c.split()) for c in captions) + 1, 16)
    assert torch.allclose(weights.sum(-1), torch.ones(weights.shape[:2]), atol=1e-5)


def test_show_and_tell_does_not_look(trained):
    assert trained[1].look(torch.zeros(1, 16, 256), ["a cat"]) is None


@pytest.mark.parametrize("way", captioner.WAYS)
def test_every_way_to_decode(trained, way):
    memory = torch.randn(3, 16, 256, generator=torch.Generator().manual_seed(0)).relu()
    captions, scores = trained[1].decode(memory, way)
    assert len(captions) == len(scores) == 3 and max(scores) < 0
    assert (captions, scores) == trained[1].decode(memory, way)


def test_an_unknown_way_to_decode(trained):
    with pytest.raises(CourseError, match="no way 'luck'"):
        trained[1].decode(torch.zeros(1, 16, 256), "luck")


def test_unfreezing_moves_the_encoder_at_the_end(tmp_path):
    small = dict(encoder="resnet18", weights=None, image_size=32, pictures=16, epochs=1)
    frozen, last = (
        recipes.train_captioner("show-and-tell", "scenes", "smoke", out=tmp_path / name, quiet=True,
                                encoder_train=None, unfreeze=epochs, **small)
        for name, epochs in (("frozen", 0), ("unfrozen", 1))
    )  # fmt: skip
    before, after = (c.encoder.backbone.conv1.weight for c, _ in (frozen, last))
    assert not before.requires_grad and after.requires_grad and not before.equal(after)
    assert load_captioner(tmp_path / "unfrozen").encoder.backbone.conv1.weight.equal(after)


def test_fine_tuning_moves_the_encoder_and_freezing_does_not():
    for fine_tune in (True, False):
        torch.manual_seed(0)
        data = datasets.load("scenes", "train", count=16)
        captioner = Captioner(recipe_for("scenes", "smoke", fine_tune=fine_tune), _words(data))
        lesson = recipes.Pictures(captioner, data)
        lesson.loss(captioner, lesson.batches(0)[0]).backward()
        gradients = [p.grad is not None for p in captioner.encoder.parameters()]
        assert all(gradients) == any(gradients) == fine_tune


def _words(data):
    return WordTokenizer.train([c for cs in data.captions for c in cs])


@pytest.mark.parametrize("fine_tune", [False, True])
def test_an_epoch_of_batches(fine_tune):
    data = datasets.load("scenes", "train", count=20)
    recipe = recipe_for("scenes", "smoke", fine_tune=fine_tune, batch_size=8)
    lesson = recipes.Pictures(Captioner(recipe, _words(data)), data)
    pairs = [pair for batch in lesson.batches(5) for pair in batch]
    assert len(pairs) == len(set(pairs)) == 20 * (2 if fine_tune else 5)
    assert lesson.batches(5) == lesson.batches(5) != lesson.batches(6)


def test_an_encoder_is_stored_where_its_name_does_not_give_it(tmp_path):
    data = datasets.load("scenes", "train", count=4)
    changes = dict(encoder="resnet18", weights=None, image_size=32, encoder_train=None, project=9)
    made = Captioner(recipe_for("scenes", "smoke", **changes), _words(data))
    made.save(tmp_path / FILE)
    again = load_captioner(tmp_path)
    assert all(a.equal(b) for a, b in zip(made.parameters(), again.parameters(), strict=True))
    made.encoder.named = True  # as with weights that can be had by their name
    made.save(tmp_path / FILE)
    saved = torch.load(tmp_path / FILE, weights_only=True)["weights"]
    stored = {name for name in saved if name.startswith("encoder.")}
    assert stored == {"encoder.projection.weight", "encoder.projection.bias"}


@pytest.mark.parametrize(
    "changes, places",
    [
        (dict(embeddings="parts"), 5),
        (dict(embeddings="layers"), 3),
        (dict(embeddings="parts", project=9), 5),
        (dict(encoder="fasterrcnn_resnet50_fpn", embeddings="objects", weights=None), 10),
    ],
)
def test_a_captioner_on_every_kind_of_embeddings(changes, places):
    if "encoder" in changes:
        changes |= dict(image_size=64)
    found, _ = recipes.train_captioner(
        "show-attend-and-tell", "scenes", "smoke", quiet=True, pictures=16, epochs=1, **changes
    )
    memory = found.memory(datasets.load("scenes", "dev", count=2).images(range(2)))
    assert memory.shape[:2] == (2, places) and len(found.caption_memory(memory)) == 2


@pytest.mark.parametrize(
    "change", [dict(attention="hard"), dict(balance=0.5), dict(pictures=15), dict(embed_dim=16)]
)
def test_a_folder_of_another_run_is_refused(tmp_path, change):
    usual = dict(pictures=16, epochs=1, encoder_train=None)
    line = ("show-attend-and-tell", "scenes", "smoke", 0, None, tmp_path, True)
    recipes.train_captioner(*line, **usual)
    kept = (tmp_path / FILE).read_bytes()
    with pytest.raises(CourseError, match="other settings or pictures"):
        recipes.train_captioner(*line, **usual | change)
    assert (tmp_path / FILE).read_bytes() == kept
    recipes.train_captioner(*line, **usual, beam=1)


def test_a_picture_with_one_caption_trains_an_encoder(monkeypatch):
    data = datasets.load("scenes", "train", count=6)
    data.captions = [cs[:1] for cs in data.captions]
    recipe = recipe_for("scenes", "smoke", fine_tune=True, batch_size=4)
    lesson = recipes.Pictures(Captioner(recipe, _words(data)), data)
    assert sorted(sum(lesson.batches(0), [])) == [(i, 0) for i in range(6)]


def test_a_file_without_all_its_weights(trained, tmp_path):
    saved = torch.load(trained[0] / FILE, weights_only=True)
    del saved["weights"]["decoder.head.weight"]
    torch.save(saved, tmp_path / FILE)
    with pytest.raises(CourseError, match="lacks weights"):
        load_captioner(tmp_path)
    saved["recipe"]["taste"] = "sweet"
    torch.save(saved, tmp_path / FILE)
    with pytest.raises(CourseError, match="does not fit"):
        load_captioner(tmp_path)


def test_photo_captioners_from_before_there_were_grids(tmp_path):
    data = datasets.load("scenes", "train", count=4)
    changes = dict(encoder="resnet18", weights=None, image_size=64, encoder_train=None)
    Captioner(recipe_for("scenes", "smoke", embeddings="pooled", **changes), _words(data)).save(
        tmp_path / FILE
    )
    saved = torch.load(tmp_path / FILE, weights_only=True)
    del saved["recipe"]["embeddings"]
    torch.save(saved, tmp_path / FILE)
    assert load_captioner(tmp_path).memory(data.images(range(2))).shape == (2, 1, 512)


@pytest.mark.parametrize("change", [dict(seed=-1), dict(unfreeze=-1)])
def test_negative_seeds_and_epochs(change):
    with pytest.raises(CourseError, match="0 or more"):
        recipe_for("scenes", "smoke", **change)


def test_a_linear_layer_learns_behind_a_frozen_encoder():
    changes = dict(encoder="resnet18", weights=None, image_size=32, encoder_train=None, project=9)
    found, _ = recipes.train_captioner(
        "show-attend-and-tell", "scenes", "smoke", quiet=True, pictures=16, epochs=1, **changes
    )
    moved = {name for name, p in found.encoder.named_parameters() if p.requires_grad}
    assert moved == {"projection.weight", "projection.bias"}
    data = datasets.load("scenes", "dev", count=3)
    memory = recipes.features_of(found, data)
    assert torch.allclose(memory, found.memory(data.images(range(3))), atol=2e-2)  # kept as float16
    assert memory.shape[-1] == 9


def test_every_data_set_has_every_size():
    assert {*RECIPES, *PHOTOS} == set(product(datasets.NAMES, SIZES))


def test_the_command_line_knows_every_model():
    assert set(cli_models.MODELS) == set(captioner.MODELS) == set(MODELS)


def test_recipe_changes():
    recipe = recipe_for("scenes", "cpu", seed=7, epochs=1, hidden_dim=9)
    assert recipe.train.epochs == 1 and recipe.train.seed == 7 and recipe.hidden_dim == 9
    with pytest.raises(CourseError, match="no setting 'colour'"):
        recipe_for("scenes", "cpu", colour=1)
    with pytest.raises(CourseError, match="no recipe"):
        recipe_for("poems", "cpu")
    with pytest.raises(
        CourseError, match="'length' is a setting of prefix: show-and-tell does not"
    ):
        recipe_for("scenes", "cpu", length=5)
    with pytest.raises(CourseError, match="'attention' is a setting of show-attend-and-tell"):
        recipe_for("scenes", "cpu", model="prefix", attention="hard")
    json.dumps(asdict(recipe))


# The command line


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_evaluate_ends_with_json(trained, capsys):
    code, out, _ = run(capsys, "evaluate", trained[0], "--count", 6, "--beam", 2, "--json")
    found = json.loads(out.splitlines()[-1])
    assert code == 0
    assert {"scores", "seconds", "peak_memory_mb", "seed", "settings"} <= set(found)
    assert found["settings"]["beam"] == 2 and 0 <= found["scores"]["fact_precision"] <= 1


def test_caption_names_each_picture(trained, capsys, tmp_path):
    from PIL import Image

    Image.new("RGB", (300, 200), "red").save(tmp_path / "a.png")
    Image.new("L", (10, 10)).save(tmp_path / "b.jpg")
    code, out, _ = run(capsys, "caption", trained[0], tmp_path / "a.png", tmp_path / "b.jpg")
    assert code == 0 and [line.split(":")[0][-5:] for line in out.splitlines()[-2:]] == [
        "a.png",
        "b.jpg",
    ]


def test_doctor(capsys):
    code, out, _ = run(capsys, "doctor")
    assert code == 0 and "torch" in out and "device" in out and "scenes: drawn by code" in out


def bad(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def test_bad_input_is_one_sentence_and_code_2(trained, capsys, tmp_path):
    checkpoint = (trained[0] / FILE).read_bytes()
    cases = [
        (("train", "show-and-tell", "--size", "huge"), "no size 'huge'"),
        (("train", "show-and-tell", "--size", "gpu"), "needs a GPU"),
        (("train", "show-and-tell", "--size", "smoke", "--data", "poems"), "poems"),
        (
            ("train", "show-and-tell", "--size", "smoke", "--data", "flickr8k", "--root", tmp_path),
            "flickr8k",
        ),
        (("train", "show-and-tell", "--size", "smoke", "--epochs", 0), "epochs"),
        (("evaluate", tmp_path / "none.pt"), "no checkpoint"),
        (("evaluate", bad(tmp_path, "cut.pt", checkpoint[:900])), "cut short"),
        (("evaluate", bad(tmp_path, "text.pt", b"hello")), "cut short"),
        (("evaluate", trained[0] / "training.pt"), "holds no captioner"),
        (("evaluate", trained[0], "--split", "exam"), "no split 'exam'"),
        (("evaluate", trained[0], "--count", 0), "count"),
        (("evaluate", trained[0], "--count", 4, "--beam", 0), "at least one hypothesis"),
        (("caption", trained[0], tmp_path / "no.png"), "no image"),
        (("caption", trained[0], bad(tmp_path, "fake.png", b"not a picture")), "not an image"),
        (("release", "a9_nothing"), "a9_nothing"),
        (("grade", "a9_nothing"), "a9_nothing"),
    ]
    for arguments, words in cases:
        if "gpu" in arguments and torch.cuda.is_available():
            continue
        before = sorted(tmp_path.rglob("*"))
        code, _, err = run(
            capsys, *arguments, *(("--out", tmp_path / "o") if arguments[0] == "train" else ())
        )
        assert code == 2, arguments
        assert words in err and err.startswith("coursekit: ") and err.count("\n") == 1, (
            arguments,
            err,
        )
        assert "Traceback" not in err
        assert sorted(tmp_path.rglob("*")) == before, arguments
