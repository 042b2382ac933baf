"""Detect and describe changes that forbid the resume of a run."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence

from synthgen.config import from_saved, to_json, without
from synthgen.generate.kinds import REWRITING
from synthgen.generate.prompting import ASSIGNED
from synthgen.generate.rewriting import TEMPLATE as REWRITE
from synthgen.judge.grader import TEMPLATES_WITH_PARENTS
from synthgen.judge.labels import TEMPLATE as SEVERAL_LABELS
from synthgen.judge.question import TEMPLATE
from synthgen.ledger import Reader
from synthgen.records import Json, content_id
from synthgen.run.prepare import Prepared
from synthgen.run.resumable import CHECKED_APART, MAY_CHANGE, MAY_CHANGE_IN_A_MODEL, NOT_OF_THE_RUN

_MOST_LINES = 12


def fingerprint(prepared: Prepared) -> Json:
    """Return everything that the samples of a run depend on. Leave out budgets, student and folder: they may change."""
    return {
        "config": _bound(to_json(prepared.config)),
        "task": prepared.task.definition(),
        "seeds": content_id([seed.id for seed in prepared.seeds]),
        "eval": content_id(prepared.eval_rows),
        "calibration": content_id([[row.id, row.good, row.grades] for row in prepared.rated])
        if prepared.rated
        else None,
        "prompts": _templates(prepared),
        **({"texts": content_id(prepared.texts)} if prepared.texts else {}),
        **({"passages": content_id([one.id for one in prepared.passages])} if prepared.passages else {}),
        **({"adapters": prepared.adapters.names()} if prepared.adapters.all else {}),
        **({"topics": prepared.tree.key} if prepared.tree is not None else {}),
    }


def _templates(prepared: Prepared) -> dict[str, str]:
    """Return the hashes of the prompt files that the run can use."""
    unused = _unused(prepared)
    return {name: key for name, key in prepared.prompts.fingerprint().items() if name not in unused}


def _unused(prepared: Prepared) -> set[str]:
    """Return the prompt files that the run cannot use. Earlier versions lack some of them.

    These are the files of declared questions, of tasks with several labels, of `assign`, of criteria that compare and of
    strategies without a weight.
    """
    unused = [] if prepared.declared.questions else [TEMPLATE]
    unused += [] if prepared.task.multi_labels else [SEVERAL_LABELS]
    unused += [] if prepared.task.assign else [ASSIGNED]
    unused += [] if prepared.task.compared else TEMPLATES_WITH_PARENTS
    used = prepared.config.generate.strategies.shares()
    unused += [name for name in vars(prepared.config.generate.strategies) if name not in used]
    unused += [] if used.keys() & REWRITING else [REWRITE]
    return set(unused)


def sources(prepared: Prepared) -> Json:
    """Return the texts that the ledger keeps beside the fingerprint, so that a later change can be shown in full."""
    return {
        "prompts": {name: prepared.prompts.text(name) for name in prepared.prompts.fingerprint()},
        "eval": [content_id(row) for row in prepared.eval_rows],
    }


def recorded_prompts(reader: Reader) -> dict[str, str]:
    """Return the texts of the prompt files that the run started with, by template. Runs of early versions have none."""
    texts: dict[str, str] = (reader.meta("sources") or {}).get("prompts") or {}
    return texts


def outdated_prompts(prepared: Prepared) -> Iterator[str]:
    """Yield a line about shipped prompt files that the run uses and that changed since it started."""
    unused = _unused(prepared)
    if names := [f"{name}.jinja" for name in prepared.prompts.changed() if name not in unused]:
        yield (
            f"hint: {', '.join(names)} of synthgen's own prompts changed since this run started; it continues with the texts "
            "in its ledger. A fork uses the new ones: synthgen resume RUN --fork NEW_RUN"
        )


def changes(reader: Reader, prepared: Prepared) -> list[str]:
    """Return readable lines about each difference to the start of the run; empty when nothing changed."""
    new, old = fingerprint(prepared), dict(reader.meta("fingerprint"))
    # A key that is new in this version cannot have been changed: the old config gets its default.
    old["config"] = _bound(to_json(from_saved(reader.meta("config"), [])))
    kept = reader.meta("sources") or {}
    lines = differences(old["config"], new["config"]) + differences(old["task"], new["task"], "task.")
    if old["seeds"] != new["seeds"]:
        before = {sample.id: sample.data for sample in reader.samples() if sample.origin == "seed"}
        lines += [
            f"  {prepared.task.seeds or 'task.seeds'}:",
            *_row_changes(before, {s.id: s.data for s in prepared.seeds}),
        ]
    if old["eval"] != new["eval"]:
        rows = {content_id(row): row for row in prepared.eval_rows}
        lines += [f"  {prepared.task.eval}:", *_row_changes(dict.fromkeys(kept.get("eval") or (), None), rows)]
    if old.get("calibration") != new["calibration"]:
        lines.append("  judge.calibration: the rated rows changed")
    if old.get("topics") != new.get("topics"):
        lines.append("  generate.taxonomy.tree: the topics changed")
    if old.get("texts") != new.get("texts"):
        lines.append(f"  {prepared.task.texts}: the texts changed")
    if old.get("passages") != new.get("passages"):
        lines.append("  task.documents: the documents changed")
    before, now = old.get("adapters", {}), new.get("adapters", {})
    lines += [
        f"  {role}.adapter: {before.get(role)} -> {now.get(role)}"
        for role in dict.fromkeys([*before, *now])
        if before.get(role) != now.get(role)
    ]
    unused = _unused(prepared)  # a version may have recorded a file that later ones leave out
    for name in dict.fromkeys([*old["prompts"], *new["prompts"]]):
        if name not in unused and old["prompts"].get(name) != new["prompts"].get(name):
            lines += _text_changes(name, (kept.get("prompts") or {}).get(name, ""), sources(prepared)["prompts"])
    return lines


def differences(old: Json, new: Json, path: str = "") -> list[str]:
    """Return the differences between two JSON objects as `key: old -> new` lines."""
    lines = []
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, f"{path}{key}.")
        else:
            lines.append(f"  {path}{key}: {before!r} -> {after!r}")
    return lines


def _bound(config: Json) -> Json:
    """Return a config without the keys that may change on resume or are checked elsewhere."""
    free = (*MAY_CHANGE, *CHECKED_APART, *NOT_OF_THE_RUN)
    bound = without(config, [key.removesuffix(".*") for key in free])
    engine: Json = bound["engine"]
    if models := engine.get("models"):
        engine["models"] = [without(model, MAY_CHANGE_IN_A_MODEL) for model in models]
    return bound


def _row_changes(before: Mapping[str, Json | None], after: Mapping[str, Json]) -> list[str]:
    """Return lines about the first removed and added rows. `before` may have the ids of rows without their content."""
    removed = [_row(before[key]) for key in before if key not in after]
    added = [_row(after[key]) for key in after if key not in before]
    if not removed and not added:
        return ["    the order of its rows changed"]
    return _few([f"    - {row}" for row in removed]) + _few([f"    + {row}" for row in added])


def _row(data: Json | None) -> str:
    text = "a row" if data is None else json.dumps(data, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _text_changes(name: str, before: str, now: dict[str, str]) -> list[str]:
    found = difflib.unified_diff(before.splitlines(), now.get(name, "").splitlines(), lineterm="", n=0)
    return [f"  prompts/{name}:", *_few([f"    {line}" for line in list(found)[2:] if not line.startswith("@@")])]


def _few(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], f"    ... and {more} more"] if more > 0 else list(lines)
