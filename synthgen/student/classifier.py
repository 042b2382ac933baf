"""Train the student of a classification task: an encoder fine-tuned with transformers' Trainer.

The saved student is a plain sequence classifier, with its labels in the config and its tokenizer in the same folder.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.records import Json
from synthgen.student import head, training
from synthgen.student.config import ClassifierConfig, planned_steps
from synthgen.student.encoders import fresh, saved
from synthgen.student.inputs import Inputs, inputs_of, swapped
from synthgen.student.labels import answers_of
from synthgen.student.plan import Plan, Probe, TrainingFolders
from synthgen.student.pooling import add_mean_layer, use_mean
from synthgen.student.rows import TrainingRow, balance, weights_of
from synthgen.student.scores import Figures, Floats, binary_log_loss, log_loss
from synthgen.tasks.task import Task

_PREDICT_BATCH = 64
_INDEPENDENT = "multi_label_classification"
"""The name by which transformers' pipelines know that each label has a probability of its own."""


class Classifier:
    """Fit, save, load and query sequence classifiers for one task."""

    def __init__(self, task: Task, cfg: ClassifierConfig, say: Callable[[str], None]) -> None:
        self.cfg = cfg
        self._task = task
        self._answers = answers_of(task)
        self._say = say

    @property
    def headline(self) -> str:
        return self._answers.headline

    def steps(self, rows: int) -> int:
        return planned_steps(rows, self.cfg)

    def stratum(self, row: TrainingRow) -> str:
        return self._answers.stratum(row)

    def fit(
        self, rows: Sequence[TrainingRow], plan: Plan, place: TrainingFolders, probe: Probe | None = None
    ) -> "Student":
        """Load the encoder, and train it as planned with a head that starts from a regression or at random."""
        from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

        set_seed(plan.seed)
        student = self._fresh()
        inputs, targets = inputs_of(self._task, [row.data for row in rows]), self._targets(rows)
        orders = self._orders(inputs)
        if self.cfg.head == "regression":
            both = [text for order in orders for text in order]
            student.start_head(both, np.concatenate([targets] * len(orders)), plan.seed % 2**32)
        data = [
            [{**each, "labels": target} for each, target in zip(student.encode(order), targets.tolist(), strict=True)]
            for order in orders
        ]
        trainer = Trainer(
            model=student.model,
            # the loss is a mean over rows, of which every worker has equally many
            args=TrainingArguments(**training.arguments(self.cfg, plan, place), average_tokens_across_devices=False),
            train_dataset=_in_turn(data, plan.order(rows, self.cfg.batch_size, weighted=False)),
            data_collator=DataCollatorWithPadding(student.tokenizer),
            compute_loss_func=_binary_cross_entropy if self._answers.independent else _cross_entropy,
        )
        training.run(trainer, place, self._say, probe, lambda: self._held_out(student, probe.mine if probe else ()))
        return student

    def _targets(self, rows: Sequence[TrainingRow]) -> Floats:
        """Return the loss targets (rows, labels + 1): smoothed label probabilities, and the row's weight at the end."""
        targets, weights = self._answers.targets(rows), weights_of(rows)
        if self.cfg.class_weights == "balanced":
            weights = weights * balance(targets, weights)
        smooth, even = self.cfg.label_smoothing, 0.5 if self._answers.independent else 1 / targets.shape[1]
        smoothed = (1 - smooth) * targets + smooth * even
        return np.concatenate([smoothed, weights[:, None]], axis=1)

    def _held_out(self, student: "Student", rows: Sequence[TrainingRow]) -> Floats:
        """Return the cross-entropy of each held-out row."""
        shares = self._probabilities(student, [row.data for row in rows])
        return (binary_log_loss if self._answers.independent else log_loss)(shares, self._answers.targets(rows))

    def save(self, student: "Student", folder: Path) -> None:
        student.model.save_pretrained(folder)
        student.tokenizer.save_pretrained(folder)

    def load(self, folder: Path) -> "Student":
        """Load a student. Raise RunFolderError if it was trained for other labels."""
        return Student(*saved("AutoModelForSequenceClassification", folder, self._task, self._answers.names))

    def score(self, student: "Student", rows: Sequence[Json]) -> Floats:
        return self._answers.scores(self._probabilities(student, rows))

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:
        return self._answers.figures(rows, scores)

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:
        return self._answers.details(rows, scores)

    def predict(self, student: "Student", rows: Sequence[Json]) -> list[Json]:
        return self._answers.answers(self._probabilities(student, rows))

    def _probabilities(self, student: "Student", rows: Sequence[Json]) -> Floats:
        """Return label probabilities (rows, labels). For symmetric pairs, they are the mean over both orders."""
        found = [student.probabilities(order) for order in self._orders(inputs_of(self._task, rows))]
        return np.asarray(np.mean(found, axis=0), dtype=np.float64)

    def _orders(self, inputs: Inputs) -> list[Inputs]:
        """Return the inputs, and those of symmetric pairs in the other order too."""
        return [inputs, swapped(inputs)] if self._task.symmetric else [inputs]  # type: ignore[arg-type]  # pairs

    def _fresh(self) -> "Student":
        model, tokenizer, path = fresh(
            "AutoModelForSequenceClassification", self.cfg, "student.classifier.model", self._answers.names, self._say
        )
        if self._answers.independent:
            model.config.problem_type = _INDEPENDENT
        if use_mean(self.cfg.pooling, path, model.config.model_type):
            add_mean_layer(model)
        return Student(model, tokenizer)


