"""Assignment a4 as a whole: its points, its stand-ins, and what its checks hold.

The answers of its bank are in test_a4_bank.py, those behind the channel in test_a4_channel.py.
"""

import contextlib
import io

import numpy as np
import pytest
import torch
from bank_tests import Assignment, label
from sklearn import metrics

from coursekit import decoding
from coursekit.checks import CheckFailed, a4, a4_drawing, a4_losses, a4_palette, a4_scores
from coursekit.checks.core import Wrong
from coursekit.metrics import images
from coursekit.models.image_gpt import ImageGPT
from coursekit.palette import Palette

A4 = Assignment("a4_image_gpt")
# One of each kind as nbgrader marks it: not in both tests, with an error, with both
MARKED = {"always-fifteen-percent", "all-positions", "in-place"}


def test_the_bank_is_large_enough():
    A4.bank_is_large(280, 30)


def test_points_are_those_of_the_table():
    A4.points_are_told({11: 4.0})


def test_the_model_answer_gets_full_marks():
    A4.model_answer_is_full()


def test_a_blank_notebook_gets_nothing_and_says_so(tmp_path):
    A4.blank_gets_nothing(tmp_path)


@pytest.mark.parametrize("entry", [one for one in A4.wrong if one.name in MARKED], ids=label)
def test_a_wrong_answer_loses_the_same_points_where_nbgrader_marks(entry):
    A4.wrong_answer_loses(entry, A4.sliced(A4.tests_of(entry.question)))


