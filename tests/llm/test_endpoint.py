"""The HTTP client against a stand-in server: what it sends, what it reads, and how it says what went wrong."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from synthgen.errors import ConfigError, EngineDeadError, FatalRequestError, RetryableError
from synthgen.llm.endpoint import EndpointConfig, EndpointEngine
from synthgen.llm.grammar import choice
from synthgen.records import Completion, Grammar, Message, Request, Sampling

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
JSON_GRAMMAR = Grammar(kind="json_schema", spec=SCHEMA)
HELLO = {
    "model": "m",
    "choices": [
        {
            "message": {"role": "assistant", "content": "sport"},
            "finish_reason": "stop",
            "logprobs": {
                "content": [
                    {
                        "token": "sp",
                        "logprob": -0.1,
                        "top_logprobs": [{"token": "sp", "logprob": -0.1}, {"token": "bus", "logprob": -2.5}],
                    },
                    {"token": "ort", "logprob": 0.0, "top_logprobs": [{"token": "ort", "logprob": 0.0}]},
                ]
            },
        }
    ],
    "usage": {"prompt_tokens": 40, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 32}},
}


class StandIn:
    """A server on 127.0.0.1 that keeps what it was sent and answers as `reply` says."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.reply: Callable[[], Awaitable[web.Response]] = self.hello
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._handle)
        self.server = TestServer(app, host="127.0.0.1")

    @property
    def url(self) -> str:
        return str(self.server.make_url("/v1"))

    async def hello(self) -> web.Response:
        return web.json_response(HELLO)

    def answers(self, status: int, text: str) -> None:
        async def reply() -> web.Response:
            return web.Response(status=status, text=text)

        self.reply = reply

    async def _handle(self, request: web.Request) -> web.Response:
        self.bodies.append(json.loads(await request.read()))
        self.headers.append(dict(request.headers))
        return await self.reply()


@pytest.fixture
async def server() -> AsyncIterator[StandIn]:
    stand_in = StandIn()
    await stand_in.server.start_server()
    yield stand_in
    await stand_in.server.close()


@pytest.fixture
async def other() -> AsyncIterator[StandIn]:
    stand_in = StandIn()
    await stand_in.server.start_server()
    yield stand_in
    await stand_in.server.close()


def request(grammar: Grammar | None = None, content: str = "Label?", priority: int = 0, **sampling: Any) -> Request:
    messages = (Message(role="system", content="You sort texts."), Message(role="user", content=content))
    return Request(
        id="0/generate", messages=messages, grammar=grammar, sampling=Sampling(**sampling), priority=priority
    )


def engine_at(*servers: StandIn, timeout: float = 5.0, **changes: Any) -> EndpointEngine:
    cfg = EndpointConfig(urls=[server.url for server in servers], model="m", timeout=timeout, **changes)
    return EndpointEngine.from_config(cfg)


async def ask(server: StandIn, sent: Request | None = None, **changes: Any) -> Completion:
    engine = engine_at(server, **changes)
    try:
        return await engine.complete(sent or request())
    finally:
        await engine.aclose()


# -- what is read ----------------------------------------------------------------------------------


async def test_an_answer_is_read_whole(server: StandIn) -> None:
    completion = await ask(server)
    assert completion.seconds > 0
    assert completion == Completion(
        text="sport",
        finish_reason="stop",
        logprobs=({"sp": -0.1, "bus": -2.5}, {"ort": 0.0}),
        prompt_tokens=40,
        cached_tokens=32,
        completion_tokens=2,
        engine=server.url,
        seconds=completion.seconds,
    )


async def test_an_answer_may_lack_logprobs_usage_and_content(server: StandIn) -> None:
    choices = [{"message": {"content": None}, "finish_reason": None, "logprobs": None}]
    server.answers(200, json.dumps({"model": "m", "choices": choices, "usage": None}))
    completion = await ask(server)
    assert (completion.text, completion.finish_reason, completion.logprobs) == ("", "unknown", ())
    assert (completion.prompt_tokens, completion.cached_tokens) == (0, 0)


