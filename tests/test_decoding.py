"""Decoders against a model small enough to search exhaustively."""

import itertools

import pytest
import torch

from coursekit.decoding import beam_search, filter_logits, greedy, sample, select
from coursekit.errors import CourseError
from coursekit.models.lstm import ShowAndTell

BOS, EOS, V = 1, 2, 6


class Table:
    """A step model whose next-token probabilities depend on the last token and the picture: an exact Markov chain."""

    def __init__(self, seed=0, pictures=4, sharpness=2.0):
        generator = torch.Generator().manual_seed(seed)
        self.logits = sharpness * torch.randn(pictures, V, V, generator=generator)
        self.steps = 0

    def start(self, memory):
        return {"picture": memory[:, 0].long(), "time": [torch.zeros(len(memory))]}

    def step(self, tokens, state):
        self.steps += 1
        return self.logits[state["picture"], tokens], {
            "picture": state["picture"],
            "time": [state["time"][0] + 1],
        }

    def score(self, picture, tokens):
        log_probs = self.logits[picture].log_softmax(-1)
        path = [BOS, *tokens]
        return sum(log_probs[a, b].item() for a, b in itertools.pairwise(path))


def memory(pictures=4):
    return torch.arange(pictures)[:, None].float()


def best_by_force(model, picture, max_len, length_penalty=0.0):
    others = [t for t in range(V) if t != EOS]
    found = []
    for length in range(max_len):
        for body in itertools.product(others, repeat=length):
            score = model.score(picture, [*body, EOS])
            found.append((score / (length + 1) ** length_penalty, score, list(body)))
    return max(found)


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0])
def test_a_wide_beam_finds_the_best(length_penalty):
    model = Table()
    tokens, scores = beam_search(
        model, memory(), BOS, EOS, beam=200, max_len=4, length_penalty=length_penalty
    )
    for picture in range(4):
        _, score, body = best_by_force(model, picture, 4, length_penalty)
        assert tokens[picture] == body
        assert scores[picture] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_beam_of_one_is_greedy(seed):
    model = Table(seed)
    assert (
        beam_search(model, memory(), BOS, EOS, beam=1, max_len=9)[0]
        == greedy(model, memory(), BOS, EOS, max_len=9)[0]
    )


@pytest.mark.parametrize("beam", [1, 2, 3, 5])
def test_a_batch_equals_one_by_one(beam):
    torch.manual_seed(0)
    model = ShowAndTell(40, 8, 16, 16, dropout=0.0).eval()
    pictures = torch.randn(7, 4, 8)
    with torch.no_grad():
        model.head.weight *= 6
    together = beam_search(model, pictures, BOS, EOS, beam=beam, max_len=12)
    for i in range(7):
        alone = beam_search(model, pictures[i : i + 1], BOS, EOS, beam=beam, max_len=12)
        assert together[0][i] == alone[0][0]
        assert together[1][i] == pytest.approx(alone[1][0], abs=1e-4)


def test_a_wider_beam_is_rarely_worse_and_scores_are_true():
    model = Table(3)
    tokens, scores = beam_search(model, memory(), BOS, EOS, beam=3, max_len=6)
    for picture, (body, score) in enumerate(zip(tokens, scores, strict=True)):
        ended = body if len(body) == 6 else [*body, EOS]
        assert score == pytest.approx(model.score(picture, ended), abs=1e-4)


def test_length_penalty_lengthens():
    model = Table(1)

    def mean(penalty):
        return sum(
            map(
                len,
                beam_search(model, memory(), BOS, EOS, beam=50, max_len=8, length_penalty=penalty)[
                    0
                ],
            )
        )

    assert mean(1.0) > mean(0.0)


@pytest.mark.parametrize("decode", [greedy, beam_search])
def test_memory_may_be_anything_with_a_length(decode):
    class OfLists(Table):
        def start(self, memory):
            return super().start(torch.tensor(memory))

    found = decode(OfLists(), memory().tolist(), BOS, EOS, max_len=6)
    assert found == decode(Table(), memory(), BOS, EOS, max_len=6)


