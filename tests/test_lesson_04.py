"""Lesson 04's checks: they accept its solutions and others, and name the mistakes students make."""

import ast
from collections import Counter

import numpy as np
import pytest
import torch
from lesson_solutions import assert_named, text_of, verdict

from coursekit import decoding
from coursekit.checks import lesson_04 as check
from coursekit.metrics.captions import caption_scores

# --- other right answers


def expand_by_sorting(scores, log_probs, beam):
    found = [
        (float(scores[row] + log_probs[row, word]), row, word)
        for row in range(log_probs.shape[0])
        for word in range(log_probs.shape[1])
    ]
    sums, rows, words = zip(*sorted(found, reverse=True)[:beam], strict=True)
    return list(words), list(rows), list(sums)


def expand_in_numpy(scores, log_probs, beam):
    table = scores.numpy()[:, None] + log_probs.numpy()
    best = np.argsort(-table, axis=None)[:beam]
    rows, words = np.unravel_index(best, table.shape)
    return words, rows, table[rows, words]


def expand_like_the_package(scores, log_probs, beam):
    total = (scores.unsqueeze(-1) + log_probs).reshape(-1)
    sums, index = torch.sort(total, descending=True)
    size = log_probs.size(-1)
    return [
        index[:beam].remainder(size),
        index[:beam].div(size, rounding_mode="floor"),
        sums[:beam],
    ]


def nucleus_by_the_package(probabilities, p):
    return decoding.filter_logits(probabilities.log()[None], top_p=p).softmax(-1)[0]


def nucleus_by_loop(probabilities, p):
    kept, mass = [0.0] * len(probabilities), 0.0
    for word in sorted(range(len(kept)), key=lambda w: -probabilities[w]):
        if mass >= p:
            break
        kept[word] = float(probabilities[word])
        mass += kept[word]
    return [each / mass for each in kept]


def clipped_by_union(candidate, references):
    limit = Counter()
    for each in references:
        limit |= Counter(each)
    return [(Counter(candidate) & limit).total(), len(candidate)]


def clipped_by_lists(candidate, references):
    matched = sum(
        min(candidate.count(word), max(each.count(word) for each in references))
        for word in set(candidate)
    )
    return np.int64(matched), len(candidate)


def bootstrap_by_two_means(first, second, draws):
    return first[draws].mean(dim=-1) - second[draws].mean(dim=-1)


def bootstrap_by_loop(first, second, draws):
    return [float(sum(first[i] - second[i] for i in row)) / len(row) for row in draws]


RIGHT = {
    "expand": [expand_by_sorting, expand_in_numpy, expand_like_the_package],
    "nucleus": [nucleus_by_the_package, nucleus_by_loop],
    "clipped": [clipped_by_union, clipped_by_lists],
    "paired_bootstrap": [bootstrap_by_two_means, bootstrap_by_loop],
}


@pytest.mark.parametrize("name, answer", [(n, a) for n, each in RIGHT.items() for a in each])
def test_other_right_answers_pass(name, answer, capsys):
    passed, said = verdict(capsys, getattr(check, name), answer)
    assert passed, said


# --- mistakes, each with the words by which the student must recognise it


