"""Measure how labels and lengths differ between two datasets."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from synthgen.records import Json
from synthgen.versions.reading import Dataset
from synthgen.versions.roles import Roles

_MOST_LABELS = 200
"""Most different targets that count as labels."""


@dataclass
class Profile:
    """Hold the labels and the lengths of one dataset. Lengths are in characters."""

    labels: Counter[str] | None = field(default_factory=Counter)
    """None where the target is no label."""
    lengths: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    """Lengths of the targets, which are of use where the target is no label."""


@dataclass(frozen=True)
class Shift:
    """Hold the difference of one distribution. `p` is the probability of a larger one between two samples of one source."""

    before: float | None
    after: float | None
    statistic: float
    p: float

    @property
    def json(self) -> Json:
        return asdict(self)


def profile(dataset: Dataset, roles: Roles) -> Profile:
    """Return the labels and lengths of a dataset."""
    found = Profile()
    for _, data in dataset.rows.contents():
        found.lengths.append(len(roles.text(data)))
        if found.labels is not None:
            label = roles.label(data)
            if label is None or len(found.labels) > _MOST_LABELS:
                found.labels = None
            else:
                found.labels[label] += 1
        found.answers.append(_length(list(roles.answer(data).values())))
    return found


def of_lengths(before: Sequence[int], after: Sequence[int]) -> Shift:
    """Compare two samples of lengths: their medians, and the two-sample Kolmogorov-Smirnov test."""
    from scipy.stats import ks_2samp

    found = ks_2samp(np.asarray(before), np.asarray(after))
    return Shift(float(np.median(before)), float(np.median(after)), float(found.statistic), float(found.pvalue))


def of_labels(before: Counter[str], after: Counter[str]) -> Shift | None:
    """Compare the counts of labels by Pearson's chi-squared test. None where there is only one label."""
    from scipy.stats import chi2_contingency

    names = sorted({*before, *after})
    if len(names) < 2:
        return None
    found = chi2_contingency([[counts[name] for name in names] for counts in (before, after)], correction=False)
    return Shift(None, None, float(found.statistic), float(found.pvalue))


def _length(value: object) -> int:
    """Return the number of characters of all texts in a JSON value, and of its numbers as text."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | dict):
        return sum(map(_length, value.values() if isinstance(value, dict) else value))
    return 0 if value is None else len(str(value))
