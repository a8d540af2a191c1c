"""Image GPT (Chen et al. 2020): the transformer of `gpt.py` over the pixels of a picture, one after another."""

import math
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from coursekit.errors import CourseError
from coursekit.models.cache import with_room
from coursekit.models.gpt import Transformer, must_be_usual, renamed

# What a configuration of transformers may say otherwise, and ours cannot
USUAL = {
    "activation_function": "quick_gelu",
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": False,
}


class Norm(nn.RMSNorm):
    """x / sqrt(mean(x²) + 1e-5) · weight over the last numbers: no mean is taken off, and there is no bias."""

    def __init__(self, dim):
        super().__init__(dim, eps=1e-5)

    def forward(self, x):
        if x.is_cuda or not torch.is_grad_enabled():
            return super().forward(x)
        return _Normed.apply(x, self.weight, self.eps)


class _Normed(torch.autograd.Function):
    """RMSNorm with its gradient by formula: on a CPU torch takes it apart and reads everything twice as often."""

    @staticmethod
    def forward(ctx, x, weight, eps):
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        inverse = (size.square_().div_(x.shape[-1]) + eps).rsqrt_()
        unit = x * inverse
        ctx.save_for_backward(unit, weight, inverse)
        return unit * weight

    @staticmethod
    def backward(ctx, grad):
        unit, weight, inverse = ctx.saved_tensors
        product = (grad * unit).flatten(0, -2)  # (places, E)
        along = (product @ weight / len(weight)).view_as(inverse)
        of_x = (grad * weight).addcmul_(unit, along, value=-1).mul_(inverse)
        return of_x, product.sum(0), None


class QuickGELU(nn.Module):
    """x · sigmoid(1.702 x), which is close to GELU (Hendrycks and Gimpel 2016, section 2)."""

    def forward(self, x):
        return _Quick.apply(x) if torch.is_grad_enabled() else F.silu(1.702 * x).div_(1.702)


class _Quick(torch.autograd.Function):
    """silu(1.702 x) / 1.702: its gradient is that of silu at 1.702 x, one pass where autograd takes three."""

    @staticmethod
    def forward(ctx, x):
        wide = 1.702 * x
        ctx.save_for_backward(wide)
        return F.silu(wide).div_(1.702)

    @staticmethod
    def backward(ctx, grad):
        return torch.ops.aten.silu_backward(grad, *ctx.saved_tensors)


