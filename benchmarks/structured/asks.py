"""Build the requests of the structured-output benchmark: a task's replies, a judge's choice, and schemas that are large."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from synthgen.engines.grammar.schema import choice, sample_grammar
from synthgen.engines.prompts import Prompts
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import PromptingConfig
from synthgen.records import Grammar, Json, Sample, content_id
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task

ROOT = Path(__file__).resolve().parents[2]
WIDE_FIELDS = 24


@dataclass(frozen=True)
class Ask:
    """Hold one kind of request: prompts, their common grammar, and the most tokens of a reply."""

    prompts: tuple[list[Json], ...]
    grammar: Grammar
    max_tokens: int
    logprobs: int | None = None

    def is_valid(self, text: str) -> bool:
        if not isinstance(self.grammar.spec, dict):
            return text in self.grammar.spec
        try:
            return bool(jsonschema_rs.validator_for(self.grammar.spec).is_valid(json.loads(text)))
        except ValueError:
            return False


@dataclass(frozen=True)
class Asks:
    """Hold the requests of a task's run, its label check's question, the wide schema, and the long schema's grammar."""

    task: Ask
    choice: Ask
    wide: Ask
    long: Grammar
    written: tuple[str, ...]
    """The task's seeds, as replies."""


def asks(task: Task) -> Asks:
    prompts = Prompts(task.prompts)
    seeds = [Sample(id=content_id(row), data=row, origin="seed", label=task.label_of(row))
             for row in read_samples(task.seeds, task, "seed")]  # fmt: skip
    prompting = Prompting(task, PromptingConfig(), prompts, seed=0)
    labels = list(task.labels)
    groups = []
    for label in labels:
        shown = [sample for sample in seeds if sample.label == label][:4]
        groups.append(said(prompting.messages(label, shown)))
    system = {"role": "system", "content": prompts.render("label", "system", task=task)}
    questions = [
        prompts.render("label", "ask", task=task, text=task.input_text(sample.data), mark=sample.id[:8])
        for sample in seeds
    ]
    shots = [
        turn
        for question, sample in list(zip(questions, seeds, strict=True))[: 2 * len(labels)]
        for turn in ({"role": "user", "content": question}, {"role": "assistant", "content": sample.label})
    ]
    judged = tuple([system, *shots, {"role": "user", "content": question}] for question in questions)
    wanted = [{"role": "user", "content": "Make up a record of a shop's order, as JSON with every field filled in."}]
    long = yaml.safe_load((ROOT / "conf/task/instruction.yaml").read_text())["schema"]
    return Asks(
        task=Ask(tuple(groups), prompting.grammar, 256),
        choice=Ask(judged, choice(labels), 1, logprobs=min(20, max(5, len(labels)))),
        wide=Ask((wanted,), Grammar(kind="json_schema", spec=wide_schema()), 1024),
        long=sample_grammar({**long, "additionalProperties": False}, 1, 256),
        written=tuple(
            json.dumps(
                {name: sample.data[name] for name in task.free_fields}, ensure_ascii=False, separators=(",", ":")
            )
            for sample in seeds
        ),
    )


def said(messages: Sequence[Any]) -> list[Json]:
    return [{"role": message.role, "content": message.content} for message in messages]


def wide_schema() -> Json:
    """Return a schema of 24 fields: short texts, choices, bounded numbers, and lists of choices."""
    kinds: list[Json] = [
        {"type": "string", "minLength": 1, "maxLength": 30},
        {"enum": [f"kind {number}" for number in range(12)]},
        {"type": "integer", "minimum": 1, "maximum": 500},
        {"type": "array", "items": {"enum": ["red", "green", "blue", "white"]}, "minItems": 1, "maxItems": 4},
    ]
    fields = {f"field_{number}": kinds[number % len(kinds)] for number in range(WIDE_FIELDS)}
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
