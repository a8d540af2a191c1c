# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Assignment 2 · Which caption, and how good is it?
#
# A trained captioner gives probabilities, no sentences. Here you write what makes sentences of them,
# what gives a sentence its score, and two parts that look into the model: one step of attention, and
# a test that finds decoders which peep at the words they should guess. At the end your search
# describes pictures, and you find out who is to blame for what it gets wrong.
#
# | question | what you write | points |
# |---|---|---|
# | 1 | `beam_search` | 6 |
# | 2 | `rank`: long captions against short ones | 4 |
# | 3 | `nucleus`, `draw` | 6 |
# | 4 | `clipped_counts` | 4 |
# | 5 | `brevity_penalty` | 4 |
# | 6 | `corpus_bleu`: equal to the published program | 6 |
# | 7 | `document_frequency`, `tf_idf`, `cosine` | 6 |
# | 8 | `attend` | 6 |
# | 9 | `is_causal` | 4 |
# | 10 | `describe`: reach a BLEU-4 | 4 |
# | 11 | an error analysis in words | 4 |
#
# **How it works.** Write your code where `raise NotImplementedError("write me")` stands, run the
# cell, then run the test below it. A test answers ✓, or ✗ with what it expected, what it got and
# the likeliest cause, or ○ when nothing is written yet. Half of the points of a question are for
# this test; the other half are given later for the same on other data, drawn when your work is
# graded. No function may change what it is given.
#
# **Questions do not drag each other down.** Each is tested alone; in question 10 the course's search
# stands in where yours is not right yet. Plain Python, numpy and torch are all welcome: results may
# be numbers, lists, arrays or tensors. Write the parts yourself: coursekit and other packages hold
# finished ones, and copying them teaches nothing.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
from coursekit import sizes

here = sizes.setup()
print(here)

# %% nbgrader={"grade": false, "grade_id": "settings", "locked": true, "schema_version": 3, "solution": false, "task": false}
settings = here.pick(smoke=dict(judged=40), cpu=dict(judged=200), gpu=dict(judged=200))
beam, max_len = 3, 30
# What a beam of 3 reaches on sets of pictures, by data_scripts/a2_threshold.py: 24 sets at cpu, BLEU-4
# 0.756 (sd 0.017, the lowest 0.719) and 0.24 nats likelier than greedy's captions (0.18 at least);
# at smoke 40 sets, 0.754 (0.032, 0.678) and 0.21 (0.09 at least). None is below the thresholds; by a
# normal model of BLEU-4 and of the gain's logarithm a right answer fails less than once in a million.
BLEU_4 = here.pick(smoke=0.58, cpu=0.66, gpu=0.66)
GAIN = here.pick(smoke=0.02, cpu=0.05, gpu=0.05)

# %% nbgrader={"grade": false, "grade_id": "imports", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math
import random
import types
from collections import Counter

import numpy as np
import torch
from pycocoevalcap.bleu import bleu_scorer  # the tests compare with it

from coursekit import decoding, plots
from coursekit.captioner import shipped_captioner
from coursekit.checks import a2 as check
from coursekit.datasets.scenes import Scenes, claims
from coursekit.metrics.captions import caption_scores

# One picture is so little work at a time that several threads would only wait for each other
torch.set_num_threads(1)

# %% [markdown]
# ## 1 · Beam search
# *difficulty 4/5 · importance 5/5 · 45 minutes · 6 points*
#
# Greedy search takes the likeliest word at every step. Before you read on: can that miss the
# likeliest *sentence*? Follow the numbers, the probabilities of each next word.
#
# ```
#                  ┌── boat 0.4 ── <eos> 0.9     0.6 · 0.4 · 0.9 = 0.216
#        ┌─ a 0.6 ─┤
#        │         └── cat  0.3 ── <eos> 0.9     0.6 · 0.3 · 0.9 = 0.162
# <bos> ─┤
#        └─ the 0.4 ── lake 0.9 ── <eos> 0.9     0.4 · 0.9 · 0.9 = 0.324
# ```
#
# Greedy begins with `a` and never sees the best sentence. *Beam search* keeps `beam` hypotheses
# alive instead of one: would two be enough here? The score of a hypothesis is its log-probability, a sum:
#
# $$\log p(w_1 \dots w_T \mid I) = \sum_{t=1}^{T} \log p(w_t \mid I, w_1 \dots w_{t-1})$$
#
# At each step every live hypothesis could go on with each of V words, which makes `K * V`
# candidates. All of them compete with each other. Those with `<eos>` among the `beam` best have
# finished and are remembered; the `beam` best of those without `<eos>` live on. Since a
# log-probability is never above 0, scores only fall. So there is a moment from which no live
# hypothesis can overtake the best finished one.
#
# The words a hypothesis has read are in the state of the model, and the state has one row for each
# hypothesis. When hypothesis 2 goes on in two ways and hypothesis 0 dies, its row must be there
# twice and the other not at all: `part[rows]`, where `rows` tells for each new hypothesis which old
# one it continues.


