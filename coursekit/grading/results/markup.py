"""HTML and Markdown of people one does not trust: what acts is taken out, or shown as text."""

import html
import re
from collections import Counter
from functools import cache

from bleach.css_sanitizer import CSSSanitizer
from bleach.html5lib_shim import Filter
from bleach.sanitizer import Cleaner
from traitlets import Bool, Integer, List, Unicode

from coursekit.notebooks import quick_import

with quick_import():
    from nbconvert.exporters import HTMLExporter
    from nbconvert.preprocessors.sanitize import SanitizeHTML

TAGS = """a abbr b blockquote br caption center code col colgroup dd del details div dl dt em h1 h2
h3 h4 h5 h6 hr i img input ins kbd li mark ol p pre s samp small span strong sub summary sup table tbody
td tfoot th thead tr tt u ul var""".split()
# Left out with all they hold; of any other unknown tag only the tag goes, and its text stays
DROPPED = "script style template noscript iframe object embed svg math title textarea".split()
STYLES = """background-color border border-collapse color font-family font-size font-style
font-weight height max-width padding text-align text-decoration vertical-align white-space
width""".split()
ATTRIBUTES = {
    "a": "href title class".split(),
    "abbr": ["title"],
    "details": ["open"],
    "img": "src alt title width height style".split(),
    "input": "class type checked disabled".split(),
    "li": ["class"],
    "ol": ["start"],
    **{f"h{level}": ["id"] for level in range(1, 7)},
    **{tag: "colspan rowspan align valign scope style".split() for tag in ("td", "th")},
    **{tag: ["border", "class", "style"] for tag in ("table", "thead", "tbody", "tr")},
    **{tag: ["class", "style"] for tag in ("code", "div", "p", "pre", "span")},
}
BASE64 = r"[A-Za-z0-9+/=\s]*"
# A picture comes with the notebook or lies beside it: one fetched from elsewhere would tell its
# server who looks, and when.
FILE = r"(?:[\w-][\w -]*/)*[\w-][\w .-]*\.(?:png|jpe?g|gif|webp)"
# An attribute is kept where its value matches, a class or style where each of its parts does
VALUES = {
    "alt": r"[^<>]*",
    "title": r"[^<>]*",
    "href": r"(?:https?://|mailto:)[^\s<>\"'`\\]+|#[^\s<>\"]*",
    "src": rf"data:image/(?:png|jpeg|gif|webp);base64,{BASE64}|{FILE}",
    "id": r"[^\s<>\"]+",
    "class": r"highlight|dataframe|anchor-link|task-list-item(?:-checkbox)?|language-[\w+#.-]+|[a-z]\w{0,2}",
    "style": rf"\s*(?:{'|'.join(STYLES)})\s*:(?:[\w\s#%.,+-]|rgba?\([\d\s.,%]+\))+|\s*",
    "type": "checkbox",
    "width": r"[\d.]{1,6}(?:px|em|%)?",
    "height": r"[\d.]{1,6}(?:px|em|%)?",
}
WORD = r"[\w-]{1,20}"
LONGEST_VALUE = 1000
# MathJax turns these into links, styles and attributes of the page
MATH = re.compile(r"\\(?:href|url|class|style|cssId|require|html\w+)\b")
CODE = re.compile(r"<(pre|code)\b.*?</\1>", re.DOTALL)  # where MathJax does not look
KNOWN = re.compile(rf"</?(?:{'|'.join(TAGS)})(?=[\s/>])", re.IGNORECASE)
TAG = re.compile(r"<(/?)(?!(?:br|hr|img|input|col)\b)([^\s/<>]*)")
LONG_TAG = re.compile(r"<[^<>]{3000}")
DEEPEST = 300
AS_WRITTEN = "*Shown as it was written: this holds markup that is not displayed here.*"


