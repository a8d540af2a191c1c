"""The exercises of lesson 01: its solutions pass, students' mistakes are named."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from lesson_solutions import assert_named, solutions
from torch.nn import functional as F

from coursekit.checks import lesson_01 as check

EXERCISES = ["bigram_probabilities", "masked_loss", "last_states"]


@pytest.mark.parametrize("name", EXERCISES)
def test_no_return_is_named(name, capsys):
    assert_named(capsys, getattr(check, name), lambda *given: None, "does not return its result")


# ---- Exercise 1


def table(captions, V, add=0.0):
    counts = torch.full((V, V), float(add))
    for caption in captions:
        for a, b in pairwise(caption):
            counts[a, b] += 1
    return counts


def normalised(t):
    return t / t.sum(1, keepdim=True)


def bigram_numpy(captions, V, k):
    pairs = np.concatenate([np.array([c[:-1], c[1:]]) for c in captions], 1)
    counts = np.bincount(pairs[0] * V + pairs[1], minlength=V * V).reshape(V, V) + k
    return counts / counts.sum(1, keepdims=True)


def bigram_lists(captions, V, k):
    rows = [[k] * V for _ in range(V)]
    for c in captions:
        for i in range(len(c) - 1):
            rows[c[i]][c[i + 1]] += 1
    return [[x / sum(row) for x in row] for row in rows]


@pytest.mark.parametrize("answer", [bigram_numpy, bigram_lists])
def test_bigrams_written_differently(answer):
    assert check.bigram_probabilities(answer)


def bigram_joint(captions, V, k):
    t = table(captions, V, k)
    return t / t.sum()


def bigram_smoothed_above_only(captions, V, k):
    t = table(captions, V)
    return (t + k) / t.sum(1, keepdim=True)


def bigram_k_once_below(captions, V, k):
    t = table(captions, V)
    return (t + k) / (t.sum(1, keepdim=True) + k)


def bigram_repeats_lost(captions, V, k):
    t = torch.zeros(V, V)
    for c in captions:
        t[c[:-1], c[1:]] = 1
    return normalised(t + k)


def bigram_columns(captions, V, k):
    t = table(captions, V, k)
    return t / t.sum(0)


def bigram_forgot_keepdim(captions, V, k):
    t = table(captions, V, k)
    return t / t.sum(1)


def bigram_k_for_zeros(captions, V, k):
    t = table(captions, V)
    return normalised(t.where(t > 0, torch.tensor(k)))


@pytest.mark.parametrize(
    "answer, likely",
    [
        (
            lambda captions, V, k: solutions("01")["bigram_probabilities"](captions, V, k).T,
            "rows and columns are exchanged",
        ),
        (bigram_joint, "divided by the sum of the table"),
        (bigram_smoothed_above_only, "divide by the sum after k"),
        (bigram_k_once_below, "k * V"),
        (lambda captions, V, k: normalised(table(captions, V)), "k is not added"),
        (lambda captions, V, k: normalised(table(captions, V, 1)), "1 is added instead of k"),
        (
            lambda captions, V, k: normalised(
                table([[token for caption in captions for token in caption]], V, k)
            ),
            "captions are joined",
        ),
        (bigram_repeats_lost, "counts once"),
        (bigram_columns, "each column sums to 1"),
        (bigram_forgot_keepdim, "keepdim"),
        (table, "not divided yet"),
        (lambda captions, V, k: table(captions, V), "these are counts"),
        (
            lambda captions, V, k: normalised(table([[c[-1], *c] for c in captions], V, k)),
            "begin at i = 1",
        ),
        (
            lambda captions, V, k: normalised(table([c[:-1] for c in captions], V, k)),
            "the last pair is missing",
        ),
        (bigram_k_for_zeros, "to the zeros only"),
        (
            lambda captions, V, k: normalised(normalised(table(captions, V)) + k),
            "k is added to probabilities",
        ),
        (lambda captions, V, k: table(captions, V, k).softmax(1), "this is softmax"),
    ],
)
def test_mistakes_with_bigrams(answer, likely, capsys):
    assert_named(capsys, check.bigram_probabilities, answer, likely)


# ---- Exercise 2


def loss_ignore_index(logits, targets, pad_id):
    flat = logits.reshape(-1, logits.shape[-1])
    return F.cross_entropy(flat, targets.reshape(-1), ignore_index=pad_id)


def loss_by_hand(logits, targets, pad_id):
    log_p = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    real = (targets != pad_id).float()
    return -(log_p * real).sum() / real.sum()


def loss_in_a_loop(logits, targets, pad_id):
    total, count = 0.0, 0
    for b in range(targets.shape[0]):
        for t in range(targets.shape[1]):
            if targets[b, t] != pad_id:
                total = total + logits[b, t].logsumexp(0) - logits[b, t, targets[b, t]]
                count += 1
    return total / count


@pytest.mark.parametrize("answer", [loss_ignore_index, loss_by_hand, loss_in_a_loop])
def test_losses_written_differently(answer):
    assert check.masked_loss(answer)


def each_token(logits, targets):
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")  # (B, T)


def loss_mean_of_means(logits, targets, pad_id):
    real = targets != pad_id
    return ((each_token(logits, targets) * real).sum(1) / real.sum(1)).mean()


def loss_without_eos(logits, targets, pad_id):
    real = (targets != pad_id) & (targets != 2)
    return each_token(logits, targets)[real].mean()


def loss_log_of_softmax(logits, targets, pad_id):
    p = logits.softmax(-1).gather(-1, targets[..., None])[..., 0]
    return -p[targets != pad_id].log().mean()


def loss_masked_logits(logits, targets, pad_id):
    real = (targets != pad_id)[..., None]
    return F.cross_entropy((logits * real).flatten(0, 1), targets.flatten())


@pytest.mark.parametrize(
    "answer, likely",
    [
        (lambda z, y, pad: each_token(z, y).mean(), "padding is counted"),
        (lambda z, y, pad: (each_token(z, y) * (y != pad)).mean(), "still divided by"),
        (loss_mean_of_means, "mean of means"),
        (lambda z, y, pad: each_token(z, y)[y != pad].sum(), "this is the sum"),
        (lambda z, y, pad: each_token(z, y)[y != pad].sum() / len(y), "number of captions"),
        (lambda z, y, pad: loss_by_hand(z, y, pad) / 0.6931472, "bits"),
        (loss_without_eos, "<eos> is left out"),
        (lambda z, y, pad: loss_ignore_index(z.softmax(-1), y, pad), "softmax is taken twice"),
        (lambda z, y, pad: loss_ignore_index(z, y, 0), "compare with pad_id"),
        (lambda z, y, pad: loss_ignore_index(z, y, pad).item(), "cut the loss off"),
        (loss_log_of_softmax, "use log_softmax"),
        (lambda z, y, pad: each_token(z, y) * (y != pad), "one number"),
        (loss_masked_logits, "logits set to 0"),
        (lambda z, y, pad: -loss_by_hand(z, y, pad), "the sign"),
        (lambda z, y, pad: loss_ignore_index(z[:, :-1], y[:, 1:], pad), "moved once more"),
        (lambda z, y, pad: F.cross_entropy(z[y == pad], y[y == pad]), "only padding is counted"),
        (lambda z, y, pad: F.nll_loss(z[y != pad].softmax(-1), y[y != pad]), "wants log_softmax"),
        (lambda z, y, pad: F.cross_entropy(z, y), "logits (n, V) and targets (n,)"),
    ],
)
def test_mistakes_with_the_loss(answer, likely, capsys):
    assert_named(capsys, check.masked_loss, answer, likely)


# ---- Exercise 3


def all_states(inputs, w_ih, w_hh, bias, squash=torch.tanh, carry=True):
    h, states = inputs.new_zeros(len(inputs), len(bias)), []
    for t in range(inputs.shape[1]):
        h = squash(inputs[:, t] @ w_ih.T + carry * (h @ w_hh.T) + bias)
        states.append(h)
    return torch.stack(states, 1)  # (B, T, H)


def pick(states, lengths):
    return states[torch.arange(len(states)), lengths - 1]


def states_stacked(inputs, lengths, w_ih, w_hh, bias):
    return pick(all_states(inputs, w_ih, w_hh, bias), lengths)


def states_by_library(inputs, lengths, w_ih, w_hh, bias):
    rnn = torch.nn.RNN(inputs.shape[-1], len(bias), batch_first=True)
    values = {"weight_ih_l0": w_ih, "weight_hh_l0": w_hh, "bias_ih_l0": bias}
    rnn.load_state_dict(values | {"bias_hh_l0": torch.zeros_like(bias)})
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        inputs, lengths, batch_first=True, enforce_sorted=False
    )
    return rnn(packed)[1][0]


def states_one_by_one(inputs, lengths, w_ih, w_hh, bias):
    rows = []
    for x, n in zip(inputs, lengths, strict=True):
        h = torch.zeros(len(bias))
        for t in range(n):
            h = torch.tanh(w_ih @ x[t] + w_hh @ h + bias)
        rows.append(h.numpy())
    return np.stack(rows)


@pytest.mark.parametrize("answer", [states_stacked, states_by_library, states_one_by_one])
def test_states_written_differently(answer):
    assert check.last_states(answer)


def states_off_by_one(inputs, lengths, w_ih, w_hh, bias):
    states = all_states(inputs, w_ih, w_hh, bias)
    return states[torch.arange(len(states)), lengths]


def states_too_late(inputs, lengths, w_ih, w_hh, bias):
    h = torch.zeros(len(inputs), len(bias))
    for t in range(inputs.shape[1]):
        new = torch.tanh(inputs[:, t] @ w_ih.T + h @ w_hh.T + bias)
        h = torch.where((t <= lengths)[:, None], new, h)
    return h


def states_zeroed(inputs, lengths, w_ih, w_hh, bias):
    states = all_states(inputs, w_ih, w_hh, bias)
    return states[:, -1] * (lengths == inputs.shape[1])[:, None]


@pytest.mark.parametrize(
    "answer, likely",
    [
        (lambda x, n, w, u, b: all_states(x, w, u, b)[:, -1], "goes on through padding"),
        (states_off_by_one, "length - 1"),
        (states_too_late, "one step too late"),
        (lambda x, n, w, u, b: pick(all_states(x, w, u, b), n - 1), "one step too early"),
        (
            lambda x, n, w, u, b: pick(all_states(x, w, u, b, squash=lambda z: z), n),
            "tanh is missing",
        ),
        (lambda x, n, w, u, b: pick(all_states(x, w, u, b, squash=torch.sigmoid), n), "sigmoid"),
        (lambda x, n, w, u, b: pick(all_states(x, w, u.T, b), n), "not transposed"),
        (lambda x, n, w, u, b: pick(all_states(x, w, u, 0 * b), n), "bias is missing"),
        (lambda x, n, w, u, b: pick(all_states(x, w, u, b, carry=False), n), "not carried on"),
        (lambda x, n, w, u, b: all_states(x, w, u, b), "states of all steps"),
        (states_zeroed, "keep the old one"),
        (lambda x, n, w, u, b: all_states(x, w, u, b)[:, n - 1], "lengths - 1] pairs them"),
        (
            lambda x, n, w, u, b: pick(all_states(x, w, u, b).transpose(0, 1)[: len(x)], n),
            "stack the states along 1",
        ),
        (lambda x, n, w, u, b: all_states(x, w.T, u, b), "multiply by weight.T"),
    ],
)
def test_mistakes_with_states(answer, likely, capsys):
    assert_named(capsys, check.last_states, answer, likely)
