"""The HTTP client of one endpoint: what it sends, what it reads, and how it says what went wrong."""

import asyncio
import dataclasses
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from synthgen.engines.grammar.schema import choice
from synthgen.engines.http.dialect import VLLM, Dialect
from synthgen.engines.http.endpoint import (
    BusyError,
    Endpoint,
    OverloadedError,
    RequestSettings,
    UnfitError,
    UnreachableError,
)
from synthgen.errors import FatalRequestError, RetryableError
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

    def answers(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        async def reply() -> web.Response:
            return web.Response(status=status, text=text, headers=headers)

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


def request(grammar: Grammar | None = None, content: str = "Label?", priority: int = 0, **sampling: Any) -> Request:
    messages = (Message(role="system", content="You sort texts."), Message(role="user", content=content))
    return Request(
        id="0/generate", messages=messages, grammar=grammar, sampling=Sampling(**sampling), priority=priority
    )


OTHER = Dialect(schema="json_schema", choice="none", bad_words=False, priority=False, min_p=False)


def endpoint_at(
    server: StandIn, timeout: float = 5.0, key: str | None = None, dialect: Dialect = VLLM, **settings: Any
) -> Endpoint:
    return Endpoint(server.url, "m", key, RequestSettings(timeout, **settings), dialect)


async def ask(server: StandIn, sent: Request | None = None, **changes: Any) -> Completion:
    endpoint = endpoint_at(server, **changes)
    try:
        return await endpoint.complete(sent or request())
    finally:
        await endpoint.aclose()


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


def with_alternatives(*listed: tuple[str, Any]) -> str:
    """A completion whose only token had these alternatives, NaN written as Python does."""
    top = [{"token": token, "logprob": logprob} for token, logprob in listed]
    first = {"message": {"content": "a"}, "finish_reason": "stop", "logprobs": {"content": [{"top_logprobs": top}]}}
    return json.dumps({"model": "m", "choices": [first]})


async def test_alternatives_of_the_same_text_share_their_probability(server: StandIn) -> None:
    server.answers(200, with_alternatives(("\ufffd", -1.0), ("a", -2.0), ("\ufffd", -3.0), ("a", -9999.0)))
    (found,) = (await ask(server)).logprobs
    assert found == pytest.approx({"\ufffd": math.log(math.exp(-1) + math.exp(-3)), "a": -2.0})


@pytest.mark.parametrize("value", [math.nan, None])
async def test_a_logprob_that_is_no_number_is_nan(value: float | None, server: StandIn) -> None:
    server.answers(200, with_alternatives(("a", -0.5), ("b", value), ("a", value)))
    (found,) = (await ask(server)).logprobs
    assert all(math.isnan(logprob) for logprob in found.values())


async def test_a_logprob_of_minus_infinity_is_no_probability(server: StandIn) -> None:
    server.answers(200, with_alternatives(("a", -math.inf), ("a", -math.inf), ("b", -math.inf), ("b", -0.5)))
    assert (await ask(server)).logprobs == ({"a": -math.inf, "b": -0.5},)


# -- what is sent ----------------------------------------------------------------------------------


async def test_a_request_carries_only_what_was_asked_for(server: StandIn) -> None:
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


async def test_barred_words_are_sent_to_vllm_alone(server: StandIn) -> None:
    barred = request(bad_words=("play the song", "今天"))
    await ask(server, barred)
    assert server.bodies[0]["bad_words"] == ["play the song", "今天"]
    await ask(server, barred, dialect=OTHER)
    assert "bad_words" not in server.bodies[1]


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
    await ask(server, request(JSON_GRAMMAR, priority=10), dialect=OTHER)
    sent = server.bodies[0]
    schema = {"name": "sample", "schema": SCHEMA, "strict": True}
    assert sent["response_format"] == {"type": "json_schema", "json_schema": schema}
    assert {"structured_outputs", "priority"}.isdisjoint(sent)


async def test_a_choice_is_asked_for_in_words_where_there_is_no_grammar_for_it(server: StandIn) -> None:
    await ask(server, request(choice(["a", "b"])), dialect=OTHER)
    assert {"structured_outputs", "response_format", "grammar"}.isdisjoint(server.bodies[0])
    assert server.bodies[0]["messages"][0]["content"].endswith("exactly one of these, and nothing else: a | b")
    await ask(server, request(choice(["a", 'b"'])), dialect=dataclasses.replace(OTHER, choice="gbnf"))
    assert server.bodies[1]["grammar"] == 'root ::= "a" | "b\\""'


async def test_a_strict_schema_has_every_property_and_nulls_for_those_that_may_lack(server: StandIn) -> None:
    schema = {
        "type": "object",
        "properties": {"text": {"type": "string", "maxLength": 9}, "note": {"type": "string"}},
        "required": ["text"],
    }
    grammar = Grammar(kind="json_schema", spec=schema)
    server.answers(200, json.dumps({**HELLO, "choices": [content('{"text": "hi", "note": null}')]}))
    dialect = dataclasses.replace(OTHER, schema="strict_json_schema")
    assert (await ask(server, request(grammar), dialect=dialect)).text == '{"text":"hi"}'
    assert server.bodies[0]["response_format"]["json_schema"] == {
        "name": "sample",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"text": {"type": "string"}, "note": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            "required": ["text", "note"],
            "additionalProperties": False,
        },
    }


