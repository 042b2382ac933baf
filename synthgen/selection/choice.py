"""Choose `size` samples with the configured method, within each class or among all samples."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthgen.diversity.embedder import Vectors
from synthgen.records import Sample
from synthgen.selection import methods
from synthgen.selection.config import SelectConfig


@dataclass(frozen=True)
class Embedded:
    """Hold samples and their unit vectors, shape (samples, dim)."""

    samples: Sequence[Sample]
    vectors: Vectors


def choose(cfg: SelectConfig, seeds: Embedded, pool: Embedded) -> list[int]:
    """Return the indices of the chosen samples in the pool's order; fewer than `cfg.size` if no more qualify."""
    assert cfg.size is not None
    members, taken = _classes(pool.samples, cfg.per_class), _classes(seeds.samples, cfg.per_class)
    most = shares({name: len(rows) for name, rows in members.items()}, cfg.size)
    if cfg.method == "deita":  # it skips samples, so other classes may fill the share of a class
        most = dict.fromkeys(members, cfg.size)
    ranked = {
        name: [rows[place] for place in _rank(cfg, pool, rows, seeds.vectors[taken.get(name, [])], most[name])]
        for name, rows in members.items()
    }
    given = shares({name: len(rows) for name, rows in ranked.items()}, cfg.size)
    return sorted(row for name, rows in ranked.items() for row in rows[: given[name]])


def shares(counts: Mapping[str | None, int], size: int) -> dict[str | None, int]:
    """Divide `size` equally among classes of these sizes; larger classes fill the shares of smaller ones."""
    given: dict[str | None, int] = {}
    left = size
    for place, (name, count) in enumerate(sorted(counts.items(), key=lambda pair: pair[1])):
        given[name] = min(count, left // (len(counts) - place))
        left -= given[name]
    return given


def _rank(cfg: SelectConfig, pool: Embedded, rows: Sequence[int], taken: Vectors, most: int) -> list[int]:
    """Return at most `most` positions in `rows`, best first."""
    vectors = pool.vectors[rows]
    quality = np.asarray([pool.samples[row].quality for row in rows], dtype=np.float32) ** np.float32(cfg.quality_power)
    match cfg.method:
        case "deita":
            return methods.deita(vectors, quality, taken, most, cfg.deita_similarity)
        case "k_center":
            return methods.k_center(vectors, quality, taken, most)
        case _:
            return methods.facility_location(vectors, quality, taken, most)


def _classes(samples: Sequence[Sample], apart: bool) -> dict[str | None, list[int]]:
    found: dict[str | None, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        found[sample.label if apart else None].append(row)
    return dict(found)
