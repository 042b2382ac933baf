"""Configure `engine=openai_batch`: one host with OpenAI's files and batches API."""

from dataclasses import dataclass, fields, replace

from synthgen.engines.base import Capabilities, EngineContext, check_above_zero
from synthgen.engines.batch.engine import BatchEngine
from synthgen.engines.batch.gathering import BatchSettings
from synthgen.engines.batch.host import BatchApi
from synthgen.engines.http.address import fill, read_key
from synthgen.engines.http.config import EndpointConfig
from synthgen.engines.http.endpoint import RequestSettings
from synthgen.errors import ConfigError
from synthgen.records import Engine

_MOST_REQUESTS = 50_000
_MOST_MEGABYTES = 200


@dataclass
class BatchConfig(EndpointConfig):
    kind: str = "openai_batch"
    """Name of the engine; the config group sets it."""
    judge_batches: bool = False
    """Send the judge's questions as batches too. This costs half as much with most hosts, and adds the time of one
    batch or two to each round. If false, the judge asks the same host's chat API, at its full price."""
    detect: bool = True
    """Ask the host's chat API a few questions at the start to detect its dialect. If false, the dialect is what
    engine.dialect.* says, or else vLLM's. With judge_batches=true, false also means that the chat API is never used."""
    rounds: int = 4
    """Number of rounds of batches that the expected requests of a run are divided into. Each round shows samples that
    earlier rounds accepted; more rounds take longer. A few small batches follow at the end."""
    batch_requests: int = 50_000
    """Most requests of one batch; hosts allow 50,000."""
    least_requests: int = 8
    """Fewer gathered requests than this go to the chat API, at its full price, because a small batch may take as long as
    a large one. 1 sends every request in a batch."""
    batch_megabytes: float = 200.0
    """Most megabytes of one batch file; OpenAI allows 200."""
    quiet: float = 30.0
    """Seconds without a new request after which the gathered requests are sent as a batch."""
    poll: float = 120.0
    """Most seconds between two questions about a batch. The first follows after a tenth of them."""
    completion_window: str = "24h"
    """Time within which the host is to complete a batch, in the host's notation."""
    batch_path: str = "/v1/chat/completions"
    """API path that the batch and each of its lines name."""
    in_flight: int = 10_000
    """Most generation requests gathered or waiting for a batch. It is also the limit for the chat API, which falls while
    that refuses requests because of load."""
    patience: float = 3600.0
    """Seconds to wait while the host does not answer, or refuses batches because of load. After that the run ends with
    exit code 4; its batches continue at the host, and a resume finds them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_above_zero(self, "poll")
        if self.quiet < 0:
            raise ConfigError(f"engine.quiet: must be 0 seconds or more, got {self.quiet}")
        if len(self.urls) > 1:
            raise ConfigError("engine.urls: name one host; a batch cannot be divided among several")
        if self.models:
            raise ConfigError("engine.models: a run of batches has one model; set engine.model instead")
        if not 1 <= self.batch_requests <= _MOST_REQUESTS:
            raise ConfigError(f"engine.batch_requests: must be from 1 to {_MOST_REQUESTS}, got {self.batch_requests}")
        if self.least_requests < 1:
            raise ConfigError(f"engine.least_requests: must be 1 or more, got {self.least_requests}")
        if not 0 < self.batch_megabytes <= _MOST_MEGABYTES:
            raise ConfigError(
                f"engine.batch_megabytes: must be above 0 and at most {_MOST_MEGABYTES}, got {self.batch_megabytes}"
            )
        if self.rounds < 1:
            raise ConfigError(f"engine.rounds: must be 1 or more, got {self.rounds}")
        if not self.batch_path.startswith("/"):
            raise ConfigError(f"engine.batch_path: must begin with '/', got '{self.batch_path}'")

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, answers_late=True, rounds=self.rounds, continues=False)

    @property
    def asks_chat(self) -> bool:
        """Return True if the run asks the host's chat API too."""
        return self.detect or not self.judge_batches

    def at_once(self) -> EndpointConfig:
        """Return the config that asks the same host's chat API instead, with answers within seconds."""
        shared = {each.name: getattr(self, each.name) for each in fields(EndpointConfig)}
        chat = EndpointConfig(urls=self.urls, model=self.model)
        return EndpointConfig(**shared | {name: getattr(chat, name) for name in ("kind", "in_flight", "patience")})

    async def start(self, context: EngineContext) -> Engine:
        fleet = self.fleet(context.tell, context.model, detect=self.detect)
        key = read_key(self.api_key_env)
        headers = {name: fill(f"engine.headers.{name}", value) for name, value in self.headers.items()}
        settings = RequestSettings(self.timeout, {}, headers, self.proxy)
        host = BatchApi(self.urls[0], key, settings, self.patience)
        plan = BatchSettings(
            self.least_requests if self.asks_chat else 1, self.batch_requests, int(self.batch_megabytes * 1e6),
            self.quiet, self.poll, self.completion_window, self.batch_path, self.judge_batches, self.patience,
        )  # fmt: skip
        engine = BatchEngine(plan, fleet, host, context.folder, context.tell, context.say)
        try:
            if self.asks_chat:
                await fleet.warm_up(context.grammars, context.say, [adapter.name for adapter in context.adapters])
            await engine.recover()
        except BaseException:
            await engine.aclose()
            raise
        return engine
