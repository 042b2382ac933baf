"""Ask each slot for a combination of attribute values, such as a topic and a tone, and show samples as few-shot does.

`synthgen.generate.covering` chooses the combinations.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.generate.covering import Covering
from synthgen.generate.part import WHOLE, ShardPart
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import check_shown
from synthgen.generate.strategy import Asking
from synthgen.records import PlannedSlot, Sample
from synthgen.tasks.task import ATTRIBUTES

_EXAMPLE = "{topic: [animals, music, travel], tone: [formal, casual]}"


@dataclass
class AttributesConfig:
    demonstrations: int = 4
    """Number of demonstrations in each prompt, as for `fewshot`. They need not have the values asked for."""
    foils: int = 3
    """Number of seeds of other labels, each of a different label, shown before the demonstrations as a contrast. Only
    for classification with one item per request."""

    def __post_init__(self) -> None:
        check_shown("generate.attributes", self.demonstrations, self.foils)


class Attributes:
    """Ask for combinations of the task's attributes that cover all pairs of values evenly.

    Slots of a group show the same samples and ask for different combinations, which stand at the end of the prompt.
    """

    name = "attributes"

    def __init__(self, cfg: AttributesConfig, prompting: Prompting, seed: int, part: ShardPart = WHOLE) -> None:
        task = prompting.task
        if not task.attributes:
            raise ConfigError(
                f"generate.strategies.attributes: task {task.name} has no attributes to vary; add them to the task, such "
                f"as attributes: {_EXAMPLE}, or choose another strategy, such as generate=fewshot"
            )
        self._prompting = prompting
        self._part = part
        self.grammars = (prompting.grammar,)
        self._demonstrations = cfg.demonstrations
        self._foils = prompting.foils(cfg.foils)
        self._meanings = {one.name: one.meaning for one in task.attributes}
        self._covering = Covering(task.attributes, task.asked or (None,), seed)
        self._longest = self._wish({one.name: max(one.values, key=len) for one in task.attributes})

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        shown = pool.draw(rng, self._demonstrations, group.label, group.horizon)
        foils = pool.foils(rng, self._foils, group.label)
        slots = self._prompting.slots(group, self.name, [*foils, *shown], wish=self._longest)
        return [
            slot.model_copy(
                update={"given": {ATTRIBUTES: self._covering.combination(group.label, self._part.nth(number))}}
            )
            for number, slot in enumerate(slots, group.earlier)
        ]

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        completion = yield self._prompting.request(planned, shown, self._wish(planned.given[ATTRIBUTES]))
        return self._prompting.candidates(planned, completion, shown)

    def _wish(self, combination: Mapping[str, str]) -> str:
        """Return the lines that ask for a combination."""
        asked = [(name, value, self._meanings.get(name, "")) for name, value in combination.items()]
        return self._prompting.prompts.render(self.name, "wish", asked=asked)
