"""The channel between the examiner and a student's kernel, with the student in a process of its own.

The second half is an attacker's: processes that speak the channel's language, to do harm in it.
"""

import math
import multiprocessing
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from coursekit.errors import CourseError
from coursekit.grading import bank
from coursekit.grading.exam.channel import (
    Far,
    FarError,
    KernelDied,
    Limits,
    Near,
    OutOfTime,
    TooMuch,
    accept,
    listen,
)
from coursekit.models.lstm import LSTMLanguageModel, ShowAndTell, caption_loss

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(bank.PRELOAD)
# What the child runs: the notebook of a student, then the channel
NOTEBOOK = """
import linecache, torch
from coursekit.grading.exam.far import serve

torch.set_num_threads(1)
lines = source.splitlines(keepends=True)
linecache.cache["<cell>"] = (len(source), None, lines, "<cell>")
space = dict(torch=torch, nn=torch.nn)
exec(compile(source, "<cell>", "exec"), space)
serve(path, space)
"""
# What another child runs: an attack that speaks the channel's language
ATTACK = """
import json, os, socket, struct, time

connection = socket.socket(socket.AF_UNIX)
connection.connect(path)

def take(size):
    data = b""
    while len(data) < size:
        data += connection.recv(size - len(data)) or os._exit(0)
    return data

def read():
    header = json.loads(take(struct.unpack(">I", take(4))[0]))
    for size in header["sizes"]:
        take(size)
    return header

def text(letters):
    data = letters.encode() if isinstance(letters, str) else letters
    connection.sendall(struct.pack(">I", len(data)) + data)

def frame(header, *parts):
    sizes = [len(part) for part in parts]
    text(json.dumps(dict(dict(sizes=sizes), **header)))
    connection.sendall(b"".join(parts))

def reply(value, *parts, **more):
    frame(dict(reply=asked["serial"], value=value, **more), *parts)

asked = read()
exec(source)
while True:
    read()
"""


class Child:
    """A process with a student's notebook, or an attack, and the examiner's end of its channel."""

    def __init__(self, script, source, seconds=20.0, limits=None):
        with tempfile.TemporaryDirectory(prefix="channel-") as folder, bank._no_main():
            path = f"{folder}/s"
            listener = listen(path)
            names = dict(source=source, path=path)
            self.process = CONTEXT.Process(target=exec, args=(script, names), daemon=True)
            self.process.start()
            with listener:
                self.near = Near(accept(listener, 60), seconds, limits)

    def end(self):
        self.near.close()
        self.process.kill()
        self.process.join()


@pytest.fixture
def student():
    """student(source, seconds=…, limits=…) → Near: a notebook in a process of its own."""
    children = []

    def start(source, **options):
        children.append(Child(NOTEBOOK, source, **options))
        return children[-1].near

    yield start
    for child in children:
        child.end()


@pytest.fixture
def attack():
    """attack(source, seconds=…) → Near: an attack in a process of its own."""
    children = []

    def start(source, **options):
        children.append(Child(ATTACK, source, **options))
        return children[-1].near

    yield start
    for child in children:
        child.end()


# One notebook serves the tests that leave nothing behind
COMMON = '''
import copy
import numpy as np
from collections import Counter, namedtuple


def again(thing):
    return copy.deepcopy(thing)


def same(thing):
    return thing


def run(source, *given):
    """What an expression of the student gives."""
    return eval(source, globals(), {"given": given})


class Liar:
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0

    def __reduce__(self):
        raise SystemExit("pickled")


class Everything(list):
    def __eq__(self, other):
        return True


class Net(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        torch.manual_seed(4)
        self.layer, self.size = nn.Linear(inputs, 2), inputs

    def forward(self, x):
        return self.layer(x).tanh()


class Number(int):
    def __eq__(self, other):
        return True
    __hash__ = int.__hash__
    def __repr__(self):
        return "7"
    __str__ = __int__ = __index__ = __pos__ = __repr__


class Word(str):
    def __eq__(self, other):
        return True
    __hash__ = str.__hash__
    def __str__(self):
        return "right"


class Share(float):
    def __eq__(self, other):
        return True
    __hash__ = float.__hash__
    def __pos__(self):
        return 1.0


def count_up():
    number = 0
    while True:
        yield number
        number += 1
'''


@pytest.fixture(scope="module")
def common():
    child = Child(NOTEBOOK, COMMON)
    yield child.near
    child.end()


