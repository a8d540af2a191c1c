"""The hand-written GPT: equal to Hugging Face's GPT-2, causal, and the same with a cache as without."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from coursekit import decoding
from coursekit.errors import CourseError
from coursekit.models.gpt import GPT, Dropout, from_hugging_face

SIZES = [dict(n_embd=32, n_layer=2, n_head=4), dict(n_embd=48, n_layer=3, n_head=3)]


@pytest.fixture(params=SIZES, ids=lambda s: f"{s['n_embd']}-{s['n_layer']}")
def pair(request):
    """transformers' GPT-2 with weights that are far from their start, and ours with the same."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=101, n_positions=24, **request.param)
    theirs = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for weights in theirs.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    return theirs, from_hugging_face(theirs).eval()


@pytest.fixture
def tokens():
    return torch.randint(101, (3, 17), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def prefix(pair):
    return torch.randn(3, 5, pair[1].dim, generator=torch.Generator().manual_seed(2))


def test_logits_are_those_of_transformers(pair, tokens):
    theirs, ours = pair
    assert torch.allclose(ours(None, tokens), theirs(tokens).logits, atol=1e-5)


def test_gradients_are_those_of_transformers(pair, tokens):
    theirs, ours = pair
    theirs(tokens).logits.logsumexp(-1).sum().backward()
    ours(None, tokens).logsumexp(-1).sum().backward()
    wanted = theirs.transformer.h[0].attn.c_attn.weight.grad.T
    assert torch.allclose(ours.blocks[0].attention.qkv.weight.grad, wanted, rtol=1e-4, atol=1e-4)
    assert torch.allclose(
        ours.tokens.weight.grad, theirs.transformer.wte.weight.grad, rtol=1e-4, atol=1e-4
    )


def test_a_prefix_of_embeddings(pair, tokens, prefix):
    theirs, ours = pair
    inputs = torch.cat([prefix, theirs.transformer.wte(tokens)], 1)
    wanted = theirs(inputs_embeds=inputs).logits[:, prefix.shape[1] :]
    assert torch.allclose(ours(prefix, tokens), wanted, atol=1e-5)


@pytest.mark.parametrize("with_prefix", [False, True])
def test_steps_with_a_cache_equal_the_whole(pair, tokens, prefix, with_prefix):
    ours = pair[1]
    state = ours.start(prefix if with_prefix else 3)
    wanted = ours(prefix if with_prefix else None, tokens)
    for t in range(tokens.shape[1]):
        logits, state = ours.step(tokens[:, t], state)
        assert torch.allclose(logits, wanted[:, t], atol=1e-5)


def test_several_tokens_after_a_cache(pair, tokens):
    ours = pair[1]
    whole, _ = ours.run(ours.tokens(tokens))
    _, past = ours.run(ours.tokens(tokens[:, :6]))
    rest, _ = ours.run(ours.tokens(tokens[:, 6:]), past)
    assert torch.allclose(rest, whole[:, 6:], atol=1e-5)


@pytest.mark.parametrize("place", [0, 7, 16])
def test_no_gradient_comes_from_the_future(pair, tokens, place):
    ours = pair[1]
    inputs = ours.tokens(tokens).detach().requires_grad_()
    ours.run(inputs)[0][:, place].square().sum().backward()
    reached = inputs.grad.abs().sum((0, 2)) > 0
    assert reached.tolist() == [t <= place for t in range(tokens.shape[1])]


@pytest.mark.parametrize("beam", [1, 3])
def test_decoding_is_that_of_generate(pair, prefix, beam):
    theirs, ours = pair
    found, _ = decoding.beam_search(ours, prefix, 1, 2, beam, max_len=12)
    start = theirs.transformer.wte(torch.full((3, 1), 1))
    wanted = theirs.generate(
        inputs_embeds=torch.cat([prefix, start], 1), max_new_tokens=12, num_beams=beam,
        do_sample=False, eos_token_id=2, pad_token_id=2, bos_token_id=1, length_penalty=0.0,
    )  # fmt: skip
    cut = [row[: row.index(2)] if 2 in row else row for row in wanted.tolist()]
    assert found == cut


def test_a_folder_that_save_pretrained_left(pair, tokens, tmp_path):
    pair[0].save_pretrained(tmp_path)
    again = from_hugging_face(GPT2LMHeadModel.from_pretrained(tmp_path)).eval()
    assert torch.allclose(again(None, tokens), pair[1](None, tokens), atol=1e-6)


def test_one_matrix_reads_and_writes_words(pair):
    ours = pair[1]
    assert ours.head.weight is ours.tokens.weight
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in pair[0].parameters())


