"""The book: two lessons, run at size smoke, as pages that are looked at in Chromium at two widths.

What a browser would fetch, fail at or hide is asked of Chromium itself; weights are sizes before compression.
"""

import functools
import hashlib
import http.server
import importlib.util
import json
import re
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from browser import ROOT, chromium, shot, until

from coursekit import doors
from coursekit.errors import CourseError
from coursekit.running import run_notebook

sys.path.insert(0, str(ROOT / "site"))
import build  # noqa: E402
import lessons  # noqa: E402
import pages  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated. Check CHANGES for Sphinx")
LESSONS = ("00_start_here", "04_decoding_and_scoring")
LESSON = "course/04_decoding_and_scoring.html"  # mathematics, hints and solutions
SHOWN = ("index.html", LESSON, "results.html", "student.html", "search.html?q=beam+search")
WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}
MAX_WEIGHT = 1_500_000
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]

# What Tab reaches should be all of these; inside closed hints nothing can be reached.
REACHABLE = """
return [...document.querySelectorAll('a[href], button, summary, input, [tabindex="0"]')]
  .filter(e => e.checkVisibility({visibilityProperty: true}) && !e.disabled && e.tabIndex >= 0)
  .map(e => { e.dataset.reach ??= String(window.count = (window.count ?? 0) + 1); return e.dataset.reach; });
"""
WATCH = """
window.reached = {};
document.addEventListener('focusin', ({target}) => {
  const style = getComputedStyle(target);
  window.reached[target.dataset.reach] = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
});
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A folder with two executed lessons."""
    folder = tmp_path_factory.mktemp("executed")
    for name in LESSONS:
        source, target = ROOT / "course" / f"{name}.ipynb", folder / f"{name}.ipynb"
        home = dict(COURSEKIT_HOME=str(folder / "home"), OMP_NUM_THREADS="1")
        run = run_notebook(source, target, "smoke", **home)
        assert run.ok, run.error
    return folder


@pytest.fixture(scope="module")
def built(executed, tmp_path_factory):
    """(folder of the pages, what the build told)"""
    return build.build(ROOT, "smoke", executed, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def site(built):
    return built[0]


@pytest.fixture(scope="module")
def served(site):
    """(address, {path: status} of what was asked for)"""
    with serving(site) as each:
        yield each


@contextmanager
def serving(folder):
    asked = {}

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, code="-", size="-"):
            asked[self.path] = int(code)

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as one:
        yield one


def opened(window, address, width="desk", theme="light"):
    """Opens a page at a width, and waits until it and its formulas are there."""
    wide, high = WIDTHS[width]
    size = dict(width=wide, height=high, deviceScaleFactor=1, mobile=width == "phone")
    window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    window.get(address)
    window.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    ready = "return document.readyState === 'complete' && (!window.MathJax || Boolean(MathJax.startup.promise))"
    until(lambda: window.execute_script(ready))
    window.execute_async_script(
        "const done = arguments[0]; (window.MathJax?.startup.promise ?? Promise.resolve()).then(() => done())"
    )
    return window


def press(window, key, number):
    """Presses a key, wherever the keyboard is."""
    for kind in ("rawKeyDown", "keyUp"):
        how = dict(type=kind, key=key, code=key, windowsVirtualKeyCode=number)
        window.execute_cdp_cmd("Input.dispatchKeyEvent", how)


def text_of(path):
    return path.read_text(encoding="utf-8")


def html_pages(site):
    return [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]


