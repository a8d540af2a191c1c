"""Use of the chip: what a GPU makes of a training step of each family of models, and what limits it.

    python benchmarks/chip.py [--device cuda] [--repeats 10] [--tiny] [--json FILE]

Families: the LSTM captioner, a prefix captioner on a GPT of GPT-2's size, ViT and GPT-2 joined, and Image GPT, all with
random weights and data. Each takes steps (forward, backward, clipping, AdamW) in float32 and bfloat16 (autocast),
compiled and not, and where it attends with the flash kernel and with plain mathematics. The peak is what a large matrix
product reaches here in the same number format. `limited by` is the largest of three shares of a step's time, by
torch.profiler: matrix products and attention, whose bound is the peak; all else that computes or copies, whose bound is
memory; and the rest, in which nothing runs because the host has not asked yet (launches).
Without a GPU it says so and measures nothing. On a CPU (`--device cpu --tiny`) it runs every path at a size that tells
nothing of speed. What a GPU gave is kept in benchmarks/chip.json, and docs/chip.md is made from it.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from coursekit.errors import CourseError, writing
from coursekit.results import machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = "benchmarks/chip.json", "docs/chip.md"
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
KERNELS = {"flash": SDPBackend.FLASH_ATTENTION, "maths": SDPBackend.MATH}
# Names of kernels and operations that multiply matrices, beside which the profiler puts all others
PRODUCTS = "gemm gemv xmma cutlass cublas flash fmha attention lstm_cell rnn mm conv linear".split()
LIMITS = ("matrix products", "memory", "launches")
REAL = dict(
    square=8192,
    lstm=dict(pictures=512, words=14, places=16, memory=256, V=10_000, embed=512, hidden=512),
    prefix=dict(pictures=64, words=20, places=49, memory=512, V=50_257, dim=768, layers=12, heads=12),
    vit_gpt2=dict(pictures=64, words=20, side=224, patch=16, V=50_257, dim=768, layers=12, heads=12),
    image_gpt=dict(pictures=16, side=28, colours=16, dim=512, layers=24, heads=8),
)  # fmt: skip
TINY = dict(
    square=64,
    lstm=dict(pictures=2, words=5, places=4, memory=8, V=20, embed=8, hidden=8),
    prefix=dict(pictures=2, words=5, places=4, memory=8, V=20, dim=32, layers=1, heads=2),
    vit_gpt2=dict(pictures=2, words=5, side=16, patch=8, V=20, dim=32, layers=1, heads=2),
    image_gpt=dict(pictures=2, side=4, colours=4, dim=32, layers=1, heads=2),
)


# --- families: (model, loss_of(model), pictures, operations of a step) ----------------------------
def block_operations(places, seen, dim, layers):
    """Of a forward pass of a transformer's blocks over so many places, each of which attends to `seen`."""
    return 2 * places * layers * (12 * dim**2 + 2 * dim * seen)


def lstm(size, device):
    """Show and Tell's decoder on a frozen eye's features."""
    from coursekit.models.lstm import ShowAndTell, caption_loss

    B, T, V, E, H = (size[name] for name in ("pictures", "words", "V", "embed", "hidden"))
    model = ShowAndTell(V, size["memory"], E, H, image_as="state", dropout=0.0).to(device)
    memory = torch.randn(B, size["places"], size["memory"], device=device)
    tokens = torch.randint(4, V, (B, T), device=device)
    word = 8 * H * (E + H) + 2 * H * V
    forward = B * ((T - 1) * word + 4 * size["memory"] * H)
    return model, lambda m: caption_loss(m, memory, tokens, 0), B, 3 * forward


def prefix(size, device):
    """A prefix captioner whose language model is tuned."""
    from coursekit.models.gpt import GPT
    from coursekit.models.prefix import PrefixCaptioner, prefix_loss

    B, T, N, V, E = (size[name] for name in ("pictures", "words", "places", "V", "dim"))
    language = GPT(V, 1024, E, size["layers"], size["heads"], dropout=0.0)
    model = PrefixCaptioner(language, size["memory"], "mlp", tuning="tuned").to(device)
    memory = torch.randn(B, N, size["memory"], device=device)
    tokens = torch.randint(4, V, (B, T), device=device)
    places = N + 2 + T - 1
    forward = B * (
        block_operations(places, places, E, size["layers"])
        + 4 * N * E * (size["memory"] + E)
        + 2 * (T - 1) * E * V
    )
    return model, lambda m: prefix_loss(m, memory, tokens, 2), B, 3 * forward


