"""The replay engine: answers within the grammar, the same for the same request, with faults as configured."""

import asyncio
import json
import math
import time
from collections import Counter
from typing import Any

import jsonschema_rs
import pytest

from synthgen.engines.fake.replay import ReplayConfig, ReplayEngine
from synthgen.engines.grammar.schema import choice, sample_grammar
from synthgen.errors import ConfigError, EngineDeadError, FatalRequestError, RetryableError
from synthgen.records import Completion, Grammar, Message, Request, Sampling
from synthgen.tasks.task import Task

EVERYTHING: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "minLength": 10, "maxLength": 30},
        "short": {"type": "string", "maxLength": 2},
        "mood": {"enum": ["glad", "sad"]},
        "version": {"const": 1},
        "count": {"type": "integer", "minimum": 300},
        "debt": {"type": "integer", "maximum": -5},
        "share": {"type": "number"},
        "true": {"type": "boolean"},
        "none": {"type": "null"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 5},
        "inner": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}
EVERYTHING["required"] = list(EVERYTHING["properties"])


def request(
    number: int = 0, grammar: Grammar | None = None, asked: str = "for the label: sport", **sampling: Any
) -> Request:
    message = Message(role="user", content=asked)
    return Request(id=f"{number}/generate", messages=(message,), grammar=grammar, sampling=Sampling(**sampling))


async def answers(engine: ReplayEngine, count: int, grammar: Grammar | None = None) -> list[Completion]:
    return [await engine.complete(request(number, grammar)) for number in range(count)]


async def test_every_answer_is_within_its_json_schema() -> None:
    validator = jsonschema_rs.validator_for(EVERYTHING)
    grammar = Grammar(kind="json_schema", spec=EVERYTHING)
    for completion in await answers(ReplayEngine(ReplayConfig(), seed=0), 50, grammar):
        assert [error.message for error in validator.iter_errors(json.loads(completion.text))] == []


async def test_the_scripted_writer_never_repeats_itself(news_task: Task) -> None:
    grammar = sample_grammar(news_task.free_schema, 1, 256)
    texts = [completion.text for completion in await answers(ReplayEngine(ReplayConfig(), seed=0), 300, grammar)]
    assert len(set(texts)) == 300


async def test_a_request_gets_the_same_answer_in_whatever_order_and_another_for_another_seed() -> None:
    first = await answers(ReplayEngine(ReplayConfig(), seed=1), 5)
    again = ReplayEngine(ReplayConfig(), seed=1)
    assert [await again.complete(request(number)) for number in reversed(range(5))] == first[::-1]
    assert await answers(ReplayEngine(ReplayConfig(), seed=2), 5) != first


async def test_an_answer_ends_with_the_label_that_was_asked_for() -> None:
    completion = await ReplayEngine(ReplayConfig(), 0).complete(request(asked="a text for the label: sport"))
    assert completion.text.endswith(" sport")


async def test_tokens_are_counted() -> None:
    completion = await ReplayEngine(ReplayConfig(), 0).complete(request(asked="x" * 400))
    assert completion.prompt_tokens == 100
    assert completion.completion_tokens == len(completion.text) // 4


async def test_a_choice_is_answered_with_the_option_that_the_question_names_last() -> None:
    options = choice(["business", "sport"])
    asked = "business or sport? [x] a text on business [x]"
    engine = ReplayEngine(ReplayConfig(approve=1), 0)
    completion = await engine.complete(request(grammar=options, asked=asked, logprobs=5))
    assert completion.text == "business"
    assert sum(math.exp(logprob) for logprob in completion.logprobs[0].values()) == pytest.approx(1)
    assert max(completion.logprobs[0], key=lambda option: completion.logprobs[0][option]) == "business"


async def test_logprobs_come_only_when_asked_for() -> None:
    assert (await ReplayEngine(ReplayConfig(), 0).complete(request(grammar=choice("12345")))).logprobs == ()


