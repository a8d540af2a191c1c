"""Caption scores against published ones, words against Stanford's, and scores of scene facts."""

import functools
import json
import os
import random
import signal
import subprocess
import sys

import pytest

from coursekit.errors import CourseError
from coursekit.metrics import meteor
from coursekit.metrics.captions import caption_scores, meteor_scores, ptb_words, start_meteor
from coursekit.metrics.scenes import fact_scores

CANDIDATES = ["a red boat on the sea", "two dogs run .", "a man"]
REFERENCES = [
    ["a red boat sails on the sea", "there is a boat on the water"],
    ["two brown dogs run in the snow", "dogs run ."],
    ["a woman rides a horse", "a man rides a horse"],
]
JAVALESS = ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"]


def published(shared_data, name):
    """(candidates, references, tokenized, scores) of one public example."""
    folder = shared_data / "caption_metrics"
    expected = json.loads((folder / "expected.json").read_text())
    if name == "nlg_eval":
        entry = expected[name]
        lines = [(folder / file).read_text().splitlines() for file in entry["references"]]
        candidates = (folder / entry["hypotheses"]).read_text().splitlines()
        return candidates, [list(each) for each in zip(*lines, strict=True)], True, entry["scores"]
    entry = expected["clipscore"]
    candidates = json.loads((folder / entry[name]["file"]).read_text())
    references = json.loads((folder / entry["references"]).read_text())
    return (
        list(candidates.values()), [references[key] for key in candidates], False,
        entry[name]["scores"],
    )  # fmt: skip


@pytest.mark.shared
@pytest.mark.parametrize("name", ["nlg_eval", "good", "bad"])
def test_published_scores(shared_data, name):
    candidates, references, tokenized, expected = published(shared_data, name)
    scores = caption_scores(candidates, references, meteor=False, tokenized=tokenized)
    assert list(scores) == JAVALESS
    assert scores == pytest.approx({key: expected[key] for key in JAVALESS}, abs=1e-4)


@pytest.mark.shared
@pytest.mark.java
@pytest.mark.parametrize("name", ["nlg_eval", "good", "bad"])
def test_published_meteor(shared_data, name):
    candidates, references, tokenized, expected = published(shared_data, name)
    scores = caption_scores(candidates, references, meteor=True, tokenized=tokenized)
    assert scores["METEOR"] == pytest.approx(expected["METEOR"], abs=1e-4)
    assert list(scores) == [*JAVALESS[:4], "METEOR", *JAVALESS[4:]] and scores.missing == {}


def test_scores_by_hand():
    """BLEU-1: 11 of 11 words, closest references 7 + 2 + 5 long; ROUGE-L with beta 1.2."""
    scores = caption_scores(CANDIDATES, REFERENCES, meteor=False)
    assert scores["Bleu_1"] == pytest.approx(2.718281828 ** (1 - 14 / 11), abs=1e-6)
    recalls = [6 / 7, 1.0, 2 / 5]
    rouge = sum(2.44 * r / (r + 1.44) for r in recalls) / 3
    assert scores["ROUGE_L"] == pytest.approx(rouge, abs=1e-6)
    perfect = caption_scores([each[0] for each in REFERENCES], REFERENCES, meteor=False)
    assert perfect["Bleu_4"] == pytest.approx(1) and perfect["ROUGE_L"] == pytest.approx(1)


def test_scores_of_each_caption():
    scores = caption_scores(CANDIDATES, REFERENCES, meteor=False)
    each = caption_scores(CANDIDATES, REFERENCES, meteor=False, per_caption=True)
    assert list(each) == JAVALESS and {len(values) for values in each.values()} == {3}
    for name in ("ROUGE_L", "CIDEr"):
        assert sum(each[name]) / 3 == pytest.approx(scores[name])
    assert each["ROUGE_L"][1] == pytest.approx(1) and each["Bleu_1"][2] < 0.5
    json.dumps([scores, each])


