"""Commands about data: compare, augment, spice."""

from pathlib import Path

from coursekit.cli.base import command, json_option
from coursekit.errors import check_place


def _data(commands):
    parser = commands.add_parser("data", help="choose a data set; fetch what scores need")
    own = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_compare, _augment, _spice):
        add(own)


def _compare(commands):
    parser = command(commands, "compare", run_compare, "the data sets side by side")
    parser.add_argument(
        "--root", metavar="NAME=DIR", nargs="+", action="extend", default=[],
        help="measure the set that lies there, instead of telling what is published",
    )  # fmt: skip
    json_option(parser)


def _augment(commands):
    parser = command(commands, "augment", run_augment, "more digits out of few, saved as one file")
    parser.add_argument("--root", metavar="DIR", help="the whole MNIST; 5,000 digits without it")
    parser.add_argument("--split", default="train", choices=["train", "dev", "test"])
    parser.add_argument("--count", type=int, metavar="N", help="the first N only")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="copies of each (1)")
    parser.add_argument(
        "--crop", type=int, default=4, metavar="PIXELS", help="moved by at most; 0 for none (4)"
    )
    parser.add_argument("--rotate", type=float, default=0.0, metavar="DEGREES", help="at most (0)")
    parser.add_argument("--flip", action="store_true", help="mirror half of them, left to right")
    parser.add_argument("--invert", action="store_true", help="exchange ink and paper in half")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, metavar="FILE.npz")


def _spice(commands):
    parser = command(commands, "spice", run_spice, "fetch what SPICE needs (0.5 GB)")
    parser.add_argument("--from", dest="given", metavar="FILE.zip", help="fetched by other means")


def run_compare(options):
    from coursekit.datasets.compare import print_comparison, roots_of
    from coursekit.text import words

    print_comparison(roots_of(options.root), words, options.json)


def run_augment(options):
    from coursekit.datasets.augment import Augmentation, augmented, save_digits
    from coursekit.datasets.digits import load_digits

    check_place(options.out, ".npz")
    how = Augmentation(options.crop, options.flip, options.rotate, options.invert)
    digits = load_digits(options.split, options.root, options.count)
    found = augmented(digits, how, options.times, options.seed)
    save_digits(found, options.out)
    print(f"{found}\nwritten: {options.out}")


def run_spice(options):
    from coursekit import sizes
    from coursekit.datasets.download import download
    from coursekit.metrics.spice import MODELS_URL, install_spice

    archive = options.given or sizes.build_folder("downloads", Path(MODELS_URL).name)
    if not options.given:
        download(MODELS_URL, archive)
    install_spice(archive)
    print("SPICE has what it needs.")


COMMANDS = (_data,)
