"""The checks of lesson 07: prefix and words joined, labels, several embeddings of one, a frozen model."""

import numpy as np
import torch
from torch import nn

from coursekit.checks.core import (
    Wrong,
    as_array,
    exercise,
    expect_close,
    expect_equal,
    expect_shape,
)

# B = 2 captions of T = 4 words after P = 3 embeddings of a picture, each of E = 5 numbers
PICTURE = [[[100 * (b + 1) + 10 * p + 3 * e for e in range(5)] for p in range(3)] for b in range(2)]
WORDS = [[[1000 * (b + 1) + 10 * t - e for e in range(5)] for t in range(4)] for b in range(2)]
ENDS = [[-10, -30, -20, -50, -40], [-70, -60, -90, -80, -75]]
TYPES = [[0.25, 0.5, -0.25, 0.125, 0.75], [-0.5, 0.25, 0.625, -0.125, 0.375]]
ORDER = [
    "<picture>",
    *(f"embedding {p} of the picture" for p in range(3)),
    "</picture>",
    *(f"word {t}" for t in range(4)),
]
TYPE_OF = ["picture"] * 5 + ["words"] * 4
SHAPE = (2, 9, 5)


def _named(vector, b):
    """What a vector of caption b is: (source, type) by name, or None where it is nothing that was given."""
    sources = [ENDS[0], *PICTURE[b], ENDS[1], *WORDS[b]]
    types = {"no": np.zeros(5), "picture": TYPES[0], "words": TYPES[1], "both": np.sum(TYPES, 0)}
    for name, source in zip(ORDER, sources, strict=True):
        for kind, added in types.items():
            if np.abs(vector - source - added).max() < 1e-3:
                return name, kind
    return None


@exercise("join")
def join(answer):
    """answer(picture (B, P, E), words (B, T, E), ends (2, E), types (2, E)) -> (B, P + 2 + T, E)."""
    given = [torch.tensor(part, dtype=torch.float32) for part in (PICTURE, WORDS, ENDS, TYPES)]
    got = as_array(_run_join(answer, given), "the joined embeddings")
    whys = {(2, 7, 5): "the two ends are missing", (2, 8, 5): "one of the two ends is missing"}
    usual = "1 place that begins, P, 1 that ends, T: join them along dimension 1"
    why = whys.get(got.shape, usual)
    expect_shape(got, SHAPE, "the joined embeddings", why)
    for b in range(2):
        found = [_named(vector, b) for vector in got[b].astype(float)]
        _in_order(found, got[b], b)
        _typed([kind for _, kind in found])


def _run_join(answer, given):
    try:
        return answer(*given)
    except NotImplementedError:
        raise
    except (RuntimeError, IndexError) as error:
        raise Wrong(
            f"embeddings of shape {SHAPE}",
            str(error).splitlines()[0],
            "shapes that do not fit: ends[0] is (E,), and every picture needs it: "
            "ends[0].expand(B, 1, -1) is (B, 1, E)",
        ) from error


def _in_order(found, vectors, b):
    names = [each[0] if each else None for each in found]
    if names == ORDER:
        return
    place = next(t for t, name in enumerate(names) if name != ORDER[t])
    likely = {
        tuple(ORDER[5:] + ORDER[:5]): "the words come first: they would be guessed before the picture is read",
        (ORDER[4], *ORDER[1:4], ORDER[0], *ORDER[5:]): "the two ends are exchanged: ends[0] begins the picture",
        (*ORDER[1:4], ORDER[0], *ORDER[4:]): "ends[0] comes before the picture's embeddings",
        (ORDER[0], *ORDER[1:4], ORDER[0], *ORDER[5:]): "the same end twice: ends[1] closes the picture",
        (ORDER[0], ORDER[4], *ORDER[1:4], *ORDER[5:]): "ends[1] comes after the picture's embeddings",
    }.get(tuple(names))  # fmt: skip
    if names[place] is None:
        other = _named(vectors[place].astype(float), 1 - b)
        likely = (
            "these are no embeddings that were given: a type is added once to each, nothing else"
        )
        if other:
            likely = "it belongs to the other caption of the batch: join along dimension 1"
    raise Wrong(
        f"{ORDER[place]} at place {place}", names[place] or f"{np.round(vectors[place], 3)}", likely
    )


