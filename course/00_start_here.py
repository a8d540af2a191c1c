# %% [markdown]
# # 00 · What will I build?
#
# A machine that looks at a picture and says what is on it. Then a better one; then two more, each
# because the one before fails in a way you will have seen with your own eyes. And at the end a
# machine made of the same parts that goes the other way, and draws.
#
# This first lesson is short. In half an hour you will know that everything works here, how lessons
# and exercises go, what the pictures are, and **how a machine's sentence about a picture can be
# proved right or wrong**. Run each cell with Shift + Enter, from top to bottom.

# %%
from coursekit import sizes

here = sizes.setup()
print(here)

# %%
settings = here.pick(
    smoke=dict(train=200, exam=60),
    cpu=dict(train=6000, exam=500),
    gpu=dict(train=6000, exam=500),
)

# %% [markdown]
# ## 1. One picture first
#
# **Before you go on, describe this picture** in one sentence, aloud or on paper.

# %%
from coursekit import plots
from coursekit.datasets.scenes import Scenes, claims

test_set = Scenes("test", settings["exam"])
ours = 3
picture = test_set.image(ours)
plots.show(
    plots.show_pictures([picture], title="What do you see?", size=2.6),
    alt="A drawn scene of 64 by 64 pixels: " + test_set.captions[ours][0],
)

# %% [markdown]
# Now a machine: a convolutional network that turns the picture into numbers, and a recurrent network
# that turns the numbers into words, one after the other. It was trained for a few minutes on two
# processor cores and comes with the course. In lesson 03 you train such a one yourself.

# %%
from coursekit.recipes import shipped_captioner

captioner = shipped_captioner()
print("the machine says:", captioner.caption(picture[None])[0])
size = sum(p.numel() for p in captioner.parameters())
print(f"and it has {size:,} numbers to say it with")

# %% [markdown]
# Check it against the picture, word by word: the things, how many of each, the colours, where they
# are. And against *your* sentence. What did you mention that it left out, and the other way round?
# Keep your sentence; we come back to it.
#
# ## 2. Does everything work here?

# %%
from coursekit import doctor

problems = doctor.examine()

# %% [markdown]
# If a line says *missing*, it also says what to do; all else is optional. The lines *size*, *device*
# and *dtype* are worth a second look, since they decide how long every lesson takes. They were
# chosen by looking at this machine, and each gives its reason.
#
# | size | for | a lesson takes |
# |---|---|---|
# | `smoke` | a quick test that nothing breaks; nothing is learned | under a minute |
# | `cpu` | a laptop, Binder, grading: small, but learning is visible | under five minutes |
# | `gpu` | a graphics card such as Colab's | more data and larger models; nobody has timed it yet |
#
# To choose yourself, give the size by name, `sizes.setup("smoke")`, or set the variable
# `COURSEKIT_SIZE`. The code of a lesson is the same in all three: only the table `settings` at its
# top differs. Never be afraid to change a number in it; the original is one `git checkout` away.
#
# ## 3. The map
#
# Every lesson asks one question.
#
# | | lesson | the question |
# |---|---|---|
# | 00 | start here | What will I build? |
# | 01 | recurrent language models | How does a machine finish my sentence? |
# | 02 | image encoders | What is left of a picture in 256 numbers? |
# | 03 | Show and Tell | How do you hand a picture to a language model? |
# | 04 | decoding and scoring | Which caption is best, and who says so? |
# | 05 | attention | Where does it look when it says "boat"? |
# | 06 | GPT-2 from scratch | What is inside GPT-2? |
# | 07 | the prefix captioner | Can a model that never saw describe a picture? |
# | 08 | ViT-GPT2 | What does cross-attention buy, and at what price? |
# | 09 | pixels as tokens | How few colours make a digit? |
# | 10 | Image GPT | Can the same model draw? |
# | 11 | completing images | How many ways can this half go on? |
# | 12 | learned representations | Did it understand what it drew? |
#
# One idea holds them together. Every model that speaks or draws is a **step model**: given a state and the
# last token, it says how likely each next token is, and what the next state is. The tokens are words
# in the first half and pixels in the second. So you learn one training loop and one way of decoding,
# and use them again and again.
#
# ## 4. How a lesson works
#
# - **Predict.** Before a result comes a question in bold. Answer it first, even wrongly: a wrong
#   guess that you remember teaches more than a right answer that you read.
# - **Exercises** have a stub to fill and a check in the same cell. The line under the title tells
#   difficulty and importance, out of 5, and the minutes it takes.
# - **Hints** are folded away, the gentlest first; the solution comes last.
# - **Nothing depends on your answers.** *Run All* always goes through, with or without them.
# - **Assignments** are another matter: they lie in `assignments/`, look the same, but are graded, and
#   hidden tests run on other data than the open ones.
#
# Try the machinery on something tiny. Run the cell as it is, then write the function, then run again.
#
# ### Exercise 1 · Count words
# *difficulty 1/5 · importance 1/5 · 5 minutes*
#
# From a list of captions make a dict: how often does each word occur, in lower case?


