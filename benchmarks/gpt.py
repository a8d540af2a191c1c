"""The GPT written by hand against transformers' GPT2LMHeadModel: the same weights, the same results, in one run.

    python benchmarks/gpt.py [--sizes small words gpt2] [--threads 1] [--repeats 5] [--beam 5] [--json FILE]

Reading is a forward pass, of which logits are compared. Training is forward, backward and a step of AdamW on the same
batches, without dropout. Generation goes on from a prefix of embeddings, with a cache: `coursekit.decoding` against
`generate` with its SDPA attention, without scores. No token ends a caption, so both make the same number. Weights are
random, so nothing is fetched; "gpt2" has the build of GPT-2 and needs 6 GB. Operations are those of the weights and of
the places that a causal mask lets through; backward costs two forwards. Ends with exit code 1 if logits, losses or
tokens differ.
"""

import harness
import torch
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from coursekit.decoding import beam_search, greedy
from coursekit.models.gpt import from_hugging_face

SMALL = dict(dim=128, layers=4, heads=4, context=128)
# rows and places: a batch of training; pictures, prefix and words: what is generated
SIZES = {
    "small": SMALL | dict(V=300, rows=32, places=24, pictures=(1, 16), prefix=10, words=30),
    "words": SMALL | dict(V=2700, rows=32, places=24, pictures=(1, 16), prefix=10, words=30),
    "gpt2": dict(dim=768, layers=12, heads=12, context=1024, V=50257)
    | dict(rows=2, places=32, pictures=(1, 4), prefix=10, words=8),
}
BOS, NONE = 1, -1


def make_pair(size):
    """(ours, theirs): two models with the same random weights, large enough to say different things."""
    torch.manual_seed(0)
    sizes = dict(n_embd=size["dim"], n_layer=size["layers"], n_head=size["heads"])
    config = GPT2Config(
        vocab_size=size["V"], n_positions=size["context"], **sizes, bos_token_id=BOS,
        eos_token_id=None, attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0,
    )  # fmt: skip
    theirs = GPT2LMHeadModel._from_config(config, attn_implementation="sdpa").eval()
    with torch.no_grad():
        for weights in theirs.parameters():
            weights.add_(torch.randn_like(weights), alpha=0.5 * size["dim"] ** -0.5)
    return from_hugging_face(theirs, dropout=0.0).eval(), theirs


def reading(ours, theirs, size):
    """name → function that returns logits (2, T, V)."""
    tokens = torch.randint(size["V"], (2, size["places"]))
    with_no_gradient = torch.no_grad()
    return {
        harness.OURS: with_no_gradient(lambda: ours(None, tokens)),
        "transformers": with_no_gradient(lambda: theirs(tokens, use_cache=False).logits),
    }


def training(ours, theirs, size):
    """name → function that makes one step of training and returns its loss."""
    tokens = torch.randint(size["V"], (size["rows"], size["places"] + 1))
    inputs, targets = tokens[:, :-1], tokens[:, 1:].flatten()

    def stepper(model, logits):
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.01)
        model.train()

        def step():
            loss = F.cross_entropy(logits().flatten(0, 1), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

        return step

    return {
        harness.OURS: stepper(ours, lambda: ours(None, inputs)),
        "transformers": stepper(theirs, lambda: theirs(inputs, use_cache=False).logits),
    }


def generation(ours, theirs, size, pictures, beam):
    """name → function that returns token lists, one a picture."""
    prefix = torch.randn(pictures, size["prefix"], size["dim"])
    first = theirs.transformer.wte(torch.full((pictures, 1), BOS)).detach()
    read = torch.cat([prefix, first], 1)  # (B, P + 1, E)
    mask = torch.ones(read.shape[:2], dtype=torch.long)
    beams = dict(num_beams=beam, length_penalty=0.0) if beam > 1 else {}

    def hand():
        if beam == 1:
            return greedy(ours, prefix, BOS, NONE, size["words"])[0]
        return beam_search(ours, prefix, BOS, NONE, beam, size["words"])[0]

    def hugging_face():
        return theirs.generate(
            inputs_embeds=read, attention_mask=mask, max_new_tokens=size["words"],
            do_sample=False, use_cache=True, pad_token_id=0, **beams,
        ).tolist()  # fmt: skip

    return {harness.OURS: hand, "transformers": hugging_face}


def operations(size, places, heads_used, seen):
    """Floating-point operations of a forward pass: `places` embeddings, of which some reach the head.

    `seen`: how many places one attends to, in the mean.
    """
    inside = 12 * size["dim"] ** 2 + 2 * size["dim"] * seen
    return 2 * (places * size["layers"] * inside + heads_used * size["dim"] * size["V"])


def rows_of(name, size, options):
    """The rows of one size, as they are measured."""
    ours, theirs = make_pair(size)
    places, prefix, words = size["places"], size["prefix"], size["words"]

    def compare(task, tasks, tokens, flops):
        return harness.compare(
            f"{name}: {task}", tasks, options, tokens, "tokens", operations=flops
        )

    read = 2 * places
    yield compare(
        "reading", reading(ours, theirs, size), read, operations(size, read, read, places / 2)
    )
    for pictures in size["pictures"]:
        for beam in (1, options.beam):
            task = f"{'greedy' if beam == 1 else f'beam {beam}'}, {pictures} at once"
            steps = pictures * beam * words
            flops = operations(size, pictures * prefix, 0, prefix / 2)
            flops += operations(size, steps, steps, prefix + words / 2)
            tasks = generation(ours, theirs, size, pictures, beam)
            yield compare(task, tasks, pictures * words, flops)
    tokens = size["rows"] * places
    flops = 3 * operations(size, tokens, tokens, places / 2)
    yield compare(
        f"training, {size['rows']} × {places}", training(ours, theirs, size), tokens, flops
    )


def main():
    """Prints the comparison, a row as soon as it is measured."""
    parser = harness.parser(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--beam", type=int, default=5)
    options = harness.begin(parser.parse_args())
    rows = (row for name in options.sizes for row in rows_of(name, SIZES[name], options))
    harness.report("gpt", rows, options)


if __name__ == "__main__":
    main()
