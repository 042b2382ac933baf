"""Report the status of a run from its ledger and its lock. This is safe while the run works, and after it was
killed."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from synthgen.config import from_saved
from synthgen.engines.batch.records import waiting_figures
from synthgen.errors import ExitCode
from synthgen.ledger import Reader, holder
from synthgen.records import Json
from synthgen.report import plain
from synthgen.report.figures import incidents
from synthgen.report.view import open_ledger, rounded
from synthgen.run.budget import time_left
from synthgen.run.continuation import resume_command
from synthgen.run.refusal import REFUSED, is_empty
from synthgen.run.shares import STATE, is_shard, shard_folders

WINDOW = 600.0
"""The latest seconds over which the pace is measured, at most."""
_SLOTS = 4096
"""Number of latest slots whose requests are searched for answers within that time."""
_EVERY, _REST = 2.0, 20.0
"""With `--watch`: the seconds between two readings, and the least ratio of that pause to the duration of a reading."""
_PHASES = {
    "started": "starting its engine",
    "engine_started": "generating",
    "stopped": "training its student",
    "student": "writing its reports",
    "finished": "writing its reports",
}
_OTHER_VERB = "used by another verb"
_ENDS = {0: "ended", 3: "ended", 4: "failed", 5: "interrupted", None: "killed"}


def status(folder: Path, now: float | None = None) -> Json:
    """Return the content of `synthgen status RUN --json`.

    `state` is working, ended, failed, interrupted, killed, or new before the first session. `phase` is the current step
    of a working run, which has taken `phase_seconds` so far. The pace is null unless the run is generating. `command`
    continues the run, where that is possible. `shards` has the status of each shard; while they work, the figures of the run
    are theirs together. Raise RunFolderError if the folder has no ledger.
    """
    now = time.time() if now is None else now
    with open_ledger(folder) as ledger:
        pid = holder(folder)
        sessions = ledger.sessions()
        began, ended, code = sessions[-1] if sessions else (None, None, None)
        state = "working" if pid else _ENDS.get(code, "failed") if sessions else "new"
        phase, since = None, None
        if pid:
            phase, since = (_OTHER_VERB, None) if began is None or ended is not None else _phase(ledger, began)
        stopped_by = ledger.meta("stopped_by") if state in ("ended", "failed", "interrupted") else None
        found = {
            "run": (ledger.meta("run") or {}).get("name"),
            "folder": str(folder),
            "state": state,
            "phase": phase,
            "pid": pid,
            "exit_code": None if pid else code,
            "stopped_by": stopped_by,
            **_counts(ledger),
            "usd": rounded(ledger.spent()),
            "budget_usd": ((ledger.meta("config") or {}).get("engine") or {}).get("budget_usd"),
            "phase_seconds": round(max(now - since, 0.0), 1) if since is not None else None,
            "session_seconds": round(now - began, 1) if pid and began is not None else None,
            "student": _student(ledger, phase, since or 0.0, now),
            **_pace(ledger, began or now, now, phase == _PHASES["engine_started"]),
            "replicas": _replicas(ledger, began or now) if phase == _PHASES["engine_started"] else {},
            "batches": waiting_figures(folder, now),
            "incidents": incidents(ledger),
            "shards": [status(place, now) for place in shard_folders(folder)],
        }
        found["command"] = None if is_shard(folder) else _command(ledger, folder, found)
        merged = ledger.meta(STATE) or {}
        if found["shards"] and merged.get("number") != merged.get("merged"):
            found |= _together(found)
        return found


def lines(found: Json) -> list[str]:
    """Return the status as lines of text."""
    done = f"{plain.count(found['accepted'])} of {plain.count(found['target'])} samples"
    share = f", {plain.percent(found['acceptance'])} of {plain.count(found['candidates'])} candidates"
    out = [_headline(found), f"accepted    {done}{share if found['candidates'] else ''}"]
    if found["rejected"]:
        out.append(f"rejected    {plain.top_reasons(found['rejected'])}")
        out += [f"            {line}" for line in plain.meanings(found["rejected"])]
    if cost := plain.of_budget(found["usd"], found["budget_usd"]):
        out.append(f"cost        {cost}")
    if found["accepted_per_minute"] is not None:
        left = f"; {plain.duration(found['seconds_left'])} left" if found["seconds_left"] is not None else ""
        out.append(
            f"pace        {plain.rate(found['accepted_per_minute'])} accepted of "
            f"{plain.rate(found['candidates_per_minute'])} candidates a minute, "
            f"{plain.rate(found['output_tokens_per_s'])} output tokens/s{left}"
        )
    if found["student"]:
        out.append(f"student     {found['student'].removeprefix('student: ')}")
    if found["seconds_since_answer"] is not None:
        ago = plain.duration(found["seconds_since_answer"])
        out.append(f"engine      {plain.count(found['in_flight'])} requests in flight, the last answer {ago} ago")
    out += [f"{name:<11} {_of_replica(one)}" for name, one in found["replicas"].items()]
    out += [f"{f'shard {number}':<11} {_of_shard(one)}" for number, one in enumerate(found["shards"], 1)]
    if found["batches"]:
        out.append(f"batches     {plain.batches(found['batches'])}")
    out += [f"incident    {count} {plain.INCIDENTS[kind]}" for kind, count in found["incidents"].items()]
    if found["command"]:
        out.append(f"go on with  {found['command']}")
    return out


def _together(found: Json) -> Json:
    """Return the figures of a run whose shards are not merged yet: those of all shards together."""
    shards = found["shards"]
    working = [one for one in shards if one["state"] == "working"]
    generating = [one for one in working if one["phase"] == _PHASES["engine_started"]]
    summed = (
        "accepted", "candidates", "accepted_per_minute", "candidates_per_minute", "output_tokens_per_s", "in_flight"
    )  # fmt: skip
    sums = {key: sum(known) if (known := _known(shards, key)) else None for key in summed}
    rejected: Counter[str] = sum((Counter(one["rejected"]) for one in shards), Counter())
    together = {
        **sums,
        "rejected": dict(rejected.most_common()),
        "acceptance": rounded(1 - rejected.total() / sums["candidates"]) if sums["candidates"] else None,
        "seconds_left": max(_known(shards, "seconds_left"), default=None),
        "seconds_since_answer": min(_known(shards, "seconds_since_answer"), default=None),
    }
    if found["state"] == "working":
        phases = [_PHASES["engine_started"]] if generating else [one["phase"] for one in working]
        together["phase"] = next(iter(phases), "merging its shards")
    return together


def _known(shards: Sequence[Json], key: str) -> list[Any]:
    return [one[key] for one in shards if one[key] is not None]


def _of_shard(one: Json) -> str:
    share = (
        f", {plain.percent(one['acceptance'])} of {plain.count(one['candidates'])} candidates"
        if one["candidates"]
        else ""
    )
    state = one["phase"] if one["state"] == "working" else one["state"]
    return f"{state}, {plain.count(one['accepted'])} of {plain.count(one['target'])} samples{share}"


def _headline(found: Json) -> str:
    name = plain.one_line(found["run"]) if found["run"] else "The run"
    match found["state"]:
        case "working":
            since = f", for {plain.duration(found['phase_seconds'])}" if found["phase_seconds"] is not None else ""
            return f"{name} is {found['phase']} (PID {found['pid']}{since})."
        case "killed":
            return f"{name} was killed, or its machine went down."
        case "new":
            return f"{name} has not begun."
        case "failed" if found["exit_code"] == ExitCode.BUG:
            return f"{name} ended at an error in synthgen."
        case _:
            return f"{name} {plain.outcome(found)}."


def _replicas(ledger: Reader, began: float) -> Json:
    """Return the newest known state of each replica in the session that began at `began`; empty for a single server."""
    sql = "SELECT data FROM events WHERE kind = 'progress' AND at >= ? ORDER BY seq DESC LIMIT 1"
    for (data,) in ledger.rows(sql, (began,)):
        return dict(json.loads(data).get("replicas") or {})
    return {}


def _of_replica(one: Json) -> str:
    tokens = one.get("tokens") or {}
    share = tokens["cached"] / tokens["prompt"] if tokens.get("prompt") else None
    cached = f", {plain.percent(share)} of the prompt tokens were cached" if share is not None else ""
    return f"{one['state']}, {plain.count(one['in_flight'])} of {plain.count(one['limit'])} requests in flight{cached}"


def _phase(ledger: Reader, began: float) -> tuple[str, float]:
    """Return the current phase of the session that began at `began`, and the time at which the phase began."""
    kinds = ", ".join(f"'{kind}'" for kind in _PHASES)
    sql = f"SELECT kind, at FROM events WHERE at >= ? AND kind IN ({kinds}) ORDER BY seq DESC LIMIT 1"
    kind, at = next(ledger.rows(sql, (began,)), ("started", began))
    return _PHASES[kind], at


def _student(ledger: Reader, phase: str | None, since: float, now: float) -> str | None:
    """Return the progress of the student's training, or its expected size before it begins."""
    if phase == _PHASES["engine_started"]:
        expected = ledger.meta("student_outlook")
        return f"follows: {expected}" if expected else None
    if phase != _PHASES["stopped"]:
        return None
    sql = "SELECT at, data FROM events WHERE kind = 'student_progress' AND at >= ? ORDER BY seq DESC LIMIT 1"
    for at, data in ledger.rows(sql, (since,)):
        return f"{json.loads(data)['line']} ({plain.duration(max(now - at, 0.0))} ago)"
    return None


