"""Refreshes what README.md shows of the captioner that comes with the course.

    python data_scripts/readme_picture.py

Writes docs/what_it_makes.png (the first scenes of the test split with the model's captions, false words underlined),
docs/scene.png (the first of them, to try `coursekit caption` on), and the two marked blocks of README.md: the picture
with its text for those who cannot see it, and the scores. Run it whenever the shipped weights change; a test compares.
"""

import json
import random
import re
import textwrap
from pathlib import Path

from PIL import Image

from coursekit import plots, recipes
from coursekit.datasets.scene_words import Dice, false_words
from coursekit.datasets.scenes import Scenes, claims, describe
from coursekit.errors import writing
from coursekit.metrics.captions import caption_scores
from coursekit.metrics.scenes import fact_scores
from coursekit.models.encoders import SHIPPED

ROOT = Path(__file__).resolve().parents[1]
PICTURE, SCENE = "docs/what_it_makes.png", "docs/scene.png"
SHOWN, COLUMNS = 6, 3
TITLE = "What the captioner says of six new scenes; false words are underlined"
LETTER, LINE = 5.1, 12.0  # points: a letter's width and a line's height in 8.5-point mono
LETTERS = 29
COLUMNS_OF_SCORES = {
    "BLEU-1": "Bleu_1",
    "BLEU-4": "Bleu_4",
    "CIDEr": "CIDEr",
    "true claims": "fact_precision",
    "facts told": "fact_recall",
}


def said():
    """The shown scenes and the model's caption of each: (Scenes, captions)."""
    scenes = Scenes("test", count=SHOWN)
    return scenes, recipes.shipped_captioner().caption(scenes.images(range(SHOWN)))


def alternative(scenes, captions):
    """The picture in words: every caption, and after each false word that it is one."""
    told = []
    for scene, caption in zip(scenes.scenes, captions, strict=True):
        marks = zip(caption.split(), false_words(caption, scene.facts()), strict=True)
        told.append(" ".join(f"{word} (false)" if false else word for word, false in marks))
    listed = "; ".join(f"{i}. {caption}" for i, caption in enumerate(told, 1))
    return f"{SHOWN} drawn scenes and what the model says of them: {listed}."


def draw_picture(scenes, captions, path):
    """Writes the picture, its text for those who cannot see it inside."""
    figure, grid = plots.panels(SHOWN // COLUMNS, COLUMNS, 6.9, 6.2)
    for i, axes in enumerate(grid.flat):
        axes.imshow(scenes.image(i).permute(1, 2, 0), interpolation="nearest")
        axes.axis("off")
        _write(axes, captions[i], false_words(captions[i], scenes.scenes[i].facts()))
    figure.get_layout_engine().set(hspace=0.06, h_pad=0.1)
    figure.suptitle(TITLE, x=0.01, ha="left", fontsize=11, fontweight="bold")
    notes = {"Software": None, "Description": alternative(scenes, captions)}
    with writing(path) as part:
        figure.savefig(part, dpi=150, facecolor="white", metadata=notes)


def _write(axes, caption, false):
    """A caption below a picture, letter by letter in its place, so that single words can be marked."""
    lines = textwrap.wrap(caption, LETTERS)
    axes.text(0, 0, "\n" * 5, va="top", fontsize=8.5, transform=axes.transAxes)
    marks = iter(false)
    for y, line in enumerate(lines):
        for found in re.finditer(r"\S+", line):
            wrong = next(marks)
            look = dict(color=plots.RED if wrong else plots.BLACK, family="monospace", fontsize=8.5)
            place = dict(xycoords="axes fraction", textcoords="offset points", va="top")
            offset = (LETTER * found.start(), -5 - LINE * y)
            axes.annotate(found[0], (0, 0), offset, **place, **look)
            if wrong:
                axes.annotate("_" * len(found[0]), (0, 0), offset, **place, **look)


def grammar_scores():
    """What a sixth true caption of each test scene scores against the five."""
    test = Scenes("test")
    sixth = [
        describe(scene, Dice(random.Random(f"{key}/sixth")))
        for scene, key in zip(test.scenes, test.names, strict=True)
    ]
    scores = caption_scores(sixth, test.captions, meteor=False)
    return dict(scores) | fact_scores([claims(caption) for caption in sixth], test.facts())


def scores_table():
    """The scores beside the weights, and those of the truth, as a Markdown table with two decimals."""
    kept = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))
    rows = {
        "the shipped model, 500 new scenes": kept["test"],
        "… with things in colours it never saw them in": kept["unseen"],
        "a true caption by the grammar itself": grammar_scores(),
    }
    lines = ["| | " + " | ".join(COLUMNS_OF_SCORES) + " |", "|---" * 6 + "|"]
    for name, scores in rows.items():
        figures = [f"{scores[key]:.2f}" for key in COLUMNS_OF_SCORES.values()]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def blocks(scenes, captions):
    """What belongs between the marks of README.md: {mark: text}."""
    picture = f"![{alternative(scenes, captions)}]({PICTURE})"
    return {"picture": picture, "scores": scores_table()}


def block(text, mark):
    """The text between `<!-- mark … -->` and `<!-- /mark -->`."""
    return _found(text, mark)[1]


def refreshed(text, blocks):
    """The text with each of {mark: content} between its marks; all else stays as it is."""
    for mark, content in blocks.items():
        start, end = _found(text, mark).span(1)
        text = text[:start] + content + text[end:]
    return text


def _found(text, mark):
    return re.search(rf"<!-- {mark}\b[^>]*-->\n(.*?)\n<!-- /{mark} -->", text, re.S)


def main():
    """Writes both pictures and both blocks."""
    scenes, captions = said()
    draw_picture(scenes, captions, ROOT / PICTURE)
    with writing(ROOT / SCENE) as part:
        Image.fromarray(scenes.image(0).permute(1, 2, 0).numpy()).save(part)
    readme = ROOT / "README.md"
    text = refreshed(readme.read_text(encoding="utf-8"), blocks(scenes, captions))
    with writing(readme) as part:
        part.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
