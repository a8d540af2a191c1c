"""What the loop can beside a half cosine: a line, Adam's betas, and averaged weights."""

from dataclasses import asdict, replace

import pytest
import torch
from test_training import SETTINGS, batches, loss, model, run, weights

from coursekit import training
from coursekit.averages import RunningAverage
from coursekit.checkpoints import claim, load_checkpoint
from coursekit.errors import CourseError
from coursekit.training import CHECKPOINT, TrainSettings, train

AVERAGED = replace(SETTINGS, average=0.5)


def rates(settings, monkeypatch):
    """The learning rate of every step."""
    seen, set_rate = [], training._Run.set_rate

    def look(self):
        set_rate(self)
        seen.append(self.optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(training._Run, "set_rate", look)
    run(settings=settings)
    return torch.tensor(seen) / settings.learning_rate


def test_a_line_falls_by_equal_steps_to_zero(monkeypatch):
    found = rates(replace(SETTINGS, decay="linear", warmup=0.25), monkeypatch)
    assert len(found) == 32
    torch.testing.assert_close(found[:8], torch.arange(1, 9) / 8)
    torch.testing.assert_close(found[8:], 1 - torch.arange(24) / 24)


def test_a_half_cosine_is_what_comes_without_being_asked_for(monkeypatch):
    found = rates(SETTINGS, monkeypatch)
    gone = (torch.arange(32) - 3).clamp_min(0) / 29
    torch.testing.assert_close(found[3:], (0.5 + 0.5 * torch.cos(torch.pi * gone))[3:])


def test_betas_reach_adam(tmp_path):
    run(settings=replace(SETTINGS, betas=(0.8, 0.95)), out=tmp_path)
    saved = load_checkpoint(tmp_path / CHECKPOINT)["optimizer"]
    assert saved["param_groups"][0]["betas"] == (0.8, 0.95)


@pytest.mark.parametrize(
    "wrong",
    [dict(decay="stairs"), dict(betas=(0.9, 1.0)), dict(betas=(0.9,)), dict(average=1.5)],
    ids=str,
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(CourseError, match="decay|betas|average"):
        TrainSettings(**wrong)


def test_an_average_over_all_is_the_mean():
    average = RunningAverage(1.0)
    for step, value in enumerate([1.0, 2.0, 6.0], start=1):
        average.move({"w": torch.tensor([value]), "n": torch.tensor(step)}, step)
    assert average.weights["w"].item() == pytest.approx(3.0) and average.weights["n"] == 3


def test_a_short_average_forgets():
    average = RunningAverage(0.1)
    for step in range(1, 101):
        average.move({"w": torch.tensor([0.0 if step < 60 else 1.0])}, step)
    assert average.weights["w"].item() > 0.97


def test_averaged_weights_are_looked_at_and_kept():
    seen = []
    net, _ = run(settings=AVERAGED, validate=lambda net: seen.append(weights(net).clone()) or -len(seen))  # fmt: skip
    plain, _ = run()
    assert torch.equal(weights(net), seen[-1])
    assert not torch.equal(weights(net), weights(plain))
    unseen, _ = run(settings=AVERAGED)
    assert torch.equal(weights(net), weights(unseen)), "looking must not change the training"


def test_training_itself_goes_on_from_the_last_weights():
    """The losses of training are those without an average: it looks on and moves nothing."""
    _, averaged = run(settings=AVERAGED, validate=lambda net: 1.0)
    assert averaged.train_loss == run()[1].train_loss


def test_an_interrupted_average_ends_as_if_it_had_not_been(tmp_path):
    straight, _ = run(settings=AVERAGED)

    def pull(net):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calls = iter([lambda net: "", pull])
        run(settings=AVERAGED, out=tmp_path, sample=lambda net: next(calls)(net))
    resumed, _ = run(settings=AVERAGED, out=tmp_path)
    assert torch.equal(weights(straight), weights(resumed))


def test_a_run_of_before_these_settings_goes_on(tmp_path):
    straight, _ = run(out=tmp_path)
    saved = load_checkpoint(tmp_path / CHECKPOINT)
    for name in ("decay", "betas", "average"):
        del saved["settings"][name]
    del saved["average"]
    torch.save(saved, tmp_path / CHECKPOINT)
    again, _ = run(out=tmp_path)
    assert torch.equal(weights(straight), weights(again))
    with pytest.raises(CourseError, match="other settings"):
        train(model(), loss, batches, replace(SETTINGS, decay="linear"), out=tmp_path, quiet=True)
    assert asdict(SETTINGS)["decay"] == "cosine"


def test_a_folder_is_one_run_s(tmp_path):
    claim(None, "anything")
    claim(tmp_path / "run", "one")
    claim(tmp_path / "run", "one")
    with pytest.raises(CourseError, match="other settings or pictures"):
        claim(tmp_path / "run", "another")
