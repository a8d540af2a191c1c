"""Show, Attend and Tell: weights that are shares, blind to what comes later, taught by two losses."""

import math

import pytest
import torch
from torch.nn import functional as F

from coursekit import decoding
from coursekit.errors import CourseError
from coursekit.models import attention
from coursekit.models.attention import AdditiveAttention, ShowAttendAndTell, attention_loss
from coursekit.models.lstm import caption_loss

B, T, N, D, E, H, A, V = 3, 7, 4, 5, 8, 6, 9, 11
KINDS = pytest.mark.parametrize("kind", ["soft", "hard"])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def made(kind="soft", places=N, **options):
    """A model in evaluation mode, a memory and tokens of three lengths, padded with 0."""
    model = ShowAttendAndTell(V, D, E, H, A, kind, **{"dropout": 0.0} | options)
    tokens = torch.randint(4, V, (B, T))
    tokens[:, 0] = 1
    tokens[1, 5:] = 0
    tokens[2, 3:] = 0
    return model.eval(), torch.randn(B, places, D), tokens


# --- the step, and the whole caption


@KINDS
def test_steps_agree_with_forward_and_look(kind):
    model, memory, tokens = made(kind)
    logits, looked, state = model(memory, tokens), model.look(memory, tokens), model.start(memory)
    assert logits.shape == (B, T, V) and looked.shape == (B, T, N)
    for t in range(T):
        step, weights, after = model.step_and_look(tokens[:, t], state)
        again, _ = model.step(tokens[:, t], state)
        state = after
        torch.testing.assert_close(step, logits[:, t], atol=1e-5, rtol=0)
        torch.testing.assert_close(again, logits[:, t], atol=1e-5, rtol=0)
        torch.testing.assert_close(weights, looked[:, t], atol=1e-6, rtol=0)
    assert all(len(part) == B for part in state)


@KINDS
def test_weights_are_shares(kind):
    model, memory, tokens = made(kind)
    weights = model.look(50 * memory, tokens)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, T), atol=1e-5, rtol=0)
    assert weights.std(-1).min() > 1e-3  # places differ, and so do the shares


@KINDS
def test_one_place_gets_all(kind):
    model, memory, tokens = made(kind, places=1)
    assert torch.equal(model.look(memory, tokens), torch.ones(B, T, 1))


@KINDS
def test_places_have_no_order(kind):
    model, memory, tokens = made(kind)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(model(memory[:, order], tokens), model(memory, tokens))
    torch.testing.assert_close(
        model.look(memory[:, order], tokens), model.look(memory, tokens)[..., order]
    )


def test_every_place_matters_to_soft_attention():
    model, memory, tokens = made()
    memory.requires_grad_()
    model(memory, tokens)[:, -1].sum().backward()
    assert (memory.grad.abs().amax(-1) > 0).all()


def test_hard_attention_speaks_of_the_likeliest_place_alone():
    model, memory, _ = made("hard")
    h, c, values, keys = model.start(memory)
    changed = values.clone()
    tokens = torch.full((B,), 4)
    logits, weights, _ = model.step_and_look(tokens, (h, c, values, keys))
    for b, place in enumerate(weights.argmax(-1)):
        changed[b, [n for n in range(N) if n != place]] += 100.0
    torch.testing.assert_close(model.step(tokens, (h, c, changed, keys))[0], logits)
    changed[torch.arange(B), weights.argmax(-1)] += 1.0
    assert (model.step(tokens, (h, c, changed, keys))[0] - logits).abs().amax() > 1e-3


@KINDS
def test_no_word_sees_a_later_one(kind):
    model, memory, tokens = made(kind)
    words = model.embedding(tokens).detach().requires_grad_()
    state, logits = model.start(memory), []
    for word in words.unbind(1):
        output, _, _, state = model._step(word, state)
        logits.append(model.head(output))
    for t in range(T):
        (reached,) = torch.autograd.grad(logits[t].sum(), words, retain_graph=True)
        by_place = reached.abs().amax((0, 2))  # (T,)
        assert (by_place[t + 1 :] == 0).all() and (by_place[: t + 1] > 0).all()


def test_captions_of_a_batch_do_not_meet():
    model, memory, tokens = made()
    alone = torch.cat([model(memory[b : b + 1], tokens[b : b + 1]) for b in range(B)])
    torch.testing.assert_close(model(memory, tokens), alone, atol=1e-5, rtol=0)


