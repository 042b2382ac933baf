"""Questions with several solutions: who wins the vote, what is rejected, what becomes of bad replies."""

from collections.abc import Callable
from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.generate.faults import ChainCheck
from synthgen.generate.strategies.reason import ReasonConfig, majority, same_form
from synthgen.records import Completion

QUESTION = {"question": "Ann has 3 apples and buys 4 more. How many apples has she?"}


def solved(expression: str, answer: str) -> dict[str, str]:
    return {"expression": expression, "answer": answer}


def test_the_answer_of_most_solutions_is_kept_with_its_share(
    bench: Callable[..., Any], chain: Callable[..., Any]
) -> None:
    one = bench("reason", "word_sums", reason=ReasonConfig(solutions=5))
    replies = [
        solved("3+4", "7"),
        solved("3*4", "12"),
        solved("3 + 4 + 0", "7"),
        solved("3*4", "12"),
        solved("4+3", "7.0"),
    ]
    made = chain(one.asking(), QUESTION, replies)
    assert made.ids == [["0/generate-question"], [f"0/generate-solution{n}" for n in range(5)]]
    assert made.one.data == {**QUESTION, **solved("3+4", "7")}
    assert (made.one.quality, made.one.given) == (0.6, {"share": 0.6, "solutions": 5})
    assert made.one.parents == one.plan()[0].parents and made.one.depth == 1


def test_solutions_of_one_question_differ_in_their_seed_alone(
    bench: Callable[..., Any], chain: Callable[..., Any]
) -> None:
    made = chain(bench("reason", "word_sums").asking(), QUESTION)
    first, *others = made.asked[1]
    assert all(other.messages is first.messages or other.messages == first.messages for other in others)
    assert len({request.sampling.seed for request in made.asked[1]}) == 5
    assert QUESTION["question"] in first.messages[-1].content


@pytest.mark.parametrize(("agreement", "outcome"), [(0.5, "reject"), (0.2, "pass"), (0.0, "pass")])
async def test_solutions_that_the_evaluator_refutes_have_no_vote(
    agreement: float, outcome: str, bench: Callable[..., Any], chain: Callable[..., Any]
) -> None:
    replies = [solved("3*4", "7"), solved("3*4", "7"), solved("3*4", "7"), solved("3+4", "8"), solved("10-3", "7")]
    made = chain(bench("reason", "word_sums", reason=ReasonConfig(agreement=agreement)).asking(), QUESTION, replies)
    assert made.one.data["expression"] == "10-3"
    assert made.one.quality == 0.2
    verdict = await ChainCheck()(made.one)
    assert (verdict.outcome, verdict.reason) == (outcome, None if outcome == "pass" else "no_agreement")


async def test_a_question_without_a_right_solution_is_left_to_the_evaluator(
    bench: Callable[..., Any], chain: Callable[..., Any]
) -> None:
    made = chain(bench("reason", "word_sums").asking(), QUESTION, [solved("3*4", "7")] * 5)
    assert (made.one.data["answer"], made.one.quality) == ("7", 0.0)
    assert (await ChainCheck()(made.one)).outcome == "pass"


async def test_too_little_agreement_is_a_reason_of_its_own(
    bench: Callable[..., Any], chain: Callable[..., Any]
) -> None:
    one = bench("reason", "instruction", reason=ReasonConfig(solutions=3, agreement=0.6))
    replies = [{"output": "Paris"}, {"output": "London"}, {"output": "Rome"}]
    made = chain(one.asking(), {"instruction": "Name a European capital.", "input": ""}, replies)
    verdict = await ChainCheck()(made.one)
    assert (verdict.outcome, verdict.reason) == ("reject", "no_agreement")
    assert verdict.score == pytest.approx(1 / 3)


async def test_enough_agreement_passes_the_check(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    one = bench("reason", "instruction", reason=ReasonConfig(solutions=3, agreement=0.6))
    replies = [{"output": "Paris"}, {"output": "paris."}, {"output": "Rome"}]
    made = chain(one.asking(), {"instruction": "Name a capital.", "input": ""}, replies)
    assert (await ChainCheck()(made.one)).outcome == "pass"


def test_a_question_that_cannot_be_read_ends_the_slot(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    for bad in ("no JSON", {"other": 1}, '["a"]'):
        made = chain(bench("reason", "word_sums").asking(), bad)
        assert made.one.data is None and len(made.asked) == 1
    cut = Completion(text='{"question": "An', finish_reason="length")
    assert chain(bench("reason", "word_sums").asking(), cut).one.finish_reason == "length"


def test_solutions_that_cannot_be_read_lose_their_vote(bench: Callable[..., Any], chain: Callable[..., Any]) -> None:
    replies = ["no", "no", solved("3+4", "7"), "no", "no"]
    made = chain(bench("reason", "word_sums").asking(), QUESTION, replies)
    assert made.one.quality == 0.2
    assert chain(bench("reason", "word_sums").asking(), QUESTION, ["no"] * 5).one.data is None


@pytest.mark.parametrize(
    ("one", "other"), [("7", "7.00"), ("1,200", "1200"), ("$5", "5"), ("Paris.", "paris"), (3, "3")]
)
def test_answers_of_one_form_are_equal(one: object, other: object) -> None:
    assert same_form(one) == same_form(other)


def test_the_first_of_equally_frequent_answers_wins() -> None:
    samples = [{"a": "x", "w": "long way"}, {"a": "y"}, {"a": "x", "w": ""}, {"a": "y"}]
    assert majority(samples, "a") == ({"a": "x", "w": ""}, 2)


def test_a_task_that_does_not_fit_is_refused(bench: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"generate.strategies.reason: task 'news_topic' asks each slot for a label"):
        bench("reason", "news_topic")
    with pytest.raises(ConfigError, match=r"generate.reason.answer: 'question' is not a field of the solution"):
        bench("reason", "word_sums", reason=ReasonConfig(answer="question"))
    with pytest.raises(ConfigError, match=r"generate.reason.question: task 'word_sums' has no field 'questoin'"):
        bench("reason", "word_sums", reason=ReasonConfig(question=["questoin"]))
