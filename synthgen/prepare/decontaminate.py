"""Remove rows that share a run of words with held-out files, such as test sets, or mean the same as a row of theirs.

The run of 13 words follows Brown et al. 2020 (GPT-3), appendix C.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from synthgen.diversity.embedder import DiversityConfig, make_encoder
from synthgen.diversity.index import VectorIndex
from synthgen.errors import ConfigError
from synthgen.filters.seen import Seen
from synthgen.prepare.collect import CollectConfig, collect, sources
from synthgen.prepare.item import Item, Origin
from synthgen.prepare.log import StepLog
from synthgen.prepare.step import Context, StepReason, StepSpec
from synthgen.tasks.normal import normalise
from synthgen.tasks.scripts import UNSPACED

_BATCH = 64
_WORD = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")


@dataclass
class DecontaminateConfig:
    files: list[str] = field(default_factory=list)
    """Files and datasets that no row may overlap with, in every format that prepare reads."""
    words: int = 13
    """Length of a shared run of words that removes a row. A Chinese character counts as a word. A shorter held-out text
    removes only rows that are equal to it."""
    meaning: float | None = None
    """Also remove a row whose embedding has at least this cosine to that of a held-out row, such as 0.9, so that reworded
    rows are found; null does not compare embeddings."""
    embedder: str = "bundled:all-minilm-l6-v2"
    """Embedder for `meaning`: a sentence-transformers model (bundled name, path or hub id), or `hash`."""

    def __post_init__(self) -> None:
        if not self.files:
            raise ConfigError("files: name the held-out files, such as [test.jsonl]")
        if self.words < 3:
            raise ConfigError(f"words: must be 3 or more, got {self.words}")
        if self.meaning is not None and not 0 < self.meaning <= 1:
            raise ConfigError(f"meaning: must be above 0 and at most 1, or null, got {self.meaning}")


class Decontaminate:
    """Remove every row that shares a run of words with a held-out row or, where asked for, its meaning."""

    spec = StepSpec(
        "decontaminate",
        "Removes rows that share a run of words, or the meaning, with a row of a held-out file.",
        (
            StepReason("contaminated", "shares a run of words with a held-out row"),
            StepReason("same_meaning", "means nearly the same as a held-out row"),
        ),
    )

    def __init__(self, cfg: DecontaminateConfig, context: Context) -> None:
        self._cfg, self._fields = cfg, context.fields
        self._seen, self._held_out = Seen(), list[tuple[Origin, str]]()
        files = [str(found) for name in cfg.files if (found := _beside(name, context))]
        for item in collect(sources(files, "decontaminate.files"), CollectConfig()):
            text = self._fields.whole(item.data)
            for run in self._runs(text):
                self._seen.add(run, len(self._held_out))
            self._held_out.append((item.origin, text))
        self._meanings = _Meanings(cfg.embedder, [text for _, text in self._held_out]) if cfg.meaning else None

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        log.figures["held_out_rows"] = len(self._held_out)
        kept = self._without_runs(rows, log)
        if self._meanings is None or self._cfg.meaning is None:
            yield from kept
            return
        try:
            while batch := list(islice(kept, _BATCH)):
                texts = [self._fields.whole(item.data) for item in batch]
                for item, text, (hit, cosine) in zip(batch, texts, self._meanings.nearest(texts), strict=True):
                    if cosine < self._cfg.meaning or not text.strip():
                        yield item
                        continue
                    place, near = self._held_out[hit]
                    log.remove(item, "same_meaning", text, near=near, place=place, note=f"cosine {cosine:.2f}")
        finally:
            self._meanings.close()

    def _without_runs(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        for item in rows:
            text = self._fields.whole(item.data)
            hit = next((found for run in self._runs(text) if (found := self._seen.find(run)) is not None), None)
            if hit is None:
                yield item
            else:
                place, near = self._held_out[hit]
                log.remove(item, "contaminated", text, near=near, place=place)

    def _runs(self, text: str) -> Iterator[str]:
        """Yield every run of words; the whole text, marked as such, if it is shorter."""
        words = _WORD.findall(normalise(text))
        if words and len(words) < self._cfg.words:
            yield "\0" + " ".join(words)
        for start in range(len(words) - self._cfg.words + 1):
            yield " ".join(words[start : start + self._cfg.words])


class _Meanings:
    """Find the held-out text that is nearest to a text by its embedding."""

    def __init__(self, embedder: str, texts: Sequence[str]) -> None:
        self._encoder = make_encoder(DiversityConfig(embedder=embedder))
        self._index = VectorIndex(self._encoder.dim, exact=True)
        for start in range(0, len(texts), _BATCH):
            self._index.extend(self._encoder.encode(texts[start : start + _BATCH]))

    def nearest(self, texts: Sequence[str]) -> Iterator[tuple[int, float]]:
        """Yield the place of the nearest held-out text, and the cosine, for each text."""
        for vector in self._encoder.encode(texts):
            place, cosine = self._index.nearest(vector)
            yield place, cosine

    def close(self) -> None:
        self._index.close()


def _beside(name: str, context: Context) -> str:
    """Return the name of a file beside the settings where there is one, else the name itself."""
    return next((str(base / name) for base in context.bases if (base / name).exists()), name)
