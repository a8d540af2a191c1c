"""A lesson as a reader meets it: opened in JupyterLab, run to the end, looked at.

The pictures lie in .build/shots. Without Chromium these tests are skipped and say so.
"""

import shutil

import pytest
from browser import ROOT, chromium, jupyterlab, open_lab, open_notebook, shot

from coursekit import notebooks

BAD = """\
# %%
print("first")

# %%
raise ValueError("on purpose")
"""

pytestmark = pytest.mark.browser


def lesson():
    """The first lesson's notebook."""
    return notebooks.notebook_path(notebooks.lesson_texts(ROOT)[0])


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab server: (its address, the folder it shows)."""
    folder = tmp_path_factory.mktemp("lab")
    shown = folder / "shown"
    shown.mkdir()
    with jupyterlab(folder, shown) as address:
        yield address, shown


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as window:
        yield window


def opened(browser, lab, path, run):
    """The notebook as the page holds it after opening (and running) it, with its picture saved."""
    address, shown = lab
    shutil.copy(path, shown)
    open_lab(browser, address)
    answer = open_notebook(browser, path.name, run)
    shot(browser, path.stem)
    return answer


def errors(notebook):
    """Errors in a notebook's outputs, as `name: text`."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    failed = [output for output in outputs if output["output_type"] == "error"]
    return [f"{output['ename']}: {output['evalue']}" for output in failed]


def code(notebook):
    return [c for c in notebook["cells"] if c["cell_type"] == "code" and "".join(c["source"])]


def test_a_failing_cell_is_seen(browser, lab, tmp_path):
    """The test below can fail: here it would."""
    text = tmp_path / "bad.py"
    text.write_text(BAD)
    notebooks.build([text])
    page = opened(browser, lab, tmp_path / "bad.ipynb", run=True)
    assert errors(page) == ["ValueError: on purpose"]
    assert "on purpose" in browser.find_element("css selector", ".jp-Notebook").text


def test_the_first_lesson_runs_to_its_end(browser, lab):
    page = opened(browser, lab, lesson(), run=True)
    assert errors(page) == []
    assert all(cell["execution_count"] for cell in code(page))
    title = browser.find_element("css selector", ".jp-Notebook h1").text
    assert title.rstrip("¶")


@pytest.mark.parametrize("name", [text.stem for text in notebooks.assignment_texts(ROOT)])
def test_an_assignment_opens_without_being_run(browser, lab, name):
    page = opened(browser, lab, ROOT / "assignments" / name / f"{name}.ipynb", run=False)
    assert errors(page) == [] and not any(cell["execution_count"] for cell in code(page))
    assert browser.find_elements("css selector", ".jp-Notebook h1")