def expanded(table=lambda s, p: s[:, None] + p, split=None, largest=True, order=False, give=None):
    """A step of a beam with one thing wrong."""

    def answer(scores, log_probs, beam):
        V = log_probs.shape[1]
        sums, places = table(scores, log_probs).flatten().topk(beam, largest=largest)
        words, rows = (split or (lambda n: (n % V, n // V)))(places)
        if order:
            words, rows, sums = words.flip(0), rows.flip(0), sums.flip(0)
        return give(words, rows, sums) if give else (words, rows, sums)

    return answer


def expand_row_by_row(scores, log_probs, beam):
    sums, words = (scores[:, None] + log_probs).topk(beam)
    return words, torch.arange(len(scores))[:, None].expand_as(words), sums


def expand_one_a_row(scores, log_probs, beam):
    sums, words = (scores[:, None] + log_probs).max(1)
    return words, torch.arange(len(scores)), sums


def expand_the_best(scores, log_probs, beam):
    sums, words = (scores.max() + log_probs[scores.argmax()]).topk(beam)
    return words, scores.argmax().expand(beam), sums


def expand_without_the_sums(scores, log_probs, beam):
    places = (scores[:, None] + log_probs).flatten().topk(beam).indices
    V = log_probs.shape[1]
    return places % V, places // V, log_probs.flatten()[places]


def cut(before=True, more=0, scale=True, back=True, sort=True, descending=True, softmax=False):
    """A nucleus with one thing wrong."""

    def answer(probabilities, p):
        ordered, order = probabilities.sort(descending=descending)
        if not sort:
            ordered, order = probabilities, torch.arange(len(probabilities))
        mass = ordered.cumsum(0) - ordered if before else ordered.cumsum(0)
        keep = mass < p
        if more:
            keep[int(keep.sum())] = True
        kept = torch.where(keep, ordered, torch.tensor(-torch.inf if softmax else 0.0))
        kept = kept.softmax(0) if softmax else kept / kept.sum() if scale else kept
        return torch.zeros_like(probabilities).scatter(0, order, kept) if back else kept

    return answer


def cut_in_place(probabilities, p):
    kept = cut()(probabilities, p)
    return probabilities.copy_(kept)


def cut_without_the_first(probabilities, p):
    return cut()(probabilities, p) if probabilities.max() < p else torch.zeros_like(probabilities)


def counted(limit, total=len, once=False):
    """Clipped words with one thing wrong."""

    def answer(candidate, references):
        own = Counter(set(candidate) if once else candidate)
        others = [Counter(each) for each in references]
        return sum(min(n, limit(word, n, others)) for word, n in own.items()), total(candidate)

    return answer


def best_count(word, n, others):
    return max(each[word] for each in others)


def resampled(of=lambda f, s, d: f[d] - s[d], take=lambda x: x.mean(1)):
    return lambda first, second, draws: take(of(first, second, draws))


MISTAKES = {
    "expand": [
        (expanded(table=lambda s, p: p), "the sums so far are left out"),
        (expanded(table=lambda s, p: s[:, None] * p), "logarithms are added"),
        (expanded(table=lambda s, p: s + p), "scores[:, None] is (K, 1)"),
        (expanded(largest=False), "the four worst"),
        (expanded(order=True), "not the best first"),
        (expanded(split=lambda n: (n // 5, n % 5)), "words and rows are exchanged"),
        (expanded(split=lambda n: (n // 3, n % 3)), "divide by V = 5"),
        (expanded(split=lambda n: (n % 3, n // 3)), "divide by V = 5"),
        (expanded(split=lambda n: (n, n // 5)), "places in the flattened table"),
        (expanded(give=lambda w, r, s: (w, r, s.exp())), "stay logarithms"),
        (expanded(give=lambda w, r, s: (w, r)), "return words, rows, sums"),
        (expanded(give=lambda w, r, s: None), "return words, rows, sums"),
        (expand_row_by_row, "all K × V compete together"),
        (expand_one_a_row, "one of each row"),
        (expand_the_best, "only the best beginning goes on"),
        (expand_without_the_sums, "add the scores"),
    ],
    "nucleus": [
        (cut(before=False), "the word that reaches p is cut"),
        (cut(more=1), "one word too many"),
        (cut(scale=False), "sum to 1 again"),
        (cut(back=False), "undo the sorting"),
        (cut(sort=False), "from the likeliest down"),
        (cut(descending=False), "sort descending"),
        (cut(softmax=True), "no softmax"),
        (lambda probabilities, p: probabilities, "nothing is cut"),
        (cut_in_place, "clone()"),
        (cut_without_the_first, "never empty"),
        (lambda probabilities, p: None, "does not return its result"),
    ],
    "clipped": [
        (counted(lambda w, n, o: n * any(each[w] for each in o)), "not clipped"),
        (counted(lambda w, n, o: sum(each[w] for each in o)), "by all references together"),
        (counted(lambda w, n, o: o[0][w]), "only the first reference"),
        (counted(lambda w, n, o: o[-1][w]), "one reference alone"),
        (counted(lambda w, n, o: min(each[w] for each in o)), "take the largest count"),
        (counted(best_count, once=True), "count how often it occurs"),
        (counted(best_count, lambda c: len(set(c)), once=True), "count how often it occurs"),
        (counted(best_count, lambda c: len(set(c))), "when it comes again"),
        (counted(best_count, lambda c: 8), "of the caption's words"),
        (lambda c, r: counted(best_count)(c, r)[::-1], "the other way round"),
        (lambda c, r: counted(best_count)(c, r)[0] / len(c), "return both numbers"),
        (lambda c, r: counted(best_count)(c, r)[0], "return matched and total"),
        (lambda c, r: None, "return matched, total"),
    ],
    "paired_bootstrap": [
        (resampled(lambda f, s, d: s[d] - f[d]), "turn it round"),
        (resampled(take=lambda x: x.sum(1)), "take means"),
        (resampled(take=lambda x: x.mean(1).abs()), "keep the sign"),
        (resampled(take=lambda x: x.mean(0)), "dimension 1"),
        (resampled(take=lambda x: x.mean()), "one difference for each resample"),
        (resampled(take=lambda x: (x.mean(1) > 0).float().mean()), "not how many are above 0"),
        (resampled(take=lambda x: x), "over the captions of each resample"),
        (resampled(take=lambda x: x.mean(1).sort().values), "keep the order"),
        (resampled(lambda f, s, d: f[d] - s.mean()), "only the first is resampled"),
        (resampled(lambda f, s, d: f.mean() - s[d]), "only the second is resampled"),
        (lambda f, s, d: (f - s).mean().expand(len(d)), "nothing is resampled"),
        (lambda f, s, d: None, "does not return its result"),
    ],
}


@pytest.mark.parametrize(
    "name, answer, likely", [(n, a, words) for n, each in MISTAKES.items() for a, words in each]
)
def test_mistakes_are_named(name, answer, likely, capsys):
    assert_named(capsys, getattr(check, name), answer, likely)


def test_an_empty_beam_of_errors_is_not_taken_for_a_stub(capsys):
    def crashes(scores, log_probs, beam):
        raise RuntimeError("sizes differ")

    assert_named(capsys, check.expand, crashes, "shapes that do not fit")


def test_an_empty_caption_and_a_sure_word_are_asked_for(capsys):
    def divides(candidate, references):
        return clipped_by_union(candidate, references) if candidate else (0, 1)

    passed, said = verdict(capsys, check.clipped, divides)
    assert not passed and "empty caption" in said


# --- the lesson's own parts


@pytest.fixture(scope="module")
def lesson():
    """The functions of the lesson that spoil captions and count runs of words, by name."""
    names = ("ngrams", "matched", "brevity", "articles", "wrong_colours", "retold", "mix")
    names += ("RARER", "POETIC")
    found = {}
    exec("import math\nimport random\nfrom collections import Counter", found)
    exec("from coursekit.datasets.scene_words import COLOUR_NAMES", found)
    tree = ast.parse(text_of("04"))
    for node in tree.body:
        own = getattr(node, "name", None) or getattr(
            getattr(node, "targets", [None])[0], "id", None
        )
        if own in names:
            exec(compile(ast.Module([node], []), "lesson", "exec"), found)
    return found


def test_the_bleu_of_the_lesson_is_the_packages(lesson):
    references = ["a cat sits on the red mat", "there is a small cat on a mat in the room"]
    split = [each.split() for each in references]
    for candidate in (
        "a cat sits on a mat",
        "a small cat on a mat in the rain at the door today ok",
    ):
        said = candidate.split()
        runs = [lesson["matched"](said, split, n) for n in (1, 2, 3, 4)]
        ours = np.prod([k / n for k, n in runs]) ** 0.25 * lesson["brevity"](said, split)
        assert ours == pytest.approx(
            caption_scores([candidate], [references], meteor=False)["Bleu_4"], abs=1e-6
        )


def test_tricks_change_what_they_say_and_no_more(lesson):
    exchange = lesson["wrong_colours"]
    assert exchange("a red cat and an orange car under a blue sky") == (
        "an orange cat and a red car under a blue sky"
    )
    assert exchange("a red cat at night") == "a black cat at night"
    assert exchange("a cat under an orange sky") == "a cat under an orange sky"
    retold = lesson["retold"]
    assert retold("two small cats over a boat on the water", lesson["RARER"]) == (
        "two tiny kittens above a sailboat on a lake"
    )
    assert retold("a black cottage in the snow under a grey sky", lesson["POETIC"]) == (
        "an ebony home amid frost while it pours"
    )
    assert sorted(lesson["mix"]("a b c d").split()) == ["a", "b", "c", "d"]
    assert lesson["mix"]("a b c d e f") == lesson["mix"]("a b c d e f")
