"""Draws the figures of docs/digits.md: how the Image GPT that ships learned, and how it completes test digits.

    python data_scripts/digits_page.py --root data/mnist [--run DIR]

--run: the folder of `ship_image_gpt.py`; prints what some of its checkpoints cost on all 10,000 test digits.
"""

import argparse
import sys
from pathlib import Path

import torch

from coursekit import pixels, plots
from coursekit.datasets.digits import load_digits, official_without_offline
from coursekit.errors import CourseError, writing
from coursekit.metrics.images import neighbours

DOCS = Path(__file__).resolve().parents[1] / "docs"
CURVE, SHEET = "digits_curve.png", "digits_completions.png"
SHOWN, SAMPLES, SEED = 8, 6, 0


def curve(drawer, root):
    """Bits a pixel of 500 digits that were not learned from, by minutes of training on one core."""
    learned, exam = official_without_offline(root), load_digits("dev")
    counted = neighbours(*(drawer.tokens(each.images) for each in (learned, exam)), len(drawer.palette), drawer.model.side)  # fmt: skip
    return plots.lines(
        {"Image GPT": ([each / 60 for each in drawer.curves["seconds"]], drawer.curves["dev"])},
        "At the first look, after a minute and a half, it beats counting",
        "minutes of training on one core",
        "bits a pixel",
        baselines={"four neighbours counted": counted},
    )


def completions(drawer, digits):
    """Upper halves of the first test digits, each completed several times."""
    return [pixels.complete(drawer, image, "upper", SAMPLES, seed=SEED + i)
            for i, image in enumerate(digits.images[:SHOWN])]  # fmt: skip


def tell(run, digits):
    """Prints the bits of a run's checkpoints on all test digits."""
    done = pixels.load_drawer(run)
    for step, seconds in zip(done.curves["step"], done.curves["seconds"], strict=True):
        if step % 3000 == 0 or step == done.curves["step"][-1]:
            drawer = pixels.load_drawer(Path(run) / f"step-{step:06}.pt")
            bits = pixels.score(drawer, digits)["bits_per_pixel"]
            print(f"step {step:6,}  {seconds:6,.0f} s  {bits:.4f} bits a pixel")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--root", required=True, metavar="DIR", help="the whole MNIST")
    parser.add_argument("--run", metavar="DIR")
    options = parser.parse_args()
    drawer, digits = pixels.shipped_drawer(), load_digits("test", options.root)
    torch.manual_seed(SEED)
    with writing(DOCS / CURVE) as part:
        curve(drawer, options.root).savefig(part, format="png", dpi=140, facecolor="white")
    pixels.save_sheet(completions(drawer, digits), DOCS / SHEET)
    if options.run:
        tell(options.run, digits)


if __name__ == "__main__":
    try:
        main()
    except CourseError as error:
        sys.exit(str(error))
