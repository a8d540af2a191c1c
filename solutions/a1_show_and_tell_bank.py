"""Answers that prove the tests of assignment a1: wrong ones, each a mistake that students make, and right ones
written in another way. A wrong answer loses exactly the points of `loses`, and `message` is in its verdict.

Most are the model answer with one thing changed. Independent questions stay independent: a wrong captioner or loss
loses nothing in train, because the course's own parts stand in there, unless it has fooled its open test.
"""

# fmt: off
from coursekit.grading.bank import Answers

answers = Answers(__file__)
wrong, right, WRONG, RIGHT = answers.wrong, answers.right, answers.WRONG, answers.RIGHT
# What fits only the open test counts as right there, so it is used, and then it does not work
USED = ["train_open", "train_hidden"]


# --- vocabulary ---------------------------------------------------------------------------------
ORDER = "sorted(kept, key=lambda word: (-counts[word], word))"
BARE = '"".join(letter for letter in caption.lower() if letter not in ".,!?")'
wrong("vocabulary", "capitals-kept", ("caption.lower()", "caption"), message="capitals: 'Red' and 'red' are one word")
wrong("vocabulary", "punctuation-kept", (BARE, "caption.lower()"), message="punctuation: 'ball.' and 'ball!' are one")
wrong("vocabulary", "min-count-off-by-one", (">= min_count", "> min_count"), message="min_count = 2 keeps a word")
wrong("vocabulary", "min-count-unused", (" if counts[word] >= min_count", ""), message="min_count is not used")
# As a set would give them, but the same at every run
wrong("vocabulary", "order-of-a-set", (ORDER, "sorted(set(kept), key=lambda word: word[::-1])"), message="a set or")
wrong("vocabulary", "ties-as-they-come", (ORDER, "sorted(kept, key=lambda word: -counts[word])"), message="by alphabet")
wrong("vocabulary", "alphabetical", (ORDER, "sorted(kept)"), message="the commonest word comes first")
wrong("vocabulary", "special-last", ("SPECIAL + " + ORDER, ORDER + " + SPECIAL"), message="special tokens come first")
wrong(
    "vocabulary", "a-dictionary", ("return SPECIAL + " + ORDER,
    "return {word: i for i, word in enumerate(SPECIAL + " + ORDER + ")}"), message="a list of words",
)
ENDS = 'return [id_of["<bos>"], *ids, id_of["<eos>"]]'
wrong("vocabulary", "no-ends", (ENDS, "return ids"), message="begins with <bos> and ends with <eos>")
wrong("vocabulary", "no-eos", (ENDS, 'return [id_of["<bos>"], *ids]'), message="a model would never learn to stop")
wrong(
    "vocabulary", "unknown-left-out", ('id_of.get(word, id_of["<unk>"]) for word in split_words(caption)',
    "id_of[word] for word in split_words(caption) if word in id_of"), message="it is not left out",
)
wrong("vocabulary", "unknown-is-padding", ('id_of.get(word, id_of["<unk>"])', "id_of.get(word, 0)"), message="masked")
wrong(
    "vocabulary", "unknown-crashes", ('id_of.get(word, id_of["<unk>"])', "id_of[word]"),
    message="KeyError: 'purple' in line",
)
wrong(
    "vocabulary", "encode-splits-otherwise",
    ("for word in split_words(caption)]\n    return [id", "for word in caption.split()]\n    return [id"),
    message="encode must split a caption as build_vocabulary",
)
wrong(
    "vocabulary", "hard-coded", loses=["hidden"], message="vocabulary, on other data", source='''
def build_vocabulary(captions, min_count=1):
    words = ["<pad>", "<bos>", "<eos>", "<unk>", "a", "and", "boat", "ball", "red", "zebra"]
    return words + ["cat", "small", "the"] * (min_count == 1)


def encode(caption, vocabulary):
    return [1, 4, 3, 6, 5, 4, 8, 9, 2]
''',
)
right("vocabulary", "regular-expression-and-most-common", source='''
import re


def build_vocabulary(captions, min_count=1):
    found = Counter()
    for caption in captions:
        found.update(re.findall("[a-z]+", caption.lower()))
    words = []
    for word, count in sorted(sorted(found.items()), key=lambda pair: pair[1], reverse=True):
        if not count < min_count:
            words += [word]
    return tuple(SPECIAL) + tuple(words)


def encode(caption, vocabulary):
    ids = torch.ones(1, dtype=torch.long).tolist()
    for word in re.findall("[a-z]+", caption.lower()):
        ids.append(vocabulary.index(word) if word in vocabulary else 3)
    return torch.tensor(ids + [2])
''')

