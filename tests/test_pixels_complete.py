"""Completing: given pixels stay, a given upper half is continued, and candidates know what follows."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from small_drawers import TINY, digits, trained

from coursekit import pixels
from coursekit.errors import CourseError
from coursekit.models.image_gpt import draw

CHECKERS = torch.arange(49).view(7, 7) % 2 == 0


@pytest.fixture(scope="module")
def drawer():
    return trained()


def filled(drawer, known, seed=0, count=3, **options):
    tokens = drawer.tokens(digits("test", count).images)
    generator = torch.Generator().manual_seed(seed)
    return tokens, pixels.fill(drawer, tokens, known, generator=generator, **options)


def test_halves():
    upper, lower, left, right = (pixels.known_pixels(half, 14) for half in pixels.HALVES)
    assert upper[:7].all() and not upper[7:].any() and torch.equal(lower, ~upper)
    assert left[:, :7].all() and not left[:, 7:].any() and torch.equal(right, ~left)
    assert pixels.known_pixels("upper", 7).sum() == pixels.known_pixels("lower", 7).sum() == 21


@pytest.mark.parametrize("keep", [*pixels.HALVES, CHECKERS], ids=lambda keep: str(keep)[:5])
@pytest.mark.parametrize("candidates", [1, 5])
def test_given_pixels_are_never_touched(drawer, keep, candidates):
    known = pixels.known_pixels(keep, 7)
    tokens, found = filled(drawer, known, candidates=candidates)
    where = known.flatten()
    assert torch.equal(found[:, where], tokens[:, where])
    assert not torch.equal(found[:, ~where], tokens[:, ~where])
    assert found.shape == tokens.shape and 0 <= found.min() <= found.max() < 3
    again = filled(drawer, known, candidates=candidates)[1]
    other = filled(drawer, known, seed=1, candidates=candidates)[1]
    assert torch.equal(found, again) and not torch.equal(found, other)


@pytest.mark.parametrize("options", [{}, dict(temperature=0), dict(top_k=2), dict(top_p=0.7)], ids=str)  # fmt: skip
def test_an_upper_half_is_continued_as_the_model_does(drawer, options):
    tokens, found = filled(drawer, pixels.known_pixels("upper", 7), **options)
    wanted = draw(drawer.model, tokens[:, :21], generator=torch.Generator().manual_seed(0), **options)  # fmt: skip
    assert torch.equal(found, wanted)


def test_the_likeliest_is_always_the_same(drawer):
    known = pixels.known_pixels("left", 7)
    cold = filled(drawer, known, temperature=0)[1]
    assert torch.equal(cold, filled(drawer, known, seed=5, top_k=1)[1])


def test_nothing_given_is_drawing_freely(drawer):
    found = filled(drawer, torch.zeros(7, 7, dtype=torch.bool))[1]
    assert torch.equal(found, draw(drawer.model, 3, generator=torch.Generator().manual_seed(0)))


class Repeats:
    """A step model whose first pixel is one of 4 colours by chance, and all others are probably the same again."""

    start_id = 4

    def eval(self):
        return self

    def start(self, given):
        return (given[:, 0] if given.shape[1] else torch.full((len(given),), self.start_id),)

    def step(self, tokens, state):
        first = torch.where(state[0] == self.start_id, tokens, state[0])
        probable = torch.nn.functional.one_hot(first, 5)[:, :4] * 0.9 + 0.025
        return probable.log(), (first,)


BLIND = SimpleNamespace(
    model=Repeats(), device=torch.device("cpu"), config=SimpleNamespace(objective="ar")
)


def ended(known, candidates):
    """2,000 pictures of 3 x 3 pixels of colour 2, drawn by Repeats where they are not known."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.full((2000, 9), 2)
    return pixels.fill(BLIND, tokens, known, generator=generator, candidates=candidates)


def test_candidates_know_what_follows():
    """All but the first pixel is given: one drawn blindly is right in 1 of 4; by Bayes' rule it is so nearly always."""
    known = torch.ones(3, 3, dtype=torch.bool)
    known[0, 0] = False
    alone, few, many = ((ended(known, K)[:, 0] == 2).float().mean().item() for K in (1, 3, 60))
    assert alone == pytest.approx(0.25, abs=0.04) and many > 0.99
    assert alone + 0.1 < few < many


def test_candidates_that_are_drawn_anew_bring_what_they_remember():
    """Only the second pixel is given: the first is probably equal to it, and so are those that follow the first."""
    known = torch.zeros(3, 3, dtype=torch.bool)
    known[0, 1] = True
    found = ended(known, 60)
    assert (found[:, 0] == 2).float().mean().item() == pytest.approx(0.925, abs=0.03)
    same = (found[:, 2:] == found[:, :1]).float().mean().item()
    assert same == pytest.approx(0.925, abs=0.03)


def test_a_completion(drawer, tmp_path):
    image = digits("test", 1).images[0]
    bars = []
    found = pixels.complete(drawer, image, "lower", samples=4, progress=lambda x: bars.append(x) or x)  # fmt: skip
    assert found.images.shape == (4, 7, 7) and found.tokens.shape == (4, 49) and len(bars) == 1
    assert torch.equal(found.images[:, found.known], found.whole[found.known].expand(4, -1))
    pixels.save_sheet([found, found], tmp_path / "new" / "sheet.png")
    with Image.open(tmp_path / "new" / "sheet.png") as sheet:
        assert sheet.width > sheet.height


def test_what_makes_no_sense(drawer):
    image = digits("test", 1).images[0]
    wrong = {
        "no half 'middle'": dict(keep="middle"),
        "no image": dict(keep="none.png"),
        "A mask is bool": dict(keep=torch.ones(7, 7)),
        "bool .7, 7.": dict(keep=torch.ones(14, 14, dtype=torch.bool)),
        "nothing is left to draw": dict(keep=torch.ones(7, 7, dtype=torch.bool)),
        "samples": dict(samples=0),
        "temperature": dict(temperature=-1),
        "temperature is": dict(temperature=float("nan")),
        "top_k": dict(top_k=0),
        "top_p": dict(top_p=1.5),
        "candidates": dict(candidates=0),
    }
    for words, options in wrong.items():
        with pytest.raises(CourseError, match=words):
            pixels.complete(drawer, image, **options)
    with pytest.raises(CourseError, match="BERT objective"):
        pixels.complete(trained(replace(TINY, objective="bert")), image)
