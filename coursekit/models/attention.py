"""Show, Attend and Tell: an LSTM that looks at the picture anew before every word (Xu et al. 2015)."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from coursekit.errors import CourseError

ENTROPY = 0.01  # how much a hard attention is paid for staying undecided (Xu et al., eq. 12)
REMEMBERED = 0.9  # how slowly the baseline of the reward follows it (Xu et al., sec. 4.1)


class AdditiveAttention(nn.Module):
    """How well each place fits the state: v · tanh(k + W h) (Bahdanau et al. 2015; Xu et al., eq. 4)."""

    def __init__(self, hidden_dim, attention_dim):
        super().__init__()
        self.query = nn.Linear(hidden_dim, attention_dim)
        self.energy = nn.Linear(attention_dim, 1, bias=False)

    def forward(self, keys, h):
        """keys (B, N, A) of the places, h (B, H) → scores (B, N), before softmax."""
        mixed = (keys + self.query(h)[:, None]).tanh()  # (B, N, A)
        return self.energy(mixed)[..., 0]  # (B, N)


class ShowAttendAndTell(nn.Module):
    """A step model that weighs the places of a picture before every word (Xu et al. 2015).

    memory (B, N, D) keeps all its places. With `attention="soft"` a word sees their weighted mean (eq. 13); with
    "hard" one place, drawn in training (eq. 8) and the likeliest one when it speaks. `attention_loss` trains both.
    """

    def __init__(
        self,
        vocab_size,
        memory_dim,
        embed_dim=256,
        hidden_dim=384,
        attention_dim=256,
        attention="soft",
        dropout=0.3,
    ):
        super().__init__()
        if attention not in ("soft", "hard"):
            raise CourseError(f"Attention is 'soft' or 'hard', not '{attention}'.")
        # The arguments once more, so that another process can build the same model
        self.settings = dict(vocab_size=vocab_size, memory_dim=memory_dim, embed_dim=embed_dim)
        self.settings |= dict(hidden_dim=hidden_dim, attention_dim=attention_dim)
        self.settings |= dict(attention=attention, dropout=dropout)
        self.kind = attention
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        # The norm learns nothing, so that no gradient need flow back to frozen features: a fifth of the time
        norm = nn.LayerNorm(memory_dim, elementwise_affine=False)
        self.values = nn.Sequential(norm, nn.Linear(memory_dim, hidden_dim))
        self.keys = nn.Linear(hidden_dim, attention_dim)
        self.attention = AdditiveAttention(hidden_dim, attention_dim)
        self.first = nn.Linear(hidden_dim, 2 * hidden_dim)
        self.gate = nn.Linear(hidden_dim, hidden_dim)
        self.cell = nn.LSTMCell(embed_dim + hidden_dim, hidden_dim)
        self.told = nn.Linear(2 * hidden_dim, embed_dim)
        self.head = nn.Linear(embed_dim, vocab_size)
        self.dropout = nn.Dropout(dropout)
        # What hard attention's reward is measured against; at first that of a model which knows nothing
        self.register_buffer("baseline", torch.tensor(-math.log(vocab_size)))

    def start(self, memory):
        """The state before any word: h, c (B, H), and of each place its value (B, N, H) and key (B, N, A).

        What does not change from word to word is computed here, once. memory (B, N, D).
        """
        # Also of the places: without, a model learned Flickr8k by heart sooner (its dev CIDEr 0.43, with 0.46)
        values = self.dropout(self.values(memory))  # (B, N, H)
        h, c = self.first(values.mean(1)).tanh().chunk(2, dim=1)
        return h.contiguous(), c.contiguous(), values, self.keys(values)

    def step(self, tokens, state):
        """tokens (B,) and the state → logits (B, V) of the next token, and the next state."""
        logits, _, state = self.step_and_look(tokens, state)
        return logits, state

    def step_and_look(self, tokens, state):
        """As `step`, with the weights (B, N) of the places between: logits, weights, state."""
        output, weights, _, state = self._step(self.embedding(tokens), state)
        return self.head(output), weights, state

    def _step(self, words, state):
        """words (B, E) → output (B, E), weights (B, N), log-probability of the place drawn (B,), state."""
        h, c, values, keys = state
        weights = self.attention(keys, h).softmax(-1)  # (B, N)
        used, drawn = self._choose(weights)
        seen = torch.bmm(used[:, None], values)[:, 0]  # (B, H)
        seen = self.gate(h).sigmoid() * seen  # how much this word needs the picture at all
        h, c = self.cell(torch.cat([words, seen], 1), (h, c))
        output = words + self.told(self.dropout(torch.cat([h, seen], 1)))  # (B, E), eq. 7
        return output, weights, drawn, (h, c, values, keys)

    def _choose(self, weights):
        """The weights that a word sees, and the log-probability of the choice where there was one."""
        if self.kind == "soft":
            return weights, None
        place = torch.multinomial(weights, 1) if self.training else weights.argmax(-1, True)
        one = torch.zeros_like(weights).scatter(1, place, 1.0)  # (B, N)
        drawn = weights.gather(1, place).clamp_min(1e-8).log()  # (B, 1)
        if not self.training:
            return one, drawn[:, 0]
        # Half of the words see the mean, which calms the gradient (Xu et al., sec. 4.1); it came of no draw
        calm = torch.rand(len(weights), 1, device=weights.device) < 0.5
        return torch.where(calm, weights, one), drawn.masked_fill(calm, 0)[:, 0]

    def unroll(self, memory, tokens):
        """memory (B, N, D), tokens (B, T) → outputs (B, T, E), weights (B, T, N), drawn (B, T) or None."""
        state, found = self.start(memory), []
        for words in self.dropout(self.embedding(tokens)).unbind(1):
            *one, state = self._step(words, state)
            found.append(one)
        outputs, weights, drawn = zip(*found, strict=True)
        drawn = None if self.kind == "soft" else torch.stack(drawn, 1)
        return torch.stack(outputs, 1), torch.stack(weights, 1), drawn

    def hidden(self, memory, tokens):
        """memory (B, N, D), tokens (B, T) → (B, T, E): output t has seen the picture and tokens 0 to t."""
        return self.unroll(memory, tokens)[0]

    def forward(self, memory, tokens):
        """memory (B, N, D), tokens (B, T) → logits (B, T, V); logits t are a guess at token t + 1."""
        return self.head(self.hidden(memory, tokens))

    @torch.no_grad()
    def look(self, memory, tokens):
        """Where it looked before it guessed token t + 1: memory (B, N, D), tokens (B, T) → weights (B, T, N)."""
        return self.unroll(memory, tokens)[1]


def attention_loss(model, memory, tokens, pad_id, balance=0.1):
    """Nats a token of true captions, plus what teaches attention. tokens (B, T) with bos first → a scalar.

    Soft: `balance` times the mean over places of (1 - the sum of their weights)², that every place may be looked at
    (Xu et al., eq. 14; theirs sums to 1, with T words and N places ours sums to T / N). Hard: REINFORCE, with the
    caption's own log-likelihood for a reward, a moving baseline and an entropy bonus (eq. 12).
    In evaluation mode it is the cross-entropy alone, so that all models are compared by the same number.
    """
    inputs, targets = tokens[:, :-1], tokens[:, 1:]  # (B, T-1)
    real = targets != pad_id
    outputs, weights, drawn = model.unroll(memory, inputs)
    losses = F.cross_entropy(model.head(outputs[real]), targets[real], reduction="none")
    if not model.training:
        return losses.mean()
    if drawn is None:
        return losses.mean() + balance * _imbalance(weights, real)
    return losses.mean() + _reinforce(model, losses, weights, drawn, real)


def _imbalance(weights, real):
    """Mean over captions and places of (1 - received / fair)²: 0 where each place got its fair share."""
    received = (weights * real[..., None]).sum(1)  # (B, N)
    fair = real.sum(1, keepdim=True) / weights.shape[-1]  # (B, 1)
    return ((1 - received / fair) ** 2).mean()


def _reinforce(model, losses, weights, drawn, real):
    """A term whose gradient makes places likelier that led to likelier words than usual."""
    weights, drawn = (
        weights.float(),
        drawn.float(),
    )  # sums of small numbers, also in mixed precision
    gained = torch.zeros_like(drawn).masked_scatter(real, -losses.detach().float())  # (B, T)
    reward = gained.sum(1) / real.sum(1)  # (B,), log-likelihood a token
    surprise = reward - model.baseline
    model.baseline.lerp_(reward.mean(), 1 - REMEMBERED)
    entropy = -(weights * weights.clamp_min(1e-8).log()).sum(-1)  # (B, T)
    credit = surprise[:, None] * drawn + ENTROPY * entropy
    return -(credit * real).sum() / real.sum()
