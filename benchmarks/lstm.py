"""Training Show and Tell against a loop over words, as tutorials write it: the same weights and losses, in one run.

    python benchmarks/lstm.py [--sizes scenes photos] [--captions 1280] [--threads 1] [--repeats 5] [--json FILE]

Ours is the course's model: one call of nn.LSTM for a batch, and logits at real tokens only. The loop calls nn.LSTMCell
for each place of a padded batch and takes logits there, padding included; its loss then leaves padding out. Pictures
are random features of the shape that the course's encoders give, without dropout. "scenes" has real captions of
scenes and the recipe's sizes; "photos" has random words, as many as Flickr8k's captions hold five times or more, in captions whose lengths are
spread like those of its people: 10.8 words in the mean, deviation 3.7. A step is forward, backward and AdamW on one
batch that both sides get. A pass is forward and backward over all captions: ours in batches of like lengths, as the
course trains, the loop in batches at random; weights stand still, so the mean loss must be the same. Operations are those
of real tokens; backward costs two forwards. Ends with exit code 1 if losses differ.
"""

import random

import harness
import torch
from torch import nn
from torch.nn import functional as F

from coursekit.datasets.scenes import Scenes
from coursekit.models.lstm import ShowAndTell, caption_loss
from coursekit.text import WordTokenizer, pad
from coursekit.training import bucketed_batches

PAD, BOS, EOS, FIRST = 0, 1, 2, 4
SIZES = {
    "scenes": dict(embed_dim=128, hidden_dim=384, places=16, features=256, V=None),
    "photos": dict(embed_dim=256, hidden_dim=384, places=1, features=1280, V=2540),
}
WORDS, DEVIATION, LONGEST = 10.8, 3.7, 36  # of Flickr8k's 30,000 training captions
BATCH = 64


class PerStep(nn.Module):
    """Show and Tell as a loop over `nn.LSTMCell`, sharing the other layers of `model` and copying its LSTM."""

    def __init__(self, model):
        super().__init__()
        self.embedding, self.head, self.from_image = model.embedding, model.head, model.from_image
        self.cell = nn.LSTMCell(model.embedding.embedding_dim, model.hidden_dim)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        own = model.recurrent.state_dict()
        self.cell.load_state_dict({name: own[f"{name}_l0"] for name in names})

    def forward(self, memory, tokens):
        """memory (B, N, D), tokens (B, T) → logits (B, T, V)."""
        h, c = (part.tanh() for part in self.from_image(memory.amax(1)).chunk(2, dim=1))  # (B, H)
        logits = []
        for word in self.embedding(tokens).unbind(1):
            h, c = self.cell(word, (h, c))
            logits.append(self.head(h))
        return torch.stack(logits, 1)


def per_step_loss(model, memory, tokens, pad_id):
    """As `caption_loss`, of a model that gives logits at every place."""
    logits = model(memory, tokens[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=pad_id)


def make_captions(name, count):
    """(token lists with bos and eos, V)."""
    if name == "scenes":
        texts = [text for each in Scenes("train", -(-count // 5)).captions for text in each][:count]
        tokenizer = WordTokenizer.train(texts)
        return [tokenizer.with_ends(text) for text in texts], len(tokenizer)
    V, rng = SIZES[name]["V"], random.Random(0)
    lengths = [min(max(round(rng.gauss(WORDS, DEVIATION)), 1), LONGEST) for _ in range(count)]
    return [[BOS, *(rng.randrange(FIRST, V) for _ in range(n)), EOS] for n in lengths], V


def make_pair(size, V):
    """{name: (model, its loss)}, with the same weights."""
    torch.manual_seed(0)
    shape = (V, size["features"], size["embed_dim"], size["hidden_dim"])
    models = [ShowAndTell(*shape, image_as="state", dropout=0.0) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    return {harness.OURS: (models[0], caption_loss), "loop": (PerStep(models[1]), per_step_loss)}


def batch_of(captions, memory, numbers):
    """(memory (B, N, D), padded tokens (B, T)) of the captions with these numbers."""
    tokens, _ = pad([captions[i] for i in numbers], PAD)
    return memory[list(numbers)], tokens


def step(model, loss_of, batch):
    """A task: one step of training; returns its loss."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)

    def task():
        loss = loss_of(model, *batch, PAD)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return task


def whole_pass(model, loss_of, batches):
    """A task: forward and backward over all batches; returns nats a token, whatever the batches are."""
    real = [int((tokens[:, 1:] != PAD).sum()) for _, tokens in batches]

    def task():
        model.zero_grad()
        total = 0.0
        for batch, count in zip(batches, real, strict=True):
            loss = loss_of(model, *batch, PAD) * (count / sum(real))
            loss.backward()
            total += loss.item()
        return total

    return task


def operations(size, V, captions):
    """Floating-point operations of a forward pass over the real tokens of captions, each with a picture."""
    E, H = size["embed_dim"], size["hidden_dim"]
    real = sum(len(caption) - 1 for caption in captions)
    return 2 * (real * (4 * H * (E + H) + H * V) + len(captions) * size["features"] * 2 * H)


def rows_of(name, options):
    """A row for the step, and one for the pass."""
    size = SIZES[name]
    captions, V = make_captions(name, options.captions)
    memory = torch.randn(len(captions), size["places"], size["features"])
    like = bucketed_batches([len(caption) for caption in captions], BATCH)
    order = random.Random(0).sample(range(len(captions)), len(captions))
    mixed = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    padded = {"like": padding(captions, like), "mixed": padding(captions, mixed)}

    def compare(task, tasks, part, note):
        real = sum(len(caption) - 1 for caption in part)
        flops = 3 * operations(size, V, part)
        return harness.compare(
            f"{name}: {task}", tasks, options, real, "tokens", operations=flops, note=note
        )

    batch = batch_of(captions, memory, mixed[0])
    tasks = {side: step(*each, batch) for side, each in make_pair(size, V).items()}
    note = f"{V:,} words; {padding(captions, mixed[:1]):.0%} of the batch is padding"
    yield compare("a step", tasks, [captions[i] for i in mixed[0]], note)
    own = {harness.OURS: like, "loop": mixed}
    tasks = {
        side: whole_pass(*each, [batch_of(captions, memory, one) for one in own[side]])
        for side, each in make_pair(size, V).items()
    }
    note = f"padding: ours {padded['like']:.1%}, loop {padded['mixed']:.0%}"
    yield compare("a pass", tasks, captions, note)


def padding(captions, batches):
    """Which share of the places of these batches is padding."""
    places = sum(len(each) * (max(len(captions[i]) for i in each) - 1) for each in batches)
    return 1 - sum(len(captions[i]) - 1 for each in batches for i in each) / places


def main():
    """Prints the comparison, a row as soon as it is measured."""
    parser = harness.parser(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--captions", type=int, default=1280)
    options = harness.begin(parser.parse_args())
    rows = (row for name in options.sizes for row in rows_of(name, options))
    harness.report("lstm", rows, options)


if __name__ == "__main__":
    main()
