"""The one switch."""

import pytest
import torch

from coursekit import sizes
from coursekit.errors import CourseError


def test_argument_beats_variable_beats_hardware(monkeypatch):
    monkeypatch.setenv("COURSEKIT_SIZE", "smoke")
    assert sizes.setup().size == "smoke"
    assert sizes.setup("cpu").size == "cpu"
    monkeypatch.delenv("COURSEKIT_SIZE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert sizes.setup().size == "cpu"


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16)]
)
@pytest.mark.parametrize(("memory", "size"), [(15, "gpu"), (4, "cpu")])
def test_a_gpu_is_used(monkeypatch, capability, dtype, memory, size):
    monkeypatch.delenv("COURSEKIT_SIZE", raising=False)
    card = type("Card", (), {"total_memory": memory * 2**30})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: card)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i: capability)
    here = sizes.setup()
    assert (here.size, here.device.type, here.dtype) == (size, "cuda", dtype)
    assert "Tesla T4" in str(here)


def test_every_choice_has_its_reason(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    lines = str(sizes.setup("smoke")).splitlines()
    assert [line.split()[0] for line in lines] == ["size", "device", "dtype"]
    assert all(len(line.split()) > 3 for line in lines)


def test_pick():
    here = sizes.setup("smoke")
    assert here.pick(smoke=1, cpu=2, gpu=3) == 1
    with pytest.raises(CourseError, match="no entry for size 'smoke'"):
        here.pick(cpu=2)


def test_bad_size(monkeypatch):
    monkeypatch.setenv("COURSEKIT_SIZE", "tiny")
    with pytest.raises(CourseError, match="no size 'tiny': choose one of smoke, cpu, gpu"):
        sizes.setup()


def test_build_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path))
    assert sizes.build_folder("a", "b") == tmp_path / "a" / "b"


def test_report(capsys):
    sizes.report(Bleu_4=0.51234, passed="8/8")
    assert capsys.readouterr().out == "score: Bleu_4 = 0.5123\nscore: passed = 8/8\n"


def test_on_colab_it_says_where_things_are_kept(monkeypatch):
    monkeypatch.setattr("coursekit.colab.on_colab", lambda: True)
    monkeypatch.setattr("coursekit.colab.keep", lambda: "Kept in Drive.")
    assert str(sizes.setup("smoke")).splitlines()[-1] == "Kept in Drive."
    monkeypatch.undo()
    assert "Kept" not in str(sizes.setup("smoke"))
