"""A lesson as a reader meets it: opened in JupyterLab, run to the end, looked at.

The pictures lie in .build/shots. Without Chromium these tests are skipped and say so.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from coursekit import notebooks

ROOT = Path(__file__).resolve().parents[1]
SHOTS = ROOT / ".build" / "shots"
TOKEN = "look"
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync
--disable-background-networking --disable-component-update --window-size=1300,1800"""
# Opens a notebook, runs it if asked to, and hands back what the page then holds.
OPEN = """
const [path, run, done] = arguments, app = window.jupyterapp;
(async () => {
  await app.restored;
  const panel = await app.commands.execute('docmanager:open', {path: path});
  await panel.context.ready;
  await panel.sessionContext.ready;
  app.shell.activateById(panel.id);
  if (run) await app.commands.execute('notebook:run-all-cells');
  panel.content.activeCellIndex = 0;
  return JSON.stringify(panel.context.model.toJSON());
})().then(done, error => done(JSON.stringify({error: String(error)})));
"""
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


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def jupyter_environment(folder):
    """Nobody's own settings, no question about news, and the smallest size."""
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    own = dict(JUPYTER_CONFIG_DIR="config", JUPYTER_DATA_DIR="data", JUPYTER_RUNTIME_DIR="run")
    own |= dict(JUPYTERLAB_SETTINGS_DIR="settings", COURSEKIT_HOME="home", IPYTHONDIR="ipython")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    places = {name: str(folder / place) for name, place in own.items()}
    return dict(os.environ, PATH=path, COURSEKIT_SIZE="smoke", **places)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab server: (its address, the folder it shows)."""
    folder, port = tmp_path_factory.mktemp("lab"), free_port()
    shown = folder / "shown"
    shown.mkdir()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--port={port}", f"--IdentityProvider.token={TOKEN}", "--expose-app-in-browser"]
    command += [f"--ServerApp.root_dir={shown}", "--ServerApp.port_retries=0"]
    with open(folder / "server.log", "w") as log:
        server = subprocess.Popen(
            command, env=jupyter_environment(folder), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api/status?token={TOKEN}", folder / "server.log")
        yield f"http://127.0.0.1:{port}", shown
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address, log, seconds=90):
    for _ in range(seconds * 2):
        try:
            return urllib.request.urlopen(address, timeout=5).read()
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"JupyterLab did not start: {log.read_text()[-800:]}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium, through chromedriver."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("NOT TESTED: no chromium and chromedriver here, so no page was looked at")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    window = webdriver.Chrome(service=webdriver.ChromeService(driver), options=options)
    window.set_script_timeout(240)
    yield window
    window.quit()


def open_notebook(browser, lab, path, run):
    """The notebook as the page holds it after opening (and running) it, with its picture saved."""
    address, shown = lab
    shutil.copy(path, shown)
    browser.get(f"{address}/lab?token={TOKEN}&reset")
    for _ in range(240):
        if browser.execute_script("return Boolean(window.jupyterapp)"):
            break
        time.sleep(0.5)
    answer = json.loads(browser.execute_async_script(OPEN, path.name, run))
    assert "error" not in answer, answer
    time.sleep(2)
    SHOTS.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(SHOTS / f"{path.stem}.png"))
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
    page = open_notebook(browser, lab, tmp_path / "bad.ipynb", run=True)
    assert errors(page) == ["ValueError: on purpose"]
    assert "on purpose" in browser.find_element("css selector", ".jp-Notebook").text


def test_the_first_lesson_runs_to_its_end(browser, lab):
    page = open_notebook(browser, lab, lesson(), run=True)
    assert errors(page) == []
    assert all(cell["execution_count"] for cell in code(page))
    title = browser.find_element("css selector", ".jp-Notebook h1").text
    assert title.rstrip("¶")


@pytest.mark.parametrize("name", [text.stem for text in notebooks.assignment_texts(ROOT)])
def test_an_assignment_opens_without_being_run(browser, lab, name):
    page = open_notebook(browser, lab, ROOT / "assignments" / name / f"{name}.ipynb", run=False)
    assert errors(page) == [] and not any(cell["execution_count"] for cell in code(page))
    assert browser.find_elements("css selector", ".jp-Notebook h1")