class Markup(SanitizeHTML):
    """nbconvert's sanitizer with narrower rules: no address, name or style that acts on the page."""

    enabled = Bool(True, help="whether nbgrader uses it").tag(config=True)
    tags = List(Unicode(), default_value=TAGS)
    styles = List(Unicode(), default_value=STYLES)
    strip = Bool(True)
    most_markdown = Integer(20_000, help="letters that are rendered").tag(config=True)
    most_markup = Integer(100_000, help="letters of a cell's HTML, pictures aside").tag(config=True)
    # Ids that the page needs for itself
    taken = frozenset()
    refused = False

    def markdown(self, source, attachments=None):
        """Markdown as it is, where the page that nbconvert makes of it is harmless; else as text."""
        try:
            if len(source) <= self.most_markdown and self.harmless(_page(source, attachments)):
                return source
        except Exception as error:  # whatever a parser says to what a student wrote
            self.log.info("Markdown shown as it was written: %r", error)
        return fenced(source)

    def html(self, source):
        """HTML without what acts, or "" where it is too long or cannot be read."""
        try:
            if self.bearable(source):
                cleaned = self.sanitize_html_tags(source)
                return "" if MATH.search(html.unescape(cleaned)) else cleaned
        except Exception as error:
            self.log.info("HTML left out: %r", error)
        return ""

    def bearable(self, source):
        """Whether a parser reads this HTML in a moment: it is quadratic in depth and attributes."""
        text = without_pictures(source)
        return (
            len(text) <= self.most_markup and not LONG_TAG.search(text) and _depth(text) <= DEEPEST
        )

    def harmless(self, page):
        """Whether HTML holds nothing that the sanitizer would take out."""
        known = all(KNOWN.match(page, found.start()) for found in re.finditer("<", page))
        self.refused = False
        if known and self.bearable(page):
            self.sanitize_html_tags(page)
            return not self.refused and not MATH.search(html.unescape(CODE.sub("", page)))
        return False

    def sanitize_html_tags(self, html_str):
        """HTML with nothing but the known tags, attributes and values."""
        cleaner = Cleaner(
            tags=[*self.tags, *DROPPED],
            attributes=self.attribute,
            protocols=["http", "https", "mailto", "data"],
            strip=self.strip,
            filters=[WithoutDropped],
            css_sanitizer=CSSSanitizer(allowed_css_properties=self.styles),
        )
        return cleaner.clean(html_str)

    def attribute(self, tag, name, value):
        """Whether an attribute may stay; one that may not is remembered in `refused`."""
        stays = name in ATTRIBUTES.get(tag, ()) and _fits(name, value)
        stays = stays and not (name == "id" and html.unescape(value) in self.taken)
        self.refused |= not stays
        return stays


class WithoutDropped(Filter):
    """Leaves out the elements of DROPPED, with all that they hold, and pictures without address."""

    def __iter__(self):
        depth = 0
        for token in super().__iter__():
            dropped = token.get("name") in DROPPED
            if dropped and token["type"] == "StartTag":
                depth += 1
            elif dropped and token["type"] == "EndTag":
                depth -= 1
            elif not depth and not dropped and not _bare_picture(token):
                yield token


def _bare_picture(token):
    return token.get("name") == "img" and (None, "src") not in token["data"]


def fenced(source):
    """Text as a Markdown code block, whatever it holds."""
    longest = max(map(len, re.findall("`+", source)), default=0)
    fence = "`" * max(3, longest + 1)
    lines = re.sub(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]", "\n", source)
    return f"{AS_WRITTEN}\n\n{fence}\n{lines}\n{fence}"


def without_pictures(source):
    """HTML with its pictures' data taken out, to count what a parser has to read."""
    return re.sub(rf"(?<=;base64,){BASE64}", "", source)


def _depth(source):
    """How deep HTML nests at most, where every tag is closed."""
    depth, deepest, opened = 0, 0, Counter()
    for ends, name in TAG.findall(source.lower()):
        step = 1 if not ends else -min(1, opened[name])
        opened[name] += step
        depth += step
        deepest = max(deepest, depth)
    return deepest


def _fits(name, value):
    """Whether the whole value of an attribute is one that is known to be harmless."""
    if len(value) > LONGEST_VALUE and name != "src":
        return False
    cuts = {"class": value.split(), "style": value.split(";")}
    parts = cuts.get(name, [value] if value else [])
    return all(re.fullmatch(VALUES.get(name, WORD), part) for part in parts)


def _page(source, attachments):
    """The HTML that nbconvert, and so nbgrader, makes of a Markdown cell."""
    return _exporter().markdown2html({"cell": {"attachments": attachments or {}}}, source)


@cache
def _exporter():
    return HTMLExporter()
