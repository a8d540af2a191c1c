"""How every command is declared, and the options that several share."""

import resource
import sys

SIZE = "smoke, cpu or gpu"
DATA = "scenes, flickr8k, flickr30k, coco or conceptual"


def command(commands, name, run, about):
    parser = commands.add_parser(name, help=about, description=about)
    parser.set_defaults(run=run)
    return parser


def size_option(parser):
    parser.add_argument("--size", help=f"{SIZE}; chosen by the hardware without it")


def json_option(parser):
    parser.add_argument(
        "--json", action="store_true", help="end with one JSON object on the last line"
    )


def data_options(parser):
    parser.add_argument("--data", default="scenes", help=f"{DATA}; scenes without it")
    parser.add_argument("--root", metavar="DIR", help="the data's folder in the official layout")


def peak_memory():
    """The largest memory this process has held, in MB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