# -- what is sent ----------------------------------------------------------------------------------


async def test_a_request_says_what_it_wants_and_no_more(server: StandIn) -> None:
    await ask(server, request(temperature=0.7, max_tokens=9, priority=10))
    assert server.bodies == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "You sort texts."},
                {"role": "user", "content": "Label?"},
            ],
            "temperature": 0.7,
            "max_tokens": 9,
            "priority": 10,
        }
    ]


async def test_sampling_goes_with_the_request(server: StandIn) -> None:
    await ask(server, request(top_p=0.9, min_p=0.05, seed=0, logprobs=5))
    sent = server.bodies[0]
    assert (sent["top_p"], sent["min_p"], sent["seed"]) == (0.9, 0.05, 0)
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 5)


@pytest.mark.parametrize(
    ("grammar", "field"),
    [
        (JSON_GRAMMAR, {"json": SCHEMA}),
        (choice(["a", "b"]), {"choice": ["a", "b"]}),
        (Grammar(kind="regex", spec="[ab]"), {"regex": "[ab]"}),
        (Grammar(kind="cfg", spec="start: A"), {"grammar": "start: A"}),
    ],
)
async def test_vllm_gets_the_grammar_as_structured_outputs(
    grammar: Grammar, field: dict[str, Any], server: StandIn
) -> None:
    await ask(server, request(grammar))
    assert server.bodies[0]["structured_outputs"] == field
    assert "response_format" not in server.bodies[0]


async def test_other_servers_get_a_response_format_and_nothing_of_vllms(server: StandIn) -> None:
    await ask(server, request(JSON_GRAMMAR, priority=10), grammar_field="response_format")
    sent = server.bodies[0]
    schema = {"name": "sample", "schema": SCHEMA, "strict": True}
    assert sent["response_format"] == {"type": "json_schema", "json_schema": schema}
    assert {"structured_outputs", "priority"}.isdisjoint(sent)


async def test_other_servers_are_not_asked_for_grammars_they_do_not_know(server: StandIn) -> None:
    await ask(server, request(choice(["a", "b"])), grammar_field="response_format")
    assert {"structured_outputs", "response_format"}.isdisjoint(server.bodies[0])


