# %% [markdown]
# # 12 · Did it understand what it drew?
#
# The drawer of lessons 10 and 11 has seen 55,000 digits, and heard of none. It was asked one
# thing only: *which grey comes next?* Nobody told it that there are ten kinds of digit, let alone their
# names. And yet it ends the upper half of a 3 like a 3.
#
# Does it **know** that there are ten? Or does it only know which grey tends to follow which? You cannot
# ask it, since it speaks nothing but pixels. But in lesson 02 you learned to ask a network that cannot
# speak at all.
#
# After this lesson you can
#
# - find out what a generative model knows, layer by layer, **and whether the pixels did not say it already**;
# - fine-tune with two losses at once, and say how many labels the drawing was worth;
# - read a confusion matrix aloud, and tell precision, recall, F1 and Cohen's kappa apart;
# - put a number on how good drawn digits are, and fool that number in three ways.
#
# Two hours with the exercises.

# %%
from coursekit import sizes

here = sizes.setup()
print(here)

# %%
settings = here.pick(
    smoke=dict(train=200, exam=100, labels=(20, 60), epochs=1, steps=2, drawn=20,
               temperatures=(1.0,)),
    cpu=dict(train=3500, exam=1000, labels=(50, 500, 3500), epochs=4, steps=20, drawn=300,
             temperatures=(0.5, 0.8, 1.0)),
    gpu=dict(train=3500, exam=1000, labels=(50, 150, 500, 1500, 3500), epochs=8, steps=60,
             drawn=1000, temperatures=(0.4, 0.6, 0.8, 1.0, 1.2)),
) | dict(rates=dict(trained=3e-4, untrained=1e-3), weight=1.0)  # fmt: skip

# %% [markdown]
# The text below describes size `cpu`; size `smoke` only proves that every cell runs.
#
# ## 1. The witness
#
# `shipped_drawer()` is the Image GPT that comes with the course: 14 × 14 pixels in eight greys, four
# blocks, larger than yours of lesson 10 and trained for longer. It learned from MNIST's training digits **without** the
# 5,000 of lesson 09. So these are new to it, pictures and labels, and we may examine it with them.

# %%
import time
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from coursekit import plots
from coursekit.datasets.digits import load_digits
from coursekit.metrics.images import bits_per_pixel, neighbours
from coursekit.models.image_gpt import draw
from coursekit.pixels import shipped_drawer
from coursekit.plots import digits as sheets

drawer = shipped_drawer().to(here.device)
print(drawer)
train_set = load_digits("train", count=settings["train"])
exam = load_digits("test", count=settings["exam"])
train_tokens, exam_tokens = drawer.tokens(train_set.images), drawer.tokens(exam.images)
bits, _ = bits_per_pixel(drawer.model, exam_tokens)
counted = neighbours(train_tokens, exam_tokens, len(drawer.palette))
print(f"{len(train_set)} digits to learn from, {len(exam)} for the exam, all new to the drawer")
print(f"bits a pixel of the exam: {bits:.3f}; by counting four neighbours {counted:.3f}")


# %%
def drawn(count, temperature=1.0, seed=0):
    """Pictures (count, side, side), drawn from nothing in rounds that fit the memory."""
    torch.manual_seed(seed)
    rounds = torch.arange(count).split(150)
    tokens = [draw(drawer.model, len(part), temperature) for part in rounds]
    return drawer.images(torch.cat(tokens))


plots.show(
    sheets.sheet(drawn(20), "Twenty digits that nobody wrote"),
    alt="Twenty drawn digits in two rows of ten. Most can be read as digits, some are no digit at "
    "all.",
)

# %% [markdown]
# Most are digits, and a few are not, though every stroke of them looks like one. Keep that in mind: a
# stroke is local, a digit is not. It draws what it saw. Is there a *"three"* anywhere in it?
#
# ## 2. Where would it know it?
#
# After each block, every pixel's place holds E numbers, the `states` (B, T, E). Place t has seen the
# pixels before t. From its numbers the next pixel is guessed, after the last block. If the model has
# found out that a 3 is being drawn, it must stand somewhere in there, because it helps to guess what
# comes.
#
# One vector for a picture: the mean over its places, as Chen and colleagues did it in 2020. Five vectors
# even: before the first block (0), and after each. (We take the mean over each of seven bands of rows
# first, and then that of the seven, which is the same. Later the bands come in handy.)

# %%
BANDS = 7


@torch.no_grad()
def features(drawer, tokens):
    """The mean states of each band of rows, of pictures, tokens (n, T): (n, layers + 1, 7, E)."""
    model = drawer.model.eval()
    found = torch.empty(len(tokens), model.layers + 1, BANDS, model.dim)
    for some in torch.arange(len(tokens)).split(50):
        part = tokens[some].to(here.device)
        before = F.pad(part, (1, 0), value=model.start_id)[:, :-1]  # start, t₀ …
        states = [x for x, _ in model.layer_by_layer(model.tokens(before))]  # (B, T, E) each
        states[-1] = model.norm(states[-1])
        for layer, each in enumerate(states):
            found[some, layer] = each.unflatten(1, (BANDS, -1)).mean(2).cpu()  # (B, 7, E)
    return found


started = time.perf_counter()
kept = {"trained": (features(drawer, train_tokens), features(drawer, exam_tokens))}
print(f"{tuple(kept['trained'][0].shape)} in {time.perf_counter() - started:.0f} s")
spreads = kept["trained"][0].mean(2).std(0)  # (layers + 1, E)
for layer, each in enumerate(spreads):
    print(
        f"after block {layer}: spreads of the {len(each)} features from {each.min():.4f} to "
        f"{each.max():.3f}"
    )

