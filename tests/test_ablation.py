"""Factorial studies: what is kept, what is refused, what a choice is worth; and the ablation of prefix captioners."""

import csv
import json
import random
import re
from pathlib import Path

import pytest
import torch

from coursekit import recipes, studies
from coursekit.cli import main
from coursekit.cli import studies as cli_studies
from coursekit.errors import CourseError
from coursekit.plots.studies import dots
from coursekit.studies import ablation, report

FACTORS = {"source": ("pooled", "grid"), "mapper": ("linear", "mlp"), "tuning": ("frozen", "tuned")}
SCORES = {
    "test": {"a": studies.Score("A", "0 to 1"), "b": studies.Score("B", "0 to 10")},
    "unseen": {"c": studies.Score("C", "0 to 1")},
}
WORTH = {"pooled": 0.1, "grid": 0.3, "linear": 0.0, "mlp": 0.0, "frozen": 0.0, "tuned": 0.05}


def made_up(levels, seed, folder):
    """Scores whose truth is WORTH, with a noise of each seed and a smaller one of each cell."""
    if folder:
        folder.mkdir(parents=True)
        (folder / "training.pt").write_text("large")
    rng = random.Random(f"{sorted(levels.items())} {seed}")
    value = sum(WORTH[level] for level in levels.values()) + 0.1 * seed + rng.gauss(0, 0.005)
    return {"a": value, "b": 10 * value, "c": -value, "learn": 7, "seconds": 60.0}


def made_study(cell=made_up, **changes):
    settings = dict(name="toy", factors=FACTORS, seeds=(0, 1, 2), cell=cell, scores=SCORES)
    return studies.Study(**settings | dict(costs={"learn": "learn"}) | changes)


@pytest.fixture
def counted():
    """A cell function that counts its calls."""

    def cell(levels, seed, folder):
        cell.calls.append((*levels.values(), seed))
        return made_up(levels, seed, folder)

    cell.calls = []
    return cell


def test_every_combination_once_a_seed_and_one_seed_after_the_other(counted):
    found = studies.run(made_study(counted))
    assert len(set(counted.calls)) == len(counted.calls) == len(found.rows) == 24
    assert [seed for *_, seed in counted.calls] == sorted(seed for *_, seed in counted.calls)
    assert counted.calls[0] == ("pooled", "linear", "frozen", 0)


@pytest.mark.parametrize(
    "changes",
    [
        dict(seeds=()),
        dict(seeds=(0, 0)),
        dict(seeds=(-1,)),
        dict(factors={"source": ()}),
        dict(factors={"source": ("grid", "grid")}),
    ],
)
def test_a_study_without_sense(changes):
    with pytest.raises(CourseError, match="none twice|0 or more"):
        made_study(**changes)


def test_the_cell_of_a_study(capsys):
    found = studies.run(made_study())
    levels = {"source": "grid", "mapper": "mlp", "tuning": "tuned"}
    values = [row.values["a"] for row in found.rows if row.levels == levels]
    assert len(values) == 3 and found.cell(levels, "a") == studies.summary(values)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "cell 1 of 24: pooled, linear, frozen, seed 0"
    assert told[12] == "cell 13 of 24: grid, linear, frozen, seed 1, about 12 min left"
    assert told[-1].endswith("about 60 s left")


def test_what_a_choice_is_worth():
    found = studies.run(made_study())
    source, mapper, tuning = found.effects("a")
    assert (source["level"], source["against"], source["cells"]) == ("grid", "pooled", 4)
    assert source["mean"] == pytest.approx(0.2, abs=0.01) and source["above"] == 4
    assert tuning["mean"] == pytest.approx(0.05, abs=0.01)
    assert abs(mapper["mean"]) < mapper["half_width"]
    # Seeds lie 0.1 apart, and pairs of one seed do not feel it
    assert source["half_width"] < 0.03 < found.cell(found.rows[0].levels, "a")["half_width"]


def test_an_effect_by_hand():
    """Two seeds, two mappers: the differences of a seed are averaged before any spread is taken."""
    values = {("p", "l", 0): 1, ("g", "l", 0): 2, ("p", "m", 0): 1, ("g", "m", 0): 4}
    values |= {("p", "l", 1): 5, ("g", "l", 1): 9, ("p", "m", 1): 0, ("g", "m", 1): -2}
    rows = [
        studies.Row({"source": source, "mapper": mapper}, seed, {"a": value})
        for (source, mapper, seed), value in values.items()
    ]
    told = studies.effect(rows, "source", "g", "p", "a")
    assert (
        told["seeds"] == [2, 1] and told["mean"] == 1.5 and (told["cells"], told["above"]) == (2, 2)
    )
    assert told["half_width"] == pytest.approx(12.71 * 0.5**0.5 / 2**0.5)
    del rows[-1]  # a cell without a partner does not count
    assert studies.effect(rows, "source", "g", "p", "a")["seeds"] == [2, 4]


