"""The command line: `coursekit …`."""

import argparse
import json
import resource
import sys
import time
from dataclasses import asdict

from coursekit.errors import CourseError

SIZE = "smoke, cpu or gpu"


def main(arguments=None):
    """Runs one command. Bad input ends in one sentence on stderr and exit code 2."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except CourseError as error:
        print(f"coursekit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("coursekit: interrupted; the same command continues where it can.", file=sys.stderr)
        return 130


def _parser():
    about = "Image captioning and pixel modelling: train, score and grade from the command line."
    parser = argparse.ArgumentParser(prog="coursekit", description=about)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_doctor, _train, _evaluate, _caption, _release, _grade, _export, _report, _course):
        add(commands)
    return parser


def _command(commands, name, run, about):
    parser = commands.add_parser(name, help=about, description=about)
    parser.set_defaults(run=run)
    return parser


def _doctor(commands):
    _command(
        commands,
        "doctor",
        run_doctor,
        "what is installed, which device is used, which data is here",
    )


def _train(commands):
    parser = _command(
        commands, "train", run_train, "train a model, then score it on the test split"
    )
    parser.add_argument("model", choices=["show-and-tell"])
    _data(parser)
    _size(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", metavar="DIR", help="where to keep the run; continues what is there"
    )
    parser.add_argument(
        "--image-as", choices=["input", "state"], help="how the picture enters the LSTM"
    )
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    _json(parser)


def _evaluate(commands):
    parser = _command(commands, "evaluate", run_evaluate, "score a trained captioner")
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    _data(parser)
    parser.add_argument("--split", default="test", help="dev, test, or unseen (scenes only)")
    parser.add_argument("--count", type=int, help="the first pictures only")
    parser.add_argument("--beam", type=int, default=3, help="1 is greedy")
    _json(parser)


def _caption(commands):
    parser = _command(commands, "caption", run_caption, "describe picture files")
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    parser.add_argument("images", metavar="IMAGE", nargs="+")
    parser.add_argument("--beam", type=int, default=3, help="1 is greedy")


def _release(commands):
    parser = _command(
        commands, "release", run_release, "make the students' version of an assignment"
    )
    parser.add_argument("assignment")
    parser.add_argument(
        "--check", action="store_true", help="first run the solution against its own tests"
    )


def _grade(commands):
    parser = _command(commands, "grade", run_grade, "grade what students handed in")
    parser.add_argument("assignment")
    parser.add_argument(
        "--submitted",
        metavar="SOURCE",
        nargs="+",
        help="folders or zip files, also of Canvas or Moodle (default: the class's own folder)",
    )
    parser.add_argument("--students", nargs="+", metavar="NAME", help="these only")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="submissions side by side")
    parser.add_argument("--dask", metavar="ADDRESS", help="examine on this Dask cluster")
    parser.add_argument(
        "--no-feedback",
        action="store_true",
        help="no pages for students yet; marking by hand first",
    )
    _trust(parser)


def _trust(parser):
    parser.add_argument(
        "--trust-submissions",
        action="store_true",
        help="without walls: a submission may do all that you may do",
    )


def _export(commands):
    parser = _command(
        commands, "export", run_export, "write marks as Canvas and Moodle import them"
    )
    parser.add_argument("assignment")
    parser.add_argument(
        "--to", required=True, choices=["canvas", "moodle", "moodle-gradebook", "csv"]
    )
    parser.add_argument(
        "--into", metavar="FILE", help="the gradebook or worksheet that you exported there"
    )
    parser.add_argument("--out", required=True, metavar="FILE")
    parser.add_argument(
        "--unfinished", action="store_true", help="also marks that wait for a person"
    )


def _report(commands):
    parser = _command(commands, "report", run_report, "one page about a graded class")
    parser.add_argument("assignment")
    parser.add_argument("--out", required=True, metavar="FILE.html")


def _course(commands):
    parser = _command(
        commands, "course", run_course, "run lessons and assignments, end with one table"
    )
    parser.add_argument("--size", default="cpu", help=SIZE)
    parser.add_argument("--lessons", default="", help='a part, such as "00 03"; all without it')


def _data(parser):
    parser.add_argument("--data", default="scenes", help="scenes (default) or flickr8k")
    parser.add_argument("--root", metavar="DIR", help="the data's folder in the official layout")


def _size(parser):
    parser.add_argument("--size", help=f"{SIZE}; chosen by the hardware without it")


def _json(parser):
    parser.add_argument(
        "--json", action="store_true", help="end with one JSON object on the last line"
    )


def run_doctor(options):
    from coursekit.doctor import examine

    return examine()


def run_train(options):
    from coursekit import datasets, recipes, sizes

    here = sizes.setup(options.size)
    changes = {k: v for k in ("image_as", "epochs") if (v := getattr(options, k)) is not None}
    recipe = recipes.recipe_for(options.data, here.size, options.seed, **changes)
    exam = datasets.load(options.data, "test", options.root, recipe.eval_pictures)
    print(here, flush=True)
    start = time.perf_counter()
    captioner, _ = recipes.show_and_tell(
        options.data, here.size, options.seed, options.root, options.out, **changes
    )
    seconds = time.perf_counter() - start
    captions, scores = recipes.evaluate(captioner, exam)
    _tell(options, captions, scores, seconds, {"seed": options.seed, "settings": asdict(recipe)})


def run_evaluate(options):
    from coursekit import datasets, recipes

    captioner = recipes.load_captioner(options.checkpoint)
    exam = datasets.load(options.data, options.split, options.root, options.count)
    start = time.perf_counter()
    captions, scores = recipes.evaluate(captioner, exam, options.beam)
    seconds = time.perf_counter() - start
    recipe = captioner.recipe
    settings = asdict(recipe) | {"split": options.split, "beam": options.beam}
    _tell(options, captions, scores, seconds, {"seed": recipe.train.seed, "settings": settings})


def _tell(options, captions, scores, seconds, more):
    for caption in captions[:3]:
        print(f"  {caption}")
    for name, value in scores.items():
        print(f"{name:15} {value:.3f}")
    for name, reason in scores.missing.items():
        print(f"{name:15} left out: {reason}")
    if options.json:
        figures = {"seconds": round(seconds, 1), "peak_memory_mb": round(peak_memory())}
        print(json.dumps({"scores": dict(scores)} | figures | more))


def peak_memory():
    """The largest memory this process has held, in MB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def run_caption(options):
    from coursekit import recipes

    captioner = recipes.load_captioner(options.checkpoint)
    found = recipes.caption_files(captioner, options.images, options.beam)
    for path, caption in zip(options.images, found, strict=True):
        print(f"{path}: {caption}")


def run_release(options):
    from coursekit.grading.release import release

    print(f"released: {release(options.assignment, check_solution=options.check)}")


def run_grade(options):
    # The first line at once: what grading needs takes a second to load
    print(f"grading {options.assignment} …", flush=True)
    from coursekit.grading.grade import grade

    grade(
        options.assignment,
        options.submitted,
        options.students,
        jobs=options.jobs,
        dask=options.dask,
        trust=options.trust_submissions,
        feedback=not options.no_feedback,
    )


def run_export(options):
    from coursekit.grading.results.graded import GradedClass

    found = GradedClass(options.assignment)
    print(found.export(options.to, options.out, options.into, options.unfinished))


def run_report(options):
    from coursekit.grading.results.graded import GradedClass

    GradedClass(options.assignment).report(options.out)
    print(f"written: {options.out}")


def run_course(options):
    from coursekit.ledger import run_course as run

    return run(options.size, options.lessons.split() or None)


if __name__ == "__main__":
    sys.exit(main())
