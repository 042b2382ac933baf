"""Compute the lines of small charts of figures over the rounds, for the page to draw.

Positions are in a box of 100 by 100. The page stretches it to any width, so that a chart needs no script.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from synthgen.records import Json
from synthgen.report import plain

FIGURES = {
    "acceptance": ("acceptance", "accepted over candidates"),
    "vendi_so_far": ("Vendi score so far", "of all samples accepted so far; a flat line means nothing new"),
    "vendi": ("Vendi score", "effective number of different samples; higher is more varied"),
    "mean_similarity": ("mean cosine", "between two samples; lower is more varied"),
    "distinct_1": ("distinct-1", "distinct words over all words"),
    "distinct_2": ("distinct-2", "distinct word pairs over all pairs"),
    "distinct_3": ("distinct-3", "distinct word triples over all triples"),
    "self_bleu": ("self-BLEU", "each sample against the others; lower is more varied"),
    "self_repetition": ("self-repetition", "share of samples with 5 words in a row that another sample has"),
    "compression_ratio": ("compression", "size over compressed size; lower is more varied"),
    "seed_distance": ("distance to seeds", "mean of 1 - cosine to the nearest seed"),
    "centroid_distance": ("centroid's drift", "1 - cosine of the mean to the seeds' mean"),
    "label_balance_so_far": ("label balance so far", "the rarest label's samples over an even share; 1 is even"),
    "label_entropy_so_far": ("label entropy so far", "over its maximum; 1 is even"),
    "mean_depth": ("lineage depth", "mean steps from a seed"),
}
"""The charted figures in their order: key to (name, meaning)."""
_ANY_SIZE = ("acceptance", "vendi_so_far", "label_balance_so_far", "label_entropy_so_far", "mean_depth")
_ALARM_FIGURES = {"label_balance": "label_entropy_so_far"}  # alarms use another name for it
_TOP, _HEIGHT = 6.0, 88.0


@dataclass(frozen=True)
class Trend:
    """Hold one figure over the rounds."""

    name: str
    meaning: str
    lines: tuple[str, ...]
    """Points of each stretch without a gap, in SVG notation."""
    low: str
    high: str
    first: str
    last: str
    bound: float | None
    """Height of the bound that an alarm reports as crossed."""
    alarms: tuple[float, ...]
    """Horizontal positions of the alarms."""


def trends(rounds: Sequence[Json], alarms: Sequence[Json]) -> list[Trend]:
    """Return charts of the figures that are known in at least two rounds.

    Most figures depend on the number of samples. Their charts leave out rounds with fewer samples than the others.
    """
    most = max((each["rows"] for each in rounds), default=0)
    found = []
    for key, (name, meaning) in FIGURES.items():
        values = [each[key] if each["rows"] == most or key in _ANY_SIZE else None for each in rounds]
        if sum(value is not None for value in values) >= 2:
            own = [alarm for alarm in alarms if _charted(alarm) == key]
            found.append(_trend(name, meaning, values, _places(rounds, own), own[-1]["bound"] if own else None))
    return found


def sentence(alarm: Json) -> str:
    """Return `collapse at slot 511: Vendi score 12.3, below 18.4`."""
    name, _ = FIGURES[_charted(alarm)]
    side = "below" if alarm["value"] < alarm["bound"] else "above"
    figures = [plain.rate(alarm[key]) for key in ("value", "bound")]
    return f"{alarm['alarm']} at slot {plain.count(alarm['slot'])}: {name} {figures[0]}, {side} {figures[1]}"


def _charted(alarm: Json) -> str:
    """Return the key of the charted figure that an alarm refers to."""
    figure: str = alarm["figure"]
    return _ALARM_FIGURES.get(figure, figure)


def _trend(
    name: str, meaning: str, values: Sequence[float | None], alarms: tuple[float, ...], bound: float | None
) -> Trend:
    known = [value for value in values if value is not None]
    shown = known if bound is None else [*known, bound]
    low, high = min(shown), max(shown)

    def height(value: float) -> float:
        return round(_TOP + _HEIGHT * ((high - value) / (high - low) if high > low else 0.5), 2)

    points = [
        None if value is None else f"{_along(at, len(values))},{height(value)}" for at, value in enumerate(values)
    ]
    return Trend(
        name, meaning, _unbroken(points), plain.rate(min(known)), plain.rate(max(known)), plain.rate(known[0]),
        plain.rate(known[-1]), None if bound is None else height(bound), alarms,
    )  # fmt: skip


def _unbroken(points: Sequence[str | None]) -> tuple[str, ...]:
    """Return the stretches without a gap. A single point becomes a line to itself, which a round cap shows as a dot."""
    stretches: list[list[str]] = [[]]
    for point in points:
        if point is None:
            stretches.append([])
        else:
            stretches[-1].append(point)
    return tuple(" ".join(stretch if len(stretch) > 1 else stretch * 2) for stretch in stretches if stretch)


def _places(rounds: Sequence[Json], alarms: Sequence[Json]) -> tuple[float, ...]:
    """Return the positions of the rounds in which alarms were raised."""
    at = {row for alarm in alarms for row, each in enumerate(rounds) if each["first"] <= alarm["slot"] <= each["last"]}
    return tuple(_along(row, len(rounds)) for row in sorted(at))


def _along(row: int, rows: int) -> float:
    return round(100 * row / max(1, rows - 1), 2)
