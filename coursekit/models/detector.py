"""Objects: a detector finds the things in a picture, and each of them becomes one embedding."""

import torch

from coursekit.errors import CourseError
from coursekit.models.base import Encoder, whole_number
from coursekit.models.networks import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    normalised,
    weights_of,
    with_weights,
)
from coursekit.models.regions import cut, pad_boxes

DETECTOR = "fasterrcnn_resnet50_fpn"
PROPOSALS = 300  # torchvision takes 1000; ten things a picture need fewer, and each costs time
SAME_THING = 0.7  # overlap from which two boxes count as one: the detector compares within a class
LONGEST = 2  # a picture's longer side is at most so many times image_size


class Objects(Encoder):
    """Faster R-CNN's regions: bottom-up attention (Ren et al. 2015; Anderson et al. 2018, sec. 3.1).

    uint8 images (B, 3, H, W) → memory (B, N = regions, D): the boxes in which the detector sees a thing
    with a score above `threshold`, best first.  Each embedding is the mean over 7 x 7 places that
    RoIAlign cuts from the last layer of the ResNet (2048 numbers); with `project` a linear layer that
    always learns follows.  Where fewer things are found, the rest of the N are the whole picture.

    The shorter side of a picture is scaled to `image_size`; the detector was trained with 800, and
    small things need as much.  `weights` is "DEFAULT", "COCO_V1", or None for random ones.
    The detector stays frozen: raises CourseError if it is to be trained, or for wrong settings.
    """

    def __init__(
        self,
        weights="DEFAULT",
        image_size=480,
        regions=10,
        threshold=0.05,
        trainable=False,
        project=None,
    ):
        if trainable:
            raise CourseError(f"{DETECTOR} stays frozen; choose project=512 for a layer to train.")
        if not 0 <= threshold < 1:
            raise CourseError(f"threshold is a score from 0 to below 1, not {threshold}.")
        super().__init__(DETECTOR, image_size, False, project, named=weights is not None)
        self.weights, self.threshold = weights, threshold
        self.regions = whole_number("regions", regions)
        self.detector = _detector(weights, threshold)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        self._finish(self.detector.backbone.body["layer4"][-1].conv3.out_channels)

    def extra_repr(self):
        return (
            f"{self.name}, weights={self.weights}, image_size={self.image_size}, "
            f"regions={self.regions}, threshold={self.threshold}, project={self.project}"
        )

    def unfreeze(self):
        """Raises CourseError: the detector stays frozen."""
        raise CourseError(f"{DETECTOR} stays frozen; its linear layer learns without unfreeze().")

    def see(self, images):
        found, last = self._look(images)
        places = cut(last, self._boxes(found).to(last.device), 7)  # (B*N, features, 7, 7)
        return places.mean((2, 3)).view(len(images), self.regions, -1)  # (B, N, features)

    def boxes(self, images):
        """As in Encoder: the things found, best first, then the whole picture."""
        return self._boxes(self._look(images)[0]).to(images.device)

    def detect(self, images):
        """What it found in each picture: a list of (name, score, box as shares (x0, y0, x1, y1)), best first."""
        names = weights_of(DETECTOR).meta["categories"]
        return [
            [
                (names[label], float(score), tuple(box.tolist()))
                for label, score, box in zip(*each.values(), strict=True)
            ]
            for each in self._look(images)[0]
        ]

    def _boxes(self, found):
        return pad_boxes([each["boxes"] for each in found], self.regions)  # (B, N, 4)

    @torch.no_grad()
    def _look(self, images):
        """The things in each picture, at most N: labels, scores (n,) and boxes (n, 4). And the ResNet's last maps."""
        from torchvision.models.detection.image_list import ImageList

        pixels = normalised(images, self._size(images), self.mean, self.std)
        size = tuple(pixels.shape[-2:])
        layers = self.detector.backbone.body(pixels)
        pyramid = self.detector.backbone.fpn(layers)
        sizes = [size] * len(images)
        proposals, _ = self.detector.rpn(ImageList(pixels, sizes), pyramid)
        found, _ = self.detector.roi_heads(pyramid, proposals, sizes)
        return [self._best(each, size) for each in found], layers["3"]

    def _best(self, found, size):
        """At most N things, each once whatever the number of classes that claim it."""
        from torchvision.ops import nms

        keep = nms(found["boxes"], found["scores"], SAME_THING)[: self.regions]
        height, width = size
        boxes = found["boxes"] / found["boxes"].new_tensor([width, height, width, height])
        found = found | {"boxes": boxes.clamp(0, 1)}
        return {name: found[name][keep] for name in ("labels", "scores", "boxes")}

    def _size(self, images):
        """(height, width) that pictures are scaled to."""
        height, width = images.shape[-2:]
        scale = self.image_size / min(height, width)
        return tuple(
            min(round(side * scale), LONGEST * self.image_size) for side in (height, width)
        )


def _detector(weights, threshold):
    from torchvision import models

    settings = dict(
        weights_backbone=None, rpn_post_nms_top_n_test=PROPOSALS, box_score_thresh=threshold
    )
    if weights is None:
        return models.get_model(DETECTOR, weights=None, **settings)
    return with_weights(DETECTOR, weights_of(DETECTOR, weights), **settings)
