"""Decide the label of each candidate while a run goes on: keep the one that was asked for, give another one, or reject.

Decisions are made in slot order, by a label model fitted to what was settled before a slot that follows from the slot's
number alone. So a run that was killed and resumed decides as it would have. Which candidates the label check is asked
about follows from an earlier fit, because newer slots may still change while a slot is under way.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from synthgen.labels.config import LabelsConfig
from synthgen.labels.model import CHECK, Anchors, LabelModel, Texts, fit
from synthgen.numerics.regression import Floats
from synthgen.records import DECISION, Candidate, CheckSpec, Json, Reason, Sample, Verdict

_DIGITS = 4
_ROUNDS, _FOLDS = 1, 3
"""A fit while the run goes on: quick, for the next one comes soon."""
_COMPETENT = 0.02
"""Bias up to which a generator is taken to keep to the labels."""
_SUPPORTED = 0.5
"""Probability by seeds and label meanings from which they support a label."""
_SLACK = 8192
"""Samples kept beyond the window: a session that goes on may begin some slots back."""
_KEPT_FITS = 80
"""Fits kept: more than lie between the slots that are settled and those that are planned."""


class Evidence(NamedTuple):
    """Hold what a ledger has of an accepted sample's label; probabilities are by label."""

    slot: int
    vector: Any
    intent: str
    label: str
    decided: Json
    """Probabilities by all sources, at the time."""
    checked: Json | None = None
    """The label check's; None where it was not asked."""
    id: str = ""


class Row(NamedTuple):
    """An accepted sample: its unit vector, its label probabilities (labels,), and what each source named."""

    slot: int
    vector: Any
    intent: int
    decided: Floats
    named: dict[str, Floats]
    id: str


def as_texts(
    rows: Sequence[Row], labels: Sequence[str], dimensions: int, people: Mapping[str, Mapping[str, float]]
) -> Texts:
    """Return rows as the label model takes them; `people` has shares of votes by sample id."""
    count = len(labels)
    vectors = np.stack([row.vector for row in rows]).astype(np.float64) if rows else np.zeros((0, dimensions))
    nothing = np.zeros(count)
    named = {}
    if any(CHECK in row.named for row in rows):
        named[CHECK] = np.stack([row.named.get(CHECK, nothing) for row in rows])
    votes = np.array([[people.get(row.id, {}).get(label, 0.0) for label in labels] for row in rows]).reshape(-1, count)
    intents = np.array([row.intent for row in rows], dtype=np.intp)
    return Texts(vectors, intents, named, votes if votes.any() else None)


