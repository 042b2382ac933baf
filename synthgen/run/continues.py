"""Refuse strategies whose requests continue an unfinished turn where the engine cannot do that."""

from collections.abc import Sequence

from synthgen.engines.base import EngineConfig
from synthgen.errors import ConfigError
from synthgen.generate.mix import Mix
from synthgen.records import Json


def check_continues(strategies: Mix, engine: EngineConfig) -> None:
    """Raise ConfigError if a strategy needs an engine that continues turns and, by its config, the engine does not."""
    if (name := strategies.continues) and not engine.capabilities.continues:
        raise ConfigError(
            f"generate.strategies.{name}: needs an engine that continues an unfinished turn of the user, and "
            f"engine={engine.kind} does not as it is configured; use engine=vllm, vllm_inprocess, transformers, or openai "
            "with a vLLM server"
        )


def check_dialects(strategies: Mix, dialects: Sequence[Json]) -> None:
    """Raise ConfigError if a strategy needs endpoints that continue turns and, by its dialect, an endpoint does not."""
    if (name := strategies.continues) and not all(one.get("continues", True) for one in dialects):
        raise ConfigError(
            f"generate.strategies.{name}: needs endpoints that continue an unfinished turn of the user, as vLLM does, and "
            "one of engine.urls is another server; set engine.dialect.continues=true if it understands "
            "continue_final_message, or use another strategy"
        )
