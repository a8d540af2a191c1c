# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Assignment 1 · Show and Tell, part by part
#
# In lesson 03 a captioner came ready. Here you write what it is made of: the vocabulary, the
# padding, an LSTM step, the loss, the forward pass, the training loop and the search for words. At
# the end your parts describe pictures that nobody has described before.
#
# | question | what you write | points |
# |---|---|---|
# | 1 | `build_vocabulary`, `encode` | 4 |
# | 2 | `pad` | 4 |
# | 3 | `lstm_step` | 6 |
# | 4 | `masked_loss` | 6 |
# | 5 | `Captioner.forward` | 6 |
# | 6 | `overfit`: 50 captions by heart | 6 |
# | 7 | `train_captioner`: reach a BLEU-4 | 8 |
# | 8 | `greedy` | 6 |
# | 9 | a question answered in words | 4 |
#
# **How it works.** Write your code where `raise NotImplementedError("write me")` stands, run the
# cell, then run the test below it. A test answers ✓, or ✗ with what it expected, what it got and
# the likeliest cause, or ○ when nothing is written yet. Half of the points of a question are for
# this test; the other half are given later for the same on other data, so an answer that fits only
# the numbers you can see is worth half.
#
# **Questions do not drag each other down.** Each is tested with the course's own parts around it,
# except training: there your captioner and your loss go to work themselves, and the course's stand
# in only where yours are not right yet. Write the parts yourself: coursekit holds finished ones,
# and copying them teaches nothing.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
from coursekit import sizes

here = sizes.setup()
print(here)

# %% nbgrader={"grade": false, "grade_id": "settings", "locked": true, "schema_version": 3, "solution": false, "task": false}
settings = here.pick(
    # Smoke keeps to scenes with one kind of thing, which a minute teaches well
    smoke=dict(pictures=1500, kinds=1, judged=400, embed_dim=64, hidden_dim=128),
    cpu=dict(pictures=6000, kinds=3, judged=200, embed_dim=96, hidden_dim=192),
    gpu=dict(pictures=6000, kinds=3, judged=400, embed_dim=128, hidden_dim=256),
)
# The captioner is so small that a processor trains it: nothing here moves to a GPU
training = here.pick(
    smoke=dict(epochs=8, batch_size=16, learning_rate=4e-3),
    cpu=dict(epochs=6, batch_size=32, learning_rate=2e-3),
    gpu=dict(epochs=12, batch_size=32, learning_rate=2e-3),
)
gate = dict(steps=150, learning_rate=5e-3, at_most=0.1)
# Ten seeds of data_scripts/a1_threshold.py at cpu: 0.618 (sd 0.019) here, 0.617 (0.023) on the
# hidden pictures; at smoke 0.580 (0.035) and 0.604 (0.042), the lowest of all 0.539. None is below;
# by a normal model a right answer fails less than once in a million.
# Lower than mean - 4 sd: with a falling learning rate it is 0.56 (at smoke 0.44), and right too.
BLEU_4 = here.pick(smoke=0.40, cpu=0.50, gpu=0.50)
seed = 0

# %% nbgrader={"grade": false, "grade_id": "imports", "locked": true, "schema_version": 3, "solution": false, "task": false}
import functools
import random
from collections import Counter

import torch
import torch.nn.functional as F
from torch import nn

from coursekit import decoding, plots, text
from coursekit.checks import a1 as check
from coursekit.datasets.scenes import Scenes, claims
from coursekit.metrics.captions import caption_scores
from coursekit.models.encoders import scene_encoder
from coursekit.models.lstm import ShowAndTell, caption_loss

SPECIAL = ["<pad>", "<bos>", "<eos>", "<unk>"]


def bleu_4(told, references):
    """BLEU-4, 0 to 1, of captions against the lists of captions of their pictures."""
    return caption_scores(told, references, meteor=False)["Bleu_4"]


# %% [markdown]
# ## 1 · Vocabulary
# *difficulty 1/5 · importance 3/5 · 15 minutes · 4 points*
#
# A model computes with numbers, so every word gets one: its place in a list. The list begins with
# four words that no caption contains. `<pad>` fills captions up to the same length, `<bos>` opens
# a caption, `<eos>` closes it, and `<unk>` stands for every word that was too rare to be kept. A
# rare word is dropped for a reason: what occurs twice in 30,000 captions cannot be learned, and
# costs a row of weights at both ends of the model.


