"""The checks of lesson 02: receptive field, max over real places, nearest by cosine, a frozen encoder."""

import numpy as np
import torch
from torch import nn

from coursekit.checks.core import Wrong, as_array, exercise, expect_close, expect_equal

# (kernel, stride) of each layer, the first one first, and what a place of the last one sees
STACK = [(4, 4), (3, 1), (3, 2), (3, 1), (3, 2)]
FIELD = 52
FIELD_MISTAKES = [
    (
        12,
        "the strides are missing: a layer's neighbours lie as far apart as all earlier strides say",
    ),
    (85, "a layer's own stride is counted too early: it only matters for the layers after it"),
    (
        25,
        "only the layer's own stride is used: it is the product of all strides before it that counts",
    ),
    (20, "only the stride of the layer before is used: it is the product of all strides before it"),
    (60, "strides are added: distances multiply from layer to layer"),
    (77, "a kernel of k reaches over k - 1 distances, not k"),
    (4, "only the first layer counts: return after the loop, not inside"),
    (31, "the layers are read from the last to the first: begin at the pixels"),
    (51, "before the first layer a place is one pixel, so begin with 1, not 0"),
    (
        16,
        "the sum of the kernels (or the product of the strides): a kernel of k adds k - 1 distances",
    ),
    (324, "the kernels are multiplied: windows overlap, so fields grow by adding"),
]
OTHER_STACKS = [([(7, 2), (3, 2), (3, 1)], 19), ([(1, 1), (5, 3)], 5), ([], 1)]


@exercise("receptive_field")
def receptive_field(answer):
    """answer(layers: list of (kernel, stride)) -> int: pixels, along one side, that a place sees."""
    got = answer(list(STACK))
    if isinstance(got, (tuple, list)):
        raise Wrong("one number", f"{len(got)} of them", "return the field alone")
    expect_equal(got, FIELD, f"the field of {STACK}", mistakes=FIELD_MISTAKES)
    for layers, field in OTHER_STACKS:
        likely = (
            "no layer at all: a pixel sees itself"
            if not layers
            else "use the layers that are given"
        )
        expect_equal(answer(list(layers)), field, f"the field of {layers}", likely)


# B = 3 pictures, N = 4 places, D = 5 features. The second has two real places, with negative
# values; what stands at its other places is larger than anything real, as padding may be.
MEMORY = [
    [[1, -3, 0, 2, 6], [4, -1, 0, -2, 1], [2, -2, 3, 0, 0], [0, -4, 1, 1, 2]],
    [[-2, 5, -4, 1, -6], [-1, 1, -2, 1, -7], [9, 9, 9, 9, 9], [8, 8, 8, 8, 8]],
    [[7, 0, -1, 3, 2], [9, 9, 9, 9, 9], [1, 2, -3, 4, 0], [0, 1, -5, 2, 1]],
]
REAL = [[True] * 4, [True, True, False, False], [True, False, True, True]]
POOLED = [[4, -1, 3, 2, 6], [-1, 5, -2, 1, -6], [7, 2, -1, 4, 2]]
UNMASKED = [[4, -1, 3, 2, 6], [9, 9, 9, 9, 9], [9, 9, 9, 9, 9]]
ZEROED = [[4, -1, 3, 2, 6], [0, 5, 0, 1, 0], [7, 2, 0, 4, 2]]
BY_MEAN = [[1.75, -2.5, 1, 0.25, 2.25], [-1.5, 3, -3, 1, -6.5], [8 / 3, 1, -3, 3, 1]]


