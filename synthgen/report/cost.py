"""Sum up the cost of a run, from the prices in its config and the tokens that the servers counted."""

from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.report import plain
from synthgen.report.view import rounded

_GENERATED = "kind LIKE 'generate%'"


def cost_figures(ledger: Reader, accepted: int) -> Json | None:
    """Return the `cost` of `summary.json` in US dollars; None where neither a price nor a budget is known."""
    usd = ledger.spent()
    budget = ((ledger.meta("config") or {}).get("engine") or {}).get("budget_usd")
    if usd is None and budget is None:
        return None
    return {
        "usd": rounded(usd),
        "budget_usd": budget,
        "generator": rounded(ledger.spent(_GENERATED)),
        "judge": rounded(ledger.spent(f"NOT {_GENERATED}")),
        "per_accepted": rounded(usd / accepted) if usd is not None and accepted else None,
    }


def sentence(cost: Json | None) -> str | None:
    """Return the closing line about a run's cost; None where no price is known."""
    if cost is None:
        return None
    parts = ", ".join(f"{part} {plain.money(cost[part])}" for part in ("generator", "judge") if cost[part] is not None)
    per = f"; {plain.money(cost['per_accepted'])} per accepted sample" if cost["per_accepted"] is not None else ""
    return f"{plain.of_budget(cost['usd'], cost['budget_usd'])}{f' ({parts})' if parts else ''}{per}"