def alike(a, b):
    """Equal in type, in form, and in every number, nan included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        form = a.dtype == b.dtype and a.shape == b.shape and a.requires_grad == b.requires_grad
        same = torch.equal(a.nan_to_num(7.5), b.nan_to_num(7.5))
        return form and same and (a.grad is None) == (b.grad is None)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    return repr(a) == repr(b)


# --- values -------------------------------------------------------------------------------------
VALUES = [
    None, True, 0, -5, 2**90, 0.1, -0.0, math.inf, math.nan, "", "naïve ✓ \n\0", b"", b"\0\xff", 2j,
    [], [1, [2, [3]]], (), (1, ("a",)), {}, {"a": 1, 2: [None], (3, "b"): {}}, {1, 2}, frozenset({1}),
    np.arange(6.0).reshape(2, 3)[:, ::2], np.zeros((0, 4), np.int32), np.array(3, np.uint8),
    np.array([True, False]), np.float32(0.1), np.int64(7), np.bool_(True), np.array(["a", "bcd"]),
    np.array([[1, "x"], [None, 2.5]], dtype=object), np.arange(3, dtype=">i4"), np.float16([1.5]),
    torch.tensor([1.5, math.nan, -0.0]), torch.tensor(3), torch.zeros(0, 3), torch.tensor(True),
    torch.tensor([[1, 2]], dtype=torch.bfloat16), torch.arange(6).reshape(2, 3).T,
    torch.tensor([1 + 2j]).conj(), torch.ones(3, dtype=torch.float16), torch.ones(2).expand(3, 2),
    torch.ones(2, requires_grad=True), nn.Parameter(torch.ones(2)), torch.tensor([7], dtype=torch.uint8),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda v: f"{type(v).__name__}-{str(v)[:12]!r}")
def test_values_come_as_they_go(common, value):
    got = common.get("again")(value)
    if isinstance(value, torch.Tensor) and value.is_conj():
        value = value.resolve_conj()
    assert alike(got, value)


def test_a_leaf_comes_with_its_gradient(common):
    leaf = torch.ones(2, requires_grad=True)
    leaf.grad = torch.tensor([3.0, 4.0])
    got = common.get("again")(leaf)
    assert got is not leaf and got.is_leaf and torch.equal(got.grad, leaf.grad)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("Everything([1, 2])", [1, 2]),
        ("Number(5)", 5),
        ("[Word('wrong')]", ["wrong"]),
        ("Share(0.25)", 0.25),
        ("Counter('aab')", {"a": 2, "b": 1}),
        ("namedtuple('Pair', 'x y')(1, 2)", (1, 2)),
        ("np.matrix([[1.0, 2.0]])", np.array([[1.0, 2.0]])),
        ("torch.zeros(2).as_subclass(type('Mine', (torch.Tensor,), {}))", torch.zeros(2)),
        ("bytearray(b'ab')", b"ab"),
    ],
)
def test_subclasses_arrive_as_the_plain_value(common, source, value):
    got = common.get("run")(source)
    assert alike(got, value)
    assert not (isinstance(value, (list, int)) and got == "something else")


def test_lone_surrogates_do_not_reach_the_notebook(common):
    assert common.get("run")(r"'a\ud800b'") == "a?b"


def test_names(common):
    assert common.has("again") and not common.has("nothing")
    assert {"again", "Net"} <= set(common.names) and "__builtins__" not in common.names
    with pytest.raises(NameError, match="name 'nothing' is not defined"):
        common.get("nothing")


# --- objects that stay --------------------------------------------------------------------------
def test_an_object_is_equal_to_itself_alone(common):
    one, other = common.get("run")("[Liar(), Liar()]")
    assert isinstance(one, Far) and type(one).__name__ == "Liar"
    assert one == one and one != other and one != 1 and other != common.get("run")("Liar()")


def test_an_object_is_used_as_if_it_were_here(common):
    net = common.get("Net")(3)
    assert type(net).__name__ == "Net" and callable(net) and net.size == 3
    assert [name for name, _ in net.named_parameters()] == ["layer.weight", "layer.bias"]
    assert net.eval().training is False
    x = torch.ones(1, 3)
    assert torch.allclose(net(x), (x @ net.layer.weight.T + net.layer.bias).tanh())
    net.load_state_dict({"layer.bias": torch.tensor([1.0, 2.0])}, strict=False)
    assert net.layer.bias.tolist() == [1, 2]


def test_an_object_has_what_its_class_has(common):
    run = common.get("run")
    three = run("range(3)")
    assert (len(three), three[1], three[::2].stop, list(three)) == (3, 1, 3, [0, 1, 2])
    assert not callable(three) and type(three).__name__ == "range"
    rows = run("(x for x in 'ab')")
    assert not hasattr(rows, "__len__") and next(rows) == "a" and list(rows) == ["b"]
    with pytest.raises(StopIteration):
        next(rows)
    assert not hasattr(common.get("Net")(1), "nothing")
    with pytest.raises(AttributeError, match="cannot set"):
        three.start = 4
    with pytest.raises(TypeError, match="cannot be copied"):
        __import__("copy").copy(three)


def test_tensors_that_cannot_travel_stay(common):
    sparse, empty = common.get("run")("[torch.eye(2).to_sparse(), torch.ones(1, device='meta')]")
    assert isinstance(sparse, Far) and isinstance(empty, Far) and type(sparse).__name__ == "Tensor"
    assert torch.equal(sparse.to_dense(), torch.eye(2))


def test_an_object_that_goes_back_is_the_student_s_own(common):
    first = common.get("run")("[Liar()]")[0]
    assert common.get("run")("given[0] is given[1][0]", first, [first])


def test_an_iterator_without_an_end(student):
    near = student(COMMON, limits=Limits(items=50))
    with pytest.raises(TooMuch, match="a generator without an end"):
        list(near.get("count_up")())
    with pytest.raises(TooMuch, match="more than 10000000 things"):
        len(near.get("run")("range(10**12)"))


def test_objects_are_forgotten_on_both_sides(student):
    near = student(
        """
        import gc
        def make(): return lambda: 0
        def use(one): return one()
        def kept():
            server, = [x for x in gc.get_objects() if type(x).__name__ == "_Server"]
            return len(server.table)
        """.replace("\n        ", "\n")
    )
    make, use, kept = map(near.get, ("make", "use", "kept"))
    for _ in range(50):
        make()()
        use(lambda: 1)
    assert kept() < 8 and len(near._lent._things) < 8


# --- arguments that are changed -----------------------------------------------------------------
CHANGERS = """
def fill(rows):
    rows[0].append(5)
    rows.append([6])

