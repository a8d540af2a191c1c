"""The command line: `coursekit …`."""

import argparse
import sys

from coursekit.cli import course, data, grading, models, pixels, studies
from coursekit.errors import CourseError, full_disk_told


def main(arguments=None):
    """Runs one command. Bad input ends in one sentence on stderr and exit code 2."""
    options = _parser().parse_args(arguments)
    try:
        with full_disk_told():
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
    for add in (
        *course.COMMANDS,
        *data.COMMANDS,
        *models.COMMANDS,
        *studies.COMMANDS,
        *pixels.COMMANDS,
        *grading.COMMANDS,
    ):
        add(commands)
    return parser
