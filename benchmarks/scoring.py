"""BLEU, ROUGE-L and CIDEr of many captions: ours against pycocoevalcap's, the same values, in one run.

    python benchmarks/scoring.py [--pictures 5000] [--photos Flickr8k.token.txt] [--repeats 3]

Each picture has five references; its caption is one of the next picture's, or for each third picture its own
third. The pictures are scenes, or photos from a file of Flickr8k's texts. Prints the medians of CPU seconds and
their ratios, and of 1,000 bootstrap resamples; ends with exit code 1 if a score differs by more than 1e-6.
pycocoevalcap splits into words with a Java program, left out where there is no Java; ours counts n-grams for all
scores in the same step.
"""

import argparse
import os
import statistics
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"  # one core: numpy reads this when it is imported

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from coursekit.datasets.scenes import Scenes
from coursekit.metrics.bleu import bleu_sums
from coursekit.metrics.captions import caption_scores
from coursekit.metrics.cider import cider_sums
from coursekit.metrics.intervals import bootstrap
from coursekit.metrics.java import find_java
from coursekit.metrics.judgement import read_captions_by_id
from coursekit.metrics.rouge import rouge_sums
from coursekit.metrics.words import ptb_words, read_captions


def make_captions(pictures, photos):
    """(candidates, references): one caption and five references of each picture."""
    if photos:
        said = list(read_captions_by_id(photos).values())
        references = [said[i : i + 5] for i in range(0, 5 * pictures, 5)]
    else:
        references = Scenes("train", pictures).captions
    following = [*references[1:], references[0]]
    pairs = enumerate(zip(references, following, strict=True))
    return [own[2] if i % 3 == 0 else other[0] for i, (own, other) in pairs], references


def cpu_seconds(task):
    """The CPU time of a task and of the programs it starts, and what it returns."""
    start = time.process_time() + sum(os.times()[2:4])
    found = task()
    return time.process_time() + sum(os.times()[2:4]) - start, found


def ours(candidates, references):
    """name → CPU seconds of each step of our scoring."""
    seconds = {}
    seconds["words"], read = cpu_seconds(lambda: read_captions(candidates, references))
    for name, sums in (("BLEU", bleu_sums), ("ROUGE-L", rouge_sums), ("CIDEr", cider_sums)):
        seconds[name], _ = cpu_seconds(lambda sums=sums: sums(*read))
    return seconds


def theirs(candidates, references):
    """name → CPU seconds of each step of pycocoevalcap, and its scores by our names."""
    seconds, scores = {}, {}
    if find_java():
        lists = {i: [candidates[i], *references[i]] for i in range(len(candidates))}
        captions = {i: [{"caption": text} for text in each] for i, each in lists.items()}
        seconds["words"], _ = cpu_seconds(lambda: PTBTokenizer().tokenize(captions))
    words = [" ".join(ptb_words(caption)) for caption in candidates]
    results = {i: [text] for i, text in enumerate(words)}
    truths = {i: [" ".join(ptb_words(r)) for r in each] for i, each in enumerate(references)}
    tasks = {
        "BLEU": lambda: Bleu(4).compute_score(truths, results, verbose=0),
        "ROUGE-L": lambda: Rouge().compute_score(truths, results),
        "CIDEr": lambda: Cider().compute_score(truths, results),
    }
    for name, task in tasks.items():
        seconds[name], (scores[name], _) = cpu_seconds(task)
    bleu = {f"Bleu_{n + 1}": score for n, score in enumerate(scores["BLEU"])}
    return seconds, bleu | {"ROUGE_L": scores["ROUGE-L"], "CIDEr": scores["CIDEr"]}


def line(name, mine, other):
    """One line of the table."""
    ratio = f"{other / mine:5.1f} times ours" if other is not None else "not tested: no Java"
    print(f"{name:10} {mine:6.2f} s  {'' if other is None else f'{other:6.2f} s'}  {ratio}")


def main():
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--photos")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    captions = make_captions(options.pictures, options.photos)
    runs = [(ours(*captions), *theirs(*captions)) for _ in range(options.repeats)]
    middle = [
        {name: statistics.median(run[side][name] for run in runs) for name in runs[0][side]}
        for side in (0, 1)
    ]
    print(f"{options.pictures} captions, five references each, CPU seconds: ours, pycocoevalcap's")
    for name, seconds in middle[0].items():
        line(name, seconds, middle[1].get(name))
    shared = [name for name in middle[0] if name in middle[1]]
    line("together", *(sum(side[name] for name in shared) for side in middle))
    seconds, _ = cpu_seconds(lambda: bootstrap(*captions, meteor=False))
    print(f"scores with intervals from 1,000 resamples, words included: {seconds:.2f} s")
    scores = caption_scores(*captions, meteor=False)
    apart = max(abs(scores[name] - value) for name, value in runs[0][2].items())
    print(f"largest difference of a score {apart:.1e}")
    if apart > 1e-6:
        sys.exit("The scores differ, so their times do not compare.")


if __name__ == "__main__":
    main()
