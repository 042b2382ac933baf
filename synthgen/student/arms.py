"""The experiment behind the student's figure: the same student with and without synthetic rows.

Knows nothing of what a student is; see `classifier` and `generator`. What is held equal between
the arms: model, hyperparameters, random seeds and the rule for the number of optimisation steps,
which is `epochs` passes over the arm's own rows and never fewer than `min_steps`. So the seeds-only
arm passes over its few rows often enough to converge, and is not driven to learn them by heart for
as long as a large mix takes.
"""

import contextlib
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from synthgen.records import Json
from synthgen.student.config import ClassifierConfig, GeneratorConfig, StudentConfig
from synthgen.student.scores import LOWER_IS_BETTER, Figures, Floats, intervals

SEEDS_ONLY, SYNTHETIC = "seeds_only", "synthetic"


class Learner(Protocol):
    """One kind of student for one task; a `student` is what its `fit` and `load` return."""

    @property
    def cfg(self) -> ClassifierConfig | GeneratorConfig: ...

    @property
    def headline(self) -> str: ...

    def fit(self, rows: Sequence[Json], steps: int, seed: int, logs: Path) -> Any: ...

    def save(self, student: Any, folder: Path) -> None: ...

    def load(self, folder: Path) -> Any: ...

    def score(self, student: Any, rows: Sequence[Json]) -> Floats: ...

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures: ...

    def details(self, rows: Sequence[Json], scores: Floats) -> Json: ...

    def predict(self, student: Any, rows: Sequence[Json]) -> list[Json]: ...


def compare(
    learner: Learner,
    cfg: StudentConfig,
    seeds: Sequence[Json],
    synthetic: Sequence[Json],
    eval_rows: Sequence[Json],
    folder: Path,
    seed: int,
    say: Callable[[str], None],
) -> Json:
    """Trains and scores both arms, saves the synthetic arm's first model in `folder`; the metrics.

    Without eval rows there is nothing to compare, and only that one model is trained.
    """
    began = time.monotonic()
    mix = [*seeds] * learner.cfg.seed_repeat + [*synthetic]
    arms = {SEEDS_ONLY: list(seeds), SYNTHETIC: mix} if eval_rows else {SYNTHETIC: mix}
    repeats = learner.cfg.repeats if eval_rows else 1
    scores: dict[str, list[Floats]] = {arm: [] for arm in arms}
    facts: dict[str, Json] = {}
    for arm, rows in arms.items():
        started, steps = time.monotonic(), _steps(len(rows), learner.cfg)
        for repeat in range(repeats):
            say(f"student, {_spoken(arm)}, {repeat + 1} of {repeats}: {steps} steps over {len(rows)} rows")
            with _log_folder(folder / "logs" / f"{arm}-{repeat}", cfg.report_to) as logs:
                student = learner.fit(rows, steps, (seed + repeat) % 2**32, logs)
            if arm == SYNTHETIC and repeat == 0:
                learner.save(student, folder)
            if eval_rows:
                scores[arm].append(learner.score(student, eval_rows))
            del student  # before the next one is loaded
        seconds = round(time.monotonic() - started, 1)
        facts[arm] = {"train_rows": len(rows), "steps": steps, "repeats": repeats, "seconds": seconds}
    metrics = assess(learner, cfg, eval_rows, scores, seed)
    for arm, known in facts.items():
        metrics[arm] |= known
    return metrics | {"verdict": verdict(metrics), "seconds": round(time.monotonic() - began, 1)}


def assess(
    learner: Learner, cfg: StudentConfig, eval_rows: Sequence[Json], scores: dict[str, list[Floats]], seed: int
) -> Json:
    """The figures of the arms and of the gain, each {mean, low, high} with the other figures in it.

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
    metrics["is_gain"] = metrics["gain"]["low"] is not None and metrics["gain"]["low"] > 0
    return metrics


def verdict(metrics: Json) -> str:
    """What the comparison says, in one plain sentence."""
    rows, gain, share = metrics["eval_rows"], metrics["gain"], f"{metrics['confidence']:.0%}"
    if not rows:
        return "The student was trained and not scored: the task has no eval rows."
    if gain["low"] > 0:
        finding = "The synthetic rows helped"
    elif gain["high"] < 0:
        finding = "The synthetic rows hurt"
    else:
        finding = "No gain is shown: the interval holds zero"
    return (
        f"{finding}. {metrics['metric']} is {metrics[SEEDS_ONLY]['mean']:.3f} with the seeds alone and "
        f"{metrics[SYNTHETIC]['mean']:.3f} with synthetic rows beside them, a difference of {gain['mean']:+.3f} "
        f"({share} interval {gain['low']:+.3f} to {gain['high']:+.3f}, {rows} held-out rows)."
    )


def _steps(rows: int, cfg: ClassifierConfig | GeneratorConfig) -> int:
    return max(cfg.min_steps, math.ceil(math.ceil(rows / cfg.batch_size) * cfg.epochs))


def _spoken(arm: str) -> str:
    return {SEEDS_ONLY: "seeds only", SYNTHETIC: "with synthetic rows"}[arm]


@contextlib.contextmanager
def _log_folder(folder: Path, report_to: str) -> Iterator[Path]:
    """Where a tracker writes: inside the student's folder, or nowhere that lasts."""
    if report_to == "none":
        with tempfile.TemporaryDirectory(prefix="synthgen-") as name:
            yield Path(name)
    else:
        folder.mkdir(parents=True)
        yield folder
