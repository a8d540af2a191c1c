"""README.md and CONTRIBUTING.md tell the truth: commands run, links lead somewhere, lists are whole.

The commands of README.md run in its order, in a copy of the course, at size smoke, on a PATH that
holds the environment, git and make, and nothing else.
"""

import importlib.util
import re
import shlex
import shutil
import tomllib
import zipfile

import numpy as np
import pytest
from guides import A1, DRY, FORM, ROOT, RUN, Guide, How, commit, copy_course, lines, shell_lines
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image, ImageDraw

from coursekit import cli, notebooks

README, CONTRIBUTING = (ROOT / name for name in ("README.md", "CONTRIBUTING.md"))
INSTRUCTOR = ROOT / "docs" / "instructor.md"
GUIDES = [README, CONTRIBUTING, INSTRUCTOR]
MAX_PICTURE = 150_000


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


def draw_digit(course):
    drawn = Image.new("RGB", (200, 260), "white")
    ImageDraw.Draw(drawn).line([(50, 50), (150, 50), (90, 220)], "black", 20)
    drawn.save(course / "mine.png")


HOW = {
    "git clone ADDRESS coursekit": How(FORM, r"git clone [A-Z]+ coursekit"),
    "cd coursekit": How(FORM, "cd coursekit"),
    ". .venv/bin/activate": How(RUN),
    "make lab": How(DRY, "-m jupyterlab"),
    "make site": How(DRY, 'course --size cpu --lessons "0 1"\n.*site/build.py --size cpu'),
    "make bench": How(DRY, "benchmarks/run.py"),
    "make notebooks": How(DRY, "coursekit.notebooks"),
    "make course": How(DRY, 'coursekit course --size cpu --lessons ""'),
    'make course SIZE=smoke LESSONS="00 03"': How(DRY, '--size smoke --lessons "00 03"'),
    "coursekit doctor": How(RUN, "torch "),
    f"coursekit release {A1}": How(RUN, "released: ", f"assignments/{A1}/{A1}.ipynb"),
    "coursekit export-students students": How(
        RUN, "none is in it", "students/README.md", before=commit
    ),
    f"coursekit grade {A1} --submitted submitted": How(
        RUN, r"ada +graded 0/", f".build/class/feedback/ada/{A1}/{A1}.html", "", hand_in, True
    ),
    f"coursekit export {A1} --to csv --out marks.csv": How(
        RUN, "marks.csv: 1 mark", "marks.csv", walls=True
    ),
    "coursekit train show-and-tell --out runs/scenes": How(
        RUN, "fact_precision", "runs/scenes/captioner.pt"
    ),
    "coursekit evaluate runs/scenes --split unseen": How(RUN, "fact_precision"),
    "coursekit caption runs/scenes docs/scene.png": How(RUN, "docs/scene.png: "),
    "coursekit train prefix --out runs/prefix": How(
        RUN, "fact_precision", "runs/prefix/captioner.pt"
    ),
    "coursekit ablate prefix --out runs/ablation": How(RUN, "95 %", "runs/ablation/cells.csv"),
    "coursekit train image-gpt --out runs/digits": How(
        RUN, "bits a pixel", "runs/digits/image_gpt.pt"
    ),
    "coursekit complete mine.png --samples 8 --out grid.png": How(
        RUN, "grid.png", "grid.png", before=draw_digit
    ),
    "coursekit probe runs/digits": How(RUN, "layer"),
    "coursekit finetune runs/digits --labels 500 --out runs/named": How(
        RUN, "kappa", "runs/named/classifier.pt"
    ),
    "coursekit report runs/named --out digits.html": How(RUN, "digits.html", "digits.html"),
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
    "coursekit data compare": How(RUN, "conceptual"),
    "coursekit train show-attend-and-tell --data flickr8k --root data/flickr8k "
    "--out runs/attention": How(RUN, "CIDEr", "runs/attention/captioner.pt"),
    "coursekit evaluate runs/attention --data flickr8k --root data/flickr8k --compare": How(
        RUN, "Show, Attend and Tell, soft"
    ),
    "coursekit gallery runs/photos runs/attention --data flickr8k --root data/flickr8k "
    "--out gallery.html": How(RUN, "written: gallery.html", "gallery.html"),
    "coursekit crossvalidate show-and-tell --folds 10 --out runs/folds": How(
        RUN, "95 % of the mean", "runs/folds/fold_10/scores.json"
    ),
}


