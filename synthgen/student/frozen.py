"""Train the fast student of a classification task: a logistic regression on the vectors of a frozen sentence encoder.

Fitting takes seconds, and the same rows give the same student. This suits benchmarks, ablations and feedback within a
run. The saved student holds the regression's weights and the encoder's name, not the encoder.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.engines.bundled import resolve
from synthgen.errors import InputError, RunFolderError
from synthgen.ledger.durable import read_json, write_json
from synthgen.numerics.blas import one_core
from synthgen.numerics.folds import stratified_folds
from synthgen.numerics.regression import effective, regression, softmax
from synthgen.records import Json
from synthgen.student import training
from synthgen.student.config import FrozenConfig
from synthgen.student.labels import answers_of, refuse_others
from synthgen.student.plan import Place, Plan, Probe
from synthgen.student.rows import TrainingRow, balance, merged
from synthgen.student.scores import Figures, Floats, log_loss
from synthgen.tasks.task import Task

WEIGHTS, SETTINGS = "model.safetensors", "config.json"
MODEL_TYPE = "synthgen-frozen"
_PROBE = "A sentence whose vector tells one encoder from another."
_CV_ROWS = 2000
"""Most rows for choosing the regularisation."""
_MIDDLE = 10.0
"""The inverse regularisation if there are too few rows to choose one."""
_BATCH = 64

Loss = Callable[[Floats, Floats], Floats]
"""Function from probabilities and wanted probabilities, both (rows, labels), to the loss of each row."""
Inputs = Sequence[str] | Floats
"""Texts, or unit vectors of shape (rows, dimensions)."""


class FrozenStudent:
    """Predict labels by multinomial logistic regression on unit vectors.

    `labels` are in the order of the columns of the probabilities.
    """

    def __init__(self, labels: Sequence[str], weights: Floats, bias: Floats, strength: float, encoder: str) -> None:
        self.labels = list(labels)
        self.weights = weights
        self.bias = bias
        self.strength = strength
        self.encoder = encoder

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
    ) -> "FrozenStudent":
        """Fit a student to texts or unit vectors, their labels or label probabilities (rows, labels), and weights.

        `names` are the labels in order; without it, the labels that occur, sorted. The inverse regularisation is the
        value of `cfg.strengths` with the lowest held-out loss in stratified cross-validation on these rows: the log loss,
        or `loss`.
        Raise InputError for rows of fewer than two labels.
        """
        cfg = cfg or FrozenConfig()
        if names is None:
            if isinstance(labels, np.ndarray) and labels.ndim == 2:
                raise InputError("the frozen student: label probabilities need `names`, the labels in order")
            names = sorted({str(label) for label in labels})
        targets = _targets(labels, names)
        vectors = cls._vectors(cfg.model, inputs)
        counts = np.ones(len(vectors)) if weights is None else np.asarray(weights, dtype=np.float64)
        keep = counts > 0
        vectors, targets = vectors[keep], targets[keep]
        if len(targets) == 0 or (targets.sum(0) > 0).sum() < 2:
            raise InputError("the frozen student needs rows of at least two labels")
        counts = effective(counts[keep])
        if cfg.class_weights == "balanced":
            counts = counts * balance(targets, counts)
        with one_core():  # on a busy machine, the threads of BLAS wait for each other
            strength = _chosen(vectors, targets, counts, cfg, seed, loss or log_loss)
            return cls(names, *regression(vectors, targets, counts, strength), strength, cfg.model)

    def predict_proba(self, inputs: Inputs) -> Floats:
        """Return probabilities of shape (rows, labels) for texts or unit vectors."""
        return softmax(self._vectors(self.encoder, inputs) @ self.weights.T + self.bias)

    def predict(self, inputs: Inputs) -> list[str]:
        return [self.labels[index] for index in self.predict_proba(inputs).argmax(1)] if len(inputs) else []

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
        return cls(settings["labels"], tensors["weight"], tensors["bias"], strength, settings["encoder"])

    @staticmethod
    def _vectors(encoder: str, inputs: Inputs) -> Floats:
        if isinstance(inputs, np.ndarray):
            return np.asarray(inputs, dtype=np.float64)
        return embed(encoder, inputs)


def embed(encoder: str, texts: Sequence[str], say: Callable[[str], None] = lambda _: None) -> Floats:
    """Return unit vectors (len(texts), dimensions), float64. Raise ConfigError for a model that cannot be loaded."""
    model = _encoder(resolve(encoder, say))
    if not texts:
        return np.zeros((0, model.get_embedding_dimension()))
    found = model.encode(list(texts), batch_size=_BATCH, convert_to_numpy=True, show_progress_bar=False)
    vectors = np.asarray(found, dtype=np.float64)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float64)


@lru_cache(maxsize=1)
def _encoder(path: str) -> Any:
    from sentence_transformers import SentenceTransformer

    with training.quiet(), training.loading("student.frozen.model", path):
        # only safetensors, because the older format is a pickle, which can run code
        return SentenceTransformer(path, model_kwargs={"use_safetensors": True}, device=training.device())


def _targets(labels: Sequence[str] | Floats, names: Sequence[str]) -> Floats:
    if isinstance(labels, np.ndarray) and labels.ndim == 2:
        return np.asarray(labels, dtype=np.float64)
    index = {name: number for number, name in enumerate(names)}
    return np.eye(len(names))[[index[str(label)] for label in labels]]


def _chosen(vectors: Floats, targets: Floats, counts: Floats, cfg: FrozenConfig, seed: int, loss: Loss) -> float:
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
            weights, bias = regression(vectors[kept], targets[kept], counts[kept], strength)
            shares = softmax(vectors[held] @ weights.T + bias)
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

    def fit(self, rows: Sequence[TrainingRow], plan: Plan, place: Place, probe: Probe | None = None) -> FrozenStudent:  # noqa: ARG002
        """Fit a regression on the rows' vectors. Copies of a row are merged into one row of more weight."""
        found = merged(rows)
        vectors = embed(self.cfg.model, self._texts([row.data for row in found]), self._say)
        weights = [row.weight for row in found]
        targets = self._answers.targets(found)
        return FrozenStudent.fit(
            vectors, targets, weights, plan.seed, self.cfg, self._answers.names, self._answers.loss
        )

    def save(self, student: FrozenStudent, folder: Path) -> None:
        student.save(folder)

    def load(self, folder: Path) -> FrozenStudent:
        """Load a student. Raise RunFolderError if the student in `folder` was fitted for other labels."""
        student = FrozenStudent.load(folder)
        refuse_others(self._task, self._answers.names, student.labels, folder)
        return student

    def score(self, student: FrozenStudent, rows: Sequence[Json]) -> Floats:
        return self._answers.scores(student.predict_proba(self._texts(rows)))

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:
        return self._answers.figures(rows, scores)

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:
        return self._answers.details(rows, scores)

    def predict(self, student: FrozenStudent, rows: Sequence[Json]) -> list[Json]:
        return self._answers.answers(student.predict_proba(self._texts(rows)))

    def _texts(self, rows: Sequence[Json]) -> list[str]:
        return [self._task.input_text(row) for row in rows]
