"""Define a task: the schema of a sample and the material for its prompts.

`synthgen.tasks.loading` makes it from a config, `synthgen.tasks.seeds` reads the seed and eval files, and
`synthgen.engines.prompts` renders prompts.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jsonschema_rs

from synthgen.records import Json
from synthgen.tasks.assign import Assigned, label_sets
from synthgen.tasks.attributes import Attribute
from synthgen.tasks.rows.source import Source
from synthgen.tasks.schemas import no_retrieval, without_bounds

THINKING_FIELD = "thinking"
ATTRIBUTES = "attributes"
"""Key of `given` that holds the attribute values that a slot asks for, by the attribute's name."""


@dataclass
class TaskConfig:
    name: str
    """Short name, used in the default run name and in the dataset card."""
    kind: str
    """Kind of task: `classification`, `extraction`, `generation` or `dialogue`."""
    schema: dict[str, Any]
    """JSON Schema of one sample. The generator writes the properties in their order here."""
    input: list[str]
    """Input fields of the student."""
    target: list[str]
    """Fields that the student learns to predict. For classification, the label field alone."""
    prompts: str
    """A folder under prompts/, or a path to one."""
    seeds: str | None = None
    """The human-written samples that the run starts from: a file, a dataset folder, or
    hf:OWNER/NAME[:SPLIT][@REVISION]. null for none, where the strategy `grounded`, `label_text`, `magpie`, `taxonomy` or
    `template` has a weight."""
    description: str = ""
    """One sentence that describes the samples; shown in prompts."""
    language: str = "en"
    """Language of the samples (BCP 47), for the dataset card and the prompts."""
    labels: dict[str, str] = field(default_factory=dict)
    """Label, or value of a field in `assign`, to its meaning; shown in prompts."""
    assign: list[str] = field(default_factory=list)
    """Fields with an enum, or of type boolean, of which each slot asks for one value, so that accepted samples are
    balanced: `[tone]`, or `["entities[].type"]` for at least one item with the value. `"entities[].type | none"` also
    asks for samples whose list is empty. Several fields are combined, and
    every combination gets an even share. Classification assigns its label without this key."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Attributes in which samples should vary besides their label, for the strategy `attributes`: names, each with a list of
    values, such as {tone: [formal, casual], length: [short, long]}, or with a mapping of value to weight. {tone: {meaning:
    how the writer sounds, values: [formal, casual]}} explains an attribute to the model."""
    templates: dict[str, Any] = field(default_factory=dict)
    """Sentences with slots for the strategy `template`: {sentences: [...], slots: {...}}. docs/strategies/rules.md shows
    them."""
    rubric: Any = None
    """Criteria that the judge grades from 1 to 5: names of the library, such as [natural, relevant], and
    `name: statement` entries of your own, each a statement that is true of a good sample."""
    symmetric: bool = False
    """The order of the two input fields means nothing, as in paraphrases (classification with two input fields only).
    The student sees both orders, and its answer is the mean over both."""
    eval: str | None = None
    """Held-out samples: scored at the end, never prompted."""
    metrics: list[str] = field(default_factory=list)
    """Metrics of the student, the headline first, such as [chrf, bleu]; docs/student.md lists them. Without this key, the
    kind of student decides."""
    student: str = "auto"
    """Student that fits the task where its shape does not tell: `retriever` (an embedder that finds `target` by `input`),
    `preference` (an instruct model that prefers `target` to the field `rejected`), or `auto`."""
    texts: str | None = None
    """Real texts without labels or annotations, for `generate=label_text`: a file or dataset whose rows have the input
    fields, or a .txt file with one text a line."""
    documents: Any = None
    """Documents for `generate=grounded`: a folder, a file, a glob, or a list of these. Read are .txt, .md, .html, .pdf,
    .docx and .jsonl (each row's `text` is a document)."""
    checks: Any = None
    """List of checks on fields of a sample, such as {kind: spans, field: "entities[].text", in: text}; docs/checks.md lists all kinds."""
    export: dict[str, Any] = field(default_factory=dict)
    """Parts of the export formats and the fields that have them, where they do not follow from the task, such as
    {instruction: question, input: passage}; docs/formats.md lists the parts."""


