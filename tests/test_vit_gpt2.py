"""ViT + GPT-2: transformers' own logits, losses and searches, both caches, folders of the hub's layout, and refusals."""

import json
import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import GPT2Model, VisionEncoderDecoderModel, ViTImageProcessor

from coursekit import decoding
from coursekit.datasets.scenes import ALL_FACTS, Scenes, fact_table
from coursekit.errors import CourseError
from coursekit.models.gpt import GPT, from_hugging_face
from coursekit.models.language import HuggingFaceLM, add_lora
from coursekit.models.prefix import caption_labels, prefix_loss
from coursekit.models.vit import SCENE_VIT, scene_vit_classifier
from coursekit.models.vit_gpt2 import (
    ViTEncoder,
    ViTGPT2,
    scene_vit,
    small_gpt2,
    small_vit,
    to_hugging_face,
)

V, CONTEXT = 17, 20


def stirred(model, size=0.1):
    """The same model with weights that are far from their start."""
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(size * torch.randn_like(weights))
    return model


@pytest.fixture(scope="module", params=[24, 36], ids=["same width", "projected"])
def ours(request):
    """A whole of a ViT of width 24 and a GPT-2 of width 24 or 36, the second with eos for pad, as the hub's."""
    torch.manual_seed(1)
    vit = small_vit(image_size=24, patch=8, dim=24, layers=2, heads=2)
    ids = (1, 2, 0) if request.param == 24 else (2, 2, None)
    gpt2 = small_gpt2(V, CONTEXT, dim=request.param, layers=3, heads=3, ids=ids)
    return stirred(ViTGPT2.from_parts(vit, gpt2), 0.3).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randint(256, (4, 3, 24, 24), generator=torch.Generator().manual_seed(1)).byte()


@pytest.fixture(scope="module")
def memory(ours, images):
    with torch.no_grad():
        return ours.encoder(images)  # (4, 10, 24)


@pytest.fixture(scope="module")
def tokens():
    tokens = torch.randint(3, V, (4, 9), generator=torch.Generator().manual_seed(2))
    tokens[:, 0] = 1
    return tokens


def test_memory_is_the_last_layer_of_the_vit(ours, images, memory):
    wanted = ours.model.encoder(ours.encoder.pixels(images)).last_hidden_state
    assert memory.shape == (4, 10, 24) and torch.equal(memory, wanted)
    assert ours.encoder.dim == 24 and torch.equal(ours.encoder.whole(images), memory[:, 0])


def test_logits_are_those_of_transformers(ours, images, memory, tokens):
    wanted = ours.model(pixel_values=ours.encoder.pixels(images), decoder_input_ids=tokens).logits
    assert torch.allclose(ours(memory, tokens), wanted, atol=1e-5)
    assert not torch.allclose(ours(memory.flip(0), tokens), wanted, atol=0.1)


def test_steps_with_both_caches_equal_the_whole(ours, memory, tokens):
    wanted, state = ours(memory, tokens), ours.start(memory)
    patches = [seen for _, seen in state]
    for t in range(tokens.shape[1]):
        logits, state = ours.step(tokens[:, t], state)
        assert torch.allclose(logits, wanted[:, t], atol=1e-4)
    for (said, seen), before in zip(state, patches, strict=True):
        assert seen is before  # computed once
        assert said[0].shape[2] == said[1].shape[2] == tokens.shape[1]


def test_a_state_is_untouched_by_a_step(ours, memory, tokens):
    _, state = ours.step(tokens[:, 0], ours.start(memory))
    first, _ = ours.step(tokens[:, 1], state)
    assert torch.equal(first, ours.step(tokens[:, 1], state)[0])


def endings(ours, memory, beam):
    """Captions with each token as eos, where they differ and some end: {eos: (captions, scores)}."""
    found = {
        eos: decoding.beam_search(ours, memory, ours.bos_id, eos, beam, 12) for eos in range(V)
    }
    return {eos: each for eos, each in found.items() if len(set(map(len, each[0]))) > 1}


