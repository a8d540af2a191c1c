"""The exercises of lesson 01: its solutions pass, students' mistakes are named."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from coursekit.checks import lesson_01 as check

LESSON = Path(__file__).resolve().parents[1] / "course" / "01_recurrent_language_models.py"
EXERCISES = ["bigram_probabilities", "masked_loss", "last_states"]


def solution(name):
    """The function in the lesson's solution block."""
    text = re.sub(r"^# ?", "", LESSON.read_text(encoding="utf-8"), flags=re.M)
    blocks = re.findall(r"<summary>Solution</summary>\n\n```python\n(.*?)```", text, flags=re.S)
    (block,) = [b for b in blocks if f"def {name}(" in b]
    space = {"torch": torch, "F": F}
    exec(block, space)
    return space[name]


@pytest.mark.parametrize("name", EXERCISES)
def test_the_lessons_solution_is_accepted(name, capsys):
    assert getattr(check, name)(solution(name))
    assert capsys.readouterr().out == f"✓ {name}\n"


@pytest.mark.parametrize("name", EXERCISES)
def test_an_untouched_stub_is_not_written_yet(name, capsys):
    stub = re.search(rf"^def {name}\(.*?write me\"\)", LESSON.read_text(), flags=re.S | re.M)
    space = {}
    exec(stub[0], space)
    assert not getattr(check, name)(space[name])
    assert capsys.readouterr().out == f"○ {name}: not written yet\n"


@pytest.mark.parametrize("name", EXERCISES)
def test_no_return_is_named(name, capsys):
    assert not getattr(check, name)(lambda *given: None)
    assert "does not return its result" in capsys.readouterr().out


# ---- Exercise 1


def table(captions, V, add=0.0):
    counts = torch.full((V, V), float(add))
    for caption in captions:
        for a, b in pairwise(caption):
            counts[a, b] += 1
    return counts


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


def bigram_transposed(captions, V, k):
    return solution("bigram_probabilities")(captions, V, k).T


def bigram_joint(captions, V, k):
    t = table(captions, V, k)
    return t / t.sum()


def bigram_smoothed_above_only(captions, V, k):
    t = table(captions, V)
    return (t + k) / t.sum(1, keepdim=True)


def bigram_k_once_below(captions, V, k):
    t = table(captions, V)
    return (t + k) / (t.sum(1, keepdim=True) + k)


def bigram_unsmoothed(captions, V, k):
    t = table(captions, V)
    return t / t.sum(1, keepdim=True)


def bigram_add_one(captions, V, k):
    t = table(captions, V, 1)
    return t / t.sum(1, keepdim=True)


def bigram_joined(captions, V, k):
    t = table([[token for caption in captions for token in caption]], V, k)
    return t / t.sum(1, keepdim=True)


def bigram_repeats_lost(captions, V, k):
    t = torch.zeros(V, V)
    for c in captions:
        t[c[:-1], c[1:]] = 1
    return (t + k) / (t + k).sum(1, keepdim=True)


def bigram_columns(captions, V, k):
    t = table(captions, V, k)
    return t / t.sum(0)


def bigram_forgot_keepdim(captions, V, k):
    t = table(captions, V, k)
    return t / t.sum(1)


def bigram_counts(captions, V, k):
    return table(captions, V, k)


@pytest.mark.parametrize(
    "answer, likely",
    [
        (bigram_transposed, "rows and columns are exchanged"),
        (bigram_joint, "divided by the sum of the table"),
        (bigram_smoothed_above_only, "divide by the sum after k"),
        (bigram_k_once_below, "k \\* V"),
        (bigram_unsmoothed, "k is not added"),
        (bigram_add_one, "1 is added instead of k"),
        (bigram_joined, "captions are joined"),
        (bigram_repeats_lost, "counts once"),
        (bigram_columns, "each column sums to 1"),
        (bigram_forgot_keepdim, "keepdim"),
        (bigram_counts, "not divided yet"),
        (table, "not divided yet|these are counts"),
    ],
)
def test_mistakes_with_bigrams(answer, likely, capsys):
    rejected(check.bigram_probabilities, answer, likely, capsys)


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


def loss_with_padding(logits, targets, pad_id):
    return each_token(logits, targets).mean()


def loss_zeroed_but_counted(logits, targets, pad_id):
    return (each_token(logits, targets) * (targets != pad_id)).mean()


def loss_mean_of_means(logits, targets, pad_id):
    real = targets != pad_id
    return ((each_token(logits, targets) * real).sum(1) / real.sum(1)).mean()


def loss_summed(logits, targets, pad_id):
    return each_token(logits, targets)[targets != pad_id].sum()


def loss_per_caption(logits, targets, pad_id):
    return each_token(logits, targets)[targets != pad_id].sum() / len(targets)


def loss_in_bits(logits, targets, pad_id):
    return loss_by_hand(logits, targets, pad_id) / 0.6931472


