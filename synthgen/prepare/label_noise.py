"""Find rows whose label is probably wrong, by confident learning (Northcutt et al. 2021, cleanlab).

A classifier on embeddings predicts each row's label from rows of other folds, and cleanlab compares predictions and labels.
"""

import warnings
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from synthgen.diversity.embedder import DiversityConfig, make_encoder
from synthgen.errors import ConfigError
from synthgen.numerics.folds import stratified_folds
from synthgen.numerics.regression import regression, softmax
from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.spool import Spool
from synthgen.prepare.step import Context, StepReason, StepSpec

MODES = ("report", "remove")
_BATCH = 64
_STRENGTH = 10.0
"""Inverse regularisation of the classifier on unit vectors."""
_LEAST = 5
"""Fewest rows of a label that is judged. Fewer rows teach the classifier nothing about it."""
_SHOWN = 10
"""Most pairs of labels in the figures."""


@dataclass
class LabelNoiseConfig:
    mode: str = "report"
    """`report` lists the rows in flagged.jsonl with the label that fits better. `remove` removes them."""
    folds: int = 5
    """Parts of the rows. The label of each row is predicted from the rows of the other parts."""
    embedder: str = "bundled:all-minilm-l6-v2"
    """A sentence-transformers model (bundled name, path or hub id), or `hash` for hashed character trigrams."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"mode: '{self.mode}' is none of {', '.join(MODES)}")
        if self.folds < 2:
            raise ConfigError(f"folds: must be 2 or more, got {self.folds}")


class LabelNoise:
    """Report or remove rows with a doubtful label. Rows without a label, or with a rare one, stay as they are."""

    spec = StepSpec(
        "label_noise",
        "Finds rows whose label is probably wrong (out-of-fold predictions, cleanlab).",
        (StepReason("doubtful_label", "has a label that its text makes unlikely"),),
    )

    def __init__(self, cfg: LabelNoiseConfig, context: Context) -> None:
        self._cfg, self._context = cfg, context
        self._encoder = make_encoder(DiversityConfig(embedder=cfg.embedder))

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        spool, fields = Spool(self._context.work), self._context.fields
        names: dict[str, int] = {}
        numbers, source = array("q"), iter(rows)
        file = TemporaryFile(dir=self._context.work)  # noqa: SIM115  # closed below
        try:
            while batch := list(islice(source, _BATCH)):
                vectors = self._encoder.encode([fields.whole(item.data) for item in batch])
                file.write(np.asarray(vectors, dtype=np.float32).tobytes())
                for item in batch:
                    spool.append(item)
                    label = fields.of_label(item.data)
                    numbers.append(-1 if label is None else names.setdefault(label, len(names)))
            file.flush()
            found = self._doubtful(np.asarray(numbers), file, list(names), log)
            for place, item in enumerate(spool):
                if place not in found:
                    yield item
                    continue
                text, note = fields.whole(item.data), found[place]
                if self._cfg.mode == "remove":
                    log.remove(item, "doubtful_label", text, note=note)
                else:
                    log.note(item, "doubtful_label", text, note)
                    yield item
        finally:
            file.close()
            spool.close()

    def _doubtful(
        self, labels: npt.NDArray[np.int64], file: IO[bytes], names: Sequence[str], log: StepLog
    ) -> dict[int, str]:
        """Return the places of the rows with a doubtful label, each with the label that fits better.

        `file` holds the embeddings of all rows.
        """
        counts = np.bincount(labels[labels >= 0], minlength=len(names))
        kept = np.flatnonzero(counts >= max(_LEAST, self._cfg.folds))
        places = np.flatnonzero(np.isin(labels, kept))
        log.figures |= {"labels": len(names), "rows_judged": len(places)}
        if len(kept) < 2:
            log.figures["not_judged_because"] = f"fewer than two labels have {max(_LEAST, self._cfg.folds)} rows"
            return {}
        own = np.searchsorted(kept, labels[places])
        vectors = np.memmap(file, dtype=np.float32, mode="r", shape=(len(labels), self._encoder.dim))
        shares = self._predicted(vectors, places, own, len(kept))
        doubtful = _issues(own, shares)
        better = [int(row) for row in shares[doubtful].argmax(1)]
        pairs = Counter(
            f"{names[kept[own[at]]]} -> {names[kept[other]]}" for at, other in zip(doubtful, better, strict=True)
        )
        log.figures |= {
            "accuracy_out_of_fold": round(float((shares.argmax(1) == own).mean()), 3),
            "doubtful_share": round(len(doubtful) / len(places), 4),
            "label_and_better_label": dict(pairs.most_common(_SHOWN)),
        }
        return {
            int(places[at]): f"{names[kept[own[at]]]} has probability {shares[at, own[at]]:.2f}, "
            f"{names[kept[other]]} {shares[at, other]:.2f}"
            for at, other in zip(doubtful, better, strict=True)
        }

    def _predicted(
        self, vectors: npt.NDArray[np.float32], places: npt.NDArray[np.int64], own: Any, count: int
    ) -> npt.NDArray[np.float64]:
        """Return the probability of each label for the rows at `places`, from a classifier that never saw the row."""
        folds = stratified_folds(own, self._cfg.folds, self._context.seed)
        targets, shares = np.eye(count)[own], np.zeros((len(own), count))
        for fold in range(self._cfg.folds):
            held_out = folds == fold
            rest = ~held_out
            shown = vectors[places[rest]].astype(np.float64)
            weights, bias = regression(shown, targets[rest], np.ones(len(shown)), _STRENGTH)
            shares[held_out] = softmax(vectors[places[held_out]] @ weights.T + bias)
        return shares


def _issues(own: Any, shares: npt.NDArray[np.float64]) -> list[int]:
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about labels for which nothing is found
        found = find_label_issues(own, shares, return_indices_ranked_by="self_confidence", n_jobs=1)
    return [int(at) for at in found]