async def test_system_messages_and_token_limits_are_spelled_as_the_endpoint_wants_them(server: StandIn) -> None:
    plain = Dialect(system=False, token_key="max_completion_tokens", temperature=False, schema="none", priority=False)
    await ask(server, request(JSON_GRAMMAR, max_tokens=9), dialect=plain)
    sent = server.bodies[0]
    assert sent.keys() == {"model", "messages", "max_completion_tokens"}
    ((role, said),) = [(message["role"], message["content"]) for message in sent["messages"]]
    assert role == "user"
    assert said.startswith("You sort texts.\n\nAnswer with one JSON object")
    assert said.endswith("Label?")


@pytest.mark.parametrize(("form", "places"), [("structured_outputs", 4), ("gbnf", 20), ("none", 20)])
async def test_options_get_every_place_where_other_tokens_are_listed_too(
    form: str, places: int, server: StandIn
) -> None:
    dialect = dataclasses.replace(OTHER, choice=form, logprobs=20)
    await ask(server, request(choice(["1", "2", "3", "4"]), logprobs=4), dialect=dialect)
    assert server.bodies[0]["top_logprobs"] == places


async def test_extra_keys_and_headers_go_with_every_request(server: StandIn) -> None:
    await ask(server, request(), extra_body={"reasoning_effort": "low", "max_tokens": 5}, headers={"X-Title": "demo"})
    assert (server.bodies[0]["reasoning_effort"], server.bodies[0]["max_tokens"]) == ("low", 5)
    assert server.headers[0]["X-Title"] == "demo"


# -- what models write around their JSON -----------------------------------------------------------