def words(table, names):
    table["b"] = 2
    del table["a"]
    names.add("z")

def in_place(x, array):
    x += 1
    array[0] = 9
    return x

def through_numpy(x):
    x.numpy()[...] = 4

def grow(x):
    x.data = torch.zeros(9)

def slope(x):
    (x * torch.tensor([2.0, 3.0])).sum().backward()

def fail(x):
    x.zero_()
    raise ValueError("late")

def one(a, b):
    a.append(1)
    return a is b, len(b)

def train(model, loss_fn, memory, tokens):
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    loss_fn(model, memory, tokens, 0).backward()
    optimizer.step()
    return model

def shrink(model):
    model.head = nn.Linear(2, 2)

def put(rows, x):
    rows[:] = [x, "new", rows[0]]
"""


def test_lists_and_tables_that_are_changed(student):
    near = student(CHANGERS)
    rows, inner = [[1], [2]], None
    inner = rows[1]
    near.get("fill")(rows)
    assert rows == [[1, 5], [2], [6]] and inner == [2]
    table, names = {"a": 1}, {"y"}
    near.get("words")(table, names)
    assert table == {"b": 2} and names == {"y", "z"}
    shared = []
    assert near.get("one")(shared, shared) == (True, 1) and shared == [1]
    rows, x = [[7]], torch.ones(1)
    near.get("put")(rows, x)
    assert rows[0] is x and rows[1:] == ["new", [7]]


def test_arrays_and_tensors_that_are_changed(student):
    near = student(CHANGERS)
    whole, array = torch.zeros(3, 2), np.zeros(2)
    row = whole[1]
    assert near.get("in_place")(row, array) is row
    assert whole.tolist() == [[0, 0], [1, 1], [0, 0]] and array.tolist() == [9, 0]
    near.get("through_numpy")(row)
    assert row.tolist() == [4, 4]
    leaf = torch.zeros(2, requires_grad=True)
    near.get("slope")(leaf)
    near.get("slope")(leaf)
    assert leaf.grad.tolist() == [4, 6]
    with pytest.raises(ValueError, match="late"):
        near.get("fail")(row)
    assert row.tolist() == [0, 0]


def test_an_argument_keeps_its_shape(student):
    near = student(CHANGERS)
    x = torch.ones(2)
    with pytest.raises(FarError, match="another shape"):
        near.get("grow")(x)
    assert x.tolist() == [1, 1]
    model = ShowAndTell(7, 5, 4, 6)
    with pytest.raises(FarError, match="other weights|another shape"):
        near.get("shrink")(model)
    assert model.head.weight.shape == (7, 6) and near.has("grow")


def batch():
    torch.manual_seed(1)
    return torch.randn(2, 3, 5), torch.tensor([[1, 4, 3, 2], [1, 5, 2, 0]])


def test_a_model_of_the_course_is_trained_as_if_it_were_here(student):
    near = student(CHANGERS)
    models = [ShowAndTell(7, 5, 4, 6, dropout=0.0).eval() for _ in range(2)]
    models[0].load_state_dict(models[1].state_dict())
    space = dict(torch=torch, nn=nn)
    exec(CHANGERS, space)
    space["train"](models[0], caption_loss, *batch())
    assert near.get("train")(models[1], caption_loss, *batch()) is models[1]
    assert models[1].training
    for here, there in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(here, there) and torch.equal(here.grad, there.grad)


@pytest.mark.parametrize(
    "model", [LSTMLanguageModel(9, 4, 6, "gru", 2, 0.1), ShowAndTell(9, 5, 4, 6, "state", 0.2)]
)
def test_settings_make_the_same_model(model):
    again = type(model)(**model.settings)
    again.load_state_dict(model.state_dict())
    assert repr(again) == repr(model) and again.settings == model.settings


# --- gradients ----------------------------------------------------------------------------------
SLOPES = (
    COMMON
    + """
net = Net(2)
def scale(x, factor=3.0):
    return x * factor, (x ** 2).sum()
