"""Make a task from its config: check that its keys fit together, and find its files.

The checks of single parts are in `synthgen.tasks.assign`, `attributes`, `criteria`, `labels` and `learning`. Declared checks are
built in `synthgen.filters.declared`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema_rs

from synthgen.errors import ConfigError
from synthgen.tasks.assets import find, root
from synthgen.tasks.assign import Assigned, label_sets, read_assigned
from synthgen.tasks.attributes import read_attributes
from synthgen.tasks.criteria import compared, criteria, in_chinese
from synthgen.tasks.documents import find_documents
from synthgen.tasks.exporting import read_parts
from synthgen.tasks.labels import LabelSpace, read_labels
from synthgen.tasks.learning import check_metrics, check_student
from synthgen.tasks.rows.source import find_source
from synthgen.tasks.schemas import no_retrieval
from synthgen.tasks.task import Task, TaskConfig, is_pair

KINDS = ("classification", "extraction", "generation", "dialogue")


def load_task(cfg: TaskConfig, bases: Sequence[Path] = ()) -> Task:
    """Check a task config and find its files. Relative paths are searched under `bases` first.

    Raise ConfigError for a contradiction inside the task, and InputError for a missing file.
    """
    _check_fields(cfg)
    labels = _labels(cfg)
    assigned = _assigned(cfg, labels)
    schema = {**cfg.schema, "additionalProperties": cfg.schema.get("additionalProperties", False)}
    try:
        validator = jsonschema_rs.validator_for(schema, retriever=no_retrieval)
    except (ValueError, jsonschema_rs.ValidationError) as error:
        raise ConfigError(f"task.schema: not a valid JSON Schema: {error}") from error
    return Task(
        name=cfg.name,
        kind=cfg.kind,
        description=cfg.description,
        language=cfg.language,
        schema=schema,
        input=tuple(cfg.input),
        target=tuple(cfg.target),
        labels=dict(labels.single),
        grades=labels.grades,
        multi_labels=dict(labels.several),
        rubric=criteria(cfg.rubric, cfg.language),
        symmetric=cfg.symmetric,
        prompts=find(cfg.prompts, _prompt_places(cfg.language, bases), "task.prompts"),
        seeds=find_source(cfg.seeds, bases, "task.seeds") if cfg.seeds is not None else None,
        eval=find_source(cfg.eval, bases, "task.eval") if cfg.eval else None,
        texts=find_source(cfg.texts, bases, "task.texts") if cfg.texts else None,
        documents=find_documents(cfg.documents, bases),
        metrics=check_metrics(cfg.metrics),
        student=check_student(cfg.student),
        checks=_checks(cfg),
        assign=tuple(cfg.target if labels.several else () if labels.single else cfg.assign),
        assigned=assigned,
        validator=validator,
        attributes=read_attributes(cfg.attributes),
        templates=dict(cfg.templates),
        compared=compared(cfg.rubric, cfg.language),
    )


def _prompt_places(language: str, bases: Sequence[Path]) -> list[Path]:
    """Return the folders to search for prompts: the user's first, then the shipped ones in the task's language."""
    shipped = root() / "prompts"
    own = [shipped / "zh"] if in_chinese(language) else []
    return [*bases, *(base / "prompts" for base in bases), *own, shipped]


def _check_fields(cfg: TaskConfig) -> None:
    if cfg.kind not in KINDS:
        raise ConfigError(f"task.kind: '{cfg.kind}' is not one of {', '.join(KINDS)}")
    if not cfg.name or not all(char.isalnum() or char in "-_" for char in cfg.name):
        raise ConfigError(f"task.name: '{cfg.name}' must be letters, digits, '-' and '_' only")
    properties = cfg.schema.get("properties")
    if cfg.schema.get("type") != "object" or not isinstance(properties, dict) or not properties:
        raise ConfigError("task.schema: must be a JSON Schema of type object with at least one property")
    for name, part in properties.items():
        if not isinstance(part, dict):
            raise ConfigError(f"task.schema.properties.{name}: must be a JSON Schema, such as {{type: string}}")
    for key, names in (("input", cfg.input), ("target", cfg.target)):
        if not names:
            raise ConfigError(f"task.{key}: name at least one field of task.schema")
        for name in names:
            if name not in properties:
                known = ", ".join(properties)
                raise ConfigError(f"task.{key}: '{name}' is not a property of task.schema (it has: {known})")
    read_parts(cfg.export, cfg.schema)
    shared = set(cfg.input) & set(cfg.target)
    if shared:
        raise ConfigError(f"task.target: '{shared.pop()}' is in task.input too")
    if cfg.symmetric and not is_pair(cfg.kind, cfg.input, cfg.schema):
        raise ConfigError(
            "task.symmetric: only a classification with two input fields of type string has pairs of texts"
        )


def _checks(cfg: TaskConfig) -> tuple[Any, ...]:
    if cfg.checks is not None and not isinstance(cfg.checks, list):
        raise ConfigError("task.checks: must be a list; write each check in a line of its own, behind a '-'")
    return tuple(cfg.checks or ())


def _assigned(cfg: TaskConfig, labels: LabelSpace) -> Assigned:
    """Return the values that slots ask for, except a single label. Classification assigns its labels and nothing else."""
    if cfg.kind == "classification":
        if others := [path for path in cfg.assign if path != cfg.target[0]]:
            raise ConfigError(
                f"task.assign: classification assigns its label, '{cfg.target[0]}', and no other field; leave out "
                f"{', '.join(others)}, or use another task.kind"
            )
        return label_sets(cfg.target[0], labels.several) if labels.several else Assigned({})
    return read_assigned(cfg.assign, cfg.labels, cfg.schema)


def _labels(cfg: TaskConfig) -> LabelSpace:
    """Return the labels of a classification task; no labels for other tasks."""
    if cfg.kind == "classification":
        return read_labels(cfg.target, cfg.schema, cfg.labels)
    if cfg.labels and not cfg.assign:
        raise ConfigError(
            f"task.labels: only classification has labels, and task.kind is {cfg.kind}; for the meanings of an enum's "
            "values, name its field in task.assign too"
        )
    return LabelSpace()
