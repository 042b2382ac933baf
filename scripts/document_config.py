"""Write docs/config.md from the config dataclasses, docs/checks.md from the specs of the checks, and the table of steps in
docs/prepare.md.

The meaning of a key is the docstring under its field. A test fails when a page is out of date.
"""

import ast
import dataclasses
import inspect
import json
import textwrap
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from synthgen.config import Config
from synthgen.engines.kinds import ENGINES
from synthgen.filters.declared.kinds import KINDS, key_of
from synthgen.prepare.kinds import KINDS as STEPS
from synthgen.run.checks import SPECS

CHECKS = Path(__file__).parents[1] / "docs" / "checks.md"
CHECKS_HEAD = """# Checks and reasons

Made by `python scripts/document_config.py`; do not edit. Each candidate goes through these checks in this order, until
one rejects it. The checks up to `judge` run when the candidate arrives. The checks from `trust` on, and `exact` and
`near` a second time, run in slot order, when all earlier candidates are settled. A run skips checks that its config
switches off. The ledger keeps each verdict with its check, outcome, reason, score and details.
"""
DECLARED_HEAD = """## Checks that a task declares

Entries of `task.checks`, usable in any task; [tasks.md](tasks.md#checks-on-fields) has examples. A path names a field:
`text`, `tags[]` (each string of a list), `turns[].call.name`. Where two paths begin with the same list
(`turns[].answer`, `turns[].source`), values of the same item are compared. A key `field` or `in` that takes "path or
paths" takes a list too: `[title, "tags[]"]`. Cheap kinds run first, whatever their order in the task. `synthgen validate`
runs them on seeds and eval rows, all but those that need a model; `supported` is run on the seeds.
"""
PREPARE = Path(__file__).parents[1] / "docs" / "prepare.md"
START, END = "<!-- steps: made by scripts/document_config.py -->", "<!-- /steps -->"
PAGE = Path(__file__).parents[1] / "docs" / "config.md"
HEAD = """# Every config key

Made by `python scripts/document_config.py`; do not edit. Set a key on the command line (`budget.target=500`), select a
file of a group (`engine=openai`), or write an experiment: a YAML file in the subfolder `experiment/` of the folder that
you give with `--config-dir`. `synthgen run --cfg job` shows the composed config.
"""


def meanings(schema: type[Any]) -> dict[str, str]:
    """Return the docstring under each field by the field's name, including the fields of base classes."""
    found = {}
    for owner in filter(dataclasses.is_dataclass, reversed(schema.__mro__)):
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, after in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                assert isinstance(field.target, ast.Name)
                found[field.target.id] = " ".join(str(after.value.value).split())
    return found


def rows(schema: type[Any], prefix: str, own: bool = False) -> list[str]:
    """Return a table row for each key; with `own`, only for the keys that the class itself declares."""
    hints, lines = get_type_hints(schema), []
    known = meanings(schema)
    for field in dataclasses.fields(schema):
        if own and field.name not in vars(schema)["__annotations__"]:
            continue
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            lines += rows(kind, f"{prefix}{field.name}.")
            continue
        default = "required"
        if field.default is not dataclasses.MISSING:
            default = f"`{'null' if field.default is None else field.default}`" if field.default != "" else '`""`'
        elif field.default_factory is not dataclasses.MISSING:
            default = f"`{field.default_factory()}`"
        name = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
        name = (
            "list of mappings"
            if _entry(kind)
            else name.replace("typing.", "").replace(" | None", " or null").replace("|", "\\|")
        )
        lines.append(f"| `{prefix}{field.name}` | {name} | {default} | {known.get(field.name, '')} |")
        if (entry := _entry(kind)) is not None:
            lines += rows(entry, f"{prefix}{field.name}[].", own=True)
    return lines


STAGES = {
    "rules": "with the rules",
    "embedding": "after the embedding",
    "sandbox": "before the label check",
    "judge": "last",
}


def _entry(kind: Any) -> type[Any] | None:
    """Return the dataclass of a list's entries; None for other types."""
    found = next(iter(get_args(kind)), None) if get_origin(kind) is list else None
    return found if dataclasses.is_dataclass(found) and isinstance(found, type) else None


