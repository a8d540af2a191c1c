"""The commands about Image GPT from end to end at size smoke, and bad input, which is one sentence and code 2."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from small_drawers import HERE, TINY, digits

from coursekit import pixels
from coursekit.cli import main
from coursekit.datasets.augment import load_saved
from coursekit.datasets.digits import load_digits


def run(capsys, *arguments):
    code = main([str(each) for each in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def last(out):
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs and pictures: a drawer, a BERT model, a photo, and files that are neither."""
    folder = tmp_path_factory.mktemp("pixels")
    for name, config in {"ar": TINY, "bert": TINY.changed(objective="bert")}.items():
        pixels.train_image_gpt(config, digits(), digits("dev", 20), HERE, folder / name, quiet=True)
    Image.new("RGB", (300, 200), "teal").save(folder / "photo.jpg")
    Image.fromarray(digits("test", 1).images[0].numpy()).save(folder / "digit.png")
    Image.new("L", (30, 30), 255).save(folder / "all.png")
    (folder / "text.png").write_text("no picture")
    (folder / "text.pt").write_text("no checkpoint")
    (folder / "bad.yaml").write_text("side: 99")
    (folder / "tuning.yaml").write_text("steps: 4\nsave_every: 2\nbatch_size: 8\n")
    return folder


def test_train(folder, capsys):
    out = folder / "trained"
    command = ("train", "image-gpt", "--size", "smoke", "--objective", "ar", "--out", out, "--json")
    code, said, _ = run(capsys, *command)
    found = last(said)
    assert code == 0 and "step 40" in said and 0 < found["scores"]["bits_per_pixel"] < 2
    assert found["settings"]["name"] == "smoke" and found["peak_memory_mb"] > 0
    assert pixels.load_drawer(out).config.objective == "ar"
    again = last(run(capsys, *command)[1])
    assert again["scores"] == found["scores"]


def test_train_with_a_configuration_of_one_s_own(folder, capsys):
    TINY.save(folder / "mine.yaml")
    command = ("train", "image-gpt", "--size", "smoke", "--config", folder / "mine.yaml")
    more = ("--objective", "bert", "--steps", 4, "--seed", 3, "--json")
    settings = last(run(capsys, *command, *more)[1])["settings"]
    assert settings["steps"] == 4 and settings["objective"] == "bert" and settings["seed"] == 3
    assert settings["side"] == 7 and settings["name"] == "tiny"


def test_complete(folder, capsys):
    sheet = folder / "sheets" / "grid.png"
    code, said, _ = run(
        capsys, "complete", folder / "photo.jpg", folder / "digit.png", "--checkpoint", folder / "ar",
        "--samples", 3, "--out", sheet,
    )  # fmt: skip
    assert code == 0 and f"written: {sheet}" in said
    assert "photo.jpg: Its 300 × 200 pixels became 28 × 28." in said
    assert "digit.png: It is light on dark" in said and "not yet seen" not in said
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("part", [("--keep", "left"), ("--mask", "half.png")], ids=str)
def test_complete_says_that_it_draws_blindly(folder, part, capsys):
    half = Image.new("L", (28, 28))
    half.paste(255, (14, 0, 28, 28))
    half.save(folder / "half.png")
    part = (part[0], folder / part[1] if part[0] == "--mask" else part[1])
    command = ("complete", folder / "digit.png", "--checkpoint", folder / "ar", "--samples", 2)
    one = run(capsys, *command, *part, "--out", folder / "a.png")
    many = run(capsys, *command, *part, "--candidates", 3, "--out", folder / "b.png")
    assert one[0] == many[0] == 0
    assert "not yet seen" in one[1] and "not yet seen" not in many[1]


def test_the_same_seed_draws_the_same(folder, capsys):
    command = ("complete", folder / "digit.png", "--checkpoint", folder / "ar", "--out")
    for name, seed in (("1.png", 0), ("2.png", 0), ("3.png", 1)):
        assert run(capsys, *command, folder / name, "--seed", seed)[0] == 0
    one, two, three = (np.asarray(Image.open(folder / f"{n}.png")) for n in (1, 2, 3))
    assert np.array_equal(one, two) and not np.array_equal(one, three)


def test_probe(folder, capsys):
    code, said, _ = run(capsys, "probe", folder / "ar", "--labels", 100, "--json")
    found = last(said)
    assert code == 0 and set(found["layers"]) == {"0", "1", "2"} and found["labels"] == 100
    assert "raw pixels" in said and found["raw pixels"] > 0.4
    assert set(last(run(capsys, "probe", folder / "ar", "--labels", 50, "--layer", 1, "--json")[1])["layers"]) == {"1"}  # fmt: skip


def test_finetune_report_and_probe_of_a_classifier(folder, capsys):
    out = folder / "tuned"
    command = ("finetune", folder / "ar", "--labels", 40, "--config")
    code, said, _ = run(capsys, *command, folder / "tuning.yaml", "--generative", 0.5, "--out", out, "--json")  # fmt: skip
    found = last(said)
    assert code == 0 and set(found["scores"]) == {"accuracy", "kappa"}
    assert found["settings"]["generative"] == 0.5 and found["settings"]["steps"] == 4
    code, said, _ = run(capsys, "report", out, "--labels", 50, "--out", folder / "page" / "r.html")
    assert code == 0 and "kappa" in said and (folder / "page" / "r-confusion.png").is_file()
    assert run(capsys, "probe", out, "--labels", 40)[0] == 0


