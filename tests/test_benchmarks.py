"""The benchmarks of decoding and scoring run, and stop where what they compare is not the same."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """A function that loads a benchmark by name, with its command line."""

    def load(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the benchmark's own setting ends with the test
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.mark.parametrize("penalty", ["0", "1"])
def test_decoding(benchmark, capsys, penalty):
    arguments = ("--pictures", "5", "--beam", "3", "--repeats", "1", "--length-penalty", penalty)
    benchmark("decoding", *arguments).main()
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("0 differ") for line in lines) == 6
    assert lines[0].startswith("greedy, 5 pictures") and lines[4].startswith("beam 3, 5 pictures")


def test_decoding_stops_when_captions_differ(benchmark, monkeypatch, capsys):
    module = benchmark("decoding", "--pictures", "2", "--beam", "2", "--repeats", "1")
    greedy = module.greedy
    monkeypatch.setattr(module, "greedy", lambda *a: ([[1]] * len(greedy(*a)[0]), None))
    with pytest.raises(SystemExit, match="2 captions differ: the searches are not the same"):
        module.main()
    assert "2 differ" in capsys.readouterr().out


def test_scoring(benchmark, monkeypatch, capsys):
    module = benchmark("scoring", "--pictures", "30", "--repeats", "1")
    monkeypatch.setattr(module, "find_java", lambda: None)
    module.main()
    out = capsys.readouterr().out
    assert "30 captions" in out and "not tested: no Java" in out and "times ours" in out
    wrong = module.caption_scores
    monkeypatch.setattr(module, "caption_scores", lambda *a, **k: wrong(*a, **k) | {"CIDEr": 9.0})
    with pytest.raises(SystemExit, match="scores differ"):
        module.main()


@pytest.fixture
def gpt(benchmark, monkeypatch, tmp_path):
    """The benchmark of the GPT at a size that takes no time."""
    module = benchmark(
        "gpt", "--sizes", "small", "--repeats", "1", "--json", str(tmp_path / "told")
    )
    tiny = dict(dim=16, layers=1, heads=2, V=50, rows=2, places=5, pictures=(1, 2), words=4)
    monkeypatch.setitem(module.SIZES, "small", module.SIZES["small"] | tiny)
    monkeypatch.setattr(module, "SQUARE", 64)
    return module


def test_gpt(gpt, capsys, tmp_path):
    gpt.main()
    out = capsys.readouterr().out
    rows = json.loads((tmp_path / "told").read_text())["sizes"]["small"]
    assert [row["task"] for row in rows[1:]] == [
        *(f"{way}, {count} at once" for count in (1, 2) for way in ("greedy", "beam 5")),
        "training, 2 × 5",
    ]
    assert all(row["agree"] for row in rows[1:]) and rows[0]["apart"] < 1e-5
    assert "threads: 1" in out and "THEY DIFFER" not in out


@pytest.mark.parametrize("name", ["logits", "tokens", "loss"])
def test_gpt_stops_when_results_differ(gpt, monkeypatch, capsys, name):
    if name == "tokens":
        right = gpt.greedy
        monkeypatch.setattr(
            gpt, "greedy", lambda *a: ([row[::-1] + [1] for row in right(*a)[0]], 0)
        )
    if name == "logits":
        monkeypatch.setattr(gpt, "logits_apart", lambda *a: 0.1)
    if name == "loss":
        right_loss = gpt.training
        monkeypatch.setattr(
            gpt, "training", lambda *a: right_loss(*a) | {"transformers": lambda: 0.0}
        )
    with pytest.raises(SystemExit, match=f"{2 if name == 'tokens' else 1} results differ"):
        gpt.main()


def test_gpt_counts_operations(gpt):
    """As many as torch counts, which on a CPU leaves attention out."""
    from torch.utils.flop_counter import FlopCounterMode

    size = gpt.SIZES["small"]
    ours, _ = gpt.make_pair(size)
    with FlopCounterMode(display=False) as counter:
        ours(None, gpt.torch.zeros(2, 5).long())
    assert counter.get_total_flops() == gpt.operations(size, 10, 10, seen=0)