# %%
def count_words(captions):
    """list of str -> dict: word -> how often it occurs in all captions together"""
    raise NotImplementedError("write me")


from coursekit.checks import lesson_00 as check

check.count_words(count_words)

# %% [markdown]
# <details><summary>Hint 1: where are the words?</summary>
#
# `caption.lower().split()` is the list of a caption's words.
# </details>
# <details><summary>Hint 2: where do the counts go?</summary>
#
# `counts[word] = counts.get(word, 0) + 1`, or a `collections.Counter`.
# </details>
# <details><summary>Solution</summary>
#
# ```python
# def count_words(captions):
#     counts = {}
#     for caption in captions:
#         for word in caption.lower().split():
#             counts[word] = counts.get(word, 0) + 1
#     return counts
# ```
# </details>
#
# There are three verdicts. You have seen the first, *not written yet*. Here is the second, for an
# answer with a mistake that everybody has made once. Can you spot it before the check tells you?


# %%
def count_words_wrongly(captions):
    counts = {}
    for caption in captions:
        for word in caption.lower():
            counts[word] = counts.get(word, 0) + 1
    return counts


check.count_words(count_words_wrongly)

# %% [markdown]
# *Expected*, *got*, and the *likely* mistake: every check of the course speaks in this form. The
# third verdict is a plain ✓, and it is yours to earn.
#
# ## 5. The pictures
#
# They are called **scenes**: drawn by code, so there is nothing to download, and the same seed gives
# the same picture on every machine. Each has a sky, a ground, one to three kinds of things, and five
# captions from a small grammar. (Photographs come too: lesson 03 says how.)

# %%
train_set = Scenes("train", settings["train"])
some = range(8)
plots.show(
    plots.show_pictures(train_set.images(some), [train_set.captions[i][0] for i in some],
                        title="Eight scenes, each with one of its captions"),
    alt="Eight scenes with a caption each: " + "; ".join(train_set.captions[i][0] for i in some),
)  # fmt: skip

# %% [markdown]
# **Predict:** how many different words do all the training captions use together: about 30, 100, 300
# or 1,000? And how many words has a caption?

# %%
from collections import Counter

counts = Counter(word for own in train_set.captions for c in own for word in c.split())
lengths = Counter(len(c.split()) for own in train_set.captions for c in own)
print(train_set, "·", len(counts), "different words ·", f"{counts.total():,} words in all")
figure, (left, right) = plots.panels(1, 2, height=3.4)
common = counts.most_common(16)
left.barh([word for word, _ in common], [n / counts.total() for _, n in common], color=plots.BLUE)
left.invert_yaxis()
left.set(title="A few words do most of the work", xlabel="share of all words")
right.bar(list(lengths), list(lengths.values()), color=plots.BLUE)
right.set(title="Captions differ in length", xlabel="words in a caption", ylabel="captions")
plots.show(
    figure,
    alt="Left: the 16 commonest words by share, articles and prepositions first. Right: how many "
    "captions have how many words.",
)

# %% [markdown]
# Fewer than a hundred words, about fifteen in a caption. Two things to keep. The five commonest words
# make up a third of all text: whoever guesses *them* well sounds fluent, and has said nothing yet
# about any picture. And captions differ in length, so they do not stack into a rectangle: the
# padding and masks of lesson 01 come from the right-hand panel.
#
# ## 6. Proof
#
# Whether a caption of a photograph is *true* is hard to say; people argue about it. A scene was drawn
# from a list of facts, so here a caption can be **proved** right or wrong. `facts` is what holds in
# the picture, `claims` what a sentence asserts, and a caption is right if its claims are a subset of
# the facts.

# %%
scene = test_set.scenes[ours]
print("facts of our picture:")
for fact in sorted(scene.facts(), key=str):
    print("  ", fact)