# --- padding ------------------------------------------------------------------------------------
FILLED = "torch.full((len(sequences), int(lengths.max())), pad_id)"
wrong("padding", "with-zeros", (FILLED, FILLED.replace("pad_id", "0")), message="filled with 0: use pad_id")
wrong("padding", "with-bos", (FILLED, FILLED.replace("pad_id", "1")), message="the id of <bos>: use pad_id")
wrong("padding", "before-the-words", ("row[: len(sequence)]", "row[-len(sequence) :]"), message="it belongs after them")
wrong(
    "padding", "cut-to-the-shortest", (FILLED, FILLED.replace("max", "min")),
    ("torch.tensor(sequence)", "torch.tensor(sequence)[: len(row)]"), message="T is the length of the longest",
)
wrong("padding", "always-twenty", (FILLED, "torch.full((len(sequences), 20), pad_id)"), message="shape (3, 7)")
wrong("padding", "floats", (FILLED, FILLED[:-1] + ", dtype=torch.float)"), message="give dtype=torch.long")
wrong(
    "padding", "lengths-after-filling", ("return tokens, lengths", "return tokens, lengths * 0 + tokens.shape[1]"),
    message="count each sequence before it is filled up",
)
wrong("padding", "no-lengths", ("return tokens, lengths", "return tokens"), message="return tokens, lengths")
wrong(
    "padding", "callers-lists-change", message="append and extend change the caller's lists", source='''
def pad(sequences, pad_id):
    lengths = [len(sequence) for sequence in sequences]
    for sequence in sequences:
        while len(sequence) < max(lengths):
            sequence.append(pad_id)
    return torch.tensor(sequences), torch.tensor(lengths)
''',
)
wrong(
    "padding", "hard-coded", loses=["hidden"], message="padding, on other data", source='''
def pad(sequences, pad_id):
    rows = [[1, 5, 9, 5, 2, 11, 11], [1, 7, 2, 11, 11, 11, 11], [1, 4, 4, 8, 6, 3, 2]]
    return torch.tensor(rows), torch.tensor([5, 3, 7])
''',
)
right("padding", "numpy-and-lists", source='''
import numpy as np


def pad(seqs, fill):
    longest = max(len(s) for s in seqs)
    return np.array([s + [fill] * (longest - len(s)) for s in seqs], dtype=np.int32), [len(s) for s in seqs]
''')
right("padding", "pad-sequence", source='''
def pad(sequences, pad_id):
    rows = [torch.tensor(s) for s in sequences]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad_id), torch.tensor(list(map(len, rows)))
''')

