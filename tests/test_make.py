"""make and the environment: which Python it takes, what it says without one, that it works once.

The interpreters and uv are stand-ins that write down how they were called; nothing is installed.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CALLS = "calls.txt"
# $1 is -c for the question "are you new enough?", -m for venv, pip, pytest and the like.
STANDIN = """#!/bin/sh
echo "{name} $*" >> "{folder}/calls.txt"
case "$1 $2" in
  --version*) echo "Python {version}" ;;
  -c*) exit {refuses} ;;
  "-m venv") mkdir -p .venv/bin; cp "{folder}/tools/made" .venv/bin/python ;;
  "-m pip") cp "{folder}/tools/uv" .venv/bin/uv ;;
esac
"""


@pytest.fixture
def course(tmp_path):
    """A folder with the Makefile, the lock, and stand-ins in tools/ (none of them Python yet)."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "tools").mkdir()
    standin(tmp_path, "made", "3.12.0")
    standin(tmp_path, "uv", "0")
    return tmp_path


def standin(folder, name, version, new=True):
    path = folder / "tools" / name
    text = STANDIN.format(name=name, folder=folder, version=version, refuses=0 if new else 1)
    path.write_text(text)
    path.chmod(0o755)


def make(folder, *arguments):
    path = os.pathsep.join([str(folder / "tools"), "/usr/bin", "/bin"])
    environment = {"PATH": path, "HOME": str(folder)}
    command = ["make", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def calls(folder):
    return (folder / CALLS).read_text().splitlines()


def hide_system_pythons(folder):
    """Every name that make tries answers as an old Python would."""
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        standin(folder, name, "3.9.2", new=False)


def test_old_python_is_refused_plainly(course):
    hide_system_pythons(course)
    done = make(course, "env")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "Python 3.9.2" in done.stderr
    assert not (course / ".venv").exists()


def test_a_newer_python_is_found_beside_an_old_one(course):
    hide_system_pythons(course)
    standin(course, "python3.12", "3.12.1")
    assert make(course, "env").returncode == 0
    assert any(line.startswith("python3.12 -m venv") for line in calls(course))


def test_the_lock_is_installed_once(course):
    standin(course, "python3", "3.11.7")
    assert make(course, "env").returncode == 0
    installs = [line for line in calls(course) if line.startswith("uv pip install")]
    assert len(installs) == 1
    assert "-r requirements.txt" in installs[0] and "-e ." in installs[0]
    pip = [line for line in calls(course) if "-m pip install" in line]
    assert len(pip) == 1 and re.search(r" uv==[\d.]+$", pip[0])
    before = calls(course)
    assert make(course, "env").returncode == 0
    assert calls(course) == before


@pytest.mark.parametrize("tool, within", [("made", "python"), ("uv", "uv")])
def test_an_installation_that_breaks_off_says_what_to_do_and_goes_on_later(course, tool, within):
    """Without a network pip itself says no more than that there is no such version of uv."""
    standin(course, "python3", "3.11.7")
    path = course / "tools" / tool
    works = path.read_text()
    path.write_text(
        works.replace('"-m pip") ', '"-m pip") exit 1; ') if tool == "made" else "exit 2"
    )
    done = make(course, "env")
    assert done.returncode != 0 and not (course / ".venv/made").exists()
    assert "It needs a network" in done.stderr and "same command again" in done.stderr
    path.write_text(works)
    shutil.copy(path, course / ".venv/bin" / within)
    assert make(course, "env").returncode == 0 and (course / ".venv/made").exists()


def test_a_changed_lock_is_installed_again_in_the_same_environment(course):
    standin(course, "python3", "3.11.7")
    make(course, "env")
    later = (course / ".venv" / "made").stat().st_mtime + 10
    os.utime(course / "requirements.txt", (later, later))
    make(course, "env")
    assert sum(line.startswith("uv pip install") for line in calls(course)) == 2
    assert sum("-m venv" in line for line in calls(course)) == 1


def test_course_hands_on_size_and_lessons(course):
    standin(course, "python3", "3.11.7")
    make(course, "env")
    standin(course, "coursekit", "0")
    shutil.copy(course / "tools" / "coursekit", course / ".venv" / "bin")
    assert make(course, "course", "SIZE=smoke", "LESSONS=00 03").returncode == 0
    assert calls(course)[-1] == "coursekit course --size smoke --lessons 00 03"
    make(course, "course")
    assert calls(course)[-1] == "coursekit course --size cpu --lessons "


def test_clean_keeps_a_class(course):
    for name in ("class/submitted/ann", "course/smoke", "shots"):
        (course / ".build" / name).mkdir(parents=True)
    assert make(course, "clean").returncode == 0
    assert [path.name for path in (course / ".build").iterdir()] == ["class"]
    assert (course / ".build/class/submitted/ann").is_dir()


def test_help_names_every_target(course):
    shown = make(course).stdout
    for target in ("env", "course", "test", "lab", "notebooks", "lint", "clean"):
        assert f"make {target}" in shown
