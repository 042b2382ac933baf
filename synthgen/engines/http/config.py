"""The config of `engine=openai`: existing endpoints, as one engine."""

from dataclasses import dataclass, field
from typing import Any

from synthgen.engines.base import Capabilities, EngineContext, Tell, check_above_zero, check_common, warmed
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
    """Which engine this is; set by the config group."""
    urls: list[str] = field(default_factory=list)
    """Base URLs up to and with /v1; requests go to the least loaded."""
    model: str = ""
    """The name the endpoints serve the model under."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; an unset one sends none."""
    dialect: DialectConfig = field(default_factory=DialectConfig)
    """The part of OpenAI's API that the endpoints understand: found out at the start, and here to be overruled."""
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Keys that every request carries beside synthgen's own, or instead of them, as {reasoning_effort: low}."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers that every request carries, as {X-Title: demo}; secrets from the environment alone, as
    {X-Api-Key: "${oc.env:MY_KEY}"}."""
    proxy: str | None = None
    """Address of an HTTP proxy; env for those in HTTP_PROXY, HTTPS_PROXY and NO_PROXY; null for none."""
    request_seeds: bool = True
    """Send a seed with every request; false for vLLM's CPU build, which dies of it, and on GPUs, where vLLM samples slower."""
    in_flight: int = 64
    """Most requests under way at once at one endpoint, the judge's among them; fewer where it refuses some for load."""
    requests_per_minute: float | None = None
    """Most requests a minute, to all endpoints together; null for no bound."""
    tokens_per_minute: float | None = None
    """Most tokens a minute, read and written, to all endpoints together; null for no bound."""
    timeout: float = 300.0
    """Seconds that one request may take."""
    attempts: int = 4
    """How often a request may fail while others succeed, until its slot is given up."""
    patience: float = 300.0
    """Seconds to wait for an endpoint that answers, when none does, before the run ends with exit code 4."""
    grammar_seconds: float = 120.0
    """Cap on the processor seconds of compiling the task's grammar beforehand."""
    grammar_gigabytes: float = 8.0
    """Memory cap on compiling the task's grammar beforehand."""

    def __post_init__(self) -> None:
        check_common(self)
        check_above_zero(self, "patience")
        for key in ("requests_per_minute", "tokens_per_minute"):
            if (value := getattr(self, key)) is not None and value <= 0:
                raise ConfigError(f"engine.{key}: must be above 0, or null for no bound, got {value}")
        if not self.urls:
            raise ConfigError("engine.urls: name at least one endpoint, such as [http://127.0.0.1:8000/v1]")
        for url in self.urls:
            check_url("engine.urls", url)
        if not self.model:
            raise ConfigError("engine.model: say under which name the endpoints serve their model")
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
        return await warmed(self.fleet(context.tell), context)

    def fleet(self, tell: Tell) -> Fleet:
        """Return the endpoints as one engine, which finds out their dialects as it warms up."""
        key = read_key(self.api_key_env)
        known = self.dialect.known() | ({} if self.request_seeds else {"seed": False})
        headers = {name: fill(f"engine.headers.{name}", value) for name, value in self.headers.items()}
        manners = Manners(self.timeout, self.extra_body, headers, self.proxy, self.dialect.any_model)

        def learnt(words: str) -> None:
            tell("endpoint_dialect", words)

        endpoints = [Endpoint(url, self.model, key, manners, from_known(known), learnt) for url in self.urls]
        pace = Pace(self.requests_per_minute, self.tokens_per_minute)
        return Fleet(endpoints, self.patience, tell, self.in_flight, pace, known)