# %% nbgrader={"grade": false, "grade_id": "vocabulary", "locked": false, "schema_version": 3, "solution": true, "task": false}
def split_words(caption):
    """The words of a caption: lower case, without the characters . , ! ?, split at blanks."""
    ### BEGIN SOLUTION
    bare = "".join(letter for letter in caption.lower() if letter not in ".,!?")
    return bare.split()
    ### END SOLUTION


def build_vocabulary(captions, min_count=1):
    """The words of some captions, each at the place that is its id.

    captions: list of strings.  min_count: a word is kept if it occurs at least so often.
    Returns a list of strings: SPECIAL, then the words, the commonest first; words that are equally
    common stand in alphabetical order.  "Red", "red." and "red" are one word, "red".
    """
    # 1. Count every word over all captions.
    # 2. Keep words with at least min_count occurrences.
    # 3. Order by count, largest first; by alphabet where counts are equal.
    # 4. Return SPECIAL followed by these words.
    # Do not take the order of a set: it differs from run to run, and with it all ids.
    ### BEGIN SOLUTION
    counts = Counter(word for caption in captions for word in split_words(caption))
    kept = [word for word in counts if counts[word] >= min_count]
    return SPECIAL + sorted(kept, key=lambda word: (-counts[word], word))
    ### END SOLUTION


def encode(caption, vocabulary):
    """The ids of a caption: list of int, from <bos> to <eos>.

    caption: a string.  vocabulary: a list of words as build_vocabulary returns it.
    A word that is not in the vocabulary gets the id of <unk>.
    """
    # 1. Split the caption.
    # 2. Look up each word's place; the place of <unk> where there is none.
    # 3. Put the id of <bos> in front and the id of <eos> at the end.
    # Do not leave unknown words out: the caption would say something else.
    ### BEGIN SOLUTION
    id_of = {word: i for i, word in enumerate(vocabulary)}
    ids = [id_of.get(word, id_of["<unk>"]) for word in split_words(caption)]
    return [id_of["<bos>"], *ids, id_of["<eos>"]]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "vocabulary_open", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check.vocabulary.require(build_vocabulary, encode)

# %% nbgrader={"grade": true, "grade_id": "vocabulary_hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
from coursekit.checks import exercise, expect_equal


@exercise("vocabulary, on other data")
def hidden_vocabulary(build_vocabulary, encode):
    told = ["Snow, snow and SNOW!", "two kites, one Kite", "one house? Two houses.", "two two one"]
    words = ["two", "one", "snow", "and", "house", "houses", "kite", "kites"]
    special = ["<pad>", "<bos>", "<eos>", "<unk>"]
    likely = "by count, then by alphabet; at least min_count; lower case, without . , ! ?"
    for least, count in ((1, 8), (3, 3), (4, 1)):
        name = f"the vocabulary (min_count {least})"
        expect_equal(build_vocabulary(list(told), least), special + words[:count], name, likely)
    vocabulary = special + ["kite", "one", "snow", "two"]
    likely = "ids are places in the vocabulary that is given; <bos> first, <eos> last, others <unk>"
    for caption, ids in (("Two kites!", [1, 7, 3, 2]), ("snow, ONE kite", [1, 6, 5, 4, 2])):
        expect_equal(encode(caption, list(vocabulary)), ids, f"the ids of '{caption}'", likely)


hidden_vocabulary.require(build_vocabulary, encode)
### END HIDDEN TESTS

# %% [markdown]
# ## 2 · Padding
# *difficulty 1/5 · importance 4/5 · 10 minutes · 4 points*
#
# A batch is one tensor, and captions differ in length. The shorter ones are filled up at their end
# with a token that means nothing. Everything after this point must take care that it goes on
# meaning nothing.


