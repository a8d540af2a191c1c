# %% [markdown]
# # 05 · Where does it look when it says "boat"?
#
# The captioner of lesson 03 got one glance at a picture, before its first word. After that it spoke
# from memory, knew that there was something red and something blue, a house and a boat, and mixed
# up which was which. You would do it otherwise: about to say *boat*, **you look at the boat**.
#
# Xu and colleagues gave a captioner this habit in 2015, in *Show, Attend and Tell*. Before each
# word it chooses anew where to look. That cures most of the stolen colours, and it leaves a trace
# that can be drawn over the picture, word by word. The trace is beautiful, and you will learn how
# far to believe it.
#
# After this lesson you can
#
# - compute attention by hand: scores, a softmax, a weighted mean;
# - measure whether it points at what is named, and show where it misleads;
# - train attention that looks at one place only, although a choice has no gradient;
# - give a captioner several embeddings of one picture: places, layers, parts, objects.
#
# Two hours and a half with the exercises.

# %%
from coursekit import sizes

here = sizes.setup()
print(here)

# %%
settings = here.pick(
    smoke=dict(pictures=150, exam=40, hidden=32, epochs=2, hard=1, told=(48, 2), rate=5e-3,
               trial=(100, 1), draws=3),
    cpu=dict(pictures=6000, exam=500, hidden=128, epochs=8, hard=6, told=(192, 12), rate=6e-3,
             trial=(2000, 6), draws=20),
    gpu=dict(pictures=6000, exam=500, hidden=384, epochs=24, hard=24, told=(384, 48), rate=3e-3,
             trial=(6000, 8), draws=40),
)  # fmt: skip

# %% [markdown]
# The text below describes sizes `cpu` and `gpu`; size `smoke` only proves that every cell runs.
#
# ## 1. In which of sixteen cells is the boat?
#
# The eye is the frozen encoder of lesson 03. It leaves 16 vectors of a picture, one for each cell
# of a 4 × 4 grid, and this time we keep them all.

# %%
import random
import time

import torch
from torch.nn import functional as F

from coursekit import decoding, plots
from coursekit.datasets import scene_drawing
from coursekit.datasets.scene_words import COLOUR_NAMES, NAMES, SIZES, claims, plural
from coursekit.datasets.scenes import THINGS, UNSEEN_PAIRS, Scenes
from coursekit.metrics.scenes import fact_scores
from coursekit.models.attention import ShowAttendAndTell, attention_loss
from coursekit.models.encoders import cached_features, scene_encoder
from coursekit.models.lstm import ShowAndTell, caption_loss
from coursekit.text import WordTokenizer, pad
from coursekit.training import TrainSettings, bucketed_batches, train

train_set, dev_set = Scenes("train", settings["pictures"]), Scenes("dev", settings["exam"])
test_set, unseen_set = Scenes("test", settings["exam"]), Scenes("unseen", settings["exam"])
encoder = scene_encoder().to(here.device)


# %%
def sixteen(dataset):
    """What the encoder says of each of the 16 cells, row by row: (len, N=16, D=256)."""
    file = sizes.build_folder("features", f"lesson-05-{dataset.split}-{len(dataset)}.pt")
    return cached_features(encoder, dataset, file).to(here.device)


memory, dev_memory = sixteen(train_set), sixteen(dev_set)
test_memory, unseen_memory = sixteen(test_set), sixteen(unseen_set)
# Boats float, so only pictures with water can tell a boat from its water
afloat = [i for i, facts in enumerate(train_set.facts()) if ("ground", "water") in facts]
boats = torch.tensor([float(("thing", "boat") in train_set.scenes[i].facts()) for i in afloat])
highest = memory[afloat].amax(1).cpu()  # (n, D), as lesson 03 kept it
agreement = ((highest - highest.mean(0)) / (highest.std(0) + 1e-6)).T @ (boats - boats.mean())
boat_feature = int(agreement.argmax())
ours = next(
    i
    for i, s in enumerate(test_set.scenes)
    if ("count", "boat", 1) in s.facts() and len(s.things) == 3
)

# %%
title = "One number of 256, the one that answers best to boats, in each cell"
figure, (left, right) = plots.panels(1, 2, width=7.2, height=3.7, title=title)
for each in (left, right):
    each.imshow(test_set.image(ours).permute(1, 2, 0), extent=(0, 4, 4, 0))
    each.set(xticks=range(5), yticks=range(5), xticklabels=[], yticklabels=[])
    each.grid(color="white", linewidth=1)
