"""Put versions, differences and merges into lines for a terminal."""

from collections.abc import Iterable, Sequence

from synthgen.records import Json, to_json
from synthgen.safety.untrusted import escaped, one_line
from synthgen.versions.diff import KINDS, Diff
from synthgen.versions.facts import FACTS
from synthgen.versions.freeze import FrozenVersion
from synthgen.versions.merge import Merged, in_words
from synthgen.versions.store import Version

_HASH = 12
_LABELS = 20
_ARMS = {"seeds_only": "on seeds alone", "described": "with label names", "synthetic": "with all rows"}


def short(content: str) -> str:
    """Return the first characters of a content hash."""
    return content[:_HASH]


def of_frozen(frozen: FrozenVersion) -> list[str]:
    """Return the lines that `synthgen version` prints."""
    version, meta = frozen.version, frozen.version.meta
    if not frozen.new:
        return [f"unchanged: this is {version.label} ({short(version.content)}), and no version was made"]
    lines = [f"{version.label}  {short(version.content)}  {_splits(meta['rows'])}"]
    if version.parent:
        more, less = frozen.rows
        since = f"{_rows(more)} added, {less:,} removed" if more or less else "the same rows"
        facts = f"; other {', '.join(frozen.changed)}" if frozen.changed else ""
        lines.append(f"since {version.parent}: {since}{facts}")
    count, size = frozen.stored
    lines.append(f"stored: {_rows(count).replace(' ', ' new ')}, {size / 1e6:.2f} MB, in {version.store.root}")
    return lines


def of_log(versions: Sequence[Version]) -> list[str]:
    """Return a table of versions, one a line."""
    head = ("version", "made", "rows", "added", "removed", "content", "parent", "message")
    rows = [
        (
            each.label,
            str(each.meta.get("created", ""))[:16].replace("T", " "),
            f"{sum(each.meta.get('rows', {}).values()):,}",
            f"{each.meta.get('added', 0):,}",
            f"{each.meta.get('removed', 0):,}",
            short(each.content),
            each.parent or "",
            one_line(str(each.meta.get("message", ""))),
        )
        for each in versions
    ]
    return table([head, *rows], right=(2, 3, 4))


def of_version(version: Version) -> list[str]:
    """Return the facts of one version."""
    meta = version.meta
    lines = [
        ("version", version.label),
        ("message", str(meta.get("message", ""))),
        ("made", str(meta.get("created", ""))),
        ("content", version.content),
        ("parent", version.parent or "none"),
        ("rows", _splits(meta.get("rows", {}))),
        ("fields", ", ".join(f"{name} ({'/'.join(kinds)})" for name, kinds in meta.get("fields", {}).items())),
        ("labels", ", ".join(f"{name} {count:,}" for name, count in meta.get("labels", {}).items())),
        *(
            (name.replace("_", " "), _fact(name, meta[name]))
            for name in FACTS
            if name in meta and name != "default_licence"
        ),
    ]
    return [f"{name.ljust(9)}{one_line(value)}".rstrip() for name, value in lines if value]


def of_diff(found: Diff) -> list[str]:
    """Return a readable table of differences."""
    one, other = found.before, found.after
    lines = table(
        [
            ("", one.name, other.name),
            *(
                (name, f"{before:,}", f"{after:,}")
                for name, before, after in _sizes(one.rows.splits(), other.rows.splits())
            ),
        ],
        right=(1, 2),
    )
    if found.same:
        lines += ["", "the same rows in the same splits"]
    else:
        counts = [(kind, found.counts(kind)) for kind in KINDS]
        rows = [
            (kind, f"{sum(each.values()):,}", ", ".join(f"{name} {count:,}" for name, count in each.items()))
            for kind, each in counts
        ]
        lines += ["", *table([*rows, ("unchanged", f"{found.unchanged:,}", "")], right=(1,))]
        if found.counts("changed"):
            lines.append(_changed(found))
    lines += _fields_alone(found)
    lines += ["", *_shifts(found)]
    if found.students:
        lines += ["", *_students(one.name, other.name, *found.students)]
    if found.facts:
        lines += ["", f"other: {', '.join(name.replace('_', ' ') for name in found.facts)} differ"]
    return lines


