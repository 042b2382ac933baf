"""Define the Strategy protocol: a strategy makes candidates.

A run mixes strategies by weight. `synthgen.generate.mix` lists all strategies and chooses one for each group.
"""

import random
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from synthgen.engines.window import Window
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.together import together
from synthgen.records import TOO_LONG, Candidate, Completion, Grammar, Json, PlannedSlot, Request, Sample, content_id

Asking = Generator[Request | tuple[Request, ...], Any, list[Candidate]]
"""A generator that yields a slot's requests and returns the candidates.

For a request it receives the Completion. For a tuple of requests, which are sent at the same time, it receives a tuple
of Completions in the same order.
"""

FOUND = "strategies"
"""Ledger key of what strategies found before the first slot, by their names."""


class Strategy(Protocol):
    """Plan the slots of a group, make their requests and parse the replies.

    All of this must depend only on the arguments and on the run's config, so that a resumed run sends the same
    requests.
    """

    name: str
    """The strategy's name in config, ledger and report."""

    @property
    def grammars(self) -> Sequence[Grammar]:
        """Return every grammar that the requests may have. All are compiled before the run starts."""
        ...

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        """Return the slots of `group`, each with the ids of the samples that its prompt shows.

        Take all random choices from `rng`. Show only seeds and samples from slots before `group.horizon`. All other
        data for `ask` is in each slot's `given`, which the ledger keeps.
        """
        ...

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        """Yield each request of a slot and return its candidates, with their lineage.

        `shown` are the samples that `planned.parents` names. A slot may have any number of requests: a later request
        may depend on earlier replies, and a strategy without a model yields none. The requests of a slot have different
        ids. Each id is or begins with `SLOT/generate`, such as `7/generate-answer`; reports count the generator's
        tokens by it.
        """
        ...


@dataclass(frozen=True)
class Resources:
    """Hold the functions that a strategy may call before the first slot."""

    complete: Callable[[Request], Awaitable[Completion]]
    """Answers a request. It keeps the answer in the ledger, so that a resumed run does not ask again."""
    embed: Callable[[Sequence[str]], Awaitable[Any]]
    """Returns the unit vectors of texts, of shape (texts, dim)."""
    say: Callable[[str], None]
    """Tells the user something."""
    given: Callable[[str], Sequence[Json]] = lambda _: ()
    """Returns what the earlier slots and inherited samples of a strategy, by its name, were given."""


@runtime_checkable
class Preparing(Protocol):
    """Prepare a strategy before the first slot, once for a run, such as with requests to the model.

    `plan` and `ask` must also work before that, because `validate` renders each strategy's first prompt without a model.
    """

    name: str

    async def begin(self, resources: Resources) -> Json:
        """Prepare, and return the result. The ledger keeps it. Request ids begin with `-1/generate-NAME`."""
        ...

    async def restore(self, found: Json, resources: Resources) -> None:
        """Take over the result of `begin`, right after it and in every later session of the run."""
        ...


class Requests(NamedTuple):
    """Hold how many requests a slot takes."""

    usual: float = 1.0
    """Mean over many slots."""
    most: int = 1


@runtime_checkable
class Chained(Protocol):
    """Declare the requests of a slot, for a strategy whose slots take more than one.

    The planner leaves room for slots that are planned while a long one is under way.
    """

    @property
    def requests(self) -> Requests: ...


@runtime_checkable
class Seedless(Protocol):
    """Mark a strategy that makes samples without any seed. With one such strategy, a run needs no seeds.

    The other strategies of its mix then show accepted samples, or none at first.
    """

    starts_without_seeds: bool


@runtime_checkable
class Rewriting(Protocol):
    """Mark a strategy in which the model rewrites a sample. The check `rewritten` examines the results."""

    rewrites: bool


@runtime_checkable
class Limited(Protocol):
    """Mark a strategy that can plan only so many slots with candidates, because it uses each part of its material once.

    Beyond them it plans slots without a request and without a candidate.
    """

    used_up: str
    """The stop rule that ends the run when all strategies are used up for every label that lacks samples."""

    def left(self, label: str | None, planned: int) -> int:
        """Return for how many more slots of a label there is material. `planned` is the number planned for it so far."""
        ...


async def answered(
    asking: Asking, complete: Callable[[Request], Awaitable[Completion]], window: Window | None = None
) -> list[Candidate]:
    """Send the requests of a slot and return its candidates. Raise the errors of `complete`.

    The slot holds one place of `window`. Requests that are sent at the same time take further places.
    """
    try:
        asked = next(asking)
        while True:
            if isinstance(asked, Request):
                asked = asking.send(await complete(asked))
            else:
                asked = asking.send(await together(asked, complete, window))
    except StopIteration as end:
        candidates: list[Candidate] = end.value
        return candidates
    finally:
        asking.close()


def never_written(planned: PlannedSlot) -> Candidate:
    """Return an empty candidate for a slot whose prompt did not fit into the window; a check rejects it for that."""
    return Candidate(
        id=content_id([TOO_LONG.code, planned.slot]), slot=planned.slot, item=0, text="", data=None,
        finish_reason=TOO_LONG.code, parents=planned.parents, depth=1, strategy=planned.strategy, template="",
        label=planned.label, model=planned.model, given=planned.given,
    )  # fmt: skip
