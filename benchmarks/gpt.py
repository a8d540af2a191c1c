"""The GPT written by hand against transformers' GPT2LMHeadModel: the same weights, the same results, in one run.

    python benchmarks/gpt.py [--sizes small words gpt2] [--threads 1] [--repeats 7] [--beam 5] [--json FILE]

Training is forward, backward and a step of AdamW on the same batches, without dropout. Generation goes on from a
prefix of embeddings, with a cache: `coursekit.decoding` against `generate` with its SDPA attention, without scores.
No token ends a caption, so both make the same number. Weights are random, so nothing is fetched; "gpt2" has the build
of GPT-2 and needs 6 GB. Seconds are CPU time with one thread, and so the same on a busy machine, nearly; with more
threads they are wall time. Prints tokens a second, medians, their ratio with its range over the repeats, and the share
of what a large matrix product reaches here. Ends with exit code 1 if logits, losses or tokens differ.
"""

import argparse
import json
import resource
import statistics
import sys
import time

import torch
import transformers
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from coursekit.decoding import beam_search, greedy
from coursekit.errors import writing
from coursekit.models.gpt import from_hugging_face

SMALL = dict(dim=128, layers=4, heads=4, context=128)
# rows and places: a batch of training; pictures, prefix and words: what is generated
SIZES = {
    "small": SMALL | dict(V=300, rows=32, places=24, pictures=(1, 16), prefix=10, words=30),
    "words": SMALL | dict(V=2700, rows=32, places=24, pictures=(1, 16), prefix=10, words=30),
    "gpt2": dict(dim=768, layers=12, heads=12, context=1024, V=50257)
    | dict(rows=2, places=32, pictures=(1, 4), prefix=10, words=8),
}
BOS, NONE = 1, -1
SQUARE = 1024


def make_pair(size):
    """(ours, theirs): two models with the same random weights, large enough to say different things."""
    torch.manual_seed(0)
    sizes = dict(n_embd=size["dim"], n_layer=size["layers"], n_head=size["heads"])
    config = GPT2Config(
        vocab_size=size["V"], n_positions=size["context"], **sizes, bos_token_id=BOS,
        eos_token_id=None, attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0,
    )  # fmt: skip
    theirs = GPT2LMHeadModel._from_config(config, attn_implementation="sdpa").eval()
    with torch.no_grad():
        for weights in theirs.parameters():
            weights.add_(torch.randn_like(weights), alpha=0.5 * size["dim"] ** -0.5)
    return from_hugging_face(theirs, dropout=0.0).eval(), theirs


def logits_apart(ours, theirs, size):
    """The largest difference of logits, as a share of the largest logit."""
    tokens = torch.randint(size["V"], (2, size["places"]))
    with torch.no_grad():
        wanted = theirs(tokens).logits
        return ((ours(None, tokens) - wanted).abs().max() / wanted.abs().max()).item()


