"""The check of assignment a4 about a small Image GPT: the start token, and two ways to read."""

import numpy as np
import torch

from coursekit.checks.a3_language import same_type, weight
from coursekit.checks.core import Wrong, as_array, exercise, expect_close, expect_shape

# (tokens, start_id, what is read)
READ = [
    ([[1, 2, 3, 0], [4, 4, 0, 5], [0, 3, 3, 1]], 6, [[6, 1, 2, 3], [6, 4, 4, 0], [6, 0, 3, 3]]),
    ([[7, 2]], 9, [[9, 7]]),
]
# The first of these as it comes out with a mistake
ROWS = [
    ([6, 1, 2, 3, 0], "the last pixel is never read: T tokens, the start among them"),
    ([1, 2, 3, 6], "the start stands in front, and the last token goes"),
    ([1, 2, 3, 0], "the start token is missing"),
    ([1, 2, 3], "the start token is missing"),
    ([2, 3, 0, 6], "the start stands in front, and the last token goes"),
    ([6, 2, 3, 0], "the start takes no pixel's place: all move by one, and the last one goes"),
    ([0, 1, 2, 3], "start_id stands in front, not 0, which is the darkest colour, nor the last pixel"),
    ([6, 6, 1, 2], "the start stands there once"),
]  # fmt: skip
SIZES = dict(colours=5, side=3, dim=6, heads=3, layers=2)
PICTURES = torch.tensor([[3, 0, 4, 4, 1, 2, 3], [1, 1, 3, 0, 2, 4, 4], [0, 4, 2, 3, 1, 0, 3]])
MASKED = torch.tensor([[0, 1, 0, 0, 1, 1, 0], [1, 0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0, 1]]).bool()
LOGITS = [
    [[0.2119, -0.9131, 1.2064, -0.3248, -2.1672], [-1.1908, -1.5612, 2.0085, 1.9164, -1.7213], [0.2621, -0.1148, 0.0269, -1.0039, 0.6015],
     [0.6720, 0.6589, -0.6486, -1.8212, -0.9013], [-0.4700, -2.1360, 2.4657, 0.5604, -1.6412], [-0.9073, -1.9040, 2.2760, 0.9777, -1.7380],
     [-0.5720, -1.4592, 1.6623, 0.3279, -0.8226]],
    [[0.2119, -0.9131, 1.2064, -0.3248, -2.1672], [-0.9254, -1.7266, 2.0975, 1.1721, -1.5742], [-0.0892, -0.7573, 0.7643, -0.9019, -0.0892],
     [-0.7003, -0.8845, 1.0736, 0.4354, -0.6044], [-0.3140, -1.2622, 1.3957, -0.0929, -0.5242], [-1.2366, -1.4418, 1.8271, 1.5001, -1.5407],
     [0.0866, -0.1867, 0.1435, -1.0815, 0.2452]],
    [[0.2119, -0.9131, 1.2064, -0.3248, -2.1672], [-0.5845, -1.5771, 1.8127, 0.5274, -0.9379], [-0.4693, -1.0610, 1.2204, 0.0307, -0.6154],
     [-0.7013, -1.1174, 1.3101, 0.3527, -0.7183], [-0.9697, -1.3079, 1.6967, 1.4789, -1.4457], [-0.8733, -1.3196, 1.6108, 0.7612, -1.1976],
     [-0.3875, -0.9394, 1.0321, -0.0555, -0.2105]],
]  # fmt: skip
GUESSES = [
    [[-1.3148, -1.1681, 1.6181, 2.0648, -1.6376], [-0.9837, -0.3252, 0.7542, 1.9913, -1.3352], [-0.5585, -0.5122, 0.6138, -0.1959, -0.3400],
     [-0.3705, -0.2277, 0.2371, -0.9351, -0.1431], [-0.3937, -1.1736, 1.4095, 0.4297, -0.8566], [-0.8711, -1.0628, 1.5730, 2.0342, -1.9261],
     [-0.7985, -1.2798, 1.5225, 0.7337, -0.8684]],
    [[-1.1082, 0.4172, 0.0294, 2.5307, -1.2660], [-0.9474, -1.2465, 1.5530, 0.9987, -1.1673], [-0.8951, -0.7015, 0.9863, 1.0615, -0.8875],
     [-0.3764, -0.0296, 0.0661, -0.3382, 0.1019], [-0.6895, -1.3505, 1.6249, 0.6882, -1.0720], [-0.9640, -1.2674, 1.6305, 1.1463, -1.4608],
     [-0.4414, -0.8215, 0.9208, -0.1883, -0.3268]],
    [[-0.7687, -1.1469, 1.3685, 0.6065, -0.7757], [-0.8006, 0.2512, 0.1419, 1.8305, -1.1092], [0.3029, 2.0909, -2.1926, -0.3060, 1.0510],
     [-0.8660, -0.8947, 1.1132, 0.6728, -0.7108], [-0.7563, -1.5794, 1.8854, 0.7505, -1.3086], [-0.5811, -1.3115, 1.5040, 0.2502, -0.7747],
     [-0.1879, -0.3489, 0.3843, -0.3656, 0.1092]],
]  # fmt: skip
# The logits of the first picture at place 5, as they come out with a mistake
AT_5 = [
    ([-0.8469, -1.0965, 1.3547, 0.7068, -0.9680],
     "no positions are added"),
    ([-0.5602, -1.1410, 1.3026, 0.0894, -0.6398],
     "positions are one too late: they go from 0 to T - 1"),
    ([-1.0725, -3.5087, 4.4468, 1.9344, -4.4754],
     "the norm in front of the head is missing"),
    ([-0.1582, -2.6664, 3.2525, -0.8457, -3.8407],
     "the norm comes in front of the blocks; it belongs behind them"),
    ([-0.9612, -1.8420, 2.2203, 1.2176, -1.6380],
     "the norm comes after every block; it belongs behind the last one"),
    ([-0.9707, -2.1914, 2.5765, 0.8517, -2.0318],
     "only the first block is used"),
    ([-0.3568, -1.1874, 1.4845, -0.4124, -1.7928],
     "only the last block is used"),
    ([-0.0844, -1.9683, 2.1632, -0.5026, -1.2971],
     "the blocks are gone through from the last to the first"),
    ([-0.8101, -2.0523, 2.4458, 0.5497, -2.1778],
     "each block is added to x once more; it adds by itself"),
    ([-0.2367, -0.9141, 1.1927, -1.2520, -2.5340],
     "no block is used"),
    ([-0.9003, -1.9421, 2.3404, 0.8840, -1.9853],
     "the positions are added before every block"),
    ([0.0308, 0.0114, 0.7419, 0.2026, 0.0134],
     "softmax is taken; logits are wanted"),
    ([-3.4818, -4.4784, -0.2985, -1.5968, -4.3124],
     "log_softmax is taken; logits are wanted"),
    ([-0.9799, -1.7976, 2.1631, 1.0298, -1.6651],
     "the start is token start_id, and not colour 0, the darkest"),
    ([-0.9273, -1.6392, 1.9805, 0.9434, -1.4996],
     "the start is token start_id, and not the last pixel"),
    ([-0.9130, -1.7806, 2.2089, 1.3040, -1.8894],
     "the start stands in front of what is read, once"),
]  # fmt: skip
# What both guesses in the first picture at place 4, which is not the first one masked, with a mistake
AT_4 = [
    ([-0.8609, -0.4769, 0.7804, 1.2140, -0.8848],
     "no positions are added"),
    ([-0.7123, -1.1676, 1.5629, 1.2845, -1.4951],
     "positions are one too late: they go from 0 to T - 1"),
    ([1.3212, -1.5652, 2.1342, 0.2074, -2.1802],
     "the norm in front of the head is missing"),
    ([1.0501, 1.1275, -0.3704, 2.6494, -2.7542],
     "the norm comes in front of the blocks; it belongs behind them"),
    ([-0.7559, -0.8629, 1.1082, 0.6143, -0.8701],
     "the norm comes after every block; it belongs behind the last one"),
    ([-0.1264, -2.0394, 2.3445, 0.3297, -1.5242],
     "only the first block is used"),
    ([-0.2023, -0.2328, 0.6548, 1.3432, -1.4870],
     "only the last block is used"),
    ([0.1664, -1.3450, 1.4928, 0.1049, -0.4510],
     "the blocks are gone through from the last to the first"),
    ([-0.3846, -1.6755, 2.0219, 0.8647, -1.4269],
     "each block is added to x once more; it adds by itself"),
    ([-1.1733, -0.1317, 0.5792, 3.2029, -1.2558],
     "no block is used"),
    ([-0.5315, -1.2163, 1.5112, 0.7081, -1.1179],
     "the positions are added before every block"),
    ([0.0958, 0.0439, 0.5816, 0.2183, 0.0603],
     "softmax is taken; logits are wanted"),
    ([-2.3452, -3.1251, -0.5420, -1.5218, -2.8081],
     "log_softmax is taken; logits are wanted"),
    ([-0.4349, -1.3179, 1.4678, 0.0617, -0.5795],
     "masked tokens become colour 0; the mask is number start_id"),
    ([-0.5156, -1.4191, 1.6564, 0.3020, -1.0247],
     "shifted as well; here the mask hides what is to be guessed"),
    ([-0.1853, -0.9725, 1.1485, 0.1171, -0.5722],
     "causal=True; here every place sees all others"),
    ([-0.4702, -1.5436, 1.7633, 0.1924, -0.9945],
     "the mask is turned round"),
]  # fmt: skip


