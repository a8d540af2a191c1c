"""Values between the examiner and a student's kernel: what goes by value, and in which form.

None, numbers, strings, bytes, lists, tuples, dicts, sets, numpy's arrays and scalars and torch's
tensors become JSON and raw buffers, and arrive as exactly these types whatever subclass they were.
Everything else is left to `other`, which makes a handle of it.  Imports numpy and torch only when
a value needs them, so that the student's side stays light.
"""

import re
import sys
import time

from coursekit.grading.exam.wire import Broken, OutOfTime, TooMuch, plain_text

TORCH_TYPES = (
    "float32 float64 float16 bfloat16 int8 int16 int32 int64 uint8 bool complex64 complex128"
).split()
# Bytes in memory mean the same everywhere: booleans, whole numbers, floats and complex numbers
NUMPY_TYPE = re.compile(r"[<>|](b1|[iu][1248]|f[248]|c(8|16))")
LONGEST_INT = 4096  # bits; Python itself refuses much longer ones as text
MOST_AXES = 32


class Writer:
    """Turns one side's values into JSON, and collects their buffers.

    other(thing, writer) → JSON of whatever does not go by value.
    share: the same object met twice arrives as one object.  Then `objects` holds all that can
    change in place, in the order in which a Reader meets them: that is how both sides number them.
    known: {id of an object: JSON to send in its place}.
    outs: a list that gets the tensors with a graph behind them, which are then told by their place
    in it; without one they arrive as tensors without a graph.
    """

    def __init__(self, limits, other, share=False, known=(), outs=None):
        self.limits, self.other, self.share, self.outs = limits, other, share, outs
        self.buffers, self.objects, self.known, self.parts = [], [], dict(known), 0

    def value(self, thing, depth=0):
        """The JSON of a value. Raises TooMuch."""
        self.parts += 1
        if self.parts > self.limits.parts or depth > self.limits.depth:
            raise TooMuch(_too_much(self.limits, depth))
        kind = type(thing)
        if thing is None or kind is bool:
            return thing
        if id(thing) in self.known:
            return self.known[id(thing)]
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        if numpy and issubclass(kind, (numpy.ndarray, numpy.generic)):
            return self.array(thing, depth)
        if torch and issubclass(kind, torch.Tensor):
            return self._tensor(thing, torch)
        for base, form in _FORMS:
            if issubclass(kind, base):
                return getattr(self, form)(thing, depth)
        return self.other(thing, self)

    def buffer(self, data):
        """Adds a buffer, and returns its number."""
        self.buffers.append(data)
        return len(self.buffers) - 1

    def number(self, thing):
        """Notes an object that can change in place, when such are shared."""
        if self.share:
            self.known[id(thing)] = {"same": len(self.objects)}
            self.objects.append(thing)

    def _int(self, thing, depth):
        if int.bit_length(thing) > LONGEST_INT:
            raise TooMuch(f"a whole number has more than {LONGEST_INT} bits")
        return int.__pos__(thing)

    def _float(self, thing, depth):
        return float.__pos__(thing)

    def _str(self, thing, depth):
        return str.__str__(thing)

    def _bytes(self, thing, depth):
        return {"bytes": self.buffer(bytes(thing))}

    def _complex(self, thing, depth):
        return {"complex": [thing.real, thing.imag]}

    def _list(self, thing, depth):
        self.number(thing)
        return [self.value(one, depth + 1) for one in list.__iter__(thing)]

    def _tuple(self, thing, depth):
        return {"tuple": [self.value(one, depth + 1) for one in tuple.__iter__(thing)]}

    def _dict(self, thing, depth):
        self.number(thing)
        pairs = list(dict.items(thing))
        return {"dict": [[self.value(part, depth + 1) for part in pair] for pair in pairs]}

    def _set(self, thing, depth):
        self.number(thing)
        return {"set": [self.value(one, depth + 1) for one in list(thing)]}

    def _frozenset(self, thing, depth):
        return {"frozenset": [self.value(one, depth + 1) for one in list(thing)]}

    def array(self, thing, depth=0):
        """The JSON of an array or a scalar of numpy."""
        import numpy

        if thing.dtype.kind in "OU":
            if isinstance(thing, numpy.generic):
                return str(thing)
            items = [self.value(one, depth + 1) for one in thing.ravel().tolist()]
            return {"objects": [thing.dtype.kind, list(thing.shape), items]}
        if not NUMPY_TYPE.fullmatch(thing.dtype.str) or thing.ndim > MOST_AXES:
            return self.other(thing, self)
        data = self.buffer(_bytes_of(numpy.asarray(thing), numpy))
        if isinstance(thing, numpy.generic):
            return {"scalar": [thing.dtype.str, data]}
        self.number(thing)
        return {"array": [thing.dtype.str, list(thing.shape), data]}

    def _tensor(self, thing, torch):
        plain = str(thing.dtype)[6:] in TORCH_TYPES and thing.dim() <= MOST_AXES
        if not plain or thing.layout != torch.strided or thing.device.type == "meta":
            return self.other(thing, self)
        if self.outs is not None and thing.requires_grad and not thing.is_leaf:
            self.known[id(thing)] = {"out": len(self.outs)}
            self.outs.append(thing)
            return self.known[id(thing)]
        self.number(thing)
        return {"tensor": self.tensor(thing)}

    def tensor(self, thing):
        """The JSON of a tensor inside its tag; a leaf with its `.grad`."""
        import torch

        leaf = thing.is_leaf
        grad = thing.grad if leaf else None
        return dict(
            type=str(thing.dtype)[6:],
            shape=list(thing.shape),
            data=self.buffer(raw(thing)),
            wants=thing.requires_grad and (leaf or self.share),
            leaf=leaf,
            parameter=isinstance(thing, torch.nn.Parameter),
            grad=None if grad is None else self.tensor(grad.detach()),
        )


