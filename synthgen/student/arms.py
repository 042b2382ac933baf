"""The experiment behind the student's figures: the same student on the seeds, with label rows, with synthetic rows.

Knows nothing of what a student is; see `learner`. What is held equal between the arms: model,
hyperparameters, random seeds and the rule for the number of optimisation steps. The most is `epochs`
passes over the arm's own rows, or `min_steps`, and how many of them are made is chosen on rows of
the arm's own that are held out; see `steps`. So the seeds-only arm is neither stopped before it has
converged nor driven to learn its few rows by heart.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from synthgen.records import Json
from synthgen.student.config import StudentConfig
from synthgen.student.learner import Experiment, Learner
from synthgen.student.rows import TrainingRow
from synthgen.student.scores import DESCRIBED, GAINS, LOWER_IS_BETTER, SEEDS_ONLY, SYNTHETIC, Floats, intervals
from synthgen.student.steps import chosen_steps
from synthgen.student.work import Done


def compare(
    experiment: Experiment,
    seeds: Sequence[TrainingRow],
    synthetic: Sequence[TrainingRow],
    labels: Sequence[TrainingRow] = (),
) -> Json:
    """Trains and scores all arms, saves the synthetic arm's first model in the work; the metrics.

    `labels` are the label rows; without any there is no described arm. What the work has done already is not done
    again. Without eval rows there is nothing to compare, and only that one model is trained.
    """
    learner, eval_rows = experiment.learner, experiment.eval_rows
    arms = {SYNTHETIC: [*seeds, *labels] * learner.cfg.seed_repeat + [*synthetic]}
    if eval_rows:
        described = {DESCRIBED: [*seeds, *labels]} if labels else {}
        arms = {SEEDS_ONLY: [*seeds], **described, **arms}
    repeats = learner.cfg.repeats if eval_rows else 1
    scores: dict[str, list[Floats]] = {}
    facts: dict[str, Json] = {}
    for arm, rows in arms.items():
        steps = chosen_steps(experiment, arm, rows)
        trainings = [_train(experiment, arm, rows, steps.count, repeat, repeats) for repeat in range(repeats)]
        scores[arm] = [done.scores for done in trainings if done.scores is not None]
        seconds = round(steps.seconds + sum(done.seconds for done in trainings), 1)
        facts[arm] = {"train_rows": len(rows), "steps": steps.count, "repeats": repeats, "seconds": seconds}
        facts[arm] |= steps.facts
    metrics = assess(learner, experiment.cfg, eval_rows, scores, experiment.seed)
    for arm, known in facts.items():
        metrics[arm] |= known
    total = round(sum(known["seconds"] for known in facts.values()), 1)
    return metrics | {"verdict": verdict(metrics), "seconds": total}


def _train(
    experiment: Experiment, arm: str, rows: Sequence[TrainingRow], steps: int, repeat: int, repeats: int
) -> Done:
    """One training of an arm with its scores; goes on from its last checkpoint."""
    learner, work, say = experiment.learner, experiment.work, experiment.say
    name, what = f"{arm}-{repeat}", f"student, {_spoken(arm)}, {repeat + 1} of {repeats}"
    if (earlier := work.done(name)) is not None:
        say(f"{what}: done before")
        return earlier
    began, saved = time.monotonic(), arm == SYNTHETIC and repeat == 0
    say(f"{what}: {steps} steps over {len(rows)} rows" if steps else f"{what}: {len(rows)} rows")
    student = learner.fit(rows, experiment.plan(steps, repeat), experiment.place(name, experiment.cfg.report_to))
    if saved:
        work.save(lambda folder: learner.save(student, folder))
    scores = learner.score(student, experiment.eval_rows) if experiment.eval_rows else None
    done = Done(scores, round(time.monotonic() - began, 3))
    work.finish(name, done, saved)
    return done


def fit_alone(experiment: Experiment, rows: Sequence[TrainingRow]) -> Any:
    """One student of these rows, trained as an arm's first is."""
    steps = chosen_steps(experiment, "alone", rows)
    return experiment.learner.fit(rows, experiment.plan(steps.count), experiment.place("alone-0", "none"))


def assess(
    learner: Learner, cfg: StudentConfig, eval_rows: Sequence[Json], scores: dict[str, list[Floats]], seed: int
) -> Json:
    """The figures of the arms and of the gains, each {mean, low, high} with the other figures in it.

    `scores` has one entry a repeat; details are those of the first, the model that is saved.
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
    metrics["is_gain"] = decisive["low"] is not None and decisive["low"] > 0
    return metrics


def decisive_gain(metrics: Json) -> str:
    """Return the name of the gain that tells what the samples are worth: the one over seeds and label rows, where there
    are label rows, for these cost nothing."""
    return "gain_over_described" if DESCRIBED in metrics else "gain"


def verdict(metrics: Json) -> str:
    """What the comparison says, in two plain sentences."""
    rows, share = metrics["eval_rows"], f"{metrics['confidence']:.0%}"
    if not rows:
        return "The student was trained and not scored: the task has no eval rows."
    decisive = metrics[decisive_gain(metrics)]
    if decisive["low"] > 0:
        finding = "The synthetic rows helped"
    elif decisive["high"] < 0:
        finding = "The synthetic rows hurt"
    else:
        finding = "No gain is shown: the interval holds zero"
    described = f", {metrics[DESCRIBED]['mean']:.3f} with label rows" if DESCRIBED in metrics else ""
    over = {"gain": "the seeds", "gain_over_described": "seeds and label rows"}
    differences = " and ".join(
        f"{gain['mean']:+.3f} over {over[name]} ({share} interval {gain['low']:+.3f} to {gain['high']:+.3f})"
        for name in GAINS
        if (gain := metrics.get(name))
    )
    return (
        f"{finding}. {metrics['metric']} is {metrics[SEEDS_ONLY]['mean']:.3f} with the seeds alone{described} and "
        f"{metrics[SYNTHETIC]['mean']:.3f} with synthetic rows too, a difference of {differences}, on {rows} held-out rows."
    )


def _spoken(arm: str) -> str:
    return {SEEDS_ONLY: "seeds only", DESCRIBED: "with label rows", SYNTHETIC: "with synthetic rows"}[arm]
