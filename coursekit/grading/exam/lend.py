"""What a test lends to a student's code, and how its own things are put right after a call.

By name go the functions and classes of coursekit; a model of `coursekit.models` goes as its class,
its settings and its weights; any other object stays here, and only its public methods can be called.
"""

import inspect
import sys
import types

import numpy as np
import torch
from torch import nn

from coursekit.errors import CourseError
from coursekit.grading.exam.wire import Broken, FarError, TooMuch

METHODS = (types.FunctionType, classmethod, staticmethod, types.MethodDescriptorType)
# Plain things that are made anew on the student's side
REMADE = {slice: lambda s: [s.start, s.stop, s.step], range: lambda r: [r.start, r.stop, r.step]}


class Lent:
    """The objects that were lent, by number; `items` at most at one time."""

    def __init__(self, items):
        self._items, self._things, self._last = items, {}, 0

    def add(self, thing):
        """Lends an object, and returns the JSON that describes it: number, name, methods, calls."""
        if len(self._things) >= self._items:
            raise TooMuch(f"more than {self._items} objects were lent to the student's code")
        self._last += 1
        self._things[self._last] = thing
        return {"near": [self._last, type(thing).__name__, methods(thing), callable(thing)]}

    def thing(self, number):
        """The object of a number. Raises Broken for a number that was not lent."""
        if type(number) is not int or number not in self._things:
            raise Broken("this object was not lent")
        return self._things[number]

    def function(self, number, name):
        """What a call from the other side means: an object itself (name None), or a public method.

        Raises Broken for names that are private, data, or not of the object's class.
        """
        thing = self.thing(number)
        if name is None and callable(thing):
            return thing
        if type(name) is not str or name not in methods(thing):
            raise Broken("this is no method that was lent")
        return inspect.getattr_static(type(thing), name).__get__(thing, type(thing))

    def drop(self, numbers):
        """Forgets objects that the other side no longer holds."""
        for number in numbers if type(numbers) is list else ():
            self._things.pop(number, None) if type(number) is int else None


def methods(thing):
    """Names of an object's public methods: functions of its class, never data or properties."""
    kind = type(thing)
    if isinstance(thing, type):
        return []
    names = [name for name in dir(kind) if not name.startswith("_")]
    return [name for name in names if isinstance(inspect.getattr_static(kind, name), METHODS)]


def lend(thing, writer, lent):
    """The JSON of an object of the test that does not go by value. Raises CourseError."""
    if type(thing) in REMADE:
        return {"made": [type(thing).__name__, REMADE[type(thing)](thing)]}
    if isinstance(thing, torch.dtype):
        return {"torch": str(thing)[6:]}
    if isinstance(thing, nn.Module):
        return _module(thing, writer)
    if isinstance(thing, types.ModuleType):
        raise CourseError(f"A test cannot hand over the module {thing.__name__}: hand over values.")
    return _by_name(thing) or lent.add(thing)


def _by_name(thing):
    """A function or class that coursekit defines, which the student's side imports itself."""
    home = getattr(thing, "__module__", None)
    if not isinstance(thing, (type, types.FunctionType)) or not _of(home, "coursekit"):
        return None
    found = getattr(sys.modules.get(home), thing.__qualname__, None)
    return {"course": [home, thing.__qualname__]} if found is thing else None


def _of(module, package):
    return isinstance(module, str) and (module + ".").startswith(package + ".")


def _module(thing, writer):
    kind, settings = type(thing), getattr(thing, "settings", None)
    if not _of(kind.__module__, "coursekit.models") or not isinstance(settings, dict):
        raise CourseError(
            f"A test cannot hand over a {kind.__name__}: take a model of coursekit.models that "
            "keeps its constructor's arguments in .settings."
        )
    writer.number(thing)
    state = {name: part.detach() for name, part in thing.state_dict().items()}
    grads = {name: p.grad for name, p in thing.named_parameters() if p.grad is not None}
    body = dict(
        kind=[kind.__module__, kind.__qualname__],
        settings=[[name, writer.value(value)] for name, value in settings.items()],
        state=[[name, writer.tensor(part)] for name, part in state.items()],
        grads=[[name, writer.tensor(part.detach())] for name, part in grads.items()],
        frozen=[name for name, p in thing.named_parameters() if not p.requires_grad],
        training=thing.training,
    )
    return {"module": body}


def restored(own, told, reader):
    """A function that writes into an object of the test what the student's code made of its copy.

    It raises FarError where that has another shape or type, and has then changed nothing.
    """
    if isinstance(own, nn.Module):
        return _restored_module(own, told["module"], reader)
    new = reader.value(told)
    if isinstance(own, torch.Tensor):
        return lambda: _write(own, new, getattr(new, "grad", None))
    if isinstance(own, np.ndarray):
        return lambda: _write_array(own, new)
    if type(new) not in (list, dict, set) or not isinstance(own, type(new)):
        raise Broken("an argument came back as another type")
    return lambda: _refill(own, new)


def _refill(own, new):
    if isinstance(own, list):
        list.__setitem__(own, slice(None), new)
    else:
        own.clear()
        own.update(new)


def _same_form(own, new):
    kind = torch.Tensor if isinstance(own, torch.Tensor) else np.ndarray
    if not isinstance(new, kind) or new.shape != own.shape or new.dtype != own.dtype:
        raise FarError("an argument has another shape or type after the call; make a new one")


def _write_array(own, new):
    _same_form(own, new)
    own[...] = new


def _write(own, new, grad):
    _same_form(own, new)
    with torch.no_grad():
        own.copy_(new)
    if own.is_leaf:
        own.grad = grad


def _restored_module(own, body, reader):
    state = {_name(name): reader.tensor(part) for name, part in body["state"]}
    grads = {_name(name): reader.tensor(part) for name, part in body["grads"]}
    training = body["training"] is True

    def write():
        mine, parameters = own.state_dict(), dict(own.named_parameters())
        if state.keys() != mine.keys() or not grads.keys() <= parameters.keys():
            raise FarError("a model has other weights after the call; leave its layers as they are")
        for name, part in [*state.items(), *grads.items()]:
            _same_form(mine[name], part)
        own.load_state_dict(state)
        for name, parameter in parameters.items():
            parameter.grad = grads[name].detach() if name in grads else None
        own.train(training)

    return write


def _name(name):
    if type(name) is not str:
        raise Broken("a weight without a name")
    return name
