# %% [markdown]
# # 07 · Can a model that never saw describe a picture?
#
# A language model has read and never looked. It knows that boats float and that a sky may be
# orange, and it has no idea what is in front of you. In lesson 03 the captioner was built around
# its picture, and trained on both at once. Now we take a model that is **finished**, that knows
# nothing but text, and hand it a picture.
#
# By which door? It has a single one: a row of embeddings. So the picture must come as embeddings,
# read like words that are no words, before the first true one. This is a **prefix**. Frozen
# (Tsimpoukelli et al. 2021) and ClipCap (Mokady et al. 2021) did it with models that had read the
# web, and did not have to change a single weight of them.
#
# After this lesson you can
#
# - make a prefix of a picture, of one embedding or of many, and join it to words;
# - train with labels that skip what is not to be guessed, and recognise what happens otherwise;
# - freeze a language model, tune it, or tune it through LoRA, and count what learns;
# - compare such choices by short trainings, with intervals, and say what they do not show.
#
# Two hours and a half with the exercises.

# %%
from coursekit import sizes

here = sizes.setup()
print(here)

# %%
settings = here.pick(
    smoke=dict(language="small", gpt=dict(dim=32, layers=2, heads=2), eye="small_cnn", pictures=120,
               exam=40,
               reading=(60, 1, 16), round=64, rounds=2, trial=(60, 1, 20), bugs=6,
               rates=dict(read=3e-3, tuned=2e-3, lora=5e-3, frozen=5e-3)),
    cpu=dict(language="small", gpt=dict(dim=128, layers=3, heads=4), eye="small_cnn", pictures=6000,
             exam=500,
             reading=(6000, 1, 16), round=1200, rounds=10, trial=(1200, 2, 200), bugs=80,
             rates=dict(read=3e-3, tuned=2e-3, lora=5e-3, frozen=5e-3)),
    gpu=dict(language="gpt2", gpt=None, eye="resnet18", pictures=6000, exam=500,
             reading=None, round=6000, rounds=8, trial=(6000, 2, 500), bugs=150,
             rates=dict(tuned=1e-4, lora=5e-4, frozen=1e-3)),
)  # fmt: skip

# %% [markdown]
# The text below describes size `cpu`, where the language model is a small one that we train first.
# At size `gpu` the same code takes the real `gpt2` by its name, and ResNet-18 for an eye; size
# `smoke` only proves that every cell runs.
#
# ## 1. A model that has only read
#
# What shall it read? Captions, and nothing but their words; no picture is opened. They come as
# *documents*: the five captions of a picture, one after another, from `<bos>` to `<eos>` and on to
# the next `<bos>`.

# %%
import copy
import random
import time

import torch
from torch.nn import functional as F

from coursekit import decoding, plots
from coursekit.captioner import shipped_captioner
from coursekit.datasets.scene_words import claims, false_words
from coursekit.datasets.scenes import UNSEEN_PAIRS, Scenes
from coursekit.metrics.intervals import bootstrap, paired
from coursekit.models.encoders import cached_features
from coursekit.models.gpt import GPT
from coursekit.models.language import HuggingFaceLM, parameters_that_learn
from coursekit.models.lstm import ShowAndTell, caption_loss
from coursekit.models.prefix import (
    MAPPERS,
    PICTURE,
    TUNINGS,
    WORDS,
    PrefixCaptioner,
    caption_labels,
    make_mapper,
    prefix_loss,
)
from coursekit.models.sources import make_encoder
from coursekit.plots.prefixes import prefixed, words_in_cells
from coursekit.plots.studies import dots
from coursekit.text import BPETokenizer, WordTokenizer, pad
from coursekit.training import TrainSettings, bucketed_batches, train

counts = {"train": settings["pictures"]} | dict.fromkeys(
    ("dev", "test", "unseen"), settings["exam"]
)
sets = {split: Scenes(split, count) for split, count in counts.items()}
train_set, dev_set, test_set, unseen_set = sets.values()

# %%
small = settings["language"] == "small"
if small:
    tokenizer = WordTokenizer.train(c for cs in train_set.captions for c in cs)
else:
    tokenizer = BPETokenizer.from_pretrained(settings["language"])
tokens_of = [[tokenizer.with_ends(c) for c in cs] for cs in train_set.captions]
CONTEXT = 128  # tokens that our small model can look back over
documents = [[t for caption in each for t in caption][: CONTEXT + 1] for each in tokens_of]
print("a document:", " / ".join(train_set.captions[0]))
print(
    f"{len(documents)} documents; the first has {len(documents[0])} tokens, of {len(tokenizer)} "
    "words"
)

# %% [markdown]
# Nobody tells the model that these five lines speak of one scene. It may look back over all of them:
# that is what attention is for. Will it?
#
# **Predict:** it starts at $\ln V$ nats a token. Of the five captions in a document, which will be
# the dearest at the end, which the cheapest?


# %%
def new_language():
    """A language model that has read nothing: our GPT, or one of the build of the real one."""
    if small:
        return GPT(len(tokenizer), CONTEXT, **settings["gpt"], dropout=0.0)
    from transformers import AutoConfig, AutoModelForCausalLM

    build = AutoConfig.from_pretrained(settings["language"])
    return HuggingFaceLM(AutoModelForCausalLM.from_config(build))


def joined_up(texts):
    """Token lists → tokens (B, T) on the device."""
    return pad(texts, tokenizer.pad_id)[0].to(here.device)


def read(model, count, epochs, size):
    """Trains a language model on documents; returns its History."""
    lengths = [len(each) for each in documents[:count]]
    return train(
        model.to(here.device),
        lambda m, batch: caption_loss(m, None, joined_up([documents[i] for i in batch]),
                                      tokenizer.pad_id),
        lambda epoch: bucketed_batches(lengths, size, epoch),
        TrainSettings(epochs=epochs, learning_rate=settings["rates"]["read"]),
        out=sizes.build_folder("lesson-07", "reading"), dtype=here.dtype, quiet=True,
    )  # fmt: skip


torch.manual_seed(0)
language = new_language() if small else HuggingFaceLM.load(settings["language"]).to(here.device)
spent_reading = read(language, *settings["reading"]).seconds[-1] if small else 0.0
language.eval()
size = sum(each.numel() for each in language.parameters())
print(f"a language model of {size:,} numbers, after {spent_reading:.0f} s of reading")