# %% nbgrader={"grade": false, "grade_id": "padding", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pad(sequences, pad_id):
    """Joins B lists of ids of different lengths.

    sequences: B lists of int, <bos> and <eos> included.  pad_id: int, the id to fill up with.
    Returns tokens (B, T) and lengths (B,), both of an integer type; T is the longest length.
    """
    # 1. Note the length of every sequence; the largest one is T.
    # 2. Make tokens (B, T), full of pad_id, of an integer type.
    # 3. Write each sequence at the beginning of its row.
    # 4. Return tokens and lengths.
    # Do not append to the lists you were given: they belong to the caller.
    ### BEGIN SOLUTION
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    tokens = torch.full((len(sequences), int(lengths.max())), pad_id)  # (B, T)
    for row, sequence in zip(tokens, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    return tokens, lengths
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "padding_open", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check.padding.require(pad)


# %% nbgrader={"grade": true, "grade_id": "padding_hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def hidden_padding(pad):
    again = check.other_data(check.padding)
    again.require(pad, rows=[[1, 8, 2]], pad_id=0)
    again.require(pad, rows=[[1, 2], [1, 3, 3, 3, 2], [1, 6, 2], [1, 7, 9, 2]], pad_id=0)
    again.require(pad, rows=[[2, 4] * 9, [5, 1, 6]], pad_id=40)


hidden_padding(pad)
### END HIDDEN TESTS

# %% [markdown]
# ## 3 · One step of an LSTM, by hand
# *difficulty 3/5 · importance 4/5 · 25 minutes · 6 points*
#
# An LSTM carries two vectors along: the cell state $c$, its memory, and the output $h$, what it
# shows of it. At each step three gates, numbers between 0 and 1, decide what is written ($i$),
# what is kept ($f$) and what is shown ($o$); $g$ is what could be written.
#
# $$\begin{aligned}
# i &= \sigma(a_i) & f &= \sigma(a_f) & g &= \tanh(a_g) & o &= \sigma(a_o) \\
# c' &= f \odot c + i \odot g & h' &= o \odot \tanh(c')
# \end{aligned}$$
#
# All four $a$ are computed at once, $a = W_{ih}\,x + b_{ih} + W_{hh}\,h + b_{hh}$: the rows of the
# weights are stacked in the order $i, f, g, o$, as PyTorch does it.


# %% nbgrader={"grade": false, "grade_id": "lstm_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def lstm_step(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    """One step of an LSTM, equal to nn.LSTMCell.

    x (B, D): the input.  h, c (B, H): the state.  weight_ih (4H, D), weight_hh (4H, H),
    bias_ih and bias_hh (4H,): the weights, rows in the order i, f, g, o.
    Returns the next h and the next c, both (B, H).
    """
    # 1. a (B, 4H): both products with transposed weights, and both biases.
    # 2. Cut a into four parts (B, H), in the order i, f, g, o.
    # 3. Sigmoid for i, f and o; tanh for g.
    # 4. The next c, then the next h from the next c.
    # Do not use nn.LSTM or nn.LSTMCell, and do not change h or c in place.
    ### BEGIN SOLUTION
    a = x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh  # (B, 4H)
    i, f, g, o = a.chunk(4, dim=1)
    next_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(next_c), next_c
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "lstm_step_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.lstm_step.require(lstm_step)


# %% nbgrader={"grade": true, "grade_id": "lstm_step_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def hidden_lstm_step(lstm_step):
    again = check.other_data(check.lstm_step)
    again.require(lstm_step, B=1, D=3, H=4, key=21.0)
    again.require(lstm_step, B=5, D=2, H=6, key=34.0)


hidden_lstm_step(lstm_step)
### END HIDDEN TESTS

# %% [markdown]
# ## 4 · The loss, without the padding
# *difficulty 3/5 · importance 5/5 · 25 minutes · 6 points*
#
# The model reads a caption and says at each place which word it expects *next*. So the logits at
# place $t$ are judged by the token at $t + 1$, and what the model says after the last token is
# judged by nothing. Where the next token is padding there is no truth to compare with: such places
# must neither add to the sum nor be counted in the mean.
#
# | the loss you see | what it means |
# |---|---|
# | about $\ln V$ at the start | right: the model knows nothing yet |
# | falls to nearly 0 within an epoch | it is asked for the word it was just given: no shift |
# | falls fast, then captions are bad | padding is counted: `<pad>` after `<pad>` is easy |
# | stays above 3 | the softmax is done twice, or the steps are too small |


# %% nbgrader={"grade": false, "grade_id": "masked_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def masked_loss(logits, tokens, pad_id):
    """Mean cross-entropy in nats a token, over all next tokens of the batch that are real.

    logits (B, T, V): what the model says at each place.  tokens (B, T): what it has read, integers,
    each row <bos> … <eos> and then pad_id.  pad_id: int.
    Returns a scalar tensor with a gradient.  <eos> is a real token: the model must learn to stop.
    """
    # 1. Logits without the last place (B, T-1, V), targets without the first token (B, T-1).
    # 2. Find the targets that are real.
    # 3. Cross-entropy of these alone, and one mean over all of them together.
    # Do not apply softmax first (cross_entropy does), and do not average caption by caption.
    ### BEGIN SOLUTION
    guesses, targets = logits[:, :-1], tokens[:, 1:]  # (B, T-1, V), (B, T-1)
    real = targets != pad_id
    return F.cross_entropy(guesses[real], targets[real])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "masked_loss_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.masked_loss.require(masked_loss)

# %% nbgrader={"grade": true, "grade_id": "masked_loss_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
from coursekit.checks import exercise, expect_close


@exercise("masked_loss, on other data")
def hidden_masked_loss(masked_loss):
    batches = [
        (9, [[1, 6, 2, 9, 9, 9], [1, 0, 0, 5, 3, 2], [1, 4, 8, 3, 2, 9], [1, 2, 9, 9, 9, 9]]),
        (0, [[1, 7, 7, 2]]),
        (3, [[1, 4, 2], [1, 2, 3]]),
    ]
    for pad_id, tokens in batches:
        tokens = torch.tensor(tokens)
        logits = check.numbers(*tokens.shape, 11, key=float(pad_id), scale=4.0)
        flat, truth = logits[:, :-1].reshape(-1, 11), tokens[:, 1:].reshape(-1)
        expected = F.nll_loss(flat.log_softmax(-1), truth, ignore_index=pad_id)
        mistakes = [
            (F.cross_entropy(flat, truth), "the mean is over padding too; leave out pad_id"),
            (
                F.cross_entropy(logits.reshape(-1, 11), tokens.reshape(-1), ignore_index=pad_id),
                "nothing is shifted: logits at t guess tokens[t + 1]",
            ),
        ]
        got = masked_loss(logits.clone(), tokens.clone(), pad_id)
        expect_close(got, expected, f"the loss (pad_id {pad_id})", 1e-4, mistakes=mistakes)


hidden_masked_loss.require(masked_loss)
### END HIDDEN TESTS

# %% [markdown]
# ## 5 · The captioner's forward pass
# *difficulty 3/5 · importance 5/5 · 30 minutes · 6 points*
#
# How does an LSTM see? In Show and Tell it reads the picture as if it were word number zero. The
# encoder gives `memory`: one vector for each of N places of the picture. We keep the largest value
# of each feature over the places, make a vector as long as a word's embedding of it, and put it in
# front of the words. The picture enters **once**; from then on the cell state must remember it.
#
# ```
# inputs    picture   <bos>    a        red     ...
# outputs   (unused)  "a"?     "red"?   "boat"? ...
# ```
#
# What the LSTM says after the picture alone answers no question: nobody asks which word is
# `<bos>`. The layers are given, so that your model has the same weights as everybody's.


# %% nbgrader={"grade": false, "grade_id": "captioner_layers", "locked": true, "schema_version": 3, "solution": false, "task": false}
class CaptionerLayers(nn.Module):
    """The layers of a captioner: V words, D features of a picture, embeddings of E, H units."""

    def __init__(self, vocab_size, memory_dim, embed_dim, hidden_dim):
        super().__init__()
        self.from_image = nn.Linear(memory_dim, embed_dim)  # (B, D) → (B, E)
        self.embedding = nn.Embedding(vocab_size, embed_dim)  # (B, T) → (B, T, E)
        self.recurrent = nn.LSTM(embed_dim, hidden_dim, batch_first=True)  # (B, T, E) → (B, T, H)
        self.head = nn.Linear(hidden_dim, vocab_size)  # (B, T, H) → (B, T, V)


# %% nbgrader={"grade": false, "grade_id": "captioner", "locked": false, "schema_version": 3, "solution": true, "task": false}
class Captioner(CaptionerLayers):
    """Show and Tell: a picture as the first input of an LSTM language model."""

    def forward(self, memory, tokens):
        """Says at each token which one it expects next.

        memory (B, N, D): the picture at N places.  tokens (B, T): the caption so far, <bos> first.
        Returns logits (B, T, V); logits at t have seen the picture and tokens 0 to t, no more.
        """
        # 1. The picture: largest value over the N places (B, D), through from_image (B, E).
        # 2. The words: embedding (B, T, E).
        # 3. Join them along time, the picture first (B, 1 + T, E), and run the LSTM (B, 1 + T, H).
        # 4. Drop the output that follows the picture alone (B, T, H); the head makes the logits.
        # Do not add the picture to the words, and do not return probabilities.
        ### BEGIN SOLUTION
        picture = self.from_image(memory.amax(1))  # (B, E)
        words = self.embedding(tokens)  # (B, T, E)
        outputs, _ = self.recurrent(torch.cat([picture[:, None], words], 1))  # (B, 1 + T, H)
        return self.head(outputs[:, 1:])  # (B, T, V)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "captioner_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.captioner.require(Captioner)


# %% nbgrader={"grade": true, "grade_id": "captioner_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def hidden_captioner(Captioner):
    again = check.other_data(check.captioner)
    for B, N, T, key in ((1, 5, 6, 11.0), (4, 1, 3, 12.0), (3, 2, 7, 13.0)):
        layers = dict(vocab_size=9, memory_dim=5, embed_dim=4, hidden_dim=10)
        memory = check.numbers(B, N, 5, key=key)
        tokens = (check.numbers(B, T, key=key, scale=4.4) + 4.5).long()
        again.require(
            Captioner, layers, memory, tokens, key, expected_logits(layers, memory, tokens, key)
        )


def expected_logits(layers, memory, tokens, key):
    def weights(name, *shape):
        return check.numbers(*shape, key=key + sum(map(ord, name)) % 97)

    V, D, E, H = layers.values()
    picture, slope = memory.max(1).values, weights("from_image.weight", E, D)
    image = picture @ slope.T + weights("from_image.bias", E)
    x = torch.cat([image[:, None], weights("embedding.weight", V, E)[tokens]], 1)
    cell = nn.LSTMCell(E, H)
    for name, parameter in cell.named_parameters():
        parameter.data = weights(f"recurrent.{name}_l0", *parameter.shape)
    state, outputs = None, []
    for step in x.unbind(1):
        state = cell(step, state)
        outputs.append(state[0])
    hidden = torch.stack(outputs[1:], 1)
    return (hidden @ weights("head.weight", V, H).T + weights("head.bias", V)).detach()


hidden_captioner(Captioner)
### END HIDDEN TESTS

# %% [markdown]
# ## The pictures
#
# The scenes are drawn by code; `scene_encoder` has learned to name what is in them, and stays as
# it is. A frozen encoder says the same of a picture every time, so it looks once: the largest
# value of each feature over its 16 places is all we keep, and N is 1 from here on. Every feature
# is then shifted and scaled to mean 0 and spread 1. That is not cosmetics: without it all pictures
# push the gates of the first step into the same corner, and training takes many times as long.

# %% nbgrader={"grade": false, "grade_id": "pictures", "locked": true, "schema_version": 3, "solution": false, "task": false}
encoder = scene_encoder()


def gather(split, count, seed=0):
    """Scenes with few kinds of things: images uint8 (M, 3, 64, 64), captions and facts of each."""
    scenes = Scenes(split, count, seed)
    keep = [i for i, scene in enumerate(scenes.scenes) if len(scene.things) <= settings["kinds"]]
    facts = scenes.facts()
    return scenes.images(keep), [scenes.captions[i] for i in keep], [facts[i] for i in keep]


@torch.no_grad()
def look(images):
    """images (M, 3, 64, 64) → features (M, 256): each one's largest value over the 16 places."""
    return torch.cat([encoder(part).amax(1) for part in images.split(250)])


images, captions, _ = gather("train", settings["pictures"])
features = look(images)
middle, spread = features.mean(0), features.std(0).clamp(min=1e-3)


def remember(images):
    """images (M, 3, 64, 64) → memory (M, N=1, D=256), every feature with mean 0 and spread 1."""
    return ((look(images) - middle) / spread)[:, None]


memory = ((features - middle) / spread)[:, None]  # (M, 1, 256)
tokenizer = text.WordTokenizer.train([caption for each in captions for caption in each])
dev_images, dev_captions, dev_facts = gather("dev", settings["judged"])
dev_memory = remember(dev_images)


def new_model(Model, seed):
    """A captioner with fresh weights."""
    torch.manual_seed(seed)
    random.seed(seed)
    H = settings["hidden_dim"]
    model = Model(len(tokenizer), 256, settings["embed_dim"], H)
    # Forget gates that begin open: else half of the picture is gone after each word
    model.recurrent.bias_ih_l0.data[H : 2 * H] += 2
    return model


print(f"{len(memory)} pictures to learn from, {len(dev_memory)} for tests, {len(tokenizer)} words")

# %% [markdown]
# From here on the notebook uses the course's `WordTokenizer` and `text.pad`; they do what you
# wrote in questions 1 and 2.

# %% [markdown]
# ## 6 · Fifty captions by heart
# *difficulty 2/5 · importance 5/5 · 20 minutes · 6 points*
#
# Before you spend minutes on training, spend seconds on a gate: **a model that cannot learn fifty
# captions by heart will not learn thirty thousand.** Fifty pictures with one caption each, all in
# one batch, and the same batch again and again. With a right model, loss and loop, the loss falls
# below 0.1 nats a token in 150 steps. One caption each, because a picture with five captions
# cannot be learned by heart: which of the five is wanted, no picture tells.
#
# If the gate stays shut, do not reach for more steps. Something is broken, and it is cheap to find
# now. The test hands your loop the course's captioner and loss, which are known to be right: so if
# it fails, it is the loop.


# %% nbgrader={"grade": false, "grade_id": "overfit", "locked": false, "schema_version": 3, "solution": true, "task": false}
def overfit(model, loss_fn, memory, tokens, pad_id, steps, learning_rate):
    """Trains `model` in place on one batch, `steps` times.

    model: an nn.Module.  loss_fn(model, memory, tokens, pad_id): the scalar loss of a batch.
    memory (B, N, D), tokens (B, T): the batch.  learning_rate: float, right for Adam.
    Returns a list of `steps` floats, the loss at each step before the weights move.
    """
    # 1. Make an Adam optimizer for all the model's weights; put the model in training mode.
    # 2. At each step compute the loss with loss_fn and note it as a number.
    # 3. Clear the gradients, compute new ones, move the weights.
    # 4. Return the losses.
    # Do not make a new optimizer at each step: Adam would forget what it knows of the gradients.
    ### BEGIN SOLUTION
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    model.train()
    losses = []
    for _ in range(steps):
        loss = loss_fn(model, memory, tokens, pad_id)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "overfit_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
fifty, _ = text.pad([tokenizer.with_ends(each[0]) for each in captions[:50]], tokenizer.pad_id)
fresh = new_model(functools.partial(ShowAndTell, dropout=0.0), seed)
check.overfit.require(overfit, fresh, caption_loss, memory[:50], fifty, tokenizer.pad_id, **gate)


# %% nbgrader={"grade": true, "grade_id": "overfit_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def hidden_overfit(overfit):
    torch.manual_seed(3)
    told = [each[0] for each in Scenes("dev", 40, seed=17).captions]
    words = text.WordTokenizer.train(told)
    tokens, _ = text.pad([words.with_ends(one) for one in told])
    model = ShowAndTell(len(words), 24, 32, 96, dropout=0.0)
    model.recurrent.bias_ih_l0.data[96:192] += 2
    pictures = check.numbers(40, 2, 24, key=5.0)
    again = check.other_data(check.overfit)
    again.require(overfit, model, caption_loss, pictures, tokens, 0, 170, 1e-2, at_most=0.1)


hidden_overfit(overfit)
### END HIDDEN TESTS

# %% [markdown]
# For training, your own parts go to work: the next cell takes your captioner and your loss if both
# have passed, and the course's if not. Run it, then send what it took through the gate, in a cell of
# your own below it:
#
# ```python
# overfit(new_model(Model, seed), loss_fn, memory[:50], fifty, tokenizer.pad_id, 150, 5e-3)[-1]
# ```


# %% tags=["student"] nbgrader={"grade": false, "grade_id": "parts", "locked": true, "schema_version": 3, "solution": false, "task": false}
def own_loss(model, memory, tokens, pad_id):
    """The scalar loss of a batch, by your masked_loss."""
    return masked_loss(model(memory, tokens), tokens, pad_id)


own = check.passes(check.captioner, lambda **layers: Captioner(**layers))
own = own and check.passes(check.masked_loss, lambda *batch: masked_loss(*batch))
Model, loss_fn = functools.partial(ShowAndTell, dropout=0.0), caption_loss
if own:
    Model, loss_fn = Captioner, own_loss
print("Your own captioner and loss" if own else "The course's captioner and loss", "go to work")

# %% [markdown]
# ## 7 · Training
# *difficulty 3/5 · importance 5/5 · 30 minutes, 1 of them computing · 8 points*
#
# The gate is open: now all pictures, in batches, for several epochs. Each picture has five
# captions; each time it comes round, one of them is drawn. So the model cannot learn by heart, and
# has to find what the captions have in common: the picture.
#
# | after (at size cpu) | loss near | captions |
# |---|---|---|
# | a few batches | 3 | the same common words for all |
# | one epoch | 1.2 | right grammar, the right ground |
# | three epochs | 0.9 | the right things |
# | six epochs | 0.7 | colours and counts, mostly |


# %% nbgrader={"grade": false, "grade_id": "train", "locked": false, "schema_version": 3, "solution": true, "task": false}
def train_captioner(model, loss_fn, memory, captions, tokenizer, epochs, batch_size, learning_rate):
    """Trains `model` in place on pictures and their captions, and returns it.

    model, loss_fn: as in `overfit`.  memory (M, N, D): the pictures.  captions: M lists of strings.
    tokenizer: with_ends(caption) gives the ids from <bos> to <eos>; pad_id fills up.
    """
    # 1. Make the optimizer: Adam, all weights. Put the model in training mode.
    # 2. In each epoch draw a new order of the M pictures (torch.randperm) and cut it into batches.
    # 3. For each picture of a batch draw one of its captions (random.choice), encode it with both
    #    ends, and join them with text.pad: memory (B, N, D) and tokens (B, T), in one order.
    # 4. The loss; clear the gradients and compute new ones, clip their norm to 1
    #    (nn.utils.clip_grad_norm_), move the weights.
    # 5. Print the mean loss of each epoch, and return the model at the end.
    # Do not shuffle pictures and captions apart: the model would learn to ignore the picture.
    ### BEGIN SOLUTION
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    model.train()
    for epoch in range(epochs):
        losses = []
        for batch in torch.randperm(len(memory)).split(batch_size):
            ids = [tokenizer.with_ends(random.choice(captions[i])) for i in batch.tolist()]
            tokens, _ = text.pad(ids, tokenizer.pad_id)  # (B, T)
            loss = loss_fn(model, memory[batch], tokens, tokenizer.pad_id)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1:2}  loss {sum(losses) / len(losses):.3f}")
    return model
    ### END SOLUTION


