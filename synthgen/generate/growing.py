"""Ask the model for a tree of topics, level by level, and drop topics that repeat others.

`synthgen.generate.strategies.taxonomy` asks for samples about the leaves.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Literal, NamedTuple

import numpy as np

from synthgen.errors import FatalRequestError, RetryableError
from synthgen.generate.prompting import Prompting
from synthgen.generate.strategy import Resources
from synthgen.generate.topics import LONGEST, Leaf, Topics
from synthgen.records import Message, PlannedSlot, content_id
from synthgen.tasks.task import in_words

_ATTEMPTS = 2
"""Times that the model is asked for the topics below one topic, until there are enough."""
_AT_ONCE = 32
_TOKENS, _TOKENS_EACH = 64, 40
"""Most tokens of a reply: some for its form, and some for each topic."""


class _Place(NamedTuple):
    """Name a topic whose subtopics are asked for; the empty path stands for the label or the task itself."""

    label: str | None
    path: Leaf


@dataclass
class _Known:
    """Hold the topics of one label that are kept so far, with their vectors."""

    paths: list[Leaf] = field(default_factory=list)
    vectors: list[Any] = field(default_factory=list)

    def repeats(self, path: Leaf, vector: Any, most: float) -> bool:
        """Return True for a topic that means the same as a topic above it, or as another topic of its label."""
        topic = path[-1].casefold()
        ancestors = {path[:length] for length in range(1, len(path))}  # a topic may be near those that it is a part of
        if topic in {above.casefold() for above in path[:-1]}:
            return True
        others = [place for place, known in enumerate(self.paths) if known not in ancestors]
        if any(topic == self.paths[place][-1].casefold() for place in others):
            return True
        return bool(others) and float(max(np.stack([self.vectors[place] for place in others]) @ vector)) >= most

    def in_order(self, leaves: Iterable[Leaf]) -> list[Leaf]:
        """Return leaves in the order of the tree, with those below one topic together."""
        places = {path: place for place, path in enumerate(self.paths)}
        return sorted(leaves, key=lambda leaf: [places[leaf[:length]] for length in range(1, len(leaf) + 1)])


class Grower:
    """Grow a tree of topics for each label, or for the task if it has no labels."""

    def __init__(self, prompting: Prompting, depth: int, width: int, most: float) -> None:
        """Prepare to ask for `width` topics below each of `depth` levels. A cosine of `most` marks a repeated topic."""
        self._prompting = prompting
        self._depth = depth
        self._width = width
        self._most = most
        topic = {"type": "string", "minLength": 2, "maxLength": LONGEST}
        topics = {"type": "array", "items": topic, "minItems": width, "maxItems": width}
        self._part = prompting.part({"type": "object", "properties": {"topics": topics}, "required": ["topics"]})
        self.grammar = self._part.grammar

    async def grow(self, resources: Resources) -> Topics:
        """Return the topics. A label without any gets one leaf without topics, and a warning is printed."""
        labels: list[str | None] = [*self._prompting.task.labels] or [None]
        known = {label: _Known() for label in labels}
        parents = [_Place(label, ()) for label in labels]
        leaves: dict[str | None, list[Leaf]] = {label: [] for label in labels}
        dropped = 0
        for _ in range(self._depth):
            below, repeated = await self._level(parents, known, resources)
            dropped += repeated
            for parent in parents:
                if parent.path and not below[parent]:
                    leaves[parent.label].append(parent.path)
            parents = [_Place(place.label, path) for place, paths in below.items() for path in paths]
        for place in parents:
            leaves[place.label].append(place.path)
        self._tell(leaves, dropped, resources)
        return Topics({label: known[label].in_order(found) or [()] for label, found in leaves.items()})

    async def _level(
        self, parents: Sequence[_Place], known: dict[str | None, _Known], resources: Resources
    ) -> tuple[dict[_Place, list[Leaf]], int]:
        """Return the paths of the topics below each of `parents`, and the number of topics dropped as repeated."""
        below: dict[_Place, list[Leaf]] = {parent: [] for parent in parents}
        dropped = 0
        for attempt in range(_ATTEMPTS):
            lacking = [parent for parent in parents if len(below[parent]) < self._width]
            limit = asyncio.Semaphore(_AT_ONCE)
            replies = await asyncio.gather(
                *(self._names(one, attempt, below[one], resources, limit) for one in lacking)
            )
            paths = [(one, (*one.path, name)) for one, names in zip(lacking, replies, strict=True) for name in names]
            if not paths:
                continue
            vectors = await resources.embed([path[-1] for _, path in paths])
            for (parent, path), vector in zip(paths, vectors, strict=True):
                if len(below[parent]) == self._width:
                    continue
                if known[parent.label].repeats(path, vector, self._most):
                    dropped += 1
                    continue
                known[parent.label].paths.append(path)
                known[parent.label].vectors.append(vector)
                below[parent].append(path)
        return below, dropped

    async def _names(
        self, parent: _Place, attempt: int, found: Sequence[Leaf], resources: Resources, limit: asyncio.Semaphore
    ) -> list[str]:
        """Return the topics that the model names below `parent`; none where its reply cannot be used."""
        planned = PlannedSlot(slot=-1, group=-1, label=parent.label, strategy="taxonomy", parents=())
        name = f"taxonomy-{content_id([parent.label, parent.path, attempt])[:16]}"
        messages = self.messages(parent.label, parent.path, [path[-1] for path in found])
        request = self._part.request(planned, name, messages, max_tokens=_TOKENS + _TOKENS_EACH * self._width)
        try:
            async with limit:
                completion = await resources.complete(request)
        except (FatalRequestError, RetryableError):
            return []
        reply = self._part.read(completion) or {}
        topics = reply.get("topics")
        named = _cleaned(topics) if isinstance(topics, list) else []
        shown = messages[2].content  # a small model copies topics of the example
        return [topic for topic in named if f'"{topic}"' not in shown]

    def messages(self, label: str | None, path: Leaf, besides: Sequence[str] = ()) -> tuple[Message, ...]:
        """Return the prompt for the topics below `path`, other than those in `besides`."""
        task = self._prompting.task
        meaning = task.labels.get(label or "", "")
        subject = in_words(label) if label else task.description or in_words(task.name)
        if meaning and task.grades:  # a number says nothing about a text
            subject, meaning = meaning, ""
        variables = {"path": list(path), "subject": subject, "meaning": meaning, "besides": besides}
        turns: tuple[tuple[Literal["system", "user", "assistant"], str], ...] = (
            ("system", "system"),
            ("user", "example_ask"),
            ("assistant", "example_reply"),
            ("user", "ask"),
        )
        return tuple(
            Message(
                role=role,
                content=self._prompting.prompts.render("taxonomy", block, task=task, width=self._width, **variables),
            )
            for role, block in turns
        )

    def _tell(self, leaves: dict[str | None, list[Leaf]], dropped: int, resources: Resources) -> None:
        count = sum(map(len, leaves.values()))
        of = f" for {len(leaves)} labels" if None not in leaves else ""
        repeats = f"; {dropped} topics were dropped because they repeat others" if dropped else ""
        resources.say(f"taxonomy: {count} leaves{of}{repeats}")
        for label in [label for label, found in leaves.items() if not found]:
            what = "the task" if label is None else f"label {label}"
            resources.say(
                f"warning: taxonomy: the model named no topic for {what}, so its prompts name none; write a file of topics "
                "and use it with generate.taxonomy.tree=FILE"
            )


def _cleaned(topics: Iterable[Any]) -> Iterable[str]:
    """Yield the topics of a reply as one line each, without numbers or dots around them."""
    for topic in topics:
        text = " ".join(unescape(str(topic)).split()).strip(" .,:;-*\"'") if isinstance(topic, str) else ""
        if any(char.isalnum() for char in text):
            yield text[:LONGEST]
