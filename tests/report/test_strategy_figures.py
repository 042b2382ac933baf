"""Figures of each strategy, from ledgers of one or several, and of none."""

from pathlib import Path
from typing import Any

import numpy as np

from synthgen.ledger import Ledger, Settled
from synthgen.records import (
    Candidate,
    Completion,
    Message,
    PersonAnswer,
    PlannedSlot,
    Request,
    Sample,
    Verdict,
    content_id,
)
from synthgen.report import last_lines, summarise


def test_a_ledger_without_weights_is_few_shots_alone(run: Any) -> None:
    summary = summarise(run.path)
    assert summary["strategies"] == {
        "fewshot": {
            "share": 1.0, "groups": 1, "slots": 40, "candidates": 37, "accepted": 19, "acceptance": 0.513514,
            "rejected": summary["counts"]["rejected"], "output_tokens": 37 * 21, "tokens_per_accepted": 99.3158,
            "novelty": 0.6, "label_right": None, "answered": 0, "answers_right": None, "student_gain": None,
        }
    }  # fmt: skip
    assert summary["strategy_weights"] == []


def test_an_empty_ledger_has_no_strategy_figures(killed: Path) -> None:
    assert summarise(killed)["strategies"] == {}


def test_a_strategy_of_which_nothing_was_accepted_says_so(run: Any) -> None:
    summary = summarise(run.path)
    row = {"candidates": 4, "accepted": 0, "acceptance": 0.0, "tokens_per_accepted": None}
    summary["strategies"] |= {"evil\x1b[2J": row}
    first, second = [line for line in last_lines(summary, run.path) if line.startswith("strategies")]
    assert first.startswith(
        "strategies  fewshot 19 of 37 candidates accepted (51.4 %), 99 tokens per accepted sample; novelty 0.60; mostly "
    )
    assert second.startswith("strategies  evil") and second.endswith(" none of 4 candidates accepted")
    assert second.isprintable()


def test_what_the_student_owes_to_a_strategy_and_what_people_said_of_its_labels_stand_in_its_line(run: Any) -> None:
    summary = summarise(run.path)
    (row,) = summary["strategies"].values()
    gain = {"metric": "accuracy", "is_share": True, "mean": 0.012, "low": -0.004, "high": 0.03, "share": None}
    row |= {"label_right": 0.934, "answered": 8, "answers_right": 0.75, "rejected": {"schema": 2, "label": 9}}
    summary["strategies"] |= {"evolve": row | {"student_gain": gain}}
    second = [line for line in last_lines(summary, run.path) if line.startswith("strategies")][1]
    assert second.endswith(
        "; 93.4 % of labels right by estimate; people confirmed 75.0 % of 8; mostly rejected as label (9);"
        " student +1.2 points of accuracy (-0.4 to +3.0) by its samples"
    )


def test_answers_of_people_count_for_the_strategy_whose_samples_they_are_about(tmp_path: Path) -> None:
    rows = [({"text": f"t{number}", "label": "a"}, "fewshot" if number < 2 else "evolve") for number in range(4)]
    with Ledger.create(
        tmp_path / "ledger.sqlite", {"task": {"labels": {"a": "x", "b": "y"}, "target": ["label"]}}
    ) as ledger:
        for slot, (data, name) in enumerate(rows):
            ledger.plan([PlannedSlot(slot=slot, group=slot, label="a", strategy=name, parents=())])
            made = Candidate(
                id=content_id(data), slot=slot, item=0, text="", data=data, finish_reason="stop", parents=(), depth=1,
                strategy=name, template="", label="a",
            )  # fmt: skip
            sample = Sample(
                id=made.id,
                data=data,
                origin="synthetic",
                label="a",
                slot=slot,
                item=0,
                strategy=name,
                novelty=slot / 10,
            )
            made.embedding = np.ones(2, np.float32)
            ledger.settle(slot, "settled", [Settled(made, (Verdict(check="form"),), sample)])
        ids = [content_id(data) for data, _ in rows]
        given = zip((ids[0], ids[2], ids[3]), ("a", "b", None), strict=True)
        ledger.take_answers([PersonAnswer(key, "p", answer, 1.0) for key, answer in given])
    found = summarise(tmp_path)["strategies"]
    assert (found["fewshot"]["answered"], found["fewshot"]["answers_right"], found["fewshot"]["novelty"]) == (
        1,
        1,
        0.05,
    )
    assert (found["evolve"]["answered"], found["evolve"]["answers_right"], found["evolve"]["novelty"]) == (2, 0, 0.25)


def test_every_request_of_a_strategy_counts_as_the_generators(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger.sqlite", {}) as ledger:
        ledger.plan([PlannedSlot(slot=0, group=0, label=None, strategy="dialogue", parents=())])
        for name in ("0/generate", "0/generate-answer", "0.0/rubric"):
            request = Request(id=name, messages=(Message(role="user", content="write"),))
            ledger.sent(request, 1, 0, name.partition("/")[2])
            ledger.answered(name, 1, Completion(text="{}", finish_reason="stop", prompt_tokens=9, completion_tokens=5))
        ledger.settle(0, "settled", [])
    found = summarise(tmp_path)
    assert found["tokens"]["generator"]["requests"] == 2
    assert found["tokens"]["judge"]["completion"] == 5
    assert found["strategies"]["dialogue"]["output_tokens"] == 15
