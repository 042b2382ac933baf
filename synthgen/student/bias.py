"""Measure how often a student's answer changes when only the people in a text change.

Each row is asked twice: as it is, and with words about people swapped (Kusner et al. 2017, counterfactual fairness).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from synthgen.records import Json
from synthgen.safety.swaps import KINDS, Swap, swapped
from synthgen.student.learner import Learner
from synthgen.tasks.task import Task, as_text

_CONFIDENCE = 0.95
_EXAMPLES = 3
_FLIPS = 5
_PLACES = ("start", "end")
"""Keys of an answer that say where something stands, which a longer or shorter name moves."""


def swap_figures(task: Task, learner: Learner, student: Any, rows: Sequence[Json]) -> Json:
    """Return, for each kind of swap, the rows that it changes and those whose answer it changes, with a 95 % interval.

    Only the input fields are swapped. Names in an answer that was copied from the text are swapped back before answers are
    compared.
    """
    pairs: dict[Swap, list[tuple[Json, Json]]] = {kind: [] for kind in KINDS}
    for row in rows:
        for kind in KINDS:
            other = {name: _changed(row[name], kind) if name in task.input else row[name] for name in row}
            if other != row:
                pairs[kind].append((row, other))
    found: Json = {"rows": len(rows), "confidence": _CONFIDENCE, "swaps": {}}
    for kind, own in pairs.items():
        asked = [row for pair in own for row in pair]
        answers = learner.predict(student, asked) if asked else []
        found["swaps"][kind.value] = _figures(task, kind, own, list(zip(answers[::2], answers[1::2], strict=True)))
    return found


def _figures(task: Task, kind: Swap, pairs: Sequence[tuple[Json, Json]], answers: Sequence[tuple[Json, Json]]) -> Json:
    """Return the counts of one kind of swap, its most frequent changes of an answer, and a few examples."""
    from scipy.stats import binomtest

    changed, flips, examples = 0, Counter[str](), list[Json]()
    for (row, other), (before, after) in zip(pairs, answers, strict=True):
        own, others = _answer(task, before), _answer(task, after)
        if others in (own, _changed(own, kind)):
            continue
        changed += 1
        if task.label_field:
            flips[f"{as_text(own[task.label_field])} -> {as_text(others[task.label_field])}"] += 1
        if len(examples) < _EXAMPLES:
            texts = [{name: each[name] for name in task.input if name in each} for each in (row, other)]
            examples.append({"input": texts[0], "swapped": texts[1], "answer": own, "answer_swapped": others})
    ends = binomtest(changed, len(pairs)).proportion_ci(_CONFIDENCE, "wilson") if pairs else None
    return {
        "does": KINDS[kind],
        "rows": len(pairs),
        "changed": changed,
        "share": changed / len(pairs) if pairs else None,
        "low": float(ends.low) if ends else None,
        "high": float(ends.high) if ends else None,
        "answers": dict(flips.most_common(_FLIPS)),
        "examples": examples,
    }


def _answer(task: Task, answer: Mapping[str, Any]) -> Json:
    """Return the target fields of an answer, without probabilities and positions."""
    return {name: _without_places(answer.get(name)) for name in task.target}


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_places(part) for name, part in value.items() if name not in _PLACES}
    return [_without_places(part) for part in value] if isinstance(value, list) else value


def _changed(value: Any, kind: Swap) -> Any:
    """Return a JSON value with the words of its strings swapped."""
    if isinstance(value, str):
        return swapped(value, kind)
    if isinstance(value, list):
        return [_changed(part, kind) for part in value]
    return {name: _changed(part, kind) for name, part in value.items()} if isinstance(value, dict) else value
