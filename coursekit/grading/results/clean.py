"""What is safe to show of an executed notebook: to the grader in Formgrader, to the student.

Both pages are drawn from the notebook that nbgrader keeps in `autograded/`.  Every part of it is
built anew from what is known to be harmless; what is not known is left out, or shown as text.
"""

import html
import math
import re
from copy import deepcopy

from traitlets import Integer

from coursekit.grading.results.markup import Markup, fenced, without_pictures
from coursekit.notebooks import quick_import

with quick_import():
    from nbformat.notebooknode import from_dict

PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")
# Escape codes of a terminal other than colours, and letters that reorder or hide text
CONTROL = re.compile(
    "\x1b(?!\\[[\\d;]{0,20}m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
IDENTIFIER = re.compile(r"[\w-]{1,64}", re.ASCII)
NBGRADER = dict(grade_id=str, checksum=str, cell_type=str, grade=bool, locked=bool, solution=bool)
NBGRADER |= dict(task=bool, schema_version=int)
MOST_TRACEBACK = 10_000  # letters
PAGE_IDS = {"notebook", "notebook-container", "toc", "statusmessage"}


def clean(notebook, **limits):
    """A notebook as it is safe to show: no script, no foreign markup, bounded outputs.

    notebook: nbformat's dict, from anyone; it stays as it is.  limits: the traits of `Clean`.
    Returns a new notebook.  Code stays word for word, and so does Markdown whose page is harmless;
    nbgrader gives the same marks before and after.
    """
    return Clean(**limits).preprocess(from_dict(deepcopy(notebook)), {})[0]


class Clean(Markup):
    """`clean` as a preprocessor of nbgrader and nbconvert."""

    most_letters = Integer(20_000, help="of text outputs of a cell").tag(config=True)
    most_picture = Integer(4_000_000, help="letters of a cell's pictures, base64").tag(config=True)
    most_outputs = Integer(60, help="outputs of a cell").tag(config=True)
    most_source = Integer(200_000, help="letters of a cell's source").tag(config=True)

    def preprocess(self, nb, resources):
        """Cleans a whole notebook."""
        cells = [cell for cell in nb.get("cells", []) if isinstance(cell, dict)]
        ids = {_metadata(cell).get("nbgrader", {}).get("grade_id") for cell in cells} - {None}
        # Formgrader finds its fields by these
        ends = ("", "-comment", "_extra_credit")
        self.taken = PAGE_IDS | {f"{key}{end}" for key in ids for end in ends}
        made = [from_dict(self.cell(cell, number)) for number, cell in enumerate(cells)]
        head = dict(metadata=_notebook_metadata(nb.get("metadata")), nbformat=4, nbformat_minor=5)
        return from_dict(head | dict(cells=_told_apart(made))), resources

    def cell(self, cell, number):
        """A cell built anew; one of unknown type is shown as text."""
        kind, source = cell.get("cell_type"), _cut(_unicode(cell.get("source")), self.most_source)
        made = dict(cell_type="markdown", metadata=_metadata(cell), source=source)
        made["id"] = cell["id"] if _identifies(cell.get("id")) else f"cell-{number}"
        if kind == "code":
            outputs = Outputs(self).all(cell.get("outputs"))
            return made | dict(cell_type="code", outputs=outputs, execution_count=_count(cell))
        if kind != "markdown":
            return made | dict(source=fenced(source))
        attached = self.attachments(cell)
        made["source"] = self.markdown(source, attached)
        return made | (dict(attachments=attached) if attached else {})

    def attachments(self, cell):
        """{name: {type: base64}} of the pictures attached to a cell."""
        found = {}
        for name, kinds in _dict(cell.get("attachments")).items():
            kept = {kind: data for kind, data in _dict(kinds).items() if kind in PICTURES}
            kept = {kind: data for kind, data in kept.items() if self.is_picture(data)}
            found |= {name: kept} if kept else {}
        return found

    def is_picture(self, data):
        """Whether this is base64 of a bearable size."""
        fits = isinstance(data, str) and 0 < len(data) <= self.most_picture
        return bool(fits and BASE64.fullmatch(data))


class Outputs:
    """Cleans the outputs of one cell, within the letters and pictures that it may show."""

    def __init__(self, limits):
        self.limits, self.letters, self.picture = limits, limits.most_letters, limits.most_picture
        self.markup = limits.most_markup

    def all(self, outputs):
        """The outputs, built anew.  What decides a mark (errors, stderr, results) always stays."""
        known = _joined(out for out in _list(outputs) if isinstance(out, dict))
        shown, rest = known[: self.limits.most_outputs], known[self.limits.most_outputs :]
        made = [self.one(out) for out in shown + [out for out in rest if _decides(out)][:3]]
        left = len(known) - len(made)
        if left:
            made.insert(len(shown), _stream(f"[{left} more outputs left out]\n"))
        return made

    def one(self, out):
        """One output of a known type."""
        kind = out["output_type"]
        if kind == "stream":
            return _stream(self.text(_text(out.get("text")), 0), out.get("name"))
        if kind == "error":
            return _error(out)
        # A result's text is a mark, where it is a number
        data = self.data(_dict(out.get("data")), 2000 if kind == "execute_result" else 0)
        made = dict(output_type=kind, data=data, metadata=_sizes(out.get("metadata"), data))
        return made | (dict(execution_count=_count(out)) if kind == "execute_result" else {})

    def text(self, text, least):
        """Text within the cell's letters; `least` letters may be shown in any case."""
        short = _cut(text, max(self.letters, least))
        self.letters = max(0, self.letters - len(short))
        return short

    def data(self, data, least):
        """The forms of one output that are known and fit; where there is none, a word for it."""
        made = {key: data[key] for key in PICTURES[:2] if self.fits(data.get(key))}
        for key, write in [("text/html", self.html), ("text/markdown", self.markdown)]:
            text = write(_text(data[key])) if key in data else ""
            made |= {key: text} if text else {}
        latex = _text(data.get("text/latex"))
        if latex and len(latex) < 10_000 and self.limits.harmless(html.escape(latex)):
            made["text/latex"] = latex
        if "text/plain" in data or not made:
            kinds = _text(", ".join(map(str, data)))[:200] or "nothing"
            plain = _text(data.get("text/plain")) or f"[{kinds} not shown]"
            made["text/plain"] = self.text(plain, least)
        return made

    def fits(self, data):
        """Whether this picture may be shown still."""
        fits = self.limits.is_picture(data) and len(data) <= self.picture
        self.picture -= len(data) if fits else 0
        return fits

    def markdown(self, source):
        """Markdown within the cell's letters."""
        return self.limits.markdown(self.text(source, 0)) if source else ""

    def html(self, source):
        """HTML without what acts, within the cell's letters and pictures; "" where it is too much."""
        letters = len(without_pictures(source))
        pictures = len(source) - letters
        if letters > self.markup or pictures > self.picture:
            return ""
        self.markup, self.picture = self.markup - letters, self.picture - pictures
        return self.limits.html(source)


def _told_apart(cells):
    """Cells no two of which have the same id."""
    used = set()
    for cell in cells:
        while cell.id in used:
            cell.id = f"{cell.id[:50]}-{len(used)}"
        used.add(cell.id)
    return cells


# --- parts of a notebook that anyone may have written -------------------------------------------
def _unicode(value):
    """A string that can be written as UTF-8, also from nbformat's list of lines."""
    value = "".join(map(str, value)) if isinstance(value, list) else value
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _text(value):
    """Text as a terminal would leave it: of a progress bar the last state, no steering codes."""
    lines = _unicode(value).replace("\r\n", "\n").split("\n")
    return CONTROL.sub("", "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines))


def _cut(text, most):
    """The beginning and the end of a text that is too long, and how much is left out."""
    if len(text) <= most:
        return text
    end = most // 4
    left = f"\n[{len(text) - most:,} letters left out]\n"
    return text[: most - end] + left + (text[-end:] if end else "")


def _stream(text, name="stdout"):
    return dict(output_type="stream", name="stderr" if name == "stderr" else "stdout", text=text)


def _error(out):
    frames = [_text(frame) for frame in _list(out.get("traceback"))]
    long = sum(map(len, frames)) > MOST_TRACEBACK
    frames = [_cut("\n".join(frames), MOST_TRACEBACK)] if long else frames
    name, said = _text(out.get("ename"))[:200], _cut(_text(out.get("evalue")), MOST_TRACEBACK)
    return dict(output_type="error", ename=name, evalue=said, traceback=frames[:100])


def _joined(outputs):
    """Outputs of known types, with streams that follow each other in one."""
    found = []
    for out in outputs:
        if out.get("output_type") not in ("stream", "error", "display_data", "execute_result"):
            continue
        last = found[-1] if found else {}
        if out["output_type"] == last.get("output_type") == "stream" and out.get(
            "name"
        ) == last.get("name"):
            last["text"].append(_unicode(out.get("text")))
        else:
            found.append(dict(out, text=[_unicode(out.get("text"))]))
    return found


def _decides(out):
    """Whether nbgrader looks at this output of a test to find its points."""
    return out["output_type"] in ("error", "execute_result") or out.get("name") == "stderr"


def _dict(value):
    return value if isinstance(value, dict) else {}


def _list(value):
    return value if isinstance(value, list) else []


def _identifies(value):
    return isinstance(value, str) and bool(IDENTIFIER.fullmatch(value))


def _count(holder):
    count = holder.get("execution_count")
    return count if type(count) is int else None


def _sizes(metadata, data):
    """Width, height and alternative text of an output's pictures: the template writes them bare."""
    found = {}
    for kind in [kind for kind in PICTURES if kind in data]:
        told = _dict(_dict(metadata).get(kind))
        sizes = {key: told[key] for key in ("width", "height") if _is_size(told.get(key))}
        alt = {"alt": _text(told["alt"])[:1000]} if isinstance(told.get("alt"), str) else {}
        found |= {kind: sizes | alt} if sizes or alt else {}
    return found


def _is_size(value):
    return type(value) in (int, float) and math.isfinite(value) and 0 < value < 10_000


def _notebook_metadata(metadata):
    kernel = _dict(_dict(metadata).get("kernelspec"))
    name = kernel["name"] if _identifies(kernel.get("name")) else "python3"
    spec = dict(name=name, display_name=_text(kernel.get("display_name"))[:100] or name)
    return dict(kernelspec=spec, language_info={"name": "python", "pygments_lexer": "ipython3"})


def _metadata(cell):
    """A cell's metadata: nbgrader's, if whole, and what the notebook's editor looks at."""
    given = _dict(cell.get("metadata"))
    made = {key: given[key] for key in ("deletable", "editable") if type(given.get(key)) is bool}
    tags = [tag for tag in _list(given.get("tags")) if _identifies(tag)][:10]
    told = {key: value for key, value in _dict(given.get("nbgrader")).items() if _known(key, value)}
    made |= {"tags": tags} if tags else {}
    return made | ({"nbgrader": told} if "grade_id" in told else {})


def _known(key, value):
    """Whether a value of nbgrader's metadata is of its type; the pages show them as they are."""
    if key == "points":
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is NBGRADER.get(key) and (not isinstance(value, str) or _identifies(value))
