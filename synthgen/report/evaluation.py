"""Write the figures of an evaluated student, and the rows that it answers worst, as a short table in plain text."""

from collections.abc import Iterator

from synthgen.records import Json
from synthgen.report import plain
from synthgen.tasks.task import as_text

_SHOWN = 160
"""Most characters of a row's input, and of its expected and actual answer."""


def lines(metrics: Json) -> Iterator[str]:
    """Yield each metric with its interval, the metrics that are left out, and the worst rows of `student.evaluate`."""
    share = f"{100 * metrics['confidence']:.3g} %"
    yield f"{plain.count(metrics['eval_rows'])} rows, {share} intervals:"
    width = max(map(len, metrics["figures"]), default=0)
    for name, found in metrics["figures"].items():
        yield f"  {plain.one_line(name):<{width}}  {_interval(found)}"
    for name, reason in metrics.get("metrics_left_out", {}).items():
        yield f"  {plain.one_line(name):<{width}}  left out: {plain.one_line(reason)}"
    rows = metrics.get("worst") or []
    if rows:
        yield f"{len(rows)} worst {'row' if len(rows) == 1 else 'rows'} by {plain.one_line(metrics['metric'])}:"
    for number, row in enumerate(rows, 1):
        sure = f", probability {plain.figure(row['probability'], 2)}" if "probability" in row else ""
        yield f"{number:>3}. score {plain.figure(row['score'], 3)}{sure}"
        for part in ("input", "expected", "answer"):
            yield f"     {part:<8}  {_fields(row[part])}"


def _interval(found: Json) -> str:
    if found["mean"] is None:
        return "–"
    ends = f" ({plain.figure(found['low'], 3)} to {plain.figure(found['high'], 3)})" if found["low"] is not None else ""
    return f"{plain.figure(found['mean'], 3)}{ends}"


def _fields(fields: Json) -> str:
    """Return the values of a row's fields on one line, without the names where there is only one."""
    texts = [as_text(value) if len(fields) == 1 else f"{name}: {as_text(value)}" for name, value in fields.items()]
    return plain.shorten(plain.one_line(" | ".join(texts)), _SHOWN)
