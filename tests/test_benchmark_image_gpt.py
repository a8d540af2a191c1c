"""The benchmark of the Image GPT runs, and stops where what it compares is not the same."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

FILE = Path(__file__).resolve().parents[1] / "benchmarks" / "image_gpt.py"


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """The benchmark at a size that takes no time."""
    told = ("--repeats", "1", "--places", "3", "--json", str(tmp_path / "told"))
    monkeypatch.setattr(sys, "argv", ["image_gpt.py", "--sizes", "d16", *told])
    spec = importlib.util.spec_from_file_location("benchmark_image_gpt", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(module.SIZES, "d16", dict(dim=8, layers=1, heads=2))
    for name, value in dict(SIDE=4, PICTURES=2, SQUARE=64).items():
        monkeypatch.setattr(module, name, value)
    return module


def test_it_tells_what_it_measured(benchmark, capsys, tmp_path):
    benchmark.main()
    out = capsys.readouterr().out
    logits, training, completing = json.loads((tmp_path / "told").read_text())["sizes"]["d16"]
    assert logits["apart"] < 1e-5 and training["agree"] and completing["agree"]
    assert training["seconds"].keys() == {"ours", "transformers"}
    assert completing["seconds"].keys() == {"ours", "transformers", "no cache"}
    assert 0 < training["needed"] < training["share"]
    assert "threads: 1" in out and "THEY DIFFER" not in out


@pytest.mark.parametrize("name", ["logits", "loss", "ours", "transformers", "no cache"])
def test_it_stops_when_results_differ(benchmark, monkeypatch, capsys, name):
    if name == "logits":
        monkeypatch.setattr(benchmark, "logits_apart", lambda *a: 0.1)
    else:
        part, wrong = ("training", 0.0) if name == "loss" else ("completing", [[99]])
        right = getattr(benchmark, part)
        changed = {"ours" if name == "loss" else name: lambda: wrong}
        monkeypatch.setattr(benchmark, part, lambda *a: right(*a) | changed)
    with pytest.raises(SystemExit, match="1 results differ"):
        benchmark.main()
    assert ("THEY DIFFER" in capsys.readouterr().out) == (name != "logits")


def test_the_slow_way_is_multiplied_by_what_it_left_out(benchmark, monkeypatch, tmp_path):
    ticks = iter(range(10**6))
    clock = lambda: next(ticks)  # noqa: E731
    monkeypatch.setattr(benchmark.time, "process_time", clock)
    benchmark.main()
    row = json.loads((tmp_path / "told").read_text())["sizes"]["d16"][2]
    assert row["seconds"] == {"ours": 1, "transformers": 1, "no cache": pytest.approx(8 / 3)}


def test_it_counts_operations(benchmark):
    """As many as torch counts, which on a CPU leaves attention out."""
    from torch.utils.flop_counter import FlopCounterMode

    ours, _ = benchmark.make_pair(benchmark.SIZES["d16"])
    with FlopCounterMode(display=False) as counter:
        ours(torch.zeros(2, 16).long())
    assert counter.get_total_flops() == benchmark.operations(benchmark.SIZES["d16"], 32, seen=0)