# --- lstm_step ----------------------------------------------------------------------------------
NEXT_C = "torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)"
wrong("lstm_step", "gates-i-g-f-o", ("i, f, g, o = a", "i, g, f, o = a"), message="in the order i, g, f, o;")
wrong("lstm_step", "gates-i-f-o-g", ("i, f, g, o = a", "i, f, o, g = a"), message="in the order i, f, o, g;")
wrong("lstm_step", "gates-f-i-g-o", ("i, f, g, o = a", "f, i, g, o = a"), message="in the order f, i, g, o;")
wrong("lstm_step", "no-tanh-on-c", ("torch.tanh(next_c), next_c", "next_c, next_c"), message="the tanh is missing")
wrong("lstm_step", "no-output-gate", ("torch.sigmoid(o) * ", ""), message="the output gate is missing")
wrong("lstm_step", "old-c", ("torch.tanh(next_c)", "torch.tanh(c)"), message="h' uses the old c; it needs the new one")
wrong("lstm_step", "sigmoid-on-g", ("torch.tanh(g)", "torch.sigmoid(g)"), message="g goes through tanh")
wrong("lstm_step", "no-bias-hh", (" + bias_hh", ""), message="bias_hh is not added")
wrong("lstm_step", "no-forget-gate", ("torch.sigmoid(f) * c", "c"), message="the forget gate is missing")
wrong("lstm_step", "h-is-not-read", (" + h @ weight_hh.T", ""), message="h @ weight_hh.T is not added")
wrong(
    "lstm_step", "results-exchanged", ("torch.sigmoid(o) * torch.tanh(next_c), next_c",
    "next_c, torch.sigmoid(o) * torch.tanh(next_c)"), message="the two results are exchanged",
)
wrong("lstm_step", "only-h", (" * torch.tanh(next_c), next_c", " * torch.tanh(next_c)"), message="two results, h and c")
wrong(
    "lstm_step", "c-in-place", ("next_c = " + NEXT_C,
    "c *= torch.sigmoid(f)\n    c += torch.sigmoid(i) * torch.tanh(g)\n    next_c = c"),
    message="writes into the caller's tensor",
)
wrong("lstm_step", "not-transposed", ("weight_ih.T", "weight_ih"), message="RuntimeError: mat1 and mat2 shapes")
wrong(
    "lstm_step", "hard-coded", loses=["hidden"], message="lstm_step, on other data", source='''
def lstm_step(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    h = [[0.042966, -0.664641, -0.012533], [-0.218195, -0.278386, 0.376617]]
    c = [[0.043262, -1.148452, -0.014278], [-0.310794, -0.779667, 0.633491]]
    return torch.tensor(h), torch.tensor(c)
''',
)
right("lstm_step", "numpy", source='''
import numpy as np


def lstm_step(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    def squash(z):
        return 1 / (1 + np.exp(-z))

    x, h, c, *weights = (np.asarray(part) for part in (x, h, c, weight_ih, weight_hh, bias_ih, bias_hh))
    z = np.concatenate([x, h], 1) @ np.concatenate(weights[:2], 1).T + weights[2] + weights[3]
    i, f, g, o = np.split(z, 4, axis=-1)
    new = squash(f) * c + squash(i) * np.tanh(g)
    return squash(o) * np.tanh(new), new
''')
right("lstm_step", "loops-in-float64", source='''
def lstm_step(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    B, H = h.shape
    new_h, new_c = torch.zeros(B, H, dtype=torch.float64), torch.zeros(B, H, dtype=torch.float64)
    for b in range(B):
        for u in range(H):
            a = []
            for gate in range(4):
                row = gate * H + u
                total = bias_ih[row].double() + bias_hh[row].double()
                total = total + (weight_ih[row].double() * x[b]).sum() + (weight_hh[row].double() * h[b]).sum()
                a.append(total)
            new_c[b, u] = a[1].sigmoid() * c[b, u] + a[0].sigmoid() * a[2].tanh()
            new_h[b, u] = a[3].sigmoid() * new_c[b, u].tanh()
    return new_h, new_c
''')
right("lstm_step", "in-place-on-its-own", source='''
def lstm_step(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    a, H = F.linear(x, weight_ih, bias_ih), h.size(1)
    a += F.linear(h, weight_hh, bias_hh)
    c = c.clone()
    c *= a[:, H : 2 * H].sigmoid_()
    c += a[:, :H].sigmoid_() * a[:, 2 * H : -H].tanh_()
    return [a[:, -H:].sigmoid_().mul_(c.tanh()), c]
''')

