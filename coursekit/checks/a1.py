"""The checks of assignment a1: the parts of a captioner; those of its training are in a1_training.

Each check takes its data as options, so that a grader asks the same questions of other data:
`other_data(check.lstm_step).require(lstm_step, B=4, …)`.
"""

import numpy as np
import torch
from torch import nn

from coursekit.checks.a1_training import (
    ScriptedModel,
    attempt,
    captions,
    greedy,
    numbers,
    other_data,
    overfit,
    passes,
)
from coursekit.checks.core import (
    Wrong,
    as_array,
    exercise,
    expect_close,
    expect_equal,
    expect_shape,
)

__all__ = [
    "ScriptedModel", "attempt", "captioner", "captions", "greedy", "logits_of", "lstm_step",
    "masked_loss", "numbers", "other_data", "overfit", "padding", "passes", "vocabulary",
]  # fmt: skip

# --- 1 vocabulary -------------------------------------------------------------------------------
SPECIAL = ["<pad>", "<bos>", "<eos>", "<unk>"]
CAPTIONS = [
    "A red boat and a small Red ball.",
    "The boat, a cat and a ball!",
    "a Zebra and a zebra, Boat",
]
KEPT = ["a", "and", "boat", "ball", "red", "zebra"]
KEPT_LIKELY = [
    (["a", "and", "ball", "boat"], "capitals: 'Red' and 'red' are one word, make all lower case"),
    (["a", "and", "boat"], "min_count = 2 keeps a word that occurs twice: >=, not >"),
    (
        ["a", "and", "boat", "red"],
        "punctuation: 'ball.' and 'ball!' are one word, drop . , ! and ?",
    ),
    (["a", "boat", "and", "red", "ball", "zebra"], "words equally common: order them by alphabet"),
    (sorted(KEPT), "this is alphabetical; the commonest word comes first"),
    ([*KEPT, "cat", "small", "the"], "min_count is not used"),
]
VOCABULARY = [*SPECIAL, *KEPT]
TO_ENCODE = "A purple boat, and a red Zebra!"
ENCODED = [1, 4, 3, 6, 5, 4, 8, 9, 2]
AS_BEFORE = "encode must split a caption as build_vocabulary does: capitals, punctuation"
ENCODE_LIKELY = [
    (ENCODED[1:-1], "a caption begins with <bos> and ends with <eos>"),
    (ENCODED[:-1], "the caption does not end with <eos>: a model would never learn to stop"),
    (ENCODED[1:], "the caption does not begin with <bos>"),
    ([2, *ENCODED[1:-1], 1], "<bos> and <eos> are exchanged"),
    ([1, 4, 6, 5, 4, 8, 9, 2], "a word not in the vocabulary becomes <unk>, it is not left out"),
    ([1, 4, 0, 6, 5, 4, 8, 9, 2], "an unknown word is <unk> (3); <pad> (0) would be masked away"),
    ([1, 3, 3, 6, 5, 4, 8, 3, 2], AS_BEFORE),
    ([1, 4, 3, 3, 5, 4, 8, 3, 2], AS_BEFORE),
    ([1, 3, 3, 3, 5, 4, 8, 3, 2], AS_BEFORE),
]


@exercise("vocabulary")
def vocabulary(build_vocabulary, encode):
    """build_vocabulary(captions, min_count) -> words; encode(caption, vocabulary) -> ids."""
    _words_in_order(build_vocabulary(list(CAPTIONS), 2), [*SPECIAL, *KEPT], KEPT_LIKELY)
    all_words = [*SPECIAL, *KEPT, "cat", "small", "the"]
    _words_in_order(build_vocabulary(list(CAPTIONS), 1), all_words)
    expect_equal(encode(TO_ENCODE, list(VOCABULARY)), ENCODED, "ids", mistakes=ENCODE_LIKELY)


