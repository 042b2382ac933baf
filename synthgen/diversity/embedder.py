"""Text to unit vectors, off the event loop.

Two kinds: a sentence-transformers model, and a hashing embedder for machines, tests and
benchmarks without one.
"""

import asyncio
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from synthgen.diversity.drift import AlarmsConfig
from synthgen.diversity.off_task import OffTaskConfig
from synthgen.diversity.restated import RestatedConfig
from synthgen.errors import ConfigError

Vectors = npt.NDArray[np.float32]
_HASH_DIM = 256
# The table by which CRC-32 goes on from byte to byte, read off zlib's answers to single bytes.
_CRC_TABLE = np.asarray([zlib.crc32(bytes([byte ^ 0xFF])) ^ 0xFF000000 for byte in range(256)], dtype=np.uint32)


@dataclass
class DiversityConfig:
    embedder: str = "bundled:all-minilm-l6-v2"
    """A sentence-transformers model (bundled, path or hub id), or `hash` for character trigrams."""
    threshold: float = 0.97
    """A candidate whose cosine to any sample is at or above this is a near-duplicate, whatever its words are."""
    hybrid_threshold: float | None = 0.7
    """A candidate is also a near-duplicate where its likeness to a sample, the mean of their cosine and of the share of
    words that they have in common, is this far above that of two seeds of one label (0) towards that of equal texts (1);
    null for cosines alone, as with the embedder `hash`."""
    eval_threshold: float = 0.95
    """A candidate whose cosine to any eval row is at or above this is rejected."""
    batch: int = 64
    """Texts embedded at once, at most."""
    exact: bool = False
    """Compare with every sample, however many: from 4,608 on, the search otherwise passes over samples of other
    kinds, and misses a near-duplicate now and then."""
    off_task: OffTaskConfig = field(default_factory=OffTaskConfig)
    restated: RestatedConfig = field(default_factory=RestatedConfig)
    alarms: AlarmsConfig = field(default_factory=AlarmsConfig)

    def __post_init__(self) -> None:
        for key in ("threshold", "eval_threshold"):
            if not 0 < getattr(self, key) <= 1:
                raise ConfigError(f"diversity.{key}: must be above 0 and at most 1, got {getattr(self, key)}")
        if self.hybrid_threshold is not None and not 0 < self.hybrid_threshold <= 1:
            raise ConfigError(
                f"diversity.hybrid_threshold: must be above 0 and at most 1, or null, got {self.hybrid_threshold}"
            )
        if self.batch < 1:
            raise ConfigError(f"diversity.batch: must be 1 or more, got {self.batch}")


class Encoder(Protocol):
    """Encode texts as unit vectors of shape (len(texts), dim), float32."""

    @property
    def dim(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> Vectors: ...


class HashEncoder:
    """Hashed character trigrams: near in letters, not in meaning. Costs microseconds."""

    dim = _HASH_DIM

    def encode(self, texts: Sequence[str]) -> Vectors:
        encoded = [f" {text.casefold()} ".encode("utf-8", "replace") for text in texts]
        lengths = np.asarray([len(each) for each in encoded], dtype=np.int64)
        rows = np.repeat(np.arange(len(texts)), lengths)
        within = rows[2:] == rows[:-2]  # triples of bytes; others span two texts
        keys = _crc32_of_triples(np.frombuffer(b"".join(encoded), dtype=np.uint8)) % _HASH_DIM
        counts = np.bincount((rows[2:] * _HASH_DIM + keys)[within], minlength=len(texts) * _HASH_DIM)
        return _unit(counts.reshape(len(texts), _HASH_DIM).astype(np.float32))


class ModelEncoder:
    """Encode with a sentence-transformers model at `path`. Raise ConfigError where it cannot be loaded."""

    def __init__(self, path: str, batch: int) -> None:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # a run has a display of its own
        try:  # safetensors, for the older format is a pickle, which is a program
            self._model: Any = SentenceTransformer(path, model_kwargs={"use_safetensors": True})
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise ConfigError(f"diversity.embedder: sentence-transformers cannot load '{path}': {error}") from error
        self._batch = batch
        model: Any = self._model  # the method had another name before sentence-transformers 5.4
        dimension = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
        self.dim = int(dimension())

    def encode(self, texts: Sequence[str]) -> Vectors:
        with _one_thread():
            vectors = self._model.encode(
                list(texts), batch_size=self._batch, convert_to_numpy=True, show_progress_bar=False
            )
        return _unit(np.asarray(vectors, dtype=np.float32))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch uses the calling thread alone: its threads wait for each other, and beside an engine that has the cores most
    of that is spinning. One text took 1.1 s of a busy machine on two threads, and 0.03 s on one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Embedder:
    """Run an encoder in a thread of its own."""

    def __init__(self, encoder: Encoder) -> None:
        self.encode = encoder.encode
        self.dim = encoder.dim
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")

    async def embed_all(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), dim)."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, self.encode, list(texts))

    def close(self) -> None:
        self.thread.shutdown(wait=True, cancel_futures=True)


def _crc32_of_triples(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return `zlib.crc32` of every three consecutive bytes, vectorised."""
    crc = np.full(max(0, len(data) - 2), 0xFFFFFFFF, dtype=np.uint32)
    for start in range(3):
        crc = _CRC_TABLE[(crc ^ data[start : len(crc) + start]) & 0xFF] ^ (crc >> 8)
    return (crc ^ 0xFFFFFFFF).astype(np.int64)


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
