"""Makes the captioner that comes with the course: trains the recipe of scenes at size cpu, halves its precision.

    python data_scripts/ship_weights.py            train and score (about five minutes on two cores), then write
    python data_scripts/ship_weights.py --run DIR  take a run that `coursekit train show-and-tell --out DIR` left

Writes coursekit/weights/scene_captioner.pt and, beside it, its scores on the test and unseen scenes, which a test
holds the weights to.
"""

import argparse
import json

import torch

from coursekit import datasets, recipes
from coursekit.errors import writing
from coursekit.models.encoders import SHIPPED

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--run", metavar="DIR")
options = parser.parse_args()
folder = options.run or recipes.sizes.build_folder("ship")
if not options.run:
    recipes.show_and_tell("scenes", "cpu", out=folder)

saved = torch.load(recipes.Path(folder) / recipes.FILE, weights_only=True)
# Half precision halves the file; loading turns it back into float32
saved["weights"] = {
    k: v.half() if v.is_floating_point() else v for k, v in saved["weights"].items()
}
with writing(SHIPPED) as path:
    torch.save(saved, path)

captioner = recipes.shipped_captioner()
scores = {
    split: recipes.evaluate(captioner, datasets.load("scenes", split), meteor=False)[1]
    for split in ("test", "unseen")
}
with writing(SHIPPED.with_suffix(".json")) as path:
    path.write_text(json.dumps(scores, indent=2) + "\n")
print(SHIPPED.with_suffix(".json").read_text())
