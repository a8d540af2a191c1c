"""What a hostile notebook may show: nothing that acts. And what an honest one shows: all of it."""

import base64
import html
import json
import re
import shutil
import time
from collections import Counter
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path

import nbgrader.server_extensions.formgrader as formgrader
import pytest
from bs4 import BeautifulSoup
from nbconvert.exporters import HTMLExporter
from nbformat import validate
from nbformat.notebooknode import from_dict
from nbgrader.utils import compute_checksum, determine_grade
from traitlets.config import Config

from coursekit.grading.results.clean import clean
from coursekit.grading.results.hide import RAN, HideTests
from coursekit.grading.results.markup import AS_WRITTEN
from coursekit.notebooks import assignment_texts, lesson_texts, load, notebook_path
from coursekit.plots import charts

ROOT = Path(__file__).resolve().parents[1]
FORMGRADER = Path(formgrader.__file__).parent
CSS = FORMGRADER / "static" / "node_modules" / "bootstrap" / "dist" / "css"


def hide_tests(executed):
    return HideTests().preprocess(from_dict(deepcopy(executed)), {})[0]


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()
HACK = "window.hacked=1"
PAGE = f"<html><script>{HACK}</script></html>"
ENCODED = base64.b64encode(PAGE.encode()).decode()
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" onload="{HACK}"><script>{HACK}</script></svg>'
ESCAPES = "\x1b[31m<script>window.hacked=1</script>\x1b[0m\x1b]8;;javascript:x\x07link\x1b]8;;\x07"
# The well-known ways to make markup act
MARKUP = f"""\
<script>{HACK}</script>
<SCRIPT SRC=data:text/javascript,{HACK}></SCRIPT>
<scr<script>ipt>{HACK}</scr</script>ipt>
<script/x>{HACK}</script >
<<script>{HACK}//<</script>
<img src=x onerror={HACK}>
<img src="x" onerror = "{HACK}" >
<img/src=x/onerror={HACK}>
<img src=`x`onerror={HACK}>
<IMG \"\"\"><SCRIPT>{HACK}</SCRIPT>">
<img src=x alt="a" alt="" onerror="{HACK}" onerror="">
<img src="data:image/svg+xml;base64,{base64.b64encode(SVG.encode()).decode()}" onload="{HACK}">
<body onload={HACK}>
<svg onload={HACK}>
<svg><script>{HACK}</script></svg>
<svg><style><img src=x onerror={HACK}></style></svg>
<svg><a xlink:href="javascript:{HACK}"><text y=20>click</text></a></svg>
<svg><animate onbegin={HACK} attributeName=x dur=1s>
<svg><foreignObject><iframe srcdoc="&lt;script&gt;parent.{HACK}&lt;/script&gt;"></foreignObject></svg>
<math><mtext><table><mglyph><style><img src=x onerror={HACK}></style></mglyph></table></mtext></math>
<math href="javascript:{HACK}">click</math>
<iframe src="javascript:parent.{HACK}"></iframe>
<iframe srcdoc="<script>parent.{HACK}</script>"></iframe>
<iframe src="data:text/html;base64,{ENCODED}"></iframe>
<object data="data:text/html;base64,{ENCODED}"></object>
<embed src="data:image/svg+xml;base64,{base64.b64encode(SVG.encode()).decode()}">
<meta http-equiv="refresh" content="0;url=javascript:{HACK}">
<meta http-equiv="refresh" content="0;url=https://example.org/">
<base href="javascript:{HACK}//">
<link rel=stylesheet href="https://example.org/x.css">
<style>@import url(https://example.org/x.css); body {{background: url(javascript:{HACK})}}</style>
<style>.score {{ display: none }}</style>
<div style="background-image: url(https://example.org/x.png)">x</div>
<div style="width: expression({HACK})">x</div>
<div style="position:fixed;top:0;left:0;width:100%;height:100%">x</div>
<a href="javascript:{HACK}">click</a>
<a href="JaVaScRiPt:{HACK}">click</a>
<a href="java&#x09;script:{HACK}">click</a>
<a href="&#106;avascript&colon;{HACK}">click</a>
<a href=" javascript:{HACK}">click</a>
<a href="\x01javascript:{HACK}">click</a>
<a href="vbscript:{HACK}">click</a>
<a href="data:text/html;base64,{ENCODED}">click</a>
<a href="report.html">click</a>
<a href="//example.org">click</a>
<a href="https://example.org" onclick="{HACK}" target=_top>click</a>
<form action="javascript:{HACK}"><button>go</button></form>
<button formaction="javascript:{HACK}" form=x>go</button>
<input autofocus onfocus={HACK}>
<select onfocus={HACK} autofocus><option>x</select>
<textarea onfocus={HACK} autofocus></textarea>
<details open ontoggle={HACK}>x</details>
<video><source onerror={HACK}></video>
<audio src=x onerror={HACK}></audio>
<marquee onstart={HACK}>x</marquee>
<keygen autofocus onfocus={HACK}>
<p onmouseover={HACK}>x</p>
<p id=statusmessage class="score mark-graded">x</p>
<noscript><p title="</noscript><img src=x onerror={HACK}>"></noscript>
<template><script>{HACK}</script></template>
<title><script>{HACK}</script></title>
<xmp><script>{HACK}</script></xmp>
<plaintext><script>{HACK}</script>
<!--><img src=x onerror={HACK}>-->
<!--[if gte IE 4]><script>{HACK}</script><![endif]-->
<![CDATA[<script>{HACK}</script>]]>
<?xml version="1.0"?><script>{HACK}</script>
<script type="text/x-mathjax-config">{HACK}</script>
<script type="math/tex">\\href{{javascript:{HACK}}}{{x}}</script>
<isindex type=image src=x onerror={HACK}>
<img src="https://example.org/seen.png">
<img src="/logout">
<img src="../../../logout">
<table background="javascript:{HACK}"><tr><td background="javascript:{HACK}">x</table>
<div class="panel nbgrader_cell"><input class="score tabbable" id="task_open"></div>
</div></div></div></body></html><script>{HACK}</script>
$\\href{{javascript:{HACK}}}{{x}}$
""".splitlines()
ONLY_MARKDOWN = f"""\
[click](javascript:{HACK})
[click](<java
script:{HACK}>)
[click]( javascript:{HACK} "title")
[click](data:text/html;base64,{ENCODED})
[click](report.html)
![x](x"onerror="{HACK})
![x" onerror="{HACK}](x.png)
![x](https://example.org/seen.png)
![x](attachment:missing.png)
![x](attachment:page.svg)
<javascript:{HACK}>
```mermaid
```python" onmouseover="{HACK}
`<script>`<script>{HACK}</script>
~~~{{=html}}
> <script>{HACK}</script>
| <script>{HACK}</script> |
$<script>{HACK}</script>$
$$ </p><script>{HACK}</script> $$
\\begin{{a}}<script>{HACK}</script>\\end{{a}}
# <script>{HACK}</script>
# task_open
# notebook
&lt;b&gt; <b onclick={HACK}>
""".splitlines()
ONLY_MARKDOWN += [
    f"```mermaid\n<img src=x onerror={HACK}>\n```",
    f"[click][1]\n\n[1]: javascript:{HACK}",
    f"````\n```\n````\n<script>{HACK}</script>",
    f"```\n`````\n<script>{HACK}</script>",
    "`" * 30 + f"\n<script>{HACK}</script>",
]
EVERY = "text/html text/markdown text/latex image/svg+xml application/javascript text/javascript"