@exercise("pixel_model")
def model(
    shift,
    answer,
    sizes=SIZES,
    tokens=PICTURES,
    masked=MASKED,
    key=0.0,
    logits=LOGITS,
    guesses=GUESSES,
    read=READ,
):
    """shift(tokens, start_id) -> (B, T); answer(**sizes)(tokens) and .both(tokens, masked) -> logits (B, T, V)."""
    for each in read:
        _shift(shift, *each)
    own = answer(**sizes).eval()
    # Loaded, not written in place: the model may live in another process
    shapes = {name: part.shape for name, part in own.named_parameters()}
    own.load_state_dict(
        {name: weight(name, shape, key) for name, shape in shapes.items()}, strict=False
    )
    known = tokens is PICTURES
    _forward(own, sizes, tokens, logits, AT_5 if known else [])
    _both(own, sizes, tokens, masked, guesses, AT_4 if known else [])
    _learns(own, tokens, masked)


def _shift(shift, tokens, start_id, wanted):
    given = torch.tensor(tokens)
    array = as_array(shift(given, start_id), "what is read")
    if given.tolist() != tokens:
        why = "tokens[:, 1:] = … writes into the caller's tensor; make a new one"
        raise Wrong("the given tokens are left as they were", "they were changed", why)
    row = array[0].tolist() if array.ndim == 2 else array.tolist()
    why = next((why for each, why in ROWS if row == each), None)
    if array.shape != np.shape(wanted):
        raise Wrong(f"what is read, of shape {np.shape(wanted)}", f"shape {array.shape}", why)
    if array.dtype.kind not in "iu":
        raise Wrong(
            "tokens of an integer type", f"{array.dtype}", "embeddings want int64 (torch.long)"
        )
    for own, told, right in zip(tokens, array.tolist(), wanted, strict=True):
        if told != right:
            if right is not wanted[0] and array[0].tolist() == wanted[0]:
                why = "the start stands in front of every picture"
            raise Wrong(f"{right} read for the tokens {own} (start_id {start_id})", f"{told}", why)


