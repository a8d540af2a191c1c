"""The loop: one for every model of the course, on one device or on several processes, interruptible and resumable."""

import math
import random
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn
from tqdm import tqdm

from coursekit.averages import RunningAverage
from coursekit.checkpoints import load_checkpoint
from coursekit.errors import CourseError, writing

CHECKPOINT = "training.pt"
DECAYS = ("cosine", "linear")


@dataclass(frozen=True)
class TrainSettings:
    """How to train. `warmup` is a share of all steps; `patience` counts epochs without a better validation loss.

    After the warm-up the rate falls to zero, as `decay` says by a half cosine or in a line. `betas` are Adam's.
    With `average` above 0 the weights that are validated and kept are averaged over about the last such share of the
    steps so far (see averages.RunningAverage).
    Raises CourseError for a number that makes no sense.
    """

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip: float = 1.0
    accumulate: int = 1
    patience: int | None = None
    seed: int = 0
    decay: str = "cosine"
    betas: tuple[float, float] = (0.9, 0.999)
    average: float = 0.0

    def __post_init__(self):
        for name in ("epochs", "batch_size", "learning_rate", "clip", "accumulate"):
            if not getattr(self, name) > 0:
                raise CourseError(f"{name} must be above 0, not {getattr(self, name)}.")
        if self.decay not in DECAYS:
            raise CourseError(f"There is no decay '{self.decay}': choose {' or '.join(DECAYS)}.")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise CourseError(f"Adam's betas are two numbers from 0 to below 1, not {self.betas}.")
        if not 0 <= self.average <= 1:
            raise CourseError(f"average is a share from 0 to 1, not {self.average}.")


@dataclass
class History:
    """One entry an epoch: losses in nats, seconds since the start (earlier parts of a resumed run counted)."""

    train_loss: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def best_epoch(self):
        losses = self.valid_loss or self.train_loss
        return min(range(len(losses)), key=losses.__getitem__)


def bucketed_batches(lengths, batch_size, seed=0):
    """Index lists of batches whose items have like lengths, in random order: padding all but disappears.

    Items of one length are shuffled among themselves, then the batches. The same seed gives the same batches.
    """
    rng = random.Random(seed)
    order = sorted(range(len(lengths)), key=lambda i: (int(lengths[i]), rng.random()))
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    rng.shuffle(batches)
    return batches


def train(
    model, loss_fn, batches, settings, validate=None, sample=None, out=None, dtype=None, quiet=False
):
    """Trains `model` in place and returns its History.

    loss_fn(model, batch) → scalar loss; batches(epoch) → a list of batches, the same at every call for one epoch.
    validate(model) → validation loss, after each epoch: the best weights are the ones kept at the end, and training
    stops after `settings.patience` epochs without a better one. sample(model) → a line to print after each epoch.
    With a folder `out`, every epoch is saved there with TensorBoard curves: the same call continues an interrupted
    run where it stopped, with the same result, and returns at once where the run is complete. `dtype` bfloat16 or
    float16 trains in mixed precision. Only what learns is saved: parameters with `requires_grad`, and buffers.
    Under `torchrun` or `accelerate launch` n processes share the batches: a step is n of them, as with `accumulate` = n
    in one process, each weighing alike whatever it holds.
    Raises CourseError if nothing of the model learns, if `out` holds a run with other settings, of another model or
    with another number of steps, or if the loss is not finite.
    """
    run = _Run(model, loss_fn, batches, settings, out, dtype, quiet)
    run.resume()
    with run.curves() as curves:
        for epoch in range(len(run.history.train_loss), settings.epochs):
            if run.out_of_patience():
                break
            run.one_epoch(epoch)
            run.look(validate, sample)
            run.save()
            run.tell(epoch, curves)
    run.keep_best()
    return run.history