def _typed(kinds):
    if kinds == TYPE_OF:
        return
    place = next(t for t, kind in enumerate(kinds) if kind != TYPE_OF[t])
    likely = {
        tuple(["no"] * 9): "the types are not added",
        tuple(["words"] * 5 + ["picture"] * 4): "the types are exchanged: types[0] is the picture's",
        ("no", *TYPE_OF[1:4], "no", *TYPE_OF[5:]): "the two ends belong to the picture, and take its type",
        (*["picture"] * 3, *["words"] * 6): "with the ends the picture has P + 2 places, not P",
        ("picture", *["no"] * 3, "picture", *TYPE_OF[5:]): "the picture's embeddings take its type, not only the ends",
        ("words", *TYPE_OF[1:4], "words", *TYPE_OF[5:]): "the two ends belong to the picture, and take its type",
        (*TYPE_OF[:5], *["no"] * 4): "the words have a type, too: types[1]",
        (*["no"] * 5, *TYPE_OF[5:]): "the picture has a type, too: types[0]",
        tuple(["picture"] * 9): "types[0] everywhere tells nothing apart: words take types[1]",
        tuple(["words"] * 9): "types[1] everywhere tells nothing apart: the picture takes types[0]",
        tuple(["both"] * 9): "both types everywhere: each place takes one",
    }.get(tuple(kinds))  # fmt: skip
    told = {"no": "no type", "both": "both types"}
    got = told.get(kinds[place], f"the type of {kinds[place]}")
    raise Wrong(f"{ORDER[place]} with the type of {TYPE_OF[place]}", got, likely)


# Three captions after a prefix of 3 places; and two of a tokenizer whose <bos>, <eos> and padding are all 11
CAPTIONS = [[1, 7, 4, 9, 6, 2], [1, 5, 2, 0, 0, 0], [1, 6, 8, 4, 2, 0]]
GPT2 = [[11, 0, 7, 5, 11], [11, 3, 11, 11, 11]]
PREFIX, IGNORED = 3, -100
TARGETS = [[7, 4, 9, 6, 2], [5, 2, -100, -100, -100], [6, 8, 4, 2, -100]]
INPUTS = [[1, 7, 4, 9, 6], [1, 5, 2, 0, 0], [1, 6, 8, 4, 2]]
GPT2_TARGETS = [[0, 7, 5, 11], [3, 11, -100, -100]]
GPT2_NO_END = [[0, 7, 5, -100], [3, -100, -100, -100]]
GPT2_ZERO_IS_PADDING = [[-100, 7, 5, 11], [3, 11, 11, 11]]
GPT2_FIRST_ONE_COUNTED = [[-100] * 4, [-100] * 4]


def _after(rows, prefix=PREFIX, number=IGNORED):
    return [[number] * prefix + list(row) for row in rows]


@exercise("labels")
def labels(answer):
    """answer(tokens (B, T), prefix, eos_id) -> (B, prefix + T - 1): the next token, or -100."""
    tokens = torch.tensor(CAPTIONS)
    got = as_array(answer(tokens, PREFIX, 2), "the labels")
    if tokens.tolist() != CAPTIONS:
        why = "tokens[:, 1:] is a view: writing into it changes what the model reads; clone() or masked_fill"
        raise Wrong("tokens as they were", f"tokens[1] = {tokens[1].tolist()} after the call", why)
    _fitting(got)
    every = [row[1:] for row in CAPTIONS]
    expect_equal(
        got,
        _after(TARGETS),
        "the labels",
        mistakes=[
            (_after(INPUTS), "not moved: the label of a place is the token after the one it reads"),
            (_after([[i if i else -100 for i in row] for row in INPUTS]), "not moved: the label of a place is the token after the one it reads"),
            (_after(every), "padding is counted: after the first <eos> every label is -100"),
            (_after([[-100 if t in (0, 2) else t for t in row] for row in every]), "<eos> is left out: the first one is what teaches it to stop"),
            (_after([row[:k] + [-100] * (5 - k) for row, k in zip(every, (4, 1, 3), strict=True)]), "<eos> is left out: the first one is what teaches it to stop"),
            (_after(TARGETS, number=0), "the prefix is labelled 0; cross-entropy skips -100, and 0 is a token"),
            (_after(TARGETS, number=-1), "the prefix is labelled -1; cross-entropy skips -100"),
            (_after([[0 if t == -100 else t for t in row] for row in TARGETS], number=0), "0 is a token; cross-entropy skips -100"),
            ([row + [-100] * PREFIX for row in TARGETS], "the prefix comes first, so its labels do, too"),
        ],
    )  # fmt: skip
    got = as_array(answer(torch.tensor(GPT2), 1, 11), "the labels")
    expect_equal(
        got,
        _after(GPT2_TARGETS, 1),
        "the labels where <bos>, <eos> and padding are one token, 11",
        "eos_id is 11 here, and 0 is a word: take nothing but eos_id for granted",
        mistakes=[
            (_after(GPT2_NO_END, 1), "every <eos> is skipped as padding: this model would never learn to stop; keep the first"),
            (_after(GPT2_ZERO_IS_PADDING, 1), "0 is a word here: padding is what comes after the first <eos>, whatever its number"),
            (_after(GPT2_FIRST_ONE_COUNTED, 1), "<bos> was taken for the end: look for the first <eos> among the targets, tokens[:, 1:]"),
        ],
    )  # fmt: skip


