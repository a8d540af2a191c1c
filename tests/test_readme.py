"""README.md and CONTRIBUTING.md tell the truth: commands run, links lead somewhere, lists are whole.

The commands of README.md run in its order, in a copy of the course, at size smoke, on a PATH that
holds the environment, git and make, and nothing else.
"""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from coursekit import cli, notebooks

ROOT = Path(__file__).resolve().parents[1]
README, CONTRIBUTING = (ROOT / name for name in ("README.md", "CONTRIBUTING.md"))
COPIED = ["course", "solutions", "assignments", "data_scripts", "docs", ".gitignore", "Makefile"]
COPIED += ["README.md", "nbgrader_config.py", "pyproject.toml", "requirements.txt"]
TOOLS = ["git", "make", "sed", "sh"]
A1 = "a1_show_and_tell"
MAX_PICTURE = 150_000
FORM, DRY, RUN = "its form alone", "make -n", "as it stands"


@dataclass
class How:
    """How a line of README is tested; `shows`: what its output holds; `leaves`: a file it leaves."""

    kind: str
    shows: str = ""
    leaves: str = ""
    adds: str = ""
    before: object = None


def hand_in(course):
    """One student hands in the assignment as it was given out, another one nothing."""
    shutil.copytree(course / "assignments" / A1, course / "submitted" / "ada" / A1)
    (course / "submitted" / "grace").mkdir()


def zip_photos(course):
    """Flickr8k's two archives with 48 photos of noise."""
    rng, names = np.random.default_rng(0), [f"{i}_ab.jpg" for i in range(48)]
    lists = {"train": names[:32], "dev": names[32:40], "test": names[40:]}
    (course / "archives").mkdir()
    with zipfile.ZipFile(course / "archives" / "Flickr8k_Dataset.zip", "w") as bundle:
        for name in names:
            with bundle.open(f"Flicker8k_Dataset/{name}", "w") as file:
                pixels = rng.integers(0, 255, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(file, "JPEG")
    with zipfile.ZipFile(course / "archives" / "Flickr8k_text.zip", "w") as bundle:
        told = [f"{name}#{k}\tA dog runs on the grass ." for name in names for k in range(5)]
        bundle.writestr("Flickr8k.token.txt", "\n".join(told))
        for split, chosen in lists.items():
            bundle.writestr(f"Flickr_8k.{split}Images.txt", "\n".join(chosen))


def take_photo(course):
    Image.new("RGB", (300, 200), "teal").save(course / "holiday.jpg")


def commit(course):
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for line in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "course"]):
        subprocess.run(["git", *line], cwd=course, check=True)


HOW = {
    "git clone ADDRESS coursekit": How(FORM, r"git clone [A-Z]+ coursekit"),
    "cd coursekit": How(FORM, "cd coursekit"),
    ". .venv/bin/activate": How(RUN),
    "make env": How(DRY, "requirements.txt -e ."),
    "make lab": How(DRY, "-m jupyterlab"),
    "make course": How(DRY, 'coursekit course --size cpu --lessons ""'),
    'make course SIZE=smoke LESSONS="00 03"': How(DRY, '--size smoke --lessons "00 03"'),
    "coursekit doctor": How(RUN, "torch "),
    f"coursekit release {A1}": How(RUN, "released: ", f"assignments/{A1}/{A1}.ipynb"),
    "git archive --format=zip --prefix=coursekit/ --output=students.zip HEAD . "
    "':(exclude)solutions' ':(exclude)tests'": How(RUN, "", "students.zip", before=commit),
    f"coursekit grade {A1} --submitted submitted": How(
        RUN, r"ada +graded 0/", f".build/class/{A1}/grades.csv", before=hand_in
    ),
    "nbgrader export --to=.build/class/marks.csv": How(RUN, "", ".build/class/marks.csv"),
    f"nbgrader generate_feedback {A1} --force": How(
        RUN, "", f".build/class/feedback/ada/{A1}/{A1}.html"
    ),
    "coursekit train show-and-tell --out runs/scenes": How(
        RUN, "fact_precision", "runs/scenes/captioner.pt"
    ),
    "coursekit evaluate runs/scenes --split unseen": How(RUN, "fact_precision"),
    "coursekit caption runs/scenes docs/scene.png": How(RUN, "docs/scene.png: "),
    "python data_scripts/flickr8k.py": How(
        RUN, "8 pictures", "data/flickr8k/Flickr8k.token.txt", "--from archives", zip_photos
    ),
    "coursekit train show-and-tell --data flickr8k --root data/flickr8k --out runs/photos": How(
        RUN, "CIDEr", "runs/photos/captioner.pt"
    ),
    "coursekit evaluate runs/photos --data flickr8k --root data/flickr8k --beam 3 --json": How(
        RUN, r'"Bleu_4": .*"beam": 3'
    ),
    "coursekit caption runs/photos holiday.jpg": How(RUN, "holiday.jpg: ", before=take_photo),
}


