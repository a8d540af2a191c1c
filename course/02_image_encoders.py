# %% [markdown]
# # 02 · What is left of a picture in 256 numbers?
#
# A scene of 64 × 64 pixels is 12,288 numbers. In lesson 03 a language model will describe it, and
# it will not be shown one of them. It gets 256 others, made by an *encoder*. Whatever these do not
# hold, no language model can say.
#
# So: what is left in them, what is lost, and **who decides**? The answer of this lesson is
# uncomfortable. We will ask a well-trained encoder where the sun stands, plain to see for any
# child, and it will have to guess.
#
# After this lesson you can
#
# - compute what a place of a convolutional network sees, and prove it with a gradient;
# - turn places into one vector, and say why the way you do it decides what is learned at all;
# - test what a vector knows, by its neighbours and by linear probes;
# - choose between *frozen*, *fine-tuned* and *from scratch*, and freeze without the classic accident.
#
# Two hours with the exercises.

# %%
from coursekit import sizes

here = sizes.setup()
print(here)

# %%
settings = here.pick(
    smoke=dict(pictures=96, epochs=2, album=90, exam=40, side=64, labels=(10, 40), steps=4, walk=6),
    cpu=dict(pictures=2400, epochs=6, album=900, exam=400, side=96, labels=(40, 160, 600), steps=80,
             walk=30),
    gpu=dict(pictures=6000, epochs=10, album=2400, exam=500, side=224, labels=(40, 160, 640, 1600),
             steps=200, walk=30),
) | dict(seed=0)  # fmt: skip

# %% [markdown]
# At size `smoke` everything runs and nothing is learned: read the text beside `cpu` or `gpu`.
#
# ## 1. What is there to know?
#
# Three sets of scenes: one to **train** on, an **album** that no encoder has seen, and an **exam**.
# Scenes are drawn by code, so for every picture we have a list of all that is true of it.

# %%
import time
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from coursekit import plots
from coursekit.datasets.scenes import ALL_FACTS, Scenes, draw, fact_table

train_set, album = Scenes("train", settings["pictures"]), Scenes("dev", settings["album"])
exam = Scenes("test", settings["exam"])
album_images, exam_images = (each.images(range(len(each))) for each in (album, exam))
album_facts, exam_facts = fact_table(album), fact_table(exam)  # (len, F) of 0 and 1

told = [[" ".join(map(str, f)) for f in sorted(s.facts(), key=str)] for s in album.scenes[:4]]
plots.show(
    plots.show_pictures(album_images[:4], told, title="All that is true of four scenes", size=2.4),
    alt="Four drawn scenes, and under each the list of its facts: sky, ground, things, colours, "
    "counts, sizes and places.",
)
print(f"{len(ALL_FACTS)} facts can be true; {album_facts.sum(1).mean():.1f} are true of a picture")

# %% [markdown]
# Seven kinds of fact: sky, ground, thing, and of each thing its size, count, place and colour.
#
# **Predict:** a network learns all of them at once, from the same pictures. Which kind does it know
# first? Which last? Write the order down; in section 4 you will see it happen.
#
# ## 2. What does one filter see?
#
# A filter is a small window of weights that slides over the picture. At each stop it multiplies
# what it covers by its weights and adds up. Three filters made by hand:

# %%
upright = torch.tensor([[-1.0, 0.0, 1.0]]).expand(3, 3, 3) / 9  # right minus left, in every colour
level = upright.transpose(1, 2)  # below minus above
reddish = torch.tensor([1.0, -0.5, -0.5]).view(3, 1, 1).expand(3, 3, 3) / 9
filters = torch.stack([upright, level, reddish])  # (3 filters, 3 colours, 3, 3)

chosen = next(i for i, s in enumerate(album.scenes) if {t.colour for t in s.things} >= {"red"})
picture = album_images[chosen : chosen + 1].float() / 255  # (1, 3, 64, 64)
responses = F.conv2d(picture, filters)[0]  # (3, 62, 62)
by_hand = (picture[0, :, 40:43, 20:23] * reddish).sum()
print(f"row 40, column 20, filter 3: {by_hand:.4f} by hand, {responses[2, 40, 20]:.4f} by conv2d")

figure, axes = plots.panels(1, 4, 9.6, 2.95, title="Each filter asks one question, everywhere")
axes[0].imshow(picture[0].permute(1, 2, 0))
for each, response in zip(axes[1:], responses, strict=True):
    each.imshow(response, cmap="PuOr", vmin=-0.5, vmax=0.5)
names = ("the picture", "upright edges", "level edges", "redness")
for each, name in zip(axes, names, strict=True):
    each.set_title(name, fontsize=10)
    each.axis("off")
plots.show(figure, alt="A scene and three maps of it, positive answers purple, negative ones "
                       "orange: one answers at upright edges, one at level edges such as the "
                       "horizon, one where there is red.")  # fmt: skip

# %% [markdown]
# Purple says yes, orange says the opposite. The horizon shows in the second map and is missing in the
# first. In the last the red thing is purple, and so is the sun, since yellow holds red too; the
# blue sky is orange. Each filter asks its question everywhere, with the same weights. That is all a
# convolution does. For input $x$ with colours $c$, weights $w$, stride $s$ and padding $p$:
#
# $$y_{ij} = b + \sum_{c,u,v} w_{cuv}\, x_{c,\; si+u-p,\; sj+v-p}
# \qquad \text{output side} = \left\lfloor \frac{H + 2p - k}{s} \right\rfloor + 1$$
#
# A network learns its filters, and lets the next layer ask questions about the answers. Our
# `SmallCNN` has five such layers. **Predict** the sides below: the first layer has $k=4, s=4, p=0$, the
# others $k=3, p=1$ with strides 1, 2, 1, 2. How many numbers are left at the end?

