"""Measure agreement between raters beyond chance: Cohen's and Fleiss' kappa, Krippendorff's alpha.

1 is full agreement, 0 is agreement by chance, and a negative value is less than chance. The result is None when it is
undefined: no unit has two answers, or all answers are the same.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Literal

Level = Literal["nominal", "ordinal", "interval"]


def cohens_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Return the agreement of two raters who put the same units, in the same order, into categories (Cohen 1960)."""
    n = len(first)
    if n == 0:
        return None
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    ones, others = Counter(first), Counter(second)
    expected = sum(count * others[category] for category, count in ones.items()) / n**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def fleiss_kappa(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Return the agreement of several raters, with the same number of answers for each unit.

    Fleiss 1971. Raise ValueError when the number of answers differs between units.
    """
    raters = {len(unit) for unit in units}
    if len(raters) > 1:
        raise ValueError(f"Fleiss' kappa needs the same number of answers for each unit, got {sorted(raters)}")
    n = raters.pop() if raters else 0
    if n < 2:
        return None
    agreeing = sum(count * (count - 1) for unit in units for count in Counter(unit).values())
    observed = agreeing / (len(units) * n * (n - 1))
    totals = Counter(answer for unit in units for answer in unit)
    expected = sum((count / (len(units) * n)) ** 2 for count in totals.values())
    return None if expected == 1 else (observed - expected) / (1 - expected)


def krippendorffs_alpha(units: Iterable[Sequence[Hashable]], level: Level = "nominal") -> float | None:
    """Return the agreement of any number of answers per unit. Units with fewer than two answers are ignored.

    Krippendorff 2011. `level` selects the measure of difference: between categories (nominal), between ranks (ordinal,
    for answers that can be sorted) or between numbers (interval).
    """
    paired = [unit for unit in units if len(unit) >= 2]
    if level == "nominal":
        return _nominal_alpha(paired)
    ranked = _midranks(paired) if level == "ordinal" else [[float(x) for x in unit] for unit in paired]  # type: ignore[arg-type]
    return _interval_alpha(ranked)


def _nominal_alpha(units: Sequence[Sequence[Hashable]]) -> float | None:
    counts = [Counter(unit) for unit in units]
    totals = sum(counts, Counter())
    n = totals.total()
    observed = sum(_disagreeing(unit) / (unit.total() - 1) for unit in counts)
    expected = _disagreeing(totals) / (n - 1) if n else 0.0
    return 1 - observed / expected if expected else None


def _disagreeing(counts: Counter[Hashable]) -> int:
    """Return the number of ordered pairs of answers that differ."""
    return counts.total() ** 2 - sum(count**2 for count in counts.values())


def _interval_alpha(units: Sequence[Sequence[float]]) -> float | None:
    """Compute alpha from sums and sums of squares, in one pass over the answers."""
    answers = [x for unit in units for x in unit]
    if not answers:
        return None
    middle = sum(answers) / len(answers)  # subtracted first, because large squares would cancel small differences
    observed = sum(_squares([x - middle for x in unit]) / (len(unit) - 1) for unit in units)
    expected = _squares([x - middle for x in answers]) / (len(answers) - 1)
    return 1 - observed / expected if expected > 1e-12 * len(answers) else None


def _squares(values: Sequence[float]) -> float:
    """Return the sum of (a - b)² over all ordered pairs."""
    return 2 * (len(values) * sum(x * x for x in values) - sum(values) ** 2)


def _midranks(units: Sequence[Sequence[Hashable]]) -> list[list[float]]:
    """Replace every answer by its mid-rank, because Krippendorff's ordinal difference is that of mid-ranks."""
    totals = Counter(answer for unit in units for answer in unit)
    ranks: dict[Hashable, float] = {}
    below = 0
    for answer in sorted(totals):  # type: ignore[type-var]  # ordinal answers can be ordered
        ranks[answer] = below + totals[answer] / 2
        below += totals[answer]
    return [[ranks[answer] for answer in unit] for unit in units]
