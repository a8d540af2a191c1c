"""METEOR (Denkowski and Lavie, 2014): matches by its own Java program, the score by its formula."""

import atexit
import os
import subprocess
import threading
from functools import cache

import numpy as np

from coursekit.errors import CourseError
from coursekit.metrics.java import find_java, package_folder
from coursekit.metrics.sums import Sums

JAR = "meteor-1.5.jar"
OPTIONS = ["-", "-", "-stdio", "-l", "en", "-norm"]  # as pycocoevalcap runs it
MEMORY = ["-Xmx512m", "-XX:+UseSerialGC"]  # what is beyond its need only fills with garbage
SEPARATOR = "|||"
STATISTICS = 23  # numbers in a line of the program
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75  # for English
WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])  # of matches by word, stem, synonym and paraphrase


def no_meteor():
    """Why METEOR cannot be had on this machine, as a sentence; None if it can."""
    if find_java() is None:
        return "METEOR needs Java, which is not installed; install a Java runtime (8 or newer)."
    return None


def meteor_scores(candidates, references):
    """METEOR of tokenised captions: (score of the whole, list of scores of each), 0 to 1.

    The first call starts Java, which takes seconds (half a minute on a loaded machine); later calls
    use the same process.  Raises CourseError if Java is missing or breaks.
    """
    _, rows, finish = meteor_sums(candidates, references)
    return float(finish(rows.sum(0))[0]), finish(rows)[:, 0].tolist()


def meteor_sums(candidates, references):
    """Sums of METEOR over tokenised captions; raises as `meteor_scores` does."""
    if reason := no_meteor():
        raise CourseError(reason)
    with _lock:
        rows = _program(os.getpid()).statistics(candidates, references)
    # A caption that equals its reference adds no chunk: the program leaves it out of the penalty
    matches = rows[:, 4:20].reshape(-1, 4, 2, 2).sum((1, 2))  # (captions, caption and reference)
    rows[(matches == rows[:, :2]).all(1) & (rows[:, 20] == 1), 20] = 0
    return Sums(("METEOR",), rows, _meteor)


def _meteor(sums):
    """Statistics (..., 23) → METEOR (..., 1), eq. 1 to 5 of the paper.

    P and R weigh matches by their kind, and content words δ against 1 - δ for function words;
    F = PR / (α P + (1 - α) R), and METEOR = F (1 - γ (chunks / matches)^β).
    """
    share = np.array([DELTA, 1 - DELTA])  # of content and of function words
    functions = sums[..., 2:4]
    lengths = DELTA * (sums[..., :2] - functions) + (1 - DELTA) * functions
    kinds = sums[..., 4:20].reshape(*sums.shape[:-1], 4, 2, 2)  # kind, content or not, side
    matches = np.einsum("...kcs,k,c->...s", kinds, WEIGHTS, share)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = np.moveaxis(matches / lengths, -1, 0)
        mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
        fragments = sums[..., 20] / sums[..., 21:23].mean(-1)
        return np.nan_to_num(mean * (1 - GAMMA * fragments**BETA))[..., None]


def start_meteor():
    """Starts Java in the background, if it is there, so that a later score need not wait for it."""
    if no_meteor() is None:
        with _lock:
            _program(os.getpid())


_lock = threading.Lock()


@cache
def _program(pid):
    """One program for each process of ours: a forked child must not share its parent's pipes."""
    return _Program()


class _Program:
    def __init__(self):
        self.process = subprocess.Popen(
            [find_java(), *MEMORY, "-jar", JAR, *OPTIONS],
            cwd=package_folder("meteor"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, encoding="utf-8",
        )  # fmt: skip
        self.owner = os.getpid()
        atexit.register(self.close)

    def statistics(self, candidates, references):
        """What the program counts of each caption, with the reference that suits it best."""
        try:
            pairs = zip(candidates, references, strict=True)
            rows = [self._statistics(*pair) for pair in pairs]
            return np.array(rows, float).reshape(len(rows), STATISTICS)
        except (OSError, ValueError) as error:
            self.close()
            _program.cache_clear()
            raise CourseError(
                "The METEOR program broke off; check with 'java -version' that Java runs and has "
                "600 MB of memory free, then try again."
            ) from error

    def _statistics(self, candidate, references):
        parts = [text.replace(SEPARATOR, " ") for text in [*references, candidate]]
        self._send(f" {SEPARATOR} ".join(["SCORE", *parts]))
        return [float(number) for number in self._receive().split()]

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