def test_scores_do_not_see_case_and_stops_unless_tokenized():
    loud = [caption.upper() + "!" for caption in CANDIDATES]
    quiet = caption_scores(CANDIDATES, REFERENCES, meteor=False)
    assert caption_scores(loud, REFERENCES, meteor=False) == quiet
    assert caption_scores(loud, REFERENCES, meteor=False, tokenized=True)["Bleu_1"] < 0.01
    wide = ["  ".join(caption.split()) + "\n" for caption in CANDIDATES]
    assert caption_scores(wide, REFERENCES, meteor=False, tokenized=True) == caption_scores(
        CANDIDATES, REFERENCES, meteor=False, tokenized=True
    )


def test_scores_print_nothing(capfd):
    caption_scores(CANDIDATES, REFERENCES, meteor=False)
    assert capfd.readouterr() == ("", "")


def test_empty_captions_score_nothing():
    scores = caption_scores(["", " . "], REFERENCES[:2], meteor=False)
    assert all(value < 1e-6 for value in scores.values())


@pytest.mark.parametrize(
    "candidates, references, sentence",
    [
        ([], [], "0 captions for 0 lists"),
        (CANDIDATES, REFERENCES[:2], "3 captions for 2 lists of references"),
        (["a"], ["a dog"], r"references of caption 0 must be a list .* as \[reference\]"),
        (["a", "b"], [["a"], []], "references of caption 1 must be a list of at least one"),
        ([["a", "dog"]], [["a dog"]], "Caption 0 is a list; give it as one string"),
    ],
)
def test_wrong_input(candidates, references, sentence):
    with pytest.raises(CourseError, match=sentence):
        caption_scores(candidates, references, meteor=False)


@pytest.fixture
def no_java(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)


def test_without_java_meteor_is_left_out_and_says_why(no_java):
    scores = caption_scores(CANDIDATES, REFERENCES)
    assert list(scores) == JAVALESS
    assert scores.missing == {"METEOR": meteor.no_meteor()} and "Java" in scores.missing["METEOR"]
    with pytest.raises(CourseError, match="METEOR needs Java, .* install"):
        caption_scores(CANDIDATES, REFERENCES, meteor=True)


ANSWERS = """#!{python} -S
import sys
for line in sys.stdin:
    parts = line.split(" ||| ")
    print(*(["0.5"] * len(parts) if parts[0] == "EVAL" else [len(line)]), sep="\\n", flush=True)
"""


@pytest.fixture
def java_that(monkeypatch, tmp_path):
    """A function that puts a script in Java's place, and METEOR in its first state."""

    def install(script):
        (tmp_path / "java").write_text(script)
        (tmp_path / "java").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setattr(meteor, "_program", functools.cache(meteor._program.__wrapped__))

    yield install


def test_java_that_breaks_is_told(java_that):
    """macOS has a `java` that only says that there is none."""
    java_that("#!/bin/sh\nexit 1\n")
    with pytest.raises(CourseError, match="broke off; check with 'java -version'"):
        caption_scores(CANDIDATES, REFERENCES, meteor=True)
    assert "broke off" in caption_scores(CANDIDATES, REFERENCES).missing["METEOR"]


def test_meteor_starts_once_and_again_after_a_kill(java_that):
    java_that(ANSWERS.format(python=sys.executable))
    start_meteor()
    process = meteor._program(os.getpid()).process
    for _ in range(2):
        assert meteor_scores(CANDIDATES, REFERENCES) == (0.5, [0.5] * 3)
    assert meteor._program(os.getpid()).process is process
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(CourseError, match="broke off"):
        meteor_scores(CANDIDATES, REFERENCES)
    assert meteor_scores(CANDIDATES, REFERENCES) == (0.5, [0.5] * 3)
    meteor._program(os.getpid()).close()


