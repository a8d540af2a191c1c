# %% [markdown]
# # 04 · Which caption is best, and who says so?
#
# The captioner is trained, its weights stay as they are from here to the end of the lesson. And yet
# it has not said anything: it gives each next word a probability, no more. **Somebody must choose the
# words, and somebody must judge what comes of it.** Both look like details. By the end you will have
# seen BLEU-4 of this one model anywhere between 0.4 and 0.8.
#
# Lesson 03 ended with a suspicion: by BLEU-1 a model of 2015 describes photographs about as well as a
# person, so something is wrong with the ruler. Scenes are drawn from known facts, so here we can do
# what nobody can with photographs: **measure the ruler**.
#
# After this lesson you can
#
# - search for likely captions and draw from probable ones, and say what each way costs;
# - explain why a wider beam finds better hypotheses and worse captions;
# - build BLEU from nothing, fool it, and name a blind spot of each score in use;
# - measure how far a score agrees with a judge, and how sure a score is at all.
#
# Two to three hours with the exercises.

# %%
from coursekit import sizes

here = sizes.setup()
print(here)

# %%
settings = here.pick(
    smoke=dict(pictures=60, widths=(1, 2, 3, 5), album=20, draws=200, meteor=False),
    cpu=dict(pictures=1000, widths=(1, 2, 3, 5, 10, 20), album=200, draws=1000, meteor=None),
    gpu=dict(pictures=1000, widths=(1, 2, 3, 5, 10, 20), album=500, draws=1000, meteor=None),
)

# %% [markdown]
# The text below describes sizes `cpu` and `gpu`; size `smoke` only proves that every cell runs. The
# captioner is the one that comes with the course. We ask its eye once and keep the answer.

# %%
import math
import random

import torch

from coursekit import decoding, plots
from coursekit.datasets.scene_words import COLOUR_NAMES, Dice, describe, false_words
from coursekit.datasets.scenes import Scenes, claims
from coursekit.metrics.captions import caption_scores, start_meteor
from coursekit.metrics.scenes import fact_scores
from coursekit.recipes import shipped_captioner
from coursekit.text import pad

if settings["meteor"] is not False:
    start_meteor()  # a Java program that takes a while to load; without Java nothing happens
test_set, captioner = Scenes("test", settings["pictures"]), shipped_captioner().to(here.device)
model, tokenizer = captioner.decoder, captioner.tokenizer
BOS, EOS, PAD = tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id
memory = captioner.memory(test_set.images(range(len(test_set))))  # (B, N, D)
print(test_set, "→ memory", tuple(memory.shape))


# %%
def tell(search, memory=memory, **options):
    """Captions of memory (B, N, D) by a decoder of the course, and their log-probabilities."""
    captions, scores = [], []
    for part in memory.split(50):  # a wide beam of more would need a lot of memory
        found, own = search(model, part, BOS, EOS, **options)
        captions += map(tokenizer.decode, found)
        scores += own
    return captions, scores


def dice(seed=0):
    return torch.Generator(here.device).manual_seed(seed)


@torch.no_grad()
def log_probability(captions, memory=memory):
    """What the model itself thinks of given captions: B numbers, in nats."""
    tokens = pad([tokenizer.with_ends(c) for c in captions], PAD)[0].to(here.device)  # (B, T)
    found = []
    for part, said in zip(memory.split(100), tokens.split(100), strict=True):
        log_p = model(part, said[:, :-1]).log_softmax(-1)  # (b, T-1, V)
        each = log_p.gather(2, said[:, 1:, None])[..., 0]  # (b, T-1)
        found += (each * (said[:, 1:] != PAD)).sum(1).tolist()
    return found


# %% [markdown]
# ## 1. One picture, seven tellings
#
# One model, one picture, and seven ways to choose the words: the likeliest each time (*greedy*), the
# likeliest sentence we can find (*beam*), or words drawn by dice that are loaded in different ways.
# **Predict** before you look: which of the eight captions has the highest probability, and where
# does the last one, true and by the grammar, come?

# %%
ways = {
    "greedy": (decoding.greedy, {}),
    "beam 3": (decoding.beam_search, dict(beam=3)),
    "beam 10": (decoding.beam_search, dict(beam=10)),
    "length 1": (decoding.beam_search, dict(beam=10, length_penalty=1.0)),
    "nucleus .9": (decoding.sample, dict(top_p=0.9, generator=dice())),
    "top-k 5": (decoding.sample, dict(top_k=5, generator=dice(1))),
    "heat 1.5": (decoding.sample, dict(temperature=1.5, generator=dice(2))),
}
few = memory[:16]
told = {name: tell(search, few, **options) for name, (search, options) in ways.items()}
true = [each[0] for each in test_set.captions]
told["true"] = true[:16], log_probability(true[:16], few)


def tellings(i):
    """One line for each way to tell picture i: its name, its log-probability, its words."""
    facts = test_set.scenes[i].facts()
    return [
        (f"{name:10} {scores[i]:6.1f}", captions[i].split(), false_words(captions[i], facts))
        for name, (captions, scores) in told.items()
    ]


two = [3, 12]
plots.show(
    plots.stories([test_set.image(i) for i in two], [tellings(i) for i in two],
                  "One model, eight captions: the number is its own log-probability", 1.9),
    alt="Two scenes, each with seven captions of the model and a true one, false words marked, and "
    "the log-probability of each: " + "; ".join(f"{n}: {c[3]}" for n, (c, _) in told.items()),
)  # fmt: skip

# %% [markdown]
# Read the numbers, then the words. A true caption in other words is thought *much less* likely than
# most of what the machine says. The likeliest of the eight need not be the truest: in the first
# picture, the one of lesson 00, `beam 10` found a caption that the model likes better than the
# right ones, and exchanged two colours. And the more the dice may wander, the more they bring home,
# among it things that are not there.
#
# So *likely*, *true* and *well said* are three things. Let us take them apart, likely first.
#
# ## 2. The search for the likeliest
#
# The probability of a caption is the product over its words, its logarithm a sum:
#
# $$\ln p(w_1 \dots w_T \mid I) = \sum_{t=1}^{T} \ln p(w_t \mid I, w_1 \dots w_{t-1})$$
#
# Which sentence has the largest sum? With $V$ words there are $V^T$ sentences of length $T$.

# %%
V = len(tokenizer)
print(f"{V} words: {float(V) ** 14:.0e} captions of 14 words, to be compared for every picture")

# %% [markdown]
# Nobody tries them all. **Greedy** takes the likeliest word and never looks back; a first word that
# was only second best is lost with all that would have followed. **Beam search** keeps the $K$ best
# beginnings. At each step every one of them is continued by every word, and of these $K \times V$
# the $K$ with the largest sums go on.
#
# ### Exercise 1 · One step of a beam
# *difficulty 3/5 · importance 5/5 · 15 minutes*
#
# For one picture: `scores` (K,) are the summed log-probabilities of the beginnings, `log_probs`
# (K, V) the log-probabilities of each next word after each beginning.
#
# 1. The sum of each continuation, (K, V).
# 2. The `beam` best of all K × V together, the best first.
# 3. Of each: which word it adds, which beginning (row) it continues, and its sum.


# %%
def expand(scores, log_probs, beam):
    """scores (K,), log_probs (K, V) -> words (beam,), rows (beam,), sums (beam,), best first"""
    raise NotImplementedError("write me")


from coursekit.checks import lesson_04 as check

check.expand(expand)

