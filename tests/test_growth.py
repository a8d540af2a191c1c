"""How cost grows, and what a chip makes of it: points that are kept, laws that fit, pages and plots made of both."""

import importlib
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from coursekit.datasets.scene_drawing import SHAPES, blank, thing
from coursekit.datasets.scenes import Scenes, stream
from coursekit.errors import CourseError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def load(monkeypatch):
    """A function that imports a script of benchmarks/ or site/ by its name."""
    for folder in ("benchmarks", "site"):
        monkeypatch.syspath_prepend(ROOT / folder)
    return importlib.import_module


@pytest.fixture
def growth(load, monkeypatch, tmp_path):
    """The driver with few points, which cost x² seconds and 100 + x MB, and nothing to start."""
    module = load("growth")
    curves = {name: {s: xs[:3] for s, xs in each.items()} for name, each in module.CURVES.items()}
    monkeypatch.setattr(module, "CURVES", curves)
    asked = []

    def measured(curve, series, x):
        asked.append((curve, series, x))
        if x in module.breaks:
            module.breaks.remove(x)
            raise KeyboardInterrupt
        return made_up(x)

    monkeypatch.setattr(module, "measured", measured)
    files = dict(results_file=tmp_path / "growth.json", page_file=tmp_path / "growth.md")
    told = ["--json", str(files["results_file"]), "--page", str(files["page_file"])]
    extra = files | dict(breaks=[], asked=asked, run=lambda *more: module.main([*told, *more]))
    for name, value in extra.items():
        monkeypatch.setattr(module, name, value, raising=False)
    return module


def made_up(x):
    parts = dict(grade=1.5 * x, export=0.1, report=0.5 * x)
    more = dict(wall=9.0, examination=0.7, parts=parts, attention=0.2, share=0.3)
    return dict(seconds=x**2 / 1e6, memory=100.0 + x, floor=100.0, pictures_a_second=5.0 * x) | more


# --- points -----------------------------------------------------------------------------------------
def test_points_are_kept_and_not_measured_again(growth, capsys):
    assert growth.run() == 0
    every = [(c, s, x) for c, each in growth.CURVES.items() for s, xs in each.items() for x in xs]
    assert growth.asked == every
    before = growth.results_file.read_bytes()
    assert (
        growth.run() == 0 and growth.asked == every and growth.results_file.read_bytes() == before
    )
    assert growth.run("--curves", "batch", "--again") == 0
    assert growth.asked[len(every) :] == [one for one in every if one[0] == "batch"]
    assert "failed" not in capsys.readouterr().out


def test_ctrl_c_keeps_what_is_done(growth, capsys):
    growth.breaks.append(16)  # the last batch
    assert growth.run() == 130
    assert "the same command goes on from here" in capsys.readouterr().out
    kept = json.loads(growth.results_file.read_text())["points"]
    assert len(kept) == len(growth.asked) - 1 and "Not all points" in growth.page_file.read_text()
    assert growth.run() == 0 and growth.asked.count(("sequence", "training", 196)) == 1
    assert growth.asked.count(("batch", "LSTM captioner", 16)) == 2


def test_what_has_changed_is_measured_again(growth, monkeypatch):
    growth.run("--curves", "scenes", "batch")
    count = len(growth.asked)
    monkeypatch.setitem(growth.growth_points.SETTINGS, "scenes", dict(part=7))
    growth.run("--curves", "scenes", "batch")
    assert {one[0] for one in growth.asked[count:]} == {"scenes"}


def test_code_that_a_curve_runs_belongs_to_its_state(growth, monkeypatch, tmp_path):
    before = {curve: growth.state_of(curve) for curve in growth.CURVES}
    changed = tmp_path / "gpt.py"
    changed.write_text("other")
    reached = growth.reached
    monkeypatch.setattr(
        growth, "reached", lambda *a: {changed if p.name == "gpt.py" else p for p in reached(*a)}
    )
    after = {curve: growth.state_of(curve) for curve in growth.CURVES}
    assert after["sequence"] != before["sequence"] and after["scenes"] == before["scenes"]


