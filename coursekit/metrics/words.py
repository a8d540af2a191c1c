"""Penn-Treebank-like words without Java, as caption scores want them.

Published scores split captions with Stanford's PTBTokenizer and then drop punctuation.  The rules
here were written from what that program does to captions; tests/test_metrics.py compares both on
real captions and on captions with hostile punctuation, and prints how often they agree.
"""

import re

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