# %% [markdown]
# <details><summary>Hint 1: adding a column to a table</summary>
#
# `scores[:, None]` is (K, 1), and `scores[:, None] + log_probs` is (K, V).
# </details>
# <details><summary>Hint 2: the best of a whole table</summary>
#
# `table.flatten()` is (K V,), row after row. `.topk(beam)` returns values and places, sorted.
# </details>
# <details><summary>Hint 3: from a place back to row and word</summary>
#
# In rows of V, place number $n$ lies in row $n // V$, column $n \bmod V$.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def expand(scores, log_probs, beam):
#     table = scores[:, None] + log_probs
#     sums, places = table.flatten().topk(beam)
#     return places % log_probs.shape[1], places // log_probs.shape[1], sums
# ```
# </details>
#
# Here is a whole search, step by step. A sentence that has ended keeps its seat with its sum; when
# the best of all has ended, nothing can overtake it, since sums only fall. **Predict:** a beginning
# that leads at some step, does it win?


# %%
@torch.no_grad()
def grow(picture, beam, steps=20):
    """The beams of one picture (1, N, D): for each step a list of (row it continues, word, sum)."""
    state, sums, steps_done = model.start(picture), torch.zeros(1, device=here.device), []
    tokens = torch.tensor([BOS], device=here.device)
    while len(steps_done) < steps and tokens[0] != EOS:
        logits, state = model.step(tokens, state)
        log_p = logits.log_softmax(-1)  # (K, V)
        log_p[tokens == EOS] = -torch.inf
        log_p[tokens == EOS, EOS] = 0.0
        sums, places = (sums[:, None] + log_p).flatten().topk(beam)  # (beam,)
        rows, tokens = places // V, places % V
        state = decoding.select(state, rows)
        said = [tokenizer.words[token] for token in tokens]
        steps_done.append(list(zip(rows.tolist(), said, sums.tolist(), strict=True)))
    return steps_done


# %%
def lineage(steps, row=0):
    """The seats (step, row) of the hypothesis that ends in `row` of the last step."""
    seats = set()
    for t in reversed(range(len(steps))):
        seats.add((t, row))
        row = steps[t][row][0]
    return seats


def draw_tree(steps, title):
    winner = lineage(steps)
    alive = set().union(*(lineage(steps, row) for row in range(len(steps[-1]))))
    figure, axes = plots.panels(width=9.6, height=0.5 * len(steps[0]) + 0.9)
    for t, hypotheses in enumerate(steps):
        for row, (parent, word, total) in enumerate(hypotheses):
            seat = (t, row)
            colour = plots.RED if seat in winner else plots.BLUE if seat in alive else plots.GREY
            start = (t - 1, -parent) if t else (-1, -1)
            axes.plot([start[0] + 0.37, t - 0.37], [start[1], -row], color=colour, linewidth=1)
            axes.text(t, -row, word, ha="center", va="center", color=colour, fontsize=7.5)
            axes.text(
                t, -row - 0.3, f"{total:.1f}", ha="center", va="center", color=colour, fontsize=6.5
            )
    axes.set(title=title, xlim=(-0.8, len(steps) - 0.4), ylim=(-len(steps[0]) + 0.4, 0.5))
    axes.axis("off")
    return figure


steps = grow(memory[13:14], beam=4)
plots.show(
    draw_tree(steps, "Red wins, blue would have been next, grey has died on the way"),
    alt="A beam of four drawn as a tree, step by step from left to right, best on top. The path to "
    "the winner is red; most beginnings have no continuation among the four and end in grey. The "
    "winner: " + " ".join(word for _, word, _ in (steps[t][r] for t, r in sorted(lineage(steps)))),
)  # fmt: skip

# %% [markdown]
# Follow the red line. At some steps it is *not* on top: greedy would have left it there. And see how
# alike the survivors are. At the end they are the same sentence but for a word, since whatever
# differed early has died. **A beam is no choice of different captions**, but of one caption's cousins.
#
# The package's `beam_search` does this for all pictures at once. Now let it search harder.
#
# ## 3. Searching harder
#
# **Predict:** from beam 1 to the widest, the captions get likelier, that is what search is for. Does
# BLEU rise as well? The share of true claims? The length?

# %%
facts = test_set.facts()


def grade(captions):
    """Scores of captions of all pictures, and what a score does not tell: length and choice of
    words."""
    said, n = [c.split() for c in captions], len(captions)
    about = [claims(c) for c in captions]
    sized = sum(claim[0] == "size" for own in about for claim in own) / n
    more = {"words": sum(map(len, said)) / n, "sizes": sized, "different": len(set(sum(said, [])))}
    return (
        caption_scores(captions, test_set.captions, meteor=False) | fact_scores(about, facts) | more
    )


COLUMNS = {"ln p": "log_p", "words": "words", "BLEU-4": "Bleu_4", "CIDEr": "CIDEr",
           "true claims": "fact_precision", "facts told": "fact_recall",
           "sizes named": "sizes", "different words": "different"}  # fmt: skip


def show_table(graded, title=""):
    print(f"{title:22}", *(f"{name:>{max(6, len(name))}}" for name in COLUMNS))
    for row, scores in graded.items():
        values = (
            f"{scores[k]:>{max(6, len(n))}.{0 if k == 'different' else 2}f}"
            for n, k in COLUMNS.items()
        )
        print(f"{row:22}", *values)


# %%
anew = [describe(s, Dice(random.Random(f"anew/{i}"))) for i, s in enumerate(test_set.scenes)]


def graded_search(**options):
    captions, scores = tell(decoding.beam_search, **options)
    return captions, grade(captions) | {"log_p": sum(scores) / len(scores)}


beams = {width: graded_search(beam=width) for width in settings["widths"]}
table = {f"beam {width}": scores for width, (_, scores) in beams.items()}
table["the grammar, anew"] = grade(anew) | {"log_p": sum(log_probability(anew)) / len(anew)}
show_table(table)

# %% [markdown]
# Read the columns one by one.
#
# - **ln p** rises with every width: the search does what it is built for.
# - **BLEU-4** rises a little, and from the middle of the table it falls. The best captions *by this
#   score* are not the likeliest ones.
# - **True claims** rise and **facts told** fall. Who says less errs less.
# - **Sizes named** and **words** tell what goes: whatever a caption may leave out, a wide beam leaves out.
#
# Why? A size can be told in several ways, *small*, *little*, *tiny*, and these share what probability
# there is; leaving it out is one way and has it all. So the *likeliest* caption is the one that says
# nothing that could be said in several ways, though *most* captions say something of the kind. In
# the extreme it says nothing: every word costs, and an end costs once. How far is it from there?

# %%
empty = log_probability([""] * len(test_set))
widest = settings["widths"][-1]
likely, _ = beams[widest]
for name, captions in {"a true caption": true, f"beam {widest}": likely}.items():
    share = sum(e > s for e, s in zip(empty, log_probability(captions), strict=True)) / len(empty)
    print(f"silence is likelier than {name:14} in {share:4.0%} of the pictures")

# %% [markdown]
# No caption in this model's life was empty, and yet it finds saying *nothing* likelier than many a
# true sentence about the picture. Only the sentences that it likes better still stand between it
# and silence. A translation model has been seen beyond that line: for more than half of the sentences of a
# test set its likeliest translation of all was the empty one (Stahlberg and Byrne 2019), and what saved
# it was that beam search did not find it. **Some search errors are a blessing.**
#
# The usual cure is a **length penalty**: rank finished captions not by $\ln p$ but by
#
# $$\frac{\ln p(w_1 \dots w_T)}{T^{\,\alpha}}$$
#
# $\alpha = 0$ is the plain search; $\alpha = 1$ compares the mean a word. **Predict** the curves of the
# figure: what happens to length, BLEU-4, true claims and facts told when α grows from 0 to 3?

# %%
width = 10 if 10 in beams else settings["widths"][-1]
alphas = (0.5, 1.0, 1.5, 2.0, 3.0)
longer = {0.0: beams[width]} | {a: graded_search(beam=width, length_penalty=a) for a in alphas}
show_table({f"beam {width}, alpha {a:g}": scores for a, (_, scores) in longer.items()})

