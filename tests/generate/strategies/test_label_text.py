"""Real texts: each is used once, by its likely label; the run ends when they are used up, and goes on exactly."""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deaths import NOUNS, survives

from synthgen.cli import dispatch
from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError, InputError
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool, PoolConfig
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import PromptingConfig
from synthgen.generate.strategies.label_text import TEXT, LabelText, LabelTextConfig
from synthgen.generate.strategy import Resources
from synthgen.ledger.order import SampleOrder
from synthgen.records import PROPOSED, Completion, Json, PlannedSlot, Sample
from synthgen.tasks.task import Task
from synthgen.tasks.texts import read_texts

ROWS: list[Json] = [{"text": text} for text in ("goal goal", "bank bank", "vote vote", "goal bank", "atom atom")]
WORDS = {"sport": "goal", "business": "bank", "world": "vote", "science": "atom"}


async def _embed(texts: Sequence[str]) -> Any:
    """One dimension a label: a text's word, or a label's name."""
    names = list(WORDS)
    rows = [[float(text.count(WORDS[name]) + 2 * text.startswith(name)) for name in names] for text in texts]
    return np.asarray([np.asarray(row) / max(1e-9, float(np.linalg.norm(row))) for row in rows], dtype=np.float32)


def resources(given: Sequence[Json] = ()) -> Resources:
    async def none(_: Any) -> Completion:
        raise AssertionError("no request")

    return Resources(none, _embed, lambda _: None, lambda _: given)


@pytest.fixture
def made(news_task: Task) -> Callable[..., LabelText]:
    def make(rows: Sequence[Json] = ROWS, task: Task = news_task, **settings: Any) -> LabelText:
        prompting = Prompting(task, PromptingConfig(), Prompts(task.prompts), 0)
        return LabelText(LabelTextConfig(**settings), prompting, rows, [], 0)

    return make


def plan(strategy: LabelText, label: str | None, size: int = 1, first: int = 0) -> list[PlannedSlot]:
    def find(_: str) -> Sample:
        raise AssertionError("nothing is shown")

    pool = Pool(PoolConfig(), SampleOrder(), find)
    return strategy.plan(Group(0, first, size, label, 0), random.Random(0), pool)


def texts_of(slots: Sequence[PlannedSlot]) -> list[str]:
    return [ROWS[slot.given[TEXT]["number"] - 1]["text"] for slot in slots if slot.given]


def test_a_label_gets_the_unused_text_that_most_probably_has_it(made: Callable[..., LabelText]) -> None:
    strategy = made(explore=0.0)
    asyncio.run(_begun(strategy))
    assert texts_of(plan(strategy, "sport")) == ["goal goal"]
    assert texts_of(plan(strategy, "sport")) == ["goal bank"]
    assert texts_of(plan(strategy, "business")) == ["bank bank"]


def test_each_text_is_used_once_and_slots_without_a_text_bring_nothing(made: Callable[..., LabelText]) -> None:
    strategy = made()
    slots = plan(strategy, "sport", size=8)
    assert sorted(texts_of(slots)) == sorted(row["text"] for row in ROWS) and strategy.left(None, 0) == 0
    assert [list(strategy.ask(slot, [])) for slot in slots] == [[]] * 8  # no requests
    assert len([slot for slot in slots if _candidates(strategy, slot)]) == 5


def test_a_later_session_leaves_out_the_texts_of_earlier_slots(made: Callable[..., LabelText]) -> None:
    first, later = made(), made()
    asyncio.run(_begun(first))
    used = plan(first, "sport", size=3)
    rest = plan(first, "world", size=2, first=3)
    asyncio.run(_begun(later, [slot.given for slot in used]))
    assert later.left(None, 0) == 2
    assert {slot.given[TEXT]["id"] for slot in plan(later, "world", size=2, first=3)} == {
        slot.given[TEXT]["id"] for slot in rest
    }


def test_a_candidate_has_its_likeliest_label_as_a_proposal_that_is_no_evidence(made: Callable[..., LabelText]) -> None:
    strategy = made(explore=0.0)
    asyncio.run(_begun(strategy))
    (slot,) = plan(strategy, "sport")
    (candidate,) = _candidates(strategy, slot)
    assert candidate.data == {"text": "goal goal", "label": "sport"}
    assert candidate.given[PROPOSED] == "sport" and candidate.given[TEXT]["number"] == 1
    assert candidate.parents == () and candidate.depth == 1 and candidate.strategy == "label_text"


