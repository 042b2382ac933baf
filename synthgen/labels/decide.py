"""Decide the label of each candidate during a run: keep the requested label, change it, or reject the candidate.

Decisions are made in slot order, by a label model that is fitted to all samples from slots below a boundary. The boundary
depends only on the slot's number, so a run that was killed and resumed makes the same decisions. Whether the label check
is skipped depends on an earlier fit, because newer slots may still change while a request is in flight.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from synthgen.labels.config import LabelsConfig
from synthgen.labels.model import CHECK, Anchors, LabelModel, Texts, fit
from synthgen.numerics.regression import Floats
from synthgen.records import DECISION, PROPOSED, Candidate, CheckSpec, Json, Reason, Sample, Verdict

_DIGITS = 4
_ROUNDS, _FOLDS = 1, 3
"""Rounds and folds of a fit during the run. They are few, because the next fit comes soon."""
_COMPETENT = 0.02
"""Trust a generator to follow the labels up to this bias."""
_SUPPORTED = 0.5
"""Treat a label as supported by seeds and label meanings from this probability on."""
_SLACK = 8192
"""Number of samples to keep in addition to the window, because a resumed session may begin some slots earlier."""
_KEPT_FITS = 80
"""Number of fits to keep: more than there are between the settled slots and the planned ones."""


class LabelRecord(NamedTuple):
    """Hold the annotations that a ledger has for an accepted sample. Probabilities are by label."""

    slot: int
    vector: Any
    intent: str | None
    """The label that the prompt asked for; None for a text whose label was only proposed."""
    label: str
    decided: Json
    """Probabilities by all label sources at the time of the decision."""
    checked: Json | None = None
    """Probabilities by the label check; None when it was not asked."""
    id: str = ""


class LabelRow(NamedTuple):
    """Hold an accepted sample: its unit vector, its label probabilities (labels,), and the answer of each source."""

    slot: int
    vector: Any
    intent: int
    decided: Floats
    named: dict[str, Floats]
    id: str


def as_texts(
    rows: Sequence[LabelRow], labels: Sequence[str], dimensions: int, people: Mapping[str, Mapping[str, float]]
) -> Texts:
    """Return rows in the form that the label model needs. `people` holds vote shares by sample id."""
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
    """Decide labels in slot order, from the samples accepted before."""

    spec = CheckSpec(
        DECISION,
        "The text has a label that all label sources together find likely enough. It may differ from the requested label.",
        (Reason("label", "no label is likely enough for it", "labels.keep"),),
        "probability of the final label, 0 to 1",
    )
    name = spec.name

    def __init__(
        self,
        cfg: LabelsConfig,
        anchors: Anchors,
        known: Callable[[int], int] = lambda slot: slot,
        people: Callable[[], Mapping[str, Mapping[str, float]]] = dict,
    ) -> None:
        """Build the decider.

        `known` returns, for a slot whose request is in flight, the slot below which everything is settled. `people`
        returns the vote shares of people so far, by sample id.
        """
        self.anchors = anchors
        self.config = self._cfg = cfg
        self._known = known
        self._people = people
        self._index = {label: number for number, label in enumerate(anchors.labels)}
        self._rows: deque[LabelRow] = deque(maxlen=cfg.window + _SLACK)
        self._fits: OrderedDict[int, asyncio.Task[LabelModel]] = OrderedDict()

    @property
    def window(self) -> int:
        """Return the number of latest accepted samples that a resumed session must pass to `restore`."""
        return self._cfg.window + _SLACK

    def boundary(self, slot: int) -> int:
        """Return the boundary of the model that decides on `slot`: it is fitted to samples from slots below it."""
        step = self._cfg.every
        while 16 * step <= slot and step < self._cfg.window:
            step *= 2
        return slot - slot % step

    async def at(self, slot: int) -> LabelModel:
        """Return the model that is fitted up to the boundary of `slot`. All slots below the boundary are settled."""
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
        """Tell whether the label check can be skipped: the other sources are sure, and the candidate is not an audit.

        The label check is always asked when the anchors give another label than the prompt. Its answers on such texts
        estimate which label is true (`synthgen.labels.sources.disagreement`). Answers on doubtful texts alone would
        bias that estimate.
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

    def rows(self, before: int) -> list[LabelRow]:
        """Return the latest accepted samples from slots below `before`, in order of acceptance."""
        return [row for row in tuple(self._rows) if row.slot < before][-self._cfg.window :]

    async def __call__(self, candidate: Candidate) -> Verdict:
        """Keep, relabel or reject a candidate. The verdict's details hold the label, and its score the label's probability.

        Call this when all slots before the candidate's are settled.
        """
        assert candidate.label is not None
        model, labels = await self.at(candidate.slot), self.anchors.labels
        said = {verdict.check: verdict.details.get("probabilities") for verdict in candidate.verdicts}
        found = self._posterior(model, candidate, self._named(said.get(CHECK)))
        best, asked = int(found.argmax()), self._index[candidate.label]
        final = best if found[best] >= self._cfg.relabel or PROPOSED in candidate.given else asked
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
        """Record an accepted candidate and the sample that it became."""
        details = {verdict.check: verdict.details for verdict in candidate.verdicts}
        checked = details.get(CHECK, {}).get("probabilities")
        decided = details[self.name]
        intent = None if PROPOSED in candidate.given else candidate.label
        label, shares = decided["label"], decided["probabilities"]
        self.restore([LabelRecord(candidate.slot, candidate.embedding, intent, label, shares, checked, sample.id)])

    def restore(self, accepted: Iterable[LabelRecord]) -> None:
        """Record the samples that earlier sessions accepted."""
        self._rows.extend(map(self.row, accepted))

    def row(self, found: LabelRecord) -> LabelRow:
        """Return a sample's annotations as a row."""
        named = self._named(found.checked)
        intent = -1 if found.intent is None else self._index[found.intent]
        return LabelRow(found.slot, found.vector, intent, self._dense(found.decided), named, found.id)

    @staticmethod
    def _settled(model: LabelModel, score: float, supported: float) -> float:
        """Return a cautious probability of a label, for deciding whether the sample may be shown in a prompt.

        A weak generator makes systematic errors. The text classifier learns them and becomes overconfident. Until the
        label check has shown that the generator follows the labels, seeds and label meanings must support a label too.
        """
        proved = model.disagreed is not None and model.disagreed.bias <= _COMPETENT
        return score if proved or supported >= _SUPPORTED else round(min(score, float(supported)), _DIGITS)

    def _posterior(self, model: LabelModel, candidate: Candidate, named: Mapping[str, Floats]) -> Floats:
        vector = np.asarray(candidate.embedding, dtype=np.float64)[None]
        asked = np.array([-1 if PROPOSED in candidate.given else self._index[candidate.label or ""]])
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
    """Round the probabilities and leave out zeros. A resumed run continues with exactly these recorded values."""
    rounded = {label: round(float(share), _DIGITS) for label, share in zip(labels, shares, strict=True)}
    return {label: share for label, share in rounded.items() if share}
