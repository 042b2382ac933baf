"""Train the student of an extraction task whose targets are spans of the input: an encoder that tags words.

The saved student is a plain token classifier, with its BIO tags in the config and its tokenizer in the same folder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.records import Json
from synthgen.student import training
from synthgen.student.config import TaggerConfig, planned_steps
from synthgen.student.encoders import fresh, saved
from synthgen.student.labels import headline_of
from synthgen.student.plan import Plan, Probe, TrainingFolders
from synthgen.student.rows import TrainingRow
from synthgen.student.scores import Figures, Floats, class_table, precision_recall_f1, span_figures
from synthgen.student.spans import OUTSIDE, SpanTargets, shown, to_spans, to_tags
from synthgen.student.words import UNTAGGED, TokenizedText, check_fast, read
from synthgen.tasks.task import Task

_PREDICT_BATCH = 64


@dataclass
class Student:
    """Hold a token classifier with its tokenizer."""

    model: Any
    tokenizer: Any

    def read(self, texts: Sequence[str]) -> list[TokenizedText]:
        return read(self.tokenizer, texts)

    def tags(self, texts: Sequence[TokenizedText]) -> list[list[str]]:
        """Return the most probable tag of every word; O for words that are cut off."""
        import torch

        names = self.model.config.id2label
        out = [[OUTSIDE] * len(text.words) for text in texts]
        self.model.eval()
        for batch in training.batches([len(text.inputs["input_ids"]) for text in texts], _PREDICT_BATCH):
            inputs = self.tokenizer.pad([texts[index].inputs for index in batch], return_tensors="pt")
            with torch.inference_mode():
                best = self.model(**inputs.to(self.model.device)).logits.argmax(-1).cpu().tolist()
            for place, index in enumerate(batch):
                for word, token in enumerate(texts[index].tokens):
                    out[index][word] = names[best[place][token]]
        return out


class Tagger:
    """Fit, save, load and query token classifiers for one task."""

    def __init__(self, task: Task, cfg: TaggerConfig, say: Callable[[str], None]) -> None:
        self.cfg = cfg
        self.headline = headline_of(task, ("span_f1", "span_precision", "span_recall"))
        self._task = task
        self._spans = SpanTargets(task)
        self._say = say

    def steps(self, rows: int) -> int:
        return planned_steps(rows, self.cfg)

    def stratum(self, row: TrainingRow) -> str:
        """Return a stratum that separates rows with spans from rows without spans."""
        return str(bool(self._spans.locate(row.data)))

    def fit(
        self, rows: Sequence[TrainingRow], plan: Plan, place: TrainingFolders, probe: Probe | None = None
    ) -> Student:
        """Load the encoder, and train it with a new head as planned. A row is used in proportion to its weight."""
        from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments, set_seed

        set_seed(plan.seed)
        student = self._fresh()
        data = self._tagged(student, rows)
        trainer = Trainer(
            model=student.model,
            args=TrainingArguments(**training.arguments(self.cfg, plan, place)),
            train_dataset=[data[index] for index in plan.order(rows, self.cfg.batch_size, weighted=True)],
            data_collator=DataCollatorForTokenClassification(student.tokenizer, label_pad_token_id=UNTAGGED),
            compute_loss_func=_mean_loss,
        )
        training.run(trainer, place, self._say, probe, lambda: self._held_out(student, probe.mine if probe else ()))
        return student

    def save(self, student: Student, folder: Path) -> None:
        student.model.save_pretrained(folder)
        student.tokenizer.save_pretrained(folder)

    def load(self, folder: Path) -> Student:
        """Load a student. Raise RunFolderError if it was trained for other span types."""
        return Student(*saved("AutoModelForTokenClassification", folder, self._task, self._spans.tags))

    def score(self, student: Student, rows: Sequence[Json]) -> Floats:
        """Return counts of shape (rows, types, 3): correct, predicted and true spans."""
        texts = student.read([self._task.input_text(row) for row in rows])
        return count_spans(self._spans, rows, texts, student.tags(texts))

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:  # noqa: ARG002
        return span_figures(np.stack(scores))

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:  # noqa: ARG002
        """Return the figures of each span type."""
        return {"classes": span_classes(self._spans, scores)}

    def row_scores(self, scores: Floats) -> Floats:
        """Return the span F1 of every row; 1 for a row in which there is nothing to find and nothing is found."""
        hit, predicted, true = scores.sum(1).T
        return np.where(predicted + true > 0, precision_recall_f1(hit, predicted, true)[2], 1.0)

    def predict(self, student: Student, rows: Sequence[Json]) -> list[Json]:
        """Return every row's target fields, and `spans`: start, end (exclusive) and type of each."""
        inputs = [self._task.input_text(row) for row in rows]
        texts = student.read(inputs) if inputs else []
        answers = []
        for text, found, tags in zip(inputs, texts, student.tags(texts), strict=True):
            spans = to_spans(found.words, tags)
            answers.append({**self._spans.fields_of(text, spans), "spans": [shown(span) for span in spans]})
        return answers

    def _tagged(self, student: Student, rows: Sequence[TrainingRow]) -> list[Json]:
        """Return inputs with a label for every token. Only the first token of a word has the word's tag."""
        index = {tag: number for number, tag in enumerate(self._spans.tags)}
        out = []
        texts = student.read([self._task.input_text(row.data) for row in rows])
        for row, text in zip(rows, texts, strict=True):
            tags = to_tags(text.words, self._spans.locate(row.data))
            out.append({**text.inputs, "labels": text.labels([index[tag] for tag in tags])})
        return out

    def _held_out(self, student: Student, rows: Sequence[TrainingRow]) -> Floats:
        """Return the cross-entropy per word of each held-out row."""
        import torch
        from transformers import DataCollatorForTokenClassification

        collate = DataCollatorForTokenClassification(student.tokenizer, label_pad_token_id=UNTAGGED)
        data, out = self._tagged(student, rows), np.zeros(len(rows))
        student.model.eval()
        for batch in training.batches([len(row["input_ids"]) for row in data], _PREDICT_BATCH):
            inputs = collate([data[index] for index in batch]).to(student.model.device)
            with torch.inference_mode():
                logits = student.model(**inputs).logits.float().transpose(1, 2)
            losses = torch.nn.functional.cross_entropy(
                logits, inputs["labels"], ignore_index=UNTAGGED, reduction="none"
            )
            words = (inputs["labels"] != UNTAGGED).sum(1).clamp(min=1)
            out[batch] = (losses.sum(1) / words).cpu().numpy()
        return out

    def _fresh(self) -> Student:
        model, tokenizer, path = fresh(
            "AutoModelForTokenClassification", self.cfg, "student.tagger.model", self._spans.tags, self._say
        )
        check_fast(tokenizer, path)
        return Student(model, tokenizer)


def _mean_loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
    """Return the loss per word of the whole batch, of which a worker has a part."""
    from torch.nn.functional import cross_entropy

    logits = outputs.logits.float().transpose(1, 2)
    return cross_entropy(logits, labels, ignore_index=UNTAGGED, reduction="sum") / num_items_in_batch


def count_spans(
    spans: SpanTargets, rows: Sequence[Json], texts: Sequence[TokenizedText], tags: Sequence[Sequence[str]]
) -> Floats:
    """Return counts of shape (rows, types, 3): correct, predicted and true spans. `tags` has those of every word.

    A true span is compared as the words that it covers, as in seqeval.
    """
    out = np.zeros((len(rows), len(spans.types), 3))
    for number, (row, text, predicted) in enumerate(zip(rows, texts, tags, strict=True)):
        true = set(to_spans(text.words, to_tags(text.words, spans.locate(row))))
        found = set(to_spans(text.words, predicted))
        for column, each in enumerate((true & found, found, true)):
            for span in each:
                out[number, spans.types.index(span.type), column] += 1
    return out


def span_classes(spans: SpanTargets, counts: Floats) -> Json:
    """Return the figures of each span type, from counts of shape (rows, types, 3)."""
    return class_table(spans.types, *counts.sum(0).T)
