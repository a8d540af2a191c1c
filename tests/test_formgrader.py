"""Formgrader as a teacher uses it, inside JupyterLab, on a class with one hostile hand-in.

The pictures lie in .build/shots. Without Chromium these tests are skipped and say so.
"""

import csv
import json
import os
import subprocess
import sys

import faults
import pytest
from browser import chromium, jupyterlab, open_lab, open_notebook, shot, until
from bs4 import BeautifulSoup
from small_course import answered, make_released, released

pytestmark = [pytest.mark.browser, pytest.mark.walls]
HACK = '<script>window.hacked=1</script><img src=x onerror="window.hacked=1">'
SHOWN = f"from IPython.display import HTML, Javascript, display\ndisplay(HTML('{HACK}'))\n"
SHOWN += "display(Javascript('window.hacked=1'))\n"
LINK = "[look](javascript:window.hacked=1) <svg onload='window.hacked=1'></svg>"
# Whether a script of the student ran in the page or in a page within it
HACKED = """
const all = page => [page, ...Array.from(page.frames).flatMap(all)];
return all(window.top).some(page => page.hacked !== undefined);
"""
BUSY = "return Boolean(window.$ && ($(':animated').length || $.active))"
COMMENT = "Well *put*."


# --- the class ---------------------------------------------------------------------------------
def hostile(path):
    """A right hand-in that holds scripts in every place where a page may show them."""
    answers = dict(double=faults.RIGHT + SHOWN, largest=faults.LARGEST)
    made = json.loads(answered(path, answers | {"explain": f"In order. {HACK} {LINK}"}))
    shown = dict(output_type="display_data", metadata={}, data={"text/html": HACK})
    code = dict(cell_type="code", metadata={}, execution_count=1)
    made["cells"].append(dict(cell_type="markdown", id="own", metadata={}, source=HACK))
    made["cells"].append(code | dict(id="kept", source="1 + 1", outputs=[shown]))
    return json.dumps(made)


def right(path):
    answers = dict(double=faults.RIGHT, largest=faults.LARGEST, explain="It keeps the order.")
    return answered(path, answers)


def coursekit(course, *arguments):
    line = [sys.executable, "-m", "coursekit.cli", *arguments]
    how = dict(cwd=course, env=os.environ | {"COURSEKIT_SIZE": "smoke"}, timeout=240)
    done = subprocess.run(line, capture_output=True, text=True, **how)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course with two hand-ins, of which only ada's is graded yet."""
    course = make_released(tmp_path_factory.mktemp("course") / "course")
    faults.put(course / "work/ada/small", right(released(course)))
    faults.put(course / "work/mallory/small", hostile(released(course)))
    told = coursekit(course, "grade", "small", "--submitted", "work", "--students", "ada")
    assert "ada  graded 9/14" in told
    return course


# --- the teacher's steps, each done once ---------------------------------------------------------
class Formgrader:
    """Formgrader in a tab of JupyterLab; `ran` keeps for every page whether a script ran in it."""

    def __init__(self, window, address):
        self.window, self.address, self.ran = window, address, {}

    def find(self, place):
        """What stands at a place, a selector of CSS or a path of XPath; raises if nothing does."""
        return self.window.find_element("xpath" if place[0] == "/" else "css selector", place)

    def click(self, place):
        """Presses what stands at a place as soon as it can be pressed."""
        until(lambda: self.find(place).click() or True)

    def look(self, name):
        """Takes a picture once nothing moves any more."""
        until(lambda: not self.window.execute_script(BUSY))
        shot(self.window, f"formgrader_{name}")
        self.ran[name] = self.window.execute_script(HACKED)

    def open(self):
        """As the guide says: the menu, then the tab that it opens."""
        open_lab(self.window, self.address)
        self.click("//*[contains(@class, 'lm-MenuBar-itemLabel')][.='Nbgrader']")
        self.click("//*[contains(@class, 'lm-Menu-itemLabel')][.='Formgrader']")
        self.window.switch_to.frame(until(lambda: self.find("iframe")))
        until(lambda: self.find("#main-table a"))

    def press(self, student, button):
        """Presses a button in a student's row; what the page then tells, and the row's text."""
        self.click(row(student) + cell(button) + "//a")
        told = until(lambda: self.find(".modal.in .modal-body").text)
        self.look(f"{button}_told")
        self.click(".modal.in .modal-footer button")
        until(lambda: not self.window.find_elements("css selector", ".modal-backdrop"))
        self.look(button)
        return told, self.find(row(student)).text

    def to_mark(self, student):
        """From the submissions to the page where a student's work is marked."""
        self.click(row(student) + cell("student-name") + "//a")
        self.click("//*[@id='main-table']//a[.='small']")


def row(student):
    """Where a student's row stands among the submissions."""
    return f"//*[@id='main-table']//tr[td[contains(@class, 'student-id')]='{student}']"


def cell(kind):
    return f"/td[contains(@class, '{kind}')]"


@pytest.fixture(scope="module")
def formgrader(course, tmp_path_factory):
    """Formgrader, opened; the fixtures below go on in its tab, in this order."""
    with jupyterlab(tmp_path_factory.mktemp("lab"), course) as address:
        with chromium(tmp_path_factory.mktemp("chromium")) as window:
            yield Formgrader(window, address)


@pytest.fixture(scope="module")
def opened(formgrader):
    """The text of the table of assignments."""
    formgrader.open()
    formgrader.look("assignments")
    return formgrader.find("#main-table").text


