"""Make samples from passages of the user's documents. Every sample cites its passage, with offsets."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting, compact
from synthgen.generate.strategy import Asking, Resources
from synthgen.records import PROPOSED, SUPPLIED, Json, Message, PlannedSlot, Sample
from synthgen.safety.fences import fence
from synthgen.tasks.passages import Passage
from synthgen.tasks.task import Task

PASSAGE = "passage"
"""Key of `given` that holds the passage's document, offsets and id."""
_TEMPLATE = "grounded"


@dataclass
class GroundedConfig:
    field: str | None = None
    """Field of a sample that holds the passage, such as `passage` or `text`. It is filled from the document, and the model
    writes the other fields. null shows the passage in the prompt, and the model writes the whole sample."""
    size: int = 600
    """Most characters of a passage. The maxLength of `field` applies too."""
    overlap: int = 100
    """Most characters that a passage shares with the one before it."""
    demonstrations: int = 2
    """Number of samples shown in each prompt."""

    def __post_init__(self) -> None:
        if self.size < 20:
            raise ConfigError(f"generate.grounded.size: must be 20 or more, got {self.size}")
        if not 0 <= self.overlap < self.size:
            raise ConfigError(f"generate.grounded.overlap: must be from 0 to below size, got {self.overlap}")
        if self.demonstrations < 0:
            raise ConfigError(f"generate.grounded.demonstrations: must be 0 or more, got {self.demonstrations}")


def lengths(cfg: GroundedConfig, task: Task) -> tuple[int, int]:
    """Return the least and most characters of a passage. Raise ConfigError where the field cannot hold one."""
    if cfg.field is None:
        return 1, cfg.size
    part = task.schema["properties"].get(cfg.field)
    if part is None or part.get("type") != "string" or cfg.field not in task.free_fields:
        texts = [name for name in task.free_fields if task.schema["properties"][name].get("type") == "string"]
        raise ConfigError(
            f"generate.grounded.field: '{cfg.field}' is no text field of task {task.name}; choose from {', '.join(texts)}"
        )
    return part.get("minLength", 1), min(cfg.size, part.get("maxLength", cfg.size))


class Grounded:
    """Give each slot a passage, each passage equally often, and ask for a sample about it."""

    name = "grounded"
    starts_without_seeds = True

    def __init__(self, cfg: GroundedConfig, prompting: Prompting, passages: Sequence[Passage], seed: int) -> None:
        """Prepare to use `passages`, cut to `lengths`. `seed` is the run's seed."""
        if not passages:
            raise ConfigError(
                "generate.strategies.grounded: there is no passage; set task.documents to a folder or files, with "
                "texts as long as task.schema wants the field"
            )
        self._cfg = cfg
        self._prompting = prompting
        self._task = prompting.task
        self._passages = passages
        self._by_id = {passage.id: passage for passage in passages}
        self._seed = seed
        self._orders: dict[int, list[int]] = {}
        """The order of the current round."""
        self._planned = 0
        """Number of slots planned so far."""
        self._written = [name for name in self._task.free_fields if name != cfg.field]
        self._part = prompting.part(prompting.schema_of(self._written)) if self._written else None
        self.grammars = (self._part.grammar,) if self._part else ()

    @property
    def proposes(self) -> bool:
        """Return True if a sample consists of a passage and its label only."""
        return self._part is None

    async def begin(self, resources: Resources) -> Json:
        resources.say(
            f"{len(self._passages):,} passages of {len({one.document for one in self._passages}):,} documents"
        )
        return {"passages": len(self._passages)}

    async def restore(self, found: Json, resources: Resources) -> None:  # noqa: ARG002
        """Continue after the passages of earlier slots."""
        self._planned = len(resources.given(self.name))

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        shown = pool.draw(rng, self._cfg.demonstrations, group.label, group.horizon) if self._part else []
        parents = tuple(sample.id for sample in self._prompting.fitting(group.label, shown))
        first = self._planned
        self._planned += group.size
        return [
            PlannedSlot(
                slot=group.first + turn, group=group.number, label=group.label, strategy=self.name, parents=parents,
                given={PASSAGE: self._passage(first + turn).cited},
            )
            for turn in range(group.size)
        ]  # fmt: skip

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        passage = self._by_id[planned.given[PASSAGE]["id"]]
        own: Json = {} if self._cfg.field is None else {self._cfg.field: passage.text}
        given: Json = {SUPPLIED: list(own)} if own else {}
        if self._part is None:  # the passage is all that a label is about, so nobody has chosen the label
            if self._task.labels:
                given[PROPOSED] = planned.label
            return [self._prompting.candidate(planned, shown, own, given=given, template="")]
        completion = yield self._part.request(planned, "passage", self._messages(planned, shown, passage.text))
        reply = self._part.read(completion)
        data = None if reply is None else {**reply, **own}
        return [self._prompting.candidate(planned, shown, data, completion, given, _TEMPLATE)]

    def _passage(self, turn: int) -> Passage:
        """Return the passage of a turn. Every round goes once through all passages, in an order of its own."""
        count = len(self._passages)
        round_, place = divmod(turn, count)
        if round_ not in self._orders:
            self._orders = {round_: random.Random(f"{self._seed}/passages/{round_}").sample(range(count), count)}
        return self._passages[self._orders[round_][place]]

    def _messages(self, planned: PlannedSlot, shown: Sequence[Sample], text: str) -> list[Message]:
        system, last = self._prompting.messages(planned.label, [])
        rule = self._prompting.prompts.render(_TEMPLATE, "system", task=self._task)
        messages = [Message(role="system", content=f"{system.content}\n{rule}")]
        for sample in shown:
            ask = self._prompting.messages(self._task.asked_of(sample.data, planned.label), [])[-1]
            rest = {name: sample.data[name] for name in self._written if name in sample.data}
            begun = sample.data.get(self._cfg.field) if self._cfg.field else None
            asked = ask if begun is None else self._asked(ask.content, begun)
            messages += [asked, Message(role="assistant", content=compact(rest))]
        return [*messages, self._asked(last.content, text)]

    def _asked(self, ask: str, passage: str) -> Message:
        mark = fence(passage, self._seed)
        content = self._prompting.prompts.render(_TEMPLATE, "ask", task=self._task, ask=ask, passage=passage, mark=mark)
        return Message(role="user", content=content)
