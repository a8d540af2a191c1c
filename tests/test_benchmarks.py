"""The benchmarks run, stop where what they compare is not the same, and end up on one page."""

import errno
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks"
# Each at a size that takes no time
ARGUMENTS = {
    "decoding": ("--pictures", "4", "--beam", "3"),
    "gpt": ("--sizes", "small"),
    "image_gpt": ("--sizes", "d16", "--places", "3"),
    "lstm": ("--captions", "40"),
    "scoring": ("--pictures", "30"),
    "palette": ("--pictures", "20", "--colours", "3"),
    "grading": ("--students", "2"),
    "loading": ("--pictures", "10", "--photos", "2", "--epochs", "2"),
}
TASKS = {
    "decoding": ["greedy, 4 pictures", "beam 3, 4 pictures"],
    "gpt": [
        "small: reading",
        *(f"small: {way}, {n} at once" for n in (1, 2) for way in ("greedy", "beam 5")),
        "small: training, 2 × 5",
    ],
    "image_gpt": ["d16: reading", "d16: training", "d16: completing"],
    "lstm": [f"{size}: a {what}" for size in ("scenes", "photos") for what in ("step", "pass")],
    "scoring": ["BLEU", "ROUGE-L", "CIDEr", "together, without words: no Java"],
    "palette": ["3 colours"],
    "grading": ["2 submissions, 2 jobs"],
    "loading": ["scenes, 2 passes", "photos, one pass"],
}
# What helps to measure, and what measures one side alone
NO_COMPARISON = {"harness", "run", "encoders", "chip", "profiles", "growth", "growth_points"}
MULTIPLY = ("decoding", "gpt", "image_gpt", "lstm")  # those whose bound is the matrix rate