# %% [markdown]
# The cell after the next trains; run it again whenever you have changed your function. To get words out of
# the trained model it is asked for one token at a time. A *step model* has `start(memory)`, which
# gives a state, and `step(tokens, state)`, which gives logits and the next state. Your model has
# only `forward`; `ByPrefix` makes a step model of it, by reading the whole caption again at every
# step.


# %% nbgrader={"grade": false, "grade_id": "describing", "locked": true, "schema_version": 3, "solution": false, "task": false}
class ByPrefix:
    """Any model(memory, tokens) as a step model; its state is the memory and the tokens so far."""

    def __init__(self, model):
        self.model = model.eval()

    def start(self, memory):
        return memory, torch.zeros(len(memory), 0, dtype=torch.long)  # (B, N, D), (B, 0)

    @torch.no_grad()
    def step(self, tokens, state):
        memory, so_far = state
        so_far = torch.cat([so_far, tokens[:, None]], 1)  # (B, t + 1)
        return self.model(memory, so_far)[:, -1], (memory, so_far)


def describe(model, memory):
    """memory (B, N, D) → B captions, by the course's greedy decoding."""
    tokens, _ = decoding.greedy(ByPrefix(model), memory, tokenizer.bos_id, tokenizer.eos_id)
    return [tokenizer.decode(each) for each in tokens]


