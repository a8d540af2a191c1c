"""A picture as a prefix: mappers, labels, what learns; over our GPT and over language models of transformers."""

import copy

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from coursekit import decoding
from coursekit.errors import CourseError
from coursekit.models.gpt import GPT
from coursekit.models.language import HuggingFaceLM, parameters_that_learn
from coursekit.models.prefix import (
    IGNORED,
    MAPPERS,
    TUNINGS,
    WORDS,
    PrefixCaptioner,
    caption_labels,
    make_mapper,
    prefix_loss,
)

V, D, E = 61, 10, 32
BOS, EOS, PAD = 1, 2, 0
COMMON = dict(vocab_size=V, bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD)
USUAL = dict(
    hidden_size=E, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=40, **COMMON
)
# Learned positions, rotated ones, fewer keys than queries, none at all; old names and new
THEIRS = {
    "GPT2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_embd=E, n_layer=2, n_head=4, n_positions=40, **COMMON)
    ),
    "Llama": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(num_key_value_heads=2, intermediate_size=48, **USUAL)
    ),
    "OPT": lambda: transformers.OPTForCausalLM(
        transformers.OPTConfig(ffn_dim=48, word_embed_proj_dim=E, **USUAL)
    ),
    "GPTNeoX": lambda: transformers.GPTNeoXForCausalLM(
        transformers.GPTNeoXConfig(intermediate_size=48, **USUAL)
    ),
    "Bloom": lambda: transformers.BloomForCausalLM(
        transformers.BloomConfig(hidden_size=E, n_layer=2, n_head=4, **COMMON)
    ),
}


def far_from_start(model):
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    return model.eval()


def language(name):
    torch.manual_seed(0)
    if name == "ours":
        return far_from_start(GPT(V, context=40, dim=E, layers=2, heads=4))
    return HuggingFaceLM(far_from_start(THEIRS[name]()))


@pytest.fixture
def memory():
    return torch.randn(3, 4, D, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tokens():
    generator = torch.Generator().manual_seed(2)
    body = torch.randint(3, V, (3, 6), generator=generator)
    return torch.cat([torch.full((3, 1), BOS), body, torch.full((3, 1), EOS)], 1)


@pytest.mark.parametrize("mapper, length, places", [("linear", 2, 8), ("mlp", 3, 12), ("transformer", 5, 5)])  # fmt: skip
def test_mappers(memory, mapper, length, places):
    made = make_mapper(mapper, D, E, length)
    assert made(memory).shape == (3, places, E)
    assert torch.allclose(made(memory)[1:2], made(memory[1:2]), atol=1e-5)


def test_mappers_drop_out_as_they_are_told():
    def rates(name):
        made = make_mapper(name, D, E, 2, dropout=0.25)
        return {each.p for each in made.modules() if isinstance(each, torch.nn.Dropout)}

    assert [rates(name) for name in MAPPERS] == [set(), {0.25}, {0.25}]


def test_each_embedding_of_the_picture_becomes_its_own_of_the_language(memory):
    made = make_mapper("mlp", D, E, 2)
    changed = memory.clone()
    changed[:, 3] = changed[:, 3].flip(-1)
    moved = (made(memory) - made(changed)).abs().amax((0, 2)) > 1e-6
    assert moved.tolist() == [False] * 6 + [True] * 2


def test_a_transformer_mapper_reads_all_places(memory):
    made = make_mapper("transformer", D, E, 2)
    inputs = memory.clone().requires_grad_()
    made(inputs)[:, 0].square().sum().backward()
    assert (inputs.grad.abs().sum((0, 2)) > 0).all()


@pytest.mark.parametrize("name", ["ours", *THEIRS])
@pytest.mark.parametrize("tuning", TUNINGS)
def test_steps_with_a_cache_equal_the_whole(name, tuning, memory, tokens):
    model = PrefixCaptioner(language(name), D, "mlp", 2, tuning).eval()
    wanted, state = model(memory, tokens), model.start(memory)
    for t in range(tokens.shape[1]):
        logits, state = model.step(tokens[:, t], state)
        assert torch.allclose(logits, wanted[:, t], atol=1e-4)


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("beam", [1, 3])
def test_decoding_is_that_of_generate(name, beam, memory):
    model = PrefixCaptioner(language(name), D, "transformer", 4, "frozen").eval()
    found, _ = decoding.beam_search(model, memory, BOS, EOS, beam, max_len=12)
    bos = model.language.tokens(torch.full((3, 1), BOS)) + model.types[WORDS]
    read = torch.cat([model.prefix(memory), bos], 1).detach()
    wanted = model.language.model.generate(
        inputs_embeds=read, attention_mask=torch.ones(read.shape[:2]), max_new_tokens=12,
        num_beams=beam, do_sample=False, length_penalty=0.0,
    )  # fmt: skip
    cut = [row[: row.index(EOS)] if EOS in row else row for row in wanted.tolist()]
    assert found == cut


@pytest.mark.parametrize("name", ["ours", "GPT2"])
@pytest.mark.parametrize("tuning", TUNINGS)
def test_what_learns(name, tuning, memory, tokens):
    model = PrefixCaptioner(language(name), D, tuning=tuning, dropout=0.0).train()
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2)
    prefix_loss(model, memory, tokens, EOS).backward()
    optimizer.step()
    moved = {name for name, each in model.state_dict().items() if not each.equal(before[name])}
    inside = {each for each in moved if each.startswith("language.")}
    assert {"ends", "types"} <= moved and any(each.startswith("mapper.") for each in moved)
    if tuning == "frozen":
        assert not inside
    elif tuning == "lora":  # at first B is zero, so only B has a gradient
        assert inside and all("lora_" in each for each in inside)
    else:
        assert len(inside) > 10


