"""Commands about captioners: train, evaluate, caption."""

import json
import time
from dataclasses import asdict

from coursekit.cli import pixels
from coursekit.cli.base import command, data_options, json_option, peak_memory, size_option
from coursekit.errors import CourseError

MODELS = ("show-and-tell", "show-attend-and-tell", "prefix")
# Options of `train` and `crossvalidate` that replace a field of the recipe, with what argparse needs to know
FIELDS = {
    "epochs": dict(type=int, help="instead of the recipe's"),
    "encoder": dict(metavar="NAME", help="small_cnn, or nearly any network of torchvision"),
    "weights": dict(help="of the encoder, as torchvision names them"),
    "image-size": dict(type=int, help="pixels that the encoder sees, high and wide"),
    "embeddings": dict(help="what it leaves of a picture: pooled, grid, layers, parts, objects"),
    "project": dict(type=int, metavar="D", help="a linear layer of so many numbers behind it"),
    "image-as": dict(choices=["input", "state"], help="how show-and-tell is given the picture"),
    "attention": dict(choices=["soft", "hard"], help="how show-attend-and-tell looks"),
    "language": dict(metavar="NAME", help="of prefix: small, or a name or folder of Hugging Face"),
    "mapper": dict(
        choices=["linear", "mlp", "transformer"], help="what makes a prefix of a picture"
    ),
    "length": dict(type=int, help="of the prefix; by linear and mlp for each embedding"),
    "tuning": dict(
        choices=["frozen", "tuned", "lora"], help="what prefix does to its language model"
    ),
    "unfreeze": dict(
        type=int, metavar="EPOCHS", help="epochs that also train the encoder, at the end"
    ),
}


def _train(commands):
    parser = command(commands, "train", run_train, "train a model, then score it on the test split")
    model_options(parser, (*MODELS, pixels.MODEL))
    for name, how in pixels.FIELDS.items():
        parser.add_argument(f"--{name}", **how)
    parser.set_defaults(data=None)  # to know whether it was given
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", metavar="DIR", help="where to keep the run; continues what is there"
    )
    json_option(parser)


def model_options(parser, models=MODELS):
    parser.add_argument("model", choices=models)
    data_options(parser)
    size_option(parser)
    for name, how in FIELDS.items():
        parser.add_argument(f"--{name}", **how)


def changes_of(options, fields=FIELDS):
    given = {name.replace("-", "_"): getattr(options, name.replace("-", "_")) for name in fields}
    return {name: value for name, value in given.items() if value is not None}


def _refuse(options, fields, of):
    """Raises CourseError if one of `fields` was given, which belong to other models."""
    if given := changes_of(options, fields):
        name = next(iter(given)).replace("_", "-")
        raise CourseError(
            f"--{name} is an option of {of}, which {options.model} does not read: leave it out."
        )


def _evaluate(commands):
    parser = command(commands, "evaluate", run_evaluate, "score a trained captioner")
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    data_options(parser)
    parser.add_argument("--split", default="test", help="dev, test, or unseen (scenes only)")
    parser.add_argument("--count", type=int, help="the first pictures only")
    parser.add_argument("--beam", type=int, default=3, help="1 is greedy")
    parser.add_argument("--spice", action="store_true", help="SPICE, too, which takes minutes")
    parser.add_argument("--compare", action="store_true", help="a table with published figures")
    json_option(parser)


def _caption(commands):
    parser = command(commands, "caption", run_caption, "describe picture files")
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    parser.add_argument("images", metavar="IMAGE", nargs="+")
    parser.add_argument("--beam", type=int, default=3, help="1 is greedy")


def run_train(options):
    if options.model == pixels.MODEL:
        _refuse(options, ("data", *FIELDS), "captioners")
        return pixels.run_train(options)
    _refuse(options, pixels.FIELDS, pixels.MODEL)
    options.data = options.data or "scenes"
    return _train_captioner(options)


