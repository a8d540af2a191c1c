"""The Image GPT written by hand against transformers' ImageGPT: the same weights, the same results, in one run.

    python benchmarks/image_gpt.py [--sizes d16 d64 d128] [--threads 1] [--repeats 5] [--places 28] [--json FILE]

Reading is a forward pass of two pictures, of which logits are compared. Training is forward, backward and a step of
AdamW on 16 pictures of 28 × 28 pixels in 16 colours, without dropout. Completing is the lower half, 392 pixels, of 16
pictures: with the cache, by `generate`, and without a cache, where all is read anew for each pixel. The last is so slow
that only `--places` of its 392 steps are taken, evenly spread, and their time is multiplied (392 takes them all). The
likeliest colour is taken, so that all three draw the same. The share of the matrix rate counts of attention only the
places that a causal mask lets through; the note says what it is if all 784 are counted, as papers do (Chowdhery et
al. 2022, appendix B). Ends with exit code 1 if logits, losses or pixels differ.
"""

import harness
import torch
from torch.nn import functional as F

from coursekit.models.image_gpt import ImageGPT, ar_loss, draw, to_hugging_face

SIZES = {
    "d16": dict(dim=16, layers=8, heads=2),
    "d64": dict(dim=64, layers=4, heads=4),
    "d128": dict(dim=128, layers=4, heads=4),
}
COLOURS, SIDE, PICTURES = 16, 28, 16


def make_pair(size):
    """(ours, theirs): two models with the same random weights, large enough to say different things."""
    torch.manual_seed(0)
    ours = ImageGPT(COLOURS, SIDE, **size, dropout=0.0).eval()
    with torch.no_grad():
        for weights in ours.parameters():
            weights.add_(torch.randn_like(weights), alpha=0.5 * size["dim"] ** -0.5)
    return ours, to_hugging_face(ours).eval()


def begun(ours, tokens):
    """The start token before tokens (B, T): what transformers' model reads, (B, 1 + T)."""
    return F.pad(tokens, (1, 0), value=ours.start_id)


def reading(ours, theirs):
    """name → function that returns logits (2, T, V)."""
    tokens = torch.randint(COLOURS, (2, ours.pixels))
    inputs = begun(ours, tokens)[:, :-1]
    with_no_gradient = torch.no_grad()
    return {
        harness.OURS: with_no_gradient(lambda: ours(tokens)),
        "transformers": with_no_gradient(lambda: theirs(inputs, use_cache=False).logits),
    }


def training(ours, theirs):
    """name → function that makes one step of training and returns its loss."""
    tokens = torch.randint(COLOURS, (PICTURES, ours.pixels))
    inputs = begun(ours, tokens)[:, :-1]

    def their_loss():
        logits = theirs(inputs, use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten())

    def stepper(model, loss_of):
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.01)
        model.train()

        def step():
            loss = loss_of()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

        return step

    return {
        harness.OURS: stepper(ours, lambda: ar_loss(ours, tokens)),
        "transformers": stepper(theirs, their_loss),
    }


def completing(ours, theirs, places):
    """name → function that completes the lower half of the same pictures and returns the pixels at some places."""
    half = ours.pixels // 2
    given = torch.randint(COLOURS, (PICTURES, half))
    asked = torch.linspace(half, ours.pixels - 1, places).long().tolist()
    whole = draw(ours, given, temperature=0)  # what the way without a cache would have before it

    def hugging_face():
        read = begun(ours, given)
        found = theirs.generate(
            read, attention_mask=torch.ones_like(read), max_new_tokens=half, do_sample=False,
            use_cache=True, pad_token_id=0,
        )  # fmt: skip
        return found[:, [1 + place for place in asked]].tolist()

    @torch.no_grad()
    def without_cache():
        steps = [ours(whole[:, : place + 1])[:, -1].argmax(-1) for place in asked]
        return torch.stack(steps, 1).tolist()

    return {
        harness.OURS: lambda: draw(ours, given, temperature=0)[:, asked].tolist(),
        "transformers": hugging_face,
        "no cache": without_cache,
    }


def operations(size, places, seen):
    """Floating-point operations of a forward pass over `places`, each of which attends to `seen` in the mean."""
    inside = 12 * size["dim"] ** 2 + 2 * size["dim"] * seen
    return 2 * places * (size["layers"] * inside + size["dim"] * COLOURS)


def rows_of(name, size, options):
    """The rows of one size, as they are measured."""
    ours, theirs = make_pair(size)
    half = ours.pixels // 2

    def compare(task, tasks, pictures, pixels, flops, **more):
        made = dict(operations=flops, **more)
        return harness.compare(
            f"{name}: {task}", tasks, options, pictures * pixels, "pixels", **made
        )

    flops = operations(size, 2 * ours.pixels, ours.pixels / 2)
    yield compare("reading", reading(ours, theirs), 2, ours.pixels, flops)
    # Backward costs two forwards
    flops, full = (3 * operations(size, PICTURES * ours.pixels, ours.pixels / n) for n in (2, 1))
    row = compare("training", training(ours, theirs), PICTURES, ours.pixels, flops)
    yield row | {"note": f"{row['share'] * full / flops:.0%} with attention to all places counted"}
    pair = make_pair(size)  # as it was before it was trained
    flops = operations(size, PICTURES * half, half / 2) + operations(
        size, PICTURES * half, 1.5 * half
    )
    tasks, parts = completing(*pair, options.places), {"no cache": options.places / half}
    yield compare("completing", tasks, PICTURES, half, flops, parts=parts)


def main():
    """Prints the comparison, a row as soon as it is measured."""
    parser = harness.parser(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--places", type=int, default=28)
    options = harness.begin(parser.parse_args())
    rows = (row for name in options.sizes for row in rows_of(name, SIZES[name], options))
    harness.report("image_gpt", rows, options)


if __name__ == "__main__":
    main()