_FORMS = [(kind, f"_{kind.__name__}") for kind in (int, float, str, bytes, complex)]
_FORMS += [(bytearray, "_bytes")]
_FORMS += [(kind, f"_{kind.__name__}") for kind in (list, tuple, dict, set, frozenset)]


def raw(tensor):
    """The bytes of a tensor's values, as a numpy array of uint8."""
    import torch

    plain = tensor.detach().cpu().to_dense().resolve_conj().resolve_neg().contiguous()
    return plain.as_subclass(torch.Tensor).reshape(-1).view(torch.uint8).numpy()


def _bytes_of(array, numpy):
    return numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8)


def _too_much(limits, depth):
    deep = f"lists are nested deeper than {limits.depth}"
    return deep if depth > limits.depth else f"a value holds more than {limits.parts} parts"


class Reader:
    """Turns the JSON and the buffers of a frame into values; the frame may say anything.

    special: {tag: function(body, reader, depth)} for what does not go by value.
    deadline: time.monotonic() seconds, or None.  Raises TooMuch, OutOfTime, or any other exception
    where the JSON is not that of a value: the caller takes all others as Broken.
    """

    def __init__(self, buffers, limits, special, deadline=None):
        self.buffers, self.limits, self.special = buffers, limits, special
        self.objects, self.parts, self.odd, self.deadline = [], 0, 0, deadline

    def value(self, told, depth=0):
        """The value that some JSON tells."""
        self._count(depth)
        kind = type(told)
        if told is None or kind in (bool, int, float):
            return told
        if kind is str:
            return plain_text(told)
        if kind is list:
            return self._filled([], told, depth)
        ((tag, body),) = told.items()
        if tag in self.special:
            return self.special[tag](body, self, depth)
        if tag not in _TAGS:
            raise Broken(f"no value is called {tag[:40]!r}")
        return getattr(self, f"_{tag}")(body, depth)

    def number(self, thing):
        """Notes an object that can change in place, and returns it."""
        self.objects.append(thing)
        return thing

    def _count(self, depth):
        self.parts += 1
        if self.parts > self.limits.parts or depth > self.limits.depth:
            raise TooMuch(_too_much(self.limits, depth))
        late = self.deadline is not None and self.parts % 1000 == 0
        if late and time.monotonic() > self.deadline:
            raise OutOfTime("a value takes too long to read")

    def _filled(self, items, told, depth):
        self.number(items)
        items.extend(self.value(one, depth + 1) for one in told)
        return items

    def take(self, place):
        """A buffer, which one value only may have: else a small frame would fill the memory."""
        data, self.buffers[place] = self.buffers[place], None
        return data

    def _bytes(self, body, depth):
        return bytes(self.take(body))

    def _complex(self, body, depth):
        return complex(*map(float, body))

    def _tuple(self, body, depth):
        return tuple([self.value(one, depth + 1) for one in body])

    def _dict(self, body, depth):
        table = self.number({})
        for key, value in body:
            key = self._key(key, depth + 1)
            table[key] = self.value(value, depth + 1)
        return table

    def _set(self, body, depth):
        found = self.number(set())
        for one in body:
            found.add(self._key(one, depth + 1))
        return found

    def _frozenset(self, body, depth):
        return frozenset([self._key(one, depth + 1) for one in body])

    def _key(self, told, depth):
        self.odd += type(told) is not str
        if self.odd > self.limits.odd_keys:
            raise TooMuch(f"more than {self.limits.odd_keys} keys are no strings")
        return self.value(told, depth)

    def _objects(self, body, depth):
        import numpy

        kind, shape, told = body
        items = [self.value(one, depth + 1) for one in told]
        if kind == "U":
            items = [str(one) for one in items]
            # Every text gets as much room as the longest
            if 4 * len(items) * max(map(len, items), default=0) > self.limits.data:
                raise TooMuch("an array of texts is too large")
            return numpy.array(items, dtype=str).reshape(_shape(shape))
        array = numpy.empty(len(items), dtype=object)
        for place, one in enumerate(items):
            array[place] = one
        return array.reshape(_shape(shape))

    def _array(self, body, depth):
        kind, shape, data = body
        return self.number(self._numbers(kind, shape, data))

    def _scalar(self, body, depth):
        kind, data = body
        return self._numbers(kind, [], data)[()]

    def _numbers(self, kind, shape, data):
        import numpy

        if not NUMPY_TYPE.fullmatch(kind):
            raise Broken("no array has such numbers")
        kind, shape, data = numpy.dtype(kind), _shape(shape), self.take(data)
        _fits(shape, kind.itemsize, len(data), self.limits)
        flat = numpy.frombuffer(data, numpy.uint8 if kind.kind == "b" else kind)
        return (flat != 0 if kind.kind == "b" else flat).reshape(shape)

    def _tensor(self, body, depth):
        place = len(self.objects)
        self.number(None)
        self.objects[place] = self.tensor(body)
        return self.objects[place]

    def tensor(self, body, grad=True):
        """The tensor of the JSON inside its tag; grad: with its own `.grad`."""
        import torch

        made = self._flat(body, torch)
        wants = body["wants"] is True and (made.is_floating_point() or made.is_complex())
        if body["parameter"] is True:
            made = torch.nn.Parameter(made, requires_grad=wants)
        elif wants:
            made.requires_grad_()
        if grad and body["grad"] is not None:
            made.grad = self.tensor(body["grad"], grad=False).detach()
        return made

    def _flat(self, body, torch):
        if body["type"] not in TORCH_TYPES:
            raise Broken("no tensor has such numbers")
        kind, shape = getattr(torch, body["type"]), _shape(body["shape"])
        data = self.take(body["data"])
        _fits(shape, kind.itemsize, len(data), self.limits)
        if not data:
            return torch.empty(shape, dtype=kind)
        if kind == torch.bool:  # a byte other than 0 and 1 is neither true nor false
            return torch.frombuffer(data, dtype=torch.uint8).ne(0).reshape(shape)
        return torch.frombuffer(data, dtype=kind).reshape(shape)


_TAGS = "bytes complex tuple dict set frozenset objects array scalar tensor".split()


def _shape(told):
    if type(told) is not list or len(told) > MOST_AXES:
        raise Broken("a shape is no list of axes")
    if any(type(one) is not int or one < 0 for one in told):
        raise Broken("an axis has no such length")
    return tuple(told)


def _fits(shape, itemsize, size, limits):
    """Refuses a shape that its data does not fill, and an empty one that a sum would blow up."""
    count, span = 1, 1
    for length in shape:
        count, span = count * length, span * max(length, 1)
    if count * itemsize != size:
        raise Broken("an array has more or fewer numbers than its shape")
    if span * itemsize > limits.data:
        raise TooMuch("an empty array has too long axes")
