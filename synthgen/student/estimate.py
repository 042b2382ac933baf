"""Estimate the number of fits and steps of a student's training in advance and, from measured paces, its time.

The steps are the most that the config allows; early stopping makes fewer. A student that is trained to measure the
paces is discarded.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthgen.numerics.durations import duration
from synthgen.records import Json
from synthgen.student import kinds
from synthgen.student.clock import LOOK, START, STEP, Clock, Fit, Paces
from synthgen.student.config import StudentConfig
from synthgen.student.fits import fits_of, scored_rows
from synthgen.student.learner import Experiment, Learner
from synthgen.student.limit import seconds
from synthgen.student.plan import Plan, Probe
from synthgen.student.rows import as_rows, label_rows
from synthgen.student.scores import DESCRIBED, SEEDS_ONLY, SYNTHETIC
from synthgen.student.steps import folds_for
from synthgen.student.work import Work
from synthgen.tasks.task import Task

_STEPS, _LOOKED, _SCORED = 6, 16, 8
"""Most steps, held-out rows and eval rows for measuring the paces."""


@dataclass(frozen=True)
class TrainingEstimate:
    """Hold the estimate of a future training. `seconds` is None if no pace was measured."""

    fits: int
    steps: int
    seconds: float | None
    whole: bool = True
    """False if `seconds` leaves out the scoring, because its pace is not known."""

    def words(self) -> str:
        """Return `about 4 min 10 s (12 fits, 1,240 steps at most)`."""
        size = f"{self.fits} {'fit' if self.fits == 1 else 'fits'}"
        size += f", {self.steps:,} steps at most" if self.steps else ""
        if self.seconds is None:
            return size
        return f"about {duration(self.seconds)}{'' if self.whole else ' without scoring'} ({size})"


def estimate(
    task: Task, cfg: StudentConfig, seeds: Sequence[Json], samples: int, eval_rows: Sequence[Json],
    paces: Paces | None = None,
) -> TrainingEstimate:  # fmt: skip
    """Return the estimate for a student trained on the seeds and this many samples. `paces` give the time."""
    learner = kinds.build(kinds.choose(task, cfg, [*seeds, *eval_rows], _silent), task, cfg, _silent)
    fits = _fits(task, cfg, learner, len(seeds), samples, len(eval_rows))
    work: dict[str, float] = {}
    for fit in fits:
        for kind, units in fit.work.items():
            work[kind] = work.get(kind, 0) + units
    found, whole = paces.seconds_for(work) if paces else (None, False)
    if found is not None:
        found = min(found, seconds(cfg))
    return TrainingEstimate(len(fits), sum(fit.steps for fit in fits), found, whole)


def measured(task: Task, cfg: StudentConfig, seeds: Sequence[Json], eval_rows: Sequence[Json], seed: int) -> Paces:
    """Measure the paces of the configured student on a few real steps with the seeds, and return them.

    Raise ConfigError for a model that cannot be loaded.
    """
    from synthgen.student.training import quiet, use_all_cores

    learner = kinds.build(kinds.choose(task, cfg, [*seeds, *eval_rows], _silent), task, cfg, _silent)
    rows, asked = as_rows(task, seeds), list(eval_rows)[:_SCORED]
    steps = _STEPS if learner.steps(len(rows)) else 0
    clock, looked = Clock(), rows[:_LOOKED]
    clock.plan([Fit("trial", "trial", {START: 1 if steps else len(rows), STEP: steps, LOOK: len(looked)})])
    use_all_cores()
    with tempfile.TemporaryDirectory() as folder, quiet():
        work = Work(Path(folder) / "student", float("inf"), _silent)
        work.open({})
        experiment = Experiment(learner, cfg, asked, seed, work, _silent, clock)
        probe = Probe(rows=looked, every=_STEPS, last=steps) if steps else None
        plan = Plan(steps, seed % 2**32)
        if not steps:  # load the encoder, which a training does once, and not for each row
            learner.fit(rows, plan, experiment.place("warm-up", "none"), probe)
        clock.begin("trial")
        student = learner.fit(rows, plan, experiment.place("trial", "none"), probe)
        clock.fitted()
        if asked:
            with clock.scoring(scored_rows(learner.cfg, len(asked))):
                learner.score(student, asked)
    return clock.paces


def _fits(task: Task, cfg: StudentConfig, learner: Learner, seeds: int, samples: int, evals: int) -> list[Fit]:
    """Return the fits that `arms.compare` would make if all samples had the same weight and could be held out."""
    described, repeat = len(label_rows(task, cfg.label_rows)), learner.cfg.seed_repeat
    arms = {SYNTHETIC: (repeat * (seeds + described) + samples, seeds + samples)}
    if evals:
        arms |= {DESCRIBED: (seeds + described, seeds)} if described else {}
        arms |= {SEEDS_ONLY: (seeds, seeds)} if seeds else {}
    found: list[Fit] = []
    for arm, (rows, different) in arms.items():
        folds, share = folds_for(cfg.training, different, different)
        held_out = [different // folds] * (1 if share else folds) if folds else []
        found += fits_of(learner, cfg, arm, rows, held_out, learner.cfg.repeats if evals else 1, evals)
    return found


def _silent(_: str) -> None:
    pass
