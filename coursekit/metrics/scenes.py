"""Scores for pictures whose whole truth is known: which claims of a caption are facts."""

from coursekit.errors import CourseError


def fact_scores(claims, facts):
    """Precision and recall of claimed facts, counted over all pictures together.

    `claims[i]` is the set of facts that caption i claims and `facts[i]` what is true of picture i.
    Returns {"fact_precision", "fact_recall"} from 0 to 1: the part of all claims that is true, and
    the part of all facts that is claimed.  Captions that claim nothing at all have precision 0.
    Raises CourseError if the two lists differ in length or are empty.
    """
    if len(claims) != len(facts) or not facts:
        raise CourseError(
            f"There are {len(claims)} sets of claims for {len(facts)} sets of facts; "
            "give one of each for every picture."
        )
    true = sum(len(claimed & known) for claimed, known in zip(claims, facts, strict=True))
    claimed, known = sum(map(len, claims)), sum(map(len, facts))
    return {
        "fact_precision": true / claimed if claimed else 0.0,
        "fact_recall": true / known if known else 0.0,
    }
