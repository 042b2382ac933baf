"""Test what an endpoint is asked before traffic, and what follows from servers that say less than they should."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from synthgen.engines.base import ModelConfig
from synthgen.engines.http.body import BodyWriter
from synthgen.engines.http.dialect import VLLM, Dialect, DialectConfig, blamed, changed, in_words, without
from synthgen.engines.http.questions import find_out
from synthgen.engines.http.waiting_queue import WaitingQueue
from synthgen.errors import ConfigError, FatalRequestError, RetryableError
from synthgen.records import Completion, Json, Request

Refuses = Callable[[Json], str | None]


class Server:
    """Stands for an endpoint: `refuses` returns its words against a body, or None; `listed` are its models."""

    model, url = "m", "http://server/v1"

    def __init__(self, refuses: Refuses, text: str = "{", logprobs: int = 20, listed: list[Json] | None = None) -> None:
        self.dialect = VLLM
        self.hint = ""
        self.bodies: list[Json] = []
        self._refuses = refuses
        self._text = text
        self._logprobs = logprobs
        self._listed = listed or []
        self._body_writer = BodyWriter("m", {})

    def request_body(self, request: Request, dialect: Dialect) -> Json:
        return self._body_writer.body(request, dialect)

    async def attempt(self, request: Request, dialect: Dialect) -> Completion | FatalRequestError:
        body = self.request_body(request, dialect)
        self.bodies.append(body)
        if (words := self._refuses(body)) is not None:
            return FatalRequestError(f"answered 400: {words}")
        tokens = {f"t{number}": -1.0 for number in range(min(self._logprobs, body.get("top_logprobs", 0)))}
        is_choice = "structured_outputs" in body and request.grammar is not None and request.grammar.kind == "choice"
        text = "zyx" if is_choice else self._text
        return Completion(text=text, finish_reason="length", logprobs=(tokens,) if tokens else ())

    async def models(self) -> list[Json]:
        return self._listed

    @asynccontextmanager
    async def accepting_any_model(self) -> Any:
        yield


async def found(server: Server, known: Json | None = None, thinking: str = "auto") -> Dialect:
    server.hint = await find_out(server, known or {}, [], ModelConfig(thinking=thinking))  # type: ignore[arg-type]
    return server.dialect


def silent(*keys: str) -> Refuses:
    """Refuse bodies with one of the keys, without saying why."""
    return lambda body: "Bad request" if any(key in body for key in keys) else None


async def test_a_server_that_takes_everything_is_asked_five_questions() -> None:
    server = Server(lambda _: None)
    assert await found(server) == VLLM
    assert len(server.bodies) == 5
    assert [body["max_tokens"] for body in server.bodies] == [16, 1, 1, 1, 1]


async def test_a_server_that_does_not_say_what_it_refuses_is_asked_for_each_thing_alone() -> None:
    dialect = await found(Server(silent("min_p", "priority", "temperature")))
    assert (dialect.min_p, dialect.priority, dialect.temperature) == (False, False, False)
    assert (dialect.seed, dialect.bad_words, dialect.top_p, dialect.system) == (True, True, True, True)
    assert (await found(Server(silent("max_tokens")))).token_key == "max_completion_tokens"


async def test_a_server_that_refuses_a_plain_request_is_unusable() -> None:
    with pytest.raises(FatalRequestError, match="Bad request"):
        await found(Server(lambda _: "Bad request"))


async def test_a_grammar_that_has_no_effect_is_none() -> None:
    dialect = await found(Server(silent("structured_outputs"), text="Hello!"))
    assert (dialect.schema, dialect.choice) == ("json_object", "none")
    assert (await found(Server(silent("structured_outputs", "response_format"), text="Hello!"))).schema == "none"


async def test_logprobs_are_asked_for_in_smaller_numbers_before_they_are_given_up() -> None:
    def few(body: Json) -> str | None:
        return "Bad request" if body.get("top_logprobs", 0) > 5 else None

    assert (await found(Server(few))).logprobs == 5
    assert (await found(Server(silent("logprobs")))).logprobs == 0
    assert (await found(Server(lambda _: None, logprobs=0))).logprobs == 0


@pytest.mark.slow
async def test_a_server_that_fails_at_a_question_refuses_it() -> None:
    class Fails(Server):
        async def attempt(self, request: Request, dialect: Dialect) -> Completion | FatalRequestError:
            if request.sampling.logprobs:
                raise RetryableError("answered 500: logprobs is not supported for models created with logits_all=False")
            return await super().attempt(request, dialect)

    assert (await found(Fails(lambda _: None))).logprobs == 0


async def test_what_vllm_alone_reads_is_sent_to_no_other_server() -> None:
    dialect = await found(Server(silent("structured_outputs")))
    assert (dialect.bad_words, dialect.priority, dialect.min_p) == (False, False, True)


@pytest.mark.parametrize(
    ("listed", "window"),
    [
        ([{"id": "m", "max_model_len": 4096}, {"id": "x", "max_model_len": 1}], 4096),
        ([{"id": "file.gguf", "meta": {"n_ctx": 2048}}], 2048),
        ([{"id": "a"}, {"id": "b"}], None),
    ],
)
async def test_the_window_is_the_models_own(listed: list[Json], window: int | None) -> None:
    assert (await found(Server(lambda _: None, listed=listed))).window == window


async def test_what_the_config_says_is_not_asked() -> None:
    known = DialectConfig(preset="ollama", logprobs=0).known()
    server = Server(silent("min_p"))
    dialect = await found(server, known)
    assert (dialect.schema, dialect.choice, dialect.logprobs) == ("json_schema", "none", 0)
    assert not any({"response_format", "logprobs", "structured_outputs"} & body.keys() for body in server.bodies)


# -- what refusals say -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "parameter"),
    [
        ("Unrecognized request argument supplied: min_p", "min_p"),
        ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'", "max_tokens"),
        ("Unsupported value: 'temperature' does not support 0 with this model. Only the default (1)", "temperature"),
        ("[{'type': 'extra_forbidden', 'loc': ('body', 'bad_words'), 'msg': 'Extra inputs are not permitted'}]", "bad_words"),
        ("body -> seed\n  Extra inputs are not permitted (type=extra_forbidden)", "seed"),
        ("Invalid parameter: 'response_format' of type 'json_schema' is not supported", "response_format"),
        ("System role not supported", "system"),
        ("Requested sample logprobs of 20, which is greater than max allowed: 5", "logprobs"),
        ("'max_tokens' is too large: 256. This model's maximum context length is 4096 tokens", None),
        ("the request exceeds the available context size", None),
        ("Something went wrong", None),
    ],
)  # fmt: skip
def test_a_refusal_names_what_is_to_be_left_out(words: str, parameter: str | None) -> None:
    body = {
        "max_tokens": 1, "temperature": 0.0, "min_p": 0.1, "bad_words": [], "seed": 1, "response_format": {},
        "logprobs": True, "top_logprobs": 20,
    }  # fmt: skip
    assert blamed(words, body) == parameter


def test_the_number_of_logprobs_that_is_allowed_is_read_from_the_refusal() -> None:
    for words in ("which is greater than max allowed: 5", "must be at most 5", "less than or equal to 5"):
        changed = without(VLLM, "logprobs", words)
        assert changed is not None
        assert changed.logprobs == 5


def test_what_has_no_other_form_cannot_be_left_out() -> None:
    assert without(Dialect(system=False), "system") is None
    assert without(Dialect(schema="none"), "response_format") is None
    assert without(Dialect(logprobs=0), "logprobs") is None


def test_the_line_about_an_endpoint_names_only_what_differs() -> None:
    assert in_words(VLLM) == (
        "max_tokens; JSON Schemas as structured_outputs; choices as structured_outputs; 20 logprobs a token"
    )
    assert in_words(Dialect(seed=False, window=4096)).endswith("no seeds; window 4,096 tokens")


def test_a_dialect_key_out_of_range_is_named() -> None:
    with pytest.raises(ConfigError, match=r"engine.dialect.preset: 'vLLM' is not one of vllm, sglang"):
        DialectConfig(preset="vLLM").check("engine.dialect")
    with pytest.raises(
        ConfigError, match=r"judge.engine.dialect.schema: 'guided_json' is not one of structured_outputs"
    ):
        DialectConfig(schema="guided_json").check("judge.engine.dialect")


# -- the line --------------------------------------------------------------------------------------


async def test_places_go_to_the_most_urgent_then_to_the_earliest_slot_then_to_the_first() -> None:
    free: list[str] = []
    line: WaitingQueue[str] = WaitingQueue(lambda: free.pop() if free else None, free.append, lambda: None)
    order: list[str] = []

    async def want(name: str, priority: int, slot: int) -> None:
        assert await line.wait(line.turn(priority, slot)) == "place"
        order.append(name)

    wanted = [("first", 10, 5), ("second", 10, 5), ("earlier slot", 10, 4), ("judge", 0, 6)]
    waiting = [asyncio.create_task(want(*one)) for one in wanted]
    await asyncio.sleep(0)
    for _ in waiting:
        free.append("place")
        line.move()
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert order == ["judge", "earlier slot", "first", "second"]


async def test_a_place_that_came_too_late_is_given_back() -> None:
    free: list[str] = []
    line: WaitingQueue[str] = WaitingQueue(lambda: free.pop() if free else None, free.append, lambda: None)
    waiting = asyncio.create_task(line.wait(line.turn(0)))
    await asyncio.sleep(0)
    free.append("place")
    line.move()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert free == ["place"]


# -- thinking --------------------------------------------------------------------------------------


class Thinker(Server):
    """Stands for an endpoint whose model thinks where `thinks` is true of a body."""

    def __init__(self, thinks: Callable[[Json], bool], refuses: Refuses = lambda _: None) -> None:
        super().__init__(refuses)
        self._thinks = thinks

    async def attempt(self, request: Request, dialect: Dialect) -> Completion | FatalRequestError:
        answer = await super().attempt(request, dialect)
        if isinstance(answer, Completion) and self._thinks(self.bodies[-1]):
            return answer.model_copy(update={"thinking": "Well"})
        return answer


def no_effort(body: Json) -> str | None:
    return "Unsupported value: 'reasoning_effort' does not support that" if body.get("reasoning_effort") in (
        "none", "minimal",
    ) else None  # fmt: skip


@pytest.mark.parametrize(
    ("server", "switch"),
    [
        (Thinker(lambda body: "chat_template_kwargs" not in body), ("by_default", "chat_template_kwargs", "none")),
        (Thinker(lambda body: body.get("reasoning_effort") != "none"), ("by_default", "reasoning_effort", "none")),
        (Thinker(lambda _: True), ("always", "reasoning_effort", "minimal")),
        (Thinker(lambda _: True, no_effort), ("always", "reasoning_effort", "low")),
        (Thinker(lambda _: True, silent("reasoning_effort")), ("always", "none", "none")),
    ],
)
async def test_a_thinking_model_is_told_in_each_known_way_not_to_think(
    server: Thinker, switch: tuple[str, str, str]
) -> None:
    dialect = await found(server)
    assert (dialect.thinks, dialect.thinking, dialect.least_effort) == switch
    assert dialect.thinking_budget


async def test_a_model_that_thinks_when_asked_to_is_asked_to() -> None:
    server = Thinker(lambda body: body.get("chat_template_kwargs", {}).get("enable_thinking", False))
    dialect = await found(server, thinking="on")
    assert (dialect.thinks, dialect.thinking, server.hint) == ("by_default", "chat_template_kwargs", "")
    dialect = await found(Thinker(lambda body: "reasoning_effort" in body), thinking="on")
    assert (dialect.thinks, dialect.thinking) == ("by_default", "reasoning_effort")


async def test_a_model_that_shows_no_thinking_is_reported_where_it_should_think() -> None:
    server = Server(lambda _: None)
    await found(server, thinking="on")
    assert "shows no thinking" in server.hint
    assert await found(Server(lambda _: None), thinking="off") != VLLM  # the switch may have an effect later
    mute = Server(silent("chat_template_kwargs", "reasoning_effort"))
    assert (await found(mute, thinking="off")).thinking == "none"
    assert mute.hint == ""


async def test_thinking_that_is_set_by_hand_is_not_asked_for() -> None:
    server = Thinker(lambda _: True)
    assert (await found(server, {"thinks": "never"})).thinks == "never"
    assert all("chat_template_kwargs" not in body for body in server.bodies)
    dialect = await found(Thinker(lambda body: "reasoning_effort" not in body), {"thinking": "chat_template_kwargs"})
    assert (dialect.thinks, dialect.thinking) == ("always", "none")


async def test_a_preset_leaves_open_whether_the_model_thinks() -> None:
    known = DialectConfig(preset="vllm").known()
    dialect = await found(Thinker(lambda body: "chat_template_kwargs" not in body), known)
    assert (dialect.thinks, dialect.thinking_budget) == ("by_default", True)


def test_a_switch_that_is_refused_during_a_run_is_replaced() -> None:
    dialect = changed(VLLM, thinks="by_default")
    forms = []
    while dialect.thinking != "none":
        parameter = blamed(f"{dialect.thinking} is not supported", {dialect.thinking: "x"})
        assert parameter == dialect.thinking
        dialect = without(dialect, parameter) or dialect
        forms.append((dialect.thinking, dialect.least_effort, dialect.thinks))
    assert forms == [
        ("reasoning_effort", "none", "by_default"),
        ("reasoning_effort", "minimal", "always"),
        ("reasoning_effort", "low", "always"),
        ("none", "low", "always"),
    ]
