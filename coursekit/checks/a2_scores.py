"""The checks of assignment a2 about BLEU: clipped counts, the brevity penalty, the score of a corpus.

All compare with `program`, pycocoevalcap's module bleu.bleu_scorer, which the assignment hands over.
`drawn_captions` draws captions to ask them of.
"""

import math

import numpy as np

from coursekit.checks.core import Wrong, exercise, expect_close, expect_equal


def drawn_captions(generator, pictures=4, words=9):
    """Captions and three references of each picture, strings of drawn words, alike but not equal.

    generator: numpy's.  Every caption has 4 to 12 words; the first one has two words the same.
    """
    names = [f"{first}{second}" for first in "bdfgk" for second in ("a", "o", "u")][:words]
    found = []
    for _ in range(pictures):
        told = list(generator.choice(names, generator.integers(5, 11)))
        each = [_altered(told, names, generator) for _ in range(4)]
        found.append((" ".join([*each[0], each[0][-1]]), [" ".join(one) for one in each[1:]]))
    return [one for one, _ in found], [each for _, each in found]


def _altered(told, names, generator):
    """Some words exchanged, then perhaps one left out or two added."""
    words = [str(generator.choice(names)) if generator.random() < 0.25 else str(w) for w in told]
    more = [str(w) for w in generator.choice(names, 2)]
    return [words[1:], words, [*words, *more]][generator.integers(3)]


def grams(words, n):
    """The n-grams of a list of words, in order, as tuples."""
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


# --- 4 clipped counts ---------------------------------------------------------------------------
CANDIDATES = [
    "the the the the the the the the the cat cat on",
    "a red boat on the lake and a red boat on the lake",
    "a boat",
]
REFERENCES = [
    # Of the first caption 7 words are matched; every mistake below finds another number
    ["the cat is on the mat by the door", "the cat on the mat by the door of the house", "a cat and a cat on the mat"],
    ["a red boat on the lake", "on the lake is a red boat on the water", "a boat and a lake"],
    ["a red boat sails", "one small boat is out there"],
]  # fmt: skip


@exercise("clipped_counts")
def clipped_counts(answer, program, candidates=CANDIDATES, references=REFERENCES):
    """answer(candidate, references, n), lists of words -> n-grams that are matched, n-grams in all."""
    for told, each in zip(candidates, references, strict=True):
        truth = program.cook_test(told, program.cook_refs(each))
        for n in (1, 2, 3, 4):
            given = told.split(), [one.split() for one in each]
            got = answer(*given, n)
            if given != (told.split(), [one.split() for one in each]):
                why = "remove and pop change the caller's lists: count in a dictionary of your own"
                raise Wrong("the given lists are left as they were", "they change", why)
            matched, total = _two_counts(got)
            name = f"of '{told}' with n = {n}"
            mistakes = _wrong_totals(told.split(), n)
            expect_equal(total, truth["guess"][n - 1], f"the total {name}", None, mistakes)
            mistakes = _wrong_matches(*given, n)
            expect_equal(matched, truth["correct"][n - 1], f"the matched {name}", None, mistakes)


def _two_counts(got):
    if hasattr(got, "tolist"):
        got = got.tolist()
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        told = "None" if got is None else f"a {type(got).__name__}"
        raise Wrong("two numbers, matched and total", told, "return matched, total")
    return got


def _wrong_totals(words, n):
    return [
        (len(words) - n + 1, "a caption shorter than n has no n-grams: not less than 0"),
        (len(words), "these are the words; a caption of L words has L - n + 1 n-grams"),
        (len(words) - n, "one too few: a caption of L words has L - n + 1 n-grams"),
        (
            len(set(grams(words, n))),
            "each n-gram of the caption counts as often as it stands there",
        ),
    ]


