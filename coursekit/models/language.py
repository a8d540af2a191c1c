"""Language models that a prefix can steer: any of Hugging Face behind the interface of our GPT, and LoRA for both."""

import torch
from torch import nn

from coursekit.errors import CourseError
from coursekit.models.gpt import GPT


class HuggingFaceLM(nn.Module):
    """A causal language model of transformers, with the interface of `gpt.GPT`: `tokens`, `run`, `head`, `dim`.

    named: whether the model's name gives its weights again.
    Raises CourseError if its logits are not those of its head on its last layer, or if it keeps no keys and values.
    """

    def __init__(self, model, named=False):
        super().__init__()
        self.model, self.named = model, named
        embeddings = model.get_input_embeddings()
        self.vocab_size, self.dim = embeddings.weight.shape
        self.context = getattr(model.config, "max_position_embeddings", None)
        self._check()

    @classmethod
    def load(cls, name):
        """The model of a name on the hub, or of a folder that `save_pretrained` left, in float32.

        Raises CourseError if there is none, or if weights are missing.
        """
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()  # a word on stderr costs a notebook its mark
        try:
            model, told = AutoModelForCausalLM.from_pretrained(
                name, dtype=torch.float32, output_loading_info=True
            )
        except Exception as error:  # damaged files raise anything
            raise CourseError(
                f"There is no language model '{name}': give a name on the hub (with a network), or a folder that "
                "save_pretrained wrote."
            ) from error
        if told["missing_keys"]:  # these would begin at random
            lost = min(told["missing_keys"])
            raise CourseError(f"{name} lacks weights, such as {lost}: copy or save it anew.")
        return cls(model, named=True)

    def tokens(self, tokens):
        """tokens (B, T) → embeddings (B, T, E)."""
        return self.model.get_input_embeddings()(tokens)

    def head(self, hidden):
        """hidden (…, E) → logits (…, V)."""
        return self.model.get_output_embeddings()(hidden)

    def run(self, x, past=None):
        """x (B, T, E) → (B, T, E) of the last layer, and all layers' keys and values, as in `GPT.run`."""
        from coursekit.models.kept import kept

        start = past[0][0].shape[2] if past else 0
        if self.context and start + x.shape[1] > self.context:
            raise CourseError(
                f"This model reads {self.context} tokens, not {start + x.shape[1]}: cut the text."
            )
        cache = kept(past)
        found = self.model.base_model(inputs_embeds=x, past_key_values=cache, use_cache=True)
        return found.last_hidden_state, tuple(layer.past for layer in cache.layers)

    @torch.no_grad()
    def _check(self):
        self.model.eval()  # transformers loads models so; dropout would tell the two ways apart
        some = torch.tensor([[1, 2, 3]], device=self.model.device)
        hidden, past = self.run(self.tokens(some))
        if not past or not torch.allclose(
            self.head(hidden), self.model(some).logits, rtol=1e-3, atol=1e-3
        ):
            raise CourseError(
                f"{type(self.model).__name__} cannot be led by a prefix here: its logits are more than its head on "
                "its last layer, or it keeps no keys and values. GPT-2, OPT, Pythia and Llama can."
            )


def add_lora(language, rank=8):
    """Small matrices A B beside the large ones of a language model, by peft: W x + 2 B A x (Hu et al. 2021).

    They alone learn, and B = 0 at first, so that the model begins as it was. In place.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    own = isinstance(language, GPT)
    # Those that mix and digest; not the head, which is the words' embeddings too
    names = r".*blocks\.\d+\.(attention\.(qkv|out)|mlp\.[02])" if own else "all-linear"
    turned = any(isinstance(each, Conv1D) for each in language.modules())  # GPT-2's matrices
    settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names, fan_in_fan_out=turned)
    inject_adapter_in_model(settings, language if own else language.model)


def parameters_that_learn(model):
    """How many numbers of a model training may change."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)
