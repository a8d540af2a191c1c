"""The hand-written GPT: equal to Hugging Face's GPT-2, causal, and the same with a cache as without."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from coursekit import decoding
from coursekit.errors import CourseError
from coursekit.models.gpt import GPT, from_hugging_face

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