def test_settings_build_the_same_model(pair):
    again = GPT(**pair[1].settings)
    again.load_state_dict(pair[1].state_dict())


def test_numbers_of_64_bits(pair, tokens):
    theirs, ours = pair[0].double(), pair[1].double()
    assert torch.allclose(ours(None, tokens), theirs(tokens).logits, rtol=0, atol=1e-12)
    state = ours.start(3)
    logits, state = ours.step(tokens[:, 0], state)
    assert logits.dtype == state[0][0].dtype == torch.float64


def test_bf16_by_autocast(pair, tokens, prefix):
    ours = pair[1]
    wanted = ours(prefix, tokens)
    with torch.autocast("cpu", torch.bfloat16):
        whole, state = ours(prefix, tokens), ours.start(prefix)
        assert state[0][0].dtype == whole.dtype == torch.bfloat16
        for t in range(tokens.shape[1]):
            logits, state = ours.step(tokens[:, t], state)
            assert torch.allclose(logits, whole[:, t], atol=0.05 * wanted.std().item())
        assert ours.step(tokens[:, 0], ours.start(3))[1][0][0].dtype == torch.bfloat16
    assert torch.allclose(whole.float(), wanted, atol=0.1 * wanted.std().item())


@pytest.mark.parametrize("count", [0, 1])
def test_batches_of_none_and_of_one(pair, tokens, prefix, count):
    ours, wanted = pair[1], pair[1](prefix, tokens)[:count]
    found = ours(prefix[:count], tokens[:count])
    assert found.shape == (count, 17, 101) and torch.allclose(found, wanted, atol=1e-5)
    logits, state = ours.step(tokens[:count, 0], ours.start(prefix[:count]))
    assert torch.allclose(logits, wanted[:, 0], atol=1e-5)
    assert state[-1][1].shape == (count, ours.heads, 6, ours.dim // ours.heads)


def test_no_prefix_and_no_tokens(pair, tokens, prefix):
    ours = pair[1]
    assert torch.equal(ours(prefix[:, :0], tokens), ours(None, tokens))
    for memory in (None, prefix, prefix[:, :0]):
        assert ours(memory, tokens[:, :0]).shape == (3, 0, 101)
    past = ours.start(prefix)
    hidden, same = ours.run(ours.tokens(tokens[:, :0]), past)
    assert hidden.shape == (3, 0, ours.dim)
    assert all(
        torch.equal(a, b) for ab in zip(past, same, strict=True) for a, b in zip(*ab, strict=True)
    )


def test_a_state_can_be_continued_twice_and_in_another_order(pair, tokens, prefix):
    ours = pair[1]
    _, state = ours.step(tokens[:, 0], ours.start(prefix))
    before = [part.clone() for pair in state for part in pair]
    wanted, _ = ours.step(tokens[:, 1], state)
    ours.step(tokens[:, 2], state)
    again, _ = ours.step(tokens[:, 1], state)
    assert torch.equal(wanted, again)
    assert all(map(torch.equal, before, [part for pair in state for part in pair]))
    rows = torch.tensor([2, 0, 0, 1])
    logits, _ = ours.step(tokens[rows, 1], decoding.select(state, rows))
    assert torch.allclose(logits, wanted[rows], atol=1e-5)


def test_the_context_can_be_filled_and_not_passed(pair, tokens, prefix):
    ours, state = pair[1], pair[1].start(prefix)
    words = torch.cat([tokens, tokens], 1)[:, :20]  # 5 + 19 fill 24 places
    for t in range(19):
        _, state = ours.step(words[:, t], state)
    with pytest.raises(CourseError, match="24 tokens, not 25"):
        ours.step(words[:, 19], state)
    with pytest.raises(CourseError, match="24 tokens, not 25"):
        ours(prefix, words)
    with pytest.raises(CourseError, match="24 tokens, not 25"):
        ours.start(torch.zeros(1, 25, ours.dim))


def test_dropout_falls_in_training_alone_and_lets_no_future_in(pair, tokens):
    ours = from_hugging_face(pair[0], dropout=0.5)
    assert torch.equal(ours.eval()(None, tokens), pair[1](None, tokens))
    inputs = ours.train().tokens(tokens).detach().requires_grad_()
    past = ours.run(inputs[:, :4])[1]
    one, two = (ours.run(inputs[:, 4:], past)[0] for _ in range(2))
    assert not torch.allclose(one, two)
    one[:, 5].square().sum().backward()
    assert inputs.grad[:, 10:].abs().sum() == 0 < inputs.grad[:, :10].abs().sum()


@pytest.mark.parametrize("place", ["dropout", "attention.dropout", "mlp.3", "attention weights"])
def test_each_dropout_drops(pair, tokens, place):
    ours = from_hugging_face(pair[0], dropout=0.0).train()
    wanted, block = ours(None, tokens), ours.blocks[0]
    assert torch.allclose(wanted, pair[1](None, tokens), atol=1e-5)
    if place == "attention weights":
        block.attention.rate = 0.5
    else:
        (ours if place == "dropout" else block).get_submodule(place).p = 0.5
    assert not torch.allclose(ours(None, tokens), wanted, atol=1e-3)


def test_dropout_as_in_torch():
    x, drop = torch.ones(1000), Dropout(0.25)
    torch.manual_seed(0)
    mine = drop(x)
    torch.manual_seed(0)
    assert torch.equal(mine, torch.nn.functional.dropout(x, 0.25))
    assert drop.eval()(x) is x


@pytest.mark.parametrize(
    "change",
    [
        dict(activation_function="relu"),
        dict(scale_attn_by_inverse_layer_idx=True),
        dict(add_cross_attention=True),
        dict(n_inner=20),
        dict(tie_word_embeddings=False),
        dict(layer_norm_epsilon=1e-6),
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_model_of_another_build_is_refused(change):
    config = GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2, **change)
    with pytest.raises(CourseError, match=f"unusual {next(iter(change))}:"):
        from_hugging_face(GPT2LMHeadModel(config))


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: GPT(10, dim=10, heads=3), "3 heads"),
        (lambda: GPT(10, context=4, dim=8, heads=2, layers=1)(None, torch.zeros(1, 5).long()), "4 tokens, not 5"),
    ],
)  # fmt: skip
def test_what_cannot_be(build, words):
    with pytest.raises(CourseError, match=words):
        build()


def test_what_is_added_to_the_stream_begins_smaller_the_more_layers_add_to_it():
    """GPT-2's start: 0.02 everywhere, over √(2 layers) where attention and MLP end."""
    torch.manual_seed(0)
    model = GPT(200, context=50, dim=64, layers=8, heads=4)
    for name, weights in model.named_parameters():
        if weights.ndim == 2:
            last = name.endswith(("attention.out.weight", "mlp.2.weight"))
            wanted = 0.02 / 4 if last else 0.02
            assert weights.std().item() == pytest.approx(wanted, rel=0.1), name


def test_a_model_with_parts_added_to_it_is_not_taken_for_a_plain_one(pair):
    from coursekit.models.language import HuggingFaceLM, add_lora

    add_lora(HuggingFaceLM(pair[0]))
    with pytest.raises(CourseError, match="merge them first"):
        from_hugging_face(pair[0])


@pytest.mark.parametrize("name", ["layers", "heads", "context"])
def test_a_size_of_nothing(name):
    with pytest.raises(CourseError, match="1 or more"):
        GPT(10, **dict(context=8, dim=8, heads=2, layers=1) | {name: 0})