# %% [markdown]
# The features live on very different scales. A probe that is kept small, as all of ours are, would listen
# to the loud ones alone. So each feature is *standardised* first: mean 0, spread 1.
#
# ### Exercise 1 · On one scale, and no peeping
# *difficulty 2/5 · importance 5/5 · 10 minutes*
#
# 1. For each of the D features take the mean and the spread (the standard deviation, with n or n − 1 below
#    the line) **over the training pictures**.
# 2. Take that mean off both sets, and divide both by that spread. The exam has no say in it: in real
#    life the next picture comes alone.
# 3. A feature that never changes has the spread 0. Divide it by 1, so that nothing becomes nan.
# 4. Leave the given tensors as they are, and return both new ones.


# %%
def standardise(train, test):
    """train (n, D), test (m, D) -> train (n, D), test (m, D)"""
    raise NotImplementedError("write me")


from coursekit.checks import lesson_12 as check

check.standardise(standardise)

# %% [markdown]
# <details><summary>Hint 1: which dimension?</summary>
#
# `train.mean(0)` is (D,): one number for each feature. It fits (n, D) and (m, D) by itself.
# </details>
# <details><summary>Hint 2: the feature that never changes</summary>
#
# `torch.where(spread > 0, spread, 1.0)`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def standardise(train, test):
#     mean, spread = train.mean(0), train.std(0)
#     spread = torch.where(spread > 0, spread, 1.0)
#     return (train - mean) / spread, (test - mean) / spread
# ```
# </details>
#
# ## 3. What can a straight line read?
#
# The *linear probe* of lesson 02: one linear layer from features to ten classes, here by scikit-learn.
# The drawer stays as it is. Whatever the probe finds was there in plain form.
#
# A number alone says nothing. Two others must stand beside it:
#
# - **raw pixels**: the same probe on the picture itself. It asks whether the drawer has added anything;
# - **the same model, untrained**: random weights. It asks whether the *training* has added anything.
#
# **Predict** all three: the trained drawer's best layer, the untrained one's, raw pixels. And which layer is
# the best? The last one is where the next pixel is guessed.

# %%
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

warnings.simplefilter("ignore", ConvergenceWarning)  # 300 rounds are plenty for a comparison


def scaled(train, test):
    """Both on the scale of `train`, as in exercise 1: the course's own, so that all cells run."""
    mean, spread = train.mean(0), train.std(0)
    spread = torch.where(spread > 0, spread, 1.0)
    return (train - mean) / spread, (test - mean) / spread


def probe(train, test, labels=None, strength=0.1):
    """A linear probe learns train (n, D) with its labels -> classes (m,) of test (m, D)."""
    train, test = scaled(train, test)
    labels = train_set.labels[: len(train)] if labels is None else labels
    # C: smaller keeps the weights smaller. The best on dev: 1 for 96 features, 0.1 for hundreds
    model = LogisticRegression(C=strength, max_iter=300)
    return torch.from_numpy(model.fit(train.numpy(), labels.numpy()).predict(test.numpy()))


def share(guessed):
    """The share of the exam that is named rightly, and half its 95 % interval."""
    right = (guessed == exam.labels).double().mean().item()
    return right, 1.96 * (right * (1 - right) / len(exam)) ** 0.5


# %%
untrained = drawer.untrained(seed=0)
kept["untrained"] = (features(untrained, train_tokens), features(untrained, exam_tokens))
pixels = tuple(drawer.images(t).flatten(1).float() for t in (train_tokens, exam_tokens))
layers = range(drawer.model.layers + 1)
by_layer = {
    name: [share(probe(a[:, layer].mean(1), b[:, layer].mean(1), strength=1.0)) for layer in layers]
    for name, (a, b) in kept.items()
}
raw = share(probe(*pixels))
plots.show(
    sheets.accuracy_by_layer(by_layer,
                             "The drawer knows more than the pixels say, and training taught it",
                             {"raw pixels": raw[0]}),
    alt="Share of exam digits named rightly by a linear probe, after each block: "
    + "; ".join(f"{name} {', '.join(f'{v:.0%}' for v, _ in each)}"
                for name, each in by_layer.items())
    + f". Raw pixels: {raw[0]:.0%}.",
)  # fmt: skip
for name, each in (by_layer | {"raw pixels": [raw]}).items():
    print(f"{name:10}", *(f"{value:6.1%} ± {half:.1%}" for value, half in each))

# %% [markdown]
# **Left end.** Before the first block, the mean over the places tells only how much there is of each grey.
# From that, hardly three digits of ten can be read, trained or not. **One block later** the trained drawer is
# near raw pixels, and from the third on it is **above them**: with 96 numbers that have forgotten every
# place, where the picture has 196 that have not. And it is the training that did it: the same model with
# the random weights that training begins with stays some twenty points below, or more.
#
# So there is something like a "three" in it. Nobody asked for it. It helps to guess the next grey, and that
# was enough. (In the large models of Chen and colleagues the *middle* layers are the best, since the last
# ones turn back to the next pixel. Ours has four, and its last two cannot be told apart on this exam.)
#
# Was the comparison fair? The mean forgets where, the pixels know it. Seven bands of rows keep a little of the
# *where*. **Predict:** who gains more by the bands, the trained drawer or the untrained one?


# %%
def in_bands(train, test):
    """Shares named rightly by probes of all seven bands side by side, after each block."""
    return [share(probe(train[:, k].flatten(1), test[:, k].flatten(1))) for k in layers]