def test_a_feature_without_bound_saturates_and_breaks_nothing():
    attend = AdditiveAttention(H, A)
    keys, h = torch.randn(B, N, A), torch.randn(B, H)
    keys[0, 1], keys[1, 2] = math.inf, -math.inf
    weights = attend(keys, h).softmax(-1)
    assert weights.isfinite().all() and weights.shape == (B, N)


def test_scores_are_those_of_the_formula():
    attend = AdditiveAttention(H, A)
    keys, h = torch.randn(B, N, A), torch.randn(B, H)
    v, query = attend.energy.weight[0], attend.query(h)
    for b in range(B):
        for n in range(N):
            expected = v @ torch.tanh(keys[b, n] + query[b])
            torch.testing.assert_close(attend(keys, h)[b, n], expected, atol=1e-6, rtol=0)


@KINDS
def test_every_decoder_can_ask_it(kind):
    model, memory, _ = made(kind)
    greedy, scores = decoding.greedy(model, memory, 1, 2, max_len=5)
    beam, _ = decoding.beam_search(model, memory, 1, 2, beam=1, max_len=5)
    assert len(greedy) == len(scores) == B and greedy == beam
    drawn, _ = decoding.sample(model, memory, 1, 2, max_len=5)
    assert all(len(each) <= 5 for each in drawn)


# --- the losses


