"""Choose the number of training steps of an arm on held-out training rows, by one rule for all arms.

Few rows are cross-validated; of many rows, one share is held out once. The decision uses the effective number of rows,
so many rows of little weight count as few. The student itself is then trained on all rows. Eval rows are never used.
"""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from synthgen.numerics.folds import stratified_folds
from synthgen.records import Json, content_id
from synthgen.student.clock import LimitReachedError
from synthgen.student.config import TrainingConfig
from synthgen.student.learner import Experiment
from synthgen.student.plan import Probe
from synthgen.student.rows import TrainingRow, merged
from synthgen.student.scores import Floats, Ints
from synthgen.student.work import Done

_ENOUGH = 20
"""Fewest held-out rows for a single split; with fewer, the rows are cross-validated."""
_POINTS = 12
"""Approximate number of evaluations on held-out rows in one training."""


@dataclass(frozen=True)
class Steps:
    """Hold the number of steps of an arm's trainings, how it was chosen, and the seconds that the choice took.

    `cut` is True if the limit left no time for the complete choice.
    """

    count: int
    facts: Json
    seconds: float = 0.0
    cut: bool = False


@dataclass(frozen=True)
class FoldAssignment:
    """Hold the fold of every row of an arm and the number of folds.

    Fold -1 marks a row that is never held out. With too few rows there are 0 folds.
    """

    fold: Ints
    folds: int
    share: bool = False
    """True when only the first fold is held out, instead of each fold in turn."""

    @property
    def held_out(self) -> range:
        """Return the folds that are held out, one after another."""
        return range(1 if self.share else self.folds)


def chosen_steps(
    experiment: Experiment, arm: str, rows: Sequence[TrainingRow], split: FoldAssignment, kept: bool = True
) -> Steps:
    """Return the number of steps chosen on held-out rows, or all steps where early stopping does not apply.

    For the arm whose student is kept (`kept`), the choice takes at most half of the remaining time and uses the
    evaluations made until then. Raise LimitReachedError for any other arm when the limit is reached.
    """
    most = experiment.learner.steps(len(rows))
    if not chooses(experiment.cfg.training, most, split.folds):
        return Steps(most, {"steps_chosen_by": "config", "most_steps": most})
    with experiment.clock.half() if kept else nullcontext():
        probes, whole = _probes(experiment, arm, rows, split, most, kept)
    if not probes:
        return Steps(most, {"steps_chosen_by": "config, because time was short", "most_steps": most}, cut=True)
    evaluations = np.asarray(probes[0].scores, dtype=np.float64)[:, 0]
    losses = np.concatenate([np.asarray(done.scores, dtype=np.float64)[:, 1:] for done in probes], axis=1)
    weights = np.asarray([row.weight for fold in range(len(probes)) for row in _held_out(rows, split.fold == fold)])
    best = int(evaluations[_longest(losses, weights)])
    share = f"{float((split.fold == 0).mean()):.0%} of the rows held out"
    how = share if split.share else f"{split.folds}-fold cross-validation"
    how += "" if whole else ", cut short by student.max_minutes"
    curve = [[int(step), round(float(loss), 5)]
             for step, loss in zip(evaluations, np.average(losses, axis=1, weights=weights), strict=True)]  # fmt: skip
    facts = {"steps_chosen_by": how, "most_steps": most, "held_out_loss": curve}
    return Steps(best, facts, sum(done.seconds for done in probes), not whole)


def chooses(cfg: TrainingConfig, most: int, folds: int) -> bool:
    """Return True if the number of steps is to be chosen on held-out rows."""
    return cfg.early_stopping and most >= 2 and folds >= 2


def evaluations_in(most: int, after: int = 0) -> int:
    """Return the number of evaluations on held-out rows in a training of `most` steps, the first one after `after`."""
    probe = Probe(rows=(), every=_every(most), after=after, last=most)
    return sum(probe.due(step) for step in range(1, most + 1))


def _every(most: int) -> int:
    return max(1, round(most / _POINTS))


def _probes(
    experiment: Experiment, arm: str, rows: Sequence[TrainingRow], split: FoldAssignment, most: int, kept: bool
) -> tuple[list[Done], bool]:
    """Run one training per held-out fold. Return the finished ones, and True if there was time for all of them.

    A training that the limit ended early counts only if it made an evaluation and no other training is finished.
    """
    found: list[Done] = []
    for fold in split.held_out:
        done = _probed(experiment, probe_name(arm, fold), rows, split.fold == fold, most, split.share, kept)
        if done is not None and (done.cut is None or not found):
            found.append(done)
        if done is None or done.cut is not None:
            experiment.clock.drop([probe_name(arm, rest) for rest in split.held_out if rest >= fold])
            return found, False
    return found, True