class ImageGPT(Transformer):
    """A model of pictures of side × side pixels in `colours` colours, row by row. A step model.

    Embedding number `colours` stands before the first pixel, so that every pixel is guessed: `start_id`. It is also
    the mask of the BERT objective. Raises CourseError for a size of nothing, or heads that do not divide dim.
    """

    def __init__(self, colours, side, dim=96, layers=4, heads=4, dropout=0.0):
        if min(colours, side, dim, layers, heads) < 1:
            raise CourseError("Colours, side, dim, layers and heads of an ImageGPT are 1 or more.")
        kinds = dict(norm=Norm, activation=QuickGELU)
        super().__init__(colours + 1, colours, side**2, dim, layers, heads, dropout, **kinds)
        # The arguments once more, so that another process can build the same model
        self.settings = dict(colours=colours, side=side, dim=dim)
        self.settings |= dict(layers=layers, heads=heads, dropout=dropout)
        self.colours, self.side, self.pixels, self.start_id = colours, side, side**2, colours

    def forward(self, tokens):
        """tokens (B, T) → logits (B, T, V): logits t are a guess at token t from those before it."""
        return self.head(self.run(self._read(tokens))[0])

    def both(self, tokens, masked):
        """tokens (B, T) and masked, bool (B, T) → logits (B, T, V) of what stands at each place.

        The model sees all places at once; at masked ones it sees the mask in place of the token.
        """
        self._check(tokens)
        x = self.tokens(tokens.masked_fill(masked, self.start_id))
        return self.head(self.run(x, causal=False)[0])

    def start(self, memory):
        """The state after a number B of empty pictures, or after the first pixels of pictures, tokens (B, S).

        A decoder's first token is `start_id`: then `step` answers with a guess at pixel S.
        """
        if isinstance(memory, int):
            memory = self.tokens.weight.new_zeros(memory, 0, dtype=torch.long)
        self._check(memory)
        begun = F.pad(memory, (1, 0), value=self.start_id)  # (B, 1 + S)
        past = self.run(self.tokens(begun[:, :-1]))[1]
        if not torch.is_grad_enabled():  # with gradients nothing is written into what was kept
            past = tuple(with_room(own, self.pixels) for own in past)
        return begun[:, -1], past

    def step(self, tokens, state):
        """tokens (B,) and the state → logits (B, V) of the next pixel, and the next state.

        `start_id` as a token means: go on from the pixels that `start` was given.
        """
        last, past = state
        if last is not None:
            tokens = torch.where(tokens == self.start_id, last, tokens)
        x, past = self.run(self.tokens(tokens)[:, None], past)
        return self.head(x[:, 0]), (None, past)

    def features(self, tokens, layer=None, both=False):
        """What the model knows of pictures, tokens (B, T): (B, E), the mean over places after `layer` blocks.

        0 takes the embeddings, `layers` what comes after the last norm, None all as a list of layers + 1. It reads as in
        `forward`, so without the last token; with `both` as in `both`, all of them. Raises CourseError for another layer.
        """
        if layer is not None and not 0 <= layer <= self.layers:
            raise CourseError(f"A layer of this model is 0 to {self.layers}, not {layer}.")
        self._check(tokens)
        x = self.tokens(tokens) if both else self._read(tokens)
        found = []
        for depth, (each, _) in enumerate(self.layer_by_layer(x, causal=not both)):
            each = self.norm(each) if depth == self.layers else each
            if layer == depth:
                return each.mean(1)  # (B, E)
            found.append(each.mean(1) if layer is None else None)
        return found

    def _read(self, tokens):
        """The embeddings (B, T, E) of the start and of tokens (B, T) without the last."""
        self._check(tokens)
        return self.tokens(F.pad(tokens, (1, 0), value=self.start_id)[:, :-1])

    def _check(self, tokens):
        if tokens.ndim != 2 or tokens.shape[1] > self.pixels or tokens.is_floating_point():
            raise CourseError(
                f"Give whole numbers (B, T) with T up to {self.pixels} pixels, not {tokens.dtype} "
                f"{tuple(tokens.shape)}."
            )


def ar_loss(model, tokens):
    """Mean cross-entropy in nats a pixel of tokens (B, T), the first pixel included (eq. 1 and 2)."""
    return F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())


def bert_loss(model, tokens, share=0.15, generator=None):
    """Mean cross-entropy in nats over masked pixels of tokens (B, T), seen from both sides (eq. 3).

    Each pixel is masked with probability `share`. Raises CourseError unless it is above 0 and up to 1.
    """
    if not 0 < share <= 1:
        raise CourseError(f"The share of masked pixels is above 0 and up to 1, not {share}.")
    device = generator.device if generator else tokens.device
    dice = torch.rand(tokens.shape, generator=generator, device=device).to(tokens.device)
    masked = dice <= dice.min().clamp(min=share)  # at least one: the mean over none is no number
    logits = model.both(tokens, masked)
    return F.cross_entropy(logits[masked], tokens[masked])


@torch.no_grad()
def draw(model, given, temperature=1.0, top_k=None, top_p=None, generator=None, progress=iter):
    """Pictures, tokens (B, pixels), drawn pixel by pixel after `given`: tokens (B, S), or a number B for none.

    The given pixels stay as they are. temperature, top_k and top_p mean what they do in `decoding.sample`, and a
    temperature of 0 takes the likeliest colour. progress is what goes round the loop over places, such as tqdm. Works
    in eval mode.
    Raises CourseError if temperature < 0, top_k < 1, top_p is outside (0, 1], or `given` holds other numbers than
    colours.
    """
    _check_drawing(temperature, top_k, top_p)
    device, training = model.head.weight.device, model.training
    if isinstance(given, int):
        given = torch.zeros(given, 0, dtype=torch.long)
    _check_colours(model, given)
    model.eval()
    try:
        pick = partial(_pick, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)  # fmt: skip
        return _drawn(model, given.to(device), pick, progress)
    finally:
        model.train(training)


