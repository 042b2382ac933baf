"""Each label's share of the target, so that the accepted samples come out balanced.

Which label is asked for next is decided by `synthgen.generate.planner`.
"""

from collections.abc import Sequence


class Shares:
    """Tell how many more samples each label may take, so that the target is split evenly.

    Where the target is not divisible, labels differ by one sample, and whoever comes first gets it. Where some labels
    have more than their share already (a run that was forked, or grown from one that was not balanced), the others
    share what is left. A task without labels has the one label None.
    """

    def __init__(self, labels: Sequence[str], target: int, per_label: int | None = None) -> None:
        self.labels: tuple[str | None, ...] = tuple(labels) or (None,)
        self._accepted: dict[str | None, int] = dict.fromkeys(self.labels, 0)
        self._total = 0
        self.retarget(target, per_label)

    def retarget(self, target: int, per_label: int | None = None) -> None:
        """Split another target; at most `per_label` samples of each label, where that is given."""
        self.target = target
        self.per_label = per_label
        self._level: tuple[int, int] | None = None

    @property
    def needed(self) -> int:
        """Return the number of samples missing from the target."""
        return max(0, self.target - self._total)

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
            elif before >= level:  # more than its share: the others' shares shrink
                self._level = None

    def lacks(self, label: str | None) -> int:
        """Return how many more samples with this label may be accepted at most."""
        level, extra = self._level = self._level or self._leveled()
        have = self.accepted(label)
        most = level + (extra > 0)
        if self.per_label is not None:
            most = min(most, self.per_label)
        return max(0, most - have)

    def _leveled(self) -> tuple[int, int]:
        """Return the number of samples that all labels can reach, and how many labels may have one more.

        What is missing from the target goes to the labels with the fewest samples first, as water fills a vessel.
        """
        counts = sorted(self._accepted.values())
        above = 0
        for lowest in range(len(counts), 0, -1):
            level, extra = divmod(self.target - above, lowest)
            if level >= counts[lowest - 1]:
                return level, extra
            above += counts[lowest - 1]
        return 0, 0  # more was accepted than the target
