"""Configure `engine=openai`: one or several existing endpoints, used as one engine, with one or several models."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from synthgen.engines.base import (
    Capabilities,
    EngineContext,
    ModelConfig,
    Tell,
    WarmEngine,
    check_common,
    warmed,
)
from synthgen.engines.http.address import (
    ENVIRONMENT,
    check_headers,
    check_proxies,
    check_url,
    fill,
    is_this_machine,
    read_key,
)
from synthgen.engines.http.dialect import DialectConfig, from_known
from synthgen.engines.http.endpoint import Endpoint, RequestSettings
from synthgen.engines.http.fleet import Fleet
from synthgen.engines.http.limits import RateLimit
from synthgen.engines.http.models import Models
from synthgen.engines.prices import PricesConfig
from synthgen.errors import ConfigError
from synthgen.records import Engine, Json


@dataclass
class ServersConfig:
    """Hold the settings of endpoints that serve one model."""

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
    request_seeds: bool = False
    """Send a seed with every request. Few endpoints repeat an answer by its seed. vLLM's CPU build crashes on seeds, and
    vLLM samples more slowly with them on GPUs."""
    in_flight: int = 64
    """In-flight limit of each endpoint, the judge's requests included. The limit falls while an endpoint refuses
    requests because of load."""
    requests_per_minute: float | None = None
    """Most requests per minute, over all endpoints together; null for no limit."""
    tokens_per_minute: float | None = None
    """Most tokens per minute, prompts and answers, over all endpoints together; null for no limit."""
    timeout: float = 300.0
    """Timeout of one request, in seconds."""
    patience: float = 300.0
    """Seconds to wait for an endpoint when none answers. After that the run ends with exit code 4."""
    prices: PricesConfig = field(default_factory=PricesConfig)
    """Prices of tokens, for example {prompt: 0.15, cached: 0.075, completion: 0.6}."""

    def check(self, key: str) -> None:
        """Raise ConfigError, naming keys under `key`, where the endpoints cannot be used as configured."""
        if self.in_flight < 1:
            raise ConfigError(f"{key}.in_flight: must be 1 or more, got {self.in_flight}")
        for name in ("timeout", "patience"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{key}.{name}: must be above 0 seconds, got {getattr(self, name)}")
        for name in ("requests_per_minute", "tokens_per_minute"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ConfigError(f"{key}.{name}: must be above 0, or null for no limit, got {value}")
        if not self.urls:
            raise ConfigError(f"{key}.urls: name at least one endpoint, such as [http://127.0.0.1:8000/v1]")
        for url in self.urls:
            check_url(f"{key}.urls", url)
        if not self.model:
            raise ConfigError(f"{key}.model: give the name under which the endpoints serve the model")
        if self.proxy == ENVIRONMENT:
            check_proxies(f"{key}.proxy", self.urls)
        elif self.proxy is not None:
            check_url(f"{key}.proxy", self.proxy)
        self.dialect.check(f"{key}.dialect")
        self.prices.check(f"{key}.prices")
        check_headers(self.headers, f"{key}.headers")
        read_key(self.api_key_env, f"{key}.api_key_env")

    @property
    def pace(self) -> RateLimit:
        return RateLimit(self.requests_per_minute, self.tokens_per_minute)

    def fleet(
        self,
        tell: Tell,
        model: ModelConfig | None = None,
        key: str = "engine",
        pace: RateLimit | None = None,
        detect: bool = True,
    ) -> Fleet:
        """Return the endpoints as one engine. If `detect`, it detects their dialects during warm-up.

        `model` says whether the model should think. `key` is where the config has them. A `pace` counts the requests of
        several fleets together.
        """
        api_key = read_key(self.api_key_env, f"{key}.api_key_env")
        known = self.dialect.known()
        if not self.request_seeds and self.dialect.seed is None:
            known["seed"] = False
        headers = {name: fill(f"{key}.headers.{name}", value) for name, value in self.headers.items()}
        settings = RequestSettings(self.timeout, self.extra_body, headers, self.proxy, self.dialect.any_model)

        def learnt(words: str) -> None:
            tell("endpoint_dialect", words)

        endpoints = [Endpoint(url, self.model, api_key, settings, from_known(known), learnt) for url in self.urls]
        return Fleet(
            endpoints, self.patience, tell, self.in_flight, pace or self.pace, known if detect else None, model
        )


@dataclass
class MixedModelConfig(ServersConfig):
    """Hold one model of a mix, for example {model: large, weight: 0.3}.

    A model without `urls` is served by `engine.urls`, with all settings of `engine` but those in `_OWN`.
    """

    name: str = ""
    """Name of the model in ledger, exports and report; the value of `model` if empty."""
    weight: float = 1.0
    """Weight of the model among all models. With weight 0 it writes nothing, but as the first model it judges."""

    def __post_init__(self) -> None:
        self.name = self.name or self.model


_OWN = ("name", "weight", "model", "prices", "extra_body", "dialect")
"""Keys of a model of a mix that need no `urls` of its own."""


@dataclass
class EndpointConfig(ServersConfig):
    kind: str = "openai"
    """Name of the engine; the config group sets it."""
    models: list[MixedModelConfig] = field(default_factory=list)
    """Several models instead of engine.model, such as `[{model: small, weight: 0.7}, {model: large, weight: 0.3,
    urls: [...], api_key_env: ...}]`. Each group of requests goes to one of them, chosen by weight. Each model may have
    `name`, `weight`, `model`, `prices`, `dialect` and `extra_body`; with `urls` of its own it may have all keys of its
    endpoints, and takes none from `engine` but the prices. The first model judges, unless judge.engine is set."""
    budget_usd: float | None = None
    """Stop when the answers of generator and judge have cost this many US dollars, over all sessions of the run. It
    needs engine.prices. null for no limit."""
    attempts: int = 4
    """Failed attempts after which a request's slot is given up. Only failures while other requests succeed count in
    full."""
    grammar_seconds: float = 120.0
    """CPU time limit for compiling the task's grammar before the run, in seconds."""
    grammar_gigabytes: float = 8.0
    """Memory limit for compiling the task's grammar before the run, in gigabytes."""

    def __post_init__(self) -> None:
        check_common(self)
        if self.models and self.model:
            raise ConfigError("engine.model: leave it out where engine.models names the models")
        for key, servers in self._keyed():
            servers.check(key)
        self._check_models()
        if self.budget_usd is None:
            return
        if self.budget_usd <= 0:
            raise ConfigError(f"engine.budget_usd: must be above 0, or null for no limit, got {self.budget_usd}")
        for key, servers in self._keyed():
            if not servers.prices.known:
                raise ConfigError(
                    f"engine.budget_usd: needs {key}.prices, in US dollars per million tokens, such as "
                    f"{key}.prices={{prompt: 0.15, completion: 0.6}}"
                )

    def _check_models(self) -> None:
        names = [one.name for one in self.models]
        for place, one in enumerate(self.models):
            key = f"engine.models[{place}]"
            if one.name in names[:place]:
                raise ConfigError(f"{key}: two models are called '{one.name}'; give each a name of its own")
            if not (math.isfinite(one.weight) and one.weight >= 0):
                raise ConfigError(f"{key}.weight: must be a number of 0 or more, got {one.weight}")
            if not one.urls:
                for name, value in vars(MixedModelConfig()).items():
                    if name not in _OWN and getattr(one, name) != value:
                        raise ConfigError(f"{key}.{name}: only a model with urls of its own can have it")
        if self.models and not any(one.weight for one in self.models):
            raise ConfigError("engine.models: every weight is 0; give one model a weight above 0")

    def _keyed(self) -> Iterator[tuple[str, ServersConfig]]:
        """Yield the endpoints of each model, with their key in the config."""
        if not self.models:
            yield "engine", self
        for place, one in enumerate(self.models):
            yield f"engine.models[{place}]", self._served(one)

    def _served(self, one: MixedModelConfig) -> ServersConfig:
        """Return a model of the mix with the settings that it takes from `engine`."""
        prices = one.prices if one.prices.known else self.prices
        own = {entry.name: getattr(one if one.urls else self, entry.name) for entry in fields(ServersConfig)}
        if not one.urls:
            dialect = self.dialect if one.dialect == DialectConfig() else one.dialect
            own |= {"model": one.model, "dialect": dialect, "extra_body": {**self.extra_body, **one.extra_body}}
        return ServersConfig(**(own | {"prices": prices}))

    @property
    def capabilities(self) -> Capabilities:
        servers = [one for _, one in self._keyed()]
        bars = all(one.dialect.known().get("bad_words", True) for one in servers)
        names = ["", *(one.name for one in self.models)]
        total = sum(one.weight for one in self.models)
        return Capabilities(
            in_flight=self.in_flight,
            loads_adapters=False,
            bars_words=bars,
            models={one.name: one.weight / total for one in self.models if one.weight},
            prices={
                name: one.prices for name, one in zip(names, [servers[0], *servers], strict=False) if one.prices.known
            },
            budget_usd=self.budget_usd,
            leaves_cores=not any(is_this_machine(url) for one in servers for url in one.urls),
            continues=all(one.dialect.known().get("continues", True) for one in servers),
        )

    def info(self, model: str) -> Json:  # noqa: ARG002
        return {"name": self.kind, "version": "", "model": self.model or ", ".join(one.name for one in self.models)}

    async def start(self, context: EngineContext) -> Engine:
        return await warmed(self._engine(context.tell, context.model), context)

    def _engine(self, tell: Tell, model: ModelConfig) -> WarmEngine:
        if not self.models:
            return self.fleet(tell, model)
        pace = self.pace
        fleets = [
            servers.fleet(tell, model, key, None if one.urls else pace)
            for one, (key, servers) in zip(self.models, self._keyed(), strict=True)
        ]
        return Models(dict(zip([one.name for one in self.models], fleets, strict=True)))