def test_lora_begins_as_the_model_was(memory, tokens):
    torch.manual_seed(3)
    plain = PrefixCaptioner(language("ours"), D).eval()
    lora = PrefixCaptioner(language("ours"), D, tuning="lora").eval()
    lora.load_state_dict(
        {k: v for k, v in plain.state_dict().items() if not k.startswith("language.")}, strict=False
    )
    assert torch.allclose(plain(memory, tokens), lora(memory, tokens), atol=1e-6)
    assert parameters_that_learn(lora) < parameters_that_learn(plain) / 2


def test_a_frozen_language_model_does_not_drop_out(memory, tokens):
    model = PrefixCaptioner(GPT(V, 40, E, 2, 4, dropout=0.5), D, tuning="frozen").train()
    assert torch.equal(model(memory, tokens), model(memory, tokens))
    tuned = PrefixCaptioner(GPT(V, 40, E, 2, 4, dropout=0.5), D, tuning="tuned").train()
    assert not torch.equal(tuned(memory, tokens), tuned(memory, tokens))


def test_no_gradient_comes_from_later_words_but_from_the_whole_picture(memory, tokens):
    model = PrefixCaptioner(language("ours"), D).eval()
    seen = memory.clone().requires_grad_()
    read = []
    model.language.tokens.register_forward_hook(
        lambda *call: read.append(call[-1].requires_grad_()) or read[-1].retain_grad()
    )
    model.hidden(seen, tokens)[:, 3].square().sum().backward()
    assert (seen.grad.abs().sum(-1) > 0).all()
    assert ((read[0].grad.abs().sum((0, 2))) > 0).tolist() == [t <= 3 for t in range(8)]


def test_types_tell_picture_from_words(memory):
    model = PrefixCaptioner(language("ours"), D).eval()
    before = model.prefix(memory)
    with torch.no_grad():
        model.types[0] += 1
    assert torch.allclose(model.prefix(memory), before + 1, atol=1e-5)
    assert not PrefixCaptioner(language("ours"), D, types=False).types.requires_grad


def test_labels():
    tokens = torch.tensor([[1, 5, 6, 2, 0, 0], [1, 2, 0, 0, 0, 0], [1, 5, 6, 7, 8, 9]])
    x = IGNORED
    assert caption_labels(tokens, 2).tolist() == [[5, 6, 2, x, x], [2, x, x, x, x], [5, 6, 7, 8, 9]]