@pytest.fixture
def load(monkeypatch):
    """A function that loads a script of benchmarks/ as the command line would."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # a benchmark's own setting ends with the test

    def load(name):
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def harness(load, monkeypatch):
    """The harness, as the benchmarks see it, with a small square; threads stay as they are."""
    import harness

    monkeypatch.setattr(harness, "SQUARE", 64)
    monkeypatch.setattr(harness.torch, "set_num_threads", lambda n: None)
    return harness


@pytest.fixture
def tiny(load, harness, monkeypatch, tmp_path):
    """A function that loads a benchmark by name, made tiny: main() takes no time and leaves tmp_path/told."""

    def tiny(name, *more):
        told = ("--repeats", "1", "--json", str(tmp_path / "told"))
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *ARGUMENTS[name], *told, *more])
        module = load(name)
        SHRINK.get(name, lambda *_: None)(module, monkeypatch)
        return module

    return tiny


def small_gpt(module, monkeypatch):
    size = dict(dim=16, layers=1, heads=2, V=50, rows=2, places=5, pictures=(1, 2), words=4)
    monkeypatch.setitem(module.SIZES, "small", module.SIZES["small"] | size)


def small_image_gpt(module, monkeypatch):
    monkeypatch.setitem(module.SIZES, "d16", dict(dim=8, layers=1, heads=2))
    monkeypatch.setattr(module, "SIDE", 4)
    monkeypatch.setattr(module, "PICTURES", 2)


def small_lstm(module, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 16)
    for size in module.SIZES.values():
        size |= dict(embed_dim=6, hidden_dim=8, features=10)
    module.SIZES["photos"]["V"] = 30


def no_java(module, monkeypatch):
    monkeypatch.setattr(module, "find_java", lambda: None)


def stand_in_class(module, monkeypatch):
    """Grading without nbgrader: every command ends at once, and each student has five points."""
    students = {}

    def make_course(folder):
        (folder / "nbgrader_config.py").write_text("c = get_config()\n")
        return folder

    monkeypatch.setattr(module, "make_course", make_course)
    monkeypatch.setattr(module, "hand_in", lambda course, count: students.update({course: count}))
    monkeypatch.setattr(module, "run", lambda course, *command: (1.0, 0.5))
    monkeypatch.setattr(module, "total", lambda course: 5 * students[course])
    monkeypatch.setattr(module.subprocess, "run", lambda *a, **k: None)


SHRINK = dict(gpt=small_gpt, image_gpt=small_image_gpt, lstm=small_lstm, scoring=no_java)
SHRINK |= dict(grading=stand_in_class)


# --- every benchmark ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARGUMENTS)
def test_it_tells_what_it_measured(tiny, capsys, tmp_path, name):
    module = tiny(name)
    module.main()
    told = json.loads((tmp_path / "told").read_text())
    out = capsys.readouterr().out
    assert told["benchmark"] == name and told["about"] == module.__doc__.strip()
    assert told["clock"] == ("wall" if name == "grading" else "CPU") and told["repeats"] == 1
    assert [row["task"] for row in told["rows"]] == TASKS[name]
    for row in told["rows"]:
        assert row["agree"] and list(row["seconds"])[0] == "ours" and len(row["seconds"]) > 1
        assert row["ratio"].keys() == row["range"].keys() == row["seconds"].keys() - {"ours"}
        assert ("share" in row) == (name in MULTIPLY) and row["task"] in out
        assert name in MULTIPLY or row is not told["rows"][-1] or row["note"] in out
    assert "THEY DIFFER" not in out


def test_a_length_penalty_is_the_same_for_all_searches(tiny, tmp_path):
    tiny("decoding", "--length-penalty", "1").main()
    assert all(row["agree"] for row in json.loads((tmp_path / "told").read_text())["rows"])


def wrong_search(module):
    """Every caption that ours finds is one and the same word."""
    right = module.greedy
    return dict(greedy=lambda *a: ([[1]] * len(right(*a)[0]), None))


def wrong_side(part, name, result):
    """The tasks of this part of a benchmark, with one side that returns something else."""

    def change(module):
        right = getattr(module, part)
        return {part: lambda *a: right(*a) | {name: lambda: result}}

    return change


def wrong_loss(module):
    right = module.per_step_loss
    return dict(per_step_loss=lambda *a: 1.01 * right(*a))


def wrong_logits(module):
    right = module.reading

    def nearly(*a):
        tasks = right(*a)
        return tasks | {"transformers": lambda: 1.0001 * tasks["transformers"]()}

    return dict(reading=nearly)


def worse_palette(module):
    colours = module.torch.tensor([0, 1, 2], dtype=module.torch.uint8)
    worse = SimpleNamespace(exact=lambda *a: module.Palette(colours))
    monkeyed = type("Palette", (module.Palette,), {"exact": worse.exact})
    return dict(Palette=monkeyed)


def wrong_score(module):
    right = module.ours
    return dict(ours=lambda sums: {k: v + (k == "CIDEr") * 1e-5 for k, v in right(sums).items()})


def lost_points(module):
    courses = []

    def total(course):
        courses.append(course)
        return 10 if len(courses) % 2 else 9

    return dict(total=total)


def other_order(module):
    right = module.Items.__getitem__
    items = {"__getitem__": lambda self, i: right(self, (i + 1) % self.count)}
    return dict(Items=type("Items", (module.Items,), items))


def brighter_photos(module):
    def image(self, index):
        return super(brighter, self).image(index).clamp(max=250) + 5

    brighter = type("Photos", (module.Photos,), {"image": image})
    return dict(Photos=brighter)


WRONG = [
    ("decoding", wrong_search, [0]),
    ("gpt", wrong_search, [1, 3]),
    ("gpt", wrong_logits, [0]),
    ("gpt", wrong_side("training", "transformers", 0.0), [5]),
    ("image_gpt", wrong_logits, [0]),
    ("image_gpt", wrong_side("training", "ours", 0.0), [1]),
    *(("image_gpt", wrong_side("completing", side, [[99]]), [2]) for side in ("ours", "no cache")),
    ("lstm", wrong_loss, [0, 1, 2, 3]),
    ("palette", worse_palette, [0]),
    ("scoring", wrong_score, [2]),
    ("grading", lost_points, [0]),
    ("loading", other_order, [0, 1]),
    ("loading", brighter_photos, [1]),
]


@pytest.mark.parametrize(("name", "change", "rows"), WRONG)
def test_it_stops_when_results_differ(tiny, monkeypatch, capsys, tmp_path, name, change, rows):
    module = tiny(name)
    for attribute, value in change(module).items():
        monkeypatch.setattr(module, attribute, value)
    with pytest.raises(SystemExit, match=f"{len(rows)} results differ"):
        module.main()
    told = json.loads((tmp_path / "told").read_text())["rows"]
    assert [i for i, row in enumerate(told) if not row["agree"]] == rows
    assert capsys.readouterr().out.count("THEY DIFFER") == len(rows)


@pytest.mark.java
def test_words_are_compared_with_those_of_the_java_program(tiny, tmp_path):
    module = tiny("scoring", "--pictures", "3", "--repeats", "0")
    tasks = module.word_tasks(*module.make_captions(3, None))
    assert tasks["ours"]() == tasks["pycocoevalcap"]()


def test_the_slow_way_is_multiplied_by_what_it_left_out(tiny, harness, monkeypatch, tmp_path):
    ticks = iter(range(10**6))
    monkeypatch.setattr(harness, "cpu_time", lambda: next(ticks))
    tiny("image_gpt").main()
    row = json.loads((tmp_path / "told").read_text())["rows"][2]
    assert row["seconds"] == {"ours": 1, "transformers": 1, "no cache": pytest.approx(8 / 3)}


# --- operations, as many as torch counts; on a CPU it leaves attention out ------------------------


def counted(task):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        task()
    return counter.get_total_flops()


def test_gpt_counts_operations(tiny):
    module = tiny("gpt")
    size = module.SIZES["small"]
    ours, _ = module.make_pair(size)
    tokens = torch.zeros(2, 5).long()
    assert counted(lambda: ours(None, tokens)) == module.operations(size, 10, 10, seen=0)


def test_image_gpt_counts_operations(tiny):
    module = tiny("image_gpt")
    size = module.SIZES["d16"]
    ours, _ = module.make_pair(size)
    tokens = torch.zeros(2, 16).long()
    assert counted(lambda: ours(tokens)) == module.operations(size, 32, seen=0)


def test_lstm_counts_operations_of_real_tokens(tiny):
    module = tiny("lstm")
    size = module.SIZES["photos"]
    model, _ = module.make_pair(size, 30)["loop"]
    memory, tokens = torch.zeros(3, 1, 10), torch.ones(3, 4).long()
    wanted = module.operations(size, 30, [[1] * 5] * 3)
    assert counted(lambda: model(memory, tokens)) == wanted


def test_decoding_counts_operations(tiny):
    from coursekit.models.lstm import LSTMLanguageModel

    module = tiny("decoding")
    model = LSTMLanguageModel(9, 6, 8, cell="by_hand")
    rows = 3 * (2 + 1) + 3 * (4 + 1)  # captions of two and of four words, three beams
    state, tokens = model.start(rows), torch.ones(rows).long()
    wanted = module.operations(model, [[5] * 2, [5] * 4], beam=3)
    assert counted(lambda: model.step(tokens, state)) == wanted


def test_the_loop_is_the_model(tiny):
    """The two sides of the LSTM give the same logits, padding or not."""
    module = tiny("lstm")
    (ours, _), (loop, _) = module.make_pair(module.SIZES["photos"], 30).values()
    memory, tokens = torch.randn(3, 1, 10), torch.randint(30, (3, 4))
    assert torch.allclose(ours(memory, tokens), loop(memory, tokens), atol=1e-6)


# --- the harness --------------------------------------------------------------------------------


def test_sides_take_turns_and_the_first_turn_is_not_counted(harness):
    now, said = [0.0], []

    def task(name, *seconds):
        left = list(seconds)

        def run(*given):
            said.append(name + "".join(given))
            now[0] += left.pop(0)
            return len(left)

        return run

    def prepare():
        now[0] += 1000.0
        return "+"

    tasks = {"ours": task("a", 50, 1, 2, 6), "other": (prepare, task("b", 90, 4, 4, 4))}
    found = harness.measure(tasks, 3, clock=lambda: now[0])
    assert said == ["a", "b+"] * 4
    assert found == {"ours": ([1, 2, 6], [3, 2, 1, 0]), "other": ([4, 4, 4], [3, 2, 1, 0])}
    row = harness.row("x", found, 10, "things", operations=30, rate=60.0)
    assert row["seconds"] == {"ours": 2, "other": 4} and row["ratio"] == {"other": 2}
    assert row["range"] == {"other": [4 / 6, 4]} and row["share"] == 0.25 and row["agree"]
    cold = {"ours": task("a", 7)}
    assert harness.measure(cold, 1, lambda: now[0], warm=False) == {"ours": ([7], [0])}


def test_a_part_is_multiplied_and_the_square_is_no_side(harness):
    options = SimpleNamespace(repeats=1, clock=iter(range(100)).__next__)
    tasks = {"ours": lambda: 1.0, "part": lambda: 1.0005}
    row = harness.compare("x", tasks, options, operations=8, parts={"part": 0.25}, note="n")
    assert row["seconds"] == {"ours": 1, "part": 4} and row["note"] == "n"
    assert row["rate"] == 2 * 64**3 and row["share"] == 8 / row["rate"]


def far(tensor):
    return tensor + 2e-5 * tensor.abs().max()


ONE = torch.tensor([1.0, -3.0])


@pytest.mark.parametrize(
    ("mine", "other", "equal"),
    [
        (1.0, 1.0009, True),
        (1.0, 1.0011, False),
        (1.0, float("nan"), False),
        ([1.0, 2.0], [1.0, 2.1], False),
        ([1.0, 2.0], [1.0], False),
        ([[1, 2]], [[1, 2]], True),
        ([[1, 2]], [[1, 3]], False),
        (ONE, ONE + 1e-6, True),
        (ONE, far(ONE), False),
        (ONE, ONE[:1], False),
        (ONE, float("nan") * ONE, False),
        ([ONE], [far(ONE)], False),
        ([ONE.byte()], [ONE.byte()], True),
        ([ONE.byte()], [ONE.byte() + 1], False),
    ],
)
def test_same(harness, mine, other, equal):
    assert harness.same(mine, other) == equal


def test_other_ways_to_agree(harness):
    found = {"ours": ([1.0], [1]), "other": ([1.0], [2])}
    assert not harness.row("x", found)["agree"]
    assert harness.row("x", found, agree=lambda mine, other: mine < other)["agree"]
    assert harness.row("x", found, agree=True)["agree"]


def test_the_report_is_kept_though_results_differ(harness, capsys, tmp_path):
    options = harness.begin(harness.parser("What it is.\n\nMore.").parse_args([]))
    assert options.clock is harness.cpu_time and options.threads == 1
    options.json = tmp_path / "deep" / "told.json"
    rows = [harness.row("x", {"ours": ([1.0], [1]), "b": ([0.5], [2])}, 2000, "words", note="so")]
    with pytest.raises(SystemExit, match="1 results differ"):
        harness.report("name", iter(rows), options)
    told = json.loads(options.json.read_text())
    assert told["rows"] == rows and told["about"] == "What it is.\n\nMore."
    assert told["memory"] > 0 and {"torch", "transformers"} <= told["versions"].keys()
    out = capsys.readouterr().out
    assert "2,000 words/s" in out and "0.50 times our seconds" in out and "    so\n" in out


def test_more_threads_are_wall_time(harness):
    options = harness.begin(harness.parser("x").parse_args(["--threads", "2"]))
    assert options.clock is harness.time.perf_counter


# --- all of them: make bench ----------------------------------------------------------------------

SCRIPT = """
import json, pathlib, sys
with open("{root}/calls", "a") as calls:
    calls.write("{name} ")
