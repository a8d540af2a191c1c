"""Whether the course still installs and runs while the world around it moves on.

    python tests/drift.py colab              with the packages of tests/colab_packages.txt
    python tests/drift.py colab --list FILE  with those of another `pip freeze`; --list newest: as published today
    python tests/drift.py newest             with the newest release of everything, in .build/newest
    python tests/drift.py plain FILE         a published `pip freeze` as lines name==version

`make drift-colab` and `make drift-newest` call it. Exit codes: 0 nothing has drifted, 1 something has, 3 the package index
cannot be reached.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from pathlib import Path
from urllib.parse import unquote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "colab_packages.txt"
PUBLISHED = "https://raw.githubusercontent.com/googlecolab/backend-info/main/pip-freeze.txt"
# What an install on Colab may add: pycocoevalcap, and pycocotools in case Colab gives it up
MAY_ADD = {"pycocoevalcap", "pycocotools"}
UNREACHABLE = re.compile(
    r"Failed to fetch|error sending request|network (connectivity is|was) disabled|dns error|timed out"
)
# The tests that meet other people's packages most, and that a change of theirs has broken or would
TESTS = """
    test_augment test_cache test_cider test_digits test_encoders test_gpt test_image_gpt test_lstm
    test_metrics test_notebooks test_palette test_pixel_metrics test_plots test_prefix test_provisioner
    test_release test_sizes test_sources test_text test_training test_vit_gpt2
"""
TESTS = [f"tests/{name}.py" for name in TESTS.split()]


class Unreachable(Exception):
    """The package index cannot be reached, so nothing was found out."""


class Refused(Exception):
    """uv found no set of packages that fits; the text says why."""


# --- Colab


def frozen(text):
    """{name: version} of a `pip freeze`; of `name @ address` the version in the file's name, or none where it has none."""
    found = {}
    for line in text.splitlines():
        name, at, address = line.partition(" @ ")
        if at:
            version = re.search(r"/[\w.]+-(\d[\w.+!]*?)(-[^/]*\.whl|\.tar\.gz|\.zip)\b", unquote(address))  # fmt: skip
        else:
            name, _, version = line.partition(";")[0].partition("==")
            version = re.fullmatch(r"(\d[\w.+!]*)", version.strip())
        if version and not line.startswith("#"):
            found[canonicalize_name(name.strip())] = version[1]
    return found


def python_of(text):
    """The Python of a `pip freeze`, "3.13": as a comment of the kept list says, or as the names of its wheels do."""
    found = re.search(r"^# Python (\d+\.\d+)", text, re.M) or re.search(r"-cp(3)(\d+)-", text)
    if not found:
        raise Refused("the list of packages does not say which Python it belongs to")
    return ".".join(found.groups())


def colab(text, project=ROOT / "pyproject.toml"):
    """What an install of the course changes on a platform with these packages: ({name: version} added, … changed).

    Asked twice. All that the course needs, and what that needs in turn, must resolve to the platform's own versions; and
    beside the platform's packages uv is to install nothing but what is missing. Raises Refused or Unreachable.
    """
    have, python = frozen(text), python_of(text)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        shutil.copy(project, folder / "pyproject.toml")
        needed = resolved(folder, have, python)
        installed = would_install(folder, have, python)
    found = needed | installed
    added = {name: version for name, version in found.items() if name not in have}
    changed = {name: v for name, v in found.items() if name in have and v != public(have[name])}
    return added, changed | {n: v for n, v in installed.items() if n in have}


