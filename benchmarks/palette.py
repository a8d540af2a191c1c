"""The best palette of grey pictures, found exactly, against k-means on their pixels: time and error, in one run.

    python benchmarks/palette.py [--pictures 1000] [--colours 4 8 16] [--repeats 3]

The pictures are the handwritten digits that come with the course, 28 × 28 pixels each; `--pictures` repeats them when
it asks for more. Ours counts how often each of the 256 greys occurs and cuts that line by dynamic programming; the
other side is scikit-learn's MiniBatchKMeans on all pixels, with a seed, one start and batches of 4,096, with which it
is quicker than with its own of 1,024: try `--batch 1024`, or `--starts 3` as lesson 09 has it. Both give colours of 8
bits. Inertia is the sum of squared errors of all pixels under these colours; ours must not be the larger, or the exit
code is 1. The bound is no matrix product but one core reading each pixel once: the note tells how many pixels a second
a plain sum of them reaches.
"""

import statistics

import harness
import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans

from coursekit.datasets.digits import load_digits
from coursekit.palette import Palette


def make_pictures(count):
    """uint8 (count, 28, 28): the digits of the course, again and again if there are fewer."""
    digits = load_digits("train").images
    return digits[torch.arange(count) % len(digits)]


def ways(pictures, colours, batch, starts):
    """name → function that returns uint8 colours."""
    pixels = pictures.flatten()[:, None].double().numpy()

    def kmeans():
        how = dict(random_state=0, batch_size=batch, n_init=starts)
        found = MiniBatchKMeans(colours, **how).fit(pixels)
        return np.unique(found.cluster_centers_.round().astype(np.uint8))

    return {
        harness.OURS: lambda: Palette.exact(pictures, colours).colours,
        "MiniBatchKMeans": kmeans,
        "sum": lambda: int(pictures.sum()),
    }


def inertia(colours, pictures):
    """The sum of squared errors of all pixels."""
    return Palette(torch.as_tensor(colours)).error(pictures) * pictures.numel()


def rows(options):
    """A row for each number of colours."""
    pictures = make_pictures(options.pictures)
    for colours in options.colours:
        tasks = ways(pictures, colours, options.batch, options.starts)
        found = harness.measure(tasks, options.repeats, options.clock)
        plain = pictures.numel() / statistics.median(found.pop("sum")[0])
        mine, other = (inertia(results[0], pictures) for _, results in found.values())
        yield harness.row(
            f"{colours} colours", found, pictures.numel(), "pixels", agree=mine <= other,
            note=f"inertia {mine:.4g}, theirs {other:.4g} ({other / mine - 1:+.1%}); a plain sum reads {harness.short(plain)} pixels/s",
        )  # fmt: skip


def main():
    """Prints the comparison."""
    parser = harness.parser(__doc__, repeats=3)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--colours", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--starts", type=int, default=1)
    options = harness.begin(parser.parse_args())
    harness.report("palette", rows(options), options)


if __name__ == "__main__":
    main()