@KINDS
def test_in_evaluation_it_is_the_cross_entropy_of_all_models(kind):
    model, memory, tokens = made(kind)
    plain = F.cross_entropy(model(memory, tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten(),
                            ignore_index=0)  # fmt: skip
    torch.testing.assert_close(attention_loss(model, memory, tokens, 0), plain)
    torch.testing.assert_close(attention_loss(model, memory, tokens, 0, balance=9.0), plain)
    torch.testing.assert_close(caption_loss(model, memory, tokens, 0), plain)


@pytest.mark.parametrize("training", [False, True])
def test_more_padding_changes_nothing(training):
    model, memory, tokens = made()
    model.train(training)
    longer = torch.cat([tokens, torch.zeros(B, 4, dtype=torch.long)], 1)
    torch.testing.assert_close(
        attention_loss(model, memory, tokens, 0), attention_loss(model, memory, longer, 0)
    )


def test_padding_of_another_number_is_left_out_too():
    model, memory, tokens = made()
    other = tokens.masked_fill(tokens == 0, 10)
    other[0] = tokens[0].masked_fill(tokens[0] == 10, 9)
    tokens[0] = other[0]
    torch.testing.assert_close(
        attention_loss(model, memory, other, 10), attention_loss(model, memory, tokens, 0)
    )


def test_balance_is_zero_where_all_places_get_their_share():
    weights = torch.zeros(1, 2 * N, N)
    weights[0, torch.arange(2 * N), torch.arange(2 * N) % N] = 1.0  # each place twice in turn
    real = torch.ones(1, 2 * N, dtype=torch.bool)
    assert attention._imbalance(weights, real) == 0
    weights = torch.zeros(1, N, N)
    weights[..., 0] = 1.0  # one place got all four words: (1 - 4)² and three times (1 - 0)²
    expected = ((1 - N) ** 2 + (N - 1)) / N
    assert attention._imbalance(weights, real[:, :N]).item() == pytest.approx(expected)


def test_balance_weighs_as_asked_and_spreads_the_weights():
    model, memory, tokens = made()
    model.train()
    losses = [attention_loss(model, memory, tokens, 0, balance=b) for b in (0.0, 1.0, 3.0)]
    assert (losses[2] - losses[0]).item() == pytest.approx(3 * (losses[1] - losses[0]).item(), 1e-4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    real = tokens[:, 1:] != 0
    before = attention._imbalance(model.look(memory, tokens[:, :-1]), real)
    for _ in range(40):
        optimizer.zero_grad()
        attention_loss(model, memory, tokens, 0, balance=10.0).backward()
        optimizer.step()
    assert attention._imbalance(model.look(memory, tokens[:, :-1]), real) < 0.5 * before


@KINDS
def test_every_parameter_gets_a_finite_gradient(kind):
    model, memory, tokens = made(kind)
    model.train()
    attention_loss(model, memory, tokens, 0).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_hard_term_has_the_gradient_of_reinforce():
    model, _, _ = made("hard")
    model.baseline.fill_(-1.0)
    logits = torch.randn(2, 3, N, requires_grad=True)
    weights, place = logits.softmax(-1), torch.tensor([[0, 3, 1], [2, 2, 0]])
    drawn = weights.gather(-1, place[..., None])[..., 0].log()
    real = torch.tensor([[True, True, True], [True, True, False]])
    losses = torch.tensor([0.2, 0.4, 0.6, 2.0, 4.0])  # rewards a token: -0.4 and -3
    attention._reinforce(model, losses, weights, drawn, real).backward()
    wanted = torch.zeros_like(logits)
    entropy = -(weights * weights.log()).sum(-1, keepdim=True)
    for b, surprise in enumerate((0.6, -2.0)):
        score = F.one_hot(place[b], N) - weights[b]  # the gradient of log p(place)
        bonus = -weights[b] * (weights[b].log() + entropy[b])  # and of the entropy
        wanted[b] = -(surprise * score + attention.ENTROPY * bonus) * real[b, :, None] / 5
    torch.testing.assert_close(logits.grad, wanted.detach(), atol=1e-6, rtol=0)


def test_a_word_that_saw_the_mean_earns_no_draw_anything(monkeypatch):
    model, _, _ = made("hard")
    weights = torch.randn(B, N).softmax(-1)
    model.train()
    for calm in (True, False):
        monkeypatch.setattr(torch, "rand", lambda *s, calm=calm, **k: torch.full(s, 1.0 - calm))
        used, drawn = model._choose(weights)
        if calm:
            assert torch.equal(used, weights) and (drawn == 0).all()
        else:
            assert torch.equal(used.sort(-1).values[:, -1], torch.ones(B)) and used.sum() == B
            torch.testing.assert_close(drawn, (used * weights).sum(-1).log())


def test_the_baseline_follows_the_reward_and_is_saved():
    model, memory, tokens = made("hard")
    model.train()
    start = model.baseline.item()
    assert start == pytest.approx(-math.log(V))
    with torch.no_grad():
        model.head.bias[2] = 50.0  # all but certain of token 2, which is never true: a low reward
    attention_loss(model, memory, tokens, 0)
    assert model.baseline.item() < start
    other, _, _ = made("hard")
    other.load_state_dict(model.state_dict())
    assert other.baseline.item() == model.baseline.item()
    kept = model.baseline.item()
    attention_loss(model.eval(), memory, tokens, 0)
    assert model.baseline.item() == kept


def puzzle(count, places=6, answers=5):
    """One place of each memory is marked and holds the answer; the others hold wrong ones."""
    held = torch.randint(answers, (count, places))
    marked = torch.randint(places, (count,))
    memory = torch.cat([F.one_hot(held, answers), F.one_hot(marked, places)[..., None]], -1).float()
    answer = held.gather(1, marked[:, None])[:, 0]
    ends = torch.ones_like(answer)
    return 3 * memory, torch.stack([ends, answer + 3, 2 * ends], 1), marked


@pytest.mark.parametrize("kind, steps", [("soft", 150), ("hard", 400)])
def test_it_learns_to_look_where_the_answer_is(kind, steps):
    model = ShowAttendAndTell(8, 6, 16, 32, 16, kind, dropout=0.0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        memory, tokens, _ = puzzle(64)
        loss = attention_loss(model, memory, tokens, 0, balance=0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    memory, tokens, marked = puzzle(300)
    weights = model.eval().look(memory, tokens[:, :1])[:, 0]  # (300, places)
    assert (weights.argmax(-1) == marked).float().mean() > 0.95
    said = [each[0] for each in decoding.greedy(model, memory, 1, 2, max_len=3)[0]]
    assert (torch.tensor(said) == tokens[:, 1]).float().mean() > 0.95


# --- settings


def test_settings_build_the_same_model_again():
    model, memory, tokens = made("hard", dropout=0.2)
    twin = ShowAttendAndTell(**model.settings).eval()
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(twin(memory, tokens), model(memory, tokens))
    assert twin.settings == model.settings and twin.dropout.p == 0.2


def test_bad_settings():
    with pytest.raises(CourseError, match="'soft' or 'hard', not 'firm'"):
        ShowAttendAndTell(V, D, attention="firm")