def _run(call, name, given, colours):
    """Logits (B, T, V) of a call on tokens and perhaps a mask, as an array; what is given must stay as it was."""
    parts = [one.clone() for one in given]
    with torch.no_grad():
        got = call(*parts)
    for now, then in zip(parts, given, strict=True):
        if not torch.equal(now, then):
            why = "masked_fill and torch.where make a new tensor; tokens[masked] = … does not"
            raise Wrong(f"what {name} is given is left as it was", "it was changed", why)
    return expect_shape(
        got, (*given[0].shape, colours), name, _why_shape(got, given[0].shape, colours)
    )


def _why_shape(got, shape, colours):
    found = tuple(np.shape(got)) if got is not None else ()
    if found == (shape[0], shape[1] + 1, colours):
        return "the start and all pixels but the last are read: as many places as pixels"
    if found == (shape[0], shape[1] - 1, colours):
        return "the first pixel is guessed, too: the start stands in front"
    if len(found) == 3 and found[:2] == tuple(shape):
        return "these are no logits: the head comes last, and makes V numbers of each place"
    return None


def _forward(own, sizes, tokens, expected, mistakes):
    got = _run(own, "the logits", [tokens], sizes["colours"])
    if np.abs(_run(own, "the logits", [tokens], sizes["colours"]) - got).max() > 1e-6:
        why = (
            "model.eval() turns the blocks' dropout off; is there another one, or a random number?"
        )
        raise Wrong("the same logits at each call in evaluation mode", "others", why)
    _looks(own, sizes, tokens)
    near = [why for row, why in mistakes if np.allclose(got[0, 5], row, atol=3e-4)]
    expect_close(got, expected, "the logits", 2e-4, near[0] if near else None)
    # These three hold no largest colour, from which a start could be read off
    short = _run(own, "the logits of the first pixels", [tokens[1:2, :3]], sizes["colours"])
    expect_close(
        short,
        as_array(expected, "the logits")[1:2, :3],
        "the logits of the first three pixels of picture 1 alone",
        2e-4,
        "start and positions are those of a whole picture: the start is number start_id, whatever comes",
    )
    alone = _run(own, "the logits of one picture", [tokens[1:2]], sizes["colours"])
    expect_close(
        alone, as_array(expected, "the logits")[1:2], "the logits of one picture alone", 2e-4
    )


