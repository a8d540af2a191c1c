"""The profiles: shares that add up, every family and step named on the page, the page made from what is kept."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def profiles(monkeypatch, tmp_path):
    """The script at a size that takes no time, which keeps its result elsewhere."""
    spec = importlib.util.spec_from_file_location("profiles", ROOT / "benchmarks" / "profiles.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    small = dict(BATCH=2, LENGTH=3, PICTURES=2, BEAM=2, DIGITS=1, SIDE=3)
    small |= dict(KEPT=tmp_path / "kept.json", PAGE=tmp_path / "page.md")
    for name, value in small.items():
        monkeypatch.setattr(module, name, value)
    return module


def test_every_family_is_profiled_and_kept(profiles, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["profiles.py", "--steps", "1", "--keep"])
    profiles.main()
    rows = json.loads(profiles.KEPT.read_text())["rows"]
    assert [(row["family"], row["step"]) for row in rows] == list(profiles.DONE)
    for row in rows:
        assert len(row["costs"]) == 3 and 0 < sum(row["costs"].values()) <= 1
        assert list(row["costs"].values()) == sorted(row["costs"].values(), reverse=True)
    assert len(capsys.readouterr().out.splitlines()) == 11
    assert profiles.PAGE.read_text().count("\n## ") == 10


def test_shares_add_up(profiles):
    shares = profiles.costs(lambda: sum(range(1000)), 2)
    assert shares == pytest.approx({profiles.REST: 1.0})


def test_the_page_is_that_of_what_is_kept(profiles):
    found = json.loads((ROOT / "benchmarks" / "profiles.json").read_text())
    assert profiles.page(found) == (ROOT / "docs" / "profiles.md").read_text()