class Student:
    """Hold a sequence classifier with its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @property
    def independent(self) -> bool:
        """Return True when each label has a probability of its own."""
        return bool(self.model.config.problem_type == _INDEPENDENT)

    def encode(self, inputs: Sequence[Any]) -> list[Json]:
        """Return token ids and mask of every text or pair, truncated to the tokenizer's `model_max_length`."""
        columns = list(map(list, zip(*inputs, strict=True))) if isinstance(inputs[0], tuple) else [list(inputs)]
        encoded = self.tokenizer(*columns, truncation=True)
        return [{name: encoded[name][index] for name in encoded} for index in range(len(inputs))]

    def probabilities(self, inputs: Sequence[Any]) -> Floats:
        """Return label probabilities of shape (len(inputs), labels)."""
        out = np.zeros((len(inputs), self.model.config.num_labels))
        for batch, logits in self._logits(inputs):
            shares = logits.float().sigmoid() if self.independent else logits.float().softmax(-1)
            out[batch] = shares.cpu().numpy()
        return out

    def start_head(self, inputs: Sequence[Any], targets: Floats, seed: int) -> None:
        """Set the head's weights from a regression of `targets` on the encoder's vectors.

        `targets` are those of the loss, with the rows' weights in the last column. A head that is not one linear layer
        on one vector per text stays as it is.
        """
        layer = head.linear_head(self.model)
        if layer is None:
            return
        few = head.some_rows(targets[:, :-1], seed)
        given: list[Any] = []
        hook = layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        try:
            vectors = np.zeros((len(few), layer.in_features))
            for batch, _ in self._logits([inputs[index] for index in few]):
                if (found := given.pop()).ndim != 2:
                    return  # the head gets a vector for every token
                vectors[batch] = found.float().cpu().numpy()
        finally:
            hook.remove()
        head.start(layer, vectors, targets[few, :-1], targets[few, -1], self.independent)

    def _logits(self, inputs: Sequence[Any]) -> Iterator[tuple[list[int], Any]]:
        """Yield indices of inputs and their logits, in batches of similar length, to save padding."""
        import torch

        encoded = self.encode(inputs) if len(inputs) else []
        self.model.eval()
        for batch in training.batches([len(each["input_ids"]) for each in encoded], _PREDICT_BATCH):
            padded = self.tokenizer.pad([encoded[index] for index in batch], return_tensors="pt")
            with torch.inference_mode():
                yield batch, self.model(**padded.to(self.model.device)).logits


def _in_turn(data: Sequence[Sequence[Json]], order: Sequence[int]) -> list[Json]:
    """Return the rows in this order. The forms of a row in `data`, its two orders, take turns each time it occurs."""
    seen: Counter[int] = Counter()
    out = []
    for index in order:
        out.append(data[(index + seen[index]) % len(data)][index])
        seen[index] += 1
    return out


def _cross_entropy(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:  # noqa: ARG001
    """Return the mean loss of the batch. `labels` are label probabilities and, in the last column, the rows' weights."""
    targets, weights = labels[:, :-1], labels[:, -1]
    return -(weights * (targets * outputs.logits.float().log_softmax(-1)).sum(-1)).mean()


def _binary_cross_entropy(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:  # noqa: ARG001
    """Return the mean loss of the batch, for labels that are independent of each other."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    targets, weights = labels[:, :-1], labels[:, -1]
    losses = binary_cross_entropy_with_logits(outputs.logits.float(), targets, reduction="none")
    return (weights * losses.sum(-1)).mean()
