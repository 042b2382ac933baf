"""The examples of docs/extending.md do what the page says of them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthgen.engines.prompts import Prompts
from synthgen.generate.planner import Group
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import PromptingConfig
from synthgen.records import Candidate, Completion, Message, Request, Sample
from synthgen.tasks.task import Task

PAGE = Path(__file__).parents[1] / "docs/extending.md"


@pytest.fixture
def example() -> Callable[[str], Any]:
    """`example("Capitals")`: returns what the block of the page that defines this class defines."""

    def find(name: str) -> dict[str, Any]:
        blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
        (block,) = [block for block in blocks if f"class {name}:" in block]
        defined: dict[str, Any] = {"__name__": name}
        exec(compile(block, str(PAGE), "exec"), defined)
        return defined

    return find


async def test_the_check_rejects_a_text_in_capital_letters(
    example: Callable[[str], Any], news_task: Task, candidate: Callable[..., Candidate]
) -> None:
    check = example("Capitals")["Capitals"](news_task, 0.7)
    assert (await check(candidate("THE STRIKER SCORED TWICE."))).reason == "shouting"
    assert (await check(candidate())).outcome == "pass"


def test_the_strategy_asks_for_a_draft_and_then_for_a_better_version(
    example: Callable[[str], Any], news_task: Task, news_seeds: list[Sample]
) -> None:
    defined = example("Revised")
    prompting = Prompting(news_task, PromptingConfig(), Prompts(news_task.prompts), 0)
    strategy = defined["Revised"](defined["RevisedConfig"](), prompting)
    (planned,) = prompting.slots(Group(0, 0, 1, "sport", 0), strategy.name, news_seeds[:2])
    asking = strategy.ask(planned, news_seeds[:2])
    first = next(asking)
    second = asking.send(Completion(text="a draft", finish_reason="stop"))
    assert (first.id, second.id) == ("0/generate", "0/generate-revised")
    assert [message.content for message in second.messages[-2:-1]] == ["a draft"]
    with pytest.raises(StopIteration) as end:
        asking.send(Completion(text='{"text": "The striker scored twice."}', finish_reason="stop"))
    assert end.value.value[0].data == {"text": "The striker scored twice.", "label": "sport"}


async def test_the_engine_asks_a_program(example: Callable[[str], Any], tmp_path: Path) -> None:
    program = tmp_path / "answer"
    program.write_text('#!/bin/sh\ngrep -q hello && echo \'{"text": "hi", "finish_reason": "stop"}\'\n')
    program.chmod(0o755)
    defined = example("Program")
    engine = defined["Program"](defined["ProgramConfig"](command=str(program)))
    asked = Request(id="0/generate", messages=(Message(role="user", content="hello"),))
    assert (await engine.complete(asked)).text == "hi"