# %%
from coursekit.models.encoders import SmallCNN

torch.manual_seed(settings["seed"])
untrained = SmallCNN().eval()
depths = (3, 4, 5, 6, 7)  # the first layer comes with BatchNorm and ReLU
for layer, depth in enumerate(depths, start=1):
    _, channels, side, _ = untrained.layers[:depth](picture * 2 - 1).shape
    print(
        f"layer {layer}: {channels:3} maps of {side:2} x {side:2}, {channels * side**2:6,} numbers"
    )
print("the encoder:", tuple(album_images[:1].shape), "→", tuple(untrained(album_images[:1]).shape))

# %% [markdown]
# While places get fewer, the questions asked at each get more. The encoder's answer is a *memory*
# (B, N, D): N = 16 places, row by row, with D = 256 numbers each. Every encoder of the course keeps
# this form, whatever is inside.
#
# ## 3. How far does a place see?
#
# A place of the last map stands for a sixteenth of the picture. Does it *see* only a sixteenth?
#
# The span of pixels that can reach a place is its **receptive field**. A layer of kernel $k$ looks at
# $k$ neighbours below it, and these lie apart by the product of all *earlier* strides:
#
# $$r_0 = 1, \qquad r_l = r_{l-1} + (k_l - 1)\prod_{m<l} s_m$$
#
# ### Exercise 1 · The receptive field
# *difficulty 2/5 · importance 4/5 · 10 minutes*
#
# 1. Begin with a field of one pixel, and neighbours one pixel apart.
# 2. For each layer: widen the field, *then* move the neighbours apart for the next layer.


# %%
def receptive_field(layers):
    """layers: [(kernel, stride), ...] from the pixels on -> int, pixels along one side"""
    raise NotImplementedError("write me")


from coursekit.checks import lesson_02 as check

check.receptive_field(receptive_field)

# %% [markdown]
# <details><summary>Hint 1: two numbers to carry</summary>
#
# Keep `field` and `apart`. Both begin at 1.
# </details>
# <details><summary>Hint 2: in which order?</summary>
#
# A layer of stride 2 does not look at pixels that lie further apart; the layer *after* it does.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def receptive_field(layers):
#     field, apart = 1, 1
#     for kernel, stride in layers:
#         field += (kernel - 1) * apart
#         apart *= stride
#     return field
# ```
# </details>
#
# A formula can be wrong, a gradient cannot: a pixel reaches a place exactly if the place's answer
# has a gradient at the pixel. So we ask one place of each layer which pixels could change it.

# %%
title = "One place sees more with every layer"
figure, axes = plots.panels(1, 5, width=9.6, height=2.45, title=title)
for each, depth in zip(axes, depths, strict=True):
    pixels = (album_images[:64].float() / 127.5 - 1).requires_grad_()
    maps = untrained.layers[:depth](pixels)  # (64, channels, side, side)
    middle = maps.shape[-1] // 2
    maps[:, :, middle, middle].sum().backward()
    reach = pixels.grad.abs().mean((0, 1))  # (64, 64)
    span = int((reach.sum(0) > 0).sum())
    each.imshow(picture[0].permute(1, 2, 0))
    veil = torch.ones(64, 64, 4)
    veil[..., 3] = 0.93 * (1 - reach / reach.max())  # opaque where nothing is seen
    each.imshow(veil)
    each.set_title(f"{maps.shape[-1]} x {maps.shape[-1]}: {span} pixels", fontsize=10)
    each.axis("off")
plots.show(figure, alt="One scene five times under a white veil with a hole. The hole shows what "
                       "one place of each layer sees; it grows from 4 pixels to most of the "
                       "picture.")  # fmt: skip

# %% [markdown]
# The hole widens layer by layer, just as the formula says, until one place of sixteen sees most of
# the picture. But look at its rim: the hole fades. Few paths lead to the edge of a field and many
# to its middle, so a place mostly speaks of what lies under it.
#
# ## 4. Sixteen places, one vector
#
# Somebody asks: *is there a boat?* Sixteen places have an opinion. Do you take their **mean** or
# the **largest**? A boat stands on one or two places. If a feature says 5 there and 0 elsewhere,
# the largest is 5, and the mean 5/16, lost among the murmur of the others. Learning suffers in the
# same way: through the mean, every place gets a sixteenth of the blame, the fourteen without a boat
# included; through the maximum, the place that spoke up gets all of it.
#
# One trap before we measure. Pictures of several shapes make batches with *padded* places, and
# padding must never win.
#
# ### Exercise 2 · The largest of the real places
# *difficulty 2/5 · importance 4/5 · 10 minutes*
#
# From `memory` (B, N, D) and `real` (B, N), True where a place exists, make the vector (B, D) that
# holds each feature's largest value over the real places. Leave `memory` itself unchanged.


# %%
def max_pool(memory, real):
    """memory (B, N, D), real (B, N) bool -> (B, D)"""
    raise NotImplementedError("write me")


check.max_pool(max_pool)