# %%
@torch.no_grad()
def nats_by_caption(language, captions):
    """Nats a token of the first, second … fifth caption of documents."""
    texts = [[t for c in cs for t in tokenizer.with_ends(c)] for cs in captions]
    tokens = joined_up([text[: CONTEXT + 1] for text in texts])
    targets = tokens[:, 1:]
    logits = language.head(language.run(language.tokens(tokens[:, :-1]))[0])  # (B, T - 1, V)
    nats = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")  # (B, T - 1)
    ends = (targets == tokenizer.eos_id).long()
    which = ends.cumsum(1) - ends  # how many captions have ended before
    said = (targets != tokenizer.pad_id) & (targets != tokenizer.bos_id)
    return [nats[said & (which == k)].mean().item() for k in range(5)]


if small:
    dear = nats_by_caption(language, dev_set.captions[:100])
    plots.show(
        plots.lines({"dev": dear}, "Whoever has read one caption finds the next ones cheaper",
                    "which caption of a document",
                    "loss (nats a token)", points=True),
        alt="Nats a token of the five captions of a document: "
        + ", ".join(f"{n:.2f}" for n in dear),
    )  # fmt: skip

# %% [markdown]
# The first caption is dear: nothing is known of its scene, and nothing could be. The others cost
# less, since most of what they say has been said, and the model **looks back** at it. So it has
# learned more than sentences. It has learned **to take what stands before as news about a scene**.
# GPT-2 has, too, from web pages whose next line speaks of the same thing as the last. Everything
# below lives on this habit. (Documents do one thing more. The words of a caption will stand behind a
# picture, not at the beginning; and a model that had read single captions would never have met
# position 40.)
#
# What does it say when nothing stands before? `Blind` makes a step model of it that is handed a
# picture and does not look. The pictures are the scenes you know, as the frozen eye of lessons 03 and
# 05 leaves them: 16 vectors each, computed once.


# %%
class Blind:
    """A language model that is handed pictures and does not look: it goes on from `before` and
    <bos>."""

    def __init__(self, language, before=()):
        self.language, self.before = language, before

    def start(self, memory):
        if not len(self.before):
            return ()
        return self.language.run(self.language.tokens(self.before))[1]

    def step(self, tokens, state):
        hidden, state = self.language.run(self.language.tokens(tokens)[:, None], state or None)
        return self.language.head(hidden[:, 0]), state


def look(source, split, count=None, eye=settings["eye"]):
    """The memory of a split's first pictures, (count, N, D); kept in the build folder."""
    part = sets[split].subset(count)
    file = sizes.build_folder("features", f"lesson-07-{eye}-{source}-{split}-{len(part)}.pt")
    encoder = make_encoder(eye, embeddings=source).to(here.device)
    return cached_features(encoder, part, file).to(here.device)


memory = {split: look("grid", split) for split in sets}
generator = torch.Generator(here.device).manual_seed(1)
ids = tokenizer.bos_id, tokenizer.eos_id
drawn, _ = decoding.sample(
    Blind(language), memory["test"], *ids, temperature=0.8, generator=generator
)
blind = [tokenizer.decode(tokens) for tokens in drawn]
told = [
    [("it says", c.split(), false_words(c, scene.facts()))]
    for c, scene in zip(blind[:4], test_set.scenes, strict=False)
]
plots.show(
    plots.stories([test_set.image(i) for i in range(4)], told,
                  "Fluent, and false: it has not looked", 1.0),
    alt="Four pictures and what the blind model says, false words marked: " + "; ".join(blind[:4]),
)  # fmt: skip

# %% [markdown]
# Every sentence, slips of grammar aside, could be true of some picture. (At size `gpu` these are
# scraps of web pages: GPT-2 has not even been told that captions are wanted.)
#
# And now the trick on which the rest is built. We cannot show it a picture yet, but we can **tell**
# it one: let it read a true caption first, written by somebody else, and go on from there.
# **Predict:** what will it say next?


# %%
def score(captions, split):
    """BLEU-4, fact precision and recall of captions of a split's first pictures, with intervals."""
    part = sets[split].pick(range(len(captions)))
    found = bootstrap(captions, part.captions, meteor=False, resamples=300,
                      claims=[claims(c) for c in captions], facts=part.facts())  # fmt: skip
    return {name: found[name] for name in ("Bleu_4", "fact_precision", "fact_recall")}


def show_scores(rows):
    print(f"{'':28}{'BLEU-4':>22}{'fact precision':>24}{'fact recall':>24}")
    for name, each in rows.items():
        print(f"{name:28}", *(f"{value!s:>23}" for value in each.values()), sep="")


lengths = [len(tokenizer.encode(cs[0])) for cs in test_set.captions]
few = [i for i, length in enumerate(lengths) if length == lengths[0]]  # equally long: no padding
before = joined_up([tokenizer.with_ends(test_set.captions[i][0]) for i in few])
went_on, _ = decoding.greedy(Blind(language, before), memory["test"][few], *ids)
told_of = [tokenizer.decode(tokens) for tokens in went_on]
for i, caption in list(zip(few, told_of, strict=True))[:3]:
    print(f"it reads   {test_set.captions[i][0]}\nit goes on {caption}\n")


def precision(captions, scenes):
    said = [claims(c) for c in captions]
    true = sum(len(own & scene.facts()) for own, scene in zip(said, scenes, strict=True))
    return true / max(1, sum(map(len, said)))


print(f"true claims: {precision(blind, test_set.scenes):.2f} from nothing, "
      f"{precision(told_of, [test_set.scenes[i] for i in few]):.2f} after a true caption")  # fmt: skip

# %% [markdown]
# It goes on about what it was told. The model has no eyes, yet half of its claims are true of a
# picture it has never seen. **All that is missing is somebody who tells it.** This somebody will be a
# *mapper*: a small network that turns what the frozen eye saw into embeddings, and puts them where
# the caption stood.
#
# ## 2. Words that are no words
#
# A language model never sees a word. It sees a row of a table, $E$ numbers, and it does not ask
# where they come from. So hand it $E$ numbers of a picture: **one embedding**, between two others
# that say *here begins a picture* and *here it ends*. Nobody wrote rows for those two; they are
# learned, like the mapper.

# %%
example = min(test_set.captions[11], key=len).split()
title = "The picture is read first, and only words are guessed"
plots.show(
    prefixed(test_set.image(11), example, title, embeddings=1),
    alt="A row of boxes: picture begins, the embedding of the picture, picture ends, bos and the "
        "words of a caption. Above each word stands the next one, above the places of the picture "
        "nothing.",
)  # fmt: skip

# %% [markdown]
# One more thing is in the drawing. Each place has a **type**, picture or words, and for each type a
# learned vector is added to every embedding of that kind. (BERT tells its two sentences apart in this
# way; Devlin et al. 2019.) Attention can then ask for *something of the picture* without knowing what
# it looks like.
#
# Here is a forward pass by hand, with one embedding and everything untrained but the language.

