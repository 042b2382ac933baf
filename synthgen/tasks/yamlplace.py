"""Find the line of a key in a YAML file, for messages about its value."""

import re
from pathlib import Path

import yaml  # type: ignore[import-untyped]

_STEP = re.compile(r"[^.\[\]]+")


def line_of(file: Path, key: str) -> int:
    """Return the line, from 1, of a key such as `checks[0].field`, or of the last part of its path that exists.

    Raise OSError or yaml.YAMLError for a file that cannot be read.
    """
    node, line = yaml.compose(file.read_text(encoding="utf-8")), 1
    for step in _STEP.findall(key):
        found = _child(node, step)
        if found is None:
            break
        node, line = found
    return line


def _child(node: yaml.Node, step: str) -> tuple[yaml.Node, int] | None:
    """Return the value of a mapping's key or of a list's index, and the line where it begins."""
    if isinstance(node, yaml.MappingNode):
        return next(((value, key.start_mark.line + 1) for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
        child = node.value[int(step)]
        return child, child.start_mark.line + 1
    return None