def content(text: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    return {"message": {"content": text, **message}, "finish_reason": finish, "logprobs": None}


@pytest.mark.parametrize(
    ("text", "found", "finish"),
    [
        ('{"a": 1}', '{"a": 1}', "stop"),
        ('<think>{no}</think>\n\n{"a": 1}', '{"a": 1}', "stop"),
        ('perhaps {this}?</think>{"a": 1}', '{"a": 1}', "stop"),
        ('```json\n{"a": [1, 2,],}\n```', '{"a":[1,2]}', "stop"),
        ('Sure [1]:\n{"a": "x, }"}\nMore {soon}.', '{"a":"x, }"}', "stop"),
        ('{"a": "<think>kept</think>"}', '{"a": "<think>kept</think>"}', "stop"),
        ("There is no JSON {here}.", "There is no JSON {here}.", "unparsable"),
        ("I'm sorry, but I can't help with that.", "I'm sorry, but I can't help with that.", "refused"),
        ("<think>hm</think>", "", "thinking_only"),
        ("<think>hm", "", "thinking_only"),
    ],
)
async def test_json_is_found_in_what_a_model_wrote(text: str, found: str, finish: str, server: StandIn) -> None:
    server.answers(200, json.dumps({**HELLO, "choices": [content(text)]}))
    completion = await ask(server, request(JSON_GRAMMAR))
    assert (completion.text, completion.finish_reason) == (found, finish)


@pytest.mark.parametrize(
    ("choice_", "finish"),
    [
        (content(None, refusal="No."), "refused"),
        (content("", "content_filter"), "refused"),
        (content(None, reasoning_content="Well"), "thinking_only"),
        (content('{"a"', "length"), "length"),
    ],
)
async def test_an_unusable_answer_has_the_reason_as_its_finish_reason(
    choice_: dict[str, Any], finish: str, server: StandIn
) -> None:
    server.answers(200, json.dumps({**HELLO, "choices": [choice_]}))
    assert (await ask(server, request(JSON_GRAMMAR))).finish_reason == finish


@pytest.mark.parametrize(
    ("message", "thinking", "text"),
    [
        ({"content": '{"a": 1}', "reasoning_content": "Well."}, "Well.", '{"a": 1}'),
        ({"content": '{"a": 1}', "reasoning": "Well."}, "Well.", '{"a": 1}'),
        ({"content": '<think>Well.</think>\n{"a": 1}'}, "Well.", '{"a": 1}'),
        ({"content": 'Well.</think>{"a": 1}'}, "Well.", '{"a": 1}'),
        ({"content": "<think>Well"}, "Well", ""),
        ({"content": '<think>\n\n</think>\n\n{"a": 1}'}, "", '{"a": 1}'),
        ({"content": None, "reasoning": '{"a": 1}'}, "", '{"a": 1}'),
    ],
)
async def test_thinking_is_kept_apart_from_the_answer(
    message: dict[str, Any], thinking: str, text: str, server: StandIn
) -> None:
    choice_ = {"message": message, "finish_reason": "stop", "logprobs": None}
    server.answers(200, json.dumps({**HELLO, "choices": [choice_]}))
    completion = await ask(server, request(JSON_GRAMMAR))
    assert (completion.thinking, completion.text) == (thinking, text)


async def test_thinking_that_is_hidden_and_takes_all_tokens_is_seen_in_the_token_count(server: StandIn) -> None:
    usage = {"completion_tokens": 16, "completion_tokens_details": {"reasoning_tokens": 16}}
    server.answers(200, json.dumps({**HELLO, "choices": [content("", "length")], "usage": usage}))
    completion = await ask(server, request(JSON_GRAMMAR))
    assert (completion.finish_reason, completion.thinking_tokens) == ("thinking_only", 16)


@pytest.mark.parametrize("listed", [["<think>", "b", "</think>", "\n\n", "b"], ["b"], ["\n\nb"], ["x"]])
async def test_logprobs_are_those_of_the_answer_alone(listed: list[str], server: StandIn) -> None:
    places = [
        {"token": token, "top_logprobs": [{"token": token, "logprob": -number}]} for number, token in enumerate(listed)
    ]
    choice_ = {**content("b", reasoning="b"), "logprobs": {"content": places}}
    server.answers(200, json.dumps({**HELLO, "choices": [choice_]}))
    completion = await ask(server, request(choice(["a", "b"]), logprobs=5))
    last = listed[-1]
    assert completion.logprobs == (() if last == "x" else ({last: -(len(listed) - 1)},))


@pytest.mark.parametrize(
    ("thinks", "thinking", "limit"),
    [
        ("never", None, 9), ("never", False, 9), ("never", True, 109), ("by_default", None, 109),
        ("by_default", False, 9), ("always", False, 109),
    ],
)  # fmt: skip
async def test_the_token_limit_leaves_room_where_the_model_may_think(
    thinks: str, thinking: bool | None, limit: int, server: StandIn
) -> None:
    asked = request(max_tokens=9, thinking_tokens=100).model_copy(update={"thinking": thinking})
    dialect = dataclasses.replace(VLLM, thinks=thinks, thinking_budget=True)
    await ask(server, asked, dialect=dialect)
    assert server.bodies[0]["max_tokens"] == limit
    assert server.bodies[0].get("thinking_token_budget") == (100 if limit > 9 else None)


@pytest.mark.parametrize(
    ("form", "thinking", "sent"),
    [
        ("chat_template_kwargs", True, {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}}),
        ("chat_template_kwargs", False, {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}),
        ("reasoning_effort", True, {"reasoning_effort": "medium"}),
        ("reasoning_effort", False, {"reasoning_effort": "low"}),
        ("none", False, {}),
        ("reasoning_effort", None, {}),
    ],
)
async def test_thinking_is_switched_as_the_endpoint_wants_it(
    form: str, thinking: bool | None, sent: dict[str, Any], server: StandIn
) -> None:
    dialect = dataclasses.replace(VLLM, thinking=form, least_effort="low", thinks="always")
    await ask(server, request().model_copy(update={"thinking": thinking}), dialect=dialect)
    keys = ("chat_template_kwargs", "reasoning_effort")
    assert {key: server.bodies[0][key] for key in keys if key in server.bodies[0]} == sent


