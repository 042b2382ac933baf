"""Text to unit vectors, in micro-batches off the event loop.

Two kinds: a sentence-transformers model, and a hashing embedder for machines, tests and
benchmarks without one.
"""

import asyncio
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from synthgen.diversity.drift import AlarmsConfig
from synthgen.diversity.lexical import LexicalConfig
from synthgen.errors import ConfigError

Vectors = npt.NDArray[np.float32]
_HASH_DIM = 256


@dataclass
class DiversityConfig:
    embedder: str = "bundled:all-minilm-l6-v2"
    """A sentence-transformers model (bundled, path or hub id), or `hash` for character trigrams."""
    threshold: float = 0.9
    """A candidate whose cosine to any sample is at or above this is a near-duplicate."""
    eval_threshold: float = 0.95
    """A candidate whose cosine to any eval row is at or above this is rejected."""
    batch: int = 64
    """Texts embedded at once, at most."""
    exact: bool = False
    """Compare with every sample, however many: from 4,608 on, the search otherwise passes over samples of other
    kinds, and misses a near-duplicate now and then."""
    lexical: LexicalConfig = field(default_factory=LexicalConfig)
    alarms: AlarmsConfig = field(default_factory=AlarmsConfig)

    def __post_init__(self) -> None:
        for key in ("threshold", "eval_threshold"):
            if not 0 < getattr(self, key) <= 1:
                raise ConfigError(f"diversity.{key}: must be above 0 and at most 1, got {getattr(self, key)}")
        if self.batch < 1:
            raise ConfigError(f"diversity.batch: must be 1 or more, got {self.batch}")


class Encoder(Protocol):
    """Texts to unit vectors of shape (len(texts), dim), float32."""

    def encode(self, texts: Sequence[str]) -> Vectors: ...


class HashEncoder:
    """Hashed character trigrams: near in letters, not in meaning. Costs microseconds."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        out = np.zeros((len(texts), _HASH_DIM), dtype=np.float32)
        for row, text in enumerate(texts):
            data = f" {text.casefold()} ".encode("utf-8", "replace")
            keys = [zlib.crc32(data[i : i + 3]) for i in range(len(data) - 2)]
            np.add.at(out[row], np.asarray(keys, dtype=np.int64) % _HASH_DIM, 1.0)
        return _unit(out)


class ModelEncoder:
    """A sentence-transformers model; `path` is resolved already. Raises ConfigError where it cannot be loaded."""

    def __init__(self, path: str, batch: int) -> None:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # a run has a display of its own
        try:  # safetensors, for the older format is a pickle, which is a program
            self._model: Any = SentenceTransformer(path, model_kwargs={"use_safetensors": True})
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise ConfigError(f"diversity.embedder: sentence-transformers cannot load '{path}': {error}") from error
        self._batch = batch

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = self._model.encode(
            list(texts), batch_size=self._batch, convert_to_numpy=True, show_progress_bar=False
        )
        return _unit(np.asarray(vectors, dtype=np.float32))


class Embedder:
    """Embeds one text a call; calls that come while a batch is under way form the next one."""

    def __init__(self, encoder: Encoder, batch: int) -> None:
        self._encoder = encoder
        self._batch = batch
        self._waiting: list[tuple[str, asyncio.Future[Vectors]]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        self._worker: asyncio.Task[None] | None = None

    async def embed(self, text: str) -> Vectors:
        """A unit vector of shape (dim,)."""
        future: asyncio.Future[Vectors] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def embed_all(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), dim)."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._encoder.encode, list(texts))

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
            try:
                vectors = await self.embed_all([text for text, _ in batch])
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), vector in zip(batch, vectors, strict=True):
                if not future.done():
                    future.set_result(vector)


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
