"""The HTTP client of one OpenAI-compatible endpoint: what is sent, what is read, what went wrong.

What follows from an error, such as asking another endpoint, is `synthgen.engines.http.fleet`'s part.
"""

import json
import math
import time
from collections.abc import Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import RequestError, RequestTimeoutError
from pyreqwest.response import Response

from synthgen.engines.grammar.schema import to_response_format, to_vllm
from synthgen.errors import FatalRequestError, RetryableError
from synthgen.records import Completion, Json, Message, Request
from synthgen.safety.secrets import MASK, keep, mask

GRAMMAR_FIELDS = ("structured_outputs", "response_format")
_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 60.0
_KEPT = 256


class UnreachableError(RetryableError):
    """Nobody listens there: the request was not sent."""


class BusyError(RetryableError):
    """The endpoint asks to be left alone for `after` seconds; None where it does not say how long."""

    def __init__(self, words: str, after: float | None) -> None:
        super().__init__(words, charge=0.0)
        self.after = after


class UnfitError(RetryableError):
    """What answers is not what was asked for: another model, or a server that does not know the key."""


class Endpoint:
    """One endpoint, by its URL up to and with /v1."""

    def __init__(
        self, url: str, model: str, key: str | None, timeout: float, grammar_field: str, seeds: bool = True
    ) -> None:
        """Without `seeds` no request is sent with the one it has."""
        self.url = url.rstrip("/")
        self._model = model
        self._seeds = seeds
        self.holds_grammars = grammar_field == "structured_outputs"
        """Whether every answer is to keep to its request's grammar; `response_format` is for JSON alone, and a wish."""
        self._key = keep(key)
        self._address = f"{self.url}/chat/completions"
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._client = (
            ClientBuilder()
            .default_headers(headers)
            .timeout(timedelta(seconds=timeout))
            .connect_timeout(timedelta(seconds=_CONNECT_SECONDS))
            .pool_idle_timeout(timedelta(seconds=_IDLE_SECONDS))
            .follow_redirects(False)  # a key is for the address it was given for
            .no_proxy()
            .build()
        )
        self._spelled: dict[int, tuple[object, orjson.Fragment]] = {}

    async def complete(self, request: Request) -> Completion:
        """Raises FatalRequestError for a request that is refused, else one of the RetryableErrors above."""
        try:
            body = orjson.dumps(self._body(request))
        except TypeError as error:  # a lone surrogate, or a number past 64 bits in a schema
            raise FatalRequestError(f"{request.id}: cannot be written as JSON: {error}") from error
        started = time.monotonic()
        try:
            response = await self._client.post(self._address).body_bytes(body).build().send()
            payload = self._without_key(bytes(await response.bytes()))
        except RequestError as error:
            raise self._unanswered(error) from error
        if response.status != 200:
            raise self._failure(response, payload)
        return self._completion(payload, request, time.monotonic() - started)

    async def aclose(self) -> None:
        await self._client.close()

    def _unanswered(self, error: RequestError) -> RetryableError:
        causes = [cause["message"] for cause in error.details["causes"] or ()]
        words = ": ".join(causes[2:] or [error.message])  # before them stand the URL and the kind of error
        if any(cause.startswith("client error (Connect)") for cause in causes):
            return UnreachableError(f"{self.url}: Cannot connect: {words}")
        if isinstance(error, RequestTimeoutError):
            return RetryableError(f"no answer from {self.url} in time")
        return RetryableError(f"{self.url}: {words}")

    def _without_key(self, payload: bytes) -> bytes:
        """A server may echo the request's headers, in an answer too, and answers are kept."""
        return payload.replace(self._key.encode(), MASK.encode()) if self._key else payload

    def _body(self, request: Request) -> Json:
        sampling = request.sampling
        body: Json = {
            "model": request.adapter or self._model,
            "messages": self._once(request.messages, _spell),
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
        }
        if sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if sampling.min_p > 0:
            body["min_p"] = sampling.min_p
        if sampling.seed is not None and self._seeds:
            body["seed"] = sampling.seed
        if sampling.logprobs is not None:
            body["logprobs"], body["top_logprobs"] = True, sampling.logprobs
        if self.holds_grammars:
            body["priority"] = request.priority
            if sampling.bad_words:
                body["bad_words"] = self._once(sampling.bad_words, list)
            if request.grammar is not None:
                body["structured_outputs"] = self._once(request.grammar, to_vllm)
        elif request.grammar is not None and (form := to_response_format(request.grammar)) is not None:
            body["response_format"] = form
        return body

    def _once(self, value: Any, spell: Callable[[Any], Any]) -> orjson.Fragment:
        """The JSON of what many requests share, a prompt or a grammar; made when it is first seen."""
        known = self._spelled.get(id(value))
        if known is None or known[0] is not value:
            if len(self._spelled) >= _KEPT:
                self._spelled.clear()
            known = self._spelled[id(value)] = value, orjson.Fragment(orjson.dumps(spell(value)))
        return known[1]

    def _failure(self, response: Response, payload: bytes) -> Exception:
        status = response.status
        words = f"{self.url} answered {status}: {_beginning(payload)}"
        after = _seconds(response.get_header("Retry-After"))
        if status == 429 or (status == 503 and after is not None):
            return BusyError(words, after)
        if status in (401, 404):
            return UnfitError(words)
        return RetryableError(words) if status >= 500 or status in (408, 425) else FatalRequestError(words)

    def _completion(self, payload: bytes, request: Request, seconds: float) -> Completion:
        wanted = request.adapter or self._model
        try:
            reply = _read_json(payload)
            if reply["model"] != wanted:
                key = "engine.model" if wanted == self._model else "judge.adapter or generate.adapter"
                raise UnfitError(
                    f"{self.url}: another model answers ('{reply['model']}', not '{wanted}'); "
                    f"give the name of the one that is meant as {key}"
                )
            first = reply["choices"][0]
            usage = reply.get("usage") or {}
            content = (first.get("logprobs") or {}).get("content") or ()
            logprobs = tuple(alternatives(place["top_logprobs"]) for place in content)
            return Completion(
                text=first["message"]["content"] or "",
                finish_reason=first["finish_reason"] or "unknown",
                logprobs=logprobs,
                prompt_tokens=usage.get("prompt_tokens", 0),
                cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
                completion_tokens=usage.get("completion_tokens", 0),
                engine=self.url,
                seconds=seconds,
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise RetryableError(
                f"{self.url}: an answer that is not a chat completion: {_beginning(payload)!r}"
            ) from error


def _spell(messages: tuple[Message, ...]) -> list[Json]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _beginning(payload: bytes) -> str:
    """What an answer begins with, for a message; masked before it is cut, for half a secret is one too."""
    return mask(payload[:20_000].decode("utf-8", "replace"))[:300]


def _read_json(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return json.loads(payload)  # knows NaN and Infinity, which some servers write for logprobs


def alternatives(listed: list[Json]) -> dict[str, float]:
    """Logprobs by token text; tokens of the same text, such as parts of characters, share their probability.

    A logprob that is no number is NaN, and so is what it is added to.
    """
    found: dict[str, float] = {}
    for entry in listed:
        token, value = entry["token"], entry["logprob"]
        logprob = math.nan if value is None else float(value)
        found[token] = _log_sum(found[token], logprob) if token in found else logprob
    return found


def _log_sum(one: float, other: float) -> float:
    """The logarithm of two probabilities' sum."""
    if math.isnan(one) or math.isnan(other):
        return math.nan
    high, low = max(one, other), min(one, other)
    return high if math.isinf(high) else high + math.log1p(math.exp(low - high))


def _seconds(header: str | None) -> float | None:
    """What a Retry-After header says, as seconds or as a date; None where it says neither."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None
