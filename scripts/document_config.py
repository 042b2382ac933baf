"""Write docs/config.md from the config dataclasses, and docs/checks.md from the specs of the checks.

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
from synthgen.run.checks import SPECS

CHECKS = Path(__file__).parents[1] / "docs" / "checks.md"
CHECKS_HEAD = """# Checks and reasons

Made by `python scripts/document_config.py`; do not edit. Each candidate goes through these checks in this order, until
one rejects it. The checks up to `rubric` run when the candidate arrives. The checks from `trust` on, and `exact` and
`near` a second time, run in slot order, when all earlier candidates are settled. A run skips checks that its config
switches off. The ledger keeps each verdict with its check, outcome, reason, score and details.
"""
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


def _entry(kind: Any) -> type[Any] | None:
    """Return the dataclass of a list's entries; None for other types."""
    found = next(iter(get_args(kind)), None) if get_origin(kind) is list else None
    return found if dataclasses.is_dataclass(found) and isinstance(found, type) else None


def declared() -> list[str]:
    """Return the section on the checks that a task may declare: the keys of each kind, and its reasons to reject."""
    parts = ["## Declared checks\n\nEntries of `task.checks`; [tasks.md](tasks.md#checks-on-fields) has an example.\n"]
    for kind in KINDS:
        known = meanings(kind.config)
        keys = "\n".join(
            f"| `{key_of(field)}` | {'required' if field.default is dataclasses.MISSING else f'`{json.dumps(field.default)}`'}"
            f" | {known[field.name]} |"
            for field in dataclasses.fields(kind.config)
        )
        reasons = "\n".join(f"Rejects as `{reason}`: {words}." for reason, words in kind.reasons.items())
        parts.append(
            f"### kind: {kind.kind}\n\n{kind.meaning}\n\n| key | default | meaning |\n|---|---|---|\n{keys}\n\n{reasons}\n"
        )
    return parts


def page() -> str:
    parts = [HEAD]
    table = "| key | type | default | meaning |\n|---|---|---|---|\n"
    for group, schema in get_type_hints(Config).items():
        if group != "engine":
            parts.append(f"## {group}\n\n{table}" + "\n".join(rows(schema, f"{group}.")) + "\n")
            parts += declared() if group == "task" else []
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
        ]
    )


if __name__ == "__main__":
    for path, text in ((PAGE, page()), (CHECKS, checks_page())):
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
