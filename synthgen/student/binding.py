"""Compute a student's binding: hashes of all its inputs. Two trainings with the same binding give the same student.

The keys are readable, because messages name the changed inputs by them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from synthgen.records import Json, content_id
from synthgen.student.config import LearnerConfig, StudentConfig
from synthgen.student.rows import TrainingRow, as_json
from synthgen.tasks.task import Task


def binding(
    task: Task,
    cfg: StudentConfig,
    learner: LearnerConfig,
    rows: Mapping[str, Sequence[TrainingRow]],
    seed: int,
) -> Json:
    """Return {input: hash}. Leave out settings of checkpoints and trackers, which do not change the student."""
    settings = {
        **dataclasses.asdict(learner),
        **dataclasses.asdict(cfg.training),
        "bootstrap": cfg.bootstrap,
        "confidence": cfg.confidence,
        "seed": seed,
    }
    return {
        "task": content_id(task.definition()),
        "settings": content_id(settings),
        "model": content_id([learner.model, _files(learner.model)]),
        **{name: content_id([as_json(row) for row in part]) for name, part in rows.items()},
    }


def _files(model: str) -> list[list[str | int]]:
    """Return names, sizes and times of a local model's files. For bundled and hub models the name identifies them."""
    files = sorted(path for path in Path(model).rglob("*") if path.is_file()) if Path(model).is_dir() else []
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