# %% nbgrader={"grade": false, "grade_id": "beam_search", "locked": false, "schema_version": 3, "solution": true, "task": false}
def beam_search(step, state, bos_id, eos_id, beam, max_len):
    """The likeliest caption of one picture that a search with `beam` hypotheses finds.

    step(tokens, state) → log_probs, state: tokens (K,), integers, are the last words of K hypotheses;
    log_probs (K, V) are the log-probabilities of their next words.
    state: a tuple of tensors, each with one row for each hypothesis; at first with one row.
    beam: how many hypotheses stay alive.  max_len: the most steps, that of <eos> included.
    Returns tokens, score: a list of int without <bos> and <eos>, and its log-probability, <eos>
    included.  If nothing has finished after max_len steps, the best live hypothesis and its score.
    """
    # 1. Begin with one hypothesis of score 0, whose last token is bos_id.
    # 2. A step gives log_probs (K, V). Add each hypothesis's score: K * V candidates.
    # 3. Among the `beam` best candidates, those whose token is eos_id have finished: remember the
    #    best of all that ever finished, its words and its score.
    # 4. The `beam` best candidates whose token is not eos_id live on: their words, scores and last
    #    tokens (K,), and for each part of the state the rows that they continue.
    # 5. Stop after max_len steps, or as soon as the best finished score is at least the best live one.
    # Do not stop at the first caption that finishes, and do not divide scores by lengths.
    ### BEGIN SOLUTION
    tokens, scores, words = torch.tensor([bos_id]), torch.zeros(1), [[]]
    best, best_score = None, -math.inf
    for _ in range(max_len):
        log_probs, state = step(tokens, state)  # (K, V)
        V = log_probs.shape[1]
        total = (scores[:, None] + log_probs).flatten()  # (K * V,)
        order = total.argsort(descending=True)
        for place in order[:beam].tolist():
            if place % V == eos_id and total[place] > best_score:
                best, best_score = words[place // V], float(total[place])
        kept = order[order % V != eos_id][:beam]  # (K,)
        rows, tokens, scores = kept // V, kept % V, total[kept]
        words = [
            words[row] + [token] for row, token in zip(rows.tolist(), tokens.tolist(), strict=True)
        ]
        state = tuple(part[rows] for part in state)
        if best_score >= scores[0]:
            break
    return (words[0], float(scores[0])) if best is None else (best, best_score)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "beam_search_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.beam_search.require(beam_search)


# %% nbgrader={"grade": true, "grade_id": "beam_search_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def searched(tree, beam, max_len):
    """What beam search finds in a tree, by how much each decision was clear, and what can be seen on it."""
    live, done, gap, steps, first = [(0.0, ())], (-math.inf, ()), math.inf, 0, ()
    late = (
        -math.inf
    )  # the best end that was not among the `beam` best: whoever lets it finish is right too
    while steps < max_len:
        steps += 1
        ways = [
            (score + float(says), (*words, token))
            for score, words in live
            for token, says in enumerate(tree.says((tree.bos_id, *words)))
        ]
        ways.sort(reverse=True)
        live = [one for one in ways if one[1][-1] != tree.eos_id]
        gap = min(gap, ways[beam - 1][0] - ways[beam][0], live[beam - 1][0] - live[beam][0])
        for place, one in enumerate(ways):
            if one[1][-1] == tree.eos_id and place < beam:
                gap = min(gap, abs(done[0] - one[0]))
                done = max(done, one)
            elif one[1][-1] == tree.eos_id:
                late = max(late, one[0])
        live, first = live[:beam], first or done[1]
        gap = min(gap, abs(done[0] - live[0][0]))
        if done[0] >= live[0][0]:
            break
    score, words = done if done[1] else live[0]
    gap = min(gap, score - late) if done[1] else gap
    tokens = [one for one in words if one != tree.eos_id]
    traits = {"greedy misses it"} if tokens != tree.greedy(max_len) else {"ordinary"}
    traits |= {"not the first"} if first != words else set()
    traits |= {"a live one is ahead at the end"} if live[0][0] > done[0] else set()
    traits = traits if done[1] else {"unfinished"}
    return dict(tokens=tokens, score=score, steps=steps), gap, traits


def drawn_searches(each):
    """Searches with clear decisions in trees that nobody has seen, on which typical mistakes show."""
    drawn, chosen, shown = random.SystemRandom(), [], Counter()
    wanted = "greedy misses it", "not the first", "a live one is ahead at the end", "unfinished"
    while any(shown[name] < each for name in wanted):
        V, wide, limit = drawn.randint(6, 9), drawn.randint(2, 4), drawn.choice([3, 5, 7, 8, 9])
        bos_id, eos_id = drawn.sample(range(V), 2)
        tree = dict(key=drawn.randrange(10**6), V=V, bos_id=bos_id, eos_id=eos_id)
        found, gap, traits = searched(check.Tree(**tree), wide, limit)
        if gap > 2e-3 and any(shown[name] < each for name in traits):
            shown.update(traits)
            chosen.append(dict(tree=tree, beam=wide, max_len=limit, **found))
    return chosen


check.on_other_data(check.beam_search, dict(searches=drawn_searches(6))).require(beam_search)
### END HIDDEN TESTS

# %% [markdown]
# ## 2 · Long captions against short ones
# *difficulty 1/5 · importance 3/5 · 10 minutes · 4 points*
#
# Every further word multiplies the probability by a number below 1. What does a search for the
# largest product prefer, then? The usual remedy divides the score by a power of the length before
# captions that have finished are compared (Wu et al. 2016 have a variant of it in their eq. 14):
#
# $$s_\alpha(w) = \frac{\log p(w \mid I)}{|w|^{\,\alpha}}$$
#
# With $\alpha = 0$ nothing changes, with $\alpha = 1$ it is the mean log-probability of a token.
# $|w|$ counts `<eos>` too: its log-probability is in the sum, so it belongs to the length.


# %% nbgrader={"grade": false, "grade_id": "rank", "locked": false, "schema_version": 3, "solution": true, "task": false}
def rank(finished, alpha):
    """Orders captions that have finished, the best first.

    finished: list of pairs (tokens, score); tokens a list of int without <bos> and <eos>, perhaps
    empty; score the log-probability, that of <eos> included.  alpha: float, 0 to 1.
    Returns a new list with the same pairs, ordered by score / length ** alpha, <eos> counted.
    """
    # 1. The length of a caption: its tokens and one more, <eos>.
    # 2. Divide its score by length ** alpha.
    # 3. Sort by this number; remember that all scores are below 0.
    # Do not change the scores in the pairs.
    ### BEGIN SOLUTION
    return sorted(finished, key=lambda one: one[1] / (len(one[0]) + 1) ** alpha, reverse=True)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "rank_open", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check.rank.require(rank)


# %% nbgrader={"grade": true, "grade_id": "rank_hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def drawn_ranking():
    """Captions whose order is clear at four values of alpha, and not always the same."""
    generator, orders = np.random.default_rng(), {}
    while len({tuple(order) for order, _ in orders.values()}) < 3:
        lengths = [0, *generator.choice(np.arange(1, 14), 6, replace=False).tolist()]
        generator.shuffle(lengths)
        scores = [-round(float(generator.uniform(0.7, 1.6)) * (n + 1) ** 0.6, 3) for n in lengths]
        values = {
            alpha: [score / (n + 1) ** alpha for n, score in zip(lengths, scores, strict=True)]
            for alpha in (0.0, 0.3, 0.6, 1.0)
        }
        clear = min(np.diff(np.sort(each)).min() for each in values.values()) > 1e-3
        orders = {a: (np.argsort(each)[::-1].tolist(), []) for a, each in values.items() if clear}
    finished = [
        (generator.integers(3, 50, n).tolist(), score)
        for n, score in zip(lengths, scores, strict=True)
    ]
    return dict(finished=finished, orders=orders)


check.on_other_data(check.rank, *(drawn_ranking() for _ in range(5))).require(rank)
### END HIDDEN TESTS

# %% [markdown]
# ## 3 · The nucleus
# *difficulty 3/5 · importance 4/5 · 30 minutes · 6 points*
#
# A search always says the same of a picture. Whoever wants variety draws each word at random. But
# from which words? The vocabulary has a long tail, each word of it hardly ever likely, all together
# likely enough to spoil a sentence in every few. Holtzman et al. (2020) cut it off: the *nucleus*
# $V^{(p)}$ is the smallest set of words that reaches a mass of $p$,
#
# $$\sum_{w \in V^{(p)}} P(w \mid w_{<t}) \ge p, \qquad
# P'(w) = \begin{cases} P(w) \, / \sum_{v \in V^{(p)}} P(v) & w \in V^{(p)} \\ 0 & \text{else} \end{cases}$$
#
# | word | boat | cat | tree | house | star |
# |---|---|---|---|---|---|
# | $P$ | 0.40 | 0.25 | 0.20 | 0.10 | 0.05 |
# | mass of likelier words | 0 | 0.40 | 0.65 | 0.85 | 0.95 |
# | $P'$ at $p = 0.7$ | 0.47 | 0.29 | 0.24 | 0 | 0 |
#
# How many words would stay at $p = 0.3$? One, never none: the word that crosses $p$ belongs to the set.


# %% nbgrader={"grade": false, "grade_id": "nucleus", "locked": false, "schema_version": 3, "solution": true, "task": false}
def nucleus(logits, p):
    """The probabilities of the next words, when only those of the nucleus are allowed.

    logits (B, V), before softmax.  p: the mass to reach, above 0 and below 1.
    Returns probabilities (B, V), each word at its own place: 0 outside of the nucleus, and
    every row sums to 1.
    """
    # 1. Softmax over the vocabulary (B, V).
    # 2. Order each row, the likeliest first; for each word the mass of all that are likelier.
    # 3. The nucleus: the words before which the mass has not yet reached p.
    # 4. Bring this decision back from the order to the places of the words.
    # 5. 0 outside; divide by what is left in each row.
    # Do not take the same number of words in every row.
    ### BEGIN SOLUTION
    probabilities = logits.softmax(-1)  # (B, V)
    ordered, order = probabilities.sort(-1, descending=True)
    inside = ordered.cumsum(-1) - ordered < p  # (B, V), in order
    inside = torch.zeros_like(inside).scatter(-1, order, inside)  # (B, V), in places
    kept = probabilities * inside
    return kept / kept.sum(-1, keepdim=True)
    ### END SOLUTION


def draw(probabilities):
    """One word for each row, drawn at random by its probabilities.

    probabilities (B, V), each row sums to 1.  Returns tokens (B,), integers.
    """
    # Each row is drawn alone. Set no seed here: every call must draw anew.
    ### BEGIN SOLUTION
    return torch.multinomial(probabilities, 1)[:, 0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "nucleus_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.nucleus.require(nucleus, draw)


# %% nbgrader={"grade": true, "grade_id": "nucleus_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def drawn_logits(B):
    """Logits of B rows, and masses that no set of likeliest words reaches within 0.002."""
    generator = np.random.default_rng()
    V = int(generator.integers(6, 30))
    logits = torch.tensor(generator.normal(0, 2.0, (B, V)), dtype=torch.float32)
    reached = logits.double().softmax(-1).sort(-1, descending=True).values.cumsum(-1)
    masses = []
    while len(masses) < 4:
        p = round(float(generator.uniform(0.03, 0.97)), 3)
        if (reached - p).abs().min() > 2e-3:
            masses.append(p)
    return dict(logits=logits, masses=masses, count=1500)


check.on_other_data(check.nucleus, *map(drawn_logits, (4, 1, 5))).require(nucleus, draw)
### END HIDDEN TESTS

# %% [markdown]
# ## 4 · Clipped counts
# *difficulty 2/5 · importance 4/5 · 20 minutes · 4 points*
#
# Now captions get scores. How much of a caption stands in the captions that people wrote? Counting
# matched words alone is easily fooled: of `the the the the cat the` each word stands in the
# reference *the cat is on the mat*, and 6 of 6 would be perfect. BLEU (Papineni et al. 2002)
# therefore clips. An n-gram, n words in a row, counts at most as often as the one reference has it
# that has it most often:
#
# $$\text{matched}_n = \sum_{g} \min\big(\text{count}(g, \text{caption}),\ \max_{r} \text{count}(g, r)\big)
# \qquad \text{total}_n = \sum_g \text{count}(g, \text{caption})$$
#
# Here `the` counts twice and `cat` once: 3 of 6. Two references may share the work: one can
# provide `red`, another `boat`.


# %% nbgrader={"grade": false, "grade_id": "clipped_counts", "locked": false, "schema_version": 3, "solution": true, "task": false}
def clipped_counts(candidate, references, n):
    """How many n-grams of a caption its references confirm, and how many it has.

    candidate: list of words.  references: list of lists of words.  n: int, 1 or more.
    Returns two whole numbers, matched and total.  A caption with fewer than n words has none.
    """
    # 1. Count the n-grams of the candidate: (w_i, …, w_{i + n - 1}) as a tuple is a fine key.
    # 2. For each of them, the largest count in any single reference.
    # 3. matched: the sum of the smaller one of these two; total: the sum of the candidate's counts.
    # Do not add up the references.
    ### BEGIN SOLUTION
    own, *others = (
        Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        for words in [candidate, *references]
    )
    most = Counter()
    for other in others:
        most |= other
    return sum((own & most).values()), sum(own.values())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "clipped_counts_open", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check.clipped_counts.require(clipped_counts, bleu_scorer)


# %% nbgrader={"grade": true, "grade_id": "clipped_counts_hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def drawn_pictures(count, words):
    told, each = check.drawn_captions(np.random.default_rng(), count, words)
    # One is shorter than four words
    return dict(candidates=[*told, "bada gugu"], references=[*each, ["gugu bada gugu", "bada"]])


check.on_other_data(check.clipped_counts, drawn_pictures(15, 5), drawn_pictures(10, 9)).require(
    clipped_counts, bleu_scorer
)
### END HIDDEN TESTS

# %% [markdown]
# ## 5 · The brevity penalty
# *difficulty 2/5 · importance 3/5 · 20 minutes · 4 points*
#
# The share of matched n-grams does not punish what is left out: `a boat` can be perfect. What would
# a captioner learn that is paid for this share alone? BLEU takes something away from those that
# say too little:
#
# $$\text{BP} = \begin{cases} 1 & c \ge r \\ e^{\,1 - r / c} & c < r \end{cases}$$
#
# $c$ is the number of words of *all* captions together. $r$ adds up one length for each picture:
# that of the reference whose length is closest to the caption's. If two are equally close, the
# published program takes the shorter one. An empty corpus, $c = 0$, has the penalty 0.
#
# | caption | references | closest |
# |---|---|---|
# | 7 words | 9, 8 and 12 words | 8 |
# | 4 words | 5, 3 and 8 words | 3: as close as 5, and shorter |
# | 9 words | 12 and 16 words | 12 |
#
# Here $c = 20$, $r = 23$ and BP $= e^{-0.15} = 0.861$.


# %% nbgrader={"grade": false, "grade_id": "brevity_penalty", "locked": false, "schema_version": 3, "solution": true, "task": false}
def brevity_penalty(candidate_lengths, reference_lengths):
    """BLEU's penalty of a whole corpus: float, 0 to 1.

    candidate_lengths: M numbers, the words of each caption.
    reference_lengths: M lists of numbers, the words of each reference of a picture.
    """
    # 1. c: the sum of the captions' lengths.
    # 2. For each picture the closest reference length, the shorter one of two; r is their sum.
    # 3. 0 if c is 0, 1 if c is at least r, else exp(1 - r / c).
    # Do not average over captions.
    ### BEGIN SOLUTION
    c, r = sum(candidate_lengths), 0
    for own, each in zip(candidate_lengths, reference_lengths, strict=True):
        r += min(each, key=lambda length: (abs(length - own), length))
    if c == 0:
        return 0.0
    return min(1.0, math.exp(1 - r / c))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "brevity_penalty_open", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check.brevity_penalty.require(brevity_penalty, bleu_scorer)


# %% nbgrader={"grade": true, "grade_id": "brevity_penalty_hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def drawn_lengths(sign):
    """Lengths of twelve captions, all together shorter than their closest references, or longer (sign -1)."""
    generator = np.random.default_rng()
    own = [int(n) for n in generator.integers(11, 20, 12)]
    theirs = []
    for n in own:
        off = [generator.integers(1, 4), generator.integers(4, 9), -generator.integers(5, 10)]
        theirs.append([int(n + sign * one) for one in generator.permutation(off)])
    theirs[0] = [own[0] + 2, own[0] - 2, own[0] + 3]
    return own, theirs


check.on_other_data(
    check.brevity_penalty,
    dict(lengths=[drawn_lengths(1), drawn_lengths(-1), ([2, 3], [[9, 7], [8, 6]])]),
).require(brevity_penalty, bleu_scorer)
### END HIDDEN TESTS

# %% [markdown]
# ## 6 · BLEU of a corpus
# *difficulty 3/5 · importance 5/5 · 25 minutes · 6 points*
#
# BLEU joins both: the geometric mean of the precisions of 1-grams to N-grams, times the penalty
# (Papineni et al. 2002, eq. in section 2.3).
#
# $$\text{BLEU-}N = \text{BP} \cdot \Big(\prod_{n=1}^{N} p_n\Big)^{1/N}, \qquad
# p_n = \frac{10^{-15} + \sum_m \text{matched}_n^{(m)}}{10^{-9} + \sum_m \text{total}_n^{(m)}}$$
#
# The sums go over all captions $m$ *before* the division: BLEU is a score of a corpus, and no mean
# of the scores of captions. Is the difference large? A caption of four words has one single
# 4-gram; alone it would score 0 or 1 there. The two tiny numbers are not in the paper. They are in
# `pycocoevalcap`, the program that papers use, and they decide where nothing matches: without
# them $p_n$ is 0 or 0/0. Your result must equal that program's to a millionth.


# %% nbgrader={"grade": false, "grade_id": "corpus_bleu", "locked": false, "schema_version": 3, "solution": true, "task": false}
def corpus_bleu(matched, total, c, r):
    """BLEU-1, BLEU-2, BLEU-3 and BLEU-4 of a corpus: four floats, 0 to 1.

    matched, total (M, 4), lists of lists: of each caption, for n = 1 to 4, the n-grams that are
    matched and those there are.  c, r: the words of all captions, and of their closest references;
    c may be 0.
    """
    # 1. Add up matched and total over the captions (4,).
    # 2. The precisions p_1 to p_4, with the two tiny numbers.
    # 3. For each N the N-th root of the product of the first N of them.
    # 4. Multiply by the brevity penalty of c and r, which is 0 if c is 0. Write it out here: a call
    #    of your own function would bring its mistakes along.
    # Do not leave out an n for which nothing matches.
    ### BEGIN SOLUTION
    penalty = min(1.0, math.exp(1 - r / c)) if c else 0.0
    scores, product = [], 1.0
    for n in range(4):
        hits, all_of_them = sum(row[n] for row in matched), sum(row[n] for row in total)
        product *= (hits + 1e-15) / (all_of_them + 1e-9)
        scores.append(penalty * product ** (1 / (n + 1)))
    return scores
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "corpus_bleu_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.bleu.require(corpus_bleu, bleu_scorer)


# %% nbgrader={"grade": true, "grade_id": "corpus_bleu_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def drawn_corpus(pictures, words):
    return check.drawn_captions(np.random.default_rng(), pictures, words)


short = (["dudu gaga bobo", "kaka"], [["dudu gaga kaka bobo", "gaga"], ["kaka bobo"]])
check.on_other_data(
    check.bleu, dict(corpora=[drawn_corpus(20, 6), drawn_corpus(3, 12), short])
).require(corpus_bleu, bleu_scorer)
### END HIDDEN TESTS

# %% [markdown]
# ## 7 · What CIDEr counts
# *difficulty 3/5 · importance 4/5 · 35 minutes · 6 points*
#
# BLEU pays the same for `a` and for `kite`. Which of the two tells more about a picture? CIDEr
# (Vedantam et al. 2015) weighs n-grams by how rare they are, and asks how alike two captions are as
# vectors of such weights. With M pictures:
#
# $$\text{df}(g) = \text{number of pictures with } g \text{ in a reference}, \qquad
# w(g) = \text{count}(g) \cdot \ln \frac{M}{\max(1, \text{df}(g))}$$
#
# $$\text{CIDEr}_n = \frac{10}{|R|} \sum_{r \in R} \frac{w_{\text{caption}} \cdot w_r}{\lVert w_{\text{caption}} \rVert \, \lVert w_r \rVert}$$
#
# A word of every picture weighs nothing. A word that no reference has weighs most. The paper divides
# each count by the number of n-grams of its caption (eq. 1); in the cosine that cancels, so we use
# the count itself. Published numbers are made with two additions, clipped weights and a penalty on
# a different length, which the paper calls CIDEr-D. They are left out here.


# %% nbgrader={"grade": false, "grade_id": "cider", "locked": false, "schema_version": 3, "solution": true, "task": false}
def document_frequency(references, n):
    """In how many pictures each n-gram stands.

    references: for each picture a list of captions, strings whose words stand between blanks.
    Returns a dictionary {n-gram: count}; an n-gram is a tuple of n words, also where n is 1.
    """
    # 1. For each picture collect the n-grams of all its captions, each once.
    # 2. Add 1 to the count of each of them.
    # Do not count a picture twice whose captions repeat a word.
    ### BEGIN SOLUTION
    frequency = Counter()
    for captions in references:
        found = set()
        for caption in captions:
            words = caption.split()
            found.update(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        frequency.update(found)
    return frequency
    ### END SOLUTION


def tf_idf(caption, frequency, pictures, n):
    """The weight of each n-gram of a caption: {n-gram: count * ln(pictures / max(1, frequency))}.

    caption: a string.  frequency: {n-gram: in how many pictures}; what is not in it stands in none.
    pictures: how many there are.  n-grams with weight 0 stay in the dictionary.
    """
    # 1. Count the caption's n-grams.
    # 2. Multiply each count by the natural logarithm of pictures / max(1, frequency of the n-gram).
    ### BEGIN SOLUTION
    words = caption.split()
    counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    return {
        gram: count * math.log(pictures / max(1, frequency.get(gram, 0)))
        for gram, count in counts.items()
    }
    ### END SOLUTION


def cosine(first, second):
    """The cosine between two vectors {n-gram: weight}; an n-gram that is not in one has weight 0 there.

    Returns a float, 0 if one of the vectors is zero.
    """
    # 1. The sum of products over n-grams that stand in both.
    # 2. Divide by both lengths, the roots of the sums of squares; 0 where one of them is 0.
    ### BEGIN SOLUTION
    product = sum(weight * second.get(gram, 0.0) for gram, weight in first.items())
    lengths = math.sqrt(sum(w * w for w in first.values())) * math.sqrt(
        sum(w * w for w in second.values())
    )
    return product / lengths if lengths > 0 else 0.0
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "cider_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.cider.require(document_frequency, tf_idf, cosine)


# %% nbgrader={"grade": true, "grade_id": "cider_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def drawn_cider():
    """Captions of drawn words with all that can be asked of them, computed here from arrays."""
    generator = np.random.default_rng()
    told, each = check.drawn_captions(generator, 6, 6)

    def grams(caption, n):
        words = caption.split()
        return list(zip(*(words[i:] for i in range(n)), strict=False))

    frequency, weighed, vectors = {}, [], []
    for n in (1, 2, 3):
        sets = [set().union(*(grams(one, n) for one in captions)) for captions in each]
        known = list(
            dict.fromkeys(g for captions in each for one in captions for g in grams(one, n))
        )
        frequency[n] = {g: sum(g in found for found in sets) for g in known}
        caption = f"{told[0]} unheard of"
        weights = {}
        for g in grams(caption, n):
            rarity = np.log(40) - np.log(frequency[n].get(g, 1))
            weights[g] = weights.get(g, 0.0) + float(rarity)
        weighed.append((caption, frequency[n], 40, n, weights))
        vectors.append(weights)
    pairs = []
    for weights in vectors:
        other = {
            g: float(w)
            for g, w in zip(weights, generator.uniform(-1, 2, len(weights)), strict=True)
        }
        other.pop(list(other)[0])
        other[("never",)] = 2.0
        a = np.array([weights.get(g, 0.0) for g in {**weights, **other}])
        b = np.array([other.get(g, 0.0) for g in {**weights, **other}])
        pairs.append((weights, other, float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))))
    return dict(tales=each, frequency=frequency, weighed=weighed, pairs=pairs)


check.on_other_data(check.cider, drawn_cider(), drawn_cider()).require(
    document_frequency, tf_idf, cosine
)
### END HIDDEN TESTS

# %% [markdown]
# Your parts together are a scorer. The next cell lets it judge four captions against four references of one
# picture; sixty pictures give the document frequencies. It needs questions 4, 6 and 7. The second caption
# belongs to another picture, and the last two are made of the commonest words. What do BLEU-1 and CIDEr leave
# of the score of the first one, and which of the two tells them apart more clearly?


# %% tags=["student"] nbgrader={"grade": false, "grade_id": "scorer", "locked": true, "schema_version": 3, "solution": false, "task": false}
def bleu_of(told, references):
    """BLEU-1 to BLEU-4 of captions, by your functions."""
    words = [one.split() for one in told], [[one.split() for one in each] for each in references]
    pairs = list(zip(*words, strict=True))
    rows = [[clipped_counts(*pair, n) for n in (1, 2, 3, 4)] for pair in pairs]
    c = sum(map(len, words[0]))
    r = sum(min(map(len, each), key=lambda n: (abs(n - len(own)), n)) for own, each in pairs)
    return corpus_bleu(
        [[m for m, _ in row] for row in rows], [[t for _, t in row] for row in rows], c, r
    )


def cider_of(caption, references, everything):
    """CIDEr without its additions, by your functions: the mean over n = 1 to 4, 0 to 10."""
    found = []
    for n in (1, 2, 3, 4):
        frequency = document_frequency(everything, n)
        own = tf_idf(caption, frequency, len(everything), n)
        theirs = [tf_idf(one, frequency, len(everything), n) for one in references]
        found.append(10 * sum(cosine(own, one) for one in theirs) / len(theirs))
    return sum(found) / 4


def compare_captions():
    """A table of your scores for four captions, against references of one picture."""
    everything = [[one.lower().rstrip(".") for one in each] for each in Scenes("dev", 60).captions]
    truth = everything[0]
    captions = [truth[0], everything[1][0], "a a on the in", "a on the"]
    print("BLEU-1  BLEU-4  CIDEr   caption")
    for one in captions:
        scores = bleu_of([one], [truth[1:]])
        print(
            f"{scores[0]:6.3f}  {scores[3]:6.3f}  {cider_of(one, truth[1:], everything):5.2f}   {one}"
        )


try:
    compare_captions()
except Exception as error:
    print(f"Write questions 4, 6 and 7, then run this cell again ({type(error).__name__}).")

# %% [markdown]
# ## 8 · One step of attention
# *difficulty 3/5 · importance 5/5 · 30 minutes · 6 points*
#
# A captioner that looks has a vector for each of N places of the picture, and before each word it
# decides how much of each place to take. The LSTM's output $h$ asks, every place $a_i$ answers
# with an energy, and the softmax makes shares of the energies (Bahdanau et al. 2015; Xu et al. 2015,
# eq. 4 to 6):
#
# $$e_i = v^\top \tanh(W_m a_i + W_h h + b), \qquad
# \alpha_i = \frac{\exp(e_i)}{\sum_j \exp(e_j)}, \qquad z = \sum_i \alpha_i\, a_i$$
#
# Pictures may have different numbers of places, for instance one for each thing that was found. Then
# the memory is filled up, and `real` tells which places exist. The others must get the weight 0, and
# the rest must still sum to 1. What goes wrong if you set weights to 0 *after* the softmax?


# %% nbgrader={"grade": false, "grade_id": "attend", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attend(memory, h, weight_memory, weight_hidden, bias, v, real):
    """One step of additive attention.

    memory (B, N, D): the places.  h (B, H): the question.  weight_memory (A, D), weight_hidden (A, H),
    bias (A,), v (A,): the weights.  real (B, N), bool: True where a place exists; at least one does.
    Returns context (B, D) and weights (B, N), with gradients to everything that has one.
    """
    # 1. W_m a_i for all places (B, N, A), W_h h for all pictures (B, A).
    # 2. Join them with one axis more for the places, add the bias, tanh, the product with v: (B, N).
    # 3. -inf where real is False; softmax over the places (B, N).
    # 4. The sum of all places, each times its weight: (B, D).
    # Do not loop with numbers taken out of tensors: gradients would be lost.
    ### BEGIN SOLUTION
    asked = (h @ weight_hidden.T)[:, None]  # (B, 1, A)
    energies = torch.tanh(memory @ weight_memory.T + asked + bias) @ v  # (B, N)
    weights = energies.masked_fill(~real, -math.inf).softmax(-1)  # (B, N)
    context = (weights[..., None] * memory).sum(1)  # (B, D)
    return context, weights
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "attend_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.attend.require(attend)

# %% nbgrader={"grade": true, "grade_id": "attend_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
from coursekit.checks.a2_attention import parts as attention_parts


def drawn_attention():
    """Sizes, numbers and a mask, with the weights and contexts that belong to them, place by place."""
    generator = np.random.default_rng()
    B, N, D, H, A = (int(n) for n in generator.permutation([2, 4, 5, 3, 6]))
    sizes, key = dict(B=B, N=N, D=D, H=H, A=A), float(generator.uniform(20, 900))
    real = generator.random((B, N)) < 0.6
    real[:, int(generator.integers(N))] = True
    real[0, :2] = True
    memory, h, w_memory, w_hidden, bias, v = (
        part.double().numpy() for part in attention_parts(**sizes, key=key)
    )
    weights = np.zeros((B, N))
    for b in range(B):
        for n in range(N):
            energy = (v * np.tanh(w_memory @ memory[b, n] + w_hidden @ h[b] + bias)).sum()
            weights[b, n] = np.exp(energy) * real[b, n]
        weights[b] /= weights[b].sum()
    context = np.einsum("bn,bnd->bd", weights, memory)
    return dict(sizes=sizes, key=key, real=real.tolist(), weights=weights, context=context)


check.on_other_data(check.attend, *(drawn_attention() for _ in range(4))).require(attend)
### END HIDDEN TESTS

# %% [markdown]
# ## 9 · Does it peep?
# *difficulty 3/5 · importance 4/5 · 30 minutes · 4 points*
#
# In training a decoder reads the whole caption at once and guesses at each place the word that comes
# next. If any of its layers lets the logits at place $t$ see a token after $t$, it copies instead of
# guessing: the loss is wonderful, and captions are rubbish, because nothing can be copied when the
# words are not there yet. Such leaks come from a mask that is off by one, a layer that reads
# backwards, or a normalisation over time.
#
# ```
#           token 0   token 1   token 2   token 3
# logits 0     ■         ·         ·         ·       ■ may depend
# logits 1     ■         ■         ·         ·       · must not
# logits 2     ■         ■         ■         ·
# logits 3     ■         ■         ■         ■
# ```
#
# You cannot read the code of every model, but you can experiment: change tokens, and look which
# logits move. Write the experiment. How many changes does it take to try every place?


# %% nbgrader={"grade": false, "grade_id": "is_causal", "locked": false, "schema_version": 3, "solution": true, "task": false}
def is_causal(model, memory, tokens, vocab_size):
    """Whether a decoder's logits never depend on a later token.

    model(memory, tokens) → logits (B, T, V); the same input gives the same logits.
    memory (B, N, D): the pictures.  tokens (B, T): captions to try it on, from 0 to vocab_size - 1.
    Returns True or False.  Differences up to 1e-4 are rounding; those of a leak are larger.
    """
    # 1. The logits for the tokens as they are (B, T, V).
    # 2. For each place t from 1 on: a clone of the tokens in which the tokens at t are others, in
    #    every caption; (token + 1) % vocab_size is certainly another one.
    # 3. Ask again, and compare the logits at the places before t, in all captions.
    # 4. False if any of them moved, else True.
    # Do not compare the logits at t and after: they may change.
    ### BEGIN SOLUTION
    before = model(memory, tokens)  # (B, T, V)
    for t in range(1, tokens.shape[1]):
        changed = tokens.clone()
        changed[:, t] = (changed[:, t] + 1) % vocab_size
        after = model(memory, changed)
        if (after[:, :t] - before[:, :t]).abs().max() > 1e-4:
            return False
    return True
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "is_causal_open", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check.is_causal.require(is_causal)


# %% nbgrader={"grade": true, "grade_id": "is_causal_hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def drawn_decoders():
    """Decoders of both kinds; the leaks at places that nobody knows beforehand."""
    drawn = random.SystemRandom()
    T, rows = drawn.randint(6, 9), drawn.randint(2, 3)
    at = drawn.randrange(T - 4)
    far, back, quiet = drawn.randrange(at + 2, T - 2), drawn.randrange(1, T), drawn.randrange(1, 9)

    def leak(place, later):
        return lambda t, T: [*range(t + 1), *([later] if t == place else [])]

    def look(places):
        return dict(looks=lambda t, T: places(t))

    decoders = [
        (f"reads {back} tokens back", True, look(lambda t: range(max(0, t - back), t + 1))),
        ("reads <bos> alone, with rounding", True, look(lambda t: [0]) | dict(rounding=1e-5)),
        ("reads everything before", True, look(lambda t: range(t + 1))),
        ("looks ahead at one place", False, dict(looks=leak(at, far))),
        (
            "looks ahead at one place, the other way",
            False,
            dict(looks=leak(at, far), strength=-1.0),
        ),
        ("looks at the next word at one place", False, dict(looks=leak(far, far + 1))),
        ("looks at the last word", False, dict(looks=leak(at, T - 1))),
        ("looks ahead in one caption", False, dict(looks=leak(at, far), row=rows - 1)),
        ("looks at <pad> in one caption", False, dict(looks=leak(at, T - 1), row=0)),
        ("looks one word ahead", False, look(lambda t: range(t + 2)) | dict(strength=0.3)),
        ("normalises over time", False, look(lambda t: range(T)) | dict(strength=0.03)),
        ("leaks by a few thousandths", False, look(lambda t: range(T)) | dict(strength=0.004)),
        ("looks from <bos> at the first word", False, dict(looks=leak(0, 1))),
        ("looks at the first word in one caption", False, dict(looks=leak(0, 1), row=rows - 1)),
        ("only raises logits", False, dict(looks=leak(at, far), row=0, quiet=quiet)),
        ("only lowers logits", False, dict(looks=leak(at, far), row=0, quiet=quiet, strength=-1.0)),
        ("keeps the mean of the logits", False, dict(looks=leak(at, far), centred=True)),
        ("leaks a little at one place", False, dict(looks=leak(0, T - 1), row=0, quiet=0, strength=0.004)),
    ]  # fmt: skip
    drawn.shuffle(decoders)
    tokens = [[drawn.randrange(1, 9) for _ in range(T)] for _ in range(rows)]
    tokens[0][far], tokens[0][-1], tokens[-1][1] = quiet, 0, 8
    likely = (
        "change every place, to another token, in all captions; "
        "look for the largest absolute difference at all places before it"
    )
    return dict(
        decoders=[(*one, likely) for one in decoders], tokens=tokens, key=drawn.uniform(2, 900)
    )


check.on_other_data(check.is_causal, drawn_decoders(), drawn_decoders()).require(is_causal)
### END HIDDEN TESTS

# %% [markdown]
# ## 10 · Your search describes pictures
# *difficulty 2/5 · importance 5/5 · 20 minutes · 4 points*
#
# The captioner that comes with the course has learned to describe drawn scenes. Its decoder is a
# step model: `model.start(memory)` gives the state after seeing some pictures, and
# `model.step(tokens, state)` gives logits and the next state. Your search wants log-probabilities,
# for one picture at a time. Join the two. The search is your own `beam_search` if it passes its
# test, and the course's if not.

# %% nbgrader={"grade": false, "grade_id": "pictures", "locked": true, "schema_version": 3, "solution": false, "task": false}
captioner = shipped_captioner()
model, tokenizer = captioner.decoder, captioner.tokenizer
ids = tokenizer.bos_id, tokenizer.eos_id


def gather(split, count, seed=0):
    """Drawn scenes: images uint8 (M, 3, 64, 64), memory (M, N, D), captions and facts of each."""
    scenes = Scenes(split, count, seed)
    images = scenes.images(range(count))
    return images, captioner.memory(images), scenes.captions, scenes.facts()


def course_search(step, state, bos_id, eos_id, beam, max_len):
    """What question 1 asks for, by the course's search for whole batches."""
    one = types.SimpleNamespace(start=lambda memory: state, step=step)
    tokens, scores = decoding.beam_search(one, torch.zeros(1), bos_id, eos_id, beam, max_len)
    return tokens[0], scores[0]


def greedy_score(memory):
    """The mean log-probability of greedy's captions of some pictures."""
    _, scores = decoding.greedy(model.eval(), memory, *ids, max_len)
    return sum(scores) / len(scores)


def bleu_4(tokens, references):
    """BLEU-4, 0 to 1, of lists of tokens against the captions of their pictures."""
    told = [tokenizer.decode(one) for one in tokens]
    return caption_scores(told, references, meteor=False)["Bleu_4"]


dev_images, dev_memory, dev_captions, dev_facts = gather("dev", settings["judged"])
print(f"{len(dev_memory)} pictures, each {tuple(dev_memory.shape[1:])}; {len(tokenizer)} words")


# %% nbgrader={"grade": false, "grade_id": "describe", "locked": false, "schema_version": 3, "solution": true, "task": false}
def describe(model, memory, search, bos_id, eos_id, beam, max_len):
    """Captions of M pictures: a list of M lists of tokens, without <bos> and <eos>.

    model: a step model; start(memory (B, N, D)) → state with B rows, and
    step(tokens (B,), state) → logits (B, V), state.  It may still be in training mode.
    memory (M, N, D).  search(step, state, bos_id, eos_id, beam, max_len) → tokens, score, as in
    question 1.
    """
    # 1. Put the model in evaluation mode; no gradients are needed.
    # 2. Write a function step that asks model.step and makes log-probabilities of the logits.
    # 3. For each picture, a memory (1, N, D): its state from model.start, then the search.
    # 4. Return the tokens of all pictures, in their order.
    # Do not hand all pictures to one search: its rows are the hypotheses of one.
    ### BEGIN SOLUTION
    model.eval()

    def step(tokens, state):
        logits, state = model.step(tokens, state)
        return logits.log_softmax(-1), state  # (K, V)

    with torch.no_grad():
        return [
            search(step, model.start(picture), bos_id, eos_id, beam, max_len)[0]
            for picture in memory.split(1)
        ]
    ### END SOLUTION


# %% tags=["student"] nbgrader={"grade": false, "grade_id": "parts", "locked": true, "schema_version": 3, "solution": false, "task": false}
search = course_search
if check.passes(check.beam_search, lambda *given: beam_search(*given)):
    search = beam_search
print(
    "Your own search goes to work"
    if search is not course_search
    else "The course's search goes to work"
)

# %% [markdown]
# The test asks for two things: a BLEU-4 that any sound search reaches on these pictures, and captions
# that the model itself finds likelier than those of greedy search.

# %% nbgrader={"grade": true, "grade_id": "describe_open", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check.captions.require(
    describe, model, dev_memory, search, (*ids, max_len), beam, dev_captions, bleu_4,
    greedy=greedy_score(dev_memory), gain=GAIN, at_least=BLEU_4,
)  # fmt: skip

