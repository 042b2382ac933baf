"""The student of a classification task: an encoder fine-tuned with transformers' Trainer.

What is saved is a plain sequence classifier, its labels in the config and its tokenizer beside it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.errors import RunFolderError
from synthgen.llm.bundled import resolve
from synthgen.records import Json
from synthgen.student import training
from synthgen.student.checkpoint import Checkpoints
from synthgen.student.config import ClassifierConfig
from synthgen.student.pooling import add_mean_layer, use_mean
from synthgen.student.scores import Figures, Floats, confusion, macro_figures, per_class
from synthgen.task import Task

_PREDICT_BATCH = 64


class Classifier:
    """Fits, saves, loads and asks sequence classifiers for one task."""

    headline = "accuracy"

    def __init__(self, task: Task, cfg: ClassifierConfig, report_to: str, say: Callable[[str], None]) -> None:
        self.cfg = cfg
        self._task = task
        self._labels = list(task.labels)
        self._report_to = report_to
        self._say = say

    def fit(self, rows: Sequence[Json], steps: int, seed: int, logs: Path, checkpoints: Checkpoints) -> "Student":
        """A fresh encoder and head, trained for `steps` batches of shuffled `rows`."""
        from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

        set_seed(seed)
        student = self._fresh()
        encoded = student.encode([self._task.input_text(row) for row in rows])
        labels = self._truth(rows)
        data = [{**inputs, "labels": label} for inputs, label in zip(encoded, labels, strict=True)]
        trainer = Trainer(
            model=student.model,
            args=TrainingArguments(**training.arguments(self.cfg, steps, seed, logs, self._report_to)),
            train_dataset=data,
            data_collator=DataCollatorWithPadding(student.tokenizer),
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
        if labels != self._labels:
            raise RunFolderError(
                f"{folder}: the student knows the labels {', '.join(labels)}, and task {self._task.name} has "
                f"{', '.join(self._labels)}; train it again"
            )
        return Student(model.to(training.device()), AutoTokenizer.from_pretrained(folder))

    def score(self, student: "Student", rows: Sequence[Json]) -> Floats:
        """The index of the predicted label of every row."""
        best = student.probabilities([self._task.input_text(row) for row in rows]).argmax(1)
        return np.asarray(best, dtype=np.float64)

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:
        return macro_figures(self._truth(rows), np.stack(scores).astype(np.intp), len(self._labels))

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:
        """The table of classes and the confusion matrix (true label by row) of one student."""
        counts = confusion(self._truth(rows), scores[None].astype(np.intp), len(self._labels))
        table = per_class(counts)
        return {
            "classes": {
                label: {
                    **{name: float(table[name][0, index]) for name in ("precision", "recall", "f1")},
                    "support": int(table["support"][0, index]),
                }
                for index, label in enumerate(self._labels)
            },
            "confusion": {"labels": self._labels, "counts": counts[0].tolist()},
        }

    def predict(self, student: "Student", rows: Sequence[Json]) -> list[Json]:
        """{label field: label, probability, probabilities} of every row."""
        [field] = self._task.target
        answers = []
        for row in student.probabilities([self._task.input_text(row) for row in rows]):
            best = int(row.argmax())
            answers.append(
                {
                    field: self._labels[best],
                    "probability": round(float(row[best]), 6),
                    "probabilities": {
                        label: round(float(share), 6) for label, share in zip(self._labels, row, strict=True)
                    },
                }
            )
        return answers

    def _truth(self, rows: Sequence[Json]) -> Any:
        index = {label: number for number, label in enumerate(self._labels)}
        return np.asarray([index[str(self._task.label_of(row))] for row in rows], dtype=np.intp)

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
                id2label=dict(enumerate(self._labels)),
                label2id={label: index for index, label in enumerate(self._labels)},
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
