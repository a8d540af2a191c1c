"""Vision transformers by transformers as encoders, and what is left of them in folders of the hub's layout."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, ViTConfig, ViTImageProcessor, ViTModel
from transformers.utils import logging

from coursekit.errors import CourseError, writing
from coursekit.models.base import WHOLE, Encoder, grid_boxes, same_boxes
from coursekit.models.encoders import SceneClassifier
from coursekit.models.networks import normalised

SCENE_VIT = Path(__file__).resolve().parents[1] / "weights" / "scene_vit"
HALF = (0.5, 0.5, 0.5)  # the mean and spread that Google's ViTs want: pixels from -1 to 1


class ViTEncoder(Encoder):
    """transformers' ViTModel as an encoder: uint8 images (B, 3, H, W) → memory (B, N = 1 + patches, D).

    The class token comes first, then the patches row by row, all after the last norm. `mean` and `std` (3 numbers
    each) say how the weights want their pictures; pictures of another size are squeezed to `image_size`.
    Raises CourseError for images that are not uint8 (B, 3, H, W).
    """

    def __init__(self, vit, name="vit", mean=HALF, std=HALF, trainable=False):
        super().__init__(name, vit.config.image_size, trainable)
        vit.pooler = None  # a layer behind the class token, which no caption reads
        self.vit, self.mean, self.std = vit, tuple(mean), tuple(std)
        self.side = vit.config.image_size // vit.config.patch_size
        self._finish(vit.config.hidden_size)

    @classmethod
    def load(cls, name, trainable=False):
        """The ViT of a name on the hub, or of a folder that `save` or `save_pretrained` left.

        Raises CourseError if there is none, or if weights are missing.
        """
        vit = pretrained(ViTModel, name, "vit", add_pooling_layer=False)
        return cls(vit, str(name), *mean_and_std(name), trainable)

    def save(self, folder):
        """Writes the folder that `save_pretrained` writes, with how the weights want their pictures."""
        save_whole(self.vit, self, folder)

    def extra_repr(self):
        return f"mean={self.mean}, std={self.std}"

    def pixels(self, images):
        """uint8 images (B, 3, H, W) → what the ViT reads, float (B, 3, image_size, image_size)."""
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise CourseError(
                f"Images are uint8 (B, 3, height, width), not {images.dtype} {tuple(images.shape)}: "
                "give the numbers from 0 to 255, which are scaled here."
            )
        mean, std = torch.tensor((self.mean, self.std), device=images.device).view(2, 3, 1, 1)
        return normalised(images, (self.image_size, self.image_size), mean, std)

    def see(self, images):
        return self.vit(self.pixels(images)).last_hidden_state  # (B, N, D)

    def whole(self, images):
        """One embedding of each picture, the class token's: (B, D)."""
        return self.see(images)[:, 0]

    def boxes(self, images):
        """As in Encoder: the whole picture, then its patches."""
        cells = grid_boxes(self.side, self.side)
        return same_boxes(torch.cat([torch.tensor([WHOLE]), cells]), images)


def scene_vit():
    """The ViTEncoder that comes with the course, frozen: trained on scenes to name their facts.

    images (B, 3, 64, 64) → memory (B, N = 65, D). `python data_scripts/ship_vit.py` made it; its scores stand beside
    the weights, in scores.json.
    """
    return ViTEncoder.load(SCENE_VIT).eval()


def scene_vit_classifier():
    """`scene_vit` with the layer that read the facts off it in its training: images → logits of ALL_FACTS (B, F)."""
    head = load_file(SCENE_VIT / "head.safetensors")
    classifier = SceneClassifier(scene_vit(), len(head["bias"]))
    classifier.head.load_state_dict(head)
    return classifier.requires_grad_(False).eval()


def small_vit(image_size=64, patch=8, dim=128, layers=4, heads=4, dropout=0.0):
    """A ViTEncoder that learns, with random weights: memory (B, 1 + patches, dim). Raises CourseError if sizes do not divide."""
    must_divide("patches of", patch, image_size)
    must_divide("heads for", heads, dim)
    sizes = dict(hidden_size=dim, num_hidden_layers=layers, num_attention_heads=heads)
    config = ViTConfig(
        image_size=image_size,
        patch_size=patch,
        intermediate_size=4 * dim,
        hidden_dropout_prob=dropout,
        **sizes,
    )
    return ViTEncoder(ViTModel(config, add_pooling_layer=False), "small_vit", trainable=True)


def must_divide(what, part, whole):
    """Raises CourseError unless a whole is so many equal parts."""
    if part < 1 or whole % part:
        raise CourseError(f"{what} {part} do not divide {whole} evenly: choose a divisor.")


def pretrained(kind, name, model_type, **options):
    """The model of a name or folder, all weights of it, in float32."""
    try:
        with quiet():
            found = AutoConfig.from_pretrained(name).model_type
            if found != model_type:
                raise ValueError(f"a model of type {found}")
            model, told = kind.from_pretrained(name, output_loading_info=True, **options)
    except Exception as error:
        raise CourseError(
            f"There is no whole {model_type} model at '{name}': give a name on the hub (with a network), or a folder "
            "that save_pretrained wrote."
        ) from error
    missing = [each for each in told["missing_keys"] if "pooler" not in each]
    if missing:
        raise CourseError(f"{name} lacks weights, such as {missing[0]}: copy or save it anew.")
    return model.float()


def mean_and_std(name):
    """How the weights of a name or folder want their pixels; as Google's ViTs do where nothing is said."""
    try:
        with quiet():
            wanted = ViTImageProcessor.from_pretrained(name)
    except OSError as error:
        if (Path(name) / "preprocessor_config.json").is_file():
            raise CourseError(
                f"{name}/preprocessor_config.json cannot be read: copy it anew, or delete it."
            ) from error
        return HALF, HALF
    if not wanted.do_normalize:
        return (0.0,) * 3, (1.0,) * 3
    return wanted.image_mean, wanted.image_std


def save_whole(model, encoder, folder):
    """What `save_pretrained` writes of a model, and the image processor's settings of a ViTEncoder, into a folder."""
    size = dict(height=encoder.image_size, width=encoder.image_size)
    wanted = ViTImageProcessor(
        size=size, image_mean=list(encoder.mean), image_std=list(encoder.std)
    )
    with tempfile.TemporaryDirectory() as made, quiet():
        model.save_pretrained(made)
        wanted.save_pretrained(made)
        for file in sorted(Path(made).iterdir()):
            with writing(Path(folder) / file.name) as path:
                shutil.copyfile(file, path)


@contextmanager
def quiet():
    """Neither notes nor progress bars of transformers within."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