def test_meteor_ends_with_its_owner(java_that):
    java_that(ANSWERS.format(python=sys.executable))
    code = (
        "from coursekit.metrics import meteor; meteor.meteor_scores(['a'], [['a']]);"
        "print(meteor._program(meteor.os.getpid()).process.pid)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


@pytest.mark.java
def test_meteor_survives_odd_text():
    candidates, references = ["", "a ||| dog", "日本"], [["a dog"], ["a dog", ""], ["猫犬"]]
    whole, each = meteor_scores(candidates, references)
    assert each[0] == 0 and each[1] > 0.9 and each[2] == 0 and 0 < whole < 1


@pytest.mark.java
def test_meteor_of_the_whole_and_of_each():
    scores = caption_scores(CANDIDATES, REFERENCES)
    each = caption_scores(CANDIDATES, REFERENCES, per_caption=True)["METEOR"]
    assert len(each) == 3 and each[1] > each[2] and min(each) < scores["METEOR"] < max(each)


@pytest.mark.parametrize(
    "caption, words",
    [
        ("A dog's Ball, isn't it?", "a dog 's ball is n't it"),
        ("Black-and-white T-shirt ; 3-d", "black-and-white t-shirt 3-d"),
        ('He says "hi" ... -- ( no ) !!', "he says hi -lrb- no -rrb- !!"),
        ("at 10:30 a.m. in the U.S. by Mr. X. end.", "at 10:30 a.m. in the u.s. by mr. x. end"),
        ("cannot gonna they’re $5.00 50% #1", "can not gon na they 're $ 5.00 50 % # 1"),
        ("rock 'n' roll o'clock AT&T at&t 4x4", "rock 'n' roll o'clock at&t at & t 4x4"),
        ("<unk> wait.... dog . cat", "<unk> wait dog cat"),
        (" \n", ""),
    ],
)
def test_ptb_words(caption, words):
    assert ptb_words(caption) == words.split()


def stanford(captions):
    """What pycocoevalcap's own tokenizer makes of captions."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    entries = {i: [{"caption": caption}] for i, caption in enumerate(captions)}
    return [words[0].split() for words in PTBTokenizer().tokenize(entries).values()]


def hostile(captions, rng):
    """The same captions with punctuation where it hurts, half of them without blanks before it."""
    extra = "it's can't dogs' o'clock cannot U.S. Mr. ft. 10:30 1,000 50% #1 ... -- (dog) &".split()
    for caption in captions:
        words = caption.split()
        for _ in range(rng.randrange(4)):
            place = rng.randrange(len(words))
            if rng.random() < 0.5:
                words.insert(place, rng.choice(extra))
            else:
                words[place] += rng.choice([*".,!?;:-%", '"', "'", "'s", "...", ")"])
        text = " ".join(words)
        yield text.replace(" .", ".").replace(" ,", ",") if rng.random() < 0.5 else text.upper()


@pytest.mark.shared
@pytest.mark.java
def test_ptb_words_equal_stanfords(shared_data, tmp_path, capfd):
    from coursekit.datasets.download import unpack

    unpack(shared_data / "flickr8k" / "Flickr8k_text.zip", tmp_path, progress=False)
    lines = (tmp_path / "Flickr8k.token.txt").read_text().splitlines()
    real = [line.split("\t")[1] for line in lines]
    odd = list(hostile(real[:8000], random.Random(0)))
    pairs = zip(map(ptb_words, real + odd), stanford(real + odd), strict=True)
    same = [ours == theirs for ours, theirs in pairs]
    real_part, odd_part = sum(same[: len(real)]) / len(real), sum(same[len(real) :]) / len(odd)
    with capfd.disabled():
        print(f"\nwords equal Stanford's in {real_part:.4%} of {len(real)} captions")
        print(f"and in {odd_part:.2%} of {len(odd)} with hostile punctuation")
    assert real_part == 1 and odd_part > 0.98


def test_fact_scores():
    claims = [{("sky", "day"), ("thing", "boat")}, {("sky", "night")}, set()]
    facts = [{("sky", "day"), ("thing", "cat")}, {("sky", "night")}, {("sky", "day")}]
    assert fact_scores(claims, facts) == {"fact_precision": 2 / 3, "fact_recall": 2 / 4}
    assert fact_scores([set()], facts[:1]) == {"fact_precision": 0, "fact_recall": 0}
    for wrong in (claims[:2], []):
        with pytest.raises(CourseError, match=f"{len(wrong)} sets of claims for"):
            fact_scores(wrong, facts if wrong else [])
