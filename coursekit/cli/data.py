"""Commands about data: compare, spice."""

from pathlib import Path

from coursekit.cli.base import command, json_option


def _data(commands):
    parser = commands.add_parser("data", help="choose a data set; fetch what scores need")
    own = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_compare, _spice):
        add(own)


def _compare(commands):
    parser = command(commands, "compare", run_compare, "the data sets side by side")
    parser.add_argument(
        "--root", metavar="NAME=DIR", nargs="+", action="extend", default=[],
        help="measure the set that lies there, instead of telling what is published",
    )  # fmt: skip
    json_option(parser)


def _spice(commands):
    parser = command(commands, "spice", run_spice, "fetch what SPICE needs (0.5 GB)")
    parser.add_argument("--from", dest="given", metavar="FILE.zip", help="fetched by other means")


def run_compare(options):
    from coursekit.datasets.compare import print_comparison, roots_of
    from coursekit.text import words

    print_comparison(roots_of(options.root), words, options.json)


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
