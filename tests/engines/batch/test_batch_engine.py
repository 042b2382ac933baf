"""Requests become batches and batches become answers, whatever the host does in between."""

import asyncio
import dataclasses
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import pytest

from synthgen.engines.batch import records
from synthgen.engines.batch.config import BatchConfig
from synthgen.engines.http.config import MixedModelConfig
from synthgen.engines.http.dialect import VLLM
from synthgen.errors import ConfigError, EngineGoneError, EngineRefusesError, FatalRequestError, RetryableError
from synthgen.records import Completion, Message, Request
from tests.engines.batch.conftest import generating, until_answered

if TYPE_CHECKING:
    from tests.engines.batch.conftest import StartBench

JUDGE = Request(id="0.0/label", messages=(Message(role="user", content="Which?"),))


async def outcomes(*asked: Awaitable[Completion]) -> list[Completion | BaseException]:
    return await asyncio.gather(*asked, return_exceptions=True)


# -- gathering -------------------------------------------------------------------------------------


async def test_each_request_gets_its_own_answer_though_lines_come_in_any_order(bench: "StartBench") -> None:
    async with bench() as host, host.engine(request_seeds=True) as engine:
        answers = await asyncio.gather(*(engine.complete(generating(number)) for number in range(20)))
        assert len(host.batches) == 1
        alone = await engine.complete(generating(7).model_copy(update={"id": "0.0/as-the-judge"}))
    assert answers[7].text == alone.text
    assert len({answer.text for answer in answers}) == 20
    assert all(answer.completion_tokens for answer in answers)


async def test_thousands_of_requests_are_one_batch(bench: "StartBench") -> None:
    async with bench() as host, host.engine(quiet=0.5) as engine:
        await asyncio.gather(*(engine.complete(generating(number)) for number in range(3000)))
        assert len(host.batches) == 1


async def test_a_full_batch_is_sent_at_once_and_the_rest_after_the_quiet_time(bench: "StartBench") -> None:
    async with bench() as host, host.engine(batch_requests=4, quiet=0.3) as engine:
        asked = [asyncio.create_task(engine.complete(generating(number))) for number in range(6)]
        await asyncio.wait(asked[:4])
        assert not asked[5].done()
        await asyncio.gather(*asked)
        assert [batch["request_counts"]["total"] for batch in host.batches] == [4, 2]


async def test_a_file_is_not_larger_than_allowed(bench: "StartBench") -> None:
    async with bench() as host, host.engine(batch_megabytes=0.001) as engine:
        await asyncio.gather(*(engine.complete(generating(number)) for number in range(12)))
        assert len(host.batches) > 1
        assert max(map(len, host.inputs())) <= 1000


async def test_a_request_larger_than_a_file_may_be_is_refused(bench: "StartBench") -> None:
    large = Request(id="1/generate", messages=(Message(role="user", content="x" * 2000),))
    async with bench() as host, host.engine(batch_megabytes=0.001) as engine:
        with pytest.raises(FatalRequestError, match=r"larger than a batch file may be"):
            await engine.complete(large)


async def test_the_judge_asks_the_chat_api_unless_told_otherwise(bench: "StartBench") -> None:
    async with bench() as host, host.engine() as engine:
        await engine.complete(JUDGE)
        assert not host.batches
    async with bench() as host, host.engine(judge_batches=True) as engine:
        await engine.complete(JUDGE)
        assert host.asked() == ["0.0/label"]


async def test_a_batch_waits_while_a_judgement_may_lead_to_more_requests(bench: "StartBench") -> None:
    slow = {"kind": "drip", "value": 0.001, "count": 1}
    async with bench(slow) as host, host.engine(quiet=0.1) as engine:
        judged = asyncio.create_task(engine.complete(JUDGE))
        await asyncio.sleep(0)
        first = asyncio.create_task(engine.complete(generating(0)))
        await judged
        assert not host.batches
        await asyncio.gather(first, engine.complete(generating(1)))
        assert len(host.batches) == 1


