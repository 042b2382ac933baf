"""Read the config that a run saved, change it by overrides, and write it."""

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import yaml  # type: ignore[import-untyped]  # a part of OmegaConf
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synthgen.config.building import build
from synthgen.config.faults import GONE, MOVED, explained
from synthgen.config.schema import Config, groups, register
from synthgen.engines.kinds import ENGINES
from synthgen.errors import ConfigError
from synthgen.records import Json
from synthgen.safety.config_guard import refuse_overrides
from synthgen.safety.overrides import values
from synthgen.tasks.assets import root


def from_saved(saved: Json, overrides: list[str]) -> Config:
    """Build a run's saved config, changed by `overrides`: first GROUP=NAME, then dotted.key=value.

    Raise ConfigError where an override is wrong.
    """
    refuse_overrides(overrides)
    try:
        saved, overrides = _with_groups(saved, overrides)
        schema = OmegaConf.structured(Config)
        schema.engine = OmegaConf.structured(ENGINES[saved["engine"]["kind"]])
        merged = OmegaConf.merge(schema, without(_renamed(saved), GONE))
        assert isinstance(merged, DictConfig)
        for key, value in values(overrides):
            OmegaConf.update(merged, key, value)
        return build(merged, is_saved=True)
    except (OmegaConfBaseException, HydraException, KeyError) as error:
        raise explained(error) from error


def _with_groups(saved: Json, overrides: Sequence[str]) -> tuple[Json, list[str]]:
    """Replace each group that an override chooses by name (student=frozen) with that option, as `run` does.

    Return the changed config and the remaining overrides.
    """
    given = [(override, *override.partition("=")[::2]) for override in overrides]
    named = {key: value for _, key, value in given if key in (*groups(), "experiment") and _OPTION.fullmatch(value)}
    for key in named:
        if not (root() / "conf" / key).is_dir():
            first = fields(get_type_hints(Config)[key])[0].name
            raise ConfigError(
                f"{key}: this group has no named options; set one of its keys, such as {key}.{first}=VALUE"
            )
    if "experiment" in named:
        raise ConfigError("experiment: composes a new run; here set what it would change, such as budget.target=VALUE")
    if not named:
        return saved, list(overrides)
    register()
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        composed = compose("config", [f"{key}={value}" for key, value in named.items()])
    chosen = {key: OmegaConf.to_container(composed[key], resolve=True) for key in named}
    return {**saved, **chosen}, [override for override, key, _ in given if key not in named]


_OPTION = re.compile(r"[\w-]+")


def without(config: Json, keys: Iterable[str]) -> Json:
    """Return a copy of a config without the given dotted keys; keys that are missing are ignored."""
    kept = copy.deepcopy(config)
    for key in keys:
        *parents, last = key.split(".")
        part = kept
        for parent in parents:
            part = part.get(parent) or {}
        part.pop(last, None)
    return kept


def _renamed(saved: Json) -> Json:
    """Return a saved config with renamed keys under their current names."""
    kept = copy.deepcopy(saved)
    for old, new in MOVED.items():
        group, key = old.split(".")
        if key in kept.get(group, {}):
            *parents, last = new.split(".")
            part = kept
            for parent in parents:
                part = part.setdefault(parent, {})
            part.setdefault(last, kept[group].pop(key))
    return kept


def to_json(config: Config) -> Json:
    """Return the config as plain JSON. It contains no secrets, because `build` refuses them."""
    plain: Json = _plain(config)
    return plain


def _plain(value: Any) -> Any:
    """Return a value of a config as JSON. OmegaConf does the same through nodes of its own, at thirty times the cost."""
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def to_yaml(config: Json) -> str:
    return OmegaConf.to_yaml(OmegaConf.create(config))


def from_yaml(text: str) -> Json:
    """Read YAML that `to_yaml` wrote and a user may have edited. Raise ValueError where it is not a YAML mapping."""
    try:
        found = OmegaConf.to_container(OmegaConf.create(text))
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    if not isinstance(found, dict):
        raise ValueError("not a YAML mapping")
    return {str(key): value for key, value in found.items()}
