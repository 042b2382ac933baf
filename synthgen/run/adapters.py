"""Find the LoRA adapters that a run's config names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthgen.config import Config
from synthgen.engines.adapters import Adapter, distinct, read_adapter
from synthgen.engines.base import Capabilities
from synthgen.errors import ConfigError
from synthgen.tasks.assets import find


@dataclass(frozen=True)
class Adapters:
    """Hold the LoRA adapters of a run; None where the model itself answers."""

    generate: Adapter | None = None
    judge: Adapter | None = None

    @property
    def all(self) -> list[Adapter]:
        return distinct([self.generate, self.judge])

    def names(self) -> dict[str, str | None]:
        """Return which role asks for which adapter name."""
        return {role: adapter and adapter.name for role, adapter in vars(self).items()}


def configured_adapters(config: Config, bases: Sequence[Path]) -> Adapters:
    """Return the adapters that the config names."""
    found: dict[str, Adapter] = {}
    for key, part in (("generate", config.generate), ("judge", config.judge)):
        if part.adapter is None:
            continue
        name = f"{key}.adapter"
        capabilities: Capabilities = config.engine.capabilities
        has_own_endpoints = key == "judge" and config.judge.engine.enabled
        if capabilities.models and not has_own_endpoints:
            raise ConfigError(
                f"{name}: an adapter belongs to one model, and engine.models has several; name the adapter in "
                "engine.models, as a model that the endpoints serve"
            )
        if has_own_endpoints or not capabilities.loads_adapters:
            if Path(part.adapter).is_dir():
                raise ConfigError(
                    f"{name}: {part.adapter} is a folder, but endpoints cannot load an adapter for a run; start their "
                    f"servers with --enable-lora --lora-modules NAME=FOLDER and set {name}=NAME"
                )
            found[key] = Adapter(part.adapter)
        else:
            found[key] = read_adapter(find(part.adapter, bases, name), name)
    return Adapters(**found)
