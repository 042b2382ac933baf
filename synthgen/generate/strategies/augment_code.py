"""Rewrite the Python code of a sample by its syntax tree, without a model; the task's `code` check runs its tests."""

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from synthgen.errors import ConfigError
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting
from synthgen.generate.rewriting import rewriting_slots, spread
from synthgen.generate.strategy import Asking
from synthgen.records import PlannedSlot, Sample

_NAMES = ("rename", "comments", "docstrings", "conditions", "loops", "comprehensions", "assignments")


@dataclass
class AugmentCodeConfig:
    operations: int = 3
    """Number of different rewrites of each sample, as far as they apply to its code."""
    kinds: list[str] = field(default_factory=lambda: list(_NAMES))
    """Rewrites to choose from: rename (local variables and parameters), comments, docstrings, conditions (branches
    swapped), loops (`for` as `while`), comprehensions (as loops), assignments (`x += 1` as `x = x + 1`)."""
    fields: list[str] = field(default_factory=list)
    """Fields with Python code. Without it, the field of the task's check `code`."""

    def __post_init__(self) -> None:
        if self.operations < 1:
            raise ConfigError(f"generate.augment_code.operations: must be 1 or more, got {self.operations}")
        for name in self.kinds:
            if name not in _NAMES:
                raise ConfigError(f"generate.augment_code.kinds: '{name}' is not one of {', '.join(_NAMES)}")
        if not self.kinds:
            raise ConfigError(f"generate.augment_code.kinds: is empty; name some of {', '.join(_NAMES)}")


class AugmentCode:
    """Rewrite the code of one sample in each slot. A rewrite that changes nothing does not count."""

    name = "augment_code"
    grammars = ()

    def __init__(self, cfg: AugmentCodeConfig, prompting: Prompting, seed: int) -> None:
        self._cfg = cfg
        self._prompting = prompting
        self._seed = seed
        task = prompting.task
        texts = [name for name, part in task.schema["properties"].items() if part.get("type") == "string"]
        declared = [check for check in task.checks if isinstance(check, dict) and check.get("kind") == "code"]
        if not any(check.get("tests") for check in declared):
            raise ConfigError(
                f"generate.strategies.augment_code: task {task.name} has no check that runs tests, which tells whether "
                "rewritten code still works; add {kind: code, field: ..., tests: ...} to task.checks, or choose another "
                "strategy, such as generate=fewshot"
            )
        of_checks = [check["field"] for check in declared if isinstance(check.get("field"), str)]
        self._fields = cfg.fields or [name for name in of_checks if name in texts]
        for name in self._fields:
            if name not in texts:
                raise ConfigError(
                    f"generate.augment_code.fields: '{name}' is no text field of task {task.name} "
                    f"(it has: {', '.join(texts)})"
                )
        if not self._fields:
            raise ConfigError(
                "generate.augment_code.fields: name the fields with code, because the check `code` joins several"
            )

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        drawn = pool.draw(rng, group.size, group.label, group.horizon)
        return rewriting_slots(group, self.name, spread(drawn, group.size))

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        from libcst import ParserSyntaxError  # loaded only by runs that use it

        from synthgen.generate.code_edits import REWRITES_OF_CODE

        yield from ()
        if not shown:
            return []
        rng = random.Random(f"{self._seed}/{self.name}/{planned.slot}")
        data = dict(shown[0].data)
        done: list[str] = []
        order = rng.sample(self._cfg.kinds, len(self._cfg.kinds))
        for kind in order:
            if len(done) == self._cfg.operations:
                break
            before = dict(data)
            for name in self._fields:
                others = [text for key, text in data.items() if key not in self._fields and isinstance(text, str)]
                if isinstance(data.get(name), str):
                    # What is not Python stays as it is. A sample in which nothing changed is rejected as a duplicate, so
                    # that a run without Python ends at `budget.min_acceptance`.
                    with suppress(ParserSyntaxError):
                        data[name] = REWRITES_OF_CODE[kind](data[name], others, rng)
            if data != before:
                done.append(kind)
        return [self._prompting.candidate(planned, shown, data, given={"operations": done}, template="")]
