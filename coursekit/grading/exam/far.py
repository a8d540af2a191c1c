"""The student's side of the channel: does what the examiner asks of the names of a notebook.

    from coursekit.grading.exam.far import serve
    serve(path, globals())

It runs inside the student's kernel, and student's code may do with it what it likes: all that must
hold is held by the other side.  Imports light; torch and numpy come with the values that need them.
"""

import builtins
import contextlib
import functools
import importlib
import itertools
import os
import socket
import sys
import threading
from collections import deque

from coursekit.grading.exam.changed import changes, state, wanting
from coursekit.grading.exam.values import Reader, Writer
from coursekit.grading.exam.wire import Closed, Limits, TooMuch, Wire

TRAITS = {"len": "__len__", "item": "__getitem__", "iter": "__iter__", "next": "__next__"}


def serve(place, namespace):
    """Answers the examiner until it closes the connection.

    place: the path of a unix socket, or a connected socket.  namespace: the notebook's globals().
    """
    connection = place
    if not isinstance(place, socket.socket):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(os.fspath(place))
    with contextlib.closing(connection), contextlib.suppress(Closed):
        _Server(connection, namespace).run()


class _Borrowed:
    """An object of the test: its public methods, and itself where it can be called."""

    def __init__(self, server, key, methods):
        self.__dict__.update(_server=server, _key=key, _methods=methods)

    def __getattr__(self, name):
        if name not in self._methods:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return functools.partial(self._server.call, self._key, name)

    def __del__(self):
        self._server.gone.append(self._key)


def _call(self, /, *args, **kwargs):
    return self._server.call(self._key, None, *args, **kwargs)


class _Server:
    def __init__(self, connection, namespace):
        self.wire, self.namespace, self.limits = Wire(connection, Limits()), namespace, Limits()
        self.table, self.keys, self.gone = {}, itertools.count(1), deque()
        # One exchange at a time, also where the student's code runs threads
        self.lock, self.running = threading.RLock(), []

    def run(self):
        while True:
            self.answer(*self.wire.receive())

    def answer(self, frame, buffers):
        """Does what a frame asks, and sends the reply."""
        for key in frame["drop"]:
            self.table.pop(key, None)
        self.running.append(frame["serial"])
        try:
            reply, sent = self._reply(frame, buffers)
        finally:
            self.running.pop()
        try:
            self._send(dict(reply, reply=frame["serial"]), sent)
        except TooMuch as error:
            self._send(dict(error=_error(error), reply=frame["serial"]), [])

    def call(self, key, name, /, *args, **kwargs):
        """Calls an object of the test, or its method, and waits for what that returns."""
        writer = Writer(self.limits, self._other)
        told = dict(call=key, name=name, grad=_grad_enabled())
        told["args"] = [writer.value(one) for one in args]
        told["kwargs"] = [[key, writer.value(one)] for key, one in kwargs.items()]
        with self.lock:
            if not self.running:
                raise RuntimeError("what a test hands over works only while the test waits")
            self._send(dict(told, **{"in": self.running[-1]}), writer.buffers)
            frame, buffers = self.wire.receive()
            while "do" in frame:
                self.answer(frame, buffers)
                frame, buffers = self.wire.receive()
        if "error" in frame:
            raise _test_error(*frame["error"])
        return self._reader(buffers).value(frame["result"])

    def _send(self, told, buffers):
        with self.lock:
            gone = [self.gone.popleft() for _ in range(len(self.gone))]
            self.wire.send(dict(told, drop=gone), buffers)

    def _reply(self, frame, buffers):
        """A reply and its buffers: what came of a request, and which arguments it changed."""
        reader, error, result, watched = self._reader(buffers), None, None, []
        try:
            args = [reader.value(one) for one in frame["args"]]
            kwargs = {key: reader.value(one) for key, one in frame["kwargs"]}
            watched = [state(one) for one in reader.objects] if frame["do"] == "call" else []
            with _grad(frame["grad"]):
                result = self._do(frame, args, kwargs)
        except BaseException as raised:  # a kernel outlives SystemExit and KeyboardInterrupt too
            error = raised
        try:
            return self._told(reader, watched, error, result)
        except Exception as raised:
            return dict(error=_error(raised)), []

    def _do(self, frame, args, kwargs):
        do, name, thing = frame["do"], frame["name"], self.table.get(frame["on"])
        if do == "names":
            return [name for name in self.namespace if name[:1] != "_"]
        if do == "has":
            return name in self.namespace
        if do == "get":
            if name not in self.namespace:
                raise NameError(f"name '{name}' is not defined")
            return self.namespace[name]
        return _DEEDS[do](thing, name, args, kwargs)

    def _told(self, reader, watched, error, result):
        outs = []
        writer = Writer(self.limits, self._other, outs=outs)
        changed = changes(reader.objects, watched, writer)
        if error is not None:
            return dict(error=_error(error), changes=changed), writer.buffers
        if result is _END:
            return dict(end=True), []
        reply = dict(value=writer.value(result), changes=changed)
        if outs:
            inputs = wanting(reader.leaves.get(n, one) for n, one in enumerate(reader.objects))
            reply["graph"] = self._keep((list(outs), inputs))
            reply["outs"] = [writer.tensor(one) for one in outs]
        return reply, writer.buffers

    def _keep(self, thing):
        key = next(self.keys)
        self.table[key] = thing
        return key

    def _other(self, thing, writer):
        """The JSON of an object that does not go by value: it stays here, under a number."""
        kind = type(thing)
        if issubclass(kind, _Borrowed):
            return {"near": thing._key}
        traits = [trait for trait, name in TRAITS.items() if hasattr(kind, name)]
        traits += ["call"] if callable(thing) else []
        return {"far": [self._keep(thing), kind.__name__, traits]}

    def _reader(self, buffers):
        special = {
            "same": lambda body, reader, depth: reader.objects[body],
            "far": lambda body, reader, depth: self.table[body],
            "near": lambda body, reader, depth: self._borrowed(*body),
            "course": lambda body, reader, depth: _resolve(*body),
            "made": lambda body, reader, depth: getattr(builtins, body[0])(*body[1]),
            "torch": lambda body, reader, depth: getattr(importlib.import_module("torch"), body),
            "module": _module,
            "tensor": _tensor,
        }
        reader = Reader(buffers, self.limits, special)
        reader.leaves = {}
        return reader

    def _borrowed(self, key, name, methods, calls):
        kind = type(name, (_Borrowed,), {"__call__": _call} if calls else {})
        return kind(self, key, methods)


