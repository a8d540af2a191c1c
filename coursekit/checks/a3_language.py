"""The check of assignment a3 about a language model that keeps keys and values of what it has read."""

import numpy as np
import torch

from coursekit.checks.a1_training import numbers
from coursekit.checks.core import Wrong, as_array, exercise, expect_close, expect_shape

SIZES = dict(vocab_size=7, context=12, dim=6, heads=3, layers=2)
X = numbers(2, 5, 6, key=7.0)
# How the five places are cut into calls
CUTS = [[3, 2], [4, 1], [1, 1, 1, 1, 1], [2, 1, 2]]
HIDDEN = [
    [[2.6135, 0.4978, 0.0775, -0.7230, -1.0260, 0.4405],
     [0.0271, 0.9480, -1.7794, -0.9839, 1.1679, 0.5736],
     [0.1922, 0.5846, 0.9036, 0.0969, -0.0880, -2.6341],
     [-2.0944, 0.5428, 0.8235, -0.2302, 1.5055, -1.7189],
     [-2.1678, 0.6387, -1.5052, -0.4969, 1.1822, 1.8686]],
    [[1.0914, 0.8262, -0.3506, -1.2883, 0.3289, 0.9267],
     [-1.2777, 0.8267, -1.5618, -0.7280, 1.7174, 0.2635],
     [1.1557, 0.7219, 0.6777, -1.2990, 0.9002, -0.7849],
     [0.8870, 0.7681, 0.3624, -1.3345, 0.9513, -0.3119],
     [-1.2008, 1.0042, -2.0079, -0.3345, 1.0275, -0.1031]],
]  # fmt: skip
# The last place of the first picture, all five read at once, as it comes out with a mistake
AT_ONCE = [
    ([-1.6580, 0.6718, -1.1807, -0.8526, 1.2712, 1.9697],
     "positions are one too late: what is new after S places begins at S"),
    ([-2.0906, 0.5827, -1.5207, -0.5382, 1.2343, 2.0424],
     "no positions are added"),
    ([-2.1074, 0.6850, -1.4650, -0.5574, 1.2474, 1.7067],
     "nothing is masked: each place sees later ones, too"),
    ([-2.8352, 0.4460, -0.3384, -0.3296, 0.7739, 2.1343],
     "the mask is turned round: True where a place may look"),
    ([-7.1196, 2.2778, -4.7804, -2.0371, 1.0776, 2.3668],
     "the norm after the last block is missing"),
    ([-0.4265, 0.6927, -0.6330, -1.1032, 1.9051, -0.1460],
     "norms come after the addition here; norm what attention and mlp read"),
    ([-1.3441, 0.6736, -0.7885, -0.9482, 1.9014, 0.4864],
     "attention replaces x; add it"),
    ([-1.8324, 0.7507, -1.3917, -0.5724, 0.6079, 2.2873],
     "the mlp replaces x; add it"),
    ([-0.9001, 0.7507, 0.6941, -1.2469, 1.1328, 0.6148],
     "the mlp is missing"),
    ([-2.9194, 0.5200, -0.5946, -0.1254, 0.8766, 1.3618],
     "out is missing: the layer behind attention"),
    ([-2.5142, 0.4315, -0.9534, -0.4790, 1.2995, 2.0843],
     "norm_1 is missing: attention reads norm_1(x)"),
    ([-0.6502, 0.8559, -2.1960, -0.7865, 1.1186, 1.4033],
     "norm_2 is missing: the mlp reads norm_2(x)"),
    ([-2.4257, 0.5642, -1.3347, -0.3927, 1.1980, 1.8222],
     "the mlp reads x from before attention; add attention first"),
    ([-1.3368, 0.8361, -1.2684, -0.8903, 1.4539, 1.0008],
     "what the mlp makes is added to norm_2(x); add it to x"),
    ([-1.6524, 0.7934, -1.5043, -0.7392, 1.3507, 1.3661],
     "the last norm comes after every block; it belongs after the last alone"),
    ([-2.1173, 0.6968, -1.3781, -0.5741, 1.1297, 1.8488],
     "positions are added in every block; add them once, before the first"),
    ([-2.5278, 0.4295, -1.1181, -0.4002, 1.3434, 1.9280],
     "norm_1 stands where norm_2 belongs"),
    ([-2.1352, 0.6620, -1.4631, -0.5131, 1.0502, 1.9977],
     "the heads are mixed up: transpose back before they are joined"),
    ([-2.3239, 0.5261, -1.5267, -0.3237, 1.0692, 2.0272],
     "(B, T, E) is reshaped to heads in one go: (B, T, heads, d) first, then transpose"),
    ([-1.7623, 0.8492, -1.6090, -0.6024, 1.3590, 0.9188],
     "qkv gives query, key, value, in this order"),
    ([-1.3023, 0.6008, -1.8757, -0.7620, 1.5925, 1.6872],
     "qkv gives query, key, value, in this order"),
    ([-2.2559, 0.7757, -1.4683, -0.2743, 1.3037, 0.4987],
     "qkv gives query, key, value, in this order"),
    ([-2.3708, 0.6498, -1.3739, -0.3589, 1.5069, 0.8754],
     "the 3 E numbers are cut into heads before queries, keys and values are told apart"),
]  # fmt: skip
# The same, read by three and then by two
AFTER_3 = [
    ([-1.7138, 0.5855, -1.4996, -0.7053, 1.1273, 2.3820],
     "positions begin at 0 again; with S places in the past they go on at S"),
    ([-1.6119, 0.9711, -1.6351, -0.5699, 1.0141, 0.8709],
     "the mask begins at the left (as with is_causal=True); with a past its diagonal begins S columns further right"),
    ([-2.1282, 0.6631, -1.5356, -0.5090, 1.1972, 1.7938],
     "keys and values of the past stand behind the new ones; the mask then hides the wrong ones"),
    ([-2.0015, 0.6053, -1.6511, -0.5453, 1.3706, 1.7990],
     "keys of the past stand among the values"),
    ([-2.0638, 0.5740, -1.7011, -0.4625, 1.2141, 2.0041],
     "the past of the first layer is used in all layers"),
]  # fmt: skip


