"""Prefix captioners from end to end: text first, then pictures; saved, loaded, asked; over a folder of the hub's layout."""

import shutil
from inspect import signature

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from coursekit import datasets, decoding, recipes, sizes, studies, training
from coursekit.captioner import Captioner, make_language
from coursekit.captioner.model import SAID
from coursekit.cli import main
from coursekit.cli import models as cli_models
from coursekit.errors import CourseError
from coursekit.models.gpt import GPT
from coursekit.models.lstm import caption_loss
from coursekit.models.prefix import MAPPERS, TUNINGS
from coursekit.recipes import load_captioner, recipe_for
from coursekit.text import SPECIAL, BPETokenizer, WordTokenizer, tokenizer_from_dict

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


def test_the_loss_on_other_captions_is_a_mean_over_tokens():
    """Of 100 short texts and a long one, examined in two batches."""
    recipe = recipe_for("scenes", "smoke", model="prefix")
    texts = datasets.load("scenes", "train", count=16).captions
    tokenizer = WordTokenizer.train(c for cs in texts for c in cs)
    exam = [[cs[0]] for cs in 7 * texts][:100] + [5 * ["a a a a a"]]
    model, history = recipes.trained_language(recipe, tokenizer, texts, exam, quiet=True)
    total = count = 0
    for captions in exam:
        tokens = torch.tensor([[t for c in captions for t in tokenizer.with_ends(c)]])
        n = tokens.shape[1] - 1
        total, count = total + n * caption_loss(model, None, tokens, 0).item(), count + n
    assert history.valid_loss == [pytest.approx(total / count, abs=1e-5)]


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


@pytest.mark.parametrize("harm", ["no tokenizer", "no eos"])
def test_a_folder_without_tokens_is_refused(harm, hub_folder, tmp_path):
    """Of a folder with a model alone, transformers makes a tokenizer that finds nothing in any text."""
    shutil.copytree(hub_folder, tmp_path, dirs_exist_ok=True)
    if harm == "no tokenizer":
        for path in tmp_path.glob("*token*"):
            path.unlink()
    else:
        PreTrainedTokenizerFast(
            tokenizer_object=BPETokenizer.from_pretrained(hub_folder).model
        ).save_pretrained(tmp_path)
    with pytest.raises(CourseError, match="no tokens, or none that ends a text"):
        BPETokenizer.from_pretrained(tmp_path)


def test_a_tokenizer_of_more_tokens_than_the_language_model():
    recipe = recipe_for("scenes", "smoke", model="prefix", encoder_train=None)
    with pytest.raises(CourseError, match="has 83 tokens and the language model knows 20"):
        Captioner(recipe, WordTokenizer([*SPECIAL, *map(str, range(79))]), GPT(20, 128, 32, 2, 2))


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(length=0), "whole number of 1 or more"),
        (dict(mapper="magic"), "no mapper 'magic'"),
        (dict(tuning="thawed"), "cannot be 'thawed'"),
        (dict(language_heads=3), "3 heads do not share"),
        (dict(mapper="transformer", language_dim=30), "do not share 30"),
        (dict(length=8), "A prefix of 130 and a caption are up to 160 tokens"),
        # The captions of scenes would fit, and a search that goes on to 30 words would not
        (dict(mapper="transformer", length=97), "A prefix of 99 and a caption are up to 129"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_trained(changes, words, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(training, "_Run", lambda *_: pytest.fail("trained"))
        with pytest.raises(CourseError, match=words):
            recipes.train_captioner("prefix", out=tmp_path / "run", **SMALL | changes)
        here = {"size": "smoke"} | changes
        with pytest.raises(CourseError, match=words):
            studies.crossvalidate("prefix", folds=3, count=12, out=tmp_path / "run", **here)
    assert not (tmp_path / "run").exists()  # and the mended call may have the folder


def test_the_longest_prefix_that_fits():
    changes = dict(mapper="transformer", length=96)
    recipe = recipe_for("scenes", "smoke", model="prefix", **changes)
    sets = [datasets.load("scenes", split, count=4) for split in ("train", "dev")]
    recipes.must_fit(recipe, sizes.setup("smoke"), *sets)
    captioner = Captioner(recipe, recipes.tokenizer_for(recipe, sets[0]))
    memory = captioner.memory(sets[0].images([0, 1]))
    with torch.no_grad():
        captioner.decoder.head = lambda hidden: torch.zeros(*hidden.shape[:-1], 83)  # never ends
        assert len(captioner.caption_memory(memory)) == 2


def test_a_search_goes_as_far_as_is_checked():
    for search in (decoding.greedy, decoding.beam_search, decoding.sample):
        assert signature(search).parameters["max_len"].default == SAID


@pytest.mark.parametrize(
    "data, changes, length",
    [
        ("scenes", dict(), 1),  # each of 16 places
        ("scenes", dict(mapper="transformer"), 10),
        ("scenes", dict(language="gpt2"), 10),
        ("scenes", dict(language="gpt2", mapper="mlp"), 1),
        ("coco", dict(language="gpt2", mapper="mlp"), 10),  # one pooled embedding
        ("coco", dict(language="gpt2", mapper="mlp", embeddings="grid"), 1),
        ("flickr8k", dict(mapper="transformer"), 8),
        ("scenes", dict(mapper="transformer", length=3), 3),
    ],
)
def test_a_prefix_has_several_embeddings_and_not_hundreds(data, changes, length):
    assert recipe_for(data, "cpu", model="prefix", **changes).length == length


@pytest.mark.parametrize("size", sizes.SIZES)
def test_settings_follow_the_language_model(size):
    """A small one has read captions at every size; GPT-2's weights move little at every size."""
    assert recipe_for("scenes", size, model="prefix", language="small").language_train
    small = recipe_for("flickr8k", size, model="prefix", language="small")
    theirs = recipe_for("flickr8k", size, model="prefix", language="gpt2")
    assert theirs.train.learning_rate == 5e-5 < small.train.learning_rate
    frozen = recipe_for("flickr8k", size, model="prefix", language="gpt2", tuning="frozen")
    assert frozen.train.learning_rate == 1e-3
    assert theirs.mapper == "transformer" and theirs.length in (8, 10)
    assert not recipes.needs_language(theirs)
    usual = recipe_for("flickr8k", size, model="prefix")
    assert usual == (theirs if size == "gpu" else small)


def test_the_command_names_what_there_is():
    assert tuple(cli_models.FIELDS["mapper"]["choices"]) == MAPPERS
    assert tuple(cli_models.FIELDS["tuning"]["choices"]) == TUNINGS


def test_the_command_trains_and_refuses(tmp_path, capsys, hub_folder):
    given = ["train", "prefix", "--size", "smoke", "--mapper", "linear", "--tuning", "frozen",
             "--epochs", "1", "--out", str(tmp_path)]  # fmt: skip
    assert main(given) == 0 and load_captioner(tmp_path).recipe.mapper == "linear"
    capsys.readouterr()
    assert main([*given, "--language", hub_folder]) == 2
    assert "other settings" in capsys.readouterr().err
    assert main(["train", "prefix", "--size", "smoke", "--language", str(tmp_path / "none")]) == 2
    assert "There is no tokenizer" in capsys.readouterr().err