# %% [markdown]
# ### The first picture that stays: length against score

# %%
SHOWN = {"BLEU-4": "Bleu_4", "true claims": "fact_precision", "facts told": "fact_recall"}
paths = {"wider beams": beams, "length penalty": {a: longer[a] for a in longer if a < 3}}
title = "Each score has its own favourite length"
figure, axes = plots.panels(1, 3, width=9.6, height=3.9, title=title)
own_length = sum(len(c.split()) for c in true) / len(true)
for ax, (label, name) in zip(axes, SHOWN.items(), strict=True):
    for (path, points), colour in zip(paths.items(), (plots.BLUE, plots.RED), strict=True):
        xs = [scores["words"] for _, scores in points.values()]
        ys = [scores[name] for _, scores in points.values()]
        ax.plot(xs, ys, color=colour, marker="o", markersize=4, label=path)
        for key in (min(points), max(points)) if path == "wider beams" else (max(points),):
            place = (points[key][1]["words"], points[key][1][name])
            ax.annotate(f"{key:g}", place, (4, 5), textcoords="offset points", color=colour)
    ax.axvline(own_length, color=plots.GREY, ls="--", lw=1.2)
    ax.set_title(label, fontsize=10)
    ax.set(xlabel="words in a caption")
    ax.margins(0.12)
axes[0].legend(loc="lower center", fontsize=9)
plots.show(
    figure,
    alt="Three panels over the mean length of captions: BLEU-4 has its top near the length of the "
    "references and falls to both sides; the share of true claims falls with length, the "
    "share of facts told rises. Wider beams lead to shorter captions, a growing length "
    "penalty to longer ones.",
)

# %% [markdown]
# Each dot is the same model; only the choice of words differs. Blue numbers are beam widths, the red
# one is the last α drawn; the dashed line is the length of true captions. **BLEU-4 has a top near the length
# of the references, truth falls with length, and what is told grows with it.** Whoever reports one of the
# three chooses, by a knob that has nothing to do with seeing, which story the table tells. The largest α,
# in the table's last line, names more and is right less often: babble that will not end.
#
# ## 4. Likely is not human
#
# **Predict:** three sets of captions: by the widest beam, drawn by dice that are not loaded at all (word after
# word with just the probabilities that the model gives), and the true ones. Where do their
# log-probabilities lie?

# %%
drawn, drawn_scores = tell(decoding.sample, generator=dice())
sets = {"the beam's": likely, "drawn": drawn, "true ones": true}
figure, axes = plots.panels(height=3.4)
edges = [-30 + k for k in range(31)]
for (name, captions), colour in zip(sets.items(), plots.PALETTE, strict=False):
    values = [max(value, -29.9) for value in log_probability(captions)]
    axes.hist(values, edges, density=True, histtype="step", linewidth=2, color=colour, label=name)
    print(
        f"{name:11} mean {sum(values) / len(values):6.2f}   spread {torch.tensor(values).std():.2f}"
    )
axes.set(title="True captions are as likely as drawn ones, and less so than the beam's",
         xlabel="log-probability of a caption (nats)", ylabel="share of captions")  # fmt: skip
axes.legend(loc="upper left")
plots.show(
    figure,
    alt="Three distributions of log-probabilities of captions. Those of drawn and of true "
    "captions lie nearly on top of each other; those of the beam are narrower and far to the "
    "right.",
)

# %% [markdown]
# The true captions lie where the *drawn* ones lie, and this is what training asked for: the model
# imitates how people talk, with all their choices. A beam does not imitate. It asks for the commonest
# of everything at once, and nobody talks like that; Holtzman and colleagues (2020) found the same gap
# in the web's own language. It is safe, and it is bland: look again at *sizes named*, and at the grammar's row, in
# the first table of section 3.
#
# So why not draw?
#
# ## 5. Loaded dice
#
# Because a draw from the whole vocabulary picks, every now and then, a word that makes no sense, and
# what follows has to live with it. Three ways to load the dice:
#
# - **temperature** τ divides the logits: below 1 the likely words get likelier, towards 0 it is greedy;
# - **top-k** keeps the k likeliest words;
# - **nucleus** (top-p) keeps the fewest likeliest words whose probabilities reach p.
#
# Here are two moments in captions of one picture. At one the model is sure, at the other torn.


# %%
@torch.no_grad()
def next_word(picture, beginning):
    """The probabilities (V,) of the word after a beginning, about one picture (1, N, D)."""
    tokens = torch.tensor([[BOS, *tokenizer.encode(beginning), EOS]], device=here.device)
    return model(picture, tokens[:, :-1])[0, -1].softmax(-1)


moments = {"sure: two purple kites fly over …": "two purple kites fly over", "torn: a …": "a"}
figure, axes = plots.panels(1, 2, width=9.6, height=3.9, sharey=True,
                            title="Five words are too many here and too few there")  # fmt: skip
for ax, (name, beginning) in zip(axes, moments.items(), strict=True):
    p, order = next_word(memory[3:4], beginning).sort(descending=True)
    for heat, colour in ((0.5, plots.BLUE), (1.0, plots.BLACK), (2.0, plots.RED)):
        heated = (p.log() / heat).softmax(-1)[:20].cpu()
        ax.plot(range(1, 21), heated, color=colour, marker="o", markersize=3, label=f"τ = {heat:g}")
    kept = int((p.cumsum(0) < 0.9).sum()) + 1
    ax.axvline(5.5, color=plots.GREY, ls="--", lw=1.2)
    ax.axvspan(0.5, kept + 0.5, color=plots.SKY, alpha=0.25, lw=0)
    words_shown = ", ".join(tokenizer.words[t] for t in order[:6])
    ax.set_title(name, fontsize=10)
    ax.set(xlabel=f"rank of the word: {words_shown} …", yscale="log", ylim=(1e-4, 1.5))
    ax.set_xticks((1, 5, 10, 15, 20))
    print(f"{name:34} nucleus 0.9 holds {kept} words, which reach {p[:kept].sum():.2f}")
axes[0].set_ylabel("probability (log scale)")
axes[0].legend()
plots.show(
    figure,
    alt="Probability of the next word by rank, at two moments and three temperatures, on a log "
    "scale. Where the model is sure the nucleus holds one or two words, where it is torn "
    "many; top-k 5 cuts both at the same place.",
)

# %% [markdown]
# The shaded part is the nucleus of 0.9, the dashed line ends the top 5. Where the model is sure, five
# words are too many: four are there only to be picked by accident, and at a high temperature they are.
# Where it is torn, five are too few, and good words are cut off. **The nucleus grows and shrinks with
# the doubt.**
#
# ### Exercise 2 · The nucleus of one word
# *difficulty 2/5 · importance 4/5 · 15 minutes*
#
# 1. Sort the probabilities, likeliest first, and add them up.
# 2. Keep words up to and *including* the one with which the sum reaches `p`.
# 3. Set the others to 0, and scale what is left so that it sums to 1. Every word stays at its place.


# %%
def nucleus(probabilities, p):
    """probabilities (V,) that sum to 1, p in (0, 1] -> (V,)"""
    raise NotImplementedError("write me")


check.nucleus(nucleus)

# %% [markdown]
# <details><summary>Hint 1: which words are cut?</summary>
#
# A word is cut if the words *before* it, in sorted order, already reach `p`. The first never is.
# </details>
# <details><summary>Hint 2: the sum before each word</summary>
#
# `ordered.cumsum(0) - ordered`, where `ordered, order = probabilities.sort(descending=True)`.
# </details>
# <details><summary>Hint 3: back to their places</summary>
#
# `order[cut]` are the indices of the words that go: `kept = probabilities.clone()`,
# `kept[order[cut]] = 0`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def nucleus(probabilities, p):
#     ordered, order = probabilities.sort(descending=True)
#     cut = ordered.cumsum(0) - ordered >= p
#     kept = probabilities.clone()
#     kept[order[cut]] = 0
#     return kept / kept.sum()
# ```
# </details>
#
# A knob has a price. We let each way draw **five** captions of the same picture, and measure how
# different they are: of all pairs of neighbouring words in the five, the share that has not come
# before. The price is in true claims. **Predict:** where do the five references lie, and which way comes
# closest?

