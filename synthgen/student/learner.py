"""Define the interface of every kind of student, and the settings that all trainings of an experiment share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from synthgen.records import Json
from synthgen.student.clock import Clock
from synthgen.student.config import LearnerConfig, StudentConfig
from synthgen.student.plan import Plan, Probe, TrainingFolders
from synthgen.student.rows import TrainingRow
from synthgen.student.scores import Figures, Floats
from synthgen.student.work import Work
from synthgen.student.workers.together import WorkerTraining


class Learner(Protocol):
    """Fit and query one kind of student for one task. A `student` is an object that `fit` or `load` has returned."""

    @property
    def cfg(self) -> LearnerConfig: ...

    @property
    def headline(self) -> str: ...

    def steps(self, rows: int) -> int:
        """Return the most optimisation steps for an arm of this many rows; 0 for a student without steps."""

    def stratum(self, row: TrainingRow) -> str:
        """Return the stratum of a row, which folds are balanced over."""

    def fit(
        self, rows: Sequence[TrainingRow], plan: Plan, place: TrainingFolders, probe: Probe | None = None
    ) -> Any: ...

    def save(self, student: Any, folder: Path) -> None: ...

    def load(self, folder: Path) -> Any: ...

    def score(self, student: Any, rows: Sequence[Json]) -> Floats: ...

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures: ...

    def details(self, rows: Sequence[Json], scores: Floats) -> Json: ...

    def predict(self, student: Any, rows: Sequence[Json]) -> list[Json]: ...


@dataclass(frozen=True)
class Experiment:
    """Hold the settings and objects that all arms share."""

    learner: Learner
    cfg: StudentConfig
    eval_rows: Sequence[Json]
    seed: int
    work: Work
    say: Callable[[str], None]
    clock: Clock = field(default_factory=Clock)
    workers: WorkerTraining | None = None
    """Processes that train in place of this one, or None."""

    def fit(self, rows: Sequence[TrainingRow], plan: Plan, place: TrainingFolders, probe: Probe | None = None) -> Any:
        """Train a student, in this process or in workers, from the latest checkpoint."""
        if self.workers is not None:
            place = self.workers.trained(rows, plan, place, probe)
        return self.learner.fit(rows, plan, place, probe)

    def plan(self, steps: int, repeat: int = 0) -> Plan:
        training = self.cfg.training
        return Plan(steps, (self.seed + repeat) % 2**32, training.schedule, training.phases)

    def place(self, name: str, report_to: str) -> TrainingFolders:
        return TrainingFolders(self.work.logs(name, report_to), report_to, self.work.checkpoints(name), self.clock)
