"""Lesson 07's checks: they accept its solutions and others, and name the mistakes students make."""

import numpy as np
import pytest
import torch
from lesson_solutions import assert_named, verdict

from coursekit.checks import lesson_07 as check
from coursekit.models import prefix as package

# --- other right answers


def join_into_place(picture, words, ends, types):
    b, p, e = picture.shape
    out = torch.empty(b, p + 2 + words.shape[1], e, dtype=torch.float64)
    out[:, 0], out[:, p + 1] = ends
    out[:, 1 : p + 1], out[:, p + 2 :] = picture, words
    out[:, : p + 2] += types[0]
    out[:, p + 2 :] += types[1]
    return out


def join_by_type_ids(picture, words, ends, types):
    begin, end = (row.repeat(len(picture), 1, 1) for row in ends)
    ids = torch.tensor([0] * (picture.shape[1] + 2) + [1] * words.shape[1])
    return torch.hstack([begin, picture, end, words]) + torch.nn.functional.embedding(ids, types)


def labels_by_loop(tokens, prefix, eos_id):
    rows = []
    for caption in tokens.tolist():
        end = caption.index(eos_id, 1)
        rest = len(caption) - 1 - end
        rows.append([-100] * prefix + caption[1 : end + 1] + [-100] * rest)
    return rows


def labels_of_the_package(tokens, prefix, eos_id):
    own = package.caption_labels(tokens, eos_id)
    return torch.cat([torch.full((len(own), prefix), package.IGNORED), own], 1)


def several_by_einsum(memory, weight, bias, dim):
    b, n, d = memory.shape
    cut = torch.einsum("bnd,ked->bnke", memory, weight.view(-1, dim, d))
    return (cut + bias.view(-1, dim)).flatten(1, 2)


def several_by_loop(memory, weight, bias, dim):
    out = [
        [weight[j : j + dim] @ place + bias[j : j + dim] for place in picture
         for j in range(0, len(bias), dim)] for picture in memory
    ]  # fmt: skip
    return torch.stack([torch.stack(rows) for rows in out])


def freeze_one_by_one(model):
    for each in model.language.parameters():
        each.requires_grad = False
    return sum(each.nelement() for each in filter(lambda p: p.requires_grad, model.parameters()))


def freeze_by_name(model):
    learn = 0
    for name, each in model.named_parameters():
        each.requires_grad_(not name.startswith("language"))
        learn += each.numel() * each.requires_grad
    return torch.tensor(learn)


RIGHT = {
    "join": [join_into_place, join_by_type_ids],
    "labels": [labels_by_loop, labels_of_the_package],
    "several": [several_by_einsum, several_by_loop],
    "freeze": [freeze_one_by_one, freeze_by_name],
}


@pytest.mark.parametrize("name, answer", [(n, a) for n, each in RIGHT.items() for a in each])
def test_other_right_answers_pass(name, answer, capsys):
    passed, said = verdict(capsys, getattr(check, name), answer)
    assert passed, said


# --- mistakes, each with the words by which the student must recognise it


def joined(order="bpew", picture=0, ends=0, words=1, dim=1):
    """Parts in an order, each with a type (None: without one)."""

    def answer(image, text, two, types):
        begin, end = (row.expand(len(image), 1, -1) for row in two)
        parts = {"b": (begin, ends), "p": (image, picture), "e": (end, ends), "w": (text, words)}
        found = [
            part if kind is None else part + types[kind] for part, kind in map(parts.get, order)
        ]
        return torch.cat(found, dim)

    return answer


def types_from_place_p(picture, words, ends, types):
    bare = joined(picture=None, ends=None, words=None)(picture, words, ends, types)
    p = picture.shape[1]
    return bare + types[[0] * p + [1] * (bare.shape[1] - p)]


def labelled(targets=lambda t: t[:, 1:], mask=None, fill=-100, number=-100):
    """-100 before the targets, which `mask(targets, eos_id)` skips."""

    def answer(tokens, prefix, eos_id):
        own = targets(tokens).clone()
        own[(mask or after_the_end)(own, eos_id)] = fill
        return torch.cat([torch.full((len(own), prefix), number), own], 1)

    return answer