def _words_in_order(got, expected, likely=()):
    if isinstance(got, (dict, set)):
        why = "the place of a word in the list is its id"
        raise Wrong("a list of words", f"a {type(got).__name__}", why)
    got = list(got) if isinstance(got, (list, tuple)) else got
    if isinstance(got, list) and got[:4] != SPECIAL:
        raise Wrong(f"the first four are {SPECIAL}", got[:4], "the special tokens come first")
    mistakes = [([*SPECIAL, *words], why) for words, why in likely]
    known = [words for words, _ in mistakes]
    if isinstance(got, list) and got not in known and sorted(got) == sorted(expected):
        mistakes = [(got, "the right words in another order: a set or a count that is not sorted")]
    expect_equal(got, expected, "the vocabulary", mistakes=mistakes)


# --- 2 padding ----------------------------------------------------------------------------------
ROWS, PAD = [[1, 5, 9, 5, 2], [1, 7, 2], [1, 4, 4, 8, 6, 3, 2]], 11


@exercise("padding")
def padding(pad, rows=ROWS, pad_id=PAD):
    """pad(sequences, pad_id) -> tokens (B, T), lengths (B,)."""
    given = [list(row) for row in rows]
    tokens, lengths = _pair(pad(given, pad_id), "tokens and lengths")
    T = max(map(len, rows))
    right = [list(row) + [pad_id] * (T - len(row)) for row in rows]
    left = [[pad_id] * (T - len(row)) + list(row) for row in rows]
    zeros = [list(row) + [0] * (T - len(row)) for row in rows]
    ones = [list(row) + [1] * (T - len(row)) for row in rows]
    last = [list(row) + [row[-1]] * (T - len(row)) for row in rows]
    longest = "T is the length of the longest sequence"
    tokens = expect_shape(tokens, (len(rows), T), "tokens", longest)
    mistakes = [
        (zeros, "filled with 0: use pad_id"),
        (ones, "filled with 1, the id of <bos>: use pad_id"),
        (last, "filled with the last token: use pad_id"),
        (left, "the padding stands before the words; it belongs after them"),
    ]
    _whole(tokens, "tokens")
    expect_equal(tokens, right, "tokens", mistakes=mistakes)
    counts = [len(row) for row in rows]
    why = [([T] * len(rows), "all are T: count each sequence before it is filled up")]
    why += [([n - 2 for n in counts], "<bos> and <eos> count too")]
    expect_equal(_whole(as_array(lengths, "lengths"), "lengths"), counts, "lengths", mistakes=why)
    if given != [list(row) for row in rows]:
        why = "append and extend change the caller's lists: make new ones"
        raise Wrong("the sequences are left as they were", "padded sequences", why)


def _pair(result, names):
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        got = "None" if result is None else f"a {type(result).__name__}"
        raise Wrong(f"two results, {names}", got, f"return {names.replace(' and ', ', ')}")
    return result


def _whole(array, name):
    if not np.issubdtype(array.dtype, np.integer):
        why = "ids are whole numbers: give dtype=torch.long when you make the tensor"
        raise Wrong(f"{name} of an integer type", str(array.dtype), why)
    return array


# --- 3 one step of an LSTM ----------------------------------------------------------------------
# c' where g goes through a sigmoid too, for the data of the open check
SIGMOID_G = [[0.058115, -0.620240, 0.329077], [0.043966, -0.723296, 0.639639]]
ORDERS = {"igfo": "i, g, f, o", "figo": "f, i, g, o", "ifog": "i, f, o, g", "iofg": "i, o, f, g"}


