"""ViT and GPT-2 joined by cross-attention: transformers' VisionEncoderDecoderModel as a step model of the course."""

import torch
from torch import nn
from transformers import (
    EncoderDecoderCache,
    GPT2Config,
    GPT2LMHeadModel,
    VisionEncoderDecoderModel,
)

from coursekit.errors import CourseError
from coursekit.models.cache import OfPicture
from coursekit.models.gpt import GPT, renamed
from coursekit.models.kept import kept
from coursekit.models.language import HuggingFaceLM
from coursekit.models.vit import (
    ViTEncoder,
    mean_and_std,
    must_divide,
    pretrained,
    quiet,
    save_whole,
    scene_vit,
    small_vit,
)

__all__ = [
    "IDS",
    "ViTEncoder",
    "ViTGPT2",
    "quiet",
    "scene_vit",
    "small_gpt2",
    "small_vit",
    "to_hugging_face",
]

IDS = (1, 2, 0)  # bos, eos and pad of this course's tokenizers


class ViTGPT2(nn.Module):
    """A VisionEncoderDecoderModel as a step model: in every layer of a GPT-2, words ask the patches of a ViT.

    `model` is transformers' own, for a Trainer: its batches are `pixel_values` by `encoder.pixels(images)` and `labels`
    by `prefix.caption_labels(tokens, eos_id)`. memory (B, N, D) is what `encoder`, a ViTEncoder on the same weights,
    gives: N = 1 + patches. Where the GPT-2 has another width, a linear layer of the model follows and learns, and
    memory that was kept stays good. The loss is `prefix.prefix_loss(model, memory, tokens, eos_id)`.
    Raises CourseError for more tokens than it reads.
    """

    def __init__(self, encoder, model):
        super().__init__()
        self.model = model
        # In a list, so that each weight keeps one name, the one it has in `model`
        self._encoder = [encoder]
        own, whole = model.decoder.config, model.config
        self.context, self.heads, self.dim = own.n_positions, own.n_head, own.n_embd
        self.bos_id, self.eos_id = whole.decoder_start_token_id, whole.eos_token_id
        self.pad_id = whole.pad_token_id

    @classmethod
    def from_parts(cls, encoder, language, ids=None):
        """Joins a ViT and a GPT-2: cross-attention begins at random, all else keeps its weights.

        encoder: a ViTEncoder, whose weights are shared and learn only if they did; or a name on the hub
        ("google/vit-base-patch16-224-in21k") or a folder, and then all of it learns. language: a GPT, a GPT-2 of
        transformers (GPT2LMHeadModel or HuggingFaceLM), a name ("gpt2") or a folder; its weights are copied. ids: the numbers of bos, eos and pad;
        None for the language model's own, where eos pads if it has no pad.
        Raises CourseError for a name or folder that holds no such model.
        """
        if not isinstance(encoder, ViTEncoder):
            encoder = ViTEncoder.load(encoder, trainable=True)
        with quiet():
            decoder = _with_cross_attention(language, ids)
            model = VisionEncoderDecoderModel(encoder=encoder.vit, decoder=decoder)
        for config in (model.config, model.generation_config):
            for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
                setattr(config, name, getattr(decoder.config, name))
            config.decoder_start_token_id = decoder.config.bos_token_id
        return cls(encoder, model)

    @classmethod
    def load(cls, name):
        """A whole by its name on the hub ("nlpconnect/vit-gpt2-image-captioning") or folder. All of it learns.

        Raises CourseError if there is none, if weights are missing, or if it is not made of a ViT and a GPT-2.
        """
        model = pretrained(VisionEncoderDecoderModel, name, "vision-encoder-decoder")
        parts = model.config.encoder.model_type, model.config.decoder.model_type
        if parts != ("vit", "gpt2"):
            raise CourseError(f"{name} joins {' and '.join(parts)}: give a ViT and a GPT-2.")
        encoder = ViTEncoder(model.encoder, str(name), *mean_and_std(name), trainable=True)
        return cls(encoder, model)

    def save(self, folder):
        """Writes the folder that `save_pretrained` writes, with how the ViT wants its pictures; `load` reads it."""
        save_whole(self.model, self.encoder, folder)

    @property
    def encoder(self):
        """The ViTEncoder: images to memory, pixels, boxes; freeze() and unfreeze()."""
        return self._encoder[0]

    def train(self, mode=True):
        """As in nn.Module, but a frozen ViT never leaves evaluation mode."""
        super().train(mode)
        self.encoder.train(mode)
        return self

    def start(self, memory):
        """The state after seeing the picture and before any token: of each layer (k, v) of no word, (k, v) of patches.

        memory (B, N, D); all four (B, heads, words or N, E / heads). Those of the patches are computed here, once.
        """
        none = memory.new_zeros(len(memory), self.heads, 0, self.dim // self.heads)
        return tuple(((none, none), OfPicture(pair)) for pair in self._patches(memory))

    def step(self, tokens, state):
        """tokens (B,) and the state → logits (B, V) of the next token, and the next state."""
        said, seen = zip(*state, strict=True)  # of each layer
        self._fits(said[0][0].shape[2] + 1)
        words = kept(said)
        found = self.model.decoder.transformer(
            inputs_embeds=self._words(tokens[:, None]),
            past_key_values=EncoderDecoderCache(words, kept(seen)),
            # What the patches were is in the cache; only how many they are is asked again
            encoder_hidden_states=seen[0][0][:, 0],
            use_cache=True,
        )
        state = tuple(zip((layer.past for layer in words.layers), seen, strict=True))
        return self.head(found.last_hidden_state[:, 0]), state

    def hidden(self, memory, tokens):
        """memory (B, N, D), tokens (B, T) → (B, T, E): output t has seen the picture and tokens 0 to t."""
        self._fits(tokens.shape[1])
        words, seen = self._words(tokens), self._project(memory)
        gpt2 = self.model.decoder.transformer
        found = gpt2(inputs_embeds=words, encoder_hidden_states=seen, use_cache=False)
        return found.last_hidden_state

    def head(self, hidden):
        """hidden (…, E) → logits (…, V)."""
        return self.model.decoder.lm_head(hidden)

    def forward(self, memory, tokens):
        """memory (B, N, D), tokens (B, T) → logits (B, T, V); logits t are a guess at token t + 1."""
        return self.head(self.hidden(memory, tokens))

    @torch.no_grad()
    def look(self, memory, tokens, layer=-1):
        """Where it looked before it guessed token t + 1: weights (B, T, N), the mean over the heads of a layer.

        N begins with the class token: `encoder.boxes` says what each embedding saw.
        """
        asked, part = [], self.model.decoder.transformer.h[layer].crossattention.q_attn
        hook = part.register_forward_hook(lambda *call: asked.append(self._split(call[-1])))
        try:
            self.hidden(memory, tokens)
        finally:
            hook.remove()
        keys = self._patches(memory)[layer][0]
        energy = asked[0] @ keys.transpose(2, 3) / keys.shape[-1] ** 0.5  # (B, heads, T, N)
        return energy.softmax(-1).mean(1)

    def _words(self, tokens):
        """tokens (B, T) → embeddings (B, T, E). Given tokens, transformers warns of padding on stderr."""
        return self.model.decoder.transformer.wte(tokens)

    def _project(self, memory):
        """memory (B, N, D) in the width of the words (B, N, E)."""
        same = getattr(self.model, "enc_to_dec_proj", None) is None
        return memory if same else self.model.enc_to_dec_proj(memory)

    def _patches(self, memory):
        """Keys and values of the patches in every layer, each (B, heads, N, E / heads)."""
        seen, blocks = self._project(memory), self.model.decoder.transformer.h
        both = [block.crossattention.c_attn(seen).chunk(2, -1) for block in blocks]
        return [tuple(map(self._split, pair)) for pair in both]

    def _split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, T, E / heads)

    def _fits(self, length):
        if length > self.context:
            raise CourseError(
                f"This GPT-2 reads {self.context} tokens, not {length}: cut the text, or give a longer context."
            )


