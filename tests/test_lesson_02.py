"""Lesson 02's checks: they accept its solutions and others, and name the mistakes students make."""

import numpy as np
import pytest
import torch
from lesson_solutions import assert_named, verdict
from torch import nn
from torch.nn import functional as F

from coursekit.checks import lesson_02 as check
from coursekit.models.encoders import SmallCNN

# --- other right answers


def field_by_products(layers):
    strides = [stride for _, stride in layers]
    return 1 + sum((k - 1) * int(np.prod(strides[:i])) for i, (k, _) in enumerate(layers))


def field_backwards(layers):
    """From one place of the last layer down to the pixels: another right formula."""
    field = 1
    for kernel, stride in reversed(layers):
        field = (field - 1) * stride + kernel
    return field


def field_by_gradient(layers):
    pixels = torch.zeros(1, 1, 400, requires_grad=True)
    maps = pixels
    for kernel, stride in layers:
        maps = F.conv1d(maps, torch.ones(1, 1, kernel), stride=stride)
    maps[0, 0, maps.shape[-1] // 2].backward()
    return (pixels.grad > 0).sum()


def pool_by_where(memory, real):
    lowest = torch.full_like(memory, -torch.inf)
    return torch.where(real.unsqueeze(-1), memory, lowest).max(dim=1).values


def pool_by_loop(memory, real):
    return np.stack([m[r].max(0).values.numpy() for m, r in zip(memory, real, strict=True)])


def pool_by_penalty(memory, real):
    return (memory - 1e9 * (~real)[:, :, None]).amax(1)


def nearest_by_library(vectors, query, count):
    return F.cosine_similarity(vectors, query[None]).argsort(descending=True)[:count]


def nearest_sorted(vectors, query, count):
    def likeness(i):
        return float(vectors[i] @ query / vectors[i].norm().clamp_min(1e-6))

    return sorted(range(len(vectors)), key=likeness, reverse=True)[:count]


class Refuses(nn.Module):
    """Wakes nothing up, by asking for eval() at each call and computing without gradients."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, images):
        self.encoder.eval()
        with torch.no_grad():
            return self.encoder(images)


def freeze_by_attribute(encoder):
    encoder.requires_grad_(False).eval()
    encoder.train = lambda mode=True: encoder
    return encoder


def freeze_with_subclass(encoder):
    class Frozen(type(encoder)):
        def train(self, mode=True):
            return super().train(False)

    encoder.__class__ = Frozen
    for parameter in encoder.parameters():
        parameter.requires_grad = False
    return encoder.eval()


RIGHT = {
    "receptive_field": [field_by_products, field_backwards, field_by_gradient],
    "max_pool": [pool_by_where, pool_by_loop, pool_by_penalty],
    "nearest": [nearest_by_library, nearest_sorted],
    "freeze": [Refuses, freeze_by_attribute, freeze_with_subclass],
}


@pytest.mark.parametrize("name, answer", [(n, a) for n, each in RIGHT.items() for a in each])
def test_other_right_answers_pass(name, answer, capsys):
    passed, said = verdict(capsys, getattr(check, name), answer)
    assert passed, said


# --- mistakes, each with the words by which the student must recognise it


def field(start=1, widen=lambda k, s, apart: (k - 1) * apart, early=False, order=iter,
          spread=lambda apart, s: apart * s):  # fmt: skip
    """The loop with one thing wrong."""

    def answer(layers):
        seen, apart = start, 1
        for kernel, stride in order(layers):
            apart = spread(apart, stride) if early else apart
            seen += widen(kernel, stride, apart)
            apart = apart if early else spread(apart, stride)
        return seen

    return answer


def pool_forgets_copy(memory, real):
    return memory.masked_fill_(~real[:, :, None], -torch.inf).amax(1)


def pool_nan(memory, real):
    return (memory - (1 - real.float())[:, :, None] * torch.inf).amax(1)


def pool_of(fill, pool=lambda m: m.amax(1)):
    return lambda memory, real: pool(fill(memory, real))


def masked(memory, real):
    return memory.masked_fill(~real[:, :, None], -torch.inf)


def nearest_by(likeness, largest=True, what="indices"):
    def answer(vectors, query, count):
        return getattr(likeness(vectors, query).topk(count, largest=largest), what)

    return answer


def cosine(vectors, query):
    return F.normalize(vectors, dim=1) @ F.normalize(query, dim=0)


def cosine_nan(vectors, query):
    return (vectors / vectors.norm(dim=1, keepdim=True)) @ (query / query.norm())


class Holds(nn.Module):
    """A wrapper that does what it is told with the encoder, once."""

    def __init__(self, encoder, no_grad=False):
        super().__init__()
        self.encoder, self.no_grad = encoder, no_grad

    def forward(self, images):
        with torch.set_grad_enabled(not self.no_grad):
            return self.encoder(images)


def freeze_without_dropout(encoder):
    encoder.requires_grad_(False)
    norm = next(each for each in encoder.modules() if isinstance(each, nn.BatchNorm2d)).eval()
    norm.train = lambda mode=True: norm
    return encoder


def freeze_by_momentum(encoder):
    for each in encoder.requires_grad_(False).modules():
        if isinstance(each, nn.BatchNorm2d):
            each.momentum = 0.0
        if isinstance(each, nn.Dropout):
            each.p = 0.0
    return encoder


def freeze_everything(encoder):
    torch.set_grad_enabled(False)
    return Refuses(encoder.requires_grad_(False))


def freeze_weights_only_refusing(encoder):
    encoder.eval()
    encoder.train = lambda mode=True: encoder
    return encoder


def freeze_by_an_attribute(encoder):
    encoder.requires_grad = False
    return freeze_weights_only_refusing(encoder)


class Mute(nn.Module):
    """Frozen, and without a forward."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder.requires_grad_(False).eval()

    def train(self, mode=True):
        return self


class Silent(Mute):
    """Its train() returns nothing."""

    def train(self, mode=True):
        pass

    def forward(self, images):
        return self.encoder(images)


MISTAKES = {
    "receptive_field": [
        (field(widen=lambda k, s, apart: k - 1), "the strides are missing"),
        (field(early=True), "counted too early"),
        (field(widen=lambda k, s, apart: (k - 1) * s), "the layer's own stride"),
        (field(order=reversed), "from the last to the first"),
        (field(start=0), "begin with 1, not 0"),
        (lambda layers: sum(k for k, _ in layers), "a kernel of k adds k - 1"),
        (lambda layers: int(np.prod([s for _, s in layers])), "the product of the strides"),
        (lambda layers: int(np.prod([k for k, _ in layers])), "fields grow by adding"),
        (lambda layers: 52, "use the layers that are given"),
        (field(widen=lambda k, s, apart: k * apart), "k - 1 distances, not k"),
        (field(spread=lambda apart, s: apart + s), "distances multiply"),
        (field(spread=lambda apart, s: s), "the stride of the layer before"),
        (lambda layers: layers[0][0] if layers else 1, "return after the loop"),
        (lambda layers: (52, 16), "the field alone"),
        (lambda layers: None, "does not return its result"),
    ],
    "max_pool": [
        (lambda memory, real: memory.amax(1), "padding has won"),
        (pool_of(lambda m, r: m * r[:, :, None]), "still beats negative values"),
        (lambda m, r: (m * r[:, :, None]).sum(1) / r.sum(1, keepdim=True), "the mean"),
        (pool_of(masked, lambda m: m.amax(2)), "pools over the features"),
        (pool_of(masked, lambda m: m.amax(0)), "pools over the pictures"),
        (pool_of(masked, lambda m: m.amax(1, keepdim=True)), "leave keepdim out"),
        (pool_of(masked, lambda m: m.max(1)), "amax(1) returns the values alone"),
        (pool_of(lambda m, r: m.masked_fill(~r, -torch.inf)), "real[:, :, None] fits"),
        (pool_of(lambda m, r: m.masked_fill(r[:, :, None], -torch.inf)), "turned round, ~real"),
        (lambda memory, real: memory[real].amax(0), "the places of all pictures into one row"),
        (pool_forgets_copy, "makes a copy"),
        (pool_nan, "inf times 0 is nan"),
        (lambda memory, real: None, "does not return its result"),
    ],
    "nearest": [
        (nearest_by(lambda v, q: v @ q), "long vectors win"),
        (nearest_by(lambda v, q: F.normalize(v, dim=0) @ q), "long vectors win"),
        (nearest_by(lambda v, q: v @ F.normalize(q, dim=0)), "long vectors win"),
        (nearest_by(lambda v, q: (v - q).norm(dim=1), largest=False), "whatever the length"),
        (nearest_by(cosine, largest=False), "sort from large to small"),
        (nearest_by(lambda v, q: 1 - cosine(v, q)), "sort from large to small"),
        (nearest_by(cosine_nan), "has no direction"),
        (nearest_by(cosine, what="values"), "where they lie is asked"),
        (nearest_by(lambda v, q: cosine(v, q).abs()), "leave abs out"),
        (nearest_by(lambda v, q: v @ q / (v.square().sum(1) + 1e-9)), "not by its square"),
        (lambda v, q, count: cosine(v, q).argsort()[-count:], "turn them round"),
        (lambda v, q, count: cosine(v, q).topk(count).indices.sort().values, "the order of likeness"),
        (lambda v, q, count: cosine(v, q).topk(count), "take its .indices"),
        (lambda v, q, count: cosine(v, q).argmax(), "not the one"),
        (lambda v, q, count: (v / v.norm(dim=1) @ q).topk(count).indices, "keepdim=True) is (M, 1)"),
        (lambda v, q, count: cosine(v, q).argsort(descending=True), "keep the first `count`"),
        (lambda v, q, count: cosine(v, q).topk(3).indices, "use `count`"),
        (lambda v, q, count: cosine(v, q[None].T).topk(3, dim=0).indices, "the query is one vector"),
    ],
    "freeze": [
        (lambda encoder: encoder.requires_grad_(False), "call eval() too"),
        (lambda encoder: encoder.eval(), "weights go on learning"),
        (lambda encoder: encoder.requires_grad_(False).eval(), "override train()"),
        (lambda encoder: Holds(encoder, no_grad=True), "call eval() too"),
        (lambda encoder: Holds(encoder.eval(), no_grad=True), "override train()"),
        (freeze_weights_only_refusing, "weights go on learning"),
        (freeze_by_an_attribute, "with its last _"),
        (Silent, "return self"),
        (Mute, "give the module a forward"),
        (freeze_without_dropout, "dropout still drops"),
        (freeze_by_momentum, "scales by the batch it is in"),
        (freeze_everything, "for the encoder only"),
        (lambda encoder: encoder.forward, "return an nn.Module"),
        (lambda encoder: None, "does not return its result"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "name, answer, likely", [(n, a, words) for n, each in MISTAKES.items() for a, words in each]
)
def test_mistakes_are_named(name, answer, likely, capsys):
    assert_named(capsys, getattr(check, name), answer, likely)
    assert torch.is_grad_enabled()


# --- what is recorded is what its name says, and the lesson's network is the one of the exercise


def test_recorded_values_are_what_their_names_say():
    memory, real = np.asarray(check.MEMORY, float), np.asarray(check.REAL)[:, :, None]
    assert (np.where(real, memory, -np.inf).max(1) == check.POOLED).all()
    assert (memory.max(1) == check.UNMASKED).all()
    assert ((memory * real).max(1) == check.ZEROED).all()
    assert np.allclose((memory * real).sum(1) / real.sum(1), check.BY_MEAN)


def test_the_stack_is_the_courses_small_cnn():
    layers = [each for each in SmallCNN().modules() if isinstance(each, nn.Conv2d)]
    assert [(each.kernel_size[0], each.stride[0]) for each in layers] == check.STACK
