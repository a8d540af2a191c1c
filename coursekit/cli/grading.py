"""The instructor's commands: release, export-students, grade, export; and the page of `report` about a class."""

from coursekit.cli.base import command


def _release(commands):
    parser = command(
        commands, "release", run_release, "make the students' version of an assignment"
    )
    parser.add_argument("assignment")
    parser.add_argument(
        "--check", action="store_true", help="first run the solution against its own tests"
    )


def _export_students(commands):
    about = "write the course without answers and hidden tests, proven by a search for each of them"
    parser = command(commands, "export-students", run_export_students, about)
    parser.add_argument("target", metavar="DIR", help="a folder that is not there yet, or empty")


def _grade(commands):
    parser = command(commands, "grade", run_grade, "grade what students handed in")
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
    parser = command(commands, "export", run_export, "write marks as Canvas and Moodle import them")
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


def run_release(options):
    from coursekit.grading.release import release

    print(f"released: {release(options.assignment, check_solution=options.check)}")


def run_export_students(options):
    from coursekit.grading.students import export_students

    print("building and searching …", flush=True)
    count = export_students(options.target)
    print(
        f"written: {options.target}; {count} answers and hidden tests were searched for, none is in it"
    )


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


COMMANDS = (_release, _export_students, _grade, _export)
