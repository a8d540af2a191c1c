"""How coursekit calls nbgrader: its settings, surroundings, and failures in one sentence."""

import functools
import os
import re
import sys
import tempfile
import warnings
from contextlib import chdir, contextmanager
from pathlib import Path

from coursekit.errors import CourseError
from coursekit.notebooks import course_root, quick_import

# In nbgrader anything on stderr fails a test cell, so progress bars and warnings are switched off.
QUIET = {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore", "TOKENIZERS_PARALLELISM": "false"}
# Lines that nbgrader cuts out between, in the order begin, end.
SOLUTION = ("BEGIN SOLUTION", "END SOLUTION")
HIDDEN = ("BEGIN HIDDEN TESTS", "END HIDDEN TESTS")
SCHEME = ("BEGIN MARK SCHEME", "END MARK SCHEME")
# The last line of a traceback: the error's own name, then its text.
RAISED = re.compile(r"^\s*(?:[\w.]+\.)?(\w*(?:Error|Exception|Exit|Interrupt)): *(.*)$", re.M)


@contextmanager
def variables(**values):
    """Sets environment variables for the block, then puts the old ones back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextmanager
def surroundings():
    """The environment one submission runs in: quiet, and with an empty COURSEKIT_HOME of its own.

    Without that folder a student would resume the training of the student graded before.
    The environment's `bin` is on PATH because nbgrader calls `alembic` by name.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    size = os.environ.get("COURSEKIT_SIZE") or "cpu"
    with tempfile.TemporaryDirectory(prefix="coursekit-", ignore_cleanup_errors=True) as home:
        with variables(**QUIET, PATH=path, COURSEKIT_SIZE=size, COURSEKIT_HOME=home):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # nbgrader's own, about its database
                yield


def settings(root=None, class_folder=None):
    """nbgrader's settings as a traitlets Config, read from the course's nbgrader_config.py.

    class_folder: where submitted, autograded, feedback and gradebook lie (default .build/class).
    """
    from traitlets.config.loader import PyFileConfigLoader

    root = Path(root) if root else course_root()
    chosen = {"COURSEKIT_CLASS": str(Path(class_folder).resolve())} if class_folder else {}
    with variables(**chosen):
        return PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()


def class_folder_of(config):
    """The folder of a class, from nbgrader's settings: where graded notebooks lie, one level up."""
    folder = Path(config.CourseDirectory.autograded_directory).parent
    return Path(config.CourseDirectory.root) / folder


def connect(config):
    """nbgrader's NbGraderAPI with these settings. Raises CourseError without nbgrader."""
    try:
        with quick_import():
            from nbgrader.apps.api import NbGraderAPI
            from nbgrader.coursedir import CourseDirectory
        _quicken()
    except ImportError as error:
        raise CourseError(
            f"Grading needs nbgrader ({error}): install it with pip install 'coursekit[grading]'."
        ) from error
    return NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)


@functools.cache
def _quicken():
    """Spares nbgrader what it does again and again: ten new database engines for every submission,
    each with an empty cache of compiled queries, and a process to ask for a version number."""
    import nbgrader
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from nbgrader import api

    def head():
        folder = Config()
        folder.set_main_option("script_location", str(Path(nbgrader.__file__).parent / "alembic"))
        return ScriptDirectory.from_config(folder).get_current_head()

    api.create_engine = functools.cache(api.create_engine)
    api.get_alembic_version = head


def feedback_pages(api):
    """make(name, student): writes a student's feedback as nbgrader's own command does.

    Templates are compiled at the first call, and not again for every student.
    """
    from nbgrader.converters import GenerateFeedback
    from nbgrader.utils import capture_log, temp_attrs
    from traitlets.config import Config

    class Pages(GenerateFeedback):
        def start(self):
            if not self.trait_has_value("exporter"):
                return super().start()
            self.init_notebooks()
            with chdir(self.coursedir.root):
                self.convert_notebooks()

    pages = Pages(coursedir=api.coursedir, parent=api)
    pages.update_config(Config({"HTMLExporter": {"template_name": "feedback"}}))
    pages.force = True

    def make(name, student):
        with temp_attrs(api.coursedir, assignment_id=name, student_id=student):
            return capture_log(pages)

    return make


def failure(result):
    """Why a call of nbgrader failed, in one line, from its result {success, log, error}."""
    log = re.sub(r"\x1b\[[0-9;]*m", "", result.get("log", "") + "\n" + result.get("error", ""))
    raised = RAISED.findall(log)
    told = [one for one in raised if one[0] != "NbGraderException"] or raised
    kind, text = told[0] if told else ("nbgrader", log.strip().splitlines()[-1])
    return f"{kind}: {text}"[:200]


def regions(source, marks):
    """The lines of a cell inside and outside the regions that `marks` (begin, end) delimit.

    Returns (inside, outside), two lists of lines; the delimiting lines are in neither.
    """
    inside, outside, within = [], [], False
    for line in source.split("\n"):
        if marks[0] in line or marks[1] in line:
            within = marks[0] in line
        else:
            (inside if within else outside).append(line)
    return inside, outside
