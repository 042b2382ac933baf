"""Compute figures of each model of a mix: its slots and candidates, its accepted samples, and its cost."""

from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.report.strategies import figures_by
from synthgen.report.view import rounded

_COST = (
    "SELECT s.model, SUM(r.usd) FROM requests r JOIN slots s USING (slot)"
    " WHERE r.state = 'answered' AND s.model IS NOT NULL GROUP BY 1"
)


def model_figures(ledger: Reader) -> dict[str, Json]:
    """Return the `models` of `summary.json`: figures by the name of the model that wrote; empty without a mix.

    Tokens and cost are those of a model's slots, the judge's questions about them included.
    """
    if not ledger.knows_models:
        return {}
    models = ((ledger.meta("config") or {}).get("engine") or {}).get("models") or []
    total = sum(model["weight"] for model in models)
    shares = {model["name"]: model["weight"] / total for model in models} if total else {}
    cost = dict(ledger.rows(_COST))
    return {
        name: {
            **row,
            "usd": rounded(cost.get(name)),
            "usd_per_accepted": rounded(cost[name] / row["accepted"]) if row["accepted"] and cost.get(name) else None,
        }
        for name, row in figures_by(ledger, "model", shares).items()
    }