for name in kept:
    wide = by_layer[f"{name}, 7 bands"] = in_bands(*kept[name])
    print(f"{name + ', 7 bands':18}", *(f"{value:6.1%} ± {half:.1%}" for value, half in wide))
print(f"{'raw pixels':18} {raw[0]:6.1%} ± {raw[1]:.1%}")
kept.pop("untrained", None)  # its memory is wanted below

# %% [markdown]
# Both gain. The bands of the *embeddings* alone, that is, how much of each grey lies in each band, already read
# seven digits of ten. The trained drawer reaches 95 %, five in a hundred wrong where raw pixels have nine.
# The untrained one gains most and still stays below the pixels: random mixtures do not happen to lay the
# digits open to a straight line.
#
# Remember the *two controls*. Without "raw pixels" 94 % would be a number without meaning, and without
# "untrained" it might be the merit of the build. Nor is it a law that the drawer wins: one that was trained
# for less may tell you less by its mean than raw pixels do. Try yours of lesson 10.
#
# ## 4. Let it learn: two losses at once
#
# A probe may only look. Now the whole model may move. One linear layer on the mean-pooled states after
# the last norm gives ten class logits; the old head goes on guessing pixels. Chen and colleagues add both
# losses, so that the model does not forget how digits look while it learns their names:
#
# $$L = w \cdot L_\text{pixels} + L_\text{label}$$
#
# One forward pass serves both: the same states (B, T, E) go to the one head place by place, and to the
# other as their mean.


# %%
class Classifier(nn.Module):
    """An Image GPT with a second head, which names a picture from its standardised mean state."""

    def __init__(self, model, classes=10):
        super().__init__()
        self.model = model
        self.scale = nn.BatchNorm1d(model.dim, affine=False)  # exercise 1, from batch to batch
        self.naming = nn.Linear(model.dim, classes)

    def forward(self, tokens):
        """tokens (B, T) → pixel logits (B, T, V), class logits (B, C)"""
        before = F.pad(tokens, (1, 0), value=self.model.start_id)[:, :-1]  # (B, T): start, t₀ …
        states, _ = self.model.run(self.model.tokens(before))  # (B, T, E)
        return self.model.head(states), self.naming(self.scale(states.mean(1)))


# %% [markdown]
# ### Exercise 2 · The joint loss
# *difficulty 2/5 · importance 5/5 · 10 minutes*
#
# 1. Pixels: the mean cross-entropy over all B · T of them. Logits t are already a guess at token t, so
#    nothing is moved.
# 2. Labels: the mean cross-entropy over the B pictures.
# 3. `weight` times the first plus the second, in nats. One number, with its gradient.


# %%
def joint_loss(pixel_logits, tokens, class_logits, labels, weight):
    """(B, T, V), (B, T), (B, C), (B,), a number -> scalar"""
    raise NotImplementedError("write me")


check.joint_loss(joint_loss)

# %% [markdown]
# <details><summary>Hint 1: shapes</summary>
#
# `F.cross_entropy` wants (N, V) and (N,): `pixel_logits.flatten(0, 1)` and `tokens.flatten()`.
# </details>
# <details><summary>Hint 2: mean or sum?</summary>
#
# Its default is the mean over everything it is given. With sums, 196 pixels would drown one label.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def joint_loss(pixel_logits, tokens, class_logits, labels, weight):
#     pixels = F.cross_entropy(pixel_logits.flatten(0, 1), tokens.flatten())
#     return weight * pixels + F.cross_entropy(class_logits, labels)
# ```
# </details>
#
# Now the question that pretraining is for. Labels are dear, pictures are cheap. **With few labels, how
# much is it worth to have drawn before?** Five ways to learn from the same labelled digits:
#
# | | begins with | what moves |
# |---|---|---|
# | **fine-tuned** | the drawer | everything |
# | **from scratch** | random weights | everything |
# | **probe, mean** | the drawer, after its last block | a linear layer |
# | **probe, 7 bands** | the drawer, its best layer | a linear layer |
# | **raw pixels** | nothing | a linear layer |
#
# A head of random weights would first send random gradients through a model that knows something, and spoil
# it (Kumar et al. 2022). So fine-tuning begins with the *probe* as its second head, and at a gentle rate. From
# scratch there is nothing to spoil: a random head and a rate three times as large, which suits it
# better. Steps, batches and loss are the same. **Predict** the order of the five at 50 labels, five of
# each digit. And at 3,500?

# %%
from coursekit.training import TrainSettings, train

starts = {"trained": drawer, "untrained": untrained}


@torch.no_grad()
def begin_with_probe(classifier, table, labels):
    """Makes a probe of features (n, E) and labels the second head of a classifier."""
    scaled_table, _ = scaled(table, table)
    found = LogisticRegression(max_iter=300).fit(scaled_table.numpy(), labels.numpy())
    classifier.naming.weight.copy_(torch.from_numpy(found.coef_))
    classifier.naming.bias.copy_(torch.from_numpy(found.intercept_))
    classifier.scale.running_mean.copy_(table.mean(0))
    classifier.scale.running_var.copy_(table.var(0))