def _depends(call, tokens, colours):
    """(T, T) bool: whether logits t change with token s, each token changed to the next colour."""
    before, T = call(tokens), tokens.shape[1]
    found = np.zeros((T, T), dtype=bool)
    for s in range(T):
        other = tokens.clone()
        other[:, s] = (other[:, s] + 1) % colours
        found[:, s] = np.abs(call(other) - before).max((0, 2)) > 1e-6
    return found


def _looks(own, sizes, tokens):
    """Logits t depend on all tokens before t, and on no other."""
    T = tokens.shape[1]

    def call(given):
        return _run(own, "the logits", [given], sizes["colours"])

    seen, wanted = _depends(call, tokens, sizes["colours"]), np.tril(np.ones((T, T), bool), -1)
    if (seen == wanted).all():
        return
    t, s = (int(i) for i in np.argwhere(seen != wanted)[0])
    told = f"logits {t} that {'depend' if wanted[t, s] else 'do not depend'} on token {s}"
    raise Wrong(told, "they do" if seen[t, s] else "they do not", _why_looks(seen, wanted))


def _why_looks(seen, wanted):
    T = len(seen)
    if (seen == np.tril(np.ones((T, T)))).all():
        return "not shifted: each place sees the very pixel that it is to guess, and the loss would go to 0"
    if (seen == np.tril(np.ones((T, T)), -2)).all():
        return "shifted twice: the pixel just before is not seen"
    if not seen.any():
        return "the logits do not depend on the tokens at all"
    if seen[:, :-1].all():
        return "causal=True is missing: places see later ones"
    if (seen & ~wanted).any():
        return "no place may see its own pixel or a later one"
    return "each place sees the start and all pixels before its own"


def _both(own, sizes, tokens, masked, expected, mistakes):
    got = _run(own.both, "the guesses of both", [tokens, masked], sizes["colours"])

    def call(given):
        return _run(own.both, "the guesses of both", [given, masked], sizes["colours"])

    for s in range(tokens.shape[1]):
        other = tokens.clone()
        other[:, s] = (other[:, s] + 1) % sizes["colours"]
        moved = np.abs(call(other) - got).max(2) > 1e-6  # (B, T)
        for b in range(len(tokens)):
            _sees(moved[b], bool(masked[b, s]), s, last=s == tokens.shape[1] - 1)
    near = [why for row, why in mistakes if np.allclose(got[0, 4], row, atol=3e-4)]
    expect_close(got, expected, "the guesses of both", 2e-4, near[0] if near else None)


def _sees(moved, hidden, s, last):
    """moved (T,): which guesses of a picture changed with its token s."""
    if hidden and moved.any():
        why = "the mask, number start_id, takes the place of masked tokens; is it turned round?"
        raise Wrong(
            f"guesses of both that do not depend on token {s}, which is masked", "they do", why
        )
    if not hidden and not moved.all():
        why = "causal=False: every place sees all others, before and after"
        if not moved.any():
            why = "only masked tokens are hidden, True is masked: is it turned round?"
            if last:  # all before it were seen
                why = "shifted: the guess at place t is about token t, which the mask hides"
        told = f"guess {int(np.argmin(moved))} of both depends on token {s}, which is not masked"
        raise Wrong(told, "it does not", why)


def _learns(own, tokens, masked):
    for name, got in (("forward", own(tokens)), ("both", own.both(tokens, masked))):
        same_type(got, torch.zeros(0), f"the result of {name}")
        if not getattr(got, "requires_grad", False):
            why = "no_grad(), detach() and numpy() cut it off: the model could not learn"
            raise Wrong(f"logits of {name} with a gradient", "none", why)