def test_labels_where_one_token_begins_ends_and_pads():
    tokens = torch.tensor([[9, 5, 6, 9, 9], [9, 5, 9, 9, 9]])
    assert caption_labels(tokens, 9).tolist() == [[5, 6, 9, IGNORED], [5, 9, IGNORED, IGNORED]]


def test_the_loss_is_the_mean_over_words_and_padding_changes_nothing(memory, tokens):
    model = PrefixCaptioner(language("ours"), D).eval()
    logits = model(memory, tokens[:, :-1])
    wanted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    padded = torch.nn.functional.pad(tokens, (0, 3), value=PAD)
    assert torch.allclose(prefix_loss(model, memory, tokens, EOS), wanted, atol=1e-5)
    assert torch.allclose(prefix_loss(model, memory, padded, EOS), wanted, atol=1e-5)


def test_a_folder_that_save_pretrained_left(tmp_path, memory, tokens):
    theirs = far_from_start(THEIRS["GPT2"]())
    theirs.save_pretrained(tmp_path)
    loaded = HuggingFaceLM.load(str(tmp_path))
    assert loaded.named and loaded.context == 40
    model = PrefixCaptioner(loaded, D, tuning="frozen").eval()
    own = model.own_state()
    assert not any(name.startswith("language.") for name in own) and "ends" in own
    again = PrefixCaptioner(HuggingFaceLM.load(str(tmp_path)), D, tuning="frozen").eval()
    again.load_state_dict(own, strict=False)
    assert torch.equal(again(memory, tokens), model(memory, tokens))


def test_a_file_of_lora_holds_the_small_matrices_alone(tmp_path):
    far_from_start(THEIRS["GPT2"]()).save_pretrained(tmp_path)
    model = PrefixCaptioner(HuggingFaceLM.load(str(tmp_path)), D, tuning="lora")
    inside = [name for name in model.own_state() if name.startswith("language.")]
    assert inside and all("lora_" in name for name in inside)
    tuned = PrefixCaptioner(HuggingFaceLM.load(str(tmp_path)), D, tuning="tuned")
    assert "language.model.transformer.wte.weight" in tuned.own_state()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision_become_whole(dtype, tmp_path, memory, tokens):
    THEIRS["OPT"]().to(dtype).save_pretrained(tmp_path)
    model = PrefixCaptioner(HuggingFaceLM.load(str(tmp_path)), D)
    prefix_loss(model, memory, tokens, EOS).backward()
    assert {each.dtype for each in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("harm", ["cut short", "weights missing", "other sizes"])
def test_a_damaged_folder(harm, tmp_path):
    THEIRS["GPT2"]().save_pretrained(tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    if harm == "cut short":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif harm == "weights missing":
        state = load_file(weights)
        del state["transformer.h.1.mlp.c_fc.weight"]
        save_file(state, weights, metadata={"format": "pt"})
    else:
        config.write_text(config.read_text().replace('"n_positions": 40', '"n_positions": 41'))
    words = "lacks weights" if harm == "weights missing" else "There is no language model"
    with pytest.raises(CourseError, match=words):
        HuggingFaceLM.load(str(tmp_path))


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: make_mapper("magic", D, E), "no mapper 'magic'"),
        (lambda: make_mapper("mlp", D, E, 0), "whole number of 1 or more"),
        (lambda: make_mapper("transformer", D, 30), "4 heads of a mapper do not share 30"),
        (lambda: PrefixCaptioner(language("ours"), D, tuning="thawed"), "cannot be 'thawed'"),
        (lambda: HuggingFaceLM.load("/no/such/folder"), "no language model '/no/such/folder'"),
        (lambda: language("GPT2").run(torch.zeros(1, 41, E)), "reads 40 tokens, not 41"),
        (
            lambda: HuggingFaceLM(
                transformers.MambaForCausalLM(
                    transformers.MambaConfig(hidden_size=E, num_hidden_layers=1, **COMMON)
                )
            ),
            "cannot be led by a prefix",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be(build, words):
    with pytest.raises(CourseError, match=words):
        build()


def test_every_mapper_has_a_name_that_makes_it():
    assert all(make_mapper(name, D, E)(torch.zeros(1, 2, D)).shape[2] == E for name in MAPPERS)
