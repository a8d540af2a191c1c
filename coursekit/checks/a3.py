"""The checks of assignment a3, the prefix captioner; each stands in one of the files a3_*.py.

Each check takes its data as options, so that a grader asks the same questions of other data:
`on_other_data(check.labels, dict(tables=…)).require(make_labels)`.
"""

from coursekit.checks.a1_training import attempt, numbers, passes
from coursekit.checks.a3_attention import attention, mask
from coursekit.checks.a3_captioner import captions, frozen
from coursekit.checks.a3_language import language, weight
from coursekit.checks.a3_merge import merge
from coursekit.checks.a3_prefix import join, labels, mapper
from coursekit.checks.core import on_other_data

__all__ = [
    "attempt", "attention", "captions", "frozen", "join", "labels", "language", "mapper", "mask", "merge",
    "numbers", "on_other_data", "passes", "weight",
]  # fmt: skip
