"""Several embeddings of a picture: what each saw, in which order, and that frozen ones can be kept."""

import importlib.util
import re
from functools import lru_cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from test_encoders import Noise
from torchvision import models

from coursekit.errors import CourseError
from coursekit.models import detector as detectors
from coursekit.models.base import Encoder
from coursekit.models.detector import Objects
from coursekit.models.encoders import SmallCNN, TorchvisionEncoder, cached_features, scene_encoder
from coursekit.models.regions import cut, pad_boxes
from coursekit.models.sources import EMBEDDINGS, Crops, Layers, Parts, make_encoder

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "docs" / "encoders.md"
WHOLE = [0, 0, 1, 1]
DETECTOR = "fasterrcnn_resnet50_fpn"


def noise(count=2, height=48, width=80, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator).to(torch.uint8)


def settled(encoder):
    """The encoder with BatchNorm's statistics of noise: random weights let features vanish else."""
    for each in encoder.modules():
        if isinstance(each, torch.nn.BatchNorm2d):
            each.momentum = 1.0
            torch.nn.Module.train(each)
    encoder(noise(16, 64, 64))
    return encoder.train()


def mobilenet(**settings):
    torch.manual_seed(0)
    return settled(TorchvisionEncoder("mobilenet_v2", None, image_size=64, **settings))


network = lru_cache(detectors._detector)


@pytest.fixture(autouse=True)
def built_once(monkeypatch):
    """40 million random numbers are drawn once, not in every test."""
    monkeypatch.setattr(detectors, "_detector", network)


class MeanColour(Encoder):
    """Embeds a picture as its mean colour: what it saw can be read off."""

    def __init__(self):
        super().__init__("mean_colour", 32)
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self._finish(3)

    def whole(self, images):
        return images.float().mean((2, 3))

    def maps(self, images, count=None):
        return [images.float()]


@pytest.fixture
def colours(monkeypatch):
    """The sources around an encoder that sees mean colours only."""
    monkeypatch.setattr("coursekit.models.sources.SmallCNN", MeanColour)
    return MeanColour()


def quarters():
    """Top left red, top right green, bottom left blue, bottom right white; 40 x 60 pixels."""
    picture = torch.zeros(3, 40, 60, dtype=torch.uint8)
    picture[0, :20, :30] = picture[1, :20, 30:] = picture[2, 20:, :30] = 240
    picture[:, 20:, 30:] = 240
    return picture[None]


CORNERS = [[240, 0, 0], [0, 240, 0], [0, 0, 240], [240, 240, 240]]


# --- the five kinds, by name -------------------------------------------------------------------
SHAPES = [
    ("small_cnn", "pooled", 1, 256),
    ("small_cnn", "grid", 16, 256),
    ("small_cnn", "layers", 3, 64 + 128 + 256),
    ("small_cnn", "parts", 5, 256),
    ("mobilenet_v2", "pooled", 1, 1280),
    ("mobilenet_v2", "grid", 4, 1280),
    ("mobilenet_v2", "layers", 4, 24 + 32 + 96 + 1280),
    ("mobilenet_v2", "parts", 5, 1280),
    (DETECTOR, "objects", 10, 2048),
]


@pytest.mark.parametrize("name, embeddings, n, dim", SHAPES)
@pytest.mark.parametrize("project", [None, 24])
def test_every_encoder_keeps_the_one_interface(tmp_path, name, embeddings, n, dim, project):
    torch.manual_seed(0)
    encoder = make_encoder(name, None, image_size=64, embeddings=embeddings, project=project)
    if name == "mobilenet_v2":
        settled(encoder)
    data = Noise(count=3)
    images = data.images(range(3))
    memory, boxes = encoder.train()(images), encoder.boxes(images)
    assert memory.shape == (3, n, project or dim) and encoder.dim == (project or dim)
    assert boxes.shape == (3, n, 4) and boxes.dtype == torch.float32
    assert (boxes[..., :2] <= boxes[..., 2:]).all() and boxes.min() >= 0 and boxes.max() <= 1
    assert (encoder.name, encoder.image_size) == (name, 64)
    kept = cached_features(encoder.unprojected(), data, tmp_path / "a.pt")
    assert kept.shape == (3, n, dim) and encoder.unprojected().dim == dim
    assert torch.allclose(encoder.projection(kept), memory, atol=1e-2 * memory.abs().max().item())
    learning = {name for name, each in encoder.named_parameters() if each.requires_grad}
    assert learning == ({"projection.weight", "projection.bias"} if project else set())