values = test_memory[ours, :, boat_feature].cpu()  # (16,)
right.imshow(torch.zeros(4, 4), extent=(0, 4, 4, 0), cmap="gray", alpha=0.6)
for n, value in enumerate(values):
    place = dict(ha="center", va="center", color="white")
    left.text(n % 4 + 0.15, n // 4 + 0.15, f"{n}", fontsize=8, **place)
    right.text(n % 4 + 0.5, n // 4 + 0.5, f"{value:.1f}", fontsize=12, **place)
plots.show(figure, alt="A scene with a boat under a grid of 4 by 4 cells, numbered; beside it the "
                       f"value of one feature in each cell. The largest is {values.max():.1f}, in "
                       f"cell {int(values.argmax())}.")  # fmt: skip

# %% [markdown]
# **In which cell would you look for the boat's colour?** The right-hand picture says it: where the
# boat feature is high. There are three ways to make one vector of sixteen:
#
# | | what it is | what becomes of the boat |
# |---|---|---|
# | mean | $\frac{1}{16}\sum_i a_i$ | thinned by fifteen cells without one |
# | maximum | largest value of each feature | *there is a boat, there is red*; nobody knows whose red |
# | **weighted mean** | $\sum_i \alpha_i a_i$, $\alpha$ chosen for this word | *the boat's cell*, if $\alpha$ is large there |
#
# But wait. Is the second line true? Lesson 03 left it open: is the answer *lost* at the maximum, or
# only hard to find? We have a tool for such questions since lesson 02: a linear probe. **Can a
# straight line read the colour of a thing off the pooled vector?** And off the one cell in which
# the thing stands?
#
# Two kinds of reader: *one for all things*, and *one for each thing*, twelve of them. **Predict**
# the four numbers.


# %%
def boxes_of(thing):
    """Where a thing has been drawn: (count, 4), x0, y0, x1, y1 as shares of the picture."""
    side = scene_drawing.BIG if thing.size == "big" else scene_drawing.SMALL
    bottom = 27 if thing.flies else 59
    corners = [(21 * column + (21 - side) // 2 + dx, bottom - side + dy)
               for column, (dx, dy) in zip(thing.columns, thing.offsets, strict=True)]  # fmt: skip
    boxes = torch.tensor([(x, y, x + side, y + side) for x, y in corners]) / scene_drawing.SIDE
    return boxes.clamp(0, 1)


def covered(thing, side=4):
    """How much of each cell of a grid the boxes of a thing cover: (side * side,), 0 to 1."""
    boxes, edges = boxes_of(thing), torch.arange(side + 1) / side
    across, down = (
        (boxes[:, k + 2 : k + 3].minimum(edges[1:]) - boxes[:, k : k + 1].maximum(edges[:-1]))
        for k in (0, 1)
    )  # (count, side) each
    areas = down.clamp_min(0)[:, :, None] * across.clamp_min(0)[:, None]  # (count, side, side)
    return areas.sum(0).flatten() * side * side


# %%
def asked(dataset, memory):
    """Of every thing: pooled vector, its own cell's vector, colour, name, things beside it."""
    rows = [(i, t) for i, s in enumerate(dataset.scenes) for t in s.things]
    pictures = [i for i, _ in rows]
    cells = [int(covered(t).argmax()) for _, t in rows]
    places = memory.cpu()
    return {
        "pooled": places[pictures].amax(1),
        "own cell": places[pictures, cells],
        "colour": torch.tensor([COLOUR_NAMES.index(t.colour) for _, t in rows]),
        "name": torch.tensor([THINGS.index(t.name) for _, t in rows]),
        "among": torch.tensor([len(dataset.scenes[i].things) for i in pictures]),
        "unseen": torch.tensor([(t.colour, t.name) in UNSEEN_PAIRS for _, t in rows]),
    }


def reader(vectors, colours):
    """Reads a colour linearly, by least squares: vectors (n, D), colours (n,) → a function."""
    mean, std = vectors.mean(0), vectors.std(0) + 1e-6
    known = F.pad((vectors - mean) / std, (0, 1), value=1.0)  # (n, D + 1)
    wanted = F.one_hot(colours, len(COLOUR_NAMES)).float()
    weight = torch.linalg.solve(known.T @ known + 30 * torch.eye(known.shape[1]), known.T @ wanted)
    return lambda other: (F.pad((other - mean) / std, (0, 1), value=1.0) @ weight).argmax(1)


# %%
learn, test, unseen = (
    asked(*pair)
    for pair in ((train_set, memory), (test_set, test_memory), (unseen_set, unseen_memory))
)


def read(where, each_thing):
    """Share of colours read right: among 1, 2 and 3 kinds of thing, and for pairs never seen."""
    right = {"test": torch.zeros(len(test["colour"])), "unseen": torch.zeros(len(unseen["colour"]))}
    for name in range(len(THINGS)) if each_thing else [None]:
        mine = {k: slice(None) if name is None else part["name"] == name
                for k, part in (("learn", learn), ("test", test), ("unseen", unseen))}  # fmt: skip
        say = reader(learn[where][mine["learn"]], learn["colour"][mine["learn"]])
        for split, part in (("test", test), ("unseen", unseen)):
            own = mine[split]
            right[split][own] = (say(part[where][own]) == part["colour"][own]).float()
    shares = [right["test"][test["among"] == n].mean().item() for n in (1, 2, 3)]
    return [*shares, right["unseen"][unseen["unseen"]].mean().item()]


rows = {f"{'a reader for each thing' if each else 'one reader for all'}, {where}": read(where, each)
        for each in (False, True) for where in ("pooled", "own cell")}  # fmt: skip
columns = ("alone", "of two", "of three", "unseen pair")
title = "The pooled vector knows whose colour it is, but does not tell everybody"
plots.show(
    plots.heat(list(rows.values()), title, list(rows), columns, label="colours read right",
               low=0, high=1, digits=2),
    alt="; ".join(f"{name}: " + ", ".join(f"{c} {v:.2f}" for c, v in zip(columns, row, strict=True))
                  for name, row in rows.items()),
)  # fmt: skip

# %% [markdown]
# Read the third row first. With **a reader for each thing** the pooled vector gives up nearly every
# colour, however many things share the picture. So *whose* colour it is was **not lost** at the
# maximum, and the second line of the table is wrong. The encoder was trained to tell, and keeps it
# in features such as "red, and a boat". What a decoder lacks is not information.
#
# Now the first row. **One reader for all** does poorly as soon as there are two things: nothing
# tells it which one is meant. From *the thing's own cell* the same reader does well. This is the
# whole point of today. Whoever may look at one place needs **one** skill, reading a colour. Whoever
# gets everything in one vector needs it twelve times over, and must keep all twelve answers in mind
# until their words come. The last column says what follows: a reader that has been told of each
# thing apart has never been told of a *red house*; one that reads colours anywhere has a chance.
#
# ## 2. A weighted mean, by hand
#
# Four places, and of each two numbers: how red it is, how blue. The model is about to say a colour,
# the last words were *a small boat …*, and it gives every place a **score**: how well does this
# place fit what I need now?

# %%
names = ["sky", "boat", "house", "water"]
values = torch.tensor([[0.0, 0.6], [0.9, 0.1], [0.0, 0.9], [0.1, 0.7]])  # (N, 2): red, blue
scores = torch.tensor([-1.0, 2.0, 0.5, -0.5])  # (N,)
grown = scores.exp()
weights = grown / grown.sum()
print(f"{'':8}{'score':>8}{'exp':>8}{'weight':>8}   red, blue")
for row in zip(names, scores, grown, weights, values, strict=True):
    print(f"{row[0]:8}{row[1]:8.1f}{row[2]:8.2f}{row[3]:8.2f}   {row[4][0]:.1f}, {row[4][1]:.1f}")
print(f"the plain mean     red {values.mean(0)[0]:.2f}, blue {values.mean(0)[1]:.2f}")
print(f"the weighted mean  red {weights @ values[:, 0]:.2f}, blue {weights @ values[:, 1]:.2f}")

# %% [markdown]
# Follow one row: $e^{2.0} = 7.39$, divided by the sum of the column, is the boat's share. The
# shares sum to 1, and the weighted mean is mostly boat. The plain mean of this picture is blue.
#
# Scores to shares is **softmax**, and it has a dial, the *temperature* $\tau$ that you know from
# drawing words in lesson 01. **Predict:** what do the shares become for $\tau \to 0$ and for
# $\tau \to \infty$? Which ideas of section 1 are these?
#
# $$\alpha_i = \frac{e^{\,s_i/\tau}}{\sum_j e^{\,s_j/\tau}}, \qquad z = \sum_i \alpha_i a_i$$

# %%
figure, axes = plots.panels(
    1, 4, width=9.0, height=2.6, title="From one place to all places", sharex=True, sharey=True
)
for each, tau in zip(axes, (0.1, 0.5, 1.0, 10.0), strict=True):
    shares = (scores / tau).softmax(0)
    each.barh(names, shares)
    each.set_title(f"τ = {tau:g}: red {shares @ values[:, 0]:.2f}", fontsize=10)
    each.set(xlabel="weight", xlim=(0, 1.05))
axes[0].invert_yaxis()
plots.show(figure, alt="Weights of four places at four temperatures. At 0.1 the boat has all; at "
                       "10 the four are almost equal.")  # fmt: skip

# %% [markdown]
# At one end a choice, at the other the plain mean, and every mixture between. And all of it is
# smooth: a score that rises a little moves the mean a little. **So there is a gradient, and the
# scores can be learned** from nothing but true captions. Nobody will ever tell the model where the
# boat is.
#
# ### Exercise 1 · Weigh
# *difficulty 2/5 · importance 5/5 · 10 minutes*
#
# From scores and values make the weighted mean, for a batch of pictures.
#
# 1. Divide the scores by the temperature; softmax over the places → weights (B, N).
# 2. Multiply each place by its weight, and add up over the places → (B, D).
#
# No loop is needed. Scores may be large: rely on the library's softmax.


# %%
def weigh(scores, values, temperature):
    """scores (B, N), values (B, N, D), temperature > 0 -> (B, D)"""
    raise NotImplementedError("write me")


from coursekit.checks import lesson_05 as check

check.weigh(weigh)

# %% [markdown]
# <details><summary>Hint 1: which dimension?</summary>
#
# The weights of *one picture* sum to 1: softmax over dimension 1, the places.
# </details>
# <details><summary>Hint 2: shapes</summary>
#
# `weights[:, :, None]` is (B, N, 1) and fits (B, N, D).
# </details>
# <details><summary>Hint 3: in one go</summary>
#
# (B, 1, N) times (B, N, D) is a batched product of matrices, `torch.bmm`; or
# `torch.einsum("bn,bnd->bd", weights, values)`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def weigh(scores, values, temperature):
#     weights = (scores / temperature).softmax(1)
#     return (weights[:, :, None] * values).sum(1)
# ```
# </details>

# %% [markdown]
# ## 3. The whole model
#
# Where do scores come from? A small network compares every place $a_i$ with the LSTM's state
# $h_{t-1}$, which knows what has been said (Bahdanau et al. 2015; Xu et al. 2015, eq. 4 to 6):
#
# $$s_{ti} = v \cdot \tanh(W_a a_i + W_h h_{t-1}), \qquad \alpha_t = \mathrm{softmax}(s_t), \qquad
# z_t = \beta_t \sum_i \alpha_{ti}\, a_i$$
#
# Then $z_t$ goes into the LSTM beside the last word, and the next word is guessed from state and
# $z_t$. The gate $\beta_t$, between 0 and 1 and computed from $h_{t-1}$ (here one for each number
# of $z_t$), lets the model say *for "of" and "the" I need no picture*. The rest is lesson 03's
# captioner. It is a step model as well: a decoder cannot tell the difference.

# %%
tokenizer = WordTokenizer.train(c for cs in train_set.captions for c in cs)
tokens_of = [[tokenizer.with_ends(c) for c in cs] for cs in train_set.captions]


def fresh(kind="soft", memory_dim=memory.shape[-1]):
    """An untrained Show, Attend and Tell, the same at every call."""
    torch.manual_seed(0)
    hidden = settings["hidden"]
    return ShowAttendAndTell(
        len(tokenizer), memory_dim, 128, hidden, hidden // 2, kind, dropout=0.1
    ).to(here.device)


model = fresh().eval()
state = model.start(memory[:3])
tokens = torch.full((3,), tokenizer.bos_id, device=here.device)
logits, weights, after = model.step_and_look(tokens, state)
shapes = dict(zip(("h", "c", "values", "keys"), state, strict=True)) | {
    "weights": weights,
    "logits": logits,
}
print("\n".join(f"{name:8} {tuple(tensor.shape)}" for name, tensor in shapes.items()))
print("weights of one picture, untrained:", [round(w, 3) for w in weights[0].tolist()])

# %% [markdown]
# Two of the state's four parts are the LSTM's; the other two, $a_i$ (brought to 128 numbers) and $W_a a_i$,
# do not change from word to word, so they are computed once, in `start`. Untrained, the weights are all near
# 1/16: **it begins as a plain mean**, and has to learn to prefer.
#
# ## 4. The race
#
# Same pictures, same eye, same words. One model is *told once* (lesson 03: the maximum, as first
# state), the other *looks* before each word. Looks cost time, so the first gets more epochs.
# **Predict:** who ends lower? Whose colours are right? And what of the pairs that nobody has seen?


# %%
def batches(epoch, pictures=len(train_set), size=64):
    """Batches of (picture, caption) pairs: one caption of each picture, like lengths together."""
    rng = random.Random(epoch)
    pairs = [(i, rng.randrange(5)) for i in range(pictures)]
    lengths = [len(tokens_of[i][k]) for i, k in pairs]
    return [[pairs[j] for j in batch] for batch in bucketed_batches(lengths, size, epoch)]


def nats(model, memory, captions, balance=0.0):
    """The loss of captions, given as token lists."""
    tokens = pad(captions, tokenizer.pad_id)[0].to(here.device)
    if isinstance(model, ShowAttendAndTell):
        return attention_loss(model, memory, tokens, tokenizer.pad_id, balance)
    return caption_loss(model, memory, tokens, tokenizer.pad_id)


dev_tokens = [tokenizer.with_ends(cs[0]) for cs in dev_set.captions]


def fit(model, name, epochs, sample=None):
    """Trains on all pictures, keeps the run in the build folder; returns its History."""
    return train(
        model.to(here.device),
        lambda m, pairs: nats(m, memory[[i for i, _ in pairs]],
                              [tokens_of[i][k] for i, k in pairs]),
        batches, TrainSettings(epochs=epochs, learning_rate=settings["rate"]),
        validate=lambda m: nats(m, dev_memory, dev_tokens), sample=sample,
        out=sizes.build_folder("lesson-05", name), dtype=here.dtype, quiet=True,
    )  # fmt: skip


# %% [markdown]
# One more tool before we start. `mentions` finds the words of a caption that speak of a thing, and
# `looks` collects where the model looked for each of them. With it we can watch, epoch by epoch,
# **whether the heaviest cell lies on the thing that is being named.**

# %%
THING_OF = {
    word: name for name, said in NAMES.items() for one in said for word in (one, plural(one))
}
KIND_OF = dict.fromkeys(COLOUR_NAMES, "colour") | dict.fromkeys(sum(SIZES.values(), ()), "size")
KIND_OF |= dict.fromkeys(("a", "an", "two", "three"), "number")


def mentions(caption, scene):
    """Words of a caption that speak of a thing of the scene: (position, kind of word, thing)."""
    words, things = caption.split(), {thing.name: thing for thing in scene.things}
    for t, word in enumerate(words):
        thing = things.get(THING_OF.get(word))
        if thing:
            yield t, "name", thing
            while t > 0 and (kind := KIND_OF.get(words[t - 1])):
                t -= 1
                yield t, kind, thing


def look(model, memory, captions):
    """Where it looked before each word and before <eos>: weights (B, T, N), on the CPU."""
    tokens = pad([tokenizer.with_ends(c)[:-1] for c in captions], tokenizer.pad_id)[0]
    return model.eval().look(memory, tokens.to(here.device)).cpu()


def looks(model, memory, captions, scenes):
    """{kind of word: (weights (M, N), cells that the thing covers (M, N))}."""
    found, weights = {}, look(model, memory, captions)
    for i, (caption, scene) in enumerate(zip(captions, scenes, strict=True)):
        for t, kind, thing in mentions(caption, scene):
            found.setdefault(kind, []).append((weights[i, t], covered(thing)))
    return {
        kind: [torch.stack(part) for part in zip(*rows, strict=True)]
        for kind, rows in found.items()
    }


# %%
first_told = [cs[0] for cs in dev_set.captions[:200]]


def on_the_thing(model):
    """How often the heaviest cell is one of the thing's, and how often chance would be."""
    weights, cells = looks(model, dev_memory[:200], first_told, dev_set.scenes[:200])["name"]
    hits = (cells > 0)[range(len(cells)), weights.argmax(1)].float().mean().item()
    return hits, (cells > 0).float().mean().item()


models, histories, seconds = {}, {}, {}
start, chance = on_the_thing(fresh())


def compete(name, model, epochs):
    points = (lambda m: f"{on_the_thing(m)[0]:.3f}") if name != "told once" else None
    histories[name] = fit(model, name.replace(" ", "-"), epochs, points)
    models[name], seconds[name] = model, histories[name].seconds[-1]
    print(
        f"{name:10} {epochs:3} epochs, {seconds[name]:4.0f} s: "
        f"{min(histories[name].valid_loss):.3f} nats a token"
    )


torch.manual_seed(0)
hidden, epochs = settings["told"]
once = ShowAndTell(len(tokenizer), memory.shape[-1], 128, hidden, "state", dropout=0.1)
compete("told once", once, epochs)
compete("looks", fresh(), settings["epochs"])
ends = {name: min(each.valid_loss) for name, each in histories.items()}
title = f"Told once ends at {ends['told once']:.2f} nats, looking at {ends['looks']:.2f}"
plots.show(
    plots.loss_curves({name: each.valid_loss for name, each in histories.items()}, title),
    alt="Losses on dev by epoch. The model that looks is ahead epoch by epoch; the one told once "
    "goes on for longer and comes to the same loss or a lower one.",
)

# %% [markdown]
# Epoch by epoch the model that looks is ahead. But an epoch costs it about twice the time, and time
# is what one pays: with no more seconds, the one told once comes out even, or ahead. **So looking
# has bought nothing?** You have met this twice, in lessons 01 and 03: the loss is a mean over all
# words. It asks how likely the *true* caption was, and that includes which thing it happens to name
# first, and in which words. No picture tells that. So let both speak, and count facts.


# %%
@torch.no_grad()
def tell(model, memory):
    """Greedy captions of memory (B, N, D)."""
    found, _ = decoding.greedy(model.eval(), memory, tokenizer.bos_id, tokenizer.eos_id)
    return [tokenizer.decode(tokens) for tokens in found]


def colours_right(captions, scenes, wanted=lambda scene, thing: True):
    """Of the wanted things that a caption gives a colour: the share with the right one."""
    right = told = 0
    for caption, scene in zip(captions, scenes, strict=True):
        said = claims(caption)
        for thing in (t for t in scene.things if wanted(scene, t)):
            colours = {claim[2] for claim in said if claim[:2] == ("colour", thing.name)}
            told, right = told + bool(colours), right + (colours == {thing.colour})
    return right / max(1, told)


def report(model):
    """What the model says of the test pictures, and a row of shares."""
    said, rare = tell(model, test_memory), tell(model, unseen_memory)
    row = fact_scores([claims(c) for c in said], test_set.facts())
    counts = [{claim for claim in claims(c) if claim[0] == "count"} for c in said]
    row["counts"] = fact_scores(counts, test_set.facts())["fact_precision"]
    for n in (1, 2, 3):
        row[f"colour, {n} kind{'s' * (n > 1)}"] = colours_right(
            said, test_set.scenes, lambda s, t, n=n: len(s.things) == n
        )
    row["unseen pair"] = colours_right(
        rare, unseen_set.scenes, lambda s, t: (t.colour, t.name) in UNSEEN_PAIRS
    )
    return said, row


captions, graded = {}, {}
for name, model in models.items():
    captions[name], graded[name] = report(model)
columns = list(graded["looks"])
plots.show(
    plots.heat([list(row.values()) for row in graded.values()],
               "Who looks, binds colours to their things",
               list(graded), columns, label="share", low=0, high=1, digits=2),
    alt="; ".join(f"{name}: " + ", ".join(f"{k} {v:.2f}" for k, v in row.items())
                  for name, row in graded.items()),
)  # fmt: skip

# %% [markdown]
# Three columns are, nearly, a measurement of lesson 03: right colours, by how many kinds of thing share
# the picture. *Told once* falls from column to column. *Looks* falls little. **The binding problem
# is mostly solved**, not by a larger model or by more of the picture, but by a way to ask for one
# part of it at a time. With the loss alone you would not have noticed.
#
# Read the other columns as well. *Counts* are no better, if not worse: in a mean of places, two
# boats look much like one. The recall is no better either: who sees more does not tell
# more. And the *unseen pair* gains and is still far behind. Remember the reader of section
# 1: even from the right cell it read such a colour less surely. The eye has never seen a red house
# either. **Attention hands over what the eye has; it adds nothing.**
#
# ## 5. The picture that stays
#
# Here is where it looked before each word of its caption. The brighter a cell, the more weight.
# **Predict** before you look: where is it for the first *a*? For *the*? For a colour, and for the
# name after it?

# %%
said = captions["looks"][ours]
weights = look(models["looks"], test_memory[ours : ours + 1], [said])[0]  # (T, N)
words = [*said.split(), "<eos>"]
plots.show(
    plots.attention_maps(test_set.image(ours), words, weights,
                         title="Word by word, it looks at what it will say"),
    alt=plots.attention_alt(words, weights),
)  # fmt: skip

# %% [markdown]
# Look at *red* and *boat*: there it is. The number under a map is the weight of its heaviest cell.
# Note *when* the eye arrives: in general at the colour, since English says the colour first, and
# whoever says it must know whose. Before the first *a*, or for *the*, the weight is spread wider.
# For the sky's word it goes up. And the words between two things? Keep your guess for section 7.
#
# ## 6. Is it really on the thing?
#
# One picture proves nothing, and a chosen one less than nothing. A scene is drawn from a list, so
# we know the box of each thing, and can *measure*. The **pointing game** (Zhang et al. 2016) asks
# only about the heaviest cell: is it on the thing or not?
#
# ### Exercise 2 · The pointing game
# *difficulty 3/5 · importance 3/5 · 15 minutes*
#
# `weights` (M, N) are the looks of M words over a square grid of N cells, row by row. `boxes` (M,
# 4) hold x0, y0, x1, y1 of the thing that each word means, as shares of the picture's width and
# height.
#
# 1. The side of the grid is $\sqrt N$; cell $n$ lies in row $n$ // side and column $n$ % side.
# 2. Find the heaviest cell of each word, and its four edges as shares of the picture's sides.
# 3. It is a hit if cell and box **overlap**, by however little; touching at an edge is not enough.
# 4. Return the share of hits.


# %%
def pointing(weights, boxes):
    """weights (M, N), boxes (M, 4) -> share of hits, a number from 0 to 1"""
    raise NotImplementedError("write me")


check.pointing(pointing)

# %% [markdown]
# <details><summary>Hint 1: rows are y</summary>
#
# x runs along columns, y along rows: the left edge of cell n is `n % side / side`, its upper edge
# is `n // side / side`.
# </details>
# <details><summary>Hint 2: when do two intervals overlap?</summary>
#
# [a, b] and [c, d] overlap if a < d and c < b. Cell and box must do so in x **and** in y.
# </details>
# <details><summary>Hint 3: no loop</summary>
#
# `best = weights.argmax(1)` is (M,); `left = best % side / side` is, too. `boxes.unbind(1)` gives
# the four edges. The mean of a boolean tensor, made `float()`, is a share.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def pointing(weights, boxes):
#     side = round(weights.shape[1] ** 0.5)
#     best = weights.argmax(1)
#     left, top = best % side / side, best // side / side
#     x0, y0, x1, y1 = boxes.unbind(1)
#     across = (left < x1) & (x0 < left + 1 / side)
#     down = (top < y1) & (y0 < top + 1 / side)
#     return (across & down).float().mean().item()
# ```
# </details>
#
# Hits alone say little: in a small grid one hits by luck. So beside them we put **chance**, the
# share of cells that would have been a hit. A second measure takes the whole map: the share of the
# *weight* that lies on the thing's cells. **Predict** the order of number, size, colour and name.


# %%
def pointed(found):
    """{kind: (hits, weight on the thing, chance)} of what `looks` gave."""
    return {
        kind: ((cells > 0)[range(len(cells)), weights.argmax(1)].float().mean().item(),
               (weights * (cells > 0)).sum(1).mean().item(), (cells > 0).float().mean().item())
        for kind, (weights, cells) in found.items()
    }  # fmt: skip


def show_pointing(rows, title):
    labels = ("heaviest cell on it", "weight on it", "chance")
    plots.show(plots.heat(list(rows.values()), title, list(rows), labels, label="share", low=0,
                          high=1, digits=2),
               alt="; ".join(f"{k}: " + ", ".join(f"{c} {v:.2f}"
                                                  for c, v in zip(labels, row, strict=True))
                             for k, row in rows.items()))  # fmt: skip


soft = looks(models["looks"], test_memory, captions["looks"], test_set.scenes)
points = {f"{kind} ({len(soft[kind][0])})": row for kind, row in pointed(soft).items()}
show_pointing(points, "It points at the thing, with a wide beam")
hits = {"looks": (range(settings["epochs"] + 1), [start, *map(float, histories["looks"].samples)])}
plots.show(
    plots.lines(hits, "Nobody told it where things are", "epoch",
                "heaviest cell on the thing named",
                baselines={"chance": chance}, points=True),
    alt=f"Hits of the heaviest cell by epoch: from {start:.2f} untrained to "
        f"{hits['looks'][1][-1]:.2f}; chance is {chance:.2f}.",
)  # fmt: skip

# %% [markdown]
# It points: far above chance, and the curve is the more remarkable as the loss knows nothing of
# places. To say the right colour the model had to find the right cell, so it learned to find cells,
# and most of it in the first epoch. But the second column keeps one modest: little more than half
# of the weight is on the thing. The map is a hint, not an outline.
#
# ## 7. Where the map lies
#
# "The model looked there, **so** it said that." It is tempting, and three experiments will make you
# careful. The first costs nothing. Take the words *between* two things: *a bird* **flies over**
# *two balls* **and** *a boat*. They name no thing. **Predict:** is the heaviest cell on the last
# thing, on the next one, or on neither?


# %%
def phrases(caption, scene):
    """The phrases about things: [first position, last position, thing]."""
    found = []
    for t, kind, thing in mentions(caption, scene):
        if kind == "name":
            found.append([t, t, thing])
        found[-1][0] = t  # its other words come backwards
    return found


def hit(weights, thing):
    """Is the heaviest of the cells (N,) one of the thing's?"""
    return bool(covered(thing)[weights.argmax()] > 0)


between = {word: [] for word in ("and", "flies", "fly", "over")}
weights = look(models["looks"], test_memory, captions["looks"])
for own, caption, scene in zip(weights, captions["looks"], test_set.scenes, strict=True):
    told = phrases(caption, scene)
    for (_, end, last), (begin, _, after) in zip(told, told[1:], strict=False):
        for t in range(end + 1, begin):
            between.setdefault(caption.split()[t], []).append(
                (hit(own[t], last), hit(own[t], after))
            )
for word in ("and", "flies", "fly", "over"):
    often = max(1, len(between[word]))
    last, after = (sum(row[k] for row in between[word]) / often for k in (0, 1))
    print(
        f"before {word!r:8} {often:4} times: on the last thing {last:.2f}, on the next one "
        f"{after:.2f}"
    )

# %% [markdown]
# (By chance both would be near 0.3.) **The eye runs ahead.** Before *over* it has left the last
# thing and is on the one that it will name two or three words later. Read as "it said *over*
# because of the ball", the map misleads: such a word hardly needs a look (section 8 will test
# that), so the look is free for the next question. A map shows what was *fetched* before a word,
# not what the word was made of.
#
# The second trap is older than attention. **A cell is not a window.** In lesson 02 you computed its
# receptive field: 52 of 64 pixels. The map says *cell 15*; what did cell 15 see? A gradient tells,
# and another one tells which **pixels** the word itself depends on.


# %%
def pixels_behind(what, image):
    """How strongly each pixel moves a number computed from the picture: (64, 64)."""
    pixels = image[None].float().to(here.device).requires_grad_()
    what(encoder(pixels)).backward()
    return pixels.grad[0].abs().amax(0).cpu()


def logp(model, caption, t):
    """A function: memory (1, N, D) → the log-probability of word t of the caption."""
    tokens = torch.tensor([tokenizer.with_ends(caption)], device=here.device)
    return lambda memory: model(memory, tokens[:, : t + 1])[0, -1].log_softmax(-1)[tokens[0, t + 1]]


looking = models["looks"]
said = captions["looks"][ours]
named = [(t, thing) for t, kind, thing in mentions(said, test_set.scenes[ours]) if kind == "name"]
position, thing = next(
    (pair for pair in named if pair[1].name == "boat"),
    (named or [(0, test_set.scenes[ours].things[0])])[0],
)
own = look(looking, test_memory[ours : ours + 1], [said])[0, position]  # (16,)
best, image = int(own.argmax()), test_set.image(ours)
reach = pixels_behind(lambda memory: memory[0, best].sum(), image)
behind = pixels_behind(logp(looking, said, position), image)
maps = {
    "where it looked": own.view(4, 4) / own.max(),
    f"what cell {best} sees": (reach / reach.max()) ** 0.5,
    "what the word depends on": (behind / behind.max()) ** 0.5,
}

# %%
title = f"Three answers to “where did it look when it said {said.split()[position]}?”"
figure, axes = plots.panels(1, 3, width=9.0, height=3.4, title=title)
for each, (name, shares) in zip(axes, maps.items(), strict=True):
    each.imshow(image.permute(1, 2, 0), extent=(0, 64, 64, 0))
    veil = torch.zeros(*shares.shape, 4)
    veil[..., 3] = 0.85 * (1 - shares)
    each.imshow(veil, extent=(0, 64, 64, 0), interpolation="nearest")
    each.set_title(name, fontsize=10)
    each.axis("off")
plots.show(figure, alt="A scene three times under a dark veil. Left: the cells by their weight. "
                       "Middle: the pixels that can move the heaviest cell, a large part of the "
                       "picture. Right: the pixels that move the word's probability: the thing, "
                       "others beside it, and faintly everything.")  # fmt: skip


# %%
def inside(pixels, thing):
    """The share of a map of pixels (64, 64) that lies in a thing's boxes."""
    mask = torch.zeros(64, 64)
    for x0, y0, x1, y1 in (boxes_of(thing) * 64).int().tolist():
        mask[y0:y1, x0:x1] = 1
    return ((pixels * mask).sum() / pixels.sum()).item(), mask.mean().item()


shares = {"area": [], "weight": [], "gradient of the word": []}
for i in range(min(60, len(test_set))):
    said = captions["looks"][i]
    weights = look(looking, test_memory[i : i + 1], [said])[0]
    for t, kind, thing in mentions(said, test_set.scenes[i]):
        if kind == "name":
            spread = (
                weights[t].view(1, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3)[0, 0]
            )
            share, area = inside(spread, thing)
            behind = pixels_behind(logp(looking, said, t), test_set.image(i))
            for name, value in zip(shares, (area, share, inside(behind, thing)[0]), strict=True):
                shares[name].append(value)
within = {name: sum(values) / max(1, len(values)) for name, values in shares.items()}
plots.show(
    plots.bars(within, "Weight and gradient lean to the thing, but most of both lies elsewhere",
               "share inside the thing's box", digits=2),
    alt="Share inside the box: " + "; ".join(f"{name}: {value:.2f}"
                                             for name, value in within.items()),
)  # fmt: skip

# %% [markdown]
# The left picture is coarse: one cell, half of a boat. The middle one shows what this cell has in
# it: the boat, but the ball beside it just as well, and a large part of the water. The right one
# comes nearest to what we wanted to know, and it is no outline either: the word hangs on the thing
# first, and faintly on everything. The bars say the same of sixty pictures: weight and gradient
# lean to the thing, at twice its area, and most of both lies elsewhere. **Attention tells which
# vector was fetched. What was in the vector is another question.**
#
# ## 8. Take it away
#
# The third experiment is the one to trust, because it *does* something. If the model says *boat*
# because of the cell it looks at, then without this cell it should not. So, just before a word, we
# replace a cell by the mean of all cells, and see what happens to the word. **Predict:** how often
# does the word change, if the heaviest cell goes? And if a random other one does? And the three
# heaviest?


# %%
@torch.no_grad()
def without(model, memory, captions, count, heaviest):
    """Words that change when `count` cells are taken away just before each: bool (B, T)."""
    model, generator = model.eval(), torch.Generator().manual_seed(0)
    tokens = pad([tokenizer.with_ends(c)[:-1] for c in captions], tokenizer.pad_id)[0].to(
        here.device
    )
    state, changed = model.start(memory), []
    for token in tokens.unbind(1):
        logits, weights, after = model.step_and_look(token, state)
        order = weights.argsort(1, descending=True)  # (B, N)
        if not heaviest:  # any but the heaviest
            order = 1 + torch.rand(len(token), 15, generator=generator).argsort(1).to(here.device)
            order = weights.argsort(1, descending=True).gather(1, order)
        gone = torch.zeros_like(weights).scatter(1, order[:, :count], 1.0)[..., None]  # (B, N, 1)
        h, c, *places = state
        places = [part + gone * (part.mean(1, keepdim=True) - part) for part in places]
        other, _ = model.step(token, (h, c, *places))
        changed.append(other.argmax(1) != logits.argmax(1))
        state = after
    return torch.stack(changed, 1).cpu()


# %%
ways = {
    "heaviest cell": (1, True),
    "another cell": (1, False),
    "three heaviest": (3, True),
    "three others": (3, False),
}
kinds = ("number", "size", "colour", "name", "other words")
table = []
for count, heaviest in ways.values():
    changed = without(looking, test_memory, captions["looks"], count, heaviest)
    found = {kind: [] for kind in kinds}
    for i, caption in enumerate(captions["looks"]):
        kind_of = {t: kind for t, kind, _ in mentions(caption, test_set.scenes[i])}
        for t in range(len(caption.split())):
            found[kind_of.get(t, "other words")].append(changed[i, t].item())
    table.append([sum(each) / max(1, len(each)) for each in found.values()])
plots.show(
    plots.heat(table, "Without the cells it looked at, many colours change", list(ways), kinds,
               label="words that change", low=0, high=1, digits=2),
    alt="; ".join(f"{way}: " + ", ".join(f"{k} {v:.2f}" for k, v in zip(kinds, row, strict=True))
                  for way, row in zip(ways, table, strict=True)),
)  # fmt: skip

# %% [markdown]
# The rows with *another* and *others* are the control, and they stay low. The rows with the
# *heaviest* do not: without the one cell it looked at, about a third of the colours change, without
# three cells more than half, and two in five of the names. *Other words* hardly notice, as section
# 7 made us expect. So the map is no mere ornament. But see how many words **survive**: neighbours
# saw the thing, too, and a name may be known since its colour was looked up. For a claim about what
# a model uses, do not look at a map. Take something away.
#
# ## 9. Hard attention: one place, drawn
#
# A weighted mean of sixteen places is a strange way to look. You look at *one* place. The paper
# tried that as well: draw **one** place $i$ with probability $\alpha_i$, and use $a_i$ alone. But
# how is this to be learned? "A little more of cell 15" no longer exists, and **a draw has no
# gradient**.
#
# The way out is older than deep networks (Williams 1992, *REINFORCE*): try, and if it went better
# than usual, make what you did likelier. With the caption's own log-likelihood as reward $R$ and
# its running mean as baseline $b$, the gradient of the expected reward is, on average, that of
#
# $$(R - b)\,\log \alpha_{i}\qquad\text{with } R \text{ and } b \text{ as plain numbers}$$
#
# Without $b$ it would be right on average as well, but far noisier: every log-likelihood is
# negative, so whatever was tried is made less likely, the good only a little less than the bad.
#
# ### Exercise 3 · Who gets the credit
# *difficulty 3/5 · importance 4/5 · 15 minutes*
#
# `drawn` (B, T) holds the log-probability of the place drawn for each word, `rewards` (B,) the
# reward of each caption. Return the **loss** whose gradient is that of REINFORCE, shape ():
#
# 1. How much better than usual was each caption? Reward minus baseline, (B,).
# 2. Multiply by the log-probabilities of its draws; padding, where `real` is False, earns nothing.
# 3. Add up, divide by the number of real words, and think about the sign: a loss is made *smaller*.
#
# No gradient may reach the rewards; they may well have one, since the model computed them.


# %%
def credit(drawn, rewards, baseline, real):
    """drawn (B, T), rewards (B,), baseline a number, real (B, T) bool -> loss, shape ()"""
    raise NotImplementedError("write me")


check.credit(credit)

# %% [markdown]
# <details><summary>Hint 1: shapes</summary>
#
# `(rewards - baseline)[:, None]` is (B, 1) and fits (B, T).
# </details>
# <details><summary>Hint 2: no gradient for the rewards</summary>
#
# `rewards.detach()` is the same numbers without their history.
# </details>
# <details><summary>Hint 3: the sign</summary>
#
# After a good draw its log-probability must *rise*. An optimizer lowers the loss. So the loss is
# minus the product.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def credit(drawn, rewards, baseline, real):
#     surprise = (rewards.detach() - baseline)[:, None]
#     return -(surprise * drawn * real).sum() / real.sum()
# ```
# </details>
#
# The package's `attention_loss` does this, with two aids of the paper: half of the words (there, of
# the pictures) see the mean after all, and indecision (entropy) is paid a little, lest it settle on a cell too soon.
# **Predict:** will hard attention be as good? Will its maps be sharper? And how *noisy* is a
# gradient that hangs on a draw?

# %%
compete("looks hard", fresh("hard"), settings["hard"])
captions["looks hard"], graded["looks hard"] = report(models["looks hard"])
plots.show(
    plots.heat([list(row.values()) for row in graded.values()],
               "One place at a time binds as well, and counts worse",
               list(graded), columns, label="share", low=0, high=1, digits=2),
    alt="; ".join(f"{name}: " + ", ".join(f"{k} {v:.2f}" for k, v in row.items())
                  for name, row in graded.items()),
)  # fmt: skip
for name in ("looks", "looks hard"):
    found = looks(models[name], test_memory, captions[name], test_set.scenes)
    weights = torch.cat([found[kind][0] for kind in ("colour", "name")])
    cells = torch.cat([found[kind][1] for kind in ("colour", "name")])
    places = (-(weights * weights.clamp_min(1e-9).log()).sum(1)).exp().mean()
    hits = (cells > 0)[range(len(cells)), weights.argmax(1)].float().mean()
    print(
        f"{name:10} at colours and names: as if it looked at {places:4.1f} places; the heaviest is "
        f"on the thing {hits:.0%}"
    )

# %%
said = captions["looks hard"][ours]
weights = look(models["looks hard"], test_memory[ours : ours + 1], [said])[0]
words = [*said.split(), "<eos>"]
plots.show(
    plots.attention_maps(test_set.image(ours), words, weights,
                         title="Hard attention, the probabilities of its draws"),
    alt=plots.attention_alt(words, weights),
)  # fmt: skip


# %%
def noise(model, baseline=None):
    """Spread of the attention's gradient over repeated draws, as a multiple of its mean."""
    model.train()
    model.dropout.p, pairs, found = 0.0, batches(0)[0], []
    usual = model.baseline.clone()
    for _ in range(settings["draws"]):
        model.baseline.copy_(usual if baseline is None else torch.tensor(baseline))
        loss = nats(model, memory[[i for i, _ in pairs]], [tokens_of[i][k] for i, k in pairs], 0.0)
        found.append(torch.autograd.grad(loss, model.attention.energy.weight)[0].flatten())
    model.baseline.copy_(usual)
    model.dropout.p = 0.1
    drawn = torch.stack(found)  # (draws, A)
    return (drawn.std(0).norm() / drawn.mean(0).norm()).item()


torch.manual_seed(0)
spread = {
    "soft": noise(models["looks"]),
    "hard": noise(models["looks hard"]),
    "hard, no baseline": noise(models["looks hard"], 0.0),
}
plots.show(
    plots.bars(spread, "A draw makes a gradient noisy, a baseline tames it",
               "noise of the gradient (1 = as large as the gradient)", digits=2),
    alt="; ".join(f"{name}: {value:.2f}" for name, value in spread.items()),
)  # fmt: skip

# %% [markdown]
# Hard attention binds colours as well as soft, with looks half as wide: it is trained to bet on one
# cell, so it learns to be sure. It pays with counts, which one cell cannot give, and with its loss.
# Look at the bird's words in its maps: is the brightest cell *on* the bird, or **beside** it? The
# neighbour sees the bird as well, so why not?
#
# The bars are the price in training. A soft gradient is exact, for a given batch. One that hangs on
# draws has as much noise as gradient, or more, and without the baseline nearly twice as much.
# That it learns at all shows how far honest guessing goes. Most of what came after 2015 is soft.
#
# ## 10. Every place its due?
#
# The paper adds a term to the loss of soft attention: over a whole caption, every place should
# receive about the same weight. The weights of a *word* sum to 1 over the places anyway; the term
# wants the same over the words, hence *doubly stochastic*. With $\bar\alpha$ the fair share, $T/N$
# for $T$ words:
#
# $$L = -\frac1T \sum_t \ln p(w_t) \;+\; \lambda \cdot \frac1N \sum_i \Big(1 - \frac{1}{\bar\alpha}\sum_t \alpha_{ti}\Big)^2$$
#
# It is meant to stop the model from staring at one spot and telling half of the picture. So far we
# have left it out. **Predict** what it does to scenes, where a few cells in sixteen hold all there
# is to tell. Two short trainings, with $\lambda$ 0 and 1.


# %%
def trial(memory, balance=0.0):
    """A short training on the first pictures, from any embeddings (pictures, N, D); the model."""
    pictures, epochs = settings["trial"]
    model = fresh(memory_dim=memory.shape[-1])
    train(
        model,
        lambda m, pairs: nats(m, memory[[i for i, _ in pairs]], [tokens_of[i][k] for i, k in pairs],
                              balance),
        lambda epoch: batches(epoch, pictures, 32),
        TrainSettings(epochs=epochs, learning_rate=settings["rate"]), quiet=True,
    )  # fmt: skip
    return model


def spreads(model, memory, captions):
    """As if how many places were used, and what the least used got of its fair share."""
    weights = look(model, memory, captions)
    used, least = [], []
    for own, caption in zip(weights, captions, strict=True):
        own = own[: len(caption.split()) + 1]  # (T, N)
        used.append((-(own * own.clamp_min(1e-9).log()).sum(1)).exp().mean().item())
        least.append((own.sum(0).min() * own.shape[1] / len(own)).item())
    return sum(used) / len(used), sum(least) / len(least)


# %%
pictures = settings["trial"][0]
trials = {balance: trial(memory[:pictures], balance) for balance in (0.0, 1.0)}
print(f"{'':8}{'places used':>14}{'least used':>12}{'precision':>11}{'recall':>8}")
for balance, model in trials.items():
    said = tell(model, test_memory)
    row = fact_scores([claims(c) for c in said], test_set.facts())
    used, least = spreads(model, test_memory, said)
    print(
        f"λ = {balance:<4g}{used:14.1f}{least:12.2f}{row['fact_precision']:11.2f}"
        f"{row['fact_recall']:8.2f}"
    )

# %% [markdown]
# The term does what it says: more places are used, and the least used one gets nearly its fair
# share. The captions hardly notice: mind that another seed, too, moves such shares by a point or
# two. On photographs the paper found the term important. **A regulariser is a belief about the
# data**; check it against yours.
#
# ## 11. Several embeddings from one picture
#
# Nothing in the model asks that embeddings be cells of a grid. It takes any set (N, D), in any
# order. So what else could one give it?
#
# | source | an embedding is | N |
# |---|---|---|
# | pooled | the whole picture | 1 |
# | layers | the whole picture, at several depths of the network | 3 |
# | parts | a quarter, looked at as a picture of its own; and the whole | 5 |
# | grid | a cell of the last layer | 16 |
# | layers and cells | a cell, at two depths | 32 |
# | objects | a thing that a detector has found | as many |
#
# ### Exercise 4 · Cut into parts
# *difficulty 2/5 · importance 3/5 · 10 minutes*
#
# Cut each picture into `side` × `side` parts, and make one long batch of them, so that an encoder
# can look at all at once. First all parts of the first picture, row by row, then those of the
# second.
#
# 1. H becomes (side, H // side), W becomes (side, W // side): six dimensions.
# 2. Bring them into the order picture, row of parts, column of parts, colour, height, width.
# 3. Join the first three.


# %%
def split(images, side):
    """images (B, 3, H, W) -> parts (B * side * side, 3, H // side, W // side)"""
    raise NotImplementedError("write me")


check.split(split)

# %% [markdown]
# <details><summary>Hint 1: into six dimensions</summary>
#
# `images.view(B, 3, side, H // side, side, W // side)`: a dimension splits into (which part, where
# in it).
# </details>
# <details><summary>Hint 2: the order</summary>
#
# `permute(0, 2, 4, 1, 3, 5)`. Without it, a reshape would mix rows of different parts.
# </details>
# <details><summary>Hint 3: joining</summary>
#
# `flatten(0, 2)` joins dimensions 0, 1 and 2.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def split(images, side):
#     B, _, H, W = images.shape
#     cut = images.reshape(B, 3, side, H // side, side, W // side)
#     return cut.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
# ```
# </details>
#
# The package has all of these behind one function, `make_encoder(name, embeddings=…)`. Two remarks
# before the table. Parts can be *enlarged* to the size of a picture, as `Parts` does, or looked at
# *as they are*, which a convolutional network allows. And on photographs objects come from a
# detector such as Faster R-CNN; here we use the boxes that the scene was drawn from: **a detector
# that never errs**, so read its row as a bound.
#
# **Predict** the order by right colours. And which source is dear?

# %%
from coursekit.models.regions import pad_boxes
from coursekit.models.sources import Crops, Layers, Parts

crops = Crops(encoder, look="once")


def quarters(images):
    """The four quarters as they are, 32 pixels a side, and the whole: (B, 5, D)."""
    halves = [half for row in images.chunk(2, 2) for half in row.chunk(2, 3)]
    return torch.stack([encoder(each).amax(1) for each in [*halves, images]], 1)


def objects(images, scenes):
    """An embedding of each thing, from its true box, and of the whole: (B, 7, D)."""
    found = [torch.cat([boxes_of(t) for t in scene.things]) for scene in scenes]
    boxes = pad_boxes(found, 7)  # at most six things; what is missing is the whole picture
    return crops(images, boxes.to(images.device))


sources = {
    "pooled": lambda images, scenes: encoder(images).amax(1, keepdim=True),
    "three layers": lambda images, scenes, see=Layers(encoder): see(images),
    "parts, enlarged": lambda images, scenes, see=Parts(encoder, 2): see(images),
    "parts, as they are": lambda images, scenes: quarters(images),
    "grid": lambda images, scenes: encoder(images),
    "two layers, in cells": lambda images, scenes, see=Layers(encoder, 2, grid=4): see(images),
    "objects, true boxes": objects,
}


# %%
@torch.no_grad()
def embed(source, dataset, count, batch=50):
    """Embeddings of the first pictures of a set (count, N, D), and milliseconds a picture."""
    parts, spent = [], 0.0
    for start in range(0, count, batch):
        which = range(start, min(start + batch, count))
        images = dataset.images(which).to(here.device)
        started = time.perf_counter()
        parts.append(sources[source](images, [dataset.scenes[i] for i in which]).cpu())
        spent += time.perf_counter() - started
    return torch.cat(parts).to(here.device), 1000 * spent / count


exam = min(300, len(test_set))
print(
    f"{'':22}{'N × D':>10}{'ms a picture':>14}{'precision':>11}{'colours right':>15}{'recall':>8}"
)
for source in sources:
    places, cost = embed(source, train_set, pictures)
    test_places, _ = embed(source, test_set, exam)
    model = trials[0.0] if source == "grid" else trial(places)  # the grid's has been trained
    said, scenes = tell(model, test_places), test_set.scenes[:exam]
    row = fact_scores([claims(c) for c in said], [s.facts() for s in scenes])
    size = f"{places.shape[1]} × {places.shape[2]}"
    print(f"{source:22}{size:>10}{cost:14.2f}{row['fact_precision']:11.2f}"
          f"{colours_right(said, scenes):15.2f}{row['fact_recall']:8.2f}")  # fmt: skip

# %% [markdown]
# Read it by colours; the rows form three groups.
#
# - **Views of the whole**, one or three, are at the bottom. The model may look before every word,
#   but where there is nothing to choose, looking is only telling once, many times.
# - **Parts** lie between: a quarter often holds two things. Enlarging them costs several times as
#   much and brings nothing here, since this eye was never shown things that large. Eyes for
#   photographs have seen every scale, and may gain.
# - **Cells and objects** are at the top: one thing, one vector, or nearly so. A second layer's
#   cells double the places, treble the memory, and gain nothing. Objects need fewer vectors and make
#   the fewest false claims; of what a real detector misses, only the vector of the whole picture can tell.
#
# The order is about the *grain*: embeddings should be as fine as the things one speaks of.
#
# ## 12. Real photographs
#
# With photographs the cells come from a network trained on ImageNet. Its last layer has 7 × 7 of
# them for a photo of 224 pixels.
#
# ```
# coursekit train show-attend-and-tell --data flickr8k --root DIR --out runs/attention
# coursekit evaluate runs/attention --data flickr8k --root DIR --beam 3
# ```
#
# `DIR` is the folder that `python data_scripts/flickr8k.py --to DIR` fills. `--attention hard`
# looks at one place; `--embeddings parts` or `layers` takes other sources of section 11, and
# `--embeddings objects --encoder fasterrcnn_resnet50_fpn` asks a detector. What was reached, here
# and elsewhere (scores × 100):
#
# | system | data | BLEU-1 | 2 | 3 | 4 | source |
# |---|---|---|---|---|---|---|
# | Show and Tell | Flickr8k | 63 | 41 | 27 | | as quoted by Xu et al. 2015 |
# | Show, Attend and Tell, soft | Flickr8k | 67 | 44.8 | 29.9 | 19.5 | Xu et al. 2015 |
# | Show, Attend and Tell, hard | Flickr8k | 67 | 45.7 | 31.4 | 21.3 | Xu et al. 2015 |
# | Show and Tell, this course | Flickr8k | 59.0 | 39.5 | 26.2 | 17.2 | lesson 03, mean of seeds 0 to 2 |
# | Show, Attend and Tell, this course | Flickr8k | 60.3 | 41.6 | 27.8 | 18.6 | these models at 128 pixels, mean of seeds 0 to 2 |
# | a person | Flickr8k | 62.6 | 43.9 | 30.4 | 21.0 | the first caption of each test photo against the other four |
#
# Our two rows are on the same 500 photos at 128 pixels (lesson 03 tells what is not like the others).
# Here as in the paper the gap between told once and looking is a point or a few of BLEU, far less than
# our colours would let you expect. You know why since lesson 04: BLEU counts phrases, and one wrong
# colour costs a word. CIDEr, which weighs rare words, went from 0.383 to 0.426, with standard
# deviations over the three seeds of 0.008 and 0.003.
#
# ## When something looks wrong
#
# | what you see | the likely cause |
# |---|---|
# | weights all 1/N, for ever | scores too small (no learning at `energy`), places not told apart (features pooled or constant), $\lambda$ too large |
# | the same map for every word | the state does not reach the scores: query not added, or the first state used at every step |
# | the same map for every picture | it has learned *where* things usually are; or the keys are computed from another picture |
# | weights sum to 1 over the batch | softmax over the wrong dimension |
# | maps are mirrored, or turned | cells go row by row: row = n // side; an `(x, y)` exchanged somewhere |
# | maps are one word late | weights at step t belong to the word that is guessed *after* reading token t |
# | good captions, senseless maps | the LSTM does without; or your cell sees the whole picture (deep network, small picture): section 7 |
# | nan at the first step | a softmax over places that are all masked; or `exp` by hand without subtracting the maximum |
# | hard attention always takes one cell | no entropy bonus, or the sign of the credit |
# | hard attention learns nothing | no baseline; a reward with a gradient; rewards of another batch |
# | training slow | keys computed anew at every word |
#
# ## Questions
#
# 1. Shuffle the 16 places of every picture in the same way. What changes in training, what in the
#    maps? And if each picture is shuffled in its own way?
# 2. A probe reads whose colour it is from the pooled vector. Is the binding problem then one of the
#    *encoder*, the *decoder*, or of how they are joined? What experiment would convince a doubter?
# 3. Why must the gradient not flow into the reward of hard attention?
# 4. With $N = 1$ soft attention is still another model than lesson 03's. What is the difference?
# 5. A hospital wants attention maps as proof that its captioner looked at the fracture. What do you
#    say, and what do you offer instead?
#
# <details><summary>Short answers</summary>
#
# 1. Nothing in training: the model knows places by their contents only. The maps are shuffled, and
#    are put right by the same order. Shuffled one by one: the same again, since no place has a
#    name. (The encoder put some knowledge of *where* into the features themselves; else "on the
#    left" could not be said.)
# 2. Of how they are joined. Told once is right about a thing that is alone, so eye and decoder can
#    do it; and a probe reads the colours of three things off the same vector, so they are in it.
#    What fails is taking out one of many.
# 3. The reward is how well the words were guessed; a gradient through it would be that of the usual
#    loss times a number that has nothing to do with it.
# 4. It sees the picture at every word, not once. Look at the row *pooled* of section 11.
# 5. That a map shows which vectors were fetched, and neither what was in them nor what the word
#    would have been without. Offer section 8: cover the fracture, and report whether the words
#    change.
# </details>
#
# ## Go further
#
# - Give `trial` the grid with noise added to every cell but the thing's. How much does a captioner
#   bear that looks?
# - Anneal a temperature into the softmax of the trained model (divide the scores by 0.5, by 0.2).
#   Do the captions get better than with the mean it was trained with?
# - Draw an arrow from the middle of the heaviest cell to that of the thing for a hundred words. Is
#   "beside" random, or does it lean to one side?
# - Jain and Wallace 2019, *Attention is not Explanation*, and Wiegreffe and Pinter 2019, *Attention
#   is not not Explanation*: read both titles twice, then both papers.
#
# ## What you have, and what is missing
#
# A decoder that asks. Before each word it sends out a *query* (made of its state), compares it with
# a *key* of every place, and gets back a mean of the *values*, by softmax. You can draw it, measure
# it, and doubt it.
#
# Now look at the words *query*, *key* and *value* alone. Nothing in them says "picture". The values
# could just as well be **the words said so far**: then a model would not have to squeeze a sentence
# into one state, as told-once squeezed a picture; it would look back at any word when it needs it.
# Throw the LSTM away, keep the looking, and stack it twelve times. **What is inside GPT-2?** That
# is lesson 06.

# %%
sizes.report(
    colours_right=colours_right(captions["looks"], test_set.scenes),
    colours_right_told_once=colours_right(captions["told once"], test_set.scenes),
    fact_precision=graded["looks"]["fact_precision"],
    pointing=float(histories["looks"].samples[-1]),
)