async def test_logprobs_are_read_in_the_older_form_too(server: StandIn) -> None:
    older = {"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": [{"a": -0.1, "b": -2.5}]}
    server.answers(200, json.dumps({**HELLO, "choices": [{**content("a"), "logprobs": older}]}))
    assert (await ask(server, request(logprobs=5))).logprobs == ({"a": -0.1, "b": -2.5},)


async def test_the_api_key_stands_in_the_header_alone(server: StandIn) -> None:
    await ask(server, key="sk-secret")
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in json.dumps(server.bodies)


async def test_without_a_key_none_is_sent(server: StandIn) -> None:
    await ask(server)
    assert "Authorization" not in server.headers[0]


async def test_the_api_key_is_in_no_error(server: StandIn) -> None:
    server.answers(500, "no")
    with pytest.raises(RetryableError) as caught:
        await ask(server, key="sk-secret")
    assert "sk-secret" not in str(caught.value)


# -- what can go wrong -----------------------------------------------------------------------------


async def test_a_refusal_because_thinking_took_all_tokens_is_thinking_without_an_answer(server: StandIn) -> None:
    words = "Could not finish the message because max_tokens or model output limit was reached. Please try again"
    server.answers(400, json.dumps({"error": {"message": words}}))
    completion = await ask(server, request(max_tokens=9))
    assert (completion.text, completion.finish_reason, completion.completion_tokens) == ("", "thinking_only", 9)


# -- what can be learnt ----------------------------------------------------------------------------


async def test_a_refusal_that_names_a_parameter_is_learnt_once_and_no_request_is_lost(server: StandIn) -> None:
    lessons: list[str] = []

    async def picky() -> web.Response:
        body = server.bodies[-1]
        for key in ("min_p", "max_tokens", "seed"):
            if key in body:
                return web.json_response({"error": {"message": f"Unsupported parameter: '{key}'"}}, status=400)
        return await server.hello()

    server.reply = picky
    endpoint = Endpoint(server.url, "m", None, RequestSettings(5.0), VLLM, lessons.append)
    sent = [endpoint.complete(request(min_p=0.1, seed=number)) for number in range(4)]
    assert [completion.text for completion in await asyncio.gather(*sent)] == ["sport"] * 4
    before = len(server.bodies)
    await endpoint.complete(request(min_p=0.1, seed=9))
    await endpoint.aclose()
    assert len(server.bodies) == before + 1
    assert [words.split(" refuses ")[1].split(";")[0] for words in lessons] == ["min_p", "max_tokens", "seed"]


async def test_a_prompt_that_is_too_long_teaches_nothing(server: StandIn) -> None:
    server.answers(400, "'max_tokens' is too large: 256. This model's maximum context length is 4096 tokens")
    endpoint = Endpoint(server.url, "m", None, RequestSettings(5.0), VLLM, lambda _: None)
    with pytest.raises(FatalRequestError, match="is too large"):
        await endpoint.complete(request())
    await endpoint.aclose()
    assert endpoint.dialect == VLLM


# -- refusals and failures -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 403, 413, 422])
async def test_a_refusal_is_final_and_keeps_the_servers_words(status: int, server: StandIn) -> None:
    server.answers(status, "the prompt is too long")
    with pytest.raises(FatalRequestError, match=f"answered {status}: the prompt is too long"):
        await ask(server)


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503])
async def test_a_busy_or_broken_server_is_retryable(status: int, server: StandIn) -> None:
    server.answers(status, "later")
    with pytest.raises(RetryableError, match=f"answered {status}: later"):
        await ask(server)


@pytest.mark.parametrize("status", [401, 404])
async def test_a_server_that_knows_no_such_key_or_model_is_unfit(status: int, server: StandIn) -> None:
    server.answers(status, "unknown")
    with pytest.raises(UnfitError, match=f"answered {status}: unknown"):
        await ask(server)


@pytest.mark.parametrize(
    ("status", "header", "after"),
    [(429, None, None), (429, "7", 7.0), (503, "0.5", 0.5), (429, "-3", 0.0), (429, "soon", None)],
)
async def test_retry_after_is_read_as_seconds(
    status: int, header: str | None, after: float | None, server: StandIn
) -> None:
    server.answers(status, "later", {"Retry-After": header} if header else {})
    with pytest.raises(BusyError) as caught:
        await ask(server)
    assert (caught.value.after, caught.value.charge) == (after, 0.0)


