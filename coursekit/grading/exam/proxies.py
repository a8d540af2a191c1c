"""What stands in the examiner's process for things of the student: objects, gradients, errors."""

import builtins
import functools

import torch
from torch.autograd.function import once_differentiable

from coursekit.checks.core import Wrong
from coursekit.grading.exam.wire import (
    Broken,
    FarError,
    TooMuch,
    plain_name,
    plain_text,
)

LONGEST_MESSAGE = 2000  # letters
LONGEST_LEN = 10_000_000  # of a student's object: for len() Python sets memory aside
END = object()  # what a student's iterator gives after its last


class Handle:
    """An object of the student's side by its number; the other side is told when it goes."""

    __slots__ = ("_near", "_key")

    def __init__(self, near, key):
        object.__setattr__(self, "_near", near)
        object.__setattr__(self, "_key", key)

    def __del__(self):
        self._near._dropped.append(self._key)


class Far(Handle):
    """An object of the student: call it, take attributes and items; equal to nothing but itself.

    Its class has the name of the student's, and those of call, len, iter, items that one has.
    """

    __slots__ = ()

    def __getattr__(self, name):
        if name.startswith("_") and name.endswith("_"):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return self._near.ask("attr", self._key, name)

    def __setattr__(self, name, value):
        raise AttributeError(f"a test cannot set '{name}' of a student's object")

    def __reduce__(self):
        raise TypeError("a student's object cannot be copied")

    def __repr__(self):
        return f"<{type(self).__name__} of the student>"


def far(near, key, name, traits):
    """The Far of a student's object, of a class with the object's name and traits."""
    return _far_class(plain_name(name), frozenset(_TRAITS).intersection(traits))(near, number(key))


def number(key):
    """The number of an object of the other side. Raises Broken."""
    if type(key) is not int:
        raise Broken("an object without a number")
    return key


@functools.lru_cache(maxsize=256)
def _far_class(name, traits):
    return type(
        name, (Far,), {"__slots__": ()} | {_TRAITS[one][0]: _TRAITS[one][1] for one in traits}
    )


def _call(self, /, *args, **kwargs):
    return self._near.ask("call", self._key, args=args, kwargs=kwargs)


def _length(self):
    length = self._near.ask("len", self._key)
    if type(length) is not int or length > LONGEST_LEN:
        raise TooMuch(f"more than {LONGEST_LEN} things in a {type(self).__name__}")
    return length


def _item(self, key):
    return self._near.ask("item", self._key, args=(key,))


def _iterate(self):
    near = self._near
    source, begun = near.ask("iter", self._key), near.received
    for _ in range(near.limits.items):
        one = near.ask("next", source._key)
        if one is END:
            return
        if near.received - begun > near.limits.data:
            break
        yield one
    raise TooMuch(f"a {type(self).__name__} without an end")


def _next(self):
    one = self._near.ask("next", self._key)
    if one is END:
        raise StopIteration
    return one


_TRAITS = {
    "call": ("__call__", _call),
    "len": ("__len__", _length),
    "item": ("__getitem__", _item),
    "iter": ("__iter__", _iterate),
    "next": ("__next__", _next),
}


# --- gradients ----------------------------------------------------------------------------------
class _Link(torch.autograd.Function):
    """Tensors of the student; their gradients are asked for where their graph is."""

    @staticmethod
    def forward(ctx, graph, outs, anchor, *inputs):
        ctx.graph, ctx.forms = graph, [(one.shape, one.dtype) for one in inputs]
        ctx.set_materialize_grads(False)
        return tuple(outs)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        found = ctx.graph._near.ask("vjp", ctx.graph._key, args=(list(grads),))
        forms = [None if one is None else (one.shape, one.dtype) for one in _tensors(found)]
        if len(forms) != len(ctx.forms):
            raise FarError("the gradient does not come back through the student's code")
        for form, own in zip(forms, ctx.forms, strict=True):
            if form not in (None, own):
                raise FarError("the gradient that comes back has another shape")
        return (None, None, None, *found)


def _tensors(found):
    """A list of plain tensors and None; empty for anything else."""
    fine = type(found) is list and all(one is None or type(one) is torch.Tensor for one in found)
    return found if fine else []


def linked(near, reply, reader, inputs):
    """The tensors of a reply whose graph stays with the student, joined to a node of this side's.

    inputs: tensors of this side that want a gradient, as they were handed over.
    """
    told = reply.get("outs")
    if not told:
        return []
    outs = [reader.tensor(one, grad=False).detach() for one in told]
    if not all(out.is_floating_point() or out.is_complex() for out in outs):
        raise Broken("a gradient of whole numbers")
    graph = Handle(near, number(reply["graph"]))
    with torch.enable_grad():
        anchor = torch.zeros((), requires_grad=True)  # for a graph without inputs of this side
        return _Link.apply(graph, outs, anchor, *inputs)


# --- errors --------------------------------------------------------------------------------------
class _Said(str):
    """A message that stays as it is where Python would show it in quotes, as for a KeyError."""

    __repr__ = str.__str__


def _takes_a_message(kind):
    try:
        return str(kind(_Said("why"))) == "why"
    except Exception:
        return False


# StopIteration would end a loop of the test in silence
_BUILTIN = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and _takes_a_message(kind)
    if kind not in (StopIteration, StopAsyncIteration)
}


def student_error(told):
    """The student's error from its name and text: a built-in exception, Wrong, or a FarError."""
    name, text = plain_name(told.get("kind"), "FarError"), told.get("text")
    wrong = told.get("wrong")
    if name == "Wrong" and type(wrong) is list and len(wrong) == 3:
        return Wrong(*[None if part is None else _message(part) for part in wrong])
    if name in ("TooMuch", "FarError"):
        return {"TooMuch": TooMuch, "FarError": FarError}[name](_message(text))
    return (_BUILTIN.get(name) or _error_class(name))(_Said(_message(text)))


def _message(text):
    return plain_text(text)[:LONGEST_MESSAGE] if type(text) is str else ""


@functools.lru_cache(maxsize=256)
def _error_class(name):
    return type(name, (FarError,), {})