sentence = "two red boats at night"
print(f"\nclaims of {sentence!r}:")
for claim in sorted(claims(sentence), key=str):
    print("  ", claim, "true" if claim in scene.facts() else "FALSE")

# %% [markdown]
# Put **your** sentence from the beginning in place of `"two red boats at night"` and run the cell
# again. If it uses the grammar's words, its claims appear. Words that the grammar does not know claim
# nothing, and that is a limit to remember: the proof covers only what can be said in its language.
#
# Over many pictures this makes two scores. **Fact precision**: what share of the claims is true?
# **Fact recall**: what share of the facts is told? **Predict:** a machine that dares to say "on the
# sand" and nothing else does well on one of them. On which? (Section 8 shows both.)
#
# ## 7. What it must never have seen
#
# The pictures come in splits. A model learns from `train`, is watched on `dev`, and is judged once on
# `test`. The fourth, `unseen`, is a trap laid on purpose: certain pairs of colour and thing, such as
# the ones printed here, **never** occur in the other three.

# %%
from coursekit.datasets.scenes import UNSEEN_PAIRS

pairs = {(t.colour, t.name) for s in train_set.scenes for t in s.things}
print("kept out of training:", ", ".join(sorted(f"{c} {name}" for c, name in UNSEEN_PAIRS)))
print("of these in train:", len(pairs & UNSEEN_PAIRS))
unseen_set = Scenes("unseen", settings["exam"])
said = captioner.caption(unseen_set.images(range(4)))
plots.show(
    plots.show_pictures(
        unseen_set.images(range(4)), said, title="Pairs it never met: the colour suffers"
    ),
    alt="Four scenes with colours and things it never saw together, and what it says: "
    + "; ".join(said),
)

# %% [markdown]
# Every one of these colours and every one of these things it has seen hundreds of times; only not
# together. For you that is no difficulty at all. Compare its words with the pictures: which colours does
# it get wrong, and which does it not even try to name? Does a wrong colour come from nowhere? Lesson
# 03 measures this, and says why.
#
# ## 8. How good is good?
#
# The usual score of captions is **BLEU-4**: how many of a caption's phrases, of one word up to four,
# occur in one of the picture's five captions, the *references*. It goes from 0 to 1.
#
# **Predict:** we let the *grammar itself*, which knows every fact and never errs, describe each test
# picture once more. What BLEU-4 does it get against its own five captions? What does the machine get,
# which errs? And a caption that was written for another picture?

# %%
import random

from coursekit.datasets.scene_words import Dice, describe
from coursekit.metrics.captions import caption_scores
from coursekit.metrics.scenes import fact_scores


def grade(captions):
    scores = caption_scores(captions, test_set.captions, meteor=False)
    return scores | fact_scores([claims(c) for c in captions], test_set.facts())


def tell_again(scene, key):
    return describe(scene, Dice(random.Random(key)))


truth = [tell_again(scene, f"again/{i}") for i, scene in enumerate(test_set.scenes)]
machine = captioner.caption(test_set.images(range(len(test_set))))
rows = {"the grammar": truth, "the machine": machine, "wrong picture": truth[1:] + truth[:1]}
graded = {name: grade(captions) for name, captions in rows.items()}


SCORES = {"BLEU-4": "Bleu_4", "fact precision": "fact_precision", "fact recall": "fact_recall"}


def show_grades(title):
    figure, panels = plots.panels(1, 3, height=0.9 + 0.35 * len(graded), title=title, sharey=True)
    said = []
    for axes, (label, score) in zip(panels, SCORES.items(), strict=True):
        values = {name: grades[score] for name, grades in graded.items()}
        colours = [plots.RED if name == "the machine" else plots.BLUE for name in graded]
        drawn = axes.barh(list(values), list(values.values()), color=colours)
        axes.bar_label(drawn, fmt="%.2f", padding=3)
        axes.set(xlabel=label, xlim=(0, 1.25), xticks=(0, 0.5, 1))
        axes.grid(axis="y", visible=False)
        said.append(f"{label}: " + ", ".join(f"{n} {v:.2f}" for n, v in values.items()))
    panels[0].invert_yaxis()
    plots.show(figure, alt=f"Bars. {'; '.join(said)}.")


show_grades("BLEU-4 cannot tell the machine from the truth")

