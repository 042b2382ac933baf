"""How many steps an arm is trained for: chosen on training rows that are held out, by one rule for all arms.

Few rows are cross-validated, many give up a share once; rows that weigh little count as few. What is held out is
trained on again afterwards, by the student itself. Eval rows are not looked at.
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
"""Rows held out, at least, for one split to be worth something."""
_POINTS = 12
"""Looks at the held-out rows in a training, about."""


@dataclass(frozen=True)
class Steps:
    """Hold the number of steps of an arm's trainings, how it was chosen, and the seconds that took.
    left no time for all of it."""

    count: int
    facts: Json
    seconds: float = 0.0
    cut: bool = False


@dataclass(frozen=True)
class Split:
    """The folds of an arm's rows: that of every row, -1 for one that is never held out, and how many there are; 0 where
    there are too few rows."""

    fold: Ints
    folds: int
    share: bool = False
    """True when one fold alone is held out, once."""

    @property
    def held_out(self) -> range:
        """The folds that are held out in turn."""
        return range(1 if self.share else self.folds)


def chosen_steps(
    experiment: Experiment, arm: str, rows: Sequence[TrainingRow], split: Split, kept: bool = True
) -> Steps:
    """Return the step that the held-out rows speak for; all steps where nothing is to be chosen.

    For the arm whose student is `kept` the choice takes at most half of the time that is left, and uses the looks that it
    had until then. Raises LimitReachedError for another arm when the limit is reached.
    """
    most = experiment.learner.steps(len(rows))
    if not chooses(experiment.cfg.training, most, split.folds):
        return Steps(most, {"steps_chosen_by": "config", "most_steps": most})
    with experiment.clock.half() if kept else nullcontext():
        probes, whole = _probes(experiment, arm, rows, split, most, kept)
    if not probes:
        return Steps(most, {"steps_chosen_by": "config, for want of time", "most_steps": most}, cut=True)
    looks = np.asarray(probes[0].scores, dtype=np.float64)[:, 0]
    losses = np.concatenate([np.asarray(done.scores, dtype=np.float64)[:, 1:] for done in probes], axis=1)
    weights = np.asarray([row.weight for fold in range(len(probes)) for row in _held(rows, split.fold == fold)])
    best = int(looks[_longest(losses, weights)])
    share = f"{float((split.fold == 0).mean()):.0%} of the rows held out"
    how = share if split.share else f"{split.folds}-fold cross-validation"
    how += "" if whole else ", cut short by student.max_minutes"
    curve = [[int(step), round(float(loss), 5)]
             for step, loss in zip(looks, np.average(losses, axis=1, weights=weights), strict=True)]  # fmt: skip
    facts = {"steps_chosen_by": how, "most_steps": most, "held_out_loss": curve}
    return Steps(best, facts, sum(done.seconds for done in probes), not whole)


def chooses(cfg: TrainingConfig, most: int, folds: int) -> bool:
    """Return True where the number of steps is chosen on held-out rows."""
    return cfg.early_stopping and most >= 2 and folds >= 2


def looks_in(most: int, after: int = 0) -> int:
    """Return how many looks at the held-out rows a training of `most` steps has, beginning `after` a step."""
    probe = Probe(rows=(), every=_every(most), after=after, last=most)
    return sum(probe.due(step) for step in range(1, most + 1))


def _every(most: int) -> int:
    return max(1, round(most / _POINTS))


def _probes(
    experiment: Experiment, arm: str, rows: Sequence[TrainingRow], split: Split, most: int, kept: bool
) -> tuple[list[Done], bool]:
    """Return the trainings without a fold that there was time for, and True when these are all of them.

    One that the limit ended in its middle counts where it is the only one that has had a look.
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
    """Return the last evaluation, of losses (evaluations, rows), not significantly worse than the best.

    Worse is a mean difference, row by row, of more than one standard error (the rule of Breiman et al., 1984, with
    the student as configured, and not the smallest, as what is kept in doubt).
    """
    best = int(np.average(losses, axis=1, weights=weights).argmin())
    excess = losses - losses[best]
    means = np.average(excess, axis=1, weights=weights)
    spread = np.sqrt(np.average((excess - means[:, None]) ** 2, axis=1, weights=weights))
    return int(np.flatnonzero(means <= spread / np.sqrt(max(losses.shape[1] - 1, 1)))[-1])


def split_of(experiment: Experiment, rows: Sequence[TrainingRow]) -> Split:
    """Return the folds of the rows, copies of a sample in the same one.

    The only row of its label has fold -1 and is never held out, for what was not taught cannot be asked for, and
    neither is a row that is no sample.
    """
    cfg, stratum = experiment.cfg.training, experiment.learner.stratum
    first = {content_id(row.data): row for row in merged(rows)}
    common = Counter(stratum(row) for row in first.values())
    strata = {
        key: f"{row.synthetic} {stratum(row)}" for key, row in first.items() if common[stratum(row)] > 1 and row.sample
    }
    folds, share = folds_for(cfg, len(strata), _effective([first[key].weight for key in strata]))
    if not folds:
        return Split(np.full(len(rows), -1), 0)
    fold = dict(zip(strata, stratified_folds(list(strata.values()), folds, experiment.seed).tolist(), strict=True))
    return Split(np.asarray([fold.get(content_id(row.data), -1) for row in rows]), folds, share)


def folds_for(cfg: TrainingConfig, rows: int, effective: float) -> tuple[int, bool]:
    """Return the number of folds of so many rows, 0 where they are too few, and True when one alone is held out."""
    many = effective * cfg.validation_share >= _ENOUGH
    folds = max(round(1 / cfg.validation_share), cfg.folds + 1) if many else cfg.folds
    return (0, False) if rows < folds else (folds, many)


def _effective(weights: Sequence[float]) -> float:
    """Return the effective number of rows: a few heavy ones among many light ones are few (Kish, 1965)."""
    return sum(weights) ** 2 / sum(weight**2 for weight in weights) if any(weights) else 0.0


def _probed(
    experiment: Experiment, name: str, rows: Sequence[TrainingRow], held: Ints, most: int, split: bool, kept: bool
) -> Done | None:
    """Train without the rows of one fold; return the losses on them, a line an evaluation: step, then rows.

    None where the limit came before the first look.
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
        rows=_held(rows, held),
        every=_every(most),
        patience=experiment.cfg.training.patience if split else 0,
        after=plan.last_phase(rest),
        last=most,
    )
    experiment.say(f"student, steps: {name.replace('_', ' ')}, {len(rest)} rows, {len(probe.rows)} held out")
    clock.begin(name)
    experiment.learner.fit(rest, plan, experiment.place(name, "none"), probe)
    clock.fitted()
    cut = None if probe.over() else clock.cut
    if cut is not None and (not kept or not probe.losses):
        _refuse_unless(kept)
        return None
    looks = np.asarray([[step, *losses] for step, losses in probe.losses], dtype=np.float64)
    done = Done(looks, round(time.monotonic() - began, 3), cut)
    experiment.work.finish(name, done, saved=False)
    clock.finish(name)
    clock.keep()
    return done


def _refuse_unless(kept: bool) -> None:
    if not kept:
        raise LimitReachedError


def _held(rows: Sequence[TrainingRow], held: Ints) -> list[TrainingRow]:
    """Copies of a row are one row that weighs more: two are no more evidence than one."""
    return merged([row for row, out in zip(rows, held, strict=True) if out])