async def test_a_few_requests_go_to_the_chat_api(bench: "StartBench") -> None:
    async with bench() as host, host.engine(least_requests=3) as engine:
        await asyncio.gather(engine.complete(generating(0)), engine.complete(generating(1)))
        assert not host.batches


# -- going on after a crash ------------------------------------------------------------------------


async def test_a_later_session_answers_from_the_batches_of_an_earlier_one(bench: "StartBench") -> None:
    async with bench(seconds=0.3) as host:
        async with host.engine() as engine:
            asked = [asyncio.create_task(engine.complete(generating(number))) for number in range(5)]
            while not host.batches or records.waiting(host.folder)[0].id is None:
                await asyncio.sleep(0.02)
            for task in asked:
                task.cancel()
        (waiting,) = records.waiting(host.folder)
        assert waiting.requests == [f"{number}/generate" for number in range(5)]
        async with host.engine() as engine:
            await asyncio.gather(*(engine.complete(generating(number)) for number in range(5)))
        async with host.engine() as engine:  # a batch that has ended is read once more
            await engine.complete(generating(2))
        assert len(host.batches) == 1
    assert records.waiting(host.folder) == []


async def test_a_batch_whose_creation_was_not_confirmed_is_found(bench: "StartBench") -> None:
    async with bench() as host:
        async with host.engine() as engine:
            await engine.complete(generating(0))
        (record,) = records.load(host.folder)
        record.id, record.status, record.results = None, records.CREATING, []
        record.save()
        async with host.engine() as engine:
            await engine.complete(generating(0))
        assert len(host.batches) == 1


async def test_a_batch_that_was_never_created_is_sent_again(bench: "StartBench") -> None:
    async with bench() as host:
        records.add(host.folder, ["0/generate"], "file-unused", dataclasses.asdict(VLLM))
        async with host.engine() as engine:
            await engine.complete(generating(0))
        assert [record.status for record in records.load(host.folder)] == ["lost", "completed"]


@pytest.mark.slow
async def test_a_batch_is_not_created_twice_when_the_answer_is_lost(bench: "StartBench") -> None:
    async with bench({"kind": "create_lost", "count": 1}) as host, host.engine() as engine:
        await engine.complete(generating(0))
        assert len(host.batches) == 1


async def test_a_batch_that_the_host_has_forgotten_is_sent_again(bench: "StartBench") -> None:
    async with bench({"kind": "batch_gone", "count": 1}) as host, host.engine() as engine:
        await until_answered(engine, generating(0))
        assert host.asked() == ["0/generate"] * 2
    assert "is not known to the host" in host.told("batch_lost")


# -- batches that end early ------------------------------------------------------------------------


async def test_what_an_expired_batch_answered_is_used_and_the_rest_is_asked_again(bench: "StartBench") -> None:
    async with bench({"kind": "batch_expires", "count": 1}) as host, host.engine() as engine:
        await asyncio.gather(*(until_answered(engine, generating(number)) for number in range(10)))
        assert [batch["status"] for batch in host.batches] == ["expired", "completed"]
        assert len(host.asked()) == 15
    assert "5 of 10 requests were answered; 5 were not" in host.told("batch_expired")


async def test_three_batches_without_any_answer_end_the_engine(bench: "StartBench") -> None:
    async with bench({"kind": "batch_expires", "value": 0}) as host, host.engine() as engine:
        with pytest.raises(EngineGoneError, match="3 batches in a row ended without any answer"):
            await until_answered(engine, generating(0))


async def test_a_batch_that_somebody_cancelled_ends_the_run_and_a_resume_asks_the_rest_again(
    bench: "StartBench",
) -> None:
    async with bench({"kind": "batch_cancelled", "count": 1}) as host:
        async with host.engine() as engine:
            found = await outcomes(*(engine.complete(generating(number)) for number in range(4)))
            assert sum(isinstance(each, Completion) for each in found) == 2
            (message,) = {str(each) for each in found if isinstance(each, EngineGoneError)}
            assert "was cancelled at the host" in message
        async with host.engine() as engine:
            await asyncio.gather(*(until_answered(engine, generating(number)) for number in range(4)))
        assert len(host.asked()) == 6


