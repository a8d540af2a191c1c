"""Caption scores with the values and names of pycocoevalcap, Java needed for METEOR alone.

BLEU (Papineni et al., 2002), ROUGE-L (Lin, 2004), CIDEr (Vedantam et al., 2015) and METEOR
(Denkowski and Lavie, 2014), all 0 to 1 except CIDEr, which goes to 10.
"""

from coursekit.errors import CourseError
from coursekit.metrics.meteor import meteor_scores, no_meteor, start_meteor
from coursekit.metrics.words import ptb_words

__all__ = ["Scores", "caption_scores", "meteor_scores", "no_meteor", "ptb_words", "start_meteor"]

ORDER = ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr"]


class Scores(dict):
    """Scores by name; `missing` tells for each that was left out why."""

    def __init__(self, scores, missing=None):
        super().__init__(scores)
        self.missing = dict(missing or {})


def caption_scores(candidates, references, meteor=None, tokenized=False, per_caption=False):
    """Scores `candidates[i]` (a caption) against `references[i]` (a list of captions).

    Returns Scores, a dict with Bleu_1 to Bleu_4, METEOR, ROUGE_L and CIDEr.  Each is one number for
    the whole, or with `per_caption` a list with one number for each caption; only for ROUGE-L and
    CIDEr is the one the mean of the others.  CIDEr weighs words by how rare they are among all
    references given, so it needs many pictures: with one it is 0.

    `meteor` False leaves METEOR out; None does where there is no Java, and says so in `.missing`;
    True insists.  `tokenized` takes words as they stand between blanks, for text that has been
    through `ptb_words` or has published scores without it.

    Raises CourseError if a list is empty or of another length, or METEOR is insisted on in vain.
    """
    _check(candidates, references)
    prepare = _blanks if tokenized else _words
    candidates = [prepare(caption) for caption in candidates]
    references = [[prepare(caption) for caption in each] for each in references]
    found = _without_java(candidates, references)
    missing = {}
    try:
        if meteor is False:
            raise CourseError("METEOR was not asked for.")
        found["METEOR"] = meteor_scores(candidates, references)
    except CourseError as error:
        if meteor:
            raise
        missing["METEOR"] = str(error)
    pick = _each if per_caption else _whole
    return Scores({name: pick(*found[name]) for name in ORDER if name in found}, missing)


def _whole(score, _):
    return float(score)


def _each(_, scores):
    return [float(score) for score in scores]


def _words(caption):
    return " ".join(ptb_words(caption))


def _blanks(caption):
    return " ".join(caption.split())


def _without_java(candidates, references):
    """name → (score of the whole, scores of each caption)."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    results = {i: [caption] for i, caption in enumerate(candidates)}
    truths = dict(enumerate(references))
    wholes, lists = Bleu(4).compute_score(truths, results, verbose=0)
    found = {f"Bleu_{n + 1}": (wholes[n], lists[n]) for n in range(4)}
    found["ROUGE_L"] = Rouge().compute_score(truths, results)
    found["CIDEr"] = Cider().compute_score(truths, results)
    return found


def _check(candidates, references):
    if len(candidates) != len(references) or not candidates:
        raise CourseError(
            f"There are {len(candidates)} captions for {len(references)} lists of references; "
            "give one caption and one list of references for each picture."
        )
    for i, (caption, each) in enumerate(zip(candidates, references, strict=True)):
        if not isinstance(caption, str):
            raise CourseError(f"Caption {i} is a {type(caption).__name__}; give it as one string.")
        if isinstance(each, str) or not each or not all(isinstance(one, str) for one in each):
            raise CourseError(
                f"The references of caption {i} must be a list of at least one string; "
                "wrap a single reference as [reference]."
            )
