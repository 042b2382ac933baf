"""Compute all figures of a run from its ledger, read-only.

A figure that a killed run never recorded is null, and a count is zero. `plain`, `page`, `card` and
`closing` put the figures into words and layout.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from synthgen.labels.answers import figures
from synthgen.labels.expected_corrections import expected_corrections
from synthgen.labels.pool import saved_labels, weighing
from synthgen.ledger import Reader
from synthgen.records import INHERITED, Json, Sample, content_id
from synthgen.report.asked import attribute_figures, taxonomy_figures
from synthgen.report.bias import bias_figures
from synthgen.report.cost import cost_figures
from synthgen.report.judging import judging
from synthgen.report.models import model_figures
from synthgen.report.shares import label_shares
from synthgen.report.strategies import strategy_figures, strategy_weights
from synthgen.report.tokens import token_account
from synthgen.report.variety import variety
from synthgen.report.view import TaskView, label_order, open_ledger, read_task, rounded
from synthgen.selection.config import SelectConfig
from synthgen.selection.training import saved_config, selection

JUDGES = ("label", "trust", "rubric")
INCIDENTS = (
    "engine_restart", "engine_memory", "engine_port", "replica_lost", "endpoint_down", "batch_expired", "batch_failed", "batch_lost",
    "quarantined",
)  # fmt: skip

# Only the last verdict of a check on a candidate counts, because a check may decide twice.
_LAST_VERDICTS = (
    'SELECT "check", outcome, score, details, slot, item, MIN(position) AS first, MAX(position)'
    ' FROM verdicts GROUP BY slot, item, "check"'
)


def summarise(folder: Path, select: SelectConfig | None = None) -> Json:
    """Return the content of `summary.json`. Raise RunFolderError if the folder has no ledger.

    If `select` differs from the run's own selection, the summary has no student, because none was trained on that
    selection.
    """
    with open_ledger(folder) as ledger:
        own = saved_config(ledger)
        task = read_task(ledger)
        samples = ledger.samples()
        counts = _counts(ledger, task, samples)
        seconds = _known(ledger.meta("seconds"), "engine_start", "loop", "student", "total")
        tokens = token_account(ledger, counts["accepted"] - counts["inherited"])
        checks = _checks(ledger, counts["candidates"])
        student = ledger.meta("student") if select in (None, own) else None
        return {
            "run": _run(ledger),
            "engine": _known(ledger.meta("engine"), "name", "version", "model"),
            "task": {"name": task.name, "kind": task.kind, "language": task.language, "description": task.description},
            "target": ledger.meta("target"),
            "stopped_by": ledger.meta("stopped_by"),
            "incidents": incidents(ledger),
            "counts": counts,
            "labels": label_shares(ledger, task.asked, counts["accepted_by_label"]),
            "attributes": attribute_figures(ledger),
            "taxonomy": taxonomy_figures(ledger),
            "strategies": strategy_figures(ledger, select in (None, own)),
            "strategy_weights": strategy_weights(ledger),
            "models": model_figures(ledger),
            "selection": selection(ledger, select or own),
            "tokens": tokens,
            "cost": cost_figures(ledger, counts["accepted"] - counts["inherited"]),
            "seconds": seconds,
            "rate": _rates(counts, tokens["completion"], seconds["loop"]),
            "checks": checks,
            "personal_data": _personal_data(ledger, checks),
            "answers": figures(ledger.people_answers()),
            "label_model": _label_model(ledger, task),
            "diversity": variety(ledger, task, samples),
            "judge": _judge(ledger, checks),
            "judge_settings": ledger.meta("judge") or (ledger.meta("config") or {}).get("judge"),
            "student": student and _known(student, "metric", "eval_rows", "seeds_only", "synthetic", "gain"),
            "bias": bias_figures(ledger) if student else None,
        }


def _label_model(ledger: Reader, task: TaskView) -> Json | None:
    """Return the label model's figures over all accepted samples, or None if it decided no label."""
    cfg = saved_labels(ledger)
    found = weighing(ledger, task.labels, cfg).figures
    return {**found, "next_answers": expected_corrections(ledger, task.labels, cfg)} if found else None


