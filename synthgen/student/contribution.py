"""Measure a student's gain by each group of its synthetic rows, such as the samples of one strategy.

It leaves one group out at a time. The student is always the frozen one, because fitting it takes seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from synthgen.numerics.blas import one_core
from synthgen.records import Json, content_id
from synthgen.student.config import StudentConfig
from synthgen.student.frozen import Frozen, FrozenStudent
from synthgen.student.inputs import form_of, inputs_of
from synthgen.student.labels import answers_of
from synthgen.student.rows import TrainingRow, as_rows, label_rows, merged
from synthgen.student.scores import LOWER_IS_BETTER, Floats, intervals
from synthgen.student.vectors import vectors_of
from synthgen.tasks.task import Task

_ALL, _NONE = "all", "none"


def contributions(
    task: Task,
    cfg: StudentConfig,
    seeds: Sequence[Json | TrainingRow],
    groups: Mapping[str, Sequence[TrainingRow]],
    eval_rows: Sequence[Json],
    seed: int,
    say: Callable[[str], None] = lambda _: None,
) -> Json:
    """Return {metric, eval_rows, confidence, total, gains}: the frozen student's gain by each group of rows.

    `gains` has {metric, is_share, mean, low, high, share} for each group: the figure with all rows, minus the figure
    without the rows of the group. Above 0, the rows helped. The interval is a paired bootstrap over the eval rows. A
    student without a group has fewer rows too, so a group of good rows may have no gain where the others suffice.
    `total` is the same difference without the rows of all groups. `share` is the mean as a share of the total's mean,
    and null where the interval of the total is not above 0. The shares need not sum to 1.

    The encoder is that of the run's student. Raise ConfigError where it cannot be loaded, and InputError where an arm
    has rows of fewer than two labels.
    """
    frozen = cfg.frozen if cfg.kind == "frozen" else replace(cfg.frozen, model=cfg.classifier.model)
    learner = Frozen(task, frozen, say)
    real = as_rows(task, seeds)
    described = label_rows(task, cfg.label_rows)
    written = {name: as_rows(task, rows, synthetic=True) for name, rows in groups.items()}
    answers, form = answers_of(task), form_of(task)
    rows = merged([*real, *described, *(row for found in written.values() for row in found)])
    vectors = dict(
        zip(
            (content_id(row.data) for row in rows),
            vectors_of(frozen.model, inputs_of(task, [row.data for row in rows]), form, say),
            strict=True,
        )
    )
    asked = vectors_of(frozen.model, inputs_of(task, eval_rows), form, say)

    def scores(names: Sequence[str]) -> Floats:
        found = merged([*real, *described] * frozen.seed_repeat + [row for name in names for row in written[name]])
        student = FrozenStudent.fit(
            np.stack([vectors[content_id(row.data)] for row in found]), answers.targets(found),
            [row.weight for row in found], seed % 2**32, frozen, answers.names, answers.loss, form, answers.independent,
        )  # fmt: skip
        return answers.scores(student.predict_proba(asked))

    with one_core():
        arms = {_ALL: scores(list(written)), _NONE: scores([])}
        arms |= {f"without {name}": scores([other for other in written if other != name]) for name in written}
    headline = learner.headline
    figures = {arm: learner.figures(eval_rows, [found]) for arm, found in arms.items()}
    pairs = {_gain(name): (f"without {name}", _ALL) for name in written} | {"total": (_NONE, _ALL)}
    table = intervals(figures, len(eval_rows), cfg.bootstrap, cfg.confidence, seed, pairs)
    total = table["total"][headline]
    proven = total["low"] is not None and total["low"] > 0
    about = {"metric": headline, "is_share": headline not in LOWER_IS_BETTER}
    return {
        "metric": headline,
        "eval_rows": len(eval_rows),
        "confidence": cfg.confidence,
        "total": total,
        "gains": {
            name: {**about, **(found := table[_gain(name)][headline]),
                   "share": found["mean"] / total["mean"] if proven else None}
            for name in written
        },
    }  # fmt: skip


def _gain(name: str) -> str:
    return f"gain by {name}"
