"""Measures what sound searches reach in question 10 of assignment a2, set of pictures by set, and suggests its thresholds.

    python data_scripts/a2_threshold.py --size cpu --sets 20

The captioner is the one that comes with the course, so what varies is the pictures: each set is drawn from a
seed of its own, and searched with the beam of the assignment and with greedy search. BLEU_4 is mean - 5 sd of
beam search, and GAIN the same of how much likelier its captions are than greedy's, in nats; both rounded down to
0.01. A gain is positive and skewed, so mean and sd are those of its logarithm. A false-fail rate is that of a normal
distribution, with the number of sets that did fail beside it. Run it again, and write both into the assignment, when the shipped weights change.
"""

import math
import statistics

from thresholds import cells, columns, options, suggested, summary

ONCE = ["setup", "settings", "imports", "pictures"]


def measure(sets):
    """Yields for each set its seed (None: that of the open test), BLEU-4 of the beam, of greedy, and the gain in nats."""
    sources, space = cells("a2_decoding_and_scoring"), {"__name__": "__main__"}
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


def main():
    chosen = options(__doc__, sets=20)
    line = "seed {}  BLEU-4 {:.4f}  greedy {:.4f}  gain {:.3f}"
    _, bleus, plain, gains = columns(measure(max(2, chosen.sets)), line)
    print(f"at size {chosen.size}, {chosen.sets} sets:")
    print(summary("BLEU-4", bleus, suggested(bleus, sds=5)))
    least = suggested(gains, sds=5, scale=math.log, back=math.exp)
    print(summary("gain", gains, least, math.log))
    print(f"greedy mean BLEU-4 {statistics.mean(plain):.4f}")


if __name__ == "__main__":
    main()
