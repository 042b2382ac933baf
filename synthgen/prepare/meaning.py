"""Remove rows that mean nearly the same as an earlier row, found by embeddings in a FAISS index."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from tempfile import TemporaryFile

import numpy as np

from synthgen.diversity.embedder import DiversityConfig, make_encoder
from synthgen.diversity.index import VectorIndex
from synthgen.errors import ConfigError
from synthgen.prepare.best import KEEP, Quality
from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.spool import Spool
from synthgen.prepare.step import Context, StepReason, StepSpec

_BATCH = 64


@dataclass
class MeaningConfig:
    threshold: float = 0.95
    """Least cosine of two rows that mean nearly the same."""
    embedder: str = "bundled:all-minilm-l6-v2"
    """A sentence-transformers model (bundled name, path or hub id), or `hash` for hashed character trigrams."""
    keep: str = "first"
    """Row to keep of several with nearly the same meaning: the first one, or the best one."""
    score: str = ""
    """Field with the quality of a row, a number, for `keep: best`. Empty: the longest row is best."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"threshold: must be above 0 and at most 1, got {self.threshold}")
        if self.keep not in KEEP:
            raise ConfigError(f"keep: '{self.keep}' is none of {', '.join(KEEP)}")


class Meaning:
    """Remove every row whose embedding is near to that of a row that stays: an earlier row, or a better one."""

    spec = StepSpec(
        "meaning",
        "Removes rows that mean nearly the same as another row (embeddings).",
        (StepReason("same_meaning", "means nearly the same as another row"),),
    )

    def __init__(self, cfg: MeaningConfig, context: Context) -> None:
        self._cfg, self._context = cfg, context
        self._encoder = make_encoder(DiversityConfig(embedder=cfg.embedder))

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        spool, index = Spool(self._context.work), VectorIndex(self._encoder.dim)
        find = self._best if self._cfg.keep == "best" else self._first
        try:
            yield from find(rows, log, spool, index)
        finally:
            index.close()
            spool.close()

    def _first(self, rows: Iterable[Item], log: StepLog, spool: Spool, index: VectorIndex) -> Iterator[Item]:
        """Compare each row with the earlier rows that stay, and pass it on at once."""
        source, whole = iter(rows), self._context.fields.whole
        while batch := list(islice(source, _BATCH)):
            texts = [whole(item.data) for item in batch]
            for item, text, vector in zip(batch, texts, self._encoder.encode(texts), strict=True):
                place, cosine = index.nearest(vector)
                if cosine >= self._cfg.threshold and text.strip():
                    self._remove(item, spool.read_back(place), cosine, log)
                else:
                    index.add(vector)
                    spool.append(item)
                    yield item

    def _best(self, rows: Iterable[Item], log: StepLog, spool: Spool, index: VectorIndex) -> Iterator[Item]:
        """Compare all rows in the order of their quality. Their embeddings are in a temporary file meanwhile."""
        source, whole = iter(rows), self._context.fields.whole
        quality, scores = Quality(self._cfg.score, self._context.fields), array("d")
        with TemporaryFile(dir=self._context.work) as file:
            while batch := list(islice(source, _BATCH)):
                vectors = self._encoder.encode([whole(item.data) for item in batch])
                file.write(np.asarray(vectors, dtype=np.float32).tobytes())
                for item in batch:
                    spool.append(item)
                    scores.append(-quality(item))
            if not len(spool):
                return
            file.flush()
            table = np.memmap(file, dtype=np.float32, mode="r", shape=(len(spool), self._encoder.dim))
            staying, removed = array("q"), dict[int, tuple[int, float]]()
            for row in np.argsort(np.asarray(scores), kind="stable").tolist():
                place, cosine = index.nearest(table[row])
                if cosine >= self._cfg.threshold and whole(spool[row].data).strip():
                    removed[row] = staying[place], cosine
                else:
                    index.add(table[row])
                    staying.append(row)
            for position, item in enumerate(spool):
                if position in removed:
                    neighbour, cosine = removed[position]
                    self._remove(item, spool[neighbour], cosine, log)
                else:
                    yield item

    def _remove(self, item: Item, other: Item, cosine: float, log: StepLog) -> None:
        whole = self._context.fields.whole
        log.remove(item, "same_meaning", whole(item.data), other, whole(other.data), note=f"cosine {cosine:.2f}")