@pytest.fixture(scope="module")
def autograded(formgrader, opened):
    """What was told after the button was pressed, and the student's row."""
    formgrader.click("#main-table .num-submissions a")
    return formgrader.press("mallory", "autograde")


@pytest.fixture(scope="module")
def marked(formgrader, autograded):
    """The points and the comment of the written answer, as the page shows them when read again."""
    formgrader.to_mark("mallory")
    points = until(lambda: formgrader.find("input#explain.needs_manual_grade"))
    formgrader.look("to_mark")
    points.send_keys("4")
    formgrader.find("#explain-comment").send_keys(COMMENT)
    points.click()
    formgrader.look("marked")
    formgrader.window.execute_script("location.reload()")
    until(lambda: formgrader.find("input#explain").get_property("value"))
    formgrader.look("marked_again")
    fields = [formgrader.find(one) for one in ("input#explain", "#explain-comment")]
    return [field.get_property("value") for field in fields]


@pytest.fixture(scope="module")
def record(course, autograded):
    """What the button left of the examination: (its path, the time of its last change)."""
    path = course / ".build/class/small/records/mallory.json"
    return path, path.stat().st_mtime_ns


@pytest.fixture(scope="module")
def exported(course, record, marked):
    """The exported table after marking, as the guide makes it: {student: row}."""
    coursekit(course, "grade", "small")
    coursekit(course, "export", "small", "--to", "csv", "--out", "marks.csv")
    with open(course / "marks.csv", newline="", encoding="utf-8-sig") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def feedback(formgrader, course, marked):
    """The feedback page that Formgrader's button wrote, parsed."""
    formgrader.window.get(f"{formgrader.address}/formgrader/manage_submissions/small")
    told, row = formgrader.press("mallory", "generate-feedback")
    assert "Successfully generated feedback" in told and row.split()[-3:] == ["13", "/", "14"]
    page = course / ".build/class/feedback/mallory/small/small.html"
    formgrader.window.get(page.as_uri())
    formgrader.look("feedback")
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def acting(page):
    """What acts in a page, and is not the page's own."""
    scripts = [one for one in page("script") if "hacked" in str(one)]
    named = [(key, str(text)) for one in page(True) for key, text in one.attrs.items()]
    return scripts + [one for one in named if one[0][:2] == "on" or "javascript:" in one[1]]


# --- what must be so -----------------------------------------------------------------------------
def test_formgrader_finds_the_class(opened):
    assert opened.split() == ["small", "None", "draft", "2"]


def test_the_button_examines_and_shows_the_score(autograded):
    told, row = autograded
    assert "Successfully autograded 'small' for student 'mallory'" in told
    assert row.endswith("mallory None needs manual grading 9 / 14")


def test_points_and_comment_are_there_when_the_page_is_read_again(marked):
    assert marked == ["4", COMMENT]


def test_the_export_holds_what_was_given_and_nothing_is_run_again(exported, record):
    questions = dict(test_double="3.0", test_largest="2.0", test_share="4.0", explain="4.0")
    assert exported["mallory"].items() >= questions.items()
    assert exported["mallory"]["score"] == "13.0"
    assert (exported["ada"]["score"], exported["ada"]["explain"]) == ("9.0", "")
    assert [exported[one]["needs_manual_grade"] for one in ("ada", "mallory")] == ["yes", "no"]
    assert record[0].stat().st_mtime_ns == record[1]


def test_feedback_tells_the_marks_and_the_comment(feedback):
    told = " ".join(feedback.get_text().split())
    assert "small (Score: 13.0 / 14.0)" in told and "Well put." in told
    assert feedback.find("em", string="put")


def test_feedback_shows_neither_script_nor_hidden_test(feedback):
    assert acting(feedback) == []
    assert "hidden tests ran here" in feedback.get_text()
    assert "keep fractions" not in str(feedback)


def test_the_live_notebook_is_not_opened(formgrader, feedback):
    """In JupyterLab itself a submission would run without walls."""
    formgrader.open()
    formgrader.click("#main-table .num-submissions a")
    formgrader.to_mark("mallory")
    formgrader.click(".live-notebook a.name-hidden")
    formgrader.look("live")
    formgrader.window.switch_to.default_content()
    tabs = formgrader.window.find_elements("css selector", "#jp-main-dock-panel .lm-TabBar-tab")
    assert {one.text for one in tabs if one.text} - {"Launcher"} == {"Formgrader"}


def test_nothing_that_a_student_wrote_ran_in_any_page(formgrader, opened, marked, feedback):
    open_lab(formgrader.window, formgrader.address)
    open_notebook(formgrader.window, "work/mallory/small/small.ipynb")
    formgrader.look("as_handed_in")
    assert len(formgrader.ran) >= 10
    assert [name for name, ran in formgrader.ran.items() if ran] == []


def test_a_page_that_shows_the_hand_in_as_it_is_would_act(formgrader, course, tmp_path):
    """The tests above can fail: this is what they look for."""
    from nbconvert.exporters import HTMLExporter

    page, _ = HTMLExporter().from_filename(str(course / "work/mallory/small/small.ipynb"))
    (tmp_path / "raw.html").write_text(page, encoding="utf-8")
    formgrader.window.get((tmp_path / "raw.html").as_uri())
    assert formgrader.window.execute_script(HACKED)
    assert len(acting(BeautifulSoup(page, "html.parser"))) >= 4