def _train_captioner(options):
    from coursekit import datasets, recipes, sizes

    here = sizes.setup(options.size)
    changes = changes_of(options)
    recipe = recipes.recipe_for(options.data, here.size, options.seed, options.model, **changes)
    exam = datasets.load(options.data, "test", options.root, recipe.eval_pictures)
    print(here, flush=True)
    start = time.perf_counter()
    captioner, _ = recipes.train_captioner(
        options.model, options.data, here.size, options.seed, options.root, options.out, **changes
    )
    seconds = time.perf_counter() - start
    captions, scores = recipes.evaluate(captioner, exam)
    _tell(options, captions, scores, seconds, {"seed": options.seed, "settings": asdict(recipe)})


def run_evaluate(options):
    from coursekit import datasets, recipes

    captioner = recipes.load_captioner(options.checkpoint)
    exam = datasets.load(options.data, options.split, options.root, options.count)
    start = time.perf_counter()
    captions, scores = recipes.evaluate(captioner, exam, options.beam, spice=options.spice)
    if options.compare:
        _compare(captioner.recipe.model, options.data, scores)
    seconds = time.perf_counter() - start
    recipe = captioner.recipe
    settings = asdict(recipe) | {"split": options.split, "beam": options.beam}
    _tell(options, captions, scores, seconds, {"seed": recipe.train.seed, "settings": settings})


def _gallery(commands):
    about = "a page of pictures, their captions by people and models, scores and attention maps"
    parser = command(commands, "gallery", run_gallery, about)
    parser.add_argument("checkpoints", metavar="CHECKPOINT", nargs="+")
    data_options(parser)
    parser.add_argument("--split", default="test", help="dev, test, or unseen (scenes only)")
    parser.add_argument("--pictures", type=int, help="score the first pictures only")
    parser.add_argument("--count", type=int, default=24, help="pictures to show (24)")
    parser.add_argument(
        "--ways", nargs="+", metavar="WAY", default=["greedy", "beam 3", "nucleus 0.9"],
        help='ways to decode, such as "greedy" "beam 3" "nucleus 0.9"',
    )  # fmt: skip
    parser.add_argument("--order", default="as they come", help='or "worst first", "most disputed"')
    parser.add_argument("--seed", type=int, default=0, help="of ways that draw words")
    parser.add_argument("--out", default="gallery.html", metavar="FILE.html")


def run_gallery(options):
    from coursekit import gallery

    print(gallery.run(
        options.checkpoints, options.data, options.root, options.split, options.count,
        options.ways, options.seed, options.order, options.out, options.pictures,
    ))  # fmt: skip
    print(f"written: {options.out}")


def _compare(model, data, scores):
    from coursekit.metrics.published import comparison_table, published

    known = data if data in {row.data for row in published()} else None
    if known is None:
        print(f"Nobody has published figures of {data}.")
    print(comparison_table({f"{model}, this captioner": scores.intervals}, known))


def _tell(options, captions, scores, seconds, more):
    for caption in captions[:3]:
        print(f"  {caption}")
    for name, interval in scores.intervals.items():
        print(f"{name:15} {interval}")
    for name, reason in scores.missing.items():
        if name != "SPICE":  # it is insisted on, or was not asked for
            print(f"{name:15} left out: {reason}")
    if options.json:
        figures = {"seconds": round(seconds, 1), "peak_memory_mb": round(peak_memory())}
        ends = {name: [each.low, each.high] for name, each in scores.intervals.items()}
        print(json.dumps({"scores": dict(scores), "intervals": ends} | figures | more))


def run_caption(options):
    from coursekit import recipes

    captioner = recipes.load_captioner(options.checkpoint)
    found = recipes.caption_files(captioner, options.images, options.beam)
    for path, caption in zip(options.images, found, strict=True):
        print(f"{path}: {caption}")


COMMANDS = (_train, _evaluate, _caption, _gallery)