def loss_without_eos(logits, targets, pad_id):
    real = (targets != pad_id) & (targets != 2)
    return each_token(logits, targets)[real].mean()


def loss_of_softmax(logits, targets, pad_id):
    return loss_ignore_index(logits.softmax(-1), targets, pad_id)


def loss_pad_is_zero(logits, targets, pad_id):
    return loss_ignore_index(logits, targets, 0)


def loss_detached(logits, targets, pad_id):
    return loss_ignore_index(logits, targets, pad_id).item()


def loss_log_of_softmax(logits, targets, pad_id):
    p = logits.softmax(-1).gather(-1, targets[..., None])[..., 0]
    return -p[targets != pad_id].log().mean()


def loss_each(logits, targets, pad_id):
    return each_token(logits, targets) * (targets != pad_id)


def loss_masked_logits(logits, targets, pad_id):
    real = (targets != pad_id)[..., None]
    return F.cross_entropy((logits * real).flatten(0, 1), targets.flatten())


def loss_wrong_sign(logits, targets, pad_id):
    return -loss_by_hand(logits, targets, pad_id)


@pytest.mark.parametrize(
    "answer, likely",
    [
        (loss_with_padding, "padding is counted"),
        (loss_zeroed_but_counted, "still divided by"),
        (loss_mean_of_means, "mean of means"),
        (loss_summed, "this is the sum"),
        (loss_per_caption, "number of captions"),
        (loss_in_bits, "bits"),
        (loss_without_eos, "<eos> is left out"),
        (loss_of_softmax, "softmax is taken twice"),
        (loss_pad_is_zero, "compare with pad_id"),
        (loss_detached, "cut the loss off"),
        (loss_log_of_softmax, "use log_softmax"),
        (loss_each, "one number"),
        (loss_masked_logits, "logits set to 0"),
        (loss_wrong_sign, "the sign"),
    ],
)
def test_mistakes_with_the_loss(answer, likely, capsys):
    rejected(check.masked_loss, answer, likely, capsys)


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


def states_at_the_end(inputs, lengths, w_ih, w_hh, bias):
    return all_states(inputs, w_ih, w_hh, bias)[:, -1]


def states_off_by_one(inputs, lengths, w_ih, w_hh, bias):
    states = all_states(inputs, w_ih, w_hh, bias)
    return states[torch.arange(len(states)), lengths]


def states_too_late(inputs, lengths, w_ih, w_hh, bias):
    h = torch.zeros(len(inputs), len(bias))
    for t in range(inputs.shape[1]):
        new = torch.tanh(inputs[:, t] @ w_ih.T + h @ w_hh.T + bias)
        h = torch.where((t <= lengths)[:, None], new, h)
    return h


def states_too_early(inputs, lengths, w_ih, w_hh, bias):
    return pick(all_states(inputs, w_ih, w_hh, bias), lengths - 1)


def states_linear(inputs, lengths, w_ih, w_hh, bias):
    return pick(all_states(inputs, w_ih, w_hh, bias, squash=lambda z: z), lengths)


def states_sigmoid(inputs, lengths, w_ih, w_hh, bias):
    return pick(all_states(inputs, w_ih, w_hh, bias, squash=torch.sigmoid), lengths)


def states_not_transposed(inputs, lengths, w_ih, w_hh, bias):
    return pick(all_states(inputs, w_ih, w_hh.T, bias), lengths)


def states_without_bias(inputs, lengths, w_ih, w_hh, bias):
    return pick(all_states(inputs, w_ih, w_hh, 0 * bias), lengths)


def states_not_carried(inputs, lengths, w_ih, w_hh, bias):
    return pick(all_states(inputs, w_ih, w_hh, bias, carry=False), lengths)


def states_all(inputs, lengths, w_ih, w_hh, bias):
    return all_states(inputs, w_ih, w_hh, bias)


@pytest.mark.parametrize(
    "answer, likely",
    [
        (states_at_the_end, "goes on through padding"),
        (states_off_by_one, "length - 1"),
        (states_too_late, "one step too late"),
        (states_too_early, "one step too early"),
        (states_linear, "tanh is missing"),
        (states_sigmoid, "sigmoid"),
        (states_not_transposed, "not transposed"),
        (states_without_bias, "bias is missing"),
        (states_not_carried, "not carried on"),
        (states_all, "states of all steps"),
    ],
)
def test_mistakes_with_states(answer, likely, capsys):
    rejected(check.last_states, answer, likely, capsys)


def rejected(exercise, answer, likely, capsys):
    assert not exercise(answer)
    verdict = capsys.readouterr().out
    assert verdict.startswith(f"✗ {exercise.exercise}\n")
    said = re.search(r"likely\s+(.*)", verdict)
    assert said, f"no cause is named:\n{verdict}"
    assert re.search(likely, said[1]), verdict
