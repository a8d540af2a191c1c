"""What the tests of guides share: every ```sh line runs, in order, in a copy of the course.

The copy is at size smoke, on a PATH that holds the environment and a few programs, nothing else.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from coursekit.grading.exam import walls

ROOT = Path(__file__).resolve().parents[1]
A1 = "a1_show_and_tell"
COPIED = ["course", "solutions", "assignments", "data_scripts", "docs", ".gitignore", "Makefile"]
COPIED += ["README.md", "nbgrader_config.py", "pyproject.toml", "requirements.txt"]
TOOLS = ["bwrap", "git", "make", "rm", "sed", "sh"]
FORM, DRY, RUN = "its form alone", "make -n", "as it stands"


@dataclass
class How:
    """How a line of a guide is tested.

    shows: what its output holds, a text or a pattern.  leaves: a file that it leaves.  adds: what
    is added to the line.  before: function(course) called first.  walls: whether it needs them, or
    what a line left that does.
    """

    kind: str
    shows: str = ""
    leaves: str = ""
    adds: str = ""
    before: object = None
    walls: bool = False

    def lacking(self, line):
        """Why the line cannot be tested on this machine, "" if it can."""
        if line.startswith("coursekit export-students") and not shutil.which("git"):
            return "there is no git here"
        return f"no walls here: {walls.missing()}" if self.walls and walls.missing() else ""


def shell_lines(path):
    """Every line of the ```sh blocks of a guide, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def lines(path):
    """The lines of a guide, each once."""
    return list(dict.fromkeys(shell_lines(path)))


def copy_course(folder):
    """A copy of the course in `folder` with this environment, as a fresh clone after `make env`."""
    course = folder / "coursekit"
    ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, course / name, ignore=ignore)
        else:
            course.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, course)
    (course / ".venv").symlink_to(sys.prefix)
    (folder / "tools").mkdir()
    for name in TOOLS:
        if found := shutil.which(name):
            (folder / "tools" / name).symlink_to(found)
    return course


class Guide:
    """A guide whose lines are run in a copy of the course, each once and in order.

    how: {line: How}.
    """

    def __init__(self, path, how, course):
        self.how, self.course, self.done = how, course, {}
        self.lines = [line for line in lines(path) if line in how]

    def ran(self, line):
        """A line's CompletedProcess, output and errors together; lines above it have run before."""
        for one in self.lines[: self.lines.index(line) + 1]:
            if one not in self.done and not self.how[one].lacking(one):
                self.done[one] = self._run(one, self.how[one])
        return self.done[line]

    def works(self, line):
        """Fails unless the line does what its How says; skips where it cannot be tested."""
        assert line in self.how, "say in HOW of this test how the line is tested"
        how = self.how[line]
        if why := how.lacking(line):
            pytest.skip(f"NOT TESTED: {why}")
        done = self.ran(line)
        assert done.returncode == 0, done.stdout
        assert how.shows in done.stdout or re.search(how.shows, done.stdout), done.stdout
        assert (self.course / how.leaves).exists()

    def _run(self, line, how):
        if how.kind == FORM:
            return subprocess.CompletedProcess(line, 0, stdout=line)
        if how.before:
            how.before(self.course)
        command = line.replace("make", "make -n", 1) if how.kind == DRY else f"{line} {how.adds}"
        together = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        where = dict(cwd=self.course, env=self._environment(), timeout=300)
        return subprocess.run(["sh", "-c", command], text=True, **where, **together)

    def _environment(self):
        places = [self.course / ".venv" / "bin", self.course.parent / "tools"]
        left_out = ("COURSEKIT", "JAVA")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(left_out)}
        return kept | {
            "PATH": os.pathsep.join(map(str, places)),
            "OMP_NUM_THREADS": "1",
            "COURSEKIT_SIZE": "smoke",
            "COURSEKIT_HOME": str(self.course / ".build"),
        }


def commit(course):
    """Makes the copy of the course a repository of one commit."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for line in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "course"]):
        subprocess.run(["git", *line], cwd=course, check=True)