# --- masked_loss --------------------------------------------------------------------------------
LOSS = "F.cross_entropy(guesses[real], targets[real])"
EACH = 'F.cross_entropy(guesses.transpose(1, 2), targets, reduction="none")'
wrong("masked_loss", "mean-over-padding", (LOSS, "F.cross_entropy(guesses.flatten(0, 1), targets.flatten())"),
      message="the mean is over padding too")
wrong("masked_loss", "padding-is-counted", (LOSS, f"({EACH} * real).mean()"), message="padding adds 0 to the sum but")
wrong("masked_loss", "sum", (LOSS, f"({EACH} * real).sum()"), message="this is the sum; divide by the number of real")
wrong("masked_loss", "sum-per-caption", (LOSS, f"({EACH} * real).sum(1).mean()"), message="the sum for each caption")
wrong("masked_loss", "mean-of-means", (LOSS, f"(({EACH} * real).sum(1) / real.sum(1)).mean()"),
      message="short captions weigh more")
wrong("masked_loss", "not-shifted", ("logits[:, :-1], tokens[:, 1:]", "logits, tokens"), message="nothing is shifted")
wrong("masked_loss", "targets-not-shifted", ("tokens[:, 1:]", "tokens[:, :-1]"), message="nothing is shifted")
wrong("masked_loss", "shifted-backwards", ("logits[:, :-1], tokens[:, 1:]", "logits[:, 1:], tokens[:, :-1]"),
      message="shifted the wrong way")
wrong("masked_loss", "rolled", ("logits[:, :-1], tokens[:, 1:]", "logits, tokens.roll(-1, 1)"), message="roll brings")
wrong("masked_loss", "softmax-twice", ("guesses[real],", "guesses[real].softmax(-1),"), message="softmax twice")
wrong("masked_loss", "eos-left-out", ("targets != pad_id", "(targets != pad_id) & (targets != 2)"),
      message="<eos> is left out")
wrong("masked_loss", "mask-of-inputs", ("targets != pad_id", "tokens[:, :-1] != pad_id"), message="looks at the inputs")
wrong("masked_loss", "zero-is-padding", ("targets != pad_id", "targets != 0"), message="compare with pad_id")
wrong("masked_loss", "a-plain-number", (LOSS, LOSS + ".item()"), message="backward() could not follow it",
      loses=["open"])
wrong("masked_loss", "not-reduced", (LOSS, LOSS[:-1] + ', reduction="none")'), message="one number: the mean over all")
wrong("masked_loss", "hard-coded", loses=["hidden"], drags=USED, message="masked_loss, on other data", source='''
def masked_loss(logits, tokens, pad_id):
    real = (tokens[:, 1:] != pad_id)[..., None]
    return (logits[:, :-1] * real).sum() * 0 + (2.56196 if pad_id == 0 else 2.12433)
''')
right("masked_loss", "ignore-index-in-float64", source='''
def masked_loss(logits, tokens, pad_id):
    logits = logits.double()[:, :-1].reshape(-1, logits.shape[-1])
    return nn.CrossEntropyLoss(ignore_index=pad_id)(logits, tokens[:, 1:].flatten())
''')
right("masked_loss", "loops", source='''
def masked_loss(logits, tokens, pad_id):
    total, count = 0.0, 0
    for caption, said in zip(tokens.tolist(), logits):
        for t in range(len(caption) - 1):
            if caption[t + 1] == pad_id:
                continue
            total = total + said[t].logsumexp(0) - said[t][caption[t + 1]]
            count += 1
    return total / count
''')
right("masked_loss", "mask-and-gather", source='''
def masked_loss(logits, tokens, pad_id):
    target = tokens[:, 1:]
    log_p = torch.log_softmax(logits, dim=2)[:, :-1].gather(2, target.unsqueeze(2)).squeeze(2)
    mask = (target != pad_id).float()
    return -(log_p * mask).sum() / mask.sum()
''')

