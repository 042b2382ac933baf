"""Test the form of dialogues."""

from collections.abc import Callable
from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.filters.declared.kinds import declared_checks
from synthgen.records import Verdict
from synthgen.tasks.task import Task

TURNS = {"kind": "turns", "field": "turns", "first": "user", "last": "assistant", "min": 2, "max": 4}


def turns(*said: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "text": text} for role, text in said]


HELLO, HI = ("user", "Hello, is the shop open?"), ("assistant", "Yes, until six.")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([HELLO, HI], None),
        ([HELLO, HI, ("user", "Thanks!"), ("assistant", "You are welcome.")], None),
        ([("user", "你们开门吗？"), ("assistant", "开到六点。"), ("user", "谢谢！"), ("assistant", "不客气。")], None),
        ([HELLO], "turn_count"),
        ([HELLO, HI] * 3, "turn_count"),
        ([HI, HELLO], "turn_ends"),
        ([HELLO, HI, ("user", "Thanks!")], "turn_ends"),
        ([HELLO, ("user", "Anyone?"), HI], "turn_order"),
        ([HELLO, HI, ("user", "Hello! Is the shop open"), ("assistant", "It is.")], "turn_repeats"),
        ([HELLO, HI, ("user", "Is the shop open on Sunday?"), ("assistant", "No.")], None),
        (
            [("user", "你们开门吗？"), ("assistant", "开。"), ("user", "你们开门吗"), ("assistant", "是的。")],
            "turn_repeats",
        ),
    ],
)
def test_a_dialogue_has_the_form_that_its_task_asks_for(
    verdict: Callable[..., Verdict], said: list[tuple[str, str]], reason: str | None
) -> None:
    assert verdict(TURNS, turns=turns(*said)).reason == reason


def test_tool_turns_may_stand_between_roles(verdict: Callable[..., Verdict]) -> None:
    said = turns(HELLO, ("assistant", "Let me look."), ("tool", "18:00"), HI)
    assert verdict(TURNS, turns=said).outcome == "pass"


def test_a_role_may_speak_twice_where_the_task_allows_it(verdict: Callable[..., Verdict]) -> None:
    said = turns(HELLO, ("user", "Anyone?"), HI)
    assert verdict(TURNS | {"alternate": False}, turns=said).outcome == "pass"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"field": "text"}, "field: 'text' is not a list but of type string"),
        ({"role": "speaker"}, "role: 'entities[].speaker' is not a field of task.schema"),
        ({"role": "type", "max": 0}, "max: must be 2 or more, got 0"),
    ],
)
def test_wrong_keys_are_named(declaring: Callable[..., Task], change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        declared_checks(declaring(TURNS | {"field": "entities", "text": "text"} | change))
    assert message in str(caught.value)
