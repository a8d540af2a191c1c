"""Tokenizers and padding."""

import pytest
import torch

from coursekit.errors import CourseError
from coursekit.text import BPETokenizer, WordTokenizer, pad, tokenizer_from_dict, words

CAPTIONS = ["A dog runs .", "the dog's ball", "A dog sleeps", "a man in a T-shirt"]


def test_words():
    assert words("A dog's T-shirt, wet!  ") == ["a", "dog's", "t-shirt", "wet"]
    assert words("Ein Mädchen läuft") == ["ein", "mädchen", "läuft"]
    assert words(" . ") == []


def test_vocabulary_order_and_limits():
    tok = WordTokenizer.train(CAPTIONS)
    assert tok.words[:6] == ["<pad>", "<bos>", "<eos>", "<unk>", "a", "dog"]
    assert tok.words[6:] == sorted(tok.words[6:])
    assert WordTokenizer.train(CAPTIONS, min_count=2).words[4:] == ["a", "dog"]
    assert len(WordTokenizer.train(CAPTIONS, max_words=1)) == 5


def test_round_trip_and_unknown():
    tok = WordTokenizer.train(CAPTIONS)
    assert tok.decode(tok.with_ends("A dog sleeps!")) == "a dog sleeps"
    assert tok.encode("a zebra") == [tok.token_of["a"], tok.unk_id]
    assert tok.decode([tok.bos_id, 5, tok.eos_id, 5, tok.pad_id]) == "dog"


def test_decode_takes_tensors():
    tok = WordTokenizer.train(CAPTIONS)
    assert tok.decode(torch.tensor(tok.encode("a dog"))) == "a dog"


def test_bpe_spells_what_it_never_saw():
    tok = BPETokenizer.train(CAPTIONS, vocab_size=300)
    assert tok.decode(tok.with_ends("A zebra läuft")) == "a zebra läuft"
    assert tok.unk_id not in tok.encode("a zebra läuft ☃")
    assert (tok.pad_id, tok.bos_id, tok.eos_id) == (0, 1, 2)
    assert len(tok) <= 300


@pytest.mark.parametrize("kind", [WordTokenizer, BPETokenizer])
def test_saved_and_loaded(kind):
    tok = kind.train(CAPTIONS)
    again = tokenizer_from_dict(tok.to_dict())
    assert again.encode("the dog sleeps") == tok.encode("the dog sleeps") and len(again) == len(tok)


def test_pad():
    tokens, lengths = pad([[5, 6, 7], [8]], pad_id=9)
    assert tokens.tolist() == [[5, 6, 7], [8, 9, 9]] and lengths.tolist() == [3, 1]
    assert tokens.dtype == lengths.dtype == torch.int64


def test_bad_input():
    with pytest.raises(CourseError, match="min_count"):
        WordTokenizer.train(CAPTIONS, min_count=99)
    with pytest.raises(CourseError, match="no known kind"):
        tokenizer_from_dict({"kind": "letters"})
    with pytest.raises(CourseError, match="begins with"):
        WordTokenizer(["a", "b"])
