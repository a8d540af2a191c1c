"""The checks of assignment a3 about a prefix: the mapper, picture and words in one row, and labels."""

import numpy as np
import torch

from coursekit.checks.a1_training import numbers
from coursekit.checks.a3_language import same_type, weight
from coursekit.checks.core import (
    Wrong,
    as_array,
    exercise,
    expect_close,
    expect_equal,
    expect_shape,
)

# --- 5 the mapper -------------------------------------------------------------------------------
SIZES = dict(memory_dim=5, hidden_dim=7, dim=4, each=2)
MEMORY = numbers(3, 3, 5, key=4.0, scale=2.0)
PREFIX = [
    [[-1.1276, 0.7110, -0.1244, -0.1093], [0.6827, -0.6847, -1.3883, 0.2797],
     [-0.2649, 1.0314, 0.0811, -0.8229], [0.3093, 0.3447, 1.1862, -0.2505],
     [-1.3300, 0.4757, -1.0559, 0.4031], [1.7285, -1.8369, -2.1019, 1.1091]],
    [[0.2396, 0.7457, -0.3650, -0.3206], [0.1179, 0.8661, 0.8513, -0.8867],
     [-1.2678, 0.5363, 0.1325, -0.4443], [0.5979, -0.9369, -1.6609, 0.4783],
     [-1.3244, 1.2960, 0.6735, -0.8166], [0.7635, -0.9910, 0.1107, 0.8582]],
    [[0.2078, 0.7173, -1.4305, 0.8551], [0.8818, -0.6044, -2.3918, -0.0708],
     [-0.1777, 1.1384, -1.0656, 0.7007], [0.7141, -0.4241, -1.7824, -0.0720],
     [-0.6627, 0.8166, -0.8749, 0.4999], [1.1694, -0.7252, -1.4868, 0.2805]],
]  # fmt: skip
# The second embedding of the first picture's second place, as it comes out with a mistake
AT_3 = [
    ([0.3081, 1.0108, 2.7815, -0.5491],
     "the tanh is missing"),
    ([0.2324, 0.0197, -0.0121, -0.3342],
     "a ReLU stands where the tanh belongs"),
    ([0.2966, -0.0564, -0.1565, -0.2585],
     "a GELU stands where the tanh belongs"),
    ([0.2987, 0.7661, 0.9924, -0.4998],
     "the tanh comes after outer; it belongs between the two"),
    ([0.2998, 0.3317, 0.8294, -0.2453],
     "a second tanh after outer; there is one, between the two"),
    ([1.0314, -0.8229, 0.3447, -0.2505],
     "an embedding is E numbers in a row of the each * E; reshape, do not transpose"),
]  # fmt: skip


@exercise("mapper")
def mapper(answer, sizes=SIZES, memory=MEMORY, key=0.0, expected=PREFIX):
    """answer(**sizes)(memory (B, N, D)) -> prefix (B, N * each, E)."""
    model = answer(**sizes).eval()
    shapes = {name: part.shape for name, part in model.named_parameters()}
    model.load_state_dict(
        {name: weight(name, shape, key) for name, shape in shapes.items()}, strict=False
    )
    given, (B, N, _) = memory.clone(), memory.shape
    got = model(given)
    if not torch.equal(given, memory):
        raise Wrong("the given memory is left as it was", "it was changed", "no operation in place")
    shape = (B, N * sizes["each"], sizes["dim"])
    array = expect_shape(got, shape, "the prefix", _why_shape(got, shape, N, sizes))
    near = [
        why for row, why in AT_3 if memory is MEMORY and np.allclose(array[0, 3], row, atol=2e-4)
    ]
    expect_close(
        array, expected, "the prefix", 1e-4, near[0] if near else _why_order(array, expected)
    )
    same_type(got, memory, "the prefix")
    if not getattr(got, "requires_grad", False):
        raise Wrong("a prefix with a gradient", "none", "no_grad() and detach() cut it off")
    given.requires_grad_()
    (slope,) = torch.autograd.grad(model(given).square().sum(), [given], allow_unused=True)
    if slope is None or not slope.abs().amax(-1).gt(0).all():
        why = "detach() or torch.tensor(…) cuts it off; what comes before could not learn"
        raise Wrong("a gradient through both layers, back to the memory", "none", why)


