"""Test what a ledger knows of labels after a run: probabilities and weights of its samples, and their labels anew."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import LABELS, Planted, planted

from synthgen.labels.answers import NOT_A_SAMPLE
from synthgen.labels.config import LabelsConfig
from synthgen.labels.pool import MEANINGS, Weighed, label_records, renewed, saved_labels, votes, weighed, weighing
from synthgen.ledger import Ledger, Reader, Settled
from synthgen.records import INHERITED, Candidate, PersonAnswer, PlannedSlot, Sample, Verdict, content_id

DEFAULTS = LabelsConfig()


def sample_of(number: int, label: str, **changes: Any) -> Sample:
    data = {"text": f"Text {number}.", "label": label}
    fields: dict[str, Any] = {"id": content_id(data), "data": data, "origin": "synthetic", "label": label, "item": 0}
    return Sample(**(fields | {"slot": number} | changes))


class Made:
    """A ledger with the planted texts: `inherited` ones from another run, the others accepted slot by slot."""

    def __init__(self, folder: Path, case: Planted, inherited: int = 0, decided: bool = True, **labels: Any) -> None:
        self.case, self.samples = case, []
        seeds = [
            sample_of(-1 - number, label, origin="seed", slot=None)
            for number, label in enumerate(case.anchors.seed_labels)
        ]
        asked = [LABELS[number] for number in case.texts.intents]
        old = [sample_of(number, asked[number], slot=INHERITED, item=number) for number in range(inherited)]
        vectors = {seed.id: vector for seed, vector in zip(seeds, case.anchors.seeds, strict=True)}
        vectors |= {sample.id: vector for sample, vector in zip(old, case.texts.vectors)}  # noqa: B905
        meta: dict[str, Any] = {
            "task": {"labels": dict.fromkeys(LABELS, ""), "target": ["label"]},
            "config": {"labels": dataclasses.asdict(LabelsConfig(**labels))},
        }
        if decided:
            meta[MEANINGS] = case.anchors.meanings.tolist()
        self.path = folder / "ledger.sqlite"
        self.samples += old
        floats = {key: np.asarray(vector, dtype=np.float32) for key, vector in vectors.items()}
        with Ledger.create(self.path, meta, [*old, *seeds], floats) as ledger:
            for slot in range(inherited, len(case.texts)):
                ledger.plan([PlannedSlot(slot=slot, group=slot, label=asked[slot], strategy="fewshot", parents=())])
                ledger.settle(slot, "settled", [self._settled(slot, asked[slot], decided)])

    def _settled(self, slot: int, asked: str, decided: bool) -> Settled:
        """Every fourth sample was given another label when it was accepted."""
        label = LABELS[(LABELS.index(asked) + 1) % 4] if decided and slot % 4 == 0 else asked
        sample = sample_of(slot, label)
        self.samples.append(sample)
        candidate = Candidate(
            id=sample.id, slot=slot, item=0, text="", data=sample.data, finish_reason="stop", parents=(), depth=1,
            strategy="fewshot", template="t", label=asked,
            embedding=self.case.texts.vectors[slot].astype(np.float32),
        )  # fmt: skip
        verdicts = [Verdict(check="schema")]
        if (check := self.case.texts.named.get("label")) is not None and slot % 2:
            shares = dict(zip(LABELS, map(float, check[slot]), strict=True))
            verdicts.append(Verdict(check="label", details={"probabilities": shares}))
        if decided:
            verdicts.append(
                Verdict(check="trust", details={"label": label, "probabilities": {label: 0.9, "world": 0.1}})
            )
        return Settled(candidate, tuple(verdicts), sample)

    def answer(self, number: int, label: str | None, annotator: str = "anna") -> str:
        """Write down what somebody said of a sample, and return its id."""
        key = self.samples[number].id
        with Ledger.open(self.path) as ledger:
            ledger.take_answers([PersonAnswer(key, annotator, label, float(number))]).result()
        return key


@pytest.fixture
def case() -> Planted:
    return planted(texts=80, prompt=1.0, check=0.9, noise=0.25)


@pytest.fixture
def made(tmp_path: Path, case: Planted) -> Made:
    return Made(tmp_path, case)


@pytest.fixture
def reader(made: Made) -> Iterator[Reader]:
    with Reader(made.path) as opened:
        yield opened


def weights(found: dict[str, Weighed], made: Made) -> list[float]:
    return [found[sample.id].weight for sample in made.samples]


# -- what a ledger has -----------------------------------------------------------------------------


def test_label_sources_are_read_with_the_label_asked_for_and_the_label_given(made: Made, reader: Reader) -> None:
    found = label_records(reader)
    assert [each.id for each in found] == [sample.id for sample in made.samples]
    assert [each.slot for each in found] == list(range(80))
    assert (found[4].intent, found[4].label) == ("business", "science"), "it was given another label"
    assert found[4].decided == {"science": 0.9, "world": 0.1}
    assert found[4].checked is None and found[5].checked is not None
    assert found[5].vector == pytest.approx(made.case.texts.vectors[5], abs=1e-6)
    assert [each.slot for each in label_records(reader, 3)] == [77, 78, 79]


def test_a_sample_of_another_run_was_asked_for_with_the_label_that_it_has(tmp_path: Path, case: Planted) -> None:
    made = Made(tmp_path, case, inherited=30)
    with Reader(made.path) as reader:
        found = label_records(reader)
    assert [each.slot for each in found] == [INHERITED] * 30 + list(range(30, 80))
    assert all(each.intent == each.label and each.decided == {each.label: 1.0} for each in found[:30])


def test_an_answer_that_is_no_label_is_no_vote(made: Made) -> None:
    label, _ = made.answer(1, "sport"), made.answer(2, None)
    made.answer(1, "world", "ben")
    with Reader(made.path) as reader:
        assert votes(reader) == {label: {"sport": 0.5, "world": 0.5}}


def test_the_settings_are_those_that_the_run_had(tmp_path: Path, case: Planted) -> None:
    made = Made(tmp_path, case, weight=0.3, renew=0.8)
    with Reader(made.path) as reader:
        assert saved_labels(reader) == LabelsConfig(weight=0.3, renew=0.8)


def test_a_run_of_an_older_version_has_the_defaults(tmp_path: Path) -> None:
    meta = {"config": {"judge": {"trust": {"weight": 0.05}}, "labels": {"closeness": 5.0}}}
    with Ledger.create(tmp_path / "ledger.sqlite", meta), Reader(tmp_path / "ledger.sqlite") as reader:
        assert saved_labels(reader) == DEFAULTS


# -- weights ---------------------------------------------------------------------------------------


def test_every_accepted_sample_is_weighed_by_all_that_is_known_at_the_end(made: Made, reader: Reader) -> None:
    found = weighing(reader, LABELS, DEFAULTS)
    assert found.samples.keys() == {sample.id for sample in made.samples}
    likeliest = [max(each.labels or {}, key=(each.labels or {}).__getitem__) for each in found.samples.values()]
    truth = [LABELS[label] for label in made.case.truth]
    assert np.mean([a == b for a, b in zip(likeliest, truth, strict=True)]) > 0.97, "not the labels given meanwhile"
    figures = found.figures
    assert figures["asked_right"] > 0.95 and figures["expected_right"] > 0.9
    assert figures["relabelled"] == pytest.approx(20, abs=3)
    assert figures["people"] is None
    assert found.samples == weighed(reader, LABELS, DEFAULTS)


def test_inherited_samples_are_weighed_with_the_others(tmp_path: Path, case: Planted) -> None:
    made = Made(tmp_path, case, inherited=30)
    with Reader(made.path) as reader:
        found = weighed(reader, LABELS, DEFAULTS)
        assert list(weighed(reader, LABELS, DEFAULTS, before=40)) == [sample.id for sample in made.samples[:40]]
    assert found.keys() == {sample.id for sample in made.samples}
    assert min(weights(found, made)[:30]) > 0.1


def test_only_samples_before_a_slot_are_weighed(made: Made, reader: Reader) -> None:
    found = weighed(reader, LABELS, DEFAULTS, before=50)
    assert list(found) == [sample.id for sample in made.samples[:50]]
    assert found == weighed(reader, LABELS, DEFAULTS, before=50)


def test_a_weight_of_the_config_is_taken(made: Made, reader: Reader) -> None:
    low, high = (weights(weighed(reader, LABELS, LabelsConfig(weight=most)), made) for most in (0.1, 0.4))
    assert max(low) <= 0.1
    assert high == pytest.approx([4 * weight for weight in low])


def test_peoples_answers_are_used(made: Made) -> None:
    with Reader(made.path) as reader:
        before = weighed(reader, LABELS, DEFAULTS)
    label, none = made.answer(1, "world"), made.answer(2, None)
    with Reader(made.path) as reader:
        found = weighing(reader, LABELS, DEFAULTS)
    assert before[label].weight < 1 and before[none].weight > 0
    assert found.samples[label] == Weighed(pytest.approx(1 / 1.1), {"world": 1.0}), "the bias is 0.1 without a check"
    assert found.samples[none].weight == 0
    assert found.figures["people"] == {"answered": 1, "right": 0.0, "ece": pytest.approx(1.0, abs=0.1)}


def test_peoples_answers_can_confirm_the_calibration(made: Made) -> None:
    for number in range(20):
        made.answer(number, LABELS[made.case.truth[number]])
    with Reader(made.path) as reader:
        people = weighing(reader, LABELS, DEFAULTS).figures["people"]
    assert people["answered"] == 20 and people["right"] > 0.9 and people["ece"] < 0.1


# -- where no model decided ------------------------------------------------------------------------


def test_without_a_label_model_only_peoples_answers_weigh_samples(tmp_path: Path, case: Planted) -> None:
    made = Made(tmp_path, case, decided=False, enabled=False)
    with Reader(made.path) as reader:
        assert weighed(reader, LABELS, saved_labels(reader)) == {}
    label, none = made.answer(1, "world"), made.answer(2, None)
    with Reader(made.path) as reader:
        found = weighing(reader, LABELS, saved_labels(reader))
    assert found.samples == {label: Weighed(1.0, {"world": 1.0}), none: Weighed(0.0)}
    assert found.figures == {}


def test_without_labels_nothing_is_weighed(made: Made, reader: Reader) -> None:
    assert weighing(reader, [], DEFAULTS).samples == {}


# -- labels anew -----------------------------------------------------------------------------------


def test_samples_get_the_label_that_is_known_in_the_end(made: Made) -> None:
    taken = made.answer(1, "world")
    none = made.answer(2, None)
    with Reader(made.path) as reader:
        found = renewed(reader)
    wrong = {sample.id for slot, sample in enumerate(made.samples) if sample.label != LABELS[made.case.truth[slot]]}
    assert len(wrong) == 20
    assert len(found.keys() & wrong) >= 18 and len(found.keys() - wrong - {taken, none}) <= 1
    assert found[made.samples[4].id] == {"business": 1.0}
    assert found[taken] == {"world": 1.0}, "a person is never overruled"
    assert found[none] is NOT_A_SAMPLE


def test_a_label_is_replaced_only_above_a_least_probability(tmp_path: Path, case: Planted) -> None:
    made = Made(tmp_path, case, renew=1.0)
    with Reader(made.path) as reader:
        assert renewed(reader) == {}
