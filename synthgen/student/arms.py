"""Compare the same student on three arms: the seeds, seeds with label rows, and these with synthetic rows.

It works for any kind of student; see `learner`. All arms share the model, the hyperparameters, the
random seeds and the rule for the number of optimisation steps. The upper limit is `epochs` passes
over the arm's rows, or `min_steps` if that is more. The number of steps is then chosen on held-out
rows of the same arm; see `steps`. The seeds-only arm therefore neither stops before it has converged
nor overfits its few rows.
"""

import time
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from synthgen.records import Json
from synthgen.student.clock import Fit, LimitReachedError
from synthgen.student.config import StudentConfig
from synthgen.student.fits import fits_of, scored_rows
from synthgen.student.learner import Experiment, Learner
from synthgen.student.limit import cut_short
from synthgen.student.rows import TrainingRow
from synthgen.student.scores import (
    DESCRIBED,
    GAINS,
    LOWER_IS_BETTER,
    SEEDS_ONLY,
    SPOKEN,
    SYNTHETIC,
    Floats,
    intervals,
)
from synthgen.student.steps import FoldAssignment, Steps, chosen_steps, split_of
from synthgen.student.work import Done

ARMS = (SEEDS_ONLY, DESCRIBED, SYNTHETIC)
"""The arms in the order in which they are shown."""


def compare(
    experiment: Experiment,
    seeds: Sequence[TrainingRow],
    synthetic: Sequence[TrainingRow],
    labels: Sequence[TrainingRow] = (),
) -> Json:
    """Train and score all arms, save the first model of the synthetic arm in the work, and return the metrics.

    `labels` are the label rows; without them there is no `described` arm. Without seeds there is no `seeds_only` arm, and
    its figures are None. Fits that the work already holds are not
    repeated. Without eval rows there is nothing to compare, and only the student that is saved is trained. That student
    is always trained first. Then every arm is trained once before any arm is trained again, so that as many arms as
    possible can be compared when the limit is reached.
    """
    learner, eval_rows, clock = experiment.learner, experiment.eval_rows, experiment.clock
    arms = {SYNTHETIC: [*seeds, *labels] * learner.cfg.seed_repeat + [*synthetic]}
    if eval_rows:
        arms |= {DESCRIBED: [*seeds, *labels]} if labels else {}
        arms |= {SEEDS_ONLY: [*seeds]} if seeds else {}
    repeats = learner.cfg.repeats if eval_rows else 1
    splits = {arm: split_of(experiment, rows) for arm, rows in arms.items()}
    clock.plan([fit for arm, rows in arms.items() for fit in _planned(experiment, arm, rows, splits[arm], repeats)])
    steps: dict[str, Steps] = {}
    done: dict[str, list[Done]] = {arm: [] for arm in arms}
    try:
        for repeat, (arm, rows) in product(range(repeats), arms.items()):
            if arm not in steps:
                steps[arm] = chosen_steps(experiment, arm, rows, splits[arm], kept=arm == SYNTHETIC)
                for number in range(repeats):
                    clock.expect(f"{arm}-{number}", steps[arm].count)
            done[arm].append(_train(experiment, arm, rows, steps[arm].count, repeat, repeats))
    except LimitReachedError:
        experiment.say(f"student: student.max_minutes={experiment.cfg.max_minutes:g} is reached")
    scores = {
        arm: found for arm in ARMS if (found := [fit.scores for fit in done.get(arm, ()) if fit.scores is not None])
    }
    metrics = assess(learner, experiment.cfg, eval_rows, scores, experiment.seed)
    for arm in (arm for arm in ARMS if done.get(arm)):
        metrics[arm] |= _facts(arms[arm], steps[arm], done[arm])
    total = round(sum(metrics[arm]["seconds"] for arm in arms if done[arm]), 1)
    if not seeds:
        metrics[SEEDS_ONLY] = None
    if short := cut_short(experiment.cfg, steps, done, repeats):
        metrics["cut_short"] = short
    return metrics | {"verdict": verdict(metrics), "seconds": total}


def _planned(
    experiment: Experiment, arm: str, rows: Sequence[TrainingRow], split: FoldAssignment, repeats: int
) -> list[Fit]:
    held = [int((split.fold == fold).sum()) for fold in split.held_out]
    after = experiment.plan(experiment.learner.steps(len(rows))).last_phase(rows)
    return fits_of(experiment.learner, experiment.cfg, arm, len(rows), held, repeats, len(experiment.eval_rows), after)


def _facts(rows: Sequence[TrainingRow], steps: Steps, done: Sequence[Done]) -> Json:
    seconds = round(steps.seconds + sum(fit.seconds for fit in done), 1)
    made = next((fit.cut for fit in done if fit.cut is not None), steps.count)
    return {"train_rows": len(rows), "steps": made, "repeats": len(done), "seconds": seconds} | steps.facts


