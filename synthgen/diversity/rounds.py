"""Divide a run's slots into rounds, and choose the samples from which the figures of each round are computed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from synthgen.diversity.metrics import Vectors
from synthgen.records import Sample

SLOTS = 64
"""Number of slots in a round, unless `run.round_slots` sets another."""
ROWS = 64
"""Number of accepted samples from which the figures of a round are computed, once that many were accepted."""

Accepted = tuple[Sample, Vectors]
"""Hold a sample and its unit vector of shape (dim,)."""


@dataclass(frozen=True)
class Round:
    """Hold the samples that were accepted from the slot `first` to the slot `last`.

    `rows` has the same size in every round, so that figures which depend on the size of a set can be compared between
    rounds. It holds ROWS samples of the round, evenly spaced. When the round has fewer, samples of earlier rounds are
    added before them. `full` tells whether ROWS samples were available.
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
    """Divide a run's slots into rounds of `size`. Call `settled` for every slot, in order."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._before: list[Accepted] = []
        self._begin(0)

    def settled(self, slot: int, accepted: Sequence[Accepted], candidates: int) -> Round | None:
        """Record a settled slot and return the round that ends with it, if one does."""
        self._last = slot
        self._accepted += accepted
        self._candidates += candidates
        return self.close() if (slot + 1) % self._size == 0 else None

    def close(self) -> Round | None:
        """End the current round, whatever its length, and return it; None if it has no slots."""
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
    """Yield (slot, accepted samples, number of candidates) from the contents of a ledger, in order.

    `settled` holds (slot, number of candidates) in order.
    """
    accepted: dict[int | None, list[Accepted]] = {}
    for sample in samples:
        if sample.origin == "synthetic" and sample.id in vectors:
            accepted.setdefault(sample.slot, []).append((sample, vectors[sample.id]))
    for slot, candidates in settled:
        yield slot, accepted.get(slot, []), candidates
