"""Commands of many trainings: crossvalidate, ablate."""

import json

from coursekit.cli.base import command, data_options, json_option, size_option
from coursekit.cli.models import FIELDS, changes_of, model_options
from coursekit.errors import CourseError

STUDIES = ("prefix",)
# What all cells of a study share: fields of the recipe that are no factor
SHARED = {
    name: FIELDS[name] for name in ("epochs", "encoder", "weights", "image-size", "language")
} | {
    "length": dict(
        type=int, help="of the prefix: by transformer this, by the others at least this"
    ),
    "pictures": dict(type=int, metavar="N", help="to learn from; the size's number without it"),
    "eval-pictures": dict(type=int, metavar="N", help="in each of the other splits"),
}


def _crossvalidate(commands):
    about = "train and score a model on every fold of a data set: mean and spread"
    parser = command(commands, "crossvalidate", run_crossvalidate, about)
    model_options(parser)
    parser.add_argument("--folds", type=int, default=10, metavar="K")
    parser.add_argument("--count", type=int, help="the first pictures only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", metavar="DIR", help="keeps every fold; continues what is there")
    json_option(parser)


def run_crossvalidate(options):
    from coursekit import studies

    found = studies.crossvalidate(
        options.model, options.data, options.folds, options.size, options.seed, options.root,
        options.out, options.count, **changes_of(options),
    )  # fmt: skip
    print(found)
    if options.json:
        print(json.dumps(found.as_dict()))


def _ablate(commands):
    about = (
        "train a captioner in every combination of its parts: mean, spread, and what each is worth"
    )
    parser = command(commands, "ablate", run_ablate, about)
    parser.add_argument("study", choices=STUDIES)
    data_options(parser)
    size_option(parser)
    parser.add_argument(
        "--levels", metavar="FACTOR=LEVEL,…", nargs="+", action="extend", default=[],
        help='what to combine, such as "source=pooled,grid" "tuning=frozen,tuned,lora"; the first '
        "level is what the others are compared with",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="of every cell")
    for name, how in SHARED.items():
        parser.add_argument(f"--{name}", **how)
    parser.add_argument(
        "--out", metavar="DIR",
        help="where cells, tables and figures are kept, .build/ablate without it; continues what is there",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="every cell's captioner, too")
    json_option(parser)


def run_ablate(options):
    from coursekit import sizes, studies

    here = sizes.setup(options.size)
    print(here, flush=True)
    usual = sizes.build_folder("ablate", f"{options.study}-{options.data}-{here.size}")
    out = options.out or usual
    given = {name.replace("-", "_"): getattr(options, name.replace("-", "_")) for name in SHARED}
    changes = {name: value for name, value in given.items() if value is not None}
    study = studies.prefix_study(
        options.data, here.size, options.root, out, _levels(options.levels), options.seeds,
        **changes,
    )  # fmt: skip
    found = studies.run(study, out, options.keep)
    studies.write(found, out)
    print(f"\n{studies.text(found)}\n\nwritten: {out}/report.md")
    if options.json:
        print(json.dumps(found.as_dict()))


def _levels(given):
    """{"source": ["pooled", "grid"]} of "source=pooled,grid", or of "source=pooled" and "source=grid"."""
    levels = {}
    for each in given:
        factor, equals, names = each.partition("=")
        if not equals:
            raise CourseError(
                f"--levels takes FACTOR=LEVEL,LEVEL, such as source=grid, not {each}."
            )
        own = [name.strip() for name in names.split(",") if name.strip()]
        levels[factor] = levels.get(factor, []) + own
    return levels


COMMANDS = (_crossvalidate, _ablate)
