"""The student in the loop: what a cheap student of the data so far confuses, and lacks, is asked for next.

The student is the head of `synthgen.judge.trust`, fitted anew for every stretch of slots; what it is worth is measured on
the seeds by cross-validation, and on nothing else. Of the prompts a share is steered: foils are seeds of the labels that
it confuses with the one asked for, and demonstrations are the seeds around which least was accepted. The others stay as
they are, so that a student that is wrong about what it needs cannot narrow the run. Where a task has no labels, there is
no such student, and steered prompts show the seeds around which least was accepted.

What steers a prompt is what was settled before its slot's horizon: a run that was resumed is steered as it would have been.
"""

import asyncio
import random
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from synthgen.generate.steer import SteerConfig
from synthgen.judge.trust import Fit, Gold, LabelTrust, Row, TrustConfig
from synthgen.ledger import Vector
from synthgen.records import Json, Sample
from synthgen.regression import Floats

STEERED = "steered"
"""The strategy of slots whose prompt was steered."""
FEEDBACK = "feedback"
"""Keys of what a ledger has of the student in the loop begin so, followed by a slash and a slot."""
STOP = "flat_fits"
"""The stop rule: the estimated gain grows no more."""
_FOLDS = 2
_LEAST_FOIL = 0.02
"""Every other label may be a foil, as if it were confused with this share of the texts."""
_LEAST = 1e-6
_DIGITS = 5
_KEPT = 80  # fits, more than lie between the slots that are settled and those that are planned


@dataclass(frozen=True)
class Feedback:
    """What the student so far is worth on the seeds, each of which it was fitted without."""

    labels: tuple[str, ...]
    confused: Floats
    """Of the seeds of the row's label, the mean probability of the column's, shape (labels, labels)."""
    covered: Mapping[str, int]
    """How many accepted samples of its label lie nearest to a seed, by the seed's id."""
    accuracy: float
    likelihood: float
    """Mean log probability of the seeds' labels, in nats."""
    accepted: int

    def foils(self, label: str) -> dict[str, float]:
        """How much each other label is worth as a foil: how often it and `label` are taken for each other."""
        row = self.labels.index(label)
        both = self.confused[row] + self.confused[:, row] + _LEAST_FOIL
        return {other: float(both[i]) for i, other in enumerate(self.labels) if i != row}

    def record(self) -> Json:
        """For the ledger."""
        known = {label: round(float(self.confused[i, i]), _DIGITS) for i, label in enumerate(self.labels)}
        return {
            "accepted": self.accepted,
            "accuracy": round(self.accuracy, _DIGITS),
            "likelihood": round(self.likelihood, _DIGITS),
            "known": known,
        }


@dataclass(frozen=True)
class Steer:
    """What a group's prompt is to show; of no account for one that stays as it is."""

    covered: Mapping[str, int] | None = None
    """How much was accepted around each seed, by its id; None for a prompt that stays as it is."""
    known: Feedback | None = None
    """What the student confuses, where there is one."""

    @property
    def strategy(self) -> str | None:
        return STEERED if self.covered is not None else None

    def foils(self, label: str | None) -> dict[str, float] | None:
        return self.known.foils(label) if self.known is not None and label is not None else None

    def seeds(self, seeds: Sequence[Sample]) -> dict[str, float] | None:
        """How much each of a label's seeds, or of all, is worth showing: the more, the less was accepted around it."""
        if self.covered is None:
            return None
        around = {seed.id: self.covered.get(seed.id, 0) for seed in seeds}
        mean = sum(around.values()) / max(1, len(around))
        return {seed: 1.0 / (1.0 + count / (mean + 1.0)) for seed, count in around.items()}


UNSTEERED = Steer()


def feedback(gold: Gold, cfg: TrustConfig, seeds: Sequence[str], rows: Sequence[Row]) -> Feedback:
    """Of a student fitted to `rows` and all seeds but those asked about; `seeds` are the ids of `gold`'s."""
    index = {label: number for number, label in enumerate(gold.labels)}
    truth = np.array([index[label] for label in gold.seed_labels])
    fold = folds(truth)
    believed = np.empty((len(truth), len(gold.labels)))
    for part in range(_FOLDS):
        held_out = fold == part
        names = tuple(name for name, out in zip(gold.seed_labels, held_out, strict=True) if not out)
        others = replace(gold, seeds=gold.seeds[~held_out], seed_labels=names)
        believed[held_out] = Fit(others, cfg, rows).base(gold.seeds[held_out])
    right = believed[np.arange(len(truth)), truth]
    counts = np.zeros((len(gold.labels), len(gold.labels)))
    np.add.at(counts, truth, believed)
    per_label = np.bincount(truth, minlength=len(gold.labels))[:, None]
    return Feedback(
        labels=gold.labels,
        confused=counts / np.maximum(per_label, 1),
        covered=_covered(gold, truth, seeds, rows),
        accuracy=float((believed.argmax(1) == truth).mean()),
        likelihood=float(np.log(right + _LEAST).mean()),
        accepted=len(rows),
    )


