"""The report of a class: its figures are right, and nothing that a student wrote acts in it."""

import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from bs4 import BeautifulSoup
from made_up_class import FULL, WRITTEN, made_up_class
from test_similar import FIRST, GIVEN, SOLUTION, copied, handed_in

from coursekit.errors import CourseError
from coursekit.grading.grade import Row
from coursekit.grading.results.analysis import full_points, outliers, questions, verdict
from coursekit.grading.results.report import excerpt, report

HACK = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
VERDICT = "✗ lstm_step\n  expected  c' = 0.5\n  got       0.41\n  likely    the gates are in the order i, g, f, o"


def made(path, rows, records, **more):
    report("a1", rows, records, path, released=GIVEN, solution=SOLUTION, **more)
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def section(page, title):
    """The text between a heading and the next."""
    start = next(one for one in page.find_all("h2") if one.text == title)
    parts = []
    for one in start.find_next_siblings():
        if one.name == "h2":
            break
        parts.append(one.get_text(" ", strip=True))
    return " ".join(" ".join(parts).split())


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return made(tmp_path_factory.mktemp("report") / "report.html", *made_up_class())


# --- figures ------------------------------------------------------------------------------------
def row(student, **marks):
    return Row(student, "graded", float(sum(marks.values())), 4.0, questions=marks)


def test_difficulty_and_discrimination_are_those_of_test_theory():
    """Twelve students whose marks are written down, and the textbook's formula."""
    a = [1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0]
    b = [3, 3, 2, 3, 2, 1, 2, 1, 0, 1, 0, 0]
    rows = [row(f"s{i}", a=float(x), b=float(y)) for i, (x, y) in enumerate(zip(a, b, strict=True))]
    first, second = questions(rows, {"a": 1.0, "b": 3.0}, {})
    a, b = np.array(a), np.array(b)
    assert (first.marks, first.mean, first.share) == (12, a.mean(), a.mean())
    assert second.share == pytest.approx(b.mean() / 3)
    p, gap = a.mean(), b[a == 1].mean() - b[a == 0].mean()
    assert first.discrimination == pytest.approx(gap * np.sqrt(p * (1 - p)) / b.std())
    assert second.discrimination == pytest.approx(first.discrimination)
    assert first.reading == "Of middling difficulty, and it tells strong from weak well."


