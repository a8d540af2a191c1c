"""Keys and values of places already read, in memory that has room for more: a step copies none of them."""

import torch

LEAST = 16  # places of room at first; later half as much again as there are


class Seen(tuple):
    """What one layer has read: (keys, values), each (B, heads, S, E / heads), at the front of a store with room.

    A pair as any other to those who read it. Nobody writes into its S places again: whoever goes on from it writes
    behind them, if nobody else has done so, and else takes a new store. So a state can be continued twice.
    """

    store = None

    def rows(self, index):
        """The rows `index` (int64) of both, with room again: what `decoding.select` asks of a state."""
        if self.store is None:
            return Seen(part.index_select(0, index) for part in self)
        S = self[0].shape[2]
        # One place of room: a beam search chooses rows again after every step
        twin = _Store(self, len(index), S + 1, self[0].dtype)
        for part, place in zip(self.store.front(S), twin.front(S), strict=True):
            torch.index_select(part, 0, index, out=place)
        return twin.seen(S)


class OfPicture(tuple):
    """Tensors with B first that tell of a picture alone, whatever has been said of it: keys and values of its places.

    All hypotheses about a picture hold the same, so a search that chooses among them anew copies nothing, until a
    picture is done and falls out.
    """

    pictures = None  # (B,) whose each row is, since rows were first chosen

    def rows(self, index):
        """The rows `index` (int64) of all: what `decoding.select` asks of a state."""
        pictures = index if self.pictures is None else self.pictures[index]
        if self.pictures is not None and torch.equal(pictures, self.pictures):
            return self
        found = OfPicture(each.index_select(0, index) for each in self)
        found.pictures = pictures
        return found


class _Store:
    """Room for keys (B, heads, E / heads, room) and values (B, heads, room, E / heads); `filled` places are taken.

    Keys lie the other way round, so that a product of one query with all of them reads memory in order.
    """

    __slots__ = ("filled", "keys", "values")

    def __init__(self, like, rows, room, dtype):
        _, heads, _, size = like[0].shape
        self.keys = like[0].new_empty(rows, heads, size, room, dtype=dtype)
        self.values = like[1].new_empty(rows, heads, room, size, dtype=dtype)
        self.filled = 0

    def fits(self, S, keys):
        """Whether new keys (B, heads, T, E / heads) can be written behind the first S places."""
        return (
            self.filled == S
            and S + keys.shape[2] <= self.keys.shape[3]
            and self.keys.dtype == torch.promote_types(self.keys.dtype, keys.dtype)
            and (not self.keys.is_inference() or torch.is_inference_mode_enabled())
        )

    def front(self, S):
        """Keys and values of the first S places, as they lie."""
        return self.keys.narrow(3, 0, S), self.values.narrow(2, 0, S)

    def write(self, S, keys, values):
        """Writes keys and values (B, heads, T, E / heads) behind the first S places; gives what is seen then."""
        T = keys.shape[2]
        self.keys.narrow(3, S, T).copy_(keys.transpose(2, 3))
        self.values.narrow(2, S, T).copy_(values)
        return self.seen(S + T)

    def seen(self, S):
        """The first S places as a past."""
        self.filled = S
        keys, values = self.front(S)
        found = Seen((keys.transpose(2, 3), values))
        found.store = self
        return found


def with_room(past, room, dtype=None):
    """A layer's past, a pair, with room for `room` places in all: as many steps copy nothing."""
    store = _Store(past, len(past[0]), room, dtype or past[0].dtype)
    return store.write(0, *past)


def extended(past, keys, values):
    """A layer's past, a pair or None, and keys and values of T more places → the pair of all S + T places.

    All (B, heads, places, E / heads). Where gradients are wanted, and before the first place, nothing is kept in a
    store, unless the past has one.
    """
    S, T = past[0].shape[2] if past else 0, keys.shape[2]
    if S and torch.is_grad_enabled():
        return torch.cat([past[0], keys], 2), torch.cat([past[1], values], 2)
    store = getattr(past, "store", None)
    if store is not None and store.fits(S, keys) and not torch.is_grad_enabled():
        return store.write(S, keys, values)
    if not S:
        return keys, values
    room = S + T + max(LEAST, (S + T) // 2)
    past = with_room(past, room, torch.promote_types(past[0].dtype, keys.dtype))
    return past.store.write(S, keys, values)
