"""Write the dataset card: YAML front matter for the Hub and `load_dataset`, and a page of Markdown.

All figures are those of the run. The card holds no local paths and addresses, because it gets
published.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml  # type: ignore[import-untyped]

from synthgen.records import Json
from synthgen.report import bias, plain
from synthgen.report.features import Kind, as_yaml
from synthgen.report.view import TaskView
from synthgen.safety.untrusted import markdown
from synthgen.selection import left_out
from synthgen.tasks.task import as_text

_CATEGORIES = {"classification": "text-classification"}
_SIZES = [(10**power, name) for power, name in enumerate(("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M"), start=3)]
_LOAD = 'from datasets import load_dataset\n\ndataset = load_dataset("path/to/dataset")'
_BOUNDS = ("minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems")


@dataclass(frozen=True)
class Card:
    """Hold a dataset card's content.

    `splits` maps the names of non-empty splits to (rows, bytes). `form` is the file format, such as jsonl or csv.
    """

    task: TaskView
    summary: Json
    settings: dict[str, float]
    columns: dict[str, Kind] | None
    large: list[str]
    """The columns with integers past 64 bits."""
    form: str
    splits: dict[str, tuple[int, int]]
    real: int
    """Number of samples whose texts are real ones."""
    data_hash: str
    example: Json
    licence: str | None = None
    """Licence of the dataset for the front matter, such as cc-by-4.0."""
    seed_licences: Mapping[str, int] = field(default_factory=dict)
    """The number of seeds under each licence, where `synthgen prepare` noted it."""
    files: str = ""
    """Name of a split's file, with {split} for the split. Without it, the name is that of the split with `form`."""
    load: str = ""
    """Python lines that read the dataset. Without it, `datasets.load_dataset` does."""
    note: str = ""
    """Note for readers of this format."""
    is_table: bool = True
    """True where `datasets.load_dataset` reads the files."""

    def file(self, split: str) -> str:
        """Return the name of a split's file."""
        return self.files.replace("{split}", split) if self.files else f"{split}.{self.form}"

    @property
    def rows(self) -> int:
        return sum(rows for rows, _ in self.splits.values())


class _Verbatim(str):
    """Mark text that is already Markdown or YAML, and must not be escaped."""

    __slots__ = ()


def dataset_card(card: Card) -> str:
    """Return the text of README.md for the exported dataset."""
    example = json.dumps({name: _short(value) for name, value in card.example.items()}, ensure_ascii=False, indent=2)
    return (
        _environment()
        .get_template("card.md.jinja")
        .render(
            card=card,
            task=card.task,
            summary=card.summary,
            plain=plain,
            bias=bias,
            front=_Verbatim(yaml.safe_dump(_front(card), allow_unicode=True, sort_keys=False, width=1000)),
            example=_Verbatim(plain.clean(example).replace("```", "` ` `")),
            load=_Verbatim(card.load or _LOAD),
            model=published_name(card.summary["engine"]["model"]),
            student_sentence=plain.student_sentence(card.summary["student"]),
            left_out=left_out.sentence(card.summary["student"]),
            fields=[(name, _role(card.task, name), _constraint(schema)) for name, schema in _properties(card.task)],
        )
    )


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the output is Markdown, and `_shown` escapes it
    )


def published_name(model: str | None) -> str:
    """Return a model's name without the local folders of its path."""
    if not model:
        return "An unnamed model"
    return Path(model).name if model.startswith(("/", "~", ".")) else model


def _front(card: Card) -> Json:
    size = next((name for limit, name in _SIZES if card.rows < limit), "n>1M")
    files = [{"split": name, "path": card.file(name)} for name in card.splits]
    return {
        "pretty_name": plain.one_line(card.task.name) or "synthgen dataset",
        **({"language": [card.task.language]} if card.task.language else {}),
        "license": card.licence or "other",
        "task_categories": [_CATEGORIES.get(card.task.kind, "text-generation")],
        "size_categories": [size],
        "tags": ["synthetic", "synthgen"],
        **({"configs": [{"config_name": "default", "data_files": files}]} if card.is_table else {}),
        "dataset_info": {
            # `datasets` names its cache by this block and not by the files. The hash prevents it from
            # loading an older export, or another run's dataset, from its cache.
            "description": f"data sha256 {card.data_hash}",
            **({} if card.columns is None else {"features": as_yaml(card.columns)}),
            "splits": [
                {"name": name, "num_bytes": size, "num_examples": rows} for name, (rows, size) in card.splits.items()
            ],
        },
    }


def _properties(task: TaskView) -> list[tuple[str, Json]]:
    return [(name, schema) for name, schema in task.schema.get("properties", {}).items() if isinstance(schema, dict)]


def _role(task: TaskView, name: str) -> str:
    return "target" if name in task.target else "input" if name in task.input else ""


def _constraint(schema: Json) -> str:
    """Describe a field's type and bounds."""
    if "enum" in schema:
        return "one of " + ", ".join(as_text(value) for value in schema["enum"])
    bounds = [f"{key} {schema[key]}" for key in _BOUNDS if key in schema]
    return ", ".join([as_text(schema.get("type", "any")), *bounds])


def _short(value: Any) -> Any:
    return plain.shorten(value, 500) if isinstance(value, str) else value


def _shown(value: Any) -> str:
    """Escape a value on one line, unless it is marked as verbatim. The template passes every value through it."""
    if isinstance(value, _Verbatim):
        return value
    return markdown(str(value))
