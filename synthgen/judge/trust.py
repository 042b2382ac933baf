"""Which label a candidate gets: not the one it was asked for, but the one that independent voices agree on.

The voices are an embedding head (a regression on the seeds, on what each label is called and means, and on what was
accepted, refitted as the run goes; with it goes how near the text is to the label's meaning), the prompt's intent, and the
label check's answer. A label that wins is kept or given in the place of the intended one, with its probability
as the sample's weight; a candidate on which no label is likely is dropped.

Decisions are made in slot order, by a fit to what was settled before a slot that follows from the slot's number alone.
So a run that was killed and resumed decides as it would have. What is asked of the model, and what it is prompted with,
hangs on an earlier fit, to what is settled for sure while a slot is under way.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from synthgen.errors import ConfigError
from synthgen.judge.voices import Floats, reliability, together
from synthgen.records import Candidate, Json, Verdict
from synthgen.regression import regression, softmax

INTENT, ASKED, CHANNEL = "intent", "label", "channel"
"""Voices besides the head: what the prompt asked for, the label check, and channel scoring."""
VOICES = (INTENT, ASKED, CHANNEL)
_SEED_WEIGHT = 2.0
_STRENGTH = 10.0  # inverse regularisation, for unit vectors
_DIGITS = 4
_SLACK = 8192
"""Samples kept beyond the window: a session that goes on may begin some slots back."""
_KEPT_FITS = 80  # beyond what lies between the slots that are settled and those that are planned


@dataclass
class TrustConfig:
    enabled: bool = True
    """Give each candidate the label that the voices agree on (classification, with an embedder that knows meanings);
    false leaves it to the label check alone to reject."""
    label_rows: float = 3.0
    """Weight of each label's name and meaning as a row of the embedding head, whose seeds weigh 2."""
    closeness: float = 5.0
    """How much more likely a label is for a text nearer to its name and meaning: logits a unit of cosine; 0 for none."""
    accepted: float = 0.1
    """Weight of all accepted samples together in the head, as a share of that of seeds and label rows together."""
    relabel: float = 0.5
    """Least probability of another label than the intended one for which the candidate gets that label."""
    keep: float = 0.35
    """Least probability of a candidate's label; below it the candidate is dropped, with the reason `label`."""
    weight: float = 0.05
    """Weight of an accepted sample in the student's loss, beside a seed's 1; its label probabilities go with it."""
    sure: float | None = 0.7
    """The model is not asked for the label of a candidate whose intended one has this probability by the head and the
    intent alone; null asks it about every candidate."""
    confident_learning: bool = True
    """Look for wrong labels among all that was accepted, before training: such samples are left out of it."""
    every: int = 64
    """Slots after which the voices are fitted anew; the distance grows with the run, to an eighth of it."""
    window: int = 2000
    """Latest accepted samples that they are fitted to."""

    def __post_init__(self) -> None:
        for key in ("label_rows", "closeness", "accepted", "weight"):
            if getattr(self, key) < 0:
                raise ConfigError(f"judge.trust.{key}: must be 0 or more, got {getattr(self, key)}")
        for key in ("relabel", "keep", "sure"):
            if getattr(self, key) is not None and not 0 <= getattr(self, key) <= 1:
                raise ConfigError(f"judge.trust.{key}: must be from 0 to 1, got {getattr(self, key)}")
        for key in ("every", "window"):
            if getattr(self, key) < 1:
                raise ConfigError(f"judge.trust.{key}: must be 1 or more, got {getattr(self, key)}")


@dataclass(frozen=True)
class Gold:
    """What is known of the labels without any generation: unit vectors (rows, dimensions) and the labels' order."""

    labels: tuple[str, ...]
    seeds: Floats
    seed_labels: tuple[str, ...]
    meanings: Floats
    """Of what each label is called and means, in the order of `labels`."""

    def targets(self) -> Floats:
        """One-hot rows for the seeds and then the meanings."""
        index = {label: number for number, label in enumerate(self.labels)}
        return np.eye(len(self.labels))[[*(index[label] for label in self.seed_labels), *range(len(self.labels))]]


