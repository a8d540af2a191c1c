"""Commands about the course and the machine: doctor, progress, course, ledger."""

from coursekit.cli.base import SIZE, command


def _doctor(commands):
    command(
        commands,
        "doctor",
        run_doctor,
        "what is installed, which device is used, which data is here",
    )


def _progress(commands):
    about = "which exercises pass, over the whole course, and the next step"
    command(commands, "progress", run_progress, about)


def _course(commands):
    about = "run lessons and assignments, end with one table"
    _sized(command(commands, "course", run_course, about))


def _ledger(commands):
    about = (
        "run what changed, and write time, memory and scores into titles and the page of results"
    )
    _sized(command(commands, "ledger", run_ledger, about))


def _sized(parser):
    parser.add_argument("--size", default="cpu", help=SIZE)
    parser.add_argument("--lessons", default="", help='a part, such as "00 03"; all without it')


def run_doctor(options):
    from coursekit.doctor import examine

    return examine()


def run_course(options):
    from coursekit.ledger import run_course as run

    return run(options.size, options.lessons.split() or None)


def run_progress(options):
    from coursekit.progress import show

    show()


def run_ledger(options):
    from coursekit.results import publish

    return publish(options.size, options.lessons.split() or None)


COMMANDS = (_doctor, _progress, _course, _ledger)
