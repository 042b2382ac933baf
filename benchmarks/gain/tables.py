"""Print the benchmark's tables: accuracy by arm, the rows of each arm, and the curve over token budgets."""

from collections.abc import Mapping
from typing import Any

from benchmarks.common import print_table
from benchmarks.gain.figures import BASE, RIVALS
from synthgen.records import Json

ACCURACY = ["arm", "accuracy", "macro-F1", "over seeds (95%)", f"over {BASE} (95%)", "gap closed (95%)"]
ROWS = [
    "arm", "rows", "label\nright", "likeliest\nright", "mean\nweight", "answers", "dist-2", "cosine", "tokens",
]  # fmt: skip
_WIDTH = 120


def show_accuracy(student: str, table: Mapping[str, Json], title: str) -> None:
    """Print one line an arm, and below it the difference of each loop to its rivals."""
    rows = [
        (
            arm, _spread(found, "accuracy"), _spread(found, "macro_f1"), "" if arm == "seeds" else points(found, "delta"),
            "" if arm == BASE else points(found, f"over_{BASE}"), _gap(found),
        )
        for arm, found in table.items()
    ]  # fmt: skip
    print_table(f"{student} student, {title}", ACCURACY, rows, _WIDTH)
    for arm, rivals in RIVALS.items():
        for rival in rivals:
            if f"over_{rival}" in table.get(arm, {}):
                print(f"{arm} over {rival}: {points(table[arm], f'over_{rival}')} points of accuracy")


def show_rows(table: Mapping[str, Json], title: str) -> None:
    """Print what the rows beside the seeds are like in each arm, and what became of the loop's candidates.

    "label right" and "likeliest right" are shares of rows: the row's own label, or its likeliest label by the weights'
    label probabilities, is the one that the frozen student of all real rows gives. `dist-2` is distinct-2, `cosine` the mean
    cosine to the nearest neighbour; tokens are generated + the judge's.
    """
    rows = [
        (
            arm, f"{found['rows']:,.0f}", _plain(found["fidelity"]), _plain(found["fidelity_likeliest"]),
            _plain(found["mean_weight"]), _whole(found["answers"]), _plain(found["distinct_2"]),
            _plain(found["nearest_cosine"]), _tokens(found),
        )
        for arm, found in table.items()
    ]  # fmt: skip
    print_table(f"rows beside the seeds, {title}", ROWS, rows, _WIDTH)
    if loop := table.get("loop"):
        why = [f"{key.removeprefix('rejected.')} {loop[key]:,.0f}" for key in loop if key.startswith("rejected.")]
        print(
            f"loop: {loop['rows']:,.0f} of {loop['candidates']:,.0f} candidates accepted; rejected: {', '.join(why) or 'none'}"
        )


def show_curve(student: str, tables: Mapping[int, Mapping[str, Json]], title: str) -> None:
    """Print accuracy, and the share of the gap closed, of each arm at each token budget."""
    arms = list(next(iter(tables.values())))
    rows = [(arm, *(_on_curve(table[arm]) for table in tables.values())) for arm in arms]
    columns = ["accuracy (gap closed)", *(f"{budget:,} tokens" for budget in tables)]
    print_table(f"{student} student over token budgets, {title}", columns, rows, _WIDTH)


def flat(table: Mapping[str, Json]) -> Json:
    return {f"{arm}.{key}": value for arm, found in table.items() for key, value in found.items()}


def _on_curve(found: Json) -> str:
    gap = found["gap_closed"]
    return f"{100 * found['accuracy']:.1f}" + ("" if gap is None else f" ({gap:.2f})")


def _spread(found: Json, key: str) -> str:
    sd = found[f"{key}_sd"]
    return f"{100 * found[key]:.1f}" + ("" if sd is None else f" ±{100 * sd:.1f}")


def points(found: Json, key: str) -> str:
    """Return a difference in points with its interval; empty where the other arm is missing."""
    if found[key] is None:
        return ""
    return f"{100 * found[key]:+.1f} ({100 * found[f'{key}_low']:+.1f} {100 * found[f'{key}_high']:+.1f})"


def _gap(found: Json) -> str:
    if found["gap_closed"] is None:
        return ""
    return f"{found['gap_closed']:.2f} ({found['gap_low']:.2f} {found['gap_high']:.2f})"


def _plain(value: Any) -> str:
    return "" if value is None else f"{value:.2f}"


def _whole(value: Any) -> str:
    return "" if value is None else f"{value:,.0f}"


def _tokens(found: Json) -> str:
    if found["generated_tokens"] is None:
        return ""
    return f"{found['generated_tokens']:,.0f}+{found['judge_tokens']:,.0f}"
