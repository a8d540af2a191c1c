"""The cache: a step copies nothing, and no state ever changes under the hands of those who hold it."""

import copy

import pytest
import torch

from coursekit import decoding
from coursekit.models import cache
from coursekit.models.cache import OfPicture, Seen, extended, with_room
from coursekit.models.gpt import GPT

B, HEADS, SIZE = 3, 2, 5


def some(T, seed=0, dtype=torch.float32, rows=B):
    """Keys and values of T places."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(rows, HEADS, T, SIZE, generator=generator).to(dtype) for _ in range(2))


def joined(*parts):
    return [torch.cat(each, 2) for each in zip(*parts, strict=True)]


def same(past, wanted):
    return all(torch.equal(a, b) for a, b in zip(past, wanted, strict=True))


@pytest.fixture
def seen():
    """A past of 4 + 1 places in a store."""
    with torch.no_grad():
        return extended(some(4), *some(1, 1))


def place(past):
    return past[0].data_ptr(), past[1].data_ptr()


def test_nothing_is_kept_of_the_first_places():
    keys, values = some(6)
    assert extended(None, keys, values) == (keys, values)
    assert extended(some(0), keys, values) == (keys, values)


def test_many_steps_are_one_long_cat():
    parts = [some(4), *(some(1 + t % 2, t) for t in range(1, 40))]
    past = parts[0]
    with torch.no_grad():
        for part in parts[1:]:
            past = extended(past, *part)
    assert isinstance(past, Seen) and same(past, joined(*parts))


@torch.no_grad()
def test_a_step_copies_nothing_and_room_grows_by_half(seen):
    moved, past = [], seen
    for t in range(6, 200):
        before, past = place(past), extended(past, *some(1, t))
        if place(past) != before:
            moved.append(t)
    # 5 + 16 places fit; the 22nd takes room for 16 more, and later ones for half as much again
    assert moved == [22, 39, 59, 89, 134]


@torch.no_grad()
def test_with_room_for_all_nothing_is_ever_copied():
    for S in (0, 4):
        past = with_room(some(S), 40)
        where, parts = place(past), [some(S)]
        for t in range(S, 40):
            parts.append(some(1, t))
            past = extended(past, *parts[-1])
            where = where if t else place(past)  # what is empty lies nowhere
            assert place(past) == where
        assert same(past, joined(*parts))
        longer = extended(past, *some(2, 50))
        assert place(longer) != where and same(longer, joined(*parts, some(2, 50)))


@torch.no_grad()
def test_a_state_can_be_continued_twice(seen):
    before = [part.clone() for part in seen]
    one = extended(seen, *some(1, 2))
    two = extended(seen, *some(1, 3))
    three = extended(seen, *some(2, 4))
    assert same(one, joined(before, some(1, 2))) and same(two, joined(before, some(1, 3)))
    assert same(three, joined(before, some(2, 4))) and same(seen, before)
    # and each of them further, in turns
    four, five = extended(one, *some(1, 5)), extended(two, *some(1, 6))
    assert same(four, joined(before, some(1, 2), some(1, 5)))
    assert same(five, joined(before, some(1, 3), some(1, 6)))


@torch.no_grad()
@pytest.mark.parametrize("rows", [[2, 0, 0, 1, 1], [0], [1, 2], []], ids=str)
def test_rows_in_another_order(seen, rows):
    index = torch.tensor(rows, dtype=torch.long)
    state = {"past": ((seen,), None), "more": [seen[0]]}
    found = decoding.select(state, index)["past"][0][0]
    assert isinstance(found, Seen) and same(found, [part[index] for part in seen])
    before, new = place(found), some(1, 7, rows=len(rows))
    longer = extended(found, *new)
    assert same(longer, joined([part[index] for part in seen], new))
    assert not rows or place(longer) == before  # the next step copies nothing
    assert same(seen, joined(some(4), some(1, 1)))


def test_rows_of_a_pair_without_a_store(seen):
    index = torch.tensor([1, 1])
    assert same(Seen(some(4)).rows(index), [part[index] for part in some(4)])


def test_gradients_go_through_the_past(seen):
    past = [part.clone().requires_grad_() for part in some(4)]
    new = [part.requires_grad_() for part in some(1, 1)]
    found = extended(past, *new)
    (found[0] * found[1]).sum().backward()
    assert torch.equal(past[0].grad, past[1].detach()) and torch.equal(new[1].grad, new[0])
    # What was kept without gradients and is gone on from with them is not written into again
    held = extended(seen, *(part.requires_grad_() for part in some(1, 2)))
    with torch.no_grad():
        extended(seen, *some(1, 3))
    assert same(held, joined(some(4), some(1, 1), some(1, 2)))


@torch.no_grad()
@pytest.mark.parametrize("old, new", [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_the_wider_type_of_numbers_wins_as_in_cat(old, new):
    old, new = getattr(torch, old), getattr(torch, new)
    past = extended(some(4, dtype=old), *some(1, 1, dtype=old))
    found = extended(past, *some(1, 2, dtype=new))
    wanted = joined(some(4, dtype=old), some(1, 1, dtype=old), some(1, 2, dtype=new))
    assert found[0].dtype == torch.float32 and same(found, wanted)


def test_begun_in_inference_mode_and_gone_on_with_outside():
    with torch.inference_mode():
        past = extended(some(4), *some(1, 1))
    with torch.no_grad():
        found = extended(past, *some(1, 2))
    assert same(found, joined(some(4), some(1, 1), some(1, 2)))
    with torch.inference_mode():
        assert same(extended(found, *some(1, 3)), joined(found, some(1, 3)))


@torch.no_grad()
def test_a_copy_of_a_state_goes_its_own_way(seen):
    twin = copy.deepcopy(seen)
    one, two = extended(seen, *some(1, 2)), extended(twin, *some(1, 3))
    assert same(one, joined(some(4), some(1, 1), some(1, 2)))
    assert same(two, joined(some(4), some(1, 1), some(1, 3)))


class Plain(GPT):
    """A GPT whose state is torn out of its store before every step: what the cache must equal."""

    def step(self, tokens, state):
        return super().step(tokens, tuple(tuple(part.clone() for part in pair) for pair in state))


@pytest.mark.parametrize("beam", [1, 2, 4])
def test_a_search_finds_the_same_without_it(beam):
    torch.manual_seed(0)
    model, plain = (GPT(11, context=90, dim=8, heads=2, layers=2).eval() for _ in range(2))
    for weights in model.parameters():
        weights.data.add_(0.3 * torch.randn_like(weights))
    plain.load_state_dict(model.state_dict())
    plain.__class__ = Plain
    prefix = torch.randn(3, 4, 8)
    found, wanted = (decoding.beam_search(each, prefix, 1, -1, beam, 80) for each in (model, plain))
    assert found[0] == wanted[0] and torch.allclose(*map(torch.tensor, (found[1], wanted[1])))
    assert set(map(len, found[0])) == {80}  # longer than the first room


@torch.no_grad()
def test_greedy_decoding_joins_as_rarely_as_it_can(monkeypatch):
    model, made = GPT(11, context=90, dim=8, heads=2, layers=2).eval(), []
    store = cache._Store
    monkeypatch.setattr(cache, "_Store", lambda *a: made.append(a) or store(*a))
    decoding.greedy(model, torch.randn(3, 4, 8), 1, -1, 60)
    assert [each[2] for each in made] == [21, 21, 38, 38, 58, 58, 88, 88]  # of two layers


def test_what_tells_of_a_picture_is_copied_only_when_its_rows_change_pictures():
    whole = OfPicture(some(4))
    beams = decoding.select(whole, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert same(beams, decoding.select(tuple(whole), torch.tensor([0, 0, 1, 1, 2, 2])))
    assert decoding.select(beams, torch.tensor([1, 0, 3, 3, 4, 5])) is beams
    left = decoding.select(beams, torch.tensor([1, 1, 5, 4]))  # picture 1 is done
    assert same(left, decoding.select(tuple(whole), torch.tensor([0, 0, 2, 2])))
    crossed = decoding.select(beams, torch.tensor([2, 0, 0, 2, 4, 4]))
    assert same(crossed, decoding.select(tuple(whole), torch.tensor([1, 0, 0, 1, 2, 2])))
    assert same(decoding.select(left, torch.tensor([3, 0])), decoding.select(tuple(whole), torch.tensor([2, 0])))  # fmt: skip
