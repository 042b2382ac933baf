"""Raise alarms during a run when the accepted samples become too similar (collapse) or move away from the seeds (drift).

Figures are computed at the end of each round, and only from slots that are already settled. A run that was killed and
resumed therefore raises the same alarms as an uninterrupted run.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from synthgen.diversity import metrics, moments
from synthgen.diversity.rounds import Accepted, Round, Rounds
from synthgen.errors import ConfigError
from synthgen.numerics.blas import one_core
from synthgen.records import Json

_LEAST_PER_LABEL = 10
"""Require this many accepted samples per label, on average, before label balance is measured."""


@dataclass
class AlarmsConfig:
    """Set limits for a round's figures. null turns an alarm off. Changes are measured against the first rounds."""

    vendi_fall: float | None = 0.4
    """Raise a collapse alarm when the Vendi score of a round's samples falls by more than this share; null for no
    alarm."""
    distinct_fall: float | None = 0.3
    """Raise a collapse alarm when distinct-2 of a round's samples falls by more than this share; null for no alarm."""
    repetition_rise: float | None = 0.3
    """Raise a collapse alarm when the share of a round's samples that have 5 words in a row in common with another
    sample rises by more than this; null for no alarm."""
    similarity_rise: float | None = 0.2
    """Raise a collapse alarm when the mean cosine between a round's samples rises by more than this; null for no
    alarm."""
    label_balance: float | None = 0.6
    """Raise a collapse alarm when the entropy of all accepted labels, divided by its maximum, is below this. Needs 10
    samples per label on average; null for no alarm."""
    seed_distance: float | None = 0.85
    """Raise a drift alarm when the mean cosine distance from a round's samples to their nearest seed is above this;
    null for no alarm."""
    centroid_distance: float | None = 0.8
    """Raise a drift alarm when the cosine distance between the mean of a round's samples and the mean of the seeds is
    above this; null for no alarm."""
    baseline: int = 3
    """Number of first rounds with enough samples. Later rounds are compared with the mean of these."""
    patience: int = 2
    """Number of consecutive rounds that must cross a limit before the alarm is raised."""
    stop: bool = False
    """End the run when an alarm is raised."""

    def __post_init__(self) -> None:
        for key in ("vendi_fall", "distinct_fall", "repetition_rise", "label_balance"):
            _check(key, getattr(self, key), 1)
        for key in ("similarity_rise", "seed_distance", "centroid_distance"):
            _check(key, getattr(self, key), 2)
        for key in ("baseline", "patience"):
            if getattr(self, key) < 1:
                raise ConfigError(f"diversity.alarms.{key}: must be 1 or more, got {getattr(self, key)}")


@dataclass(frozen=True)
class RoundFigures:
    """Hold the figures that alarms compare with limits. A figure is None when a round has too little data for it."""

    vendi: float | None
    distinct_2: float | None
    self_repetition: float | None
    mean_similarity: float | None
    label_balance: float | None
    seed_distance: float | None
    centroid_distance: float | None


@dataclass(frozen=True)
class Alarm:
    """Describe a limit that was crossed in the round that ends with the slot `slot`."""

    alarm: str
    """`collapse` or `drift`."""
    figure: str
    value: float
    bound: float
    slot: int

    def event(self) -> Json:
        """Return the alarm in the form that the ledger stores."""
        return {**vars(self), "value": float(f"{self.value:.6g}"), "bound": float(f"{self.bound:.6g}")}


