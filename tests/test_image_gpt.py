"""Image GPT: equal to transformers', causal, guessing every pixel, and never touching what is given."""

import pytest
import torch
from torch.nn import functional as F
from transformers import ImageGPTConfig, ImageGPTForCausalImageModeling

from coursekit import decoding
from coursekit.errors import CourseError
from coursekit.models import image_gpt
from coursekit.models.image_gpt import (
    ImageGPT,
    Norm,
    QuickGELU,
    ar_loss,
    bert_loss,
    draw,
    from_hugging_face,
    load,
    to_hugging_face,
)

V, SIDE, T = 7, 5, 25
SIZES = [dict(n_embd=32, n_layer=2, n_head=4), dict(n_embd=36, n_layer=3, n_head=2)]


@pytest.fixture(params=SIZES, ids=lambda s: f"{s['n_embd']}-{s['n_layer']}")
def pair(request):
    """transformers' ImageGPT with weights that are far from their start, and ours with the same."""
    torch.manual_seed(0)
    config = ImageGPTConfig(vocab_size=V + 1, n_positions=T, **request.param)
    theirs = ImageGPTForCausalImageModeling(config).eval()
    with torch.no_grad():
        for weights in theirs.parameters():
            weights.copy_(0.3 * torch.randn_like(weights) + (weights.ndim == 1))
    return theirs, from_hugging_face(theirs).eval()


@pytest.fixture
def ours(pair):
    return pair[1]


@pytest.fixture
def tokens():
    return torch.randint(V, (3, T), generator=torch.Generator().manual_seed(1))


def begun(tokens):
    """What transformers' model reads to guess the same tokens."""
    return F.pad(tokens, (1, 0), value=V)[:, :-1]


def test_logits_are_those_of_transformers(pair, tokens):
    theirs, ours = pair
    wanted = theirs(begun(tokens)).logits
    assert wanted.std() > 0.5 and ours(tokens).shape == (3, T, V)
    assert torch.allclose(ours(tokens), wanted, rtol=0, atol=1e-4)


def test_and_the_way_back(pair, tokens):
    theirs, ours = to_hugging_face(pair[1]).eval(), pair[1]
    assert torch.allclose(theirs(begun(tokens)).logits, ours(tokens), rtol=0, atol=1e-4)
    wanted = pair[0].state_dict()
    assert theirs.state_dict().keys() == wanted.keys()
    assert all(torch.equal(each, wanted[name]) for name, each in theirs.state_dict().items())


def test_gradients_are_those_of_transformers(pair, tokens):
    theirs, ours = pair
    ours.train(), theirs.train()
    for module in theirs.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    logits = theirs(begun(tokens)).logits
    F.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()
    ar_loss(ours, tokens).backward()
    places = to_hugging_face(ours)
    with torch.no_grad():  # our gradients under their names, by the same road as weights
        for weights in ours.parameters():
            weights.copy_(weights.grad)
    wanted = {name: each.grad for name, each in theirs.named_parameters()}
    for name, found in to_hugging_face(ours).named_parameters():
        assert torch.allclose(found, wanted[name], rtol=1e-3, atol=1e-6), name
    assert places.state_dict().keys() == theirs.state_dict().keys()


def test_a_folder_that_save_pretrained_left(pair, tokens, tmp_path):
    pair[0].save_pretrained(tmp_path)
    assert torch.allclose(load(tmp_path).eval()(tokens), pair[1](tokens), rtol=0, atol=1e-5)
    to_hugging_face(pair[1]).save_pretrained(tmp_path / "again")
    assert torch.equal(load(tmp_path / "again").eval()(tokens), pair[1](tokens))


def test_nothing_to_load(tmp_path):
    with pytest.raises(CourseError, match="no whole imagegpt model at"):
        load(tmp_path / "nothing")


