"""BLEU, ROUGE-L and CIDEr of many captions: ours against pycocoevalcap's, the same values, in one run.

    python benchmarks/scoring.py [--pictures 5000] [--photos Flickr8k.token.txt] [--repeats 3]

Each picture has five references; its caption is one of the next picture's, or for each third picture its own
third. The pictures are scenes, or photos from a file of Flickr8k's texts. Ours counts n-grams for all scores in the
step "words", so single scores do not compare without it: "together" does. pycocoevalcap splits into words with a Java
program, whose row is left out where there is no Java. Seconds are those of one core: the bound is Python's own speed,
no matrix product. Ends with exit code 1 if words differ, or a score by more than 1e-6.
"""

import harness
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from coursekit.datasets.scenes import Scenes
from coursekit.metrics.bleu import bleu_sums
from coursekit.metrics.cider import cider_sums
from coursekit.metrics.intervals import bootstrap
from coursekit.metrics.java import find_java
from coursekit.metrics.judgement import read_captions_by_id
from coursekit.metrics.rouge import rouge_sums
from coursekit.metrics.words import read_captions


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


def word_tasks(candidates, references):
    """name → function that splits all captions and returns the words of each; ours counts their n-grams, too."""
    lists = {i: [candidates[i], *references[i]] for i in range(len(candidates))}
    captions = {i: [{"caption": text} for text in each] for i, each in lists.items()}

    def ours():
        read, others = read_captions(candidates, references)
        pairs = zip(read, others, strict=True)
        return [[one.words for one in (first, *rest)] for first, rest in pairs]

    def theirs():
        found = PTBTokenizer().tokenize(captions)
        return [[text.split() for text in found[i]] for i in range(len(found))]

    return {harness.OURS: ours, "pycocoevalcap": theirs}


def score_tasks(candidates, references):
    """score → (name → function that returns {name: value}); both sides are given words."""
    read = read_captions(candidates, references)
    results = {i: [" ".join(caption.words)] for i, caption in enumerate(read[0])}
    truths = {i: [" ".join(one.words) for one in each] for i, each in enumerate(read[1])}
    return {
        title: {
            harness.OURS: lambda sums=sums: ours(sums(*read)),
            "pycocoevalcap": lambda score=score, names=names: theirs(score, names, truths, results),
        }
        for title, names, sums, score in (
            ("BLEU", ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"), bleu_sums, Bleu(4)),
            ("ROUGE-L", ("ROUGE_L",), rouge_sums, Rouge()),
            ("CIDEr", ("CIDEr",), cider_sums, Cider()),
        )
    }


def ours(sums):
    """{name: value} of a metric's sums."""
    return dict(zip(sums.names, sums.finish(sums.rows.sum(0)).tolist(), strict=True))


def theirs(score, names, truths, results):
    """{name: value} of a scorer of pycocoevalcap."""
    more = {"verbose": 0} if len(names) > 1 else {}
    values, _ = score.compute_score(truths, results, **more)
    return dict(zip(names, values if len(names) > 1 else [values], strict=True))


def close(mine, other):
    """Whether scores differ by no more than 1e-6."""
    pairs = zip(mine, other, strict=True)
    return all(a.keys() == b.keys() and max(abs(a[k] - b[k]) for k in a) < 1e-6 for a, b in pairs)


def rows(options):
    """A row for the words, one for each score, and one for all together."""
    captions = make_captions(options.pictures, options.photos)
    steps = {"words": word_tasks(*captions)} if find_java() else {}
    steps |= score_tasks(*captions)
    whole = {harness.OURS: [], "pycocoevalcap": []}
    for name, tasks in steps.items():
        found = harness.measure(tasks, options.repeats, options.clock)
        for side, (seconds, _) in found.items():
            whole[side].append(seconds)
        agree = None if name == "words" else close
        yield harness.row(name, found, options.pictures, "captions", agree=agree)
    found = {side: ([sum(turn) for turn in zip(*each, strict=True)], [0]) for side, each in whole.items()}  # fmt: skip
    seconds = harness.measure({"": lambda: bootstrap(*captions, meteor=False)}, 1, options.clock)
    note = (
        f"with intervals from 1,000 resamples, words included, ours takes {seconds[''][0][0]:.2f} s"
    )
    name = "together" if "words" in steps else "together, without words: no Java"
    yield harness.row(name, found, options.pictures, "captions", note=note)


def main():
    """Prints the comparison."""
    parser = harness.parser(__doc__, repeats=3)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--photos")
    options = harness.begin(parser.parse_args())
    harness.report("scoring", rows(options), options)


if __name__ == "__main__":
    main()
