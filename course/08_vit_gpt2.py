# %% [markdown]
# # 08 · What does cross-attention buy, and at what price?
#
# Lesson 07 handed a picture to a finished language model as a prefix: words that are no words, read
# before the first true one. The language model did not notice; nothing inside it had to change.
#
# Today something inside does change. Every layer gets a second attention of its own that looks at
# nothing but the picture: **cross-attention**, as the first transformer had it (Vaswani et al.
# 2017). With a vision transformer for an eye and GPT-2 for a voice this is the captioner that many
# people meet first, since Hugging Face has it ready made, and a trainer for it.
#
# Ready made means that you no longer see the loop. So when training falls ill, you have to read its
# **curves**. We shall make it ill on purpose, five times, and cure it.
#
# After this lesson you can
#
# - put cross-attention into a GPT-2 block, and say what it adds in numbers and in operations;
# - fine-tune with Hugging Face's Trainer on a table of `datasets`, stop it, and go on;
# - tell by a curve what a training suffers from, and cure it: a voice that never stops, a wrong
#   learning rate, learning by heart, augmentation that lies, batches cut into parts;
# - compare two ways of looking at the same price.
#
# Two hours and a half with the exercises.

# %%
from coursekit import sizes

here = sizes.setup()
print(here)

# %%
settings = here.pick(
    smoke=dict(pictures=150, exam=40, few=20, views=40, gpt=dict(dim=32, layers=2, heads=2),
               reading=1, batch=8, trial=12,
               rate=3e-3, high=5e-2, main=16, parts=(4, 2), micro=2, whole=None),
    cpu=dict(pictures=3000, exam=300, few=64, views=800, gpt=dict(dim=64, layers=3, heads=4),
             reading=1, batch=32, trial=120,
             rate=1e-2, high=5e-2, main=500, parts=(8, 4), micro=8, whole=None),
    gpu=dict(pictures=6000, exam=500, few=128, views=1500, gpt=dict(dim=256, layers=6, heads=8),
             reading=4, batch=64, trial=300,
             rate=1e-3, high=5e-2, main=4000, parts=(16, 4), micro=20,
             whole="nlpconnect/vit-gpt2-image-captioning"),
)  # fmt: skip

# %% [markdown]
# The text below describes size `cpu`; size `smoke` only proves that every cell runs.
#
# ## 1. A third door
#
# The eye is new: `scene_vit`, a small **vision transformer** (Dosovitskiy et al. 2021), trained to
# name the facts of scenes, and frozen. It cuts a picture into 8 × 8 patches, makes an embedding of
# each, and lets them attend to one another. What it leaves is 65 embeddings: one that stands for
# the whole (its *class token*), and 64 patches, row by row. As before we ask it once and keep the
# answers.

# %%
import copy
import math
import random
import time

import torch
import transformers
from datasets import Dataset, concatenate_datasets, disable_progress_bars
from torch import nn
from torch.nn import functional as F
from transformers import EarlyStoppingCallback, Seq2SeqTrainer, Seq2SeqTrainingArguments
from transformers.trainer_callback import PrinterCallback, TrainerState
from transformers.trainer_utils import get_last_checkpoint

from coursekit import decoding, plots
from coursekit.datasets.scene_words import COLOUR_NAMES, claims
from coursekit.datasets.scenes import ALL_FACTS, UNSEEN_PAIRS, Scenes
from coursekit.metrics.captions import caption_scores
from coursekit.metrics.scenes import fact_scores
from coursekit.models.encoders import cached_features
from coursekit.models.gpt import GPT, CausalSelfAttention
from coursekit.models.lstm import caption_loss
from coursekit.models.prefix import IGNORED, PrefixCaptioner, prefix_loss
from coursekit.models.vit import scene_vit, scene_vit_classifier
from coursekit.models.vit_gpt2 import ViTGPT2
from coursekit.plots.illnesses import illnesses, illnesses_alt
from coursekit.text import WordTokenizer, pad
from coursekit.training import TrainSettings, bucketed_batches, train

# Both talk of padding and of loading on stderr, which is for errors
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
disable_progress_bars()
sets = {
    s: Scenes(s, settings["pictures" if s == "train" else "exam"])
    for s in ("train", "dev", "test", "unseen")
}
encoder = scene_vit().to(here.device)


# %%
def look(split):
    """What the ViT leaves of each picture: (len, N = 65, D)."""
    file = sizes.build_folder("features", f"lesson-08-{split}-{len(sets[split])}.pt")
    return cached_features(encoder, sets[split], file).to(here.device)


memory = {split: look(split) for split in sets}
memory["train"] = memory["train"].half()  # the largest; a batch becomes float32 again
tokenizer = WordTokenizer.train(c for cs in sets["train"].captions for c in cs)
tokens_of = {
    s: [[tokenizer.with_ends(c) for c in cs] for cs in each.captions] for s, each in sets.items()
}
CONTEXT = 128
documents = [[t for caption in each for t in caption][: CONTEXT + 1] for each in tokens_of["train"]]
print(sets["train"], "→ memory", tuple(memory["train"].shape), "and", len(tokenizer), "words")

# %% [markdown]
# The voice is a small GPT that has read captions and seen nothing, as in lesson 07: five captions
# of a picture make a document. We train it in a few seconds.

# %%
lengths = [len(each) for each in documents]
torch.manual_seed(0)
language = GPT(len(tokenizer), CONTEXT, **settings["gpt"], dropout=0.0).to(here.device)


def reading_loss(model, some):
    tokens = pad([documents[i] for i in some], tokenizer.pad_id)[0].to(here.device)  # (B, T)
    return caption_loss(model, None, tokens, tokenizer.pad_id)


history = train(
    language, reading_loss,
    lambda epoch: bucketed_batches(lengths, 16, epoch),
    TrainSettings(epochs=settings["reading"], learning_rate=3e-3),
    out=sizes.build_folder("lesson-08", "reading"), dtype=here.dtype, quiet=True,
)  # fmt: skip
print(f"the language model has read: {history.train_loss[-1]:.2f} nats a token")

# %% [markdown]
# Now join them. A block of lesson 06 did two things, and each added to the stream that flows by.
# Now it does three:
#
# | | asks | answers |
# |---|---|---|
# | self-attention | this word | the words up to it |
# | **cross-attention** | this word | **all patches of the picture** |
# | MLP | this word | nobody; it digests |
#
# The formula is lesson 06's, with one change: queries come from words, keys and values from patches.
# With $x$ the words' stream after a norm and $m$ the memory,
#
# $$\mathrm{softmax}\!\Big(\frac{(x W_q)(m W_k)^\top}{\sqrt{d}}\Big)\, m W_v$$
#
# **Predict:** does it need a causal mask? And how large is the table of weights, for 12 words?
#
# ### Exercise 1 · Words ask, patches answer
# *difficulty 2/5 · importance 5/5 · 15 minutes*
#
# One head of cross-attention.
#
# 1. Queries of the words: `words` times `query`, (B, T, d). Keys and values of the patches: `memory`
#    times `key` and `value`, (B, N, d) each.
# 2. Scores: every query with every key, (B, T, N), divided by the root of d.
# 3. Softmax over the patches; the weighted mean of the values, (B, T, d).


# %%
def cross_attend(words, memory, query, key, value):
    """words (B, T, E), memory (B, N, D), query (E, d), key and value (D, d) -> (B, T, d)"""
    raise NotImplementedError("write me")


from coursekit.checks import lesson_08 as check

check.cross_attend(cross_attend)

# %% [markdown]
# <details><summary>Hint 1: every query with every key</summary>
#
# `q @ k.transpose(1, 2)` is (B, T, d) times (B, d, N): (B, T, N).
# </details>
# <details><summary>Hint 2: which dimension sums to 1?</summary>
#
# A *word* shares its attention among the patches: softmax over the last dimension, N.
# </details>
# <details><summary>Hint 3: a mask?</summary>
#
# None. The picture is there before the first word, and no patch gives away a later word.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def cross_attend(words, memory, query, key, value):
#     q, k, v = words @ query, memory @ key, memory @ value
#     scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
#     return scores.softmax(-1) @ v
# ```
# </details>
#
# Hugging Face's class for such a pair is `VisionEncoderDecoderModel`. It takes any vision model and
# any language model that can have cross-attention. `ViTGPT2` builds one from our two parts, and is
# a step model around it. All weights of eye and voice stay; the new layers begin at random.


