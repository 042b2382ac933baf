"""Mix the strategies of a run, and the models of its engine: choose one of each for each group by weight."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from synthgen.generate.adapt import Bandit, SettledSlot
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.strategies.fewshot import FewShot
from synthgen.generate.strategy import Asking, Chained, Limited, Preparing, Requests, Resources, Strategy
from synthgen.records import Candidate, Grammar, Json, PlannedSlot, Request, Sample

_FORMER = {"steered": FewShot.name}
"""Strategies of earlier versions that a ledger may name, each with the strategy that now makes the requests of its
slots."""


class Mix:
    """Choose a strategy for each group by its share. That strategy plans the group and makes the requests of its slots.

    Where the engine has several `models`, given with their shares, choose one of them for each group in the same way.
    The first groups use the strategies in turn, the one with the greatest share first, so that even a short run or a
    preview tries all of them. The choice for a later group depends only on the run's seed and the group's number, and on
    the settled slots before its horizon where a `bandit` decides the shares.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy],
        shares: Mapping[str, float],
        seed: int,
        models: Mapping[str, float] | None = None,
        bandit: Bandit | None = None,
    ) -> None:
        self._strategies = {strategy.name: strategy for strategy in strategies}
        self._shares: Mapping[str, float] = {strategy.name: shares[strategy.name] for strategy in strategies}
        self._models = models or {}
        self._seed = seed
        self._planned: Counter[tuple[str, str | None]] = Counter()
        """Number of planned slots by strategy and label."""
        self._bandit = bandit

    def __iter__(self) -> Iterator[Strategy]:
        return iter(self._strategies.values())

    @property
    def grammars(self) -> list[Grammar]:
        """Return every grammar that a request may have, each once."""
        found = {grammar.key: grammar for strategy in self._strategies.values() for grammar in strategy.grammars}
        return list(found.values())

    @property
    def longest(self) -> float:
        """Return the ratio of the requests of the longest slot to those of an average slot."""
        used = [
            (self._shares[name], strategy.requests if isinstance(strategy, Chained) else Requests())
            for name, strategy in self._strategies.items()
        ]
        return max(requests.most for _, requests in used) / sum(share * requests.usual for share, requests in used)

    @property
    def continues(self) -> str | None:
        """Return the name of a strategy whose requests continue an unfinished turn; None where there is none."""
        return next((name for name, each in self._strategies.items() if getattr(each, "continues", False)), None)

    async def begin(self, resources: Resources, known: Mapping[str, Json]) -> dict[str, Json]:
        """Prepare every strategy that needs it, and return the results by the strategies' names.

        `known` has the results of earlier sessions. A strategy is not prepared a second time.
        """
        found = {}
        for strategy in self._strategies.values():
            if isinstance(strategy, Preparing):
                result = known.get(strategy.name)
                found[strategy.name] = await strategy.begin(resources) if result is None else result
                await strategy.restore(found[strategy.name], resources)
        return found

    def restore(self, planned: Mapping[tuple[str, str | None], int]) -> None:
        """Take over the number of slots that earlier sessions planned, by strategy and label."""
        self._planned = Counter(planned)

    def plan(self, group: Group, pool: Pool) -> list[PlannedSlot]:
        """Return the slots of `group`, planned by the strategy that is chosen for it.

        A strategy that is used up for the group's label is chosen only where all are; see `used_up`.
        """
        shares = self._shares
        if self._bandit is not None and group.number >= len(shares):
            shares = self._bandit.shares(group.horizon)
        shares = {name: share for name, share in shares.items() if self._has_more(name, group.label)} or shares
        strategy = self._strategies[self._choose(shares, "strategy", group.number)]
        planned = strategy.name, group.label
        group = replace(group, earlier=self._planned[planned])
        slots = strategy.plan(group, group_rng(self._seed, group.number), pool)
        self._planned[planned] += len(slots)
        if not self._models:
            return slots
        model = self._choose(self._models, "model", group.number)
        return [slot.model_copy(update={"model": model}) for slot in slots]

    def settled(self, slot: SettledSlot) -> None:
        """Count the next settled slot, in slot order, for the shares of later groups."""
        if self._bandit is not None:
            self._bandit.settled(slot)

    def adapt(self, slots: Iterable[SettledSlot], keep: Callable[[list[Json]], object]) -> None:
        """Take over the slots that earlier sessions settled; give the shares of each round to `keep`."""
        if self._bandit is not None:
            self._bandit.restore(slots, keep)

    def used_up(self, labels: Iterable[str | None]) -> str | None:
        """Return the stop rule that ends a run in which these labels lack samples; None while a strategy has more."""
        limited = [strategy for strategy in self._strategies.values() if isinstance(strategy, Limited)]
        if len(limited) < len(self._strategies):
            return None
        if any(self._has_more(name, label) for label in labels for name in self._strategies):
            return None
        return limited[0].used_up

    def _has_more(self, name: str, label: str | None) -> bool:
        strategy = self._strategies[name]
        return not isinstance(strategy, Limited) or strategy.left(label, self._planned[name, label]) > 0

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        """Return the requests of a slot's own strategy, to the slot's own model; see `Strategy.ask`."""
        name = planned.strategy
        strategy = self._strategies.get(name) or self._strategies[_FORMER[name]]
        asking = strategy.ask(planned, shown)
        return asking if planned.model is None else _to(planned.model, asking)

    def _choose(self, shares: Mapping[str, float], what: str, number: int) -> str:
        if number < len(shares):
            return sorted(shares, key=lambda name: -shares[name])[number]
        rng = random.Random(
            f"{self._seed}/{what}/{number}"
        )  # independent of the random numbers that the strategy draws
        (name,) = rng.choices(list(shares), list(shares.values()))
        return name


def _to(model: str, asking: Asking) -> Asking:
    """Send the requests of a slot to `model`, except those that name a model, and return its candidates with its name."""

    def sent(request: Request) -> Request:
        return request if request.model is not None else request.model_copy(update={"model": model})

    try:
        asked = next(asking)
        while True:
            asked = asking.send((yield sent(asked) if isinstance(asked, Request) else tuple(map(sent, asked))))
    except StopIteration as end:
        candidates: list[Candidate] = end.value
        for candidate in candidates:
            candidate.model = model
        return candidates
    finally:
        asking.close()


def group_rng(seed: int, number: int) -> random.Random:
    """Return the random generator of one group, which does not depend on earlier groups."""
    return random.Random(f"{seed}/group/{number}")
