"""ROUGE-L (Lin, 2004), with pycocoevalcap's values."""

from coursekit.metrics.sums import mean_sums

BETA = 1.2  # recall counts 1.44 times as much as precision


def rouge_sums(candidates, references):
    """Sums of ROUGE_L over Captions."""
    pairs = zip(candidates, references, strict=True)
    return mean_sums("ROUGE_L", [_rouge(candidate.words, each) for candidate, each in pairs])


def _rouge(words, references):
    """F = (1 + β²) P R / (R + β² P), with the best precision and the best recall of any reference.

    P and R divide the longest common subsequence by the caption's and the reference's length.
    """
    words = words or [""]  # pycocoevalcap counts one empty word
    others = [one.words or [""] for one in references]
    common = [common_subsequence(words, other) for other in others]
    precision = max(common) / len(words)
    recall = max(length / len(other) for length, other in zip(common, others, strict=True))
    if not precision:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def common_subsequence(a, b):
    """Length of the longest common subsequence of two lists (Hyyrö, 2004).

    A column of the usual table grows by 0 or 1 from cell to cell: one bit of an integer each, 0
    where it grows. One addition then does the work of a whole column.
    """
    places = {}
    for i, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << i
    column = full = (1 << len(a)) - 1
    for word in b:
        met = column & places.get(word, 0)
        column = (column + met | column - met) & full
    return len(a) - column.bit_count()
