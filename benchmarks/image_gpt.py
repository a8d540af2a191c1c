"""The Image GPT written by hand against transformers' ImageGPT: the same weights, the same results, in one run.

    python benchmarks/image_gpt.py [--sizes d16 d64 d128] [--threads 1] [--repeats 5] [--places 28] [--json FILE]

Training is forward, backward and a step of AdamW on 16 pictures of 28 × 28 pixels in 16 colours, without dropout.
Completing is the lower half, 392 pixels, of 16 pictures: with the cache, by `generate`, and without a cache, where all
is read anew for each pixel. The last is so slow that only `--places` of its 392 steps are taken, evenly spread, and
their time is multiplied (392 takes them all). The likeliest colour is taken, so that all three draw the same.
Seconds are CPU time with one thread, and so the same on a busy machine, nearly; with more threads they are wall time.
Prints pixels a second, medians, ratios with their range over the repeats, and the share of what a large matrix product
reaches here: `share` counts attention as 784 places each, as papers do (Chowdhery et al. 2022, appendix B), `needed`
only those a causal mask lets through. Ends with exit code 1 if logits, losses or pixels differ.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import transformers
from torch.nn import functional as F

from coursekit.errors import writing
from coursekit.models.image_gpt import ImageGPT, ar_loss, draw, to_hugging_face

SIZES = {
    "d16": dict(dim=16, layers=8, heads=2),
    "d64": dict(dim=64, layers=4, heads=4),
    "d128": dict(dim=128, layers=4, heads=4),
}
COLOURS, SIDE, PICTURES = 16, 28, 16
SQUARE = 1024


def make_pair(size):
    """(ours, theirs): two models with the same random weights, large enough to say different things."""
    torch.manual_seed(0)
    ours = ImageGPT(COLOURS, SIDE, **size, dropout=0.0).eval()
    with torch.no_grad():
        for weights in ours.parameters():
            weights.add_(torch.randn_like(weights), alpha=0.5 * size["dim"] ** -0.5)
    return ours, to_hugging_face(ours).eval()


def begun(ours, tokens):
    """The start token before tokens (B, T): what transformers' model reads, (B, 1 + T)."""
    return F.pad(tokens, (1, 0), value=ours.start_id)


def logits_apart(ours, theirs):
    """The largest difference of logits, as a share of the largest logit."""
    tokens = torch.randint(COLOURS, (2, ours.pixels))
    with torch.no_grad():
        wanted = theirs(begun(ours, tokens)[:, :-1], use_cache=False).logits
        return ((ours(tokens) - wanted).abs().max() / wanted.abs().max()).item()


def training(ours, theirs):
    """name → function that makes one step of training and returns its loss."""
    tokens = torch.randint(COLOURS, (PICTURES, ours.pixels))
    inputs = begun(ours, tokens)[:, :-1]

    def their_loss():
        logits = theirs(inputs, use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten())

    def stepper(model, loss_of):
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.01)
        model.train()

        def step():
            loss = loss_of()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

        return step

    return {
        "ours": stepper(ours, lambda: ar_loss(ours, tokens)),
        "transformers": stepper(theirs, their_loss),
    }


def completing(ours, theirs, places):
    """name → function that completes the lower half of the same pictures and returns the pixels at some places."""
    half = ours.pixels // 2
    given = torch.randint(COLOURS, (PICTURES, half))
    asked = torch.linspace(half, ours.pixels - 1, places).long().tolist()
    whole = draw(ours, given, temperature=0)  # what the way without a cache would have before it

    def hugging_face():
        read = begun(ours, given)
        found = theirs.generate(
            read, attention_mask=torch.ones_like(read), max_new_tokens=half, do_sample=False,
            use_cache=True, pad_token_id=0,
        )  # fmt: skip
        return found[:, [1 + place for place in asked]].tolist()

    @torch.no_grad()
    def without_cache():
        steps = [ours(whole[:, : place + 1])[:, -1].argmax(-1) for place in asked]
        return torch.stack(steps, 1).tolist()

    return {
        "ours": lambda: draw(ours, given, temperature=0)[:, asked].tolist(),
        "transformers": hugging_face,
        "no cache": without_cache,
    }


def operations(size, places, seen):
    """Floating-point operations of a forward pass over `places`, each of which attends to `seen` in the mean."""
    inside = 12 * size["dim"] ** 2 + 2 * size["dim"] * seen
    return 2 * places * (size["layers"] * inside + size["dim"] * COLOURS)