# %%
album = memory[: settings["album"]]


def variety(five):
    """Of the pairs of neighbouring words in several captions, the share that is new."""
    pairs = [pair for c in five for pair in zip(c.split(), c.split()[1:], strict=False)]
    return len(set(pairs)) / max(1, len(pairs))


def quality_and_variety(fives):
    """For lists of five captions of each picture: the share of true claims, the mean variety."""
    said = [claims(c) for five in fives for c in five]
    known = [own for own in facts[: len(fives)] for _ in range(5)]
    return fact_scores(said, known)["fact_precision"], sum(map(variety, fives)) / len(fives)


def five_draws(**options):
    """Five captions of each picture of the album."""
    captions, _ = tell(decoding.sample, album.repeat_interleave(5, 0), generator=dice(), **options)
    return [captions[i : i + 5] for i in range(0, len(captions), 5)]


# %%
KNOBS = {"temperature": (0.3, 0.5, 0.7, 1.0, 1.3, 1.6), "top_k": (1, 2, 3, 5, 10, 30),
         "top_p": (0.3, 0.5, 0.7, 0.9, 0.95, 1.0)}  # fmt: skip
figure, axes = plots.panels(height=4.2)
for (knob, values), colour in zip(KNOBS.items(), plots.PALETTE, strict=False):
    true_share, varied = zip(
        *(quality_and_variety(five_draws(**{knob: v})) for v in values), strict=True
    )
    axes.plot(
        varied, true_share, color=colour, marker="o", markersize=4, label=knob.replace("_", "-")
    )
    for k in (0, -1):
        axes.annotate(
            f"{values[k]:g}",
            (varied[k], true_share[k]),
            (5, 4),
            textcoords="offset points",
            color=colour,
        )
truth = quality_and_variety([each for each in test_set.captions[: len(album)]])
axes.plot(truth[1], truth[0], "*", markersize=14, color=plots.BLACK, label="the five references")
axes.set(title="Variety is paid for in truth", xlabel="variety: pairs of words that are new",
         ylabel="share of true claims")  # fmt: skip
axes.legend(loc="lower left")
plots.show(
    figure,
    alt="True claims over variety for temperature, top-k and nucleus sampling: all three fall as "
        "variety grows, nearly on one curve. The five references lie far above the curves, true "
        "and varied.",
)  # fmt: skip

# %% [markdown]
# Three knobs, and nearly one curve: more variety, fewer true claims. The star is the references: **in the
# middle of the curve for variety, and every word true**. No knob reaches it, and the reason is not in the
# dice. Who knows the picture varies the *wording*; the model, unsure of the colours, varies the *facts* as
# well.
#
# Which way to take, then? *One caption that should be right:* a narrow beam, with a mild length
# penalty. *Several, or natural ones:* nucleus. *Never* the widest beam because it "searches better".
# But right by which measure? Up to here we have believed the columns. Now we look at them.

# %% [markdown]
# ## 6. A ruler from nothing
#
# How would you score a caption against five references? The oldest answer: **count the words that also
# occur in a reference**, and divide by how many there are. Then somebody says "a a a a a a a".
#
# ### Exercise 3 · Clipped words
# *difficulty 2/5 · importance 4/5 · 10 minutes*
#
# A word of the candidate may count only as often as it occurs in *the one reference that holds it most
# often*. Candidate and references are lists of words. Return two numbers: how many of the candidate's
# words count, and how many words it has. Do not divide: over many captions BLEU adds up both first.


# %%
def clipped(candidate, references):
    """words, lists of words -> (matched, total), two ints"""
    raise NotImplementedError("write me")


check.clipped(clipped)

# %% [markdown]
# <details><summary>Hint 1: counting</summary>
#
# `collections.Counter(words)` holds how often each occurs, and gives 0 for what it does not hold.
# </details>
# <details><summary>Hint 2: clipping</summary>
#
# For each word: the smaller of its count in the candidate and its largest count in any reference.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def clipped(candidate, references):
#     from collections import Counter
#     own, others = Counter(candidate), [Counter(each) for each in references]
#     matched = sum(min(n, max(o[word] for o in others)) for word, n in own.items())
#     return matched, len(candidate)
# ```
# </details>
#
# BLEU (Papineni et al. 2002) is the history of its own cheats: each part was added to stop one. Below
# the parts come one after the other, and five candidates try their luck. **Predict** which part
# stops which candidate.

# %%
from collections import Counter


def ngrams(words, n):
    return Counter(zip(*(words[k:] for k in range(n)), strict=False))


def matched(candidate, references, n=1, clip=True):
    """Runs of n words that count, and how many there are."""
    own, others = ngrams(candidate, n), [ngrams(each, n) for each in references]
    limit = {run: max(each[run] for each in others) for run in own}
    counts = (min(k, limit[run]) if clip else k * (limit[run] > 0) for run, k in own.items())
    return sum(counts), own.total()


def brevity(candidate, references):
    """1 for a candidate as long as the reference nearest in length or longer; else less."""
    c = len(candidate)
    r = min((abs(len(each) - c), len(each)) for each in references)[1]
    return math.exp(min(0, 1 - r / c))


# %%
shown = 1
references = [each.split() for each in test_set.captions[shown]]
mixed = anew[shown].split()
random.Random(0).shuffle(mixed)
tries = {"one word, ten times": ["a"] * 10, "two words": ["a", "bird"], "words mixed": mixed,
         "another picture": true[5].split(), "true": anew[shown].split()}  # fmt: skip
print(*(" ".join(each) for each in references), "", sep="\n")
print(f"{'':20}{'words':>8}{'clipped':>9}{'brevity':>9}{'1-4 words':>11}{'package':>9}")
for name, said in tries.items():
    raw, clip = (k / n for k, n in (matched(said, references, 1, c) for c in (False, True)))
    short = brevity(said, references)
    runs = [matched(said, references, n) for n in (1, 2, 3, 4)]
    mean = math.prod((k / n if n else 0) for k, n in runs) ** 0.25
    package = caption_scores([" ".join(said)], [test_set.captions[shown]], meteor=False)["Bleu_4"]
    print(f"{name:20}{raw:8.2f}{clip:9.2f}{clip * short:9.2f}{mean * short:11.2f}{package:9.2f}"
          f"   {' '.join(said)}")  # fmt: skip

# %% [markdown]
# Clipping stops the repeated word, the **brevity penalty** the two safe ones, and **runs of up to four
# words** those in the wrong order. The last column but one is BLEU-4:
#
# $$\mathrm{BLEU} = \underbrace{e^{\min(0,\, 1 - r/c)}}_{\text{brevity}} \cdot
# \Big(\prod_{n=1}^{4} p_n\Big)^{1/4} \qquad p_n = \frac{\text{clipped runs of } n}{\text{runs of } n}$$
#
# One thing is missing. In BLEU the counts are **added over all pictures**, then divided, once. It was
# made for a whole test set. Of a single caption it may say 0, since one that shares no run of four
# words has $p_4 = 0$, and a product with 0 is 0.

# %%
greedy = beams[1][0]
each = caption_scores(greedy, test_set.captions, meteor=False, per_caption=True)["Bleu_4"]
print(f"BLEU-4 of all captions together {beams[1][1]['Bleu_4']:.3f}")
print(f"mean of the captions' own       {sum(each) / len(each):.3f}")
print(f"captions with less than 0.01    {sum(b < 0.01 for b in each) / len(each):.1%}")

