"""Instructions that the model writes in an empty turn of the user: the open turn, its cleaning, engines that cannot."""

from collections.abc import Callable
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.errors import ConfigError
from synthgen.generate.strategies.magpie import MagpieConfig
from synthgen.records import Completion


def test_the_user_turn_is_left_open_and_then_answered(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    made = chain(
        bench("magpie", "instruction").asking(), '"Name three kinds of bread."', {"output": "Rye, oat, wheat."}
    )
    (opening,), (answer,) = made.asked
    assert (opening.continues, opening.grammar, opening.sampling.temperature) == (True, None, 1.0)
    assert (opening.messages[-1].role, opening.messages[-1].content) == ("user", "")
    assert not answer.continues
    assert answer.messages[-1].content == "Name three kinds of bread."
    assert made.one.data == {"instruction": "Name three kinds of bread.", "input": "", "output": "Rye, oat, wheat."}
    assert (made.one.parents, made.one.depth) == ((), 1)


def test_the_prompt_may_be_the_empty_turn_alone(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    made = chain(bench("magpie", "instruction", magpie=MagpieConfig(system=False)).asking())
    assert [(message.role, message.content) for message in made.asked[0][0].messages] == [("user", "")]


def test_an_instruction_that_was_cut_off_ends_with_a_whole_sentence(
    bench: Callable[..., Any], chain: Callable[..., Any]
) -> None:
    cut = Completion(text="Name three kinds of bread. Then say which of them", finish_reason="length")
    made = chain(bench("magpie", "instruction").asking(), cut, {"output": "Rye."})
    assert made.one.data["instruction"] == "Name three kinds of bread."
    long = "Name three kinds of bread. " * 20
    made = chain(bench("magpie", "instruction").asking(), long, {"output": "Rye."})
    assert len(made.one.data["instruction"]) <= 160 and made.one.data["instruction"].endswith("bread.")


@pytest.mark.parametrize("empty", ["", '""', " \n"])
def test_an_empty_instruction_is_not_answered(empty: str, bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    made = chain(bench("magpie", "instruction").asking(), empty)
    assert made.one.data is None and len(made.asked) == 1


def test_a_bad_answer_ends_the_slot(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    assert chain(bench("magpie", "instruction").asking(), "Name a bread.", "Rye").one.data is None


def test_tasks_that_do_not_fit_are_refused(bench: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="task 'word_sums' needs the input field 'expression' besides 'question'"):
        bench("magpie", "word_sums", changes={"input": ["question", "expression"]})
    with pytest.raises(ConfigError, match="task 'tool_calls' asks each slot for a label"):
        bench("magpie", "tool_calls")


def test_an_engine_that_cannot_continue_a_turn_is_refused_by_validate(capsys: pytest.CaptureFixture[str]) -> None:
    openai = ["engine=openai", "engine.urls=[http://127.0.0.1:9/v1]", "engine.model=x", "engine.dialect.preset=ollama"]
    assert dispatch(["validate", "task=instruction", "generate=magpie", *openai]) == 2
    said = capsys.readouterr().err
    assert "generate.strategies.magpie: needs an engine that continues an unfinished turn of the user" in said
