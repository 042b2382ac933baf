"""Start the engine of a config, and describe it for the summary."""

from collections.abc import Callable, Sequence
from pathlib import Path

from synthgen.config import Config
from synthgen.engines.adapters import Adapter
from synthgen.engines.base import EngineConfig, EngineContext, LearnedLimits, Tell
from synthgen.records import Engine, Grammar, Json


async def start_engine(
    config: Config,
    grammars: Sequence[Grammar],
    folder: Path,
    limits: LearnedLimits,
    say: Callable[[str], None],
    tell: Tell,
    adapters: Sequence[Adapter] = (),
) -> Engine:
    """Start the config's engine for the run in `folder`, ready for `grammars` and `adapters`.

    `limits` holds the limits that earlier starts in this session found. The engine passes progress messages to `say`
    and events to `tell`. Raise ConfigError where the engine cannot be used as configured, EngineDeadError where it
    fails to start.
    """
    cfg: EngineConfig = config.engine
    return await cfg.start(
        EngineContext(config.model, config.run.own_seed, grammars, adapters, folder, limits, say, tell)
    )


def engine_info(config: Config) -> Json:
    """Return the name, version and model of the config's engine, for the summary."""
    cfg: EngineConfig = config.engine
    return cfg.info(config.model.name)
