"""A finished run as `synthgen label` finds it: a ledger with accepted samples, without the loop that made them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthgen.ledger import Ledger, Reader
from synthgen.records import PersonAnswer, Sample, content_id

MEANINGS = {"business": "companies and money", "science": "research", "sport": "matches", "world": ""}

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "anna")


@pytest.fixture
def make_run(tmp_path: Path) -> Make:
    """`make_run(texts, labels=...)`: the folder of a run that accepted these texts, its labels in turn."""

    def make(
        texts: Sequence[str] | int = 12,
        labels: Mapping[str, str] = MEANINGS,
        name: str = "run",
        language: str = "en",
        extra: Mapping[str, Any] | None = None,
    ) -> Path:
        texts = [f"The text of item {number}." for number in range(texts)] if isinstance(texts, int) else texts
        kind = "classification" if labels else "generation"
        properties = {"text": {"type": "string"}, "label": {"enum": [*labels]} if labels else {"type": "string"}}
        samples, vectors = [], {}
        rng = np.random.default_rng(0)
        for number, text in enumerate(["A seed.", *texts]):
            label = [*labels][number % len(labels)] if labels else None
            data = {"text": text, "label": label or "none", **(extra or {})}
            origin: Any = "synthetic" if number else "seed"
            sample = Sample(id=content_id(data), data=data, origin=origin, label=label, slot=number or None, item=0)
            samples.append(sample)
            vectors[sample.id] = rng.normal(size=16).astype(np.float32)
        meta = {
            "task": {
                "name": "news", "kind": kind, "description": "", "language": language, "labels": dict(labels),
                "schema": {"type": "object", "properties": properties}, "input": ["text"], "target": ["label"],
                "rubric": {},
            },
            "run": {"name": name, "seed": 0},
            "config": {"budget": {}, "student": {"kind": "none"}},
            "stopped_by": "target",
        }  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        Ledger.create(folder / "ledger.sqlite", meta, samples, vectors).close()
        return folder

    return make


@pytest.fixture
def answers_of() -> Callable[[Path], list[PersonAnswer]]:
    """Return what the ledger of a run folder says that people answered."""

    def read(folder: Path) -> list[PersonAnswer]:
        with Reader(folder / "ledger.sqlite") as reader:
            return reader.people_answers()

    return read


@pytest.fixture
def accepted_of() -> Callable[[Path], list[Sample]]:
    """The accepted samples of a run folder."""

    def read(folder: Path) -> list[Sample]:
        with Reader(folder / "ledger.sqlite") as reader:
            return [sample for sample in reader.samples() if sample.origin == "synthetic"]

    return read