async def test_the_api_key_stands_in_the_header_alone(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    await ask(server, api_key_env="MY_KEY")
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in json.dumps(server.bodies)


async def test_without_a_key_none_is_sent(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    await ask(server, api_key_env="MY_KEY")
    assert "Authorization" not in server.headers[0]


async def test_the_api_key_is_in_no_error(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    server.answers(500, "no")
    with pytest.raises(RetryableError) as caught:
        await ask(server, api_key_env="MY_KEY")
    assert "sk-secret" not in str(caught.value)


# -- what can go wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422])
async def test_a_refusal_is_final_and_keeps_the_servers_words(status: int, server: StandIn) -> None:
    server.answers(status, "the prompt is too long")
    with pytest.raises(FatalRequestError, match=f"answered {status}: the prompt is too long"):
        await ask(server)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
async def test_a_busy_or_broken_server_may_be_asked_again(status: int, server: StandIn) -> None:
    server.answers(status, "later")
    with pytest.raises(RetryableError, match=f"answered {status}: later"):
        await ask(server)


async def test_no_answer_in_time_may_be_asked_again(server: StandIn) -> None:
    async def never() -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    server.reply = never
    with pytest.raises(RetryableError, match=r"no answer from .* in time"):
        await ask(server, timeout=0.05)


async def test_a_server_that_is_not_there_may_be_asked_again(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    engine = EndpointEngine.from_config(EndpointConfig(urls=[url], model="m"))
    with pytest.raises(RetryableError, match=f"{url}: Cannot connect to host"):
        await engine.complete(request())
    await engine.aclose()


async def test_a_connection_that_breaks_may_be_asked_again(server: StandIn) -> None:
    async def hang_up() -> web.Response:
        raise asyncio.CancelledError

    server.reply = hang_up
    with pytest.raises(RetryableError, match="disconnected"):
        await ask(server)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>Bad gateway</html>",
        "[]",
        '"m"',
        '{"model": "m"}',
        '{"model": "m", "choices": []}',
        '{"model": "m", "choices": ["x"]}',
        '{"model": "m", "choices": [{"message": {"content": [1]}, "finish_reason": "stop"}]}',
        '{"model": "m", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": [1]}',
        '{"model": "m", "choices": [{"message": {"content": "x"}, "finish_reason": "stop", "logprobs": '
        '{"content": [{"top_logprobs": [{"token": "x", "logprob": NaN}]}]}}]}',
    ],
)
async def test_a_body_that_is_no_completion_may_be_asked_again(body: str, server: StandIn) -> None:
    server.answers(200, body)
    with pytest.raises(RetryableError, match="an answer that is not a chat completion"):
        await ask(server)


async def test_what_cannot_be_written_as_json_is_not_sent(server: StandIn) -> None:
    with pytest.raises(FatalRequestError, match="cannot be written as JSON"):
        await ask(server, request(content="\ud800"))
    assert server.bodies == []


async def test_another_model_behind_the_url_is_a_dead_engine(server: StandIn) -> None:
    server.answers(200, json.dumps({**HELLO, "model": "stranger"}))
    with pytest.raises(EngineDeadError, match="another model answers"):
        await ask(server)


# -- several endpoints -----------------------------------------------------------------------------


async def test_requests_go_to_the_least_loaded_endpoint(server: StandIn, other: StandIn) -> None:
    gate = asyncio.Event()

    async def wait() -> web.Response:
        await gate.wait()
        return await server.hello()

    server.reply = other.reply = wait
    engine = engine_at(server, other)
    waiting = [asyncio.create_task(engine.complete(request())) for _ in range(10)]
    while len(server.bodies) + len(other.bodies) < 10:
        await asyncio.sleep(0.005)
    assert len(server.bodies) == len(other.bodies) == 5

    gate.set()
    await asyncio.gather(*waiting)
    await engine.aclose()


async def test_a_busy_endpoint_is_passed_over(server: StandIn, other: StandIn) -> None:
    gate = asyncio.Event()

    async def wait() -> web.Response:
        await gate.wait()
        return await server.hello()

    server.reply = wait
    engine = engine_at(server, other)
    stuck = asyncio.create_task(engine.complete(request()))
    await asyncio.sleep(0)
    assert [(await engine.complete(request())).engine for _ in range(3)] == [other.url] * 3
    gate.set()
    assert (await stuck).engine == server.url
    await engine.aclose()


async def test_a_failed_request_does_not_count_as_load(server: StandIn, other: StandIn) -> None:
    server.answers(500, "no")
    engine = engine_at(server, other)
    with pytest.raises(RetryableError):
        await engine.complete(request())
    server.reply = server.hello
    assert (await engine.complete(request())).engine == server.url
    await engine.aclose()


# -- config ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"urls": [], "model": "m"}, "engine.urls: name at least one endpoint"),
        ({"urls": ["http://127.0.0.1:1/v1"]}, "engine.model: say under which name"),
        (
            {"urls": ["http://127.0.0.1:1/v1"], "model": "m", "grammar_field": "guided_json"},
            "engine.grammar_field: 'guided_json' is not one of structured_outputs, response_format",
        ),
        ({"urls": ["http://127.0.0.1:1/v1"], "model": "m", "in_flight": 0}, "engine.in_flight: must be 1 or more"),
    ],
)
def test_a_knob_out_of_range_is_named(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EndpointConfig(**knobs)
    assert message in str(caught.value)
