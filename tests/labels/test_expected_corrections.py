"""Test what the next answers of a person are expected to correct."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from synthgen.labels.config import LabelsConfig
from synthgen.labels.expected_corrections import expected_corrections
from synthgen.labels.pool import MEANINGS
from synthgen.ledger import Ledger, Reader, run_lock
from synthgen.records import Json, PersonAnswer
from synthgen.run.labelling.accepted import Accepted

LABELS = ["business", "science", "sport", "world"]
CFG = LabelsConfig(renew=1.0)  # accepted samples keep their labels


@pytest.fixture
def folder(make_run: Callable[..., Path]) -> Path:
    """A run of 40 texts with random vectors; each label's meaning lies in the middle of its texts."""
    folder = make_run(40)
    with Reader(folder / "ledger.sqlite") as reader:
        held = [(sample, vector) for sample, vector in reader.embedded_samples() if vector is not None]
    meanings = np.stack(
        [np.sum([vector for sample, vector in held if sample.label == label], axis=0) for label in LABELS]
    )
    with Ledger.open(folder / "ledger.sqlite") as ledger:
        ledger.set_meta(MEANINGS, (meanings / np.linalg.norm(meanings, axis=1, keepdims=True)).tolist()).result()
    return folder


def expected(folder: Path, count: int = 20, cfg: LabelsConfig = CFG) -> Json | None:
    with Reader(folder / "ledger.sqlite") as reader:
        return expected_corrections(reader, LABELS, cfg, count)


def test_the_samples_are_those_that_a_person_would_be_asked_about_first(folder: Path) -> None:
    with Reader(folder / "ledger.sqlite") as reader:
        accepted = Accepted.read(reader)
    chooser, answered = accepted.chooser(), Counter[str]()
    wrong = 0.0
    for _ in range(20):
        key = chooser.next(answered)
        assert key is not None
        chooser.take([key])
        answered.update([next(iter(accepted.shares[key]))])
        wrong += 1 - accepted.shares[key].get(str(accepted.samples[key].label), 0.0)
    assert wrong > 0.1
    assert expected(folder) == {"answers": 20, "corrected": pytest.approx(wrong, abs=0.01)}


def test_no_more_samples_are_looked_at_than_there_are(folder: Path) -> None:
    found = expected(folder, count=50)
    assert found is not None and found["answers"] == 40


def test_people_who_found_the_labels_wrong_raise_the_estimate(folder: Path) -> None:
    before = expected(folder)
    with Reader(folder / "ledger.sqlite") as reader:
        samples = [sample for sample in reader.samples() if sample.origin == "synthetic"][:16]
    with run_lock(folder), Ledger.open(folder / "ledger.sqlite") as ledger:
        ledger.take_answers(
            PersonAnswer(sample.id, "anna", LABELS[LABELS.index(str(sample.label)) - 1], float(number))
            for number, sample in enumerate(samples)
        ).result()
    after = expected(folder)
    assert before is not None and after is not None
    assert after["answers"] == 20
    assert after["corrected"] > before["corrected"] + 3, (before, after)


def test_without_a_label_model_no_estimate_is_printed(make_run: Callable[..., Path]) -> None:
    assert expected(make_run(12)) is None