def cell(source="", kind="code", outputs=(), **more):
    made = dict(cell_type=kind, id=more.pop("id", "one"), metadata={}, source=source)
    made |= dict(outputs=list(outputs), execution_count=1) if kind == "code" else {}
    return made | more


def notebook(*cells, **metadata):
    return dict(cells=list(cells), metadata=metadata, nbformat=4, nbformat_minor=5)


def shown(kind="display_data", metadata=None, **data):
    return dict(output_type=kind, data=data.pop("data", data), metadata=metadata or {})


def test_cell(source, outputs=(), key="task_open", **more):
    told = dict(grade=True, locked=True, solution=False, task=False, schema_version=3, points=2)
    return cell(source, outputs=outputs, metadata={"nbgrader": told | dict(grade_id=key)}, **more)


test_cell.__test__ = False


def hostile():
    """A notebook with every vector in every place that a page is made from."""
    cells = [cell(line, "markdown") for line in MARKUP + ONLY_MARKDOWN]
    cells += [cell(line, "raw", metadata={"raw_mimetype": "text/html"}) for line in MARKUP]
    cells += [cell(line, "raw") for line in MARKUP[:3]] + [cell(MARKUP[0], "heading")]
    for line in MARKUP:
        outs = [shown(data={kind: line}) for kind in EVERY.split()]
        cells.append(cell(line, outputs=outs))
    outs = [shown(data={"text/markdown": line}) for line in ONLY_MARKDOWN]
    outs += [
        dict(output_type="stream", name="stdout", text="\n".join(MARKUP)),
        dict(output_type="stream", name="stderr", text=ESCAPES),
        dict(
            output_type="error", ename=MARKUP[0], evalue=MARKUP[0], traceback=[ESCAPES, MARKUP[5]]
        ),
        shown(data={"text/html": PAGE}, metadata={"text/html": {"isolated": True}}),
        shown(data={"image/png": f'" onerror="{HACK}" x="'}),
        shown(data={"image/png": PNG}, metadata={"image/png": {"width": f"1 onload={HACK}"}}),
        shown(data={"image/png": PNG}, metadata={"width": f"1 onload={HACK}"}),
        shown(data={"image/png": PNG}, metadata={"filenames": {"image/png": "/etc/passwd"}}),
        shown(data={"application/vnd.jupyter.widget-view+json": {"model_id": "x"}}),
        shown(data={"application/vnd.plotly.v1+json": {"a": "</script>" + MARKUP[0]}}),
        shown(data={f"text/{MARKUP[5]}": "x"}),
        dict(output_type="unheard", data={"text/html": MARKUP[0]}),
    ]
    cells.append(cell("x", outputs=outs[: len(outs) // 2]))
    cells.append(cell("x", outputs=outs[len(outs) // 2 :]))
    cells += [test_cell("x"), test_cell("x", key="scored", id="two")]
    cells.append(cell("x", execution_count=MARKUP[0]))
    cells.append(cell("x", id=f'"><img src=x onerror={HACK}>'))
    cells.append(cell("x", metadata={"tags": [f'"><img src=x onerror={HACK}>', "student"]}))
    picture = {"image/svg+xml": base64.b64encode(SVG.encode()).decode(), "text/html": ENCODED}
    cells.append(cell("![x](attachment:a.svg)", "markdown", attachments={"a.svg": picture}))
    bad = dict(grade=True, solution=True, points=f"<script>{HACK}</script>", comment=MARKUP[0])
    bad |= dict(grade_id=f'"><script>{HACK}</script>', task=MARKUP[0])
    for kind in ("code", "markdown"):
        cells.append(cell("x", kind, metadata={"nbgrader": bad}))
        cells.append(cell("x", kind, metadata={"nbgrader": bad | {"grade_id": "fine"}}))
    return notebook(
        *cells,
        widgets={"application/vnd.jupyter.widget-state+json": {"x": f"</script>{MARKUP[0]}"}},
        language_info={"name": f'"><script>{HACK}</script>', "pygments_lexer": MARKUP[0]},
        kernelspec={"name": MARKUP[0], "display_name": MARKUP[0]},
        title=f"</title>{MARKUP[0]}",
    )


def exporter(template):
    """An exporter as nbgrader sets it up for feedback, and for Formgrader."""
    settings = Config()
    settings.HTMLExporter.template_name = template
    settings.HTMLExporter.extra_template_basedirs = [str(FORMGRADER / "templates")]
    settings.HTMLExporter.extra_template_paths = [str(CSS)]
    return HTMLExporter(config=settings)


def page(content, template="feedback"):
    """A notebook as nbgrader's own template shows it."""
    told = dict(score=1, max_score=2, late_penalty=0, notebook="a1", student="s")
    resources = dict(nbgrader=told, base_url="", notebook_id="a1", submission_id="x", index=0)
    resources |= dict(total=1, assignment_id="a1", student="s", notebook_path="x")
    graded = from_dict(json.loads(json.dumps(content)))
    for one in graded.cells:  # as nbgrader's GetGrades does
        if one.metadata.get("nbgrader", {}).get("grade"):
            one.metadata.nbgrader |= dict(score=1.0, points=2.0)
    return exporter(template).from_notebook_node(graded, resources)[0]


class Tags(HTMLParser):
    """Every start tag of a page with its attributes, as Python's own parser sees them."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, tuple(attributes)))


def tags(text):
    """The page's tags as two parsers see them, with their attributes."""
    soup = BeautifulSoup(text, "html.parser", multi_valued_attributes=None).find_all(True)
    return Counter(Tags(text).found + [(one.name, tuple(one.attrs.items())) for one in soup])


def acts(tag, attributes):
    """Why a tag is dangerous or disturbs the page, or ""."""
    told = [f"{tag} {name}={value}" for name, value in attributes if bad(name, value or "")]
    return f"<{tag}>" if tag not in SAFE else "".join(told)


def bad(name, value):
    flat = "".join(value.split()).lower()
    if name in ("href", "src", "data"):
        fine = ("https://", "#", "mailto:") if name == "href" else ("data:image/png;", "x.png")
        return bool(flat) and not flat.startswith(fine)
    if name == "style":
        return any(word in flat for word in ("url(", "expression", "position"))
    own = dict(id=("task_open", "notebook", "statusmessage"), **{"class": ("score", "tabbable")})
    return name[:2] == "on" or name in FOREIGN or bool(set(value.split()) & set(own.get(name, ())))


SAFE = set(
    """a b blockquote br code details div em h1 h2 h3 hr img input li ol p pre span strong table
    tbody td th thead tr u ul""".split()
)
FOREIGN = ("srcdoc", "formaction", "background", "xlink:href", "action", "target")


def dangers(content, template="feedback"):
    """What a notebook's page holds beyond what the same cells hold with nothing in them."""
    empty = [
        dict(one, source="x", **{"outputs": []} if "outputs" in one else {})
        for one in content["cells"]
    ]
    own = tags(page(content, template)) - tags(page(dict(content, cells=empty), template))
    return sorted({told for tag, attributes in own if (told := acts(tag, attributes))})


TEMPLATES = ["feedback", "formgrade"]


@pytest.fixture(scope="module")
def cleaned():
    return clean(hostile())


@pytest.mark.parametrize("template", TEMPLATES)
def test_nothing_of_a_hostile_notebook_acts(cleaned, template):
    assert dangers(cleaned, template) == []


def test_mathjax_finds_no_link_to_make(cleaned):
    """It reads all text but that of <pre> and <code>."""
    soup = BeautifulSoup(page(cleaned), "html.parser")
    for one in soup.find_all(["pre", "code"]):
        one.decompose()
    assert "\\href" not in soup.get_text() and "[text/latex" not in soup.get_text()
    assert (
        "\\href" in BeautifulSoup(page(notebook(cell(MARKUP[-1], "markdown"))), "html.parser").text
    )


@pytest.mark.filterwarnings("ignore::bs4.XMLParsedAsHTMLWarning")
def test_each_vector_is_hostile_where_it_is_not_cleaned():
    """The test above can fail: nbgrader shows an output's HTML as it is, and each of these acts."""
    elsewhere = ("$", "<!--", "<![CDATA")  # MathJax, and what only browsers take for markup
    lines = [line for line in MARKUP if not line.startswith(elsewhere)]
    assert [line for line in lines if not any(acts(*tag) for tag in tags(line))] == []
    width = shown(data={"image/png": PNG}, metadata={"image/png": {"width": f"1 onload={HACK}"}})
    for bare in [cell(outputs=[shown(data={"text/html": PAGE})]), cell(outputs=[width])]:
        assert dangers(notebook(bare))
    assert dangers(notebook(cell(ONLY_MARKDOWN[-5], "markdown")))


def test_a_cleaned_notebook_is_valid_and_cleaning_it_again_changes_nothing(cleaned):
    validate(cleaned)
    assert clean(cleaned) == cleaned
    json.dumps(cleaned, ensure_ascii=False).encode()


def test_the_given_notebook_stays_as_it_was():
    given = hostile()
    clean(given)
    assert given == hostile()


# --- honest work is all there -------------------------------------------------------------------
HONEST = """\
# Reading the failures

## What's $\\alpha$ & "b" in `c`? (50 %)

*Colour* and **size** are wrong most often: `a < b && c > d`, $x_1 < y$ and

$$ \\frac{1}{2} \\sum_i x_i $$

1. count (`0.81`), see [the paper](https://arxiv.org/abs/1411.4555?a=1&b=2) and [above](#reading)
2. place<br>*(0.77)*

- [x] done

> quoted, "so" it's 2 < 3

| kind | share |
|:-----|------:|
| size |  0.5  |

```python
for word in words: print(f"<b>{word}</b>")
```

<details><summary>More</summary>

~~no~~ <sub>x</sub> <span style="color: #D55E00">red</span> ![a plot](plot.png) ![mine](attachment:me.png)

</details>
"""
PANDAS = """\
<div>
<style scoped>
    .dataframe tbody tr th:only-of-type {
        vertical-align: middle;
    }
</style>
<table border="1" class="dataframe">
  <thead>
    <tr style="text-align: right;">
      <th></th>
      <th>kind &lt;b&gt;</th>
    </tr>
  </thead>
  <tbody>
    <tr>
      <th>0</th>
      <td>&amp; 0.5</td>
    </tr>
  </tbody>
</table>
</div>"""


def test_honest_markdown_stays_word_for_word():
    mine = {"me.png": {"image/png": PNG}}
    made = clean(notebook(cell(HONEST, "markdown", attachments=mine))).cells[0]
    assert made.source == HONEST and made.attachments == mine
    assert "data:image/png;base64" in page(notebook(made))


@pytest.mark.parametrize(
    "text", lesson_texts(ROOT) + assignment_texts(ROOT), ids=lambda text: text.stem
)
def test_the_courses_own_texts_stay_word_for_word(text):
    """But for the badges of lessons, pictures that a network has to bring: assignments have words there."""
    given = load(notebook_path(text))
    if text.parent.name == "course":
        title = given["cells"][0]
        title["source"] = re.sub(r"^\[!\[.*\n\n", "", title["source"], flags=re.M)
    made = clean(given).cells
    assert [one.source for one in made] == [one["source"] for one in given["cells"]]


def test_markdown_that_acts_is_shown_as_it_was_written():
    source = "Now\n```\nx\n```\n<script>alert(1)</script>"
    made = clean(notebook(cell(source, "markdown"))).cells[0]
    assert made.source == f"{AS_WRITTEN}\n\n````\n{source}\n````"
    text = BeautifulSoup(page(notebook(made)), "html.parser").find("pre").text
    assert text.strip() == source


def test_tables_of_pandas_keep_their_cells_and_lose_their_style():
    data = {"text/html": PANDAS, "text/plain": "0  0.5"}
    made = clean(notebook(cell(outputs=[shown("execute_result", data=data)]))).cells[0].outputs[0]
    soup = BeautifulSoup(made.data["text/html"], "html.parser")
    assert [one.text for one in soup.select("th, td")] == ["", "kind <b>", "0", "& 0.5"]
    assert soup.table["class"] == ["dataframe"] and "middle" not in soup.text
    assert made.data["text/plain"] == "0  0.5"


def test_pictures_formulas_and_figures_of_the_course_stay():
    from coursekit import plots

    figure = charts._as_html(plots.bars({"a": 1, "b": 2}, "Title", "x"), "two bars")
    data = {"image/png": PNG, "image/jpeg": PNG, "text/latex": "$\\frac{a}{b} < 1$"}
    sized = {"image/png": {"width": 640, "height": 480.0, "alt": "a <plot>"}}
    outs = [shown(data=data, metadata=sized), shown(data={"text/html": figure, "text/plain": "f"})]
    first, second = clean(notebook(cell(outputs=outs))).cells[0].outputs
    assert first.data == data and first.metadata == sized
    image, given = (
        BeautifulSoup(text, "html.parser").img for text in (second.data["text/html"], figure)
    )
    assert (image["src"], image["alt"]) == (given["src"], given["alt"])
    assert image["style"].replace(" ", "").rstrip(";") == given["style"]


def test_progress_bars_are_text_in_their_last_state():
    steps = "".join(f"\r{i:3}%|{'#' * (i // 10)}" for i in range(0, 101, 10))
    bar = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "  0%|   |"}
    outs = [dict(output_type="stream", name="stderr", text=part) for part in (steps, "\nend\r\n")]
    stream, widget = clean(notebook(cell(outputs=[*outs, shown(data=bar)]))).cells[0].outputs
    assert stream.text == "100%|##########\nend\n" and stream.name == "stderr"
    assert widget.data == {"text/plain": "  0%|   |"}


def test_tracebacks_keep_their_colours_and_nothing_else_of_a_terminal():
    frames = ["\x1b[0;31mValueError\x1b[0m  Traceback", "line \x1b[2J\x1b]0;title\x07\u202e3"]
    error = dict(output_type="error", ename="ValueError", evalue="no", traceback=frames)
    made = clean(notebook(cell(outputs=[error]))).cells[0].outputs[0]
    assert made.traceback == ["\x1b[0;31mValueError\x1b[0m  Traceback", "line [2J]0;title3"]


def test_code_stays_word_for_word():
    source = "x = '<script>'  # \u202e \x0c\n" + "y = 1\n" * 5
    assert clean(notebook(cell(source))).cells[0].source == source


def test_what_cannot_be_shown_is_named():
    made = clean(notebook(cell(outputs=[shown(data={"image/svg+xml": SVG})]))).cells[0]
    assert made.outputs[0].data == {"text/plain": "[image/svg+xml not shown]"}


def test_raw_cells_are_shown_as_text_and_pictures_that_are_none_are_not_shown():
    made = clean(notebook(cell("*a* b", "raw"), cell(outputs=[shown(data={"image/png": "a b<"})])))
    assert (made.cells[0].cell_type, made.cells[0].source) == (
        "markdown",
        f"{AS_WRITTEN}\n\n```\n*a* b\n```",
    )
    assert made.cells[1].outputs[0].data == {"text/plain": "[image/png not shown]"}


# --- bounds, and notebooks that are none --------------------------------------------------------
def test_outputs_of_a_cell_are_bounded():
    outs = [dict(output_type="stream", name="stdout", text="a" * 10**5 + "the end")]
    outs += [shown(data={"text/plain": "b" * 10**5, "text/html": "c" * 10**5}) for _ in range(200)]
    outs += [shown(data={"image/png": "A" * 3_000_000}) for _ in range(3)]
    made = clean(notebook(cell(outputs=outs))).cells[0]
    assert len(json.dumps(made)) < 150_000 and len(made.outputs) == 61
    assert made.outputs[0].text.endswith("the end") and "letters left out" in made.outputs[0].text
    assert made.outputs[-1].text == "[144 more outputs left out]\n"
    pictures = clean(notebook(cell(outputs=outs[-3:]))).cells[0].outputs
    assert [list(one.data) for one in pictures] == [["image/png"], ["text/plain"], ["text/plain"]]


@pytest.mark.parametrize(
    "markup", ["<div>" * 30_000, "<ul><li></b></b>" * 6_000, "<b " + "a=1 " * 20_000 + ">"]
)
def test_markup_that_would_take_hours_to_read_is_left_out(markup):
    made = clean(notebook(cell(outputs=[shown(data={"text/html": markup, "text/plain": "x"})])))
    assert made.cells[0].outputs[0].data == {"text/plain": "x"}
    assert clean(notebook(cell(markup, "markdown"))).cells[0].source.startswith(AS_WRITTEN)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"cells": []},
        {"cells": [None, 3, [], {}], "metadata": 3},
        {"cells": [{"cell_type": "code", "outputs": 3, "metadata": [], "source": 5, "id": {}}]},
        {"cells": [{"cell_type": "code", "outputs": [None, {}, {"output_type": "stream"}]}]},
        {"cells": [{"cell_type": "code", "outputs": [{"output_type": "display_data", "data": 3}]}]},
        {"cells": [{"cell_type": "code", "outputs": [{"output_type": "error", "traceback": 3}]}]},
        {"cells": [{"cell_type": "markdown", "source": ["a", 1], "attachments": {"a": [1]}}]},
        {"cells": [{"cell_type": "markdown", "source": "\ud800", "id": "a"}] * 2},
        {"cells": [{"cell_type": "code", "metadata": {"tags": 3, "nbgrader": {"grade_id": 3}}}]},
        {"cells": [{"cell_type": {}, "source": "x"}], "metadata": {"kernelspec": 3}},
    ],
)
def test_any_broken_notebook_becomes_a_valid_one(broken):
    made = clean(broken)
    validate(made)
    json.dumps(made, ensure_ascii=False).encode()
    page(made)


# --- marks --------------------------------------------------------------------------------------
def result(value):
    return shown("execute_result", data={"text/plain": value})


FLOOD = [dict(output_type="stream", name="stdout", text="x" * 50_000)]
FLOOD += [shown(data={"text/plain": "y" * 9000}) for _ in range(100)]
ERROR = dict(output_type="error", ename="E", evalue="no", traceback=["x" * 50_000] * 3)


@pytest.mark.parametrize(
    "outputs, points",
    [
        ([], 2),
        ([ERROR], 0),
        ([*FLOOD, ERROR], 0),
        ([*FLOOD, dict(output_type="stream", name="stderr", text="careful")], 0),
        ([*FLOOD, dict(output_type="stream", name="stderr", text="z" * 50_000)], 0),
        ([*FLOOD, result("1.5")], 1.5),
        ([result("1.5"), ERROR], 1.5),
        ([*FLOOD, result("0.5"), ERROR], 0.5),
        ([*FLOOD, ERROR, result("0.5")], 0),
        ([result("'a long text'")], 2),
    ],
)
def test_marks_are_those_before_cleaning(outputs, points):
    given = from_dict(test_cell("check", outputs))
    assert determine_grade(given)[0] == points
    assert determine_grade(clean(notebook(given)).cells[0])[0] == points


def test_an_unchanged_written_answer_is_still_seen_as_unchanged():
    told = dict(grade=True, locked=False, solution=True, task=False, schema_version=3, points=4)
    told |= dict(grade_id="explain", checksum="")
    given = from_dict(cell("*Write* your answer < here.", "markdown", metadata={"nbgrader": told}))
    given.metadata.nbgrader.checksum = compute_checksum(given)
    assert determine_grade(clean(notebook(given)).cells[0]) == (0, 4)


# --- hidden tests -------------------------------------------------------------------------------
HIDING = """\
check_open(double)
### BEGIN HIDDEN TESTS
secret_value = 1.5
assert double(secret_value) == 3.0, "double must keep fractions"
### END HIDDEN TESTS
print("done")"""
IN_A_FUNCTION = """\
def more(double):
    ### BEGIN HIDDEN TESTS
    for secret_number in (7, 11):
        y = 1
        assert double(secret_number) == 2 * secret_number
    ### END HIDDEN TESTS
    return y

more(double)"""
STUDENT = "def double(x):\n    if x == 11:\n        raise KeyError('mine')\n    return 2 * int(x)"


@pytest.fixture(scope="module")
def executed():
    """A notebook that a kernel ran, so that its tracebacks are IPython's own."""
    from nbclient import NotebookClient

    check = "def check_open(f):\n    assert f(2) == 4"
    cells = [cell(check), cell(STUDENT), test_cell(HIDING), test_cell(IN_A_FUNCTION, key="two")]
    cells += [cell("double(11)")]
    nb = from_dict(notebook(*[one | {"id": f"c{i}"} for i, one in enumerate(cells)]))
    NotebookClient(nb, allow_errors=True, kernel_name="python3").execute()
    return nb


def readable(content):
    return BeautifulSoup(page(content), "html.parser").get_text()


def test_the_grader_sees_the_hidden_tests(executed):
    """The tests below can fail: the lines are there."""
    text = readable(clean(executed))
    assert text.count("secret_value) == 3.0") == 2 and "BEGIN HIDDEN TESTS" in text


def test_students_see_no_line_of_a_hidden_test(executed):
    made = hide_tests(clean(executed))
    text = readable(made)
    for secret in ("secret_value", "secret_number", "3.0", "HIDDEN", "y = 1"):
        assert secret not in text
    assert made.cells[2].source == f'check_open(double)\n{RAN}\nprint("done")'
    assert made.cells[3].source.splitlines()[1:3] == [f"    {RAN}", "    return y"]


def test_verdicts_and_the_students_own_lines_stay(executed):
    text = readable(hide_tests(clean(executed)))
    assert "AssertionError: double must keep fractions" in text
    assert text.count("raise KeyError('mine')") >= 3  # the answer, the test, the student's own call


def test_what_a_check_says_stays_word_for_word():
    verdict = "✗ double, on other data\n  expected  3.0\n  got       2\n  likely    int() cuts"
    error = dict(output_type="error", ename="CheckFailed", evalue=verdict, traceback=[verdict])
    made = hide_tests(notebook(test_cell(HIDING, [error]))).cells[0]
    assert made.outputs[0].traceback == [verdict] and made.outputs[0].evalue == verdict


def test_hidden_lines_in_messages_and_other_outputs_are_covered():
    line = 'assert double(secret_value) == 3.0, "double must keep fractions"'
    said = f"ValueError in line 4 of hidden: {line}"
    outs = [dict(output_type="error", ename="ValueError", evalue=said, traceback=[said])]
    outs += [dict(output_type="stream", name="stdout", text=f"a {line} b")]
    outs += [shown(data={"text/html": f"<p>{html.escape(line)}</p>", "image/png": PNG})]
    made = hide_tests(notebook(test_cell(HIDING, outs), cell("x", outputs=outs)))
    assert "secret_value" not in json.dumps(made)
    assert made.cells[1].outputs[1].text == "a (hidden test) b"
    assert made.cells[0].outputs[2].data["image/png"] == PNG


def test_a_hidden_part_without_an_end_is_hidden_whole():
    made = hide_tests(notebook(test_cell("a = 1\n### BEGIN HIDDEN TESTS\nb = 2\nc = 3")))
    assert made.cells[0].source == f"a = 1\n{RAN}"


def test_marks_of_hidden_tests_in_an_answer_hide_nothing():
    source = "### BEGIN HIDDEN TESTS\nreturn_value = 12345\n### END HIDDEN TESTS"
    given = notebook(cell(source), cell("return_value = 12345"), test_cell("pass"))
    assert hide_tests(given) == given


# --- in a browser -------------------------------------------------------------------------------
LOOK = """
const bad = [];
for (const one of document.querySelectorAll('#notebook-container *')) {
  for (const {name, value} of one.attributes)
    if (name.startsWith('on') || /^\\s*(javascript|vbscript|data:text)/i.test(value))
      bad.push(`${one.tagName} ${name}=${value}`);
  if (['IFRAME', 'OBJECT', 'EMBED', 'FORM', 'BASE', 'SVG', 'MATH'].includes(one.tagName.toUpperCase()))
    bad.push(one.tagName);
}
for (const one of document.querySelectorAll('a, summary, img')) {
  one.dispatchEvent(new MouseEvent('mouseover', {bubbles: true}));
  if ((one.getAttribute('href') || '#').startsWith('#')) one.click();
}
return [window.hacked === undefined, bad, document.querySelectorAll('pre').length];
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium without a network, through chromedriver."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("NOT TESTED: no chromium and chromedriver here, so no page was opened")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless", "no-sandbox", "disable-gpu", "host-resolver-rules=MAP * ~NOTFOUND"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.unhandled_prompt_behavior = "dismiss"
    window = webdriver.Chrome(service=webdriver.ChromeService(driver), options=options)
    yield window
    window.quit()


def looked_at(browser, path, text):
    path.write_text(text, encoding="utf-8")
    browser.get(path.as_uri())
    time.sleep(1)
    return browser.execute_script(LOOK)


@pytest.mark.browser
@pytest.mark.parametrize("template", TEMPLATES)
def test_nothing_acts_in_a_browser(browser, tmp_path, cleaned, template):
    untouched, bad, shown_texts = looked_at(
        browser, tmp_path / "page.html", page(cleaned, template)
    )
    assert (untouched, bad) == (True, []) and shown_texts > 100


@pytest.mark.browser
@pytest.mark.parametrize(
    "line", [MARKUP[0], MARKUP[5], MARKUP[12], "<!--><img src=x onerror=window.hacked=1>"]
)
def test_the_canary_sings_where_nothing_is_cleaned(browser, tmp_path, line):
    """The test above can fail."""
    bare = page(notebook(cell(outputs=[shown(data={"text/html": line})])))
    untouched, bad, _ = looked_at(browser, tmp_path / "page.html", bare)
    assert not untouched