def test_a_point_that_fails_is_told_and_not_kept(growth, monkeypatch, capsys):
    fails = lambda *a: {"error": "no walls here"}  # noqa: E731
    monkeypatch.setattr(growth, "measured", fails)
    assert growth.run("--curves", "students") == 1
    assert "failed: no walls here" in capsys.readouterr().out
    assert json.loads(growth.results_file.read_text())["points"] == []
    assert "Nothing has been measured yet" in growth.page_file.read_text()


def test_a_file_that_is_no_result_is_refused(growth, capsys):
    growth.results_file.write_text("[]")
    assert growth.run() == 2
    assert "delete it, and measure anew" in capsys.readouterr().err
    assert growth.results_file.read_text() == "[]" and not growth.asked
    with pytest.raises(SystemExit):
        growth.run("--curves", "weather")


def test_a_point_is_measured_in_a_process_of_its_own(load):
    growth = load("growth")
    found = growth.measured("scenes", "streamed", 20)
    assert found["seconds"] > 0 and found["memory"] >= found["floor"] > 20
    told = subprocess.CompletedProcess([], 1, "", "Traceback\nCourseError: no such thing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growth.subprocess, "run", lambda *a, **k: told)
        assert growth.measured("scenes", "streamed", 20) == {"error": "CourseError: no such thing"}


# --- what a point measures --------------------------------------------------------------------------
@pytest.mark.parametrize("series", ["training", "completion"])
def test_a_sequence(load, monkeypatch, series):
    points = load("growth_points")
    monkeypatch.setattr(points.harness, "SQUARE", 32)
    monkeypatch.setattr(points, "SEQUENCE", dict(colours=4, dim=8, layers=1, heads=2, pictures=1))
    found = points.sequence(series, 16)
    assert found["seconds"] > 0 and ("share" in found) == (series == "training")
    if series == "training":
        attention = 4 * 8 * 8.5
        assert found["attention"] == pytest.approx(attention / (attention + 24 * 64 + 2 * 8 * 4))


def test_operations_are_those_that_torch_counts(load):
    """As torch counts on a CPU: attention is left out there."""
    points = load("growth_points")
    size = dict(colours=4, dim=8, layers=2, heads=2)
    model = points.image_gpt(size, 16)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(3, 16).long())
    assert counter.get_total_flops() == 3 * 16 * points.operations(size, 16)[0]


@pytest.mark.parametrize("series", ["LSTM captioner", "Image GPT"])
def test_a_batch(load, monkeypatch, series):
    points = load("growth_points")
    monkeypatch.setattr(points, "BATCH_GPT", dict(colours=4, dim=8, layers=1, heads=2, pixels=16))
    small = dict(vocab_size=9, memory_dim=5, embed_dim=4, hidden_dim=6, places=2, words=3)
    monkeypatch.setattr(points, "BATCH_LSTM", small)
    found = points.batch(series, 3)
    assert found["pictures_a_second"] == pytest.approx(3 / found["seconds"])


def test_scenes_of_a_stream_are_those_of_the_set(load):
    points = load("growth_points")
    whole, parts = Scenes("dev", 25, seed=3), list(stream("dev", 25, seed=3, part=10))
    assert [len(part) for part in parts] == [10, 10, 5]
    assert [name for part in parts for name in part.names] == whole.names
    assert [c for part in parts for c in part.captions] == whole.captions
    assert torch.equal(parts[2].image(4), whole.image(24))
    for series in ("streamed", "at once"):
        assert points.scenes(series, 15)["seconds"] > 0


@pytest.mark.parametrize("name", list(SHAPES))
def test_a_thing_that_leaves_the_picture_is_cut_off(name):
    whole = blank("day", "sand")
    thing(whole, name, "red", 20, 36, 21)
    for dx, dy in ((-24, 0), (35, 0), (0, 20), (-24, 20)):
        part = blank("day", "sand")
        thing(part, name, "red", 20 + dx, 36 + dy, 21)
        painted = (part != blank("day", "sand")).any(2)
        wanted = np.zeros((96, 128), bool)
        wanted[:64, 32:96] = (whole != blank("day", "sand")).any(2)
        wanted = np.roll(wanted, (dy, dx), (0, 1))[:64, 32:96]
        assert painted.any() and (painted == wanted).all()