def probe_name(arm: str, fold: int) -> str:
    return f"{arm}-probe-{fold}"


def _longest(losses: Floats, weights: Floats) -> int:
    """Return the index of the last evaluation that is not significantly worse than the best one.

    `losses` has shape (evaluations, rows). An evaluation is significantly worse if the mean of its row-by-row
    differences to the best one is more than one standard error. This is the one-standard-error rule of Breiman et al.
    (1984), except that it prefers the longest training, as configured, and not the smallest model.
    """
    best = int(np.average(losses, axis=1, weights=weights).argmin())
    excess = losses - losses[best]
    means = np.average(excess, axis=1, weights=weights)
    spread = np.sqrt(np.average((excess - means[:, None]) ** 2, axis=1, weights=weights))
    return int(np.flatnonzero(means <= spread / np.sqrt(max(losses.shape[1] - 1, 1)))[-1])


def split_of(experiment: Experiment, rows: Sequence[TrainingRow]) -> FoldAssignment:
    """Return the folds of the rows. Copies of a sample get the same fold.

    A label's only row gets fold -1 and is never held out, because a student cannot predict a label that it was not
    trained on. A row that is no sample, such as a label row, gets fold -1 too.
    """
    cfg, stratum = experiment.cfg.training, experiment.learner.stratum
    first = {content_id(row.data): row for row in merged(rows)}
    common = Counter(stratum(row) for row in first.values())
    strata = {
        key: f"{row.synthetic} {stratum(row)}" for key, row in first.items() if common[stratum(row)] > 1 and row.sample
    }
    folds, share = folds_for(cfg, len(strata), _effective([first[key].weight for key in strata]))
    if not folds:
        return FoldAssignment(np.full(len(rows), -1), 0)
    fold = dict(zip(strata, stratified_folds(list(strata.values()), folds, experiment.seed).tolist(), strict=True))
    return FoldAssignment(np.asarray([fold.get(content_id(row.data), -1) for row in rows]), folds, share)


def folds_for(cfg: TrainingConfig, rows: int, effective: float) -> tuple[int, bool]:
    """Return the number of folds for this many rows, 0 if they are too few, and True if only one fold is held out."""
    many = effective * cfg.validation_share >= _ENOUGH
    folds = max(round(1 / cfg.validation_share), cfg.folds + 1) if many else cfg.folds
    return (0, False) if rows < folds else (folds, many)


def _effective(weights: Sequence[float]) -> float:
    """Return the effective number of rows (Kish, 1965): a few heavy rows among many light ones count as few."""
    return sum(weights) ** 2 / sum(weight**2 for weight in weights) if any(weights) else 0.0


def _probed(
    experiment: Experiment, name: str, rows: Sequence[TrainingRow], held: Ints, most: int, split: bool, kept: bool
) -> Done | None:
    """Train without the rows of one fold. Return the losses on that fold: per evaluation the step, then every row.

    Return None if the limit was reached before the first evaluation.
    """
    clock = experiment.clock
    earlier = experiment.work.done(name)
    if earlier is not None and (earlier.cut is None or clock.over()):
        clock.finish(name)
        return earlier
    if clock.over():
        _refuse_unless(kept)
        return None
    began, plan = time.monotonic(), experiment.plan(most)
    rest = [row for row, out in zip(rows, held, strict=True) if not out]
    probe = Probe(
        rows=_held_out(rows, held),
        every=_every(most),
        patience=experiment.cfg.training.patience if split else 0,
        after=plan.last_phase(rest),
        last=most,
    )
    experiment.say(f"student, steps: {name.replace('_', ' ')}, {len(rest)} rows, {len(probe.rows)} held out")
    clock.begin(name)
    experiment.fit(rest, plan, experiment.place(name, "none"), probe)
    clock.fitted()
    cut = None if probe.over() else clock.cut
    if cut is not None and (not kept or not probe.losses):
        _refuse_unless(kept)
        return None
    evaluations = np.asarray([[step, *losses] for step, losses in probe.losses], dtype=np.float64)
    done = Done(evaluations, round(time.monotonic() - began, 3), cut)
    experiment.work.finish(name, done, saved=False)
    clock.finish(name)
    clock.keep()
    return done


def _refuse_unless(kept: bool) -> None:
    if not kept:
        raise LimitReachedError


def _held_out(rows: Sequence[TrainingRow], is_held_out: Ints) -> list[TrainingRow]:
    """Return the held-out rows, copies merged into one row of more weight, because two copies carry no more information
    than one."""
    return merged([row for row, out in zip(rows, is_held_out, strict=True) if out])
