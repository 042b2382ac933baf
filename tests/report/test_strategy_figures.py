"""Figures of each strategy, from ledgers of one or several, and of none."""

from pathlib import Path
from typing import Any

from synthgen.ledger import Ledger
from synthgen.records import Completion, Message, PlannedSlot, Request
from synthgen.report import last_lines, summarise


def test_a_ledger_without_weights_is_few_shots_alone(run: Any) -> None:
    assert summarise(run.path)["strategies"] == {
        "fewshot": {
            "share": 1.0, "groups": 1, "slots": 40, "candidates": 37, "accepted": 19, "acceptance": 0.513514,
            "output_tokens": 37 * 21, "tokens_per_accepted": 99.3158,
        }
    }  # fmt: skip


def test_an_empty_ledger_has_none(killed: Path) -> None:
    assert summarise(killed)["strategies"] == {}


def test_a_strategy_of_which_nothing_was_accepted_says_so(run: Any) -> None:
    summary = summarise(run.path)
    row = {"candidates": 4, "accepted": 0, "acceptance": 0.0, "tokens_per_accepted": None}
    summary["strategies"] |= {"evil\x1b[2J": row}
    (line,) = [line for line in last_lines(summary, run.path) if line.startswith("strategies")]
    assert line.startswith("strategies  fewshot 19 of 37 candidates (51.4 %), 99 tokens each; evil")
    assert line.endswith(" none of 4 candidates")
    assert line.isprintable()


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
