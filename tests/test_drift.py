"""The radar for drift: Colab's list is plain, an install there changes nothing, and a change would be seen."""

import re
import shutil
import subprocess
import sys

import drift
import pytest
from drift import LIST, ROOT, TESTS, Refused, Unreachable, frozen, python_of
from test_environment import COLAB, project

HAVE = "# Python 3.13\ntorch==2.11.0+cpu\nnumpy==2.1.3\n"


def test_the_kept_list_is_plain_and_says_where_it_comes_from():
    text = LIST.read_text()
    head = [line for line in text.splitlines() if line.startswith("#")]
    assert "googlecolab/backend-info" in text and re.search(r"20\d\d-\d\d-\d\d", text)
    assert re.search(r"\b[0-9a-f]{40}\b", text) and "# Python 3.13" in head
    lines = text.splitlines()[len(head) :]
    assert (
        len(lines) > 600 and [x for x in lines if not re.fullmatch(r"[\w.-]+==[\w.+!]+", x)] == []
    )
    assert "://" not in text and "file:" not in text


def test_the_kept_list_agrees_with_the_versions_that_other_tests_know():
    have = frozen(LIST.read_text())
    assert {name: have[name].partition("+")[0] for name in COLAB} == COLAB


def test_a_published_list_is_read_whatever_its_form():
    text = """\
# Python 3.13
numpy==2.1.3
Jupyter_Client == 7.4.9
triton==3.6.0 ; sys_platform == 'linux'
torch @ https://elsewhere/cpu/torch-2.11.0%2Bcpu-cp313-cp313-manylinux_2_28_x86_64.whl
en_core_web_sm @ https://elsewhere/en_core_web_sm-3.8.0-py3-none-any.whl#sha256=19-3.0.zip
google-colab @ file:///colabtools/dist/google_colab-1.0.0.tar.gz
jupyter_kernel_gateway @ git+https://elsewhere/kernel_gateway@b134e9945df25c2dcb98
-e git+https://elsewhere/mine
"""
    assert frozen(text) == {
        "numpy": "2.1.3",
        "jupyter-client": "7.4.9",
        "triton": "3.6.0",
        "torch": "2.11.0+cpu",
        "en-core-web-sm": "3.8.0",
        "google-colab": "1.0.0",
    }


def test_the_python_of_a_list():
    assert python_of("# Python 3.13\n") == "3.13"
    assert python_of("torch @ https://elsewhere/torch-2.11.0-cp314-cp314-linux.whl") == "3.14"
    with pytest.raises(Refused, match="which Python"):
        python_of("numpy==2.1.3")


# --- what an install changes


def stand_in(monkeypatch, compiled, dry=""):
    """uv that answers `pip compile` and `pip install --dry-run` with these texts."""
    answers = {"compile": compiled, "install": dry}
    monkeypatch.setattr(drift, "uv", lambda *words, **about: answers[words[1]])


@pytest.mark.parametrize(
    "compiled, dry, added, changed",
    [
        ("torch==2.11.0\nnumpy==2.1.3\n", "Would make no changes\n", {}, {}),
        ("numpy==2.1.3\npycocoevalcap==1.2\n", "Would install 1 package\n + pycocoevalcap==1.2\n", {"pycocoevalcap": "1.2"}, {}),
        ("numpy==2.2.0\n", "", {}, {"numpy": "2.2.0"}),
        ("numpy==2.1.3\n", " - numpy==2.1.3\n + numpy==2.2.0\n", {}, {"numpy": "2.2.0"}),
        ("", " - torch==2.11.0+cpu\n + torch==2.11.0\n", {}, {"torch": "2.11.0"}),
        ("nbgrader==0.9.6 ; python_version > '3'\n", "", {"nbgrader": "0.9.6"}, {}),
    ],
)  # fmt: skip
def test_what_is_added_and_what_is_changed(monkeypatch, compiled, dry, added, changed):
    stand_in(monkeypatch, compiled, dry)
    assert drift.colab(HAVE) == (added, changed)


@pytest.mark.parametrize(
    "compiled, code, words",
    [
        ("pycocoevalcap==1.2\npycocotools==2.0.11\n", 0, "added: pycocoevalcap 1.2, pycocotools 2.0.11"),
        ("nbgrader==0.9.6\n", 1, "not expected: nbgrader"),
        ("numpy==2.2.0\n", 1, "changed: numpy 2.2.0"),
    ],
)  # fmt: skip
def test_only_the_scores_of_captions_may_be_added(monkeypatch, capsys, tmp_path, compiled, code, words):  # fmt: skip
    stand_in(monkeypatch, compiled)
    (tmp_path / "freeze.txt").write_text(HAVE)
    assert drift.main(["colab", "--list", str(tmp_path / "freeze.txt")]) == code
    assert words in capsys.readouterr().out


@pytest.fixture
def index(tmp_path):
    """Skips where no package index can be reached."""
    try:
        drift.uv("pip", "install", "--dry-run", "--target", tmp_path, "tqdm", told="stderr")
    except Unreachable as error:
        pytest.skip(f"NOT TESTED: whether Colab stays as it is; {error}")


def test_an_install_on_colab_changes_nothing(index):
    """For real: uv resolves the course's dependencies with all of Colab's packages."""
    added, changed = drift.colab(LIST.read_text())
    assert changed == {} and set(added) <= drift.MAY_ADD, (added, changed)