def learn(name, count, weight=settings["weight"], rate=None, first=0):
    """A Classifier that began as the drawer `name`, trained on digits first to first + count."""
    rate, mine = rate or settings["rates"][name], slice(first, first + count)
    torch.manual_seed(0)
    classifier = Classifier(starts[name].copy().model)
    if name == "trained":
        table = kept[name][0][mine, -1].mean(1)  # (count, E)
        begin_with_probe(classifier, table, train_set.labels[mine])
    tokens, labels = (x[mine].to(here.device) for x in (train_tokens, train_set.labels))

    def batches(epoch):
        generator = torch.Generator().manual_seed(epoch)
        return list(torch.randint(len(tokens), (settings["steps"], 16), generator=generator))

    def loss(model, batch):
        pixel_logits, class_logits = model(tokens[batch])
        drawing = F.cross_entropy(pixel_logits.flatten(0, 1), tokens[batch].flatten())
        return weight * drawing + F.cross_entropy(class_logits, labels[batch])

    how = TrainSettings(epochs=settings["epochs"], learning_rate=rate, seed=0)
    begun = starts[name].fingerprint()[:8]  # other weights, another folder
    out = sizes.build_folder(
        "lesson-12", f"{here.size}-{begun}-{count}-{weight:g}-{rate:g}-{first}"
    )
    train(classifier.to(here.device), loss, batches, how, out=out, quiet=True)
    return classifier


@torch.no_grad()
def named(classifier):
    """Class logits of the exam (m, 10)."""
    return torch.cat([classifier(part.to(here.device))[1].cpu() for part in exam_tokens.split(50)])


# %%
best = max(layers, key=lambda layer: by_layer["trained, 7 bands"][layer])
whole, bands = kept["trained"], [each[:, best].flatten(1) for each in kept["trained"]]
ways = ("fine-tuned", "from scratch", "probe, mean", "probe, 7 bands", "raw pixels")
learned, shares = {}, {name: [] for name in ways}
for count in settings["labels"]:
    labels = train_set.labels[:count]
    for way, name in (("fine-tuned", "trained"), ("from scratch", "untrained")):
        learned[way, count] = learn(name, count)
        shares[way].append(share(named(learned[way, count]).argmax(1)))
    means = [each[:, -1].mean(1) for each in whole]
    shares["probe, mean"].append(share(probe(means[0][:count], means[1], labels, 1.0)))
    shares["probe, 7 bands"].append(share(probe(bands[0][:count], bands[1], labels)))
    shares["raw pixels"].append(share(probe(pixels[0][:count], pixels[1], labels)))
figure, axes = plots.panels(
    height=4.4, title="Fine-tuned with 50 labels as good as from scratch with 3,500"
)
for i, ((name, each), marker) in enumerate(zip(shares.items(), "os^vD", strict=True)):
    values, halves = zip(*each, strict=True)
    beside = [
        count * 1.04 ** (i - 2) for count in settings["labels"]
    ]  # or they would hide each other
    axes.errorbar(beside, values, halves, marker=marker, capsize=3, label=name)
axes.set(
    xlabel="labelled digits (log scale)", ylabel="share of the exam named rightly", xscale="log"
)
axes.set_xticks(settings["labels"], settings["labels"])
axes.minorticks_off()
axes.legend(loc="lower right")
plots.show(figure, alt="Share of exam digits named rightly by number of labels "
           + f"({', '.join(map(str, settings['labels']))}): "
           + "; ".join(f"{name} {', '.join(f'{v:.0%}' for v, _ in each)}"
                       for name, each in shares.items()))  # fmt: skip
for name, each in shares.items():
    print(f"{name:16}", *(f"{value:6.1%} ± {half:.1%}" for value, half in each))

# %%
fewest = settings["labels"][0]
sets = range(0, min(20 * fewest, len(train_set) - fewest + 1), fewest)
frozen = {"probe, mean": (means, 1.0), "probe, 7 bands": (bands, 0.1), "raw pixels": (pixels, 0.1)}
print(f"{len(sets)} sets of {fewest} labelled digits each:")
for name, ((known, asked), strength) in frozen.items():
    mine = [slice(i, i + fewest) for i in sets]
    each = [share(probe(known[m], asked, train_set.labels[m], strength))[0] for m in mine]
    print(f"{name:16} mean {np.mean(each):.1%}, from {min(each):.1%} to {max(each):.1%}")

# %% [markdown]
# **At 50 labels** the fine-tuned model names three digits of four, the one from scratch one of three, and with
# all 3,500 that one gets no further than the other with fifty. This is what the drawing was worth. Fine-tuning
# also gains on the probe it began with: to move helps. **At 3,500** it stays where its probe was, and the one
# from scratch still climbs: eighty steps of sixteen are too few for a newborn.
#
# *Which* fifty? The bars know of other exams, not of other labels. Twenty sets of fifty lie further apart
# than the bars are long. In the mean of them the drawer's probes are ahead of raw pixels, the bands clearly and
# the mean of all places by a little; on the fifty of the figure it is no better than the pixels. We have
# repeated the two trainings on three more sets as well (`learn("trained", 50, first=50)`, and so on):
# fine-tuned 68 to 79 %, from scratch 33 to 40 %, and thirty points or more between the two each time.
#
# Now cover three of the curves and look at *fine-tuned* and *from scratch* alone, as papers show them. A
# splendid victory. But from scratch lies far below **raw pixels**: it was a weak opponent. The strong one is
# the probe on seven bands, which looks at each digit once: level at 50 and at 500 labels, ahead at 3,500. (We
# chose its block by this very exam, which is peeping. The last block has half a point less, and is ahead as
# well.) It is the rule of lesson 02 again: *the frozen score is the number to beat.*
#
# And the second loss, was it worth its place? The same with and without it. At the gentle rate of before the
# drawer forgets little either way, so here the rate is three times as large, and the model moves further.
# **Predict** what each becomes as a *drawer*: better, worse, or as it was?