def test_one_seed_has_no_interval():
    assert studies.summary([0.5]) == {"mean": 0.5, "sd": None, "half_width": None}
    found = studies.run(made_study(seeds=(3,)))
    assert "±" not in report.text(found) and "cannot tell" in report.finding(found, "a")


def test_nothing_is_trained_twice(counted, tmp_path):
    first = studies.run(made_study(counted), tmp_path)
    assert studies.run(made_study(counted), tmp_path).rows == first.rows
    assert len(counted.calls) == 24
    (tmp_path / "cells" / "grid-mlp-tuned-seed1.json").unlink()
    assert studies.run(made_study(counted), tmp_path).rows == first.rows
    assert counted.calls[24:] == [("grid", "mlp", "tuned", 1)]


def test_a_killed_study_goes_on(tmp_path, capsys):
    def killed(levels, seed, folder):
        if (levels["source"], seed) == ("grid", 0):
            raise KeyboardInterrupt
        return made_up(levels, seed, folder)

    with pytest.raises(KeyboardInterrupt):
        studies.run(made_study(killed), tmp_path)
    # What a process leaves that is killed while it writes
    (tmp_path / "cells" / ".1.part.grid-linear-frozen-seed0.json").write_text('{"abo')
    capsys.readouterr()
    found = studies.run(made_study(), tmp_path)
    assert found.rows == studies.run(made_study()).rows
    assert capsys.readouterr().out.startswith(
        "cell 5 of 24: grid, linear, frozen, seed 0, about 20 min left"
    )


def test_levels_and_seeds_may_be_added(counted, tmp_path):
    studies.run(made_study(seeds=(0,), factors=FACTORS | {"mapper": ("linear",)}), tmp_path)
    studies.run(made_study(counted), tmp_path)
    assert len(counted.calls) == 20


@pytest.mark.parametrize("harm", ["about", "study", "name", "scores", "not json", "a list"])
def test_a_folder_of_another_study(harm, tmp_path):
    studies.run(made_study(about={"pictures": (1, 2)}), tmp_path)
    again = dict(about={"pictures": (1, 2)})
    path = tmp_path / "cells" / "grid-mlp-tuned-seed2.json"
    if harm == "about":
        again = dict(about={"pictures": (1, 3)})
    elif harm == "study":
        again |= dict(name="other")
    elif harm == "name":
        path.rename(path.with_name("grid-mlp-tuned-seed7.json"))
    elif harm == "scores":
        path.write_text(path.read_text().replace('"c"', '"d"'))
    else:
        path.write_text({"not json": "{", "a list": "[]"}[harm])
    with pytest.raises(CourseError, match="holds another study"):
        studies.run(made_study(lambda *_: pytest.fail("trained"), **again), tmp_path)


def test_a_failing_cell_is_named(tmp_path):
    def bad(levels, seed, folder):
        raise CourseError("The loss is no longer a finite number.")

    with pytest.raises(CourseError, match="^pooled, linear, frozen, seed 0: The loss is no longer"):
        studies.run(made_study(bad), tmp_path)


@pytest.mark.parametrize("keep", [False, True])
def test_runs_are_deleted_unless_kept(keep, tmp_path):
    studies.run(made_study(), tmp_path, keep)
    assert len(list(tmp_path.glob("runs/*/training.pt"))) == (24 if keep else 0)


def test_a_level_may_be_a_path(tmp_path):
    study = made_study(
        lambda levels, *_: {"a": 1, "b": 1, "c": 1, "learn": 1, "seconds": 1},
        factors={"language": ("small", "../lm/gpt2")},
    )
    studies.run(study, tmp_path)
    assert {path.parent for path in tmp_path.rglob("*.json")} == {tmp_path / "cells"}
    assert studies.run(study, tmp_path).rows[1].levels == {"language": "../lm/gpt2"}


