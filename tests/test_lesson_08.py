"""Lesson 08's checks accept its solutions and others, and name the mistakes students make; its figure of illnesses."""

import math

import numpy as np
import pytest
import torch
from lesson_solutions import assert_named, verdict
from torch.nn import functional as F

from coursekit.checks import lesson_08 as check
from coursekit.errors import CourseError
from coursekit.plots.illnesses import illnesses, illnesses_alt

# --- other right answers


def attend_by_library(words, memory, query, key, value):
    return F.scaled_dot_product_attention(words @ query, memory @ key, memory @ value)


def attend_by_loop(words, memory, query, key, value):
    out = np.zeros((*words.shape[:2], query.shape[1]))
    for b, t in np.ndindex(*words.shape[:2]):
        scores = [float((words[b, t] @ query) @ (m @ key)) / math.sqrt(query.shape[1]) for m in memory[b]]  # fmt: skip
        shares = np.exp(scores) / np.exp(scores).sum()
        out[b, t] = sum(s * (m @ value).numpy() for s, m in zip(shares, memory[b], strict=True))
    return torch.from_numpy(out)


def rate_by_torch(step, steps, warmup, peak):
    done = torch.tensor((step - warmup) / (steps - warmup))
    falling = torch.cos(done * math.pi).add(1).div(2)
    return peak * torch.where(torch.tensor(step < warmup), (step + 1) / max(1, warmup), falling)


def mirror_by_swap(image, caption):
    marked = f" {caption} ".replace(" left ", " \0 ").replace(" right ", " left ")
    return torch.fliplr(image.permute(1, 2, 0)).permute(2, 0, 1), marked.replace("\0", "right").strip()  # fmt: skip


def mirror_by_index(image, caption):
    columns = torch.arange(image.shape[2] - 1, -1, -1)
    words = ["right" if w == "left" else "left" if w == "right" else w for w in caption.split()]
    return [image[:, :, columns], " ".join(words)]


def part_by_masking(logits, labels, total):
    real = labels != -100
    chances = logits.log_softmax(-1)[real]
    return -chances.gather(1, labels[real][:, None]).sum() / total


def part_by_mean(logits, labels, total):
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="none").sum() / total


RIGHT = {
    "cross_attend": [attend_by_library, attend_by_loop],
    "rate": [rate_by_torch],
    "mirror": [mirror_by_swap, mirror_by_index],
    "part_loss": [part_by_masking, part_by_mean],
}


@pytest.mark.parametrize("name, answer", [(n, a) for n, each in RIGHT.items() for a in each])
def test_other_right_answers_pass(name, answer, capsys):
    passed, said = verdict(capsys, getattr(check, name), answer)
    assert passed, said


# --- mistakes, each with the words by which the student must recognise it


def attended(
    shares=lambda s: s.softmax(-1), scale=lambda q, w, m: q.shape[-1] ** 0.5, keys_of="key"
):
    """Cross-attention with one thing wrong."""

    def answer(words, memory, query, key, value):
        q, k, v = words @ query, memory @ key, memory @ value
        compared, mixed = {"key": (k, v), "same": (k, k), "exchanged": (v, k)}[keys_of]
        return shares(q @ compared.transpose(1, 2) / scale(q, words, memory)) @ mixed

    return answer


def causal(scores):
    mask = torch.ones_like(scores[0]).tril().bool()
    return scores.masked_fill(~mask, -torch.inf).softmax(-1)


def rated(rising=lambda s, w: (s + 1) / w, done=lambda s, n, w: (s - w) / (n - w), fall=lambda d: (1 + math.cos(math.pi * d)) / 2, peak=True):  # fmt: skip
    """A schedule with one thing wrong."""

    def answer(step, steps, warmup, top):
        factor = rising(step, warmup) if step < warmup else fall(done(step, steps, warmup))
        return factor * (top if peak else 1)

    return answer


OTHER = {"left": "right", "right": "left"}


def mirrored(turn=lambda image: image.flip(-1), words=lambda c: " ".join(OTHER.get(w, w) for w in c.split())):  # fmt: skip
    return lambda image, caption: (turn(image), words(caption))


def in_place(image, caption):
    image[:] = image.flip(-1)
    return mirrored(turn=lambda given: given)(image, caption)


def parted(reduction="sum", change=lambda loss, labels, total: loss / total, of=lambda z: z):
    def answer(logits, labels, total):
        loss = F.cross_entropy(of(logits).flatten(0, 1), labels.flatten(), reduction=reduction)
        return change(loss, labels, total)

    return answer