@pytest.mark.parametrize("beam", [1, 3])
def test_decoding_is_that_of_generate(ours, images, memory, beam):
    several = endings(ours, memory, beam)
    assert several, "these weights compare nothing"
    for eos, (found, scores) in list(several.items())[:3]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = ours.model.generate(
                ours.encoder.pixels(images), max_new_tokens=12, num_beams=beam, do_sample=False, eos_token_id=eos,
                length_penalty=0.0, return_dict_in_generate=True, output_scores=True,
            )  # fmt: skip
        rows = [row[1:] for row in wanted.sequences.tolist()]  # without bos
        assert found == [row[: row.index(eos)] if eos in row else row for row in rows]
        if beam == 1:
            assert found == decoding.greedy(ours, memory, ours.bos_id, eos, 12)[0]
        else:
            assert torch.allclose(torch.tensor(scores), wanted.sequences_scores, atol=1e-3)


def test_the_loss_is_that_of_transformers(ours, images, memory):
    """Captions of three lengths whose padding is 0 or, as for GPT-2, eos itself."""
    tokens = torch.tensor([[ours.bos_id, 5, 6, 7, ours.eos_id], *[[ours.bos_id, 9, ours.eos_id, ours.pad_id, ours.pad_id]] * 3])  # fmt: skip
    labels = caption_labels(tokens, ours.eos_id)
    assert (labels != -100).sum() == 4 + 3 * 2
    wanted = ours.model(pixel_values=ours.encoder.pixels(images), labels=labels).loss
    assert torch.allclose(prefix_loss(ours, memory, tokens, ours.eos_id), wanted, atol=1e-5)
    with_padding = F.cross_entropy(ours(memory, tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())  # fmt: skip
    assert not torch.allclose(with_padding, wanted, atol=1e-4)


def test_it_looks_where_transformers_says(ours, images, memory, tokens, tmp_path):
    ours.save(tmp_path)
    # The only way of attention that tells its weights
    theirs = VisionEncoderDecoderModel.from_pretrained(tmp_path, attn_implementation="eager")
    told = theirs(
        ours.encoder.pixels(images), tokens, output_attentions=True, return_dict=True
    ).cross_attentions
    for layer in (-1, 0):
        found = ours.look(memory, tokens, layer)
        assert found.shape == (4, 9, 10) and torch.allclose(found.sum(-1), torch.ones(4, 9))
        assert torch.allclose(found, told[layer].mean(1), atol=1e-5)


def test_boxes_are_the_picture_and_its_patches_row_by_row(images):
    encoder = small_vit(image_size=24, patch=8, dim=8, layers=0, heads=1)  # nobody asks anybody
    blank = torch.zeros_like(images[:1])
    spotted = blank.clone()
    spotted[..., 0:8, 16:24] = 255  # the third patch of the first row
    changed = (encoder(spotted) != encoder(blank)).any(-1)[0]
    boxes = encoder.boxes(blank)
    assert boxes.shape == (1, 10, 4) and boxes[0, 0].tolist() == [0, 0, 1, 1]
    assert changed.nonzero().flatten().tolist() == [3]
    assert torch.allclose(boxes[0, 3], torch.tensor([2 / 3, 0, 1, 1 / 3]))


@pytest.mark.parametrize("size", [(24, 24), (37, 50)])
def test_pixels_are_those_of_the_image_processor(size):
    images = torch.randint(256, (2, 3, *size), dtype=torch.uint8)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    encoder = ViTEncoder(small_vit(24, 8, 8, 1, 1).vit, mean=mean, std=std)
    theirs = ViTImageProcessor(size=dict(height=24, width=24), image_mean=mean, image_std=std)
    wanted = theirs([each for each in images], return_tensors="pt")["pixel_values"]
    # Theirs rounds to whole numbers when it resizes: once across and once down
    assert (encoder.pixels(images) - wanted).abs().max() < 1.01 / 255 / 0.2


def trained(tmp_path, **sizes):
    """Folders of a ViT and of a GPT-2 without cross-attention, as a trained one would leave them."""
    encoder = stirred(ViTEncoder(small_vit(24, 8, 24, 2, 2).vit, mean=(0.4,) * 3, std=(0.3,) * 3))
    encoder.save(tmp_path / "vit")
    gpt2 = stirred(small_gpt2(V, CONTEXT, dim=36, layers=2, heads=3, ids=(16, 16, None)))
    gpt2.save_pretrained(tmp_path / "gpt2")
    return encoder, gpt2


def test_parts_from_folders_keep_their_weights(tmp_path, images, tokens):
    encoder, gpt2 = trained(tmp_path)
    whole = ViTGPT2.from_parts(tmp_path / "vit", tmp_path / "gpt2").eval()
    assert torch.allclose(whole.encoder(images), encoder(images), atol=1e-6)
    assert whole.encoder.mean == pytest.approx((0.4,) * 3)
    assert (whole.bos_id, whole.eos_id, whole.pad_id) == (16, 16, 16)
    assert all(each.requires_grad for each in whole.parameters())
    # With cross-attention that adds nothing it is the language model that it was
    with torch.no_grad():
        for block in whole.model.decoder.transformer.h:
            block.crossattention.c_proj.weight.zero_()
    wanted = gpt2.eval()(tokens).logits
    assert torch.allclose(whole(whole.encoder(images), tokens), wanted, atol=1e-5)
    assert whole.model.decoder.lm_head.weight is whole.model.decoder.transformer.wte.weight


def test_a_frozen_encoder_stays_frozen_and_is_shared(images, tokens):
    encoder = small_vit(24, 8, 24, 1, 2, dropout=0.5).freeze()
    whole = ViTGPT2.from_parts(encoder, small_gpt2(V, CONTEXT, 24, 1, 2)).train()
    assert whole.encoder is encoder and not whole.model.encoder.training
    prefix_loss(whole, encoder(images), tokens, whole.eos_id).backward()
    learning = {name for name, each in whole.named_parameters() if each.grad is not None}
    assert learning == {n for n, _ in whole.named_parameters() if not n.startswith("model.encoder")}
    encoder.unfreeze()
    prefix_loss(whole.train(), encoder(images), tokens, whole.eos_id).backward()
    assert all(each.grad is not None for each in whole.parameters())
    assert whole.model.encoder.training


def test_small_models_drop_out_as_they_are_told():
    gpt, vit = small_gpt2(V, CONTEXT, 24, 1, 2, dropout=0.25), small_vit(24, 8, 24, 1, 2, 0.25)
    rates = [each.p for each in gpt.modules() if isinstance(each, torch.nn.Dropout)]
    assert len(rates) == 4 and set(rates) == {0.25}
    assert vit.vit.config.hidden_dropout_prob == 0.25 and vit.name == "small_vit"


def test_our_gpt_and_back():
    torch.manual_seed(0)
    gpt = stirred(GPT(V, CONTEXT, dim=36, layers=2, heads=3)).eval()
    theirs, tokens = to_hugging_face(gpt).eval(), torch.arange(12).view(2, 6)
    assert torch.allclose(theirs(tokens).logits, gpt(None, tokens), atol=1e-5)
    again = from_hugging_face(theirs).eval()
    assert torch.allclose(again(None, tokens), gpt(None, tokens), atol=1e-6)
    whole = ViTGPT2.from_parts(small_vit(24, 8, 24, 1, 2), gpt)
    same = ViTGPT2.from_parts(small_vit(24, 8, 24, 1, 2), HuggingFaceLM(theirs))
    assert torch.equal(same.model.decoder.lm_head.weight, gpt.tokens.weight)
    assert torch.equal(whole.model.decoder.transformer.wte.weight, gpt.tokens.weight)
    assert (whole.bos_id, whole.eos_id, whole.pad_id) == (1, 2, 0)


@pytest.mark.parametrize("hugging_face", [False, True])
def test_a_language_model_with_lora_is_refused(hugging_face):
    """Its own matrices have other names, and would be left at random without a word."""
    language = GPT(V, CONTEXT, dim=36, layers=2, heads=3)
    language = HuggingFaceLM(to_hugging_face(language)) if hugging_face else language
    add_lora(language)
    with pytest.raises(CourseError, match="without LoRA"):
        ViTGPT2.from_parts(small_vit(24, 8, 24, 1, 2), language)


def test_a_saved_whole_is_the_same_again(ours, images, memory, tokens, tmp_path):
    ours.save(tmp_path)
    again = ViTGPT2.load(tmp_path).eval()
    assert torch.allclose(again.encoder(images), memory, atol=1e-6)
    assert torch.allclose(again(memory, tokens), ours(memory, tokens), atol=1e-6)
    ends = again.bos_id, again.eos_id, again.pad_id
    assert ends == (ours.bos_id, ours.eos_id, ours.pad_id)
    theirs = VisionEncoderDecoderModel.from_pretrained(tmp_path).eval()
    wanted = theirs(pixel_values=ours.encoder.pixels(images), decoder_input_ids=tokens).logits
    assert torch.allclose(ours(memory, tokens), wanted, atol=1e-5)


def as_on_the_hub(ours, folder, half=False):
    """A folder as nlpconnect/vit-gpt2-image-captioning is: pickled weights, a pooler, masks, an old processor."""
    ours.save(folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    for part, size in (("weight", (24, 24)), ("bias", (24,))):
        weights[f"encoder.pooler.dense.{part}"] = torch.randn(size)
    for layer in range(3):
        for part in ("attn", "crossattention"):
            name = f"decoder.transformer.h.{layer}.{part}"
            weights[f"{name}.bias"] = torch.ones(1, 1, CONTEXT, CONTEXT).tril().byte()
            weights[f"{name}.masked_bias"] = torch.tensor(-1e4)
    weights["decoder.lm_head.weight"] = weights["decoder.transformer.wte.weight"].clone()
    if half:
        weights = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    torch.save(weights, folder / "pytorch_model.bin")
    old = dict(do_normalize=True, do_resize=True, feature_extractor_type="ViTFeatureExtractor", resample=2)  # fmt: skip
    old |= dict(image_mean=[0.5] * 3, image_std=[0.5] * 3, size=24)
    (folder / "preprocessor_config.json").write_text(json.dumps(old))


@pytest.mark.parametrize("half", [False, True])
def test_a_folder_of_the_layout_of_the_hub(ours, memory, tokens, images, tmp_path, half):
    as_on_the_hub(ours, tmp_path, half)
    again = ViTGPT2.load(tmp_path).eval()
    assert {each.dtype for each in again.parameters()} == {torch.float32}
    # It would learn nothing, which training in several processes does not bear
    assert again.model.encoder.pooler is None
    near = dict(rtol=0.05, atol=0.2) if half else dict(atol=1e-5)
    assert torch.allclose(again(memory, tokens), ours(memory, tokens), **near)
    assert torch.allclose(again.encoder.pixels(images), ours.encoder.pixels(images))


def test_what_save_leaves_is_whole_or_nothing(ours, tmp_path, monkeypatch):
    ours.save(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    monkeypatch.setattr(shutil, "copyfile", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        ours.save(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def lose_a_weight(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    del weights["decoder.transformer.h.1.crossattention.q_attn.weight"]
    save_file(weights, path, {"format": "pt"})


def another_decoder(folder):
    config = json.loads((folder / "config.json").read_text())
    config["decoder"]["model_type"] = "bert"
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "spoil, words",
    [
        (cut_weights, "no whole vision-encoder-decoder"),
        (lose_a_weight, "lacks weights"),
        (another_decoder, "whole|joins vit and bert|lacks"),
        (lambda folder: (folder / "config.json").unlink(), "no whole vision-encoder-decoder"),
        (lambda folder: (folder / "config.json").write_text("{"), "no whole vision-encoder"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no whole vision-encoder"),
        (lambda folder: (folder / "preprocessor_config.json").write_text("{"), "cannot be read"),
    ],
)
def test_spoiled_folders(ours, tmp_path, spoil, words):
    ours.save(tmp_path)
    spoil(tmp_path)
    with pytest.raises(CourseError, match=words):
        ViTGPT2.load(tmp_path)


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda folder: ViTGPT2.load(folder / "gpt2"), "no whole vision-encoder-decoder"),
        (lambda folder: ViTGPT2.load(folder / "nothing"), "no whole vision-encoder-decoder"),
        (lambda folder: ViTGPT2.from_parts(folder / "gpt2", folder / "gpt2"), "no whole vit"),
        (lambda folder: ViTGPT2.from_parts(folder / "vit", folder / "vit"), "no whole gpt2"),
        (lambda folder: ViTGPT2.from_parts(folder / "vit", torch.nn.Linear(2, 2)), "not a Linear"),
        (lambda _: small_vit(image_size=20), "do not divide 20"),
        (lambda _: small_vit(dim=10, heads=4), "do not divide 10"),
        (lambda _: small_gpt2(V, dim=10, heads=4), "do not divide 10"),
    ],
)
def test_what_cannot_be(tmp_path, build, words):
    trained(tmp_path)
    with pytest.raises(CourseError, match=words):
        build(tmp_path)


@pytest.mark.parametrize(
    "images",
    [torch.rand(2, 3, 24, 24), torch.zeros(3, 24, 24).byte(), torch.zeros(2, 1, 24, 24).byte()],
)
def test_images_of_another_form(ours, images):
    with pytest.raises(CourseError, match="uint8"):
        ours.encoder(images)


def test_a_text_that_is_too_long(ours, memory):
    with pytest.raises(CourseError, match="20 tokens, not 21"):
        ours(memory, torch.zeros(4, 21).long())
    with pytest.raises(CourseError, match="20 tokens, not 21"):
        decoding.greedy(ours, memory, 1, V, 21)  # an eos that never comes
    assert ours(memory, torch.zeros(4, 20).long()).shape == (4, 20, V)


def test_nothing_is_told_on_the_way(ours, memory, tokens, tmp_path, capfd, monkeypatch):
    """A word on stderr costs a notebook its mark."""
    warned = []  # transformers says this one once in a process
    monkeypatch.setattr(
        GPT2Model, "warn_if_padding_and_no_attention_mask", lambda *each: warned.append(each)
    )
    ours.save(tmp_path)
    again = ViTGPT2.load(tmp_path)
    padded = tokens.clone()
    padded[:, 4:] = again.pad_id
    prefix_loss(again, memory, padded, again.eos_id)
    again.step(padded[:, 4], again.start(memory))
    assert capfd.readouterr() == ("", "") and not warned


def test_the_vit_that_comes_with_the_course():
    """Its file is small, and it names the facts of other scenes as well as it is said to."""
    encoder, scores = scene_vit(), json.loads((SCENE_VIT / "scores.json").read_text())
    assert sum(each.stat().st_size for each in SCENE_VIT.iterdir()) < 3e6
    assert not any(each.requires_grad for each in encoder.parameters()) and not encoder.training
    test = Scenes("test", 100)
    images, answers = test.images(range(100)), fact_table(test) > 0
    assert encoder(images[:2]).shape == (2, 65, encoder.dim)
    said = scene_vit_classifier()(images) > 0  # (100, F)
    assert said.shape[1] == len(ALL_FACTS)
    f1 = 2 * (said & answers).sum() / (said.sum() + answers.sum())
    assert f1.item() == pytest.approx(scores["f1"]["test"]["all"], abs=0.03)


def test_the_whole_learns_scenes_through_it(tokens):
    """A few steps lower the loss of one batch, and cross-attention has its part in it."""
    torch.manual_seed(0)
    whole = ViTGPT2.from_parts(scene_vit(), small_gpt2(V, CONTEXT, 24, 1, 2, dropout=0.0))
    memory = whole.encoder(Scenes("train", 4).images(range(4)))
    optimizer = torch.optim.AdamW([p for p in whole.parameters() if p.requires_grad], 1e-2)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = prefix_loss(whole, memory, tokens, whole.eos_id)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    assert whole.model.decoder.transformer.h[0].crossattention.q_attn.weight.grad.abs().max() > 0
    assert all(each.grad is None for each in whole.model.encoder.parameters())
