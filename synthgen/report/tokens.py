"""Count a run's tokens by use: computed prompt tokens, cached prompt tokens, and output, of generator and judge.

The counts are the engine's own (`usage`) for every answered request, as stored in the ledger.
"""

from typing import Any

from synthgen.ledger import Reader
from synthgen.records import SURPLUS, Json
from synthgen.report.view import rounded

_SUMS = (
    "SELECT kind LIKE 'generate%', COUNT(*), SUM(prompt_tokens), SUM(cached_tokens), SUM(completion_tokens),"
    " SUM(seconds) FROM requests WHERE state = 'answered' GROUP BY 1"
)
_REPLICAS = (
    "SELECT engine, COUNT(*), SUM(prompt_tokens), SUM(cached_tokens) FROM requests"
    " WHERE state = 'answered' AND engine LIKE 'replica %' GROUP BY 1"
)
# All tokens of an unsettled slot are unused. Of a settled slot, the share of its surplus candidates is unused. A
# candidate is surplus if it was rejected as such, or rejected for any reason after its requested label was full.
_UNUSED = f"""
WITH filled AS (SELECT label, MAX(slot) AS last FROM samples WHERE slot IS NOT NULL GROUP BY label)
SELECT SUM(r.completion_tokens * CASE WHEN t.state = 'planned' THEN 1.0 ELSE (
    SELECT COALESCE(AVG(COALESCE(c.reason, '') IN {SURPLUS}
      OR (? AND c.outcome = 'rejected' AND t.slot > COALESCE(f.last, -1))), 0.0)
    FROM candidates c WHERE c.slot = r.slot) END)
FROM requests r JOIN slots t ON t.slot = r.slot LEFT JOIN filled f ON f.label IS t.label
WHERE r.kind LIKE 'generate%' AND r.state = 'answered'
"""


def token_account(ledger: Reader, accepted: int) -> Json:
    """Return the `tokens` of `summary.json`; `per_accepted` counts computed tokens, in total and by part.

    `unused` counts output tokens of candidates that were still in flight when the run ended, and of candidates that
    came after enough samples of their label were accepted. That label is the requested one or the one that was decided.

    `judge_share` estimates the judge's share of the engine's time by its share of the seconds that requests were in
    flight, because a batch gives every request in it the same time. The estimate ignores that a prompt costs more than
    a decoded token. benchmarks/engine_efficiency.py measures the share.
    """
    rows = {True: (0, 0, 0, 0, 0.0), False: (0, 0, 0, 0, 0.0)}
    for is_generator, *sums in ledger.rows(_SUMS):
        rows[bool(is_generator)] = tuple(sums)
    seconds = rows[True][4] + rows[False][4]
    generator, judge = _part(accepted, *rows[True]), _part(accepted, *rows[False])
    total = {key: generator[key] + judge[key] for key in ("prompt", "cached", "completion")}
    unused = round(ledger.one(_UNUSED, (ledger.meta("stopped_by") == "target",)) or 0)
    computed = total["prompt"] - total["cached"] + total["completion"]
    return {
        **total,
        "per_accepted": _per(computed, accepted),
        "cached_share": _per(total["cached"], total["prompt"]),
        "unused": unused,
        "unused_share": _per(unused, total["completion"]),
        "judge_share": _per(rows[False][4], seconds),
        "generator": generator,
        "judge": judge,
        "replicas": replica_tokens(ledger),
    }


def replica_tokens(ledger: Reader) -> dict[str, Json]:
    """Return the requests and prompt tokens of each replica, by its name; empty where one server answered all."""
    rows = sorted(ledger.rows(_REPLICAS), key=lambda row: (len(row[0]), row[0]))
    return {
        name: {"requests": requests, "prompt": prompt, "cached": cached, "cached_share": _per(cached, prompt)}
        for name, requests, prompt, cached in rows
    }


def _part(accepted: int, requests: int, prompt: int, cached: int, completion: int, _: float) -> Json:
    parts = {"prefill": prompt - cached, "cached": cached, "decode": completion}
    return {
        "requests": requests,
        "prompt": prompt,
        "cached": cached,
        "completion": completion,
        "cached_share": _per(cached, prompt),
        "per_accepted": {name: _per(count, accepted) for name, count in parts.items()},
    }


def _per(value: Any, count: Any) -> float | None:
    return rounded(value / count) if count else None
