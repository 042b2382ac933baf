"""Several endpoints as one engine: who is asked, who is left alone, and what a failure costs its request."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

from synthgen.engines.grammar.schema import choice
from synthgen.engines.http import fleet as module
from synthgen.engines.http.address import fill
from synthgen.engines.http.config import EndpointConfig
from synthgen.engines.http.dialect import PRESETS, DialectConfig
from synthgen.engines.http.fitness import readable
from synthgen.engines.http.fleet import Fleet
from synthgen.errors import ConfigError, EngineGoneError, FatalRequestError, RetryableError
from synthgen.records import Completion, Grammar, Message, Request, Sampling

if TYPE_CHECKING:
    from tests.llm.conftest import Server, StartServer

MakeFleet = Callable[..., Fleet]
LABELS = choice(["art", "sport"])
NOBODY = "http://127.0.0.1:9/v1"  # the discard port: nobody listens


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.1)
    monkeypatch.setattr(module, "_SECOND_LOOK", 0.02)
    monkeypatch.setattr(module, "_PROBE_SECONDS", 2.0)


@pytest.fixture
async def news() -> list[str]:
    return []


@pytest.fixture
async def fleet_of(news: list[str]) -> AsyncIterator[MakeFleet]:
    """`fleet_of(server, "http://...", patience=1)`: a fleet whose news goes to `news`."""
    made: list[Fleet] = []

    def make(*servers: Any, patience: float = 10.0, timeout: float = 10.0) -> Fleet:
        urls = [server if isinstance(server, str) else server.url for server in servers]
        cfg = EndpointConfig(urls=urls, model="m", timeout=timeout, patience=patience)
        made.append(cfg.fleet(lambda kind, words: news.append(f"{kind}: {words}")))
        return made[-1]

    yield make
    for fleet in made:
        await fleet.aclose()


def request(name: str = "0/generate", content: str = "Write one.", grammar: Grammar | None = None) -> Request:
    sampling = Sampling(logprobs=5) if grammar is not None else Sampling()
    return Request(id=name, messages=(Message(role="user", content=content),), grammar=grammar, sampling=sampling)


async def ask_many(fleet: Fleet, count: int) -> list[Any]:
    asking = (fleet.complete(request(f"{number}/generate")) for number in range(count))
    return await asyncio.gather(*asking, return_exceptions=True)


async def persist(fleet: Fleet, name: str, content: str = "Write one.") -> tuple[Completion, float]:
    """Asks until there is an answer; also what the failures cost."""
    spent = 0.0
    while True:
        try:
            return await fleet.complete(request(name, content)), spent
        except RetryableError as error:
            spent += error.charge


def by_url(completions: list[Completion]) -> Counter[str]:
    return Counter(completion.engine for completion in completions)


# -- who is asked ----------------------------------------------------------------------------------


async def test_requests_go_to_the_least_loaded(stand_in: "StartServer", fleet_of: MakeFleet) -> None:
    one, other = stand_in(delay=0.1), stand_in(delay=0.1)
    fleet = fleet_of(one, other)
    assert by_url(await ask_many(fleet, 8)) == {one.url: 4, other.url: 4}


@pytest.mark.slow
async def test_a_slow_endpoint_gets_less(stand_in: "StartServer", fleet_of: MakeFleet) -> None:
    slow, quick = stand_in(delay=0.5), stand_in(delay=0.01)
    fleet = fleet_of(slow, quick)
    stuck = asyncio.create_task(fleet.complete(request()))
    await asyncio.sleep(0)
    assert [(await fleet.complete(request(f"{n}/x"))).engine for n in range(3)] == [quick.url] * 3
    assert (await stuck).engine == slow.url


# -- one endpoint fails ----------------------------------------------------------------------------


async def test_the_work_of_a_dying_endpoint_goes_to_the_others_at_once(
    stand_in: "StartServer", fleet_of: MakeFleet, news: list[str]
) -> None:
    mortal, other = stand_in({"kind": "die", "after": 5}), stand_in()
    fleet = fleet_of(mortal, other)
    began = time.monotonic()
    outcomes = await asyncio.gather(*(persist(fleet, f"{number}/generate") for number in range(200)))
    assert by_url([completion for completion, _ in outcomes])[other.url] >= 190
    assert max(spent for _, spent in outcomes) < 1
    assert time.monotonic() - began < 20
    assert [line.split(":")[0] for line in news] == ["endpoint_down"]


async def test_nothing_is_sent_to_an_endpoint_that_is_down_but_probes_until_it_answers(
    stand_in: "StartServer", fleet_of: MakeFleet, news: list[str]
) -> None:
    sick, other = stand_in({"kind": "status", "count": 6}), stand_in()
    fleet = fleet_of(sick, other)
    outcomes = await asyncio.gather(*(persist(fleet, f"{number}/generate") for number in range(8)))
    assert by_url([completion for completion, _ in outcomes]) == {other.url: 8}
    assert "answered 500" in news[0]
    async with asyncio.timeout(30):
        while len(news) < 2:
            await asyncio.sleep(0.02)
    assert news[1] == f"endpoint_up: {sick.url} answers again"
    assert by_url([(await fleet.complete(request())) for _ in range(1)]) == {sick.url: 1}


async def test_an_endpoint_that_answers_with_another_model_is_disabled(
    stand_in: "StartServer", fleet_of: MakeFleet, news: list[str]
) -> None:
    wrong, right = stand_in({"kind": "model", "value": "stranger"}), stand_in()
    fleet = fleet_of(wrong, right)
    assert [(await persist(fleet, f"{n}/generate"))[0].engine for n in range(5)] == [right.url] * 5
    assert "another model answers ('stranger', not 'm')" in news[0]


@pytest.mark.slow
async def test_a_frozen_endpoint_is_left_alone_after_the_first_time_out(
    stand_in: "StartServer", fleet_of: MakeFleet
) -> None:
    frozen, other = stand_in({"kind": "freeze"}), stand_in()
    fleet = fleet_of(frozen, other, timeout=1.5)
    outcomes = await asyncio.gather(*(persist(fleet, f"{number}/generate") for number in range(20)))
    assert by_url([completion for completion, _ in outcomes]) == {other.url: 20}
    assert max(spent for _, spent in outcomes) < 1


async def test_a_busy_endpoint_gets_no_request_until_its_retry_after_and_no_attempt_is_counted(
    stand_in: "StartServer", fleet_of: MakeFleet, news: list[str]
) -> None:
    fleet = fleet_of(stand_in({"kind": "busy", "value": 0.4, "count": 1}))
    began = time.monotonic()
    _, spent = await persist(fleet, "0/generate")
    assert spent == 0
    assert time.monotonic() - began >= 0.4
    assert news == []


# -- whose fault it was ----------------------------------------------------------------------------


async def test_a_request_that_fails_where_others_succeed_loses_a_whole_attempt(
    stand_in: "StartServer", fleet_of: MakeFleet, news: list[str]
) -> None:
    server = stand_in({"kind": "truncated", "after": 1, "count": 1})
    fleet = fleet_of(server)
    await fleet.complete(request())
    with pytest.raises(RetryableError) as caught:
        await fleet.complete(request("1/generate"))
    assert caught.value.charge == 1
    assert news == []


async def test_requests_that_fail_together_lose_part_of_an_attempt_each(
    stand_in: "StartServer", fleet_of: MakeFleet
) -> None:
    fleet = fleet_of(stand_in({"kind": "status", "only": "Write one."}))  # what is asked between, to look, is answered
    charges = [error.charge for error in await ask_many(fleet, 12)]
    assert charges == [0.2] * 12


async def test_a_request_that_was_never_sent_loses_no_attempt(fleet_of: MakeFleet, stand_in: "StartServer") -> None:
    server = stand_in()
    fleet = fleet_of(NOBODY, server)
    completion, spent = await persist(fleet, "0/generate")
    assert (completion.engine, spent) == (server.url, 0)


# -- all endpoints fail ----------------------------------------------------------------------------


async def test_a_probe_that_waits_behind_other_requests_does_not_take_an_endpoint_out_of_use(
    stand_in: "StartServer", fleet_of: MakeFleet, news: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PROBE_SECONDS", 0.25)
    one_at_a_time = stand_in({"kind": "status", "count": 1}, max_num_seqs=1, delay=0.1)
    fleet = fleet_of(one_at_a_time)
    outcomes = await asyncio.gather(*(persist(fleet, f"{number}/generate") for number in range(9)))
    assert len(outcomes) == 9
    assert news == []


async def test_when_all_are_down_requests_wait_until_one_is_back(stand_in: "StartServer", fleet_of: MakeFleet) -> None:
    first = stand_in({"kind": "die", "after": 1})
    port = first.url.split(":")[2].split("/")[0]
    fleet = fleet_of(first, patience=10)
    await fleet.complete(request())
    waiting = [asyncio.create_task(persist(fleet, f"{number}/generate")) for number in range(10)]
    await asyncio.to_thread(first.process.join, 5)
    await asyncio.to_thread(stand_in, port=port)
    async with asyncio.timeout(30):
        outcomes = await asyncio.gather(*waiting)
    assert max(spent for _, spent in outcomes) < 1


@pytest.mark.slow
async def test_after_the_configured_patience_the_engine_is_dead_with_every_endpoints_reason(
    stand_in: "StartServer", fleet_of: MakeFleet
) -> None:
    storm = stand_in({"kind": "status", "value": 503})
    fleet = fleet_of(storm, NOBODY, patience=0.6)
    began = time.monotonic()
    with pytest.raises(EngineGoneError) as caught:
        await persist(fleet, "0/generate")
    assert time.monotonic() - began > 0.5
    assert f"{storm.url} answered 503" in str(caught.value)
    assert f"{NOBODY}: Cannot connect" in str(caught.value)


async def test_waiting_requests_fail_when_the_engine_is_abandoned(fleet_of: MakeFleet) -> None:
    fleet = fleet_of(NOBODY, patience=30)
    with pytest.raises(RetryableError):
        await fleet.complete(request())
    waiting = asyncio.create_task(fleet.complete(request()))
    await asyncio.sleep(0.05)
    assert fleet.abandon("the server died") == "the server died"
    assert fleet.abandon("later words") == "the server died"
    with pytest.raises(EngineGoneError, match="the server died"):
        await waiting


@pytest.mark.slow
async def test_closing_fails_waiting_requests_with_a_retryable_error(
    stand_in: "StartServer", fleet_of: MakeFleet
) -> None:
    fleet = fleet_of(stand_in({"kind": "hang", "after": 1}), timeout=1.0)
    await fleet.complete(request())
    asking = asyncio.create_task(fleet.complete(request("1/generate")))
    await asyncio.sleep(1.2)  # it has failed, and the probe hangs too
    await fleet.aclose()
    with pytest.raises(RetryableError):
        await asking


# -- before traffic --------------------------------------------------------------------------------


async def test_warming_up_asks_each_endpoint_for_each_grammar(stand_in: "StartServer", fleet_of: MakeFleet) -> None:
    said: list[str] = []
    await fleet_of(stand_in(), stand_in()).warm_up([LABELS, choice("12")], said.append)
    assert sorted(said) == ["compiling grammar 1 of 2"] * 2 + ["compiling grammar 2 of 2"] * 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "status", "value": 400}, "answered 400"),
        ({"kind": "status", "value": 401}, "answered 401"),
    ],
)
async def test_an_endpoint_that_cannot_serve_the_run_is_found_at_once(
    fault: dict[str, Any], words: str, stand_in: "StartServer", fleet_of: MakeFleet, news: list[str]
) -> None:
    bad, good = stand_in(fault), stand_in()
    began = time.monotonic()
    with pytest.raises(EngineGoneError, match=words):
        await fleet_of(bad, patience=60).warm_up([LABELS], lambda _: None)
    assert time.monotonic() - began < 20
    fleet = fleet_of(bad, good, patience=60)
    await fleet.warm_up([LABELS], lambda _: None)
    assert by_url(await ask_many(fleet, 4)) == {good.url: 4}
    assert any(line.endswith("it is not used") for line in news)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "no_logprobs"}, "no logprobs: the judge counts answers, which is coarser"),
        ({"kind": "nan_logprobs"}, "no logprobs: the judge counts answers, which is coarser"),
        ({"kind": "no_grammar"}, "no JSON Schemas: "),
        ({"kind": "model", "value": "stranger"}, "answers as stranger"),
    ],
)
async def test_what_an_endpoint_lacks_is_done_without_and_said(
    fault: dict[str, Any], words: str, stand_in: "StartServer", fleet_of: MakeFleet, news: list[str]
) -> None:
    fleet = fleet_of(stand_in(fault))
    await fleet.warm_up([LABELS], lambda _: None)
    assert words in news[0]
    assert (await fleet.complete(request())).text
    (spoken,) = fleet.about()["speaks"].values()
    assert words in spoken


@pytest.mark.parametrize("preset", list(PRESETS))
async def test_every_preset_works_with_a_server_of_its_kind(preset: str, stand_in: "StartServer") -> None:
    habits = [] if preset == "vllm" else ["unread=structured_outputs"]
    habits += ["known_keys", "max_completion_tokens", "strict_schemas"] if preset == "openai" else []
    dialect_cfg = DialectConfig(preset=preset)
    cfg = EndpointConfig(urls=[stand_in(habit=habits).url], model="m", dialect=dialect_cfg, request_seeds=True)
    fleet = cfg.fleet(lambda *_: None)
    await fleet.warm_up([LABELS], lambda _: None)
    labels = request(grammar=LABELS)
    assert readable(labels, await fleet.complete(labels))
    (dialect,) = fleet.about()["dialects"].values()
    assert {key: dialect[key] for key in PRESETS[preset] if key != "answers_as"} == {
        key: value for key, value in PRESETS[preset].items() if key != "answers_as"
    }
    await fleet.aclose()


async def test_warming_up_waits_for_a_server_that_is_not_there_yet(
    stand_in: "StartServer", fleet_of: MakeFleet
) -> None:
    said: list[str] = []
    with pytest.raises(EngineGoneError, match="Cannot connect"):
        await fleet_of(NOBODY, patience=0.3).warm_up([LABELS], said.append)
    assert "no endpoint answers so far; waiting up to 0 s (engine.patience) for one" in said[-1]


@pytest.mark.slow
async def test_a_server_that_accepts_connections_and_stays_silent_is_named_within_seconds(
    fleet_of: MakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENT_SECONDS", 1.0)
    said: list[str] = []
    server = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    warming = asyncio.create_task(fleet_of(f"http://127.0.0.1:{port}/v1").warm_up([LABELS], said.append))
    async with asyncio.timeout(20):
        while not said:
            await asyncio.sleep(0.05)
    warming.cancel()
    server.close()
    await asyncio.gather(warming, return_exceptions=True)
    assert said == [f"no answer from http://127.0.0.1:{port}/v1 in 1 s; still waiting for the first one"]


async def test_a_server_that_is_not_ready_is_asked_what_it_speaks_once_it_is(
    stand_in: "StartServer", fleet_of: MakeFleet, news: list[str]
) -> None:
    fleet = fleet_of(stand_in({"kind": "status", "value": 503, "count": 1}, {"kind": "no_grammar"}), patience=5)
    await fleet.warm_up([LABELS], lambda _: None)
    assert [line.split(":")[0] for line in news] == ["endpoint_down", "endpoint_dialect", "endpoint_up"]
    assert "no JSON Schemas" in news[1]


@pytest.mark.parametrize("kind", ["no_logprobs", "nan_logprobs"])
async def test_logprobs_that_are_missing_later_are_noticed_too(
    kind: str, stand_in: "StartServer", fleet_of: MakeFleet, news: list[str]
) -> None:
    fleet = fleet_of(stand_in({"kind": kind, "after": 24}), patience=0.3)
    await fleet.warm_up([LABELS], lambda _: None)
    with pytest.raises(EngineGoneError, match="answers come without logprobs"):
        for number in range(60):
            await fleet.complete(request(f"{number}/label", grammar=LABELS))
    assert [line.split(":")[0] for line in news] == ["endpoint_dialect", "endpoint_down"]


async def test_a_few_unreadable_answers_do_not_disable_an_endpoint(
    stand_in: "StartServer", fleet_of: MakeFleet, news: list[str]
) -> None:
    fleet = fleet_of(stand_in({"kind": "no_logprobs", "after": 2, "count": 7}))
    answers = [await fleet.complete(request(f"{number}/label", grammar=LABELS)) for number in range(20)]
    assert sum(not completion.logprobs for completion in answers) == 7
    assert news == []


async def test_a_refusal_is_passed_on(stand_in: "StartServer", fleet_of: MakeFleet) -> None:
    fleet = fleet_of(stand_in({"kind": "status", "value": 400}))
    with pytest.raises(FatalRequestError, match="answered 400"):
        await fleet.complete(request())


# -- config ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"urls": [], "model": "m"}, "engine.urls: name at least one endpoint"),
        ({"urls": [NOBODY]}, "engine.model: give the name under which"),
        ({"urls": [NOBODY], "model": "m", "requests_per_minute": 0}, "engine.requests_per_minute: must be above 0"),
        ({"urls": [""], "model": "m"}, "engine.urls: an address is empty"),
        ({"urls": ["127.0.0.1:8000/v1"], "model": "m"}, "does not say how to connect; write http://127.0.0.1:8000/v1"),
        ({"urls": ["http://h:99999/v1"], "model": "m"}, "is not an address: Port out of range"),
        ({"urls": ["http://h:x/v1"], "model": "m"}, "is not an address: Port could not be cast"),
        ({"urls": ["ftp://h/v1"], "model": "m"}, "only http:// and https:// are supported"),
        ({"urls": ["http:///v1"], "model": "m"}, "names no host"),
        ({"urls": ["http://256.1.1.1/v1"], "model": "m"}, "is not an address: invalid IPv4 address"),
        ({"urls": ["http://[v1.x]/v1"], "model": "m"}, "is not an address: invalid IPv6 address"),
        ({"urls": ["http://a%zz/v1"], "model": "m"}, "is not an address: invalid international domain name"),
        ({"urls": ["http://[::1/v1"], "model": "m"}, "is not an address: Invalid IPv6 URL; write one such as"),
        ({"urls": ["http:\\\\h\\v1"], "model": "m"}, "has a \\ in it; write / instead"),
        ({"urls": ["http:/h/v1"], "model": "m"}, "does not say how to connect; write http://h/v1 or https://h/v1"),
        ({"urls": ["http://h/v1/chat/completions"], "model": "m"}, "write the base address, http://h/v1"),
        ({"urls": ["http://h/v1\r"], "model": "m"}, "has a space or a line break in it"),
        ({"urls": [NOBODY], "model": "m", "proxy": "h:3128"}, "engine.proxy: 'h:3128' does not say how to connect"),
        ({"urls": [NOBODY], "model": "m", "headers": {"X Title": "a"}}, "engine.headers.X Title: not a header's name"),
        (
            {"urls": [NOBODY], "model": "m", "headers": {"X-Key": "${oc.env:NO_SUCH_VARIABLE}"}},
            "engine.headers.X-Key: the environment variable NO_SUCH_VARIABLE is not set",
        ),
        ({"urls": [NOBODY], "model": "m", "in_flight": 0}, "engine.in_flight: must be 1 or more"),
        ({"urls": [NOBODY], "model": "m", "patience": 0}, "engine.patience: must be above 0 seconds"),
    ],
)
def test_a_setting_out_of_range_is_named(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EndpointConfig(**knobs)
    assert message in str(caught.value)


def test_a_secret_in_a_header_loses_the_carriage_return_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "of-the-test-1234\r")
    assert fill("engine.headers.X-Key", "Bearer ${oc.env:GATEWAY_KEY}") == "Bearer of-the-test-1234"
    EndpointConfig(urls=[NOBODY], model="m", headers={"X-Key": "of-the-test-1234\r"})


async def test_the_key_comes_from_the_environment(
    stand_in: "StartServer", fleet_of: MakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: Server = stand_in(env={"VLLM_API_KEY": "sk-of-the-test"})
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-test")
    assert (await fleet_of(server).complete(request())).engine == server.url
