"""The benchmarks of decoding and scoring run, and stop where what they compare is not the same."""

import importlib.util
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
