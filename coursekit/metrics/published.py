"""Figures that others have published, and our own beside them.

Each figure was read in the source named, or in a later text that reprints it ("reprint").  What
could be found in neither is left out.  No two of these settings are alike: read `differs` before a
difference of a few points.
"""

from collections.abc import Mapping
from typing import NamedTuple

from coursekit.errors import CourseError
from coursekit.metrics.captions import ORDER


class Published(NamedTuple):
    """A row of somebody's table: scores 0 to 1 (CIDEr to 10), under the names of `caption_scores`."""

    system: str
    data: str
    scores: dict
    source: str
    differs: str
    status: str


BLEU = ORDER[:4]
TITLES = {f"Bleu_{n}": f"BLEU-{n}" for n in range(1, 5)} | {"ROUGE_L": "ROUGE-L"}
NIC = "Vinyals et al. 2015, arXiv 1411.4555"
XU = "Xu et al. 2015, arXiv 1502.03044, table 1"
CLIPCAP = "Mokady et al. 2021, arXiv 2111.09734"
GOOGLENET = "frozen encoder like GoogLeNet, ensemble of models, beam 20"
VGG = "frozen VGG-19, 14 × 14 places; 10,000 words"
CLIP = "CLIP encoder and GPT-2, both trained on far more data"


def _row(system, data, percent, source, differs, status="reprint", names=BLEU):
    scores = {name: value / 100 for name, value in zip(names, percent, strict=False)}
    return Published(system, data, scores, source, differs, status)


SHORT = ("Bleu_4", "METEOR", "CIDEr")
FIVE = (*BLEU, "METEOR")
ROWS = (
    _row("Show and Tell", "flickr8k", [63], f"{NIC}, table 2", GOOGLENET),
    _row("Show and Tell", "flickr8k", [63, 41, 27], XU, f"{GOOGLENET}; as Xu et al. quote it"),
    _row("Show and Tell", "flickr30k", [66], f"{NIC}, table 2", GOOGLENET, "seen"),
    _row("Show and Tell", "coco", [27.7, 23.7, 85.5], f"{NIC}, table 1", f"{GOOGLENET}; their own development set", names=SHORT),
    _row("people", "coco", [21.7, 25.2, 85.4], f"{NIC}, table 1", "a caption by one person against those of the others", names=SHORT),
    _row("people", "flickr8k", [70], f"{NIC}, table 2", "a caption by one person against those of the others"),
    _row("people", "flickr30k", [68], f"{NIC}, table 2", "a caption by one person against those of the others"),
    _row("log-bilinear (Kiros et al. 2014)", "flickr8k", [65.6, 42.4, 27.7, 17.7], XU, "as Xu et al. quote it"),
    _row("log-bilinear (Kiros et al. 2014)", "coco", [70.8, 48.9, 34.4, 24.3, 20.03], XU, "as Xu et al. quote it", names=FIVE),
    _row("Show, Attend and Tell, soft", "flickr8k", [67, 44.8, 29.9, 19.5, 18.93], XU, VGG, names=FIVE),
    _row("Show, Attend and Tell, hard", "flickr8k", [67, 45.7, 31.4, 21.3, 20.30], XU, VGG, names=FIVE),
    _row("Show, Attend and Tell, soft", "flickr30k", [66.7, 43.4, 28.8, 19.1, 18.49], XU, VGG, names=FIVE),
    _row("Show, Attend and Tell, hard", "flickr30k", [66.9, 43.9, 29.6, 19.9, 18.46], XU, VGG, names=FIVE),
    _row("Show, Attend and Tell, soft", "coco", [70.7, 49.2, 34.4, 24.3, 23.90], XU, f"{VGG}; another split than Karpathy's", names=FIVE),
    _row("Show, Attend and Tell, hard", "coco", [71.8, 50.4, 35.7, 25.0, 23.04], XU, f"{VGG}; another split than Karpathy's", names=FIVE),
    _row("sgrvinod's tutorial, beam 1", "coco", [30.3], "github.com/sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning, README", "ResNet-101, soft attention", "seen", ["Bleu_4"]),
    _row("sgrvinod's tutorial, beam 5", "coco", [33.3], "github.com/sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning, README", "ResNet-101, soft attention", "seen", ["Bleu_4"]),
    _row("neuraltalk2, beam 1", "coco", [88.6], "github.com/karpathy/neuraltalk2, README", "VGG-16, fine-tuned; one experiment, split not told", "seen", ["CIDEr"]),
    _row("neuraltalk2, beam 2", "coco", [92.2], "github.com/karpathy/neuraltalk2, README", "VGG-16, fine-tuned; one experiment, split not told", "seen", ["CIDEr"]),
    _row("ClipCap, transformer, frozen GPT-2", "coco", [33.53, 27.45, 113.08, 21.05], CLIPCAP, CLIP, names=(*SHORT, "SPICE")),
    _row("ClipCap, MLP, tuned GPT-2", "coco", [32.15, 27.1, 108.35, 20.12], CLIPCAP, CLIP, names=(*SHORT, "SPICE")),
    _row("ClipCap, MLP, tuned GPT-2", "conceptual", [26.71, 87.26, 18.5], CLIPCAP, f"{CLIP}; one reference a picture", names=("ROUGE_L", "CIDEr", "SPICE")),
    _row("CLIP prefix and GPT-2, tuned", "flickr8k", [70.0, 51.3, 37.2, 26.2, 25.7, 56.9], "github.com/Anshler/CLIP-prefix_blind-guessing, README", f"{CLIP}; a student project", "seen", (*FIVE, "ROUGE_L")),
)  # fmt: skip

