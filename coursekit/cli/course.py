"""Commands about the course and the machine: doctor, course."""

from coursekit.cli.base import SIZE, command


def _doctor(commands):
    command(
        commands,
        "doctor",
        run_doctor,
        "what is installed, which device is used, which data is here",
    )


def _course(commands):
    parser = command(
        commands, "course", run_course, "run lessons and assignments, end with one table"
    )
    parser.add_argument("--size", default="cpu", help=SIZE)
    parser.add_argument("--lessons", default="", help='a part, such as "00 03"; all without it')


def run_doctor(options):
    from coursekit.doctor import examine

    return examine()


def run_course(options):
    from coursekit.ledger import run_course as run

    return run(options.size, options.lessons.split() or None)


COMMANDS = (_doctor, _course)
