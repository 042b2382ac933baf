"""What a student follows from: two trainings of the same binding give the same student.

The keys are the words in which a person is told what has changed.
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
    """{part: its hash}; how often checkpoints are written and where a tracker logs change nothing."""
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
    """Return names, sizes and times of a local model's files; bundled and hub models are known by name."""
    files = sorted(path for path in Path(model).rglob("*") if path.is_file()) if Path(model).is_dir() else []
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
