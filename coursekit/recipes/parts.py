"""What is trained before a captioner: an eye that names facts, a language model that has read captions."""

from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F

from coursekit.captioner import make_language
from coursekit.datasets.scenes import ALL_FACTS, Scenes, fact_table
from coursekit.models.encoders import SceneClassifier, SmallCNN
from coursekit.models.lstm import caption_loss
from coursekit.text import pad
from coursekit.training import bucketed_batches, train


def train_scene_encoder(settings, dataset, device="cpu", out=None, quiet=False):
    """A SmallCNN trained to name the facts of scenes, as (SceneClassifier, History).

    dataset: Scenes; one yes-or-no question for each of ALL_FACTS; the loss is the sum of their cross-entropies in
    nats a picture. `out` and `quiet` as in `training.train`.
    """
    torch.manual_seed(settings.seed)
    classifier = SceneClassifier(SmallCNN(), len(ALL_FACTS)).to(device)
    images, answers = dataset.images(range(len(dataset))), fact_table(dataset)  # (len, F)

    def batches(epoch):
        generator = torch.Generator().manual_seed(1000 * settings.seed + epoch)
        return torch.randperm(len(images), generator=generator).split(settings.batch_size)

    def loss(model, batch):
        logits = model(images[batch].to(device))  # (B, F)
        wanted = answers[batch].to(device)
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(batch)

    return classifier, train(classifier, loss, batches, settings, out=out, quiet=quiet)


def announce(what, quiet=False):
    """Says which training begins, where a run has several."""
    if not quiet:
        print(f"{what}:", flush=True)


def needs_eye(recipe):
    """Whether the recipe's encoder is trained here, before the captioner."""
    return bool(recipe.encoder_train) and recipe.encoder == "small_cnn"


def trained_eye(recipe, device="cpu", out=None, quiet=False):
    """The state of a small CNN that learned to name facts, on other scenes than the captions are about."""
    settings = replace(recipe.encoder_train, seed=recipe.train.seed)
    # Another seed, so other pictures: as encoders of photos come from another set than the captions
    others = Scenes("train", recipe.encoder_pictures, seed=1 + recipe.train.seed)
    folder = Path(out) / "encoder" if out else None
    announce("an eye learns to name what is in scenes", quiet)
    classifier, _ = train_scene_encoder(settings, others, device, folder, quiet)
    return classifier.encoder.state_dict()


def needs_language(recipe):
    """Whether the recipe's language model is trained here, before the captioner."""
    return recipe.model == "prefix" and recipe.language == "small" and bool(recipe.language_train)


def texts_for(recipe, train_set):
    """The captions that a language model reads first, a list for each picture."""
    if not recipe.language_pictures:
        return train_set.captions
    # Text is easier to come by than pictures; these scenes were seen by no captioner
    return Scenes("train", recipe.language_pictures, seed=101 + recipe.train.seed).captions


def trained_language(recipe, tokenizer, texts, dev_texts, device="cpu", out=None, quiet=False):
    """The small language model of a recipe, trained on captions alone: (GPT, History).

    texts, dev_texts: lists of captions, one list a picture. The captions of a picture follow one another, so that
    guessing well takes looking back at what was told before: what a prefix will need. In nats a token.
    """
    settings = replace(recipe.language_train, seed=recipe.train.seed)
    announce("a language model reads captions, without pictures", quiet)
    torch.manual_seed(settings.seed)
    model = make_language(recipe, len(tokenizer)).to(device)
    lesson, exam = (_documents(tokenizer, each, model.context) for each in (texts, dev_texts))

    def loss(model, batch, documents=lesson):
        tokens, _ = pad([documents[i] for i in batch], tokenizer.pad_id)
        return caption_loss(model, None, tokens.to(device), tokenizer.pad_id)

    def exam_loss(model):
        parts = torch.arange(len(exam)).split(100)
        counts = [sum(len(exam[i]) - 1 for i in part) for part in parts]
        losses = [loss(model, part, exam).item() for part in parts]
        return sum(n * each for n, each in zip(counts, losses, strict=True)) / sum(counts)

    history = train(
        model,
        loss,
        lambda epoch: bucketed_batches(
            [len(each) for each in lesson], settings.batch_size, 1000 * settings.seed + epoch
        ),
        settings,
        validate=exam_loss,
        out=Path(out) / "language" if out else None,
        quiet=quiet,
    )
    return model, history


def _documents(tokenizer, texts, context):
    """The captions of each picture between bos and eos, one after another, as long as the model reads."""
    return [
        [t for c in captions for t in tokenizer.with_ends(c)][: context + 1] for captions in texts
    ]