@pytest.fixture(scope="module")
def guide(tmp_path_factory):
    """README, ready to run in a copy of the course."""
    return Guide(README, HOW, copy_course(tmp_path_factory.mktemp("course")))


@pytest.mark.parametrize("line", lines(README))
def test_command_of_readme_works(guide, line):
    guide.works(line)


@pytest.mark.parametrize(
    "line, how",
    [
        ("false", How(RUN)),
        ("echo told", How(RUN, "^other")),
        ("echo told", How(RUN, "told", "no_file")),
        ("make nothing", How(DRY)),
        ("true # another line", None),
    ],
)
def test_a_line_that_does_not_work_is_found(guide, tmp_path, line, how):
    """The test above can fail: here it would."""
    (tmp_path / "guide.md").write_text(f"# A guide\n\n```sh\n{line}\n```\n")
    bad = Guide(tmp_path / "guide.md", {line: how} if how else {}, guide.course)
    assert lines(tmp_path / "guide.md") == [line]
    with pytest.raises(AssertionError):
        bad.works(line)


def test_every_way_of_testing_is_still_used():
    assert set(HOW) - set(lines(README)) == set()


def test_students_get_no_answers(guide):
    guide.works("coursekit export-students students")
    students = guide.course / "students"
    assert (students / f"assignments/{A1}/{A1}.ipynb").is_file()
    assert not (students / "solutions").exists() and not (students / "tests").exists()


def test_a_missing_submission_has_a_row_and_no_mark(guide):
    guide.works(f"coursekit export {A1} --to csv --out marks.csv")
    table = (guide.course / "marks.csv").read_text(encoding="utf-8-sig")
    assert f"{A1},grace,nothing handed in,," in table


def named_in_passing():
    """Commands that the guides name within sentences, and the lines of CONTRIBUTING's own blocks."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in GUIDES)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    inline = re.findall(r"`((?:\w+=\w+ )?(?:make|coursekit|python) [^`]+)`", prose)
    return sorted({*inline, *shell_lines(CONTRIBUTING)})


@pytest.mark.parametrize("line", named_in_passing())
def test_command_named_in_passing_exists(line):
    words = [word for word in shlex.split(line) if not re.match(r"[A-Z_]+=", word)]
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M)
    elif words[0] == "coursekit" and len(words) > 2 and "--help" not in words:
        cli._parser().parse_args(words[1:])
    elif words[0] == "coursekit":
        with pytest.raises(SystemExit, match="^0$"):
            cli._parser().parse_args([words[1], "--help"])
    elif words[0] == "python" and words[1] == "-m":
        assert importlib.util.find_spec(words[2])
    elif words[0] == "python":
        assert (ROOT / words[1]).is_file()
    else:
        assert words[0] in {".", "uv"}


@pytest.mark.parametrize("path", GUIDES, ids=lambda p: p.name)
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings(text)}
    broken = [
        t for t in targets if t[0] != "#" and "://" not in t and not (path.parent / t).exists()
    ]
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
    whole = re.compile(r"\| \[?\d\d \w+(\]\(\S+\))? \| [A-Z][^|<>]*\? \|[^|<>]*\|")
    return [line for line in table.partition("\n\n")[0].splitlines() if not whole.fullmatch(line)]


def test_table_of_lessons_has_one_whole_row_a_lesson(maker):
    text = README.read_text(encoding="utf-8")
    assert re.findall(r"^\| \[?(\d\d) ", text, re.M) == [f"{n:02}" for n in range(13)]
    assert torn_rows(text) == []
    torn = text.replace("How few colours", f"How {maker.block(text, 'scores')}", 1)
    assert len(torn_rows(torn)) == 5
    assert len(torn_rows(text.replace("How few colours", "How <!-- scores -->", 1))) == 1


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
