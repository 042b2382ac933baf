"""The engine that a config asks for, started."""

import asyncio
import dataclasses
import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path

from synthgen.config import Config, EngineConfig
from synthgen.engines import bundled
from synthgen.engines.adapters import Adapter, lora_flags, lora_modules
from synthgen.engines.fake.replay import ReplayConfig, ReplayEngine
from synthgen.engines.grammar.backends import choose
from synthgen.engines.http.config import EndpointConfig
from synthgen.engines.http.fleet import Fleet, Tell
from synthgen.engines.local.engine import TransformersConfig, TransformersEngine
from synthgen.engines.vllm.inprocess import VllmInprocess, VllmInprocessConfig
from synthgen.engines.vllm.options import Fitted, vllm_version
from synthgen.engines.vllm.server import VllmConfig, VllmEngine
from synthgen.ledger import Reader
from synthgen.records import Engine, Grammar, Json


async def start_engine(
    config: Config,
    grammars: Sequence[Grammar],
    folder: Path,
    fitted: Fitted,
    say: Callable[[str], None],
    tell: Tell,
    adapters: Sequence[Adapter] = (),
) -> Engine:
    """Starts the config's engine for the run in `folder`, ready for `grammars`, and for `adapters` by their names.

    `fitted` is what earlier starts of the session found out, `say` hears how it is getting on, `tell` of events.
    Raises ConfigError where it cannot be used as configured, EngineDeadError where it does not come up.
    """
    cfg: EngineConfig = config.engine
    model, seed = config.model, config.run.seed
    match cfg:
        case ReplayConfig():
            if cfg.recording is None:
                return ReplayEngine(cfg, seed)
            with Reader(Path(cfg.recording) / "ledger.sqlite") as reader:
                return ReplayEngine(cfg, seed, reader.answers(0) | reader.answers_before_slots())
        case EndpointConfig():
            return await _warm(Fleet.from_config(cfg, tell), grammars, adapters, say)
        case TransformersConfig():
            path = await asyncio.to_thread(bundled.resolve, model.name, say)
            engine = TransformersEngine(cfg, path, model.revision, model.trust_remote_code, seed, adapters)
            say("loading the model")
            await engine.start()
            return engine
        case VllmConfig() | VllmInprocessConfig():
            path = await asyncio.to_thread(bundled.resolve, model.name, say)
            flags: Json = {
                "dtype": model.dtype,
                "revision": model.revision,
                "max-model-len": model.max_len,
                "trust-remote-code": model.trust_remote_code,
            }
            chosen = choose(cfg.backend, grammars)
            if chosen.why:
                tell("engine_backend", chosen.why)
            cfg = dataclasses.replace(cfg, backend=chosen.backend)
            vllm: VllmEngine | VllmInprocess
            if isinstance(cfg, VllmConfig):
                flags |= lora_flags(adapters) | lora_modules(adapters)
                vllm = await VllmEngine.start(cfg, path, flags, seed, folder, fitted, say, tell)
            else:
                vllm = await VllmInprocess.start(cfg, path, flags, seed, folder, fitted, say, tell, adapters)
            return await _warm(vllm, grammars, adapters, say)


async def _warm(
    engine: VllmEngine | VllmInprocess | Fleet,
    grammars: Sequence[Grammar],
    adapters: Sequence[Adapter],
    say: Callable[[str], None],
) -> Engine:
    try:
        await engine.warm_up(grammars, say, [adapter.name for adapter in adapters])
    except BaseException:
        await engine.aclose()
        raise
    return engine


def engine_info(config: Config) -> Json:
    """Name, version and model of the config's engine, for the summary."""
    cfg: EngineConfig = config.engine
    match cfg:
        case VllmConfig() | VllmInprocessConfig():
            return {"name": cfg.kind, "version": vllm_version(), "model": config.model.name}
        case TransformersConfig():
            return {"name": cfg.kind, "version": importlib.metadata.version("transformers"), "model": config.model.name}
        case EndpointConfig():
            return {"name": cfg.kind, "version": "", "model": cfg.model}
        case ReplayConfig():
            return {"name": cfg.kind, "version": "", "model": ""}
