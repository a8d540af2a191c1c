"""Makes the Image GPT that comes with the course: trains a configuration on MNIST, halves its precision.

    python data_scripts/ship_image_gpt.py --root data/mnist             train, then write; a broken-off run goes on
    python data_scripts/ship_image_gpt.py --root data/mnist --run DIR   take a run of it that lies in DIR, or train there

It learns from MNIST's training digits less the 5,000 that come with the course, so that these stay new to it. Writes
coursekit/weights/image_gpt: image_gpt.pt, and for those who read palette.npy, config.yaml and the scores (scores.json),
which a test holds it to.
"""

import argparse
import json

import torch

from coursekit import pixels, sizes
from coursekit.datasets.digits import load_digits, official_without_offline
from coursekit.errors import writing
from coursekit.metrics.images import bits_per_pixel, neighbours, unigram
from coursekit.pixels.runs import CONFIG, PALETTE


def learn(config, root, out):
    """The drawer, trained in the folder `out`; the best weights are those that cost the offline dev digits least."""
    digits = official_without_offline(root)[: config.digits]
    return pixels.train_image_gpt(config, digits, load_digits("dev"), sizes.setup("cpu"), out)


def ship(drawer):
    """Writes the drawer in half precision; loading turns it back into float32."""
    saved = drawer.to_dict()
    saved["weights"] = {name: each.half() for name, each in saved["weights"].items()}
    with writing(pixels.SHIPPED / pixels.FILE) as path:
        torch.save(saved, path)
    drawer.palette.save(pixels.SHIPPED / PALETTE)
    drawer.config.save(pixels.SHIPPED / CONFIG)


def scores(drawer, root):
    """What shipped weights reach on digits that they have not seen, beside counting; bits a pixel."""
    lesson, colours = drawer.tokens(official_without_offline(root).images), len(drawer.palette)
    found = {}
    for name, digits in {"offline test": load_digits("test"), "MNIST test": load_digits("test", root)}.items():  # fmt: skip
        tokens = drawer.tokens(digits.images)
        found[name] = {
            "digits": len(digits),
            "bits a pixel": round(bits_per_pixel(drawer.model, tokens)[0], 4),
            "unigram": round(unigram(lesson, tokens, colours), 4),
            "four neighbours": round(neighbours(lesson, tokens, colours, drawer.model.side), 4),
        }
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--root", required=True, metavar="DIR", help="the whole MNIST")
    parser.add_argument("--config", default="laptop", help="a name or a YAML file")
    parser.add_argument("--run", metavar="DIR")
    options = parser.parse_args()
    config = pixels.Config.load(options.config)
    drawer = learn(config, options.root, options.run or sizes.build_folder("ship_image_gpt"))
    ship(drawer)
    told = {
        "command": f"python data_scripts/ship_image_gpt.py --root DIR --config {config.name}",
        "steps": config.steps,
        "seconds": round(drawer.curves["seconds"][-1]),
    } | scores(pixels.shipped_drawer(), options.root)
    with writing(pixels.SHIPPED / "scores.json") as path:
        path.write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
