"""The checks of assignment a2, decoding and scoring; each stands in one of the files a2_*.py.

Each check takes its data as options, so that a grader asks the same questions of other data:
`on_other_data(check.rank, dict(finished=…), dict(finished=…)).require(rank)`.
"""

from coursekit.checks.a1_training import numbers, passes
from coursekit.checks.a2_attention import attend
from coursekit.checks.a2_causal import is_causal
from coursekit.checks.a2_cider import cider
from coursekit.checks.a2_common import drawn_captions
from coursekit.checks.a2_drawing import captions, nucleus
from coursekit.checks.a2_scores import bleu, brevity_penalty, clipped_counts
from coursekit.checks.a2_search import beam_search, rank
from coursekit.checks.a2_tree import Tree
from coursekit.checks.core import on_other_data

__all__ = [
    "Tree", "attend", "beam_search", "bleu", "brevity_penalty", "captions", "cider", "clipped_counts",
    "drawn_captions", "is_causal", "nucleus", "numbers", "on_other_data", "passes", "rank",
]  # fmt: skip