def weight(name, shape, key=0.0):
    """Numbers for a weight by its name; those of norms are near 1."""
    near = 1.0 if "norm" in name and name.endswith("weight") else 0.0
    return near + numbers(*shape, key=key + sum(map(ord, name)) % 97, scale=0.6)


@exercise("language")
def language(answer, sizes=SIZES, x=X, key=0.0, cuts=CUTS, expected=HIDDEN):
    """answer(**sizes).run(x (B, T, E), past) -> hidden (B, T, E), and for each layer its keys and values."""
    model = answer(**sizes).eval()
    shapes = {name: part.shape for name, part in model.named_parameters()}
    # Loaded, not written in place: the model may live in another process
    weights = {name: weight(name, shape, key) for name, shape in shapes.items()}
    model.load_state_dict(weights, strict=False)
    hidden, past = _run(model, x, None, sizes, x.shape[1])
    near = _near(hidden[0, -1], AT_ONCE if x is X else [])
    expect_close(hidden, expected, "hidden, all places read at once,", 2e-4, near)
    for cut in cuts:
        _in_pieces(model, x, sizes, cut, expected, AFTER_3 if x is X and cut == [3, 2] else [])
    _still_good(model, x, sizes, expected)
    _gradient(model, x)
    # With two layers, all keys and all values look like two pairs
    deeper = sizes | dict(layers=3)
    _run(answer(**deeper).eval(), x, None, deeper, x.shape[1])


def same_type(got, given, name):
    """Raises Wrong unless a tensor has the number type of what was given: the next layer could not read another."""
    if getattr(got, "dtype", None) != given.dtype:
        told = getattr(got, "dtype", f"a {type(got).__name__}")
        raise Wrong(f"{name} as a tensor of {given.dtype}", f"{told}", "the type of what is given")


def _near(row, mistakes):
    close = [why for wrong, why in mistakes if np.allclose(row, wrong, atol=3e-4)]
    return close[0] if close else None


