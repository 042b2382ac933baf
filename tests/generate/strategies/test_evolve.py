"""Evolve: one operation for each slot, those that fit the task or those that the config lists."""

from collections.abc import Callable

import pytest
from rewriters import Slots, make, seeds_of

from synthgen.errors import ConfigError
from synthgen.generate.kinds import GenerateConfig
from synthgen.generate.strategies.evolve import OPERATION, EvolveConfig
from synthgen.records import Sample
from synthgen.tasks.task import Task


def operations(slots: Slots) -> set[str]:
    return {planned.given[OPERATION] for planned in slots.planned}


def test_each_slot_has_one_operation_and_its_prompt_says_so(news_task: Task, news_seeds: list[Sample]) -> None:
    slots = Slots(news_task, make(news_task, "evolve"), news_seeds, "sport")
    assert operations(slots) == {"rarer", "register"}
    for place, planned in enumerate(slots.planned):
        _, (request,) = slots.ask("{}", place=place)
        says = request.messages[-1].content
        assert ("seldom happens" in says, "formal" in says) == (
            planned.given[OPERATION] == "rarer", planned.given[OPERATION] == "register"
        )  # fmt: skip


def test_instructions_can_also_become_deeper_broader_and_more_demanding(shipped: Callable[[str], Task]) -> None:
    task = shipped("instruction")
    slots = Slots(task, make(task, "evolve"), seeds_of(task), None, size=64)
    assert operations(slots) == {"deeper", "broader", "constraints", "rarer", "register"}
    _, (request,) = slots.ask("{}")
    assert "Label" not in "".join(message.content for message in request.messages)


def test_the_config_lists_the_operations(news_task: Task, news_seeds: list[Sample]) -> None:
    cfg = GenerateConfig(evolve=EvolveConfig(operations=["deeper"]))
    assert operations(Slots(news_task, make(news_task, "evolve", cfg), news_seeds, "sport")) == {"deeper"}


@pytest.mark.parametrize("name", ["spicier", "end"])
def test_an_operation_without_a_prompt_is_named(name: str, news_task: Task) -> None:
    cfg = GenerateConfig(evolve=EvolveConfig(operations=["deeper", name]))
    with pytest.raises(ConfigError, match=rf"generate\.evolve\.operations: '{name}' is no operation; use deeper, "):
        make(news_task, "evolve", cfg)