def resolved(folder, have, python):
    """{name: version} of all that the course needs, with the platform's packages as constraints."""
    pins = [f"{name}=={public(version)}" for name, version in sorted(have.items())]
    (folder / "have.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    (folder / "uv.toml").write_text(_complete(have), encoding="utf-8")
    command = ["pip", "compile", "pyproject.toml", "--constraint", "have.txt", *_where(python)]
    return frozen(uv(*command, "--no-header", "--no-annotate", "--quiet", folder=folder))


def _complete(have):
    """For uv: builds with a local version, such as torch 2.11.0+cpu, came to the platform with all they need.

    The index has another build of that release, which wants CUDA packages of its own.
    """
    own = {name: public(version) for name, version in have.items() if "+" in version}
    return "".join(
        f'[[dependency-metadata]]\nname = "{name}"\nversion = "{version}"\nrequires-dist = []\n'
        for name, version in own.items()
    )


def would_install(folder, have, python):
    """{name: version} of what uv would install, or replace, beside the platform's packages."""
    site = folder / "site"
    for name, version in have.items():
        about = site / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir(parents=True)
        told = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (about / "METADATA").write_text(told, encoding="utf-8")
        (about / "RECORD").write_text("", encoding="utf-8")
    command = ["pip", "install", "--dry-run", "--target", "site", "-r", "pyproject.toml"]
    told = uv(*command, *_where(python), folder=folder, told="stderr")
    return frozen("\n".join(re.findall(r"^ [+~-] (\S+==\S+)$", told, re.M)))


def _where(python):
    return ["--python-version", python, "--python-platform", "linux"]


def public(version):
    """A version without its local part: "2.11.0" of "2.11.0+cpu"."""
    return version.partition("+")[0]


def uv(*arguments, folder=ROOT, told="stdout"):
    """What uv prints. Raises Refused with its words, without addresses, or Unreachable."""
    program = Path(sys.executable).with_name("uv")
    command = [str(program if program.is_file() else "uv"), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        if UNREACHABLE.search(done.stderr):
            raise Unreachable("the package index cannot be reached")
        raise Refused(re.sub(r"\w+://\S+", "(an address)", done.stderr.strip()))
    return getattr(done, told)


def read_list(name):
    """The text of a `pip freeze`: a file, or "newest" as googlecolab/backend-info publishes it."""
    if name != "newest":
        return Path(name).read_text(encoding="utf-8")
    try:
        with urllib.request.urlopen(PUBLISHED, timeout=60) as answer:
            return answer.read().decode()
    except OSError as error:
        raise Unreachable("Colab's list of packages cannot be fetched") from error


def report_colab(name):
    """Prints what an install would change; returns the exit code."""
    text = read_list(name)
    added, changed = colab(text)
    print(f"Python {python_of(text)}, {len(frozen(text))} packages of Colab's.")
    print(f"would be added: {_listed(added)}")
    print(f"would be changed: {_listed(changed)}")
    if strange := set(added) - MAY_ADD:
        print(f"not expected: {', '.join(sorted(strange))}")
    return int(bool(changed or strange))


def _listed(packages):
    return ", ".join(f"{name} {version}" for name, version in sorted(packages.items())) or "none"


# --- the newest of everything


def report_newest(python):
    """Installs the newest releases in .build/newest, prints what is newer than the lock, runs doctor and TESTS."""
    venv = ROOT / ".build" / "newest"
    here = venv / "bin" / "python"
    uv("venv", "--clear", "--quiet", "--python", python, venv)
    print(f"Installing the newest releases into {venv.relative_to(ROOT)} ...", flush=True)
    uv("pip", "install", "--quiet", "--upgrade", "--python", here, "--editable", f".[{_extras()}]")
    installed = json.loads(uv("pip", "list", "--format", "json", "--python", here))
    for line in newer({canonicalize_name(one["name"]): one["version"] for one in installed}):
        print(line)
    sys.stdout.flush()
    environment = dict(os.environ, COURSEKIT_SIZE="smoke", OMP_NUM_THREADS="1")
    environment["PATH"] = os.pathsep.join([str(venv / "bin"), os.environ.get("PATH", "")])
    codes = [
        subprocess.run([str(here), "-m", *words], cwd=ROOT, env=environment).returncode
        for words in (
            ["coursekit.cli", "doctor"],
            ["pytest", "-q", "-n", "2", "--dist", "loadfile", *TESTS],
        )  # fmt: skip
    ]
    return int(any(codes))


def _extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return ",".join(project["optional-dependencies"])


def newer(installed, lock=None):
    """Lines "torch 2.14.1 → 2.15.0" for what is installed in another version than the lock names."""
    lines = (lock or (ROOT / "requirements.txt").read_text(encoding="utf-8")).splitlines()
    pins = {}
    for one in map(Requirement, filter(None, lines)):
        if one.marker is None or one.marker.evaluate():
            pins[canonicalize_name(one.name)] = str(one.specifier).removeprefix("==")
    moved = [n for n in sorted(pins) if n in installed and Version(pins[n]) != Version(installed[n])]  # fmt: skip
    return [f"{name} {pins[name]} → {installed[name]}" for name in moved] or ["all as in the lock"]


def main(arguments=None):
    """Runs one of the checks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("check", choices=["colab", "newest", "plain"])
    parser.add_argument("file", nargs="?", help="for plain: a published pip freeze")
    parser.add_argument("--list", default=str(LIST), help="for colab: a pip freeze, or newest")
    parser.add_argument("--python", default=sys.executable, help="for newest: the interpreter")
    options = parser.parse_args(arguments)
    try:
        if options.check == "plain":
            packages = frozen(read_list(options.file or "newest"))
            print("\n".join(f"{name}=={version}" for name, version in packages.items()))
            return 0
        if options.check == "colab":
            return report_colab(options.list)
        return report_newest(options.python)
    except Unreachable as error:
        print(f"NOT CHECKED: {error}.", file=sys.stderr)
        return 3
    except (Refused, OSError) as error:
        print(f"Does not install: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