async def test_the_judge_approves_of_the_configured_share() -> None:
    engine = ReplayEngine(ReplayConfig(approve=0.7), seed=0)
    grades = Counter(completion.text for completion in await answers(engine, 500, choice("12345")))
    assert set(grades) == {"1", "5"}
    assert grades["5"] / 500 == pytest.approx(0.7, abs=0.06)


async def test_repeats_and_broken_answers_have_the_configured_shares() -> None:
    grammar = Grammar(kind="json_schema", spec=EVERYTHING)
    completions = await answers(ReplayEngine(ReplayConfig(repeat=0.5), seed=0), 200, grammar)
    (_, most), *_ = Counter(completion.text for completion in completions).most_common(1)
    assert most == pytest.approx(100, abs=25)
    cut = [
        c for c in await answers(ReplayEngine(ReplayConfig(broken=0.3), 0), 200, grammar) if c.finish_reason != "stop"
    ]
    assert len(cut) == pytest.approx(60, abs=20)
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut[0].text)


async def test_a_first_attempt_fails_and_the_second_is_answered() -> None:
    engine = ReplayEngine(ReplayConfig(failing=1), seed=0)
    with pytest.raises(RetryableError):
        await engine.complete(request())
    assert await engine.complete(request()) == await ReplayEngine(ReplayConfig(), seed=0).complete(request())


async def test_the_engine_dies_after_its_answers() -> None:
    engine = ReplayEngine(ReplayConfig(dies_after=2), seed=0)
    await answers(engine, 2)
    with pytest.raises(EngineDeadError, match="died after 2 answers"):
        await engine.complete(request(2))


async def test_a_delay_is_waited_for_at_once_with_others() -> None:
    engine = ReplayEngine(ReplayConfig(delay=0.05, jitter=0.05), seed=0)
    began = time.monotonic()
    completions = await asyncio.gather(*(engine.complete(request(number)) for number in range(20)))
    assert time.monotonic() - began >= 0.05
    assert len({completion.seconds for completion in completions}) == 20


async def test_an_answer_that_takes_too_long_is_a_time_out() -> None:
    with pytest.raises(RetryableError, match=r"no answer within 0\.01 s"):
        await ReplayEngine(ReplayConfig(delay=5, timeout=0.01), seed=0).complete(request())


async def test_a_mislabelled_generation_is_about_another_label_of_its_prompt() -> None:
    engine = ReplayEngine(ReplayConfig(astray=0.5), seed=0)
    said = Counter()
    for number in range(40):
        turns = [Message(role="user", content=f"Label: {label}") for label in ("world", "sport", "science")]
        reply = await engine.complete(Request(id=f"{number}/generate", messages=tuple(turns)))
        said[reply.text.split()[-1]] += 1
    assert said.keys() == {"world", "sport", "science"}
    assert 12 <= said["science"] <= 28


async def test_a_recording_gives_its_answers_and_no_others() -> None:
    said = Completion(text="as recorded", finish_reason="stop")
    engine = ReplayEngine(ReplayConfig(), seed=0, recorded={"1/generate": said})
    assert await engine.complete(request(1)) == said
    with pytest.raises(FatalRequestError, match="no answer to 2/generate"):
        await engine.complete(request(2))


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"approve": 1.5}, "engine.approve: must be from 0 to 1, got 1.5"),
        ({"astray": 2}, "engine.astray: must be from 0 to 1, got 2"),
        ({"failing": -1}, "engine.failing: must be from 0 to 1, got -1"),
        ({"delay": -1}, "engine.delay and engine.jitter: must be 0 seconds or more"),
        ({"in_flight": 0}, "engine.in_flight: must be 1 or more, got 0"),
        ({"timeout": 0}, "engine.timeout: must be above 0 seconds, got 0"),
        ({"attempts": 0}, "engine.attempts: must be 1 or more, got 0"),
        ({"grammar_gigabytes": 0}, "engine.grammar_seconds and engine.grammar_gigabytes: must be above 0"),
    ],
)
def test_a_setting_out_of_range_is_named(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ReplayConfig(**knobs)
    assert message in str(caught.value)