# %% [markdown]
# <details><summary>Hint 1: what can never win?</summary>
#
# Zero can: all real values may be negative. Only $-\infty$ loses against everything.
# </details>
# <details><summary>Hint 2: shapes</summary>
#
# `real[:, :, None]` is (B, N, 1) and fits (B, N, D). `masked_fill(mask, value)` fills where the
# mask is True, and makes a copy.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def max_pool(memory, real):
#     return memory.masked_fill(~real[:, :, None], float("-inf")).amax(1)
# ```
# </details>
#
# Now the experiment. Two networks, born with the same weights, see the same pictures in the same
# order and answer one yes-or-no question for each possible fact. **One word differs: mean or max.**
# **Predict:** at the end, how do they compare on *sky*? And on *thing*?
#
# The score is F1: 1 if exactly the true facts are claimed, 0 if no claim is right.

# %%
KINDS = ("sky", "ground", "thing", "size", "count", "place", "colour")
columns = {kind: [i for i, fact in enumerate(ALL_FACTS) if fact[0] == kind] for kind in KINDS}


def f1(logits, facts):
    """logits and facts (B, F) -> {kind: 2 x right claims / (claims + facts)}"""
    claimed, scores = (logits > 0).float(), {}
    for kind, own in columns.items():
        said, true = claimed[:, own], facts[:, own]
        scores[kind] = (2 * (said * true).sum() / (said.sum() + true.sum())).item()
    return scores


@torch.no_grad()
def encode(encoder, images, batch=100):
    """Memory (B, N, D) of pictures, on the CPU; the encoder is in evaluation mode afterwards."""
    encoder.eval()
    return torch.cat([encoder(part.to(here.device)).cpu() for part in images.split(batch)])