class Evidence(NamedTuple):
    """What a ledger has of an accepted sample's label: probabilities by label, of all voices, of the label check, and of
    channel scoring."""

    slot: int
    vector: Any
    intent: str
    label: str
    trusted: Json
    asked: Json | None
    channel: Json | None = None


class Row(NamedTuple):
    """An accepted sample: its unit vector, and its label probabilities, with what each voice named, shape (labels,)."""

    slot: int
    vector: Any
    believed: Floats
    named: dict[str, Floats]


class Fit:
    """The voices as they are fitted to some accepted samples."""

    def __init__(self, gold: Gold, cfg: TrustConfig, rows: Sequence[Row]) -> None:
        self._gold = gold
        self._closeness = cfg.closeness
        vectors, targets = np.vstack([gold.seeds, gold.meanings]), gold.targets()
        counts = np.repeat([_SEED_WEIGHT, cfg.label_rows], [len(gold.seeds), len(gold.labels)])
        held = np.stack([row.vector for row in rows]).astype(np.float64) if rows else np.zeros((0, vectors.shape[1]))
        if rows and cfg.accepted:
            vectors = np.vstack([vectors, held])
            targets = np.vstack([targets, [row.believed for row in rows]])
            counts = np.append(counts, np.full(len(rows), cfg.accepted * counts.sum() / len(rows)))
        self.weights, self.bias = regression(vectors, targets, counts, _STRENGTH)
        base = self.base(held)
        self.matrices = {voice: reliability(base, named_by(rows, voice, len(gold.labels))) for voice in VOICES}

    def base(self, vectors: Floats) -> Floats:
        """The head's label probabilities (texts, labels), and how near the texts are to the labels' meanings."""
        logits = vectors @ self.weights.T + self.bias + self._closeness * (vectors @ self._gold.meanings.T)
        return softmax(np.asarray(logits, dtype=np.float64))

    def posterior(self, vectors: Floats, named: dict[str, Floats]) -> Floats:
        """The label probabilities (texts, labels) of all voices together."""
        return together(self.base(vectors), named, self.matrices)


def named_by(rows: Sequence[Row], voice: str, labels: int) -> Floats:
    """What a voice named, shape (rows, labels); zeros where it was not asked."""
    return np.stack([row.named.get(voice, np.zeros(labels)) for row in rows]) if rows else np.zeros((0, labels))


