"""Find the samples on which people disagree, and decide them by majority. The answers themselves are kept."""

from collections import Counter
from collections.abc import Sequence

from synthgen.labels.answers import by_sample
from synthgen.records import ADJUDICATION, PersonAnswer

MAJORITY = "majority"
"""Name under which majorities are recorded; no person may have it."""


def disputed(answers: Sequence[PersonAnswer]) -> dict[str, list[PersonAnswer]]:
    """Return the answers to each sample with different answers and no adjudication."""
    return {
        key: given
        for key, given in by_sample(answers).items()
        if len({one.answer for one in given}) > 1 and all(one.role != ADJUDICATION for one in given)
    }


def by_majority(answers: Sequence[PersonAnswer], guide: str | None, at: float) -> tuple[list[PersonAnswer], list[str]]:
    """Return an adjudication for each disputed sample with an absolute majority, and the ids of the others."""
    decided, ties = [], []
    for key, given in disputed(answers).items():
        (answer, votes), *_ = Counter(one.answer for one in given).most_common(1)
        if 2 * votes > len(given):
            decided.append(PersonAnswer(key, MAJORITY, answer, at, guide, ADJUDICATION))
        else:
            ties.append(key)
    return decided, ties


def to_decide(answers: Sequence[PersonAnswer], person: str) -> tuple[list[str], int]:
    """Return the disputed samples that `person` may decide, and the number of those that they have answered themselves.

    A person who has answered a sample may not decide the disagreement about it.
    """
    found = disputed(answers)
    open_ones = [key for key, given in found.items() if all(one.annotator != person for one in given)]
    return open_ones, len(found) - len(open_ones)