# %%
def fresh(dropout=0.0):
    """A captioner of the frozen ViT and a copy of the language model, the same at every call."""
    torch.manual_seed(0)
    return dropping(ViTGPT2.from_parts(encoder, language).to(here.device), dropout)


def dropping(model, rate):
    """The model, with dropout at this rate everywhere."""
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = rate
        if isinstance(part, CausalSelfAttention):  # our GPT drops weights of attention by a number
            part.rate = rate
    return model


captioner = fresh().eval()
block = captioner.model.decoder.transformer.h[0]
print(block)

# %% [markdown]
# There it is, `crossattention`, between attention and MLP, with a norm of its own. Its `q_attn`
# makes the queries, its `c_attn` keys and values at once. With four heads instead of one, and patches
# that a linear layer has brought from D numbers to E, it is easily done by hand:

# %%
E, heads = language.dim, language.heads
cross, words = block.crossattention, torch.randn(2, 7, E, device=here.device)
patches = torch.randn(2, 65, E, device=here.device)


def split_heads(x):
    """(B, T, E) → (B, heads, T, E / heads)"""
    return x.view(len(x), -1, heads, E // heads).transpose(1, 2)


with torch.no_grad():
    q, (k, v) = cross.q_attn(words), cross.c_attn(patches).chunk(2, -1)
    q, k, v = split_heads(q), split_heads(k), split_heads(v)  # (B, nh, T or N, hd)
    weights = (q @ k.transpose(2, 3) / math.sqrt(E // heads)).softmax(-1)  # (B, nh, T, N)
    by_hand = cross.c_proj((weights @ v).transpose(1, 2).flatten(2))  # (B, T, E)
    theirs = cross(words, encoder_hidden_states=patches)[0]
print(
    "weights",
    tuple(weights.shape),
    " as transformers does it:",
    torch.allclose(by_hand, theirs, atol=1e-5),
)

# %% [markdown]
# ### The price
#
# A prefix of lesson 07 adds nothing to the layers, but makes the row of words longer. Cross-attention
# leaves the row as it is, but adds matrices to every layer. **Predict:** which is dearer for a caption
# of 15 tokens and 65 embeddings of a picture? And for one embedding?
#
# We need not trust a formula: PyTorch counts the operations of its matrix products.

# %%
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def operations(run):
    """Additions and multiplications in the matrix products of run(), in millions."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return counter.get_total_flops() / 1e6


def told(mapper, length=1, dropout=0.0):
    """Lesson 07's captioner over the same voice: all 65 embeddings go through the mapper."""
    torch.manual_seed(0)
    own = PrefixCaptioner(copy.deepcopy(language), encoder.dim, mapper, length)
    return dropping(own.to(here.device), dropout)


rivals = {
    "prefix, 65 by a linear layer": lambda **how: told("linear", **how),
    "prefix, 8 by a transformer": lambda **how: told("transformer", 8, **how),
    "cross-attention": lambda **how: fresh(**how),
}
words = torch.full((1, 15), tokenizer.bos_id, device=here.device)
own = sum(each.numel() for each in language.parameters())
print(f"{'':30}{'':12}{'millions of operations a caption':>36}")
print(f"{'':30}{'new numbers':>12}{'1 embedding':>18}{'65 embeddings':>18}")
print(
    f"{'language model, no picture':30}{own:12,}{operations(lambda: language(None, words)):18.1f}"
)
for name, build in rivals.items():
    model = build().eval()
    learn = sum(each.numel() for each in model.parameters() if each.requires_grad) - own
    costs = [
        operations(lambda n=n, model=model: model(memory["test"][:1, :n], words)) for n in (1, 65)
    ]
    print(f"{name:30}{learn:12,}" + "".join(f"{cost:18.1f}" for cost in costs))

# %% [markdown]
# A place of a prefix goes through *every* matrix of every layer, just as a word does, and there are
# 65 of them for 15 words. A patch under cross-attention meets two matrices a layer, $W_k$ and $W_v$,
# where a word's own way through a block has twelve of that size. So with 65 embeddings
# **cross-attention is the cheapest of the three to run**; it doubles the cost of the language model,
# and the long prefix makes it six times as much. With one embedding they are nearly equal: a prefix
# is three words more, its ends included, and cross-attention makes its queries all the same.
#
# Its true price stands in the first column: four more matrices in each layer, $4E^2$ numbers beside
# the block's $12E^2$. They begin at random, in the midst of a model that was finished, and every
# layer must learn anew with them. A linear prefix needs only the matrix from D to E, which both have.
# (The transformer mapper lies between: only 8 places run through the language model, but all 65 run
# through the mapper.)
#
# ## 2. A table of scenes
#
# The Trainer wants its data as a `Dataset`: a table with columns, kept by `datasets` in Arrow's
# format. Cells are plain values. `map` computes a new column from others, once; `with_transform`
# gives a *view* that computes what the model needs at the moment a row is asked for. So what should
# be the same every time goes into `map`, and what should be different every time, into the
# transform: here the draw of one caption among five.


# %%
def table_of(split, count=None):
    """A row for each picture: its number, its five captions, their tokens."""
    count = count or len(sets[split])
    table = Dataset.from_dict(
        {"picture": list(range(count)), "captions": sets[split].captions[:count]}
    )
    return table.map(lambda row: {"tokens": [tokenizer.with_ends(c) for c in row["captions"]]})


def serve(table, memory, choose=random.choice, asked=lambda token: True):
    """A view of the table as a model is trained on it; of the next words only those are to be
    guessed that are `asked`."""

    def transform(rows):
        chosen = [choose(each) for each in rows["tokens"]]
        labels = [[t if asked(t) else IGNORED for t in tokens[1:]] for tokens in chosen]
        return {
            "memory": [memory[i] for i in rows["picture"]],
            "read": [tokens[:-1] for tokens in chosen],
            "labels": labels,
        }

    return table.with_transform(transform)


def collate(rows):
    """Rows to a batch, under the names of VisionEncoderDecoderModel's arguments."""
    return {
        "encoder_outputs": (torch.stack([row["memory"] for row in rows]).float(),),  # (B, N, D)
        "decoder_input_ids": pad([row["read"] for row in rows], tokenizer.pad_id)[0],  # (B, T)
        "labels": pad([row["labels"] for row in rows], IGNORED)[0],  # (B, T)
    }


table = table_of("train")
rows = serve(table, memory["train"])
print(table)
print(
    {
        name: tuple((each[0] if isinstance(each, tuple) else each).shape)
        for name, each in collate([rows[i] for i in range(4)]).items()
    }
)

# %% [markdown]
# `rows[0]` asked twice may give two captions; `table[0]` never changes. Two things to know:
#
# - A model's `forward` is called with the batch's names. We give `encoder_outputs`, what the frozen
#   ViT has left, in the place of `pixel_values`: then the eye is not asked again.
# - `decoder_input_ids` are the words to read and `labels` those to guess, one step ahead. Given
#   labels alone, the model moves them itself; here you see it done.
#
# ## 3. The Trainer
#
# You know the loop that it hides: lesson 03 had it in ten lines, `coursekit.training` in three
# hundred. What is left to explain is the arguments. These are ours, and most have an illness below.
#
# | argument | what it does |
# |---|---|
# | `learning_rate`, `warmup_steps`, `lr_scheduler_type` | how large a step is, and when |
# | `gradient_accumulation_steps` | batches whose gradients are summed before one step |
# | `max_grad_norm`, `weight_decay` | bounds on a step and on the weights |
# | `eval_strategy`, `eval_steps` | when to look at dev |
# | `save_strategy`, `load_best_model_at_end` | what to keep |
# | `report_to="none"`, `disable_tqdm` | no account anywhere, no bars |
# | `remove_unused_columns=False` | or it drops columns that `forward` does not name |
#
# The Trainer can measure more than the loss. `measure` gets all logits of the dev set and returns
# three chances that the loss mixes with everything else: of the correct *side* where a caption names
# one ("left", "middle" or "right"), of the correct *colour* among the eight, and of stopping **where the
# caption is over**.
#
# **Predict** the loss on dev before the first step, while cross-attention is still random.

# %%
GROUPS = {"side": ("left", "middle", "right"), "colour": COLOUR_NAMES}


def measure(prediction):
    """Of logits (n, T, V) and labels (n, T): mean chances of the correct side and colour among
    their kind, and of <eos> at the end."""
    logits, labels = map(torch.from_numpy, prediction)
    found = {}
    for name, group in GROUPS.items():
        ids = torch.tensor([tokenizer.token_of[word] for word in group])
        asked = torch.isin(labels, ids)
        right = labels[asked][:, None] == ids  # (words, group)
        found[name] = (logits[asked][:, ids].softmax(-1) * right).sum(1).mean().item()
    stops = logits[labels == tokenizer.eos_id].softmax(-1)[:, tokenizer.eos_id]
    return found | {"stops": stops.mean().item()}


def with_a_side(captions):
    """The tokens of the first caption that names a side, else of the first."""
    sided = [
        each
        for each in captions
        if {tokenizer.token_of["left"], tokenizer.token_of["right"]} & set(each)
    ]
    return (sided or captions)[0]


dev_rows = serve(table_of("dev", 2 * settings["exam"] // 3), memory["dev"], choose=with_a_side)


# %%
def arguments(folder, steps, **changes):
    """The Trainer's settings in this lesson; `changes` replace any of them."""
    usual = dict(
        output_dir=str(sizes.build_folder("lesson-08", folder)), max_steps=steps,
        per_device_train_batch_size=settings["batch"], per_device_eval_batch_size=100,
        learning_rate=settings["rate"], warmup_steps=steps // 10, lr_scheduler_type="cosine",
        weight_decay=0.01, max_grad_norm=1.0, logging_steps=max(1, steps // 30),
        eval_strategy="steps", eval_steps=max(1, steps // 8), eval_on_start=True,
        save_strategy="no",
        remove_unused_columns=False, label_names=["labels"], report_to="none", disable_tqdm=True,
        use_cpu=here.device.type == "cpu", seed=0, log_level="error",
        bf16=here.dtype == torch.bfloat16, fp16=here.dtype == torch.float16,
        dataloader_pin_memory=False,
    )  # fmt: skip
    return Seq2SeqTrainingArguments(**usual | changes)


def trainer_for(captioner, args, rows, callbacks=(), loss=None, metrics=measure, exam=dev_rows):
    trainer = Seq2SeqTrainer(
        model=captioner.model, args=args, train_dataset=rows, eval_dataset=exam,
        data_collator=collate, compute_metrics=metrics, compute_loss_func=loss,
        callbacks=list(callbacks),
        preprocess_logits_for_metrics=lambda logits, labels: logits[0] if isinstance(logits,
            tuple) else logits,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)  # which would print every line of the log
    return trainer


def curve(log, key):
    """What a log holds under a key: steps and values."""
    found = [(row["step"], row[key]) for row in log if key in row]
    return [step for step, _ in found], [value for _, value in found]


logs = {}


def fit(name, rows=rows, dropout=0.0, callbacks=(), start=None, exam=dev_rows, **changes):
    """A short training, from `start` or from scratch, watched on `exam`; keeps its log."""
    captioner = copy.deepcopy(start) if start else fresh(dropout)
    args = arguments("trials", settings["trial"], **changes)
    trainer = trainer_for(captioner, args, rows, callbacks, exam=exam)
    trainer.train()
    logs[name] = trainer.state.log_history
    return captioner


healthy = fit("healthy")
first, last = (curve(logs["healthy"], "eval_loss")[1][i] for i in (0, -1))
print(f"loss on dev: {first:.2f} before the first step, {last:.2f} after {settings['trial']}")
print(logs["healthy"][1])

# %% [markdown]
# **Did you expect $\ln V$ at the start?** That is the price of knowing nothing, and this model has
# read. Its first loss is that of a *blind* one that knows how people talk. So lesson 03's test
# changes: whoever fine-tunes and finds $\ln V$ at the start has lost the language model's weights.
#
# ## 4. First illness: it never stops
#
# GPT-2 has one special token, and everybody uses it for padding as well. You know the trap from
# lesson 07: skip all padding in the labels, and every `<eos>` is skipped with it. Even the model that
# had read hardly ended any more. How fast does it unlearn? **Predict** the chance of stopping after 15
# steps, and after 120. What does the loss say?

# %%
no_ends = serve(table, memory["train"], asked=lambda token: token != tokenizer.eos_id)
endless = fit("every end skipped", no_ends)


@torch.no_grad()
def tell(captioner, memory):
    """Greedy captions of memory (B, N, D)."""
    found = [
        t
        for part in memory.split(50)
        for t in decoding.greedy(captioner.eval(), part, tokenizer.bos_id, tokenizer.eos_id)[0]
    ]
    return [tokenizer.decode(tokens) for tokens in found]


plots.show(
    plots.lines({name: curve(logs[name], "eval_stops")
                 for name in ("healthy", "every end skipped")},
                "Nobody tells it not to stop, and it unlearns stopping", "steps",
                "chance of <eos> where the caption is over"),
    alt="; ".join(f"{name}: chance of eos from {curve(logs[name], 'eval_stops')[1][0]:.2f} to "
                  f"{curve(logs[name], 'eval_stops')[1][-1]:.2f}"
                  for name in ("healthy", "every end skipped")),
)  # fmt: skip
for name, model in (("healthy", healthy), ("every end skipped", endless)):
    print(
        f"{name:18} {curve(logs[name], 'loss')[1][-1]:.2f} nats   "
        f"{tell(model, memory['test'][:1])[0]}"
    )

# %% [markdown]
# At first it stops where a caption is over, as it has read. Nobody teaches it otherwise: the labels
# are only left out. Yet at the first look, after 15 steps, the habit is gone, since the weights move
# for a hundred other reasons and **nothing holds this one thing in place**. Nor does the loss warn
# you: it is that of the healthy run, or nearly. The caption does warn you. Look at one before you pay
# for a long run, and again after it.
#
# The cure is lesson 07's: what is padding is told by its place, not by its number. `caption_labels`
# of `coursekit.models.prefix` keeps the first `<eos>`, whatever pads.
#
# ## 5. Second illness: the rate
#
# A rate too low is slow, and everybody sees it. A rate too high is less plain, and it is worst at the
# *beginning*: the new layers are random, their gradients point anywhere, and Adam makes its first
# steps at full length whatever the gradient's size. So the rate **warms up**: it climbs in the first
# tenth. And at the end, where steps of full length only shake what has been found, it **decays**
# along half a cosine:
#
# $$r(t) = r \cdot \frac{t + 1}{w} \;\text{ for } t < w, \qquad
# r(t) = r \cdot \tfrac12\Big(1 + \cos\frac{\pi\,(t - w)}{S - w}\Big) \;\text{ from then on}$$
#
# (This is the course's own loop; the Trainer climbs by $t/w$, so that its first step has rate 0.)
#
# ### Exercise 2 · The rate of a step
# *difficulty 2/5 · importance 4/5 · 10 minutes*
#
# Steps count from 0 to `steps` − 1; the first `warmup` of them climb.
#
# 1. While `step` < `warmup`: the peak times (step + 1) / warmup.
# 2. From then on: half a cosine from the peak at `warmup` to zero at `steps`.
# 3. `warmup` may be 0.


# %%
def rate(step, steps, warmup, peak):
    """step, steps, warmup whole numbers, peak a number -> the rate of this step"""
    raise NotImplementedError("write me")


check.rate(rate)

# %% [markdown]
# <details><summary>Hint 1: how far down the cosine?</summary>
#
# `done = (step - warmup) / (steps - warmup)` runs from 0 to almost 1.
# </details>
# <details><summary>Hint 2: half a cosine</summary>
#
# `math.cos(math.pi * done)` runs from 1 to −1; half of one plus that, from 1 to 0.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def rate(step, steps, warmup, peak):
#     import math
#     if step < warmup:
#         return peak * (step + 1) / warmup
#     return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
# ```
# </details>
#
# **Predict** the order at the finish of four runs: as above; without warm-up; without decay; and with
# a rate that is far too high.

# %%
fit("no warm-up", warmup_steps=0)
fit("no decay", lr_scheduler_type="constant_with_warmup")
fit("rate too high", learning_rate=settings["high"])
several = ("healthy", "no warm-up", "no decay", "rate too high")
plots.show(
    plots.lines({name: curve(logs[name], "eval_loss") for name in several},
                "Warm-up protects what was read, decay lets it settle", "steps",
                "loss on dev (nats a token)"),
    alt="Losses on dev: " + "; ".join(f"{name} ends at {curve(logs[name], 'eval_loss')[1][-1]:.2f}"
                                      for name in several),
)  # fmt: skip
print(f"{'':16}{'first losses':>30}{'last on dev':>14}{'largest gradient':>18}")
for name in several:
    firsts = " ".join(f"{value:.2f}" for value in curve(logs[name], "loss")[1][:4])
    print(
        f"{name:16}{firsts:>30}{curve(logs[name], 'eval_loss')[1][-1]:14.2f}"
        f"{max(curve(logs[name], 'grad_norm')[1]):18.1f}"
    )

# %% [markdown]
# **Without warm-up** the first losses are the thing to look at: twice what the model began with.
# Nothing was wrong with it. But random layers point anywhere, Adam took full steps that way at once,
# and what had been read was trampled; the rest of the run is learning it again. Whoever looks at the
# end only sees a model that is "a bit worse". **Without decay** it runs along with the healthy one,
# then falls behind in the second half, where full steps only shake. And the **rate far too high**
# ends higher than it began, worse than no training at all. Its gradients are large, and clipping them
# does not save it: Adam divides each by its own usual size, so its steps are as long as the rate
# says.
#
# A schedule must know its end. Who trains longer than planned has decayed too early; who stops half-way
# has paid for a decay that never came.
#
# ## 6. Third illness: learning by heart
#
# Real fine-tuning often has few pictures. Let us take 64, each with its five captions, and train as
# before. The training loss will look better than ever. **Predict** the loss on dev.
#
# Three cures are known. **Stopping in time** needs no new idea, only a callback:
# `EarlyStoppingCallback` ends a run after some looks at dev without a better loss, and
# `load_best_model_at_end` goes back to the best of them (both need checkpoints). **Dropout** sets a
# share of the numbers in each layer to zero, different ones at every step, and enlarges the rest:
# what hangs on one number cannot be learned by heart. And **more pictures**, which section 8 will
# make out of the same.

# %%
few = settings["few"]
few_rows = serve(table_of("train", few), memory["train"])
fit("few pictures", few_rows)
fit("dropout", few_rows, dropout=0.2)
fit(
    "stopped early", few_rows, callbacks=[EarlyStoppingCallback(2)], save_strategy="steps",
    save_steps=max(1, settings["trial"] // 8), save_total_limit=1,
    load_best_model_at_end=True, metric_for_best_model="eval_loss",
)  # fmt: skip


def show_losses(names, title):
    """Losses on dev of several runs, and their last losses in training."""
    shown = {
        f"all {len(table):,} pictures" if name == "healthy" else name: curve(
            logs[name], "eval_loss"
        )
        for name in names
    }
    plots.show(
        plots.lines(shown, title, "steps", "loss on dev (nats a token)"),
        alt="Losses on dev: " + "; ".join(f"{name}: lowest {min(ys):.2f}, last {ys[-1]:.2f}"
                                          for name, (_, ys) in shown.items()),
    )  # fmt: skip
    for name, (label, (_, ys)) in zip(names, shown.items(), strict=True):
        print(
            f"{label:24} training {curve(logs[name], 'loss')[1][-1]:5.2f}   dev {ys[-1]:5.2f}, at "
            f"best {min(ys):5.2f}"
        )


show_losses(
    ("few pictures", "dropout", "stopped early", "healthy"), "Few pictures are learned by heart"
)

# %% [markdown]
# Its training loss is by far the lowest, and on dev it **falls, turns and rises**: from the turn on
# it learns these 64 pictures, and no longer how to look. (Did you expect the turn to be later?)
#
# - *Stopped early* is the same run, cut off two looks after the turn. It cannot find a better model;
#   it keeps the best there was, and saves the rest of the bill.
# - *Dropout* keeps the curve from rising. Its training loss is higher, partly because it is measured
#   with numbers set to zero. That is no illness.
# - The lowest line is no trick at all. **More pictures beat every cure.**
#
# ## 7. In earnest
#
# Now with all pictures and all cures: warm-up and decay, a little dropout, the best of the looks at
# dev kept. `Seq2SeqTrainer` differs from `Trainer` in one thing: with `predict_with_generate` it
# lets the model *speak* when it looks at dev, and gives `compute_metrics` captions instead of logits.
# Checkpoints go into the build folder; `resume_from_checkpoint` goes on from the last one, so
# a run that broke off costs nothing but the steps since then.


# %%
def speaking(prediction):
    """Of generated tokens (n, T): the share of true claims, and how many are made a caption."""
    said = [claims(tokenizer.decode(row[row >= 0])) for row in prediction.predictions]
    true = sum(
        len(own & scene.facts()) for own, scene in zip(said, sets["dev"].scenes, strict=False)
    )
    return {"true": true / max(1, sum(map(len, said))), "claims": sum(map(len, said)) / len(said)}


steps = settings["main"]
fifth = max(1, steps // 5)
run = sizes.build_folder("lesson-08", f"in-earnest-{here.size}")  # delete it to begin anew
args = arguments(
    run.name, steps, eval_steps=fifth, eval_on_start=False, save_strategy="steps", save_steps=fifth,
    save_total_limit=2, load_best_model_at_end=True, metric_for_best_model="eval_loss",
    predict_with_generate=True, generation_max_length=32,
)  # fmt: skip
looking = fresh(0.1)
if (run / "whole").is_dir():
    looking = ViTGPT2.load(run / "whole").to(here.device)
else:
    trainer = trainer_for(looking, args, rows, metrics=speaking)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(run))
    trainer.save_state()
    looking.save(run / "whole")
log = TrainerState.load_from_json(run / "trainer_state.json").log_history
for step, loss, true, count in zip(
    *curve(log, "eval_loss"), curve(log, "eval_true")[1], curve(log, "eval_claims")[1], strict=True
):
    print(
        f"step {step:5}  loss on dev {loss:.3f}   {true:.2f} of {count:.1f} claims a caption are "
        "true"
    )

# %% [markdown]
# Break it off and run the cell again: it goes on from the last fifth, and a finished run is only loaded.
#
# `generate` is Hugging Face's decoder. Ours knows nothing of transformers; it asks a step model for
# logits and chooses. They must say the same, word for word, greedily and with a beam:

# %%
from transformers.modeling_outputs import BaseModelOutput

some, said = memory["test"][:20], {}
for beam in (1, 3):
    seen_by = BaseModelOutput(some.clone())
    theirs = looking.model.eval().generate(
        encoder_outputs=seen_by, num_beams=beam, length_penalty=0.0, do_sample=False, max_length=31
    )
    ours, _ = decoding.beam_search(looking, some, tokenizer.bos_id, tokenizer.eos_id, beam)
    said[beam] = [tokenizer.decode(each) for each in ours]
    same = sum(tokenizer.decode(a) == b for a, b in zip(theirs.tolist(), said[beam], strict=True))
    print(
        f"beam {beam}: {same} of {len(some)} captions are the same by generate and by "
        "coursekit.decoding"
    )

# %% [markdown]
# ## 8. Fourth illness: pictures that lie
#
# More pictures of the same: this is **augmentation**. A picture is changed a little and stays a good
# picture, and it costs nothing. Here is a picture with its caption, and four common ways to change
# it. **For which of them is the caption still true?**


# %%
def turned(images):
    """The colours of pictures (B, 3, H, W) turned around the wheel, of each by another angle up
    to an eighth of a turn."""
    angle = (
        (torch.rand(len(images), generator=torch.Generator().manual_seed(1)) - 0.5) * math.pi / 2
    )
    cos, side = angle.cos()[:, None, None], angle.sin()[:, None, None] / math.sqrt(3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])  # around the axis of greys
    turn = cos * torch.eye(3) + (1 - cos) / 3 + side * cross  # (B, 3, 3)
    return torch.einsum("bij,bjhw->bihw", turn, images.float()).clamp(0, 255).byte()


def brighter(images):
    return (images.float() * 1.15).clamp(0, 255).byte()


def moved(images):
    """Two pixels down and three to the right; what is laid bare repeats the edge."""
    return F.pad(images.float(), (3, 0, 2, 0), mode="replicate")[..., :-2, :-3].byte()


ways = {
    "mirrored": lambda images: images.flip(-1),
    "colours turned": turned,
    "brighter": brighter,
    "moved": moved,
}
chosen = next(
    (
        i
        for i, cs in enumerate(sets["train"].captions)
        if any("on the left" in c and " red " in f" {c} " for c in cs)
    ),
    0,
)
picture = sets["train"].images([chosen])
caption = next(
    (c for c in sets["train"].captions[chosen] if "on the left" in c),
    sets["train"].captions[chosen][0],
)
shown = [picture[0], *(way(picture)[0] for way in ways.values())]
plots.show(
    plots.show_pictures(shown, [caption, *ways], columns=5, title="One caption, five pictures"),
    alt=f"A picture with its caption, {caption}, and the same picture mirrored, with its colours "
    "turned, brighter, and moved by a few pixels.",
)

# %% [markdown]
# You have judged one caption; let us judge 1,500. The ViT was trained to say which facts hold in a
# picture, and the layer that said so ships with it. So here is a **referee** that has never read a
# caption: of the claims in the captions, how many does it confirm, before and after?

# %%
referee = scene_vit_classifier().head.to(here.device)
views = settings["views"]
judged = min(300, views)


@torch.no_grad()
def seen_as(way, count, split="train"):
    """What the eye leaves of the first pictures of a split, changed: (count, N, D)."""
    parts = [way(sets[split].images(part.tolist())) for part in torch.arange(count).split(50)]
    return torch.cat([encoder(part.to(here.device)).half() for part in parts])


seen = {"as it is": memory["train"][:views]}
for name, way in ways.items():
    seen[name] = seen_as(way, views if name in ("mirrored", "colours turned") else judged)
kinds, confirmed = ("thing", "count", "colour", "place", "ground", "sky"), {}
for name, each in seen.items():
    facts = [
        {fact for fact, score in zip(ALL_FACTS, row, strict=True) if score > 0}
        for row in referee(each[:judged].float().amax(1)).tolist()
    ]
    pairs = [
        (claim, claim in held)
        for cs, held in zip(sets["train"].captions, facts, strict=False)
        for c in cs
        for claim in claims(c)
    ]
    true = {kind: [yes for claim, yes in pairs if claim[0] == kind] for kind in kinds}
    confirmed[name] = [sum(each) / max(1, len(each)) for each in true.values()]
plots.show(
    plots.heat(list(confirmed.values()), "The mirror breaks places, turned colours break colours",
               list(confirmed), kinds, label="share confirmed", low=0, high=1, digits=2),
    alt="; ".join(f"{name}: " + ", ".join(f"{kind} {value:.2f}"
                                          for kind, value in zip(kinds, row, strict=True))
                  for name, row in confirmed.items()),
)  # fmt: skip

# %% [markdown]
# All claims of the first row are true, so read the others against it: this referee errs, too.
# **Mirrored**: of the places one in five is left (what is in the *middle* stays there); the rest
# suffers less. **Colours turned**: nearly a third of the colours is gone. **Brighter**: nearly all
# as before. But look at **moved**. Every claim is still true, and the referee doubts counts, colours
# and places! It has never seen a thing stand three pixels beside its usual place, and it cuts at
# fixed lines. So there are two ways to fail: the *caption* becomes false, or the *picture* becomes
# foreign to the eye. The first is a lie. The second is what augmentation is for, if the eye may
# learn; a frozen eye only sees worse.
#
# **An augmentation must keep the label true, and a caption is a label with eight claims in it.** In
# classification a mirrored cat is a cat; here the habit lies. But a lie of this kind can be mended:
# change the words along with the picture.
#
# ### Exercise 3 · A mirror that tells the truth
# *difficulty 2/5 · importance 4/5 · 10 minutes*
#
# Mirror a picture from left to right, and change its caption so that it stays true.
#
# 1. `image` is (3, H, W): turn the order of its columns around.
# 2. In the caption every "left" becomes "right" and every "right" becomes "left"; all other words
#    stay. A caption may hold both.


# %%
def mirror(image, caption):
    """image (3, H, W), caption a string -> image (3, H, W), string"""
    raise NotImplementedError("write me")


check.mirror(mirror)

# %% [markdown]
# <details><summary>Hint 1: columns</summary>
#
# The last dimension runs along a row, so it counts columns: `image.flip(-1)`.
# </details>
# <details><summary>Hint 2: both at once</summary>
#
# `caption.replace("left", "right").replace("right", "left")` changes the words there and back again.
# Go word by word, and look each one up in a dictionary.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def mirror(image, caption):
#     other = {"left": "right", "right": "left"}
#     return image.flip(-1), " ".join(other.get(word, word) for word in caption.split())
# ```
# </details>
#
# The eye is frozen, so an augmented picture costs one look: we have done that for the referee. The
# rest is rows: `concatenate_datasets` joins tables. So that effects show soon, we go on training the
# finished captioner, on captions that name a side (`filter` finds them), and ask it for sides and
# colours only. We watch it on dev pictures as they are *and* on mirrored ones with true captions: the
# Trainer takes several exams. **Predict** for three runs, mirrored with the old words, mirrored with
# the new, and with colours turned, what becomes of *left and right* and of *colours*.

# %%
OTHER = {"left": "right", "right": "left"}
SIDES = {tokenizer.token_of[word] for word in OTHER}
both = torch.cat([seen["as it is"], seen["mirrored"], seen["colours turned"]])


def changed(table, place, swap=False):
    """A table's rows for changed pictures, place 1 or 2 in `both`; `swap` exchanges left and
    right in their captions."""

    def change(row):
        captions = [
            " ".join(OTHER.get(w, w) if swap else w for w in c.split()) for c in row["captions"]
        ]
        tokens = [tokenizer.with_ends(c) for c in captions]
        return {"picture": row["picture"] + place * views, "captions": captions, "tokens": tokens}

    return table.map(change)


def sided(table):
    """What a table has of captions that name a side."""
    kept = table.map(lambda row: {"tokens": [each for each in row["tokens"] if SIDES & set(each)]})
    return kept.filter(lambda row: len(row["tokens"]) > 0)


plain = table_of("train", views)
lies = {
    "as they are": plain,
    "mirrored, words kept": concatenate_datasets([plain, changed(plain, 1)]),
    "mirrored, words swapped": concatenate_datasets([plain, changed(plain, 1, swap=True)]),
    "colours turned": changed(plain, 2),
}
count = len(dev_rows)
swapped = changed(table_of("dev", count), 0, swap=True)
mirrored_rows = serve(swapped, seen_as(ways["mirrored"], count, "dev"), with_a_side)
exam = {"usual": dev_rows, "mirrored": mirrored_rows}
telling = {tokenizer.token_of[word] for group in GROUPS.values() for word in group}
for name, each in lies.items():
    fit(name, serve(sided(each), both, asked=telling.__contains__), start=looking, exam=exam,
        learning_rate=settings["rate"] / 3, eval_steps=max(1, settings["trial"] // 4))  # fmt: skip

# %%
asked = {
    "correct side, usual": "usual_side",
    "correct side, mirrored": "mirrored_side",
    "correct colour, usual": "usual_colour",
}
ends = {name: [curve(logs[name], f"eval_{key}")[1][-1] for key in asked.values()] for name in lies}
plots.show(
    plots.heat(list(ends.values()),
               "Turned colours cost colours; only a true mirror teaches the mirror",
               list(ends), list(asked), label="chance", low=0, high=1, digits=2),
    alt="; ".join(f"{name}: " + ", ".join(f"{key} {value:.2f}"
                                          for key, value in zip(asked, row, strict=True))
                  for name, row in ends.items()),
)  # fmt: skip
with_both = [c.split() for row in table["captions"] for c in row if " left" in c and " right" in c]
first = sum(c.index("left") < c.index("right") for c in with_both) / max(1, len(with_both))
print(f"of {len(with_both)} captions that name both sides, {first:.0%} tell the left one first")

# %% [markdown]
# Read the rows. In our run a model that goes on with pictures as they are gives the correct side a
# chance of 0.78 in usual pictures and of 0.64 in mirrored ones. With mirrored pictures and their old
# words *both* fall, to 0.73 and 0.55: half of what is said of sides is now false, so sides are
# unlearned. With the words swapped, mirrored pictures rise to 0.71, and usual ones pay for it (0.72).
# Why do they? The last line says it: four of five captions that name both sides name the left one
# first. Whoever has heard *on the left* knows the next side without looking, and swapped captions
# take this hint away. What is left is what the model sees. With turned colours the chance of the
# correct colour ends at 0.64 and not at 0.69, and sides gain next to nothing.
#
# **An augmentation is a claim about the world**: this picture may still be called that. Check the claim
# before you make ten thousand copies of it.
#
# And the honest mirror as a cure for learning by heart, on the 64 pictures of section 6?

# %%
few_plain = table_of("train", few)
few_both = concatenate_datasets([few_plain, changed(few_plain, 1, swap=True)])
fit("few, and mirrored", serve(few_both, both))
show_losses(
    ("few pictures", "few, and mirrored", "dropout", "healthy"),
    "Mirrors and dropout help a little at most, pictures help",
)

# %% [markdown]
# Hardly. The curve ends a little lower than without (1.61 against 1.64), but its lowest point lies
# higher (1.60 against 1.56); dropout does better (1.56 at the end), and 3,000 pictures reach 1.12. A
# mirrored picture is not a new one: it shows the same things once more. Augmentation stretches a data
# set, and it stretches it by what it truly varies.
#
# ## 9. Fifth illness: batches in parts
#
# A batch that does not fit into memory is cut into parts: `gradient_accumulation_steps` parts of
# `per_device_train_batch_size` rows; gradients add up, and one step is made. It should be **the same
# step** as that of the whole batch. Is it?
#
# The loss of a batch is a mean over its *tokens*. Part losses are means over each part's tokens. If
# the parts have different numbers of tokens, the mean of their means is not the mean: a token in a
# part of short captions counts more. To be equal, each part must be divided by the number of
# tokens **of all parts together**.
#
# ### Exercise 4 · A part of a loss
# *difficulty 3/5 · importance 4/5 · 10 minutes*
#
# A large batch has been cut into parts. Return the loss of one of them, such that the losses of all
# parts **add up** to the mean over all tokens of the large batch.
#
# 1. Cross-entropy at the labels that are not −100, summed.
# 2. Divided by `total`, the number of such labels in *all* parts.


# %%
def part_loss(logits, labels, total):
    """logits (B, T, V), labels (B, T) with -100 where nothing is asked, total -> loss, ()"""
    raise NotImplementedError("write me")


check.part_loss(part_loss)

# %% [markdown]
# <details><summary>Hint 1: a sum</summary>
#
# `F.cross_entropy(…, reduction="sum")` adds up; it skips −100 by itself.
# </details>
# <details><summary>Hint 2: shapes</summary>
#
# It wants (n, V) and (n,): `logits.flatten(0, 1)` and `labels.flatten()`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def part_loss(logits, labels, total):
#     loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
#     return loss / total
# ```
# </details>
#
# The Trainer knows all this. It counts the labels of all parts and passes the count to the model, as
# `num_items_in_batch`; a model that uses it is right. And if a model *accepts* it and does not use
# it? Then the Trainer takes the loss for finished and adds up the parts as they are. **Predict:** what
# will the log show for such a model and four parts?


# %%
def counted(outputs, labels, num_items_in_batch=None):
    """Exercise 4 as the Trainer calls it; without a count, the mean of this batch."""
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs.logits
    total = (labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / total


def accumulate(name, size, parts, loss=None, accepts=None):
    """A few steps with batches in parts; what the log shows of losses and gradients."""
    captioner = fresh()
    if accepts is not None:
        captioner.model.accepts_loss_kwargs = accepts
    args = arguments(
        "trials", settings["micro"], per_device_train_batch_size=size,
        gradient_accumulation_steps=parts,
        logging_steps=1, eval_strategy="no", eval_on_start=False, max_grad_norm=1e9,
        learning_rate=settings["rate"] / 10,
    )  # fmt: skip
    trainer = trainer_for(captioner, args, first_rows, loss=loss)
    trainer.train()
    logs[name] = trainer.state.log_history
    return trainer


size, parts = settings["parts"]
first_rows = serve(table, memory["train"], choose=lambda captions: captions[0])
whole = accumulate("whole batch", size * parts, 1)
print("the Trainer believes that the model divides by the count:", whole.model_accepts_loss_kwargs)
accumulate("parts, as it comes", size, parts)
accumulate("parts, mean of means", size, parts, accepts=False)
accumulate("parts, counted", size, parts, loss=counted)
several = ("whole batch", "parts, as it comes", "parts, mean of means", "parts, counted")
print(f"{'':22}{'losses in the log':>28}{'gradients, before clipping':>34}")
for name in several:
    told_losses, told_norms = (
        " ".join(f"{value:.3f}" for value in curve(logs[name], key)[1][:4])
        for key in ("loss", "grad_norm")
    )
    print(f"{name:22}{told_losses:>28}{told_norms:>34}")

# %% [markdown]
# Row by row.
#
# - *As it comes*, the log begins at **four times** the loss of the whole batch, and the gradients are
#   about four times as large. `VisionEncoderDecoderModel` accepts the count, as its `forward` accepts
#   anything, and takes the mean of each part all the same; the Trainer trusts it and adds up. (So it
#   is in the version that the course is tested with. Compare your own first line with the loss before
#   training.)
# - *Mean of means* is right but for the third digit: parts of eight captions drawn at random are
#   almost equally long. Sort the batches by length, and it is no longer so.
# - *Counted* is the whole batch, digit by digit.
#
# Would you have noticed? Adam divides a gradient by its own usual size, so four times the gradient is
# nearly the same step, and the captions are as good. But `max_grad_norm` does not divide: what was
# clipped now and then is clipped at every step. And with plain SGD the steps would be four times as
# long. The cure is one argument, `compute_loss_func=counted`.
#
# ## 10. The picture that stays
#
# Each illness beside its cure.

# %%
cases = {
    "every <eos> skipped": dict(ill=curve(logs["every end skipped"], "eval_stops"),
                                cured=curve(logs["healthy"], "eval_stops"),
                                y="chance of <eos> at the end"),
    "rate too high": dict(ill=curve(logs["rate too high"], "eval_loss"),
                          cured=curve(logs["healthy"], "eval_loss"),
                          y="loss on dev (nats a token)"),
    "by heart": dict(ill=curve(logs["few pictures"], "eval_loss"),
                     cured=curve(logs["dropout"], "eval_loss"), y="loss on dev (nats a token)"),
    "a mirror that lies": dict(ill=curve(logs["mirrored, words kept"], "eval_mirrored_side"),
                               cured=curve(logs["mirrored, words swapped"], "eval_mirrored_side"),
                               y="chance of the correct side"),
    "colours that lie": dict(ill=curve(logs["colours turned"], "eval_usual_colour"),
                             cured=curve(logs["as they are"], "eval_usual_colour"),
                             y="chance of the correct colour"),
    "parts not counted": dict(ill=curve(logs["parts, as it comes"], "loss"),
                              cured=curve(logs["parts, counted"], "loss"),
                              y="loss in the log (nats)"),
}  # fmt: skip
plots.show(illnesses(cases, "Each illness beside its cure"), alt=illnesses_alt(cases))

# %% [markdown]
# Two of the six panels show in the training loss, if one knows what it should begin with: the rate
# and the parts. **The other four do not.** Each needed a curve of its own: of stopping, of dev, of
# sides, of colours. A loss is a mean over all that is asked. What you fear, you must ask for by its
# name.
#
# ## 11. Where each layer looks
#
# In lesson 05 there was one attention, and its map was the model's look. Here each layer has its
# own, each of several heads, and 65 places to choose from: the patches, and the class token, which
# is no place at all. We take the mean over the heads. **Predict:** will all layers look at what is
# named? And what will a layer do that needs no picture for a word, since its weights must sum to 1?


# %%
from coursekit.datasets import scene_drawing
from coursekit.datasets.scene_words import NAMES, plural

THING_OF = {
    word: name for name, said in NAMES.items() for one in said for word in (one, plural(one))
}


def covered(thing, side=8):
    """Which cells of a grid a thing touches, as it was drawn: (side * side,), bool."""
    wide = scene_drawing.BIG if thing.size == "big" else scene_drawing.SMALL
    edges = torch.arange(side + 1) * scene_drawing.SIDE / side
    cells = torch.zeros(side, side, dtype=torch.bool)
    for column, (dx, dy) in zip(thing.columns, thing.offsets, strict=True):
        x, y = 21 * column + (21 - wide) // 2 + dx, (27 if thing.flies else 59) - wide + dy
        across, down = ((edges[:-1] < at + wide) & (at < edges[1:]) for at in (x, y))
        cells |= down[:, None] & across
    return cells.flatten()


def looks(captions, memory, layer):
    """Where a layer looked before each word and before <eos>: (B, T, 65), on the CPU."""
    tokens = pad([tokenizer.with_ends(c)[:-1] for c in captions], tokenizer.pad_id)[0]
    return looking.eval().look(memory, tokens.to(here.device), layer).cpu()


captions = {"cross-attention": tell(looking, memory["test"])}
layers = range(len(looking.model.decoder.transformer.h))


def points(layer):
    """Of a layer: weight on the class token; how often its heaviest patch is on the thing, at
    its colour and at its name; chance."""
    weights = looks(captions["cross-attention"], memory["test"], layer)
    hits = {"colour": [], "name": [], "chance": []}
    for own, caption, scene in zip(
        weights, captions["cross-attention"], sets["test"].scenes, strict=True
    ):
        things, words = {thing.name: covered(thing) for thing in scene.things}, caption.split()
        on = own[:, 1:].argmax(1)  # (T,)
        for t, word in enumerate(words):
            if (cells := things.get(THING_OF.get(word))) is not None:
                hits["name"].append(cells[on[t]].item())
                hits["chance"].append(cells.float().mean().item())
                if t and words[t - 1] in COLOUR_NAMES:
                    hits["colour"].append(cells[on[t - 1]].item())
    return [
        weights[:, :, 0].mean().item(),
        *(sum(each) / max(1, len(each)) for each in hits.values()),
    ]


pointed = [points(layer) for layer in layers]
columns = ("class token", "at its colour", "at its name", "by chance")
plots.show(
    plots.heat(pointed, "Later layers look at the thing whose colour comes next",
               [f"layer {i + 1}" for i in layers], columns, label="share", low=0, high=1, digits=2),
    alt="; ".join(f"layer {i + 1}: "
                  + ", ".join(f"{name} {value:.2f}"
                              for name, value in zip(columns, row, strict=True))
                  for i, row in enumerate(pointed)),
)  # fmt: skip

# %%
best = max(layers, key=lambda i: pointed[i][1])
boats = [i for i, s in enumerate(sets["test"].scenes)
         if len(s.things) == 3 and "boat" in (t.name for t in s.things)]  # fmt: skip
ours = boats[0] if boats else 0
told_words = [*captions["cross-attention"][ours].split(), "<eos>"]
weights = looks([captions["cross-attention"][ours]], memory["test"][ours : ours + 1], best)
weights = weights[0, :, 1:]  # (T, 64), the class token left out
plots.show(
    plots.attention_maps(sets["test"].image(ours), told_words, weights,
                         title=f"Where layer {best + 1} looks, word by word"),
    alt=plots.attention_alt(told_words, weights),
)  # fmt: skip

# %% [markdown]
# In the first layer the heaviest patch lies on the named thing hardly more often than by chance. In
# the last one it lies there for two colours in three (in the pictures: for *white* on the bird, but
# for *orange* at the boat), and for fewer names, perhaps since whoever has said *red* knows already
# what it is. And what of words that need no picture, such as *the*? They do not turn to the class
# token, which gets next to nothing. In the picture nine tenths lie on one patch of water: somewhere
# weight must lie. So a map of one layer is one answer of several. Lesson 05's warning holds: it shows
# where the model looked, not why it said what it said.
#
# ## 12. At the same price
#
# Prefix or cross-attention? Published comparisons differ in everything at once. Ours has the same
# eye, the same 65 embeddings, the same language model to begin with, the same captions, the same
# schedule, and the same **price**: as many operations in training. Whoever is cheaper a step gets
# more steps. **Predict** the winner in true claims, in colours, and in colours never seen on such a
# thing.

# %%
dev_tokens = pad([with_a_side(each) for each in tokens_of["dev"]], tokenizer.pad_id)[0]
dev_tokens = dev_tokens.to(here.device)
sample = pad([each[0] for each in tokens_of["train"][: settings["batch"]]], tokenizer.pad_id)[0]
sample = sample.to(here.device)


@torch.no_grad()
def dev_loss(model):
    """Nats a token on dev, in parts: a long prefix takes memory."""
    each = [
        prefix_loss(model.eval(), memory["dev"][part], dev_tokens[part], tokenizer.eos_id).item()
        for part in torch.arange(len(dev_tokens)).split(50)
    ]
    return sum(each) / len(each)


def training_cost(model):
    """Millions of operations of a training step."""
    seen = memory["train"][: len(sample)].float()
    return operations(lambda: prefix_loss(model.train(), seen, sample, tokenizer.eos_id).backward())


def pace(model, times=5):
    """Seconds of a training step: the quickest of some."""
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        prefix_loss(
            model.train(), memory["train"][: len(sample)].float(), sample, tokenizer.eos_id
        ).backward()
        spent.append(time.perf_counter() - started)
    return min(spent)


PREFIX = "prefix, 65 by a linear layer"
cost, paces = (
    {name: ask(rivals[name]()) for name in (PREFIX, "cross-attention")}
    for ask in (training_cost, pace)
)
for name in cost:
    print(f"{name:30}{cost[name]:8.0f} million operations and {1000 * paces[name]:4.0f} ms a step")
afforded = round(settings["main"] * cost["cross-attention"] / cost[PREFIX])
print(f"for the price of {settings['main']} steps of cross-attention: {afforded} of a prefix")

# %% [markdown]
# By operations and by seconds the prefix is dearer, though not by the same factor: large products run
# at a better pace than many small ones. So it trains twice: once for the same operations, which is
# the stricter bargain, and once for the **same number of steps**, at whatever price. Same seconds lie
# between. In the table, `true` and `told` are fact precision and recall, `colour` and `unseen` the
# share of colours that are right, on test and for pairs that were in no training caption.


# %%
def prefix_training(name, steps, rounds=4):
    """Lesson 07's loop for a number of steps; the model and its seconds."""
    model, steps = rivals[PREFIX](dropout=0.1), max(rounds, steps) // rounds

    def batches(epoch):
        rng = random.Random(epoch)
        pairs = [
            (rng.randrange(len(table)), rng.randrange(5)) for _ in range(steps * settings["batch"])
        ]
        return [pairs[i : i + settings["batch"]] for i in range(0, len(pairs), settings["batch"])]

    def loss(model, pairs):
        tokens = pad([tokens_of["train"][i][k] for i, k in pairs], tokenizer.pad_id)[0]
        return prefix_loss(
            model,
            memory["train"][[i for i, _ in pairs]].float(),
            tokens.to(here.device),
            tokenizer.eos_id,
        )

    history = train(
        model, loss, batches, TrainSettings(epochs=rounds, learning_rate=settings["rate"]),
        validate=dev_loss, out=sizes.build_folder("lesson-08", name), dtype=here.dtype, quiet=True,
    )  # fmt: skip
    return model, history.seconds[-1]


models = {"cross-attention": looking}
for name, steps in (
    ("prefix, same operations", afforded),
    ("prefix, same steps", settings["main"]),
):
    models[name], seconds = prefix_training(name.replace(", ", "-").replace(" ", "-"), steps)
    print(f"{name:24}{steps:5} steps in {seconds:4.0f} s")


# %%
def colours_right(captions, scenes, wanted=lambda pair: True):
    """Of the wanted things that a caption gives a colour: the share with the right one."""
    right = told = 0
    for caption, scene in zip(captions, scenes, strict=True):
        own = claims(caption)
        for thing in (t for t in scene.things if wanted((t.colour, t.name))):
            given = {claim[2] for claim in own if claim[:2] == ("colour", thing.name)}
            told, right = told + bool(given), right + (given == {thing.colour})
    return right / max(1, told)


def numbers_in(state):
    """How many numbers a state holds."""
    if isinstance(state, torch.Tensor):
        return state.numel()
    return sum(map(numbers_in, state.values() if isinstance(state, dict) else state))


@torch.no_grad()
def speak(model, steps=15):
    """The state after the picture and `steps` words."""
    state = model.start(memory["test"][:1])
    token = torch.tensor([tokenizer.bos_id], device=here.device)
    for _ in range(steps):
        _, state = model.step(token, state)
    return state


def graded(name, model):
    said = captions.setdefault(name, tell(model, memory["test"]))
    rare = tell(model, memory["unseen"])
    scores = caption_scores(said, sets["test"].captions, meteor=False)
    facts = fact_scores([claims(c) for c in said], sets["test"].facts())
    return dict(
        dev=dev_loss(model), bleu=scores["Bleu_4"], cider=scores["CIDEr"],
        true=facts["fact_precision"],
        told=facts["fact_recall"], colour=colours_right(said, sets["test"].scenes),
        unseen=colours_right(rare, sets["unseen"].scenes, UNSEEN_PAIRS.__contains__),
        speaking=operations(lambda: speak(model)), state=numbers_in(speak(model)),
    )  # fmt: skip


result = {name: graded(name, model) for name, model in models.items()}
print(f"{'':24}" + "".join(f"{key:>10}" for key in next(iter(result.values()))))
for name, row in result.items():
    cells = (f"{each:10,}" if isinstance(each, int) else f"{each:10.3f}" for each in row.values())
    print(f"{name:24}" + "".join(cells))

# %% [markdown]
# Read two rows at a time. **For the same operations** cross-attention wins every column: the long
# prefix could afford 207 steps where cross-attention made 500, and after 207 steps it knows four
# colours in ten. **For the same steps**, at more than twice the price, the prefix has caught up in
# BLEU and in true claims. It has not in *colours*: 0.64 against 0.75 of those it names are right, and
# of pairs it never read, 0.39 against 0.52. Those columns are the ones to remember. Both look at the
# picture before every word. But in a prefix the words compete for the same attention, and the
# matrices must serve both; cross-attention has its own for the picture, and section 11 showed that it
# asks just before a colour. Whether that is the cause, this table cannot tell.
#
# One seed stands behind each row, so a difference in the second decimal says nothing. And the eye counts
# for as much: lesson 07's prefix had 16 embeddings of the small CNN, and nine colours in ten right.
#
# The last two columns are no matter of luck, they are counted: the operations (in millions) until
# fifteen words are said, and the numbers that the state holds then. Both models keep something of 65
# places in every layer beside the words. But the prefix has also run all of them through every
# layer's matrices, once for each picture; cross-attention has made keys and values of them, and no
# more.
#
# ## 13. Real photographs, and the real GPT-2
#
# Nothing above depends on drawings. `ViTGPT2.from_parts` takes names as well: with a network,
#
# ```python
# ViTGPT2.from_parts("google/vit-base-patch16-224-in21k", "gpt2")
# ```
#
# joins 86 million numbers of eye and 124 million of voice, and adds 28 million of cross-attention at
# random, which is what fine-tuning is for. A whole that somebody has trained comes by one name,
# `ViTGPT2.load("nlpconnect/vit-gpt2-image-captioning")`, from a folder in the layout that `save`
# writes. The same way, without a network:

# %%
folder = run / "whole"
again = ViTGPT2.load(folder).to(here.device)
print(
    "saved, loaded, and the same captions:",
    tell(again, memory["test"][:20]) == captions["cross-attention"][:20],
)
for name in filter(None, [folder, settings["whole"]]):
    whole = again if name == folder else ViTGPT2.load(name)
    new = sum(each.numel() for key, each in whole.model.named_parameters() if "cross" in key)
    every = sum(each.numel() for each in whole.model.parameters())
    print(f"{every:,} numbers in all, {new:,} of cross-attention")

# %% [markdown]
# Fine-tuning such a whole is this lesson's code with three changes: a rate of about 5e-5 (what has
# read the web is easily spoilt), `pixel_values` in the place of `encoder_outputs` if the eye is to
# learn as well, and GPT-2's own tokens, of which the one special token begins, ends and pads:
# remember section 4.
#
# ## When something looks wrong
#
# | what you see | the likely cause |
# |---|---|
# | first loss near $\ln V$ though the language model has read | its weights were not loaded: names that do not fit are skipped with a warning only; or another tokenizer |
# | first loss a whole number of times too large | parts summed that should be averaged: the model takes `num_items_in_batch` and does not use it (section 9) |
# | loss stops at the blind model's, captions fluent and all alike | the picture does not arrive: `encoder_outputs` of another batch, pictures not normalised as the ViT wants them, cross-attention frozen along with the language model |
# | captions never end, later in training | every `<eos>` skipped as padding (section 4) |
# | loss falls to 0 at once | labels equal to the words that are read: it copies. Given no `decoder_input_ids`, the model moves `labels` itself |
# | captions lack their first word | labels begin with the second word: given alone they begin with the first, and the model puts `<bos>` in front |
# | a jump in the first steps, then slow | no warm-up: the language model has been damaged, and learns anew |
# | `nan`, or a loss that goes up and stays | rate too high; in fp16 no loss scaling. Mind that the Trainer's log leaves `nan` out by default (`logging_nan_inf_filter`) |
# | loss on dev rises while training falls | by heart: dropout, true augmentation, more pictures, stop in time |
# | loss on dev falls and captions get worse in one respect | an augmentation that lies; look at claims by kind |
# | dev loss is better than training loss | dropout is on in training and off on dev; no illness |
# | `KeyError`, or columns missing in the collator | `remove_unused_columns=True` |
# | evaluation runs out of memory | all logits of the dev set are kept: reduce them in `preprocess_logits_for_metrics` |
# | the run begins anew though checkpoints are there | `train()` without `resume_from_checkpoint` |
# | the last model is worse than the log's best | `load_best_model_at_end` is off, or its metric is another, or `save_steps` are not those of the looks |
# | `cross_attentions` are None | fast attention keeps no weights: `attn_implementation="eager"` |
# | captions differ between `generate` and your decoder | still in training mode; another maximal length; `length_penalty`; a `generation_config` that forbids or forces tokens |
#
# ## Questions
#
# 1. Cross-attention has no causal mask. Why does that not let the answer leak?
# 2. In a batch padded on the right, the words of one caption never look at the padding of their own row.
#    Which mask sees to that? And why would padding on the left need another?
# 3. Adam divides each gradient by its own size. What does that hide of section 9's illness, and which of
#    the Trainer's settings brings it to light?
# 4. Which augmentations are safe for "three big red balls on the left at sunset", which need new words,
#    and which cannot be mended by words at all?
# 5. The language model is frozen, and only cross-attention learns. What would you expect of it, after
#    lesson 07? What may it never learn to say?
#
# <details><summary>Short answers</summary>
#
# 1. The picture is no part of what is guessed: its patches are the same before every word, and know no
#    word.
# 2. The causal one: padding stands behind the words, where none looks. On the left it would stand
#    before them, and positions would be moved as well.
# 3. The factor: a gradient four times as large is the same step. Clipping (`max_grad_norm`) does not
#    divide by its own size, so many more steps are clipped. (Another optimizer, SGD, would show it,
#    too.)
# 4. Safe: small shifts, little brightness, a little noise. New words: the mirror. Beyond words: crops
#    that cut things off, colours turned (there are names, but the sunset goes as well), turning
#    upside down.
# 5. It can still choose among all words that its language makes likely; the eye speaks by adding to the
#    stream. What the voice has never found likely, such as a pair it never read, stays hard to say.
# </details>
#
# ## Go further
#
# - Flamingo (Alayrac et al. 2022) multiplies each new layer by $\tanh$ of a learned number that
#   begins at 0: the language model starts as it was. Does it still need warm-up?
# - Let the eye learn as well, at a tenth of the rate, with `pixel_values`. What does a step cost now?
# - Give the Trainer `train_sampling_strategy="group_by_length"` and four parts. Which row of section 9
#   changes most?
# - Cross-attention in the last layer only: what does it cost, what does it lose?
# - Train with the mirror that lies for twice as long. Does the model find another way to know the side?
#
# ## What you have, and what is missing
#
# You can hand a picture to a language model by three doors: told once, told as words that are no words,
# or asked at every layer. You know their price, and the illnesses of their training by their curves.
# In all three, one thing has not moved: pictures go *in*, words come *out*.
#
# But what is a word to these models? A row of a table, one of $V$. Nothing says that it must be a word.
# If a picture could be cut into a few kinds of tokens, the same GPT could *say pictures*. **How few
# colours make a digit?** That is lesson 09.

# %%
sizes.report(
    Bleu_4=result["cross-attention"]["bleu"],
    colours_right=result["cross-attention"]["colour"],
    fact_precision=result["cross-attention"]["true"],
    fact_precision_prefix=result["prefix, same operations"]["true"],
)
