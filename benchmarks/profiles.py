"""Where a step's time goes: the three largest costs of a training step and of a decoding step, family by family.

    python benchmarks/profiles.py [--steps 10] [--threads 1] [--keep]

Each family is built about as `coursekit train` builds it at size cpu, with random weights: what a step costs does not depend on them.
torch's profiler gives each operation the time spent in itself, without what it calls; what is left of the step is
"Python and calls". The profiler makes short operations longer, so a step's milliseconds are taken without it.
With --keep the result becomes benchmarks/profiles.json and the page docs/profiles.md, with what was done about it.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from coursekit.decoding import beam_search
from coursekit.errors import writing
from coursekit.models.attention import ShowAttendAndTell, attention_loss
from coursekit.models.gpt import GPT
from coursekit.models.image_gpt import ImageGPT, ar_loss, draw
from coursekit.models.lstm import ShowAndTell, caption_loss
from coursekit.models.prefix import PrefixCaptioner, prefix_loss
from coursekit.models.vit_gpt2 import ViTGPT2, scene_vit, small_gpt2
from coursekit.results import machine

WORDS, PAD, BOS, EOS, NEVER = 100, 0, 1, 2, -1  # a vocabulary as large as that of scenes
BATCH, LENGTH, PICTURES, BEAM = 64, 14, 64, 5
PLACES, FEATURES = 16, 256  # what the course's encoder leaves of a scene
DIGITS, SIDE, COLOURS = 16, 14, 8
TOP = 3
REST = "Python and calls"
ROOT = Path(__file__).resolve().parents[1]
KEPT, PAGE = ROOT / "benchmarks" / "profiles.json", ROOT / "docs" / "profiles.md"
HEAD = """\
# Where a step's time goes

