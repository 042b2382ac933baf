"""How many steps an arm is trained for: chosen on training rows that are held out, by one rule for all arms.

Few rows are cross-validated, many give up a share once; rows that weigh little count as few. What is held out is
trained on again afterwards, by the student itself. Eval rows are not looked at.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthgen.numerics.folds import stratified_folds
from synthgen.records import Json, content_id
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
    """How many steps an arm's trainings have, how that came about, and the seconds it took."""

    count: int
    facts: Json
    seconds: float = 0.0


def chosen_steps(experiment: Experiment, arm: str, rows: Sequence[TrainingRow]) -> Steps:
    """The step that the held-out rows speak for; all steps where nothing is to be chosen."""
    cfg, most = experiment.cfg.training, experiment.learner.steps(len(rows))
    fold_of, folds = _folds(experiment, rows)
    if not cfg.early_stopping or most < 2 or folds < 2:
        return Steps(most, {"steps_chosen_by": "config", "most_steps": most})
    split = folds > cfg.folds
    probes = [_probed(experiment, f"{arm}-probe-{fold}", rows, fold_of == fold, most, split)
              for fold in range(1 if split else folds)]  # fmt: skip
    looks = np.asarray(probes[0].scores, dtype=np.float64)[:, 0]
    losses = np.concatenate([np.asarray(done.scores, dtype=np.float64)[:, 1:] for done in probes], axis=1)
    weights = np.asarray([row.weight for fold in range(len(probes)) for row in _held(rows, fold_of == fold)])
    best = int(looks[_longest(losses, weights)])
    how = f"{float((fold_of == 0).mean()):.0%} of the rows held out" if split else f"{folds}-fold cross-validation"
    curve = [[int(step), round(float(loss), 5)]
             for step, loss in zip(looks, np.average(losses, axis=1, weights=weights), strict=True)]  # fmt: skip
    facts = {"steps_chosen_by": how, "most_steps": most, "held_out_loss": curve}
    return Steps(best, facts, sum(done.seconds for done in probes))


def _longest(losses: Floats, weights: Floats) -> int:
    """The last look, of losses (looks, rows), that is no worse than the best one beyond what the rows can tell.

    Worse is a mean difference, row by row, of more than one standard error (the rule of Breiman et al., 1984, with
    the student as configured, and not the smallest, as what is kept in doubt).
    """
    best = int(np.average(losses, axis=1, weights=weights).argmin())
    excess = losses - losses[best]
    means = np.average(excess, axis=1, weights=weights)
    spread = np.sqrt(np.average((excess - means[:, None]) ** 2, axis=1, weights=weights))
    return int(np.flatnonzero(means <= spread / np.sqrt(max(losses.shape[1] - 1, 1)))[-1])


def _folds(experiment: Experiment, rows: Sequence[TrainingRow]) -> tuple[Ints, int]:
    """Return a fold for every row, copies of a sample in the same one, and their number; a split uses only fold 0.

    The only row of its label has fold -1 and is never held out, for what was not taught cannot be asked for, and
    neither is a row that is no sample. The number is 0 where there are too few rows to hold any out.
    """
    cfg, stratum = experiment.cfg.training, experiment.learner.stratum
    first = {content_id(row.data): row for row in merged(rows)}
    common = Counter(stratum(row) for row in first.values())
    strata = {
        key: f"{row.synthetic} {stratum(row)}" for key, row in first.items() if common[stratum(row)] > 1 and row.sample
    }
    many = _effective([first[key].weight for key in strata]) * cfg.validation_share >= _ENOUGH
    folds = max(round(1 / cfg.validation_share), cfg.folds + 1) if many else cfg.folds
    if len(strata) < folds:
        return np.full(len(rows), -1), 0
    fold_of = dict(zip(strata, stratified_folds(list(strata.values()), folds, experiment.seed).tolist(), strict=True))
    return np.asarray([fold_of.get(content_id(row.data), -1) for row in rows]), folds


def _effective(weights: Sequence[float]) -> float:
    """How many rows of equal weight say as much as these: a few heavy ones among many light ones are few (Kish, 1965)."""
    return sum(weights) ** 2 / sum(weight**2 for weight in weights) if any(weights) else 0.0


def _probed(experiment: Experiment, name: str, rows: Sequence[TrainingRow], held: Ints, most: int, split: bool) -> Done:
    """A training without the rows of one fold: its losses on them, a line a look: the step, then every row's."""
    if (earlier := experiment.work.done(name)) is not None:
        return earlier
    began, plan = time.monotonic(), experiment.plan(most)
    kept = [row for row, out in zip(rows, held, strict=True) if not out]
    probe = Probe(
        rows=_held(rows, held),
        every=max(1, round(most / _POINTS)),
        patience=experiment.cfg.training.patience if split else 0,
        after=plan.last_phase(kept),
        last=most,
    )
    experiment.say(f"student, steps: {name.replace('_', ' ')}, {len(kept)} rows, {len(probe.rows)} held out")
    experiment.learner.fit(kept, plan, experiment.place(name, "none"), probe)
    looks = np.asarray([[step, *losses] for step, losses in probe.losses], dtype=np.float64)
    done = Done(looks, round(time.monotonic() - began, 3))
    experiment.work.finish(name, done, saved=False)
    return done


def _held(rows: Sequence[TrainingRow], held: Ints) -> list[TrainingRow]:
    """Copies of a row are one row that weighs more: two are no more evidence than one."""
    return merged([row for row, out in zip(rows, held, strict=True) if out])
