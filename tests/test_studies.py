"""Cross-validation: every picture examined once, folds kept, a broken-off study goes on."""

import json

import pytest

from coursekit import recipes, studies
from coursekit.cli import main
from coursekit.errors import CourseError

TINY = dict(size="smoke", folds=3, count=24, epochs=1)


@pytest.mark.parametrize("count, folds", [(10, 2), (11, 3), (5, 5), (100, 7)])
def test_folds_share_out_every_picture_once(count, folds):
    parts = studies.folds_of(count, folds, seed=1)
    assert sorted(sum(parts, [])) == list(range(count)) and len(parts) == folds
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts == studies.folds_of(count, folds, seed=1) != studies.folds_of(count, folds, seed=2)


@pytest.mark.parametrize("folds", [0, 1, 6, -2])
def test_folds_that_cannot_be(folds):
    with pytest.raises(CourseError, match="2 to 5 folds"):
        studies.folds_of(5, folds)


def test_two_folds_leave_none_to_learn_from():
    with pytest.raises(CourseError, match="3 folds or more"):
        studies.crossvalidate("show-and-tell", size="smoke", folds=2)


def test_a_summary():
    told = studies.summary([0.1, 0.2, 0.3])
    assert told["mean"] == pytest.approx(0.2) and told["sd"] == pytest.approx(0.1)
    assert told["half_width"] == pytest.approx(4.30 * 0.1 / 3**0.5, rel=1e-3)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    return out, studies.crossvalidate("show-and-tell", out=out, **TINY)


def test_a_study_scores_every_fold(study):
    _, found = study
    assert {len(values) for values in found.scores.values()} == {3}
    assert {"Bleu_4", "CIDEr", "fact_recall"} <= set(found.scores)
    assert "Bleu_4" in str(found) and str(found).count("\n") == len(found.scores)


def test_nothing_is_trained_twice(study, monkeypatch):
    out, found = study
    trained = []
    learn = recipes.train_on
    monkeypatch.setattr(recipes, "train_on", lambda *a, **k: trained.append(1) or learn(*a, **k))
    assert studies.crossvalidate("show-and-tell", out=out, **TINY) == found and not trained
    (out / "fold_2" / "scores.json").unlink()
    assert studies.crossvalidate("show-and-tell", out=out, **TINY) == found and len(trained) == 1


def test_the_exam_is_not_among_what_was_learned(monkeypatch):
    seen = []

    def learn(recipe, train_set, dev_set, *_, **__):
        seen.append([set(train_set.names), set(dev_set.names)])
        return None, None

    def score(_, exam):
        seen[-1].append(set(exam.names))
        return [], {"Bleu_4": 0.5}

    monkeypatch.setattr(recipes, "train_on", learn)
    monkeypatch.setattr(recipes, "trained_eye", lambda *_: None)
    monkeypatch.setattr(recipes, "evaluate", score)
    studies.crossvalidate("show-and-tell", **TINY)
    assert all(not (a & b or a & c or b & c) for a, b, c in seen)
    assert all(len(a | b | c) == 24 for a, b, c in seen)
    assert len(set.union(*(c for _, _, c in seen))) == 24


@pytest.mark.parametrize("harm", ["another study", "not json"])
def test_a_folder_of_something_else(study, harm, tmp_path):
    kept = tmp_path / "fold_1" / "scores.json"
    kept.parent.mkdir()
    kept.write_text("{" if harm == "not json" else json.dumps({"about": {}, "scores": {}}))
    before = kept.read_text()
    with pytest.raises(CourseError, match="another study"):
        studies.crossvalidate("show-and-tell", out=tmp_path, **TINY)
    assert kept.read_text() == before


def test_the_command(study, capsys):
    line = "crossvalidate show-and-tell --size smoke --folds 3 --count 24 --epochs 1 --json --out"
    assert main([*line.split(), str(study[0])]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(told["Bleu_4"]) == {"mean", "sd", "half_width", "folds"}
    assert main("crossvalidate show-and-tell --size smoke --folds 1".split()) == 2
    assert "3 folds or more, not 1" in capsys.readouterr().err
