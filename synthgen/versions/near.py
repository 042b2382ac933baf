"""Find, for each text of a merge, an earlier text of another dataset that is nearly the same."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from synthgen.errors import ConfigError, UserError
from synthgen.numerics.stages import Stages
from synthgen.prepare.item import Item, Origin, RowFields
from synthgen.prepare.minhash import Signatures
from synthgen.prepare.spool import Spool

if TYPE_CHECKING:
    from synthgen.diversity.embedder import Vectors

_BATCH = 64
_TEXT = RowFields(("text",))


class Match(NamedTuple):
    """Name two near-duplicates by their positions, and how alike they are, from 0 to 1."""

    row: int
    neighbour: int
    likeness: float


def stored(texts: Iterable[str], work: Path) -> Spool:
    """Store texts on disk, in the form in which the other functions read them."""
    return Spool(work, (Item({"text": text}, Origin("", 0)) for text in texts))


def by_words(texts: Spool, of: Sequence[int], threshold: float, work: Path, stages: Stages) -> Iterator[Match]:
    """Yield pairs of different datasets that share most of their substrings (MinHash, then the Jaccard similarity).

    `of` has the dataset of each text. Pairs are compared as in the step `near` of `synthgen prepare`.
    """
    signatures = Signatures(work, _TEXT, threshold)
    try:
        for number, item in enumerate(texts):
            stages.at("signatures of texts", number, len(of))
            signatures.add(item)
        for row, neighbour, share in signatures.pairs(texts):
            stages.at("comparing texts", row, len(of))
            if of[row] != of[neighbour]:
                yield Match(row, neighbour, share)
    finally:
        signatures.close()


def by_meaning(texts: Spool, of: Sequence[int], threshold: float, embedder: str, stages: Stages) -> Iterator[Match]:
    """Yield, for each text, its nearest text of an earlier dataset if its cosine is at or above the threshold.

    The embedder and the index are those of a run's check for near-duplicates. Raise UserError for an embedder that cannot be
    loaded.
    """
    from synthgen.diversity.embedder import DiversityConfig, make_encoder
    from synthgen.diversity.index import VectorIndex

    try:
        encoder = make_encoder(DiversityConfig(embedder=embedder))
    except ConfigError as error:
        raise UserError(
            f"--embedder: {str(error).removeprefix('diversity.embedder: ')}; name another one, such as hash, or compare with"
            " --near words"
        ) from error
    index = VectorIndex(encoder.dim)
    earlier: list[int] = []
    waiting: list[tuple[int, Vectors]] = []
    source, position = iter(texts), 0
    try:
        while batch := [_TEXT.whole(item.data) for item in islice(source, _BATCH)]:
            for text, vector in zip(batch, encoder.encode(batch), strict=True):
                if position and of[position] != of[position - 1]:  # a dataset begins: compare with the one before too
                    index.extend([known for _, known in waiting])
                    earlier += [place for place, _ in waiting]
                    waiting = []
                place, cosine = index.nearest(vector)
                if place >= 0 and cosine >= threshold and text.strip():
                    yield Match(position, earlier[place], cosine)
                waiting.append((position, vector))
                position += 1
            stages.at("embedding texts", position, len(of))
    finally:
        index.close()
