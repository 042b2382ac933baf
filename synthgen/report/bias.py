"""Put into words how often a student's answer changes when words about people are swapped (`synthgen evaluate --bias`)."""

from collections.abc import Iterator

from synthgen.ledger import Reader
from synthgen.records import Json, content_id
from synthgen.report import plain

BIAS = "bias"
"""Ledger key of the figures, with the student that they are about."""


def bias_record(figures: Json, student: Json | None) -> Json:
    """Return the ledger's record: the figures, and an id of the student, so that another student does not inherit them."""
    return {"student": content_id(student), "figures": figures}


def bias_figures(ledger: Reader) -> Json | None:
    """Return the figures of the present student; None where it was not measured."""
    kept = ledger.meta(BIAS)
    return kept["figures"] if kept and kept["student"] == content_id(ledger.meta("student")) else None


def rows(figures: Json) -> list[tuple[str, ...]]:
    """Return the cells of a table: kind of swap, rows, changed answers, share with its interval, frequent changes."""
    return [
        (
            f"{name}: {row['does']}",
            plain.count(row["rows"]),
            plain.count(row["changed"]),
            f"{plain.percent(row['share'])} ({plain.percent(row['low'])} to {plain.percent(row['high'])})"
            if row["rows"]
            else "–",
            ", ".join(f"{answer} {count}" for answer, count in row["answers"].items()),
        )
        for name, row in figures["swaps"].items()
    ]


def lines(figures: Json) -> Iterator[str]:
    """Yield a line for each kind of swap, for the terminal."""
    yield f"{plain.count(figures['rows'])} rows, words about people swapped:"
    for name, row in figures["swaps"].items():
        if not row["rows"]:
            yield f"  {name}: no row holds such words"
            continue
        ends = f"{plain.percent(row['low'])} to {plain.percent(row['high'])}"
        flips = ", ".join(f"{plain.one_line(answer)} {count}" for answer, count in row["answers"].items())
        said = f"  {name}: {row['changed']} of {row['rows']} answers change, {plain.percent(row['share'])} ({ends})"
        yield said + (f": {flips}" if flips else "")
