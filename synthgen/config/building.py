"""Build the dataclasses from a composed config, and check what no single dataclass can check."""

import math
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synthgen.config.faults import explained, unknown_key
from synthgen.config.schema import Config, RunConfig
from synthgen.engines.http.address import fill
from synthgen.engines.kinds import ENGINES
from synthgen.errors import ConfigError
from synthgen.safety.config_guard import refuse_content
from synthgen.safety.secrets import FROM_ENVIRONMENT


def build(composed: DictConfig, is_saved: bool = False) -> Config:
    """Build the dataclasses from a composed config. Raise a ConfigError that names the faulty key.

    For a config that `is_saved`, the environment variables in headers need not be set: most verbs start no engine.
    """
    try:
        kind = OmegaConf.select(composed, "engine.kind")
        headers = {place: found for place in _header_places(composed) if (found := _headers(composed, place))}
        for place, found in headers.items():
            if is_saved:
                OmegaConf.update(composed, place, {}, merge=False)
            else:
                for name, value in found.items():
                    fill(f"{place}.{name}", value)
        content = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
        for place, found in headers.items():
            _holder(content, place)["headers"] = found
        refuse_content(content)
        built = OmegaConf.to_object(composed)
        assert isinstance(built, Config)
        if isinstance(built.engine, dict):
            built.engine = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ENGINES[kind]), built.engine))
        _check_folder(built.run)
        for key in _added(built):
            raise unknown_key(key, "there is no such key")
        for key, number in _not_finite(built):
            raise ConfigError(
                f"{key}: {number} is not a finite number; give a number, or null where the key has no limit"
            )
        for place, found in headers.items():
            _holder(built, place).headers = found
        return built
    except (OmegaConfBaseException, KeyError) as error:
        raise explained(error) from error


def _check_folder(run: RunConfig) -> None:
    """Raise ConfigError for a run without a name or its own folder, because its files would mix with others."""
    if not run.name.strip() or {"", ".", ".."} & set(Path(run.name).parts or [""]):
        raise ConfigError(
            f"run.name: '{run.name}' is not the name of a folder; give a name, or leave run.name out for the task and a "
            "time stamp"
        )
    if not run.dir.strip():
        raise ConfigError("run.dir: is empty; give the run's folder, or leave run.dir out for runs/NAME")
    if long := next((part for part in Path(run.dir).parts if len(part.encode()) > 255), None):
        raise ConfigError(
            f"run.dir: '{long[:40]}...' is longer than a file name may be (255 bytes); give a shorter name"
        )


def _header_places(composed: DictConfig) -> Iterator[str]:
    """Yield the keys under which a config has headers."""
    yield from ("engine.headers", "judge.engine.headers")
    models = OmegaConf.select(composed, "engine.models")
    for place in range(len(models) if isinstance(models, ListConfig) else 0):
        yield f"engine.models[{place}].headers"


def _holder(config: Any, place: str) -> Any:
    """Return the mapping or dataclass that has the last key of `place`, such as `engine.models[0].headers`."""
    for name in re.findall(r"\w+", place)[:-1]:
        if name.isdigit():
            config = config[int(name)]
        else:
            config = config[name] if isinstance(config, dict) else getattr(config, name)
    return config


def _headers(composed: DictConfig, place: str) -> dict[str, str]:
    """Return the headers at `place` without replacing ${oc.env:NAME}, because the variable's value may be a secret."""
    found = OmegaConf.select(composed, place)
    if not isinstance(found, DictConfig):
        return {}
    written = OmegaConf.to_container(found, resolve=False)
    assert isinstance(written, dict)
    kept = {str(name): str(value) for name, value in written.items()}
    return {name: value if FROM_ENVIRONMENT.search(value) else str(found[name]) for name, value in kept.items()}


def _added(config: Any, prefix: str = "") -> Iterator[str]:
    """Yield the keys that `+KEY=VALUE` added to a dataclass without such a field."""
    known = {entry.name for entry in fields(config)}
    for name, value in vars(config).items():
        if name not in known:
            yield f"{prefix}{name}"
        elif is_dataclass(value):
            yield from _added(value, f"{prefix}{name}.")


def _not_finite(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Yield the keys whose value is NaN or infinite, which no comparison with a limit would catch."""
    if isinstance(value, float) and not math.isfinite(value):
        yield key, value
    parts = vars(value) if is_dataclass(value) else value if isinstance(value, dict) else {}
    for name, part in parts.items():
        yield from _not_finite(part, f"{key}.{name}" if key else str(name))