row = dict(task="a task", unit="things", amount=10, agree=True, note="a note")
row |= dict(seconds=dict(ours=2.0, other=4.0), ratio=dict(other=2.0), range=dict(other=[1.5, 2.5]))
result = dict(about="A title.\\n\\nMore.", clock="CPU", threads=1, repeats=3, memory=0.5)
result |= dict(versions=dict(torch="1"), minutes=0, rows=[row])
pathlib.Path(sys.argv[-1]).write_text(json.dumps(result))
sys.exit({code!r})
"""


@pytest.fixture
def bench(load, harness, monkeypatch, tmp_path):
    """run.py for a folder of three benchmarks, the second of which fails."""
    module = load("run")
    monkeypatch.setattr(module, "BENCHMARKS", {"one": [], "two": [], "three": []})
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "harness.py").write_text("")
    for name in module.BENCHMARKS:
        told = "two differs" if name == "two" else 0
        script = SCRIPT.format(root=tmp_path, name=name, code=told)
        (tmp_path / "benchmarks" / f"{name}.py").write_text(script)
    module.calls = lambda: (tmp_path / "calls").read_text().split()
    module.all = lambda **how: module.run(list(module.BENCHMARKS), root=tmp_path, **how)
    return module


def test_bench_goes_on_after_a_failure_and_keeps_the_rest(bench, tmp_path, capsys):
    assert bench.all() == 1
    assert bench.calls() == ["one", "two", "three"]
    out = capsys.readouterr().out
    assert "two FAILED:\ntwo differs" in out
    assert out.count("a task") == 2 and "2.00 (1.50 to 2.50)" in out and "5 things/s" in out
    (results,) = bench.read(tmp_path).values()
    assert results.keys() == {"one", "three"}
    page = (tmp_path / bench.PAGE).read_text()
    assert page == bench.page(bench.read(tmp_path))
    row = "| a task | 5 things/s | other: 2.5 | 2.00 (1.50 to 2.50) | – |"
    assert page.count(row) == 2 and "- a task: a note" in page and "## two" not in page


def test_bench_runs_again_only_what_has_changed(bench, tmp_path, capsys):
    bench.all()
    script = tmp_path / "benchmarks" / "three.py"
    script.write_text(script.read_text() + "# changed\n")
    bench.all()
    assert bench.calls() == ["one", "two", "three", "two", "three"]
    capsys.readouterr()
    bench.run(["one"], root=tmp_path)
    assert len(bench.calls()) == 5 and capsys.readouterr().out.count("a task") == 1
    bench.run(["one"], again=True, root=tmp_path)
    assert bench.calls()[5:] == ["one"]
    (tmp_path / "benchmarks" / "harness.py").write_text("# changed\n")
    bench.run(["three"], root=tmp_path)
    (results,) = bench.read(tmp_path).values()
    assert results.keys() == {"three"}  # what was measured in another state is gone


def test_bench_keeps_what_another_machine_found(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "machine", lambda: "another machine")
    bench.run(["one"], root=tmp_path)
    monkeypatch.setattr(bench, "machine", lambda: "this machine")
    bench.run(["one"], root=tmp_path)
    assert bench.calls() == ["one", "one"]
    assert bench.read(tmp_path).keys() == {"another machine", "this machine"}
    assert "another machine" in (tmp_path / bench.PAGE).read_text()


def test_bench_stopped_by_hand_keeps_what_is_done(bench, monkeypatch, tmp_path, capsys):
    start = bench.subprocess.run

    def stopped(command, **how):
        if "two" in str(command[1]):
            raise KeyboardInterrupt
        return start(command, **how)

    monkeypatch.setattr(bench.subprocess, "run", stopped)
    assert bench.all() == 130
    assert "Stopped." in capsys.readouterr().out
    (results,) = bench.read(tmp_path).values()
    assert results.keys() == {"one"} and "## one" in (tmp_path / bench.PAGE).read_text()


def test_bench_on_a_full_disk_is_one_sentence(bench, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(bench, "run", full)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    with pytest.raises(SystemExit, match="^bench: No space is left.*make room"):
        bench.main()


def test_bench_names_what_there_is(bench, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", "four"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "there is no benchmark four: choose of one, two, three" in capsys.readouterr().err


def test_the_page_is_what_the_results_say(load):
    module = load("run")
    assert (ROOT / module.PAGE).read_text(encoding="utf-8") == module.page(module.read())


def test_make_bench_knows_every_comparison(load):
    module = load("run")
    names = {path.stem for path in FOLDER.glob("*.py")} - NO_COMPARISON
    assert names == set(module.BENCHMARKS) == set(ARGUMENTS)
    assert all(module.state_of(name) for name in module.BENCHMARKS)
