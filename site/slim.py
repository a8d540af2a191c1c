"""Takes out of the built pages' style sheets and icon font what no page uses: most of both.

A class counts as used when its name is a word of any page or script, so too much is kept rather than too little.
"""

import logging
import re

import tinycss2
from fontTools import subset

from coursekit.errors import writing

ICONS = "_static/vendor/fontawesome/webfonts/fa-solid-900.woff2"
PARSED = dict(skip_comments=True, skip_whitespace=True)
SHEETS = ("_static/styles/*.css", "_static/mystnb.*.css")


def slim(html):
    """Slims the style sheets and the icon font in the folder of pages `html`."""
    read = [path for kind in ("html", "js") for path in html.rglob(f"*.{kind}")]
    texts = [path.read_text(encoding="utf-8") for path in read if "mathjax" not in path.parts]
    words = {word for text in texts for word in re.findall(r"[\w-]+", text)}
    sheets = [path for pattern in SHEETS for path in sorted(html.glob(pattern))]
    for path in sheets:
        rules = tinycss2.parse_stylesheet(path.read_text(encoding="utf-8"), **PARSED)
        _write(path, "".join(_kept(rules, words)).encode())
    left = "".join(path.read_text(encoding="utf-8") for path in sheets)
    _subset(html / ICONS, {ord(icon) for icon in re.findall("[\ue000-\uf8ff]", left)})


def _kept(rules, words):
    """The text of each rule that can match, without its selectors that cannot."""
    for rule in rules:
        nested = rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports")
        if rule.type == "qualified-rule":
            head = ",".join(_selectors(rule.prelude, words))
            body = tinycss2.serialize(rule.content)
        elif nested and rule.content is not None:
            inner = "".join(_kept(tinycss2.parse_rule_list(rule.content, **PARSED), words))
            head = f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}" if inner else ""
            body = inner
        else:
            yield rule.serialize()
            continue
        if head:
            yield f"{head}{{{body}}}"


def _selectors(prelude, words):
    """The selectors of a rule whose classes are all words; those within :is() or :not() are not asked for."""
    each = [[]]
    for token in prelude:
        if token == ",":
            each.append([])
        else:
            each[-1].append(token)
    for tokens in each:
        pairs = zip(tokens, tokens[1:], strict=False)
        classes = {name.value for dot, name in pairs if dot == "." and name.type == "ident"}
        if classes <= words:
            yield tinycss2.serialize(tokens)


def _subset(path, icons):
    how = subset.Options(flavor="woff2", recalc_timestamp=False, notdef_outline=True)
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    font = subset.load_font(str(path), how)
    small = subset.Subsetter(how)
    small.populate(unicodes=icons)
    small.subset(font)
    with writing(path) as part:
        subset.save_font(font, str(part), how)


def _write(path, data):
    with writing(path) as part:
        part.write_bytes(data)
