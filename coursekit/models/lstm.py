"""Recurrent step models: an LSTM by hand, a language model, and Show and Tell (Vinyals et al. 2015)."""

import torch
from torch import nn
from torch.nn import functional as F

from coursekit.errors import CourseError


def lstm_step(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    """One step of an LSTM, equal to `nn.LSTMCell` (Hochreiter and Schmidhuber 1997, with a forget gate).

    x (B, D) input, h and c (B, H) the state, weight_ih (4H, D), weight_hh (4H, H), biases (4H,);
    the rows of the weights are stacked in the order i, f, g, o. Returns the next h and c, both (B, H).
    """
    gates = x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh  # (B, 4H)
    i, f, g, o = gates.chunk(4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


class LSTMByHand(nn.Module):
    """`nn.LSTM(batch_first=True)` of one layer, as a loop over `lstm_step`; same parameter names."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        bound = hidden_size**-0.5  # as nn.LSTM initialises
        for name, *shape in (
            ("weight_ih_l0", 4 * hidden_size, input_size),
            ("weight_hh_l0", 4 * hidden_size, hidden_size),
            ("bias_ih_l0", 4 * hidden_size),
            ("bias_hh_l0", 4 * hidden_size),
        ):
            setattr(self, name, nn.Parameter(torch.empty(*shape).uniform_(-bound, bound)))

    def forward(self, inputs, state):
        """inputs (B, T, D), state h and c (1, B, H) → outputs (B, T, H) and the state after them."""
        h, c = state[0][0], state[1][0]
        outputs = []
        for x in inputs.unbind(1):
            h, c = lstm_step(x, h, c, *self.parameters())
            outputs.append(h)
        return torch.stack(outputs, 1), (h[None], c[None])


def _recurrent(cell, input_size, hidden_size, layers=1, dropout=0.0):
    if cell == "by_hand":
        return LSTMByHand(input_size, hidden_size)
    kinds = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM, "library": nn.LSTM}
    if cell not in kinds:
        raise CourseError(
            f"There is no cell '{cell}': choose one of {', '.join([*kinds, 'by_hand'])}."
        )
    return kinds[cell](input_size, hidden_size, layers, batch_first=True, dropout=dropout)


class LSTMLanguageModel(nn.Module):
    """Embedding, recurrent layers, and logits over the vocabulary. A step model: memory gives its batch size only."""

    def __init__(
        self, vocab_size, embed_dim=128, hidden_dim=256, cell="lstm", layers=1, dropout=0.0
    ):
        super().__init__()
        # The arguments once more, so that another process can build the same model
        self.settings = dict(vocab_size=vocab_size, embed_dim=embed_dim, hidden_dim=hidden_dim)
        self.settings |= dict(cell=cell, layers=layers, dropout=dropout)
        self.hidden_dim, self.layers, self.cell = hidden_dim, layers, cell
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.recurrent = _recurrent(
            cell, embed_dim, hidden_dim, layers, dropout if layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_dim, vocab_size)

    def start(self, memory):
        """The state before any token: zeros. `memory` is a tensor with B first, or B itself."""
        batch = memory if isinstance(memory, int) else len(memory)
        zeros = self.head.weight.new_zeros(batch, self.layers, self.hidden_dim)  # (B, L, H)
        return zeros if self.cell in ("rnn", "gru") else (zeros, zeros)

    def _run(self, inputs, state):
        outputs, state = self.recurrent(inputs, _layers_first(state))
        return self.dropout(outputs), _layers_first(state)

    def step(self, tokens, state):
        """tokens (B,) and the state → logits (B, V) of the next token, and the next state."""
        outputs, state = self._run(self.embedding(tokens)[:, None], state)
        return self.head(outputs[:, 0]), state

    def hidden(self, memory, tokens):
        """tokens (B, T) → (B, T, H): output t has seen tokens 0 to t."""
        return self._run(self.dropout(self.embedding(tokens)), self.start(tokens))[0]

    def forward(self, memory, tokens):
        """tokens (B, T) → logits (B, T, V); logits t are a guess at token t + 1."""
        return self.head(self.hidden(memory, tokens))


def _layers_first(state):
    """States travel with B first, as decoders expect; the library's layers want the layer first."""
    if isinstance(state, tuple):
        return tuple(_layers_first(part) for part in state)
    return state.transpose(0, 1).contiguous()


class ShowAndTell(LSTMLanguageModel):
    """An LSTM language model told about a picture once, at its start (Vinyals et al. 2015, eq. 10-12).

    memory (B, N, D) is pooled by its largest value over N: a thing is somewhere in the picture, and a mean would thin it
    out. With `image_as="input"` it is the LSTM's first input, in place of a word,
    as in the paper; with "state" it becomes the first h and c.
    """

    def __init__(
        self,
        vocab_size,
        memory_dim,
        embed_dim=256,
        hidden_dim=384,
        image_as="input",
        dropout=0.3,
        cell="library",
    ):
        super().__init__(vocab_size, embed_dim, hidden_dim, cell, layers=1, dropout=dropout)
        if image_as not in ("input", "state"):
            raise CourseError(f"A picture cannot enter as '{image_as}': choose 'input' or 'state'.")
        self.image_as = image_as
        self.settings |= dict(memory_dim=memory_dim, image_as=image_as)
        del self.settings["layers"]  # one, always
        # Features far from zero saturate the LSTM: without the norm, colours bind to things epochs later
        self.from_image = nn.Sequential(
            nn.LayerNorm(memory_dim),
            nn.Linear(memory_dim, embed_dim if image_as == "input" else 2 * hidden_dim),
        )

    def start(self, memory):
        """The state after seeing the picture and before any token. memory (B, N, D)."""
        picture = self.from_image(memory.amax(1))  # (B, D) or (B, 2H)
        if self.image_as == "state":
            return tuple(part.tanh()[:, None].contiguous() for part in picture.chunk(2, dim=1))
        return self._run(self.dropout(picture)[:, None], super().start(memory))[1]

    def hidden(self, memory, tokens):
        """memory (B, N, D), tokens (B, T) → (B, T, H): output t has seen the picture and tokens 0 to t."""
        return self._run(self.dropout(self.embedding(tokens)), self.start(memory))[0]


def caption_loss(model, memory, tokens, pad_id):
    """Mean cross-entropy in nats a token, over real tokens. tokens (B, T) with bos first.

    The head is applied at real tokens only: at a vocabulary of thousands it costs more than the LSTM.
    """
    inputs, targets = tokens[:, :-1], tokens[:, 1:]  # (B, T-1)
    real = targets != pad_id
    hidden = model.hidden(memory, inputs)[real]  # (real tokens, H)
    return F.cross_entropy(model.head(hidden), targets[real])