# %% [markdown]
# Two numbers, both called BLEU-4. Papers mean the first. The others came since, each against a
# weakness of BLEU:
#
# | score | looks at | so it sees | and misses |
# |---|---|---|---|
# | BLEU (Papineni 2002) | runs of 1 to 4 words, precision | wrong phrases, brevity | all that is true in other words |
# | ROUGE-L (Lin 2004) | longest common subsequence, precision and recall | order across gaps | which words matter |
# | METEOR (Denkowski 2014) | words aligned also by stem and synonym | *kitten* for *cat* | falsehood in a familiar order |
# | CIDEr (Vedantam 2015) | runs weighted by rarity, as cosine | the rare, telling words | what is common and false |
# | SPICE (Anderson 2016) | claims: things, attributes, relations | what is claimed | grammar, and what its parser misreads |
#
# - **ROUGE-L**: of *a red car and a cat* and *a red cat*, the longest common subsequence is *a red cat*:
#   words in the same order, gaps allowed.
# - **CIDEr** weighs a run of words by the logarithm of how few *pictures* have it in a reference: "on the"
#   says nothing about a picture, "purple kite" a lot.
# - **SPICE** parses captions into things, attributes and relations, and compares these. Its parser must
#   be fetched and takes minutes, so it is not run here. But you know the idea: `claims`, from lesson 00,
#   is such a parser for our grammar. Below, *as SPICE* means the F1 of a caption's claims against those
#   of its references. (The real one matches synonyms from a dictionary as well.)
#
# ## 7. Fool it
#
# We take true captions and spoil each in one way, or tell the truth in unusual words. Write down
# for each row: **will the scores fall, and should they?**


# %%
def articles(words):
    """The words as a caption, with "an" where "a" would not do."""
    after = [*words[1:], ""]
    return " ".join(("an" if n[:1] in set("aeiou") else "a") if w in ("a", "an") else w
                    for w, n in zip(words, after, strict=True))  # fmt: skip


def wrong_colours(caption):
    """The colours of two things exchanged; where there are not two, another colour."""
    words = caption.split()
    at = [i for i, w in enumerate(words[:-1]) if w in COLOUR_NAMES and words[i + 1] != "sky"]
    pair = next(((i, j) for i in at for j in at if words[i] != words[j]), None)
    if pair:
        i, j = pair
        words[i], words[j] = words[j], words[i]
    elif at:
        words[at[0]] = COLOUR_NAMES[COLOUR_NAMES.index(words[at[0]]) - 1]
    return articles(words)


RARER = {
    "house": "cottage", "boat": "sailboat", "cat": "kitten", "big": "large", "small": "tiny",
    "little": "tiny", "on the grass": "in a meadow", "on the sand": "on a beach",
    "on the water": "on a lake", "in the snow": "on snowy ground", "over": "above",
    "on a sunny day": "under a blue sky", "at night": "under the stars",
    "at sunset": "under an orange sky", "in the rain": "under a grey sky",
}  # fmt: skip
POETIC = {
    "red": "crimson", "orange": "amber", "yellow": "golden", "green": "emerald", "blue": "azure",
    "purple": "violet", "white": "ivory", "black": "ebony", "two": "a pair of",
    "three": "a trio of",
    "house": "home", "cottage": "home", "boat": "vessel", "sailboat": "vessel", "cat": "feline",
    "kitten": "feline", "car": "automobile", "flower": "blossom", "mushroom": "toadstool",
    "bird": "songbird", "ball": "sphere", "tent": "shelter", "big": "huge", "large": "huge",
    "small": "wee", "little": "wee", "tiny": "wee", "over": "up above", "above": "up above",
    "on the grass": "upon lawns", "in a meadow": "upon lawns", "on the sand": "where shells lie",
    "on a beach": "where shells lie", "on the water": "afloat", "on a lake": "afloat",
    "in the snow": "amid frost", "on snowy ground": "amid frost", "in the sky": "on high",
    "on a sunny day": "in brilliant weather", "under a blue sky": "in brilliant weather",
    "at night": "after dark", "under the stars": "after dark", "at sunset": "as evening falls",
    "under an orange sky": "as evening falls", "in the rain": "while it pours",
    "under a grey sky": "while it pours",
}  # fmt: skip


def retold(caption, table):
    """The caption with words and phrases replaced, the longest first, each once."""
    text = f" {caption} "
    for k, old in enumerate(sorted(table, key=len, reverse=True)):
        for ending in (" ", "s "):
            text = text.replace(f" {old}{ending}", f" {k}{ending}")
    new = [table[old] for old in sorted(table, key=len, reverse=True)]
    words = (
        new[int(w.rstrip("s"))] + "s" * w.endswith("s") if w[0].isdigit() else w
        for w in text.split()
    )
    return articles(" ".join(words).split())


def mix(caption):
    words = caption.split()
    return " ".join(random.Random(caption).sample(words, len(words)))


# %%
train_captions = [c for own in Scenes("train", 10 * settings["album"]).captions for c in own]
commonest = Counter(train_captions).most_common(1)[0][0]
tricks = {
    "true": anew,
    "rarer words": [retold(c, RARER) for c in anew],
    "a poet's words": [retold(c, POETIC) for c in anew],
    "denied": [f"there is not {c}" for c in anew],
    "wrong colours": [wrong_colours(c) for c in anew],
    "four words cut": [" ".join(c.split()[:-4]) for c in anew],
    "said twice": [f"{c} {c}" for c in anew],
    "words mixed": [mix(c) for c in anew],
    "wrong picture": anew[1:] + anew[:1],
    "commonest": [commonest] * len(anew),
    "the model, beam 3": beams[3][0],
}
print("the commonest caption:", commonest)
for name, captions in list(tricks.items())[:8]:
    print(f"{name:15}", captions[3])

# %% [markdown]
# What is true of them? `claims` reads the grammar's words, but it knows neither a poet's words nor the
# word *not*. For these two rows we put down by hand what they mean: the poet's the same as the true
# caption, the denial the opposite.

# %%
meant = {name: [claims(c) for c in captions] for name, captions in tricks.items()}
meant["a poet's words"] = meant["true"]
meant["denied"] = [{("not", *claim) for claim in own} for own in meant["true"]]
told_by_references = [set().union(*(claims(c) for c in own)) for own in test_set.captions]


def f1(said, known):
    """Of each caption: 2 × right claims / (claims + what is known)."""
    return [2 * len(s & k) / max(1, len(s) + len(k)) for s, k in zip(said, known, strict=True)]


def judge(name):
    """Every score of the captions of one trick, then what is true of what they mean."""
    scores = caption_scores(tricks[name], test_set.captions, meteor=settings["meteor"])
    as_spice = f1([claims(c) for c in tricks[name]], told_by_references)
    found = {
        n: scores[n] for n in ("Bleu_1", "Bleu_4", "ROUGE_L", "METEOR", "CIDEr") if n in scores
    }
    found |= {"as SPICE": sum(as_spice) / len(as_spice)} | fact_scores(meant[name], facts)
    return found, scores.missing


judged = {name: judge(name) for name in tricks}
if "METEOR" in (missing := judged["true"][1]):
    print("METEOR left out:", missing["METEOR"])
LABELS = {"Bleu_1": "BLEU-1", "Bleu_4": "BLEU-4", "ROUGE_L": "ROUGE-L",
          "fact_precision": "TRUE CLAIMS", "fact_recall": "FACTS TOLD"}  # fmt: skip
