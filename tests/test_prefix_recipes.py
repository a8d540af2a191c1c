"""Prefix captioners from end to end: text first, then pictures; saved, loaded, asked; over a folder of the hub's layout."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from coursekit import datasets, recipes, sizes
from coursekit.captioner import make_language
from coursekit.cli import main
from coursekit.errors import CourseError
from coursekit.recipes import load_captioner, recipe_for
from coursekit.text import BPETokenizer, tokenizer_from_dict

SMALL = dict(size="smoke", quiet=True, pictures=24, eval_pictures=8, epochs=1, encoder_pictures=32)


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory):
    """A language model as the hub keeps it: weights, settings, and tokens where one is begin, end and padding."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    folder = tmp_path_factory.mktemp("tiny-gpt2")
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    captions = datasets.load("scenes", "train", count=50).captions
    model.train_from_iterator((c for cs in captions for c in cs), trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=model, eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(model.get_vocab()), n_positions=96, n_embd=32, n_layer=2, n_head=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    return str(folder)


def same_after_saving(captioner, folder):
    data = datasets.load("scenes", "dev", count=3)
    images = data.images(range(3))
    again = load_captioner(folder)
    assert again.recipe == captioner.recipe
    assert again.caption(images) == captioner.caption(images)
    return again


@pytest.mark.parametrize("tuning", ["frozen", "tuned", "lora"])
@pytest.mark.parametrize("mapper", ["mlp", "transformer"])
def test_every_way_trains_and_comes_back(tuning, mapper, tmp_path):
    found, history = recipes.train_captioner(
        "prefix", out=tmp_path, tuning=tuning, mapper=mapper, length=2, **SMALL
    )
    assert len(history.valid_loss) == 1 and (tmp_path / "language" / "training.pt").is_file()
    same_after_saving(found, tmp_path)


def test_text_comes_first_and_a_frozen_model_stays_as_the_text_left_it(tmp_path):
    found, _ = recipes.train_captioner("prefix", out=tmp_path, tuning="frozen", **SMALL)
    read = torch.load(tmp_path / "language" / "training.pt", weights_only=True)["best"]
    kept = found.decoder.language.state_dict()
    assert all(torch.equal(kept[name], read[name]) for name in read)


def test_a_given_language_model_is_used_and_left_alone():
    recipe = recipe_for("scenes", "smoke", model="prefix", tuning="tuned", pictures=24, epochs=1,
                        encoder="resnet18", weights=None, image_size=32, encoder_train=None)  # fmt: skip
    sets = [datasets.load("scenes", split, count=8) for split in ("train", "dev")]
    tokenizer = recipes.tokenizer_for(recipe, sets[0])
    language = make_language(recipe, len(tokenizer))
    before = {name: each.clone() for name, each in language.state_dict().items()}
    found, _ = recipes.train_on(recipe, *sets, sizes.setup("smoke"), quiet=True, language=language)
    assert all(torch.equal(each, before[name]) for name, each in language.state_dict().items())
    moved = found.decoder.language.tokens.weight
    assert not torch.equal(moved, before["tokens.weight"])


def test_documents_hold_the_captions_of_a_picture_one_after_another():
    recipe = recipe_for("scenes", "smoke", model="prefix", language_pictures=3)
    data = datasets.load("scenes", "train", count=4)
    assert len(recipes.texts_for(recipe, data)) == 3
    assert recipes.texts_for(recipe, data)[0] != data.captions[0]
    own = recipe_for("scenes", "smoke", model="prefix", language_pictures=0)
    assert recipes.texts_for(own, data) is data.captions


@pytest.mark.parametrize("tuning", ["frozen", "lora"])
def test_a_language_model_of_the_hub_s_layout(hub_folder, tuning, tmp_path):
    found, _ = recipes.train_captioner(
        "prefix", out=tmp_path, language=hub_folder, tuning=tuning, **SMALL
    )
    assert found.tokenizer.bos_id == found.tokenizer.eos_id == found.tokenizer.pad_id == 0
    assert not (tmp_path / "language").exists()
    stored = torch.load(tmp_path / "captioner.pt", weights_only=True)["weights"]
    assert not any(name.endswith("wte.weight") for name in stored)
    same_after_saving(found, tmp_path)


def test_the_model_learns_to_stop_where_one_token_begins_ends_and_pads(hub_folder):
    changes = SMALL | dict(pictures=60, epochs=4, learning_rate=5e-3)
    found, _ = recipes.train_captioner("prefix", language=hub_folder, **changes)
    data = datasets.load("scenes", "dev", count=8)
    tokens = [found.tokenizer.with_ends(cs[0]) for cs in data.captions]
    stops = [
        found.decoder(memory[None], torch.tensor([row[:-1]]))[0].log_softmax(-1)[:, 0]
        for memory, row in zip(recipes.features_of(found, data), tokens, strict=True)
    ]
    last, earlier = (
        torch.stack([f(each) for each in stops]).mean()
        for f in (lambda x: x[-1], lambda x: x[:-1].mean())
    )
    assert last > earlier + 1


def test_tokens_of_the_hub(hub_folder):
    tok = BPETokenizer.from_pretrained(hub_folder)
    assert tok.decode(tok.with_ends("A red boat, on WATER!")) == "a red boat on water"
    assert tok.encode("") == []
    again = tokenizer_from_dict(tok.to_dict())
    assert again.with_ends("two cats") == tok.with_ends("two cats") and again.eos_id == 0
    with pytest.raises(CourseError, match="no tokenizer '/no/such'"):
        BPETokenizer.from_pretrained("/no/such")


def test_the_command_trains_and_refuses(tmp_path, capsys, hub_folder):
    given = ["train", "prefix", "--size", "smoke", "--mapper", "linear", "--tuning", "frozen",
             "--epochs", "1", "--out", str(tmp_path)]  # fmt: skip
    assert main(given) == 0 and load_captioner(tmp_path).recipe.mapper == "linear"
    capsys.readouterr()
    assert main([*given, "--language", hub_folder]) == 2
    assert "other settings" in capsys.readouterr().err
    assert main(["train", "prefix", "--size", "smoke", "--language", str(tmp_path / "none")]) == 2
    assert "There is no tokenizer" in capsys.readouterr().err
