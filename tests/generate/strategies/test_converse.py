"""Dialogues played turn by turn: whose turn it is, when they end, what becomes of bad replies."""

from collections.abc import Callable
from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.filters.declared.kinds import DeclaredChecks
from synthgen.generate.strategies.converse import ConverseConfig
from synthgen.generate.strategy import Requests

OPENING = {"persona": "A baker who loves rye.", "goal": "learn to bake a rye loaf"}


def user(text: str, done: bool = False) -> dict[str, object]:
    return {"text": text, "done": done}


def said(text: str) -> dict[str, str]:
    return {"text": text}


TALK = [user("How do I begin?"), said("With a sourdough."), user("How long?"), said("Five days."), user("Thanks!", True),
        said("Good luck.")]  # fmt: skip


def of_length(one: Any, most: int) -> Any:
    planned = one.plan()[0]
    return one.asking(planned.model_copy(update={"given": {**planned.given, "most_turns": most}}))


def test_user_and_assistant_speak_in_turn_until_the_limit(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    one = bench("converse", "dialogue")
    made = chain(of_length(one, 4), OPENING, *TALK)
    assert made.ids == [["0/generate-opening"], *([f"0/generate-turn{n}"] for n in range(4))]
    assert made.one.data["persona"] == OPENING["persona"]
    assert [turn["role"] for turn in made.one.data["turns"]] == ["user", "assistant"] * 2
    assert made.one.given == {"most_turns": 4, "goal": OPENING["goal"], "ended": "most_turns"}
    assert list(DeclaredChecks(one.task).problems(made.one.data)) == []


def test_each_role_sees_its_own_turns_as_its_own(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    made = chain(of_length(bench("converse", "dialogue"), 4), OPENING, *TALK)
    assistant, user_again = made.asked[2][0].messages, made.asked[3][0].messages
    assert (assistant[-1].role, assistant[-1].content) == ("user", "How do I begin?")
    assert [message.role for message in user_again] == ["system", "user", "assistant", "user"]
    assert user_again[-1].content == "With a sourdough."
    assert OPENING["goal"] in user_again[0].content and OPENING["persona"] in assistant[0].content
    assert made.asked[3][0].messages[:3] == (*made.asked[1][0].messages, user_again[2])  # the prefix cache holds them


def test_a_user_who_is_done_ends_the_dialogue_after_the_answer(
    bench: Callable[..., Any], chain: Callable[..., Any]
) -> None:
    made = chain(of_length(bench("converse", "dialogue"), 6), OPENING, user("Thanks, bye.", True), said("Bye."))
    assert len(made.one.data["turns"]) == 2
    assert made.one.given["ended"] == "done"


def test_a_goal_of_the_config_is_drawn_for_each_group(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    one = bench("converse", "dialogue", converse=ConverseConfig(goals=["cancel an order"]))
    planned = one.plan(size=3)
    assert {slot.given["goal"] for slot in planned} == {"cancel an order"}
    made = chain(one.asking(planned[0]), {"persona": "A shop assistant."}, *TALK)
    assert "cancel an order" in made.asked[0][0].messages[-1].content
    assert made.one.given["goal"] == "cancel an order"


def test_fields_behind_the_dialogue_are_asked_for_last(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    one = bench("converse", "tool_calls")
    planned = one.plan(label="set_timer")[0]
    planned = planned.model_copy(update={"given": {"most_turns": 1}})
    made = chain(
        one.asking(planned), {"goal": "boil an egg"}, user("Tell me in 6 minutes."), {"arguments": '{"minutes": 6}'}
    )
    assert made.ids[-1] == ["0/generate-closing"]
    assert made.one.data == {
        "tool": "set_timer", "turns": [{"role": "user", "text": "Tell me in 6 minutes."}], "arguments": '{"minutes": 6}',
    }  # fmt: skip
    assert "set_timer" in made.asked[1][0].messages[0].content


def test_a_bad_reply_at_any_step_ends_the_slot(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    good = [OPENING, *TALK[:4]]
    for step in range(len(good)):
        made = chain(of_length(bench("converse", "dialogue"), 4), *good[:step], "no JSON")
        assert made.one.data is None and made.one.text == "no JSON" and len(made.asked) == step + 1


def test_lengths_follow_from_task_and_config(bench: Callable[..., Any]) -> None:
    assert bench("converse", "dialogue").strategy.requests == Requests(5.0, 7)
    assert {slot.given["most_turns"] for slot in bench("converse", "dialogue").plan(size=40)} == {2, 4, 6}
    short = bench("converse", "dialogue", converse=ConverseConfig(turns=2, goals=["x"]))
    assert short.strategy.requests == Requests(3.0, 3)


def test_another_model_may_play_the_user(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    cfg = ConverseConfig(user_model="small")
    made = chain(of_length(bench("converse", "dialogue", models=["large", "small"], converse=cfg), 2), OPENING, *TALK)
    assert [step[0].model for step in made.asked] == [None, "small", None]
    with pytest.raises(ConfigError, match=r"generate.converse.user_model: 'small' is not a model of engine.models"):
        bench("converse", "dialogue", converse=cfg)


def test_a_task_without_a_dialogue_is_refused(bench: Callable[..., Any]) -> None:
    with pytest.raises(
        ConfigError, match=r"generate.strategies.converse: task 'news_topic' has no dialogue of two roles"
    ):
        bench("converse", "news_topic")
    with pytest.raises(
        ConfigError, match=r"generate.converse.turns: task 'dialogue' has no dialogue of at most 1 turns"
    ):
        bench("converse", "dialogue", converse=ConverseConfig(turns=1))
