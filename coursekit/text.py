"""Captions ⇄ tokens: a vocabulary of words and a byte-level BPE behind one interface."""

import re
from collections import Counter

import torch

from coursekit.errors import CourseError

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")


def words(caption):
    """The words of a caption: lower case, punctuation dropped, "dog's" kept as one word."""
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", caption.lower())


class _Tokenizer:
    pad_id, bos_id, eos_id, unk_id = range(4)

    def with_ends(self, caption):
        """Tokens of a caption between bos and eos."""
        return [self.bos_id, *self.encode(caption), self.eos_id]

    def _until_end(self, tokens):
        tokens = [int(token) for token in tokens]
        for token in tokens[1:] if tokens[:1] == [self.bos_id] else tokens:
            if token == self.eos_id:
                return
            if token not in (self.pad_id, self.bos_id):
                yield token


class WordTokenizer(_Tokenizer):
    """One token a word. Words not in the vocabulary become <unk>.

    `words[i]` is the word of token i; the first four are <pad>, <bos>, <eos>, <unk>.
    """

    def __init__(self, words):
        if tuple(words[:4]) != SPECIAL:
            raise CourseError(f"A vocabulary begins with {' '.join(SPECIAL)}: this one does not.")
        self.words = list(words)
        self.token_of = {word: i for i, word in enumerate(self.words)}

    @classmethod
    def train(cls, captions, min_count=1, max_words=None):
        """The words seen at least `min_count` times, commonest first (ties by alphabet), `max_words` at most."""
        counts = Counter(word for caption in captions for word in words(caption))
        kept = sorted((w for w in counts if counts[w] >= min_count), key=lambda w: (-counts[w], w))
        if not kept:
            raise CourseError(
                "No word is left for the vocabulary: give captions, or a lower min_count."
            )
        return cls([*SPECIAL, *kept[:max_words]])

    def encode(self, caption):
        """Tokens of a caption, without bos and eos."""
        return [self.token_of.get(word, self.unk_id) for word in words(caption)]

    def decode(self, tokens):
        """The caption of tokens: stops at eos, skips pad and bos."""
        return " ".join(self.words[token] for token in self._until_end(tokens))

    def __len__(self):
        return len(self.words)

    def to_dict(self):
        return {"kind": "words", "words": self.words}


class BPETokenizer(_Tokenizer):
    """Byte-level BPE (Sennrich et al. 2016; bytes as in GPT-2, Radford et al. 2019) by Hugging Face tokenizers.

    No caption has an unknown token: a word that was never seen is spelled in smaller pieces.
    ids: pad, bos, eos and unk; a language model's own may be one and the same.
    """

    def __init__(self, model, ids=(0, 1, 2, 3)):
        self.model = model
        self.pad_id, self.bos_id, self.eos_id, self.unk_id = ids

    @classmethod
    def train(cls, captions, vocab_size=1000):
        """Learns merges from captions until the vocabulary has `vocab_size` tokens."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        model = Tokenizer(models.BPE())
        model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        model.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(SPECIAL),
            initial_alphabet=alphabet,
            show_progress=False,
        )
        model.train_from_iterator((" ".join(words(c)) for c in captions), trainer)
        return cls(model)

    @classmethod
    def from_pretrained(cls, name):
        """The tokens of a language model of Hugging Face: a name on the hub, or a folder. GPT-2's eos is bos and pad, too.

        Raises CourseError if there are none, or none that ends a text.
        """
        from transformers import AutoTokenizer

        try:
            found = AutoTokenizer.from_pretrained(name, use_fast=True)
            model = found.backend_tokenizer
        except (OSError, ValueError, AttributeError) as error:
            raise CourseError(
                f"There is no tokenizer '{name}': give a name on the hub (with a network), or a folder that "
                "save_pretrained wrote."
            ) from error
        eos = found.eos_token_id
        # Of a folder with a model alone, transformers makes a tokenizer without any words
        if eos is None or not model.encode("a", add_special_tokens=False).ids:
            raise CourseError(
                f"The tokenizer of '{name}' has no tokens, or none that ends a text: save it there, with an eos_token."
            )
        others = (found.pad_token_id, found.bos_token_id, eos, found.unk_token_id)
        return cls(model, tuple(eos if one is None else one for one in others))

    def encode(self, caption):
        """Tokens of a caption, without bos and eos. A space begins it, as inside a text."""
        text = "".join(f" {word}" for word in words(caption))
        return self.model.encode(text, add_special_tokens=False).ids

    def decode(self, tokens):
        """The caption of tokens: stops at eos, skips pad and bos."""
        return self.model.decode(list(self._until_end(tokens))).strip()

    def __len__(self):
        return self.model.get_vocab_size()

    def to_dict(self):
        ids = [self.pad_id, self.bos_id, self.eos_id, self.unk_id]
        return {"kind": "bpe", "model": self.model.to_str(), "ids": ids}


def tokenizer_from_dict(saved):
    """The tokenizer that `to_dict` saved. Raises CourseError if it is of no known kind."""
    if saved.get("kind") == "words":
        return WordTokenizer(saved["words"])
    if saved.get("kind") == "bpe":
        from tokenizers import Tokenizer

        return BPETokenizer(Tokenizer.from_str(saved["model"]), saved.get("ids", (0, 1, 2, 3)))
    raise CourseError("The saved tokenizer is of no known kind: train the model again.")


def pad(sequences, pad_id=0):
    """Joins token lists of different lengths: tokens (B, T) filled up with pad_id, and lengths (B,), both int64."""
    lengths = torch.tensor([len(s) for s in sequences])
    tokens = torch.full((len(sequences), int(lengths.max())), pad_id)  # (B, T)
    for row, sequence in zip(tokens, sequences, strict=True):
        row[: len(sequence)] = torch.as_tensor(sequence)
    return tokens, lengths
