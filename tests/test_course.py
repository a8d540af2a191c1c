"""Every lesson runs from its first cell to its last at size smoke, within its bound."""

from pathlib import Path

import pytest

from coursekit import notebooks
from coursekit.running import run_notebook

ROOT = Path(__file__).resolve().parents[1]
LESSONS = notebooks.lesson_texts(ROOT)
MEMORY = 1500  # MB on Binder, which a lesson may take at most
# A lesson takes less than 60 s here; a test fails only for one that hangs. `make course SIZE=smoke` tells the seconds
SECONDS = 400


@pytest.mark.parametrize("text", LESSONS, ids=[text.stem for text in LESSONS])
def test_lesson_runs_at_smoke(text, tmp_path):
    built = notebooks.notebook_path(text)
    home = str(tmp_path)
    run = run_notebook(built, tmp_path / "out.ipynb", "smoke", seconds=SECONDS, COURSEKIT_HOME=home)
    assert run.ok, f"{text.name}: {run.error}"
    assert run.peak_mb < MEMORY


def test_there_are_lessons():
    assert LESSONS