def weigh(model, memory, tokens):
    return model(memory, tokens).square().mean()
def cut(x):
    return x.detach() * 2
"""
)


def test_gradients_flow_to_arguments_and_to_the_student_s_weights(student):
    near = student(SLOPES)
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y, total = near.get("scale")(x * 2)
    (y.sum() + total).backward()
    assert x.grad.tolist() == [6 + 8, 6 + 16]
    net = near.get("net")
    x.grad = None
    net(x).sum().backward()
    weight, out = net.layer.weight, net(x).detach()
    slope = 1 - out**2
    assert torch.allclose(x.grad, slope @ weight.detach())
    assert torch.allclose(weight.grad, slope[:, None] * x.detach())
    assert net.layer.bias.grad.shape == (2,)


def test_gradients_flow_through_two_of_the_student_s_functions(student):
    near = student(SLOPES)
    net, scale = near.get("net"), near.get("scale")
    x = torch.ones(2, requires_grad=True)
    scale(net(x))[1].backward()
    here = torch.ones(2, requires_grad=True)
    weight, bias = net.layer.weight.detach(), net.layer.bias.detach()
    ((weight @ here + bias).tanh() ** 2).sum().backward()
    assert torch.allclose(x.grad, here.grad)


def test_gradients_reach_a_model_of_the_test(student):
    near = student(SLOPES)
    model = ShowAndTell(7, 5, 4, 6, dropout=0.0)
    memory, tokens = batch()
    near.get("weigh")(model, memory, tokens).backward()
    got = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model(memory, tokens).square().mean().backward()
    assert all(torch.allclose(a, p.grad) for a, p in zip(got, model.parameters(), strict=True))


def test_no_gradient_where_there_is_none(student):
    near = student(SLOPES)
    x = torch.ones(2, requires_grad=True)
    assert not near.get("cut")(x).requires_grad
    with torch.no_grad():
        assert not near.get("scale")(x)[0].requires_grad
    y, _ = near.get("scale")(x)
    with pytest.raises(RuntimeError, match="numpy"):
        y.numpy()


# --- errors -------------------------------------------------------------------------------------
ERRORS = """
class Mine(Exception):
    pass

def stop(kind, *words):
    raise kind(*words)

def nested():
    return {}["purple"]

def stub(x):
    raise NotImplementedError("write me")

class Silent(Exception):
    def __str__(self):
        raise ValueError

errors = {
    "mine": Mine("so"), "exit": SystemExit("bye"), "silent": Silent(), "end": StopIteration("x"),
    "unicode": UnicodeDecodeError("utf-8", b"a", 0, 1, "bad"), "long": ValueError("x" * 9000),
    "os": FileNotFoundError(2, "No such file", "a.txt"), "interrupt": KeyboardInterrupt(),
}
def throw(name):
    raise errors[name]
"""


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("mine", FarError, "so"),
        ("exit", FarError, "bye"),
        ("silent", FarError, ""),
        ("end", FarError, "x"),
        ("unicode", FarError, "'utf-8' codec can't decode byte 0x61 in position 0: bad"),
        ("os", FileNotFoundError, "[Errno 2] No such file: 'a.txt'"),
        ("interrupt", FarError, ""),
    ],
)
def test_errors_have_their_name_and_their_words(student, name, kind, text):
    near = student(ERRORS)
    with pytest.raises(kind) as caught:
        near.get("throw")(name)
    names = {"mine": "Mine", "exit": "SystemExit", "end": "StopIteration"}
    assert str(caught.value) == text
    assert type(caught.value).__name__ == names.get(name, type(caught.value).__name__)
    assert near.has("throw")


def test_errors_bring_the_student_s_line(student):
    near = student(ERRORS)
    with pytest.raises(KeyError) as caught:
        near.get("nested")()
    assert str(caught.value) == "'purple'"
    assert caught.value.where == ' in line 9 of nested: return {}["purple"]'
    with pytest.raises(NotImplementedError, match="write me"):
        near.get("stub")(1)
    with pytest.raises(ValueError) as caught:
        near.get("throw")("long")
    assert len(str(caught.value)) == 2000
    with pytest.raises(AttributeError) as caught:
        _ = near.get("throw").nothing
    assert caught.value.where == ""


# --- what a test lends --------------------------------------------------------------------------
class Helper:
    """An object of a test."""

    answer = 42

    def __init__(self):
        self.secret, self.seen, self.hidden = "expected", [], lambda: "expected"

    @property
    def view(self):
        return self.secret

    def look(self, *things, **named):
        """Keeps what it is given."""
        self.seen.append((things, named))
        return len(self.seen)

    @staticmethod
    def double(x):
        return 2 * x

    def wrong(self):
        raise LookupError("the expected value is 7")

    def deeper(self, function):
        return function(self)

    def _private(self):
        return self.secret


LENT = """
def use(helper):
    return [helper.look(1, [2], key="v"), helper.look(torch.ones(2)), helper.double(4)]