def _train(
    experiment: Experiment, arm: str, rows: Sequence[TrainingRow], steps: int, repeat: int, repeats: int
) -> Done:
    """Run one training of an arm from its last checkpoint, and score it.

    Raise LimitReachedError if the limit is reached first. The student that is kept instead gets fewer steps, as many as
    the remaining time allows at the measured pace.
    """
    learner, work, say, clock = experiment.learner, experiment.work, experiment.say, experiment.clock
    name, what = f"{arm}-{repeat}", f"student, {SPOKEN[arm]}, {repeat + 1} of {repeats}"
    earlier = work.done(name)
    if earlier is not None and (earlier.cut is None or clock.over()):
        say(f"{what}: done before")
        clock.finish(name)
        return earlier
    kept = arm == SYNTHETIC and repeat == 0
    if clock.over() and not kept:
        raise LimitReachedError
    began, planned = time.monotonic(), clock.fitting(name, steps) if kept else steps
    say(f"{what}: {planned} steps over {len(rows)} rows" if steps else f"{what}: {len(rows)} rows")
    clock.expect(name, planned)
    clock.begin(name)
    student = experiment.fit(rows, experiment.plan(planned, repeat), experiment.place(name, experiment.cfg.report_to))
    clock.fitted()
    if clock.cut is not None and not kept:
        raise LimitReachedError
    cut = planned if clock.cut is None and planned < steps else clock.cut
    if kept:
        work.save(lambda folder: learner.save(student, folder))
    scores = None
    if eval_rows := experiment.eval_rows:
        with clock.scoring(scored_rows(learner.cfg, len(eval_rows))):
            scores = learner.score(student, eval_rows)
    done = Done(scores, round(time.monotonic() - began, 3), cut)
    work.finish(name, done, kept)
    clock.finish(name)
    clock.keep()
    return done


def fit_alone(experiment: Experiment, rows: Sequence[TrainingRow]) -> Any:
    """Fit one student to these rows, in the same way as the first student of an arm."""
    steps = chosen_steps(experiment, "alone", rows, split_of(experiment, rows))
    planned = experiment.clock.fitting("alone-0", steps.count)
    return experiment.fit(rows, experiment.plan(planned), experiment.place("alone-0", "none"))


def assess(
    learner: Learner, cfg: StudentConfig, eval_rows: Sequence[Json], scores: dict[str, list[Floats]], seed: int
) -> Json:
    """Return the figures of the arms and of the gains, each {mean, low, high} with further figures.

    `scores` has one entry per repeat for each arm. The details are those of the first repeat, the model that is saved.
    """
    headline = learner.headline
    nothing = {"mean": None, "low": None, "high": None}
    metrics: Json = {
        "metric": headline,
        "higher_is_better": headline not in LOWER_IS_BETTER,
        "eval_rows": len(eval_rows),
        "confidence": cfg.confidence,
        "is_gain": None,
        **{name: {**nothing, "figures": {}} for name in (SEEDS_ONLY, SYNTHETIC, "gain")},
    }
    if not eval_rows:
        return metrics
    figures = {arm: learner.figures(eval_rows, found) for arm, found in scores.items()}
    for arm, table in intervals(figures, len(eval_rows), cfg.bootstrap, cfg.confidence, seed).items():
        metrics[arm] = {**table[headline], "figures": table}
    for arm, found in scores.items():
        alone = [learner.figures(eval_rows, [score]) for score in found]
        metrics[arm]["per_repeat"] = [figure_of(np.arange(len(eval_rows)))[headline] for figure_of in alone]
        metrics[arm] |= learner.details(eval_rows, found[0])
    decisive = metrics[decisive_gain(metrics)]
    metrics["is_gain"] = None if decisive["mean"] is None else decisive["low"] is not None and decisive["low"] > 0
    return metrics


def decisive_gain(metrics: Json) -> str:
    """Return the name of the gain that measures the value of the samples.

    It is the gain over seeds and label rows if there are label rows, because label rows cost nothing.
    """
    return "gain_over_described" if DESCRIBED in metrics else "gain"


def verdict(metrics: Json) -> str:
    """Return the result of the comparison in two sentences."""
    rows, share = metrics["eval_rows"], f"{metrics['confidence']:.0%}"
    if not rows:
        return "The student was trained and not scored: the task has no eval rows."
    decisive = metrics[decisive_gain(metrics)]
    if decisive["mean"] is None:
        reached = f"{metrics['metric']} is {metrics[SYNTHETIC]['mean']:.3f} on {rows} held-out rows"
        if metrics[SEEDS_ONLY] is None and DESCRIBED not in metrics.get("cut_short", {}).get("untrained", ()):
            return f"The student was trained and not compared: the task has no seeds and no label rows. {reached}."
        return f"The student was trained and not compared: there was no time for the other arms. {reached}."
    if decisive["low"] > 0:
        finding = "The synthetic rows helped"
    elif decisive["high"] < 0:
        finding = "The synthetic rows hurt"
    else:
        finding = "No gain is shown: the interval includes zero"
    described = f", {metrics[DESCRIBED]['mean']:.3f} with label rows" if DESCRIBED in metrics else ""
    over = {"gain": "the seeds", "gain_over_described": "seeds and label rows"}
    before = f"{metrics[SEEDS_ONLY]['mean']:.3f} with the seeds alone{described}" if metrics[SEEDS_ONLY] else ""
    if not before:
        before, over = f"{metrics[DESCRIBED]['mean']:.3f} with label rows alone", {"gain_over_described": "label rows"}
    differences = " and ".join(
        f"{gain['mean']:+.3f} over {over[name]} ({share} interval {gain['low']:+.3f} to {gain['high']:+.3f})"
        for name in GAINS
        if (gain := metrics.get(name)) and name in over
    )
    return (
        f"{finding}. {metrics['metric']} is {before} and "
        f"{metrics[SYNTHETIC]['mean']:.3f} with synthetic rows too, a difference of {differences}, "
        f"on {rows} held-out rows."
    )