def test_finetune_from_scratch_begins_elsewhere(folder, capsys):
    command = ("finetune", folder / "ar", "--labels", 20, "--config", folder / "tuning.yaml")  # fmt: skip
    assert run(capsys, *command, "--scratch", "--out", folder / "scratch")[0] == 0
    assert run(capsys, *command, "--out", folder / "begun")[0] == 0
    one, other = (pixels.load(folder / name) for name in ("scratch", "begun"))
    assert one.drawer.fingerprint() != other.drawer.fingerprint()
    assert run(capsys, *command, "--out", folder / "scratch")[0] == 2


def test_an_interrupted_command_says_so(folder, capsys, monkeypatch):
    def pull(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(pixels.runs._Lesson, "loss", pull)
    code, _, err = run(capsys, "train", "image-gpt", "--size", "smoke")
    assert code == 130 and "interrupted" in err and err.count("\n") == 1


BAD = {
    "train image-gpt --size smoke --config bad.yaml": "side is a whole number from 1 to 28, not 99",
    "train image-gpt --size smoke --config gone": "no configuration 'gone'",
    "train image-gpt --size smoke --steps 7": "no multiple of save_every",
    "train image-gpt --size smoke --root .": "MNIST",
    "train image-gpt --size smoke --seed -1": "seed",
    "train image-gpt --size smoke --data scenes": "--data is an option of captioners",
    "train image-gpt --size smoke --epochs 3": "--epochs is an option of captioners",
    "train image-gpt --size smoke --image-as state": "--image-as is an option of captioners",
    "train show-and-tell --size smoke --config laptop": "--config is an option of image-gpt",
    "train prefix --size smoke --objective bert": "--objective is an option of image-gpt",
    "train prefix --size smoke --save-every 5": "--save-every is an option of image-gpt",
    "complete text.png --checkpoint ar": "not a png or jpg",
    "complete gone.png --checkpoint ar": "no image",
    "complete digit.png --checkpoint text.pt": "not a checkpoint",
    "complete digit.png --checkpoint gone": "no checkpoint",
    "complete digit.png --checkpoint bert": "BERT objective",
    "complete digit.png --checkpoint ar --samples 0": "samples",
    "complete digit.png --checkpoint ar --temperature -1": "temperature",
    "complete digit.png --checkpoint ar --mask all.png": "nothing is left to draw",
    "complete digit.png --checkpoint ar --mask photo.jpg": "make it square",
    "complete digit.png --checkpoint ar --out grid.txt": "ends in .png",
    "complete digit.png --checkpoint ar --out digit.png/a.png": "no folder",
    "probe text.pt": "not a checkpoint",
    "probe ar --labels 0": "0 digits",
    "probe ar --labels 40 --layer 9": "layer",
    "probe ar --labels 1": "two classes",
    "finetune ar --steps 7": "no multiple of save_every",
    "finetune ar --learning-rate 0": "learning_rate",
    "finetune ar --config bad.yaml": "no field 'side'",
    "finetune ar --labels 9999999": "9999999 digits",
    "report gone.pt --out r.html": "no checkpoint",
    "report text.pt --out r.html": "not a checkpoint",
    "report ar --out r.txt": "ends in .html",
    "report a9_nothing --out r.html": "a9_nothing",
    "report a9_nothing --labels 5 --out r.html": "belong to the report about an Image GPT",
}


@pytest.mark.parametrize("line, words", BAD.items(), ids=list(BAD))
def test_bad_input_is_one_sentence_and_code_2(folder, line, words, tmp_path, monkeypatch, capsys):
    for name in ("ar", "bert"):
        (tmp_path / name).mkdir()
        shutil.copy(folder / name / "image_gpt.pt", tmp_path / name)
    for path in folder.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code, _, err = run(capsys, *line.split())
    assert code == 2 and words in err and err.startswith("coursekit: "), err
    assert err.count("\n") == 1 and "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


def test_options_that_exclude_each_other(folder, capsys):
    with pytest.raises(SystemExit):
        run(capsys, "complete", "a.png", "--keep", "left", "--mask", "b.png")
    assert "not allowed with" in capsys.readouterr().err


def test_augmented_digits_are_saved_and_learned_from(folder, capsys):
    TINY.save(folder / "mine.yaml")
    more = folder / "more.npz"
    how = ("--rotate", 10, "--flip", "--invert", "--times", 2, "--count", 30, "--seed", 1)
    code, said, _ = run(capsys, "data", "augment", *how, "--out", more)
    assert code == 0 and "60 digits" in said and "flip" in said
    found = load_saved(more)
    assert len(found) == 60 and torch.equal(
        found.labels[:30], load_digits("train", count=30).labels
    )
    command = ("train", "image-gpt", "--size", "smoke", "--config", folder / "mine.yaml")
    told = [
        last(run(capsys, *command, "--steps", 4, *own, "--json")[1])["scores"]
        for own in (("--digits", more), ())
    ]
    assert told[0] != told[1]
    code, _, said = run(capsys, *command, "--digits", folder / "all.png")
    assert code == 2 and "all.png does not hold digits" in said
    code, _, said = run(capsys, "data", "augment", "--out", folder / "more.zip")
    assert code == 2 and "ends in .npz" in said
    code, _, said = run(capsys, "train", "show-and-tell", "--digits", more)
    assert code == 2 and "option of image-gpt" in said
