"""The HTTP client: one or several OpenAI-compatible endpoints, least loaded first.

Says what went wrong as a typed error; retrying is the caller's business.
"""

import asyncio
import os
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from synthgen.errors import ConfigError, EngineDeadError, FatalRequestError, RetryableError
from synthgen.llm.grammar import to_response_format, to_vllm
from synthgen.records import Completion, Json, Request

GRAMMAR_FIELDS = ("structured_outputs", "response_format")


@dataclass
class EndpointConfig:
    kind: str = "openai"
    """Which engine this is; set by the config group."""
    urls: list[str] = field(default_factory=list)
    """Base URLs up to and with /v1; requests go to the least loaded."""
    model: str = ""
    """The name the endpoints serve the model under."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; an unset one sends none."""
    grammar_field: str = "structured_outputs"
    """structured_outputs (vLLM 0.12+) or response_format (other servers; JSON Schema only)."""
    in_flight: int = 64
    """Generation requests under way at once."""
    timeout: float = 300.0
    """Seconds that one request may take."""
    attempts: int = 4
    """How often a request is tried before its slot is given up."""
    grammar_seconds: float = 120.0
    """Time cap on compiling the task's grammar beforehand."""
    grammar_gigabytes: float = 8.0
    """Memory cap on compiling the task's grammar beforehand."""

    def __post_init__(self) -> None:
        check_common(self)
        if self.grammar_field not in GRAMMAR_FIELDS:
            raise ConfigError(f"engine.grammar_field: '{self.grammar_field}' is not one of {', '.join(GRAMMAR_FIELDS)}")
        if not self.urls:
            raise ConfigError("engine.urls: name at least one endpoint, such as [http://127.0.0.1:8000/v1]")
        if not self.model:
            raise ConfigError("engine.model: say under which name the endpoints serve their model")


def check_common(cfg: Any) -> None:
    """Range checks of the knobs that every engine has."""
    if cfg.in_flight is not None and cfg.in_flight < 1:
        raise ConfigError(f"engine.in_flight: must be 1 or more, got {cfg.in_flight}")
    if cfg.timeout <= 0:
        raise ConfigError(f"engine.timeout: must be above 0 seconds, got {cfg.timeout}")
    if cfg.attempts < 1:
        raise ConfigError(f"engine.attempts: must be 1 or more, got {cfg.attempts}")
    if cfg.grammar_seconds <= 0 or cfg.grammar_gigabytes <= 0:
        raise ConfigError("engine.grammar_seconds and engine.grammar_gigabytes: must be above 0")


class _Endpoint:
    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.load = 0


class EndpointEngine:
    """An Engine over HTTP. `extra` goes into every request body."""

    name = "openai"

    def __init__(
        self, urls: list[str], model: str, key: str | None, timeout: float, grammar_field: str, extra: Json
    ) -> None:
        self._endpoints = [_Endpoint(url) for url in urls]
        self._model = model
        self._grammar_field = grammar_field
        self._extra = extra
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=10),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
        )

    @classmethod
    def from_config(cls, cfg: EndpointConfig) -> "EndpointEngine":
        return cls(cfg.urls, cfg.model, os.environ.get(cfg.api_key_env), cfg.timeout, cfg.grammar_field, {})

    async def complete(self, request: Request) -> Completion:
        try:
            body = orjson.dumps(self._body(request))
        except TypeError as error:  # a lone surrogate, or a number past 64 bits in a schema
            raise FatalRequestError(f"{request.id}: cannot be written as JSON: {error}") from error
        endpoint = min(self._endpoints, key=lambda candidate: candidate.load)
        endpoint.load += 1
        started = time.monotonic()
        try:
            async with self._session.post(f"{endpoint.url}/chat/completions", data=body) as response:
                payload = await response.read()
                status = response.status
        except TimeoutError as error:
            raise RetryableError(f"no answer from {endpoint.url} in time") from error
        except aiohttp.ClientError as error:
            raise RetryableError(f"{endpoint.url}: {error or type(error).__name__}") from error
        finally:
            endpoint.load -= 1
        return self._completion(status, payload, endpoint.url, time.monotonic() - started)

    async def aclose(self) -> None:
        await self._session.close()
        await asyncio.sleep(0)

    def _body(self, request: Request) -> Json:
        sampling = request.sampling
        body: Json = {
            "model": self._model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            **self._extra,
        }
        if sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if sampling.min_p > 0:
            body["min_p"] = sampling.min_p
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.logprobs is not None:
            body["logprobs"], body["top_logprobs"] = True, sampling.logprobs
        if self._grammar_field == "structured_outputs":
            body["priority"] = request.priority
            if request.grammar is not None:
                body["structured_outputs"] = to_vllm(request.grammar)
        elif request.grammar is not None and (form := to_response_format(request.grammar)) is not None:
            body["response_format"] = form
        return body

    def _completion(self, status: int, payload: bytes, url: str, seconds: float) -> Completion:
        if status != 200:
            words = f"{url} answered {status}: {payload[:300].decode('utf-8', 'replace')}"
            raise RetryableError(words) if status >= 500 or status in (408, 425, 429) else FatalRequestError(words)
        try:
            reply = orjson.loads(payload)
            if reply["model"] != self._model:
                raise EngineDeadError(f"{url}: another model answers ('{reply['model']}', not '{self._model}')")
            first = reply["choices"][0]
            usage = reply.get("usage") or {}
            content = (first.get("logprobs") or {}).get("content") or ()
            return Completion(
                text=first["message"]["content"] or "",
                finish_reason=first["finish_reason"] or "unknown",
                logprobs=tuple(
                    {entry["token"]: entry["logprob"] for entry in place["top_logprobs"]} for place in content
                ),
                prompt_tokens=usage.get("prompt_tokens", 0),
                cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
                completion_tokens=usage.get("completion_tokens", 0),
                engine=url,
                seconds=seconds,
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise RetryableError(f"{url}: an answer that is not a chat completion: {payload[:200]!r}") from error