def _fitting(got):
    """The shape, and what others tell of."""
    whys = {
        (3, 5): "the prefix has places, too: as many labels of -100 come first",
        (3, 6): "the prefix has places, too, and the last token is a label and no place",
        (3, 9): "one place too many: the last token is a label, and nothing is read after it",
        (2, 8): "tokens[1:] leaves out the first caption; tokens[:, 1:] the first token of each",
    }  # fmt: skip
    expect_shape(got, (3, 8), "the labels", whys.get(got.shape, "prefix + T - 1 places are read"))
    if got[0].tolist() == [-100, -100, *CAPTIONS[0]]:
        why = "the last place of the prefix should guess <bos>: <bos> is given, so that place is -100 as well"
        raise Wrong(f"{PREFIX} labels of -100 first", f"labels[0] = {got[0].tolist()}", why)


# A picture of N = 3 places and D = 4 features, B = 2; each place becomes 2 embeddings of E = 5 numbers
MEMORY = [
    [[1, -3, 0, 2], [4, -1, 0, -2], [2, -2, 3, 0]],
    [[0, 5, -4, 1], [0, 1, -2, 1], [-1, 0, -3, 7]],
]
WEIGHT = [
    [1, 0, 2, 0], [0, 1, 0, -1], [3, 0, 0, 1], [0, -2, 1, 0], [1, 1, 1, 1],
    [0, 0, 1, 2], [2, 1, 0, 0], [0, 3, 0, 1], [-1, 0, 0, 4], [1, 0, -1, 0],
]  # fmt: skip
BIAS = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
EMBEDDINGS = [
    [[11, 15, 35, 46, 50], [64, 69, 73, 97, 101], [14, 21, 40, 42, 51], [56, 77, 75, 78, 104],
     [18, 18, 36, 47, 53], [63, 72, 74, 88, 99]],
    [[2, 24, 31, 26, 52], [58, 75, 96, 94, 104], [6, 20, 31, 36, 50], [60, 71, 84, 94, 102],
     [3, 13, 34, 37, 53], [71, 68, 87, 119, 102]],
]  # fmt: skip