def _why_shape(got, shape, N, sizes):
    """What a prefix of another shape tells."""
    B, P, E = shape
    return {
        (B, N, sizes["each"] * E): "cut each row of each * E numbers into `each` embeddings",
        (B, N, sizes["each"], E): "one row of N * each embeddings for each picture",
        (
            B,
            sizes["each"],
            E,
        ): "each of the N places gives `each` embeddings; none is averaged away",
        (B * P, E): "the pictures stay apart: (B, N * each, E)",
    }.get(tuple(np.shape(got)) if got is not None else ())


def _why_order(got, expected):
    """Whether all embeddings are there, in another order."""
    rows = [np.sort(np.round(np.asarray(one, dtype=float).sum(-1), 3)) for one in (got, expected)]
    if np.allclose(*rows, atol=2e-3):
        return "the embeddings of place 0 come first, then those of place 1; here they are in another order"
    return None


# --- 6 picture and words in one row -------------------------------------------------------------
def _readable(first, B, count, E=3):
    """(B, count, E): hundreds tell which embedding, tens which picture, ones which number of it."""
    each = first * torch.arange(1.0, count + 1)[None, :, None]
    return each + 10 * torch.arange(1.0, B + 1)[:, None, None] + torch.arange(float(E))


# Ends are tenths and types hundredths, so that a sum tells what it is the sum of
GIVEN = [
    _readable(100, 3, 2),
    _readable(1000, 3, 4),
    torch.tensor([[0.1] * 3, [0.2] * 3]),
    torch.tensor([[0.01] * 3, [0.02] * 3]),
]
ROW = [
    "<picture> + type 0", "prefix 0 + type 0", "prefix 1 + type 0", "</picture> + type 0",
    "word 0 + type 1", "word 1 + type 1", "word 2 + type 1", "word 3 + type 1",
]  # fmt: skip
ENDS = {0: "", 1: "<picture>", 2: "</picture>", 3: "both ends"}
TYPES = {0: "", 1: "type 0", 2: "type 1", 3: "both types"}
NAMES = ["prefix", "words", "ends", "types"]


@exercise("join")
def join(answer, given=GIVEN, expected=None):
    """answer(prefix (B, P, E), words (B, T, E), ends (2, E), types (2, E)) -> (B, P + 2 + T, E)."""
    parts = [part.clone() for part in given]
    got = answer(*parts)
    for name, now, then in zip(NAMES, parts, given, strict=True):
        if not torch.equal(now, then):
            why = f"{name} += … writes into the caller's tensor; {name} + … makes a new one"
            raise Wrong(f"{name}, as given, left as it was", "changed", why)
    (B, P, E), T = given[0].shape, given[1].shape[1]
    array = expect_shape(got, (B, P + 2 + T, E), "the row", _why_length(got, B, P, T, E))
    same_type(got, given[0], "the row")
    if expected is None:
        _read_row(array)
    else:
        expect_close(array, expected, "the row", 1e-5)
    _sums(answer, given)
    if T:
        _no_words(answer, given, array)


def _why_length(got, B, P, T, E):
    shape = tuple(np.shape(got)) if got is not None else ()
    return {
        (B, P + T, E): "the two ends are missing",
        (B, P + 1 + T, E): "one of the two ends is missing",
        (B, P + 2, E): "the words are missing",
    }.get(shape, "picture and words follow each other along the places, axis 1")


def _read_row(array):
    """What stands at each place of each picture's row, read off its numbers."""
    for b, row in enumerate(array):
        names = [_name(numbers_, b) for numbers_ in row]
        for place, (name, wanted) in enumerate(zip(names, ROW, strict=True)):
            if name != wanted:
                told = f"place {place} of picture {b}: {wanted}"
                raise Wrong(told, name, _why_row(names))