@exercise("lstm_step")
def lstm_step(answer, B=2, D=5, H=3, key=1.0):
    """answer(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh) -> the next h and c, equal to nn.LSTMCell."""
    shapes = [(B, D), (B, H), (B, H), (4 * H, D), (4 * H, H), (4 * H,), (4 * H,)]
    given = [numbers(*shape, key=key + i) for i, shape in enumerate(shapes)]
    before = [part.clone() for part in given]
    h, c = _pair(answer(*given), "h and c")
    next_h, next_c = _cell(before)
    h, c = expect_shape(h, (B, H), "h'"), expect_shape(c, (B, H), "c'")
    if np.allclose(h, next_c, atol=1e-5) and np.allclose(c, next_h, atol=1e-5):
        raise Wrong("h' first, then c'", "c' first", "the two results are exchanged")
    expect_close(c, next_c, "c'", mistakes=_cell_mistakes(before))
    out = next_h / next_c.tanh()  # the output gate
    mistakes = [
        (out * next_c, "h' = o * tanh(c'): the tanh is missing"),
        (out * before[2].tanh(), "h' uses the old c; it needs the new one"),
        (next_c.tanh(), "h' = o * tanh(c'): the output gate is missing"),
    ]
    expect_close(h, next_h, "h'", mistakes=mistakes)
    for name, now, then in zip(["x", "h", "c"], given, before, strict=False):
        if not torch.equal(now, then):
            why = f"an operation in place, such as {name} *= …, writes into the caller's tensor"
            raise Wrong(f"the given {name} is left as it was", f"{name} was changed", why)


def _cell(given, order="ifgo"):
    """(h, c) of nn.LSTMCell whose gates are taken from the rows as if stacked in `order`."""
    x, h, c, *weights = given
    cell = nn.LSTMCell(x.shape[1], h.shape[1])
    parts = [[w.chunk(4)[order.index(gate)] for gate in "ifgo"] for w in weights]
    with torch.no_grad():
        for parameter, part in zip(cell.parameters(), parts, strict=True):
            parameter.copy_(torch.cat(part))
        return cell(x, (h, c))


def _cell_mistakes(given):
    """Pairs (wrong c', why), of cells with one thing changed."""
    x, h, c, w_ih, w_hh, b_ih, b_hh = given
    none, open_f, H = torch.zeros_like(b_hh), b_ih.clone(), h.shape[1]
    open_f[H : 2 * H] = 50.0
    whole = "c' = f * c + i * g"
    turned = "the gates are taken in the order {}; the rows are stacked i, f, g, o"
    found = [(_cell(given, order)[1], turned.format(names)) for order, names in ORDERS.items()]
    found += [
        (_cell([x, h, c, w_ih, w_hh, b_ih, none])[1], "bias_hh is not added"),
        (_cell([x, h, c, w_ih, w_hh, none, b_hh])[1], "bias_ih is not added"),
        (_cell([x, 0 * h, c, w_ih, w_hh, b_ih, b_hh])[1], "h @ weight_hh.T is not added"),
        (_cell([x, h, c, w_ih, w_hh, open_f, b_hh])[1], f"{whole}: the forget gate is missing"),
        (_cell([x, h, 0 * c, w_ih, w_hh, b_ih, b_hh])[1], f"{whole}: the old c is missing"),
    ]
    return [(SIGMOID_G, "g goes through tanh; only i, f and o are gates"), *found]


# --- 4 masked loss ------------------------------------------------------------------------------
LOGITS = numbers(3, 5, 7, key=2.0, scale=3.0)
TOKENS = [[1, 5, 3, 3, 2], [1, 4, 2, 0, 0], [1, 6, 5, 2, 0]]
LOSS = 2.56196
NO_SHIFT = "nothing is shifted: logits at t guess tokens[t + 1], not the token just read"
LOSS_LIKELY = [
    (2.70580, "the mean is over padding too; leave out targets that are pad_id"),
    (1.92147, "padding adds 0 to the sum but is counted: divide by the number of real targets"),
    (23.05762, "this is the sum; divide by the number of real targets"),
    (7.68587, "this is the sum for each caption; divide by the number of real targets"),
    (2.30315, "a mean of each caption's mean: short captions weigh more; take one mean of all"),
    (4.26888, NO_SHIFT),
    (4.05837, NO_SHIFT),
    (3.73715, NO_SHIFT),
    (2.37396, "shifted the wrong way: logits at t are compared with tokens[t - 1]"),
    (2.75684, "roll brings <bos> round to the end of each caption: cut with [:, 1:] instead"),
    (1.89968, "softmax twice: cross_entropy wants logits, it does the softmax itself"),
    (2.50524, "<eos> is left out: the model must be taught to stop, so it is a real target"),
    (2.51031, "the mask looks at the inputs; it is the target that must be real"),
    (-LOSS, "the sign: the loss is minus the log-probability"),
]
PAD_LAST = [[1, 0, 3, 5, 2], [1, 4, 0, 2, 6], [1, 2, 6, 6, 6]]
LOSS_PAD_LAST = 2.12433