def after_the_end(targets, eos_id):
    ends = (targets == eos_id).long()
    return ends.cumsum(1) - ends > 0


def into_a_view(tokens, prefix, eos_id):
    targets = tokens[:, 1:]
    targets[after_the_end(targets, eos_id)] = -100
    return torch.cat([torch.full((len(targets), prefix), -100), targets], 1)


def from_bos_on(tokens, prefix, eos_id):
    ends = (tokens == eos_id).long()
    own = tokens.masked_fill(ends.cumsum(1) - ends > 0, -100)[:, 1:]
    return torch.cat([torch.full((len(own), prefix), -100), own], 1)


def guess_bos(tokens, prefix, eos_id):
    return torch.cat([torch.full((len(tokens), prefix - 1), -100), tokens], 1)


def cut(reshape):
    return lambda memory, weight, bias, dim: reshape(memory @ weight.T + bias, dim)


def two_always(memory, weight, bias, dim):
    halves = [memory @ w.T + b for w, b in zip(weight.chunk(2), bias.chunk(2), strict=True)]
    return torch.stack(halves, 2).flatten(1, 2)[..., :dim]


def attribute_only(model):
    model.language.requires_grad = False
    return 32


def weights_only(model):
    for name, each in model.language.named_parameters():
        each.requires_grad_("weight" not in name)
    return 32


def counted(count):
    def answer(model):
        model.language.requires_grad_(False)
        return count(model)

    return answer


def evaluated(model):
    model.language.eval()
    return 32


def emptied(model):
    torch.nn.init.zeros_(model.language.block.weight)
    return freeze_by_name(model)