def _name(values, b):
    """What a place holds: "prefix 0 + type 0" of picture b."""
    # Embeddings of picture and words count up within a place, ends and types do not
    for each in (values.astype(float) - np.arange(3), values.astype(float)):
        whole, rest = divmod(round(each[0] * 100), 100)
        known = np.ptp(each) < 1e-2 and rest // 10 in ENDS and rest % 10 in TYPES
        if known:
            break
    if not known:
        return "a mixture"
    thousands, hundreds, tens = whole // 1000, whole // 100 % 10, whole // 10 % 10
    held = [f"word {thousands - 1}"] * bool(thousands) + [f"prefix {hundreds - 1}"] * bool(hundreds)
    if held and tens != b + 1:
        held[-1] += f" of picture {tens - 1}"
    return " + ".join(filter(None, [*held, ENDS[rest // 10], TYPES[rest % 10]])) or "nothing"


def _why_row(names):
    """The likeliest cause, from all that stands in a row."""
    if any("both types" in name for name in names):
        return "one type at each place: type 0 at the picture's, type 1 at the words'"
    bare = [name.split(" + type")[0] for name in names]
    types = [name.rpartition("type ")[2] if "type" in name else "" for name in names]
    wanted = [name.split(" + type")[0] for name in ROW]
    if bare != wanted:
        alike = sorted(bare) == sorted(wanted)
        return "in another order: <picture>, prefix, </picture>, words" if alike else None
    return {
        "": "no types are added: types[0] to all of the picture, types[1] to the words",
        "11110000": "the types are exchanged: 0 is the picture's, 1 that of words",
        "00000000": "type 1 belongs to the words",
        "11111111": "type 0 belongs to the picture",
        "001111": "the two ends belong to the picture: type 0 for them, too",
        "10011111": "the two ends belong to the picture: type 0 for them, too",
        "0001111": "the two ends belong to the picture: type 0 for each of them",
        "00011111": "</picture> belongs to the picture: type 0 for it, too",
        "0000": "type 1 belongs to the words: it is not added",
        "1111": "type 0 belongs to the picture: it is not added",
    }.get("".join(types))


def _sums(answer, given):
    """By the gradient: each embedding enters once, ends in every picture, types at every place."""
    wanting = [part.clone().requires_grad_() for part in given]
    row = answer(*wanting)
    if not getattr(row, "requires_grad", False):
        raise Wrong("a row with a gradient", "none", "detach() and numpy() cut it off")
    row.sum().backward()
    (B, P, _), T = given[0].shape, given[1].shape[1]
    often = [1, 1, B, torch.tensor([[B * (P + 2)], [B * T]])]
    for name, part, count in zip(NAMES, wanting, often, strict=True):
        if part.numel() and (part.grad is None or (part.grad - count).abs().max() > 1e-4):
            why = f"the gradient does not come back to {name} as often as they enter"
            raise Wrong(f"a gradient at {name}", "none" if part.grad is None else "another", why)


def _no_words(answer, given, row):
    """Without words the picture alone is left, as when a caption begins; one picture, as many."""
    parts = [given[0].clone(), given[1][:, :0].clone(), *(part.clone() for part in given[2:])]
    places = given[0].shape[1] + 2
    why = "then the whole picture is left, with both ends: (B, P + 2, E)"
    expect_close(answer(*parts), row[:, :places], "the row without any words (T = 0)", 1e-5, why)
    one = [given[0][1:2].clone(), given[1][1:2].clone(), *(part.clone() for part in given[2:])]
    expect_close(answer(*one), row[1:2], "the row of one picture alone", 1e-5)


# --- 7 labels -----------------------------------------------------------------------------------
# (tokens, places, eos_id, labels)
TABLES = [
    (
        [[1, 5, 8, 2, 0, 0], [1, 7, 2, 0, 0, 0], [1, 6, 5, 4, 9, 8]], 3, 2,
        [[-100, -100, -100, 5, 8, 2, -100, -100, -100], [-100, -100, -100, 7, 2, -100, -100, -100, -100],
         [-100, -100, -100, 6, 5, 4, 9, 8, -100]],
    ),
    # As with GPT-2: one token begins, ends and pads
    (
        [[9, 4, 7, 9, 9], [9, 9, 9, 9, 9], [9, 3, 5, 6, 8], [9, 6, 4, 2, 9]], 2, 9,
        [[-100, -100, 4, 7, 9, -100, -100], [-100, -100, 9, -100, -100, -100, -100],
         [-100, -100, 3, 5, 6, 8, -100], [-100, -100, 6, 4, 2, 9, -100]],
    ),
    ([[3, 6, 0, 8, 7, 7]], 0, 7, [[6, 0, 8, 7, -100, -100]]),
]  # fmt: skip


@exercise("make_labels")
def labels(answer, tables=None):
    """answer(tokens (B, T), places, eos_id) -> int64 (B, places + T), -100 where nothing is guessed."""
    for tokens, places, eos_id, wanted in TABLES if tables is None else tables:
        given = torch.tensor(tokens)
        got = answer(given, places, eos_id)
        if given.tolist() != tokens:
            raise Wrong(
                "the given tokens are left as they were", "they were changed", "write into a clone"
            )
        name = f"labels of {len(tokens)} captions behind {places} places (eos_id {eos_id})"
        array = as_array(got, name)
        B, T = given.shape
        if array.shape != (B, places + T):
            raise Wrong(
                f"{name}, shape {(B, places + T)}",
                f"shape {array.shape}",
                _why_labels(array, B, T, places),
            )
        if array.dtype != np.int64:
            why = "cross_entropy wants int64 (torch.long)"
            raise Wrong(f"{name} of type int64", f"{array.dtype}", why)
        _rows(array.tolist(), tokens, places, eos_id, wanted)


def _why_labels(array, B, T, places):
    return {
        (B, T): "-100 at the places of the picture, in front",
        (
            B,
            T - 1,
        ): "-100 at the places of the picture, and one at the end, where nothing comes after",
        (
            B,
            places + T - 1,
        ): "one label for every place that was read: -100 at the last one, behind which nothing comes",
    }.get(array.shape)


def _rows(got, tokens, places, eos_id, wanted):
    """Compares row by row, so that the message shows one caption."""
    for row, told, right in zip(tokens, got, wanted, strict=True):
        why = _why_row_of_labels(told, right, row, places, eos_id)
        expect_equal(told, right, f"labels of {row} behind {places} places (eos_id {eos_id})", why)


def _why_row_of_labels(got, right, row, places, eos_id):
    """What is sure to be wrong with one row."""
    words, wanted = got[places:], right[places:]
    last = max(i for i, label in enumerate(wanted) if label != -100)  # of those that are guessed
    if any(label < 0 and label != -100 for label in got):
        return "what cross_entropy skips is -100"
    if any(label != -100 for label in got[:places]):
        return "nothing is to be guessed at the picture: -100 there"
    if words[0] == row[0] != wanted[0]:
        return "the label of a place is the token after it: this is shifted by one, or not at all"
    if words[0] == -100 and words[1:2] == row[:1] != wanted[1:2]:
        return "shifted to the wrong side: the label of a place is the token after it, not before"
    if words[:-1] == wanted[:-1]:
        return "behind the last token comes nothing: -100 at the last place"
    if row[0] == eos_id and eos_id not in row[1:] and set(words) == {-100}:
        return "<bos> may be the same token as <eos>, and ends nothing; all of this is guessed"
    if eos_id not in row[1:] and words[:last] != wanted[:last] and set(words[last:]) == {-100}:
        return "a caption that was too long has no <eos>: then all of it is guessed"
    if row[0] == eos_id and set(words) == {-100}:
        return "nothing is left to guess: <bos> may be the same token as <eos>, and ends nothing"
    if words[:last] == wanted[:last] and words[last] == -100 and wanted[last] == eos_id:
        return (
            "the first <eos> behind the beginning must be guessed: without it no caption would end"
        )
    if words[: last + 1] == wanted[: last + 1]:
        return "behind the first <eos> there is nothing to guess, whatever number pads"
    return None