def _known(found: Json | None, *keys: str) -> Json:
    """Return the values of `keys` in `found`, with None for missing ones."""
    return {**dict.fromkeys(keys), **(found or {})}


def _run(ledger: Reader) -> Json:
    """Return the `run` part of the summary.

    The ledger keeps the fingerprint in parts, to tell which part changed; here it becomes one hash. `killed` counts
    the earlier sessions that did not end. The last session is not counted, because it may still be running.
    """
    run = _known(ledger.meta("run"), "name", "seed", "fingerprint")
    parts = ledger.meta("fingerprint")
    return {
        **run,
        "fingerprint": content_id(parts) if parts else run["fingerprint"],
        "versions": run.get("versions") or {},
        "sessions": len(sessions := ledger.sessions()),
        "killed": sum(ended is None for _, ended, _ in sessions[:-1]),
    }


def incidents(ledger: Reader) -> dict[str, int]:
    """Count the incidents that users should know about, by the kind of their event."""
    sql = "SELECT kind, COUNT(*) FROM events GROUP BY kind ORDER BY kind"
    return {kind: count for kind, count in ledger.rows(sql) if kind in INCIDENTS}


def _counts(ledger: Reader, task: TaskView, samples: Sequence[Sample]) -> Json:
    rejected: dict[str, int] = {}
    sql = "SELECT COALESCE(reason, 'unknown'), COUNT(*) AS n FROM candidates WHERE outcome = 'rejected' GROUP BY 1"
    for reason, count in ledger.rows(f"{sql} ORDER BY n DESC, 1"):
        rejected[reason] = count
    accepted = [sample for sample in samples if sample.origin == "synthetic"]
    seeds = [sample for sample in samples if sample.origin == "seed"]
    labels = label_order(task.asked, [sample.label for sample in samples])
    shown = {sample.id for sample in accepted}
    by_label, seeds_by_label = Counter(s.label for s in accepted), Counter(s.label for s in seeds)
    return {
        "seeds": len(seeds),
        "planned": ledger.one("SELECT COUNT(*) FROM slots"),
        "candidates": ledger.one("SELECT COUNT(*) FROM candidates"),
        "accepted": len(accepted),
        "inherited": sum(sample.slot == INHERITED for sample in accepted),
        "fed_back": sum(s.slot not in (None, INHERITED) and not shown.isdisjoint(s.parents) for s in accepted),
        "rejected": rejected,
        "accepted_by_label": {label: by_label[label] for label in labels},
        "seeds_by_label": {label: seeds_by_label[label] for label in labels},
        "slots": dict(ledger.rows("SELECT state, COUNT(*) FROM slots GROUP BY state ORDER BY state")),
        "requests": dict(ledger.rows("SELECT state, COUNT(*) FROM requests GROUP BY state ORDER BY state")),
    }


def _rates(counts: Json, completion: int, loop: float | None) -> Json:
    candidates, accepted = counts["candidates"], counts["accepted"] - counts["inherited"]
    return {
        "candidates_per_s": rounded(candidates / loop) if loop else None,
        "accepted_per_s": rounded(accepted / loop) if loop else None,
        "output_tokens_per_s": rounded(completion / loop) if loop else None,
        "acceptance": rounded(accepted / candidates) if candidates else None,
    }