@exercise("max_pool")
def max_pool(answer):
    """answer(memory (B, N, D), real (B, N) bool) -> (B, D): the largest value over the real places."""
    memory, real = torch.tensor(MEMORY, dtype=torch.float32), torch.tensor(REAL)
    got = _run_max_pool(answer, memory, real)
    if not torch.equal(memory, torch.tensor(MEMORY, dtype=torch.float32)):
        raise Wrong(
            "memory left as it was",
            "changed memory",
            "masked_fill without the final _ makes a copy",
        )
    if isinstance(got, tuple):
        likely = (
            "memory.max(1) returns the values and where they are; amax(1) returns the values alone"
        )
        raise Wrong("one tensor", f"a {type(got).__name__} of {len(got)}", likely)
    got = as_array(got, "the pooled memory")
    shapes = {
        (3, 4): "this pools over the features; dimension 1 holds the places",
        (4, 5): "this pools over the pictures; dimension 1 holds the places",
        (
            5,
        ): "memory[real] puts the places of all pictures into one row: fill the padded ones instead",
        (
            9,
        ): "memory[real] puts the places of all pictures into one row: fill the padded ones instead",
        (3, 1, 5): "the axis of places is still there: leave keepdim out",
    }
    if got.shape in shapes:
        raise Wrong("shape (3, 5)", f"shape {got.shape}", shapes[got.shape])
    if np.isneginf(got.astype(float)).any():
        likely = (
            "the real places are filled, not the padded ones: the mask must be turned round, ~real"
        )
        raise Wrong("numbers", "-inf", likely)
    if np.isnan(got.astype(float)).any():
        raise Wrong(
            "numbers", "nan", "inf times 0 is nan: put -inf in with masked_fill or torch.where"
        )
    mistakes = [
        (UNMASKED, "padding has won: a place that is not real must not take part"),
        (ZEROED, "a padded place set to 0 still beats negative values: set it to -inf"),
        (BY_MEAN, "this is the mean over the real places"),
    ]
    expect_close(got, POOLED, "the pooled memory", mistakes=mistakes)


def _run_max_pool(answer, memory, real):
    try:
        return answer(memory, real)
    except NotImplementedError:  # a RuntimeError too
        raise
    except (RuntimeError, IndexError) as error:
        likely = "real is (B, N) and memory (B, N, D): real[:, :, None] fits, with ~ for the places to fill"
        raise Wrong("shape (3, 5)", str(error).splitlines()[0], likely) from error


# Row 0 is long, row 4 lies near the query, row 2 has no direction, row 3 points away.
VECTORS = [[10, 0, 9], [4, 2, 0.4], [0, 0, 0], [-2, -1, 0], [1.5, 1.2, 0.9], [0.4, 0.1, 0]]
QUERY = [2, 1, 0]
NEAREST = [1, 5, 4]
LONG_WIN = (
    "long vectors win by length: divide each picture's vector (dim=1), and the query, by its length"
)
NO_DIRECTION = "a vector of zeros has no direction: 0/0 is nan, and nan sorts as the largest"
NEAREST_MISTAKES = [
    ([0, 1, 4], LONG_WIN),
    ([5, 4, 1], "short vectors win: divide by the length once, not by its square"),
    ([3, 1, 5], "what points away is not alike: leave abs out"),
    ([4, 5, 1], "the right ones, the least alike first: turn them round"),
    ([1, 4, 5], "the right ones, sorted by number: keep the order of likeness"),
    ([4, 5, 2], "the smallest distance; what counts here is direction, whatever the length"),
    ([3, 2, 0], "these are the least alike: sort from large to small"),
    ([3, 0, 4], "these are the least alike: sort from large to small"),
]


@exercise("nearest")
def nearest(answer):
    """answer(vectors (M, D), query (D,), count) -> the indices of the most alike, most alike first."""
    vectors, query = torch.tensor(VECTORS), torch.tensor(QUERY, dtype=torch.float32)
    rows = "vectors are (M, D): norm(dim=1, keepdim=True) is (M, 1) and divides row by row"
    got = _run_nearest(answer, (vectors, query, 3), rows)
    if isinstance(got, tuple):
        why = "topk returns the values and where they are: take its .indices"
        raise Wrong("indices", f"a {type(got).__name__} of {len(got)}", why)
    got = as_array(got, "the indices")
    if got.dtype.kind == "f":
        why = "these are values; where they lie is asked, the indices"
        raise Wrong("indices", f"{np.round(got.astype(float), 3).tolist()}", why)
    if got.shape == ():
        why = "the `count` most alike are asked, not the one: topk(count).indices"
        raise Wrong("3 indices", "1 index", why)
    if got.shape == (6,):
        raise Wrong("3 indices", "6 indices", "keep the first `count`")
    if got.shape != (3,):
        raise Wrong(
            "3 indices in a row",
            f"shape {got.shape}",
            "the query is one vector (D,): vectors @ query",
        )
    likely = NO_DIRECTION if 2 in got else None
    expect_equal(got, NEAREST, "the indices", likely, NEAREST_MISTAKES)
    likely = "use `count`, and the vectors that are given"
    got = _run_nearest(answer, (vectors[[3, 5]], query, 1), likely)
    expect_equal(got, [1], "the indices among two vectors, count = 1", likely)