class DriftMonitor:
    """Compare every round with the first rounds. Call `settled` for every slot in order, after `restore` on resume.

    `text` returns the text of a sample without its label. `seeds` are unit vectors of shape (n, dim).
    """

    def __init__(
        self,
        cfg: AlarmsConfig,
        round_slots: int,
        text: Callable[[Json], str],
        labels: Sequence[str],
        seeds: metrics.Vectors,
    ) -> None:
        self._cfg = cfg
        self._rounds = Rounds(round_slots)
        self._text = text
        self._labels = labels
        self._seeds = seeds
        self._by_label: Counter[str] = Counter()
        self._first: list[RoundFigures] = []
        self._crossed: Counter[str] = Counter()  # consecutive rounds over the limit, by figure
        self._stopping: str | None = None

    def inherited(self, labels: Iterable[str | None]) -> None:
        """Count the labels of samples copied from another run, because label balance covers all accepted samples."""
        self._by_label.update(label for label in labels if label is not None)

    def settled(self, slot: int, accepted: Sequence[Accepted], candidates: int) -> tuple[Alarm, ...]:
        """Return the alarms that this slot raises. An alarm that lasts for several rounds is raised once."""
        for sample, _ in accepted:
            if sample.label is not None:
                self._by_label[sample.label] += 1
        closed = self._rounds.settled(slot, accepted, candidates)
        if closed is None or not closed.full:
            return ()
        return self._look(closed)

    def restore(self, settled: Iterable[tuple[int, Sequence[Accepted], int]]) -> list[Alarm]:
        """Process the slots of earlier sessions and return the alarms that they raised."""
        with one_core():  # the loop has one core already
            return [alarm for slot in settled for alarm in self.settled(*slot)]

    def reached(self) -> str | None:
        """Return `collapse` or `drift` when an active alarm must end the run, else None."""
        return self._stopping if self._cfg.stop else None

    def _look(self, closed: Round) -> tuple[Alarm, ...]:
        found = self._figures(closed)
        bounds = self._bounds()
        if len(self._first) < self._cfg.baseline:
            self._first.append(found)
        raised, self._stopping = [], None
        for alarm, figure, bound, sign in bounds:
            value: float | None = getattr(found, figure)
            if value is None or bound is None or sign * value <= sign * bound:
                self._crossed[figure] = 0
                continue
            self._crossed[figure] += 1
            if self._crossed[figure] == self._cfg.patience:
                raised.append(Alarm(alarm, figure, value, bound, closed.last))
            if self._crossed[figure] >= self._cfg.patience:
                self._stopping = self._stopping or alarm
        return tuple(raised)

    def _figures(self, closed: Round) -> RoundFigures:
        texts = [self._text(sample.data) for sample, _ in closed.rows]
        vectors = np.stack([vector for _, vector in closed.rows])
        balanced = self._by_label.total() >= _LEAST_PER_LABEL * len(self._labels)
        nearest = metrics.nearest_similarity(vectors, self._seeds)
        return RoundFigures(
            vendi=moments.vendi_score(vectors),
            distinct_2=metrics.distinct_n(texts, 2),
            self_repetition=metrics.self_repetition(texts),
            mean_similarity=moments.mean_similarity(vectors),
            label_balance=metrics.label_entropy(self._by_label, self._labels) if balanced else None,
            seed_distance=float(1 - nearest.mean(dtype=np.float64)) if len(self._seeds) else None,
            centroid_distance=moments.centroid_distance(vectors, self._seeds),
        )

    def _bounds(self) -> list[tuple[str, str, float | None, int]]:
        """Return (alarm, figure, bound, sign): sign is 1 for an upper bound and -1 for a lower bound."""
        cfg = self._cfg
        return [
            ("collapse", "vendi", self._against("vendi", cfg.vendi_fall, fall=True), -1),
            ("collapse", "distinct_2", self._against("distinct_2", cfg.distinct_fall, fall=True), -1),
            ("collapse", "self_repetition", self._against("self_repetition", cfg.repetition_rise), 1),
            ("collapse", "mean_similarity", self._against("mean_similarity", cfg.similarity_rise), 1),
            ("collapse", "label_balance", cfg.label_balance, -1),
            ("drift", "seed_distance", cfg.seed_distance, 1),
            ("drift", "centroid_distance", cfg.centroid_distance, 1),
        ]

    def _against(self, figure: str, change: float | None, fall: bool = False) -> float | None:
        """Return the limit, which is `change` away from the mean of the first rounds; None until those have ended."""
        known = [value for first in self._first if (value := getattr(first, figure)) is not None]
        if change is None or not known or len(self._first) < self._cfg.baseline:
            return None
        mean = math.fsum(known) / len(known)
        return mean * (1 - change) if fall else mean + change


def _check(key: str, value: float | None, most: float) -> None:
    if value is not None and not 0 < value <= most:
        raise ConfigError(f"diversity.alarms.{key}: must be above 0 and at most {most}, or null, got {value}")