# %% tags=["student"] nbgrader={"grade": false, "grade_id": "training_run", "locked": true, "schema_version": 3, "solution": false, "task": false}
given = (new_model(Model, seed), loss_fn, memory, captions, tokenizer)
trained = check.attempt(train_captioner, *given, **training, returns=nn.Module)

# %% nbgrader={"grade": true, "grade_id": "train_open", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check.captions.require(
    functools.partial(describe, trained), dev_memory, dev_captions, bleu_4, at_least=BLEU_4
)


# %% nbgrader={"grade": true, "grade_id": "train_hidden", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other pictures
### BEGIN HIDDEN TESTS
def hidden_train(tell, remember):
    pictures, references, _ = gather("test", settings["judged"], seed=7_340_918_263_551)
    again = check.other_data(check.captions)
    again.require(tell, remember(pictures), references, bleu_4, at_least=BLEU_4)


hidden_train(functools.partial(describe, trained), remember)
### END HIDDEN TESTS

# %% [markdown]
# ## 8 · Greedy decoding
# *difficulty 3/5 · importance 4/5 · 30 minutes · 6 points*
#
# In training the model was handed the true words. Now nobody knows them: it has to go on from what
# it has just said itself. *Greedy* decoding takes the likeliest token at every step. All pictures
# of a batch take their steps together, and end at different times: one that has ended must not
# stop the others, and whatever the model says after its `<eos>` is not part of the caption.


