"""Two answers to a prompt: which one is chosen, which pairs are rejected, what becomes of bad replies."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.generate.faults import ChainCheck
from synthgen.generate.strategies.prefer import PreferConfig
from synthgen.records import Completion

PROMPT = {"prompt": "How long do I boil an egg?"}
ANSWERS = [{"answer": "Six minutes for a soft one."}, {"answer": "Until done."}]


def judged(probability: float) -> Completion:
    """Return a comparison's answer in which the first sample is better with this probability."""
    logprobs = {"A": math.log(probability), "B": math.log(1 - probability)}
    return Completion(text="A" if probability > 0.5 else "B", finish_reason="stop", logprobs=(logprobs,))


def test_the_answer_that_wins_in_both_orders_is_chosen(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    made = chain(bench("prefer", "preference").asking(), PROMPT, ANSWERS, [judged(0.2), judged(0.9)])
    assert made.ids == [
        ["0/generate-prompt"], ["0/generate-answer0", "0/generate-answer1"],
        ["0/generate-compare-forward", "0/generate-compare-backward"],
    ]  # fmt: skip
    assert [request.sampling.temperature for request in made.asked[1]] == [0.3, 1.2]
    assert made.one.data == {**PROMPT, "chosen": "Until done.", "rejected": "Six minutes for a soft one."}
    assert made.one.quality == pytest.approx(0.85)
    assert made.one.given["better"] == 1
    forward, backward = (request.messages[-1].content for request in made.asked[2])
    assert forward.index("Six minutes") < forward.index("Until done.")
    assert backward.index("Until done.") < backward.index("Six minutes")
    assert "chosen" not in forward


@pytest.mark.parametrize(
    ("forward", "backward", "reason"),
    [(judged(0.9), judged(0.9), "contradicted"), (judged(0.9), judged(0.7), "contradicted"), (judged(0.51), judged(0.48), "tie"),
     (Completion(text="?", finish_reason="stop"), judged(0.1), "unscored")],
)  # fmt: skip
async def test_a_pair_without_a_winner_is_rejected(
    forward: Completion, backward: Completion, reason: str, bench: Callable[..., Any], chain: Callable[..., Any]
) -> None:
    made = chain(bench("prefer", "preference").asking(), PROMPT, ANSWERS, [forward, backward])
    assert (await ChainCheck()(made.one)).reason == reason


async def test_equal_answers_are_a_tie_without_a_comparison(
    bench: Callable[..., Any], chain: Callable[..., Any]
) -> None:
    made = chain(bench("prefer", "preference").asking(), PROMPT, [{"answer": "Six."}, {"answer": "six"}])
    assert (await ChainCheck()(made.one)).reason == "tie"
    assert len(made.asked) == 2


def test_a_bad_reply_ends_the_slot(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    assert chain(bench("prefer", "preference").asking(), "no JSON").one.data is None
    for answers in ([ANSWERS[0], "no JSON"], ["no JSON", ANSWERS[0]]):
        made = chain(bench("prefer", "preference").asking(), PROMPT, answers)
        assert made.one.data is None and made.one.text == "no JSON" and len(made.asked) == 2


def test_two_models_may_write_one_answer_each(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    cfg = PreferConfig(models=["large", "small"], temperatures=[0.7, 0.7])
    made = chain(bench("prefer", "preference", models=["large", "small"], prefer=cfg).asking(), PROMPT)
    assert [request.model for request in made.asked[1]] == ["large", "small"]
    with pytest.raises(ConfigError, match=r"generate.prefer.models: 'large' is not a model of engine.models"):
        bench("prefer", "preference", prefer=cfg)


def test_settings_and_tasks_that_do_not_fit_are_refused(bench: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"generate.prefer.temperatures: must be two numbers"):
        PreferConfig(temperatures=[0.3])
    with pytest.raises(ConfigError, match=r"generate.prefer.rejected: task 'instruction' has no field 'rejected'"):
        bench("prefer", "instruction")
