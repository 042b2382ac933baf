"""Train the student of an extraction task whose targets are a choice and spans, such as an intent and its slots.

One encoder has two heads: one tags the words, the other classifies the whole text. The saved student is a plain token
classifier, whose last layer holds both heads: the tags first, then one label `FIELD=VALUE` for each choice. The logits
of the choices are averaged over the tokens of a text, which is the same as a linear head on the mean of their states.
"""

from collections.abc import Callable, Iterator, Sequence
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
from synthgen.student.scores import Figures, Floats, Ints, confusion, span_figures
from synthgen.student.spans import OUTSIDE, SpanTargets, choice_field, shown, to_spans, to_tags
from synthgen.student.tagger import count_spans, span_classes
from synthgen.student.words import UNTAGGED, TokenizedText, check_fast, read
from synthgen.tasks.task import Task

_PREDICT_BATCH = 64


@dataclass
class Student:
    """Hold a token classifier with two heads, and its tokenizer. The first `tags` labels are tags."""

    model: Any
    tokenizer: Any
    tags: int

    def read(self, texts: Sequence[str]) -> list[TokenizedText]:
        return read(self.tokenizer, texts) if texts else []

    def answers(self, texts: Sequence[TokenizedText]) -> tuple[list[list[str]], Floats]:
        """Return the most probable tag of every word, O for words that are cut off, and the choices' probabilities."""
        names = self.model.config.id2label
        tags = [[OUTSIDE] * len(text.words) for text in texts]
        shares = np.zeros((len(texts), self.model.config.num_labels - self.tags))
        for batch, words, choices in self._logits([text.inputs for text in texts]):
            best = words.argmax(-1).cpu().tolist()
            shares[batch] = choices.softmax(-1).cpu().numpy()
            for place, index in enumerate(batch):
                for word, token in enumerate(texts[index].tokens):
                    tags[index][word] = names[best[place][token]]
        return tags, shares

    def _logits(self, inputs: Sequence[Json]) -> Iterator[tuple[list[int], Any, Any]]:
        """Yield indices of inputs, and the logits of both heads, in batches of similar length."""
        import torch

        self.model.eval()
        for batch in training.batches([len(each["input_ids"]) for each in inputs], _PREDICT_BATCH):
            padded = self.tokenizer.pad([inputs[index] for index in batch], return_tensors="pt").to(self.model.device)
            with torch.inference_mode():
                logits = self.model(**padded).logits.float()
            yield batch, *heads(logits, padded["attention_mask"], self.tags)


