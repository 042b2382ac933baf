"""Collect the facts about a dataset besides its rows: task, config, guide, licence, people's answers, student."""

import hashlib
import json
from pathlib import Path
from typing import Any

from synthgen.errors import InputError
from synthgen.labels.answers import figures
from synthgen.ledger import Reader, durable
from synthgen.records import Json, content_id

FACTS = ("origin", "task", "config", "guide", "answers", "student", "merged", "published", "default_licence", "licence")
"""The facts of a version, in the order in which they are written and shown."""
MERGED = "merge.json"
"""The file in which `synthgen merge` notes what it merged."""
RESTORED = "version.json"
"""The file in which a restored version names itself."""
_TASK = ("name", "kind", "language", "input", "target")
_GUIDE = "guide/current.json"
"""The file of a run folder that has the hash of the guide in force; `synthgen guide` writes it."""
_ARMS = ("seeds_only", "described", "synthetic")


def of_run(run: Path) -> Json:
    """Return the facts of a run, from its ledger and its student."""
    with Reader(run / "ledger.sqlite") as ledger:
        task, fingerprint = ledger.meta("task"), ledger.meta("fingerprint")
        answers = figures(ledger.people_answers())
    found = {
        "origin": {"run": run.name},
        "task": task and {name: task[name] for name in _TASK if name in task} | {"hash": content_id(task)},
        "config": fingerprint and {"fingerprint": content_id(fingerprint)},
        "guide": _guide(run, answers),
        "answers": answers,
        "student": student_of(run),
        "published": _published(run),
    }
    return {name: value for name, value in found.items() if value}


def of_folder(folder: Path) -> Json:
    """Return the facts that a folder contains: a restored version has its facts, and a merged dataset the list of its
    parts."""
    restored = durable.read_json(folder / RESTORED) or {}
    found: Json = {name: restored[name] for name in FACTS if restored.get(name) and name != "published"}
    if merged := durable.read_json(folder / MERGED):
        found |= {name: merged[name] for name in ("task", "merged") if merged.get(name)}
    if student := student_of(folder):
        found["student"] = student
    return found


def student_of(folder: Path) -> Json | None:
    """Return the figures of a folder's student; None where there is none."""
    metrics = durable.read_json(folder / "student" / "metrics.json")
    if not metrics or "metric" not in metrics:
        return None
    found: Json = {
        name: metrics[name] for name in ("kind", "model", "metric", "eval_rows", "higher_is_better") if name in metrics
    }
    for arm in _ARMS:
        figure: Any = metrics.get(arm)
        if isinstance(figure, dict):
            found[arm] = {name: figure.get(name) for name in ("mean", "low", "high")}
    return found


def guide_of(file: Path) -> Json:
    """Return the name and the hash of a guide file. Raise InputError where it cannot be read."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"--guide: {file}: cannot be read: {error.strerror}; name the file of the guide") from error
    return {"file": file.name, "sha256": hashlib.sha256(data).hexdigest()}


def _published(run: Path) -> list[Json]:
    """Return where the run was published: the newest revision of each dataset and student at each target."""
    try:
        lines = (run / "published.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError:
        return []
    found: dict[tuple[Any, Any], Json] = {}
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:  # a kill cut it off; the push that wrote it is repeated
            continue
        found[entry.get("kind"), entry.get("to")] = {name: entry.get(name) for name in ("kind", "to", "revision", "at")}
    return list(found.values())


def _guide(run: Path, answers: Json | None) -> Json | None:
    """Return the hash of the guide in force, and those of the guides that people's answers were given by."""
    found = {
        "hash": (durable.read_json(run / _GUIDE) or {}).get("hash"),
        "answered_by": sorted((answers or {}).get("guides") or ()),
    }
    return {name: value for name, value in found.items() if value} or None
