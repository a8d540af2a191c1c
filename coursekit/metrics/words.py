"""Penn-Treebank-like words without Java, as caption scores want them, and the n-grams of them.

Published scores split captions with Stanford's PTBTokenizer and then drop punctuation.  The rules
here were written from what that program does to captions; tests/test_metrics.py compares both on
real captions and on captions with hostile punctuation, and prints how often they agree.
"""

import re
from collections import Counter
from itertools import chain
from typing import NamedTuple

from coursekit.errors import CourseError

ORDERS = 4  # n-grams of one to four words

# Abbreviations that keep their full stop wherever they stand
ABBREVIATIONS = (
    "mr mrs ms dr prof st mt ave blvd rd ft co corp inc ltd jr sr vs etc jan feb mar apr jun jul "
    "aug sep sept oct nov dec mon tue tues wed thu thurs fri gen col capt lt sgt maj rep sen gov "
    "pres rev hon calif fla univ dept est bros assn ph.d"
).split()
BEFORE_NUMBER = "no nos fig art pp".split()  # and these only where a number follows
SAME = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "—": "--", "–": "--", "…": "..."})
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
SPLIT = {
    "cannot": "can not", "gonna": "gon na", "wanna": "wan na", "gotta": "got ta",
    "gimme": "gim me", "lemme": "lem me", "'tis": "'t is", "'twas": "'t was",
}  # fmt: skip
DROPPED = re.compile(r"""[.,:;'"`-]|[?!]|'{2}|`{2}|\.{3,}|-{2,}""")

CLITIC = r"(?:'(?:s|m|d|re|ve|ll)|n't)(?!\w)"
TOKEN = re.compile(
    rf"""
    https?://\S+ | www\.\S+ | [\w.+-]+@[\w-]+(?:\.[\w-]+)+       # addresses
  | [@#][a-z]\w* | </?[a-z]\w*/?>                                # #tag, <unk>
  | \.{{3,}} | -{{2,}} | [?!]+
  | (?:[a-z]\.)+[a-z]\b\.? | [a-z]\.(?!\w)                       # U.S., a.m., J.
  | (?:{"|".join(map(re.escape, ABBREVIATIONS))})\.(?!\w)
  | (?:{"|".join(BEFORE_NUMBER)})\.(?=\ ?\d)
  | 'n'(?=roll) | '(?:\d\ds|em|n'|n|til|cause|tis|twas)(?!\w)
  | {CLITIC}
  | y'(?=all\b|know\b) | rock(?='n')
  | (?-i:[A-Z]+(?:&[A-Z]+)+)                                     # AT&T, yet not at&t
  | [+-]?\d+(?:[.,:/-]\d+)*\w*(?:-\w+)*                          # 10:30, 1,000, 3-d, 4x4
  | [^\W_](?:(?!{CLITIC})(?:[^\W_]|'(?=[a-z]{{2}})|[-/._](?=[^\W_])))*  # words, t-shirt, ma'am
  | \S
    """,
    re.VERBOSE | re.IGNORECASE,
)


def ptb_words(caption):
    """The words of one caption: lower case, clitics split off ("it 's"), punctuation dropped."""
    found = []
    for token in TOKEN.findall(caption.translate(SAME)):
        token = BRACKETS.get(token, token.lower())
        found += SPLIT.get(token, token).split()
    return [token for token in found if not DROPPED.fullmatch(token)]


class Caption(NamedTuple):
    """The words of a caption, and how often it holds each n-gram: a tuple of 1 to 4 words."""

    words: list
    ngrams: Counter


def read_caption(caption, tokenized=False):
    """A Caption of a string; `tokenized` takes the words as they stand between blanks."""
    words = caption.split() if tokenized else ptb_words(caption)
    shifted = [words[k:] for k in range(ORDERS)]
    grams = chain.from_iterable(zip(*shifted[:n], strict=False) for n in range(1, ORDERS + 1))
    return Caption(words, Counter(grams))


def read_captions(candidates, references, tokenized=False):
    """`candidates[i]` (strings) and `references[i]` (lists of strings) as Captions.

    Raises CourseError if the lists are empty or differ in length, or hold anything else.
    """
    check_captions(candidates, references)
    read = [read_caption(caption, tokenized) for caption in candidates]
    return read, [[read_caption(one, tokenized) for one in each] for each in references]


def check_captions(candidates, references):
    """Raises CourseError unless there is one caption and one list of references a picture."""
    if len(candidates) != len(references) or not len(candidates):
        raise CourseError(
            f"There are {len(candidates)} captions for {len(references)} lists of references; "
            "give one caption and one list of references for each picture."
        )
    for i, caption in enumerate(candidates):
        if not isinstance(caption, str):
            raise CourseError(f"Caption {i} is a {type(caption).__name__}; give it as one string.")
    check_references(references)


def check_references(references):
    """Raises CourseError unless each picture has a list of at least one string."""
    for i, each in enumerate(references):
        if isinstance(each, str) or not each or not all(isinstance(one, str) for one in each):
            raise CourseError(
                f"The references of caption {i} must be a list of at least one string; "
                "wrap a single reference as [reference]."
            )