# %% nbgrader={"grade": false, "grade_id": "greedy", "locked": false, "schema_version": 3, "solution": true, "task": false}
def greedy(model, memory, bos_id, eos_id, max_len=30):
    """The likeliest next token, step after step, for all pictures of a batch.

    model: a step model; start(memory) → state, and step(tokens (B,), state) → logits (B, V), state.
    memory (B, N, D).  bos_id, eos_id: int.  max_len: the most tokens of a caption.
    Returns a list of B lists of int, without <bos> and <eos>; some may be empty.
    """
    # 1. Ask for the state; the first tokens (B,) are all bos_id.
    # 2. At most max_len times: a step, then for each picture the token with the largest logit (B,).
    # 3. Add each token to its caption, unless this caption has ended; one ends at its first eos_id.
    # 4. Hand the chosen tokens and the new state to the next step.
    # Do not stop when one caption ends, and do not keep <bos> or <eos>.
    ### BEGIN SOLUTION
    state = model.start(memory)
    tokens = torch.full((len(memory),), bos_id)
    captions, open_ones = [[] for _ in memory], set(range(len(memory)))
    for _ in range(max_len):
        logits, state = model.step(tokens, state)
        tokens = logits.argmax(-1)  # (B,)
        for b in sorted(open_ones):
            if tokens[b] == eos_id:
                open_ones.remove(b)
            else:
                captions[b].append(int(tokens[b]))
        if not open_ones:
            break
    return captions
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "greedy_open", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check.greedy.require(greedy)