# %%
def train_cnn(pool, images, facts, batch=16):
    """A CNN trained with `pool`, and its scores through training: [(pictures seen, {kind: F1})]."""
    torch.manual_seed(settings["seed"])
    encoder, head = SmallCNN().to(here.device), nn.Linear(256, len(ALL_FACTS)).to(here.device)
    nn.init.constant_(head.bias, -3.0)  # most facts are false of a picture: begin with "no"
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()])
    steps, diary = settings["epochs"] * (len(images) // batch), []
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.15)
    for step in range(steps):
        if step % (len(images) // batch) == 0:
            order = iter(torch.randperm(len(images)).split(batch))
        chosen = next(order)
        logits = head(pool(encoder.train()(images[chosen])))
        loss = F.binary_cross_entropy_with_logits(logits, facts[chosen]) * len(ALL_FACTS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        if (step + 1) % max(1, steps // 12) == 0:
            logits = head(pool(encode(encoder, exam_images[:200])).to(here.device)).detach().cpu()
            diary.append((batch * (step + 1), f1(logits, exam_facts[:200])))
    return encoder.eval(), diary


# %%
pools = {"max": lambda memory: memory.amax(1), "mean": lambda memory: memory.mean(1)}
images = train_set.images(range(len(train_set))).to(here.device)
facts = fact_table(train_set).to(here.device)
trained = {name: train_cnn(pool, images, facts) for name, pool in pools.items()}

# %%
title = "Both learn in the same order, and by the mean it takes longer"
figure, axes = plots.panels(1, 2, width=9.6, height=4.1, title=title, sharey=True)
for each, (name, (_, diary)) in zip(axes, trained.items(), strict=True):
    for kind in KINDS:
        each.plot([seen for seen, _ in diary], [scores[kind] for _, scores in diary], label=kind)
    each.set_title(f"pooled by the {name}", fontsize=10)
    each.set(xlabel="pictures seen", ylim=(-0.02, 1.02))
axes[0].set_ylabel("F1 on the exam")
axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
plots.show(figure, alt="F1 by kind of fact through training, for max pooling on the left and mean "
                       "pooling on the right. Both learn sky and ground at once; things rise "
                       "next, then sizes, and counts, places and colours last; with the mean all "
                       "of them rise later.")  # fmt: skip
last = {name: diary[-1][1] for name, (_, diary) in trained.items()}
for kind in KINDS:
    print(f"{kind:7}", *(f"{name} {scores[kind]:.2f}  " for name, scores in last.items()))
goal = last["mean"]["thing"]
total = trained["mean"][1][-1][0]
seen = next((seen for seen, scores in trained["max"][1] if scores["thing"] >= goal), total)
print(f"things reach {goal:.2f} by the mean after {total:,} pictures, by the max after {seen:,}")

# %% [markdown]
# Two findings in one figure. **The order:** sky and ground are there almost at once, since hundreds
# of pixels say the same. Then *which things*, then their sizes, and only after these the counts,
# places and colours: you cannot count cars before you see one, and "red car" is only a fact once
# the red and the car are *put together*. Compare with your list.
#
# **The pooling:** on sky and ground, which are everywhere, mean and max agree. On things, which are
# *somewhere*, the mean trails, and all that builds on things trails further. Layers, pictures and
# time are the same. The mean is not unable to learn, it is slow, and time is what training costs.
#
# ## 5. The same network with more patience
#
# The course ships this very network, trained on 16,000 other scenes for longer, and frozen. What has
# it learned to look for? Of four kinds of fact we take the fact and the feature (one of 256) that
# agree best over the album, and look at the pictures in which this feature is largest. The ring
# marks the middle of what the winning place sees. **Predict:** where will the rings lie?

# %%
from coursekit.models.encoders import scene_encoder

shipped = scene_encoder().to(here.device)
memory = encode(shipped, album_images)  # (album, 16, 256)


def standard(table):
    return (table - table.mean(0)) / (table.std(0) + 1e-6)


agreement = standard(memory.amax(1)).T @ standard(album_facts) / len(album)  # correlations (256, F)
figure, axes = plots.panels(4, 6, width=9.6, height=6.9)
for row, kind in zip(axes, ("thing", "size", "colour", "sky"), strict=True):
    own = agreement[:, columns[kind]]
    feature, fact = divmod(int(own.argmax()), own.shape[1])
    value, place = memory[:, :, feature].max(1)  # (album,)
    for each, i in zip(row, value.topk(6).indices, strict=True):
        y, x = divmod(int(place[i]), 4)
        each.imshow(album_images[i].permute(1, 2, 0))
        each.plot(16 * x + 1.5, 16 * y + 1.5, "o", ms=15, mfc="none", mec=plots.PINK, mew=2.5)
        each.axis("off")
    name = " ".join(map(str, ALL_FACTS[columns[kind][fact]]))
    name = f"feature {feature} answers to “{name}” (correlation {own.max():.2f})"
    row[0].text(-0.5, -4, name, fontweight="bold").set_in_layout(False)
    row[1].set_title(" ", fontsize=10)  # room for the line above
plots.show(figure, alt="Four rows of six scenes, each row the pictures that excite one feature "
                       "most; all six show the same fact. A ring marks the place that answered.")  # fmt: skip

# %% [markdown]
# Nobody told a *feature* what to mean; the network found these for itself, since they help to
# answer. A feature for a thing does not care about the sky, and its ring lies on the thing or
# beside it: a place sees far beyond its own sixteenth. Mind the correlations: a thing, its size or
# a sky can fill a feature of its own. The colour *of a thing* does so less well: there are 96 such
# pairs, and each of them is rare.
#
# ## 6. Eyes that others trained
#
# Facts are free for drawings only. For photos one takes an encoder that somebody trained on a
# million labelled ones (ImageNet) and cuts off its last layer, the one that names 1,000 classes.
# What came just before is the memory, by the mean over its places as that layer was used to: 512
# numbers from ResNet-18, 1,280 from MobileNet-V2, the lighter of the two. **Predict:** it has never
# seen a drawing. Will its numbers tell a cat from a tent here?
#
# The weights come over the network, and where there is none we say so.

# %%
from coursekit.errors import CourseError
from coursekit.models.encoders import TorchvisionEncoder


def with_random_weights():
    """MobileNet-V2 as drawn by lot. Without a batch for BatchNorm 52 layers mute the signal."""
    torch.manual_seed(settings["seed"])
    encoder = TorchvisionEncoder("mobilenet_v2", None, image_size=settings["side"])
    for layer in encoder.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0  # believe the last batch
    encoder.backbone.train()
    encoder(album_images[:64])
    return encoder.eval()


try:
    mobilenet = TorchvisionEncoder("mobilenet_v2", "IMAGENET1K_V1", image_size=settings["side"])
    origin = "ImageNet"
except CourseError as error:
    print(error, end="\n\n")
    mobilenet, origin = with_random_weights(), "random"
print(f"MobileNet-V2 with {origin} weights, D = {mobilenet.to(here.device).dim}")

# %% [markdown]
# **Which weights do you have?** With *ImageNet* weights, what follows shows how far knowledge of
# photos carries into drawings. With *random* ones it shows what the mere architecture gives, and
# MobileNet-V2 is then a second untrained network. The text tells both stories; follow yours.
#
# ## 7. Look once, keep the answer
#
# A frozen encoder says the same of a picture in every epoch. **Predict:** what does an epoch cost
# if we (a) train the encoder along, (b) run it frozen each time, (c) run it once and read its
# answers from a file? What is the ratio of (a) to (c)?

# %%
from coursekit.models.encoders import cached_features


def milliseconds(work, pictures, repeats=3):
    """Time of `work()` a picture."""
    work()
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    if here.device.type == "cuda":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - started) / repeats / pictures


trainable = TorchvisionEncoder("mobilenet_v2", None, trainable=True, image_size=settings["side"])
costs, batch = {}, album_images[:16].to(here.device)
for name, encoder in {"SmallCNN": SmallCNN(), "MobileNet-V2": trainable}.items():
    encoder.to(here.device).train()
    costs[f"{name}, trained along"] = milliseconds(lambda e=encoder: e(batch).sum().backward(), 16)
    with torch.no_grad():
        costs[f"{name}, frozen"] = milliseconds(lambda e=encoder.eval(): e(batch), 16)
del trainable, encoder


# %%
def features(dataset):
    """MobileNet's vectors of a data set (len, 1280), computed once and then read from a file."""
    file = sizes.build_folder("features", f"lesson-02-{dataset.split}-{len(dataset)}.pt")
    return cached_features(mobilenet, dataset, file).amax(1)  # (len, N=1, D) → (len, D)


for turn in ("first", "second"):
    started = time.perf_counter()
    seen_by_mobilenet = features(album), features(exam)
    print(f"{turn} call for both sets: {time.perf_counter() - started:.2f} s")
some = torch.randperm(len(album))[:64]
costs["any encoder, kept features"] = milliseconds(lambda: seen_by_mobilenet[0][some], 64, 50)
figure = plots.bars(
    costs, "Looking is dear, reading is cheap", "ms a picture (log scale)", digits=2
)
figure.axes[0].set_xscale("log")
plots.show(figure, alt="Bars on a log scale, milliseconds a picture: training an encoder along "
                       "costs most, running it frozen less, reading kept features thousands of "
                       "times less.")  # fmt: skip
for name in ("MobileNet-V2, frozen", "any encoder, kept features"):
    ratio = costs["MobileNet-V2, trained along"] / costs[name]
    print(f"MobileNet-V2, trained along, costs {ratio:,.0f} times as much as: {name}")

# %% [markdown]
# Frozen saves the way back through the network and keeping all that the way back needs. The leap,
# though, is the file: read, not computed, an epoch of pictures costs next to nothing. (Your first
# call was quick as well? Then the file was there from an earlier run.) `cached_features` stores a
# key made of weights and data along with them, since **a cache of another encoder is the quietest
# bug there is**: shapes fit, nothing complains, and the captions are nonsense.
#
# The price: kept features allow no learning encoder, and no random crops or flips of the picture.
#
# ## 8. Tell me who your neighbours are
#
# A vector cannot be read, but it can be compared. Ask which pictures of the album lie nearest to
# one of the exam, and see **what they have in common**: this is what the encoder finds important.
#
# Near by which measure? A vector's length often says no more than "much is going on", so we compare
# *directions*, by the cosine of the angle: $\cos(a, b) = a \cdot b \,/\, (\lVert a \rVert \lVert b \rVert)$.
#
# ### Exercise 3 · Nearest neighbours
# *difficulty 2/5 · importance 4/5 · 10 minutes*
#
# 1. Divide every vector, and the query, by its length; a vector of zeros must not become nan.
# 2. Take the dot products, and return the indices of the `count` largest, the largest first.


# %%
def nearest(vectors, query, count):
    """vectors (M, D), query (D,) -> indices (count,)"""
    raise NotImplementedError("write me")


check.nearest(nearest)

# %% [markdown]
# <details><summary>Hint 1: which dimension?</summary>
#
# One length for each of the M pictures: `vectors.norm(dim=1, keepdim=True)` is (M, 1).
# </details>
# <details><summary>Hint 2: zeros</summary>
#
# `.clamp_min(1e-8)` on the lengths; `F.normalize(vectors, dim=1)` does both.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def nearest(vectors, query, count):
#     likeness = F.normalize(vectors, dim=1) @ F.normalize(query, dim=0)
#     return likeness.topk(count).indices
# ```
# </details>
#
# Four kinds of vector compete; the first is no network at all, just the picture shrunk to 8 × 8.
# **Predict** for each: what will the neighbours share with the picture?


# %%
def shrunk(images):
    """Pixels alone: the picture at 8 x 8, (B, 192)."""
    return F.avg_pool2d(images.float(), 8).flatten(1) / 127.5 - 1


def pooled(encoder):
    return tuple(encode(encoder, images).amax(1) for images in (album_images, exam_images))


vectors = {
    "pixels, 8 x 8": (shrunk(album_images), shrunk(exam_images)),
    "SmallCNN, untrained": pooled(untrained.to(here.device)),
    f"MobileNet-V2, {origin}": seen_by_mobilenet,
    "SmallCNN, shipped": pooled(shipped),
}  # name: (album (M, D), exam (E, D))
nearest_five = {"five by lot": torch.randint(len(album), (len(exam), 5))} | {
    name: (F.normalize(asked, dim=1) @ F.normalize(kept, dim=1).T).topk(5).indices
    for name, (kept, asked) in vectors.items()
}  # name: (E, 5)

# %% [markdown]
# ### The picture that stays

# %%
query = next(i for i, s in enumerate(exam.scenes) if len(s.in_sky()) == 1 and len(s.things) == 3)
shown = [name for name in vectors if "untrained" not in name]
title = "Pixels find the same light, the trained network finds the same things"
figure, axes = plots.panels(3, 6, width=9.6, height=5.9, title=title)
for row, name in zip(axes, shown, strict=True):
    row[0].imshow(exam_images[query].permute(1, 2, 0))
    row[0].set_title(name.replace(", ", ",\n"), fontsize=9.5)
    for each, i in zip(row[1:], nearest_five[name][query].tolist(), strict=True):
        each.imshow(album_images[i].permute(1, 2, 0))
        same = exam.scenes[query].facts() & album.scenes[i].facts()
        common = sum(fact[0] == "thing" for fact in same)
        each.set_title(f"{common} of 3 things", fontsize=9, fontweight="normal")
    for each in row:
        each.axis("off")
plots.show(figure, alt="The same scene at the start of three rows, followed by its five nearest "
                       "neighbours by pixels, by MobileNet-V2 and by the trained SmallCNN. By "
                       "pixels all have its sky and ground; by the trained SmallCNN nearly all "
                       "have its things.")  # fmt: skip

# %%
print(f"{'shared by the five neighbours':30}", *(f"{kind:>8}" for kind in KINDS))
for name, found in nearest_five.items():
    common = (exam_facts[:, None] * album_facts[found]).sum((0, 1))  # (F,)
    shares = [common[own].sum() / (5 * exam_facts[:, own].sum()) for own in columns.values()]
    print(f"{name:30}", *(f"{share:8.0%}" for share in shares))

# %% [markdown]
# For pixels, alike means *the same light*: their neighbours share sky and ground, and of things
# little more than five drawn by lot. The untrained `SmallCNN` agrees with them. The trained one
# turns it round: its neighbours hold the same things, and it gladly takes them by night or by day.
# **It has learned not only what matters, but also what does not.** MobileNet-V2 with ImageNet
# weights stands between the two, without ever having seen a drawing. With random weights it is near
# the lot: fifty random layers stir so well that little even of the light is left in sight.
#
# ## 9. What is left, and what is lost
#
# Neighbours show what is *loud* in a vector. Something may be in there quietly. The fair question:
# **can a straight line read it off?** A *linear probe* is one linear layer trained on frozen
# vectors. If it finds a fact, the fact was there in plain form; a probe is too weak to have
# computed it.


# %%
def linear_probe(vectors, facts, steps=100):
    """One linear layer fitted to vectors (n, D) and facts (n, F); returns vectors → logits."""
    mean, std = vectors.mean(0), vectors.std(0) + 1e-6
    layer = nn.Linear(vectors.shape[1], facts.shape[1])
    nn.init.zeros_(layer.weight)
    layer.bias.data = torch.logit(facts.mean(0).clamp(0.005, 0.995))  # how often each is true
    optimizer = torch.optim.AdamW(layer.parameters(), 0.02, weight_decay=0.3)
    for _ in range(steps):
        logits = layer((vectors - mean) / std)
        loss = F.binary_cross_entropy_with_logits(logits, facts, reduction="none")
        optimizer.zero_grad()
        loss.sum(1).mean().backward()
        optimizer.step()
    return lambda other: layer((other - mean) / std).detach()


vectors["SmallCNN, section 4"] = pooled(trained["max"][0])
vectors["SmallCNN, shipped"] = vectors.pop("SmallCNN, shipped")  # last in the table
probes = {name: linear_probe(kept, album_facts) for name, (kept, _) in vectors.items()}
left = {name: f1(probes[name](asked), exam_facts) for name, (_, asked) in vectors.items()}

# %%
table = [[scores[kind] for kind in KINDS] for scores in left.values()]
title = "A straight line reads things only where they have been learned"
figure = plots.heat(table, title, list(left), KINDS, label="F1", low=0, high=1, digits=2)
plots.show(figure, alt="A table of F1: rows are five kinds of vector, columns seven kinds of "
                       "fact. Pixels and every SmallCNN read sky and ground; only trained "
                       "networks read the rest well.")  # fmt: skip

# %% [markdown]
# Read it by columns. *Sky* and *ground* are plain even in 192 pixels. *Things* and what builds on
# them have to be learned. Now by rows: the network of section 4 falls off along the order in which
# it learned, and the shipped one has filled nearly all of that in, counts last: the maximum says
# that there is a balloon, not how many. Compare section 4 with its own final scores, too: the probe
# reads places and colours that its own head did not yet dare to claim. **Features come first,
# answers later.** MobileNet-V2 with ImageNet weights reads most things off drawings it was never
# shown, which is why such encoders are lent to everybody; with random weights it has trouble with
# the sky.
#
# So training only ever adds? Here is a question that no fact of ours ever asked.
# **Where is the sun, or the moon: in the left half of the sky, or in the right?** A bright disc, in
# three pictures of four. **Predict** the share of right answers, of pixels, of the untrained and of the
# trained network.

# %%
dry = {}
for data in (album, exam):
    dry[data.split] = [i for i, scene in enumerate(data.scenes) if scene.sky != "rain"]


def sun_right(scene):
    """Where the drawing code has put the disc: the first roll of the scene's dice."""
    span = 40 if scene.sky == "sunset" else 52
    return scene.rolls[0] % span >= span / 2


def has_toy(scene):
    return any(thing.name in {"ball", "balloon", "kite"} for thing in scene.things)


def answers(data, question):
    """Which of the dry pictures of a set have it: (n, 1) of 0 and 1."""
    return torch.tensor([[float(question(data.scenes[i]))] for i in dry[data.split]])


def read_off(kept, asked, question):
    """How often a linear probe answers right, 0 to 1."""
    probe = linear_probe(kept[dry["dev"]].flatten(1), answers(album, question))
    logits = probe(asked[dry["test"]].flatten(1))
    return ((logits > 0) == answers(exam, question).bool()).float().mean().item()


# %%
places = (memory, encode(shipped, exam_images))  # all 16 places, not pooled
sun = {name: read_off(*pair, sun_right) for name, pair in vectors.items() if "section" not in name}
sun["shipped, all 16 places"] = read_off(*places, sun_right)
always = answers(exam, sun_right).mean().item()
sun["always the same answer"] = max(always, 1 - always)
title = "Where is the sun? The trained network does not know"
plots.show(plots.bars(sun, title, "share of right answers", digits=2),
           alt="Share of right answers: "
           + "; ".join(f"{name}: {v:.2f}" for name, v in sun.items()))  # fmt: skip

# %% [markdown]
# The table is turned upside down. What lies open in the pixels, training has all but **erased**
# from the pooled vector, since none of its questions needed it: the best network of the table does
# no better than *always the same answer*. (A probe that finds nothing guesses, and a guess may well
# be worse.) The untrained one knows nothing, but has at least thrown less away.
#
# The last row but one tells where a part of it went: from all sixteen places, before pooling, more
# can be read. The maximum says *that* there is a sun, and forgets *which place* said so. This is
# why lesson 05 will hand over all the places instead of one vector.
#
# What is left of a picture in 256 numbers? **What the training asked for.**
#
# ## 10. Frozen, fine-tuned, or from scratch?
#
# Now you have a new question, and few labels. Three ways to answer:
#
# | | the encoder | learns | costs |
# |---|---|---|---|
# | **frozen** | trained, fixed | one linear layer | one look at each picture |
# | **fine-tuned** | trained, goes on learning gently | everything | as much as training |
# | **from scratch** | random | everything | as much as training |
#
# Two questions: *is there a toy* (a ball, balloon or kite)? That is a new word for things the
# encoder knows. And *is the sun on the right*, which it has thrown away. **Predict the winner of
# each.**

# %%
sky_images, exam_dry = album_images[dry["dev"]].to(here.device), exam_images[dry["test"]]


def learn(question, labels, encoder, rate):
    """Trains encoder and head on the first `labels` answers -> the share right on the exam."""
    torch.manual_seed(settings["seed"])
    wanted, head = answers(album, question).to(here.device), nn.Linear(256, 1).to(here.device)
    encoder = encoder.to(here.device).requires_grad_(True)
    groups = [dict(params=encoder.parameters(), lr=rate), dict(params=head.parameters(), lr=2e-3)]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    for _ in range(settings["steps"]):
        batch = torch.randint(min(labels, len(wanted)), (16,))
        logits = head(encoder.train()(sky_images[batch]).amax(1))
        loss = F.binary_cross_entropy_with_logits(logits, wanted[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    logits = head(encode(encoder, exam_dry).amax(1).to(here.device)).cpu()
    return ((logits > 0) == answers(exam, question).bool()).float().mean().item()


def learn_frozen(question, labels):
    vectors = encode(shipped, sky_images[:labels].cpu()).amax(1)
    probe = linear_probe(vectors, answers(album, question)[:labels])
    logits = probe(encode(shipped, exam_dry).amax(1))
    return ((logits > 0) == answers(exam, question).bool()).float().mean().item()


ways = {
    "frozen": learn_frozen,
    "fine-tuned": lambda question, labels: learn(question, labels, scene_encoder(), 1e-3),
    "from scratch": lambda question, labels: learn(question, labels, SmallCNN(), 2e-3),
}

# %%
questions = {"is there a toy?": has_toy, "is the sun on the right?": sun_right}
headline = "Frozen is enough where the answer is in the vector, and useless where it is not"
figure, axes = plots.panels(1, 2, width=9.6, height=3.9, title=headline, sharey=True)
spent = dict.fromkeys(ways, 0.0)
for each, (title, question) in zip(axes, questions.items(), strict=True):
    for way, work in ways.items():
        started = time.perf_counter()
        right = [work(question, labels) for labels in settings["labels"]]
        spent[way] += time.perf_counter() - started
        each.plot(settings["labels"], right, marker="o", label=way)
    often = answers(exam, question).mean().item()
    each.axhline(max(often, 1 - often), color=plots.GREY, ls="--", lw=1.3, label="same answer")
    each.set_title(title, fontsize=10)
    each.set(xlabel="labelled pictures (log scale)", xscale="log", ylim=(0.4, 1.02))
    each.set_xticks(settings["labels"], settings["labels"])
    each.minorticks_off()
axes[0].set_ylabel("share of right answers")
axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
plots.show(figure, alt="Two panels over the number of labels. For the toy frozen and fine-tuned "
                       "rise together and scratch stays far behind; for the sun the frozen one "
                       "stays near guessing while the two that learn rise, scratch first.")  # fmt: skip
for way, seconds in spent.items():
    print(f"{way:13} {seconds / 2 / len(settings['labels']):6.2f} s a training")

# %% [markdown]
# Two panels, two winners. For the toy the knowledge is there and only needs a name: **frozen** does
# as well as anything, at a fraction of the cost; from scratch is hopeless with so few labels. For
# the sun it is not there, and no number of labels helps a head to read what is not written. Whoever
# may touch the layers gets it back, and here the newborn network beats even the fine-tuned one,
# which must first unlearn.
#
# A rule of thumb: *few labels and a question near the old ones: freeze. Many labels, or a far
# question: fine-tune, at a smaller rate than from scratch (here half), with the frozen score as the
# number to beat.* And first let a probe tell you whether what you need is there.
#
# ## 11. The accident: frozen, and yet it moves
#
# You freeze the encoder: `requires_grad_(False)`. Then you train the captioner around it, and every
# training loop begins its epoch with `model.train()`. Nothing learns in the encoder, and **it gets
# worse by the minute**. Predict why, before you run it.
#
# Say a webcam sends its pictures of one night, from above an empty beach. No loss, no
# gradient, no optimizer: the encoder is only *called*. The probe of section 9 stays as it is.

# %%
beach = torch.stack([
    torch.from_numpy(draw(replace(scene, things=(), sky="night", ground="sand"))).permute(2, 0, 1)
    for scene in album.scenes[:200]
]).to(here.device)  # fmt: skip


def watch(training):
    """The encoder after a walk of calls in train() or eval() mode, and its F1 on things."""
    encoder, scores = scene_encoder().to(here.device), []
    for step in range(settings["walk"] + 1):
        if step % 3 == 0:
            logits = probes["SmallCNN, shipped"](encode(encoder, exam_images).amax(1))
            scores.append((step, f1(logits, exam_facts)["thing"]))
        encoder.train(training)
        with torch.no_grad():
            encoder(beach[torch.randint(len(beach), (16,))])
    return encoder.eval(), tuple(zip(*scores, strict=True))


runs = {"in train() mode": watch(True), "in eval() mode": watch(False)}
curves = {name: curve for name, (_, curve) in runs.items()}
plots.show(
    plots.lines(curves, "Called in train() mode, a frozen encoder drifts",
                "batches of an empty beach", "F1 on things (exam)"),
    alt="F1 on things over the number of batches: flat in evaluation mode, falling in training "
        "mode.",
)  # fmt: skip
drifted, original = runs["in train() mode"][0].state_dict(), shipped.state_dict()
for name in ("layers.3.0.weight", "layers.3.1.running_mean", "layers.3.1.running_var"):
    print(f"{name:24} moved by at most {(drifted[name] - original[name]).abs().max():.4f}")

# %% [markdown]
# The weights have not moved by one bit. The culprit is **BatchNorm**: it scales every feature by a
# running mean and variance, and these are no parameters. They are not learned from a loss but
# *collected*, in `train()` mode, from whatever passes by. A night of empty beaches, and the
# encoder takes emptiness for normal. `eval()` cures it: then BatchNorm uses what it has and
# collects nothing.
#
# But your `eval()` holds only until the next epoch, when the loop calls `model.train()`, which
# reaches every module inside. A frozen encoder must *refuse*.
#
# ### Exercise 4 · Freeze, properly
# *difficulty 3/5 · importance 5/5 · 15 minutes*
#
# Return a module that gives the encoder's memory, and that a training loop around it can neither
# teach (no gradients) nor wake up (evaluation mode, whatever `train()` is called on).


# %%
def freeze(encoder):
    """encoder: images (B, 3, H, W) → memory (B, N, D) -> an nn.Module that does the same, frozen"""
    raise NotImplementedError("write me")


check.freeze(freeze)

# %% [markdown]
# <details><summary>Hint 1: two things to switch off</summary>
#
# `requires_grad_(False)` for the weights, `eval()` for BatchNorm and dropout. Neither does the
# other's work.
# </details>
# <details><summary>Hint 2: how to refuse</summary>
#
# `model.train()` calls `child.train(mode)` on each of its children. A child with a `train` of its
# own decides what happens then.
# </details>
# <details><summary>Hint 3: a frame</summary>
#
# A class `Frozen(nn.Module)` that keeps the encoder, with three short methods: `__init__`,
# `forward`, and `train(self, mode=True)`, which returns `self`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# class Frozen(nn.Module):
#     def __init__(self, encoder):
#         super().__init__()
#         self.encoder = encoder.requires_grad_(False)
#         self.train()
#
#     def train(self, mode=True):
#         super().train(False)  # reaches the encoder too
#         return self
#
#     def forward(self, images):
#         return self.encoder(images)
#
#
# def freeze(encoder):
#     return Frozen(encoder)
# ```
# </details>
#
# `TorchvisionEncoder` refuses in the same way. With kept features (section 7) the accident cannot
# happen at all: what is in the file does not drift.
#
# ## When something looks wrong
#
# | symptom | likely cause | what to do |
# |---|---|---|
# | sky is learned, things are not | mean pooling, or things of a few pixels only | pool by the maximum; look at your pictures at the size the network gets |
# | features differ from run to run for one picture | dropout or BatchNorm in `train()` mode | `eval()`; freeze as in exercise 4 |
# | validation gets worse while the training loss falls, encoder "frozen" | running statistics drift | compare `running_mean` before and after an epoch |
# | pretrained features are no better than random ones | pictures not normalised as in pretraining, 0-255 instead of 0-1, channels in the wrong order | look at one picture *after* preprocessing |
# | scores collapse after you changed the encoder | an old cache | delete it, or use a key as `cached_features` does |
# | all features 0 or nearly so | weights not loaded, random layers in `eval()` | check the standard deviation of each layer's output |
# | fine-tuning is worse than frozen | rate too high, too few labels | a tenth of the rate for the encoder; freeze first |
# | nearest neighbours are the same few pictures for all queries | lengths not divided out, or one feature drowns the rest | cosine; standardise the features |
#
# ## Questions
#
# 1. Give the last layer of `SmallCNN` stride 1. What are the receptive field and the memory now?
#    What gets better, and what more expensive?
# 2. Max pooling forgets how *often* something was seen. Yet the probe reads counts, if less well than
#    the rest. How can it?
# 3. A linear probe fails on a fact. Does that prove the fact is gone? What does section 9 show, strictly?
# 4. Why would fine-tuning with BatchNorm and batches of two pictures be asking for trouble?
# 5. You caption X-ray pictures and have 300 of them. Which of the three ways, and what do you measure first?
#
# <details><summary>Short answers</summary>
#
# 1. The field stays 52: a layer's own stride matters only for the layers after it. The memory has 64
#    places instead of 16: it tells better *where*, and all that reads it costs four times as much.
# 2. A place sees 52 pixels, often two balloons at once: it can have a feature for "two balloons".
# 3. No. It shows that a straight line does not find it, with this many labels.
# 4. Mean and variance of two pictures are mostly chance: each is scaled by the other, and the running
#    values follow.
# 5. Few labels: frozen first. But X-rays are far from photos, so a probe must tell whether the findings
#    can be read at all; its score is the number that fine-tuning has to beat.
# </details>
#
# ## Go further
#
# - Add the sun's side to the facts and train the network of section 4 again: does it come back? What
#   does it cost the others?
# - Probe each of the five layers instead of the last. Where is the sun lost?
# - Read *Network in Network* (Lin et al. 2013) for mean pooling, and Oquab et al. 2015, *Is object
#   localization for free?*, for the maximum.
# - `SmallCNN` numbers places by their order only. Shuffle them: which of our poolings would notice?
#
# ## What you have, and what is missing
#
# An encoder makes a memory (B, N, D) of a picture; pooled, it is one vector; what is in it was
# decided by the questions it was trained on. You can see that by neighbours, measure it by probes,
# and pay for it only once. You now hold 256 numbers that know of a cat and of a red house, and
# lesson 01's model that finishes sentences. **How do you hand a picture to a language model?** That
# is lesson 03.

# %%
sizes.report(
    things_max=last["max"]["thing"],
    things_mean=last["mean"]["thing"],
    things_probe=left["SmallCNN, shipped"]["thing"],
    sun_probe=sun["SmallCNN, shipped"],
)
