"""Count the progress of a run."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from synthgen.ledger import Settled


@dataclass
class Progress:
    """Count the candidates and samples of a run that are on disk."""

    target: int
    accepted: int = 0
    inherited: int = 0
    """Accepted samples that were taken over from another run."""
    candidates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    output_tokens: int = 0
    usd: float | None = None
    """Cost of the answers in US dollars; None where no price is known."""
    budget_usd: float | None = None
    spent: float = 0.0
    """Seconds that the loop ran in earlier sessions."""
    started: float = field(default_factory=time.monotonic)
    """Monotonic time at which this session's loop began, that is, when the engine was ready."""

    @property
    def acceptance(self) -> float | None:
        """Return the acceptance rate of this run's candidates; None while there are none."""
        return (self.accepted - self.inherited) / self.candidates if self.candidates else None

    @property
    def seconds(self) -> float:
        return self.spent + time.monotonic() - self.started

    def written(self, settled: Iterable[Settled]) -> None:
        """Count the candidates of a settled slot, once they are on disk."""
        for entry in settled:
            self.candidates += 1
            if entry.sample is not None:
                self.accepted += 1
            else:
                self.rejected[entry.verdicts[-1].reason or entry.verdicts[-1].check] += 1
