"""The recorder: written down before it is sent, tried again where that may help, never asked twice."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tenacity import wait_none

from synthgen.engines.fake.replay import ReplayConfig, ReplayEngine
from synthgen.errors import EngineDeadError, EngineDiedError, EngineError, FatalRequestError, RetryableError
from synthgen.ledger import Ledger, Reader
from synthgen.ledger import recorder as module
from synthgen.ledger.recorder import Recorder
from synthgen.records import Completion, Message, Request


class Troubled(ReplayEngine):
    """The replay engine behind a line that breaks: each request first meets the errors that are left."""

    def __init__(self, ledger: Ledger, *errors: EngineError) -> None:
        super().__init__(ReplayConfig(), 0)
        self.errors = list(errors)
        self.asked: list[str] = []
        self.seen_on_disk: list[list[tuple[Any, ...]]] = []
        self.closed = False
        self._path = ledger.path

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request.id)
        self.seen_on_disk.append(rows(self._path, f"SELECT attempt, state FROM requests WHERE id = '{request.id}'"))
        if self.errors:
            raise self.errors.pop(0)
        return await super().complete(request)

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setattr("synthgen.ledger.commits.GROUP_SECONDS", 0.001)
    with Ledger.create(tmp_path / "ledger.sqlite", {}) as made:
        yield made


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "wait_random_exponential", lambda **_: wait_none())


def request(name: str = "7/generate") -> Request:
    return Request(id=name, messages=(Message(role="user", content="Write one."),))


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with Reader(path) as reader:
        return list(reader.rows(sql))


async def on_disk(ledger: Ledger, columns: str) -> list[tuple[Any, ...]]:
    await ledger.written()
    return rows(ledger.path, f"SELECT {columns} FROM requests ORDER BY id, attempt")


def recorder(engine: ReplayEngine, ledger: Ledger, attempts: int = 3, **known: Mapping[str, Any]) -> Recorder:
    return Recorder(engine, ledger, attempts, **known)


# -- written down ----------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [True, False])
async def test_thinking_is_dropped_unless_it_is_to_be_kept(keep: bool, ledger: Ledger) -> None:
    kept = Recorder(ReplayEngine(ReplayConfig(), 0), ledger, 1, keep_thinking=keep)
    answer = await kept.complete(request().model_copy(update={"thinking": True}))
    assert bool(answer.thinking) is keep
    assert await on_disk(ledger, "thinking IS NOT NULL") == [(keep,)]


async def test_a_request_is_on_disk_before_it_is_sent_and_its_answer_after(ledger: Ledger) -> None:
    engine = Troubled(ledger)
    completion = await recorder(engine, ledger).complete(request())
    assert engine.seen_on_disk == [[(1, "sent")]]
    assert await on_disk(ledger, "id, attempt, state, text") == [("7/generate", 1, "answered", completion.text)]


@pytest.mark.parametrize(
    ("name", "slot", "kind"),
    [
        ("7/generate", 7, "generate"),
        ("7.2/label", 7, "label"),
        ("7.2/rubric/natural", 7, "rubric/natural"),
        ("-1/label/prior", -1, "label/prior"),
    ],
)
async def test_a_request_id_names_its_slot_and_kind(name: str, slot: int, kind: str, ledger: Ledger) -> None:
    await recorder(Troubled(ledger), ledger).complete(request(name))
    assert await on_disk(ledger, "slot, kind") == [(slot, kind)]


async def test_a_cancelled_request_that_was_sent_stays_in_the_ledger(ledger: Ledger) -> None:
    engine = ReplayEngine(ReplayConfig(delay=5), 0)
    waiting = asyncio.create_task(recorder(engine, ledger).complete(request()))
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await on_disk(ledger, "state") == [("sent",)]


async def test_a_request_cancelled_before_it_was_sent_does_not_stop_others(ledger: Ledger) -> None:
    asked = recorder(Troubled(ledger), ledger)
    waiting = asyncio.create_task(asked.complete(request()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(asked.complete(request("8/generate")), 5)


async def test_tokens_are_counted(ledger: Ledger) -> None:
    said = Completion(text="x", finish_reason="stop", prompt_tokens=10, cached_tokens=8, completion_tokens=3)
    asked = recorder(ReplayEngine(ReplayConfig(), 0, {"7/generate": said, "8/generate": said}), ledger)
    await asked.complete(request())
    await asked.complete(request("8/generate"))
    assert asked.tokens == {"prompt": 20, "cached": 16, "completion": 6}


async def test_closing_the_recorder_closes_its_engine(ledger: Ledger) -> None:
    engine = Troubled(ledger)
    asked = recorder(engine, ledger)
    assert asked.name == "replay"
    await asked.aclose()
    assert engine.closed


# -- trying again ----------------------------------------------------------------------------------


async def test_a_retryable_failure_is_tried_again_as_a_new_attempt(ledger: Ledger) -> None:
    engine = Troubled(ledger, RetryableError("time-out"), RetryableError("500"))
    await recorder(engine, ledger).complete(request())
    assert engine.asked == ["7/generate"] * 3
    assert await on_disk(ledger, "attempt, state, error") == [
        (1, "failed", "RetryableError: time-out"),
        (2, "failed", "RetryableError: 500"),
        (3, "answered", None),
    ]


async def test_after_the_last_attempt_the_error_is_passed_on(ledger: Ledger) -> None:
    engine = Troubled(ledger, *(RetryableError(str(number)) for number in range(9)))
    with pytest.raises(RetryableError, match=r"^2$"):
        await recorder(engine, ledger, attempts=3).complete(request())
    assert await on_disk(ledger, "attempt, state") == [(1, "failed"), (2, "failed"), (3, "failed")]


async def test_failures_of_the_engine_cost_a_request_no_attempt(ledger: Ledger) -> None:
    engine = Troubled(ledger, *[EngineDiedError("died")] * 20, *[RetryableError("refused", charge=0.0)] * 20)
    await recorder(engine, ledger, attempts=1).complete(request())
    assert await on_disk(ledger, "COUNT(*), MAX(attempt)") == [(41, 41)]


async def test_requests_that_fail_together_lose_part_of_an_attempt_so_that_retries_end(ledger: Ledger) -> None:
    engine = Troubled(ledger, *[RetryableError("500", charge=0.2)] * 99)
    with pytest.raises(RetryableError):
        await recorder(engine, ledger, attempts=4).complete(request())
    assert await on_disk(ledger, "COUNT(*)") == [(20,)]


@pytest.mark.parametrize("error", [FatalRequestError("too long"), EngineDeadError("gone")])
async def test_a_fatal_failure_is_not_tried_again(error: EngineError, ledger: Ledger) -> None:
    engine = Troubled(ledger, error)
    with pytest.raises(type(error)):
        await recorder(engine, ledger).complete(request())
    assert await on_disk(ledger, "attempt, state, error") == [(1, "failed", f"{type(error).__name__}: {error}")]


async def test_a_bug_in_an_engine_is_no_engine_error(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(request: Request) -> Completion:
        raise ZeroDivisionError

    engine = Troubled(ledger)
    monkeypatch.setattr(engine, "complete", broken)
    with pytest.raises(ZeroDivisionError):
        await recorder(engine, ledger).complete(request())


# -- going on with a run ---------------------------------------------------------------------------


async def test_an_answer_on_disk_is_given_again_without_asking(ledger: Ledger) -> None:
    said = Completion(text="as said before", finish_reason="stop", completion_tokens=3)
    engine = Troubled(ledger)
    asked = recorder(engine, ledger, answers={"7/generate": said})
    assert await asked.complete(request()) == said
    assert engine.asked == []
    assert await on_disk(ledger, "id") == []
    assert asked.tokens["completion"] == 0


async def test_attempts_go_on_where_an_earlier_session_stopped(ledger: Ledger) -> None:
    engine = Troubled(ledger, RetryableError("500"))
    await recorder(engine, ledger, attempts=2, sent={"7/generate": 4}).complete(request())
    assert await on_disk(ledger, "attempt, state") == [(5, "failed"), (6, "answered")]


# -- an engine that is as good as dead -------------------------------------------------------------


async def fail(asked: Recorder, count: int, error: type[EngineError], start: int = 0) -> None:
    asking = (asked.complete(request(f"{number}/generate")) for number in range(start, start + count))
    assert {type(said) for said in await asyncio.gather(*asking, return_exceptions=True)} == {error}


@pytest.mark.parametrize("error", [RetryableError("no logits"), FatalRequestError("no logits")])
async def test_after_64_failed_requests_in_a_row_the_engine_counts_as_dead(error: EngineError, ledger: Ledger) -> None:
    asked = recorder(Troubled(ledger, *[error] * 99), ledger, attempts=1)
    await fail(asked, 63, type(error))
    with pytest.raises(
        EngineDeadError, match="64 requests in a row failed or were refused; the error of the last one: no logits"
    ):
        await asked.complete(request("64/generate"))


async def test_one_answer_resets_the_count_of_failed_requests(ledger: Ledger) -> None:
    engine = Troubled(ledger, *[RetryableError("refused")] * 63)
    asked = recorder(engine, ledger, attempts=1)
    await fail(asked, 63, RetryableError)
    await asked.complete(request("63/generate"))
    engine.errors = [RetryableError("refused")] * 63
    await fail(asked, 63, RetryableError, start=64)


async def test_retries_that_succeed_are_no_failures(ledger: Ledger) -> None:
    engine = Troubled(ledger)
    asked = recorder(engine, ledger, attempts=2)
    for number in range(20):
        engine.errors = [RetryableError("busy")]
        await asked.complete(request(f"{number}/generate"))
