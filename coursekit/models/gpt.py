"""GPT-2 by hand (Radford et al. 2019): a transformer that guesses the next token from all before it."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from coursekit.errors import CourseError
from coursekit.models.cache import extended

# On a CPU the fused kernel is fastest with heads of this width: 8 numbers padded to 16 take 0.7 of the time of 8
NARROW = 16


class Dropout(nn.Dropout):
    """nn.Dropout, without a call where there is nothing to drop: a step with a cache is so short that calls count."""

    def forward(self, x):
        return super().forward(x) if self.training else x


class TanhGELU(nn.GELU):
    """GELU by tanh (Hendrycks and Gimpel 2016), as GPT-2 has it."""

    def __init__(self):
        super().__init__(approximate="tanh")


class CausalSelfAttention(nn.Module):
    """Every place asks all places up to itself (Vaswani et al. 2017, eq. 1, with a causal mask)."""

    def __init__(self, dim, heads, dropout):
        super().__init__()
        if dim % heads:
            raise CourseError(f"{heads} heads do not share {dim} numbers evenly: choose a divisor.")
        self.heads, self.size, self.rate = heads, dim // heads, dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x, past=None, causal=True):
        """x (B, T, E), past: keys, values (B, heads, S, E / heads) → (B, T, E), past of S + T.

        Without `causal` every place asks all places, and there is no past.
        """
        q, k, v = self._heads(self.qkv(x))  # (B, nh, T, hd) each
        past = extended(past, k, v)  # (B, nh, S + T, hd)
        y = self._ask(q, *past, causal)  # (B, nh, T, hd)
        return self.dropout(self.out(y.transpose(1, 2).reshape(x.shape))), past

    def _heads(self, x):
        """x (B, T, 3 E) → queries, keys and values, (B, heads, T, E / heads) each."""
        B, T, _ = x.shape
        if T == 1:
            return x.view(B, 3, self.heads, 1, self.size).unbind(1)
        parts = x.chunk(3, 2)  # apart before they are viewed: so the gradient is copied once
        return [part.view(B, T, self.heads, self.size).transpose(1, 2) for part in parts]

    def _ask(self, q, k, v, causal):
        T, S = q.shape[2], k.shape[2] - q.shape[2]
        rate = self.rate if self.training else 0.0
        if T == 1 and not rate:  # it may see all; for one place two products beat the fused kernel
            return (q * self.size**-0.5 @ k.transpose(2, 3)).softmax(-1) @ v
        mask = q.new_ones(T, S + T, dtype=torch.bool).tril(S) if S else None
        how = dict(is_causal=causal and not S, scale=self.size**-0.5)
        if self.size < NARROW and not q.is_cuda:
            q, k, v = (F.pad(each, (0, NARROW - self.size)) for each in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, mask, rate, **how)[..., : self.size]


class Block(nn.Module):
    """Attention gathers, the MLP digests; both add to what flows by, and norm only what they read.

    norm and activation are classes: those of GPT-2, unless another model gives its own.
    """

    def __init__(self, dim, heads, dropout, norm=nn.LayerNorm, activation=TanhGELU):
        super().__init__()
        self.norm_1, self.norm_2 = norm(dim), norm(dim)
        self.attention = CausalSelfAttention(dim, heads, dropout)
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), activation(), nn.Linear(4 * dim, dim), Dropout(dropout)
        )

    def forward(self, x, past=None, causal=True):
        """x (B, T, E) → (B, T, E) and this layer's keys and values."""
        gathered, past = self.attention(self.norm_1(x), past, causal)
        x = x + gathered
        return x + self.mlp(self.norm_2(x)), past


class Transformer(nn.Module):
    """What GPT-2 and Image GPT share: embeddings of `read` tokens, blocks, a norm, a head that guesses `guessed`."""

    def __init__(self, read, guessed, context, dim, layers, heads, dropout, **kinds):
        super().__init__()
        self.context, self.layers, self.heads, self.dim = context, layers, heads, dim
        self.tokens = nn.Embedding(read, dim)
        self.positions = nn.Embedding(context, dim)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(Block(dim, heads, dropout, **kinds) for _ in range(layers))
        self.norm = kinds.get("norm", nn.LayerNorm)(dim)
        self.head = nn.Linear(dim, guessed, bias=False)
        self.apply(_initialise)
        for block in self.blocks:  # each of 2 L additions brings its share of the variance
            for last in (block.attention.out, block.mlp[2]):
                nn.init.normal_(last.weight, std=0.02 / math.sqrt(2 * layers))

    def layer_by_layer(self, x, past=None, causal=True):
        """x (B, T, E) embeddings without positions. Gives x with them, and then what each block makes of it, (B, T, E),
        each with that block's keys and values (the first with None)."""
        start = past[0][0].shape[2] if past else 0
        if start + x.shape[1] > self.context:
            raise CourseError(
                f"This model reads {self.context} tokens, not {start + x.shape[1]}: cut the text, or give a longer "
                "context."
            )
        x = self.dropout(x + self.positions.weight[start : start + x.shape[1]])
        yield x, None
        for block, own in zip(self.blocks, past or [None] * self.layers, strict=True):
            x, own = block(x, own, causal)
            yield x, own

    def run(self, x, past=None, causal=True):
        """x (B, T, E) embeddings without positions → (B, T, E) after the last norm, and all layers' past."""
        found = []
        for each, own in self.layer_by_layer(x, past, causal):
            last = each
            found.append(own)
        return self.norm(last), tuple(found[1:])