# %% nbgrader={"grade": true, "grade_id": "greedy_hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is graded, this cell asks for the same on other data
### BEGIN HIDDEN TESTS
def hidden_greedy(greedy):
    again = check.other_data(check.greedy)
    scripts = [[3, 8, 8, 1, 1, 0], [5, 8, 0], [0], [3] * 20, [1, 0]]
    again.require(greedy, scripts, V=12, bos_id=7, eos_id=0, lost=11, after=4, max_len=9)
    again.require(greedy, [[4, 4, 6, 2]], V=8, bos_id=3, eos_id=2, lost=7, after=5, max_len=5)


hidden_greedy(greedy)
### END HIDDEN TESTS

# %% [markdown]
# ## 9 · Read the failures
#
# Your captioner speaks, about pictures it has never seen. Since the scenes are known, every claim
# of a caption can be proved right or wrong: the table counts, for each kind of claim, how many are
# true.


# %% tags=["student"] nbgrader={"grade": false, "grade_id": "failures", "locked": true, "schema_version": 3, "solution": false, "task": false}
def share_right(told, facts):
    """For each kind of claim: the number of claims, and the share that is true."""
    made, right = Counter(), Counter()
    for one, known in zip(told, facts, strict=True):
        made.update(claim[0] for claim in claims(one))
        right.update(claim[0] for claim in claims(one) & known)
    return {kind: (made[kind], right[kind] / made[kind]) for kind in sorted(made)}


