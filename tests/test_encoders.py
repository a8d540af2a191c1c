"""Encoders: shapes, what is frozen, equality with torchvision's own models, and kept features."""

import pytest
import torch
import torch.nn.functional as F
from torchvision import models

from coursekit.datasets.base import CaptionSet
from coursekit.errors import CourseError
from coursekit.models import networks
from coursekit.models.encoders import (
    SceneClassifier,
    SmallCNN,
    TorchvisionEncoder,
    cached_features,
)

COUNT = 7


class Noise(CaptionSet):
    """Pictures of noise that count how often they are looked at."""

    def __init__(self, seed=0, count=COUNT, split="train"):
        super().__init__("noise", split, [f"{i}" for i in range(count)], [["noise"]] * count)
        self.seed, self.looks = seed, 0

    def image(self, index):
        self.looks += 1
        generator = torch.Generator().manual_seed(1000 * self.seed + index)
        return torch.randint(0, 256, (3, 64, 64), generator=generator).to(torch.uint8)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, 48, 80), generator=generator).to(torch.uint8)


def test_small_cnn_sees_a_grid():
    torch.manual_seed(0)
    encoder = SmallCNN(dim=40).eval()
    assert encoder.dim == 40
    images = torch.zeros(3, 3, 64, 64, dtype=torch.uint8)
    images[1, :, :8, 56:] = 255
    memory = encoder(images)
    assert memory.shape == (3, 16, 40) and memory.dtype == torch.float32
    change = (memory[1] - memory[0]).abs().sum(1).view(4, 4)
    assert (change[:2, 2:] > 0).all(), "row by row, the top right corner is places 2, 3, 6, 7"
    assert change[2:].sum() == 0 and change[:, :2].sum() == 0
    assert torch.equal(memory[0], memory[2])


def test_small_cnn_is_small_and_all_of_it_learns():
    encoder = SmallCNN()
    assert sum(each.numel() for each in encoder.parameters()) < 1_000_000
    encoder(Noise().images(range(4))).square().sum().backward()
    assert all(each.grad.abs().sum() > 0 for each in encoder.parameters())


def test_small_cnn_survives_a_checkpoint():
    first, second = SmallCNN(dim=24).eval(), SmallCNN(dim=24).eval()
    images = Noise().images(range(2))
    assert not torch.allclose(first(images), second(images))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(images), second(images))


