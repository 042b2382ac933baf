"""How long a training is, the order in which it takes its rows, and where it is watched.

Knows nothing of models: a plan is the same for every student that is trained step by step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from synthgen.records import Json
from synthgen.student.checkpoint import Checkpoints
from synthgen.student.clock import Clock
from synthgen.student.config import PHASES
from synthgen.student.rows import TrainingRow, weights_of
from synthgen.student.scores import Floats, Ints

_REAL_SHARE = 0.25
"""The steps on real rows alone, in two phases, at least."""
_HELD_OUT = "held_out_loss"


@dataclass(frozen=True)
class Plan:
    """Describe one training: `steps` optimisation steps, with the random numbers of `seed`."""

    steps: int
    seed: int
    schedule: str = "linear"
    phases: str = PHASES[0]

    def order(self, rows: Sequence[TrainingRow], batch: int, weighted: bool) -> list[int]:
        """Return the row in every place of all batches, `steps` times `batch` of them.

        Pass follows pass, each shuffled anew; with `weighted`, a row stands in a pass as often as it weighs.
        In two phases the passes over the synthetic rows come first.
        """
        weights = weights_of(rows) if weighted else np.ones(len(rows))
        rng = np.random.default_rng(self.seed)
        order: list[int] = []
        for members, steps in self._parts(rows):
            order += _passes(members, weights[members], steps * batch, rng)
        return order

    def last_phase(self, rows: Sequence[TrainingRow]) -> int:
        """Return the number of steps before the last phase."""
        return sum(steps for _, steps in self._parts(rows)[:-1])

    def _parts(self, rows: Sequence[TrainingRow]) -> list[tuple[Ints, int]]:
        """Return the rows of each phase, and its steps."""
        written = np.asarray([row.synthetic for row in rows])
        if self.phases == PHASES[0] or self.steps < 2 or written.all() or not written.any():
            return [(np.arange(len(rows)), self.steps)]
        real = max(1, round(self.steps * max(_REAL_SHARE, float((~written).mean()))))
        return [(np.flatnonzero(written), self.steps - real), (np.flatnonzero(~written), real)]


def _passes(members: Ints, weights: Floats, places: int, rng: np.random.Generator) -> list[int]:
    """Return `places` of `members` in shuffled passes; systematic sampling where weights differ."""
    ends = np.cumsum(weights / weights.mean())
    found: list[int] = []
    while len(found) < places:
        drawn = np.searchsorted(ends, np.arange(len(members)) + rng.random(), side="right")
        found += rng.permutation(members[np.minimum(drawn, len(members) - 1)]).tolist()
    return found[:places]


@dataclass(frozen=True)
class Place:
    """Say where a training writes its checkpoints, and its curves if `report_to` names a tracker.
    clock that times it."""

    logs: Path
    report_to: str
    checkpoints: Checkpoints
    clock: Clock = field(default_factory=Clock)


@dataclass
class Probe:
    """Describe a training that finds how long one should be: losses on held-out rows, every so many steps."""

    rows: Sequence[TrainingRow]
    every: int
    patience: int = 0
    """Looks in a row without a new least mean loss, after which it ends; 0 for never."""
    after: int = 0
    """Steps before the first look."""
    last: int = 0
    """A step that is looked at in any case."""
    losses: list[tuple[int, list[float]]] = field(default_factory=list)
    """At each look, the step and every row's loss."""

    def due(self, step: int) -> bool:
        return (step % self.every == 0 or step == self.last) and step > self.after

    def over(self) -> bool:
        weights = weights_of(self.rows)
        means = [float(np.average(losses, weights=weights)) for _, losses in self.losses]
        return bool(self.patience and means) and len(means) - 1 - means.index(min(means)) >= self.patience

    def note(self, step: int, losses: Sequence[float], history: list[Json]) -> None:
        """Record held-out losses, also in the trainer's own history, which checkpoints keep."""
        self.losses.append((step, list(losses)))
        history.append({"step": step, _HELD_OUT: list(losses)})

    def recall(self, history: Sequence[Json]) -> None:
        """Continue from the losses in a checkpoint's history."""
        self.losses = [(entry["step"], entry[_HELD_OUT]) for entry in history if _HELD_OUT in entry]
