"""Image GPTs so small that tests train them in a second."""

from dataclasses import replace

from coursekit import pixels, sizes
from coursekit.datasets.augment import Augmentation
from coursekit.datasets.digits import load_digits

TINY = pixels.Config(
    name="tiny", side=7, colours=3, dim=8, layers=2, heads=2, steps=6, save_every=2, batch_size=8,
    learning_rate=0.01,
)  # fmt: skip
SHIFTED = replace(TINY, augmentation=Augmentation(crop=2))
HERE = sizes.setup("smoke")


def digits(split="train", count=40):
    return load_digits(split, count=count)


def trained(config=TINY, out=None):
    return pixels.train_image_gpt(config, digits(), digits("dev", 20), HERE, out, quiet=True)
