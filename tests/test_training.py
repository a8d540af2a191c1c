"""The loop: learns, resumes to the same weights, stops early, shares work."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from coursekit.errors import CourseError
from coursekit.models.gpt import GPT
from coursekit.models.prefix import PrefixCaptioner, caption_labels, prefix_loss
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


# Captions of 3 to 9 words that count on from what their picture says, so that batches differ in their words
EOS, E = 2, 16
PICTURES = torch.randint(3, 20, (64,), generator=torch.Generator().manual_seed(5))
MEMORY = nn.functional.one_hot(PICTURES, 20)[:, None].float()  # (64, 1, 20)
CAPTIONS = 3 + (PICTURES[:, None] + torch.arange(11)) % 17
CAPTIONS[:, 0] = 1
for row, caption in enumerate(CAPTIONS):
    caption[4 + row % 7 :] = EOS
TALK = replace(SETTINGS, epochs=3, learning_rate=0.02)


def language():
    torch.manual_seed(1)
    return GPT(20, context=16, dim=E, layers=2, heads=2, dropout=0.0)


def next_word_loss(gpt, batch):
    labels = caption_labels(CAPTIONS[batch], EOS)
    logits = gpt(None, CAPTIONS[batch][:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())


def led(seed=1):
    """A frozen language model, led by a mapper that learns."""
    gpt = language()
    torch.manual_seed(seed)
    return PrefixCaptioner(gpt, 20, mapper="mlp", tuning="frozen")


def telling_loss(net, batch):
    return prefix_loss(net, MEMORY[batch], CAPTIONS[batch], EOS)


TASKS = {"language": (language, next_word_loss), "frozen": (led, telling_loss)}


def talk(task, settings=TALK, **options):
    """A trained model of TASKS, and its history."""
    build, loss_fn = TASKS[task]
    net = build()
    return net, train(
        net, options.pop("loss_fn", loss_fn), batches, settings, quiet=True, **options
    )


class PulledPlug:
    """A loss that calls `stop` when it is asked for the n-th time."""

    def __init__(self, loss_fn, n, stop):
        self.loss_fn, self.n, self.stop = loss_fn, n, stop
        self.asked, self.seed = 0, None

    def __call__(self, net, batch):
        self.asked, self.seed = self.asked + 1, torch.initial_seed()
        if self.asked == self.n:
            self.stop()
        return self.loss_fn(net, batch)


def pull():
    raise KeyboardInterrupt


@pytest.mark.parametrize("task", TASKS)
def test_a_run_cut_within_an_epoch_goes_on_to_the_same_curve(task, tmp_path):
    straight, whole = talk(task)
    with pytest.raises(KeyboardInterrupt):
        talk(task, out=tmp_path, loss_fn=PulledPlug(TASKS[task][1], 13, pull))
    resumed, history = talk(task, out=tmp_path)
    assert history.train_loss == whole.train_loss
    assert torch.equal(weights(straight), weights(resumed))


def test_a_checkpoint_holds_what_learns_and_nothing_else(tmp_path):
    net, _ = talk("frozen", out=tmp_path, validate=lambda net: 1.0)
    saved = load_checkpoint(tmp_path / CHECKPOINT)
    learning = {name for name, each in net.named_parameters() if each.requires_grad}
    assert saved["model"].keys() == saved["best"].keys() == learning
    assert len(saved["optimizer"]["state"]) == len(learning)
    assert not any(name.startswith("language.") for name in learning)
    talk("language", out=tmp_path / "tied", validate=lambda net: 1.0)
    saved = load_checkpoint(tmp_path / "tied" / CHECKPOINT)
    assert "tokens.weight" in saved["best"] and "head.weight" not in saved["best"]


def test_buffers_are_saved_even_of_frozen_layers(tmp_path):
    def normed():
        torch.manual_seed(1)
        net = nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 1))
        net[0].requires_grad_(False)
        return net

    straight, _ = run(normed(), out=tmp_path)
    again, _ = run(normed(), out=tmp_path)
    assert torch.equal(straight[0].running_mean, again[0].running_mean)
    assert again[0].running_mean.abs().sum() > 0


def test_a_frozen_model_resumes_only_over_its_own_weights(tmp_path):
    talk("frozen", out=tmp_path)
    other = led()
    with torch.no_grad():
        other.language.blocks[0].mlp[0].weight.add_(0.01)
    with pytest.raises(CourseError, match="another model"):
        train(other, telling_loss, batches, TALK, out=tmp_path, quiet=True)
    with pytest.raises(CourseError, match="another model"):
        train(led().requires_grad_(), telling_loss, batches, TALK, out=tmp_path, quiet=True)


def test_a_run_of_another_length_is_refused(tmp_path):
    run(out=tmp_path)
    with pytest.raises(CourseError, match="a run of 32 steps, this one has 16"):
        train(model(), loss, lambda epoch: batches(epoch)[:4], SETTINGS, out=tmp_path, quiet=True)


def test_where_nothing_learns():
    with pytest.raises(CourseError, match="Nothing of this model learns"):
        run(model().requires_grad_(False))


def test_float16_resumes_with_its_scale(tmp_path):
    straight, _ = run(dtype=torch.float16)
    with pytest.raises(KeyboardInterrupt):
        train(model(), PulledPlug(loss, 20, pull), batches, SETTINGS, out=tmp_path,
              dtype=torch.float16, quiet=True)  # fmt: skip
    assert load_checkpoint(tmp_path / CHECKPOINT)["scaler"]["scale"] < 2**16
    resumed, _ = run(dtype=torch.float16, out=tmp_path)
    assert torch.equal(weights(straight), weights(resumed))


# What each of two processes does; the last run stops in its second epoch and waits to be killed
TWO = """
import json, os, sys, time
from pathlib import Path
sys.path.insert(0, os.environ["TESTS"])
import test_training as t
here, rank = Path(os.environ["OUT"]), os.environ["RANK"]

