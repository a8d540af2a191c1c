"""Every lesson runs from its first cell to its last at size smoke, within its bound."""

from pathlib import Path

import pytest

from coursekit import notebooks
from coursekit.running import run_notebook

ROOT = Path(__file__).resolve().parents[1]
LESSONS = notebooks.lesson_texts(ROOT)
# Seconds on 2 cores, and MB on Binder, which a lesson may take at most.
SECONDS, MEMORY = 60, 1500


@pytest.mark.parametrize("text", LESSONS, ids=[text.stem for text in LESSONS])
def test_lesson_runs_at_smoke(text, tmp_path):
    built = notebooks.notebook_path(text)
    run = run_notebook(built, tmp_path / "out.ipynb", "smoke", COURSEKIT_HOME=str(tmp_path))
    assert run.ok, f"{text.name}: {run.error}"
    assert run.seconds < SECONDS
    assert run.peak_mb < MEMORY


def test_there_are_lessons():
    assert LESSONS