def test_the_model_writes_the_other_fields_and_a_bad_reply_is_no_sample(
    made: Callable[..., LabelText], news_task: Task
) -> None:
    schema = {**news_task.schema, "required": ["text", "label", "why"]}
    schema["properties"] = {**schema["properties"], "why": {"type": "string", "maxLength": 40}}
    strategy = made(task=replace(news_task, schema=schema), demonstrations=1, rows=[{"text": "ignore all <marks>"}])
    pool = Pool(PoolConfig(), SampleOrder(), lambda _: None)  # type: ignore[arg-type,return-value]
    (slot,) = strategy.plan(Group(0, 0, 1, "sport", 0), random.Random(0), pool)
    for text, data in ((json.dumps({"why": "a goal"}), "a goal"), ("no JSON", None)):
        asking = strategy.ask(slot, [])
        request = next(asking)
        mark = request.messages[-1].content.split("]")[0]
        assert request.messages[-1].content.count(mark + "]") == 2 and request.id == "0/generate-fields"
        with pytest.raises(StopIteration) as end:
            asking.send(Completion(text=text, finish_reason="stop"))
        (candidate,) = end.value.value
        assert (candidate.data or {}).get("why") == data


def test_without_texts_the_cure_is_named(made: Callable[..., LabelText]) -> None:
    with pytest.raises(ConfigError, match=r"label_text: needs real texts; set task\.texts"):
        made(rows=[])


def test_a_text_file_gives_each_different_line(tmp_path: Path, news_task: Task) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("one text\n\n  two texts \none text\n")
    assert list(read_texts(file, news_task)) == [{"text": "one text"}, {"text": "two texts"}]
    file.write_text("\n")
    with pytest.raises(InputError, match="write one text a line"):
        read_texts(file, news_task)
    with pytest.raises(ConfigError, match="one input field of type string"):
        read_texts(file, replace(news_task, input=("text", "label")))


def test_the_progress_of_ranking_is_reported(made: Callable[..., LabelText], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthgen.generate.strategies.label_text._AT_ONCE", 2)
    monkeypatch.setattr("synthgen.generate.strategies.label_text._SAY_EVERY", -1.0)
    said: list[str] = []
    asyncio.run(made().begin(replace(resources(), say=said.append)))
    assert said[1:] == [f"{done} of 5 texts embedded" for done in (2, 4, 5)]


@pytest.mark.slow
def test_guessed_labels_that_nothing_checks_are_reported_and_the_card_says_that_texts_are_real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text(
        "The striker scored twice in the cup final.\nThe bank raised its rates by a quarter.\n"
    )
    run = ["experiment=smoke", "generate=label_text", "task.texts=texts.txt", "budget.target=4"]
    assert dispatch(["validate", *run]) == 0
    assert "nothing decides the labels" not in capsys.readouterr().out
    assert dispatch(["run", *run, "judge=none", "run.dir=whole"]) == 3
    assert "label_text: nothing decides the labels of the real texts" in "".join(capsys.readouterr())
    card = Path("whole/dataset/README.md").read_text()
    assert "Models labelled this dataset" in card and "2 of its 22 samples are real texts" in card
    assert "Their labels come from a classifier" in card
    assert "dataset is synthetic" not in card and "prompt" not in card.partition("Rejected candidates")[0]


@pytest.mark.slow
def test_a_run_ends_when_its_texts_are_used_up_and_continues_exactly_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"The {a} near the {b} surprised every {c} today." for a in NOUNS for b in NOUNS for c in NOUNS[:2]]
    Path("texts.txt").write_text("\n".join(lines[:90]))
    run = [
        "run",
        "experiment=smoke",
        "generate=label_text",
        "task.texts=texts.txt",
        "budget.target=500",
        "engine.in_flight=4",
    ]
    survives(run, dies_after=25, code=3)
    assert "every text of task.texts is used" in capsys.readouterr().out
    assert dispatch(["status", "whole"]) == 0
    assert "go on with  synthgen resume whole task.texts=MORE_TEXTS --fork whole-2" in capsys.readouterr().out


async def _begun(strategy: LabelText, given: Sequence[Json] = ()) -> None:
    with_given = resources(given)
    await strategy.restore(await strategy.begin(with_given), with_given)


def _candidates(strategy: LabelText, slot: PlannedSlot) -> Any:
    with pytest.raises(StopIteration) as end:
        next(strategy.ask(slot, []))
    return end.value.value
