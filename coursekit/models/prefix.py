"""A picture as a prefix: a language model goes on from embeddings that no word has (Mokady et al. 2021)."""

import torch
from torch import nn
from torch.nn import functional as F

from coursekit.errors import CourseError
from coursekit.models.language import add_lora

MAPPERS = ("linear", "mlp", "transformer")
TUNINGS = ("frozen", "tuned", "lora")
PICTURE, WORDS = 0, 1  # token types
IGNORED = -100  # what cross-entropy skips


class LinearMapper(nn.Module):
    """Each embedding of a picture becomes `each` of the language: memory (B, N, D) → (B, N * each, E).

    One matrix is all, after a norm (Merullo et al. 2023).
    """

    def __init__(self, memory_dim, dim, each=1):
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(nn.LayerNorm(memory_dim), nn.Linear(memory_dim, each * dim))

    def forward(self, memory):
        return self.layers(memory).view(len(memory), -1, self.dim)  # (B, N * each, E)


class MLPMapper(nn.Module):
    """As LinearMapper, with a hidden layer of 2 E and tanh between two matrices (Mokady et al. 2021)."""

    def __init__(self, memory_dim, dim, each=1, dropout=0.0):
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(
            nn.LayerNorm(memory_dim),
            nn.Linear(memory_dim, 2 * dim),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.Linear(2 * dim, each * dim),
        )

    def forward(self, memory):
        return self.layers(memory).view(len(memory), -1, self.dim)  # (B, N * each, E)


class TransformerMapper(nn.Module):
    """`length` learned questions read a picture together: memory (B, N, D) → (B, length, E).

    Questions and picture attend to each other in a transformer; the questions' outputs are the prefix (Mokady et al.
    2021, with `layers` of the usual kind, norm first). Raises CourseError if `heads` do not divide `dim`.
    """

    def __init__(self, memory_dim, dim, length=8, layers=2, heads=4, dropout=0.0):
        super().__init__()
        if dim % heads:
            raise CourseError(
                f"{heads} heads of a mapper do not share {dim} numbers evenly: give a wider language model, or the "
                "mapper linear or mlp."
            )
        self.enter = nn.Sequential(nn.LayerNorm(memory_dim), nn.Linear(memory_dim, dim))
        self.questions = nn.Parameter(torch.randn(length, dim))
        layer = nn.TransformerEncoderLayer(
            dim, heads, 2 * dim, dropout, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, memory):
        questions = self.questions.expand(len(memory), -1, -1)  # (B, length, E)
        read = self.layers(torch.cat([questions, self.enter(memory)], 1))  # (B, length + N, E)
        return read[:, : len(self.questions)]


def make_mapper(name, memory_dim, dim, length=1, dropout=0.0):
    """A mapper of MAPPERS: memory (B, N, D = memory_dim) → (B, P, E = dim).

    length: for "linear" and "mlp" the embeddings made of each embedding of the memory, so P = N * length; for
    "transformer" P itself. Raises CourseError for another name, or a length below 1.
    """
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise CourseError(f"The length of a prefix is a whole number of 1 or more, not {length!r}.")
    if name == "linear":
        return LinearMapper(memory_dim, dim, length)
    if name == "mlp":
        return MLPMapper(memory_dim, dim, length, dropout)
    if name == "transformer":
        return TransformerMapper(memory_dim, dim, length, dropout=dropout)
    raise CourseError(f"There is no mapper '{name}': choose one of {', '.join(MAPPERS)}.")


