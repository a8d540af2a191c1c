"""docs/data.md: its commands are understood, its figures are those of the comparison."""

import re
import shlex

import pytest
from conftest import REPOSITORY
from guides import lines
from small_photos import run_script

from coursekit import datasets
from coursekit.datasets import compare, fetching

GUIDE = REPOSITORY / "docs" / "data.md"
SCRIPTS = [line for line in lines(GUIDE) if line.startswith("python ")]


@pytest.mark.parametrize("line", SCRIPTS)
def test_every_script_understands_its_options(line, monkeypatch):
    read = []

    def run(fetch, parser):
        read.append(parser.parse_args())
        return 0

    monkeypatch.setattr(fetching, "run", run)
    _, script, *arguments = shlex.split(line)
    name = re.fullmatch(r"data_scripts/(\w+)\.py", script)[1]
    assert run_script(monkeypatch, name, *arguments) == 0 and len(read) == 1
    assert read[0].to.name == arguments[1].rpartition("/")[2]


def test_every_set_has_its_command():
    for name in datasets.NAMES[1:]:
        assert any(f"{name}.py" in line or f"{name}_captions.py" in line for line in SCRIPTS)


def test_the_table_says_what_is_published():
    text = GUIDE.read_text(encoding="utf-8")
    for row in list(compare.PUBLISHED.values())[1:]:
        cells = [
            cell.strip()
            for cell in re.search(rf"^\| `{row.name}` \|(.*)\|$", text, re.M)[1].split("|")
        ]
        assert cells[:2] == [f"{row.images:,}", f"{row.captions:,}"]
        assert cells[2].startswith(f"{row.bytes / 1e9:.1f} GB")
