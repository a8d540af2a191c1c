"""Measures the bits a pixel and the accuracy that the model answers of assignment a4 reach, and suggests thresholds.

    python data_scripts/a4_threshold.py --size cpu --seeds 10

A seed decides all that is random: the model, and the order of its pictures. Two scores of each kind a seed: on the
digits of the open tests, and on others, chosen anew for each seed as the hidden tests choose them. BITS is mean + 5 sd,
rounded up to 0.01, and ACCURACY mean - 5 sd, rounded down; of two, the one that is easier to reach. The false-fail
rates are those of a normal distribution, with the number of seeds that did fail beside them. Bits stand in the
summary with a minus sign, so that more is better. Write both into the assignment. The seconds are those of the
processor. Several calls can share the seeds: --first says with which to begin.
"""

import contextlib
import io
import random
import time

from thresholds import cells, columns, options, suggested, summary

ONCE = [
    "setup",
    "settings",
    "imports",
    "digits",
    "pixel_layers",
    "model",
    "bits",
    "features",
    "small_model",
    "tokens",
    "parts",
    "train",
    "probe",
]
EACH = ["training_run", "seer"]
# The cell `seer` asks whether the model has learned; here every model of the answer is probed
ASKED = dict(BITS=float("inf"))


def measure(seeds):
    """Trains once for each seed; yields seed, bits on the open digits, on others, accuracies on both, seconds."""
    sources, space = cells("a4_image_gpt"), {"__name__": "__main__"}
    for key in ONCE:
        exec(sources[key], space)
    space |= ASKED
    for seed in seeds:
        space["seed"], started = seed, time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            for key in EACH:
                exec(sources[key], space)
        spent = time.process_time() - started
        judged, test = space["settings"]["judged"], space["test"]
        others = test[sorted(random.Random(seed).sample(range(len(test)), judged))]
        parts = (space["dev"][:judged], others)
        yield (
            seed,
            *(bits(space, each) for each in parts),
            *(share(space, each) for each in parts),
            spent,
        )


def bits(space, digits):
    """Bits a pixel of digits under the model that was trained last."""
    return space["scores"].bits_per_pixel(space["trained"], space["as_tokens"](digits))[0]


def share(space, digits):
    """The share of digits that the probe of the model answer names rightly."""
    new = space["features_at"](
        space["seer"], space["as_tokens"](digits), space["settings"]["probed"]
    )
    guessed = space["probe"](space["seen"], space["learned"].labels, new)
    return float((guessed == digits.labels.numpy()).mean())


def main():
    chosen = options(__doc__, seeds=10, first=0)
    seeds = range(chosen.first, chosen.first + max(2, chosen.seeds))
    line = "seed {}  bits {:.4f}  hidden {:.4f}  accuracy {:.4f}  hidden {:.4f}  {:.0f} s"
    _, *found, _ = columns(measure(seeds), line)
    found = [[-one for one in each] for each in found[:2]] + found[2:]  # more is better
    names = ["open", "hidden"]
    for kind, pair in (("BITS", found[:2]), ("ACCURACY", found[2:])):
        threshold = min(suggested(each, sds=5) for each in pair)
        print(f"suggested {kind} at size {chosen.size}: {abs(threshold):.2f}")
        for name, each in zip(names, pair, strict=True):
            print(summary(name, each, threshold))


if __name__ == "__main__":
    main()
