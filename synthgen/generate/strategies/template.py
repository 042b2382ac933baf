"""Fill the task's own sentences from lists of values, or with words that the model writes for a slot."""

import random
from collections.abc import Sequence
from functools import cache

from synthgen.errors import ConfigError
from synthgen.generate.combinations import turn
from synthgen.generate.part import WHOLE, ShardPart
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting
from synthgen.generate.strategy import Asking, Resources
from synthgen.generate.templates import Sentence, Slot, Templates
from synthgen.records import Json, Message, PlannedSlot, Sample

_ENDLESS = 10**9
"""Capacity of a sentence with slots that the model writes: combinations may repeat, because its words differ."""


class Template:
    """Use the sentences of a label in turn, and the values of each list evenly; no filled sentence is planned twice.

    A slot that finds all filled sentences of its label used has no candidate.
    """

    name = "template"
    starts_without_seeds = True
    used_up = "templates"

    def __init__(self, prompting: Prompting, seed: int, part: ShardPart = WHOLE) -> None:
        self._prompting = prompting
        self._part = part
        self._task = prompting.task
        self._templates = Templates(self._task, seed)
        self._sentences = cache(self._templates.of)
        """The sentences of a label; found once, because a sentence for several labels is filled to find them."""
        for label in self._task.asked or (None,):
            if not self._sentences(label):
                raise ConfigError(
                    f"task.templates.sentences: none is for '{label}', which the task asks for; write one, or choose "
                    "another strategy, such as generate=fewshot"
                )
        self._parts = {
            sentence.number: prompting.part(_object(sentence.written))
            for sentence in self._templates.sentences
            if sentence.written
        }
        self.grammars = tuple(part.grammar for part in self._parts.values())

    async def begin(self, resources: Resources) -> Json:
        """Tell the user how many different samples the lists allow."""
        counts = {str(label): sum(self._capacities(label)) for label in self._task.asked or (None,)}
        if all(count < _ENDLESS for count in counts.values()):
            least = min(counts, key=lambda label: counts[label])
            each = f", the fewest {counts[least]:,} for {least}" if self._task.asked else ""
            resources.say(f"template: the lists allow {sum(counts.values()):,} different samples{each}")
        return {"samples": counts}

    async def restore(self, found: Json, resources: Resources) -> None:  # noqa: ARG002
        return None

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:  # noqa: ARG002
        slots = self._prompting.slots(group, self.name, [])
        return [
            slot.model_copy(update={"given": self._given(group.label, self._part.nth(number))})
            for number, slot in enumerate(slots, group.earlier)
        ]

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        if not planned.given:  # every filled sentence is used
            return []
        sentence = self._templates.sentences[planned.given["template"]]
        values = dict(planned.given["values"])
        part = self._parts.get(sentence.number)
        if part is None:
            return [self._prompting.candidate(planned, shown, sentence.fill(values), template="")]
        completion = yield part.request(planned, "slots", self._messages(planned, sentence, values))
        written = _written(sentence.written, part.read(completion))
        if written is None:
            return [self._prompting.candidate(planned, shown, None, completion, template=self.name)]
        values |= written
        given = {"values": values}
        data = sentence.fill(values)
        return [self._prompting.candidate(planned, shown, data, completion, given, template=self.name)]

    def left(self, label: str | None, planned: int) -> int:
        return max(0, self._part.count(sum(self._capacities(label))) - planned)

    def _capacities(self, label: str | None) -> list[int]:
        """Return how many filled sentences of each kind there are for a label."""
        return [
            _ENDLESS if sentence.written else len(range(first, _combinations(sentence), step))
            for sentence, first, step in self._sentences(label)
        ]

    def _given(self, label: str | None, number: int) -> Json:
        """Return the sentence and values of the label's slot with this number, counted from 0; empty without any."""
        found = turn(number, self._capacities(label))
        if found is None:
            return {}
        sentence, first, step = self._sentences(label)[found[0]]
        combination = (first + found[1] * step) % _combinations(sentence)
        return {"template": sentence.number, "values": sentence.values(combination)}

    def _messages(self, planned: PlannedSlot, sentence: Sentence, values: dict[str, str]) -> list[Message]:
        blanks = {slot.name: f"<{slot.name}>" for slot in sentence.written}
        texts = {name: text for name, text in sentence.fill(values | blanks).items() if isinstance(text, str)}
        variables = {"task": self._task, "label": planned.label, "texts": texts, "slots": sentence.written}
        render = self._prompting.prompts.render
        return [
            Message(role="system", content=render(self.name, "system", **variables)),
            Message(role="user", content=render(self.name, "ask", **variables)),
        ]


def _combinations(sentence: Sentence) -> int:
    count = 1
    for size in sentence.sizes():
        count *= size
    return count


def _object(slots: Sequence[Slot]) -> Json:
    return {
        "type": "object",
        "properties": {slot.name: slot.schema for slot in slots},
        "required": [slot.name for slot in slots],
        "additionalProperties": False,
    }


def _written(slots: Sequence[Slot], reply: Json | None) -> dict[str, str] | None:
    """Return the model's text for each slot, with single spaces; None if the reply lacks one or breaks its limits."""
    values = {slot.name: (reply or {}).get(slot.name) for slot in slots}
    if not all(slot.fits(values[slot.name]) for slot in slots):
        return None
    return {name: " ".join(str(value).split()) for name, value in values.items()}
