"""JupyterLab and headless Chromium for tests that look at pages; pictures go to .build/shots.

Without Chromium and chromedriver such tests are skipped and say so.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

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


@contextmanager
def jupyterlab(folder, shown):
    """A JupyterLab server that shows a folder and runs in it; yields its address.

    folder: for its log and its settings, nobody's own.  All that it started has ended after the
    block, which fails otherwise.
    """
    port = _free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--port={port}", f"--IdentityProvider.token={TOKEN}", "--expose-app-in-browser"]
    command += [f"--ServerApp.root_dir={shown}", "--ServerApp.port_retries=0"]
    how = dict(env=_environment(folder), cwd=shown, stderr=subprocess.STDOUT)
    with open(folder / "server.log", "w") as log:
        server = subprocess.Popen(command, stdout=log, **how)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/status?token={TOKEN}", folder / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        _end(server)


def _end(server):
    """Ends a server, and fails if one of its processes stays."""
    children = psutil.Process(server.pid).children(recursive=True)
    server.terminate()
    server.wait(30)
    left = psutil.wait_procs(children, timeout=20)[1]
    for process in left:
        process.kill()
    assert left == [], "JupyterLab left processes behind"


def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _environment(folder):
    """Nobody's own settings, no question about news, and the smallest size."""
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    own = dict(JUPYTER_CONFIG_DIR="config", JUPYTER_DATA_DIR="data", JUPYTER_RUNTIME_DIR="run")
    own |= dict(JUPYTERLAB_SETTINGS_DIR="settings", COURSEKIT_HOME="home", IPYTHONDIR="ipython")
    places = {name: str(folder / place) for name, place in own.items()}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {name: text for name, text in os.environ.items() if not name.startswith("COURSEKIT")}
    return kept | places | {"PATH": path, "COURSEKIT_SIZE": "smoke"}


def _wait_for(address, log, seconds=90):
    for _ in range(seconds * 2):
        try:
            return urllib.request.urlopen(address, timeout=5).read()
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"JupyterLab did not start: {log.read_text()[-800:]}")


@contextmanager
def chromium(folder):
    """Headless Chromium, through chromedriver; `folder` is for what it keeps."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("NOT TESTED: no chromium and chromedriver here, so no page was looked at")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in [*FLAGS.split(), f"--user-data-dir={folder}"]:
        options.add_argument(flag)
    window = webdriver.Chrome(service=webdriver.ChromeService(driver), options=options)
    try:
        window.set_script_timeout(240)
        yield window
    finally:
        window.quit()


def open_lab(window, address):
    """Opens JupyterLab afresh, and waits until its application is there."""
    window.get(f"{address}/lab?token={TOKEN}&reset")
    until(lambda: window.execute_script("return Boolean(window.jupyterapp)"))


def open_notebook(window, path, run=False):
    """Opens a notebook in the open JupyterLab, and runs it if asked; what the page then holds."""
    answer = json.loads(window.execute_async_script(OPEN, str(path), run))
    assert "error" not in answer, answer
    time.sleep(2)
    return answer


def until(condition, seconds=120):
    """What `condition` gives once it is true; it may fail or raise before."""
    from selenium.common.exceptions import WebDriverException

    last, found, why = time.monotonic() + seconds, None, None
    while not found:
        assert time.monotonic() < last, f"the page never came to this: {why}"
        try:
            found = condition()
        except WebDriverException as error:
            why = error
        time.sleep(0 if found else 0.2)
    return found


def shot(window, name):
    """Saves what the window shows."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    window.save_screenshot(str(SHOTS / f"{name}.png"))
