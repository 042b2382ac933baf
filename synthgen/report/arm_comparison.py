"""Lay out the comparison of the student's arms for the page: intervals, classes, confusions."""

from collections.abc import Callable
from dataclasses import dataclass

from synthgen.records import Json
from synthgen.report import charts, plain

NAMES = {"seeds_only": "seeds only", "described": "with label names", "synthetic": "with synthetic data"}
GAINS = {"gain": "gain", "gain_over_described": "gain over label names"}
COMPARED = ("seeds_only", "synthetic")
"""The arms whose classes and confusions are shown."""
LOWER_IS_BETTER = ("loss", "perplexity")
MAX_MATRIX = 30
MAX_PAIRS = 12

Show = Callable[[float], str]
"""Function that formats a figure."""


@dataclass(frozen=True)
class Forest:
    """Hold dots with whiskers on one axis. `zero` is the position of no difference, if it is on the axis."""

    axis: charts.Axis
    rows: list[charts.Whisker]
    ticks: list[tuple[float, str]]
    zero: float | None = None


@dataclass(frozen=True)
class Confusion:
    """Hold a confusion matrix: a row for each true label, a column for each predicted label."""

    name: str
    labels: list[str]
    matrix: list[list[int]]


@dataclass(frozen=True)
class FrequentMistakes:
    """Hold the most frequent mistakes of one arm as (true, predicted, rows), for too many labels for a matrix."""

    name: str
    rows: list[tuple[str, str, int]]


@dataclass(frozen=True)
class ClassRow:
    """Hold precision, recall and F1 of one class, by arm."""

    label: str
    support: int | None
    figures: dict[str, list[float | None]]


@dataclass(frozen=True)
class ArmComparison:
    arms: Forest
    gain: Forest | None
    columns: list[str]
    """The names of the arms, then those of the gains."""
    figures: list[tuple[str, list[str]]]
    """Every figure by name, with one cell per column; each cell has the figure and its interval."""
    class_arms: list[str]
    classes: list[ClassRow]
    confusions: list[Confusion]
    pairs: list[FrequentMistakes]
    counted: str
    """Heading of the number of rows or spans of a class."""
    steps: list[str]
    """Number of training steps of each arm whose steps were chosen."""


def arm_comparison(student: Json | None) -> ArmComparison | None:
    """Return the comparison of the arms, or None if no student was scored."""
    arms = plain.arms(student) if student else {}
    if not student or not arms:
        return None
    compared = {name: arms[name] for name in COMPARED if name in arms}
    tables = {NAMES[name]: arm["classes"] for name, arm in compared.items() if arm.get("classes")}
    return ArmComparison(
        arms=_arms(student, arms),
        gain=_gain(student),
        columns=[NAMES[name] for name in arms] + [GAINS[name] for name in _gains(student)],
        figures=_figures(student, arms),
        class_arms=list(tables),
        classes=_classes(tables),
        confusions=_confusions(compared),
        pairs=_pairs(compared),
        counted="spans" if str(student.get("kind", "")).endswith("tagger") else "eval rows",
        steps=[
            f"{NAMES[name]}: {plain.count(arm['steps'])} of {plain.count(arm['most_steps'])} ({arm['steps_chosen_by']})"
            for name, arm in arms.items()
            if arm.get("held_out_loss")
        ],
    )


def _arms(student: Json, arms: dict[str, Json]) -> Forest:
    share = plain.is_share(student)
    styles = {"seeds_only": "base", "described": "base", "synthetic": "main"}
    rows = [(NAMES[name], arm, styles[name]) for name, arm in arms.items()]
    return _forest(rows, lambda value: plain.score(value, share), share)


def _gain(student: Json) -> Forest | None:
    found = {name: gain for name, gain in _gains(student).items() if gain.get("mean") is not None}
    if not found:
        return None
    share = plain.is_share(student)
    rows = [(GAINS[name], gain, _style(gain)) for name, gain in found.items()]
    return _forest(rows, lambda value: plain.signed(value, share), share, zero=True)


