"""The Strategy protocol: how candidates are made.

A run mixes strategies by weight; `synthgen.generate.mix` chooses one for each group and lists them all.
"""

import random
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Protocol

from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.records import Candidate, Completion, Grammar, PlannedSlot, Request, Sample

Asking = Generator[Request, Completion, list[Candidate]]
"""Yields a slot's requests one by one, is sent the completion of each, and returns the slot's candidates."""


class Strategy(Protocol):
    """Plans groups of slots, writes their requests and reads the replies.

    All three follow from their arguments and from what the run was started with, so that a resumed run asks the same.
    """

    name: str
    """The strategy's name in config, ledger and report."""

    @property
    def grammars(self) -> Sequence[Grammar]:
        """Every grammar that its requests may have; all are compiled before the run starts."""
        ...

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        """Return the slots of `group`, each with the samples that its prompt shows.

        All random choices come from `rng`. Of the pool only seeds and samples from slots before `group.horizon` may be shown.
        """
        ...

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        """Yield each request of a slot and return its candidates, with their lineage.

        `shown` are the samples that `planned.parents` names. There may be any number of requests: a later one may depend on
        earlier replies, and without any the candidates are made without a model. The ids of a slot's requests differ;
        each is `SLOT/generate` or begins with it, such as `7/generate-answer`, by which reports know the generator's tokens.
        """
        ...


async def answered(asking: Asking, complete: Callable[[Request], Awaitable[Completion]]) -> list[Candidate]:
    """Send the requests of a slot one after another and return its candidates. Raises what `complete` raises."""
    try:
        request = next(asking)
        while True:
            request = asking.send(await complete(request))
    except StopIteration as end:
        candidates: list[Candidate] = end.value
        return candidates
    finally:
        asking.close()
