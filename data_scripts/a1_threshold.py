"""Measures the BLEU-4 that the model answer of assignment a1 reaches, seed by seed, and suggests a threshold.

    python data_scripts/a1_threshold.py --size cpu --seeds 10

Two scores a seed: on the pictures of the open test and on those of the hidden one. The threshold is
mean - 4 sd of the lower of the two, rounded down to 0.01; its false-fail rate is that of a normal
distribution, with the number of seeds that did fail beside it. Write it into BLEU_4 of the assignment.
"""

import argparse
import contextlib
import io
import json
import math
import os
import statistics
import time
from pathlib import Path

from coursekit import notebooks

TEXT = Path(__file__).resolve().parents[1] / "solutions" / "a1_show_and_tell.py"
# The seed of the hidden pictures, as in the assignment: one that nobody finds by trying
HIDDEN = 7_340_918_263_551
ONCE = [
    "setup",
    "settings",
    "imports",
    "captioner_layers",
    "captioner",
    "masked_loss",
    "pictures",
    "parts",
    "train",
    "describing",
]


def cells():
    """{grade_id: source} of the assignment's code cells."""
    notebook = json.loads(notebooks.notebook_json(TEXT))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return {notebooks.grade_id(cell): "".join(cell["source"]) for cell in code}


def measure(seeds):
    """Trains once for each seed; yields seed, BLEU-4 on the open pictures, on the hidden ones, seconds."""
    sources, space = cells(), {"__name__": "__main__"}
    for key in ONCE:
        exec(sources[key], space)
    images, references, _ = space["gather"]("test", space["settings"]["judged"], seed=HIDDEN)
    hidden = space["remember"](images)
    for seed in range(seeds):
        space["seed"], started = seed, time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            exec(sources["training_run"], space)
        spent = time.perf_counter() - started
        scores = [
            space["bleu_4"](space["describe"](space["trained"], memory), truth)
            for memory, truth in (
                (space["dev_memory"], space["dev_captions"]),
                (hidden, references),
            )
        ]
        yield seed, *scores, spent


def summary(name, scores, threshold):
    """One line: mean, sd, and how often a right answer would fail."""
    mean, sd = statistics.mean(scores), statistics.stdev(scores)
    rate = 0.5 * math.erfc((mean - threshold) / sd / math.sqrt(2))
    failed = sum(score < threshold for score in scores)
    return f"{name:7} mean {mean:.4f}  sd {sd:.4f}  false fails {rate:.1e} by model, {failed} of {len(scores)} seen"


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--size", choices=["smoke", "cpu", "gpu"], default="cpu")
    options.add_argument("--seeds", type=int, default=10, help="at least 2")
    chosen = options.parse_args()
    os.environ["COURSEKIT_SIZE"] = chosen.size
    rows = []
    for row in measure(max(2, chosen.seeds)):
        rows.append(row)
        print("seed {}  open {:.4f}  hidden {:.4f}  {:.0f} s".format(*row), flush=True)
    columns = {"open": [row[1] for row in rows], "hidden": [row[2] for row in rows]}
    least = min(statistics.mean(c) - 4 * statistics.stdev(c) for c in columns.values())
    threshold = math.floor(least * 100) / 100
    print(f"suggested threshold at size {chosen.size}: {threshold:.2f}")
    for name, scores in columns.items():
        print(summary(name, scores, threshold))


if __name__ == "__main__":
    main()
