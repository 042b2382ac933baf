"""Compute each label's share of the target, so that the accepted samples are balanced.

`synthgen.generate.planner` decides which label to ask for next.
"""

from collections.abc import Mapping, Sequence


class Shares:
    """Compute how many more samples of each label may be accepted, so that the target is split evenly.

    Where the target cannot be divided evenly, the labels that fill their share first get one sample more. Where some
    labels already have more than their share (in a fork, or after an unbalanced run), the other labels share the rest.
    A task without labels has the single label None. With `quotas`, each label has its own share instead.
    """

    def __init__(
        self,
        labels: Sequence[str],
        target: int,
        per_label: int | None = None,
        quotas: Mapping[str, int] | None = None,
    ) -> None:
        self.labels: tuple[str | None, ...] = tuple(labels) or (None,)
        self._accepted: dict[str | None, int] = dict.fromkeys(self.labels, 0)
        self._total = 0
        self.retarget(target, per_label, quotas)

    def retarget(self, target: int, per_label: int | None = None, quotas: Mapping[str, int] | None = None) -> None:
        """Change the target. `per_label` limits the samples of each label; `quotas` gives the share of each label."""
        self.target = target
        self.per_label = per_label
        self.quotas = quotas
        self._level: tuple[int, int] | None = None

    @property
    def needed(self) -> int:
        """Return the number of samples that are still missing to reach the target."""
        return max(0, self.target - self._total)

    @property
    def lacking(self) -> list[str | None]:
        """Return the labels that still lack samples."""
        return [label for label in self.labels if self.lacks(label)]

    def factor(self, label: str | None) -> float:
        """Return how many times larger than the share of this label the whole target is."""
        if self.quotas is None:
            return float(len(self.labels))
        return sum(self.quotas.values()) / self.quotas[str(label)]

    def accepted(self, label: str | None) -> int:
        return self._accepted.get(label, 0)

    def add(self, label: str | None) -> None:
        """Count an accepted sample."""
        before = self.accepted(label)
        self._accepted[label] = before + 1
        self._total += 1
        if self._level is not None:
            level, extra = self._level
            if before == level and extra:
                self._level = level, extra - 1
            elif before >= level:  # this label exceeds its share, so the shares of the others shrink
                self._level = None

    def lacks(self, label: str | None) -> int:
        """Return the most samples with this label that may still be accepted."""
        if self.quotas is not None:
            return max(0, self.quotas.get(str(label), 0) - self.accepted(label))
        level, extra = self._level = self._level or self._leveled()
        have = self.accepted(label)
        most = level + (extra > 0)
        if self.per_label is not None:
            most = min(most, self.per_label)
        return max(0, most - have)

    def _leveled(self) -> tuple[int, int]:
        """Return the number of samples that every label can reach, and the number of labels that may have one more.

        The labels with the fewest samples get the missing samples first, as water fills the lowest part of a vessel
        first.
        """
        counts = sorted(self._accepted.values())
        above = 0
        for lowest in range(len(counts), 0, -1):
            level, extra = divmod(self.target - above, lowest)
            if level >= counts[lowest - 1]:
                return level, extra
            above += counts[lowest - 1]
        return 0, 0  # every label has more samples than an even share of the target
