"""Captioners from end to end, at a size that takes seconds."""

import json
from dataclasses import asdict

import pytest
import torch

from coursekit import datasets, recipes
from coursekit.cli import main
from coursekit.errors import CourseError
from coursekit.recipes import FILE, RECIPES, Captioner, load_captioner, recipe_for
from coursekit.sizes import SIZES


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
    return recipes.WordTokenizer.train([c for cs in data.captions for c in cs])


@pytest.mark.parametrize("fine_tune", [False, True])
def test_an_epoch_of_batches(fine_tune):
    data = datasets.load("scenes", "train", count=20)
    recipe = recipe_for("scenes", "smoke", fine_tune=fine_tune, batch_size=8)
    lesson = recipes.Pictures(Captioner(recipe, _words(data)), data)
    pairs = [pair for batch in lesson.batches(5) for pair in batch]
    assert len(pairs) == len(set(pairs)) == 20 * (2 if fine_tune else 5)
    assert lesson.batches(5) == lesson.batches(5) != lesson.batches(6)


def test_a_torchvision_encoder_is_named_not_stored(tmp_path):
    torch.manual_seed(0)
    data = datasets.load("scenes", "train", count=4)
    recipe = recipe_for("scenes", "smoke", encoder="resnet18", weights=None, image_size=32)
    Captioner(recipe, _words(data)).save(tmp_path / FILE)
    saved = torch.load(tmp_path / FILE, weights_only=True)["weights"]
    assert saved and not any(name.startswith("encoder.") for name in saved)
    assert load_captioner(tmp_path).decoder.head.weight.equal(saved["decoder.head.weight"])


def test_every_data_set_has_every_size():
    assert {size for _, size in RECIPES} == set(SIZES)
    assert len(RECIPES) == len(SIZES) * len(datasets.NAMES)


def test_recipe_changes():
    recipe = recipe_for("scenes", "cpu", seed=7, epochs=1, hidden_dim=9)
    assert recipe.train.epochs == 1 and recipe.train.seed == 7 and recipe.hidden_dim == 9
    with pytest.raises(CourseError, match="no setting 'colour'"):
        recipe_for("scenes", "cpu", colour=1)
    with pytest.raises(CourseError, match="no recipe"):
        recipe_for("poems", "cpu")
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
        (("evaluate", trained[0] / "training.pt"), "holds no show-and-tell captioner"),
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
