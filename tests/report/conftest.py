"""A small run, written through the real Ledger, with one candidate of every fate and hostile texts."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthgen.ledger import Ledger, Settled
from synthgen.records import Candidate, Completion, Message, PlannedSlot, Request, Sample, Verdict, content_id

HOSTILE = [
    "<script>alert('x')</script> & <b>bold</b>",
    "\x1b[31mred\x1b[0m and \x07 bell",
    "今天北京的天气怎么样？",
    "party time 🎉👩‍👩‍👧 tonight",
    "abc\u202egnp.exe and \u2066isolated\u2069",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "line one\nline two\u2028line three",
    "| pipe | `code` *stars* [link](javascript:alert(1))",
]
LABELS = {"weather": "forecasts", "music": "songs", "<i>odd</i>": "a label that is markup"}
TASK = {
    "name": "intents",
    "kind": "classification",
    "description": "Things people say & <mean>.",
    "language": "en",
    "schema": {
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 2, "maxLength": 120},
            "label": {"enum": list(LABELS)},
        },
        "required": ["text", "label"],
    },
    "input": ["text"],
    "target": ["label"],
    "labels": LABELS,
    "rubric": {"natural": "It sounds natural."},
}
STUDENT = {
    "metric": "accuracy",
    "eval_rows": 90,
    "seeds_only": {"mean": 0.7, "low": 0.6, "high": 0.8},
    "synthetic": {"mean": 0.8, "low": 0.72, "high": 0.88},
    "gain": {"mean": 0.1, "low": 0.02, "high": 0.18},
    "is_gain": True,
    "higher_is_better": True,
}
META: dict[str, Any] = {
    "run": {"name": "demo", "seed": 7, "versions": {"synthgen": "0.1.0", "python": "3.11"}},
    "engine": {"name": "replay", "version": "1", "model": "/home/somebody/models/smol-135m"},
    "task": TASK,
    "target": 30,
    "stopped_by": "max_slots",
    "seconds": {"engine_start": 2.0, "loop": 10.0, "student": 5.0, "total": 18.0},
    "student": STUDENT,
    "fingerprint": {"task": "abc"},
    "config": {
        "diversity": {"threshold": 0.9, "embedder": "/home/somebody/minilm"},
        "judge": {"rubric": {"threshold": 2.5}},
        "run": {"name": "<script>config</script>"},
    },
}


def vector(text: str) -> np.ndarray:
    """A unit vector of shape (16,) that depends on the text alone."""
    digest = hashlib.sha256(text.encode()).digest()
    numbers = np.frombuffer(digest[:16], dtype=np.uint8).astype(np.float32) - 127.5
    return numbers / np.linalg.norm(numbers)


def seed_sample(index: int) -> Sample:
    data = {"text": f"seed sentence number {index}", "label": list(LABELS)[index % 3]}
    return Sample(id=content_id(data), data=data, origin="seed", label=data["label"])


PASS = [Verdict(check=name) for name in ("form", "text", "exact", "eval")]


def fate(slot: int, text: str, seeds: list[Sample]) -> list[Verdict]:
    """The verdicts of the candidate of one slot: each kind of slot dies in its own way."""
    near = Verdict(check="near", score=0.4, details={"neighbour": seeds[0].id})
    label = Verdict(
        check="label", score=0.8, details={"probabilities": {"weather": 0.8, "music": 0.15, "<i>odd</i>": 0.05}}
    )
    rubric = Verdict(check="rubric", score=4.0, details={"natural": 4.0})
    match slot % 10:
        case 0:
            return [Verdict(check="form", outcome="reject", reason="schema", details={"problem": f"text: {text}"})]
        case 1:
            return [
                *PASS[:2],
                Verdict(
                    check="exact", outcome="reject", reason="duplicate", score=1.0, details={"neighbour": seeds[1].id}
                ),
            ]
        case 2:
            return [
                *PASS,
                Verdict(
                    check="near",
                    outcome="reject",
                    reason="near_duplicate",
                    score=0.97,
                    details={"neighbour": seeds[2].id},
                ),
            ]
        case 3:
            details = {"probabilities": {"weather": 0.1, "music": 0.85, "<i>odd</i>": 0.05}, "answer": "music"}
            return [*PASS, near, Verdict(check="label", outcome="reject", reason="label", score=0.1, details=details)]
        case 4 if slot < 10:
            return [*PASS, near, label, Verdict(check="rubric", outcome="unscored", reason="unscored")]
        case 5 if slot < 10:  # asked again when its turn to be accepted comes, and then too close
            late = Verdict(
                check="near", outcome="reject", reason="near_duplicate", score=0.95, details={"neighbour": seeds[0].id}
            )
            return [*PASS, near, label, rubric, late]
        case _:
            return [*PASS, near, label, rubric]


def settled(slot: int, seeds: list[Sample]) -> Settled:
    text = f"{HOSTILE[slot % len(HOSTILE)]} {slot}"
    labels = list(LABELS)
    data = None if slot % 10 == 0 else {"label": labels[slot % 3], "text": text}
    verdicts = fate(slot, text, seeds)
    candidate = Candidate(
        id=content_id(data or text), slot=slot, item=0, text=text, data=data, finish_reason="stop",
        parents=(seeds[0].id,), depth=1 + slot % 2, strategy="fewshot", template="t", label=labels[slot % 3],
        embedding=vector(text),
    )  # fmt: skip
    sample = None
    if verdicts[-1].outcome == "pass" and data is not None:
        sample = Sample(
            id=content_id(data), data=data, origin="synthetic", label=candidate.label, slot=slot, item=0,
            parents=candidate.parents, depth=candidate.depth, strategy="fewshot", template="t",
            quality=0.9, novelty=0.6,
        )  # fmt: skip
    return Settled(candidate, tuple(verdicts), sample)


@dataclass
class RunFolder:
    """Hold where a run lies, and what was put into it."""

    path: Path
    hostile: list[str]
    accepted: int = 0
    rejected: dict[str, int] = field(default_factory=dict)


def build_run(path: Path, slots: int = 40, seeds: int = 6, meta: dict[str, Any] | None = None) -> RunFolder:
    """A run folder with a ledger of `slots` slots, the last three of them never answered."""
    path.mkdir(parents=True, exist_ok=True)
    run = RunFolder(path, HOSTILE)
    human = [seed_sample(i) for i in range(seeds)]
    with Ledger.create(path / "ledger.sqlite", META if meta is None else meta) as ledger:
        ledger.add_seeds(human, [vector(s.data["text"]) for s in human])
        ledger.plan(
            [
                PlannedSlot(slot=i, group=0, label=list(LABELS)[i % 3], strategy="fewshot", parents=(human[0].id,))
                for i in range(slots)
            ]
        )
        for slot in range(max(0, slots - 3)):
            request = Request(id=f"{slot}/generate", messages=(Message(role="user", content="write"),))
            ledger.sent(request, 0, slot, "generate")
            ledger.answered(
                request.id,
                0,
                Completion(
                    text="{}",
                    finish_reason="stop",
                    prompt_tokens=100,
                    cached_tokens=80,
                    completion_tokens=20,
                    engine="e",
                ),
            )
            judge = Request(id=f"{slot}.0/label", messages=(Message(role="user", content="which"),))
            ledger.sent(judge, 0, slot, "label")
            ledger.answered(
                judge.id,
                0,
                Completion(
                    text="x", finish_reason="stop", prompt_tokens=50, cached_tokens=40, completion_tokens=1, engine="e"
                ),
            )
            entry = settled(slot, human)
            if entry.sample:
                run.accepted += 1
            else:
                reason = entry.verdicts[-1].reason or ""
                run.rejected[reason] = run.rejected.get(reason, 0) + 1
            ledger.settle(slot, "settled", [entry])
    return run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return build_run(tmp_path / "demo")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """Builds a run with other slots, seeds, or meta keys changed."""
    numbers = iter(range(100))

    def make(slots: int = 40, seeds: int = 6, **changed: Any) -> RunFolder:
        return build_run(tmp_path / f"run{next(numbers)}", slots, seeds, {**META, **changed})

    return make


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A run folder whose run was killed before it wrote anything but an empty ledger."""
    folder = tmp_path / "killed"
    folder.mkdir()
    Ledger.create(folder / "ledger.sqlite", {}).close()
    return folder


@pytest.fixture
def student() -> dict[str, Any]:
    """Return what a finished student reports: a gain."""
    return json.loads(json.dumps(STUDENT))