@pytest.mark.parametrize("embeddings", EMBEDDINGS[:4])
@pytest.mark.parametrize("name", ["small_cnn", "mobilenet_v2"])
def test_frozen_sources_never_move_and_learning_ones_do(name, embeddings):
    torch.manual_seed(0)
    encoder = make_encoder(name, None, image_size=64, embeddings=embeddings).train()
    before = {key: each.clone() for key, each in encoder.state_dict().items()}
    first, second = encoder(noise()), encoder(noise())
    assert torch.equal(first, second) and not first.requires_grad
    assert all(torch.equal(before[key], each) for key, each in encoder.state_dict().items())
    encoder.unfreeze()
    encoder(noise()).square().sum().backward()
    assert all(each.grad is not None for each in encoder.parameters())
    assert not all(torch.equal(before[key], each) for key, each in encoder.state_dict().items())


def test_the_shipped_encoder_stays_frozen_inside_a_source():
    """`scene_encoder()` alone drifts in training mode, as lesson 02 shows; inside of a source it does not."""
    shipped = scene_encoder()
    before = {key: each.clone() for key, each in shipped.state_dict().items()}
    for source in (Parts(shipped), Layers(shipped), make_encoder("small_cnn", embeddings="grid")):
        source.train()(noise(4, 64, 64))
        assert not any(each.requires_grad for each in source.parameters())
    assert all(torch.equal(before[key], each) for key, each in shipped.state_dict().items())
    by_name = make_encoder("small_cnn", embeddings="grid").state_dict()
    assert all(torch.equal(before[key], each) for key, each in by_name.items())


@pytest.mark.parametrize(
    "settings, sentence",
    [
        (dict(name="small_cnn", embeddings="words"), "no embeddings 'words'; choose one of pooled"),
        (dict(name="resnet18", embeddings="objects"), "objects come from fasterrcnn_resnet50_fpn"),
        (dict(name=DETECTOR), "fasterrcnn_resnet50_fpn does not give 'pooled'"),
        (dict(name=DETECTOR, embeddings="objects", weights="V9"), "no weights 'V9'.* COCO_V1"),
        (dict(name=DETECTOR, embeddings="objects", trainable=True), "stays frozen; choose project"),
        (dict(name="small_cnn", weights="IMAGENET1K_V1"), "small_cnn has no weights 'IMAGENET1K"),
        (dict(name="resnet19"), "no torchvision encoder 'resnet19'"),
        (dict(name="small_cnn", project=0), "project is a whole number of 1 or more, not 0"),
        (dict(name="resnet18", weights=None, project=2.5), "project is a whole number"),
        (dict(name="resnet18", weights=None, image_size=-1), "image_size is a whole number"),
        (
            dict(name="swin_t", weights=None, image_size=32, embeddings="layers"),
            "Swin keeps no maps",
        ),
    ],
)
def test_wrong_settings(settings, sentence):
    with pytest.raises(CourseError, match=sentence):
        make_encoder(**settings)


