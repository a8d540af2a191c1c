"""Scenes and photos as the course loads them, against what a reader would write: the same pictures, in one run.

    python benchmarks/loading.py [--pictures 1000] [--photos 100] [--epochs 4] [--repeats 3]

Scenes: as many passes as the recipe has epochs, in batches of 64 in random order. The course draws each picture once,
keeps it as bytes, and takes batches out of one tensor (`captioner.Pictures`); the others draw it anew at each use,
batch by batch or through a DataLoader over single items; "kept items" is a DataLoader over pictures that were drawn once.
Photos: JPEGs of 500 × 375 pixels, made of noise with a photo's spectrum in a temporary folder and read once, at 128
pixels. The course (`read_image`) has the JPEG decoded at half size before it shrinks it; plain Pillow, by item or through
torchvision's transforms in a DataLoader, decodes it whole. So its pictures are not the same to the byte: they agree if
no picture differs by more than 3 of 255 in the mean. All else must be equal, or the exit code is 1.
The bound of scenes is one core's Python while it draws, and memory after that; of photos, decoding. Notes tell how
fast a plain copy of the pictures is, and a mere reading of the files (from the system's cache, not from the disk).
"""

import random
import statistics
import tempfile
from pathlib import Path

import harness
import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from coursekit.datasets.captions import Photos
from coursekit.datasets.scenes import Scenes

BATCH, SIDE = 64, 128
WIDTH, HEIGHT, QUALITY = 500, 375, 95  # as most of Flickr8k's photos
APART = 3.0


class Items(Dataset):
    """Single pictures behind the interface of a DataLoader."""

    def __init__(self, count, image):
        self.count, self.image = count, image

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.image(index)


def shuffled(count, epochs):
    """Batches of indices for each pass: lists of lists."""
    orders = [random.Random(epoch).sample(range(count), count) for epoch in range(epochs)]
    return [[order[i : i + BATCH] for i in range(0, count, BATCH)] for order in orders]


def looked_at(passes):
    """A few pixels of every picture of every batch: what is compared. uint8 (pictures, 3, 4, 4)"""
    return torch.cat([batch[:, :, ::16, ::16] for batches in passes for batch in batches])


def scene_ways(scenes, epochs):
    """name → function that goes through all scenes `epochs` times."""
    orders = shuffled(len(scenes), epochs)

    def kept():
        images = scenes.images(range(len(scenes)))  # (len, 3, 64, 64)
        picked = images.index_select
        return looked_at(
            (picked(0, torch.tensor(batch)) for batch in batches) for batches in orders
        )

    def anew():
        return looked_at((scenes.images(batch) for batch in batches) for batches in orders)

    def loader(image):
        items = Items(len(scenes), image)
        return looked_at(DataLoader(items, batch_sampler=batches) for batches in orders)

    def kept_items():
        images = [scenes.image(i) for i in range(len(scenes))]
        return loader(lambda i: images[i])

    return {
        harness.OURS: kept,
        "drawn anew": anew,
        "DataLoader": lambda: loader(scenes.image),
        "kept items": kept_items,
    }


def scene_row(options):
    """Scenes: all passes of a training."""
    scenes = Scenes("train", options.pictures)
    images = scenes.images(range(len(scenes)))
    tasks = scene_ways(scenes, options.epochs) | {"copy": images.clone}
    found = harness.measure(tasks, options.repeats, options.clock)
    copied = len(images) / statistics.median(found.pop("copy")[0])
    note = f"a plain copy: {harness.short(copied)} images/s"
    amount = len(scenes) * options.epochs
    name = f"scenes, {options.epochs} passes"
    return harness.row(name, found, amount, "images", note=note)


def make_photos(folder, count):
    """Writes JPEGs whose spectrum falls like a photo's: noise of several sizes, the coarser the stronger."""
    made = torch.Generator().manual_seed(0)
    for number in range(count):
        layers = [torch.randn(1, 3, 3 * 2**k, 4 * 2**k, generator=made) / 1.3**k for k in range(8)]
        size = dict(size=(HEIGHT, WIDTH), mode="bilinear")
        whole = sum(F.interpolate(layer, **size) for layer in layers)[0]
        pixels = (128 + 50 * whole).clamp(0, 255).byte().permute(1, 2, 0).numpy()  # (H, W, 3)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=QUALITY)
    return [f"{number}.jpg" for number in range(count)]


def photo_ways(folder, names):
    """name → function that reads all photos once: uint8 (photos, 3, 128, 128)."""
    photos = Photos("noise", "train", folder, names, [["noise"]] * len(names), SIDE)
    shrink = transforms.Compose([transforms.Resize((SIDE, SIDE)), transforms.PILToTensor()])

    def opened(i):
        return Image.open(folder / names[i]).convert("RGB")

    def plain(i):
        pixels = np.array(opened(i).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        return torch.from_numpy(pixels).permute(2, 0, 1)  # (3, H, W)

    return {
        harness.OURS: lambda: photos.images(range(len(names))),
        "plain Pillow": lambda: torch.stack([plain(i) for i in range(len(names))]),
        "DataLoader": lambda: torch.cat(
            list(DataLoader(Items(len(names), lambda i: shrink(opened(i))), BATCH))
        ),
        "bytes": lambda: sum(len((folder / name).read_bytes()) for name in names),
    }


def alike(mine, other):
    """Whether no picture differs by more than APART of 255 in the mean."""
    off = (mine[0].float() - other[0].float()).abs().mean((1, 2, 3))  # (photos,)
    return bool(off.max() < APART)


def photo_row(options):
    """Photos: one pass."""
    with tempfile.TemporaryDirectory() as folder:
        names = make_photos(Path(folder), options.photos)
        tasks = photo_ways(Path(folder), names)
        found = harness.measure(tasks, options.repeats, options.clock)
    seconds, (size, *_) = found.pop("bytes")
    share = statistics.median(seconds) / statistics.median(found[harness.OURS][0])
    note = f"{size / len(names) / 1000:.0f} kB a photo; reading the files is {share:.1%} of our seconds"
    return harness.row("photos, one pass", found, len(names), "images", agree=alike, note=note)


def main():
    """Prints the comparison."""
    parser = harness.parser(__doc__, repeats=3)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=4)
    options = harness.begin(parser.parse_args())
    rows = (row(options) for row in (scene_row, photo_row))
    harness.report("loading", rows, options)


if __name__ == "__main__":
    main()
