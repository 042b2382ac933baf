"""Count the attribute values, pairs of values and topics that slots asked for, and those of accepted samples."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from synthgen.generate.strategies.taxonomy import LEAF
from synthgen.generate.strategy import FOUND
from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.report import plain
from synthgen.report.view import rounded
from synthgen.tasks.task import ATTRIBUTES

_Given = list[tuple[str | None, Json, int]]
"""A label, what slots or samples with it were given, and their number."""


def attribute_figures(ledger: Reader) -> Json | None:
    """Return the `attributes` of `summary.json`; None where no slot asked for any.

    `values` has figures of each attribute's values. `pairs` has, for each two attributes, the slots (`asked`) and the
    samples (`accepted`) by pair of values: a row for each value of the first, a column for each value of the second.
    """
    slots, samples = _given(ledger, ATTRIBUTES)
    if not slots:
        return None
    defined = (ledger.meta("task") or {}).get("attributes") or []
    asked, accepted = _counted(slots), _counted(samples)
    values = {
        one["name"]: {
            value: {
                "share": rounded(share),
                "asked": asked[((one["name"], value),)],
                "accepted": accepted[((one["name"], value),)],
            }
            for value, share in zip(one["values"], one["shares"], strict=True)
        }
        for one in defined
    }
    pairs = []
    for first, second in combinations(defined, 2):
        keys = [
            [tuple(sorted(((first["name"], a), (second["name"], b)))) for b in second["values"]]
            for a in first["values"]
        ]
        pairs.append(
            {
                "attributes": [first["name"], second["name"]],
                "asked": [[asked[key] for key in row] for row in keys],
                "accepted": [[accepted[key] for key in row] for row in keys],
            }
        )
    return {"values": values, "pairs": pairs}


def _counted(given: _Given) -> Counter[tuple[tuple[str, str], ...]]:
    """Count single values and pairs of values."""
    counts: Counter[tuple[tuple[str, str], ...]] = Counter()
    for _, found, n in given:
        chosen = sorted((found.get(ATTRIBUTES) or {}).items())
        for size in (1, 2):
            for key in combinations(chosen, size):
                counts[key] += n
    return counts


def taxonomy_figures(ledger: Reader) -> Json | None:
    """Return the `taxonomy` of `summary.json`: the leaves of each label with their figures; None without topics.

    `label` is null for a task without labels.
    """
    roots = ((ledger.meta(FOUND) or {}).get("taxonomy") or {}).get("roots")
    if not roots:
        return None
    slots, samples = _given(ledger, LEAF)
    labels = {root["label"] for root in roots}
    asked, accepted = (_leaves(given, labels) for given in (slots, samples))
    return {
        "roots": [
            {
                "label": root["label"],
                "leaves": [
                    {
                        "path": leaf,
                        "asked": asked[root["label"], tuple(leaf)],
                        "accepted": accepted[root["label"], tuple(leaf)],
                    }
                    for leaf in root["leaves"]
                ],
            }
            for root in roots
        ]
    }


def _leaves(given: _Given, labels: set[str | None]) -> Counter[tuple[str | None, tuple[str, ...]]]:
    counts: Counter[tuple[str | None, tuple[str, ...]]] = Counter()
    for label, found, n in given:
        counts[label if label in labels else None, tuple(found.get(LEAF) or ())] += n
    return counts


def _given(ledger: Reader, key: str) -> tuple[_Given, _Given]:
    """Return the values that slots asked for under `key` of `given`, and those of the samples that were accepted from
    them.

    A sample counts for the label that its slot asked for, which may differ from its own.
    """
    column = ledger.given_column
    if column == "NULL":
        return [], []
    of_slots = f"SELECT t.label, t.{column}, COUNT(*) FROM slots t WHERE t.{column} LIKE ? GROUP BY 1, 2"
    of_samples = (
        f"SELECT t.label, t.{column}, COUNT(*) FROM samples s JOIN slots t USING (slot) WHERE t.{column} LIKE ?"
        " GROUP BY 1, 2"
    )
    found: list[_Given] = []
    for sql in (of_slots, of_samples):
        rows = ((label, json.loads(given), n) for label, given, n in ledger.rows(sql, (f'%"{key}"%',)))
        found.append([(label, given, n) for label, given, n in rows if key in given])
    return found[0], found[1]


def leaf_lines(figures: Json) -> Iterator[str]:
    """Yield lines with the tree of each label, and how often each leaf was asked for and accepted."""
    for root in figures["roots"]:
        before: list[str] = []
        if root["label"] is not None:
            yield f"{root['label']}:"
        for leaf in root["leaves"]:
            path = leaf["path"] or ["(no topic)"]
            common = next((n for n, (a, b) in enumerate(zip(path, before, strict=False)) if a != b), len(before))
            indent = 1 if root["label"] is not None else 0
            for level, topic in enumerate(path[:-1]):
                if level >= common:
                    yield f"{'  ' * (indent + level)}{topic}:"
            counts = f"asked for {plain.count(leaf['asked'])}, accepted {plain.count(leaf['accepted'])}"
            yield f"{'  ' * (indent + len(path) - 1)}{path[-1]}: {counts}"
            before = path


def attribute_sentence(figures: Json | None) -> str | None:
    """Return the closing line about attributes; None where no slot asked for any."""
    if figures is None:
        return None
    asked = [n for pair in figures["pairs"] for row in pair["asked"] for n in row]
    accepted = [n for pair in figures["pairs"] for row in pair["accepted"] for n in row]
    what = "pairs of values"
    if not asked:
        rows = [row for values in figures["values"].values() for row in values.values()]
        asked, accepted, what = [row["asked"] for row in rows], [row["accepted"] for row in rows], "values"
    words = f"{_of(asked)} {what} asked for, {plain.count(min(asked))} to {plain.count(max(asked))} times each"
    return f"{words}; {_of(accepted)} in accepted samples"


def taxonomy_sentence(figures: Json | None) -> str | None:
    """Return the closing line about topics; None for a run without any."""
    if figures is None:
        return None
    leaves = [leaf for root in figures["roots"] for leaf in root["leaves"]]
    asked = [leaf["asked"] for leaf in leaves]
    words = f"{_of(asked)} leaves asked for, {plain.count(min(asked))} to {plain.count(max(asked))} times each"
    return f"{words}; {_of([leaf['accepted'] for leaf in leaves])} with accepted samples"


def _of(counts: list[int]) -> str:
    """Return the number of counts above 0, as `3 of 4` or `all 4`."""
    found = sum(1 for n in counts if n)
    return (
        f"all {plain.count(found)}" if found == len(counts) else f"{plain.count(found)} of {plain.count(len(counts))}"
    )