def test_wrong_sources(colours):
    small = SmallCNN()
    for wrong, sentence in [
        (lambda: Parts(colours, grid=0), "grid is a whole number of 1 or more, not 0"),
        (lambda: Crops(colours, look="twice"), "looks 'each' or 'once', not 'twice'"),
        (lambda: Crops(colours).boxes(quarters()), "Crops look at the boxes they are given"),
        (lambda: Parts(small), "takes a SmallCNN or a TorchvisionEncoder, not SmallCNN"),
        (lambda: Objects(None, threshold=1.5), "threshold is a score from 0 to below 1, not 1.5"),
        (lambda: Objects(None, regions=0), "regions is a whole number"),
    ]:
        with pytest.raises(CourseError, match=sentence):
            wrong()
    for wrong, sentence in [
        (lambda: Layers(mobilenet(), count=9), "has 5 depths at 64 pixels, not 9"),
        (lambda: Parts(mobilenet(project=8)), "Give project=8 to Parts, not to its encoder"),
    ]:
        with pytest.raises(CourseError, match=sentence):
            wrong()


# --- parts and crops ---------------------------------------------------------------------------
def test_parts_are_the_cells_row_by_row_and_the_whole(colours):
    encoder, images = Parts(colours), quarters()
    assert encoder.boxes(images)[0].tolist() == [
        [0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1], WHOLE,
    ]  # fmt: skip
    memory = encoder(images)[0]
    assert torch.allclose(memory[:4], torch.tensor(CORNERS, dtype=torch.float32), atol=3)
    assert torch.allclose(memory[4], torch.full((3,), 120.0), atol=3)
    assert Parts(colours, grid=3)(images).shape == (1, 10, 3)


def test_parts_of_a_network_are_the_network_on_the_cut_picture():
    encoder, images = Parts(mobilenet()), noise(3, 128, 128)
    memory = encoder(images)
    assert torch.allclose(memory[:, 1], encoder.encoder(images[:, :, :64, 64:])[:, 0], atol=1e-5)
    assert torch.allclose(memory[1:2], encoder(images[1:2]), atol=1e-5), "batch mates matter"


@pytest.mark.parametrize("look", ["each", "once"])
def test_crops_see_their_box_and_nothing_where_there_is_none(colours, look):
    boxes = pad_boxes([[[0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1]], []], 3, fill=(0, 0, 0, 0))
    images = quarters().expand(2, -1, -1, -1)
    memory = Crops(colours, look)(images, boxes)
    assert torch.allclose(memory[0, :2], torch.tensor(CORNERS[1:3]).float(), atol=3)
    assert memory[0, 2].eq(0).all() and memory[1].eq(0).all()
    found = Crops(mobilenet(), look)(images, boxes).ne(0).any(-1)
    assert found.tolist() == [[True, True, False], [False] * 3], "an empty crop was looked at"
    assert Crops(colours, look, project=5)(images, boxes).shape == (2, 3, 5)


def test_a_crop_of_the_whole_picture_is_the_picture():
    encoder, images = mobilenet(), noise(2, 64, 64)
    whole = torch.tensor([[WHOLE]]).float().expand(2, -1, -1)
    assert torch.allclose(Crops(encoder)(images, whole), encoder(images), atol=1e-5)
    assert torch.equal(cut(images.float(), whole, 64), images.float())


@pytest.mark.parametrize(
    "boxes, sentence",
    [
        (torch.zeros(2, 4), r"shape \(1, N, 4\), not \(2, 4\)"),
        (torch.zeros(2, 1, 4), r"shape \(1, N, 4\), not \(2, 1, 4\)"),
        (torch.tensor([[[3.0, 4, 20, 30]]]), "outside its picture; .* pixels divided by"),
        (torch.tensor([[[0, 0, float("nan"), 1]]]), "outside its picture"),
        (torch.tensor([[[0.5, 0, 0.2, 1]]]), "ends before it begins"),
    ],
)
def test_wrong_boxes(colours, boxes, sentence):
    with pytest.raises(CourseError, match=sentence):
        Crops(colours)(quarters(), boxes)


def test_padded_boxes_keep_the_first_and_fill_with_the_whole():
    found = pad_boxes([torch.rand(5, 4), torch.tensor([[0, 0, 0.5, 0.5]]), []], 2)
    assert found.shape == (3, 2, 4)
    assert found[1].tolist() == [[0, 0, 0.5, 0.5], WHOLE] and found[2].tolist() == [WHOLE, WHOLE]