class PrefixCaptioner(nn.Module):
    """A language model that goes on from a picture. A step model: memory (B, N, D) is what an encoder left.

    It reads: a learned embedding that begins the picture, the P embeddings that the mapper makes of the memory, a
    learned one that ends it, then words. With `types` a learned embedding tells picture from words at every place.
    language: a GPT or a HuggingFaceLM. `tuning` says what learns besides mapper and those embeddings: nothing of the
    language model ("frozen"), all of it ("tuned"), or small matrices beside its own ("lora", Hu et al. 2021). That
    changes the language model that was given: a second captioner takes a copy.
    Raises CourseError for a name that is not in MAPPERS or TUNINGS.
    """

    def __init__(
        self,
        language,
        memory_dim,
        mapper="mlp",
        length=1,
        tuning="tuned",
        dropout=0.0,
        types=True,
    ):
        super().__init__()
        if tuning not in TUNINGS:
            raise CourseError(
                f"A language model cannot be '{tuning}': choose one of {', '.join(TUNINGS)}."
            )
        self.language, self.tuning = language, tuning
        self.mapper = make_mapper(mapper, memory_dim, language.dim, length, dropout)
        # As large as the embeddings of words, which every language model has at another size
        some = torch.arange(100, device=next(language.parameters()).device) % language.vocab_size
        size = language.tokens(some).std().item()
        self.ends = nn.Parameter(size * torch.randn(2, language.dim))
        self.types = nn.Parameter(torch.zeros(2, language.dim), requires_grad=types)
        language.requires_grad_(tuning == "tuned")
        if tuning == "lora":
            add_lora(language)
        self.train()

    def train(self, mode=True):
        """As in nn.Module, but a frozen language model never drops out."""
        super().train(mode)
        if self.tuning == "frozen":
            self.language.eval()
        return self

    def prefix(self, memory):
        """memory (B, N, D) → what the language model reads before any word (B, P + 2, E)."""
        begin, end = self.ends[:, None, None].expand(2, len(memory), 1, -1)  # (B, 1, E) each
        return torch.cat([begin, self.mapper(memory), end], 1) + self.types[PICTURE]

    def start(self, memory):
        """The state after seeing the picture and before any token: keys and values of all layers."""
        return self.language.run(self.prefix(memory))[1]

    def step(self, tokens, state):
        """tokens (B,) and the state → logits (B, V) of the next token, and the next state."""
        words = self.language.tokens(tokens)[:, None] + self.types[WORDS]  # (B, 1, E)
        hidden, state = self.language.run(words, state)
        return self.language.head(hidden[:, 0]), state

    def head(self, hidden):
        """hidden (…, E) → logits (…, V)."""
        return self.language.head(hidden)

    def hidden(self, memory, tokens):
        """memory (B, N, D), tokens (B, T) → (B, T, E): output t has seen the picture and tokens 0 to t."""
        prefix, words = self.prefix(memory), self.language.tokens(tokens) + self.types[WORDS]
        read = torch.cat([prefix, words], 1)  # (B, P + 2 + T, E)
        return self.language.run(read)[0][:, prefix.shape[1] :]

    def forward(self, memory, tokens):
        """memory (B, N, D), tokens (B, T) → logits (B, T, V); logits t are a guess at token t + 1."""
        return self.head(self.hidden(memory, tokens))

    def own_state(self):
        """The part of `state_dict()` that a file must hold: all that the language model's name does not give again."""
        state = self.state_dict()
        if not self.language.named:
            return state
        fixed = {
            name
            for name, each in self.named_parameters(remove_duplicate=False)
            if name.startswith("language.") and not each.requires_grad
        }
        return {name: each for name, each in state.items() if name not in fixed}


def caption_labels(tokens, eos_id):
    """What to guess at each place of tokens (B, T), bos first: (B, T - 1), the next token; after the first eos -100.

    Padding lies after eos, so it is skipped whatever number it has: GPT-2 has none of its own, and where eos pads, a
    loss that skips padding by its number would skip the end of every caption too.
    """
    targets = tokens[:, 1:]
    ends = (targets == eos_id).long()
    return targets.masked_fill(ends.cumsum(1) - ends > 0, IGNORED)


def prefix_loss(model, memory, tokens, eos_id):
    """Mean cross-entropy in nats a token, of words and eos: nothing is guessed at the picture or at padding.

    tokens (B, T) with bos first. The head is applied at real tokens only: it costs more than the rest.
    """
    labels = caption_labels(tokens, eos_id)  # (B, T - 1)
    real = labels != IGNORED
    hidden = model.hidden(memory, tokens[:, :-1])[real]  # (real tokens, E)
    return F.cross_entropy(model.head(hidden), labels[real])