# --- what can be asked of an object -------------------------------------------------------------
_END = object()


def _next(thing, name, args, kwargs):
    return next(thing, _END)


def _vjp(thing, name, args, kwargs):
    """The gradients of the graph's inputs; parameters on the way get theirs in `.grad`."""
    import torch

    (outs, inputs), (grads,) = thing, args
    pairs = [(out, grad) for out, grad in zip(outs, grads, strict=True) if grad is not None]
    kept = [one.grad for one in inputs]
    try:
        for one in inputs:
            one.grad = None
        torch.autograd.backward(*map(list, zip(*pairs, strict=True)), retain_graph=True)
        return [one.grad for one in inputs]
    finally:
        for one, grad in zip(inputs, kept, strict=True):
            one.grad = grad


_DEEDS = {
    "call": lambda thing, name, args, kwargs: thing(*args, **kwargs),
    "attr": lambda thing, name, args, kwargs: getattr(thing, name),
    "item": lambda thing, name, args, kwargs: thing[args[0]],
    "len": lambda thing, name, args, kwargs: len(thing),
    "iter": lambda thing, name, args, kwargs: iter(thing),
    "next": _next,
    "vjp": _vjp,
}


def _grad_enabled():
    torch = sys.modules.get("torch")
    return bool(torch and torch.is_grad_enabled())


def _grad(enabled):
    torch = sys.modules.get("torch")
    return torch.set_grad_enabled(enabled) if torch else contextlib.nullcontext()


# --- things of the test that are made anew ------------------------------------------------------
def _resolve(module, name):
    """A function or class of coursekit by its name."""
    thing = importlib.import_module(module)
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def _tensor(body, reader, depth):
    """A tensor; one with a graph behind it is no leaf here either."""
    place, made = len(reader.objects), reader._tensor(body, depth)
    if made.requires_grad and not body["leaf"]:
        import torch

        with torch.enable_grad():
            reader.leaves[place], reader.objects[place] = made, made.clone()
    return reader.objects[place]


def _module(body, reader, depth):
    place = len(reader.objects)
    reader.number(None)
    settings = {name: reader.value(value) for name, value in body["settings"]}
    model = _resolve(*body["kind"])(**settings)
    model.load_state_dict({name: reader.tensor(part) for name, part in body["state"]})
    grads = {name: reader.tensor(part) for name, part in body["grads"]}
    for name, parameter in model.named_parameters():
        parameter.grad = grads.get(name)
        parameter.requires_grad_(name not in body["frozen"])
    reader.objects[place] = model.train(body["training"])
    return model


# --- errors -------------------------------------------------------------------------------------
def _test_error(key, kind):
    """An error of the test, for the student's code: its kind, without its words."""
    base = getattr(builtins, kind, None)
    known = isinstance(base, type) and issubclass(base, Exception)
    error = RuntimeError(f"the test itself stopped ({kind})")
    if known:
        with contextlib.suppress(Exception):
            error = base(*error.args)
    error.test_error = key
    return error


def _error(error):
    """What the examiner is told of an error: its name, its text and the student's line."""
    from coursekit.checks.core import Wrong, students_line

    told = dict(kind=type(error).__name__, where=students_line(error))
    told["id"] = vars(error).get("test_error")
    try:
        told["text"] = str(error)[:2000]
    except Exception:
        told["text"] = ""
    if type(error) is Wrong:
        parts = (error.expected, error.got, error.likely)
        told["wrong"] = [part if part is None else str(part) for part in parts]
    return told
