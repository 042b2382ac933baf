"""Read a task's `templates`: sentences with slots, and the values of the slots; fill them into samples.

A sentence is sandboxed, strict Jinja, as prompts are. Values are only ever variables.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
from jinja2 import StrictUndefined, Template, TemplateSyntaxError, meta, pass_context
from jinja2.runtime import Context

from synthgen.engines.prompts import Sandbox
from synthgen.errors import ConfigError
from synthgen.generate.combinations import indices
from synthgen.generate.spans import SpanField, span_fields
from synthgen.records import Json
from synthgen.tasks.paths import ITEMS
from synthgen.tasks.schemas import no_retrieval
from synthgen.tasks.task import Task

_EXAMPLE = "{{sentences: {}, slots: {{place: [the Lamb, Luigi's]}}}}"
_SENTENCE = '["Book a table at {{ place }}"]'
_SENTENCES, _SLOTS = "task.templates.sentences", "task.templates.slots"
_BOUNDS = ("enum", "maxLength", "minLength", "pattern")
_LONGEST = 40
_FOUND = "_entities"


@dataclass(frozen=True)
class Slot:
    """Hold the values of a slot, or the limits within which the model writes it."""

    name: str
    values: tuple[str, ...]
    """Empty for a slot that the model writes."""
    meaning: str
    schema: Json
    """JSON Schema of a value that the model writes."""
    validator: jsonschema_rs.Validator | None = None
    """Checks such a value."""

    def fits(self, value: Any) -> bool:
        """Return True for a text within the limits of a slot that the model writes."""
        return self.validator is not None and self.validator.is_valid(value) and bool(value.strip())


@dataclass(frozen=True)
class Sentence:
    """Hold one sentence: the templates of its fields, its slots, and its place in the config for messages."""

    number: int
    """Place among all sentences of the task."""
    label: str | None
    """The label that it is for; None where the filled sentence decides."""
    fields: Mapping[str, Template]
    listed: tuple[Slot, ...]
    """Its slots with values."""
    written: tuple[Slot, ...]
    """Its slots that the model writes."""
    where: str
    entities: SpanField | None

    def sizes(self) -> list[int]:
        return [len(slot.values) for slot in self.listed]

    def values(self, number: int) -> dict[str, str]:
        """Return the values of the slots with lists in the combination with this number."""
        chosen = indices(number, self.sizes())
        return {slot.name: slot.values[index] for slot, index in zip(self.listed, chosen, strict=True)}

    def fill(self, values: Mapping[str, str]) -> Json:
        """Return the fields of a sample. Raise ConfigError where a template fails."""
        data: Json = {}
        entities: list[tuple[str, str]] = []
        for name, template in self.fields.items():
            found: list[tuple[str, str]] = []
            try:
                data[name] = template.render({**values, _FOUND: found}).strip()
            except ConfigError:
                raise
            except Exception as error:  # a template can raise any exception
                raise ConfigError(f"{self.where}: {error}") from error
            if self.entities is not None and name == self.entities.text:
                entities = found
            elif found:
                raise ConfigError(
                    f"{self.where}: marks an entity in '{name}', and the checks of the task name no list for it"
                )
        if self.entities is not None:
            field = self.entities
            data[str(field.steps[0])] = [
                {name: kind if name == field.kind else value for name in field.keys} for kind, value in entities
            ]
        return data


class Templates:
    """Hold all sentences of a task. Raise ConfigError with key, cause and cure where one does not fit the task."""

    def __init__(self, task: Task, seed: int) -> None:
        given = task.templates
        sentences = f"{{{next(iter(task.asked))}: {_SENTENCE}, ...}}" if task.asked else _SENTENCE
        if not given or not isinstance(given.get("sentences"), Mapping | list) or not given["sentences"]:
            raise ConfigError(
                f"task.templates: task {task.name} has no sentences for the strategy template; write them, such as "
                f"templates: {_EXAMPLE.format(sentences)}"
            )
        if others := [str(key) for key in given if key not in ("sentences", "slots")]:
            raise ConfigError(f"task.templates: there is no key '{others[0]}', only `sentences` and `slots`")
        self._task = task
        self._entities = _entity_field(task)
        self._text = _text_fields(task, self._entities)
        self._environment = Sandbox(undefined=StrictUndefined, autoescape=False)
        self._environment.filters["entity"] = _entity
        self._slots = _slots(given.get("slots") or {}, random.Random(f"{seed}/template"))
        self.sentences: list[Sentence] = []
        for label, place, part in _listed(given["sentences"], task):
            self.sentences.append(self._sentence(label, place, part))
        if unused := set(self._slots) - {slot.name for one in self.sentences for slot in (*one.listed, *one.written)}:
            raise ConfigError(f"{_SLOTS}.{min(unused)}: no sentence has this slot; remove it, or use it")

    def _sentence(self, label: str | None, where: str, part: Any) -> Sentence:
        if isinstance(part, str):
            if len(self._text) != 1:
                raise ConfigError(
                    f"{where}: name the field of each text, because the task has several: "
                    f"{{{', '.join(f'{name}: ...' for name in self._text)}}}"
                )
            part = {self._text[0]: part}
        if not isinstance(part, Mapping) or not all(isinstance(text, str) for text in part.values()):
            raise ConfigError(f"{where}: must be a text, or a mapping of field to text, got {part!r}")
        if odd := set(part) ^ set(self._text):
            raise ConfigError(
                f"{where}: a sentence needs a text for each of {', '.join(self._text)} and no other field; "
                f"see '{min(odd)}'"
            )
        names: dict[str, None] = {}
        fields = {}
        for field, text in part.items():
            try:
                tree = self._environment.parse(text)
                fields[field] = self._environment.from_string(text)
            except TemplateSyntaxError as error:
                raise ConfigError(f"{where}: {error.message} in {text!r}") from error
            names |= dict.fromkeys(sorted(meta.find_undeclared_variables(tree), key=text.find))
        for name in names:
            if name not in self._slots:
                raise ConfigError(
                    f"{where}: the slot '{name}' is not in {_SLOTS}; add a list of values there, or `{name}: {{}}` to "
                    "have the model write it"
                )
        slots = [self._slots[name] for name in names]
        sentence = Sentence(
            len(self.sentences), label, fields, tuple(slot for slot in slots if slot.values),
            tuple(slot for slot in slots if not slot.values), where, self._entities,
        )  # fmt: skip
        self._try(sentence)
        return sentence

    def _try(self, sentence: Sentence) -> None:
        """Raise ConfigError where a sentence filled with its first values breaks the schema."""
        if sentence.written:
            sentence.fill(self.first_values(sentence))
            return
        data = self._task.labelled(
            sentence.fill(sentence.values(0)), sentence.label or next(iter(self._task.labels), None)
        )
        if problems := self._task.problems(data):
            raise ConfigError(f"{sentence.where}: filled in, it does not fit task.schema: {problems[0]}")

    def first_values(self, sentence: Sentence) -> dict[str, str]:
        """Return a value for each slot, with a placeholder for those that the model writes."""
        return sentence.values(0) | {slot.name: f"<{slot.name}>" for slot in sentence.written}

    def of(self, label: str | None) -> list[tuple[Sentence, int, int]]:
        """Return the sentences that may be filled for a label, each with a share of its combinations: first and step.

        A sentence that fits several labels gives each another share, so that no filled sentence is used for two.
        """
        found = []
        for sentence in self.sentences:
            labels = self._labels(sentence)
            if label in labels:
                found.append((sentence, labels.index(label), len(labels)))
        return found

    def _labels(self, sentence: Sentence) -> list[str | None]:
        if sentence.label is not None or not self._task.asked:
            return [sentence.label]
        data = sentence.fill(self.first_values(sentence))
        return [*self._task.assigned.keys_of(data)]


def _entity_field(task: Task) -> SpanField | None:
    """Return the list of entities that `entity` fills: objects with a string in a text, at most with a type besides."""
    for field in span_fields(task):
        if len(field.steps) == 3 and field.steps[1] is ITEMS:
            needed = task.schema["properties"][str(field.steps[0])]["items"].get("required", [])
            if set(needed) <= {field.steps[2], field.kind}:
                return field
    return None


def _text_fields(task: Task, entities: SpanField | None) -> list[str]:
    """Return the fields that a sentence fills. Raise ConfigError where one of them is no text."""
    made = {str(entities.steps[0])} if entities is not None else set()
    required = task.schema.get("required", list(task.schema["properties"]))
    names = [name for name in task.free_fields if name not in made and name in required]
    for name in names:
        if task.schema["properties"][name].get("type") != "string":
            raise ConfigError(
                f"generate.strategies.template: the field '{name}' of task {task.name} is no text, which a sentence cannot "
                "fill; choose another strategy, such as generate=fewshot"
            )
    return names


def _listed(given: Any, task: Task) -> list[tuple[str | None, str, Any]]:
    """Return the sentences, each with its label and its place in the config."""
    if isinstance(given, list):
        if task.labels:
            raise ConfigError(f"{_SENTENCES}: must be a mapping of label to a list, because the task has labels: "
                              f"{{{next(iter(task.labels))}: [...], ...}}")  # fmt: skip
        return [(None, f"{_SENTENCES}[{place}]", part) for place, part in enumerate(given)]
    found: list[tuple[str | None, str, Any]] = []
    for label, sentences in given.items():
        if str(label) not in task.asked:
            raise ConfigError(
                f"{_SENTENCES}: '{label}' is nothing that the task asks for ({', '.join(task.asked) or 'no labels'})"
            )
        if not isinstance(sentences, list) or not sentences:
            raise ConfigError(f"{_SENTENCES}.{label}: must be a list of one or more sentences")
        found += [(str(label), f"{_SENTENCES}.{label}[{place}]", part) for place, part in enumerate(sentences)]
    return found


def _slots(given: Any, rng: random.Random) -> dict[str, Slot]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{_SLOTS}: must be a mapping of slot to its values, such as {{place: [the Lamb, Luigi's]}}")
    return {str(name): _slot(str(name), part, rng) for name, part in given.items()}


def _slot(name: str, part: Any, rng: random.Random) -> Slot:
    where = f"{_SLOTS}.{name}"
    if isinstance(part, list):
        values = [str(value) for value in part if isinstance(value, str | int | float) and not isinstance(value, bool)]
        if len(values) < len(part) or not part or not all(value.strip() for value in values):
            raise ConfigError(
                f"{where}: must be a list of one or more texts; put words such as yes, no and null in quotes"
            )
        if twice := [value for place, value in enumerate(values) if value in values[:place]]:
            raise ConfigError(f"{where}: the value '{twice[0]}' is listed twice; remove one of them")
        rng.shuffle(values)
        return Slot(name, tuple(values), "", {})
    part = {} if part is None else part
    if not isinstance(part, Mapping) or (odd := [str(key) for key in part if key not in (*_BOUNDS, "meaning")]):
        raise ConfigError(
            f"{where}: must be a list of values, or limits for the model that writes it: {', '.join(_BOUNDS)}, and "
            f"`meaning`{f'; there is no key {odd[0]!r}' if isinstance(part, Mapping) else ''}"
        )
    schema = {"type": "string", "minLength": 1, "maxLength": _LONGEST}
    schema |= {key: part[key] for key in _BOUNDS if key in part}
    return Slot(name, (), str(part.get("meaning", "")), schema, _validator(schema, where))


def _validator(schema: Json, where: str) -> jsonschema_rs.Validator:
    """Return the check of a slot's values. Raise ConfigError where no text can be within the limits."""
    options = schema.get("enum", [""])
    if not isinstance(options, list) or not options or not all(isinstance(option, str) for option in options):
        raise ConfigError(f"{where}.enum: must be a list of one or more texts, got {options!r}")
    try:
        validator = jsonschema_rs.validator_for(schema, retriever=no_retrieval)
    except (ValueError, jsonschema_rs.ValidationError) as error:
        raise ConfigError(f"{where}: {getattr(error, 'message', None) or error}") from error
    if not max(1, schema["minLength"]) <= schema["maxLength"]:
        raise ConfigError(
            f"{where}: no text has {schema['minLength']} or more and at most {schema['maxLength']} characters; set "
            "minLength and maxLength"
        )
    return validator


@pass_context
def _entity(context: Context, value: str, kind: str = "") -> str:
    """Mark a value of a sentence as an entity of a type."""
    context[_FOUND].append((kind, str(value)))
    return value