class LabelDecider:
    """Decides labels in slot order, by what was accepted before."""

    spec = CheckSpec(
        DECISION,
        "A text with a label that is likely enough by all label sources together; it may be another one than was asked for.",
        (Reason("label", "no label is likely enough for it", "labels.keep"),),
        "probability of the label that it is given, 0 to 1",
    )
    name = spec.name

    def __init__(
        self,
        cfg: LabelsConfig,
        anchors: Anchors,
        known: Callable[[int], int] = lambda slot: slot,
        people: Callable[[], Mapping[str, Mapping[str, float]]] = dict,
    ) -> None:
        """`known` gives the slot before which everything is settled while a slot is under way, `people` the shares of
        votes that people gave so far, by sample id."""
        self.anchors = anchors
        self.config = self._cfg = cfg
        self._known = known
        self._people = people
        self._index = {label: number for number, label in enumerate(anchors.labels)}
        self._rows: deque[Row] = deque(maxlen=cfg.window + _SLACK)
        self._fits: OrderedDict[int, asyncio.Task[LabelModel]] = OrderedDict()

    @property
    def window(self) -> int:
        """Return how many of the latest accepted samples a session that goes on has to `restore`."""
        return self._cfg.window + _SLACK

    def boundary(self, slot: int) -> int:
        """Return the slot up to which the model that decides on `slot` is fitted."""
        step = self._cfg.every
        while 16 * step <= slot and step < self._cfg.window:
            step *= 2
        return slot - slot % step

    async def at(self, slot: int) -> LabelModel:
        """Return the model as fitted up to the boundary at or below `slot`; all before that is settled."""
        boundary = self.boundary(slot)
        if boundary not in self._fits:
            self._fits[boundary] = asyncio.create_task(asyncio.to_thread(self.fit, boundary))
            if len(self._fits) > _KEPT_FITS:
                self._fits.popitem(last=False)
        return await asyncio.shield(self._fits[boundary])

    def fit(self, before: int) -> LabelModel:
        """Fit the model to the latest samples from slots below `before`."""
        labels, dimensions = self.anchors.labels, self.anchors.seeds.shape[1]
        texts = as_texts(self.rows(before), labels, dimensions, self._people())
        return fit(self.anchors, texts, _ROUNDS, _FOLDS)

    async def is_sure(self, candidate: Candidate) -> bool:
        """Tell whether the label check need not be asked: the other sources settle the label, and it is no audit.

        Where the anchors give another label than the prompt, it is always asked: what is true of such texts is estimated
        from its answers (`synthgen.labels.sources.disagreement`), and answers about the doubtful ones alone would mislead.
        """
        if int(candidate.id[:8], 16) / 2**32 < self._cfg.audit:
            return False
        model = await self.at(self._known(candidate.slot))
        supported = model.supported(np.asarray(candidate.embedding, dtype=np.float64)[None])[0]
        if self.anchors.labels[int(supported.argmax())] != candidate.label:
            return False
        assert candidate.label is not None
        found = self._posterior(model, candidate, {})
        return self._cfg.sure is not None and bool(found[self._index[candidate.label]] >= self._cfg.sure)

    def rows(self, before: int) -> list[Row]:
        """Return the latest accepted samples from slots below `before`, in the order they came."""
        return [row for row in tuple(self._rows) if row.slot < before][-self._cfg.window :]

    async def __call__(self, candidate: Candidate) -> Verdict:
        """Keep, relabel or reject: the verdict's details have the label, its score is that label's probability.

        All slots before the candidate's are settled.
        """
        assert candidate.label is not None
        model, labels = await self.at(candidate.slot), self.anchors.labels
        said = {verdict.check: verdict.details.get("probabilities") for verdict in candidate.verdicts}
        found = self._posterior(model, candidate, self._named(said.get(CHECK)))
        best, asked = int(found.argmax()), self._index[candidate.label]
        final = best if found[best] >= self._cfg.relabel else asked
        score = round(float(found[final]), _DIGITS)
        vector = np.asarray(candidate.embedding, dtype=np.float64)[None]
        head = model.base(vector)[0]
        details: Json = {
            "label": labels[final],
            "settled": self._settled(model, score, model.supported(vector)[0, final]),
            "head": labels[int(head.argmax())],
            "probabilities": _sparse(labels, found),
        }
        if score < self._cfg.keep:
            return Verdict(check=self.name, outcome="reject", reason="label", score=score, details=details)
        return Verdict(check=self.name, score=score, details=details)

    def accepted(self, sample: Sample, candidate: Candidate) -> None:
        """Take in an accepted candidate, which became this sample."""
        details = {verdict.check: verdict.details for verdict in candidate.verdicts}
        checked = details.get(CHECK, {}).get("probabilities")
        decided = details[self.name]
        assert candidate.label is not None
        label, shares = decided["label"], decided["probabilities"]
        self.restore(
            [Evidence(candidate.slot, candidate.embedding, candidate.label, label, shares, checked, sample.id)]
        )

    def restore(self, accepted: Iterable[Evidence]) -> None:
        """Take in what earlier sessions accepted."""
        self._rows.extend(map(self.row, accepted))

    def row(self, found: Evidence) -> Row:
        """Return a sample's evidence as a row."""
        named = self._named(found.checked)
        return Row(found.slot, found.vector, self._index[found.intent], self._dense(found.decided), named, found.id)

    @staticmethod
    def _settled(model: LabelModel, score: float, supported: float) -> float:
        """Return how surely a label is right where a wrong one would do harm: in a prompt.

        A weak generator's errors are alike, so the text classifier learns them and is sure of them. Until the label check
        has shown that the generator keeps to the labels, seeds and label meanings have to support a label too.
        """
        proved = model.disagreed is not None and model.disagreed.bias <= _COMPETENT
        return score if proved or supported >= _SUPPORTED else round(min(score, float(supported)), _DIGITS)

    def _posterior(self, model: LabelModel, candidate: Candidate, named: Mapping[str, Floats]) -> Floats:
        vector = np.asarray(candidate.embedding, dtype=np.float64)[None]
        asked = np.array([self._index[candidate.label or ""]])
        shares = model.decide(vector, asked, {name: each[None] for name, each in named.items()})
        return np.asarray(shares[0], dtype=np.float64)

    def _named(self, checked: Json | None) -> dict[str, Floats]:
        return {CHECK: self._dense(checked)} if checked else {}

    def _dense(self, shares: Json) -> Floats:
        found = np.zeros(len(self._index))
        for label, share in shares.items():
            found[self._index[label]] = share
        return np.asarray(found / found.sum(), dtype=np.float64)


def _sparse(labels: Sequence[str], shares: Floats) -> Json:
    """Round, and leave out what rounds to nothing: what is written down is what a resume goes on with."""
    rounded = {label: round(float(share), _DIGITS) for label, share in zip(labels, shares, strict=True)}
    return {label: share for label, share in rounded.items() if share}
