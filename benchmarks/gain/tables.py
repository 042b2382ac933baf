"""The benchmark's table, and its figures as flat keys."""

from typing import Any

from benchmarks.common import print_table
from synthgen.records import Json

COLUMNS = [
    "arm", "rows", "accuracy", "macro-F1", "over seeds (95%)", "gap\nclosed", "label\nfidelity", "dist-2", "cosine", "tokens"
]  # fmt: skip
_WIDTH = 120


def show(student: str, table: dict[str, Json], title: str) -> None:
    """One line an arm; what the loop is ahead of each rival, and how its candidates went, stand below.

    `dist-2` is distinct-2, `cosine` the mean one to the nearest neighbour, tokens are generated and the judge's.
    """
    rows = [
        (
            arm, f"{found['rows']:,.0f}", _spread(found, "accuracy"), _spread(found, "macro_f1"), _interval(found, "delta"),
            _plain(found["gap_closed"]), _plain(found["fidelity"]), _plain(found["distinct_2"]),
            _plain(found["nearest_cosine"]), _tokens(found),
        )
        for arm, found in table.items()
    ]  # fmt: skip
    print_table(f"{student} student, {title}", COLUMNS, rows, _WIDTH)
    loop = table.get("loop", {})
    for key in loop:
        if key.startswith("over_") and not key.endswith(("_low", "_high")):
            print(f"loop against {key.removeprefix('over_')}: {_interval(loop, key)} points of accuracy")
    if loop:
        why = [f"{key.removeprefix('rejected.')} {loop[key]:,.0f}" for key in loop if key.startswith("rejected.")]
        print(
            f"loop: {loop['rows']:,.0f} of {loop['candidates']:,.0f} candidates accepted; rejected: {', '.join(why) or 'none'}"
        )


def flat(table: dict[str, Json]) -> Json:
    return {f"{arm}.{key}": value for arm, found in table.items() for key, value in found.items()}


def _spread(found: Json, key: str) -> str:
    sd = found[f"{key}_sd"]
    return f"{100 * found[key]:.1f}" + ("" if sd is None else f" ±{100 * sd:.1f}")


def _interval(found: Json, key: str) -> str:
    if not found[key]:
        return ""
    return f"{100 * found[key]:+.1f} ({100 * found[f'{key}_low']:+.1f} {100 * found[f'{key}_high']:+.1f})"


def _plain(value: Any) -> str:
    return "" if value is None else f"{value:.2f}"


def _tokens(found: Json) -> str:
    """Generated, and the judge's."""
    if found["generated_tokens"] is None:
        return ""
    return f"{found['generated_tokens']:,.0f}+{found['judge_tokens']:,.0f}"
