"""SPICE (Anderson et al., 2016) by its own Java program, which comes with pycocoevalcap.

The program reads captions as scene graphs with Stanford CoreNLP 3.6.0, whose two archives are too
large to come along: `install_spice` takes them out of the file that Stanford offers.  It runs on
Java 8 to 14 only, since it writes its answer through the JavaScript engine that Java 15 dropped.
"""

import json
import subprocess
import tempfile
import zipfile
import zlib
from pathlib import Path

from coursekit.errors import CourseError, writing
from coursekit.metrics.java import find_java, java_version, package_folder
from coursekit.metrics.sums import mean_sums

MODELS_URL = "https://nlp.stanford.edu/software/stanford-corenlp-full-2015-12-09.zip"
MODELS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
NEWEST_JAVA = 14
JAR = "spice-1.0.jar"
MEMORY = "-Xmx8G"  # as pycocoevalcap runs it


def no_spice():
    """Why SPICE cannot be had on this machine, as a sentence; None if it can."""
    java = find_java()
    if java is None:
        return "SPICE needs Java, which is not installed; install a Java runtime, version 8 to 14."
    version = java_version(java)
    if version is None:
        return f"SPICE needs Java 8 to 14, and {java} does not run; install Java 8."
    if not 8 <= version <= NEWEST_JAVA:
        return (
            f"SPICE needs Java 8 to 14, and this is Java {version}; install Java 8 and set "
            "JAVA_HOME to its folder."
        )
    if any(not (_library() / name).is_file() for name in MODELS):
        return (
            "SPICE needs Stanford CoreNLP 3.6.0, which is not here; "
            "run `coursekit data spice` to fetch it (0.5 GB)."
        )
    return None


def install_spice(archive):
    """Puts CoreNLP from `archive`, the zip file of MODELS_URL, to where SPICE looks for it.

    Raises CourseError if the file is missing, no zip, damaged, or another one.
    """
    for name in MODELS:
        try:
            with zipfile.ZipFile(archive) as bundle, writing(_library() / name) as temporary:
                member = next(each for each in bundle.namelist() if each.endswith("/" + name))
                with bundle.open(member) as source, open(temporary, "wb") as target:
                    while part := source.read(1 << 20):
                        target.write(part)
        except FileNotFoundError as error:
            raise CourseError(f"There is no file {archive}; fetch {MODELS_URL} first.") from error
        except (zipfile.BadZipFile, EOFError, zlib.error, StopIteration) as error:
            raise CourseError(
                f"{archive} does not hold {name} whole; delete it and fetch {MODELS_URL} again."
            ) from error
        except OSError as error:
            raise CourseError(
                f"{_library() / name} cannot be written ({error.strerror}); make room or ask for "
                "the right to write there."
            ) from error


def spice_scores(candidates, references):
    """SPICE of tokenised captions: (mean, list of scores of each), 0 to 1.

    An F-score over the objects, attributes and relations that the caption and its references name.
    Every call parses all captions anew: minutes for a thousand pictures.
    Raises CourseError if Java or the models are missing, or the program breaks.
    """
    if reason := no_spice():
        raise CourseError(reason)
    pairs = zip(candidates, references, strict=True)
    asked = [{"image_id": i, "test": text, "refs": each} for i, (text, each) in enumerate(pairs)]
    try:
        told = {one["image_id"]: float(one["scores"]["All"]["f"]) for one in _run(asked)}
        each = [told[i] for i in range(len(asked))]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise CourseError(
            "The SPICE program broke off; check that the machine has 8 GB of memory free, "
            f"then try again. Its last words: {_last_words(error)}"
        ) from error
    return sum(each) / len(each), each


def spice_sums(candidates, references):
    """Sums of SPICE over tokenised captions; raises as `spice_scores` does."""
    return mean_sums("SPICE", spice_scores(candidates, references)[1])


def _run(asked):
    """The program's answer to a list of captions, both as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "captions.json", Path(folder) / "scores.json"
        question.write_text(json.dumps(asked), encoding="ascii")  # Java reads the locale's encoding
        command = [find_java(), MEMORY, "-jar", JAR, question, "-out", answer, "-silent"]
        subprocess.run(
            command, cwd=package_folder("spice"), check=True, capture_output=True, text=True
        )
        return json.loads(answer.read_text(encoding="utf-8"))


def _last_words(error):
    lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
    return next((line for line in lines if "rror" in line or "xception" in line), "none")


def _library():
    return package_folder("spice") / "lib"
