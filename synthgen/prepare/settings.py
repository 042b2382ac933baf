"""Read the settings of a preparation from a YAML file, and report mistakes with file, line, cause and cure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from synthgen.errors import ConfigError, InputError
from synthgen.prepare.balance import BalanceConfig
from synthgen.prepare.collect import PAGES, UNITS, CollectConfig
from synthgen.prepare.kinds import KINDS, StepConfig
from synthgen.prepare.mapping import Mapped
from synthgen.prepare.split import DOCUMENT
from synthgen.prepare.sql import Query, queries
from synthgen.tasks.assets import root
from synthgen.tasks.typed import fits, nearest, type_name
from synthgen.tasks.yamlfaults import in_words
from synthgen.tasks.yamlplace import line_of

_COLLECT = [each.name for each in fields(CollectConfig)]
_FIELD_OPTIONS = ("by", "group", "score")
"""Options of steps that name a field of the rows."""
_KEYS = ("steps", "text", "label", "seed", "sql", *_COLLECT)


@dataclass(frozen=True)
class Settings:
    """Hold the settings of a preparation. `file` is the file that they were read from; None for steps by name."""

    steps: Sequence[tuple[str, StepConfig]]
    collect: CollectConfig = field(default_factory=CollectConfig)
    text: Sequence[str] = ()
    """Fields that hold the texts of a row. Empty: `text`, or else all strings but label, identifiers, links and dates."""
    label: str = "label"
    """The field that holds the label of a row, for the steps that need one."""
    seed: int = 0
    """Seed of all random choices."""
    file: Path | None = None
    sql: Sequence[Query] = ()
    """Queries whose rows are read after those of the files."""

    def place(self, number: int) -> str:
        """Return where a step is named, for messages: file, line and key, or the option of the command line."""
        name, _ = self.steps[number]
        if self.file is None:
            return f"--steps.{name}"
        return self.where(f"steps[{number}].{name}")

    def where(self, key: str) -> str:
        """Return file, line and name of a key, for messages."""
        return f"{self.file}:{line_of(self.file, key)}: {key}" if self.file else key

    def named_fields(self) -> Iterator[tuple[str, str]]:
        """Yield (key, field) for each field of the rows that the file names, and that some row must therefore have."""
        yield from (("text", name) for name in self.text)
        if self.label != Settings.label:
            yield "label", self.label
        for number, (name, cfg) in enumerate(self.steps):
            for option in _FIELD_OPTIONS:
                value = getattr(cfg, option, "")
                for each in value if isinstance(value, list) else [value]:
                    if each and (option, each) != ("group", DOCUMENT):
                        yield f"steps[{number}].{name}.{option}", each


def by_names(names: Sequence[str]) -> Settings:
    """Return the named steps, in this order, with their usual settings."""
    return Settings([(name, _made(name, {}, "--steps")) for name in names])


def with_quotas(settings: Settings) -> Settings:
    """Return settings with a last step that writes quotas. Raise ConfigError where the chain balances its rows already."""
    if any(name == "balance" for name, _ in settings.steps):
        raise ConfigError(
            "--write-quotas: the chain has the step balance already; set `quotas: true` there, or leave it out"
        )
    return replace(settings, steps=[*settings.steps, ("balance", BalanceConfig(to="largest", quotas=True))])


def load(name: str) -> Settings:
    """Return the settings in the file `name`, or those of the shipped file of this name, such as `default`.

    Raise InputError for a file that cannot be read, and ConfigError for a key or a value that does not fit.
    """
    path = Path(name)
    if not path.is_file() and path.name == name and (shipped := root() / "conf" / "prepare" / f"{name}.yaml").is_file():
        path = shipped
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(each.stem for each in (root() / "conf" / "prepare").glob("*.yaml")))
        raise InputError(f"{name}: cannot be read ({error}); name a YAML file in UTF-8, or one of: {known}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = (mark.line, mark.column) if mark else (0, 0)
        raise InputError(in_words(str(error.problem), str(path), *place)) from error
    try:
        return _settings(content, path)
    except _Fault as fault:
        raise ConfigError(f"{path}:{line_of(path, fault.key)}: {fault.key}: {fault.words}") from fault


class _Fault(Exception):  # noqa: N818  # turned into a ConfigError at once
    def __init__(self, key: str, words: str) -> None:
        super().__init__(words)
        self.key, self.words = key, words


def _settings(content: Any, path: Path) -> Settings:
    if not isinstance(content, dict):
        raise _Fault("steps", "the file holds no keys; write `steps:` and a list of steps")
    for key in content:
        if key not in _KEYS:
            raise _Fault(str(key), f"there is no such key{nearest(str(key), _KEYS)}")
    listed = content.get("steps")
    if not isinstance(listed, list) or not listed:
        raise _Fault("steps", f"a list of steps is missing; known steps: {', '.join(KINDS)}")
    steps = [_step(entry, f"steps[{number}]") for number, entry in enumerate(listed)]
    given = {key: content[key] for key in _COLLECT if key in content}
    text = content.get("text") or []
    text = [text] if isinstance(text, str) else text
    if not isinstance(text, list) or not all(isinstance(name, str) for name in text):
        raise _Fault("text", "not a list of field names; write them as [title, body]")
    label, seed = content.get("label", "label"), content.get("seed", 0)
    if not isinstance(label, str):
        raise _Fault("label", "not the name of a field; put it in quotes")
    if type(seed) is not int:
        raise _Fault("seed", "not a whole number")
    sql = queries(content["sql"], f"{path}:{line_of(path, 'sql')}: sql") if "sql" in content else []
    return Settings(steps, _collect(given), tuple(text), label, seed, path, sql)


def _collect(given: Mapping[str, Any]) -> CollectConfig:
    mapped, drop, licence = given.get("map") or {}, given.get("drop") or [], given.get("licence") or ""
    if not isinstance(mapped, dict) or not all(isinstance(part, str) for pair in mapped.items() for part in pair):
        raise _Fault("map", "write one line `NAME: EXPRESSION` a field, with the expression as text")
    if not isinstance(drop, list) or not all(isinstance(name, str) for name in drop):
        raise _Fault("drop", "not a list of field names; write them as [score, url]")
    if (unit := given.get("documents", "document")) not in UNITS:
        raise _Fault("documents", f"'{unit}' is none of {', '.join(UNITS)}")
    if (html := given.get("html", "main")) not in PAGES:
        raise _Fault("html", f"'{html}' is none of {', '.join(PAGES)}")
    if not isinstance(licence, str | dict):
        raise _Fault("licence", "write one text for all files, or one line `FILE: LICENCE` a file")
    try:
        Mapped(mapped)
    except InputError as error:
        raise _Fault(*str(error).split(": ", 1)) from error
    return CollectConfig(mapped, tuple(drop), unit, html, licence)


def _step(entry: Any, key: str) -> tuple[str, StepConfig]:
    if isinstance(entry, str):
        return entry, _made(entry, {}, key)
    if isinstance(entry, dict) and len(entry) == 1:
        ((name, options),) = entry.items()
        if options is None or isinstance(options, dict):
            return name, _made(name, options or {}, key)
    raise _Fault(key, "write a step as `- NAME`, or as `- NAME: {OPTION: VALUE}`")


def _made(name: Any, options: Mapping[str, Any], key: str) -> StepConfig:
    if name not in KINDS:
        raise _told(key, f"there is no step '{name}'{nearest(str(name), KINDS)}")
    kind = KINDS[name].config
    known = {each.name: each for each in fields(kind)}
    for option, value in options.items():
        if option not in known:
            raise _told(f"{key}.{name}.{option}", f"{name} has no such option{nearest(str(option), known)}")
        if not fits(value, known[option].type):
            words = f"must be of type {type_name(known[option].type)}, got {value!r}"
            raise _told(f"{key}.{name}.{option}", words)
    try:
        return kind(**options)
    except ConfigError as error:
        raise _told(f"{key}.{name}", str(error)) from error


def _told(key: str, words: str) -> Exception:
    """Return the error about a key of the file, or about a name on the command line."""
    return ConfigError(f"{key}: {words}") if key.startswith("--") else _Fault(key, words)
