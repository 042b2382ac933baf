"""Find texts in a task file that YAML reads as another type, or as one text: `no` as false, `[text，label]` as one name.

A value that YAML has converted no longer shows the original text, so this module reads the file itself.
"""

from collections.abc import Iterator
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # a part of OmegaConf

_TEXTS = ("name", "kind", "description", "language", "prompts", "seeds", "eval")
_LISTS = ("input", "target")
_MAPPINGS = ("labels", "rubric")
_OTHERS = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float")}


def misread(file: Path) -> list[str]:
    """Return `FILE:LINE:COLUMN: cause; cure` for each text of a task file that YAML reads as a number or a boolean.

    Names of fields that a full-width comma joins are reported too.

    Raise OSError or yaml.YAMLError for a file that cannot be read.
    """
    root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    found = [_said(file, key, node) for key, node in _texts(root) if node.tag in _OTHERS]
    return [*found, *(_joined(file, key, node) for key, node in _texts(root) if _is_joined(key, node))]


def _is_joined(key: str, node: yaml.Node) -> bool:
    """Return True for a name of a field, in a list, that has a full-width comma and no quotes."""
    of_fields = any(f"{name}." in key for name in (*_LISTS, "required"))
    return of_fields and key.rpartition(".")[2].isdigit() and node.style is None and "，" in str(node.value)


def _joined(file: Path, key: str, node: yaml.Node) -> str:
    mark = node.start_mark
    return (
        f"{file}:{mark.line + 1}:{mark.column + 1}: {key}: '{node.value}' is one name, because a full-width comma (，) "
        "does not separate names; write a comma (,)"
    )


def _texts(root: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    """Yield every plain value, with its key, that must be a text in a task."""
    top = _entries(root)
    for name in _TEXTS:
        if name in top:
            yield f"task.{name}", top[name]
    for name in _LISTS:
        yield from _items(top.get(name), f"task.{name}")
    for name in _MAPPINGS:
        yield from _keys(top.get(name), f"task.{name}")
        for key, node in _entries(top.get(name)).items():
            yield f"task.{name}.{key}", node
    targets = [node.value for _, node in _items(top.get("target"), "")]
    labelled = getattr(top.get("kind"), "value", None) == "classification"
    yield from _schema(top.get("schema"), "task.schema", targets if labelled else [])


def _schema(
    node: yaml.Node | None, path: str, labels: list[str], has_labels: bool = False
) -> Iterator[tuple[str, yaml.Node]]:
    """Yield the texts of a JSON Schema: names of properties, and the choices of fields that hold texts or `labels`.

    `has_labels` is True for a list of labels.
    """
    entries = _entries(node)
    yield from _items(entries.get("required"), f"{path}.required")
    yield from _keys(entries.get("properties"), f"{path}.properties")
    for name, part in _entries(entries.get("properties")).items():
        where, own = f"{path}.properties.{name}", _entries(part)
        kind = getattr(own.get("type"), "value", None)
        if kind == "string" or (name in labels and kind != "integer"):  # labels of type integer are grades
            yield from _items(own.get("enum"), f"{where}.enum")
            if "const" in own:
                yield f"{where}.const", own["const"]
        yield from _schema(part, where, [], name in labels)
    if "items" in entries:
        items = entries["items"]
        if has_labels or getattr(_entries(items).get("type"), "value", None) == "string":
            yield from _items(_entries(items).get("enum"), f"{path}.items.enum")
        yield from _schema(items, f"{path}.items", [])


def _entries(node: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _keys(node: yaml.Node | None, path: str) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((path, key) for key, _ in node.value)


def _items(node: yaml.Node | None, path: str) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.SequenceNode):
        yield from ((f"{path}.{place}", item) for place, item in enumerate(node.value))


def _said(file: Path, key: str, node: yaml.Node) -> str:
    value = yaml.safe_load(node.value)
    meant = str(value).lower() if isinstance(value, bool) else f"the number {value}"
    mark = node.start_mark
    return (
        f"{file}:{mark.line + 1}:{mark.column + 1}: {key}: YAML reads {node.value} as {meant}; "
        f'put it in quotes: "{node.value}"'
    )
