"""The figures of a run that is under way."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from synthgen.ledger import Settled


@dataclass
class Progress:
    """Counts what a run has reached; only what is on disk."""

    target: int
    accepted: int = 0
    inherited: int = 0
    """Those that another run accepted."""
    candidates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    output_tokens: int = 0
    spent: float = 0.0
    """Seconds of the loop in earlier sessions."""
    started: float = field(default_factory=time.monotonic)
    """When this session's share of the loop began, by the monotonic clock: once the engine is ready."""

    @property
    def acceptance(self) -> float | None:
        """The share of this run's candidates that was accepted."""
        return (self.accepted - self.inherited) / self.candidates if self.candidates else None

    @property
    def seconds(self) -> float:
        return self.spent + time.monotonic() - self.started

    def written(self, settled: Iterable[Settled]) -> None:
        """Count the candidates of a settled slot that is on disk."""
        for entry in settled:
            self.candidates += 1
            if entry.sample is not None:
                self.accepted += 1
            else:
                self.rejected[entry.verdicts[-1].reason or entry.verdicts[-1].check] += 1
