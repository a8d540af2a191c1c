"""Recurrent models: equal to the library's, blind to what they must not see."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from coursekit.errors import CourseError
from coursekit.models.lstm import (
    LSTMByHand,
    LSTMLanguageModel,
    ShowAndTell,
    caption_loss,
    lstm_step,
)

B, T, N, D, H, V = 3, 7, 4, 5, 6, 11


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def inputs():
    tokens = torch.randint(4, V, (B, T))
    tokens[:, 0] = 1
    tokens[1, 5:] = 0
    tokens[2, 3:] = 0
    return torch.randn(B, N, D), tokens


def test_step_equals_the_library():
    cell = nn.LSTMCell(D, H)
    x, h, c = torch.randn(B, D), torch.randn(B, H), torch.randn(B, H)
    ours = lstm_step(x, h, c, cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    for mine, theirs in zip(ours, cell(x, (h, c)), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=0)


def test_layer_by_hand_equals_the_library():
    library, by_hand = nn.LSTM(D, H, batch_first=True), LSTMByHand(D, H)
    by_hand.load_state_dict(library.state_dict())
    x, state = torch.randn(B, T, D), (torch.randn(1, B, H), torch.randn(1, B, H))
    ours, theirs = by_hand(x, state), library(x, state)
    torch.testing.assert_close(ours[0], theirs[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(ours[1], theirs[1], atol=1e-5, rtol=0)
    ours[0].sum().backward()
    theirs[0].sum().backward()
    for name, parameter in by_hand.named_parameters():
        torch.testing.assert_close(parameter.grad, getattr(library, name).grad, atol=1e-4, rtol=0)


def steps_as_forward(model):
    """Word by word the model gives the logits of all words at once; returns its last state."""
    memory, tokens = inputs()
    logits, state = model(memory, tokens), model.start(memory)
    for t in range(T):
        step, state = model.step(tokens[:, t], state)
        torch.testing.assert_close(step, logits[:, t], atol=1e-5, rtol=0)
    return state


@pytest.mark.parametrize("image_as", ["input", "state"])
@pytest.mark.parametrize("cell", ["library", "by_hand"])
def test_steps_agree_with_forward(image_as, cell):
    steps_as_forward(ShowAndTell(V, D, 5, H, image_as, dropout=0.0, cell=cell))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 2])
def test_language_model_steps_agree_with_forward(cell, layers):
    state = steps_as_forward(LSTMLanguageModel(V, 5, H, cell, layers))
    assert all(len(s) == B for s in (state if isinstance(state, tuple) else [state]))


def test_no_token_sees_a_later_one():
    model = ShowAndTell(V, D, 5, H, dropout=0.0)
    memory, tokens = inputs()
    changed = tokens.clone()
    changed[:, 4] = 10
    before, after = model(memory, tokens), model(memory, changed)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert (before[:, 4:] - after[:, 4:]).abs().amax() > 1e-4


@pytest.mark.parametrize("image_as", ["input", "state"])
def test_the_picture_matters(image_as):
    model = ShowAndTell(V, D, 5, H, image_as, dropout=0.0)
    memory, tokens = inputs()
    assert (model(memory, tokens) - model(-memory, tokens)).abs().amax() > 1e-4


def test_loss_is_the_mean_over_real_tokens():
    model = ShowAndTell(V, D, 5, H, dropout=0.0)
    memory, tokens = inputs()
    logits = model(memory, tokens[:, :-1])
    expected = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=0)
    torch.testing.assert_close(caption_loss(model, memory, tokens, 0), expected)


def test_more_padding_changes_nothing():
    model = ShowAndTell(V, D, 5, H, dropout=0.0)
    memory, tokens = inputs()
    longer = torch.cat([tokens, torch.zeros(B, 4, dtype=torch.long)], 1)
    torch.testing.assert_close(
        caption_loss(model, memory, tokens, 0), caption_loss(model, memory, longer, 0)
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: LSTMLanguageModel(V, 5, H, "gru", layers=2, dropout=0.25),
        lambda: ShowAndTell(V, D, 5, H, "state", dropout=0.25, cell="by_hand"),
    ],
)
def test_settings_make_the_same_model_again(make):
    model = make()
    again = type(model)(**model.settings)
    again.load_state_dict(model.state_dict())
    memory, tokens = inputs()
    assert again.settings == model.settings and again.dropout.p == 0.25
    assert getattr(again.recurrent, "dropout", None) == getattr(model.recurrent, "dropout", None)
    assert torch.equal(again.eval()(memory, tokens), model.eval()(memory, tokens))


def test_bad_settings():
    with pytest.raises(CourseError, match="cannot enter as 'poem'"):
        ShowAndTell(V, D, image_as="poem")
    with pytest.raises(CourseError, match="no cell 'tape'"):
        LSTMLanguageModel(V, cell="tape")