class _Run:
    def __init__(self, model, loss_fn, batches, settings, out, dtype, quiet):
        device = next(model.parameters()).device.type
        # Precision stays torch's own: accelerate allows one precision a process, a notebook may compare two.
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision="no")
        # fp16 gradients underflow without scaling; bf16 has the range of fp32
        self.scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)
        self.model, self.batches, self.settings, self.quiet = model, batches, settings, quiet
        self.out = Path(out) if out else None
        parameters = [p for p in model.parameters() if p.requires_grad]
        if not parameters:
            raise CourseError(
                "Nothing of this model learns: unfreeze a part of it, or leave training out."
            )
        self.optimizer = torch.optim.AdamW(
            parameters, settings.learning_rate, settings.betas, weight_decay=settings.weight_decay
        )
        self.loss = self.accelerator.prepare_model(_Loss(model, loss_fn, dtype))
        self.step = 0
        self.total = math.ceil(len(self.share(0)) / settings.accumulate) * settings.epochs
        self.history, self.best = History(), None
        self.average = RunningAverage(settings.average)
        self.started = time.perf_counter()

    def share(self, epoch):
        """This process's batches, as many as every other's."""
        batches, n = self.batches(epoch), self.accelerator.num_processes
        if len(batches) < n:
            raise CourseError(
                "There are fewer batches than processes: give more data or a smaller batch."
            )
        return batches[self.accelerator.process_index : len(batches) // n * n : n]

    def one_epoch(self, epoch):
        # A seed of its own for each epoch, so that a resumed run drops out the same units.
        seed = 1000 * self.settings.seed + epoch
        torch.manual_seed(seed)
        self.loss.train()
        total, batches = 0.0, self.share(epoch)
        if self.accelerator.process_index:  # other batches, so other units dropped out
            torch.manual_seed(seed + 1_000_003 * self.accelerator.process_index)
        hidden = self.quiet or not self.accelerator.is_main_process
        # On stdout: a word on stderr costs a notebook its mark in nbgrader.
        looks = dict(file=sys.stdout, leave=False, disable=hidden, mininterval=2)
        bar = tqdm(batches, f"epoch {epoch + 1}", **looks)
        every = self.settings.accumulate
        for i, batch in enumerate(bar):
            group = min(every, len(batches) - i // every * every)  # the last group may be short
            total += self.one_step(batch, group, ends=i % every == group - 1)
        mean = torch.tensor(total / len(batches), device=self.accelerator.device)
        self.history.train_loss.append(self.accelerator.reduce(mean, "mean").item())

    def one_step(self, batch, group, ends):
        """Adds the gradient of one batch; where a group of accumulated batches `ends`, the weights move."""
        with nullcontext() if ends else self.accelerator.no_sync(self.loss):
            loss = self.loss(batch)
            if not torch.isfinite(loss):
                raise CourseError(
                    "The loss is no longer a finite number: train with a lower learning rate."
                )
            self.accelerator.backward(self.scaler.scale(loss / group))
        if ends:
            self.scaler.unscale_(self.optimizer)
            self.accelerator.clip_grad_norm_(self.loss.parameters(), self.settings.clip)
            self.set_rate()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()
            if self.settings.average:
                self.average.move(self.learned(), self.step)
        return loss.item()

    def set_rate(self):
        """Linear warm-up, then a half cosine or a line down to zero."""
        warm = max(1, round(self.settings.warmup * self.total))
        gone = (self.step - warm) / max(1, self.total - warm)
        factor = 0.5 + 0.5 * math.cos(math.pi * gone)
        if self.step < warm:
            factor = (self.step + 1) / warm
        elif self.settings.decay == "linear":
            factor = 1 - gone
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor
        self.step += 1

    def look(self, validate, sample):
        self.model.eval()
        history = self.history
        with torch.no_grad(), self.average.lent(self.model, self.learned()):
            if validate:
                history.valid_loss.append(self._agreed(float(validate(self.model))))
            if sample:
                history.samples.append(sample(self.model))
            if validate and history.best_epoch == len(history.valid_loss) - 1:
                self.best = {k: v.detach().cpu().clone() for k, v in self.learned().items()}
        history.seconds.append(time.perf_counter() - self.started)

    def learned(self):
        """What training changes: the parameters that learn, each under one name, and the buffers."""
        every = dict(self.model.named_parameters(remove_duplicate=False))
        own = {name for name, each in self.model.named_parameters() if each.requires_grad}
        state = self.model.state_dict()
        return {name: each for name, each in state.items() if name in own or name not in every}

    def frozen(self):
        """The sum of all frozen weights, by which a resumed run knows them again."""
        fixed = (each for each in self.model.parameters() if not each.requires_grad)
        return sum(each.detach().cpu().sum(dtype=torch.float64).item() for each in fixed)

    def _agreed(self, loss):
        """The mean over all processes: who stops on a figure of its own leaves the others waiting."""
        if self.accelerator.num_processes == 1:
            return loss
        own = torch.tensor(loss, device=self.accelerator.device)
        return self.accelerator.reduce(own, "mean").item()

    def out_of_patience(self):
        patience, losses = self.settings.patience, self.history.valid_loss
        return (
            patience is not None
            and losses
            and len(losses) - 1 - self.history.best_epoch >= patience
        )

    def save(self):
        if not (self.out and self.accelerator.is_main_process):
            return
        with writing(self.out / CHECKPOINT) as path:
            torch.save(
                {
                    "settings": asdict(self.settings),
                    "model": self.learned(),
                    "frozen": self.frozen(),
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                    "best": self.best,
                    "average": self.average.weights,
                    "step": self.step,
                    "total": self.total,
                    "history": asdict(self.history),
                },
                path,
            )

    def resume(self):
        if not (self.out and (self.out / CHECKPOINT).exists()):
            return
        saved = load_checkpoint(self.out / CHECKPOINT)
        # A run of before there were so many settings goes on
        if asdict(TrainSettings()) | saved.get("settings", {}) != asdict(self.settings):
            raise CourseError(
                f"{self.out} holds a run with other settings: delete it or choose another folder."
            )
        if saved.get("total", self.total) != self.total:
            raise CourseError(
                f"{self.out} holds a run of {saved['total']} steps, this one has {self.total}: take as much data and "
                "as many processes as before, or choose another folder."
            )
        try:
            self.restore(saved)
        except (RuntimeError, ValueError, KeyError) as error:
            raise CourseError(
                f"{self.out} holds a run of another model: delete it or choose another folder."
            ) from error
        self.best, self.step = saved["best"], saved["step"]
        self.history = History(**saved["history"])
        self.started -= self.history.seconds[-1]

    def restore(self, saved):
        own = self.frozen()
        found = self.model.load_state_dict(saved["model"], strict=False)
        if found.unexpected_keys or self.learned().keys() & set(found.missing_keys):
            raise KeyError("other names")
        if not math.isclose(saved.get("frozen", own), own, rel_tol=1e-6, abs_tol=1e-6):
            raise ValueError("other frozen weights")
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved.get("scaler", {}))
        if average := saved.get("average"):
            where = self.accelerator.device
            self.average.weights = {name: each.to(where) for name, each in average.items()}

    def curves(self):
        if not (self.out and self.accelerator.is_main_process):
            return _NoCurves()
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.out / "tensorboard"))

    def tell(self, epoch, curves):
        history = self.history
        line = f"epoch {epoch + 1:3}/{self.settings.epochs}  loss {history.train_loss[-1]:.3f}"
        curves.add_scalar("loss/train", history.train_loss[-1], epoch + 1)
        if history.valid_loss:
            line += f"  valid {history.valid_loss[-1]:.3f}"
            curves.add_scalar("loss/valid", history.valid_loss[-1], epoch + 1)
        line += f"  {history.seconds[-1]:5.0f} s"
        if history.samples:
            line += f"  {history.samples[-1]}"
            curves.add_text("sample", history.samples[-1], epoch + 1)
        if not self.quiet and self.accelerator.is_main_process:
            print(line, flush=True)

    def keep_best(self):
        self.model.load_state_dict(self.best or self.average.weights or {}, strict=False)
        self.model.eval()


class _Loss(nn.Module):
    """The loss as a module's forward: what several processes synchronise, and what autocast wraps."""

    def __init__(self, model, loss_fn, dtype):
        super().__init__()
        self.model, self.loss_fn, self.dtype = model, loss_fn, dtype

    def forward(self, batch):
        device = next(self.model.parameters()).device.type
        with torch.autocast(device, self.dtype, enabled=self.dtype is not None):
            return self.loss_fn(self.model, batch)


class _NoCurves:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def add_scalar(self, *point):
        return None

    add_text = add_scalar
