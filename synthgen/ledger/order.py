"""Number the seeds and accepted samples in order, with a few bytes per sample.

All checks refer to a sample by its position. `synthgen.ledger.samples` reads the sample itself from the ledger when it
is needed.
"""

from array import array
from bisect import bisect_left

from synthgen.records import INHERITED, Sample


class SampleOrder:
    """Hold ids and slots by position. Add the seeds first, then accepted samples in slot order."""

    def __init__(self) -> None:
        self._ids = bytearray()
        self._ends = array("Q")
        self._slots = array("q")

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, sample: Sample) -> int:
        """Add a sample and return its position."""
        self._ids += sample.id.encode()
        self._ends.append(len(self._ids))
        self._slots.append(INHERITED if sample.slot is None else sample.slot)
        return len(self._ends) - 1

    def id(self, position: int) -> str:
        start = self._ends[position - 1] if position else 0
        return self._ids[start : self._ends[position]].decode()

    def before(self, slot: int) -> int:
        """Return the number of samples from before `slot`, including the seeds."""
        return bisect_left(self._slots, slot)
