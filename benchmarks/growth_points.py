"""One point of a curve of `growth.py`, measured in this process alone: its memory is that of nothing else.

    python benchmarks/growth_points.py sequence training 784

Prints one line of JSON: seconds, the largest memory in MB, the `floor`, which is what imports alone had taken, and what
else the curve's function tells.
"""

import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import harness
import torch

REPEATS = 3
# The same width and depth for every length: an Image GPT whose attention overtakes its matrices on the way
GPT = dict(colours=16, dim=64, layers=4, heads=4)
SEQUENCE = GPT | dict(pictures=2)
BATCH_GPT = GPT | dict(pixels=196)
# The captioner of scenes at size cpu: a picture of 16 places, and captions of the grammar's usual length
BATCH_LSTM = dict(
    vocab_size=104, memory_dim=256, embed_dim=128, hidden_dim=384, places=16, words=14
)
CLASS = dict(jobs=2, examination=0.5)  # seconds of a simulated one
STREAM = dict(part=1000)


def memory_mb():
    """The largest memory of this process so far, in MB.

    By Linux's own count where there is one: `ru_maxrss` begins with the memory of the process that started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3
    except (OSError, StopIteration):
        return 1e3 * harness.peak_memory()


# --- (a) the length of a sequence -----------------------------------------------------------------
def operations(size, pixels):
    """Floating-point operations of a forward pass over one place of a picture: (of matrices, of attention).

    Attention as the causal mask needs it: a place sees (pixels + 1) / 2 in the mean.
    """
    matrices = 24 * size["layers"] * size["dim"] ** 2 + 2 * size["dim"] * size["colours"]
    return matrices, 4 * size["layers"] * size["dim"] * (pixels + 1) / 2


def image_gpt(size, pixels):
    """An Image GPT for so many pixels, a square."""
    from coursekit.models.image_gpt import ImageGPT

    torch.manual_seed(0)
    return ImageGPT(side=round(pixels**0.5), **{k: size[k] for k in ("colours", "dim", "layers", "heads")})  # fmt: skip


def stepper(model, loss_of):
    """A function that makes one step of training and returns its loss."""
    learned = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(learned, 1e-3)
    model.train()

    def step():
        loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def sequence(series, pixels):
    """A training step, or the completion of the lower half, of `pictures` pictures of so many pixels."""
    from coursekit.models.image_gpt import ar_loss, draw

    model, count = image_gpt(SEQUENCE, pixels), SEQUENCE["pictures"]
    tokens = torch.randint(SEQUENCE["colours"], (count, pixels))
    task = stepper(model, lambda: ar_loss(model, tokens))
    if series == "completion":
        task = lambda: draw(model, tokens[:, : pixels // 2], temperature=0)[:, -1].tolist()  # noqa: E731
    found = _repeated(task)
    if series == "training":  # backward costs two forwards
        matrices, attention = operations(SEQUENCE, pixels)
        found["attention"] = attention / (matrices + attention)
        found["operations"] = 3 * count * pixels * (matrices + attention)
        rate = harness.matrix_rate(harness.measure({"square": harness.square()}, 3)["square"][0])
        found["share"] = found["operations"] / found["seconds"] / rate
    return found


def _repeated(task):
    """The median of REPEATS after one that warms up, and the memory around it."""
    floor = memory_mb()
    seconds, _ = harness.measure({"it": task}, REPEATS)["it"]
    return dict(seconds=statistics.median(seconds), memory=memory_mb(), floor=floor)


# --- (b) the pictures of a batch ------------------------------------------------------------------
def batch(series, count):
    """A training step on so many pictures: one caption each for the captioner, all pixels for the Image GPT."""
    step = _lstm_step(count) if series == "LSTM captioner" else _gpt_step(count)
    found = _repeated(step)
    return found | dict(pictures_a_second=count / found["seconds"])


def _gpt_step(count):
    from coursekit.models.image_gpt import ar_loss

    model = image_gpt(BATCH_GPT, BATCH_GPT["pixels"])
    tokens = torch.randint(BATCH_GPT["colours"], (count, BATCH_GPT["pixels"]))
    return stepper(model, lambda: ar_loss(model, tokens))


def _lstm_step(count):
    from coursekit.models.lstm import ShowAndTell, caption_loss

    torch.manual_seed(0)
    names = ("vocab_size", "memory_dim", "embed_dim", "hidden_dim")
    own = {name: BATCH_LSTM[name] for name in names}
    model = ShowAndTell(**own, image_as="state", dropout=0.1)
    memory = torch.randn(count, BATCH_LSTM["places"], BATCH_LSTM["memory_dim"])
    tokens = torch.randint(4, BATCH_LSTM["vocab_size"], (count, BATCH_LSTM["words"]))
    return stepper(model, lambda: caption_loss(model, memory, tokens, pad_id=0))


# --- (c) the students of a class ------------------------------------------------------------------
def students(series, count):
    """A class graded, its marks written for Canvas, its report made; `seconds` are CPU seconds of this process.

    Examinations run in processes of their own, and are not in them. "simulated": only the first examination is real;
    each other one takes CLASS["examination"] seconds in which nothing is computed, and has the same result.
    """
    import grading

    from coursekit.grading import parallel
    from coursekit.grading.grade import grade
    from coursekit.grading.results.graded import GradedClass

    floor = memory_mb()
    if series == "simulated":
        parallel.answered = simulated(parallel.answered, CLASS["examination"])
    with tempfile.TemporaryDirectory() as folder:
        course = grading.make_course(Path(folder) / "course")
        grading.hand_in(course, count)
        wall, parts = time.perf_counter(), {}
        with _timed(parts, "grade"):
            rows = grade("bench", root=course, jobs=CLASS["jobs"], progress=False)
        wall = time.perf_counter() - wall
        found = GradedClass("bench", root=course)
        with _timed(parts, "export"):
            found.export("canvas", Path(folder) / "marks.csv", unfinished=True)
        with _timed(parts, "report"):
            found.report(Path(folder) / "report.html")
    if sum(row.score or 0 for row in rows) != 5 * count:
        sys.exit(f"Not every one of {count} submissions has its 5 points: {rows[0]}")
    lasted = statistics.median(row.seconds for row in rows)
    return dict(seconds=sum(parts.values()), memory=memory_mb(), floor=floor, wall=wall, examination=lasted, parts=parts)  # fmt: skip


def simulated(real, seconds):
    """Stands for `jobs.answered`: the first call is real; all others wait for it and take so many seconds."""
    first, lock = [], threading.Lock()

    def answered(job, trust, threads):
        with lock:
            if not first:
                first.append(json.dumps(real(job, trust, threads)))
                return json.loads(first[0])
        time.sleep(seconds)
        return json.loads(first[0])

    return answered


class _timed:
    """Notes the CPU seconds of this process that a block takes, under a name."""

    def __init__(self, parts, name):
        self.parts, self.name = parts, name

    def __enter__(self):
        self.start = time.process_time()

    def __exit__(self, *_):
        self.parts[self.name] = time.process_time() - self.start


# --- (d) the pictures of a data set ---------------------------------------------------------------
def scenes(series, count):
    """So many scenes with their captions, drawn once: part by part, or after all were described ("at once")."""
    from coursekit.datasets.scenes import Scenes, stream

    floor, start = memory_mb(), time.process_time()
    seen = 0
    for part in stream("train", count, part=STREAM["part"]) if series == "streamed" else [Scenes("train", count)]:  # fmt: skip
        for i in range(len(part)):
            seen += part.image(i).shape[0] == 3
    assert seen == count
    return dict(seconds=time.process_time() - start, memory=memory_mb(), floor=floor)


FUNCTIONS = dict(sequence=sequence, batch=batch, students=students, scenes=scenes)
SETTINGS = dict(
    sequence=[SEQUENCE, REPEATS], batch=[BATCH_GPT, BATCH_LSTM, REPEATS], students=CLASS, scenes=STREAM
)  # fmt: skip


def main(arguments):
    """Measures one point: curve, series, x."""
    curve, series, x = arguments
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(json.dumps(FUNCTIONS[curve](series, int(x))))


if __name__ == "__main__":
    main(sys.argv[1:])