# --- layers ------------------------------------------------------------------------------------
def test_each_layer_has_its_own_stretch_and_scale():
    encoder = Layers(mobilenet())
    memory = encoder(noise())
    start = 0
    for row, width in zip(memory.unbind(1), encoder.widths, strict=True):
        own, rest = row[:, start : start + width], row.clone()
        rest[:, start : start + width] = 0
        assert rest.eq(0).all() and own.abs().sum() > 0
        assert torch.allclose(own.mean(1), torch.zeros(2), atol=1e-4)
        assert torch.allclose(own.var(1, unbiased=False), torch.ones(2), atol=2e-2)
        start += width
    assert start == encoder.dim


# name, width of each of the last four sizes, modules of torchvision's model after which they come
STAGES = [
    ("resnet18", [64, 128, 256, 512], ["layer1", "layer2", "layer3", "layer4"]),
    ("vgg16", [256, 512, 512, 512], ["features.15", "features.22", "features.29", "features.30"]),
    ("densenet121", [256, 512, 1024, 1024], [
        "features.denseblock1", "features.denseblock2", "features.denseblock3", None]),
    ("efficientnet_b0", [24, 40, 112, 1280], [f"features.{i}" for i in (2, 3, 5, 8)]),
]  # fmt: skip


@pytest.mark.parametrize("name, widths, modules", STAGES)
def test_maps_are_what_the_network_has_at_each_size(monkeypatch, name, widths, modules):
    torch.manual_seed(1)
    model, seen = models.get_model(name, weights=None).eval(), {}
    monkeypatch.setattr(models, "get_model", lambda *_, **__: model)
    encoder = TorchvisionEncoder(name, None, image_size=64)
    for module in filter(None, modules):
        keep = lambda _, __, output, key=module: seen.update({key: output.clone()})  # noqa: E731
        model.get_submodule(module).register_forward_hook(keep)
    maps = encoder.maps(noise(), 4)
    assert [each.shape[1] for each in maps] == widths
    seen[None] = encoder.backbone(encoder._pixels(noise()))[0].transpose(1, 2).unflatten(2, (2, 2))
    for one, module in zip(maps, modules, strict=True):
        assert one.abs().sum() > 0 and torch.equal(one, seen[module])


def test_a_transformers_layers_are_patches_after_evenly_spaced_blocks(monkeypatch):
    torch.manual_seed(1)
    model, seen = models.VisionTransformer(32, 8, 4, 3, 36, 48, num_classes=5).eval(), []
    monkeypatch.setattr(models, "get_model", lambda *_, **__: model)
    encoder = TorchvisionEncoder("vit_b_16", None, image_size=32)
    for block in model.encoder.layers:
        block.register_forward_hook(lambda _, __, output: seen.append(output))
    maps = encoder.maps(noise(), 2)
    second = seen[1][:, 1:].transpose(1, 2)
    assert [each.shape for each in maps] == [(2, 36, 4, 4)] * 2
    assert torch.equal(maps[0].flatten(2), second)
    uneven, blocks = encoder.maps(noise(), 3), seen[4:]
    assert torch.equal(uneven[0].flatten(2), blocks[0][:, 1:].transpose(1, 2))
    assert torch.equal(uneven[1].flatten(2), blocks[1][:, 1:].transpose(1, 2))
    encoder.grid = True
    assert torch.allclose(maps[1].flatten(2).transpose(1, 2), encoder(noise()), atol=1e-6)
    assert Layers(encoder)(noise()).shape == (2, 4, 4 * 36)


def test_layers_with_a_grid_keep_places():
    encoder = Layers(SmallCNN().eval(), count=2, grid=4)
    assert encoder(noise(2, 64, 64)).shape == (2, 32, 128 + 256)
    boxes = encoder.boxes(noise(2, 64, 64))
    assert boxes[1, 1].tolist() == [0.25, 0, 0.5, 0.25] == boxes[1, 17].tolist()