@exercise("masked_loss")
def masked_loss(answer):
    """answer(logits (B, T, V), tokens (B, T), pad_id) -> scalar: mean cross-entropy of the next real tokens."""
    _one_loss(answer, LOGITS, TOKENS, 0, LOSS, LOSS_LIKELY)
    zero = [(2.71737, "0 is masked, but here pad_id = 6 and 0 is a word: compare with pad_id")]
    _one_loss(answer, LOGITS, PAD_LAST, 6, LOSS_PAD_LAST, zero)
    _gradient(answer, LOGITS.clone().requires_grad_(), torch.tensor(TOKENS), 0)


def _one_loss(answer, logits, tokens, pad_id, expected, mistakes=()):
    tokens = torch.tensor(tokens)
    given = [logits.clone(), tokens.clone()]
    got = answer(*given, pad_id)
    one = "one number: the mean over all captions and places"
    got = expect_shape(got, (), "the loss", one)
    expect_close(got, expected, "the loss", 1e-4, mistakes=mistakes)
    if not (torch.equal(given[0], logits) and torch.equal(given[1], tokens)):
        raise Wrong("logits and tokens are left as they were", "they change", "write into a copy")


def _gradient(answer, logits, tokens, pad_id):
    loss = answer(logits, tokens.clone(), pad_id)
    if not getattr(loss, "requires_grad", False):
        why = "item(), detach() and numpy() cut the loss off: backward() could not follow it"
        raise Wrong("a loss with a gradient", f"a {type(loss).__name__} without one", why)
    logits.grad = None  # what counts is what backward brings
    loss.backward()
    if logits.grad is None:
        raise Wrong("a gradient at the logits", "none", "compute the loss from the given logits")
    slope = logits.grad[:, :-1].abs().sum(-1)  # (B, T-1)
    if slope[tokens[:, 1:] == pad_id].max() > 0:
        raise Wrong("no gradient where the target is padding", "a gradient there", None)


# --- 5 the captioner's forward pass -------------------------------------------------------------
SIZES = dict(vocab_size=5, memory_dim=6, embed_dim=7, hidden_dim=8)
MEMORY = numbers(2, 4, 6, key=3.0, scale=2.0)
WORDS = [[1, 4, 4], [1, 3, 2]]
EXPECTED = [
    [[-0.5962, 1.4513, -0.9554, 1.2352, 0.8353], [-0.3626, 1.4626, -0.6550, 0.8089, 1.5871],
     [-0.2414, 1.4006, -0.5221, 0.8836, 1.5800]],
    [[-0.0177, 0.9647, -0.7285, 1.7634, -0.0813], [-0.0553, 0.8277, -0.7112, 1.3063, 0.5022],
     [-0.8042, 1.2554, -1.3113, 0.5776, 1.0765]],
]  # fmt: skip
EVERY = "the picture is added to every word; it enters once, as an input before the words"
# The logits after the last word of each caption, as they come out with a mistake
AT_LAST = [
    ([[-0.3535, 1.2682, -0.5532, 0.6546, 1.4377], [-0.7685, 1.2172, -1.4153, 0.5699, 1.0362]],
     "the mean over the N places; ask for the largest value, amax(1)"),
    ([[-0.3094, 1.0182, -0.3787, 0.5390, 1.3869], [-0.5920, 1.0124, -1.2013, 0.7139, 0.8539]],
     "the sum over the N places; ask for the largest value, amax(1)"),
    ([[-0.3480, 1.2987, -0.5864, 0.6908, 1.4586], [-0.8744, 1.4018, -1.4541, 0.5839, 1.1458]],
     "only the first of the N places is used; ask for the largest value over all, amax(1)"),
    ([[-0.3430, 0.7856, -0.8651, 0.5566, 1.1857], [-0.3372, 0.8237, -0.7720, 1.4156, -0.5293]], EVERY),
    ([[-0.7596, 1.0856, -0.9947, 0.1023, 1.5693], [-0.4035, 0.8539, -0.7416, 1.4060, -0.6210]], EVERY),
]  # fmt: skip