def _wrong_matches(words, references, n):
    """Pairs (wrong number, why), of counting with one mistake."""
    own, theirs = grams(words, n), [grams(one, n) for one in references]
    pool = [gram for each in theirs for gram in each]
    clipped = [{g: min(own.count(g), each.count(g)) for g in set(own)} for each in theirs]
    summed = sum(min(own.count(g), pool.count(g)) for g in set(own))
    each_alone = [sum(counts.values()) for counts in clipped]
    return [
        (max(each_alone), "the best single reference: clip every n-gram by its own largest count"),
        (each_alone[0], "only the first reference is used"),
        (each_alone[-1], "only the last reference is used"),
        (sum(each_alone), "the references are added up: for each n-gram take the largest count"),
        (summed, "clipped by the sum over references: take the largest count of any one of them"),
        (len(set(own) & set(pool)), "each n-gram counts once; it counts up to the clip"),
        (sum(g in pool for g in own), "nothing is clipped: min(its count, the largest count of a reference)"),
    ]  # fmt: skip


# --- 5 brevity penalty --------------------------------------------------------------------------
LENGTHS = [
    ([7, 4, 9], [[9, 8, 2], [5, 3, 8], [12, 16]]),
    ([6, 7], [[4, 5], [6, 9]]),
    ([3], [[3, 5]]),
]


@exercise("brevity_penalty")
def brevity_penalty(answer, program, lengths=LENGTHS):
    """answer(candidate_lengths, reference_lengths) -> the corpus's penalty, 0 to 1."""
    for own, theirs in [*lengths, ([0, 0], [[4], [6, 2]])]:
        given = list(own), [list(each) for each in theirs]
        got = answer(*given)
        name = f"the penalty of lengths {own} with references {theirs}"
        if given != (list(own), [list(each) for each in theirs]):
            raise Wrong(
                "the given lists are left as they were",
                "they change",
                "sorted() makes a new list, sort() does not",
            )
        expected = _penalty(sum(own), _closest(program, own, theirs))
        likely = "an empty corpus has the penalty 0" if not sum(own) else None
        mistakes = _wrong_penalties(program, own, theirs, expected) if sum(own) else ()
        expect_close(got, expected, name, 1e-6, likely, mistakes)


def _closest(program, own, theirs):
    """pycocoevalcap's effective length of the references."""
    pick = program.BleuScorer()._single_reflen
    return sum(pick(each, "closest", c) for c, each in zip(own, theirs, strict=True))


def _penalty(c, r):
    return 1.0 if c >= r else math.exp(1 - r / c) if c else 0.0


def _wrong_penalties(program, own, theirs, expected):
    c, pairs = sum(own), list(zip(own, theirs, strict=True))
    longer = sum(min(each, key=lambda r, c=c: (abs(r - c), -r)) for c, each in pairs)
    r = _closest(program, own, theirs)
    alone = [_penalty(one, _closest(program, [one], [each])) for one, each in pairs]
    found = [
        (_penalty(r, c), "r and c are exchanged: long captions would be punished"),
        (min(1.0, math.exp(1 - c / r)), "the ratio is turned round: exp(1 - r / c)"),
        (_penalty(c, longer), "of two references equally close the shorter one counts"),
        (_penalty(c, sum(np.mean(each) for each in theirs)), "the mean length of the references; ask for the closest"),
        (_penalty(c, sum(map(min, theirs))), "the shortest reference; ask for the closest"),
        (_penalty(c, sum(map(max, theirs))), "the longest reference; ask for the closest"),
        (_penalty(c, sum(each[0] for each in theirs)), "the first reference; ask for the closest"),
        (_penalty(c, sum(map(sum, theirs))), "the lengths of all references are added up; ask for the closest one of each picture"),
        (np.mean(alone), "a mean of each caption's penalty; add the lengths over all captions first"),
        (math.prod(alone), "a product of each caption's penalty; add the lengths over all captions first"),
        (math.exp(1 - r / c), "long captions gain by it: the penalty is at most 1"),
        (min(1, c / r), "the ratio c / r itself; the penalty is exp(1 - r / c)"),
        (1 - expected, "this is 1 minus the penalty: 1 means that nothing is taken away"),
    ]  # fmt: skip
    return [(value, why) for value, why in found if abs(value - expected) > 1e-6]