def test_a_stream_refuses_what_scenes_refuse():
    for wrong in (dict(split="val"), dict(count=0), dict(part=0)):
        with pytest.raises(CourseError):
            next(stream(**wrong))
    with pytest.raises(CourseError, match="number 0 or a later one"):
        Scenes("dev", 1, first=-1)


def test_only_the_first_examination_is_real(load):
    points = load("growth_points")
    real = []
    answered = points.simulated(lambda *a: real.append(a) or {"notebook": [len(real)]}, 0.0)
    found = [answered("job", False, 1) for _ in range(3)]
    assert len(real) == 1 and found == [{"notebook": [1]}] * 3
    found[1]["notebook"].append("changed")  # each is a result of its own
    assert answered("job", False, 1) == {"notebook": [1]}


@pytest.mark.walls
def test_a_class(load, monkeypatch):
    points = load("growth_points")
    from coursekit.grading import parallel

    monkeypatch.setattr(parallel, "answered", parallel.answered)  # put back after
    monkeypatch.setitem(points.CLASS, "examination", 0.0)
    found = points.students("simulated", 2)
    assert set(found["parts"]) == {"grade", "export", "report"} and found["examination"] > 0


# --- laws, page and plots -----------------------------------------------------------------------------
def test_the_law_is_the_power_that_made_the_points(load):
    law = load("growth").law
    points = [dict(x=x, seconds=3 * x**1.5) for x in (10, 100, 7000)]
    assert law(points) == pytest.approx(1.5)
    assert law(points, lambda p: 5.0) == pytest.approx(0)
    assert law(points[:1]) is None and law(points, lambda p: 0.0) is None


