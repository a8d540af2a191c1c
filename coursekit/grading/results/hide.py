"""What students must not read in their feedback: the hidden tests, wherever they show."""

import html
import re

from traitlets import Bool

from coursekit.grading.engine import HIDDEN, regions
from coursekit.notebooks import quick_import

with quick_import():
    from nbconvert.preprocessors import Preprocessor

RAN = "# hidden tests ran here"
COLOURS = re.compile(r"\x1b\[[\d;]*m")
# Shorter lines, such as `return h`, say nothing and stand everywhere
SHORTEST_SECRET = 12
# Of an output: its kind, and data that is no text
KEPT = {"output_type", "name", "image/png", "image/jpeg"}


class HideTests(Preprocessor):
    """For students' feedback alone: no line of a hidden test shows, in code, outputs or errors."""

    enabled = Bool(True, help="whether nbgrader uses it").tag(config=True)

    def preprocess(self, nb, resources):
        """Hides the tests of a whole notebook; the verdicts stay."""
        inside, outside = [], []
        for cell in nb.cells:
            test = _is_test(cell)
            hidden, shown = regions(cell.source, HIDDEN) if test else ([], cell.source.split("\n"))
            inside, outside = inside + hidden, outside + shown
        lines = {line.strip() for line in inside} - {line.strip() for line in outside} - {""}
        secrets = {line for line in lines if len(line) >= SHORTEST_SECRET}
        for cell in nb.cells:
            if _is_test(cell) and HIDDEN[0] in cell.source:
                cell.source = _without_tests(cell.source)
                for out in cell.get("outputs", []):
                    _hide_frames(out, lines)
            for out in cell.get("outputs", []):
                _scrub(out, secrets)
        return nb, resources


def _is_test(cell):
    told = cell.metadata.get("nbgrader", {})
    return bool(told.get("grade") and not told.get("solution"))


def _without_tests(source):
    """A test's source with one line in place of each hidden part; one that never ends is hidden too."""
    lines, within = [], False
    for line in source.split("\n"):
        if HIDDEN[0] in line and not within:
            lines.append(line[: len(line) - len(line.lstrip())] + RAN)
        within = HIDDEN[0] in line or within
        if not within and HIDDEN[1] not in line:
            lines.append(line)
        within = within and HIDDEN[1] not in line
    return "\n".join(lines)


def _hide_frames(out, lines):
    """Takes those frames out of an error's traceback that show a hidden line."""
    if out.output_type == "error":
        frames = [COLOURS.sub("", frame) for frame in out.traceback]
        out.traceback = [frame for frame in frames if not _shows(frame, lines)] or [out.evalue]


def _shows(frame, lines):
    shown = {re.sub(r"^\s*(?:-+> *)?\d+ ?", "", line).strip() for line in frame.split("\n")}
    long = [line for line in lines if len(line) >= SHORTEST_SECRET]
    return bool(shown & lines) or any(line in frame for line in [*HIDDEN, *long])


def _scrub(out, lines):
    """Puts a word in place of every hidden line that an output shows."""
    for place in (out, out.get("data", {})):
        for key, text in place.items():
            if isinstance(text, str) and key not in KEPT:
                place[key] = _scrubbed(text, lines)
    if "traceback" in out:
        out.traceback = [_scrubbed(line, lines) for line in out.traceback]


def _scrubbed(text, lines):
    for line in lines:
        for told in (line, html.escape(line)):
            text = text.replace(told, "(hidden test)")
    return text
