"""Hold a tree of topics for each label, and read and write it as a YAML file that a person may edit.

`synthgen.generate.growing` asks a model for a tree.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # a part of OmegaConf

from synthgen.errors import InputError
from synthgen.records import Json, content_id
from synthgen.tasks.encodings import not_utf8

Leaf = tuple[str, ...]
"""The topics from the top of a tree to one of its leaves."""
LONGEST = 80
"""Most characters of a topic."""
DEEPEST, _MOST = 6, 20_000
_KEY = "generate.taxonomy.tree"
_NULL, _BOOL = "tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"


@dataclass(frozen=True)
class Topics:
    """Hold the leaves of the tree of each label; the label is None in a task without labels."""

    leaves: Mapping[str | None, Sequence[Leaf]]

    def of(self, label: str | None) -> Sequence[Leaf]:
        """Return the leaves for a slot that asks for `label`, which may be a value of `task.assign`."""
        return self.leaves[label if label in self.leaves else None]

    def to_json(self) -> Json:
        return {
            "roots": [
                {"label": label, "leaves": [list(leaf) for leaf in leaves]} for label, leaves in self.leaves.items()
            ]
        }

    @property
    def key(self) -> str:
        """Return a hash of the content."""
        return content_id(self.to_json())


def from_json(found: Json) -> Topics:
    """Return the topics that `Topics.to_json` has written."""
    return Topics({root["label"]: [tuple(leaf) for leaf in root["leaves"]] for root in found["roots"]})


def to_yaml(topics: Topics, task: str) -> str:
    """Return the topics as a file that `read_topics` reads and that a person may edit."""
    trees = {label: _nested(leaves) for label, leaves in topics.leaves.items()}
    whole = trees.get(None, trees)
    body: str = yaml.safe_dump(whole, allow_unicode=True, sort_keys=False, width=110)
    return f"# Topics of task {task}. Add, change or remove topics at any level; use the file with {_KEY}=FILE.\n{body}"


def _nested(leaves: Sequence[Leaf]) -> Any:
    """Return a list where no topic has topics below it, else a mapping from each topic to those below it."""
    below: dict[str, list[Leaf]] = {}
    for first, *rest in filter(None, leaves):
        below.setdefault(first, []).extend([tuple(rest)] if rest else [])
    if not any(below.values()):
        return list(below)
    return {topic: _nested(under) if under else None for topic, under in below.items()}


def read_topics(path: Path, labels: Sequence[str]) -> Topics:
    """Read a file with the topics of each label, or of the task if it has no labels.

    Raise InputError with file and line for anything that is not a tree of topics.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise InputError(f"{_KEY}: {path}: {not_utf8(error)}") from error
    except OSError as error:
        raise InputError(f"{_KEY}: {path}: cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{_KEY}: {path}:{line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{_KEY}: {path}: not YAML: {error}") from error
    if root is None:
        raise InputError(f"{_KEY}: {path}: the file is empty; write one with: synthgen taxonomy --out {path.name}")
    return _File(path).topics(root, labels)


class _File:
    """Turn the nodes of a YAML file into topics, and name file and line of each mistake."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0

    def topics(self, root: yaml.Node, labels: Sequence[str]) -> Topics:
        if not labels:
            return Topics({None: self._some(root, "the file")})
        if not isinstance(root, yaml.MappingNode):
            raise self._wrong(
                root, f"must map each label to its topics, such as {labels[0]}: [first topic, second topic]"
            )
        found: dict[str | None, Sequence[Leaf]] = {}
        for key, node in root.value:
            label = getattr(key, "value", None)
            if not isinstance(label, str) or label not in labels:
                near = difflib.get_close_matches(str(label), labels, n=1) or labels
                raise self._wrong(key, f"'{label}' is not a label of the task; did you mean {near[0]}?")
            if label in found:
                raise self._wrong(key, f"the label '{label}' stands here twice; put its topics together")
            found[label] = self._some(node, f"label '{label}'")
        if lacking := [label for label in labels if label not in found]:
            raise self._wrong(
                root, f"label '{lacking[0]}' has no topics; add {lacking[0]}: [first topic, second topic]"
            )
        return Topics({label: found[label] for label in labels})

    def _some(self, node: yaml.Node, of: str) -> list[Leaf]:
        leaves = list(self._leaves(node, ()))
        if not leaves:
            raise self._wrong(node, f"{of} has no topics; add at least one")
        return leaves

    def _leaves(self, node: yaml.Node, above: Leaf) -> Iterator[Leaf]:
        """Yield the leaves below the topics `above`: from a list, a mapping, or a single topic."""
        if len(above) >= DEEPEST:
            raise self._wrong(node, f"more than {DEEPEST} levels of topics; bring these up by a level")
        seen: set[str] = set()
        for key, below in self._entries(node):
            topic = self._topic(key)
            if topic.casefold() in seen:
                raise self._wrong(key, f"the topic '{topic}' stands here twice; remove one of them")
            seen.add(topic.casefold())
            leaf = (*above, topic)
            if below is None or (isinstance(below, yaml.ScalarNode) and below.tag == _NULL):
                self._count += 1
                if self._count > _MOST:
                    raise self._wrong(key, f"more than {_MOST} topics without topics below them; remove some")
                yield leaf
            else:
                yield from self._leaves(below, leaf)

    def _entries(self, node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node | None]]:
        """Yield each topic of a node, and the node with the topics below it."""
        if isinstance(node, yaml.MappingNode):
            yield from node.value
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                yield from item.value if isinstance(item, yaml.MappingNode) else [(item, None)]
        elif node.tag != _NULL:
            yield node, None

    def _topic(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._wrong(
                node, "a list where a topic should stand; write topics below a topic as TOPIC: [first, second]"
            )
        if node.tag == _BOOL:
            raise self._wrong(node, f'YAML reads {node.value} as true or false; put it in quotes: "{node.value}"')
        text = str(node.value).strip()
        if node.tag == _NULL or not text:
            raise self._wrong(node, "an empty topic; write its name, or remove the line")
        if len(text) > LONGEST or "\n" in text:
            raise self._wrong(node, f"the topic '{text[:40]}...' must be one line of at most {LONGEST} characters")
        return text

    def _wrong(self, node: yaml.Node, words: str) -> InputError:
        return InputError(f"{_KEY}: {self._path}:{node.start_mark.line + 1}: {words}")