@dataclass(frozen=True)
class Task:
    """Hold a validated task, which `synthgen.tasks.loading` builds."""

    name: str
    kind: str
    description: str
    language: str
    schema: Json
    input: tuple[str, ...]
    target: tuple[str, ...]
    labels: dict[str, str]
    grades: tuple[int, ...]
    """The labels as numbers, ascending, where they are grades; empty otherwise."""
    multi_labels: dict[str, str]
    """Labels of which a sample has a list, each with its meaning; empty for other tasks."""
    rubric: dict[str, str]
    symmetric: bool
    prompts: Path
    seeds: Source | None
    eval: Source | None
    texts: Source | None
    documents: tuple[str, ...]
    """The absolute paths and patterns of the documents."""
    metrics: tuple[str, ...]
    student: str
    checks: tuple[Any, ...]
    """The declarations as written in the YAML. `synthgen.filters.declared` checks and builds them."""
    assign: tuple[str, ...]
    assigned: Assigned
    """Holds the values that slots ask for, besides the label of a classification task."""
    validator: jsonschema_rs.Validator = field(repr=False, compare=False)
    attributes: tuple[Attribute, ...] = ()
    """The attributes in which samples should vary, for the strategy `attributes`."""
    templates: Json = field(default_factory=dict)
    """The sentences and slots of the strategy `template`, as the config has them."""
    takes_thinking: bool = False
    """True where the field `thinking` receives a reasoning model's thinking, so that the generator does not write it."""
    compared: frozenset[str] = frozenset()
    """Criteria of `rubric` that compare a sample with those that it was made after. The judge is shown these for them."""

    def __getstate__(self) -> Json:
        """Return the fields for another process, all but the validator, which is made of the schema there."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "validator"}

    def __setstate__(self, state: Json) -> None:
        self.__dict__.update(state)
        self.__dict__["validator"] = jsonschema_rs.validator_for(self.schema, retriever=no_retrieval)

    @cached_property
    def label_field(self) -> str | None:
        """Return the field of a sample's one label, which is assigned to each slot; None for a task without one."""
        return self.target[0] if self.labels else None

    @property
    def is_pair(self) -> bool:
        """Return True for a classification of pairs: the task has two input fields, both texts."""
        return is_pair(self.kind, self.input, self.schema)

    @cached_property
    def free_fields(self) -> tuple[str, ...]:
        """Return the fields that the generator writes, in order."""
        return tuple(name for name in self.schema["properties"] if name not in self._given)

    @cached_property
    def _given(self) -> frozenset[str | None]:
        """Return the fields that the generator does not write."""
        thinking = {THINKING_FIELD} if self.takes_thinking else set()
        return frozenset({self.label_field} | thinking | self.assigned.given_fields)

    @property
    def asked(self) -> tuple[str, ...]:
        """Return the labels or keys that a slot may ask for: the labels, or the keys of `assigned`; empty for a task
        without either."""
        return tuple(self.labels) or self.assigned.keys

    @property
    def free_schema(self) -> Json:
        """Return the JSON Schema of the generator's output: the sample without its label, assigned fields and thinking."""
        return {
            **self.schema,
            "properties": {name: self.schema["properties"][name] for name in self.free_fields},
            "required": [name for name in self.schema.get("required", []) if name not in self._given],
            "additionalProperties": False,
        }

    @cached_property
    def label_texts(self) -> dict[str, str]:
        """Return a text for each label: its name in words and, if the task gives one, its meaning.

        A grade with a meaning is the meaning alone, because the number says nothing about a text.
        """
        labels = self.labels or self.multi_labels
        return {label: _label_text(label, meaning, bool(self.grades)) for label, meaning in labels.items()}

    def label_of(self, data: Json) -> str | None:
        return str(data[self.label_field]) if self.label_field else None

    def labels_of(self, data: Json) -> list[str]:
        """Return the labels of a sample that may have several, in the task's order."""
        return [label for label in self.multi_labels if label in data[self.target[0]]]

    def with_label_sets(self, seeds: Sequence[Json]) -> "Task":
        """Return the task with the sets of labels that slots ask for, in a task whose samples may have several."""
        if not self.multi_labels:
            return self
        return replace(self, assigned=label_sets(self.target[0], self.multi_labels, seeds))

    def asked_of(self, data: Json, asked: str | None = None) -> str | None:
        """Return the label or key that fits this sample: its label, or a key of `assigned`. Prefer `asked` if it fits."""
        if self.label_field:
            return self.label_of(data)
        keys = self.assigned.keys_of(data)
        return asked if asked in keys else next(iter(keys), None)

    def labelled(self, data: Json, label: str | None) -> Json:
        """Return a sample's data in schema order, with `label` in the label field or the values that it stands for."""
        if self.label_field is not None:
            data = {**data, self.label_field: int(label) if self.grades and label is not None else label}
        elif label is not None and self.assigned.wishes:
            data = {**data, **{str(w.steps[0]): w.given for w in self.assigned.wishes[label] if w.is_given}}
        known = {name: data[name] for name in self.schema["properties"] if name in data}
        return known | {name: value for name, value in data.items() if name not in known}

    def with_thinking(self) -> "Task":
        """Return the task with its text field `thinking`, if it has one, filled from the model's thinking."""
        part = self.schema["properties"].get(THINKING_FIELD)
        return replace(self, takes_thinking=part is not None and part.get("type") == "string")

    def without_thinking(self, data: Json) -> Json:
        """Return a sample's data without the field that has the model's thinking."""
        if not self.takes_thinking:
            return data
        return {name: value for name, value in data.items() if name != THINKING_FIELD}

    def text(self, data: Json) -> str:
        """Return the sample's text without its label, for embeddings and text rules."""
        return _prose(data, self.free_fields)

    def input_text(self, data: Json) -> str:
        """Return the text that the student reads."""
        return _prose(data, self.input)

    def target_text(self, data: Json) -> str:
        """Return the text that the student should answer."""
        return _prose(data, self.target)

    def problems(self, data: Any) -> list[str]:
        """Return the schema errors of a sample, each as `path: message`; an empty list if it is valid."""
        return [message for _, message in self.faults(data)]

    def faults(self, data: Any) -> list[tuple[list[str | int], str]]:
        """Return the schema errors, each with the keys and indices that lead to the invalid value."""
        return _faults(self.validator, data)

    def held_out_faults(self, data: Any) -> list[tuple[list[str | int], str]]:
        """Return the schema errors of an eval row in its types, fields and labels.

        Lengths and patterns are not checked: they limit the generator, and real texts may be longer or shorter.
        """
        return _faults(self._held_out_validator, data)

    def part_validator(self, properties: Json) -> jsonschema_rs.Validator:
        """Return a validator of rows that have these properties of the schema, all required."""
        part = {**self.schema, "properties": properties, "required": list(properties)}
        return jsonschema_rs.validator_for(part, retriever=no_retrieval)

    @cached_property
    def _held_out_validator(self) -> jsonschema_rs.Validator:
        return jsonschema_rs.validator_for(without_bounds(self.schema), retriever=no_retrieval)

    def definition(self) -> Json:
        """Return the task as JSON without file paths, for the fingerprint and the ledger."""
        return {
            "name": self.name,
            "kind": self.kind,
            "description": self.description,
            "language": self.language,
            "schema": self.schema,
            "input": list(self.input),
            "target": list(self.target),
            "labels": self.labels,
            **({"multi_labels": self.multi_labels} if self.multi_labels else {}),
            "rubric": self.rubric,
            **({"compared": sorted(self.compared)} if self.compared else {}),
            **({"symmetric": True} if self.symmetric else {}),
            **({"metrics": list(self.metrics)} if self.metrics else {}),
            **({"student": self.student} if self.student != "auto" else {}),
            **({"checks": list(self.checks)} if self.checks else {}),
            **({"attributes": [one.definition() for one in self.attributes]} if self.attributes else {}),
            **({"templates": self.templates} if self.templates else {}),
            **({"assign": list(self.assign), "asked": self.assigned.meanings()} if self.assign else {}),
        }