class GPT(Transformer):
    """A language model of GPT-2's build. A step model: memory (B, P, E) is a prefix of P embeddings, or None."""

    def __init__(self, vocab_size=50257, context=1024, dim=768, layers=12, heads=12, dropout=0.1):
        if min(vocab_size, context, dim, layers, heads) < 1:
            raise CourseError("Vocabulary, context, dim, layers and heads of a GPT are 1 or more.")
        super().__init__(vocab_size, vocab_size, context, dim, layers, heads, dropout)
        # The arguments once more, so that another process can build the same model
        self.settings = dict(vocab_size=vocab_size, context=context, dim=dim)
        self.settings |= dict(layers=layers, heads=heads, dropout=dropout)
        self.vocab_size, self.named = vocab_size, False  # no name gives its weights again
        self.head.weight = self.tokens.weight  # one matrix reads and writes words

    def start(self, memory):
        """The state after a prefix (B, P, E) and before any token; a number B, or P = 0, is no prefix."""
        if isinstance(memory, int):
            memory = self.tokens.weight.new_zeros(memory, 0, self.dim)
        if memory.shape[1]:
            return self.run(memory)[1]
        empty = memory.new_zeros(len(memory), self.heads, 0, self.dim // self.heads)
        return tuple((empty, empty) for _ in range(self.layers))

    def step(self, tokens, state):
        """tokens (B,) and the state → logits (B, V) of the next token, and the next state."""
        x, state = self.run(self.tokens(tokens)[:, None], state)
        return self.head(x[:, 0]), state

    def hidden(self, memory, tokens):
        """memory (B, P, E) or None, tokens (B, T) → (B, T, E): output t has seen the prefix and tokens 0 to t."""
        words = self.tokens(tokens)
        if memory is None:
            return self.run(words)[0]
        return self.run(torch.cat([memory, words], 1))[0][:, memory.shape[1] :]

    def forward(self, memory, tokens):
        """memory (B, P, E) or None, tokens (B, T) → logits (B, T, V); logits t are a guess at token t + 1."""
        return self.head(self.hidden(memory, tokens))


def _initialise(module):
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


# Names of Hugging Face's GPT-2, one block's and the whole's, and ours
BLOCK = {
    "ln_1": "norm_1",
    "attn.c_attn": "attention.qkv",
    "attn.c_proj": "attention.out",
    "ln_2": "norm_2",
    "mlp.c_fc": "mlp.0",
    "mlp.c_proj": "mlp.2",
}
WHOLE = {"wte": "tokens", "wpe": "positions", "ln_f": "norm"}
# What a configuration of theirs may say otherwise, and ours cannot
USUAL = {
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


def from_hugging_face(model, dropout=0.1):
    """A GPT with the weights of transformers' GPT2LMHeadModel, of any size.

    Raises CourseError if the model's build is not that of GPT-2.
    """
    own = model.config
    must_be_usual("GPT-2", own, USUAL)
    sizes = dict(vocab_size=own.vocab_size, context=own.n_positions, dim=own.n_embd)
    gpt = GPT(**sizes, layers=own.n_layer, heads=own.n_head, dropout=dropout)
    found = gpt.load_state_dict(renamed(model.transformer.state_dict()), strict=False)
    if found.unexpected_keys or set(found.missing_keys) - {"head.weight"}:
        raise CourseError("This GPT-2 has parts added to it, such as LoRA's: merge them first.")
    return gpt


def must_be_usual(name, config, usual):
    """Raises CourseError if a configuration of transformers says something else than `usual`, or has other MLPs."""
    other = [each for each, value in usual.items() if getattr(config, each) != value]
    if config.n_inner not in (None, 4 * config.n_embd):
        other.append("n_inner")
    if other:
        raise CourseError(
            f"This {name} has an unusual {', '.join(other)}: take one as OpenAI built it."
        )


def renamed(state):
    """The state of transformers' GPT2Model under our names; its Conv1D keeps matrices the other way round."""
    found = {}
    for name, value in state.items():
        parts = name.split(".")
        layer, kind = ".".join(parts[:2]), ".".join(parts[2:-1])
        if parts[0] != "h":
            found[f"{WHOLE.get(parts[0], parts[0])}.{parts[-1]}"] = value
        elif kind in BLOCK:
            turned = value.T if "c_" in kind and value.ndim == 2 else value
            found[f"{layer.replace('h.', 'blocks.')}.{BLOCK[kind]}.{parts[-1]}"] = turned
    return found
