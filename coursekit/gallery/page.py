"""A gallery as HTML: everything that came from a data set or a model is escaped by Jinja."""

import base64
import hashlib
from pathlib import Path

from markupsafe import Markup

from coursekit import templates

HERE = Path(__file__).parent
LONGEST = 400  # letters of a reference that are shown
SCORES = {
    "Bleu_1": "BLEU-1",
    "Bleu_4": "BLEU-4",
    "METEOR": "METEOR",
    "ROUGE_L": "ROUGE-L",
    "CIDEr": "CIDEr",
    "fact_precision": "true claims",
    "fact_recall": "facts told",
}
OF_A_CAPTION = ("Bleu_4", "METEOR", "ROUGE_L", "CIDEr")
MOST = 6  # pictures in a notebook
STRANGE = 0.5  # below this part of known words a captioner is probably among foreign pictures


def render(template, gallery):
    """A template of this folder, filled with a gallery."""
    script = (HERE / "page.js").read_text(encoding="utf-8")
    told = dict(
        gallery=gallery,
        table=_table(gallery.told),
        of_a_caption=[key for key in OF_A_CAPTION if key in gallery.told[0].each],
        scores=SCORES,
        strangers={k: part for k, part in gallery.known.items() if part < STRANGE},
        longest=LONGEST,
        most=MOST,
        script=Markup(script),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    filters = dict(two=_two, alternative=alternative, by_captioner=_by_captioner, best=_best)
    return templates.render(HERE / template, told, **filters)


def _two(number):
    return f"{number:.2f}".replace("-", "−")


def alternative(exhibit):
    """A picture for those who cannot see it: its first reference that says something."""
    said = next((one for one in exhibit.references if one.strip()), "")
    return said[:LONGEST] or f"Picture {exhibit.name}, which nobody has described"


def _by_captioner(sayings):
    """[(captioner, its sayings)], in their order."""
    labels = dict.fromkeys(saying.captioner for saying in sayings)
    return [(label, [one for one in sayings if one.captioner == label]) for label in labels]


def _best(sayings, key):
    """The largest shown score of several sayings, where it tells them apart; else None."""
    shown = {_two(saying.numbers[key]) for saying in sayings}
    return _two(max(saying.numbers[key] for saying in sayings)) if len(shown) > 1 else None


def _table(told):
    """(names, rows) of the scores of all pictures: a row is a Told and its cells (text, whether it is the best)."""
    keys = [key for key in SCORES if key in told[0].whole]
    columns = [_column([one.whole[key] for one in told]) for key in keys]
    columns.append([(str(one.distinct), False) for one in told])
    columns.append([(f"{one.words:.1f}", False) for one in told])
    names = [*(SCORES[key] for key in keys), "distinct", "words"]
    return names, list(zip(told, zip(*columns, strict=True), strict=True))


def _column(values):
    texts, top = [_two(value) for value in values], _two(max(values))
    return [(text, text == top and len(set(texts)) > 1) for text in texts]
