"""Test that what a generator's adapter is trained on is what a generator is sent, answered with a seed that it is not shown."""

import json
from typing import Any

import pytest

from synthgen.engines.prompts import Prompts
from synthgen.generate.examples import exchanges
from synthgen.generate.planner import Group
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import PromptingConfig
from synthgen.generate.strategies.fewshot import FewShot, FewShotConfig
from synthgen.records import Sample
from synthgen.tasks.task import Task


def strategy(task: Task, demonstrations: int = 4, **knobs: Any) -> FewShot:
    prompting = Prompting(task, PromptingConfig(**knobs), Prompts(task.prompts), 0, "lora-1")
    return FewShot(FewShotConfig(demonstrations=demonstrations), prompting)


def test_a_seed_answers_a_prompt_that_shows_others_of_its_label(news_task: Task, news_seeds: list[Sample]) -> None:
    made = strategy(news_task, demonstrations=3)
    seeds, held_out = news_seeds[:-2], news_seeds[-2:]
    found = exchanges(made, seeds, held_out, prompts=2, items=1, seed=0)
    assert len(found) == 2 * len(seeds) + len(held_out)
    by_text = {seed.data["text"]: seed for seed in news_seeds}
    for one in found:
        shown = [by_text[json.loads(m.content)["text"]] for m in one.messages if m.role == "assistant"]
        target = by_text[json.loads(one.answer)["text"]]
        assert target.id == one.row
        foils, kin = shown[: made.foils], shown[made.foils :]
        assert {sample.label for sample in kin} == {target.label}
        assert len({sample.label for sample in foils} - {target.label}) == made.foils == 3
        assert not {sample.id for sample in shown} & {one.row, *(sample.id for sample in held_out)}
        (planned,) = made.prompting.slots(Group(0, 0, 1, target.label, 0), made.name, shown)
        assert one.messages == next(strategy(news_task, demonstrations=3).ask(planned, shown)).messages


def test_a_reply_of_several_items_is_answered_with_as_many(news_task: Task, news_seeds: list[Sample]) -> None:
    found = exchanges(strategy(news_task, items=2), news_seeds, [], prompts=1, items=2, seed=0)
    for one in found:
        items = [entry["text"] for entry in json.loads(one.answer)["items"]]
        assert len(set(items)) == 2
        assert not any(text in message.content for text in items for message in one.messages)


@pytest.mark.parametrize("items", [1, 2])
def test_a_label_with_too_few_seeds_is_not_trained(items: int, news_task: Task, news_seeds: list[Sample]) -> None:
    seeds = [seed for seed in news_seeds if seed.label == "sport"][:items]
    assert exchanges(strategy(news_task, items=items), seeds, [], prompts=3, items=items, seed=0) == []


def test_requests_ask_for_the_strategys_adapter(news_task: Task, news_seeds: list[Sample]) -> None:
    made = strategy(news_task)
    (planned,) = made.prompting.slots(Group(0, 0, 1, "sport", 0), made.name, news_seeds[:1])
    assert next(made.ask(planned, news_seeds[:1])).adapter == "lora-1"
