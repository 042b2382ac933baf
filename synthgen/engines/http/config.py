"""Configure `engine=openai`: one or several existing endpoints, used as one engine."""

from dataclasses import dataclass, field
from typing import Any

from synthgen.engines.base import (
    Capabilities,
    EngineContext,
    ModelConfig,
    Tell,
    check_above_zero,
    check_common,
    warmed,
)
from synthgen.engines.http.address import ENVIRONMENT, check_headers, check_url, fill, read_key
from synthgen.engines.http.dialect import DialectConfig, from_known
from synthgen.engines.http.endpoint import Endpoint, Manners
from synthgen.engines.http.fleet import Fleet
from synthgen.engines.http.limits import Pace
from synthgen.errors import ConfigError
from synthgen.records import Engine, Json


@dataclass
class EndpointConfig:
    kind: str = "openai"
    """Name of the engine; the config group sets it."""
    urls: list[str] = field(default_factory=list)
    """Base URLs, up to and including /v1. Each request goes to the least loaded endpoint."""
    model: str = ""
    """Name under which the endpoints serve the model."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the API key. If it is unset, no key is sent."""
    dialect: DialectConfig = field(default_factory=DialectConfig)
    """The part of OpenAI's API that the endpoints understand. It is detected at the start; values set here override it.
    """
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Keys to add to every request body, or to override, for example {reasoning_effort: high}."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers to add to every request, for example {X-Title: demo}. Take secrets from the environment only, for example
    {X-Api-Key: "${oc.env:MY_KEY}"}."""
    proxy: str | None = None
    """Address of an HTTP proxy; env to use HTTP_PROXY, HTTPS_PROXY and NO_PROXY; null for none."""
    request_seeds: bool = True
    """Send a seed with every request. Set false for vLLM's CPU build, which crashes on seeds, and for vLLM on GPUs,
    which samples more slowly with them."""
    in_flight: int = 64
    """In-flight limit of each endpoint, the judge's requests included. The limit falls while an endpoint refuses
    requests because of load."""
    requests_per_minute: float | None = None
    """Most requests per minute, over all endpoints together; null for no limit."""
    tokens_per_minute: float | None = None
    """Most tokens per minute, prompts and answers, over all endpoints together; null for no limit."""
    timeout: float = 300.0
    """Timeout of one request, in seconds."""
    attempts: int = 4
    """Failed attempts after which a request's slot is given up. Only failures while other requests succeed count in
    full."""
    patience: float = 300.0
    """Seconds to wait for an endpoint when none answers. After that the run ends with exit code 4."""
    grammar_seconds: float = 120.0
    """CPU time limit for compiling the task's grammar before the run, in seconds."""
    grammar_gigabytes: float = 8.0
    """Memory limit for compiling the task's grammar before the run, in gigabytes."""

    def __post_init__(self) -> None:
        check_common(self)
        check_above_zero(self, "patience")
        for key in ("requests_per_minute", "tokens_per_minute"):
            if (value := getattr(self, key)) is not None and value <= 0:
                raise ConfigError(f"engine.{key}: must be above 0, or null for no limit, got {value}")
        if not self.urls:
            raise ConfigError("engine.urls: name at least one endpoint, such as [http://127.0.0.1:8000/v1]")
        for url in self.urls:
            check_url("engine.urls", url)
        if not self.model:
            raise ConfigError("engine.model: give the name under which the endpoints serve the model")
        if self.proxy is not None and self.proxy != ENVIRONMENT:
            check_url("engine.proxy", self.proxy)
        check_headers(self.headers)
        read_key(self.api_key_env)

    @property
    def capabilities(self) -> Capabilities:
        bars = self.dialect.known().get("bad_words", True)
        return Capabilities(in_flight=self.in_flight, loads_adapters=False, bars_words=bool(bars))

    def info(self, model: str) -> Json:  # noqa: ARG002
        return {"name": self.kind, "version": "", "model": self.model}

    async def start(self, context: EngineContext) -> Engine:
        return await warmed(self.fleet(context.tell, context.model), context)

    def fleet(self, tell: Tell, model: ModelConfig | None = None) -> Fleet:
        """Return the endpoints as one engine, which detects their dialects during warm-up."""
        key = read_key(self.api_key_env)
        known = self.dialect.known() | ({} if self.request_seeds else {"seed": False})
        headers = {name: fill(f"engine.headers.{name}", value) for name, value in self.headers.items()}
        manners = Manners(self.timeout, self.extra_body, headers, self.proxy, self.dialect.any_model)

        def learnt(words: str) -> None:
            tell("endpoint_dialect", words)

        endpoints = [Endpoint(url, self.model, key, manners, from_known(known), learnt) for url in self.urls]
        pace = Pace(self.requests_per_minute, self.tokens_per_minute)
        return Fleet(endpoints, self.patience, tell, self.in_flight, pace, known, model)