def declared() -> list[str]:
    """Return the section on the checks that a task may declare: a table of the kinds, then the keys of each."""
    rows, parts = [], []
    for kind in KINDS:
        known, fields = meanings(kind.config), dataclasses.fields(kind.config)
        names = "; ".join(
            f"`{key_of(field)}`" + ("" if required(field) else f" ({default(field)})") for field in fields
        )
        reasons = ", ".join(f"`{reason}`" for reason in kind.reasons)
        rows.append(
            f"| [`{kind.kind}`](#kind-{kind.kind}) | {kind.meaning} | {names} | {kind.scores or 'none'} | {reasons} | {STAGES[kind.stage]} |"
        )
        keys = "\n".join(
            f"| `{key_of(field)}` | {'required' if required(field) else default(field)} | {known[field.name]} |"
            for field in fields
        )
        told = "\n".join(f"- `{reason}`: the sample {words}" for reason, words in kind.reasons.items())
        parts.append(
            f"### kind: {kind.kind}\n\n{kind.meaning}\n\n| key | default | meaning |\n|---|---|---|\n{keys}\n\nReasons:\n\n{told}\n"
        )
    table = "| kind | true of each sample | keys (defaults) | score | reasons | runs |\n|---|---|---|---|---|---|\n"
    return [DECLARED_HEAD, table + "\n".join(rows) + "\n", *parts]


def required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def default(field: "dataclasses.Field[Any]") -> str:
    """Return the default value of a key, as YAML writes it."""
    value = field.default if field.default is not dataclasses.MISSING else field.default_factory()  # type: ignore[misc]
    return f"`{json.dumps(value).replace(chr(34), '') if isinstance(value, list) else json.dumps(value)}`"


def page() -> str:
    parts = [HEAD]
    table = "| key | type | default | meaning |\n|---|---|---|---|\n"
    for group, schema in get_type_hints(Config).items():
        if not dataclasses.is_dataclass(schema) and group != "engine":  # a key that belongs to no group
            own = [line for line in rows(Config, "") if line.startswith(f"| `{group}` |")]
            parts.append(f"## {group}\n\n{table}" + "\n".join(own) + "\n")
            continue
        if group != "engine":
            parts.append(f"## {group}\n\n{table}" + "\n".join(rows(schema, f"{group}.")) + "\n")
            continue
        for kind, engine in ENGINES.items():
            parts.append(f"## engine={kind}\n\n{table}" + "\n".join(rows(engine, "engine.")) + "\n")
    return "\n".join(parts)


def checks_page() -> str:
    """Return the page with a table of all checks and one of all reasons."""
    checks = [f"| `{spec.name}` | {spec.passes} | {spec.scores or 'none'} |" for spec in SPECS]
    reasons = [
        f"| `{spec.name}` | `{reason.code}` | {reason.words} | {f'`{reason.threshold}`' if reason.threshold else ''} |"
        for spec in SPECS
        for reason in spec.reasons
    ]
    return "\n".join(
        [
            CHECKS_HEAD,
            "| check | passes | score |\n|---|---|---|",
            *checks,
            "\n## Reasons of rejections\n",
            "| check | reason | the sample | threshold |\n|---|---|---|---|",
            *reasons,
            "",
            *declared(),
        ]
    )


def prepare_page(text: str) -> str:
    """Return the page on preparing data with the table of steps and the options of each step filled in."""
    table, parts = ["| step | does |", "|---|---|"], []
    for name, kind in STEPS.items():
        spec, known, fields = kind.spec, meanings(kind.config), dataclasses.fields(kind.config)
        table.append(f"| [`{name}`](#{name}) | {spec.does} |")
        keys = [f"| `{field.name}` | {default(field)} | {known[field.name]} |" for field in fields]
        told = ", ".join(f"`{reason.code}` ({reason.words})" for reason in spec.reasons)
        reasons = (
            f"Reasons, of a row that {name} removes or changes: {told}." if told else "It removes and changes no row."
        )
        head = f"### {name}\n\n{reasons}"
        parts.append("\n".join([head, "", "| option | default | meaning |", "|---|---|---|", *keys]))
    before, rest = text.split(START)
    return "\n".join([f"{before}{START}", *table, "", "\n\n".join(parts), END]) + rest.split(END)[1]


if __name__ == "__main__":
    prepared = prepare_page(PREPARE.read_text(encoding="utf-8"))
    for path, text in ((PAGE, page()), (CHECKS, checks_page()), (PREPARE, prepared)):
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