def _checks(ledger: Reader, candidates: int) -> dict[str, Json]:
    """Return figures for every check, in the order of the checks.

    `left` is the number of candidates that no check has rejected up to and including this one.
    """
    sql = (
        "SELECT \"check\", COUNT(*), SUM(outcome = 'pass'), SUM(outcome = 'reject'), SUM(outcome = 'unscored'),"
        f' AVG(score) FROM ({_LAST_VERDICTS}) GROUP BY "check" ORDER BY MAX(first), "check"'
    )
    fell = dict(ledger.rows("SELECT \"check\", COUNT(*) FROM candidates WHERE outcome = 'rejected' GROUP BY 1"))
    left = candidates
    checks: dict[str, Json] = {}
    for name, n, passed, rejected, unscored, mean in ledger.rows(sql):
        left -= fell.get(name, 0)
        checks[name] = {
            "n": n,
            "passed": passed,
            "rejected": rejected,
            "unscored": unscored,
            "mean_score": rounded(mean),
            "left": left,
        }
    return checks


def _personal_data(ledger: Reader, checks: dict[str, Json]) -> Json | None:
    """Count the candidates that were searched for personal data, those that hold some, the accepted ones, and kinds.

    Return None for a run without this check, such as one of an earlier version.
    """
    if "personal_data" not in checks:
        return None
    sql = (
        f"SELECT c.outcome, v.details FROM ({_LAST_VERDICTS}) v JOIN candidates c USING (slot, item)"
        " WHERE v.\"check\" = 'personal_data' AND v.score > 0"
    )
    outcomes, kinds = Counter[str](), Counter[str]()
    for outcome, details in ledger.rows(sql):
        outcomes[outcome] += 1
        kinds.update(json.loads(details)["kinds"])
    found = {"candidates": outcomes.total(), "accepted": outcomes["accepted"], "kinds": dict(sorted(kinds.items()))}
    return {"searched": checks["personal_data"]["n"], **found}


def _judge(ledger: Reader, checks: dict[str, Json]) -> Json:
    judged: Json = {name: dict(checks[name]) for name in JUDGES if name in checks}
    if "label" in judged:
        judged["label"] |= _agreement(ledger)
    if "rubric" in judged:
        judged["rubric"]["criteria"] = _criteria(ledger)
    return judged | judging(ledger, _LAST_VERDICTS)


def _agreement(ledger: Reader) -> Json:
    """Return how often the judge found no label more probable than the requested one."""
    sql = (
        f"SELECT c.label, v.details FROM ({_LAST_VERDICTS}) v JOIN candidates c USING (slot, item)"
        " WHERE v.\"check\" = 'label' AND v.outcome <> 'unscored' AND c.label IS NOT NULL"
    )
    pairs: Counter[tuple[str, str]] = Counter()
    for intended, details in ledger.rows(sql):
        if probabilities := json.loads(details).get("probabilities"):
            judged = _likeliest(probabilities, intended)
            pairs[intended, judged] += 1
    total = pairs.total()
    confused = {pair: count for pair, count in pairs.items() if pair[0] != pair[1]}
    agreed = total - sum(confused.values())
    most = sorted(confused.items(), key=lambda item: (-item[1], item[0]))[:10]
    return {
        "agreement": rounded(agreed / total) if total else None,
        "compared": total,
        "confused": [{"intended": a, "judged": b, "n": n} for (a, b), n in most],
    }


def _likeliest(probabilities: dict[str, float], intended: str) -> str:
    """Return the most probable label. Of equal ones, return the requested label, as the check does."""
    return max(probabilities, key=lambda label: (probabilities[label], label == intended))


def _criteria(ledger: Reader) -> dict[str, float | None]:
    """Return the mean expected grade (1 to 5) of each rubric criterion over the answers that could be scored."""
    values: dict[str, list[float]] = {}
    sql = f"SELECT details FROM ({_LAST_VERDICTS}) WHERE \"check\" = 'rubric' ORDER BY slot, item"
    for (details,) in ledger.rows(sql):
        for name, value in json.loads(details).items():
            if isinstance(value, int | float) and math.isfinite(value):
                values.setdefault(name, []).append(float(value))
    return {name: rounded(sum(found) / len(found)) for name, found in sorted(values.items())}
