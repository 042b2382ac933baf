"""Find, for each row of a merge, an earlier row of another dataset that is nearly the same."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from synthgen.prepare.minhash import Signatures
from synthgen.prepare.spool import Spool
from synthgen.versions.roles import Roles

_BATCH = 64


class Match(NamedTuple):
    """Name two near-duplicates by their positions, and how alike they are, from 0 to 1."""

    row: int
    neighbour: int
    likeness: float


def by_words(rows: Spool, of: Sequence[int], roles: Roles, threshold: float, work: Path) -> Iterator[Match]:
    """Yield pairs of different datasets that share most of their substrings (MinHash, then the Jaccard similarity).

    `of` has the dataset of each row. Pairs are compared as in the step `near` of `synthgen prepare`.
    """
    signatures = Signatures(work, roles.fields, threshold)
    try:
        for item in rows:
            signatures.add(item)
        for row, neighbour, share in signatures.pairs(rows):
            if of[row] != of[neighbour]:
                yield Match(row, neighbour, share)
    finally:
        signatures.close()


def by_meaning(rows: Spool, of: Sequence[int], roles: Roles, threshold: float, embedder: str) -> Iterator[Match]:
    """Yield, for each row, its nearest row of an earlier dataset if its cosine is at or above the threshold.

    The embedder and the index are those of a run's check for near-duplicates.
    """
    from synthgen.diversity.embedder import DiversityConfig, make_encoder
    from synthgen.diversity.index import VectorIndex

    encoder = make_encoder(DiversityConfig(embedder=embedder))
    index = VectorIndex(encoder.dim)
    earlier: list[int] = []
    waiting: list[tuple[int, object]] = []
    source, position = iter(rows), 0
    try:
        while batch := list(islice(source, _BATCH)):
            texts = [roles.text(item.data) for item in batch]
            for text, vector in zip(texts, encoder.encode(texts), strict=True):
                if position and of[position] != of[position - 1]:  # a dataset begins: the one before is compared with
                    for place, known in waiting:
                        index.add(known)  # type: ignore[arg-type]
                        earlier.append(place)
                    waiting = []
                place, cosine = index.nearest(vector)
                if place >= 0 and cosine >= threshold and text.strip():
                    yield Match(position, earlier[place], cosine)
                waiting.append((position, vector))
                position += 1
    finally:
        index.close()
