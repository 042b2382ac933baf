"""Estimate how reliable each annotator is, and the likeliest answer of each sample (Dawid and Skene 1979, crowd-kit)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from synthgen.labels.answers import explained, ordinary
from synthgen.records import PersonAnswer

_ITERATIONS = 100
_FEWEST = 2  # people, and different answers


@dataclass(frozen=True)
class Reliability:
    """Hold the estimated reliability of one person."""

    person: str
    answers: int
    right: float
    """Estimated share of right answers."""
    confused: str | None
    """The most common confusion in words; None where there is none."""


def estimate(answers: Sequence[PersonAnswer]) -> list[Reliability]:
    """Return each person's reliability, the best first; empty where fewer than two people or answers can be compared."""
    given = ordinary(answers)
    people = Counter(one.annotator for one in given)
    if len(people) < _FEWEST or len({one.answer for one in given}) < _FEWEST:
        return []
    import pandas as pd
    from crowdkit.aggregation import DawidSkene

    rows = [(one.sample_id, one.annotator, explained(one.answer)) for one in given]
    model = DawidSkene(n_iter=_ITERATIONS).fit(pd.DataFrame(rows, columns=["task", "worker", "label"]))
    priors, errors = model.priors_, model.errors_
    assert priors is not None and errors is not None  # the model is fitted
    found = []
    for person, count in people.items():
        table = pd.DataFrame(errors.loc[person]).reindex(index=priors.index, columns=priors.index, fill_value=0.0)
        right = float(sum(priors[label] * table.loc[label, label] for label in priors.index))
        wrong = [
            (float(priors[true] * table.loc[said, true]), str(true), str(said))
            for true in priors.index
            for said in priors.index
            if said != true
        ]
        share, true, said = max(wrong)
        told = f"{said} for {true} ({100 * share:.0f} % of all)" if share >= 0.005 else None
        found.append(Reliability(person, count, round(right, 4), told))
    return sorted(found, key=lambda one: (-one.right, one.person))