Made by `python benchmarks/profiles.py --keep`, which builds every family about as `coursekit train` does at size `cpu`, runs
a step of training and a search under torch's profiler, and names the three operations that take most time in themselves.
`mm`, `addmm` and `bmm` are products of matrices: what should be large. A search is beam 5 over 64 pictures, 14 words; of
Image GPT it is 16 digits of 196 pixels.
"""
# What was done about the largest costs
DONE = {
    ("Show and Tell", "training"): "One call of the library's LSTM over all steps, where a loop calls it for each word "
    "(`benchmarks/lstm.py` compares them); logits at real words only.",
    ("Show and Tell", "decoding"): "All hypotheses of all pictures are one batch. At 320 rows the LSTM's step is its "
    "product of matrices, which one library call makes.",
    ("Show, Attend and Tell", "training"): "Keys and values of the places are made once a picture, not once a word; the "
    "norm before them learns nothing, so that no gradient flows back into frozen features.",
    ("Show, Attend and Tell", "decoding"): "The product, and the tanh of additive attention over all places. What a search "
    "copies of the places when hypotheses change is a small part; it stays, so that the state stays four plain tensors.",
    ("GPT-2 prefix", "training"): "Queries, keys and values in one product, the fused kernel of attention. Drawing the masks "
    "of dropout is what is left beside products.",
    ("GPT-2 prefix", "decoding"): "A search copies the cache when hypotheses change. It does so once a step, into a store "
    "with room for the next word (`coursekit/models/cache.py`); before it was copied a second time to be lengthened.",
    ("ViT + GPT-2", "training"): "transformers' own code, so that a Trainer can take it; the frozen ViT's memory is kept, "
    "not made again.",
    ("ViT + GPT-2", "decoding"): "Nearly half of the time went into copies: transformers' cache copied the patches before every "
    "step, and a search once more. Now both lie where they are (`coursekit/models/kept.py`, `OfPicture` in `cache.py`).",
    ("Image GPT", "training"): "RMSNorm and QuickGELU with their gradients by formula (torch takes them apart on a CPU), and "
    "heads narrower than 16 numbers padded for the fused kernel.",
    ("Image GPT", "decoding"): "A cache with room for the whole picture, so that a step copies nothing, and two plain "
    "products instead of the fused kernel, which is slower for one place.",
}  # fmt: skip


def captioning(model, loss, memory, search):
    """{"training": a step with AdamW, "decoding": one search} of a captioner. memory (B, N, D)."""
    tokens = torch.randint(3, WORDS, (BATCH, LENGTH))
    tokens[:, 0] = BOS
    return {
        "training": stepper(model, lambda: loss(model, memory, tokens)),
        "decoding": lambda: search(model.eval(), memory[:PICTURES]),
    }


def stepper(model, loss_of):
    """A task: one step of training."""
    learning = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(learning, 1e-3, fused=True)

    def step():
        model.train()
        loss_of().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def beams(model, memory):
    """Beam search over all pictures; no token ends a caption, so that every run takes as many steps."""
    return beam_search(model, memory, BOS, NEVER, BEAM, LENGTH)


def show_and_tell():
    """Lesson 03."""
    model = ShowAndTell(WORDS, FEATURES, 128, 384, "state", 0.1)
    memory = torch.randn(BATCH, PLACES, FEATURES)
    return captioning(model, lambda *a: caption_loss(*a, PAD), memory, beams)


def show_attend_and_tell():
    """Lesson 05."""
    model = ShowAttendAndTell(WORDS, FEATURES, 128, 384, 256, dropout=0.1)
    memory = torch.randn(BATCH, PLACES, FEATURES)
    return captioning(model, lambda *a: attention_loss(*a, PAD), memory, beams)


def gpt_prefix():
    """Lesson 07."""
    language = GPT(WORDS, 128, 128, 4, 4, dropout=0.1)
    model = PrefixCaptioner(language, FEATURES, "mlp", 1)
    memory = torch.randn(BATCH, PLACES, FEATURES)
    return captioning(model, lambda *a: prefix_loss(*a, EOS), memory, beams)


def vit_gpt2():
    """Lesson 08, behind a frozen ViT."""
    encoder = scene_vit()
    model = ViTGPT2.from_parts(encoder, small_gpt2(WORDS))
    images = torch.randint(0, 256, (BATCH, 3, 64, 64), dtype=torch.uint8)
    memory = encoder(images).detach()
    return captioning(model, lambda *a: prefix_loss(*a, EOS), memory, beams)


def image_gpt():
    """Lesson 10: digits of 14 × 14 pixels in 8 colours."""
    model = ImageGPT(COLOURS, SIDE, 96, 4, 3)
    tokens = torch.randint(COLOURS, (DIGITS, SIDE**2))
    return {
        "training": stepper(model, lambda: ar_loss(model, tokens)),
        "decoding": lambda: draw(model, DIGITS),
    }


FAMILIES = {
    "Show and Tell": show_and_tell,
    "Show, Attend and Tell": show_attend_and_tell,
    "GPT-2 prefix": gpt_prefix,
    "ViT + GPT-2": vit_gpt2,
    "Image GPT": image_gpt,
}


def costs(task, steps):
    """{operation: share of the time} of `steps` runs of a task, the largest first; shares add up to one."""
    task()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        started = time.perf_counter()
        for _ in range(steps):
            task()
        whole = 1e6 * (time.perf_counter() - started)
    own = {each.key: each.self_cpu_time_total for each in seen.key_averages()}
    own[REST] = max(whole - sum(own.values()), 0.0)
    total = sum(own.values())
    return {name: own[name] / total for name in sorted(own, key=own.get, reverse=True)}


def milliseconds(task, steps):
    """The median of a step, without the profiler."""
    seconds = []
    for _ in range(steps):
        started = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)


def main():
    """Prints a line for each step as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="write the JSON and the page")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"{machine()}, threads: {options.threads}")
    rows = []
    for family in options.families:
        for step, task in FAMILIES[family]().items():
            shares = costs(task, options.steps)
            largest = dict(list(shares.items())[:TOP])
            taken = milliseconds(task, options.steps)
            rows.append(dict(family=family, step=step, milliseconds=taken, costs=largest))
            told = ", ".join(f"{name} {share:.0%}" for name, share in largest.items())
            print(f"{family:22} {step:9} {taken:8.1f} ms  {told}", flush=True)
    if options.keep:
        keep(dict(machine=machine(), threads=options.threads, rows=rows))


def keep(found):
    """Writes the result, and the page made from it."""
    for path, text in ((KEPT, json.dumps(found, indent=1) + "\n"), (PAGE, page(found))):
        with writing(path) as part:
            part.write_text(text, encoding="utf-8", newline="\n")


def page(found):
    """The page, Markdown."""
    lines = [HEAD, f"Measured on {found['machine']}, {found['threads']} thread.\n"]
    for each in found["rows"]:
        largest = ", ".join(f"`{name.removeprefix('aten::')}` {share:.0%}" for name, share in each["costs"].items())  # fmt: skip
        lines.append(f"## {each['family']}, {each['step']}: {each['milliseconds']:,.0f} ms\n")
        lines.append(f"{largest}.\n\n{DONE[each['family'], each['step']]}\n")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