def logits_of(Captioner, sizes, memory, tokens, key=0.0):
    """The logits (B, T, V) of a captioner whose every weight is set by its name and `key`."""
    model = Captioner(**sizes).eval()
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    weights = {
        name: numbers(*shape, key=key + sum(map(ord, name)) % 97) for name, shape in shapes.items()
    }
    # Loaded, not written in place: the model may live in another process
    model.load_state_dict(weights, strict=False)
    with torch.no_grad():
        return model(memory.clone(), torch.as_tensor(tokens).clone())


@exercise("captioner")
def captioner(Captioner, sizes=SIZES, memory=MEMORY, tokens=WORDS, key=0.0, expected=EXPECTED):
    """Captioner(**sizes)(memory (B, N, D), tokens (B, T)) -> logits (B, T, V)."""

    def run(memory, tokens):
        return logits_of(Captioner, sizes, memory, tokens, key)

    got = run(memory, tokens)
    B, T, V = np.shape(expected)
    got = expect_shape(got, (B, T, V), "the logits", _why_shape(got, B, T, V, sizes))
    _depends(run, memory, tokens, got)
    close = [why for last, why in AT_LAST if np.shape(last) == (B, V) and _near(got[:, -1], last)]
    if _near(got[:, 1:], np.asarray(expected)[:, :-1]):
        close = ["the last output was dropped; drop the first, which follows the picture alone"]
    if _near(np.exp(got).sum(-1), 1) or _near(got.sum(-1), 1):
        close = ["these are probabilities; return the logits, cross_entropy does the softmax"]
    expect_close(got, expected, "the logits", 2e-4, likely=close[0] if close else None)


def _near(got, expected):
    return bool(np.allclose(got, expected, atol=2e-4))


def _why_shape(got, B, T, V, sizes):
    shape = tuple(np.shape(got)) if got is not None else ()
    return {
        (B, T + 1, V): "the output that follows the picture alone is still there: drop the first",
        (B, T, sizes["hidden_dim"]): "these are the LSTM's outputs; the head makes logits of them",
        (B, V): "one place only; the loss needs the logits at all T places",
        (T, B, V): "time comes first here; the layers are made with batch_first=True",
    }.get(shape)


def _depends(run, memory, tokens, got):
    """What the logits must depend on, and what they must not."""
    tokens = torch.as_tensor(tokens)
    if not _near(as_array(run(memory[-1:], tokens[-1:]), "the logits"), got[-1:]):
        why = "the LSTM runs along the batch: its layers are made with batch_first=True"
        raise Wrong("logits of one caption that do not depend on the others", "they do", why)
    if _near(as_array(run(memory + 1, tokens), "the logits"), got):
        raise Wrong("other logits for another picture", "the same", "the picture is not used")
    other = tokens.clone()
    other[:, -1] = (other[:, -1] + 1) % int(tokens.max())
    if not _near(as_array(run(memory, other), "the logits")[:, :-1], got[:, :-1]):
        why = "the model looks ahead: the order of the inputs is picture, token 0, token 1, …"
        raise Wrong("logits that do not know later words", "they change with the last word", why)