names = list(judged["true"][0])
relative = [[scores[n] / judged["true"][0][n] for n in names] for scores, _ in judged.values()]
plots.show(
    plots.heat(relative, "The two columns on the right know; the others guess", list(tricks),
               [LABELS.get(n, n) for n in names], label="of the true caption's score", low=0,
               high=1.1, digits=2),
    alt="A table of scores relative to those of a true caption, one row a trick, the truth in the "
        "last two columns. Other words for the same truth cost far more in BLEU and CIDEr than "
        "wrong colours do.",
)  # fmt: skip

# %% [markdown]
# ### What each of them sees
#
# Go through the rows; the two columns on the right are the truth.
#
# - **A poet's words**: nothing is false, nothing is left out, and all that counts words says it is bad.
#   METEOR, where you have it, knows from its dictionary that an automobile is a car; it helps little.
# - **Denied**: everything is false, and most scores hardly mind. *As SPICE* does not mind at all: its
#   parser has never heard of *not*.
# - **Wrong colours**: BLEU-1 cannot see an exchange, since the same words are there. Runs of words can, a
#   little. The lie costs less than the poetry.
# - **Words mixed**: the reverse. BLEU-1 does not mind, nor METEOR much; runs of words and subsequences do.
# - **Said twice**: nothing is false. Precision of words falls, since each word counts no
#   more often than in a reference.
# - **The wrong picture** still gets a good part of BLEU-1 and ROUGE-L: the floor of lesson 00.
# - **The model**: by every column that compares words it is *better than the truth*. In the columns that
#   know, it is not.
#
# The last row answers lesson 03. Captions of 2015 reach a person's BLEU not because they see as well,
# but because a beam says the commonest words, and word scores pay for exactly that. A person chooses
# among all the ways to say it, and every choice costs. It is known from photographs too: by some scores
# the best machines of the COCO challenge of 2015 beat people (Hodosh and Hockenmaier 2016), and Devlin et
# al. (2015) found gains in BLEU that people who read the captions did not see.
#
# ## 8. Who says so?
#
# You. So before you read on, **be the judge**: give each caption 1 to 4, as the experts of Flickr8k did.
# 4 describes the picture without any error, 3 with a minor one, 2 has something to do with it, 1 has
# nothing to do with it.

# %%
kinds = ["true", "wrong colours", "the model, beam 3", "wrong picture", "a poet's words",
         "four words cut", "rarer words"]  # fmt: skip
mixture = [(kinds[i % len(kinds)], i) for i in range(len(test_set))]
pool = [tricks[kind][i] for kind, i in mixture]
dozen = range(20, 32)
plots.show(
    plots.show_pictures([test_set.image(i) for i in dozen],
                        [f"{k}. {pool[i]}" for k, i in enumerate(dozen, 1)], columns=4, size=2.1,
                        title="How well does each caption describe its picture, 1 to 4?"),
    alt="Twelve numbered scenes, each with a caption of unknown origin: "
    + "; ".join(f"{k}. {pool[i]}" for k, i in enumerate(dozen, 1)),
)  # fmt: skip

# %%
mine = [4, 4, 2, 4, 1, 4, 4, 4, 4, 2, 4, 1]  # the author's; put your own in their place

# %% [markdown]
# How well does a score agree with a judge? **Kendall's τ** asks of every pair of captions: do both put
# the same one first? It is the share of pairs in the same order less the share in the opposite one: 1
# is the same order throughout, 0 none, -1 the reverse. (Ties need care; the course takes the variant
# τ-c, as the literature does for ratings from 1 to 4.)

# %%
from coursekit.metrics.judgement import kendall


def tau(scores, ratings):
    """Kendall's tau-c; 0 where one of the lists tells nothing apart."""
    return kendall(scores, ratings).c if min(len(set(scores)), len(set(ratings))) > 1 else 0.0


each = caption_scores(pool, test_set.captions, meteor=settings["meteor"], per_caption=True)
own = [claims(c) for c in pool]
metrics = {LABELS[n]: each[n] for n in ("Bleu_1", "Bleu_4", "ROUGE_L")}
metrics |= {n: each[n] for n in ("METEOR", "CIDEr") if n in each}
metrics["as SPICE"] = f1(own, told_by_references)
real = f1([meant[kind][i] for kind, i in mixture], facts)  # F1 of what is meant and what is so
with_you = {n: tau([s[i] for i in dozen], mine) for n, s in (metrics | {"the facts": real}).items()}
plots.show(
    plots.bars(with_you, "Who agrees with you, on twelve captions?",
               "Kendall's τ with your ratings", digits=2,
               colours=[plots.BLUE] * len(metrics) + [plots.GREY]),
    alt="Bars of Kendall's tau with your ratings: "
    + ", ".join(f"{n} {t:.2f}" for n, t in with_you.items()),
)  # fmt: skip

# %% [markdown]
# If *the facts* agree with you best: that is what the grey bar is there for. If they do not, look where you
# and they part. Did you punish a caption that leaves something out, or one in odd words? Both are
# reasonable, and neither is a fact. **A judge has a scale in mind, and "quality" is not one thing.** Which
# of you is right? Before we argue about the blue bars: how much do twelve captions prove?
# Draw twelve of the twelve again, with repetition, many times, and see how far τ wanders.