# Kendall's tau-c against the experts' ratings of Flickr8k: Hessel et al. 2021, arXiv 2104.08718,
# read in a reprint.  They score each rating as an item of its own, as `judgement.tau_table` does.
TAU_C = {
    "Bleu_1": 0.323, "Bleu_4": 0.308, "ROUGE_L": 0.323, "METEOR": 0.418, "CIDEr": 0.439, "SPICE": 0.449,
    "CLIPScore": 0.512, "RefCLIPScore": 0.530,
}  # fmt: skip


def published(data=None):
    """The published rows of a data set ("flickr8k", "flickr30k", "coco", "conceptual"), or all.

    Raises CourseError for a set nobody here has figures of.
    """
    known = sorted({row.data for row in ROWS})
    if data is not None and data not in known:
        raise CourseError(
            f"There are no published figures of '{data}'; choose one of {', '.join(known)}."
        )
    return [row for row in ROWS if data in (None, row.data)]


def comparison_table(rows, data=None):
    """Our scores above the published ones of `data` (none if None), as a Markdown table, times 100.

    `rows` is system → scores as `caption_scores` or `bootstrap` give them; an Interval shows its
    ends.  Columns are the scores that any row has, the source, and what differs from ours.
    Raises CourseError if there are no rows of either kind, or scores that are no numbers.
    """
    lines = [(system, scores, "here", "") for system, scores in rows.items()]
    if data is not None:
        lines += [(r.system, r.scores, r.source, r.differs) for r in published(data)]
    if not lines or not all(isinstance(line[1], Mapping) and line[1] for line in lines):
        raise CourseError("Give rows as {'system': scores}, scores as caption_scores gives them.")
    names = [name for name in ORDER if any(name in line[1] for line in lines)]
    head = ["system", *(TITLES.get(name, name) for name in names), "source", "what differs"]
    table = [head, ["---", *("--:" for _ in names), "---", "---"]]
    for system, scores, source, differs in lines:
        cells = [_cell(scores[name]) if name in scores else "" for name in names]
        table.append([system, *cells, source, differs])
    return "\n".join("| " + " | ".join(_plain(cell) for cell in row) + " |" for row in table)


def _cell(score):
    if isinstance(score, tuple):  # an Interval
        return f"{100 * score[0]:.1f} ({100 * score[1]:.1f} to {100 * score[2]:.1f})"
    return f"{100 * score:.1f}"


def _plain(cell):
    return str(cell).replace("|", "\\|").replace("\n", " ")
