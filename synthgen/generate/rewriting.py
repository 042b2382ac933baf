"""Rewrite samples with the model: plan slots that rewrite one sample each, and ask for the new sample.

Strategies that rewrite share this module; each defines the change. The prompt shows the sample as the model's own
earlier answer, so that the model sees the form of a reply, and takes nothing in the sample for an instruction.
"""

import random
from collections.abc import Callable, Sequence

from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import ASSIGNED, Prompting, compact
from synthgen.generate.strategy import Asking
from synthgen.records import REWRITES, Grammar, Json, Message, PlannedSlot, Sample

TEMPLATE = "rewrite"
"""Name of the template with which every such prompt begins."""


class SampleRewriter:
    """Plan slots for the strategy `name`, whose template has its name, and make their requests."""

    def __init__(self, prompting: Prompting, name: str) -> None:
        self.prompting = prompting
        self.task = prompting.task
        self._name = name
        self._part = prompting.part(self.task.free_schema)

    @property
    def grammars(self) -> tuple[Grammar, ...]:
        return self._part.grammar, self.prompting.grammar

    def draw(self, group: Group, rng: random.Random, pool: Pool) -> list[Sample]:
        """Return one sample of the group's label for each slot, as different as the pool allows; empty if it has none."""
        return spread(pool.draw(rng, group.size, group.label, group.horizon), group.size)

    def slots(self, group: Group, parents: Sequence[Sample], given: Callable[[Sample], Json]) -> list[PlannedSlot]:
        """Return the slots of a group; see `rewriting_slots`. Slots without a parent ask for a new sample."""
        return rewriting_slots(group, self._name, parents, given)

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample], wish: Callable[[], str]) -> Asking:
        """Ask for a changed version of the sample `shown`. `wish` returns the text that describes the change."""
        if not shown:
            completion = yield self.prompting.request(planned, shown)
            return self.prompting.candidates(planned, completion, shown)
        (parent,) = shown
        completion = yield self._part.request(planned, self._name, self.messages(planned, parent, wish()))
        data = self._part.read(completion)
        return [self.prompting.candidate(planned, shown, data, completion, template=self._name)]

    def messages(self, planned: PlannedSlot, parent: Sample, wish: str) -> tuple[Message, ...]:
        """Return the prompt: the sample as an answer, and the wish. Slots of one label share all before the sample."""
        own = self.task.asked_of(parent.data, planned.label) if self.task.assign else parent.label
        return (
            Message(role="system", content=self._render("system", own)),
            Message(role="user", content=self._with_values(self._render("first", own), own)),
            Message(role="assistant", content=compact(self.fields(parent))),
            Message(role="user", content=self._with_values(wish, planned.label)),
        )

    def fields(self, sample: Sample) -> Json:
        """Return the fields of a sample that the model writes."""
        return {name: sample.data[name] for name in self.task.free_fields if name in sample.data}

    def _render(self, block: str, label: str | None) -> str:
        return self.prompting.prompts.render(TEMPLATE, block, task=self.task, label=label)

    def _with_values(self, text: str, label: str | None) -> str:
        """Add the values of assigned fields that `label` stands for."""
        if wanted := self.task.assigned.wishes.get(label or ""):
            return f"{text}\n{self.prompting.prompts.render(ASSIGNED, 'ask', wanted=wanted)}"
        return text


def rewriting_slots(
    group: Group, strategy: str, parents: Sequence[Sample], given: Callable[[Sample], Json] = lambda _: {}
) -> list[PlannedSlot]:
    """Return the slots of a group, each of which rewrites its own parent.

    `given` returns the other data that a slot needs. Without parents, because the pool has no sample of the label yet,
    return slots without a parent.
    """
    chosen: Sequence[Sample | None] = parents or [None] * group.size
    return [
        PlannedSlot(
            slot=group.first + place,
            group=group.number,
            label=group.label,
            strategy=strategy,
            parents=() if parent is None else (parent.id,),
            given={} if parent is None else {REWRITES: parent.id, **given(parent)},
        )
        for place, parent in enumerate(chosen)
    ]


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Return `count` samples, each as often as the others; empty if there are none."""
    return [samples[place % len(samples)] for place in range(count)] if samples else []
