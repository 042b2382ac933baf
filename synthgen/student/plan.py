"""Plan a training: its number of steps, the order of its rows, its folders, and its evaluations on held-out rows.

It depends on no model: every student that is trained in steps uses the same plan.
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
from synthgen.student.workers.group import ALONE, WorkerGroup

_REAL_SHARE = 0.25
"""Least share of the steps that the second of two phases, on real rows alone, gets."""
_HELD_OUT = "held_out_loss"


@dataclass(frozen=True)
class Plan:
    """Describe one training: `steps` optimisation steps, with the random numbers of `seed`."""

    steps: int
    seed: int
    schedule: str = "linear"
    phases: str = PHASES[0]

    def order(self, rows: Sequence[TrainingRow], batch: int, weighted: bool) -> list[int]:
        """Return the row index for every position of all batches, `steps` times `batch` of them.

        Every pass over the rows is shuffled again. With `weighted`, a row occurs in a pass in proportion to its weight.
        With two phases, the passes over the synthetic rows come first.
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
        """Return the row indices and the number of steps of each phase."""
        written = np.asarray([row.synthetic for row in rows])
        if self.phases == PHASES[0] or self.steps < 2 or written.all() or not written.any():
            return [(np.arange(len(rows)), self.steps)]
        real = max(1, round(self.steps * max(_REAL_SHARE, float((~written).mean()))))
        return [(np.flatnonzero(written), self.steps - real), (np.flatnonzero(~written), real)]


def _passes(members: Ints, weights: Floats, places: int, rng: np.random.Generator) -> list[int]:
    """Return `places` indices from `members` in shuffled passes, by systematic sampling if the weights differ."""
    ends = np.cumsum(weights / weights.mean())
    found: list[int] = []
    while len(found) < places:
        drawn = np.searchsorted(ends, np.arange(len(members)) + rng.random(), side="right")
        found += rng.permutation(members[np.minimum(drawn, len(members) - 1)]).tolist()
    return found[:places]


@dataclass(frozen=True)
class TrainingFolders:
    """Hold the folders for a training's logs and checkpoints, and the clock that times it.

    The trainer writes its curves to `logs` if `report_to` names a tracker.
    """

    logs: Path
    report_to: str
    checkpoints: Checkpoints
    clock: Clock = field(default_factory=Clock)
    workers: WorkerGroup = ALONE
    """The workers that train together; this process alone by default."""
    trained: bool = False
    """True if workers have done the training, and the last checkpoint has its weights."""


@dataclass
class Probe:
    """Describe how a training evaluates the loss on held-out `rows`, every few steps, to choose the number of steps."""

    rows: Sequence[TrainingRow]
    every: int
    patience: int = 0
    """Stop after this many evaluations in a row without a new lowest mean loss; 0 never stops."""
    after: int = 0
    """Steps before the first evaluation."""
    last: int = 0
    """A step with an evaluation in any case."""
    losses: list[tuple[int, list[float]]] = field(default_factory=list)
    """The step and every row's loss, for each evaluation."""
    workers: WorkerGroup = ALONE
    """The workers that share the rows."""

    @property
    def mine(self) -> Sequence[TrainingRow]:
        """Return the rows that this process evaluates."""
        return self.workers.share(self.rows)

    def due(self, step: int) -> bool:
        return (step % self.every == 0 or step == self.last) and step > self.after

    def over(self) -> bool:
        weights = weights_of(self.rows)
        means = [float(np.average(losses, weights=weights)) for _, losses in self.losses]
        return bool(self.patience and means) and len(means) - 1 - means.index(min(means)) >= self.patience

    def note(self, step: int, losses: Sequence[float], history: list[Json]) -> None:
        """Record held-out losses here and in the trainer's history, which checkpoints store."""
        self.losses.append((step, list(losses)))
        history.append({"step": step, _HELD_OUT: list(losses)})

    def recall(self, history: Sequence[Json]) -> None:
        """Restore the losses from a checkpoint's history."""
        self.losses = [(entry["step"], entry[_HELD_OUT]) for entry in history if _HELD_OUT in entry]