async def test_a_batch_that_fails_its_validation_ends_the_run_with_the_hosts_words(bench: "StartBench") -> None:
    fault = {"kind": "batch_fails", "value": "model_not_found: The model m does not exist", "count": 1}
    async with bench(fault) as host:
        async with host.engine() as engine:
            with pytest.raises(EngineRefusesError, match="failed: model_not_found: The model m does not exist"):
                await engine.complete(generating(0))
        async with host.engine() as engine:  # when the cause is gone
            await engine.complete(generating(0))


async def test_a_batch_that_is_refused_for_load_is_sent_again_in_parts(bench: "StartBench") -> None:
    fault = {"kind": "batch_fails", "value": "token_limit_exceeded: Enqueued token limit reached", "count": 2}
    async with bench(fault) as host, host.engine() as engine:
        await asyncio.gather(*(until_answered(engine, generating(number)) for number in range(8)))
        done = [batch["request_counts"]["total"] for batch in host.batches if batch["status"] == "completed"]
        assert sum(done) == 8
        assert done[0] == 4  # or fewer: the second refusal halves once more only what it refused
    assert "because of load" in host.told("batch_limit")


# -- lines and files -------------------------------------------------------------------------------


async def test_a_line_with_a_server_error_costs_an_attempt(bench: "StartBench") -> None:
    async with bench({"kind": "line_status", "value": 500, "count": 1}) as host, host.engine() as engine:
        found = await outcomes(engine.complete(generating(0)), engine.complete(generating(1)))
        assert isinstance(found[1], Completion)
        assert isinstance(found[0], RetryableError)
        assert found[0].charge == 1
        await engine.complete(generating(0))
        assert host.asked().count("0/generate") == 2


async def test_a_line_that_is_refused_is_not_asked_again(bench: "StartBench") -> None:
    async with bench({"kind": "line_status", "value": 400, "count": 1}) as host, host.engine() as engine:
        with pytest.raises(FatalRequestError, match="answered 400"):
            await engine.complete(generating(0))
    assert "1 of 1 requests were answered, 1 of them with an error" in host.told("batch_completed")


async def test_a_refused_parameter_is_left_out_of_the_next_batch(bench: "StartBench") -> None:
    async with bench(habits=[("known_keys", "")]) as host, host.engine() as engine:
        await asyncio.gather(*(until_answered(engine, generating(number)) for number in range(6)))
        assert [batch["request_counts"]["completed"] for batch in host.batches] == [0, 0, 6]
    assert "refuses min_p" in host.told("endpoint_dialect")
    assert "refuses priority" in host.told("endpoint_dialect")


async def test_lines_that_nobody_asked_for_are_ignored_and_reported(bench: "StartBench") -> None:
    async with bench({"kind": "line_strangers"}) as host, host.engine() as engine:
        await engine.complete(generating(0))
    assert "3 lines of file-2 answer no request of it" in host.told("batch_file")


async def test_a_result_file_that_is_cut_off_is_fetched_again(bench: "StartBench") -> None:
    async with bench({"kind": "output_cut", "count": 1}) as host, host.engine() as engine:
        await asyncio.gather(*(engine.complete(generating(number)) for number in range(5)))
        assert len(host.batches) == 1
    assert host.told("batch_file") == ""


@pytest.mark.slow
async def test_the_answers_in_a_cut_file_are_used_and_the_lost_ones_are_asked_for_again(bench: "StartBench") -> None:
    async with bench({"kind": "output_cut", "count": 3}) as host, host.engine() as engine:
        found = await outcomes(*(engine.complete(generating(number)) for number in range(5)))
        lost = [number for number, each in enumerate(found) if isinstance(each, RetryableError)]
        assert 0 < len(lost) < 5
        await asyncio.gather(*(engine.complete(generating(number)) for number in lost))
        assert len(host.asked()) == 5 + len(lost)
    assert "are cut off or no JSON" in host.told("batch_file")