@pytest.mark.parametrize(
    "wanted, moved",
    [("numpy>=2.1", set()), ("numpy>=2.2", {"numpy"}), ("nbgrader>=0.9.5", {"nbgrader", "notebook"})],
)  # fmt: skip
def test_a_dependency_that_would_change_colab_is_found(index, tmp_path, wanted, moved):
    """The test above can fail: nbgrader, or a higher floor, would replace what runs there."""
    text = f'[project]\nname = "x"\nversion = "1"\ndependencies = ["{wanted}"]\n'
    (tmp_path / "pyproject.toml").write_text(text)
    found = drift.would_install(tmp_path, frozen(LIST.read_text()), "3.13")
    assert moved <= set(found) and bool(moved) == bool(found)


def test_a_floor_above_colab_is_refused_without_an_address(index, tmp_path):
    text = '[project]\nname = "x"\nversion = "1"\ndependencies = ["tqdm>=4.68"]\n'
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(Refused, match="tqdm") as told:
        drift.resolved(tmp_path, {"tqdm": "4.67.1"}, "3.13")
    assert "://" not in str(told.value)


@pytest.mark.parametrize(
    "variables",
    [{"UV_OFFLINE": "1"}, {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}],
    ids=["offline", "nobody answers"],
)  # fmt: skip
def test_without_an_index_nothing_is_claimed(monkeypatch, tmp_path, capsys, variables):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert drift.main(["colab"]) == 3
    told = capsys.readouterr()
    assert told.err == "NOT CHECKED: the package index cannot be reached.\n" and told.out == ""


def test_the_newest_list_needs_a_network(monkeypatch, capsys):
    monkeypatch.setattr(drift, "PUBLISHED", "http://127.0.0.1:9/pip-freeze.txt")
    assert drift.main(["colab", "--list", "newest"]) == 3
    assert "cannot be fetched" in capsys.readouterr().err


def test_a_list_that_is_missing(capsys):
    assert drift.main(["colab", "--list", "no such list"]) == 1
    assert "no such list" in capsys.readouterr().err


# --- the newest releases


@pytest.fixture
def newest(monkeypatch, tmp_path):
    """uv and the tests as stand-ins: what they were called with, and the exit codes that they give."""
    calls, codes = [], {"coursekit.cli": 0, "pytest": 0}

    def uv(*words, **about):
        calls.append(("uv", *map(str, words)))
        return '[{"name": "Torch", "version": "99.0"}]'

    def run(command, **about):
        calls.append(tuple(command))
        assert about["env"]["COURSEKIT_SIZE"] == "smoke"
        assert about["env"]["PATH"].startswith(str(ROOT / ".build" / "newest" / "bin"))
        return subprocess.CompletedProcess(command, codes[command[2]])

    monkeypatch.setattr(drift, "uv", uv)
    monkeypatch.setattr(drift.subprocess, "run", run)
    return calls, codes


def test_the_newest_are_installed_beside_and_tested(newest, capsys):
    calls, _ = newest
    assert drift.main(["newest", "--python", "python3.13"]) == 0
    venv, install, _, doctor, tests = calls
    assert venv[-3:] == ("--python", "python3.13", str(ROOT / ".build" / "newest"))
    assert "--upgrade" in install and install[-1] == ".[lab,grading,cluster,site,dev]"
    assert doctor[-2:] == ("coursekit.cli", "doctor") and set(TESTS) <= set(tests)
    assert re.search(r"^torch \S+ → 99.0$", capsys.readouterr().out, re.M)


@pytest.mark.parametrize("failing", ["coursekit.cli", "pytest"])
def test_one_failure_is_a_failure_and_hides_no_other(newest, failing):
    calls, codes = newest
    codes[failing] = 1
    assert drift.main(["newest"]) == 1 and len(calls) == 5


def test_newest_releases_that_cannot_be_installed(monkeypatch, capsys):
    monkeypatch.setattr(drift, "uv", lambda *words, **about: (_ for _ in ()).throw(Refused("no x")))
    assert drift.main(["newest"]) == 1
    assert capsys.readouterr().err == "Does not install: no x\n"


def test_what_is_newer_than_the_lock():
    lock = "a==1.0\nb==2.0 ; python_version < '3'\nb==3.0 ; python_version >= '3'\n"
    assert drift.newer({"a": "1.0", "b": "3.0", "c": "1"}, lock) == ["all as in the lock"]
    assert drift.newer({"a": "1.1", "b": "3.1"}, lock) == ["a 1.0 → 1.1", "b 3.0 → 3.1"]


def test_the_tests_it_runs_exist_and_do_not_hold_the_lock():
    assert [name for name in TESTS if not (ROOT / name).is_file()] == []
    assert "tests/test_environment.py" not in TESTS, "it compares the environment with the lock"


def test_every_extra_is_installed():
    assert drift._extras().split(",") == list(project()["optional-dependencies"])


def test_the_command_itself(tmp_path):
    (tmp_path / "freeze.txt").write_text(HAVE)
    command = [sys.executable, "tests/drift.py", "plain", str(tmp_path / "freeze.txt")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "torch==2.11.0+cpu\nnumpy==2.1.3\n"


def test_uv_is_the_environment_s_own(monkeypatch, tmp_path):
    python = tmp_path / "python"
    shutil.copy("/bin/echo", tmp_path / "uv")
    monkeypatch.setattr(sys, "executable", str(python))
    assert drift.uv("pip", "list") == "pip list\n"
