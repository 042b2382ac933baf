"""Requests whose last turn is unfinished: how they are spelt, and who is refused before traffic."""

from types import SimpleNamespace
from typing import Any

import pytest

from synthgen.engines.http.body import BodyWriter
from synthgen.engines.http.dialect import PRESETS, VLLM
from synthgen.errors import ConfigError
from synthgen.records import Message, Request
from synthgen.run.continues import check_continues, check_dialects

OPEN = Request(id="0/generate-instruction", messages=(Message(role="user", content=""),), continues=True)
MAGPIE: Any = SimpleNamespace(continues="magpie")
OTHERS: Any = SimpleNamespace(continues=None)


def test_vllm_is_told_to_continue_the_last_turn() -> None:
    body = BodyWriter("m", {}).body(OPEN, VLLM)
    assert (body["add_generation_prompt"], body["continue_final_message"]) == (False, True)
    other = BodyWriter("m", {}).body(OPEN.model_copy(update={"continues": False}), VLLM)
    assert not other.keys() & {"add_generation_prompt", "continue_final_message"}


def test_every_preset_says_whether_it_continues_turns() -> None:
    assert {name: preset["continues"] for name, preset in PRESETS.items() if preset["continues"]} == {"vllm": True}


def test_an_endpoint_that_cannot_continue_a_turn_is_refused_in_one_line() -> None:
    check_dialects(MAGPIE, [{"continues": True}, {"window": 4096}])
    check_dialects(OTHERS, [{"continues": False}])
    with pytest.raises(
        ConfigError, match=r"generate.strategies.magpie: needs endpoints that continue an unfinished turn"
    ):
        check_dialects(MAGPIE, [{"continues": True}, {"continues": False}])


def test_an_engine_that_cannot_continue_a_turn_is_refused_by_its_capabilities() -> None:
    engine: Any = SimpleNamespace(kind="other", capabilities=SimpleNamespace(continues=False))
    check_continues(OTHERS, engine)
    with pytest.raises(ConfigError, match="and engine=other does not"):
        check_continues(MAGPIE, engine)