# --- captioner ----------------------------------------------------------------------------------
JOINED = "torch.cat([picture[:, None], words], 1)"
OUT = "self.head(outputs[:, 1:])"
wrong("captioner", "mean-over-places", ("memory.amax(1)", "memory.mean(1)"), message="the mean over the N places")
wrong("captioner", "sum-over-places", ("memory.amax(1)", "memory.sum(1)"), message="the sum over the N places")
wrong("captioner", "first-place-only", ("memory.amax(1)", "memory[:, 0]"), message="only the first of the N places")
wrong("captioner", "picture-at-every-word", (JOINED, "words + picture[:, None]"), ("outputs[:, 1:]", "outputs"),
      message="the picture is added to every word")
wrong("captioner", "picture-first-and-at-every-word", (JOINED, "torch.cat([picture[:, None], words + picture[:, None]], 1)"),
      message="the picture is added to every word")
wrong("captioner", "picture-unused", (JOINED, "words"), ("outputs[:, 1:]", "outputs"), message="picture is not used")
wrong("captioner", "picture-last", (JOINED, "torch.cat([words, picture[:, None]], 1)"), message="the model looks ahead")
wrong("captioner", "first-output-kept", ("outputs[:, 1:]", "outputs"), message="is still there: drop the first")
wrong("captioner", "last-output-dropped", ("outputs[:, 1:]", "outputs[:, :-1]"), message="the last output was dropped")
wrong("captioner", "no-head", (OUT, "outputs[:, 1:]"), message="the head makes logits of them")
wrong("captioner", "probabilities", (OUT, OUT + ".softmax(-1)"), message="these are probabilities")
wrong("captioner", "last-place-only", ("outputs[:, 1:]", "outputs[:, -1]"), message="the logits at all T places")
wrong("captioner", "along-the-batch", (f"self.recurrent({JOINED})", f"self.recurrent({JOINED}.transpose(0, 1))"),
      ("outputs[:, 1:]", "outputs.transpose(0, 1)[:, 1:]"), message="the LSTM runs along the batch")
wrong("captioner", "no-time-axis", ("picture[:, None]", "picture"), message="RuntimeError: Tensors must have")
wrong("captioner", "hard-coded", loses=["hidden"], drags=USED, message="captioner, on other data", source='''
from coursekit.checks import a1


class Captioner(CaptionerLayers):
    def forward(self, memory, tokens):
        logits = torch.tensor(a1.EXPECTED) + 1e-3 * (memory[-1].mean() - a1.MEMORY[-1].mean())
        return logits[-len(tokens) :]
''')
right("captioner", "picture-makes-the-state", source='''
class Captioner(CaptionerLayers):
    def forward(self, memory, tokens):
        look = self.from_image(memory.max(dim=1)[0]).unsqueeze(1)
        _, state = self.recurrent(look)
        out, _ = self.recurrent(self.embedding(tokens), state)
        return self.head(out)
''')
right("captioner", "step-by-step", source='''
class Captioner(CaptionerLayers):
    def forward(self, memory, tokens):
        pooled = torch.stack([place for place in memory.unbind(1)]).max(0).values
        _, (h, c) = self.recurrent(self.from_image(pooled)[:, None, :])
        logits = []
        for t in range(tokens.size(1)):
            shown, (h, c) = self.recurrent(self.embedding(tokens[:, t : t + 1]), (h, c))
            logits += [self.head(shown)]
        return torch.cat(logits, dim=1)
''')

# --- overfit ------------------------------------------------------------------------------------
MADE = "    optimizer = torch.optim.Adam(model.parameters(), learning_rate)\n"
wrong("overfit", "no-step", ("        optimizer.step()\n", ""), message="weights that change")
wrong("overfit", "no-backward", ("        loss.backward()\n", ""), message="weights that change")
wrong("overfit", "gradients-cleared-after-backward",
      ("        optimizer.zero_grad()\n        loss.backward()\n", "        loss.backward()\n        optimizer.zero_grad()\n"),
      message="weights that change")