# --- detected objects --------------------------------------------------------------------------
@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    return Objects(None, image_size=64, regions=4, threshold=0.3)


def test_objects_are_torchvisions_detections_best_first(detector):
    """The same boxes as the whole model gives, but for those that two classes claim."""
    images = noise(2, 64, 96)
    model = detector.detector
    model.transform.min_size, model.transform.max_size = (64,), 96
    with torch.no_grad():
        theirs = model(list(images / 255))
    scale = torch.tensor([96, 64, 96, 64])
    for found, wanted in zip(detector.detect(images), theirs, strict=True):
        scores = [score for _, score, _ in found]
        assert len(found) == 4 and scores == sorted(scores, reverse=True)
        assert scores[0] == pytest.approx(wanted["scores"][0].item(), abs=1e-4)
        for _, score, box in found:
            far = (wanted["boxes"] / scale - torch.tensor(box)).abs().amax(1)
            assert wanted["scores"][far.argmin()].item() == pytest.approx(score, abs=1e-4)
            assert far.min() < 1e-3
    assert detector.boxes(images)[1, 2].tolist() == pytest.approx(detector.detect(images)[1][2][2])


def test_the_threshold_and_the_number_of_proposals_reach_the_detector(detector):
    model = detector.detector.eval()
    assert model.roi_heads.score_thresh == 0.3
    assert model.rpn.post_nms_top_n() == detectors.PROPOSALS


def tell(detector, monkeypatch, *things):
    """Lets the detector find these: a list of (pixel box, score, label) for each picture."""
    found = [
        {
            "boxes": torch.tensor([box for box, _, _ in each]).float().view(-1, 4),
            "scores": torch.tensor([score for _, score, _ in each]),
            "labels": torch.tensor([label for _, _, label in each], dtype=torch.int64),
        }
        for each in things
    ]
    monkeypatch.setattr(detector.detector.roi_heads, "forward", lambda *_: (found, {}))


def test_few_objects_are_filled_up_with_the_whole_picture(detector, monkeypatch):
    cat, dog = ([0, 0, 32, 32], 0.9, 17), ([40, 8, 64, 64], 0.8, 18)
    same = ([1, 0, 32, 32], 0.7, 18)  # the cat once more, taken for a dog
    tell(detector, monkeypatch, [same, dog, cat], [])
    images = noise(2, 128, 128)
    assert detector.boxes(images).tolist() == [
        [[0, 0, 0.5, 0.5], [0.625, 0.125, 1, 1], WHOLE, WHOLE], [WHOLE] * 4
    ]  # fmt: skip
    assert [[name for name, *_ in each] for each in detector.detect(images)] == [["cat", "dog"], []]
    memory = detector(images)
    assert torch.equal(memory[0, 2], memory[0, 3]) and not torch.equal(memory[0, 0], memory[0, 1])


def test_an_object_is_the_mean_of_the_last_layer_in_its_box(detector, monkeypatch):
    maps = torch.arange(32.0).view(1, 2, 4, 4)
    found = [{"boxes": torch.tensor([[0.5, 0.5, 1, 1], [0.25, 0, 0.5, 0.25]])}]
    monkeypatch.setattr(detector, "_look", lambda _: (found, maps))
    memory = detector.see(noise(1, 64, 64))
    assert memory.shape == (1, 4, 2)
    assert torch.allclose(memory[0, 2:], torch.tensor([7.5, 23.5]).expand(2, 2), atol=1e-5)
    # RoIAlign reads between the places, so the neighbours count a little
    cells = maps[0, :, 2:, 2:].mean((1, 2)), maps[0, :, 0, 1]
    assert torch.allclose(memory[0, :2], torch.stack(cells), atol=0.7)


def test_the_detector_stays_frozen(detector):
    torch.manual_seed(0)
    encoder = Objects(None, image_size=64, project=12)
    memory = encoder.train()(noise(1, 64, 64))
    assert memory.shape == (1, 10, 12) and not encoder.detector.training
    memory.sum().backward()
    assert encoder.projection.weight.grad.abs().sum() > 0
    assert all(each.grad is None for each in encoder.detector.parameters())
    with pytest.raises(CourseError, match="stays frozen"):
        encoder.unfreeze()