def vit_gpt2(size, device):
    """ViT and GPT-2 with cross-attention, all of which learns; pictures go through the ViT at every step."""
    from coursekit.models.prefix import prefix_loss
    from coursekit.models.vit import small_vit
    from coursekit.models.vit_gpt2 import ViTGPT2, small_gpt2

    B, T, V, E, layers = (size[name] for name in ("pictures", "words", "V", "dim", "layers"))
    encoder = small_vit(size["side"], size["patch"], E, layers, size["heads"])
    language = small_gpt2(V, 64, E, layers, size["heads"], dropout=0.0)
    model = ViTGPT2.from_parts(encoder, language).to(device)
    encoder.to(device)  # what says how it wants its pictures is no part of the model
    images = torch.randint(
        256, (B, 3, size["side"], size["side"]), dtype=torch.uint8, device=device
    )
    tokens = torch.randint(4, V, (B, T), device=device)
    N, words = 1 + (size["side"] // size["patch"]) ** 2, T - 1
    crossed = 2 * layers * (2 * words * E**2 + 2 * N * E**2 + 2 * words * N * E)
    forward = B * (
        block_operations(N, N, E, layers)
        + block_operations(words, words, E, layers)
        + crossed
        + 2 * words * E * V
        + 6 * (N - 1) * size["patch"] ** 2 * E
    )
    return model, lambda m: prefix_loss(m, m.encoder(images), tokens, 2), B, 3 * forward


def image_gpt(size, device):
    """Image GPT on all pixels of pictures."""
    from coursekit.models.image_gpt import ImageGPT, ar_loss

    B, T, E, V = size["pictures"], size["side"] ** 2, size["dim"], size["colours"]
    model = ImageGPT(V, size["side"], E, size["layers"], size["heads"]).to(device)
    tokens = torch.randint(V, (B, T), device=device)
    forward = B * (block_operations(T, T, E, size["layers"]) + 2 * T * E * V)
    return model, lambda m: ar_loss(m, tokens), B, 3 * forward


FAMILIES = dict(lstm=lstm, prefix=prefix, vit_gpt2=vit_gpt2, image_gpt=image_gpt)
TITLES = dict(
    lstm="LSTM captioner", prefix="prefix on GPT-2", vit_gpt2="ViT and GPT-2", image_gpt="Image GPT"
)  # fmt: skip


# --- measuring ------------------------------------------------------------------------------------
def synchronise(device):
    """Waits until the chip has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds_of(task, device, repeats):
    """The median seconds of a task, after three calls that warm up."""
    found = []
    for _ in range(3 + repeats):
        synchronise(device)
        start = time.perf_counter()
        task()
        synchronise(device)
        found.append(time.perf_counter() - start)
    return statistics.median(found[3:])


def peak(kind, square, device, repeats):
    """Operations a second of a large matrix product in a number format."""
    made = torch.randn(square, square, device=device, dtype=FORMATS[kind])
    return 2 * square**3 / seconds_of(lambda: made.mm(made), device, repeats)


def stepper(model, loss_of, kind, compiled, device):
    """A function that makes one training step."""
    learned = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(learned, 1e-5)
    if compiled:  # on a CPU the paths are run, not their speed: that needs no compiler
        backend = "inductor" if device.type == "cuda" else "eager"
        loss_of = torch.compile(loss_of, backend=backend)
    model.train()

    def step():
        with _format(kind, device):
            loss = loss_of(model)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _format(kind, device):
    if kind == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, FORMATS[kind])


def shares(step, seconds, device, times=3):
    """{one of LIMITS: its share of a step that takes so many seconds}.

    On a CPU the profiler itself takes time, so there the shares are of the profiled step.
    """
    cuda = device.type == "cuda"
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    start = time.perf_counter()
    with profile(activities=kinds) as found:
        for _ in range(times):
            step()
        synchronise(device)
    whole = times * seconds if cuda else time.perf_counter() - start
    busy = {"matrix products": 0.0, "memory": 0.0}
    for event in found.key_averages():
        if str(event.device_type).endswith("CUDA") == cuda:
            own = event.self_device_time_total if cuda else event.self_cpu_time_total
            busy[kind_of(event.key)] += own / 1e6
    whole = max(whole, sum(busy.values()))
    busy["launches"] = whole - sum(busy.values())
    return {name: part / whole for name, part in busy.items()}


def kind_of(kernel):
    """What bounds a kernel or operation, by its name: "matrix products" or "memory"."""
    return "matrix products" if any(part in kernel.lower() for part in PRODUCTS) else "memory"


def rows(sizes, device, repeats):
    """Yields a row for each family and way, as it is measured."""
    peaks = {kind: peak(kind, sizes["square"], device, repeats) for kind in FORMATS}
    for kind, rate in peaks.items():
        yield dict(family="matrix product", format=kind, rate=rate)
    for name in FAMILIES:
        attends = name != "lstm"
        for kind in FORMATS:
            for compiled in (False, True):
                for kernel in KERNELS if attends else [None]:
                    way = dict(family=name, format=kind, compiled=compiled, attention=kernel)
                    yield way | one(way, sizes[name], device, repeats, peaks[kind])


def one(way, size, device, repeats, rate):
    """What one way gives: {"pictures_a_second", "share", "memory" in GB, "shares", "limit"}, or {"why"} it cannot be had."""
    torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch.manual_seed(0)
    chosen = sdpa_kernel(KERNELS[way["attention"]]) if way["attention"] else contextlib.nullcontext()  # fmt: skip
    try:
        with chosen:
            model, loss_of, pictures, operations = FAMILIES[way["family"]](size, device)
            step = stepper(model, loss_of, way["format"], way["compiled"], device)
            seconds = seconds_of(step, device, repeats)
            parts = shares(step, seconds, device)
    except (
        RuntimeError
    ) as error:  # no such kernel for this format, no memory, nothing to compile with
        return dict(why=str(error).strip().split("\n")[0][:120])
    memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None
    share = operations / seconds / rate
    return dict(pictures_a_second=pictures / seconds, share=share, memory=memory, shares=parts, limit=max(parts, key=parts.get))  # fmt: skip


def line(row):
    """A row as the screen shows it."""
    if "rate" in row:
        return f"matrix product  {row['format']:8}  {row['rate'] / 1e12:.3g} Tflop/s"
    cells = _cells(row)
    return f"{cells[0]:16} {cells[1]:8} {cells[2]:9} {cells[3]:6} {cells[4]:>9} {cells[5]:>5} {cells[6]:>6}  {cells[7]}"  # fmt: skip


def _cells(row):
    way = [
        TITLES[row["family"]],
        row["format"],
        "compiled" if row["compiled"] else "as it is",
        row["attention"] or "",
    ]
    if "why" in row:
        return [*way, "", "", "", f"not to be had: {row['why']}"]
    memory = "" if row["memory"] is None else f"{row['memory']:.1f}"
    limit = f"{row['limit']}, {row['shares'][row['limit']]:.0%} of the time"
    return [*way, f"{row['pictures_a_second']:,.0f}", f"{row['share']:.0%}", memory, limit]


# --- the page -------------------------------------------------------------------------------------
HEAD = """\
# What a GPU makes of the models

Made by `python benchmarks/chip.py`, which measures a training step of each family of models on the GPU at hand and
writes down what it finds; no figure here is typed by hand. Models and data are random, of the sizes that the script
names. float32 is without TF32, as torch has it; bfloat16 is autocast.

- **share of peak**: the operations counted from the model's sizes, as a share of what a large matrix product reaches on
  the same card in the same number format. Attention counts as if every place saw all places, as papers do.
- **limited by**: what takes most of a step. Matrix products and attention, whose bound is the peak; other kernels, whose
  bound is memory; or launches, while the card waits for the host.
"""
UNMEASURED = """\
**Not measured.** No GPU was at hand when the course was made. The code paths are tested on a CPU at toy size; what they
give there tells nothing of a GPU, and is not shown. On a machine with a GPU the command above fills in this page.
"""


def page(known):
    """The page, Markdown, of what chip.json holds: {card: result}."""
    if not known:
        return f"{HEAD}\n{UNMEASURED}"
    return "\n".join([HEAD, *(_section(card, found) for card, found in known.items())])


def _section(card, found):
    peaks = [row for row in found["rows"] if "rate" in row]
    told = ", ".join(f"{row['rate'] / 1e12:.0f} Tflop/s in {row['format']}" for row in peaks)
    heads = (
        "family, format, compiled, attention, pictures a second, share of peak, memory, limited by"
    )
    table = [heads.replace("memory", "memory in GB").split(", "), ["---"] * 8]
    table += [_cells(row) for row in found["rows"] if "rate" not in row]
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    about = f"A large matrix product reaches {told}. torch {found['torch']}, {found['machine']}."
    return "\n".join([f"## {card}\n", f"{about}\n", *lines, ""])


def read(results):
    """What a file of results holds, {} where there is none."""
    try:
        return json.loads(Path(results).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CourseError(f"{results} cannot be read ({error}): delete it, and measure anew.") from error  # fmt: skip


def main(arguments=None):
    """Measures and prints; keeps what a GPU gave. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes that tell nothing of speed")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", help=f"where results are kept; of a GPU by default {RESULTS}")
    parser.add_argument("--page", default=ROOT / PAGE)
    options = parser.parse_args(arguments)
    real = options.device == "cuda" and not options.tiny
    place = options.json or (ROOT / RESULTS if real else None)
    try:
        known = read(ROOT / RESULTS if place is None else place)
        if options.device == "cuda" and not torch.cuda.is_available():
            print("No GPU here: nothing was measured.")
        else:
            known = known | _measured(options, place)
        if real:
            _write(options.page, page(known))
    except CourseError as error:
        print(f"chip: {error}", file=sys.stderr)
        return 2
    return 0


def _measured(options, place):
    device = torch.device(options.device)
    card = torch.cuda.get_device_name(0) if device.type == "cuda" else "a CPU, at toy size"
    print(f"{card}: torch {torch.__version__}, repeats: {options.repeats}", flush=True)
    found = []
    for row in rows(TINY if options.tiny else REAL, device, options.repeats):
        found.append(row)
        print(line(row), flush=True)
    result = {card: dict(machine=machine(), torch=version("torch"), rows=found)}
    if place:
        _write(place, json.dumps(read(place) | result, indent=1) + "\n")
    return result


def _write(place, text):
    with writing(Path(place)) as path:
        path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    sys.exit(main())