def _counts(ledger: Reader) -> Json:
    sql = "SELECT COALESCE(reason, 'unknown'), COUNT(*) FROM candidates WHERE outcome = 'rejected' GROUP BY 1"
    rejected = dict(sorted(ledger.rows(sql), key=lambda pair: (-pair[1], pair[0])))
    candidates = ledger.one("SELECT COUNT(*) FROM candidates")
    kept = candidates - sum(rejected.values())
    return {
        "accepted": ledger.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'"),
        "target": ledger.meta("target"),
        "candidates": candidates,
        "acceptance": rounded(kept / candidates) if candidates else None,
        "rejected": rejected,
    }


def _pace(ledger: Reader, began: float, now: float, generating: bool) -> Json:
    """Return the recent rates of the session that began at `began`; all are null unless it is generating."""
    names = (
        "accepted_per_minute", "candidates_per_minute", "output_tokens_per_s", "in_flight", "seconds_since_answer",
        "seconds_left",
    )  # fmt: skip
    found: Json = dict.fromkeys(names)
    if not generating:
        return found
    first = (ledger.one("SELECT MAX(slot) FROM slots") or 0) - _SLOTS
    asked = "FROM requests WHERE slot >= ? AND sent_at >= ?"
    found["in_flight"] = ledger.one(f"SELECT COUNT(*) {asked} AND state = 'sent'", (first, began))
    answered = f"{asked} AND state = 'answered'"
    last = ledger.one(f"SELECT MAX(sent_at + seconds) {answered}", (first, began))
    if last is None:
        return found
    found["seconds_since_answer"] = round(max(now - last, 0.0), 1)
    since = max(began, now - WINDOW)
    progress = "SELECT at, data FROM events WHERE kind = 'progress' AND at >= ? ORDER BY seq"
    told = [(at, json.loads(data)) for at, data in ledger.rows(progress, (since,))]
    if len(told) > 1 and (passed := told[-1][0] - told[0][0]) > 0:
        for name in ("accepted", "candidates"):
            made = told[-1][1][name] - told[0][1][name]
            found[f"{name}_per_minute"] = rounded(60 * made / passed)
        last_told = told[-1][1]["accepted"]
        left = time_left((ledger.meta("target") or 0) - last_told, last_told - told[0][1]["accepted"], passed)
        found["seconds_left"] = round(left) if left is not None else None
    sums = "SELECT SUM(completion_tokens), MIN(sent_at + seconds) " + answered
    tokens, earliest = next(ledger.rows(sums, (first, since)))
    if tokens and last > earliest:
        found["output_tokens_per_s"] = rounded(tokens / (last - earliest))
    return found


def _command(ledger: Reader, folder: Path, found: Json) -> str | None:
    """Return the command that continues the run; None where the run works, is complete or cannot be continued."""
    saved = ledger.meta("config")
    if found["state"] == "working" or found["exit_code"] == ExitCode.OK or saved is None:
        return None
    if ledger.meta(REFUSED) and is_empty(ledger):
        return None
    config = from_saved(saved, [])
    return resume_command(folder, config.budget, found["stopped_by"] or "", config.engine.capabilities.budget_usd)


def watched(folder: Path) -> Iterator[Json]:
    """Yield the run's status at intervals until no process works on the run; at least once."""
    while True:
        began = time.monotonic()
        found = status(folder)
        yield found
        if found["state"] != "working":
            return
        time.sleep(max(_EVERY, _REST * (time.monotonic() - began)))