def _drawn(model, given, pick, progress):
    """tokens (B, S) → tokens (B, pixels); pick makes colours (B,) of logits (B, V)."""
    state, (B, S) = model.start(given), given.shape
    found = F.pad(given, (0, model.pixels - S))  # (B, pixels)
    tokens = torch.full((B,), model.start_id, device=given.device)
    for place in progress(range(S, model.pixels)):
        logits, state = model.step(tokens, state)
        tokens = pick(logits.float())
        found[:, place] = tokens
    return found


def _check_drawing(temperature, top_k, top_p):
    if temperature < 0:
        raise CourseError(f"A temperature is 0 or more, not {temperature}.")
    if top_k is not None and top_k < 1:
        raise CourseError(f"top_k keeps at least one colour, not {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise CourseError(f"top_p is a probability above 0 and up to 1, not {top_p}.")


def _check_colours(model, given):
    if given.numel() and not 0 <= given.min() <= given.max() < model.colours:
        raise CourseError(
            f"Given pixels are numbers of colours, 0 to {model.colours - 1}, not {given.min()} to {given.max()}."
        )


def _pick(logits, temperature, top_k, top_p, generator):
    """logits (B, V) → colours (B,), drawn."""
    if temperature == 0:
        return logits.argmax(-1)
    kept = _filtered(logits / temperature, top_k, top_p)
    return torch.multinomial(kept.softmax(-1), 1, generator=generator)[:, 0]


def _filtered(logits, top_k, top_p):
    """As `decoding.filter_logits`, which this room does not know; a test holds the two equal."""
    if top_k is None and top_p is None:
        return logits
    ordered, order = logits.sort(descending=True)
    if top_k is not None:
        ordered = ordered.masked_fill(
            ordered < ordered[:, : min(top_k, ordered.shape[1])][:, -1:], -torch.inf
        )
    if top_p is not None:
        shares = ordered.softmax(-1)
        ordered = ordered.masked_fill(shares.cumsum(-1) - shares >= top_p, -torch.inf)
    return torch.empty_like(logits).scatter(1, order, ordered)


def load(name, dropout=0.0):
    """An ImageGPT by its name on the hub ("openai/imagegpt-small"), or from a folder that save_pretrained left.

    Raises CourseError if there is none, if weights are missing, or if it has another build.
    """
    from transformers import ImageGPTForCausalImageModeling

    from coursekit.models.vit import pretrained

    return from_hugging_face(pretrained(ImageGPTForCausalImageModeling, name, "imagegpt"), dropout)


def from_hugging_face(model, dropout=0.0):
    """An ImageGPT with the weights of transformers' ImageGPTForCausalImageModeling, of any size.

    Theirs reads the start token itself: its logits of [start, t₀ … ] are ours of [t₀ …].
    Raises CourseError if the model's build is not that of Image GPT, or its pictures are not square.
    """
    own = model.config
    must_be_usual("ImageGPT", own, USUAL)
    side = math.isqrt(own.n_positions)
    if side**2 != own.n_positions:
        raise CourseError(f"This ImageGPT reads {own.n_positions} pixels, which are no square.")
    sizes = dict(dim=own.n_embd, layers=own.n_layer, heads=own.n_head, dropout=dropout)
    ours = ImageGPT(own.vocab_size - 1, side, **sizes)
    state = renamed(model.transformer.state_dict()) | {"head.weight": model.lm_head.weight}
    found = ours.load_state_dict(state, strict=False)
    if found.unexpected_keys or found.missing_keys:
        raise CourseError("This ImageGPT has parts added to it, such as LoRA's: merge them first.")
    return ours


def to_hugging_face(model):
    """transformers' ImageGPTForCausalImageModeling with the weights of an ImageGPT: the way back."""
    from transformers import ImageGPTConfig, ImageGPTForCausalImageModeling

    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), model.dropout.p)
    sizes = dict(n_embd=model.dim, n_layer=model.layers, n_head=model.heads)
    config = ImageGPTConfig(
        vocab_size=model.colours + 1, n_positions=model.pixels, **sizes, **rates
    )
    theirs, own = ImageGPTForCausalImageModeling(config), model.state_dict()
    places = renamed(theirs.transformer.state_dict()) | {"head.weight": theirs.lm_head.weight}
    with torch.no_grad():
        # A matrix that lies the other way round there is a view here, so copying turns it
        for name, place in places.items():
            place.copy_(own[name])
    return theirs