def reach(helper):
    found = []
    for name in ("answer", "secret", "seen", "hidden", "view", "_private", "__class__x"):
        found += [name] if hasattr(helper, name) else []
    return found, callable(helper), type(helper).__name__

def call(function, *args, **named):
    return function(*args, **named)

def wrong(helper):
    helper.wrong()

def recover(helper):
    try:
        helper.wrong()
    except LookupError as error:
        return str(error)

def other(helper):
    try:
        helper.wrong()
    except Exception:
        raise KeyError("mine")

def forever(helper):
    return helper.deeper(forever)

kept = []
def keep(helper):
    kept.append(helper)
def later():
    return kept[0].look()
def never():
    import threading
    raised = []
    def work():
        try:
            kept[0].look()
        except Exception as error:
            raised.append(type(error).__name__)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return raised

def differentiate(function, x):
    return function(x).sum()

def where(function):
    return function.__module__, function is __import__("importlib").import_module(
        function.__module__).__dict__[function.__name__]

def form(*things):
    return [type(thing).__name__ for thing in things], things[0] == slice(1, 4), list(things[1])
"""


def test_public_methods_of_an_object_of_the_test(student):
    near, helper = student(LENT), Helper()
    assert near.get("use")(helper) == [1, 2, 8]
    assert helper.seen[0] == ((1, [2]), {"key": "v"}) and helper.seen[1][0][0].tolist() == [1, 1]
    assert near.get("reach")(helper) == ([], False, "Helper")
    assert near.get("call")(lambda a, b: a + b, 1, 2) == 3
    named = dict(self=1, key=2, name=3, args=4, on=5)
    assert near.get("call")(lambda **given: given, **named) == named


def test_an_object_that_is_kept_works_while_a_test_waits(student):
    near, helper = student(LENT), Helper()
    near.get("keep")(helper)
    assert near.get("later")() == 1
    assert near.get("never")() == [] and len(helper.seen) == 2


def test_errors_of_the_test_come_out_as_they_were(student):
    near, helper = student(LENT), Helper()
    with pytest.raises(LookupError, match="the expected value is 7") as caught:
        near.get("wrong")(helper)
    assert caught.traceback[-1].name == "wrong" and "helper.wrong()" in caught.value.where
    # What they say may hold expected values, so the student's side learns only their kind
    assert near.get("recover")(helper) == "the test itself stopped (LookupError)"
    with pytest.raises(KeyError, match="mine"):
        near.get("other")(helper)


def test_calls_without_an_end(student):
    near = student(LENT, limits=Limits(nested=6))
    with pytest.raises(RecursionError):
        near.get("forever")(Helper())
    assert near.has("forever") and not near._waiting


def test_things_of_the_course_go_by_name(student):
    near = student(LENT)
    assert near.get("where")(caption_loss) == ("coursekit.models.lstm", True)
    assert near.get("where")(ShowAndTell)[1] is True
    got = near.get("form")(slice(1, 4), range(3), torch.int64)
    assert got == (["slice", "range", "dtype"], True, [0, 1, 2])


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (nn.Linear(2, 2), "cannot hand over a Linear"),
        (math, "cannot hand over the module math"),
        (type("Bare", (ShowAndTell,), {"__module__": "notebook"})(5, 4), "cannot hand over a Bare"),
    ],
)
def test_what_cannot_be_lent_is_refused_and_the_channel_goes_on(student, thing, words):
    near = student(LENT)
    with pytest.raises(CourseError, match=words):
        near.get("call")(thing)
    assert near.has("call")


def test_a_gradient_through_the_test_s_own_function_is_refused(student):
    near = student(LENT)
    weight = torch.ones(2, requires_grad=True)
    with pytest.raises(CourseError, match="hand over one of coursekit"):
        near.get("differentiate")(lambda x: x * weight, torch.ones(2))
    assert near.get("differentiate")(lambda x: x * 2, torch.ones(2)) == 4


# --- too much, too slow, gone -------------------------------------------------------------------
BOUNDS = """
import os, time
def large():
    return torch.zeros(1 << 27)
def letters():
    return "x" * (9 << 20)
def deep():
    rows = []
    for _ in range(60):
        rows = [rows]
    return rows
def itself():
    rows = []
    rows.append(rows)
    return rows
def wide():
    row = [0] * 100
    for _ in range(13):
        row = [row, row]
    return row
def number():
    return 1 << 9999
def sleep(seconds):
    time.sleep(seconds)
def die():
    os._exit(7)
def take(thing):
    return len(thing)
def call_on(function):
    while True:
        function()