def is_pair(kind: str, names: Sequence[str], schema: Json) -> bool:
    """Return True for a classification with the two input fields `names`, both texts."""
    texts = [schema["properties"][name].get("type") == "string" for name in names]
    return kind == "classification" and len(texts) == 2 and all(texts)


def _faults(validator: jsonschema_rs.Validator, data: Any) -> list[tuple[list[str | int], str]]:
    if validator.is_valid(data):
        return []
    return [
        (path, f"{'.'.join(str(part) for part in path) or 'sample'}: {_shortened(error.message)}")
        for error in validator.iter_errors(data)
        for path in [list(error.instance_path)]
    ]


def in_words(label: str) -> str:
    """Return a label as a phrase: `SearchCreativeWork` and `search_creative_work` become `search creative work`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", label)
    return " ".join(re.split(r"[\s_./-]+", parted)).strip().lower() or label


def _label_text(label: str, meaning: str, is_grade: bool) -> str:
    if meaning and is_grade:
        return meaning
    return f"{in_words(label)}: {meaning}" if meaning else in_words(label)


def _prose(data: Json, names: Sequence[str]) -> str:
    """Join the non-empty fields, one per line. This is a plain loop, because all checks call it for every candidate."""
    parts = []
    for name in names:
        value = data.get(name)
        if isinstance(value, str):
            if value:
                parts.append(value)
        elif value is not None:
            parts.append(as_text(value))
    return "\n".join(parts)


def as_text(value: Any) -> str:
    """Return a field as text: a string unchanged, any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shortened(message: str) -> str:
    """Shorten a schema message to its beginning and end, because it quotes the whole value."""
    return message if len(message) <= 300 else f"{message[:140]} ... {message[-140:]}"
