"""Measures the BLEU-4 that the model answer of assignment a1 reaches, seed by seed, and suggests a threshold.

    python data_scripts/a1_threshold.py --size cpu --seeds 10

Two scores a seed: on the pictures of the open test and on those of the hidden one. The threshold is
mean - 4 sd of the lower of the two, rounded down to 0.01; its false-fail rate is that of a normal
distribution, with the number of seeds that did fail beside it. Write it into BLEU_4 of the assignment.
"""

import contextlib
import io
import time

from thresholds import cells, columns, options, suggested, summary

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


def measure(seeds):
    """Trains once for each seed; yields seed, BLEU-4 on the open pictures, on the hidden ones, seconds."""
    sources, space = cells("a1_show_and_tell"), {"__name__": "__main__"}
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


def main():
    chosen = options(__doc__, seeds=10)
    line = "seed {}  open {:.4f}  hidden {:.4f}  {:.0f} s"
    _, *scores, _ = columns(measure(max(2, chosen.seeds)), line)
    threshold = min(suggested(each, sds=4) for each in scores)
    print(f"suggested threshold at size {chosen.size}: {threshold:.2f}")
    for name, each in zip(["open", "hidden"], scores, strict=True):
        print(summary(name, each, threshold))


if __name__ == "__main__":
    main()
