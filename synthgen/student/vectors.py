"""Compute vectors of texts and of pairs of texts with a frozen sentence encoder."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from synthgen.engines.bundled import resolve
from synthgen.student import training
from synthgen.student.inputs import SYMMETRIC, TEXT
from synthgen.student.scores import Floats

_BATCH = 64


def embed(encoder: str, texts: Sequence[str], say: Callable[[str], None] = lambda _: None) -> Floats:
    """Return unit vectors (len(texts), dimensions), float64. Raise ConfigError for a model that cannot be loaded."""
    model = _encoder(resolve(encoder, say))
    if not texts:
        return np.zeros((0, model.get_embedding_dimension()))
    found = model.encode(list(texts), batch_size=_BATCH, convert_to_numpy=True, show_progress_bar=False)
    vectors = np.asarray(found, dtype=np.float64)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float64)


def vectors_of(
    encoder: str, inputs: Sequence[Any], form: str = TEXT, say: Callable[[str], None] = lambda _: None
) -> Floats:
    """Return one vector for every text or pair of texts, shape (len(inputs), dimensions).

    A pair's vector joins both texts' unit vectors, their absolute difference and their product (Conneau et al., 2017,
    https://arxiv.org/abs/1705.02364). For a symmetric pair it is the mean of the vectors of both orders, so that the
    order makes no difference.
    """
    if form == TEXT:
        return embed(encoder, inputs, say)
    both = embed(encoder, [text for pair in inputs for text in pair], say)
    first, second = both[0::2], both[1::2]
    alone = [(first + second) / 2] if form == SYMMETRIC else [first, second]
    # the entries of a product of two unit vectors are small, so it is brought to the length of the other parts
    return np.concatenate([*alone, np.abs(first - second), first * second * np.sqrt(both.shape[1])], axis=1)


@lru_cache(maxsize=1)
def _encoder(path: str) -> Any:
    from sentence_transformers import SentenceTransformer

    with training.quiet(), training.loading("student.frozen.model", path):
        # only safetensors, because the older format is a pickle, which can run code
        return SentenceTransformer(path, model_kwargs={"use_safetensors": True}, device=training.device())