def shell_lines(path):
    """Every line of the ```sh blocks of a guide, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


LINES = list(dict.fromkeys(shell_lines(README)))


def needs_git():
    """Lines that cannot be tested on this machine, for want of git."""
    return [] if shutil.which("git") else [line for line in LINES if line.startswith("git archive")]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A copy of the course with this environment, as a fresh clone would be after `make env`."""
    folder = tmp_path_factory.mktemp("course") / "coursekit"
    ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignore)
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder)
    (folder / ".venv").symlink_to(sys.prefix)
    tools = folder.parent / "tools"
    tools.mkdir()
    for name in TOOLS:
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    return folder


@pytest.fixture(scope="module")
def ran(course):
    """Every line of README run in turn: {line: CompletedProcess}, output and errors together."""
    path = os.pathsep.join([str(course / ".venv" / "bin"), str(course.parent / "tools")])
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("COURSEKIT", "JAVA"))}
    environment = keep | {
        "PATH": path,
        "OMP_NUM_THREADS": "1",
        "COURSEKIT_SIZE": "smoke",
        "COURSEKIT_HOME": str(course / ".build"),
    }
    return {line: run(line, course, environment) for line in LINES if line in HOW}


def run(line, course, environment):
    how = HOW[line]
    if how.kind == FORM or line in needs_git():
        return subprocess.CompletedProcess(line, 0, stdout=line)
    if how.before:
        how.before(course)
    command = line.replace("make", "make -n", 1) if how.kind == DRY else f"{line} {how.adds}"
    together = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    return subprocess.run(
        ["sh", "-c", command], cwd=course, env=environment, text=True, timeout=300, **together
    )


@pytest.mark.parametrize("line", LINES)
def test_command_of_readme_works(ran, course, line):
    assert line in HOW, "say in HOW of this file how the line is tested"
    if line in needs_git():
        pytest.skip("NOT TESTED: there is no git here")
    how, done = HOW[line], ran[line]
    assert done.returncode == 0, done.stdout
    assert how.shows in done.stdout or re.search(how.shows, done.stdout), done.stdout
    assert (course / how.leaves).exists()


def test_every_way_of_testing_is_still_used():
    assert set(HOW) - set(LINES) == set()


def test_students_get_no_answers(ran, course):
    if needs_git():
        pytest.skip("NOT TESTED: there is no git here")
    names = zipfile.ZipFile(course / "students.zip").namelist()
    assert f"coursekit/assignments/{A1}/{A1}.ipynb" in names
    assert [name for name in names if "solutions/" in name] == []


def test_a_missing_submission_has_a_row(ran, course):
    table = (course / ".build" / "class" / A1 / "grades.csv").read_text()
    assert f"{A1},grace,nothing handed in,," in table


