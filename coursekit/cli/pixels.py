"""Commands about Image GPT: complete, probe, finetune, report; and the training of it, for `train`."""

import json
import time

from coursekit.cli.base import command, json_option, peak_memory
from coursekit.errors import CourseError, check_place

MODEL = "image-gpt"
FEW = 500  # dev digits where labels are counted: who has few would not have thousands to choose by
SCRATCH_RATE = 1e-3  # where nothing is learned yet, nothing can be spoiled
# Options of `train` that image-gpt alone reads
FIELDS = {
    "objective": dict(
        choices=["ar", "bert"], help="of image-gpt: the next pixel, or masked pixels"
    ),
    "config": dict(
        metavar="NAME", help="of image-gpt: smoke, laptop, laptop-28, small, medium, large, or a YAML file"
    ),
    "steps": dict(type=int, help="of image-gpt: batches to train on, instead of the configuration's"),
    "save-every": dict(type=int, metavar="STEPS", help="of image-gpt: batches between checkpoints"),
    "digits": dict(metavar="FILE.npz", help="of image-gpt: learn from these, which `coursekit data augment` wrote"),
}  # fmt: skip


def _complete(commands):
    about = "give an Image GPT a part of picture files, and let it draw the rest several times"
    parser = command(commands, "complete", run_complete, about)
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="png or jpg, of any size")
    checkpoint_option(parser, "--checkpoint")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--keep", default="upper", choices=["upper", "lower", "left", "right"])
    part.add_argument("--mask", metavar="FILE.png", help="light where pixels are given; square")
    parser.add_argument("--samples", type=int, default=8, metavar="N", help="of each picture (8)")
    parser.add_argument("--temperature", type=float, default=1.0, help="0 takes the likeliest")
    parser.add_argument("--top-k", type=int, metavar="K", help="the K likeliest colours only")
    parser.add_argument("--top-p", type=float, metavar="P", help="the nucleus of this mass only")
    parser.add_argument(
        "--candidates", type=int, default=1, metavar="N",
        help="drawn for each sample, and weighed by how well given pixels fit that follow (1)",
    )  # fmt: skip
    parser.add_argument("--invert", default="auto", choices=["auto", "yes", "no"])
    parser.add_argument(
        "--centre", action="store_true", help="scale and centre the ink as MNIST's makers did"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="completions.png", metavar="FILE.png")


def _probe(commands):
    about = "what a linear probe reads off each layer of an Image GPT, beside raw pixels"
    parser = command(commands, "probe", run_probe, about)
    checkpoint_option(parser)
    digits_options(parser)
    parser.add_argument("--layer", type=int, help="this one only; 0 are the embeddings")
    json_option(parser)


def _finetune(commands):
    about = "train an Image GPT to name digits, with loss = generative + classification"
    parser = command(commands, "finetune", run_finetune, about)
    checkpoint_option(parser)
    digits_options(parser)
    parser.add_argument("--config", metavar="FILE.yaml", help="fields of FineTuning")
    parser.add_argument("--steps", type=int, help="batches to train on")
    parser.add_argument("--save-every", type=int, metavar="STEPS", help="between looks at dev")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--generative", type=float, help="weight of the generative loss (1)")
    parser.add_argument(
        "--scratch",
        action="store_true",
        help="begin from random weights, with a random head and a larger learning rate",
    )
    parser.add_argument("--seed", type=int)
    parser.add_argument("--out", metavar="DIR", help="keeps the run; continues what is there")
    json_option(parser)


def _report(commands):
    about = "one page about a graded class, or about an Image GPT or a classifier made of one"
    parser = command(commands, "report", run_report, about)
    parser.add_argument("assignment", metavar="ASSIGNMENT | CHECKPOINT")
    digits_options(parser)
    parser.add_argument("--out", required=True, metavar="FILE.html")


def checkpoint_option(parser, name="checkpoint"):
    how = {} if name.startswith("-") else dict(nargs="?")
    parser.add_argument(
        name, metavar="CHECKPOINT", help="a run's folder or file; the drawer that comes with the course without it", **how
    )  # fmt: skip


def digits_options(parser):
    parser.add_argument("--root", metavar="DIR", help="the whole MNIST; 5,000 digits without it")
    parser.add_argument("--labels", type=int, metavar="N", help="to learn from; all without it")


