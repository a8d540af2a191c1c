"""Completing: some pixels of a picture are given, and an Image GPT draws the others."""

import sys
from dataclasses import dataclass
from functools import partial

import torch
from tqdm import tqdm

from coursekit.decoding import filter_logits, select
from coursekit.errors import CourseError, writing
from coursekit.pixels.photos import read_mask
from coursekit.plots import digits as drawn
from coursekit.plots.charts import PIXELS_PER_INCH

HALVES = ("upper", "lower", "left", "right")


@dataclass(frozen=True, eq=False)
class Completion:
    """One picture completed several times.

    whole: uint8 (side, side), the picture as the drawer sees it; known: bool (side, side), where it was given; images:
    uint8 (samples, side, side), the completions, and tokens (samples, side²) the same.
    """

    whole: torch.Tensor
    known: torch.Tensor
    images: torch.Tensor
    tokens: torch.Tensor


def known_pixels(keep, side):
    """Which pixels are given, bool (side, side): a half of HALVES, a mask's file, or such a tensor itself.

    With an odd side the given half is the smaller one. Raises CourseError for another half, or a mask of another size.
    """
    if isinstance(keep, torch.Tensor):
        if keep.shape != (side, side) or keep.dtype != torch.bool:
            raise CourseError(
                f"A mask is bool ({side}, {side}), not {keep.dtype} {tuple(keep.shape)}: reduce it as the digits are."
            )
        return keep
    if str(keep) not in HALVES:
        if "." not in str(keep):
            raise CourseError(
                f"There is no half '{keep}': choose {', '.join(HALVES)}, or give a mask's file."
            )
        return read_mask(keep, side)
    first = torch.arange(side) < side // 2
    half = first if keep in ("upper", "left") else first.flip(0)
    square = half[:, None].expand(side, side)
    return square if keep in ("upper", "lower") else square.T


def complete(
    drawer,
    image,
    keep="upper",
    samples=8,
    temperature=1.0,
    top_k=None,
    top_p=None,
    seed=0,
    candidates=1,
    progress=None,
):
    """Several completions of one picture, uint8 (H, W) of at least `side` pixels: a Completion.

    keep: what `known_pixels` takes. The rest as in `fill`, with a `seed` in place of a generator.
    Raises CourseError as they do, for a model of the BERT objective, and if there is nothing to draw.
    """
    if samples < 1:
        raise CourseError(f"samples is 1 or more, not {samples}.")
    known = known_pixels(keep, drawer.model.side)
    if known.all():
        raise CourseError("All pixels are given, so that nothing is left to draw: keep fewer.")
    tokens = drawer.tokens(image[None])  # (1, T)
    generator = torch.Generator(drawer.device).manual_seed(seed)
    found = fill(
        drawer, tokens.expand(samples, -1), known, temperature, top_k, top_p, generator, candidates,
        progress,
    )  # fmt: skip
    return Completion(drawer.images(tokens)[0], known, drawer.images(found), found)


def save_sheet(completions, path):
    """Writes several Completions as one picture: a row each, what was given first and the whole picture last."""
    figure = drawn.completions(
        torch.stack([each.whole for each in completions]),
        torch.stack([each.known for each in completions]),
        torch.stack([each.images for each in completions]),
        "What was given, and how it can go on",
        ["given", *range(1, len(completions[0].images) + 1), "whole"],
    )
    with writing(path) as part:
        figure.savefig(part, format="png", dpi=2 * PIXELS_PER_INCH, facecolor="white")


def progress(what):
    """A progress bar for `complete` and `fill`, on stdout."""
    return partial(tqdm, desc=what, file=sys.stdout, leave=False, mininterval=2)