# %%
middle = settings["labels"][len(settings["labels"]) // 2]
some = exam_tokens[:250]
print(f"{'before':18} {'':28} {bits_per_pixel(drawer.model, some)[0]:.3f} bits a pixel")
for name, weight in (("both losses", 1.0), ("label's loss only", 0.0)):
    moved = learn("trained", middle, weight, rate=3 * settings["rates"]["trained"])
    right, half = share(named(moved).argmax(1))
    cost, _ = bits_per_pixel(moved.model, some)
    print(f"{name:18} {right:6.1%} ± {half:.1%} named rightly, {cost:.3f} bits a pixel")

# %% [markdown]
# In names this exam shows no difference. In drawing it does: both have forgotten a little, and without the
# pixels' loss about twice as much. It keeps the drawer a drawer. That it helps to name as well, as Chen and
# colleagues found for their models, we could not see here.
#
# ## 5. A matrix read aloud
#
# "So many per cent right" is one number. *What* does it get wrong, and is it always the same? Put a row
# for each true digit, a column for each guess, and count. Here is the classifier with the most labels.

# %%
from coursekit.metrics.images import confusion, kappa, report_by_class

best_one = learned["fine-tuned", settings["labels"][-1]]
logits = named(best_one)
guessed = logits.argmax(1)
counts = confusion(exam.labels, guessed)
plots.show(
    sheets.confusion_matrix(counts, "Twos and eights go wrong most often"),
    alt="Confusion matrix of the fine-tuned classifier on the exam. "
    + sheets.read_aloud(counts, most=6),
)  # fmt: skip
print(sheets.read_aloud(counts, most=6))

# %% [markdown]
# Read it aloud, row by row: *of a hundred true twos, 89 were called two, four were called three, three
# eight, three five …* And then the other way round: of a hundred threes, *none* was called two. A matrix need not be
# symmetric. It says what is taken **for what**: fours are taken for nines, nines hardly for fours.
#
# It answers two different questions for each digit, and they are easily mixed up. Take the 9:
#
# - along its **row**: of all true nines, how many did it find? That is **recall**.
# - down its **column**: of all that it *called* nine, how many are? That is **precision**.
#
# $$\text{precision}_c = \frac{n_{cc}}{\sum_r n_{rc}} \qquad
# \text{recall}_c = \frac{n_{cc}}{\sum_k n_{ck}} \qquad
# F_{1,c} = \frac{2 \cdot \text{precision}_c \cdot \text{recall}_c}{\text{precision}_c + \text{recall}_c}$$
#
# Who calls everything a nine has recall 1 and precision 0.1. F1, their harmonic mean, is only large where
# both are.
#
# ### Exercise 3 · Precision, recall, F1
# *difficulty 2/5 · importance 4/5 · 15 minutes*
#
# From a matrix of counts (C, C), rows true and columns guessed, compute the three for each class. Where
# a sum below the line is 0 (a class that never occurs, or is never guessed), the score is 0.


# %%
def by_class(counts):
    """counts, array (C, C) -> precision (C,), recall (C,), F1 (C,)"""
    raise NotImplementedError("write me")


check.by_class(by_class)

# %% [markdown]
# <details><summary>Hint 1: which sum?</summary>
#
# `counts.sum(0)` adds up each column: how often each class was guessed. `counts.sum(1)` adds up each row.
# </details>
# <details><summary>Hint 2: nothing by nothing</summary>
#
# Where a sum is 0, `counts.diagonal()` is 0 as well. Divide by `np.maximum(sum, 1)`.
# </details>
# <details><summary>Hint 3: F1</summary>
#
# The same trick fails there, since precision + recall may be a small fraction. Divide by
# `np.where(total > 0, total, 1)`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def by_class(counts):
#     right = counts.diagonal()
#     precision = right / counts.sum(0).clip(1)
#     recall = right / counts.sum(1).clip(1)
#     total = precision + recall
#     return precision, recall, 2 * precision * recall / (total + (total == 0))
# ```
# </details>

# %%
table = report_by_class(exam.labels, guessed)  # scikit-learn's
print("digit  precision  recall     F1  of the exam")
for digit, each in enumerate(table):
    print(f"{digit:5} {each.precision:10.3f} {each.recall:7.3f} {each.f1:6.3f} {each.count:12}")
wrong = (guessed != exam.labels).nonzero().flatten()
doubt = logits.softmax(1).max(1).values[wrong]
shown = wrong[doubt.argsort(descending=True)[:20]]  # the surest first
names = [f"{exam.labels[i]}, not {guessed[i]}" for i in shown.tolist()]
plots.show(
    sheets.sheet(drawer.images(exam_tokens[shown]),
                 "Wrong, and sure of it: the digits that were named falsely", names,
                 [True] * len(names), size=0.95),
    alt="The digits that were named wrongly, the surest errors first: " + "; ".join(names) + ".",
)  # fmt: skip

# %% [markdown]
# Compare the 9 and the 6. Of the true nines nearly all are found: recall 0.97. But of what is *called* nine, one in
# ten is none: precision 0.90. Its column says which: fours, eights, sevens. With the 6 it is the other way round:
# what is called six nearly always is one (0.97), but seven of a hundred sixes are called something else (0.93).
# Accuracy cannot tell you that; the two scores can.
#
# And look at the pictures, always. A few of these would have fooled you as well, at 14 × 14 pixels. Others, such as
# the four that is closed at its top, tell you what the model goes by.
#
# ### When accuracy lies
#
# Our exam has a hundred of each digit. Real life is not so kind. A machine that reads letters to one
# small town sees the same first digit nine times of ten. **Predict:** on such a pile, a program that always
# says *1*: what accuracy has it? And how much does it know?
#
# **Cohen's kappa** (1960) takes off what chance alone would reach. With $p$ the share of agreement and $e$
# the agreement expected if guesses were dealt out at random, as often as they occur:
#
# $$\kappa = \frac{p - e}{1 - e}, \qquad e = \sum_c \frac{n_{c\cdot}}{n} \cdot \frac{n_{\cdot c}}{n}$$

# %%
ones, others = (exam.labels == 1).nonzero().flatten(), (exam.labels != 1).nonzero().flatten()
pile = torch.cat([ones, others[: max(2, len(ones) // 9)]])  # nine of ten are ones
programs = {
    "fine-tuned, on the exam": (exam.labels, guessed),
    "fine-tuned, on the pile": (exam.labels[pile], guessed[pile]),
    "always 1, on the pile": (exam.labels[pile], torch.ones_like(pile)),
}
for name, (true, said) in programs.items():
    accuracy = (true == said).double().mean()
    present = [each.f1 for each in report_by_class(true, said) if each.count]
    print(
        f"{name:24} accuracy {accuracy:.3f}  mean F1 {np.mean(present):.3f}  kappa "
        f"{kappa(true, said):.3f}"
    )

# %% [markdown]
# *Always 1* is right nine times of ten, and kappa says what it knows: **nothing**. Even mean F1 is not taken in. Now
# compare the first two lines. On the pile the classifier's accuracy has risen by five points, and it has learned
# nothing in between; most of the pile is easy. Its kappa has moved less than half as far. Say kappa, or F1, with
# every accuracy, and say what the exam is made of.
#
# ## 6. How good are its drawings?
#
# A classifier can be held against labels. A drawing cannot: there is no right answer to "draw a digit".
# Papers use two numbers, and both ask **a second network**. For photos that is Inception, for us
# `digit_judge()`: a small CNN that was trained on real digits with their labels, and names more than 99 %
# of MNIST's test digits.
#
# **The classifier score** (the formula of the *Inception score*, Salimans et al. 2016). For a good drawing
# the judge is sure, so its $p(y|x)$ is narrow. For a good *set* of drawings all kinds occur, so the mean $p(y)$ is wide. One
# number for both:
#
# $$\exp\Big( \tfrac1n \sum_x \mathrm{KL}\big(p(y|x)\,\|\,p(y)\big) \Big), \qquad
# \mathrm{KL}(p \,\|\, q) = \sum_y p_y \log \frac{p_y}{q_y}$$
#
# ### Exercise 4 · The classifier score
# *difficulty 3/5 · importance 3/5 · 10 minutes*
#
# 1. p(y) is the mean of the rows, (C,).
# 2. The KL of each row from it: sums over classes. Where the judge says exactly 0, the term is 0.
# 3. The mean over the pictures, then exp. **Recall** from lesson 10 the largest and the smallest value for 10
#    classes, and say why.


# %%
def classifier_score(told):
    """told (n, C), each row a distribution -> a number"""
    raise NotImplementedError("write me")


check.classifier_score(classifier_score)

# %% [markdown]
# <details><summary>Hint 1: zeros</summary>
#
# `torch.special.xlogy(p, q)` is p · log q, and 0 where p is 0. A KL is `xlogy(p, p) - xlogy(p, q)`, summed.
# </details>
# <details><summary>Hint 2: shapes</summary>
#
# `told.mean(0)` is (C,) and fits (n, C). Sum over dim 1 → (n,), mean → one number.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def classifier_score(told):
#     every = told.mean(0)  # (C,)
#     each = torch.special.xlogy(told, told) - torch.special.xlogy(told, every)  # (n, C)
#     return each.sum(1).mean().exp()
# ```
# </details>
#
# **The Fréchet distance** (Heusel et al. 2017) never asks for names. It takes the judge's *features*, 64
# numbers before its last layer, of real digits and of drawn ones, and compares two clouds by their means $\mu$
# and covariances $C$. Equal clouds have the distance 0:
#
# $$\lVert \mu_a - \mu_b \rVert^2 + \mathrm{tr}\big( C_a + C_b - 2\,(C_a C_b)^{1/2} \big)$$
#
# Now the drawer is examined at several temperatures (lesson 11). Beside it stand sets that nobody
# would call good drawings. **Predict** which of them fools which number:
#
# - real digits that are not in the reference: what to hope for;
# - **ten digits**, one of each kind, thirty times;
# - **copies**: digits of the reference itself;
# - **stirred**: real digits, their pixels shuffled.

# %%
from coursekit.metrics import images as scores
from coursekit.models.digit_judge import digit_judge

judge = digit_judge().to(here.device)
few = settings["drawn"]
real, reference = drawer.images(exam_tokens), drawer.images(train_tokens)
ten = torch.stack([real[exam.labels == digit][0] for digit in range(10)])
torch.manual_seed(0)
stirred = real[:few].flatten(1)
stirred = stirred.gather(1, torch.rand(stirred.shape).argsort(1)).view_as(real[:few])
drawings = {f"drawn, temperature {t}": drawn(few, t) for t in settings["temperatures"]}
sets = {"real, others": real[:few], **drawings}
sets |= {
    "ten digits, repeated": ten.repeat(few // 10, 1, 1),
    "copies": reference[:few],
    "stirred": stirred,
}
judged = {name: judge.judge(images) for name, images in sets.items()}
of_reference, _ = judge.judge(reference)
names = [f"τ = {t:g}" if i == 0 else "" for t in settings["temperatures"] for i in range(10)]
plots.show(
    sheets.sheet(torch.cat([images[:10] for images in drawings.values()]),
                 "The cooler, the fewer kinds", names),
    alt=f"Rows of ten drawn digits at temperature {', '.join(map(str, settings['temperatures']))}. "
        "The coolest row holds thin strokes of few kinds, the last one all sorts of hands.",
)  # fmt: skip
coolest = list(drawings)[0]
of_kind = judged[coolest][1].argmax(1).bincount(minlength=10)
print(f"{coolest}, called 0 to 9 so often:", *of_kind.tolist())
print(f"{'':24} score = kinds / doubt   Fréchet distance")
for name, (own, told) in judged.items():
    # As if so many kinds were equally frequent, and as if the judge wavered between so many
    kinds = torch.special.entr(told.mean(0)).sum().exp()
    doubt = torch.special.entr(told).sum(1).mean().exp()
    distance = scores.frechet_distance(own, of_reference)
    print(
        f"{name:24} {scores.classifier_score(told):5.2f} = {kinds:5.2f} / {doubt:5.2f} "
        f"{distance:18.3f}"
    )

# %% [markdown]
# The score is a quotient, so it says where it comes from: exp of a difference of two entropies. *Kinds* is how
# many classes occur, as if equally often; *doubt* is between how many the judge wavers. So it is 1 at the
# least, where all pictures look alike to the judge, and 10 at the most: ten kinds over no doubt.
#
# **The drawer.** At temperature 1 it is good, if not as good as people: most drawings leave the judge in
# little doubt, and all ten kinds occur. You might have thought that a cooler one draws cleaner digits. It draws
# **fewer kinds**, thin ones, and is read hardly more surely: at 0.5 two digits do not occur at all, since a little
# preference at each of 196 pixels multiplies to a great one. Both numbers say so.
#
# **The traps.** Ten real digits, over and over, get a *better* score than three hundred different ones:
# all kinds, no doubt, and nobody asks about variety within a kind. The Fréchet distance does ask, and finds it. But
# **copies** fool both. They come as near to the reference as other real digits do, and nearer. Neither number asks
# whether anything was *drawn* at all; a model that has learned its training set by heart is the winner.
# And stirred pixels, which are no digits, are found by both.
#
# One trap is left, and it is the one that papers fall into. The Fréchet distance of **real** digits to
# real digits should be near 0. **Predict** it for 20 of them, and for 1,000. The set of three hundred drawings
# is somewhere between: where?

# %%
others, _ = judge.judge(real)
order = torch.randperm(len(others), generator=torch.Generator().manual_seed(0))
numbers = [n for n in (20, 50, 100, 200, 500, 1000) if n <= len(others)]
apart = [scores.frechet_distance(others[order[:n]], of_reference) for n in numbers]
level = {f"{few} drawn": scores.frechet_distance(judged[list(drawings)[-1]][0], of_reference)}
figure = plots.lines(
    {"real digits": (numbers, apart)}, "The same real digits: the fewer, the worse they look",
    "number of digits (log scale)", "Fréchet distance to the reference", level, log_x=True,
    points=True,
)  # fmt: skip
figure.axes[0].set_xticks(numbers, numbers)
figure.axes[0].minorticks_off()
plots.show(
    figure,
    alt="Fréchet distance of real digits to the reference by their number: "
    + ", ".join(f"{n}: {value:.2f}" for n, value in zip(numbers, apart, strict=True))
    + "".join(f". The line: {name}, {value:.2f}." for name, value in level.items()),
)  # fmt: skip
for n, value in zip(numbers, apart, strict=True):
    print(f"{n:5} real digits: {value:.2f}")

# %% [markdown]
# Real digits, from the very source of the reference. Twenty of them lie further away than three hundred
# drawn ones (the line), and so do fifty: a cloud of 64 dimensions cannot be measured with twenty points, and the error always goes the
# same way. So **compare sets of the same size only**, and large ones; papers take tens of thousands. And only with
# the same judge: the distance has the units of its features, squared.
#
# ### The picture that stays

# %%
title = "It knows ten kinds of digit, and nobody told it"
figure, (left, right) = plots.panels(
    1, 2, width=9.8, height=4.4, title=title, width_ratios=(1, 1.15)
)
for (name, each), marker in zip(by_layer.items(), "os^D", strict=True):
    left.plot([value for value, _ in each], marker=marker, label=name)
left.axhline(raw[0], color=plots.GREY, ls="--", lw=1.3, label="raw pixels")
tuned = shares["fine-tuned"][-1][0]
left.plot(layers[-1], tuned, "*", ms=14, color=plots.ORANGE, label="fine-tuned")
left.set(xlabel="after block (0: embeddings)", ylabel="share of the exam named rightly")
left.set_xticks(layers)
left.legend(loc="lower right", fontsize=8.5)
sheets.draw_confusion(right, counts)
right.set_title("the fine-tuned one, read row by row", fontsize=10)
plots.show(figure, alt="Left: share named rightly by a probe after each block, trained and "
                       f"untrained, raw pixels, and the fine-tuned model at {tuned:.0%}. Right: "
                       f"its confusion matrix. {sheets.read_aloud(counts)}")  # fmt: skip

# %% [markdown]
# **Left**, the answer. That *trained* lies above *untrained*: training put it there. That *trained* lies above the
# dashed line: it is more than the pixels say. **Right**, what it still takes for what.
#
# Did it *understand* what it drew? A straight line through its states tells digits apart more surely than one
# through the picture, and nobody ever asked it to. To know which digit it is helps to guess the next grey, so
# it was learned. Whether that is understanding, no number of this lesson says; but you can now say
# exactly what was measured, and against what. In lesson 02 the answer was: *what the training asked for*. Here
# it asked for very little, and got more.
#
# ## Without the cells
#
# The package does all of this for digits of your own and models of any size:
#
# ```sh
# coursekit probe --help
# coursekit finetune --help
# coursekit report --help
# ```
#
# `finetune` begins with the probe, too, and with `--scratch` with random weights; it measures the scale of
# the features once, before the first step, and keeps the weights that name the most of dev. `report` writes
# the matrix, precision, recall, F1 and kappa, the curves and a page of completions into one HTML file.
#
# ## When something looks wrong
#
# | what you see | the likely cause |
# |---|---|
# | a probe near 10 % | labels and features in different orders; features of a model in training mode, with dropout |
# | a probe at 100 % | the exam is among the training pictures, or labels among the features |
# | good on training features, poor on the exam | more features than labels: a smaller `C`, chosen on dev |
# | `lbfgs failed to converge` | features not standardised |
# | the trained model's probe equals the untrained one's | the weights were not loaded |
# | fine-tuning starts at 10 % and stays | a rate too high: the drawing is forgotten in the first steps; warm up |
# | pixel loss rises while labels are learned | `weight` too small, or 0 |
# | kappa far below accuracy | one class makes up most of the exam |
# | nan in precision | a class that nobody guessed: 0 / 0 |
# | Fréchet distance of real digits is large | too few of them, other pixels or colours than the reference |
# | a splendid classifier score, dull pictures | always the same few: look at them, and at the Fréchet distance |
#
# ## Questions
#
# 1. The untrained model's features are random, and a probe reads many digits off them. How can that be?
# 2. In the models of Chen and colleagues a *middle* block is better than the last one. Why may that be?
# 3. A colleague standardises all digits together, then splits them. Her probe is half a per cent better
#    than yours. What do you say?
# 4. Precision of the class 9 is 0.80 and its recall is 0.95. What does the column of the 9 look like?
# 5. Two programs have accuracy 0.95. One has kappa 0.94, the other 0.20. Describe their exams.
# 6. Your drawings have a better Fréchet distance than real test digits have. Congratulations?
# 7. Did it understand what it drew? Argue for both sides, with one number each.
#
# <details><summary>Short answers</summary>
#
# 1. Random mixtures of the pixels keep most of what is in the pixels. A straight line through mixtures with
#    a bend in them can do things that one through pixels cannot.
# 2. The last ones serve the next pixel. What is good for the whole picture may be made on the way, and
#    be used up.
# 3. That her exam has helped to set the scale. With this many digits the difference is small, and it is
#    not hers to keep.
# 4. One in five pictures in it is no nine: others were called 9, while few true nines are missing.
# 5. In the first all classes are about equally many. In the second one class makes up more than nine
#    tenths, and the program does little more than say it.
# 6. No. They may be copies of the reference. Look for the nearest reference digit of each.
# 7. For: the trained model's features against the untrained ones', or fine-tuning against scratch. Against:
#    raw pixels beside the probe; or a drawing that is made of good strokes and is no digit.
# </details>
#
# ## Go further
#
# - Fine-tune with the pixels' loss on **all** 3,500 digits and the label's loss on 50. The unlabelled ones
#   cost nothing.
# - Take the largest value over the places instead of the mean (lesson 02), or the last place alone.
# - Train a drawer with the BERT objective (`coursekit train image-gpt --objective bert`), which sees both
#   sides of every pixel, and probe it.
# - Find for each drawn digit the nearest of the 3,500. Is any of them a copy?
# - The papers: Chen et al. 2020, *Generative pretraining from pixels*; Alain and Bengio 2016,
#   [on linear probes](https://arxiv.org/abs/1610.01644); Cohen 1960, *A coefficient of agreement for nominal
#   scales*; [Salimans et al. 2016](https://arxiv.org/abs/1606.03498) and
#   [Heusel et al. 2017](https://arxiv.org/abs/1706.08500) on the two scores; [Barratt and Sharma
#   2018](https://arxiv.org/abs/1801.01973) on what is wrong with the first.
#
# ## What you have
#
# This was the last lesson. In lesson 01 a network learned to finish a sentence. In 02 and 03 it was
# handed a picture, in 04 you learned to doubt its scores, in 05 it looked where it spoke, and in 06 to 08 the
# same job was done by transformers, pretrained and stitched together. Then the words became pixels, and
# hardly a line of the model had to change: **a state, the last token, a guess at the next one.** That was the
# one idea of the course, and you have written all of it yourself.
#
# What remains is what no lesson can give: data that nobody has cleaned, a question that nobody has put
# before, and a number that looks too good. You know what to do with that: *predict, run, look, and doubt.*
# **What will you teach to finish your sentence?**

# %%
sizes.report(
    bits=bits,
    probe_mean=max(by_layer["trained"])[0],
    probe_untrained_mean=max(by_layer["untrained"])[0],
    probe_bands=max(by_layer["trained, 7 bands"])[0],
    raw_pixels=raw[0],
    fine_tuned_few=shares["fine-tuned"][0][0],
    scratch_few=shares["from scratch"][0][0],
    fine_tuned=shares["fine-tuned"][-1][0],
    kappa=kappa(exam.labels, guessed),
)
