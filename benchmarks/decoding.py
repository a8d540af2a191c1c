"""Beam search over many pictures at once, against one at a time and Hugging Face: the same captions, in one run.

    python benchmarks/decoding.py [--pictures 64] [--beam 5] [--length-penalty 0] [--repeats 5]

The model is the captioner that comes with the course, looking at scenes; Hugging Face's `generate` gets the same
model, wrapped. Operations are those of the words of each beam up to its picture's end: what a search reads beyond,
until all pictures are done, counts as nothing. Ends with exit code 1 if a caption differs.
"""

import harness
import torch
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from coursekit.captioner import shipped_captioner
from coursekit.datasets.scenes import Scenes
from coursekit.decoding import beam_search, greedy, select

MAX_LEN = 30


class StateCache:
    """A step model's state, as Hugging Face's beam search wants to reorder it."""

    is_compileable = False

    def __init__(self):
        self.state = None

    def get_seq_length(self, *_):
        """0 for an empty cache; that is all `generate` needs to know."""
        return 0 if self.state is None else 1

    def reorder_cache(self, rows):
        """Keeps these rows of the state."""
        self.state = select(self.state, rows)


class StepModelForGeneration(PreTrainedModel, GenerationMixin):
    """A step model with the interface of Hugging Face's `generate`."""

    config_class = PreTrainedConfig
    main_input_name = "input_ids"
    _is_stateful = True  # no state can be taken back, so no assisted decoding

    def __init__(self, config, model):
        super().__init__(config)
        self.model = model

    def forward(self, input_ids, memory, past_key_values, **_):
        """The logits (B, 1, V) after the last token, and the state behind them."""
        if past_key_values.state is None:
            past_key_values.state = self.model.start(memory)
        logits, past_key_values.state = self.model.step(input_ids[:, -1], past_key_values.state)
        return CausalLMOutputWithPast(logits=logits[:, None], past_key_values=past_key_values)

    def prepare_inputs_for_generation(
        self, input_ids, memory, past_key_values, attention_mask=None, **_
    ):
        """All that `forward` takes: no position is masked."""
        return {"input_ids": input_ids, "memory": memory, "past_key_values": past_key_values}


def shipped_model(pictures):
    """(step model, memory (B, N, D), bos_id, eos_id)."""
    captioner = shipped_captioner()
    memory = captioner.memory(Scenes("test", pictures).images(range(pictures)))
    return captioner.decoder, memory, captioner.tokenizer.bos_id, captioner.tokenizer.eos_id


def ways(model, memory, bos_id, eos_id, beam, length_penalty):
    """name → function that returns the captions' tokens, for the three ways to search."""
    wrapped = StepModelForGeneration(PreTrainedConfig(), model).eval()

    def search(part):
        if beam == 1:
            return greedy(model, part, bos_id, eos_id, MAX_LEN)[0]
        return beam_search(model, part, bos_id, eos_id, beam, MAX_LEN, length_penalty)[0]

    def hugging_face():
        prompt = torch.full((len(memory), 1), bos_id)
        beams = dict(num_beams=beam, length_penalty=length_penalty, early_stopping="never")
        found = wrapped.generate(
            prompt, attention_mask=torch.ones_like(prompt), memory=memory,
            past_key_values=StateCache(), do_sample=False, max_new_tokens=MAX_LEN,
            pad_token_id=0, bos_token_id=bos_id, eos_token_id=eos_id, **beams if beam > 1 else {},
        )  # fmt: skip
        rows = found[:, 1:].tolist()
        return [row[: row.index(eos_id)] if eos_id in row else row for row in rows]

    return {
        harness.OURS: lambda: search(memory),
        "one at a time": lambda: [search(part)[0] for part in memory.split(1)],
        "Hugging Face": hugging_face,
    }


def operations(model, captions, beam):
    """Floating-point operations of the steps that these captions need: the LSTM's four gates, and the logits."""
    E, H, V = model.embedding.embedding_dim, model.hidden_dim, model.head.out_features
    steps = beam * sum(len(caption) + 1 for caption in captions)  # one more for the end
    return 2 * steps * (4 * H * (E + H) + H * V)


def rows(options):
    """A row for greedy search, and one for the beam."""
    model, memory, *ends = shipped_model(options.pictures)
    for beam in (1, options.beam):
        tasks = ways(model, memory, *ends, beam, options.length_penalty)
        captions = tasks[harness.OURS]()
        lengths = [len(caption) for caption in captions]
        name = "greedy" if beam == 1 else f"beam {beam}"
        yield harness.compare(
            f"{name}, {len(captions)} pictures", tasks, options, len(captions), "captions",
            operations=operations(model, captions, beam),
            note=f"captions of {min(lengths)} to {max(lengths)} words, {len(set(map(tuple, captions)))} different",
        )  # fmt: skip


def main():
    """Prints the comparison, for greedy search and for the beam."""
    parser = harness.parser(__doc__)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--length-penalty", type=float, default=0.0)
    options = harness.begin(parser.parse_args())
    harness.report("decoding", rows(options), options)


if __name__ == "__main__":
    main()
