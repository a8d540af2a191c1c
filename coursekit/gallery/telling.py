"""What captioners say of a data set in several ways, judged; and which pictures to show of it."""

import sys
from dataclasses import dataclass
from itertools import combinations
from statistics import mean

from tqdm import tqdm

from coursekit.captioner import WAYS, features_of
from coursekit.datasets.scenes import claims
from coursekit.errors import CourseError
from coursekit.metrics.captions import caption_sums
from coursekit.metrics.scenes import fact_scores

ORDERS = ("as they come", "worst first", "most disputed")


@dataclass(frozen=True)
class Told:
    """What one captioner says of every picture in one way.

    certainty: the model's mean log-probability of a word, the caption's end counted as one; nats.  whole: the scores
    of all captions together.  each: the same scores as lists, one number a picture.
    """

    captioner: str
    way: str
    captions: list[str]
    certainty: list[float]
    whole: dict
    each: dict

    @property
    def distinct(self):
        return len(set(self.captions))

    @property
    def words(self):
        """Mean length of the captions, in words."""
        return mean(len(caption.split()) for caption in self.captions)


def tell(captioners, dataset, ways, seed=0, meteor=False):
    """A Told for each of {label: captioner} and each way, over all pictures of a data set."""
    found = []
    for label, captioner in captioners.items():
        memory = features_of(captioner, dataset)
        for way in tqdm(ways, label, file=sys.stdout, leave=False, mininterval=2):
            captions, scores = captioner.decode(memory, way, seed)
            lengths = [len(captioner.tokenizer.encode(caption)) + 1 for caption in captions]
            certainty = [score / length for score, length in zip(scores, lengths, strict=True)]
            found.append(Told(label, way, captions, certainty, *_judged(captions, dataset, meteor)))
    return found


def _judged(captions, dataset, meteor):
    """The scores of all captions together, and those of each."""
    whole, each = {}, {}
    for names, rows, finish in caption_sums(captions, dataset.captions, meteor)[0]:
        whole |= zip(names, finish(rows.sum(0)).tolist(), strict=True)
        each |= zip(names, finish(rows).T.tolist(), strict=True)
    if hasattr(dataset, "facts"):
        whole.update(fact_scores([claims(caption) for caption in captions], dataset.facts()))
    return whole, each


def check_ways(ways):
    """Raises CourseError unless `ways` are some of captioner.WAYS."""
    unknown = [way for way in ways if way not in WAYS]
    if unknown or not ways:
        named = f"There is no way '{unknown[0]}' to decode" if unknown else "No way was given"
        raise CourseError(f"{named}: choose among {', '.join(WAYS)}.")


def order_of(told, order):
    """The indices of all pictures in one of ORDERS, the first to be shown first.

    "worst first": by the mean CIDEr of all that was said; "most disputed": by `dispute`.
    Raises CourseError for another order, or if nobody can disagree.
    """
    if order not in ORDERS:
        raise CourseError(f"There is no order '{order}': choose one of {', '.join(ORDERS)}.")
    indices = range(len(told[0].captions))
    if order == "worst first":
        return sorted(indices, key=lambda i: mean_cider(told, i))
    if order == "most disputed":
        if len(told) < 2:
            raise CourseError(
                "One caption a picture is never disputed: give two captioners or two ways."
            )
        return sorted(indices, key=lambda i: -dispute([one.captions[i] for one in told]))
    return list(indices)


def mean_cider(told, i):
    """The mean CIDEr of all that was said of picture i."""
    return mean(one.each["CIDEr"][i] for one in told)


def dispute(captions):
    """How unlike the captions of one picture are: of the words of two, the part that only one has; mean of all pairs.

    From 0, all use the same words, to 1, no two share a word (Jaccard distance).
    """
    bags = [set(caption.lower().split()) for caption in captions]
    pairs = [1 - len(a & b) / len(a | b) if a | b else 0.0 for a, b in combinations(bags, 2)]
    return mean(pairs) if pairs else 0.0


def known_words(captioner, dataset):
    """The part of the references' words that a captioner's vocabulary holds: 0 to 1."""
    tokens = [t for each in dataset.captions for c in each for t in captioner.tokenizer.encode(c)]
    unknown = tokens.count(captioner.tokenizer.unk_id)
    return 1 - unknown / len(tokens) if tokens else 1.0