# %% nbgrader={"grade": true, "grade_id": "describe_hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other pictures
### BEGIN HIDDEN TESTS
import secrets


def hidden_describe(describe, search):
    _, memory, references, _ = gather("test", settings["judged"], seed=secrets.randbits(50))
    again = check.on_other_data(
        check.captions,
        dict(
            model=model, memory=memory, search=search, ids=(*ids, max_len), beam=beam, references=references,
            score=bleu_4, greedy=greedy_score(memory), gain=GAIN, at_least=BLEU_4,
        ),
    )  # fmt: skip
    again.require(describe)


hidden_describe(describe, search)
### END HIDDEN TESTS

# %% [markdown]
# ## 11 · Who is to blame?
#
# A caption that is wrong can have two causes. Either the model prefers the wrong caption: then no
# search for the likeliest will mend it. Or the model finds some true caption likelier, and the search
# missed it. Compare log-probabilities: one true caption that is likelier than what was said convicts
# the search. If none is in sight, the model is under suspicion; can you be certain? The next cell counts the claims of each kind that are untrue, then shows pictures of
# which something untrue was said: that caption, what your search finds with a beam of 10 (row
# `wide`), and of the five captions that belong to the picture the one that the model finds likeliest
# (row `true`), each with its log-probability. Other true captions exist, and `wide` may be one: the
# line below it names what is untrue in it.


