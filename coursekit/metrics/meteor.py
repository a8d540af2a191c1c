"""METEOR (Denkowski and Lavie, 2014) by its own Java program, started once and kept."""

import atexit
import importlib.util
import os
import shutil
import subprocess
import threading
from functools import cache
from pathlib import Path

from coursekit.errors import CourseError

JAR = "meteor-1.5.jar"
OPTIONS = ["-", "-", "-stdio", "-l", "en", "-norm"]  # as pycocoevalcap runs it
MEMORY = ["-Xmx1G", "-XX:+UseSerialGC"]  # 0.6 GB in use, against 0.9 with the default collector
SEPARATOR = "|||"


def no_meteor():
    """Why METEOR cannot be had on this machine, as a sentence; None if it can."""
    if _java() is None:
        return "METEOR needs Java, which is not installed; install a Java runtime (8 or newer)."
    return None


def meteor_scores(candidates, references):
    """METEOR of tokenised captions: (score of the whole, list of scores of each), 0 to 1.

    The first call starts Java, which takes seconds (half a minute on a loaded machine); later calls
    use the same process.  Raises CourseError if Java is missing or breaks.
    """
    if reason := no_meteor():
        raise CourseError(reason)
    with _lock:
        return _program(os.getpid()).score(candidates, references)


def start_meteor():
    """Starts Java in the background, if it is there, so that a later score need not wait for it."""
    if no_meteor() is None:
        with _lock:
            _program(os.getpid())


_lock = threading.Lock()


def _java():
    home = os.environ.get("JAVA_HOME")
    return home and shutil.which("java", path=os.path.join(home, "bin")) or shutil.which("java")


@cache
def _program(pid):
    """One program for each process of ours: a forked child must not share its parent's pipes."""
    return _Program()


class _Program:
    def __init__(self):
        found = importlib.util.find_spec("pycocoevalcap")
        folder = Path(found.submodule_search_locations[0]) / "meteor"
        self.process = subprocess.Popen(
            [_java(), *MEMORY, "-jar", JAR, *OPTIONS],
            cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )  # fmt: skip
        self.owner = os.getpid()
        atexit.register(self.close)

    def score(self, candidates, references):
        try:
            pairs = zip(candidates, references, strict=True)
            statistics = [self._statistics(*pair) for pair in pairs]
            self._send(f" {SEPARATOR} ".join(["EVAL", *statistics]))
            each = [float(self._receive()) for _ in candidates]
            return float(self._receive()), each
        except (OSError, ValueError) as error:
            self.close()
            _program.cache_clear()
            raise CourseError(
                "The METEOR program broke off; check with 'java -version' that Java runs and has "
                "1 GB of memory free, then try again."
            ) from error

    def _statistics(self, candidate, references):
        parts = [text.replace(SEPARATOR, " ") for text in [*references, candidate]]
        self._send(f" {SEPARATOR} ".join(["SCORE", *parts]))
        return self._receive()

    def _send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _receive(self):
        line = self.process.stdout.readline()
        if not line:
            raise OSError("no answer")
        return line.strip()

    def close(self):
        """Ends the program; a process forked from the owner leaves it alone."""
        atexit.unregister(self.close)
        if os.getpid() != self.owner:
            return
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:  # what was still unsent is of no use
                pass
