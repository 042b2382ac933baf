"""Turn texts into unit vectors, outside the event loop.

Offer two encoders: a sentence-transformers model, and a hashing encoder for machines, tests and benchmarks that have
no model.
"""

import asyncio
import os
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
from synthgen.engines import bundled
from synthgen.errors import ConfigError

Vectors = npt.NDArray[np.float32]
INDEXES = ("auto", "memory", "disk")
DEVICES = ("auto", "cpu", "cuda")
_MOST_THREADS = 8
_HASH_DIM = 256
# CRC-32's lookup table, derived from zlib's results for single bytes.
_CRC_TABLE = np.asarray([zlib.crc32(bytes([byte ^ 0xFF])) ^ 0xFF000000 for byte in range(256)], dtype=np.uint32)


@dataclass
class DiversityConfig:
    embedder: str = "bundled:all-minilm-l6-v2"
    """A sentence-transformers model (bundled name, path or hub id), or `hash` for hashed character trigrams."""
    threshold: float = 0.97
    """Reject a candidate as a near-duplicate when its cosine to any sample is at or above this, whatever its words
    are."""
    hybrid_threshold: float | None = 0.68
    """Also reject a candidate as a near-duplicate when its similarity to a sample is at or above this. Similarity is
    the mean of cosine and lexical overlap, rescaled: 0 is the average of two seeds with one label, 1 is equal texts.
    null compares by cosine alone, as the embedder `hash` always does."""
    eval_threshold: float = 0.95
    """Reject a candidate when its cosine to any eval row is at or above this."""
    pair_overlap: float = 0.5
    """Reject a counterfactual (strategy `contrast`) whose lexical overlap with the sample that it changes is below this; 1
    is equal words."""
    batch: int = 64
    """Maximum number of texts to embed in one call."""
    device: str = "auto"
    """Device of the embedder: cpu, cuda, or auto for a GPU that torch sees and otherwise the CPU. A GPU that is shared with the
    engine needs room for it: the weights, and about 1 GB."""
    threads: str = "auto"
    """CPU threads of the embedder: a number, or auto. auto is 1 where the engine computes on the processors of this
    machine, because threads that wait for each other slow both down, and else half of the processors, at most 8."""
    exact: bool = False
    """Compare each candidate with every sample. When false, from 4,608 samples on, the search skips dissimilar samples
    and occasionally misses a near-duplicate."""
    index: str = "auto"
    """Place of the samples' vectors: memory (about 1 kB a sample), disk (about 120 bytes of memory and 770 on the disk of the
    run folder a sample, from 4,608 samples on), or auto for memory up to 2.4 million samples and disk above."""
    off_task: OffTaskConfig = field(default_factory=OffTaskConfig)
    restated: RestatedConfig = field(default_factory=RestatedConfig)
    alarms: AlarmsConfig = field(default_factory=AlarmsConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.pair_overlap <= 1:
            raise ConfigError(f"diversity.pair_overlap: must be from 0 to 1, got {self.pair_overlap}")
        for key in ("threshold", "eval_threshold"):
            if not 0 < getattr(self, key) <= 1:
                raise ConfigError(f"diversity.{key}: must be above 0 and at most 1, got {getattr(self, key)}")
        if self.hybrid_threshold is not None and not 0 < self.hybrid_threshold <= 1:
            raise ConfigError(
                f"diversity.hybrid_threshold: must be above 0 and at most 1, or null, got {self.hybrid_threshold}"
            )
        for key, known in (("index", INDEXES), ("device", DEVICES)):
            if (value := getattr(self, key)) not in known:
                raise ConfigError(f"diversity.{key}: must be {', '.join(known[:-1])} or {known[-1]}, got {value}")
        if self.threads != "auto" and not (self.threads.isdecimal() and int(self.threads) > 0):
            raise ConfigError(f"diversity.threads: must be auto, or a number of 1 or more, got {self.threads}")
        if self.exact and self.index == "disk":
            raise ConfigError(
                "diversity.index: disk cannot be combined with diversity.exact=true, which keeps all in memory"
            )
        if self.batch < 1:
            raise ConfigError(f"diversity.batch: must be 1 or more, got {self.batch}")


class Encoder(Protocol):
    """Encode texts as unit vectors of shape (len(texts), dim), float32."""

    @property
    def dim(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> Vectors: ...


class HashEncoder:
    """Encode hashed character trigrams. The vectors compare spelling, not meaning. One text takes microseconds."""

    dim = _HASH_DIM

    def encode(self, texts: Sequence[str]) -> Vectors:
        encoded = [f" {text.casefold()} ".encode("utf-8", "replace") for text in texts]
        lengths = np.asarray([len(each) for each in encoded], dtype=np.int64)
        rows = np.repeat(np.arange(len(texts)), lengths)
        within = rows[2:] == rows[:-2]  # drops the triples of bytes that span two texts
        keys = _crc32_of_triples(np.frombuffer(b"".join(encoded), dtype=np.uint8)) % _HASH_DIM
        counts = np.bincount((rows[2:] * _HASH_DIM + keys)[within], minlength=len(texts) * _HASH_DIM)
        return _unit(counts.reshape(len(texts), _HASH_DIM).astype(np.float32))


class ModelEncoder:
    """Encode with a sentence-transformers model at `path`. Raise ConfigError when the model cannot be loaded.

    `device` is auto, cpu or cuda. `threads` is the number of CPU threads.
    """

    def __init__(self, path: str, batch: int, device: str = "auto", threads: int = 1) -> None:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("diversity.device: cuda was asked for, but torch sees no CUDA device; use auto or cpu")
        logging.disable_progress_bar()  # a run has its own display
        try:  # safetensors only: the older format is a pickle, which can run code
            self._model: Any = SentenceTransformer(
                path, device=None if device == "auto" else device, model_kwargs={"use_safetensors": True}
            )
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise ConfigError(f"diversity.embedder: sentence-transformers cannot load '{path}': {error}") from error
        self._batch = batch
        self._threads = threads
        model: Any = self._model  # sentence-transformers 5.4 renamed the method
        dimension = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
        self.dim = int(dimension())

    def encode(self, texts: Sequence[str]) -> Vectors:
        with _torch_threads(self._threads):
            vectors = self._model.encode(
                list(texts), batch_size=self._batch, convert_to_numpy=True, show_progress_bar=False
            )
        return _unit(np.asarray(vectors, dtype=np.float32))


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Limit torch to `count` threads.

    Torch threads busy-wait for each other while the engine uses the cores. On a busy machine, one text took 1.1 s with
    two threads and 0.03 s with one.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_encoder(cfg: DiversityConfig, cores_are_free: bool = False) -> Encoder:
    """Return the encoder that the config names. This can take seconds. Raise ConfigError when it cannot be loaded.

    `cores_are_free` is True when no engine computes on the processors of this machine.
    """
    if cfg.embedder == "hash":
        return HashEncoder()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = threads_of(cfg, cores_are_free, cores)
    return ModelEncoder(bundled.resolve(cfg.embedder), cfg.batch, cfg.device, threads)


def threads_of(cfg: DiversityConfig, cores_are_free: bool, cores: int) -> int:
    """Return the number of CPU threads of the embedder on a machine with this number of processors."""
    if cfg.threads != "auto":
        return int(cfg.threads)
    return max(1, min(_MOST_THREADS, cores // 2)) if cores_are_free else 1


class Embedder:
    """Run an encoder in its own thread."""

    def __init__(self, encoder: Encoder) -> None:
        self.encode = encoder.encode
        self.dim = encoder.dim
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")

    async def embed_all(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of shape (len(texts), dim)."""
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
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