# %%
rng = random.Random(0)
again = [rng.choices(range(12), k=12) for _ in range(settings["draws"])]
for name in ("BLEU-1", "CIDEr", "as SPICE"):
    own_scores = [metrics[name][i] for i in dozen]
    taus = sorted(tau([own_scores[k] for k in draw], [mine[k] for k in draw]) for draw in again)
    low, high = taus[len(taus) // 40], taus[-1 - len(taus) // 40]
    print(f"{name:8} τ {with_you[name]:.2f}, 95 of 100 resamples lie in {low:.2f} … {high:.2f}")

# %% [markdown]
# Next to nothing: the intervals are wide, and they overlap. Asking people is dear, and too few of them
# prove nothing. But scenes have a judge who never tires: the facts. Take one caption of each
# picture, by turns true, in rarer words, by a poet, with wrong colours, cut, of another picture, or by
# the model. For each we know its F1: of what it means and what is so, how much is in both.
#
# **Predict:** which score agrees best with the truth? And if only *good* captions compete, true ones and
# the model's, as in any comparison of two decent systems?
#
# ### The second picture that stays: metric against judgement

# %%
from coursekit.metrics.published import TAU_C

peers = ("true", "rarer words", "the model, beam 3")
good = [j for j, (kind, _) in enumerate(mixture) if kind in peers]
agree = {n: tau(scores, real) for n, scores in metrics.items()}
agree_good = {n: tau([s[j] for j in good], [real[j] for j in good]) for n, s in metrics.items()}
# Hessel et al. 2021, table 1: Flickr8k-Expert, Kendall's tau-c with the ratings of three experts
compared = ("Bleu_1", "Bleu_4", "ROUGE_L", "METEOR", "CIDEr", "SPICE")
experts = {LABELS.get(name, name): TAU_C[name] for name in compared}

# %%
title = "No score that compares words ranks captions as the truth does, nor as people do"
shape = dict(width=9.6, height=4.0, width_ratios=[1.15, 1, 1])
figure, (left, middle, right) = plots.panels(1, 3, title=title, **shape)
colour_of = {"wrong colours": plots.RED, "a poet's words": plots.BLUE}
of_each = [colour_of.get(kind, plots.GREY) for kind, _ in mixture]
for name, colour in {"others": plots.GREY, **colour_of}.items():
    at = [j for j, own_colour in enumerate(of_each) if own_colour == colour]
    points = [metrics["CIDEr"][j] for j in at], [real[j] for j in at]
    left.scatter(*points, s=7, color=colour, label=name, alpha=0.6)
left.set(xlabel="CIDEr of a caption", ylabel="F1 with the facts")
left.legend(fontsize=8, loc="lower right")
lowest = min(0, *agree.values(), *agree_good.values()) - 0.04
for ax, rows in ((middle, agree), (right, experts)):
    drawn_bars = ax.barh(list(rows), list(rows.values()), color=plots.BLUE, height=0.6)
    ax.bar_label(drawn_bars, fmt="%.2f", padding=3, fontsize=8.5)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set(xlabel="Kendall's τ", xlim=(lowest, 0.78))
middle.plot(list(agree_good.values()), range(len(agree_good)), "D", color=plots.RED,
            label="good captions only")  # fmt: skip
middle.legend(fontsize=8, loc="upper right")
names_of = ("CIDEr against the truth", "scenes: the facts", "photos: three experts")
for ax, name in zip((left, middle, right), names_of, strict=True):
    ax.set_title(name, fontsize=10)
plots.show(
    figure,
    alt="Left: CIDEr and truth of single captions; a poet's captions are true and score near zero. "
    "Middle: Kendall's tau with the facts: " + ", ".join(f"{n} {t:.2f}" for n, t in agree.items())
    + ". Right: with three experts on Flickr8k: "
    + ", ".join(f"{n} {t:.2f}" for n, t in experts.items()),
)  # fmt: skip

# %% [markdown]
# The left panel shows one score's mistakes, caption by caption: the blue column at its edge are captions
# without a single false word, at the bottom of CIDEr's scale.
#
# In the middle, the scores stand in the order of their invention, nearly: the more a score asks *what* is
# said, rather than in which words, the better it agrees. On the right is the same for photographs, as
# published by Hessel et al. (2021, table 1): three experts gave 1 to 4 to each of thousands of captions
# of Flickr8k. The numbers are of another world and cannot be compared one by one with ours, but the order
# is much the same, and there too none comes near 1.
#
# The red diamonds are the uncomfortable ones. To tell a caption of this picture from one of another is
# easy, and gives the scores that compare words most of their agreement. Among *good* captions, where
# one would like to know which system is better, what compares words hardly agrees with the truth.
#
# One defence must be heard: nobody uses CIDEr for one caption. Averaged over a thousand, chance cancels
# out. But a bias does not: the last row of section 7 is an average. For whole systems on COCO, Anderson et
# al. (2016) found a correlation with people of 0.43 for CIDEr, 0.53 for METEOR and 0.88 for SPICE.
#
# ## 9. How sure is a score?
#
# Beam 3 has a CIDEr of a little more than greedy's. On other pictures, would it again? We have no other
# pictures, but we can do as if: draw as many from our own, with repetition, and compute the difference
# anew, a thousand times. This is the **bootstrap** (Efron 1979). It must be **paired** (Koehn 2004): both
# systems are scored on the *same* draw, since a hard picture is hard for both.
#
# ### Exercise 4 · The paired bootstrap
# *difficulty 2/5 · importance 4/5 · 15 minutes*
#
# `first` and `second` (n,) are the scores of two systems on the same n captions. Each row of `draws`
# (R, n) says which captions a resample takes. Return the difference of the two means, first less second,
# in each resample: (R,).


# %%
def paired_bootstrap(first, second, draws):
    """first (n,), second (n,), draws (R, n) of indices -> (R,) differences of the means"""
    raise NotImplementedError("write me")


check.paired_bootstrap(paired_bootstrap)

# %% [markdown]
# <details><summary>Hint 1: a tensor of indices</summary>
#
# `first[draws]` has the shape of `draws`: the scores of each resample in a row.
# </details>
# <details><summary>Hint 2: which mean?</summary>
#
# Over the captions of a resample, which are dimension 1.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def paired_bootstrap(first, second, draws):
#     return (first[draws] - second[draws]).mean(1)
# ```
# </details>
#
# **Predict:** greedy against beam 3 on 50, 200 and 1,000 pictures. From where on would you believe the
# difference? And how much wider does the interval get if each system draws pictures of its own?


# %%
def cider_of_each(captions):
    return torch.tensor(
        caption_scores(captions, test_set.captions, meteor=False, per_caption=True)["CIDEr"]
    )


def interval(values):
    """The middle 95 of 100."""
    return values.quantile(torch.tensor([0.025, 0.975])).tolist()


one, other = cider_of_each(beams[3][0]), cider_of_each(greedy)  # (n,)
generator = torch.Generator().manual_seed(0)
ranges = {}
for n in (len(one) // 20, len(one) // 5, len(one)):
    draws, others = torch.randint(n, (2, settings["draws"], n), generator=generator)
    together = one[draws].mean(1) - other[draws].mean(1)  # (R,)
    apart = one[draws].mean(1) - other[others].mean(1)
    middle_value = (one[:n] - other[:n]).mean().item()
    ranges[f"{n:,} pictures, the same"] = (middle_value, *interval(together))
    ranges[f"{n:,} pictures, each its own"] = (middle_value, *interval(apart))

# %%
figure, axes = plots.panels(
    height=3.3, title="More pictures, and the same ones for both, narrow the doubt"
)
for k, (name, (value, low, high)) in enumerate(ranges.items()):
    colour = plots.RED if "same" in name else plots.GREY
    axes.plot([low, high], [k, k], color=colour, linewidth=3, solid_capstyle="butt")
    axes.plot(value, k, "o", color=colour)
    print(f"{name:26} {value:+.3f} [{low:+.3f}, {high:+.3f}]")
axes.axvline(0, color=plots.BLACK, lw=1)
axes.set_yticks(range(len(ranges)), list(ranges))
axes.invert_yaxis()
axes.set(xlabel="CIDEr of beam 3 less CIDEr of greedy, 95 % interval")
plots.show(
    figure,
    alt="Intervals of the difference in CIDEr between beam 3 and greedy: they shrink with more "
        "pictures, and are much narrower where both are scored on the same ones. " + "; ".join(
        f"{name}: {low:+.2f} to {high:+.2f}" for name, (_, low, high) in ranges.items()),
)  # fmt: skip

# %% [markdown]
# An interval that contains 0 says: it may be chance. Twenty times as many pictures make it about
# $\sqrt{20} \approx 4.5$ times narrower. Pairing costs nothing and leaves less than half of what remains, as
# more than four times the pictures would, since the captions of the two are often the same.
#
# And look at the first line. At size `cpu`, fifty pictures promise a gain several times as large as a
# thousand do, and their interval does not even reach down to it. Few captions differ at all; with fifty
# pictures a handful decides, and **the bootstrap can only draw from what it has been given**. A small
# test set does not just blur the difference. It may show another one.
#
# The package does this for every score, for BLEU by adding up the counts anew in each resample, since
# BLEU is no mean of anything:

# %%
from coursekit.metrics.intervals import paired

claimed = [[claims(c) for c in captions] for captions in (beams[3][0], greedy)]
for name, difference in paired(beams[3][0], greedy, test_set.captions, resamples=settings["draws"],
                               meteor=False, claims=claimed, facts=facts).items():  # fmt: skip
    print(f"{LABELS.get(name, name):12} beam 3 less greedy {difference}")

# %% [markdown]
# Not all rows point the same way: BLEU, CIDEr and true claims gain, *facts told* loses, and ROUGE-L
# cannot tell. The others are as sure as a thousand pictures can make them, and which of them matters is
# not a question for statistics. Mind also what an interval does not say. It tells of *other pictures*;
# not of another training with another seed (train three, and look), and not whether CIDEr is the thing
# to be sure about.
#
# ## 10. Six numbers for one set of captions
#
# **Predict:** one file of captions, `beam 3`. Somebody else scores it with fewer references, or splits words at
# blanks, or takes the mean of sentences. How far can BLEU-4 move?


# %%
def bleu_4(candidates, references, **options):
    return caption_scores(candidates, references, meteor=False, **options)["Bleu_4"]


def as_people_write(caption):
    return caption[0].upper() + caption[1:] + "."


best, five = beams[3][0], test_set.captions
one_hundred = max(4, len(best) // 10)
written = [[as_people_write(c) for c in own] for own in five]
numbers = {
    "as above: 5 references": bleu_4(best, five),
    "references as people write": bleu_4(best, written),
    "… and words split at blanks": bleu_4(best, written, tokenized=True),
    "4 references": bleu_4(best, [own[:4] for own in five]),
    "1 reference": bleu_4(best, [own[:1] for own in five]),
    "mean of the captions' own": sum(b := bleu_4(best, five, per_caption=True)) / len(b),
}
plots.show(
    plots.bars(
        numbers, "One set of captions, and what habits make of its BLEU-4", "BLEU-4", digits=2
    ),
    alt="BLEU-4 of the same captions: " + ", ".join(f"{n} {v:.2f}" for n, v in numbers.items()),
)
for n in (one_hundred, len(best)):
    print(
        f"CIDEr of the first {n:5,}: "
        f"{caption_scores(best[:n], five[:n], meteor=False)['CIDEr']:.2f}"
    )
leak = caption_scores(true, five, meteor=False)
fair = caption_scores(true, [own[1:] for own in five], meteor=False)
print(f"a reference among the references: BLEU-4 {leak['Bleu_4']:.2f}, CIDEr {leak['CIDEr']:.2f}")
print(f"the same against the other four:  BLEU-4 {fair['Bleu_4']:.2f}, CIDEr {fair['CIDEr']:.2f}")

# %% [markdown]
# Differences between published systems are often of a point or two; habits move BLEU by far more. A
# capital letter and a full stop make strangers of words that a tokenizer would have matched. Fewer
# references, fewer chances to match: a person who is scored against the *other four* (the last row of lesson
# 03's table) has a harder ruler than the machine with five. CIDEr weighs words by how rare they are *in
# this very test set*, so it changes with the set.
#
# And a perfect score is no reason to celebrate. Look for the reference among the references, or for
# test pictures in training.
#
# **A score is comparable only with the same pictures, the same references, the same words and the same
# code.** This is why the course scores everything with one function, and why every table says how.
#
# ## 11. Can a decoder mend it?
#
# Lesson 03 found the model's own fault: it knows which colours there are, and not whose. Does a better
# search find the right ones? **Predict**, then look at the last column: right colours told in a
# hundred pictures.


# %%
def colours(captions):
    said = [{c for c in claims(caption) if c[0] == "colour"} for caption in captions]
    right = sum(len(s & f) for s, f in zip(said, facts, strict=True))
    return fact_scores(said, facts)["fact_precision"], 100 * right / len(said)


rows = {f"beam {w}": captions for w, (captions, _) in beams.items()}
rows |= {f"alpha {a:g}": captions for a, (captions, _) in longer.items() if a in (1.0, 2.0)}
rows["nucleus 0.9"] = tell(decoding.sample, top_p=0.9, generator=dice())[0]
for name, captions in rows.items():
    share, right = colours(captions)
    print(f"{name:12} colours right {share:.2f}   right colours in 100 pictures {right:.0f}")

# %% [markdown]
# A wide beam errs less often, mostly by naming less. The number of colours that it gets *right* hardly moves,
# whatever we do. **A decoder can only choose among what the model believes**, and the model never learned
# which colour belongs to what: sixteen places were squeezed into one vector before the first word.
#
# ## When it does not work
#
# | what you see | the likely cause |
# |---|---|
# | wider beams, worse captions | not a bug: likely is not good. Width 3 to 5, a length penalty |
# | captions too short, or empty | no length penalty, or `<eos>` gets its probability from padding in training |
# | captions run to the limit and repeat | length penalty too large; `<eos>` not learned |
# | beam search returns what greedy does, always | the states do not move along with their beginnings: `select(state, rows)` |
# | beam search is worse than greedy in ln p | finished captions are dropped, or compared before their `<eos>` is paid |
# | all hypotheses of a beam are equal | at the first step all start from the same beginning: only one may count |
# | samples are word salad | temperature too high, no nucleus; or the model is in training mode |
# | samples are all alike | temperature near 0, or the same seed at every call |
# | BLEU-4 exactly 0 | one caption scored alone; or words split differently in captions and references |
# | BLEU of 1, CIDEr far above a person's | the caption itself is among the references |
# | CIDEr 0 for a good caption | one picture only: nothing is rare then |
# | your score differs from the paper's | other references, other words, mean of sentences, other test set |
#
# ## Questions
#
# 1. Why does the log-probability of the best hypothesis never fall when the beam gets wider, on average? Can
#    it fall for a single picture?
# 2. Temperature 0.5 and top-k 1: which of them gives the same caption every time?
# 3. BLEU has no recall. What stands in for it, and when does that fail?
# 4. A system is trained to maximise CIDEr directly, by reinforcement. Which column of section 7's table
#    would you watch?
# 5. You may ask ten people for an hour. What do you let them rate to compare two captioners: more
#    captions, or each caption more often?
#
# <details><summary>Short answers</summary>
#
# 1. A wider beam sees more, so it mostly finds something at least as likely. But it is no guarantee: more
#    company can push out, in the middle, a beginning that a narrower beam would have kept.
# 2. Top-k 1, which is greedy. Temperature 0.5 still draws.
# 3. The brevity penalty. It looks at length alone: a caption of the right length that leaves out the main
#    thing pays nothing for it.
# 4. The truth, of course; where there is none, everything that CIDEr does not measure: repetition,
#    length, people.
# 5. More captions. Pairs of captions of the same pictures, in random order, without names; a few of them
#    twice, to know how far people agree at all.
# </details>
#
# ## Go further
#
# - *Diverse beam search* (Vijayakumar et al. 2018) punishes beams for being alike. Where does it lie in the
#   figure of section 5?
# - Choose among ten draws the one that shares most with the other nine (*minimum Bayes risk*). It needs no
#   reference. Does it beat the beam in BLEU? In true claims?
# - Teach `claims` the word *not*, and the poet's words. How long until it is a parser?
# - With Flickr8k's `ExpertAnnotations.txt` at hand, `coursekit.metrics.judgement` computes the right panel anew.
# - The papers: [Holtzman et al. 2020](https://arxiv.org/abs/1904.09751), nucleus sampling; [Stahlberg and
#   Byrne 2019](https://arxiv.org/abs/1908.10090), the empty translation; [Vedantam et al.
#   2015](https://arxiv.org/abs/1411.5726), CIDEr; [Anderson et al. 2016](https://arxiv.org/abs/1607.08822), SPICE;
#   [Hessel et al. 2021](https://arxiv.org/abs/2104.08718), CLIPScore, which needs no references; [Hodosh and
#   Hockenmaier 2016](https://aclanthology.org/W16-3203/), focused evaluation; [Devlin et al.
#   2015](https://arxiv.org/abs/1505.01809), gains in BLEU that people do not see.
#
# ## What you have, and what is missing
#
# A model gives probabilities; you choose the words, and choose between likely, long, true and varied
# as you do. You can build the scores that papers report, you know what fools each of them, and how
# many pictures a difference needs. When a table says *better*, you can ask: by which ruler, read by
# whom, and how sure?
#
# What is missing is in the model. It says "a red cat and a blue car" and cannot look again to see which
# is which. **Where does it look when it says "boat"?** Lesson 05 gives it all 16 places, and a way to
# choose among them.

# %%
chosen = beams[3][1]
sizes.report(
    Bleu_4=chosen["Bleu_4"],
    CIDEr=chosen["CIDEr"],
    fact_precision=chosen["fact_precision"],
    fact_recall=chosen["fact_recall"],
    tau_Bleu_4=agree["BLEU-4"],
    tau_CIDEr=agree["CIDEr"],
)