def _fields_alone(found: Diff) -> list[str]:
    """Return lines about fields that only one of the datasets has. Without a common field nothing can be paired."""
    sides = [(each.name, set(each.rows.kinds)) for each in (found.before, found.after)]
    if not sides[0][1] & sides[1][1]:
        told = "; ".join(f"{one_line(name)} has {one_line(', '.join(sorted(kinds)))}" for name, kinds in sides)
        return ["", f"the datasets have no field in common: {told}"]
    alone = [(name, sorted(kinds - other)) for (name, kinds), (_, other) in zip(sides, sides[::-1], strict=True)]
    return [f"fields of {one_line(name)} alone: {one_line(', '.join(fields))}" for name, fields in alone if fields]


def diff_json(found: Diff, rows: bool) -> Json:
    """Return the differences as a JSON object, with all rows if `rows`."""
    sides = [
        {
            "name": each.name,
            "rows": each.rows.splits(),
            "fields": sorted(each.rows.kinds),
            "licence": each.licences,
            "facts": each.facts,
        }
        for each in (found.before, found.after)
    ]
    return {
        "before": sides[0],
        "after": sides[1],
        "same": found.same,
        "unchanged": found.unchanged,
        **{kind: found.counts(kind) for kind in KINDS},
        "changed_fields": dict(sorted(found.changed_fields.items())),
        "target": list(found.roles.target),
        "labels": found.labels
        and {name: [each[name] for each in found.labels] for name in sorted({*found.labels[0], *found.labels[1]})},
        "shifts": found.figures,
        "student": found.students and list(found.students),
        "facts": found.facts,
        **({"changes": list(found.lines())} if rows else {}),
    }


_SIGNS = {"added": "+", "removed": "-", "changed": "~", "moved": ">"}


def of_rows(found: Diff) -> Iterable[str]:
    """Yield every difference as one line: sign, split and row. A changed row is followed by its new form."""
    for line in found.lines():
        row = line["before"] if "before" in line else line["after"]
        yield f"{_SIGNS[line['change']]} {line['split']} {escaped(to_json(row))}"
        if line["change"] == "changed":
            yield f"  now {escaped(to_json(line['after']))}"


def of_merge(merged: Merged, out: str) -> list[str]:
    """Return the lines that `synthgen merge` prints."""
    rows = [(one_line(name), f"{count:,}", f"{kept:,}") for name, count, kept in merged.kept]
    lines = table([("dataset", "rows", "kept"), *rows], right=(1, 2))
    removed = ", ".join(f"{name} {count:,}" for name, count in sorted(merged.removed.items()))
    lines += ["", f"removed: {removed or 'none'}"]
    if merged.near_other:
        lines.append(f"kept: {merged.near_other:,} near-duplicates whose target differs")
    if merged.conflicts:
        lines += ["texts with different targets:", *(f"  {in_words(each)}" for each in merged.conflicts)]
    return [*lines, f"{_splits(merged.rows)} in {out}"]


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Return rows of cells as aligned lines. The columns `right` are aligned to the right."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - _width(cell))
            cells.append(f"{blank}{cell}" if place in right else f"{cell}{blank}")
        lines.append("  ".join(cells).rstrip())
    return lines


def _width(text: str) -> int:
    """Return the columns that a text takes in a terminal."""
    from rich.cells import cell_len

    return cell_len(text)