"""
SMALL = Limits(header=1 << 16, data=1 << 20, parts=20_000)


@pytest.mark.parametrize("name", ["large", "letters", "deep", "itself", "wide", "number"])
def test_values_that_are_too_much_are_told_and_the_channel_goes_on(student, name):
    near = student(BOUNDS)
    with pytest.raises(TooMuch):
        near.get(name)()
    assert near.has(name)


def test_arguments_that_are_too_much_are_refused_and_the_channel_goes_on(student):
    near = student(BOUNDS, limits=SMALL)
    for thing in (torch.zeros(1 << 19), "x" * (1 << 17), [0] * 30_000):
        with pytest.raises(TooMuch):
            near.get("take")(thing)
    assert near.get("take")([1]) == 1


def test_a_student_who_sleeps(student):
    near = student(BOUNDS, seconds=0.2)
    with pytest.raises(OutOfTime, match="took more than 0.2 s"):
        near.get("sleep")(30)
    with pytest.raises(KernelDied, match="is gone"):
        near.has("sleep")


def test_a_student_who_calls_back_for_ever(student):
    near = student(BOUNDS, seconds=0.3)
    calls = []
    with pytest.raises(OutOfTime):
        near.get("call_on")(lambda: calls.append(1))
    assert calls
    near = student(BOUNDS, limits=Limits(calls=20))
    with pytest.raises(TooMuch, match="more than 20 calls"):
        near.get("call_on")(lambda: None)


def test_a_student_who_sleeps_inside_what_the_test_calls_for_them(student):
    near = student(BOUNDS + "def through(function):\n    return function(sleep)\n", seconds=0.3)
    with pytest.raises(OutOfTime):
        near.get("through")(lambda sleep: sleep(30))


def test_many_short_calls_run_out_of_time_too(student):
    near = student(BOUNDS, seconds=0.3)
    with pytest.raises(OutOfTime):
        while True:
            near.get("sleep")(0.02)


def test_a_kernel_that_dies(student):
    near = student(BOUNDS)
    with pytest.raises(KernelDied, match="ended while the test waited"):
        near.get("die")()
    with pytest.raises(KernelDied):
        near.get("die")


def test_the_notebook_goes_on_when_the_examiner_closes():
    child = Child(NOTEBOOK + "\nraise SystemExit(5)", "x = 1")
    assert child.near.get("x") == 1
    child.near.close()
    child.process.join(20)
    assert child.process.exitcode == 5
    with pytest.raises(KernelDied, match="closed"):
        child.near.get("x")


def test_doors(tmp_path):
    with pytest.raises(CourseError, match="No socket can be made"):
        listen(tmp_path / ("x" * 120))
    path = Path(tempfile.mkdtemp()) / "s"
    with listen(path) as listener, pytest.raises(OutOfTime, match="did not come"):
        accept(listener, 0.05)
    assert path.stat().st_mode & 0o077 == 0


def test_the_student_s_side_imports_light():
    look = "import sys, coursekit.grading.exam.far; print('torch' in sys.modules, 'numpy' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]


# --- attacks ------------------------------------------------------------------------------------
TENSOR = (
    "dict(type='float32', shape=[2], data=0, wants=False, leaf=True, parameter=False, grad=None)"
)
ATTACKS = {
    "letters": ("connection.sendall(b'GET / HTTP/1.1')", TooMuch),
    "no-json": ("text('hello')", KernelDied),
    "pickle": ("text(__import__('pickle').dumps(print))", KernelDied),
    "no-table": ("text('[1]')", KernelDied),
    "no-sizes": ("text('{}')", KernelDied),
    "negative-size": ("frame(dict(sizes=[-1]))", KernelDied),
    "size-true": ("frame(dict(sizes=[True]))", KernelDied),
    "huge-size": ("frame(dict(sizes=[1 << 40]))", TooMuch),
    "many-sizes": ("frame(dict(sizes=[0] * 30000))", TooMuch),
    "deep-json": ("text('[' * 200000)", KernelDied),
    "many-parts": ("text('[' + '[],' * 2000000 + ']')", TooMuch),
    "deep-value": ("v = []\nfor _ in range(90): v = [v]\nreply(v)", TooMuch),
    "wide-value": ("reply([0] * 600000)", TooMuch),
    "long-int": ("text('{\"sizes\":[],\"reply\":1,\"value\":' + '9' * 9000 + '}')", KernelDied),
    "wrong-number": ("frame(dict(reply=asked['serial'] + 1, value=1))", KernelDied),
    "no-answer": ("frame(dict(value=1))", KernelDied),
    "unknown-tag": ("reply(dict(pickle='x'))", KernelDied),
    "two-tags": ("reply(dict(tuple=[], set=[]))", KernelDied),
    "private-tag": ("reply(dict(_count=[]))", KernelDied),
    "forged-object": ("reply(dict(near=1))", KernelDied),
    "forged-true": ("reply(dict(near=True))", KernelDied),
    "forged-argument": ("reply(dict(arg=0))", KernelDied),
    "forged-output": ("reply(dict(out=0))", KernelDied),
    "a-laugh": ("reply([[0], dict(same=1), dict(same=1)])", KernelDied),
    "object-without-number": ("reply(dict(far=['1', 'x', []]))", KernelDied),
    "object-of-lists": ("reply(dict(far=[1, 'x', [[]]]))", KernelDied),
    "key-of-lists": ("reply(dict(set=[[]]))", KernelDied),
    "colliding-keys": ("reply(dict(set=[n * (2**61 - 1) for n in range(20000)]))", TooMuch),
    "no-buffer": (f"reply(dict(tensor={TENSOR}))", KernelDied),
    "short-buffer": (f"reply(dict(tensor={TENSOR}), b'1234')", KernelDied),
    "buffer-twice": (f"t = dict(tensor={TENSOR})\nreply([t, t], b'12345678')", KernelDied),
    "negative-axis": (
        f"reply(dict(tensor=dict({TENSOR}, shape=[-1, -2])), b'12345678')",
        KernelDied,
    ),
    "axis-true": (f"reply(dict(tensor=dict({TENSOR}, shape=[True, 2])), b'12345678')", KernelDied),
    "many-axes": (
        f"reply(dict(tensor=dict({TENSOR}, shape=[2] + [1] * 80)), b'12345678')",
        KernelDied,
    ),
    "empty-and-endless": (f"reply(dict(tensor=dict({TENSOR}, shape=[0, 1 << 62])), b'')", TooMuch),
    "huge-shape": (f"reply(dict(tensor=dict({TENSOR}, shape=[1 << 62, 4])), b'')", KernelDied),
    "odd-numbers": (f"reply(dict(tensor=dict({TENSOR}, type='Tensor')), b'12345678')", KernelDied),
    "other-gradient": (
        f"reply(dict(tensor=dict({TENSOR}, wants=True, grad=dict({TENSOR}, shape=[1], data=1))),"
        " b'12345678', b'1234')",
        KernelDied,
    ),
    "array-of-objects": ("reply(dict(array=['|O', [1], 0]), b'12345678')", KernelDied),
    "array-of-records": ("reply(dict(array=['|V8', [1], 0]), b'12345678')", KernelDied),
    "texts-that-grow": (
        "reply(dict(objects=['U', [9999], ['x' * 99999] + ['y'] * 9998]))",
        TooMuch,
    ),
    "graph-of-integers": (
        f"reply(dict(out=0), b'12345678', outs=[dict({TENSOR}, type='int64', shape=[1])], graph=1)",
        KernelDied,
    ),
    "graph-without-number": (f"reply(1, b'12345678', outs=[{TENSOR}], graph='1')", KernelDied),
    "changes-of-nothing": ("reply(1, changes=[[0, []]] * 9)", None),
    "changes-no-list": ("reply(1, changes=7)", KernelDied),
    "error-no-table": ("reply(1, error=[1])", KernelDied),
    "call-of-nothing": (
        "frame(dict(call=1, name='x', args=[], kwargs=[], **{'in': 1}))",
        KernelDied,
    ),
    "closed": ("connection.close(); os._exit(0)", KernelDied),
    "half-a-frame": ("connection.sendall(b'\\0\\0'); os._exit(0)", KernelDied),
    "frame-that-never-ends": ("connection.sendall(b'\\0\\0\\0\\x09{')", OutOfTime),
    "drop-by-drop": ("for _ in range(999): connection.sendall(b'\\0'); time.sleep(0.01)", None),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_ends_the_channel_and_nothing_else(attack, name):
    source, kind = ATTACKS[name]
    near = attack(source, seconds=1.0 if kind in (OutOfTime, None) else 20.0)
    if kind is None:
        with pytest.raises((KernelDied, OutOfTime)) if name == "drop-by-drop" else _nothing():
            assert near.get("x") == 1
        return
    with pytest.raises(kind):
        near.get("x")
    with pytest.raises(KernelDied):
        near.get("x")


def _nothing():
    return __import__("contextlib").nullcontext()


def test_a_frame_that_comes_drop_by_drop_runs_out_of_time(attack):
    drops = "connection.sendall(b'\\0\\0\\1\\0')\nwhile True: connection.sendall(b' '); time.sleep(0.02)"
    with pytest.raises(OutOfTime):
        attack(drops, seconds=0.3).get("x")


def test_an_attack_that_does_not_read(attack):
    near = attack("reply(dict(far=[1, 'f', ['call']]))\nread()\ntime.sleep(60)", seconds=0.5)
    function = near.get("f")
    with pytest.raises(OutOfTime):
        function(1)
    near = attack("reply(dict(far=[1, 'f', ['call']]))\ntime.sleep(60)", seconds=0.5)
    function = near.get("f")
    with pytest.raises(OutOfTime):
        function(torch.zeros(1 << 24))


def test_bytes_that_are_no_booleans(attack):
    tensor = f"dict(tensor=dict({TENSOR}, type='bool'))"
    got = attack(f"reply([{tensor}, dict(array=['|b1', [2], 1])], b'\\2\\0', b'\\x80\\1')").get("x")
    assert torch.equal(got[0], torch.tensor([True, False])) and got[1].tolist() == [True, True]
    assert got[1].view(np.uint8).tolist() == [1, 1]


@pytest.mark.parametrize("name", ["__class__", "Exception ", "a" * 99, "StopIteration", 7, None])
def test_names_of_errors_that_are_made_up(attack, name):
    source = f"frame(dict(reply=asked['serial'], error=dict(kind={name!r}, text=['x'], where=[1] * 999)))"
    near = attack(source)
    with pytest.raises(FarError) as caught:
        near.get("x")
    assert len(caught.value.where) <= 300 and not isinstance(caught.value, StopIteration)


def test_names_of_objects_that_are_made_up(attack):
    near = attack("reply([dict(far=[1, 'x' * 999, []]), dict(far=[2, 'int', ['eq', 'len']])])")
    one, two = near.get("x")
    assert type(one).__name__ == "object" and type(two).__name__ == "int"
    assert not isinstance(two, int) and two != 0


CALLER = """
reply(dict(far=[1, "f", ["call"]]))
asked = read()
lent = asked["args"][0]["near"][0]
def call(**more):
    frame(dict(dict(call=lent, name="look", args=[], kwargs=[], grad=False, **{"in": asked["serial"]}), **more))