def training(ours, theirs, size):
    """name → function that makes one step of training and returns its loss."""
    tokens = torch.randint(size["V"], (size["rows"], size["places"] + 1))
    inputs, targets = tokens[:, :-1], tokens[:, 1:].flatten()

    def stepper(model, logits):
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.01)
        model.train()

        def step():
            loss = F.cross_entropy(logits().flatten(0, 1), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

        return step

    return {
        "ours": stepper(ours, lambda: ours(None, inputs)),
        "transformers": stepper(theirs, lambda: theirs(inputs, use_cache=False).logits),
    }


def generation(ours, theirs, size, pictures, beam):
    """name → function that returns token lists, one a picture."""
    prefix = torch.randn(pictures, size["prefix"], size["dim"])
    first = theirs.transformer.wte(torch.full((pictures, 1), BOS)).detach()
    read = torch.cat([prefix, first], 1)  # (B, P + 1, E)
    mask = torch.ones(read.shape[:2], dtype=torch.long)
    beams = dict(num_beams=beam, length_penalty=0.0) if beam > 1 else {}

    def hand():
        if beam == 1:
            return greedy(ours, prefix, BOS, NONE, size["words"])[0]
        return beam_search(ours, prefix, BOS, NONE, beam, size["words"])[0]

    def hugging_face():
        return theirs.generate(
            inputs_embeds=read, attention_mask=mask, max_new_tokens=size["words"],
            do_sample=False, use_cache=True, pad_token_id=0, **beams,
        ).tolist()  # fmt: skip

    return {"ours": hand, "transformers": hugging_face}


def operations(size, places, heads_used, seen):
    """Floating-point operations of a forward pass: `places` embeddings, of which some reach the head.

    `seen`: how many places one attends to, in the mean.
    """
    inside = 12 * size["dim"] ** 2 + 2 * size["dim"] * seen
    return 2 * (places * size["layers"] * inside + heads_used * size["dim"] * size["V"])


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


def compare(name, tasks, tokens, flops, options):
    """One row of the table: medians of both, and whether their results agree."""
    square = torch.randn(SQUARE, SQUARE)
    tasks = tasks | {"square": lambda: square.mm(square)[0, 0].item()}
    found = measure(tasks, options.repeats, options.clock)
    mine, other, full = (seconds for seconds, _ in found.values())
    medians = [statistics.median(seconds) for seconds in (mine, other, full)]
    ratios = [b / a for a, b in zip(mine, other, strict=True)]
    return {
        "task": name,
        "tokens_per_second": [tokens / seconds for seconds in medians[:2]],
        "ratio": medians[1] / medians[0],
        "range": [min(ratios), max(ratios)],
        "share": [flops / seconds / (2 * SQUARE**3 / medians[2]) for seconds in medians[:2]],
        "agree": agree(found["ours"][1], found["transformers"][1]),
    }


def agree(mine, other):
    """Whether tokens are equal, or losses within 1e-3."""
    if isinstance(mine[0], float):
        return all(abs(a - b) < 1e-3 for a, b in zip(mine, other, strict=True))
    return mine == other


def rows_of(size, options):
    """The rows of one size, as they are measured."""
    ours, theirs = make_pair(size)
    yield {"task": "logits", "apart": logits_apart(ours, theirs, size)}
    words, prefix = size["words"], size["prefix"]
    for pictures in size["pictures"]:
        for beam in (1, options.beam):
            tasks = generation(ours, theirs, size, pictures, beam)
            name = f"{'greedy' if beam == 1 else f'beam {beam}'}, {pictures} at once"
            flops = operations(size, pictures * prefix, 0, prefix / 2)
            steps = pictures * beam * words
            flops += operations(size, steps, steps, prefix + words / 2)
            yield compare(name, tasks, pictures * words, flops, options)
    tokens, seen = size["rows"] * size["places"], size["places"] / 2
    flops = 3 * operations(size, tokens, tokens, seen)  # backward costs two forwards
    name = f"training, {size['rows']} × {size['places']}"
    yield compare(name, training(ours, theirs, size), tokens, flops, options)


def line(row):
    """One line of the table."""
    if "apart" in row:
        return f"  logits differ by {row['apart']:.0e} of the largest"
    mine, other = row["tokens_per_second"]
    low, high = row["range"]
    return (
        f"  {row['task']:20} {mine:9,.0f} {other:12,.0f} {row['ratio']:6.2f}"
        f" {low:6.2f} –{high:5.2f} {row['share'][0]:7.0%} {row['share'][1]:7.0%}"
        f"{'' if row['agree'] else '   THEY DIFFER'}"
    )


def main():
    """Prints the comparison, a line as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.clock = time.process_time if options.threads == 1 else time.perf_counter
    found, wrong = {}, 0
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, ", end="")
    print(f"threads: {options.threads}, repeats: {options.repeats}")
    for name in options.sizes:
        size = SIZES[name]
        print(f"{name}: width {size['dim']}, {size['layers']} layers, {size['V']:,} tokens")
        print(
            f"  {'tokens a second':20} {'ours':>9} {'transformers':>12} {'ratio':>6} {'its range':>14}",
            end="",
        )
        print(f" {'share of the matrix rate':>15}")
        found[name] = []
        for row in rows_of(size, options):
            found[name].append(row)
            print(line(row), flush=True)
            wrong += row.get("apart", 0) > 1e-5 or not row.get("agree", True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory {memory:.1f} GB")
    if options.json:
        told = dict(threads=options.threads, torch=torch.__version__, memory=memory, sizes=found)
        with writing(options.json) as path:
            path.write_text(json.dumps(told | {"transformers": transformers.__version__}, indent=1))
    if wrong:
        sys.exit(
            f"{wrong} results differ: the models are not the same, do not compare their times."
        )


if __name__ == "__main__":
    main()
