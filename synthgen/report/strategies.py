"""Compute figures of each strategy: its slots and candidates, its accepted samples, and its cost in tokens."""

from collections.abc import Mapping

from synthgen.generate.kinds import StrategiesConfig
from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.report import plain
from synthgen.report.view import rounded

_SLOTS = "SELECT {0}, COUNT(DISTINCT grp), COUNT(*) FROM slots WHERE {0} IS NOT NULL GROUP BY 1 ORDER BY 1"
_CANDIDATES = (
    "SELECT s.{0}, COUNT(*), SUM(c.outcome = 'accepted') FROM candidates c JOIN slots s USING (slot) GROUP BY 1"
)
_TOKENS = (
    "SELECT s.{0}, SUM(r.completion_tokens), SUM(r.prompt_tokens - r.cached_tokens + r.completion_tokens)"
    " FROM requests r JOIN slots s USING (slot) WHERE r.state = 'answered' GROUP BY 1"
)


def strategy_figures(ledger: Reader) -> dict[str, Json]:
    """Return the `strategies` of `summary.json`: figures by the name of the strategy.

    `share` is the share of the groups that the config asks for. Tokens are those of generator and judge. Like
    `tokens.per_accepted`, `tokens_per_accepted` counts computed tokens: uncached prompt tokens and output tokens.
    """
    weights = ((ledger.meta("config") or {}).get("generate") or {}).get("strategies") or {}
    return figures_by(ledger, "strategy", StrategiesConfig(**weights).shares())


def figures_by(ledger: Reader, column: str, shares: Mapping[str, float]) -> dict[str, Json]:
    """Return figures by the value of a column of the slots. `shares` are those that the config asks for."""
    candidates = {name: (n, accepted) for name, n, accepted in ledger.rows(_CANDIDATES.format(column))}
    tokens = {name: (output or 0, computed or 0) for name, output, computed in ledger.rows(_TOKENS.format(column))}
    found = {}
    for name, groups, slots in ledger.rows(_SLOTS.format(column)):
        n, accepted = candidates.get(name, (0, 0))
        output, computed = tokens.get(name, (0, 0))
        found[name] = {
            "share": rounded(shares.get(name)),
            "groups": groups,
            "slots": slots,
            "candidates": n,
            "accepted": accepted,
            "acceptance": rounded(accepted / n) if n else None,
            "output_tokens": output,
            "tokens_per_accepted": rounded(computed / accepted) if accepted else None,
        }
    return found


def sentence(figures: dict[str, Json]) -> str | None:
    """Return the closing line about mixed strategies or models; None where there is only one."""
    if len(figures) < 2:
        return None
    return "; ".join(f"{plain.one_line(name)} {_in_words(row)}" for name, row in figures.items())


def _in_words(row: Json) -> str:
    of = f"of {plain.count(row['candidates'])} candidates"
    if not row["accepted"]:
        return f"none {of}"
    cost = f"{plain.count(row['tokens_per_accepted'])} tokens each"
    return f"{plain.count(row['accepted'])} {of} ({plain.percent(row['acceptance'])}), {cost}"