def report_failures():
    """The table of claims, and eight pictures with what your captioner says of them."""
    told = describe(trained, dev_memory)
    print("kind      claims   right")
    for kind, (count, share) in share_right(told, dev_facts).items():
        print(f"{kind:8} {count:7} {share:7.0%}")
    figure = plots.show_pictures(dev_images[:8], told[:8], title="What your captioner says")
    plots.show(figure, alt="Eight scenes, each with its caption: " + "; ".join(told[:8]))
    sizes.report(Bleu_4=bleu_4(told, dev_captions))


if isinstance(trained, nn.Module):
    report_failures()
else:
    print("Train your captioner in question 7, then run this cell.")

# %% [markdown]
# *difficulty 3/5 · importance 4/5 · 20 minutes · 4 points, marked by a person*
#
# Answer in the cell below, in about 150 words:
#
# 1. Which two kinds of claim are wrong most often, as a share of the claims of their kind? Give the
#    numbers of your table. *(1 point)*
# 2. Give a reason that lies in how the picture reaches the LSTM in *this* model. *(2 points)*
# 3. Describe one experiment that could show your reason to be wrong: what would you change, what
#    would you measure, and which result would speak against you? *(1 point)*

# %% [markdown] nbgrader={"grade": true, "grade_id": "reading_failures", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# 1. The kinds with the lowest shares of the table, with their numbers; at size `cpu` usually place, of
#    which there are few, and colour.
# 2. Any one of these, tied to the kinds named. Of each feature only the largest value over all
#    places is kept, so "red" and "boat" arrive without the knowledge that they belong together:
#    with two things colours get exchanged. For the same reason two equal boats can look like one. Or:
#    the picture enters once, as the first input, and has to last in the cell state; what is said
#    late in a caption is further from it. Or: the encoder is frozen, and what it tells apart
#    badly no captioner can bring back. One point for a reason that fits the model, one for tying it to the numbers.
# 3. For instance: count wrong colours separately in scenes with one kind of thing and in scenes
#    with several. If pooling is to blame, one kind of thing should be nearly free of wrong
#    colours; equal shares would speak against it. The point needs a change, a measure and a result
#    that refutes.
# ### END SOLUTION