def _run(model, x, past, sizes, total):
    """hidden (B, T, E) as an array, and the past after `total` places, looked at."""
    given = x.clone()
    with torch.no_grad():
        got = model.run(given, past)
    if not torch.equal(given, x):
        why = "x += … writes into the caller's tensor; x = x + … makes a new one"
        raise Wrong("the given x is left as it was", "it was changed", why)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        told = "None" if got is None else f"a {type(got).__name__}"
        raise Wrong("two results, hidden and past", told, "return hidden, past")
    last = np.shape(got[0])[-1:]
    why = (
        "these are logits; hidden is what the head makes them of"
        if last == (sizes["vocab_size"],)
        else None
    )
    why = why if last != x.shape[2:] else "as many places as x has: the new ones alone"
    hidden = expect_shape(got[0], x.shape, "hidden", why)
    same_type(got[0], x, "hidden")
    shape = (len(x), sizes["heads"], total, sizes["dim"] // sizes["heads"])
    _pairs(got[1], sizes["layers"], shape)
    return hidden, got[1]


def _pairs(past, layers, shape):
    """Whether a past is one pair of keys and values for each layer."""
    if not isinstance(past, (tuple, list)) or len(past) != layers:
        told = (
            f"{len(past)} parts" if isinstance(past, (tuple, list)) else f"a {type(past).__name__}"
        )
        raise Wrong(
            f"a past of {layers} pairs, one for each layer",
            told,
            "in the loop, collect one pair (keys, values) for each layer",
        )
    for pair in past:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            why = "a tuple: in the loop, collect one pair (keys, values) for each layer"
            raise Wrong("pairs of keys and values", f"a {type(pair).__name__}", why)
        for name, part in zip(("keys", "values"), pair, strict=True):
            got = as_array(part, name).shape
            why = "(B, heads, places, E / heads), of all places so far: past ones and new ones"
            if got != shape:
                raise Wrong(f"{name} of shape {shape} in the past", f"shape {got}", why)


def _in_pieces(model, x, sizes, cut, expected, mistakes):
    """The same result, however the places are cut into calls."""
    past, at, found = None, 0, []
    for count in cut:
        hidden, past = _run(model, x[:, at : at + count], past, sizes, at + count)
        found.append(hidden)
        at += count
    found, told = np.concatenate(found, 1), " + ".join(map(str, cut))
    why = None
    if np.abs(found - as_array(expected, "hidden")).max() > 2e-4:
        why = _near(found[0, -1], mistakes) or _why_pieces(model, x, cut)
    expect_close(found, expected, f"hidden, read in calls of {told} places,", 2e-4, why)


def _why_pieces(model, x, cut):
    """Whether the first place of the second call depends on a later one; else what a past changes."""
    first, second = x[:, : cut[0]].clone(), x[:, cut[0] : sum(cut[:2])].clone().requires_grad_()
    with torch.no_grad():
        past = model.run(first, None)[1]
    hidden = model.run(second, past)[0]
    if cut[1] > 1 and getattr(hidden, "requires_grad", False):
        (slope,) = torch.autograd.grad(hidden[:, 0].square().sum(), [second])
        if slope[:, 1:].abs().max() > 1e-7:
            return "in a call with a past and several new places, these look at later ones, too: a wrong mask, or one whose columns of the past are not in front"
    return "what differs with a past: positions go on at S, past keys and values come first, the mask is wider"


def _still_good(model, x, sizes, expected):
    """A past can be continued twice, and its rows can be taken in another order, as beam search does."""
    half = x.shape[1] // 2
    _, past = _run(model, x[:, :half], None, sizes, half)
    kept = [part.shape for part in _parts(past)]
    wanted = as_array(expected, "hidden")[:, half:]
    expect_close(
        _run(model, x[:, half:], past, sizes, x.shape[1])[0], wanted, "hidden with a past", 2e-4
    )
    try:
        again, _ = _run(model, x[:, half:], past, sizes, x.shape[1])
        expect_close(again, wanted, "hidden of a second call with the same past", 2e-4)
    except Wrong as wrong:
        raise Wrong(wrong.expected, wrong.got, _why_spent(past, kept)) from None
    rows = torch.arange(len(x)).flip(0)
    turned = tuple(tuple(torch.as_tensor(part)[rows] for part in pair) for pair in past)
    hidden, _ = _run(model, x[rows, half:], turned, sizes, x.shape[1])
    why = "all that is remembered must be in the past that is returned, one row for each picture"
    expect_close(
        hidden, wanted[::-1], "hidden with the rows of the past in another order", 2e-4, why
    )


def _parts(past):
    return [as_array(part, "the past") for pair in past for part in pair]


def _why_spent(past, kept):
    """Why a past that was good for one call is not good for another."""
    if [part.shape for part in _parts(past)] != kept:
        return "the past that is given is changed; make new tensors, and a new list of pairs"
    return "something is kept in the model; all that is remembered must be in the past that is returned"


def _gradient(model, x):
    """Hidden has a gradient, and that of an early place none from later ones."""
    x = x.clone().requires_grad_()
    hidden = model.run(x, None)[0]
    if not getattr(hidden, "requires_grad", False):
        why = "no_grad(), detach() and numpy() cut it off: the model could not learn"
        raise Wrong("hidden with a gradient", "none", why)
    middle = x.shape[1] // 2
    (slope,) = torch.autograd.grad(hidden[:, middle].square().sum(), [x], allow_unused=True)
    why = "detach() or no_grad() cuts keys or values off, or a place does not see all before it"
    if slope is None or not slope[:, : middle + 1].abs().amax((0, 2)).gt(0).all():
        raise Wrong("a gradient at every place up to the one asked", "none at some", why)
    if slope[:, middle + 1 :].abs().max() > 1e-7:
        raise Wrong("no gradient at later places", "a gradient there", "the mask is not causal")