def padding_asked(logits, labels, total):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten().clamp_min(0), reduction="sum") / total  # fmt: skip


def nan_of_nothing(logits, labels, total):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten()) * (labels != -100).sum() / total


def fixed_total(logits, labels, total):
    return parted()(logits, labels, 7)


MISTAKES = {
    "cross_attend": [
        (attended(scale=lambda q, w, m: 1), "are not divided by the root"),
        (attended(scale=lambda q, w, m: q.shape[-1]), "divide by its root"),
        (attended(scale=lambda q, w, m: m.shape[-1] ** 0.5), "the memory's size"),
        (attended(scale=lambda q, w, m: w.shape[-1] ** 0.5), "the words' size"),
        (attended(scale=lambda q, w, m: q.shape[-1] ** -0.5), "multiplied by the root"),
        (attended(lambda s: s.softmax(1)), "goes over the words"),
        (attended(lambda s: s.softmax(0)), "over the pictures of the batch"),
        (attended(lambda s: s), "the scores themselves"),
        (attended(causal), "a causal mask"),
        (attended(keys_of="same"), "one of the keys"),
        (attended(keys_of="exchanged"), "keys and values are exchanged"),
        (lambda w, m, q, k, v: ((w @ q) @ (m @ k).transpose(1, 2)).softmax(-1), "these are the weights"),
        (lambda w, m, q, k, v: attend_by_library(m, w, q, k, v), "words @ query is (B, T, d)"),
        (lambda w, m, q, k, v: ((w @ q) @ (m @ k)).softmax(-1) @ (m @ v), "turned by transpose(1, 2)"),
        (lambda w, m, q, k, v: attend_by_library(w, m, q, k, v)[:, 0], "queries come from the words"),
        (lambda *given: None, "does not return its result"),
    ],
    "rate": [
        (rated(lambda s, w: s / w), "the first step would not move"),
        (rated(lambda s, w: 1), "no warm-up"),
        (rated(peak=False), "the peak is missing"),
        (rated(fall=lambda d: 1 + math.cos(math.pi * d)), "halve it"),
        (rated(done=lambda s, n, w: s / n), "must begin where the warm-up ends"),
        (rated(fall=lambda d: 1 - d), "a straight line"),
        (rated(fall=lambda d: (1 - math.cos(math.pi * d)) / 2), "this rises"),
        (rated(fall=lambda d: (1 + math.cos(2 * math.pi * d)) / 2), "a whole turn"),
        (lambda s, n, w, p: p * (s + 1) / w if s <= w else rated()(s, n, w, p), "a step too long"),
        (rated(fall=lambda d: math.cos(math.pi / 2 * d)), "a quarter of a turn"),
        (rated(fall=lambda d: (1 + math.cos(d)) / 2), "takes radians"),
        (rated(done=lambda s, n, w: (s - w) / (n - w - 1)), "zero comes at `steps`"),
        (rated(fall=lambda d: 1), "does not fall after the warm-up"),
        (lambda s, n, w, p: rated()(s, n, w, p) * (w > 0), "with warmup 0"),
        (lambda s, n, w, p: [rated()(s, n, w, p)], "return one number"),
        (lambda *given: None, "does not return its result"),
    ],
    "mirror": [
        (mirrored(lambda image: image), "the picture is as it was"),
        (mirrored(lambda image: image.flip(1)), "upside down"),
        (mirrored(lambda image: image.flip(1, 2)), "half a circle"),
        (mirrored(lambda image: image.flip(0)), "the colours are reversed"),
        (mirrored(words=lambda c: c), "no word was changed"),
        (mirrored(words=lambda c: c.replace(" right ", " left ")), "left should become right, too"),
        (mirrored(words=lambda c: c.replace(" left ", " right ")), "right should become left"),
        (mirrored(words=lambda c: c.replace("left", "right").replace("right", "left")), "there and back"),
        (mirrored(words=lambda c: c.replace("left", "\0").replace("right", "left").replace("\0", "right")), "only the whole words"),
        (mirrored(words=lambda c: " ".join("right" if "left" in w else "left" if "right" in w else w for w in c.split())), "only the whole words"),
        (in_place, "you changed it"),
        (lambda image, caption: image.flip(-1), "return both"),
        (lambda image, caption: None, "return both"),
    ],
    "part_loss": [
        (parted(change=lambda loss, labels, total: loss), "the sum; divide"),
        (parted("mean", lambda loss, labels, total: loss), "the mean of this part"),
        (parted("mean"), "take the sum"),
        (parted(change=lambda loss, labels, total: loss / labels.numel()), "all places of this part"),
        (parted(change=lambda loss, labels, total: loss / len(labels)), "the number of captions"),
        (parted(change=lambda loss, labels, total: loss / total / len(labels)), "the number of captions as well"),
        (parted(change=lambda loss, labels, total: loss * total), "multiplied by total"),
        (parted(of=lambda logits: logits.softmax(-1)), "softmax twice"),
        (parted(change=lambda loss, labels, total: -loss / total), "the sign"),
        (parted(change=lambda loss, labels, total: loss.item() / total), "teaches nothing"),
        (parted("none", lambda loss, labels, total: loss.mean() / total), "a mean over all places"),
        (lambda logits, labels, total: F.cross_entropy(logits, labels, reduction="sum") / total, "wants (n, V)"),
        (lambda logits, labels, total: F.cross_entropy(logits.flatten(0, 1), labels), "labels.flatten()"),
        (padding_asked, "padding is asked for"),
        (fixed_total, "divide by total as it is given"),
        (nan_of_nothing, "a sum of nothing is 0"),
        (lambda *given: None, "does not return its result"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "name, answer, likely", [(n, a, words) for n, each in MISTAKES.items() for a, words in each]
)
def test_mistakes_are_named(name, answer, likely, capsys):
    assert_named(capsys, getattr(check, name), answer, likely)


def test_recorded_attention_is_the_librarys():
    given = [torch.tensor(each).float() for each in (check.WORDS, check.MEMORY, check.QUERY, check.KEY, check.VALUE)]  # fmt: skip
    torch.testing.assert_close(attend_by_library(*given), torch.tensor(check.MIXED).float(), atol=1e-5, rtol=0)  # fmt: skip


def test_recorded_rates_are_those_of_transformers():
    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=check.PEAK)
    schedule = get_cosine_schedule_with_warmup(optimizer, check.WARMUP, check.STEPS)
    theirs = []
    for _ in range(check.STEPS):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    # transformers begins its warm-up with a step of rate 0
    assert theirs[: check.WARMUP] == pytest.approx(check.FROM_ZERO)
    assert theirs[check.WARMUP :] == pytest.approx(check.RATES[check.WARMUP :], abs=1e-5)


def test_parts_of_unequal_length_add_up_to_the_whole_batch():
    logits, labels = torch.randn(4, 3, 5), torch.tensor([[1, 2, 3], [4, 0, 1], [2, -100, -100], [3, -100, -100]])  # fmt: skip
    total = int((labels != -100).sum())
    parts = [part_by_masking(logits[i : i + 2], labels[i : i + 2], total) for i in (0, 2)]
    torch.testing.assert_close(sum(parts), F.cross_entropy(logits.flatten(0, 1), labels.flatten()))


# --- the figure


def case(ill=((0, 1, 2), (4.0, 3.0, 3.5)), cured=((0, 1, 2), (4.0, 2.0, 1.0)), **more):
    return dict(ill=ill, cured=cured, y="loss (nats)", **more)


def test_each_illness_has_a_panel_with_both_curves():
    cases = {"by heart": case(), "the rate": case(log=True), "never stops": case(x="seconds"), "parts": case()}  # fmt: skip
    figure = illnesses(cases, "Beside its cure")
    used = [axes for axes in figure.axes if axes.lines]
    assert [axes.get_title(loc="left") for axes in used] == list(cases)
    assert all(len(axes.lines) == 2 for axes in used)
    assert used[1].get_yscale() == "log" and used[2].get_xlabel() == "seconds"
    assert used[0].lines[0].get_linestyle() == "--"  # not by colour alone


def test_the_text_tells_where_curves_begin_and_end():
    told = illnesses_alt({"by heart": case()})
    assert "by heart, loss (nats): ill from 4.00 to 3.50, cured from 4.00 to 1.00" in told


@pytest.mark.parametrize("wrong", [{}, {"a": dict(y="", ill=((1,), (2.0,)))}, {"a": case(ill=((1, 2), (3.0,)))}, {"a": case(cured=((), ()))}])  # fmt: skip
def test_cases_without_a_curve_are_refused(wrong):
    for make in (lambda: illnesses(wrong, "title"), lambda: illnesses_alt(wrong)):
        with pytest.raises(CourseError, match="at least one case|needs a curve"):
            make()