# %% tags=["student"] nbgrader={"grade": false, "grade_id": "errors", "locked": true, "schema_version": 3, "solution": false, "task": false}
def log_probability(memory, caption):
    """The model's log-probability of a caption, <eos> included. memory (1, N, D)."""
    tokens = torch.tensor([tokenizer.with_ends(caption)])  # (1, T)
    with torch.no_grad():
        said = model.eval()(memory, tokens[:, :-1]).log_softmax(-1)  # (1, T - 1, V)
    return said.gather(-1, tokens[:, 1:, None]).sum().item()


def show_errors(most=8):
    """The table of claims, and pictures of which something untrue was said."""
    told = [
        tokenizer.decode(one) for one in describe(model, dev_memory, search, *ids, beam, max_len)
    ]
    made = Counter(claim[0] for one in told for claim in claims(one))
    false = [claims(one) - facts for one, facts in zip(told, dev_facts, strict=True)]
    wrong = Counter(claim[0] for each in false for claim in each)
    print("kind      claims   untrue")
    for kind in sorted(made):
        print(f"{kind:8} {made[kind]:7} {wrong[kind]:8}")
    chosen = [i for i, each in enumerate(false) if each][:most]
    for number, i in enumerate(chosen):
        picture = dev_memory[i : i + 1]
        truth = max(dev_captions[i], key=lambda one, picture=picture: log_probability(picture, one))
        (wide,) = describe(model, picture, search, *ids, 10, max_len)
        rows = dict(said=told[i], wide=tokenizer.decode(wide), true=truth)
        print(f"\npicture {number}")
        for name, one in rows.items():
            print(f"   {name:6}  {log_probability(picture, one):7.2f}  {one}")
            if name != "true":
                untrue = sorted(map(str, claims(one) - dev_facts[i]))
                print(f"{'':19}untrue: {', '.join(untrue) or 'nothing'}")
    names = [f"{number}: {told[i]}" for number, i in enumerate(chosen)]
    figure = plots.show_pictures(dev_images[chosen], names, title="Something here is untrue")
    plots.show(figure, alt="Scenes with captions that are partly wrong: " + "; ".join(names))


