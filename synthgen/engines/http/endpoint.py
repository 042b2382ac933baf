"""Send requests to one OpenAI-compatible endpoint, read its answers and classify its errors.

`synthgen.engines.http.fleet` reacts to errors, for example with a retry at another endpoint.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import RequestError, RequestTimeoutError
from pyreqwest.proxy import ProxyBuilder

from synthgen.engines.http import reading
from synthgen.engines.http.address import ENVIRONMENT
from synthgen.engines.http.body import BodyWriter
from synthgen.engines.http.dialect import VLLM, Dialect, blamed, without
from synthgen.engines.http.headers import Header, quota_returns_in, retry_after
from synthgen.errors import FatalRequestError, RetryableError
from synthgen.records import THINKING_ONLY, Completion, Json, Request
from synthgen.safety.secrets import MASK, keep, mask

_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 60.0
_MOST_LESSONS = 12
_CUT_OFF = b"Could not finish the message because max_tokens or model output limit was reached"


class UnreachableError(RetryableError):
    """Report that nothing listens at the address, so that the request was not sent."""


class BusyError(RetryableError):
    """Report that the endpoint asks for a pause of `after` seconds; None if it does not state how long."""

    def __init__(self, words: str, after: float | None) -> None:
        super().__init__(words, charge=0.0)
        self.after = after


class OverloadedError(RetryableError):
    """Report that the endpoint did not answer in time, or that it states that it is overloaded."""


class UnfitError(RetryableError):
    """Report a wrong server: it serves another model, or does not accept the key."""


@dataclass(frozen=True)
class RequestSettings:
    """Hold the settings that all requests to an endpoint share."""

    timeout: float
    extra_body: Json = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    proxy: str | None = None
    any_model: bool = False
    """Accept answers under every model name."""


class Endpoint:
    """Send requests to the endpoint at one base URL, up to and including /v1."""

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None,
        settings: RequestSettings,
        dialect: Dialect = VLLM,
        on_omitted: Callable[[str], None] | None = None,
    ) -> None:
        """Open a client. `on_omitted` receives a message for each parameter that the endpoint refuses; if it is None, no
        refused parameter is omitted.
        """
        self.url = url.rstrip("/")
        self.model = model
        self.dialect = dialect
        self._settings = settings
        self._on_omitted = on_omitted
        self._key = keep(key)
        self._address = f"{self.url}/chat/completions"
        self._client = make_client(key, settings, {"Content-Type": "application/json"})
        self._body_writer = BodyWriter(model, settings.extra_body)
        self._met: set[str] | None = None
        self.responds = False
        """True once the endpoint has sent any response, a refusal included."""
        self.no_quota_until = -math.inf
        """Monotonic time until which the endpoint answers no request, according to its own headers."""

    async def complete(self, request: Request) -> Completion:
        """Return the answer. Raise FatalRequestError for a refused request, else one of the RetryableErrors above.

        If the refusal names a parameter, the endpoint's dialect drops that parameter and the request is sent again.
        """
        left = _MOST_LESSONS
        while True:
            dialect = self.dialect
            body = self.request_body(request, dialect)
            outcome = await self._ask(request, body, dialect)
            if isinstance(outcome, Completion):
                return outcome
            left -= 1
            if not left or not self.omit_refused(outcome, body, dialect):
                raise outcome

    async def attempt(self, request: Request, dialect: Dialect) -> Completion | FatalRequestError:
        """Send a request in `dialect`, which may differ from the endpoint's. Return the error if the endpoint refuses.

        Raise the same RetryableErrors as `complete`.
        """
        return await self._ask(request, self.request_body(request, dialect), dialect)

    def request_body(self, request: Request, dialect: Dialect) -> Json:
        """Return the keys and values of a request as they are sent. Raise FatalRequestError for values that JSON cannot
        hold.
        """
        try:
            return self._body_writer.body(request, dialect)
        except TypeError as error:  # a lone surrogate, or a number past 64 bits in a schema
            raise FatalRequestError(f"{request.id}: cannot be written as JSON: {error}") from error

    async def models(self) -> list[Json]:
        """Return the endpoint's list of models; an empty list if it gives none."""
        try:
            response = await self._client.get(f"{self.url}/models").build().send()
            listed = orjson.loads(bytes(await response.bytes())) if response.status == 200 else {}
            return [entry for entry in listed.get("data") or () if isinstance(entry, dict)]
        except (RequestError, orjson.JSONDecodeError, AttributeError, TypeError):
            return []

    async def aclose(self) -> None:
        await self._client.close()

    async def _ask(self, request: Request, body: Json, dialect: Dialect) -> Completion | FatalRequestError:
        try:
            written = orjson.dumps(body)
        except TypeError as error:  # in a key of engine.extra_body
            raise FatalRequestError(f"{request.id}: cannot be written as JSON: {error}") from error
        started = time.monotonic()
        try:
            response = await self._client.post(self._address).body_bytes(written).build().send()
            payload = self._without_key(bytes(await response.bytes()))
        except RequestError as error:
            raise self._unanswered(error) from error
        self.responds = True
        if (wait := quota_returns_in(response.get_header)) > 0:
            self.no_quota_until = max(self.no_quota_until, time.monotonic() + wait)
        return self.read(response.status, response.get_header, payload, request, dialect, time.monotonic() - started)

    def read(
        self, status: int, header: Header, payload: bytes, request: Request, dialect: Dialect, seconds: float
    ) -> Completion | FatalRequestError:
        """Return the Completion in an answer, or the error if the endpoint refuses the request.

        Raise one of the RetryableErrors for a failure that may pass.
        """
        if status == 200:
            return self._completion(payload, request, dialect, seconds)
        if status == 400 and _CUT_OFF in payload:  # OpenAI's error if thinking used up all tokens
            return Completion(
                text="", finish_reason=THINKING_ONLY, engine=self.url, seconds=seconds,
                completion_tokens=self.request_body(request, dialect).get(dialect.token_key) or 0,
            )  # fmt: skip
        failure = self._failure(status, header, payload)
        if isinstance(failure, FatalRequestError):
            return failure
        raise failure

    def omit_refused(self, refusal: FatalRequestError, body: Json, dialect: Dialect) -> bool:
        """Drop a refused parameter from the dialect; return True if the request may now be answered."""
        if self._on_omitted is None:
            return False
        if self.dialect is not dialect:  # an earlier refusal has already changed the dialect
            return True
        parameter = blamed(str(refusal), body)
        changed = without(dialect, parameter, str(refusal)) if parameter else None
        if parameter is None or changed is None:
            return False
        self.dialect = changed
        self._on_omitted(f"{self.url} refuses {parameter}; requests go without it from now on")
        return True

    @contextlib.asynccontextmanager
    async def accepting_any_model(self) -> AsyncIterator[None]:
        """Accept answers under any model name inside this context, and remember the names. It is for the first
        requests.
        """
        self._met = set()
        try:
            yield
        finally:
            names, self._met = tuple(sorted(self._met - {self.model})), None
            self.dialect = dataclasses.replace(self.dialect, answers_as=names)

    def _unanswered(self, error: RequestError) -> RetryableError:
        causes = [cause["message"] for cause in error.details["causes"] or ()]
        words = ": ".join(causes[2:] or [error.message])  # the first two are the URL and the kind of error
        if any(cause.startswith("client error (Connect)") for cause in causes):
            return UnreachableError(f"{self.url}: Cannot connect: {words}")
        if isinstance(error, RequestTimeoutError):
            return OverloadedError(f"no answer from {self.url} in time")
        return RetryableError(f"{self.url}: {words}")

    def _without_key(self, payload: bytes) -> bytes:
        """Mask the API key, because a server may echo the request's headers and answers are stored."""
        return payload.replace(self._key.encode(), MASK.encode()) if self._key else payload

    def _failure(self, status: int, header: Header, payload: bytes) -> RetryableError | FatalRequestError:
        words = f"{self.url} answered {status}: {beginning(payload)}"
        after = retry_after(header)
        if 300 <= status < 400:
            target = header("location") or "an address that it does not name"
            return UnfitError(f"{self.url} answered {status}, a redirect to {target}: set engine.urls to that address")
        if status == 429 and b"insufficient_quota" in payload:
            return UnfitError(f"{words}: the account has no credit left")
        if status == 429 or (status == 503 and after is not None):
            return BusyError(words, after)
        if status == 503:
            return OverloadedError(words)
        if status in (401, 404):
            return UnfitError(words)
        if b"System role not supported" in payload:  # message of a chat template; SGLang sends it with status 500
            return FatalRequestError(words)
        return RetryableError(words) if status >= 500 or status in (408, 425) else FatalRequestError(words)

    def _completion(self, payload: bytes, request: Request, dialect: Dialect, seconds: float) -> Completion:
        try:
            reply = reading.read_payload(payload)
            self._check_name(reply.get("model"), request.adapter)
            return reading.completion(reply, request, dialect, self.url, seconds)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise RetryableError(
                f"{self.url}: an answer that is not a chat completion: {beginning(payload)!r}"
            ) from error

    def _check_name(self, name: Any, adapter: str | None) -> None:
        """Raise UnfitError if another model answers: neither the requested name, nor an alias, nor a dated name."""
        wanted = adapter or self.model
        if self._met is not None and name is not None and adapter is None:
            self._met.add(str(name))
            return
        if name == wanted or name is None or (adapter is None and self._is_known(str(name))):
            return
        key = "judge.adapter or generate.adapter" if adapter else "engine.model"
        raise UnfitError(
            f"{self.url}: another model answers ('{name}', not '{wanted}'); "
            f"set {key} to the name of the model that you mean"
        )

    def _is_known(self, name: str) -> bool:
        if self._settings.any_model or name in self.dialect.answers_as:
            return True
        one, other = (full.rsplit("/", 1)[-1].casefold() for full in (name, self.model))
        return one.startswith(f"{other}-") or other.startswith(f"{one}-") or one == other


def make_client(key: str | None, settings: RequestSettings, headers: dict[str, str]) -> Any:
    """Return an HTTP client that sends the key, `headers` and the headers of `settings` with every request."""
    headers = headers | ({"Authorization": f"Bearer {key}"} if key else {})
    builder = (
        ClientBuilder()
        .default_headers(headers | settings.headers)
        .timeout(timedelta(seconds=settings.timeout))
        .connect_timeout(timedelta(seconds=_CONNECT_SECONDS))
        .pool_idle_timeout(timedelta(seconds=_IDLE_SECONDS))
        .follow_redirects(False)  # the key must not reach another address
    )
    if settings.proxy is None:
        builder = builder.no_proxy()
    elif settings.proxy != ENVIRONMENT:
        builder = builder.proxy(ProxyBuilder.all(settings.proxy))
    return builder.build()


def beginning(payload: bytes) -> str:
    """Return the start of an answer for an error message. Mask it before it is cut, because half a secret is also a
    secret.
    """
    return mask(payload[:20_000].decode("utf-8", "replace"))[:300]