@torch.no_grad()
def fill(
    drawer,
    tokens,
    known,
    temperature=1.0,
    top_k=None,
    top_p=None,
    generator=None,
    candidates=1,
    progress=None,
):
    """tokens (B, T) → (B, T), on the CPU, with the pixels drawn that are not `known`, bool (side, side).

    Given pixels are never touched. The model reads row by row, so at each pixel it has seen the given ones before it and
    none of those that follow: a given upper half it simply continues, but under a given lower half it draws blindly and
    is then told what follows. With several `candidates` that is put right in part: so many are drawn of each picture,
    weighed by how probable the given pixels are after what was drawn, and whenever few weigh much they are drawn anew in
    proportion (a particle filter: Gordon, Salmond and Smith 1993). This takes `candidates` times as long.
    temperature 0 takes the likeliest colour; top_k and top_p as in decoding.sample; progress wraps the places, as tqdm does.
    Raises CourseError for settings that make no sense, or a model of the BERT objective.
    """
    if drawer.config.objective != "ar":
        raise CourseError(
            "This model has the BERT objective, which guesses single pixels and does not draw: give one trained with ar."
        )
    _check(temperature, top_k, top_p, candidates)
    drawing = _Drawing(drawer.model, tokens.to(drawer.device), known.flatten(), candidates, generator)  # fmt: skip
    for place in (progress or iter)(drawing.places):
        logits = drawing.next()  # (rows, V)
        if known.flatten()[place]:
            drawing.give(place, logits)
        else:
            drawing.put(place, _pick(logits, temperature, top_k, top_p, generator))
    return drawing.chosen().cpu()


class _Drawing:
    """B pictures being drawn, `candidates` rows of each, with the rows' weights."""

    def __init__(self, model, tokens, known, candidates, generator):
        self.model, self.K, self.generator = model.eval(), candidates, generator
        unknown = (~known).nonzero()[:, 0].tolist() or [len(known)]
        # What follows the last drawn pixel is of no use but to weigh
        last = len(known) if candidates > 1 else unknown[-1] + 1
        self.places = range(unknown[0], last)
        self.tokens = tokens.repeat_interleave(candidates, 0)  # (rows, T)
        self.state = model.start(self.tokens[:, : unknown[0]])
        self.last = torch.full_like(self.tokens[:, 0], model.start_id)
        self.weights = torch.zeros(len(tokens), candidates, device=tokens.device)  # log, (B, K)

    def next(self):
        """Logits (rows, V) of the next pixel."""
        logits, self.state = self.model.step(self.last, self.state)
        return logits.float()

    def put(self, place, pixels):
        self.tokens[:, place] = self.last = pixels

    def give(self, place, logits):
        """The pixel is given: rows that expected it weigh more from now on."""
        self.last = self.tokens[:, place]
        if self.K > 1:
            expected = logits.log_softmax(-1).gather(1, self.last[:, None])
            self.weights += expected.view_as(self.weights)
            self.draw_anew()

    def draw_anew(self):
        """Where less than half of a picture's rows count, new ones are drawn in proportion to their weights."""
        shares = self.weights.softmax(1)  # (B, K)
        few = 1 / shares.square().sum(1) < self.K / 2
        if not few.any():
            return
        kept = torch.arange(self.K, device=shares.device).expand_as(shares).clone()
        kept[few] = torch.multinomial(shares[few], self.K, True, generator=self.generator)
        self.weights[few] = 0.0
        rows = (kept + self.K * torch.arange(len(kept), device=kept.device)[:, None]).flatten()
        self.tokens, self.last = self.tokens[rows], self.last[rows]
        self.state = select(self.state, rows)

    def chosen(self):
        """One row of each picture, drawn by weight: (B, T)."""
        row = torch.multinomial(self.weights.softmax(1), 1, generator=self.generator)[:, 0]
        return self.tokens.view(len(row), self.K, -1)[torch.arange(len(row)), row]


def _check(temperature, top_k, top_p, candidates):
    if not temperature >= 0:
        raise CourseError(f"A temperature is 0 or more, not {temperature}.")
    if top_k is not None and top_k < 1:
        raise CourseError(f"top_k keeps at least one colour, not {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise CourseError(f"top_p is a probability above 0 and up to 1, not {top_p}.")
    if candidates < 1:
        raise CourseError(f"candidates is 1 or more, not {candidates}.")


def _pick(logits, temperature, top_k, top_p, generator):
    """logits (B, V) → colours (B,)."""
    if temperature == 0:
        return logits.argmax(-1)
    kept = filter_logits(logits / temperature, top_k, top_p)
    return torch.multinomial(kept.softmax(-1), 1, generator=generator)[:, 0]