def test_the_page_tells_every_point_and_every_law(growth):
    growth.run()
    text = growth.page_file.read_text()
    known = json.loads(growth.results_file.read_text())
    assert text == growth.page(known) and text.count("<!-- plot: ") == len(growth.CURVES)
    rows = [line for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(rows) == len(known["points"]) and "power 2.00" in text
    assert all(one["sentence"] in text and one["title"] in text for one in known["told"].values())


def test_the_pages_that_ship_are_those_of_their_results(load):
    growth, chip = load("growth"), load("chip")
    known = json.loads((ROOT / growth.RESULTS).read_text(encoding="utf-8"))
    assert (ROOT / growth.PAGE).read_text(encoding="utf-8") == growth.page(known)
    every = [(c, s, x) for c, each in growth.CURVES.items() for s, xs in each.items() for x in xs]
    assert [(p["curve"], p["series"], p["x"]) for p in known["points"]] == every
    assert known["told"] == growth.told(known["points"])
    assert (ROOT / chip.PAGE).read_text(encoding="utf-8") == chip.page(
        chip.read(ROOT / chip.RESULTS)
    )


def test_the_book_draws_what_the_page_names(load):
    curves = load("curves")
    name, files = "docs/growth.md", {}
    text = curves.with_plots((ROOT / name).read_text(encoding="utf-8"), name, ROOT, files)
    assert len(files) == 8 and text.count("```{image}") == 8 and "<!-- plot" not in text
    assert all(data.startswith(b"\x89PNG") for data in files.values())
    alts = [line for line in text.splitlines() if line.startswith(":alt: ")]
    assert len(alts) == 8 and all(len(json.loads(alt[6:])) > 60 for alt in alts)
    again = {}
    curves.with_plots((ROOT / name).read_text(encoding="utf-8"), name, ROOT, again)
    assert again == files


def test_without_points_the_page_stays_as_it_is(load, tmp_path):
    files = {}
    text = "<!-- plot: batch -->\n"
    assert load("curves").with_plots(text, "docs/growth.md", tmp_path, files) == text and not files


# --- the chip -----------------------------------------------------------------------------------------
@pytest.fixture
def chip(load, monkeypatch, tmp_path):
    """The script at toy size, with files of its own."""
    module = load("chip")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    return module


def test_without_a_gpu_nothing_is_measured(chip, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(chip.torch.cuda, "is_available", lambda: False)
    assert chip.main(["--page", str(tmp_path / "page.md")]) == 0
    assert capsys.readouterr().out == "No GPU here: nothing was measured.\n"
    assert "**Not measured.**" in (tmp_path / "page.md").read_text()
    assert not (tmp_path / chip.RESULTS).exists()


def test_every_path_runs_on_a_cpu(chip, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(chip, "FAMILIES", {k: chip.FAMILIES[k] for k in ("lstm", "image_gpt")})
    place = tmp_path / "chip.json"
    told = ["--device", "cpu", "--tiny", "--repeats", "1", "--json", str(place)]
    assert chip.main(told) == 0
    rows = chip.read(place)["a CPU, at toy size"]["rows"]
    assert [row["format"] for row in rows[:2]] == list(chip.FORMATS)
    ways = {(r["family"], r["format"], r["compiled"], r["attention"]) for r in rows[2:]}
    assert len(ways) == len(rows) - 2 == 4 + 8
    for row in rows[2:]:
        assert "why" not in row and sum(row["shares"].values()) == pytest.approx(1)
        assert row["pictures_a_second"] > 0 and row["limit"] in chip.LIMITS
    assert capsys.readouterr().out.count("\n") >= 15
    assert chip.page(chip.read(place)).count("\n| ") == 2 + 12


@pytest.mark.parametrize("family", ["prefix", "vit_gpt2"])
def test_the_other_families(chip, family):
    device = torch.device("cpu")
    for kernel in chip.KERNELS:
        way = dict(family=family, format="bfloat16", compiled=False, attention=kernel)
        found = chip.one(way, chip.TINY[family], device, 1, rate=1e9)
        assert "why" not in found and found["share"] > 0


@pytest.mark.parametrize("family", ["lstm", "prefix", "vit_gpt2", "image_gpt"])
def test_a_step_has_as_many_operations_as_torch_counts(chip, family):
    """Attention by plain products, which torch counts on a CPU; it leaves recurrence out, so of the LSTM it counts less."""
    size = chip.TINY[family]
    model, loss_of, _, operations = chip.FAMILIES[family](size, torch.device("cpu"))
    with chip.sdpa_kernel(chip.SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss_of(model)
    counted = counter.get_total_flops()
    if family == "lstm":
        counted += (size["pictures"] * (size["words"] - 1)) * 8 * size["hidden"] * (size["embed"] + size["hidden"])  # fmt: skip
    assert operations / 3 == pytest.approx(counted, rel=0.05)


def test_a_kernel_that_is_not_there_is_told(chip, monkeypatch):
    def breaks(*_):
        raise RuntimeError("No available kernel. Aborting execution.\nmore")

    monkeypatch.setitem(chip.FAMILIES, "prefix", breaks)
    way = dict(family="prefix", format="float32", compiled=False, attention="flash")
    row = way | chip.one(way, chip.TINY["prefix"], torch.device("cpu"), 1, 1e9)
    assert row["why"] == "No available kernel. Aborting execution."
    assert "not to be had: No available kernel" in chip.line(row)


def test_kernels_are_sorted_by_what_bounds_them(chip):
    products = ["ampere_bf16_s16816gemm_128x64", "flash_fwd_kernel", "aten::addmm", "cutlass_80"]
    others = ["vectorized_elementwise_kernel", "aten::copy_", "aten::softmax", "layer_norm_grad"]
    assert {chip.kind_of(name) for name in products} == {"matrix products"}
    assert {chip.kind_of(name) for name in others} == {"memory"}


def test_shares_of_a_gpu_are_of_its_kernels_alone(chip, monkeypatch):
    """The host's operations carry their kernels' time as well, and would count it twice."""
    cuda = SimpleNamespace(type="cuda")
    events = [
        SimpleNamespace(device_type="DeviceType.CUDA", key="gemm", self_device_time_total=1.5e6),
        SimpleNamespace(device_type="DeviceType.CUDA", key="add", self_device_time_total=0.6e6),
        SimpleNamespace(device_type="DeviceType.CPU", key="aten::mm", self_device_time_total=1.5e6),
    ]
    found = SimpleNamespace(key_averages=lambda: events)

    class Profile:
        def __init__(self, **_):
            pass

        def __enter__(self):
            return found

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(chip, "profile", Profile)
    monkeypatch.setattr(chip, "synchronise", lambda device: None)
    told = chip.shares(lambda: None, 1.0, cuda, times=3)
    assert told == pytest.approx({"matrix products": 0.5, "memory": 0.2, "launches": 0.3})
