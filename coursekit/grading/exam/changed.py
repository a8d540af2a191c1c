"""What becomes of the arguments of a student's function: which it changed, which want a gradient.

Imports light.
"""

import itertools
import sys

from coursekit.grading.exam.values import raw


def state(thing):
    """What a list, dict, set, array, tensor or model holds now, to be compared with later."""
    if isinstance(thing, (list, set)):
        return _Same(thing)
    if isinstance(thing, dict):
        return _Same(itertools.chain.from_iterable(thing.items()))
    if _is_tensor(thing):
        grad = thing.grad if thing.is_leaf else None
        return [thing.shape, thing.dtype, _bytes(thing), None if grad is None else _bytes(grad)]
    if _is_array(thing):
        return [thing.shape, thing.dtype.str, thing.tobytes()]
    parts = [[(name, _bytes(part)) for name, part in some] for some in _weights(thing)]
    return [thing.training, *parts]


class _Same:
    """Some things: equal only to the very same things in the same places."""

    def __init__(self, things):
        self.things = list(things)

    def __eq__(self, other):
        pairs = zip(self.things, other.things, strict=False)
        return len(self.things) == len(other.things) and all(a is b for a, b in pairs)


def changes(objects, before, writer):
    """[place, JSON] of the objects that are no longer what they were.

    objects: the arguments that can change.  before: the state of each, or nothing at all.
    Tells `writer` also how to name the arrays, tensors and models among them in its values.
    """
    changed = [n for n, then in enumerate(before) if state(objects[n]) != then]
    for place, thing in enumerate(objects[: len(before)]):
        traced = _is_tensor(thing) and thing.requires_grad and not thing.is_leaf
        # A new value with a graph behind it is more than the argument put right again
        if not isinstance(thing, (list, dict, set)) and not (traced and place in changed):
            writer.known[id(thing)] = {"arg": place}
    return [[place, _told(objects[place], writer)] for place in changed]


def wanting(objects):
    """The tensors among some objects that want a gradient, parameters of modules included."""
    torch, found = sys.modules.get("torch"), []
    for one in objects if torch else ():
        parts = one.parameters() if isinstance(one, torch.nn.Module) else [one]
        found += [part for part in parts if isinstance(part, torch.Tensor) and part.requires_grad]
    return found


def _told(thing, writer):
    if isinstance(thing, (list, dict, set)):
        return writer.value(thing)
    if _is_tensor(thing):
        return {"tensor": writer.tensor(thing)}
    if _is_array(thing):
        return writer.array(thing)
    state, grads = (
        [[name, writer.tensor(part.detach())] for name, part in some] for some in _weights(thing)
    )
    return {"module": dict(state=state, grads=grads, training=thing.training)}


def _weights(model):
    """(name, tensor) of a model's state, and of its gradients."""
    grads = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    return list(model.state_dict().items()), grads


def _bytes(tensor):
    return bytes(raw(tensor))


def _is_tensor(thing):
    torch = sys.modules.get("torch")
    return bool(torch and isinstance(thing, torch.Tensor))


def _is_array(thing):
    numpy = sys.modules.get("numpy")
    return bool(numpy and isinstance(thing, numpy.ndarray))