def measure(tasks, repeats, clock):
    """name → (list of seconds, list of results), turn by turn so that a busy moment hits all."""
    found = {name: ([], []) for name in tasks}
    for turn in range(repeats + 1):
        for name, task in tasks.items():
            start = clock()
            result = task()
            if turn:  # the first warms up
                found[name][0].append(clock() - start)
            found[name][1].append(result)
    return found


def rows_of(size, options):
    """The rows of one size, as they are measured."""
    ours, theirs = make_pair(size)
    yield {"task": "logits", "apart": logits_apart(ours, theirs)}
    square = torch.randn(SQUARE, SQUARE)
    tasks = training(ours, theirs) | {"square": lambda: square.mm(square)[0, 0].item()}
    found = measure(tasks, options.repeats, options.clock)
    rate = 2 * SQUARE**3 / statistics.median(found.pop("square")[0])
    places = PICTURES * ours.pixels
    row = compare("training", found, places)
    for name, seen in (("share", ours.pixels), ("needed", ours.pixels / 2)):
        # Backward costs two forwards
        row[name] = 3 * operations(size, places, seen) / row["seconds"]["ours"] / rate
    yield row
    ours, theirs = make_pair(size)
    tasks = completing(ours, theirs, options.places)
    found = measure(tasks, options.repeats, options.clock)
    half = ours.pixels // 2
    seconds = found["no cache"][0]
    seconds[:] = [each * half / options.places for each in seconds]
    yield compare("completing", found, PICTURES * half)


def compare(name, found, pixels):
    """One row of the table: medians, and how many times the others' seconds are ours, with the range."""
    mine = found["ours"][0]
    row = {"task": name, "seconds": {}, "ratio": {}, "range": {}, "agree": True}
    for other, (seconds, results) in found.items():
        row["seconds"][other] = statistics.median(seconds)
        row["ratio"][other] = row["seconds"][other] / row["seconds"]["ours"]
        ratios = [b / a for a, b in zip(mine, seconds, strict=True)]
        row["range"][other] = [min(ratios), max(ratios)]
        row["agree"] &= agree(found["ours"][1], results)
    row["pixels_per_second"] = {other: pixels / s for other, s in row["seconds"].items()}
    return row


def agree(mine, other):
    """Whether pixels are equal, or losses within 1e-3."""
    if isinstance(mine[0], float):
        return all(abs(a - b) < 1e-3 for a, b in zip(mine, other, strict=True))
    return mine == other


def lines(row):
    """The lines of the table for one row."""
    if "apart" in row:
        return [f"  logits differ by {row['apart']:.0e} of the largest"]
    found = []
    for name, rate in row["pixels_per_second"].items():
        line = f"  {row['task']:11} {name:13} {rate:9,.0f}"
        if name == "ours" and "share" in row:
            line += f"    share {row['share']:.2f} needed {row['needed']:.2f}"
        if name != "ours":
            low, high = row["range"][name]
            line += f" {row['ratio'][name]:8.2f} {low:7.2f} –{high:6.2f}"
        found.append(line)
    return found + ([] if row["agree"] else ["  THEY DIFFER"])


def main():
    """Prints the comparison, a line as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--places", type=int, default=28)
    parser.add_argument("--json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.clock = time.process_time if options.threads == 1 else time.perf_counter
    found, wrong = {}, 0
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, ", end="")
    print(f"threads: {options.threads}, repeats: {options.repeats}")
    for name in options.sizes:
        size = SIZES[name]
        print(f"{name}: {size['layers']} layers, {size['heads']} heads")
        print(f"  {'':25} {'pixels/s':>9} {'ours ×':>8} {'its range':>15}")
        found[name] = []
        for row in rows_of(size, options):
            found[name].append(row)
            print("\n".join(lines(row)), flush=True)
            wrong += row.get("apart", 0) > 1e-5 or not row.get("agree", True)
    if options.json:
        told = dict(threads=options.threads, torch=torch.__version__, sizes=found)
        with writing(options.json) as path:
            path.write_text(json.dumps(told | {"transformers": transformers.__version__}, indent=1))
    if wrong:
        sys.exit(
            f"{wrong} results differ: the models are not the same, do not compare their times."
        )


if __name__ == "__main__":
    main()
