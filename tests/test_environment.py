"""pyproject.toml, the lock, environment.yml and binder/ agree; none names an index or a machine."""

import re
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
# What is called otherwise on conda-forge, and what only conda needs to be told.
CONDA_NAMES = {"pytorch": "torch"}
CONDA_ONLY = {"python", "pip", "openjdk", "pycocotools"}
# Colab's own versions (August 2026), which an install of coursekit must leave as they are.
COLAB = {"torch": "2.11.0", "torchvision": "0.26.0", "transformers": "5.15.0", "numpy": "2.1.3"}
REPLACED_ON_COLAB = {"jupyterlab", "notebook", "ipython", "ipykernel", "nbgrader", "nbclient"}


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(*groups):
    """{name: Requirement} of the package's own dependencies and the named extras."""
    lists = [project()["dependencies"]]
    lists += [project()["optional-dependencies"][group] for group in groups]
    found = [Requirement(line) for lines in lists for line in lines]
    return {canonicalize_name(one.name): one for one in found}


def extras():
    return list(project()["optional-dependencies"])


def lock():
    """{name: versions} of requirements.txt."""
    found = {}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        name, version = re.match(r"([\w.-]+)==([^ ;]+)", line).groups()
        found.setdefault(canonicalize_name(name), []).append(version)
    return found


def conda():
    """(channels, {name: (floor, build)}, pip lines) of environment.yml."""
    read = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [line for line in read["dependencies"] if isinstance(line, str)]
    pip = [line for one in read["dependencies"] if isinstance(one, dict) for line in one["pip"]]
    parts = [re.match(r"([\w.-]+) *([=<>][^ ]*)?(?: +(\S+))?$", line).groups() for line in plain]
    return read["channels"], {name: (version, build) for name, version, build in parts}, pip


@pytest.mark.parametrize("name, wanted", requirements(*extras()).items())
def test_lock_holds_a_version_that_pyproject_allows(name, wanted):
    assert name in lock(), "compile the lock again (CONTRIBUTING.md tells how)"
    assert all(wanted.specifier.contains(version) for version in lock()[name])


def test_lock_pins_every_line_and_nothing_else():
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9.-]+==[\w.+!]+( ; .+)?", line), line
    assert not any("+" in version for versions in lock().values() for version in versions)


def test_environment_yml_has_the_floors_of_pyproject():
    _, packages, pip = conda()
    wanted = requirements("lab", "grading")
    here = {CONDA_NAMES.get(name, name): floor for name, (floor, _) in packages.items()}
    here |= {Requirement(line).name: str(Requirement(line).specifier) for line in pip}
    assert set(here) - CONDA_ONLY == set(wanted)
    differing = [name for name in wanted if here[name] != str(wanted[name].specifier)]
    assert differing == []


def test_conda_takes_a_python_that_pyproject_allows_and_torch_for_the_cpu():
    channels, packages, _ = conda()
    assert channels == ["conda-forge", "nodefaults"]
    version = packages["python"][0].removeprefix("=")
    assert SpecifierSet(project()["requires-python"]).contains(version)
    assert packages["pytorch"][1] == "cpu_*"


def test_conda_brings_what_only_it_needs_to_be_told():
    """Java for METEOR, and pycocotools ready built."""
    assert set(conda()[1]) >= CONDA_ONLY


def test_pip_part_names_no_folder():
    """pip would look for `-e .` beside the file, which on Binder is binder/."""
    assert [line for line in conda()[2] if line.startswith("-") or "/" in line] == []


def test_binder_reads_the_same_file_and_installs_the_course():
    link = ROOT / "binder" / "environment.yml"
    assert link.is_symlink() and link.resolve() == ROOT / "environment.yml"
    script = ROOT / "binder" / "postBuild"
    assert script.stat().st_mode & stat.S_IXUSR
    assert "pip install" in script.read_text() and "--editable ." in script.read_text()


def test_binder_reads_nothing_else_and_fetches_no_data():
    """A Dockerfile, requirements.txt or start beside them would change what repo2docker builds."""
    folder = ROOT / "binder"
    assert sorted(path.name for path in folder.iterdir()) == ["environment.yml", "postBuild"]
    lines = (folder / "postBuild").read_text().splitlines()
    plain = [line for line in lines if line and not line.startswith(("#", "set -"))]
    assert plain == ["python -m pip install --quiet --no-deps --editable ."]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="NOT TESTED: no git repository here")
def test_the_image_is_small_because_the_repository_is():
    """Binder copies the repository whole: no data in it, and the link stays a link."""
    git = ["git", "-C", str(ROOT), "ls-files", "--stage"]
    told = subprocess.run(git, capture_output=True, text=True, check=True).stdout
    files = dict(reversed(line.split("\t")) for line in told.splitlines())
    sizes = [(ROOT / name).stat().st_size for name in files if (ROOT / name).is_file()]
    assert sum(sizes) < 20e6 and max(sizes) < 5e6
    assert files["binder/environment.yml"].startswith("120000")


def test_colab_keeps_its_own_packages():
    plain = requirements()
    assert all(plain[name].specifier.contains(version) for name, version in COLAB.items())
    assert not REPLACED_ON_COLAB & set(plain)


def test_the_running_environment_is_the_lock():
    """What the tests pass with is what the lock names."""
    from importlib.metadata import version

    pinned = lock()
    names = [name for name in requirements("lab", "grading", "dev") if name in pinned]
    assert {name: version(name) for name in names if version(name) not in pinned[name]} == {}


@pytest.mark.parametrize(
    "name",
    [
        "requirements.txt",
        "pyproject.toml",
        "environment.yml",
        "binder/postBuild",
        "Makefile",
        ".ci/run",
    ],
)
def test_no_index_address_and_no_path_of_a_machine(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"https?://|--index|--extra-index|find-links|@ *file:", text)
    assert not re.search(r"/(home|root|work|Users|opt|tmp)/", text)


def test_licences_stand_beside_the_code_and_the_lessons():
    assert project()["license"] == "BSD-3-Clause"
    assert "BSD 3-Clause" in (ROOT / "LICENSE").read_text()
    assert "creativecommons.org/licenses/by/4.0/" in (ROOT / "LICENSE-lessons").read_text()


def test_versions_are_versions():
    for versions in lock().values():
        assert all(Version(version) for version in versions)