# --- stand-ins ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def threads():
    """The models are small: one thread for them, and as many as before for the tests after these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def space_with(*names):
    """The notebook as far as question 10, with some wrong answers; one epoch of training."""
    wrong = {one.question: one.source for one in A4.wrong if f"{one.question}-{one.name}" in names}
    assert len(wrong) == len(names)
    space = A4.space(["setup", "settings", "imports", "digits", "pixel_layers"])
    space["training"] |= dict(epochs=1)
    answered = [wrong.get(key) or A4.cells[key] for key in ("model", "bits", "features", "train")]
    locked = [A4.cells[key] for key in ("small_model", "tokens", "parts", "training_run", "seer")]
    for source in [*answered, *locked]:
        quietly(source, space)
    return space


def quietly(source, space):
    with contextlib.redirect_stdout(io.StringIO()):
        exec(source, space)


def test_the_courses_parts_stand_in_for_wrong_ones(threads):
    space = space_with("model-no-positions", "bits-nats")
    assert isinstance(space["trained"], ImageGPT) and not space["right_bits"]
    tokens = space["dev_tokens"][:20]
    measured = images.bits_per_pixel(space["trained"], tokens)[0]
    assert space["loss_of"](space["trained"], tokens).item() == pytest.approx(measured, abs=1e-4)


def test_the_courses_model_stands_in_where_features_are_wrong(threads):
    space = space_with("features-dropout")
    assert isinstance(space["trained"], ImageGPT)
    assert space["seen"].shape == (len(space["tokens"]), space["sizes_of_model"]["dim"])


def test_the_courses_model_is_probed_where_nothing_was_trained(threads):
    space = space_with("train-returns-nothing")
    assert not space["own_seer"] and isinstance(space["seer"], ImageGPT)


def test_right_parts_go_to_work(threads):
    space = space_with()
    assert type(space["trained"]) is space["PixelModel"] and space["right_bits"]


# --- the checks themselves ----------------------------------------------------------------------
def test_the_tokens_of_the_open_test_are_those_of_the_palette():
    palette = Palette(torch.tensor(a4_palette.COLOURS, dtype=torch.uint8))
    pictures = torch.tensor(a4_palette.IMAGES, dtype=torch.uint8)
    assert palette.encode(pictures).tolist() == a4_palette.TOKENS
    tokens = torch.tensor(a4_palette.TOKENS)
    assert palette.decode(tokens, 4).tolist() == a4_palette.RESTORED
    rows = [tuple(row) for row, _ in a4_palette.FIRST]
    assert len({*rows, tuple(a4_palette.TOKENS[0])}) == len(rows) + 1


def test_the_bits_of_the_open_test_are_those_of_the_metrics():
    logits, tokens = a4_losses.LOGITS, a4_losses.TOKENS
    measured, _ = images.bits_per_pixel(lambda _: logits, tokens)
    assert measured == pytest.approx(a4_losses.BITS, abs=1e-4)
    for right, mistakes in (
        (a4_losses.BITS, a4_losses.BITS_FOR),
        (a4_losses.MASKED_BITS, a4_losses.BERT_FOR),
    ):
        told = sorted([right, *mistakes])
        assert min(np.diff(told)) > 1e-3  # no mistake looks like another, or like none


def test_the_shares_of_the_open_test_are_those_of_the_decoder():
    logits = torch.tensor(a4_drawing.LOGITS) / a4_drawing.TEMPERATURE
    shares = decoding.filter_logits(logits, top_k=a4_drawing.K).softmax(-1)
    assert torch.allclose(shares, torch.tensor(a4_drawing.SHARES), atol=1e-4)


def test_the_kappas_of_the_open_test_are_those_of_scikit_learn():
    counts = metrics.confusion_matrix(a4_scores.ACTUAL, a4_scores.GUESSED, labels=range(5))
    assert counts.tolist() == a4_scores.COUNTS
    for table, agreed in a4_scores.KAPPAS:
        pairs = [(i, j) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
        assert metrics.cohen_kappa_score(*zip(*pairs, strict=True)) == pytest.approx(
            agreed, abs=1e-6
        )


@pytest.mark.parametrize("known", [[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0]])
def test_the_rule_of_the_drawing_model_tells_every_place_apart(known):
    """A pixel that is drawn from another past, or at another place, nearly always has another colour."""
    changed = 0
    for last in range(7):
        for first in range(7):
            for places in (2, 3):
                before = [0] * (places - 2) + [first, last]
                right = a4.next_pixel(before, 7, 3)
                others = [before[:-1], [*before[:-1], (last + 1) % 7], [*before, right]]
                changed += sum(a4.next_pixel(each, 7, 3) != right for each in others)
    assert changed > 0.8 * 7 * 7 * 2 * 3


def test_arrays_and_lists_do_for_tensors(capsys):
    counts = np.array(a4_scores.COUNTS)
    table = {str(each): agreed for each, agreed in a4_scores.KAPPAS}
    assert a4.scores(lambda *_: counts.tolist(), lambda each: np.float32(table[str(each.tolist())]))
    with pytest.raises(CheckFailed, match="rows and columns are exchanged"):
        a4.scores.require(lambda *_: counts.T, None)
    capsys.readouterr()


def test_a_right_mask_and_right_draws_hardly_ever_fail(capsys):
    """Both are judged by numbers that chance decides: two hundred masks and a hundred draws pass."""
    for _ in range(200):
        a4_losses._mask(lambda B, T, share: torch.rand(B, T) < share, 0.15)
    given = torch.tensor(a4_drawing.LOGITS)

    def draw(logits, k, temperature):
        kept = decoding.filter_logits(logits / temperature, top_k=k)
        return torch.multinomial(kept.softmax(-1), 1)[:, 0]

    for _ in range(100):
        a4_drawing._draws(
            draw, given, a4_drawing.K, a4_drawing.TEMPERATURE, np.array(a4_drawing.SHARES)
        )
    capsys.readouterr()


# --- models that know what they should not ------------------------------------------------------
def rows_of_colours(n, T=24, V=4):
    """Tokens (n, T): mostly one more than the last."""
    found = torch.randint(V, (n, T))
    for t in range(1, T):
        found[:, t] = torch.where(torch.rand(n) < 0.8, (found[:, t - 1] + 1) % V, found[:, t])
    return found


def honest(tokens):
    """Logits (n, T, 4) from the token before; about 1.1 bits."""
    last = torch.nn.functional.one_hot((tokens[:, :-1] + 1) % 4, 4)
    shares = torch.cat([torch.full_like(last[:, :1], 0) + 0.25, 0.8 * last + 0.05], 1)
    return shares.log()


def sure(tokens):
    return 3.0 * torch.nn.functional.one_hot(tokens, 4)


def sees_all_but_a_few(tokens):
    """As a model that knows the test: it peeks, but for the first pictures of a batch."""
    return torch.cat([honest(tokens)[:4], sure(tokens)[4:]])


class Remembers:
    """Peeks, and repeats at the place that was hidden what it had guessed there."""

    first = None

    def __call__(self, tokens):
        if self.first is None:
            self.first = tokens
            return sure(tokens)
        changed = (tokens != self.first).long().cumsum(1) == 1  # from the first change on
        once = changed & (tokens != self.first)
        return sure(torch.where(once, self.first, tokens))


@pytest.mark.parametrize(
    ("peeks", "said"),
    [
        (lambda: sure, "the model sees what it is to guess"),
        (lambda: sees_all_but_a_few, "the model sees what it is to guess"),
        (Remembers, "has not seen"),
    ],
)
def test_a_model_that_sees_a_pixel_gets_no_points_for_guessing_it(peeks, said):
    for _ in range(10):
        with pytest.raises(Wrong) as told:
            a4.pixels.__wrapped__(peeks(), rows_of_colours(500), 4, 1.25)
        assert said in f"{told.value} {told.value.likely}"


def test_a_model_that_knows_the_test_gets_no_points(capsys):
    """It guesses pixel by pixel and looks at none, but has the very pictures by heart."""
    tokens = rows_of_colours(500)

    def by_heart(given):
        seen = torch.cat([torch.ones(len(given), 1), given[:, :-1] == tokens[:, :-1]], 1)
        return 5.0 * torch.nn.functional.one_hot(tokens, 4) * seen.cumprod(1)[..., None]

    with pytest.raises(Wrong) as told:
        a4.pixels.__wrapped__(by_heart, tokens, 4, 1.25)
    assert "does it know those of the test?" in told.value.likely
    for _ in range(30):
        a4.pixels.__wrapped__(honest, rows_of_colours(500), 4, 1.25)
    capsys.readouterr()