def folds(truth: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The fold of each seed: those of a label in turns. Labels with one seed are not all left out at once."""
    seen: dict[int, int] = {}
    found = np.empty(len(truth), dtype=np.int64)
    for row, label in enumerate(truth):
        found[row] = (seen.get(int(label), 0) + int(label)) % _FOLDS
        seen[int(label)] = seen.get(int(label), 0) + 1
    return found


def _covered(
    gold: Gold, truth: np.ndarray[tuple[int], np.dtype[np.int64]], seeds: Sequence[str], rows: Sequence[Row]
) -> dict[str, int]:
    counts = np.zeros(len(truth), dtype=np.int64)
    if rows:
        nearness = np.stack([row.vector for row in rows]).astype(np.float64) @ gold.seeds.T
        labels = np.array([row.believed.argmax() for row in rows])
        nearness[labels[:, None] != truth[None, :]] = -np.inf
        of_a_seeds_label = np.isfinite(nearness).any(1)
        np.add.at(counts, nearness.argmax(1)[of_a_seeds_label], 1)
    return {seed: int(count) for seed, count in zip(seeds, counts, strict=True)}


def steers(cfg: SteerConfig, seed: int, group: int) -> bool:
    """Whether a group's prompt is one of those that are steered."""
    return random.Random(f"{seed}/steer/{group}").random() < cfg.share


class Steers(Protocol):
    """What steers a run's prompts: `begin` and `add` as slots are settled, `plan` when a group is planned."""

    def begin(self, slot: int) -> None:
        """A slot is settled next; all before it is."""

    def add(self, slot: int, vector: Vector | None) -> None:
        """A sample was accepted, in slot order."""

    async def plan(self, group: int, before: int) -> Steer:
        """How a group is steered whose prompt may show what was settled before a slot."""
        ...

    async def flat(self, slot: int, /) -> bool:
        """Whether the estimated gain has not grown over the last fits before `slot`; to be asked in slot order."""
        ...


class Coverage:
    """Steers a run without labels, which has no student to ask: by where its seeds lie and what was accepted around them.

    `vectors` are the seeds', of unit length, shape (seeds, dimensions).
    """

    def __init__(self, cfg: SteerConfig, seeds: Sequence[Sample], vectors: Floats, seed: int) -> None:
        self._cfg = cfg
        self._seed = seed
        self._seeds = [sample.id for sample in seeds]
        self._vectors = vectors
        self._slots = array("q")
        self._nearest = array("l")
        self._counts, self._counted = [0] * len(self._seeds), 0

    def begin(self, slot: int) -> None:
        pass

    def add(self, slot: int, vector: Vector | None) -> None:
        if vector is not None:
            self._slots.append(slot)
            self._nearest.append(int((self._vectors @ np.asarray(vector, dtype=np.float64)).argmax()))

    async def plan(self, group: int, before: int) -> Steer:
        if not steers(self._cfg, self._seed, group):
            return UNSTEERED
        end = bisect_left(self._slots, before)
        if end < self._counted:
            self._counts, self._counted = [0] * len(self._seeds), 0
        for nearest in self._nearest[self._counted : end]:
            self._counts[nearest] += 1
        self._counted = end
        return Steer(covered=dict(zip(self._seeds, self._counts, strict=True)))

    async def flat(self, _: int, /) -> bool:
        return False


class Steering:
    """Steers the prompts of a run whose labels several voices decide, by the student in the loop.

    `keep` writes down what the student was worth; `earlier` is what earlier sessions wrote, by slot. `flat` are the
    stop rule's numbers: how many fits, and what they have to bring.
    """

    def __init__(
        self,
        cfg: SteerConfig,
        trust: LabelTrust,
        seeds: Sequence[Sample],
        seed: int,
        keep: Callable[[str, Json], object],
        earlier: Mapping[int, Json],
        flat: tuple[int | None, float] = (None, 0.0),
    ) -> None:
        self._cfg = cfg
        self._trust = trust
        self._seeds = [sample.id for sample in seeds]
        self._seed = seed
        self._keep = keep
        self._flat_fits, self._flat_gain = flat
        self._worth = {slot: float(found["likelihood"]) for slot, found in earlier.items()}
        self._told = set(earlier)
        self._fitted: dict[int, asyncio.Task[Feedback]] = {}

    def begin(self, slot: int) -> None:
        """Fits the student for `slot`, where that is due, while other things go on; all before it is settled."""
        self._task(self._trust.boundary(slot))

    def add(self, slot: int, vector: Vector | None) -> None:
        pass  # the voices hear of it, and they are the student

    async def at(self, slot: int) -> Feedback:
        """What the student is worth with what was accepted up to the boundary at or below `slot`."""
        return await asyncio.shield(self._task(self._trust.boundary(slot)))

    async def plan(self, group: int, before: int) -> Steer:
        known = await self.at(before)
        return Steer(known.covered, known) if steers(self._cfg, self._seed, group) else UNSTEERED

    async def flat(self, slot: int) -> bool:
        if self._flat_fits is None:
            return False
        boundary = self._trust.boundary(slot)
        while boundary not in self._worth:  # an earlier session may have been killed before it wrote one down
            await self.at(boundary)
            boundary = self._trust.boundary(max(0, boundary - 1))
        worth = [self._worth[boundary] for boundary in sorted(self._worth) if boundary <= slot]
        before, latest = worth[: -self._flat_fits], worth[-self._flat_fits :]
        return bool(before) and max(latest) < max(before) + self._flat_gain

    def _task(self, boundary: int) -> asyncio.Task[Feedback]:
        if boundary not in self._fitted:
            for old in [known for known in self._fitted if known < boundary and self._fitted[known].done()][:-_KEPT]:
                del self._fitted[old]
            self._fitted[boundary] = asyncio.create_task(self._fit(boundary))
            self._fitted[boundary].add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._fitted[boundary]

    async def _fit(self, boundary: int) -> Feedback:
        trust = self._trust
        found = await asyncio.to_thread(feedback, trust.gold, trust.config, self._seeds, trust.rows(boundary))
        self._worth[boundary] = found.likelihood
        if boundary not in self._told:
            self._told.add(boundary)
            self._keep(f"{FEEDBACK}/{boundary}", found.record())
        return found