def test_greedy_takes_the_likeliest_and_stops():
    model = Table(sharpness=0.0)
    model.logits[:, BOS, 4] = 1.0
    model.logits[:, 4, 5] = 1.0
    model.logits[:, 5, EOS] = 1.0
    tokens, scores = greedy(model, memory(), BOS, EOS, max_len=30)
    assert tokens == [[4, 5]] * 4 and model.steps == 3
    assert scores[0] == pytest.approx(model.score(0, [4, 5, EOS]), abs=1e-5)


def test_what_never_ends_is_cut():
    model = Table(sharpness=0.0)
    model.logits[..., 5] = 9.0
    for decode in (greedy, beam_search, sample):
        tokens, _ = decode(model, memory(), BOS, EOS, max_len=7)
        assert all(len(t) <= 7 for t in tokens)
    assert greedy(model, memory(), BOS, EOS, max_len=7)[0] == [[5] * 7] * 4


def test_pictures_end_on_their_own():
    model = Table(sharpness=0.0)
    model.logits[0, BOS, EOS] = 9.0
    model.logits[1, :, 5] = 9.0
    tokens, _ = greedy(model, memory(2), BOS, EOS, max_len=4)
    assert tokens == [[], [5] * 4]


def test_samples_follow_the_probabilities():
    model = Table(2)
    many = torch.zeros(20000, 1)
    tokens, scores = sample(
        model, many, BOS, EOS, max_len=1, generator=torch.Generator().manual_seed(0)
    )
    first = torch.tensor([t[0] if t else EOS for t in tokens])
    seen = torch.bincount(first, minlength=V) / len(first)
    torch.testing.assert_close(seen, model.logits[0, BOS].softmax(-1), atol=0.015, rtol=0)
    assert scores[0] == pytest.approx(
        model.logits[0, BOS].log_softmax(-1)[first[0]].item(), abs=1e-5
    )


def test_temperature_near_zero_is_greedy():
    model = Table(4)
    cold = sample(model, memory(), BOS, EOS, max_len=6, temperature=1e-4)[0]
    assert cold == greedy(model, memory(), BOS, EOS, max_len=6)[0]


@pytest.mark.parametrize(
    "options", [{"top_k": 1}, {"top_p": 1e-6}, {"top_k": V, "top_p": 1e-6}, {"top_k": 1, "top_p": 1.0}]
)  # fmt: skip
def test_where_one_token_is_left_it_is_the_likeliest(options):
    model = Table(4)
    kept = sample(model, memory(), BOS, EOS, max_len=6, **options)[0]
    assert kept == greedy(model, memory(), BOS, EOS, max_len=6)[0]


def test_filters():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert filter_logits(logits, top_k=2).isfinite().tolist() == [[True, True, False, False]]
    assert filter_logits(logits, top_p=0.8).isfinite().tolist() == [[True, True, False, False]]
    assert filter_logits(logits, top_p=0.81).isfinite().tolist() == [[True, True, True, False]]
    assert filter_logits(logits, top_p=0.01).isfinite().tolist() == [[True, False, False, False]]
    assert filter_logits(logits, top_k=99, top_p=1.0).isfinite().all()
    shuffled = logits[:, [2, 0, 3, 1]]
    assert filter_logits(shuffled, top_p=0.8).isfinite().tolist() == [[False, True, False, True]]


def test_the_same_generator_gives_the_same_sample():
    model = Table(4)

    def draw():
        return sample(model, memory(), BOS, EOS, generator=torch.Generator().manual_seed(7))

    assert draw() == draw()


def test_select_walks_every_nest():
    state = {"a": (torch.arange(3), [torch.arange(3) * 10]), "b": None}
    found = select(state, torch.tensor([2, 0]))
    assert found["a"][0].tolist() == [2, 0] and found["a"][1][0].tolist() == [20, 0]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"temperature": 0}, "temperature"), ({"top_k": 0}, "top_k"), ({"top_p": 1.5}, "top_p")],
)
def test_bad_sampling(options, words):
    with pytest.raises(CourseError, match=words):
        sample(Table(), memory(), BOS, EOS, **options)


def test_bad_beam():
    with pytest.raises(CourseError, match="at least one hypothesis"):
        beam_search(Table(), memory(), BOS, EOS, beam=0)