class LabelTrust:
    """Decides labels in slot order: `reach` a slot, `decide` on its candidates, `add` what was accepted."""

    name = "trust"

    def __init__(self, cfg: TrustConfig, gold: Gold, known: Callable[[int], int] = lambda slot: slot) -> None:
        """`known` gives the slot before which everything is settled while a slot is under way."""
        self.gold = gold
        self.config = self._cfg = cfg
        self._known = known
        self._index = {label: number for number, label in enumerate(gold.labels)}
        self._rows: deque[Row] = deque(maxlen=cfg.window + _SLACK)
        self._fits: OrderedDict[int, asyncio.Task[Fit]] = OrderedDict()
        self._fitted: Fit | None = None

    @property
    def window(self) -> int:
        """How many of the latest accepted samples a session that goes on has to `restore`."""
        return self._cfg.window + _SLACK

    def boundary(self, slot: int) -> int:
        """The slot up to which the voices that decide on `slot` are fitted."""
        step = self._cfg.every
        while 16 * step <= slot and step < self._cfg.window:
            step *= 2
        return slot - slot % step

    async def reach(self, slot: int) -> None:
        """Fits the voices for `slot`, where that is due; all before it is settled."""
        self._fitted = await self.at(slot)

    async def at(self, slot: int) -> Fit:
        """The voices as fitted up to the boundary at or below `slot`; all before that is settled."""
        boundary = self.boundary(slot)
        if boundary not in self._fits:
            self._fits[boundary] = asyncio.create_task(asyncio.to_thread(self.fit, boundary))
            if len(self._fits) > _KEPT_FITS:
                self._fits.popitem(last=False)
        return await asyncio.shield(self._fits[boundary])

    async def is_sure(self, candidate: Candidate) -> bool:
        """Whether head and intent settle the label, so that the model need not be asked."""
        return await self.likely(candidate, 1) is None

    async def likely(self, candidate: Candidate, count: int) -> list[str] | None:
        """The `count` likeliest labels by head and intent, best first; None where they settle it."""
        assert candidate.label is not None
        fit = await self.at(self._known(candidate.slot))
        vector = np.asarray(candidate.embedding, dtype=np.float64)[None]
        believed = fit.posterior(vector, {INTENT: self._names(candidate.label)[INTENT][None]})[0]
        if self._cfg.sure is not None and believed[self._index[candidate.label]] >= self._cfg.sure:
            return None
        return [self.gold.labels[number] for number in np.argsort(-believed, kind="stable")[:count]]

    def fit(self, before: int) -> Fit:
        """The voices as fitted to the latest samples from slots below `before`."""
        return Fit(self.gold, self._cfg, self.rows(before))

    def rows(self, before: int) -> list[Row]:
        """The latest accepted samples from slots below `before`, in the order they came."""
        return [row for row in tuple(self._rows) if row.slot < before][-self._cfg.window :]

    def decide(self, candidate: Candidate, verdicts: Sequence[Verdict]) -> Verdict:
        """Keep, relabel or drop: the verdict's details have the label, its score is that label's probability."""
        assert self._fitted is not None and candidate.label is not None
        fit, labels = self._fitted, self.gold.labels
        vector = np.asarray(candidate.embedding, dtype=np.float64)[None]
        said = {verdict.check: verdict.details.get("probabilities") for verdict in verdicts}
        named = self._names(candidate.label, said.get(ASKED), said.get(CHANNEL))
        head = fit.base(vector)[0]
        believed = fit.posterior(vector, {voice: shares[None] for voice, shares in named.items()})[0]
        best, intended = int(believed.argmax()), self._index[candidate.label]
        final = best if believed[best] >= self._cfg.relabel else intended
        if believed[final] < self._cfg.keep and believed[best] >= self._cfg.keep:
            final = best
        score = round(float(believed[final]), _DIGITS)
        details: Json = {
            "label": labels[final],
            "head": labels[int(head.argmax())],
            "probabilities": _sparse(labels, believed),
        }
        if score < self._cfg.keep:
            return Verdict(check=self.name, outcome="reject", reason="label", score=score, details=details)
        return Verdict(check=self.name, score=score, details=details)

    def add(self, slot: int, candidate: Candidate, verdicts: Sequence[Verdict]) -> None:
        """Takes in an accepted candidate."""
        details = {verdict.check: verdict.details for verdict in verdicts}
        asked, channel = (details.get(voice, {}).get("probabilities") for voice in (ASKED, CHANNEL))
        trusted = details[self.name]
        assert candidate.label is not None
        label, shares = trusted["label"], trusted["probabilities"]
        self.restore([Evidence(slot, candidate.embedding, candidate.label, label, shares, asked, channel)])

    def restore(self, accepted: Iterable["Evidence"]) -> None:
        """Takes in what earlier sessions accepted."""
        self._rows.extend(map(self.row, accepted))

    def row(self, found: "Evidence") -> Row:
        return Row(
            found.slot, found.vector, self._dense(found.trusted), self._names(found.intent, found.asked, found.channel)
        )

    def _names(self, intent: str, asked: Json | None = None, channel: Json | None = None) -> dict[str, Floats]:
        said = {voice: self._dense(shares) for voice, shares in ((ASKED, asked), (CHANNEL, channel)) if shares}
        return {INTENT: np.eye(len(self._index))[self._index[intent]], **said}

    def _dense(self, shares: Json) -> Floats:
        found = np.zeros(len(self._index))
        for label, share in shares.items():
            found[self._index[label]] = share
        return np.asarray(found / found.sum(), dtype=np.float64)


def _sparse(labels: Sequence[str], shares: Floats) -> Json:
    """Rounded, without what rounds to nothing: what is written down is what is gone on with."""
    rounded = {label: round(float(share), _DIGITS) for label, share in zip(labels, shares, strict=True)}
    return {label: share for label, share in rounded.items() if share}
