"""SPICE: each reason why it is not there, its models put in place, and its program's answers.

The program itself is played by a script that speaks as it does; NOT TESTED is Stanford's parser.
"""

import json
import os
import sys
import zipfile

import pytest

from coursekit.errors import CourseError
from coursekit.metrics import spice
from coursekit.metrics.captions import caption_scores, spice_scores
from coursekit.metrics.intervals import bootstrap
from coursekit.metrics.java import find_java
from coursekit.metrics.spice import MODELS, install_spice, no_spice

CANDIDATES = ["a red boat", "two dogs run", "a man"]
REFERENCES = [["a red boat sails"], ["dogs run", "two dogs run"], ["a woman"]]

# As SpiceScorer.java: reads a list, writes a list; F is here the share of common words
PROGRAM = """#!{python} -S
import json, sys
if "-version" in sys.argv:
    print('openjdk version "{version}" 2023-10-17', file=sys.stderr)
    sys.exit()
assert sys.argv[1:4] == ["-Xmx8G", "-jar", "spice-1.0.jar"], sys.argv
asked = json.load(open(sys.argv[4], encoding="ascii"))
answer = []
for one in asked:
    said, known = set(one["test"].split()), set(" ".join(one["refs"]).split())
    f = len(said & known) / max(1, len(said | known))
    answer.append({{"image_id": one["image_id"], "scores": {{"All": {{"f": f, "pr": 0.0, "re": 0.0}}}}}})
{change}
json.dump(answer, open(sys.argv[sys.argv.index("-out") + 1], "w"))
"""


@pytest.fixture
def library(monkeypatch, tmp_path):
    """An empty folder in the place of the program's own library."""
    monkeypatch.setattr(spice, "_library", lambda: tmp_path / "lib")
    return tmp_path / "lib"


@pytest.fixture
def java_that(monkeypatch, tmp_path):
    """A function that puts a script in Java's place."""

    def install(version="1.8.0_392", change="", script=None):
        program = script or PROGRAM.format(python=sys.executable, version=version, change=change)
        (tmp_path / "java").write_text(program)
        (tmp_path / "java").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.delenv("JAVA_HOME", raising=False)

    return install


@pytest.fixture
def models(library):
    library.mkdir()
    for name in MODELS:
        (library / name).write_bytes(b"jar")


def archive(path, contents):
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in contents.items():
            bundle.writestr(f"stanford-corenlp-full-2015-12-09/{name}", content)
    return path


def test_without_java(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    scores = caption_scores(CANDIDATES, REFERENCES, meteor=False, spice=None)
    assert "SPICE" not in scores and scores.missing["SPICE"] == no_spice()
    assert "needs Java, which is not installed" in no_spice()
    with pytest.raises(CourseError, match="SPICE needs Java, which is not installed"):
        caption_scores(CANDIDATES, REFERENCES, meteor=False, spice=True)


def test_the_java_of_java_home_comes_before_that_of_the_path(java_that, tmp_path, monkeypatch):
    java_that()
    assert find_java() == str(tmp_path / "java")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert find_java() == str(tmp_path / "java"), "there is none in JAVA_HOME"
    own = tmp_path / "jdk" / "bin" / "java"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert find_java() == str(own)


@pytest.mark.parametrize(
    "version, sentence",
    [
        ("1.7.0_80", "needs Java 8 to 14, and this is Java 7"),
        ("1.8.0_392", None),
        ("11.0.21", None),
        ("14.0.2", None),
        ("15", "this is Java 15; install Java 8 and set JAVA_HOME"),
        ("17.0.15", "this is Java 17"),
        ("26-ea", "this is Java 26"),
    ],
)
def test_javas(java_that, models, version, sentence):
    java_that(version)
    assert sentence in no_spice() if sentence else no_spice() is None


def test_java_that_does_not_run(java_that, models):
    java_that(script="#!/bin/sh\nexit 1\n")
    assert "does not run" in no_spice()


def test_without_models(java_that, library):
    java_that()
    assert "Stanford CoreNLP 3.6.0" in no_spice() and "coursekit data spice" in no_spice()


def test_install(java_that, library, tmp_path):
    java_that()
    install_spice(archive(tmp_path / "a.zip", {name: name for name in [*MODELS, "other.jar"]}))
    assert {file.name: file.read_text() for file in library.iterdir()} == {n: n for n in MODELS}
    assert no_spice() is None


def test_install_of_what_is_no_archive(library, tmp_path):
    with pytest.raises(CourseError, match="There is no file .*; fetch https"):
        install_spice(tmp_path / "none.zip")
    (tmp_path / "b.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(CourseError, match=f"does not hold {MODELS[0]} whole"):
        install_spice(tmp_path / "b.zip")
    half = archive(tmp_path / "c.zip", {MODELS[0]: "x" * 1000, MODELS[1]: "y" * 1000})
    half.write_bytes(half.read_bytes().replace(b"y" * 500, b"z" * 500))
    with pytest.raises(CourseError, match=f"does not hold {MODELS[1]} whole"):
        install_spice(half)
    assert not list(library.glob("*models*")) and not list(library.glob(".*"))
    with pytest.raises(CourseError, match="does not hold"):
        install_spice(archive(tmp_path / "d.zip", {MODELS[0]: "x"}))


def test_scores(java_that, models):
    java_that()
    mean, each = spice_scores(CANDIDATES, REFERENCES)
    assert each == pytest.approx([3 / 4, 1, 1 / 3]) and mean == pytest.approx(sum(each) / 3)
    scores = caption_scores(CANDIDATES, REFERENCES, meteor=False, spice=None)
    assert list(scores)[-1] == "SPICE" and scores["SPICE"] == pytest.approx(mean)
    assert list(scores.missing) == ["METEOR"]
    one = caption_scores(CANDIDATES, REFERENCES, meteor=False, spice=True, per_caption=True)
    assert one["SPICE"] == pytest.approx(each)
    interval = bootstrap(CANDIDATES, REFERENCES, meteor=False, spice=True)["SPICE"]
    assert interval.value == pytest.approx(mean) and interval.low < mean < interval.high


def test_answers_in_another_order_and_odd_text(java_that, models):
    java_that(change="answer.reverse()")
    captions = ["", "日本 の 猫", 'a "dog" \\ \n']
    assert spice_scores(captions, [["a"], ["日本 の 猫"], ["b"]])[1] == [0, 1, 0]


@pytest.mark.parametrize(
    "change",
    [
        "answer.pop()",
        "answer = {}",
        "answer[0]['scores'] = None",
        "sys.exit(1)",
        "sys.argv[-2] = 'elsewhere.json'",
    ],
)
def test_a_program_that_breaks_is_told(java_that, models, change):
    java_that(change=change)
    with pytest.raises(CourseError, match="SPICE program broke off"):
        spice_scores(CANDIDATES, REFERENCES)


def test_its_last_words(java_that, models):
    java_that(
        change="print('x\\njava.lang.OutOfMemoryError: heap\\n at y', file=sys.stderr); sys.exit(1)"
    )
    missing = caption_scores(CANDIDATES, REFERENCES, meteor=False, spice=None).missing
    assert missing["SPICE"].endswith("Its last words: java.lang.OutOfMemoryError: heap")
    json.dumps(missing)
