"""Divide the limits of endpoints among the shards of a run, and make endpoints of the servers that a run has started."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from synthgen.engines.base import EngineConfig
from synthgen.engines.http.config import EndpointConfig, ServersConfig
from synthgen.errors import ConfigError

Servers = TypeVar("Servers", bound=ServersConfig)
_PATIENCE = 300.0
"""Least seconds that shards wait for a server of the run, which may be started again meanwhile."""


def divided(whole: int, count: int, first: int = 0) -> list[int]:
    """Return `count` shares that add up to `whole`. The larger ones begin with the share of number `first`."""
    level, extra = divmod(whole, count)
    return [level + ((number - first) % count < extra) for number in range(count)]


def share(key: str, whole: int | None, count: int, number: int) -> int | None:
    """Return a shard's share of a budget. Raise ConfigError where it would be 0."""
    if whole is None:
        return None
    if whole < count:
        raise ConfigError(f"{key}: {whole} cannot be shared by {count} shards; set it to {count} or more")
    return divided(whole, count)[number]


def engine_share(engine: EngineConfig, count: int, number: int) -> EngineConfig:
    """Return the config of an engine for one shard: endpoints with its share of their limits, others unchanged."""
    if not isinstance(engine, EndpointConfig):
        return engine
    found = servers_share(engine, "engine", count, number)
    models = [
        servers_share(one, f"engine.models[{place}]", count, number) if one.urls else one
        for place, one in enumerate(engine.models)
    ]
    usd = None if engine.budget_usd is None else engine.budget_usd / count
    return replace(found, models=models, budget_usd=usd)


def servers_share(servers: Servers, key: str, count: int, number: int) -> Servers:
    """Return endpoints with a shard's share of their limits; unchanged where there are none."""
    if not servers.urls and not getattr(servers, "models", ()):
        return servers
    shares: dict[str, Any] = {
        name: None if (limit := getattr(servers, name)) is None else limit / count
        for name in ("requests_per_minute", "tokens_per_minute")
    }
    shares["in_flight"] = share(f"{key}.in_flight", servers.in_flight, count, number)
    return replace(servers, **shares)


def endpoints(engine: EngineConfig, urls: Sequence[str], model: str, api_key_env: str) -> EndpointConfig:
    """Return servers that the run started as endpoints for its shards, with the limits of all servers together."""
    known = {entry.name for entry in fields(EndpointConfig)} & {entry.name for entry in fields(engine)}  # type: ignore[arg-type]
    own = {name: getattr(engine, name) for name in known - {"kind", "in_flight"}}
    in_flight = max(1, engine.capabilities.in_flight)
    own["patience"] = max(float(own.get("patience", 0.0)), _PATIENCE)
    return EndpointConfig(urls=list(urls), model=model, api_key_env=api_key_env, in_flight=in_flight, **own)
