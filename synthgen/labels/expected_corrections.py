"""Estimate how many wrong labels a person's next answers would correct.

The estimate covers the samples that `synthgen label` would ask about first. It uses the label model's probabilities. If
people have already answered, it also uses the rate at which they found the label model wrong. The effect of corrected
labels on the student's accuracy is not estimated.
"""

from collections import Counter
from collections.abc import Sequence

from synthgen.labels.answers import by_sample
from synthgen.labels.choose import chooser
from synthgen.labels.config import LabelsConfig
from synthgen.labels.pool import known_label, weighing
from synthgen.ledger import Reader
from synthgen.records import Json

COUNT = 20
"""Number of answers to look ahead."""
_MODEL = 10.0
"""Number of people's answers that count as much as the label model's own probabilities."""


def expected_corrections(reader: Reader, labels: Sequence[str], cfg: LabelsConfig, count: int = COUNT) -> Json | None:
    """Return {answers, corrected}: the number of next answers, and the expected number of wrong labels among them.

    `answers` is below `count` when fewer samples are left. Return None when no label model decided the labels, or when
    no sample is left to ask about.
    """
    found = weighing(reader, labels, cfg)
    if not found.figures:
        return None
    accepted = [(sample, vector) for sample, vector in reader.embedded_samples() if sample.origin == "synthetic"]
    own = {sample.id: str(sample.label) for sample, _ in accepted}
    shares = {key: worth.labels for key in own if (worth := found.samples.get(key)) and worth.labels}
    vectors = {sample.id: vector for sample, vector in accepted if vector is not None}
    asking = chooser(list(own), vectors, shares, (reader.meta("run") or {}).get("seed") or 0, found.doubts)
    given = by_sample(answer for answer in reader.people_answers() if answer.sample_id in own)
    asking.take(given)
    answered = Counter(answer.answer for each in given.values() for answer in each if answer.answer)
    wrong: list[float] = []
    while len(wrong) < count and (key := asking.next(answered)) is not None:
        asking.take([key])
        probabilities = shares.get(key, {own[key]: 1.0})
        wrong.append(1.0 - probabilities.get(known_label(own[key], probabilities, cfg), 0.0))
        answered.update([max(probabilities, key=probabilities.__getitem__)])
    if not wrong:
        return None
    return {"answers": len(wrong), "corrected": round(len(wrong) * _rate(wrong, found.figures["people"]), 2)}


def _rate(wrong: Sequence[float], people: Json | None) -> float:
    """Return the expected share of wrong labels, given the label model's probabilities that labels are wrong."""
    said = sum(wrong) / len(wrong)
    if not people:
        return said
    answered: int = people["answered"]
    return float(_MODEL * said + answered * (1.0 - people["right"])) / (_MODEL + answered)
