"""Several embeddings of one picture: from several layers, from its parts, from the things in it."""

import torch
import torch.nn.functional as F

from coursekit.errors import CourseError
from coursekit.models.base import (
    WHOLE,
    Encoder,
    grid_boxes,
    pool,
    same_boxes,
    whole_number,
)
from coursekit.models.detector import DETECTOR, Objects
from coursekit.models.encoders import SmallCNN, TorchvisionEncoder, scene_encoder
from coursekit.models.regions import check_boxes, cut

EMBEDDINGS = ("pooled", "grid", "layers", "parts", "objects")
DEPTHS = 4


def make_encoder(
    name,
    weights="DEFAULT",
    trainable=False,
    image_size=224,
    embeddings="pooled",
    project=None,
):
    """An encoder by name: uint8 images (B, 3, H, W) → memory (B, N, D).

    | embeddings | N | what each of them saw |
    | pooled | 1 | the whole picture |
    | grid | places of the last layer | a cell |
    | layers | 4, small_cnn 3 | the whole picture, at several depths: `Layers` |
    | parts | 5 | a quarter each, and the whole picture: `Parts` |
    | objects | 10 | a thing that was found: `Objects` |

    `name` is "small_cnn", which looks at 64 pixels whatever `image_size` says and whose weights are
    "DEFAULT" (those that come with the course) or None; a torchvision classifier, as for
    `TorchvisionEncoder`; or "fasterrcnn_resnet50_fpn", which gives objects and nothing else.
    With `project` a linear layer that always learns comes last, and D = project.
    Raises CourseError for a name, weights, a size or embeddings that there are not.
    """
    if embeddings not in EMBEDDINGS:
        raise CourseError(
            f"There are no embeddings '{embeddings}'; choose one of {', '.join(EMBEDDINGS)}."
        )
    if (name == DETECTOR) != (embeddings == "objects"):
        raise CourseError(
            f"{name} does not give '{embeddings}': objects come from {DETECTOR}, and it gives "
            "nothing else."
        )
    if name == DETECTOR:
        return Objects(weights, image_size, trainable=trainable, project=project)
    sources = {"layers": Layers, "parts": Parts}
    grid, own = embeddings == "grid", None if embeddings in sources else project
    if name == "small_cnn":
        encoder = _small_cnn(weights, trainable, grid, own)
    else:
        encoder = TorchvisionEncoder(name, weights, trainable, image_size, grid, own)
    return sources[embeddings](encoder, project=project) if embeddings in sources else encoder


def _small_cnn(weights, trainable, grid, project):
    if weights not in ("DEFAULT", None):
        raise CourseError(f"small_cnn has no weights {weights!r}; choose DEFAULT or None.")
    encoder = SmallCNN(grid=grid, project=project)
    if weights:
        encoder.load_state_dict(scene_encoder().state_dict(), strict=project is None)
    return encoder.unfreeze() if trainable else encoder.freeze()


class _Around(Encoder):
    """An encoder that asks another one, which learns or is frozen as it was."""

    def __init__(self, encoder, project=None):
        if not isinstance(encoder, SmallCNN | TorchvisionEncoder):
            raise CourseError(
                f"{type(self).__name__} takes a SmallCNN or a TorchvisionEncoder, "
                f"not {type(encoder).__name__}."
            )
        if encoder.project is not None:
            raise CourseError(
                f"Give project={encoder.project} to {type(self).__name__}, not to its encoder."
            )
        if not any(each.requires_grad for each in encoder.parameters()):
            encoder.freeze()  # without gradients, yet its BatchNorm would move in training
        super().__init__(
            encoder.name, encoder.image_size, encoder.trainable, project, encoder.named
        )
        self.encoder = encoder
        self.pooling = encoder.pooling