# %%
torch.manual_seed(0)
E, D = language.dim, memory["test"].shape[-1]
mapper = torch.nn.Linear(D, E).to(here.device)
ends = 0.1 * torch.randn(2, E, device=here.device)  # <picture> and </picture>
types = torch.zeros(2, E, device=here.device)
tokens = joined_up([tokenizer.with_ends(cs[0]) for cs in test_set.captions[:3]])
picture = mapper(memory["test"][:3].amax(1))[:, None] + types[PICTURE]  # (B, 1, E)
begin, end = (row.expand(3, 1, -1) + types[PICTURE] for row in ends)  # (B, 1, E) each
words = language.tokens(tokens[:, :-1]) + types[WORDS]  # (B, T - 1, E)
joined = torch.cat([begin, picture, end, words], 1)  # (B, 3 + T - 1, E)
hidden, past = language.run(joined)
logits = language.head(hidden[:, 3:])  # (B, T - 1, V): the picture's places guess nothing
shapes = {"words": words, "joined": joined, "hidden": hidden, "logits": logits}
for name, each in (shapes | {"keys of a layer": past[0][0]}).items():
    print(f"{name:16}{tuple(each.shape)}")

# %% [markdown]
# Nothing inside the language model has changed; `run` is lesson 06's. See the last line, too: the
# keys and values of the picture's places stay in the cache, so while a caption is spoken the picture
# is read **once**, and looked back at before every word. It is not told once, as in lesson 03: it is
# attention again, as in lesson 05, except that the places stand in the same row as the words.
#
# ### Exercise 1 · Join picture and words
# *difficulty 2/5 · importance 5/5 · 10 minutes*
#
# 1. Begin with `ends[0]`, then the picture's P embeddings, then `ends[1]`, then the T words.
# 2. Add `types[0]` to the first P + 2 places (the ends belong to the picture), `types[1]` to the
#    words.
# 3. The result is (B, P + 2 + T, E). No loop is needed.


# %%
def join(picture, words, ends, types):
    """picture (B, P, E), words (B, T, E), ends (2, E), types (2, E) -> (B, P + 2 + T, E)"""
    raise NotImplementedError("write me")


from coursekit.checks import lesson_07 as check

check.join(join)

# %% [markdown]
# <details><summary>Hint 1: from (E,) to (B, 1, E)</summary>
#
# `ends[0].expand(B, 1, -1)` is the same row for every picture, without a copy.
# </details>
# <details><summary>Hint 2: types first</summary>
#
# Join the three parts of the picture, add `types[0]` to the whole; then join that to
# `words + types[1]`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def join(picture, words, ends, types):
#     begin, end = (row.expand(len(picture), 1, -1) for row in ends)
#     prefix = torch.cat([begin, picture, end], 1) + types[0]
#     return torch.cat([prefix, words + types[1]], 1)
# ```
# </details>

# %% [markdown]
# ## 3. What is to be guessed, and what not
#
# The model gives logits at *every* place it reads. At which of them do we ask? The loss must know a
# **label** for each place: the next token, or −100, which PyTorch's cross-entropy skips.
#
# - The picture's places guess nothing. There is no right word after half a picture; and `<bos>` after
#   `</picture>` is given, not guessed.
# - Padding guesses nothing.
# - **`<eos>` is guessed**, or it will not stop.
#
# And there is a trap. GPT-2 has one special token, `<|endoftext|>`, and people use it for `<bos>`,
# `<eos>` and padding at once. Whoever now skips *all padding tokens* skips every `<eos>` as well.
# What is padding can be told by its **place** only: all that comes after the first `<eos>`.
#
# ### Exercise 2 · Labels
# *difficulty 3/5 · importance 5/5 · 15 minutes*
#
# The model reads `prefix` places and then all tokens but the last: prefix + T − 1 places in all.
#
# 1. The first `prefix` labels are −100.
# 2. Then come the tokens from the second on, up to the first `<eos>` **among them**, itself included
#    (the first token is `<bos>`, which may be the same number).
# 3. After that −100, whatever the padding is. Do not change `tokens`.


# %%
def labels(tokens, prefix, eos_id):
    """tokens (B, T), bos first -> (B, prefix + T - 1), the next token or -100"""
    raise NotImplementedError("write me")


check.labels(labels)

# %% [markdown]
# <details><summary>Hint 1: after the first</summary>
#
# `(targets == eos_id).long().cumsum(1)` counts along a row how many have been seen, this one
# included.
# </details>
# <details><summary>Hint 2: the first one stays</summary>
#
# Take the token itself off the count: `ends.cumsum(1) - ends` is 0 up to the first `<eos>`, that one
# included, and more after it.
# </details>
# <details><summary>Hint 3: without changing tokens</summary>
#
# `targets.masked_fill(mask, -100)` makes a new tensor. `tokens[:, 1:]` is a view: writing into it
# writes into `tokens`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def labels(tokens, prefix, eos_id):
#     targets = tokens[:, 1:]
#     ends = (targets == eos_id).long()
#     targets = targets.masked_fill(ends.cumsum(1) - ends > 0, -100)
#     return F.pad(targets, (prefix, 0), value=-100)
# ```
# </details>
#
# The package joins and labels as you do: `PrefixCaptioner` is a mapper, ends and types around a
# language model, `prefix_loss` its loss (it computes logits only where a label is).
#
# What if one gets it wrong? Here are five short trainings: four of a model that has read nothing, the
# first of them healthy; the fifth repeats the fourth with the model that has read. In the third the
# places of the picture are labelled with a token, as happens when prefix and padding are filled with
# the same zero. **Predict** which of the four has the lowest loss, and of 50 captions how many end in each.


# %%
def loss_with(bug, model, memory, tokens):
    """Prefix and words joined by hand, and the loss, healthy or with a bug."""
    prefix = model.prefix(memory)  # (B, P + 2, E), the types added
    P = prefix.shape[1]
    words = model.language.tokens(tokens[:, :-1]) + model.types[WORDS]
    hidden, _ = model.language.run(torch.cat([prefix, words], 1))
    logits = model.head(hidden)  # (B, P + 2 + T - 1, V)
    wanted = F.pad(caption_labels(tokens, tokenizer.eos_id), (P, 0), value=-100)
    if bug == "padding counted":
        wanted[:, P:][wanted[:, P:] < 0] = tokenizer.pad_id
    if bug == "picture counted":
        wanted[:, :P] = tokenizer.pad_id
    if bug == "every <eos> skipped":
        wanted[wanted == tokenizer.eos_id] = -100
    return F.cross_entropy(logits.transpose(1, 2), wanted)


