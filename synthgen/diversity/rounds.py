"""Rounds: the run in stretches of slots, and the samples that each one's figures are about."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from synthgen.diversity.metrics import Vectors
from synthgen.records import Sample

SLOTS = 64
"""Slots in a round, unless `run.round_slots` says otherwise."""
ROWS = 64
"""Accepted samples that the figures of a round are about, once so many were accepted."""

Accepted = tuple[Sample, Vectors]
"""A sample and its unit vector of shape (dim,)."""


@dataclass(frozen=True)
class Round:
    """Hold what happened from the slot `first` to the slot `last`.

    `rows` are as many in every round, so that figures that depend on the size of a set can be held
    against each other: ROWS of the round's own, evenly spaced, or those and the ones before them where
    the round has fewer. `full` says that there were so many.
    """

    first: int
    last: int
    candidates: int
    accepted: Sequence[Accepted]
    rows: Sequence[Accepted]

    @property
    def full(self) -> bool:
        return len(self.rows) == ROWS


class Rounds:
    """Cut a run's slots into rounds of `size`; feed every slot in order when it is settled."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._before: list[Accepted] = []
        self._begin(0)

    def settled(self, slot: int, accepted: Sequence[Accepted], candidates: int) -> Round | None:
        """Return the round that ends with this slot, if one does."""
        self._last = slot
        self._accepted += accepted
        self._candidates += candidates
        return self.close() if (slot + 1) % self._size == 0 else None

    def close(self) -> Round | None:
        """Return the unfinished round, whatever its length; None if it has not begun."""
        if self._last < self._first:
            return None
        closed = Round(self._first, self._last, self._candidates, self._accepted, self._rows())
        self._before = [*self._before, *self._accepted][-ROWS:]
        self._begin(self._last + 1)
        return closed

    def _begin(self, first: int) -> None:
        self._first, self._last = first, first - 1
        self._accepted: list[Accepted] = []
        self._candidates = 0

    def _rows(self) -> Sequence[Accepted]:
        own = self._accepted
        if len(own) < ROWS:
            return [*self._before, *own][-ROWS:]
        return [own[row * len(own) // ROWS] for row in range(ROWS)]


def by_slot(
    settled: Iterable[tuple[int, int]], samples: Iterable[Sample], vectors: Mapping[str, Vectors]
) -> Iterator[tuple[int, list[Accepted], int]]:
    """Yield (slot, accepted samples, number of candidates) from a ledger, in order.

    `settled` are (slot, candidates) in order.
    """
    accepted: dict[int | None, list[Accepted]] = {}
    for sample in samples:
        if sample.origin == "synthetic" and sample.id in vectors:
            accepted.setdefault(sample.slot, []).append((sample, vectors[sample.id]))
    for slot, candidates in settled:
        yield slot, accepted.get(slot, []), candidates