def small_gpt2(vocab_size, context=64, dim=128, layers=4, heads=4, dropout=0.1, ids=IDS):
    """transformers' GPT2LMHeadModel with random weights. ids: the numbers of bos, eos and pad."""
    must_divide("heads for", heads, dim)
    sizes = dict(n_positions=context, n_embd=dim, n_layer=layers, n_head=heads)
    rates = dict(embd_pdrop=dropout, attn_pdrop=dropout, resid_pdrop=dropout)
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    named = dict(zip(names, ids, strict=True))
    return GPT2LMHeadModel(GPT2Config(vocab_size=vocab_size, **sizes, **rates, **named))


def to_hugging_face(gpt, ids=IDS):
    """transformers' GPT2LMHeadModel with the weights of our GPT: the way back of `gpt.from_hugging_face`."""
    sizes = (gpt.context, gpt.dim, gpt.layers, gpt.heads, gpt.dropout.p)
    model = small_gpt2(len(gpt.tokens.weight), *sizes, ids)
    places, own = renamed(model.transformer.state_dict()), gpt.state_dict()
    _must_fit(places.keys() - own.keys())
    with torch.no_grad():
        # A matrix that lies the other way round there is a view here, so copying turns it
        for name, place in places.items():
            place.copy_(own[name])
    return model


def _must_fit(strange):
    if strange:
        raise CourseError(
            f"This language model has other weights than a GPT-2 has (see {min(strange)}): give it without LoRA."
        )


def _with_cross_attention(language, ids):
    """A copy of a GPT-2 as a decoder, in evaluation mode or training mode as it was."""
    if isinstance(language, HuggingFaceLM):
        language = language.model
    if isinstance(language, GPT):
        language = to_hugging_face(language, ids or IDS)
    if isinstance(language, nn.Module) and not isinstance(language, GPT2LMHeadModel):
        raise CourseError(f"Give a GPT-2 for the language model, not a {type(language).__name__}.")
    if not isinstance(language, GPT2LMHeadModel):
        language = pretrained(GPT2LMHeadModel, language, "gpt2")
    own = language.config
    bos, eos, pad = ids or (own.bos_token_id, own.eos_token_id, own.pad_token_id)
    pad = eos if pad is None else pad
    changes = dict(bos_token_id=bos, eos_token_id=eos, pad_token_id=pad)
    settings = own.to_dict() | changes | dict(is_decoder=True, add_cross_attention=True)
    decoder = GPT2LMHeadModel(GPT2Config.from_dict(settings))
    found = decoder.load_state_dict(language.state_dict(), strict=False)
    new = {name for name in found.missing_keys if "crossattention" in name or "cross_attn" in name}
    _must_fit({*found.missing_keys, *found.unexpected_keys} - new)
    return decoder