def short_training(bug, has_read=False):
    torch.manual_seed(2)
    own = copy.deepcopy(language) if has_read else new_language().to(here.device)
    model = PrefixCaptioner(own, D, "mlp", 4).to(here.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings["rates"]["tuned"])
    for _ in range(settings["bugs"]):
        some = torch.randint(len(train_set), (16,))
        pooled = memory["train"][some].amax(1, keepdim=True)
        loss = loss_with(bug, model, pooled, joined_up([tokens_of[i][0] for i in some]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pooled = memory["test"][:50].amax(1, keepdim=True)
    said, _ = decoding.greedy(model.eval(), pooled, *ids)
    return loss.item(), sum(len(each) < 30 for each in said), tokenizer.decode(said[0])


model = PrefixCaptioner(copy.deepcopy(language), D).eval().to(here.device)
ours = loss_with("none", model, memory["test"][:3], tokens)
package = prefix_loss(model, memory["test"][:3], tokens, tokenizer.eos_id)
print("by hand and by the package the same:", torch.allclose(ours, package, atol=1e-4))
bugs = ("none", "padding counted", "picture counted", "every <eos> skipped")
print(f"{'':36}{'loss':>6}{'ended':>8} of {len(memory['test'][:50])}")
for bug, has_read in [*((bug, False) for bug in bugs), (bugs[-1], True)]:
    loss, ended, said = short_training(bug, has_read)
    name = bug + ", had read before" * has_read
    print(f"{name:36}{loss:6.2f}{ended:8}   {said[:60]!r}")

# %% [markdown]
# Of the four, the lowest losses belong to those that are paid for easy guesses: *padding after
# padding* and *nothing after a picture* are learned in a few steps, and dilute the mean. Their
# captions are no better for it. The fourth has a loss as healthy as the first, since `<eos>` is one
# token in seventeen, and **it never stops**. The last row tells how fast a habit is lost: this model
# had ended every caption of its documents, and after these few steps hardly ever does. Nobody asks
# for it any more.
#
# ## 4. One embedding, or several
#
# One embedding holds $E$ numbers, and we know from lesson 05 what becomes of a house, a boat and
# three colours in a single vector. A prefix may be longer: 16 places of the grid give 16 embeddings,
# and nothing forbids making several of *each*.
#
# ### Exercise 3 · Several embeddings of each place
# *difficulty 2/5 · importance 4/5 · 10 minutes*
#
# One matrix maps each place to $k$ embeddings at once: `weight` has $k \cdot E$ rows, the first $E$
# for its first embedding.
#
# 1. Map each place: (B, N, D) → (B, N, k · E). Add the bias.
# 2. Cut into embeddings: (B, N · k, E), those of a place one after another.


# %%
def several(memory, weight, bias, dim):
    """memory (B, N, D), weight (k * dim, D), bias (k * dim,) -> (B, N * k, dim)"""
    raise NotImplementedError("write me")


check.several(several)

# %% [markdown]
# <details><summary>Hint 1: which way round is the weight?</summary>
#
# (k · E, D), as in `nn.Linear`: `memory @ weight.T`, or `F.linear(memory, weight, bias)`.
# </details>
# <details><summary>Hint 2: cutting</summary>
#
# The numbers of a place lie together, its first embedding first. `.view(B, -1, dim)` cuts them in
# this order.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def several(memory, weight, bias, dim):
#     return F.linear(memory, weight, bias).view(len(memory), -1, dim)
# ```
# </details>
#
# This is the **linear** mapper (Merullo et al. 2023), all but a norm in front. Its elder brothers:
# the **MLP** puts a hidden layer with tanh between two matrices, and the **transformer** lets $P$
# learned questions read all places, so that the length of the prefix no longer depends on the number
# of places (both Mokady et al. 2021).

# %%
for name in MAPPERS:
    made = make_mapper(name, D, E, length=8 if name == "transformer" else 1).to(here.device)
    with torch.no_grad():
        shape = tuple(made(memory["test"][:3]).shape)
    print(f"{name:12} memory (3, 16, {D}) → {shape}, {parameters_that_learn(made):>9,} numbers")

# %% [markdown]
# ## 5. What may learn
#
# The mapper must learn. Must the language model? It can talk already. Three answers:
#
# | | what learns | why one would |
# |---|---|---|
# | **frozen** | mapper, ends, types | the language stays as good as it was; one model can serve many tasks; little to store |
# | **tuned** | everything | it can learn to read what no text ever held; costs memory for every gradient, and may forget |
# | **LoRA** | mapper, and a small change of each matrix | nearly tuned, nearly as cheap as frozen |
#
# Frozen does *not* mean that no gradient passes. The loss is at the words, behind all layers; the
# gradient goes through the whole frozen model, as through any function, to tell the mapper what to
# change. Only no weight on its way moves.
#
# ### Exercise 4 · Freeze
# *difficulty 1/5 · importance 4/5 · 10 minutes*
#
# `model.language` is the language model; all else (`model.mapper`, `model.ends`, `model.types`) is
# ours.
#
# 1. Make all parameters of the language model stop learning, and no others.
# 2. Return how many **numbers** of the model still learn.


# %%
def freeze(model):
    """model with a part model.language -> int"""
    raise NotImplementedError("write me")


check.freeze(freeze)

# %% [markdown]
# <details><summary>Hint 1: all at once</summary>
#
# A module has the method `requires_grad_(False)`, for all its parameters. (To assign
# `module.requires_grad = False` does nothing at all, and nobody complains.)
# </details>
# <details><summary>Hint 2: counting</summary>
#
# `parameter.numel()` is how many numbers a parameter holds; count those whose `requires_grad` is
# true.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def freeze(model):
#     model.language.requires_grad_(False)
#     return sum(each.numel() for each in model.parameters() if each.requires_grad)
# ```
# </details>
#
# **LoRA** (Hu et al. 2021) leaves a matrix $W$ as it is and learns a change of low rank beside it:
#
# $$W x + \frac{\alpha}{r}\, B A x, \qquad A: r \times \text{in}, \quad B: \text{out} \times r$$
#
# ($\alpha$ is a fixed number.) With $r = 8$ these are few numbers, and with $B = 0$ at first the
# model begins as it was. Hugging Face's `peft` puts the pair beside every matrix we name; here all
# but the tables of words and of positions. **Predict:** what share of the language model's numbers will that be?

# %%
from peft import LoraConfig, inject_adapter_in_model

adapted = copy.deepcopy(language).requires_grad_(False)
names = r".*blocks\.\d+\.(attention\.(qkv|out)|mlp\.[02])" if small else "all-linear"
lora = LoraConfig(r=8, lora_alpha=16, target_modules=names, fan_in_fan_out=not small)
inject_adapter_in_model(lora, adapted if small else adapted.model)
new = [name for name, each in adapted.named_parameters() if each.requires_grad]
print(f"two of {len(new)} new matrices:", *new[:2])
with torch.no_grad():
    before, after = (model.run(joined)[0] for model in (language, adapted))
print("as it was, before training:", torch.allclose(before, after, atol=1e-5))
print(
    f"new: {parameters_that_learn(adapted):,} numbers, {parameters_that_learn(adapted) / size:.1%}"
)


# %%
def fresh(mapper="mlp", length=1, tuning="tuned", dim=D, seed=0, has_read=True):
    """A prefix captioner over a copy of the language model, or over one that has read nothing."""
    torch.manual_seed(seed)
    own = copy.deepcopy(language) if has_read else new_language()
    return PrefixCaptioner(own.to(here.device), dim, mapper, length, tuning).to(here.device)


print(f"{'numbers that learn':20}" + "".join(f"{tuning:>12}" for tuning in TUNINGS))
for name in MAPPERS:
    made = [fresh(name, 8 if name == "transformer" else 1, tuning) for tuning in TUNINGS]
    print(f"{name:20}" + "".join(f"{parameters_that_learn(each):12,}" for each in made))

# %% [markdown]
# LoRA's own numbers are 8 % of our language model's, which is so small that the MLP mapper weighs
# more. With GPT-2, 124 million numbers, rank 8 in all matrices is about a hundredth. The saving counts
# three times, since Adam keeps two more numbers for each that learns. (`tuning="lora"` does what the
# cell with `peft` does.)
#
# ## 6. It opens its eyes
#
# Now the training: the grid of 16 places, an MLP, the language model tuned along. A *round* is 1,200
# captions with their pictures; after each it describes the same picture. **Predict:** its first
# captions will be fluent, this time from the first round on. What will it have to learn, then?


# %%
def batches(epoch, pictures, seed=0, size=32):
    """A round: batches of (picture, caption) pairs drawn at random, like lengths together."""
    rng = random.Random(1000 * seed + epoch)
    pairs = [(rng.randrange(pictures), rng.randrange(5)) for _ in range(settings["round"])]
    lengths = [len(tokens_of[i][k]) for i, k in pairs]
    return [[pairs[j] for j in batch] for batch in bucketed_batches(lengths, size, epoch)]


exam = min(200, len(dev_set))
dev_tokens = joined_up([tokenizer.with_ends(cs[0]) for cs in dev_set.captions[:exam]])


@torch.no_grad()
def tell(model, memory):
    """Greedy captions of memory (B, N, D)."""
    found = []
    for part in memory.split(100):
        found += decoding.greedy(model.eval(), part, *ids)[0]
    return [tokenizer.decode(tokens) for tokens in found]


def nats(model, memory, pairs):
    """The loss of (picture, caption) pairs; memory (pictures, N, D)."""
    texts = joined_up([tokens_of[i][k] for i, k in pairs])
    return prefix_loss(model, memory[[i for i, _ in pairs]], texts, tokenizer.eos_id)


def fit(model, rounds, seen, seed=0, name=None):
    """Trains a captioner on seen["train"], memories (len, N, D); keeps the run if it has a name."""
    return train(
        model,
        lambda m, pairs: nats(m, seen["train"], pairs),
        lambda epoch: batches(epoch, len(seen["train"]), seed),
        TrainSettings(epochs=rounds, learning_rate=settings["rates"][model.tuning], seed=seed),
        validate=lambda m: prefix_loss(m, seen["dev"][:exam], dev_tokens, tokenizer.eos_id),
        sample=(lambda m: " | ".join(tell(m, seen["dev"][:40]))) if name else None,
        out=name and sizes.build_folder("lesson-07", name), dtype=here.dtype, quiet=True,
    )  # fmt: skip


sighted = fresh()
history = fit(sighted, settings["rounds"], memory, name="sighted")
told = [line.split(" | ") for line in history.samples]  # of 40 dev pictures, round by round
facts = dev_set.scenes[0].facts()
firsts = [captions[0] for captions in told]
diary = [(f"round {r + 1:2}", c.split(), false_words(c, facts)) for r, c in enumerate(firsts)]
plots.show(
    plots.stories([dev_set.image(0)], [diary],
                  "Fluent at once; it has only to learn what to look at"),
    alt="A picture and what the model says of it after each round, false words marked. First: "
    f"{told[0][0]}. Last: {told[-1][0]}.",
)  # fmt: skip

# %% [markdown]
# In our run its fourth caption is the first without a false word. How good is that? Beside it stands
# the captioner that comes with the course: lesson 03's LSTM behind the same eye. It has learned from
# 120,000 captions, ours from a tenth of that.

# %%
lstm = shipped_captioner().to(here.device).eval()
same = settings["eye"] == "small_cnn"  # or the LSTM looks with its own eye
by_lstm = memory if same else {s: look("grid", s, eye="small_cnn") for s in ("test", "unseen")}


def lstm_tells(split):
    return [c for part in by_lstm[split].split(100) for c in lstm.caption_memory(part, beam=1)]


shown = settings["round"] * settings["rounds"]
said = {"prefix": tell(sighted, memory["test"]), "LSTM, shipped": lstm_tells("test")}
rows = {"prefix": score(said["prefix"], "test"),
        "LSTM, shipped": score(said["LSTM, shipped"], "test"),
        "blind": score(blind, "test")}  # fmt: skip
show_scores(rows)
gap = paired(said["prefix"], said["LSTM, shipped"], test_set.captions, meteor=False, resamples=300,
             claims=[[claims(c) for c in each] for each in said.values()],
             facts=test_set.facts())  # fmt: skip
for name in ("Bleu_4", "fact_precision", "fact_recall"):
    print(f"prefix less LSTM, {name:15}{gap[name]!s}")


# %%
def pace(loss, steps=8):
    """Captions a second of training: loss and gradients of some batches."""

    def work(pairs):
        texts = joined_up([tokens_of[i][k] for i, k in pairs])
        loss(memory["train"][[i for i, _ in pairs]], texts).backward()

    first, *rest = batches(0, len(train_set))[: steps + 1]
    work(first)  # the first one is slow: it warms up
    started = time.perf_counter()
    for pairs in rest:
        work(pairs)
    return sum(map(len, rest)) / (time.perf_counter() - started)


told_once = ShowAndTell(len(tokenizer), D, 128, 384, "state").to(here.device)
learner = fresh()
quick = pace(lambda m, t: caption_loss(told_once, m, t, tokenizer.pad_id))
slow = pace(lambda m, t: prefix_loss(learner, m, t, tokenizer.eos_id))
print(f"captions a second in training: LSTM {quick:.0f}, prefix {slow:.0f}")
print(
    f"so {120000 / quick:.0f} s for the LSTM's 120,000 captions, {shown / slow:.0f} s for these "
    f"{shown:,}"
)

# %% [markdown]
# It is behind, less in precision than in BLEU and recall: it says less. But it has seen a tenth of
# the captions. A caption costs a transformer more, since the picture takes 18 places beside 17 of
# words, in three layers; count that in, and the reading, and it has still worked about half of the
# LSTM's time. Given more, it goes on where the LSTM stops. The whole recipe at size `cpu`, its own
# eye included, takes about twelve minutes; by beam search it reaches
#
# | `coursekit train …`, scenes | BLEU-4 | fact precision | fact recall | unseen pairs: BLEU-4 | precision | recall |
# |---|---|---|---|---|---|---|
# | `prefix`, mean of seeds 0 to 2 | 0.833 | 0.981 | 0.677 | 0.702 | 0.842 | 0.602 |
# | `show-and-tell`, mean of seeds 0 to 2 | 0.756 | 0.919 | 0.671 | 0.556 | 0.730 | 0.554 |
#
# ## 7. What the reading had bought
#
# The same captioner once more, **without the reading**: a language model of random numbers that learns
# to talk and to look at once, in as many rounds. **Predict** two curves: the loss, over all seconds
# spent, and the share of true claims, over the captions seen. Where will the reader be ahead, and for
# how long?

# %%
unread = fresh(has_read=False)
longer = fit(unread, settings["rounds"], memory, name="unread")
losses = {
    "had read": ([spent_reading + s for s in history.seconds], history.valid_loss),
    "had not": (longer.seconds, longer.valid_loss),
}
plots.show(
    plots.lines(losses, f"Reading took {spent_reading:.0f} s, and its head start melts away",
                "seconds, the reading included",
                "loss on dev (nats a token)", points=True),
    alt="Losses on dev over seconds. "
    + "; ".join(f"{name}: from {ys[0]:.2f} at {xs[0]:.0f} s to {ys[-1]:.2f} at {xs[-1]:.0f} s"
                for name, (xs, ys) in losses.items()),
)  # fmt: skip


# %%
def truth(history):
    """The share of true claims about 40 dev pictures, after each round, over the captions seen."""
    lines = [line.split(" | ") for line in history.samples]
    seen = [settings["round"] * (r + 1) for r in range(len(lines))]
    return seen, [precision(line, dev_set.scenes[: len(line)]) for line in lines]


true = {"had read": truth(history), "had not": truth(longer)}
plots.show(
    plots.lines(true, "Truth is learned from pictures, by both alike",
                "captions seen with their pictures",
                "share of true claims", baselines={"blind": precision(blind, test_set.scenes)},
                points=True),
    alt="Share of true claims over captions seen. "
    + "; ".join(f"{name}: from {ys[0]:.2f} to {ys[-1]:.2f}" for name, (_, ys) in true.items()),
)  # fmt: skip
said["had not read"] = tell(unread, memory["test"])
show_scores({f"had read, {losses['had read'][0][-1]:.0f} s": rows["prefix"],
             f"had not, {longer.seconds[-1]:.0f} s": score(said["had not read"],
                 "test")})  # fmt: skip

# %% [markdown]
# The second figure is the one to remember. **Round by round the reader is ahead in loss, and hardly
# in truth.** Its head start is grammar: how captions go. That is most of a loss, it is cheap, and the
# other has it within a few rounds. What a picture shows, no text can teach, so both must learn to
# look, from the same captions, at nearly the same pace. In the end the reader's captions tell a
# little more. But count the seconds: when it has done reading, the other has done learning.
#
# So why does everybody start from GPT-2? Count what there is. Our captions use a hundred words in
# all, and 12,000 captions teach every one. Real ones use tens of thousands, most of them rare, and no
# set of captioned photos shows each often enough; the web does. **Reading buys what the captions do
# not hold**, and here they hold everything.
#
# ## 8. The picture that stays
#
# Source, mapper, tuning: which choice matters? A full factorial study takes its time (`coursekit
# ablate prefix` does one, three seeds a cell, and goes on where it stopped). Here is a small one: a usual
# captioner, and eight that differ from it in **one** choice, twice each with other seeds. All trainings
# are equally short, so read the order, not the heights.
#
# | | |
# |---|---|
# | usual | the grid of 16 places, MLP, tuned |
# | pooled | one embedding, between its two ends |
# | layers | one of each depth of the eye |
# | parts | the four quarters and the whole, each looked at alone |
# | linear | the mapper without its hidden layer |
# | transformer | 8 questions read the grid |
# | LoRA, frozen | as usual, but for what learns |
# | had not read | as usual, but for the reading |
#
# Each dot has a line: 95 % of the scores that other test pictures of the kind would have given (lesson
# 04's resampling). What another *seed* would have given, no line tells. For that there are two dots.
# **Predict** the best and the worst by precision.

# %%
CELLS = {  # source, mapper, length, tuning, has read
    "usual": ("grid", "mlp", 1, "tuned", True),
    "pooled": ("pooled", "mlp", 1, "tuned", True),
    "layers": ("layers", "mlp", 1, "tuned", True),
    "parts": ("parts", "mlp", 1, "tuned", True),
    "linear": ("grid", "linear", 1, "tuned", True),
    "transformer": ("grid", "transformer", 8, "tuned", True),
    "LoRA": ("grid", "mlp", 1, "lora", True),
    "frozen": ("grid", "mlp", 1, "frozen", True),
    "had not read": ("grid", "mlp", 1, "tuned", False),
}
pictures, rounds, judged = settings["trial"]
parts = {"train": pictures, "dev": exam, "test": judged}  # how many of each split
sources = {source: {split: look(source, split, n) for split, n in parts.items()}
           for source in ("grid", "pooled", "layers", "parts")}  # fmt: skip


def cell(source, mapper, length, tuning, has_read, seed):
    """A short training: the model, its scores on test, and its seconds."""
    seen = sources[source]
    model = fresh(mapper, length, tuning, seen["test"].shape[-1], seed, has_read)
    seconds = fit(model, rounds, seen, seed).seconds[-1]
    return model, score(tell(model, seen["test"]), "test"), seconds


# %%
found = {}
print(f"{'':14}{'places':>7}{'learn':>10}{'s':>5}   BLEU-4 of both seeds")
for name, choices in CELLS.items():
    model, first, seconds = cell(*choices, seed=0)
    found[name] = [first, cell(*choices, seed=1)[1]]
    places = model.prefix(sources[choices[0]]["test"][:1]).shape[1]
    bleu = ", ".join(str(each["Bleu_4"]) for each in found[name])
    print(f"{name:14}{places:7}{parameters_that_learn(model):10,}{seconds:5.0f}   {bleu}")
    if name == "frozen":
        frozen = model.eval()  # for section 10

# %%
panels = {
    label: {name: {f"seed {seed}": (each[key].value, (each[key].high - each[key].low) / 2)
                   for seed, each in enumerate(runs)}
            for name, runs in found.items()}
    for label, key in (("BLEU-4", "Bleu_4"), ("fact precision", "fact_precision"))
}  # fmt: skip
plots.show(
    dots(panels, "Places beat one embedding; LoRA keeps up with tuning", "score (0 to 1)",
         "lines: 95 % of resampled pictures"),
    alt="Scores of nine prefixes, two seeds each. " + "; ".join(
        f"{name}: BLEU-4 {runs[0]['Bleu_4'].value:.2f} and {runs[1]['Bleu_4'].value:.2f}, "
        f"precision {runs[0]['fact_precision'].value:.2f} and {runs[1]['fact_precision'].value:.2f}"
        for name, runs in found.items()),
)  # fmt: skip

# %% [markdown]
# Go through the choices one by one.
#
# - **Source.** One embedding is worst and sixteen places are best. You know the rule from lesson 05: as
#   fine as the things one speaks of. Three depths of the network come between; five parts do not help
#   much, since this eye was never shown things that large.
# - **Mapper.** A single matrix is close to the MLP in BLEU, and behind it in precision. (With large
#   models Merullo and colleagues found that one matrix is enough.) The transformer is behind in both:
#   many new numbers, and no time yet to learn them.
# - **What learns.** LoRA keeps up with tuning, at a fifth of the numbers. And *frozen*? It is poorer
#   than both. But about two in five of its claims are true, where the blind one had one in eight.
#   **So the question of this lesson is answered. A model that never saw can describe a picture, and
#   not one of its weights need change.**
# - **Had not read** is last in precision, and section 7 has told you that it catches up. All
#   trainings here are short, and *short trainings favour whoever starts ahead*. Such a table says
#   what is quick.
#
# Now look at the two dots of one row. Some lie further apart than their lines are long. The lines know
# of other pictures, and nothing of other seeds; whoever has a single dot a row will believe in an order
# that a second seed turns round.
#
# One command asks the same of 24 combinations, three seeds each, trained longer: `coursekit ablate
# prefix`. What it found stands in `docs/prefix.md`. It agrees about frozen and tuned, and about the
# slow transformer. About the source it does not: there the pooled embedding is made into *eight*, and
# comes within three hundredths of BLEU-4 of sixteen places. So what did it lack here, places or room?
#
# ## 9. A red house
#
# In lesson 03 there was a defeat: *red* was known, *house* was known, and a red house, which no training
# picture shows, was told in some other colour. The eye is the same. But the language model has read,
# and a prefix of 16 places lets it ask the one place that holds the house. **Predict:** does that help?


# %%
def colours(captions, scenes, wanted=lambda pair: True):
    """Of the wanted things: how many, the share named, and of those given a colour the share
    given the right one."""
    total = named = told = right = 0
    for caption, scene in zip(captions, scenes, strict=True):
        own = claims(caption)
        for thing in (t for t in scene.things if wanted((t.colour, t.name))):
            given = {claim[2] for claim in own if claim[:2] == ("colour", thing.name)}
            total, named = total + 1, named + (("thing", thing.name) in own)
            told, right = told + bool(given), right + (given == {thing.colour})
    return total, named / total, right / max(1, told)


composed = {"prefix": tell(sighted, memory["unseen"]),
            "had not read": tell(unread, memory["unseen"]),
            "LSTM, shipped": lstm_tells("unseen")}  # fmt: skip
show_scores({name: score(each, "unseen") for name, each in composed.items()})
print(f"\n{'':20}{'seen pairs: named, colour right':>36}{'unseen pairs: named, colour right':>38}")
for name, each in composed.items():
    usual = colours(said[name], test_set.scenes)
    rare = colours(each, unseen_set.scenes, UNSEEN_PAIRS.__contains__)
    print(
        f"{name:20}{usual[1]:28.2f}{usual[2]:8.2f}{rare[1]:30.2f}{rare[2]:8.2f}   ({rare[0]} "
        "things)"
    )

# %% [markdown]
# The two tables seem to disagree. By all three scores the LSTM is ahead, in BLEU by a hair: it tells
# of nearly every thing, ours leaves some out, and the rare ones more often. But where ours gives a
# thing a colour, and the pair is one that nobody has ever seen, it is right **more than twice as
# often**.
#
# Is this the reading? The row without it is no worse in colours. No text held a red house either:
# **what is never said cannot be read**. The likely reason is the places, as in lesson 05. Whoever may
# look at the one place of the house reads a colour there, as for any thing; whoever was told once, in
# one vector, must find *house, red* in it, and has never learned where that is. Still, half right is
# far from what it reaches for pairs it knows. The eye, too, has never seen a red house.
#
# ## 10. Does it read words?
#
# The frozen model has never met anything but words. So does the mapper *translate* the picture into
# words, and put *red* where red is? Look: for each of 16 mapped embeddings we find the row of the
# word table that points most nearly in its direction. **Predict:** what will stand in the cell of the
# boat?

# %%
with torch.no_grad():
    everything = torch.arange(language.vocab_size, device=here.device)
    table = language.tokens(everything) + frozen.types[WORDS]  # (V, E)
    mapped = frozen.mapper(memory["test"][:100]) + frozen.types[PICTURE]  # (100, N, E)
    directions = F.normalize(table, dim=-1)
    close, nearest = (F.normalize(mapped, dim=-1) @ directions.T).max(-1)  # (100, N) each
    # Of each word, or the first thousand of many: the nearest other one
    among = (directions[:1000] @ directions.T).fill_diagonal_(-1).max(-1).values
word = tokenizer.words.__getitem__ if small else lambda token: tokenizer.decode([token])
side = int(mapped.shape[1] ** 0.5)
cells = [[word(token) for token in row] for row in nearest[:3, : side * side].tolist()]
plots.show(
    words_in_cells([test_set.image(i) for i in range(3)], cells,
                   "The nearest word of each mapped embedding"),
    alt="Three pictures under a grid, a word in each cell: "
    + " / ".join(", ".join(row) for row in cells),
)  # fmt: skip
length = mapped.norm(dim=-1).mean() / table.norm(dim=-1).mean()
print(
    f"cosine of a mapped embedding to its nearest word: {close.mean():.2f}; of a word to its "
    f"nearest other: {among.mean():.2f}"
)
print(f"a mapped embedding is {length:.1f} times as long as a word's")


# %%
class Snapped(torch.nn.Module):
    """A mapper whose every embedding is replaced by the nearest word's."""

    def __init__(self, mapper):
        super().__init__()
        self.mapper = mapper

    def forward(self, memory):
        mapped = self.mapper(memory) + frozen.types[PICTURE]
        nearest = (F.normalize(mapped, dim=-1) @ directions.T).argmax(-1)  # (B, N)
        return table[nearest] - frozen.types[PICTURE]


snapped = copy.deepcopy(frozen)
snapped.mapper = Snapped(frozen.mapper)
as_words = tell(snapped, memory["test"][:judged])
show_scores(
    {"frozen, as mapped": found["frozen"][0], "frozen, as nearest words": score(as_words, "test")}
)

# %% [markdown]
# Look at the sky of a sunset, at the water, at the kite on the right, at the boat: in many cells
# stands a word that is true there, or beside it (*tents* is not). Nobody asked for that. The mapper
# was only told what the frozen model should say in the end, and found that a good way is to put near
# each place what a caption would say of it. (Where there is nothing to tell it likes `<bos>`:
# *nothing said yet*.)
#
# But it does not write words. A mapped embedding is further from its nearest word than a word is from
# its nearest other, and many times as long; it must tell thing, colour and sky at once, and is a
# mixture that no word is. The last lines *do* something about it. With each embedding replaced by its
# nearest word, about half of the truth survives. **They point to words, and are none.**
#
# ## 11. Real photographs, and the real GPT-2
#
# Nothing above depends on drawings or on our small model. `PrefixCaptioner` takes any causal language
# model of Hugging Face, by name or from a folder, and any eye of lesson 02:
#
# ```
# coursekit train prefix --data flickr8k --root DIR --language gpt2 --mapper transformer --tuning frozen --out runs/prefix
# coursekit evaluate runs/prefix --data flickr8k --root DIR --beam 3
# coursekit ablate prefix --out runs/ablation
# ```
#
# Without `--language` a small model is trained first on the captions' text, as in section 1. The last
# line makes the whole table of section 8: every source with every mapper, frozen and tuned, three
# seeds, with intervals. What others reached (scores × 100):
#
# | system | data | BLEU-4 | METEOR | CIDEr | SPICE | source |
# |---|---|---|---|---|---|---|
# | frozen GPT-2, transformer mapper, CLIP | COCO | 33.5 | 27.5 | 113.1 | 21.1 | ClipCap, Mokady et al. 2021 |
# | tuned GPT-2, MLP, CLIP | COCO | 32.2 | 27.1 | 108.4 | 20.1 | the same |
# | Show and Tell | COCO | 27.7 | | | | Vinyals et al. 2015 |
#
# Note who wins in the first two rows: with a language model that has read the web, and an eye that
# was trained on pictures *with their texts*, nothing of the language needs to move. Our frozen model
# has read 30,000 captions, a hundred different words in all, and lags behind.
#
# Relatives of today's prefix: in **prefix tuning** (Li and Liang 2021) the prefix is learned once for a
# *task*, not made from an input, and enters every layer; in **Frozen** (Tsimpoukelli et al. 2021) the
# eye is trained through the frozen language model, where ours is finished.
#
# ## When something looks wrong
#
# | what you see | the likely cause |
# |---|---|
# | captions fluent and all alike, loss at the blind model's | the prefix does not reach the words: dropped, detached, `torch.no_grad()` around the frozen model, mapper not in the optimizer |
# | loss far below a good run's, captions poor | padding or the picture's places are counted |
# | captions never end, though the loss is good | every `<eos>` skipped as padding (pad = eos) |
# | captions empty | `<bos>` taken for the first `<eos>` (GPT-2: the same token); or `</picture>` trained to be followed by `<eos>` |
# | captions begin in the middle | decoding starts without `<bos>`, or labels are moved twice: transformers' models move them themselves |
# | frozen hardly learns | the rate of tuning, where a mapper alone bears more; or a model whose texts never made it look back (section 1) |
# | tuned is worse than frozen | rate too high: what was read is lost in the first steps |
# | loss jumps at the first steps, then recovers | random mapper of large scale in front of a model that learns: warm-up |
# | "frozen" weights change | `module.requires_grad = False`, which freezes nothing; norms with running statistics in training mode |
# | scores differ between batch sizes | padding on the left, or positions that count padding |
# | error about length | prefix and caption together exceed the model's context |
# | greedy with cache differs from without | types or positions not added in `step` |
#
# ## Questions
#
# 1. The picture's places guess nothing, so no loss is computed there. Through what do mapper and ends
#    learn?
# 2. A GPT is causal: a place of the prefix sees only those before it. Does the order of the 16 places
#    matter, then? And for the transformer mapper?
# 3. Why may the embedding of `<picture>` be learned while all rows of the word table are frozen?
# 4. A colleague tunes GPT-2 on captions and then asks it for a poem. What will come, and what would
#    LoRA have made possible?
# 5. The prefix is longer than the caption. What does that cost in training, and what when captions are
#    spoken?
#
# <details><summary>Short answers</summary>
#
# 1. Through attention: at the words' places every layer looks back at keys and values of the prefix.
# 2. It does: the last place has seen all others, the first none, and positions differ. The mapper's
#    questions see all places, whose order it is not told.
# 3. It is a parameter of ours that is put in as an embedding; it is no row of the table.
# 4. Captions, mostly: what is not exercised is forgotten. LoRA's matrices can be taken off again, and
#    the model is what it was.
# 5. In training all places are computed for every caption, and attention grows with the square of
#    the length. In speaking the prefix is computed once, for its keys and values are kept; each word
#    then looks back at them.
# </details>
#
# ## Go further
#
# - `PrefixCaptioner(..., types=False)`: do the types help, when ends and positions tell the same?
# - Give the frozen model **a true caption and the picture**: join the prefix to a document's first
#   caption. Which does it believe if they disagree?
# - Train the mapper of the frozen model on 200 pictures only, and the tuned one too. Who suffers?
# - Put `here = sizes.setup("gpu")` on Colab, and read the nearest words of GPT-2's 50,257.
#
# ## What you have, and what is missing
#
# A finished eye, a finished language model, and between them a mapper that learns to tell the one what
# the other saw. You can make the prefix longer or finer, decide what may learn, count what it costs,
# and you have seen what reading buys and what only pictures teach.
#
# What is missing shows in the bill. The picture stands **in the row of the words**: its 18 places go
# through every layer beside 17 of a caption, and the same weights must serve both. One could leave the
# row to the words, and give each layer a second attention that asks *only the picture*: queries from
# the words, keys and values from the eye. **What does cross-attention buy, and at what price?** That
# is lesson 08.

# %%
ours = rows["prefix"]
sizes.report(
    Bleu_4=ours["Bleu_4"].value,
    fact_precision=ours["fact_precision"].value,
    fact_recall=ours["fact_recall"].value,
    precision_frozen=found["frozen"][0]["fact_precision"].value,
)