class Layers(_Around):
    """What several depths of one network know of a picture: edges first, things last.

    uint8 images (B, 3, H, W) → memory (B, N = count, D), one pooled vector from the last layer at each
    of the `count` coarsest sizes (of a vision transformer: after evenly spaced blocks), finest first;
    with `grid` g, N = count * g * g, each depth's places row by row.  Without a count these are 4
    depths, or all where a network has fewer.

    Depths have different widths and scales.  So each vector is standardised over its own numbers, and
    has a stretch of D for itself, with zeros elsewhere: D is the sum of the widths.  The first linear
    layer of a decoder is then one linear layer for each depth, and nothing has to learn here: frozen
    features can be kept.
    Raises CourseError if the network has fewer depths at its picture size.
    """

    def __init__(self, encoder, count=None, grid=1, project=None):
        super().__init__(encoder, project)
        self.grid = whole_number("grid", grid)
        self.widths = self._measure(DEPTHS if count is None else whole_number("count", count))
        self.count = len(self.widths)
        if count and self.count < count:
            raise CourseError(
                f"{self.name} has {self.count} depths at {self.image_size} pixels, not {count}; "
                "choose a smaller count or larger pictures."
            )
        self._finish(sum(self.widths))

    def extra_repr(self):
        return f"count={self.count}, grid={self.grid}, project={self.project}"

    @torch.no_grad()
    def _measure(self, count):
        """How many numbers each of the last `count` depths gives of a place."""
        was_training, device = self.encoder.training, next(self.encoder.parameters()).device
        side = self.image_size
        empty = torch.zeros(1, 3, side, side, dtype=torch.uint8, device=device)
        maps = self.encoder.eval().maps(empty, count)
        self.encoder.train(was_training)
        return [each.shape[1] for each in maps]

    def see(self, images):
        vectors, start = [], 0
        for maps in self.encoder.maps(images, self.count):
            vector = pool(maps, self.pooling, self.grid)  # (B, g*g, width)
            width = vector.shape[-1]
            vector = F.layer_norm(vector, (width,))
            vectors.append(F.pad(vector, (start, sum(self.widths) - start - width)))
            start += width
        return torch.cat(vectors, 1)  # (B, N, D)

    def boxes(self, images):
        """As in Encoder: the cells of the grid, once for each depth."""
        return same_boxes(grid_boxes(self.grid, self.grid).repeat(self.count, 1), images)


class Crops(_Around):
    """Embeds given boxes of pictures: the second half of a detector, or all of it where boxes are known.

    images uint8 (B, 3, H, W), boxes (B, N, 4) as shares of the picture → memory (B, N, D).  A box
    without an area stands for a thing that is missing, and its embedding is zeros: `pad_boxes` fills
    up lists of boxes.  The encoder looks "each": at every box as at a picture of its own (as in R-CNN,
    Girshick et al. 2014); or "once": at the whole picture, and boxes are cut out of its last layer
    (as in Fast R-CNN, Girshick 2015), N times cheaper.
    Raises CourseError for boxes that are not inside the picture.
    """

    def __init__(self, encoder, look="each", project=None):
        super().__init__(encoder, project)
        if look not in ("each", "once"):
            raise CourseError(f"An encoder looks 'each' or 'once', not '{look}'.")
        self.look = look
        self._finish(encoder.dim)

    def extra_repr(self):
        return f"look={self.look}, project={self.project}"

    def forward(self, images, boxes):
        return self.projection(self.see(images, boxes))  # (B, N, D)

    def see(self, images, boxes):
        """As in Encoder, of boxes (B, N, 4)."""
        boxes = check_boxes(boxes, images).to(images.device)
        if self.look == "each":
            memory = look_at_each(self.encoder, images, boxes)
        else:
            memory = cut(self.encoder.maps(images, 1)[0], boxes, 4)  # (B*N, D, 4, 4)
            memory = pool(memory, self.pooling).view(*boxes.shape[:2], -1)
        empty = (boxes[..., 2:] <= boxes[..., :2]).any(-1, keepdim=True)
        return memory.masked_fill(empty, 0)  # (B, N, D)

    def boxes(self, images):
        """Crops are told their boxes, so this raises CourseError."""
        raise CourseError("Crops look at the boxes they are given; these are what they saw.")


class Parts(_Around):
    """The cells of a picture, each looked at as a picture of its own, and the whole picture.

    uint8 images (B, 3, H, W) → memory (B, N = grid * grid + 1, D): the cells row by row, the whole
    last.  Each costs a look: N times the time of one.
    """

    def __init__(self, encoder, grid=2, project=None):
        super().__init__(encoder, project)
        self.grid = whole_number("grid", grid)
        self._finish(encoder.dim)

    def extra_repr(self):
        return f"grid={self.grid}, project={self.project}"

    def see(self, images):
        return look_at_each(self.encoder, images, self.boxes(images))  # (B, N, D)

    def boxes(self, images):
        """As in Encoder: the cells row by row, then the whole."""
        cells = torch.cat([grid_boxes(self.grid, self.grid), torch.tensor([WHOLE])])
        return same_boxes(cells, images)


def look_at_each(encoder, images, boxes):
    """Embeds every box as a picture of its own: images (B, 3, H, W), boxes (B, N, 4) → (B, N, D)."""
    pixels, size = images.float(), encoder.image_size
    # One box of every picture at a time: a batch stays B pictures, however many boxes there are
    crops = (cut(pixels, box[:, None], size).round().byte() for box in boxes.unbind(1))
    return torch.stack([encoder.whole(crop) for crop in crops], 1)
