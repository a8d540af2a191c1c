"""The loop: learns, resumes to the same weights, stops early, shares work."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from coursekit.errors import CourseError
from coursekit.training import CHECKPOINT, TrainSettings, bucketed_batches, load_checkpoint, train

SETTINGS = TrainSettings(epochs=4, batch_size=8, learning_rate=0.05, seed=3)
X = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
Y = X @ torch.arange(5.0)


def model(width=5):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1))


def loss(net, batch):
    return ((net(X[batch])[:, 0] - Y[batch]) ** 2).mean()


def batches(epoch):
    return torch.randperm(64, generator=torch.Generator().manual_seed(epoch)).split(8)


def run(net=None, settings=SETTINGS, **options):
    net = net or model()
    return net, train(net, loss, batches, settings, quiet=True, **options)


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_it_learns_and_the_seed_decides():
    net, history = run()
    again, _ = run()
    other, _ = run(settings=replace(SETTINGS, seed=4))
    assert history.train_loss[-1] < 0.3 * history.train_loss[0]
    assert torch.equal(weights(net), weights(again)) and not torch.equal(
        weights(net), weights(other)
    )
    assert not net.training


def test_an_interrupted_run_ends_as_if_it_had_not_been(tmp_path):
    straight, whole = run(out=tmp_path / "straight")

    def pull_the_plug(net):
        if len(list((tmp_path / "cut").glob(CHECKPOINT))) and not (tmp_path / "plugged").exists():
            (tmp_path / "plugged").touch()
            raise KeyboardInterrupt
        return ""

    with pytest.raises(KeyboardInterrupt):
        run(out=tmp_path / "cut", sample=pull_the_plug)
    resumed, history = run(out=tmp_path / "cut", sample=pull_the_plug)
    assert len(load_checkpoint(tmp_path / "cut" / CHECKPOINT)["history"]["train_loss"]) == 4
    assert torch.equal(weights(straight), weights(resumed))
    assert history.train_loss == whole.train_loss
    assert history.seconds == sorted(history.seconds)


def test_a_complete_run_returns_at_once(tmp_path):
    first, _ = run(out=tmp_path)

    def never(net):
        raise AssertionError("trained again")

    again, history = run(out=tmp_path, sample=never)
    assert torch.equal(weights(first), weights(again)) and len(history.train_loss) == 4


def test_curves_are_written(tmp_path):
    run(out=tmp_path)
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_another_run_in_the_folder_is_refused(tmp_path):
    run(out=tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(CourseError, match="other settings"):
        run(settings=replace(SETTINGS, learning_rate=1.0), out=tmp_path)
    with pytest.raises(CourseError, match="another model"):
        run(nn.Linear(5, 1), out=tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_damaged_checkpoint_is_one_sentence(tmp_path):
    run(out=tmp_path)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CourseError, match="cut short"):
        run(out=tmp_path)
    with pytest.raises(CourseError, match="no checkpoint"):
        load_checkpoint(tmp_path / "nothing.pt")
    torch.save([1, 2], path)
    with pytest.raises(CourseError, match="not a checkpoint of this course"):
        load_checkpoint(path)


def test_patience_stops_and_the_best_weights_stay():
    losses = iter([3.0, 1.0, 2.0, 2.5, 0.1])
    kept = []

    def validate(net):
        kept.append(weights(net).clone())
        return next(losses)

    net, history = run(settings=replace(SETTINGS, epochs=5, patience=2), validate=validate)
    assert history.valid_loss == [3.0, 1.0, 2.0, 2.5]
    assert history.best_epoch == 1
    assert torch.equal(weights(net), kept[1])


def test_patience_holds_across_a_resume(tmp_path):
    settings = replace(SETTINGS, epochs=6, patience=1)
    _, first = run(settings=settings, validate=_counting(), out=tmp_path)
    _, again = run(settings=settings, validate=_counting(), out=tmp_path)
    assert len(first.valid_loss) == len(again.valid_loss) == 2


def _counting():
    losses = iter([1.0, 2.0])
    return lambda net: next(losses)


def trained_line(given, **changes):
    """The weights of a linear model after one epoch of the batches `given`."""
    torch.manual_seed(1)
    net = nn.Linear(5, 1)
    settings = replace(SETTINGS, epochs=1, **changes)
    train(net, loss, lambda epoch: given, settings, quiet=True)
    return weights(net)


def test_accumulated_batches_equal_one_large_one():
    large = trained_line(torch.arange(64).split(16), weight_decay=0.0)
    small = trained_line(torch.arange(64).split(4), weight_decay=0.0, accumulate=4)
    torch.testing.assert_close(large, small)


def test_a_short_last_group_is_not_thinned():
    large = trained_line([torch.arange(16), torch.arange(16, 24)], clip=1e9)
    small = trained_line(torch.arange(24).split(8), clip=1e9, accumulate=2)
    torch.testing.assert_close(large, small)


def test_frozen_parameters_stay():
    net = model()
    net[0].requires_grad_(False)
    before = net[0].weight.clone()
    run(net)
    assert torch.equal(net[0].weight, before)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    net = model()
    with pytest.raises(CourseError, match="lower learning rate"):
        train(
            net, lambda m, b: loss(m, b) * float("nan"), batches, SETTINGS, out=tmp_path, quiet=True
        )
    assert not (tmp_path / CHECKPOINT).exists()


def test_bf16_trains():
    _, history = run(dtype=torch.bfloat16)
    assert history.train_loss[-1] < 0.5 * history.train_loss[0]


def test_it_says_how_it_goes_on_stdout(capsys):
    train(model(), loss, batches, SETTINGS, sample=lambda net: "'a red boat'")
    said = capsys.readouterr()
    assert "epoch   4/4" in said.out and "'a red boat'" in said.out and said.err == ""


def test_buckets():
    lengths = [3, 9, 3, 9, 5, 3, 9, 5]
    found = bucketed_batches(lengths, 3, seed=1)
    assert sorted(i for batch in found for i in batch) == list(range(8))
    assert sorted({lengths[i] for i in batch} for batch in found if len(batch) == 3) and all(
        max(lengths[i] for i in b) - min(lengths[i] for i in b) <= 4 for b in found
    )
    assert found == bucketed_batches(lengths, 3, seed=1)
    assert any(found != bucketed_batches(lengths, 3, seed=s) for s in range(2, 9))


TWO = """
import os, sys, torch
sys.path.insert(0, os.environ["TESTS"])
from test_training import SETTINGS, model, loss, batches, weights
from coursekit.training import train
seen = []
def counted(net, batch):
    seen.append(tuple(batch.tolist()))
    return loss(net, batch)
net = model()
history = train(net, counted, batches, SETTINGS, quiet=True, out=os.environ["OUT"])
with open(os.environ["OUT"] + os.environ["RANK"], "w") as file:
    file.write(f"{len(seen)} {weights(net).sum():.6f} {history.train_loss[-1]:.6f}")
"""


def test_two_processes_share_the_batches(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    here = os.path.dirname(__file__)
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node",
            "2",
            tmp_path / "two.py",
        ],
        env=os.environ
        | {"TESTS": here, "OUT": str(tmp_path / "run"), "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    first, second = ((tmp_path / f"run{rank}").read_text().split() for rank in range(2))
    assert first[0] == second[0] == "16"  # 4 epochs of 8 batches, halved
    assert first[1:] == second[1:]  # the same weights and loss on both
    assert (tmp_path / "run" / CHECKPOINT).exists()
