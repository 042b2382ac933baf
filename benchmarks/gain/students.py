"""Train the students that compare the arms, and cache their answers by content so that nothing is trained twice."""

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmarks.gain.arms import Arm
from benchmarks.gain.data import Data
from synthgen.labels.pool import Weighed
from synthgen.records import Json, content_id
from synthgen.student import StudentConfig, TrainingRow, fit_classifier, predict, train
from synthgen.student.frozen import FrozenStudent
from synthgen.student.rows import label_rows, label_targets, merged
from synthgen.student.scores import Floats
from synthgen.student.vectors import embed
from synthgen.tasks.task import Task

KINDS = ("frozen", "finetuned", "lora")
Answers = list[str | None]
"""One label per row; None if the answer is not a label, which only `lora` can give."""


class FittedStudent(Protocol):
    def predict(self, rows: Sequence[Json]) -> Sequence[str | None]: ...


class Students:
    """Train students as `cfg` states, one at a time; their answers are cached below `folder`."""

    def __init__(self, data: Data, cfg: StudentConfig, folder: Path, seed: int) -> None:
        self._data = data
        self._cfg = cfg
        self._folder = folder
        self._seed = seed
        self._vectors = Vectors(cfg.frozen.model)
        self._fitted: dict[bool, tuple[str, FittedStudent]] = {}  # that of the full data, and the latest of the others

    def labels(self, kind: str, arm: Arm, rows: Sequence[Json], draw: int) -> Answers:
        """Return what a student fitted on the arm answers to `rows`. The full data's is the same for all draws."""
        cfg = self._config(kind)
        seed = self._seed + (0 if arm.full else draw)
        mix = self._mix(kind, cfg, arm)
        fitted_on = [[row.data, row.weight, row.soft and dict(row.soft), row.synthetic] for row in mix]
        question = [kind, dataclasses.asdict(cfg), seed, fitted_on]
        student = content_id(question)
        path = self._folder / f"{content_id([student, list(rows)])}.json"
        if path.exists():
            kept: Answers = json.loads(path.read_text(encoding="utf-8"))
            return kept
        if arm.full not in self._fitted or self._fitted[arm.full][0] != student:
            self._fitted[arm.full] = student, self._fit(kind, cfg, mix, seed)
        answers = list(self._fitted[arm.full][1].predict(rows))
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")
        unfinished.replace(path)
        return answers

    def _config(self, kind: str) -> StudentConfig:
        return dataclasses.replace(self._cfg, kind="frozen" if kind == "frozen" else "auto")

    def _mix(self, kind: str, cfg: StudentConfig, arm: Arm) -> list[TrainingRow]:
        """Return the arm's rows as a run's student gets them: rows that people wrote count more beside synthetic ones."""
        repeat = {"frozen": cfg.frozen.seed_repeat, "finetuned": cfg.classifier.seed_repeat, "lora": 1}[kind]
        real = [TrainingRow(row) for row in arm.seeds]
        real += label_rows(self._data.task, cfg.label_rows) if arm.described else []
        if not arm.synthetic:
            return real + [TrainingRow(row) for row in arm.added]
        worth = arm.worth or [Weighed()] * len(arm.added)
        added = [TrainingRow(row, w.weight, w.labels, synthetic=True) for row, w in zip(arm.added, worth, strict=True)]
        return real * (repeat if added else 1) + added

    def _fit(self, kind: str, cfg: StudentConfig, mix: Sequence[TrainingRow], seed: int) -> FittedStudent:
        task = self._data.task
        match kind:
            case "frozen":
                return Frozen(task, cfg, mix, seed, self._vectors)
            case "lora":
                return Written(task, cfg, mix, seed)
            case _:
                return fit_classifier(task, cfg, mix, seed)


class Vectors:
    """Cache the frozen encoder's vectors for all arms, because embedding is most of a frozen student's time."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._known: dict[str, Floats] = {}

    def of(self, texts: Sequence[str]) -> Floats:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(new, embed(self._model, new), strict=True))
        return np.stack([self._known[text] for text in texts])


class Frozen:
    """Train the frozen student of `fit_classifier` on cached vectors."""

    def __init__(self, task: Task, cfg: StudentConfig, mix: Sequence[TrainingRow], seed: int, vectors: Vectors) -> None:
        self._task = task
        self._vectors = vectors
        rows = merged(mix)
        inputs, weights = self._inputs([row.data for row in rows]), [row.weight for row in rows]
        targets = label_targets(task, rows)
        self._student = FrozenStudent.fit(inputs, targets, weights, seed % 2**32, cfg.frozen, list(task.labels))

    def predict(self, rows: Sequence[Json]) -> list[str]:
        return self._student.predict(self._inputs(rows)) if rows else []

    def _inputs(self, rows: Sequence[Json]) -> Floats:
        return self._vectors.of([self._task.input_text(row) for row in rows])


class Written:
    """Fine-tune an instruct model with LoRA so that it writes the label as text."""

    def __init__(self, task: Task, cfg: StudentConfig, mix: Sequence[TrainingRow], seed: int) -> None:
        self._labels = list(task.labels)
        self._field = task.target[0]
        self._task = dataclasses.replace(task, kind="generation", labels={})
        longest = max(len(label.encode()) for label in self._labels)  # no label has more tokens than bytes
        tokens = min(cfg.generator.max_new_tokens or longest + 1, longest + 1)
        self._cfg = dataclasses.replace(cfg, generator=dataclasses.replace(cfg.generator, max_new_tokens=tokens))
        self._folder = tempfile.TemporaryDirectory(prefix="synthgen-gain-lora-")
        real, written = [row for row in mix if not row.synthetic], [row for row in mix if row.synthetic]
        train(self._task, self._cfg, real, written, [], Path(self._folder.name) / "student", seed, lambda _: None)

    def predict(self, rows: Sequence[Json]) -> Answers:
        answers = predict(self._task, self._cfg, Path(self._folder.name) / "student", rows)
        return [answer[self._field] if answer[self._field] in self._labels else None for answer in answers]