def _splits(rows: Json) -> str:
    total = sum(rows.values())
    parts = ", ".join(f"{name} {count:,}" for name, count in rows.items())
    return f"{_rows(total)} ({parts})"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _fact(name: str, value: object) -> str:
    if name == "student" and isinstance(value, dict):
        return "; ".join(
            f"{value['metric']} {_interval(value[arm])} {said}" for arm, said in _ARMS.items() if value.get(arm)
        )
    if name == "answers" and isinstance(value, dict):
        return f"{value['labels'] + value['not_a_sample']:,} answers to {value['samples']:,} samples" + (
            f"; {value['in_words']}" if value.get("in_words") else ""
        )
    if name == "licence" and isinstance(value, dict):
        return ", ".join(f"{licence} {count:,}" for licence, count in value.items())
    if name == "published" and isinstance(value, list):
        return ", ".join(f"{each['kind']} at {each['to']}, revision {str(each['revision'])[:_HASH]}" for each in value)
    return value if isinstance(value, str) else to_json(value)


def _changed(found: Diff) -> str:
    """Return the fields in which the changed rows differ.

    The number of rows is left out where all differ in the target alone.
    """
    target, fields = ", ".join(found.roles.target), found.changed_fields
    if set(fields) <= set(found.roles.target):
        return f"changed: the same input, another {target}"
    named = [f"another {one_line(name)} in {_rows(count)}" for name, count in sorted(fields.items())]
    return f"changed: the same input, {', '.join(named)}"


def _sizes(one: Json, other: Json) -> list[tuple[str, int, int]]:
    names = list(dict.fromkeys([*one, *other]))
    rows = [(name, one.get(name, 0), other.get(name, 0)) for name in names]
    return [*rows, ("rows", sum(one.values()), sum(other.values()))]


def _shifts(found: Diff) -> list[str]:
    lines = []
    if found.labels:
        before, after = found.labels
        totals = max(before.total(), 1), max(after.total(), 1)
        names = sorted(
            {*before, *after}, key=lambda name: (-abs(after[name] / totals[1] - before[name] / totals[0]), name)
        )
        rows = [
            (
                one_line(name),
                f"{before[name]:,}",
                f"{before[name] / totals[0]:.1%}",
                f"{after[name]:,}",
                f"{after[name] / totals[1]:.1%}",
                f"{100 * (after[name] / totals[1] - before[name] / totals[0]):+.1f}",
            )
            for name in names[:_LABELS]
        ]
        lines += table([(found.roles.target[0], "before", "", "after", "", "points"), *rows], right=(1, 2, 3, 4, 5))
        lines += [f"... and {len(names) - _LABELS} more labels with smaller shifts"] if len(names) > _LABELS else []
        if shift := found.figures.get("labels"):
            lines.append(f"labels: chi-squared {shift['statistic']:.2f}, p {_p(shift['p'])}")
    for name, said in (("length", "input length"), ("target_length", "target length")):
        if shift := found.figures.get(name):
            medians = f"median {shift['before']:g} -> {shift['after']:g} characters"
            lines.append(f"{said}: {medians}; Kolmogorov-Smirnov D {shift['statistic']:.3f}, p {_p(shift['p'])}")
    return lines


def _students(one: str, other: str, before: Json, after: Json) -> list[str]:
    rows = [
        (said, _interval(before[arm]) if arm in before else "", _interval(after[arm]) if arm in after else "")
        for arm, said in _ARMS.items()
        if arm in before or arm in after
    ]
    head = f"student: {before['metric']}" if before["metric"] == after["metric"] else "student"
    names = [
        name if head != "student" else f"{name} ({side['metric']})" for name, side in ((one, before), (other, after))
    ]
    return table([(head, *names), *rows, ("eval rows", *(str(each.get("eval_rows", "")) for each in (before, after)))])


def _interval(arm: Json) -> str:
    if arm.get("mean") is None:
        return "not measured"
    within = (
        f" ({arm['low']:.3f} to {arm['high']:.3f})"
        if arm.get("low") is not None and arm.get("high") is not None
        else ""
    )
    return f"{arm['mean']:.3f}{within}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