async def test_a_request_without_a_line_costs_an_attempt(bench: "StartBench") -> None:
    async with bench({"kind": "line_lost", "count": 1}) as host, host.engine() as engine:
        found = await outcomes(engine.complete(generating(0)), engine.complete(generating(1)))
        assert isinstance(found[0], RetryableError)
        assert "have no line for this request" in str(found[0])
        assert isinstance(found[1], Completion)


async def test_a_deleted_result_file_is_named(bench: "StartBench") -> None:
    async with bench({"kind": "output_gone", "count": 1}) as host, host.engine() as engine:
        with pytest.raises(RetryableError):
            await engine.complete(generating(0))
    assert "no longer has its result file file-2" in host.told("batch_file")


# -- uploads ---------------------------------------------------------------------------------------


async def test_an_upload_that_is_refused_for_load_is_repeated(bench: "StartBench") -> None:
    fault = {"kind": "upload_busy", "value": 0.05, "count": 3}
    async with bench(fault) as host, host.engine() as engine:
        await engine.complete(generating(0))
        assert len(host.batches) == 1


async def test_a_host_that_refuses_every_upload_ends_the_run_after_the_patience(bench: "StartBench") -> None:
    fault = {"kind": "upload_busy", "value": 0.1}
    async with bench(fault) as host, host.engine(patience=0.3) as engine:
        with pytest.raises(EngineGoneError, match="answered 429"):
            await engine.complete(generating(0))


async def test_a_file_that_is_too_large_for_the_host_is_sent_in_parts(bench: "StartBench") -> None:
    async with bench({"kind": "upload_limit", "value": 2000}) as host, host.engine() as engine:
        await asyncio.gather(*(engine.complete(generating(number)) for number in range(20)))
        assert len(host.batches) > 1
        assert len(host.asked()) == 20
    assert "files have half of that now" in host.told("batch_limit")


async def test_a_wrong_key_is_said_at_once(bench: "StartBench") -> None:
    async with bench(key="right") as host, host.engine(judge_batches=True) as engine:
        with pytest.raises(EngineRefusesError, match="answered 401 to POST /files"):
            await engine.complete(generating(0))


async def test_a_host_without_the_api_is_told_apart(bench: "StartBench") -> None:
    async with bench() as host:
        host.url = host.url.replace("/v1", "/v2")
        async with host.engine(judge_batches=True) as engine:
            with pytest.raises(EngineRefusesError, match="has no batch API at this address"):
                await engine.complete(generating(0))


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_requests": 50_001}, "engine.batch_requests: must be from 1 to 50000"),
        ({"batch_megabytes": 201}, "engine.batch_megabytes: must be above 0 and at most 200"),
        ({"urls": ["http://a/v1", "http://b/v1"]}, "engine.urls: name one host"),
        ({"quiet": -1}, "engine.quiet: must be 0 seconds or more"),
        ({"poll": 0}, "engine.poll: must be above 0 seconds"),
        ({"model": "", "models": [MixedModelConfig(model="a")]}, "engine.models: a run of batches has one model"),
        ({"rounds": 0}, "engine.rounds: must be 1 or more"),
        ({"least_requests": 0}, "engine.least_requests: must be 1 or more"),
        ({"batch_path": "v1/chat"}, "engine.batch_path: must begin with '/'"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        BatchConfig(**{"urls": ["http://a/v1"], "model": "m", **settings})  # type: ignore[arg-type]


def test_the_config_for_requests_answered_at_once_keeps_address_and_dialect() -> None:
    chat = BatchConfig(urls=["http://a/v1"], model="m", extra_body={"x": 1}).at_once()
    assert (chat.kind, chat.urls, chat.extra_body) == ("openai", ["http://a/v1"], {"x": 1})
    assert not chat.capabilities.answers_late