def named_in_passing():
    """Commands that the guides name within sentences, and the lines of CONTRIBUTING's own blocks."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (README, CONTRIBUTING))
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    inline = re.findall(r"`((?:\w+=\w+ )?(?:make|coursekit|python) [^`]+)`", prose)
    return sorted({*inline, *shell_lines(CONTRIBUTING)})


@pytest.mark.parametrize("line", named_in_passing())
def test_command_named_in_passing_exists(line):
    words = [word for word in shlex.split(line) if not re.match(r"[A-Z_]+=", word)]
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M)
    elif words[0] == "coursekit" and "--help" not in words:
        cli._parser().parse_args(words[1:])
    elif words[0] == "python" and words[1] == "-m":
        assert importlib.util.find_spec(words[2])
    elif words[0] == "python":
        assert (ROOT / words[1]).is_file()
    else:
        assert words[0] in {"coursekit", ".", "uv"}


@pytest.mark.parametrize("path", [README, CONTRIBUTING], ids=lambda p: p.name)
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings(text)}
    broken = [t for t in targets if t[0] != "#" and "://" not in t and not (ROOT / t).exists()]
    broken += [t for t in targets if t[0] == "#" and t[1:] not in anchors]
    assert broken == []


def headings(text):
    return re.findall(r"^#+ (.+)$", text, re.M)


def test_readme_asks_the_questions_of_the_lessons():
    rows = dict(
        re.findall(r"^\| \[(\d\d) \w+\]\(course/\S+\) \| (.+?) \|", README.read_text(), re.M)
    )
    asked = {}
    for text in notebooks.lesson_texts(ROOT):
        title = re.search(r"^# # (.+)$", text.read_text(encoding="utf-8"), re.M)[1]
        asked[text.name[:2]] = title.removeprefix(text.name[:2]).strip(" ·:")
    assert rows == asked


def torn_rows(text):
    """Lines of the table of lessons that are no row of number and name, question, time."""
    table = text.partition("| lesson | the question | time |\n|---|---|---|\n")[2]
    whole = re.compile(r"\| \[?\d\d \w+(\]\(\S+\))? \| (\*coming:\* )?[A-Z][^|<>]*\? \|[^|<>]*\|")
    return [line for line in table.partition("\n\n")[0].splitlines() if not whole.fullmatch(line)]


def test_table_of_lessons_has_one_whole_row_a_lesson(maker):
    text = README.read_text(encoding="utf-8")
    assert re.findall(r"^\| \[?(\d\d) ", text, re.M) == [f"{n:02}" for n in range(13)]
    assert torn_rows(text) == []
    torn = text.replace("*coming:*", f"*{maker.block(text, 'scores')}:*", 1)
    assert len(torn_rows(torn)) == 5
    assert len(torn_rows(text.replace("*coming:*", "<!-- scores -->", 1))) == 1


# --- the picture and the scores


@pytest.fixture(scope="module")
def maker():
    """data_scripts/readme_picture.py as a module."""
    spec = importlib.util.spec_from_file_location(
        "readme_picture", ROOT / "data_scripts/readme_picture.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def due(maker):
    return maker.blocks(*maker.said())


@pytest.mark.parametrize("mark", ["picture", "scores"])
def test_readme_shows_what_the_shipped_captioner_does(maker, due, mark):
    there = maker.block(README.read_text(encoding="utf-8"), mark)
    assert there == due[mark], "run python data_scripts/readme_picture.py"


def test_refreshing_twice_changes_nothing_and_only_between_the_marks(maker, due):
    text = README.read_text(encoding="utf-8")
    assert maker.refreshed(text, due) == text
    once = "coming <!-- scores: new ones -->\ncoming\n<!-- /scores --> coming"
    done = maker.refreshed(once, {"scores": r"\1 0.5"})
    assert done == "coming <!-- scores: new ones -->\n\\1 0.5\n<!-- /scores --> coming"
    assert maker.refreshed(done, {"scores": r"\1 0.5"}) == done


def test_picture_is_light_and_of_these_captions(maker, due):
    path = ROOT / maker.PICTURE
    assert path.stat().st_size < MAX_PICTURE
    with Image.open(path) as picture:
        text = picture.text["Description"]
    assert f"![{text}]({maker.PICTURE})" == due["picture"], "run data_scripts/readme_picture.py"


# --- CONTRIBUTING


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_direct_dependency_is_justified_in_one_line():
    groups = [project()["dependencies"], *project()["optional-dependencies"].values()]
    direct = {canonicalize_name(Requirement(line).name) for group in groups for line in group}
    part = CONTRIBUTING.read_text().partition("## What the course depends on")[2]
    told = re.findall(r"^\| `([\w-]+)` \| (.+) \|$", part.partition("\n## ")[0], re.M)
    assert len(told) == len(dict(told))
    assert {canonicalize_name(name) for name, _ in told} == direct
    assert all(len(why) > 20 for _, why in told)


def test_every_file_of_the_package_has_its_line():
    part = CONTRIBUTING.read_text().partition("## The house")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\| `([\w/]+\.py)` \|", part, re.M))
    package = ROOT / "coursekit"
    here = {str(path.relative_to(package)) for path in package.rglob("*.py")}
    here = {name for name in here if not name.endswith("__init__.py")}
    lessons = {name for name in here if re.match(r"checks/(lesson_|a\d)", name)}
    assert told == here - lessons