@pytest.mark.parametrize("x, y", [(("a/b", "a_b"), ("c",)), (("a-b", "a"), ("c", "b-c"))])
def test_levels_that_read_alike_are_several_cells(x, y, counted, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        for level in (*x, *y):
            patch.setitem(WORTH, level, 0)
        studies.run(made_study(counted, factors={"x": x, "y": y}, seeds=(0,)), tmp_path)
    assert len(counted.calls) == len(x) * len(y) == len(list(tmp_path.glob("cells/*.json")))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy")
    found = studies.run(made_study(), out)
    studies.write(found, out)
    return found, out


def test_the_text(written):
    text = report.text(written[0])
    assert "A (test) changes most with grid instead of pooled: +0.2" in text
    cells = next(line for line in text.splitlines() if line.startswith("grid    mlp     tuned"))
    assert len(re.findall(r"\d\.\d{3} ± \d\.\d{3} \(\d\.\d{3}\)", cells)) == 2
    assert "source: grid − pooled" in text and text.count("every cell") == 2


def test_what_is_not_sure_is_not_told():
    study = made_study(factors={"mapper": ("linear", "mlp")})
    assert (
        report.finding(studies.run(study), "a")
        == "No choice changes A (test) further than seeds do"
    )
    study = made_study(factors={"mapper": ("linear",)})
    found = studies.run(study)
    assert report.finding(found, "a") == "A (test) of a single cell"
    assert "what one choice" not in report.text(found)


def test_the_csv_files(written):
    found, out = written
    tables = {
        name: list(csv.DictReader((out / f"{name}.csv").open()))
        for name in ("cells", "summary", "effects")
    }
    assert [len(tables[name]) for name in tables] == [24, 8 * 4, 3 * 3]
    assert float(tables["cells"][5]["a"]) == found.rows[5].values["a"]
    row = tables["summary"][0]
    told = found.cell(found.rows[0].levels, "a")
    assert float(row["low"]) == pytest.approx(told["mean"] - told["half_width"])
    assert {row["score"] for row in tables["effects"]} == {"a", "b", "c"}


def test_the_report_and_its_figures(written):
    _, out = written
    text = (out / "report.md").read_text()
    pictures = re.findall(r"!\[(.+?)\]\((.+?\.png)\)", text)
    assert [name for _, name in pictures] == [
        "cells-test.png", "effects-test.png", "cells-unseen.png", "effects-unseen.png",
    ]  # fmt: skip
    assert all((out / name).read_bytes()[:4] == b"\x89PNG" for _, name in pictures)
    assert "highest 0.4" in pictures[0][0] and "with grid, mlp, tuned" in pictures[0][0]
    assert "A: grid − pooled +0.2" in pictures[1][0]
    assert "| grid | mlp | tuned | 0.4" in text


def test_dots_with_and_without_intervals():
    told = {
        panel: {row: {name: (0.5, half) for name in "xyz"} for row in ("one", "two")}
        for panel, half in {"p": 0.1, "q": None, "r": 0.2}.items()
    }
    figure = dots(told, "Title", "score (0 to 1)", "mean")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["p", "q", "r"]
    assert all(axes.get_xlabel() == "score (0 to 1)" for axes in shown[1:])
    markers = [line.get_marker() for line in shown[0].lines if line.get_linestyle() == "None"]
    assert len({marker for marker in markers if marker in "osD"}) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["x", "y", "z"]


def test_levels_may_be_given_in_one_word_or_several():
    wanted = {"source": ["pooled", "grid"], "tuning": ["lora"]}
    assert cli_studies._levels(["source=pooled, grid", "tuning=lora"]) == wanted
    assert cli_studies._levels(["source=pooled", "tuning=lora", "source=grid"]) == wanted


TINY = "ablate prefix --size smoke --levels source=pooled,grid mapper=mlp,transformer tuning=frozen"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("prefix")
    assert main([*TINY.split(), "--seeds", "0", "1", "--keep", "--out", str(out)]) == 0
    return out


def cells_of(out):
    return {path.stem: json.loads(path.read_text()) for path in Path(out).glob("cells/*.json")}


def test_prefix_captioners_are_trained_and_scored(study):
    cells = cells_of(study)
    assert len(cells) == 8
    for cell in cells.values():
        values = cell["values"]
        assert {"test_Bleu_4", "test_CIDEr", "unseen_fact_recall"} <= values.keys()
        assert values["places"] == (16 if cell["levels"] == {"source": "grid", "mapper": "mlp", "tuning": "frozen"} else 8)  # fmt: skip
    assert (study / "report.md").is_file() and (study / "cells-unseen.png").is_file()


def test_a_seed_shares_eye_and_language_and_leaves_them_as_they_were(study):
    saved = {
        path.parent.name: recipes.load_captioner(path).state_dict()
        for path in sorted(study.glob("runs/*/captioner.pt"))
    }
    kept = {
        seed: torch.load(study / f"seed_{seed}" / part / "training.pt", weights_only=True)
        for seed, part in ((0, "language"), (1, "language"))
    }
    for name, state in saved.items():
        best = kept[int(name[-1])]["best"]
        for key, value in best.items():
            assert torch.equal(state[f"decoder.language.{key}"], value), (name, key)
    assert not torch.equal(*(kept[seed]["best"]["tokens.weight"] for seed in (0, 1)))


def test_the_command_goes_on_and_tells(study, monkeypatch, capsys):
    monkeypatch.setattr(recipes, "train_on", lambda *_, **__: pytest.fail("trained again"))
    assert main([*TINY.split(), "--seeds", "1", "0", "--json", "--out", str(study)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(told["cells"]) == 4 and len(told["rows"]) == 8
    assert {each["factor"] for each in told["effects"]["test_Bleu_4"]} == {"source", "mapper"}


def test_every_source_has_its_encoder_and_places_enough():
    study = ablation.prefix_study(size="smoke", weights=None)
    made = {
        (source, mapper): study.cell._recipe(dict(source=source, mapper=mapper, tuning="lora"), 5)
        for source in ablation.LEVELS["source"]
        for mapper in ("linear", "transformer")
    }
    lengths = {source: made[source, "linear"].length for source, _ in made}
    assert lengths == {"pooled": 8, "grid": 1, "layers": 3, "parts": 2, "objects": 1}
    assert {recipe.length for (_, mapper), recipe in made.items() if mapper != "linear"} == {8}
    encoders = {recipe.encoder: recipe.weights for recipe in made.values()}
    assert encoders == {"small_cnn": None, "fasterrcnn_resnet50_fpn": None}
    assert {(recipe.tuning, recipe.train.seed) for recipe in made.values()} == {("lora", 5)}
    with pytest.raises(CourseError, match="give it as a level"):
        ablation.prefix_study(size="smoke", tuning="lora")


@pytest.mark.parametrize(
    "words, message",
    [
        ("--levels source", "takes FACTOR=LEVEL"),
        ("--levels sources=grid", "no factor 'sources': choose source, mapper, tuning"),
        ("--levels source=grids", "no source 'grids': choose of pooled, grid"),
        ("--levels mapper=", "one mapper or more"),
        ("--levels mapper=mlp,mlp", "none twice"),
        ("--seeds -1", "0 or more"),
        ("--epochs 0", "epochs must be above 0"),
        ("--pictures 0", "1 or more"),
        ("--data coco", "coco"),
        ("--length 0", "1 or more"),
    ],
)
def test_wrong_options(words, message, tmp_path, capsys):
    line = f"ablate prefix --size smoke {words} --out {tmp_path}"
    assert main(line.split()) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("cells/*"))


def test_a_cell_that_cannot_be_is_told_before_the_first_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recipes, "train_on", lambda *_, **__: pytest.fail("trained"))
    monkeypatch.setattr(recipes, "trained_language", lambda *_, **__: pytest.fail("trained"))
    line = f"{TINY} --length 97 --out {tmp_path / 'run'}"
    assert main(line.split()) == 2
    assert "A prefix of 99 and a caption" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", ["--epochs 2", "--pictures 23", "--length 4"])
def test_another_ablation_in_the_same_folder(study, words, capsys):
    assert main([*TINY.split(), *words.split(), "--out", str(study)]) == 2
    assert "other settings or pictures" in capsys.readouterr().err


def test_an_interrupted_cell_resumes_inside(tmp_path, monkeypatch):
    """Killed after its first epoch, a cell goes on with the second."""
    from coursekit import training

    settings = dict(
        levels={"source": ["pooled"], "mapper": ["mlp"], "tuning": ["tuned"]}, seeds=[0]
    )
    whole = studies.run(ablation.prefix_study(size="smoke", epochs=2, **settings))
    save, one_epoch, epochs = training._Run.save, training._Run.one_epoch, []

    def killed(run):
        save(run)
        if "runs" in str(run.out):
            raise KeyboardInterrupt

    monkeypatch.setattr(training._Run, "save", killed)
    study = ablation.prefix_study(size="smoke", epochs=2, out=tmp_path, **settings)
    with pytest.raises(KeyboardInterrupt):
        studies.run(study, tmp_path)
    monkeypatch.setattr(training._Run, "save", save)
    monkeypatch.setattr(
        training._Run, "one_epoch", lambda run, n: epochs.append(n) or one_epoch(run, n)
    )
    study = ablation.prefix_study(size="smoke", epochs=2, out=tmp_path, **settings)
    found = studies.run(study, tmp_path)
    assert epochs == [1]
    without = [row.values | {"seconds": 0} for row in (*found.rows, *whole.rows)]
    assert without[0] == without[1]
