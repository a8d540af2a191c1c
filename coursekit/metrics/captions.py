"""Caption scores with the values and names of pycocoevalcap, Java needed for METEOR and SPICE alone.

BLEU (Papineni et al., 2002), ROUGE-L (Lin, 2004), CIDEr (Vedantam et al., 2015), METEOR (Denkowski
and Lavie, 2014) and SPICE (Anderson et al., 2016), all 0 to 1 except CIDEr, which goes to 10.
"""

from coursekit.errors import CourseError
from coursekit.metrics.bleu import bleu_sums
from coursekit.metrics.cider import cider, cider_sums, document_frequency
from coursekit.metrics.meteor import meteor_scores, meteor_sums, no_meteor, start_meteor
from coursekit.metrics.rouge import rouge_sums
from coursekit.metrics.spice import no_spice, spice_scores, spice_sums
from coursekit.metrics.words import check_references, ptb_words, read_captions

__all__ = [
    "Scores", "caption_scores", "caption_sums", "cider", "document_frequency", "human_scores",
    "meteor_scores", "no_meteor", "no_spice", "ptb_words", "spice_scores", "start_meteor",
]  # fmt: skip
ORDER = ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr", "SPICE"]


class Scores(dict):
    """Scores by name; `missing` tells for each that was left out why."""

    def __init__(self, scores, missing=None):
        super().__init__(scores)
        self.missing = dict(missing or {})


def caption_scores(
    candidates, references, meteor=None, tokenized=False, per_caption=False, spice=False
):
    """Scores `candidates[i]` (a caption) against `references[i]` (a list of captions).

    Returns Scores, a dict with Bleu_1 to Bleu_4, METEOR, ROUGE_L, CIDEr and SPICE.  Each is one
    number for the whole, or with `per_caption` a list with one number for each caption; only for
    ROUGE-L, CIDEr and SPICE is the one the mean of the others.  CIDEr is CIDEr-D (see `cider`); it
    weighs words by how rare they are among all references given, so it needs many pictures: with
    one it is 0.

    `meteor` False leaves METEOR out; None does where there is no Java, and says so in `.missing`;
    True insists.  `spice` likewise, False unless asked for: it takes minutes.  `tokenized` takes
    words as they stand between blanks, for text that has been through `ptb_words` or has published
    scores without it.

    Raises CourseError if a list is empty or of another length, or a score is insisted on in vain.
    """
    found, missing = caption_sums(candidates, references, meteor, tokenized, spice)
    scores = {}
    for names, rows, finish in found:
        values = finish(rows if per_caption else rows.sum(0))  # (captions, names) or (names,)
        scores |= zip(names, values.T.tolist(), strict=True)
    return Scores({name: scores[name] for name in ORDER if name in scores}, missing)


def human_scores(references, **options):
    """How people score against each other: the first reference of each picture against its others.

    `options` are those of `caption_scores`.  One reference fewer makes it a little lower than a
    model's score would be.  Raises CourseError if a picture has fewer than two references.
    """
    check_references(references)
    if any(len(each) < 2 for each in references):
        raise CourseError("Each picture needs two references or more, one of them to be scored.")
    firsts, others = [each[0] for each in references], [each[1:] for each in references]
    return caption_scores(firsts, others, **options)


def caption_sums(candidates, references, meteor=None, tokenized=False, spice=False):
    """The Sums behind `caption_scores`, whose arguments these are, and what is missing and why."""
    read = read_captions(candidates, references, tokenized)
    found = [bleu_sums(*read), rouge_sums(*read), cider_sums(*read)]
    texts = [_text(one) for one in read[0]], [[_text(one) for one in each] for each in read[1]]
    missing = {}
    for name, wanted, sums in (("METEOR", meteor, meteor_sums), ("SPICE", spice, spice_sums)):
        try:
            if wanted is False:
                raise CourseError(f"{name} was not asked for.")
            found.append(sums(*texts))
        except CourseError as error:
            if wanted:
                raise
            missing[name] = str(error)
    return found, missing


def _text(caption):
    return " ".join(caption.words)