@pytest.mark.parametrize(
    "change",
    [
        dict(activation_function="gelu"),
        dict(layer_norm_epsilon=1e-6),
        dict(scale_attn_weights=False),
        dict(scale_attn_by_inverse_layer_idx=True),
        dict(add_cross_attention=True),
        dict(n_inner=20),
        dict(tie_word_embeddings=True),
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_model_of_another_build_is_refused(change):
    config = ImageGPTConfig(vocab_size=8, n_positions=9, n_embd=8, n_layer=1, n_head=2)
    model = ImageGPTForCausalImageModeling(config)
    for name, value in change.items():
        setattr(model.config, name, value)
    with pytest.raises(CourseError, match=f"unusual {next(iter(change))}:"):
        from_hugging_face(model)


def test_pictures_that_are_no_square_are_refused():
    config = ImageGPTConfig(vocab_size=8, n_positions=12, n_embd=8, n_layer=1, n_head=2)
    with pytest.raises(CourseError, match="12 pixels, which are no square"):
        from_hugging_face(ImageGPTForCausalImageModeling(config))


def test_a_model_with_parts_added_to_it_is_not_taken_for_a_plain_one(pair):
    from peft import LoraConfig, inject_adapter_in_model

    settings = LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)
    inject_adapter_in_model(settings, pair[0])
    with pytest.raises(CourseError, match="This ImageGPT has parts added to it"):
        from_hugging_face(pair[0])


def test_a_model_with_a_part_beside_the_known_ones_is_refused(pair):
    pair[0].transformer.add_module("adapter", torch.nn.Linear(2, 2))
    with pytest.raises(CourseError, match="This ImageGPT has parts added to it"):
        from_hugging_face(pair[0])


def test_the_norm_and_the_gelu_and_their_gradients():
    """With gradients and without, of one row and of none, against their formulas."""
    torch.manual_seed(0)
    norm, gelu = Norm(6).double(), QuickGELU()
    norm.weight.data.uniform_(0.5, 2)
    for shape in ((4, 3, 6), (1, 6), (0, 6)):
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        by_hand = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight
        assert torch.allclose(norm(x), by_hand) and torch.allclose(
            gelu(x), x * (1.702 * x).sigmoid()
        )
        with torch.no_grad():
            assert torch.allclose(norm(x), by_hand) and torch.allclose(gelu(x), gelu(x.detach()))
        if x.numel():
            assert torch.autograd.gradcheck(norm, x) and torch.autograd.gradcheck(gelu, x)
            found, wanted = (
                torch.autograd.grad(each.square().sum(), norm.weight)[0]
                for each in (norm(x), by_hand)
            )
            assert torch.allclose(found, wanted)


@pytest.mark.parametrize("dim, heads", [(16, 2), (32, 2), (20, 5)])
def test_narrow_heads_are_the_same_model(dim, heads, tokens):
    """Heads of fewer than 16 numbers are padded for the kernel; attention by formula says the same."""
    torch.manual_seed(0)
    attention = ImageGPT(V, SIDE, dim, 1, heads).blocks[0].attention
    x = torch.randn(3, T, dim)
    q, k, v = (each.view(3, T, heads, -1).transpose(1, 2) for each in attention.qkv(x).chunk(3, -1))
    scores = q @ k.transpose(2, 3) / (dim // heads) ** 0.5
    hidden = torch.ones(T, T, dtype=torch.bool).triu(1)
    for causal in (True, False):
        weights = (scores.masked_fill(hidden, -torch.inf) if causal else scores).softmax(-1)
        wanted = attention.out((weights @ v).transpose(1, 2).flatten(2))
        assert torch.allclose(attention(x, causal=causal)[0], wanted, atol=1e-6)


@pytest.mark.parametrize("place", [0, 1, 12, 24])
def test_no_gradient_comes_from_the_pixel_itself_or_the_future(ours, tokens, place):
    inputs = ours.tokens(begun(tokens)).detach().requires_grad_()
    ours.head(ours.run(inputs)[0])[:, place].square().sum().backward()
    reached = inputs.grad.abs().sum((0, 2)) > 0  # place t of the inputs is pixel t - 1
    assert reached.tolist() == [t <= place for t in range(T)]


def test_a_pixel_is_guessed_from_those_before_it_alone(ours, tokens):
    changed = tokens.clone()
    changed[:, 9] = (changed[:, 9] + 1) % V
    apart = (ours(changed) - ours(tokens)).abs().amax((0, 2))
    assert (apart[:10] == 0).all() and (apart[10:] > 0).all()


def test_the_first_pixel_is_guessed_from_the_start_alone(ours, tokens):
    first = ours(tokens)[:, 0]
    assert torch.allclose(first, first[:1].expand_as(first)) and first.std() > 0
    ar_loss(ours, tokens[:, :1]).backward()
    reached = ours.tokens.weight.grad.abs().sum(1) > 0
    assert reached.tolist() == [False] * V + [True]


@pytest.mark.parametrize("S", [0, 1, 12, 24])
def test_steps_after_given_pixels_equal_the_whole(ours, tokens, S):
    wanted, state = ours(tokens), ours.start(tokens[:, :S] if S else 3)
    now = torch.full((3,), ours.start_id)
    for place in range(S, T):
        logits, state = ours.step(now, state)
        assert torch.allclose(logits, wanted[:, place], atol=1e-5)
        now = tokens[:, place]


@torch.no_grad()
def test_a_state_can_be_continued_twice_and_in_another_order(ours, tokens):
    wanted, starts = ours(tokens), torch.full((3,), V)
    _, state = ours.step(starts, ours.start(tokens[:, :10]))
    for _ in range(2):
        one, after = ours.step(tokens[:, 10], state)
        other, _ = ours.step((tokens[:, 10] + 1) % V, state)
        assert torch.allclose(one, wanted[:, 11], atol=1e-5) and not torch.allclose(one, other)
        assert torch.allclose(ours.step(tokens[:, 11], after)[0], wanted[:, 12], atol=1e-5)
    rows = torch.tensor([2, 0, 0, 1])
    for first in (state, ours.start(tokens[:, :11])):  # after a step, and before any
        now = tokens[rows, 10] if first is state else torch.full((4,), V)
        logits, _ = ours.step(now, decoding.select(first, rows))
        assert torch.allclose(logits, wanted[rows, 11], atol=1e-5)


def test_decoders_complete_a_half(ours, tokens):
    """Greedy search, beams and samples go on from given pixels as from a prefix."""
    given = tokens[:, :20]
    greedy, scores = decoding.greedy(ours, given, ours.start_id, -1, 5)
    assert torch.equal(torch.tensor(greedy), draw(ours, given, temperature=0)[:, 20:])
    whole = torch.cat([given, torch.tensor(greedy)], 1)
    wanted = ours(whole).log_softmax(-1).gather(2, whole[..., None])[:, 20:, 0].sum(1)
    assert torch.allclose(torch.tensor(scores), wanted, atol=1e-4)
    best, _ = decoding.beam_search(ours, given[:1, :22], ours.start_id, -1, V**2, 3)
    ends = torch.cartesian_prod(*[torch.arange(V)] * 3)
    rows = torch.cat([given[:1].expand(len(ends), -1), ends], 1)
    likely = ours(rows).log_softmax(-1).gather(2, rows[..., None])[:, 20:, 0].sum(1)
    assert best[0] == ends[likely.argmax()].tolist()  # a beam of all pairs finds the best of all


def test_what_is_drawn_is_drawn_by_its_probabilities(ours, tokens):
    given = tokens[:1, :24].expand(4000, -1)
    for options in (dict(), dict(temperature=0.5), dict(top_k=2), dict(top_p=0.6)):
        logits = ours(tokens[:1])[:, 24] / options.get("temperature", 1.0)
        kept = decoding.filter_logits(logits, options.get("top_k"), options.get("top_p"))
        found = draw(ours, given, **options, generator=torch.Generator().manual_seed(0))
        shares = torch.bincount(found[:, 24], minlength=V) / 4000
        assert torch.allclose(shares, kept.softmax(-1)[0], atol=0.03), options


@pytest.mark.parametrize("S", [0, 1, 13, 24, 25])
def test_given_pixels_are_never_touched(ours, tokens, S):
    given = tokens[:, :S].clone()
    found = draw(ours, given, generator=torch.Generator().manual_seed(0))
    assert found.shape == (3, T) and found.dtype == torch.int64
    assert torch.equal(found[:, :S], tokens[:, :S]) and torch.equal(given, tokens[:, :S])
    assert 0 <= found.min() and found.max() < V  # the start is never drawn
    again = draw(ours, given, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again, found)


@pytest.mark.parametrize("count", [0, 1])
def test_batches_of_none_and_of_one(ours, tokens, count):
    some = tokens[:count]
    assert torch.allclose(ours(some), ours(tokens)[:count], atol=1e-5)
    assert draw(ours, some[:, :10]).shape == draw(ours, count).shape == (count, T)
    assert [each.shape for each in ours.features(some)] == [(count, ours.dim)] * (ours.layers + 1)
    hidden = torch.zeros(count, T, dtype=torch.bool)
    assert ours.both(some, hidden).shape == (count, T, V)


def test_fewer_pixels_than_a_picture(ours, tokens):
    assert torch.allclose(ours(tokens[:, :9]), ours(tokens)[:, :9], atol=1e-5)
    assert ours(tokens[:, :0]).shape == (3, 0, V)


def test_features_are_means_of_what_transformers_finds(pair, tokens):
    theirs, ours = pair
    found = theirs(begun(tokens), output_hidden_states=True).hidden_states
    mine = ours.features(tokens)
    assert len(mine) == len(found) == ours.layers + 1
    for layer, each in enumerate(found):
        # transformers' list has the last block's output after the last norm, as ours
        assert torch.allclose(mine[layer], each.mean(1), atol=1e-4)
        assert torch.equal(ours.features(tokens, layer), mine[layer])


def test_features_from_both_sides_see_the_last_pixel(ours, tokens):
    changed = tokens.clone()
    changed[:, -1] = (changed[:, -1] + 1) % V
    for layer in range(ours.layers + 1):
        assert torch.equal(ours.features(changed, layer), ours.features(tokens, layer))
        apart = ours.features(changed, layer, both=True) - ours.features(tokens, layer, both=True)
        assert apart.abs().min() > 0


def test_both_sides_are_seen_and_masked_pixels_are_not(ours, tokens):
    masked = torch.zeros(3, T, dtype=torch.bool)
    masked[:, [4, 20]] = True
    wanted, changed = ours.both(tokens, masked), tokens.clone()
    changed[masked] = (changed[masked] + 3) % V
    assert torch.equal(ours.both(changed, masked), wanted)
    for place in (0, 12, 24):  # before, between and after
        changed = tokens.clone()
        changed[:, place] = (changed[:, place] + 1) % V
        assert ((ours.both(changed, masked) - wanted).abs().amax((0, 2)) > 0).all()
    none = torch.zeros_like(masked)
    assert not torch.allclose(ours.both(tokens, none)[:, :-1], ours(tokens)[:, 1:], atol=1e-3)


def test_losses_by_their_formulas(ours, tokens):
    wanted = -ours(tokens).log_softmax(-1).gather(2, tokens[..., None]).mean()
    assert torch.allclose(ar_loss(ours, tokens), wanted)
    found = bert_loss(ours, tokens, generator=torch.Generator().manual_seed(3))
    masked = torch.rand(3, T, generator=torch.Generator().manual_seed(3)) < 0.15
    logs = ours.both(tokens, masked).log_softmax(-1).gather(2, tokens[..., None])
    assert 4 < masked.sum() < 20 and torch.allclose(found, -logs[masked].mean())


def test_the_share_that_is_masked(ours, tokens, monkeypatch):
    seen = []
    monkeypatch.setattr(ours, "both", lambda t, m: seen.append(m) or torch.randn(*t.shape, V))
    for share in (0.15, 0.6, 1.0, 1e-9):
        bert_loss(ours, tokens.repeat(200, 1), share, torch.Generator().manual_seed(0))
    shares = [each.float().mean().item() for each in seen]
    assert shares[:3] == pytest.approx([0.15, 0.6, 1.0], abs=0.02)
    assert seen[3].sum() == 1  # never none: the mean over none would be no number


@pytest.mark.parametrize("loss_of", [ar_loss, bert_loss])
def test_it_learns(loss_of):
    """Pictures that are all alike: what stands at a place is soon known from the place."""
    torch.manual_seed(0)
    model = ImageGPT(V, SIDE, dim=32, layers=2, heads=2)
    optimizer, losses = torch.optim.Adam(model.parameters(), 0.01), []
    for _ in range(50):
        loss = loss_of(model, (torch.arange(T)[None] * 3 % V).expand(4, -1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] > 1.5 and sum(losses[-10:]) / 10 < 0.1


def test_bf16_by_autocast(ours, tokens):
    wanted = ours(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        whole, state, now = ours(tokens), ours.start(3), torch.full((3,), V)
        assert whole.dtype == torch.bfloat16
        loss = ar_loss(ours, tokens)
        with torch.no_grad():
            for place in range(T):
                logits, state = ours.step(now, state)
                assert torch.allclose(logits, whole[:, place], atol=0.1 * wanted.std().item())
                now = tokens[:, place]
        assert state[1][0][0].dtype == torch.bfloat16
        assert draw(ours, tokens[:, :20]).shape == (3, T)
    loss.backward()
    assert torch.allclose(whole.float(), wanted, atol=0.15 * wanted.std().item())
    assert all(each.grad.isfinite().all() for each in ours.parameters())


def test_numbers_of_64_bits(pair, tokens):
    theirs, ours = pair[0].double(), pair[1].double()
    assert torch.allclose(ours(tokens), theirs(begun(tokens)).logits, rtol=0, atol=1e-10)


def test_settings_build_the_same_model(ours):
    again = ImageGPT(**ours.settings)
    again.load_state_dict(ours.state_dict())
    assert again.pixels == T and again.start_id == V and again.settings == ours.settings


def test_the_head_is_apart_from_the_embeddings(ours):
    assert ours.tokens.weight.shape[0] == V + 1 and ours.head.weight.shape[0] == V
    assert ours.head.bias is None and not any(
        "norm" in n and "bias" in n for n in ours.state_dict()
    )


def test_dropout_falls_in_training_alone(tokens):
    model = ImageGPT(V, SIDE, dim=16, layers=2, heads=2, dropout=0.5)
    assert not torch.allclose(model(tokens), model(tokens))
    assert torch.equal(model.eval()(tokens), model(tokens))
    assert to_hugging_face(model).config.attn_pdrop == model.settings["dropout"] == 0.5


@pytest.mark.parametrize("ties", [False, True])
def test_filters_are_those_of_decoding(ties):
    """The room of models does not know decoding; they hold the same filter twice, and this holds them equal."""
    torch.manual_seed(0)
    logits = torch.randint(4, (50, 9)).float() if ties else 2 * torch.randn(50, 9)
    for k in (None, 1, 3, 9, 20):
        for p in (None, 0.05, 0.5, 0.9, 1.0):
            found = image_gpt._filtered(logits, k, p)
            wanted = decoding.filter_logits(logits, k, p)
            if not ties or p is None:
                assert torch.equal(found, wanted), (k, p)
            assert torch.equal(found.isfinite().sum(1), wanted.isfinite().sum(1))


def test_progress_goes_round_the_places(ours, tokens):
    seen = []
    draw(ours, tokens[:, :22], progress=lambda places: seen.extend(places) or places)
    assert seen == [22, 23, 24]


SMALL = dict(dim=8, layers=1, heads=2)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m, t: ImageGPT(0, SIDE), "1 or more"),
        (lambda m, t: ImageGPT(V, 0), "1 or more"),
        (lambda m, t: ImageGPT(V, SIDE, dim=10, heads=3), "3 heads"),
        (lambda m, t: m(torch.cat([t, t], 1)), "up to 25 pixels, not torch.int64 \\(3, 50\\)"),
        (lambda m, t: m(t.float()), "whole numbers"),
        (lambda m, t: m(t[0]), "whole numbers"),
        (lambda m, t: m.start(torch.zeros(1, 26).long()), "up to 25 pixels"),
        (lambda m, t: m.step(t[:, 0], m.step(t[:, 0], m.start(t))[1]), "reads 25 tokens, not 26"),
        (lambda m, t: m.features(t, 2), "0 to 1, not 2"),
        (lambda m, t: m.features(t, -1), "0 to 1, not -1"),
        (lambda m, t: bert_loss(m, t, share=0), "above 0 and up to 1, not 0"),
        (lambda m, t: bert_loss(m, t, share=1.5), "above 0 and up to 1"),
        (lambda m, t: draw(m, 2, temperature=-1), "0 or more, not -1"),
        (lambda m, t: draw(m, 2, top_k=0), "at least one colour"),
        (lambda m, t: draw(m, 2, top_p=0.0), "above 0 and up to 1"),
        (lambda m, t: draw(m, t + V), "colours, 0 to 6"),
        (lambda m, t: draw(m, t - 1), "colours, 0 to 6, not -1"),
    ],
)
def test_what_cannot_be(tokens, call, words):
    with pytest.raises(CourseError, match=words):
        call(ImageGPT(V, SIDE, **SMALL), tokens)


def test_drawing_drops_nothing_and_leaves_the_mode_as_it_was(tokens):
    model = ImageGPT(V, SIDE, dim=16, layers=2, heads=2, dropout=0.5)
    wanted = draw(model.eval(), tokens[:, :20], temperature=0)
    assert torch.equal(draw(model.train(), tokens[:, :20], temperature=0), wanted)
    assert model.training and not draw(model.eval(), 1).requires_grad and not model.training
    with pytest.raises(CourseError):
        draw(model.train(), tokens + V)
    assert model.training
