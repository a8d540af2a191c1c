"""The checks of assignment a4, Image GPT; each stands in one of the files a4_*.py.

Each check takes its data as options, so that a grader asks the same questions of other data:
`on_other_data(check.palette, dict(images=…)).require(quantise, restore)`.
"""

from coursekit.checks.a1_training import attempt, numbers, passes
from coursekit.checks.a3_language import weight
from coursekit.checks.a4_drawing import complete, next_pixel, sampling
from coursekit.checks.a4_features import features
from coursekit.checks.a4_losses import bert, bits
from coursekit.checks.a4_model import model
from coursekit.checks.a4_palette import palette
from coursekit.checks.a4_probe import probe
from coursekit.checks.a4_scores import scores
from coursekit.checks.a4_training import pixels
from coursekit.checks.core import on_other_data

__all__ = [
    "attempt", "bert", "bits", "complete", "features", "model", "next_pixel", "numbers", "on_other_data", "palette",
    "passes", "pixels", "probe", "sampling", "scores", "weight",
]  # fmt: skip