@exercise("several")
def several(answer):
    """answer(memory (B, N, D), weight (k * E, D), bias (k * E,), dim E) -> (B, N * k, E)."""
    given = [torch.tensor(part, dtype=torch.float32) for part in (MEMORY, WEIGHT, BIAS)]
    fit = "shapes that do not fit: memory @ weight.T + bias is (B, N, k * E); then cut it"
    got = as_array(_run_several(answer, given, fit), "the embeddings")
    whys = {
        (2, 3, 10): "each place has all its numbers in one row: cut them into embeddings of E",
        (2, 3, 2, 5): "places and their embeddings are two dimensions: join them",
        (2, 2, 5): "the places are pooled: here each place gives embeddings of its own",
        (2, 10): "the places are pooled: here each place gives embeddings of its own",
        (2, 3, 5): "one embedding a place; the weight makes k of each",
        (2, 5, 6): "E comes last: an embedding is a row",
        (6, 10): "the pictures of the batch stay apart: B is the first dimension",
        (12, 5): "the pictures of the batch stay apart: B is the first dimension",
    }
    expect_shape(got, (2, 6, 5), "the embeddings", whys.get(got.shape))
    rows = np.asarray(EMBEDDINGS, float).reshape(2, 3, 2, 5)
    bias = np.asarray(BIAS, float).reshape(2, 5)
    whole = rows.reshape(2, 3, 10)
    mistakes = [
        ((rows - bias).reshape(2, 6, 5), "the bias is not added"),
        (rows.transpose(0, 2, 1, 3).reshape(2, 6, 5), "all first embeddings, then all second ones: keep those of a place together"),
        (whole.transpose(0, 2, 1).reshape(2, 6, 5), "a view after a transpose mixes places: the numbers of a place come last, (B, N, k * E)"),
        (whole.reshape(2, 3, 5, 2).transpose(0, 1, 3, 2).reshape(2, 6, 5), "a place's numbers are cut as (E, k); the first E are its first embedding: (k, E)"),
        (whole.transpose(1, 0, 2).reshape(2, 6, 5), "places and pictures are exchanged: B stays the first dimension"),
    ]  # fmt: skip
    expect_close(got, EMBEDDINGS, "the embeddings", 1e-3, mistakes=mistakes)
    single = [given[0], given[1][:5], given[2][:5]]
    one = _run_several(answer, single, "k is not always 2")
    expect_close(one, rows[:, :, 0], "the embeddings where k is 1", 1e-3, "k is not always 2")


def _run_several(answer, given, why):
    try:
        return answer(*given, 5)
    except NotImplementedError:
        raise
    except (RuntimeError, IndexError) as error:
        raise Wrong("embeddings (B, N * k, E)", str(error).splitlines()[0], why) from error


class _Language(nn.Module):
    """A language model to freeze: 7 words of 4 numbers, one layer, a norm, and a head that shares the words."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(7, 4)
        self.block = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.tokens.weight


class _Captioner(nn.Module):
    """language 28 + 20 + 8 numbers, mapper 3 * 4 + 4, ends 2 * 4, types 2 * 4."""

    def __init__(self):
        super().__init__()
        self.language, self.mapper = _Language(), nn.Linear(3, 4)
        self.ends, self.types = nn.Parameter(torch.zeros(2, 4)), nn.Parameter(torch.zeros(2, 4))


LEARN, FROZEN = 32, 56


@exercise("freeze")
def freeze(answer):
    """answer(model) -> how many numbers still learn; model.language no longer does, all else does."""
    model = _Captioner()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    got = answer(model)
    if "requires_grad" in vars(model.language):
        why = "language.requires_grad = False only sets an attribute of the module; requires_grad_(False) reaches its parameters"
        raise Wrong("a frozen language model", "one that learns", why)
    if isinstance(got, nn.Module):
        raise Wrong(f"{LEARN}, a number", "the model", "return how many numbers learn")
    learns = {name for name, each in model.named_parameters() if each.requires_grad}
    _frozen(learns)
    if any(not torch.equal(value, before[name]) for name, value in model.state_dict().items()):
        raise Wrong("weights as they were", "other weights", "freezing changes no weight")
    expect_equal(
        got,
        LEARN,
        "the numbers that learn",
        mistakes=[
            (LEARN + FROZEN, "all numbers; count those with requires_grad"),
            (FROZEN, "these are the frozen ones; count those that still learn"),
            (4, "these are tensors; a tensor holds numel() numbers"),
            (16, "the mapper alone; ends and types learn as well"),
            (24, "ends and types both learn, beside the mapper"),
        ],
    )


def _frozen(learns):
    language = {name for name in learns if name.startswith("language.")}
    others = {"mapper.weight", "mapper.bias", "ends", "types"}
    if missing := others - learns:
        why = "only the language model is frozen: model.language.requires_grad_(False)"
        if missing == others:
            why = "everything is frozen, and nothing can learn: freeze model.language alone"
        raise Wrong("mapper, ends and types that learn", f"{sorted(missing)[0]} does not", why)
    if language:
        why = "neither eval() nor no_grad() freezes a parameter: requires_grad_(False) does"
        if len(language) < 5:
            why = "some of its parameters still learn: freeze all, biases, norms and embeddings too"
        raise Wrong("a frozen language model", f"{sorted(language)[0]} still learns", why)