@pytest.mark.parametrize("shape", [(64, 64), (50, 90), (16, 200)])
def test_pictures_of_any_form_have_objects(detector, shape):
    assert detector(noise(1, *shape)).isfinite().all()
    height, width = detector._size(noise(1, *shape))
    assert min(height, width) == 64 and max(height, width) <= 128


# --- real weights ------------------------------------------------------------------------------
@pytest.mark.shared
def test_real_weights_know_a_part_as_the_thing_it_shows(shared_data, monkeypatch):
    """A picture inside a grey one: the part that holds it is nearer to it than the whole is."""
    monkeypatch.setenv("TORCH_HOME", str(shared_data / "torch"))
    images = torch.full((1, 3, 128, 128), 128, dtype=torch.uint8)
    inner = F.interpolate(noise(1, 8, 8).float(), (64, 64)).byte()
    images[:, :, 64:, 64:] = inner
    encoder = make_encoder("mobilenet_v2", "IMAGENET1K_V1", embeddings="parts", image_size=128)
    alone = encoder.encoder(inner)[:, 0]
    near = F.cosine_similarity(encoder(images)[0], alone)
    assert near.argmax() == 3 and near[3] > 0.99 and near[4] > near[:3].max()
    layers = make_encoder("mobilenet_v2", "IMAGENET1K_V1", embeddings="layers", image_size=128)
    assert layers(images).isfinite().all() and layers.dim == 1432
    assert list(layers.own_state()) == []


# --- docs/encoders.md --------------------------------------------------------------------------
@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # where a script finds the harness
    spec = importlib.util.spec_from_file_location("bench", ROOT / "benchmarks" / "encoders.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table():
    """The rows of the guide's table of cost, a list of cells each."""
    text = re.search(r"<!-- table.*?-->\n(.*?)<!-- /table -->", GUIDE.read_text(), re.S)[1]
    return [line.strip("| ").split(" | ") for line in text.strip().splitlines()]


def test_the_guides_table_is_of_these_encoders(benchmark):
    """All but milliseconds and memory; built without memory for weights, by shapes alone."""
    head, _, *rows = table()
    assert head == benchmark.HEAD[0].strip("| ").split(" | ")
    assert [row[0] for row in rows] == [f"`{name}`" for name in benchmark.NAMES]
    for row, name in zip(rows, benchmark.NAMES, strict=True):
        with torch.device("meta"):
            _, known = benchmark.look(name)
        told = benchmark.row(known | {"ms": 0, "memory": 0}).strip("| ").split(" | ")
        assert row[:-2] == told[:-2]
        assert float(row[-2].replace(",", "")) > 0 and row[-1].endswith(" MB")


def test_the_benchmark_measures_and_says_what_it_cannot(benchmark):
    found = benchmark.measure("squeezenet1_1", 64, batch=2, repeats=1)
    assert found["ms"] > 0 and found["grid"] == [9, 512]
    assert benchmark.row(found).startswith("| `squeezenet1_1` | 722,496 | 5 MB | 58.2 % | 64 | 1 ×")
    wrong = benchmark.row(benchmark.measure("vit_b_16", 64, 2, 1))
    assert "cannot look at pictures of 64 pixels" in wrong


def test_the_guides_first_example_runs_and_its_kinds_are_all():
    text = GUIDE.read_text()
    here = {"images": noise(2, 64, 64)}
    exec(re.search(r"```python\n(.*?)```", text, re.S)[1], here)
    assert here["memory"].shape == (2, 49, 1280) and here["boxes"].shape == (2, 49, 4)
    kinds = re.findall(r"^\| `(\w+)`", text.split("## Which embeddings")[1], re.M)
    assert tuple(kinds[1:]) == EMBEDDINGS