wrong("overfit", "no-zero-grad", ("        optimizer.zero_grad()\n", ""), message="gradients add up from step to step")
wrong("overfit", "own-learning-rate", ("learning_rate)\n    model", "1e-5)\n    model"), message="the learning rate that")
wrong("overfit", "only-the-head", ("Adam(model.parameters()", "Adam(model.head.parameters()"), message="never move")
wrong("overfit", "returns-in-the-loop", ("    return losses", "        return losses"), message="return after the loop, not in it")
wrong("overfit", "returns-the-last-loss", ("return losses", "return losses[-1]"), message="return the loss of every")
wrong("overfit", "returns-nothing", ("    return losses", ""), message="return the loss of every step")
wrong("overfit", "plain-gradient-descent", ("optim.Adam", "optim.SGD"), message="Adam does well")
wrong("overfit", "hard-coded", message="weights that change", source='''
def overfit(model, loss_fn, memory, tokens, pad_id, steps, learning_rate):
    return [4.5 * 0.97**step for step in range(steps)]
''')
right("overfit", "adamw-and-a-tensor", source='''
def overfit(model, loss_fn, memory, tokens, pad_id, steps, learning_rate):
    opt, history = torch.optim.AdamW(list(model.parameters()), lr=learning_rate), torch.zeros(steps)
    while opt.state_dict()["state"].get(0, {"step": 0})["step"] < steps:
        step = int(opt.state_dict()["state"].get(0, {"step": 0})["step"])
        model.zero_grad(set_to_none=True)
        current = loss_fn(model, memory, tokens, pad_id)
        current.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        opt.step()
        history[step] = current.detach()
    return history
''')
right("overfit", "gradients-cleared-last", ("        optimizer.zero_grad()\n", ""),
      ("        optimizer.step()\n", "        optimizer.step()\n        optimizer.zero_grad()\n"),
      ("loss.item()", "loss.detach().numpy()"))

# --- train --------------------------------------------------------------------------------------
IDS = "random.choice(captions[i])) for i in batch.tolist()"
wrong("train", "shuffled-apart", (IDS, IDS.replace("in batch", "in torch.randperm(len(memory))[: len(batch)]")),
      message="in the same order?")
wrong("train", "place-in-the-batch", (IDS, IDS.replace("batch.tolist()", "range(len(batch))")),
      message="in the same order?")
wrong("train", "no-ends", ("tokenizer.with_ends(", "tokenizer.encode("), message="do not end")
wrong("train", "no-end", ("ids = [tokenizer.with_ends(", "ids = [[1] + tokenizer.encode("), message="do not end")
wrong("train", "first-batch-only", ("            losses.append(loss.item())\n",
      "            losses.append(loss.item())\n            break\n"), message="next to nothing is learned")
wrong("train", "no-step", ("            optimizer.step()\n", ""), message="next to nothing is learned")
wrong("train", "returns-nothing", ("    return model", ""), message="train_captioner returns a Module")
wrong("train", "returns-losses", ("return model", "return losses"), message="train_captioner returns a Module")
wrong("train", "crashes", ("memory[batch]", "memory[batch.tolist()[0]]"), message="the code stopped with an error")
right("train", "all-captions-with-a-schedule", source='''
def train_captioner(model, loss_fn, memory, captions, tokenizer, epochs, batch_size, learning_rate):
    pairs = [(i, tokenizer.with_ends(c)) for i, each in enumerate(captions) for c in each]
    steps = epochs * len(memory) // batch_size
    opt = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)
    for _ in range(steps):
        chosen = random.sample(pairs, batch_size)
        tokens, _ = text.pad([ids for _, ids in chosen], tokenizer.pad_id)
        opt.zero_grad()
        loss_fn(model, memory[[i for i, _ in chosen]], tokens, tokenizer.pad_id).backward()
        opt.step()
        rate.step()
    return model.eval()
''')

