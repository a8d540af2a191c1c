"""Caption scores against published ones and pycocoevalcap's, words against Stanford's, scene facts."""

import functools
import json
import os
import random
import signal
import subprocess
import sys
import zipfile

import pytest

from coursekit.errors import CourseError
from coursekit.metrics import meteor
from coursekit.metrics.captions import (
    caption_scores,
    human_scores,
    meteor_scores,
    ptb_words,
    start_meteor,
)
from coursekit.metrics.rouge import common_subsequence
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
    assert list(scores) == [*JAVALESS[:4], "METEOR", *JAVALESS[4:]]
    assert list(scores.missing) == ["SPICE"]


def captions_of_scenes():
    """Real-shaped captions: of each scene its first, of the next scene, and five references."""
    from coursekit.datasets.scenes import Scenes

    references = Scenes("dev", 150).captions
    return [references[(i + i % 2) % 150][i % 5] for i in range(150)], references


HOSTILE = [
    ("", ["a dog"]),
    ("", ["", "a dog"]),
    ("dog", ["", "a"]),
    ("a dog", [""]),
    ("a a a a a a a", ["a a dog", "a"]),
    ("dog a", ["a dog", "a dog", "dog a dog a"]),
    ("dog", ["dog"]),
    ("the quick brown fox " * 30, ["the quick brown fox " * 20, "fox"]),
    ("日本 の 猫", ["猫 の 日本", "日本 の 猫"]),
    ("one two three four", ["one two three four five six seven eight nine ten"]),
    ("%s {} \\ ' \" #", ["' \" # %s", "{}"]),
]


def theirs(candidates, references):
    """pycocoevalcap's scores of captions whose words stand between blanks: (whole, of each)."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    results = {i: [" ".join(caption.split())] for i, caption in enumerate(candidates)}
    truths = {i: [" ".join(one.split()) for one in each] for i, each in enumerate(references)}
    wholes, lists = Bleu(4).compute_score(truths, results, verbose=0)
    found = {f"Bleu_{n + 1}": (wholes[n], lists[n]) for n in range(4)}
    found["ROUGE_L"] = Rouge().compute_score(truths, results)
    found["CIDEr"] = Cider().compute_score(truths, results)
    return {k: v[0] for k, v in found.items()}, {k: list(v[1]) for k, v in found.items()}


@pytest.mark.parametrize("what", ["scenes", "hostile", "both", "one"])
def test_equals_pycocoevalcap(what):
    real, odd = captions_of_scenes(), list(map(list, zip(*HOSTILE, strict=True)))
    both = [a + b for a, b in zip(real, odd, strict=True)]
    pairs = {"scenes": real, "hostile": odd, "both": both, "one": [each[:1] for each in real]}
    whole, each = theirs(*pairs[what])
    ours = caption_scores(*pairs[what], meteor=False, tokenized=True)
    assert ours == pytest.approx(whole, abs=1e-9)
    ours = caption_scores(*pairs[what], meteor=False, tokenized=True, per_caption=True)
    for name, values in each.items():
        assert ours[name] == pytest.approx(values, abs=1e-9), name


def photo_lines(shared_data):
    """ "photo.jpg#0", tab, caption: five of each photo of Flickr8k."""
    with zipfile.ZipFile(shared_data / "flickr8k" / "Flickr8k_text.zip") as bundle:
        return bundle.read("Flickr8k.token.txt").decode().splitlines()


@pytest.mark.shared
def test_equals_pycocoevalcap_on_photos(shared_data):
    lines = photo_lines(shared_data)[:4000]
    said = [" ".join(ptb_words(line.split("\t")[1])) for line in lines]
    references = [said[i : i + 5] for i in range(0, 4000, 5)]
    candidates = [
        references[(i + 1) % 800][0] if i % 3 else each[2] for i, each in enumerate(references)
    ]
    whole, _ = theirs(candidates, references)
    ours = caption_scores(candidates, references, meteor=False, tokenized=True)
    assert ours == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize(
    "a, b, length",
    [
        ("abcbdab", "bdcaba", 4),
        ("", "abc", 0),
        ("abc", "", 0),
        ("aaa", "aa", 2),
        ("ab" * 90, "ba" * 90, 179),
    ],
)
def test_common_subsequence(a, b, length):
    assert common_subsequence(list(a), list(b)) == length


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


def test_people_against_people():
    scores = human_scores(REFERENCES, meteor=False)
    firsts, others = [each[0] for each in REFERENCES], [each[1:] for each in REFERENCES]
    assert scores == caption_scores(firsts, others, meteor=False)
    each = human_scores(REFERENCES, meteor=False, per_caption=True)
    assert each == caption_scores(firsts, others, meteor=False, per_caption=True)
    with pytest.raises(CourseError, match="two references or more"):
        human_scores([["a"], ["a", "b"]])


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
    assert scores.missing["METEOR"] == meteor.no_meteor() and "Java" in meteor.no_meteor()
    with pytest.raises(CourseError, match="METEOR needs Java, .* install"):
        caption_scores(CANDIDATES, REFERENCES, meteor=True)


# Of two content words each, one matches: P = R = F = 0.5, and one chunk a match costs 0.6
ANSWERS = """#!{python} -S
import sys
for line in sys.stdin:
    print("2 2 0 0  1 1 0 0", "0 0 0 0 " * 3, "1 1 1", flush=True)
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
        assert meteor_scores(CANDIDATES, REFERENCES) == (
            pytest.approx(0.2),
            [pytest.approx(0.2)] * 3,
        )
    assert meteor._program(os.getpid()).process is process
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(CourseError, match="broke off"):
        meteor_scores(CANDIDATES, REFERENCES)
    assert meteor_scores(CANDIDATES, REFERENCES) == (pytest.approx(0.2), [pytest.approx(0.2)] * 3)
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
def test_meteor_is_the_programs():
    """Our formula against what the program itself makes of its statistics, one and all."""
    candidates, references = captions_of_scenes()
    candidates = [*CANDIDATES, "", "two dogs run", *candidates[:40]]
    references = [*REFERENCES, ["a dog"], ["two dogs run"], *references[:40]]
    program = meteor._program(os.getpid())
    lines = [program._statistics(*pair) for pair in zip(candidates, references, strict=True)]
    program._send(" ||| ".join(["EVAL", *(" ".join(map(str, line)) for line in lines)]))
    theirs = [float(program._receive()) for _ in range(len(lines) + 1)]
    whole, each = meteor_scores(candidates, references)
    assert each == pytest.approx(theirs[:-1], abs=1e-9) and whole == pytest.approx(
        theirs[-1], abs=1e-9
    )
    assert each[4] == 1 and each[3] == 0 and sum(score == 1 for score in each) < 30


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
def test_ptb_words_equal_stanfords(shared_data, capfd):
    real = [line.split("\t")[1] for line in photo_lines(shared_data)]
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
