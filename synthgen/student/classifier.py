"""The student of a classification task: an encoder fine-tuned with transformers' Trainer.

What is saved is a plain sequence classifier, its labels in the config and its tokenizer beside it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.llm.bundled import resolve
from synthgen.records import Json
from synthgen.student import training
from synthgen.student.checkpoint import Checkpoints
from synthgen.student.config import ClassifierConfig, planned_steps
from synthgen.student.labels import Labels
from synthgen.student.pooling import add_mean_layer, use_mean
from synthgen.student.rows import TrainingRow, label_targets, weights_of
from synthgen.student.scores import Figures, Floats
from synthgen.task import Task

_PREDICT_BATCH = 64


class Classifier:
    """Fits, saves, loads and asks sequence classifiers for one task."""

    headline = "accuracy"

    def __init__(self, task: Task, cfg: ClassifierConfig, report_to: str, say: Callable[[str], None]) -> None:
        self.cfg = cfg
        self._task = task
        self._labels = Labels(task)
        self._report_to = report_to
        self._say = say

    def steps(self, rows: int) -> int:
        return planned_steps(rows, self.cfg)

    def fit(
        self, rows: Sequence[TrainingRow], steps: int, seed: int, logs: Path, checkpoints: Checkpoints
    ) -> "Student":
        """A fresh encoder and head, trained for `steps` batches of shuffled `rows`."""
        from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

        set_seed(seed)
        student = self._fresh()
        encoded = student.encode(self._labels.texts([row.data for row in rows]))
        targets = label_targets(self._task, rows) * weights_of(rows)[:, None]
        data = [{**inputs, "labels": target} for inputs, target in zip(encoded, targets.tolist(), strict=True)]
        trainer = Trainer(
            model=student.model,
            args=TrainingArguments(**training.arguments(self.cfg, steps, seed, logs, self._report_to)),
            train_dataset=data,
            data_collator=DataCollatorWithPadding(student.tokenizer),
            compute_loss_func=weighted_loss,
        )
        training.run(trainer, checkpoints, self._say)
        return student

    def save(self, student: "Student", folder: Path) -> None:
        student.model.save_pretrained(folder)
        student.tokenizer.save_pretrained(folder)

    def load(self, folder: Path) -> "Student":
        """Raises RunFolderError where the student in `folder` was trained for other labels."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype="float32", use_safetensors=True)
        labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
        self._labels.refuse_others(labels, folder)
        return Student(model.to(training.device()), AutoTokenizer.from_pretrained(folder))

    def score(self, student: "Student", rows: Sequence[Json]) -> Floats:
        """The index of the predicted label of every row."""
        return np.asarray(student.probabilities(self._labels.texts(rows)).argmax(1), dtype=np.float64)

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:
        return self._labels.figures(rows, scores)

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:
        return self._labels.details(rows, scores)

    def predict(self, student: "Student", rows: Sequence[Json]) -> list[Json]:
        return self._labels.answers(student.probabilities(self._labels.texts(rows)))

    def _fresh(self) -> "Student":
        from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

        path = resolve(self.cfg.model, self._say)
        with training.loading("student.classifier.model", path):
            config = AutoConfig.from_pretrained(path)
            tokenizer = AutoTokenizer.from_pretrained(path)
            model = AutoModelForSequenceClassification.from_pretrained(
                path,
                dtype="float32",
                use_safetensors=True,  # the older format is a pickle, which is a program
                ignore_mismatched_sizes=True,
                id2label=dict(enumerate(self._labels.names)),
                label2id={label: index for index, label in enumerate(self._labels.names)},
            )
        limit = getattr(config, "max_position_embeddings", None) or self.cfg.max_length
        tokenizer.model_max_length = min(self.cfg.max_length, tokenizer.model_max_length, limit)
        if use_mean(self.cfg.pooling, path, config.model_type):
            add_mean_layer(model)
        return Student(model, tokenizer)


class Student:
    """A sequence classifier with its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> list[Json]:
        """Token ids and mask of every text, cut to the tokenizer's `model_max_length`."""
        encoded = self.tokenizer(list(texts), truncation=True)
        return [{name: encoded[name][index] for name in encoded} for index in range(len(texts))]

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Shape (len(texts), labels); batches are of like length, so that little is padding."""
        import torch

        out = np.zeros((len(texts), self.model.config.num_labels))
        encoded = self.encode(texts) if texts else []
        order = sorted(range(len(texts)), key=lambda index: len(encoded[index]["input_ids"]))
        self.model.eval()
        for start in range(0, len(order), _PREDICT_BATCH):
            batch = order[start : start + _PREDICT_BATCH]
            inputs = self.tokenizer.pad([encoded[index] for index in batch], return_tensors="pt")
            with torch.inference_mode():
                logits = self.model(**inputs.to(self.model.device)).logits
            out[batch] = logits.float().softmax(-1).cpu().numpy()
        return out


def weighted_loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:  # noqa: ARG001
    """Cross-entropy to the rows' label probabilities, each row's scaled by its weight; the mean of the batch."""
    return -(labels * outputs.logits.float().log_softmax(-1)).sum(-1).mean()