# %% [markdown]
# Look from bottom to top. **The wrong picture** does not get zero, because "in the sky" and "on the
# grass" fit so many pictures: that is the floor. **The grammar** is always right, its precision says so,
# and still its BLEU-4 stays well below 1, since it tells the same truth in other words.
#
# And **the machine**, which errs, comes up to the unerring grammar in BLEU-4, if not past it! How can
# that be? **A suspicion:** it always uses the commonest words, and these are what references share. The
# test is simple. We let the grammar speak twenty times and keep what is most like the other nineteen:
# still true, but *typical*.


# %%
def pairs_of(caption):
    words = caption.split()
    return set(zip(words, words[1:], strict=False))


def typical(scene, key, tries=20):
    """Of several true captions, the one that shares most pairs of words with the others."""
    drawn = [tell_again(scene, f"{key}/{k}") for k in range(tries)]
    have = [pairs_of(caption) for caption in drawn]
    alike = [sum(len(own & other) / len(own | other) for other in have) for own in have]
    return drawn[alike.index(max(alike))]


typical_truth = [typical(scene, f"typical/{i}") for i, scene in enumerate(test_set.scenes)]
graded = {"typical grammar": grade(typical_truth)} | graded
show_grades("To be true is good; to be typical scores")

# %% [markdown]
# Compare the two grammars: equally true, and far apart in BLEU-4. **That new bar is the ceiling.** A
# score means nothing until you know its ceiling and its floor, and what it pays for: BLEU pays for
# *typical wording*, of which truth is only a part. This is why the course also counts facts.
#
# ## 9. The picture that stays
#
# One scene, its five captions, and what each model of the course says of it. A false word would be
# red: proof again, word by word. Today one line is filled; the others you will write.


# %%
from coursekit.datasets.scene_words import false_words

told = {f"caption {k + 1}": caption for k, caption in enumerate(test_set.captions[ours])}
told["Show and Tell (03)"] = machine[ours]
told |= dict.fromkeys(("attention (05)", "GPT-2 prefix (07)", "ViT-GPT2 (08)"), "…")
told = [(f"{name:18}", c.split(), false_words(c, scene.facts())) for name, c in told.items()]
plots.show(
    plots.stories([picture], [told], "One scene, its five captions, and the course", size=2.0),
    alt="Our scene with its five captions and the captioner's, " + machine[ours] + "; three lines "
    "for attention, GPT-2 prefix and ViT-GPT2 are still empty.",
)  # fmt: skip

# %% [markdown]
# The five captions agree on the facts and on little else: order, wording, length, and what is left
# out all differ. Nothing in the picture says which of the five is *the* answer. A captioner must live
# with that, and so must its loss, as lesson 03 will show.
#
# ## Questions
#
# 1. Your friend's captioner has fact precision 1.0. Which further number do you ask for, and why?
# 2. Two captions are both true. Can one be better? By what would you decide?
# 3. Why keep some pairs of colour and thing out of training, instead of just testing on new pictures?
# 4. Would you rather read a hundred typical captions, or a hundred true and varied ones? Which score
#    agrees with you?
#
# <details><summary>Short answers</summary>
#
# 1. Its fact recall: who says next to nothing says nothing false.
# 2. By what somebody needs: the fuller one, the shorter one, the one about the thing that was asked.
#    Without a purpose no score decides it.
# 3. A new picture of known pairs can be told from memory of the pairs. Only a new pair shows whether
#    colour and thing are known apart.
# 4. BLEU agrees with whoever wants the typical ones.
# </details>
#
# ## Go further
#
# - Change `ours`, and find a picture where the machine is wrong. What kind of mistake is it? Find
#   three more, and see whether they have something in common. You will meet the cause in lesson 03.
# - Write a caption that is true, uses only the grammar's words, and sounds as if no one would say it.
#   What would BLEU think of it?
# - `describe` in `coursekit/datasets/scene_words.py`, with the functions below it, is the whole grammar:
#   seventy lines. Read it.
#
# ## Next
#
# To speak about pictures, a machine must first speak. **How does a machine finish my sentence?**
# That is lesson 01, and it needs no pictures at all.

# %%
sizes.report(
    ceiling_Bleu_4=graded["typical grammar"]["Bleu_4"],
    grammar_Bleu_4=graded["the grammar"]["Bleu_4"],
    Bleu_4=graded["the machine"]["Bleu_4"],
    fact_precision=graded["the machine"]["fact_precision"],
)