def _gains(student: Json) -> dict[str, Json]:
    return {name: student[name] for name in GAINS if student.get(name)}


def _style(gain: Json) -> str:
    low, high = _bounds(gain)
    return "gain" if low > 0 else "loss" if high < 0 else "none"


def _forest(rows: list[tuple[str, Json, str]], text: Show, share: bool, zero: bool = False) -> Forest:
    bounds = [_bounds(arm) for _, arm, _ in rows]
    axis = charts.axis([value for found in bounds for value in found] + [0.0] * zero)
    whiskers = [
        charts.Whisker(name, axis.at(arm["mean"]), axis.at(low), axis.at(high), _beside(arm, text), style)
        for (name, arm, style), (low, high) in zip(rows, bounds, strict=True)
    ]
    scale, unit = (100, "" if zero else " %") if share else (1, "")
    digits = max(0, axis.digits - 2) if share else axis.digits
    ticks = [(axis.at(tick), f"{scale * tick:.{digits}f}{unit}") for tick in axis.ticks]
    return Forest(axis, whiskers, ticks, axis.at(0.0) if zero else None)


def _bounds(arm: Json) -> tuple[float, float]:
    """Return an arm's interval, or its mean twice if there is no interval."""
    low, high = arm.get("low"), arm.get("high")
    return (arm["mean"] if low is None else low, arm["mean"] if high is None else high)


def _beside(arm: Json, text: Show) -> str:
    """Return `77.3 % (72.1 % to 82.2 %)`."""
    low, high = _bounds(arm)
    return text(arm["mean"]) if low == high else f"{text(arm['mean'])} ({text(low)} to {text(high)})"


def _figures(student: Json, arms: dict[str, Json]) -> list[tuple[str, list[str]]]:
    """Return one row per figure, or none if the headline is the only figure."""
    columns = [arm.get("figures") or {} for arm in (*arms.values(), *_gains(student).values())]
    names = list(columns[0])
    return [
        (plain.metric_name(name), [_cell(name, table, is_gain=i >= len(arms)) for i, table in enumerate(columns)])
        for name in (names if len(names) > 1 and len(arms) > 1 else [])
    ]


def _cell(name: str, table: dict[str, Json], is_gain: bool) -> str:
    share = name not in LOWER_IS_BETTER
    if table.get(name, {}).get("mean") is None:
        return "–"
    return _beside(table[name], lambda value: plain.signed(value, share) if is_gain else plain.score(value, share))


def _classes(tables: dict[str, dict[str, Json]]) -> list[ClassRow]:
    """Return a row for every class that an arm was scored on."""
    rows = []
    for label in dict.fromkeys(label for table in tables.values() for label in table):
        found = {name: table.get(label, {}) for name, table in tables.items()}
        support = next((row["support"] for row in found.values() if "support" in row), None)
        figures = {name: [row.get(key) for key in ("precision", "recall", "f1")] for name, row in found.items()}
        rows.append(ClassRow(label, support, figures))
    return rows


def _confusions(arms: dict[str, Json]) -> list[Confusion]:
    found = []
    for name, arm in arms.items():
        confusion = arm.get("confusion") or {}
        labels, matrix = confusion.get("labels"), confusion.get("counts")
        if labels and matrix and len(labels) <= MAX_MATRIX:
            found.append(Confusion(NAMES[name], labels, matrix))
    return found


def _pairs(arms: dict[str, Json]) -> list[FrequentMistakes]:
    found = []
    for name, arm in arms.items():
        confusion = arm.get("confusion") or {}
        labels, matrix = confusion.get("labels") or [], confusion.get("counts") or []
        if len(labels) > MAX_MATRIX:
            cells = [
                (labels[i], labels[j], n) for i, row in enumerate(matrix) for j, n in enumerate(row) if n and i != j
            ]
            found.append(FrequentMistakes(NAMES[name], sorted(cells, key=lambda cell: -cell[2])[:MAX_PAIRS]))
    return found
