"""What a1_threshold.py and its like share: an assignment's cells at work, and what many runs tell of a threshold."""

import argparse
import json
import math
import os
import statistics
from pathlib import Path

from coursekit import notebooks

SOLUTIONS = Path(__file__).resolve().parents[1] / "solutions"


def cells(name):
    """{grade_id: source} of an assignment's code cells, with the model answers."""
    notebook = json.loads(notebooks.notebook_json(SOLUTIONS / f"{name}.py"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return {notebooks.grade_id(cell): "".join(cell["source"]) for cell in code}


def options(doc, **numbers):
    """The command line: --size, to which the course is set, and whole numbers with their defaults.

    doc: that of the script, whose first line stands in --help.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--size", choices=["smoke", "cpu", "gpu"], default="cpu")
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    found = parser.parse_args()
    os.environ["COURSEKIT_SIZE"] = found.size
    return found


def columns(rows, line):
    """The columns of rows, at least two; each row is printed by the format `line` as soon as it is there."""
    kept = []
    for row in rows:
        kept.append(row)
        print(line.format(*row), flush=True)
    return list(zip(*kept, strict=True))


def suggested(values, sds, scale=float, back=float):
    """mean - sds * sd, rounded down to 0.01; mean and sd are taken of scale(value), and back undoes it."""
    scaled = [scale(value) for value in values]
    return math.floor(back(statistics.mean(scaled) - sds * statistics.stdev(scaled)) * 100) / 100


def summary(name, values, threshold, scale=float):
    """One line: mean, sd, and how often a right answer would fail, by a normal model of scale(value)."""
    scaled = [scale(value) for value in values]
    away = (statistics.mean(scaled) - scale(threshold)) / statistics.stdev(scaled)
    mean, sd = statistics.mean(values), statistics.stdev(values)
    failed = sum(value < threshold for value in values)
    told = f"{name:7} mean {mean:.4f}  sd {sd:.4f}  lowest {min(values):.4f}  threshold {threshold:.2f}"
    rate = 0.5 * math.erfc(away / math.sqrt(2))
    return f"{told}  false fails {rate:.1e} by model, {failed} of {len(values)} seen"
