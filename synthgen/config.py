"""Define the Hydra schema: one dataclass for each config group, checked before anything starts.

Only this module and `synthgen.cli.composing` know Hydra and OmegaConf. Each group's dataclass is defined next to the
class that uses it. This module combines the dataclasses and explains composition errors to the user.
"""

import copy
import difflib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import yaml  # type: ignore[import-untyped]  # a part of OmegaConf
from hydra import compose, initialize_config_dir
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synthgen.diversity.embedder import DiversityConfig
from synthgen.diversity.rounds import SLOTS
from synthgen.engines.base import ModelConfig
from synthgen.engines.http.address import fill
from synthgen.engines.kinds import ENGINES
from synthgen.errors import ConfigError
from synthgen.filters.rules import FiltersConfig
from synthgen.generate.mix import GenerateConfig, StrategiesConfig
from synthgen.generate.pool import PoolConfig
from synthgen.judge.judge import JudgeConfig
from synthgen.labels.config import LabelsConfig
from synthgen.records import Json
from synthgen.run.budget import BudgetConfig
from synthgen.safety.config_guard import refuse_content, refuse_overrides
from synthgen.safety.overrides import values
from synthgen.safety.secrets import FROM_ENVIRONMENT, is_secret_name
from synthgen.selection.config import SelectConfig
from synthgen.student import StudentConfig
from synthgen.student.config import TRACKERS, AdaptConfig
from synthgen.tasks import yamlfaults
from synthgen.tasks.assets import root
from synthgen.tasks.task import TaskConfig
from synthgen.tasks.yamlplace import line_of
from synthgen.tasks.yamlvalues import misread


@dataclass
class RunConfig:
    name: str = ""
    """Name of the run. The default is the experiment's name, or else the task and a time stamp; -2, -3, ... is appended
    when another run of the same second has that name."""
    dir: str = ""
    """The run folder."""
    seed: int = 0
    """Seed of every random choice that synthgen makes."""
    validation_share: float = 0.1
    """Share of the accepted samples that is written to validation.jsonl."""
    round_slots: int = SLOTS
    """Number of slots (planned requests) in a round. Reports and alarms show figures over time as one value per
    round."""

    def __post_init__(self) -> None:
        if not 0 <= self.validation_share < 1:
            raise ConfigError(f"run.validation_share: must be from 0 to below 1, got {self.validation_share}")
        if self.round_slots < 1:
            raise ConfigError(f"run.round_slots: must be 1 or more, got {self.round_slots}")


@dataclass
class TrackingConfig:
    report_to: str = "auto"
    """Select the tracker for the student's training curves: tensorboard (inside the student's folder), wandb, mlflow or none.
    auto means tensorboard if it is installed, else none."""

    def __post_init__(self) -> None:
        if self.report_to not in TRACKERS:
            raise ConfigError(f"tracking.report_to: '{self.report_to}' is not one of {', '.join(TRACKERS)}")