"""


@pytest.mark.parametrize(
    "source",
    [
        "call(name='_private')",
        "call(name='__class__')",
        "call(name='__init__')",
        "call(name='secret')",
        "call(name='answer')",
        "call(name='hidden')",
        "call(name='view')",
        "call(name=None)",
        "call(name=['look'])",
        "call(call=lent + 1)",
        "call(call=str(lent))",
        "call(**{'in': asked['serial'] - 1})",
        "call(**{'in': None})",
        "call(args=[dict(near=99)])",
        "call(args=7)",
        "call(kwargs=[[1, 2, 3]])",
    ],
)
def test_a_forged_call_reaches_nothing(attack, source):
    near, helper = attack(CALLER + source), Helper()
    function = near.get("f")
    with pytest.raises(KernelDied):
        function(helper)
    assert helper.seen == []


def test_a_call_of_what_was_given_back_reaches_nothing(attack):
    near, helper = attack(CALLER + "call(drop=[lent])\nread()\ncall()"), Helper()
    function = near.get("f")
    with pytest.raises(KernelDied):
        function(helper)
    assert len(helper.seen) == 1


def test_drops_that_are_made_up(attack):
    near = attack("reply(5, drop=['x', [], True, -1, 1 << 80, None])")
    assert near.get("x") == 5


def test_an_answer_to_the_outer_call_while_the_inner_one_waits(attack):
    source = """