class IntentTagger:
    """Fit, save, load and query students with two heads for one task."""

    def __init__(self, task: Task, cfg: TaggerConfig, say: Callable[[str], None]) -> None:
        self.cfg = cfg
        self.headline = headline_of(task, ("both_right", "intent_accuracy", "span_f1"))
        self._task = task
        self._field = str(choice_field(task))
        self._choices = [str(value) for value in task.schema["properties"][self._field]["enum"]]
        self._spans = SpanTargets(task)
        self._say = say

    @property
    def _names(self) -> list[str]:
        return [*self._spans.tags, *(f"{self._field}={choice}" for choice in self._choices)]

    def steps(self, rows: int) -> int:
        return planned_steps(rows, self.cfg)

    def stratum(self, row: TrainingRow) -> str:
        return str(row.data[self._field])

    def fit(
        self, rows: Sequence[TrainingRow], plan: Plan, place: TrainingFolders, probe: Probe | None = None
    ) -> Student:
        """Load the encoder, and train it with new heads as planned. A row is used in proportion to its weight."""
        from transformers import Trainer, TrainingArguments, set_seed

        set_seed(plan.seed)
        student = self._fresh()
        tags = len(self._spans.tags)

        class TwoHeads(Trainer):  # type: ignore[misc]  # transformers is lazily typed
            def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
                return losses(model, inputs, tags).mean()

        data = self._labelled(student, rows)
        # without this setting the trainer drops the labels, which the model itself does not take
        settings = {**training.arguments(self.cfg, plan, place), "remove_unused_columns": False}
        trainer = TwoHeads(
            model=student.model,
            args=TrainingArguments(**settings),
            train_dataset=[data[index] for index in plan.order(rows, self.cfg.batch_size, weighted=True)],
            data_collator=_collator(student),
        )
        training.run(trainer, place, self._say, probe, lambda: self._held_out(student, probe.mine if probe else ()))
        return student

    def save(self, student: Student, folder: Path) -> None:
        student.model.save_pretrained(folder)
        student.tokenizer.save_pretrained(folder)

    def load(self, folder: Path) -> Student:
        """Load a student. Raise RunFolderError if it was trained for other choices or span types."""
        model, tokenizer = saved("AutoModelForTokenClassification", folder, self._task, self._names)
        return Student(model, tokenizer, len(self._spans.tags))

    def score(self, student: Student, rows: Sequence[Json]) -> Floats:
        """Return for every row the index of the predicted choice, then correct, predicted and true spans of each type.

        The shape is (rows, 1 + 3 * types).
        """
        texts = student.read([self._task.input_text(row) for row in rows])
        tags, shares = student.answers(texts)
        counts = count_spans(self._spans, rows, texts, tags)
        return np.concatenate([shares.argmax(1)[:, None].astype(np.float64), counts.reshape(len(rows), -1)], axis=1)

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:
        """Return both_right, intent_accuracy, and span precision, recall and F1 over all types."""
        found = np.stack(scores)
        counts = found[:, :, 1:].reshape(*found.shape[:2], -1, 3)
        return intent_figures(found[:, :, 0].astype(np.intp) == self._truth(rows)[None], counts)

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:
        """Return the figures of each span type, and the confusion matrix of the choices."""
        counts = confusion(self._truth(rows), scores[None, :, 0].astype(np.intp), len(self._choices))
        return {
            "classes": span_classes(self._spans, scores[:, 1:].reshape(len(rows), -1, 3)),
            "confusion": {"labels": self._choices, "counts": counts[0].tolist()},
        }

    def predict(self, student: Student, rows: Sequence[Json]) -> list[Json]:
        """Return every row's target fields, the choice's `probability`, and `spans`: start, end (exclusive), type."""
        inputs = [self._task.input_text(row) for row in rows]
        texts = student.read(inputs)
        answers = []
        for text, read_text, tags, share in zip(inputs, texts, *student.answers(texts), strict=True):
            spans = to_spans(read_text.words, tags)
            found = {self._field: self._choices[int(share.argmax())], **self._spans.fields_of(text, spans)}
            targets = {name: found[name] for name in self._task.target}
            answers.append({**targets, "probability": round(float(share.max()), 6), "spans": list(map(shown, spans))})
        return answers

    def _truth(self, rows: Sequence[Json]) -> Ints:
        return np.asarray([self._choices.index(str(row[self._field])) for row in rows], dtype=np.intp)

    def _labelled(self, student: Student, rows: Sequence[TrainingRow]) -> list[Json]:
        """Return inputs with the tag of every token and the index of the choice."""
        index = {tag: number for number, tag in enumerate(self._spans.tags)}
        texts = student.read([self._task.input_text(row.data) for row in rows])
        out = []
        for row, text, choice in zip(rows, texts, self._truth([row.data for row in rows]).tolist(), strict=True):
            tags = to_tags(text.words, self._spans.locate(row.data))
            out.append({**text.inputs, "labels": text.labels([index[tag] for tag in tags]), "choice": choice})
        return out

    def _held_out(self, student: Student, rows: Sequence[TrainingRow]) -> Floats:
        """Return the loss of each held-out row."""
        import torch

        collate, data, out = _collator(student), self._labelled(student, rows), np.zeros(len(rows))
        student.model.eval()
        for batch in training.batches([len(row["input_ids"]) for row in data], _PREDICT_BATCH):
            inputs = collate([data[index] for index in batch]).to(student.model.device)
            with torch.inference_mode():
                out[batch] = losses(student.model, inputs, student.tags).cpu().numpy()
        return out

    def _fresh(self) -> Student:
        model, tokenizer, path = fresh(
            "AutoModelForTokenClassification", self.cfg, "student.tagger.model", self._names, self._say
        )
        check_fast(tokenizer, path)
        return Student(model, tokenizer, len(self._spans.tags))


def heads(logits: Any, mask: Any, tags: int) -> tuple[Any, Any]:
    """Split logits (texts, tokens, labels) into those of the words' tags and of the choices (texts, choices)."""
    seen = mask[:, :, None].to(logits.dtype)
    return logits[:, :, :tags], (logits[:, :, tags:] * seen).sum(1) / seen.sum(1)


def losses(model: Any, inputs: Any, tags: int) -> Any:
    """Return the loss of every text: the cross-entropy per word of its tags, plus that of its choice."""
    from torch.nn.functional import cross_entropy

    given = {name: value for name, value in inputs.items() if name not in ("labels", "choice")}
    words, choices = heads(model(**given).logits.float(), given["attention_mask"], tags)
    wrong = cross_entropy(words.transpose(1, 2), inputs["labels"], ignore_index=UNTAGGED, reduction="none")
    tagged = (inputs["labels"] != UNTAGGED).sum(1).clamp(min=1)
    return wrong.sum(1) / tagged + cross_entropy(choices, inputs["choice"], reduction="none")


def intent_figures(intents: Any, counts: Floats) -> Figures:
    """Return both_right, intent_accuracy and the span figures, averaged over the repeats.

    `intents` (repeats, rows) is True where the choice is right, and `counts` (repeats, rows, types, 3) has the numbers of
    correct, predicted and true spans. Both are right where the choice is right and the spans are exactly the true ones.
    """
    spans = span_figures(counts)
    exact = (counts[..., 0] == counts[..., 1]).all(2) & (counts[..., 0] == counts[..., 2]).all(2)

    def figures(rows: Ints) -> dict[str, float]:
        return {
            "both_right": float((exact & intents)[:, rows].mean()),
            "intent_accuracy": float(intents[:, rows].mean()),
            **spans(rows),
        }

    return figures


def _collator(student: Student) -> Any:
    from transformers import DataCollatorForTokenClassification

    return DataCollatorForTokenClassification(student.tokenizer, label_pad_token_id=UNTAGGED)