def run_train(options):
    from coursekit import pixels, sizes

    given = {name.replace("-", "_"): getattr(options, name.replace("-", "_")) for name in FIELDS}
    here, saved = sizes.setup(options.size), given.pop("digits")
    config = pixels.usual(given.pop("config"), here.size).changed(seed=options.seed, **given)
    exam = pixels.load_digits("test", options.root, config.dev_digits if config.digits else None)
    print(here, flush=True)
    start = time.perf_counter()
    drawer = pixels.run(config, options.root, here.size, options.out, saved=saved)
    seconds = time.perf_counter() - start
    _tell(options, pixels.score(drawer, exam), seconds, config)


def run_complete(options):
    from coursekit import pixels

    check_place(options.out, ".png")
    photos = [pixels.read_photo(each, options.invert, options.centre) for each in options.images]
    drawer = _drawer(options.checkpoint)
    for path, photo in zip(options.images, photos, strict=True):
        print(f"{path}: {' '.join(photo.said)}")
    keep = options.mask or options.keep
    if keep != "upper" and options.candidates == 1:
        print("Given pixels below or right of a drawn one are not yet seen when it is drawn; --candidates 16 takes more time and weighs them.")  # fmt: skip
    found = [
        pixels.complete(
            drawer, photo.image, keep, options.samples, options.temperature, options.top_k,
            options.top_p, options.seed + i, options.candidates, pixels.progress("pixels"),
        )
        for i, photo in enumerate(photos)
    ]  # fmt: skip
    pixels.save_sheet(found, options.out)
    print(f"written: {options.out}")


def run_probe(options):
    from coursekit import pixels

    drawer = _drawer(options.checkpoint)
    sets = [
        pixels.load_digits("train", options.root, options.labels),
        pixels.load_digits("test", options.root),
    ]
    start = time.perf_counter()
    found = pixels.probe(drawer, *sets, options.layer)
    print(f"{drawer}\n{found.learned_from:,} labels; share of {sets[1]} named rightly\n{found}")
    if options.json:
        figures = {"layers": found.accuracy, "raw pixels": found.raw, "labels": found.learned_from}
        print(json.dumps(figures | _measured(time.perf_counter() - start)))


def run_finetune(options):
    from coursekit import pixels, sizes

    here = sizes.setup()
    tuning = pixels.FineTuning.load(options.config) if options.config else pixels.FineTuning()
    names = ("steps", "save_every", "learning_rate", "generative", "seed")
    given = {name: getattr(options, name) for name in names}
    if options.scratch:
        given |= dict(begin="random", learning_rate=options.learning_rate or SCRATCH_RATE)
    tuning = tuning.changed(**given)
    drawer = _drawer(options.checkpoint)
    sets = [
        pixels.load_digits(split, options.root, count)
        for split, count in (
            ("train", options.labels),
            ("dev", options.labels and FEW),
            ("test", None),
        )
    ]
    print(here, flush=True)
    start = time.perf_counter()
    begun = drawer.untrained(tuning.seed) if options.scratch else drawer
    classifier = pixels.finetune(begun, *sets[:2], here, options.out, tuning)
    seconds = time.perf_counter() - start
    scores = pixels.agreement(sets[2].labels, classifier.guess(sets[2].images))
    _tell(options, scores, seconds, tuning)


def run_report(options):
    from coursekit import pixels

    if not pixels.is_checkpoint(options.assignment):
        if options.root or options.labels:
            raise CourseError("--root and --labels belong to the report about an Image GPT: leave them out.")  # fmt: skip
        from coursekit.cli.grading import run_report as of_class

        return of_class(options)
    check_place(options.out, ".html")
    subject = pixels.load(options.assignment)
    sets = [
        pixels.load_digits("train", options.root, options.labels),
        pixels.load_digits("test", options.root),
    ]
    for name, number in pixels.report(subject, *sets, options.out).items():
        print(f"{name:36} {number:.3f}")
    print(f"written: {options.out}")


def _drawer(checkpoint):
    from coursekit import pixels

    if checkpoint is None:
        return pixels.shipped_drawer()
    found = pixels.load(checkpoint)
    return getattr(found, "drawer", found)


def _tell(options, scores, seconds, settings):
    for name, number in scores.items():
        print(f"{name:24} {number:.4f}")
    if options.json:
        told = {"scores": scores, "seed": settings.seed, "settings": settings.as_dict()}
        print(json.dumps(told | _measured(seconds)))


def _measured(seconds):
    return {"seconds": round(seconds, 1), "peak_memory_mb": round(peak_memory())}


COMMANDS = (_complete, _probe, _finetune, _report)