def _run_nearest(answer, given, likely):
    try:
        return answer(*given)
    except NotImplementedError:  # a RuntimeError too
        raise
    except RuntimeError as error:
        raise Wrong(f"{given[2]} indices", str(error).splitlines()[0], likely) from error


class _Eye(nn.Module):
    """A little encoder with all that misbehaves in training mode, and a history in its BatchNorm."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.dim = 6
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5)
        )
        norm = self.layers[1]
        with torch.no_grad():
            for each in (
                self.layers[0].weight,
                self.layers[0].bias,
                norm.weight,
                norm.running_mean,
            ):
                each.copy_(torch.rand(each.shape, generator=generator) - 0.3)
            norm.running_var.copy_(torch.rand(6, generator=generator) + 0.5)

    def forward(self, images):
        return self.layers(images).flatten(2).transpose(1, 2)  # (B, N=9, D=6)


@exercise("freeze")
def freeze(answer):
    """answer(encoder) -> a module with the encoder's memory (B, N, D) that nothing can change any more."""
    eye = _Eye().eval()
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        expected = eye(images)
    before = {name: each.clone() for name, each in eye.train().state_dict().items()}
    frozen = answer(eye)
    if frozen is None:
        raise Wrong("a module", "None", "the function does not return its result")
    if not isinstance(frozen, nn.Module):
        likely = (
            "a plain function is not seen by .to(), .train() and state_dict(): return an nn.Module"
        )
        raise Wrong("an nn.Module", f"a {type(frozen).__name__}", likely)
    resting = not _norm(frozen, eye).training
    if frozen.train() is None:
        why = "end it with return self, or model = model.train() loses the model"
        raise Wrong("a train() that returns the module", "None", why)
    head = nn.Linear(6, 2)
    got = _one_step(frozen, head, images)
    _weights_kept(frozen, eye, before)
    _statistics_kept(_norm(frozen, eye), before, resting)
    _same_memory(frozen, images, got, expected)


def _norm(frozen, eye):
    """The BatchNorm that is in use: of the answer, or of the encoder if the answer hides it."""
    return next((m for m in frozen.modules() if isinstance(m, nn.BatchNorm2d)), eye.layers[1])


def _one_step(frozen, head, images):
    """A step of training of a model around the frozen encoder, as the course's loop does it."""
    model = nn.Sequential(frozen, head)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    try:
        memory = frozen(images)
    except NotImplementedError as error:
        why = "give the module a forward(self, images) that calls the encoder"
        raise Wrong("a module that can be called", str(error).splitlines()[0], why) from error
    try:
        head(memory).square().sum().backward()
    except RuntimeError as error:
        likely = "gradients are switched off for good: switch them off for the encoder only"
        raise Wrong("a head that can learn", str(error).splitlines()[0], likely) from error
    finally:
        torch.set_grad_enabled(True)
    optimizer.step()
    return memory


def _weights_kept(frozen, eye, before):
    conv = next((m for m in frozen.modules() if isinstance(m, nn.Conv2d)), eye.layers[0])
    if conv.weight.grad is not None or not torch.equal(conv.weight, before["layers.0.weight"]):
        likely = "weights go on learning until encoder.requires_grad_(False), with its last _; eval() is for BatchNorm"
        raise Wrong("the same weights after a step", "weights that have learned", likely)


def _statistics_kept(norm, before, resting):
    if torch.equal(norm.running_mean, before["layers.1.running_mean"]):
        return
    likely = (
        "eval() was undone: a train() on the model around it reaches the encoder; override train()"
        if resting
        else "BatchNorm's running mean and variance are no weights and need no gradient: call eval() too"
    )
    raise Wrong("the same running mean after a step", "a running mean that moved", likely)


def _same_memory(frozen, images, got, expected):
    if not torch.equal(frozen(images), got):
        raise Wrong(
            "the same memory twice",
            "two answers",
            "dropout still drops: all of it belongs in eval()",
        )
    likely = "BatchNorm still scales by the batch it is in: in eval() it uses its running mean and variance"
    expect_close(got, expected, "the memory", likely=likely)