async def test_retry_after_is_read_as_a_date(server: StandIn) -> None:
    server.answers(
        429, "later", {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)}
    )
    with pytest.raises(BusyError) as caught:
        await ask(server)
    assert caught.value.after is not None
    assert 80 < caught.value.after <= 90


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}, 90),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "7"}, 7),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "1m30s"}, -math.inf),
    ],
)
async def test_a_quota_that_is_used_up_is_noticed(headers: dict[str, str], seconds: float, server: StandIn) -> None:
    server.answers(200, json.dumps(HELLO), headers)
    endpoint = endpoint_at(server)
    began = time.monotonic()
    await endpoint.complete(request())
    await endpoint.aclose()
    left = endpoint.no_quota_until - began
    assert left == pytest.approx(seconds, abs=3) if seconds > 0 else left < 1


async def test_an_account_without_credit_is_not_busy(server: StandIn) -> None:
    server.answers(429, '{"error": {"code": "insufficient_quota"}}')
    with pytest.raises(UnfitError, match="no credit left"):
        await ask(server)


async def test_no_answer_in_time_is_retryable(server: StandIn) -> None:
    async def never() -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    server.reply = never
    with pytest.raises(OverloadedError, match=r"no answer from .* in time"):
        await ask(server, timeout=0.05)


async def test_no_seed_is_sent_to_an_endpoint_that_is_set_to_get_none(server: StandIn) -> None:
    endpoint = endpoint_at(server, dialect=Dialect(seed=False))
    await endpoint.complete(request(seed=7))
    await endpoint.aclose()
    assert "seed" not in server.bodies[0]


async def test_a_refused_connection_is_retryable(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    endpoint = Endpoint(url, "m", None, RequestSettings(5.0))
    with pytest.raises(UnreachableError, match=f"{url}: Cannot connect: .*refused"):
        await endpoint.complete(request())
    await endpoint.aclose()


async def test_a_broken_connection_is_retryable(server: StandIn) -> None:
    async def hang_up() -> web.Response:
        raise asyncio.CancelledError

    server.reply = hang_up
    with pytest.raises(RetryableError, match="connection closed before"):
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
        '{"model": "m", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], '
        '"usage": {"prompt_tokens": 1e999}}',
        '{"model": "m", "choices": [{"message": {"content": "x"}, "finish_reason": "stop", "logprobs": '
        '{"content": [{"top_logprobs": [{"token": "x", "logprob": [1]}]}]}}]}',
    ],
)
async def test_a_body_that_is_no_completion_is_retryable(body: str, server: StandIn) -> None:
    server.answers(200, body)
    with pytest.raises(RetryableError, match="an answer that is not a chat completion"):
        await ask(server)


async def test_a_request_that_is_not_valid_json_is_not_sent(server: StandIn) -> None:
    with pytest.raises(FatalRequestError, match="cannot be written as JSON"):
        await ask(server, request(content="\ud800"))
    assert server.bodies == []


async def test_an_adapter_is_asked_for_and_checked_by_its_name(server: StandIn) -> None:
    async def reply() -> web.Response:
        return web.json_response({**HELLO, "model": server.bodies[-1]["model"]})

    wanted = request().model_copy(update={"adapter": "lora-1"})
    with pytest.raises(UnfitError, match=r"another model answers \('m', not 'lora-1'\); set judge.adapter"):
        await ask(server, wanted)
    server.reply = reply
    await ask(server, wanted)
    await ask(server)
    assert [body["model"] for body in server.bodies] == ["lora-1", "lora-1", "m"]


@pytest.mark.parametrize("name", ["m", "M", "vendor/m", "m-2026-01-31", None])
async def test_an_alias_or_a_dated_name_is_the_same_model(name: str | None, server: StandIn) -> None:
    server.answers(200, json.dumps({**HELLO, "model": name}))
    assert (await ask(server)).text == "sport"


async def test_another_model_behind_the_url_is_unfit_and_the_cure_is_named(server: StandIn) -> None:
    server.answers(200, json.dumps({**HELLO, "model": "stranger"}))
    with pytest.raises(UnfitError, match=r"another model answers \('stranger', not 'm'\); set engine.model"):
        await ask(server)