def test_scene_classifier_learns_where_brightness_is_the_label():
    torch.manual_seed(0)
    images = torch.randint(0, 100, (32, 3, 64, 64), dtype=torch.uint8)
    labels = torch.zeros(32, 2)
    images[::2] += 100
    labels[::2, 0], labels[1::2, 1] = 1, 1
    model = SceneClassifier(SmallCNN(dim=32), 2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(12):
        logits = model(images)
        assert logits.shape == (32, 2)
        loss = F.binary_cross_entropy_with_logits(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


# name, D, places at 64 pixels, whether the head takes the pooled memory as it is
LAYOUTS = [
    ("mobilenet_v2", 1280, 4, True),
    ("resnet18", 512, 4, True),
    ("resnet50", 2048, 4, True),
    ("densenet121", 1024, 4, True),
    ("efficientnet_b0", 1280, 4, True),
    ("shufflenet_v2_x0_5", 1024, 4, True),
    ("regnet_y_400mf", 440, 4, True),
    ("mobilenet_v3_small", 576, 4, True),
    ("vgg16", 512, 4, False),
    ("squeezenet1_1", 512, 9, False),
]


def head_of(model):
    layers = [layer for name, layer in model.named_children() if name in networks.HEADS]
    return torch.nn.Sequential(*[each for each in layers if "Pool" not in type(each).__name__])


def light(name):
    """A model's layers with weights of one draw, and no time spent on drawing vgg's classifier."""
    torch.manual_seed(1)
    return models.get_model(name, weights=None).eval()


@pytest.mark.parametrize("name, dim, places, head_fits", LAYOUTS)
def test_backbone_equals_torchvisions_model(monkeypatch, images, name, dim, places, head_fits):
    model = light(name)
    monkeypatch.setattr(models, "get_model", lambda *_, **__: model)
    encoder = TorchvisionEncoder(name, weights=None, image_size=64).eval()
    pooled = encoder(images)
    encoder.grid = True
    grid = encoder(images)
    assert pooled.shape == (2, 1, dim) and grid.shape == (2, places, dim) and encoder.dim == dim
    assert torch.allclose(grid.mean(1, keepdim=True), pooled, atol=1e-5)
    pixels = F.interpolate(images / 255, (64, 64), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ([0.485, 0.456, 0.406],
                                                              [0.229, 0.224, 0.225]))  # fmt: skip
    with torch.no_grad():
        pixels = (pixels - mean) / std
        if head_fits:
            ours, theirs = head_of(model)(pooled.flatten(1)), model(pixels)
        else:
            ours, theirs = grid.transpose(1, 2).flatten(2), model.features(pixels).flatten(2)
    scale = theirs.abs().max()
    assert scale > 0 and (ours - theirs).abs().max() < 1e-4 * scale


def test_vision_transformer_equals_torchvisions(monkeypatch, images):
    torch.manual_seed(1)
    model = models.VisionTransformer(32, 8, 2, 3, 36, 48, num_classes=5).eval()
    torch.nn.init.normal_(model.heads.head.weight)
    torch.nn.init.normal_(model.class_token)
    monkeypatch.setattr(models, "get_model", lambda *_, **__: model)
    encoder = TorchvisionEncoder("vit_b_16", weights=None, image_size=32).eval()
    pooled = encoder(images)
    encoder.grid = True
    assert pooled.shape == (2, 1, 36) and encoder(images).shape == (2, 16, 36)
    pixels = F.interpolate(images / 255, (32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        theirs = model((pixels - encoder.mean) / encoder.std)
    assert torch.allclose(model.heads(pooled[:, 0]), theirs, atol=1e-5)
    with pytest.raises(CourseError, match="cannot look at pictures of 64 .* choose image_size=32"):
        TorchvisionEncoder("vit_b_16", weights=None, image_size=64)


def test_frozen_stays_frozen_in_training(images):
    encoder = TorchvisionEncoder("mobilenet_v2", weights=None, image_size=32)
    wrapped = torch.nn.Sequential(encoder, torch.nn.Linear(encoder.dim, 2)).train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    first, second = encoder(images), encoder(images)
    assert torch.equal(first, second), "dropout or BatchNorm is in training mode"
    wrapped(images).sum().backward()
    assert not any(each.requires_grad for each in encoder.parameters())
    assert not first.requires_grad
    assert all(torch.equal(before[name], each) for name, each in encoder.state_dict().items())


def test_trainable_learns_and_normalises(images):
    encoder = TorchvisionEncoder("mobilenet_v2", weights=None, trainable=True, image_size=64)
    assert encoder.training and encoder.backbone.training
    statistics = encoder.backbone.features[0][1].running_mean
    before = statistics.clone()
    encoder(images).square().sum().backward()
    assert encoder.backbone.features[0][0].weight.grad.abs().sum() > 0
    assert not torch.equal(statistics, before)
    encoder.eval()
    assert not encoder.backbone.training


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"name": "resnet19"}, "no torchvision encoder 'resnet19'; choose one of alexnet, .*vit_"),
        ({"name": "googlenet"}, "no torchvision encoder 'googlenet'"),
        ({"weights": "IMAGENET1K_V9"}, "no weights 'IMAGENET1K_V9'; choose DEFAULT, IMAGENET1K_V1"),
    ],
)
def test_wrong_names(options, sentence):
    with pytest.raises(CourseError, match=sentence):
        TorchvisionEncoder(**options)


