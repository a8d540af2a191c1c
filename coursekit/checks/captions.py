"""What the checks of trained captioners share: as many captions as pictures, and a BLEU-4 that is asked for."""

from coursekit.checks.core import Wrong

ONE_EACH = "one caption for each picture"


def expect_bleu(describe, memory, references, score, at_least, why):
    """describe(memory (B, N, D)) -> B captions, whose score(captions, references) is `at_least` or more.

    why: (captions, references, score, bleu) -> the likely cause of a score that is too low.
    """
    told = describe(memory.clone())
    if not isinstance(told, (list, tuple)) or not all(isinstance(one, str) for one in told):
        raise Wrong("a list of strings", f"a {type(told).__name__}", ONE_EACH)
    if len(told) != len(references):
        raise Wrong(f"{len(references)} captions", f"{len(told)}", ONE_EACH)
    told = list(told)
    bleu = score(told, references)
    if bleu < at_least:
        got = f"{bleu:.3f}; for one, '{told[0][:60]}'"
        raise Wrong(f"BLEU-4 of at least {at_least:.2f}", got, why(told, references, score, bleu))
    print(f"  BLEU-4 {bleu:.3f} on {len(told)} pictures, at least {at_least:.2f} is asked for")
