"""What a candidate that passed every check would add to its class, and whether that is enough."""

from collections.abc import Sequence
from dataclasses import dataclass

from synthgen.diversity.embedder import DiversityConfig, Vectors
from synthgen.diversity.index import VectorIndex
from synthgen.ledger.roster import Roster
from synthgen.records import Sample, Verdict


@dataclass(frozen=True)
class _Class:
    roster: Roster
    index: VectorIndex


class Worth:
    """Rejects a sample to be whose worth is below `cfg.min_worth`: its quality times its novelty.

    Novelty is the distance (1 - cosine) to the nearest held sample of the same class; without classes that is the
    one that the near-duplicate check found. Asked in slot order alone, when a candidate's turn has come, so that
    what it finds depends on nothing but what was accepted before. Each class has an index of its own: a search of the
    common one would pass over the nearest of the class where others lie between.
    """

    name = "worth"

    def __init__(self, cfg: DiversityConfig, dim: int, by_class: bool) -> None:
        self._cfg = cfg
        self._dim = dim
        self._by_class = by_class
        self._classes: dict[str | None, _Class] = {}

    def __call__(self, sample: Sample, vector: Vectors) -> Verdict:
        novelty, details = sample.novelty, {}
        if self._by_class:
            held = self._class(sample.label)
            place, cosine = held.index.nearest(vector)
            novelty = 1.0 - max(0.0, cosine)
            details = {"neighbour": held.roster.id(place)} if place >= 0 else {}
        worth = round(sample.quality * novelty, 6)
        enough = worth >= self._cfg.min_worth
        return Verdict(
            check=self.name,
            outcome="pass" if enough else "reject",
            reason=None if enough else "low_worth",
            score=worth,
            details={"novelty": round(novelty, 6), **details},
        )

    def add(self, sample: Sample, vector: Vectors) -> None:
        self.extend([sample], [vector])

    def extend(self, samples: Sequence[Sample], vectors: Sequence[Vectors]) -> None:
        """Takes in held samples, in their order."""
        if not self._by_class:
            return
        found: dict[str | None, list[Vectors]] = {}
        for sample, vector in zip(samples, vectors, strict=True):
            self._class(sample.label).roster.add(sample)
            found.setdefault(sample.label, []).append(vector)
        for label, own in found.items():
            self._class(label).index.extend(own)

    def close(self) -> None:
        for each in self._classes.values():
            each.index.close()

    def _class(self, label: str | None) -> _Class:
        if label not in self._classes:
            self._classes[label] = _Class(Roster(), VectorIndex(self._dim, exact=self._cfg.exact))
        return self._classes[label]
