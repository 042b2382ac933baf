"""Count the cost of a run's requests, and keep it within a budget.

The cost of a slot in flight is unknown. It is estimated by the most expensive request of each kind so far. Fewer and
fewer slots are therefore in flight towards the end of the budget.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from synthgen.engines.prices import PricesConfig
from synthgen.ledger import Reader
from synthgen.records import Completion, Request

BUDGET = "budget_usd"
"""Name of the stop rule."""
_FIRST = 4  # slots in flight until one is finished, because the cost of a slot is unknown


@dataclass(frozen=True)
class Spent:
    """Hold the spending of earlier sessions of a run, in US dollars."""

    usd: float | None = None
    """None where no request had a price."""
    dearest: Mapping[str, float] = field(default_factory=dict)
    """Cost of the dearest answered request of a slot, by the end of the request's id, which follows the slot."""


class Spending:
    """Count the cost of requests in US dollars. Start a slot only while the `budget` has room for it.

    `price_of` returns the prices for a request, or None where they are not known. The recorder reports the requests.
    """

    def __init__(
        self,
        price_of: Callable[[Request], PricesConfig | None],
        budget: float | None = None,
        spent: Spent | None = None,
    ) -> None:
        spent = spent or Spent()
        self.usd = spent.usd
        """Cost so far; None while no request had a price."""
        self.budget = budget
        self._price_of = price_of
        self._answered = dict(spent.dearest)
        self._expected: dict[str, float] = {}
        self._open: dict[int, float] = {}
        """Cost so far of each slot in flight."""
        self._knows = bool(spent.dearest)
        self._changed = asyncio.Event()

    def exhausted(self) -> str | None:
        """Return the name of the rule when the budget has no room for another slot, else None."""
        return BUDGET if self.budget is not None and not self._fits(1) else None

    async def opens(self, slot: int) -> bool:
        """Wait until the budget has room for a slot, and count it as in flight. Return False when it never will."""
        if self.budget is None:
            return True
        while not (self._fits(1) and (self._knows or len(self._open) < _FIRST)):
            if not self._open:
                return False
            self._changed.clear()
            await self._changed.wait()
        self._open[slot] = 0.0
        return True

    def closes(self, slot: int) -> None:
        """Count a slot as finished: no more requests of it follow."""
        if self._open.pop(slot, None) is not None:
            self._knows = True
            self._changed.set()

    def sending(self, request: Request, slot: int) -> None:
        kind = _kind(request, slot)
        if self.budget is None or slot < 0 or kind in self._answered:
            return
        if (prices := self._price_of(request)) is not None:
            self._expected[kind] = max(self._expected.get(kind, 0.0), prices.most(request))

    def answered(self, request: Request, slot: int, completion: Completion) -> float | None:
        """Count the cost of an answered request and return it; None if its price is not known."""
        if (prices := self._price_of(request)) is None:
            return None
        usd = prices.of(request, completion)
        self.usd = (self.usd or 0.0) + usd
        if slot in self._open:
            self._open[slot] += usd
        if self.budget is not None and slot >= 0:
            kind = _kind(request, slot)
            self._answered[kind] = max(self._answered.get(kind, 0.0), usd)
        return usd

    def _fits(self, more: int) -> bool:
        """Return True if the budget has room for the slots in flight and `more` of them."""
        assert self.budget is not None
        usd, dearest = self.usd or 0.0, sum((self._expected | self._answered).values())
        coming = sum(max(0.0, dearest - cost) for cost in self._open.values())
        return usd < self.budget and usd + coming + more * dearest <= self.budget


def _kind(request: Request, slot: int) -> str:
    """Return the end of a request's id, such as `/generate` or `.0/label`."""
    return request.id.removeprefix(str(slot))


def spent(reader: Reader) -> Spent:
    """Return the spending of a run so far."""
    return Spent(reader.spent(), reader.dearest())
