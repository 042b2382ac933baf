"""Check that a field is JSON that fits a JSON Schema: one of the task, or one that the sample itself holds.

A schema of a sample is text of a generator. Its references are never fetched, its patterns are matched in linear time,
and a schema that is too large or not valid is rejected.
"""

import dataclasses
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, ClassVar

import jsonschema_rs

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Path, Stage, quoted
from synthgen.filters.declared.choices import enum_of, key_of_value, refuse_unknown
from synthgen.filters.declared.fields import any_place, first_beside
from synthgen.records import Json, parse_json
from synthgen.tasks.paths import Steps, beside, values
from synthgen.tasks.schemas import no_retrieval
from synthgen.tasks.task import Task

_LARGEST = 20_000
"""Most characters of a schema that a sample holds."""


@dataclasses.dataclass
class SchemaOfConfig:
    field: str
    """Path to JSON text, or to a value of any other type, such as `turns[].call.arguments`."""
    schema: dict[str, Any] = dataclasses.field(default_factory=dict)
    """The JSON Schema. One of `schema`, `schemas` and `schema_from`."""
    schemas: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Several JSON Schemas by name, such as one for each tool: `{get_weather: {type: object, ...}}`. Needs `name`."""
    schema_from: str = ""
    """Path to the JSON Schema in the sample, as JSON text or as an object, such as `tools[].parameters`."""
    name: str = ""
    """Path to the name of the schema that applies, such as `turns[].call.name`. Needed for several schemas."""
    schema_name: str = ""
    """Path to the name of each schema of `schema_from`, such as `tools[].name`."""


class SchemaOf:
    """Find values that are not JSON or do not fit a JSON Schema."""

    kind: ClassVar[str] = "schema_of"
    meaning: ClassVar[str] = (
        "`field` is JSON that fits the JSON Schema `schema`, the one in `schemas` for the value of `name`, or the one in "
        "`schema_from`. Of several in `schema_from` it is the one whose `schema_name` equals `name`."
    )
    reasons: ClassVar[dict[str, str]] = {
        "not_json": "has a text that is not JSON, where it should be",
        "no_schema": "names no valid JSON Schema for one of its values",
        "misfit": "has a value that does not fit its JSON Schema",
    }
    config: ClassVar[type[SchemaOfConfig]] = SchemaOfConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: SchemaOfConfig, task: Task) -> None:
        self._steps = any_place("field", cfg.field, task).steps
        self._from, self._names = cfg.schema_from, (cfg.name, cfg.schema_name)
        self._fixed: jsonschema_rs.Validator | None = None
        self._named: dict[str, jsonschema_rs.Validator] = {}
        self._source: Steps = ()
        if sum(map(bool, (cfg.schema, cfg.schemas, cfg.schema_from))) != 1:
            raise KeyProblem("schema", "give exactly one of `schema`, `schemas` and `schema_from`")
        _check_names(cfg)
        if cfg.name:
            self._name = any_place("name", cfg.name, task).steps
        if cfg.schema:
            self._fixed = _compiled("schema", cfg.schema)
        elif cfg.schemas:
            self._named = {key_of_value(name): _compiled(f"schemas.{name}", one) for name, one in cfg.schemas.items()}
            refuse_unknown("schemas", self._named, self._name, cfg.name, task)
            if missing := [name for name in enum_of(self._name, task) if name not in self._named]:
                raise KeyProblem(
                    "schemas", f"has no JSON Schema for {', '.join(missing)}, which {cfg.name} may be; add one"
                )
        else:
            self._source = any_place("schema_from", cfg.schema_from, task).steps
            if cfg.schema_name:
                self._schema_name = any_place("schema_name", cfg.schema_name, task).steps

    def faults(self, data: Json) -> Iterator[Found]:
        for path, value in values(data, self._steps):
            if isinstance(value, str):
                try:
                    value = parse_json(value)
                except ValueError as error:
                    yield Fault("not_json", path, f"{quoted(str(value))} is not JSON: {error}")
                    continue
            yield from self._misfits(data, path, value)

    def _misfits(self, data: Json, path: Path, value: Any) -> Iterator[Found]:
        if self._fixed is not None:
            yield from _against([self._fixed], path, value)
            return
        name = first_beside(data, path, self._steps, self._name) if self._names[0] else None
        about = {"name": name} if name is not None else {}
        if self._named:
            if (validator := self._named.get(key_of_value(name))) is None:
                yield Fault("no_schema", path, f"the check has no schema for {self._names[0]} {name!r}", about)
            else:
                yield from _against([validator], path, value)
            return
        sources = self._sources(data, path)
        if not sources:
            which = f"with {self._names[1]} {name!r}" if self._names[0] else "there"
            yield Fault("no_schema", path, f"{self._from} has no schema {which}", about)
            return
        try:
            validators = [_validator(source) for source in sources]
        except (ValueError, jsonschema_rs.ValidationError) as error:
            yield Fault("no_schema", path, f"{self._from} is not a valid JSON Schema: {error}", about)
            return
        yield from _against(validators, path, value)

    def _sources(self, data: Json, path: Path) -> list[str]:
        """Return the schemas that apply to a value, as JSON text."""
        found = list(beside(data, path, self._steps, self._source))
        if self._names[0]:
            name = first_beside(data, path, self._steps, self._name)
            own = {
                where: first_beside(data, where, self._source, self._schema_name) for where, _ in found
            }  # the name that belongs to each schema
            found = [(where, source) for where, source in found if own[where] == name]
        return [source if isinstance(source, str) else json.dumps(source) for _, source in found]


def _check_names(cfg: SchemaOfConfig) -> None:
    """Raise KeyProblem when the keys that name one of several schemas do not fit the other keys."""
    if cfg.schema and cfg.name:
        raise KeyProblem("name", "is for several schemas; leave it out, or use schemas or schema_from")
    if cfg.schemas and not cfg.name:
        raise KeyProblem("name", "is missing; `schemas` needs the path of the field that names one of them")
    if cfg.schemas and cfg.schema_name:
        raise KeyProblem(
            "schema_name", "belongs to schema_from; leave it out, because `schemas` holds the names itself"
        )
    if not cfg.schemas and bool(cfg.name) != bool(cfg.schema_name):
        raise KeyProblem("name", "`name` and `schema_name` belong together; give both or neither")


def _compiled(key: str, schema: Any) -> jsonschema_rs.Validator:
    """Return the validator of a schema in the task. Raise KeyProblem when it is no JSON Schema."""
    try:
        return _validator(json.dumps(schema))
    except (ValueError, jsonschema_rs.ValidationError) as error:
        raise KeyProblem(key, f"is not a valid JSON Schema: {error}") from error


def _against(validators: list[jsonschema_rs.Validator], path: Path, value: Any) -> Iterator[Found]:
    """Yield a fault when a value fits none of the schemas."""
    problems = [str(next(iter(validator.iter_errors(value))).message) for validator in validators
                if not validator.is_valid(value)]  # fmt: skip
    if len(problems) == len(validators):
        yield Fault(
            "misfit", path, f"does not fit its JSON Schema: {problems[0][:200]}", {"problem": problems[0][:200]}
        )


@lru_cache(256)  # the samples of a run share few schemas
def _validator(source: str) -> jsonschema_rs.Validator:
    if len(source) > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST:,} characters")
    schema = parse_json(source)
    if not isinstance(schema, dict | bool):
        raise ValueError("it is not an object")
    return jsonschema_rs.validator_for(schema, retriever=no_retrieval, pattern_options=jsonschema_rs.RegexOptions())
