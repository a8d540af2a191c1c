"""Measures what sound searches reach in question 10 of assignment a2, set of pictures by set, and suggests its thresholds.

    python data_scripts/a2_threshold.py --size cpu --sets 20

The captioner is the one that comes with the course, so what varies is the pictures: each set is drawn from a
seed of its own, and searched with the beam of the assignment and with greedy search. BLEU_4 is mean - 5 sd of
beam search, and GAIN the same of how much likelier its captions are than greedy's, in nats; both rounded down to
0.01. A gain is positive and skewed, so mean and sd are those of its logarithm. A false-fail rate is that of a normal
distribution, with the number of sets that did fail beside it. Run it again, and write both into the assignment, when the shipped weights change.
"""

import argparse
import json
import math
import os
import statistics
from pathlib import Path

from coursekit import notebooks

TEXT = Path(__file__).resolve().parents[1] / "solutions" / "a2_decoding_and_scoring.py"
ONCE = ["setup", "settings", "imports", "pictures"]


def cells():
    """{grade_id: source} of the assignment's code cells."""
    notebook = json.loads(notebooks.notebook_json(TEXT))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return {notebooks.grade_id(cell): "".join(cell["source"]) for cell in code}


def measure(sets):
    """Yields for each set its seed (None: that of the open test), BLEU-4 of the beam, of greedy, and the gain in nats."""
    sources, space = cells(), {"__name__": "__main__"}
    for key in ONCE:
        exec(sources[key], space)
    decoding, ids, limit = space["decoding"], space["ids"], space["max_len"]
    for seed in [None, *range(1, sets)]:
        split = ("dev", 0) if seed is None else ("test", seed)
        _, memory, references, _ = space["gather"](split[0], space["settings"]["judged"], split[1])
        tokens, scores = decoding.beam_search(space["model"], memory, *ids, space["beam"], limit)
        plain, _ = decoding.greedy(space["model"], memory, *ids, limit)
        bleus = [space["bleu_4"](one, references) for one in (tokens, plain)]
        yield seed, *bleus, statistics.mean(scores) - space["greedy_score"](memory)


def summary(name, values, scale=float, back=float):
    """One line: the suggested threshold, and how often a right answer would fail; normal on a scale."""
    mean, sd = statistics.mean(map(scale, values)), statistics.stdev(map(scale, values))
    threshold = math.floor(back(mean - 5 * sd) * 100) / 100
    rate = 0.5 * math.erfc((mean - scale(threshold)) / sd / math.sqrt(2))
    mean, sd = statistics.mean(values), statistics.stdev(values)
    failed = sum(value < threshold for value in values)
    told = f"{name:6} mean {mean:.4f}  sd {sd:.4f}  lowest {min(values):.4f}  threshold {threshold:.2f}"
    return f"{told}  false fails {rate:.1e} by model, {failed} of {len(values)} seen"


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--size", choices=["smoke", "cpu", "gpu"], default="cpu")
    options.add_argument("--sets", type=int, default=20, help="at least 2")
    chosen = options.parse_args()
    os.environ["COURSEKIT_SIZE"] = chosen.size
    rows = []
    for row in measure(max(2, chosen.sets)):
        rows.append(row)
        print("seed {}  BLEU-4 {:.4f}  greedy {:.4f}  gain {:.3f}".format(*row), flush=True)
    _, bleus, plain, gains = zip(*rows, strict=True)
    print(f"at size {chosen.size}, {chosen.sets} sets:")
    print(summary("BLEU-4", bleus))
    print(summary("gain", gains, math.log, math.exp))
    print(f"greedy mean BLEU-4 {statistics.mean(plain):.4f}")


if __name__ == "__main__":
    main()