call(name="deeper", args=[dict(far=[1, "f", ["call"]])])
outer, asked = asked, read()
frame(dict(reply=outer["serial"], value=1))
"""
    near = attack(CALLER + source)
    function = near.get("f")
    with pytest.raises(KernelDied):
        function(Helper())


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ("[[0, dict(array=['<f4', [2], 0])]]", KernelDied),
        ("[[0, 5]]", KernelDied),
        ("[[0, [dict(arg=0)]]]", KernelDied),
        ("[[1, [1]]]", FarError),
        ("[[1, dict(array=['<f8', [1], 0])]]", FarError),
        ("[[2, [1]]]", KernelDied),
        ("[[2, dict(module=dict(state=[], grads=[], training=True))]]", FarError),
        ("[[2, dict(module=dict(state=[[[], 1]], grads=[], training=True))]]", KernelDied),
        ("[[9, [1]]]", KernelDied),
        ("[['0', [1]]]", KernelDied),
    ],
)
def test_made_up_changes_of_arguments_change_nothing(attack, changes, kind):
    source = f"""
reply(dict(far=[1, "f", ["call"]]))
asked = read()
reply(None, b"12345678", changes={changes})
"""
    near = attack(source)
    rows, x, model = [1, 2], torch.ones(2), LSTMLanguageModel(5, 2, 3)
    before = [p.clone() for p in model.parameters()]
    function = near.get("f")
    with pytest.raises(kind):
        function(rows, x, model)
    assert rows == [1, 2] and x.tolist() == [1, 1]
    assert all(map(torch.equal, model.parameters(), before))


def test_a_gradient_of_another_shape(attack):
    source = f"""
reply(dict(far=[1, "f", ["call"]]))
asked = read()
reply(dict(out=0), b"12345678", outs=[{TENSOR}], graph=3)
asked = read()
reply([dict(tensor=dict({TENSOR}, shape=[1]))], b"1234")
"""
    near = attack(source)
    x = torch.ones(2, requires_grad=True)
    loss = near.get("f")(x)
    with pytest.raises(FarError, match="another shape"):
        loss.sum().backward()
    assert x.grad is None


def test_file_descriptors_that_are_sent_along_are_not_taken(attack):
    source = "socket.send_fds(connection, [b'\\0\\0\\0\\2{}'], [0, 1, 2])"
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    near = attack(source)
    with pytest.raises(KernelDied):
        near.get("x")
    if before:
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


def test_two_ends_of_one_socket_pair_will_do():
    from coursekit.grading.exam.far import serve

    ours, theirs = socket.socketpair()
    thread = __import__("threading").Thread(target=serve, args=(theirs, {"x": [1, (2,)]}))
    thread.start()
    near = Near(ours)
    assert near.get("x") == [1, (2,)]
    near.close()
    thread.join(10)
    assert not thread.is_alive()
