"""List the planned fits of a student's training, with the work of each, for the training's clock.

It depends on no model: numbers of rows and the student's settings are enough.
"""

from collections.abc import Sequence

from synthgen.student.clock import LOOK, SCORE, START, STEP, Fit
from synthgen.student.config import GeneratorConfig, LearnerConfig, StudentConfig
from synthgen.student.learner import Learner
from synthgen.student.scores import SPOKEN
from synthgen.student.steps import chooses, evaluations_in, probe_name


def fits_of(
    learner: Learner,
    cfg: StudentConfig,
    arm: str,
    rows: int,
    held_out: Sequence[int],
    repeats: int,
    eval_rows: int,
    after: int = 0,
) -> list[Fit]:
    """Return the fits of one arm: first those that choose the number of steps, then those of its students.

    `held_out` has the number of rows of each held-out fold. `after` is the number of steps before the first evaluation.
    """
    steps, spoken = learner.steps(rows), SPOKEN[arm]
    start = {START: 1 if steps else rows, STEP: steps}
    probes = held_out if chooses(cfg.training, steps, 2 if held_out else 0) else ()
    evaluations = evaluations_in(steps, after)
    choosing = [
        Fit(probe_name(arm, fold), f"{spoken}, choosing the steps", {**start, LOOK: evaluations * count})
        for fold, count in enumerate(probes)
    ]
    scored = scored_rows(learner.cfg, eval_rows)
    return choosing + [
        Fit(f"{arm}-{repeat}", f"{spoken}, {repeat + 1} of {repeats}", {**start, SCORE: scored})
        for repeat in range(repeats)
    ]


def scored_rows(cfg: LearnerConfig, eval_rows: int) -> int:
    """Return the number of eval rows that determines the scoring time: for a generator, those that it answers."""
    return min(eval_rows, cfg.generate_rows) if isinstance(cfg, GeneratorConfig) else eval_rows