def wait():
    (here / f"pid{rank}").write_text(str(os.getpid()))
    time.sleep(600)

def tell(name, loss, net, history):
    told = [loss.asked, loss.seed, t.weights(net).double().sum().item(), history.train_loss]
    (here / f"{name}{rank}.json").write_text(json.dumps(told))

if sys.argv[1] == "straight":
    for task, (_, loss_fn) in t.TASKS.items():
        counted = t.PulledPlug(loss_fn, -1, None)
        net, history = t.talk(task, loss_fn=counted)
        tell(task, counted, net, history)
counted = t.PulledPlug(t.next_word_loss, 6 if sys.argv[1] == "straight" else -1, wait)
net, history = t.talk("language", loss_fn=counted, out=here / "cut")
tell("resumed", counted, net, history)
"""


def start_two(out, how):
    """torchrun with two processes of the script above, that writes to `out`."""
    (out / "two.py").write_text(TWO)
    options = ("--standalone", "--nproc_per_node", "2", out / "two.py", how)
    env = os.environ | {"TESTS": os.path.dirname(__file__), "OUT": str(out)}
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *options],
        env=env | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=(out / "stderr").open("w"),
    )


def kill_all(started, out):
    """SIGKILL to torchrun and to both processes, as soon as both are in the middle of an epoch."""
    files = [out / f"pid{rank}" for rank in range(2)]
    deadline = time.monotonic() + 600
    while not all(file.exists() and file.read_text() for file in files):
        assert started.poll() is None and time.monotonic() < deadline, stderr(out)
        time.sleep(0.05)
    started.kill()
    for file in files:
        os.kill(int(file.read_text()), signal.SIGKILL)
    started.wait()


def stderr(out):
    return (out / "stderr").read_text()[-2000:]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """[batches seen, last seed, sum of weights, curve] by task and rank, of two processes; one run was killed."""
    out = tmp_path_factory.mktemp("two")
    kill_all(start_two(out, "straight"), out)
    assert len(load_checkpoint(out / "cut" / CHECKPOINT)["history"]["train_loss"]) == 1
    assert start_two(out, "resumed").wait(600) == 0, stderr(out)
    names = (*TASKS, "resumed")
    return {n: [json.loads(Path(out / f"{n}{r}.json").read_text()) for r in (0, 1)] for n in names}


@pytest.mark.parametrize("task", TASKS)
def test_two_processes_learn_as_one_does(two, task):
    first, second = two[task]
    assert first[0] == second[0] == 12  # 3 epochs of 8 batches, halved
    assert first[1] != second[1]  # they drop out other units
    assert first[2:] == second[2:]  # the same weights and curve on both
    alone, history = talk(task, replace(TALK, accumulate=2))
    assert first[3] == pytest.approx(history.train_loss, abs=1e-3)
    assert first[2] == pytest.approx(weights(alone).double().sum().item(), abs=0.01)
    assert first[3][-1] < first[3][0] - 0.01


def test_two_killed_processes_resume_to_the_same_curve(two):
    first, second = two["resumed"]
    assert first[0] == second[0] == 8  # the first epoch was not trained again
    assert first[2:] == second[2:] == two["language"][0][2:]