try:
    show_errors()
except Exception as error:
    print(f"Write question 10, then run this cell again ({type(error).__name__}).")

# %% [markdown]
# *difficulty 3/5 · importance 4/5 · 25 minutes · 4 points, marked by a person*
#
# Answer in the cell below, in about 200 words:
#
# 1. Which kind of claim is untrue most often, as a share of the claims of its kind? Give the numbers.
#    *(1 point)*
# 2. Take three of the pictures. For each say what is untrue, and whether the model or the search is to
#    blame for it, with the log-probabilities that show it. *(2 points)*
# 3. Is a wider beam the remedy? Say what your rows with a beam of 10 suggest, what you would measure
#    to be sure, and which result would prove you wrong. *(1 point)*

# %% [markdown] nbgrader={"grade": true, "grade_id": "error_analysis", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# 1. The kind with the largest untrue / claims of the table, with both numbers; the kind with the most
#    untrue claims is not enough where another kind has fewer claims and a larger share.
# 2. For each of three pictures: the untrue claim, named in words that fit the picture, and the numbers.
#    A true caption above "said", in the row "true" or in the row "wide" if that caption is true of the
#    picture (look: it is in some), means that the search missed it and is to blame. Else the model
#    prefers the wrong caption to all that is known, and is to blame. Two points for three right
#    pictures, one for two. A picture counts as right also for those who see "said" above "true", call
#    the model suspect, and overlook a true "wide" row; not for those who blame the search although all
#    likelier captions shown are untrue. Remarking that the row "true" is only the best of five
#    captions, so that another true one might be likelier, is very good, and not required.
# 3. Seldom: a wider beam finds captions that the model likes better, and mends those alone where
#    such a one is true; in most rows "wide" is the same caption, or another untrue or shorter one.
#    A point needs an experiment with a result that refutes, for instance: describe all pictures with
#    beams of 1, 3, 10 and 30, and compare the share of untrue claims with the mean
#    log-probability. If the share fell clearly while the log-probability rises, the search was to
#    blame after all.
# ### END SOLUTION
