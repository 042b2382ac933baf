"""Remove rows that mean nearly the same as an earlier row, found by embeddings in a FAISS index."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from synthgen.diversity.embedder import DiversityConfig, make_encoder
from synthgen.diversity.index import VectorIndex
from synthgen.errors import ConfigError
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

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"threshold: must be above 0 and at most 1, got {self.threshold}")


class Meaning:
    """Remove every row whose embedding is near to that of an earlier row that stays."""

    spec = StepSpec(
        "meaning",
        "Removes rows that mean nearly the same as an earlier row (embeddings).",
        (StepReason("same_meaning", "means nearly the same as an earlier row"),),
    )

    def __init__(self, cfg: MeaningConfig, context: Context) -> None:
        self._cfg, self._context = cfg, context
        self._encoder = make_encoder(DiversityConfig(embedder=cfg.embedder))

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        spool, source, whole = Spool(self._context.work), iter(rows), self._context.fields.whole
        index = VectorIndex(self._encoder.dim)
        try:
            while batch := list(islice(source, _BATCH)):
                texts = [whole(item.data) for item in batch]
                for item, text, vector in zip(batch, texts, self._encoder.encode(texts), strict=True):
                    place, cosine = index.nearest(vector)
                    if cosine >= self._cfg.threshold and text.strip():
                        other = spool.read_back(place)
                        note = f"cosine {cosine:.2f}"
                        log.remove(item, "same_meaning", text, other, whole(other.data), note=note)
                    else:
                        index.add(vector)
                        spool.append(item)
                        yield item
        finally:
            index.close()
            spool.close()
