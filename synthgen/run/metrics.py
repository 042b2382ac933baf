"""Serve a run's figures to Prometheus while its loop runs (`metrics.port`).

Every metric has the label `run`; those of servers have `replica` too. `docs/grafana.json` shows them.
"""

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthgen.errors import ConfigError
from synthgen.records import Json
from synthgen.run.progress import Progress

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_HERE = "127.0.0.1"
_STATES = ("up", "starting", "lost")


@dataclass
class MetricsConfig:
    port: int | None = None
    """Port on 127.0.0.1 at which a run serves its figures to Prometheus, under /metrics, while its loop runs; null to serve
    none. docs/cluster.md lists the metrics."""

    def __post_init__(self) -> None:
        if self.port is not None and not 0 < self.port < 65536:
            raise ConfigError(f"metrics.port: must be from 1 to 65535, or null, got {self.port}")


class Metrics:
    """Serve the figures of one run. `update` gives it the newest ones; `states` reports on the engine's servers."""

    def __init__(self, port: int, run: str, progress: Progress, states: Callable[[], Mapping[str, Json]]) -> None:
        """Begin to serve. Raise ConfigError where the port is taken."""
        from prometheus_client import CollectorRegistry, start_http_server

        self._run = run
        self._progress = progress
        self._tokens: Mapping[str, int] = {}
        self._states = states
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, _ = start_http_server(port, _HERE, registry)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise ConfigError(f"metrics.port: {port} cannot be used ({error.strerror}); choose another port") from error

    def update(self, tokens: Mapping[str, int]) -> None:
        """Receive the tokens that this session has counted so far, by prompt, cached and completion."""
        self._tokens = dict(tokens)

    def collect(self) -> "Iterator[Metric]":
        """Yield the figures at the time of a scrape, which another thread asks for."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        def counter(name: str, words: str, *labels: str) -> Any:
            return CounterMetricFamily(f"synthgen_{name}", words, labels=("run", *labels))

        def gauge(name: str, words: str, *labels: str) -> Any:
            return GaugeMetricFamily(f"synthgen_{name}", words, labels=("run", *labels))

        progress, run, states = self._progress, self._run, dict(self._states())
        for metric, value in (
            (gauge("target", "Samples that the run should accept."), progress.target),
            (counter("accepted", "Accepted samples, over all sessions of the run."), progress.accepted),
            (counter("candidates", "Candidates that were decided."), progress.candidates),
            (counter("cost_usd", "Cost of the answers in US dollars, where prices are known."), progress.usd),
        ):
            if value is not None:
                metric.add_metric((run,), value)
                yield metric
        rejected = counter("rejected", "Rejected candidates, by the reason.", "reason")
        for reason, count in list(progress.rejected.items()):
            rejected.add_metric((run, reason), count)
        yield rejected
        tokens = counter(
            "tokens", "Tokens of this session: prompt, cached (of the prompt) and completion.", "replica", "kind"
        )
        in_flight = gauge("requests_in_flight", "Requests that a server answers now.", "replica")
        limit = gauge("requests_limit", "Requests that a server should have in flight.", "replica")
        up = gauge("replica_state", "1 for the state of a server: up, starting or lost.", "replica", "state")
        for name, state in states.items():
            for kind, count in (state.get("tokens") or self._tokens).items():
                tokens.add_metric((run, name, kind), count)
            in_flight.add_metric((run, name), state["in_flight"])
            if "limit" in state:
                limit.add_metric((run, name), state["limit"])
            for each in _STATES:
                up.add_metric((run, name, each), float(state["state"] == each))
        yield from (tokens, in_flight, limit, up)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