@dataclass
class Config:
    """Hold the config of a whole run. `engine` is an instance of the dataclass that ENGINES has for its `kind`."""

    task: TaskConfig
    engine: Any
    run: RunConfig = field(default_factory=RunConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    generate: GenerateConfig = field(default_factory=GenerateConfig)
    filters: FiltersConfig = field(default_factory=FiltersConfig)
    diversity: DiversityConfig = field(default_factory=DiversityConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    student: StudentConfig = field(default_factory=StudentConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


def register() -> None:
    """Register the schema with Hydra. Call this once before Hydra composes a config."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for kind, schema in ENGINES.items():
        store.store(group="schema/engine", name=kind, node=schema)


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
            raise _unknown_key(key, "there is no such key")
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


_GONE = {
    "budget.flat_fits": "",
    "budget.flat_gain": "",
    "diversity.lexical": "the check for near-duplicates by letters was removed",
    "diversity.min_worth": "the check on what a candidate adds to its label was removed",
    "generate.steer": "steering by coverage was removed",
    "engine.grammar_field": "synthgen tests what endpoints support, and engine.dialect.schema overrides the result",
    "judge.channel": "channel scoring was removed",
    "judge.trust": "",
}
"""Keys of older versions that were removed, each with the reason; the reason is empty where none is told to the
user."""
_MOVED = {
    "generate.demonstrations": "generate.fewshot.demonstrations",
    "generate.foils": "generate.fewshot.foils",
}
"""Keys that were renamed, from old to new name. A saved config may still use the old name."""


def from_saved(saved: Json, overrides: list[str]) -> Config:
    """Build a run's saved config, changed by `overrides`: first GROUP=NAME, then dotted.key=value.

    Raise ConfigError where an override is wrong.
    """
    refuse_overrides(overrides)
    try:
        saved, overrides = _with_groups(saved, overrides)
        schema = OmegaConf.structured(Config)
        schema.engine = OmegaConf.structured(ENGINES[saved["engine"]["kind"]])
        merged = OmegaConf.merge(schema, without(_renamed(saved), _GONE))
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
    named = {key: value for _, key, value in given if key in (*_groups(), "experiment") and _OPTION.fullmatch(value)}
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


def _groups() -> list[str]:
    return [entry.name for entry in fields(Config)]


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
    for old, new in _MOVED.items():
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
    plain = OmegaConf.to_container(OmegaConf.structured({"config": config}), resolve=False)
    assert isinstance(plain, dict)
    inner: Json = plain["config"]
    return inner


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


def explained(error: Exception) -> ConfigError:
    """Return a ConfigError with the key, the fault and the nearest valid key, or with the place of a YAML error."""
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark) is not None:
        cure = (
            '; put a value that has [] in it into quotes, such as "entities[].text"' if "got '['" in str(error) else ""
        )
        return ConfigError(yamlfaults.in_words(str(error.problem), mark.name, mark.line, mark.column) + cure)
    cause = error
    while cause.__cause__ is not None and not getattr(cause, "full_key", None):
        cause = cause.__cause__  # type: ignore[assignment]
    text = str(cause).split("\n    full_key")[0]
    first = text.splitlines()[0] if text else type(cause).__name__
    full_key = match.group(1) if (match := re.search(r"full_key: (\S+)", str(cause))) else ""
    if match := re.search(r"Could not override '([^']+)'", str(error)):
        # For an override with a mapping, group={a: 1, b: 2}, Hydra names the group and OmegaConf the faulty key.
        inside = full_key.startswith(f"{match.group(1)}.")
        return _unknown_key(full_key if inside else match.group(1), first)
    if "not in '" in text or "is not in struct" in text:
        name = re.search(r"Key '([^']+)'", text)
        return _unknown_key(full_key or (name.group(1) if name else "?"), first)
    if match := re.search(r"Could not find '(\w+)/([^']*)'\s+Available options in '\w+':\n((?:\t.*\n)+)", str(error)):
        group, wanted, options = match.group(1), match.group(2), match.group(3).split()
        near = difflib.get_close_matches(wanted, options, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return ConfigError(f"{group}: there is no option '{wanted}'; the options are {', '.join(options)}{hint}")
    if match := re.search(r"In '([\w/]+)': \w+ raised while composing config:\n(.+)", str(error)):
        key = m.group(1) if (m := re.search(r"full_key: (\S+)\n", str(error))) else match.group(1).partition("/")[0]
        return ConfigError(f"{key}: {_plain(match.group(2))} (in {match.group(1)}.yaml)")
    if isinstance(cause, HydraException):
        return ConfigError(str(error).strip())
    key = getattr(cause, "full_key", None) or (m.group(1) if (m := re.search(r"full_key: (\S+)", str(error))) else "")
    return ConfigError(f"{key}: {_plain(first)}" if key and key != "None" else _plain(first))


_PLAIN = (
    (r".*is not a ListConfig, list or tuple\.?", "must be a list, such as [VALUE]"),
    (r".*is not a DictConfig.*|Cannot assign \w+ to \w*[dD]ict.*", "must be a mapping, such as {NAME: VALUE}"),
    (r"Cannot merge DictConfig with ListConfig", "a list stands where a mapping (NAME: VALUE) is expected"),
    (r"Value '(.*)' of type '\w+' could not be converted to Integer", r"'\1' is not a whole number"),
    (r"Value '(.*)' of type '\w+' could not be converted to Float", r"'\1' is not a number"),
    (r"Value '(.*)' is not a valid bool.*", r"'\1' is neither true nor false"),
)


def _plain(words: str) -> str:
    """Return a message of OmegaConf without the names of its classes."""
    for pattern, plain in _PLAIN:
        if match := re.fullmatch(pattern, words.strip()):
            return match.expand(plain)
    return words


def located(error: ConfigError, settings: HydraConf) -> ConfigError:
    """Return an error about a key of the task with the key's file and line put in front. Return other errors unchanged.

    `settings` is Hydra's own config. An error about a key that was set on the command line stays unchanged too.
    """
    found = re.match(r"task\.([\w.\[\]-]+): ", str(error))
    if found is None or any(override.lstrip("+~").startswith("task.") for override in settings.overrides.task):
        return error
    file = _task_file(settings)
    return error if file is None else ConfigError(f"{file}:{line_of(file, found.group(1))}: {error}")


def check_task_file(settings: HydraConf) -> None:
    """Raise ConfigError where the task file has texts without quotes that YAML reads as something else than text."""
    file = _task_file(settings)
    if file is not None and (found := misread(file)):
        raise ConfigError("\n".join(found))


def of_a_task_file(error: Exception, folders: Sequence[str]) -> ConfigError | None:
    """Return the error of `check_task_file` about a task file that could not be composed; None where it finds no fault.

    `folders` are the user's folders to search for the file.
    """
    named = re.search(r"In '(task/[^']+)'", str(error))
    files = [Path(folder) / f"{named.group(1)}.yaml" for folder in folders] if named else []
    found = [line for file in files if file.is_file() for line in misread(file)]
    return ConfigError("\n".join(found)) if found else None


def _task_file(settings: HydraConf) -> Path | None:
    name, sources = settings.runtime.choices.get("task"), settings.runtime.config_sources
    files = (Path(source.path) / "task" / f"{name}.yaml" for source in sources if source.schema == "file")
    return next((file for file in files if file.is_file()), None)


_MOVED_GROUPS = {"judge.trust": "labels"}
"""Groups of keys that were renamed, from old to new name."""


def _unknown_key(key: str, words: str) -> ConfigError:
    if key in _MOVED:
        return ConfigError(f"{key}: this key was renamed; use {_MOVED[key]}")
    if key.startswith("generate.strategies."):
        return _unknown_strategy(key.rpartition(".")[2])
    for old, new in _MOVED_GROUPS.items():
        if key == old or key.startswith(f"{old}."):
            return ConfigError(f"{key}: these keys were renamed to {new}.*; docs/config.md lists them")
    for old, why in _GONE.items():
        if key == old or key.startswith(f"{old}."):
            return ConfigError(f"{key}: this key was removed{f', because {why}' if why else ''}; leave it out")
    if is_secret_name(key.rpartition(".")[2]):
        return ConfigError(f"{key}: a secret does not belong in the config; set it in the environment instead")
    known = sorted(known_keys())
    if key in known:  # a key of another engine than the one chosen
        return ConfigError(f"{key}: {words}")
    near = [name for name in known if name.rpartition(".")[2] == key][:3]
    near = near or difflib.get_close_matches(key, known, n=1, cutoff=0.65)
    return ConfigError(f"{key}: there is no such key" + (f"; did you mean {' or '.join(near)}?" if near else ""))


def _unknown_strategy(name: str) -> ConfigError:
    known = [entry.name for entry in fields(StrategiesConfig)]
    near = difflib.get_close_matches(name, known, n=1)
    return ConfigError(
        f"generate.strategies: there is no strategy '{name}'; the strategies are {', '.join(known)}"
        + (f"; did you mean {near[0]}?" if near else "")
    )


_OVERRIDE = re.compile(r"(?P<key>[\w.-]+)=")


def with_new_entries(overrides: Iterable[str]) -> list[str]:
    """Return the overrides for Hydra, with ++ in front of those of mappings, such as engine.headers.X-Title=demo.

    Without it, Hydra refuses entries that the mapping does not have yet.
    """
    mappings = {*_mappings(Config), *(f"engine.{name}" for kind in ENGINES.values() for name in _mappings(kind))}

    def is_entry(key: str) -> bool:
        parts = key.split(".")
        return any(".".join(parts[:length]) in mappings for length in range(1, len(parts) + 1))

    return [f"++{word}" if (match := _OVERRIDE.match(word)) and is_entry(match["key"]) else word for word in overrides]


def _mappings(schema: type[Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys whose value is a mapping with free names."""
    hints = get_type_hints(schema)
    for entry in fields(schema):
        kind = hints[entry.name]
        if get_origin(kind) is dict:
            yield prefix + entry.name
        elif is_dataclass(kind) and isinstance(kind, type):
            yield from _mappings(kind, f"{prefix}{entry.name}.")


def known_keys() -> set[str]:
    """Return every dotted key of the config, including the keys of all engines."""
    return set(_keys(Config)) | {f"engine.{name}" for kind in ENGINES.values() for name in _keys(kind)}


def _keys(schema: type[Any], prefix: str = "") -> Iterator[str]:
    hints = get_type_hints(schema)
    for entry in fields(schema):
        kind = hints[entry.name]
        yield prefix + entry.name
        if is_dataclass(kind) and isinstance(kind, type):
            yield from _keys(kind, f"{prefix}{entry.name}.")
