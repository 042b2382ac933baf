"""Train the fast student of a classification task: a logistic regression on the vectors of a frozen sentence encoder.

Fitting takes seconds, and the same rows give the same student. This suits benchmarks, ablations and feedback within a
run. The saved student holds the regression's weights and the encoder's name, not the encoder.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.errors import InputError, RunFolderError
from synthgen.ledger.durable import read_json, write_json
from synthgen.numerics.blas import one_core
from synthgen.numerics.folds import stratified_folds
from synthgen.numerics.regression import binary_regressions, effective, regression, sigmoid, softmax
from synthgen.records import Json
from synthgen.student.config import FrozenConfig
from synthgen.student.inputs import TEXT, Pair, form_of, inputs_of
from synthgen.student.labels import answers_of, refuse_others
from synthgen.student.plan import Plan, Probe, TrainingFolders
from synthgen.student.rows import TrainingRow, balance, merged
from synthgen.student.scores import Figures, Floats, binary_log_loss, log_loss
from synthgen.student.vectors import embed, vectors_of
from synthgen.tasks.task import Task

WEIGHTS, SETTINGS = "model.safetensors", "config.json"
MODEL_TYPE = "synthgen-frozen"
_PROBE = "A sentence whose vector tells one encoder from another."
_CV_ROWS = 2000
"""Most rows for choosing the regularisation."""
_MIDDLE = 10.0
"""The inverse regularisation if there are too few rows to choose one."""

Loss = Callable[[Floats, Floats], Floats]
"""Function from probabilities and wanted probabilities, both (rows, labels), to the loss of each row."""
Inputs = Sequence[str] | Sequence[Pair] | Floats
"""Texts, pairs of texts, or vectors of shape (rows, dimensions)."""


class FrozenStudent:
    """Predict labels by logistic regression on vectors: multinomial, or one for each label if they are `independent`.

    `labels` are in the order of the columns of the probabilities. `form` is the form of its input: texts or pairs of
    texts.
    """

    def __init__(
        self,
        labels: Sequence[str],
        weights: Floats,
        bias: Floats,
        strength: float,
        encoder: str,
        form: str = TEXT,
        independent: bool = False,
    ) -> None:
        self.labels = list(labels)
        self.weights = weights
        self.bias = bias
        self.strength = strength
        self.encoder = encoder
        self.form = form
        self.independent = independent

    @classmethod
    def fit(
        cls,
        inputs: Inputs,
        labels: Sequence[str] | Floats,
        weights: Sequence[float] | None = None,
        seed: int = 0,
        cfg: FrozenConfig | None = None,
        names: Sequence[str] | None = None,
        loss: Loss | None = None,
        form: str = TEXT,
        independent: bool = False,
    ) -> "FrozenStudent":
        """Fit a student to inputs, their labels or label probabilities (rows, labels), and weights.

        The inputs are texts, pairs of texts, or vectors; `form` says which of the first two the student reads. `names`
        are the labels in order; without it, the labels that occur, sorted. The inverse regularisation is the value of
        `cfg.strengths` with the lowest held-out loss in stratified cross-validation on these rows: the log loss, or
        `loss`. With `independent`, a row may have several labels, and each has a probability of its own. Raise
        InputError for rows of fewer than two labels.
        """
        cfg = cfg or FrozenConfig()
        if names is None:
            if isinstance(labels, np.ndarray) and labels.ndim == 2:
                raise InputError("the frozen student: label probabilities need `names`, the labels in order")
            names = sorted({str(label) for label in labels})
        targets = _targets(labels, names)
        vectors = cls._vectors(cfg.model, inputs, form)
        counts = np.ones(len(vectors)) if weights is None else np.asarray(weights, dtype=np.float64)
        keep = counts > 0
        vectors, targets = vectors[keep], targets[keep]
        if len(targets) == 0 or (targets.sum(0) > 0).sum() < 2:
            raise InputError("the frozen student needs rows of at least two labels")
        counts = effective(counts[keep])
        if cfg.class_weights == "balanced":
            counts = counts * balance(targets, counts)
        with one_core():  # on a busy machine, the threads of BLAS wait for each other
            line = binary_regressions if independent else regression
            loss = loss or (binary_log_loss if independent else log_loss)
            strength = _chosen(vectors, targets, counts, cfg, seed, loss, independent)
            return cls(names, *line(vectors, targets, counts, strength), strength, cfg.model, form, independent)

    def predict_proba(self, inputs: Inputs) -> Floats:
        """Return probabilities of shape (rows, labels) for texts, pairs of texts or vectors."""
        logits = self._vectors(self.encoder, inputs, self.form) @ self.weights.T + self.bias
        return sigmoid(logits) if self.independent else softmax(logits)

    def predict(self, inputs: Inputs) -> list[Any]:
        """Return the most probable label of every input; if labels are independent, the list of all likely ones."""
        if not len(inputs):
            return []
        shares = self.predict_proba(inputs)
        if self.independent:
            return [[label for label, share in zip(self.labels, row, strict=True) if share >= 0.5] for row in shares]
        return [self.labels[index] for index in shares.argmax(1)]

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        probe = embed(self.encoder, [_PROBE])[0]
        save_file({"weight": self.weights, "bias": self.bias, "probe": probe}, folder / WEIGHTS)
        settings = {
            "model_type": MODEL_TYPE,
            "encoder": self.encoder,
            "labels": self.labels,
            "inverse_regularisation": self.strength,
            "reads": self.form,
            "independent": self.independent,
        }
        write_json(folder / SETTINGS, settings)

    @classmethod
    def load(cls, folder: Path | str) -> "FrozenStudent":
        """Load a student. Raise RunFolderError for another kind of student, and if its encoder has changed."""
        from safetensors.numpy import load_file

        folder = Path(folder)
        settings = read_json(folder / SETTINGS) or {}
        if settings.get("model_type") != MODEL_TYPE:
            raise RunFolderError(f"{folder}: this is not a frozen student; train it again with student=frozen")
        tensors = load_file(folder / WEIGHTS)
        found = embed(settings["encoder"], [_PROBE])[0]
        if found.shape != tensors["probe"].shape or float(found @ tensors["probe"]) < 0.999:
            raise RunFolderError(
                f"{folder}: the encoder '{settings['encoder']}' is not the one that the student was fitted with; "
                "restore that encoder, or train the student again"
            )
        strength = float(settings["inverse_regularisation"])
        weights, bias, form = tensors["weight"], tensors["bias"], settings.get("reads", TEXT)
        independent = settings.get("independent", False)
        return cls(settings["labels"], weights, bias, strength, settings["encoder"], form, independent)

    @staticmethod
    def _vectors(encoder: str, inputs: Inputs, form: str) -> Floats:
        if isinstance(inputs, np.ndarray):
            return np.asarray(inputs, dtype=np.float64)
        return vectors_of(encoder, inputs, form)


def _targets(labels: Sequence[str] | Floats, names: Sequence[str]) -> Floats:
    if isinstance(labels, np.ndarray) and labels.ndim == 2:
        return np.asarray(labels, dtype=np.float64)
    index = {name: number for number, name in enumerate(names)}
    return np.eye(len(names))[[index[str(label)] for label in labels]]


def _chosen(
    vectors: Floats, targets: Floats, counts: Floats, cfg: FrozenConfig, seed: int, loss: Loss, independent: bool
) -> float:
    """Return the inverse regularisation with the lowest held-out loss; of equal ones, the smallest value."""
    strata = targets.argmax(1)
    folds = min(cfg.folds, int(np.bincount(strata).max()))
    if folds < 2 or len(cfg.strengths) < 2:
        return cfg.strengths[0] if len(cfg.strengths) == 1 else _MIDDLE
    if len(vectors) > _CV_ROWS:
        few = stratified_folds(strata, -(-len(vectors) // _CV_ROWS), seed) == 0
        vectors, targets, counts, strata = vectors[few], targets[few], counts[few], strata[few]
    fold_of = stratified_folds(strata, folds, seed)
    losses = dict.fromkeys(sorted(cfg.strengths), 0.0)
    for fold in range(folds):
        kept, held = fold_of != fold, fold_of == fold
        if len(set(strata[kept])) < 2:
            continue
        for strength in losses:
            line = binary_regressions if independent else regression
            weights, bias = line(vectors[kept], targets[kept], counts[kept], strength)
            shares = (sigmoid if independent else softmax)(vectors[held] @ weights.T + bias)
            losses[strength] += float((counts[held] * loss(shares, targets[held])).sum())
    return min(losses, key=losses.__getitem__) if any(losses.values()) else _MIDDLE


class Frozen:
    """Fit, save, load and query frozen students for one task. A fit takes seconds, so there are no checkpoints."""

    def __init__(self, task: Task, cfg: FrozenConfig, say: Callable[[str], None]) -> None:
        self.cfg = cfg
        self._task = task
        self._answers = answers_of(task)
        self._say = say

    @property
    def headline(self) -> str:
        return self._answers.headline

    def steps(self, rows: int) -> int:  # noqa: ARG002
        """Return 0, because a regression is not trained in steps."""
        return 0

    def stratum(self, row: TrainingRow) -> str:
        return self._answers.stratum(row)

    def fit(
        self,
        rows: Sequence[TrainingRow],
        plan: Plan,
        place: TrainingFolders,  # noqa: ARG002
        probe: Probe | None = None,  # noqa: ARG002
    ) -> FrozenStudent:
        """Fit a regression on the rows' vectors. Copies of a row are merged into one row of more weight."""
        found = merged(rows)
        form = form_of(self._task)
        vectors = vectors_of(self.cfg.model, inputs_of(self._task, [row.data for row in found]), form, self._say)
        weights = [row.weight for row in found]
        targets = self._answers.targets(found)
        answers, seed = self._answers, plan.seed
        return FrozenStudent.fit(
            vectors, targets, weights, seed, self.cfg, answers.names, answers.loss, form, answers.independent
        )

    def save(self, student: FrozenStudent, folder: Path) -> None:
        student.save(folder)

    def load(self, folder: Path) -> FrozenStudent:
        """Load a student. Raise RunFolderError if the student in `folder` was fitted for other labels or inputs."""
        student = FrozenStudent.load(folder)
        refuse_others(self._task, self._answers.names, student.labels, folder)
        if student.form != form_of(self._task):
            raise RunFolderError(
                f"{folder}: the student reads a {student.form}, but task {self._task.name} has a {form_of(self._task)}; "
                "train it again"
            )
        return student

    def score(self, student: FrozenStudent, rows: Sequence[Json]) -> Floats:
        return self._answers.scores(student.predict_proba(inputs_of(self._task, rows)))

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:
        return self._answers.figures(rows, scores)

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:
        return self._answers.details(rows, scores)

    def predict(self, student: FrozenStudent, rows: Sequence[Json]) -> list[Json]:
        return self._answers.answers(student.predict_proba(inputs_of(self._task, rows)))