@pytest.fixture
def checkpoints(monkeypatch, tmp_path):
    """Torchvision's folder of weights, empty, with a network that does not answer."""
    import urllib.error
    import urllib.request

    def fail(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", fail)
    monkeypatch.setattr(torch.hub, "urlopen", fail)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


def test_weights_that_cannot_be_fetched(checkpoints):
    with pytest.raises(CourseError) as told:
        TorchvisionEncoder("mobilenet_v2", weights="IMAGENET1K_V1")
    file = checkpoints / "mobilenet_v2-b0353104.pth"
    for part in ("could not be fetched (no network)", f"at {file}, or choose weights=None"):
        assert part in str(told.value)
    assert list(checkpoints.iterdir()) == []


@pytest.mark.parametrize("content", ["cut off", "of another model", "html"])
def test_weights_that_are_none(checkpoints, content):
    file = checkpoints / "mobilenet_v2-b0353104.pth"
    torch.save({"weight": torch.zeros(1000)}, file)
    if content == "cut off":
        file.write_bytes(file.read_bytes()[:1500])
    if content == "html":
        file.write_text("<html>sign in</html>")
    with pytest.raises(CourseError, match=f"{file.name} does not hold the weights of mobilenet_v2"):
        TorchvisionEncoder("mobilenet_v2", weights="IMAGENET1K_V1")


def test_boxes_are_what_each_place_saw(images):
    torch.manual_seed(0)
    black, white = torch.zeros(2, 1, 3, 64, 64, dtype=torch.uint8)
    white[..., :8, 56:] = 255
    for encoder in (
        SmallCNN().eval(),
        TorchvisionEncoder("resnet18", None, image_size=64, grid=True),
    ):
        boxes = encoder.boxes(white)
        change = (encoder(white) - encoder(black)).abs().sum(-1)
        assert boxes[0, change.argmax()].tolist()[1:3] == [0, 1], "the top right corner"
        assert torch.allclose(((boxes[..., 2:] - boxes[..., :2]).prod(-1)).sum(), torch.ones(()))
    encoder.grid = False
    assert encoder.boxes(images).tolist() == [[[0, 0, 1, 1]]] * 2
    assert SmallCNN(grid=False).boxes(images).tolist() == [[[0, 0, 1, 1]]] * 2
    for height, width in ((64, 64), (70, 33), (51, 100), (16, 17)):
        pictures = torch.zeros(3, 3, height, width, dtype=torch.uint8)
        memory, boxes = SmallCNN().eval()(pictures), SmallCNN().boxes(pictures)
        assert boxes.shape == (*memory.shape[:2], 4), (height, width)


def test_small_cnn_in_one_vector_is_the_largest_over_its_places():
    torch.manual_seed(0)
    encoder, images = SmallCNN(dim=20).eval(), Noise().images(range(3))
    memory = encoder(images)
    encoder.grid = False
    assert torch.equal(encoder(images), memory.amax(1, keepdim=True))


@pytest.fixture
def densenet(monkeypatch):
    """DenseNet as DenseNet-121 is built, with one layer a block; its linear layer gives 7 numbers."""
    torch.manual_seed(0)
    model = models.DenseNet(4, (1, 1, 1, 1), 8, num_classes=5)
    monkeypatch.setattr(models, "get_model", lambda *_, **__: model)
    return TorchvisionEncoder("densenet121", None, image_size=64, project=7)


def moved_by_training(encoder, images):
    """The names of what two steps of training change."""
    before = {name: each.clone() for name, each in encoder.state_dict().items()}
    learning = [each for each in encoder.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(learning, 1e-2)
    for _ in range(2):
        loss = (encoder.train()(images) - 1).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {k for k, each in encoder.state_dict().items() if not torch.equal(before[k], each)}


def test_first_the_linear_layer_learns_then_all_of_it(densenet, images):
    linear = {"projection.weight", "projection.bias"}
    assert densenet.dim == 7 and densenet(images).shape == (2, 1, 7)
    assert moved_by_training(densenet, images) == linear
    assert moved_by_training(densenet.unfreeze(), images) == set(densenet.state_dict())
    assert moved_by_training(densenet.freeze(), images) == linear


def test_the_linear_layer_comes_after_the_places(images):
    torch.manual_seed(0)
    encoder = TorchvisionEncoder("squeezenet1_1", None, image_size=64, grid=True, project=6)
    wanted = F.linear(encoder.see(images), encoder.projection.weight, encoder.projection.bias)
    assert torch.equal(encoder(images), wanted) and wanted.shape == (2, 9, 6)
    assert encoder.unprojected().dim == 512 and encoder.dim == 6
    assert torch.equal(encoder.unprojected()(images), encoder.see(images))
    assert "project=6" in repr(encoder) and "project=None" in repr(encoder.unprojected())


def test_a_file_holds_what_the_name_does_not_give(checkpoints, images):
    """The linear layer always; all of it where weights are random, or were free to learn."""
    file = checkpoints / "squeezenet1_1-b8a52dc0.pth"
    torch.manual_seed(0)
    torch.save(models.squeezenet1_1(weights=None).state_dict(), file)

    def encoder():
        return TorchvisionEncoder("squeezenet1_1", image_size=64, project=3)

    first, second = encoder(), encoder()
    assert set(first.own_state()) == {"projection.weight", "projection.bias"}
    assert not torch.allclose(first(images), second(images))
    second.load_state_dict(first.own_state(), strict=False)
    assert torch.equal(first(images), second(images))
    for other in (first.unfreeze().freeze(), TorchvisionEncoder("squeezenet1_1", None, True)):
        assert set(other.own_state()) == set(other.state_dict())
    assert set(SmallCNN().own_state()) == set(SmallCNN().state_dict())


def test_memory_that_learns_is_not_kept(densenet, tmp_path):
    with pytest.raises(CourseError, match="give cached_features encoder.unprojected"):
        cached_features(densenet, Noise(), tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []
    features = cached_features(densenet.unprojected(), Noise(), tmp_path / "a.pt")
    memory = densenet(Noise().images(range(COUNT)))
    assert torch.allclose(densenet.projection(features), memory, atol=1e-2)
    densenet.projection.requires_grad_(False)
    assert cached_features(densenet, Noise(), tmp_path / "b.pt").shape == (COUNT, 1, 7)


@pytest.mark.shared
def test_pretrained_features_know_pictures(shared_data, monkeypatch):
    """ImageNet's weights see the same object at two sizes as near, noise as far."""
    monkeypatch.setenv("TORCH_HOME", str(shared_data / "torch"))
    encoder = TorchvisionEncoder("mobilenet_v2", weights="IMAGENET1K_V1")
    whole = Noise(count=1).images([0])
    grey = torch.full((1, 3, 100, 100), 128, dtype=torch.uint8)
    small = F.interpolate(whole.float(), (96, 96), mode="nearest").to(torch.uint8)
    memory = [encoder(each)[0, 0] for each in (whole, small, grey)]
    near, far = (F.cosine_similarity(memory[0], each, dim=0) for each in memory[1:])
    assert near > 0.7 > far
    assert [round(each, 3) for each in encoder.mean.flatten().tolist()] == [0.485, 0.456, 0.406]


@pytest.fixture
def small():
    torch.manual_seed(0)
    return SmallCNN(dim=20)


def test_features_are_kept_and_equal_the_encoders(small, tmp_path):
    data, path = Noise(), tmp_path / "kept" / "noise.pt"
    small.train()
    features = cached_features(small, data, path, batch_size=3)
    assert features.shape == (COUNT, 16, 20) and features.dtype == torch.float32
    assert small.training and not features.requires_grad
    with torch.no_grad():
        direct = small.eval()(data.images(range(COUNT)))
    assert torch.allclose(features, direct, atol=2e-3)
    data.looks = 0
    assert torch.equal(cached_features(small, data, path), features)
    assert data.looks <= 3, "the pictures were encoded again"
    assert [each.name for each in path.parent.iterdir()] == ["noise.pt"]


def other_pictures(encoder):
    return encoder, Noise(seed=1)


def other_count(encoder):
    return encoder, Noise(count=COUNT - 1)


def other_split(encoder):
    return encoder, Noise(split="dev")


def other_weights(encoder):
    with torch.no_grad():
        encoder.layers[0].weight[0, 0, 0, 0] += 0.5
    return encoder, Noise()


def other_encoder(encoder):
    return SmallCNN(dim=16), Noise()


@pytest.mark.parametrize(
    "change", [other_pictures, other_count, other_split, other_weights, other_encoder]
)
def test_features_of_something_else_are_computed_anew(small, tmp_path, change):
    path = tmp_path / "noise.pt"
    cached_features(small, Noise(), path)
    encoder, data = change(small)
    features = cached_features(encoder, data, path)
    with torch.no_grad():
        direct = encoder.eval()(data.images(range(len(data))))
    assert features.shape == direct.shape and torch.allclose(features, direct, atol=2e-3)
    assert data.looks >= 2 * len(data), "old features were taken"


@pytest.mark.parametrize("changed", [0, COUNT // 2, COUNT - 1])
def test_one_other_picture_at_the_ends_or_in_the_middle_is_noticed(small, tmp_path, changed):
    class Other(Noise):
        def image(self, index):
            picture = super().image(index)
            return 255 - picture if index == changed else picture

    old = cached_features(small, Noise(), tmp_path / "noise.pt")
    new = cached_features(small, Other(), tmp_path / "noise.pt")
    moved = (old - new).abs().amax((1, 2)) > 0
    assert moved.tolist() == [index == changed for index in range(COUNT)]


def test_features_of_another_picture_size_are_computed_anew(tmp_path):
    data, shapes = Noise(count=2), []
    for size in (32, 64):
        torch.manual_seed(0)
        encoder = TorchvisionEncoder("squeezenet1_1", None, image_size=size, grid=True)
        shapes.append(cached_features(encoder, data, tmp_path / "a.pt").shape[1])
    assert shapes == [1, 9]


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other"])
def test_damaged_features_are_computed_anew(small, tmp_path, damage):
    path = tmp_path / "noise.pt"
    features = cached_features(small, Noise(), path)
    whole = path.read_bytes()
    if damage == "other":
        torch.save([1, 2], path)
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}[damage])
    assert torch.equal(cached_features(small, Noise(), path), features)
    assert torch.equal(torch.load(path)["features"].float(), features)


def test_failure_leaves_no_file(small, tmp_path):
    class Broken(Noise):
        def images(self, indices):
            raise CourseError("photo.jpg is not an image.")

    small.train()
    with pytest.raises(CourseError):
        cached_features(small, Broken(), tmp_path / "noise.pt")
    assert list(tmp_path.iterdir()) == [] and small.training
