"""Measures the BLEU-4 that the model answer of assignment a3 reaches, seed by seed, and suggests a threshold.

    python data_scripts/a3_threshold.py --size cpu --seeds 10

A seed decides all that is random: the language model, its documents, the mapper, the order of pictures. Two scores a
seed: on the pictures of the open test, and on others, drawn anew for each seed as the hidden test draws them. The
threshold is mean - 5 sd of the lower of the two, rounded down to 0.01; its false-fail rate is that of a normal
distribution, with the number of seeds that did fail beside it. Write it into BLEU_4 of the assignment. The seconds are
those of the processor. Several calls can share the seeds: --first says with which to begin.
"""

import contextlib
import io
import time

from thresholds import cells, columns, options, suggested, summary

# The first seed of the pictures that stand for hidden ones
HIDDEN = 10_000
ONCE = [
    "setup",
    "settings",
    "imports",
    "language_layers",
    "language",
    "mapper_layers",
    "mapper",
    "join",
    "labels",
    "captioner_layers",
    "frozen",
    "pictures",
    "train",
]
EACH = ["text_training", "parts", "training_run"]


def measure(seeds):
    """Trains once for each seed; yields seed, BLEU-4 on the open pictures, on other ones, seconds."""
    sources, space = cells("a3_prefix_captioner"), {"__name__": "__main__"}
    for key in ONCE:
        exec(sources[key], space)
    judged, references = space["settings"]["judged"], space["dev_captions"]
    for seed in seeds:
        space["seed"], started = seed, time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            for key in EACH:
                exec(sources[key], space)
        spent = time.process_time() - started
        images, others, _ = space["gather"]("test", judged, seed=HIDDEN + seed)
        scores = [
            space["bleu_4"](space["describe"](space["trained"], memory), truth)
            for memory, truth in (
                (space["dev_memory"], references),
                (space["remember"](images), others),
            )
        ]
        yield seed, *scores, spent


def main():
    chosen = options(__doc__, seeds=10, first=0)
    seeds = range(chosen.first, chosen.first + max(2, chosen.seeds))
    line = "seed {}  open {:.4f}  hidden {:.4f}  {:.0f} s"
    _, *scores, _ = columns(measure(seeds), line)
    threshold = min(suggested(each, sds=5) for each in scores)
    print(f"suggested threshold at size {chosen.size}: {threshold:.2f}")
    for name, each in zip(["open", "hidden"], scores, strict=True):
        print(summary(name, each, threshold))


if __name__ == "__main__":
    main()
