"""Estimates what a person's next answers would bring: how many wrong labels they would correct.

The label model's probabilities are taken as true for the samples that `synthgen label` would ask about first; where people
have answered, how often they found the label model wrong counts too. What the corrected labels would add to the student's
accuracy is not estimated.
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
"""Answers that are looked ahead."""
_MODEL = 10.0
"""Answers of people that count as much as what the label model says of itself."""


def prospect(reader: Reader, labels: Sequence[str], cfg: LabelsConfig, count: int = COUNT) -> Json | None:
    """Return {answers, corrected}: how many of the next `count` answers there are samples for, and the expected number of
    wrong labels among those samples. None where no label model decided the labels, or nothing is left to ask about.
    """
    found = weighing(reader, labels, cfg)
    if not found.figures:
        return None
    held = [(sample, vector) for sample, vector in reader.held() if sample.origin == "synthetic"]
    own = {sample.id: str(sample.label) for sample, _ in held}
    shares = {key: worth.labels for key in own if (worth := found.samples.get(key)) and worth.labels}
    vectors = {sample.id: vector for sample, vector in held if vector is not None}
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
    """Return the expected share of wrong labels among samples whose labels are wrong with these probabilities."""
    said = sum(wrong) / len(wrong)
    if not people:
        return said
    answered: int = people["answered"]
    return float(_MODEL * said + answered * (1.0 - people["right"])) / (_MODEL + answered)
