"""The engine that a config asks for: started, and described for the summary."""

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

    `limits` is what earlier starts of the session found out, `say` hears how it is getting on, `tell` of events.
    Raises ConfigError where it cannot be used as configured, EngineDeadError where it does not come up.
    """
    cfg: EngineConfig = config.engine
    return await cfg.start(EngineContext(config.model, config.run.seed, grammars, adapters, folder, limits, say, tell))


def engine_info(config: Config) -> Json:
    """Return name, version and model of the config's engine, for the summary."""
    cfg: EngineConfig = config.engine
    return cfg.info(config.model.name)