def test_a_question_that_the_best_lose_is_named():
    rows = [row(f"s{i}", odd=float(i < 6), rest=float(i // 4)) for i in range(12)]
    odd, _ = questions(rows, {"odd": 1.0, "rest": 3.0}, {})
    assert (
        odd.discrimination < -0.5 and "look whether the test asks what the text does" in odd.reading
    )


@pytest.mark.parametrize(
    "marks, reading",
    [
        ([], "Nobody has a mark yet."),
        ([1.0, 0.0], "Too few marks (2) to say"),
        ([1.0] * 12, "All have the same mark"),
        ([1.0] * 11 + [0.0], "Easy: nearly all have it, and it hardly tells"),
        ([0.0] * 11 + [1.0], "Very hard, and it seems to tell strong from weak; 12 marks are few"),
    ],
)
def test_what_figures_cannot_say_is_said(marks, reading):
    rows = [row(f"s{i}", q=mark, rest=float(i % 2)) for i, mark in enumerate(marks)]
    assert questions(rows, {"q": 1.0}, {})[0].reading.startswith(reading)


def test_marks_that_wait_for_a_person_count_nowhere():
    rows = [
        Row(f"s{i}", "graded", 1.0, 2.0, True, questions={"a": 1.0, "b": None}) for i in range(3)
    ]
    rows.append(Row("none", "nothing handed in", questions={"a": None, "b": None}))
    a, b = questions(rows, {"a": 1.0, "b": 1.0}, {})
    assert (a.marks, a.waiting, a.mean) == (3, 0, 1.0) and (b.marks, b.waiting, b.mean) == (
        0,
        3,
        None,
    )


def test_points_of_questions_come_from_the_notebook():
    assert full_points(GIVEN) == FULL


@pytest.mark.parametrize(
    "name, text, told",
    [
        ("CheckFailed", VERDICT, ("lstm_step", "c' = 0.5", "the gates are in the order i, g, f, o", "0.41")),
        ("CheckFailed", "○ pad: not written yet", ("pad: not written yet", "", "", "")),
        ("CheckFailed", "✗ pad\n  expected  a\n  got       b", ("pad", "a", "", "b")),
        ("AssertionError", "double must keep\nfractions", ("AssertionError: double must keep", "", "", "")),
        ("KeyError", "KeyError: 'x'", ("KeyError: 'x'", "", "", "")),
        ("E", "", ("E: ", "", "", "")),
    ],
)  # fmt: skip
def test_verdicts_are_read(name, text, told):
    assert verdict(name, text) == told


def failed(text, *, key="padding_open", printed="✗ forged\n  expected  x"):
    """A record whose test failed after the student's own code printed something."""
    notebook = handed_in({})
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == key:
            error = dict(output_type="error", ename="CheckFailed", evalue=text, traceback=[text])
            cell["outputs"] = [dict(output_type="stream", name="stdout", text=printed), error]
    return dict(notebook=notebook, seconds=1.0, peak_mb=1.0, verdict="graded", notes=[])


def test_messages_are_grouped_and_the_commonest_comes_first():
    texts = {"a": VERDICT, "b": VERDICT.replace("0.41", "7"), "c": VERDICT.replace("0.41", "7")}
    texts["d"] = "○ lstm_step: not written yet"
    rows = [row(student, padding_open=0.0) for student in "abcde"]
    records = {student: failed(text) for student, text in texts.items()}
    (question,) = questions(rows, {"padding_open": 2.0}, records)
    first, second = question.messages
    assert (first.what, first.got, first.students) == ("lstm_step", "7", ["a", "b", "c"])
    assert second.students == ["d"]


def test_outliers_are_far_from_the_median_and_equal_runs_have_none():
    runs = {f"s{i}": dict(seconds=100.0 + i % 3, peak_mb=900.0) for i in range(20)}
    assert outliers(runs) == []
    runs |= {
        "slow": dict(seconds=400.0, peak_mb=900.0),
        "large": dict(seconds=100.0, peak_mb=2000.0),
    }
    runs |= {
        "quick": dict(seconds=3.0, peak_mb=905.0),
        "none": dict(seconds=0.0, peak_mb=None),
        "x": {},
    }
    told = [(one.student, one.what, one.median) for one in outliers(runs)]
    assert told == [
        ("large", "MB at the peak", 900.0),
        ("slow", "seconds", 101.0),
        ("quick", "seconds", 101.0),
    ]


# --- the page -----------------------------------------------------------------------------------
def test_the_head_counts_the_class(page):
    told = {one.span.text: one.b.text for one in page.select(".numbers div")}
    rows, _ = made_up_class()
    assert (told["students"], told["with a mark"], told["without a mark"]) == ("60", "58", "2")
    assert told["wait for a person"] == str(sum(one.needs_manual_grade for one in rows))
    median = np.median([one.score for one in rows if one.score is not None])
    assert told["median of 50"] == f"{median:g}"


def test_every_question_has_its_line(page):
    text = section(page, "Questions")
    assert [key for key in FULL if f"{key} " not in text] == []
    line = next(tr for tr in page.find_all("tr") if tr.td and tr.td.text.strip() == WRITTEN)
    assert "wait for a person" in line.text


def test_lost_points_come_with_the_checks_words(page):
    text = section(page, "Why points were lost")
    assert "likely the gates are in the order i, g, f, o; nn.LSTM stacks them i, f, g, o" in text
    assert "expected words = ['<pad>', 'a']" in text and "lstm_step: not written yet" in text


def test_missing_work_notes_and_outliers_are_named(page):
    missing = section(page, "Without a mark")
    assert "absent nothing handed in" in missing and "zoe_broken not a notebook" in missing
    assert "student03" in section(page, "Graded, with a note")
    text = section(page, "Time and memory")
    assert "student05 611 seconds" in text and "student06 2890 MB at the peak" in text


def test_the_two_who_share_stand_side_by_side(page):
    (pair,) = page.find_all("details")
    assert re.match(r"alice and mallory: \d\d % of the shorter one's own code", pair.summary.text)
    assert [one.text for one in pair.select(".who")][:2] == ["alice", "mallory"]
    assert len(pair.select(".same")) > 40


def test_pictures_are_told_to_those_who_hear_them(page):
    told = [svg["aria-label"] for svg in page.find_all("svg")]
    assert len(told) == 2 and all(svg["role"] == "img" for svg in page.find_all("svg"))
    assert told[0].startswith("Points of 58 students, from ") and told[1].endswith("2 stand out.")


def test_the_page_needs_nothing_from_elsewhere(page):
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'")
    assert page.find_all(["script", "link", "iframe", "img", "object"]) == []
    links = [
        one
        for tag in page.find_all(True)
        for name, one in tag.attrs.items()
        if name in ("href", "src")
    ]
    assert links == []
    assert not re.search(r"url\((?!#)|@import", str(page))


def test_the_same_class_gives_the_same_page(tmp_path):
    rows, records = made_up_class(11)
    for name in ("one", "two"):
        made(tmp_path / name, rows, records)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


# --- hostile and odd classes --------------------------------------------------------------------
def hostile():
    """Rows and records in which everything that a student can write is a script."""
    answers = {q: f"# {HACK}\n{source}" for q, source in FIRST.items()}
    rows, records = [], {}
    for i, name in enumerate([f"a{HACK}", f"b{HACK}", '"><svg onload=window.hacked=1>', "$x$ -->"]):
        rows.append(row(name, padding_open=0.0))
        rows[-1].notes = [HACK]
        records[name] = failed(
            VERDICT.replace("0.41", HACK).replace("c' =", HACK).replace("gates", HACK)
        )
        records[name]["notebook"] |= dict(cells=handed_in(copied(answers, i))["cells"])
        records[name] |= dict(seconds=1.0 + 100 * (i == 3), peak_mb=1.0)
    rows.append(Row(f"c{HACK}", HACK, questions={"padding_open": None}))
    records["d"] = failed(HACK)
    rows.append(row("d", padding_open=0.0))
    return rows, records


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.on = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.add(tag)
        self.on += [name for name, _ in attributes if name.startswith("on")]


def test_nothing_that_students_wrote_acts(tmp_path):
    rows, records = hostile()
    page = made(tmp_path / "report.html", rows, records)
    tags = Tags((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not tags.found & {"script", "img", "iframe"} and tags.on == []
    assert page.find_all(["script", "img"]) == []
    assert len(page.find_all("details")) == 6  # four students with the same work
    assert page.get_text().count("window.hacked=1") > 40


@pytest.mark.parametrize(
    "rows, records",
    [
        ([Row("a", "nothing handed in")], {}),
        ([Row("a", "graded", 0.0, 0.0)], {"a": {}}),
        ([Row("a", "graded", 3.0, 4.0, questions={"padding_open": None})], {"a": None}),
        ([row("a", padding_open=2.0)], {"a": dict(notebook={"cells": []}, seconds=None)}),
        ([row(f"s{i}", padding_open=2.0) for i in range(3)], {}),
        ([row("a", unheard_of=1.0)], {"b": {}}),
        ([row("a", padding_open=105.5)], {}),
    ],
)
def test_a_class_of_one_or_none_has_a_report(tmp_path, rows, records):
    page = made(tmp_path / "report.html", rows, records)
    assert page.h1.text == "a1" and "nan" not in page.get_text()


def test_nobody_at_all_is_told(tmp_path):
    with pytest.raises(CourseError, match="There is nobody in 'a1': grade it first"):
        made(tmp_path / "report.html", [], {})
    with pytest.raises(CourseError, match="There is no notebook .*nothing.ipynb"):
        report("nothing", [row("a", q=1.0)], {}, tmp_path / "report.html", root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_excerpts_are_short_and_say_what_they_leave_out():
    lines = [(f"line {i}", i in (10, 11, 30)) for i in range(60)]
    told = [text for text, _ in excerpt(lines)]
    assert told[0] == "line 8" and told[-1] == "line 32" and told.count("…") == 1
    assert excerpt([("x", False)] * 5) == []
    assert len(excerpt([("x", True)] * 500)) == 41


@pytest.mark.browser
def test_a_hostile_class_does_nothing_in_a_browser(tmp_path):
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("NOT TESTED: no chromium and chromedriver here, so no page was opened")
    from selenium import webdriver

    rows, records = hostile()
    path = report("a1", rows, records, tmp_path / "report.html", released=GIVEN, solution=SOLUTION)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless", "no-sandbox", "disable-gpu", "host-resolver-rules=MAP * ~NOTFOUND"):
        options.add_argument(f"--{flag}")
    window = webdriver.Chrome(service=webdriver.ChromeService(driver), options=options)
    try:
        window.get(path.as_uri())
        window.execute_script(
            "document.querySelectorAll('details').forEach(one => one.open = true)"
        )
        assert window.execute_script("return window.hacked === undefined")
        wide = "return document.documentElement.scrollWidth <= window.innerWidth"
        assert window.execute_script(wide)
        assert [one for one in window.get_log("browser") if one["level"] == "SEVERE"] == []
    finally:
        window.quit()