MISTAKES = {
    "join": [
        (joined(picture=None, ends=None, words=None), "the types are not added"),
        (joined(picture=1, ends=1, words=0), "the types are exchanged"),
        (joined(ends=None), "the two ends belong to the picture"),
        (joined(ends=1), "the two ends belong to the picture"),
        (joined(picture=None), "not only the ends"),
        (types_from_place_p, "P + 2 places, not P"),
        (joined(words=None), "the words have a type, too"),
        (joined(picture=None, ends=None), "the picture has a type, too"),
        (joined(words=0), "words take types[1]"),
        (joined(picture=1, ends=1), "the picture takes types[0]"),
        (lambda *g: joined()(*g) + g[3].sum(0) - g[3][[0] * 5 + [1] * 4], "each place takes one"),
        (joined("wbpe"), "the words come first"),
        (joined("epbw"), "the two ends are exchanged"),
        (joined("pbew"), "before the picture's embeddings"),
        (joined("bepw"), "after the picture's embeddings"),
        (joined("bpbw"), "the same end twice"),
        (joined("pw"), "the two ends are missing"),
        (joined("bpw"), "one of the two ends is missing"),
        (joined(dim=0), "shapes that do not fit"),
        (lambda p, w, e, t: torch.cat([e[0], p, e[1], w], 1), "expand(B, 1, -1)"),
        (lambda *g: joined()(*g).flip(0), "the other caption of the batch"),
        (lambda *g: 2 * joined()(*g), "no embeddings that were given"),
        (lambda *g: None, "does not return its result"),
    ],
    "labels": [
        (labelled(lambda t: t[:, :-1]), "not moved"),
        (labelled(lambda t: t[:, :-1], lambda t, eos: t == 0), "not moved"),
        (labelled(mask=lambda t, eos: t < 0), "padding is counted"),
        (labelled(mask=lambda t, eos: (t == 0) | (t == eos)), "<eos> is left out"),
        (labelled(mask=lambda t, eos: (t == eos).cumsum(1) > 0), "<eos> is left out"),
        (labelled(mask=lambda t, eos: t == 0), "0 is a word here"),
        (labelled(number=0), "labelled 0"),
        (labelled(number=-1), "labelled -1"),
        (labelled(number=0, fill=0), "0 is a token"),
        (lambda t, p, eos: labelled()(t, p, eos).roll(-p, 1), "the prefix comes first"),
        (lambda t, p, eos: package.caption_labels(t, eos), "the prefix has places, too"),
        (labelled(lambda t: t), "one place too many"),
        (guess_bos, "<bos> is given"),
        (from_bos_on, "<bos> was taken for the end"),
        (into_a_view, "is a view"),
        (lambda t, p, eos: labels_by_loop(t[1:], p, eos), "leaves out the first caption"),
        (lambda *g: None, "does not return its result"),
    ],
    "several": [
        (lambda m, w, b, e: (m @ w.T).view(2, -1, e), "the bias is not added"),
        (cut(lambda y, e: y.view(*y.shape[:2], -1, e).transpose(1, 2).flatten(1, 2)), "all first embeddings"),
        (cut(lambda y, e: y.transpose(1, 2).reshape(len(y), -1, e)), "a view after a transpose"),
        (cut(lambda y, e: y.view(*y.shape[:2], e, -1).transpose(2, 3).flatten(1, 2)), "cut as (E, k)"),
        (cut(lambda y, e: y.transpose(0, 1).reshape(len(y), -1, e)), "B stays the first dimension"),
        (cut(lambda y, e: y), "cut them into embeddings"),
        (cut(lambda y, e: y.view(*y.shape[:2], -1, e)), "join them"),
        (cut(lambda y, e: y.view(-1, e)), "the pictures of the batch stay apart"),
        (lambda m, w, b, e: several_by_einsum(m.amax(1, keepdim=True), w, b, e), "the places are pooled"),
        (cut(lambda y, e: y[..., :e]), "one embedding a place"),
        (two_always, "k is not always 2"),
        (lambda m, w, b, e: m @ w + b, "shapes that do not fit"),
        (lambda *g: None, "does not return its result"),
    ],
    "freeze": [
        (attribute_only, "only sets an attribute"),
        (weights_only, "biases, norms"),
        (evaluated, "neither eval() nor no_grad()"),
        (lambda model: model.requires_grad_(False) and 0, "nothing can learn"),
        (lambda model: (freeze_by_name(model), model.ends.requires_grad_(False)) and 24, "only the language model"),
        (emptied, "freezing changes no weight"),
        (counted(lambda m: sum(p.numel() for p in m.parameters())), "all numbers"),
        (counted(lambda m: sum(p.numel() for p in m.language.parameters())), "these are the frozen ones"),
        (counted(lambda m: sum(p.requires_grad for p in m.parameters())), "these are tensors"),
        (counted(lambda m: sum(p.numel() for p in m.mapper.parameters())), "the mapper alone"),
        (counted(lambda m: m), "how many numbers learn"),
        (counted(lambda m: None), "does not return its result"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "name, answer, likely", [(n, a, words) for n, each in MISTAKES.items() for a, words in each]
)
def test_mistakes_are_named(name, answer, likely, capsys):
    assert_named(capsys, getattr(check, name), answer, likely)


def test_recorded_labels_are_the_packages():
    for tokens, recorded, eos in ((check.CAPTIONS, check.TARGETS, 2), (check.GPT2, check.GPT2_TARGETS, 11)):  # fmt: skip
        assert package.caption_labels(torch.tensor(tokens), eos).tolist() == recorded


def test_recorded_embeddings_are_the_packages():
    mapper = package.LinearMapper(4, 5, each=2)
    mapper.layers[0] = torch.nn.Identity()  # the exercise leaves the norm out
    with torch.no_grad():
        for own, recorded in ((mapper.layers[1].weight, check.WEIGHT), (mapper.layers[1].bias, check.BIAS)):  # fmt: skip
            own.copy_(torch.tensor(recorded))
        found = mapper(torch.tensor(check.MEMORY).float())
    np.testing.assert_allclose(found, check.EMBEDDINGS)


def test_no_two_joined_parts_look_alike():
    places = [tuple(row) for b in (0, 1) for row in check.PICTURE[b] + check.WORDS[b]]
    assert len({*places, *map(tuple, check.ENDS)}) == len(places) + 2
    for b in (0, 1):
        given = [check.ENDS[0], *check.PICTURE[b], check.ENDS[1], *check.WORDS[b]]
        named = [check._named(np.add(row, check.TYPES[0]), b) for row in given]
        assert named == [(name, "picture") for name in check.ORDER]