# --- greedy -------------------------------------------------------------------------------------
STOP = """            if tokens[b] == eos_id:
                open_ones.remove(b)
            else:
                captions[b].append(int(tokens[b]))
"""
ADD = "captions[b].append(int(tokens[b]))\n"
wrong("greedy", "keeps-eos", (STOP, f"            {ADD}            if tokens[b] == eos_id:\n                open_ones.remove(b)\n"),
      message="<eos> is a signal, not a word")
wrong("greedy", "keeps-bos", ("[[] for _ in memory]", "[[bos_id] for _ in memory]"), message="<bos> is where you begin")
wrong("greedy", "never-stops", (STOP, f"            {ADD}"), message="a caption stops at <eos>")
wrong("greedy", "words-after-eos-stay", (STOP, f"            if tokens[b] != eos_id:\n                {ADD}"),
      message="<eos> is removed, but the words after it stay")
wrong("greedy", "all-stop-with-the-first", ("if not open_ones:", "if len(open_ones) < len(captions):"),
      message="all captions stop with the first that ends", loses=["open", "hidden"])
wrong("greedy", "bos-at-every-step", ("model.step(tokens, state)", "model.step(torch.full((len(memory),), bos_id), state)"),
      message="<bos> at every step")
wrong("greedy", "state-not-kept", ("logits, state = model.step", "logits, _ = model.step"), message="keep it, `logits, state")
wrong("greedy", "argmax-over-the-batch", ("logits.argmax(-1)", "logits.argmax(0)"), message="argmax over the wrong axis?")
wrong("greedy", "one-word-too-few", ("range(max_len)", "range(max_len - 1)"), message="one word too few")
wrong("greedy", "one-word-too-many", ("range(max_len)", "range(max_len + 1)"), message="one word too many")
wrong("greedy", "largest-absolute-logit", ("logits.argmax(-1)", "logits.abs().argmax(-1)"), message="with the largest logit")
wrong("greedy", "drawn-at-random", ("logits.argmax(-1)", "torch.multinomial(logits.softmax(-1), 1)[:, 0]"),
      message="with the largest logit")
wrong("greedy", "begins-with-padding", ("torch.full((len(memory),), bos_id)", "torch.zeros(len(memory), dtype=torch.long)"),
      message="begin with bos_id")
wrong("greedy", "first-picture-only", ("return captions", "return captions[:1]"), message="one list of tokens for each picture")
wrong("greedy", "hard-coded", loses=["hidden"], message="greedy, on other data", source='''
def greedy(model, memory, bos_id, eos_id, max_len=30):
    return [[5, 3, 3, 7], [4], [], [8, 4, 8, 4, 8, 4]]
''')
right("greedy", "one-picture-at-a-time", source='''
def greedy(model, memory, bos_id, eos_id, max_len=30):
    found = []
    for k in range(memory.shape[0]):
        state, word, said = model.start(memory[k : k + 1]), bos_id, []
        while len(said) < max_len:
            scores, state = model.step(torch.tensor([word]), state)
            word = int(scores[0].topk(1).indices)
            if word == eos_id:
                break
            said.append(word)
        found.append(said)
    return found
''')
right("greedy", "all-steps-then-cut", source='''
@torch.no_grad()
def greedy(model, memory, bos_id, eos_id, max_len=30):
    state, steps = model.start(memory), [memory.new_full((len(memory),), bos_id).long()]
    for _ in range(max_len):
        logits, state = model.step(steps[-1], state)
        steps.append(logits.log_softmax(1).max(dim=1).indices)
    table = torch.stack(steps[1:], 1).numpy()
    return [list(row[: (row == eos_id).argmax()]) if eos_id in row else list(row) for row in table]
''')