class Page(HTMLParser):
    """What a page links to, loads and can be linked at: `links`, `loads`, `ids`, `images`."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.ids, self.images = [], [], set(), []
        self.feed(text_of(path))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids |= {found["id"]} if found.get("id") else set()
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "link" and found.get("rel") in ("stylesheet", "preload", "icon"):
            self.loads.append(found["href"])
        if tag in ("script", "img", "iframe", "source") and "src" in found:
            self.loads.append(found["src"])
        if tag == "img":
            self.images.append(found)


# --- what is built ------------------------------------------------------------------------------


def test_what_is_missing_is_said_in_one_sentence(built, site):
    told = " ".join(built[1])
    assert "not executed: lessons 01, 02, 03, 05" in told and "LESSONS=" in told
    assert "because not executed: lessons 01" in text_of(site / "index.html")
    assert not (site / "course" / "05_attention.html").exists()


def test_lessons_come_with_outputs_and_without_doors(site):
    text = text_of(site / LESSON)
    assert text.count("cell_output") > 10
    assert "find_spec" not in text and "progress.show" not in text
    assert "colab-badge" not in text and "badge_logo" not in text


def test_lessons_can_be_launched(site):
    page = Page(site / LESSON)
    for address in doors.links(ROOT, "course/04_decoding_and_scoring.ipynb").values():
        assert address in page.links


def test_the_first_page_leads_everywhere(site):
    page, text = Page(site / "index.html"), text_of(site / "index.html")
    assert {"student.html", "instructor.html", "reader.html", LESSON} <= set(page.links)
    rows = lessons.ROW.findall(text_of(ROOT / "README.md"))
    assert len(rows) == len(list((ROOT / "course").glob("[0-9]*.py")))
    for _, _, question, time_needed in rows:
        assert question.replace('"', "&#34;") in text and time_needed in text


def test_every_picture_has_a_text_and_a_file(site):
    images = [(path, image) for path in html_pages(site) for image in Page(path).images]
    assert len(images) > 8
    for path, image in images:
        assert image["alt"].strip(), (path, image["src"])
        assert (path.parent / image["src"]).is_file()
    shown = "".join(text_of(path) for path in html_pages(site))
    assert "data:image/png" not in shown


def test_hints_and_solutions_are_rendered(site):
    found = re.findall(r"<details>(.*?)</details>", text_of(site / LESSON), re.S)
    source = json.loads(text_of(ROOT / "course" / "04_decoding_and_scoring.ipynb"))
    cells = ["".join(cell["source"]) for cell in source["cells"]]
    assert len(found) == sum(cell.count("<details>") for cell in cells) > 10
    assert all("<summary>" in each for each in found)
    assert any('class="highlight' in each for each in found)
    assert any("math notranslate" in each for each in found)
    for each in found:
        bare = re.sub(r"<pre>.*?</pre>|<code.*?</code>", "", each, flags=re.S)
        assert "```" not in each and "$" not in bare and "\n- " not in bare


def test_links_lead_somewhere(site):
    found = {path: Page(path) for path in html_pages(site)}
    dead = []
    for path, page in found.items():
        for link in page.links:
            where = urlsplit(urljoin(f"http://site/{path.relative_to(site)}", link))
            if where.netloc != "site":
                continue
            target = site / unquote(where.path[1:] or "index.html")
            anchor = unquote(where.fragment)
            if not target.is_file() or (anchor and anchor not in found[target].ids):
                dead.append(f"{path.name}: {link}")
    assert dead == []


def test_nothing_is_loaded_from_elsewhere(site):
    for path in html_pages(site):
        assert [one for one in Page(path).loads if re.match(r"(https?:)?//", one)] == []
    for path in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import )['\"]?(?:https?:)?//", text_of(path)) == []


def test_links_to_files_lead_to_the_repository(site):
    address = f"https://github.com/{doors.repository(ROOT)}/blob/HEAD/"
    assert f"{address}LICENSE" in Page(site / "index.html").links
    assert "results.html#how-well-it-does" in " ".join(Page(site / "docs" / "prefix.html").links)


def prints(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".buildinfo"]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_a_build_is_the_same_bytes_and_a_second_one_reads_nothing(site, executed, tmp_path):
    before, read = prints(site), (site.parent / "doctrees" / "index.doctree").stat().st_mtime_ns
    again, _ = build.build(ROOT, "smoke", executed, site.parent)
    assert prints(again) == before
    assert (site.parent / "doctrees" / "index.doctree").stat().st_mtime_ns == read
    fresh, _ = build.build(ROOT, "smoke", executed, tmp_path / "site")
    assert prints(fresh) == before


def test_a_new_title_is_shown_on_every_page(executed, tmp_path, monkeypatch):
    laid_out = pages.laid_out
    for title in ("Student", "Learner"):
        page = {"source/student.md": f"# {title}\n".encode()}
        monkeypatch.setattr(pages, "laid_out", lambda book, page=page: laid_out(book) | page)
        html, _ = build.build(ROOT, "smoke", executed, tmp_path)
    assert "Learner" in text_of(html / "docs" / "data.html")


def test_a_lesson_that_is_gone_leaves_no_page(executed, tmp_path):
    few, out = tmp_path / "few", tmp_path / "out"
    shutil.copytree(executed, few, ignore=shutil.ignore_patterns("home"))
    build.build(ROOT, "smoke", few, out)
    (few / f"{LESSONS[0]}.ipynb").unlink()
    html, told = build.build(ROOT, "smoke", few, out)
    assert not (html / "course" / f"{LESSONS[0]}.html").exists()
    assert "lessons 00, 01" in " ".join(told)


# --- bad input ----------------------------------------------------------------------------------


def test_without_executed_lessons_it_says_what_to_do(tmp_path, capsys):
    assert build.main(["--executed", str(tmp_path), "--size", "smoke"]) == 2
    assert "run `make course SIZE=smoke` first" in capsys.readouterr().err


def changed(executed, folder, change):
    """A Book of the executed lessons after `change`(the cells of lesson 04)."""
    shutil.copytree(executed, folder, ignore=shutil.ignore_patterns("home"))
    path = folder / f"{LESSONS[1]}.ipynb"
    notebook = json.loads(text_of(path))
    change(notebook["cells"])
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return lessons.Book(ROOT, folder, "smoke")


def last_code(cells):
    return [cell for cell in cells if cell["cell_type"] == "code"][-1]


def broke_off(cells):
    last_code(cells)["execution_count"] = None


def failed(cells):
    wrong = dict(output_type="error", ename="E", evalue="", traceback=[])
    last_code(cells)["outputs"] = [wrong]


@pytest.mark.parametrize("change", [broke_off, failed])
def test_a_lesson_that_did_not_end_is_left_out(executed, tmp_path, change):
    book = changed(executed, tmp_path / "few", change)
    assert [lesson.name for lesson in book.built] == [LESSONS[0]]
    assert f"to their end: {LESSONS[1]}" in " ".join(book.missing())


def test_a_text_that_changed_since_is_said(executed, tmp_path):
    book = changed(executed, tmp_path / "few", lambda cells: cells[0]["source"].append("\nold"))
    assert "before their text changed: lessons 04" in " ".join(book.missing())
    assert not lessons.Book(ROOT, executed, "smoke").changed


def test_no_notebook_in_place_of_one_is_said(executed, tmp_path):
    (tmp_path / f"{LESSONS[0]}.ipynb").write_text("{")
    with pytest.raises(CourseError, match="is not a notebook"):
        lessons.Book(ROOT, tmp_path, "smoke")


def test_a_dead_link_of_a_guide_is_said(executed):
    book = lessons.Book(ROOT, executed, "smoke")
    with pytest.raises(CourseError, match="links to nowhere.md, which is not there"):
        pages.linked(book, "[x](nowhere.md)", "README.md", {})


def test_badges_of_a_guide_are_left_out(executed):
    """Their pictures lie elsewhere."""
    book = lessons.Book(ROOT, executed, "smoke")
    text = "[![Open](https://example.org/a.svg)](https://example.org)\nOne.\n"
    assert pages.linked(book, text, "README.md", {}) == "One.\n"


def test_code_is_not_taken_for_links_or_headings(executed):
    book = lessons.Book(ROOT, executed, "smoke")
    text = "  ```py\n## a\nf[0](nowhere)\n  ```\n`f[0](nowhere)`\n"
    assert pages.linked(book, text, "README.md", {}) == text


def test_what_sphinx_warns_of_stops_the_build_each_time(executed, tmp_path, monkeypatch):
    laid_out = pages.laid_out
    wrong = {"source/student.md": b"# Student\n\n[x](nowhere.md)\n"}
    monkeypatch.setattr(pages, "laid_out", lambda book: laid_out(book) | wrong)
    for _ in range(2):
        with pytest.raises(CourseError, match="what Sphinx names above"):
            build.build(ROOT, "smoke", executed, tmp_path)


# --- in a browser -------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", SHOWN)
def test_a_page_loads_whole_and_fits(window, served, page, width):
    address, asked = served
    asked.clear()
    opened(window, address + page, width)
    time.sleep(0.5)
    shot(window, f"site_{Path(page).stem.split('?')[0]}_{width}")
    faults = [line for line in window.get_log("browser") if line["level"] in ("SEVERE", "WARNING")]
    assert faults == []
    assert [path for path, status in asked.items() if status >= 400] == []
    loaded = window.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert [one for one in loaded if not one.startswith((address, "data:"))] == []
    wide = window.execute_script("return document.documentElement.scrollWidth")
    assert wide <= WIDTHS[width][0]


@pytest.mark.browser
def test_a_fault_would_be_seen(window, served):
    address, asked = served
    opened(window, address + "index.html")
    window.execute_script("console.error('on purpose'); document.body.append(new Image()); document.body.lastChild.src = 'nowhere.png'")  # fmt: skip
    until(lambda: "/nowhere.png" in asked)
    assert asked["/nowhere.png"] == 404
    assert any("on purpose" in line["message"] for line in window.get_log("browser"))


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_mathematics_is_rendered(window, served, width):
    opened(window, served[0] + LESSON, width)
    sizes = window.execute_script(
        "document.querySelectorAll('details').forEach(e => e.open = true);"
        "return [...document.querySelectorAll('mjx-container')].map(e => { const b = e.getBoundingClientRect(); return [b.width, b.height]; })"
    )
    count = window.execute_script("return document.querySelectorAll('.math').length")
    assert len(sizes) == count > 10
    assert all(wide > 1 and high > 1 for wide, high in sizes)
    assert window.find_elements("css selector", "mjx-merror, [data-mml-node=merror]") == []


@pytest.mark.browser
@pytest.mark.parametrize("page", ["index.html", LESSON])
def test_a_page_is_light(window, served, page):
    """Bytes of all but pictures, as they lie on disk; hosts that compress send a third."""
    window.execute_cdp_cmd("Network.clearBrowserCache", {})
    opened(window, served[0] + page)
    parts = window.execute_script(
        "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].map(e => [e.name, e.encodedBodySize])"
    )
    weight = sum(size for name, size in parts if not re.search(r"\.(png|svg)(\?|$)", name))
    assert 100_000 < weight < MAX_WEIGHT, sorted(parts, key=lambda each: -each[1])[:9]


@pytest.mark.browser
def test_search_finds_beam_search(window, served):
    opened(window, served[0] + "index.html", "phone")
    window.find_element("css selector", ".bd-header-article .search-button").click()
    field = until(lambda: window.find_element("css selector", "#pst-search-dialog input"))
    field.send_keys("beam search\n")
    found = until(lambda: window.find_elements("css selector", "ul.search li a"))
    assert any("04_decoding_and_scoring" in one.get_attribute("href") for one in found)


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", ["index.html", LESSON])
def test_the_keyboard_reaches_everything(window, served, page, width):
    opened(window, served[0] + page, width)
    due = set(window.execute_script(REACHABLE))
    window.execute_script(WATCH)
    for _ in range(len(due) + 10):
        press(window, "Tab", 9)
    reached = window.execute_script("return window.reached")
    names = "return [...document.querySelectorAll('[data-reach]')].filter(e => arguments[0].includes(e.dataset.reach)).map(e => e.outerHTML.slice(0, 120))"
    assert window.execute_script(names, sorted(due - set(reached))) == []
    unseen = [each for each, shown in reached.items() if not shown and each in due]
    assert window.execute_script(names, unseen) == []


@pytest.mark.browser
def test_hints_open_by_keyboard_one_by_one(window, served):
    opened(window, served[0] + LESSON, "phone")
    assert not window.find_elements("css selector", "details[open]")
    first = window.find_element("css selector", "details > summary")
    first.send_keys("\n")
    assert len(until(lambda: window.find_elements("css selector", "details[open]"))) == 1


@pytest.mark.browser
def test_the_light_can_be_turned_off_and_on(window, served):
    opened(window, served[0] + "index.html", "phone")
    for theme in ("dark", "light"):
        window.find_element("css selector", ".theme-switch-button").click()
        window.find_element("css selector", f".theme-change-button[data-mode={theme}]").click()
        assert window.execute_script("return document.documentElement.dataset.theme") == theme
    window.execute_script("localStorage.clear()")


@pytest.mark.browser
def test_a_phone_opens_the_lists_of_pages_and_of_sections(window, served):
    opened(window, served[0] + LESSON, "phone")
    for side in ("primary", "secondary"):
        window.find_element("css selector", f".{side}-toggle").click()
        links = f"#pst-{side}-sidebar-modal a"
        assert until(lambda links=links: window.find_element("css selector", links).is_displayed())
        press(window, "Escape", 27)
        until(lambda side=side: not window.find_elements("css selector", f"#pst-{side}-sidebar-modal[open]"))  # fmt: skip


@pytest.mark.browser
def test_a_wide_page_can_do_without_the_list_of_pages(window, served):
    opened(window, served[0] + LESSON, "desk")
    shown = window.find_element("css selector", "#pst-primary-sidebar").is_displayed
    assert shown()
    window.find_element("css selector", ".primary-toggle").click()
    until(lambda: not shown())


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", SHOWN)
def test_axe_finds_no_fault(window, served, page, width, theme):
    opened(window, served[0] + page, width, theme)
    window.execute_script("document.querySelectorAll('details').forEach(e => e.open = true)")
    time.sleep(0.5)  # colours change gradually
    axe = Path(importlib.util.find_spec("axe_core_python").origin).with_name("axe.min.js")
    window.execute_script(text_of(axe))
    found = window.execute_async_script(
        "const [rules, done] = arguments; axe.run(document, {runOnly: rules}).then(done, e => done({violations: [String(e)]}))",
        RULES,
    )
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]] == []
    assert any(each["id"] == "color-contrast" for each in found["passes"])