# --- 6 corpus BLEU ------------------------------------------------------------------------------
# The second corpus has no 4-gram in common, the third no caption of four words
CORPORA = [
    (
        [*CANDIDATES[:2], "a cat on the mat"],
        [*REFERENCES[:2], ["a cat is on the mat", "one cat on a mat"]],
    ),
    (
        ["a red boat near a lake", "two cats"],
        [["a red boat on the lake"], ["two cats and a dog", "cats"]],
    ),
    (["a boat", "red cats"], [["a boat on a lake"], ["two red cats", "some cats"]]),
]


@exercise("corpus_bleu")
def bleu(answer, program, corpora=CORPORA):
    """answer(matched, total, c, r) -> BLEU-1 to BLEU-4; matched and total (M, 4), c and r whole numbers."""
    for told, each in corpora:
        scorer = program.BleuScorer(n=4)
        for pair in zip(told, each, strict=True):
            scorer += pair
        expected = scorer.compute_score(option="closest")[0]
        matched, total, c, r = counted(program, told, each)
        given = [list(row) for row in matched], [list(row) for row in total]
        got = answer(*given, c, r)
        if given != (matched, total):
            raise Wrong(
                "the given counts are left as they were",
                "they change",
                "add up in a list of your own",
            )
        name = "BLEU-1 to BLEU-4"
        likely = None
        if np.shape(got) == () and got is not None:
            likely = "a list of four numbers, one for each n"
        mistakes = _wrong_bleus(np.array(matched, float), np.array(total, float), c, r)
        expect_close(got, expected, name, 1e-6, likely, mistakes)


def counted(program, told, each):
    """What BLEU is made of, by pycocoevalcap: matched and total (M, 4) of captions, their length, the references'."""
    found = [
        program.cook_test(one, program.cook_refs(references))
        for one, references in zip(told, each, strict=True)
    ]
    lengths = [[len(one.split()) for one in references] for references in each]
    own = [one["testlen"] for one in found]
    return (
        [one["correct"] for one in found],
        [one["guess"] for one in found],
        sum(own),
        _closest(program, own, lengths),
    )


def _wrong_bleus(matched, total, c, r):
    """Pairs (BLEU-1 to BLEU-4, why), of computing with one mistake."""
    tiny, small = 1e-15, 1e-9
    whole = (matched.sum(0) + tiny) / (total.sum(0) + small)
    alone = ((matched + tiny) / (total + small)).mean(0)
    plain = matched.sum(0) / np.maximum(total.sum(0), 1)
    penalty, n = _penalty(c, r), np.arange(1, 5)

    def roots(p):
        return np.cumprod(p) ** (1 / n)

    sentences = np.cumprod((matched + tiny) / (total + small), 1) ** (1 / n)
    return [
        (penalty * roots(alone), "precisions are averaged over captions: add up the counts first, then divide once"),
        (penalty * sentences.mean(0), "a mean of each caption's BLEU: add up the counts of all captions first"),
        (roots(whole) * _penalty(r, c), "the brevity penalty is turned round: c < r is punished"),
        (penalty * whole, "BLEU-n is the geometric mean of the precisions 1 to n, not precision n alone"),
        (penalty * np.cumsum(whole) / n, "the arithmetic mean of the precisions; ask for the geometric one"),
        (penalty * np.cumprod(whole), "the product of the precisions without the n-th root"),
        (penalty * np.cumprod(whole) ** 0.25, "the 4th root for every n; BLEU-n needs the n-th"),
        ((penalty * np.cumprod(whole)) ** (1 / n), "the penalty stands under the root; it multiplies the mean"),
        (penalty * roots(plain), "where nothing matches, add 1e-15 above and 1e-9 below, as pycocoevalcap does"),
        (penalty * np.cumsum(np.log(whole)) / n, "this is the logarithm: take exp at the end"),
        (roots(whole), "the brevity penalty is missing"),
        (np.full(4, (penalty * roots(whole))[-1]), "BLEU-4 four times; BLEU-n uses n-grams up to n"),
    ]  # fmt: skip
